"""Background and clothes in version 2, with what chance puts on them: grain, specks, confetti, flecks, stitches and sequins."""

import torch
import torch.nn.functional as F

from . import face
from .sdf import blob, box, coverage, ellipse, length, mix, over, smooth_union, smoothstep

CELLS = 32      # cells a side, each with four numbers of the noise field
GRAIN = 0.02    # standard deviation of the brightness of cloth and hair, of 1


def chance(s):
    """Put the noise on pixels: s.cells [n, 4, h, w], the numbers of a pixel's cell; s.pores, a number for each quarter of a cell;
    s.curls, a smooth map; both [n, 1, h, w]. Of mean 0, and from other places of the field than what lies above them: s.grain, of
    variance 1 for each pixel at 64 px, and s.wash, in large soft spots."""
    size = round(2 / s.pixel)
    s.cells, s.pores = repeated(s.noise, size), repeated(F.pixel_shuffle(s.noise, 2), size)
    smooth = lambda field: F.interpolate(field, [size, size], mode="bilinear", align_corners=False)
    elsewhere = (s.noise.roll((5, 11), (2, 3)) - 0.5) * 12 ** 0.5
    s.curls, s.grain, s.wash = smooth(s.noise[:, 1:2]), smooth(F.pixel_shuffle(elsewhere, 2)), smooth(elsewhere[:, 3:4, ::2, ::2])


def repeated(noise, size):
    """Each number of noise [n, k, m, m] on a square of pixels → [n, k, size, size]."""
    n, k, m, _ = noise.shape
    step = size // m
    return noise[:, :, :, None, :, None].expand(n, k, m, step, m, step).reshape(n, k, size, size)


def dots(s, cell, count, least, most):
    """Distance to a dot in each of count × count cells of the image, whose place and size, in cells, are chance."""
    u, v = (s.x + 1) * (count / 2), (s.y + 1) * (count / 2)
    radius = least + (most - least) * cell[:, 2:3]
    du = u - u.floor() - 0.5 - (1 - 2 * radius) * (cell[:, 0:1] - 0.5)
    dv = v - v.floor() - 0.5 - (1 - 2 * radius) * (cell[:, 1:2] - 0.5)
    return (length(du, dv) - radius) * (2 / count)


def paper(s, canvas):
    """The grain of the paper, and a wash of colour that is thinner here and there."""
    return canvas + 0.8 * GRAIN * s.grain + 0.9 * GRAIN * s.wash


def speckles(s, canvas):
    """A background with specks, as of a loaded brush."""
    glow, edge = s.background_colors
    d, which = dots(s, s.cells, CELLS, 0.26, 0.48), s.cells[:, 3:4]
    tone = torch.where(which < 0.05, edge * 0.82, mix(glow, torch.ones_like(glow), 0.85))
    return over(canvas, tone, 0.85 * coverage(d, s.pixel) * (which < 0.16))


