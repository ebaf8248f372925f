"""Distances against the published code's numbers and against closed forms; the command on a small model."""
import json

import pytest
import torch
from PIL import Image

from course_lib import metrics, portraits, styleclip, zoo
from course_lib.metrics import __main__ as cli
from course_lib.networks import classifiers, stylegan2
from golden_data import assert_golden, load

CARD, TENSORS = load("metrics")


def normal(n, f, seed=0, dtype=torch.float32):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("case, tolerance", [("fid", 1e-6), ("fid_rank_deficient", 1e-4)])
def test_frechet_distance_is_that_of_the_official_fid_code(case, tolerance):
    stored = next(entry for entry in CARD["fid"] if entry["name"] == case)
    real, generated = TENSORS[f"{case}/real"], TENSORS[f"{case}/gen"]
    for mine, name in ((metrics.moments(real), "real"), (metrics.moments(generated), "gen")):
        assert_golden(mine[0], TENSORS[f"{case}/mu_{name}"], 1e-6)
        assert_golden(mine[1], TENSORS[f"{case}/sigma_{name}"], 1e-6)
    value = metrics.frechet_distance(real, generated)
    assert value == pytest.approx(stored["value_official_divide_by_n"], rel=tolerance)
    assert value == pytest.approx(stored["value_exact_divide_by_n"], rel=1e-6)
    assert metrics.frechet_distance(metrics.moments(real), generated) == pytest.approx(value, rel=1e-12)


def test_kernel_distance_is_that_of_the_official_kid_code():
    whole, subsets = CARD["kid"]
    real = TENSORS["kid/real"]
    assert metrics.kernel_distance(TENSORS["kid/gen_same_size"], real) == pytest.approx(whole["value_float64"], rel=1e-5)
    assert metrics.kid(real, TENSORS["kid/gen_same_size"], subsets=1) == pytest.approx(whole["value_float64"], rel=1e-5)
    picked = zip(TENSORS["kid/subset_gen"], TENSORS["kid/subset_real"])
    values = [metrics.kernel_distance(TENSORS["kid/gen_other_size"][g], real[r]) for g, r in picked]
    assert sum(values) / len(values) == pytest.approx(subsets["value_float64"], rel=1e-5)


def test_precision_and_recall_are_those_of_the_official_code_point_by_point():
    real, generated = TENSORS["pr/real"].double(), TENSORS["pr/gen"].double()
    for batch_size in (7, 2048):
        mine = metrics.radii(real, 3, batch_size), metrics.radii(generated, 3, batch_size)
        assert_golden(mine[0], TENSORS["pr/real_radii"], 1e-5)
        assert_golden(mine[1], TENSORS["pr/gen_radii"], 1e-5)
        assert torch.equal(metrics.inside(generated, real, mine[0], batch_size), TENSORS["pr/gen_inside_real"])
        assert torch.equal(metrics.inside(real, generated, mine[1], batch_size), TENSORS["pr/real_inside_gen"])
    precision, recall = metrics.precision_recall(TENSORS["pr/real"], TENSORS["pr/gen"])
    assert precision == pytest.approx(CARD["precision_recall"]["precision"], abs=1e-12)
    assert recall == pytest.approx(CARD["precision_recall"]["recall"], abs=1e-12)


def test_frechet_distance_has_the_closed_form_of_diagonal_gaussians():
    mean_a, mean_b = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([3.0, 1.0, 2.0])
    sd_a, sd_b = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 0.5, 3.0])
    expected = (mean_a - mean_b).square().sum() + (sd_a - sd_b).square().sum()
    value = metrics.frechet_distance((mean_a, sd_a.square().diag()), (mean_b, sd_b.square().diag()))
    assert value == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_distance_is_symmetric_and_unmoved_by_rotation_and_shift():
    a, b = normal(300, 12, dtype=torch.float64), 0.5 + 1.7 * normal(200, 12, 1, torch.float64)
    rotation = torch.linalg.qr(normal(12, 12, 2, torch.float64)).Q
    value = metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(b, a) == pytest.approx(value, rel=1e-10)
    assert metrics.frechet_distance(a @ rotation + 5, b @ rotation + 5) == pytest.approx(value, rel=1e-10)
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * value, rel=1e-10)


