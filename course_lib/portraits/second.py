"""Version 2, layer by layer: each layer works on those portraits of a batch that have what it shows, and where it can lie."""
from types import SimpleNamespace

import torch

from . import accessories, body, body2, face, face2, hair2, wear2

HEAD = (-0.80, -0.90, 0.80, 0.80)       # windows: left, top, right, bottom
FACE = (-0.75, -0.65, 0.75, 0.70)
LOWER = (-0.85, -0.55, 0.85, 0.75)
CHEST = (-1.0, 0.30, 1.0, 1.0)


def paint(scene: SimpleNamespace) -> torch.Tensor:
    """Version 2: the painter's list of layers, from back to front. Returns [n, 3, h, w] in [0, 1]."""
    s, has = scene, lambda name, *values: sum(scene.rows[name] == value for value in values).bool()
    body2.chance(s)
    canvas = body.background(s).contiguous()
    layer(s, canvas, body2.paper)
    layer(s, canvas, body2.speckles, None, has("backdrop", 1))
    layer(s, canvas, body2.confetti, None, has("backdrop", 2))
    haired = s.rows["hairstyle"] > 0
    hair2.grow(s)
    layer(s, canvas, hair2.back, None, haired)
    layer(s, canvas, hair2.bun, None, has("hairstyle", 5))
    layer(s, canvas, hair2.tail, None, has("hairstyle", 6))
    layer(s, canvas, body.neck, (-0.6, 0.05, 0.6, 1.0))
    layer(s, canvas, body2.clothes, CHEST)
    for cloth, draw in enumerate((body2.flecks, body2.stitches, body2.sequins), 1):
        layer(s, canvas, draw, CHEST, has("cloth", cloth))
    layer(s, canvas, body2.collar, CHEST)
    layer(s, canvas, face.ears, HEAD)
    layer(s, canvas, face2.skin, HEAD)
    layer(s, canvas, face2.freckles, LOWER, has("freckles", 1))
    layer(s, canvas, face.nose, LOWER)
    layer(s, canvas, face2.stubble, LOWER, has("beard", 1))
    layer(s, canvas, face2.beard, LOWER, has("beard", 2, 3))
    layer(s, canvas, face2.mouth, LOWER)
    layer(s, canvas, face2.eyes, FACE)
    layer(s, canvas, hair2.front, None, haired)
    layer(s, canvas, hair2.strays, None, has("hair_strands", 1))
    layer(s, canvas, face2.brows, FACE)
    layer(s, canvas, accessories.earrings, HEAD, has("earrings", 1))
    layer(s, canvas, wear2.hat, None, s.rows["hat"] > 0)
    layer(s, canvas, wear2.glasses, FACE, s.rows["glasses"] > 0)
    return canvas.clamp_(0, 1)


def layer(s, canvas, draw, window=None, shown=None):
    """Let `draw` paint on the canvas, in place: the portraits of which `shown` [n] is true, within the window."""
    if shown is not None and not shown.any():
        return
    rows = None if shown is None or shown.all() else shown.nonzero().flatten()
    area = (slice(None), slice(None))
    if window:
        start = lambda edge: max(0, int((edge + 1) / s.pixel))
        area = slice(start(window[1]), start(window[3]) + 1), slice(start(window[0]), start(window[2]) + 1)
    target = canvas[:, :, area[0], area[1]]
    if rows is None:
        target.copy_(draw(part(s, None, area), target))
    else:
        rows = rows.to(canvas.device)
        target[rows] = draw(part(s, rows, area), target[rows])


def part(s, rows, area):
    """The scene of some portraits (rows; None: all) in a window of the image."""
    down, across = area
    size = round(2 / s.pixel)

    def cut(value):
        if isinstance(value, (list, tuple)):
            return [cut(one) for one in value]
        if not isinstance(value, torch.Tensor) or value.ndim != 4:
            return value
        value = value[:, :, down] if value.shape[2] == size else value
        value = value[..., across] if value.shape[3] == size else value
        return value[rows] if rows is not None and len(value) > 1 else value

    out = SimpleNamespace(**{name: cut(value) for name, value in vars(s).items() if name not in ("a", "rows", "noise", "numbers")})
    out.a, out.noise = s.a, s.noise
    if rows is not None:
        out.a = dict(zip(s.a, s.numbers[:, rows].unbind(0)))
        out.noise = s.noise[rows]
    return out
