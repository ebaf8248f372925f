"""Real images for training, as one uint8 tensor [M, 3, R, R] on the device."""
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from .. import portraits

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def load(source, resolution, count, seed, device):
    """`source` is "portraits" or a folder of images; at most `count` of them, the same ones for the same seed."""
    if source == "portraits":
        images = torch.empty(count, 3, resolution, resolution, dtype=torch.uint8, device=device)
        done = 0
        for batch, _ in portraits.batches(count, seed, resolution, device=device):
            images[done:done + len(batch)] = ((batch + 1) * 127.5).round().to(torch.uint8)
            done += len(batch)
        return images
    return from_folder(source, resolution, count).to(device)


def from_folder(folder, resolution, count):
    """Images of any size and mode: transparency on white, centre square, antialiased resize."""
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)[:count]
    if not files:
        raise ValueError(f'"{folder}" holds no images ({", ".join(sorted(SUFFIXES))}); pass a folder, or "portraits"')
    images = np.empty([len(files), resolution, resolution, 3], dtype=np.uint8)
    for i, path in enumerate(files):
        try:
            image = Image.open(path).convert("RGBA")
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} is not an image that can be read ({error}); remove it from the folder") from None
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop([left, top, left + side, top + side])
        images[i] = image.resize([resolution, resolution], Image.Resampling.LANCZOS)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
