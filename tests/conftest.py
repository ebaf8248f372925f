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
def small_zoo_classifiers(monkeypatch):
    """zoo.load gives a small oracle and judge."""
    from course_lib import zoo
    from small_classifiers import classifier
    known = {f"{kind}-portraits-64": kind for kind in ("oracle", "judge")}
    monkeypatch.setattr(zoo, "load", lambda name, *args, load=zoo.load, **options:
                        classifier(known[name]) if name in known else load(name, *args, **options))
