"""Hair: one model for all styles. A silhouette (cap, curtain, afro, bun, tail) less the opening for the face,
shaded along strands that the noise field makes irregular."""

import torch

from .sdf import coverage, ellipse, length, mix, over, smooth_union, smoothstep, wave

# Per style, in the order of the classes: margins of the cap beside and above the skull; does hair hang loose; the opening's top, Y,
# its half-width relative to the face, the flatness of its top, where the parting is, how ragged the ends are; afro, bun, ponytail.
STYLES = {
    #            side   top  loose  hairline width flat parting tuft afro bun tail
    "bald":     (0.000, 0.00, 0.0, -0.36, 0.98, 0.3, 0.00, 0.0, 0.0, 0.0, 0.0),
    "crop":     (0.025, 0.10, 0.0, -0.31, 0.93, 0.6, 0.00, 1.0, 0.0, 0.0, 0.0),
    "parting":  (0.060, 0.12, 1.0, -0.42, 0.86, 0.0, -0.16, 0.15, 0.0, 0.0, 0.0),
    "fringe":   (0.060, 0.12, 1.0, -0.235, 0.86, 1.0, 0.00, 0.55, 0.0, 0.0, 0.0),
    "afro":     (0.210, 0.25, 0.0, -0.30, 0.90, 0.3, 0.00, 0.3, 1.0, 0.0, 0.0),
    "bun":      (0.020, 0.07, 0.0, -0.36, 0.96, 0.1, 0.00, 0.1, 0.0, 1.0, 0.0),
    "ponytail": (0.025, 0.09, 0.0, -0.36, 0.94, 0.0, 0.14, 0.1, 0.0, 0.0, 1.0),
}
COLUMNS = ("side", "top", "loose", "hairline", "open", "flat", "parting", "tuft", "afro", "bun", "tail")


def measures(rows):
    """The row of STYLES of each portrait, flattened under a hat."""
    table = torch.tensor(list(STYLES.values()))[rows["hairstyle"]]
    numbers = {f"hair {name}": table[:, i] for i, name in enumerate(COLUMNS)}
    hat = (rows["hat"] > 0).float()
    numbers["hair top"] = numbers["hair top"] * (1 - 0.6 * hat)
    numbers["hatted"] = hat
    return numbers


def strand_noise(s, u, channel):
    """The noise [n, 1, h, w] along strand coordinate u (period 1), linear between 32 knots."""
    t = (u - u.floor()) * 32
    i = t.floor()
    knots = s.noise[:, channel, 0]
    i0 = i.long().flatten(1).clamp_(0, 31)
    low = knots.gather(1, i0).view_as(u)
    high = knots.gather(1, (i0 + 1) % 32).view_as(u)
    return mix(low, high, t - i)


def grow(s):
    """Silhouette, opening, strand coordinate and curl pattern, shared by the layers behind and before the face."""
    if hasattr(s, "hair_silhouette"):
        return
    a = s.a
    curly, wavy = a["hair_texture:curly"], a["hair_texture:wavy"]
    X, Y = s.X + 0.04 * s.turn, s.Y - 0.3 * s.nod
    free = smoothstep(Y, -0.45, -0.2) * a["hatted"] + (1 - a["hatted"])  # no curls under a hat

    sway = wave(Y * 2.9 + 0.2) * 0.050 * wavy * smoothstep(Y, -0.35, 0.15)
    x = X + sway
    curl = wave(x * 4.4 + 0.24 * wave(Y * 3.1 + 0.1)) * wave(Y * 4.4 + 0.24 * wave(x * 2.7 + 0.3))
    curl = curl * curly * free
    cap = ellipse(x, Y + 0.11, s.width + a["hair side"], 0.47 + a["hair top"])
    low = 0.30 + 0.78 * a["hair_length"]
    tips = smoothstep(Y, low - 0.25, low + 0.05)
    beside = x.abs() - (s.width + 0.075 + 0.05 * curly + 0.05 * smoothstep(Y, 0.0, 0.9) - 0.18 * tips * tips)
    curtain = torch.maximum(corner(beside, Y - low, 0.10), torch.maximum(torch.maximum(beside, Y - low), -0.12 - Y))
    d = mix(cap, smooth_union(cap, curtain, 0.08), a["hair loose"])
    # Cap styles end at the ears.
    d = mix(torch.maximum(d, Y - 0.02), d, torch.maximum(a["hair loose"], a["hair afro"]))
    afro = ellipse(x, Y + 0.17, s.width + 0.235, 0.60)
    d = mix(d, afro, a["hair afro"])
    d = d - 0.032 * curl - 0.015 * curly
    s.hair_silhouette = d + 9 * a["hairstyle:bald"]
    s.hair_curl = curl

    # The opening for the face: an arch, its top round or flat, skewed by a parting.
    part = a["hair parting"] + 0.10 * s.turn
    reach = s.width * a["hair open"]
    ox = s.X - part - 0.06 * s.turn
    rx = torch.where(ox < 0, reach + part, reach - part)
    top, bottom = a["hair hairline"] + 0.9 * s.nod, 0.22
    ry = bottom - top
    px, py = ox.abs() / rx, (bottom - s.Y).clamp(min=0) / ry
    round_, square = length(px, py), length(px * px, py * py).sqrt()
    arch = (mix(round_, square, a["hair flat"]) - 1) * 0.40
    s.hair_opening = arch - 0.02 * curl + 0.5 * sway * torch.where(ox < 0, -1.0, 1.0)

    s.hair_u = (X - part * (1 - smoothstep(Y, -0.6, 0.1))) / (Y + 1.25 + 0.4 * smoothstep(Y, 0.0, 1.0)).clamp(min=0.3) + 0.8 * sway
    tuft = (strand_noise(s, s.hair_u * 0.30, 3) - 0.5) * a["hair tuft"]
    s.hair_opening = s.hair_opening + 0.085 * tuft
    s.hair_silhouette = s.hair_silhouette - 0.055 * tuft.abs() * (1 - a["hatted"]) * smoothstep(Y, -0.2, -0.5)
    s.hair_normal = (X / (s.width + 0.1), (Y + 0.12) / (0.47 + a["hair top"]))


