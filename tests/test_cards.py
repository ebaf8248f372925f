"""Model cards say what files, results and runs hold; a folder with a card loads by its path, and only if both belong together."""
import errno
import hashlib
import json
import os
import shutil

import pytest
import torch

from course_lib import generate, portraits, zoo
from course_lib.networks import stylegan2
from course_lib.zoo import __main__ as cli
from course_lib.zoo import formats, model_cards

SMALL = dict(z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("networks") / "mine.safetensors"
    G = stylegan2.Generator(16, c_dim=2, **SMALL)
    return zoo.save(path, G.state_dict(), "stylegan2-G", dataset_version=portraits.VERSION, classes=["cats", "dogs"])


@pytest.mark.parametrize("name", zoo.names())
def test_the_card_of_a_model_of_the_course_has_what_its_registry_says(name):
    card, known = model_cards.describe(name), zoo.cards()[name]
    path = zoo.file(name)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and card["bytes"] == path.stat().st_size
    assert card["command"] == known["command"] and card.get("images") == known.get("images") and card["licence"] == "MIT"
    assert json.loads(json.dumps(card)) == card and card["data_set"] == f"Portraits, version {known['world']}"


def test_the_card_of_a_generator_has_the_stored_metrics_and_their_command(capsys):
    stored = json.loads((zoo.DATA / "results" / "stylegan2-portraits-64.json").read_text())
    cli.main(["card", "stylegan2-portraits-64"])
    text = capsys.readouterr().out
    for name, value in stored["model"].items():
        assert f"| {name} | {value:.4g} |" in text
    assert stored["command"] in text and "| sizes | 64 px, z 256, w 256 |" in text and 'zoo.load("stylegan2-portraits-64")' in text
    assert "measured" not in model_cards.describe("stylegan2-portraits-64", "D")


def test_a_folder_with_a_card_loads_by_its_path_as_the_file_does(file, tmp_path, capsys):
    out = tmp_path / "shared"
    cli.main(["card", str(file), "--out", str(out), "--licence", "CC0"])
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "card.json", "model.safetensors"]
    assert (out / "model.safetensors").read_bytes() == file.read_bytes() and "licence CC0" in capsys.readouterr().out
    mine, same = zoo.load(file), zoo.load(out)
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), same.state_dict().values()))
    assert zoo.dataset_of(out) == same.dataset == "portraits"
    cli.main(["card", str(out)])
    assert capsys.readouterr().out == (out / "README.md").read_text()
    assert "| sizes | 16 px, z 8, w 8, 2 classes |" in (out / "README.md").read_text()
    generate.main([str(out), "--seeds", "0-1", "--out", str(tmp_path / "pictures"), "--device", "cpu"])
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_a_network_of_another_format_is_converted_into_its_folder(file, tmp_path):
    G, D = stylegan2.Generator(16, **SMALL), stylegan2.Discriminator(16, channel_base=64, channel_max=8)
    G, D = (formats.Network(f"stylegan2-{part}", network.state_dict(), {}, {}) for part, network in (("G", G), ("D", D)))
    formats.export(tmp_path / "theirs.pkl", {"G_ema": G, "G": G, "D": D}, "tensorflow")
    card = model_cards.write(tmp_path / "theirs.pkl", tmp_path / "out")
    z = torch.randn(2, 8)
    mine, theirs = (zoo.load(tmp_path / name)(z, noise="const") for name in ("out", "theirs.pkl"))
    assert torch.allclose(mine, theirs, atol=1e-6)
    assert card["licence"].startswith("not stated") and card["data_set"] is None


def test_a_checkpoint_names_the_command_and_the_images_of_its_run(file, tmp_path):
    place = tmp_path / "run" / "checkpoints" / "0000012000"
    place.mkdir(parents=True)
    shutil.copy(file, place / "G_ema.safetensors")
    (tmp_path / "run" / "run.json").write_text(json.dumps({"command": "python -m course_lib.train stylegan2 --data /data/cats"}))
    (tmp_path / "run" / "settings.json").write_text(json.dumps({"data": "/data/cats"}))
    card = model_cards.describe(place / "G_ema.safetensors")
    assert card["images"] == 12_000 and card["data_set"] == "cats" and card["command"].endswith("cats")


@pytest.mark.parametrize("name, content, message", [
    ("card.json", b"{", "card.json is no model card, or a damaged one"), ("card.json", b"[]", "is no model card"),
    ("card.json", b'{"sha256": 1}', "its sha256 is another"),
    ("model.safetensors", b"other", "its sha256 is another; get the folder anew")])
def test_a_folder_whose_files_do_not_belong_together_is_refused(name, content, message, file, tmp_path):
    model_cards.write(file, tmp_path / "shared")
    (tmp_path / "shared" / name).write_bytes(content)
    for use in (zoo.load, model_cards.describe):
        with pytest.raises(ValueError, match=message):
            use(tmp_path / "shared")


def test_what_a_foreign_card_says_is_shown_in_one_line_each(file, tmp_path):
    card = model_cards.write(file, tmp_path / "shared")
    evil = card | {"name": "a\x1b[2J\n# b", "command": "x` | y\nz"}
    (tmp_path / "shared" / "card.json").write_text(json.dumps(evil))
    text = model_cards.markdown(model_cards.describe(tmp_path / "shared"))
    assert "\x1b" not in text and "# a [2J # b\n" in text and "| command | `x' \\| y z` |" in text
    (tmp_path / "shared" / "card.json").write_text(json.dumps({"sha256": card["sha256"]}))
    with pytest.raises(ValueError, match="is no model card"):
        model_cards.describe(tmp_path / "shared")


@pytest.mark.parametrize("words, message", [
    (("nothing",), "neither a file nor a model"), (("empty",), "neither a file nor a model"),
    (("text.pkl",), "text.pkl cannot be read"),
    (("stylegan2-portraits-64", "--part", "X"), 'has no part "X"'), (("mine", "--licence", "MIT"), "name it with --out"),
    (("mine", "--out", "empty"), "empty exists already and is not overwritten"),
    (("mine", "--out", "text.pkl/in"), "text.pkl is not a folder")])
def test_what_has_no_card_is_one_sentence(words, message, file, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pkl").write_text("no network")
    here = lambda word: word.split("/")[0] in ("empty", "text.pkl")
    place = lambda word: str(file) if word == "mine" else str(tmp_path / word) if here(word) else word
    with pytest.raises(SystemExit, match=message) as end:
        cli.main(["card", *map(place, words)])
    assert len(end.value.code.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text.pkl"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_no_half_folder(error, file, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        model_cards.write(file, tmp_path / "shared")
    assert not list(tmp_path.iterdir())
