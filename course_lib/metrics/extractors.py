"""The networks whose features metrics compare, each with what its values can be compared with, and features that are kept."""
import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from .. import commands, dataset, images, zoo
from ..networks.image_features import ImageFeatures
from ..sampling import device_of
from ..styleclip.common import fingerprint
from . import generators
from . import inception as inceptions
from .sets import by_reason

COURSE = "course-features-64"
RESIZES = "clean", "legacy"
VERSION = 1             # of how pictures become features; another one leaves features that were kept aside
SAYS = {
    "oracle": "The oracle knows only portraits: its values compare generators of Portraits with each other.",
    "course": "The course's features see colour, texture, sharpness and noise, and hardly whether a shape is well made. They\n"
              "compare sets with each other, at one number of images and one resolution. Their scale is their own: never compare\n"
              "these values with an FID or a KID of Inception, in papers or elsewhere.",
    "inception, clean": "Inception with the clean resize: compare with values of clean-fid at the same number of images.",
    "inception, legacy": "Inception with its own resize, without antialiasing: compare with values of torch-fidelity and of\n"
                         "StyleGAN's code at the same number of images.",
}


class Extractor(NamedTuple):
    """`features(images)`: uint8 [b, 3, H, W] → [b, size] float32 on the CPU."""
    name: str                           # a key of SAYS
    features: Callable
    size: int
    key: str                            # a hash of all that the features depend on but the images


def of_network(network, name):
    """The Extractor of an oracle or of the course's image features."""
    @torch.no_grad()
    def features(pixels):
        return network.features(images.from_uint8(pixels).to(device_of(network))).float().cpu()

    with images.unchecked():
        size = features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape[1]
    return Extractor(name, features, size, f"{name} {fingerprint(network)}")


def course(device="cpu"):
    """The Extractor of the course's own features."""
    network = zoo.load(COURSE, device=device)
    if not isinstance(network, ImageFeatures):
        raise ValueError(f"{zoo.held(network)}, not image features")
    return of_network(network, "course")


def inception(path, device="cpu", resize="clean"):
    """The Extractor of the Inception network in a file, or "download" (`inception.load_inception`).

    resize: to 299 px. "clean": by Pillow, bicubic with antialiasing, in floats, as Parmar et al. 2022 (arXiv:2104.11222) recommend
    and clean-fid does it; "legacy": by the network itself, bilinear without antialiasing, as TensorFlow 1 did.
    """
    if resize not in RESIZES:
        raise ValueError(f'there is no resize "{resize}"; choose {" or ".join(RESIZES)}')
    network = inceptions.load_inception(path, device)
    see = inceptions.clean_features if resize == "clean" else inceptions.legacy_features
    features = lambda pixels: see(network, pixels.to(device)).float().cpu()
    size, weights = inceptions.size_of(network, device, see), hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        weights.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return Extractor(f"inception, {resize}", features, size, f"inception {resize} {weights.hexdigest()}")


def none_readable(image_set, n):
    """The ValueError for an ImageSet that yields none of its n pictures."""
    return ValueError(f"none of the {n:,} pictures in {image_set.name} can be read: "
                      f"{dataset.described(by_reason(image_set.skipped))}")


def features_of(extractor, image_set, n, resolution=None, cache=None, progress=False):
    """Features [N, F] of the first n images of an ImageSet, or of fewer where pictures cannot be read.

    cache: a folder where the features of pictures and portraits are kept, by a hash of the images' files, the resolution and the
    extractor, so that the next call reads them from there; None keeps nothing. Raises ValueError where no picture can be read.
    """
    path = None
    if cache and image_set.content:
        key = f"{VERSION} {image_set.content(n)} {n} {resolution} {extractor.key}"
        path = Path(cache) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
        with contextlib.suppress(ValueError, OSError):          # damaged, or not there: computed anew
            tensors, metadata = zoo.read(path)
            image_set.skipped.update(json.loads(metadata["skipped"]))
            return tensors["features"]
    batches = generators.with_progress(image_set.batches(n, resolution), image_set.name, n, progress)
    found = [extractor.features(batch) for batch in batches]
    if not found:
        raise none_readable(image_set, n)
    found = torch.cat(found)
    if path:
        try:
            zoo.save(path, {"features": found}, "features of images", replace=True, skipped=image_set.skipped)
        except OSError as error:
            commands.show_table(f"features are not kept: {commands.said(error)}")
    return found
