"""Lesson 08: how far a picture is from a text, and from the person it was made of; the loss of latent optimization."""
import torch
import torch.nn.functional as F

from ...styleclip import losses
from ..engine import Case, Exercise, ModelCheck, draw, latents, wrong
from .shared import CLIP, STEPS, embedded, moved, unit

SOURCE = "source_features"
AFTER = f"{STEPS} steps"


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
    a, b = change(*(draw(rows, dim, seed=seed + i, dtype=dtype, scale=lengths[i]) for i, rows in enumerate((n, m))))
    return Case(what, dict(zip(names, (a, b))))


def relatives(a, b):
    """Of four rows one has the same direction, one the opposite, one is at a right angle."""
    right_angle = b[2:3] - a[2:3] * (a[2:3] * b[2:3]).sum() / a[2:3].square().sum()
    return a, torch.cat([3 * a[:1], -2 * a[1:2], right_angle, b[3:]])


IMAGE_TEXT = "image_features", "text_features"
OWN_SOURCE = "features", SOURCE


def cosine(a, b):
    return (unit(a) * unit(b)).sum(dim=-1)


def pairs(a, b):
    return unit(a) @ unit(b).T


LENGTHS = "A cosine is the product of unit vectors. {}"
ROWS = "A vector is a row, the last dimension. You {}."


BOTH = [
    wrong("That is the cosine, which is largest for a match. A descent needs a distance: 1 − cosine.",
          similarity=cosine),
    wrong("Bring both to length 1, and return a distance: 1 − cosine. You return a product.",
          similarity_not_normalised=lambda a, b: (a * b).sum(dim=-1)),
    wrong("Add 1, so that a perfect match is 0. The gradient does not see it, a reader of the value does.", visible=False,
          negative=lambda a, b: -cosine(a, b)),
    wrong("1 − cosine. You write 1 + cosine, which is 0 for opposite directions.",
          plus=lambda a, b: 1 + cosine(a, b)),
    wrong(LENGTHS.format("You normalise neither."),
          not_normalised=lambda a, b: 1 - (a * b).sum(dim=-1)),
    wrong(LENGTHS.format("You normalise only the first of the two."),
          second_not_normalised=lambda a, b: 1 - (unit(a) * b).sum(dim=-1)),
    wrong(LENGTHS.format("You normalise only the second of the two."),
          first_not_normalised=lambda a, b: 1 - (a * unit(b)).sum(dim=-1)),
    wrong(ROWS.format("normalise over dimension 0, the batch"),
          normalised_over_the_batch=lambda a, b: 1 - (unit(a, 0) * unit(b, 0)).sum(dim=-1)),
    wrong(ROWS.format("sum over dimension 0, the batch"), visible=False,
          summed_over_the_batch=lambda a, b: 1 - (unit(a) * unit(b)).sum(dim=0)),
    wrong("Divide by the lengths. You divide by their squares: take the root.",
          squared_lengths=lambda a, b: 1 - (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1))),
    wrong("The length is the root of the sum of squares. You divide by the sum of the absolute values.",
          sum_of_entries=lambda a, b: 1 - (F.normalize(a, p=1, dim=-1) * F.normalize(b, p=1, dim=-1)).sum(dim=-1)),
    wrong("A product of vectors is a sum over the entries. You take their mean.",
          mean_over_entries=lambda a, b: 1 - (unit(a) * unit(b)).mean(dim=-1)),
    wrong("You return a value for every entry, [N, D]. Sum over the last dimension.", visible=False,
          entries_not_summed=lambda a, b: 1 - unit(a) * unit(b)),
    wrong("Return one value for each image, [N]. You average over the batch.",
          batch_average=lambda a, b: (1 - cosine(a, b)).mean()),
    wrong("Return one value for each image, [N]. You sum over the batch.", visible=False,
          batch_sum=lambda a, b: (1 - cosine(a, b)).sum()),
    wrong("Return [N]. keepdim=True makes it [N, 1].", visible=False,
          kept_dimension=lambda a, b: 1 - (unit(a) * unit(b)).sum(dim=-1, keepdim=True)),
    wrong("Keep the sign of the cosine: the opposite is further away than a right angle.", visible=False,
          absolute_cosine=lambda a, b: 1 - cosine(a, b).abs()),
    wrong("Keep negative cosines. You cut them off, so nothing pulls an opposite back.", visible=False,
          clamped_cosine=lambda a, b: 1 - cosine(a, b).clamp(min=0)),
    wrong("1 − cosine is half the *square* of the distance between unit vectors. You take the distance itself.",
          euclidean=lambda a, b: (unit(a) - unit(b)).norm(dim=-1)),
    wrong("1 − cosine is *half* the squared distance between unit vectors. You leave out the ½.",
          squared_distance=lambda a, b: (unit(a) - unit(b)).square().sum(dim=-1)),
    wrong("1 − cosine is half the *sum* of squares of the difference of unit vectors. You take their mean.",
          mean_square=lambda a, b: (unit(a) - unit(b)).square().mean(dim=-1)),
    wrong("Lengths mean nothing here. You take the squared distance of the vectors as they are.",
          distance_of_features=lambda a, b: (a - b).square().sum(dim=-1)),
    wrong("Lengths mean nothing here. You take the mean square difference of the vectors as they are.",
          mean_square_of_features=lambda a, b: (a - b).square().mean(dim=-1)),
    wrong("1 − cosine goes from 0 to 2. You halve it.",
          halved=lambda a, b: (1 - cosine(a, b)) / 2),
    wrong("Leave out the square: 1 − cosine, as it is.",
          squared=lambda a, b: (1 - cosine(a, b)).square()),
    wrong("Take 1 − cosine. You return the angle itself.",
          angle=lambda a, b: torch.acos(cosine(a, b).clamp(-1, 1))),
    wrong("CLIP's logits are 100 · cosine; here are embeddings, so nothing is to be divided by 100.",
          hundredth=lambda a, b: 1 - cosine(a, b) / 100),
    wrong("You multiply by 100, as for CLIP's logits. Take 1 − cosine, as it is.",
          logits=lambda a, b: 1 - 100 * cosine(a, b))]


