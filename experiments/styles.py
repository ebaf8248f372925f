"""What styles and noise change, and outliers of feature maps, in trained generators: the tables of lessons 03 to 05.

    python experiments/styles.py stylegan-portraits-64 stylegan2-portraits-64

A model is a name of the zoo or a file that training wrote. Writes runs/results/styles.json, or --out, a model and a part at a time;
what is not measured anew stays. On a CPU a model takes about half an hour.
"""
import measuring
from course_lib import commands
from course_lib.metrics import generators, style_analysis

PARTS = ("levels", "noise", "truncation", "outliers")
PSI = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.15)


def main(arguments=None):
    parser = measuring.parser(__doc__, PARTS, "styles.json")
    parser.add_argument("--pairs", type=commands.whole(2), default=1000, help="pairs of portraits whose layers are mixed")
    parser.add_argument("--images", type=commands.whole(2), default=200,
                        help="portraits whose noise is resampled, and whose activations are measured")
    parser.add_argument("--samples", type=commands.whole(257), default=5000, help="images for each ψ")
    measuring.run("styles.py", parser, arguments, measure)


def measure(part, name, G, oracle, judge, args):
    """The measurements of one part, and how many pairs, portraits or samples they come from."""
    if part == "levels":
        found = style_analysis.style_levels(G, judge, args.pairs, args.seed)
        return {"levels": found["B"], "levels_of_a": found["A"], "pairs": args.pairs}
    if part == "noise":
        return {"noise": style_analysis.noise_effects(G, judge, args.images, args.seed), "noise_portraits": args.images}
    if part == "outliers":
        return {"outliers": style_analysis.outliers(G, args.images, args.seed), "outliers_portraits": args.images}
    reals = generators.features(oracle, generators.rendered(args.samples, generators.REFERENCE_SEED, G.resolution, args.device))
    of_psi = lambda psi: generators.features(oracle, generators.generated(G, args.samples, args.seed, psi=psi))
    rows = [{"psi": psi} | generators.compare(reals, of_psi(psi), ("frechet", "precision_recall")) for psi in PSI]
    return {"truncation": rows, "truncation_samples": args.samples}


if __name__ == "__main__":
    main()
