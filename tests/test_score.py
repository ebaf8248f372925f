"""Any two sets of images compared: with the numbers of established packages, with an interval that holds, and with bad input."""
import importlib.util
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import score_golden
from course_lib import dataset, images, metrics, portraits, zoo
from course_lib.metrics import __main__ as cli
from course_lib.metrics import distances, evaluation, extractors, generators, inception, sets
from course_lib.networks import classifiers, stylegan2
from course_lib.networks.image_features import ImageFeatures
from course_lib.perception import procedural, train_features

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")        # torch.jit


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.pt"
    return path, score_golden.stand_in(path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [score_golden.pictures(tmp_path_factory.mktemp("pictures") / str(seed), seed) for seed in (1, 2)]


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory, monkeypatch, course):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(extractors, "COURSE", str(course))
    monkeypatch.setattr(generators, "KID_LEAST", 10)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Image features of random weights, as a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("features") / "features.safetensors"
    return zoo.save(path, ImageFeatures((8, 8, 8, 8, 8)).state_dict(), "features", dataset_version=portraits.VERSION)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained generators of 16 px, one with classes, and an oracle."""
    folder, small = tmp_path_factory.mktemp("networks"), dict(z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
    torch.manual_seed(0)
    for name, classes, version in (("G", 0, portraits.VERSION), ("other", 0, None), ("classes", 2, None)):
        G = stylegan2.Generator(16, c_dim=classes, **small)
        zoo.save(folder / f"{name}.safetensors", G.state_dict(), "stylegan2-G", dataset_version=version)
    zoo.save(folder / "oracle.safetensors", classifiers.AttributeClassifier("oracle").state_dict(), "oracle",
             config={"kind": "oracle"})
    return folder


def evaluated(source, data, *names, **options):
    return metrics.evaluate(source, None, names or ("kid",), data=data, **options)


def command(models, *words):
    return cli.main([str(word) for word in (*words, "--oracle", models / "oracle.safetensors", "--device", "cpu")])


# Equal to other packages

@pytest.mark.parametrize("package, resize", [("clean-fid", "clean"), ("torch-fidelity", "legacy")])
def test_fid_and_kid_of_two_folders_are_those_of_the_package(package, resize, stand_in, folders):
    stored = json.loads(score_golden.STORED.read_text())
    found = evaluated(*folders, "fid", "kid", inception=stand_in[0], resize=resize)
    expected = [stored[package]]
    if importlib.util.find_spec(package.replace("clean-", "clean").replace("-", "_")):
        measure = score_golden.of_clean_fid if package == "clean-fid" else score_golden.of_torch_fidelity
        expected.append(measure(*folders, stand_in[1]))
    for numbers in expected:
        assert found["fid"] == pytest.approx(numbers["fid"], rel=1e-4)
        assert found["kid"]["mean"] == pytest.approx(numbers["kid"], rel=1e-3)
    other = next(name for name in ("clean-fid", "torch-fidelity") if name != package)
    assert found["fid"] != pytest.approx(stored[other]["fid"], rel=1e-3)


def test_the_clean_resize_does_not_alias_and_keeps_images_of_its_own_size():
    fine = torch.zeros(1, 1, 598, 598, dtype=torch.uint8)
    fine[..., ::2] = 255                                    # stripes of one pixel, which no image of half the size can hold
    assert (inception.clean(fine)[..., 2:-2] - 127.5).abs().max() < 0.5
    same = torch.randint(0, 256, [2, 3, 299, 299], dtype=torch.uint8)
    assert torch.equal(inception.clean(same), same.float())


# The interval

def test_the_interval_of_kid_holds_the_distance_in_at_least_nine_of_ten_samples():
    rng = torch.Generator().manual_seed(0)
    draw = lambda n, shift: torch.randn(n, 6, generator=rng) * torch.linspace(1, 0.2, 6) + shift
    for shift in (0.0, 0.2):
        truth = np.mean([distances.kernel_distance(draw(1500, 0), draw(1500, shift)) for _ in range(4)])
        found = [distances.kid_interval(draw(60, 0), draw(60, shift)) for _ in range(80)]
        assert sum(one["low"] <= truth <= one["high"] for one in found) >= 72
        assert np.mean([one["mean"] for one in found]) == pytest.approx(truth, abs=0.02)


def test_the_mean_of_the_interval_is_the_unbiased_distance_and_its_width_that_of_leaving_one_out():
    a, b = torch.randn(12, 5), 0.5 + torch.randn(9, 5)
    found = distances.kid_interval(a, b, z=1)
    assert found["mean"] == pytest.approx(distances.kernel_distance(a, b), abs=1e-12)
    without = lambda x: [torch.cat([x[:i], x[i + 1:]]) for i in range(len(x))]
    spread = lambda values: (len(values) - 1) / len(values) * np.square(np.array(values) - np.mean(values)).sum()
    variance = spread([distances.kernel_distance(part, b) for part in without(a)])
    variance += spread([distances.kernel_distance(a, part) for part in without(b)])
    assert found["high"] - found["mean"] == pytest.approx(variance ** 0.5, rel=1e-9)
    with pytest.raises(ValueError, match="2 samples are too few for an interval"):
        distances.kid_interval(a[:2], b)


# Sets

def test_a_folder_its_zip_and_its_packed_set_are_one_set(folders, tmp_path):
    folder, data = folders
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    dataset.pack(folder, tmp_path / "packed", resolution=32)
    values = [evaluated(source, data, resolution=32)["kid"] for source in (folder, tmp_path / "a.zip", tmp_path / "packed")]
    assert values[0] == values[1] == values[2] and values[0]["mean"] > 0
    assert evaluated(tmp_path / "packed", folder)["resolution"] == 32


def test_a_model_is_drawn_as_often_as_there_are_pictures_and_seen_at_its_resolution(models, folders):
    G = zoo.load(models / "other.safetensors")
    found = evaluated(G, folders[0], "kid", "precision_recall", "swd")
    assert found["images"] == score_golden.COUNT and found["resolution"] == 16
    assert found["features"] == dict.fromkeys(("kid", "precision", "recall"), "course") and found["swd"]["16"] > 0
    assert evaluated(G, folders[0], samples=12)["images"] == 12
    first, second = (evaluated(G, G, samples=20)["kid"] for _ in range(2))
    assert first == second and first["low"] < 0 < first["high"]             # other latents of one generator


def test_a_class_is_compared_with_the_folder_of_its_number(models, tmp_path):
    for name, value in (("bright", 220), ("dark", 30)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (16, 16), (value, value + i, value)).save(tmp_path / "set" / name / f"{i}.png")
    G = zoo.load(models / "classes.safetensors")
    found = {c: evaluated(G, tmp_path / "set", c=c)["kid"] for c in (0, 1)}
    for c, name in enumerate(("bright", "dark")):
        assert found[c] == pytest.approx(evaluated(G, tmp_path / "set" / name, c=c)["kid"], rel=1e-9)
    assert found[0] != found[1] and evaluated(G, tmp_path / "set")["images"] == 24
    first_few, = sets.image_set(tmp_path / "set").batches(6, 16)
    assert len((first_few[:, 0] > 128).flatten(1).any(dim=1).unique()) == 2         # of both classes
    with pytest.raises(ValueError, match="has no class 2; its classes are 0 to 1: bright, dark"):
        sets.image_set(tmp_path / "set", c=2)


def test_features_are_kept_by_what_the_pictures_hold(folders, tmp_path, monkeypatch):
    seen = []
    extractor = extractors.course()
    watched = extractor._replace(features=lambda pixels: seen.append(len(pixels)) or extractor.features(pixels))
    (tmp_path / "set").mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (60 * i, 0, 200)).save(tmp_path / "set" / f"{i}.png")
    (tmp_path / "set" / "5.png").write_text("broken")
    draw = lambda **options: extractors.features_of(watched, sets.image_set(tmp_path / "set"), 5, 16, tmp_path / "cache", **options)
    first = draw()
    assert torch.equal(draw(), first) and len(first) == 4 and sum(seen) == 4        # the second call saw nothing
    again = sets.image_set(tmp_path / "set")
    extractors.features_of(watched, again, 5, 16, tmp_path / "cache")
    assert list(again.skipped) == ["5.png"]                                         # and knows what was left out
    kept, = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert torch.equal(draw(), first) and sum(seen) == 8                            # a damaged file is made anew
    Image.new("RGB", (16, 16), "green").save(tmp_path / "set" / "0.png")
    assert not torch.equal(draw(), first)
    monkeypatch.setattr(zoo, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("No space left on device")))
    Image.new("RGB", (16, 16), "red").save(tmp_path / "set" / "0.png")
    assert len(draw()) == 4


# What is compared with what

def test_a_network_that_knows_only_portraits_sees_nothing_else_unasked(models, folders):
    G, other, oracle = (zoo.load(models / f"{name}.safetensors") for name in ("G", "other", "oracle"))
    for source, data in ((G, folders[0]), (folders[0], "portraits"), (other, "portraits"), (folders[0], folders[1])):
        with pytest.raises(ValueError, match="the oracle knows only portraits; take kid"):
            metrics.evaluate(source, oracle, ("frechet",), data=data, samples=300)
        found = metrics.evaluate(source, oracle, ("kid",), data=data, samples=24, resolution=16)
        assert found["features"] == {"kid": "course"}
    assert metrics.evaluate(G, oracle, ("kid",), samples=24)["features"] == {"kid": "oracle"}
    insisted = metrics.evaluate(folders[0], oracle, ("kid",), data="portraits", reference="portraits")
    assert insisted["features"] == {"kid": "oracle"}


def test_the_command_says_what_its_numbers_compare_with(models, folders, stand_in, capsys):
    found = command(models, folders[0], "kid", "--data", folders[1])
    out, err = capsys.readouterr()
    assert json.loads(out) == found and found["reference"] == str(folders[1]) and found["images"] == 40
    assert "never compare these values with an FID or a KID of Inception" in " ".join(err.split()) and "40 images against 40" in err
    found = command(models, folders[0], "fid", "kid", "--data", folders[1], "--inception", stand_in[0], "--resize", "legacy")
    assert found["features"] == {"fid": "inception, legacy", "kid": "inception, legacy"}
    assert "compare with values of torch-fidelity" in capsys.readouterr().err
    assert set(extractors.SAYS) == {"oracle", "course", *(f"inception, {resize}" for resize in extractors.RESIZES)}


def mixed(folder):
    """Pictures of every kind, and what is none."""
    rng = np.random.default_rng(0)
    for i in range(30):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{i:02d}.png")
    Image.fromarray(rng.integers(0, 256, (20, 20), np.uint8)).save(folder / "grey.png")
    Image.fromarray(rng.integers(0, 65536, (20, 20)).astype(np.uint16)).save(folder / "grey16.png")
    Image.fromarray(rng.integers(0, 256, (20, 20, 4), np.uint8)).save(folder / "alpha.png")
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / "turned.jpg", exif=turned)
    Image.new("RGB", (1, 10_000), "red").save(folder / "thin.png")
    (folder / "broken.png").write_bytes((folder / "00.png").read_bytes()[:60])
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 20)
    (folder / "notes.txt").write_text("none")
    return folder


def test_pictures_that_cannot_be_read_are_left_out_and_named(models, tmp_path, capsys):
    found = command(models, mixed(tmp_path), "kid", "precision_recall", "--data", "portraits", "--resolution", 16)
    err = capsys.readouterr().err
    names = sorted(name for names in found["skipped"].values() for name in names)
    assert names == ["broken.png", "phone.heic", "thin.png"] and (found["images"], found["data_images"]) == (34, 37)
    assert "34 images against 37" in err and "left out: " in err and "pip install pillow-heif" in err


@pytest.mark.parametrize("words, message", [
    (("empty", "kid", "--data", "portraits"), "holds no pictures"), (("portraits", "kid", "--data", "empty"), "holds no pictures"),
    (("one", "kid", "--data", "portraits"), "1 sample is too few for kid"), (("gone", "kid"), "neither a file nor a model"),
    (("portraits", "kid", "--data", "gone"), "neither a file nor a model"),
    (("broken", "kid", "--data", "portraits"), "none of the 12 pictures in .* can be read"),
    (("twelve", "fid", "--data", "portraits"), "fetch https"),
    (("twelve", "ppl", "--data", "portraits"), "ppl_z_full measures a generator"),
    (("twelve", "swd", "--data", "twelve"), "images of one resolution; name it with --resolution"),
    (("portraits", "kid", "--data", "oracle.safetensors"), "attributes, which is no generator"),
    (("bad", "kid", "--data", "portraits"), r"none of the 1 pictures in .*bad can be read: 0.png"),
    (("twelve", "kid", "--data", "twelve", "--epsilon", "1e-2"), "--epsilon needs ppl"),
    (("twelve", "kid", "--data", "twelve", "--resize", "clean"), "--resize needs --inception"),
    (("twelve", "kid", "--data", "twelve", "--judge", "x"), "--judge needs separability"),
    (("twelve", "swd", "--data", "twelve", "--features", "course"), "--features needs frechet, kid or precision_recall"),
    (("twelve", "kid", "--data", "text.txt"), "cannot be read"),
    (("twelve", "frechet", "--data", "twelve"), "knows only portraits"),
    (("twelve", "frechet", "--features", "course", "--data", "twelve"), "12 samples are too few for frechet: the covariance")])
def test_what_cannot_be_scored_is_one_sentence(words, message, models, tmp_path, capsys):
    for name, count in (("empty", 0), ("one", 1), ("broken", 12), ("bad", 1), ("twelve", 12)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (16, 16), (20 * i, 0, 0)).save(tmp_path / name / f"{i}.png")
            if name in ("broken", "bad"):
                (tmp_path / name / f"{i}.png").write_text("none")
    (tmp_path / "text.txt").write_text("no network")
    place = lambda word: models / word if word.endswith(".safetensors") else tmp_path / word
    words = [place(word) if word in ("empty", "one", "broken", "bad", "twelve", "gone") or "." in word else word for word in words]
    with pytest.raises(SystemExit, match=message) as end:
        command(models, *words, "--samples", 2000)
    assert len(end.value.code.splitlines()) == 1 and not capsys.readouterr().out


def test_the_images_that_come_out_of_a_set_are_the_pictures(tmp_path):
    pixels = torch.randint(0, 256, [3, 3, 16, 16], dtype=torch.uint8)
    for i, image in enumerate(pixels):
        images.to_pil(image).save(tmp_path / f"{i}.png")
    by_sum = lambda images: images[images.flatten(1).long().sum(dim=1).argsort()]
    for resolution in (16, None):
        assert torch.equal(by_sum(torch.cat(list(sets.image_set(tmp_path).batches(3, resolution)))), by_sum(pixels))


def test_every_metric_of_sets_is_measured_on_sets(models, folders, stand_in):
    found = evaluated(zoo.load(models / "other.safetensors"), folders[0], *evaluation.OF_SETS, features="inception",
                      inception=stand_in[0])
    assert {"frechet", "precision", "recall", "kid", "fid", "swd"} <= found.keys()
    assert found["fid"] == pytest.approx(found["frechet"] * 40 / 39, rel=0.05) and found["fid"] != found["frechet"]


# The features that come with the course

def test_image_features_are_bounded_means_of_maps_standardized_on_their_training_images():
    torch.manual_seed(0)
    network = ImageFeatures((8, 8, 8, 8, 16)).eval()
    x = torch.rand(64, 3, 64, 64) * 2 - 1
    *fine, last = network.maps(x)
    halves = slice(2), slice(2, 4)
    quarters = [last[:, :, rows, columns].mean(dim=(2, 3)) for rows in halves for columns in halves]
    expected = torch.cat([part.mean(dim=(2, 3)) for part in fine] + [torch.stack(quarters, dim=2).flatten(1)], dim=1)
    unbounded = lambda features: 2 * torch.atanh(features / 2)
    assert torch.allclose(unbounded(network.features(x)), expected, atol=1e-5)
    train_features.standardize(network, images.to_uint8(x))
    found = unbounded(network.features(images.quantized(x)))
    assert torch.allclose(found.mean(dim=0), torch.zeros(96), atol=1e-4)
    assert torch.allclose(found.std(dim=0), torch.ones(96), atol=0.05)


def test_training_writes_image_features_that_the_zoo_loads(tmp_path, capsys):
    result = train_features.train(tmp_path, steps=2, batch=8, data_size=30, held_out=20, command="python …")
    assert json.loads((tmp_path / "results" / "features.json").read_text()) == result and 0 <= result["retrieval"] <= 1
    network = zoo.load(tmp_path / "course-features-64.safetensors")
    assert isinstance(network, ImageFeatures) and (network.std > 0).all() and not network.mean.eq(0).all()
    with pytest.raises(FileExistsError):
        train_features.train(tmp_path, steps=2, batch=8, data_size=30)


def test_procedural_images_fill_the_range_and_repeat_themselves():
    for function in (procedural.dead_leaves, procedural.coloured_noise):
        first, second = (function(3, 32, torch.Generator().manual_seed(1)) for _ in range(2))
        assert torch.equal(first, second) and first.shape == (3, 3, 32, 32) and -1 <= first.min() < -0.3 < 0.3 < first.max() <= 1
        assert not torch.equal(first[0], first[1])


def test_a_window_is_cut_from_the_image_without_resampling():
    ramp = torch.arange(64.0).expand(2, 3, 64, 64) / 64 - 0.5
    shown = train_features.window(ramp)
    steps = shown.diff(dim=3) * 64
    assert shown.shape == (2, 3, 48, 48) and torch.allclose(steps, steps[..., :1].expand_as(steps), atol=1e-3)
    assert ((0.59 < steps.abs()) & (steps.abs() < 1.41)).all() and shown.diff(dim=2).abs().max() < 1e-6


def test_the_stored_scale_rises_with_blur_noise_and_strangers_on_portraits_and_on_photographs():
    from_where = {"blur, σ in px": ("0.5", "0.75"), "noise, σ of 255": ("8",), "share of the other kind": ("0.25", "0.5")}
    kinds = json.loads((zoo.DATA / "results" / "features-scale.json").read_text())["networks"]["course"]
    assert kinds.keys() == {"portraits", "photographs"}
    for kind, changes in kinds.items():
        for what, row in changes.items():
            means = [kid["mean"] for kid in row.values()]
            assert means == sorted(means) and row["0"]["low"] < 0 < row["0"]["high"], f"{kind}, {what}"
            seen = [amount for amount, kid in row.items() if kid["low"] > 0]
            assert seen[0] in from_where[what], f"{kind}, {what}"


def test_the_features_that_come_with_the_course_see_a_slight_blur_of_few_portraits():
    extractor = extractors.of_network(zoo.load("course-features-64"), "course")
    a, b = (torch.cat(list(metrics.rendered(60, seed))) for seed in (1, 2))
    kid = lambda other: metrics.kid_interval(*(extractor.features(images.to_uint8(one)) for one in (a, other)))
    assert kid(b)["low"] < 0.03 and kid(metrics.blur(b, 0.75))["low"] > 0.1
