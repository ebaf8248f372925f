"""The head: its pose in space, skin, ears, eyes, brows, nose, mouth, beard and freckles.

Head coordinates (X, Y) have their origin in the middle of the skull; the image is 2 wide. A feature sits on a
cylinder: `place` turns it with yaw and pitch, and gives its position and its foreshortening.
"""

import torch

from .sdf import blob, coverage, ellipse, length, mix, over, segment, smooth_union, smoothstep

CENTRE, PIVOT = -0.06, 0.62  # heights of the head's origin and of the point it rolls about
EYES = 0.03


def pose(s):
    """Head coordinates of every pixel, the outline of the face and the places of its features."""
    a = s.a
    dx, dy = s.x, s.y - PIVOT
    s.X = a["cos roll"] * dx + a["sin roll"] * dy
    s.Y = a["cos roll"] * dy - a["sin roll"] * dx + (PIVOT - CENTRE)
    s.width = 0.445 + 0.055 * a["face_width"]
    s.turn, s.nod = a["sin yaw"], -0.42 * a["sin pitch"]

    jaw_x, jaw_y = 0.13 * s.turn, 0.215 + 0.75 * s.nod
    jaw_width = s.width * (0.77 + 0.19 * a["jaw"])
    skull = ellipse(s.X + 0.03 * s.turn, s.Y + 0.12, s.width, 0.46)
    jaw = ellipse(s.X - jaw_x, s.Y - jaw_y, jaw_width, 0.345)
    s.face = smooth_union(skull, jaw, 0.13)
    chin = (jaw_x, jaw_y + 0.345 + CENTRE - PIVOT)
    s.chin_x = a["cos roll"] * chin[0] - a["sin roll"] * chin[1]
    s.chin_y = a["sin roll"] * chin[0] + a["cos roll"] * chin[1] + PIVOT

    spacing = eye_spacing(s)
    s.left, s.right = place(s, -spacing, EYES), place(s, spacing, EYES)
    s.middle_x = place(s, 0.0, 0.0)[0]
    s.eye_x, s.eye_y, s.side = paired(s, s.left, s.right)


def eye_spacing(s):
    return 0.220 + 0.048 * s.a["eye_spacing"]


def place(s, x, y, depth=1.0):
    """Where a feature at (x, y) of a head seen from the front appears: (X, Y, horizontal scale)."""
    sine = x / s.width
    cosine = (1 - sine * sine).sqrt()
    turn = 0.63 * depth * s.turn
    flat = (1 - turn * turn).sqrt()
    return s.width * (sine * flat + cosine * turn), y + depth * s.nod, (cosine * flat - sine * turn) / cosine


def paired(s, left, right):
    """Coordinates about a pair of features, outward positive, and the side (-1 left, 1 right)."""
    is_left = s.X < s.middle_x
    side = torch.where(is_left, -1.0, 1.0)
    x = torch.where(is_left, (left[0] - s.X) / left[2], (s.X - right[0]) / right[2])
    return x, s.Y - left[1], side


def ear_place(s):
    """Coordinates about the ears, outward positive. The far ear hides as the head turns, the near one comes out."""
    x = torch.where(s.X < 0, -s.X - s.width - 0.07 * s.turn, s.X - s.width + 0.07 * s.turn)
    return x, s.Y - 0.03 + 0.5 * s.nod


def ears(s, canvas):
    base, shadow, _, blush, _ = s.skin_colors
    x, y = ear_place(s)
    d = ellipse(x, y, 0.085, 0.135)
    inner = blob(x - 0.012, y + 0.01, 0.06, 0.10)
    color = mix(mix(base, blush, 0.25), shadow, 0.7 * inner)
    bare = 1 - torch.maximum(s.a["hair loose"], s.a["hair afro"])
    return over(canvas, color, coverage(d, s.pixel) * bare)


def skin(s, canvas):
    """The face under the key light: three tones by the angle to the light, warm cheeks, soft contact shadows."""
    base, shadow, light, blush, _ = s.skin_colors
    a = s.a
    nx, ny = (s.X - 0.04 * s.turn) / (s.width * 1.05), (s.Y - 0.03) / 0.62
    nz = (1 - nx * nx - ny * ny).clamp(min=0.05).sqrt()
    lit = 0.95 * a["light"] * nx - 0.36 * ny + 0.58 * nz
    color = mix(shadow, base, smoothstep(lit, -0.30, 0.42))
    color = mix(color, light, 0.75 * smoothstep(lit, 0.50, 0.98))
    cheek = blob(s.eye_x - 0.03, s.eye_y - 0.21, 0.18, 0.13)
    color = mix(color, blush, cheek * (0.38 + 0.12 * a["presentation:woman"]))
    socket = blob(s.eye_x, s.eye_y + 0.035, 0.21, 0.15)
    color = mix(color, shadow, 0.34 * socket)
    color = mix(color, shadow, 0.35 * smoothstep(s.face, -0.11, 0.0) * smoothstep(s.Y, 0.1, 0.5))
    s.skin_tone = color
    return over(canvas, color, coverage(s.face, s.pixel))


