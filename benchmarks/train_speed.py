"""Training speed of StyleGAN2 on one GPU, lazy regularization included: every row in a process of its own.

    python benchmarks/train_speed.py --out data/results/train_speed.json

Prints img/s beside those of the official code on the same card, the seconds until the first recorded cycle, memory, and two floors: the
time that the convolutions and dense layers alone would take at the bf16 matrix rate measured in the same run, and the share of it that
was reached. Medians over repeated cycles of 16 steps. The official figures were measured once on an H200 with the same torch.
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time

import torch

from course_lib import commands, portraits, train
from course_lib.training import loop, stylegan2

LARGE = ["--channel-base", "16384", "--channel-max", "512", "--z-dim", "512", "--w-dim", "512"]
CONFIGS = {"pocket 64 px (64)": (["--resolution", "64"], 568),
           "pocket 64 px (256)": (["--resolution", "64", "--batch", "256"], None),
           "64 px, 16384/512 (64)": (["--resolution", "64", *LARGE], 468),
           "256 px, 16384/512 (64)": (["--resolution", "256", *LARGE], 189),
           "1024 px, config F (32 by 8)": (["--resolution", "1024", *LARGE, "--channel-base", "32768", "--batch", "32", "--batch-gpu", "8"], 19.9),
           "1024 px, config F (32 by 4)": (["--resolution", "1024", *LARGE, "--channel-base", "32768", "--batch", "32", "--batch-gpu", "4"], 19.9)}


def settings(arguments):
    parser = argparse.ArgumentParser()
    train.stylegan2_options(parser)
    return vars(parser.parse_args(["--out", "unused"] + arguments))


def gflop_per_image(run, s):
    """Multiplications and additions of one image in one step, without any for filters or activations.

    Forward passes G and D cost what their weights cost at every output pixel (input pixel for up-convolutions). A
    gradient for the input or for the weights costs one forward pass each, differentiating a gradient four.
    """
    def forward(network):
        total = 0
        for name, p in network.named_parameters():
            if p.ndim == 4:
                r = int(name.split("b")[1].split(".")[0]) if "synthesis" in name else int(name[1:].split(".")[0])
                low = "conv0" in name if "synthesis" in name else any(k in name for k in ("conv1", "skip"))
                total += 2 * p.numel() * (r // 2 if low else r) ** 2
            elif p.ndim == 2:
                total += 2 * p.numel()
        return total / 1e9
    G, D = forward(run.G), forward(run.D)
    step_g, step_d = 3 * G + 2 * D, G + 6 * D
    return step_g + step_d + 6 * D / s["r1_interval"] + (0.5 * 6 * G / s["pl_interval"] if s["pl_weight"] else 0)


def matrix_rate(device="cuda", n=8192):
    """TFLOP/s of a bf16 matrix product on random data."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [seconds(lambda: a @ b) for _ in range(12)]
    return 2 * n ** 3 / statistics.median(times[2:]) / 1e12


def seconds(function):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(arguments, captured=True, repeats=10, device="cuda"):
    began = time.perf_counter()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    s = settings(arguments)
    torch.manual_seed(0)
    run = stylegan2.build(s, device)
    reals = torch.randint(0, 256, [10_000 if s["resolution"] < 256 else 2_000, 3, s["resolution"], s["resolution"]], dtype=torch.uint8, device=device)
    pool, decay = torch.cuda.graph_pool_handle(), torch.full([], 0.999, device=device)
    record = (lambda step: loop.Captured(step, pool)) if captured else (lambda step: step)
    steps = [(phase.interval, record(phase.step)) for phase in stylegan2.phases(run, reals, s, device, s["r1_gamma"])]
    steps.append((1, record(lambda: loop.move_average(run.ema, run.G, decay))))

    def cycle(count=16):
        for i in range(count):
            for interval, step in steps:
                if i % interval == 0:
                    step()

    for _ in range(5):                                  # R1 has a step in each, and is recorded in the fourth
        cycle(4)
    torch.cuda.synchronize()
    ready = time.perf_counter() - began
    ms = statistics.median(seconds(cycle) for _ in range(repeats)) / 16 * 1000
    return {"img_per_s": round(s["batch"] / ms * 1000, 1), "ms_per_step": round(ms, 2), "gflop_per_image": round(gflop_per_image(run, s), 1),
            "allocated_gib": round(torch.cuda.max_memory_allocated() / 2 ** 30, 2),
            "reserved_gib": round(torch.cuda.max_memory_reserved() / 2 ** 30, 2), "seconds_to_full_speed": round(ready, 1), "batch": s["batch"]}


def main():
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    parser.add_argument("--config", choices=CONFIGS, action="append", help="default: all")
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measure(CONFIGS[args.row][0], not args.eager)))
        return
    with commands.sentences("python benchmarks/train_speed.py"):
        if not torch.cuda.is_available():
            raise ValueError("it measures steps on a CUDA device, and PyTorch finds none on this machine")
        if args.out:
            commands.try_output(args.out)
        benchmark(args)


def benchmark(args):
    rate = matrix_rate()
    results = {"command": shlex.join(["python", *sys.argv]), "device": torch.cuda.get_device_name(), "torch": torch.__version__,
               "bf16_tflops": round(rate), "configs": {}}
    torch.cuda.empty_cache()
    print(f"{results['device']}, torch {torch.__version__}, bf16 matrix product {rate:.0f} TFLOP/s")
    for name in args.config or CONFIGS:
        done = subprocess.run([sys.executable, __file__, "--row", name, *["--eager"] * args.eager], capture_output=True, text=True)
        if done.returncode:
            print(f"{name:30s} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        row, official = json.loads(done.stdout.splitlines()[-1]), CONFIGS[name][1]
        row |= {"official_img_per_s": official, "ratio": official and round(row["img_per_s"] / official, 2),
                "share_of_floor": round(row["gflop_per_image"] * row["img_per_s"] / rate / 1000, 3)}
        results["configs"][name] = row
        print(f"{name:30s} {row['img_per_s']:8.1f} img/s {row['ratio'] or 0:6.1f} x {row['ms_per_step']:8.2f} ms/step "
              f"{row['reserved_gib']:6.2f} GiB reserved, ready after {row['seconds_to_full_speed']:.0f} s, "
              f"{100 * row['share_of_floor']:.1f} % of the floor", flush=True)
    if args.out:
        commands.write_json(args.out, results | {"world": portraits.VERSION})


if __name__ == "__main__":
    main()
