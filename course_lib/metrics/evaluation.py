"""All metrics of a generator, or of any two sets of images, in one call, and their table."""
import torch

from .. import dataset
from ..images import from_uint8, unchecked
from ..networks.classifiers import AttributeClassifier
from ..sampling import device_of
from . import distances, extractors, generators, sets
from .linear_separability import check_samples, judge_classifier, separability
from .path_length import perceptual_path_length
from .perceptual import oracle_distance
from .swd import sliced_wasserstein

PATHS = {f"ppl_{space}_{sampling}": (space, sampling) for space in "zw" for sampling in ("full", "end")}
OF_SETS = (*generators.METRICS, "fid", "swd")           # those that compare two sets of images
METRICS = (*OF_SETS, "ppl", *PATHS, "separability")
FEATURES = "oracle", "course", "inception"
ABOUT = "images", "data_images", "resolution", "skipped", "features"        # what a result has beside numbers


@unchecked()
def evaluate(
    source, oracle=None, metrics=("frechet",), *,
    data=None,                  # what images are compared with, as `source`; None: Portraits
    features=None,              # one of FEATURES; None: see below
    samples=10_000,             # generated images, portraits, and pictures at most; pairs of latents for ppl
    seed=0,                     # of the latents
    psi=1.0,                    # truncation
    c=None,                     # labels of a class-conditional generator (`sampling.labels`), or a class; None: all classes
    judge=None,                 # classifier of separability, or any that `separability` takes
    distance=None,              # of ppl; None: that of the oracle
    inception=None,             # path of the network of fid
    resize="clean",             # of images for Inception, or "legacy" (`extractors.inception`)
    resolution=None,            # of pictures; None: that of the generator or packed set, and without one as they are
    epsilon=1e-4,               # step of ppl, as a part of the path
    reference=None,             # "portraits" lets networks that know only portraits judge other images
    cache=None,                 # folder for features of pictures (`extractors.features_of`)
    progress=False,             # show progress bars
):
    """Some of METRICS of a generator, or of pictures: {name: number, or a dict for kid, swd, ppl and separability}, and under
    "features" which network saw the images for each metric.

    source, data: a generator or its name, "portraits", or a folder, a zip or a packed set. As many images of both are compared:
    generators and portraits are drawn as often as there are pictures. fid is Inception's, and frechet the oracle's where `features`
    does not say otherwise; kid and precision_recall take the oracle where both sides are portraits, else Inception where its file
    is named, else the course's features. "ppl" stands for full and end paths in Z and, where there is one, W. A value depends on
    seed, samples and device, not on the metrics measured beside it.
    Raises ValueError before anything is drawn: for too few samples, where the oracle or the judge, which know only portraits, would
    see other images, and where a generator that was not trained on Portraits would be compared with them unasked;
    reference="portraits" allows both.
    """
    device = next((device_of(network) for network in (source, oracle) if isinstance(network, torch.nn.Module)), "cpu")
    source, data = (one if isinstance(one, torch.nn.Module | None) else sets.open_source(one, device) for one in (source, data))
    G = source if hasattr(source, "z_dim") else None
    options = dict(psi=psi, c=c, device=device)
    images = sets.image_set(source, seed=seed, portraits_seed=generators.CONTROL_SEED, **options)
    others = sets.image_set(sets.PORTRAITS if data is None else data, seed=seed + 1, **options)
    paths = [name for name in PATHS if hasattr(G, "mapping") or PATHS[name][0] == "z"]
    names = [metrics] if isinstance(metrics, str) else metrics
    metrics = [part for name in names for part in (paths if name == "ppl" else [name])]
    counts = [one.count for one in (images, others) if one.count is not None]
    n = min([samples, *counts])
    chosen = _check(images, others, G, oracle, metrics, data, judge, distance, reference, features, inception)
    used = {name: _extractor(name, oracle, inception, device, resize) for name in dict.fromkeys(chosen.values())}
    resolution = resolution or next((one.resolution for one in (images, others) if one.resolution), None)
    for name in metrics:
        try:
            _check_samples(name, n if name in OF_SETS else samples, G, used[chosen[name]].size if name in chosen else 0)
        except ValueError:
            for one in (images, others):
                if one.count == n and not any(True for _ in one.batches(n, resolution)):
                    raise extractors.none_readable(one, n) from None
            raise
    if "swd" in metrics and resolution is None and not (images.is_portraits and others.is_portraits):
        raise ValueError("swd compares images of one resolution; name it with --resolution")

    result, seen = {}, {}
    for network, extractor in used.items():
        mine = [name for name in metrics if chosen.get(name) == network]
        both = [extractors.features_of(extractor, one, n, resolution, cache, progress).to(device) for one in (others, images)]
        for name in mine:
            _check_samples(name, min(map(len, both)), G, extractor.size)            # pictures may have been unreadable
            found = of_features(*both, name)
            result |= found
            seen |= dict.fromkeys(found, extractor.name)
    for name in metrics:
        if name == "swd":
            batches = (generators.with_progress(map(from_uint8, one.batches(n, resolution)), one.name, n, progress)
                       for one in (others, images))
            result["swd"] = sliced_wasserstein(*batches, seed)
        elif name in PATHS:
            space, ends = PATHS[name]
            result[name] = perceptual_path_length(
                G, distance or oracle_distance(oracle), space=space, sampling=ends, epsilon=epsilon, samples=samples, seed=seed,
                psi=psi, c=c, batch_size=generators.batch_size(G), progress=progress)
        elif name == "separability":
            classifier = judge_classifier(judge) if isinstance(judge, AttributeClassifier) else judge
            result["separability"] = separability(G, classifier, samples=samples, seed=seed, psi=psi, c=c, progress=progress)
    if set(OF_SETS).intersection(metrics):
        result |= {"images": n - len(images.skipped), "data_images": n - len(others.skipped), "resolution": resolution,
                   "skipped": sets.by_reason(images.skipped | others.skipped), "features": seen}
    return result


