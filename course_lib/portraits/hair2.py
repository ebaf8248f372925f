"""Hair in version 2: as in version 1, but with grain, and neat or messy. Messy hair has streaks, tufts and single strands, all by
chance."""

import torch
import torch.nn.functional as F

from . import hair
from .body2 import GRAIN
from .hair import strand_noise
from .sdf import coverage, length, mix, over, smoothstep, wave


def grow(s):
    """The silhouette and opening of `hair.grow`, the streaks of messy hair [n, 1, h, w] in [-1, 1], and where light falls on it."""
    hair.grow(s)
    a = s.a
    messy, curly = a["hair_strands:messy"], a["hair_texture:curly"]
    along = mix(torch.stack(torch.broadcast_tensors(s.hair_u * 1.25, s.Y * 0.27)), torch.stack([s.X * 0.9, s.Y * 0.9]), curly)
    grid = along.squeeze(2).permute(1, 2, 3, 0)
    s.hair_streak = F.grid_sample(s.noise[:, :1], grid, padding_mode="reflection", align_corners=False) * 2 - 1
    free = 1 - a["hatted"] * smoothstep(s.Y, -0.1, -0.3)
    tufts = (0.10 - 0.04 * curly) * messy * free * (s.hair_streak - 0.1)
    s.hair_silhouette = s.hair_silhouette - tufts * smoothstep(s.face, -0.1, 0.0)

    nx, ny = s.hair_normal
    smooth = 1 - 0.75 * curly
    strand = smooth * (strand_noise(s, s.hair_u * 1.3, 0) - 0.5)
    lit = 0.50 * a["light"] * nx - 0.42 * ny + 0.12 + 0.50 * strand + 0.38 * s.hair_curl
    s.hair_lit = lit + 0.30 * a["hair_texture:wavy"] * wave(s.Y * 2.9 + 0.8 * nx * nx + 0.45)
    r2 = (nx - 0.25 * a["light"]) ** 2 + ny * ny
    band = smoothstep((r2 - 0.50 - 0.20 * strand - 0.20 * s.hair_curl).abs(), 0.20, 0.0)
    band = band * smoothstep(ny, 0.15, -0.35) * smoothstep(nx * a["light"], -0.55, 0.35)
    s.hair_shine = band * (1 - 0.45 * curly)


def tone(s, depth):
    """Hair colour: form shading, strands, curls and the band of shine; depth darkens what lies behind."""
    dark, base, light = s.hair_colors
    color = mix(dark, base, smoothstep(s.hair_lit, -0.75 + depth, 0.40 + depth))
    shine = 0.72 * s.hair_shine + 0.12 * smoothstep(s.hair_lit, 0.35, 0.9)
    return streaked(s, mix(color, light, shine * (1 - 1.6 * depth)), 1 - depth)


def streaked(s, color, strength=1.0):
    """The colour with grain; of messy hair, with light and dark streaks over it."""
    streak = (1.5 - 0.6 * s.a["hair_texture:curly"]) * strength * s.a["hair_strands:messy"] * s.hair_streak
    color = mix(color, s.hair_colors[2], streak.clamp(0, 0.85))
    return mix(color, s.hair_colors[0], (-streak).clamp(0, 0.85)) + GRAIN * strength * s.grain


def back(s, canvas):
    """What lies behind neck and face: the whole silhouette, darker."""
    color = mix(tone(s, 0.22), s.hair_colors[0], 0.35)
    return over(canvas, color, coverage(s.hair_silhouette, s.pixel * 1.3))


def bun(s, canvas):
    dark, base, light = s.hair_colors
    X, Y = s.X + 0.10 * s.turn, s.Y + 0.71 - 0.9 * s.nod
    d = length(X * 0.92, Y) - 0.185 - 0.05 * s.a["hair_strands:messy"] * s.hair_streak
    lit = smoothstep(X * s.a["light"] - Y, -0.20, 0.16)
    swirl = wave(length(X - 0.03, Y + 0.02) * 7 + 0.25 * strand_noise(s, s.hair_u * 2, 2))
    color = mix(dark, mix(base, light, 0.35 * lit), 0.15 + 0.7 * lit + 0.15 * swirl)
    return over(canvas, streaked(s, color, 0.8), coverage(d, s.pixel))


def tail(s, canvas):
    dark, base, light = s.hair_colors
    a, Y = s.a, s.Y
    wavy, curly = a["hair_texture:wavy"], a["hair_texture:curly"]
    x = s.X - 0.30 + 0.12 * s.turn + 0.035 * wavy * wave(Y * 2.9) + 0.03 * curly * wave(Y * 4.4)
    t = ((Y + 0.45) / 1.15).clamp(0, 1)
    x = x - 0.42 * t * (2.05 - 1.7 * t)
    d = (x.abs() - 0.145 * (1 - t * t * t) * (0.55 + 1.4 * t) - 0.03 * curly) * 0.9 - 0.05 * a["hair_strands:messy"] * s.hair_streak
    d = torch.maximum(torch.maximum(d, -0.38 - Y) - 0.02 * s.hair_curl, Y - 0.64)
    sheen = smoothstep((x + 0.03 * a["light"]).abs(), 0.07, 0.0) * smoothstep(t, 0.95, 0.3)
    strand = strand_noise(s, x * 1.7, 2) - 0.5
    color = mix(mix(dark, base, 0.65 + 0.6 * strand), light, 0.45 * sheen)
    return over(canvas, streaked(s, color, 0.9), coverage(d, s.pixel * 1.2))


def front(s, canvas):
    """Hair around the face, and the soft shadow that it casts on it."""
    shadow = s.skin_colors[1]
    below = smoothstep(s.hair_opening, -0.13, 0.0) * smoothstep(s.Y, 0.35, -0.05)
    out = over(canvas, mix(shadow, shadow * 0.8, 0.4), 0.62 * below * coverage(s.face, s.pixel))
    d = torch.maximum(s.hair_silhouette, -s.hair_opening)
    edge = smoothstep(s.hair_opening, 0.07, 0.0)
    return over(out, mix(tone(s, 0.0), s.hair_colors[0], 0.35 * edge), coverage(d, s.pixel * 1.3))


def strays(s, canvas):
    """Single strands that stand off the outline, in pieces."""
    knots = lambda channel, size: F.interpolate(s.noise[:, channel:channel + 1, :size, :size], [round(2 / s.pixel)] * 2,
                                                mode="bicubic", align_corners=False)
    away = 0.13 * knots(1, 9) - 0.02
    strand = (s.hair_silhouette - away).abs() - 0.013
    alpha = coverage(strand, s.pixel) * smoothstep(knots(2, 9), 0.45, 0.55)
    alpha = alpha * smoothstep(s.face, 0.0, 0.03) * smoothstep(s.Y, 0.50, 0.30) * (1 - s.a["hatted"] * smoothstep(s.Y, 0.06, 0.02))
    return over(canvas, mix(s.hair_colors[1], s.hair_colors[0], 0.4), 0.9 * alpha)
