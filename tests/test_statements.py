"""What lessons 06 to 10 say of the results that they show: each number of a sentence stands in data/results."""
import json
import random
import sys
from statistics import mean

import pytest
import torch
from PIL import Image

from course_lib import inversion, plots, results, zoo
from course_lib.perception.edit_targets import EDIT_TARGETS


def result(name):
    return json.loads((zoo.DATA / "results" / f"{name}.json").read_text())


def test_lesson_06_the_lengths_are_more_even_with_the_regularizer_and_scale_explains_the_ppl():
    models = result("smoothness")["models"]
    ours, ablation = (models[name] for name in ("stylegan2-portraits-64", "stylegan2-portraits-64-nopl"))
    ratio = lambda figure: figure(ablation) / figure(ours)
    assert ratio(lambda m: m["lengths"]["across_latents"]) > 1.4
    assert ratio(lambda m: m["lengths"]["across_projections"]) == pytest.approx(1.2, abs=0.05)
    assert ratio(lambda m: m["ppl_w_full"]["mean"]) == pytest.approx(1.6, abs=0.05)
    assert ratio(lambda m: m["lengths"]["mean"]) == pytest.approx(2, abs=0.05)
    G, other = (zoo.load(f"stylegan2-portraits-64{rest}") for rest in ("", "-nopl"))
    scale = lambda network: inversion.w_statistics(network, torch.Generator().manual_seed(0))[1].item()
    speed = ratio(lambda m: m["lengths"]["mean"]) * scale(other) / scale(G)
    assert speed == pytest.approx(1.35, abs=0.02) and speed ** 2 > ratio(lambda m: m["ppl_w_full"]["mean"])
    assert ablation["ppl_w_full"]["low"] < ours["ppl_w_full"]["high"]


def test_lesson_06_the_search_comes_nearer_with_the_regularizer_at_every_rate():
    models = result("smoothness")["models"]
    ours, ablation, stylegan = (models[f"{name}-portraits-64{rest}"]["inversion"] for name, rest in
                                (("stylegan2", ""), ("stylegan2", "-nopl"), ("stylegan", "")))
    near = lambda model, kind: sum(distance < 0.2 for distance in model[kind]["distance"])
    for kind in ("generated", "portraits"):
        at_rates = lambda model: torch.tensor(model[kind]["searches"]).mean(dim=(1, 2))
        assert (at_rates(ours) < at_rates(ablation)).all() and (at_rates(ablation).amax() > 1.4 * at_rates(ablation).amin())
        assert 0.5 < mean(ours[kind]["distance"]) / mean(ablation[kind]["distance"]) < 0.65
        assert all(mean(model[kind]["distance"]) < at_rates(model).amin() for model in (ours, ablation, stylegan))
    assert all(mean(model["generated"]["distance"]) < mean(model["portraits"]["distance"]) for model in (ours, ablation, stylegan))
    assert [near(model, "generated") for model in (ours, ablation, stylegan)] == [15, 13, 26]
    assert [near(model, "portraits") for model in (ours, ablation, stylegan)] == [7, 3, 1]
    assert mean(stylegan["generated"]["distance"]) < mean(ours["generated"]["distance"])
    assert mean(stylegan["portraits"]["distance"]) == pytest.approx(mean(ours["portraits"]["distance"]), abs=0.02)


def test_lesson_07_what_the_intervals_of_ppl_say():
    models = result("smoothness")["models"]
    pggan, stylegan, ablation, ours = (models[f"{name}-portraits-64{rest}"] for name, rest in
                                       (("pggan", ""), ("stylegan", ""), ("stylegan2", "-nopl"), ("stylegan2", "")))
    overlap = lambda a, b: a["low"] < b["high"] and b["low"] < a["high"]
    for model in (stylegan, ablation, ours):
        for where in ("full", "end"):
            assert model[f"ppl_w_{where}"]["mean"] < model[f"ppl_z_{where}"]["mean"] / 2
            assert overlap(model[f"ppl_w_{where}"], model[f"ppl_z_{where}"]) == (model is ablation and where == "end")
            assert pggan[f"ppl_z_{where}"]["high"] < model[f"ppl_w_{where}"]["low"]
    both = {key: overlap(ablation[f"ppl_{key}"], ours[f"ppl_{key}"]) for key in ("z_full", "z_end", "w_full", "w_end")}
    assert both == {"z_full": False, "z_end": True, "w_full": True, "w_end": False}
    assert 3.5 < ablation["ppl_w_end"]["mean"] / ours["ppl_w_end"]["mean"] < 4
    assert all(overlap(stylegan[f"ppl_w_{where}"], ours[f"ppl_w_{where}"]) for where in ("full", "end"))


def test_lesson_08_success_leakage_and_identity_of_the_search():
    methods = results.load("scoreboard")["methods"]
    average = lambda method, key: mean(row[key] for row in methods[method]["prompts"].values())
    assert [round(average(method, "identity_preserved_judge"), 2) for method in methods] == [0.42, 0.51, 0.57]
    assert [round(average(method, "success"), 2) for method in methods] == [0.83, 0.90, 0.71]
    assert sorted(methods, key=lambda method: average(method, "leakage")) == ["global direction", "mapper", "optimization"]
    curves = methods["optimization"]["curves"].values()
    at = lambda name, value, key: mean(row[key] for found in curves for row in found[name] if row[name] == value)
    assert at("preserve_weight", 0.0, "leakage") > 1.5 * at("preserve_weight", 0.15, "leakage")
    assert at("top_fraction", None, "success") <= at("top_fraction", 0.01, "success")
    assert at("top_fraction", None, "leakage") > at("top_fraction", 0.01, "leakage")
    assert at("id_weight", 0.0, "identity_preserved") < 0.2 and at("id_weight", 0.05, "identity_preserved") > 0.95


