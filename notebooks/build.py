"""Builds notebooks/NN_name.ipynb from notebooks/py/NN_name.py: runs it, keeps its outputs, and checks what is stored.

    python notebooks/build.py            all lessons
    python notebooks/build.py 00 05      some of them
"""
import argparse
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}
MAX_SECONDS, MAX_BYTES = 40, 3_000_000


def sources(names=()) -> list[Path]:
    """The percent scripts of the lessons whose names begin with one of `names`, or all."""
    return [p for p in sorted((HERE / "py").glob("[0-9][0-9]_*.py")) if not names or p.stem.startswith(tuple(names))]


def read(source: Path) -> nbformat.NotebookNode:
    """The notebook of a percent script, not yet run. Cells are numbered, so that two builds have the same identifiers."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {})
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path = HERE) -> float:
    """Execute every cell with the kernel of this interpreter; returns the seconds that took."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", store_widget_state=False,
                            resources={"metadata": {"path": str(folder)}})
    began = time.perf_counter()
    client.execute()
    return time.perf_counter() - began


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run: times, versions, views and state of widgets, and where a printed text was cut into
    pieces. Figures and their alt text remain."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.update({"outputs": joined(cell.outputs)} if "outputs" in cell else {})
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
    return notebook


def joined(outputs):
    """Texts that follow each other on the same stream as one output."""
    found = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream" and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """What a stored notebook must not contain, one sentence each."""
    found = []
    if "widgets" in notebook.metadata:
        found.append("the notebook stores widget state")
    count = 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            found += [f"cell {number}: an image in the text has no alt text" for _ in images_without_alt(cell.source)]
            found += [f"cell {number}: {problem}" for problem in broken_blocks(cell.source)]
            continue
        count += 1
        if cell.execution_count != count:
            found.append(f"cell {number}: execution count {cell.execution_count}, expected {count}")
        for output in cell.outputs:
            found += [f"cell {number}: {problem}" for problem in _output_problems(output)]
    return found


def _output_problems(output):
    if output.output_type == "error":
        yield f"stores the error {output.ename}: {output.evalue}"
    if output.output_type == "stream" and output.name == "stderr":
        yield f"stores a message of stderr: {output.text.strip()[:100]}"
    for kind in output.get("data", {}):
        if kind.startswith("image/"):
            if kind != "image/png":
                yield f"stores {kind}; show figures as PNG with plots.show"
            if not output.metadata.get(kind, {}).get("alt", "").strip():
                yield "an image has no alt text; show it with plots.show(…, alt=…)"
        if kind in (WIDGET_VIEW, "application/vnd.jupyter.widget-state+json"):
            yield "stores a widget's view or state"
        if kind == "text/html" and images_without_alt(output.data[kind]):
            yield "an image in HTML has no alt text"


def broken_blocks(text: str) -> list[str]:
    """What re-wrapping leaves of blocks: ``` in the middle of a line or with text behind it (a language may follow the ``` that
    opens code), and code, formulas and <details> that are not closed."""
    found, inside = [], False
    for line in text.splitlines():
        if "```" in line:
            alone = re.fullmatch(r"[> ]*```" + ("" if inside else r"[\w+-]*") + r"\s*", line)
            found += [] if alone else [f"a code fence is joined with text: {line.strip()[:60]}"]
            inside = inside != bool(alone or line.count("```") % 2)
    prose = without_code(text)
    pairs = {"code fence": inside, "formula": prose.count("$$") % 2,
             "<details>": prose.count("<details") != prose.count("</details>")}
    return found + [f"a {name} is not closed" for name, broken in pairs.items() if broken]


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def images_without_alt(text: str) -> list[str]:
    """The images of a Markdown or HTML text that have no alt text; code is left out."""
    text = without_code(text)
    tags = [tag for tag in re.findall(r"<img\b[^>]*>", text) if not re.search(r"\balt\s*=\s*[\"'][^\"']*\w", tag)]
    return tags + re.findall(r"!\[\s*\]\([^)]*\)", text)


def difference(source: Path) -> str | None:
    """The first place where a committed notebook and its source disagree."""
    target = HERE / f"{source.stem}.ipynb"
    if not target.exists():
        return f"{target.name} is missing"
    written = [(c.cell_type, c.source.strip()) for c in read(source).cells]
    stored = [(c.cell_type, c.source.strip()) for c in nbformat.read(target, as_version=4).cells]
    for number, (a, b) in enumerate(zip(written, stored)):
        if a != b:
            return f"{target.name}: cell {number} differs from py/{source.name}"
    if len(written) != len(stored):
        return f"{target.name} has {len(stored)} cells, py/{source.name} has {len(written)}"


def build(source: Path) -> list[str]:
    notebook = read(source)
    seconds = run(notebook)
    text = nbformat.writes(clean(notebook)) + "\n"
    found = problems(notebook)
    if seconds > MAX_SECONDS:
        found.append(f"took {seconds:.0f} s, the limit is {MAX_SECONDS} s on two cores")
    if len(text.encode()) > MAX_BYTES:
        found.append(f"takes {len(text.encode()) / 1e6:.1f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB")
    target = HERE / f"{source.stem}.ipynb"
    target.write_text(text, encoding="utf-8")
    print(f"{target.name:32s} {seconds:5.1f} s {len(text.encode()) / 1e6:5.2f} MB", flush=True)
    return [f"{target.name}: {problem}" for problem in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how names of lessons begin, such as 05; all lessons without any")
    chosen = sources(parser.parse_args().names)
    if not chosen:
        sys.exit("no lesson in notebooks/py has such a name")
    found = [problem for source in chosen for problem in build(source)]
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main()
