"""The committed lessons: built from their sources, readable without a kernel. test_lessons runs their cells."""
from pathlib import Path

import nbformat
import pytest

import build
from course_lib import exercises, notebook_copies

NOTEBOOKS = sorted(build.HERE.glob("*.ipynb"))
stored = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def notebook_with(*outputs, count=1, source="1 + 1", markdown="text"):
    cell = nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(markdown), cell])


def test_every_source_has_its_notebook_and_both_agree():
    differences = [build.difference(source) for source in build.sources()]
    assert not list(filter(None, differences))
    assert [p.stem for p in NOTEBOOKS] == [p.stem for p in build.sources()]


def test_a_changed_source_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "py").mkdir()
    source = tmp_path / "py" / "00_a.py"
    source.write_text("# %% [markdown]\n# One\n\n# %%\nprint(1)\n")
    assert "is missing" in build.difference(source)
    nbformat.write(build.read(source), tmp_path / "00_a.ipynb")
    assert build.difference(source) is None
    source.write_text("# %% [markdown]\n# One\n\n# %%\nprint(2)\n")
    assert "cell 1 differs" in build.difference(source)
    source.write_text("# %% [markdown]\n# One\n")
    assert "has 2 cells" in build.difference(source)


@stored
def test_a_stored_notebook_can_be_read_without_a_kernel(path):
    assert build.problems(nbformat.read(path, as_version=4)) == []
    assert path.stat().st_size <= build.MAX_BYTES


@pytest.mark.parametrize("says, notebook", [
    ("execution count None", notebook_with(count=None)),
    ("the error ValueError", notebook_with(nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[]))),
    ("stderr", notebook_with(nbformat.v4.new_output("stream", name="stderr", text="a warning"))),
    ("image has no alt", notebook_with(nbformat.v4.new_output("display_data", data={"image/png": "aa"}))),
    ("image has no alt", notebook_with(nbformat.v4.new_output("display_data", data={"image/png": "aa"},
                                                              metadata={"image/png": {"alt": " "}}))),
    ("show figures as PNG", notebook_with(nbformat.v4.new_output("display_data", data={"image/svg+xml": "<svg/>"}))),
    ("HTML has no alt", notebook_with(nbformat.v4.new_output("display_data", data={"text/html": "<img src='a.png'>"}))),
    ("text has no alt", notebook_with(markdown="![](a.png)")),
    ("text has no alt", notebook_with(markdown='<img src="a.png" alt="">')),
    ("joined with text", notebook_with(markdown="text: ```\na → b\n```")),
    ("joined with text", notebook_with(markdown="```\na → b\n``` and so on")),
    ("joined with text", notebook_with(markdown="run ```a → b``` here")),
    ("joined with text", notebook_with(markdown="``` a → b\nc → d\n```")),
    ("code fence is not closed", notebook_with(markdown="```python\na = 1")),
    ("formula is not closed", notebook_with(markdown="$$a = b and so on")),
    ("<details> is not closed", notebook_with(markdown="<details><summary>Answer</summary> yes")),
    ("widget's view", notebook_with(nbformat.v4.new_output("display_data", data={build.WIDGET_VIEW: {"model_id": "1"}}))),
])
def test_a_defect_of_a_stored_notebook_is_named(says, notebook):
    assert any(says in problem for problem in build.problems(notebook))


def test_a_sound_notebook_has_no_problems():
    image = nbformat.v4.new_output("display_data", data={"image/png": "aa"}, metadata={"image/png": {"alt": "A face."}})
    assert build.problems(notebook_with(image, markdown="`![](a.png)` and ![a face](b.png)")) == []


def test_code_fences_in_lines_of_their_own_are_sound():
    fences = "A diagram:\n\n```\na → b\n```\n\n> ```python\n> a = 1\n> ```\n\nand `code`."
    assert build.problems(notebook_with(markdown=fences)) == []


def test_a_text_that_came_in_pieces_is_stored_as_one():
    stream = lambda name, text: nbformat.v4.new_output("stream", name=name, text=text)
    cell = build.clean(notebook_with(stream("stdout", "a\n"), stream("stdout", "b\n"), stream("stderr", "c"))).cells[1]
    assert [(o.name, o.text) for o in cell.outputs] == [("stdout", "a\nb\n"), ("stderr", "c")]


