"""Perceptual path length: the published code's numbers, generators whose length is known, distances, wrong input."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import metrics, zoo
from course_lib.metrics import path_length, perceptual
from course_lib.networks import classifiers, pggan, stylegan, stylegan2
from golden_data import assert_golden, filled, load

CARD, TENSORS = load("metrics")
BUFFERS = ("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1")


def squares(a, b):
    return (a - b).square().flatten(1).sum(dim=1)


def stand_in(a, b):
    """The distance of the golden cases."""
    return squares(*(F.adaptive_avg_pool2d((x + 1) * 127.5, 16) for x in (a, b)))


@pytest.mark.parametrize("case", CARD["ppl"], ids=lambda case: case["name"])
def test_path_lengths_are_those_of_the_official_code(case):
    info = load(case["networks"].removesuffix(".json"))[0]
    G = zoo.generator_from_nvidia(filled(info["state_G"], info["fill"]["G_seed"]), info["config"]["conv_clamp"]).double()
    name, lengths = case["name"], []
    for i, seed in enumerate(case["torch_seeds"]):
        rng = torch.Generator().manual_seed(seed)
        t = torch.rand(case["batch"], generator=rng) * (case["sampling"] == "full")
        z0, z1 = torch.randn(2 * case["batch"], 16, generator=rng).chunk(2)
        noise = [torch.randn(size, size, generator=rng).double() for size in (4, 8, 8, 16, 16)]
        part = slice(i * case["batch"], (i + 1) * case["batch"])
        assert torch.equal(z0, TENSORS[f"{name}/z0"][part]) and torch.equal(z1, TENSORS[f"{name}/z1"][part])
        if name == "ppl0":
            for mine, layer in zip(noise, BUFFERS, strict=True):
                assert torch.equal(mine.float(), TENSORS[f"ppl0/noise_batch{i}/synthesis.{layer}.noise_const"])
        with torch.no_grad():
            lengths.append(path_length.path_lengths(G, stand_in, z0.double(), z1.double(), t.double(), case["space"],
                                                    epsilon=case["epsilon"], noise=noise))
    lengths = torch.cat(lengths)
    assert_golden(lengths, TENSORS[f"{name}/dist_float64"], 1e-6)
    assert path_length.trimmed_mean(lengths)[0] == pytest.approx(case["ppl_float64"], rel=1e-6)


def test_the_percentile_filter_is_the_official_one():
    stored = CARD["percentile_filter"]
    assert path_length.trimmed_mean(TENSORS["percentile_filter/dist"])[0] == pytest.approx(stored["mean"], rel=1e-6)


def test_the_interval_of_the_trimmed_mean_holds_the_truth_as_often_as_it_says():
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(1000, 500, generator=rng, dtype=torch.float64).exp()
    truth = path_length.trimmed_mean(torch.randn(4_000_000, generator=rng).exp())[0]
    held = [low < truth < high for _, low, high in map(path_length.trimmed_mean, values)]
    assert 0.92 < sum(held) / len(held) < 0.975


class Linear(nn.Module):
    """An image that is a linear map of w, and w one of z: lengths are known."""
    z_dim, resolution, num_ws = 48, 4, 1

    def __init__(self, orthonormal=False):
        super().__init__()
        rng = torch.Generator().manual_seed(5)
        draw = [torch.randn(48, 48, generator=rng, dtype=torch.float64) for _ in range(2)]
        self.a, self.b = (nn.Parameter(torch.linalg.qr(m).Q if orthonormal else m) for m in draw)
        self.noise, self.w_avg = 0.0, torch.zeros(48)

    def mapping(self, z):
        return z @ self.a.T

    def synthesis(self, w, noise="random"):
        noise = self.noise * torch.randn(len(w), 3, 4, 4, dtype=w.dtype)
        return (w @ self.b.T).reshape(-1, 3, 4, 4) + noise

    def forward(self, z, psi=1, **options):
        return self.synthesis(self.mapping(z), **options)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_a_linear_generator_has_the_length_of_its_matrix(epsilon):
    """In W, d = |B (w₁ − w₀)|² at every t, so the expectation is 2 |B A|²."""
    G = Linear()
    found = metrics.perceptual_path_length(G, squares, epsilon=epsilon, samples=4000)
    expected = 2 * (G.b @ G.a).square().sum().item()
    assert found["low"] < found["mean"] < found["high"]
    assert found["mean"] == pytest.approx(expected, rel=0.03)
    z0, z1 = torch.randn(2, 9, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    single = path_length.path_lengths(G, squares, z0, z1, torch.rand(9), epsilon=1e-4)
    assert torch.allclose(single, ((z1 - z0) @ (G.b @ G.a).T).square().sum(dim=1), rtol=1e-6)


def test_a_term_is_the_distance_of_one_step_of_the_way_over_its_square():
    """On a way with speed 2 t |b − a| and with the pixels' squares as distance: (2 t + ε)² |B (b − a)|²."""
    G = Linear()
    a, b = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    terms = path_length.path_terms(G.synthesis, squares, lambda a, b, t: torch.lerp(a, b, t ** 2), a, b, t, epsilon=0.1)
    assert torch.allclose(terms, (2 * t[:, 0] + 0.1) ** 2 * ((b - a) @ G.b.T).square().sum(dim=1), rtol=1e-9)


