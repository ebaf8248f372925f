"""StyleGAN (Karras et al. 2019, arXiv:1812.04948): mapping network, AdaIN and noise, growing from 8×8.

Growth works as in `pggan`: `resolution` and `alpha` at every call, `reached` for what training has come to.
"""
from itertools import accumulate

import torch
from torch import Tensor, nn

from .. import fused, ops
from . import pggan, style_based
from .layers import EqualizedConv2d, EqualizedDense, channels_of, feature_maps, fusing, implementation, load_strictly


class Mapping(nn.Module):
    """z [N, z_dim] → w [N, w_dim]: dense layers that learn a hundred times slower. `width`: of the layers between."""

    def __init__(self, z_dim: int, w_dim: int, layers: int = 8, width: int | None = None, lr_mult: float = 0.01):
        super().__init__()
        self.z_dim, self.layers = z_dim, layers
        sizes = [z_dim] + [width or w_dim] * (layers - 1) + [w_dim]
        for i in range(layers):
            self.add_module(f"fc{i}", EqualizedDense(sizes[i], sizes[i + 1], activate=True, lr_mult=lr_mult))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, c=None) -> Tensor:
        """ValueError for latents of another size, and for labels c, which this network does not take."""
        if c is not None:
            raise ValueError("this network takes no labels c")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z has shape {list(z.shape)}; this mapping takes [N, {self.z_dim}]")
        z = z.to(self.fc0.weight.dtype)
        x = fused.pixel_norm(z) if fused.fuses(z) else ops.pixel_norm(z)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x


class Affine(EqualizedDense):
    """A of Fig. 1b: w [N, w_dim] → y = (y_s, y_b) of Eq. 1, [N, 2C]; y_s starts at one."""

    def __init__(self, w_dim: int, channels: int):
        super().__init__(w_dim, 2 * channels, gain=1)

    def forward(self, w: Tensor) -> Tensor:
        return torch.cat(ops.split_style(super().forward(w)), dim=1)


class Layer(nn.Module):
    """(A convolution → blur →) noise → bias → leaky ReLU → AdaIN (Fig. 1b). Without in_channels the layer holds the constant that
    takes the convolution's place."""

    def __init__(self, in_channels: int | None, out_channels: int, w_dim: int, resolution: int, up: bool = False):
        super().__init__()
        if in_channels is None:
            self.const = nn.Parameter(torch.ones(out_channels, resolution, resolution))
            self.bias = nn.Parameter(torch.zeros(out_channels))
        else:
            self.conv = EqualizedConv2d(in_channels, out_channels, resample="up" if up else None)
        self.affine = Affine(w_dim, out_channels)
        self.noise_strength = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("kernel", ops.resample_kernel((1, 2, 1)) if up else None, persistent=False)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, impl: str = "fused") -> Tensor:
        """x [N, I, H, W] or the constant for each image, style [N, 2C], noise [H, W] or [N, 1, H, W] → [N, C, H', W']."""
        if hasattr(self, "conv"):
            x, bias = self.conv(x, impl), self.conv.bias
        else:
            bias = self.bias
        if self.kernel is not None:
            x = implementation(impl).blur2d(x, self.kernel)
        if fusing(impl, x):
            return fused.styled_activation(x, bias, noise, self.noise_strength, style)
        if noise is not None:
            x = ops.add_noise(x, noise, self.noise_strength)
        x = ops.leaky_relu(x + bias.to(x.dtype)[:, None, None], gain=1)
        return ops.adain(x, *style.to(x.dtype).chunk(2, dim=1))


class SynthesisBlock(nn.Module):
    """One resolution: two layers, each under its own style and noise, and toRGB."""

    def __init__(self, in_channels: int | None, out_channels: int, img_channels: int, w_dim: int, resolution: int):
        super().__init__()
        self.conv0 = Layer(in_channels, out_channels, w_dim, resolution, up=in_channels is not None)
        self.conv1 = Layer(out_channels, out_channels, w_dim, resolution)
        self.torgb = pggan.ToRGB(out_channels, img_channels)

    def forward(self, x: Tensor, styles: list[Tensor], noises: list[Tensor | None], impl: str = "fused") -> Tensor:
        for layer, style, noise in zip((self.conv0, self.conv1), styles, noises):
            x = layer(x, style, noise, impl)
        return x


