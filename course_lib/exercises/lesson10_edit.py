"""Lesson 10, exercises 3 and 4: the direction in style space, and the step along it."""
import torch

from ..styleclip import global_directions
from .engine import Exercise
from .lesson08 import CLIP, declare
from .probes import Probe, normal
from .proof import Proof, bars, latents

# Exercise 3


def channels(what, n, beta, dtype=torch.float64, change=lambda r: r, **largest):
    relevances = change(normal(n, seed=n, dtype=dtype, scale=0.3).clamp(-0.95, 0.95))
    return Probe(what, {"relevances": relevances, "sigma": 0.5 + normal(n, seed=n + 1, dtype=dtype).abs(), "beta": beta, **largest},
                 ("relevances", "sigma", "largest"))


def given(*values):
    return lambda r: torch.tensor(values, dtype=r.dtype)


@torch.no_grad()
def three_thresholds(network):
    """The direction of twelve channels for three β."""
    relevances = torch.tensor([0.05, -0.32, 0.12, 0.24, -0.08, 0.02, -0.15, 0.2, -0.01, 0.07, 0.26, -0.19])
    sigma = 0.6 + 0.1 * torch.arange(12) % 0.8
    return torch.stack([global_directions.thresholded(relevances, sigma, beta) for beta in (0.0, 0.1, 0.2)])


thresholded = Exercise(
    "10.thresholded", "thresholded(relevances, sigma, beta, largest=None)",
    conventions="relevances (R) and sigma (σ > 0) are [channels], beta is a number ≥ 0. Return Δs [channels]: σ_c R_c / max|R| where "
                "|R_c| ≥ β, and 0 elsewhere. The maximum is `largest` if that is given (a number, or a tensor of one number: the largest "
                "|R| of all layers), and otherwise that of all these relevances, also of those below β; it is never 0. No gradient is "
                "asked for.",
    production=global_directions.thresholded, needs=CLIP,
    probes=[channels("three channels, β = 0.125", 3, 0.125, change=given(0.5, -0.25, 0.1)),
            channels("nine channels, β = 0.2", 9, 0.2),
            channels("β = 0: every channel moves", 7, 0.0),
            channels("float32, β = 0.1", 12, 0.1, torch.float32),
            channels("float32, largest = 0.9", 8, 0.15, torch.float32, largest=0.9),
            channels("largest given as a tensor", 6, 0.1, largest=torch.tensor(0.75, dtype=torch.float64)),
            channels("the most relevant channel is negative", 5, 0.2, change=given(0.3, -0.8, 0.1, 0.45, -0.25)),
            channels("only negative relevances", 4, 0.25, change=lambda r: -r.abs() - 0.1),
            channels("relevances of exactly β and −β, and just below", 5, 0.25, change=given(0.25, -0.25, 0.5, 0.2499, -0.2499)),
            channels("no channel reaches β", 10, 0.99),
            channels("no channel of this layer reaches β, largest = 1", 11, 0.97, largest=1.0),
            channels("relevances of about 0.001, β = 0.001", 13, 0.001, change=lambda r: 0.005 * r),
            channels("constant relevances", 3, 0.1, change=lambda r: 0 * r - 0.4),
            channels("one channel", 1, 0.05)],
    proof=Proof("thresholded", three_thresholds, owner=global_directions, model=None, who="An experiment with twelve channels",
                what="finds the same directions", draw=bars([str(c) for c in range(12)], ("β = 0", "β = 0.1", "β = 0.2"))),
    hints=("Which channels stay? Those whose |R| reaches β, whatever their sign. What they are multiplied by is the same for all, but "
           "for σ.",
           "torch.where(relevances.abs() >= beta, relevances, 0) keeps them, with their sign. Divide by the largest |R| (`largest`, if it "
           "is not None), and multiply by sigma."))


def kept(choose, value=lambda r: r):
    """Another choice of channels, or another value for them: choose(R, β, max|R|, σ), value(R)."""
    def function(relevances, sigma, beta, largest=None):
        most = relevances.abs().max() if largest is None else largest
        return torch.where(choose(relevances, beta, most, sigma), value(relevances), 0) / most * sigma
    return function


def reaches(r, beta, most=None, sigma=None):
    return r.abs() >= beta


