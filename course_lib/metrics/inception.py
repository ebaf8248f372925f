"""The Inception features of the published FID, from a file that you fetch yourself or have fetched."""
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import download

SIZE = 299              # pixels a side of what the network sees
SOURCE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
# NVIDIA gives no hash; this one is as other projects record it.
LICENCE = "Google's Inception network (Apache License 2.0) as NVIDIA serves it for the FID; the terms of both apply"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"


def load_inception(path, device="cpu"):
    """The TorchScript network of the published FID. TorchScript runs what the file says: take it from its source only.

    path: your copy of the file, or "download", which fetches it (96 MB) to `download.cache()`, once, and compares its sha256.
    """
    if path == "download":
        path = download.fetch(SOURCE, sha256=SHA256, terms=LICENCE)
    if path is None or not Path(path).is_file():
        raise FileNotFoundError(f"{path or 'a file of Inception weights'} is missing. The FID needs inception-2015-12-05.pt: "
                                f"fetch {SOURCE} and pass its path (--inception FILE), or pass \"download\" (--inception "
                                f"download) to have it fetched to {download.cache()}; without it, use frechet")
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{Path(path).name} is no TorchScript network ({str(error).splitlines()[0]})") from None


def size_of(network, device="cpu", features=None):
    """How many features the network gives of an image. ValueError if it is another network than that of the FID."""
    try:
        _, size = (features or legacy_features)(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=device)).shape
    except (RuntimeError, AttributeError, ValueError) as error:
        raise ValueError("this is not the Inception network of the FID: it gives no features of images in bytes "
                         f"({str(error).strip().splitlines()[-1]})") from None
    return size


@torch.no_grad()
def legacy_features(network, pixels):
    """Features [N, 2048] of images uint8 [N, 3, H, W], which the network resizes to 299 px itself."""
    return network(pixels, return_features=True)


@torch.no_grad()
def clean_features(network, pixels):
    """Features [N, 2048] of images uint8 [N, 3, H, W], resized by `clean`."""
    return network.layers((clean(pixels).to(pixels.device) - 128) / 128).flatten(1)


def clean(pixels):
    """Images uint8 [N, C, H, W] → floats in [0, 255], [N, C, 299, 299] on the CPU: each channel by Pillow's bicubic filter, which
    is antialiased, in float32 (Parmar et al. 2022, arXiv:2104.11222)."""
    resized = lambda channel: np.asarray(Image.fromarray(np.float32(channel)).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return torch.from_numpy(np.stack([[resized(channel) for channel in image] for image in pixels.cpu().numpy()]).clip(0, 255))