def cells(s, x, y, columns, rows, first=0):
    """The noise numbers [n, 4, h, w] of the cell that (x, y) in [0, 1) falls in. first: the number of the cell at the origin."""
    i = (x * columns).floor().clamp(0, columns - 1)
    j = (y * rows).floor().clamp(0, rows - 1)
    size = s.noise.shape[-1]
    flat = (j * size + i + first).long().flatten(1)[:, None].expand(-1, s.noise.shape[1], -1)
    return s.noise.flatten(2).gather(2, flat).unflatten(2, x.shape[-2:])


def freckles(s, canvas):
    """One freckle at most in each cell of a grid over nose and cheeks; the noise says where and how large."""
    shadow = s.skin_colors[1]
    columns, rows = 11, 6
    x0, y0, _ = place(s, 0.0, 0.175)
    u, v = (s.X - x0) / 0.70 + 0.5, (s.Y - y0) / 0.30 + 0.5
    row = (v * rows).floor()
    u = u + (row * 0.5 - (row * 0.5).floor() - 0.25) / columns  # odd rows are shifted, like bricks
    cell = cells(s, u, v, columns, rows)
    du = u * columns - (u * columns).floor() - 0.5 - 0.5 * (cell[:, 0:1] - 0.5)
    dv = v * rows - row - 0.5 - 0.5 * (cell[:, 1:2] - 0.5)
    radius = 0.15 + 0.11 * cell[:, 2:3]
    d = (length(du, dv) - radius) * 0.058
    inside = blob(u - 0.5, v - 0.5, 0.56, 0.60) > 0
    alpha = coverage(d, s.pixel) * (inside & (cell[:, 3:4] < 0.72)) * coverage(s.face + 0.03, s.pixel)
    return over(canvas, mix(shadow, shadow * 0.55, 0.55), 0.85 * alpha * s.a["freckles:freckles"])


def nose(s, canvas):
    base, shadow, light, blush, _ = s.skin_colors
    a = s.a
    size = a["nose"]
    half, tip = 0.085 + 0.042 * size, 0.195 + 0.045 * size
    x, y, scale = place(s, 0.0, tip, depth=1.15)
    root_x, root_y, _ = place(s, 0.0, -0.02)
    dx, dy = (s.X - x) / scale, s.Y - y
    # The ridge keeps the light on one side and leaves the other in shade.
    t = ((s.Y - root_y) / (y - root_y)).clamp(0, 1)
    ridge = s.X - mix(root_x, x, t)
    away = -a["light"].sign() * ridge
    width = 0.035 + (half * 0.75) * t * t
    along = smoothstep(s.Y, root_y - 0.06, y - 0.05) * smoothstep(s.Y, y + 0.07, y)
    shade = smoothstep((away - width).abs(), 0.055, 0.0) * (away > 0) * along
    out = over(canvas, shadow, 0.55 * shade * a["light"].abs())
    cast = blob(dx + 0.02 * a["light"], dy - 0.085, half * 1.35, 0.06)
    out = over(out, shadow, 0.65 * cast)
    ball = blob(dx, dy, half * 1.25, 0.085 + 0.02 * size)
    out = over(out, mix(base, blush, 0.40), 0.62 * ball)
    wings = segment(dx.abs(), dy, half * 0.72, 0.015, half * 0.95, 0.045)
    out = over(out, mix(shadow, shadow * 0.7, 0.5), 0.75 * coverage(
        segment(dx.abs(), dy, half * 0.25, 0.068, half * 0.72, 0.058) - 0.015, s.pixel))
    out = over(out, shadow, 0.55 * smoothstep(wings, 0.04, 0.0) * (dx.abs() > half * 0.7))
    glint = blob(dx - 0.02 * a["light"], dy + 0.025, 0.038, 0.038)
    return over(out, light, 0.8 * glint)


