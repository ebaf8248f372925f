"""What a second GPU adds to the training of StyleGAN2: course_lib.train with one process and with two.

    python benchmarks/two_gpus.py --out data/results/two_gpus.json

Prints the images per second that the runs log once every step is recorded, over whole cycles of 16 steps, and how many times as
fast two GPUs are: with as many images a GPU, and for the pocket model with as many in all.
"""
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from course_lib import commands

LARGE = ["--channel-max", "512", "--z-dim", "512", "--w-dim", "512"]
LINES = 5                       # of a run's log, of which the last three count; nothing is saved
POCKET = ["--resolution", "64", "--data-size", "4k", "--log-every", "16384"]
AT_256 = ["--resolution", "256", *LARGE, "--channel-base", "16384", "--data-size", "1k"]
AT_1024 = ["--resolution", "1024", *LARGE, "--channel-base", "32768", "--batch-gpu", "8", "--data-size", "256"]
ALONE = {"pocket 64 px (64)": [*POCKET, "--batch", "64"],
         "1024 px, config F (32 by 8)": [*AT_1024, "--batch", "32", "--log-every", "512"],
         "256 px, 16384/512 (64)": [*AT_256, "--batch", "64", "--log-every", "1024"]}
PAIRS = {"pocket 64 px, 64 a GPU": ("pocket 64 px (64)", [*POCKET, "--batch", "128"]),
         "pocket 64 px, 64 in all": ("pocket 64 px (64)", [*POCKET, "--batch", "64"]),
         "256 px, 64 a GPU": ("256 px, 16384/512 (64)", [*AT_256, "--batch", "128", "--log-every", "2048"]),
         "1024 px, 32 a GPU": ("1024 px, config F (32 by 8)", [*AT_1024, "--batch", "64", "--log-every", "1024"])}


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/two_gpus.py"):
        if torch.cuda.device_count() < 2:
            raise ValueError(f"it compares one GPU with two, and PyTorch finds {torch.cuda.device_count()} on this machine")
        if args.out:
            commands.try_output(args.out)
        with tempfile.TemporaryDirectory() as folder:
            result = compared(Path(folder))
        command = shlex.join(["python", "benchmarks/two_gpus.py", *(sys.argv[1:] if arguments is None else arguments)])
        result = {"command": command, "device": f"2 × {torch.cuda.get_device_name()}", "torch": torch.__version__} | result
        if args.out:
            commands.write_json(args.out, result)


def compared(folder):
    """{"one GPU": {name: img/s}, "two GPUs": {name: {"img_per_s", "ratio"}}}"""
    alone = {name: speed(*started(options, folder / str(i), [0])) for i, (name, options) in enumerate(ALONE.items())}
    found = {}
    for name, (base, options) in PAIRS.items():
        both = speed(*started(options, folder / str(len(alone) + len(found)), [0, 1]))
        found[name] = {"img_per_s": both, "ratio": round(both / alone[base], 2)}
        print(f"{name:25s} {alone[base]:8.0f} img/s on one, {both:8.0f} on two, {found[name]['ratio']} times", flush=True)
    return {"one GPU": alone, "two GPUs": found}


def started(options, out, cards):
    """The folder of a run and its processes, one for each card, which find each other as those of torchrun do."""
    line = [sys.executable, "-m", "course_lib.train", "stylegan2", *options, "--images", "100m", "--checkpoint-every", "100m",
            "--out", str(out)]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "WORLD_SIZE": str(len(cards))} if len(cards) > 1 else {}
    processes = []
    for rank, card in enumerate(cards):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if together else {"CUDA_VISIBLE_DEVICES": str(card)}
        with open(f"{out}-{rank}.txt", "w") as said:
            processes.append(subprocess.Popen(line, stdout=said, stderr=said, env=os.environ | together | own))
    return out, processes


def speed(out, processes):
    """The median of the speeds in the last lines of a run's log; then the run is ended, before it would save anything."""
    log, lines = out / "log.jsonl", []
    try:
        while len(lines) < LINES:
            for rank, process in enumerate(processes):
                if process.poll() is not None:
                    raise ValueError(f"a training ended early: {Path(f'{out}-{rank}.txt').read_text().strip().splitlines()[-1]}")
            time.sleep(0.2)
            lines = log.read_text().splitlines() if log.exists() else []
    finally:
        for process in processes:
            process.kill()
    return statistics.median(json.loads(line)["img_per_s"] for line in lines[-3:])


if __name__ == "__main__":
    main()
