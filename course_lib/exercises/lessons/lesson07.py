"""Lesson 07: the way from one latent to another, the terms of a path length, and what a plane does not know about an attribute."""
import numpy as np
import torch
import torch.nn.functional as F

from ... import ops
from ...metrics import linear_separability, path_length
from ..engine import Case, Exercise, ModelCheck, curves, draw, latents, wrong
from ..engine.cases import kind


def pair(what, shape, t, dtype=torch.float64, near=None, sizes=(1.0, 1.0)):
    """near: how much b differs from a times that number."""
    seed = sum(shape) + 10 * len(shape)
    a, b = (draw(*shape, seed=seed + i, dtype=dtype) for i in (0, 1))
    b = b if near is None else near * a + 0.1 * b
    return Case(what, {"a": sizes[0] * a, "b": sizes[1] * b, "t": t})


def equal(what, dim, t, factor):
    """Long vectors ±1, ±1, … and the same times a factor. Their unit vectors, and so the rounding of the product, do not
    depend on how they are computed: of three entries it is beyond 1, of four exactly 1."""
    a = 2 ** 17 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * dim)
    return Case(what, {"a": a, "b": factor * a, "t": t})


def mixed(what, dim, t):
    """Equal directions, nearly equal ones, at an angle of about 0.005, and two ordinary pairs, in one batch."""
    a, b, noise = (draw(4, dim, seed=40 + dim + i) for i in (0, 1, 2))
    a[0] = 2.0 ** 17
    b[:2] = torch.stack([4 * a[0], 3 * a[1] + 0.03 * noise[1]])
    return Case(what, {"a": a, "b": b, "t": t})


@torch.no_grad()
def strip(generator):
    """Six portraits on the way in Z, between latents at an obtuse angle."""
    a, b = latents(generator, 2, seed=6).split(1)
    b = b - a
    t = torch.linspace(0, 1, 6)[:, None]
    return generator(ops.slerp(a.expand(6, -1), b.expand(6, -1), t), psi=0.7, noise="const")


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


def of_the_vectors(at_equal, afterwards=lambda x: x):
    """Angles of the directions, the formula of sines with a and b themselves, and at_equal(a, b, t) for equal directions."""
    def function(a, b, t):
        angle = angle_between(unit(a), unit(b))
        return afterwards(torch.where(angle < 1e-6, at_equal(a, b, t), weighted(a, b, t, angle)))
    return function


def right(a, b, t):
    return turned(unit(a), unit(b), t * angle_between(unit(a), unit(b)))


def length(x):
    return x.norm(dim=-1, keepdim=True)


def not_clamped(a, b, t):
    a, b = unit(a), unit(b)
    return turned(a, b, t * torch.acos((a * b).sum(dim=-1, keepdim=True)))


def nearly_divided(epsilon):
    """ε in the denominator; the smallest stands for clamp(min=ε) and nan_to_num too, which are the same on the probes."""
    def function(a, b, t):
        a, b = unit(a), unit(b)
        angle = angle_between(a, b)
        return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / (torch.sin(angle) + epsilon)
    return function


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


def shortest_way(a, b, t):
    a, b = unit(a), unit(b)
    b = torch.where((a * b).sum(dim=-1, keepdim=True) < 0, -b, b)
    return carefully(a, b, t, angle_between(a, b))


def with_t(change):
    return lambda a, b, t: carefully(unit(a), unit(b), change(torch.as_tensor(t, dtype=a.dtype)), angle_between(unit(a), unit(b)))


def guarded(equal, instead=lambda a, b, t: a):
    """The formula of sines, or something else for all pairs at once where equal(angles)."""
    def function(a, b, t):
        a, b = unit(a), unit(b)
        angle = angle_between(a, b)
        return instead(a, b, t) if equal(angle < 1e-6) else weighted(a, b, t, angle)
    return function


def not_orthogonal(a, b, t):
    angle = t * angle_between(unit(a), unit(b))
    return unit(unit(a) * torch.cos(angle) + unit(b) * torch.sin(angle))


