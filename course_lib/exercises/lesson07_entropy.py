"""Lesson 07, exercise 3: what a plane does not know about an attribute."""
import numpy as np
import torch

from .engine import Exercise
from .guard import separability
from .probes import Probe
from .proof import Proof, lines


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
    return torch.tensor([float(h) for h in found], dtype=torch.float64)[None]


conditional_entropy = Exercise(
    "07.conditional_entropy", "conditional_entropy(y, x)",
    conventions="y and x are sequences of N integer labels (arrays or lists, any integers). Return the Python number "
                "H(Y|X) = −Σ p(x, y) ln(p(x, y) / p(x)) in nats, with shares of the N samples for p. A pair of labels that never "
                "occurs adds nothing.",
    production=separability.conditional_entropy, returns="numbers", tolerance=1e-6,
    probes=[labels("two hundred samples of two classes", *drawn(0, 200, 2, 0.4)),
            labels("four classes", *drawn(1, 300, 4, 0.5)),
            labels("lists", [0, 0, 1, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0, 1]),
            labels("three y and two x, and a pair that never occurs", [0, 1, 2, 2, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0, 1, 0]),
            labels("two y and five x", np.array([0, 1, 0, 1, 1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2, 2, 3, 4, 4])),
            labels("labels 7, −3 and 100", np.array([7, -3, 100, 7, 7, -3, 100, 100]), np.array([7, 7, 100, 100, 7, -3, -3, 7])),
            labels("labels −1 and 1", np.array([1, -1, 1, 1, -1, -1, 1, -1, 1]), np.array([1, -1, -1, 1, -1, 1, 1, -1, 1])),
            labels("y −1 and 1, x 0 and 1", [1, -1, 1, 1, -1, -1, 1, -1], [1, 0, 0, 1, 1, 1, 0, 0]),
            labels("labels of several digits", [0, 10, 100, 1000, 0, 11, 1, 10, 0], [1, 0, 0, 0, 2, 1, 11, 0, 1]),
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


def logarithms(p, given):
    """ln(p / given), and 0 for a pair that never occurs."""
    return np.log(np.where(p > 0, p, given) / given)


ONE_COUNT = "Inside the logarithm divide a share by a share, p(x, y) / p(x). One of yours is a count."
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
        ("share_of_x_as_weight", "The weight before the logarithm is p(x, y). You take p(x).",
         lambda p, n: -(p.sum(axis=1, keepdims=True) * logarithms(p, p.sum(axis=1, keepdims=True))).sum()),
        ("share_by_count", ONE_COUNT, lambda p, n: -(p * logarithms(p, n * p.sum(axis=1, keepdims=True))).sum()),
        ("count_by_share", ONE_COUNT, lambda p, n: -(p * logarithms(n * p, p.sum(axis=1, keepdims=True))).sum()),
        ("divided_by_both", "Inside the logarithm divide by p(x) alone. With p(x) p(y) you compute the mutual information.",
         lambda p, n: exact(p) - entropy(p.sum(axis=0))),
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


def by_places(y, x):
    """The table, with the labels themselves as indices."""
    table = np.zeros((max(x) + 1, max(y) + 1))
    np.add.at(table, (np.asarray(x), np.asarray(y)), 1 / len(y))
    return exact(table)


def by_ranges(y, x):
    """The table, of the labels that range() meets."""
    y, x = np.asarray(y), np.asarray(x)
    return exact(np.array([[np.mean((x == a) & (y == b)) for b in range(max(y) + 1)] for a in range(max(x) + 1)]))


def by_codes(base):
    """Pairs of labels counted as numbers y + base(y) · x."""
    def function(y, x):
        y, x = np.asarray(y), np.asarray(x)
        pairs, given = (np.unique(codes, return_counts=True)[1] / len(y) for codes in (y + base(y) * x, x))
        return entropy(pairs) - entropy(given)
    return function


def family(message, functions):
    """Mistakes of one message that the proof, with labels 0 and 1, does not show: {name: function}."""
    for name, function in functions.items():
        function.__name__ = name
        mistake(message, visible=False)(function)


family("A label is a name, not a place: as an index −1 is the last place, and range() never meets it. np.unique(labels, "
       "return_inverse=True)[1] numbers any labels 0, 1, 2, …", {"labels_as_indices": by_places, "labels_from_0": by_ranges})
family("Different pairs of labels get the same number. Count the pairs themselves: Counter(zip(x, y)), or np.unique with axis.", {
    "codes_of_10": by_codes(lambda y: 10), "codes_of_100": by_codes(lambda y: 100), "codes_of_2": by_codes(lambda y: 2),
    "codes_of_the_classes": by_codes(lambda y: len(np.unique(y)))})


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
def with_a_small_constant(y, x):
    p = table_of(y, x)
    return -(p * np.log((p + 1e-9) / (p.sum(axis=1, keepdims=True) + 1e-9))).sum()


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


EXERCISES = (conditional_entropy,)
