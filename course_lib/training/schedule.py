"""Schedules: what changes while a network trains."""
import math

from .adam import set_rate


def ema_decay(images, batch, half_life_kimg=10, rampup=0.05):
    """Decay of the generator's moving average per step: half of it is older than `half_life_kimg` thousand images.

    With `rampup`, early in training the half-life is that share of the `images` seen so far.
    """
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


def anneal(images, total, share):
    """Factor of the learning rate: 1, then a parabola to 0 over the last `share` of the run, flat where it ends."""
    return min(1.0, (total - images) / (share * total)) ** 2 if share else 1.0


def geometric(images, total, first, last):
    """From `first` to `last` over the run, by the same factor per image."""
    return first * (last / first) ** (images / total)


def move(run, settings, gamma, rates):
    """Let what settings anneal follow the run's images: `gamma`, the tensor with the weight of R1, and Adam's rates from those in
    full, {optimizer: rate}."""
    s = settings
    for optimizer, rate in rates.items():
        set_rate(optimizer.param_groups[0], rate * anneal(run.images, s.images, s.lr_anneal))
    if s.r1_gamma_end:
        gamma.fill_(geometric(run.images, s.images, s.r1_gamma, s.r1_gamma_end))


def growing(images, resolution, start=4, stable=600_000, fade=600_000):
    """PGGAN §2: (resolution, α) of a network that grows to `resolution`, after so many images.

    Every resolution trains for `stable` images, then the next fades in over `fade` images; the last one stays. With
    `fade` 0 the next is switched on at once.
    """
    grown, within = divmod(images, stable + fade)
    if start << grown >= resolution:
        return resolution, 1.0
    if within > stable:
        return start << grown + 1, (within - stable) / fade
    return start << grown, 1.0


def at(table, resolution):
    """The value that a table [[resolution, value], …] gives from its last entry up to this resolution, or its first."""
    return max((entry for entry in sorted(table) if entry[0] <= resolution), default=min(table))[1]


def cosine(t):
    """From 1 to 0 along half a cosine. t from 0 to 1."""
    return 0.5 + 0.5 * math.cos(math.pi * t)


def learning_rate_ramp(t):
    """App. D: up linearly in the first 5 % of the steps, down by a cosine in the last 25 %. t from 0 to 1."""
    return min(1, t / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25)))
