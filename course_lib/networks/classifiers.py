"""Classifiers of a portrait's attributes: the oracle, whose features give the Fréchet distance, and the judge, which is held out.

They differ in architecture, seed and augmentation. The judge takes no part in training or selecting anything, so that its scores
are those of a network that nothing was optimised against.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .. import portraits
from ..images import check

RESOLUTION = 64
UNREADABLE = 0.5                # the probability above which a picture counts as unreadable


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with group normalisation, the first with stride 2, and a skip connection.

    [N, in_channels, H, W] → [N, out_channels, H/2, W/2]
    """

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
    """The oracle's layers: residual blocks from 64 px to 4 px. maps: feature maps at 64, 32, … px."""
    stem = [nn.Conv2d(3, maps[0], 3, padding=1, bias=False), nn.GroupNorm(8, maps[0]), nn.SiLU()]
    return nn.Sequential(*stem, *[ResidualBlock(a, b) for a, b in zip(maps, maps[1:])])


def pooled_layers(maps=(32, 64, 96, 128)):
    """The judge's layers: two convolutions with batch normalisation and a max pooling for each halving, from 64 px to 4 px. maps:
    feature maps at 64, 32, … px."""
    layers, before = [], 3
    for after in maps:
        for a, b in ((before, after), (after, after)):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        before = after
    return nn.Sequential(*layers)


LAYERS = {"oracle": residual_layers, "judge": pooled_layers}


