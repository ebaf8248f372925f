"""The fused kernels of a GPU, interpreted on a CPU: values, first and second derivatives, against the equations they stand for."""
import dataclasses

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton", reason="this build of PyTorch comes without Triton")

from triton.runtime.interpreter import interpreter_builder  # noqa: E402

from course_lib import fused, losses, ops  # noqa: E402
from course_lib.fused import autograd, convolution, dense_layers, rgb, stddev, weights
from course_lib.networks import pggan, stylegan, stylegan2  # noqa: E402

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="tests/gpu runs the kernels themselves")


@pytest.fixture(scope="module", autouse=True)
def without_overflow_checks():
    """Triton's interpreter computes for each operation on integers whether it overflows, and drops the answer unless it debugs:
    more than half of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter_builder, "options", dataclasses.replace(interpreter_builder.options, sanitize_overflow=False))
        yield


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
    assert_same(lambda x, s, b, n: fused.act(x, b, s, noise, n, alpha=0.5, beta=2.0, gain=1.4, clamp=clamp),
                lambda x, s, b, n: ops.leaky_relu(0.5 * x * s[:, :, None, None] + 2 * b[:, None, None] + n * noise, 1.4, clamp),
                X, SCALE, BIAS, STRENGTH)


@pytest.mark.parametrize("noise", [draw(3, 1, 6, 7, seed=4), draw(1, 1, 6, 7, seed=4), draw(6, 7, seed=4)],
                         ids=["images", "one", "constant"])
def test_noise_may_be_what_is_searched_for(noise):
    assert_same(lambda x, s, b, n, e: fused.act(x, b, s, e, n),
                lambda x, s, b, n, e: ops.leaky_relu(x * s[:, :, None, None] + b[:, None, None] + n * e),
                X, SCALE, BIAS, STRENGTH, noise)


def test_an_activation_of_rows_and_of_many_pixels_adds_up_all_its_parts():
    assert_same(lambda x, b: fused.act(x, b, alpha=0.3, beta=0.01), lambda x, b: ops.leaky_relu(0.3 * x + 0.01 * b), draw(9, 130),
                draw(130, seed=1))
    assert_same(lambda x, s: fused.act(x, None, s), lambda x, s: ops.leaky_relu(x * s[:, :, None, None]), draw(1, 2, 48, 47),
                draw(1, 2, seed=1))


def test_scaling_and_products_are_their_formulas():
    assert_same(lambda x, s: autograd.Scale.apply(x, s, 2.0), lambda x, s: 2 * x * s[:, :, None, None], X, SCALE)
    assert_same(lambda a, b: autograd.Dot.apply(a, b, 2.0), lambda a, b: 2 * (a * b).sum(dim=(2, 3)), X, draw(3, 5, 6, 7, seed=5))


@pytest.mark.parametrize("up, down, padding, taps", [(1, 1, 1, 4), (1, 1, 2, 4), (2, 1, 2, 4), (1, 2, 1, 4), (1, 1, 1, 3)])
def test_resampling_is_upfirdn_with_an_asymmetric_filter(up, down, padding, taps):
    kernel = torch.outer(draw(taps, seed=1), draw(taps, seed=2))
    size = [(side * up + 2 * padding - taps) // down + 1 for side in (6, 5)]
    assert_same(lambda x: autograd.Upfirdn.apply(x, kernel, up, down, padding, size, 3.0, False),
                lambda x: ops.upfirdn2d(x, kernel, up, down, padding, 3.0), draw(2, 3, 6, 5))


def test_demodulation_and_rgb_are_their_equations():
    assert_same(lambda s, w: autograd.Demod.apply(s, w)[0],
                lambda s, w: (s.square() @ w.square().sum(dim=(2, 3)).t() + 1e-8).rsqrt(),
                draw(5, 20), draw(40, 20, 3, 3, seed=1))
    assert_same(rgb.ToRGB.apply, lambda x, m, b: torch.einsum("nchw,nkc->nkhw", x, m) + b[:, None, None],
                X, draw(3, 3, 5, seed=1), draw(3, seed=2))
    assert_same(lambda g, m: rgb.FromRGB.apply(g, m, torch.float32), lambda g, m: torch.einsum("nkhw,nkc->nchw", g, m),
                draw(3, 3, 6, 7), draw(3, 3, 5, seed=1))


@pytest.mark.parametrize("activate", [False, True])
def test_a_dense_layer_is_a_product_with_bias_and_leaky_relu(activate):
    assert_same(lambda x, w, b: fused.dense(x, w, b, 0.3, 0.01, activate),
                lambda x, w, b: ops.leaky_relu(F.linear(x, 0.3 * w, 0.01 * b)) if activate else F.linear(x, 0.3 * w, 0.01 * b),
                draw(70, 75), draw(40, 75, seed=1), draw(40, seed=2))


def test_dense_layers_of_unequal_widths_at_once_are_those_layers():
    starts, widths = torch.tensor([0, 66, 67, 100]), [66, 1, 33]
    one_by_one = lambda x, w, b: [F.linear(*layer).flatten() for layer in zip(x, (0.5 * w).split(widths), (2 * b).split(widths))]
    assert_same(lambda x, w, b: dense_layers.Dense.apply(x, w, b, (starts, 66), 0.5, 2.0, 1.0, 1.0),
                lambda x, w, b: torch.cat(one_by_one(x, w, b)),
                draw(3, 9, 20), draw(100, 20, seed=1), draw(100, seed=2))


FORMS = [(convolution.conv2d, F.conv2d, dict(padding=1)), (convolution.conv2d, F.conv2d, dict(stride=2)),
         (convolution.conv2d, F.conv2d, dict(stride=2, padding=1)),
         (convolution.conv_transpose2d, F.conv_transpose2d, dict(stride=2)),
         (convolution.conv_transpose2d, F.conv_transpose2d, dict(stride=2, padding=1))]


@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
@pytest.mark.parametrize("mine, theirs, form", FORMS)
def test_a_convolution_has_pytorchs_derivatives(mine, theirs, form, size):
    weight = draw(3, 4, 3, 3, seed=1) if theirs is F.conv_transpose2d else draw(4, 3, 3, 3, seed=1)
    x, weight = draw(2, 3, *size).double(), weight.double()
    for a, b in zip(derivatives(lambda x, w: mine(x, w, **form), (x, weight)),
                    derivatives(lambda x, w: theirs(x, w, **form), (x, weight))):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def test_inputs_only_leaves_parameters_out_and_nothing_else():
    x, weight = draw(2, 3, 4, 4).requires_grad_(), draw(4, 3, 3, 3, seed=1).requires_grad_()
    with convolution.inputs_only():
        found = torch.autograd.grad(convolution.conv2d(x, weight).square().sum(), (x, weight), allow_unused=True)
    assert found[1] is None and torch.allclose(found[0], torch.autograd.grad(F.conv2d(x, weight).square().sum(), x)[0])
    assert torch.autograd.grad(convolution.conv2d(x, weight).sum(), weight)[0] is not None


def outcomes(G, D, impl):
    """Images, a loss, both penalties of StyleGAN2, and the gradients of the three for every parameter."""
    ws = G.mapping(draw(2, 8))[:, None].expand(-1, G.num_ws, -1)
    images, x = G.synthesis(ws, noise="const", impl=impl), draw(2, 3, 8, 8, seed=1).requires_grad_()
    loss = losses.generator_loss(D(images, impl=impl)).mean()
    with convolution.inputs_only():
        slopes = losses.r1_penalty(D(x, impl=impl), x).mean()
        lengths = losses.path_length_penalty(images, ws, draw(2, 3, 8, 8, seed=2), 0.3)[0].mean()
    parameters = [*G.parameters(), *D.parameters()]
    return [images, loss, slopes, lengths] + [g for value in (loss, slopes, lengths)
                                              for g in torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)]


def test_stylegan2_of_fused_kernels_has_the_gradients_of_the_plain_one(monkeypatch):
    monkeypatch.setattr(fused, "fuses", lambda x: True)
    torch.manual_seed(0)
    sizes = dict(channel_base=64, channel_max=6, conv_clamp=1.0)
    G, D = stylegan2.Generator(8, z_dim=8, w_dim=8, mapping_layers=2, **sizes), stylegan2.Discriminator(8, **sizes)
    for p in (*G.parameters(), *D.parameters()):
        p.data += 0.1 * torch.randn_like(p)
    exact = outcomes(G.requires_grad_(), D, "reference")
    for mine, plain in zip(outcomes(G, D, "fused"), exact):
        assert (mine is None) == (plain is None)
        assert mine is None or (mine - plain).abs().max() <= 1e-4 * plain.abs().max() + 1e-6


def test_a_growing_discriminator_of_fused_kernels_has_the_same_penalty(monkeypatch):
    torch.manual_seed(0)
    D, found = pggan.Discriminator(8, channel_base=64, channel_max=6), []
    for fuse in (False, True):
        monkeypatch.setattr(fused, "fuses", lambda x: fuse)
        torch.manual_seed(1)
        penalty = losses.gradient_penalty(lambda x: D(x, alpha=0.4), draw(4, 3, 8, 8), draw(4, 3, 8, 8, seed=1))
        found.append([penalty, *torch.autograd.grad(penalty.mean(), list(D.parameters()), allow_unused=True)])
    assert sum(g is not None for g in found[0]) > 4
    for plain, mine in zip(*found):
        plain, mine = (torch.zeros([]) if t is None else t for t in (plain, mine))
        assert (mine - plain).abs().max() <= 1e-4 * plain.abs().max() + 1e-7


def test_pixel_norm_is_its_equation_after_bias_and_leaky_relu():
    equation = lambda x, b: ops.pixel_norm(ops.leaky_relu(x + b.reshape(-1, *[1] * (x.ndim - 2)), gain=1))
    assert_same(lambda x, b: fused.pixel_norm(x, b, 0.2), equation, X, BIAS)
    assert_same(lambda x, b: fused.pixel_norm(x, b, 0.2), equation, draw(2, 130, 9, 7), draw(130, seed=1), tolerance=1e-4)
    assert_same(fused.pixel_norm, ops.pixel_norm, 0.01 * draw(70, 9))


@pytest.mark.parametrize("noise", [None, draw(3, 1, 6, 7, seed=4), draw(6, 7, seed=4)], ids=["none", "per image", "constant"])
@pytest.mark.parametrize("size", [(6, 7), (24, 28)], ids=["one tile", "many tiles"])
def test_a_styled_activation_is_noise_bias_leaky_relu_and_adain(size, noise):
    def equation(x, b, y, s=None, n=None):
        x = x if n is None else ops.add_noise(x, n, s)
        return ops.adain(ops.leaky_relu(x + b[:, None, None], gain=1), *y.chunk(2, dim=1))

    if noise is not None and size != (6, 7):
        noise = noise.repeat_interleave(4, -1).repeat_interleave(4, -2)
    of_noise = [] if noise is None else [draw(5, seed=5), noise]
    strength = draw(5)
    assert_same(lambda x, b, y, s=strength, n=None: fused.styled_activation(x, b, n, s, y), equation,
                0.5 + draw(3, 5, *size), BIAS, draw(3, 10, seed=6), *of_noise,
                tolerance=1e-4 if size == (6, 7) else 5e-3)         # the bias's many sums cancel


@pytest.mark.parametrize("shape, size", [((8, 5, 4, 4), 4), ((6, 7, 3, 3), 3), ((4, 260, 5, 4), 4), ((3, 8, 4, 4), 1)])
def test_the_minibatch_standard_deviation_is_its_equation_and_zeros(shape, size):
    missing = -(shape[1] + 1) % 8
    assert_same(lambda x: fused_stddev(x, size), lambda x: F.pad(ops.minibatch_stddev(x, size), [0, 0, 0, 0, 0, missing]),
                draw(*shape))


def fused_stddev(x, size):
    return stddev.MinibatchStddev.apply(x, size, x.shape[1] // 8 * 8 + 8)


@pytest.mark.parametrize("shape", [(3, 4, 3, 3), (40, 35, 3, 3)])
def test_convolutions_of_equalized_layers_are_scaled_resampled_convolutions(shape, monkeypatch):
    monkeypatch.setattr(fused, "fuses", lambda x: True)
    x, w = draw(2, shape[1], 4, 6), draw(*shape, seed=1)
    assert_same(lambda w: weights.Resampled.apply(w, 0.5, torch.float32, False), lambda w: 0.5 * fused._spread(w), w)
    assert_same(lambda w: weights.Resampled.apply(w, 0.5, torch.float32, True),
                lambda w: 0.5 * fused._spread(w.flip([2, 3])).transpose(0, 1), w)
    assert_same(lambda w: weights.Scaled.apply(w, 0.5, torch.float32, w.shape[1]), lambda w: 0.5 * w, w)
    assert_same(lambda w: weights.Scaled.apply(w, 0.5, torch.float32, w.shape[1] + 5), lambda w: 0.5 * F.pad(w, [0, 0, 0, 0, 0, 5]),
                w)
    rounded = weights.Resampled.apply(w, 0.5, torch.bfloat16, True)
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), weights.Resampled.apply(w, 0.5, torch.float32, True), rtol=0.01)
    assert torch.allclose(fused.upscale2d_conv2d(x, w, 0.5), ops.upscale2d_conv2d(x, 0.5 * w), atol=1e-5)
    assert torch.allclose(fused.conv2d_downscale2d(x, w, 0.5), ops.conv2d_downscale2d(x, 0.5 * w), atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, torch.tensor(0.4)], ids=["stable", "fading"])
@pytest.mark.parametrize("model", ["pggan", "stylegan"])
def test_growing_networks_of_fused_kernels_have_the_gradients_of_the_reference(model, alpha, monkeypatch):
    monkeypatch.setattr(fused, "fuses", lambda x: True)
    torch.manual_seed(0)
    sizes = dict(channel_base=64, channel_max=6)
    G, D = ((pggan.Generator(8, 8, **sizes), pggan.Discriminator(8, **sizes)) if model == "pggan" else
            (stylegan.Generator(8, 8, 8, mapping_layers=2, **sizes), stylegan.discriminator(8, **sizes)))
    for p in (*G.parameters(), *D.parameters()):
        p.data += 0.1 * torch.randn_like(p)
    found = []
    for impl in ("reference", "fused"):
        images, reals = G(draw(2, 8), noise="const", impl=impl, alpha=alpha), draw(2, 3, 8, 8, seed=1).requires_grad_()
        loss = losses.generator_loss(D(images, alpha=alpha, impl=impl)).mean()
        with convolution.inputs_only():
            penalty = losses.r1_penalty(D(reals, alpha=alpha, impl=impl), reals).mean()
        found.append([images, loss, penalty, *(g for value in (loss, penalty) for g in torch.autograd.grad(
            value, [*G.parameters(), *D.parameters()], allow_unused=True, retain_graph=True))])
    for exact, mine in zip(*found):
        exact, mine = (torch.zeros([]) if t is None else t for t in (exact, mine))
        assert (mine - exact).abs().max() <= 2e-4 * exact.abs().max() + 1e-6
