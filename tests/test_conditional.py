"""Class-conditional and grey generators go wherever others go: their labels are passed through, and their grey is taken for a
colour."""
import pytest
import torch
from PIL import Image

from course_lib import clip, inversion, metrics, portraits, sampling, styleclip, zoo
from course_lib.metrics import __main__ as command
from course_lib.metrics import smoothness, style_analysis
from course_lib.networks import classifiers, pggan, stylegan, stylegan2
from course_lib.networks.identity import IdentityNetwork
from course_lib.styleclip import global_directions
from course_lib.training import loop

TINY = dict(image_size=32, width=4, layers=(1, 1, 1, 1), text_width=64, text_layers=1, embed_dim=16, context=24)


@pytest.fixture(scope="module")
def G():
    """Three classes, grey, 16 px; its classes differ in their images."""
    torch.manual_seed(0)
    network = stylegan2.Generator(16, c_dim=3, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2, img_channels=1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clip_model():
    torch.manual_seed(1)
    return clip.pocket(clip.vocabulary(), **TINY).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def oracle():
    torch.manual_seed(2)
    return classifiers.AttributeClassifier("oracle").eval().requires_grad_(False)


def squares(a, b):
    return (a - b).square().mean(dim=(1, 2, 3))


def generated(G, clip_model, c, folder):
    return torch.cat(list(metrics.generated(G, 4, c=c)))


def path_length(G, clip_model, c, folder):
    return torch.tensor(metrics.perceptual_path_length(G, squares, samples=4, epsilon=0.01, c=c)["mean"])


def projection(G, clip_model, c, folder):
    return inversion.project(G, torch.eye(16).expand(2, 1, 16, 16) - 0.5, squares, steps=1, c=c).ws


def path_lengths(G, clip_model, c, folder):
    return smoothness.lengths(G, 2, 1, c=c)


def embeddings(G, clip_model, c, folder):
    return styleclip.embed_samples(G, clip_model, samples=4, c=c)


def mapper(G, clip_model, c, folder):
    return styleclip.fit(G, clip_model, "a smiling person", steps=2, batch=1, views=1, c=c)[1]["clip"]


def statistics(G, clip_model, c, folder):
    return torch.cat(global_directions.style_deviations(G, torch.Generator().manual_seed(0), 100, c))


def samples(G, clip_model, c, folder):
    loop.save_samples(folder / "grid.png", G, 1, 4, c=c)
    return torch.tensor(list(Image.open(folder / "grid.png").convert("L").getdata()))


@pytest.mark.parametrize("what", [generated, path_length, projection, path_lengths, embeddings, mapper, statistics, samples])
def test_whatever_samples_a_conditional_generator_takes_labels_or_draws_them(G, clip_model, what, tmp_path):
    drawn, one, row, other = (what(G, clip_model, c, tmp_path) for c in (None, 1, [0.0, 1.0, 0.0], 2))
    assert torch.equal(one, row) and one.shape == drawn.shape
    assert not torch.equal(one, other) and not torch.equal(one, drawn)
    for wrong, message in ((3, "no class 3; this generator's are 0 to 2"), (torch.zeros(7, 3), r"labels c have shape \[7, 3\]")):
        with pytest.raises(ValueError, match=message):
            what(G, clip_model, wrong, tmp_path)
    plain = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2, img_channels=1).eval()
    with pytest.raises(ValueError, match="knows no classes, so it takes no labels"):
        what(plain, clip_model, 0, tmp_path)


def test_labels_are_drawn_uniformly_and_other_draws_stay_as_they_were(G):
    c = sampling.labels(G, 3000, rng=torch.Generator().manual_seed(0))
    assert (c.sum(dim=1) == 1).all() and (c.mean(dim=0) - 1 / 3).abs().max() < 0.03
    (z, given), = sampling.draws(G, 5, 7)
    assert torch.equal(z, torch.randn(5, 8, generator=torch.Generator().manual_seed(7))) and given["c"].shape == (5, 3)
    assert sampling.labels(stylegan.Generator(8, z_dim=8, channel_max=8), 3) is None
    with pytest.raises(ValueError, match="NaN"):
        sampling.labels(G, 2, torch.full([3], float("nan")))


def test_an_image_starts_from_the_w_of_its_own_class_alone_and_in_a_batch(G):
    targets, c = torch.linspace(-20, 20, 2 * 256).reshape(2, 1, 16, 16).sin(), torch.eye(3)[[2, 0]]
    run = lambda rows: inversion.project(G, targets[rows], squares, steps=2, c=c[rows]).ws
    whole = run(slice(None))
    assert torch.allclose(run([0])[0], whole[0], atol=1e-5) and torch.allclose(run([1])[0], whole[1], atol=1e-5)


