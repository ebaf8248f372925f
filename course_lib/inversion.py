"""Projection: the latent and the noise with which a generator comes closest to given images."""
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tqdm import tqdm

from . import sampling
from .cuda_graphs import recorded
from .images import check, in_colour
from .metrics.perceptual import name_of
from .training import schedule
from .training.adam import adam, set_gradient, set_rate

W_SAMPLES = 10_000
NOISE_LR = 0.1                  # as published; noise has deviation 1 in every generator


class Projection(NamedTuple):
    """What `project` found for N images. `G.synthesis(ws, noise=noise)` renders it."""
    ws: torch.Tensor            # [N, num_ws, w_dim]
    noise: list                 # one [N, 1, H, W] per convolution
    distances: torch.Tensor     # [steps + 1, N] on the way, fewer if all images stopped; the last row is that of the result
    frames: list                # images [N, 3, H, W] on the CPU, every `frame_every` steps
    distance: str               # its name


class Best(NamedTuple):
    """For each of N images the nearest of the projections that `project_best` tried."""
    ws: torch.Tensor            # [N, num_ws, w_dim]
    noise: list                 # one [N, 1, H, W] per convolution
    distances: torch.Tensor     # [N]
    rates: torch.Tensor         # [N], the learning rate of each
    seeds: torch.Tensor         # [N]
    frames: list                # images [N, 3, H, W] on the CPU, on the way of each
    distance: str               # its name


class Step(NamedTuple):
    """A projection after so many steps. Tensors stay on the generator's device, but for the distances."""
    step: int
    distances: torch.Tensor     # [N] on the CPU
    ws: torch.Tensor            # [N, num_ws, w_dim]
    noise: list                 # one [N, 1, H, W] per convolution
    images: torch.Tensor        # [N, 3, H, W], for the first 3/4 of the steps those of the shaken latent


def project(
    G, targets, distance, *,
    steps=1000,                 # of Adam
    frame_every=0,              # keep the images of every so many steps, and the last
    progress=False,             # show a progress bar; a text is what stands before it
    **options,                  # those of `project_steps`
):
    """Find w and noise for images: `project_steps` from the first step to the last. → Projection"""
    distances, frames = [], []
    what = progress if isinstance(progress, str) else "projection"
    with tqdm(total=steps, desc=what, unit="step", disable=not progress) as bar:
        for now in project_steps(G, targets, distance, steps=steps, **options):
            distances.append(now.distances)
            if frame_every and now.step % frame_every == 0:
                frames.append(now.images.cpu())
            bar.set_postfix(distance=f"{now.distances.mean():.4g}", refresh=False)
            bar.update(now.step - bar.n)
    if frame_every and now.step % frame_every:
        frames.append(now.images.cpu())
    return Projection(now.ws, now.noise, torch.stack(distances), frames, name_of(distance))


def project_best(
    G, targets, distance, *,
    rates=(0.2, 0.4, 0.8),      # learning rates, in standard deviations of an entry of W
    seeds=(0, 1),               # of noise and shaking
    progress=False,             # show a progress bar for each projection; a text is what stands before it
    **options,                  # the others of `project`, but for `stop_below`
):
    """Project images at several rates and from several seeds, and keep for each image the nearest result. → Best

    One projection depends much on its rate, and no rate is the best for every image, so the nearest of several is far more often a
    good one.
    """
    best, before, searches = None, f"{progress}, " if isinstance(progress, str) else "", list(product(seeds, rates))
    for number, (seed, rate) in enumerate(searches, 1):
        bar = f"{before}search {number} of {len(searches)} (rate {rate:g}, seed {seed})" if progress else False
        found = project(G, targets, distance, lr=rate, seed=seed, progress=bar, **options)
        near = found.distances[-1]
        new = [near, near.new_full([len(near)], rate), torch.full([len(near)], seed), found.ws, *found.noise, *found.frames]
        nearer = near < best[0] if best else torch.ones_like(near, dtype=torch.bool)
        best = [torch.where(nearer.view(-1, *[1] * (x.ndim - 1)).to(x.device), x, old) for x, old in zip(new, best or new)]
    noises = len(found.noise)
    return Best(best[3], best[4:4 + noises], *best[:3], best[4 + noises:], found.distance)


