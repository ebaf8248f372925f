"""Lesson 08, exercises 1 and 2: how far a picture is from a text, and from the person it was made of."""
import torch
import torch.nn.functional as F

from ..styleclip import losses
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, latents

CLIP, SOURCE = "clip-portraits", "source_features"
# Short, and slow enough that what an answer rounds otherwise stays 1e-5 of the image. (Ten steps with rate 2 make 1e-2 of it.)
LR, STEPS = 1.0, 4
AFTER = f"{STEPS} steps"


def embedded(images):
    """What stands in for CLIP, so that a check takes seconds: the mean colours of 8×8 places, [N, 192]."""
    return F.adaptive_avg_pool2d(images, 8).flatten(1)


@torch.enable_grad()
def moved(generator, w, loss):
    """w after some steps down the sum of loss(embeddings, w)."""
    for _ in range(STEPS):
        w = w.detach().requires_grad_()
        value = loss(embedded(generator.synthesis(w, noise="const")), w)
        if value.requires_grad:
            w = w - LR * torch.autograd.grad(value.sum(), w)[0]
    return w.detach()


def towards_a_third(generator):
    """Two portraits, each after a few steps too, and the third that their embeddings go to."""
    w = generator.mapping(latents(generator, 3))
    goal = embedded(generator.synthesis(w[2:], noise="const"))
    found = moved(generator, w[:2], lambda features, _: losses.clip_distance(features, goal))
    return generator.synthesis(torch.stack([w[0], found[0], w[1], found[1], w[2]]), noise="const")


def back_to_themselves(generator):
    """Two portraits, both carried halfway to a third, and after a few steps back to their own embeddings."""
    w = generator.mapping(latents(generator, 3))
    sources, edited = w[:2], torch.lerp(w[:2], w[2], 0.5)
    own = embedded(generator.synthesis(sources, noise="const"))
    found = moved(generator, edited, lambda features, _: losses.identity_loss(features, own))
    return generator.synthesis(torch.stack([sources, edited, found], dim=1).flatten(0, 1), noise="const")


def features(names, what, n, m, dim, dtype=torch.float64, lengths=(1.0, 1.0), change=lambda a, b: (a, b)):
    """m: how many rows the second has. lengths: factors of the two. change: what becomes of both. What an image was made of is
    not optimised, so nobody asks for its gradient."""
    seed = 100 * n + 10 * m + dim
    a, b = change(*(normal(rows, dim, seed=seed + i, dtype=dtype, scale=lengths[i]) for i, rows in enumerate((n, m))))
    return Probe(what, dict(zip(names, (a, b))), (SOURCE,) if SOURCE in names else ())


def relatives(a, b):
    """Of four rows one has the same direction, one the opposite, one is at a right angle."""
    right_angle = b[2:3] - a[2:3] * (a[2:3] * b[2:3]).sum() / a[2:3].square().sum()
    return a, torch.cat([3 * a[:1], -2 * a[1:2], right_angle, b[3:]])


# Exercise 1

IMAGE_TEXT = "image_features", "text_features"
clip_distance = Exercise(
    "08.clip_distance", "clip_distance(image_features, text_features)",
    conventions="image_features are [N, D], text_features are [N, D], one text for each image, or [1, D], one for all. They have "
                "any length except 0. Return one distance for each image, [N], from 0 to 2: 1 − the cosine of the angle between "
                "image and text. Gradients flow into both.",
    production=losses.clip_distance, tolerance=1e-6, forbidden=(losses.identity_loss,), needs=CLIP,
    probes=[features(IMAGE_TEXT, "three images and a text for each", 3, 3, 5),
            features(IMAGE_TEXT, "four images and one text for all", 4, 1, 6),
            features(IMAGE_TEXT, "three images of three features, one text", 3, 1, 3),
            features(IMAGE_TEXT, "as many images and texts as features", 4, 4, 4),
            features(IMAGE_TEXT, "as many images as features and one text", 4, 1, 4),
            features(IMAGE_TEXT, "one image and one text", 1, 1, 7),
            features(IMAGE_TEXT, "float32, a text for each", 5, 5, 8, torch.float32),
            features(IMAGE_TEXT, "float32, one text for all", 3, 1, 9, torch.float32),
            features(IMAGE_TEXT, "long images and short texts", 3, 3, 6, lengths=(20.0, 0.1)),
            features(IMAGE_TEXT, "short images and a long text", 2, 1, 5, lengths=(0.1, 20.0)),
            features(IMAGE_TEXT, "unit vectors", 3, 3, 4, change=lambda a, b: (F.normalize(a), F.normalize(b))),
            features(IMAGE_TEXT, "the same, the opposite and a right angle", 4, 4, 5, change=relatives),
            features(IMAGE_TEXT, "constant images", 3, 3, 7, change=lambda a, b: (0 * a + 2.0, b))],
    proof=Proof("clip_distance", towards_a_third, owner=losses, who="A descent in W", what="finds the same portraits",
                titles=("portrait", AFTER, "portrait", AFTER, "goal")),
    hints=("A cosine is the product of two unit vectors. Which dimension holds the entries of one vector, and how does a row "
           "become a unit vector?",
           "F.normalize(x, dim=-1) makes unit vectors of the rows. Multiply entry by entry (one text then fits onto all images), "
           "sum over the last dimension, and subtract from 1."))


