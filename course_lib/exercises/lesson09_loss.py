"""Lesson 09, exercise 2: the loss of the mapper."""
import torch
import torch.nn.functional as F

from ..styleclip import mapper
from .engine import Exercise
from .lesson08 import CLIP, declare, embedded, moved
from .probes import Probe, normal
from .proof import Proof, latents


def terms(what, n, layers, dim, dtype=torch.float64, identity=True, change=lambda offsets: offsets, **weights):
    seed = 100 * n + 10 * layers + dim
    offsets = change(normal(n, layers, dim, seed=seed, dtype=dtype))
    clip_term, identity_term = (normal(n, seed=seed + i, dtype=dtype).sigmoid() for i in (1, 2))
    return Probe(what, {"clip_term": clip_term, "offsets": offsets} | ({"identity_term": identity_term} if identity else {}) | weights)


def two_offsets(generator):
    """Two portraits, and both with offsets that began a quarter of the way to a third and went a few steps down the loss."""
    w = generator.mapping(latents(generator, 3))[:, None].repeat(1, generator.num_ws, 1)
    sources, goal = w[:2], w[2:]
    known, wanted = (embedded(generator.synthesis(x, noise="const")) for x in (sources, goal))
    found, entries = [], goal.numel()
    for weights in {"clip_weight": 2.0, "l2": 0.005 * entries}, {"l2": 0.05 * entries, "id_weight": 0.6}:
        def loss(features, ws):
            clip_term, identity_term = (1 - torch.cosine_similarity(features, other) for other in (wanted, known))
            return mapper.mapper_loss(clip_term, ws - sources, identity_term, **weights)

        found.append(moved(generator, torch.lerp(sources, goal, 0.25), loss))
    return generator.synthesis(torch.stack([sources, *found], dim=1).flatten(0, 1), noise="const")


mapper_loss = Exercise(
    "09.mapper_loss", "mapper_loss(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1)",
    conventions="clip_term is D_CLIP, [N]; identity_term is L_ID, [N], or 0; offsets are ŵ − w, [N, num_ws, w_dim]. Return [N]: "
                "λ_CLIP D_CLIP + λ_L2 ‖M(w)‖² + λ_ID L_ID. For ‖M(w)‖² take the offsets as they are and, as in the published code, the "
                "*mean* of the squares over all entries of one image, without a root (in latent optimization it is their sum).",
    production=mapper.mapper_loss, needs=CLIP,
    probes=[terms("three images of four layers, all weights given", 3, 4, 5, clip_weight=1.7, l2=0.3, id_weight=0.6),
            terms("the default weights", 2, 5, 6),
            terms("the default weights, no identity term", 3, 3, 7, identity=False),
            terms("no identity term, but a weight of it", 2, 2, 5, identity=False, l2=0.2, id_weight=0.5),
            terms("as many images, layers and entries", 4, 4, 4, clip_weight=0.5, l2=2.0, id_weight=0.3),
            terms("float32", 5, 2, 7, torch.float32, clip_weight=1.5, l2=0.5, id_weight=0.4),
            terms("one image", 1, 6, 3, clip_weight=2.0, l2=0.25, id_weight=0.7),
            terms("one layer", 3, 1, 8, clip_weight=0.4, l2=1.5, id_weight=1.2),
            terms("offsets of 0", 3, 4, 3, change=lambda offsets: 0 * offsets, clip_weight=0.6, l2=2.0, id_weight=0.4),
            terms("offsets of about 0.001", 3, 2, 6, change=lambda offsets: 1e-3 * offsets, l2=1e6, id_weight=0.2),
            terms("λ_L2 = 0 and λ_ID = 0", 3, 2, 5, l2=0.0, id_weight=0.0),
            terms("one image that moves and two that do not", 3, 3, 5, l2=1.2, id_weight=0.7,
                  change=lambda offsets: offsets * torch.tensor([1.0, 0, 0], dtype=offsets.dtype)[:, None, None]),
            terms("only half of the layers move", 3, 4, 7, l2=1.4, id_weight=0.9,
                  change=lambda offsets: offsets * torch.tensor([1.0, 1, 0, 0], dtype=offsets.dtype)[:, None]),
            terms("constant offsets, λ_CLIP = 0", 2, 3, 4, change=lambda offsets: 0 * offsets + 0.5, clip_weight=0.0)],
    proof=Proof("mapper_loss", two_offsets, owner=mapper, who="A descent in W+", what="finds the same portraits",
                titles=("portrait", "λ_L2 low", "λ_L2 high") * 2),
    hints=("Three terms, each with a weight and one value for every image. Which dimensions of [N, num_ws, w_dim] disappear in "
           "‖M(w)‖², and is it a sum or a mean?",
           "offsets.square().mean(dim=(1, 2)) is the second term, [N]. Multiply each term by its own weight and add."))


