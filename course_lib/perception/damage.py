"""Damaged portraits, from which the judge learns to say that a picture is unreadable.

Every kind of damage is a function (images, others, strength, rng) → images: portraits [N, 3, 64, 64] in [-1, 1]; other portraits
of the same shape, from which some kinds take parts; a strength for each, [N, 1, 1, 1]; and a torch.Generator on the CPU, from
which all chance comes. `TRAINED` are the kinds of which the judge is trained on examples, `HELD_OUT` those that only test it. Both
say between which strengths a person calls the picture broken at 64 px, and up to which it is still a good one.
"""
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .. import portraits
from ..networks.classifiers import RESOLUTION, AttributeClassifier
from .edit_targets import EDIT_TARGETS

SQUARES = 1, 2, 4, 8            # pixels, over which a gradient that moves them is averaged


class Kind(NamedTuple):
    """A kind of damage: its function, its weakest and its strongest, and the strength up to which a picture stays a good one.

    redrawn: the attributes of which one, or as many as `changes`, differ in the other portrait; without any it is a stranger's.
    weight: how many examples the judge learns from, relative to other kinds; more of what is hard to see.
    """
    damage: Callable
    weakest: float
    strongest: float
    mild: float = 0.0
    redrawn: tuple = ()
    changes: int = 1
    weight: int = 1


def noise(images, others, strength, rng):
    """White noise of standard deviation `strength`, in a spot about the head or everywhere."""
    spot = spots(len(images), (14, 22), rng).to(images)
    everywhere = uniform(len(images), 0, 1, rng).to(images) < 0.6
    added = torch.randn(images.shape, generator=rng).to(images)
    return images + strength * added * torch.where(everywhere, 1.0, spot)


def blur(images, others, strength, rng):
    """Gaussian blur of standard deviation `strength` in pixels."""
    line = torch.arange(RESOLUTION, device=images.device).float()
    weights = (-((line - line[:, None]) / strength.clamp(min=0.01)).square() / 2).softmax(dim=3)
    return weights @ images @ weights.mT


def smear(images, others, strength, rng):
    """A large spot smeared over `strength` pixels along a direction."""
    x, y = somewhere(strength, rng)
    along = [shifted(images, part * x, part * y) for part in torch.linspace(-0.5, 0.5, 9).tolist()]
    return torch.lerp(images, torch.stack(along).mean(dim=0), spots(len(images), (16, 26), rng).to(images))


def blend(images, others, strength, rng):
    """Two pictures over each other; `strength` is the share of the other."""
    return torch.lerp(images, others, strength)


def half_drawn(images, others, strength, rng):
    """On one side of a ragged line through what differs, the other picture. strength: how ragged, in pixels."""
    n, line, weight = len(images), torch.arange(RESOLUTION, device=images.device).float(), _difference(images, others)
    x, y = (weight.sum(dim=2) @ line).view(n, 1, 1, 1), (weight.sum(dim=3) @ line).view(n, 1, 1, 1)
    across, down = somewhere(torch.ones_like(x), rng)
    distance = (line - x) * across + (line[:, None] - y) * down
    return torch.where(distance + strength * field(n, 12, rng).to(images) > 0, images, others)


def patchy(images, others, strength, rng):
    """The other picture in soft patches, which take half of what differs; `strength` is how opaque they are."""
    n, weight = len(images), _difference(images, others)
    x = torch.where(uniform(n, 0, 1, rng) < 0.5, field(n, 5, rng), field(n, 9, rng)).to(images)
    mean = lambda x: (weight * x).sum(dim=(2, 3), keepdim=True)
    x = (x - mean(x)) / (mean(x.square()) - mean(x) ** 2).clamp(min=1e-4).sqrt()
    return torch.lerp(images, others, strength * (1.5 * x + 0.5).clamp(0, 1))


def patch(images, others, strength, rng):
    """A spot of `strength` pixels in radius, sharp or soft, with another place of another picture."""
    n = len(images)
    x, y = uniform(2 * n, -14, 14, rng).to(images).chunk(2)
    return torch.lerp(images, shifted(others, x, y), spots(n, strength, rng, soft=uniform(n, 1, 6, rng)).to(images))


