"""Lesson 02, exercises 1 and 2: pixel norm, and the scale of equalized weights."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from .. import ops
from ..networks import pggan
from .engine import Exercise
from .probes import Probe, normal
from .proof import PGGAN, Proof, latents


@torch.no_grad()
def drawn(generator):
    """Four portraits on the plain path."""
    return generator(latents(generator, 4), plain=True)


# Exercise 1

def maps(what, *shape, dtype=torch.float64, scale=1.0, shift=0.0, **eps):
    return Probe(what, {"x": normal(*shape, seed=sum(shape) + len(shape), dtype=dtype, scale=scale) + shift, **eps})


def with_an_empty_pixel():
    x = normal(3, 5, 2, 3, seed=6)
    x[:, :, 1, 2] = 0
    return x


pixel_norm = Exercise(
    "02.pixel_norm", "pixel_norm(x, eps=1e-8)",
    conventions="x is [N, C, H, W], or [N, C] for latents. Return the same shape: the features of every pixel (dimension 1), divided "
                "by the root of the mean of their squares; eps is added to the mean, inside the root. Gradients must pass "
                "through it.",
    production=ops.pixel_norm,
    probes=[maps("three images, five maps of 4×6", 3, 5, 4, 6),
            maps("latents [N, C]", 3, 7),
            maps("as many images as maps, rows and columns", 4, 4, 4, 4),
            maps("float32", 2, 6, 3, 3, dtype=torch.float32),
            maps("latents in float32", 4, 9, dtype=torch.float32),
            maps("features whose mean is far from 0", 3, 5, 3, 4, shift=3.0),
            maps("features of about 1000", 3, 6, 2, 2, scale=1e3),
            maps("features of about 0.0001, where eps counts", 3, 5, 4, 3, scale=1e-4),
            maps("eps = 0.1", 3, 4, 5, 2, eps=0.1),
            maps("a single map", 3, 1, 4, 4),
            maps("one image", 1, 5, 3, 4), maps("one latent", 1, 6),
            maps("1×1 pixels", 3, 8, 1, 1),
            Probe("one pixel that is all zeros", {"x": with_an_empty_pixel()})],
    proof=Proof("pixel_norm", drawn, model=PGGAN, part="32"),
    hints=("One pixel has C features. What single number do you divide all of them by, and over which dimension do you take it?",
           "x.square().mean(dim=1, keepdim=True) is [N, 1, H, W]. Add eps, take the root, divide: x.rsqrt() is 1 / x.sqrt()."))
mistake = pixel_norm.mistake


def over(dims):
    return lambda x, eps=1e-8: x / (x.square().mean(dim=dims, keepdim=True) + eps).sqrt()


def family(message, functions, visible=True):
    """Mistakes of one message, of the exercise whose `mistake` stands above: {name: function}."""
    for name, function in functions.items():
        function.__name__ = name
        mistake(message, visible)(function)


@mistake("Take the mean of the squares. You take their sum, which makes the features smaller the more maps there are.")
def sum_of_squares(x, eps=1e-8):
    return x / (x.square().sum(dim=1, keepdim=True) + eps).sqrt()


family("Take the mean of the squares, with eps inside the root. F.normalize divides by the root of their sum, and its eps is a "
       "limit.", {"unit_length": lambda x, eps=1e-8: F.normalize(x, dim=1, eps=eps),
                  "unit_length_fixed": lambda x, eps=1e-8: F.normalize(x, dim=1)})
family("Take the mean of the squares, with eps inside the root. You divide by the length, the root of their sum.",
       {"length": lambda x, eps=1e-8: x / x.norm(dim=1, keepdim=True)})
family("The mean runs over the maps, dimension 1, for each pixel apart. Yours runs over the pixels of a map.",
       {"over_the_pixels": over((2, 3)), "over_the_later_dimensions": lambda x, eps=1e-8: over((-2, -1))(x, eps)})
family("Every pixel has a length of its own. You take one mean for the whole image.",
       {"whole_image": over((1, 2, 3)), "whole_image_or_latent": lambda x, eps=1e-8: over(tuple(range(1, x.ndim)))(x, eps)})
family("The maps are dimension 1. Your mean runs over the batch.",
       {"over_the_batch": over(0), "over_batch_and_pixels": over((0, 2, 3))})


@mistake("The maps are dimension 1. Your mean runs over the last one, the columns.")
def over_the_columns(x, eps=1e-8):
    return over(-1)(x, eps)


@mistake("Every image stands for itself. Your mean runs over everything.")
def over_everything(x, eps=1e-8):
    return x / (x.square().mean() + eps).sqrt()


@mistake("Do not subtract the mean: pixel norm only divides.")
def mean_subtracted(x, eps=1e-8):
    x = x - x.mean(dim=1, keepdim=True)
    return over(1)(x, eps)


family("Divide by the root of the mean square. A variance, or a deviation, subtracts the mean first.", {
    "by_the_variance": lambda x, eps=1e-8: x / (x.var(dim=1, keepdim=True, unbiased=False) + eps).sqrt(),
    "by_the_unbiased_variance": lambda x, eps=1e-8: x / (x.var(dim=1, keepdim=True) + eps).sqrt(),
    "by_torch_std": lambda x, eps=1e-8: x / (x.std(dim=1, keepdim=True) + eps)})


@mistake("Divide by the mean of all C squares. You divide their sum by C − 1, as an unbiased variance does.")
def one_less(x, eps=1e-8):
    return x / (x.square().sum(dim=1, keepdim=True) / max(x.shape[1] - 1, 1) + eps).sqrt()


@mistake("Divide by the root of the mean. You divide by the mean itself.")
def no_root(x, eps=1e-8):
    return x / (x.square().mean(dim=1, keepdim=True) + eps)


@mistake("Divide by the root. You multiply by it.")
def multiplied_by_it(x, eps=1e-8):
    return x * (x.square().mean(dim=1, keepdim=True) + eps).sqrt()


@mistake("Square the features before you average them. You average absolute values.")
def absolute_values(x, eps=1e-8):
    return x / (x.abs().mean(dim=1, keepdim=True) + eps)


@mistake("Square first, then average. You average first.")
def mean_squared(x, eps=1e-8):
    return x / (x.mean(dim=1, keepdim=True).square() + eps).sqrt()


@mistake("Divide by the root of the mean square. You divide by the largest feature.")
def by_the_largest(x, eps=1e-8):
    return x / (x.abs().amax(dim=1, keepdim=True) + eps)


family("eps belongs inside the root: √(mean + eps). With you it is added to the root.", {
    "eps_outside": lambda x, eps=1e-8: x / (x.square().mean(dim=1, keepdim=True).sqrt() + eps)}, False)
family("eps is added to the mean. A lower limit, as clamp or F.normalize set it, is not a sum.", {
    "eps_as_a_limit": lambda x, eps=1e-8: x / x.square().mean(dim=1, keepdim=True).clamp(min=eps).sqrt(),
    "eps_as_a_limit_of_the_root": lambda x, eps=1e-8: x / x.square().mean(dim=1, keepdim=True).sqrt().clamp(min=eps),
    "scaled_unit_length": lambda x, eps=1e-8: F.normalize(x, dim=1, eps=eps) * x.shape[1] ** 0.5,
    "scaled_unit_length_fixed": lambda x, eps=1e-8: F.normalize(x, dim=1) * x.shape[1] ** 0.5}, False)
family("You leave out eps. A pixel of zeros then divides 0 by 0.", {
    "no_eps": lambda x, eps=1e-8: over(1)(x, 0)}, False)
family("Use the parameter eps. You write a number in its place.", {"eps_fixed": lambda x, eps=1e-8: over(1)(x, 1e-8)}, False)
family("eps is added as it is. You square it.", {"eps_squared": lambda x, eps=1e-8: over(1)(x, eps ** 2)}, False)
family("eps is added to the mean, after the division by C. You add it to the sum.", {
    "eps_in_the_sum": lambda x, eps=1e-8: x / ((x.square().sum(dim=1, keepdim=True) + eps) / x.shape[1]).sqrt()}, False)


@mistake("The length is part of the function, gradient included. You detach it.", visible=False)
def length_detached(x, eps=1e-8):
    return x / (x.detach().square().mean(dim=1, keepdim=True) + eps).sqrt()


@pixel_norm.alternative
def by_the_plain_formula(x, eps=1e-8):
    return x / torch.sqrt(torch.mean(x ** 2, dim=1, keepdim=True) + eps)


@pixel_norm.alternative
def by_einsum(x, eps=1e-8):
    mean = torch.einsum("nc...,nc...->n...", x, x) / x.shape[1]
    return x * (mean + eps).pow(-0.5).unsqueeze(1)


@pixel_norm.alternative
def by_rms_norm(x, eps=1e-8):
    return F.rms_norm(x.movedim(1, -1), (x.shape[1],), eps=eps).movedim(-1, 1)


# Exercise 2

def rebuilt(generator):
    """Four portraits of the generator, built anew from its tensors: a layer asks for its scale when it is made."""
    return drawn(pggan.generator_from(generator.state_dict(), reached=generator.reached, pixel_norm=generator.pixel_norm))


def sized(what, *shape, **gain):
    return Probe(what, {"shape": shape, **gain})


equalized_scale = Exercise(
    "02.equalized_scale", "equalized_scale(shape, gain=1.0)",
    conventions="shape is a tuple, [O, I, k, k] of a convolution or [O, I] of a dense layer. Return the number gain / √(fan-in), "
                "a Python number; fan-in is the count of the inputs that one output sums over.",
    production=ops.equalized_scale, returns="numbers", tolerance=1e-6,
    probes=[sized("a 3×3 convolution from 128 to 64 maps", 64, 128, 3, 3),
            sized("a 3×3 convolution from 64 to 128 maps, gain = 1.5", 128, 64, 3, 3, gain=1.5),
            sized("as many input as output maps, gain = √2", 32, 32, 3, 3, gain=2 ** 0.5),
            sized("a 1×1 convolution from 48 to 3 maps", 3, 48, 1, 1),
            sized("a dense layer from 20 to 50 features", 50, 20),
            sized("a dense layer from 128 to 2048 features, gain = √2 / 4", 2048, 128, gain=2 ** 0.5 / 4),
            sized("a kernel of 1 × 5", 6, 7, 1, 5, gain=0.3),
            sized("one input", 7, 1, gain=3.0),
            Probe("the shape of a tensor", {"shape": torch.Size([5, 12, 3, 3]), "gain": 2})],
    proof=Proof("equalized_scale", rebuilt, model=PGGAN, part="32", what="draws the same portraits, built anew with its scales"),
    hints=("Count: how many products of a weight and an input are added up for one value of one output map?",
           "shape[1:] is everything but the outputs, and math.prod multiplies it up. The gain is divided by the root."))
mistake = equalized_scale.mistake


@mistake("One output sums over the inputs. You count the outputs, shape[0], in their place.")
def fan_out(shape, gain=1.0):
    return gain / math.sqrt(shape[0] * math.prod(shape[2:]))


@mistake("One output sums over shape[1:] only. You count all weights, those of the other outputs too.")
def all_weights(shape, gain=1.0):
    return gain / math.sqrt(math.prod(shape))


@mistake("The mean of inputs and outputs is Glorot's rule. Here only the inputs count.")
def glorot(shape, gain=1.0):
    return gain / math.sqrt(math.prod(shape[2:]) * (shape[0] + shape[1]) / 2)


@mistake("A 3×3 kernel sums over nine pixels of every input map. You count the maps only.")
def kernel_forgotten(shape, gain=1.0):
    return gain / math.sqrt(shape[1])


@mistake("Count the input maps too, not only the pixels of the kernel.")
def maps_forgotten(shape, gain=1.0):
    return gain / math.sqrt(math.prod(shape[2:]))


@mistake("A kernel has rows and columns: multiply by both. You use one of them.", visible=False)
def one_side_of_the_kernel(shape, gain=1.0):
    return gain / math.sqrt(shape[1] * shape[2])


family("The kernel need not be square: multiply rows by columns. You square one of them.", {
    "columns_squared": lambda shape, gain=1.0: gain / math.sqrt(shape[1] * (shape[3] ** 2 if len(shape) == 4 else 1)),
    "rows_squared": lambda shape, gain=1.0: gain / math.sqrt(shape[1] * (shape[2] ** 2 if len(shape) == 4 else 1))}, False)


@mistake("The order is [O, I, k, k], as in torch. You take the last dimension for the outputs, as TensorFlow has it.")
def tensorflow_order(shape, gain=1.0):
    return gain / math.sqrt(math.prod(shape[:-1]))


@mistake("The counts are multiplied. You add them.")
def counts_added(shape, gain=1.0):
    return gain / math.sqrt(sum(shape[1:]))


@mistake("Divide by the root of fan-in. You divide by fan-in: that is right for a variance.")
def no_root(shape, gain=1.0):
    return gain / math.prod(shape[1:])


@mistake("Divide by the root. You multiply by it.")
def multiplied(shape, gain=1.0):
    return gain * math.sqrt(math.prod(shape[1:]))


@mistake("You have it upside down: gain / √(fan-in), and not √(fan-in) / gain.")
def inverted(shape, gain=1.0):
    return math.sqrt(math.prod(shape[1:])) / gain


@mistake("Divide by the root of fan-in. You divide by its square root's root, or by another power.")
def fourth_root(shape, gain=1.0):
    return gain / math.prod(shape[1:]) ** 0.25


@mistake("Multiply by the gain. You leave it out.")
def gain_forgotten(shape, gain=1.0):
    return 1 / math.sqrt(math.prod(shape[1:]))


@mistake("The gain stands outside the root, for it scales the weight, not its variance.")
def gain_in_the_root(shape, gain=1.0):
    return math.sqrt(gain / math.prod(shape[1:]))


@mistake("The gain counts once. You square it.")
def gain_squared(shape, gain=1.0):
    return gain ** 2 / math.sqrt(math.prod(shape[1:]))


@mistake("He's √2 is in the gain already: a layer before a leaky ReLU is given gain = √2. You put it in a second time.")
def he_twice(shape, gain=1.0):
    return gain * math.sqrt(2 / math.prod(shape[1:]))


@mistake("He's √2 is what `gain` is for. You put it in the place of the gain.")
def he_for_gain(shape, gain=1.0):
    return math.sqrt(2 / math.prod(shape[1:]))


@mistake("The weights are normal with deviation 1. √3 belongs to uniform ones.")
def uniform_bound(shape, gain=1.0):
    return gain * math.sqrt(3 / math.prod(shape[1:]))


@equalized_scale.alternative
def by_a_power(shape, gain=1.0):
    return gain * math.prod(shape[1:]) ** -0.5


@equalized_scale.alternative
def in_numpy(shape, gain=1.0):
    return gain / np.sqrt(np.prod(shape[1:]))


@equalized_scale.alternative
def by_counting(shape, gain=1.0):
    fan_in = 1
    for size in list(shape)[1:]:
        fan_in *= size
    return (torch.tensor(gain) / torch.tensor(float(fan_in)).sqrt()).item()


EXERCISES = (pixel_norm, equalized_scale)