@pytest.mark.parametrize("n", [200, 8])
def test_a_set_has_no_distance_to_itself_even_when_its_covariance_is_singular(n):
    a = normal(n, 20)
    assert metrics.frechet_distance(a, a) < 1e-9
    assert metrics.precision_recall(a, a) == (1.0, 1.0)


def test_kernel_distance_is_unbiased_where_the_frechet_distance_is_not():
    pairs = [(normal(40, 8, seed), normal(40, 8, 1000 + seed)) for seed in range(200)]
    kernel = torch.tensor([metrics.kernel_distance(a, b) for a, b in pairs])
    assert kernel.mean().abs() < 3 * kernel.std() / len(pairs) ** 0.5
    assert min(metrics.frechet_distance(a, b) for a, b in pairs) > 0


def test_precision_sees_bad_samples_and_recall_sees_missing_modes():
    left, right = normal(400, 4), normal(400, 4, 1) + 20
    real = torch.cat([left, right])
    precision, recall = metrics.precision_recall(real, normal(400, 4, 2))
    assert precision > 0.8 and recall < 0.5
    precision, recall = metrics.precision_recall(left, torch.cat([normal(400, 4, 2), right]))
    assert precision < 0.5 and recall > 0.8


@pytest.mark.parametrize("distance", [metrics.frechet_distance, metrics.kid, metrics.precision_recall])
@pytest.mark.parametrize("wrong, message", [
    (torch.full([9, 4], float("nan")), "NaN or infinity in 9 of its 9 rows"),
    (torch.zeros(0, 4), "too few samples: 0"),
    (torch.zeros(1, 4), "too few samples: 1"),
    (torch.zeros(9, 3), "4 features and the second 3"),
    (torch.zeros(9), r"\[N, F\], not \[9\]")])
def test_a_wrong_set_is_named(distance, wrong, message):
    with pytest.raises(ValueError, match=message):
        distance(normal(9, 4), wrong)


def test_wrong_moments_and_too_few_neighbours_are_named():
    with pytest.raises(ValueError, match=r"second moments have shapes \[4\] and \[3, 3\]"):
        metrics.frechet_distance(normal(9, 4), (torch.zeros(4), torch.eye(3)))
    with pytest.raises(ValueError, match="second set has 3 samples; k = 3 neighbours need at least 4"):
        metrics.precision_recall(normal(9, 4), normal(3, 4))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An untrained generator of 16 px, oracle and judge, as files."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
    zoo.save(folder / "G.safetensors", G.state_dict(), "stylegan2-G", dataset_version=portraits.VERSION)
    zoo.save(folder / "own.safetensors", G.state_dict(), "stylegan2-G", dataset_version=None)
    zoo.save(folder / "D.safetensors", stylegan2.Discriminator(16, channel_base=64, channel_max=8).state_dict(), "stylegan2-D")
    zoo.save(folder / "mapper.safetensors", styleclip.LatentMapper(8, ("coarse",)).state_dict(), "mapper")
    for kind in ("oracle", "judge"):
        zoo.save(folder / f"{kind}.safetensors", classifiers.AttributeClassifier(kind).state_dict(), kind, config={"kind": kind})
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def few_features(monkeypatch):
    """Eight of the 256 features, and few images for kid, so that few portraits need to be drawn."""
    features = classifiers.AttributeClassifier.features
    monkeypatch.setattr(classifiers.AttributeClassifier, "features", lambda self, x: features(self, x)[:, :8])
    monkeypatch.setattr(classifiers.AttributeClassifier, "forward", lambda self, x: _all(self.heads(features(self, x))))
    monkeypatch.setattr(metrics.generators, "KID_LEAST", 24)
    monkeypatch.setattr(metrics.distances, "SUBSET", 24)


def _all(out):
    return {spec.name: o[:, 0] if spec.kind == "continuous" else o
            for spec, o in zip(portraits.ATTRIBUTES, out.split(classifiers._widths(), dim=1))}


def command(*words):
    return cli.main([str(word) for word in words])


def test_the_command_measures_a_file_and_repeats_itself(files, few_features, tmp_path, capsys):
    words = (files / "G.safetensors", "frechet", "precision_recall", "kid", "--samples", 24, "--oracle",
             files / "oracle.safetensors", "--device", "cpu")
    first = command(*words, "--out", tmp_path / "figures.json")
    assert first["frechet"] > 0 and 0 <= first["precision"] <= 1 and 0 <= first["recall"] <= 1
    assert json.loads((tmp_path / "figures.json").read_text()) == first
    out, err = capsys.readouterr()
    assert "frechet" in err and not out and first["reference"] == "portraits"
    second, other = command(*words), command(*words, "--seed", 1)
    assert second["frechet"] == first["frechet"] != other["frechet"]


