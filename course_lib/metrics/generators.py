"""A generator of portraits against the world: distances in the oracle's features, and what the judge reads.

Both sides are rounded to 8 bits first, as images in files are. Noise inputs are drawn anew for every image.
"""
import torch
import torch.nn.functional as F

from .. import judges, portraits
from . import distances

REFERENCE_SEED, CONTROL_SEED = 910_000, 920_000  # portraits that no network was trained or scored on
METRICS = ("frechet", "precision_recall", "kid")      # those of two sets of features
BATCH = 256


def generated(G, samples, seed=0, psi=1.0):
    """Yield the images [b, 3, H, W] of the first latents of a seed. z comes from a CPU generator."""
    for _, images in generated_pairs(G, samples, seed, psi):
        yield images


@torch.no_grad()
def generated_pairs(G, samples, seed=0, psi=1.0):
    """The same with the latents: yield z [b, z_dim] and images."""
    latents = torch.randn(samples, G.z_dim, generator=torch.Generator().manual_seed(seed))
    device = _device(G)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for z in latents.split(batch_size(G)):
            z = z.to(device)
            yield z, G(z, psi=psi)


def batch_size(G):
    """As many images as a batch of 256 at 64 px has pixels, at most 256."""
    return max(1, min(BATCH, BATCH * 64 ** 2 // G.resolution ** 2))


def rendered(samples, seed, resolution=judges.RESOLUTION, device="cpu"):
    """Yield portraits of the world, [b, 3, H, W]."""
    for images, _ in portraits.batches(samples, seed, resolution, batch_size=BATCH, device=device):
        yield images


@torch.no_grad()
def features(oracle, batches):
    """The oracle's features [N, F] of batches of images of any resolution."""
    device = _device(oracle)
    return torch.cat([oracle.features(eight_bit(images).to(device)).float() for images in batches])


def frechet(images, oracle, samples=10_000, seed=0):
    """The Fréchet distance in the oracle's features from a generator's images, or from given images [N, 3, H, W], to
    the world."""
    given = isinstance(images, torch.Tensor)
    size, fakes = (images.shape[-1], images.split(BATCH)) if given else (images.resolution, generated(images, samples, seed))
    reals = rendered(samples, REFERENCE_SEED, size, _device(oracle))
    return compare(features(oracle, reals), features(oracle, fakes), ("frechet",))["frechet"]


def compare(reals, fakes, metrics=METRICS):
    """Chosen metrics of two sets of oracle features: name → number. precision_recall gives two of them."""
    result = {}
    for name in metrics:
        if name == "frechet":
            few, size = min(len(reals), len(fakes)), reals.shape[1]
            if few <= size:
                raise ValueError(f"{few} samples are too few for frechet: the covariance of {size} features needs at "
                                 f"least {size + 1}, and 10,000 for a steady value")
            result["frechet"] = distances.frechet_distance(reals, fakes)
        elif name == "precision_recall":
            result["precision"], result["recall"] = distances.precision_recall(reals[:10_000], fakes[:10_000])
        elif name == "kid":
            result["kid"] = distances.kid(reals, fakes)
        else:
            raise ValueError(f'there is no metric "{name}"; choose from {", ".join(METRICS)}')
    return result


def attribute_distances(reading, reference):
    """How far the distribution of each attribute lies from the reference's, both read by the same network.

    Discrete: the shares of the classes and their total variation, ½ Σ |p − q|. Continuous: mean, deviation, and the
    Kolmogorov–Smirnov distance. Both distances lie between 0 and 1.
    """
    result = {}
    for spec in portraits.ATTRIBUTES:
        mine, world = reading[spec.name], reference[spec.name]
        if spec.kind == "discrete":
            p, q = (torch.bincount(x, minlength=len(spec.values)) / len(x) for x in (mine, world))
            result[spec.name] = {"distance": (p - q).abs().sum().item() / 2, "generated": dict(zip(spec.values, p.tolist())),
                                 "world": dict(zip(spec.values, q.tolist()))}
        else:
            line = torch.cat([mine, world]).sort().values
            steps = [torch.searchsorted(x.sort().values, line, right=True) / len(x) for x in (mine, world)]
            result[spec.name] = {"distance": (steps[0] - steps[1]).abs().max().item(),
                                 "generated": {"mean": mine.mean().item(), "std": mine.std().item()},
                                 "world": {"mean": world.mean().item(), "std": world.std().item()}}
    return result


def report(G, oracle, judge, samples=20_000, readings=1_000, seed=0, psi=1.0):
    """All figures of a generator's card, and its first 100 images.

    Distances to one set of portraits of the world, from: the generator; the floor, a second set of portraits; that
    second set blurred by a Gaussian of 1 pixel. Then what the judge reads in `readings` generated images against what
    it reads in 10 times as many portraits, with as many portraits again as a floor; and the agreement of oracle and
    judge on the generated images.
    """
    device, size = _device(oracle), G.resolution
    reference = features(oracle, rendered(samples, REFERENCE_SEED, size, device))
    control, blurred = [], []
    for images in rendered(samples, CONTROL_SEED, size, device):
        control.append(features(oracle, [images]))
        blurred.append(features(oracle, [blur(images)]))
    sets = {"model": features(oracle, generated(G, samples, seed, psi)), "floor": torch.cat(control),
            "blur_1px": torch.cat(blurred)}
    result = {name: compare(reference, fakes) for name, fakes in sets.items()}

    images = eight_bit(torch.cat(list(generated(G, readings, seed, psi))))
    world = judges.read(judge, eight_bit(torch.cat(list(rendered(10 * readings, REFERENCE_SEED, size, device)))))
    other = judges.read(judge, eight_bit(torch.cat(list(rendered(readings, CONTROL_SEED, size, device)))))
    seen = judges.read(judge, images)
    floor = attribute_distances(other, world)
    result["attributes"] = {name: {**entry, "floor": floor[name]["distance"]}
                            for name, entry in attribute_distances(seen, world).items()}
    result["agreement"] = judges.scores(judges.read(oracle, images), seen)
    return result, images[:100].cpu()


def blur_curve(oracle, samples=20_000, sigmas=tuple(i / 4 for i in range(9))):
    """A scale for the Fréchet distance: portraits under blurs of several widths in pixels, against other portraits."""
    device = _device(oracle)
    reference = features(oracle, rendered(samples, REFERENCE_SEED, device=device))
    kept = {sigma: [] for sigma in sigmas}
    for images in rendered(samples, CONTROL_SEED, device=device):
        for sigma in sigmas:
            kept[sigma].append(features(oracle, [blur(images, sigma) if sigma else images]))
    return {f"{sigma:.2f}": compare(reference, torch.cat(parts), ("frechet",))["frechet"] for sigma, parts in kept.items()}


def blur(images, sigma=1.0):
    """Images [N, C, H, W] under a Gaussian of `sigma` pixels; the border is repeated."""
    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-x.square() / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    images = F.conv2d(F.pad(images, [reach] * 4, mode="replicate"), kernel, groups=images.shape[1])
    return F.conv2d(images, kernel.transpose(2, 3), groups=images.shape[1])


def eight_bit(images):
    """Images in [-1, 1] at the 256 levels of a file."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _device(network):
    return next(network.parameters()).device
