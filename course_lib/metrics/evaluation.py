"""All metrics of a generator in one call, and their table."""
from ..images import quantized, unchecked
from ..networks.classifiers import AttributeClassifier
from ..sampling import device_of
from . import generators
from .inception import inception_features, load_inception, size_of
from .linear_separability import check_samples, judge_classifier, separability
from .path_length import perceptual_path_length
from .perceptual import oracle_distance
from .swd import sliced_wasserstein

PATHS = {f"ppl_{space}_{sampling}": (space, sampling) for space in "zw" for sampling in ("full", "end")}
METRICS = (*generators.METRICS, "fid", "swd", "ppl", *PATHS, "separability")


@unchecked()
def evaluate(
    G, oracle=None, metrics=("frechet",), *,
    samples=10_000,             # generated images, and as many portraits; pairs of latents for ppl
    seed=0,                     # of the latents
    psi=1.0,                    # truncation
    c=None,                     # labels of a class-conditional generator (`sampling.labels`); None: all classes
    judge=None,                 # classifier of separability, or any that `separability` takes
    distance=None,              # of ppl; None: that of the oracle
    inception=None,             # path of the network of fid
    epsilon=1e-4,               # step of ppl, as a part of the path
    reference=None,             # "portraits" compares a generator with portraits that was not trained on them
    progress=False,             # show progress bars
):
    """Some of METRICS of a generator: {name: number, or a dict for swd, ppl and separability}.

    Generated images are compared with as many portraits. The oracle's features serve frechet, precision_recall and kid. "ppl"
    stands for full and end paths in Z and, where there is one, W. A value depends on seed, samples and device, not on the metrics
    measured beside it.
    Raises ValueError before anything is drawn: for too few samples, and for a generator that was not trained on Portraits where it
    would be compared with them, or the oracle or the judge, which know nothing else, would see its images; reference="portraits"
    allows that.
    """
    paths = [name for name in PATHS if hasattr(G, "mapping") or PATHS[name][0] == "z"]
    names = [metrics] if isinstance(metrics, str) else metrics
    metrics = [part for name in names for part in (paths if name == "ppl" else [name])]
    network = _check(G, oracle, metrics, samples, judge, distance, inception, reference)
    device, result = device_of(G), {}

    def sets():
        """Generated images and portraits, in batches."""
        for batches, what in ((generators.generated(G, samples, seed, psi, c), "generated"),
                              (generators.rendered(samples, generators.REFERENCE_SEED, G.resolution, device), "portraits")):
            yield generators.with_progress(batches, what, samples, progress)

    of_features = [name for name in metrics if name in generators.METRICS]
    if of_features:
        fakes, reals = (generators.features(oracle, batches) for batches in sets())
        result |= generators.compare(reals, fakes, of_features)
    for name in metrics:
        if name == "fid":
            fakes, reals = (inception_features(network, batches, device) for batches in sets())
            result["fid"] = generators.compare(reals, fakes, ["frechet"])["frechet"]
        elif name == "swd":
            fakes, reals = (map(quantized, batches) for batches in sets())
            result["swd"] = sliced_wasserstein(reals, fakes, seed)
        elif name in PATHS:
            space, ends = PATHS[name]
            result[name] = perceptual_path_length(
                G, distance or oracle_distance(oracle), space=space, sampling=ends, epsilon=epsilon, samples=samples, seed=seed,
                psi=psi, c=c, batch_size=generators.batch_size(G), progress=progress)
        elif name == "separability":
            classifier = judge_classifier(judge) if isinstance(judge, AttributeClassifier) else judge
            result["separability"] = separability(G, classifier, samples=samples, seed=seed, psi=psi, c=c, progress=progress)
    return result


def needs_portraits(metric, distance=None, judge=None):
    """Whether a metric compares a generator with Portraits, or uses a network that was trained on nothing else."""
    if metric == "ppl" or metric in PATHS:
        return distance is None
    return metric != "separability" or isinstance(judge, AttributeClassifier)


def _check(G, oracle, metrics, samples, judge, distance, inception, reference):
    """Raise ValueError for what cannot be measured. Returns the network of fid, if that is asked for."""
    if not hasattr(G, "z_dim"):
        raise ValueError(f"a network of type {type(G).__name__} is no generator, and these metrics measure generators")
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f'there is no metric "{name}"; choose from {", ".join(METRICS)}')
        if name == "separability" and judge is None:
            raise ValueError("separability needs a judge: pass one to evaluate")
        if name in generators.METRICS and oracle is None or name in PATHS and (distance or oracle) is None:
            raise ValueError(f"{name} needs an oracle: pass one to evaluate")
        if PATHS.get(name, "z")[0] == "w" and not hasattr(G, "mapping"):
            raise ValueError(f"this generator has no mapping network, so there is no W for {name}")
        if needs_portraits(name, distance, judge):
            generators.checked_reference(G, reference)
    network = load_inception(inception, device_of(G)) if "fid" in metrics else None
    for name in metrics:
        if name in generators.METRICS or name == "fid":
            generators.check_samples(name, samples, size_of(network, device_of(G)) if name == "fid" else generators.size_of(oracle))
        elif name == "separability":
            check_samples(G, samples)
        elif samples < 2:
            raise ValueError(f"{samples} samples are too few for {name}; take at least 2, and 10,000 for a steady value")
    return network


def table(result):
    """The result of `evaluate` as text: for each metric its value, 95 % confidence interval, and the network that measured it."""
    rows = []
    for name, value in result.items():
        if not isinstance(value, dict):
            rows.append((name, value, "", "Inception" if name == "fid" else "oracle"))
        elif name == "swd":
            rows += [(f"swd_{level}", x, "", "pixels") for level, x in value.items()]
        elif name == "separability":
            rows += [(f"separability_{space}", value[space], "", value["classifier"]) for space in value["entropies"]]
        else:
            rows.append((name, value["mean"], f"{value['low']:.5g} … {value['high']:.5g}", value["distance"]))
    lines = [("", "value", "95 % interval", "measured with"), *((n, f"{v:.5g}", i, w) for n, v, i, w in rows)]
    return "\n".join(f"{name:18s}{value:>10s}  {interval:22s}{network}".rstrip() for name, value, interval, network in lines)
