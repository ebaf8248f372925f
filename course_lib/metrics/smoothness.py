"""What path-length regularization changes: the path lengths themselves, and the error of inversion."""
from typing import NamedTuple

import torch

from .. import inversion, losses, portraits
from ..images import quantized, unchecked
from .generators import REFERENCE_SEED, batch_size
from .style_analysis import latents


@torch.enable_grad()
def lengths(G, samples=64, directions=16, seed=0, c=None):
    """‖Jᵀy‖ (StyleGAN2 §3.2, `losses.path_lengths`) at the first latents of a seed, each for the same random images y, with
    constant noise. → [samples, directions]

    c: labels of a class-conditional generator (`sampling.labels`); without them, all classes.
    """
    shape = getattr(G, "img_channels", 3), G.resolution, G.resolution
    y = torch.randn(directions, 1, *shape, generator=torch.Generator().manual_seed(seed + 1))
    y, found = y.to(next(G.parameters()).device), []
    for ws in latents(G, samples, seed, c).split(max(1, batch_size(G) // 16)):
        ws = ws.clone().requires_grad_()
        images = G.synthesis(ws, noise="const")
        found.append(torch.stack([losses.path_lengths(images, ws, one.expand_as(images)).detach() for one in y], dim=1).cpu())
    return torch.cat(found)


def spread(lengths):
    """Statistics of `lengths` [samples, directions]: "mean", and relative standard deviations (divided by the mean): "all";
    "across_latents", of the mean length at each latent; "across_projections", over the y at one latent, averaged over latents. →
    {name: number}"""
    relative = lambda x, dim: x.std(dim=dim) / x.mean(dim=dim)
    return {"mean": lengths.mean().item(), "all": relative(lengths.flatten(), 0).item(),
            "across_latents": relative(lengths.mean(dim=1), 0).item(), "across_projections": relative(lengths, 1).mean().item()}


class Reconstruction(NamedTuple):
    """N images, their inversions, and the reconstruction errors."""
    targets: torch.Tensor       # [N, 3, H, W]
    projections: torch.Tensor   # [N, 3, H, W]
    distance: list              # [N] perceptual
    rmse: list                  # [N] root of the mean squared difference of pixels in [-1, 1]


@unchecked()
def invert(
    G, distance, *,
    images=16,                  # of each kind
    seed=0,                     # of the images
    space="w",                  # "w" or "w+"
    steps=300,                  # of the projection
    lr=0.4,                     # its learning rate, in standard deviations of an entry of W
    start=None,                 # seed of its noise; None: that of the images
    c=None,                     # labels of a class-conditional generator (`sampling.labels`); None: all classes
    progress=False,             # show a progress bar
):
    """StyleGAN2 §3.2 and App. D: invert as many generated images as portraits, with `inversion.project`.

    → {"generated": Reconstruction, "portraits": Reconstruction}. Raises ValueError for a generator of grey images.
    """
    if getattr(G, "img_channels", 3) != 3:
        raise ValueError("this generator's images are grey, and the portraits to invert are in colour")
    device = next(G.parameters()).device
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        own = G.synthesis(latents(G, images, seed, c))
    people = portraits.sample_attributes(images, REFERENCE_SEED)
    reals = portraits.render(people, G.resolution, portraits.sample_noise(images, REFERENCE_SEED), device)
    targets = quantized(torch.cat([own, reals]))
    start = seed if start is None else start
    found = inversion.project(G, targets, distance, space=space, steps=steps, seed=start, lr=lr, progress=progress, c=c)
    with torch.no_grad():
        projections = G.synthesis(found.ws, noise=found.noise)
    errors = (projections - targets).square().mean(dim=(1, 2, 3)).sqrt()
    kinds = zip(*(x.split(images) for x in (targets, projections, found.distances[-1], errors)))
    return {name: Reconstruction(*pictures, near.tolist(), error.tolist())
            for name, (*pictures, near, error) in zip(("generated", "portraits"), kinds)}