def orthogonal_not_normalised(a, b, t):
    a, b = unit(a), unit(b)
    angle = t * angle_between(a, b)
    return unit(a * torch.cos(angle) + (b - a * (a * b).sum(dim=-1, keepdim=True)) * torch.sin(angle))


def first_dimension(a, b, t):
    a, b = F.normalize(a, dim=0), F.normalize(b, dim=0)
    angle = t * torch.acos((a * b).sum(dim=0, keepdim=True).clamp(-1, 1))
    orthogonal = F.normalize(b - a * (a * b).sum(dim=0, keepdim=True), dim=0)
    return F.normalize(a * torch.cos(angle) + orthogonal * torch.sin(angle), dim=0)


def by_sines_with_care(a, b, t):
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    omega = torch.arccos(torch.clamp(torch.sum(a * b, -1, keepdim=True), -1, 1))
    near = omega < 1e-3
    safe = torch.where(near, torch.ones_like(omega), omega)
    return torch.where(near, unit(torch.lerp(a, b, torch.as_tensor(t, dtype=a.dtype))),
                       torch.sin((1 - t) * safe) / torch.sin(safe) * a + torch.sin(t * safe) / torch.sin(safe) * b)


def by_sines_of_a_clamped_product(a, b, t):
    a, b = (x / (x.norm(dim=-1, keepdim=True) + 1e-8) for x in (a, b))
    return weighted(a, b, torch.as_tensor(t), torch.acos((a * b).sum(dim=-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7)))


def in_numpy(a, b, t):
    a, b, t = (x.numpy() if isinstance(x, torch.Tensor) else x for x in (a, b, t))
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    angle = np.arccos(np.clip((a * b).sum(axis=-1, keepdims=True), -1, 1))
    with np.errstate(invalid="ignore"):
        found = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return torch.from_numpy(np.where(angle > 1e-6, found, a))


def a_where_there_is_no_value(a, b, t):
    a, b = unit(a), unit(b)
    angle = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[..., None]
    found = weighted(a, b, t, angle)
    return torch.where(found.isfinite(), found, a)


def by_projection(a, b, t):
    a, b = unit(a), unit(b)
    product = torch.einsum("...d,...d->...", a, b).clamp(-1, 1).unsqueeze(-1)
    side = b - product * a
    side = side / side.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return torch.cos(t * product.acos()) * a + torch.sin(t * product.acos()) * side


