"""Damaged portraits: what each kind does to a picture, and that a judge learns from them to say what is unreadable."""
import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from course_lib import portraits, train, zoo
from course_lib.images import from_uint8
from course_lib.networks import classifiers
from course_lib.networks.identity import IdentityNetwork
from course_lib.perception import common, damage, train_classifier

ALL = damage.TRAINED | damage.HELD_OUT


@pytest.fixture(scope="module")
def images():
    return from_uint8(common.draw_portraits(8, 5, "cpu")[0])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ALL)
def test_damage_keeps_shape_and_range_follows_its_seed_and_grows_with_its_strength(name, images):
    kind = ALL[name]
    others = images.roll(1, dims=0)
    found, again, other = (damage.damaged(kind, images, others, rng(seed)) for seed in (0, 0, 1))
    assert found.shape == images.shape and found.abs().max() <= 1 and torch.equal(found, again) and not torch.equal(found, other)
    change = lambda strength: (kind.damage(images, others, torch.full([8, 1, 1, 1], float(strength)), rng()) - images).abs().mean()
    assert change(kind.weakest) > 0.005
    if kind.mild:
        assert 0 < change(kind.mild) < change(kind.weakest) / 2 < change(kind.strongest)


def test_kinds_that_test_the_judge_are_none_that_it_is_trained_on():
    functions = [{kind.damage for kind in kinds.values()} for kinds in (damage.TRAINED, damage.HELD_OUT)]
    assert not functions[0] & functions[1] and not damage.TRAINED.keys() & damage.HELD_OUT.keys()


def test_geometry_of_damage_is_exact(images):
    full = lambda value: torch.full([8, 1, 1, 1], float(value))
    assert torch.allclose(damage.shifted(images, full(3), full(-2))[:, :, :-2, 3:], images[:, :, 2:, :-3], atol=1e-5)
    mixed = damage.shuffle(images, None, full(0.5), rng())
    assert torch.equal(mixed.flatten(1).sort(dim=1).values, images.flatten(1).sort(dim=1).values)
    squares = (mixed != images).any(dim=1).view(8, 8, 8, 8, 8).any(dim=(2, 4)).sum(dim=(1, 2))
    assert (squares <= 32).all() and (squares > 16).all()       # some of a plain background look like those in whose place they are
    assert torch.allclose(damage.quantization(images, None, full(1e-4), rng()), images, atol=1e-3)
    coefficients = damage.quantization(images, None, full(4), rng()).view(8, 3, 8, 8, 8, 8).mean(dim=(3, 5)) * 8
    assert torch.allclose(coefficients / 4, (coefficients / 4).round(), atol=1e-3)
    assert (torch.linalg.matrix_rank(damage.low_rank(images, None, full(4), rng()), rtol=1e-4) == 4).all()
    halves = damage.two_halves(images, -images, full(0), rng())
    assert torch.equal(halves[..., :32], images[..., :32]) and torch.allclose(halves[..., 32:], -images[..., 32:], atol=1e-5)
    parts = damage.half_drawn(images, -images, full(0), rng())
    assert ((parts == images) | (parts == -images)).all() and 0.2 < (parts == images).float().mean() < 0.8


def test_a_portrait_is_redrawn_with_one_thing_changed_that_shows():
    attributes, names = portraits.sample_attributes(200, 3), damage.TRAINED["half drawn"].redrawn
    changed = damage.redrawn(attributes, names, rng())
    noise = portraits.sample_noise(200, 0)
    difference = (portraits.render(attributes, 64, noise) - portraits.render(changed, 64, noise)).abs().amax(dim=(1, 2, 3))
    assert (difference > 0.2).all()
    kept = set(portraits.table()) - {*names, "hair_length", "hair_texture", "hair_strands", "hat_color", "beard_color"}
    assert all(torch.equal(attributes[name], changed[name]) for name in kept)
    assert all((attributes[name] != changed[name]).any() for name in names)
    for name in {"hat_color", "beard_color"} & set(portraits.table()):          # what is put on has any colour
        put_on = attributes[name.removesuffix("_color")] == 0
        assert len(changed[name][put_on].unique()) > 2, name


def clip_of_colors():
    """A CLIP whose vectors are mean colours, and whose texts are all red."""
    return SimpleNamespace(encode_images=lambda x: F.normalize(x.mean(dim=(2, 3)) + 2, dim=1),
                           encode_texts=lambda texts: torch.tensor([[1.0, 0, 0]]).expand(len(texts), -1))


