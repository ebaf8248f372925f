"""Path lengths, PPL, separability and inversion of trained generators: the tables of lessons 06 and 07.

    python experiments/smoothness.py stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes data/results/smoothness.json, a model and a part at a time
(what is not measured anew stays), and smoothness-NAME.png: targets, and below them their projections. On a CPU a model takes
an hour or two.
"""
import measuring
import torch

from course_lib import metrics
from course_lib.metrics import __main__ as command, smoothness

PARTS = ("ppl", "separability", "lengths", "inversion")


def main(arguments=None):
    parser = measuring.parser(__doc__, PARTS, "smoothness.json")
    parser.add_argument("--pairs", type=int, default=250, help="pairs of latents of each PPL")
    parser.add_argument("--samples", type=int, default=10_000, help="images for separability")
    parser.add_argument("--latents", type=int, default=64, help="latents whose path lengths are measured, in 16 directions")
    parser.add_argument("--images", type=int, default=8, help="images to find again, of each kind")
    parser.add_argument("--steps", type=int, default=500, help="steps of a projection")
    measuring.run("smoothness.py", parser, arguments, measure)


@torch.no_grad()
def measure(part, name, G, oracle, judge, args):
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
    picture = args.out.with_name(f"{args.out.stem}-{name}.png")
    command.save_grid(picture, torch.cat([images[:columns] for kind in found.values() for images in kind[:2]]).cpu(), columns)
    return {part: {name: {"distance": kind.distance, "rmse": kind.rmse} for name, kind in found.items()}
            | {"steps": args.steps, "measured with": distance.name, "space": "w"}}


if __name__ == "__main__":
    main()
