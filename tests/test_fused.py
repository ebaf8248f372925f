"""The fused kernels of a GPU, interpreted on a CPU: values, first and second derivatives, against the equations they stand for."""
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton", reason="this build of PyTorch comes without Triton")

from course_lib import convolution, fast, fused, losses, ops  # noqa: E402
from course_lib.networks import pggan, stylegan2  # noqa: E402

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="tests/gpu runs the kernels themselves")


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def derivatives(function, inputs):
    """Value, gradients with and without a graph, and the gradients of a cubic of those."""
    inputs = [t.clone().requires_grad_() for t in inputs]
    y = function(*inputs)
    loss = (y * draw(*y.shape, seed=9)).sum() + y.square().sum()
    alone = torch.autograd.grad(loss, inputs, retain_graph=True)
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    second = torch.autograd.grad(sum((g.pow(2) * draw(*g.shape, seed=8)).sum() for g in first), inputs, allow_unused=True)
    return [y, *alone, *first, *second]


def assert_same(fused_form, plain_form, *inputs, tolerance=1e-5):
    for mine, exact in zip(derivatives(fused_form, inputs), derivatives(plain_form, [t.double() for t in inputs])):
        if mine is None or exact is None:
            assert all(t is None or not t.any() for t in (mine, exact))
        else:
            assert (mine - exact).abs().max() <= tolerance * exact.abs().max() + 1e-12


X, SCALE, BIAS, STRENGTH = draw(3, 5, 6, 7), draw(3, 5, seed=1), draw(5, seed=2), draw(1, seed=3)[0]


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("noise", [draw(3, 1, 6, 7, seed=4), draw(6, 7, seed=4)], ids=["per image", "constant"])
def test_an_activation_is_scale_bias_noise_and_leaky_relu(noise, clamp):
    assert_same(lambda x, s, b, n: fast.act(x, b, s, noise, n, alpha=0.5, beta=2.0, gain=1.4, clamp=clamp),
                lambda x, s, b, n: ops.leaky_relu(0.5 * x * s[:, :, None, None] + 2 * b[:, None, None] + n * noise, 1.4, clamp),
                X, SCALE, BIAS, STRENGTH)


@pytest.mark.parametrize("noise", [draw(3, 1, 6, 7, seed=4), draw(1, 1, 6, 7, seed=4), draw(6, 7, seed=4)], ids=["images", "one", "constant"])
def test_noise_may_be_what_is_searched_for(noise):
    assert_same(lambda x, s, b, n, e: fast.act(x, b, s, e, n), lambda x, s, b, n, e: ops.leaky_relu(x * s[:, :, None, None] + b[:, None, None] + n * e),
                X, SCALE, BIAS, STRENGTH, noise)


def test_an_activation_of_rows_and_of_many_pixels_adds_up_all_its_parts():
    assert_same(lambda x, b: fast.act(x, b, alpha=0.3, beta=0.01), lambda x, b: ops.leaky_relu(0.3 * x + 0.01 * b), draw(9, 130), draw(130, seed=1))
    assert_same(lambda x, s: fast.act(x, None, s), lambda x, s: ops.leaky_relu(x * s[:, :, None, None]), draw(1, 2, 48, 47), draw(1, 2, seed=1))


def test_scaling_and_products_are_their_formulas():
    assert_same(lambda x, s: fused.Scale.apply(x, s, 2.0), lambda x, s: 2 * x * s[:, :, None, None], X, SCALE)
    assert_same(lambda a, b: fused.Dot.apply(a, b, 2.0), lambda a, b: 2 * (a * b).sum(dim=(2, 3)), X, draw(3, 5, 6, 7, seed=5))