def test_the_report_holds_every_figure_and_two_grids(files, few_features, tmp_path):
    result = command("report", files / "G.safetensors", "--samples", 24, "--predictions", 8, "--oracle",
                     files / "oracle.safetensors", "--judge", files / "judge.safetensors", "--out", tmp_path / "r.json",
                     "--device", "cpu")
    assert json.loads((tmp_path / "r.json").read_text()) == result
    assert result["world"] == portraits.VERSION
    assert result["floor"]["frechet"] < result["model"]["frechet"]
    assert set(result["attributes"]) == set(result["agreement"]) == {spec.name for spec in portraits.ATTRIBUTES}
    assert Image.open(tmp_path / "r-audit.png").width == 160


def test_a_generator_of_other_pictures_is_compared_with_portraits_only_if_the_user_insists(files, few_features, tmp_path, capsys):
    """Nor does the oracle or the judge measure what they do not know."""
    options = ("--oracle", files / "oracle.safetensors", "--samples", 64, "--device", "cpu")
    judged = ("--judge", files / "judge.safetensors", *options)
    for name in ("frechet", "swd", "ppl_w_end", "separability"):
        with pytest.raises(SystemExit, match="not trained on Portraits.*--reference portraits"):
            command(files / "own.safetensors", name, *(judged if name == "separability" else options))
    with pytest.raises(SystemExit, match="not trained on Portraits"):
        command("report", files / "own.safetensors", *judged, "--out", tmp_path / "r.json")
    assert not capsys.readouterr().out and not list(tmp_path.iterdir())
    assert command(files / "own.safetensors", "swd", "--reference", "portraits", *options)["reference"] == "portraits"
    assert json.loads(capsys.readouterr().out)["swd"]["16"] > 0

    G, oracle = zoo.load(files / "own.safetensors"), zoo.load(files / "oracle.safetensors")
    for measure in (lambda: metrics.evaluate(G, oracle, samples=64), lambda: metrics.frechet(G, oracle, samples=64),
                    lambda: metrics.report(G, oracle, oracle, samples=64)):
        with pytest.raises(ValueError, match='reference="portraits"'):
            measure()
    with pytest.raises(ValueError, match='no reference "ffhq"; choose portraits'):
        metrics.evaluate(G, oracle, samples=64, reference="ffhq")
    distance = lambda a, b: (a - b).square().mean(dim=(1, 2, 3))
    assert "ppl_w_end" in metrics.evaluate(G, metrics=["ppl_w_end"], samples=4, distance=distance, epsilon=0.01)


@pytest.mark.parametrize("metric, samples, message", [
    ("frechet", 256, "256 samples are too few for frechet: the covariance of 256 features.*at least 257"),
    ("kid", 49, "its interval needs 50; take at least 50"), ("precision_recall", 3, "3 neighbours of each; take at least 4"),
    ("separability", 39, "39 samples.*at least 40, and 10,000"), ("swd", 1, "1 sample is too few for swd"),
    ("ppl", 1, "too few for ppl_z_full"), ("frechet", 0, "0 samples are too few")])
def test_too_few_samples_are_refused_before_any_is_drawn(files, metric, samples, message, monkeypatch):
    G, oracle, judge = (zoo.load(files / f"{name}.safetensors") for name in ("G", "oracle", "judge"))
    monkeypatch.setattr(type(G), "forward", lambda *_, **__: pytest.fail("an image was drawn"))
    monkeypatch.setattr(portraits, "render", lambda *_, **__: pytest.fail("a portrait was drawn"))
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(G, oracle, [metric], samples=samples, judge=judge)
    if metric == "frechet":
        with pytest.raises(ValueError, match="too few"):
            metrics.frechet(G, oracle, samples=samples)
        with pytest.raises(ValueError, match="too few"):
            metrics.report(G, oracle, judge, samples=samples)


@pytest.mark.parametrize("words, message", [
    (("--samples", "0"), '"0" must be at least 2'), (("--samples", "2.5"), "not a whole number"),
    (("--samples=-3k",), "at least 2"), (("--device", "tpu"), '"tpu" is no device'), (("--seed", "-1"), "must be at least 0"),
    (("--psi", "nan"), "not a number"), (("--psi", "7"), "at most 2"), (("--epsilon", "0"), "must be above 0"),
    (("--reference", "ffhq"), "portraits"), (("--class", "x"), "not a whole number"), (("--lpips", "one.pth"), "takes two files"),
    (("--out", "."), "is a folder")])