class Comparison(nn.Module):
    """Says from a picture and its redrawing (`drawn_again`) whether the picture is unreadable: each place of maps at 16 and 8 px
    gives a number, of which the largest and the mean count, for a fault is somewhere.

    Two times [N, 3, 64, 64] in [-1, 1] → logits [N]
    """

    LARGEST = 12    # of the 320 places

    def __init__(self, maps=(32, 64, 96)):
        super().__init__()
        def block(before, after, stride=1):
            size = 4 if stride == 2 else 3
            return [nn.Conv2d(before, after, size, stride, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
        a, b, c = maps
        self.fine = nn.Sequential(*block(9, a, 2), *block(a, a), nn.AvgPool2d(2), *block(a, b), *block(b, b))
        self.coarse = nn.Sequential(nn.AvgPool2d(2), *block(b, c), *block(c, c))
        self.scores = nn.ModuleList([nn.Conv2d(b, 1, 1), nn.Conv2d(c, 1, 1)])

    def forward(self, images, drawn):
        fine = self.fine(torch.cat([images, drawn, (images - drawn).abs()], dim=1))
        found = torch.cat([score(x).flatten(1) for score, x in zip(self.scores, (fine, self.coarse(fine)))], dim=1).float()
        return found.topk(self.LARGEST, dim=1).values.mean(dim=1) + found.mean(dim=1)


class AttributeClassifier(nn.Module):
    """Predicts all attributes of portraits [N, 3, H, W] in [-1, 1], which are resized to 64 px. kind: "oracle" or "judge".

    Raw outputs come from a call, attributes in their own units from `predict`. compares: whether it has a `Comparison` too, with
    which `unreadable` tells pictures that are so damaged that their attributes mean nothing. Raises ValueError for images as
    `images.check` does.
    """

    def __init__(self, kind, compares=False):
        super().__init__()
        self.kind = kind
        self.layers = LAYERS[kind]()
        self.dense = nn.Linear(128 * 16, 256)
        self.heads = nn.Linear(256, sum(_widths()))
        self.comparison = Comparison() if compares else None

    def features(self, images):
        """The activations of the penultimate layer. [N, 3, H, W] → [N, 256]"""
        return F.silu(self.dense(self.layers(resized(images, self)).flatten(1)))

    def maps(self, images):
        """The feature maps after the last layer of each resolution, from 64 px to 4 px. [N, 3, H, W] → list of [N, C, H, W]"""
        found = [resized(images, self)]
        for layer in self.layers:
            x = layer(found[-1])
            found = found + [x] if x.shape[2:] != found[-1].shape[2:] else found[:-1] + [x]
        return found

    def forward(self, images):
        """[N, 3, H, W] → {name: [N] for a continuous attribute, in [-1, 1], or logits [N, classes] for a discrete one}"""
        return self.attributes(self.features(images))

    def attributes(self, features):
        """The same of `features` [N, 256]."""
        out = self.heads(features).split(_widths(), dim=1)
        return {spec.name: o[:, 0] if spec.kind == "continuous" else o for spec, o in zip(portraits.ATTRIBUTES, out)}


@torch.no_grad()
def predict(network: AttributeClassifier, images: torch.Tensor, batch_size: int = 256) -> dict[str, torch.Tensor]:
    """The attributes that a classifier predicts in images [N, 3, H, W] in [-1, 1]: {name: [N]} on the CPU, continuous ones in the
    units of `portraits.ATTRIBUTES`, discrete ones as indices of their values. Raises ValueError for images as `images.check`
    does."""
    device = next(network.parameters()).device
    parts = [network(part.to(device).float()) for part in check(images, (1, 3)).split(batch_size)]
    predicted = {}
    for spec in portraits.ATTRIBUTES:
        out = torch.cat([part[spec.name] for part in parts]).float().cpu()
        predicted[spec.name] = out.argmax(dim=1) if spec.kind == "discrete" else (
            spec.low + (spec.high - spec.low) * (out.clamp(-1, 1) + 1) / 2)
    return predicted


@torch.no_grad()
def unreadable(network: AttributeClassifier, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
    """The probabilities [N], on the CPU, that images [N, 3, H, W] in [-1, 1] are so damaged that what `predict` finds in them means
    nothing; 0 of a network that has not learnt to tell. Raises ValueError for images as `images.check` does."""
    device, parts = next(network.parameters()).device, check(images, (1, 3)).split(batch_size)
    if network.comparison is None:
        return torch.zeros(len(images))
    parts = (resized(part.to(device).float(), network).expand(-1, 3, -1, -1) for part in parts)
    return torch.cat([network.comparison(part, drawn_again(network, part)).sigmoid().cpu() for part in parts])


def drawn_again(network, images):
    """Each picture drawn again from the attributes that the network predicts in it, with one field of noise for all.
    [N, 3, H, W] in [-1, 1] → [N, 3, 64, 64]"""
    return portraits.render(portraits.canonical(predict(network, images)), RESOLUTION, device=images.device)


def readable(network, images):
    """Whether each of the images [N, 3, H, W] in [-1, 1] is no more likely unreadable than UNREADABLE. → bool [N], on the CPU"""
    return unreadable(network, images) <= UNREADABLE


def identity_vector(attributes: dict[str, torch.Tensor]) -> torch.Tensor:
    """Attributes {name: [N]} → unit vectors [N, k] of those that belong to a person, and stay when pose, expression, light, hair
    and accessories change (`portraits.identity`)."""
    return F.normalize(2 * portraits.identity(attributes) - 1, dim=1)


def scaled(spec: portraits.Attribute, value: torch.Tensor) -> torch.Tensor:
    """Values of a continuous attribute, from its [low, high] to [-1, 1]."""
    return 2 * (value - spec.low) / (spec.high - spec.low) - 1


def scores(predicted: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> dict[str, float]:
    """The accuracy of each discrete attribute and R² of each continuous one, of attributes {name: [N]}. → {name: number}"""
    result = {}
    for spec in portraits.ATTRIBUTES:
        mine, true = predicted[spec.name], truth[spec.name]
        if spec.kind == "discrete":
            result[spec.name] = (mine == true).float().mean().item()
        else:
            result[spec.name] = 1 - ((mine - true).square().mean() / true.var(unbiased=False)).item()
    return result


def from_tensors(tensors, kind):
    """A classifier from the tensors of its safetensors file. Raises ValueError for one of other attributes."""
    found, needed = tensors["heads.bias"].numel(), sum(_widths())
    if found != needed:
        raise ValueError(f"it predicts {found} numbers where version {portraits.VERSION} of Portraits has {needed}, so it is "
                         f"of another version; train it anew with python -m course_lib.train {kind}")
    network = AttributeClassifier(kind, compares=any(name.startswith("comparison.") for name in tensors))
    network.load_state_dict(tensors)
    return network


def _widths():
    """How many outputs each attribute has."""
    return [1 if spec.kind == "continuous" else len(spec.values) for spec in portraits.ATTRIBUTES]


def resized(images, network):
    """Images [N, 3, H, W] resized to 64 px with antialiasing where they have another size. They are checked (`images.check`) unless
    the network is in training mode."""
    images = images if network.training else check(images)
    if images.shape[2:] != (RESOLUTION, RESOLUTION):
        images = F.interpolate(images, [RESOLUTION, RESOLUTION], mode="bilinear", antialias=True)
    return images
