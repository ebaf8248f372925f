"""How far an edit has to go. The paper leaves that to a person at a slider; here CLIP and the identity network decide for each
portrait."""
import torch
from tqdm import tqdm

from .. import sampling, zoo
from ..images import in_colour, unchecked
from .common import Edit, checked_target, checked_ws, embedded, encoded_prompts, of_convolutions, refuse_verifier, same_device
from .global_directions import style_deviations
from .optimization import optimize


@unchecked()
@torch.no_grad()
def embed_samples(
    G, clip, *,
    samples=1000,               # images of the generator
    seed=0,                     # of their latents
    batch=250,                  # images at a time
    c=None,                     # labels, or the number of a class (`sampling.labels`); None: all classes
    progress=False,             # show a progress bar
):
    """CLIP's embeddings of the generator's own, unedited images, for `similarity_target`. → [samples, D]"""
    if samples < 1 or batch < 1:
        raise ValueError(f"{samples} samples, {batch} at a time, show nothing; take at least 1 of each")
    if not hasattr(clip, "encode_images"):
        raise ValueError(f'{zoo.held(clip)}, which is no CLIP model; pass one of clip.load, such as clip.load("clip-portraits")')
    same_device(G, clip, "CLIP")
    found = []
    with tqdm(total=samples, desc="embedded by CLIP", unit="img", disable=not progress) as bar:
        for z, given in sampling.draws(G, samples, seed, c, batch):
            found.append(clip.encode_images(in_colour(G(z, noise="const", **given))))
            bar.update(len(z))
    return torch.cat(found)


def similarity_target(
    clip, samples, prompt, *,
    top_fraction=0.05,          # of the samples, which reach the target
):
    """The cosine with a prompt that the most similar of a generator's own images reach, at which an edit may stop: [1] for a
    prompt, [N] for a list of them.

    samples: embeddings, of `embed_samples(G, clip)`. Cosines with two sentences cannot be compared, so each sentence has a
    target of its own: most of the images that reach it show what the sentence says, unless that is rarer than the fraction.
    """
    if not 0 < top_fraction < 1:
        raise ValueError(f"top_fraction is {top_fraction}; it is a part of the generator's images, above 0 and below 1")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    text = encoded_prompts(clip, prompts, len(prompts))
    if samples.ndim != 2 or samples.shape[1] != text.shape[1]:
        raise ValueError(f"the samples' embeddings have shape {list(samples.shape)}, and {clip.name}'s have {text.shape[1]} "
                         "entries; take embed_samples(G, clip) of the same CLIP model")
    return (samples @ text.T).quantile(1 - top_fraction, dim=0)


