"""Lesson 05, exercises 1 and 2: modulation and demodulation."""
import torch
import torch.nn.functional as F

from .. import ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, portraits

# Exercise 1


def styled(what, n, o, i, k, dtype=torch.float64, style=None, scale=1.0):
    style = normal(n, i, seed=n + 10 * i + 1, dtype=dtype) if style is None else style
    return Probe(what, {"weight": normal(o, i, k, k, seed=n + 10 * i, dtype=dtype, scale=scale), "style": style})


modulate = Exercise(
    "05.modulate", "modulate(weight, style)",
    conventions="weight is [O, I, k, k], style is [N, I]. Return w' [N, O, I, k, k] with w'_ijk = s_i · w_ijk. Gradients must "
                "pass through it.",
    production=ops.modulate,
    probes=[styled("three images, five output and four input maps", 3, 5, 4, 3),
            styled("as many output as input maps", 3, 4, 4, 3),
            styled("a batch as large as the number of input maps", 4, 3, 4, 3),
            styled("float32", 2, 3, 6, 3, torch.float32),
            styled("a 1×1 weight", 3, 2, 5, 1),
            styled("a single image", 1, 4, 3, 3),
            styled("one input map", 3, 2, 1, 3),
            styled("a style of zeros", 2, 4, 3, 3, style=torch.zeros(2, 3, dtype=torch.float64)),
            styled("weights of about 0.000001", 3, 5, 4, 3, scale=1e-6),
            styled("negative styles", 3, 5, 4, 3, style=-1 - normal(3, 4, seed=3).abs())],
    proof=Proof("modulate", portraits),
    hints=("The result has five dimensions, [N, O, I, k, k]. Which of them does weight lack, and which does style lack?",
           "Index with None: weight[None] is [1, O, I, k, k], and style[:, None, :, None, None] is [N, 1, I, 1, 1]. "
           "Broadcasting does the rest."))


@modulate.mistake("A style belongs to an *input* map, so it stands at dimension 2 of [N, O, I, k, k]. Yours scales the outputs.")
def scales_the_outputs(weight, style):
    return weight[None] * style[:, :, None, None, None]


@modulate.mistake("Multiply by s, not by 1 + s. The layer that makes the style starts it at 1.")
def one_added(weight, style):
    return weight[None] * (1 + style[:, None, :, None, None])


@modulate.mistake("Multiply by the style. You add it.")
def added(weight, style):
    return weight[None] + style[:, None, :, None, None]


@modulate.mistake("Multiply by the style. You divide by it.")
def divided(weight, style):
    return weight[None] / style[:, None, :, None, None]


@modulate.mistake("Every image has weights of its own. You give all images the style of the first.")
def first_style_for_all(weight, style):
    return weight[None] * style[:1].expand_as(style)[:, None, :, None, None]


@modulate.mistake("Every image has weights of its own. You average the styles.")
def mean_style(weight, style):
    return weight[None] * style.mean(dim=0).expand_as(style)[:, None, :, None, None]


@modulate.mistake("You normalise too. Here the style only multiplies; demodulation is the next exercise.")
def demodulated_too(weight, style):
    return ops.demodulate(weight[None] * style[:, None, :, None, None])


@modulate.mistake("Leave out 1 / sqrt(fan-in). The network takes care of the scale of its weights.")
def equalized(weight, style):
    return weight[None] * style[:, None, :, None, None] * ops.equalized_scale(weight.shape)


@modulate.mistake("The order is [N, O, I, k, k]. You return [N, I, O, k, k].")
def maps_exchanged(weight, style):
    return (weight[None] * style[:, None, :, None, None]).transpose(1, 2)


@modulate.mistake("Keep N and O apart: return [N, O, I, k, k]. Joining them is part of the grouped convolution.")
def images_joined(weight, style):
    return (weight[None] * style[:, None, :, None, None]).flatten(0, 1)


@modulate.mistake("Use the style as it is, sign included.")
def absolute(weight, style):
    return weight[None] * style.abs()[:, None, :, None, None]


