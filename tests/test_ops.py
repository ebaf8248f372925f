"""Properties of the equations, against mathematics rather than against stored numbers."""
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from course_lib import fused, losses, ops
from course_lib.networks import stylegan2

KERNEL = ops.resample_kernel()


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_pixel_norm_gives_unit_mean_square():
    assert torch.allclose(ops.pixel_norm(draw(3, 7, 4, 4)).square().mean(dim=1), torch.ones(3, 4, 4).double(), atol=1e-6)


def test_demodulated_weights_have_unit_norm():
    weight = ops.demodulate(ops.modulate(draw(5, 4, 3, 3), draw(3, 4, seed=1)))
    assert torch.allclose(weight.square().sum(dim=(2, 3, 4)), torch.ones(3, 5).double(), atol=1e-6)


def test_demodulation_keeps_unit_variance_of_independent_inputs():
    x, weight, style = draw(4, 32, 64, 64), draw(16, 32, 3, 3, seed=1), 3 * draw(4, 32, seed=2)
    out = ops.modulated_conv2d(x, weight, style, padding=1)
    assert out.var().item() == pytest.approx(1, rel=0.03)


def test_demodulation_removes_the_scale_of_a_style():
    x, weight, style = draw(2, 4, 8, 8), draw(3, 4, 3, 3, seed=1), draw(2, 4, seed=2)
    assert torch.allclose(ops.modulated_conv2d(x, weight, style), ops.modulated_conv2d(x, weight, 100 * style), atol=1e-6)


@pytest.mark.parametrize("arguments", [dict(padding=1), dict(padding=1, demod=False), dict(up=2, padding=1, kernel=KERNEL),
                                       dict(down=2, padding=1, kernel=KERNEL)], ids=str)
def test_modulated_weights_and_scaled_activations_agree(arguments):
    x, weight, style = (t.requires_grad_() for t in (draw(3, 4, 8, 8), draw(5, 4, 3, 3, seed=1), draw(3, 4, seed=2)))
    forms = []
    for convolve in (ops.modulated_conv2d, fused.modulated_conv2d):
        out = convolve(x, weight, style, **arguments)
        forms.append([out, *torch.autograd.grad((out * draw(*out.shape, seed=3)).sum(), [x, weight, style])])
    for plain, scaled in zip(*forms):
        assert torch.allclose(plain, scaled, atol=1e-9)


def test_a_modulated_convolution_is_a_convolution_of_each_sample():
    x, weight, style = draw(3, 4, 8, 8), draw(5, 4, 3, 3, seed=1), draw(3, 4, seed=2)
    weights = ops.demodulate(ops.modulate(weight, style))
    each = torch.cat([F.conv2d(x[i:i + 1], weights[i], padding=1) for i in range(3)])
    assert torch.allclose(ops.modulated_conv2d(x, weight, style, padding=1), each, atol=1e-12)


@pytest.mark.parametrize("convolve", [ops.modulated_conv2d, fused.modulated_conv2d], ids=["reference", "fused"])
def test_modulated_convolution_has_right_first_and_second_derivatives(convolve):
    x, weight, style = (t.requires_grad_() for t in (draw(2, 2, 4, 4), draw(2, 2, 3, 3, seed=1), draw(2, 2, seed=2)))
    function = lambda *a: convolve(*a, up=2, padding=1, kernel=KERNEL)
    assert gradcheck(function, (x, weight, style)) and gradgradcheck(function, (x, weight, style))


@pytest.mark.parametrize("upsample", [ops.upsample2d, fused.upsample2d], ids=["reference", "fused"])
def test_upsampling_keeps_a_constant_inside_the_border(upsample):
    out = upsample(torch.full([1, 2, 8, 8], 3.0), KERNEL)
    assert out.shape == (1, 2, 16, 16) and torch.allclose(out[:, :, 2:-2, 2:-2], torch.tensor(3.0))


def test_downsampling_keeps_a_constant_inside_the_border():
    out = ops.downsample2d(torch.full([1, 2, 8, 8], 3.0), KERNEL)
    assert out.shape == (1, 2, 4, 4) and torch.allclose(out[:, :, 1:-1, 1:-1], torch.tensor(3.0))


