"""Lesson 00: truncation."""
import torch

from .. import ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, latents


@torch.no_grad()
def four_truncations(generator):
    """One portrait each for ψ = 0.5, ψ = −0.5, ψ = 0.3 in the first half of the layers, and ψ = 0.3 in none."""
    settings = ((0.5, None), (-0.5, None), (0.3, generator.num_ws // 2), (0.3, 0))
    z = latents(generator, len(settings))
    return torch.cat([generator(z[[i]], psi=psi, cutoff=cutoff, noise="const") for i, (psi, cutoff) in enumerate(settings)])


def probe(what, n, layers, dim, psi, dtype=torch.float64, **cutoff):
    seed = 10 * n + layers
    return Probe(what, {"ws": normal(n, layers, dim, seed=seed, dtype=dtype),
                        "w_avg": normal(dim, seed=seed + 1, dtype=dtype), "psi": psi, **cutoff})


truncate = Exercise(
    "00.truncate", "truncate(ws, w_avg, psi, cutoff=None)",
    conventions="ws is [N, num_ws, w_dim], w_avg is [w_dim]. Return w̄ + ψ (w − w̄) in the layers before `cutoff` (in all "
                "layers if it is None) and w in the others, as a new tensor. ψ is any number. Gradients must pass through it.",
    production=ops.truncate,
    probes=[probe("three latents, ψ = 0.7", 3, 6, 5, 0.7),
            probe("ψ = 0.3 in float32", 2, 4, 7, 0.3, torch.float32),
            probe("ψ = 1, which changes nothing", 3, 5, 4, 1),
            probe("ψ = 0, which leaves only w̄", 3, 5, 4, 0),
            probe("ψ = −1", 2, 3, 5, -1),
            probe("ψ = 1.5", 1, 6, 3, 1.5),
            probe("ψ = 0.3 and cutoff = 2", 3, 6, 5, 0.3, cutoff=2),
            probe("ψ = 0.01 and cutoff = 1, of four layers and four latents", 4, 4, 4, 0.01, cutoff=1),
            probe("cutoff = 4 of five layers in float32", 3, 5, 4, -0.5, torch.float32, cutoff=4),
            probe("cutoff = 0: no layer is truncated", 3, 6, 5, 0.3, cutoff=0),
            probe("ψ = 0 and cutoff = 2", 3, 5, 6, 0, cutoff=2),
            probe("ψ = 2 and cutoff = 3", 2, 6, 4, 2, cutoff=3),
            probe("ψ = 0.99 and a cutoff equal to the number of layers", 2, 4, 5, 0.99, cutoff=4),
            Probe("latents that all lie at w̄", {"ws": normal(1, 1, 4, seed=5).expand(3, 6, 4), "w_avg": normal(4, seed=5),
                                                "psi": 0.3})],
    proof=Proof("truncate", four_truncations, titles=("ψ 0.5", "ψ −0.5", "half: ψ 0.3", "cutoff 0")),
    hints=("Look at one number first: where do you get when you start at w̄ and walk the share ψ of the way to w?",
           "Truncate all layers, then use torch.cat to put the first `cutoff` layers of the result before the rest of ws. "
           "Ask for `cutoff is None`: 0 is a cutoff too."))
mistake = truncate.mistake


def with_cutoff(ws, truncated, cutoff):
    return truncated if cutoff is None else torch.cat([truncated[:, :cutoff], ws[:, cutoff:]], dim=1)


@mistake("ψ acts from the wrong side: at ψ = 0 nothing but w̄ should be left, and at ψ = 1 all of w.")
def wrong_side(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, ws + psi * (w_avg - ws), cutoff)


@mistake("You pull towards zero. Pull towards w̄.")
def towards_zero(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, psi * ws, cutoff)


@mistake("Subtract w̄ from w before you multiply by ψ.")
def mean_not_subtracted(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + psi * ws, cutoff)


@mistake("You subtract w̄, and do not add it again.")
def mean_not_added(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, psi * (ws - w_avg), cutoff)


@mistake("Use w_avg, not the mean of these few latents.")
def mean_of_the_batch(ws, w_avg, psi, cutoff=None):
    mean = ws.mean(dim=0, keepdim=True) + 0 * w_avg
    return with_cutoff(ws, mean + psi * (ws - mean), cutoff)


@mistake("You ignore `cutoff`: from that layer on, w stays as it is.")
def cutoff_ignored(ws, w_avg, psi, cutoff=None):
    return w_avg + psi * (ws - w_avg)


@mistake("`if cutoff` is false for 0 as well. Ask for `cutoff is None`.")
def zero_cutoff_ignored(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + psi * (ws - w_avg), cutoff or None)


@mistake("You truncate the layers from `cutoff` on. Truncate those before it.")
def layers_after_the_cutoff(ws, w_avg, psi, cutoff=None):
    truncated = w_avg + psi * (ws - w_avg)
    return truncated if cutoff is None else torch.cat([ws[:, :cutoff], truncated[:, cutoff:]], dim=1)


@mistake("You truncate one layer too many: layer `cutoff` itself stays as it is.")
def one_layer_too_many(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + psi * (ws - w_avg), None if cutoff is None else cutoff + 1)


@mistake("You truncate one layer too few: `cutoff` layers are truncated, numbers 0 to cutoff − 1.")
def one_layer_too_few(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + psi * (ws - w_avg), None if cutoff is None else max(cutoff - 1, 0))


@mistake("`cutoff` counts layers, dimension 1 of ws. You cut the batch, dimension 0.")
def cutoff_of_the_batch(ws, w_avg, psi, cutoff=None):
    truncated = w_avg + psi * (ws - w_avg)
    return truncated if cutoff is None else torch.cat([truncated[:cutoff], ws[cutoff:]])


@mistake("`cutoff` counts layers, dimension 1 of ws. You cut w itself, dimension 2.")
def cutoff_of_the_features(ws, w_avg, psi, cutoff=None):
    truncated = w_avg + psi * (ws - w_avg)
    return truncated if cutoff is None else torch.cat([truncated[..., :cutoff], ws[..., cutoff:]], dim=2)


@mistake("You drop the layers after `cutoff`. Keep them, as they are in ws.")
def layers_dropped(ws, w_avg, psi, cutoff=None):
    return (w_avg + psi * (ws - w_avg))[:, :cutoff]


@mistake("From `cutoff` on you return w̄. Return w there.")
def mean_after_the_cutoff(ws, w_avg, psi, cutoff=None):
    return with_cutoff(w_avg.expand_as(ws), w_avg + psi * (ws - w_avg), cutoff)


LIMITED = "Do not limit ψ: −1 leads to the other side of w̄, 1.5 beyond w."


@mistake(LIMITED)
def psi_clamped(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + min(max(psi, 0), 1) * (ws - w_avg), cutoff)


@mistake(LIMITED, visible=False)
def psi_at_most_1(ws, w_avg, psi, cutoff=None):
    return with_cutoff(ws, w_avg + min(psi, 1) * (ws - w_avg), cutoff)


@mistake("`cutoff` counts at every ψ, at 0 too: the layers from `cutoff` on stay as they are in ws.", visible=False)
def cutoff_ignored_at_0(ws, w_avg, psi, cutoff=None):
    return w_avg.expand_as(ws).clone() if psi == 0 else with_cutoff(ws, w_avg + psi * (ws - w_avg), cutoff)


def ignoring_the_cutoff(formula):
    return lambda ws, w_avg, psi, cutoff=None: formula(ws, w_avg, psi)


for _formula in (wrong_side, towards_zero, mean_not_subtracted, mean_not_added):
    _message = next(m.message for m in truncate.mistakes if m.function is _formula)
    _both = ignoring_the_cutoff(_formula)
    _both.__name__ = f"{_formula.__name__}_and_cutoff_ignored"
    mistake(f"{_message} And you ignore `cutoff`: from that layer on, w stays as it is.")(_both)


@truncate.alternative
def by_lerp(ws, w_avg, psi, cutoff=None):
    result = ws.clone()
    result[:, :cutoff] = torch.lerp(w_avg.expand_as(ws), ws, float(psi))[:, :cutoff]
    return result


@truncate.alternative
def one_psi_for_each_layer(ws, w_avg, psi, cutoff=None):
    layers = ws.shape[1]
    share = torch.tensor([psi if cutoff is None or i < cutoff else 1 for i in range(layers)], dtype=ws.dtype)[:, None]
    return share * ws + (1 - share) * w_avg


@truncate.alternative
def layer_by_layer(ws, w_avg, psi, cutoff=None):
    limit = ws.shape[1] if cutoff is None else cutoff
    return torch.stack([w_avg + psi * (w - w_avg) if i < limit else w for i, w in enumerate(ws.unbind(1))], dim=1)


EXERCISES = (truncate,)
