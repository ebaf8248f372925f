"""Lesson 10, exercise 1: the direction between two texts."""
import torch
import torch.nn.functional as F

from ..styleclip import global_directions
from .engine import Exercise
from .lesson08 import CLIP, declare, unit
from .probes import Probe, normal
from .proof import Proof, bars

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
    production=global_directions.direction_between, tolerance=1e-5, needs=CLIP,
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


@direction_between.alternative
def by_loops_and_dots(neutral, target):
    def ensembled(embeddings):
        mean = sum(x / torch.sqrt(torch.dot(x, x)) for x in embeddings) / len(embeddings)
        return mean / torch.linalg.vector_norm(mean)
    difference = ensembled(target) - ensembled(neutral)
    return difference / torch.linalg.norm(difference)


@direction_between.alternative
def by_einsum(neutral, target):
    n, t = (F.normalize(torch.einsum("td,t->d", x, x.norm(dim=1).reciprocal()), dim=0) for x in (neutral, target))
    return F.normalize(t - n, dim=0)


EXERCISES = (direction_between,)
