"""Two processes that train one run."""
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from course_lib import train
from course_lib.training import checkpoint

SMALL = ["--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--batch", "16", "--device", "cpu",
         "--dtype", "float32", "--data-size", "32", "--log-every", "80", "--checkpoint-every", "80"]
STYLEGAN2 = ["stylegan2", *SMALL, "--w-dim", "8", "--mapping-layers", "2"]
PGGAN = ["pggan", *SMALL, "--stable", "64", "--fade", "64", "--batch", "16"]


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "course_lib.train", *arguments]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("options", [STYLEGAN2, PGGAN], ids=["stylegan2", "pggan"])
def test_a_stopped_run_of_two_processes_resumes_to_the_same_weights(options, tmp_path):
    """At every checkpoint the processes compare their weights, so that a run that ends was in step."""
    for name, images, more in (("whole", "320", []), ("cut", "160", []), ("cut", "320", ["--resume"])):
        done = torchrun(*options, "--images", images, "--out", str(tmp_path / name), *more)
        assert done.returncode == 0, done.stderr[:3000]
    states = [load_file(checkpoint.folders(tmp_path / name)[-1] / "state.safetensors") for name in ("whole", "cut")]
    assert {"rng.0.cpu", "rng.1.cpu"} <= states[0].keys() == states[1].keys()
    assert not [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
    lines = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [80, 160, 240, 320]


def test_processes_that_differ_are_noticed_and_gradients_are_averaged(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import torch
from course_lib import train
from course_lib.training import checkpoint, distributed, stylegan2
distributed.start("cpu")
rank = distributed.rank()
weight = torch.nn.Parameter(torch.ones(2))
((rank + 1) * weight).sum().backward()
stylegan2.step(torch.optim.SGD([weight], lr=1.0), [weight])
assert weight.tolist() == [-0.5, -0.5], weight                     # 1 - mean of 1 and 2
assert distributed.gathered(rank) == [0, 1] and distributed.share(16) == 8
try:
    distributed.share(15)
except ValueError as error:
    assert "15 does not divide among 2" in str(error)
import argparse
parser = argparse.ArgumentParser(); train.stylegan2_options(parser)
s = vars(parser.parse_args(%r)) | {"world": None}
run = stylegan2.build(s, "cpu")                                      # drawn from other seeds in each process
try:
    checkpoint.save(%r, run, s)
    raise SystemExit("not noticed")
except RuntimeError as error:
    assert "no longer hold the same weights" in str(error)
distributed.stop()
""" % (STYLEGAN2[1:] + ["--out", "unused"], str(tmp_path / "run")))
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
                          capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[:3000]
    assert not (tmp_path / "run").exists()


def test_a_run_may_go_on_with_another_number_of_processes(tmp_path):
    train.main([*STYLEGAN2, "--images", "80", "--out", str(tmp_path)])
    done = torchrun(*STYLEGAN2, "--images", "160", "--out", str(tmp_path), "--resume")
    assert done.returncode == 0, done.stderr[:3000]
    train.main([*STYLEGAN2, "--images", "240", "--out", str(tmp_path), "--resume"])
    assert int(checkpoint.folders(tmp_path)[-1].name) == 240
