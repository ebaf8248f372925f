"""How fast Portraits are drawn: python benchmarks/render_speed.py [--device cuda] [--batch 64]."""
import time

import torch

from course_lib import commands, portraits


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--device", type=commands.device, default="cpu", help="cpu, cuda, cuda:N or mps")
    add("--batch", type=commands.whole(1, 65_536), default=64, help="portraits at a time")
    add("--resolution", type=commands.power_of_two(), default=64, help="pixels a side")
    add("--threads", type=commands.whole(1, 1024), default=2, help="CPU threads")
    add("--repeats", type=commands.whole(1, 10_000), default=10, help="timed runs, the best one counts")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/render_speed.py"):
        torch.set_num_threads(args.threads)
        attributes, noise = portraits.sample_attributes(args.batch, 0), portraits.sample_noise(args.batch, 0)
        seconds(attributes, noise, args)
        best = min(seconds(attributes, noise, args) for _ in range(args.repeats))
        commands.show_json({"world": portraits.VERSION, "device": args.device, "batch": args.batch, "resolution": args.resolution,
                            "threads": args.threads, "seconds": round(best, 4), "images_per_second": round(args.batch / best)})


def seconds(attributes, noise, args):
    start = time.perf_counter()
    images = portraits.render(attributes, args.resolution, noise, args.device)
    images[-1, 0, 0, 0].item()                          # waits for a GPU
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