def scaled(scale):
    """The right channels, and another scale: scale(R, kept R, σ, largest)."""
    return lambda relevances, sigma, beta, largest=None: (
        scale(relevances, torch.where(reaches(relevances, beta), relevances, 0), sigma, largest))


def own(r, largest):
    return r.abs().max() if largest is None else largest


SIGNED = "Compare |R| with β: a channel with R = −0.5 is as relevant as one with 0.5, and moves the other way."
declare(thresholded, {
    "signed_threshold": (True, SIGNED, kept(lambda r, b, m, s: r >= b)),
    "signed_strictly": (True, SIGNED, kept(lambda r, b, m, s: r > b)),
    "sign_lost": (True, "Keep the sign of R: it says in which direction a channel moves. You return |R|.", kept(reaches, torch.abs)),
    "sigma_forgotten": (True, "Multiply by σ: a step should mean the same for every channel.",
                        scaled(lambda r, k, s, largest: k / own(r, largest))),
    "divided_by_sigma": (True, "Multiply by σ. You divide by it.", scaled(lambda r, k, s, largest: k / own(r, largest) / s)),
    "sigma_squared": (True, "Multiply by σ, once.", scaled(lambda r, k, s, largest: k / own(r, largest) * s.square())),
    "not_divided": (True, "Divide by the largest |R|, so that α counts deviations of the most relevant channel.", scaled(lambda r, k, s, largest: k * s)),
    "nothing_scaled": (True, "You only threshold. Divide by the largest |R| and multiply by σ.", scaled(lambda r, k, s, largest: k.clone())),
    "multiplied_by_largest": (True, "Divide by the largest |R|. You multiply by it.", scaled(lambda r, k, s, largest: k * own(r, largest) * s)),
    "largest_signed": (True, "Divide by the largest |R|. You take the largest R, though the most relevant channel may be negative.",
                       scaled(lambda r, k, s, largest: k / (r.max() if largest is None else largest) * s)),
    "largest_ignored": (False, "Divide by `largest` where it is given: the layers share one maximum. You always take your own.",
                        scaled(lambda r, k, s, largest: k / r.abs().max() * s)),
    "largest_of_the_kept": (False, "Take the largest |R| of all relevances. Among those that reach β it is 0 where none does, and "
                            "0 / 0 is NaN.", scaled(lambda r, k, s, largest: k / own(k, largest) * s)),
    "by_the_length": (True, "Divide by the largest |R|. You divide by the length of R.", scaled(lambda r, k, s, largest: k / r.norm() * s)),
    "by_the_sum": (True, "Divide by the largest |R|. You divide by the sum of all.", scaled(lambda r, k, s, largest: k / r.abs().sum() * s)),
    "by_the_mean": (True, "Divide by the largest |R|. You divide by the mean.", scaled(lambda r, k, s, largest: k / r.abs().mean() * s)),
    "largest_step": (True, "Divide by the largest |R|. You divide by the largest σ|R|.", scaled(lambda r, k, s, largest: k / (r * s).abs().max() * s)),
    "largest_sigma_too": (True, "Only R is divided by its largest. You divide σ by its own too.",
                          scaled(lambda r, k, s, largest: k / own(r, largest) * s / s.max())),
    "strictly": (True, "A channel with |R| = β moves: write >=.", kept(lambda r, b, m, s: r.abs() > b)),
    "reversed": (True, "Channels below β stay where they are. You move only those.", kept(lambda r, b, m, s: r.abs() < b)),
    "no_threshold": (True, "Channels with |R| < β stay where they are: set them to 0.", kept(lambda r, b, m, s: r == r)),
    "threshold_of_the_share": (True, "Compare |R| itself with β. You divide by the largest first.", kept(lambda r, b, m, s: (r / m).abs() >= b)),
    "threshold_of_the_step": (True, "Compare |R| with β. You compare σ|R|.", kept(lambda r, b, m, s: (r * s).abs() >= b)),
    "threshold_of_the_square": (True, "Compare |R| with β. You compare R².", kept(lambda r, b, m, s: r.square() >= b)),
    "soft": (True, "A channel that reaches β keeps its whole R. You subtract β from it.",
             lambda relevances, sigma, beta, largest=None: relevances.sign() * (relevances.abs() - beta).clamp(min=0)
             / own(relevances, largest) * sigma),
    "at_least_beta": (True, "Channels below β become 0. You lift them to β.",
                      lambda relevances, sigma, beta, largest=None: relevances.sign() * relevances.abs().clamp(min=beta)
                      / own(relevances, largest) * sigma),
    "at_most_beta": (True, "β is a threshold. You cut larger relevances down to it.",
                     lambda relevances, sigma, beta, largest=None: relevances.clamp(-beta, beta) / own(relevances, largest) * sigma),
    "all_alike": (True, "More relevant channels move further: use R. You use only its sign.", kept(reaches, torch.sign)),
    "squared": (True, "Use R. You square it.", kept(reaches, lambda r: r * r.abs())),
    "left_out": (True, "Return all channels, with 0 for those that stay. You leave them out.",
                 lambda relevances, sigma, beta, largest=None: (relevances / own(relevances, largest) * sigma)[relevances.abs() >= beta]),
    "mask": (True, "Return how far each channel moves. You return which ones do.",
             lambda relevances, sigma, beta, largest=None: (relevances.abs() >= beta).to(sigma) + 0 * sigma)})


