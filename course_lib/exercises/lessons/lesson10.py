"""Lesson 10: the direction between two texts, the mean change of a channel, the threshold, and the edit."""
import torch
import torch.nn.functional as F

from ...styleclip import global_directions
from ..engine import Case, Exercise, ModelCheck, bars, draw, latents, wrong
from .shared import CLIP, unit

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
    a, b = change(draw(t, dim, seed=seed, dtype=dtype), draw(u, dim, seed=seed + 1, dtype=dtype))
    return Case(what, {"neutral": a, "target": b})


def ensemble(x):
    return unit(unit(x).mean(dim=0))


def between(mean, last=unit):
    """The direction for another mean of the templates: mean(embeddings). last: what is done to the difference."""
    return lambda neutral, target: last(mean(target) - mean(neutral))


EACH = "Bring every embedding to length 1 *before* the mean, or long ones count more. You {}."
PAIRS = "Average each text over its templates first, which need not be as many. You subtract template by template."


def in_steps(neutral, target):
    found = []
    for embeddings in (neutral, target):
        embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
        mean = embeddings.mean(dim=0)
        found.append(mean / mean.norm())
    direction = found[1] - found[0]
    return direction / direction.norm()


def with_sums_and_epsilon(neutral, target):
    def length_1(x):
        return x / (x.square().sum(dim=-1, keepdim=True).sqrt() + 1e-9)
    with torch.no_grad():
        return length_1(length_1(length_1(target).sum(dim=0)) - length_1(length_1(neutral).sum(dim=0)))


def in_numpy(neutral, target):
    import numpy as np
    n, t = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (neutral, target))
    n, t = (x.mean(axis=0) / np.linalg.norm(x.mean(axis=0)) for x in (n, t))
    return torch.from_numpy((t - n) / np.linalg.norm(t - n))


def by_loops_and_dots(neutral, target):
    def ensembled(embeddings):
        mean = sum(x / torch.sqrt(torch.dot(x, x)) for x in embeddings) / len(embeddings)
        return mean / torch.linalg.vector_norm(mean)
    difference = ensembled(target) - ensembled(neutral)
    return difference / torch.linalg.norm(difference)


def by_einsum(neutral, target):
    n, t = (F.normalize(torch.einsum("td,t->d", x, x.norm(dim=1).reciprocal()), dim=0) for x in (neutral, target))
    return F.normalize(t - n, dim=0)


