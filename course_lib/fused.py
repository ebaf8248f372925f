"""What StyleGAN2 does between two convolutions, as single GPU kernels (Triton), differentiable to any order.

PyTorch makes one kernel of every addition, and each of them reads and writes whole maps. Here a layer between two convolutions is one
kernel forward and one backward. Maps are [N, C, H, W] with channels last in memory; sums are taken in float32.

Regularizers differentiate a gradient, so every function's gradient consists of functions of this module: `Act` of `Masked`, `Scale`
and `Dot`, and these of each other.
"""
import torch
import triton
from torch.autograd import Function

from .convolution import of_parameters
from .kernels import (collect_kernel, demod_back_kernel, demod_kernel, map_kernel, rgb_back_kernel, rgb_kernel, smooth_kernel, sums_kernel,
                      upfirdn_kernel)

NO_CLAMP = float("inf")
LAST = torch.channels_last


def _mapped(x, mask=None, scale=None, bias=None, noise=None, strength=None, alpha=1.0, beta=1.0, gain=1.0, slope=1.0, clamp=NO_CLAMP,
            act=False, dtype=None):
    x = _last(x)
    mask = None if mask is None else _last(mask)
    out = torch.empty_like(x, dtype=dtype)
    c, hw = x.shape[1], x[0, 0].numel()
    nothing = out                                       # stands where no tensor is read
    block = 1024
    map_kernel[(triton.cdiv(x.numel(), block),)](
        x, *(nothing if t is None else t for t in (mask, _flat(scale), _flat(bias), _flat(noise), strength)), out, alpha, beta, gain,
        slope, clamp, x.numel(), c, hw, 1 if noise is None else noise.numel(), mask is not None, scale is not None, bias is not None,
        noise is not None, act, block)
    return out


