"""Pictures for the lessons: grids of images, figures in one style, and `show`, which gives each its alt text.

Importing this module sets the course's matplotlib style. Images are tensors [3, H, W] or [N, 3, H, W] in [-1, 1].
"""
import base64
import io
from functools import lru_cache
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from cycler import cycler
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from .images import check, from_uint8, grid, to_pil, to_uint8

# Okabe and Ito's palette, which readers with any colour vision can tell apart, without its yellow.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GAP, AUTO_WIDTH = 2, 640

plt.style.use({
    "figure.figsize": (7, 3), "figure.dpi": 100, "savefig.dpi": 200, "figure.constrained_layout.use": True,
    "figure.facecolor": "white", "axes.prop_cycle": cycler(color=COLORS), "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e4e4e4", "font.family": "DejaVu Sans", "font.size": 10,
    "axes.titlesize": 11, "axes.labelsize": 10, "legend.frameon": False, "lines.linewidth": 2, "image.interpolation": "nearest",
})


def show(thing, alt: str) -> None:
    """Display a figure, a PIL image or images [N, 3, H, W], with alt text for readers who cannot see it. A figure is closed."""
    from IPython.display import display
    data, metadata = bundle(thing, alt)
    display(data, metadata=metadata, raw=True)
    if isinstance(thing, Figure):
        plt.close(thing)