def warp(images, others, strength, rng):
    """Pixels displaced by `strength` (root mean square) along smooth random fields: bent outlines, melted faces."""
    n = len(images)
    fields = [torch.where(uniform(n, 0, 1, rng) < 0.5, field(n, 6, rng), field(n, 10, rng)).to(images) for _ in range(2)]
    return shifted(images, *(strength * displacement for displacement in fields))


def doubled(images, others, strength, rng):
    """A spot in which the picture lies over itself, moved by `strength` pixels: two pairs of eyes."""
    again = (images + shifted(images, *somewhere(strength, rng))) / 2
    return torch.lerp(images, again, spots(len(images), (14, 22), rng).to(images))


def stain(images, others, strength, rng):
    """Two spots of random colours, sharp or soft, whose opacity is `strength`."""
    n = len(images)
    for _ in range(2):
        color = torch.empty(n, 3, 1, 1).uniform_(-1, 1, generator=rng).to(images)
        color = color / color.abs().amax(dim=1, keepdim=True)
        spot = spots(n, (5, 12), rng, soft=uniform(n, 1, 8, rng)).to(images)
        images = torch.lerp(images, color.expand_as(images), strength * spot)
    return images


def hole(images, others, strength, rng):
    """A hole of `strength` pixels in radius, through which the background shows: what lies at the picture's edges."""
    n, across = len(images), torch.linspace(0, 1, RESOLUTION, device=images.device)
    background = torch.lerp(images[..., :1], images[..., -1:], across)
    return torch.lerp(images, background, spots(n, strength, rng, soft=0.5).to(images))


def shuffle(images, others, strength, rng):
    """A share `strength` of the squares of 8 pixels, each in the place of the next of them in a random order."""
    squares, n = F.unfold(images, 8, stride=8), len(images)
    order = torch.rand(n, 64, generator=rng).argsort(dim=1)
    count = (64 * strength.cpu().view(n, 1)).long().clamp(min=2)
    position = torch.arange(64).expand(n, 64)
    after = torch.where(position < count, (position + 1) % count, position)
    source = torch.empty_like(order).scatter_(1, order, order.gather(1, after))
    return F.fold(squares.gather(2, source[:, None].expand_as(squares).to(images.device)), RESOLUTION, 8, stride=8)


def channel_shift(images, others, strength, rng):
    """Red and blue moved away from green, by `strength` pixels in opposite directions."""
    (x, y), (red, green, blue) = somewhere(strength, rng), images.split(1, dim=1)
    return torch.cat([shifted(red, x, y), green, shifted(blue, -x, -y)], dim=1)


