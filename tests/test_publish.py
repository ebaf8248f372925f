"""From a training run to the zoo."""
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from course_lib import portraits, train, zoo
from course_lib.training import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import publish  # noqa: E402

TINY = ["--resolution", "8", "--channel-base", "32", "--channel-max", "4", "--z-dim", "8", "--device", "cpu", "--dtype", "float32",
        "--data-size", "16", "--batch", "8", "--log-every", "8"]


def test_a_run_becomes_a_model_with_parts_a_card_and_a_report(tmp_path, monkeypatch, capsys, small_zoo_classifiers):
    run, data = tmp_path / "run", tmp_path / "data"
    train.main(["pggan", *TINY, "--stable", "16", "--fade", "16", "--schedule-every", "1", "--checkpoint-every", "16", "--out",
                str(run)])
    reports = []
    monkeypatch.setattr(publish.command, "main", reports.append)
    with pytest.raises(SystemExit, match="no snapshot after 999 images"):
        publish.main([str(run), "small", "--part", "8=999", "--data", str(data)])
    publish.main([str(run), "small", "--part", "4=16", "--part", "fading=32", "--samples", "1k", "--data", str(data)])
    monkeypatch.setattr(zoo, "DATA", data)
    card, training = zoo.cards()["small"], json.loads((data / "results" / "small-training.json").read_text())
    assert card["images"] == 48 and card["world"] == portraits.VERSION and "--stable 16" in card["command"]
    assert card["command"] == training["command"] and set(card["files"]) == {"G", "4", "fading", "D"}
    last = load_file(checkpoint.folders(run)[-1] / "G_ema.safetensors")
    published = zoo.load("small").state_dict()
    assert all(torch.allclose(published[key], last[key], atol=2e-3, rtol=1e-3) for key in last)
    assert zoo.load("small", "4").reached == 4 and 0 < zoo.load("small", "fading").alpha < 1
    assert zoo.load("small", "D").resolution == 8
    with pytest.raises(ValueError, match='"small" has no part "8"; it has 4, D, G, fading'):
        zoo.load("small", "8")
    assert [row["images"] for row in training["frechet"]["rows"]] == [16, 32, 48] and training["minutes"] >= 0
    assert [report[:2] for report in reports] == [["report", os.path.relpath(data / "small.safetensors")]]
    assert card["files"]["D"]["sha256"][:12] in capsys.readouterr().out


@pytest.mark.parametrize("name, part, there", [("stylegan-portraits-64", "D", "G"), ("judge-portraits-64", "G", "weights")])
def test_a_part_that_a_model_does_not_have_is_named_with_those_it_has(name, part, there):
    for load in (zoo.load, zoo.file):
        with pytest.raises(ValueError, match=f'"{name}" has no part "{part}"; it has {there}$'):
            load(name, part)
        assert load(name) is not None and load(name, there) is not None


def test_a_run_that_began_with_the_model_continues_its_history(tmp_path, monkeypatch, small_zoo_classifiers):
    data, options = tmp_path / "data", ["stylegan2", *TINY, "--w-dim", "8", "--checkpoint-every", "16"]
    monkeypatch.setattr(publish.command, "main", lambda arguments: None)
    monkeypatch.setattr(zoo, "DATA", data)
    train.main([*options, "--images", "32", "--out", str(tmp_path / "first")])
    publish.main([str(tmp_path / "first"), "small", "--samples", "1k", "--data", str(data)])
    train.main([*options, "--images", "16", "--init", "small", "--out", str(tmp_path / "second")])
    publish.main([str(tmp_path / "second"), "small", "--samples", "1k", "--data", str(data)])
    card, training = zoo.cards()["small"], json.loads((data / "results" / "small-training.json").read_text())
    assert card["images"] == 48 and card["command"].count("course_lib.train") == 2
    assert "; python experiments/publish.py" in card["command"]
    assert [row["images"] for row in training["frechet"]["rows"]] == [16, 32, 48]
    assert [row["images"] for row in training["rgb_shares"]] == [16, 32, 48]
    assert training["log"][-1]["images"] == 48 and training["command"] == card["command"]


def test_a_log_is_thinned_to_its_last_line():
    log = [{"images": i} for i in range(1, 251)]
    assert [line["images"] for line in publish.thinned(log, 100)][-2:] == [247, 250] and len(publish.thinned(log, 100)) <= 100


def test_time_is_images_over_speed():
    assert publish.minutes([{"images": 600, "img_per_s": 10}, {"images": 1800, "img_per_s": 20}]) == 2.0


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no checkpoint"):
        publish.main([str(tmp_path), "small"])
