"""Lesson 10, exercises 1 and 2: the direction between two texts, and how the embedding answers to a style channel."""
import torch
import torch.nn.functional as F

from ..styleclip import global_directions
from .engine import Exercise
from .lesson08 import CLIP, declare
from .probes import Probe, normal
from .proof import Proof, bars, latents

# Exercise 1

WORDS = "man", "smiling", "hat", "a", "portrait", "drawing", "of", "the", "face"
TEMPLATES = "{}", "a portrait of {}", "a drawing of {}", "the face of {}"


def of_words(texts):
    """What stands in for CLIP: how often each of WORDS is in a text; a text said twice is twice as long."""
    return torch.tensor([[float(text.split().count(word)) for word in WORDS] for text in texts])


@torch.no_grad()
def two_directions(network):
    """From a man to a smiling man, and to a man with a hat."""
    neutral, *targets = (of_words([t.format(text) for t in TEMPLATES]) for text in ("man", "smiling man", "man hat"))
    return torch.stack([global_directions.direction_between(neutral, target) for target in targets])


def texts(what, t, u, dim, dtype=torch.float64, change=lambda a, b: (a, b)):
    """t neutral and u target embeddings. change: what becomes of both."""
    seed = 100 * t + 10 * u + dim
    a, b = change(normal(t, dim, seed=seed, dtype=dtype), normal(u, dim, seed=seed + 1, dtype=dtype))
    return Probe(what, {"neutral": a, "target": b}, ("neutral", "target"))


direction_between = Exercise(
    "10.direction_between", "direction_between(neutral, target)",
    conventions="neutral and target are the embeddings [T, D] of one text each, in T templates (the two may have different T), of any "
                "length except 0. Return Δt [D], from neutral to target. For each text: bring every embedding to length 1, average over the "
                "templates, and bring the mean to length 1. Then subtract, and bring the difference, which is not 0, to length 1. No "
                "gradient is asked for.",
    production=global_directions.direction_between, tolerance=1e-6, needs=CLIP,
    probes=[texts("three templates, five features", 3, 3, 5),
            texts("as many templates as features", 4, 4, 4),
            texts("three templates for one text and five for the other", 3, 5, 6),
            texts("one template", 1, 1, 7),
            texts("one template for one text and four for the other", 1, 4, 3),
            texts("float32", 6, 6, 8, torch.float32),
            texts("float32, two and three templates", 2, 3, 9, torch.float32),
            texts("embeddings of very different lengths", 3, 4, 4, change=lambda a, b: (
                a * torch.tensor([[9.0], [1], [0.2]], dtype=a.dtype), b * torch.tensor([[0.1], [5], [1], [3]], dtype=b.dtype))),
            texts("unit vectors", 5, 5, 6, change=lambda a, b: (F.normalize(a), F.normalize(b))),
            texts("texts that nearly mean the same", 4, 4, 8, change=lambda a, b: (a, a + 0.01 * b)),
            texts("opposite texts", 3, 3, 4, change=lambda a, b: (a, -a.flip(0))),
            texts("the same embedding in every template", 3, 3, 6, change=lambda a, b: (a[:1].repeat(3, 1), b[:1].repeat(3, 1)))],
    proof=Proof("direction_between", two_directions, owner=global_directions, model=None, who="An experiment with words for axes",
                what="finds the same directions", draw=bars(WORDS, ("man → smiling man", "man → man hat"))),
    hints=("The same three steps for both texts, so write them once: unit vectors, mean over the templates, unit vector. Which "
           "dimension are the templates?",
           "F.normalize(x, dim=-1).mean(dim=0) is the mean of unit vectors, [D]; F.normalize(…, dim=0) makes a unit vector of it. "
           "Subtract neutral's from target's, and normalise once more."))


def unit(x, dim=-1):
    return F.normalize(x, dim=dim)


def ensemble(x):
    return unit(unit(x).mean(dim=0))


def between(mean, last=unit):
    """The direction for another mean of the templates: mean(embeddings). last: what is done to the difference."""
    return lambda neutral, target: last(mean(target) - mean(neutral))


