"""Lesson 03, exercises 3 and 4: mixing styles, and the mean that truncation needs."""
import copy

import torch

from .. import ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import STYLEGAN, Proof, latents

# Exercise 3


def two(what, n, layers, dim, cutoff, dtype=torch.float64, scale=1.0):
    seed = 100 * n + 10 * layers + dim
    return Probe(what, {"ws1": normal(n, layers, dim, seed=seed, dtype=dtype, scale=scale),
                        "ws2": normal(n, layers, dim, seed=seed + 1, dtype=dtype, scale=scale), "cutoff": cutoff})


@torch.no_grad()
def four_mixtures(generator):
    """Two people: all layers from the second, from layer 2 on, the later half, and none."""
    w = generator.mapping(latents(generator, 2))
    one, other = ops.truncate(w[:, None].repeat(1, generator.num_ws, 1), generator.w_avg, 0.7).split(1)
    cutoffs = 0, 2, generator.num_ws // 2, generator.num_ws
    return generator.synthesis(torch.cat([ops.mix_styles(one, other, cutoff) for cutoff in cutoffs]), noise="const", plain=True)


mix_styles = Exercise(
    "03.mix_styles", "mix_styles(ws1, ws2, cutoff)",
    conventions="ws1 and ws2 are [N, num_ws, w_dim]: a latent for every layer. cutoff is an integer from 0 to num_ws. Return "
                "[N, num_ws, w_dim], a new tensor: the layers 0 … cutoff − 1 of ws1, the others of ws2. Gradients must pass "
                "through it.",
    production=ops.mix_styles,
    probes=[two("three latents of six layers, cutoff = 2", 3, 6, 5, 2),
            two("cutoff = 1", 2, 5, 7, 1),
            two("float32 and cutoff = 4", 3, 5, 4, 4, torch.float32),
            two("as many latents, layers and entries, cutoff = 3", 4, 4, 4, 3),
            two("cutoff = 0: all layers of ws2", 3, 5, 6, 0),
            two("a cutoff equal to the number of layers: all of ws1", 3, 4, 6, 4),
            two("one latent", 1, 8, 3, 5),
            two("a single layer, cutoff = 1", 3, 1, 5, 1),
            two("a single layer, cutoff = 0", 2, 1, 4, 0),
            two("latents of about 0.00001", 2, 6, 3, 3, scale=1e-5),
            Probe("the same latent in every layer", {"ws1": normal(3, 1, 4, seed=5).repeat(1, 6, 1),
                                                     "ws2": normal(3, 1, 4, seed=6).repeat(1, 6, 1), "cutoff": 4})],
    proof=Proof("mix_styles", four_mixtures, titles=("cutoff 0", "2", "half", "all"), model=STYLEGAN),
    hints=("Which dimension of [N, num_ws, w_dim] are the layers? `cutoff` of them come from ws1.",
           "ws1[:, :cutoff] are the first layers of ws1 and ws2[:, cutoff:] the later ones of ws2: join them with "
           "torch.cat(…, dim=1)."))
mistake = mix_styles.mistake


def joined(first, second):
    return torch.cat([first, second], dim=1)


def layers_where(chosen):
    """ws1 in the layers that chosen(index, cutoff, number) names."""
    def function(ws1, ws2, cutoff):
        from_ws1 = [chosen(i, cutoff, ws1.shape[1]) for i in range(ws1.shape[1])]
        return torch.where(torch.tensor(from_ws1)[:, None], ws1, ws2)
    return function


