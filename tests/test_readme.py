"""The front page and the lessons' frames say what is so: commands parse, examples run, counts and minutes agree."""
import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch

import course_lib.dataset
import course_lib.generate
import course_lib.metrics.__main__
import course_lib.project
import course_lib.styleclip.__main__
import course_lib.train
import course_lib.training.report
import course_lib.zoo.__main__
from course_lib import exercises, zoo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LESSONS = {path.stem: path.read_text() for path in sorted((ROOT / "notebooks" / "py").glob("*.py"))}
MAINS = {"train": course_lib.train.main, "metrics": course_lib.metrics.__main__.main,
         "styleclip": course_lib.styleclip.__main__.main,
         "zoo": course_lib.zoo.__main__.main, "dataset": course_lib.dataset.main, "generate": course_lib.generate.main,
         "project": course_lib.project.main, "training.report": course_lib.training.report.main}
SHORTER = {"samples=200": "samples=6", "steps=60": "steps=1", "progress=True": "progress=False"}


def commands():
    """Each whole command of the library in the READMEs, the lessons and the commands' own texts, with an id."""
    texts = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "README.md", *(ROOT / "data").glob("*.md"))}
    texts |= {Path("notebooks") / stem: re.sub(r"^# ?", "", text, flags=re.M) for stem, text in LESSONS.items()}
    texts |= {Path(main.__module__): __import__(main.__module__, fromlist=["x"]).__doc__ for main in MAINS.values()}
    found = {}
    for path, text in texts.items():
        lines = re.findall(r"^ *((?:python|torchrun)\b[^\n]*)", text, re.M) + re.findall(r"`(python -m [^`]*)`", text)
        for command in [part for line in lines for part in line.partition("#")[0].split(";")]:
            name, _, options = command.partition("-m course_lib.")[2].partition(" ")
            if name in MAINS and "…" not in options and len(options.split()) > 1:
                found[f"{path}: {' '.join(command.split())}"] = name, shlex.split(options)
    return found


class Parsed(Exception):
    """Raised where a command would begin its work."""


@pytest.mark.parametrize("name, options", commands().values(), ids=commands().keys())
def test_every_command_that_a_text_names_is_understood(name, options, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    there = re.compile("my_pictures/|packed/|pictures/|photo|runs/.*safetensors|runs/mine$")      # what a reader has by then
    for word in filter(there.match, options):
        Path(word).parent.mkdir(parents=True, exist_ok=True)
        Path(word).mkdir() if word.endswith(("/", "mine")) else Path(word).symlink_to(zoo.file("clip-portraits"))
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser, *arguments, **more):
        parse(parser, *arguments, **more)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(Parsed):
        MAINS[name](options)


def test_the_examples_of_the_readme_run():
    names, seen = {}, ""
    with torch.random.fork_rng():
        for block in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S):
            for long, short in SHORTER.items():
                block = block.replace(long, short)
            exec(block, names)
            seen += block
    assert all(short in seen for short in SHORTER.values())
    assert len(names["found"].images) == len(names["edited"]) == 4
    assert torch.allclose(names["images"], names["same"], atol=1e-5) and names["images"].abs().max() > 1     # "about in [-1, 1]"


def test_the_readme_counts_how_exercises_are_proved():
    tasks = list(exercises.EXERCISES.values())
    in_model = sum(task.model_check.model is not None for task in tasks)
    text = " ".join(README.split())
    assert f"for {in_model} of the {len(tasks)} exercises, a trained model runs with it" in text
    assert f"the other {len(tasks) - in_model} are proved by a small experiment" in text


def test_the_readme_and_the_lessons_name_the_same_minutes():
    rows = dict(re.findall(r"^\| \[(\d\d) ·.*?\| (\d[\d–]*) \| [^|]*\|$", README, re.M))
    stated = {stem[:2]: re.search(r"^# (?:About )?(\d[\d–]*) minutes\.", text, re.M)[1] for stem, text in LESSONS.items()}
    assert rows == stated
    least, most = (sum(int(text.split("–")[end]) for text in rows.values()) / 60 for end in (0, -1))
    assert f"{least:.0f} to {most:.0f} hours in all" in README


@pytest.mark.parametrize("stem", LESSONS)
def test_a_lessons_paper_is_linked_where_it_ends_and_in_the_readme(stem):
    links = set(re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5}|\d{4}\.\d{4})\b", LESSONS[stem]))
    ending = LESSONS[stem].partition("**Read next**")[2]
    assert "https://arxiv.org/abs/" in ending
    assert links <= set(re.findall(r"arxiv\.org/abs/([\d.]+\d)", README))


def texts_with_names():
    files = [*ROOT.glob("*.md"), *(ROOT / "data").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"),
             *(ROOT / "notebooks" / "py").glob("*.py"), *(ROOT / "course_lib").rglob("*.py")]
    return {path.relative_to(ROOT): " ".join(re.findall(r"`([^`\n]+)`", path.read_text())) for path in files}


def test_modules_and_scripts_that_a_text_names_are_there():
    modules = [path.relative_to(ROOT) for folder in ("course_lib", "benchmarks", "experiments", "notebooks", "tests")
               for path in (ROOT / folder).rglob("*.py")]
    scripts = {path.name for path in [*modules, *(ROOT / "web").glob("*.py")]}
    packages = {"metrics", "styleclip", "perception", "training", "portraits", "fused"}
    missing = []
    for path, named in texts_with_names().items():
        missing += [f"{path}: {name}" for name in re.findall(r"[\w/]+\.py\b", named)
                    if Path(name).name not in scripts and "NN" not in name]
        for package, name in re.findall(rf"(?<![\w./-])({'|'.join(packages)})\.([a-z_]\w*)", named):
            module = importlib.import_module(f"course_lib.{package}")
            if not hasattr(module, name) and importlib.util.find_spec(f"course_lib.{package}.{name}") is None:
                missing.append(f"{path}: {package}.{name}")
    assert not missing