EACH = "Bring every embedding to length 1 *before* the mean, or long ones count more. You {}."
PAIRS = "Average each text over its templates first, which need not be as many. You subtract template by template."
declare(direction_between, {
    "backwards": (True, "The direction goes from neutral to target: target − neutral. You subtract the other way round.",
                  lambda neutral, target: unit(ensemble(neutral) - ensemble(target))),
    "mean_first": (True, EACH.format("average first"), between(lambda x: unit(x.mean(dim=0)))),
    "raw_means": (True, EACH.format("subtract the means of the raw embeddings"), between(lambda x: x.mean(dim=0))),
    "raw_sums": (True, EACH.format("sum the raw embeddings"), between(lambda x: x.sum(dim=0))),
    "mean_not_normalised": (True, "Bring the mean of each text to length 1 before you subtract: means of unit vectors are shorter than 1.",
                            between(lambda x: unit(x).mean(dim=0))),
    "sum_not_normalised": (True, "Bring the sum of each text to length 1 before you subtract.", between(lambda x: unit(x).sum(dim=0))),
    "not_a_unit_vector": (True, "Bring the difference to length 1 at the end.", between(ensemble, lambda x: x)),
    "never_at_the_end": (True, "Bring the mean of each text to length 1, and the difference too.",
                         between(lambda x: unit(x).mean(dim=0), lambda x: x)),
    "no_length_at_all": (True, "Lengths mean nothing here: normalise the embeddings, the means and the difference. You normalise nothing.",
                         between(lambda x: x.mean(dim=0), lambda x: x)),
    "target_only": (True, "Subtract the neutral text: what both have in common should not move anything.",
                    lambda neutral, target: ensemble(target)),
    "neutral_only": (True, "Go to the target. You return the neutral text.", lambda neutral, target: ensemble(neutral)),
    "added": (True, "Subtract the neutral text. You add it.", lambda neutral, target: unit(ensemble(target) + ensemble(neutral))),
    "orthogonal": (True, "Subtract the neutral text. You take away the target's part along it.",
                   lambda neutral, target: unit(ensemble(target) - (ensemble(target) @ ensemble(neutral)) * ensemble(neutral))),
    "first_template": (True, "Average over all templates. You take the first.", between(lambda x: unit(x[0]))),
    "median": (True, "Take the mean over the templates. You take the median.", between(lambda x: unit(unit(x).median(dim=0).values))),
    "over_the_batch": (True, "An embedding is a row, the last dimension. You normalise over the templates.",
                       between(lambda x: unit(unit(x, 0).mean(dim=0)))),
    "over_features": (True, "Average over the templates, dimension 0. You average over the features.",
                      lambda neutral, target: unit(unit(target).mean(dim=1)) - unit(unit(neutral).mean(dim=1))),
    "pairs": (True, PAIRS, lambda neutral, target: unit(unit(target - neutral).mean(dim=0))),
    "pairs_of_units": (True, PAIRS, lambda neutral, target: unit(unit(unit(target) - unit(neutral)).mean(dim=0))),
    "all_templates": (True, "Average over the templates, [D]. You return a direction for every one.",
                      lambda neutral, target: unit(unit(target) - unit(neutral))),
    "target_not_normalised": (True, EACH.format("do so for neutral only"),
                              lambda neutral, target: unit(unit(target.mean(dim=0)) - ensemble(neutral))),
    "neutral_not_normalised": (True, EACH.format("do so for target only"),
                               lambda neutral, target: unit(ensemble(target) - unit(neutral.mean(dim=0)))),
    "sum_of_entries": (True, "The length is the root of the sum of squares. You divide by the sum of the absolute values.",
                       between(ensemble, lambda x: F.normalize(x, p=1, dim=0))),
    "absolute": (True, "Keep the signs: Δt says in which direction a feature changes.", between(ensemble, lambda x: unit(x).abs())),
    "one_row": (False, "Return [D]. keepdim=True makes it [1, D].",
                between(lambda x: unit(unit(x).mean(dim=0, keepdim=True))))})


@direction_between.alternative
def in_steps(neutral, target):
    found = []
    for embeddings in (neutral, target):
        embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
        mean = embeddings.mean(dim=0)
        found.append(mean / mean.norm())
    direction = found[1] - found[0]
    return direction / direction.norm()


