"""Measurements of several models, a part at a time, in one JSON file: what smoothness.py and styles.py share."""
import argparse
import json
from pathlib import Path

import torch

from course_lib import portraits, zoo
from course_lib.metrics import __main__ as command


def parser(description, parts, out):
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = found.add_argument
    add("models", nargs="+", help="names of the zoo, or files")
    add("--seed", type=int, default=1, help="seed of the latents")
    add("--only", choices=parts, nargs="+", default=parts, help="parts to measure")
    add("--out", type=Path, default=zoo.DATA / "results" / out, help="JSON file")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return found


def run(script, parser, arguments, measure):
    """Write what measure(part, model's name, G, oracle, judge, args) gives, a dict, part by part; what is not measured anew stays."""
    args = parser.parse_args(arguments)
    options = [f"--{name} {value}" for name, value in vars(args).items()
               if name not in ("models", "only", "out", "device") and value != parser.get_default(name)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    oracle, judge = (zoo.load(f"{name}-portraits-64", device=args.device) for name in ("oracle", "judge"))
    for name in args.models:
        G, stem = zoo.load(name, device=args.device), Path(name).stem
        for part in args.only:
            figures = measure(part, stem, G, oracle, judge, args)
            result = json.loads(args.out.read_text()) if args.out.exists() else {"models": {}}
            result["models"].setdefault(stem, {}).update(figures)
            command_line = ["python", f"experiments/{script}", *sorted(result["models"]), *options]
            result |= {"command": " ".join(command_line), "world": portraits.VERSION, "seeds": [args.seed]}
            args.out.write_text(json.dumps(command.rounded(result), indent=1) + "\n")
