"""What StyleGAN2 does between two convolutions, as single GPU kernels (Triton), differentiable to any order.

PyTorch makes one kernel of every addition, and each of them reads and writes whole maps. Here a layer between two convolutions is
one kernel forward and one backward. Maps are [N, C, H, W] with channels last in memory; sums are taken in float32.

Regularizers differentiate a gradient, so every function's gradient consists of functions of this module: `Act` of `Masked`, `Scale`
and `Dot`, and these of each other.
"""
import torch
import triton
from torch.autograd import Function

from .convolution import of_parameters
from .kernels import (
    bias_noise_act_kernel,
    collect_kernel,
    demod_back_kernel,
    demod_kernel,
    smooth_kernel,
    sums_kernel,
    upfirdn_kernel,
)

NO_CLAMP = float("inf")
LAST = torch.channels_last


def _mapped(x, mask=None, scale=None, bias=None, noise=None, strength=None, alpha=1.0, beta=1.0, gain=1.0, slope=1.0,
            clamp=NO_CLAMP, act=False, dtype=None):
    x = last(x)
    mask = None if mask is None else last(mask)
    out = torch.empty_like(x, dtype=dtype)
    n, c, hw = len(x), x.shape[1], x[0, 0].numel()
    nothing = out                                       # stands where no tensor is read
    tall, wide = tile(c)
    bias_noise_act_kernel[(n, triton.cdiv(hw, tall), triton.cdiv(c, wide))](
        x, *(nothing if t is None else t for t in (mask, flat(scale), flat(bias), flat(noise), strength)), out, alpha, beta, gain,
        slope, clamp, c, hw, step(noise, hw), mask is not None, scale is not None, bias is not None, noise is not None, act, tall,
        wide)
    return out


def _reduced(g, mask=None, x=None, scale=None, noise=None, alpha=1.0, beta=1.0, gain=1.0, slope=1.0, clamp=NO_CLAMP, write=False,
             sums=False):
    """(alpha · scale · z, alpha · Σ_hw z x [N, C], beta · Σ_nhw z [C], Σ z · noise []) of z = g times the slope at `mask`."""
    g, mask, x = (None if t is None else last(t) for t in (g, mask, x))
    n, c, hw = len(g), g.shape[1], g[0, 0].numel()
    tall, wide = tile(c)
    rows, chunks = shared(hw, tall, n * triton.cdiv(c, wide))
    parts = triton.cdiv(c, wide)
    out = torch.empty_like(g) if write else g
    partial = torch.empty([2, n, chunks, c], device=g.device)
    noises = torch.empty([n * chunks * parts], device=g.device)
    sums_kernel[(n, chunks, parts)](
        g, *(g if t is None else t for t in (mask, x, flat(scale), flat(noise))), out, partial[0], partial[1], noises, alpha, beta,
        gain, slope, clamp, c, hw, rows, step(noise, hw), mask is not None, x is not None, scale is not None, noise is not None,
        write, sums, tall, wide)
    dots = None if x is None else partial[0, :, 0] if chunks == 1 else torch.empty([n, c], device=g.device)
    totals = torch.empty([c + 1], device=g.device)
    many = x is not None and chunks > 1
    if many or sums or noise is not None:
        tall, wide = (256, 32) if many else (512, 8)
        collect_kernel[(n * many + 2, triton.cdiv(c, wide))](
            partial, noises, totals if dots is None else dots, totals, totals[c:], n, chunks, c, parts, many, sums,
            noise is not None, tall, wide, num_warps=8)
    return out if write else None, dots, totals[:c] if sums else None, totals[c] if noise is not None else None


