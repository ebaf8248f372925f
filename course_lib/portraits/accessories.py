"""What one puts on: hats, glasses, earrings."""

import torch

from .face import EYES, ear_place, eye_spacing, paired, place
from .sdf import box, coverage, ellipse, length, mix, over, smoothstep, wave


def hat(s, canvas):
    """A beanie with a cuff, a cap with a visor, or a brimmed hat with a band. It takes the clothing's accent."""
    base, dark, accent = s.clothing_colors
    accent_dark = accent * 0.58
    a, px = s.a, s.pixel
    beanie, cap, brimmed = a["hat:beanie"], a["hat:cap"], a["hat:brimmed"]
    worn = a["hatted"]
    X, Y = s.X + 0.03 * s.turn, s.Y - 0.95 * s.nod
    wide = s.width + 0.085
    bend = -0.10 * (X / wide) ** 2  # the rim curves up at the sides
    rim = -0.30 - 0.03 * cap + bend

    height = 0.50 + 0.03 * beanie
    dome = ellipse(X, Y + 0.26, wide, height)
    dome = torch.maximum(dome, Y - rim)
    nx, ny = X / wide, (Y + 0.26) / height
    lit = 0.6 * a["light"] * nx - 0.5 * ny
    knit = wave(nx * 5.5 * (1.0 + 0.25 * ny)) * beanie
    tone = mix(accent_dark, accent, smoothstep(lit + 0.14 * knit, -0.55, 0.42))
    tone = mix(tone, accent + 0.5 * (1 - accent), 0.35 * smoothstep(lit, 0.40, 0.75))
    shade = smoothstep(Y - rim, 0.16, -0.02) * (s.face < 0.02) * (Y > rim)
    out = over(canvas, s.skin_colors[1] * 0.85, 0.45 * shade * worn * coverage(s.face, px))
    out = over(out, tone, worn * coverage(dome, px))

    cuff = box(X, Y - rim + 0.045, wide + 0.025, 0.085, 0.05)
    ribs = wave(nx * 8)
    cuff_tone = mix(accent_dark, accent, 0.55 + 0.45 * smoothstep(0.6 * a["light"] * nx + 0.16 * ribs, -0.5, 0.4))
    out = over(out, accent_dark * 0.8, 0.6 * beanie * smoothstep(cuff, 0.035, 0.0) * coverage(dome, px))
    out = over(out, cuff_tone, beanie * coverage(cuff, px))
    pom = length(X + 0.02 * s.turn, Y + 0.81) - 0.12
    puff = mix(accent, torch.ones_like(accent), 0.55)
    out = over(out, mix(puff * 0.75, puff, smoothstep(a["light"] * X - (Y + 0.82), -0.1, 0.1)), beanie * coverage(pom, px))

    vx = X - 0.20 * s.turn
    visor = ellipse(vx, Y + 0.385, wide * 1.0, 0.145)
    visor = torch.maximum(visor, -(Y + 0.425 + bend * -0.4))
    strip = torch.maximum(dome, rim - 0.045 - Y)
    out = over(out, accent_dark, 0.75 * cap * coverage(strip, px))
    v_tone = mix(accent_dark, accent, 0.35 + 0.3 * smoothstep(Y, -0.24, -0.38) + 0.2 * a["light"] * nx)
    out = over(out, v_tone, cap * coverage(visor, px))
    badge = ellipse(X - 0.16 * s.turn, Y + 0.56, 0.105 , 0.095)
    out = over(out, mix(base, torch.ones_like(base), 0.15), cap * coverage(badge, px))

    brim = ellipse(X - 0.05 * s.turn, Y + 0.33 + 0.16 * (X / 0.8) ** 2, 0.74, 0.115)
    band = torch.maximum(dome, -(Y + 0.50 + 0.08 * nx * nx))
    out = over(out, mix(dark, base, 0.6 + 0.4 * a["light"] * nx), brimmed * coverage(band, px))
    b_tone = mix(accent_dark, accent, smoothstep(0.45 * a["light"] * nx - 3.5 * (Y + 0.33), -0.75, 0.35))
    return over(out, b_tone, brimmed * coverage(brim, px))


def glasses(s, canvas):
    a, px = s.a, s.pixel
    round_, square = a["glasses:round"], a["glasses:square"]
    worn = round_ + square
    spacing = eye_spacing(s)
    x, y, side = paired(s, place(s, -spacing, EYES, 1.06), place(s, spacing, EYES, 1.06))
    y = y - 0.005
    ring = mix(length(x, y) - 0.180, box(x, y, 0.185, 0.135, 0.05), square)
    frame = ring.abs() - 0.019
    bridge = torch.maximum((y + 0.045 - 0.6 * (x + 0.22) ** 2).abs() - 0.016, torch.maximum(x + 0.175, -ring))
    temple = torch.maximum(torch.maximum((y + 0.035).abs() - 0.017, 0.175 - x), s.face)
    d = torch.minimum(frame, torch.minimum(bridge, temple))
    dark = s.tortoise
    gold = s.brass
    metal = (a["skin"] > 0.55).float()
    glare = smoothstep((x * s.side + y * 0.8 - 0.03).abs(), 0.06, 0.02) * coverage(ring + 0.02, px)
    out = over(canvas, torch.ones_like(dark), worn * 0.16 * glare * smoothstep(y, 0.02, -0.08))
    cast = smoothstep((ring - 0.01).abs(), 0.05, 0.0) * smoothstep(y, -0.05, 0.15)
    out = over(out, s.skin_colors[1], 0.30 * worn * cast * coverage(s.face, px))
    return over(out, mix(dark, gold, metal), worn * coverage(d, px))


def earrings(s, canvas):
    """Gold hoops below the ears, worn over loose hair."""
    a, px = s.a, s.pixel
    x, y = ear_place(s)
    x, y = x - 0.035, y - 0.215
    hoop = (length(x, y) - 0.070).abs() - 0.018
    gold = s.gold
    deep = s.bronze
    out = over(canvas, deep * 0.6, 0.5 * a["earrings:hoops"] * smoothstep(hoop, 0.035, 0.0))
    return over(out, mix(deep, gold, smoothstep(y - 0.5 * a["light"] * x * s.side, 0.08, -0.02)),
                a["earrings:hoops"] * coverage(hoop, px))
