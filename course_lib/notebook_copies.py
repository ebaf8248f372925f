"""The learner's copies of the lessons: without outputs, never overwritten, and marked with the lesson's version.

Only the standard library is needed here, so that `notebooks/learn.py` starts at once.
"""
import hashlib
import json
import os
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
KEY = "course"                                      # in a copy's metadata


def version(notebook: dict) -> str:
    """A fingerprint of a notebook's cells, whatever their outputs: what a learner reads and runs."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def read(path) -> dict:
    """A notebook as its JSON."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def copy(source, target) -> None:
    """Write the notebook `source` as `target`, without outputs and execution counts, so that a prediction comes before its
    answer."""
    notebook = read(source)
    notebook["metadata"][KEY] = {"lesson": Path(source).name, "version": version(notebook)}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    partial = Path(f"{target}.partial")              # a copy that is there is whole, for it will never be written again
    try:
        partial.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def copy_missing(source=NOTEBOOKS, target=NOTEBOOKS.parent / "learn") -> list[str]:
    """Copy the lessons that the folder `target` lacks; returns their names."""
    Path(target).mkdir(parents=True, exist_ok=True)
    missing = [path for path in sorted(Path(source).glob("*.ipynb")) if not (Path(target) / path.name).exists()]
    for path in missing:
        copy(path, Path(target) / path.name)
    return [path.name for path in missing]


def is_outdated(path, source=NOTEBOOKS) -> bool:
    """Whether a lesson has changed since this copy of it was made. A copy that says nothing of its version is older than all that
    do; a notebook of the learner's own is no copy."""
    try:
        made = read(path).get("metadata", {}).get(KEY, {})
        lesson = Path(source) / made.get("lesson", Path(path).name)
        return lesson.is_file() and made.get("version") != version(read(lesson))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):      # half written, or no notebook: the learner's affair
        return False


def outdated(source=NOTEBOOKS, target=NOTEBOOKS.parent / "learn") -> list[str]:
    """The names of the copies in `target` whose lessons have changed since."""
    return [path.name for path in sorted(Path(target).glob("*.ipynb")) if is_outdated(path, source)]


def notice(source=NOTEBOOKS) -> str | None:
    """What an open copy tells its reader if its lesson has changed since. JupyterLab gives a kernel the path of its notebook."""
    path = os.environ.get("JPY_SESSION_NAME", "")
    if path.endswith(".ipynb") and not Path(path).resolve().is_relative_to(Path(source).resolve()) and is_outdated(path, source):
        return (f"The lesson has changed since this copy of it was made. To get the new one, rename {Path(path).name} and run "
                "`make lab` (or `python notebooks/learn.py`) again; this copy stays as it is.")