@direction_between.alternative
def with_sums_and_epsilon(neutral, target):
    def length_1(x):
        return x / (x.square().sum(dim=-1, keepdim=True).sqrt() + 1e-9)
    with torch.no_grad():
        return length_1(length_1(length_1(target).sum(dim=0)) - length_1(length_1(neutral).sum(dim=0)))


@direction_between.alternative
def in_numpy(neutral, target):
    import numpy as np
    n, t = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (neutral, target))
    n, t = (x.mean(axis=0) / np.linalg.norm(x.mean(axis=0)) for x in (n, t))
    return torch.from_numpy((t - n) / np.linalg.norm(t - n))


# Exercise 2

def changed(what, shape, dtype=torch.float64, change=lambda a, b: b):
    """before, and change(before, normal) for after."""
    seed = sum(shape)
    a, b = (normal(*shape, seed=seed + i, dtype=dtype) for i in (0, 1))
    return Probe(what, {"before": a, "after": change(a, b)}, ("before", "after"))


@torch.no_grad()
def maps_of_channels(generator):
    """What a channel in each of three convolutions changes, as maps of 8×8 colours, and rounding."""
    styles = generator.styles(generator.mapping(latents(generator, 4)))
    seen = lambda styles: F.adaptive_avg_pool2d(generator.synthesis(styles=styles, noise="const"), 8).flatten(1)
    chosen = [i for i, (name, _, _) in enumerate(generator.synthesis.style_layers()) if not name.endswith("torgb")][1:4]
    after = []
    for layer in chosen:
        moved = [style.clone() for style in styles]
        moved[layer][:, 1] += 5 * styles[layer].std()
        after.append(seen(moved))
    before = seen(styles)
    after = torch.stack([*after, before + normal(*before.shape, seed=1, scale=3e-7).to(before)], dim=1)
    found = global_directions.mean_change(before[:, None].expand_as(after), after)
    return found.view(len(chosen) + 1, 3, 8, 8) * (found.shape[-1] ** 0.5 / 3)


mean_change = Exercise(
    "10.mean_change", "mean_change(before, after)",
    conventions="before and after are embeddings [images, …, D], where … may be nothing, or channels. Return Δi [..., D]: the change of each "
                "image, after − before, brought to length 1; their mean over the images; and that brought to length 1. Where the mean "
                "length of the changes over the images is at most 0.00001 they are only rounding: return zeros there. Take the "
                "embeddings as they are. No gradient is asked for.",
    production=global_directions.mean_change, tolerance=1e-6, needs=CLIP,
    probes=[changed("three images", (3, 5)),
            changed("four images, three channels", (4, 3, 6)),
            changed("as many images, channels and features", (4, 4, 4)),
            changed("float32", (5, 2, 7), torch.float32),
            changed("float32 and one image", (1, 4, 8), torch.float32),
            changed("two images, layers and channels", (2, 3, 2, 5)),
            changed("changes of very different lengths", (3, 2, 9),
                    change=lambda a, b: a + b * torch.tensor([10.0, 1, 0.05]).to(a).view(3, 1, 1)),
            changed("changes of about 0.001", (3, 4, 5), change=lambda a, b: a + 1e-3 * b),
            changed("one channel that moves by rounding only", (3, 3, 4),
                    change=lambda a, b: a + b * torch.tensor([1.0, 2e-7, 0.3]).to(a).view(3, 1)),
            changed("one channel that does not move at all", (4, 2, 6), change=lambda a, b: a + b * torch.tensor([1.0, 0]).to(a).view(2, 1)),
            changed("changes of about 0.0001 and of about 0.000006", (3, 2, 7),
                    change=lambda a, b: a + b * torch.tensor([4e-5, 2.2e-6]).to(a).view(2, 1)),
            changed("an image that moves and two that do not", (3, 8),
                    change=lambda a, b: a + b * torch.tensor([1.0, 1e-7, 1e-7]).to(a).view(3, 1)),
            changed("changes that nearly cancel in the mean, of about 0.00003", (2, 6),
                    change=lambda a, b: a + 2e-5 * torch.stack([b[0], 0.2 * b[1] - b[0]])),
            changed("changes of length 0.000015", (3, 2, 9), change=lambda a, b: a + 5e-6 * b.sign()),
            changed("one of four images moves by 0.000024, the others do not", (4, 6),
                    change=lambda a, b: a + 2.4e-5 * F.normalize(b, dim=-1) * torch.eye(4, dtype=a.dtype)[:, :1]),
            changed("the same change in every image", (3, 2, 3), change=lambda a, b: a + b[:1])],
    proof=Proof("mean_change", maps_of_channels, owner=global_directions, who="The experiment", what="finds the same changes",
                titles=("a channel", "another", "another", "rounding")),
    hints=("Three steps: the change of each image as a unit vector, the mean over the images, and a unit vector again. The images "
           "are the first dimension, the features the last.",
           "changes = after − before; F.normalize(changes, dim=-1).mean(dim=0) and F.normalize once more. changes.norm(dim=-1)"
           ".mean(dim=0) are the mean lengths, [...]: multiply by (lengths > 1e-5)[..., None]."))