def with_square(square):
    """The right loss, but with something else for ‖M(w)‖²: square(offsets)."""
    return lambda clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1: (
        clip_weight * clip_term + l2 * square(offsets) + id_weight * identity_term)


def with_sum(total):
    """The right square, but another sum: total(clip, square, identity, clip_weight, l2, id_weight)."""
    return lambda clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1: (
        total(clip_term, offsets.square().mean(dim=(1, 2)), identity_term, clip_weight, l2, id_weight))


MEAN = "Here ‖M(w)‖² is a mean over all entries of one image. You {}."
OWN_WEIGHT = "Use the parameter {}. You leave it out."
declare(mapper_loss, {
    "root": (True, "λ_L2 = 0.8 belongs to the square. You take the root of the mean square.",
             with_square(lambda x: x.square().mean(dim=(1, 2)).sqrt())),
    "norm": (True, "λ_L2 = 0.8 belongs to the mean square. You take the norm.", with_square(lambda x: x.flatten(1).norm(dim=1))),
    "sum": (True, MEAN.format("sum, as latent optimization does; λ_L2 = 0.8 would then hold everything still"),
            with_square(lambda x: x.square().sum(dim=(1, 2)))),
    "sum_over_layers": (True, MEAN.format("average over w, but sum over the layers"), with_square(lambda x: x.square().mean(2).sum(1))),
    "sum_over_entries": (True, MEAN.format("average over the layers, but sum over w"), with_square(lambda x: x.square().sum(2).mean(1))),
    "norms_of_layers": (True, MEAN.format("take the norm of every layer first"), with_square(lambda x: x.norm(dim=2).mean(1))),
    "absolute": (True, MEAN.format("average absolute values instead of squares"), with_square(lambda x: x.abs().mean(dim=(1, 2)))),
    "mean_squared": (True, "Square, then average. You average first, so that offsets cancel.",
                     with_square(lambda x: x.mean(dim=(1, 2)).square())),
    "variance": (True, "Take the mean square. You subtract the mean first, as a variance does.",
                 with_square(lambda x: x.flatten(1).var(dim=1, unbiased=False))),
    "halved": (True, "Leave out the ½: Eq. 4 has none.", with_square(lambda x: x.square().mean(dim=(1, 2)) / 2)),
    "scaled_again": (True, "offsets are ŵ − w, with the factor 0.1 in them. You multiply by it again.",
                     with_square(lambda x: (0.1 * x).square().mean(dim=(1, 2)))),
    "unscaled": (True, "Take the offsets as they are. You divide the factor 0.1 out of them.",
                 with_square(lambda x: (10 * x).square().mean(dim=(1, 2)))),
    "over_the_batch": (False, "Every image pays for its own offsets. You average over the batch too.", with_square(lambda x: x.square().mean())),
    "sum_of_everything": (True, "Every image pays for its own offsets. You sum over the whole batch.", with_square(lambda x: x.square().sum())),
    "first_layer": (True, MEAN.format("take the first layer only"), with_square(lambda x: x[:, 0].square().mean(dim=1))),
    "one_for_each_layer": (True, "Return [N]. You average over w only, so one value for every layer is left.",
                           with_square(lambda x: x.square().mean(dim=2))),
    "offsets_detached": (True, "You detach the offsets, so λ_L2 holds nothing back.",
                         with_square(lambda x: x.detach().square().mean(dim=(1, 2)))),
    "clip_weight_forgotten": (True, OWN_WEIGHT.format("clip_weight"), with_sum(lambda c, s, i, wc, l2, wi: c + l2 * s + wi * i)),
    "l2_forgotten": (True, OWN_WEIGHT.format("l2"), with_sum(lambda c, s, i, wc, l2, wi: wc * c + s + wi * i)),
    "id_weight_forgotten": (True, OWN_WEIGHT.format("id_weight"), with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s + i)),
    "weights_fixed": (True, "Use the parameters clip_weight, l2 and id_weight. You write numbers in their place.",
                      with_sum(lambda c, s, i, wc, l2, wi: c + 0.8 * s + 0.1 * i)),
    "no_weights": (True, "Each term has a weight. You add them without.", with_sum(lambda c, s, i, wc, l2, wi: c + s + i)),
    "no_identity": (True, "Add λ_ID L_ID. You leave identity_term out.", with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s)),
    "no_square": (True, "Add λ_L2 ‖M(w)‖². You leave it out.", with_sum(lambda c, s, i, wc, l2, wi: wc * c + wi * i + 0 * s)),
    "no_clip": (True, "You leave out D_CLIP: nothing pulls to the text.", with_sum(lambda c, s, i, wc, l2, wi: l2 * s + wi * i + 0 * c)),
    "square_subtracted": (True, "All three terms are costs: add them. You subtract ‖M(w)‖², which rewards long offsets.",
                          with_sum(lambda c, s, i, wc, l2, wi: wc * c - l2 * s + wi * i)),
    "identity_subtracted": (True, "All three terms are costs: add them. You subtract L_ID, which is 0 for the same person.",
                            with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s - wi * i)),
    "similarity": (True, "clip_term is a distance already: add it. You subtract it from 1.",
                   with_sum(lambda c, s, i, wc, l2, wi: wc * (1 - c) + l2 * s + wi * i)),
    "identity_similarity": (True, "identity_term is a loss already: add it. You subtract it from 1.",
                            with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s + wi * (1 - i))),
    "weights_exchanged": (True, "l2 belongs to ‖M(w)‖², id_weight to L_ID. You exchange them.",
                          with_sum(lambda c, s, i, wc, l2, wi: wc * c + wi * s + l2 * i)),
    "weighted_average": (True, "Add the terms. You divide by the sum of the weights.",
                         with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i) / (wc + l2 + wi))),
    "one_mean": (True, "Return one loss for each image, [N]. The average over the batch is the training loop's.",
                 with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i).mean())),
    "one_sum": (False, "Return one loss for each image, [N]. You sum over the batch.",
                with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i).sum()))})