@thresholded.alternative
def by_a_mask(relevances, sigma, beta, largest=None):
    if largest is None:
        largest = relevances.abs().amax()
    return sigma * relevances * (relevances.abs() >= beta) / largest


@thresholded.alternative
def into_a_copy(relevances, sigma, beta, largest=None):
    direction = relevances.clone()
    direction[direction.abs() < beta] = 0
    largest = max(relevances.max().item(), -relevances.min().item()) if largest is None else float(largest)
    return direction / largest * sigma


@thresholded.alternative
def channel_by_channel(relevances, sigma, beta, largest=None):
    largest = largest if largest is not None else torch.linalg.vector_norm(relevances, torch.inf)
    return torch.stack([s * r / largest if abs(r) >= beta else 0 * s for r, s in zip(relevances, sigma)])


@thresholded.alternative
def cut_on_both_sides(relevances, sigma, beta, largest=None):
    with torch.no_grad():
        stays = (relevances > -beta) & (relevances < beta)
        return relevances.masked_fill(stays, 0) * (sigma / (largest or relevances.abs().max()))


@thresholded.alternative
def in_numpy(relevances, sigma, beta, largest=None):
    import numpy as np
    r = relevances.numpy()
    largest = np.abs(r).max() if largest is None else float(largest)
    return torch.from_numpy(np.where(np.abs(r) >= beta, r, 0) / r.dtype.type(largest) * sigma.numpy())


# Exercise 4

def styled(what, n, sizes, alpha, dtype=torch.float64, change=lambda styles, direction: (styles, direction)):
    seed = 100 * n + sum(sizes)
    styles, direction = change([normal(n, c, seed=seed + i, dtype=dtype) for i, c in enumerate(sizes)],
                               [normal(c, seed=seed + 50 + i, dtype=dtype) for i, c in enumerate(sizes)])
    return Probe(what, {"styles": styles, "direction": direction, "alpha": alpha}, ("alpha",))


@torch.no_grad()
def from_one_to_another(generator):
    """A portrait at α = −1, 0, 0.5 and 1 on the way to another in style space, and once more with one α for all."""
    w = generator.mapping(latents(generator, 2))
    w = generator.w_avg + 0.6 * (w - generator.w_avg)
    styles, other = (generator.styles(x) for x in w.split(1))
    direction = [(b - a)[0] for a, b in zip(styles, other)]
    repeated = [style.expand(4, -1) for style in styles]
    strip = global_directions.shifted(repeated, direction, torch.tensor([-1.0, 0.0, 0.5, 1.0], device=w.device))
    last = global_directions.shifted(styles, direction, 1.25)
    return torch.cat([generator.synthesis(styles=list(found), noise="const") for found in (strip, last)])