@modulate.mistake("The style multiplies once. You square it.")
def squared(weight, style):
    return weight[None] * style.square()[:, None, :, None, None]


@modulate.alternative
def modulate_by_einsum(weight, style):
    return torch.einsum("oikl,ni->noikl", weight, style)


@modulate.alternative
def modulate_image_by_image(weight, style):
    return torch.stack([weight * s.view(1, -1, 1, 1) for s in style])


# Exercise 2

def modulated(what, n, o, i, k, dtype=torch.float64, scale=1.0, shift=0.0, **eps):
    return Probe(what, {"weight": normal(n, o, i, k, k, seed=100 * n + 10 * o + i, dtype=dtype, scale=scale) + shift, **eps})


demodulate = Exercise(
    "05.demodulate", "demodulate(weight, eps=1e-8)",
    conventions="weight is [N, O, I, k, k], already modulated. Return the same shape: each filter of each image divided by "
                "the root of its own sum of squares; eps is added to the sum, inside the root. Gradients must pass through it.",
    production=ops.demodulate,
    probes=[modulated("three images, five output and four input maps", 3, 5, 4, 3),
            modulated("as many output as input maps", 2, 4, 4, 3),
            modulated("float32", 2, 3, 6, 3, torch.float32),
            modulated("weights whose mean is far from 0", 3, 5, 4, 3, shift=2.0),
            modulated("a 1×1 weight", 3, 2, 5, 1),
            modulated("one input map", 2, 3, 1, 3),
            modulated("one image", 1, 3, 2, 3), modulated("one image and one output map", 1, 1, 4, 3),
            modulated("weights of about 0.00001, where eps counts", 3, 5, 4, 3, scale=1e-5),
            modulated("eps = 0.01", 3, 5, 4, 3, scale=0.05, eps=1e-2),
            Probe("one filter that is all zeros", {"weight": normal(2, 3, 4, 3, 3, seed=8)
                                                   * torch.tensor([1.0, 0, 2]).view(1, 3, 1, 1, 1).double()})],
    proof=Proof("demodulate", portraits),
    hints=("Say it in words: one number for every image and every output map. Over which three dimensions of [N, O, I, k, k] "
           "do you sum, then?",
           "weight.square().sum(dim=(2, 3, 4), keepdim=True) is [N, O, 1, 1, 1]. Add eps, take the root, divide: "
           "x.rsqrt() is 1 / x.sqrt()."))
mistake = demodulate.mistake


def over(dims):
    return lambda weight, eps: weight / (weight.square().sum(dim=dims, keepdim=True) + eps).sqrt()


@mistake("eps belongs inside the root: sqrt(sum + eps). With you it is added to the root.", visible=False)
def eps_outside(weight, eps=1e-8):
    return weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True).sqrt() + eps)


@mistake("eps belongs inside the root: sqrt(sum + eps). A lower limit, as F.normalize and clamp set it, is not a sum.",
         visible=False)
def eps_as_a_limit(weight, eps=1e-8):
    return F.normalize(weight.flatten(2), dim=2, eps=eps).view_as(weight)


@mistake("eps belongs inside the root: sqrt(sum + eps). A lower limit, as F.normalize and clamp set it, is not a sum.",
         visible=False)
def eps_as_a_limit_inside(weight, eps=1e-8):
    return weight / weight.square().sum(dim=(2, 3, 4), keepdim=True).clamp(min=eps).sqrt()


@mistake("You leave out eps. A filter of zeros then divides 0 by 0.", visible=False)
def no_eps(weight, eps=1e-8):
    return weight / weight.square().sum(dim=(2, 3, 4), keepdim=True).sqrt()


@mistake("Use the parameter eps. You write a number in its place.", visible=False)
def eps_fixed(weight, eps=1e-8):
    return over((2, 3, 4))(weight, 1e-8)


@mistake("eps is added once to the sum. You add it to every square.", visible=False)
def eps_in_every_term(weight, eps=1e-8):
    return weight / (weight.square() + eps).sum(dim=(2, 3, 4), keepdim=True).sqrt()


