"""Lesson 09: three mappers for three levels, and the loss that they learn from."""
import torch
import torch.nn.functional as F

from ... import ops
from ...styleclip import mapper
from ..engine import Case, Exercise, ModelCheck, draw, latents, wrong
from .shared import CLIP, embedded, moved

LEVELS = mapper.LEVELS


def layered(what, n, layers, dim, dtype=torch.float64, change=lambda ws: ws, **levels):
    return Case(what, {"ws": change(draw(n, layers, dim, seed=100 * n + layers + dim, dtype=dtype))} | levels)


@torch.no_grad()
def one_level_of_another(generator):
    """A portrait, another (itself two people's, from layer 4 on the second's), and the first with one level of the other."""
    w = generator.mapping(latents(generator, 3, seed=6))
    one, other, third = ops.truncate(w[:, None].repeat(1, generator.num_ws, 1), generator.w_avg, 0.7).split(1)
    other = ops.mix_styles(other, third, 4)
    levels = [level for level, layers in LEVELS.items() if layers.start < generator.num_ws]
    ours, theirs = (dict(mapper.split_levels(ws, levels)) for ws in (one, other))
    mixed = [torch.cat([(theirs if level == chosen else ours)[level] for level in levels], dim=1) for chosen in levels]
    return generator.synthesis(torch.cat([one, other, *mixed]), noise="const")


def cut(*bounds, change=lambda part: part):
    """A split at other layers: (start, end) of coarse, medium and fine. change: what becomes of each part."""
    def function(ws, levels=tuple(LEVELS)):
        slices = dict(zip(LEVELS, (slice(*pair) for pair in bounds)))
        return {level: change(ws[:, slices[level]]) for level in levels}
    return function


RIGHT = (0, 4), (4, 8), (8, None)


def thirds(ws, levels=tuple(LEVELS)):
    return dict(zip(levels, ws.tensor_split(len(levels), dim=1)))


def in_order(ws, levels=tuple(LEVELS)):
    return dict(zip(levels, (ws[:, :4], ws[:, 4:8], ws[:, 8:])))


def all_levels(ws, levels=tuple(LEVELS)):
    return {level: ws[:, layers] for level, layers in LEVELS.items()}


def masked(ws, levels=tuple(LEVELS)):
    layer = torch.arange(ws.shape[1])[:, None]
    return {level: ws * ((layer >= LEVELS[level].start) & (layer < (LEVELS[level].stop or ws.shape[1]))) for level in levels}


def as_a_tuple(ws, levels=tuple(LEVELS)):
    return tuple(ws[:, LEVELS[level]] for level in levels)


def joined(ws, levels=tuple(LEVELS)):
    return torch.cat([ws[:, LEVELS[level]] for level in levels], dim=1)


def over_batch(ws, levels=tuple(LEVELS)):
    return {level: ws[LEVELS[level]] for level in levels}


def over_entries(ws, levels=tuple(LEVELS)):
    return {level: ws[:, :, LEVELS[level]] for level in levels}


def every_third(ws, levels=tuple(LEVELS)):
    return {level: ws[:, list(LEVELS).index(level)::3] for level in levels}


def indices(ws, levels=tuple(LEVELS)):
    return {level: ws[:, [{"coarse": 0, "medium": 4, "fine": 8}[level]]] for level in levels}


END = "A slice leaves out its end. {}"
UNCHANGED = "Only split. {}"


def by_pieces(ws, levels=("coarse", "medium", "fine")):
    parts = {"coarse": ws[:, :4], "medium": ws[:, 4:8], "fine": ws[:, 8:]}
    return {name: parts[name] for name in levels}


def with_ifs(ws, levels=("coarse", "medium", "fine")):
    found = {}
    if "fine" in levels:
        found["fine"] = ws[:, 8:, :].clone()
    if "medium" in levels:
        found["medium"] = ws[:, 4:8, :].contiguous()
    if "coarse" in levels:
        found["coarse"] = ws[:, 0:4, :]
    return found


def by_indices(ws, levels=("coarse", "medium", "fine")):
    level_of = ["coarse"] * 4 + ["medium"] * 4 + ["fine"] * max(0, ws.shape[1] - 8)
    return {level: torch.stack([w for w, its in zip(ws.unbind(dim=1), level_of) if its == level], dim=1) for level in levels}


