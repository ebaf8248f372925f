"""Which portraits raters call broken: blind sheets, a key that brings the labels back, agreement, and what a judge says."""
import importlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from course_lib import images, portraits, zoo
from course_lib.networks import classifiers, pggan

COUNT = 7


@pytest.fixture(scope="module")
def broken():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "experiments"))
        yield importlib.import_module("eye_labels_broken")


@pytest.fixture(scope="module")
def drawn(broken, tmp_path_factory):
    """A folder with the sheets of a generator, of real portraits and of two files of edits, and their key."""
    folder = tmp_path_factory.mktemp("labels")
    torch.manual_seed(0)
    generator = pggan.Generator(64, z_dim=8, channel_base=64, channel_max=8)
    zoo.save(folder / "net.safetensors", generator.state_dict(), "pggan-G", config={"reached": 64, "alpha": 1.0})
    edits = torch.randint(256, [9, 3, 64, 64], dtype=torch.uint8)
    save_file({"images": edits}, folder / "edits.safetensors")
    Image.effect_noise((256, 128), 60).save(folder / "board.png")                  # two rows of two before, two after
    broken.main(["sheets", str(folder / "net.safetensors"), "portraits", "--edits", str(folder / "edits.safetensors"),
                 str(folder / "board.png"), "--count", str(COUNT), "--out", str(folder / "sheets"), "--key", str(folder / "key")])
    return folder


def key_of(drawn):
    tensors, about = zoo.read(drawn / "key")
    return tensors["images"], [(Path(name).name, i) for name, i in json.loads(about["order"])]


def collect(broken, drawn, tmp_path, *answers, more=()):
    paths = [tmp_path / f"rater{i}.json" for i in range(len(answers))]
    for path, given in zip(paths, answers):
        path.write_text(given if isinstance(given, str) else json.dumps(given))
    broken.main(["collect", *map(str, paths), "--key", str(drawn / "key"), "--out", str(tmp_path / "labels.json"), *more])
    return json.loads((tmp_path / "labels.json").read_text())["broken"]


def answers(order, said):
    return {str(number): said(name, i) for number, (name, i) in enumerate(order, 1)}


def test_the_sheets_show_every_portrait_and_say_nothing_of_its_source(broken, drawn):
    pixels, order = key_of(drawn)
    assert len(set(order)) == len(order) == 3 * COUNT + 4 and order != sorted(order)
    assert sorted(path.name for path in (drawn / "sheets").iterdir()) == ["PROTOCOL.md", "examples.png", "sheet-01.png",
                                                                          "sheet-02.png"]
    sheets, gap, head, size = [Image.open(drawn / "sheets" / f"sheet-0{i}.png") for i in (1, 2)], 16, 32, 256
    assert not any(sheet.info for sheet in sheets)
    for i, portrait in enumerate(pixels):
        x, y = gap + i % 5 * (size + gap), head + i % 20 // 5 * (size + head)
        shown = sheets[i // 20].crop((x, y, x + size, y + size))
        assert shown.tobytes() == images.to_pil(portrait).resize((size, size), Image.LANCZOS).tobytes()
    written = b"".join(path.read_bytes() for path in (drawn / "sheets").iterdir())
    assert not [name for name in (str(drawn), "board", "edits", "pggan") if name.encode() in written]


def test_the_key_knows_the_source_of_each_portrait(broken, drawn):
    pixels, order = key_of(drawn)
    of = lambda name: pixels[[order.index((name, i)) for i in range(sum(name == other for other, _ in order))]]
    z = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(31))
    assert torch.equal(of("net.safetensors"), images.to_uint8(zoo.load(drawn / "net.safetensors")(z)))
    edits = {portrait.numpy().tobytes() for portrait in zoo.read(drawn / "edits.safetensors")[0]["images"]}
    assert len({portrait.numpy().tobytes() for portrait in of("edits.safetensors")} & edits) == COUNT
    with Image.open(drawn / "board.png") as board:
        right = [images.to_pil(portrait).convert("L").tobytes() for portrait in of("board.png")]
        assert right == [board.crop((x, y, x + 64, y + 64)).tobytes() for y in (0, 64) for x in (128, 192)]
    real, other = (broken.of_source("portraits", COUNT, seed, portraits.VERSION) for seed in (31, 32))
    assert torch.equal(of("portraits"), real) and not torch.equal(real, other)


def test_labels_come_back_to_their_sources_and_other_labels_of_the_file_stay(broken, drawn, tmp_path, capsys):
    _, order = key_of(drawn)
    kept = {"command": "python experiments/eye_labels.py collect a.json", "world": "1", "methods": {"mapper": {}}}
    (tmp_path / "labels.json").write_text(json.dumps(kept))
    found = collect(broken, drawn, tmp_path, answers(order, lambda name, i: name == "net.safetensors" and i != 2))
    by_name = {Path(name).name: source for name, source in found["sources"].items()}
    assert {name: (source["broken"], source["portraits"]) for name, source in by_name.items()} == {
        "net.safetensors": (6, 7), "portraits": (0, 7), "edits.safetensors": (0, 7), "board.png": (0, 4)}
    assert found["answers"][0][str(drawn / "net.safetensors")] == "1101111"
    assert kept.items() <= json.loads((tmp_path / "labels.json").read_text()).items()
    assert json.loads(capsys.readouterr().out)["sources"] == found["sources"]


