"""For all tests: the folder of the lessons can be imported, one thread each, and Triton's kernels interpreted where there is no
GPU."""
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"        # before Triton is imported
torch.set_num_threads(1)          # tiny networks: threads only wait for each other, for seconds on a busy machine
sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
signal.signal(signal.SIGINT, signal.default_int_handler)           # which a shell's background jobs ignore, and some tests send


def pytest_collection_modifyitems(items):
    """The longest files begin first, so that two processes end at about the same time."""
    longest = ["test_lessons.py", "test_exercises.py"]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


@pytest.fixture
def small_classifiers(monkeypatch):
    """zoo.load gives an untrained oracle and judge of 8 feature maps, for tests of what is done with their answers: the shipped
    ones take a second for 250 images."""
    from course_lib import zoo
    from course_lib.networks import classifiers

    def load(name, *args, load=zoo.load, **options):
        kind = str(name).removesuffix("-portraits-64")
        if kind not in classifiers.LAYERS:
            return load(name, *args, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = classifiers.AttributeClassifier(kind)
            network.layers = classifiers.LAYERS[kind]([8] * (5 if kind == "oracle" else 4))
            network.dense = torch.nn.Linear(8 * 16, 256)
        network.dataset = "portraits"
        return network.to(options.get("device", "cpu")).eval().requires_grad_(False)

    monkeypatch.setattr(zoo, "load", load)