def test_in_z_a_rotation_has_the_angle_between_latents_as_its_length():
    """Slerp walks at the constant speed θ, and random directions are nearly orthogonal: E θ² = (π/2)² + 1/D."""
    G = Linear(orthonormal=True)
    full, end = (metrics.perceptual_path_length(G, squares, space="z", sampling=sampling, samples=2000)["mean"]
                 for sampling in ("full", "end"))
    assert full == pytest.approx((torch.pi / 2) ** 2 + 1 / 48, rel=0.01)
    assert end == pytest.approx(full, rel=1e-6)


def small(conv_noise=0.5):
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.data.fill_(conv_noise)
    return G.eval()


def test_noise_is_the_same_within_a_pair_and_fresh_between_pairs():
    """A linear map of zero leaves only the noise to be seen."""
    G, seen = Linear(), []
    G.noise, G.b.data = 1.0, torch.zeros_like(G.b)
    metrics.perceptual_path_length(G, lambda a, b: seen.append((a, b)) or squares(a, b), samples=6, batch_size=3)
    assert all(torch.equal(a, b) for a, b in seen)
    assert len(torch.cat([a for a, _ in seen]).unique(dim=0)) == 6
    quiet = metrics.perceptual_path_length(small(0.0), squares, samples=40)["mean"]
    assert metrics.perceptual_path_length(small(), squares, samples=40)["mean"] < 100 * quiet


def test_one_seed_gives_one_figure_and_leaves_generator_and_random_state_alone():
    G, state = small(), torch.get_rng_state()
    one, two, other = (metrics.perceptual_path_length(G, squares, samples=40, seed=seed) for seed in (0, 0, 1))
    assert one == two and one["mean"] != other["mean"]
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.dtype for p in G.parameters()} == {torch.float32}


def test_small_steps_need_double_precision():
    """Without noise, which float32 and float64 draw differently."""
    rng = torch.Generator().manual_seed(0)
    z0, z1, t = *torch.randn(2, 64, 8, generator=rng), torch.rand(64, generator=rng)
    of = lambda G, dtype, epsilon: path_length.path_lengths(G.to(dtype), squares, z0.to(dtype), z1.to(dtype), t,
                                                            epsilon=epsilon).detach()
    G = small(conv_noise=0.0)
    error = lambda x, y: (x / y - 1).abs().max()
    exact, single, wide = of(G, torch.float64, 1e-4), of(G, torch.float32, 1e-4), of(G, torch.float32, 1e-2)
    assert error(single, exact) > 3e-3 > 3e-4 > error(wide, of(G, torch.float64, 1e-2))


@pytest.mark.parametrize("network", [pggan, stylegan, stylegan2], ids=lambda m: m.__name__.rsplit(".")[-1])
def test_every_family_is_measured_in_double_precision(network):
    torch.manual_seed(0)
    G = network.Generator(16, z_dim=8, channel_base=64, channel_max=8).eval()
    seen = []
    distance = lambda a, b: seen.append(a.dtype) or squares(a, b)
    exact = metrics.perceptual_path_length(G, distance, space="z", samples=16)["mean"]
    other = metrics.perceptual_path_length(G, distance, space="z", samples=16, epsilon=2e-4)["mean"]
    assert exact == pytest.approx(other, rel=0.02)
    assert set(seen) == {torch.float64}
    if network is pggan:
        with pytest.raises(ValueError, match="there is no W"):
            metrics.perceptual_path_length(G, distance, space="w", samples=16)
    assert metrics.evaluate(G, metrics=["ppl"], samples=8, distance=distance).keys() == {
        f"ppl_{space}_{sampling}" for space in ("z" if network is pggan else "zw") for sampling in ("full", "end")}


def test_truncation_shortens_paths_and_the_crop_leaves_the_face():
    G = Linear()
    whole = metrics.perceptual_path_length(G, squares, samples=50)["mean"]
    assert metrics.perceptual_path_length(G, squares, samples=50, psi=0.5)["mean"] == pytest.approx(whole / 4, rel=1e-6)
    seen = []
    metrics.perceptual_path_length(small(), lambda a, b: seen.append(a.shape) or squares(a, b), samples=2, crop=True)
    assert seen == [(2, 3, 8, 8)]


