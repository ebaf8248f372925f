"""Two processes that train one run."""
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import multiprocessing

from course_lib import train
from course_lib.training import checkpoint, distributed, options, stylegan2

SMALL = ["--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--batch", "16", "--device", "cpu",
         "--dtype", "float32", "--data-size", "32", "--log-every", "80", "--checkpoint-every", "80"]
STYLEGAN2 = ["stylegan2", *SMALL, "--w-dim", "8", "--mapping-layers", "2"]
STREAMED = ["--data", "CLASSES", "--data-cache", "0", "--labels", "--mirror"]
PGGAN = ["pggan", *SMALL, "--stable", "64", "--fade", "64", "--batch", "16"]
multiprocessing.set_forkserver_preload(["pytest", "torch._dynamo", "course_lib.train"])       # imported once, not by every process


def in_two_processes(work, *arguments):
    """Call work(*arguments) in two processes that stand to each other as torchrun's do; raises what one of them raises."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(joined, (port, work, arguments), nprocs=2, start_method="forkserver")


def joined(rank, port, work, arguments):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    work(*arguments)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two class folders of three pictures each."""
    top, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        (top / name[0]).mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, [8, 8, 3], dtype=np.uint8)).save(top / f"{name}.png")
    return top


@pytest.mark.parametrize("options", [STYLEGAN2, PGGAN, pytest.param([*STYLEGAN2, *STREAMED], marks=pytest.mark.slow)],
                         ids=["stylegan2", "pggan", "streamed"])
def test_a_stopped_run_of_two_processes_resumes_to_the_same_weights(options, classes, tmp_path):
    """At every checkpoint the processes compare their weights, so that a run that ends was in step."""
    options = [str(classes) if option == "CLASSES" else option for option in options]
    for name, images, more in (("whole", "320", []), ("cut", "160", []), ("cut", "320", ["--resume"])):
        in_two_processes(train.main, [*options, "--images", images, "--out", str(tmp_path / name), *more])
    states = [load_file(checkpoint.folders(tmp_path / name)[-1] / "state.safetensors") for name in ("whole", "cut")]
    assert {"rng.0.cpu", "rng.1.cpu"} <= states[0].keys() == states[1].keys()
    assert not [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
    lines = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [80, 160, 240, 320]


def differing(folder):
    distributed.start("cpu")
    rank = distributed.rank()
    weight = torch.nn.Parameter(torch.ones(2))
    ((rank + 1) * weight).sum().backward()
    stylegan2.step(torch.optim.SGD([weight], lr=1.0), [weight])
    assert weight.tolist() == [-0.5, -0.5], weight                      # 1 - mean of 1 and 2
    assert distributed.all_gather(rank) == [0, 1] and distributed.per_rank(16) == 8
    with pytest.raises(ValueError, match="15 does not divide among 2"):
        distributed.per_rank(15)
    settings = options.as_typed(*STYLEGAN2)
    torch.manual_seed(rank)
    with pytest.raises(RuntimeError, match="no longer hold the same weights"):
        checkpoint.save(folder, stylegan2.build(settings, "cpu"), settings)
    distributed.stop()


def test_processes_that_differ_are_noticed_and_gradients_are_averaged(tmp_path):
    in_two_processes(differing, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def by_torchrun(_, options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "course_lib.train"]
    done = subprocess.run([*command, *options], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr[:3000]


@pytest.mark.parametrize("start", [in_two_processes, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_a_run_may_go_on_with_another_number_of_processes(start, tmp_path):
    train.main([*STYLEGAN2, "--images", "80", "--out", str(tmp_path)])
    start(train.main, [*STYLEGAN2, "--images", "160", "--out", str(tmp_path), "--resume"])
    train.main([*STYLEGAN2, "--images", "240", "--out", str(tmp_path), "--resume"])
    assert int(checkpoint.folders(tmp_path)[-1].name) == 240
