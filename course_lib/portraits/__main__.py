"""python -m course_lib.portraits --out DIR: draw the contact sheets and the sweep of every attribute."""

import argparse
from pathlib import Path

from .sheets import contact_sheet, sweep_sheet

parser = argparse.ArgumentParser(description="Draw contact sheets of Portraits and a sweep of every attribute.")
parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files; made if missing")
parser.add_argument("--seed", type=int, default=1, help="which portraits (default: 1)")
arguments = parser.parse_args()

arguments.out.mkdir(parents=True, exist_ok=True)
for resolution, rows, columns in ((64, 8, 16), (128, 5, 8), (256, 3, 4)):
    path = arguments.out / f"portraits_{resolution}px.png"
    contact_sheet(resolution, rows, columns, arguments.seed).save(path)
    print(path)
path = arguments.out / "portraits_sweep.png"
sweep_sheet(64).save(path)
print(path)
