"""Projection: the latent and the noise with which a generator comes closest to given images."""
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tqdm import tqdm

from . import sampling
from .images import check, in_colour
from .metrics.perceptual import name_of

W_SAMPLES = 10_000
NOISE_LR = 0.1                  # as published; noise has deviation 1 in every generator


class Projection(NamedTuple):
    """What `project` found for N images. `G.synthesis(ws, noise=noise)` renders it."""
    ws: torch.Tensor            # [N, num_ws, w_dim]
    noise: list                 # one [N, 1, H, W] per convolution
    distances: torch.Tensor     # [steps + 1, N] as seen on the way; the last row is that of the result
    frames: list                # images [N, 3, H, W] on the CPU, every `frame_every` steps
    distance: str               # its name


def project(G, targets, distance, space="w", steps=1000, noise_regularization=1e5, seed=0, lr=0.4, w_noise=0.05,
            stop_below=None, frame_every=0, callback=None, progress=False, c=None):
    """Find w and noise for images, as StyleGAN2 App. D: descend on distance(G(w), image) + noise_regularization · L_noise.

    targets [N, 3, H, W] in [-1, 1] of the generator's resolution. distance: images a, b → [N], differentiable. space:
    "w" has one latent for all layers, "w+" one for each. The latent starts at the mean of W and is shaken by noise that
    fades until 3/4 of the way (`w_noise` times the deviation of W). lr: the learning rate for the latent in standard deviations
    of an entry of W, whose scale differs from one generator to the next (the published 0.1 is absolute). noise_regularization
    None leaves the noise constant.
    Images do not influence each other: an image gets the same result alone and in a batch. One whose distance falls
    below `stop_below` stays as it is. c: labels [N, c_dim], one row or a class for all, at the mean of whose W a class-conditional
    generator starts; without them, at that of all classes. callback(step, distances [N], images [N, 3, H, W]) → True ends it.
    Raises ValueError for images that are NaN or have another resolution, an unknown space and a NaN distance.
    """
    walk = projecting(G, targets, distance, space, steps, noise_regularization, seed, lr, w_noise, stop_below, c)
    frames, done = [], None
    with tqdm(total=steps, desc=f"projection into {space.upper()}", disable=not progress) as bar:
        while True:
            try:
                step, distances, images = walk.send(done)
            except StopIteration as end:
                found, images = end.value
                return found._replace(frames=frames + [images.cpu()] * bool(frame_every))
            if frame_every and step % frame_every == 0:
                frames.append(images.cpu())
            done = callback and callback(step, distances, images)
            bar.set_postfix(distance=f"{distances.mean():.4g}")
            bar.update()


@torch.enable_grad()
def projecting(G, targets, distance, space="w", steps=1000, noise_regularization=1e5, seed=0, lr=0.4, w_noise=0.05,
               stop_below=None, c=None):
    """`project` step by step: yields (step, distances [N], images [N, 3, H, W]), and ends early if it is sent something true.

    Returns (the Projection without frames, its images).
    """
    targets = _checked(G, targets, space, steps)
    n, device = len(targets), targets.device
    rng = torch.Generator().manual_seed(seed)
    mean, deviation = w_statistics(G, rng, c=sampling.labels(G, n, c) if c is not None else None)
    layers = 1 if space == "w" else G.num_ws
    scale = deviation / G.w_dim ** 0.5
    offsets = torch.zeros(n, layers, G.w_dim, device=device).requires_grad_()           # from the mean, in standard deviations
    sizes = [buffer.shape[-1] for name, buffer in G.synthesis.named_buffers() if name.endswith("noise_const")]
    noise = [torch.randn(1, 1, size, size, generator=rng).to(device).repeat(n, 1, 1, 1) for size in sizes]
    learned = [] if noise_regularization is None else noise
    for x in learned:
        x.requires_grad_()
    optimizer = torch.optim.Adam([{"params": [x]} for x in (offsets, *learned)], betas=(0.9, 0.999))
    moving = torch.ones(n, 1, 1, dtype=torch.bool, device=device)
    distances = []

    for step in range(steps):
        # Learning rates and noise on w follow their schedules; all images are shaken alike.
        t = step / steps
        for group in optimizer.param_groups:
            group["lr"] = (lr if group["params"][0] is offsets else NOISE_LR) * learning_rate_ramp(t)
        shake = torch.randn(1, layers, G.w_dim, generator=rng).to(device) * deviation * w_noise * max(0, 1 - t / 0.75) ** 2
        images = G.synthesis((mean + scale * offsets + shake * moving).expand(-1, G.num_ws, -1), noise=noise)
        found = _finite(distance(in_colour(images), in_colour(targets)), n)
        loss = found.sum() + sum(noise_penalty(x).sum() for x in learned) * (noise_regularization or 0)
        gradients = torch.autograd.grad(loss, [offsets, *learned])
        distances.append(found.detach().cpu())

        # An image that is close enough moves no more.
        if stop_below is not None:
            moving &= (found.detach() >= stop_below).view(n, 1, 1)
        if (yield step, distances[-1], images.detach()) or not moving.any():
            break

        # Step, and give every noise image mean 0 and deviation 1 again.
        before = [x.detach().clone() for x in (offsets, *learned)]
        for x, gradient in zip((offsets, *learned), gradients):
            x.grad = gradient
        optimizer.step()
        with torch.no_grad():
            for x in learned:
                x.copy_(normalised(x))
            for x, old in zip((offsets, *learned), before):
                x.copy_(torch.where(moving.view(n, *[1] * (x.ndim - 1)), x, old))

    ws, noise = (mean + scale * offsets.detach()).expand(-1, G.num_ws, -1), [x.detach() for x in noise]
    with torch.no_grad():
        images = G.synthesis(ws, noise=noise)
        distances.append(_finite(distance(in_colour(images), in_colour(targets)), n).cpu())
    return Projection(ws, noise, torch.stack(distances), [], name_of(distance)), images


