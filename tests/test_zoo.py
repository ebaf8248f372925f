"""A library without the course's models says where they are looked for; files name the data set that they belong to."""
import os
import subprocess
import sys

import pytest
from safetensors import safe_open

from course_lib import portraits, zoo
from course_lib.networks import classifiers

LACKING = """
from course_lib import clip, exercises, results, zoo
for load in (lambda: zoo.load("judge-portraits-64"), lambda: zoo.file("judge-portraits-64"), clip.load,
             lambda: exercises.lesson("05")):
    try:
        load()
    except FileNotFoundError as error:
        print(error)
results.load("styles")
print(vars(exercises.lesson("07")).keys())
"""


def test_a_library_without_models_names_the_folder_and_the_variable_that_names_another(tmp_path):
    run = subprocess.run([sys.executable, "-c", LACKING], env=os.environ | {"COURSE_DATA": str(tmp_path)}, capture_output=True,
                         text=True)
    *said, kept = run.stdout.splitlines()
    assert len(said) == 6, run.stderr
    assert all(f"no models of the course in {tmp_path}: " in line and "COURSE_DATA" in line for line in said)
    assert "05.demodulate" in said[3] and "conditional_entropy" in kept and zoo.no_models() == ""


@pytest.mark.parametrize("name, message", [
    ("stylegan2-portrait", "the nearest are stylegan2-portraits-64, "), ("gone.safetensors", "of the course$"),
    ("runs/gone", "of the course$"), (".", "is a folder, but holds no run and no model$")])
def test_an_unknown_name_is_answered_with_the_nearest_and_a_path_with_what_lies_there(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message) as error:
        zoo.load(name)
    assert len(str(error.value)) < 200


def test_a_network_knows_whether_it_was_trained_on_portraits(tmp_path):
    tensors = classifiers.AttributeClassifier("judge").state_dict()
    save = lambda name, version: zoo.save(tmp_path / f"{name}.safetensors", tensors, "judge", config={"kind": "judge"},
                                          dataset_version=version)
    mine, old, silent = save("mine", portraits.VERSION), save("old", "0"), save("silent", None)
    assert safe_open(mine, "pt").metadata()["world"] == portraits.VERSION           # the name on disk since version 1
    assert zoo.dataset_of(mine) == zoo.dataset_of("stylegan2-portraits-64") == zoo.load(mine).dataset == "portraits"
    for other in (old, silent, "stylegan2-ffhq-1024", "neither a name nor a file", classifiers.AttributeClassifier("judge"),
                  zoo.load(old)):
        assert zoo.dataset_of(other) is None
