"""A generator of portraits against the world: distances in the oracle's features, and what the judge reads.

Both sides are rounded to 8 bits first, as images in files are. Noise inputs are drawn anew for every image.
"""
import torch
import torch.nn.functional as F
from tqdm import tqdm

from .. import judges, portraits, sampling, zoo
from ..images import check, in_colour, unchecked
from ..sampling import device_of
from . import distances

REFERENCE_SEED, CONTROL_SEED = 910_000, 920_000  # portraits that no network was trained or scored on
METRICS = ("frechet", "precision_recall", "kid")      # those of two sets of features
REFERENCES = ("portraits",)
BATCH = 256


def generated(G, samples, seed=0, psi=1.0, c=None):
    """Yield the images [b, 3, H, W] of the first latents of a seed. z comes from a CPU generator; c: `sampling.labels`."""
    for _, _, images in generated_pairs(G, samples, seed, psi, c):
        yield images


@torch.no_grad()
def generated_pairs(G, samples, seed=0, psi=1.0, c=None):
    """The same with the latents: yield z [b, z_dim], their labels as an argument of G or its mapping, and images, of a grey
    generator in three equal channels."""
    device = device_of(G)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for z, given in sampling.draws(G, samples, seed, c, batch_size(G)):
            yield z, given, in_colour(G(z, psi=psi, **given))


