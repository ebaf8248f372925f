"""Perceptual path length: how evenly images change along interpolations in Z or W."""
import copy

import numpy as np
import torch
from tqdm import tqdm

from .. import ops
from ..images import in_colour, unchecked
from ..sampling import given, labels
from .perceptual import name_of


@unchecked()
@torch.no_grad()
def perceptual_path_length(
    G, distance, *,
    space="w",                  # "w": along lerp in W; "z": along slerp in Z
    sampling="full",            # "full": t ~ U(0, 1); "end": t = 0
    epsilon=1e-4,               # the step along the path, as a part of it
    samples=10_000,             # pairs of latents
    seed=0,                     # of the pairs
    psi=1.0,                    # truncation
    c=None,                     # labels of a class-conditional generator, one for both ends of a pair (`sampling.labels`)
    crop=False,                 # only the face, as published for FFHQ
    dtype=None,                 # None: float64 for an ε below 1e-3, where float32 errs by percents, otherwise float32
    batch_size=64,              # pairs at a time
    progress=False,             # show a progress bar
):
    """Perceptual path length (StyleGAN §4.1, eq. 2 in Z and eq. 3 in W) over random pairs of latents.

    distance: images a, b [N, 3, H, W] → [N]. G is copied, never changed. The mean leaves out what lies beyond the 1st and 99th
    percentile; low and high bound its 95 % confidence interval (`trimmed_mean`).
    Returns a dict: mean, low, high, in the distance's unit, and with what they were measured.
    Raises ValueError for ε ≤ 0, fewer than 2 samples, an unknown space or sampling, and a distance that is NaN.
    """
    if sampling not in ("full", "end"):
        raise ValueError(f'sampling is "{sampling}"; choose "full" or "end"')
    if samples < 2:
        raise ValueError(f"{samples} samples give no mean with an interval; take at least 2, and 10,000 for a steady value")
    dtype = dtype or (torch.float64 if epsilon < 1e-3 else torch.float32)
    G = copy.deepcopy(G).to(dtype)
    device = next(G.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    z0, z1 = torch.randn(2, samples, G.z_dim, generator=rng).to(dtype)
    t = torch.rand(samples, generator=rng).to(dtype) * (sampling == "full")
    c, lengths = labels(G, samples, c, rng), []
    with tqdm(total=samples, desc=f"ppl {space} {sampling}", unit="pair", disable=not progress) as bar:
        for start in range(0, samples, batch_size):
            rows = slice(start, start + batch_size)
            part = [x[rows].to(device) for x in (z0, z1, t)]
            noise_seed = torch.randint(2 ** 31, (), generator=rng).item()
            lengths.append(path_lengths(G, distance, *part, space, epsilon=epsilon, psi=psi, crop=crop, noise_seed=noise_seed,
                                        c=c if c is None else c[rows]).cpu())
            bar.update(len(part[0]))
    mean, low, high = trimmed_mean(torch.cat(lengths))
    return {"mean": mean, "low": low, "high": high, "distance": name_of(distance), "space": space, "sampling": sampling,
            "epsilon": epsilon, "samples": samples}


def path_lengths(
    G, distance, z0, z1, t, space="w", *,
    epsilon=1e-4,               # the step along the path, as a part of it
    noise="random",             # that of `G.synthesis`
    noise_seed=0,               # of random noise
    psi=1.0,                    # truncation
    c=None,                     # labels [N, c_dim] of a class-conditional generator
    crop=False,                 # only the face, rows 3/8 to 7/8 and columns 2/8 to 6/8, as published for FFHQ
):
    """The terms of StyleGAN eq. 2 and 3: d(g(t), g(t + ε)) / ε², g along slerp in Z or lerp in W.

    z0, z1 [N, z_dim], t [N] → [N]. Every pair has noise of its own, the same for both of its images.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; a step along the path must be greater than 0")
    if space not in ("z", "w"):
        raise ValueError(f'space is "{space}"; choose "z" or "w"')
    if space == "w" and not hasattr(G, "mapping"):
        raise ValueError('this generator has no mapping network, so there is no W; measure it in "z"')
    options, classes = {} if isinstance(noise, str) and noise == "random" else {"noise": noise}, given(c)
    if space == "w":
        network, between = G.synthesis, torch.lerp
        a, b = (w if psi == 1 else G.w_avg + psi * (w - G.w_avg) for w in (G.mapping(z0, **classes), G.mapping(z1, **classes)))
    else:
        network, between, a, b = G, ops.slerp, z0, z1
        options |= classes | ({} if psi == 1 else {"psi": psi})

    def render(latents):
        images = in_colour(_same_noise(network, latents, noise_seed, options))
        h, w = images.shape[2:]
        return images[:, :, h * 3 // 8:h * 7 // 8, w * 2 // 8:w * 6 // 8] if crop else images

    return path_terms(render, _checked(distance), between, a, b, t.to(z0)[:, None], epsilon)


def path_terms(render, distance, between, a, b, t, epsilon=1e-4):
    """StyleGAN §4.1, eq. 2 and 3 without the expectation: d(g(between(a, b, t)), g(between(a, b, t + ε))) / ε².

    render: latents → images. distance: images, images → [N]. between: a, b [N, D], t [N, 1] → latents, slerp in Z and lerp
    in W. → [N]
    """
    return distance(render(between(a, b, t)), render(between(a, b, t + epsilon))) / epsilon ** 2


def trimmed_mean(values, percent=1):
    """Mean [N] between two percentiles, both rounded outwards to a value and included, and its 95 % confidence interval.

    The interval is ±1.96 standard errors of a trimmed mean (Tukey & McLaughlin 1963): the standard deviation of the values
    clamped to the percentiles, over the share that is kept times √N.
    """
    values = np.asarray(values, dtype=np.float64)
    low = np.percentile(values, percent, method="lower")
    high = np.percentile(values, 100 - percent, method="higher")
    kept = values[(values >= low) & (values <= high)]
    error = values.clip(low, high).std(ddof=1) / (len(kept) / len(values) * len(values) ** 0.5)
    return kept.mean().item(), (kept.mean() - 1.96 * error).item(), (kept.mean() + 1.96 * error).item()


def _same_noise(render, latents, seed, options):
    device = latents.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return render(latents, **options)


def _checked(distance):
    """The distance, which raises ValueError where it does not give one finite number a pair."""

    def checked(*images):
        result, n = distance(*images), len(images[0])
        if result.shape != (n,):
            raise ValueError(f"the distance gave {list(result.shape)} for {n} pairs of images; it must give [{n}]")
        if not result.isfinite().all():
            raise ValueError(f"the distance is NaN or infinite for {(~result.isfinite()).sum()} of {n} pairs; "
                             f"{(~torch.cat(images).flatten(1).isfinite().all(dim=1)).sum()} of their images are not finite")
        return result

    return checked
