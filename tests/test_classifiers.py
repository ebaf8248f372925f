"""Oracle and judge: what they take and give, that training teaches them, and that the published ones predict well."""
import json
import math

import pytest
import torch

from course_lib import portraits, zoo
from course_lib.images import from_uint8
from course_lib.networks import classifiers
from course_lib.perception import common, train_classifier

KINDS = ("oracle", "judge")
CONTINUOUS = [spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
DISCRETE = [spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete"]


def noise(n, size=64, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=KINDS)
def classifier(request):
    torch.manual_seed(0)
    return classifiers.AttributeClassifier(request.param).eval()


@pytest.mark.parametrize("output, share", [(0.5, 0.75), (-1.0, 0.0), (7.0, 1.0)])
def test_predictions_are_in_the_units_of_the_attributes(output, share):
    classifier = classifiers.AttributeClassifier("oracle").eval()
    rows = [[output] if spec.kind == "continuous" else [float(i == 1) for i in range(len(spec.values))]
            for spec in portraits.ATTRIBUTES]
    with torch.no_grad():
        classifier.heads.weight.zero_()
        classifier.heads.bias.copy_(torch.tensor(sum(rows, [])))
    predicted = classifiers.predict(classifier, noise(3))
    assert portraits.check(predicted) == 3
    assert all(predicted[spec.name].tolist() == [1, 1, 1] for spec in DISCRETE)
    for spec in CONTINUOUS:
        assert predicted[spec.name].tolist() == pytest.approx([spec.low + share * (spec.high - spec.low)] * 3)


def test_predictions_are_independent_of_the_batch(classifier):
    images = noise(9)
    whole, parts = classifiers.predict(classifier, images), classifiers.predict(classifier, images, batch_size=4)
    for spec in CONTINUOUS:
        assert torch.allclose(whole[spec.name], parts[spec.name], atol=1e-3 * (spec.high - spec.low))


def test_images_of_any_resolution_are_taken_and_other_tensors_are_named(classifier):
    large = noise(2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert classifier.features(large).shape == (2, 256)
        constant = torch.full([1, 3, 64, 64], 0.3)
        assert torch.allclose(classifier.features(constant), classifier.features(torch.full([1, 3, 256, 256], 0.3)), atol=1e-4)
    for wrong in (noise(2)[0], noise(2)[:, :1]):
        with pytest.raises(ValueError, match=r"pass \[N, 3, H, W\]"):
            classifier.features(wrong)


def test_scaling_is_undone_by_predicting():
    spec = CONTINUOUS[0]
    ends = classifiers.scaled(spec, torch.tensor([spec.low, (spec.low + spec.high) / 2, spec.high]))
    assert torch.allclose(ends, torch.tensor([-1.0, 0.0, 1.0]), atol=1e-6)


def test_scores_are_accuracy_and_r_squared():
    truth = portraits.sample_attributes(200, 3, correlated=False)
    assert all(score == 1 for score in classifiers.scores(truth, truth).values())
    guess = {spec.name: torch.zeros_like(truth[spec.name]) if spec.kind == "discrete"
             else truth[spec.name].mean().expand(200) for spec in portraits.ATTRIBUTES}
    for spec in portraits.ATTRIBUTES:
        share = (truth[spec.name] == 0).float().mean().item()
        expected = share if spec.kind == "discrete" else 0.0
        assert classifiers.scores(guess, truth)[spec.name] == pytest.approx(expected, abs=1e-4)


def test_oracle_and_judge_share_no_architecture_and_stay_small():
    oracle, judge = (classifiers.AttributeClassifier(kind) for kind in KINDS)
    layers = [{type(module) for module in network.layers.modules()} for network in (oracle, judge)]
    assert torch.nn.GroupNorm in layers[0] - layers[1] and torch.nn.BatchNorm2d in layers[1] - layers[0]
    for network in (oracle, judge):
        assert sum(parameter.numel() for parameter in network.parameters()) < 1.4e6


@pytest.mark.parametrize("kind", [*KINDS, "identity", "verifier"])
def test_augmentation_keeps_shape_and_changes_little(kind):
    torch.manual_seed(0)
    images = torch.full([64, 3, 64, 64], 0.2)
    changed = common.augment(images, kind)
    assert changed.shape == images.shape and not torch.equal(changed, images)
    assert (changed.mean(dim=(2, 3)) - 0.2).abs().max() < 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_training_predicts_better_than_chance_and_writes_what_it_scored(kind, tmp_path, monkeypatch):
    maps = {"oracle": (8, 16, 16, 32, 128), "judge": (8, 16, 32, 128)}[kind]
    monkeypatch.setitem(classifiers.LAYERS, kind, lambda layers=classifiers.LAYERS[kind]: layers(maps))
    result = train_classifier.train(kind, tmp_path, steps=80, batch=16, data_size=96, held_out=64)
    assert json.loads((tmp_path / "results" / f"{kind}.json").read_text()) == result
    assert result["world"] == portraits.VERSION and set(result["scores"]) == {s.name for s in portraits.ATTRIBUTES}
    assert result["scores"]["skin"] > 0.1  # R²: at most 0 for a network that has learnt nothing
    network = zoo.load(tmp_path / f"{kind}-portraits-64.safetensors")
    images, truth = common.draw_portraits(64, common.HELD_OUT_SEED, "cpu")
    again = classifiers.scores(classifiers.predict(network, from_uint8(images)), truth)
    assert again == pytest.approx(result["scores"], abs=1e-3)


@pytest.mark.skipif(not {f"{kind}-portraits-64" for kind in KINDS} <= set(zoo.cards()), reason="no classifiers are published yet")
@pytest.mark.parametrize("kind", KINDS)
def test_the_published_classifier_predicts_unseen_portraits_as_its_card_says(kind):
    stored = json.loads((zoo.DATA / "results" / f"{kind}.json").read_text())
    assert stored["world"] == portraits.VERSION
    images, truth = common.draw_portraits(256, 990_000, "cpu")
    scores = classifiers.scores(classifiers.predict(zoo.load(f"{kind}-portraits-64"), from_uint8(images)), truth)
    for spec in portraits.ATTRIBUTES:
        expected = stored["scores"][spec.name]
        slack = 4 * math.sqrt(max(expected * (1 - expected), 0.002) / 256) if spec.kind == "discrete" else 0.05
        assert scores[spec.name] > expected - slack, spec.name
