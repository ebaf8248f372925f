"""Oracle and judge: what they take and give, that training teaches them, and that the shipped ones read well."""
import json
import math

import pytest
import torch

from course_lib import judges, portraits, zoo
from course_lib.training import readers

KINDS = ("oracle", "judge")
CONTINUOUS = [spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
DISCRETE = [spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete"]


def noise(n, size=64, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=KINDS)
def reader(request):
    torch.manual_seed(0)
    return judges.Reader(request.param).eval()


@pytest.mark.parametrize("output, share", [(0.5, 0.75), (-1.0, 0.0), (7.0, 1.0)])
def test_a_reading_is_in_the_units_of_the_world(output, share):
    reader = judges.Reader("oracle").eval()
    rows = [[output] if spec.kind == "continuous" else [float(i == 1) for i in range(len(spec.values))]
            for spec in portraits.ATTRIBUTES]
    with torch.no_grad():
        reader.heads.weight.zero_()
        reader.heads.bias.copy_(torch.tensor(sum(rows, [])))
    reading = judges.read(reader, noise(3))
    assert portraits.check(reading) == 3
    assert all(reading[spec.name].tolist() == [1, 1, 1] for spec in DISCRETE)
    for spec in CONTINUOUS:
        assert reading[spec.name].tolist() == pytest.approx([spec.low + share * (spec.high - spec.low)] * 3)


def test_reading_is_independent_of_the_batch(reader):
    images = noise(9)
    whole, parts = judges.read(reader, images), judges.read(reader, images, batch_size=4)
    for spec in CONTINUOUS:
        assert torch.allclose(whole[spec.name], parts[spec.name], atol=1e-3 * (spec.high - spec.low))


def test_images_of_any_resolution_are_read_and_other_tensors_are_named(reader):
    large = noise(2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert reader.features(large).shape == (2, 256)
        constant = torch.full([1, 3, 64, 64], 0.3)
        assert torch.allclose(reader.features(constant), reader.features(torch.full([1, 3, 256, 256], 0.3)), atol=1e-4)
    for wrong in (noise(2)[0], noise(2)[:, :1]):
        with pytest.raises(ValueError, match=r"pass \[N, 3, H, W\]"):
            reader.features(wrong)


def test_scaling_is_undone_by_reading():
    spec = CONTINUOUS[0]
    ends = judges.scaled(spec, torch.tensor([spec.low, (spec.low + spec.high) / 2, spec.high]))
    assert torch.allclose(ends, torch.tensor([-1.0, 0.0, 1.0]), atol=1e-6)


def test_scores_are_accuracy_and_r_squared():
    truth = portraits.sample_attributes(200, 3, correlated=False)
    assert all(score == 1 for score in judges.scores(truth, truth).values())
    guess = {spec.name: torch.zeros_like(truth[spec.name]) if spec.kind == "discrete"
             else truth[spec.name].mean().expand(200) for spec in portraits.ATTRIBUTES}
    for spec in portraits.ATTRIBUTES:
        share = (truth[spec.name] == 0).float().mean().item()
        expected = share if spec.kind == "discrete" else 0.0
        assert judges.scores(guess, truth)[spec.name] == pytest.approx(expected, abs=1e-4)


def test_oracle_and_judge_share_no_architecture_and_stay_small():
    oracle, judge = (judges.Reader(kind) for kind in KINDS)
    layers = [{type(module) for module in network.layers.modules()} for network in (oracle, judge)]
    assert torch.nn.GroupNorm in layers[0] - layers[1] and torch.nn.BatchNorm2d in layers[1] - layers[0]
    for network in (oracle, judge):
        assert sum(parameter.numel() for parameter in network.parameters()) < 1.4e6


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation_keeps_shape_and_changes_little(kind):
    torch.manual_seed(0)
    images = torch.full([64, 3, 64, 64], 0.2)
    changed = readers.augment(images, kind)
    assert changed.shape == images.shape and not torch.equal(changed, images)
    assert (changed.mean(dim=(2, 3)) - 0.2).abs().max() < 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_training_reads_better_than_chance_and_ships_what_it_scored(kind, tmp_path):
    result = readers.train_reader(kind, tmp_path, steps=40, batch=16, data_size=96, held_out=64)
    assert json.loads((tmp_path / "results" / f"{kind}.json").read_text()) == result
    assert result["world"] == portraits.VERSION and set(result["scores"]) == {s.name for s in portraits.ATTRIBUTES}
    assert result["scores"]["skin"] > 0.1  # R²: at most 0 for a network that has learnt nothing
    network = zoo.load(tmp_path / f"{kind}-portraits-64.safetensors")
    images, truth = readers.draw(64, readers.HELD_OUT_SEED, "cpu")
    again = judges.scores(judges.read(network, images.float() / 127.5 - 1), truth)
    assert again == pytest.approx(result["scores"], abs=1e-3)


@pytest.mark.skipif(not {f"{kind}-portraits-64" for kind in KINDS} <= set(zoo.cards()), reason="no readers are shipped yet")
@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_reader_reads_unseen_portraits_as_its_card_says(kind):
    stored = json.loads((zoo.DATA / "results" / f"{kind}.json").read_text())
    assert stored["world"] == portraits.VERSION
    images, truth = readers.draw(256, 990_000, "cpu")
    scores = judges.scores(judges.read(zoo.load(f"{kind}-portraits-64"), images.float() / 127.5 - 1), truth)
    for spec in portraits.ATTRIBUTES:
        expected = stored["scores"][spec.name]
        slack = 4 * math.sqrt(max(expected * (1 - expected), 0.002) / 256) if spec.kind == "discrete" else 0.05
        assert scores[spec.name] > expected - slack, spec.name


def test_a_network_knows_whether_it_was_trained_on_portraits(tmp_path):
    tensors = judges.Reader("judge").state_dict()
    mine, old, silent = (zoo.save(tmp_path / f"{name}.safetensors", tensors, "judge", config={"kind": "judge"}, **world)
                         for name, world in (("mine", {"world": portraits.VERSION}), ("old", {"world": "0"}), ("silent", {})))
    own = zoo.save(tmp_path / "own.safetensors", tensors, "judge", config={"kind": "judge"}, world=None)
    assert zoo.dataset_of(mine) == zoo.dataset_of("stylegan2-portraits-64") == zoo.load(mine).dataset == "portraits"
    for other in (old, silent, own, "stylegan2-ffhq-1024", "neither a name nor a file", judges.Reader("judge"), zoo.load(own)):
        assert zoo.dataset_of(other) is None