def test_widget_state_is_named():
    notebook = notebook_with()
    notebook.metadata["widgets"] = {}
    assert "the notebook stores widget state" in build.problems(notebook)


def test_building_twice_gives_the_same_file(tmp_path):
    source = tmp_path / "00_small.py"
    source.write_text("""# %% [markdown]
# # Small

# %%
import torch
from course_lib import plots, widgets
images = torch.linspace(-1, 1, 4 * 3 * 64 * 64).reshape(4, 3, 64, 64)

# %%
def draw(shift=0):
    return images.roll(shift, 3)

widgets.explorer(draw, shift=(0, 8), alt="A ramp of grey that moves to the right.")

# %%
plots.show(plots.curves([0, 1], {"a": [1, 2]}, "step", "loss"), alt="A rising line.")
""")
    texts = []
    for _ in range(2):
        notebook = build.read(source)
        build.run(notebook, tmp_path)
        texts.append(nbformat.writes(build.clean(notebook)))
        assert build.problems(notebook) == []
    assert texts[0] == texts[1]


@pytest.fixture
def folders(tmp_path):
    """A folder of one lesson with an output, and the folder of its copies."""
    image = nbformat.v4.new_output("display_data", data={"image/png": "aa"}, metadata={"image/png": {"alt": "A face."}})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook_with(image), tmp_path / "notebooks" / "00_a.ipynb")
    return tmp_path / "notebooks", tmp_path / "learn"


def test_a_learners_copy_is_made_when_missing_and_never_overwritten(folders):
    source, target = folders
    assert notebook_copies.copy_missing(source, target) == ["00_a.ipynb"]
    (target / "00_a.ipynb").write_text("my work")
    nbformat.write(notebook_with(source="2 + 2"), source / "00_a.ipynb")
    nbformat.write(notebook_with(), source / "01_b.ipynb")
    assert notebook_copies.copy_missing(source, target) == ["01_b.ipynb"]
    assert (target / "00_a.ipynb").read_text() == "my work"
    assert notebook_copies.copy_missing(source, target) == []


def test_a_learners_copy_holds_no_answers_and_its_source_keeps_them(folders):
    source, target = folders
    before = (source / "00_a.ipynb").read_text()
    notebook_copies.copy_missing(source, target)
    copied = nbformat.read(target / "00_a.ipynb", as_version=4)
    nbformat.validate(copied)
    assert [(c.source, c.outputs, c.execution_count) for c in copied.cells if c.cell_type == "code"] == [("1 + 1", [], None)]
    assert (source / "00_a.ipynb").read_text() == before


def test_a_copy_of_an_older_lesson_is_named_and_says_so_when_it_is_opened(folders, monkeypatch, capsys):
    source, target = folders
    notebook_copies.copy_missing(source, target)
    monkeypatch.setattr(notebook_copies.notice, "__defaults__", (source,))
    monkeypatch.setenv("JPY_SESSION_NAME", str(target / "00_a.ipynb"))
    work = nbformat.read(target / "00_a.ipynb", as_version=4)
    work.cells.append(nbformat.v4.new_code_cell("my = 'work'"))
    nbformat.write(work, target / "00_a.ipynb")
    nbformat.write(notebook_with(), target / "my own.ipynb")
    assert notebook_copies.outdated(source, target) == []                       # a learner's work does not make it old
    exercises.lesson("00")
    assert capsys.readouterr().out == ""
    nbformat.write(notebook_with(source="2 + 2"), source / "00_a.ipynb")
    assert notebook_copies.outdated(source, target) == ["00_a.ipynb"]
    exercises.lesson("00")
    assert "The lesson has changed since this copy of it was made" in capsys.readouterr().out
    del work.metadata[notebook_copies.KEY]                                      # made before copies had a version
    nbformat.write(work, target / "00_a.ipynb")
    assert notebook_copies.outdated(source, target) == ["00_a.ipynb"]


def test_what_is_no_notebook_is_no_old_copy(folders):
    source, target = folders
    notebook_copies.copy_missing(source, target)
    for text in ("my work", "[]", '{"metadata": []}'):
        (target / "00_a.ipynb").write_text(text)
        assert notebook_copies.outdated(source, target) == []


def test_the_learners_copy_is_ignored_by_git():
    assert "/learn/" in (Path(build.HERE).parent / ".gitignore").read_text().split()