def _mouth(s):
    """Mouth coordinates (x along the lips in half-widths, heights of upper and lower inner edges)."""
    a = s.a
    x0, y0, scale = place(s, 0.0, 0.360, depth=0.92)
    smile, open_ = a["smile"], a["mouth_open"]
    half = 0.150 + 0.035 * smile.clamp(min=0) - 0.02 * open_ * (1 - smile.clamp(min=0))
    x = (s.X - x0) / (scale * half)
    bow = 1 - (x * x).clamp(max=1.6)
    line = s.Y - y0 - smile * 0.085 * (bow - 0.55) + 0.045 * open_
    return x, bow, line, half


def mouth(s, canvas):
    base, shadow, _, _, lips = s.skin_colors
    a, px = s.a, s.pixel
    woman, open_ = a["presentation:woman"], a["mouth_open"]
    x, bow, line, half = _mouth(s)
    outside = (x.abs() - 1) * half
    steep = 1 / (1 + (2 * x.clamp(-1, 1) * (0.085 * a["smile"].abs() + 0.10 * open_) / half) ** 2).sqrt()
    gap = (0.012 + 0.128 * open_) * bow
    upper = -(0.030 + 0.018 * woman) * bow * (0.75 + 0.5 * (x * x).clamp(max=1))
    lower = gap + (0.042 + 0.018 * woman) * bow
    color = mix(lips, s.rouge, 0.10 + 0.25 * woman)
    out = over(canvas, shadow, 0.6 * blob(x * 0.8, line - lower - 0.02, 1.0, 0.055))
    lip = torch.maximum(torch.maximum(upper - line, line - lower) * steep, outside)
    tone = mix(mix(color, shadow, 0.35) * 0.92, mix(color, base, 0.18), smoothstep(line - gap * 0.5, -0.015, 0.015))
    out = over(out, tone, coverage(lip, px))
    glint = blob(x - 0.15 * a["light"], line - (gap + lower) * 0.5, 0.45, 0.020)
    out = over(out, mix(color, torch.ones_like(color), 0.5), glint * (0.25 + 0.35 * woman))
    inner = torch.maximum(torch.maximum(-line, line - gap) * steep, outside)
    dark = s.throat
    hole = coverage(inner, px)
    tongue = blob(x, line - gap * 1.05, 0.75, 0.01 + 0.075 * open_)
    out = over(out, mix(dark, s.tongue, tongue), hole)
    teeth = torch.maximum(line - (0.004 + 0.055 * open_) * (bow + 0.25).clamp(max=1), x.abs() * half - 0.9 * half)
    white = s.teeth
    out = over(out, white, hole * coverage(teeth, px) * smoothstep(open_, 0.05, 0.15))
    # Corners: a small shadow that ends the line of the mouth.
    corner = smoothstep(length((x.abs() - 1.02) * half, line), 0.035, 0.0)
    out = over(out, mix(shadow, shadow * 0.6, 0.5), 0.5 * corner)
    return over(canvas, out, coverage(s.face + 0.01, px))


def beard(s, canvas):
    """Stubble, a moustache, or a full beard that ends below the chin."""
    dark, base, light = s.hair_colors
    a, px = s.a, s.pixel
    stubble, moustache, full = a["beard:stubble"], a["beard:moustache"], a["beard:full"]
    x0, y0, scale = place(s, 0.0, 0.30)
    ax = ((s.X - x0) / scale).abs()
    # Cheek line: from the sideburns down to the corners of the mouth, and over the lip.
    edge = y0 - 0.03 + 0.55 * (0.20 - ax).clamp(min=-0.02).clamp(max=0.06) - 1.15 * (ax - 0.22).clamp(min=0)
    jaw = torch.maximum(s.face - 0.06 * full * smoothstep(s.Y, 0.05, 0.35), edge - s.Y)
    fade = smoothstep(jaw, 0.03, -0.07)
    tone = mix(s.skin_tone * 0.55, dark * 0.6, 0.4)
    out = over(canvas, tone, 0.66 * stubble * fade * coverage(s.face, px))
    shade = smoothstep(s.Y - y0, -0.1, 0.34)
    lit = smoothstep(s.X * a["light"] - 0.5 * (s.Y - 0.3), -0.35, 0.25)
    color = mix(mix(dark, base, 0.35 + 0.65 * lit), dark, 0.35 * shade)
    out = over(out, s.skin_colors[1], 0.45 * full * smoothstep(jaw, 0.045, 0.0) * coverage(s.face, px))
    out = over(out, color, full * coverage(jaw, px * 1.6))
    # The moustache: two drops that meet under the nose and follow the lip.
    mx, my, mscale = place(s, 0.0, 0.295, depth=1.0)
    dx = ((s.X - mx) / mscale).abs()
    drop = s.Y - my - 0.045 * (dx / 0.16) ** 2 + 0.02 * a["smile"] * (dx / 0.16) - 0.004
    thick = 0.052 * (1 - (dx / 0.205) ** 2)
    m = torch.maximum(drop.abs() - thick, dx - 0.205)
    out = over(out, s.skin_colors[1] * 0.9, 0.5 * moustache * smoothstep(m, 0.035, 0.0) * coverage(s.face, px))
    out = over(out, mix(color, dark, 0.25), (moustache + full) * coverage(m, px * 1.2))
    return over(out, mix(base, light, 0.5), 0.35 * (moustache + full) * blob(dx - 0.07, drop + 0.02, 0.09, 0.025))


