"""Lesson 07, exercise 1: the way from one latent to another."""
import numpy as np
import torch
import torch.nn.functional as F

from .. import ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, latents


FIXED = ("a", "b", "t")


def pair(what, shape, t, dtype=torch.float64, near=None, sizes=(1.0, 1.0)):
    """near: how much b differs from a times that number."""
    seed = sum(shape) + 10 * len(shape)
    a, b = (normal(*shape, seed=seed + i, dtype=dtype) for i in (0, 1))
    b = b if near is None else near * a + 0.1 * b
    return Probe(what, {"a": sizes[0] * a, "b": sizes[1] * b, "t": t}, FIXED)


def equal(what, dim, t, factor):
    """Long vectors ±1, ±1, … and the same times a factor. Their unit vectors, and so the rounding of the product, do not
    depend on how they are computed: of three entries it is beyond 1, of four exactly 1."""
    a = 2 ** 17 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * dim)
    return Probe(what, {"a": a, "b": factor * a, "t": t}, FIXED)


def mixed(what, dim, t):
    """Equal directions, nearly equal ones, at an angle of about 0.005, and two ordinary pairs, in one batch."""
    a, b, noise = (normal(4, dim, seed=40 + dim + i) for i in (0, 1, 2))
    a[0] = 2.0 ** 17
    b[:2] = torch.stack([4 * a[0], 3 * a[1] + 0.03 * noise[1]])
    return Probe(what, {"a": a, "b": b, "t": t}, FIXED)


@torch.no_grad()
def strip(generator):
    """Six portraits on the way in Z, between latents at an obtuse angle."""
    a, b = latents(generator, 2, seed=6).split(1)
    b = b - a
    t = torch.linspace(0, 1, 6)[:, None]
    return generator(ops.slerp(a.expand(6, -1), b.expand(6, -1), t), psi=0.7, noise="const")


slerp = Exercise(
    "07.slerp", "slerp(a, b, t)",
    conventions="a and b are [..., D], t is a number or a tensor [..., 1]. Return unit vectors [..., D] on the great circle from "
                "the direction of a (t = 0) to the direction of b (t = 1): at t, the share t of the angle is behind you. "
                "t may lie beyond 0 and 1. Where the directions of a pair are equal, return that direction; the other pairs of its "
                "batch may be at any angle. No gradient is asked for.",
    production=ops.slerp, tolerance=1e-6,
    probes=[pair("three pairs, t = 0.375", (3, 5), 0.375),
            pair("a t for each of three pairs", (3, 7), torch.tensor([[0.125], [0.5], [0.75]], dtype=torch.float64)),
            pair("a single pair of vectors [D]", (6,), 0.6875),
            pair("float32, t = 0.3", (4, 8), 0.3, torch.float32),
            pair("two batches of three pairs, with a t for each", (2, 3, 4), normal(2, 3, 1, seed=4).sigmoid()),
            pair("as many pairs as entries", (4, 4), 0.4375),
            pair("a long and a short vector", (3, 9), 0.3125, sizes=(20.0, 0.05)),
            pair("t = 0", (2, 5), 0), pair("t = 1", (5, 3), 1), pair("t = 1.375, beyond b", (3, 3), 1.375),
            pair("nearly opposite directions", (3, 6), 0.34375, near=-1.0, sizes=(1024.0, 1024.0)),
            pair("nearly equal directions", (3, 4), 0.625, near=1.0),
            equal("equal directions", 3, 0.375, 4), equal("equal vectors", 4, 0.5, 1),
            mixed("one pair of four has equal directions, and a t for each", 3, torch.tensor([[6.0, 10, 15, 1]]).double().T / 16),
            mixed("one pair of four has equal directions, t = −0.4375", 4, -0.4375)],
    proof=Proof("slerp", strip, titles=("t = 0", "0.2", "0.4", "0.6", "0.8", "1")),
    hints=("Normalise a and b first. The angle θ between two unit vectors is the arc cosine of their product, which rounding can "
           "carry just beyond 1: clamp it. Sums over D need keepdim=True.",
           "The formula of sines is fine, but where sin θ = 0 it is 0 / 0: give a's direction there, with torch.where(θ < 1e-6, "
           "a, …). Or without a division: take from b its part along a, and normalise; the result is a · cos(tθ) + that · "
           "sin(tθ)."))