TOO_FEW = "You take one layer too few of ws1: its layers 0 to cutoff − 1 count."
FROM_THE_END = "`cutoff` counts from the first layer. You take the last `cutoff` layers of {}."
EVERY = "Every layer comes from one of the two. You average them in {}."
for _name, _message, _visible, _function in (
        ("exchanged", "The layers before `cutoff` come from ws1. With you they come from ws2.", True,
         layers_where(lambda i, c, n: i >= c)),
        ("one_too_many", "You take one layer too many of ws1: layer `cutoff` itself comes from ws2.", True,
         layers_where(lambda i, c, n: i <= c)),
        ("one_too_few", TOO_FEW, True, layers_where(lambda i, c, n: i < c - 1)),
        ("one_too_few_or_all_but_one", TOO_FEW, True, lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff - 1], ws2[:, cutoff - 1:])),
        ("one_layer", "All layers before `cutoff` come from ws1. With you it is layer `cutoff` alone.", True,
         layers_where(lambda i, c, n: i == c)),
        ("one_layer_of_ws2", "All layers from `cutoff` on come from ws2. With you it is layer `cutoff` alone.", True,
         layers_where(lambda i, c, n: i != c)),
        ("last_of_ws2", FROM_THE_END.format("ws2"), True, layers_where(lambda i, c, n: i < n - c)),
        ("last_of_ws2_or_all", FROM_THE_END.format("ws2"), True,
         lambda ws1, ws2, cutoff: joined(ws1[:, :-cutoff], ws2[:, -cutoff:])),
        ("last_of_ws1", FROM_THE_END.format("ws1"), True, layers_where(lambda i, c, n: i >= n - c)),
        ("last_of_ws1_or_all", FROM_THE_END.format("ws1"), True,
         lambda ws1, ws2, cutoff: joined(ws2[:, :-cutoff], ws1[:, -cutoff:])),
        ("alternating", "The first `cutoff` layers come from ws1, in one piece. You alternate.", True,
         layers_where(lambda i, c, n: i % 2 == 0)),
        ("always_the_half", "Use `cutoff`. You always change over in the middle.", True,
         layers_where(lambda i, c, n: i < n // 2)),
        ("all_of_ws1", "You return ws1. From layer `cutoff` on, take ws2.", True, lambda ws1, ws2, cutoff: ws1.clone()),
        ("all_of_ws2", "You return ws2. Before layer `cutoff`, take ws1.", True, lambda ws1, ws2, cutoff: ws2.clone()),
        ("zero_cutoff_ignored", "`if cutoff` is false for 0 as well; then no layer comes from ws1.", True,
         lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff or None], ws2[:, cutoff or ws1.shape[1]:])),
        ("batch_cut", "`cutoff` counts layers, dimension 1. You cut the batch, dimension 0.", True,
         lambda ws1, ws2, cutoff: torch.cat([ws1[:cutoff], ws2[cutoff:]])),
        ("features_cut", "`cutoff` counts layers, dimension 1. You cut w itself, dimension 2.", True,
         lambda ws1, ws2, cutoff: torch.cat([ws1[..., :cutoff], ws2[..., cutoff:]], dim=2)),
        ("features_joined", "Join the layers along dimension 1. You join along dimension 2.", True,
         lambda ws1, ws2, cutoff: torch.cat([ws1[:, :cutoff], ws2[:, cutoff:]], dim=2)),
        ("batches_joined", "Join the layers along dimension 1. torch.cat joins along dimension 0 unless you pass dim=1.", True,
         lambda ws1, ws2, cutoff: torch.cat([ws1[:, :cutoff], ws2[:, cutoff:]])),
        ("all_of_ws2_after", "Take of ws2 only the layers from `cutoff` on. You append all of them.", True,
         lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], ws2)),
        ("layers_dropped", "You drop the layers from `cutoff` on. Take them from ws2.", True,
         lambda ws1, ws2, cutoff: ws1[:, :cutoff].clone()),
        ("begins_anew", "Layer i of the result is layer i of ws1 or ws2. After `cutoff` you begin with layer 0 "
         "of ws2 again.", False,
         lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], ws2[:, :ws2.shape[1] - cutoff])),
        ("first_layer_repeated", "Layer i of the result is layer i of ws1 or ws2. You repeat layer 0 of each.", False,
         lambda ws1, ws2, cutoff: torch.where(torch.arange(ws1.shape[1])[:, None] < cutoff, ws1[:, :1], ws2[:, :1])),
        ("averaged", EVERY.format("all layers"), True, lambda ws1, ws2, cutoff: (ws1 + ws2) / 2),
        ("share", EVERY.format("all layers, with weights"), True,
         lambda ws1, ws2, cutoff: ws2 + cutoff / ws1.shape[1] * (ws1 - ws2)),
        ("averaged_after", EVERY.format("the layers from `cutoff` on"), True,
         lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], (ws1 + ws2)[:, cutoff:] / 2)),
        ("zeros_after", "From `cutoff` on you return zeros. Take those layers from ws2.", True,
         lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], 0 * ws2[:, cutoff:]))):
    _function.__name__ = _name
    mistake(_message, _visible)(_function)


