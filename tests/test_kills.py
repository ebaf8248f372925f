"""Runs that are killed at random moments, again and again, and resumed, end with the weights of an uninterrupted run."""
import os
import random
import signal
import socket
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import multiprocessing

from course_lib import train
from course_lib.training import checkpoint

TINY = ["--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--batch", "8", "--device", "cpu",
        "--dtype", "float32", "--log-every", "8", "--checkpoint-every", "24"]
STYLES = ["--w-dim", "8", "--mapping-layers", "2"]
RUNS = {"pggan in its fade": ["pggan", *TINY, "--stable", "80", "--fade", "200"],
        "stylegan in its fade": ["stylegan", *TINY, *STYLES, "--start", "4", "--stable", "80", "--fade", "200"],
        "stylegan2, gradients added up, ada": ["stylegan2", *TINY, *STYLES, "--batch-gpu", "4", "--augment", "ada"],
        "stylegan2, streamed, classes, mirrored": ["stylegan2", *TINY, *STYLES, "--data-cache", "0", "--labels", "--mirror"],
        "stylegan2, two processes": ["stylegan2", *TINY, *STYLES]}
multiprocessing.set_forkserver_preload(["torch._dynamo", "course_lib.train"])          # imported once, not by every process


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two class folders of eight pictures each."""
    top, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(16):
        folder = top / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, [8, 8, 3], dtype=np.uint8)).save(folder / f"{i}.png")
    return top


def start(name, *more):
    """Begin a run in processes of its own."""
    size = 2 if "two processes" in name else 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return multiprocessing.start_processes(worker, (size, port, [*RUNS[name], *map(str, more)]), size, join=False,
                                           start_method="forkserver")


def worker(rank, size, port, arguments):
    if size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    train.main(arguments)


def finish(processes):
    while not processes.join():
        pass


def lines(out):
    return (out / "log.jsonl").read_text().count("\n") if (out / "log.jsonl").exists() else 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [1, pytest.param(9, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_at_random_moments_ends_with_the_weights_of_an_uninterrupted_one(name, kills, pictures, tmp_path):
    chance, cut, steps = random.Random(f"{name} {kills}"), tmp_path / "cut", 40 if kills == 1 else 80
    options = ["--data", pictures, "--images", 8 * steps]
    finish(start(name, *options, "--out", tmp_path / "whole"))
    resume = lambda: ["--resume"] * bool(checkpoint.folders(cut))
    for _ in range(kills):
        wanted = lines(cut) + chance.randrange(30 if kills == 1 else 6)
        processes = start(name, *options, "--out", cut, *resume())
        while lines(cut) <= wanted and all(process.is_alive() for process in processes.processes):
            time.sleep(0.001)
        time.sleep(0.02 * chance.random())
        for process in processes.processes:
            assert process.is_alive(), "the run ended before it could be killed"
            os.kill(process.pid, signal.SIGKILL)
        for process in processes.processes:
            process.join()
    finish(start(name, *options, "--out", cut, *resume()))
    whole, resumed = (load_file(checkpoint.folders(out)[-1] / "state.safetensors") for out in (tmp_path / "whole", cut))
    assert whole.keys() == resumed.keys()
    different = [key for key in whole if not torch.equal(whole[key], resumed[key])]
    assert not different, different[:5]
    assert lines(cut) == lines(tmp_path / "whole") == steps
