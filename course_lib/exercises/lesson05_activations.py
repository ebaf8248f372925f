"""Lesson 05, exercise 4: what is its own in the modulated convolution with scaled activations."""
import torch
import torch.nn.functional as F

from . import watch
from .lesson05_convolutions import modulated_conv2d_activations, norms, scaled_by_einsum

modulated_conv2d_activations.inspect = watch.weights_per_image
mistake = modulated_conv2d_activations.mistake


@mistake("σ sums squares: use style², not style.")
def style_not_squared(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = style @ weight.square().sum(dim=(2, 3)).t()
    return y * (energy + 1e-8).rsqrt()[:, :, None, None] if demod else y


@mistake("σ sums squares: square the weights before you sum over the kernel.")
def weights_summed_before_squaring(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = style.square() @ weight.sum(dim=(2, 3)).square().t()
    return y * (energy + 1e-8).rsqrt()[:, :, None, None] if demod else y


@mistake("σ sums the squares of s_i · w_ijk. You square the sum over the input maps.")
def sum_over_maps_squared(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = torch.einsum("ni,oikl->nokl", style, weight).square().sum(dim=(2, 3))
    return y * (energy + 1e-8).rsqrt()[:, :, None, None] if demod else y


@mistake("σ sums the squares of s_i · w_ijk. You sum everything first, and square the sum.")
def everything_summed_before_squaring(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = (style @ weight.sum(dim=(2, 3)).t()).square()
    return y * (energy + 1e-8).rsqrt()[:, :, None, None] if demod else y


@mistake("σ sums over the input maps and the pixels of the kernel. You take a mean.")
def sigma_from_a_mean(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = style.square() @ weight.square().mean(dim=(2, 3)).t()
    return y * (energy + 1e-8).rsqrt()[:, :, None, None] if demod else y


@mistake("You multiply by σ. Divide by it.")
def multiplied_by_sigma(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    return y * norms(weight, style) if demod else y


def scaled_image_by_image(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    size = weight.square().sum(dim=(2, 3))
    return y * (torch.stack([(s.square() * size).sum(1) for s in style]) + 1e-8)[..., None, None] ** -0.5 if demod else y


def scaled_by_convolutions(x, weight, style, demod=True, padding=0):
    """σ² is a convolution too, of the squared styles as maps of one pixel."""
    y = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
    energy = F.conv2d(style.square()[:, :, None, None], weight.square().sum(dim=(2, 3), keepdim=True))
    return y / (energy + 1e-8).sqrt() if demod else y


for _function in (scaled_by_einsum, scaled_image_by_image, scaled_by_convolutions):
    modulated_conv2d_activations.alternative(_function)

EXERCISES = (modulated_conv2d_activations,)
