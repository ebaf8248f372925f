"""Scores of a generator while it trains: metrics.jsonl, and the best snapshot as best.safetensors."""
import argparse
import json
import shutil
from functools import cache
from pathlib import Path

from .. import commands, zoo
from ..images import unchecked
from .report import entries

METRICS = "frechet", "kid", "precision_recall"
ORACLE = "oracle-portraits-64"


def metrics(text):
    """The type of --metrics."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(f'there is no metric "{name}" for a run; choose from {", ".join(METRICS)}')
    if names[0] == "precision_recall":
        raise argparse.ArgumentTypeError("the first metric decides which snapshot is the best; begin with a distance, such as "
                                         "frechet")
    return names


def scorer(names, samples, settings, device):
    """A function G → {name: number} that measures some of METRICS of a generator in training against as many Portraits, as
    `metrics.evaluate` does. The portraits are drawn once; random states stay as they are, so that a run goes on as without it.

    ValueError, before any training, for a run on other pictures and for too few samples.
    """
    from ..metrics import generators
    if settings.data != "portraits":
        raise ValueError(f"--metrics compares a generator with Portraits, and this run learns {settings.data}; leave it out")
    commands.no_mps(device, "--metrics computes in float64")
    oracle = zoo.load(ORACLE, device=device)
    for name in names:
        generators.check_samples(name, samples, generators.size_of(oracle))
    portraits = cache(lambda: generators.features(oracle, generators.rendered(
        samples, generators.REFERENCE_SEED, settings.resolution, device)))

    @unchecked()
    def measure(G):
        return generators.compare(portraits(), generators.features(oracle, generators.generated(G, samples)), names)
    return measure


def keep(out, images, found):
    """Append the scores of a snapshot to metrics.jsonl. The one whose first score is the lowest is kept as best.safetensors, with
    a line that says so in best.txt. `found`: {name: number}."""
    out = Path(out)
    with open(out / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"images": images} | found) + "\n")
    first = next(iter(found))
    scored = [line for line in entries(out / "metrics.jsonl") if first in line]
    best = min(scored, key=lambda line: line[first])
    snapshot = out / "snapshots" / f"G-{best['images']:010d}.safetensors"
    said = f"{first} {best[first]:.5g} after {best['images']:,} images, the lowest of the snapshots: {snapshot.name}\n"
    if not (out / "best.txt").exists() or (out / "best.txt").read_text(encoding="utf-8") != said:
        with commands.writing(out / "best.safetensors", replace=True) as partial:
            shutil.copyfile(snapshot, partial)
        commands.write_text(out / "best.txt", said, replace=True)