slerp = Exercise(
    "07.slerp", "slerp(a, b, t)",
    conventions="a and b are [..., D], t is a number or a tensor [..., 1]. Return unit vectors [..., D] on the great circle from "
                "the direction of a (t = 0) to the direction of b (t = 1): at t, the share t of the angle is behind you. t may lie "
                "beyond 0 and 1. Where the directions of a pair are equal, return that direction; the other pairs of its batch may "
                "be at any angle. No gradient is asked for.",
    hints=("Normalise a and b first. The angle θ between two unit vectors is the arc cosine of their product, which rounding can "
           "carry just beyond 1: clamp it. Sums over D need keepdim=True.",
           "The formula of sines is fine, but where sin θ = 0 it is 0 / 0: give a's direction there, with torch.where(θ < 1e-6, a, "
           "…). Or without a division: take from b its part along a, and normalise; the result is a · cos(tθ) + that · sin(tθ)."),
    without_gradient=("a", "b", "t"), production=ops.slerp, tolerance=1e-6,
    model_check=ModelCheck(strip, titles=("t = 0", "0.2", "0.4", "0.6", "0.8", "1")),
    cases=[
        pair("three pairs, t = 0.375", (3, 5), 0.375),
        pair("a t for each of three pairs", (3, 7), torch.tensor([[0.125], [0.5], [0.75]], dtype=torch.float64)),
        pair("a single pair of vectors [D]", (6,), 0.6875),
        pair("float32, t = 0.3", (4, 8), 0.3, torch.float32),
        pair("two batches of three pairs, with a t for each", (2, 3, 4), draw(2, 3, 1, seed=4).sigmoid()),
        pair("as many pairs as entries", (4, 4), 0.4375),
        pair("a long and a short vector", (3, 9), 0.3125, sizes=(20.0, 0.05)),
        pair("t = 0", (2, 5), 0),
        pair("t = 1", (5, 3), 1),
        pair("t = 1.375, beyond b", (3, 3), 1.375),
        pair("nearly opposite directions", (3, 6), 0.34375, near=-1.0, sizes=(1024.0, 1024.0)),
        pair("nearly equal directions", (3, 4), 0.625, near=1.0),
        equal("equal directions", 3, 0.375, 4),
        equal("equal vectors", 4, 0.5, 1),
        mixed("one pair of four has equal directions, and a t for each", 3, torch.tensor([[6.0, 10, 15, 1]]).double().T / 16),
        mixed("one pair of four has equal directions, t = −0.4375", 4, -0.4375)],
    wrong=[
        wrong(IN_THE_SUM,
              vectors_where_not_equal=of_the_vectors(lambda a, b, t: a),
              vectors_or_direction=of_the_vectors(lambda a, b, t: unit(a)),
              vectors_or_line=of_the_vectors(lerp),
              vectors_or_zero=of_the_vectors(lambda a, b, t: 0 * a),
              sines_of_the_vectors=lambda a, b, t: weighted(a, b, t, angle_between(unit(a), unit(b)))),
        wrong("Use the unit vectors in the sum too: the longer vector pulls it to its side, whether you normalise it or not.",
              vectors_normalised_after=of_the_vectors(lambda a, b, t: a, unit),
              vectors_of_sines_normalised_after=of_the_vectors(lambda a, b, t: a * torch.nan, unit)),
        wrong("You walk on the straight line between a and b. Walk on the great circle, by the angle.", lerp),
        wrong("You walk on the straight line between the directions. Walk on the great circle, by the angle.",
              lerp_of_directions=lambda a, b, t: lerp(unit(a), unit(b), t)),
        wrong("You walk on the straight line and normalise: that reaches the same directions, but fast in the middle and slow at "
              "the ends. Turn by equal angles.",
              lerp_normalised=lambda a, b, t: unit(lerp(unit(a), unit(b), t))),
        wrong("You walk on the straight line between a and b and normalise. Normalise first, then turn by equal angles.",
              lerp_then_normalised=lambda a, b, t: unit(lerp(a, b, t))),
        wrong(BEFORE,
              not_normalised=lambda a, b, t: turned(a, b, t * angle_between(a, b)),
              sines_not_normalised=lambda a, b, t: by_sines(a, b, t)),
        wrong("Return unit vectors. You give them back the lengths of a and b.", visible=False,
              lengths_restored=lambda a, b, t: right(a, b, t) * lerp(length(a), length(b), t)),
        wrong("Return unit vectors. You give them back the length of a.", visible=False,
              length_of_a=lambda a, b, t: right(a, b, t) * length(a)),
        wrong("Return unit vectors. You scale them to length √D, as z usually has.", visible=False,
              length_of_z=lambda a, b, t: right(a, b, t) * a.shape[-1] ** 0.5),
        wrong("torch.cos and torch.sin take radians. Your angle is in degrees.",
              degrees=lambda a, b, t: turned(unit(a), unit(b), t * torch.rad2deg(angle_between(unit(a), unit(b))))),
        wrong("t = 0 gives the direction of a, and t = 1 that of b. With you it is the other way round.",
              reversed_t=lambda a, b, t: right(b, a, t)),
        wrong("cos and sin are exchanged: at t = 0 the cosine is 1, and it belongs to a.",
              exchanged=lambda a, b, t: turned(unit(a), unit(b), torch.pi / 2 - t * angle_between(unit(a), unit(b)))),
        wrong("You ignore the angle between a and b: t = 1 always turns by a right angle.",
              right_angle=lambda a, b, t: turned(unit(a), unit(b), t * torch.pi / 2 + 0 * angle_between(unit(a), unit(b)))),
        wrong("Multiply the angle by t. You turn all the way to b.",
              all_the_way=lambda a, b, t: turned(unit(a), unit(b), angle_between(unit(a), unit(b)) + 0 * t)),
        wrong("Clamp the product of the unit vectors to [−1, 1]: rounding carries it beyond, where acos is NaN.", not_clamped,
              visible=False),
        wrong("For equal directions sin(angle) is 0, and you divide by it. Use the part of b at a right angle to a, or treat equal "
              "directions apart.", visible=False,
              sines=lambda a, b, t: by_sines(unit(a), unit(b), t)),
        wrong("For equal directions both sines are 0, so the sum is the zero vector: an ε in the denominator stops the NaN, but "
              "not that. Return a's direction there.", visible=False,
              **{f"denominator_plus_{e}": nearly_divided(e) for e in (1e-8, 1e-7, 1e-6, 1e-5)}),
        wrong("Clamp the product to [−1, 1]. At an obtuse angle it is negative, and you cut that off.",
              **{f"clamped_to_0_{name}": f for name, f in with_product(lambda x: x.clamp(0, 1)).items()}),
        wrong("Keep the sign of the product: the angle between a and b may be obtuse.",
              **{f"absolute_{name}": f for name, f in with_product(lambda x: x.abs().clamp(max=1)).items()}),
        wrong("Go from a to b. Where the angle is obtuse you go to −b, which is right for rotations (quaternions) only.",
              shortest_way),
        wrong("Leave t as it is. You limit it, but the circle goes on behind a and beyond b.", visible=False,
              t_clamped=with_t(lambda t: t.clamp(0, 1)),
              t_at_least_0=with_t(lambda t: t.clamp(min=0)),
              t_at_most_1=with_t(lambda t: t.clamp(max=1)),
              absolute_t=with_t(torch.abs)),
        wrong("Decide for each pair whether its directions are equal, with torch.where. You decide once, for the whole batch.",
              visible=False,
              all_equal=guarded(torch.all),
              any_equal=guarded(torch.any),
              any_equal_and_a_line=guarded(torch.any, lambda a, b, t: unit(lerp(a, b, t)))),
        wrong("Take from b its part along a before you turn towards it. b itself is not at a right angle to a.", not_orthogonal),
        wrong("Normalise the part of b at a right angle to a, before you multiply it by the sine.", orthogonal_not_normalised),
        wrong("A vector is a row, the last dimension. You normalise over the first.", first_dimension)],
    alternatives=[by_sines_with_care, by_sines_of_a_clamped_product, in_numpy, a_where_there_is_no_value, by_projection])


