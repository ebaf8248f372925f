"""StyleCLIP §4: latent optimization, one descent for each image."""
from typing import NamedTuple

import torch
from tqdm import tqdm

from ..clip import draw_views
from ..cuda_graphs import recorded
from ..images import in_colour, unchecked
from ..training import schedule
from ..training.adam import adam, set_gradient, set_rate
from .common import (
    Edit,
    check_networks,
    checked_target,
    checked_ws,
    embed_views,
    embedded,
    encoded_prompts,
    finite_losses,
    of_convolutions,
    size_of_views,
    stacked,
)
from .losses import clip_distance, hinge, identity_loss, latent_distance, optimization_loss, preservation_loss

SPACES = "w", "w+", "s"


class Step(NamedTuple):
    """An edit after so many steps. Tensors stay on the generator's device."""
    step: int
    losses: dict                # name → [N] on the CPU, unweighted but for the total
    latents: object             # ws [N, num_ws, w_dim], or styles, a list of [N, channels]
    images: torch.Tensor        # [N, 3, H, W]


@unchecked()
def optimize(
    G, clip, prompt, ws, *,
    steps=300,                  # of Adam
    frame_every=0,              # keep the images of every so many steps, and the last
    progress=False,             # show a progress bar
    **options,                  # those of `optimize_steps`
):
    """Change latents until CLIP sees the prompt in their images: `optimize_steps` from the first step to the last. → Edit"""
    history, frames = [], []
    with tqdm(total=steps, desc="edit", unit="step", disable=not progress) as bar:
        for now in optimize_steps(G, clip, prompt, ws, steps=steps, **options):
            history.append(now.losses)
            if frame_every and (now.step % frame_every == 0 or now.step == steps):
                frames.append(now.images.cpu())
            bar.set_postfix({name: f"{value.mean():.3g}" for name, value in now.losses.items()}, refresh=False)
            bar.update(now.step - bar.n)
    return Edit(now.latents, now.images.cpu(), frames, stacked(history))


def optimize_steps(
    G, clip, prompt, ws, *,
    space="w+",                 # "w": all layers of a latent move alike; "w+": each by itself; "s": the styles of the convolutions
    steps=300,                  # of Adam
    lr=0.1,                     # Adam's highest learning rate, one or [N], on the ramp of StyleGAN2's projector
    l2=0.008,                   # λ_L2, weight of `latent_distance`
    identity=None,              # network of L_ID: images → unit vectors
    id_weight=0.0,              # λ_ID, weight of `identity_loss`
    views=4,                    # random crops, warps and noises that D_CLIP is averaged over; 1: the image as it is, as published
    similarity_target=None,     # cosine, one or [N], beyond which D_CLIP asks for no more; None: ever more, as in the paper
    preserve_weight=0.0,        # weight of `preservation_loss`; 0 in the paper
    noise="const",              # that of `G.synthesis`
    seed=0,                     # of the views
    captured=None,              # record the step in a CUDA graph (default on CUDA); False where a network cannot be recorded
):
    """StyleCLIP Eq. 1, argmin D_CLIP + λ_L2 · L2 + λ_ID · L_ID, step by step: an iterator of `steps` + 1 Steps, which may be left
    at any.

    ws [N, num_ws, w_dim] or w [N, w_dim]; prompt: one for all or a list of N. The first Step is the images as they were, the
    last the result; the losses "total", "clip", "l2", "identity" and "preserve" of a Step are those of its images. Images do not
    influence each other. Raises ValueError for latents of another generator or with NaN, an unknown space, an empty prompt.
    """
    ws, rates = checked_ws(G, ws), torch.as_tensor(lr, dtype=torch.float64).flatten()
    _check(G, clip, space, steps, l2, identity, id_weight, views, preserve_weight)
    if rates.shape not in ((1,), (len(ws),)) or not (rates > 0).all():
        raise ValueError(f"the learning rate is {lr}; it must be above 0, one or one for each of the {len(ws)} images, and is 0.1 "
                         "as published")
    text = encoded_prompts(clip, prompt, len(ws))
    target = checked_target(similarity_target, len(ws), ws.device)
    rng, size = torch.Generator().manual_seed(seed), size_of_views(G, clip) if views > 1 else None
    with torch.no_grad():
        sources, moves = (G.styles(ws), of_convolutions(G)) if space == "s" else ([ws], [True])
        before = _render(G, sources, space, noise) if id_weight or preserve_weight else None
        person = embedded(identity, before) if id_weight else None
        source_features = clip.encode_images(before) if preserve_weight else None
        movable = [source[:, :1] if space == "w" else source for source, move in zip(sources, moves) if move]
        unmoved = torch.zeros_like(torch.cat(movable, dim=1))
    # Adam has one rate, the highest; of the way that it goes, an image takes the share that its own rate is of that.
    way, highest = unmoved.clone(), rates.max().item()
    share = (rates / highest).to(ws).view(-1, *[1] * (way.ndim - 1))
    optimizer = adam([way], highest, ws.device)
    names = ["total", "clip", "l2", *["identity"] * bool(id_weight), *["preserve"] * bool(preserve_weight)]

    @torch.enable_grad()
    def descend(*drawn):
        offsets = (way * share).requires_grad_()
        parts = iter(offsets.split([part.shape[1] for part in movable], dim=1))
        latents = [source + next(parts) if move else source for source, move in zip(sources, moves)]
        images = _render(G, latents, space, noise)
        seen, features = embed_views(clip, images, drawn, itself=bool(preserve_weight))

        # The terms of the loss, one value per image.
        terms = [clip_distance(seen, text).mean(dim=0), latent_distance(offsets, unmoved)]
        identity_term = identity_loss(identity(images), person) if id_weight else 0.0
        total = optimization_loss(hinge(terms[0], target), offsets, unmoved, identity_term, l2, id_weight)
        terms += [identity_term] * bool(id_weight)
        if preserve_weight:
            terms.append(preservation_loss(features, source_features, text))
            total = total + preserve_weight * terms[-1]

        set_gradient(way, *torch.autograd.grad(total.sum(), offsets))
        optimizer.step()
        return [x.detach() for x in (torch.stack([total, *terms]), images, *latents)]

    descend = recorded(descend, ws.device, captured)
    for step in range(steps + 1):
        set_rate(optimizer.param_groups[0], highest * schedule.learning_rate_ramp(step / steps))
        losses, images, *latents = descend(*(draw_views(views, size, rng) if views > 1 else ()))
        yield Step(step, finite_losses(names, losses, step), latents if space == "s" else latents[0], images)


def _render(G, latents, space, noise):
    return in_colour(G.synthesis(styles=latents, noise=noise) if space == "s" else G.synthesis(latents[0], noise=noise))


def _check(G, clip, space, steps, l2, identity, id_weight, views, preserve_weight):
    if space not in SPACES:
        raise ValueError(f'space is "{space}"; choose "w", "w+" or "s"')
    if steps < 1 or views < 1:
        raise ValueError(f"{steps} steps of {views} views change nothing; take at least 1 of each")
    if min(l2, id_weight, preserve_weight) < 0:
        raise ValueError(f"the weights l2 = {l2}, id_weight = {id_weight} and preserve_weight = {preserve_weight} must not be "
                         "negative")
    if id_weight and identity is None:
        raise ValueError(f'id_weight is {id_weight}, but there is no identity network; pass '
                         'identity=zoo.load("identity-portraits-64")')
    check_networks(G, clip, identity)
