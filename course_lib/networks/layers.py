"""Equalized layers: weights are N(0, 1) and get their scale at run time (PGGAN §4.1)."""
import re
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import fused, ops


class Dense(nn.Module):
    """[N, I] → [N, O], with the scale lr_mult / sqrt(I). `lr_mult` slows learning of weights and biases alike."""

    def __init__(self, in_features: int, out_features: int, bias: float = 0.0, lr_mult: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features).div_(lr_mult))
        self.bias = nn.Parameter(torch.full([out_features], float(bias) / lr_mult))
        self.scale = ops.equalized_scale(self.weight.shape, lr_mult)
        self.lr_mult = lr_mult
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        if fused.fuses(x):
            return fused.dense(x, self.weight, self.bias, self.scale, self.lr_mult, self.activate)
        x = torch.addmm(self.bias, x, self.weight.t(), beta=self.lr_mult, alpha=self.scale)
        return ops.leaky_relu(x) if self.activate else x


class Conv2d(nn.Module):
    """[N, I, H, W] → [N, O, H/down, W/down] with leaky ReLU and `gain` after the bias. Computes in x's dtype."""

    def __init__(self, in_channels: int, out_channels: int, size: int, down: int = 1, bias: bool = True, activate: bool = True,
                 clamp: float | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("kernel", ops.resample_kernel(), persistent=False)
        self.scale = ops.equalized_scale(self.weight.shape)
        self.down, self.activate, self.clamp = down, activate, clamp

    def forward(self, x: Tensor, gain: float = 1.0, impl: str = "fused") -> Tensor:
        convolve = implementation(impl).conv2d_resample
        if self.activate and fusing(impl, x):
            x = convolve(x, self.weight, self.kernel, down=self.down, padding=self.weight.shape[-1] // 2)
            return fused.act(x, self.bias, alpha=self.scale, gain=2 ** 0.5 * gain,
                             clamp=None if self.clamp is None else self.clamp * gain)
        if not self.activate and self.bias is None and self.clamp is None:
            return convolve(x, self.weight * (self.scale * gain), self.kernel, down=self.down, padding=self.weight.shape[-1] // 2)
        x = convolve(x, self.weight * self.scale, self.kernel, down=self.down, padding=self.weight.shape[-1] // 2)
        if self.bias is not None:
            x = x + self.bias.to(x.dtype)[:, None, None]
        if self.activate:
            return ops.leaky_relu(x, 2 ** 0.5 * gain, None if self.clamp is None else self.clamp * gain)
        x = x * gain
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class Equalized(nn.Module):
    """Weight [O, I, …] and bias of a layer of PGGAN and StyleGAN, whose gain is in the weight's scale, not in the
    activation. `equalized=False` puts the scale into the initial weight instead: He initialisation.
    """

    def __init__(self, *shape: int, gain: float = 2 ** 0.5, biases: int | None = None, equalized: bool = True):
        super().__init__()
        scale = ops.equalized_scale(shape, gain)
        self.scale = scale if equalized else 1.0
        self.weight = nn.Parameter(torch.randn(shape).mul_(scale / self.scale))
        self.bias = nn.Parameter(torch.zeros(biases or shape[0]))

    def activate(self, x: Tensor, impl: str = "fused", pixel_norm: bool = False) -> Tensor:
        """Bias, leaky ReLU and, where asked for, pixel norm of [N, O] or [N, O, H, W]."""
        if fusing(impl, x):
            return fused.pixel_norm(x, self.bias, 0.2) if pixel_norm else fused.act(x, self.bias, gain=1.0)
        x = ops.leaky_relu(x + self.bias.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2)), gain=1)
        return ops.pixel_norm(x) if pixel_norm else x


class EqualizedDense(Equalized):
    """[N, I] → [N, O], with the bias and, if asked for, leaky ReLU. `lr_mult` slows learning of weights and biases alike."""

    def __init__(self, in_features: int, out_features: int, activate: bool = False, lr_mult: float = 1.0, **options):
        super().__init__(out_features, in_features, **options)
        self.weight.data /= lr_mult
        self.scale *= lr_mult
        self.activates, self.lr_mult = activate, lr_mult

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        if fusing(impl, x):
            return fused.dense(x, self.weight, self.bias, self.scale, self.lr_mult, self.activates, gain=1.0)
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mult)
        return ops.leaky_relu(x, gain=1) if self.activates else x


class EqualizedConv2d(Equalized):
    """[N, I, H, W] → [N, O, H', W'] without the bias, which comes later: with the activation, in StyleGAN after blur and noise.

    resample: "up" doubles height and width before the convolution, "down" halves them after it.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int = 3, resample: str | None = None, **options):
        super().__init__(out_channels, in_channels, size, size, **options)
        self.resample = resample

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        if implementation(impl) is fused:
            return fused.equalized_conv2d(x, self.weight, self.scale, self.resample)
        weight = (self.weight * self.scale).to(x.dtype)
        if self.resample == "up":
            return ops.upscale2d_conv2d(x, weight)
        if self.resample == "down":
            return ops.conv2d_downscale2d(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def implementation(impl: str):
    """The module whose functions a network takes: `ops`, as the papers write them, for "reference"; `fused` for "fused"."""
    if impl not in ("fused", "reference"):
        raise ValueError(f'impl is {impl!r}; choose "fused" or "reference"')
    return fused if impl == "fused" else ops


def fusing(impl: str, x: Tensor) -> bool:
    """Whether a layer takes a GPU kernel of `fused` for x."""
    return implementation(impl) is fused and fused.fuses(x)


def feature_maps(resolution: int, channel_base: int = 32768, channel_max: int = 512) -> dict[int, int]:
    """Feature maps per resolution, {4: ..., 8: ..., …}: min(channel_base / resolution, channel_max)."""
    if resolution < 4 or resolution & (resolution - 1) or resolution > 1024:
        raise ValueError(f"resolution {resolution} is not a power of two from 4 to 1024")
    return {2 ** i: min(channel_base // 2 ** i, channel_max) for i in range(2, resolution.bit_length())}


def channels_of(tensors: dict[str, Tensor], pattern: str, side: int) -> dict[int, int]:
    """{resolution: feature maps}, from the size in dimension `side` of the tensors whose names match the pattern."""
    return {int(match[1]): t.shape[side] for name, t in tensors.items() if (match := re.fullmatch(pattern, name))}


def count(names: Iterable[str], pattern: str) -> int:
    """How many names match the pattern as a whole."""
    return sum(re.fullmatch(pattern, name) is not None for name in names)


def load_strictly(network: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Load tensors by name, or raise a ValueError that says which do not fit."""
    own = network.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        mine, theirs = (max((int(r) for name in names for r in re.findall(r"\bb(\d+)\.", name)), default=0)
                        for names in (own, tensors))
        whose = f"a network grown to {theirs} px; this one goes to {mine} px" if theirs != mine else "another network"
        raise ValueError(f"these tensors are of {whose}: missing {missing[:3]}, unknown {extra[:3]}")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}; its network needs {list(own[name].shape)}")
    network.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
    return network.eval()
