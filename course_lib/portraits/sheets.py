"""Contact sheets: many portraits in one picture, and one row for each attribute."""
import torch
from PIL import Image, ImageDraw

from ..images import grid, to_pil
from .renderer import render
from .sampling import sample_attributes, sample_noise
from .schema import VERSION, attributes, table


def contact_sheet(resolution: int = 128, rows: int = 5, columns: int = 8, seed: int = 1, correlated: bool = True,
                  device=None, version: str = VERSION) -> Image.Image:
    """rows × columns random portraits of a seed in one picture. correlated: of `sample_attributes`."""
    n = rows * columns
    images = render(sample_attributes(n, seed, correlated, version), resolution, sample_noise(n, seed), device, version)
    return to_pil(grid(images, columns))


def _setting(name):
    """Attributes of a portrait on which the attribute `name` is easy to see."""
    if name == "beard":
        return dict(presentation="man", hairstyle="crop")
    if name == "beard_color":
        return dict(presentation="man", hairstyle="crop", beard="full")
    if name == "hat_color":
        return dict(hairstyle="ponytail", hat="beanie")
    if name in ("earrings", "hat"):
        return dict(hairstyle="ponytail")
    return {}


def sweep(name: str, steps: int = 7, version: str = VERSION, **setting) -> dict[str, torch.Tensor]:
    """The attributes of portraits that differ in one, `name`: all its classes, or `steps` values over its range. setting: the other
    attributes. → {name: [N]}"""
    spec = table(version)[name]
    values = spec.values or torch.linspace(spec.low, spec.high, steps).tolist()
    each = [attributes(version, **{**_setting(name), **setting, name: value}) for value in values]
    return {key: torch.cat([one[key] for one in each]) for key in table(version)}


def sweep_sheet(resolution: int = 64, steps: int = 7, device=None, version: str = VERSION, **setting) -> Image.Image:
    """A picture with a row of portraits for each attribute (`sweep`), in two columns, the attribute's name on the left."""
    specs = list(table(version).values())
    wide, label = max(8, *(len(spec.values) for spec in specs)) * resolution, 112
    half = -(-len(specs) // 2)
    sheet = Image.new("RGB", (2 * (wide + label), half * resolution), "white")
    draw = ImageDraw.Draw(sheet)
    for i, spec in enumerate(specs):
        left, top = (i // half) * (wide + label), (i % half) * resolution
        images = render(sweep(spec.name, steps, version, **setting), resolution, device=device, version=version)
        sheet.paste(to_pil(grid(images, len(images))), (left + label, top))
        draw.text((left + 6, top + resolution // 2 - 6), spec.name.replace("_", " "), fill="black")
    return sheet
