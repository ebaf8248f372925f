"""The measurements of StyleGAN's claims, on generators whose answer is known, and one comparison from end to end."""
import functools
import json
import math
import sys
from types import SimpleNamespace

import pytest
import torch

from course_lib import portraits, zoo
from course_lib.metrics import style_analysis, swd
from course_lib.networks import stylegan

DISCRETE = next(spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete")
CONTINUOUS = next(spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous")


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    G = stylegan.Generator(64, 8, 8, 256, 8).eval().requires_grad_(False)
    for _, layer, _ in G.synthesis.style_layers():
        layer.noise_strength.fill_(0.5)
    return G


@pytest.fixture(scope="module")
def judge():
    return zoo.load("judge-portraits-64")


def test_levels_follow_the_papers_resolutions():
    layers = lambda resolution: style_analysis.layers_of(SimpleNamespace(num_ws=2 * resolution.bit_length() - 4))
    assert layers(1024) == {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 18)}
    assert layers(64) == {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 10)}
    assert layers(16) == {"coarse": (0, 4), "middle": (4, 6)}


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=lambda spec: spec.kind)
def test_following_is_one_for_the_source_and_zero_for_the_other_and_for_chance(spec):
    rng = torch.Generator().manual_seed(0)
    draw = lambda: torch.randint(0, 3, [4000], generator=rng) if spec.kind == "discrete" else torch.randn(4000, generator=rng)
    a, b, unrelated, some = draw(), draw(), draw(), torch.rand(4000, generator=rng)
    assert style_analysis._transferred(spec, b, a, b) == pytest.approx(1)
    assert style_analysis._transferred(spec, a, a, b) == pytest.approx(0, abs=0.02)
    assert style_analysis._transferred(spec, unrelated, a, b) == pytest.approx(0, abs=0.05)
    assert style_analysis._transferred(spec, torch.where(some < 0.25, b, a), a, b) == pytest.approx(0.25, abs=0.05)
    assert style_analysis._transferred(spec, torch.where(some < 0.25, b, unrelated), a, b) == pytest.approx(0.25, abs=0.05)


