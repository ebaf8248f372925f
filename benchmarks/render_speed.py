"""How fast Portraits are drawn, both versions in turn: python benchmarks/render_speed.py [--device cuda] [--batch 64].

On a CPU the seconds are the process's CPU time, which other work on the machine hardly changes.
"""
import time

import torch

from course_lib import commands, portraits, results
from course_lib.portraits.schema import TABLES


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--device", type=commands.device, default="cpu", help="cpu, cuda, cuda:N or mps")
    add("--batch", type=commands.whole(1, 65_536), default=64, help="portraits at a time")
    add("--resolution", type=commands.power_of_two(), nargs="+", default=[64, 128], help="pixels a side")
    add("--threads", type=commands.whole(1, 1024), default=1, help="CPU threads")
    add("--repeats", type=commands.whole(1, 10_000), default=7, help="timed runs of each, the best one counts")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/render_speed.py"):
        torch.set_num_threads(args.threads)
        command = f"python benchmarks/render_speed.py --device {args.device} --batch {args.batch} --threads {args.threads}"
        times = {str(resolution): compared(resolution, args) for resolution in args.resolution}
        commands.show_json({"command": command, "device": results.machine(args.device), "batch": args.batch,
                            "milliseconds_per_image": times})


def compared(resolution, args):
    """The milliseconds an image of each version takes: {version: milliseconds}."""
    drawings = {version: (portraits.sample_attributes(args.batch, 0, version=version), portraits.sample_noise(args.batch, 0))
                for version in TABLES}
    runs = [{version: seconds(*drawing, resolution, args.device, version) for version, drawing in drawings.items()}
            for _ in range(args.repeats + 1)][1:]
    return {version: round(min(run[version] for run in runs) * 1000 / args.batch, 4) for version in drawings}


def seconds(attributes, noise, resolution, device, version):
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    images = portraits.render(attributes, resolution, noise, device, version)
    images[-1, 0, 0, 0].item()                          # waits for a GPU
    return clock() - start


if __name__ == "__main__":
    main()