def confetti(s, canvas):
    """A background with paper dots of four colours."""
    cell = repeated(s.noise[:, :, :CELLS // 2, :CELLS // 2], round(2 / s.pixel))
    d = dots(s, cell, CELLS // 2, 0.22, 0.42)
    which = cell[:, 3:4]
    color = torch.where(which < 0.07, s.paper_red, torch.where(which < 0.14, s.paper_gold, torch.where(
        which < 0.21, s.paper_blue, s.paper_white)))
    return over(canvas, color, 0.95 * coverage(d, s.pixel) * (which < 0.28))


def _torso(s):
    """The distances to the cloth, to the shoulders, to the neckline and to the edge of an open collar."""
    a = s.a
    man = a["presentation:man"]
    x, y = s.x, s.y
    shoulders = ellipse(x, y - 1.22, 0.80 + 0.16 * man, 0.56 + 0.02 * man)
    d = smooth_union(shoulders, ellipse(x, y - 1.05, 0.46 + 0.08 * man, 0.44), 0.16)
    neckline = ellipse(x, y - 0.60, 0.235 + 0.03 * man, 0.17 + 0.02 * a["clothing:tee"])
    v = (y - 0.60) * 0.42 + x.abs() - 0.21
    opening = mix(neckline, torch.maximum(v, -0.5 - y), a["clothing:shirt"]) + 9 * a["clothing:turtleneck"]
    return torch.maximum(d, -opening), d, neckline, v


def clothes(s, canvas):
    """Shoulders and sleeves."""
    base, dark, _ = s.clothing_colors
    lit = smoothstep(s.x * s.a["light"] * 0.9 - 0.55 * (s.y - 0.85), -0.6, 0.45)
    fold = blob(s.x.abs() - 0.42 - 0.05 * s.a["presentation:man"], s.y - 1.0, 0.09, 0.3)
    color = mix(dark, base, 0.3 + 0.7 * lit - 0.35 * fold) + GRAIN * s.grain
    return over(canvas, color, coverage(_torso(s)[0], s.pixel))


def flecks(s, canvas):
    """Cloth with flecks of its accent, of light and of shade."""
    base, dark, accent = s.clothing_colors
    which = s.cells[:, 3:4]
    color = torch.where(which < 0.14, accent, torch.where(which < 0.28, mix(base, torch.ones_like(base), 0.75), dark * 0.8))
    spot = coverage(dots(s, s.cells, CELLS, 0.28, 0.48), s.pixel) * (which < 0.40)
    return over(canvas, color, 0.9 * spot * coverage(_torso(s)[0], s.pixel))


def stitches(s, canvas):
    """Knitted cloth: each stitch, a V of four by three pixels at 64 px, is of lighter or darker yarn."""
    base, dark, _ = s.clothing_colors
    columns, rows = 16, 22
    u, v = (s.x + 1) * (columns / 2), (s.y + 1) * (rows / 2)
    v = v - 1.1 * (u - u.floor() - 0.5).abs()
    place = [each.expand(len(canvas), -1, *canvas.shape[2:]) for each in (u / columns, v / rows)]
    yarn = face.cells(s, *place, columns, rows)[:, 1:2]
    color = mix(mix(base, dark, 0.75), mix(base, torch.ones_like(base), 0.45), yarn)
    groove = 1 - 0.28 * smoothstep((v - v.floor() - 0.5).abs(), 0.25, 0.5)
    return over(canvas, color * groove, 0.85 * coverage(_torso(s)[0], s.pixel))


def sequins(s, canvas):
    """Cloth of small discs, some of which catch the light."""
    base, dark, _ = s.clothing_colors
    which = s.cells[:, 3:4]
    white = torch.ones_like(base)
    color = mix(mix(dark, base, (which * 1.6).clamp(max=1)), mix(base, white, 0.95), smoothstep(which, 0.75, 1.0))
    disc = coverage(dots(s, s.cells, CELLS, 0.42, 0.50), s.pixel)
    return over(canvas, mix(dark, color, disc), 0.9 * coverage(_torso(s)[0], s.pixel))


def collar(s, canvas):
    """The ribbed band of a tee, two collar leaves over the edge of a shirt, or the tube of a turtleneck."""
    base, dark, _ = s.clothing_colors
    a, px, x, y = s.a, s.pixel, s.x, s.y
    man = a["presentation:man"]
    cloth, d, neckline, v = _torso(s)
    rib = torch.maximum((neckline - 0.035).abs() - 0.03, d) + 9 * (1 - a["clothing:tee"])
    out = over(canvas, mix(base, dark, 0.55), coverage(rib, px))
    ax = x.abs()
    outer = (ax - 0.24 - 0.03 * man) * 0.79 - (y - 0.53) * 0.61
    below = (ax - 0.40) * 0.39 + (y - 0.77) * 0.92
    leaf = torch.maximum(torch.maximum(-v, outer), below) + 9 * (1 - a["clothing:shirt"])
    out = over(out, dark, 0.5 * smoothstep(leaf, 0.06, 0.0) * coverage(cloth, px))
    out = over(out, mix(base, torch.ones_like(base), 0.35), coverage(leaf, px))
    tube = box(x - 0.15 * s.chin_x, y - 0.68, 0.215 + 0.035 * man, 0.165, 0.06) + 9 * (1 - a["clothing:turtleneck"])
    tone = mix(dark, base, 0.25 + 0.75 * smoothstep(x * a["light"], -0.3, 0.2))
    tone = mix(tone, dark, 0.6 * smoothstep(y, 0.62, 0.50) + 0.5 * smoothstep((y - 0.68).abs(), 0.025, 0.0))
    return over(out, tone, coverage(tube, px))