@mix_styles.alternative
def by_cat(ws1, ws2, cutoff):
    return torch.cat((ws1[:, :cutoff], ws2[:, cutoff:]), dim=-2)


@mix_styles.alternative
def into_a_copy(ws1, ws2, cutoff):
    mixed = ws2.clone()
    mixed[:, :cutoff] = ws1[:, :cutoff]
    return mixed


@mix_styles.alternative
def layer_by_layer(ws1, ws2, cutoff):
    return torch.stack([ws1[:, i] if i < cutoff else ws2[:, i] for i in range(ws1.size(1))], dim=1)


@mix_styles.alternative
def by_a_mask(ws1, ws2, cutoff):
    mask = (torch.arange(ws1.shape[1]) < cutoff).to(ws1.dtype).view(1, -1, 1)
    return mask * ws1 + (1 - mask) * ws2


# Exercise 4

def batch(what, n, dim, dtype=torch.float64, w=lambda w: w, **decay):
    seed = 10 * n + dim
    return Probe(what, {"w": w(normal(n, dim, seed=seed + 1, dtype=dtype)), "w_avg": normal(dim, seed=seed, dtype=dtype), **decay},
                 ("w", "w_avg"))


@torch.no_grad()
def average_portraits(generator):
    """The portrait of w̄ before, and after 2, 10 and 40 updates, where w̄ begins at one person's w."""
    generator, found = copy.deepcopy(generator), []
    w = generator.mapping(latents(generator, 8 * 40)).split(8)
    generator.w_avg.copy_(w[-1][0])
    for i in range(41):
        if i in (0, 2, 10, 40):
            found.append(generator.w_avg.clone())
        generator.update_w_avg(w[i % 40], decay=0.9)
    return generator.synthesis(torch.stack(found), noise="const", plain=True)


update_w_avg = Exercise(
    "03.update_w_avg", "update_w_avg(w_avg, w, decay=0.995)",
    conventions="w_avg is w̄ [w_dim], w is a batch of mapped latents [N, w_dim]. Return the new w̄ [w_dim], as a new tensor: the "
                "share `decay` of the old one, and the rest of the mean of the batch. w̄ is stored, not trained: no gradient is "
                "asked for.",
    production=ops.update_w_avg,
    probes=[batch("three latents of five entries", 3, 5, decay=0.9),
            batch("four latents of three entries, the default decay", 4, 3),
            batch("as many latents as entries", 4, 4, decay=0.7),
            batch("float32", 5, 6, torch.float32, decay=0.8),
            batch("one latent", 1, 7, decay=0.95),
            batch("decay = 0.5", 2, 5, decay=0.5),
            batch("decay = 0, which leaves only the batch", 3, 8, decay=0),
            batch("decay = 1, which changes nothing", 3, 4, decay=1),
            batch("latents that are all the same", 6, 5, w=lambda w: w[:1].repeat(6, 1), decay=0.6),
            batch("latents of about 0.00001", 3, 9, w=lambda w: 1e-5 * w, decay=0.25)],
    proof=Proof("update_w_avg", average_portraits, titles=("start", "2 updates", "10", "40"), model=STYLEGAN),
    hints=("Two steps: one mean over the batch, [N, w_dim] → [w_dim]; then a weighted mean of the old w̄ and that. Which of the "
           "two weights is nearly 1?",
           "decay * w_avg + (1 − decay) * w.mean(dim=0). Do not write +=: it changes w_avg itself."))
