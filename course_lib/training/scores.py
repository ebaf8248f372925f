"""Scores of a generator while it trains: metrics.jsonl, and the best snapshot as best.safetensors."""
import argparse
import json
import shutil
from functools import cache
from pathlib import Path

import torch

from .. import commands, download, zoo
from ..images import from_uint8, unchecked
from . import data
from .report import entries

METRICS = "frechet", "kid", "precision_recall"
UNSEEN = 1000                   # portraits that D is asked about, and as many of its own
SCORES = "frechet", "kid", "precision", "recall"
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


def check(names, samples, settings, device):
    """Raise ValueError, before any training, for frechet on other pictures than portraits, and for too few samples."""
    from ..metrics import extractors, generators  # here, for it takes a second
    if settings.data != "portraits" and "frechet" in names:
        raise ValueError(f"frechet compares what the oracle sees, which knows only portraits, and this run learns {settings.data}; "
                         "take kid or precision_recall")
    commands.no_mps(device, "--metrics computes in float64")
    size = generators.size_of(zoo.load(ORACLE if settings.data == "portraits" else extractors.COURSE, device=device))
    if settings.data != "portraits":
        samples = min(samples, data.select(settings.data, settings.data_size, settings.seed).used)
    for name in names:
        generators.check_samples(name, samples, size)


def scorer(names, samples, settings, reals, device):
    """A function run → {name: number} that measures some of METRICS of its averaged generator, as `metrics.evaluate` does: against
    as many Portraits, and then "D_gap" of StyleGAN2, too (`gap`); or against the run's own pictures, in the course's features.
    Random states stay as they are, so that a run goes on as without it. reals: data.Resident, of Portraits."""
    from ..metrics import evaluate, generators
    if settings.data != "portraits":
        def compared(run):
            found = evaluate(run.ema, None, names, data=settings.data, samples=samples, features="course",
                             cache=download.cache() / "features")
            return {name: found[name]["mean"] if name == "kid" else found[name] for name in SCORES if name in found}
        return compared
    oracle = zoo.load(ORACLE, device=device)
    rendered = lambda count: generators.rendered(count, generators.REFERENCE_SEED, settings.resolution, device)
    portraits = cache(lambda: generators.features(oracle, rendered(samples)))

    @unchecked()
    def measure(run):
        found = generators.compare(portraits(), generators.features(oracle, generators.generated(run.ema, samples)), names)
        if settings.model == "stylegan2":
            count, size = min(UNSEEN, len(reals.images)), max(4, generators.batch_size(run.D))
            unseen = (part for images in rendered(count) for part in images.split(size))
            found["D_gap"] = gap(run.D, map(from_uint8, reals.images[:count].split(size)), unseen)
        return found
    return measure


@torch.no_grad()
def gap(D, trained, unseen):
    """How far D overfits: its mean logit of images that it was trained on less that of others, both in batches [b, 3, R, R]."""
    logits = lambda batches: torch.cat([D(images[:len(images) // 4 * 4 or None]) for images in batches])    # in groups of four
    return (logits(trained).mean() - logits(unseen).mean()).item()


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
