"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): skip generator and residual discriminator.

Parameters have the names of the official networks, so weights move between the two without a table. Computation follows
the dtype given to `synthesis` or the discriminator (bfloat16 for speed); the mapping, styles, RGB sums and the last
layers of the discriminator stay in that of the parameters, float32; `G.double()` computes in float64 throughout.
"""
from itertools import accumulate

import torch
from torch import Tensor, nn

from .. import fused, ops
from . import style_based
from .layers import Conv2d, Dense, channels_of, count, feature_maps, implementation, load_strictly


class Mapping(nn.Module):
    """z [N, z_dim], optional labels c [N, c_dim] → w [N, w_dim]: eight dense layers that learn a hundred times slower."""

    def __init__(self, z_dim, c_dim, w_dim, layers=8, lr_mult=0.01):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.layers = z_dim, c_dim, w_dim, layers
        if c_dim:
            self.embed = Dense(c_dim, w_dim)
        sizes = [z_dim + (w_dim if c_dim else 0)] + [w_dim] * layers
        for i in range(layers):
            self.add_module(f"fc{i}", Dense(sizes[i], sizes[i + 1], lr_mult=lr_mult, activate=True))

    def forward(self, z=None, c=None):
        parts = []
        if self.z_dim:
            if z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(f"z has shape {list(z.shape)}; this mapping takes [N, {self.z_dim}]")
            parts.append(ops.pixel_norm(z.to(self.fc0.weight.dtype)))
        if not self.c_dim and c is not None and c.shape[-1]:
            raise ValueError("this network takes no labels c")
        if self.c_dim:
            if c is None or c.shape[-1] != self.c_dim or z is not None and c.shape[:-1] not in ((), (1,), (len(z),)):
                raise ValueError(f"this network is conditional: pass labels c of shape [N, {self.c_dim}], or one row for all")
            embedding = ops.pixel_norm(self.embed(c.to(self.embed.weight.dtype).reshape(-1, self.c_dim)))
            parts.append(embedding if z is None else embedding.expand(len(z), -1))
        x = torch.cat(parts, dim=1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x


class StyledConv(nn.Module):
    """Modulated convolution → noise → bias → leaky ReLU (StyleGAN2 Fig. 2d)."""

    def __init__(self, in_channels, out_channels, w_dim, resolution, up=1, clamp=None):
        super().__init__()
        self.affine = Dense(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("kernel", ops.resample_kernel(), persistent=False)
        self.up, self.clamp = up, clamp

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, impl: str = "fused") -> Tensor:
        """x [N, I, H, W], style [N, I], noise [H, W] or [N, 1, H, W] → [N, O, up·H, up·W]."""
        if impl == "fused" and (fused.fuses(x) or fused.folds(x, self.weight)):
            return fused.styled_conv2d(x, self.weight, style, self.bias, noise, self.noise_strength, self.up, self.kernel,
                                       self.clamp)
        x = implementation(impl).modulated_conv2d(x, self.weight, style, up=self.up, padding=1, kernel=self.kernel)
        if noise is not None:
            x = ops.add_noise(x, noise, self.noise_strength)
        return ops.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], clamp=self.clamp)


class ToRGB(nn.Module):
    """1×1 modulated convolution without demodulation; its equalized scale multiplies the style."""

    def __init__(self, in_channels, img_channels, w_dim, clamp=None):
        super().__init__()
        self.affine = Dense(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.scale, self.clamp = ops.equalized_scale(self.weight.shape), clamp

    def forward(self, x: Tensor, style: Tensor, impl: str = "fused") -> Tensor:
        """x [N, I, H, W], style [N, I] → [N, img_channels, H, W] in the dtype of the weights."""
        if impl == "fused" and (fused.fuses(x) or fused.folds(x, self.weight)):
            x = fused.to_rgb(x, self.weight, style * self.scale, self.bias)
        else:
            x = implementation(impl).modulated_conv2d(x, self.weight, style * self.scale, demod=False)
            x = x + self.bias.to(x.dtype)[:, None, None]
        return (x if self.clamp is None else x.clamp(-self.clamp, self.clamp)).to(self.weight.dtype)


class SynthesisBlock(nn.Module):
    """One resolution: (conv0 that doubles the size,) conv1, toRGB."""

    def __init__(self, in_channels, out_channels, img_channels, w_dim, resolution, clamp):
        super().__init__()
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=2, clamp=clamp)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, clamp=clamp)
        self.torgb = ToRGB(out_channels, img_channels, w_dim, clamp)

    def layers(self):
        return [layer for name, layer in self.named_children() if name in ("conv0", "conv1")]


class Synthesis(style_based.Synthesis):
    """Styles → image: a learned constant, styled convolutions, and the RGB of every resolution summed (Fig. 7b)."""

    def __init__(self, w_dim, channels, img_channels=3, conv_clamp=None):
        super().__init__()
        self.w_dim, self.channels = w_dim, channels
        self.resolutions = sorted(channels)
        before = None
        for resolution in self.resolutions:
            block = SynthesisBlock(before, channels[resolution], img_channels, w_dim, resolution, conv_clamp)
            self.add_module(f"b{resolution}", block)
            before = channels[resolution]
        self.num_ws = 2 * len(self.resolutions)
        self.register_buffer("kernel", ops.resample_kernel(), persistent=False)
        _, layers, indices = zip(*self.style_layers())
        self.register_buffer("style_index", torch.tensor(indices), persistent=False)
        starts = [0, *accumulate(len(layer.affine.bias) for layer in layers)]
        self.register_buffer("style_starts", torch.tensor(starts), persistent=False)

    @property
    def blocks(self):
        return [getattr(self, f"b{resolution}") for resolution in self.resolutions]

    def style_layers(self):
        """The layers that take a style, in the official order, as (name, layer, index into ws)."""
        found, index = [], 0
        for resolution, block in zip(self.resolutions, self.blocks):
            for layer in block.layers():
                found.append((f"b{resolution}.{'conv1' if layer is block.conv1 else 'conv0'}", layer, index))
                index += 1
            found.append((f"b{resolution}.torgb", block.torgb, index))
        return found

    def fused_styles(self, ws, affines):
        return fused.affines(ws.index_select(0, self.style_index), affines, self.style_starts)

    def forward(self, ws: Tensor | None = None, noise: str | list = "random", styles: list[Tensor] | None = None,
                impl: str = "fused", dtype: torch.dtype | None = None,
                return_rgb: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Images [N, img_channels, H, W] in about [-1, 1], from ws [N, num_ws, w_dim] or [N, w_dim], or from styles.

        noise: "random", "const", "none", or a list with a tensor, one of these words or None for every convolution.
        impl: "fused", or "reference": modulated weights, as the paper writes it, instead of the faster scaled activations.
        dtype: what the convolutions compute in. return_rgb: also return every resolution's own RGB, before it is enlarged and
        summed.
        """
        styles = self.styles(ws) if styles is None else styles
        const, n = self.b4.const, styles[0].shape[0]
        x, image, rgbs = const.to(dtype or const.dtype).expand(n, -1, -1, -1), None, []
        styles, noises = iter(styles), self.noise_inputs(noise, n, x.dtype)
        for block in self.blocks:
            for layer in block.layers():
                x = layer(x, next(styles), next(noises), impl)
            rgbs.append(block.torgb(x, next(styles), impl))
            image = rgbs[-1] if image is None else implementation(impl).upsample2d(image, self.kernel) + rgbs[-1]
        return (image, rgbs) if return_rgb else image


