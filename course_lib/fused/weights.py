"""The weights of equalized convolutions as these take them: scaled, resampled and in the dtype of the maps, by one GPU kernel each.

All of it is linear in the weight, and each function's gradient is another of them.
"""
import torch
import triton
import triton.language as tl
from torch.autograd import Function

from .autograd import LAST, last


class Scaled(Function):
    """scale · weight [O, I, k, k] in another dtype, for so many input channels: those beyond I are zeros, or the last ones of I are
    dropped."""

    @staticmethod
    def forward(ctx, weight, scale, dtype, channels):
        o, i, h, w = weight.shape
        ctx.constants, weight = (scale, weight.dtype, i), last(weight)
        out = torch.empty([o, channels, h, w], dtype=dtype, device=weight.device, memory_format=LAST)
        scaling_kernel[(triton.cdiv(o * h * w, 32), triton.cdiv(channels, 64))](weight, out, scale, o * h * w, i, channels, 32, 64)
        return out

    @staticmethod
    def backward(ctx, g):
        return Scaled.apply(g, *ctx.constants), None, None, None


class Resampled(Function):
    """scale times the sum of a 3×3 kernel at its four places in 4×4, in another dtype: [O, I, 3, 3] → [O, I, 4, 4], or mirrored and
    transposed, [I, O, 4, 4], as a transposed convolution takes it."""

    @staticmethod
    def forward(ctx, weight, scale, dtype, transposed):
        ctx.constants = scale, weight.dtype, transposed
        weight, (o, i) = last(weight), weight.shape[:2]
        out = torch.empty([i, o, 4, 4] if transposed else [o, i, 4, 4], dtype=dtype, device=weight.device, memory_format=LAST)
        resampling_kernel[(triton.cdiv(o, 32), triton.cdiv(i, 32), 16)](weight, out, scale, o, i, False, transposed, 32)
        return out

    @staticmethod
    def backward(ctx, g):
        return Gathered.apply(g, *ctx.constants), None, None, None


class Gathered(Function):
    """The adjoint of `Resampled`."""

    @staticmethod
    def forward(ctx, g, scale, dtype, transposed):
        ctx.constants = scale, g.dtype, transposed
        g, (o, i) = last(g), g.shape[1::-1] if transposed else g.shape[:2]
        out = torch.empty([o, i, 3, 3], dtype=dtype, device=g.device, memory_format=LAST)
        resampling_kernel[(triton.cdiv(o, 32), triton.cdiv(i, 32), 9)](g, out, scale, o, i, True, transposed, 32)
        return out

    @staticmethod
    def backward(ctx, weight):
        return Resampled.apply(weight, *ctx.constants), None, None, None


@triton.jit
def scaling_kernel(x, out, scale, rows, i, channels, R: tl.constexpr, C: tl.constexpr):
    row, column = (tl.program_id(0) * R + tl.arange(0, R))[:, None], (tl.program_id(1) * C + tl.arange(0, C))[None, :]
    v = tl.load(x + row * i + column, mask=(row < rows) & (column < i), other=0.0).to(tl.float32) * scale
    tl.store(out + row * channels + column, v.to(out.dtype.element_ty), mask=(row < rows) & (column < channels))


@triton.jit
def resampling_kernel(x, out, scale, o, i, BACK: tl.constexpr, TRANSPOSED: tl.constexpr, B: tl.constexpr):
    """B×B entries of one tap: a tap (y, x) of 4×4 is the sum of (y − 1, x − 1) to (y, x) of 3×3; BACK, one of 3×3 that of (y, x) to
    (y + 1, x + 1) of 4×4. TRANSPOSED: the 4×4 kernels are mirrored, and their two channels have changed places."""
    row, column, tap = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B + tl.arange(0, B), tl.program_id(2)
    inside, total = (row < o)[:, None] & (column < i)[None, :], tl.zeros([B, B], tl.float32)
    size: tl.constexpr = 3 if BACK else 4
    a, b = tap // size, tap % size
    for k in tl.static_range(4):
        if BACK:
            y, z = a + k // 2, b + k % 2
            if TRANSPOSED:
                at = column[None, :] * 16 * o + ((3 - y) * 4 + 3 - z) * o + row[:, None]
            else:
                at = row[:, None] * 16 * i + (y * 4 + z) * i + column[None, :]
            total += tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        else:
            y, z = (3 - a if TRANSPOSED else a) - k // 2, (3 - b if TRANSPOSED else b) - k % 2
            there = (y >= 0) & (y < 3) & (z >= 0) & (z < 3)
            mask = (row < tl.where(there, o, 0))[:, None] & (column < i)[None, :]
            total += tl.load(x + row[:, None] * 9 * i + (y * 3 + z) * i + column[None, :], mask=mask, other=0.0).to(tl.float32)
    if BACK:
        to = row[:, None] * 9 * i + tap * i + column[None, :]
    elif TRANSPOSED:
        to = column[None, :] * 16 * o + tap * o + row[:, None]
    else:
        to = row[:, None] * 16 * i + tap * i + column[None, :]
    tl.store(out + to, (total * scale).to(out.dtype.element_ty), mask=inside)
