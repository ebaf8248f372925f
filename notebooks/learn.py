"""Makes your own copy of the lessons in learn/, which git ignores. A copy that exists is never touched.

    python notebooks/learn.py
"""
import shutil
from pathlib import Path

HERE = Path(__file__).parent
LEARN = HERE.parent / "learn"


def copy_missing(source: Path = HERE, target: Path = LEARN) -> list[str]:
    """Copy the notebooks that `target` lacks; returns their names."""
    target.mkdir(exist_ok=True)
    missing = [p for p in sorted(source.glob("*.ipynb")) if not (target / p.name).exists()]
    for path in missing:
        shutil.copyfile(path, target / path.name)
    return [p.name for p in missing]


if __name__ == "__main__":
    added = copy_missing()
    print("Added to learn/: " + ", ".join(added) if added else "learn/ holds every lesson; nothing was changed.")
    print("To begin a lesson anew, delete its notebook in learn/ and run this again.")
