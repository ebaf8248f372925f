"""Lesson 07, exercises 2 and 3: the lengths of small steps, and what a plane does not know about an attribute."""
from importlib import import_module

import numpy as np
import torch
import torch.nn.functional as F

from .. import ops
from ..metrics import path_length
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, latents, lines

separability = import_module("course_lib.metrics.separability")     # metrics.separability is the function

# Exercise 2

def picture(dim, size, dtype, seed):
    """A generator without parameters that are trained: latents [N, D] → images [N, 3, H, W]."""
    first, second = normal(dim, 8, seed=seed, dtype=dtype), normal(8, 3 * size[0] * size[1], seed=seed + 1, dtype=dtype)
    return lambda latents: (torch.tanh(latents @ first) @ second).reshape(-1, 3, *size)


def squares(a, b):
    return (a - b).square().sum(dim=(1, 2, 3))


def unit_features(a, b):
    """As LPIPS compares: every pixel's channels at length 1."""
    return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1).mean(dim=(1, 2))


def bent(a, b, t):
    return a + t ** 2 * (b - a) + t * (1 - t) * a.flip(-1)


def walked(what, n, dim, size, between, distance=squares, dtype=torch.float64, t=None, **epsilon):
    seed = 10 * n + dim
    t = normal(n, 1, seed=seed + 4, dtype=dtype).sigmoid() if t is None else t
    a, b = (normal(n, dim, seed=seed + i, dtype=dtype) for i in (2, 3))
    return Probe(what, {"render": picture(dim, size, dtype, seed), "distance": distance, "between": between, "a": a, "b": b,
                        "t": t, **epsilon}, ("a", "b", "t"))


@torch.no_grad()
def steps_of_a_way(generator):
    """The lengths of six small steps from one latent to another, straight in W and on the great circle in Z."""
    t, z = torch.linspace(0, 1, 6)[:, None], latents(generator, 2)
    ways = ((lambda w: generator.synthesis(w, noise="const"), torch.lerp, generator.mapping(z)),
            (lambda z: generator(z, noise="const"), ops.slerp, z))
    terms = [path_length.path_terms(render, squares, between, *(x.expand(6, -1) for x in ends.split(1)), t, 0.03)
             for render, between, ends in ways]
    return torch.stack([x.expand(6) for x in terms])


path_terms = Exercise(
    "07.path_terms", "path_terms(render, distance, between, a, b, t, epsilon=1e-4)",
    conventions="between(a, b, t) gives latents on the way from a to b (a, b [N, D], t [N, 1]), render(latents) gives their "
                "images, and distance(images, images) is [N]. Return [N]: the distance of the images at t and at t + ε, divided by ε². "
                "It is a measurement, so no gradient is asked for.",
    production=path_length.path_terms,
    probes=[walked("three pairs on a straight way, the default ε", 3, 5, (4, 3), torch.lerp),
            walked("ε = 0.1", 3, 4, (3, 5), torch.lerp, epsilon=0.1),
            walked("a great circle", 4, 7, (2, 4), ops.slerp, epsilon=0.01),
            walked("a curved way", 3, 6, (4, 4), bent, epsilon=0.05),
            walked("one pair", 1, 8, (5, 2), bent, epsilon=0.2),
            walked("float32 and ε = 0.1", 2, 4, (4, 6), bent, dtype=torch.float32, epsilon=0.1),
            walked("a perceptual distance", 3, 5, (3, 4), ops.slerp, unit_features, epsilon=1e-3),
            walked("t = 0, the beginning of the way", 3, 9, (4, 2), bent, t=torch.zeros(3, 1, dtype=torch.float64), epsilon=0.1),
            walked("as many pairs as entries and pixels", 4, 4, (2, 2), bent, epsilon=0.5),
            walked("ε = 2", 2, 5, (3, 3), torch.lerp, epsilon=2)],
    proof=Proof("path_terms", steps_of_a_way, owner=path_length, who="The experiment",
                what="finds the same lengths in the generator",
                draw=lines([i / 5 for i in range(6)], "t", "d / ε²", ("in W", "in Z"))),
    hints=("Four calls and one division. Which images are compared, and how far apart are their two places on the way?",
           "The places are between(a, b, t) and between(a, b, t + epsilon). Render both, and divide their distance by epsilon "
           "squared: a distance that is a sum of squares shrinks with ε²."))
mistake = path_terms.mistake


def at(render, between, a, b, t, epsilon):
    """The two images of a step."""
    return render(between(a, b, t)), render(between(a, b, t + epsilon))


