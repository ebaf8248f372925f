"""Images that a few lines draw, to train features on that belong to no data set (Baradad et al. 2021, arXiv:2106.05963).

Dead leaves (Lee, Mumford and Huang 2001): shapes of all sizes that hide one another, here with gratings on them, so that there are
edges, corners and textures at every scale. Coloured noise, whose amplitude falls as a power of the frequency, as in photographs.
"""
import math

import torch

LEAVES = 80                         # shapes of an image
SMALLEST, LARGEST = (0.02, 0.2), 0.7        # radius of a shape, as a share of the image's side; the smallest is the image's own


def dead_leaves(n, resolution, rng):
    """Images [n, 3, R, R] in [-1, 1] of LEAVES ellipses, rectangles and diamonds each; rng: a torch.Generator on the CPU."""
    uniform = lambda *shape: torch.rand(n, *shape, generator=rng)
    line = (torch.arange(resolution) + 0.5) / resolution
    y, x = (axis.expand(n, -1, -1) for axis in torch.meshgrid(line, line, indexing="ij"))
    palette = 1.2 * uniform(1, 1, 1) - 0.6 + 0.6 * (uniform(3, 1, 1) - 0.5)         # the colours of one image lie about its own
    spread = 0.2 + 0.6 * uniform(1, 1, 1)
    smallest = SMALLEST[0] * (SMALLEST[1] / SMALLEST[0]) ** uniform(1, 1)
    images = palette.expand(-1, -1, resolution, resolution)
    for _ in range(LEAVES):
        angle, turn, phase = (uniform(1, 1) * 2 * math.pi for _ in range(3))
        radius = (smallest ** -2 + uniform(1, 1) * (LARGEST ** -2 - smallest ** -2)) ** -0.5          # density ~ radius⁻³
        dx, dy = (x - uniform(1, 1)) / radius, (y - uniform(1, 1)) / radius * (0.5 + uniform(1, 1))
        u, v = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()
        shape = uniform(1, 1)
        distance = torch.where(shape < 0.4, (u * u + v * v).sqrt(), torch.where(shape < 0.8, torch.maximum(u.abs(), v.abs()),
                                                                               u.abs() + v.abs()))
        frequency, contrast = resolution * 0.45 * uniform(1, 1) ** 2, 0.5 * (uniform(1, 1) - 0.5).clamp(min=0)
        grating = contrast * torch.sin(2 * math.pi * frequency * (x * turn.cos() + y * turn.sin()) + phase)
        colour = palette + spread * (uniform(1, 1, 1) + uniform(3, 1, 1) - 1) + grating[:, None]
        images = torch.where((distance < 1)[:, None], colour, images)
    return images.clamp(-1, 1)


def coloured_noise(n, resolution, rng):
    """Images [n, 3, R, R] in [-1, 1] of Gaussian noise whose amplitude at frequency f is f^−α, α between 0.5 and 2, stretched in a
    direction of each image's own; rng: a torch.Generator on the CPU."""
    uniform = lambda *shape: torch.rand(n, *shape, generator=rng)
    fy, fx = torch.meshgrid(torch.fft.fftfreq(resolution), torch.fft.rfftfreq(resolution), indexing="ij")
    angle, stretch = 2 * math.pi * uniform(1, 1), 1 + 3 * uniform(1, 1) ** 2
    u, v = fx * angle.cos() + fy * angle.sin(), (fy * angle.cos() - fx * angle.sin()) * stretch
    amplitude = (u.square() + v.square() + resolution ** -2) ** -(0.25 + 0.75 * uniform(1, 1))
    white = torch.randn(n, 3, resolution, resolution, generator=rng)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude[:, None], s=(resolution, resolution))
    noise = (noise - noise.mean(dim=(2, 3), keepdim=True)) / noise.std(dim=(1, 2, 3), keepdim=True)
    mixed = noise[:, :1] + uniform(1, 1, 1) * noise                 # the three channels go together
    return (0.4 * mixed + 0.6 * (uniform(3, 1, 1) - 0.5)).clamp(-1, 1)