@pytest.mark.parametrize("up, down, padding, taps", [(1, 1, 1, 4), (1, 1, 2, 4), (2, 1, 2, 4), (1, 2, 1, 4), (1, 1, 1, 3)])
def test_resampling_is_upfirdn_with_an_asymmetric_filter(up, down, padding, taps):
    kernel = torch.outer(draw(taps, seed=1), draw(taps, seed=2))
    size = [(side * up + 2 * padding - taps) // down + 1 for side in (6, 5)]
    assert_same(lambda x: fused.Upfirdn.apply(x, kernel, up, down, padding, size, 3.0, False),
                lambda x: ops.upfirdn2d(x, kernel, up, down, padding, 3.0), draw(2, 3, 6, 5))


def test_demodulation_and_rgb_are_their_equations():
    assert_same(lambda s, w: fused.Demod.apply(s, w)[0], lambda s, w: (s.square() @ w.square().sum(dim=(2, 3)).t() + 1e-8).rsqrt(),
                draw(5, 20), draw(40, 20, 3, 3, seed=1))
    assert_same(fused.ToRGB.apply, lambda x, m, b: torch.einsum("nchw,nkc->nkhw", x, m) + b[:, None, None], X, draw(3, 3, 5, seed=1), draw(3, seed=2))
    assert_same(lambda g, m: fused.FromRGB.apply(g, m, torch.float32), lambda g, m: torch.einsum("nkhw,nkc->nchw", g, m),
                draw(3, 3, 6, 7), draw(3, 3, 5, seed=1))


FORMS = [(convolution.conv2d, F.conv2d, dict(padding=1)), (convolution.conv2d, F.conv2d, dict(stride=2)),
         (convolution.conv2d, F.conv2d, dict(stride=2, padding=1)), (convolution.conv_transpose2d, F.conv_transpose2d, dict(stride=2)),
         (convolution.conv_transpose2d, F.conv_transpose2d, dict(stride=2, padding=1))]


@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
@pytest.mark.parametrize("mine, theirs, form", FORMS)
def test_a_convolution_has_pytorchs_derivatives(mine, theirs, form, size):
    weight = draw(3, 4, 3, 3, seed=1) if theirs is F.conv_transpose2d else draw(4, 3, 3, 3, seed=1)
    x, weight = draw(2, 3, *size).double(), weight.double()
    for a, b in zip(derivatives(lambda x, w: mine(x, w, **form), (x, weight)), derivatives(lambda x, w: theirs(x, w, **form), (x, weight))):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def test_inputs_only_leaves_parameters_out_and_nothing_else():
    x, weight = draw(2, 3, 4, 4).requires_grad_(), draw(4, 3, 3, 3, seed=1).requires_grad_()
    with convolution.inputs_only():
        found = torch.autograd.grad(convolution.conv2d(x, weight).square().sum(), (x, weight), allow_unused=True)
    assert found[1] is None and torch.allclose(found[0], torch.autograd.grad(F.conv2d(x, weight).square().sum(), x)[0])
    assert torch.autograd.grad(convolution.conv2d(x, weight).sum(), weight)[0] is not None


def outcomes(G, D, plain):
    """Images, a loss, both penalties of StyleGAN2, and the gradients of the three for every parameter."""
    ws = G.mapping(draw(2, 8))[:, None].expand(-1, G.num_ws, -1)
    images, x = G.synthesis(ws, noise="const", plain=plain), draw(2, 3, 8, 8, seed=1).requires_grad_()
    loss = losses.generator_loss(D(images, plain=plain)).mean()
    with convolution.inputs_only():
        slopes = losses.r1_penalty(D(x, plain=plain), x).mean()
        lengths = losses.path_length_penalty(images, ws, draw(2, 3, 8, 8, seed=2), 0.3)[0].mean()
    parameters = [*G.parameters(), *D.parameters()]
    return [images, loss, slopes, lengths] + [g for value in (loss, slopes, lengths)
                                              for g in torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)]


def test_stylegan2_of_fused_kernels_has_the_gradients_of_the_plain_one(monkeypatch):
    monkeypatch.setattr(fast, "fuses", lambda x: True)
    torch.manual_seed(0)
    sizes = dict(channel_base=64, channel_max=6, conv_clamp=1.0)
    G, D = stylegan2.Generator(8, z_dim=8, w_dim=8, mapping_layers=2, **sizes), stylegan2.Discriminator(8, **sizes)
    for p in (*G.parameters(), *D.parameters()):
        p.data += 0.1 * torch.randn_like(p)
    exact = outcomes(G.requires_grad_(), D, True)
    for mine, plain in zip(outcomes(G, D, False), exact):
        assert (mine is None) == (plain is None)
        assert mine is None or (mine - plain).abs().max() <= 1e-4 * plain.abs().max() + 1e-6


def test_a_growing_discriminator_of_fused_kernels_has_the_same_penalty(monkeypatch):
    torch.manual_seed(0)
    D, found = pggan.Discriminator(8, channel_base=64, channel_max=6), []
    for fuse in (False, True):
        monkeypatch.setattr(fast, "fuses", lambda x: fuse)
        torch.manual_seed(1)
        penalty = losses.gradient_penalty(lambda x: D(x, alpha=0.4), draw(4, 3, 8, 8), draw(4, 3, 8, 8, seed=1))
        found.append([penalty, *(g for g in torch.autograd.grad(penalty.mean(), list(D.parameters()), allow_unused=True) if g is not None)])
    assert len(found[0]) > 4
    for plain, mine in zip(*found):
        assert (mine - plain).abs().max() <= 1e-4 * plain.abs().max() + 1e-7