class Synthesis(style_based.Synthesis):
    """Styles → image, from a learned constant."""

    def __init__(self, w_dim: int, channels: dict[int, int], img_channels: int = 3):
        super().__init__()
        self.w_dim, self.resolutions = w_dim, sorted(channels)
        for r in self.resolutions:
            self.add_module(f"b{r}", SynthesisBlock(channels.get(r // 2), channels[r], img_channels, w_dim, r))
        self.num_ws, self.reached, self.alpha = 2 * len(self.resolutions), self.resolutions[-1], 1.0
        widths = [channels[r] for r in self.resolutions for _ in range(2)]
        self.register_buffer("style_starts", torch.tensor([0, *accumulate(2 * c for c in widths)]), persistent=False)
        self.register_buffer("style_shift", torch.tensor([float(i < c) for c in widths for i in range(2 * c)]), persistent=False)

    def style_layers(self) -> list[tuple[str, nn.Module, int]]:
        """The layers that take a style, as (name, layer, index into ws)."""
        return [(f"b{r}.conv{j}", getattr(getattr(self, f"b{r}"), f"conv{j}"), 2 * i + j)
                for i, r in enumerate(self.resolutions) for j in (0, 1)]

    def fused_styles(self, ws, affines):
        return fused.affines(ws, affines, self.style_starts, self.style_shift)

    def forward(self, ws: Tensor | None = None, noise: str | list = "random", styles: list[Tensor] | None = None,
                resolution: int | None = None, alpha: float | Tensor | None = None, impl: str = "fused",
                dtype: torch.dtype | None = None) -> Tensor:
        """Images [N, img_channels, R, R] in about [-1, 1], from ws [N, num_ws, w_dim] or [N, w_dim] or from styles, up to
        `resolution` with `alpha` (see pggan).

        noise: "random", "const", "none", or a list with a tensor, one of these words or None for every layer.
        impl: "fused", or "reference" for the equations of `ops` one by one. dtype: what the convolutions compute in.
        """
        resolution, alpha = pggan.check_growth(self, resolution, alpha)
        styles = self.styles(ws) if styles is None else styles
        const, n = self.b4.conv0.const, styles[0].shape[0]
        x = const.to(dtype or const.dtype).expand(n, -1, -1, -1)
        styles, noises = iter(styles), self.noise_inputs(noise, n, x.dtype)
        for block in pggan.blocks(self, resolution):
            before, x = x, block(x, [next(styles), next(styles)], [next(noises), next(noises)], impl)
        return pggan.rgb(self, resolution, before, x, alpha, impl)


class Generator(style_based.Generator):
    """z → w → image. `channels` gives the feature maps per resolution; by default those of the paper."""

    def __init__(self, resolution: int, z_dim: int = 512, w_dim: int = 512, channel_base: int = 16384, channel_max: int = 512,
                 mapping_layers: int = 8, mapping_width: int | None = None, img_channels: int = 3,
                 channels: dict[int, int] | None = None, reached: int | None = None, alpha: float = 1.0):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.w_dim, self.img_channels = resolution, z_dim, w_dim, img_channels
        self.mapping = Mapping(z_dim, w_dim, mapping_layers, mapping_width)
        self.synthesis = Synthesis(w_dim, channels, img_channels)
        self.grow(reached or resolution, alpha)

    @property
    def reached(self) -> int:
        return self.synthesis.reached

    def grow(self, resolution: int, alpha: float = 1.0) -> None:
        """Note how far training has come."""
        self.synthesis.reached, self.synthesis.alpha = resolution, alpha


def discriminator(resolution: int, **options) -> pggan.Discriminator:
    """PGGAN's, with a blur before the second convolution of every block."""
    return pggan.Discriminator(resolution, blur=True, **options)


def generator_from(tensors: dict[str, Tensor], **config) -> Generator:
    """A generator from its state dict; sizes are read off the tensors."""
    channels = channels_of(tensors, r"synthesis\.b(\d+)\.torgb\.weight", 1)
    layers = sum(name.startswith("mapping.fc") for name in tensors) // 2
    width, z_dim = tensors["mapping.fc0.weight"].shape
    return load_strictly(Generator(max(channels), z_dim=z_dim, w_dim=len(tensors["mapping.w_avg"]), mapping_layers=layers,
                          mapping_width=width, channels=channels,
                          img_channels=len(tensors["synthesis.b4.torgb.bias"]), **config), tensors)


def discriminator_from(tensors: dict[str, Tensor], **config) -> pggan.Discriminator:
    """A discriminator from its state dict."""
    return pggan.discriminator_from(tensors, blur=True, **config)
