"""Lesson 08, exercise 3: the whole loss of latent optimization."""
import torch
import torch.nn.functional as F

from ..styleclip import losses
from .engine import Exercise
from .lesson08 import CLIP, declare, embedded, moved
from .probes import Probe, normal
from .proof import Proof, latents


def terms(what, n, shape, dtype=torch.float64, identity=True, change=lambda a, b: (a, b), **weights):
    """shape: that of one latent. change: what becomes of latents and sources."""
    seed = 100 * n + sum(shape)
    a, b = change(*(normal(n, *shape, seed=seed + i, dtype=dtype) for i in (0, 1)))
    clip_term, identity_term = (normal(n, seed=seed + i, dtype=dtype).sigmoid() for i in (2, 3))
    return Probe(what, {"clip_term": clip_term, "latents": a, "sources": b}
                 | ({"identity_term": identity_term} if identity else {}) | weights, fixed=("sources",))


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


optimization_loss = Exercise(
    "08.optimization_loss", "optimization_loss(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0)",
    conventions="clip_term is D_CLIP, [N]; identity_term is L_ID, [N], or 0. latents (w) and sources (w_s) are tensors [N, …] of equal "
                "shape, [N, num_ws, w_dim] in W+ (the library's function also takes lists of them, for styles). Return [N]: "
                "D_CLIP + λ_L2 ‖w − w_s‖² + λ_ID L_ID, with the square of the norm as in the published code: the *sum* of squares "
                "over all entries of one image, without a root. Gradients flow into all but w_s, which stays where it is.",
    production=losses.optimization_loss, needs=CLIP,
    probes=[terms("three latents of four layers, all weights given", 3, (4, 5), l2=0.3, id_weight=0.7),
            terms("the default weights", 2, (5, 6)),
            terms("no identity term", 3, (3, 6), identity=False, l2=0.5),
            terms("no identity term, but a weight of it", 2, (2, 5), identity=False, l2=0.2, id_weight=0.5),
            terms("w of one layer, [N, w_dim]", 4, (4,), l2=0.4, id_weight=1.5),
            terms("as many latents, layers and entries", 4, (4, 4), l2=0.1, id_weight=0.3),
            terms("float32", 5, (2, 7), torch.float32, l2=0.02, id_weight=0.1),
            terms("one latent", 1, (6, 3), l2=0.25, id_weight=0.6),
            terms("latents that have not moved", 3, (4, 3), change=lambda a, b: (b.clone(), b), l2=2.0, id_weight=0.4),
            terms("latents that have moved by about 0.001", 3, (2, 8), change=lambda a, b: (b + 1e-3 * a, b), l2=1000.0, id_weight=0.2),
            terms("one that has moved far and one that has not", 2, (3, 7), l2=0.6, id_weight=0.9,
                  change=lambda a, b: (torch.cat([b[:1] + 5, b[1:]]), b)),
            terms("λ_L2 = 0", 3, (2, 4), l2=0.0, id_weight=0.25)],
    proof=Proof("optimization_loss", three_edits, owner=losses, who="A descent in W+", what="finds the same portraits",
                titles=("source", "default", "λ_L2 0.2", "λ_ID 0.8", "goal")),
    hints=("Three terms, each with one value for every image. The first and the last are there already: only ‖w − w_s‖² has to be "
           "computed. Over which dimensions does it sum?",
           "(latents − sources).square().flatten(1).sum(dim=1) is ‖w − w_s‖², [N]. Multiply it by l2 and identity_term by "
           "id_weight, and add all three."))


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
declare(optimization_loss, {
    "root": (True, "λ_L2 = 0.008 belongs to the square of the norm. You take the root.", with_distance(lambda a, b: squares(a, b).sum(1).sqrt())),
    "norm": (True, "λ_L2 = 0.008 belongs to the square of the norm. You take the norm.",
             with_distance(lambda a, b: (a - b).flatten(1).norm(dim=1))),
    "mean": (True, ALL.format("take the mean, so a larger latent would cost no more"), with_distance(lambda a, b: squares(a, b).mean(1))),
    "mean_over_layers": (True, ALL.format("sum over w and average over the layers"),
                         with_distance(lambda a, b: (a - b).square().flatten(2).sum(2).mean(1) if a.ndim > 2 else squares(a, b).sum(1))),
    "mean_over_entries": (True, ALL.format("average over w and sum over the layers"),
                          with_distance(lambda a, b: (a - b).square().mean(-1).flatten(1).sum(1) if a.ndim > 2 else squares(a, b).mean(1))),
    "absolute": (True, ALL.format("sum absolute values instead of squares"), with_distance(lambda a, b: (a - b).abs().flatten(1).sum(1))),
    "squared_sum": (True, "Square every entry, then sum. You sum first, so that entries cancel.",
                    with_distance(lambda a, b: (a - b).flatten(1).sum(1).square())),
    "difference_of_squares": (True, "Subtract first, then square. You subtract the squares.",
                              with_distance(lambda a, b: (a.square() - b.square()).flatten(1).sum(1))),
    "not_subtracted": (True, "The distance is from w_s: subtract sources. You take the length of w itself.",
                       with_distance(lambda a, b: a.square().flatten(1).sum(1) + 0 * b.sum())),
    "halved": (True, "Leave out the ½: Eq. 1 has none.", with_distance(lambda a, b: squares(a, b).sum(1) / 2)),
    "first_layer": (True, ALL.format("take the first layer only"), with_distance(lambda a, b: squares(a, b)[:, :a.shape[-1]].sum(1))),
    "over_the_batch": (False, "Every image pays for its own way. You sum over the whole batch, and all images pay for all.",
                       with_distance(lambda a, b: squares(a, b).sum())),
    "batch_average": (False, "Every image pays for its own way. You average over the images of the batch.",
                      with_distance(lambda a, b: squares(a, b).sum(1).mean())),
    "mean_of_all": (True, "Every image pays for its own way, and with a sum. You average over the whole tensor.",
                    with_distance(lambda a, b: squares(a, b).mean())),
    "over_last_dimension": (True, "Return [N]. You sum over the last dimension only, so one value for every layer is left.",
                            with_distance(lambda a, b: (a - b).square().sum(dim=-1))),
    "latents_detached": (True, "You detach latents, so λ_L2 holds nothing back. Only sources stay.",
                         with_distance(lambda a, b: squares(a.detach(), b).sum(1))),
    "l2_forgotten": (True, "Multiply ‖w − w_s‖² by l2.", with_sum(lambda c, d, i, l2, id_weight: c + d + id_weight * i)),
    "l2_fixed": (True, "Use the parameter l2. You write a number in its place.",
                 with_sum(lambda c, d, i, l2, id_weight: c + 0.008 * d + id_weight * i)),
    "id_weight_forgotten": (True, "Multiply identity_term by id_weight.", with_sum(lambda c, d, i, l2, id_weight: c + l2 * d + i)),
    "no_identity": (True, "Add λ_ID L_ID. You leave identity_term out.", with_sum(lambda c, d, i, l2, id_weight: c + l2 * d)),
    "no_distance": (True, "Add λ_L2 ‖w − w_s‖². You leave it out.", with_sum(lambda c, d, i, l2, id_weight: c + id_weight * i)),
    "no_clip": (True, "You leave out D_CLIP: nothing pulls to the text.", with_sum(lambda c, d, i, l2, id_weight: 0 * c + l2 * d + id_weight * i)),
    "l2_subtracted": (True, "All three terms are costs: add them. You subtract the distance, which rewards going far.",
                      with_sum(lambda c, d, i, l2, id_weight: c - l2 * d + id_weight * i)),
    "identity_subtracted": (True, "All three terms are costs: add them. You subtract L_ID, which is 0 for the same person.",
                            with_sum(lambda c, d, i, l2, id_weight: c + l2 * d - id_weight * i)),
    "similarity": (True, "clip_term is a distance already: add it. You subtract it from 1.",
                   with_sum(lambda c, d, i, l2, id_weight: 1 - c + l2 * d + id_weight * i)),
    "identity_similarity": (True, "identity_term is a loss already: add it. You subtract it from 1.",
                            with_sum(lambda c, d, i, l2, id_weight: c + l2 * d + id_weight * (1 - i))),
    "weights_exchanged": (True, "l2 belongs to the distance of latents, id_weight to L_ID. You exchange them.",
                          with_sum(lambda c, d, i, l2, id_weight: c + id_weight * d + l2 * i)),
    "weights_outside": (True, "Each weight belongs to one term. With your brackets l2 multiplies L_ID too.",
                        with_sum(lambda c, d, i, l2, id_weight: c + l2 * (d + id_weight * i))),
    "one_number": (False, "Return one loss for each image, [N]. You sum over the batch.",
                   with_sum(lambda c, d, i, l2, id_weight: (c + l2 * d + id_weight * i).sum())),
    "one_mean": (False, "Return one loss for each image, [N]. You average over the batch.",
                 with_sum(lambda c, d, i, l2, id_weight: (c + l2 * d + id_weight * i).mean())),
    "three_numbers": (False, "Return the sum of the three terms. You return them apart.",
                      with_sum(lambda c, d, i, l2, id_weight: torch.stack([c, l2 * d, id_weight * i + 0 * c])))})