def test_networks_name_labels_that_they_do_not_take(G):
    D = stylegan2.Discriminator(16, c_dim=3, channel_base=64, channel_max=8, img_channels=1)
    z, images = torch.randn(2, 8), torch.zeros(2, 1, 16, 16)
    assert torch.equal(G.mapping(z, torch.eye(3)[1]), G.mapping(z, torch.eye(3)[[1, 1]]))
    assert torch.allclose(D(images, torch.eye(3)[:1]), D(images, torch.eye(3)[[0, 0]]))
    for call in (lambda: G(z), lambda: G(z, torch.eye(3)), lambda: D(images, torch.eye(3)), lambda: D(images, torch.eye(2))):
        with pytest.raises(ValueError, match="labels c"):
            call()
    for network in (pggan, stylegan, stylegan2):
        plain = network.Generator(16, z_dim=8, channel_base=64, channel_max=8)
        assert plain.img_channels == 3
        with pytest.raises(ValueError, match="takes no labels c"):
            plain(z, c=torch.eye(3)[:2])
    with pytest.raises(ValueError, match="takes none"):
        stylegan2.Discriminator(16, channel_base=64, channel_max=8)(torch.zeros(2, 3, 16, 16), torch.eye(3)[:2])


def test_the_images_of_a_grey_generator_are_seen_in_three_equal_channels(G, clip_model, oracle, tmp_path):
    """Networks know only colours: a grey generator's images come to them in colour, and a grey tensor is refused."""
    (z, given), = sampling.draws(G, 3, 0, 0)
    ws, grey = G.mapping(z, **given), G(z, noise="const", **given)
    colour, distance = grey.expand(-1, 3, -1, -1), metrics.oracle_distance(oracle)
    assert grey.shape == (3, 1, 16, 16)
    assert torch.allclose(styleclip.embed_samples(G, clip_model, samples=3, c=0), clip_model.encode_images(colour), atol=1e-6)
    edit = styleclip.optimize(G, clip_model, "a smiling person", ws, steps=1, lr=1e-9, views=1,
                              identity=IdentityNetwork().eval(), id_weight=0.1)
    assert torch.allclose(edit.images, colour, atol=1e-4)
    for see in (clip_model.encode_images, oracle.features, IdentityNetwork().eval()):
        with pytest.raises(ValueError, match=r"\[N, 3, H, [HW]\]"):
            see(grey)
    found = metrics.evaluate(G, oracle, ("swd", "precision_recall"), samples=8, reference="portraits", c=0)
    assert found["swd"]["16"] > 0 and 0 <= found["precision"] <= 1
    assert inversion.project(G, grey, distance, steps=1).ws.shape == (3, 6, 8)
    for measure, message in ((lambda: inversion.project(G, colour, squares, steps=1), r"needs \[N, 1, 16, 16\]"),
                             (lambda: smoothness.invert(G, distance, images=2, steps=1), "images are grey, and the portraits")):
        with pytest.raises(ValueError, match=message):
            measure()


def test_statistics_of_style_channels_say_of_which_class_they_are(G, clip_model, tmp_path):
    found = styleclip.channel_statistics(G, clip_model, tmp_path / "s.safetensors", images=1, c=1)
    assert found.info["c"] == [[0, 1, 0]]


def test_the_command_measures_all_classes_or_one(oracle, tmp_path, capsys):
    torch.manual_seed(0)
    G = stylegan2.Generator(16, c_dim=3, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
    file = zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G", dataset_version=portraits.VERSION)
    measure = lambda *words: command.main([str(file), "swd", "--samples", "8", "--device", "cpu", *words])
    every, one = measure(), measure("--class", "1")
    assert every["class"] is None and one["class"] == 1 and every["swd"] != one["swd"]
    with pytest.raises(SystemExit, match="no class 3; this generator's are 0 to 2"):
        measure("--class", "3")


def test_claims_are_measured_on_all_classes(G, oracle):
    assert style_analysis.latents(G, 4, 0).shape == (4, 6, 8)
    assert not torch.equal(style_analysis.latents(G, 4, 0), style_analysis.latents(G, 4, 0, c=1))
    assert set(style_analysis.style_levels(G, oracle, pairs=4)["A"]) == {"coarse", "middle"}
