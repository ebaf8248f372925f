"""Lesson 00: truncation."""
import torch

from ... import ops
from ..engine import Exercise, ModelCheck, case, draw, latents, wrong


@torch.no_grad()
def four_truncations(generator):
    """One portrait each for ψ = 0.5, ψ = −0.5, ψ = 0.3 in the first half of the layers, and ψ = 0.3 in none."""
    settings = ((0.5, None), (-0.5, None), (0.3, generator.num_ws // 2), (0.3, 0))
    z = latents(generator, len(settings))
    return torch.cat([generator(z[[i]], psi=psi, cutoff=cutoff, noise="const") for i, (psi, cutoff) in enumerate(settings)])


def inputs(n, layers, dim):
    seed = 10 * n + layers
    return {"ws": draw(n, layers, dim, seed=seed), "w_avg": draw(dim, seed=seed + 1)}


def truncated(ws, w_avg, psi):
    return w_avg + psi * (ws - w_avg)


def joined(first, then, cutoff):
    """The layers of one tensor before the cutoff, and those of another from there on."""
    return first if cutoff is None else torch.cat([first[:, :cutoff], then[:, cutoff:]], dim=1)


def with_cutoff(formula):
    return lambda ws, w_avg, psi, cutoff=None: joined(formula(ws, w_avg, psi), ws, cutoff)


def without_cutoff(formula):
    return lambda ws, w_avg, psi, cutoff=None: formula(ws, w_avg, psi)


WRONG_FORMULAS = {
    "wrong_side": ("ψ acts from the wrong side: at ψ = 0 nothing but w̄ should be left, and at ψ = 1 all of w.",
                   lambda ws, w_avg, psi: ws + psi * (w_avg - ws)),
    "towards_zero": ("You pull towards zero. Pull towards w̄.", lambda ws, w_avg, psi: psi * ws),
    "mean_not_subtracted": ("Subtract w̄ from w before you multiply by ψ.", lambda ws, w_avg, psi: w_avg + psi * ws),
    "mean_not_added": ("You subtract w̄, and do not add it again.", lambda ws, w_avg, psi: psi * (ws - w_avg))}


def by_lerp(ws, w_avg, psi, cutoff=None):
    result = ws.clone()
    result[:, :cutoff] = torch.lerp(w_avg.expand_as(ws), ws, float(psi))[:, :cutoff]
    return result


def one_psi_for_each_layer(ws, w_avg, psi, cutoff=None):
    layers = ws.shape[1]
    share = torch.tensor([psi if cutoff is None or i < cutoff else 1 for i in range(layers)], dtype=ws.dtype)[:, None]
    return share * ws + (1 - share) * w_avg


def layer_by_layer(ws, w_avg, psi, cutoff=None):
    limit = ws.shape[1] if cutoff is None else cutoff
    return torch.stack([w_avg + psi * (w - w_avg) if i < limit else w for i, w in enumerate(ws.unbind(1))], dim=1)


truncate = Exercise(
    "00.truncate", "truncate(ws, w_avg, psi, cutoff=None)",
    conventions="ws is [N, num_ws, w_dim], w_avg is [w_dim]. Return w̄ + ψ (w − w̄) in the layers before `cutoff` (in all "
                "layers if it is None) and w in the others, as a new tensor. ψ is any number. Gradients must pass through it.",
    hints=("Look at one number first: where do you get when you start at w̄ and walk the share ψ of the way to w?",
           "Truncate all layers, then use torch.cat to put the first `cutoff` layers of the result before the rest of ws. "
           "Ask for `cutoff is None`: 0 is a cutoff too."),
    production=ops.truncate,
    model_check=ModelCheck(four_truncations, titles=("ψ 0.5", "ψ −0.5", "half: ψ 0.3", "cutoff 0")),
    cases=[
        case("three latents, ψ = 0.7", **inputs(3, 6, 5), psi=0.7),
        case("ψ = 0.3 in float32", **inputs(2, 4, 7), psi=0.3).float(),
        case("ψ = 1, which changes nothing", **inputs(3, 5, 4), psi=1),
        case("ψ = 0, which leaves only w̄", **inputs(3, 5, 4), psi=0),
        case("ψ = −1", **inputs(2, 3, 5), psi=-1),
        case("ψ = 1.5", **inputs(1, 6, 3), psi=1.5),
        case("ψ = 0.3 and cutoff = 2", **inputs(3, 6, 5), psi=0.3, cutoff=2),
        case("ψ = 0.01 and cutoff = 1, of four layers and four latents", **inputs(4, 4, 4), psi=0.01, cutoff=1),
        case("cutoff = 4 of five layers in float32", **inputs(3, 5, 4), psi=-0.5, cutoff=4).float(),
        case("cutoff = 0: no layer is truncated", **inputs(3, 6, 5), psi=0.3, cutoff=0),
        case("ψ = 0 and cutoff = 2", **inputs(3, 5, 6), psi=0, cutoff=2),
        case("ψ = 2 and cutoff = 3", **inputs(2, 6, 4), psi=2, cutoff=3),
        case("ψ = 0.99 and a cutoff equal to the number of layers", **inputs(2, 4, 5), psi=0.99, cutoff=4),
        case("latents that all lie at w̄", ws=draw(1, 1, 4, seed=5).expand(3, 6, 4), w_avg=draw(4, seed=5), psi=0.3)],
    wrong=[
        *(wrong(message, **{name: with_cutoff(formula)}) for name, (message, formula) in WRONG_FORMULAS.items()),
        *(wrong(f"{message} And you ignore `cutoff`: from that layer on, w stays as it is.",
                **{f"{name}_and_cutoff_ignored": without_cutoff(formula)}) for name, (message, formula) in WRONG_FORMULAS.items()),
        wrong("Use w_avg, not the mean of these few latents.",
              mean_of_the_batch=with_cutoff(lambda ws, w_avg, psi: truncated(ws, ws.mean(dim=0, keepdim=True) + 0 * w_avg, psi))),
        wrong("You ignore `cutoff`: from that layer on, w stays as it is.",
              cutoff_ignored=without_cutoff(truncated)),
        wrong("`if cutoff` is false for 0 as well. Ask for `cutoff is None`.",
              zero_cutoff_ignored=lambda ws, w_avg, psi, cutoff=None: joined(truncated(ws, w_avg, psi), ws, cutoff or None)),
        wrong("You truncate the layers from `cutoff` on. Truncate those before it.",
              layers_after_the_cutoff=lambda ws, w_avg, psi, cutoff=None: joined(ws, truncated(ws, w_avg, psi), cutoff or 0)),
        wrong("You truncate one layer too many: layer `cutoff` itself stays as it is.",
              one_layer_too_many=lambda ws, w_avg, psi, cutoff=None: joined(
                  truncated(ws, w_avg, psi), ws, None if cutoff is None else cutoff + 1)),
        wrong("You truncate one layer too few: `cutoff` layers are truncated, numbers 0 to cutoff − 1.",
              one_layer_too_few=lambda ws, w_avg, psi, cutoff=None: joined(
                  truncated(ws, w_avg, psi), ws, None if cutoff is None else max(cutoff - 1, 0))),
        wrong("`cutoff` counts layers, dimension 1 of ws. You cut the batch, dimension 0.",
              cutoff_of_the_batch=lambda ws, w_avg, psi, cutoff=None: joined(
                  truncated(ws, w_avg, psi).transpose(0, 1), ws.transpose(0, 1), cutoff).transpose(0, 1)),
        wrong("`cutoff` counts layers, dimension 1 of ws. You cut w itself, dimension 2.",
              cutoff_of_the_features=lambda ws, w_avg, psi, cutoff=None: joined(truncated(ws, w_avg, psi).mT, ws.mT, cutoff).mT),
        wrong("You drop the layers after `cutoff`. Keep them, as they are in ws.",
              layers_dropped=lambda ws, w_avg, psi, cutoff=None: truncated(ws, w_avg, psi)[:, :cutoff]),
        wrong("From `cutoff` on you return w̄. Return w there.",
              mean_after_the_cutoff=lambda ws, w_avg, psi, cutoff=None: joined(
                  truncated(ws, w_avg, psi), w_avg.expand_as(ws), cutoff)),
        wrong("Do not limit ψ: −1 leads to the other side of w̄, 1.5 beyond w.",
              psi_clamped=with_cutoff(lambda ws, w_avg, psi: truncated(ws, w_avg, min(max(psi, 0), 1)))),
        wrong("Do not limit ψ: −1 leads to the other side of w̄, 1.5 beyond w.", visible=False,
              psi_at_most_1=with_cutoff(lambda ws, w_avg, psi: truncated(ws, w_avg, min(psi, 1)))),
        wrong("`cutoff` counts at every ψ, at 0 too: the layers from `cutoff` on stay as they are in ws.", visible=False,
              cutoff_ignored_at_0=lambda ws, w_avg, psi, cutoff=None: joined(
                  truncated(ws, w_avg, psi), ws, None if psi == 0 else cutoff))],
    alternatives=[by_lerp, one_psi_for_each_layer, layer_by_layer])

EXERCISES = (truncate,)
