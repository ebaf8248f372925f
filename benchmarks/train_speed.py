"""Training speed of StyleGAN2 on one GPU, lazy regularization included.

    python benchmarks/train_speed.py --out data/results/train_speed.json

Prints img/s, ms per step, peak memory and the share of the arithmetic floor: the time that the convolutions and dense
layers alone would take at the bf16 matrix rate measured in the same run. Medians over repeated cycles of 16 steps.
"""
import argparse
import json
import shlex
import statistics
import sys
import time

import torch

from course_lib import portraits, train
from course_lib.training import loop, stylegan2

CONFIGS = {"pocket 64 px": ["--resolution", "64"],
           "64 px (16384, 512)": ["--resolution", "64", "--channel-base", "16384", "--channel-max", "512", "--z-dim", "512",
                                  "--w-dim", "512"]}


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


def matrix_rate(device, n=8192):
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


def measure(arguments, captured=True, repeats=12, device="cuda"):
    s = settings(arguments)
    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    run = stylegan2.build(s, device)
    reals = torch.randint(0, 256, [10000, 3, s["resolution"], s["resolution"]], dtype=torch.uint8, device=device)
    steps = [(p, loop.Captured(p.step) if captured else p.step) for p in stylegan2.phases(run, reals, s, device, s["r1_gamma"], s["compile"])]
    averaged, current = list(run.ema.parameters()), list(run.G.parameters())

    def cycle():
        for i in range(16):
            for phase, step in steps:
                if i % phase.interval == 0:
                    step()
            with torch.no_grad():
                loop.get_ema_multi_avg_fn(0.999)(averaged, current, None)

    for _ in range(5):
        cycle()
    ms = statistics.median(seconds(cycle) for _ in range(repeats)) / 16 * 1000
    gflop = gflop_per_image(run, s)
    return {"img_per_s": round(s["batch"] / ms * 1000), "ms_per_step": round(ms, 2), "gflop_per_image": round(gflop, 1),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2 ** 30, 2), "batch": s["batch"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    parser.add_argument("--config", choices=CONFIGS, action="append", help="default: all")
    parser.add_argument("--eager", action="store_true", help="also measure without CUDA graphs")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="further options of course_lib.train, such as --batch 256")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    rate = matrix_rate("cuda")
    results = {"command": shlex.join(["python", *sys.argv]), "device": torch.cuda.get_device_name(),
               "torch": torch.__version__, "bf16_tflops": round(rate), "configs": {}}
    print(f"{results['device']}, torch {torch.__version__}, bf16 matrix product {rate:.0f} TFLOP/s")
    for name in args.config or CONFIGS:
        for captured in ([True, False] if args.eager else [True]):
            row = measure(CONFIGS[name] + args.train, captured)
            row["share_of_floor"] = round(row["gflop_per_image"] * row["img_per_s"] / rate / 1000, 3)
            results["configs"][name if captured else f"{name}, eager"] = row
            print(f"{name:22s} {'captured' if captured else 'eager':9s} {row['img_per_s']:6d} img/s "
                  f"{row['ms_per_step']:8.2f} ms/step {row['peak_gib']:6.2f} GiB, {row['gflop_per_image']:.1f} GFLOP/image, "
                  f"{100 * row['share_of_floor']:.1f} % of the floor", flush=True)
            torch.cuda.empty_cache()
    if args.out:
        with open(args.out, "w") as file:
            json.dump(results | {"world": portraits.VERSION}, file, indent=1)


if __name__ == "__main__":
    main()
