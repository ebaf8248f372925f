"""Path lengths, PPL, separability and inversion of trained generators: the tables of lessons 06 and 07.

    python experiments/smoothness.py stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes runs/results/smoothness.json, or --out, a model and a part
at a time (what is not measured anew stays), and smoothness-NAME.png: targets, and below them the nearest of their projections. On a
CPU a model takes an hour or two, and its inversion (every image once for each rate and start) several.
"""
import torch

import measuring
from course_lib import commands, images, metrics
from course_lib.metrics import smoothness

PARTS = ("ppl", "separability", "lengths", "inversion")
RATES = 0.1, 0.2, 0.4, 0.8                               # learning rates of the search, in standard deviations of W


def main(arguments=None):
    parser = measuring.parser(__doc__, PARTS, "smoothness.json")
    parser.add_argument("--pairs", type=commands.whole(), default=250, help="pairs of latents of each PPL")
    parser.add_argument("--samples", type=commands.whole(300), default=10_000, help="images for separability")
    parser.add_argument("--latents", type=commands.whole(), default=64,
        help="latents whose path lengths are measured, in 16 directions")
    parser.add_argument("--images", type=commands.whole(), default=32, help="images to invert, of each kind")
    parser.add_argument("--steps", type=commands.whole(), default=500, help="steps of a projection")
    parser.add_argument("--starts", type=commands.whole(), default=1, help="projections of every image at each learning rate")
    measuring.run("smoothness.py", parser, arguments, measure)


@torch.no_grad()
def measure(part, name, G, oracle, judge, args):
    """The measurements of one part; path lengths and inversion need a W."""
    if part == "ppl":
        return metrics.evaluate(G, oracle, ("ppl",), samples=args.pairs, seed=args.seed, progress=True)
    if part == "separability":
        return {part: metrics.separability(G, metrics.judge_classifier(judge), samples=args.samples, seed=args.seed, progress=True)}
    if not hasattr(G, "mapping"):
        return {}
    if part == "lengths":
        return {part: smoothness.spread(smoothness.lengths(G, args.latents, seed=args.seed))
                | {"latents": args.latents, "directions": 16}}
    distance = metrics.oracle_distance(oracle)
    options = dict(images=args.images, steps=args.steps, seed=args.seed, progress=True)
    searches = {lr: [smoothness.invert(G, distance, lr=lr, start=start, **options) for start in range(args.starts)] for lr in RATES}
    rows, result = [], {"rates": RATES, "starts": args.starts, "steps": args.steps, "measured with": distance.name, "space": "w"}
    for kind in ("generated", "portraits"):
        found = [search[kind] for starts in searches.values() for search in starts]
        best = torch.tensor([search.distance for search in found]).argmin(dim=0).tolist()
        nearest = lambda field: [getattr(found[j], field)[i] for i, j in enumerate(best)]
        rows += [found[0].targets[:8], torch.stack(nearest("projections")[:8])]
        result[kind] = {"distance": nearest("distance"), "rmse": nearest("rmse"),
                        "searches": [[search[kind].distance for search in starts] for starts in searches.values()]}
    picture = args.out.with_name(f"{args.out.stem}-{name}.png")
    images.save_grid(picture, torch.cat(rows).cpu(), min(args.images, 8), replace=True)
    return {part: result}


if __name__ == "__main__":
    main()