def picture(dim, size, dtype, seed):
    """A generator without parameters that are trained: latents [N, D] → images [N, 3, H, W]."""
    first, second = draw(dim, 8, seed=seed, dtype=dtype), draw(8, 3 * size[0] * size[1], seed=seed + 1, dtype=dtype)
    return lambda latents: (torch.tanh(latents @ first) @ second).reshape(-1, 3, *size)


def of_images(distance):
    """The distance, which says what it is for where it does not get images."""

    def checked(a, b):
        for x in (a, b):
            if getattr(x, "ndim", 0) != 4:
                got = list(x.shape) if isinstance(x, torch.Tensor) else kind(x)
                raise ValueError(f"distance compares images [N, 3, H, W]; it got {got}")
        return distance(a, b)
    return checked


@of_images
def squares(a, b):
    return (a - b).square().sum(dim=(1, 2, 3))


@of_images
def unit_features(a, b):
    """As LPIPS compares: every pixel's channels at length 1."""
    return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1).mean(dim=(1, 2))


def bent(a, b, t):
    return a + t ** 2 * (b - a) + t * (1 - t) * a.flip(-1)


def walked(what, n, dim, size, between, distance=squares, dtype=torch.float64, t=None, **epsilon):
    seed = 10 * n + dim
    t = draw(n, 1, seed=seed + 4, dtype=dtype).sigmoid() if t is None else t
    a, b = (draw(n, dim, seed=seed + i, dtype=dtype) for i in (2, 3))
    return Case(what, {"render": picture(dim, size, dtype, seed), "distance": distance, "between": between, "a": a, "b": b,
                        "t": t, **epsilon})