def _reduced(g, mask=None, x=None, scale=None, noise=None, alpha=1.0, beta=1.0, gain=1.0, slope=1.0, clamp=NO_CLAMP, write=False,
             sums=False):
    """(alpha · scale · z, alpha · Σ_hw z x [N, C], beta · Σ_nhw z [C], Σ z · noise []) of z = g times the slope at `mask`."""
    g, mask, x = (None if t is None else _last(t) for t in (g, mask, x))
    n, c, hw = len(g), g.shape[1], g[0, 0].numel()
    wide = min(triton.next_power_of_2(c), 128)
    tall = min(triton.next_power_of_2(hw), 4096 // wide)
    rows = max(tall, triton.next_power_of_2(triton.cdiv(hw, max(1, 2048 // n))))
    chunks, parts = triton.cdiv(hw, rows), triton.cdiv(c, wide)
    out = torch.empty_like(g) if write else g
    partial = torch.empty([2, n, chunks, c], device=g.device)
    noises = torch.empty([n * chunks * parts], device=g.device)
    sums_kernel[(n, chunks, parts)](
        g, *(g if t is None else t for t in (mask, x, _flat(scale), _flat(noise))), out, partial[0], partial[1], noises, alpha, beta,
        gain, slope, clamp, c, hw, rows, 1 if noise is None else noise.numel(), mask is not None, x is not None, scale is not None,
        noise is not None, write, sums, tall, wide)
    dots = None if x is None else partial[0, :, 0] if chunks == 1 else torch.empty([n, c], device=g.device)
    totals = torch.empty([c + 1], device=g.device)
    many = x is not None and chunks > 1
    if many or sums or noise is not None:
        collect_kernel[(n + 2, triton.cdiv(c, 32))](partial, noises, totals if dots is None else dots, totals, totals[c:], n, chunks, c, parts, many,
                                              sums, noise is not None, 32, 32, 1024)
    return out if write else None, dots, totals[:c] if sums else None, totals[c] if noise is not None else None


def _last(x):
    return x.contiguous(memory_format=LAST) if x.ndim == 4 else x.contiguous()


def _flat(t):
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
            z = z if scale is not None or alpha == 1 else z / alpha
            to_bias = z.sum(dim=[d for d in range(z.ndim) if d != 1], dtype=torch.float32) * beta if needs[2] else None
            to_strength = (z.sum(dim=1, keepdim=True, dtype=torch.float32) * noise).sum() if needs[4] else None
            to_noise = (z.sum(dim=1, keepdim=True, dtype=torch.float32) * strength).sum_to_size(noise.shape) if needs[3] else None
        else:
            to_x, to_scale, to_bias, to_strength = _reduced(g, y, x if needs[1] else None, scale, noise if needs[4] else None, alpha, beta,
                                                            gain, slope, clamp, needs[0], needs[2])
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
    """`ops.upfirdn2d` with a separable kernel [k, k], `pad` zeros before the first row and column, to a size of [H', W']. Its adjoint puts zeros where
    this one leaves pixels out, and mirrors the kernel."""

    @staticmethod
    def forward(x, kernel, up, down, pad, size, gain, flip):
        x = _last(x)
        n, c, h, w = x.shape
        y = torch.empty([n, c, *size], dtype=x.dtype, device=x.device, memory_format=LAST)
        block = min(1024, triton.next_power_of_2(size[1] * c))
        columns = triton.cdiv(size[1] * c, block)
        if up == down == 1 and len(kernel) == 4:
            smooth_kernel[(n * triton.cdiv(size[0], 8), columns)](x, kernel, y, h, w, *size, c, pad, gain, flip, 8, block)
        else:
            upfirdn_kernel[(n * size[0], columns)](x, kernel, y, h, w, *size, c, pad, gain, up, down, len(kernel), flip, block)
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


class ToRGB(Function):
    """Σ_c matrix[n, k, c] · x[n, c, h, w] + bias[k] → [N, K, H, W] in float32. x [N, C, H, W], matrix [N, K, C], bias [K] or None."""

    @staticmethod
    def forward(x, matrix, bias):
        x, matrix = _last(x), matrix.contiguous()
        n, c, h, w = x.shape
        k = matrix.shape[1]
        out = torch.empty([n, k, h, w], dtype=torch.float32, device=x.device, memory_format=LAST)
        wide = triton.next_power_of_2(c)
        tall = min(max(1, 8192 // wide), triton.next_power_of_2(h * w))
        rgb_kernel[(n, triton.cdiv(h * w, tall))](x, matrix, out if bias is None else bias, out, c, h * w, k, bias is not None, tall, wide, k)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, g):
        x, matrix = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():
            to_x = FromRGB.apply(g, matrix, x.dtype) if needs[0] else None
            to_matrix = Outer.apply(g, x) if needs[1] else None
        else:
            to_x, to_matrix = _rgb_gradients(g, matrix, x, needs[0], needs[1])
        return to_x, to_matrix, g.sum(dim=(0, 2, 3)) if needs[2] else None


class FromRGB(Function):
    """The adjoint of `ToRGB`: Σ_k matrix[n, k, c] · g[n, k, h, w]."""

    @staticmethod
    def forward(g, matrix, dtype):
        return _rgb_gradients(g, matrix, g.new_empty([len(g), matrix.shape[2], 0, 0], dtype=dtype), True, False)[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, h):
        g, matrix = ctx.saved_tensors
        return (ToRGB.apply(h, matrix, None) if ctx.needs_input_grad[0] else None,
                Outer.apply(g, h) if ctx.needs_input_grad[1] else None, None)


class Outer(Function):
    """Σ_hw g[n, k, h, w] · x[n, c, h, w] → [N, K, C] in float32."""

    @staticmethod
    def forward(g, x):
        return _rgb_gradients(g, None, x, False, True)[1]

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, h):
        g, x = ctx.saved_tensors
        return (ToRGB.apply(x, h, None) if ctx.needs_input_grad[0] else None,
                FromRGB.apply(g, h, x.dtype) if ctx.needs_input_grad[1] else None)


def _rgb_gradients(g, matrix, x, to_x, to_matrix):
    g, x, matrix = _last(g), _last(x), _flat(matrix)
    n, k, h, w = g.shape
    c = x.shape[1]
    wide = min(triton.next_power_of_2(c), 64)
    rows = max(32, triton.next_power_of_2(triton.cdiv(h * w, max(1, 2048 // n))))
    chunks = triton.cdiv(h * w, rows)
    out = torch.empty([n, c, h, w], dtype=x.dtype, device=g.device, memory_format=LAST) if to_x else g
    partial = torch.empty([n, chunks, k, c], device=g.device) if to_matrix else g
    rgb_back_kernel[(n, chunks, triton.cdiv(c, wide))](g, g if matrix is None else matrix, x, out, partial, c, h * w, rows, to_x, to_matrix, 32,
                                                 wide, k, triton.next_power_of_2(k))
    return out if to_x else None, (partial[:, 0] if chunks == 1 else partial.sum(dim=1)) if to_matrix else None


class Demod(Function):
    """(Σ_ik (style[n, i] · weight[o, i, k])² + 1e-8)^(−1/2) → [N, O], what StyleGAN2 Eq. 3 multiplies feature map o by; and the norms of
    the kernels [O, I], without a gradient."""

    @staticmethod
    def forward(style, weight):
        style, norms = style.contiguous(), torch.linalg.vector_norm(weight, dim=(2, 3)).contiguous()
        (n, i), o = style.shape, len(weight)
        out = torch.empty([n, o], device=style.device)
        demod_kernel[(triton.cdiv(n, 16), triton.cdiv(o, 32))](style, norms, out, n, o, i, 1e-8, 16, 32, 64)
        return out, norms

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, *output)
        ctx.mark_non_differentiable(output[1])

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
        demod_back_kernel[(triton.cdiv(n, 16), triton.cdiv(i, 32))](g, d, norms, style, to_style, n, i, o, o, 1, 1, i, 16, 32, 32, True)
        demod_back_kernel[(triton.cdiv(o, 32), triton.cdiv(i, 32))](g, d, style, style, to_energy, o, i, n, 1, o, 1, i, 32, 32, 32, False)
        return to_style, weight * to_energy[:, :, None, None]
