"""Packed sets: pictures of any size and mode, made square and stored so that any of them is read at once.

    python -m course_lib.dataset pack PICTURES OUT --resolution 256
    python -m course_lib.dataset info OUT

A packed set is a folder with two files: `images.npy`, uint8 [M, 3, R, R], which `numpy.load(…, mmap_mode="r")` maps into memory,
and `info.json`, which says what it holds. Reading them never executes code. Until it is whole, a set is called OUT.partial; packing
that was stopped in any way goes on from there with the same command.
"""
import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy
from PIL import Image, ImageOps
from tqdm import tqdm

from . import commands, images
from .zoo.formats import one_line

FORMAT = "course_lib packed set 1"
FITS = "crop", "pad"
KEYS = {"count": int, "resolution": int, "source": str, "fit": str, "sha256": str}         # of info.json, beside its lists
THREADS = min(16, os.cpu_count() or 1)
NAMED = 100             # pictures that one message names for one reason


# Packing

def pack(pictures, out, resolution=64, fit="crop", progress=False):
    """Make a packed set of a folder or a zip of pictures, and return what `info` says of it.

    fit: of pictures that are not square, "crop" takes the centre, "pad" adds white at the edges. Pictures that cannot be read are
    left out, and named in the result. Raises FileExistsError for an `out` that is there, or that a call with other arguments has
    begun, ValueError where there is no picture to pack, and OSError where the disk is too small, before anything is written.
    """
    out, partial = Path(out), Path(f"{Path(out)}.partial")
    if fit not in FITS:
        raise ValueError(f'fit is "{fit}"; choose "crop" or "pad"')
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists already and is not overwritten; choose another name, or remove it")
    if is_set(pictures):
        raise ValueError(f"{pictures} is a packed set already")
    commands.try_folder(out.parent)
    found, source = find(pictures), str(Path(pictures).absolute())
    begun = {"format": FORMAT, "source": source, "resolution": resolution, "fit": fit}
    journal = [begun | {"names": hashlib.sha256(json.dumps(found.names).encode()).hexdigest()}]
    journal += _begun(partial, journal[0])
    store = partial / "images.npy"
    needed, there = len(found.files) * 3 * resolution ** 2, store.stat().st_size if store.exists() else 0
    free = shutil.disk_usage(next(path for path in partial.absolute().parents if path.exists())).free + there
    sizes = (f"{commands.counted(len(found.files), 'picture')} as images of {resolution} px take {size(needed)}, and the disk of "
             f"{out} has {size(free)} free")
    if needed > free:
        raise OSError(f"{sizes}; take a lower --resolution, or another disk")
    if progress:
        print(f"{pictures}: {sizes}{f'; left out: {images.described(found.left_out)}' if found.left_out else ''}", flush=True)
    partial.mkdir(parents=True, exist_ok=True)
    try:
        digest = _write(partial, found, journal, pictures, progress)
        skipped, packed = {}, []
        for name, line in (lines := dict(zip(found.names, journal[1:]))).items():
            (packed if "sha256" in line else skipped.setdefault(line["skipped"], [])).append(name)
        if not packed:
            shutil.rmtree(partial)
            raise ValueError(f"none of the {len(found.files):,} pictures in {pictures} can be read: {described(skipped)}")
        about = begun | {"count": len(packed), "sha256": digest, "classes": classes(packed), "skipped": skipped,
                         "enlarged": [name for name in packed if "enlarged" in lines[name]], "left_out": found.left_out,
                         "names": packed}
        commands.write_json(partial / "info.json", about, replace=True)
        os.rename(partial, out)
    except OSError as error:
        raise OSError(f"{commands.said(error)}; {goes_on(out)}") from error
    (out / "journal.jsonl").unlink(missing_ok=True)
    return info(out)


def find(pictures):
    """The images.Pictures of a folder or a zip; ValueError where there are none."""
    found = images.find(pictures)
    if not found.files:
        left_out = f"; it holds {images.described(found.left_out)}" if found.left_out else ""
        raise ValueError(f'"{pictures}" holds no pictures ({" ".join(images.SUFFIXES)}){left_out}. Pass a folder or a zip of '
                         "pictures")
    return found


def square(image, resolution, fit="crop"):
    """A PIL image as a square, antialiased to resolution × resolution: its centre, or with "pad" all of it on white."""
    if fit == "pad":
        return ImageOps.pad(image, (resolution, resolution), Image.Resampling.LANCZOS, color="white")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop([left, top, left + side, top + side]).resize([resolution, resolution], Image.Resampling.LANCZOS)


def pixels(path, resolution, fit="crop"):
    """A picture as uint8 [3, R, R], and whether that enlarged it; ValueError for one that cannot be read or would grow fourfold."""
    picture = images.read(path)
    if 4 * min(picture.size) < resolution:
        raise ValueError(f"{path} cannot be read: {picture.width} × {picture.height} px, too small for {resolution}")
    image = np.array(square(picture, resolution, fit)).transpose(2, 0, 1)
    return image, (min if fit == "crop" else max)(picture.size) < resolution


