"""Measure a generator of portraits: python -m course_lib.metrics MODEL METRIC …

    python -m course_lib.metrics stylegan2-portraits-64 frechet precision_recall --samples 10000
    python -m course_lib.metrics stylegan2-portraits-64 ppl separability --out results/smoothness.json
    python -m course_lib.metrics report stylegan2-portraits-64 --out data/results/stylegan2-portraits-64.json
    python -m course_lib.metrics blur --out data/results/frechet-blur.json

MODEL is a name of the zoo or a file that training wrote. `report` measures everything, with the figures that put it into
scale, and writes two grids of unselected samples beside the results: NAME.png (64) and NAME-audit.png (100). `blur` needs
no model: it measures portraits of the world under blurs of 0 to 2 pixels.
"""
import argparse
import json
import shlex
import sys
from pathlib import Path

import torch
from PIL import Image

from .. import portraits, zoo
from . import evaluation, generators
from .perceptual import lpips_distance


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    reporting, blurring = arguments[:1] == ["report"], arguments[:1] == ["blur"]
    parser = argparse.ArgumentParser(prog="python -m course_lib.metrics", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    if not blurring:
        add("model", help="a name of the zoo, or a file")
    if not reporting and not blurring:
        add("metrics", nargs="+", metavar="METRIC", help=", ".join(evaluation.METRICS))
    add("--samples", type=int, default=20_000 if reporting or blurring else 10_000,
        help="generated images, and portraits; pairs of ppl")
    if reporting:
        add("--readings", type=int, default=1_000, help="generated images that the judge reads")
    if not blurring:
        add("--seed", type=int, default=0, help="seed of the latents")
        add("--psi", type=float, default=1.0, help="truncation")
    add("--oracle", default="oracle-portraits-64", help="the network whose features are compared")
    if not blurring:
        add("--judge", default="judge-portraits-64", help="the network that reads attributes")
    if not reporting and not blurring:
        add("--epsilon", type=float, default=1e-4, help="step of ppl; below 0.001 in float64")
        add("--lpips", nargs="+", metavar="FILE", help="weights of LPIPS, the distance of ppl instead of the oracle's: "
            "vgg.pth and vgg16-397923af.pth, or the word download, which fetches both once")
        add("--inception", metavar="FILE", help="TorchScript file of fid, or the word download, which fetches it once")
    add("--out", type=Path, required=reporting, help="JSON file for the figures")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments[reporting or blurring:])
    files = getattr(args, "lpips", None)
    if files and len(files) != 2 and files != ["download"]:
        parser.error("--lpips takes two files, vgg.pth and vgg16-397923af.pth, or the word download")
    try:
        if blurring:
            figures = generators.blur_curve(zoo.load(args.oracle, device=args.device), args.samples)
            return _write(args, arguments, {"frechet": figures}, [generators.REFERENCE_SEED, generators.CONTROL_SEED])
        G, oracle = zoo.load(args.model, device=args.device), zoo.load(args.oracle, device=args.device)
        if reporting:
            judge = zoo.load(args.judge, device=args.device)
            figures, images = generators.report(G, oracle, judge, args.samples, args.readings, args.seed, args.psi)
        else:
            judge = zoo.load(args.judge, device=args.device) if "separability" in args.metrics else None
            figures = evaluation.evaluate(G, oracle, args.metrics, args.samples, args.seed, args.psi, judge,
                                          lpips_distance(*files) if files else None, args.inception, args.epsilon,
                                          progress=True)
    except (ValueError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(_tables(figures) if reporting else evaluation.table(figures))
    result = _write(args, arguments, {"psi": args.psi, **figures}, [args.seed])
    if reporting:
        save_grid(args.out.with_suffix(".png"), images[:64], 8)
        save_grid(args.out.with_name(args.out.stem + "-audit.png"), images, 10)
    return result


def _write(args, arguments, figures, seeds):
    result = {"command": shlex.join(["python", "-m", "course_lib.metrics", *arguments]), "world": portraits.VERSION,
              "seeds": seeds, "samples": args.samples, **rounded(figures)}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    else:
        print(json.dumps(result, indent=1))
    return result


def save_grid(path, images, columns):
    """Images [N, 3, H, W] in [-1, 1] in rows of `columns`; what is left of the last row stays white."""
    images = torch.cat([images, torch.ones(-len(images) % columns, *images.shape[1:])])
    rows = [torch.cat(list(row), dim=2) for row in images.split(columns)]
    pixels = (torch.cat(rows, dim=1).permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5
    Image.fromarray(pixels.round().byte().numpy()).save(path, quality=95)


def _tables(figures):
    sets = {name: figures[name] for name in ("model", "floor", "blur_1px")}
    lines = [f"{'':12s}" + "".join(f"{name:>12s}" for name in sets["model"])]
    lines += [f"{name:12s}" + "".join(f"{value:12.4f}" for value in row.values()) for name, row in sets.items()]
    lines += ["", f"{'attribute':16s}{'distance':>10s}{'floor':>10s}{'agreement':>11s}"]
    lines += [f"{name:16s}{entry['distance']:10.3f}{entry['floor']:10.3f}{figures['agreement'][name]:11.3f}"
              for name, entry in figures["attributes"].items()]
    return "\n".join(lines)


def rounded(value):
    """Every number of a result to five digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
