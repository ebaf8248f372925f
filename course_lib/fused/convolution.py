"""Convolutions whose gradients are differentiated again at the cost of ordinary convolutions.

R1 and path-length regularization differentiate a gradient. PyTorch differentiates the weight gradient of a convolution as a
convolution whose kernel is as large as the map, for which cuDNN has no good algorithm. The weight gradient is linear in the
map and in the incoming gradient, so its own gradients are the convolution itself and its adjoint, with another weight.
"""
from contextlib import contextmanager

import torch
from torch.autograd import Function

_of_parameters = True


@contextmanager
def inputs_only():
    """Inside, gradients of weights and biases are left out. A regularizer that differentiates an image's or a latent's gradient has
    no use for them, and a Function cannot see what is asked of it."""
    global _of_parameters
    before, _of_parameters = _of_parameters, False
    try:
        yield
    finally:
        _of_parameters = before


def of_parameters():
    """Whether gradients of weights and biases are wanted."""
    return _of_parameters


def conv2d(x, weight, stride=1, padding=0):
    """`F.conv2d(x, weight, stride=stride, padding=padding)`, differentiable to any order."""
    return Convolution.apply(x, weight, stride, padding, False, [0, 0])


def conv_transpose2d(x, weight, stride=1, padding=0):
    """`F.conv_transpose2d(x, weight, stride=stride, padding=padding)`, differentiable to any order."""
    return Convolution.apply(x, weight, stride, padding, True, [0, 0])


class Convolution(Function):
    """x [N, I, H, W] under weight [O, I, k, k]; transposed: under weight [I, O, k, k], `output_padding` more pixels at the end."""

    @staticmethod
    def forward(x, weight, stride, padding, transposed, output_padding):
        return torch.convolution(x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed, output_padding, 1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, *ctx.form = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        to_x = adjoint(gradient, weight, x.shape, *ctx.form) if ctx.needs_input_grad[0] else None
        needed = ctx.needs_input_grad[1] and of_parameters()
        to_weight = WeightGradient.apply(gradient, x, weight.shape, *ctx.form) if needed else None
        return to_x, to_weight, None, None, None, None


class WeightGradient(Function):
    """The gradient of `Convolution` for its weight, from that for its output and from x: linear in both."""

    @staticmethod
    def forward(gradient, x, shape, stride, padding, transposed, output_padding):
        weight = x.new_empty(1).expand(shape)
        return torch.ops.aten.convolution_backward(gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed,
                                                   output_padding, 1, [False, True, False])[1]

    @staticmethod
    def setup_context(ctx, inputs, output):
        gradient, x, shape, *ctx.form = inputs
        ctx.save_for_backward(gradient, x)

    @staticmethod
    def backward(ctx, weight):
        gradient, x = ctx.saved_tensors
        to_gradient = Convolution.apply(x, weight, *ctx.form) if ctx.needs_input_grad[0] else None
        to_x = adjoint(gradient, weight, x.shape, *ctx.form) if ctx.needs_input_grad[1] else None
        return to_gradient, to_x, None, None, None, None, None


def adjoint(gradient, weight, shape, stride, padding, transposed, output_padding):
    """The transposed map of a convolution of inputs of this shape: the other kind of convolution with the same weight."""
    missing = [0, 0]
    if not transposed:
        k = weight.shape[-1]
        missing = [size - ((out - 1) * stride - 2 * padding + k) for size, out in zip(shape[2:], gradient.shape[2:])]
    return Convolution.apply(gradient, weight, stride, padding, not transposed, missing)