def changed(change):
    """The right terms, changed afterwards by change(terms, epsilon)."""
    return lambda render, distance, between, a, b, t, epsilon=1e-4: change(
        distance(*at(render, between, a, b, t, epsilon)) / epsilon ** 2, epsilon)


def placed(places):
    """The distance of the images at two other places, over ε²: places(between, a, b, t, ε) → two latents."""
    return lambda render, distance, between, a, b, t, epsilon=1e-4: distance(
        *(render(latents) for latents in places(between, a, b, t, epsilon))) / epsilon ** 2


for _name, _message, _function in (
        ("not_divided", "Divide by ε². Without that the term goes to 0 with the step.", changed(lambda x, e: x * e ** 2)),
        ("divided_by_epsilon", "Divide by ε squared. You divide by ε.", changed(lambda x, e: x * e)),
        ("divided_by_twice_epsilon", "Divide by ε squared. You divide by 2 ε.", changed(lambda x, e: x * e / 2)),
        ("multiplied", "Divide by ε². You multiply by it.", changed(lambda x, e: x * e ** 4)),
        ("root_of_the_distance", "Leave the distance as it is. You take its root.", changed(lambda x, e: x.sqrt() / e)),
        ("root_of_both", "Leave the distance as it is: d / ε². You return its root, √d / ε.", changed(lambda x, e: x.sqrt())),
        ("distance_squared", "Leave the distance as it is. You square it.", changed(lambda x, e: x.square() * e ** 2)),
        ("distance_and_epsilon_squared", "Leave the distance as it is. You square the whole fraction.",
         changed(lambda x, e: x.square())),
        ("batch_averaged", "Return one term for each pair, [N]. You average over the batch.", changed(lambda x, e: x.mean())),
        ("batch_summed", "Return one term for each pair, [N]. You sum over the batch.", changed(lambda x, e: x.sum())),
        ("same_place", "Both images are at the same place, so their distance is 0. One is at t, the other at t + ε.",
         placed(lambda between, a, b, t, e: [between(a, b, t)] * 2)),
        ("ends", "You compare the ends a and b. Compare two near places, at t and at t + ε.",
         placed(lambda between, a, b, t, e: (a, b))),
        ("from_the_start", "You go from a to the place at t + ε. Start at t.",
         placed(lambda between, a, b, t, e: (a, between(a, b, t + e)))),
        ("t_ignored", "You go from 0 to ε whatever t is. Start at t.",
         placed(lambda between, a, b, t, e: (between(a, b, 0 * t), between(a, b, 0 * t + e)))),
        ("backwards", "The step goes from t to t + ε. Yours goes from t − ε to t.",
         placed(lambda between, a, b, t, e: (between(a, b, t - e), between(a, b, t)))),
        ("centred", "The step goes from t to t + ε. You put t in its middle.",
         placed(lambda between, a, b, t, e: (between(a, b, t - e / 2), between(a, b, t + e / 2)))),
        ("two_steps", "The step goes from t to t + ε. Yours goes from t − ε to t + ε and is twice as long.",
         placed(lambda between, a, b, t, e: (between(a, b, t - e), between(a, b, t + e)))),
        ("step_of_the_latent", "ε is added to t, which is a place on the way. You add it to the latent.",
         placed(lambda between, a, b, t, e: (between(a, b, t), between(a, b, t) + e))),
        ("t_multiplied", "Add ε to t. You multiply t by 1 + ε.",
         placed(lambda between, a, b, t, e: (between(a, b, t), between(a, b, t * (1 + e))))),
        ("exchanged", "between(a, b, t) walks from a to b. You exchange a and b.",
         placed(lambda between, a, b, t, e: (between(b, a, t), between(b, a, t + e)))),
        ("great_circle", "Use `between`. You always walk on the great circle, which is right in Z only.",
         placed(lambda between, a, b, t, e: (ops.slerp(a, b, t), ops.slerp(a, b, t + e)))),
        ("straight", "Use `between`. You always walk straight, which is right in W only.",
         placed(lambda between, a, b, t, e: (torch.lerp(a, b, t), torch.lerp(a, b, t + e))))):
    _function.__name__ = _name
    mistake(_message)(_function)


@mistake("Use the parameter epsilon. You write a number in its place.")
def epsilon_fixed(render, distance, between, a, b, t, epsilon=1e-4):
    return distance(*at(render, between, a, b, t, 1e-4)) / 1e-4 ** 2


