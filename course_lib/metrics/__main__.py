"""Measure a generator, or compare any two sets of images: python -m course_lib.metrics MODEL METRIC … [--data SET]

    python -m course_lib.metrics stylegan2-portraits-64 frechet precision_recall --samples 10k
    python -m course_lib.metrics stylegan2-portraits-64 ppl separability --out results/smoothness.json
    python -m course_lib.metrics my_pictures/ kid precision_recall --data packed/
    python -m course_lib.metrics report runs/mine/checkpoints/0002400000/G_ema.safetensors --out results/mine.json
    python -m course_lib.metrics blur --out results/frechet-blur.json

METRIC, and which of its values are better:

    frechet           lower   how far the features of the two sets lie apart, by their means and covariances
    fid               lower   the same in the features of Inception
    kid               lower   the same by a kernel, for few pictures too
    precision_recall  higher  how many images of MODEL look like those of SET, and how much of SET they cover
    swd               lower   how far patches of pixels lie apart, at each resolution
    ppl               lower   how unevenly images change on the way between two latents; ppl_z_full and so on are its parts
    separability      lower   how badly planes in the space of the latents divide the images by attributes

MODEL and SET are each a name of the zoo, a file of a generator, a folder or a zip of pictures, a packed set, or "portraits".
Without --data a generator of portraits is compared with Portraits. fid needs Inception's file (--inception). kid compares
portraits in the oracle's features, and other images in Inception's where its file is named, else in those of a small network
that comes with the course: offline, with an interval, also for few pictures, but its values compare only with each other.

`report` measures everything, with the values of other portraits and of blurred ones as a scale, and writes two grids of unselected
samples beside the results: NAME.png (64) and NAME-audit.png (100). `blur` needs no model: it measures portraits under blurs of 0 to
2 pixels.

A table goes to standard error; the numbers go as JSON to --out, or else to standard output.
"""
import shlex
import sys
from pathlib import Path

from .. import commands, download, images, results, zoo
from ..networks import classifiers
from . import evaluation, extractors, generators, sets
from .perceptual import lpips_distance

JUDGE = "judge-portraits-64"
COMPARED = "frechet, kid or precision_recall"


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    mode = arguments[0] if arguments[:1] in (["report"], ["blur"]) else None
    parser = parser_of(mode)
    args = parser.parse_args(arguments[mode is not None:])
    files = getattr(args, "lpips", None)
    if files and len(files) != 2 and files != ["download"]:
        parser.error("--lpips takes two files, vgg.pth and vgg16-397923af.pth, or the word download")
    with commands.sentences("python -m course_lib.metrics"):
        commands.no_mps(args.device, "metrics compute in float64")
        if mode == "report" and args.out.suffix == ".png":
            raise ValueError(f"{args.out} is where a grid of samples goes; name a .json for the numbers")
        for path in _outputs(args.out, mode):
            commands.try_output(path)
        if mode is None:
            refuse_idle(args)
        oracle = _classifier(args.oracle, args.device)
        if mode == "blur":
            numbers = generators.blur_curve(oracle, samples=args.samples, progress=True)
            return _write(args, arguments, {"reference": "portraits", "frechet": numbers},
                          [generators.REFERENCE_SEED, generators.CONTROL_SEED])
        G = zoo.load(args.model, device=args.device) if mode == "report" else sets.open_source(args.model, args.device)
        options = dict(samples=args.samples, seed=args.seed, psi=args.psi, c=args.class_, reference=args.reference, progress=True)
        judge = _classifier(args.judge or JUDGE, args.device) if mode == "report" or "separability" in args.metrics else None
        distance = lpips_distance(*files) if files else None
        if mode == "report":
            numbers, portraits_shown = generators.report(G, oracle, judge, predictions=args.predictions, **options)
            commands.show_table(_tables(numbers))
        else:
            numbers = evaluation.evaluate(
                G, oracle, args.metrics, data=args.data, features=args.features, judge=judge, distance=distance,
                inception=args.inception, resolution=args.resolution,
                cache=None if args.no_cache else download.cache() / "features", **options,
                **{name: value for name in ("resize", "epsilon") if (value := getattr(args, name)) is not None})
            commands.show_table(evaluation.table(numbers))
        about = {"psi": args.psi, "class": args.class_, "reference": "portraits"}
        if mode is None:
            compared = any(evaluation.needs_portraits(name, distance, judge) for name in args.metrics)
            about["reference"] = args.data or "portraits" if compared else None
        result = _write(args, arguments, about | numbers, [args.seed])
        if mode == "report":
            for path, shown, columns in zip(_outputs(args.out, mode)[1:], (portraits_shown[:64], portraits_shown), (8, 10)):
                images.save_grid(path, shown, columns)
        return result


