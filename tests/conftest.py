"""For all tests: the folder of the lessons can be imported, and one thread each."""
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)          # tiny networks: threads only wait for each other, for seconds on a busy machine
sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