@mistake("Render the latents: the distance is between images.")
def not_rendered(render, distance, between, a, b, t, epsilon=1e-4):
    return (between(a, b, t) - between(a, b, t + epsilon)).square().sum(dim=1) / epsilon ** 2


@mistake("Use `distance`. You sum the squared differences of the pixels yourself.", visible=False)
def own_distance(render, distance, between, a, b, t, epsilon=1e-4):
    return squares(*at(render, between, a, b, t, epsilon)) / epsilon ** 2


@mistake("Walk between the latents, and render the places. You render the ends and walk between their images.")
def images_mixed(render, distance, between, a, b, t, epsilon=1e-4):
    t = t[:, :, None, None]
    return distance(*(torch.lerp(render(a), render(b), s) for s in (t, t + epsilon))) / epsilon ** 2


@path_terms.alternative
def in_words(render, distance, between, a, b, t, epsilon=1e-4):
    here, there = between(a, b, t), between(a, b, t + epsilon)
    with torch.no_grad():
        return distance(render(there), render(here)) * epsilon ** -2


@path_terms.alternative
def in_one_batch(render, distance, between, a, b, t, epsilon=1e-4):
    images = render(torch.cat([between(a, b, s) for s in (t, t + epsilon)]))
    return torch.divide(distance(*images.chunk(2)), epsilon * epsilon)


@path_terms.alternative
def pair_by_pair(render, distance, between, a, b, t, epsilon=1e-4):
    rows = [slice(i, i + 1) for i in range(len(a))]
    return torch.cat([distance(*at(render, between, a[i], b[i], t[i], epsilon)) for i in rows]) / epsilon ** 2


# Exercise 3

def labels(what, y, x):
    return Probe(what, {"y": y, "x": x})


