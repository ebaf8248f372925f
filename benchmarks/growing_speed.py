"""What every stage of growth costs, and what growing therefore saves (PGGAN §6.4).

    python benchmarks/growing_speed.py pggan --resolution 64 --out data/results/growing_speed.json
    python benchmarks/growing_speed.py table --out data/results/train_speed.json

With a model: prints milliseconds per image of a training step at each resolution, stable and fading, each measured alone, and from
them the time of the whole schedule against as many images at the last resolution. Takes the options of course_lib.train MODEL.
`table` measures the rows of TABLE on a GPU, each in a process of its own, and of AT_ONCE whole trainings beside each other on
one GPU; to the file of train_speed.py, if there is one, it adds them.
"""
import json
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from train_speed import alone, machine

from course_lib import commands, cuda_graphs
from course_lib.networks.layers import EqualizedConv2d
from course_lib.training import data, growing, loop, options, schedule
from course_lib.training.settings import from_options

SMALL = ["--resolution", "32", "--channel-base", "2048", "--channel-max", "128", "--z-dim", "128",
         "--batch", "64"]                                       # of experiments/compare.py
TABLE = {"StyleGAN, last stage 64 px (32)": ["stylegan", "--resolution", "64"],
         "PGGAN, last stage 64 px (64)": ["pggan", "--resolution", "64", "--batch", "64"],
         "StyleGAN, 32 px, half width (64)": ["stylegan", *SMALL, "--w-dim", "128"],
         "PGGAN, 32 px, half width (64)": ["pggan", *SMALL]}
AT_ONCE = {"PGGAN, 32 px, half width, 8 at once (64)": (8, ["pggan", *SMALL, "--start", "32", "--data-size", "4k",
                                                            "--images", "96k", "--log-every", "4k"])}


def measure(settings, resolution, fading, device, repeats):
    """Median milliseconds of a step (D, G and the moving average), and its batch; the seconds until all is recorded."""
    s, start = settings, time.perf_counter()
    torch.manual_seed(0)
    run = growing.build(s, device)
    for network in (run.G, run.D, run.ema):
        network.grow(resolution, 0.5 if fading else 1.0)
    run.buffers["alpha"].fill_(0.5)
    batch = schedule.at(s.batch, resolution)
    reals = data.Resident(torch.randint(0, 256, [max(batch, 256), 3, resolution, resolution], dtype=torch.uint8, device=device))
    decay = torch.full([], 0.999, device=device)
    steps = [phase.step for phase in growing.phases(run, reals, batch, fading, s, device, s.r1_gamma)]
    steps.append(lambda: loop.move_average(run.ema, run.G, decay))
    cuda = torch.device(device).type == "cuda"
    if cuda:
        pool, waiting = torch.cuda.graph_pool_handle(), set()
        steps = [cuda_graphs.GraphStep(step, pool, waiting) for step in steps]
    wait = torch.cuda.synchronize if cuda else lambda: None

    def several(count):
        wait()
        began = time.perf_counter()
        for _ in range(count):
            for step in steps:
                step()
        wait()
        return (time.perf_counter() - began) / count

    several(2)                                          # each step eagerly, then recorded
    ready = time.perf_counter() - start
    several(3)
    each = 20 if cuda else 1                            # so that the GPU never waits for the CPU
    return 1000 * statistics.median(several(each) for _ in range(repeats)), batch, ready, run


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    models = parser.add_subparsers(dest="model", required=True)
    for name in ("pggan", "stylegan"):
        command = models.add_parser(name, conflict_handler="resolve")
        options.gan_options(command, name)
        command.add_argument("--out", help="also write the figures to this JSON file")
        command.add_argument("--repeats", type=commands.whole(1, 10_000), default=40, help="steps per figure")
    table = models.add_parser("table")
    table.add_argument("--out", help="also write the figures to this JSON file, beside those of train_speed.py that it may hold")
    table.add_argument("--row", choices=[*TABLE, *AT_ONCE], action="append", help="default: all")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/growing_speed.py"):
        words = sys.argv[1:] if arguments is None else arguments
        (tabulate if args.model == "table" else benchmark)(args, shlex.join(["python", "benchmarks/growing_speed.py", *words]))


