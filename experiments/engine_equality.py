"""Does the fast engine train as plain float32 does? StyleGAN2 at 64 px on the course's portraits, several seeds each, losses side
by side.

    python experiments/engine_equality.py --out data/results/engine_equality.json

The fast runs are those of course_lib.train on a GPU: bfloat16, fused kernels, recorded steps. The plain ones take the equations of
`ops` and PyTorch's own gradients, float32 without TF32, step by step. Both regularize path lengths every 16 steps, for PyTorch's
derivative of a grouped convolution's derivative takes seconds. All run at once, a process each; one that is complete is not
trained again. The two engines draw other random numbers, so each loss, averaged over a window of images, is compared as the seeds'
mean: the relative difference of the two, in standard errors from the seeds' spread, pooled over windows and engines. Above four
of them, it fails.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

from course_lib import commands, fused, results, train
from course_lib.training import stylegan2

ENGINES, WINDOWS = ("plain", "fast"), 5
LOSSES = "G_loss", "D_loss", "r1_penalty", "path_length_penalty", "path_length"
MOST = 4.0              # standard errors; of 25 comparisons one exceeds it in 2 % of the cases by chance


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--images", type=commands.whole(), default="20k", help="real images that each run is shown")
    add("--seeds", type=commands.seed, nargs="+", default=[0, 1, 2], help="a run of each and of either engine; two or more")
    add("--runs", type=Path, default=Path("runs/engine_equality"), help="folder for the training runs")
    add("--out", type=Path, default=Path("runs/results/engine_equality.json"), help="JSON file")
    add("--run", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/engine_equality.py"):
        if args.run:
            return trained(args.images, *args.run)
        if not torch.cuda.is_available():
            raise ValueError("the fast engine runs on a CUDA device, and PyTorch finds none on this machine")
        commands.try_output(args.out)
        if len(args.seeds) < 2:
            raise ValueError("the spread of one seed is unknown; give --seeds two or more")
        found = compared(logged(args.images, args.seeds, args.runs))
        shown = shlex.join(["python", "experiments/engine_equality.py", *(sys.argv[1:] if arguments is None else arguments)])
        commands.write_json(args.out, results.rounded({
            **results.header(shown, args.seeds), "device": torch.cuda.get_device_name(), "torch": torch.__version__,
            "images": args.images, "windows": WINDOWS, **found}))
        if found["largest_difference"] > MOST:
            raise ValueError(f"the engines differ by {found['largest_difference']:.1f} standard errors; "
                             f"at most {MOST} are expected")


def logged(images, seeds, folder):
    """{engine: [lines of the log of each seed]}"""
    places = {(engine, seed): folder / f"{engine}-{seed}" for engine in ENGINES for seed in seeds}
    lines = lambda place: [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
    waiting, runs = [at for at, place in places.items() if not (place / "log.jsonl").exists() or len(lines(place)) < WINDOWS], {}
    for card, (engine, seed) in enumerate(waiting):
        shutil.rmtree(places[engine, seed], ignore_errors=True)
        device = {"CUDA_VISIBLE_DEVICES": str(card % torch.cuda.device_count())}
        line = [sys.executable, __file__, "--images", str(images), "--run", engine, str(seed), str(places[engine, seed])]
        runs[engine, seed] = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                              env=os.environ | device)
    for (engine, seed), run in runs.items():
        said = run.communicate()[1]
        if run.returncode:
            raise ValueError(f"the {engine} run of seed {seed} failed: {said.strip().splitlines()[-1]}")
    return {engine: [lines(places[engine, seed]) for seed in seeds] for engine in ENGINES}


def trained(images, engine, seed, out):
    """Train one run into the folder `out`, with a line of its log for every window."""
    options = ["--resolution", "64", "--images", str(images), "--log-every", str(images // WINDOWS),
               "--checkpoint-every", str(images), "--pl-interval", "16", "--data-size", "20k", "--seed", seed, "--device", "cuda",
               "--out", out]
    if engine == "plain":
        fused.fuses, build = lambda x: False, stylegan2.build

        def plain(settings, device):
            run = build(settings, device)
            for network in (run.G.synthesis, run.D):
                network.forward = partial(network.forward, impl="reference")
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
            return run
        stylegan2.build = plain
        options += ["--eager", "--dtype", "float32"]
    train.main(["stylegan2", *options])


def compared(logs):
    """{engine: [lines of each seed]} → of every loss the values [seed][window], the relative difference of the means in each
    window, the seeds' relative standard deviation, and the differences in standard errors; and the largest of these."""
    found = {}
    for name in LOSSES:
        values = {engine: torch.tensor([[line[name] for line in lines] for lines in runs]).double()
                  for engine, runs in logs.items()}
        means = {engine: value.mean(dim=0) for engine, value in values.items()}
        spread = torch.stack([values[engine].var(dim=0) / means[engine].square() for engine in logs]).mean().sqrt()
        difference = means["fast"] / means["plain"] - 1
        errors = difference / (spread * (2 / len(values["plain"])) ** 0.5)
        found[name] = {engine: value.tolist() for engine, value in values.items()} | {
            "difference": difference.tolist(), "spread": spread.item(), "standard_errors": errors.tolist()}
        print(f"{name:20s} plain {means['plain'].tolist()[-1]:8.4f}  fast {means['fast'].tolist()[-1]:8.4f} "
              f"in the last window, spread of the seeds {100 * spread:.1f} %, "
              f"differences in standard errors {' '.join(f'{e:+.1f}' for e in errors)}", flush=True)
    return {"losses": found, "largest_difference": max(abs(e) for loss in found.values() for e in loss["standard_errors"])}


if __name__ == "__main__":
    main()
