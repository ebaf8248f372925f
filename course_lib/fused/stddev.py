"""The minibatch standard deviation as a single GPU kernel, and one for each of its two derivatives.

Maps are [N, C, H, W] with channels last in memory; sums are taken in float32. A program has a group of samples, m, m + N / size, ….
"""
import torch
import triton
import triton.language as tl
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .autograd import LAST, last


class MinibatchStddev(Function):
    """`ops.minibatch_stddev` of x [N, C, H, W] in groups of `size` samples, with further channels of zeros, `channels` in all."""

    @staticmethod
    def forward(x, size, channels):
        x, (n, c, h, w) = last(x), x.shape
        out = torch.empty([n, channels, h, w], dtype=x.dtype, device=x.device, memory_format=LAST)
        stddev_kernel[(n // size,)](x, out, n // size, c, channels, h * w, size, _places(x), triton.next_power_of_2(channels - c),
                                    num_warps=16)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.size, _ = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        return MinibatchStddevGradient.apply(*ctx.saved_tensors, g, ctx.size), None, None


class MinibatchStddevGradient(Function):
    """The gradient of `MinibatchStddev` for x from that for its result."""

    @staticmethod
    def forward(x, g, size):
        x, g, (n, c, h, w) = last(x), last(g), x.shape
        out = torch.empty_like(x)
        stddev_back_kernel[(n // size,)](x, g, out, n // size, c, g.shape[1], h * w, size, _places(x), num_warps=16)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, g, ctx.size = inputs
        ctx.save_for_backward(x, g)

    @staticmethod
    @once_differentiable
    def backward(ctx, u):
        x, g = ctx.saved_tensors
        x, g, u, (n, c, h, w) = last(x), last(g), last(u), x.shape
        to_x, to_g = torch.empty_like(x), torch.empty_like(g)
        stddev_back_back_kernel[(n // ctx.size,)](x, g, u, to_x, to_g, n // ctx.size, c, g.shape[1], h * w, ctx.size, _places(x),
                                                  triton.next_power_of_2(g.shape[1] - c), num_warps=16)
        return to_x, to_g, None


def _places(x):
    """How many numbers of an image a program takes at a time."""
    return min(triton.next_power_of_2(x[0].numel()), 2048)


@triton.jit
def group_moments(x, m, groups, per_image, at, inside, SIZE: tl.constexpr):
    """Means, and 1 / standard deviations, over samples m, m + groups, … at some places of an image."""
    mean, squares = tl.zeros_like(at).to(tl.float32), tl.zeros_like(at).to(tl.float32)
    for i in tl.static_range(SIZE):
        mean += tl.load(x + (i * groups + m) * per_image + at, mask=inside, other=0.0).to(tl.float32) / SIZE
    for i in tl.static_range(SIZE):
        v = tl.load(x + (i * groups + m) * per_image + at, mask=inside, other=0.0).to(tl.float32) - mean
        squares += v * v / SIZE
    return mean, tl.rsqrt(squares + 1e-8)


@triton.jit
def slope_of_group(g, m, groups, c, channels, hw, SIZE: tl.constexpr):
    """The sum of the gradient for the channel of statistics, over the pixels of a group's samples."""
    total = tl.zeros([16], tl.float32)
    for i in tl.static_range(SIZE):
        for start in range(0, hw, 16):
            pixel = start + tl.arange(0, 16)
            total += tl.load(g + ((i * groups + m) * hw + pixel) * channels + c, mask=pixel < hw, other=0.0).to(tl.float32)
    return tl.sum(total, axis=0)


@triton.jit
def fill_channels(image, value, c, channels, hw, MORE: tl.constexpr):
    """Channel c of an image becomes a number, those behind it 0."""
    more = tl.arange(0, MORE)[None, :]
    for start in range(0, hw, 16):
        pixel = start + tl.arange(0, 16)[:, None]
        tl.store(image + pixel * channels + c + more, tl.where((more == 0) & (pixel < hw), value, 0.0).to(image.dtype.element_ty),
                 mask=(pixel < hw) & (c + more < channels))


@triton.jit
def stddev_kernel(x, out, groups, c, channels, hw, SIZE: tl.constexpr, K: tl.constexpr, MORE: tl.constexpr):
    m, total = tl.program_id(0).to(tl.int64), tl.zeros([K], tl.float32)
    for start in range(0, c * hw, K):
        at = start + tl.arange(0, K)
        inside = at < c * hw
        _, factor = group_moments(x, m, groups, c * hw, at, inside, SIZE)
        total += tl.where(inside, 1 / factor, 0.0)
        for i in tl.static_range(SIZE):
            n = i * groups + m
            tl.store(out + n * hw * channels + at // c * channels + at % c, tl.load(x + n * c * hw + at, mask=inside, other=0.0),
                     mask=inside)
    stddev = tl.sum(total, axis=0) / (c * hw)
    for i in tl.static_range(SIZE):
        fill_channels(out + (i * groups + m) * hw * channels, stddev, c, channels, hw, MORE)


@triton.jit
def stddev_back_kernel(x, g, out, groups, c, channels, hw, SIZE: tl.constexpr, K: tl.constexpr):
    """out = g's first channels + slope · (x − mean) / (standard deviation · SIZE · c · hw)."""
    m = tl.program_id(0).to(tl.int64)
    slope = slope_of_group(g, m, groups, c, channels, hw, SIZE) / (SIZE * c * hw)
    for start in range(0, c * hw, K):
        at = start + tl.arange(0, K)
        inside = at < c * hw
        mean, factor = group_moments(x, m, groups, c * hw, at, inside, SIZE)
        for i in tl.static_range(SIZE):
            n = i * groups + m
            v = tl.load(x + n * c * hw + at, mask=inside, other=0.0).to(tl.float32) - mean
            h = tl.load(g + n * hw * channels + at // c * channels + at % c, mask=inside, other=0.0).to(tl.float32)
            tl.store(out + n * c * hw + at, (h + slope * v * factor).to(out.dtype.element_ty), mask=inside)


@triton.jit
def stddev_back_back_kernel(x, g, u, to_x, to_g, groups, c, channels, hw, SIZE: tl.constexpr, K: tl.constexpr, MORE: tl.constexpr):
    """The gradients of the sum of u · `stddev_back_kernel`: u for g's first channels, Σ u (x − mean) / (standard deviation · SIZE ·
    c · hw) for its next; for x, slope · ((u − mean(u)) − v mean(u v)) / (standard deviation · SIZE · c · hw) with v the normalised
    samples."""
    m, total = tl.program_id(0).to(tl.int64), tl.zeros([K], tl.float32)
    slope = slope_of_group(g, m, groups, c, channels, hw, SIZE) / (SIZE * c * hw)
    for start in range(0, c * hw, K):
        at = start + tl.arange(0, K)
        inside = at < c * hw
        mean, factor = group_moments(x, m, groups, c * hw, at, inside, SIZE)
        mean_u, mean_uv = tl.zeros([K], tl.float32), tl.zeros([K], tl.float32)
        for i in tl.static_range(SIZE):
            n = i * groups + m
            v = (tl.load(x + n * c * hw + at, mask=inside, other=0.0).to(tl.float32) - mean) * factor
            w = tl.load(u + n * c * hw + at, mask=inside, other=0.0).to(tl.float32)
            mean_u += w / SIZE
            mean_uv += w * v / SIZE
            tl.store(to_g + n * hw * channels + at // c * channels + at % c, w.to(to_g.dtype.element_ty), mask=inside)
        total += mean_uv * SIZE
        for i in tl.static_range(SIZE):
            n = i * groups + m
            v = (tl.load(x + n * c * hw + at, mask=inside, other=0.0).to(tl.float32) - mean) * factor
            w = tl.load(u + n * c * hw + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(to_x + n * c * hw + at, (slope * factor * (w - mean_u - v * mean_uv)).to(to_x.dtype.element_ty), mask=inside)
    summed = tl.sum(total, axis=0) / (SIZE * c * hw)
    for i in tl.static_range(SIZE):
        fill_channels(to_g + (i * groups + m) * hw * channels, summed, c, channels, hw, MORE)
