"""The sliced Wasserstein distance against the published code's numbers and against what is known of it."""
import numpy as np
import pytest
import torch

from course_lib.metrics import swd
from golden_data import assert_golden, load

CARD, TENSORS = load("metrics")
SMALL = CARD["swd"]["small"]


def test_the_pyramid_is_that_of_the_official_code():
    images = TENSORS["swd0/real"].float()
    down = swd.pyramid_down(images)
    assert_golden(down, TENSORS["swd0/pyr_down"], 1e-5)
    assert_golden(swd.pyramid_up(down), TENSORS["swd0/pyr_up"], 1e-5)
    for i, level in enumerate(swd.laplacian_pyramid(images)):
        assert_golden(level, TENSORS[f"swd0/real_pyramid_level{i}"], 1e-5)


def test_the_levels_of_a_pyramid_add_up_to_the_image():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    *levels, total = swd.laplacian_pyramid(images)
    for level in reversed(levels):
        total = level + swd.pyramid_up(total)
    assert torch.allclose(total, images, atol=1e-6)


def test_patches_and_their_distance_are_those_of_the_official_code():
    rng = np.random.RandomState(SMALL["numpy_seed_positions"])
    raw = swd.patches(TENSORS["swd0/real_pyramid_level0"], rng, count=SMALL["nhoods_per_image"])
    assert_golden(raw, TENSORS["swd_small/descriptors_raw"], 1e-5)
    assert_golden(swd.normalised(raw), TENSORS["swd_small/A"], 1e-5)
    value = swd.sliced_distance(TENSORS["swd_small/A"], TENSORS["swd_small/B"],
                                np.random.RandomState(SMALL["numpy_seed_directions"]), repeats=2, directions=8)
    assert value == pytest.approx(SMALL["value_float64"], rel=1e-5)


@pytest.mark.parametrize("case", CARD["swd"]["cases"], ids=lambda case: case["name"])
def test_the_distance_is_that_of_the_official_code(case):
    rng = np.random.RandomState(case["numpy_seed"])
    reals = swd.describe([TENSORS[f"{case['name']}/real"]], rng)
    assert list(swd.compare(reals, reals, rng).values()) == case["real_vs_itself_x1e3"]
    fakes = swd.describe([TENSORS[f"{case['name']}/fake"]], rng)
    value = swd.compare(reals, fakes, rng)
    assert list(value) == [*map(str, case["resolutions"]), "mean"]
    assert list(value.values()) == pytest.approx(case["result_x1e3"], rel=1e-5)
    # In one call the draws come in another order.
    other = swd.sliced_wasserstein([TENSORS[f"{case['name']}/real"]], [TENSORS[f"{case['name']}/fake"]])
    spread = case["over_8_other_seeds"]
    for mine, mean, std in zip(other.values(), spread["mean"], spread["std"]):
        assert abs(mine - mean) < 5 * std


def test_one_seed_gives_one_figure_and_a_shift_or_scale_changes_nothing():
    real, fake = (torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    value = swd.sliced_wasserstein(real.split(4), fake.split(4), 3)
    assert swd.sliced_wasserstein(real.split(4), fake.split(4), 3) == value
    assert swd.sliced_wasserstein(real.split(4), fake.split(4), 4) != value
    moved = swd.sliced_wasserstein(real.split(4), (2 * fake - 1).split(4), 3)
    assert list(moved.values()) == pytest.approx(list(value.values()), rel=1e-3)


def test_the_distance_of_a_shift_along_known_directions_is_known():
    """On one axis, sorted projections of a and a + s differ by |s · axis|; its mean over directions is |s| E|cos|."""
    a = torch.randn(500, 50, generator=torch.Generator().manual_seed(0))
    shift = torch.zeros(50)
    shift[0] = 2
    expected = 2 * np.sqrt(2 / (np.pi * 50))                 # E|cos| ≈ √(2 / πF)
    assert swd.sliced_distance(a, a + shift, np.random.RandomState(0)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("reals, fakes, message", [
    ([], [torch.zeros(1, 3, 16, 16)], "no images"),
    ([torch.zeros(1, 3, 16, 16)], [torch.zeros(1, 3, 32, 32)], "one resolution"),
    ([torch.zeros(1, 3, 16, 16)], [torch.zeros(2, 3, 16, 16)], "as many of both"),
    ([torch.zeros(1, 3, 24, 24)], [torch.zeros(1, 3, 24, 24)], "24×24"),
    ([torch.full((1, 3, 16, 16), float("nan"))], [torch.zeros(1, 3, 16, 16)], "NaN")])
def test_sets_that_cannot_be_compared_are_named(reals, fakes, message):
    with pytest.raises(ValueError, match=message):
        swd.sliced_wasserstein(reals, fakes)
