"""A lesson with another generator tells nothing of the course's own: no number, picture, judge or identity network of it."""
import contextlib
import io
import json
import re

import matplotlib
import pytest
import torch
from PIL import Image

import build
from course_lib import results, zoo
from course_lib.networks import stylegan2
from course_lib.perception.edit_targets import EDIT_TARGETS

SHORTER = {r"range\(1501\)": "range(1)", r"batches\(768": "batches(32", r"\bsteps=\d+": "steps=3",
           r"frame_every=\d+": "frame_every=1", r"samples=200": "samples=8", r"batch=4": "batch=1", r"first=\d": "first=1"}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """The file of a small untrained StyleGAN2 with the resolution of the course's own."""
    G = stylegan2.Generator(64, z_dim=8, w_dim=8, channels={4 << k: 4 for k in range(5)}, mapping_layers=1)
    return str(zoo.save(tmp_path_factory.mktemp("runs") / "mine.safetensors", G.state_dict(), "stylegan2-G"))


def told(lesson, monkeypatch, **chosen):
    """Run a lesson with other names chosen, and shorter descents; returns what it prints, the networks and pictures that it
    loads."""
    loaded, load, open_image = [], zoo.load, Image.open
    monkeypatch.setattr(zoo, "load", lambda name, *options, **more: loaded.append(str(name)) or load(name, *options, **more))
    monkeypatch.setattr(Image, "open", lambda file, *options: loaded.append(str(file)) or open_image(file, *options))
    monkeypatch.setattr("IPython.display.display", lambda *things, **more: None)
    matplotlib.use("Agg")
    source, = build.sources([lesson])
    names, printed = {"__name__": "__main__"}, io.StringIO()
    with torch.random.fork_rng(), torch.enable_grad(), contextlib.redirect_stdout(printed):
        for cell in build.read(source).cells:
            if cell.cell_type == "code" and ".check(" not in cell.source:
                text = cell.source
                for long, short in SHORTER.items():
                    text = re.sub(long, short, text)
                choice = "".join(f"\n{name} = {model!r}" for name, model in chosen.items())
                exec(compile(re.sub(r"^GENERATOR.*", lambda line: line[0] + choice, text, flags=re.M), f"lesson {lesson}", "exec"),
                     names)
    return printed.getvalue(), loaded


@pytest.mark.parametrize("lesson", ["00", "08", "09", "10"])
def test_a_lesson_with_another_generator_prints_no_number_of_the_courses_own(lesson, stranger, monkeypatch):
    text, loaded = told(lesson, monkeypatch, GENERATOR=stranger)
    assert not {"judge-portraits-64", "identity-portraits-64"} & set(loaded)
    assert "Left out" in text
    assert f"{json.loads((zoo.DATA / 'results' / 'stylegan2-portraits-64.json').read_text())['model']['frechet']:.2f}" not in text
    assert not re.search(rf"^({'|'.join(EDIT_TARGETS)})\b.*\d\.\d\d\s+\d\.\d\d\s+\d", text, re.M), "a row of a table of edits"
    assert not [name for name in loaded if "results" in name], "a stored picture"


@pytest.mark.parametrize("models",
                         [["stylegan2-portraits-64", "mine"], ["ViT-B-32/openai"], ["runs/stylegan2-portraits-64.safetensors"]])
def test_a_result_belongs_to_the_models_that_it_was_measured_with_alone(models, capsys):
    assert results.belong_to(*results.MEASURED_WITH) and capsys.readouterr().out == ""
    assert not results.belong_to(*models)
    assert models[-1] in capsys.readouterr().out


def test_another_model_of_the_course_has_its_own_report(capsys):
    assert results.load("stylegan-portraits-64")["model"] != results.load("stylegan2-portraits-64")["model"]
    assert results.load("runs/mine.safetensors") is None and "no results for runs/mine.safetensors" in capsys.readouterr().out


def test_settings_in_older_results_have_their_present_names(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "DATA", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "old.json").write_text('{"settings": {"share": 0.01, "steps": 300}, "curves": [{"rest_weight": null}]}')
    assert results.load("old") == {"settings": {"top_fraction": 0.01, "steps": 300}, "curves": [{"preserve_weight": None}]}


def test_the_judge_examines_generators_of_portraits_alone(stranger, capsys):
    assert results.examiner("judge-portraits-64", "stylegan2-portraits-64-nopl") is not None and capsys.readouterr().out == ""
    assert results.examiner("judge-portraits-64", stranger) is None
    assert f"{stranger} was not trained on them" in capsys.readouterr().out
