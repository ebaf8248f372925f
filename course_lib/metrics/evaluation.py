"""All metrics of a generator in one call, and the table of its figures."""
from tqdm import tqdm

from ..judges import Reader
from . import generators
from .inception import inception_features, load_inception
from .path_length import perceptual_path_length
from .perceptual import oracle_distance
from .separability import judge_classifier, separability
from .swd import sliced_wasserstein

PATHS = {f"ppl_{space}_{sampling}": (space, sampling) for space in "zw" for sampling in ("full", "end")}
METRICS = (*generators.METRICS, "fid", "swd", "ppl", *PATHS, "separability")


def evaluate(G, oracle=None, metrics=("frechet",), samples=10_000, seed=0, psi=1.0, judge=None, distance=None,
             inception=None, epsilon=1e-4, progress=False):
    """Chosen metrics of a generator: name → number, or a dict for swd, ppl and separability.

    The reference is as many portraits of the world. oracle gives the features of frechet, precision_recall and kid, and
    the distance of ppl, unless another `distance` is passed; judge (or any classifier of `separability`) the attributes;
    inception is the path of the network of fid. "ppl" stands for full and end paths in Z and, where there is one, W;
    samples then counts pairs. A figure depends on seed, samples and device, not on the metrics taken beside it.
    """
    paths = [name for name in PATHS if hasattr(G, "mapping") or PATHS[name][0] == "z"]
    metrics = [part for name in metrics for part in (paths if name == "ppl" else [name])]
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f'there is no metric "{name}"; choose from {", ".join(METRICS)}')
        if name == "separability" and judge is None:
            raise ValueError("separability needs a judge: pass one to evaluate")
        if name in generators.METRICS and oracle is None or name in PATHS and (distance or oracle) is None:
            raise ValueError(f"{name} needs an oracle: pass one to evaluate")
    device, result = next(G.parameters()).device, {}
    network = load_inception(inception, device) if "fid" in metrics else None

    def sets():
        """Generated images and portraits, in batches."""
        for batches, what in ((generators.generated(G, samples, seed, psi), "generated"),
                              (generators.rendered(samples, generators.REFERENCE_SEED, G.resolution, device), "portraits")):
            yield _counted(batches, what, samples, progress)

    of_features = [name for name in metrics if name in generators.METRICS]
    if of_features:
        fakes, reals = (generators.features(oracle, batches) for batches in sets())
        result |= generators.compare(reals, fakes, of_features)
    for name in metrics:
        if name == "fid":
            fakes, reals = (inception_features(network, batches, device) for batches in sets())
            result["fid"] = generators.compare(reals, fakes, ["frechet"])["frechet"]
        elif name == "swd":
            fakes, reals = (map(generators.eight_bit, batches) for batches in sets())
            result["swd"] = sliced_wasserstein(reals, fakes, seed)
        elif name in PATHS:
            result[name] = perceptual_path_length(G, distance or oracle_distance(oracle), *PATHS[name], epsilon, samples, seed,
                                                  psi=psi, batch_size=generators.batch_size(G), progress=progress)
        elif name == "separability":
            classifier = judge_classifier(judge) if isinstance(judge, Reader) else judge
            result["separability"] = separability(G, classifier, samples, seed, psi, progress)
    return result


def table(figures):
    """Figures of `evaluate` as text: the value, its 95 % confidence interval, and the network that it was measured with."""
    rows = []
    for name, value in figures.items():
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


def _counted(batches, what, samples, progress):
    with tqdm(total=samples, desc=what, unit="img", disable=not progress) as bar:
        for images in batches:
            yield images
            bar.update(len(images))