def test_agreement_kappa_and_intervals_are_those_computed_by_hand(broken):
    order = [["a", 1], ["portraits", 0], ["a", 0], ["a", 3], ["a", 2]]
    rows = [[bool(int(one)) for one in row] for row in ("10100", "10001", "11000")]        # of a, in its own order: 1100 0110 0100
    found = broken.count(order, rows)
    assert found["answers"] == [{"a": "1100", "portraits": "0"}, {"a": "0110", "portraits": "0"}, {"a": "0100", "portraits": "1"}]
    assert found["agreement"] == [0.625, 0.625, 0.75]                                      # of pairs: 2/4, 3/4, 3/4
    # Cohen: (agreement − chance) / (1 − chance), chance of the pairs 1/2, 1/2 · 1/4 + 1/2 · 3/4 twice
    assert found["kappa"] == [0.0, 0.5, 0.5]
    a, z2 = found["sources"]["a"], 1.959964 ** 2
    assert (a["broken"], a["share"]) == (1, 0.25)
    middle, half = (0.25 + z2 / 8) / (1 + z2 / 4), (z2 * (0.25 * 0.75 / 4 + z2 / 64)) ** 0.5 / (1 + z2 / 4)      # Wilson 1927
    assert a["interval"] == pytest.approx([middle - half, middle + half], abs=1e-4)
    assert broken.count(order, [[False] * 5] * 3)["kappa"] == [None] * 3
    with pytest.raises(ValueError, match="2 raters can be of two minds"):
        broken.count(order, rows[:2])


def test_a_judge_that_says_what_the_raters_say_agrees_and_one_that_accepts_all_accepts_all_of_the_broken(
        broken, drawn, tmp_path, monkeypatch):
    pixels, order = key_of(drawn)
    dark = [bool(portrait.float().mean() < pixels.float().mean(dim=(1, 2, 3)).median()) for portrait in pixels]
    vote = {str(number): one for number, one in enumerate(dark, 1)}
    networks = {"same": lambda shown: torch.tensor(dark).float() if torch.equal(images.to_uint8(shown), pixels) else None,
                "accepts": lambda shown: torch.full([len(shown)], 0.1)}
    monkeypatch.setattr(classifiers, "unreadable", lambda network, shown: network(shown), raising=False)
    monkeypatch.setattr(zoo, "load", networks.get)
    same, accepts = (collect(broken, drawn, tmp_path, vote, more=("--judge", name))["judge"] for name in networks)
    assert (same["agreement"], same["kappa"], same["accepted_of_broken"], same["refused_of_others"]) == (1, 1, 0, 0)
    assert (accepts["kappa"], accepts["accepted_of_broken"], accepts["refused_of_others"]) == (0, 1, 0)
    others = [not one for one, (name, _) in zip(dark, order) if name != "portraits"]
    assert accepts["agreement"] == pytest.approx(sum(others) / len(others), abs=1e-4)
    assert sum(same["refused"].values()) == sum(dark) and not any(accepts["refused"].values())


@pytest.mark.parametrize("change, sentence", [
    (lambda given: given.pop("12"), "rater 2 gives no true or false for 12"),
    (lambda given: given.update({"3": 1, "4": "true"}), "rater 2 gives no true or false for 3, 4"),
    (lambda given: given.update({"26": True}), "rater 2 answers for 26, but the numbers go from 1 to 25"),
])
def test_wrong_answers_are_refused_in_a_sentence(broken, drawn, tmp_path, change, sentence):
    right = answers(key_of(drawn)[1], lambda name, i: False)
    wrong = dict(right)
    change(wrong)
    with pytest.raises(SystemExit, match=sentence):
        collect(broken, drawn, tmp_path, right, wrong, right)
    assert not (tmp_path / "labels.json").exists()


def test_what_is_no_list_of_answers_and_no_key_is_refused_in_a_sentence(broken, drawn, tmp_path):
    for text, sentence in (('{"1": true,}', r"rater0.json is no JSON file \("), ("[true]", "rater 1 gives no object")):
        with pytest.raises(SystemExit, match=sentence):
            collect(broken, drawn, tmp_path, text)
    with pytest.raises(SystemExit, match="edits.safetensors is no key"):
        broken.main(["collect", str(tmp_path / "rater0.json"), "--key", str(drawn / "edits.safetensors"), "--out",
                     str(tmp_path / "labels.json")])


@pytest.mark.parametrize("words, sentence", [
    (["portraits", "--out", "sheets", "--key", "new"], "sheets exists already; name a new folder"),
    (["portraits", "--out", "new", "--key", "new/key"], "lies in the folder of the sheets, where raters would see it"),
    (["portraits", "--out", "new", "--key", "key"], "key exists already and is not overwritten"),
    (["portraits", "portraits", "--out", "new", "--key", "other"], "portraits is named twice"),
    (["unknown-64", "--out", "new", "--key", "other"], '"unknown-64" is neither a file nor a model'),
    (["portraits", "--edits", "net.safetensors", "--out", "new", "--key", "other"], r"net.safetensors have shape \[0\]"),
    (["portraits", "--edits", "sheets/examples.png", "--out", "new", "--key", "other"], "holds no edited portraits"),
])
def test_sheets_that_cannot_be_drawn_are_refused_before_anything_is_written(broken, drawn, monkeypatch, words, sentence):
    monkeypatch.chdir(drawn)
    with pytest.raises(SystemExit, match=sentence):
        broken.main(["sheets", *words, "--count", "1"])
    assert not any((drawn / name).exists() for name in ("new", "other"))
