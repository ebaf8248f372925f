"""Model cards say what files, results and runs hold; a folder with a card loads by its path, and only if both belong together."""
import errno
import hashlib
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from course_lib import generate, portraits, train, zoo
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
    assert capsys.readouterr().out == (out / "README.md").read_text().replace('load("shared")', f'load("{out}")')
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
    assert "planned" not in card and "base" not in card


def test_the_card_of_a_stopped_or_tuned_generator_says_so_and_loads_by_the_path_that_was_given(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for images in (1000, 2000):
        place = tmp_path / "runs" / "mine" / "checkpoints" / f"{images:010d}"
        place.mkdir(parents=True)
        shutil.copy(file, place / "G_ema.safetensors")
    (tmp_path / "runs/mine/run.json").write_text(json.dumps({"command": "python -m course_lib.train stylegan2"}))
    settings = {"data": "portraits", "images": 4000, "init": "stylegan2-portraits-64"}
    (tmp_path / "runs/mine/settings.json").write_text(json.dumps(settings))
    cli.main(["card", "runs/mine"])
    text = capsys.readouterr().out
    assert "# mine\n" in text and "| images seen in training | 2,000, stopped after these of 4,000 |" in text
    assert "| base model | stylegan2-portraits-64 |" in text and 'zoo.load("runs/mine")' in text
    assert "planned" not in model_cards.describe(tmp_path / "runs/mine/checkpoints/0000001000/G_ema.safetensors")
    (tmp_path / "runs/mine/settings.json").write_text(json.dumps(settings | {"images": 2000}))
    assert "planned" not in model_cards.describe("runs/mine")

    tensors, about = zoo.read(file)
    zoo.save("tuned.safetensors", tensors, "stylegan2-G", base="runs/mine", pictures=["me", "you"])
    cli.main(["card", "tuned.safetensors", "--part", "G"])
    text = capsys.readouterr().out
    assert "| base model | runs/mine |" in text and "| tuned to | me, you |" in text
    assert 'zoo.load("tuned.safetensors", part="G")' in text


def test_the_discriminator_of_a_run_has_grown_as_far_as_its_generator(tmp_path):
    train.main(["pggan", "--resolution", "16", "--channel-base", "128", "--channel-max", "8", "--z-dim", "8", "--stable", "16",
                "--fade", "16", "--batch", "8", "--images", "56", "--schedule-every", "1", "--data-size", "16", "--device", "cpu",
                "--dtype", "float32", "--out", str(tmp_path)])
    G, D = (zoo.load(tmp_path, part) for part in (None, "D"))
    assert G.reached == D.reached == 8 and D(G(torch.randn(4, 8), alpha=1.0)).shape == (4,)
    assert not any(name.startswith("b16") for name, _ in D.named_parameters())


@pytest.mark.parametrize("model", ["stylegan2", "pggan"])
def test_a_run_has_its_discriminator_as_a_part(model, tmp_path, capsys):
    own = ["--w-dim", "8", "--mapping-layers", "2", "--conv-clamp", "256"] if model == "stylegan2" else ["--start", "16"]
    train.main([model, "--resolution", "16", "--channel-base", "128", "--channel-max", "8", "--z-dim", "8", *own, "--batch", "8",
                "--images", "16", "--data-size", "16", "--device", "cpu", "--dtype", "float32", "--out", str(tmp_path / "run")])
    trained = zoo.read(zoo.path_of(tmp_path / "run").with_name("state.safetensors"))[0]
    D = zoo.load(tmp_path / "run", "D")
    assert all(torch.equal(trained[f"D.{key}"], value) for key, value in D.state_dict().items())
    assert D(torch.zeros(4, 3, 16, 16)).shape == (4,)
    config = zoo.contents(zoo.path_of(tmp_path / "run")).read("D").config
    assert config == ({"conv_clamp": 256.0} if model == "stylegan2" else {})
    cli.main(["info", str(tmp_path / "run")])
    assert f"  D: {model}-D, 16 px" in capsys.readouterr().out
    if model == "stylegan2":
        cli.main(["convert", str(tmp_path / "run"), str(tmp_path / "mine.pt"), "--to", "rosinality", "--drop-clamp"])
        found = zoo.load(tmp_path / "mine.pt", "D").state_dict()
        assert all(torch.allclose(found[key], value) for key, value in D.state_dict().items())


def test_every_command_takes_a_name_a_file_a_run_and_a_folder_with_a_card(file, tmp_path, capsys):
    place = tmp_path / "run" / "checkpoints" / "0000012000"
    place.mkdir(parents=True)
    shutil.copy(file, place / "G_ema.safetensors")
    model_cards.write(file, tmp_path / "shared")
    wanted = zoo.load(file).state_dict()
    for i, model in enumerate((file, tmp_path / "run", tmp_path / "shared")):
        cli.main(["info", str(model)])
        assert "G: stylegan2-G, 16 px, z 8, w 8, 2 classes" in capsys.readouterr().out
        cli.main(["card", str(model)])
        assert f'zoo.load("{model}")' in capsys.readouterr().out
        cli.main(["convert", str(model), str(tmp_path / f"{i}.safetensors"), "--to", "safetensors"])
        found = zoo.load(tmp_path / f"{i}.safetensors").state_dict()
        assert all(torch.equal(found[key], value) for key, value in wanted.items())
    cli.main(["info", "stylegan2-portraits-64"])
    text = capsys.readouterr().out
    assert "  G: stylegan2-G, 64 px" in text and "  D: stylegan2-D, 64 px" in text


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
    (("nothing",), "neither a file nor a model"), (("empty",), "is a folder, but holds no run and no model"),
    (("text.pkl",), "text.pkl cannot be read"), (("random.safetensors",), "its metadata name no kind of network"),
    (("other.safetensors",), 'it holds a network of kind "latents"'),
    (("run/checkpoints/12/state.safetensors",), "it is the state of a run; pass the run's folder, .*/run$"),
    (("stylegan2-portraits-64", "--part", "X"), 'has no part "X"'), (("mine", "--licence", "MIT"), "name it with --out"),
    (("mine", "--out", "empty"), "empty exists already and is not overwritten"),
    (("mine", "--out", "text.pkl/in"), "text.pkl is not a folder")])
def test_what_has_no_card_is_one_sentence(words, message, file, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pkl").write_text("no network")
    zoo.save(tmp_path / "other.safetensors", {"ws": torch.zeros(1)}, "latents")
    save_file({"x": torch.zeros(1)}, tmp_path / "random.safetensors")
    (tmp_path / "run/checkpoints/12").mkdir(parents=True)
    save_file({"x": torch.zeros(1)}, tmp_path / "run/checkpoints/12/state.safetensors", {"settings": "{}"})
    before = sorted(tmp_path.rglob("*"))
    here = lambda word: (tmp_path / word.split("/")[0]).exists()
    place = lambda word: str(file) if word == "mine" else str(tmp_path / word) if here(word) else word
    with pytest.raises(SystemExit, match=message) as end:
        cli.main(["card", *map(place, words)])
    assert len(end.value.code.splitlines()) == 1 and end.value.code.startswith("python -m course_lib.zoo: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_no_half_folder(error, file, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        model_cards.write(file, tmp_path / "shared")
    assert not list(tmp_path.iterdir())
