"""From features to colours and back, a matrix for each image, as single GPU kernels, differentiable to any order: `ToRGB`, its
adjoint `FromRGB`, and the gradient of both for the matrix are each other's gradients."""
import torch
import triton
from torch.autograd import Function

from .autograd import LAST, flat, last, precision, shared
from .convolution import of_parameters
from .kernels import rgb_back_kernel, rgb_kernel


class ToRGB(Function):
    """Σ_c matrix[n, k, c] · x[n, c, h, w] + bias[k] → [N, K, H, W] in float32. matrix [N, K, C], bias [K] or None."""

    @staticmethod
    def forward(x, matrix, bias):
        x, matrix = last(x), matrix.contiguous()
        n, c, h, w = x.shape
        k = matrix.shape[1]
        out = torch.empty([n, k, h, w], dtype=torch.float32, device=x.device, memory_format=LAST)
        wide = triton.next_power_of_2(c)
        tall = max(1, 8192 // wide)
        rgb_kernel[(n, triton.cdiv(h * w, tall))](
            x, matrix, out if bias is None else bias, out, c, h * w, k, bias is not None, tall, wide, k)
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
                Outer.apply(g, h) if ctx.needs_input_grad[1] and of_parameters() else None, None)


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
    g, x, matrix = last(g), last(x), flat(matrix)
    n, k, h, w = g.shape
    c = x.shape[1]
    tall, wide = 32, max(16, min(triton.next_power_of_2(c), 64))
    rows, chunks = shared(h * w, tall, n * triton.cdiv(c, wide))
    out = torch.empty([n, c, h, w], dtype=x.dtype, device=g.device, memory_format=LAST) if to_x else g
    partial = torch.empty([n, chunks, k, c], device=g.device) if to_matrix else g
    rgb_back_kernel[(n, chunks, triton.cdiv(c, wide))](
        g, g if matrix is None else matrix, x, out, partial, c, h * w, rows, k, to_x, to_matrix, precision(), tall, wide,
        max(16, triton.next_power_of_2(k)))
    return out if to_x else None, (partial[:, 0] if chunks == 1 else partial.sum(dim=1)) if to_matrix else None
