"""Sliced Wasserstein distance between the patches of two sets of images, level by level (PGGAN §5)."""
import numpy as np
import torch
import torch.nn.functional as F

BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
PATCHES, SIZE = 128, 7              # of one image and level
REPEATS, DIRECTIONS = 4, 128


def sliced_wasserstein(reals, fakes, rng=0):
    """PGGAN §5: the distance × 10³ per level of the Laplacian pyramid and its mean: {"64": …, "32": …, "16": …, "mean": …}.

    reals, fakes: iterables of batches [n, 3, H, W] (16,384 images each in the paper), on any device and scale: patches
    are normalised. rng: a seed, or a numpy RandomState, which draws patches of the reals, of the fakes, then directions.
    """
    rng = np.random.RandomState(rng) if isinstance(rng, int) else rng
    return compare(describe(reals, rng), describe(fakes, rng), rng)


def compare(reals, fakes, rng):
    """The distances × 10³ between the patches of two sets, each of `describe`; rng: a numpy RandomState. Raises ValueError for sets
    of different resolutions."""
    if reals.keys() != fakes.keys():
        raise ValueError(f"the sets have levels {list(reals)} and {list(fakes)}; compare images of one resolution")
    found = {str(size): 1000 * sliced_distance(reals[size], fakes[size], rng) for size in reals}
    return {**found, "mean": sum(found.values()) / len(found)}


def describe(batches, rng):
    """Normalised patches of every level, of batches of images [n, 3, H, W]: {size: [images · 128, 147]}. ValueError without any."""
    found = {}
    for images in batches:
        for level in laplacian_pyramid(images):
            found.setdefault(level.shape[-1], []).append(patches(level, rng))
    if not found:
        raise ValueError("there are no images; the sliced Wasserstein distance compares the patches of two sets")
    return {size: normalised(torch.cat(parts)) for size, parts in found.items()}


def laplacian_pyramid(images, smallest=16):
    """Burt & Adelson 1983: each level holds what the next smaller one lacks; the last, of 16 px, the rest. [N, C, H, W]"""
    h, w = images.shape[-2:]
    if h != w or h < smallest or h & (h - 1):
        raise ValueError(f"images are {h}×{w}; the pyramid needs squares of a power of two, {smallest} px or more")
    if not images.isfinite().all():
        raise ValueError("the images hold NaN or infinity")
    levels, image = [], images.float()
    while image.shape[-1] > smallest:
        smaller = pyramid_down(image)
        levels.append(image - pyramid_up(smaller))
        image = smaller
    return [*levels, image]


def pyramid_down(images):
    """Half the size: a binomial filter of 5×5 taps, the border mirrored, and every second pixel."""
    return _binomial(images)[:, :, ::2, ::2]


def pyramid_up(images):
    """Twice the size: zeros between the pixels, then four times the same filter."""
    n, c, h, w = images.shape
    spread = F.pad(images.reshape(n, c, h, 1, w, 1), [0, 1, 0, 0, 0, 1]).reshape(n, c, 2 * h, 2 * w)
    return 4 * _binomial(spread)


def patches(level, rng, count=PATCHES, size=SIZE):
    """Patches around random centres: [N, C, H, W] → [N · count, C, size, size], the last two being x and y."""
    n, c, h, w = level.shape
    total, half = n * count, size // 2
    x, y = (torch.as_tensor(rng.randint(half, side - half, size=total), device=level.device) for side in (w, h))
    offset = torch.arange(-half, half + 1, device=level.device)
    image = torch.arange(total, device=level.device)[:, None, None, None] // count
    channel = torch.arange(c, device=level.device)[:, None, None]
    return level[image, channel, (y[:, None] + offset)[:, None, None, :], (x[:, None] + offset)[:, None, :, None]]


def normalised(patches):
    """Mean 0 and standard deviation 1 for every channel of a set: [M, C, k, k] → [M, C · k · k]."""
    centred = patches - patches.mean(dim=(0, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    return (centred / deviation.clamp(min=1e-12)).flatten(1)


def sliced_distance(a, b, rng, repeats=REPEATS, directions=DIRECTIONS):
    """Rabin et al. 2011: the mean distance of the sorted projections of a and b [M, F] on random directions."""
    if a.shape != b.shape:
        raise ValueError(f"the sets have {len(a)} and {len(b)} patches; sorting pairs them, so take as many of both")
    total = 0.0
    for _ in range(repeats):
        axes = torch.as_tensor(rng.randn(a.shape[1], directions))
        axes = (axes / axes.square().sum(dim=0).sqrt()).to(a)
        total += ((a @ axes).sort(dim=0).values - (b @ axes).sort(dim=0).values).abs().mean().item()
    return total / repeats


def _binomial(images):
    c = images.shape[1]
    taps = BINOMIAL.to(images).expand(c, 1, 1, 5)
    images = F.conv2d(F.pad(images, [2, 2, 2, 2], mode="reflect"), taps, groups=c)
    return F.conv2d(images, taps.transpose(2, 3), groups=c)
