"""Real images for training, as one uint8 tensor [M, 3, R, R] on the device."""
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from .. import images, portraits

SHARE = 0.75            # of the free memory that images may fill; the rest is for training
NAMED = 100             # files that one message names for one reason


class Selection(NamedTuple):
    """The images of a run: `used` of `found` ones. As text it is a sentence that says so."""
    source: str
    files: list             # of a folder, sorted by name
    used: int
    found: int
    left_out: dict          # what else the folder holds, {what: number}
    seed: int

    def __str__(self):
        if self.source == "portraits":
            return f"{self.used:,} portraits of seed {self.seed}"
        text = f"used {self.used:,} of {self.found:,} pictures in {self.source}"
        text += f", drawn by seed {self.seed} (--data-size)" if self.used < self.found else ""
        return text + (f"; left out: {images.described(self.left_out)}" if self.left_out else "")

    def record(self):
        """What a run's files store of it."""
        return {"used": self.used, "found": self.found, "left_out": self.left_out}


def select(source, count, seed):
    """At most `count` images of "portraits" or of a folder; what counts as a picture says `images.find`.

    Of a larger folder they are drawn by seed: those whose names give the lowest hashes, so that a file that is added or removed
    changes one of them at most. ValueError for a folder without pictures.
    """
    if source == "portraits":
        return Selection(source, [], count, count, {}, seed)
    found, left_out = images.find(source)
    if not found:
        left_out = f"; it holds {images.described(left_out)}" if left_out else ""
        raise ValueError(f'"{source}" holds no pictures ({" ".join(images.SUFFIXES)}){left_out}. Pass a folder of pictures, or "portraits"')
    draw = lambda path: hashlib.sha256(f"{seed}/{path.relative_to(source).as_posix()}".encode(errors="surrogateescape")).digest()
    drawn = set(sorted(found, key=draw)[:count])
    files = [path for path in found if path in drawn]
    return Selection(str(source), files, len(files), len(found), left_out, seed)


def load(source, resolution, count, seed, device):
    """`source` is "portraits", a folder of pictures, or a Selection; at most `count` images, the same ones for the same seed."""
    selection = source if isinstance(source, Selection) else select(source, count, seed)
    check_size(selection.used, resolution, device)
    pixels = torch.empty(selection.used, 3, resolution, resolution, dtype=torch.uint8, device=device)
    if selection.source == "portraits":
        done = 0
        for batch, _ in portraits.batches(selection.used, selection.seed, resolution, device=device):
            pixels[done:done + len(batch)] = ((batch + 1) * 127.5).round().to(torch.uint8)
            done += len(batch)
        return pixels
    bad = {}                # reason: files
    for i, path in enumerate(selection.files):
        try:
            pixels[i] = torch.from_numpy(np.array(square(images.read(path), resolution))).permute(2, 0, 1).to(device)
        except ValueError as error:
            bad.setdefault(str(error).removeprefix(f"{path} cannot be read: "), []).append(str(path))
    if bad:
        named = "; ".join(f"{', '.join(files[:NAMED])}{f' and {len(files) - NAMED} more' * (len(files) > NAMED)} ({reason})"
                          for reason, files in bad.items())
        raise ValueError(f"{sum(map(len, bad.values()))} of {selection.used} pictures cannot be read; repair or remove them: {named}")
    return pixels


def square(image, resolution):
    """The centre square of a PIL image, antialiased to resolution × resolution."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop([left, top, left + side, top + side]).resize([resolution, resolution], Image.Resampling.LANCZOS)


def check_size(count, resolution, device, each=1):
    """ValueError that names the --data-size which fits, if `count` images, or `each` of `count` people, need more than three
    quarters of the device's free memory."""
    size, free = each * 3 * resolution ** 2, free_memory(device)
    if free is not None and count * size > SHARE * free:
        fits = int(SHARE * free / size)
        fits = f"--data-size {f'{fits // 1000}k' if fits >= 1000 else fits} fits" if fits else "a lower --resolution is needed"
        raise ValueError(f"{int(count * each):,} images of {resolution} px take {count * size / 2 ** 30:,.1f} GiB, and {device} has "
                         f"{free / 2 ** 30:,.1f} GiB free, a quarter of which is left for training; {fits}")


def free_memory(device):
    """Free bytes of a device, or None where the system does not say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit, taken = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
        if limit.exists() and (most := limit.read_text().strip()).isdigit():        # of a container
            free = min(free, int(most) - int(taken.read_text()))
        return max(free, 0)
    except (OSError, StopIteration, ValueError):
        return None