def test_adain_sets_mean_and_deviation():
    out = ops.adain(5 + 3 * draw(2, 4, 16, 16), draw(2, 4, seed=1).abs(), draw(2, 4, seed=2))
    assert torch.allclose(out.mean(dim=(2, 3)), draw(2, 4, seed=2), atol=1e-6)
    assert torch.allclose(out.std(dim=(2, 3), unbiased=False), draw(2, 4, seed=1).abs(), atol=1e-6)


def test_truncation_shrinks_towards_the_mean_only_below_the_cutoff():
    ws, mean = draw(2, 6, 4), draw(4, seed=1)
    out = ops.truncate(ws, mean, 0.25, cutoff=2)
    assert torch.allclose(out[:, :2] - mean, 0.25 * (ws[:, :2] - mean)) and torch.equal(out[:, 2:], ws[:, 2:])
    assert torch.allclose(ops.truncate(ws, mean, 0), mean.expand(2, 6, 4))


def test_mixing_takes_the_layers_before_the_cutoff_from_the_first():
    mixed = ops.mix_styles(torch.zeros(1, 5, 2), torch.ones(1, 5, 2), 2)
    assert mixed[0, :, 0].tolist() == [0, 0, 1, 1, 1]


def test_slerp_keeps_the_norm_and_moves_at_constant_angle():
    a, b = draw(3, 8), draw(3, 8, seed=1)
    points = [ops.slerp(a, b, t) for t in (0, 0.25, 0.5, 0.75, 1)]
    assert all(torch.allclose(p.norm(dim=-1), torch.ones(3).double()) for p in points)
    assert torch.allclose(points[0], F.normalize(a)) and torch.allclose(points[-1], F.normalize(b))
    steps = [(p * q).sum(dim=-1).acos() for p, q in zip(points, points[1:])]
    assert all(torch.allclose(steps[0], step) for step in steps)


def test_minibatch_stddev_names_a_batch_that_does_not_divide():
    with pytest.raises(ValueError, match="6 does not divide into groups of 4"):
        ops.minibatch_stddev(torch.zeros(6, 2, 4, 4), 4)


def test_r1_of_a_linear_critic_is_its_squared_slope():
    slope, reals = draw(3, 4, 4), draw(5, 3, 4, 4, seed=1).requires_grad_()
    penalty = losses.r1_penalty((reals * slope).sum(dim=(1, 2, 3)), reals)
    assert torch.allclose(penalty, slope.square().sum().float().expand(5))


def test_path_length_of_a_scaled_orthogonal_map_is_its_scale():
    basis, _ = torch.linalg.qr(draw(3 * 16 * 16, 32))
    ws = draw(4, 1, 32, seed=1).requires_grad_()
    images = (2.5 * ws[:, 0] @ basis.t()).reshape(4, 3, 16, 16)
    noise = (draw(4, 32, seed=2) @ basis.t()).reshape(4, 3, 16, 16)
    expected = 2.5 * draw(4, 32, seed=2).norm(dim=1) / 16
    assert torch.allclose(losses.path_lengths(images, ws, noise), expected.float(), atol=1e-5)


def test_bfloat16_images_stay_within_its_rounding():
    torch.manual_seed(0)
    G = stylegan2.Generator(32, z_dim=32, w_dim=32, channel_max=32)
    w = G.mapping(torch.randn(4, 32))
    with torch.no_grad():
        exact, rounded = (G.synthesis(w, noise="const", dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert 0 < (exact - rounded).norm() / exact.norm() < 0.02


@pytest.mark.parametrize("call,message", [
    (lambda G: G(torch.randn(2, 7)), r"takes \[N, 16\]"),
    (lambda G: G.synthesis(torch.randn(2, 3, 16)), r"takes \[N, 6, 16\]"),
    (lambda G: G.synthesis(torch.randn(2, 16), noise="some"), 'choose "random", "const", "none"'),
    (lambda G: stylegan2.Generator(48), "resolution 48 is not a power of two"),
    (lambda G: stylegan2.Discriminator(16)(torch.zeros(1, 3, 8, 8)), r"takes \[N, 3, 16, 16\]")])
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(stylegan2.Generator(16, z_dim=16, w_dim=16, channel_max=8))