def quantization(images, others, strength, rng):
    """Coarse JPEG: the cosine transforms of squares of 8 pixels, rounded to steps of `strength`."""
    n, k = len(images), torch.arange(8.0, device=images.device)
    cosines = torch.cos(math.pi * (k + 0.5) * k[:, None] / 8) * torch.where(k == 0, 0.5, 1 / 2 ** 0.5)[:, None] / 2 ** 0.5
    squares = images.view(n, 3, 8, 8, 8, 8).transpose(3, 4)
    rounded = (cosines @ squares @ cosines.T / strength[..., None, None]).round() * strength[..., None, None]
    return (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(images.shape)


def low_rank(images, others, strength, rng):
    """Each colour as a matrix of rank `strength`."""
    u, s, v = torch.linalg.svd(images, full_matrices=False)
    rank = torch.arange(RESOLUTION, device=images.device) < strength[:, :, 0].round()
    return (u * (s * rank)[..., None, :]) @ v


def torn(images, others, strength, rng):
    """Lines of the picture moved sideways, each by up to `strength` pixels."""
    x = (torch.rand(len(images), 1, RESOLUTION, 1, generator=rng).to(images) * 2 - 1) * strength
    return shifted(images, x, torch.zeros_like(x))


def two_halves(images, others, strength, rng):
    """The left half of one picture beside the right half of the other, moved up or down by `strength` pixels."""
    right = torch.arange(RESOLUTION, device=images.device) >= RESOLUTION // 2
    sign = uniform(len(images), -1, 1, rng).sign().to(images)
    return torch.where(right, shifted(others, torch.zeros_like(strength), strength * sign), images)


CHANGES = [name for name in "glasses hat hat_color beard beard_color hairstyle hair_color clothing clothing_color cloth background "
           "backdrop".split() if name in portraits.table()]
TRAINED = {
    "noise": Kind(noise, 0.3, 0.7, mild=0.07),
    "blur": Kind(blur, 2, 4, mild=0.7),
    "smear": Kind(smear, 9, 22, mild=2),
    "blend": Kind(blend, 0.3, 0.5, mild=0.05),
    "mixture": Kind(patchy, 0.5, 1, weight=2),
    "patch": Kind(patch, 8, 14, weight=2),
    "see-through": Kind(blend, 0.4, 0.6, redrawn=("hat", "hairstyle")),
    "half faded": Kind(patchy, 0.7, 1, redrawn=CHANGES, changes=2, weight=6),
    "half drawn": Kind(half_drawn, 0, 5, redrawn=CHANGES, changes=2, weight=6),
    "warp": Kind(warp, 2, 5, mild=0.4),
    "doubled": Kind(doubled, 6, 12, mild=0.7),
    "stain": Kind(stain, 0.65, 1, mild=0.05),
    "hole": Kind(hole, 6, 11),
}
HELD_OUT = {
    "shuffle": Kind(shuffle, 0.3, 1),
    "channel shift": Kind(channel_shift, 3, 8),
    "quantization": Kind(quantization, 1.2, 2),
    "low rank": Kind(low_rank, 5, 3),
    "torn": Kind(torn, 3, 8),
    "two halves": Kind(two_halves, 0, 6),
}


def _difference(images, others):
    """Where two pictures differ: weights [N, 1, 64, 64] whose sum is 1."""
    return F.normalize((images - others).abs().mean(dim=1, keepdim=True) + 1e-6, p=1, dim=(2, 3))


def field(n, nodes, rng):
    """Smooth random fields, [n, 1, 64, 64]: normal numbers at nodes × nodes points and cubic curves between them, scaled to a root
    mean square of 1."""
    x = F.interpolate(torch.randn(n, 1, nodes, nodes, generator=rng), RESOLUTION, mode="bicubic", align_corners=True)
    return x / x.square().mean(dim=(2, 3), keepdim=True).sqrt()


def spots(n, radius, rng, soft=1.5):
    """Ragged spots about the head, [n, 1, 64, 64], 1 inside and 0 outside. radius: in pixels, [n, 1, 1, 1], or a pair between which
    it lies; soft: width of their edge in pixels."""
    if isinstance(radius, tuple):
        radius = uniform(n, *radius, rng)
    x, y, line = uniform(n, 22, 42, rng), uniform(n, 16, 42, rng), torch.arange(RESOLUTION).float()
    distance = ((line - x).square() + (line[:, None] - y).square()).sqrt()
    return ((radius.cpu() * (1 + 0.15 * field(n, 8, rng)) - distance) / soft + 0.5).clamp(0, 1)


def shifted(images, x, y):
    """Images [N, C, 64, 64] moved right by x and down by y pixels, each broadcast to [N, 1, 64, 64]; the edge goes on."""
    line = torch.arange(RESOLUTION, device=images.device).float()
    places = torch.stack(torch.broadcast_tensors(line - x[:, 0], line[:, None] - y[:, 0]), dim=3)
    return F.grid_sample(images, (2 * places + 1) / RESOLUTION - 1, padding_mode="border", align_corners=False)


def somewhere(length, rng):
    """Moves x and y of a length [n, 1, 1, 1] in a random direction."""
    angle = uniform(len(length), 0, 2 * math.pi, rng).to(length)
    return length * angle.cos(), length * angle.sin()


def uniform(n, low, high, rng):
    """[n, 1, 1, 1] between low and high."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=rng)


def redrawn(attributes, names, rng):
    """Attributes {name: [N]} of which one of `names`, drawn for each portrait, is changed so that everyone sees it: glasses or hat
    put on or off, a full beard on light skin put on or off, hair on or off; other clothes, another background, another colour."""
    n, changed, bald = len(attributes["yaw"]), dict(attributes), attributes["hairstyle"] == portraits.index("hairstyle", "bald")
    always = torch.ones(n)
    takes_hat = portraits.canonical(attributes | {"hat": always.long()})["hat"] > 0
    possible = {"hat": takes_hat, "hair_color": ~bald, "beard": attributes["skin"] < 0.5, "hat_color": attributes["hat"] > 0,
                "beard_color": attributes["beard"] > 1}
    chosen = torch.multinomial(torch.stack([possible.get(name, always).float() for name in names], dim=1), 1, generator=rng)[:, 0]
    for i, name in enumerate(names):
        classes, old = len(portraits.table()[name].values), attributes[name]
        other = torch.randint(1, classes, [n], generator=rng)
        if "color" in name or name == "background":         # the next one in the table is often much the same
            other = (old + torch.randint(2, classes - 1, [n], generator=rng)) % classes
        elif name == "beard":
            other = torch.where(old == classes - 1, 0, classes - 1)
        else:
            other = torch.where(old > 0, 0, other) if name in ("glasses", "hat", "hairstyle") else (old + other) % classes
        changed[name] = torch.where(chosen == i, other, changed[name])
        if name != "clothing" and (color := portraits.table().get(f"{name}_color")):            # of what is put on
            drawn = torch.randint(len(color.values), [n], generator=rng)
            changed[color.name] = torch.where(old > (name == "beard"), attributes[color.name], drawn)
    return portraits.canonical(changed)


def moved(images, others, strength, rng, network, steps=16):
    """Pixels moved by at most `strength`, so that a network sees something else: signed steps up the gradient (Madry et al. 2018,
    arXiv:1706.06083, §2.1), whose means over SQUARES are taken, of one size for each image, with smooth transitions between them.

    network: a classifier is to see another value of one attribute, a Clip one of EDIT_TARGETS, any other the other portrait.
    """
    embed, wanted = _aim(network, images, others, rng)
    size, x = torch.randint(len(SQUARES), [len(images), 1, 1, 1], generator=rng).to(images.device), images
    for _ in range(steps):
        x = x.detach().requires_grad_()
        gradient, = torch.autograd.grad((embed(x) * wanted).sum(), x)
        coarse = [F.interpolate(F.avg_pool2d(gradient, k).sign(), RESOLUTION, mode="bilinear") for k in SQUARES]
        step = sum(one * (size == i) for i, one in enumerate(coarse))
        x = (images + (x - images + 2.5 / steps * strength * step).clamp(-strength, strength)).clamp(-1, 1)
    return x.detach()


@torch.no_grad()
def _aim(network, images, others, rng):
    """What `moved` is to increase: a function images → [N, D], and the weights [N, D] of its sum."""
    n = len(images)
    if isinstance(network, AttributeClassifier):
        embed = lambda x: torch.cat([out.view(len(x), -1) for out in network(x).values()], dim=1)
        size = embed(images[:1]).shape[1]
        one = F.one_hot(torch.randint(size, [n], generator=rng), size)
        return embed, (one * uniform(n, -1, 1, rng).sign().view(n, 1)).to(images)
    if hasattr(network, "encode_images"):
        texts = network.encode_texts(list(EDIT_TARGETS))
        return network.encode_images, texts[torch.randint(len(texts), [n], generator=rng)]
    embed = getattr(network, "features", network)
    return embed, embed(others) - embed(images)


def against(networks):
    """Kinds of damage by gradients of networks {name: network} (`moved`): {"moved against <name>": Kind}"""
    return {f"moved against {name}": Kind(functools.partial(moved, network=network), 0.2, 0.45, mild=0.03)
            for name, network in networks.items()}


def damaged(kind, images, others, rng):
    """Images [N, 3, 64, 64] with a Kind of damage, of strengths between its weakest and its strongest."""
    return kind.damage(images, others, uniform(len(images), kind.weakest, kind.strongest, rng).to(images), rng).clamp(-1, 1)


def mildly_damaged(kinds, images, rng):
    """Images [N, 3, 64, 64], each with one of the kinds {name: Kind}, so weak that it remains a good portrait."""
    mild = [kind for kind in kinds.values() if kind.mild]
    parts = images.tensor_split(len(mild))
    return torch.cat([kind.damage(part, part.roll(1, dims=0), uniform(len(part), 0, kind.mild, rng).to(part), rng)
                      for kind, part in zip(mild, parts) if len(part)]).clamp(-1, 1)