def batch_size(G):
    """As many images as a batch of 256 at 64 px has pixels, at most 256."""
    return max(1, min(BATCH, BATCH * 64 ** 2 // G.resolution ** 2))


def rendered(samples, seed, resolution=judges.RESOLUTION, device="cpu"):
    """Yield portraits of the world, [b, 3, H, W]."""
    for images, _ in portraits.batches(samples, seed, resolution, batch_size=BATCH, device=device):
        yield images


def counted(batches, what, samples, progress=True):
    """The same batches, under a progress bar."""
    with tqdm(total=samples, desc=what, unit="img", disable=not progress) as bar:
        for images in batches:
            yield images
            bar.update(len(images))


@torch.no_grad()
def features(oracle, batches):
    """The oracle's features [N, F] of batches of images of any resolution."""
    device = device_of(oracle)
    return torch.cat([oracle.features(eight_bit(images).to(device)).float() for images in batches])


def checked_reference(G, reference=None):
    """Raise ValueError unless a generator was trained on Portraits, the only reference, or reference="portraits" insists."""
    if reference not in (None, *REFERENCES):
        raise ValueError(f'there is no reference "{reference}"; choose {", ".join(REFERENCES)}')
    if reference is None and zoo.dataset_of(G) != "portraits":
        raise ValueError("this generator was not trained on Portraits, with which it would be compared, or its file does not say so; pass "
                         'reference="portraits" (--reference portraits) if you want that comparison all the same')


def check_samples(metric, samples, size):
    """Raise ValueError for fewer samples than a metric of `size` features can do with."""
    least, reason = {"kid": (distances.SUBSET, f"it averages over subsets of {distances.SUBSET:,}"),
                     "precision_recall": (distances.NEIGHBOURS + 1, f"it looks at {distances.NEIGHBOURS} neighbours of each")
                     }.get(metric, (size + 1, f"the covariance of {size} features needs more than {size}"))
    if samples < least:
        raise ValueError(f"{samples} samples are too few for {metric}: {reason}; take at least {least:,}, and 10,000 for a steady "
                         "value")


def size_of(network):
    """How many features a network gives of an image; ValueError if it gives none."""
    if not hasattr(network, "features"):
        raise ValueError(f"a {type(network).__name__} gives no features of an image; pass an oracle")
    return features(network, [torch.zeros(1, 3, judges.RESOLUTION, judges.RESOLUTION)]).shape[1]


def frechet(images, oracle, samples=10_000, seed=0, c=None, reference=None):
    """The Fréchet distance in the oracle's features from a generator's images, or from given images [N, 3, H, W], to the world.
    c: `sampling.labels`; reference: see `checked_reference`."""
    given = isinstance(images, torch.Tensor)
    if given:
        check(images, (1, 3))
    else:
        checked_reference(images, reference)
    size, fakes = (images.shape[-1], images.split(BATCH)) if given else (images.resolution, generated(images, samples, seed, c=c))
    check_samples("frechet", min(samples, len(images)) if given else samples, size_of(oracle))
    reals = rendered(samples, REFERENCE_SEED, size, device_of(oracle))
    with unchecked():
        return compare(features(oracle, reals), features(oracle, fakes), ("frechet",))["frechet"]


def compare(reals, fakes, metrics=METRICS):
    """Chosen metrics of two sets of oracle features: name → number. precision_recall gives two of them."""
    result = {}
    for name in metrics:
        if name == "frechet":
            check_samples(name, min(len(reals), len(fakes)), reals.shape[1])
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


@unchecked()
def report(G, oracle, judge, samples=20_000, readings=1_000, seed=0, psi=1.0, c=None, reference=None,
           progress=False):
    """All figures of a generator's card, and its first 100 images.

    Distances to one set of portraits of the world, from: the generator; the floor, a second set of portraits; that
    second set blurred by a Gaussian of 1 pixel. Then what the judge reads in `readings` generated images against what
    it reads in 10 times as many portraits, with as many portraits again as a floor; and the agreement of oracle and
    judge on the generated images. c: `sampling.labels`; reference: see `checked_reference`.
    """
    checked_reference(G, reference)
    device, size = device_of(oracle), G.resolution
    for name in METRICS:
        check_samples(name, samples, size_of(oracle))
    drawn = lambda n, seed: counted(rendered(n, seed, size, device), "portraits", n, progress)
    sampled = lambda n: counted(generated(G, n, seed, psi, c), "generated", n, progress)
    reference = features(oracle, drawn(samples, REFERENCE_SEED))
    control, blurred = [], []
    for images in drawn(samples, CONTROL_SEED):
        control.append(features(oracle, [images]))
        blurred.append(features(oracle, [blur(images)]))
    sets = {"model": features(oracle, sampled(samples)), "floor": torch.cat(control),
            "blur_1px": torch.cat(blurred)}
    result = {name: compare(reference, fakes) for name, fakes in sets.items()}

    images = eight_bit(torch.cat(list(sampled(readings))))
    world = judges.read(judge, eight_bit(torch.cat(list(drawn(10 * readings, REFERENCE_SEED)))))
    other = judges.read(judge, eight_bit(torch.cat(list(drawn(readings, CONTROL_SEED)))))
    seen = judges.read(judge, images)
    floor = attribute_distances(other, world)
    result["attributes"] = {name: {**entry, "floor": floor[name]["distance"]}
                            for name, entry in attribute_distances(seen, world).items()}
    result["agreement"] = judges.scores(judges.read(oracle, images), seen)
    return result, images[:100].cpu()


def blur_curve(oracle, samples=20_000, sigmas=tuple(i / 4 for i in range(9)), progress=False):
    """A scale for the Fréchet distance: portraits under blurs of several widths in pixels, against other portraits."""
    device = device_of(oracle)
    check_samples("frechet", samples, size_of(oracle))
    drawn = lambda seed: counted(rendered(samples, seed, device=device), "portraits", samples, progress)
    reference = features(oracle, drawn(REFERENCE_SEED))
    kept = {sigma: [] for sigma in sigmas}
    for images in drawn(CONTROL_SEED):
        for sigma in sigmas:
            kept[sigma].append(features(oracle, [blur(images, sigma) if sigma else images]))
    return {f"{sigma:.2f}": compare(reference, torch.cat(parts), ("frechet",))["frechet"] for sigma, parts in kept.items()}


def blur(images, sigma=1.0):
    """Images [N, C, H, W] under a Gaussian of `sigma` pixels, sampled at whole pixels (so below 0.3 it does nothing); the border is
    repeated."""
    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-x.square() / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    images = F.conv2d(F.pad(images, [reach] * 4, mode="replicate"), kernel, groups=images.shape[1])
    return F.conv2d(images, kernel.transpose(2, 3), groups=images.shape[1])


def eight_bit(images):
    """Images in [-1, 1] at the 256 levels of a file."""
    return ((check(images, (1, 3)).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
