"""What the papers claim of styles and noise, on trained generators: the tables of lessons 03 to 05.

    python experiments/styles.py stylegan-portraits-64 stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes data/results/styles.json, a model and a part at a time; what is
not measured anew stays. On a CPU a model takes about half an hour.
"""
import argparse
import json
from pathlib import Path

import torch

from course_lib import portraits, zoo
from course_lib.metrics import __main__ as command, claims, generators

PARTS = ("levels", "noise", "truncation", "spikes")
OUT = zoo.DATA / "results" / "styles.json"
PSI = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.15)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of the zoo, or files")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of portraits whose layers are mixed")
    parser.add_argument("--images", type=int, default=200, help="portraits whose noise is drawn anew, and whose activations are read")
    parser.add_argument("--samples", type=int, default=5000, help="images for each ψ")
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
            result = json.loads(args.out.read_text()) if args.out.exists() else {"models": {}}
            figures = result["models"].setdefault(stem, {"samples": {}})
            figures[part] = measure(part, G, oracle, judge, args)
            figures["samples"][part] = {"levels": args.pairs, "truncation": args.samples}.get(part, args.images)
            result |= {"command": "python experiments/styles.py " + " ".join(sorted(result["models"])), "world": portraits.VERSION,
                       "seeds": [args.seed]}
            args.out.write_text(json.dumps(command._rounded(result), indent=1) + "\n")


def measure(part, G, oracle, judge, args):
    if part == "levels":
        return claims.style_levels(G, judge, args.pairs, args.seed)
    if part == "noise":
        return claims.noise_effects(G, judge, args.images, args.seed)
    if part == "spikes":
        return claims.spikes(G, args.images, args.seed)
    reals = generators.features(oracle, generators.rendered(args.samples, generators.REFERENCE_SEED, G.resolution, args.device))
    rows = []
    for psi in PSI:
        fakes = generators.features(oracle, generators.generated(G, args.samples, args.seed, psi=psi))
        rows.append({"psi": psi} | generators.compare(reals, fakes, ("frechet", "precision_recall")))
    return rows


if __name__ == "__main__":
    main()