def parser_of(mode=None):
    """The parser of the command, of its mode "report" or of "blur"."""
    parser = commands.Parser(prog=" ".join(["python -m course_lib.metrics", *[mode] * (mode is not None)]), description=__doc__)
    add = parser.add_argument
    if mode != "blur":
        pictures = ", or pictures" if mode is None else ""
        add("model", metavar="MODEL", help=f"a name of the zoo, a file, the folder of a run{pictures}")
    if mode is None:
        add("metrics", nargs="+", metavar="METRIC", choices=evaluation.METRICS, help=f"{', '.join(evaluation.METRICS)}: see above")
    add("--samples", metavar="N", type=commands.whole(2), default="20k" if mode else "10k",
        help="generated images or portraits, and pictures at most; pairs of latents for ppl")
    if mode == "report":
        add("--predictions", metavar="N", type=commands.whole(2), default="1k",
            help="generated images whose attributes the judge predicts")
    if mode != "blur":
        add("--seed", metavar="N", type=commands.seed, default=0, help="seed of the latents")
        add("--psi", metavar="X", type=commands.number(0, 2), default=1.0,
            help="truncation: 1 leaves latents as they are and measures all that a generator makes, 0 takes their mean; generate "
            "draws at 0.7")
        add("--class", metavar="K", dest="class_", type=commands.whole(0), help="of a class-conditional generator and of pictures "
            "in folders only this class, counted from 0; without it all, of a generator drawn uniformly")
        add("--reference", choices=generators.REFERENCES, help="let networks that know only portraits judge other images")
        add("--judge", metavar="NAME", help=f"the network that predicts attributes: a name of the zoo, or a file ({JUDGE} if not "
            "given)")
    add("--oracle", metavar="NAME", default="oracle-portraits-64",
        help="the network whose features are compared: a name of the zoo, or a file")
    if mode is None:
        add("--epsilon", metavar="X", type=commands.number(above=0, most=0.1), help="step of ppl: what share of the way "
            "between two latents lies between two images that are compared (0.0001 if not given); below 0.001 computed in float64")
        add("--lpips", metavar="FILE", nargs="+", help="weights of LPIPS, the distance of ppl instead of the oracle's: "
            "vgg.pth and vgg16-397923af.pth, or the word download, which fetches both once (553 MB)")
        add("--data", metavar="SET", help="what images are compared with (Portraits if not given)")
        add("--features", choices=evaluation.FEATURES, help="the network whose features frechet, kid and precision_recall "
            "compare; by default as said above")
        add("--inception", metavar="FILE", help="TorchScript file of fid, or the word download, which fetches it once (96 MB)")
        add("--resize", choices=extractors.RESIZES, help="of --inception: how images become 299 px for Inception: clean as "
            "clean-fid does it, legacy as torch-fidelity and StyleGAN's code do (clean if not given)")
        add("--resolution", metavar="PIXELS", type=commands.power_of_two(), help="make pictures this large first; by "
            "default as large as the generator's or the packed set's images, and without either as they are")
        add("--no-cache", action="store_true", help="do not keep the features of pictures and portraits, nor read kept ones")
    add("--out", metavar="FILE", type=Path, required=mode == "report",
        help="JSON file for the numbers; one that exists is not overwritten")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    return parser


def refuse_idle(args):
    """Raise ValueError for options that change nothing about any of the metrics that are asked for."""
    of = lambda *names: not {*names}.isdisjoint(args.metrics)
    paths, compared = of("ppl", *evaluation.PATHS), of(*generators.METRICS)
    commands.refuse_idle(
        ("--epsilon", args.epsilon, paths, "ppl"), ("--lpips", args.lpips, paths, "ppl"),
        ("--judge", args.judge, of("separability"), "separability"), ("--features", args.features, compared, COMPARED),
        ("--inception", args.inception, compared or of("fid"), f"fid, {COMPARED}"),
        ("--resize", args.resize, args.inception, "--inception"))


def _outputs(out, mode):
    """The files that a command writes: that of --out, and the two grids of a report."""
    grids = [out.with_suffix(".png"), out.with_name(out.stem + "-audit.png")] if mode == "report" else []
    return [out, *grids] if out else []


def _classifier(name, device):
    """The oracle or the judge by name or file. Raises ValueError for another network."""
    network = zoo.load(name, device=device)
    if not isinstance(network, classifiers.AttributeClassifier):
        raise ValueError(f"{zoo.held(network)}, not an oracle or a judge")
    return network


def _write(args, arguments, numbers, seeds):
    result = {**results.header(shlex.join(["python", "-m", "course_lib.metrics", *arguments]), seeds), "samples": args.samples,
              **results.rounded(numbers)}
    if args.out:
        commands.write_json(args.out, result)
    else:
        commands.show_json(result)
    return result


def _tables(numbers):
    sets = {name: numbers[name] for name in ("model", "floor", "blur_1px")}
    lines = [f"{'':12s}" + "".join(f"{name:>12s}" for name in sets["model"])]
    lines += [f"{name:12s}" + "".join(f"{value:12.4f}" for value in row.values()) for name, row in sets.items()]
    lines += ["", f"{'attribute':16s}{'distance':>10s}{'floor':>10s}{'agreement':>11s}"]
    lines += [f"{name:16s}{entry['distance']:10.3f}{entry['floor']:10.3f}{numbers['agreement'][name]:11.3f}"
              for name, entry in numbers["attributes"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