@mapper_loss.alternative
def flat(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    return clip_term * clip_weight + offsets.flatten(1).pow(2).mean(1) * l2 + identity_term * id_weight


@mapper_loss.alternative
def by_the_norm(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.sum(offsets ** 2, dim=(1, 2)) / (offsets.shape[1] * offsets.shape[2])
    return torch.add(clip_weight * clip_term, l2 * square) + id_weight * identity_term


@mapper_loss.alternative
def image_by_image(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    identity = identity_term if isinstance(identity_term, torch.Tensor) else torch.zeros_like(clip_term)
    return torch.stack([clip_weight * c + l2 * (m * m).mean() + id_weight * i for c, m, i in zip(clip_term, offsets, identity)])


@mapper_loss.alternative
def by_mean_of_means(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    return sum([clip_weight * clip_term, l2 * offsets.square().mean(dim=-1).mean(dim=-1), id_weight * identity_term])


@mapper_loss.alternative
def by_vector_norm(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.linalg.vector_norm(offsets, dim=(1, 2)) ** 2 / offsets[0].numel()
    return clip_weight * clip_term + l2 * square + id_weight * identity_term


@mapper_loss.alternative
def by_mse_loss(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = F.mse_loss(offsets, torch.zeros_like(offsets), reduction="none").mean(dim=[1, 2])
    return clip_weight * clip_term + l2 * square + id_weight * identity_term


@mapper_loss.alternative
def by_einsum(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.einsum("nld,nld->n", offsets, offsets) / (offsets.size(1) * offsets.size(2))
    return clip_term.mul(clip_weight) + square.mul(l2) + id_weight * identity_term


EXERCISES = (mapper_loss,)
