"""Portraits, version 2: chance that shows, expressions that can be told, and what version 1 promises."""
import pytest
import torch
import torch.nn.functional as F

from course_lib import portraits
from course_lib.portraits.sheets import sweep

N = 48
TABLE = portraits.table("2")


def person(**values):
    return portraits.attributes("2", **values)


def joined(*batches):
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def some(attributes, *rows):
    return {name: value[list(rows)] for name, value in attributes.items()}


def drawn(attributes, resolution=64, noise=None):
    return portraits.render(attributes, resolution, noise, version="2")


@pytest.fixture(scope="module")
def people():
    return portraits.sample_attributes(N, 5, version="2")


# As in version 1.

def test_version_1_is_the_default_and_another_version_is_named():
    assert portraits.VERSION == "1" and portraits.sample_attributes(1, 0).keys() == portraits.table("1").keys()
    for call in (lambda: portraits.table("3"), lambda: portraits.sample_attributes(2, 0, version="3"),
                 lambda: portraits.render(portraits.attributes(), 64, version="3"), lambda: portraits.attributes("3")):
        with pytest.raises(ValueError, match="no version '3' of Portraits; the versions are '1', '2'"):
            call()
    with pytest.raises(ValueError, match="there is no attribute 'hat_color'"):
        portraits.render(person(), 64)
    with pytest.raises(ValueError, match="missing attribute 'hat_color'"):
        drawn(portraits.attributes())


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(people):
    """Layers work on some portraits of a batch: on the right ones."""
    noise = portraits.sample_noise(N, 5)
    together = drawn(people, noise=noise)
    for row in range(0, N, 5):
        torch.testing.assert_close(drawn(some(people, row), noise=noise[row:row + 1])[0], together[row], atol=1e-4, rtol=0)


def test_windows_cut_nothing_off(people, monkeypatch):
    """The portraits that reach farthest, drawn with windows and without."""
    large = dict(face_width=1.0, jaw=1.0, smile=1.0, mouth_open=1.0, brow_height=1.0, presentation="man", beard="full",
                 glasses="square", freckles="freckles", clothing="turtleneck", cloth="sequins")
    ends = [person(roll=roll, pitch=pitch, yaw=yaw, hairstyle=style, **large)
            for roll in (-15.0, 15.0) for pitch in (-15.0, 15.0) for yaw in (-30.0, 30.0) for style in ("bald", "crop")]
    batch = joined(people, *ends)
    batch["earrings"] = torch.ones_like(batch["earrings"])
    with_windows = drawn(batch)
    from course_lib.portraits import second
    plain = second.layer
    monkeypatch.setattr(second, "layer", lambda s, canvas, draw, window=None, shown=None: plain(s, canvas, draw, None, shown))
    torch.testing.assert_close(with_windows, drawn(batch), atol=1e-5, rtol=0)


