"""Adaptive discriminator augmentation (ADA) against none on few and on many Portraits: 32 px, two seeds.

    python experiments/ada.py
    python experiments/ada.py --laptop

Trains a run for every number of images, with ADA and without, and of every seed, several at a time on one GPU; a run that is
complete is not trained again. Each measures its own snapshots. What they found goes to runs/results/ada.json, or --out: frechet,
recall, how much D prefers its own images to unseen ones (D_gap), and p over time. Without a GPU, --laptop shrinks the runs to
16 px and 120 thousand images.
"""
import sys
from pathlib import Path

import compare
from course_lib import commands, results
from course_lib.training import report

SIZES = "1k", "5k", "100k"
SETTINGS = [*compare.SMALL, *compare.STYLES, "--r1-gamma", "1", "--images", "1200k", "--checkpoint-every", "60k",
            "--log-every", "6k", "--metrics", "frechet,precision_recall"]
LAPTOP = ["--resolution", "16", "--channel-base", "1024", "--channel-max", "64", "--images", "120k", "--checkpoint-every", "20k"]
SCORES = "images", "frechet", "precision", "recall", "D_gap"
OVERFITTING = "images", "augment_p", "r_t", "D_real", "D_fake"


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="how many Portraits a run learns from")
    parser.add_argument("--runs", type=Path, default=Path("runs/ada"), help="folder for the training runs")
    parser.add_argument("--out", type=Path, default=Path("runs/results/ada.json"), help="JSON file")
    compare.add_options(parser, parallel=6)
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/ada.py", "stopped; the same command goes on from the last checkpoints"):
        experiment(args, ["python experiments/ada.py", *(sys.argv[1:] if arguments is None else arguments)])


def experiment(args, command_line):
    commands.own_json(args.out, "python experiments/ada.py")
    options = {f"{how}, {size}": ["stylegan2", *SETTINGS, *(LAPTOP if args.laptop else []), "--metric-samples", str(args.samples),
                                  "--data-size", size, "--augment", how, *args.train]
               for size in args.sizes for how in ("none", "ada")}
    runs = {(name, seed): [*typed, "--seed", str(seed), "--out", str(args.runs / f"{name.replace(', ', '-')}-{seed}")]
            for name, typed in options.items() for seed in args.seeds}
    compare.train(list(runs.values()), args.parallel)
    measured = {}
    for (name, seed), typed in runs.items():
        measured.setdefault(name, {})[str(seed)] = found = collected(Path(typed[-1]))
        if not found["curve"]:
            commands.show_table(f"{name}, seed {seed}: diverged before its first snapshot")
            continue
        best, last = min(found["curve"], key=lambda line: line["frechet"]), found["curve"][-1]
        commands.show_table(f"{name}, seed {seed}: best frechet {best['frechet']:.2f} after {best['images']:,} images, recall "
                            f"{best['recall']:.3f}; last {last['frechet']:.2f}, D_gap {last['D_gap']:.2f}, "
                            f"p {found['log'][-1].get('augment_p', 0):.2f}")
    result = {**results.header(" ".join(command_line), args.seeds), "samples": args.samples,
              "options": {name: " ".join(typed) for name, typed in options.items()}, "runs": measured}
    commands.write_json(args.out, results.rounded(result), replace=True)


def collected(out):
    """What a run measured of its snapshots, and how far D overfitted between them."""
    chosen = lambda path, names: [{name: line[name] for name in names if name in line} for line in report.entries(path)]
    return {"curve": chosen(out / "metrics.jsonl", SCORES), "log": chosen(out / "log.jsonl", OVERFITTING),
            "diverged": compare.diverged(out)}


if __name__ == "__main__":
    main()