mistake = slerp.mistake


def unit(x):
    return F.normalize(x, dim=-1)


def angle_between(a, b):
    return torch.acos((a * b).sum(dim=-1, keepdim=True).clamp(-1, 1))


def turned(a, b, angle):
    """Unit vectors at an angle from the unit vectors a, towards b."""
    return unit(a * torch.cos(angle) + unit(b - a * (a * b).sum(dim=-1, keepdim=True)) * torch.sin(angle))


def weighted(a, b, t, angle):
    """The formula of sines for vectors a and b at an angle."""
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def lerp(a, b, t):
    return a + t * (b - a)


def by_sines(a, b, t):
    return weighted(a, b, t, angle_between(a, b))


def carefully(a, b, t, angle):
    """The formula of sines for unit vectors, with a's direction where it has no value."""
    return torch.where(angle < 1e-6, a, weighted(a, b, t, angle))


IN_THE_SUM = "The directions turn as they should, but a and b go in with their lengths. Use the unit vectors in the sum too."
BEFORE = "Normalise a and b before anything else: the angle is between directions, whatever the lengths."


def family(message, functions, visible=True):
    """Mistakes of one message: {name: function}."""
    for name, function in functions.items():
        function.__name__ = name
        mistake(message, visible)(function)


def of_the_vectors(at_equal, afterwards=lambda x: x):
    """Angles of the directions, the formula of sines with a and b themselves, and at_equal(a, b, t) for equal directions."""
    def function(a, b, t):
        angle = angle_between(unit(a), unit(b))
        return afterwards(torch.where(angle < 1e-6, at_equal(a, b, t), weighted(a, b, t, angle)))
    return function


family(IN_THE_SUM, {
    "vectors_where_not_equal": of_the_vectors(lambda a, b, t: a),
    "vectors_or_direction": of_the_vectors(lambda a, b, t: unit(a)),
    "vectors_or_line": of_the_vectors(lerp),
    "vectors_or_zero": of_the_vectors(lambda a, b, t: 0 * a)})
family("Use the unit vectors in the sum too: the longer vector pulls it to its side, whether you normalise it or not.", {
    "vectors_normalised_after": of_the_vectors(lambda a, b, t: a, unit),
    "vectors_of_sines_normalised_after": of_the_vectors(lambda a, b, t: a * torch.nan, unit)})


def right(a, b, t):
    return turned(unit(a), unit(b), t * angle_between(unit(a), unit(b)))


def length(x):
    return x.norm(dim=-1, keepdim=True)


