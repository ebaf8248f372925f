"""Lesson 02: pixel norm, the scale of equalized weights, the deviation over the minibatch, and the gradient penalty."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from ... import losses, ops
from ...networks import pggan
from ..engine import PGGAN, Exercise, ModelCheck, case, curves, descend, draw, latents, wrong
from .shared import WITHOUT_GRADIENT, Critic


@torch.no_grad()
def drawn(generator):
    """Four portraits on the reference path."""
    return generator(latents(generator, 4), impl="reference")


# Exercise 1

def mean_square(x, dim=1):
    return x.square().mean(dim=dim, keepdim=True)


def over(dim):
    return lambda x, eps=1e-8: x / (mean_square(x, dim) + eps).sqrt()


def divided(by):
    return lambda x, eps=1e-8: x / by(x, eps)


def by_einsum(x, eps=1e-8):
    mean = torch.einsum("nc...,nc...->n...", x, x) / x.shape[1]
    return x * (mean + eps).pow(-0.5).unsqueeze(1)


pixel_norm = Exercise(
    "02.pixel_norm", "pixel_norm(x, eps=1e-8)",
    conventions="x is [N, C, H, W], or [N, C] for latents. Return the same shape: the features of every pixel (dimension 1), "
                "divided by the root of the mean of their squares; eps is added to the mean, inside the root. Gradients must pass "
                "through it.",
    hints=("One pixel has C features. What single number do you divide all of them by, and over which dimension do you take it?",
           "x.square().mean(dim=1, keepdim=True) is [N, 1, H, W]. Add eps, take the root, divide: x.rsqrt() is 1 / x.sqrt()."),
    production=ops.pixel_norm,
    model_check=ModelCheck(drawn, model=PGGAN, part="32"),
    cases=[
        case("three images, five maps of 4×6", x=draw(3, 5, 4, 6, seed=22)),
        case("latents [N, C]", x=draw(3, 7, seed=12)),
        case("as many images as maps, rows and columns", x=draw(4, 4, 4, 4, seed=20)),
        case("float32", x=draw(2, 6, 3, 3, seed=18)).float(),
        case("latents in float32", x=draw(4, 9, seed=15)).float(),
        case("features whose mean is far from 0", x=3 + draw(3, 5, 3, 4, seed=19)),
        case("features of about 1000", x=1e3 * draw(3, 6, 2, 2, seed=17)),
        case("features of about 0.0001, where eps counts", x=1e-4 * draw(3, 5, 4, 3, seed=19)),
        case("eps = 0.1", x=draw(3, 4, 5, 2, seed=18), eps=0.1),
        case("a single map", x=draw(3, 1, 4, 4, seed=16)),
        case("one image", x=draw(1, 5, 3, 4, seed=17)),
        case("one latent", x=draw(1, 6, seed=9)),
        case("1×1 pixels", x=draw(3, 8, 1, 1, seed=17)),
        case("one pixel that is all zeros", x=draw(3, 5, 2, 3, seed=6).masked_fill(torch.arange(6).view(2, 3) == 5, 0))],
    wrong=[
        wrong("Take the mean of the squares. You take their sum, which makes the features smaller the more maps there are.",
              sum_of_squares=divided(lambda x, eps: (x.square().sum(dim=1, keepdim=True) + eps).sqrt())),
        wrong("Take the mean of the squares, with eps inside the root. F.normalize divides by the root of their sum, and its eps "
              "is a limit.",
              unit_length=lambda x, eps=1e-8: F.normalize(x, dim=1, eps=eps),
              unit_length_fixed=lambda x, eps=1e-8: F.normalize(x, dim=1)),
        wrong("Take the mean of the squares, with eps inside the root. You divide by the length, the root of their sum.",
              length=divided(lambda x, eps: x.norm(dim=1, keepdim=True))),
        wrong("The mean runs over the maps, dimension 1, for each pixel apart. Yours runs over the pixels of a map.",
              over_the_pixels=over((2, 3)), over_the_later_dimensions=over((-2, -1))),
        wrong("Every pixel has a length of its own. You take one mean for the whole image.",
              whole_image=over((1, 2, 3)),
              whole_image_or_latent=divided(lambda x, eps: (mean_square(x, tuple(range(1, x.ndim))) + eps).sqrt())),
        wrong("The maps are dimension 1. Your mean runs over the batch.",
              over_the_batch=over(0), over_batch_and_pixels=over((0, 2, 3))),
        wrong("The maps are dimension 1. Your mean runs over the last one, the columns.", over_the_columns=over(-1)),
        wrong("Every image stands for itself. Your mean runs over everything.",
              over_everything=divided(lambda x, eps: (x.square().mean() + eps).sqrt())),
        wrong("Do not subtract the mean: pixel norm only divides.",
              mean_subtracted=lambda x, eps=1e-8: over(1)(x - x.mean(dim=1, keepdim=True), eps)),
        wrong("Divide by the root of the mean square. A variance, or a deviation, subtracts the mean first.",
              by_the_variance=divided(lambda x, eps: (x.var(dim=1, keepdim=True, unbiased=False) + eps).sqrt()),
              by_the_unbiased_variance=divided(lambda x, eps: (x.var(dim=1, keepdim=True) + eps).sqrt()),
              by_torch_std=divided(lambda x, eps: x.std(dim=1, keepdim=True) + eps)),
        wrong("Divide by the mean of all C squares. You divide their sum by C − 1, as an unbiased variance does.",
              one_less=divided(lambda x, eps: (x.square().sum(dim=1, keepdim=True) / max(x.shape[1] - 1, 1) + eps).sqrt())),
        wrong("Divide by the root of the mean. You divide by the mean itself.",
              no_root=divided(lambda x, eps: mean_square(x) + eps)),
        wrong("Divide by the root. You multiply by it.",
              multiplied_by_it=lambda x, eps=1e-8: x * (mean_square(x) + eps).sqrt()),
        wrong("Square the features before you average them. You average absolute values.",
              absolute_values=divided(lambda x, eps: x.abs().mean(dim=1, keepdim=True) + eps)),
        wrong("Square first, then average. You average first.",
              mean_squared=divided(lambda x, eps: (x.mean(dim=1, keepdim=True).square() + eps).sqrt())),
        wrong("Divide by the root of the mean square. You divide by the largest feature.",
              by_the_largest=divided(lambda x, eps: x.abs().amax(dim=1, keepdim=True) + eps)),
        wrong("eps belongs inside the root: √(mean + eps). With you it is added to the root.", visible=False,
              eps_outside=divided(lambda x, eps: mean_square(x).sqrt() + eps)),
        wrong("eps is added to the mean. A lower limit, as clamp or F.normalize set it, is not a sum.", visible=False,
              eps_as_a_limit=divided(lambda x, eps: mean_square(x).clamp(min=eps).sqrt()),
              eps_as_a_limit_of_the_root=divided(lambda x, eps: mean_square(x).sqrt().clamp(min=eps)),
              scaled_unit_length=lambda x, eps=1e-8: F.normalize(x, dim=1, eps=eps) * x.shape[1] ** 0.5,
              scaled_unit_length_fixed=lambda x, eps=1e-8: F.normalize(x, dim=1) * x.shape[1] ** 0.5),
        wrong("You leave out eps. A pixel of zeros then divides 0 by 0.", visible=False,
              no_eps=lambda x, eps=1e-8: over(1)(x, 0)),
        wrong("Use the parameter eps. You write a number in its place.", visible=False,
              eps_fixed=lambda x, eps=1e-8: over(1)(x, 1e-8)),
        wrong("eps is added as it is. You square it.", visible=False,
              eps_squared=lambda x, eps=1e-8: over(1)(x, eps ** 2)),
        wrong("eps is added to the mean, after the division by C. You add it to the sum.", visible=False,
              eps_in_the_sum=divided(lambda x, eps: ((x.square().sum(dim=1, keepdim=True) + eps) / x.shape[1]).sqrt())),
        wrong("The length is part of the function, gradient included. You detach it.", visible=False,
              length_detached=divided(lambda x, eps: (mean_square(x.detach()) + eps).sqrt()))],
    alternatives=[
        lambda x, eps=1e-8: x / torch.sqrt(torch.mean(x ** 2, dim=1, keepdim=True) + eps),
        by_einsum,
        lambda x, eps=1e-8: F.rms_norm(x.movedim(1, -1), (x.shape[1],), eps=eps).movedim(-1, 1)])


# Exercise 2

def rebuilt(generator):
    """Four portraits of the generator, built anew from its tensors: a layer asks for its scale when it is made."""
    return drawn(pggan.generator_from(generator.state_dict(), reached=generator.reached, pixel_norm=generator.pixel_norm))


def with_count(count):
    """The gain divided by the root of another count."""
    return lambda shape, gain=1.0: gain / math.sqrt(count(shape))


def of_fan_in(scale):
    return lambda shape, gain=1.0: scale(math.prod(shape[1:]), gain)


def by_counting(shape, gain=1.0):
    fan_in = 1
    for size in list(shape)[1:]:
        fan_in *= size
    return (torch.tensor(gain) / torch.tensor(float(fan_in)).sqrt()).item()


equalized_scale = Exercise(
    "02.equalized_scale", "equalized_scale(shape, gain=1.0)",
    conventions="shape is a tuple, [O, I, k, k] of a convolution or [O, I] of a dense layer. Return the number gain / √(fan-in), "
                "a Python number; fan-in is the count of the inputs that one output sums over.",
    hints=("Count: how many products of a weight and an input are added up for one value of one output map?",
           "shape[1:] is everything but the outputs, and math.prod multiplies it up. The gain is divided by the root."),
    production=ops.equalized_scale, returns="numbers", tolerance=1e-6,
    model_check=ModelCheck(rebuilt, model=PGGAN, part="32", what="draws the same portraits, built anew with its scales"),
    cases=[
        case("a 3×3 convolution from 128 to 64 maps", shape=(64, 128, 3, 3)),
        case("a 3×3 convolution from 64 to 128 maps, gain = 1.5", shape=(128, 64, 3, 3), gain=1.5),
        case("as many input as output maps, gain = √2", shape=(32, 32, 3, 3), gain=2 ** 0.5),
        case("a 1×1 convolution from 48 to 3 maps", shape=(3, 48, 1, 1)),
        case("a dense layer from 20 to 50 features", shape=(50, 20)),
        case("a dense layer from 128 to 2048 features, gain = √2 / 4", shape=(2048, 128), gain=2 ** 0.5 / 4),
        case("a kernel of 1 × 5", shape=(6, 7, 1, 5), gain=0.3),
        case("one input", shape=(7, 1), gain=3.0),
        case("the shape of a tensor", shape=torch.Size([5, 12, 3, 3]), gain=2)],
    wrong=[
        wrong("One output sums over the inputs. You count the outputs, shape[0], in their place.",
              fan_out=with_count(lambda shape: shape[0] * math.prod(shape[2:]))),
        wrong("One output sums over shape[1:] only. You count all weights, those of the other outputs too.",
              all_weights=with_count(math.prod)),
        wrong("The mean of inputs and outputs is Glorot's rule. Here only the inputs count.",
              glorot=with_count(lambda shape: math.prod(shape[2:]) * (shape[0] + shape[1]) / 2)),
        wrong("A 3×3 kernel sums over nine pixels of every input map. You count the maps only.",
              kernel_forgotten=with_count(lambda shape: shape[1])),
        wrong("Count the input maps too, not only the pixels of the kernel.",
              maps_forgotten=with_count(lambda shape: math.prod(shape[2:]))),
        wrong("A kernel has rows and columns: multiply by both. You use one of them.", visible=False,
              one_side_of_the_kernel=with_count(lambda shape: shape[1] * shape[2])),
        wrong("The kernel need not be square: multiply rows by columns. You square one of them.", visible=False,
              columns_squared=with_count(lambda shape: shape[1] * (shape[3] ** 2 if len(shape) == 4 else 1)),
              rows_squared=with_count(lambda shape: shape[1] * (shape[2] ** 2 if len(shape) == 4 else 1))),
        wrong("The order is [O, I, k, k], as in torch. You take the last dimension for the outputs, as TensorFlow has it.",
              tensorflow_order=with_count(lambda shape: math.prod(shape[:-1]))),
        wrong("The counts are multiplied. You add them.", counts_added=with_count(lambda shape: sum(shape[1:]))),
        wrong("Divide by the root of fan-in. You divide by fan-in: that is right for a variance.",
              no_root=of_fan_in(lambda n, gain: gain / n)),
        wrong("Divide by the root. You multiply by it.", multiplied=of_fan_in(lambda n, gain: gain * math.sqrt(n))),
        wrong("You have it upside down: gain / √(fan-in), and not √(fan-in) / gain.",
              inverted=of_fan_in(lambda n, gain: math.sqrt(n) / gain)),
        wrong("Divide by the root of fan-in. You divide by its square root's root, or by another power.",
              fourth_root=of_fan_in(lambda n, gain: gain / n ** 0.25)),
        wrong("Multiply by the gain. You leave it out.", gain_forgotten=of_fan_in(lambda n, gain: 1 / math.sqrt(n))),
        wrong("The gain stands outside the root, for it scales the weight, not its variance.",
              gain_in_the_root=of_fan_in(lambda n, gain: math.sqrt(gain / n))),
        wrong("The gain counts once. You square it.", gain_squared=of_fan_in(lambda n, gain: gain ** 2 / math.sqrt(n))),
        wrong("He's √2 is in the gain already: a layer before a leaky ReLU is given gain = √2. You put it in a second time.",
              he_twice=of_fan_in(lambda n, gain: gain * math.sqrt(2 / n))),
        wrong("He's √2 is what `gain` is for. You put it in the place of the gain.",
              he_for_gain=of_fan_in(lambda n, gain: math.sqrt(2 / n))),
        wrong("The weights are normal with deviation 1. √3 belongs to uniform ones.",
              uniform_bound=of_fan_in(lambda n, gain: gain * math.sqrt(3 / n)))],
    alternatives=[
        lambda shape, gain=1.0: gain * math.prod(shape[1:]) ** -0.5,
        lambda shape, gain=1.0: gain / np.sqrt(np.prod(shape[1:])),
        by_counting])


# Exercise 3

def one_group_of_copies():
    """Three groups of four; those of the second are copies of one sample."""
    x = draw(12, 3, 2, 4, seed=5)
    x[1::3] = x[1]
    return x


def half_copied(groups, seed):
    """Images of 2 · `groups` strided groups of four: different ones in the first half of the groups, copies of one in the rest."""
    images = draw(4, 2 * groups, 3, 4, 4, seed=seed, dtype=torch.float32, scale=2.0)
    images[:, groups:] = images[:1, groups:]
    return images.flatten(0, 1)


@torch.enable_grad()
def variety_learnt(network):
    """Eighty steps of a small discriminator that tells groups of different images from groups of copies; one by one they are alike.
    The mean logits of both kinds, for images that it does not train on."""
    torch.manual_seed(0)
    D, held, rows = pggan.Discriminator(4, channels={4: 12}), half_copied(20, seed=1000), []
    kinds = lambda images: D(images).reshape(4, 2, -1).unbind(dim=1)
    for step in range(80):
        rows.append(torch.stack([logits.mean() for logits in kinds(held)]).detach())
        descend(D, losses.discriminator_loss(*kinds(half_copied(12, seed=step))).mean(), 0.5)
    return torch.stack(rows, dim=1)


def groups_of(x, size):
    """[size, groups, C, H, W]"""
    size = min(size, len(x))
    return x.reshape(size, len(x) // size, *x.shape[1:])


def neighbours_of(x, size):
    """The same of groups of neighbours."""
    size = min(size, len(x))
    return x.reshape(-1, size, *x.shape[1:]).transpose(0, 1)


def variances(groups):
    return groups.var(dim=0, unbiased=False)


def standard_deviations(groups):
    """Of every feature at every pixel, [groups, C, H, W]."""
    return (variances(groups) + 1e-8).sqrt()


def averaged(maps):
    return maps.mean(dim=(1, 2, 3))


def numbers(x, size):
    """The right ones, [groups]."""
    return averaged(standard_deviations(groups_of(x, size)))


def appended(x, found):
    """x and what was found in its groups, [groups] or [groups, …, H or 1, W or 1], as further channels; sample i belongs to group
    i mod `groups`."""
    found = found if found.ndim == 4 else found.view(-1, 1, 1, 1)
    return torch.cat([x, found.repeat(len(x) // len(found), 1, 1, 1).expand(-1, -1, *x.shape[2:])], dim=1)


def of_groups(find):
    return lambda x, group_size=4: appended(x, find(groups_of(x, group_size)))


def interleaved(find):
    """One number for each group, which goes to samples that are neighbours."""
    return lambda x, group_size=4: appended(x, find(x, group_size).repeat_interleave(min(group_size, len(x))))


def with_channel(join):
    """join(x, the right channel [N, 1, H, W])"""
    return lambda x, group_size=4: join(x, appended(x[:, :0], numbers(x, group_size)))


def group_by_group(x, group_size=4):
    m = len(x) // min(group_size, len(x))
    found = [((x[i::m] - x[i::m].mean(dim=0)).pow(2).mean(dim=0) + 1e-8).sqrt().mean() for i in range(m)]
    return torch.cat([x, torch.stack([found[i % m].expand(1, *x.shape[2:]) for i in range(len(x))])], dim=1)


def centred_groups(x, group_size=4):
    n, c, h, w = x.shape
    size = min(group_size, n)
    y = x.view(size, -1, c, h, w)
    y = y - y.mean(0, keepdim=True)
    y = torch.sqrt(torch.mean(y ** 2, 0) + 1e-8).mean([1, 2, 3], keepdim=True)
    return torch.cat((x, y.repeat(size, 1, h, w)), 1)


def neighbours_after_sorting(x, group_size=4):
    n, size = len(x), min(group_size, len(x))
    order = torch.arange(n).view(size, n // size).t().flatten()
    std = torch.stack([torch.var(g, 0, correction=0).add(1e-8).sqrt().mean() for g in x[order].split(size)])
    return torch.cat([x, std[torch.arange(n) % (n // size)][:, None, None, None] * torch.ones_like(x[:, :1])], 1)


minibatch_stddev = Exercise(
    "02.minibatch_stddev", "minibatch_stddev(x, group_size=4)",
    conventions="x is [N, C, H, W]. Groups are strided: with m = N / group_size groups, sample i belongs to group i mod m (reshape "
                "to [group_size, m, C, H, W]). A batch smaller than group_size is one group. In a group: the deviation √(variance "
                "+ 1e-8) of every feature at every pixel, with the biased variance; averaged over features and pixels to one "
                "number. Return [N, C + 1, H, W]: x, and as last channel the number of the sample's group. Gradients must pass "
                "through it.",
    hints=("x.reshape(size, N // size, C, H, W) puts the samples of a group along dimension 0. Why not reshape(N // size, size, "
           "…)?",
           "(groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3)) has one number a group. `.repeat(size)` gives "
           "sample i the number of group i mod m; make it [N, 1, H, W] with expand, and torch.cat it to x."),
    production=ops.minibatch_stddev, reference=lambda x, group_size=4: ops.minibatch_stddev(x, group_size),
    model_check=ModelCheck(variety_learnt, model=None, who="A small discriminator", what="learns as with the library's",
                           plot=curves(range(80), "steps", "mean logit", ("of different images", "of copies"))),
    cases=[
        case("three samples, fewer than group_size", x=draw(3, 4, 3, 3, seed=13)),
        case("eight samples: two groups of four", x=draw(8, 3, 4, 5, seed=20)),
        case("twelve samples: three groups of four", x=draw(12, 2, 3, 2, seed=19)),
        case("one group of four", x=draw(4, 5, 2, 3, seed=14)),
        case("a single sample", x=draw(1, 3, 2, 4, seed=10)),
        case("group_size = 2: three groups", x=draw(6, 4, 2, 2, seed=14), group_size=2),
        case("group_size = 3: two groups in float32", x=draw(6, 3, 4, 4, seed=17), group_size=3).float(),
        case("group_size = 1: every sample alone", x=draw(3, 2, 3, 4, seed=12), group_size=1),
        case("float32", x=draw(8, 6, 3, 3, seed=20)).float(),
        case("as many samples as features, rows and columns", x=draw(4, 4, 4, 4, seed=16), group_size=2),
        case("features whose mean is far from 0", x=5 + draw(8, 3, 2, 4, seed=17)),
        case("features of about 0.0001, where 1e-8 counts", x=1e-4 * draw(4, 3, 5, 2, seed=14)),
        case("two groups of four copies", x=draw(2, 4, 3, 2, seed=17).repeat(4, 1, 1, 1)),
        case("three groups, one of them of copies", x=one_group_of_copies()),
        case("group_size = 6: two groups", x=draw(12, 2, 3, 3, seed=20), group_size=6),
        case("1×1 maps", x=draw(8, 5, 1, 1, seed=15))],
    wrong=[
        wrong("The groups are strided: sample i belongs to group i mod (N / group_size). Yours are made of neighbours.",
              neighbours=interleaved(lambda x, size: averaged(standard_deviations(neighbours_of(x, size))))),
        wrong("The groups are made of neighbours, and their numbers go to other samples. Group the samples strided, and repeat the "
              "numbers in the same order.",
              neighbours_handed_to_others=lambda x, group_size=4: appended(
                  x, averaged(standard_deviations(neighbours_of(x, group_size))))),
        wrong("The groups are right, but their numbers go to the wrong samples: `repeat`, not `repeat_interleave`, for sample i "
              "belongs to group i mod m.", handed_to_neighbours=interleaved(numbers)),
        wrong("group_size is the number of samples in a group. You take it for the number of groups.",
              groups_counted=lambda x, group_size=4: appended(x, numbers(x, len(x) // min(group_size, len(x))))),
        wrong("Every group has a number of its own. You take the whole batch as one group.",
              whole_batch=lambda x, group_size=4: appended(x, numbers(x, len(x)))),
        wrong("Every group of group_size has a number of its own, √(biased variance + 1e-8). You take torch.std of the whole "
              "batch.",
              whole_batch_by_std=lambda x, group_size=4: appended(x, x.std(dim=0).mean())),
        wrong("Every group has a number of its own. You average over the groups too.",
              groups_averaged=of_groups(lambda groups: standard_deviations(groups).mean())),
        wrong("Every group has a number of its own. You give all samples that of the first.",
              first_group_for_all=of_groups(lambda groups: averaged(standard_deviations(groups))[:1])),
        wrong("Use the parameter group_size. You write a number in its place.", visible=False,
              size_fixed=lambda x, group_size=4: appended(x, numbers(x, 4))),
        wrong("A batch of fewer than group_size samples is one group: take min(group_size, N).", visible=False,
              no_minimum=lambda x, group_size=4: appended(
                  x, averaged(standard_deviations(x.reshape(group_size, -1, *x.shape[1:]))))),
        wrong("The variance is the biased one: divide by group_size, not by one less (unbiased=False).",
              unbiased=of_groups(lambda groups: averaged((groups.var(dim=0) + 1e-8).sqrt()))),
        wrong("The variance is the biased one, with 1e-8 inside the root. torch.std divides by one less, and adds nothing.",
              by_std=of_groups(lambda groups: averaged(groups.std(dim=0)))),
        wrong("Take the root of the variance: the channel holds a deviation.",
              variance=of_groups(lambda groups: averaged(variances(groups) + 1e-8))),
        wrong("Take the root of every feature's variance, then the mean. You take the mean first.",
              root_of_the_mean=of_groups(lambda groups: (averaged(variances(groups)) + 1e-8).sqrt())),
        wrong("Subtract the group's mean: a deviation is not the root of the mean square.",
              mean_square=of_groups(lambda groups: averaged((groups.square().mean(dim=0) + 1e-8).sqrt()))),
        wrong("Square the differences from the mean. You average their absolute values.",
              absolute_deviation=of_groups(lambda groups: (groups - groups.mean(dim=0)).abs().mean(dim=(0, 2, 3, 4)))),
        wrong("The deviation runs over the samples of a group. Yours runs over the features and pixels of each sample.",
              within_a_sample=lambda x, group_size=4: appended(x, (x.flatten(1).var(dim=1, unbiased=False) + 1e-8).sqrt())),
        wrong("The deviation runs over the samples only. Yours runs over features and pixels too.",
              over_all_dimensions=of_groups(lambda groups: (groups.var(dim=(0, 2, 3, 4), unbiased=False) + 1e-8).sqrt())),
        wrong("Take the deviation of every feature at every pixel. You average the features and pixels of a sample first.",
              samples_averaged_first=of_groups(lambda groups: standard_deviations(groups.mean(dim=(2, 3, 4))))),
        wrong("Average over the pixels too: the channel is constant. Yours is a map.",
              pixels_kept=of_groups(lambda groups: standard_deviations(groups).mean(dim=1, keepdim=True))),
        wrong("Average over the features too: one more channel, not one for every feature.",
              features_kept=of_groups(lambda groups: standard_deviations(groups).mean(dim=(2, 3), keepdim=True))),
        wrong("Average over features and pixels. You sum.",
              summed=of_groups(lambda groups: standard_deviations(groups).sum(dim=(1, 2, 3)))),
        wrong("The new channel comes last. You put it first.",
              put_first=with_channel(lambda x, channel: torch.cat([channel, x], dim=1))),
        wrong("Return x with one channel more. You return the new channel alone.",
              channel_alone=with_channel(lambda x, channel: channel)),
        wrong("Keep all features: the deviation is one channel more. You write it over the last one.",
              last_replaced=with_channel(lambda x, channel: torch.cat([x[:, :-1], channel], dim=1))),
        wrong("The channel is appended. You add the deviation to the features.",
              added_to_the_features=with_channel(lambda x, channel: torch.cat([x + channel, channel], dim=1))),
        wrong("Add 1e-8 to the variance. Where all samples are the same, the slope of the root of 0 is infinite.",
              no_eps=of_groups(lambda groups: averaged(variances(groups).sqrt()))),
        wrong("1e-8 is added to the variance, inside the root: copies give 1e-4. Yours is added to the root.",
              eps_outside=of_groups(lambda groups: averaged(variances(groups).sqrt() + 1e-8))),
        wrong("1e-8 is added to every variance, inside the root: copies give 1e-4. Yours is a lower limit.", visible=False,
              eps_as_a_limit=of_groups(lambda groups: averaged(variances(groups).clamp(min=1e-8).sqrt()))),
        wrong("The deviation carries a gradient: it is how the discriminator teaches variety. You detach it.",
              deviation_detached=of_groups(lambda groups: averaged(standard_deviations(groups)).detach()))],
    alternatives=[group_by_group, centred_groups, neighbours_after_sorting])


# Exercise 4

def inputs(n, h, w, target=1.0, mix=None, **critic):
    """n pairs of images h × w, and a critic."""
    seed = 100 * n + 10 * h + w
    return {"critic": Critic((h, w), seed=seed, **critic), "reals": draw(n, 3, h, w, seed=seed + 2),
            "fakes": 2 * draw(n, 3, h, w, seed=seed + 3), "target": target,
            "mix": torch.tensor(mix, dtype=torch.float64) if mix else draw(n, seed=seed + 5).sigmoid()}


@torch.enable_grad()
def held_critic(network):
    """Forty steps of a small critic that tells bright images from dark ones, with λ = 10: its slope between them, and the logits'
    distance."""
    critic, rows = Critic((4, 5), torch.float32, seed=4), []
    noise, mix = draw(2, 16, 3, 4, 5, seed=6, dtype=torch.float32), torch.linspace(0.1, 0.7, 16)
    reals, fakes = noise + torch.tensor([0.5, -0.5]).view(2, 1, 1, 1, 1)
    for _ in range(40):
        between = torch.lerp(reals, fakes, mix.view(-1, 1, 1, 1)).requires_grad_()
        slope, = torch.autograd.grad(critic(between).sum(), between)
        logits, others = critic(reals), critic(fakes)
        rows.append(torch.stack([slope.flatten(1).norm(dim=1).mean(), (logits.mean() - others.mean()).detach()]))
        penalty = losses.gradient_penalty(critic, reals, fakes, 0.8, mix)
        descend(critic, losses.wasserstein_discriminator_loss(logits, others).mean() + 10 * penalty.mean(), 0.003)
    return torch.stack(rows, dim=1)


def mixed(reals, fakes, mix):
    return torch.lerp(reals, fakes, mix[:, None, None, None])


def slopes(critic, x, create_graph=True):
    """The gradient at x, [N, 3, H, W]."""
    x = x.requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=create_graph)[0]


def lengths(gradient):
    return gradient.square().sum(dim=(1, 2, 3)).sqrt()


def penalty(length, target):
    return (length - target).square() / target ** 2


def at(images):
    """The penalty at images(reals, fakes, mix)."""
    return lambda critic, reals, fakes, target, mix: penalty(lengths(slopes(critic, images(reals, fakes, mix))), target)


def of_slopes(change):
    """change(∇D(x̂) [N, 3, H, W], target)"""
    return lambda critic, reals, fakes, target, mix: change(slopes(critic, mixed(reals, fakes, mix)), target)


def of_lengths(change):
    return of_slopes(lambda gradient, target: change(lengths(gradient), target))


def logits_mixed(critic, reals, fakes, target, mix):
    x, y = reals.clone().requires_grad_(), fakes.clone().requires_grad_()
    of_both = torch.autograd.grad(torch.lerp(critic(x), critic(y), mix).sum(), (x, y), create_graph=True)
    return penalty(lengths(sum(of_both)), target)


def each_logit_apart(critic, reals, fakes, target, mix):
    x = mixed(reals, fakes, mix).requires_grad_()
    grads = torch.stack([torch.autograd.grad(logit, x, create_graph=True)[0][i] for i, logit in enumerate(critic(x))])
    return penalty(lengths(grads), target)


def by_vector_norm(critic, reals, fakes, target, mix):
    share = mix.reshape(-1, 1, 1, 1)
    x = ((1 - share) * reals + share * fakes).detach().requires_grad_(True)
    logits = critic(x)
    grads = torch.autograd.grad(logits, x, torch.ones_like(logits), create_graph=True, retain_graph=True)[0]
    return (torch.linalg.vector_norm(grads.flatten(1), dim=1) / target - 1) ** 2


def with_a_small_constant(critic, reals, fakes, target, mix):
    x = torch.autograd.Variable(reals + mix[:, None, None, None] * (fakes - reals), requires_grad=True)
    grads, = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return ((grads.pow(2).sum([1, 2, 3]) + 1e-12).sqrt() - target).pow(2) / target ** 2


def from_the_functional_side(critic, reals, fakes, target, mix):
    x = torch.lerp(reals, fakes, mix[:, None, None, None])
    grads = torch.func.grad(lambda images: critic(images).sum())(x)
    return (grads.flatten(1).norm(dim=1) - target) ** 2 / target ** 2


gradient_penalty = Exercise(
    "02.gradient_penalty", "gradient_penalty(critic, reals, fakes, target, mix)",
    conventions="critic is a function from images [N, 3, H, W] to logits [N]; reals and fakes are images, mix [N] is one number "
                "from 0 to 1 for each pair. x̂ = (1 − mix) · real + mix · fake. Return (‖∇D(x̂)‖ − target)² / target² for each "
                "image, [N]: the gradient of the sum of the logits with respect to x̂, its length over an image. The critic is "
                "trained on it, so it must itself be differentiable. The call leaves no gradient in the critic's parameters, and "
                "reals and fakes as they are.",
    hints=("Three steps: the mixed images, the gradient of the critic at them, its length. mix[:, None, None, None] is "
           "[N, 1, 1, 1].",
           "torch.lerp(reals, fakes, …) ends in .requires_grad_(), for without it there is nothing to differentiate by. Then "
           "torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True) is a tuple with the gradient [N, 3, H, W]; square, "
           "sum over 1, 2, 3, root."),
    production=losses.gradient_penalty, without_gradient=("reals", "fakes", "mix"),
    reference=lambda critic, reals, fakes, target, mix: losses.gradient_penalty(critic, reals, fakes, target, mix),
    model_check=ModelCheck(held_critic, model=None, who="A small critic", what="learns as with the library's",
                           plot=curves(range(40), "steps", "", ("‖∇D‖", "D(real) − D(fake)"))),
    cases=[
        case("three pairs, target = 1", **inputs(3, 4, 6)),
        case("target = 2.5", **inputs(3, 5, 3, target=2.5)),
        case("target = 0.5 in float32", **inputs(3, 3, 5, target=0.5)).float(),
        case("target = 750", **inputs(3, 4, 4, target=750.0)),
        case("mix = 0.3, 0 and 1", **inputs(3, 3, 4, target=2.0, mix=(0.3, 0.0, 1.0))),
        case("one pair", **inputs(1, 5, 4, target=3.0)),
        case("as many pairs as channels, rows and columns", **inputs(3, 3, 3, target=1.5)),
        case("four pairs, rows and columns, mix = 0.01, 0.99, 0.4, 0.7",
             **inputs(4, 4, 4, target=0.75, mix=(0.01, 0.99, 0.4, 0.7))),
        case("a critic whose samples see each other through minibatch_stddev", **inputs(4, 3, 5, target=4.0, stddev=True)),
        case("minibatch_stddev in float32", **inputs(4, 4, 3, stddev=True)).float(),
        case("a critic that is nearly linear", **inputs(3, 2, 5, target=2.0, bend=1e-3)),
        case("images of one row", **inputs(2, 1, 8))],
    wrong=[
        wrong(WITHOUT_GRADIENT,
              no_create_graph=lambda critic, reals, fakes, target, mix: penalty(
                  lengths(slopes(critic, mixed(reals, fakes, mix), create_graph=False)), target)),
        wrong("mix is the share of the fake: x̂ = (1 − mix) · real + mix · fake. With you it is that of the real.",
              mix_reversed=at(lambda reals, fakes, mix: mixed(fakes, reals, mix))),
        wrong("Use the number that `mix` gives for each pair. You take the middle.",
              mix_fixed=at(lambda reals, fakes, mix: mixed(reals, fakes, torch.full_like(mix, 0.5)))),
        wrong("Every pair has a number of its own. You use the first for all.",
              mix_of_the_first=at(lambda reals, fakes, mix: mixed(reals, fakes, mix[:1]))),
        wrong("Every pair has a number of its own. You use their mean.",
              mix_averaged=at(lambda reals, fakes, mix: mixed(reals, fakes, mix.mean()[None]))),
        wrong("mix holds one number for each pair, so it needs the shape [N, 1, 1, 1]. Yours acts along the columns.",
              mix_along_the_columns=at(torch.lerp)),
        wrong("Take the gradient between the two: at (1 − mix) · real + mix · fake. You take it at the reals.",
              at_the_reals=at(lambda reals, fakes, mix: reals.clone())),
        wrong("Take the gradient between the two: at (1 − mix) · real + mix · fake. You take it at the fakes.",
              at_the_fakes=at(lambda reals, fakes, mix: fakes.clone())),
        wrong("You mix the logits of both. Mix the images, and ask the critic about the mixed one.", logits_mixed),
        wrong("x̂ = (1 − mix) · real + mix · fake. Your two shares do not add up to 1.",
              share_not_taken_away=at(lambda reals, fakes, mix: reals + mix[:, None, None, None] * fakes)),
        wrong("Differentiate the sum of the logits. You differentiate their mean, which divides the gradient by N.",
              mean_of_the_logits=of_slopes(lambda gradient, target: penalty(lengths(gradient / len(gradient)), target))),
        wrong("Differentiate the sum of all logits, once: with minibatch_stddev an image acts on the logits of others too.",
              each_logit_apart, visible=False),
        wrong("The penalty compares the length with the target. Take the root of the sum of squares first.",
              no_root=of_lengths(lambda length, target: penalty(length.square(), target))),
        wrong("Subtract the target from the length, then square. You subtract its square from the square of the length.",
              difference_of_squares=of_lengths(lambda length, target: (length.square() - target ** 2) / target ** 2)),
        wrong("Subtract the target: the slope should be `target`, not 0. Without it this is R1 at x̂.",
              towards_zero=of_lengths(lambda length, target: length.square() / target ** 2)),
        wrong("The slope may not be too small either: square the whole difference. You cut off what is below the target.",
              visible=False,
              one_sided=of_lengths(lambda length, target: (length - target).clamp(min=0).square() / target ** 2)),
        wrong("Square the difference. You take its absolute value.",
              absolute_difference=of_lengths(lambda length, target: (length - target).abs() / target)),
        wrong("Square the difference. Without that a slope below the target is rewarded.",
              not_squared=of_lengths(lambda length, target: (length - target) / target)),
        wrong("Divide by target², so that the penalty does not depend on the unit of the slope.",
              not_divided=of_lengths(lambda length, target: (length - target).square())),
        wrong("Divide by target². You divide by target.",
              divided_once=of_lengths(lambda length, target: (length - target).square() / target)),
        wrong("Use the parameter target. You write 1 in its place.",
              target_fixed=of_lengths(lambda length, target: penalty(length, 1))),
        wrong("Leave out λ: it is multiplied where the loss is put together.",
              weight_included=of_lengths(lambda length, target: 10 * penalty(length, target))),
        wrong("Leave out the ½: this penalty has none.", halved=of_lengths(lambda length, target: penalty(length, target) / 2)),
        wrong("The length is over channels and pixels together. You average the squares instead of adding them.",
              pixels_averaged=of_slopes(lambda gradient, target: penalty(
                  gradient.square().mean(dim=(1, 2, 3)).sqrt(), target))),
        wrong("An image has one length, over channels and pixels together. You compare every pixel with the target.",
              pixel_by_pixel=of_slopes(lambda gradient, target: penalty(
                  gradient.square().sum(dim=1).sqrt(), target).mean(dim=(1, 2)))),
        wrong("An image has one length, over channels and pixels together. You compare every pixel with the target, and return a "
              "map.",
              a_map=of_slopes(lambda gradient, target: penalty(gradient.norm(dim=1), target))),
        wrong("The length is the root of the sum of squares. You add absolute values.",
              absolute_values=of_slopes(lambda gradient, target: penalty(gradient.abs().sum(dim=(1, 2, 3)), target))),
        wrong("Every image has a length of its own. You take one over the whole batch.",
              whole_batch=of_slopes(lambda gradient, target: penalty(
                  gradient.square().sum().sqrt().expand(len(gradient)), target))),
        wrong("Return one penalty for each image, [N]. You average over the batch; the training loop does that.", visible=False,
              averaged=of_lengths(lambda length, target: penalty(length, target).mean())),
        wrong("Square each difference, then average. You average the lengths first.",
              lengths_averaged_first=of_lengths(lambda length, target: penalty(length.mean(), target).expand(len(length))))],
    alternatives=[by_vector_norm, with_a_small_constant, from_the_functional_side])

EXERCISES = (pixel_norm, equalized_scale, minibatch_stddev, gradient_penalty)