@torch.no_grad()
def steps_of_a_way(generator):
    """The lengths of six small steps from one latent to another, straight in W and on the great circle in Z."""
    t, z = torch.linspace(0, 1, 6)[:, None], latents(generator, 2)
    ways = ((lambda w: generator.synthesis(w, noise="const"), torch.lerp, generator.mapping(z)),
            (lambda z: generator(z, noise="const"), ops.slerp, z))
    terms = [path_length.path_terms(render, squares, between, *(x.expand(6, -1) for x in ends.split(1)), t, 0.03)
             for render, between, ends in ways]
    return torch.stack([x.expand(6) for x in terms])


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


ONE_MINUS = "between(a, b, t) goes from a to b by itself: give it t and t + ε, not 1 − t."
MIXED = "Walk between the latents, and render the places. You render the ends and walk between their images."


def images_mixed(render, distance, between, a, b, t, epsilon=1e-4):
    t = t[:, :, None, None]
    return distance(*(torch.lerp(render(a), render(b), s) for s in (t, t + epsilon))) / epsilon ** 2


def images_walked(render, distance, between, a, b, t, epsilon=1e-4):
    t = t[:, :, None, None]
    return distance(*(between(render(a), render(b), s) for s in (t, t + epsilon))) / epsilon ** 2


def in_words(render, distance, between, a, b, t, epsilon=1e-4):
    here, there = between(a, b, t), between(a, b, t + epsilon)
    with torch.no_grad():
        return distance(render(there), render(here)) * epsilon ** -2


def in_one_batch(render, distance, between, a, b, t, epsilon=1e-4):
    images = render(torch.cat([between(a, b, s) for s in (t, t + epsilon)]))
    return torch.divide(distance(*images.chunk(2)), epsilon * epsilon)


def pair_by_pair(render, distance, between, a, b, t, epsilon=1e-4):
    rows = [slice(i, i + 1) for i in range(len(a))]
    return torch.cat([distance(*at(render, between, a[i], b[i], t[i], epsilon)) for i in rows]) / epsilon ** 2