for _name, _message, _visible, _function in (
        ("lerp", "You walk on the straight line between a and b. Walk on the great circle, by the angle.", True, lerp),
        ("lerp_of_directions", "You walk on the straight line between the directions. Walk on the great circle, by the angle.",
         True, lambda a, b, t: lerp(unit(a), unit(b), t)),
        ("lerp_normalised", "You walk on the straight line and normalise: that reaches the same directions, but fast in the middle "
         "and slow at the ends. Turn by equal angles.", True, lambda a, b, t: unit(lerp(unit(a), unit(b), t))),
        ("lerp_then_normalised", "You walk on the straight line between a and b and normalise. Normalise first, then turn by equal "
         "angles.", True, lambda a, b, t: unit(lerp(a, b, t))),
        ("not_normalised", BEFORE, True, lambda a, b, t: turned(a, b, t * angle_between(a, b))),
        ("sines_not_normalised", BEFORE, True, lambda a, b, t: by_sines(a, b, t)),
        ("sines_of_the_vectors", IN_THE_SUM, True, lambda a, b, t: weighted(a, b, t, angle_between(unit(a), unit(b)))),
        ("lengths_restored", "Return unit vectors. You give them back the lengths of a and b.", False,
         lambda a, b, t: right(a, b, t) * lerp(length(a), length(b), t)),
        ("length_of_a", "Return unit vectors. You give them back the length of a.", False,
         lambda a, b, t: right(a, b, t) * length(a)),
        ("length_of_z", "Return unit vectors. You scale them to length √D, as z usually has.", False,
         lambda a, b, t: right(a, b, t) * a.shape[-1] ** 0.5),
        ("degrees", "torch.cos and torch.sin take radians. Your angle is in degrees.", True,
         lambda a, b, t: turned(unit(a), unit(b), t * torch.rad2deg(angle_between(unit(a), unit(b))))),
        ("reversed_t", "t = 0 gives the direction of a, and t = 1 that of b. With you it is the other way round.", True,
         lambda a, b, t: right(b, a, t)),
        ("exchanged", "cos and sin are exchanged: at t = 0 the cosine is 1, and it belongs to a.", True,
         lambda a, b, t: turned(unit(a), unit(b), torch.pi / 2 - t * angle_between(unit(a), unit(b)))),
        ("right_angle", "You ignore the angle between a and b: t = 1 always turns by a right angle.", True,
         lambda a, b, t: turned(unit(a), unit(b), t * torch.pi / 2 + 0 * angle_between(unit(a), unit(b)))),
        ("all_the_way", "Multiply the angle by t. You turn all the way to b.", True,
         lambda a, b, t: turned(unit(a), unit(b), angle_between(unit(a), unit(b)) + 0 * t))):
    _function.__name__ = _name
    mistake(_message, _visible)(_function)


@mistake("Clamp the product of the unit vectors to [−1, 1]: rounding carries it beyond, where acos is NaN.", visible=False)
def not_clamped(a, b, t):
    a, b = unit(a), unit(b)
    return turned(a, b, t * torch.acos((a * b).sum(dim=-1, keepdim=True)))


@mistake("For equal directions sin(angle) is 0, and you divide by it. Use the part of b at a right angle to a, or treat equal "
         "directions apart.", visible=False)
def sines(a, b, t):
    return by_sines(unit(a), unit(b), t)


def nearly_divided(epsilon):
    """ε in the denominator; the smallest stands for clamp(min=ε) and nan_to_num too, which are the same on the probes."""
    def function(a, b, t):
        a, b = unit(a), unit(b)
        angle = angle_between(a, b)
        return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / (torch.sin(angle) + epsilon)
    return function


family("For equal directions both sines are 0, so the sum is the zero vector: an ε in the denominator stops the NaN, but not "
       "that. Return a's direction there.", {f"denominator_plus_{e}": nearly_divided(e) for e in (1e-8, 1e-7, 1e-6, 1e-5)}, False)


def with_product(change):
    """{form: function}: the three common forms, with another product of the unit vectors."""
    def product(a, b):
        return change((a * b).sum(dim=-1, keepdim=True))

    def sines(a, b, t):
        return weighted(unit(a), unit(b), t, torch.acos(product(unit(a), unit(b))))

    def careful(a, b, t):
        return carefully(unit(a), unit(b), t, torch.acos(product(unit(a), unit(b))))

    def projected(a, b, t):
        a, b = unit(a), unit(b)
        angle = t * torch.acos(product(a, b))
        return unit(a * torch.cos(angle) + unit(b - product(a, b) * a) * torch.sin(angle))

    return {"sines": sines, "careful": careful, "projected": projected}


family("Clamp the product to [−1, 1]. At an obtuse angle it is negative, and you cut that off.",
       {f"clamped_to_0_{name}": f for name, f in with_product(lambda x: x.clamp(0, 1)).items()})
family("Keep the sign of the product: the angle between a and b may be obtuse.",
       {f"absolute_{name}": f for name, f in with_product(lambda x: x.abs().clamp(max=1)).items()})


@mistake("Go from a to b. Where the angle is obtuse you go to −b, which is right for rotations (quaternions) only.")
def shortest_way(a, b, t):
    a, b = unit(a), unit(b)
    b = torch.where((a * b).sum(dim=-1, keepdim=True) < 0, -b, b)
    return carefully(a, b, t, angle_between(a, b))