@pytest.mark.parametrize("make", [lambda: classifiers.AttributeClassifier("oracle").eval().requires_grad_(False),
                                  lambda: IdentityNetwork(8).eval().requires_grad_(False), clip_of_colors],
                         ids=["classifier", "identity", "clip"])
def test_gradients_move_pixels_within_the_strength_towards_what_the_network_should_see(make, images):
    torch.manual_seed(0)
    network = make()
    others, strength = images.roll(1, dims=0), torch.linspace(0.05, 0.4, 8).view(8, 1, 1, 1)
    found = damage.moved(images, others, strength, rng(), network, steps=4)
    assert ((found - images).abs() <= strength + 1e-5).all() and found.abs().max() <= 1
    embed, wanted = damage._aim(network, images, others, rng())
    assert ((embed(found) * wanted).sum(dim=1) > (embed(images) * wanted).sum(dim=1)).all()


def test_mild_damage_is_hardly_seen(images):
    changed = damage.mildly_damaged(damage.TRAINED, images, rng())
    assert changed.shape == images.shape and 0 < (changed - images).abs().mean() < 0.03


def test_a_comparison_finds_a_fault_wherever_it_is():
    """What counts of its two maps does not depend on the place: a fault moved by eight pixels gives the same number."""
    torch.manual_seed(0)
    comparison = classifiers.Comparison().eval()
    plain, logits = torch.zeros(1, 3, 64, 64), []
    for place in (16, 24, 32):
        faulty = plain.clone()
        faulty[:, :, place:place + 8, 20:28] = 1
        logits.append(comparison(faulty, plain).item())
    assert logits == pytest.approx([logits[0]] * 3, abs=1e-6) and abs(logits[0] - comparison(plain, plain).item()) > 1e-4


def test_a_picture_is_drawn_again_from_what_is_seen_in_it(images, monkeypatch):
    seen = portraits.sample_attributes(8, 5 * 1_000_003)
    monkeypatch.setattr(classifiers, "predict", lambda network, images: seen)
    assert torch.equal(classifiers.drawn_again(None, images), portraits.render(seen, 64))


def test_a_judge_learns_what_is_unreadable_and_a_file_without_that_output_refuses_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(classifiers.LAYERS, "judge", lambda: classifiers.pooled_layers((8, 16, 32, 128)))
    monkeypatch.setattr(classifiers.Comparison.__init__, "__defaults__", ((8, 16, 24),))
    monkeypatch.setattr(damage, "TRAINED", {"noise": damage.Kind(damage.noise, 1.0, 1.5, mild=0.01)})
    monkeypatch.setattr(damage, "HELD_OUT", {"shuffle": damage.HELD_OUT["shuffle"]})
    train.main(["judge", "--steps", "100", "--batch", "24", "--data-size", "96", "--held-out", "40", "--device", "cpu", "--against",
                "--out", str(tmp_path)])
    result = json.loads((tmp_path / "results" / "judge.json").read_text())["readability"]
    assert result["portraits_refused"] < 0.2 and result["accepted"]["noise"] < 0.2
    assert result["accepted_held_out"].keys() == {"shuffle", "moved against course-features-64"}
    network = zoo.load(tmp_path / "judge-portraits-64.safetensors")
    images, _ = common.draw_portraits(40, common.HELD_OUT_SEED, "cpu")
    found = classifiers.unreadable(network, from_uint8(images))
    assert found.shape == (40,) and (found > 0.5).float().mean().item() == pytest.approx(result["portraits_refused"])
    tensors = {name: t for name, t in network.state_dict().items() if not name.startswith("comparison")}
    old = zoo.load(zoo.save(tmp_path / "old.safetensors", tensors, "judge", config={"kind": "judge"}))
    assert torch.equal(classifiers.unreadable(old, from_uint8(images)), torch.zeros(40))
    predicted = [classifiers.predict(net, from_uint8(images[:8])) for net in (network, old)]
    assert all(torch.equal(predicted[0][name], predicted[1][name]) for name in predicted[0])


def test_networks_of_another_version_are_named(tmp_path):
    network = classifiers.AttributeClassifier("oracle")
    network.heads = torch.nn.Linear(256, 7)
    file = zoo.save(tmp_path / "oracle.safetensors", network.state_dict(), "oracle", config={"kind": "oracle"}, dataset_version="0")
    with pytest.raises(ValueError, match=f"7 numbers where version {portraits.VERSION} of Portraits has .* another version"):
        zoo.load(file)
    with pytest.raises(ValueError, match="oracle.safetensors was not trained on version . of Portraits"):
        train_classifier.train("judge", tmp_path, steps=1, batch=4, data_size=8, held_out=8, against=[file])