def benchmark(args, command_line):
    s, device = from_options(args.model, args), args.device
    options.check(s, device)
    if args.out:
        commands.try_output(args.out)
    loop.prepare(device)
    rows, resolution = [], args.start
    while resolution <= args.resolution:
        for fading in (False, True) if resolution > args.start else (False,):
            ms, batch, *_ = measure(s, resolution, fading, device, args.repeats)
            rows.append({"resolution": resolution, "fading": fading, "batch": batch, "ms_per_step": round(ms, 3),
                         "ms_per_image": round(ms / batch, 5)})
            print(f"{resolution:5d} px {'fade' if fading else 'stable':7s} batch {batch:4d}   {ms:9.2f} ms/step   "
                  f"{1000 * batch / ms:9.0f} img/s", flush=True)
        resolution *= 2
    grown = sum(row["ms_per_image"] * (s.fade if row["fading"] else s.stable) for row in rows) / 1000
    full = next(row["ms_per_image"] for row in rows[::-1] if not row["fading"]) * s.whole_schedule() / 1000
    print(f"the schedule of {s.whole_schedule():,} images: {grown / 60:.1f} min grown, {full / 60:.1f} min at full size, "
          f"{full / grown:.1f} times")
    if args.out:
        result = {"command": command_line, "torch": torch.__version__, "stages": rows,
                  "images": s.whole_schedule(),
                  "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
                  "minutes_grown": round(grown / 60, 2), "minutes_full": round(full / 60, 2), "ratio": round(full / grown, 2)}
        commands.write_json(args.out, result)


def tabulate(args, command_line):
    found = commands.own_json(args.out, "python benchmarks/") if args.out else {}
    tflops, tbytes, device = alone(machine)
    rows = found.setdefault("growing", {})
    for name in args.row or [*TABLE, *AT_ONCE]:
        rows[name] = row = at_once(*AT_ONCE[name]) if name in AT_ONCE else alone(last_stage, TABLE[name], tflops, tbytes)
        row |= {"command": command_line, "device": device, "torch": torch.__version__}
        print(f"{name:42s} {row['img_per_s']:8.0f} img/s",
              *(f"{key} {row[key]}" for key in ("ms_per_step", "share_of_floor") if key in row), flush=True)
    if args.out:
        commands.write_json(args.out, {"command": command_line} | found, replace=True)


def last_stage(arguments, tflops, tbytes):
    """A row: the speed at the last resolution, memory, and the floors of train_speed.py."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    s = options.as_typed(*arguments)
    ms, batch, ready, run = measure(s, s.resolution, False, "cuda", 20)
    gflop, gb = cost_per_image(run, s)
    floors = 1000 * tflops / gflop, 1000 * tbytes / gb
    return {"img_per_s": round(1000 * batch / ms, 1), "ms_per_step": round(ms, 3),
            "gflop_per_image": round(gflop, 2), "gb_per_image": round(gb, 4),
            "arithmetic_floor_img_per_s": round(floors[0]), "traffic_floor_img_per_s": round(floors[1]),
            "share_of_floor": round(1000 * batch / ms / min(floors), 3), "seconds_to_full_speed": round(ready, 1),
            "reserved_gib": round(torch.cuda.max_memory_reserved() / 2 ** 30, 2), "batch": batch}


def cost_per_image(run, s):
    """As in train_speed.py: GFLOP, and GB read and written, of convolutions and dense layers. A step passes through G once for D's
    sake and, with its gradients, three times for its own; through D, with the penalty on images of their own in WGAN-GP, 14 times,
    else 11."""
    def forward(network):
        flop = byte = 0
        for name, module in network.named_modules():
            if isinstance(module, EqualizedConv2d):
                r = int(re.search(r"b(\d+)", name)[1])
                if "rgb" in name and r < s.resolution:
                    continue
                o, i, k, _ = module.weight.shape
                before, after = (r // 2 if module.resample == "up" else r), (r // 2 if module.resample == "down" else r)
                flop += 2 * o * i * min(before, after) ** 2 * (16 if module.resample else k * k)
                byte += 2 * (i * before ** 2 + o * after ** 2)
            elif getattr(module, "weight", None) is not None:
                flop += 2 * module.weight.numel()
        return flop / 1e9, byte / 1e9
    times = 14 if s.loss == "wgan-gp" else 11
    return [4 * G + times * D for G, D in zip(forward(run.G), forward(run.D))]


def at_once(count, arguments):
    """A row: so many trainings beside each other on one GPU, and the sum of their speeds while all of them train."""
    with tempfile.TemporaryDirectory() as folder:
        outs, runs = [Path(folder) / str(i) for i in range(count)], []
        for seed, out in enumerate(outs):
            line = [sys.executable, "-m", "course_lib.train", *arguments, "--checkpoint-every", "100m", "--seed", str(seed),
                    "--out", str(out)]
            with open(f"{out}.txt", "w") as said:
                runs.append(subprocess.Popen(line, stdout=said, stderr=said))
        for run, out in zip(runs, outs):
            if run.wait():
                raise ValueError(f"a training failed: {Path(f'{out}.txt').read_text().strip().splitlines()[-1]}")
        lines = [[json.loads(line)["img_per_s"] for line in (out / "log.jsonl").read_text().splitlines()] for out in outs]
    speeds = [statistics.median(each[len(each) // 4:len(each) * 3 // 4]) for each in lines]
    return {"img_per_s": round(sum(speeds), 1), "each": speeds}


if __name__ == "__main__":
    main()
