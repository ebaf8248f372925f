"""Projection: generated images come back, images do not influence each other, the penalty's mathematics, wrong input."""
import copy

import pytest
import torch

from course_lib import inversion
from course_lib.networks import pggan, stylegan, stylegan2
from course_lib.training import schedule


def squares(a, b):
    return (a - b).square().mean(dim=(1, 2, 3))


def generator(noise_strength):
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, mapping_layers=2)
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.data.fill_(noise_strength)
    return G.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def G():
    return generator(0.1)


@pytest.fixture(scope="module")
def targets(G):
    return G(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)), noise="none")


@torch.no_grad()
def rendered(G, found):
    return G.synthesis(found.ws, noise=found.noise)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_generated_images_come_back(space):
    """Without noise an image has one w; it is found again, and in W+ the same image."""
    G = generator(0.0)
    w = G.mapping(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)))
    targets = G.synthesis(w)
    found = inversion.project(G, targets, squares, space=space, steps=250)
    assert found.ws.shape == (3, G.num_ws, 8) and [x.shape[1:] for x in found.noise] == [(1, s, s) for s in (4, 8, 8, 16, 16)]
    assert found.distances.shape == (251, 3) and found.distance == "squares"
    assert (found.distances[-1] < (1e-5 if space == "w" else 2e-2) * found.distances[0]).all()
    assert torch.allclose(squares(rendered(G, found), targets), found.distances[-1], rtol=1e-5)
    if space == "w":
        assert torch.equal(found.ws[:, 0], found.ws[:, -1]) and torch.allclose(found.ws[:, 0], w, atol=1e-3)
    else:
        assert not torch.equal(found.ws[:, 0], found.ws[:, -1])
    for noise in found.noise:
        assert torch.allclose(noise.mean(dim=(2, 3)), torch.zeros(3, 1), atol=1e-5)
        assert torch.allclose(noise.square().mean(dim=(2, 3)), torch.ones(3, 1), atol=1e-5)


def test_the_search_does_not_depend_on_the_scale_of_w(G, targets):
    """W four times as large, and affine layers that divide by four: the same generator, and the same projection."""
    large = copy.deepcopy(G)
    last = list(large.mapping.parameters())[-2:]
    affine = [module.affine.weight for module in large.synthesis.modules() if hasattr(module, "affine")]
    with torch.no_grad():
        for x, factor in [(x, 4) for x in last] + [(x, 1 / 4) for x in affine]:
            x.mul_(factor)
    z = torch.randn(2, 8)
    assert torch.allclose(large.mapping(z), 4 * G.mapping(z))
    assert torch.allclose(large(z, noise="none"), G(z, noise="none"), atol=1e-5)
    found, scaled = (inversion.project(network, targets, squares, steps=40) for network in (G, large))
    assert torch.allclose(scaled.ws, 4 * found.ws, rtol=1e-2, atol=1e-2)
    assert torch.allclose(scaled.distances, found.distances, rtol=1e-2, atol=1e-4)


def test_a_stylegan_is_inverted_too_and_a_generator_without_w_is_named():
    torch.manual_seed(0)
    options = dict(z_dim=8, channel_base=128, channel_max=8)
    G = stylegan.Generator(16, w_dim=8, mapping_layers=2, **options).eval().requires_grad_(False)
    target = G(torch.randn(1, 8))
    found = inversion.project(G, target, squares, space="w+", steps=80)
    assert len(found.noise) == G.num_ws == found.ws.shape[1]
    assert found.distances[-1] < 0.2 * found.distances[0]
    with pytest.raises(ValueError, match="there is no W"):
        inversion.project(pggan.Generator(16, **options), target, squares)


def test_noise_that_is_not_punished_takes_the_image_over(G, targets):
    """Without the penalty the noise carries the picture: closer, and correlated."""
    stripes = targets + 0.5 * torch.sign(torch.sin(torch.arange(16) * 0.8))
    free, kept, fixed = (inversion.project(G, stripes, squares, steps=60, noise_regularization=weight, seed=3)
                         for weight in (0, 1e5, None))
    penalty = lambda found: sum(inversion.noise_penalty(x) for x in found.noise)
    assert (penalty(free) > 3 * penalty(kept)).all() and (free.distances[-1] < kept.distances[-1]).all()
    start = torch.Generator().manual_seed(3)
    torch.randn(inversion.W_SAMPLES, 8, generator=start)
    assert torch.equal(fixed.noise[0][2], torch.randn(1, 1, 4, 4, generator=start)[0])


def test_an_image_has_the_same_result_alone_and_in_a_batch(G, targets):
    found = inversion.project(G, targets, squares, steps=20, noise_regularization=1.0)
    for i in (0, 2):
        alone = inversion.project(G, targets[i:i + 1], squares, steps=20, noise_regularization=1.0)
        assert torch.allclose(alone.ws[0], found.ws[i], atol=1e-4)
        assert torch.allclose(alone.distances[:, 0], found.distances[:, i], rtol=1e-3)
        assert all(torch.allclose(a[0], b[i], atol=1e-3) for a, b in zip(alone.noise, found.noise))
    assert (found.ws[0] - found.ws[2]).abs().max() > 0.05
    again, other = (inversion.project(G, targets, squares, steps=20, noise_regularization=1.0, seed=seed) for seed in (0, 1))
    assert torch.equal(again.ws, found.ws) and not torch.equal(other.ws, found.ws)