@optimization_loss.alternative
def from_the_librarys_distance(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    return clip_term + losses.latent_distance(latents, sources) * l2 + identity_term * id_weight


@optimization_loss.alternative
def by_dimensions(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    dims = tuple(range(1, latents.ndim))
    return clip_term + l2 * ((latents - sources) ** 2).sum(dim=dims) + id_weight * identity_term


@optimization_loss.alternative
def image_by_image(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    loss = torch.stack([c + l2 * torch.sum(torch.pow(a - b, 2)) for c, a, b in zip(clip_term, latents, sources)])
    return loss + id_weight * identity_term if id_weight else loss


@optimization_loss.alternative
def by_product(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    way = (latents - sources).reshape(len(latents), -1)
    loss = clip_term.clone()
    loss += l2 * torch.einsum("ni,ni->n", way, way)
    loss += id_weight * identity_term
    return loss


@optimization_loss.alternative
def by_vector_norm(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    away = torch.linalg.vector_norm((latents - sources.detach()).flatten(1), dim=1)
    return clip_term + l2 * away ** 2 + id_weight * identity_term


@optimization_loss.alternative
def by_mse_loss(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    squared = F.mse_loss(latents, sources, reduction="none").flatten(1)
    return clip_term + l2 * squared.mean(dim=1) * squared.shape[1] + id_weight * identity_term


EXERCISES = (optimization_loss,)
