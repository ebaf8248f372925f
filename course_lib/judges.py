"""Networks that read a portrait: the oracle, whose features give the Fréchet distance, and the judge read its attributes,
the identity network who it is.

Oracle and judge differ in architecture, seed and augmentation, and the judge takes no part in training or selecting
anything, so that nothing is examined by what it was optimised against.
"""
import torch
from torch import nn
import torch.nn.functional as F

from . import portraits
from .images import check

RESOLUTION = 64


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with group normalisation, the first with stride 2."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(8, out_channels)

    def forward(self, x):
        y = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        return F.silu(y + self.skip(F.avg_pool2d(x, 2)))


def residual_layers(maps=(32, 64, 96, 128, 128)):
    """64 px → 4 px by residual blocks."""
    stem = [nn.Conv2d(3, maps[0], 3, padding=1, bias=False), nn.GroupNorm(8, maps[0]), nn.SiLU()]
    return nn.Sequential(*stem, *[ResidualBlock(a, b) for a, b in zip(maps, maps[1:])])


def pooled_layers(maps=(32, 64, 96, 128)):
    """64 px → 4 px by pairs of convolutions with batch normalisation and max pooling."""
    layers, before = [], 3
    for after in maps:
        for a, b in ((before, after), (after, after)):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        before = after
    return nn.Sequential(*layers)


LAYERS = {"oracle": residual_layers, "judge": pooled_layers}


class Reader(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] → one output per continuous attribute, one logit per class of the others."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.layers = LAYERS[kind]()
        self.dense = nn.Linear(128 * 16, 256)
        self.heads = nn.Linear(256, sum(_widths()))

    def features(self, images):
        """The penultimate layer, [N, 256]. Images of another size are resized to 64 px with antialiasing."""
        return F.silu(self.dense(self.layers(_resized(images, self)).flatten(1)))

    def maps(self, images):
        """The last feature map of every resolution from 64 px to 4 px, a list of [N, C, H, W]."""
        found = [_resized(images, self)]
        for layer in self.layers:
            x = layer(found[-1])
            found = found + [x] if x.shape[2:] != found[-1].shape[2:] else found[:-1] + [x]
        return found

    def forward(self, images):
        """A dict: name → [N] in [-1, 1] for a continuous attribute, logits [N, classes] for a discrete one."""
        out = self.heads(self.features(images)).split(_widths(), dim=1)
        return {spec.name: o[:, 0] if spec.kind == "continuous" else o for spec, o in zip(portraits.ATTRIBUTES, out)}


class Identity(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] → unit vectors [N, size], near each other for one person in whatever pose, expression,
    light and hair. Two images show one person if the cosine of their vectors is at least `threshold`.
    """

    def __init__(self, size=128, threshold=0.5):
        super().__init__()
        self.layers = residual_layers()
        self.dense = nn.Linear(128 * 16, size)
        self.threshold = threshold

    def forward(self, images):
        return F.normalize(self.dense(self.layers(_resized(images, self)).flatten(1)), dim=1)

    def same_person(self, images, others):
        """Whether images and others show the same people. [N, 3, H, W], [N, 3, H, W] → bool [N]."""
        return (self(images) * self(others)).sum(dim=1) >= self.threshold


@torch.no_grad()
def read(network, images, batch_size=256):
    """Attributes as a trained reader sees them: name → CPU tensor [N], in the units of the world, classes as indices."""
    device = next(network.parameters()).device
    parts = [network(part.to(device).float()) for part in check(images, (1, 3)).split(batch_size)]
    reading = {}
    for spec in portraits.ATTRIBUTES:
        out = torch.cat([part[spec.name] for part in parts]).float().cpu()
        reading[spec.name] = out.argmax(dim=1) if spec.kind == "discrete" else (
            spec.low + (spec.high - spec.low) * (out.clamp(-1, 1) + 1) / 2)
    return reading


def who(reading):
    """Who a reading shows: unit vectors of what stays when pose, expression, light, hair and accessories change
    (`portraits.identity`). A dict of [N] → [N, k]"""
    return F.normalize(2 * portraits.identity(reading) - 1, dim=1)


def scaled(spec, value):
    """A continuous attribute from [low, high] to [-1, 1]."""
    return 2 * (value - spec.low) / (spec.high - spec.low) - 1


def scores(reading, truth):
    """Accuracy of each discrete attribute and R² of each continuous one."""
    result = {}
    for spec in portraits.ATTRIBUTES:
        mine, true = reading[spec.name], truth[spec.name]
        if spec.kind == "discrete":
            result[spec.name] = (mine == true).float().mean().item()
        else:
            result[spec.name] = 1 - ((mine - true).square().mean() / true.var(unbiased=False)).item()
    return result


def from_tensors(tensors, kind):
    """A reader from the tensors of its safetensors file."""
    network = Reader(kind)
    network.load_state_dict(tensors)
    return network


def identity_from(tensors, threshold):
    """An identity network from the tensors of its safetensors file."""
    network = Identity(len(tensors["dense.bias"]), threshold)
    network.load_state_dict(tensors)
    return network


def _widths():
    return [1 if spec.kind == "continuous" else len(spec.values) for spec in portraits.ATTRIBUTES]


def _resized(images, network):
    """Checked, except where the network is trained, and at 64 px."""
    images = images if network.training else check(images)
    if images.shape[2:] != (RESOLUTION, RESOLUTION):
        images = F.interpolate(images, [RESOLUTION, RESOLUTION], mode="bilinear", antialias=True)
    return images
