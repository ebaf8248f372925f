"""What it costs to read training images from disk as they are needed: StyleGAN2 trained on a packed set of twenty times as many
images as may lie on the device, beside the same training on images that do lie there.

    python benchmarks/streaming_speed.py --out data/results/streaming_speed.json

Prints images per second, lazy regularization included, and their ratio; every number comes from a process of its own, and is the
median over cycles of 16 steps. The sets hold random bytes, take 4 GB each in --folder, and are removed. By default they are read
from the system's page cache, for they have just been written; --cold drops them from it first, so that the disk is measured, too.
"""
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from train_speed import CONFIG_F, LARGE

from course_lib import commands, cuda_graphs, dataset
from course_lib.training import data, loop, stylegan2
from course_lib.training.settings import StyleGAN2Settings

SMOKE = dict(resolution=8, channel_base=64, z_dim=8, w_dim=8, batch=4)
CACHES = {"256 px (64)": (LARGE | dict(resolution=256), 1000, 3),            # options, images on the device, cycles
          "1024 px, config F (32 by 4)": (CONFIG_F | dict(batch_gpu=4), 64, 2), "smoke": (SMOKE, 32, 1)}
TIMES = 20


def make_set(folder, count, resolution):
    """A packed set of random bytes."""
    folder.mkdir()
    store = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 3, resolution, resolution))
    rng = np.random.default_rng(0)
    for i in range(0, count, 64):
        store[i:i + 64] = rng.integers(0, 256, store[i:i + 64].shape, np.uint8)
    store.flush()
    commands.write_json(folder / "info.json", {
        "format": dataset.FORMAT, "source": "random bytes", "resolution": resolution, "fit": "crop", "count": count, "sha256": "",
        "skipped": {}, "left_out": {}, "names": [f"{i}.png" for i in range(count)]})


def forget(path):
    """Make the system forget a file that it keeps in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(name, folder, streamed, device):
    """Images per second of all phases of training."""
    options, cache, repeats = CACHES[name]
    s = StyleGAN2Settings(**options, streamed=streamed, data_size=TIMES * cache if streamed else cache)
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    run = stylegan2.build(s, device)
    stage = stylegan2.plan(run, data.reals(data.select(folder, s.data_size, 0), s, device), s, device)()
    pool, decay = torch.cuda.graph_pool_handle() if cuda else None, torch.full([], 0.999, device=device)
    record = (lambda step: cuda_graphs.GraphStep(step, pool)) if cuda else (lambda step: step)
    steps = [(phase.interval, record(phase.step)) for phase in stage.phases]
    steps.append((1, record(lambda: loop.move_average(run.ema, run.G, decay))))

    def cycle(count=16):
        """Seconds of so many steps, of which the first runs all phases."""
        if cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        for i in range(count):
            stage.prepare(run.step)
            for interval, step in steps:
                if i % interval == 0:
                    step()
            run.step += 1
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    for _ in range(5):                                      # a step is recorded in the fourth call
        cycle(1)
    return 16 * s.batch / statistics.median(cycle() for _ in range(repeats))


def main(arguments=None):
    parser = commands.Parser(prog="python benchmarks/streaming_speed.py", description=__doc__)
    parser.add_argument("--config", choices=CACHES, action="append", help="default: both sizes on a GPU, elsewhere smoke")
    parser.add_argument("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    parser.add_argument("--folder", type=commands.input_folder, default=tempfile.gettempdir(), help="where the sets are written")
    parser.add_argument("--cold", action="store_true", help="read the sets from the disk")
    parser.add_argument("--out", help="also write the figures to this JSON file")
    args = parser.parse_args(arguments)
    with commands.sentences(parser.prog):
        if args.out:
            commands.try_output(args.out)
        cuda = args.device.startswith("cuda")
        command = shlex.join(["python", "benchmarks/streaming_speed.py", *(sys.argv[1:] if arguments is None else arguments)])
        result = {"command": command,
                  "device": torch.cuda.get_device_name(args.device) if cuda else args.device, "torch": torch.__version__,
                  "cold": args.cold, "configs": {}}
        for name in args.config or (list(CACHES)[:2] if cuda else ["smoke"]):
            result["configs"][name] = compare(name, args)
        if args.out:
            commands.write_json(args.out, result)
        commands.show_json(result)


def compare(name, args):
    options, cache, _ = CACHES[name]
    s = StyleGAN2Settings(**options)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        place = Path(folder) / "set"
        make_set(place, TIMES * cache, s.resolution)
        speeds = []
        for streamed in (False, True):
            if args.cold:
                forget(place / "images.npy")
            code = f"import streaming_speed; print(streaming_speed.measure{name, str(place), streamed, args.device})"
            done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
            if done.returncode:
                raise OSError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
            speeds.append(float(done.stdout.splitlines()[-1]))
    on_device, from_disk = speeds
    row = {"images": TIMES * cache, "on_device": cache, "batch": s.batch, "img_per_s_on_device": round(on_device, 1),
           "img_per_s_from_disk": round(from_disk, 1), "ratio": round(from_disk / on_device, 3),
           "mb_per_s": round(from_disk * 3 * s.resolution ** 2 / 1e6)}
    commands.show_table(f"{name:28s} {on_device:8.1f} img/s on the device, {from_disk:8.1f} from disk, ratio {row['ratio']}")
    return row


if __name__ == "__main__":
    main()
