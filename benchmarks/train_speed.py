"""Training speed of StyleGAN2 on one GPU, lazy regularization included: every row in a process of its own.

    python benchmarks/train_speed.py --out data/results/train_speed.json

Prints img/s beside those of the official code on the same card, memory, the seconds until every step is recorded (of a first
run, which compiles the kernels, and of a second, which finds them), and two floors: the time that convolutions and dense layers
would take at the rate of a large bf16 matrix product, and the time that their maps, read and written once, would take at the rate
of a large copy. Medians over repeated cycles of 16 steps. The official figures were measured once on an H200 with the same torch.
"""
import multiprocessing
import os
import shlex
import statistics
import sys
import tempfile
import time

import torch

from course_lib import commands, cuda_graphs
from course_lib.training import data, loop, stylegan2
from course_lib.training.settings import StyleGAN2Settings

LARGE = dict(channel_base=16384, channel_max=512, z_dim=512, w_dim=512)
CONFIG_F = LARGE | dict(resolution=1024, channel_base=32768, batch=32)
CONFIGS = {"pocket 64 px (64)": (dict(resolution=64), 568),
           "pocket 64 px (256)": (dict(resolution=64, batch=256), None),
           "pocket 64 px with ADA (64)": (dict(resolution=64, augment="ada", augment_p=0.5), None),
           "64 px, 16384/512 (64)": (LARGE | dict(resolution=64), 468),
           "256 px, 16384/512 (64)": (LARGE | dict(resolution=256), 189),
           "1024 px, config F (32 by 8)": (CONFIG_F | dict(batch_gpu=8), 19.9),
           "1024 px, config F (32 by 4)": (CONFIG_F | dict(batch_gpu=4), 19.9)}


def cost_per_image(run, s):
    """GFLOP, and GB read and written, of the convolutions and dense layers of one image in one step, maps in half precision.

    Forward passes of G and D cost what their layers cost. A gradient for the input or for the weights costs one forward pass each,
    differentiating a gradient four.
    """
    def forward(network):
        flop = byte = 0
        for name, p in network.named_parameters():
            if p.ndim == 4:
                r = int(name.split("b")[1].split(".")[0]) if "synthesis" in name else int(name[1:].split(".")[0])
                up = "synthesis" in name and "conv0" in name
                down = "synthesis" not in name and any(k in name for k in ("conv1", "skip"))
                before, after = r // 2 if up else r, r // 2 if down else r
                flop += 2 * p.numel() * min(before, after) ** 2
                byte += 2 * (p.shape[1] * before ** 2 + p.shape[0] * after ** 2)
            elif p.ndim == 2:
                flop += 2 * p.numel()
        return flop / 1e9, byte / 1e9
    step_g, step_d = lambda G, D: 3 * G + 2 * D, lambda G, D: G + 6 * D
    return [step_g(G, D) + step_d(G, D) + 6 * D / s.r1_interval + 0.5 * 6 * G / s.pl_interval
            for G, D in zip(forward(run.G), forward(run.D))]


def machine(device="cuda", n=8192):
    """TFLOP/s of a bf16 matrix product on random data, TB/s of a copy, counting bytes read and written, and the GPU's name."""
    if not torch.cuda.is_available():
        raise ValueError("it measures steps on a CUDA device, and PyTorch finds none on this machine")
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = statistics.median(seconds(lambda: a @ b) for _ in range(12))
    source = torch.randn(2 ** 30, device=device)
    target = torch.empty_like(source)
    copy = statistics.median(seconds(lambda: target.copy_(source)) for _ in range(12))
    return 2 * n ** 3 / product / 1e12, 8 * 2 ** 30 / copy / 1e12, torch.cuda.get_device_name()


