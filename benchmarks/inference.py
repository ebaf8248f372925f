"""One image of StyleGAN2 on the CPU: this library's path against the plain one, in one run, with the same weights.

    python benchmarks/inference.py --out data/results/inference.json

The plain path is the reference form of the official code: weights modulated per image, a grouped convolution, zeros inserted
and filtered by upfirdn2d. The two take turns; each figure is the median.
"""
import argparse
import json
import statistics
import time

import torch

from course_lib import portraits
from course_lib.networks import stylegan2

CONFIGS = {"pocket 64 px": dict(resolution=64, channel_base=4096, channel_max=256, z_dim=256, w_dim=256),
           "64 px": dict(resolution=64, channel_base=16384), "256 px": dict(resolution=256, channel_base=16384),
           "1024 px, config F": dict(resolution=1024)}


@torch.no_grad()
def measure(options, batch, repeats):
    """Milliseconds per image of both paths, and their largest difference relative to the largest value."""
    torch.manual_seed(0)
    G = stylegan2.Generator(**options).eval()
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.fill_(0.1)
    w = G.mapping(torch.randn(batch, G.z_dim))
    times, images = {True: [], False: []}, {}
    for _ in range(repeats + 1):
        for plain in (True, False):
            began = time.perf_counter()
            images[plain] = G.synthesis(w, noise="const", plain=plain)
            times[plain].append(1000 * (time.perf_counter() - began) / batch)
    difference = (images[True] - images[False]).abs().max() / images[True].abs().max()
    plain, fast = (statistics.median(times[p][1:]) for p in (True, False))
    return {"plain_ms": round(plain, 1), "ms": round(fast, 1), "ratio": round(plain / fast, 2), "difference": float(f"{difference:.1e}")}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, action="append", help="default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    result = {"command": "python benchmarks/inference.py", "world": portraits.VERSION, "torch": torch.__version__,
              "threads": args.threads, "batch": args.batch, "configs": {}}
    for name in args.config or CONFIGS:
        row = result["configs"][name] = measure(CONFIGS[name], args.batch, args.repeats)
        print(f"{name:18s} plain {row['plain_ms']:8.1f} ms   this path {row['ms']:8.1f} ms   {row['ratio']:.2f} times as fast, "
              f"difference {row['difference']}", flush=True)
    if args.out:
        with open(args.out, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