def test_lesson_09_the_steps_of_a_mapper_agree():
    rows = result("steps-of-mappers")["prompts"]
    assert 0.785 < min(row["cosine"] for row in rows.values()) == rows["a person with short hair"]["cosine"]
    loss = {prompt: row["own"] - row["mean"] for prompt, row in rows.items()}
    none = {"a smiling person", "a frowning person", "a person with an open mouth", "a person with curly hair"}
    half = {"a person with red hair", "a person with short hair", "a bald person"}
    assert max(loss[prompt] for prompt in none) < 0.02 and 0.32 < min(loss[prompt] for prompt in half) < max(loss.values()) < 0.55
    assert all(0.1 < loss[prompt] < 0.28 for prompt in rows.keys() - none - half)


def test_tiles_of_a_sheet_come_row_by_row():
    sheet = Image.new("RGB", (4, 4), "black")
    sheet.paste("white", (2, 0, 4, 2))
    assert [tile.mean().item() for tile in plots.tiles(sheet, 2)] == [-1, 1, -1, -1]


def test_lessons_08_to_10_what_the_raters_saw():
    stored = result("eye-labels")
    of_36 = {method: [round(36 * votes[key]) for key in ("success", "clean", "identity_preserved", "all three")]
             for method, votes in stored["methods"].items()}
    assert of_36["optimization"] == [25, 11, 25, 10] and of_36["mapper"] == [27, 27, 33, 21]
    assert of_36["global direction"] == [21, 21, 35, 10]
    assert of_36["unedited"] == [0, 36, 36, 0]
    found = lambda method, prompt: sum(stored["methods"][method]["prompts"][prompt]["success"])
    assert found("optimization", "a person wearing a hat") == found("mapper", "a frowning person") == 0
    assert found("global direction", "a frowning person") == 0
    for key, low, high in (("success", 0.98, 1), ("identity_preserved", 0.95, 0.96), ("clean", 0.82, 0.89)):
        assert low <= min(stored["agreement"][key]) <= max(stored["agreement"][key]) <= high


@pytest.fixture
def eye_labels(monkeypatch):
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    sys.modules.pop("eye_labels", None)
    import eye_labels
    return eye_labels


def test_raters_see_every_stored_edit_once_with_its_own_before(eye_labels):
    pairs = eye_labels.order()
    edited = [pair for pair in pairs if pair[0] != "unedited"]
    assert len(pairs) == 120 and len(set(edited)) == 108 and eye_labels.order() == pairs != sorted(pairs)
    before, after = eye_labels.pictures("unedited", "a bald person", 1)
    sheet = Image.open(zoo.DATA / "results" / "scoreboard-mapper.webp").convert("RGB")
    row = 64 * list(EDIT_TARGETS).index("a bald person")
    assert before.tobytes() == after.tobytes() == sheet.crop((64, row, 128, row + 64)).tobytes()
    assert eye_labels.pictures("mapper", "a bald person", 1)[1].tobytes() == sheet.crop((256, row, 320, row + 64)).tobytes()


def test_the_vote_is_the_majoritys_and_missing_answers_are_named(eye_labels):
    rng = random.Random(0)
    answers = [{str(n): {key: rng.random() < 0.5 for key in eye_labels.QUESTIONS} for n in range(1, 121)} for _ in range(3)]
    found = eye_labels.count(answers)
    for n, (method, prompt, portrait) in enumerate(eye_labels.order(), 1):
        if method != "unedited":
            vote = sum(rater[str(n)]["clean"] for rater in answers) >= 2
            assert found["methods"][method]["prompts"][prompt]["clean"][portrait] == vote
    yes = [{n: dict.fromkeys(eye_labels.QUESTIONS, True) for n in answers[0]}] * 3
    agreed = eye_labels.count(yes)
    assert agreed["agreement"] == dict.fromkeys(eye_labels.SCORES.values(), [1, 1, 1])
    assert agreed["methods"]["mapper"]["all three"] == 1
    del answers[1]["7"]["same"]
    with pytest.raises(ValueError, match=r"rater 2 gives no valid answer \(shows, clean, same\) for 7"):
        eye_labels.count(answers)
    with pytest.raises(ValueError, match="odd number"):
        eye_labels.count(answers[::2])


def test_what_is_stored_of_the_raters_follows_from_their_answers(eye_labels):
    stored = result("eye-labels")
    of = lambda rater, n: {key: stored["answers"][score][rater][n] == "1" for key, score in eye_labels.SCORES.items()}
    answers = [{str(n + 1): of(rater, n) for n in range(120)} for rater in range(stored["raters"])]
    assert eye_labels.count(answers) == {key: stored[key] for key in ("protocol", "raters", "methods", "agreement", "answers")}
