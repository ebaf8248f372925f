"""Primitives: signed distances (negative inside), coverage, and painting one layer over another.

Pixel maps are [n, 1, h, w], per-portrait numbers [n, 1, 1, 1], colours [n, 3, 1, 1]; all broadcast.
Only arithmetic and square roots act on pixels, so CPU and GPU agree to rounding.
"""

import torch


def smoothstep(x, low, high):
    """0 below low, 1 above high, a cubic in between; falls instead of rises if low > high."""
    t = ((x - low) * (1 / (high - low))).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def length(x, y):
    return (x * x + y * y).sqrt()


def ellipse(x, y, rx, ry):
    """Distance to an ellipse at the origin, exact to first order at its edge."""
    ax, ay = x / rx, y / ry
    k = length(ax, ay)
    gradient = length(ax / rx, ay / ry)
    return k * (k - 1) / (gradient + 1e-4)


def blob(x, y, rx, ry):
    """A soft spot: 1 in the middle, 0 from the edge of the ellipse on."""
    t = (1 - (x / rx) ** 2 - (y / ry) ** 2).clamp_(min=0)
    return t * t * (3 - 2 * t)


def segment(x, y, x0, y0, x1, y1):
    """Distance to a line segment; subtract a radius for a capsule."""
    dx, dy = x1 - x0, y1 - y0
    t = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp_(0, 1)
    return length(x - x0 - t * dx, y - y0 - t * dy)


def box(x, y, rx, ry, radius):
    """Distance to a rectangle with rounded corners."""
    qx, qy = x.abs() - (rx - radius), y.abs() - (ry - radius)
    return length(qx.clamp(min=0), qy.clamp(min=0)) + torch.maximum(qx, qy).clamp(max=0) - radius


def smooth_union(a, b, k):
    h = (k - (a - b).abs()).clamp_(min=0)
    return torch.minimum(a, b) - h * h * (0.25 / k)


def coverage(distance, pixel):
    """How much of a pixel of width `pixel` lies inside: the analytic anti-aliasing."""
    return (0.5 - distance * (0.8 / pixel)).clamp_(0, 1)


def wave(t):
    """A sine of period 1 made of parabolas: -1 to 1, arithmetic only."""
    t = t - t.floor()
    s = 4 * t - 2
    return s * (s.abs() - 2)


def over(canvas, color, alpha):
    """Paint `color` with opacity `alpha` over the canvas."""
    return torch.lerp(canvas, color, alpha)


def mix(a, b, t):
    return a + (b - a) * t