@mistake("eps is added as it is. You square it.", visible=False)
def eps_squared(weight, eps=1e-8):
    return over((2, 3, 4))(weight, eps ** 2)


@mistake("Divide by the root of the sum. You divide by the sum itself.")
def no_root(weight, eps=1e-8):
    return weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + eps)


@mistake("Divide by the root. You multiply by it.")
def multiplied(weight, eps=1e-8):
    return weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + eps).sqrt()


@mistake("Take the sum of the squares. You take their mean.")
def mean_of_squares(weight, eps=1e-8):
    return weight / (weight.square().mean(dim=(2, 3, 4), keepdim=True) + eps).sqrt()


@mistake("Sum over the pixels of the kernel too, not only over the input maps.")
def input_maps_only(weight, eps=1e-8):
    return over(2)(weight, eps)


@mistake("Sum over the input maps too, not only over the pixels of the kernel.")
def pixels_only(weight, eps=1e-8):
    return over((3, 4))(weight, eps)


@mistake("Every output map has a sum of its own. You sum over the output maps too.")
def output_maps_too(weight, eps=1e-8):
    return over((1, 2, 3, 4))(weight, eps)


@mistake("Sum over the input maps, dimension 2. You sum over the output maps, dimension 1.")
def output_maps_instead(weight, eps=1e-8):
    return over((1, 3, 4))(weight, eps)


@mistake("Every image has a sum of its own. You sum over the batch too.")
def batch_too(weight, eps=1e-8):
    return over((0, 2, 3, 4))(weight, eps)


@mistake("Do not subtract the mean: Eq. 3 takes the plain sum of squares, not a variance.")
def mean_subtracted(weight, eps=1e-8):
    centred = weight - weight.mean(dim=(2, 3, 4), keepdim=True)
    return centred / (centred.square().sum(dim=(2, 3, 4), keepdim=True) + eps).sqrt()


@mistake("Do not subtract the mean: Eq. 3 takes the plain sum of squares, not a variance.")
def deviation(weight, eps=1e-8):
    return weight / (weight.var(dim=(2, 3, 4), keepdim=True, unbiased=False) + eps).sqrt()


@mistake("Divide by the root of the sum of squares. torch.std subtracts the mean, and divides the sum by the count less one.")
def by_torch_std(weight, eps=1e-8):
    return weight / weight.std(dim=(2, 3, 4), keepdim=True)


@mistake("Square the weights before you sum them. You sum their absolute values.")
def absolute_values(weight, eps=1e-8):
    return weight / (weight.abs().sum(dim=(2, 3, 4), keepdim=True) + eps)


@mistake("Square first, then sum. You sum first.")
def sum_squared(weight, eps=1e-8):
    return weight / (weight.sum(dim=(2, 3, 4), keepdim=True).square() + eps).sqrt()


@mistake("The sum is part of the function, gradient included. You detach it.", visible=False)
def sum_detached(weight, eps=1e-8):
    return weight / (weight.detach().square().sum(dim=(2, 3, 4), keepdim=True) + eps).sqrt()


@demodulate.alternative
def demodulate_by_einsum(weight, eps=1e-8):
    return weight / (torch.einsum("noikl,noikl->no", weight, weight)[:, :, None, None, None] + eps) ** 0.5


@demodulate.alternative
def demodulate_flat(weight, eps=1e-8):
    flat = weight.flatten(2)
    return (flat * torch.rsqrt((flat ** 2).sum(-1, keepdim=True) + eps)).reshape(weight.shape)


@demodulate.alternative
def demodulate_by_norm(weight, eps=1e-8):
    extra = torch.full_like(weight[:, :, :1, 0, 0], eps ** 0.5)
    return weight / torch.linalg.vector_norm(torch.cat([weight.flatten(2), extra], 2), dim=2)[:, :, None, None, None]


EXERCISES = (modulate, demodulate)