mistake = update_w_avg.mistake


def of_mean(change):
    return lambda w_avg, w, decay=0.995: change(w_avg, w.mean(dim=0), decay)


for _name, _message, _visible, _function in (
        ("decay_exchanged", "`decay` is the share of the old w̄. You give it to the batch.", True,
         of_mean(lambda a, m, d: (1 - d) * a + d * m)),
        ("batch_only", "You return the mean of the batch and forget the old w̄.", True, of_mean(lambda a, m, d: m)),
        ("never_updated", "You return the old w̄. Move it towards the mean of the batch.", True,
         lambda w_avg, w, decay=0.995: w_avg.clone()),
        ("not_decayed", "The two shares add up to 1: multiply the old w̄ by decay. You add to all of it.", True,
         of_mean(lambda a, m, d: a + (1 - d) * m)),
        ("batch_not_weighted", "The two shares add up to 1: multiply the mean of the batch by 1 − decay.", True,
         of_mean(lambda a, m, d: d * a + m)),
        ("wrong_direction", "Move towards the mean of the batch. You move away from it.", True,
         of_mean(lambda a, m, d: a - (1 - d) * (m - a))),
        ("subtracted", "Add the share of the batch. You subtract it.", True, of_mean(lambda a, m, d: d * a - (1 - d) * m)),
        ("decay_fixed", "Use the parameter decay. You write a number in its place.", True,
         of_mean(lambda a, m, d: 0.995 * a + 0.005 * m)),
        ("decay_squared", "`decay` is the share of the old w̄. You apply it twice.", True,
         of_mean(lambda a, m, d: d ** 2 * a + (1 - d ** 2) * m)),
        ("plain_mean", "Use `decay`. You average w̄ and the batch with equal shares.", True,
         of_mean(lambda a, m, d: (a + m) / 2)),
        ("summed", "Average over the batch. You sum.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.sum(dim=0)),
        ("first_latent", "Average over the batch. You take its first latent only.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w[0]),
        ("last_latent", "Average over the batch. You take its last latent only.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w[-1]),
        ("one_number", "Every entry of w has a mean of its own: average over dimension 0. You average over everything.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.mean()),
        ("entries_averaged", "Average over the batch, dimension 0. You average over the entries of w.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.mean(dim=1)),
        ("not_averaged", "w̄ is one vector, [w_dim]. Average over the batch first.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w),
        ("one_row", "Return [w_dim]. keepdim=True makes it [1, w_dim].", False,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.mean(dim=0, keepdim=True)),
        ("median", "Take the mean of the batch. You take its median.", True,
         lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.median(dim=0).values)):
    _function.__name__ = _name
    mistake(_message, _visible)(_function)


@mistake("Update once, with the mean of the batch. You update for every latent, so the old w̄ fades N times as fast.")
def latent_by_latent(w_avg, w, decay=0.995):
    for row in w:
        w_avg = decay * w_avg + (1 - decay) * row
    return w_avg


@mistake("The old w̄ has the share `decay`. You average it with the batch as if it were one latent more.")
def one_latent_more(w_avg, w, decay=0.995):
    return torch.cat([w_avg[None], w]).mean(dim=0)


@update_w_avg.alternative
def in_words(w_avg, w, decay=0.995):
    return decay * w_avg + (1 - decay) * w.mean(dim=0)


@update_w_avg.alternative
def a_step_without_gradient(w_avg, w, decay=0.995):
    with torch.no_grad():
        return w_avg + (1 - decay) * (w.mean(0) - w_avg)


@update_w_avg.alternative
def by_lerp(w_avg, w, decay=0.995):
    return w_avg.lerp(w.detach().sum(dim=0) / len(w), 1 - float(decay))


EXERCISES = (mix_styles, update_w_avg)