# Exercise 2

OWN_SOURCE = "features", SOURCE
identity_loss = Exercise(
    "08.identity_loss", "identity_loss(features, source_features)",
    conventions="features are those of N edited images, source_features those of the same N images before the edit, both [N, D] and "
                "of any length except 0. Return [N]: for each image 1 − ⟨R(G(w_s)), R(G(w))⟩, where R gives unit vectors, so "
                "bring them to length 1. Gradients flow into features.",
    production=losses.identity_loss, tolerance=1e-6, forbidden=(losses.clip_distance,), needs=CLIP,
    probes=[features(OWN_SOURCE, "three images", 3, 3, 5),
            features(OWN_SOURCE, "as many images as features", 4, 4, 4),
            features(OWN_SOURCE, "two images of nine features", 2, 2, 9),
            features(OWN_SOURCE, "one image", 1, 1, 7),
            features(OWN_SOURCE, "float32", 5, 5, 6, torch.float32),
            features(OWN_SOURCE, "float32 and long features", 3, 3, 8, torch.float32, (5.0, 5.0)),
            features(OWN_SOURCE, "long and short features", 3, 3, 6, lengths=(20.0, 0.1)),
            features(OWN_SOURCE, "short and long features", 6, 6, 3, lengths=(0.1, 20.0)),
            features(OWN_SOURCE, "unit vectors", 3, 3, 4, change=lambda a, b: (F.normalize(a), F.normalize(b))),
            features(OWN_SOURCE, "the same, the opposite and a right angle", 4, 4, 5, change=relatives),
            features(OWN_SOURCE, "constant sources", 3, 3, 7, change=lambda a, b: (a, 0 * b + 2.0))],
    proof=Proof("identity_loss", back_to_themselves, owner=losses, who="A descent in W", what="finds the same portraits",
                titles=("source", "edited", AFTER) * 2),
    hints=("Each edited image is compared with its own source: row with row, never row with all rows. What must be done to the "
           "rows, so that their product is a cosine?",
           "F.normalize(x, dim=-1) makes unit vectors of the rows. Multiply entry by entry, sum over the last dimension, "
           "subtract from 1. Average nothing: there is one value for each image."))


# Wrong answers. Those of both exercises are functions of (a, b); the first is the image that moves.

def unit(x, dim=-1):
    return F.normalize(x, dim=dim)


def cosine(a, b):
    return (unit(a) * unit(b)).sum(dim=-1)


def pairs(a, b):
    return unit(a) @ unit(b).T


