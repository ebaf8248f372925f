"""Lesson 10, exercise 2: how the embedding answers to a style channel."""
import torch
import torch.nn.functional as F

from ..styleclip import global_directions
from .engine import Exercise
from .lesson08 import CLIP, declare, unit
from .probes import Probe, normal
from .proof import Proof, latents


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
            changed("one channel", (3, 1, 6)),
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
            changed("changes of length 0.0000104 and 0.0000096", (3, 2, 9),
                    change=lambda a, b: a + unit(b) * torch.tensor([1.04e-5, 0.96e-5]).to(a).view(2, 1)),
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


@mean_change.alternative
def in_numpy(before, after):
    import numpy as np
    changes = (after - before).numpy()
    lengths = np.linalg.norm(changes, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(lengths > 0, changes / lengths, 0).mean(axis=0)
        mean = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    return torch.from_numpy(np.where(lengths.mean(axis=0) > 1e-5, mean, 0).astype(changes.dtype))


@mean_change.alternative
def with_nan_to_num(before, after):
    changes = after - before
    lengths = torch.linalg.vector_norm(changes, dim=-1)
    mean = torch.einsum("n...d,n...->...d", changes, lengths.reciprocal().nan_to_num(posinf=0)) / len(changes)
    mean = (mean / torch.linalg.vector_norm(mean, dim=-1, keepdim=True)).nan_to_num()
    mean[lengths.mean(dim=0) <= 1e-5] = 0
    return mean


EXERCISES = (mean_change,)
