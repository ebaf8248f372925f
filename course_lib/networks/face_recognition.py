"""Your own face-recognition network in place of the course's identity network, which was trained on Portraits alone.

    identity = face_recognition.from_torchscript("arcface.pt", threshold=0.3, crop=FFHQ)
    styleclip.optimize(G, clip, "a smiling person", ws, identity=identity, id_weight=0.1)
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..images import check

FFHQ = (32 / 256, 35 / 256, 220 / 256, 223 / 256)       # the face in an FFHQ image, as StyleCLIP's code cuts it out


class FaceRecognition(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] → unit vectors [N, D], by a network that embeds faces.

    network: images [N, 3, size, size] → [N, D]. Images are cropped to `crop`, (left, top, right, bottom) as shares of the image,
    resized to `size` with antialiasing, scaled to [0, 1], and normalised: (x − mean) / std, with one number for each channel or
    one for all. Channels are red, green, blue, or with `bgr` the reverse. threshold: the cosine from which on two images show the
    same person, as the network's authors give it; without it the identity loss works, `same_person` does not. differentiable:
    whether the network has gradients. Raises ValueError for a crop outside the image, for images as `images.check` does, and for a
    network that does not give [N, D].
    """

    def __init__(self, network, size=112, mean=0.5, std=0.5, threshold=None, crop=(0, 0, 1, 1), bgr=False, differentiable=True):
        super().__init__()
        left, top, right, bottom = crop
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"crop is {tuple(crop)}; pass left, top, right, bottom as shares of the image, such as (0, 0, 1, 1)")
        self.network, self.size, self.crop, self.bgr = network, size, crop, bgr
        self.threshold, self.differentiable = threshold, differentiable
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images):
        if images.requires_grad and torch.is_grad_enabled() and not self.differentiable:
            raise ValueError("ONNX Runtime computes no gradients, so this network can score edits but not guide them; export it as "
                             "TorchScript for an identity loss, or set id_weight to 0")
        x = check(images).to(self.mean).clamp(-1, 1)
        height, width = x.shape[2:]
        left, top, right, bottom = (round(share * side) for share, side in zip(self.crop, (width, height) * 2))
        x = F.interpolate(x[:, :, top:bottom, left:right], [self.size] * 2, mode="bilinear", antialias=True)
        x = ((x.flip(1) if self.bgr else x) / 2 + 0.5 - self.mean) / self.std
        found = self.network(x)
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(images):
            what = list(found.shape) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
            raise ValueError(f"the network gives {what} for {len(images)} images; it must give one vector for each, [N, D]")
        return F.normalize(found.float(), dim=1)

    def same_person(self, images, others):
        """Whether images and others show the same people. [N, 3, H, W], [N, 3, H, W] → bool [N]."""
        if self.threshold is None:
            raise ValueError("this network has no threshold; pass the cosine from which on two images show one person, threshold=…")
        return (self(images) * self(others)).sum(dim=1) >= self.threshold


def from_torchscript(path, device="cpu", **options):
    """A FaceRecognition from a TorchScript file, of `torch.jit.trace` or `torch.jit.script`; options are those of the class.

    TorchScript runs what the file says: take it from a source that you trust. Raises ValueError for a file of another kind, and for
    a network that does not turn images of `size` pixels into vectors.
    """
    try:
        network = torch.jit.load(str(_existing(path)), map_location=device)
    except RuntimeError as error:
        raise ValueError(f"{Path(path).name} is no TorchScript network ({str(error).splitlines()[0]})") from None
    return _tried(path, FaceRecognition(network, **options).to(device))


def from_onnx(path, **options):
    """A FaceRecognition from an ONNX file, computed by ONNX Runtime on the CPU: for scores alone, for it has no gradients.

    Raises ImportError without the package onnxruntime, ValueError as `from_torchscript`.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("ONNX files need the package onnxruntime: pip install onnxruntime") from None
    try:
        session = onnxruntime.InferenceSession(str(_existing(path)), providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise
    except Exception as error:                  # of onnxruntime's own kinds
        raise ValueError(f"{Path(path).name} is no ONNX network ({str(error).splitlines()[0]})") from None
    return _tried(path, FaceRecognition(Session(session), differentiable=False, **options))


class Session(nn.Module):
    """An ONNX Runtime session as a module: its first input takes the images, its first output is the embedding."""

    def __init__(self, session):
        super().__init__()
        first, = session.get_inputs()[:1]
        self.session, self.input, self.one_by_one = session, first.name, first.shape[0] == 1

    def forward(self, x):
        batches = x.detach().cpu().split(1 if self.one_by_one else len(x))
        parts = [self.session.run(None, {self.input: batch.numpy()})[0] for batch in batches]
        return torch.cat([torch.from_numpy(part) for part in parts]).to(x.device)


def _existing(path):
    """The path, if a file is there; FileNotFoundError otherwise."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing; pass the file of a face-recognition network")
    return path


def _tried(path, network):
    """The network, once it has embedded an image. Raises ValueError with the file's name if it cannot."""
    try:
        with torch.no_grad():
            network(torch.zeros(2, 3, 64, 64, device=network.mean.device))
    except Exception as error:                  # whatever a network of another kind makes of an image
        raise ValueError(f"{Path(path).name} is no network that makes vectors of images of {network.size} px: "
                         f"{' '.join(str(error).split())[-200:]}") from None
    return network
