"""Path lengths, PPL, separability and inversion of trained generators: the tables of lessons 06 and 07.

    python experiments/smoothness.py stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes data/results/smoothness.json, a model at a time (one that
is there already is measured anew, the others stay), and smoothness-NAME.png: targets above, their projections below.
"""
import argparse
import json
from pathlib import Path

import torch

from course_lib import metrics, portraits, zoo
from course_lib.metrics import __main__ as command, smoothness

OUT = zoo.DATA / "results" / "smoothness.json"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of the zoo, or files")
    parser.add_argument("--pairs", type=int, default=1_000, help="pairs of latents of each PPL")
    parser.add_argument("--samples", type=int, default=10_000, help="images for separability")
    parser.add_argument("--latents", type=int, default=64, help="latents whose path lengths are measured, in 16 directions")
    parser.add_argument("--images", type=int, default=16, help="images to find again, of each kind")
    parser.add_argument("--steps", type=int, default=300, help="steps of a projection")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    oracle, judge = (zoo.load(f"{name}-portraits-64", device=args.device) for name in ("oracle", "judge"))
    for name in args.models:
        G = zoo.load(name, device=args.device)
        result = json.loads(args.out.read_text()) if args.out.exists() else {"models": {}}
        figures, picture = measure(G, oracle, judge, args)
        result |= {"command": "python experiments/smoothness.py " + " ".join(sorted({*result["models"], Path(name).stem})),
                   "world": portraits.VERSION, "seeds": [0]}
        result["models"][Path(name).stem] = figures
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(command._rounded(result), indent=1) + "\n")
        command.save_grid(args.out.with_name(f"{args.out.stem}-{Path(name).stem}.png"), picture, 8)


def measure(G, oracle, judge, args):
    distance = metrics.oracle_distance(oracle)
    with torch.no_grad():
        result = metrics.evaluate(G, oracle, ("ppl",), args.pairs, progress=True)
        result["separability"] = metrics.separability(G, metrics.judge_classifier(judge), args.samples, progress=True)
    if not hasattr(G, "mapping"):
        return result, torch.empty(0, 3, G.resolution, G.resolution)
    result["lengths"] = smoothness.spread(smoothness.lengths(G, args.latents)) | {"latents": args.latents, "directions": 16}
    found = smoothness.invert(G, distance, args.images, args.steps, progress=True)
    result["inversion"] = {name: {"distance": kind.distance, "rmse": kind.rmse} for name, kind in found.items()}
    result["inversion"] |= {"steps": args.steps, "measured with": distance.name, "space": "w"}
    rows = [images[:8] for kind in found.values() for images in (kind.targets, kind.projections)]
    return result, torch.cat([torch.cat([row, row.new_ones(8 - len(row), *row.shape[1:])]) for row in rows]).cpu()


if __name__ == "__main__":
    main()