def _write(partial, found, journal, pictures, progress):
    """Append to the files of a set, and to its journal, what is still missing; the sha256 of all images."""
    resolution, fit = journal[0]["resolution"], journal[0]["fit"]
    whole, row = hashlib.sha256(), 3 * resolution ** 2

    def read(path):
        try:
            image, enlarged = pixels(path, resolution, fit)
        except ValueError as error:
            return b"", {"skipped": str(error).removeprefix(f"{path} cannot be read: ")}
        return image.tobytes(), {"sha256": hashlib.sha256(image.tobytes()).hexdigest()} | ({"enlarged": True} if enlarged else {})

    for name in ("journal.jsonl", "images.npy"):
        (partial / name).touch()
    with open(partial / "images.npy", "r+b") as store, open(partial / "journal.jsonl", "r+b") as notes:
        _header(store, 0, resolution)
        for i, line in enumerate(journal[1:], start=1):
            image = store.read(row) if "sha256" in line else b""
            if "sha256" in line and hashlib.sha256(image).hexdigest() != line["sha256"]:        # the power failed
                store.seek(-len(image), os.SEEK_CUR)
                del journal[i:]
                break
            whole.update(image)
        notes.write(b"".join(map(_line, journal)))
        notes.truncate()
        notes.flush()                               # before the first image, so that a journal says whose they are
        done = len(journal) - 1
        bar = tqdm(_ahead(read, found.files[done:]), total=len(found.files), initial=done, unit="picture", disable=not progress)
        for image, line in bar:
            if not image and not Path(pictures).exists():
                raise FileNotFoundError(f"{pictures} is no longer there")
            store.write(image)
            store.flush()
            whole.update(image)
            journal.append(line)
            notes.write(_line(line))
            notes.flush()
        store.truncate()
        _header(store, sum("sha256" in line for line in journal), resolution)
        os.fsync(store.fileno())
    return whole.hexdigest()


def _begun(partial, first):
    """The lines after the first in the journal of a set that the same call has begun."""
    if not partial.exists() and not partial.is_symlink():
        return []
    journal, head, lines = partial / "journal.jsonl", _line(first), []
    content = journal.read_bytes() if journal.is_file() else b""
    others = [file for file in partial.iterdir() if file != journal and file.stat().st_size] if partial.is_dir() else [partial]
    if not content.startswith(head) and (others or not head.startswith(content)):
        raise FileExistsError(f"{partial} is not the beginning of this set: it was made with other pictures or options, or by "
                              "something else; remove it, or choose another name")
    with contextlib.suppress(ValueError):           # the line that was being written
        for line in content[len(head):].splitlines():
            lines.append(json.loads(line))
    return lines


def _line(value):
    return json.dumps(value).encode() + b"\n"


def _header(store, count, resolution):
    """NumPy's header, whose length does not depend on the count."""
    store.seek(0)
    npy.write_array_header_1_0(store, {"descr": "|u1", "fortran_order": False, "shape": (count, 3, resolution, resolution)})


def _ahead(function, items):
    """function(item) of all items, in their order, by threads that are a little ahead."""
    items, pool = iter(items), ThreadPoolExecutor(THREADS)
    try:
        waiting = deque(pool.submit(function, item) for item in islice(items, 2 * THREADS))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
    finally:
        pool.shutdown(cancel_futures=True)


# Reading

class Packed(NamedTuple):
    """A packed set that can be read: its folder, what its info.json says, and where in images.npy the first image begins."""
    path: Path
    about: dict
    offset: int

    def read(self, rows, out=None):
        """The images of these numbers, uint8 [n, 3, R, R], in `out` if it is given. OSError where the file ends before one of them.
        They are read, not mapped: of a mapped file that is cut off, the system kills the process."""
        shape = 3, self.about["resolution"], self.about["resolution"]
        out = np.empty((len(rows), *shape), np.uint8) if out is None else out
        with open(self.path / "images.npy", "rb", buffering=0) as file:
            for row, image in zip(rows, out):
                file.seek(self.offset + int(row) * image.nbytes)
                if file.readinto(image) != image.nbytes:
                    raise OSError(f"{file.name} has been cut off: it ends before image {row}")
        return out


def is_set(path):
    """Whether a path leads to what should be a packed set."""
    return path != "portraits" and all((Path(path) / name).is_file() for name in ("images.npy", "info.json"))