def changes_to(result, masked=True):
    """result(changes), and zero where the changes are rounding."""
    def function(before, after):
        changes = after - before
        found = result(changes)
        return found * (changes.norm(dim=-1).mean(dim=0) > 1e-5)[..., None] if masked else found
    return function


def normal_mean(changes):
    return unit(unit(changes).mean(dim=0))


def where(lengths_of):
    """The right mean, and zeros elsewhere: lengths_of(changes) is a mask [..., 1]."""
    return lambda before, after: normal_mean(after - before) * lengths_of(after - before)


NOISE = "Where the embedding hardly moves, you bring rounding to length 1. Return zeros where the mean length is at most 1e-5."
declare(mean_change, {
    "no_threshold": (True, NOISE, changes_to(normal_mean, masked=False)),
    "mean_first": (True, "Each image counts alike: bring its change to length 1 before the mean.", changes_to(lambda x: unit(x.mean(dim=0)))),
    "mean_first_no_threshold": (True, "Each image counts alike: bring its change to length 1 before the mean. And return zeros where "
                                "the mean length is at most 1e-5.", changes_to(lambda x: unit(x.mean(dim=0)), masked=False)),
    "not_normalised_after": (True, "A mean of unit vectors is shorter than 1. Bring it to length 1.", changes_to(lambda x: unit(x).mean(dim=0))),
    "not_normalised_after_no_threshold": (True, "A mean of unit vectors is shorter than 1: bring it to length 1. And return zeros "
                                          "where the mean length is at most 1e-5.",
                                          changes_to(lambda x: unit(x).mean(dim=0), masked=False)),
    "never_normalised": (True, "Bring the change of each image to length 1, and their mean too.", changes_to(lambda x: x.mean(dim=0))),
    "never_normalised_no_threshold": (True, "Bring the change of each image to length 1, and their mean too.",
                                      changes_to(lambda x: x.mean(dim=0), masked=False)),
    "backwards": (True, "The change is after − before. You subtract the other way round.", changes_to(lambda x: -normal_mean(x))),
    "absolute": (True, "Keep the signs of the changes. You take absolute values.", changes_to(lambda x: normal_mean(x.abs()))),
    "after_only": (True, "Subtract before: it is the change that counts.",
                   lambda before, after: normal_mean(after) * ((after - before).norm(dim=-1).mean(dim=0) > 1e-5)[..., None]),
    "unit_embeddings": (True, "Take the embeddings as they are. You bring them to length 1 before you subtract.",
                        lambda before, after: normal_mean(unit(after) - unit(before))
                        * ((after - before).norm(dim=-1).mean(dim=0) > 1e-5)[..., None]),
    "median": (True, "Take the mean over the images. You take the median.", changes_to(lambda x: unit(unit(x).median(dim=0).values))),
    "first_image": (True, "Average over all images. You take the first.", changes_to(lambda x: unit(x[0]))),
    "every_image": (True, "Average over the images. You return the change of each.", lambda before, after: unit(after - before)),
    "over_channels": (True, "Average over the images, dimension 0. You average over everything but the features.",
                      lambda before, after: unit(unit(after - before).flatten(0, -2).mean(dim=0))),
    "over_dimension_1": (True, "The images are dimension 0. You average over dimension 1.", lambda before, after: unit(unit(after - before).mean(dim=1))),
    "normalised_over_images": (True, "A change is a vector of features, the last dimension. You normalise over the images.",
                               changes_to(lambda x: unit(unit(x, 0).mean(dim=0)))),
    "normalised_over_channels": (True, "Each channel has a unit vector of its own. You normalise all channels together.",
                                 changes_to(lambda x: unit(unit(x.flatten(1)).view_as(x).mean(dim=0)))),
    "channels_together": (True, "Each channel has a unit vector of its own. You bring the whole result to length 1.",
                          changes_to(lambda x: unit(unit(x).mean(dim=0).flatten(), 0).view(x.shape[1:]))),
    "sum_of_entries": (True, "The length is the root of the sum of squares. You divide by the sum of the absolute values.",
                       changes_to(lambda x: F.normalize(F.normalize(x, p=1, dim=-1).mean(dim=0), p=1, dim=-1))),
    "threshold_reversed": (True, "Return zeros where the changes are rounding. You return zeros where they are not.",
                           where(lambda x: (x.norm(dim=-1).mean(dim=0) <= 1e-5)[..., None])),
    "threshold_of_each_entry": (False, "A channel counts as a whole, by the length of its change. You threshold each feature.",
                                changes_to(lambda x: normal_mean(torch.where(x.abs() > 1e-5, x, 0)), masked=False)),
    "threshold_of_each_image": (False, "The threshold is for the mean length over the images. You leave out single images.",
                                changes_to(lambda x: normal_mean(torch.where(x.norm(dim=-1, keepdim=True) > 1e-5, x, 0)), masked=False)),
    "threshold_of_the_mean": (False, "Changes in different directions cancel in the mean. Compare the mean *length* with 1e-5, not the "
                              "length of the mean.", where(lambda x: x.mean(dim=0).norm(dim=-1, keepdim=True) > 1e-5)),
    "other_threshold": (True, "The threshold is 1e-5. Yours is lower.", where(lambda x: (x.norm(dim=-1).mean(dim=0) > 1e-6)[..., None])),
    "higher_threshold": (False, "The threshold is 1e-5. Yours is higher.", where(lambda x: (x.norm(dim=-1).mean(dim=0) > 1e-3)[..., None])),
    "nan": (False, "The change of an image may be 0, and 0 / 0 is NaN; NaN times 0 stays NaN. F.normalize gives 0 there.",
            changes_to(lambda x: (lambda m: m / m.norm(dim=-1, keepdim=True))((x / x.norm(dim=-1, keepdim=True)).mean(dim=0))))})


@mean_change.alternative
def with_where(before, after):
    changes = after - before
    lengths = changes.norm(dim=-1, keepdim=True)
    mean = (changes / lengths).mean(dim=0)
    return torch.where(lengths.mean(dim=0) > 1e-5, mean / mean.norm(dim=-1, keepdim=True), torch.zeros_like(mean))


@mean_change.alternative
def image_by_image(before, after):
    total, lengths = torch.zeros_like(before[0]), torch.zeros_like(before[0, ..., 0])
    for a, b in zip(before, after):
        change = b - a
        total += F.normalize(change, dim=-1)
        lengths += torch.linalg.vector_norm(change, dim=-1)
    found = F.normalize(total, dim=-1)
    found[lengths / len(before) <= 1e-5] = 0
    return found


@mean_change.alternative
def by_sum(before, after):
    with torch.no_grad():
        changes = after.sub(before)
        total = (changes * changes.square().sum(-1, keepdim=True).clamp(min=1e-24).rsqrt()).sum(0)
        moves = changes.square().sum(-1).sqrt().mean(0, keepdim=True) > 1e-5
        return F.normalize(total, dim=-1).masked_fill(~moves[0].unsqueeze(-1), 0)


EXERCISES = (direction_between, mean_change)
