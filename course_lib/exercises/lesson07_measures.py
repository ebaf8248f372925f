"""Lesson 07, exercise 2: the lengths of small steps."""
import torch
import torch.nn.functional as F

from .. import ops
from ..metrics import path_length
from .engine import Exercise
from .probes import Probe, kind, normal
from .proof import Proof, latents, lines


def picture(dim, size, dtype, seed):
    """A generator without parameters that are trained: latents [N, D] → images [N, 3, H, W]."""
    first, second = normal(dim, 8, seed=seed, dtype=dtype), normal(8, 3 * size[0] * size[1], seed=seed + 1, dtype=dtype)
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


ONE_MINUS = "between(a, b, t) goes from a to b by itself: give it t and t + ε, not 1 − t."
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
        ("two_steps_and_their_square", "The step goes from t to t + ε. Yours goes from t − ε to t + ε.",
         lambda render, distance, between, a, b, t, epsilon=1e-4: distance(
             render(between(a, b, t - epsilon)), render(between(a, b, t + epsilon))) / (2 * epsilon) ** 2),
        ("one_minus_t", ONE_MINUS, placed(lambda between, a, b, t, e: (between(a, b, 1 - t), between(a, b, 1 - t + e)))),
        ("one_minus_both", ONE_MINUS, placed(lambda between, a, b, t, e: (between(a, b, 1 - t), between(a, b, 1 - t - e)))),
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


MIXED = "Walk between the latents, and render the places. You render the ends and walk between their images."


@mistake("Use the parameter epsilon. You write a number in its place.")
def epsilon_fixed(render, distance, between, a, b, t, epsilon=1e-4):
    return distance(*at(render, between, a, b, t, 1e-4)) / 1e-4 ** 2


@mistake("Render the latents: the distance is between images.")
def not_rendered(render, distance, between, a, b, t, epsilon=1e-4):
    return (between(a, b, t) - between(a, b, t + epsilon)).square().sum(dim=1) / epsilon ** 2


@mistake("Use `distance`. You sum the squared differences of the pixels yourself.", visible=False)
def own_distance(render, distance, between, a, b, t, epsilon=1e-4):
    return squares(*at(render, between, a, b, t, epsilon)) / epsilon ** 2


@mistake(MIXED)
def images_mixed(render, distance, between, a, b, t, epsilon=1e-4):
    t = t[:, :, None, None]
    return distance(*(torch.lerp(render(a), render(b), s) for s in (t, t + epsilon))) / epsilon ** 2


@mistake(MIXED)
def images_walked(render, distance, between, a, b, t, epsilon=1e-4):
    t = t[:, :, None, None]
    return distance(*(between(render(a), render(b), s) for s in (t, t + epsilon))) / epsilon ** 2


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


EXERCISES = (path_terms,)