def test_an_option_out_of_its_range_is_one_sentence(files, words, message, capsys):
    with pytest.raises(SystemExit) as end:
        command(files / "G.safetensors", "swd", "--oracle", files / "oracle.safetensors", *words)
    said = capsys.readouterr().err if end.value.code == 2 else end.value.code
    assert message in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("words, message", [
    (("D.safetensors", "swd"), "a Discriminator, which is no generator"),
    (("mapper.safetensors", "swd"), "a latent mapper, which is no generator"),
    (("judge.safetensors", "ppl"), "attributes, which is no generator"),
    (("none.safetensors", "swd"), "neither a file nor a model"), (("G.safetensors", "swd", "--class", "0"), "knows no classes"),
    (("G.safetensors", "swd", "--oracle", "G.safetensors"), "not an oracle")])
def test_networks_of_the_wrong_kind_are_one_sentence(files, words, message):
    words = [files / word if word.endswith("safetensors") else word for word in words]
    with pytest.raises(SystemExit, match=message) as end:
        command(*words[:2], *([] if "--oracle" in words else ["--oracle", files / "oracle.safetensors"]), *words[2:], "--samples",
                "4")
    assert len(end.value.code.splitlines()) == 1


@pytest.mark.parametrize("mode", [None, "report", "blur"])
def test_the_help_shows_every_range_and_default(mode):
    text = " ".join(cli.parser_of(mode).format_help().split())
    for action in cli.parser_of(mode)._actions:
        assert action.help and (action.default in (None, False, "==SUPPRESS==") or f"default: {action.default})" in text)
    assert "2 or more; default: " in text


def test_no_file_that_exists_is_written_over(files, few_features, tmp_path):
    with pytest.raises(SystemExit, match="name a .json for the numbers"):
        command("report", files / "G.safetensors", "--out", tmp_path / "r.png")
    for name in ("r.json", "r.png", "r-audit.png"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(SystemExit, match=f"{name} exists already"):
            command("report", files / "G.safetensors", "--out", tmp_path / "r.json", "--oracle", files / "oracle.safetensors")
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match='no metric "fid"; choose from frechet'):
        metrics.compare(normal(9, 4), normal(9, 4), ["fid"])


def test_attribute_distances_are_total_variation_and_kolmogorov_smirnov():
    one = {spec.name: torch.zeros(4, dtype=torch.int64 if spec.kind == "discrete" else torch.float32)
           for spec in portraits.ATTRIBUTES}
    same = metrics.attribute_distances(one, one)
    assert all(entry["distance"] == 0 for entry in same.values())
    other = dict(one, glasses=torch.tensor([0, 1, 2, 2]), smile=torch.tensor([0.0, 0.0, -0.5, 0.5]))
    found = metrics.attribute_distances(other, one)
    assert found["glasses"]["distance"] == 0.75
    glasses = dict.fromkeys(portraits.table()["glasses"].values, 0.0) | {"none": 0.25, "round": 0.25, "square": 0.5}
    assert found["glasses"]["generated"] == glasses
    assert found["smile"]["distance"] == 0.25


def test_blurring_keeps_a_constant_and_the_mean_of_a_spike():
    spike = torch.zeros(1, 3, 33, 33)
    spike[..., 16, 16] = 1
    blurred = metrics.blur(spike, 2.0)
    assert torch.allclose(metrics.blur(torch.full((1, 3, 9, 9), 0.4), 1.5), torch.tensor(0.4))
    assert torch.allclose(blurred.sum(dim=(2, 3)), torch.ones(1, 3), atol=1e-5)
    rows = torch.arange(33) - 16.0
    assert abs((blurred[0, 0].sum(1) * rows.square()).sum().sqrt() - 2) < 0.05


def test_blur_keeps_the_mean_and_spreads_a_point_by_sigma():
    point = torch.zeros(1, 3, 33, 33)
    point[:, :, 16, 16] = 1
    blurred = metrics.blur(point, 1.0)[0, 1]
    x = torch.arange(33) - 16.0
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(0) * x ** 2).sum() == pytest.approx(1, abs=0.05)
