"""StyleCLIP §5: the latent mapper, which learns one edit for all images."""
import re

import torch
from torch import nn
from tqdm import tqdm

from .. import ops, sampling
from ..images import in_colour, unchecked
from ..networks.layers import Dense, fill
from .edits import (Edit, check_networks, checked_goal, checked_ws, device_of, embedded, encoded_prompts, fingerprint, finite_losses,
                    same_device, seen_distance)
from .losses import hinge, identity_loss, rest_change

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


@unchecked()
def fit(G, clip, prompt, progress=False, callback=None, **options):
    """Train a LatentMapper for a prompt; options are those of `fitting`. callback(step, losses) → True ends it.

    Returns (the mapper in eval mode, its losses: name → [steps]).
    """
    options.setdefault("steps", 2000)
    walk, done, history = fitting(G, clip, prompt, **options), None, []
    with tqdm(total=options["steps"], desc=f'mapper "{prompt}"', unit="step", disable=not progress) as bar:
        while True:
            try:
                step, losses, _ = walk.send(done)
            except StopIteration as end:
                return end.value, {name: torch.stack([losses[name] for losses in history]) for name in history[0]}
            history.append(losses)
            done = callback and callback(step, losses)
            bar.set_postfix({name: f"{value:.3g}" for name, value in losses.items()})
            bar.update()


@torch.enable_grad()
def fitting(G, clip, prompt, levels=None, steps=2000, batch=8, lr=0.5, clip_weight=1.0, l2=0.8, identity=None, id_weight=0.1,
            views=2, layers=4, psi=1.0, seed=0, goal=None, rest_weight=0.0, keep=None, c=None):
    """`fit` step by step: yields (step, losses as numbers, the mapper), and ends early if it is sent something true.

    levels: those that the generator has by default. layers: of each level. psi: truncation of the latents it learns from. c: their
    labels, one row or a class for all (`sampling.labels`); without them, a class-conditional generator draws all classes. Without
    an identity network L_ID is left out. goal, one for all, and rest_weight: as in `optimize`. keep: a cosine of the identity
    network; who is as near as that counts as kept, and L_ID asks for no more (None, as in the paper: for ever more). The losses are
    unweighted but for the total. Adam falls to 0 by a cosine (the published code uses Ranger for 50,000 steps of 2 images, each shown
    to CLIP as it is: views=1).
    """
    if min(steps, batch, views, layers) < 1:
        raise ValueError(f"{steps} steps of {batch} images and {views} views teach {layers} layers nothing; take at least 1 of each")
    if min(clip_weight, l2, id_weight, rest_weight) < 0:
        raise ValueError(f"the weights {clip_weight}, {l2}, {id_weight} and {rest_weight} must not be negative")
    if keep is not None and not (identity and id_weight):
        raise ValueError(f"keep is {keep}, a cosine of the identity network; pass that network as identity, and an id_weight above 0")
    check_networks(G, clip, identity)
    if not isinstance(prompt, str):
        raise ValueError("a mapper learns one prompt; pass one sentence")
    text = encoded_prompts(clip, prompt, 1)
    goal = checked_goal(goal, 1, device_of(G))
    mean = checked_ws(G, G.w_avg[None])
    levels = levels or [level for level, part in LEVELS.items() if part.start < G.num_ws]
    split_levels(mean, levels)
    device, rng = device_of(G), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapper = LatentMapper(G.w_dim, levels, layers, prompt, fingerprint(G)).to(device)
    optimizer = torch.optim.Adam(mapper.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    for step in range(steps):
        with torch.no_grad():
            (z, given), = sampling.draws(G, batch, rng, c)
            w = G.mapping(z, **given)
            ws = ops.truncate(w[:, None].expand(-1, G.num_ws, -1), G.w_avg, psi)
            before = in_colour(G.synthesis(ws, noise="const")) if identity and id_weight or rest_weight else None
            known = embedded(identity, before) if identity and id_weight else None
            seen_before = clip.encode_images(before) if rest_weight else None
        offsets = mapper.offsets(ws)
        images = in_colour(G.synthesis(ws + offsets, noise="const"))
        losses = {"clip": seen_distance(clip, images, text, views, rng), "l2": offsets.square().mean(dim=(1, 2))}
        if known is not None:
            losses["identity"] = identity_loss(identity(images), known)
        lost = hinge(losses["identity"], keep) if known is not None else 0.0
        total = mapper_loss(hinge(losses["clip"], goal), offsets, lost, clip_weight, l2, id_weight)
        if rest_weight:
            losses["rest"] = rest_change(clip.encode_images(images), seen_before, text)
            total = total + rest_weight * losses["rest"]
        losses = {name: value.detach().mean().cpu() for name, value in {"total": total, **losses}.items()}
        finite_losses(losses, step)
        optimizer.zero_grad(set_to_none=True)
        total.mean().backward()
        optimizer.step()
        schedule.step()
        if (yield step, losses, mapper):
            break
    return mapper.eval().requires_grad_(False)


@torch.no_grad()
def map_latents(G, mapper, ws, strength=1.0, levels=None, noise="const"):
    """Edit ws [N, num_ws, w_dim] or w [N, w_dim] with a trained mapper → Edit. strength: one for all, or one for each image;
    levels: some of the mapper's."""
    ws = checked_ws(G, ws)
    if not isinstance(mapper, LatentMapper):
        raise ValueError(f"a {type(mapper).__name__} is no mapper; pass a LatentMapper, from fit or zoo.load")
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
    return fill(LatentMapper(w_dim, levels, layers, prompt, generator), tensors)