@torch.no_grad()
def w_statistics(G, rng, samples=W_SAMPLES, c=None):
    """App. D: the mean of W [w_dim] and its deviation, the root of E |w − mean|², from `samples` latents.

    c: labels [N, c_dim] of a class-conditional generator → the same for each row, [N, 1, w_dim] and [N, 1, 1]; without them
    over all classes.
    """
    def measured(draws):
        w = torch.cat([G.mapping(z, **given) for z, given in draws])
        mean = w.mean(dim=0)
        return mean, (w - mean).square().sum(dim=1).mean().sqrt()

    if c is None:
        return measured(sampling.draws(G, samples, rng, batch=1000))
    rows, place = c.unique(dim=0, return_inverse=True)
    state, found = rng.get_state(), []
    for row in rows:                            # all from the same z
        rng.set_state(state)
        found.append(measured(sampling.draws(G, samples, rng, row, 1000)))
    mean, deviation = (torch.stack(part)[place] for part in zip(*found))
    return mean[:, None], deviation[:, None, None]


def learning_rate_ramp(t):
    """App. D: up linearly in the first 5 % of the steps, down by a cosine in the last 25 %. t from 0 to 1."""
    return min(1, t / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25)))


def noise_penalty(noise):
    """App. D, L_noise of one layer: squared correlations of neighbours, summed over sizes halved down to 8 px. → [N]

    Noise [N, 1, H, W]. Halving averages 2×2 pixels and doubles them, so that white noise keeps its deviation; the
    published code leaves the doubling out.
    """
    total = 0
    while True:
        total = total + sum((noise * noise.roll(1, dims=side)).mean(dim=(1, 2, 3)).square() for side in (2, 3))
        if noise.shape[-1] <= 8:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)


def normalised(noise):
    """Every noise image [N, 1, H, W] with mean 0 and mean square 1."""
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    return noise * noise.square().mean(dim=(2, 3), keepdim=True).rsqrt()


def _checked(G, targets, space, steps):
    if space not in ("w", "w+"):
        raise ValueError(f'space is "{space}"; choose "w" or "w+"')
    if not hasattr(G, "mapping"):
        raise ValueError("this generator has no mapping network, so there is no W to project into")
    if steps < 1:
        raise ValueError(f"{steps} steps find nothing; take at least 1, and 1000 as published")
    if targets.ndim != 4 or targets.shape[1:] != (G.img_channels, G.resolution, G.resolution) or not len(targets):
        raise ValueError(f"targets have shape {list(targets.shape)}; this generator needs [N, {G.img_channels}, {G.resolution}, "
                         f"{G.resolution}] in [-1, 1]: crop and resize first")
    return check(targets, (G.img_channels,), "targets").detach().to(next(G.parameters()))


def _finite(distances, n):
    if distances.shape != (n,):
        raise ValueError(f"the distance gave {list(distances.shape)} for {n} images; it must give [{n}]")
    if not distances.isfinite().all():
        raise ValueError(f"the distance is NaN or infinite for {(~distances.isfinite()).sum()} of {n} images")
    return distances
