"""What path-length regularization is said to change: the path lengths themselves, and how well images are found again."""
from typing import NamedTuple

import torch

from .. import inversion, losses, portraits
from ..images import unchecked
from .claims import latents
from .generators import REFERENCE_SEED, batch_size, eight_bit


@torch.enable_grad()
def lengths(G, samples=64, directions=16, seed=0, c=None):
    """‖Jᵀy‖ (StyleGAN2 §3.2, `losses.path_lengths`) at the first latents of a seed, for the same directions y of the image
    at each, with constant noise → [samples, directions]. c: `sampling.labels`."""
    shape = getattr(G, "img_channels", 3), G.resolution, G.resolution
    y = torch.randn(directions, 1, *shape, generator=torch.Generator().manual_seed(seed + 1))
    y, found = y.to(next(G.parameters()).device), []
    for ws in latents(G, samples, seed, c).split(max(1, batch_size(G) // 16)):
        ws = ws.clone().requires_grad_()
        images = G.synthesis(ws, noise="const")
        found.append(torch.stack([losses.path_lengths(images, ws, one.expand_as(images)).detach() for one in y], dim=1).cpu())
    return torch.cat(found)


def spread(lengths):
    """Of [samples, directions] the mean, and the deviation over the mean: of all; of the latents' own means ("over_w"); over
    the directions at a latent ("over_y", the mean of the latents)."""
    relative = lambda x, dim: x.std(dim=dim) / x.mean(dim=dim)
    return {"mean": lengths.mean().item(), "all": relative(lengths.flatten(), 0).item(),
            "over_w": relative(lengths.mean(dim=1), 0).item(), "over_y": relative(lengths, 1).mean().item()}


class Found(NamedTuple):
    """N images and what a projection made of them."""
    targets: torch.Tensor       # [N, 3, H, W]
    projections: torch.Tensor   # [N, 3, H, W]
    distance: list              # [N] perceptual
    rmse: list                  # [N] root of the mean squared difference of pixels in [-1, 1]


@unchecked()
def invert(G, distance, images=16, steps=300, space="w", seed=0, lr=0.4, start=None, progress=False, c=None):
    """StyleGAN2 §3.2 and App. D: find the generator's own images again, and portraits of the world.

    seed draws the images, start (by default the same) the noise of the search. c: `sampling.labels`. → {"generated": Found,
    "portraits": Found}.
    """
    if getattr(G, "img_channels", 3) != 3:
        raise ValueError("this generator's images are grey, and the portraits that it is to find are in colour")
    device = next(G.parameters()).device
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        own = G.synthesis(latents(G, images, seed, c))
    people = portraits.sample_attributes(images, REFERENCE_SEED)
    reals = portraits.render(people, G.resolution, portraits.sample_noise(images, REFERENCE_SEED), device)
    targets = eight_bit(torch.cat([own, reals]))
    start = seed if start is None else start
    found = inversion.project(G, targets, distance, space, steps, seed=start, lr=lr, progress=progress, c=c)
    with torch.no_grad():
        projections = G.synthesis(found.ws, noise=found.noise)
    errors = (projections - targets).square().mean(dim=(1, 2, 3)).sqrt()
    kinds = zip(*(x.split(images) for x in (targets, projections, found.distances[-1], errors)))
    return {name: Found(*pictures, near.tolist(), error.tolist())
            for name, (*pictures, near, error) in zip(("generated", "portraits"), kinds)}
