"""The comparisons of lessons 01 to 06, in the small setting: 32 px, half the width, 280 thousand images, two seeds.

    python experiments/compare.py growing      grown, at full size from the start, and grown with α switched at once
    python experiments/compare.py ingredients  PGGAN without equalized learning rate, pixel norm, minibatch standard deviation
    python experiments/compare.py mixing       StyleGAN with and without mixing regularization
    python experiments/compare.py path_length  StyleGAN2 with and without path-length regularization
    python experiments/compare.py lazy         StyleGAN2 with its regularizers every 1, 4, 8 and 16 steps, after the speed of each

and those by which the settings of the shipped models are chosen:

    python experiments/compare.py stylegan2_settings   loss, R2, mixing, width and batch of StyleGAN2
    python experiments/compare.py stylegan_settings    rates, R1, mixing and batch of StyleGAN

Without a GPU, --laptop shrinks them to 16 px and 40 thousand images: each run takes some ten minutes of one core.

Each trains its runs (several at a time on one GPU; a run that is complete is not trained again), measures every snapshot, and
writes runs/results/NAME.json, or --out.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from course_lib import commands, metrics, ops, results, zoo
from course_lib.metrics import generators, smoothness, style_analysis
from course_lib.networks import classifiers, layers

SMALL = ["--resolution", "32", "--channel-base", "2048", "--channel-max", "128", "--z-dim", "128", "--data-size", "50k",
         "--batch", "64", "--images", "280k", "--checkpoint-every", "20k", "--log-every", "2k"]
GROWING = [*SMALL, "--stable", "40k", "--fade", "40k"]
FULL = [*GROWING, "--start", "32"]
STYLES = ["--w-dim", "128"]
BRISK = ["--r1-gamma", "1", "--lr", "4:0.003"]          # StyleGAN's own 10 and 0.001 are for many times as many images
ANNEALED = ["--lr-anneal", "0.65", "--r1-gamma-end", "0.05"]
STYLEGAN2 = ["stylegan2", *SMALL, *STYLES, "--mixing", "0", "--lr", "0.005", "--r1-gamma", "0.5", *ANNEALED]     # as portraits-64
STYLEGAN = ["stylegan", *GROWING, *STYLES, *BRISK]
RELATIVISTIC = ["--loss", "relativistic"]
LAPTOP = {"32": "16", "4096": "2048", "2048": "1024", "256": "128", "128": "64", "50k": "20k", "280k": "40k", "40k": "8k",
          "80k": "16k"}                                                                                     # for an option's value
COMPARISONS = {
    "growing": {"grown": ["pggan", *GROWING], "full size": ["pggan", *FULL],
                "switched": ["pggan", *GROWING, "--fade", "0", "--stable", "80k"]},
    "ingredients": {"all": ["pggan", *FULL], "no equalized learning rate": ["pggan", *FULL, "--no-equalized"],
                    "no pixel norm": ["pggan", *FULL, "--no-pixel-norm"],
                    "no minibatch deviation": ["pggan", *FULL, "--group-size", "1"]},
    "mixing": {"mixing": ["stylegan", *FULL, *STYLES, *BRISK], "no mixing": ["stylegan", *FULL, *STYLES, *BRISK, "--mixing", "0"]},
    "path_length": {"regularized": ["stylegan2", *SMALL, *STYLES],
                    "not regularized": ["stylegan2", *SMALL, *STYLES, "--pl-weight", "0"]},
    "lazy": {f"every {k}": ["stylegan2", *SMALL, *STYLES, "--pl-interval", k, "--r1-interval", k] for k in ("1", "4", "8", "16")},
    "stylegan2_settings": {"shipped": STYLEGAN2, "relativistic": [*STYLEGAN2, *RELATIVISTIC],
                           "relativistic R1 R2": [*STYLEGAN2, *RELATIVISTIC, "--r2"], "mixing": [*STYLEGAN2, "--mixing", "0.9"],
                           "batch of 16": [*STYLEGAN2, "--batch", "16"],
                           "twice as wide": [*STYLEGAN2, "--channel-base", "4096", "--channel-max", "256"]},
    "stylegan_settings": {"shipped": STYLEGAN, "annealed": [*STYLEGAN, "--lr-anneal", "0.65"],
                          "R1 annealed too": [*STYLEGAN, *ANNEALED], "no mixing": [*STYLEGAN, "--mixing", "0"],
                          "not grown": [*STYLEGAN, "--start", "32"], "batch of 16": [*STYLEGAN, "--batch", "16"],
                          "rate 0.005": [*STYLEGAN, "--lr", "4:0.005"]}}
SMOOTHED = "path_length", "lazy"
ALONE = ["--data-size", "4k", "--images", "32k", "--checkpoint-every", "32k", "--log-every", "8k"]
INVERSION = dict(images=8, steps=200)
CURVE = ("images", "D_loss", "G_loss", "penalty", "alpha", "resolution")


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"), help="folder for the training runs")
    parser.add_argument("--out", type=Path, help="JSON file; by default runs/results/NAME.json")
    add_options(parser, parallel=4)
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/compare.py", "stopped; the same command goes on from the last checkpoints"):
        compare(args, ["python experiments/compare.py", *(sys.argv[1:] if arguments is None else arguments)])


def add_options(parser, parallel):
    """What experiments of several trainings share."""
    parser.add_argument("--seeds", type=commands.seed, nargs="+", default=[0, 1], help="a run of each")
    parser.add_argument("--parallel", type=commands.whole(1, 64), default=parallel, help="runs at a time")
    parser.add_argument("--samples", type=commands.whole(257), default="5k", help="images per measurement")
    parser.add_argument("--laptop", action="store_true", help="16 px and few images, for a machine without a GPU")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[],
                        help="further options of course_lib.train, for a quick try")


def compare(args, command_line):
    out = args.out or Path("runs/results") / f"{args.comparison}.json"
    commands.own_json(out, f"python experiments/compare.py {args.comparison}")
    device = commands.default_device()
    comparison = {name: [LAPTOP.get(word, word) if args.laptop else word for word in options]
                  for name, options in COMPARISONS[args.comparison].items()}
    alone = args.comparison == "lazy" and speeds({name: [*options, *ALONE, *args.train] for name, options in comparison.items()},
                                                 args.runs)
    comparison = {name: [*options, *args.train] for name, options in comparison.items()}
    runs = {(name, seed): [*options, "--seed", str(seed),
                           "--out", str(args.runs / args.comparison / f"{name.replace(' ', '-')}-{seed}")]
            for name, options in comparison.items() for seed in args.seeds}
    train(list(runs.values()), args.parallel)
    oracle, judge = (zoo.load(f"{name}-portraits-64", device=device) for name in ("oracle", "judge"))
    measured = {}
    result = {**results.header(" ".join(command_line), args.seeds), "samples": args.samples,
              "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
              "options": {name: " ".join(options) for name, options in comparison.items()}, "runs": measured}
    if alone:
        result["img_per_s_alone"] = alone
    for (name, seed), options in runs.items():
        found = measure(Path(options[-1]), oracle, judge, args.samples, device, args.comparison in SMOOTHED)
        measured.setdefault(name, {})[str(seed)] = found
        print(name, seed, measured[name][str(seed)]["curve"][-1], flush=True)
        commands.write_json(out, results.rounded(result), replace=True)


def train(options, parallel):
    """Run all trainings, `parallel` at a time. One that diverged is a finding; one that failed otherwise is an error, with the
    last line of its output. After Ctrl-C or SIGTERM each first writes its checkpoint."""
    waiting = [o for o in options if not complete(Path(o[-1])) and not diverged(Path(o[-1]))]
    running = {}
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                chosen = waiting.pop(0)
                out = Path(chosen[-1])
                out.mkdir(parents=True, exist_ok=True)
                resume = ["--resume"] if any((out / "checkpoints").glob("*[0-9]")) else []
                with open(out / "output.txt", "w") as log:
                    line = [sys.executable, "-m", "course_lib.train", *chosen, *resume]
                    running[subprocess.Popen(line, stdout=log, stderr=log)] = out
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                out = running.pop(process)
                if process.returncode and not diverged(out):
                    said = (out / "output.txt").read_text().strip().splitlines()
                    raise ValueError(f"the run in {out} failed; {out / 'output.txt'} ends with: {''.join(said[-1:])}")
                print(f"{out} {'diverged' if diverged(out) else 'is trained'}", flush=True)
    except BaseException:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        raise


def speeds(comparison, runs):
    """Images a second of a short run of each, one after another."""
    outs = {name: runs / "alone" / name.replace(" ", "-") for name in comparison}
    train([[*options, "--out", str(outs[name])] for name, options in comparison.items()], 1)
    return {name: json.loads((out / "log.jsonl").read_text().splitlines()[-1])["img_per_s"] for name, out in outs.items()}


def complete(out):
    """Whether a run's log has come to the images of its settings."""
    if not (out / "log.jsonl").exists():
        return False
    lines = (out / "log.jsonl").read_text().splitlines()
    return bool(lines) and json.loads(lines[-1])["images"] >= json.loads((out / "settings.json").read_text())["images"]