def tile(c, size=2048):
    """How many pixels, and of c channels, a program takes at a time; of small maps as of large ones, for fewer kernels to
    compile."""
    wide = min(triton.next_power_of_2(c), 64)
    return min(size // wide, 64), wide


def shared(hw, tall, others, programs=1024):
    """Pixels for each program, in whole tiles, and programs for an image, where `others` work on other channels and images."""
    rows = triton.cdiv(triton.cdiv(hw, max(1, programs // others)), tall) * tall
    return rows, triton.cdiv(hw, rows)


def step(noise, hw):
    """From the noise of one image to that of the next: one serves all, or each has its own."""
    return 0 if noise is None or noise.numel() == hw else hw


def precision():
    """How matrix units multiply float32 numbers: as PyTorch is told to. Three products of TF32 are as good as one of float32."""
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def last(x):
    return x.contiguous(memory_format=LAST) if x.ndim == 4 else x.contiguous()


def flat(t):
    return None if t is None else t.contiguous()


class Act(Function):
    """y = gain · lrelu(alpha · scale · x + beta · bias + strength · noise), clamped. scale [N, C], bias [C], noise [N, 1, H, W] or
    [H, W], strength []: each may be None."""

    @staticmethod
    def forward(x, scale, bias, noise, strength, alpha, beta, gain, slope, clamp):
        return _mapped(x, None, scale, bias, noise, strength, alpha, beta, gain, slope, clamp, act=True)

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, scale, bias, noise, strength, *ctx.constants = inputs
        ctx.save_for_backward(x if scale is not None else None, scale, noise, strength, y)

    @staticmethod
    def backward(ctx, g):
        x, scale, noise, strength, y = ctx.saved_tensors
        alpha, beta, gain, slope, clamp = ctx.constants
        needs = [need and (of_parameters() or i not in (2, 4)) for i, need in enumerate(ctx.needs_input_grad)]
        to_noise = None
        if torch.is_grad_enabled() or needs[3]:
            z = Masked.apply(g, y, gain * (alpha if scale is None else 1.0), slope, clamp)
            to_x = (z if scale is None else Scale.apply(z, scale, alpha)) if needs[0] else None
            to_scale = Dot.apply(z, x, alpha) if needs[1] else None
            more = 1.0 if scale is not None else 1 / alpha
            to_bias = z.sum(dim=[d for d in range(z.ndim) if d != 1], dtype=torch.float32) * (beta * more) if needs[2] else None
            to_strength = (z.sum(dim=1, keepdim=True, dtype=torch.float32) * noise).sum() * more if needs[4] else None
            if needs[3]:
                to_noise = (z.sum(dim=1, keepdim=True, dtype=torch.float32) * (strength * more)).sum_to_size(noise.shape)
        else:
            to_x, to_scale, to_bias, to_strength = _reduced(g, y, x if needs[1] else None, scale, noise if needs[4] else None,
                                                            alpha, beta, gain, slope, clamp, needs[0], needs[2])
        return to_x, to_scale, to_bias, to_noise, to_strength, None, None, None, None, None


class Masked(Function):
    """g times the slope of the activation whose output is y."""

    @staticmethod
    def forward(g, y, gain, slope, clamp):
        return _mapped(g, y, gain=gain, slope=slope, clamp=clamp)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, y, *ctx.constants = inputs
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, g):
        return Masked.apply(g, *ctx.saved_tensors, *ctx.constants), None, None, None, None


class Scale(Function):
    """alpha · scale · x for a scale [N, C]."""

    @staticmethod
    def forward(x, scale, alpha):
        return _mapped(x, scale=scale, alpha=alpha)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, scale, ctx.alpha = inputs
        ctx.save_for_backward(x, scale)

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (Scale.apply(g, scale, ctx.alpha) if ctx.needs_input_grad[0] else None,
                    Dot.apply(g, x, ctx.alpha) if ctx.needs_input_grad[1] else None, None)
        return (*_reduced(g, None, x if ctx.needs_input_grad[1] else None, scale, alpha=ctx.alpha, write=True)[:2], None)


class Dot(Function):
    """alpha · Σ_hw a · b → [N, C] in float32."""

    @staticmethod
    def forward(a, b, alpha):
        return _reduced(a, None, b, alpha=alpha)[1]

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, b, ctx.alpha = inputs
        ctx.save_for_backward(a, b)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return (Scale.apply(b, g, ctx.alpha) if ctx.needs_input_grad[0] else None,
                Scale.apply(a, g, ctx.alpha) if ctx.needs_input_grad[1] else None, None)


class Upfirdn(Function):
    """`ops.upfirdn2d` with a separable kernel [k, k], `pad` zeros before the first row and column, to a size of [H', W']. Its
    adjoint puts zeros where this one leaves pixels out, and mirrors the kernel."""

    @staticmethod
    def forward(x, kernel, up, down, pad, size, gain, flip):
        x = last(x)
        n, c, h, w = x.shape
        y = torch.empty([n, c, *size], dtype=x.dtype, device=x.device, memory_format=LAST)
        if up == down == 1 and len(kernel) in (3, 4):
            tall, wide = tile(c, 512)
            grid = n * triton.cdiv(size[0], 8), triton.cdiv(size[1], 2 * tall), triton.cdiv(c, wide)
            smooth_kernel[grid](x, kernel, y, h, w, *size, c, pad, gain, int(flip), len(kernel), 8, tall, wide, num_warps=2)
        else:
            tall, wide = tile(c, 1024)
            grid = n * size[0], triton.cdiv(size[1], tall), triton.cdiv(c, wide)
            upfirdn_kernel[grid](x, kernel, y, h, w, *size, c, pad, gain, int(flip), up, down, len(kernel), tall, wide)
        return y

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, kernel, *ctx.constants = inputs
        ctx.size = x.shape[2:]
        ctx.save_for_backward(kernel)

    @staticmethod
    def backward(ctx, g):
        kernel, = ctx.saved_tensors
        up, down, pad, _, gain, flip = ctx.constants
        return Upfirdn.apply(g, kernel, down, up, len(kernel) - 1 - pad, ctx.size, gain, not flip), *[None] * 7


class Demod(Function):
    """(Σ_ik (style[n, i] · weight[o, i, k])² + 1e-8)^(−1/2) → [N, O], what StyleGAN2 Eq. 3 multiplies feature map o by; and the
    norms of the kernels [O, I], without a gradient."""

    @staticmethod
    def forward(style, weight):
        style, norms = style.contiguous(), torch.linalg.vector_norm(weight, dim=(2, 3)).contiguous()
        (n, i), o = style.shape, len(weight)
        out = torch.empty([n, o], device=style.device)
        demod_kernel[(triton.cdiv(n, 16), triton.cdiv(o, 32))](style, norms, out, n, o, i, 1e-8, precision(), 16, 32, 64)
        return out, norms

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, *output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, g, _):
        style, weight, d, norms = ctx.saved_tensors
        if torch.is_grad_enabled():
            energy = weight.square().sum(dim=(2, 3))
            e = -g * (style.square() @ energy.t() + 1e-8).pow(-1.5)
            return style * (e @ energy), weight * (e.t() @ style.square())[:, :, None, None] if of_parameters() else None
        g, style = g.contiguous(), style.contiguous()
        (n, i), o = style.shape, len(weight)
        to_style, to_energy = torch.empty_like(style), torch.empty_like(norms)
        demod_back_kernel[(triton.cdiv(n, 16), triton.cdiv(i, 32))](g, d, norms, style, to_style, n, i, o, o, 1, 1, i, precision(),
                                                                    16, 32, 32, True)
        demod_back_kernel[(triton.cdiv(o, 32), triton.cdiv(i, 32))](g, d, style, style, to_energy, o, i, n, 1, o, 1, i, precision(),
                                                                    32, 32, 32, False)
        return to_style, weight * to_energy[:, :, None, None]