def project_steps(
    G, targets, distance, *,
    space="w",                  # "w": one latent for all layers; "w+": one for each
    steps=1000,                 # of Adam
    lr=0.4,                     # highest learning rate of the latent, in standard deviations of an entry of W
    w_noise=0.05,               # how much the latent is shaken at first, in standard deviations of W
    noise="learned",            # "learned", from a random start; "const": the generator's own, which stays
    noise_regularization=1e5,   # weight of L_noise; None: the noise stays as it is drawn
    stop_below=None,            # distance below which an image stays as it is
    c=None,                     # labels, one row or a class for all, at the mean of whose W the search starts; None: all classes
    seed=0,                     # of noise and shaking
    captured=None,              # record the step in a CUDA graph (default on CUDA); False where a distance cannot be recorded
):
    """StyleGAN2 App. D, descent on distance(G(w), image) + noise_regularization · L_noise, step by step: an iterator of
    `steps` + 1 Steps, which may be left at any.

    targets [N, 3, H, W] in [-1, 1] of the generator's resolution. distance: images a, b → [N], differentiable. The latent
    starts at the mean of W and is shaken by noise that fades until 3/4 of the way. The first Step is the start, the last the
    result; it comes early if every image has stopped. Images do not influence each other: an image gets the same result alone
    and in a batch.
    Raises ValueError for images that are NaN or have another resolution, an unknown space and a NaN distance.
    """
    targets = _checked(G, targets, space, steps, noise)
    n, device = len(targets), targets.device
    rng = torch.Generator().manual_seed(seed)
    mean, deviation = w_statistics(G, rng, c=sampling.labels(G, n, c) if c is not None else None)
    layers = 1 if space == "w" else G.num_ws
    scale = deviation / G.w_dim ** 0.5
    offsets = torch.zeros(n, layers, G.w_dim, device=device).requires_grad_()           # from the mean, in standard deviations
    consts = [buffer for name, buffer in G.synthesis.named_buffers() if name.endswith("noise_const")]
    fixed = noise == "const"
    noise = [x[None, None] if fixed else torch.randn(1, 1, *x.shape, generator=rng).to(device) for x in consts]
    noise = [x.repeat(n, 1, 1, 1) for x in noise]
    learned = [offsets] if fixed or noise_regularization is None else [offsets, *noise]
    for x in learned[1:]:
        x.requires_grad_()
    optimizer = adam([{"params": [x]} for x in learned], lr, device)
    moving = torch.ones(n, dtype=torch.bool, device=device)

    @torch.enable_grad()
    def descend(shake):
        ws = mean + scale * offsets
        images = G.synthesis((ws + shake * deviation * moving[:, None, None]).expand(-1, G.num_ws, -1), noise=noise)
        found = distance(in_colour(images), in_colour(targets))
        if found.shape != (n,):
            raise ValueError(f"the distance gave {list(found.shape)} for {n} images; it must give [{n}]")
        penalties = sum(noise_penalty(x) for x in learned[1:])
        gradients = torch.autograd.grad((found + penalties * (noise_regularization or 0)).sum(), learned)
        results = [images.detach(), ws.detach(), *[x.detach().clone() for x in noise]]

        # Step, and give every noise image mean 0 and standard deviation 1 again; an image that is close enough moves no more.
        if stop_below is not None:
            moving.logical_and_(found.detach() >= stop_below)
        before = [x.detach().clone() for x in learned]
        for x, gradient in zip(learned, gradients):
            set_gradient(x, gradient)
        optimizer.step()
        with torch.no_grad():
            for x in learned[1:]:
                x.copy_(normalised(x))
            for x, old in zip(learned, before):
                x.copy_(torch.where(moving.view(n, *[1] * (x.ndim - 1)), x, old))
        return [torch.stack([found.detach(), moving.to(found.dtype)]), *results]

    descend, resting = recorded(descend, device, captured), False
    for step in range(steps + 1):
        # Learning rates and the noise on w follow their schedules; all images are shaken alike.
        t = step / steps
        for group, rate in zip(optimizer.param_groups, [lr, *[NOISE_LR] * len(noise)]):
            set_rate(group, rate * schedule.learning_rate_ramp(t))
        shake = torch.randn(1, layers, G.w_dim, generator=rng) * w_noise * max(0, 1 - t / 0.75) ** 2
        found, images, ws, *drawn = descend(shake.to(device))
        distances, going_on = found.cpu()
        if not distances.isfinite().all():
            raise ValueError(f"the distance is NaN or infinite for {(~distances.isfinite()).sum()} of {n} images")
        yield Step(step, distances, ws.expand(-1, G.num_ws, -1), drawn, images)
        if resting:
            break
        resting = not going_on.any()


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


def _checked(G, targets, space, steps, noise):
    if space not in ("w", "w+"):
        raise ValueError(f'space is "{space}"; choose "w" or "w+"')
    if noise not in ("learned", "const"):
        raise ValueError(f'noise is "{noise}"; choose "learned" or "const"')
    if not hasattr(G, "mapping"):
        raise ValueError("this generator has no mapping network, so there is no W to project into")
    if steps < 1:
        raise ValueError(f"{steps} steps find nothing; take at least 1, and 1000 as published")
    if targets.ndim != 4 or targets.shape[1:] != (G.img_channels, G.resolution, G.resolution) or not len(targets):
        raise ValueError(f"targets have shape {list(targets.shape)}; this generator needs [N, {G.img_channels}, {G.resolution}, "
                         f"{G.resolution}] in [-1, 1]: crop and resize first")
    return check(targets, (G.img_channels,), "targets").detach().to(next(G.parameters()))