direction_between = Exercise(
    "10.direction_between", "direction_between(neutral, target)",
    conventions="neutral and target are the embeddings [T, D] of one text each, in T templates (the two may have different T), of "
                "any length except 0. Return Δt [D], from neutral to target. For each text: bring every embedding to length 1, "
                "average over the templates, and bring the mean to length 1. Then subtract, and bring the difference, which is not "
                "0, to length 1. No gradient is asked for.",
    hints=("The same three steps for both texts, so write them once: unit vectors, mean over the templates, unit vector. Which "
           "dimension are the templates?",
           "F.normalize(x, dim=-1).mean(dim=0) is the mean of unit vectors, [D]; F.normalize(…, dim=0) makes a unit vector of it. "
           "Subtract neutral's from target's, and normalise once more."),
    without_gradient=("neutral", "target"), production=global_directions.direction_between, tolerance=1e-5, needs=CLIP,
    model_check=ModelCheck(two_directions, model=None, who="An experiment with words for axes", what="finds the same directions",
                           plot=bars(WORDS, ("man → smiling man", "man → man hat"))),
    cases=[
        texts("three templates, five features", 3, 3, 5),
        texts("as many templates as features", 4, 4, 4),
        texts("three templates for one text and five for the other", 3, 5, 6),
        texts("one template", 1, 1, 7),
        texts("one template for one text and four for the other", 1, 4, 3),
        texts("float32", 6, 6, 8, torch.float32),
        texts("float32, two and three templates", 2, 3, 9, torch.float32),
        texts("embeddings of very different lengths", 3, 4, 4, change=lambda a, b: ( a * torch.tensor([[9.0], [1], [0.2]],
              dtype=a.dtype), b * torch.tensor([[0.1], [5], [1], [3]], dtype=b.dtype))),
        texts("unit vectors", 5, 5, 6, change=lambda a, b: (F.normalize(a), F.normalize(b))),
        texts("texts that nearly mean the same", 4, 4, 8, change=lambda a, b: (a, a + 0.01 * b)),
        texts("opposite texts", 3, 3, 4, change=lambda a, b: (a, -a.flip(0))),
        texts("the same embedding in every template", 3, 3, 6, change=lambda a, b: (a[:1].repeat(3, 1), b[:1].repeat(3, 1)))],
    wrong=[
        wrong("The direction goes from neutral to target: target − neutral. You subtract the other way round.",
              backwards=lambda neutral, target: unit(ensemble(neutral) - ensemble(target))),
        wrong(EACH.format("average first"),
              mean_first=between(lambda x: unit(x.mean(dim=0)))),
        wrong(EACH.format("subtract the means of the raw embeddings"),
              raw_means=between(lambda x: x.mean(dim=0))),
        wrong(EACH.format("sum the raw embeddings"),
              raw_sums=between(lambda x: x.sum(dim=0))),
        wrong("Bring the mean of each text to length 1 before you subtract: means of unit vectors are shorter than 1.",
              mean_not_normalised=between(lambda x: unit(x).mean(dim=0))),
        wrong("Bring the sum of each text to length 1 before you subtract.",
              sum_not_normalised=between(lambda x: unit(x).sum(dim=0))),
        wrong("Bring the difference to length 1 at the end.",
              not_a_unit_vector=between(ensemble, lambda x: x)),
        wrong("Bring the mean of each text to length 1, and the difference too.",
              never_at_the_end=between(lambda x: unit(x).mean(dim=0), lambda x: x)),
        wrong("Lengths mean nothing here: normalise the embeddings, the means and the difference. You normalise nothing.",
              no_length_at_all=between(lambda x: x.mean(dim=0), lambda x: x)),
        wrong("Subtract the neutral text: what both have in common should not move anything.",
              target_only=lambda neutral, target: ensemble(target)),
        wrong("Go to the target. You return the neutral text.",
              neutral_only=lambda neutral, target: ensemble(neutral)),
        wrong("Subtract the neutral text. You add it.",
              added=lambda neutral, target: unit(ensemble(target) + ensemble(neutral))),
        wrong("Subtract the neutral text. You take away the target's part along it.",
              orthogonal=lambda neutral, target: (
                  unit(ensemble(target) - (ensemble(target) @ ensemble(neutral)) * ensemble(neutral)))),
        wrong("Average over all templates. You take the first.",
              first_template=between(lambda x: unit(x[0]))),
        wrong("Take the mean over the templates. You take the median.",
              median=between(lambda x: unit(unit(x).median(dim=0).values))),
        wrong("An embedding is a row, the last dimension. You normalise over the templates.",
              over_the_batch=between(lambda x: unit(unit(x, 0).mean(dim=0)))),
        wrong("Average over the templates, dimension 0. You average over the features.",
              over_features=lambda neutral, target: unit(unit(target).mean(dim=1)) - unit(unit(neutral).mean(dim=1))),
        wrong(PAIRS,
              pairs=lambda neutral, target: unit(unit(target - neutral).mean(dim=0)),
              pairs_of_units=lambda neutral, target: unit(unit(unit(target) - unit(neutral)).mean(dim=0))),
        wrong("Average over the templates, [D]. You return a direction for every one.",
              all_templates=lambda neutral, target: unit(unit(target) - unit(neutral))),
        wrong(EACH.format("do so for neutral only"),
              target_not_normalised=lambda neutral, target: unit(unit(target.mean(dim=0)) - ensemble(neutral))),
        wrong(EACH.format("do so for target only"),
              neutral_not_normalised=lambda neutral, target: unit(ensemble(target) - unit(neutral.mean(dim=0)))),
        wrong("The length is the root of the sum of squares. You divide by the sum of the absolute values.",
              sum_of_entries=between(ensemble, lambda x: F.normalize(x, p=1, dim=0))),
        wrong("Keep the signs: Δt says in which direction a feature changes.",
              absolute=between(ensemble, lambda x: unit(x).abs())),
        wrong("Return [D]. keepdim=True makes it [1, D].", visible=False,
              one_row=between(lambda x: unit(unit(x).mean(dim=0, keepdim=True))))],
    alternatives=[in_steps, with_sums_and_epsilon, in_numpy, by_loops_and_dots, by_einsum])


def changed(what, shape, dtype=torch.float64, change=lambda a, b: b):
    """before, and change(before, normal) for after."""
    seed = sum(shape)
    a, b = (draw(*shape, seed=seed + i, dtype=dtype) for i in (0, 1))
    return Case(what, {"before": a, "after": change(a, b)})


