"""Scores of edits by sentence, the scoreboard, and the way of single files into data/."""
import json
import sys
from functools import cache

import pytest
import torch
from PIL import Image

from course_lib import clip, portraits, styleclip, zoo
from course_lib.images import to_uint8
from course_lib.metrics import edit_scores
from course_lib.networks import classifiers, stylegan2
from course_lib.networks.identity import IdentityNetwork
from course_lib.perception import common
from course_lib.perception.edit_targets import EDIT_TARGETS
from small_classifiers import classifier

CLIP = dict(image_size=32, width=4, layers=(1, 1, 1, 1), text_width=64, text_layers=1, embed_dim=16, context=48)


@pytest.mark.parametrize("prompt, yes, no", [
    ("a smiling person", dict(smile=0.5), dict(smile=0.3)),
    ("a frowning person", dict(smile=-0.5), dict(smile=0.5)),
    ("a person with an open mouth", dict(mouth_open=0.7), dict(mouth_open=0.2)),
    ("a person with glasses", dict(glasses="square"), dict()),
    ("a person with a beard", dict(presentation="man", beard="full"), dict(presentation="man", beard="stubble")),
    ("a person with red hair", dict(hair_color="red"), dict(hair_color="pink")),
    ("a person with blonde hair", dict(hair_color="blonde"), dict(hairstyle="bald")),
    ("a person with long hair", dict(hair_length=0.9), dict(hairstyle="bun")),
    ("a person with short hair", dict(hairstyle="crop"), dict(hairstyle="ponytail")),
    ("a person with curly hair", dict(hair_texture="curly"), dict(hair_texture="wavy")),
    ("a person wearing a hat", dict(hat="cap"), dict()),
    ("a bald person", dict(hairstyle="bald"), dict(hairstyle="crop")),
])
def test_an_edit_target_is_met_where_captions_would_say_it(prompt, yes, no):
    assert EDIT_TARGETS[prompt].success(portraits.attributes(**yes)).tolist() == [True]
    assert EDIT_TARGETS[prompt].success(portraits.attributes(**no)).tolist() == [False]


def test_what_a_caption_says_meets_its_edit_target():
    truth = portraits.sample_attributes(3000, 5)
    captions = portraits.caption(truth, 5)
    for prompt, words in (("a smiling person", ("smiling", " happy")), ("a frowning person", ("frowning", "unhappy")),
                          ("a person with an open mouth", ("open mouth",)), ("a person with glasses", ("glasses", "spectacles")),
                          ("a person with a beard", (" beard", "bearded")), ("a bald person", ("bald",)),
                          ("a person wearing a hat", (" hat", "beanie", " cap"))):
        said = torch.tensor([any(word in text for word in words) for text in captions])
        assert said.sum() > 50 and EDIT_TARGETS[prompt].success(truth)[said].all(), prompt


def test_leakage_counts_standard_deviations_of_what_the_prompt_leaves_alone():
    sigma = edit_scores.standard_deviations(4000)
    truth = portraits.sample_attributes(4000, 0)
    assert sigma["smile"] == pytest.approx(truth["smile"].std().item(), rel=0.05)
    shares = torch.bincount(truth["glasses"]) / 4000
    assert sigma["glasses"] == pytest.approx(((1 - shares.square().sum()) / 2).sqrt().item(), rel=0.05)
    before = portraits.attributes(smile=-0.5)
    assert edit_scores.leakage("a smiling person", before, portraits.attributes(smile=0.9), sigma).tolist() == [0]
    others = len(portraits.ATTRIBUTES) - 1
    after = portraits.attributes(smile=0.9, gaze=sigma["gaze"], glasses="round")
    leakage = lambda prompt: edit_scores.leakage(prompt, before, after, sigma).item()
    assert leakage("a smiling person") == pytest.approx((1 + 1 / sigma["glasses"]) / others, rel=1e-4)
    assert leakage("a person with glasses") == pytest.approx((1 + 1.4 / sigma["smile"]) / others, rel=1e-4)