shifted = Exercise(
    "10.shifted", "shifted(styles, direction, alpha)",
    conventions="styles is a list with a tensor [N, channels] for each layer (the layers differ in their channels), direction a list with a "
                "tensor [channels] for each. alpha is a number, or a tensor of one number without dimensions, or a tensor [N], one for "
                "each image. Return the list of s + α Δs, in new tensors. No gradient is asked for.",
    production=global_directions.shifted, returns="tensors", needs=CLIP,
    probes=[styled("three images, three layers, α = 1.5", 3, (4, 6, 5), 1.5),
            styled("an α for each of three images", 3, (5, 2), normal(3, seed=4)),
            styled("as many images as channels, an α for each", 4, (4, 4), normal(4, seed=5)),
            styled("one image and α = −2", 1, (7, 3), -2),
            styled("float32, α = 0.3", 3, (6, 8), 0.3, torch.float32),
            styled("float32, an α for each of five images", 5, (4, 5, 9), normal(5, seed=6, dtype=torch.float32), torch.float32),
            styled("a tensor α without dimensions", 2, (3, 8), torch.tensor(0.7, dtype=torch.float64)),
            styled("one image and α in a tensor [1]", 1, (5, 5), torch.tensor([-1.5], dtype=torch.float64)),
            styled("a single layer", 3, (10,), 4.0),
            styled("layers of one channel", 3, (1, 1), normal(3, seed=8)),
            styled("α = 0, which changes nothing", 2, (4, 7), 0.0),
            styled("a direction that is 0 in one layer", 3, (3, 5), 2.5, change=lambda s, d: (s, [0 * d[0], d[1]])),
            styled("styles of about 0.00001", 2, (6, 2), normal(2, seed=7), change=lambda s, d: ([1e-5 * x for x in s], [1e-5 * x for x in d])),
            styled("constant styles", 3, (2, 3), -0.5, change=lambda s, d: ([0 * x + 1.0 for x in s], d))],
    proof=Proof("shifted", from_one_to_another, owner=global_directions, titles=("α = −1", "0", "0.5", "1", "1.25")),
    hints=("Layer by layer: zip(styles, direction). With a number for α it is one line. How does α [N] have to stand beside Δs "
           "[channels], so that the product is [N, channels]?",
           "alpha[:, None] is [N, 1], and times [channels] gives [N, channels]. A number, and a tensor with alpha.ndim == 0, need no "
           "[:, None]."))


def column(alpha):
    return alpha[:, None] if isinstance(alpha, torch.Tensor) and alpha.ndim else alpha


def layers(step):
    """Another step in each layer: step(s, Δs, α as a column)."""
    return lambda styles, direction, alpha: [step(s, d, column(alpha)) for s, d in zip(styles, direction)]


def of_alpha(change):
    """Another α: change(α)."""
    return lambda styles, direction, alpha: [s + column(change(alpha)) * d for s, d in zip(styles, direction)]


def number(reduce):
    """One number in the place of an α for each image."""
    return of_alpha(lambda alpha: reduce(alpha) if isinstance(alpha, torch.Tensor) and alpha.ndim else alpha)


def changes_styles(styles, direction, alpha):
    for s, d in zip(styles, direction):
        s += column(alpha) * d
    return styles


def into_one(styles, direction, alpha):
    return torch.cat([s + column(alpha) * d for s, d in zip(styles, direction)], dim=1)