OF_TEXTS = [
    wrong("One distance for each image, [N]. A matrix product gives every image with every text.", visible=False,
          all_pairs=lambda a, b: 1 - pairs(a, b)),
    wrong("Each image has its own text. You average over the distances to all of them.", visible=False,
          averaged_over_texts=lambda a, b: 1 - pairs(a, b).mean(dim=1)),
    wrong("Average over nothing: one distance for each image. You average over the images.",
          averaged_over_images=lambda a, b: 1 - pairs(a, b).mean(dim=0)),
    wrong("Where each image has its own text, you use the first for all.", visible=False,
          first_text=lambda a, b: 1 - cosine(a, b[:1])),
    wrong("One text may stand for all images. You pair row with row, as zip does, and the other images are lost.",
          not_broadcast=lambda a, b: torch.stack([1 - cosine(x, y) for x, y in zip(a, b)])),
    wrong("Each image has its own text. You compare all images with the mean of the texts.", visible=False,
          mean_of_texts=lambda a, b: 1 - cosine(a, unit(b).mean(dim=0)))]


OF_SOURCES = [
    wrong("Each image has one source. A matrix product compares it with all, [N, N].",
          all_pairs=lambda a, b: 1 - pairs(a, b)),
    wrong("Each image has its own source. You average over the losses to all of them.",
          averaged_over_sources=lambda a, b: 1 - pairs(a, b).mean(dim=1)),
    wrong("Each image has its own source. You compare all images with the first.",
          first_source=lambda a, b: 1 - cosine(a, b[:1])),
    wrong("Each image has its own source. You compare all images with the mean of the sources.",
          mean_source=lambda a, b: 1 - cosine(a, unit(b).mean(dim=0))),
    wrong("Each image has its own source. You compare it with that of its neighbour.",
          other_source=lambda a, b: 1 - cosine(a, b.roll(1, 0))),
    wrong("Each image has an angle of its own. You take one for the whole batch.",
          flattened=lambda a, b: 1 - cosine(a.flatten(), b.flatten()).expand(len(a))),
    wrong("Compare with source_features. You compare the features with themselves.",
          to_itself=lambda a, b: 1 - cosine(a, a) + 0 * b.sum())]


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


RIGHT_DISTANCES = [by_pytorch, by_division, by_half_a_square, by_einsum, row_by_row, by_embedding_loss, by_linalg,
                   by_matrix_product]