def test_all_layers_from_b_make_b_and_the_levels_divide_them(judge, monkeypatch):
    G = zoo.load("stylegan2-portraits-64")
    found = style_analysis.style_levels(G, judge, pairs=12)
    for table in (found["A"], found["B"]):
        assert set(table) == {"coarse", "middle", "fine"} and set(table["fine"]) == {spec.name for spec in portraits.ATTRIBUTES}
    monkeypatch.setattr(style_analysis, "LEVELS", {"everything": (4, 64)})
    whole = style_analysis.style_levels(G, judge, pairs=12)
    assert all(share == pytest.approx(1, abs=1e-5) or math.isnan(share) for share in whole["B"]["everything"].values())
    of_a = [whole["A"]["everything"][spec.name] for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
    assert of_a == pytest.approx([0] * len(of_a), abs=1e-5)


def test_noise_moves_pixels_only_where_it_is_drawn_anew(generator, judge):
    effects = style_analysis.noise_effects(generator, judge, n=6)
    assert set(effects) >= {"layer 0", "layer 9", "all", "coarse", "middle", "fine"}
    assert 0 < effects["layer 9"]["pixels"] < effects["all"]["pixels"]
    assert effects["fine"]["pixels"] == pytest.approx(math.hypot(effects["layer 8"]["pixels"], effects["layer 9"]["pixels"]),
                                                      rel=0.2)
    silent = stylegan.Generator(64, 8, 8, 256, 8).eval().requires_grad_(False)
    effects = style_analysis.noise_effects(silent, judge, n=4)
    for still in (effects["all"], effects["none"]):
        assert still["pixels"] == 0 and set(still["attributes"].values()) == {0.0}


def test_without_noise_is_compared_with_the_first_draw(judge):
    """The images are one colour, plus the noise of every layer: without it half of the deviation between two draws goes."""
    class Plus(torch.nn.Module):
        num_ws, z_dim, resolution = 2, 4, 64

        def __init__(self):
            super().__init__()
            self.register_parameter("zero", torch.nn.Parameter(torch.zeros([]), requires_grad=False))
            self.layers = [SimpleNamespace(noise_const=torch.zeros(64, 64)) for _ in range(2)]
            self.mapping, self.synthesis = lambda z: z, self
            self.style_layers = lambda: [(f"{i}", layer, i) for i, layer in enumerate(self.layers)]

        def forward(self, ws, noise):
            return 0.1 * sum(n.expand(-1, 3, -1, -1) for n in noise) if noise != "none" else torch.zeros(len(ws), 3, 64, 64)

    effects = style_analysis.noise_effects(Plus(), judge, n=3)
    assert effects["all"]["pixels"] == pytest.approx(0.1 * 2 ** 0.5, rel=0.05)
    assert effects["none"]["pixels"] == pytest.approx(0.1, rel=0.05) and max(effects["none"]["attributes"].values()) > 0


def test_the_deviation_of_a_pixel_is_that_over_the_draws():
    images = torch.zeros(2, 3, 3, 4, 5)
    images[1, 0, :, 1, 2], images[:, 1] = torch.tensor([3.0, 0, 4]), 0.7
    found = style_analysis.pixel_deviation(images)
    assert found.shape == (3, 4, 5) and found[0, 1, 2] == pytest.approx((25 / 3 / 2) ** 0.5) and (found > 0).sum() == 1
    draws = 0.3 * torch.randn(2000, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert style_analysis.pixel_deviation(draws) == pytest.approx(0.3, abs=0.03)
    whole = style_analysis.pixel_deviation(draws[:2]).square().mean().sqrt()
    assert whole == pytest.approx((draws[0] - draws[1]).square().mean().div(2).sqrt().item())


def test_mixed_images_are_those_of_two_latents(generator):
    images = torch.cat(list(style_analysis.mixed_images(generator, 5, seed=3)))
    assert images.shape == (5, 3, 64, 64)
    assert torch.cat(list(style_analysis.mixed_images(generator, 2, seed=3))).shape == (2, 3, 64, 64)


def test_a_spike_is_seen_through_adain_and_a_calm_map_has_none(generator):
    calm = style_analysis.outliers(generator, n=4)
    assert len(calm) == 10 and all(row["maps"] < 0.5 for row in calm.values())
    maps = torch.randn(2, 3, 32, 32)
    maps[0, 1, 4, 4] = 500
    peaks = style_analysis._peaks(maps)
    assert peaks[0, 0] > 10 > peaks[1, 0] and peaks[0, 1] == pytest.approx(1 / 3) and peaks[0, 2] > 20 > peaks[1, 2]


def test_entropy_counts_diversity():
    same = {spec.name: torch.zeros(100, dtype=torch.int64) for spec in portraits.ATTRIBUTES}
    halves = {spec.name: torch.arange(100) % 2 for spec in portraits.ATTRIBUTES}
    assert style_analysis.entropy(same) == 0 and style_analysis.entropy(halves) == pytest.approx(1)


TINY = ["--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--data-size", "16", "--batch", "8", "--images", "192",
        "--checkpoint-every", "96", "--log-every", "8", "--device", "cpu", "--dtype", "float32"]


def comparison(name, runs, tmp_path, monkeypatch, *options):
    """Run a comparison of experiments/compare.py with other trainings; returns its result."""
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    monkeypatch.delitem(sys.modules, "compare", raising=False)
    import compare
    monkeypatch.setattr(compare, "COMPARISONS", {name: runs(compare)})
    monkeypatch.setattr(compare, "INVERSION", dict(images=2, steps=10))
    monkeypatch.setattr(swd, "patches", functools.partial(swd.patches, count=16))
    compare.main([name, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / f"{name}.json"), "--seeds", "0", "--parallel",
                  "2", "--samples", "260", *options])
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert result["world"] == portraits.VERSION and result["seeds"] == [0] and f"compare.py {name}" in result["command"]
    assert result["device"] == (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")
    return result["runs"]


def test_a_comparison_trains_measures_and_writes_its_result(tmp_path, monkeypatch, small_zoo_classifiers):
    runs = comparison("growing", lambda compare: {"grown": ["pggan", *compare.GROWING]}, tmp_path, monkeypatch,
                      "--train", "--resolution", "16", *TINY, "--stable", "32", "--fade", "64")
    curve = runs["grown"]["0"]["curve"]
    assert [row["images"] for row in curve] == [96, 192] and curve[-1]["resolution"] == 16
    assert all(row["frechet"] > 0 and row["activation"] > 0 and row["swd"] > 0 for row in curve)
    assert {row["alpha"] for row in runs["grown"]["0"]["log"]} > {1.0}


def test_a_comparison_of_stylegan2_measures_how_smooth_it_is(tmp_path, monkeypatch, small_zoo_classifiers):
    runs = comparison("path_length", lambda compare: {"not regularized": compare.COMPARISONS["path_length"]["not regularized"]},
                      tmp_path, monkeypatch, "--laptop", "--train", *TINY, "--w-dim", "8", "--mapping-layers", "2")
    run = runs["not regularized"]["0"]
    assert [row["images"] for row in run["curve"]] == [96, 192] and run["curve"][-1]["resolution"] == 16
    assert run["lengths"]["mean"] > 0 and 0 < run["lengths"]["across_latents"] < run["lengths"]["all"] < 2
    assert all(value > 0 for value in run["ppl"].values()) and set(run["inversion"]) == {"generated", "portraits"}


def test_the_tables_of_styles_and_noise_are_measured_part_by_part(tmp_path, monkeypatch, small_zoo_classifiers):
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    import styles as experiment
    torch.manual_seed(0)
    G = stylegan.Generator(16, 8, 8, 64, 8)
    file, out = zoo.save(tmp_path / "small.safetensors", G.state_dict(), "stylegan-G"), tmp_path / "results" / "styles.json"
    options = ["--pairs", "8", "--images", "3", "--samples", "260", "--out", str(out), "--only"]
    experiment.main([str(file), *options, "levels", "truncation"])
    experiment.main([str(file), *options, "noise", "outliers"])
    result = json.loads(out.read_text())
    figures = result["models"]["small"]
    assert result["world"] == portraits.VERSION and result["command"].endswith(
        "styles.py small --pairs 8 --images 3 --samples 260")
    counts = {"pairs": 8, "truncation_samples": 260, "noise_portraits": 3, "outliers_portraits": 3}
    assert {key: figures.pop(key) for key in counts} == counts
    assert set(figures) == {*experiment.PARTS, "levels_of_a"}
    assert set(figures["levels"]) == set(figures["levels_of_a"]) == {"coarse", "middle"} and "none" in figures["noise"]
    assert [row["psi"] for row in figures["truncation"]] == list(experiment.PSI) and figures["truncation"][0]["recall"] == 0
    assert figures["noise"]["all"]["pixels"] == 0, "its noise strengths are still 0"
    assert figures["outliers"]["b16.conv1"]["peak"] > 1


@pytest.fixture
def small(monkeypatch):
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    import small
    return small


def test_a_background_of_two_colors_is_told_from_one(small):
    def frames(color):
        return portraits.render(portraits.attributes(background=color), 64)
    first, second = (frames(color) for color in ("cream", "sky"))
    halves = torch.cat([first[..., :32], second[..., 32:]], dim=3)
    assert small.second_color(torch.cat([first, second])).max() < small.SEVERAL / 2
    assert small.second_color(halves).item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_the_small_measurements_write_their_results(small, tmp_path):
    for name, options in (("backgrounds", ["--samples", "4"]), ("fade", ["--steps", "2"])):
        small.main([name, *options, "--out", str(tmp_path / f"{name}.json")])
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert result["world"] == portraits.VERSION and result["command"].endswith(f"small.py {name} {' '.join(options)}")
    assert all(errors[1] < errors[0] for errors in result["runs"]["at once"].values())