declare(shifted, {
    "subtracted": (True, "s + α Δs. You subtract.", layers(lambda s, d, a: s - a * d)),
    "alpha_forgotten": (True, "Multiply Δs by α.", layers(lambda s, d, a: s + d + 0 * a)),
    "never_moved": (True, "Add α Δs. You return the styles.", layers(lambda s, d, a: s.clone())),
    "direction_only": (True, "Add α Δs to the styles. You return the step alone.", layers(lambda s, d, a: a * d + 0 * s)),
    "styles_scaled": (True, "Only Δs is multiplied by α. Your brackets include s.", layers(lambda s, d, a: a * (s + d))),
    "relative": (True, "Add α Δs. You multiply the styles by 1 + α Δs.", layers(lambda s, d, a: s * (1 + a * d))),
    "towards": (True, "Δs is a step, not a place to go to. You move towards it, and s loses the share α.", layers(lambda s, d, a: s + a * (d - s))),
    "unit_steps": (True, "Take Δs as it is. You bring it to length 1 in each layer.", layers(lambda s, d, a: s + a * d / (d.norm() + 1e-12))),
    "signs_only": (True, "Take Δs as it is. You use its sign only.", layers(lambda s, d, a: s + a * d.sign())),
    "negatives_lost": (True, "Channels move both ways. You lose the negative entries of Δs.", layers(lambda s, d, a: s + a * d.clamp(min=0))),
    "averaged_direction": (True, "Each channel has its own entry of Δs. You average them.", layers(lambda s, d, a: s + a * d.mean())),
    "styles_averaged": (False, "Each image keeps its own styles. You average them over the batch.",
                        layers(lambda s, d, a: s.mean(dim=0, keepdim=True).expand_as(s) + a * d)),
    "first_alpha": (True, "Each image has its own α. You use the first for all.", number(lambda a: a[0])),
    "mean_alpha": (True, "Each image has its own α. You average them.", number(lambda a: a.mean())),
    "alphas_reversed": (True, "The α at place n belongs to image n. You turn their order.", number(lambda a: a.flip(0))),
    "alpha_absolute": (True, "α may be negative: that is the opposite edit. You take its absolute value.", of_alpha(abs)),
    "alpha_squared": (True, "Multiply by α, once.", of_alpha(lambda a: a ** 2)),
    "alpha_clamped": (True, "α may be any number. You keep it between −1 and 1.",
                      of_alpha(lambda a: a.clamp(-1, 1) if isinstance(a, torch.Tensor) else max(-1, min(a, 1)))),
    "alpha_rounded": (True, "Take α as it is. You round it to an integer.", of_alpha(lambda a: a.round() if isinstance(a, torch.Tensor) else round(a))),
    "alpha_in_a_row": (False, "α [N] meets the channels, not the images: make it a column, alpha[:, None].",
                       lambda styles, direction, alpha: [s + alpha * d for s, d in zip(styles, direction)]),
    "only_a_number": (False, "alpha may be a number too, which has no [:, None].",
                      lambda styles, direction, alpha: [s + alpha[:, None] * d for s, d in zip(styles, direction)]),
    "first_layer": (True, "Every layer moves. You move the first only.",
                    lambda styles, direction, alpha: [styles[0] + column(alpha) * direction[0], *(s.clone() for s in styles[1:])]),
    "last_layer_stays": (True, "Every layer moves. You leave out the last.",
                         lambda styles, direction, alpha: [*(s + column(alpha) * d for s, d in zip(styles[:-1], direction)), styles[-1].clone()]),
    "steps_add_up": (True, "Each layer is on its own. You multiply α from layer to layer.",
                     lambda styles, direction, alpha: [s + column(alpha) ** (i + 1) * d for i, (s, d) in enumerate(zip(styles, direction))]),
    "into_one": (True, "Return a list with a tensor for each layer. You join the layers.", into_one),
    "changes_styles": (False, "You change the styles that you are given: s += … works on the tensor itself, styles[i] = … on the list. "
                       "Return a new list of s + α Δs.", changes_styles)})


@shifted.alternative
def by_cases(styles, direction, alpha):
    moved = []
    for s, d in zip(styles, direction):
        if isinstance(alpha, torch.Tensor) and alpha.ndim == 1:
            moved.append(s + torch.outer(alpha, d))
        else:
            moved.append(torch.add(s, d, alpha=float(alpha)))
    return moved


@shifted.alternative
def by_view(styles, direction, alpha):
    alpha = torch.as_tensor(alpha, dtype=styles[0].dtype).reshape(-1, 1)
    return tuple(style + alpha * step[None] for style, step in zip(styles, direction))


@shifted.alternative
def into_copies(styles, direction, alpha):
    found = [s.clone() for s in styles]
    for n in range(len(found[0])):
        a = alpha[n] if torch.is_tensor(alpha) and alpha.dim() else alpha
        for s, d in zip(found, direction):
            s[n] += a * d
    return found


@shifted.alternative
def by_einsum(styles, direction, alpha):
    alphas = torch.as_tensor(alpha).to(styles[0]).expand(len(styles[0]))
    return list(map(lambda s, d: s + torch.einsum("n,c->nc", alphas, d), styles, direction))


EXERCISES = (thresholded, shifted)