clip_distance = Exercise(
    "08.clip_distance", "clip_distance(image_features, text_features)",
    conventions="image_features are [N, D], text_features are [N, D], one text for each image, or [1, D], one for all. They have "
                "any length except 0. Return one distance for each image, [N], from 0 to 2: 1 − the cosine of the angle between "
                "image and text. Gradients flow into both.",
    hints=("A cosine is the product of two unit vectors. Which dimension holds the entries of one vector, and how does a row "
           "become a unit vector?",
           "F.normalize(x, dim=-1) makes unit vectors of the rows. Multiply entry by entry (one text then fits onto all images), "
           "sum over the last dimension, and subtract from 1."),
    production=losses.clip_distance, tolerance=1e-6, forbidden=(losses.identity_loss,), needs=CLIP,
    model_check=ModelCheck(towards_a_third, who="A descent in W", what="finds the same portraits",
                           titles=("portrait", AFTER, "portrait", AFTER, "goal")),
    cases=[
        features(IMAGE_TEXT, "three images and a text for each", 3, 3, 5),
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
    wrong=[
        *BOTH,
        *OF_TEXTS],
    alternatives=RIGHT_DISTANCES)

identity_loss = Exercise(
    "08.identity_loss", "identity_loss(features, source_features)",
    conventions="features are those of N edited images, source_features those of the same N images before the edit, both [N, D] "
                "and of any length except 0. Return [N]: for each image 1 − ⟨R(G(w_s)), R(G(w))⟩, where R gives unit vectors, so "
                "bring them to length 1. Gradients flow into features.",
    hints=("Each edited image is compared with its own source: row with row, never row with all rows. What must be done to the "
           "rows, so that their product is a cosine?",
           "F.normalize(x, dim=-1) makes unit vectors of the rows. Multiply entry by entry, sum over the last dimension, subtract "
           "from 1. Average nothing: there is one value for each image."),
    without_gradient=("source_features",), production=losses.identity_loss, tolerance=1e-6, forbidden=(losses.clip_distance,),
    needs=CLIP,
    model_check=ModelCheck(back_to_themselves, who="A descent in W", what="finds the same portraits",
                           titles=("source", "edited", AFTER) * 2),
    cases=[
        features(OWN_SOURCE, "three images", 3, 3, 5),
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
    wrong=[
        *BOTH,
        *OF_SOURCES],
    alternatives=[*RIGHT_DISTANCES, with_a_fixed_source])


def terms(what, n, shape, dtype=torch.float64, identity=True, change=lambda a, b: (a, b), **weights):
    """shape: that of one latent. change: what becomes of latents and sources."""
    seed = 100 * n + sum(shape)
    a, b = change(*(draw(n, *shape, seed=seed + i, dtype=dtype) for i in (0, 1)))
    clip_term, identity_term = (draw(n, seed=seed + i, dtype=dtype).sigmoid() for i in (2, 3))
    return Case(what, {"clip_term": clip_term, "latents": a, "sources": b}
                 | ({"identity_term": identity_term} if identity else {}) | weights)


def three_edits(generator):
    """A portrait, three edits of it with other weights, each after a few steps in W+, and the portrait they go to."""
    w = generator.mapping(latents(generator, 2))[:, None].repeat(1, generator.num_ws, 1)
    source, goal = w.split(1)
    known, wanted = (embedded(generator.synthesis(x, noise="const")) for x in (source, goal))
    weights = {}, {"l2": 0.2}, {"l2": 0.002, "id_weight": 0.8}

    def loss(features, ws):
        clip_terms, identity_terms = 1 - torch.cosine_similarity(features, wanted), 1 - torch.cosine_similarity(features, known)
        return sum(losses.optimization_loss(clip_term, latent, source, identity_term, **given).sum() for clip_term, latent,
                   identity_term, given in zip(clip_terms.split(1), ws.split(1), identity_terms.split(1), weights))

    found = moved(generator, source.repeat(3, 1, 1), loss)
    return generator.synthesis(torch.cat([source, found, goal]), noise="const")


def squares(a, b):
    """The squared entries of the difference, [N, all]."""
    return (a - b).square().flatten(1)


def with_distance(distance):
    """The right loss, but with another distance of latents: distance(latents, sources)."""
    return lambda clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0: (
        clip_term + l2 * distance(latents, sources) + id_weight * identity_term)


def with_sum(total):
    """The right distance, but another sum: total(clip, distance, identity, l2, id_weight)."""
    return lambda clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0: (
        total(clip_term, squares(latents, sources).sum(dim=1), identity_term, l2, id_weight))


ALL = "‖w − w_s‖² sums over every entry of one image. You {}."


def by_dimensions(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    dims = tuple(range(1, latents.ndim))
    return clip_term + l2 * ((latents - sources) ** 2).sum(dim=dims) + id_weight * identity_term


def image_by_image(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    loss = torch.stack([c + l2 * torch.sum(torch.pow(a - b, 2)) for c, a, b in zip(clip_term, latents, sources)])
    return loss + id_weight * identity_term if id_weight else loss


def by_product(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    way = (latents - sources).reshape(len(latents), -1)
    loss = clip_term.clone()
    loss += l2 * torch.einsum("ni,ni->n", way, way)
    loss += id_weight * identity_term
    return loss


def by_vector_norm(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    away = torch.linalg.vector_norm((latents - sources.detach()).flatten(1), dim=1)
    return clip_term + l2 * away ** 2 + id_weight * identity_term


def by_mse_loss(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    squared = F.mse_loss(latents, sources, reduction="none").flatten(1)
    return clip_term + l2 * squared.mean(dim=1) * squared.shape[1] + id_weight * identity_term


optimization_loss = Exercise(
    "08.optimization_loss", "optimization_loss(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0)",
    conventions="clip_term is D_CLIP, [N]; identity_term is L_ID, [N], or 0. latents (w) and sources (w_s) are tensors [N, …] of "
                "equal shape, [N, num_ws, w_dim] in W+ (the library's function also takes lists of them, for styles). Return [N]: "
                "D_CLIP + λ_L2 ‖w − w_s‖² + λ_ID L_ID, with the square of the norm as in the published code: the *sum* of squares "
                "over all entries of one image, without a root. Gradients flow into all but w_s, which stays where it is.",
    hints=("Three terms, each with one value for every image. The first and the last are there already: only ‖w − w_s‖² has to be "
           "computed. Over which dimensions does it sum?",
           "(latents − sources).square().flatten(1).sum(dim=1) is ‖w − w_s‖², [N]. Multiply it by l2 and identity_term by "
           "id_weight, and add all three."),
    without_gradient=("sources",), production=losses.optimization_loss, needs=CLIP,
    model_check=ModelCheck(three_edits, who="A descent in W+", what="finds the same portraits",
                           titles=("source", "default", "λ_L2 0.2", "λ_ID 0.8", "goal")),
    cases=[
        terms("three latents of four layers, all weights given", 3, (4, 5), l2=0.3, id_weight=0.7),
        terms("the default weights", 2, (5, 6)),
        terms("no identity term", 3, (3, 6), identity=False, l2=0.5),
        terms("no identity term, but a weight of it", 2, (2, 5), identity=False, l2=0.2, id_weight=0.5),
        terms("w of one layer, [N, w_dim]", 4, (4,), l2=0.4, id_weight=1.5),
        terms("as many latents, layers and entries", 4, (4, 4), l2=0.1, id_weight=0.3),
        terms("float32", 5, (2, 7), torch.float32, l2=0.02, id_weight=0.1),
        terms("one latent", 1, (6, 3), l2=0.25, id_weight=0.6),
        terms("latents that have not moved", 3, (4, 3), change=lambda a, b: (b.clone(), b), l2=2.0, id_weight=0.4),
        terms("latents that have moved by about 0.001", 3, (2, 8), change=lambda a, b: (b + 1e-3 * a, b), l2=1000.0,
              id_weight=0.2),
        terms("one that has moved far and one that has not", 2, (3, 7), l2=0.6, id_weight=0.9,
              change=lambda a, b: (torch.cat([b[:1] + 5, b[1:]]), b)),
        terms("λ_L2 = 0", 3, (2, 4), l2=0.0, id_weight=0.25)],
    wrong=[
        wrong("λ_L2 = 0.008 belongs to the square of the norm. You take the root.",
              root=with_distance(lambda a, b: squares(a, b).sum(1).sqrt())),
        wrong("λ_L2 = 0.008 belongs to the square of the norm. You take the norm.",
              norm=with_distance(lambda a, b: (a - b).flatten(1).norm(dim=1))),
        wrong(ALL.format("take the mean, so a larger latent would cost no more"),
              mean=with_distance(lambda a, b: squares(a, b).mean(1))),
        wrong(ALL.format("sum over w and average over the layers"),
              mean_over_layers=with_distance(lambda a, b: (a - b).square().flatten(2).sum(2).mean(1) if a.ndim > 2 else squares(a,
                  b).sum(1))),
        wrong(ALL.format("average over w and sum over the layers"),
              mean_over_entries=with_distance(lambda a, b: (a - b).square().mean(-1).flatten(1).sum(1) if a.ndim > 2 else squares(a,
                  b).mean(1))),
        wrong(ALL.format("sum absolute values instead of squares"),
              absolute=with_distance(lambda a, b: (a - b).abs().flatten(1).sum(1))),
        wrong("Square every entry, then sum. You sum first, so that entries cancel.",
              squared_sum=with_distance(lambda a, b: (a - b).flatten(1).sum(1).square())),
        wrong("Subtract first, then square. You subtract the squares.",
              difference_of_squares=with_distance(lambda a, b: (a.square() - b.square()).flatten(1).sum(1))),
        wrong("The distance is from w_s: subtract sources. You take the length of w itself.",
              not_subtracted=with_distance(lambda a, b: a.square().flatten(1).sum(1) + 0 * b.sum())),
        wrong("Leave out the ½: Eq. 1 has none.",
              halved=with_distance(lambda a, b: squares(a, b).sum(1) / 2)),
        wrong(ALL.format("take the first layer only"),
              first_layer=with_distance(lambda a, b: squares(a, b)[:, :a.shape[-1]].sum(1))),
        wrong("Every image pays for its own way. You sum over the whole batch, and all images pay for all.", visible=False,
              over_the_batch=with_distance(lambda a, b: squares(a, b).sum())),
        wrong("Every image pays for its own way. You average over the images of the batch.", visible=False,
              batch_average=with_distance(lambda a, b: squares(a, b).sum(1).mean())),
        wrong("Every image pays for its own way, and with a sum. You average over the whole tensor.",
              mean_of_all=with_distance(lambda a, b: squares(a, b).mean())),
        wrong("Return [N]. You sum over the last dimension only, so one value for every layer is left.",
              over_last_dimension=with_distance(lambda a, b: (a - b).square().sum(dim=-1))),
        wrong("You detach latents, so λ_L2 holds nothing back. Only sources stay.",
              latents_detached=with_distance(lambda a, b: squares(a.detach(), b).sum(1))),
        wrong("Multiply ‖w − w_s‖² by l2.",
              l2_forgotten=with_sum(lambda c, d, i, l2, id_weight: c + d + id_weight * i)),
        wrong("Use the parameter l2. You write a number in its place.",
              l2_fixed=with_sum(lambda c, d, i, l2, id_weight: c + 0.008 * d + id_weight * i)),
        wrong("Multiply identity_term by id_weight.",
              id_weight_forgotten=with_sum(lambda c, d, i, l2, id_weight: c + l2 * d + i)),
        wrong("Add λ_ID L_ID. You leave identity_term out.",
              no_identity=with_sum(lambda c, d, i, l2, id_weight: c + l2 * d)),
        wrong("Add λ_L2 ‖w − w_s‖². You leave it out.",
              no_distance=with_sum(lambda c, d, i, l2, id_weight: c + id_weight * i)),
        wrong("You leave out D_CLIP: nothing pulls to the text.",
              no_clip=with_sum(lambda c, d, i, l2, id_weight: 0 * c + l2 * d + id_weight * i)),
        wrong("All three terms are costs: add them. You subtract the distance, which rewards going far.",
              l2_subtracted=with_sum(lambda c, d, i, l2, id_weight: c - l2 * d + id_weight * i)),
        wrong("All three terms are costs: add them. You subtract L_ID, which is 0 for the same person.",
              identity_subtracted=with_sum(lambda c, d, i, l2, id_weight: c + l2 * d - id_weight * i)),
        wrong("clip_term is a distance already: add it. You subtract it from 1.",
              similarity=with_sum(lambda c, d, i, l2, id_weight: 1 - c + l2 * d + id_weight * i)),
        wrong("identity_term is a loss already: add it. You subtract it from 1.",
              identity_similarity=with_sum(lambda c, d, i, l2, id_weight: c + l2 * d + id_weight * (1 - i))),
        wrong("l2 belongs to the distance of latents, id_weight to L_ID. You exchange them.",
              weights_exchanged=with_sum(lambda c, d, i, l2, id_weight: c + id_weight * d + l2 * i)),
        wrong("Each weight belongs to one term. With your brackets l2 multiplies L_ID too.",
              weights_outside=with_sum(lambda c, d, i, l2, id_weight: c + l2 * (d + id_weight * i))),
        wrong("Return one loss for each image, [N]. You sum over the batch.", visible=False,
              one_number=with_sum(lambda c, d, i, l2, id_weight: (c + l2 * d + id_weight * i).sum())),
        wrong("Return one loss for each image, [N]. You average over the batch.", visible=False,
              one_mean=with_sum(lambda c, d, i, l2, id_weight: (c + l2 * d + id_weight * i).mean())),
        wrong("Return the sum of the three terms. You return them apart.", visible=False,
              three_numbers=with_sum(lambda c, d, i, l2, id_weight: torch.stack([c, l2 * d, id_weight * i + 0 * c])))],
    alternatives=[
        lambda clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0: (
            clip_term + losses.latent_distance(latents, sources) * l2 + identity_term * id_weight),
        by_dimensions, image_by_image, by_product, by_vector_norm, by_mse_loss])


EXERCISES = (clip_distance, identity_loss, optimization_loss)