def eyes(s, canvas, high=None, low=None):
    """high, low: how far the lids are above and below the middle of the eye."""
    shadow = s.skin_colors[1]
    rim, iris = s.iris_colors
    a, px = s.a, s.pixel
    woman, open_ = a["presentation:woman"], a["eye_open"]
    high = 0.040 + 0.072 * open_ if high is None else high
    low = 0.040 + 0.022 * open_ if low is None else low
    x, y = s.eye_x, s.eye_y + 0.10 * s.eye_x
    half = 0.138
    bow = 1 - (x / half) ** 2
    slope = 1 / (1 + (2 * x * 0.09 / half**2) ** 2).sqrt()
    top = -high * bow
    bottom = low * bow
    eye = torch.maximum(top - y, y - bottom) * slope
    inside = coverage(eye, px)

    white = s.sclera
    ball = mix(white, mix(shadow, white * 0.55, 0.6), 0.75 * smoothstep(y - top, 0.06, 0.0))
    out = over(canvas, ball, inside)
    gx, gy = x * s.side - 0.058 * a["gaze"], s.eye_y + 0.010
    r = length(gx, gy)
    disc = mix(rim, iris, smoothstep(gy, -0.05, 0.055))
    disc = mix(disc, rim * 0.55, 0.8 * smoothstep(r, 0.052, 0.078))
    out = over(out, disc, inside * coverage(r - 0.077, px))
    ink = s.ink
    out = over(out, ink, inside * coverage(r - 0.034, px))
    spark = length(gx - 0.026 * a["light"].sign(), gy + 0.030) - 0.021
    out = over(out, white, 0.95 * inside * coverage(spark, px))

    # Lashes: a dark line that thickens outwards, with a wing on women; a soft lower lid; the crease above.
    lash = mix(s.hair_colors[0], ink, 0.75)
    reach = half + (0.012 + 0.035 * woman)
    arc = -high * (1 - (x.clamp(-half, half) / half) ** 2) - 0.35 * (x - half).clamp(min=0)
    thickness = (0.013 + 0.011 * woman) * (0.75 + 0.45 * (x / half).clamp(-1, 1)) * smoothstep(x.abs(), reach, half * 0.75)
    line = torch.maximum(((y - arc).abs() * slope - thickness), x.abs() - reach)
    line = torch.maximum(line, -0.148 - x)
    out = over(out, lash, coverage(line, px) * smoothstep(thickness, 0.0, 0.006))
    lower = (y - bottom - 0.004).abs() * slope + 9 * (x.abs() > half)
    out = over(out, mix(shadow, lash, 0.35), 0.55 * smoothstep(lower, 0.018, 0.0))
    crease = (y - arc * 1.05 + 0.045).abs() + 0.25 * (x.abs() - 0.9 * half).clamp(min=0)
    out = over(out, shadow * 0.8, 0.55 * smoothstep(crease, 0.020, 0.0) * smoothstep(x.abs(), 0.16, 0.08))
    return over(canvas, out, coverage(s.face, px))


def brows(s, canvas, rise=0.042, tilt=0.30):
    """rise, tilt: what brow_height and brow_angle move."""
    dark, base, light = s.hair_colors
    a = s.a
    # Readable on every skin: darker than light skin, and bright hair stays bright on deep skin.
    bright = (a["skin"] > 0.58) & ((base * s.luma).sum(1, keepdim=True) > 0.33)
    color = torch.where(bright, mix(base, light, 0.3), dark * 0.6)
    x = s.eye_x + 0.005
    y = s.eye_y + 0.200 + rise * a["brow_height"]
    curve = y + tilt * a["brow_angle"] * x - 1.6 * (x + 0.02) ** 2
    half = 0.150
    thickness = 0.028 + 0.004 * a["presentation:man"] + 0.022 * a["brow_thickness"]
    thickness = thickness * smoothstep(x, half + 0.02, -0.02).clamp(min=0.35)
    d = torch.maximum(curve.abs() - thickness, x.abs() - half)
    return over(canvas, color, 0.93 * coverage(d, s.pixel))