def drawn(seed, n, classes, error):
    """n labels, and the same with a share of them drawn anew."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return y, np.where(rng.random(n) < error, rng.integers(classes, size=n), y)


def flips(network):
    """H for 1,000 labels of which 30 % are 1, when a growing share of what is predicted is wrong."""
    y, rank = np.arange(1000) % 10 < 3, np.random.default_rng(0).permutation(1000)
    found = [separability.conditional_entropy(y.astype(int), (y ^ (rank < 50 * i)).astype(int)) for i in range(11)]
    return torch.tensor(found, dtype=torch.float64)[None]


conditional_entropy = Exercise(
    "07.conditional_entropy", "conditional_entropy(y, x)",
    conventions="y and x are sequences of N integer labels (arrays or lists, any integers). Return the Python number "
                "H(Y|X) = −Σ p(x, y) ln(p(x, y) / p(x)) in nats, with shares of the N samples for p. A pair of labels that never "
                "occurs adds nothing.",
    production=separability.conditional_entropy, returns="numbers",
    probes=[labels("two hundred samples of two classes", *drawn(0, 200, 2, 0.4)),
            labels("four classes", *drawn(1, 300, 4, 0.5)),
            labels("lists", [0, 0, 1, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0, 1]),
            labels("three y and two x, and a pair that never occurs", [0, 1, 2, 2, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0, 1, 0]),
            labels("two y and five x", np.array([0, 1, 0, 1, 1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2, 2, 3, 4, 4])),
            labels("labels 7, −3 and 100", np.array([7, -3, 100, 7, 7, -3, 100, 100]), np.array([7, 7, 100, 100, 7, -3, -3, 7])),
            labels("an x that is always the same", np.array([0, 1, 1, 1, 0]), np.zeros(5, dtype=int)),
            labels("predictions that are all wrong but one", np.array([0, 1, 0, 1, 1, 1]), np.array([1, 0, 1, 0, 0, 1])),
            labels("a rare class", np.array([1] * 3 + [0] * 97), np.array([1, 1, 0] + [0] * 95 + [1, 0]))],
    proof=Proof("conditional_entropy", flips, owner=separability, model=None, who="The experiment",
                what="finds the same entropies",
                draw=lines([0.05 * i for i in range(11)], "share of wrong predictions", "H(Y|X) in nats")),
    hints=("Count first: a table with a row for every x and a column for every y, divided by N. What are p(x, y) and p(x) in it?",
           "np.unique(y, return_inverse=True)[1] turns labels into 0, 1, 2, … p(x) is the sum of a row. Take the logarithm only "
           "where p(x, y) > 0."))
mistake = conditional_entropy.mistake


def table_of(y, x):
    """p(x, y), a row for every x."""
    return np.array([[np.mean((np.asarray(x) == a) & (np.asarray(y) == b)) for b in np.unique(y)] for a in np.unique(x)])


def entropy(p):
    p = np.ravel(p)
    return -(p[p > 0] * np.log(p[p > 0])).sum().item()


def from_tables(formula):
    return lambda y, x: float(formula(table_of(y, x), len(y)))


def exact(p):
    return entropy(p) - entropy(p.sum(axis=1))


def rows(p):
    """H(Y | X = x) of every x."""
    return np.array([entropy(row / row.sum()) for row in p])


for _name, _message, _formula in (
        ("in_bits", "Use the natural logarithm: nats, not bits.", lambda p, n: exact(p) / np.log(2)),
        ("by_log10", "Use the natural logarithm, not that to the base 10.", lambda p, n: exact(p) / np.log(10)),
        ("joint", "You compute H(X, Y): inside the logarithm p(x, y) is divided by p(x).", lambda p, n: entropy(p)),
        ("marginal", "You compute H(Y), as if x were not known.", lambda p, n: entropy(p.sum(axis=0))),
        ("marginal_of_x", "You compute H(X). What is wanted is what remains unknown of y.", lambda p, n: entropy(p.sum(axis=1))),
        ("given_y", "You compute H(X|Y). Divide by p(x), and not by p(y).", lambda p, n: exact(p.T)),
        ("mutual_information", "You compute H(Y) − H(Y|X), what x tells about y. What is wanted is what it does not tell.",
         lambda p, n: entropy(p.sum(axis=0)) - exact(p)),
        ("minus_forgotten", "An entropy is not negative: you forgot the minus.", lambda p, n: -exact(p)),
        ("exponential", "Leave out exp. Separability takes it once, of the sum over all attributes.", lambda p, n: np.exp(exact(p))),
        ("counts", "Divide the counts by N: p(x, y) is a share.", lambda p, n: n * exact(p)),
        ("given_as_weight", "The weight before the logarithm is p(x, y). You take p(y|x), so rare x count as much as frequent ones.",
         lambda p, n: rows(p).sum()),
        ("plain_mean", "Weigh the entropy of every x with p(x). You take their plain mean.", lambda p, n: rows(p).mean()),
        ("averaged_over_pairs", "Sum over the pairs of labels. You average.", lambda p, n: exact(p) / p.size),
        ("divided_by_n", "p(x, y) is a share already: do not divide by N again.", lambda p, n: exact(p) / n)):
    _function = from_tables(_formula)
    _function.__name__ = _name
    mistake(_message)(_function)


@mistake("You compute the share of samples where y and x differ. An entropy does not ask whether x is right, only what it tells.")
def error_rate(y, x):
    return float(np.mean(np.asarray(y) != np.asarray(x)))


@mistake("You compute the entropy of being right or wrong. An x that is always wrong tells as much as one that is always right, "
         "and every x has an entropy of its own.")
def entropy_of_the_errors(y, x):
    error = np.mean(np.asarray(y) != np.asarray(x))
    return entropy([error, 1 - error])


@mistake("A pair of labels that never occurs gives 0 · ln 0, which is NaN. Sum only where p(x, y) > 0.")
def nan_of_an_empty_pair(y, x):
    p = table_of(y, x)
    with np.errstate(all="ignore"):
        return -(p * np.log(p / p.sum(axis=1, keepdims=True))).sum().item()


@conditional_entropy.alternative
def difference_of_entropies(y, x):
    joint = np.unique(np.stack([x, y]), axis=1, return_counts=True)[1] / len(y)
    given = np.unique(x, return_counts=True)[1] / len(x)
    return (given * np.log(given)).sum() - (joint * np.log(joint)).sum()


@conditional_entropy.alternative
def in_plain_python(y, x):
    from collections import Counter
    from math import log
    x, y = list(map(int, x)), list(map(int, y))
    each, pairs = Counter(x), Counter(zip(x, y))
    return sum(-n / len(y) * log(n / each[a]) for (a, _), n in pairs.items())


@conditional_entropy.alternative
def row_by_row(y, x):
    total = 0.0
    for value in set(np.asarray(x).tolist()):
        here = np.asarray(y)[np.asarray(x) == value]
        shares = np.bincount(here - here.min()) / len(here)
        total -= len(here) / len(y) * sum(p * np.log(p + 1e-12) for p in shares)
    return total


EXERCISES = (path_terms, conditional_entropy)