def test_an_image_that_is_close_enough_stops_and_the_others_go_on(G, targets):
    whole = inversion.project(G, targets, squares, steps=60)
    limit = whole.distances[35].median().item()
    found = inversion.project(G, targets, squares, steps=60, stop_below=limit)
    below = (whole.distances[:-1] < limit).any(dim=0)
    assert 0 < below.sum() <= 3
    for i in range(3):
        if below[i]:
            stop = (whole.distances[:, i] < limit).nonzero()[0, 0]
            assert torch.allclose(found.distances[stop + 1:, i], found.distances[-1, i], rtol=1e-4)
        else:
            assert torch.allclose(found.ws[i], whole.ws[i], atol=1e-3)
    easy = inversion.project(G, targets, squares, steps=60, stop_below=1e9)
    assert len(easy.distances) == 2 and torch.equal(easy.ws[0], easy.ws[2])


def test_every_step_of_a_projection_holds_its_latent_noise_and_images_and_it_can_be_left_at_any(G, targets):
    whole = inversion.project(G, targets, squares, steps=6)
    steps = list(inversion.project_steps(G, targets, squares, steps=6, w_noise=0.0))
    assert [now.step for now in steps] == list(range(7))
    for now in steps:
        assert torch.allclose(G.synthesis(now.ws, noise=now.noise), now.images, atol=1e-5) and not now.images.requires_grad
        assert torch.allclose(squares(now.images, targets), now.distances, rtol=1e-4)
    assert not torch.equal(steps[3].ws, steps[6].ws) and not torch.equal(steps[3].noise[0], steps[6].noise[0])
    for now in inversion.project_steps(G, targets, squares, steps=6):
        assert torch.equal(now.distances, whole.distances[now.step])
        if now.step == 3:
            break


def test_frames_show_the_whole_way(G, targets):
    steps = list(inversion.project_steps(G, targets, squares, steps=10))
    for every, kept in ((3, (0, 3, 6, 9, 10)), (5, (0, 5, 10))):
        found = inversion.project(G, targets, squares, steps=10, frame_every=every)
        assert len(found.frames) == len(kept) and all(map(torch.equal, found.frames, [steps[i].images for i in kept]))
        assert torch.allclose(found.frames[-1], rendered(G, found), atol=1e-5)
    with torch.no_grad():
        assert inversion.project(G, targets, squares, steps=2).frames == []


def test_the_schedules_are_the_published_ones():
    ramp = [schedule.learning_rate_ramp(t) for t in (0, 0.025, 0.05, 0.5, 0.75, 0.875, 1)]
    assert ramp == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0])


def test_the_deviation_of_w_is_the_root_mean_squared_distance_from_its_mean(G):
    mean, deviation = inversion.w_statistics(G, torch.Generator().manual_seed(0), 2000)
    w = G.mapping(torch.randn(2000, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(mean, w.mean(dim=0), atol=1e-6)
    assert deviation.item() == pytest.approx(w.var(dim=0, unbiased=False).sum().sqrt().item(), rel=1e-4)


def test_the_noise_penalty_of_known_patterns():
    """Columns that alternate are fully correlated one pixel down (1) and across (−1, squared 1), at 8 px once."""
    columns = (torch.arange(8) % 2 * 2.0 - 1).expand(1, 1, 8, 8)
    assert inversion.noise_penalty(columns).item() == pytest.approx(2)
    blocks = columns.repeat_interleave(2, 2).repeat_interleave(2, 3)       # at 16 px (0 and 1), then twice itself at 8 px
    assert inversion.noise_penalty(blocks).item() == pytest.approx(1 + 16 * 2)
    white = torch.randn(200, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = sum(2 / size ** 2 for size in (64, 32, 16, 8))             # a mean of n products has the variance 1 / n
    assert inversion.noise_penalty(white).mean().item() == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("change, message", [
    (lambda x: x.index_fill(0, torch.tensor([1]), float("nan")), r"NaN or infinity in images \[1\]"),
    (lambda x: x[:, :, :8, :8], r"\[3, 3, 8, 8\]; this generator needs \[N, 3, 16, 16\]"),
    (lambda x: x[0], "targets have shape"), (lambda x: x[:0], "targets have shape")])
def test_wrong_images_are_named(G, targets, change, message):
    with pytest.raises(ValueError, match=message):
        inversion.project(G, change(targets), squares, steps=2)


@pytest.mark.parametrize("options, message", [
    ({"space": "z"}, 'space is "z"; choose "w" or "w\\+"'), ({"steps": 0}, "0 steps"),
    ({"distance": lambda a, b: squares(a, b) * float("nan")}, "NaN or infinite for 3 of 3"),
    ({"distance": lambda a, b: squares(a, b).sum()}, "it must give")])
def test_wrong_options_are_named(G, targets, options, message):
    with pytest.raises(ValueError, match=message):
        inversion.project(G, targets, **{"distance": squares, "steps": 2, **options})