@torch.no_grad()
def maps_of_channels(generator):
    """What a channel in each of three convolutions changes, as maps of 8×8 colours, and rounding."""
    styles = generator.styles(generator.mapping(latents(generator, 4)))
    pooled = lambda styles: F.adaptive_avg_pool2d(generator.synthesis(styles=styles, noise="const"), 8).flatten(1)
    chosen = [i for i, (name, _, _) in enumerate(generator.synthesis.style_layers()) if not name.endswith("torgb")][1:4]
    after = []
    for layer in chosen:
        moved = [style.clone() for style in styles]
        moved[layer][:, 1] += 5 * styles[layer].std()
        after.append(pooled(moved))
    before = pooled(styles)
    after = torch.stack([*after, before + draw(*before.shape, seed=1, scale=3e-7).to(before)], dim=1)
    found = global_directions.mean_change(before[:, None].expand_as(after), after)
    return found.view(len(chosen) + 1, 3, 8, 8) * (found.shape[-1] ** 0.5 / 3)


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


def with_where(before, after):
    changes = after - before
    lengths = changes.norm(dim=-1, keepdim=True)
    mean = (changes / lengths).mean(dim=0)
    return torch.where(lengths.mean(dim=0) > 1e-5, mean / mean.norm(dim=-1, keepdim=True), torch.zeros_like(mean))


def image_by_image(before, after):
    total, lengths = torch.zeros_like(before[0]), torch.zeros_like(before[0, ..., 0])
    for a, b in zip(before, after):
        change = b - a
        total += F.normalize(change, dim=-1)
        lengths += torch.linalg.vector_norm(change, dim=-1)
    found = F.normalize(total, dim=-1)
    found[lengths / len(before) <= 1e-5] = 0
    return found


def by_sum(before, after):
    with torch.no_grad():
        changes = after.sub(before)
        total = (changes * changes.square().sum(-1, keepdim=True).clamp(min=1e-24).rsqrt()).sum(0)
        moves = changes.square().sum(-1).sqrt().mean(0, keepdim=True) > 1e-5
        return F.normalize(total, dim=-1).masked_fill(~moves[0].unsqueeze(-1), 0)