def seconds(function):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(options, captured=True, timed=True, device="cuda"):
    began = time.perf_counter()
    loop.prepare(device)
    s = StyleGAN2Settings(**options)
    torch.manual_seed(0)
    run = stylegan2.build(s, device)
    size = [10_000 if s.resolution < 256 else 2_000, 3, s.resolution, s.resolution]
    reals = data.Resident(torch.randint(0, 256, size, dtype=torch.uint8, device=device))
    pool, waiting, decay = torch.cuda.graph_pool_handle(), set(), torch.full([], 0.999, device=device)
    record = (lambda step: cuda_graphs.GraphStep(step, pool, waiting)) if captured else (lambda step: step)
    steps = [(phase.interval, record(phase.step)) for phase in stylegan2.phases(run, reals, s, device, s.r1_gamma)]
    steps.append((1, record(lambda: loop.move_average(run.ema, run.G, decay))))

    def cycle(count):
        for i in range(count):
            for interval, step in steps:
                if i % interval == 0:
                    step()

    for _ in range(2):                                  # each step eagerly, then recorded
        cycle(1)
    torch.cuda.synchronize()
    found = {"seconds_to_full_speed": round(time.perf_counter() - began, 1)}
    if timed:
        cycle(16)
        times = []
        while len(times) < 3 or sum(times) < 2:
            times.append(seconds(lambda: cycle(16)))
        ms = statistics.median(times) / 16 * 1000
        gflop, gb = cost_per_image(run, s)
        found |= {"img_per_s": round(s.batch / ms * 1000, 1), "ms_per_step": round(ms, 2), "gflop_per_image": round(gflop, 1),
                  "gb_per_image": round(gb, 4), "allocated_gib": round(torch.cuda.max_memory_allocated() / 2 ** 30, 2),
                  "reserved_gib": round(torch.cuda.max_memory_reserved() / 2 ** 30, 2), "batch": s.batch}
    return found


def main():
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    parser.add_argument("--config", choices=CONFIGS, action="append", help="default: all")
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    args = parser.parse_args()
    with commands.sentences("python benchmarks/train_speed.py"):
        if args.out:
            commands.try_output(args.out)
        benchmark(args)


def benchmark(args):
    tflops, tbytes, device = alone(machine)
    results = {"command": shlex.join(["python", *sys.argv]), "device": device, "torch": torch.__version__,
               "bf16_tflops": round(tflops),
               "copy_tb_per_s": round(tbytes, 2), "configs": {}}
    print(f"{device}, torch {torch.__version__}, bf16 matrix product {tflops:.0f} TFLOP/s, copy {tbytes:.2f} TB/s\n\n"
          "| configuration (batch) | official code, img/s | here, img/s | ratio | ms per step | GiB allocated | GiB reserved | s "
          "to full speed | s in a second run | arithmetic floor, img/s | traffic floor, img/s | share of the nearer floor |\n"
          + "|---" * 12 + "|")
    for name in args.config or CONFIGS:
        options, official = CONFIGS[name]
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TRITON_CACHE_DIR"] = cache          # empty in the first run
            row, again = alone(measure, options, not args.eager), alone(measure, options, not args.eager, False)
        floors = 1000 * tflops / row["gflop_per_image"], 1000 * tbytes / row["gb_per_image"]
        row |= {"official_img_per_s": official, "ratio": official and round(row["img_per_s"] / official, 2),
                "arithmetic_floor_img_per_s": round(floors[0]), "traffic_floor_img_per_s": round(floors[1]),
                "share_of_floor": round(row["img_per_s"] / min(floors), 3),
                "seconds_to_full_speed_again": again["seconds_to_full_speed"]}
        results["configs"][name] = row
        ratio = f"{row['ratio']} ×" if official else "–"
        print(f"| {name} | {official or '–'} | {row['img_per_s']:,.0f} | {ratio} | {row['ms_per_step']} | {row['allocated_gib']} | "
              f"{row['reserved_gib']} | {row['seconds_to_full_speed']:.0f} | {row['seconds_to_full_speed_again']:.0f} | "
              f"{floors[0]:,.0f} | {floors[1]:,.0f} | {100 * row['share_of_floor']:.1f} % |", flush=True)
        if args.out:                                        # after every row, so that nothing measured is lost
            commands.write_json(args.out, results, replace=True)


def alone(function, *arguments):
    """function(*arguments) in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


if __name__ == "__main__":
    main()