LENGTHS = "A cosine is the product of unit vectors. {}"
ROWS = "A vector is a row, the last dimension. You {}."
BOTH = {
    "similarity": (True, "That is the cosine, which is largest for a match. A descent needs a distance: 1 − cosine.", cosine),
    "similarity_not_normalised": (True, "Bring both to length 1, and return a distance: 1 − cosine. You return a product.",
                                  lambda a, b: (a * b).sum(dim=-1)),
    "negative": (False, "Add 1, so that a perfect match is 0. The gradient does not see it, a reader of the value does.",
                 lambda a, b: -cosine(a, b)),
    "plus": (True, "1 − cosine. You write 1 + cosine, which is 0 for opposite directions.", lambda a, b: 1 + cosine(a, b)),
    "not_normalised": (True, LENGTHS.format("You normalise neither."), lambda a, b: 1 - (a * b).sum(dim=-1)),
    "second_not_normalised": (True, LENGTHS.format("You normalise only the first of the two."),
                              lambda a, b: 1 - (unit(a) * b).sum(dim=-1)),
    "first_not_normalised": (True, LENGTHS.format("You normalise only the second of the two."),
                             lambda a, b: 1 - (a * unit(b)).sum(dim=-1)),
    "normalised_over_the_batch": (True, ROWS.format("normalise over dimension 0, the batch"),
                                  lambda a, b: 1 - (unit(a, 0) * unit(b, 0)).sum(dim=-1)),
    "summed_over_the_batch": (False, ROWS.format("sum over dimension 0, the batch"),
                              lambda a, b: 1 - (unit(a) * unit(b)).sum(dim=0)),
    "squared_lengths": (True, "Divide by the lengths. You divide by their squares: take the root.",
                        lambda a, b: 1 - (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1))),
    "sum_of_entries": (True, "The length is the root of the sum of squares. You divide by the sum of the absolute values.",
                       lambda a, b: 1 - (F.normalize(a, p=1, dim=-1) * F.normalize(b, p=1, dim=-1)).sum(dim=-1)),
    "mean_over_entries": (True, "A product of vectors is a sum over the entries. You take their mean.",
                          lambda a, b: 1 - (unit(a) * unit(b)).mean(dim=-1)),
    "entries_not_summed": (False, "You return a value for every entry, [N, D]. Sum over the last dimension.",
                           lambda a, b: 1 - unit(a) * unit(b)),
    "batch_average": (True, "Return one value for each image, [N]. You average over the batch.", lambda a, b: (1 - cosine(a, b)).mean()),
    "batch_sum": (False, "Return one value for each image, [N]. You sum over the batch.", lambda a, b: (1 - cosine(a, b)).sum()),
    "kept_dimension": (False, "Return [N]. keepdim=True makes it [N, 1].",
                       lambda a, b: 1 - (unit(a) * unit(b)).sum(dim=-1, keepdim=True)),
    "absolute_cosine": (False, "Keep the sign of the cosine: the opposite is further away than a right angle.",
                        lambda a, b: 1 - cosine(a, b).abs()),
    "clamped_cosine": (False, "Keep negative cosines. You cut them off, so nothing pulls an opposite back.",
                       lambda a, b: 1 - cosine(a, b).clamp(min=0)),
    "euclidean": (True, "1 − cosine is half the *square* of the distance between unit vectors. You take the distance itself.",
                  lambda a, b: (unit(a) - unit(b)).norm(dim=-1)),
    "squared_distance": (True, "1 − cosine is *half* the squared distance between unit vectors. You leave out the ½.",
                         lambda a, b: (unit(a) - unit(b)).square().sum(dim=-1)),
    "mean_square": (True, "1 − cosine is half the *sum* of squares of the difference of unit vectors. You take their mean.",
                    lambda a, b: (unit(a) - unit(b)).square().mean(dim=-1)),
    "distance_of_features": (True, "Lengths mean nothing here. You take the squared distance of the vectors as they are.",
                             lambda a, b: (a - b).square().sum(dim=-1)),
    "mean_square_of_features": (True, "Lengths mean nothing here. You take the mean square difference of the vectors as they are.",
                                lambda a, b: (a - b).square().mean(dim=-1)),
    "halved": (True, "1 − cosine goes from 0 to 2. You halve it.", lambda a, b: (1 - cosine(a, b)) / 2),
    "squared": (True, "Leave out the square: 1 − cosine, as it is.", lambda a, b: (1 - cosine(a, b)).square()),
    "angle": (True, "Take 1 − cosine. You return the angle itself.", lambda a, b: torch.acos(cosine(a, b).clamp(-1, 1))),
    "hundredth": (True, "CLIP's logits are 100 · cosine; here are embeddings, so nothing is to be divided by 100.",
                  lambda a, b: 1 - cosine(a, b) / 100),
    "logits": (True, "You multiply by 100, as for CLIP's logits. Take 1 − cosine, as it is.", lambda a, b: 1 - 100 * cosine(a, b)),
}
OF_TEXTS = {
    "all_pairs": (False, "One distance for each image, [N]. A matrix product gives every image with every text.",
                  lambda a, b: 1 - pairs(a, b)),
    "averaged_over_texts": (False, "Each image has its own text. You average over the distances to all of them.",
                            lambda a, b: 1 - pairs(a, b).mean(dim=1)),
    "averaged_over_images": (True, "Average over nothing: one distance for each image. You average over the images.",
                             lambda a, b: 1 - pairs(a, b).mean(dim=0)),
    "first_text": (False, "Where each image has its own text, you use the first for all.",
                   lambda a, b: 1 - cosine(a, b[:1])),
    "not_broadcast": (True, "One text may stand for all images. You pair row with row, as zip does, and the other images are lost.",
                      lambda a, b: torch.stack([1 - cosine(x, y) for x, y in zip(a, b)])),
    "mean_of_texts": (False, "Each image has its own text. You compare all images with the mean of the texts.",
                      lambda a, b: 1 - cosine(a, unit(b).mean(dim=0))),
}
OF_SOURCES = {
    "all_pairs": (True, "Each image has one source. A matrix product compares it with all, [N, N].", lambda a, b: 1 - pairs(a, b)),
    "averaged_over_sources": (True, "Each image has its own source. You average over the losses to all of them.",
                              lambda a, b: 1 - pairs(a, b).mean(dim=1)),
    "first_source": (True, "Each image has its own source. You compare all images with the first.", lambda a, b: 1 - cosine(a, b[:1])),
    "mean_source": (True, "Each image has its own source. You compare all images with the mean of the sources.",
                    lambda a, b: 1 - cosine(a, unit(b).mean(dim=0))),
    "other_source": (True, "Each image has its own source. You compare it with that of its neighbour.",
                     lambda a, b: 1 - cosine(a, b.roll(1, 0))),
    "flattened": (True, "Each image has an angle of its own. You take one for the whole batch.",
                  lambda a, b: 1 - cosine(a.flatten(), b.flatten()).expand(len(a))),
    "to_itself": (True, "Compare with source_features. You compare the features with themselves.",
                  lambda a, b: 1 - cosine(a, a) + 0 * b.sum()),
}


