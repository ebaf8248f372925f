"""A generator's images compared with Portraits: distances in the oracle's features, and attributes that the judge predicts.

Both sides are rounded to 8 bits first, as images in files are. Every generated image has noise of its own.
"""
import torch
import torch.nn.functional as F
from tqdm import tqdm

from .. import portraits, sampling, zoo
from ..images import check, in_colour, quantized, unchecked
from ..networks import classifiers
from ..sampling import BATCH, batch_size, device_of
from . import distances

REFERENCE_SEED, CONTROL_SEED = 910_000, 920_000  # portraits that no network was trained or scored on
METRICS = ("frechet", "precision_recall", "kid")      # those of two sets of features
REFERENCES = ("portraits",)
KID_LEAST = 50          # images


def generated(G, samples, seed=0, psi=1.0, c=None):
    """Yield batches of generated images [b, 3, H, W], `samples` in all, of the first latents of a seed.

    psi: truncation. c: labels of a class-conditional generator (`sampling.labels`); without them, all classes. z is drawn on the
    CPU, so that it is the same on every device.
    """
    for _, _, images in generated_pairs(G, samples, seed, psi, c):
        yield images


@torch.no_grad()
def generated_pairs(G, samples, seed=0, psi=1.0, c=None):
    """As `generated`, with the latents: yield z [b, z_dim], their labels as an argument of G or its mapping ({"c": …} or {}), and
    images [b, 3, H, W]; those of a grey generator have three equal channels."""
    device = device_of(G)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for z, given in sampling.draws(G, samples, seed, c, batch_size(G)):
            yield z, given, in_colour(G(z, psi=psi, **given))


def rendered(samples, seed, resolution=classifiers.RESOLUTION, device="cpu"):
    """Yield batches of rendered portraits [b, 3, H, W], `samples` in all, on the device."""
    for images, _ in portraits.batches(samples, seed, resolution, batch_size=BATCH, device=device):
        yield images


def with_progress(batches, what, samples, progress=True):
    """Yield the same batches of images, `samples` in all, under a progress bar that says `what` they are."""
    with tqdm(total=samples, desc=what, unit="img", disable=not progress) as bar:
        for images in batches:
            yield images
            bar.update(len(images))


@torch.no_grad()
def features(oracle, batches):
    """The oracle's features [N, F] of batches of images [b, 3, H, W] in [-1, 1], of any resolution, `quantized`."""
    device = device_of(oracle)
    return torch.cat([oracle.features(quantized(images).to(device)).float() for images in batches])


def checked_reference(G, reference=None):
    """Raise ValueError unless a generator was trained on Portraits, the only reference, or reference="portraits" insists."""
    if reference not in (None, *REFERENCES):
        raise ValueError(f'there is no reference "{reference}"; choose {", ".join(REFERENCES)}')
    if reference is None and zoo.dataset_of(G) != "portraits":
        raise ValueError("this generator was not trained on Portraits, with which it would be compared, or its file does not say "
                         "so; name pictures like those that it was trained on (data=…, --data …), or pass "
                         'reference="portraits" (--reference portraits) if you want that comparison all the same')


def check_samples(metric, samples, size):
    """Raise ValueError for fewer samples than a metric of `size` features needs."""
    least, reason = {"kid": (KID_LEAST, f"its interval needs {KID_LEAST}"),
                     "precision_recall": (distances.NEIGHBOURS + 1, f"it looks at {distances.NEIGHBOURS} neighbours of each")
                     }.get(metric, (size + 1, f"the covariance of {size} features needs more than {size}"))
    if samples < least:
        raise ValueError(f"{too_few(samples)} for {metric}: {reason}; take at least {least:,}, and 10,000 for a steady "
                         "value")


def too_few(samples):
    return f"{samples:,} samples are too few" if samples != 1 else "1 sample is too few"


def size_of(network):
    """How many features a network has for an image. Raises ValueError for a network without `features`."""
    if not hasattr(network, "features"):
        raise ValueError(f"{zoo.held(network)}, which gives no features of an image; pass an oracle")
    return features(network, [torch.zeros(1, 3, classifiers.RESOLUTION, classifiers.RESOLUTION)]).shape[1]


def frechet(
    images, oracle, *,
    samples=10_000,             # portraits, and generated images
    seed=0,                     # of the latents
    c=None,                     # labels of a class-conditional generator (`sampling.labels`); None: all classes
    reference=None,             # "portraits" compares a generator with portraits that was not trained on them
):
    """The Fréchet distance, in the oracle's features, between Portraits and a generator's images, or given images [N, 3, H, W].

    Raises ValueError for too few samples, and for a generator that was not trained on Portraits without reference="portraits".
    """
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
    """Some of METRICS of two sets of features [N, F] and [M, F]: {name: number}; precision_recall gives "precision" and "recall".

    Raises ValueError for an unknown metric and too few samples.
    """
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


