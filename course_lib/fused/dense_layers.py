"""Dense layers as single GPU kernels, alone or several at once, differentiable to any order.

Layer i of a group takes x[i] [N, D] and the rows `starts[i]` to `starts[i + 1]` of the weights [C, D]; its result [N, C_i] lies
behind those of the layers before it in one flat tensor. `groups` is (starts, widest C_i), or None for one layer. x Wᵀ + b, z W and
(zᵀ x, Σ z) are linear in each argument, and each is the gradient of the others.
"""
import torch
import triton
from torch.autograd import Function

from .autograd import NO_CLAMP, Masked, precision
from .convolution import of_parameters
from .kernels import dense_kernel

FORWARD, TO_X, TO_WEIGHT = 0, 1, 2


def _product(form, a, b, n, d, total, groups, alpha, beta=1.0, bias=None, gain=1.0, slope=1.0):
    """`dense_kernel` for layers with `total` rows of d weights: its result, and the sums of z."""
    a, b = a.contiguous(), b.contiguous()
    starts, widest = groups or (None, total)
    count = 1 if groups is None else len(starts) - 1
    rows, columns = widest if form == TO_WEIGHT else n, widest if form == FORWARD else d
    out = torch.empty([[n * total], [count, n, d], [total, d]][form], dtype=a.dtype, device=a.device)
    sums = torch.empty([total], device=a.device) if form == TO_WEIGHT else out
    read = lambda t: out if t is None else t            # stands where no tensor is read
    dense_kernel[(triton.cdiv(rows, 32), triton.cdiv(columns, 32), count)](
        a, b, read(bias), out, sums, read(starts), n, d, total, alpha, beta, gain, slope, form, groups is not None,
        bias is not None, precision(), 32, 32, 64)
    return out, sums


class Dense(Function):
    """gain · lrelu(alpha · x Wᵀ + beta · bias), flat. x [I, N, D], weight [C, D], bias [C] or None."""

    @staticmethod
    def forward(x, weight, bias, groups, alpha, beta, gain, slope):
        return _product(FORWARD, x, weight, *x.shape[1:], len(weight), groups, alpha, beta, bias, gain, slope)[0]

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, weight, _, *ctx.constants = inputs
        ctx.save_for_backward(x, weight, None if ctx.constants[3:] == [1.0, 1.0] else y)

    @staticmethod
    def backward(ctx, g):
        x, weight, y = ctx.saved_tensors
        groups, alpha, beta, gain, slope = ctx.constants
        z = g if y is None else Masked.apply(g[None], y[None], gain, slope, NO_CLAMP)[0]
        to_x = ToInput.apply(z, weight, groups, alpha) if ctx.needs_input_grad[0] else None
        to_weight = to_bias = None
        if of_parameters() and any(ctx.needs_input_grad[1:3]):
            to_weight, to_bias = ToWeight.apply(z, x, groups, alpha, beta)
        return to_x, to_weight, to_bias if ctx.needs_input_grad[2] else None, None, None, None, None, None


class ToInput(Function):
    """alpha · z W → [I, N, D]."""

    @staticmethod
    def forward(z, weight, groups, alpha):
        return _product(TO_X, z, weight, z.numel() // len(weight), weight.shape[1], len(weight), groups, alpha)[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        z, weight, *ctx.constants = inputs
        ctx.save_for_backward(z, weight)

    @staticmethod
    def backward(ctx, g):
        z, weight = ctx.saved_tensors
        to_z = Dense.apply(g, weight, None, *ctx.constants, 1.0, 1.0, 1.0) if ctx.needs_input_grad[0] else None
        to_weight = ToWeight.apply(z, g, *ctx.constants, 1.0)[0] if ctx.needs_input_grad[1] and of_parameters() else None
        return to_z, to_weight, None, None


class ToWeight(Function):
    """alpha · zᵀ x → [C, D], and beta · Σ_n z → [C]."""

    @staticmethod
    def forward(z, x, groups, alpha, beta):
        return _product(TO_WEIGHT, z, x, *x.shape[1:], z.numel() // x.shape[1], groups, alpha, beta)

    @staticmethod
    def setup_context(ctx, inputs, output):
        z, x, *ctx.constants = inputs
        ctx.save_for_backward(z, x)

    @staticmethod
    def backward(ctx, g, g_sums):
        z, x = ctx.saved_tensors
        groups, alpha, beta = ctx.constants
        to_z = Dense.apply(x, g, g_sums, groups, alpha, beta, 1.0, 1.0) if ctx.needs_input_grad[0] else None
        to_x = ToInput.apply(z, g, groups, alpha) if ctx.needs_input_grad[1] else None
        return to_z, to_x, None, None, None