@pytest.mark.parametrize("options, message", [
    ({"epsilon": 0}, "epsilon is 0; a step"), ({"epsilon": -1e-4}, "must be greater than 0"),
    ({"samples": 0}, "0 samples give no mean"), ({"samples": 1}, "at least 2"),
    ({"space": "s"}, 'space is "s"; choose "z" or "w"'), ({"sampling": "middle"}, 'choose "full" or "end"'),
    ({"distance": lambda a, b: squares(a, b) * float("nan")}, "NaN or infinite for 4 of 4 pairs; 0 of their images"),
    ({"distance": lambda a, b: squares(a, b).mean()}, r"gave \[\] for 4 pairs")])
def test_wrong_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.perceptual_path_length(Linear(), **{"distance": squares, "samples": 4, **options})


def test_the_oracle_distance_is_a_smooth_distance_with_a_name():
    torch.manual_seed(0)
    oracle = classifiers.AttributeClassifier("oracle").eval()
    distance = perceptual.oracle_distance(oracle)
    a, b = torch.rand(2, 3, 3, 64, 64) * 2 - 1
    assert distance.name == "oracle"
    assert torch.equal(distance(a, a), torch.zeros(3)) and (distance(a, b) > 0).all()
    assert torch.allclose(distance(a, b), distance(b, a)) and torch.allclose(distance(a, b)[1:], distance(a[1:], b[1:]))
    # Quadratic near 0, so that dividing by ε² has a limit.
    near, nearer = (distance(a.double(), a.double() + step * b.double()) / step ** 2 for step in (1e-3, 1e-4))
    assert torch.allclose(near, nearer, rtol=0.05) and near.dtype == torch.float64
    assert [list(x.shape[1:]) for x in oracle.maps(a)] == [[32, 64, 64], [64, 32, 32], [96, 16, 16], [128, 8, 8], [128, 4, 4]]
    assert torch.allclose(F.silu(oracle.dense(oracle.maps(a)[-1].flatten(1))), oracle.features(a), atol=1e-6)
    found = metrics.perceptual_path_length(small(), distance, samples=4)
    assert found["distance"] == "oracle" and found["mean"] > 0


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory):
    """Weights in the two published layouts, random."""
    from torchvision.models.vgg import cfgs, make_layers
    folder = tmp_path_factory.mktemp("lpips")
    torch.manual_seed(0)
    vgg = {f"features.{key}": t for key, t in make_layers(cfgs["D"]).state_dict().items()}
    torch.save(vgg | {"classifier.0.bias": torch.zeros(3)}, folder / "vgg16.pth")
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 512, 512))},
               folder / "vgg.pth")
    return folder


def test_lpips_reads_the_published_files_and_is_the_sum_of_equation_1(lpips_files):
    from torchvision.models.vgg import cfgs, make_layers
    distance = perceptual.lpips_distance(lpips_files / "vgg.pth", lpips_files / "vgg16.pth")
    a, b = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    layers = make_layers(cfgs["D"])
    vgg = torch.load(lpips_files / "vgg16.pth", weights_only=True)
    layers.load_state_dict({key.removeprefix("features."): t for key, t in vgg.items() if "features" in key})
    expected = torch.zeros(2)
    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]]).view(2, 3, 1, 1)
    with torch.no_grad():
        for last, w in zip((4, 9, 16, 23, 30), torch.load(lpips_files / "vgg.pth").values()):
            x, y = (layers[:last]((image - shift) / scale) for image in (a, b))
            x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
            expected += ((x - y).nan_to_num() ** 2 * w).sum(dim=1).mean(dim=(1, 2))
    assert torch.allclose(distance(a, b), expected, rtol=1e-4)
    assert distance.name == "LPIPS-VGG16" and torch.equal(distance(a, a), torch.zeros(2))


def test_missing_or_wrong_lpips_files_are_named_and_no_code_is_run(lpips_files, tmp_path):
    with pytest.raises(FileNotFoundError, match="LPIPS needs vgg.pth"):
        perceptual.lpips_distance(tmp_path / "none.pth", lpips_files / "vgg16.pth")
    with pytest.raises(ValueError, match="not the expected network: lin0"):
        perceptual.lpips_distance(lpips_files / "vgg16.pth", lpips_files / "vgg16.pth")
    torch.save(Linear(), tmp_path / "code.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    torch.save({"features.0.weight": "a word"}, tmp_path / "words.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name, message in (("code", "is no file of weights"), ("text", "is no file of weights"), ("empty", "is no file of weights"),
                          ("list", "is not the expected network: features.0.weight"), ("words", "is not the expected network")):
        with pytest.raises(ValueError, match=f"{name}.pth {message}"):
            perceptual.lpips_distance(lpips_files / "vgg.pth", tmp_path / f"{name}.pth")