path_terms = Exercise(
    "07.path_terms", "path_terms(render, distance, between, a, b, t, epsilon=1e-4)",
    conventions="between(a, b, t) gives latents on the way from a to b (a, b [N, D], t [N, 1]), render(latents) gives their "
                "images, and distance(images, images) is [N]. Return [N]: the distance of the images at t and at t + ε, divided by "
                "ε². It is a measurement, so no gradient is asked for.",
    hints=("Four calls and one division. Which images are compared, and how far apart are their two places on the way?",
           "The places are between(a, b, t) and between(a, b, t + epsilon). Render both, and divide their distance by epsilon "
           "squared: a distance that is a sum of squares shrinks with ε²."),
    without_gradient=("a", "b", "t"), production=path_length.path_terms,
    model_check=ModelCheck(steps_of_a_way, who="The experiment", what="finds the same lengths in the generator",
                           plot=curves([i / 5 for i in range(6)], "t", "d / ε²", ("in W", "in Z"))),
    cases=[
        walked("three pairs on a straight way, the default ε", 3, 5, (4, 3), torch.lerp),
        walked("ε = 0.1", 3, 4, (3, 5), torch.lerp, epsilon=0.1),
        walked("a great circle", 4, 7, (2, 4), ops.slerp, epsilon=0.01),
        walked("a curved way", 3, 6, (4, 4), bent, epsilon=0.05),
        walked("one pair", 1, 8, (5, 2), bent, epsilon=0.2),
        walked("float32 and ε = 0.1", 2, 4, (4, 6), bent, dtype=torch.float32, epsilon=0.1),
        walked("a perceptual distance", 3, 5, (3, 4), ops.slerp, unit_features, epsilon=1e-3),
        walked("t = 0, the beginning of the way", 3, 9, (4, 2), bent, t=torch.zeros(3, 1, dtype=torch.float64), epsilon=0.1),
        walked("as many pairs as entries and pixels", 4, 4, (2, 2), bent, epsilon=0.5),
        walked("ε = 2", 2, 5, (3, 3), torch.lerp, epsilon=2)],
    wrong=[
        wrong("Divide by ε². Without that the term goes to 0 with the step.",
              not_divided=changed(lambda x, e: x * e ** 2)),
        wrong("Divide by ε squared. You divide by ε.",
              divided_by_epsilon=changed(lambda x, e: x * e)),
        wrong("Divide by ε squared. You divide by 2 ε.",
              divided_by_twice_epsilon=changed(lambda x, e: x * e / 2)),
        wrong("Divide by ε². You multiply by it.",
              multiplied=changed(lambda x, e: x * e ** 4)),
        wrong("Leave the distance as it is. You take its root.",
              root_of_the_distance=changed(lambda x, e: x.sqrt() / e)),
        wrong("Leave the distance as it is: d / ε². You return its root, √d / ε.",
              root_of_both=changed(lambda x, e: x.sqrt())),
        wrong("Leave the distance as it is. You square it.",
              distance_squared=changed(lambda x, e: x.square() * e ** 2)),
        wrong("Leave the distance as it is. You square the whole fraction.",
              distance_and_epsilon_squared=changed(lambda x, e: x.square())),
        wrong("Return one term for each pair, [N]. You average over the batch.",
              batch_averaged=changed(lambda x, e: x.mean())),
        wrong("Return one term for each pair, [N]. You sum over the batch.",
              batch_summed=changed(lambda x, e: x.sum())),
        wrong("Both images are at the same place, so their distance is 0. One is at t, the other at t + ε.",
              same_place=placed(lambda between, a, b, t, e: [between(a, b, t)] * 2)),
        wrong("You compare the ends a and b. Compare two near places, at t and at t + ε.",
              ends=placed(lambda between, a, b, t, e: (a, b))),
        wrong("You go from a to the place at t + ε. Start at t.",
              from_the_start=placed(lambda between, a, b, t, e: (a, between(a, b, t + e)))),
        wrong("You go from 0 to ε whatever t is. Start at t.",
              t_ignored=placed(lambda between, a, b, t, e: (between(a, b, 0 * t), between(a, b, 0 * t + e)))),
        wrong("The step goes from t to t + ε. Yours goes from t − ε to t.",
              backwards=placed(lambda between, a, b, t, e: (between(a, b, t - e), between(a, b, t)))),
        wrong("The step goes from t to t + ε. You put t in its middle.",
              centred=placed(lambda between, a, b, t, e: (between(a, b, t - e / 2), between(a, b, t + e / 2)))),
        wrong("The step goes from t to t + ε. Yours goes from t − ε to t + ε and is twice as long.",
              two_steps=placed(lambda between, a, b, t, e: (between(a, b, t - e), between(a, b, t + e)))),
        wrong("The step goes from t to t + ε. Yours goes from t − ε to t + ε.",
              two_steps_and_their_square=lambda render, distance, between, a, b, t, epsilon=1e-4: (
                  distance( render(between(a, b, t - epsilon)), render(between(a, b, t + epsilon))) / (2 * epsilon) ** 2)),
        wrong(ONE_MINUS,
              one_minus_t=placed(lambda between, a, b, t, e: (between(a, b, 1 - t), between(a, b, 1 - t + e))),
              one_minus_both=placed(lambda between, a, b, t, e: (between(a, b, 1 - t), between(a, b, 1 - t - e)))),
        wrong("ε is added to t, which is a place on the way. You add it to the latent.",
              step_of_the_latent=placed(lambda between, a, b, t, e: (between(a, b, t), between(a, b, t) + e))),
        wrong("Add ε to t. You multiply t by 1 + ε.",
              t_multiplied=placed(lambda between, a, b, t, e: (between(a, b, t), between(a, b, t * (1 + e))))),
        wrong("between(a, b, t) walks from a to b. You exchange a and b.",
              exchanged=placed(lambda between, a, b, t, e: (between(b, a, t), between(b, a, t + e)))),
        wrong("Use `between`. You always walk on the great circle, which is right in Z only.",
              great_circle=placed(lambda between, a, b, t, e: (ops.slerp(a, b, t), ops.slerp(a, b, t + e)))),
        wrong("Use `between`. You always walk straight, which is right in W only.",
              straight=placed(lambda between, a, b, t, e: (torch.lerp(a, b, t), torch.lerp(a, b, t + e)))),
        wrong("Use the parameter epsilon. You write a number in its place.",
              epsilon_fixed=lambda render, distance, between, a, b, t, epsilon=1e-4: (
                  distance(*at(render, between, a, b, t, 1e-4)) / 1e-4 ** 2)),
        wrong("Render the latents: the distance is between images.",
              not_rendered=lambda render, distance, between, a, b, t, epsilon=1e-4: (
                  (between(a, b, t) - between(a, b, t + epsilon)).square().sum(dim=1) / epsilon ** 2)),
        wrong("Use `distance`. You sum the squared differences of the pixels yourself.", visible=False,
              own_distance=lambda render, distance, between, a, b, t, epsilon=1e-4: (
                  squares(*at(render, between, a, b, t, epsilon)) / epsilon ** 2)),
        wrong(MIXED, images_mixed, images_walked)],
    alternatives=[in_words, in_one_batch, pair_by_pair])


