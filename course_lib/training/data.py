"""Real images for training: all on the device, as one uint8 tensor [M, 3, R, R], or read from disk as steps need them."""
import copy
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import commands, dataset, images, ops, portraits
from . import distributed

SHARE = 0.75            # of the free memory that images may fill; the rest is for training
AHEAD = 8               # batches that are read ahead, or as many as 2 GiB hold


class Selection(NamedTuple):
    """The images of a run: `used` of `found` ones. As text it is a sentence that says so."""
    source: str
    files: list             # of a folder or a zip, sorted by name; of a packed set their numbers
    used: int
    found: int
    left_out: dict          # what else the folder holds, {what: number}
    seed: int
    names: list = ()
    packed: dataset.Packed | None = None

    def __str__(self):
        if self.source == "portraits":
            return f"{self.used:,} portraits of seed {self.seed}"
        text = f"used {self.used:,} of {commands.counted(self.found, 'picture')} in {self.source}"
        text += f", drawn by seed {self.seed} (--data-size)" if self.used < self.found else ""
        return text + (f"; left out: {images.described(self.left_out)}" if self.left_out else "")

    def record(self):
        """What a run's files store of it."""
        return {"used": self.used, "found": self.found, "left_out": self.left_out}

    def read(self, numbers, out):
        """Read images by their numbers in the selection into uint8 [n, 3, R, R]. ValueError for a picture that cannot be read,
        OSError for a packed set that cannot."""
        if self.packed:
            self.packed.read([self.files[i] for i in numbers], out)
        else:
            for i, image in zip(numbers, out):
                image[:] = dataset.pixels(self.files[i], image.shape[-1])[0]


def select(source, count, seed):
    """At most `count` images of "portraits", or of a folder, a zip or a packed set; what counts as a picture says `images.find`.

    Of more they are drawn by seed: those whose names give the lowest hashes, so that a file that is added or removed changes one of
    them at most, and a packed set gives the images of its folder. ValueError for a folder without pictures.
    """
    if source == "portraits":
        return Selection(source, [], count, count, {}, seed)
    if dataset.is_set(source):
        packed = dataset.open_set(source)
        names, left_out = packed.about["names"], {}
        files = range(len(names))
    else:
        (files, left_out, names), packed = dataset.find(source), None
    draw = lambda i: hashlib.sha256(f"{seed}/{names[i]}".encode(errors="surrogateescape")).digest()
    drawn = sorted(sorted(range(len(names)), key=draw)[:count])
    files, chosen = ([values[i] for i in drawn] for values in (files, names))
    return Selection(str(source), files, len(drawn), len(names), left_out, seed, chosen, packed)


def load(source, resolution, count, seed, device):
    """`source` is "portraits", what `select` takes, or a Selection; at most `count` images, the same ones for the same seed."""
    selection = source if isinstance(source, Selection) else select(source, count, seed)
    check_resolution(selection, resolution)
    check_size(selection.used, resolution, device)
    pixels = torch.empty(selection.used, 3, resolution, resolution, dtype=torch.uint8, device=device)
    if selection.source == "portraits":
        done = 0
        for batch, _ in portraits.batches(selection.used, selection.seed, resolution, device=device):
            pixels[done:done + len(batch)] = images.to_uint8(batch)
            done += len(batch)
        return pixels
    bad, one = {}, np.empty([1, 3, resolution, resolution], np.uint8)          # bad: {reason: files}
    for i, path in enumerate(selection.files):
        try:
            selection.read([i], one)
            pixels[i] = torch.from_numpy(one[0]).to(device)
        except ValueError as error:
            bad.setdefault(str(error).removeprefix(f"{path} cannot be read: "), []).append(str(path))
    if bad:
        raise ValueError(f"{sum(map(len, bad.values()))} of {selection.used} pictures cannot be read; repair or remove them: "
                         f"{dataset.described(bad)}")
    return pixels


def reals(chosen, settings, device):
    """The real images of a run, Resident or Streamed as its settings say, with labels if it has classes."""
    labels = None
    if settings.classes:
        number = {name: i for i, name in enumerate(settings.classes)}
        labels = torch.tensor([number[name.partition("/")[0]] for name in chosen.names], device=device)
    if settings.streamed:
        return Streamed(chosen, settings.resolution, device, labels, settings.mirror)
    images = load(chosen, settings.resolution, settings.data_size, settings.seed, device)
    return Resident(images, labels, settings.mirror)