def by_split(ws, levels=("coarse", "medium", "fine")):
    bounds = [("coarse", 0, 4), ("medium", 4, 8), ("fine", 8, ws.size(1))]
    return {name: torch.narrow(ws, 1, start, min(end, ws.size(1)) - start) for name, start, end in bounds if name in levels}


split_levels = Exercise(
    "09.split_levels", 'split_levels(ws, levels=("coarse", "medium", "fine"))',
    conventions='ws is [N, num_ws, w_dim]. Return a dictionary with one entry [N, k, w_dim] for each name in levels: "coarse" '
                'holds the layers 0–3, "medium" the layers 4–7, "fine" the layers from 8 on, however many there are. ws has at '
                "least one layer of each of the levels (that need not be checked), and its last level may be short. Gradients flow "
                "into ws.",
    hints=("Which dimension are the layers? Python's slices leave out their end, and one without an end goes on to the last.",
           "The slices are ws[:, 0:4], ws[:, 4:8] and ws[:, 8:]. Put them into a dictionary by name, and return only the names in "
           "`levels`."),
    production=mapper.split_levels, returns="tensors", needs=CLIP,
    model_check=ModelCheck(one_level_of_another, who="The experiment", what="mixes the same portraits",
                           titles=("portrait", "another", "coarse", "medium", "fine")),
    cases=[
        layered("three latents of ten layers", 3, 10, 5),
        layered("twenty layers, as at 2048 px", 2, 20, 3),
        layered("nine layers: a single fine one", 3, 9, 4),
        layered("float32 and fourteen layers", 3, 14, 4, torch.float32),
        layered("one latent of twelve layers", 1, 12, 6),
        layered("as many latents, layers and entries", 10, 10, 10),
        layered('four layers, levels=("coarse",)', 3, 4, 5, levels=("coarse",)),
        layered('six layers, levels=("coarse", "medium")', 2, 6, 5, levels=("coarse", "medium")),
        layered('ten layers, levels=("fine",)', 3, 10, 4, levels=("fine",)),
        layered('three layers, levels=("coarse",)', 2, 3, 4, levels=("coarse",)),
        layered('eleven layers, levels=("medium", "fine")', 2, 11, 4, levels=("medium", "fine")),
        layered('twelve layers, levels=["fine", "coarse"], a list in another order', 2, 12, 4, levels=["fine", "coarse"]),
        layered("the same w in every layer", 3, 11, 3, change=lambda ws: ws[:, :1].repeat(1, 11, 1)),
        layered("latents of about 0.00001", 3, 10, 7, change=lambda ws: 1e-5 * ws)],
    wrong=[
        wrong("The levels end at fixed layers, 4 and 8. You split into equal parts.",
              equal_thirds=thirds),
        wrong('Go by the names in `levels`. You hand out the layers in order, so levels=("fine",) gets the first four.',
              visible=False,
              by_order=in_order),
        wrong("Return only the levels that are asked for. You always return three.", all_levels, visible=False),
        wrong(END.format("Coarse is 0:4, medium 4:8; with 0:3 and 4:7 the layers 3 and 7 are in no level."),
              ends_too_early=cut((0, 3), (4, 7), (8, None))),
        wrong(END.format("Coarse is 0:4, medium 4:8. Your levels begin too early."),
              one_layer_less=cut((0, 3), (3, 7), (7, None))),
        wrong(END.format("Coarse is 0:4, medium 4:8. Your neighbouring levels share a layer."),
              ends_too_late=cut((0, 5), (4, 9), (8, None))),
        wrong("Coarse has four layers, 0–3. You give it five, and medium begins at 5.",
              one_layer_more=cut((0, 5), (5, 9), (9, None))),
        wrong("Layers are counted from 0. You count from 1, and layer 0 is in no level.",
              counted_from_one=cut((1, 5), (5, 9), (9, None))),
        wrong("Coarse has four layers, 0–3. You give it two: there are two layers for each resolution.",
              coarse_of_two=cut((0, 2), (2, 8), (8, None))),
        wrong("Medium begins at layer 4.",
              coarse_of_six=cut((0, 6), (6, 8), (8, None))),
        wrong("Coarse are the first layers, those of the lowest resolutions. You begin at the other end.",
              reversed=cut((8, None), (4, 8), (0, 4))),
        wrong("Coarse are the layers 0–3 and medium 4–7. You exchange them.",
              coarse_and_medium_exchanged=cut((4, 8), (0, 4), (8, None))),
        wrong("Each layer is in one level. Your medium begins at 0 again.",
              up_to_here=cut((0, 4), (0, 8), (0, None))),
        wrong("Each layer is in one level. Your coarse and medium go on to the last layer.",
              from_here_on=cut((0, None), (4, None), (8, None))),
        wrong("Fine goes on to the last layer. You end at layer 9, which is the last only at 64 px.", visible=False,
              fine_ends_at_ten=cut((0, 4), (4, 8), (8, 10))),
        wrong("Fine goes on to the last layer. You take four layers.", visible=False,
              fine_of_four=cut((0, 4), (4, 8), (8, 12))),
        wrong("Fine goes on to the last layer. The end −1 leaves it out.", visible=False,
              last_layer_lost=cut((0, 4), (4, 8), (8, -1))),
        wrong("Fine begins at layer 8. You take the last four layers.", visible=False,
              last_four=cut((0, 4), (4, 8), (-4, None))),
        wrong("A level is a run of neighbouring layers. You deal them out in turn.", every_third),
        wrong("A level has several layers. You take one of each.",
              first_of_each=indices),
        wrong("The layers are dimension 1. You cut the batch, dimension 0.", over_batch),
        wrong("The layers are dimension 1. You cut w itself, dimension 2.", over_entries),
        wrong("Return the layers of a level, [N, k, w_dim]. You keep all layers and put zeros into the others.", masked),
        wrong("Keep the layers, [N, k, w_dim]. You make one row of them.",
              flattened=cut(*RIGHT, change=lambda part: part.flatten(1))),
        wrong("Keep the layers, [N, k, w_dim]. You put them into the batch, [N·k, w_dim].",
              layers_as_batch=cut(*RIGHT, change=lambda part: part.flatten(0, 1))),
        wrong(UNCHANGED.format("You average the layers of a level."),
              averaged=cut(*RIGHT, change=lambda part: part.mean(dim=1))),
        wrong(UNCHANGED.format("You replace each layer by the mean of its level."), visible=False,
              averaged_in_place=cut(*RIGHT, change=lambda part: part.mean(dim=1, keepdim=True).expand_as(part))),
        wrong(UNCHANGED.format("You turn the order of the layers within a level."), visible=False,
              layers_flipped=cut(*RIGHT, change=lambda part: part.flip(1))),
        wrong(UNCHANGED.format("The mapper normalises by itself."),
              normalised=cut(*RIGHT, change=lambda part: part * (part.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt())),
        wrong(UNCHANGED.format("The factor 0.1 belongs to the output of the mapper."),
              scaled=cut(*RIGHT, change=lambda part: 0.1 * part)),
        wrong("Return a dictionary, so that a level is found by its name. You return a tuple.", as_a_tuple),
        wrong("Return a dictionary of the parts. You join them again.", joined)],
    alternatives=[
        by_pieces, with_ifs, by_indices, by_split,
        lambda ws, levels=("coarse", "medium", "fine"): (
            {name: part for name, part in zip(("coarse", "medium", "fine"), torch.tensor_split(ws, (4, 8), dim=1)) if name in
            levels})])


def terms(what, n, layers, dim, dtype=torch.float64, identity=True, change=lambda offsets: offsets, **weights):
    seed = 100 * n + 10 * layers + dim
    offsets = change(draw(n, layers, dim, seed=seed, dtype=dtype))
    clip_term, identity_term = (draw(n, seed=seed + i, dtype=dtype).sigmoid() for i in (1, 2))
    given = {"identity_term": identity_term} if identity else {}
    return Case(what, {"clip_term": clip_term, "offsets": offsets} | given | weights)


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


def by_the_norm(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.sum(offsets ** 2, dim=(1, 2)) / (offsets.shape[1] * offsets.shape[2])
    return torch.add(clip_weight * clip_term, l2 * square) + id_weight * identity_term


def image_by_image(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    identity = identity_term if isinstance(identity_term, torch.Tensor) else torch.zeros_like(clip_term)
    return torch.stack([clip_weight * c + l2 * (m * m).mean() + id_weight * i for c, m, i in zip(clip_term, offsets, identity)])


def by_vector_norm(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.linalg.vector_norm(offsets, dim=(1, 2)) ** 2 / offsets[0].numel()
    return clip_weight * clip_term + l2 * square + id_weight * identity_term


def by_mse_loss(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = F.mse_loss(offsets, torch.zeros_like(offsets), reduction="none").mean(dim=[1, 2])
    return clip_weight * clip_term + l2 * square + id_weight * identity_term


def by_einsum(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    square = torch.einsum("nld,nld->n", offsets, offsets) / (offsets.size(1) * offsets.size(2))
    return clip_term.mul(clip_weight) + square.mul(l2) + id_weight * identity_term


mapper_loss = Exercise(
    "09.mapper_loss", "mapper_loss(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1)",
    conventions="clip_term is D_CLIP, [N]; identity_term is L_ID, [N], or 0; offsets are ŵ − w, [N, num_ws, w_dim]. Return [N]: "
                "λ_CLIP D_CLIP + λ_L2 ‖M(w)‖² + λ_ID L_ID. For ‖M(w)‖² take the offsets as they are and, as in the published code, "
                "the *mean* of the squares over all entries of one image, without a root (in latent optimization it is their sum).",
    hints=("Three terms, each with a weight and one value for every image. Which dimensions of [N, num_ws, w_dim] disappear in "
           "‖M(w)‖², and is it a sum or a mean?",
           "offsets.square().mean(dim=(1, 2)) is the second term, [N]. Multiply each term by its own weight and add."),
    production=mapper.mapper_loss, needs=CLIP,
    model_check=ModelCheck(two_offsets, who="A descent in W+", what="finds the same portraits",
                           titles=("portrait", "λ_L2 low", "λ_L2 high") * 2),
    cases=[
        terms("three images of four layers, all weights given", 3, 4, 5, clip_weight=1.7, l2=0.3, id_weight=0.6),
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
    wrong=[
        wrong("λ_L2 = 0.8 belongs to the square. You take the root of the mean square.",
              root=with_square(lambda x: x.square().mean(dim=(1, 2)).sqrt())),
        wrong("λ_L2 = 0.8 belongs to the mean square. You take the norm.",
              norm=with_square(lambda x: x.flatten(1).norm(dim=1))),
        wrong(MEAN.format("sum, as latent optimization does; λ_L2 = 0.8 would then hold everything still"),
              sum=with_square(lambda x: x.square().sum(dim=(1, 2)))),
        wrong(MEAN.format("average over w, but sum over the layers"),
              sum_over_layers=with_square(lambda x: x.square().mean(2).sum(1))),
        wrong(MEAN.format("average over the layers, but sum over w"),
              sum_over_entries=with_square(lambda x: x.square().sum(2).mean(1))),
        wrong(MEAN.format("take the norm of every layer first"),
              norms_of_layers=with_square(lambda x: x.norm(dim=2).mean(1))),
        wrong(MEAN.format("average absolute values instead of squares"),
              absolute=with_square(lambda x: x.abs().mean(dim=(1, 2)))),
        wrong("Square, then average. You average first, so that offsets cancel.",
              mean_squared=with_square(lambda x: x.mean(dim=(1, 2)).square())),
        wrong("Take the mean square. You subtract the mean first, as a variance does.",
              variance=with_square(lambda x: x.flatten(1).var(dim=1, unbiased=False))),
        wrong("Leave out the ½: Eq. 4 has none.",
              halved=with_square(lambda x: x.square().mean(dim=(1, 2)) / 2)),
        wrong("offsets are ŵ − w, with the factor 0.1 in them. You multiply by it again.",
              scaled_again=with_square(lambda x: (0.1 * x).square().mean(dim=(1, 2)))),
        wrong("Take the offsets as they are. You divide the factor 0.1 out of them.",
              unscaled=with_square(lambda x: (10 * x).square().mean(dim=(1, 2)))),
        wrong("Every image pays for its own offsets. You average over the batch too.", visible=False,
              over_the_batch=with_square(lambda x: x.square().mean())),
        wrong("Every image pays for its own offsets. You sum over the whole batch.",
              sum_of_everything=with_square(lambda x: x.square().sum())),
        wrong(MEAN.format("take the first layer only"),
              first_layer=with_square(lambda x: x[:, 0].square().mean(dim=1))),
        wrong("Return [N]. You average over w only, so one value for every layer is left.",
              one_for_each_layer=with_square(lambda x: x.square().mean(dim=2))),
        wrong("You detach the offsets, so λ_L2 holds nothing back.",
              offsets_detached=with_square(lambda x: x.detach().square().mean(dim=(1, 2)))),
        wrong(OWN_WEIGHT.format("clip_weight"),
              clip_weight_forgotten=with_sum(lambda c, s, i, wc, l2, wi: c + l2 * s + wi * i)),
        wrong(OWN_WEIGHT.format("l2"),
              l2_forgotten=with_sum(lambda c, s, i, wc, l2, wi: wc * c + s + wi * i)),
        wrong(OWN_WEIGHT.format("id_weight"),
              id_weight_forgotten=with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s + i)),
        wrong("Use the parameters clip_weight, l2 and id_weight. You write numbers in their place.",
              weights_fixed=with_sum(lambda c, s, i, wc, l2, wi: c + 0.8 * s + 0.1 * i)),
        wrong("Each term has a weight. You add them without.",
              no_weights=with_sum(lambda c, s, i, wc, l2, wi: c + s + i)),
        wrong("Add λ_ID L_ID. You leave identity_term out.",
              no_identity=with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s)),
        wrong("Add λ_L2 ‖M(w)‖². You leave it out.",
              no_square=with_sum(lambda c, s, i, wc, l2, wi: wc * c + wi * i + 0 * s)),
        wrong("You leave out D_CLIP: nothing pulls to the text.",
              no_clip=with_sum(lambda c, s, i, wc, l2, wi: l2 * s + wi * i + 0 * c)),
        wrong("All three terms are costs: add them. You subtract ‖M(w)‖², which rewards long offsets.",
              square_subtracted=with_sum(lambda c, s, i, wc, l2, wi: wc * c - l2 * s + wi * i)),
        wrong("All three terms are costs: add them. You subtract L_ID, which is 0 for the same person.",
              identity_subtracted=with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s - wi * i)),
        wrong("clip_term is a distance already: add it. You subtract it from 1.",
              similarity=with_sum(lambda c, s, i, wc, l2, wi: wc * (1 - c) + l2 * s + wi * i)),
        wrong("identity_term is a loss already: add it. You subtract it from 1.",
              identity_similarity=with_sum(lambda c, s, i, wc, l2, wi: wc * c + l2 * s + wi * (1 - i))),
        wrong("l2 belongs to ‖M(w)‖², id_weight to L_ID. You exchange them.",
              weights_exchanged=with_sum(lambda c, s, i, wc, l2, wi: wc * c + wi * s + l2 * i)),
        wrong("Add the terms. You divide by the sum of the weights.",
              weighted_average=with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i) / (wc + l2 + wi))),
        wrong("Return one loss for each image, [N]. The average over the batch is the training loop's.",
              one_mean=with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i).mean())),
        wrong("Return one loss for each image, [N]. You sum over the batch.", visible=False,
              one_sum=with_sum(lambda c, s, i, wc, l2, wi: (wc * c + l2 * s + wi * i).sum()))],
    alternatives=[
        lambda clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1: (
            clip_term * clip_weight + offsets.flatten(1).pow(2).mean(1) * l2 + identity_term * id_weight),
        by_the_norm, image_by_image,
        lambda clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1: (
            sum([clip_weight * clip_term, l2 * offsets.square().mean(dim=-1).mean(dim=-1), id_weight * identity_term])),
        by_vector_norm, by_mse_loss, by_einsum])


EXERCISES = (split_levels, mapper_loss)
