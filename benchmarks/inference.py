"""Images of StyleGAN2: this library's path against two plain ones, in one run, with the same weights.

    python benchmarks/inference.py --out data/results/inference.json                              # one image, two CPU cores
    python benchmarks/inference.py --batches 1 2 4 8 16 --config "1024 px, config F" --repeats 3
    python benchmarks/inference.py --batches 32 --config "1024 px, config F" --repeats 1 --alone  # where the plain paths do not fit
    python benchmarks/inference.py --device cuda --batches 1 4 16 32 --dtype bfloat16 --out data/results/inference-gpu.json

Plain: weights modulated per image, zeros inserted and filtered by upfirdn2d, a grouped convolution. Official: the reference form of
the official code, which goes up by a grouped transposed convolution before the filter. The three take turns; each figure is the
median. Memory is what this library's path adds at most to the weights and, on a CPU, to the forms of them that it keeps from the
first image on: on a GPU what PyTorch has allocated, on a CPU what the process holds (on Linux).
"""
import os
import shlex
import statistics
import sys
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from course_lib import commands, ops
from course_lib.networks import stylegan2

CONFIGS = {"pocket 64 px": dict(resolution=64, channel_base=4096, channel_max=256, z_dim=256, w_dim=256),
           "64 px": dict(resolution=64, channel_base=16384), "256 px": dict(resolution=256, channel_base=16384),
           "1024 px, config F": dict(resolution=1024)}


def generator(options, device):
    torch.manual_seed(0)
    G = stylegan2.Generator(**options).eval().requires_grad_(False)
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.fill_(0.1)
    return G.to(device)


def transposed(x, weight, kernel=None, up=1, down=1, padding=0, groups=1, mirror=False, resample=ops.conv2d_resample):
    """`ops.conv2d_resample` as the official code computes it: a transposed convolution goes up, and then comes the filter."""
    if up == 1:
        return resample(x, weight, kernel, up, down, padding, groups, mirror)
    weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return ops.upfirdn2d(F.conv_transpose2d(x, weight.to(x.dtype), stride=2, groups=groups), kernel, padding=1, gain=4)


PATHS = {"plain": ops.conv2d_resample, "official": transposed, "ours": ops.conv2d_resample}


@torch.no_grad()
def measure(G, batch, repeats, dtype, device, alone=False):
    """Milliseconds per image of every path, the largest difference relative to the largest value, and the memory of ours; alone:
    ours only."""
    w = G.mapping(torch.randn(batch, G.z_dim, generator=torch.Generator().manual_seed(batch)).to(device))
    paths = ["ours"] if alone else list(PATHS)
    times, images = {path: [] for path in paths}, {}

    def draw(path):
        ops.conv2d_resample = PATHS[path]
        return G.synthesis(w, noise="const", impl="fused" if path == "ours" else "reference",
                           dtype=None if device.type == "cpu" else dtype)

    for _ in range(repeats + 2):
        for path in paths:
            began = _now(device)
            images[path] = draw(path)
            times[path].append(1000 * (_now(device) - began) / batch)
    median = {path: statistics.median(times[path][2:]) for path in paths}
    row = {"batch": batch, "ms": round(median["ours"], 2), "img_per_s": round(1000 / median["ours"], 1)}
    for path in paths[:-1]:
        difference = ((images[path] - images["ours"]).abs().max() / images[path].abs().max()).item()
        row |= {f"{path}_ms": round(median[path], 2), f"{path}_ratio": round(median[path] / median["ours"], 2),
                f"{path}_difference": float(f"{difference:.1e}")}
    images.clear()
    return row | {"gib": round(memory(lambda: draw("ours"), device), 3)}


def memory(function, device):
    """GiB that a call adds at most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2 ** 30
    held = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    done, before, most = threading.Event(), held(), [0]

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], held() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return most[0] / 2 ** 30


def _now(device):
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--config", choices=CONFIGS, action="append", help="default: all")
    parser.add_argument("--batches", type=commands.whole(1, 4096), nargs="+", default=[1], help="images at a time")
    parser.add_argument("--device", type=commands.device, default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the convolutions, on a GPU")
    parser.add_argument("--threads", type=commands.whole(1, 1024), default=2, help="CPU threads")
    parser.add_argument("--repeats", type=commands.whole(1, 10_000), default=7, help="timed images of each path")
    parser.add_argument("--alone", action="store_true", help="this library's path only, where the plain one needs too much memory")
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/inference.py"):
        commands.no_mps(args.device, "the benchmark reads the memory that CUDA, or the system, says is used")
        if args.out:
            commands.try_output(args.out)
        benchmark(args, shlex.join(["python", "benchmarks/inference.py", *arguments]))


def benchmark(args, command_line):
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device(args.device)
    result = {"command": command_line, "torch": torch.__version__,
              "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
              "threads": args.threads, "dtype": "float32" if device.type == "cpu" else args.dtype, "configs": {}}
    for name in args.config or CONFIGS:
        G = generator(CONFIGS[name], device)
        for batch in args.batches:
            row = measure(G, batch, args.repeats, getattr(torch, args.dtype), device, args.alone)
            result["configs"].setdefault(name, []).append(row)
            print(f"{name:18s} batch {batch:3d}   " + "   ".join(f"{key} {value}" for key, value in row.items() if key != "batch"),
                  flush=True)
            if args.out:
                commands.write_json(args.out, result, replace=True)


if __name__ == "__main__":
    main()