def labels(what, y, x):
    return Case(what, {"y": y, "x": x})


def drawn(seed, n, classes, error):
    """n labels, and the same with a share of them drawn anew."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return y, np.where(rng.random(n) < error, rng.integers(classes, size=n), y)


def flips(network):
    """H for 1,000 labels of which 30 % are 1, when a growing share of what is predicted is wrong."""
    y, rank = np.arange(1000) % 10 < 3, np.random.default_rng(0).permutation(1000)
    found = [linear_separability.conditional_entropy(y.astype(int), (y ^ (rank < 50 * i)).astype(int)) for i in range(11)]
    return torch.tensor([float(h) for h in found], dtype=torch.float64)[None]


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


def nan_of_an_empty_pair(y, x):
    p = table_of(y, x)
    with np.errstate(all="ignore"):
        return -(p * np.log(p / p.sum(axis=1, keepdims=True))).sum().item()


def difference_of_entropies(y, x):
    joint = np.unique(np.stack([x, y]), axis=1, return_counts=True)[1] / len(y)
    given = np.unique(x, return_counts=True)[1] / len(x)
    return (given * np.log(given)).sum() - (joint * np.log(joint)).sum()


def with_a_small_constant(y, x):
    p = table_of(y, x)
    return -(p * np.log((p + 1e-9) / (p.sum(axis=1, keepdims=True) + 1e-9))).sum()


def in_plain_python(y, x):
    from collections import Counter
    from math import log
    x, y = list(map(int, x)), list(map(int, y))
    each, pairs = Counter(x), Counter(zip(x, y))
    return sum(-n / len(y) * log(n / each[a]) for (a, _), n in pairs.items())


def row_by_row(y, x):
    total = 0.0
    for value in set(np.asarray(x).tolist()):
        here = np.asarray(y)[np.asarray(x) == value]
        shares = np.bincount(here - here.min()) / len(here)
        total -= len(here) / len(y) * sum(p * np.log(p + 1e-12) for p in shares)
    return total


conditional_entropy = Exercise(
    "07.conditional_entropy", "conditional_entropy(y, x)",
    conventions="y and x are sequences of N integer labels (arrays or lists, any integers). Return the Python number H(Y|X) = −Σ "
                "p(x, y) ln(p(x, y) / p(x)) in nats, with shares of the N samples for p. A pair of labels that never occurs adds "
                "nothing.",
    hints=("Count first: a table with a row for every x and a column for every y, divided by N. What are p(x, y) and p(x) in it?",
           "np.unique(y, return_inverse=True)[1] turns labels into 0, 1, 2, … p(x) is the sum of a row. Take the logarithm only "
           "where p(x, y) > 0."),
    production=linear_separability.conditional_entropy, returns="numbers", tolerance=1e-6,
    model_check=ModelCheck(flips, model=None, who="The experiment", what="finds the same entropies",
                           plot=curves([0.05 * i for i in range(11)], "share of wrong predictions", "H(Y|X) in nats")),
    cases=[
        labels("two hundred samples of two classes", *drawn(0, 200, 2, 0.4)),
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
    wrong=[
        wrong("Use the natural logarithm: nats, not bits.",
              in_bits=from_tables(lambda p, n: exact(p) / np.log(2))),
        wrong("Use the natural logarithm, not that to the base 10.",
              by_log10=from_tables(lambda p, n: exact(p) / np.log(10))),
        wrong("You compute H(X, Y): inside the logarithm p(x, y) is divided by p(x).",
              joint=from_tables(lambda p, n: entropy(p))),
        wrong("You compute H(Y), as if x were not known.",
              marginal=from_tables(lambda p, n: entropy(p.sum(axis=0)))),
        wrong("You compute H(X). What is wanted is what remains unknown of y.",
              marginal_of_x=from_tables(lambda p, n: entropy(p.sum(axis=1)))),
        wrong("You compute H(X|Y). Divide by p(x), and not by p(y).",
              given_y=from_tables(lambda p, n: exact(p.T))),
        wrong("You compute H(Y) − H(Y|X), what x tells about y. What is wanted is what it does not tell.",
              mutual_information=from_tables(lambda p, n: entropy(p.sum(axis=0)) - exact(p))),
        wrong("An entropy is not negative: you forgot the minus.",
              minus_forgotten=from_tables(lambda p, n: -exact(p))),
        wrong("Leave out exp. Separability takes it once, of the sum over all attributes.",
              exponential=from_tables(lambda p, n: np.exp(exact(p)))),
        wrong("Divide the counts by N: p(x, y) is a share.",
              counts=from_tables(lambda p, n: n * exact(p))),
        wrong("The weight before the logarithm is p(x, y). You take p(y|x), so rare x count as much as frequent ones.",
              given_as_weight=from_tables(lambda p, n: rows(p).sum())),
        wrong("The weight before the logarithm is p(x, y). You take p(x).",
              share_of_x_as_weight=from_tables(lambda p, n: -(p.sum(axis=1, keepdims=True) * logarithms(p, p.sum(axis=1,
                  keepdims=True))).sum())),
        wrong(ONE_COUNT,
              share_by_count=from_tables(lambda p, n: -(p * logarithms(p, n * p.sum(axis=1, keepdims=True))).sum()),
              count_by_share=from_tables(lambda p, n: -(p * logarithms(n * p, p.sum(axis=1, keepdims=True))).sum())),
        wrong("Inside the logarithm divide by p(x) alone. With p(x) p(y) you compute the mutual information.",
              divided_by_both=from_tables(lambda p, n: exact(p) - entropy(p.sum(axis=0)))),
        wrong("Weigh the entropy of every x with p(x). You take their plain mean.",
              plain_mean=from_tables(lambda p, n: rows(p).mean())),
        wrong("Sum over the pairs of labels. You average.",
              averaged_over_pairs=from_tables(lambda p, n: exact(p) / p.size)),
        wrong("p(x, y) is a share already: do not divide by N again.",
              divided_by_n=from_tables(lambda p, n: exact(p) / n)),
        wrong("You compute the share of samples where y and x differ. An entropy does not ask whether x is right, only what it "
              "tells.",
              error_rate=lambda y, x: float(np.mean(np.asarray(y) != np.asarray(x)))),
        wrong("You compute the entropy of being right or wrong. An x that is always wrong tells as much as one that is always "
              "right, and every x has an entropy of its own.", entropy_of_the_errors),
        wrong("A label is a name, not a place: as an index −1 is the last place, and range() never meets it. np.unique(labels, "
              "return_inverse=True)[1] numbers any labels 0, 1, 2, …", visible=False,
              labels_as_indices=by_places,
              labels_from_0=by_ranges),
        wrong("Different pairs of labels get the same number. Count the pairs themselves: Counter(zip(x, y)), or np.unique with "
              "axis.", visible=False,
              codes_of_10=by_codes(lambda y: 10),
              codes_of_100=by_codes(lambda y: 100),
              codes_of_2=by_codes(lambda y: 2),
              codes_of_the_classes=by_codes(lambda y: len(np.unique(y)))),
        wrong("A pair of labels that never occurs gives 0 · ln 0, which is NaN. Sum only where p(x, y) > 0.",
              nan_of_an_empty_pair)],
    alternatives=[difference_of_entropies, with_a_small_constant, in_plain_python, row_by_row])


EXERCISES = (slerp, path_terms, conditional_entropy)