class Labels:
    """One-hot labels of images, [n, classes]; [n, 0] where they have none. labels: the class of every image, [M], or None."""

    def __init__(self, labels, device):
        self.labels = labels
        self.rows = torch.zeros(1, 0, device=device) if labels is None else torch.eye(int(labels.max()) + 1, device=device)

    def of(self, index):
        """Those of the images of these numbers, [n]."""
        return self.rows.expand(len(index), -1) if self.labels is None else self.rows[self.labels[index]]

    def draw(self, n):
        """Those of n images drawn at random: classes come as often as among the images."""
        if self.labels is None:
            return self.rows.expand(n, -1)
        return self.of(torch.randint(len(self.labels), [n], device=self.labels.device))


class Resident:
    """Real images that lie on the device, uint8 [M, 3, R, R]. Steps draw their batches from PyTorch's random state.

    labels: the class of each, [M]; mirror: flip every image of a batch with probability one half.
    """

    def __init__(self, images, labels=None, mirror=False):
        self.images, self.labels, self.mirror = images, Labels(labels, images.device), mirror
        self.resolution = images.shape[-1]

    def at(self, resolution):
        """The same images at a lower resolution."""
        return Resident(downscaled(self.images, resolution), self.labels.labels, self.mirror)

    def some(self, n):
        """n of the images, or all of fewer, evenly from the first to the last, uint8."""
        return self.images[evenly(n, len(self.images)).to(self.images.device)]

    def prepare(self, step):
        """What comes before a step that takes a batch: nothing."""

    def batches(self, size):
        """() → uint8 images [size, 3, R, R] and their labels [size, classes], a batch of their own at every call."""
        def draw():
            index = torch.randint(len(self.images), [size], device=self.images.device)
            flips = torch.rand(size, device=self.images.device) < 0.5 if self.mirror else None
            return flipped(self.images[index], flips), self.labels.of(index)
        return draw


