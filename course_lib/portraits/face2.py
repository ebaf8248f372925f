"""The face of version 2: mouth and brows that can be told at 64 px, freckles of a pixel, stubble, beards of their own colour."""

import torch

from . import face
from .body2 import CELLS, GRAIN
from .face import place
from .sdf import blob, coverage, length, mix, over, smoothstep


def skin(s, canvas):
    """The skin of version 1, with pores."""
    return face.skin(s, canvas) + 0.3 * GRAIN * s.grain * coverage(s.face, s.pixel)


def freckles(s, canvas):
    """One freckle at most in each cell of a grid over nose and cheeks; the noise says where and how large."""
    shadow = s.skin_colors[1]
    columns, rows = 8, 4
    x0, y0, _ = place(s, 0.0, 0.165)
    u, v = (s.X - x0) / 0.70 + 0.5, (s.Y - y0) / 0.30 + 0.5
    row = (v * rows).floor()
    u = u + (row * 0.5 - (row * 0.5).floor() - 0.25) / columns  # odd rows are shifted, like bricks
    cell = face.cells(s, u, v, columns, rows, first=12 * CELLS + 12)        # numbers that nothing else shows
    du = u * columns - (u * columns).floor() - 0.5 - 0.55 * (cell[:, 0:1] - 0.5)
    dv = v * rows - row - 0.5 - 0.55 * (cell[:, 1:2] - 0.5)
    d = length(du * 0.0875, dv * 0.075) - 0.016 - 0.009 * cell[:, 2:3]
    inside = blob(u - 0.5, v - 0.5, 0.56, 0.60) > 0
    alpha = coverage(d, s.pixel) * (inside & (cell[:, 3:4] < 0.75)) * coverage(s.face + 0.03, s.pixel)
    return over(canvas, shadow * 0.62, 0.9 * alpha)


def _mouth(s):
    """Mouth coordinates: x along the lips in half-widths, the height of their line, half the width, and how round it is."""
    a = s.a
    smile, open_ = a["smile"], a["mouth_open"]
    x0, y0, scale = place(s, 0.0, 0.365, depth=0.92)
    size = smile.abs()
    bend = smile * (0.9 + 1.9 * size - 1.6 * size * size)      # flat about 0, steep where a caption begins to speak of it
    round_ = open_ * (1 - 1.4 * size).clamp(min=0)
    half = 0.158 + 0.042 * bend.clamp(min=0) - 0.052 * round_
    x = (s.X - x0) / (scale * half)
    bow = 1 - (x * x).clamp(max=1.6)
    line = s.Y - y0 - bend * 0.106 * (bow - 0.55) + 0.030 * open_
    return x, bow, line, half, bend, round_


def mouth(s, canvas):
    base, shadow, _, _, lips = s.skin_colors
    a, px = s.a, s.pixel
    woman, open_ = a["presentation:woman"], a["mouth_open"]
    x, bow, line, half, bend, round_ = _mouth(s)
    outside = (x.abs() - 1) * half
    steep = 1 / (1 + (2 * x.clamp(-1, 1) * (0.106 * bend.abs() + 0.10 * open_) / half) ** 2).sqrt()
    rise, gap = -0.060 * round_ * bow, (0.025 + 0.135 * open_ - 0.035 * round_) * bow
    upper = rise - (0.026 + 0.016 * woman) * bow * (0.75 + 0.5 * (x * x).clamp(max=1))
    lower = gap + (0.036 + 0.016 * woman) * bow
    color = mix(lips, s.rouge, 0.10 + 0.20 * woman + 0.45 * a["skin"])
    out = over(canvas, shadow, 0.5 * blob(x * 0.8, line - lower - 0.02, 1.0, 0.055))
    lip = torch.maximum(torch.maximum(upper - line, line - lower) * steep, outside)
    tone = mix(mix(color, shadow, 0.2), mix(color, base, 0.25), smoothstep(line - gap * 0.5, -0.015, 0.015))
    out = over(out, tone, coverage(lip, px))
    glint = blob(x - 0.15 * a["light"], line - (gap + lower) * 0.5, 0.45, 0.020)
    out = over(out, mix(color, torch.ones_like(color), 0.5), glint * (0.12 + 0.20 * woman))
    inner = torch.maximum(torch.maximum(rise - line, line - gap) * steep, outside)
    hole = coverage(inner, px)
    tongue = blob(x, line - gap * 1.05, 0.75, 0.01 + 0.075 * open_)
    out = over(out, mix(s.throat * 0.6, s.tongue, tongue * (1 - 0.4 * round_)), hole)
    teeth = torch.maximum(line - (0.004 + 0.055 * open_) * (bow + 0.25).clamp(max=1), x.abs() * half - 0.9 * half)
    out = over(out, s.teeth, hole * coverage(teeth, px) * smoothstep(open_, 0.15, 0.30) * (1 - smoothstep(round_, 0.1, 0.4)))
    # The line of the mouth reaches a little into the cheeks, and ends in a shadow.
    corner = smoothstep(length((x.abs() - 1.0) * half, line), 0.045, 0.0)
    out = over(out, mix(shadow, s.throat, 0.5), 0.7 * corner * (1 - round_))
    return over(canvas, out, coverage(s.face + 0.01, px))