def bundle(thing, alt: str) -> tuple[dict, dict]:
    """A picture as Jupyter stores it: its content by mime type, and the metadata of each. The alt text is also the plain text.
    Raises ValueError without an alt text."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt must be a sentence that tells what the picture shows")
    picture = to_image(thing)
    png = base64.b64encode(to_png(picture)).decode()
    size = {"width": picture.width // 2, "height": picture.height // 2} if isinstance(thing, Figure) else {}
    return {"image/png": png, "text/plain": alt}, {"image/png": {"alt": alt, **size}}


def to_image(thing) -> Image.Image:
    """A figure (at twice its size in pixels), a PIL image, or images [3, H, W] or [N, 3, H, W] (a grid), as PIL image."""
    if isinstance(thing, Image.Image):
        return thing
    if isinstance(thing, Figure):
        buffer = io.BytesIO()
        thing.savefig(buffer, format="png", dpi=2 * thing.dpi, metadata={"Software": None})
        return Image.open(buffer).convert("RGB")
    if isinstance(thing, torch.Tensor) and thing.dim() in (3, 4):
        return image_grid(thing if thing.dim() == 4 else thing[None])
    shape = tuple(thing.shape) if isinstance(thing, torch.Tensor) else type(thing).__name__
    raise ValueError(f"expected a figure, a PIL image or images [N, 3, H, W], got {shape}")


def to_png(thing, level: int = 6) -> bytes:
    """The PNG bytes of what `to_image` takes, without date or software, so that equal pixels give equal bytes. level: of
    compression, 0 to 9."""
    buffer = io.BytesIO()
    to_image(thing).save(buffer, format="png", compress_level=level)
    return buffer.getvalue()


def image_grid(images: torch.Tensor, columns: int | None = None, scale: int | None = None, labels=None,
               titles=None) -> Image.Image:
    """Images [N, 1 or 3, H, W] in [-1, 1] row by row, with `labels` left of the rows and `titles` above the columns.

    Each pixel is drawn `scale` × `scale`; by default as large as keeps the grid within AUTO_WIDTH pixels. columns: by default at
    most 8. Raises ValueError for images as `images.check` does, and for other than one label for each row and one title for each
    column.
    """
    check(images, (1, 3), shown=True)
    n, _, height, width = images.shape
    columns = columns or min(n, 8)
    rows = -(-n // columns)
    for name, texts, count in (("labels", labels, rows), ("titles", titles, columns)):
        if texts is not None and len(texts) != count:
            raise ValueError(f"{name} must hold {count} texts for {rows} rows and {columns} columns, got {len(texts)}")
    scale = scale or max(1, AUTO_WIDTH // (columns * (width + GAP)))
    cell_w, cell_h = width * scale + GAP, height * scale + GAP
    left = 12 + max(_text_width(str(t)) for t in labels) if labels is not None else 0
    top = 22 if titles is not None else 0
    sheet = Image.new("RGB", (left + columns * cell_w - GAP, top + rows * cell_h - GAP), "white")
    pixels = to_uint8(images.detach()).expand(-1, 3, -1, -1).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    sheet.paste(to_pil(grid(pixels, columns, GAP)), (left, top))
    draw = ImageDraw.Draw(sheet)
    for row, text in enumerate(labels if labels is not None else ()):
        draw.text((left - 6, top + row * cell_h + cell_h / 2), str(text), fill="black", font=font(), anchor="rm")
    for column, text in enumerate(titles if titles is not None else ()):
        draw.text((left + (column + 0.5) * cell_w, 10), str(text), fill="black", font=font(), anchor="mm")
    return sheet


def tiles(picture, size: int) -> torch.Tensor:
    """The square images of a grid without gaps (a PIL image or a file), row by row → [N, 3, size, size] in [-1, 1]."""
    picture = (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(-1, size, picture.width // size, size, 3)
    return from_uint8(pixels.permute(0, 2, 4, 1, 3).flatten(0, 1))


def before_and_after(file, prompts) -> Image.Image:
    """The scoreboard's stored picture of a method, three portraits and their three edits for each prompt, as a grid of pairs with
    labels."""
    pairs = tiles(file, 64).unflatten(0, (len(prompts), 6))[:, [0, 3, 1, 4, 2, 5]].flatten(0, 1)
    return image_grid(pairs, columns=6, scale=2, labels=prompts, titles=["before", "after"] * 3)


def under_bars(images: torch.Tensor, values, top: float, height: int = 24) -> torch.Tensor:
    """Images [N, 3, H, W] side by side, with a bar over each for its value, `top` being the highest → [3, height + H, N·W]."""
    width = images.shape[3]
    bars = torch.ones(3, height, len(images) * width)
    for i, value in enumerate(values):
        bars[:, height - round((height - 2) * min(float(value) / max(float(top), 1e-9), 1)):,
             i * width + width // 8:(i + 1) * width - width // 8] = 0.2
    return torch.cat([bars, torch.cat(list(images.detach().cpu()), dim=2)], dim=1)


def with_caption(picture, text: str) -> Image.Image:
    """The picture with a line of text under it."""
    picture = to_image(picture)
    sheet = Image.new("RGB", (max(picture.width, _text_width(text) + 8), picture.height + 24), "white")
    sheet.paste(picture, (0, 0))
    ImageDraw.Draw(sheet).text((4, picture.height + 13), text, fill="black", font=font(), anchor="lm")
    return sheet


def diverging(values: torch.Tensor, limit: float) -> torch.Tensor:
    """A map [H, W] as an image [3, H, W]: blue at -limit, white at 0, red at limit."""
    ramp = torch.tensor([[0.02, 0.19, 0.55], [0.26, 0.58, 0.84], [1, 1, 1], [0.90, 0.48, 0.30], [0.55, 0.05, 0.12]])
    place = (values.detach().float().cpu() / limit).clamp(-1, 1) * 2 + 2
    below = place.floor().long().clamp(0, 3)
    color = torch.lerp(ramp[below], ramp[below + 1], (place - below)[..., None])
    return color.movedim(-1, 0) * 2 - 1


def curves(x, series: dict, xlabel: str, ylabel: str, logy: bool = False) -> Figure:
    """One line for each name in `series`: values [len(x)], or runs [seeds, len(x)] as their mean in a band from min to max."""
    figure, axes = plt.subplots()
    for name, values in series.items():
        values = torch.as_tensor(values, dtype=torch.float64)
        runs = values if values.dim() == 2 else values[None]
        line, = axes.plot(x, runs.mean(dim=0), label=name)
        if len(runs) > 1:
            axes.fill_between(x, runs.amin(dim=0), runs.amax(dim=0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if logy else "linear")
    if len(series) > 1:
        axes.legend()
    return figure


def bars(values: dict, xlabel: str, digits: int = 2, reference: float | None = None) -> Figure:
    """A table drawn as bars: one row for each name, its number at its end, a dashed line at `reference`."""
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.34 * len(values)))
    drawn = axes.barh(list(values), [float(v) for v in values.values()], color=COLORS[0])
    axes.bar_label(drawn, fmt=f"%.{digits}f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(xlabel)
    if reference is not None:
        axes.axvline(reference, color="#444444", linestyle="--", linewidth=1)
    return figure


@lru_cache
def font(size: int = 13):
    """DejaVu Sans for text in PIL images, `size` pixels high."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def _text_width(text: str) -> int:
    return int(font().getlength(text)) + 1