def attribute_distances(predicted, reference):
    """The distance of each attribute's distribution in generated images from that in portraits, predicted by one classifier.

    predicted, reference: attributes {name: [N]} of generated images and of portraits.
    → {name: {"distance": number, "generated": …, "portraits": …}}.
    Discrete: the shares of the classes, and their total variation ½ Σ |p − q| as distance. Continuous: mean and standard deviation,
    and the Kolmogorov–Smirnov distance. Both distances lie between 0 and 1.
    """
    result = {}
    for spec in portraits.ATTRIBUTES:
        mine, real = predicted[spec.name], reference[spec.name]
        if spec.kind == "discrete":
            p, q = (torch.bincount(x, minlength=len(spec.values)) / len(x) for x in (mine, real))
            result[spec.name] = {"distance": (p - q).abs().sum().item() / 2, "generated": dict(zip(spec.values, p.tolist())),
                                 "portraits": dict(zip(spec.values, q.tolist()))}
        else:
            values = torch.cat([mine, real]).sort().values
            steps = [torch.searchsorted(x.sort().values, values, right=True) / len(x) for x in (mine, real)]
            result[spec.name] = {"distance": (steps[0] - steps[1]).abs().max().item(),
                                 "generated": {"mean": mine.mean().item(), "std": mine.std().item()},
                                 "portraits": {"mean": real.mean().item(), "std": real.std().item()}}
    return result


@unchecked()
def report(
    G, oracle, judge, *,
    samples=20_000,             # generated images, and as many portraits, for the distances
    predictions=1_000,          # generated images whose attributes are predicted
    seed=0,                     # of the latents
    psi=1.0,                    # truncation
    c=None,                     # labels of a class-conditional generator (`sampling.labels`); None: all classes
    reference=None,             # "portraits" compares a generator with portraits that was not trained on them
    progress=False,             # show progress bars
):
    """All measurements of a generator's card, and its first 100 images [100, 3, H, W].

    {"model", "floor", "blur_1px": METRICS}: against one set of `samples` portraits, those of as many images of the generator, of a
    second set of portraits, and of that second set blurred by a Gaussian of 1 pixel. "attributes": `attribute_distances` of
    `predictions` generated images from 10 times as many portraits, and as "floor" the distance of as many other portraits.
    "agreement": of oracle and judge on the generated images (`classifiers.scores`).
    """
    checked_reference(G, reference)
    device, size = device_of(oracle), G.resolution
    for name in METRICS:
        check_samples(name, samples, size_of(oracle))
    drawn = lambda n, seed: with_progress(rendered(n, seed, size, device), "portraits", n, progress)
    sampled = lambda n: with_progress(generated(G, n, seed, psi, c), "generated", n, progress)
    reference = features(oracle, drawn(samples, REFERENCE_SEED))
    control, blurred = [], []
    for images in drawn(samples, CONTROL_SEED):
        control.append(features(oracle, [images]))
        blurred.append(features(oracle, [blur(images)]))
    sets = {"model": features(oracle, sampled(samples)), "floor": torch.cat(control),
            "blur_1px": torch.cat(blurred)}
    result = {name: compare(reference, fakes) for name, fakes in sets.items()}

    images = quantized(torch.cat(list(sampled(predictions))))
    real = classifiers.predict(judge, quantized(torch.cat(list(drawn(10 * predictions, REFERENCE_SEED)))))
    other = classifiers.predict(judge, quantized(torch.cat(list(drawn(predictions, CONTROL_SEED)))))
    mine = classifiers.predict(judge, images)
    found, floor = (attribute_distances(*map(portraits.canonical, pair)) for pair in ((mine, real), (other, real)))
    result["attributes"] = {name: {**entry, "floor": floor[name]["distance"]} for name, entry in found.items()}
    result["agreement"] = classifiers.scores(classifiers.predict(oracle, images), mine)
    return result, images[:100].cpu()


def blur_curve(
    oracle, *,
    samples=20_000,             # portraits of each of the two sets
    sigmas=tuple(i / 4 for i in range(9)),      # widths of the blurs, in pixels
    progress=False,             # show progress bars
):
    """A scale for the Fréchet distance: its value for portraits blurred by Gaussians of several widths, against other portraits.

    → {"0.25": distance, …}
    """
    device = device_of(oracle)
    check_samples("frechet", samples, size_of(oracle))
    drawn = lambda seed: with_progress(rendered(samples, seed, device=device), "portraits", samples, progress)
    reference = features(oracle, drawn(REFERENCE_SEED))
    parts = {sigma: [] for sigma in sigmas}
    for images in drawn(CONTROL_SEED):
        for sigma in sigmas:
            parts[sigma].append(features(oracle, [blur(images, sigma) if sigma else images]))
    return {f"{sigma:.2f}": compare(reference, torch.cat(blurred), ("frechet",))["frechet"] for sigma, blurred in parts.items()}


def blur(images, sigma=1.0):
    """Images [N, C, H, W] under a Gaussian of `sigma` pixels, sampled at whole pixels (so below 0.3 it does nothing); the border is
    repeated."""
    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-x.square() / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    images = F.conv2d(F.pad(images, [reach] * 4, mode="replicate"), kernel, groups=images.shape[1])
    return F.conv2d(images, kernel.transpose(2, 3), groups=images.shape[1])
