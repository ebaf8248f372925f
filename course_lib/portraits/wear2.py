"""Hats of their own colour, glasses and sunglasses: version 2."""

import torch

from . import accessories
from .body2 import GRAIN
from .face import EYES, eye_spacing, paired, place
from .sdf import box, coverage, length, mix, over, smoothstep


def hat(s, canvas):
    """The hats of version 1 in cloth of their own colour, its accent on the band and the badge."""
    base, dark, accent = (color + GRAIN * s.grain for color in s.hat_colors)
    s.clothing_colors = accent, accent * 0.6, base
    return accessories.hat(s, canvas)


def glasses(s, canvas):
    """Round or square glasses, or sunglasses, whose lenses let a little of the eyes through."""
    a, px = s.a, s.pixel
    square, sun = a["glasses:square"], a["glasses:sunglasses"]
    spacing = eye_spacing(s)
    x, y, side = paired(s, place(s, -spacing, EYES, 1.06), place(s, spacing, EYES, 1.06))
    y = y - 0.005
    ring = mix(length(x, y) - 0.180, box(x, y, 0.185, 0.135, 0.05), square)
    ring = mix(ring, box(x - 0.005, y - 0.01 + 0.10 * x * sun, 0.195, 0.150, 0.11), sun)
    frame = ring.abs() - 0.019
    bridge = torch.maximum((y + 0.045 - 0.6 * (x + 0.22) ** 2).abs() - 0.016, torch.maximum(x + 0.175, -ring))
    temple = torch.maximum(torch.maximum((y + 0.035).abs() - 0.017, 0.175 - x), s.face)
    d = torch.minimum(frame, torch.minimum(bridge, temple))
    lens = mix(s.ink, s.tinted, smoothstep(y, -0.12, 0.13))
    out = over(canvas, lens, sun * (0.80 - 0.16 * smoothstep(y, -0.10, 0.10)) * coverage(ring, px))
    glare = smoothstep((x * side + y * 0.8 - 0.03).abs(), 0.06, 0.02) * coverage(ring + 0.02, px)
    out = over(out, torch.ones_like(s.tortoise), (0.16 + 0.18 * sun) * glare * smoothstep(y, 0.02, -0.08))
    cast = smoothstep((ring - 0.01).abs(), 0.05, 0.0) * smoothstep(y, -0.05, 0.15)
    out = over(out, s.skin_colors[1], 0.30 * cast * coverage(s.face, px))
    metal = (a["skin"] > 0.55).float()
    return over(out, mix(s.tortoise, s.brass, metal), coverage(d, px))