def open_set(path):
    """The Packed set at a path; ValueError for anything else, and for a damaged one."""
    path = Path(path)
    try:
        about = json.loads((path / "info.json").read_text(encoding="utf-8"))
        with open(path / "images.npy", "rb") as file:
            header = npy.read_magic(file) == (1, 0) and npy.read_array_header_1_0(file)
            offset, length = file.tell(), os.fstat(file.fileno()).st_size
        count, resolution, names, skipped = (about[key] for key in ("count", "resolution", "names", "skipped"))
        end = offset + count * 3 * resolution ** 2
        wrong = [what for what, right in {
            "info.json is not one of this format": about["format"] == FORMAT and isinstance(skipped, dict) and count > 0 and all(
                isinstance(about[key], kind) for key, kind in KEYS.items()) and all(
                map(_strings, [names, about.get("enlarged", []), *skipped.values()])),
            "its two files do not belong together": len(names) == count and header == (
                (count, 3, resolution, resolution), False, np.uint8),
            f"images.npy has {length:,} bytes instead of {end:,}": length == end}.items() if not right]
    except Exception as error:                      # parsers raise whatever a damaged file makes of them
        wrong = [f"info.json has no {error}" if isinstance(error, KeyError) else commands.said(error)[:200]]
    if wrong:
        raise ValueError(f"{path} is no packed set, or a damaged one: {wrong[0]}")
    return Packed(path, about, offset)


def _strings(values):
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def info(path, check=False):
    """What a packed set holds: count, resolution, bytes, classes {name: images} or None, the pictures' names and which of them were
    enlarged, skipped {reason: names}, sha256 of the images, how it was made. check: compare that, ValueError where it differs."""
    packed = open_set(path)
    if check:
        whole = hashlib.sha256()
        for row in range(packed.about["count"]):
            whole.update(packed.read([row]))
        if whole.hexdigest() != packed.about["sha256"]:
            raise ValueError(f"the images of {path} are not those that were packed: their sha256 is {whole.hexdigest()}")
    about = {"enlarged": []} | packed.about
    return about | {"bytes": about["count"] * 3 * about["resolution"] ** 2, "classes": classes(about["names"])}


def classes(names):
    """{class: pictures} of pictures' names, whose first folder is their class; None where one of them lies in no folder."""
    found = Counter(name.partition("/")[0] for name in names if "/" in name)
    return dict(sorted(found.items())) if found.total() == len(names) else None


# Command

def described(skipped):
    """"a.png, b.png (image file is truncated); …" of {reason: pictures}."""
    return "; ".join(f"{', '.join(names[:NAMED])}{f' and {len(names) - NAMED} more' * (len(names) > NAMED)} ({reason})"
                     for reason, names in skipped.items())


def goes_on(out):
    return f"what is done stays in {Path(out)}.partial, and the same command goes on from there"


def size(count):
    """Bytes in words."""
    return next(f"{count / unit:,.1f} {name}" for name, unit in (("GiB", 2 ** 30), ("MiB", 2 ** 20), ("KiB", 2 ** 10))
                if 10 * count >= unit or name == "KiB")


def summary(path, about):
    """What `info` prints."""
    found = about["classes"] and ", ".join(f"{name} {count:,}" for name, count in about["classes"].items())
    listed = lambda found: f"{sum(map(len, found.values())):,}: {described(found)}" if any(found.values()) else "none"
    enlarged = {f"smaller than {about['resolution']} px": about["enlarged"]}
    lines = (f"{path}: {commands.counted(about['count'], 'image')} of {about['resolution']} px, {size(about['bytes'])}, from "
             f"{about['source']} (--fit {about['fit']})",
             f"  classes: {found or 'none (only where every picture lies in a first-level folder)'}",
             f"  skipped: {listed(about['skipped'])}", f"  scaled up: {listed(enlarged)}",
             f"  sha256 of the images: {about['sha256']}")
    return "\n".join(one_line(line, 10_000) for line in lines)


def main(arguments=None):
    parser = commands.Parser(prog="python -m course_lib.dataset", description=__doc__)
    add = parser.add_subparsers(dest="command", required=True, metavar="pack | info", help="see --help of each").add_parser
    make = add("pack", help="make a packed set of pictures", description="Make a packed set of pictures. Nothing is overwritten.")
    make.add_argument("pictures", metavar="PICTURES", help="a folder, with the folders in it, or a zip")
    make.add_argument("out", metavar="OUT", help="the folder to make")
    make.add_argument("--resolution", type=commands.power_of_two(), default=64, help="pixels a side")
    make.add_argument("--fit", choices=FITS, default="crop", help="what becomes of pictures that are not square: their centre is "
                      "taken, or white is added at the edges")
    show = add("info", help="say what a packed set holds", description="Say what a packed set holds.")
    show.add_argument("set", metavar="SET", help="the folder of a packed set")
    show.add_argument("--check", action="store_true", help="read all images and compare them with the sha256")
    args = parser.parse_args(arguments)
    makes = args.command == "pack"
    with commands.sentences(parser.prog, f"stopped; {goes_on(args.out)}" if makes else "stopped"):
        about = pack(args.pictures, args.out, args.resolution, args.fit, True) if makes else info(args.set, args.check)
        print(summary(args.out if makes else args.set, about))


if __name__ == "__main__":
    main()