def of_features(reals, fakes, metric):
    """One metric of two sets of features [N, F] and [M, F]: {name: number, or for kid a dict}."""
    if metric == "fid":
        return {"fid": distances.frechet_distance(*(distances.moments(x, unbiased=True) for x in (reals, fakes)))}
    if metric == "kid":
        return {"kid": distances.kid_interval(reals, fakes)}
    return generators.compare(reals, fakes, [metric])


def needs_portraits(metric, distance=None, judge=None):
    """Whether a metric of a generator uses a network that knows only portraits, where nothing else is chosen."""
    if metric in OF_SETS:
        return True
    if metric == "ppl" or metric in PATHS:
        return distance is None
    return isinstance(judge, AttributeClassifier)


def _check(images, others, G, oracle, metrics, data, judge, distance, reference, features, inception):
    """Raise ValueError for what cannot be measured. → {metric: which of FEATURES it takes}"""
    alike, chosen = images.is_portraits and others.is_portraits or reference == "portraits", {}
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f'there is no metric "{name}"; choose from {", ".join(METRICS)}')
        if name not in OF_SETS and G is None:
            raise ValueError(f"{name} measures a generator, and {images.name} are images")
        if name == "separability" and judge is None:
            raise ValueError("separability needs a judge: pass one to evaluate")
        if name in PATHS and (distance or oracle) is None:
            raise ValueError(f"{name} needs an oracle: pass one to evaluate")
        if PATHS.get(name, "z")[0] == "w" and not hasattr(G, "mapping"):
            raise ValueError(f"this generator has no mapping network, so there is no W for {name}")
        if G is not None and (data is None or name not in OF_SETS) and needs_portraits(name, distance, judge):
            generators.checked_reference(G, reference)
        if name == "fid":
            chosen[name] = "inception"
        elif name in generators.METRICS:
            usual = "oracle" if alike or name == "frechet" else "inception" if inception else "course"
            chosen[name] = features or usual
        if chosen.get(name) == "oracle" and not alike:
            raise ValueError(f"{name} would compare {images.name} with {others.name} in the oracle's features, and the oracle "
                             "knows only portraits; take kid, or --features course")
        if chosen.get(name) == "oracle" and oracle is None:
            raise ValueError(f"{name} needs an oracle: pass one to evaluate")
    return chosen


def _extractor(name, oracle, inception, device, resize):
    if name == "inception":
        return extractors.inception(inception, device, resize)
    return extractors.of_network(oracle, "oracle") if name == "oracle" else extractors.course(device)


def _check_samples(metric, samples, G, size):
    if metric == "separability":
        check_samples(G, samples)
    elif metric in generators.METRICS or metric == "fid":
        generators.check_samples(metric, samples, size)
    elif samples < 2:
        raise ValueError(f"{generators.too_few(samples)} for {metric}; take at least 2, and 10,000 for a steady value")


def table(result):
    """The result of `evaluate` as text: for each metric its value, 95 % confidence interval, and the network that measured it; then
    what the values can be compared with."""
    rows, features = [], result.get("features", {})
    for name, value in result.items():
        if name in ABOUT:
            continue
        if not isinstance(value, dict):
            rows.append((name, value, "", features[name]))
        elif name == "swd":
            rows += [(f"swd_{level}", x, "", "pixels") for level, x in value.items()]
        elif name == "separability":
            rows += [(f"separability_{space}", value[space], "", value["classifier"]) for space in value["entropies"]]
        else:
            rows.append((name, value["mean"], f"{value['low']:.5g} … {value['high']:.5g}", value.get("distance") or features[name]))
    lines = [("", "value", "95 % interval", "measured with"), *((n, f"{v:.5g}", i, w) for n, v, i, w in rows)]
    text = [f"{name:18s}{value:>10s}  {interval:22s}{network}".rstrip() for name, value, interval, network in lines]
    if result.get("images"):
        text.append(f"{result['images']:,} images against {result['data_images']:,}")
    if result.get("skipped"):
        text.append(f"left out: {dataset.described(result['skipped'])}")
    return "\n".join(text + [extractors.SAYS[name] for name in dict.fromkeys(features.values())])
