"""Path lengths, PPL, separability and inversion of trained generators: the tables of lessons 06 and 07.

    python experiments/smoothness.py stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes data/results/smoothness.json, a model and a part at a time
(what is not measured anew stays), and smoothness-NAME.png: targets, and below them their projections. On a CPU a model takes
an hour or two.
"""
import argparse
import json
from pathlib import Path

import torch

from course_lib import metrics, portraits, zoo
from course_lib.metrics import __main__ as command, smoothness

PARTS = ("ppl", "separability", "lengths", "inversion")
OUT = zoo.DATA / "results" / "smoothness.json"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of the zoo, or files")
    parser.add_argument("--pairs", type=int, default=250, help="pairs of latents of each PPL")
    parser.add_argument("--samples", type=int, default=10_000, help="images for separability")
    parser.add_argument("--latents", type=int, default=64, help="latents whose path lengths are measured, in 16 directions")
    parser.add_argument("--images", type=int, default=8, help="images to find again, of each kind")
    parser.add_argument("--steps", type=int, default=500, help="steps of a projection")
    parser.add_argument("--seed", type=int, default=1, help="seed of the latents")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts to measure")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    oracle, judge = (zoo.load(f"{name}-portraits-64", device=args.device) for name in ("oracle", "judge"))
    for name in args.models:
        G, stem = zoo.load(name, device=args.device), Path(name).stem
        for part in args.only:
            figures = measure(part, G, oracle, judge, args, args.out.with_name(f"{args.out.stem}-{stem}.png"))
            result = json.loads(args.out.read_text()) if args.out.exists() else {"models": {}}
            result["models"].setdefault(stem, {}).update(figures)
            result |= {"command": "python experiments/smoothness.py " + " ".join(sorted(result["models"])),
                       "world": portraits.VERSION, "seeds": [args.seed]}
            args.out.write_text(json.dumps(command._rounded(result), indent=1) + "\n")


@torch.no_grad()
def measure(part, G, oracle, judge, args, picture):
    """The figures of one part; path lengths and inversion need a W."""
    if part == "ppl":
        return metrics.evaluate(G, oracle, ("ppl",), args.pairs, args.seed, progress=True)
    if part == "separability":
        return {part: metrics.separability(G, metrics.judge_classifier(judge), args.samples, args.seed, progress=True)}
    if not hasattr(G, "mapping"):
        return {}
    if part == "lengths":
        return {part: smoothness.spread(smoothness.lengths(G, args.latents, seed=args.seed)) | {"latents": args.latents, "directions": 16}}
    distance = metrics.oracle_distance(oracle)
    found = smoothness.invert(G, distance, args.images, args.steps, seed=args.seed, progress=True)
    columns = min(args.images, 8)
    command.save_grid(picture, torch.cat([images[:columns] for kind in found.values() for images in kind[:2]]).cpu(), columns)
    return {part: {name: {"distance": kind.distance, "rmse": kind.rmse} for name, kind in found.items()}
            | {"steps": args.steps, "measured with": distance.name, "space": "w"}}


if __name__ == "__main__":
    main()
