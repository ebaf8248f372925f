"""What every stage of growth costs, and what growing therefore saves (PGGAN §6.4).

    python benchmarks/growing_speed.py pggan --resolution 64 --out data/results/growing_speed.json

Prints milliseconds per image of a training step at each resolution, stable and fading, each measured alone, and from them the
time of the whole schedule against as many images at the last resolution. Takes the options of course_lib.train MODEL.
"""
import shlex
import statistics
import sys
import time

import torch

from course_lib import commands, portraits, train
from course_lib.training import growing, loop, options, schedule


def measure(settings, resolution, fading, device, repeats):
    """Median milliseconds of a step (D, G and the moving average) and its batch."""
    s = settings
    torch.manual_seed(0)
    torch.compiler.reset()                              # what was compiled for another resolution counts against a limit
    run = growing.build(s, device)
    for network in (run.G, run.D, run.ema):
        network.grow(resolution, 0.5 if fading else 1.0)
    run.buffers["alpha"].fill_(0.5)
    batch = schedule.at(s["batch"], resolution)
    reals = torch.randint(0, 256, [max(batch, 256), 3, resolution, resolution], dtype=torch.uint8, device=device)
    steps = [phase.step for phase in growing.phases(run, reals, batch, fading, s, device, s["compile"])]
    cuda = torch.device(device).type == "cuda"
    if cuda:
        pool = torch.cuda.graph_pool_handle()
        steps = [loop.Captured(step, pool) for step in steps]
    decay = torch.full([], 0.999, device=device)

    def one():
        for step in steps:
            step()
        loop.move_average(run.ema, run.G, decay)

    times = []
    for i in range(5 + repeats):
        if cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        one()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[5:]), batch


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    models = parser.add_subparsers(dest="model", required=True)
    for name in ("pggan", "stylegan"):
        command = models.add_parser(name, conflict_handler="resolve")
        train.growing_options(command, name)
        command.add_argument("--out", help="also write the figures to this JSON file")
        command.add_argument("--repeats", type=commands.whole(1, 10_000), default=40, help="steps per figure")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/growing_speed.py"):
        benchmark(args, shlex.join(["python", "benchmarks/growing_speed.py", *(sys.argv[1:] if arguments is None else arguments)]))


def benchmark(args, command_line):
    options.check(vars(args), args.device, args.compile)
    if args.out:
        commands.try_output(args.out)
    s = vars(args) | {"world": None}
    device = args.device
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    rows, resolution = [], args.start
    while resolution <= args.resolution:
        for fading in (False, True) if resolution > args.start else (False,):
            ms, batch = measure(s, resolution, fading, device, args.repeats)
            rows.append({"resolution": resolution, "fading": fading, "batch": batch, "ms_per_step": round(ms, 3),
                         "ms_per_image": round(ms / batch, 5)})
            print(f"{resolution:5d} px {'fade' if fading else 'stable':7s} batch {batch:4d}   {ms:9.2f} ms/step   "
                  f"{1000 * batch / ms:9.0f} img/s", flush=True)
        resolution *= 2
    grown = sum(row["ms_per_image"] * (s["fade"] if row["fading"] else s["stable"]) for row in rows) / 1000
    full = next(row["ms_per_image"] for row in rows[::-1] if not row["fading"]) * growing.images_in_all(s) / 1000
    print(f"the schedule of {growing.images_in_all(s):,} images: {grown / 60:.1f} min grown, {full / 60:.1f} min at full size, "
          f"{full / grown:.1f} times")
    if args.out:
        result = {"command": command_line, "world": portraits.VERSION, "torch": torch.__version__, "stages": rows,
                  "images": growing.images_in_all(s),
                  "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
                  "minutes_grown": round(grown / 60, 2), "minutes_full": round(full / 60, 2), "ratio": round(full / grown, 2)}
        commands.write_json(args.out, result)


if __name__ == "__main__":
    main()
