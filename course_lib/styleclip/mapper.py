"""StyleCLIP §5: the latent mapper, which learns one edit for all images."""
import re
from typing import NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from .. import ops, sampling, zoo
from ..clip import draw_views
from ..cuda_graphs import recorded
from ..images import in_colour, unchecked
from ..networks.layers import Dense, load_strictly
from ..training import schedule
from ..training.adam import adam, set_rate
from .common import (
    Edit,
    check_networks,
    checked_target,
    checked_ws,
    device_of,
    embed_views,
    embedded,
    encoded_prompts,
    fingerprint,
    finite_losses,
    same_device,
    size_of_views,
    stacked,
)
from .losses import clip_distance, hinge, identity_loss, preservation_loss

LEVELS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, None)}      # layers of W+


class LatentMapper(nn.Module):
    """StyleCLIP Eq. 3: M(w) = (M_c(w_c), M_m(w_m), M_f(w_f)), and ŵ = w + 0.1 · M(w), with the factor of the published code.

    Each level is pixel norm and `layers` dense layers that learn a hundred times slower, applied to each of its layers' w.
    Levels that are left out do not move. `generator` is the fingerprint of the generator that it was trained for.
    """

    def __init__(self, w_dim, levels=tuple(LEVELS), layers=4, prompt="", generator=None):
        super().__init__()
        unknown = [level for level in levels if level not in LEVELS]
        if unknown or not levels:
            raise ValueError(f'levels are {list(levels)}; choose from {", ".join(LEVELS)}')
        self.w_dim, self.prompt, self.generator = w_dim, prompt, generator
        self.levels = tuple(level for level in LEVELS if level in levels)
        for level in self.levels:
            self.add_module(level, nn.Sequential(*[Dense(w_dim, w_dim, lr_mult=0.01, activate=True) for _ in range(layers)]))

    def offsets(self, ws, levels=None):
        """0.1 · M(w) of ws [N, num_ws, w_dim], zero outside the given levels (all of its own by default)."""
        if ws.ndim != 3 or ws.shape[2] != self.w_dim:
            raise ValueError(f"ws has shape {list(ws.shape)}; this mapper takes [N, num_ws, {self.w_dim}]")
        levels = self.levels if levels is None else levels
        missing = [level for level in levels if level not in self.levels]
        if missing:
            raise ValueError(f'this mapper has no level "{missing[0]}"; it has {", ".join(self.levels)}')
        out = torch.zeros_like(ws)
        for level, part in split_levels(ws, levels).items():
            out[:, LEVELS[level]] = 0.1 * getattr(self, level)(ops.pixel_norm(part.flatten(0, 1))).unflatten(0, part.shape[:2])
        return out

    def forward(self, ws, strength=1.0, levels=None):
        """ws [N, num_ws, w_dim] → ŵ = w + strength · 0.1 · M(w). strength: one for all, or a tensor [N]."""
        strength = strength[:, None, None] if isinstance(strength, torch.Tensor) and strength.ndim else strength
        return ws + strength * self.offsets(ws, levels)


def file_name(prompt):
    """"A smiling person!" → "mapper-a-smiling-person", the name of its mapper's file."""
    return "mapper-" + re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")


def split_levels(ws, levels=tuple(LEVELS)):
    """StyleCLIP §5: coarse = layers 0–3 of W+, medium = 4–7, fine = 8 and up. [N, num_ws, w_dim] → {level: [N, k, w_dim]}."""
    for level in levels:
        if ws.shape[1] <= LEVELS[level].start:
            raise ValueError(f'latents of {ws.shape[1]} layers have no level "{level}", which starts at layer '
                             f'{LEVELS[level].start}; leave it out')
    return {level: ws[:, LEVELS[level]] for level in levels}


def mapper_loss(clip_term, offsets, identity_term=0.0, clip_weight=1.0, l2=0.8, id_weight=0.1):
    """StyleCLIP §5, the total loss: λ_CLIP · D_CLIP + λ_L2 · ‖M(w)‖² + λ_ID · L_ID, one value per image.

    clip_term and identity_term [N]; offsets ŵ − w [N, num_ws, w_dim]. The paper writes ‖·‖₂; as in the published code,
    to which λ_L2 = 0.8 belongs, it is the mean square over all entries.
    """
    return clip_weight * clip_term + l2 * offsets.square().mean(dim=(1, 2)) + id_weight * identity_term


