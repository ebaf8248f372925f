"""Projection as a command, the files of latents, pivotal tuning, and distances without a network."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import film, generate, images, inversion, latents, pivotal_tuning, project, zoo
from course_lib.metrics.perceptual import oracle_distance, pyramid_distance
from course_lib.networks import pggan, stylegan2
from course_lib.styleclip.common import fingerprint


def squares(a, b):
    return (a - b).square().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def G():
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, mapping_layers=2)
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.data.fill_(0.1)
    return G.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model(G, tmp_path_factory):
    return zoo.save(tmp_path_factory.mktemp("model") / "G.safetensors", G.state_dict(), "stylegan2-G")


@pytest.fixture
def pictures(G, tmp_path):
    """Grey, RGBA, 16-bit and turned pictures, and among them two that cannot be projected."""
    folder, rgb = tmp_path / "pictures", images.to_pil(G(torch.randn(1, 8), noise="const")[0]).resize([40, 30])
    folder.mkdir()
    rgb.save(folder / "a.png")
    rgb.convert("L").save(folder / "b.jpg")
    rgb.convert("RGBA").save(folder / "c.png")
    Image.fromarray((np.arange(900).reshape(30, 30) * 70).astype(np.uint16)).save(folder / "d.png")
    turned = Image.Exif()
    turned[274] = 6
    rgb.save(folder / "e.jpg", exif=turned)
    Image.new("RGB", [1, 10_000]).save(folder / "long.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    return folder


def run(model, *words):
    options = "--steps 6 --rates 0.4 --seeds 1 --device cpu".split()
    return project.main([*map(str, words), "--model", str(model), *options])


def test_the_pyramid_distance_sees_a_shift_of_colour_at_every_size_and_a_pattern_only_at_the_finest():
    a = torch.zeros(2, 3, 16, 16)
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert pyramid_distance(a, a + 0.3).tolist() == pytest.approx([0.3, 0.3])
    assert pyramid_distance(a, a + board).tolist() == pytest.approx([1 / 3, 1 / 3])         # of 16, 8 and 4 px
    assert pyramid_distance(a[:1], a[:1]).item() == 0


def test_the_course_s_features_see_a_difference_of_texture_and_their_distance_is_that_of_their_maps():
    network = zoo.load("course-features-64")
    distance, rng = oracle_distance(network), torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 64, 64, generator=rng) * 2 - 1, torch.rand(2, 3, 64, 64, generator=rng) * 2 - 1
    unit = lambda x: x / x.norm(dim=1, keepdim=True)
    expected = sum((unit(x) - unit(y)).square().sum(dim=1).mean(dim=(1, 2)) for x, y in zip(network.maps(a), network.maps(b)))
    assert torch.allclose(distance(a, b), expected, rtol=1e-4) and distance(a, a).abs().max() < 1e-6
    assert distance.name == "features" and [x.shape[-1] for x in network.maps(a[:, :, ::4, ::4])] == [64, 32, 16, 8, 4]


def test_of_several_projections_each_image_keeps_its_nearest(G):
    targets = G(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)), noise="const")
    options = dict(steps=8, noise="const")
    best = inversion.project_best(G, targets, squares, rates=(0.05, 0.8), seeds=(0, 1), frame_every=4, **options)
    each = {(rate, seed): inversion.project(G, targets, squares, lr=rate, seed=seed, **options)
            for rate in (0.05, 0.8) for seed in (0, 1)}
    assert torch.equal(best.distances, torch.stack([found.distances[-1] for found in each.values()]).amin(dim=0))
    for i in range(3):
        found = each[round(best.rates[i].item(), 3), best.seeds[i].item()]
        assert torch.equal(best.ws[i], found.ws[i]) and len(best.frames) == 3
    drawn = G.synthesis(best.ws, noise="const")
    assert torch.allclose(drawn, best.frames[-1], atol=1e-5) and torch.allclose(squares(drawn, targets), best.distances, rtol=1e-4)


def test_pivotal_tuning_draws_the_pictures_and_the_locality_term_keeps_what_is_near(G, capsys):
    rng = torch.Generator().manual_seed(1)
    ws = G.mapping(torch.randn(2, 8, generator=rng))[:, None].expand(-1, G.num_ws, -1)
    targets = G(torch.randn(2, 8, generator=rng), noise="const")
    before, near = fingerprint(G), ws + 0.3 * torch.randn(2, G.num_ws, 8, generator=rng)
    moved = {}
    for locality in (0.0, 10.0):
        tuned, distances = pivotal_tuning.tune(G, ws, targets, squares, steps=25, lr=1e-2, locality=locality, reach=0.5,
                                               progress=True)
        moved[locality] = squares(tuned.synthesis(near, noise="const"), G.synthesis(near, noise="const")).mean()
        assert distances[-1] < 0.7 * distances[0] and len(distances) == 26
        assert torch.allclose(squares(tuned.synthesis(ws, noise="const"), targets).mean(), distances[-1], rtol=1e-4)
        assert f"mean distance={distances[-1]:.4g}]" in capsys.readouterr().err.rpartition("\r")[2]
        assert torch.equal(tuned.mapping(torch.ones(1, 8)), G.mapping(torch.ones(1, 8)))
    assert moved[10.0] < 0.8 * moved[0.0] and fingerprint(G) == before


def test_latents_come_back_from_their_file_and_go_to_no_other_generator(G, model, tmp_path):
    ws = torch.randn(2, G.num_ws, 8)
    file = latents.save(tmp_path / "l.safetensors", G, ws, ["a", "b"], [0.5, 0.25], model="mine", space="w+", distance="squares")
    found = latents.load(file, G)
    assert torch.equal(found.ws, ws) and found.names == ["a", "b"] and found.distances == [0.5, 0.25]
    assert found.about == {"generator": fingerprint(G), "model": "mine", "space": "w+", "distance": "squares"}
    other = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, mapping_layers=2)
    with pytest.raises(ValueError, match="latents of another generator, mine; take that one"):
        latents.load(file, other)
    with pytest.raises(ValueError, match='holds no latents but "stylegan2-G"'):
        latents.load(model, G)


def test_pictures_of_any_kind_are_projected_and_the_rest_is_named(model, pictures, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "pictures" / "a.png"
    result = run(model, pictures, other, "--pti", "--pti-steps", "3", "--video", tmp_path / "film.webp", "--out", out)
    names = ["a", "b", "c", "d", "e", "a-5"]
    assert [row["name"] for row in result["pictures"]] == names == latents.load(out / "latents.safetensors", zoo.load(model)).names
    said = capsys.readouterr().err
    assert "left out" in said and "broken.png" in said and "1 × 10000 px" in said
    assert sum(map(len, result["skipped"].values())) == 2 and json.loads((out / "projection.json").read_text()) == result
    assert {path.name for path in out.iterdir()} == {*(f"{name}.png" for name in names), "projection.json", "latents.safetensors",
                                                     "latents-tuned.safetensors", "tuned.safetensors"}
    assert "pictures 1 to 4 of 6, search 1 of 1 (rate 0.4, seed 0)" in said and result["distance"] == "features + 4 pyramid"
    words = said.strip().splitlines()[-1].partition("python -m course_lib.generate ")[2].replace("FOLDER", str(tmp_path / "drawn"))
    generate.main([*words.split(), "--device", "cpu"])
    assert len(list((tmp_path / "drawn").iterdir())) == 6
    about = zoo.files.metadata(out / "tuned.safetensors")
    assert about["base"] == str(model) and json.loads(about["pictures"]) == names
    tuned = zoo.load(out / "tuned.safetensors")
    assert latents.load(out / "latents-tuned.safetensors", tuned).distances == pytest.approx(result["tuned"], rel=1e-3)
    with Image.open(out / "a.png") as pair, Image.open(tmp_path / "film.webp") as video:
        assert pair.size == (3 * 256 + 16, 256) and video.n_frames > 2


def test_a_stopped_projection_keeps_what_is_done_and_goes_on(model, pictures, tmp_path, monkeypatch, capsys):
    whole, calls = inversion.project_best, []

    def stopped(*args, **options):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return whole(*args, **options)

    monkeypatch.setattr(project.generators, "batch_size", lambda G: 128)                # two pictures at a time
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(inversion, "project_best", stopped)
        run(model, pictures, "--out", tmp_path / "out")
    assert end.value.code == 130 and "2 pictures are kept" in capsys.readouterr().err
    result = run(model, pictures, "--out", tmp_path / "out")
    assert "2 of 5 pictures are done already" in capsys.readouterr().err
    straight = run(model, pictures, "--out", tmp_path / "straight")
    assert result["pictures"] == straight["pictures"]
    (one, about), (other, the_same) = (zoo.read(tmp_path / name / "latents.safetensors") for name in ("out", "straight"))
    assert torch.equal(one["ws"], other["ws"]) and about == the_same
    with pytest.raises(SystemExit, match="holds something else, or the results of other pictures or settings"):
        run(model, pictures, "--space", "w", "--out", tmp_path / "out")


@pytest.mark.parametrize("words, message", [
    (("empty",), "holds no pictures"), (("nothing.png",), r"no picture that can be projected: nothing.png \(there is no such file"),
    (("text.png",), "no picture that can be projected: text.png"),
    (("other.safetensors",), r"projected: other.safetensors \(no picture in a format that is known here"),
    (("text.png", "--video", "film"), "film has no ending; name film.mp4, film.webp or film.gif"),
    (("text.png", "--video", "film.avi"), '".avi" is no format of films'),
    (("text.png", "--distance", "lpips"), "go together"), (("text.png", "--distance", "oracle"), "knows only portraits"),
    (("text.png", "--class", "0"), r"knows no classes, .* leave c \(--class\) out"),
    (("text.png", "--pti-steps", "3"), "--pti-steps needs --pti"), (("text.png", "--locality", "3"), "--locality needs --pti"),
    (("text.png", "--out", "text.png/below"), "is not a folder"),
    (("text.png", "--model", "pggan"), "pggan holds no generator with a mapping network, so there is no W"),
    (("text.png", "--model", "judge-portraits-64"), "holds no generator with a mapping network")])
def test_input_that_cannot_work_is_one_sentence_and_leaves_nothing(words, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("mine")
    (tmp_path / "other.safetensors").write_bytes(b"8\0\0\0\0\0\0\0" + b'{"a":{"dtype"')     # as a bitmap without header begins
    growing = pggan.Generator(16, z_dim=8, channel_base=128, channel_max=8)
    zoo.save(tmp_path / "pggan", growing.state_dict(), "pggan-G")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=message) as end:
        project.main(["--model", str(model), "--out", "out", "--device", "cpu", "--steps", "2", *words])
    assert len(str(end.value.code).strip().splitlines()) == 1 and sorted(tmp_path.rglob("*")) == before


def test_a_film_has_its_frames_and_its_formats(tmp_path):
    frames = [torch.full([3, 9, 12], value, dtype=torch.uint8) for value in (0, 120, 250)]
    with Image.open(film.write(tmp_path / "film.gif", frames, 3, fps=10)) as shown:
        assert shown.n_frames == 3 and shown.size == (12, 9)