def corner(a, b, r):
    """The outside of a rounded corner between the half-planes a < 0 and b < 0."""
    return length((a + r).clamp(min=0), (b + r).clamp(min=0)) - r


def _tone(s, depth):
    """Hair colour: form shading, strands, curls and the band of shine; depth darkens what lies behind."""
    dark, base, light = s.hair_colors
    a = s.a
    nx, ny = s.hair_normal
    smooth = 1 - 0.75 * a["hair_texture:curly"]
    strand = smooth * (strand_noise(s, s.hair_u * 1.3, 0) - 0.5)
    fine = smooth * (strand_noise(s, s.hair_u * 3.1, 1) - 0.5)
    lit = 0.50 * a["light"] * nx - 0.42 * ny + 0.12
    lit = lit + 0.42 * strand + 0.30 * fine + 0.38 * s.hair_curl
    lit = lit + 0.30 * a["hair_texture:wavy"] * wave(s.Y * 2.9 + 0.8 * nx * nx + 0.45)
    color = mix(dark, base, smoothstep(lit, -0.75 + depth, 0.40 + depth))
    r2 = (nx - 0.25 * a["light"]) ** 2 + ny * ny
    band = smoothstep((r2 - 0.50 - 0.16 * strand - 0.10 * fine - 0.20 * s.hair_curl).abs(), 0.20, 0.0)
    band = band * smoothstep(ny, 0.15, -0.35) * smoothstep(nx * a["light"], -0.55, 0.35)
    band = band * (1 - 0.45 * a["hair_texture:curly"])
    return mix(color, light, (0.72 * band + 0.12 * smoothstep(lit, 0.35, 0.9)) * (1 - 1.6 * depth))


def back(s, canvas):
    """What lies behind neck and face: the whole silhouette, darker; the bun; the tail."""
    grow(s)
    dark, base, light = s.hair_colors
    a, px = s.a, s.pixel
    X, Y = s.X, s.Y
    bun_x, bun_y = -0.10 * s.turn, -0.71 + 0.9 * s.nod
    bun = length((X - bun_x) * 0.92, Y - bun_y) - 0.185
    bun = bun + 9 * (1 - a["hair bun"])
    wavy, curly = a["hair_texture:wavy"], a["hair_texture:curly"]
    tx = X - 0.30 + 0.12 * s.turn + 0.035 * wavy * wave(Y * 2.9) + 0.03 * curly * wave(Y * 4.4)
    t = ((Y + 0.45) / 1.15).clamp(0, 1)
    path = 0.42 * t * (2.05 - 1.7 * t)
    tail = ((tx - path).abs() - 0.145 * (1 - t * t * t) * (0.55 + 1.4 * t) - 0.03 * curly) * 0.9
    tail = torch.maximum(tail, -0.38 - Y) - 0.02 * s.hair_curl
    tail = torch.maximum(tail, Y - 0.64)
    tail = tail + 9 * (1 - a["hair tail"])

    tone = _tone(s, 0.22)
    out = over(canvas, mix(tone, dark, 0.35), coverage(s.hair_silhouette, px * 1.3))
    lit = smoothstep((X - bun_x) * a["light"] - (Y - bun_y), -0.20, 0.16)
    swirl = wave(length(X - bun_x - 0.03, Y - bun_y + 0.02) * 7 + 0.25 * strand_noise(s, s.hair_u * 2, 2))
    out = over(out, mix(dark, mix(base, light, 0.35 * lit), 0.15 + 0.7 * lit + 0.15 * swirl), coverage(bun, px))
    sheen = smoothstep((tx - path + 0.03 * a["light"]).abs(), 0.07, 0.0) * smoothstep(t, 0.95, 0.3)
    strand = strand_noise(s, (tx - path) * 1.7, 2) - 0.5
    return over(out, mix(mix(dark, base, 0.65 + 0.6 * strand), light, 0.45 * sheen), coverage(tail, px * 1.2))


def front(s, canvas):
    """Hair around the face, and the soft shadow that it casts on it."""
    a, px = s.a, s.pixel
    shadow = s.skin_colors[1]
    below = smoothstep(s.hair_opening, -0.13, 0.0) * smoothstep(s.Y, 0.35, -0.05)
    out = over(canvas, mix(shadow, shadow * 0.8, 0.4), 0.62 * below * coverage(s.face, px) * (1 - a["hairstyle:bald"]))
    d = torch.maximum(s.hair_silhouette, -s.hair_opening)
    edge = smoothstep(s.hair_opening, 0.07, 0.0)
    tone = mix(_tone(s, 0.0), s.hair_colors[0], 0.35 * edge)
    return over(out, tone, coverage(d, px * 1.3))
