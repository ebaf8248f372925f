"""What a second GPU adds to the training of StyleGAN2: `torchrun` with one process and with two, beside each other.

    python benchmarks/two_gpus.py --out data/results/two_gpus.json

Prints the images per second that the runs log once every step is recorded, over whole cycles of 16 steps, and how many times as
fast two GPUs are: with as many images a GPU, and for the pocket model with as many in all. The runs of one GPU go beside each
other, each on a card of its own; those of two have the machine to themselves.
"""
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from course_lib import commands

LARGE = ["--channel-max", "512", "--z-dim", "512", "--w-dim", "512"]
POCKET = ["--resolution", "64", "--data-size", "4k", "--images", "98304", "--log-every", "8192"]
AT_256 = ["--resolution", "256", *LARGE, "--channel-base", "16384", "--data-size", "1k"]
AT_1024 = ["--resolution", "1024", *LARGE, "--channel-base", "32768", "--batch-gpu", "8", "--data-size", "256"]
ALONE = {"pocket 64 px (64)": [*POCKET, "--batch", "64"],
         "256 px, 16384/512 (64)": [*AT_256, "--batch", "64", "--images", "8192", "--log-every", "1024"],
         "1024 px, config F (32 by 8)": [*AT_1024, "--batch", "32", "--images", "2048", "--log-every", "512"]}
PAIRS = {"pocket 64 px, 64 a GPU": ("pocket 64 px (64)", [*POCKET, "--batch", "128"]),
         "pocket 64 px, 64 in all": ("pocket 64 px (64)", [*POCKET, "--batch", "64"]),
         "256 px, 64 a GPU": ("256 px, 16384/512 (64)", [*AT_256, "--batch", "128", "--images", "10240", "--log-every", "2048"]),
         "1024 px, 32 a GPU": ("1024 px, config F (32 by 8)", [*AT_1024, "--batch", "64", "--images", "3072",
                                                               "--log-every", "1024"])}


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
    names = list(ALONE)
    lanes = [[names[0], names[1]], [names[2]]]                          # one after the other on each card
    alone, waiting = {}, [iter(lane) for lane in lanes]
    running = {card: started(next(lane), ALONE, folder, 1, card) for card, lane in enumerate(waiting)}
    while running:
        for card, (name, out, process) in list(running.items()):
            alone[name] = speed(out, process)
            following = next(waiting[card], None)
            running.pop(card)
            if following:
                running[card] = started(following, ALONE, folder, 1, card)
    found = {}
    for name, (base, options) in PAIRS.items():
        _, out, process = started(name, {name: options}, folder, 2)
        found[name] = {"img_per_s": speed(out, process)}
        found[name]["ratio"] = round(found[name]["img_per_s"] / alone[base], 2)
        print(f"{name:30s} {alone[base]:8.0f} img/s on one, {found[name]['img_per_s']:8.0f} on two, "
              f"{found[name]['ratio']} times", flush=True)
    return {"one GPU": alone, "two GPUs": found}


def started(name, options, folder, processes, card=None):
    out = folder / f"{processes}-{''.join(c if c.isalnum() else '-' for c in name)}"
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port",
            str(29500 + (card or 0)), "-m", "course_lib.train", "stylegan2", *options[name], "--checkpoint-every", "100m",
            "--device", "cuda", "--out", str(out)]
    seen = {} if card is None else {"CUDA_VISIBLE_DEVICES": str(card)}
    with open(f"{out}.txt", "w") as said:
        return name, out, subprocess.Popen(line, stdout=said, stderr=said, env=os.environ | seen)


def speed(out, process):
    """The median of the speeds that a run logs in its second half."""
    if process.wait():
        raise ValueError(f"a training failed: {Path(f'{out}.txt').read_text().strip().splitlines()[-1]}")
    speeds = [json.loads(line)["img_per_s"] for line in (out / "log.jsonl").read_text().splitlines()]
    return statistics.median(speeds[len(speeds) // 2:])


if __name__ == "__main__":
    main()
