"""Behind and below the head: background, neck and clothes."""

import torch

from .sdf import blob, box, coverage, ellipse, length, mix, over, smooth_union, smoothstep


def background(s):
    """A soft glow on the side of the light, falling off to the corners."""
    glow, edge = s.background_colors
    r = length(s.x - 0.35 * s.a["light"], s.y + 0.25)
    canvas = mix(glow, edge, smoothstep(r, 0.1, 1.7))
    return canvas.expand(len(s.noise), 3, canvas.shape[2], canvas.shape[3])


def neck(s, canvas):
    base, shadow = s.skin_colors[:2]
    a = s.a
    top = s.chin_x * 0.5
    half = 0.165 + 0.035 * a["presentation:man"]
    t = ((s.y - 0.25) / 0.55).clamp(0, 1)
    x = s.x - top * (1 - t)
    flare = (s.y - 0.52).clamp(min=0)
    d = x.abs() - half - 1.6 * flare * flare
    d = torch.maximum(d, 0.1 - s.y)
    lit = smoothstep(x * a["light"], -0.25, 0.2)
    color = mix(shadow, base, 0.15 + 0.70 * lit)
    # The chin's shadow falls on the neck, away from the light.
    under = ellipse(s.x - s.chin_x * 0.9 + 0.05 * a["light"], s.y - s.chin_y + 0.20, 0.36, 0.34)
    color = mix(color, shadow * 0.90, smoothstep(under, 0.07, -0.05))
    return over(canvas, color, coverage(d, s.pixel))


def clothes(s, canvas):
    """Shoulders in a tee, a shirt with a collar or a turtleneck."""
    base, dark, _ = s.clothing_colors
    a = s.a
    man, px = a["presentation:man"], s.pixel
    tee, shirt, turtle = a["clothing:tee"], a["clothing:shirt"], a["clothing:turtleneck"]
    x, y = s.x, s.y
    shoulders = ellipse(x, y - 1.22, 0.80 + 0.16 * man, 0.56 + 0.02 * man)
    yoke = ellipse(x, y - 1.05, 0.46 + 0.08 * man, 0.44)
    d = smooth_union(shoulders, yoke, 0.16)
    neckline = ellipse(x, y - 0.60, 0.235 + 0.03 * man, 0.17 + 0.02 * tee)
    v = (y - 0.60) * 0.42 + x.abs() - 0.21  # an open collar
    opening = mix(neckline, torch.maximum(v, -0.5 - y), shirt) + 9 * turtle
    cloth = torch.maximum(d, -opening)

    lit = smoothstep(x * a["light"] * 0.9 - 0.55 * (y - 0.85), -0.6, 0.45)
    fold = blob(x.abs() - 0.42 - 0.05 * man, y - 1.0, 0.09, 0.3)
    color = mix(dark, base, 0.3 + 0.7 * lit - 0.35 * fold)
    out = over(canvas, color, coverage(cloth, px))
    # Tee: a ribbed band. Shirt: two collar leaves over the edge. Turtleneck: a tube around the neck.
    rib = torch.maximum((neckline - 0.035).abs() - 0.03, d) + 9 * (1 - tee)
    out = over(out, mix(base, dark, 0.55), coverage(rib, px))
    ax = x.abs()
    outer = (ax - 0.24 - 0.03 * man) * 0.79 - (y - 0.53) * 0.61
    below = (ax - 0.40) * 0.39 + (y - 0.77) * 0.92
    leaf = torch.maximum(torch.maximum(-v, outer), below) + 9 * (1 - shirt)
    out = over(out, dark, 0.5 * smoothstep(leaf, 0.06, 0.0) * coverage(cloth, px))
    out = over(out, mix(base, torch.ones_like(base), 0.35), coverage(leaf, px))
    tube = box(x - 0.15 * s.chin_x, y - 0.68, 0.215 + 0.035 * man, 0.165, 0.06) + 9 * (1 - turtle)
    tone = mix(dark, base, 0.25 + 0.75 * smoothstep(x * a["light"], -0.3, 0.2))
    tone = mix(tone, dark, 0.6 * smoothstep(y, 0.62, 0.50) + 0.5 * smoothstep((y - 0.68).abs(), 0.025, 0.0))
    return over(out, tone, coverage(tube, px))
