"""What several test files share: the lessons, run once each in this process."""
import contextlib
import io
import linecache
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)          # tiny networks: threads only wait for each other, for seconds on a busy machine
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))


def run_here(notebook: Path) -> list:
    """Run a notebook's cells in this process; returns its explorers, in their order."""
    import matplotlib
    import nbformat
    from course_lib import widgets
    matplotlib.use("Agg")
    widgets.explorers.clear()
    names = {"__name__": "__main__"}
    with torch.random.fork_rng(), torch.enable_grad(), contextlib.redirect_stdout(io.StringIO()):
        grad = torch.is_grad_enabled()
        for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells):
            if cell.cell_type == "code":
                file = f"{notebook.stem} cell {number}"
                linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(keepends=True), file)
                exec(compile(cell.source, file, "exec"), names)
        if not torch.is_grad_enabled():                  # then the lesson draws so, too
            for explorer in widgets.explorers:
                explorer.draw = torch.no_grad()(explorer.draw)
        torch.set_grad_enabled(grad)
    return list(widgets.explorers)


@pytest.fixture(scope="session")
def explorers_of():
    return lru_cache(run_here)