def diverged(out):
    """Whether a run stopped because it met NaN or infinity."""
    return (out / "output.txt").exists() and "training stopped: " in (out / "output.txt").read_text()


@torch.no_grad()
def measure(out, oracle, judge, samples, device, smoothed=False):
    """The log's curves; frechet, recall, SWD, MS-SSIM and activations of every snapshot, at the final resolution: what is
    smaller is enlarged; and with `smoothed` what `smooth` gives of the last."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    settings = json.loads((out / "settings.json").read_text())
    reals = torch.cat(list(generators.rendered(samples, generators.REFERENCE_SEED, settings["resolution"], device)))
    of_reals, curve = generators.features(oracle, reals.split(500)), []
    for path in sorted((out / "snapshots").glob("G-*.safetensors")):
        G = zoo.load(path, device=device)
        images = torch.cat(list(generators.generated(G, samples, seed=1)))
        images = ops.upscale2d(images, settings["resolution"] // G.resolution)
        fakes = generators.features(oracle, images.split(500))
        row = {"images": int(path.stem[2:]), "resolution": G.resolution}
        row |= generators.compare(of_reals, fakes, ["frechet", "precision_recall"])
        row["swd"] = metrics.sliced_wasserstein(reals.split(500), images.split(500))["mean"]
        row["ms_ssim"] = metrics.mean_ms_ssim(images)
        row["entropy"] = style_analysis.entropy(classifiers.predict(judge, images[:2000]))
        if settings["model"] != "stylegan2":
            row["activation"] = largest_activation(G)
        if settings["model"] == "stylegan":
            mixed = [generators.features(oracle, [part]) for part in style_analysis.mixed_images(G, samples)]
            row["frechet_mixed"] = generators.compare(of_reals, torch.cat(mixed), ["frechet"])["frechet"]
        curve.append(row)
    result = {"log": [{key: line[key] for key in CURVE if key in line} for line in lines], "curve": curve,
              "img_per_s": lines[-1]["img_per_s"], "parameters": parameters(out), "diverged": diverged(out)}
    return result | (smooth(G, oracle, samples // 4) if smoothed else {})


def smooth(G, oracle, pairs, seed=2):
    """Path lengths, PPL and what inversion leaves, of a trained generator."""
    distance = metrics.oracle_distance(oracle)
    ppl = metrics.evaluate(G, oracle, ("ppl_z_full", "ppl_w_full", "ppl_w_end"), samples=pairs, seed=seed, epsilon=0.01)
    found = smoothness.invert(G, distance, seed=seed, **INVERSION)
    return {"lengths": smoothness.spread(smoothness.lengths(G, seed=seed)),
            "ppl": {name: value["mean"] for name, value in ppl.items()},
            "inversion": {name: {"distance": statistics.mean(kind.distance), "rmse": statistics.mean(kind.rmse)}
                          for name, kind in found.items()}}


def largest_activation(G, n=64):
    """The largest output of any convolution of the generator, before its bias and before it is normalised."""
    found = []
    hooks = [module.register_forward_hook(lambda module, inputs, out: found.append(out.abs().max().item()))
             for module in G.modules() if isinstance(module, layers.EqualizedConv2d)]
    G(torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(0)).to(next(G.parameters()).device))
    for hook in hooks:
        hook.remove()
    return max(found)


def parameters(out):
    last = sorted((out / "checkpoints").glob("*/G_ema.safetensors"))[-1]
    return sum(t.numel() for t in load_file(last).values())


if __name__ == "__main__":
    main()