def with_t(change):
    return lambda a, b, t: carefully(unit(a), unit(b), change(torch.as_tensor(t, dtype=a.dtype)), angle_between(unit(a), unit(b)))


family("Leave t as it is. You limit it, but the circle goes on behind a and beyond b.", {
    "t_clamped": with_t(lambda t: t.clamp(0, 1)), "t_at_least_0": with_t(lambda t: t.clamp(min=0)),
    "t_at_most_1": with_t(lambda t: t.clamp(max=1)), "absolute_t": with_t(torch.abs)}, False)


def guarded(equal, instead=lambda a, b, t: a):
    """The formula of sines, or something else for all pairs at once where equal(angles)."""
    def function(a, b, t):
        a, b = unit(a), unit(b)
        angle = angle_between(a, b)
        return instead(a, b, t) if equal(angle < 1e-6) else weighted(a, b, t, angle)
    return function


family("Decide for each pair whether its directions are equal, with torch.where. You decide once, for the whole batch.", {
    "all_equal": guarded(torch.all), "any_equal": guarded(torch.any),
    "any_equal_and_a_line": guarded(torch.any, lambda a, b, t: unit(lerp(a, b, t)))}, False)


@mistake("Take from b its part along a before you turn towards it. b itself is not at a right angle to a.")
def not_orthogonal(a, b, t):
    angle = t * angle_between(unit(a), unit(b))
    return unit(unit(a) * torch.cos(angle) + unit(b) * torch.sin(angle))


@mistake("Normalise the part of b at a right angle to a, before you multiply it by the sine.")
def orthogonal_not_normalised(a, b, t):
    a, b = unit(a), unit(b)
    angle = t * angle_between(a, b)
    return unit(a * torch.cos(angle) + (b - a * (a * b).sum(dim=-1, keepdim=True)) * torch.sin(angle))


@mistake("A vector is a row, the last dimension. You normalise over the first.")
def first_dimension(a, b, t):
    a, b = F.normalize(a, dim=0), F.normalize(b, dim=0)
    angle = t * torch.acos((a * b).sum(dim=0, keepdim=True).clamp(-1, 1))
    orthogonal = F.normalize(b - a * (a * b).sum(dim=0, keepdim=True), dim=0)
    return F.normalize(a * torch.cos(angle) + orthogonal * torch.sin(angle), dim=0)


@slerp.alternative
def by_sines_with_care(a, b, t):
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    omega = torch.arccos(torch.clamp(torch.sum(a * b, -1, keepdim=True), -1, 1))
    near = omega < 1e-3
    safe = torch.where(near, torch.ones_like(omega), omega)
    return torch.where(near, unit(torch.lerp(a, b, torch.as_tensor(t, dtype=a.dtype))),
                       torch.sin((1 - t) * safe) / torch.sin(safe) * a + torch.sin(t * safe) / torch.sin(safe) * b)


@slerp.alternative
def by_sines_of_a_clamped_product(a, b, t):
    a, b = (x / (x.norm(dim=-1, keepdim=True) + 1e-8) for x in (a, b))
    return weighted(a, b, torch.as_tensor(t), torch.acos((a * b).sum(dim=-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7)))


@slerp.alternative
def in_numpy(a, b, t):
    a, b, t = (x.numpy() if isinstance(x, torch.Tensor) else x for x in (a, b, t))
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    angle = np.arccos(np.clip((a * b).sum(axis=-1, keepdims=True), -1, 1))
    with np.errstate(invalid="ignore"):
        found = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return torch.from_numpy(np.where(angle > 1e-6, found, a))


@slerp.alternative
def a_where_there_is_no_value(a, b, t):
    a, b = unit(a), unit(b)
    angle = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[..., None]
    found = weighted(a, b, t, angle)
    return torch.where(found.isfinite(), found, a)


@slerp.alternative
def by_projection(a, b, t):
    a, b = unit(a), unit(b)
    product = torch.einsum("...d,...d->...", a, b).clamp(-1, 1).unsqueeze(-1)
    side = b - product * a
    side = side / side.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.cos(t * product.acos()) * a + torch.sin(t * product.acos()) * side


EXERCISES = (slerp,)