def in_numpy(before, after):
    import numpy as np
    changes = (after - before).numpy()
    lengths = np.linalg.norm(changes, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(lengths > 0, changes / lengths, 0).mean(axis=0)
        mean = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    return torch.from_numpy(np.where(lengths.mean(axis=0) > 1e-5, mean, 0).astype(changes.dtype))


def with_nan_to_num(before, after):
    changes = after - before
    lengths = torch.linalg.vector_norm(changes, dim=-1)
    mean = torch.einsum("n...d,n...->...d", changes, lengths.reciprocal().nan_to_num(posinf=0)) / len(changes)
    mean = (mean / torch.linalg.vector_norm(mean, dim=-1, keepdim=True)).nan_to_num()
    mean[lengths.mean(dim=0) <= 1e-5] = 0
    return mean


mean_change = Exercise(
    "10.mean_change", "mean_change(before, after)",
    conventions="before and after are embeddings [images, …, D], where … may be nothing, or channels. Return Δi [..., D]: the "
                "change of each image, after − before, brought to length 1; their mean over the images; and that brought to length "
                "1. Where the mean length of the changes over the images is at most 0.00001 they are only rounding: return zeros "
                "there. Take the embeddings as they are. No gradient is asked for.",
    hints=("Three steps: the change of each image as a unit vector, the mean over the images, and a unit vector again. The images "
           "are the first dimension, the features the last.",
           "changes = after − before; F.normalize(changes, dim=-1).mean(dim=0) and F.normalize once more. "
           "changes.norm(dim=-1).mean(dim=0) are the mean lengths, [...]: multiply by (lengths > 1e-5)[..., None]."),
    without_gradient=("before", "after"), production=global_directions.mean_change, tolerance=1e-6, needs=CLIP,
    model_check=ModelCheck(maps_of_channels, who="The experiment", what="finds the same changes",
                           titles=("a channel", "another", "another", "rounding")),
    cases=[
        changed("three images", (3, 5)),
        changed("four images, three channels", (4, 3, 6)),
        changed("as many images, channels and features", (4, 4, 4)),
        changed("float32", (5, 2, 7), torch.float32),
        changed("float32 and one image", (1, 4, 8), torch.float32),
        changed("two images, layers and channels", (2, 3, 2, 5)),
        changed("one channel", (3, 1, 6)),
        changed("changes of very different lengths", (3, 2, 9),
                change=lambda a, b: a + b * torch.tensor([10.0, 1, 0.05]).to(a).view(3, 1, 1)),
        changed("changes of about 0.001", (3, 4, 5), change=lambda a, b: a + 1e-3 * b),
        changed("one channel that moves by rounding only", (3, 3, 4),
                change=lambda a, b: a + b * torch.tensor([1.0, 2e-7, 0.3]).to(a).view(3, 1)),
        changed("one channel that does not move at all", (4, 2, 6),
                change=lambda a, b: a + b * torch.tensor([1.0, 0]).to(a).view(2, 1)),
        changed("changes of about 0.0001 and of about 0.000006", (3, 2, 7),
                change=lambda a, b: a + b * torch.tensor([4e-5, 2.2e-6]).to(a).view(2, 1)),
        changed("an image that moves and two that do not", (3, 8),
                change=lambda a, b: a + b * torch.tensor([1.0, 1e-7, 1e-7]).to(a).view(3, 1)),
        changed("changes that nearly cancel in the mean, of about 0.00003", (2, 6),
                change=lambda a, b: a + 2e-5 * torch.stack([b[0], 0.2 * b[1] - b[0]])),
        changed("changes of length 0.0000104 and 0.0000096", (3, 2, 9),
                change=lambda a, b: a + unit(b) * torch.tensor([1.04e-5, 0.96e-5]).to(a).view(2, 1)),
        changed("one of four images moves by 0.000024, the others do not", (4, 6),
                change=lambda a, b: a + 2.4e-5 * F.normalize(b, dim=-1) * torch.eye(4, dtype=a.dtype)[:, :1]),
        changed("the same change in every image", (3, 2, 3), change=lambda a, b: a + b[:1])],
    wrong=[
        wrong(NOISE,
              no_threshold=changes_to(normal_mean, masked=False)),
        wrong("Each image counts alike: bring its change to length 1 before the mean.",
              mean_first=changes_to(lambda x: unit(x.mean(dim=0)))),
        wrong("Each image counts alike: bring its change to length 1 before the mean. And return zeros where the mean length is at "
              "most 1e-5.",
              mean_first_no_threshold=changes_to(lambda x: unit(x.mean(dim=0)), masked=False)),
        wrong("A mean of unit vectors is shorter than 1. Bring it to length 1.",
              not_normalised_after=changes_to(lambda x: unit(x).mean(dim=0))),
        wrong("A mean of unit vectors is shorter than 1: bring it to length 1. And return zeros where the mean length is at most "
              "1e-5.",
              not_normalised_after_no_threshold=changes_to(lambda x: unit(x).mean(dim=0), masked=False)),
        wrong("Bring the change of each image to length 1, and their mean too.",
              never_normalised=changes_to(lambda x: x.mean(dim=0)),
              never_normalised_no_threshold=changes_to(lambda x: x.mean(dim=0), masked=False)),
        wrong("The change is after − before. You subtract the other way round.",
              backwards=changes_to(lambda x: -normal_mean(x))),
        wrong("Keep the signs of the changes. You take absolute values.",
              absolute=changes_to(lambda x: normal_mean(x.abs()))),
        wrong("Subtract before: it is the change that counts.",
              after_only=lambda before, after: normal_mean(after) * ((after - before).norm(dim=-1).mean(dim=0) > 1e-5)[..., None]),
        wrong("Take the embeddings as they are. You bring them to length 1 before you subtract.",
              unit_embeddings=lambda before, after: (
                  normal_mean(unit(after) - unit(before)) * ((after - before).norm(dim=-1).mean(dim=0) > 1e-5)[..., None])),
        wrong("Take the mean over the images. You take the median.",
              median=changes_to(lambda x: unit(unit(x).median(dim=0).values))),
        wrong("Average over all images. You take the first.",
              first_image=changes_to(lambda x: unit(x[0]))),
        wrong("Average over the images. You return the change of each.",
              every_image=lambda before, after: unit(after - before)),
        wrong("Average over the images, dimension 0. You average over everything but the features.",
              over_channels=lambda before, after: unit(unit(after - before).flatten(0, -2).mean(dim=0))),
        wrong("The images are dimension 0. You average over dimension 1.",
              over_dimension_1=lambda before, after: unit(unit(after - before).mean(dim=1))),
        wrong("A change is a vector of features, the last dimension. You normalise over the images.",
              normalised_over_images=changes_to(lambda x: unit(unit(x, 0).mean(dim=0)))),
        wrong("Each channel has a unit vector of its own. You normalise all channels together.",
              normalised_over_channels=changes_to(lambda x: unit(unit(x.flatten(1)).view_as(x).mean(dim=0)))),
        wrong("Each channel has a unit vector of its own. You bring the whole result to length 1.",
              channels_together=changes_to(lambda x: unit(unit(x).mean(dim=0).flatten(), 0).view(x.shape[1:]))),
        wrong("The length is the root of the sum of squares. You divide by the sum of the absolute values.",
              sum_of_entries=changes_to(lambda x: F.normalize(F.normalize(x, p=1, dim=-1).mean(dim=0), p=1, dim=-1))),
        wrong("Return zeros where the changes are rounding. You return zeros where they are not.",
              threshold_reversed=where(lambda x: (x.norm(dim=-1).mean(dim=0) <= 1e-5)[..., None])),
        wrong("A channel counts as a whole, by the length of its change. You threshold each feature.", visible=False,
              threshold_of_each_entry=changes_to(lambda x: normal_mean(torch.where(x.abs() > 1e-5, x, 0)), masked=False)),
        wrong("The threshold is for the mean length over the images. You leave out single images.", visible=False,
              threshold_of_each_image=changes_to(lambda x: normal_mean(torch.where(x.norm(dim=-1, keepdim=True) > 1e-5, x, 0)),
                  masked=False)),
        wrong("Changes in different directions cancel in the mean. Compare the mean *length* with 1e-5, not the length of the "
              "mean.", visible=False,
              threshold_of_the_mean=where(lambda x: x.mean(dim=0).norm(dim=-1, keepdim=True) > 1e-5)),
        wrong("The threshold is 1e-5. Yours is lower.",
              other_threshold=where(lambda x: (x.norm(dim=-1).mean(dim=0) > 1e-6)[..., None])),
        wrong("The threshold is 1e-5. Yours is higher.", visible=False,
              higher_threshold=where(lambda x: (x.norm(dim=-1).mean(dim=0) > 1e-3)[..., None])),
        wrong("The change of an image may be 0, and 0 / 0 is NaN; NaN times 0 stays NaN. F.normalize gives 0 there.",
              visible=False,
              nan=changes_to(lambda x: (lambda m: m / m.norm(dim=-1, keepdim=True))((x / x.norm(dim=-1,
                  keepdim=True)).mean(dim=0))))],
    alternatives=[with_where, image_by_image, by_sum, in_numpy, with_nan_to_num])


def channels(what, n, beta, dtype=torch.float64, change=lambda r: r, **largest):
    relevances = change(draw(n, seed=n, dtype=dtype, scale=0.3).clamp(-0.95, 0.95))
    return Case(what, {"relevances": relevances, "sigma": 0.5 + draw(n, seed=n + 1, dtype=dtype).abs(), "beta": beta, **largest})


def given(*values):
    return lambda r: torch.tensor(values, dtype=r.dtype)


@torch.no_grad()
def three_thresholds(network):
    """The direction of twelve channels for three β."""
    relevances = torch.tensor([0.05, -0.32, 0.12, 0.24, -0.08, 0.02, -0.15, 0.2, -0.01, 0.07, 0.26, -0.19])
    sigma = 0.6 + 0.1 * torch.arange(12) % 0.8
    return torch.stack([global_directions.thresholded(relevances, sigma, beta) for beta in (0.0, 0.1, 0.2)])


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


def by_a_mask(relevances, sigma, beta, largest=None):
    if largest is None:
        largest = relevances.abs().amax()
    return sigma * relevances * (relevances.abs() >= beta) / largest


def into_a_copy(relevances, sigma, beta, largest=None):
    direction = relevances.clone()
    direction[direction.abs() < beta] = 0
    largest = max(relevances.max().item(), -relevances.min().item()) if largest is None else float(largest)
    return direction / largest * sigma


def channel_by_channel(relevances, sigma, beta, largest=None):
    largest = largest if largest is not None else torch.linalg.vector_norm(relevances, torch.inf)
    return torch.stack([s * r / largest if abs(r) >= beta else 0 * s for r, s in zip(relevances, sigma)])


def cut_on_both_sides(relevances, sigma, beta, largest=None):
    with torch.no_grad():
        stays = (relevances > -beta) & (relevances < beta)
        return relevances.masked_fill(stays, 0) * (sigma / (largest or relevances.abs().max()))


def in_numpy(relevances, sigma, beta, largest=None):
    import numpy as np
    r = relevances.numpy()
    largest = np.abs(r).max() if largest is None else float(largest)
    return torch.from_numpy(np.where(np.abs(r) >= beta, r, 0) / r.dtype.type(largest) * sigma.numpy())


thresholded = Exercise(
    "10.thresholded", "thresholded(relevances, sigma, beta, largest=None)",
    conventions="relevances (R) and sigma (σ > 0) are [channels], beta is a number ≥ 0. Return Δs [channels]: σ_c R_c / max|R| "
                "where |R_c| ≥ β, and 0 elsewhere. The maximum is `largest` if that is given (a number, or a tensor of one number: "
                "the largest |R| of all layers), and otherwise that of all these relevances, also of those below β; it is never 0. "
                "No gradient is asked for.",
    hints=("Which channels stay? Those whose |R| reaches β, whatever their sign. What they are multiplied by is the same for all, "
           "but for σ.",
           "torch.where(relevances.abs() >= beta, relevances, 0) keeps them, with their sign. Divide by the largest |R| "
           "(`largest`, if it is not None), and multiply by sigma."),
    without_gradient=("relevances", "sigma", "largest"), production=global_directions.thresholded, needs=CLIP,
    model_check=ModelCheck(three_thresholds, model=None, who="An experiment with twelve channels", what="finds the same directions",
                           plot=bars([str(c) for c in range(12)], ("β = 0", "β = 0.1", "β = 0.2"))),
    cases=[
        channels("three channels, β = 0.125", 3, 0.125, change=given(0.5, -0.25, 0.1)),
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
    wrong=[
        wrong(SIGNED,
              signed_threshold=kept(lambda r, b, m, s: r >= b),
              signed_strictly=kept(lambda r, b, m, s: r > b)),
        wrong("Keep the sign of R: it says in which direction a channel moves. You return |R|.",
              sign_lost=kept(reaches, torch.abs)),
        wrong("Multiply by σ: a step should mean the same for every channel.",
              sigma_forgotten=scaled(lambda r, k, s, largest: k / own(r, largest))),
        wrong("Multiply by σ. You divide by it.",
              divided_by_sigma=scaled(lambda r, k, s, largest: k / own(r, largest) / s)),
        wrong("Multiply by σ, once.",
              sigma_squared=scaled(lambda r, k, s, largest: k / own(r, largest) * s.square())),
        wrong("Divide by the largest |R|, so that α counts deviations of the most relevant channel.",
              not_divided=scaled(lambda r, k, s, largest: k * s)),
        wrong("You only threshold. Divide by the largest |R| and multiply by σ.",
              nothing_scaled=scaled(lambda r, k, s, largest: k.clone())),
        wrong("Divide by the largest |R|. You multiply by it.",
              multiplied_by_largest=scaled(lambda r, k, s, largest: k * own(r, largest) * s)),
        wrong("Divide by the largest |R|. You take the largest R, though the most relevant channel may be negative.",
              largest_signed=scaled(lambda r, k, s, largest: k / (r.max() if largest is None else largest) * s)),
        wrong("Divide by `largest` where it is given: the layers share one maximum. You always take your own.", visible=False,
              largest_ignored=scaled(lambda r, k, s, largest: k / r.abs().max() * s)),
        wrong("Take the largest |R| of all relevances. Among those that reach β it is 0 where none does, and 0 / 0 is NaN.",
              visible=False,
              largest_of_the_kept=scaled(lambda r, k, s, largest: k / own(k, largest) * s)),
        wrong("Divide by the largest |R|. You divide by the length of R.",
              by_the_length=scaled(lambda r, k, s, largest: k / r.norm() * s)),
        wrong("Divide by the largest |R|. You divide by the sum of all.",
              by_the_sum=scaled(lambda r, k, s, largest: k / r.abs().sum() * s)),
        wrong("Divide by the largest |R|. You divide by the mean.",
              by_the_mean=scaled(lambda r, k, s, largest: k / r.abs().mean() * s)),
        wrong("Divide by the largest |R|. You divide by the largest σ|R|.",
              largest_step=scaled(lambda r, k, s, largest: k / (r * s).abs().max() * s)),
        wrong("Only R is divided by its largest. You divide σ by its own too.",
              largest_sigma_too=scaled(lambda r, k, s, largest: k / own(r, largest) * s / s.max())),
        wrong("A channel with |R| = β moves: write >=.",
              strictly=kept(lambda r, b, m, s: r.abs() > b)),
        wrong("Channels below β stay where they are. You move only those.",
              reversed=kept(lambda r, b, m, s: r.abs() < b)),
        wrong("Channels with |R| < β stay where they are: set them to 0.",
              no_threshold=kept(lambda r, b, m, s: r == r)),
        wrong("Compare |R| itself with β. You divide by the largest first.",
              threshold_of_the_share=kept(lambda r, b, m, s: (r / m).abs() >= b)),
        wrong("Compare |R| with β. You compare σ|R|.",
              threshold_of_the_step=kept(lambda r, b, m, s: (r * s).abs() >= b)),
        wrong("Compare |R| with β. You compare R².",
              threshold_of_the_square=kept(lambda r, b, m, s: r.square() >= b)),
        wrong("A channel that reaches β keeps its whole R. You subtract β from it.",
              soft=lambda relevances, sigma, beta, largest=None: (
                  relevances.sign() * (relevances.abs() - beta).clamp(min=0) / own(relevances, largest) * sigma)),
        wrong("Channels below β become 0. You lift them to β.",
              at_least_beta=lambda relevances, sigma, beta, largest=None: (
                  relevances.sign() * relevances.abs().clamp(min=beta) / own(relevances, largest) * sigma)),
        wrong("β is a threshold. You cut larger relevances down to it.",
              at_most_beta=lambda relevances, sigma, beta, largest=None: (
                  relevances.clamp(-beta, beta) / own(relevances, largest) * sigma)),
        wrong("More relevant channels move further: use R. You use only its sign.",
              all_alike=kept(reaches, torch.sign)),
        wrong("Use R. You square it.",
              squared=kept(reaches, lambda r: r * r.abs())),
        wrong("Return all channels, with 0 for those that stay. You leave them out.",
              left_out=lambda relevances, sigma, beta, largest=None: (
                  (relevances / own(relevances, largest) * sigma)[relevances.abs() >= beta])),
        wrong("Return how far each channel moves. You return which ones do.",
              mask=lambda relevances, sigma, beta, largest=None: (relevances.abs() >= beta).to(sigma) + 0 * sigma)],
    alternatives=[by_a_mask, into_a_copy, channel_by_channel, cut_on_both_sides, in_numpy])


def styled(what, n, sizes, alpha, dtype=torch.float64, change=lambda styles, direction: (styles, direction)):
    seed = 100 * n + sum(sizes)
    styles, direction = change([draw(n, c, seed=seed + i, dtype=dtype) for i, c in enumerate(sizes)],
                               [draw(c, seed=seed + 50 + i, dtype=dtype) for i, c in enumerate(sizes)])
    return Case(what, {"styles": styles, "direction": direction, "alpha": alpha})


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


def by_cases(styles, direction, alpha):
    moved = []
    for s, d in zip(styles, direction):
        if isinstance(alpha, torch.Tensor) and alpha.ndim == 1:
            moved.append(s + torch.outer(alpha, d))
        else:
            moved.append(torch.add(s, d, alpha=float(alpha)))
    return moved


def by_view(styles, direction, alpha):
    alpha = torch.as_tensor(alpha, dtype=styles[0].dtype).reshape(-1, 1)
    return tuple(style + alpha * step[None] for style, step in zip(styles, direction))


def into_copies(styles, direction, alpha):
    found = [s.clone() for s in styles]
    for n in range(len(found[0])):
        a = alpha[n] if torch.is_tensor(alpha) and alpha.dim() else alpha
        for s, d in zip(found, direction):
            s[n] += a * d
    return found


def by_einsum(styles, direction, alpha):
    alphas = torch.as_tensor(alpha).to(styles[0]).expand(len(styles[0]))
    return list(map(lambda s, d: s + torch.einsum("n,c->nc", alphas, d), styles, direction))


shifted = Exercise(
    "10.shifted", "shifted(styles, direction, alpha)",
    conventions="styles is a list with a tensor [N, channels] for each layer (the layers differ in their channels), direction a "
                "list with a tensor [channels] for each. alpha is a number, or a tensor of one number without dimensions, or a "
                "tensor [N], one for each image. Return the list of s + α Δs, in new tensors. No gradient is asked for.",
    hints=("Layer by layer: zip(styles, direction). With a number for α it is one line. How does α [N] have to stand beside Δs "
           "[channels], so that the product is [N, channels]?",
           "alpha[:, None] is [N, 1], and times [channels] gives [N, channels]. A number, and a tensor with alpha.ndim == 0, need "
           "no [:, None]."),
    without_gradient=("alpha",), production=global_directions.shifted, returns="tensors", needs=CLIP,
    model_check=ModelCheck(from_one_to_another, titles=("α = −1", "0", "0.5", "1", "1.25")),
    cases=[
        styled("three images, three layers, α = 1.5", 3, (4, 6, 5), 1.5),
        styled("an α for each of three images", 3, (5, 2), draw(3, seed=4)),
        styled("as many images as channels, an α for each", 4, (4, 4), draw(4, seed=5)),
        styled("one image and α = −2", 1, (7, 3), -2),
        styled("float32, α = 0.3", 3, (6, 8), 0.3, torch.float32),
        styled("float32, an α for each of five images", 5, (4, 5, 9), draw(5, seed=6, dtype=torch.float32), torch.float32),
        styled("a tensor α without dimensions", 2, (3, 8), torch.tensor(0.7, dtype=torch.float64)),
        styled("one image and α in a tensor [1]", 1, (5, 5), torch.tensor([-1.5], dtype=torch.float64)),
        styled("a single layer", 3, (10,), 4.0),
        styled("layers of one channel", 3, (1, 1), draw(3, seed=8)),
        styled("α = 0, which changes nothing", 2, (4, 7), 0.0),
        styled("a direction that is 0 in one layer", 3, (3, 5), 2.5, change=lambda s, d: (s, [0 * d[0], d[1]])),
        styled("styles of about 0.00001", 2, (6, 2), draw(2, seed=7),
               change=lambda s, d: ([1e-5 * x for x in s], [1e-5 * x for x in d])),
        styled("constant styles", 3, (2, 3), -0.5, change=lambda s, d: ([0 * x + 1.0 for x in s], d))],
    wrong=[
        wrong("s + α Δs. You subtract.",
              subtracted=layers(lambda s, d, a: s - a * d)),
        wrong("Multiply Δs by α.",
              alpha_forgotten=layers(lambda s, d, a: s + d + 0 * a)),
        wrong("Add α Δs. You return the styles.",
              never_moved=layers(lambda s, d, a: s.clone())),
        wrong("Add α Δs to the styles. You return the step alone.",
              direction_only=layers(lambda s, d, a: a * d + 0 * s)),
        wrong("Only Δs is multiplied by α. Your brackets include s.",
              styles_scaled=layers(lambda s, d, a: a * (s + d))),
        wrong("Add α Δs. You multiply the styles by 1 + α Δs.",
              relative=layers(lambda s, d, a: s * (1 + a * d))),
        wrong("Δs is a step, not a place to go to. You move towards it, and s loses the share α.",
              towards=layers(lambda s, d, a: s + a * (d - s))),
        wrong("Take Δs as it is. You bring it to length 1 in each layer.",
              unit_steps=layers(lambda s, d, a: s + a * d / (d.norm() + 1e-12))),
        wrong("Take Δs as it is. You use its sign only.",
              signs_only=layers(lambda s, d, a: s + a * d.sign())),
        wrong("Channels move both ways. You lose the negative entries of Δs.",
              negatives_lost=layers(lambda s, d, a: s + a * d.clamp(min=0))),
        wrong("Each channel has its own entry of Δs. You average them.",
              averaged_direction=layers(lambda s, d, a: s + a * d.mean())),
        wrong("Each image keeps its own styles. You average them over the batch.", visible=False,
              styles_averaged=layers(lambda s, d, a: s.mean(dim=0, keepdim=True).expand_as(s) + a * d)),
        wrong("Each image has its own α. You use the first for all.",
              first_alpha=number(lambda a: a[0])),
        wrong("Each image has its own α. You average them.",
              mean_alpha=number(lambda a: a.mean())),
        wrong("The α at place n belongs to image n. You turn their order.",
              alphas_reversed=number(lambda a: a.flip(0))),
        wrong("α may be negative: that is the opposite edit. You take its absolute value.",
              alpha_absolute=of_alpha(abs)),
        wrong("Multiply by α, once.",
              alpha_squared=of_alpha(lambda a: a ** 2)),
        wrong("α may be any number. You keep it between −1 and 1.",
              alpha_clamped=of_alpha(lambda a: a.clamp(-1, 1) if isinstance(a, torch.Tensor) else max(-1, min(a, 1)))),
        wrong("Take α as it is. You round it to an integer.",
              alpha_rounded=of_alpha(lambda a: a.round() if isinstance(a, torch.Tensor) else round(a))),
        wrong("α [N] meets the channels, not the images: make it a column, alpha[:, None].", visible=False,
              alpha_in_a_row=lambda styles, direction, alpha: [s + alpha * d for s, d in zip(styles, direction)]),
        wrong("alpha may be a number too, which has no [:, None].", visible=False,
              only_a_number=lambda styles, direction, alpha: [s + alpha[:, None] * d for s, d in zip(styles, direction)]),
        wrong("Every layer moves. You move the first only.",
              first_layer=lambda styles, direction, alpha: (
                  [styles[0] + column(alpha) * direction[0], *(s.clone() for s in styles[1:])])),
        wrong("Every layer moves. You leave out the last.",
              last_layer_stays=lambda styles, direction, alpha: (
                  [*(s + column(alpha) * d for s, d in zip(styles[:-1], direction)), styles[-1].clone()])),
        wrong("Each layer is on its own. You multiply α from layer to layer.",
              steps_add_up=lambda styles, direction, alpha: (
                  [s + column(alpha) ** (i + 1) * d for i, (s, d) in enumerate(zip(styles, direction))])),
        wrong("Return a list with a tensor for each layer. You join the layers.", into_one),
        wrong("You change the styles that you are given: s += … works on the tensor itself, styles[i] = … on the list. Return a "
              "new list of s + α Δs.", changes_styles, visible=False)],
    alternatives=[by_cases, by_view, into_copies, by_einsum])


EXERCISES = (direction_between, mean_change, thresholded, shifted)
