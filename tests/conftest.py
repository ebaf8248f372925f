"""For all tests: the folder of the lessons can be imported, one thread each, and Triton's kernels interpreted where there is no
GPU."""
import os
import signal
import sys
from pathlib import Path

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
