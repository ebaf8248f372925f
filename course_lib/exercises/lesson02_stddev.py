"""Lesson 02, exercise 3: the standard deviation over the minibatch."""
import torch

from .. import losses, ops
from ..networks import pggan
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, descend, lines


def reference(x, group_size=4):
    return ops.minibatch_stddev(x, group_size)


def batch(what, *shape, dtype=torch.float64, scale=1.0, shift=0.0, copies=1, **group_size):
    n, *rest = shape
    x = normal(n // copies, *rest, seed=sum(shape), dtype=dtype, scale=scale).repeat(copies, 1, 1, 1) + shift
    return Probe(what, {"x": x, **group_size})


def one_group_of_copies():
    """Three groups of four; those of the second are copies of one sample."""
    x = normal(12, 3, 2, 4, seed=5)
    x[1::3] = x[1]
    return x


def half_copied(groups, seed):
    """Images of 2 · `groups` strided groups of four: different ones in the first half of the groups, copies of one in the others."""
    images = normal(4, 2 * groups, 3, 4, 4, seed=seed, dtype=torch.float32, scale=2.0)
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


minibatch_stddev = Exercise(
    "02.minibatch_stddev", "minibatch_stddev(x, group_size=4)",
    conventions="x is [N, C, H, W]. Groups are strided: with m = N / group_size groups, sample i belongs to group i mod m (reshape to "
                "[group_size, m, C, H, W]). A batch smaller than group_size is one group. In a group: the deviation √(variance + "
                "1e-8) of every feature at every pixel, with the biased variance; averaged over features and pixels to one "
                "number. Return [N, C + 1, H, W]: x, and as last channel the number of the sample's group. Gradients must pass "
                "through it.",
    production=ops.minibatch_stddev, reference=reference,
    probes=[batch("three samples, fewer than group_size", 3, 4, 3, 3),
            batch("eight samples: two groups of four", 8, 3, 4, 5),
            batch("twelve samples: three groups of four", 12, 2, 3, 2),
            batch("one group of four", 4, 5, 2, 3),
            batch("a single sample", 1, 3, 2, 4),
            batch("group_size = 2: three groups", 6, 4, 2, 2, group_size=2),
            batch("group_size = 3: two groups in float32", 6, 3, 4, 4, dtype=torch.float32, group_size=3),
            batch("group_size = 1: every sample alone", 3, 2, 3, 4, group_size=1),
            batch("float32", 8, 6, 3, 3, dtype=torch.float32),
            batch("as many samples as features, rows and columns", 4, 4, 4, 4, group_size=2),
            batch("features whose mean is far from 0", 8, 3, 2, 4, shift=5.0),
            batch("features of about 0.0001, where 1e-8 counts", 4, 3, 5, 2, scale=1e-4),
            batch("two groups of four copies", 8, 4, 3, 2, copies=4),
            Probe("three groups, one of them of copies", {"x": one_group_of_copies()}),
            batch("group_size = 6: two groups", 12, 2, 3, 3, group_size=6),
            batch("1×1 maps", 8, 5, 1, 1)],
    proof=Proof("minibatch_stddev", variety_learnt, model=None, who="A small discriminator", what="learns as with the library's",
                draw=lines(range(80), "steps", "mean logit", ("of different images", "of copies"))),
    hints=("x.reshape(size, N // size, C, H, W) puts the samples of a group along dimension 0. Why not reshape(N // size, size, …)?",
           "(groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3)) has one number a group. `.repeat(size)` gives "
           "sample i the number of group i mod m; make it [N, 1, H, W] with expand, and torch.cat it to x."))
mistake = minibatch_stddev.mistake


def groups_of(x, size):
    """[size, groups, C, H, W]"""
    size = min(size, len(x))
    return x.reshape(size, len(x) // size, *x.shape[1:])


def deviations(groups, unbiased=False):
    return (groups.var(dim=0, unbiased=unbiased) + 1e-8).sqrt()


def appended(x, numbers):
    """x and one number a group as its last channel."""
    return torch.cat([x, numbers.repeat(len(x) // len(numbers)).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], dim=1)


def numbers(x, size):
    """The right ones, [groups]."""
    return deviations(groups_of(x, size)).mean(dim=(1, 2, 3))


def contiguous(x, size):
    """The numbers of groups of neighbours."""
    size = min(size, len(x))
    return deviations(x.reshape(-1, size, *x.shape[1:]).transpose(0, 1)).mean(dim=(1, 2, 3))


def spread(x, numbers):
    return torch.cat([x, numbers.view(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])], dim=1)


@mistake("The groups are strided: sample i belongs to group i mod (N / group_size). Yours are made of neighbours.")
def neighbours(x, group_size=4):
    return spread(x, contiguous(x, group_size).repeat_interleave(min(group_size, len(x))))


@mistake("The groups are made of neighbours, and their numbers go to other samples. Group the samples strided, and repeat the "
         "numbers in the same order.")
def neighbours_handed_to_others(x, group_size=4):
    return appended(x, contiguous(x, group_size))


@mistake("The groups are right, but their numbers go to the wrong samples: `repeat`, not `repeat_interleave`, for sample i belongs "
         "to group i mod m.")
def handed_to_neighbours(x, group_size=4):
    return spread(x, numbers(x, group_size).repeat_interleave(min(group_size, len(x))))


@mistake("group_size is the number of samples in a group. You take it for the number of groups.")
def groups_counted(x, group_size=4):
    return appended(x, deviations(groups_of(x, len(x) // min(group_size, len(x)))).mean(dim=(1, 2, 3)))


@mistake("Every group has a number of its own. You take the whole batch as one group.")
def whole_batch(x, group_size=4):
    return appended(x, deviations(x[:, None]).mean(dim=(1, 2, 3)))


@mistake("Every group of group_size has a number of its own, √(biased variance + 1e-8). You take torch.std of the whole batch.")
def whole_batch_by_std(x, group_size=4):
    return appended(x, x.std(dim=0).mean()[None])


@mistake("Every group has a number of its own. You average over the groups too.")
def groups_averaged(x, group_size=4):
    return appended(x, deviations(groups_of(x, group_size)).mean()[None])


@mistake("Every group has a number of its own. You give all samples that of the first.")
def first_group_for_all(x, group_size=4):
    return appended(x, numbers(x, group_size)[:1])


@mistake("Use the parameter group_size. You write a number in its place.", visible=False)
def size_fixed(x, group_size=4):
    return appended(x, numbers(x, 4))


@mistake("A batch of fewer than group_size samples is one group: take min(group_size, N).", visible=False)
def no_minimum(x, group_size=4):
    return appended(x, deviations(x.reshape(group_size, -1, *x.shape[1:])).mean(dim=(1, 2, 3)))


@mistake("The variance is the biased one: divide by group_size, not by one less (unbiased=False).")
def unbiased(x, group_size=4):
    return appended(x, deviations(groups_of(x, group_size), unbiased=True).mean(dim=(1, 2, 3)))


@mistake("The variance is the biased one, with 1e-8 inside the root. torch.std divides by one less, and adds nothing.")
def by_std(x, group_size=4):
    return appended(x, groups_of(x, group_size).std(dim=0).mean(dim=(1, 2, 3)))


@mistake("Take the root of the variance: the channel holds a deviation.")
def variance(x, group_size=4):
    return appended(x, (groups_of(x, group_size).var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3)))


@mistake("Take the root of every feature's variance, then the mean. You take the mean first.")
def root_of_the_mean(x, group_size=4):
    return appended(x, (groups_of(x, group_size).var(dim=0, unbiased=False).mean(dim=(1, 2, 3)) + 1e-8).sqrt())


@mistake("Subtract the group's mean: a deviation is not the root of the mean square.")
def mean_square(x, group_size=4):
    return appended(x, (groups_of(x, group_size).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3)))


@mistake("Square the differences from the mean. You average their absolute values.")
def absolute_deviation(x, group_size=4):
    groups = groups_of(x, group_size)
    return appended(x, (groups - groups.mean(dim=0)).abs().mean(dim=(0, 2, 3, 4)))


@mistake("The deviation runs over the samples of a group. Yours runs over the features and pixels of each sample.")
def within_a_sample(x, group_size=4):
    return appended(x, (x.flatten(1).var(dim=1, unbiased=False) + 1e-8).sqrt())


@mistake("The deviation runs over the samples only. Yours runs over features and pixels too.")
def over_all_dimensions(x, group_size=4):
    return appended(x, (groups_of(x, group_size).var(dim=(0, 2, 3, 4), unbiased=False) + 1e-8).sqrt())


@mistake("Take the deviation of every feature at every pixel. You average the features and pixels of a sample first.")
def samples_averaged_first(x, group_size=4):
    return appended(x, deviations(groups_of(x, group_size).mean(dim=(2, 3, 4))))


@mistake("Average over the pixels too: the channel is constant. Yours is a map.")
def pixels_kept(x, group_size=4):
    found = deviations(groups_of(x, group_size)).mean(dim=1, keepdim=True)
    return torch.cat([x, found.repeat(len(x) // len(found), 1, 1, 1)], dim=1)


@mistake("Average over the features too: one more channel, not one for every feature.")
def features_kept(x, group_size=4):
    found = deviations(groups_of(x, group_size)).mean(dim=(2, 3), keepdim=True)
    return torch.cat([x, found.repeat(len(x) // len(found), 1, *x.shape[2:])], dim=1)


@mistake("Average over features and pixels. You sum.")
def summed(x, group_size=4):
    return appended(x, deviations(groups_of(x, group_size)).sum(dim=(1, 2, 3)))


@mistake("The new channel comes last. You put it first.")
def put_first(x, group_size=4):
    return appended(x, numbers(x, group_size)).roll(1, dims=1)


@mistake("Return x with one channel more. You return the new channel alone.")
def channel_alone(x, group_size=4):
    return appended(x[:, :0], numbers(x, group_size))


@mistake("Keep all features: the deviation is one channel more. You write it over the last one.")
def last_replaced(x, group_size=4):
    return appended(x[:, :-1], numbers(x, group_size))


@mistake("The channel is appended. You add the deviation to the features.")
def added_to_the_features(x, group_size=4):
    found = appended(x[:, :0], numbers(x, group_size))
    return torch.cat([x + found, found], dim=1)


def with_root(root):
    return lambda x, group_size=4: appended(x, root(groups_of(x, group_size).var(dim=0, unbiased=False)).mean(dim=(1, 2, 3)))


def family(message, functions, visible=True):
    """Mistakes of one message: {name: function}."""
    for name, function in functions.items():
        function.__name__ = name
        mistake(message, visible)(function)


family("Add 1e-8 to the variance. Where all samples are the same, the slope of the root of 0 is infinite.",
       {"no_eps": with_root(torch.sqrt)})
family("1e-8 is added to the variance, inside the root: copies give 1e-4. Yours is added to the root.", {
    "eps_outside": with_root(lambda variance: variance.sqrt() + 1e-8)})
family("1e-8 is added to every variance, inside the root: copies give 1e-4. Yours is a lower limit.", {
    "eps_as_a_limit": with_root(lambda variance: variance.clamp(min=1e-8).sqrt())}, False)


@mistake("The deviation carries a gradient: it is how the discriminator teaches variety. You detach it.")
def deviation_detached(x, group_size=4):
    return appended(x, numbers(x, group_size).detach())


@minibatch_stddev.alternative
def group_by_group(x, group_size=4):
    m = len(x) // min(group_size, len(x))
    numbers = [((x[i::m] - x[i::m].mean(dim=0)).pow(2).mean(dim=0) + 1e-8).sqrt().mean() for i in range(m)]
    return torch.cat([x, torch.stack([numbers[i % m].expand(1, *x.shape[2:]) for i in range(len(x))])], dim=1)


@minibatch_stddev.alternative
def centred_groups(x, group_size=4):
    n, c, h, w = x.shape
    size = min(group_size, n)
    y = x.view(size, -1, c, h, w)
    y = y - y.mean(0, keepdim=True)
    y = torch.sqrt(torch.mean(y ** 2, 0) + 1e-8).mean([1, 2, 3], keepdim=True)
    return torch.cat((x, y.repeat(size, 1, h, w)), 1)


@minibatch_stddev.alternative
def neighbours_after_sorting(x, group_size=4):
    n, size = len(x), min(group_size, len(x))
    order = torch.arange(n).view(size, n // size).t().flatten()
    std = torch.stack([torch.var(g, 0, correction=0).add(1e-8).sqrt().mean() for g in x[order].split(size)])
    return torch.cat([x, std[torch.arange(n) % (n // size)][:, None, None, None] * torch.ones_like(x[:, :1])], 1)


EXERCISES = (minibatch_stddev,)
