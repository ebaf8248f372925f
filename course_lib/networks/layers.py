"""Equalized layers: weights are N(0, 1) and get their scale at run time (PGGAN §4.1)."""
import re

import torch
from torch import nn
import torch.nn.functional as F

from .. import fast, ops


class Dense(nn.Module):
    """[N, I] → [N, O], with the scale lr_mult / sqrt(I). `lr_mult` slows learning of weights and biases alike."""

    def __init__(self, in_features, out_features, bias=0.0, lr_mult=1.0, activate=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mult)
        self.bias = nn.Parameter(torch.full([out_features], float(bias) / lr_mult))
        self.scale = ops.equalized_scale(self.weight.shape, lr_mult)
        self.lr_mult = lr_mult
        self.activate = activate

    def forward(self, x):
        if fast.fuses(x):
            form = {} if self.activate else {"gain": 1.0, "slope": 1.0}
            return fast.act(x @ self.weight.t(), self.bias, alpha=self.scale, beta=self.lr_mult, **form)
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mult)
        return ops.leaky_relu(x) if self.activate else x


class Conv2d(nn.Module):
    """[N, I, H, W] → [N, O, H/down, W/down] with leaky ReLU and `gain` after the bias. Computes in x's dtype."""

    def __init__(self, in_channels, out_channels, size, down=1, bias=True, activate=True, clamp=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("kernel", ops.resample_kernel(), persistent=False)
        self.scale = ops.equalized_scale(self.weight.shape)
        self.down, self.activate, self.clamp = down, activate, clamp

    def forward(self, x, gain=1.0, plain=False):
        convolve = (ops if plain else fast).conv2d_resample
        if self.activate and not plain and fast.fuses(x):
            x = convolve(x, self.weight, self.kernel, down=self.down, padding=self.weight.shape[-1] // 2)
            return fast.act(x, self.bias, alpha=self.scale, gain=2 ** 0.5 * gain, clamp=None if self.clamp is None else self.clamp * gain)
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

    def __init__(self, *shape, gain=2 ** 0.5, biases=None, lr_mult=1.0, equalized=True):
        super().__init__()
        scale = ops.equalized_scale(shape, gain)
        self.scale, self.lr_mult = (scale * lr_mult, lr_mult) if equalized else (1.0, 1.0)
        self.weight = nn.Parameter(torch.randn(shape) / lr_mult if equalized else torch.randn(shape) * scale)
        self.bias = nn.Parameter(torch.zeros(biases or shape[0]))

    def scaled(self, dtype):
        return (self.weight * self.scale).to(dtype)

    def linear(self, x):
        return F.linear(x, self.scaled(x.dtype))

    def conv2d(self, x):
        return fast.conv2d(x, self.scaled(x.dtype), padding=self.weight.shape[-1] // 2)

    def activate(self, x):
        """Bias and leaky ReLU of [N, O] or [N, O, H, W]."""
        if fast.fuses(x):
            return fast.act(x, self.bias, beta=self.lr_mult, gain=1.0)
        bias = (self.bias * self.lr_mult).to(x.dtype)
        return ops.leaky_relu(x + bias.reshape(-1, *[1] * (x.ndim - 2)), gain=1)

    def rgb(self, x):
        return (self.conv2d(x) + self.bias.to(x.dtype)[:, None, None]).to(self.weight.dtype)


def feature_maps(resolution, channel_base=32768, channel_max=512):
    """Feature maps per resolution, {4: ..., 8: ..., …}: min(channel_base / resolution, channel_max)."""
    if resolution < 4 or resolution & (resolution - 1) or resolution > 1024:
        raise ValueError(f"resolution {resolution} is not a power of two from 4 to 1024")
    return {2 ** i: min(channel_base // 2 ** i, channel_max) for i in range(2, resolution.bit_length())}


def channels_of(tensors, pattern, side):
    """{resolution: feature maps}, from the size in dimension `side` of the tensors whose names match the pattern."""
    return {int(match[1]): t.shape[side] for name, t in tensors.items() if (match := re.fullmatch(pattern, name))}


def fill(network, tensors):
    """Load tensors by name, or raise a ValueError that says which do not fit."""
    own = network.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        mine, theirs = (max((int(r) for name in names for r in re.findall(r"\bb(\d+)\.", name)), default=0)
                        for names in (own, tensors))
        grown = f"are of a network grown to {theirs} px; this one goes to {mine} px" if theirs != mine else "are not of this network"
        raise ValueError(f"these tensors {grown}: missing {missing[:3]}, unknown {extra[:3]}")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}; its network needs {list(own[name].shape)}")
    network.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
    return network.eval()
