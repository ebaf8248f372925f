"""Measurements of several models, a part at a time, in one JSON file: what smoothness.py and styles.py share."""
from pathlib import Path

from course_lib import commands, results, zoo


def parser(description, parts, out):
    found = commands.Parser(description=description)
    add = found.add_argument
    add("models", nargs="+", help="names of the zoo, or files")
    add("--seed", type=commands.seed, default=1, help="seed of the latents")
    add("--only", choices=parts, nargs="+", default=parts, help="parts to measure")
    add("--out", type=Path, default=Path("runs/results") / out,
        help="JSON file; what an earlier call measured and this one does not stays in it")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    return found


def run(script, parser, arguments, measure):
    """Write what measure(part, model's name, G, oracle, judge, args) gives, a dict, part by part; what is not measured anew
    stays."""
    args = parser.parse_args(arguments)
    options = [f"--{name} {value}" for name, value in vars(args).items()
               if name not in ("models", "only", "out", "device") and value != parser.get_default(name)]
    with commands.sentences(f"python experiments/{script}", "stopped; the parts that were measured are kept"):
        commands.no_mps(args.device, "measurements compute in float64")
        commands.own_json(args.out, f"python experiments/{script}")
        oracle, judge = (zoo.load(f"{name}-portraits-64", device=args.device) for name in ("oracle", "judge"))
        networks = {Path(name).stem: zoo.load(name, device=args.device) for name in args.models}
        for stem, G in networks.items():
            for part in args.only:
                measured = measure(part, stem, G, oracle, judge, args)
                result = commands.own_json(args.out, f"python experiments/{script}") or {"models": {}}
                result["models"].setdefault(stem, {}).update(measured)
                command_line = ["python", f"experiments/{script}", *sorted(result["models"]), *options]
                result |= results.header(" ".join(command_line), [args.seed])
                commands.write_json(args.out, results.rounded(result), replace=True)