def eyes(s, canvas):
    """The eyes of version 1, which open wider; a smile lifts their lower lids."""
    open_ = s.a["eye_open"]
    return face.eyes(s, canvas, 0.034 + 0.088 * open_, (0.038 + 0.026 * open_) * (1 - 0.45 * s.a["smile"].clamp(min=0)))


def brows(s, canvas):
    return face.brows(s, canvas, 0.060, 0.44)


def _beard_edge(s):
    """The distance to the skin on which a beard grows, and its coordinates: down to the mouth's corners, and over the lip."""
    x0, y0, scale = place(s, 0.0, 0.30)
    ax = ((s.X - x0) / scale).abs()
    return ax, y0, y0 - 0.03 + 0.55 * (0.20 - ax).clamp(min=-0.02).clamp(max=0.06) - 1.15 * (ax - 0.22).clamp(min=0)


def stubble(s, canvas):
    """Short hairs: a shade of the skin, with a speck, a pixel wide at 64 px, where chance has set one."""
    _, _, edge = _beard_edge(s)
    fade = smoothstep(torch.maximum(s.face, edge - s.Y), 0.03, -0.07)
    u, v = (s.x + 1) * CELLS, (s.y + 1) * CELLS
    dot = length(u - u.floor() - 0.5, v - v.floor() - 0.5) / CELLS - 0.5 / CELLS
    hair = coverage(dot, s.pixel) * smoothstep(s.pores, 0.35, 0.75)
    tone = mix(canvas * 0.50, s.hair_colors[0] * 0.6, 0.4)
    return over(canvas, tone, (0.36 + 0.46 * hair) * fade * coverage(s.face, s.pixel))


def beard(s, canvas):
    """A moustache, or a full beard that ends below the chin."""
    dark, base, light = s.beard_colors
    a, px = s.a, s.pixel
    full = a["beard:full"]
    ax, y0, edge = _beard_edge(s)
    jaw = torch.maximum(s.face - 0.06 * full * smoothstep(s.Y, 0.05, 0.35), edge - s.Y)
    shade = smoothstep(s.Y - y0, -0.1, 0.34)
    lit = smoothstep(s.X * a["light"] - 0.5 * (s.Y - 0.3), -0.35, 0.25)
    curl = s.curls - 0.5
    color = mix(mix(dark, base, 0.35 + 0.65 * lit), dark, 0.35 * shade)
    color = mix(color, torch.where(curl > 0, light, dark), 1.2 * curl.abs())
    out = over(canvas, s.skin_colors[1], 0.45 * full * smoothstep(jaw, 0.045, 0.0) * coverage(s.face, px))
    out = over(out, color, full * coverage(jaw + 0.04 * curl * smoothstep(s.face, -0.05, -0.01), px * 1.6))
    # The moustache: two drops that meet under the nose and follow the lip.
    mx, my, mscale = place(s, 0.0, 0.278, depth=1.0)
    dx = ((s.X - mx) / mscale).abs()
    drop = s.Y - my - 0.045 * (dx / 0.16) ** 2 + 0.02 * a["smile"] * (dx / 0.16) - 0.004
    thick = 0.044 * (1 - (dx / 0.205) ** 2)
    m = torch.maximum(drop.abs() - thick, dx - 0.205)
    out = over(out, s.skin_colors[1] * 0.9, 0.5 * a["beard:moustache"] * smoothstep(m, 0.035, 0.0) * coverage(s.face, px))
    out = over(out, mix(color, dark, 0.25), coverage(m, px * 1.2))
    return over(out, mix(base, light, 0.5), 0.35 * blob(dx - 0.07, drop + 0.02, 0.09, 0.025))