class Step(NamedTuple):
    """A mapper after so many steps of its training."""
    step: int
    losses: dict                # name → [] on the CPU, means over the batch before this step, unweighted but for the total
    mapper: LatentMapper        # as it is now; it goes on learning


@unchecked()
def fit(
    G, clip, prompt, *,
    steps=2000,                 # of Adam
    stop=lambda: False,         # asked after every step; True ends the training
    progress=False,             # show a progress bar
    **options,                  # those of `fit_steps`
):
    """Train a LatentMapper for a prompt: `fit_steps` from the first step to the last. → (the mapper, its losses: name → [steps])"""
    history = []
    with tqdm(total=steps, desc=f'mapper "{prompt}"', unit="step", disable=not progress) as bar:
        for now in fit_steps(G, clip, prompt, steps=steps, **options):
            history.append(now.losses)
            bar.set_postfix({name: f"{value:.3g}" for name, value in now.losses.items()}, refresh=False)
            bar.update()
            if stop():
                break
    return now.mapper.requires_grad_(False), stacked(history)


def fit_steps(
    G, clip, prompt, *,
    levels=None,                # some of "coarse", "medium", "fine"; None: all that the generator has
    layers=4,                   # dense layers of each level
    steps=2000,                 # of Adam; the published code takes 50,000 of 2 images, with Ranger
    batch=8,                    # portraits a step
    psi=1.0,                    # truncation of their latents
    c=None,                     # their labels, one row or a class for all (`sampling.labels`); None: all classes
    lr=0.5,                     # Adam's learning rate, which falls to 0 by a cosine; the mapper learns a hundred times slower
    clip_weight=1.0,            # λ_CLIP
    l2=0.8,                     # λ_L2
    identity=None,              # network of L_ID: images → unit vectors; None leaves L_ID out
    id_weight=0.1,              # λ_ID, weight of `identity_loss`
    identity_threshold=None,    # cosine from which on L_ID asks for no more; None: ever more, as in the paper
    views=2,                    # random crops, warps and noises that D_CLIP is averaged over; 1: the image as it is, as published
    similarity_target=None,     # cosine beyond which D_CLIP asks for no more; None: ever more, as in the paper
    preserve_weight=0.0,        # weight of `preservation_loss`; 0 in the paper
    seed=0,                     # of mapper, latents and views
    captured=None,              # record the step in a CUDA graph (default on CUDA); False where a network cannot be recorded
):
    """StyleCLIP §5, the training of a mapper, step by step: an iterator of `steps` Steps, which may be left at any."""
    _check(G, clip, prompt, steps, batch, views, layers, clip_weight, l2, identity, id_weight, preserve_weight, identity_threshold)
    device, rng = device_of(G), torch.Generator().manual_seed(seed)
    text = encoded_prompts(clip, prompt, 1)
    target, size = checked_target(similarity_target, 1, device), size_of_views(G, clip) if views > 1 else None
    levels = levels or [level for level, part in LEVELS.items() if part.start < G.num_ws]
    split_levels(checked_ws(G, G.w_avg[None]), levels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapper = LatentMapper(G.w_dim, levels, layers, prompt, fingerprint(G)).to(device).eval()
    optimizer = adam(mapper.parameters(), lr, device)
    names = ["total", "clip", "l2", *["identity"] * bool(identity and id_weight), *["preserve"] * bool(preserve_weight)]

    def learn(z, *rest):
        given, drawn = ({"c": rest[0]}, rest[1:]) if G.c_dim else ({}, rest)
        with torch.no_grad():
            ws = ops.truncate(G.mapping(z, **given)[:, None].expand(-1, G.num_ws, -1), G.w_avg, psi)
            before = in_colour(G.synthesis(ws, noise="const")) if identity and id_weight or preserve_weight else None
            person = embedded(identity, before) if identity and id_weight else None
            source_features = clip.encode_images(before) if preserve_weight else None
        with torch.enable_grad():
            offsets = mapper.offsets(ws)
            images = in_colour(G.synthesis(ws + offsets, noise="const"))
            seen, features = embed_views(clip, images, drawn, itself=bool(preserve_weight))

            # The terms of the loss, one value per image.
            terms = [clip_distance(seen, text).mean(dim=0), offsets.square().mean(dim=(1, 2))]
            identity_term = 0.0
            if identity and id_weight:
                terms.append(identity_loss(identity(images), person))
                identity_term = hinge(terms[-1], identity_threshold)
            total = mapper_loss(hinge(terms[0], target), offsets, identity_term, clip_weight, l2, id_weight)
            if preserve_weight:
                terms.append(preservation_loss(features, source_features, text))
                total = total + preserve_weight * terms[-1]

            optimizer.zero_grad(set_to_none=True)
            total.mean().backward()
        optimizer.step()
        return [torch.stack([total, *terms]).detach().mean(dim=1)]

    learn = recorded(learn, device, captured)
    for step in range(steps):
        set_rate(optimizer.param_groups[0], lr * schedule.cosine(step / steps))
        (z, given), = sampling.draws(G, batch, rng, c)
        losses, = learn(z, *given.values(), *(draw_views(views, size, rng) if views > 1 else ()))
        yield Step(step, finite_losses(names, losses, step), mapper)


def _check(G, clip, prompt, steps, batch, views, layers, clip_weight, l2, identity, id_weight, preserve_weight, identity_threshold):
    if min(steps, batch, views, layers) < 1:
        raise ValueError(f"{steps} steps of {batch} images and {views} views teach {layers} layers nothing; "
                         "take at least 1 of each")
    if min(clip_weight, l2, id_weight, preserve_weight) < 0:
        raise ValueError(f"the weights {clip_weight}, {l2}, {id_weight} and {preserve_weight} must not be negative")
    if identity_threshold is not None and not (identity and id_weight):
        raise ValueError(f"identity_threshold is {identity_threshold}, a cosine of the identity network; pass that network as "
                         "identity, and an id_weight above 0")
    check_networks(G, clip, identity)
    if not isinstance(prompt, str):
        raise ValueError("a mapper learns one prompt; pass one sentence")


@torch.no_grad()
def map_latents(G, mapper, ws, strength=1.0, levels=None, noise="const"):
    """Edit ws [N, num_ws, w_dim] or w [N, w_dim] with a trained mapper → Edit. strength: one for all, or one for each image;
    levels: some of the mapper's."""
    ws = checked_ws(G, ws)
    if not isinstance(mapper, LatentMapper):
        raise ValueError(f"{zoo.held(mapper)}, which is no mapper; pass a LatentMapper, from fit or zoo.load")
    strength = torch.as_tensor(strength, dtype=torch.float32, device=ws.device)
    if not strength.isfinite().all() or strength.ndim and strength.shape != (len(ws),):
        raise ValueError(f"the strength must be a number, or one for each of the {len(ws)} images; it is {strength.tolist()}")
    if mapper.w_dim != G.w_dim:
        raise ValueError(f"this mapper is for latents of size {mapper.w_dim}, and this generator has w of size {G.w_dim}")
    if mapper.generator not in (None, fingerprint(G)):
        raise ValueError(f'this mapper for "{mapper.prompt}" was trained with another generator; train one for this one')
    same_device(G, mapper, "mapper")
    ws = mapper(ws, strength, levels)
    return Edit(ws, in_colour(G.synthesis(ws, noise=noise)).cpu(), [], {})


def from_tensors(tensors, prompt="", generator=None):
    """A mapper from the tensors of its file, which hold the levels that it uses."""
    levels = [level for level in LEVELS if f"{level}.0.weight" in tensors]
    layers = sum(re.fullmatch(rf"{levels[0]}\.\d+\.weight", key) is not None for key in tensors) if levels else 0
    w_dim = tensors[f"{levels[0]}.0.weight"].shape[1] if levels else 0
    return load_strictly(LatentMapper(w_dim, levels, layers, prompt, generator), tensors)
