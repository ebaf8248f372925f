"""Lesson 09: three mappers for three levels, and the loss that they learn from."""
import torch

from .. import ops
from ..styleclip import mapper
from .engine import Exercise
from .lesson08 import CLIP, declare
from .probes import Probe, normal
from .proof import Proof, latents

LEVELS = mapper.LEVELS

# Exercise 1


def layered(what, n, layers, dim, dtype=torch.float64, change=lambda ws: ws, **levels):
    return Probe(what, {"ws": change(normal(n, layers, dim, seed=100 * n + layers + dim, dtype=dtype))} | levels)


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


split_levels = Exercise(
    "09.split_levels", 'split_levels(ws, levels=("coarse", "medium", "fine"))',
    conventions="ws is [N, num_ws, w_dim]. Return a dictionary with one entry [N, k, w_dim] for each name in levels: \"coarse\" holds "
                "the layers 0–3, \"medium\" the layers 4–7, \"fine\" the layers from 8 on, however many there are. ws has at least one "
                "layer of each of the levels (that need not be checked), and its last level may be short. Gradients flow into ws.",
    production=mapper.split_levels, returns="tensors", needs=CLIP,
    probes=[layered("three latents of ten layers", 3, 10, 5),
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
    proof=Proof("split_levels", one_level_of_another, owner=mapper, who="The experiment", what="mixes the same portraits",
                titles=("portrait", "another", "coarse", "medium", "fine")),
    hints=("Which dimension are the layers? Python's slices leave out their end, and one without an end goes on to the last.",
           'The slices are ws[:, 0:4], ws[:, 4:8] and ws[:, 8:]. Put them into a dictionary by name, and return only the names in '
           '`levels`.'))


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
declare(split_levels, {
    "equal_thirds": (True, "The levels end at fixed layers, 4 and 8. You split into equal parts.", thirds),
    "by_order": (False, "Go by the names in `levels`. You hand out the layers in order, so levels=(\"fine\",) gets the first four.", in_order),
    "all_levels": (False, "Return only the levels that are asked for. You always return three.", all_levels),
    "ends_too_early": (True, END.format("Coarse is 0:4, medium 4:8; with 0:3 and 4:7 the layers 3 and 7 are in no level."),
                       cut((0, 3), (4, 7), (8, None))),
    "one_layer_less": (True, END.format("Coarse is 0:4, medium 4:8. Your levels begin too early."), cut((0, 3), (3, 7), (7, None))),
    "ends_too_late": (True, END.format("Coarse is 0:4, medium 4:8. Your neighbouring levels share a layer."), cut((0, 5), (4, 9), (8, None))),
    "one_layer_more": (True, "Coarse has four layers, 0–3. You give it five, and medium begins at 5.", cut((0, 5), (5, 9), (9, None))),
    "counted_from_one": (True, "Layers are counted from 0. You count from 1, and layer 0 is in no level.", cut((1, 5), (5, 9), (9, None))),
    "coarse_of_two": (True, "Coarse has four layers, 0–3. You give it two: there are two layers for each resolution.",
                      cut((0, 2), (2, 8), (8, None))),
    "coarse_of_six": (True, "Medium begins at layer 4.", cut((0, 6), (6, 8), (8, None))),
    "reversed": (True, "Coarse are the first layers, those of the lowest resolutions. You begin at the other end.",
                 cut((8, None), (4, 8), (0, 4))),
    "coarse_and_medium_exchanged": (True, "Coarse are the layers 0–3 and medium 4–7. You exchange them.", cut((4, 8), (0, 4), (8, None))),
    "up_to_here": (True, "Each layer is in one level. Your medium begins at 0 again.", cut((0, 4), (0, 8), (0, None))),
    "from_here_on": (True, "Each layer is in one level. Your coarse and medium go on to the last layer.",
                     cut((0, None), (4, None), (8, None))),
    "fine_ends_at_ten": (False, "Fine goes on to the last layer. You end at layer 9, which is the last only at 64 px.",
                         cut((0, 4), (4, 8), (8, 10))),
    "fine_of_four": (False, "Fine goes on to the last layer. You take four layers.", cut((0, 4), (4, 8), (8, 12))),
    "last_layer_lost": (False, "Fine goes on to the last layer. The end −1 leaves it out.", cut((0, 4), (4, 8), (8, -1))),
    "last_four": (False, "Fine begins at layer 8. You take the last four layers.", cut((0, 4), (4, 8), (-4, None))),
    "every_third": (True, "A level is a run of neighbouring layers. You deal them out in turn.", every_third),
    "first_of_each": (True, "A level has several layers. You take one of each.", indices),
    "over_batch": (True, "The layers are dimension 1. You cut the batch, dimension 0.", over_batch),
    "over_entries": (True, "The layers are dimension 1. You cut w itself, dimension 2.", over_entries),
    "masked": (True, "Return the layers of a level, [N, k, w_dim]. You keep all layers and put zeros into the others.", masked),
    "flattened": (True, "Keep the layers, [N, k, w_dim]. You make one row of them.", cut(*RIGHT, change=lambda part: part.flatten(1))),
    "layers_as_batch": (True, "Keep the layers, [N, k, w_dim]. You put them into the batch, [N·k, w_dim].",
                        cut(*RIGHT, change=lambda part: part.flatten(0, 1))),
    "averaged": (True, UNCHANGED.format("You average the layers of a level."), cut(*RIGHT, change=lambda part: part.mean(dim=1))),
    "averaged_in_place": (False, UNCHANGED.format("You replace each layer by the mean of its level."),
                          cut(*RIGHT, change=lambda part: part.mean(dim=1, keepdim=True).expand_as(part))),
    "layers_flipped": (False, UNCHANGED.format("You turn the order of the layers within a level."), cut(*RIGHT, change=lambda part: part.flip(1))),
    "normalised": (True, UNCHANGED.format("The mapper normalises by itself."),
                   cut(*RIGHT, change=lambda part: part * (part.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt())),
    "scaled": (True, UNCHANGED.format("The factor 0.1 belongs to the output of the mapper."), cut(*RIGHT, change=lambda part: 0.1 * part)),
    "as_a_tuple": (True, "Return a dictionary, so that a level is found by its name. You return a tuple.", as_a_tuple),
    "joined": (True, "Return a dictionary of the parts. You join them again.", joined)})


@split_levels.alternative
def by_pieces(ws, levels=("coarse", "medium", "fine")):
    parts = {"coarse": ws[:, :4], "medium": ws[:, 4:8], "fine": ws[:, 8:]}
    return {name: parts[name] for name in levels}


@split_levels.alternative
def with_ifs(ws, levels=("coarse", "medium", "fine")):
    found = {}
    if "fine" in levels:
        found["fine"] = ws[:, 8:, :].clone()
    if "medium" in levels:
        found["medium"] = ws[:, 4:8, :].contiguous()
    if "coarse" in levels:
        found["coarse"] = ws[:, 0:4, :]
    return found


@split_levels.alternative
def by_indices(ws, levels=("coarse", "medium", "fine")):
    level_of = ["coarse"] * 4 + ["medium"] * 4 + ["fine"] * max(0, ws.shape[1] - 8)
    return {level: torch.stack([w for w, its in zip(ws.unbind(dim=1), level_of) if its == level], dim=1) for level in levels}


@split_levels.alternative
def by_split(ws, levels=("coarse", "medium", "fine")):
    bounds = [("coarse", 0, 4), ("medium", 4, 8), ("fine", 8, ws.size(1))]
    return {name: torch.narrow(ws, 1, start, min(end, ws.size(1)) - start) for name, start, end in bounds if name in levels}


@split_levels.alternative
def by_tensor_split(ws, levels=("coarse", "medium", "fine")):
    return {name: part for name, part in zip(("coarse", "medium", "fine"), torch.tensor_split(ws, (4, 8), dim=1)) if name in levels}


EXERCISES = (split_levels,)
