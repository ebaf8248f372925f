"""Perceptual distances: callables (images a, images b) [N, 3, H, W] in [-1, 1] → [N], each with a `name`.

Values measured with different distances are on different scales; every result therefore carries the name.
"""
import copy
from pathlib import Path

import torch
import torch.nn.functional as F

from .. import download, zoo
from ..images import check
from ..networks.image_features import ImageFeatures

LPIPS_TAPS = (3, 8, 15, 22, 29)                 # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
# Where the files of LPIPS are, and their sha256: torchvision gives its first 8 digits, the rest is as other projects record it.
LINEAR = ("https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
          "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868")
LPIPS_LICENCE = "weights of LPIPS by Zhang et al., BSD 2-Clause Licence, https://github.com/richzhang/PerceptualSimilarity"
VGG_LICENCE = "VGG16 of torchvision, trained on ImageNet, whose terms may apply: https://github.com/pytorch/vision"
VGG = ("https://download.pytorch.org/models/vgg16-397923af.pth",
       "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0")


def oracle_distance(oracle):
    """The distance of Zhang et al. 2018 (arXiv:1801.03924, eq. 1) with all w = 1, in the oracle's maps of 64 to 4 px, or in those
    of another network with `maps`: 0 for equal images, at most 4 for each of the resolutions.

    It computes in the dtype and on the device of the images it is given.
    """
    network = copy.deepcopy(oracle).eval().requires_grad_(False)

    def distance(a, b):
        maps = zip(network.to(check(a, (1, 3))).maps(a), network.maps(b))
        return sum(_unit_difference(x, y).sum(dim=1).mean(dim=(1, 2)) for x, y in maps)

    distance.name = "features" if isinstance(oracle, ImageFeatures) else "oracle"
    return distance


def pyramid_distance(a, b):
    """Mean absolute difference of images [N, C, H, W], of their halves, quarters, … down to 4 px, averaged over the sizes. → [N]

    It needs no network: small sizes compare where colours lie, the largest compares edges.
    """
    total, sizes = 0, 0
    while a.shape[-1] >= 4:
        total, sizes = total + (a - b).abs().mean(dim=(1, 2, 3)), sizes + 1
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total / sizes


pyramid_distance.name = "pyramid"


def lpips_distance(linear, vgg=None):
    """LPIPS with VGG16 (Zhang et al. 2018, eq. 1), version 0.1, from two local files.

    linear: the `vgg.pth` of the LPIPS package (`weights/v0.1/vgg.pth`). vgg: torchvision's `vgg16-397923af.pth`. Both
    may be safetensors. `lpips_distance("download")`, and nothing else, fetches the two (553 MB) to `download.cache()`, once,
    and compares their sha256. Images larger than 256 px are averaged down to 256 px first, as in the published PPL.
    """
    if linear == "download":
        linear = download.fetch(LINEAR[0], sha256=LINEAR[1], terms=LPIPS_LICENCE)
        vgg = download.fetch(VGG[0], sha256=VGG[1], terms=VGG_LICENCE)
    from torchvision.models.vgg import cfgs, make_layers  # two seconds to import, for one distance
    layers = make_layers(cfgs["D"])[:LPIPS_TAPS[-1] + 1].eval().requires_grad_(False)
    layers.load_state_dict(_tensors(vgg, {f"features.{key}": t.shape for key, t in layers.state_dict().items()}))
    widths = {f"lin{i}.model.1.weight": (1, layers[tap - 1].out_channels, 1, 1) for i, tap in enumerate(LPIPS_TAPS)}
    weights = list(_tensors(linear, widths).values())
    mean, std = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def maps(images):
        if images.shape[-1] > 256:
            images = F.avg_pool2d(images, images.shape[-1] // 256)
        x = (images - mean.to(images)[:, None, None]) / std.to(images)[:, None, None]
        for i, layer in enumerate(layers):
            x = layer(x)
            if i in LPIPS_TAPS:
                yield x.clone()                 # the next layer may work in place

    def distance(a, b):
        check(a), check(b)
        layers.to(a)
        return sum(F.conv2d(_unit_difference(x, y), w.to(x)).mean(dim=(1, 2, 3)) for w, x, y in zip(weights, maps(a), maps(b)))

    distance.name = "LPIPS-VGG16"
    return distance


def name_of(distance):
    """The name of a distance, which results carry."""
    return getattr(distance, "name", getattr(distance, "__name__", type(distance).__name__))


def _unit_difference(x, y):
    """Squared difference of maps whose feature vectors have length 1 at every pixel."""
    return (F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)).square()


def _tensors(path, shapes):
    """The named tensors of a safetensors or a weights-only torch file, without the prefix `features.`."""
    if path is None or not Path(path).is_file():
        raise FileNotFoundError(f'{path or "a file of LPIPS"} is missing. LPIPS needs vgg.pth and vgg16-397923af.pth: fetch '
                                f'{LINEAR[0]} and {VGG[0]} and pass their paths, or pass "download" (--lpips download) to have '
                                f'them fetched to {download.cache()}')
    path = Path(path)
    try:
        found = zoo.read(path)[0] if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:                  # pickle raises whatever a damaged file makes of it
        raise ValueError(f"{path.name} is no file of weights ({(str(error) or type(error).__name__).splitlines()[0]})") from None
    found = found if isinstance(found, dict) else {}
    wrong = [key for key, shape in shapes.items() if getattr(found.get(key), "shape", None) != torch.Size(shape)]
    if wrong:
        raise ValueError(f"{path.name} is not the expected network: {wrong[0]} is missing or has another shape")
    return {key.removeprefix("features."): found[key].float() for key in shapes}
