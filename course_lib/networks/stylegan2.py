"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): skip generator and residual discriminator.

Parameters have the names of the official networks, so weights move between the two without a table. Computation follows
the dtype given to `synthesis` or the discriminator (bfloat16 for speed); the mapping, styles, RGB sums and the last
layers of the discriminator stay in that of the parameters, float32; `G.double()` computes in float64 throughout.
"""
import torch
from torch import nn

from .. import fast, ops
from .layers import Conv2d, Dense, feature_maps


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

    def forward(self, x, style, noise, plain):
        if isinstance(noise, str):
            noise = {"random": lambda: torch.randn(len(x), 1, *self.noise_const.shape, device=x.device, dtype=x.dtype),
                     "const": lambda: self.noise_const, "none": lambda: None}[noise]()
        if not plain and (fast.fuses(x) or fast.folds(x, self.weight)):
            noise = None if noise is None else noise.to(x.device)
            return fast.styled_conv2d(x, self.weight, style, self.bias, noise, self.noise_strength, self.up, self.kernel, self.clamp)
        convolve = (ops if plain else fast).modulated_conv2d
        x = convolve(x, self.weight, style, up=self.up, padding=1, kernel=self.kernel)
        if noise is not None:
            x = ops.add_noise(x, noise.to(x.device), self.noise_strength)
        return ops.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], clamp=self.clamp)


class ToRGB(nn.Module):
    """1×1 modulated convolution without demodulation; its equalized scale multiplies the style."""

    def __init__(self, in_channels, img_channels, w_dim, clamp=None):
        super().__init__()
        self.affine = Dense(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.scale, self.clamp = ops.equalized_scale(self.weight.shape), clamp

    def forward(self, x, style, plain):
        if not plain and (fast.fuses(x) or fast.folds(x, self.weight)):
            x = fast.to_rgb(x, self.weight, style * self.scale, self.bias)
        else:
            convolve = (ops if plain else fast).modulated_conv2d
            x = convolve(x, self.weight, style * self.scale, demod=False) + self.bias.to(x.dtype)[:, None, None]
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


class Synthesis(nn.Module):
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

    def styles(self, ws):
        """The S space (Wu et al. 2020): ws [N, num_ws, w_dim] or w [N, w_dim] → one [N, in_channels] per layer."""
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.num_ws, -1)
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws has shape {list(ws.shape)}; this generator takes [N, {self.num_ws}, {self.w_dim}] "
                             f"or [N, {self.w_dim}]")
        ws = ws.to(self.kernel.dtype).unbind(dim=1)
        return [layer.affine(ws[index]) for _, layer, index in self.style_layers()]

    def forward(self, ws=None, noise="random", styles=None, plain=False, dtype=None, parts=None):
        """Images [N, 3, H, W] in about [-1, 1], from ws or from styles.

        noise: "random", "const", "none", or a list of tensors, one per convolution.
        plain: modulated weights, as the paper writes it, instead of the faster scaled activations.
        parts: a list to which every resolution's own RGB is appended, before it is enlarged and summed.
        """
        styles = iter(self.styles(ws) if styles is None else styles)
        if isinstance(noise, str) and noise not in ("random", "const", "none"):
            raise ValueError(f'noise is "{noise}"; choose "random", "const", "none" or a list of tensors')
        noises = iter([noise] * (self.num_ws - 1) if isinstance(noise, str) else noise)
        upsample = (ops if plain else fast).upsample2d
        x = image = None
        for block in self.blocks:
            for layer in block.layers():
                style = next(styles)
                if x is None:
                    x = block.const.to(dtype or block.const.dtype)[None].expand(len(style), -1, -1, -1)
                x = layer(x, style, next(noises), plain)
            rgb = block.torgb(x, next(styles), plain)
            if parts is not None:
                parts.append(rgb)
            image = rgb if image is None else upsample(image, self.kernel) + rgb
        return image


class Generator(nn.Module):
    """z → w → image. `channels` gives the feature maps per resolution; by default those of config F."""

    def __init__(self, resolution, z_dim=512, w_dim=512, c_dim=0, channel_base=32768, channel_max=512, mapping_layers=8,
                 img_channels=3, conv_clamp=None, channels=None):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.w_dim, self.c_dim, self.img_channels = resolution, z_dim, w_dim, c_dim, img_channels
        self.mapping = Mapping(z_dim, c_dim, w_dim, mapping_layers)
        self.mapping.register_buffer("w_avg", torch.zeros(w_dim))
        self.synthesis = Synthesis(w_dim, channels, img_channels, conv_clamp)
        self.num_ws = self.synthesis.num_ws

    @property
    def w_avg(self):
        return self.mapping.w_avg

    def update_w_avg(self, w, decay=0.998):
        """The moving mean of w [N, w_dim] that truncation pulls towards."""
        self.w_avg.copy_(ops.update_w_avg(self.w_avg, w.detach(), decay))

    def styles(self, ws):
        return self.synthesis.styles(ws)

    def forward(self, z, c=None, psi=1, cutoff=None, **synthesis):
        """z [N, z_dim] → images [N, 3, H, W]; psi truncates, in the first `cutoff` layers if that is given."""
        ws = self.mapping(z, c)[:, None].expand(-1, self.num_ws, -1)
        if psi != 1:
            ws = ops.truncate(ws, self.w_avg, psi, cutoff)
        return self.synthesis(ws, **synthesis)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the size: (conv, conv with the filter) + 1×1 skip, divided by √2 (Fig. 7c)."""

    def __init__(self, in_channels, out_channels, img_channels, clamp):
        super().__init__()
        if img_channels:
            self.fromrgb = Conv2d(img_channels, in_channels, 1, clamp=clamp)
        self.conv0 = Conv2d(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = Conv2d(in_channels, out_channels, 3, down=2, clamp=clamp)
        self.skip = Conv2d(in_channels, out_channels, 1, down=2, bias=False, activate=False)

    def forward(self, x, plain):
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x, plain=plain)
        skip = self.skip(x, gain=0.5 ** 0.5, plain=plain)
        x = self.conv1(self.conv0(x, plain=plain), gain=0.5 ** 0.5, plain=plain)
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

    def forward(self, x, plain):
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x, plain=plain)
        x = self.conv(ops.minibatch_stddev(x.to(self.conv.weight.dtype), self.group_size), plain=plain)
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

    def forward(self, images, c=None, plain=False, dtype=None):
        expected = (self.img_channels, self.resolution, self.resolution)
        if images.shape[1:] != expected:
            raise ValueError(f"images have shape {list(images.shape)}; this discriminator takes [N, {expected[0]}, "
                             f"{expected[1]}, {expected[2]}]")
        if c is not None and (c.shape[-1] != self.c_dim or c.shape[:-1] not in ((), (1,), (len(images),))):
            raise ValueError(f"labels c have shape {list(c.shape)}; this discriminator takes "
                             + (f"[{len(images)}, {self.c_dim}], or one row for all" if self.c_dim else "none"))
        x = images if dtype is None else images.to(dtype)
        for r in self.resolutions:
            x = getattr(self, f"b{r}")(x, plain)
        if self.c_dim:
            embedding = self.mapping(c=c)
            return (x * embedding).sum(dim=1) / embedding.shape[1] ** 0.5
        return x[:, 0]
