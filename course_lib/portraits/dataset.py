"""Batches of portraits, drawn as they are needed: nothing is stored."""

from .renderer import render
from .sampling import sample_attributes, sample_noise
from .schema import VERSION


def batches(n: int, seed: int, resolution: int, batch_size: int = 256, device=None, version: str = VERSION):
    """Yield (images [b, 3, resolution, resolution] in [-1, 1], attributes) until n portraits are drawn.

    Batch i depends on (seed, i) alone; attributes stay on the CPU.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
    for i, start in enumerate(range(0, n, batch_size)):
        size = min(batch_size, n - start)
        attributes = sample_attributes(size, seed * 1_000_003 + 2 * i, version=version)
        noise = sample_noise(size, seed * 1_000_003 + 2 * i + 1)
        yield render(attributes, resolution, noise, device, version), attributes