def test_small_images_are_means_and_large_ones_show_the_same_portrait(people):
    few = some(people, *range(8))
    base = drawn(few)
    for resolution in (4, 32):
        torch.testing.assert_close(drawn(few, resolution), F.avg_pool2d(base, 64 // resolution), atol=1e-5, rtol=0)
    assert (F.avg_pool2d(drawn(few, 256), 4) - base).abs().mean() < 0.025
    assert (F.avg_pool2d(drawn(some(people, 2), 1024), 16) - base[2]).abs().mean() < 0.025


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cpu_and_gpu_agree_within_one_level(people):
    noise = portraits.sample_noise(N, 5)
    gpu = portraits.render(people, 64, noise, "cuda", "2").cpu()
    assert (drawn(people, noise=noise) - gpu).abs().max() <= 2 / 255


@pytest.mark.parametrize("name", TABLE)
def test_every_attribute_is_visible_at_64_px(name):
    """Each class differs from each other class, and one end from the other, by at least 120 levels (L2)."""
    images = drawn(sweep(name, 2, "2")).flatten(1) * 127.5
    assert (torch.cdist(images, images) + torch.eye(len(images)) * 1e6).min() > 120


def test_samples_are_valid_canonical_and_reach_every_class():
    for correlated in (True, False):
        batch = portraits.sample_attributes(6000, 1, correlated, "2")
        assert portraits.check(batch, "2") == 6000
        again = portraits.canonical(batch, "2")
        for spec in TABLE.values():
            assert torch.equal(batch[spec.name], again[spec.name])
            if spec.kind == "discrete":
                assert len(batch[spec.name].unique()) == len(spec.values), spec.name
            else:
                low, high = torch.quantile(batch[spec.name], torch.tensor([0.02, 0.98]))
                assert high - low > 0.7 * (spec.high - spec.low), spec.name


def test_attributes_are_independent_when_correlations_are_off():
    batch = portraits.sample_attributes(6000, 3, False, "2")
    bound = {"hairstyle", "hat", "hat_color", "hair_texture", "hair_color", "hair_length", "hair_strands", "beard", "beard_color"}
    matrix = torch.corrcoef(torch.stack([batch[name].float() for name in TABLE if name not in bound]))
    assert (matrix - torch.eye(len(matrix))).abs().max() < 5 / 6000**0.5


def test_what_cannot_be_seen_does_not_change_the_image():
    cases = ((dict(hairstyle="bald"), dict(hair_strands=1, hair_texture=2)), (dict(beard="stubble"), dict(beard_color=4)),
             (dict(), dict(hat_color=3, beard_color=4)))
    for shown, hidden in cases:
        one = person(**shown)
        assert torch.equal(drawn(one), drawn(one | {name: torch.tensor([value]) for name, value in hidden.items()})), hidden


def test_the_same_person_keeps_the_identity_and_nothing_else(people):
    again = portraits.same_person(people, 9, version="2")
    assert torch.equal(portraits.identity(people, "2"), portraits.identity(again, "2"))
    assert not [name for name in set(people) - set(portraits.IDENTITY) if torch.equal(people[name], again[name])]


# Chance.

def test_chance_shows_at_64_px():
    """Over portraits of the data set: 0.015 of a range of 2 on average, and 0.10 where it acts, which is above 0.05."""
    found = portraits.noise_std(portraits.sample_attributes(64, 0, version="2"), draws=6, version="2")
    assert found.mean() > 0.015 and found[found > 0.05].mean() > 0.10


def test_the_noise_std_is_that_of_pixels_over_draws():
    batch = joined(person(), person(cloth="flecked"))
    images = torch.stack([drawn(batch, noise=portraits.sample_noise(2, 7 * 1_000_003 + draw)) for draw in range(3)])
    torch.testing.assert_close(portraits.noise_std(batch, 64, 3, 7, version="2"), images.std(0).mean(1), atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="draws is 1"):
        portraits.noise_std(batch, draws=1)


@pytest.mark.parametrize("name, value, top, bottom", [("cloth", "flecked", 48, 64), ("cloth", "knitted", 48, 64),
                                                      ("cloth", "sequins", 48, 64), ("backdrop", "speckled", 0, 8),
                                                      ("backdrop", "confetti", 0, 8), ("hair_strands", "messy", 8, 40)])
def test_how_much_is_left_to_chance_is_an_attribute(name, value, top, bottom):
    """Chance moves the rows of an image that the attribute is about, and without it hardly does."""
    with_it = portraits.noise_std(joined(person(**{name: value}), person()), draws=6, version="2")[:, top:bottom]
    assert with_it[0].mean() > 0.03 and with_it[0].mean() > 3 * with_it[1].mean()


def test_chance_moves_no_face_but_its_freckles_and_stubble():
    smooth = portraits.noise_std(person(hairstyle="bald"), draws=4, version="2")
    assert smooth.max() < 1e-6
    for marks in (dict(freckles="freckles"), dict(beard="stubble", presentation="man")):
        found = portraits.noise_std(person(hairstyle="bald", **marks), draws=4, version="2")[0]
        assert (found > 0.05).sum() > 20 and found[:16].max() < 1e-6 and found[52:].max() < 1e-6