def test_what_does_not_show_is_no_leakage():
    bald, hidden = portraits.attributes(hairstyle="bald"), ["hair_color", "hair_length"]
    hidden += [name for name in ("hat_color", "beard_color", "hair_strands") if name in portraits.table()]
    changed = bald | {name: torch.ones_like(bald[name]) - bald[name] for name in hidden}
    sigma = dict.fromkeys(portraits.table(), 1.0)
    assert not any(torch.equal(changed[name], bald[name]) for name in hidden)
    assert edit_scores.leakage("a smiling person", bald, changed, sigma).item() == 0
    shown = [portraits.attributes(hair_color=color) for color in ("brown", "pink")]
    assert edit_scores.leakage("a smiling person", *shown, sigma).item() == pytest.approx(1 / (len(sigma) - 1))


def test_who_someone_is_stays_with_pose_and_hair_and_changes_with_the_face():
    people = portraits.sample_attributes(50, 3)
    who, same = classifiers.identity_vector(people), classifiers.identity_vector(portraits.same_person(people, 4))
    assert torch.allclose(who.norm(dim=1), torch.ones(50)) and torch.allclose(who, same)
    other = classifiers.identity_vector(people | {"freckles": 1 - people["freckles"]})
    assert ((who * other).sum(dim=1) < 0.95).all()


@pytest.fixture(scope="module")
def small_networks(tmp_path_factory):
    """Untrained small networks under the names of the course, but for its judge, and the file of their statistics."""
    torch.manual_seed(0)
    words = clip.vocabulary(500)
    G = stylegan2.Generator(32, z_dim=8, w_dim=8, channel_base=128, channel_max=8, mapping_layers=2).eval().requires_grad_(False)
    clip_network, identity = clip.pocket(words, **CLIP).eval().requires_grad_(False), IdentityNetwork(8).eval()
    mapper = styleclip.LatentMapper(8, ["coarse"], prompt="a smiling person", generator=styleclip.common.fingerprint(G)).eval()
    known = {"stylegan2-portraits-64": G, "clip-portraits": clip_network, "identity-portraits-64": identity,
             "mapper-a-smiling-person": mapper, "oracle-portraits-64": classifier("oracle"),
             "judge-portraits-64": zoo.load("judge-portraits-64")}
    statistics = tmp_path_factory.mktemp("zoo") / "statistics-portraits-64.safetensors"
    styleclip.channel_statistics(G, clip_network, statistics, images=2)
    return known, statistics