class Streamed:
    """Real images that are read from disk while networks train; as `Resident`, but a step takes one batch.

    Which images the batch of a step holds, and which of them are flipped, depends on the seed, the process and the step alone, so
    that a resumed run takes the batches that an uninterrupted one takes. AHEAD batches are read ahead, each by a thread of its own,
    into pinned memory, from which the GPU copies them between its steps: some 2 of the 370 ms of a step for 32 images of 1024 px.
    """

    def __init__(self, chosen, resolution, device, labels=None, mirror=False):
        check_resolution(chosen, resolution)
        self.chosen, self.device, self.labels, self.mirror = chosen, torch.device(device), Labels(labels, device), mirror
        self.resolution, self.stored, self.rank = resolution, resolution, distributed.rank()
        self.threads = ThreadPoolExecutor(AHEAD)

    def at(self, resolution):
        """The same images at a lower resolution."""
        lower = copy.copy(self)
        lower.resolution = resolution
        return lower

    def some(self, n):
        """As `Resident.some`, read now. ValueError for a picture that cannot be read."""
        numbers = evenly(n, self.chosen.used).numpy()
        images = np.empty((len(numbers), 3, self.stored, self.stored), np.uint8)
        self.chosen.read(numbers, images)
        return torch.from_numpy(images)

    def batches(self, size):
        """() → uint8 images [size, 3, R, R] and labels [size, classes] of the step that was prepared last."""
        self.size, self.coming, self.next = size, deque(), None
        self.images = torch.zeros(size, 3, self.stored, self.stored, dtype=torch.uint8, device=self.device)
        self.ahead = max(2, min(AHEAD, 2 ** 31 // self.images.nbytes))
        self.drawn = torch.zeros(2, size, dtype=torch.int64, device=self.device)

        def draw():
            index, flips = self.drawn
            return downscaled(flipped(self.images, flips.bool() if self.mirror else None), self.resolution), self.labels.of(index)
        return draw

    def prepare(self, step):
        """Put the batch of a step where `batches` finds it. OSError if it cannot be read."""
        if step != self.next:
            self.coming = deque(self.threads.submit(self._read, self._place(), step + i) for i in range(self.ahead))
        coming, self.next = self.coming.popleft(), None
        images, drawn, copied = place = coming.result()
        self.images.copy_(images, non_blocking=True)
        self.drawn.copy_(drawn, non_blocking=True)
        if copied:
            copied.record()
        self.coming.append(self.threads.submit(self._read, place, step + self.ahead))
        self.next = step + 1

    def _place(self):
        """Memory for a batch, for what it was drawn by, and the event after which both may be written over."""
        cuda = self.device.type == "cuda"
        return (torch.empty(self.images.shape, dtype=torch.uint8, pin_memory=cuda),
                torch.empty(2, self.size, dtype=torch.int64, pin_memory=cuda), torch.cuda.Event(blocking=True) if cuda else None)

    def _read(self, place, step):
        images, drawn, copied = place
        rng = np.random.default_rng([self.chosen.seed, self.rank, step])
        index, flips = rng.integers(self.chosen.used, size=self.size), rng.random(self.size) < 0.5
        if copied:
            copied.synchronize()
        drawn.copy_(torch.from_numpy(np.stack([index, flips])))
        try:
            self.chosen.read(index, images.numpy())
        except ValueError as error:
            raise OSError(f"{error}; repair or remove it") from None
        return place


def evenly(n, count):
    """At most n of the numbers from 0 to count − 1, at equal distances, the first and the last among them."""
    return torch.linspace(0, count - 1, min(n, count)).round().long()


def flipped(images, flips):
    """Images [N, 3, H, W], those mirrored for which `flips` [N] is true; None: none."""
    return images if flips is None else torch.where(flips[:, None, None, None], images.flip(3), images)


@torch.no_grad()
def downscaled(images, resolution, chunk=4096):
    """uint8 images [M, 3, R, R] averaged down to a lower resolution, rounded to uint8 again."""
    factor = images.shape[-1] // resolution
    if factor == 1:
        return images
    return torch.cat([ops.downscale2d(part.float(), factor).round().to(torch.uint8) for part in images.split(chunk)])


def streams(chosen, resolution, most, device):
    """Whether a run must read its images while it trains: because they are more than `most`, or without that because they do not
    fit. ValueError for portraits that do not fit, and for a packed set of another resolution."""
    check_resolution(chosen, resolution)
    if chosen.source == "portraits":
        if most is not None:
            raise ValueError("--data-cache is for pictures on a disk, and portraits are drawn on the device; leave it out")
        check_size(chosen.used, resolution, device)
        return False
    return chosen.used > (most_that_fit(resolution, device) if most is None else most)


def classes(chosen):
    """The sorted names of the classes of a Selection, which are its first-level folders. ValueError where it has not got them."""
    found = list(dataset.classes(chosen.names) or [])
    if len(found) < 2:
        outside = [name for name in chosen.names if "/" not in name]
        wrong = f"{outside[0]} lies in none" if outside else f'"{found[0]}" is the only one' if found else "portraits lie in none"
        raise ValueError(f"--labels takes every folder in {chosen.source} for a class, and {wrong}; sort all pictures into two "
                         "folders or more, or leave --labels out")
    return found


def check_resolution(chosen, resolution):
    """ValueError for a packed set of another resolution."""
    packed = chosen.packed and chosen.packed.about["resolution"]
    if packed and packed != resolution:
        raise ValueError(f"{chosen.source} holds images of {packed} px, not of {resolution}; take --resolution {packed}, or pack "
                         "the pictures anew")


def check_size(count, resolution, device, each=1):
    """ValueError that names the --data-size which fits, if `count` images, or `each` of `count` people, need more than three
    quarters of the device's free memory."""
    size, free, fits = each * 3 * resolution ** 2, free_memory(device), most_that_fit(resolution, device, each)
    if count > fits:
        fits = f"--data-size {f'{fits // 1000}k' if fits >= 1000 else fits} fits" if fits else "a lower --resolution is needed"
        raise ValueError(f"{int(count * each):,} images of {resolution} px take {count * size / 2 ** 30:,.1f} GiB, and {device} "
                         f"has {free / 2 ** 30:,.1f} GiB free, a quarter of which is left for training; {fits}")


def most_that_fit(resolution, device, each=1):
    """How many images may lie on a device, as `check_size` counts them."""
    free = free_memory(device)
    return float("inf") if free is None else int(SHARE * free / (each * 3 * resolution ** 2))


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
