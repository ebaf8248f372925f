"""How fast Portraits are drawn: python benchmarks/render_speed.py [--device cuda] [--batch 64]."""

import argparse
import json
import time

import torch

from course_lib import portraits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
parser.add_argument("--batch", type=int, default=64, help="portraits at a time (default: 64)")
parser.add_argument("--resolution", type=int, default=64, help="a power of two from 4 to 1024 (default: 64)")
parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
parser.add_argument("--repeats", type=int, default=10, help="timed runs, the best one counts (default: 10)")
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
attributes = portraits.sample_attributes(arguments.batch, 0)
noise = portraits.sample_noise(arguments.batch, 0)


def seconds():
    start = time.perf_counter()
    portraits.render(attributes, arguments.resolution, noise, arguments.device)
    if arguments.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


seconds()
best = min(seconds() for _ in range(arguments.repeats))
print(json.dumps({"world": portraits.VERSION, "device": arguments.device, "batch": arguments.batch,
                  "resolution": arguments.resolution, "threads": arguments.threads, "seconds": round(best, 4),
                  "images_per_second": round(arguments.batch / best)}))