@pytest.fixture
def small_zoo(small_networks, tmp_path, monkeypatch):
    """A zoo of `small_networks`."""
    known, statistics = small_networks
    file = zoo.load
    monkeypatch.setattr(zoo, "load", lambda name, device="cpu": known[name] if name in known else file(name, device=device))
    monkeypatch.setattr(clip, "load", lambda device="cpu": known["clip-portraits"])
    monkeypatch.setattr(zoo, "file", lambda name: statistics)
    monkeypatch.setattr(zoo, "names", lambda: list(known))
    monkeypatch.setattr(edit_scores, "standard_deviations", lambda: {spec.name: 1.0 for spec in portraits.ATTRIBUTES})
    monkeypatch.setattr(common, "draw_portraits", lambda n, seed, device: _drawn(300))
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    for name in ("scoreboard", "publish_file"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import scoreboard
    monkeypatch.setattr(scoreboard, "PEOPLE", 40)
    return tmp_path


@cache
def _drawn(count):
    images, truth = next(portraits.batches(count, 0, 64, batch_size=count))
    return to_uint8(images), truth


def test_the_scoreboard_measures_all_methods_prompt_by_prompt(small_zoo, monkeypatch, capsys):
    import scoreboard
    out = small_zoo / "scoreboard.json"
    monkeypatch.setattr(scoreboard, "SETTINGS", {"optimization": dict(space="w", steps=2, views=1, lr="best", top_fraction=0.5),
                                                 "mapper": dict(strength=1.0), "global direction": dict(alpha=2.0, beta=0.0)})
    monkeypatch.setattr(scoreboard, "CURVES", {"optimization": dict(top_fraction=(0.5, None)), "mapper": dict(strength=(0.0, 1.0)),
                                               "global direction": dict(alpha=(0.0, 1.0))})
    monkeypatch.setattr(scoreboard, "ALPHA_CURVE", {})
    monkeypatch.setattr(scoreboard.generators, "rendered", lambda *a, **k: [torch.rand(300, 3, 64, 64) * 2 - 1])
    scoreboard.main(["--prompts", "a smiling person", "--portraits", "4", "--curves", "a smiling person", "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["world"] == portraits.VERSION and result["portraits"] == 4 and result["seeds"] == [1]
    for name, found in result["methods"].items():
        row = found["prompts"]["a smiling person"]
        assert all(0 <= row[key] <= 1 for key in ("success", "identity_preserved", "identity_preserved_judge", "reached"))
        assert row["leakage"] >= 0
        assert found["judge_verification"]["accuracy"] > 0.9
        assert min(found["seconds"].values()) > 0 and found["realism"]["after"]["images"] == 4
        assert Image.open(small_zoo / f"scoreboard-{name.replace(' ', '-')}.webp").size == (6 * 32, 32)
        curve, = found["curves"]["a smiling person"].values()
        assert len(curve) == 2
        if name != "optimization":
            assert curve[0]["leakage"] < 1e-3 < curve[1]["leakage"] and curve[0]["identity_preserved_judge"] == 1
    assert set(result["methods"]) == {"optimization", "mapper", "global direction"}

    other, only = small_zoo / "other.json", ["--methods", "mapper", "--prompts", "a smiling person", "--portraits", "4", "--curves"]
    scoreboard.main([*only, "--set", "strength=0", "--out", str(other)])
    result = json.loads(other.read_text())
    assert result["methods"]["mapper"]["settings"] == {"strength": 0}
    assert result["command"].endswith("--methods mapper --set strength=0")
    assert result["methods"]["mapper"]["prompts"]["a smiling person"]["leakage"] < 1e-3
    with pytest.raises(SystemExit):
        scoreboard.main([*only, "--set", "alpha=0", "--out", str(other)])

    mappers, choice = small_zoo / "mappers", small_zoo / "choice.json"
    another = scoreboard.styleclip.LatentMapper(8, ["coarse"], prompt="a bald person")
    torch.nn.init.constant_(another.coarse[-1].bias, 300.0)
    zoo.save(mappers / "mapper-a-bald-person.safetensors", another.state_dict(), "mapper", dataset_version=portraits.VERSION,
             config={"prompt": "a bald person"})
    choosing = ["--methods", "mapper", "--portraits", "4", "--curves", "--mappers", str(mappers), "--classifier", "oracle",
                "--seed", "2"]
    scoreboard.main([*choosing, "--out", str(choice)])
    result = json.loads(choice.read_text())
    assert set(result["methods"]["mapper"]["prompts"]) == {"a bald person"} and result["seeds"] == [2]
    assert result["command"].endswith(f"--seed 2 --classifier oracle --mappers {mappers} --methods mapper")
    with pytest.raises(SystemExit):
        scoreboard.main([*choosing, "--prompts", "a smiling person", "--out", str(choice)])
    with pytest.raises(SystemExit):
        scoreboard.main(choosing)
    with pytest.raises(SystemExit):
        scoreboard.main(["--methods", "optimization", "--set", "top_fraction=null", "--out", str(other)])
    assert "without a top_fraction optimization has no target" in capsys.readouterr().err
    monkeypatch.setitem(scoreboard.SETTINGS, "global direction", dict(alpha="best", beta="best"))
    with pytest.raises(SystemExit):
        scoreboard.main(["--methods", "global direction", "--set", "alpha=1", "--out", str(other)])


@pytest.mark.parametrize("method, settings, fixed", [
    # the first hardly moves
    ("optimization", dict(space="w", steps=2, views=1, lr="best"), [dict(lr=rate) for rate in (1e-9, 0.1, 0.3)]),
    ("mapper", dict(strength="best"), [dict(strength=size) for size in (0, 0.5, 1.0)]),
    ("global direction", dict(alpha="best", beta="best"), [dict(alpha=size, beta=0.0) for size in (0, 1.0, 2.0)])])
def test_a_portrait_is_edited_as_strongly_as_its_target_asks_for(small_zoo, monkeypatch, method, settings, fixed):
    import scoreboard
    monkeypatch.setattr(scoreboard, "RATES", (0.1, 0.3))
    monkeypatch.setattr(scoreboard, "STRENGTHS", (0.5, 1.0))
    monkeypatch.setattr(scoreboard, "ALPHAS", (1.0, 2.0))
    monkeypatch.setattr(scoreboard, "BETAS", (5.0, 0.0))
    tools = scoreboard.Tools("cpu")
    ws, before = tools.portraits("a smiling person", 3, 1)
    edited = lambda **some: tools.edited(method, "a smiling person", ws, top_fraction=0.5, **settings | some)
    # A target of −1, which all reach.
    monkeypatch.setattr(tools, "samples", tools.clip.encode_texts(["a smiling person"]).expand(4, -1) * -1)
    assert torch.allclose(edited(), before, atol=1e-5)
    # And of 1, which none does.
    monkeypatch.setattr(tools, "samples", -tools.samples)
    monkeypatch.setattr(tools.identity, "threshold", -1.0)
    similar = torch.stack([tools._similarity(images, "a smiling person") for images in (edited(**some) for some in fixed)])
    assert torch.allclose(tools._similarity(edited(), "a smiling person"), similar.amax(dim=0), atol=1e-5)
    assert (similar.amax(dim=0) > similar[0]).any()
    monkeypatch.setattr(tools.identity, "threshold", 2.0)                                                    # nobody is kept
    assert torch.allclose(edited(), before, atol=1e-5)


@pytest.mark.parametrize("rate", [0.1, "best"])
def test_searches_for_several_prompts_at_once_are_those_for_each(small_zoo, rate):
    import scoreboard
    tools, prompts = scoreboard.Tools("cpu"), ["a smiling person", "a bald person", "a person with red hair"]
    run = lambda prompts: list(tools.scored("optimization", prompts, 3, 1, space="w", steps=3, views=1, top_fraction=0.5, lr=rate))
    whole, alone = run(prompts), [row for prompt in prompts for row in run([prompt])]
    for (prompt, figures, before, after), (same, expected, source, edited) in zip(whole, alone, strict=True):
        assert prompt == same and figures == pytest.approx(expected, abs=1e-3)
        assert torch.equal(before, source) and torch.allclose(after, edited, atol=1e-3)


def test_the_portraits_of_a_prompt_lack_what_it_asks_for(small_zoo):
    import scoreboard
    tools = scoreboard.Tools("cpu")
    ws, images = tools.portraits("a bald person", 5, 3)
    assert ws.shape[0] == len(images) == 5
    assert not EDIT_TARGETS["a bald person"].success(classifiers.predict(tools.judge, images)).any()


def test_a_single_file_gets_its_card_and_its_result(small_zoo, capsys):
    import publish_file
    run, data = small_zoo / "run", small_zoo / "data"
    source = zoo.save(run / "clip-portraits.safetensors", {"a": torch.zeros(2)}, "clip", dataset_version=portraits.VERSION)
    with pytest.raises(SystemExit, match="pass it as --command"):
        publish_file.main([str(source), "--data", str(data)])
    (run / "results").mkdir()
    (run / "results" / "clip.json").write_text(json.dumps({"command": "mine", "images": 12000}))
    publish_file.main([str(source), "--data", str(data)])
    card = json.loads((data / "models.json").read_text())["clip-portraits"]
    assert card["command"] == "mine" and card["images"] == 12000 and card["kind"] == "clip"
    zoo.verify(data / card["files"]["weights"]["file"], card["files"]["weights"]["sha256"])
    assert (data / "results" / "clip.json").exists() and "| 12,000 |" in capsys.readouterr().out
    other = zoo.save(run / "old.safetensors", {"a": torch.zeros(2)}, "clip", dataset_version="0")
    with pytest.raises(SystemExit, match="belongs to version 0 of Portraits"):
        publish_file.main([str(other), "--data", str(data)])
