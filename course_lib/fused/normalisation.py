"""What PGGAN and StyleGAN do between two convolutions, as single GPU kernels: bias, leaky ReLU and pixel norm; noise, bias, leaky
ReLU and AdaIN.

Maps are [N, C, H, W] with channels last in memory; sums are taken in float32. Training differentiates generators once: a gradient
of pixel norm or AdaIN that is to be differentiated again is computed by the equations of `ops`, which PyTorch differentiates to any
order.
"""
import torch
import triton
import triton.language as tl
from torch.autograd import Function

from .. import ops
from .autograd import flat, last, step


def _reference_gradients(function, gradient, tensors, needs):
    """The gradients of function(*tensors) for those that need one, differentiable again."""
    with torch.enable_grad():
        wanted = [t for t, need in zip(tensors, needs) if need]
        found = iter(torch.autograd.grad(function(*tensors), wanted, gradient, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needs]


class PixelNorm(Function):
    """`ops.pixel_norm(ops.leaky_relu(x + bias))` without gain. x [N, C, H, W] or [N, C], bias [C] or None; slope 1 leaves the
    activation out."""

    @staticmethod
    def forward(ctx, x, bias, slope, eps):
        ctx.save_for_backward(x, bias)
        ctx.constants, x = (slope, eps), last(x)
        out, (pixels, c, wide, tall, _) = torch.empty_like(x), _rows(x)
        pixel_norm_kernel[(triton.cdiv(pixels, tall),)](x, x if bias is None else bias, out, slope, eps, pixels, c,
                                                        bias is not None, tall, wide, num_warps=8)
        return out

    @staticmethod
    def backward(ctx, g):
        x, bias = ctx.saved_tensors
        slope, eps = ctx.constants
        if torch.is_grad_enabled():
            def equation(x, bias):
                return ops.pixel_norm(torch.nn.functional.leaky_relu(x if bias is None else x + _like(bias, x), slope), eps)
            return *_reference_gradients(equation, g, (x, bias), ctx.needs_input_grad[:2]), None, None
        g, x, (pixels, c, wide, tall, rows) = last(g), last(x), _rows(x)
        out, partial = torch.empty_like(x), torch.empty([triton.cdiv(pixels, rows), c], device=x.device)
        pixel_norm_back_kernel[(len(partial),)](g, x, x if bias is None else bias, out, partial, slope, eps, pixels, c, rows,
                                                bias is not None, tall, wide, num_warps=8)
        return out, None if bias is None else partial.sum(dim=0), None, None


def _rows(x):
    """Pixels, channels, the tile of a program (all channels, `tall` pixels), and the pixels of a program that adds up."""
    c = x.shape[1]
    pixels, wide = x.numel() // c, triton.next_power_of_2(c)
    tall = max(1, min(triton.next_power_of_2(pixels), 2048 // wide))
    return pixels, c, wide, tall, triton.cdiv(triton.cdiv(pixels, 264), tall) * tall


def _like(bias, x):
    return bias.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2))


@triton.jit
def pixel_norm_kernel(x, bias, out, slope, eps, pixels, c, BIAS: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    row, channel = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R), tl.arange(0, C)
    inside, at = (row < pixels)[:, None] & (channel < c)[None, :], row[:, None] * c + channel[None, :]
    v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        v += tl.load(bias + channel, mask=channel < c, other=0.0).to(tl.float32)[None, :]
    v = tl.where(v < 0, v * slope, v)
    norm = tl.rsqrt(tl.sum(v * v, axis=1) / c + eps)
    tl.store(out + at, (v * norm[:, None]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def pixel_norm_back_kernel(g, x, bias, out, sums, slope, eps, pixels, c, rows, BIAS: tl.constexpr, R: tl.constexpr,
                           C: tl.constexpr):
    """With v = lrelu(x + bias) and r = 1 / norm: out = (g r − v r³ mean_c(g v)) · lrelu'; sums [programs, C] of it."""
    first, channel = tl.program_id(0).to(tl.int64) * rows, tl.arange(0, C)
    known, total, b = (channel < c)[None, :], tl.zeros([R, C], tl.float32), tl.zeros([C], tl.float32)
    if BIAS:
        b += tl.load(bias + channel, mask=channel < c, other=0.0).to(tl.float32)
    for start in range(0, rows, R):
        row = first + start + tl.arange(0, R)
        inside, at = (row < pixels)[:, None] & known, row[:, None] * c + channel[None, :]
        z = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) + tl.where(inside, b[None, :], 0.0)
        v, h = tl.where(z < 0, z * slope, z), tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
        r = tl.rsqrt(tl.sum(v * v, axis=1) / c + eps)
        common = r * r * r * tl.sum(h * v, axis=1) / c
        h = (h * r[:, None] - v * common[:, None]) * tl.where(z < 0, slope, 1.0)
        total += h
        tl.store(out + at, h.to(out.dtype.element_ty), mask=inside)
    if BIAS:
        tl.store(sums + tl.program_id(0) * c + channel, tl.sum(total, axis=0), mask=channel < c)


class AdaIN(Function):
    """`ops.adain` of lrelu(x + strength · noise + bias) in the style y = (y_s, y_b). x [N, C, H, W], bias and strength [C], noise
    [H, W] or [N, 1, H, W] or None, style [N, 2C]."""

    @staticmethod
    def forward(ctx, x, bias, noise, strength, style, eps):
        (n, c), hw, ctx.eps = x.shape[:2], x[0, 0].numel(), eps
        moments = torch.empty([2, n, c], device=x.device)
        ctx.save_for_backward(x, bias, noise, strength, style, moments)
        x, noise, style = last(x), flat(noise), style.contiguous()
        out = torch.empty_like(x)
        wide, tall = _part(hw, 1024 if hw <= 1024 else 512)
        adain_kernel[(n, triton.cdiv(c, wide))](
            x, bias, x if noise is None else noise, strength, style, out, moments[0], moments[1], eps, c, hw, step(noise, hw),
            noise is not None, hw <= tall, tall, wide, num_warps=16 if tall * wide > 8192 else 8)
        return out

    @staticmethod
    def backward(ctx, g):
        x, bias, noise, strength, style, moments = ctx.saved_tensors
        if torch.is_grad_enabled():
            def equation(x, bias, noise, strength, style):
                x = x if noise is None else ops.add_noise(x, noise, strength)
                return ops.adain(ops.leaky_relu(x + _like(bias, x), gain=1), *style.to(x.dtype).chunk(2, dim=1), ctx.eps)
            return *_reference_gradients(equation, g, (x, bias, noise, strength, style), ctx.needs_input_grad[:5]), None
        g, x, noise, style = last(g), last(x), flat(noise), style.contiguous()
        (n, c), hw = x.shape[:2], x[0, 0].numel()
        out, to_style, sums = torch.empty_like(x), torch.empty_like(style), torch.empty([n, 2, c], device=x.device)
        wide, tall = _part(hw, 512)
        adain_back_kernel[(n, triton.cdiv(c, wide))](
            g, x, bias, x if noise is None else noise, strength, style, moments[0], moments[1], out, to_style, sums, c, hw,
            step(noise, hw), noise is not None, hw <= tall, tall, wide, num_warps=8)
        to_bias, to_strength = sums.sum(dim=0)
        to_noise = None
        if ctx.needs_input_grad[2]:
            to_noise = torch.einsum("nchw,c->nhw", out.float(), strength)[:, None].sum_to_size(noise.shape)
        return out, to_bias, to_noise, None if noise is None else to_strength, to_style, None


def _part(hw, most):
    """The channels of a program, which passes over all pixels of an image, and how many of these it takes at a time."""
    return (32 if hw <= 256 else 16), min(triton.next_power_of_2(hw), most)


@triton.jit
def before_activation(x, noise, strength, bias, row, valid, inside, at, NOISE: tl.constexpr):
    """x + strength · noise + bias."""
    z = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) + bias[None, :]
    if NOISE:
        z += tl.load(noise + row, mask=valid, other=0.0).to(tl.float32)[:, None] * strength[None, :]
    return z


@triton.jit
def adain_kernel(x, bias, noise, strength, style, out, means, factors, eps, c, hw, noise_step, NOISE: tl.constexpr,
                 ONE: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """C maps of image n; where ONE, R pixels are the whole map. Keeps its means and 1 / standard deviations."""
    n, channel = tl.program_id(0).to(tl.int64), tl.program_id(1) * C + tl.arange(0, C)
    known = channel < c
    b = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
    s = tl.load(strength + channel, mask=known, other=0.0).to(tl.float32)
    y_s = tl.load(style + n * 2 * c + channel, mask=known, other=0.0).to(tl.float32)
    y_b = tl.load(style + n * 2 * c + c + channel, mask=known, other=0.0).to(tl.float32)
    x, out, noise = x + n * hw * c, out + n * hw * c, noise + n * noise_step
    if ONE:
        row = tl.arange(0, R)
        valid, at = row < hw, row[:, None] * c + channel[None, :]
        inside = valid[:, None] & known[None, :]
        z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
        v = tl.where(inside, tl.where(z < 0, z * 0.2, z), 0.0)
        mean = tl.sum(v, axis=0) / hw
        v = tl.where(inside, v - mean[None, :], 0.0)
        factor = tl.rsqrt(tl.sum(v * v, axis=0) / hw + eps)
        tl.store(out + at, (v * (factor * y_s)[None, :] + y_b[None, :]).to(out.dtype.element_ty), mask=inside)
    else:
        # The first pixel is subtracted from all, so that the squares stay small.
        origin = tl.load(x + channel, mask=known, other=0.0).to(tl.float32) + b
        if NOISE:
            origin += tl.load(noise).to(tl.float32) * s
        origin = tl.where(origin < 0, origin * 0.2, origin)
        total, squares = tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32)
        for start in range(0, hw, R):
            row = start + tl.arange(0, R)
            valid, at = row < hw, row[:, None] * c + channel[None, :]
            inside = valid[:, None] & known[None, :]
            z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
            v = tl.where(inside, tl.where(z < 0, z * 0.2, z) - origin[None, :], 0.0)
            total += v
            squares += v * v
        mean = tl.sum(total, axis=0) / hw
        factor = tl.rsqrt(tl.maximum(tl.sum(squares, axis=0) / hw - mean * mean, 0.0) + eps)
        mean += origin
        for start in range(0, hw, R):
            row = start + tl.arange(0, R)
            valid, at = row < hw, row[:, None] * c + channel[None, :]
            inside = valid[:, None] & known[None, :]
            z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
            v = tl.where(z < 0, z * 0.2, z) - mean[None, :]
            tl.store(out + at, (v * (factor * y_s)[None, :] + y_b[None, :]).to(out.dtype.element_ty), mask=inside)
    tl.store(means + n * c + channel, mean, mask=known)
    tl.store(factors + n * c + channel, factor, mask=known)


@triton.jit
def adain_back_kernel(g, x, bias, noise, strength, style, means, factors, out, to_style, sums, c, hw, noise_step,
                      NOISE: tl.constexpr, ONE: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """With v the normalised map: out = y_s · factor · (g − mean(g) − v mean(g v)) · lrelu'; the gradients of the style,
    Σ g v and Σ g; sums [N, 2, C] of out and of out · noise."""
    n, channel = tl.program_id(0).to(tl.int64), tl.program_id(1) * C + tl.arange(0, C)
    known = channel < c
    b = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
    s = tl.load(strength + channel, mask=known, other=0.0).to(tl.float32)
    y_s = tl.load(style + n * 2 * c + channel, mask=known, other=0.0).to(tl.float32)
    mean = tl.load(means + n * c + channel, mask=known, other=0.0)
    factor = tl.load(factors + n * c + channel, mask=known, other=0.0)
    x, g, out, noise = x + n * hw * c, g + n * hw * c, out + n * hw * c, noise + n * noise_step
    if ONE:
        row = tl.arange(0, R)
        valid, at = row < hw, row[:, None] * c + channel[None, :]
        inside = valid[:, None] & known[None, :]
        z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
        v = (tl.where(z < 0, z * 0.2, z) - mean[None, :]) * factor[None, :]
        h = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
        dots, total = tl.sum(h * v, axis=0), tl.sum(h, axis=0)
        h = (h - (total / hw)[None, :] - v * (dots / hw)[None, :]) * (factor * y_s)[None, :] * tl.where(z < 0, 0.2, 1.0)
        h = tl.where(inside, h, 0.0)
        tl.store(out + at, h.to(out.dtype.element_ty), mask=inside)
        summed = tl.sum(h, axis=0)
        if NOISE:
            noisy = tl.sum(h * tl.load(noise + row, mask=valid, other=0.0).to(tl.float32)[:, None], axis=0)
        else:
            noisy = summed
    else:
        some, others = tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32)
        for start in range(0, hw, R):
            row = start + tl.arange(0, R)
            valid, at = row < hw, row[:, None] * c + channel[None, :]
            inside = valid[:, None] & known[None, :]
            z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
            h = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
            some += h * (tl.where(z < 0, z * 0.2, z) - mean[None, :])
            others += h
        dots, total = tl.sum(some, axis=0) * factor, tl.sum(others, axis=0)
        some, others = tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32)
        for start in range(0, hw, R):
            row = start + tl.arange(0, R)
            valid, at = row < hw, row[:, None] * c + channel[None, :]
            inside = valid[:, None] & known[None, :]
            z = before_activation(x, noise, s, b, row, valid, inside, at, NOISE)
            v = (tl.where(z < 0, z * 0.2, z) - mean[None, :]) * factor[None, :]
            h = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
            h = (h - (total / hw)[None, :] - v * (dots / hw)[None, :]) * (factor * y_s)[None, :] * tl.where(z < 0, 0.2, 1.0)
            h = tl.where(inside, h, 0.0)
            tl.store(out + at, h.to(out.dtype.element_ty), mask=inside)
            some += h
            if NOISE:
                others += h * tl.load(noise + row, mask=valid, other=0.0).to(tl.float32)[:, None]
        summed, noisy = tl.sum(some, axis=0), tl.sum(others, axis=0)
    tl.store(to_style + n * 2 * c + channel, dots, mask=known)
    tl.store(to_style + n * 2 * c + c + channel, total, mask=known)
    tl.store(sums + n * 2 * c + channel, summed, mask=known)
    tl.store(sums + n * 2 * c + c + channel, noisy, mask=known)
