"""Contact sheets: many portraits in one picture, and one row for each attribute."""

import torch
from PIL import Image, ImageDraw

from .attributes import ATTRIBUTES, BY_NAME, attributes
from .renderer import render
from .sampling import sample_attributes, sample_noise


def _picture(images):
    return Image.fromarray(((images + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def tile(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Images [n, 3, h, w] side by side, row by row: [3, rows * h, columns * w]."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    padded = images.new_ones(rows * columns, c, h, w)
    padded[:n] = images
    return padded.view(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)


def contact_sheet(resolution: int = 128, rows: int = 5, columns: int = 8, seed: int = 1, correlated: bool = True,
                  device=None) -> Image.Image:
    """rows × columns random portraits."""
    n = rows * columns
    images = render(sample_attributes(n, seed, correlated), resolution, sample_noise(n, seed), device)
    return _picture(tile(images, columns))


def _setting(name):
    """A portrait on which the attribute `name` shows well."""
    if name in ("beard",):
        return dict(presentation="man", hairstyle="crop")
    if name in ("earrings", "hat"):
        return dict(hairstyle="ponytail")
    return {}


def sweep(name: str, steps: int = 7, **setting) -> dict[str, torch.Tensor]:
    """Portraits equal but for the attribute `name`, which runs through its classes or, in steps, its range."""
    spec = BY_NAME[name]
    values = spec.values or torch.linspace(spec.low, spec.high, steps).tolist()
    each = [attributes(**{**_setting(name), **setting, name: value}) for value in values]
    return {key: torch.cat([one[key] for one in each]) for key in BY_NAME}


def sweep_sheet(resolution: int = 64, steps: int = 7, device=None, **setting) -> Image.Image:
    """Two columns of rows, one row for each attribute, its name on the left."""
    wide, label = 8 * resolution, 112
    half = -(-len(ATTRIBUTES) // 2)
    sheet = Image.new("RGB", (2 * (wide + label), half * resolution), "white")
    draw = ImageDraw.Draw(sheet)
    for i, spec in enumerate(ATTRIBUTES):
        left, top = (i // half) * (wide + label), (i % half) * resolution
        images = render(sweep(spec.name, steps, **setting), resolution, device=device)
        sheet.paste(_picture(tile(images, len(images))), (left + label, top))
        draw.text((left + 6, top + resolution // 2 - 6), spec.name.replace("_", " "), fill="black")
    return sheet