class Generator(style_based.Generator):
    """z → w → image. `channels` gives the feature maps per resolution; by default those of config F."""

    W_AVG_DECAY = 0.998

    def __init__(self, resolution, z_dim=512, w_dim=512, c_dim=0, channel_base=32768, channel_max=512, mapping_layers=8,
                 img_channels=3, conv_clamp=None, channels=None):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.w_dim, self.c_dim, self.img_channels = resolution, z_dim, w_dim, c_dim, img_channels
        self.mapping = Mapping(z_dim, c_dim, w_dim, mapping_layers)
        self.mapping.register_buffer("w_avg", torch.zeros(w_dim))
        self.synthesis = Synthesis(w_dim, channels, img_channels, conv_clamp)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the size: (conv, conv with the filter) + 1×1 skip, divided by √2 (Fig. 7c)."""

    def __init__(self, in_channels, out_channels, img_channels, clamp):
        super().__init__()
        if img_channels:
            self.fromrgb = Conv2d(img_channels, in_channels, 1, clamp=clamp)
        self.conv0 = Conv2d(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = Conv2d(in_channels, out_channels, 3, down=2, clamp=clamp)
        self.skip = Conv2d(in_channels, out_channels, 1, down=2, bias=False, activate=False)

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x, impl=impl)
        skip = self.skip(x, gain=0.5 ** 0.5, impl=impl)
        x = self.conv1(self.conv0(x, impl=impl), gain=0.5 ** 0.5, impl=impl)
        return x + skip


class DiscriminatorEpilogue(nn.Module):
    """4×4 features → minibatch standard deviation → conv → two dense layers, in the dtype of the parameters."""

    def __init__(self, channels, out_features, img_channels, clamp, group_size=4):
        super().__init__()
        if img_channels:
            self.fromrgb = Conv2d(img_channels, channels, 1, clamp=clamp)
        self.conv = Conv2d(channels + 1, channels, 3, clamp=clamp)
        self.fc = Dense(channels * 16, channels, activate=True)
        self.out = Dense(channels, out_features)
        self.group_size = group_size

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x, impl=impl)
        x = self.conv(ops.minibatch_stddev(x.to(self.conv.weight.dtype), self.group_size), impl=impl)
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """Images [N, 3, H, W], optional labels → logits [N]. Labels enter by projection on a mapped embedding."""

    def __init__(self, resolution, c_dim=0, channel_base=32768, channel_max=512, img_channels=3, conv_clamp=None,
                 group_size=4, mapping_layers=8, channels=None):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.c_dim, self.img_channels = resolution, c_dim, img_channels
        self.resolutions = sorted(channels, reverse=True)
        for r in self.resolutions[:-1]:
            self.add_module(f"b{r}", DiscriminatorBlock(channels[r], channels[r // 2],
                                                        img_channels if r == resolution else 0, conv_clamp))
        self.b4 = DiscriminatorEpilogue(channels[4], channels[4] if c_dim else 1,
                                        img_channels if resolution == 4 else 0, conv_clamp, group_size)
        if c_dim:
            self.mapping = Mapping(0, c_dim, channels[4], mapping_layers)

    def forward(self, images: Tensor, c: Tensor | None = None, impl: str = "fused", dtype: torch.dtype | None = None) -> Tensor:
        """Images [N, img_channels, H, W], labels c [N, c_dim] of a conditional network → logits [N]; impl and dtype as in the
        generator. ValueError for images or labels of another shape."""
        expected = (self.img_channels, self.resolution, self.resolution)
        if images.shape[1:] != expected:
            raise ValueError(f"images have shape {list(images.shape)}; this discriminator takes [N, {expected[0]}, "
                             f"{expected[1]}, {expected[2]}]")
        if c is not None and (c.shape[-1] != self.c_dim or c.shape[:-1] not in ((), (1,), (len(images),))):
            raise ValueError(f"labels c have shape {list(c.shape)}; this discriminator takes "
                             + (f"[{len(images)}, {self.c_dim}], or one row for all" if self.c_dim else "none"))
        x = images if dtype is None else images.to(dtype)
        for r in self.resolutions:
            x = getattr(self, f"b{r}")(x, impl)
        if self.c_dim:
            embedding = self.mapping(c=c)
            return (x * embedding).sum(dim=1) / embedding.shape[1] ** 0.5
        return x[:, 0]


def generator_from(state_dict, conv_clamp=None):
    """A StyleGAN2 generator from tensors with the official names; every size is read off them."""
    state = {key: value for key, value in state_dict.items() if not key.endswith("resample_filter")}
    w_dim, first = state["mapping.fc0.weight"].shape
    c_dim = state["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in state else 0
    channels = channels_of(state, r"synthesis\.b(\d+)\.conv1\.weight", 0)
    network = Generator(
        max(channels), z_dim=first - (w_dim if c_dim else 0), w_dim=w_dim, c_dim=c_dim, channels=channels,
        mapping_layers=count(state, r"mapping\.fc(\d+)\.weight"),
        img_channels=state["synthesis.b4.torgb.weight"].shape[0], conv_clamp=conv_clamp)
    return load_strictly(network, state)


def discriminator_from(state_dict, conv_clamp=None, group_size=4):
    """A StyleGAN2 residual discriminator from tensors with the official names."""
    state = {key: value for key, value in state_dict.items() if not key.endswith("resample_filter")}
    channels = channels_of(state, r"b(\d+)\.conv0\.weight", 0)
    channels[4] = state["b4.conv.weight"].shape[0]
    conditional = "mapping.embed.weight" in state
    network = Discriminator(
        max(channels), c_dim=state["mapping.embed.weight"].shape[1] if conditional else 0, channels=channels,
        mapping_layers=count(state, r"mapping\.fc(\d+)\.weight"),
        img_channels=state[f"b{max(channels)}.fromrgb.weight"].shape[1], conv_clamp=conv_clamp, group_size=group_size)
    return load_strictly(network, state)