def declare(exercise, mistakes):
    for name, (visible, message, function) in mistakes.items():
        function.__name__ = name
        exercise.mistake(message, visible)(function)


declare(clip_distance, BOTH | OF_TEXTS)
declare(identity_loss, BOTH | OF_SOURCES)


def by_pytorch(a, b):
    return 1 - F.cosine_similarity(a, b, dim=-1)


def by_division(a, b):
    return 1 - (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


def by_half_a_square(a, b):
    a, b = (x / (x.norm(dim=-1, keepdim=True) + 1e-8) for x in (a, b))
    return (a - b).pow(2).sum(dim=-1) / 2


def by_einsum(a, b):
    return 1.0 - torch.einsum("nd,nd->n", F.normalize(a), F.normalize(b).expand_as(a))


def row_by_row(a, b):
    b = b if len(b) == len(a) else b.repeat(len(a), 1)
    return torch.stack([1 - x @ y / torch.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b)])


def by_embedding_loss(a, b):
    return F.cosine_embedding_loss(a, b.expand_as(a), a.new_ones(len(a)), reduction="none")


def by_linalg(a, b):
    return 1 - torch.linalg.vecdot(a, b) / torch.linalg.vector_norm(a, dim=1) / torch.linalg.norm(b, dim=1)


def by_matrix_product(a, b):
    a, b = a / a.square().sum(-1, keepdim=True).sqrt(), b / b.square().sum(-1, keepdim=True).sqrt()
    return 1 - torch.bmm(a[:, None], b.expand(len(a), -1)[:, :, None]).flatten()


def with_a_fixed_source(a, b):
    return 1 - (F.normalize(a, eps=1e-8) * F.normalize(b, eps=1e-8).detach()).sum(dim=1)


for _function in (by_pytorch, by_division, by_half_a_square, by_einsum, row_by_row, by_embedding_loss, by_linalg, by_matrix_product):
    clip_distance.alternative(_function)
    identity_loss.alternative(_function)
identity_loss.alternative(with_a_fixed_source)

EXERCISES = (clip_distance, identity_loss)