@unchecked()
@torch.no_grad()
def best_edit(
    clip, prompt, before, candidates, strengths, target, *,
    identity=None,              # network that tells persons: images → unit vectors
    identity_threshold=None,    # cosine from which on it sees the same person; None: the network's own threshold
):
    """The best of several candidate edits of N portraits at several strengths.
    → (images [N, 3, H, W] on the CPU, the number of the candidate [N], its strength [N])

    Each candidate is tried at growing strengths, and no further once the similarity to the prompt reaches the target and the
    identity network sees the same person. Best is what comes nearest to the target with the person preserved; of several that
    reach it, what preserves the person best, or without an identity network the first. A portrait that no edit improves stays
    as it was: candidate −1, strength 0.
    prompt: one for all or a list of N. before: the unedited images [N, 3, H, W]. candidates: functions (rows, strength) → Edit of
    these rows, such as `lambda rows, alpha: edit(G, [s[rows] for s in styles], direction, alpha)`. target: of
    `similarity_target`, one or [N]. Raises ValueError without candidates, strengths above 0 or a target, for a threshold that
    nothing can be compared with, and for the verifier as identity network.
    """
    if target is None or not len(candidates) or not len(strengths) or min(strengths) <= 0:
        raise ValueError("a best edit needs candidate edits, strengths above 0, and a target to reach; similarity_target(…) gives "
                         "one for a prompt")
    refuse_verifier(identity)
    threshold = getattr(identity, "threshold", None) if identity_threshold is None else identity_threshold
    if (identity is None) != (threshold is None):
        raise ValueError("identity_threshold, the cosine from which on it is the same person, and an identity network go together: "
                         "pass both, or a network that has a threshold")
    n = len(before)
    text = encoded_prompts(clip, prompt, n)
    text, target = text.expand(n, -1), checked_target(target, n, "cpu").expand(n)
    person = None if identity is None else embedded(identity, before.to(text.device))

    def similarities(images, rows):
        """To the prompt, no higher than the target, and to the person before."""
        images = images.to(text.device)
        found = (clip.encode_images(images) * text[rows]).sum(dim=-1).cpu().minimum(target[rows])
        return found, torch.ones_like(found) if identity is None else (identity(images) * person[rows]).sum(dim=-1).cpu()

    images, candidate, strength = before.cpu().clone(), torch.full([n], -1), torch.zeros(n)
    nearest, likeness = similarities(before, torch.arange(n))
    lacking = (nearest < target).nonzero()[:, 0]
    for number, edited in enumerate(candidates):
        rows = lacking
        for size in sorted(strengths):
            if not len(rows):
                break
            found = edited(rows, size).images
            near, like = similarities(found, rows)
            preserved = like >= threshold if identity is not None else torch.ones_like(rows, dtype=torch.bool)
            better = preserved & ((near > nearest[rows]) | (near == nearest[rows]) & (like > likeness[rows]))
            won = rows[better]
            nearest[won], likeness[won], images[won] = near[better], like[better], found[better]
            candidate[won], strength[won] = number, size
            rows = rows[~(preserved & (near == target[rows]))]
    return images, candidate, strength


@unchecked()
@torch.no_grad()
def search(
    G, clip, prompt, ws, target, *,
    rates=(0.28, 0.56, 1.12),   # learning rates of the searches, of which the lowest that suffices is taken
    steps=60,                   # of each search; the published code takes 300
    l2=3.1e-4,                  # λ_L2; both in standard deviations of an entry of the space, whose scale is each generator's own
    space="s",                  # as for `optimize`, like what follows; of StyleGAN, whose styles hold colours too, take "w+"
    views=4,
    preserve_weight=0.15,
    identity=None,              # network that tells persons
    id_weight=0.05,             # weight of its loss, where there is such a network
    noise="const",
    **options,                  # others of `optimize` and, for identity_threshold, of `best_edit`
):
    """Latent optimization of N portraits at several learning rates, all in one batch, and of each the best (`best_edit`).
    → (images [N, 3, H, W] on the CPU, the rate of each [N], 0 where the portrait stays as it was)

    prompt, ws and target: as for `optimize` and `best_edit`. No rate suits every portrait; images do not influence each other,
    so that three searches at once end where three, one after the other, would.
    """
    ws, n = checked_ws(G, ws), len(ws)
    threshold = {key: options.pop(key) for key in ("identity_threshold",) if key in options}
    prompts = [prompt] * n if isinstance(prompt, str) else list(prompt)
    goal = checked_target(target, n, ws.device).expand(n)
    rng = torch.Generator().manual_seed(0)
    if space == "s":
        moving = zip(style_deviations(G, rng, samples=2000), of_convolutions(G))
        deviations = torch.cat([layer for layer, moves in moving if moves])
    else:
        deviations = torch.cat([G.mapping(z, **given) for z, given in sampling.draws(G, 2000, rng)]).std(dim=0)
    scale = deviations.square().mean().sqrt().item()
    if identity is not None:
        options |= {"identity": identity, "id_weight": id_weight}
    found = optimize(G, clip, prompts * len(rates), ws.repeat(len(rates), 1, 1), space=space, steps=steps, l2=l2 / scale ** 2,
                     lr=torch.tensor(rates).repeat_interleave(n) * scale, views=views, preserve_weight=preserve_weight,
                     similarity_target=goal.repeat(len(rates)), noise=noise, **options).images.unflatten(0, (len(rates), n))
    candidate = lambda rows, rate: Edit(None, found[list(rates).index(rate), rows], [], {})
    before = in_colour(G.synthesis(ws, noise=noise))
    images, _, chosen = best_edit(clip, prompt, before, [candidate], rates, target, identity=identity, **threshold)
    return images, chosen
