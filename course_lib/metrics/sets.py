"""Sets of images that metrics compare: a generator's, Portraits, pictures in a folder or a zip, and packed sets."""
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from .. import dataset, portraits, zoo
from ..images import Pictures, read, to_uint8
from ..networks import classifiers
from . import generators

PORTRAITS = "portraits"


class ImageSet(NamedTuple):
    """Images of one kind. `batches(n, resolution)` yields uint8 [b, 3, R, R], n in all or fewer where pictures cannot be read; of
    pictures `resolution` may be None, which gives each at its own size, one in a batch."""
    name: str
    batches: Callable
    resolution: int | None = None       # that it has; None: any
    count: int | None = None            # how many there are; None: as many as are asked for
    is_portraits: bool = False          # whether a network that knows only Portraits may judge them
    content: Callable | None = None     # n → a hash of the first n images; None: they are made anew every time
    skipped: dict = {}                  # {name: reason} of pictures that could not be read, once batches were drawn


def open_source(source, device="cpu"):
    """A generator by name or file, as `zoo.load` takes it; anything else that `image_set` takes, as it is. Raises FileNotFoundError
    for what does not exist."""
    path = Path(source)
    network = zoo.is_shared(path) or zoo.last_of_run(path)
    pictures = path.is_dir() and not network or path.is_file() and path.suffix.lower() == ".zip"
    named = str(source) in zoo.cards() or str(source) in zoo.FULL
    return source if source == PORTRAITS or pictures and not named else zoo.load(source, device=device)


def image_set(source, *, seed=0, psi=1.0, c=None, device="cpu", portraits_seed=generators.REFERENCE_SEED):
    """The ImageSet of a generator, of "portraits", or of a folder, a zip or a packed set.

    seed, psi, c: of a generator (`generators.generated`); where c is the number of a class, and pictures lie in first-level
    folders, which are their classes, only that class's are taken. Raises ValueError for a network that is no generator and for a
    folder without pictures.
    """
    if isinstance(source, torch.nn.Module):
        return _of_generator(source, seed, psi, c)
    if source == PORTRAITS:
        return _of_portraits(portraits_seed, device)
    return _of_pictures(source, c)


def _of_generator(G, seed, psi, c):
    if not hasattr(G, "z_dim"):
        raise ValueError(f"{zoo.held(G)}, which is no generator; these metrics measure generators and pictures")

    def batches(n, resolution=None):
        for images in generators.generated(G, n, seed, psi, c):
            if not images.isfinite().all():
                raise ValueError("the generator gives NaN or infinity")
            yield to_uint8(images)

    return ImageSet("generated", batches, G.resolution, is_portraits=zoo.dataset_of(G) == PORTRAITS)


def _of_portraits(seed, device):
    def batches(n, resolution=None):
        return map(to_uint8, generators.rendered(n, seed, resolution or classifiers.RESOLUTION, device))

    content = lambda n: _hash([f"Portraits {portraits.VERSION}, {n} of seed {seed}, {torch.device(device).type}".encode()])
    return ImageSet(PORTRAITS, batches, is_portraits=True, content=content)


def _of_pictures(source, c):
    packed = dataset.open_set(source) if dataset.is_set(source) else None
    found = Pictures(range(packed.about["count"]), {}, packed.about["names"]) if packed else dataset.find(source)
    draw = lambda i: hashlib.sha256(found.names[i].encode(errors="surrogateescape")).digest()
    order, skipped = sorted(range(len(found.names)), key=draw), {}          # so that the first n are a fair sample
    files, names = ([values[i] for i in order] for values in (found.files, found.names))
    if isinstance(c, int) and (classes := list(dataset.classes(names) or [])):
        if c >= len(classes):
            raise ValueError(f"{source} has no class {c}; its classes are 0 to {len(classes) - 1}: {', '.join(classes)}")
        chosen = [i for i, name in enumerate(names) if name.startswith(f"{classes[c]}/")]
        files, names = ([values[i] for i in chosen] for values in (files, names))

    def image(file, resolution):
        if packed:
            pixels = packed.read([file])[0]
            if resolution in (None, pixels.shape[-1]):
                return pixels
            return np.asarray(dataset.square(Image.fromarray(pixels.transpose(1, 2, 0)), resolution)).transpose(2, 0, 1)
        if resolution:
            return dataset.pixels(file, resolution)[0]
        picture = read(file)
        return np.asarray(dataset.square(picture, min(picture.size))).transpose(2, 0, 1)

    def batches(n, resolution=None):
        waiting = []
        for file, name in zip(files[:n], names):
            try:
                waiting.append(torch.from_numpy(image(file, resolution).copy()))
            except ValueError as error:
                skipped[name] = str(error).removeprefix(f"{file} cannot be read: ")
            if len(waiting) == (64 if resolution else 1):
                yield torch.stack(waiting)
                waiting = []
        if waiting:
            yield torch.stack(waiting)

    def content(n):
        if packed:
            return _hash([packed.about["sha256"].encode(), json.dumps(list(files[:n])).encode()])
        return _hash(file.open("rb").read() if hasattr(file, "root") else Path(file).read_bytes() for file in files[:n])

    return ImageSet(str(source), batches, packed and packed.about["resolution"], len(files), content=content, skipped=skipped)


def by_reason(skipped):
    """{reason: names} of what an ImageSet skipped."""
    return {reason: sorted(name for name in skipped if skipped[name] == reason) for reason in dict.fromkeys(skipped.values())}


def _hash(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
