"""StyleGAN (Karras et al. 2019, arXiv:1812.04948): mapping network, AdaIN and noise, growing from 8×8.

Growth works as in `pggan`: `resolution` and `alpha` at every call, `reached` for what training has come to.
"""
import torch
from torch import nn

from .. import fast, ops
from . import pggan
from .layers import Equalized, channels_of, feature_maps, fill


class Mapping(nn.Module):
    """z [N, z_dim] → w [N, w_dim]: dense layers that learn a hundred times slower. `width`: of the layers between."""

    def __init__(self, z_dim, w_dim, layers=8, width=None, lr_mult=0.01):
        super().__init__()
        self.z_dim, self.layers = z_dim, layers
        sizes = [z_dim] + [width or w_dim] * (layers - 1) + [w_dim]
        for i in range(layers):
            self.add_module(f"fc{i}", Equalized(sizes[i + 1], sizes[i], lr_mult=lr_mult))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z, c=None):
        if c is not None:
            raise ValueError("this network takes no labels c")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z has shape {list(z.shape)}; this mapping takes [N, {self.z_dim}]")
        x = ops.pixel_norm(z.to(self.fc0.weight.dtype))
        for i in range(self.layers):
            layer = getattr(self, f"fc{i}")
            x = layer.activate(layer.linear(x))
        return x


class Layer(nn.Module):
    """A constant or a convolution, (blur →) noise → bias → leaky ReLU → AdaIN (Fig. 1b)."""

    def __init__(self, in_channels, out_channels, w_dim, resolution, up=False):
        super().__init__()
        if in_channels is None:
            self.const = nn.Parameter(torch.ones(out_channels, resolution, resolution))
            self.bias = nn.Parameter(torch.zeros(out_channels))
        else:
            self.conv = Equalized(out_channels, in_channels, 3, 3)
        self.affine = Equalized(2 * out_channels, w_dim, gain=1)
        self.noise_strength = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("kernel", ops.resample_kernel((1, 2, 1)) if up else None, persistent=False)

    def style(self, w):
        """A(w) → y = (y_s, y_b) [N, 2C] of Eq. 1; y_s starts at one."""
        return torch.cat(ops.split_style(self.affine.linear(w) + self.affine.bias), dim=1)

    def forward(self, x, style, noise, plain):
        if hasattr(self, "const"):
            x = x + self.const.to(x.dtype)
        elif self.kernel is None:
            x = self.conv.conv2d(x)
        else:
            form = ops if plain else fast
            x = form.blur2d(form.upscale2d_conv2d(x, self.conv.scaled(x.dtype)), self.kernel)
        if isinstance(noise, str):
            noise = {"random": lambda: torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype),
                     "const": lambda: self.noise_const, "none": lambda: None}[noise]()
        if noise is not None:
            x = ops.add_noise(x, noise.to(x.device), self.noise_strength)
        bias = self.bias if hasattr(self, "const") else self.conv.bias
        x = ops.leaky_relu(x + bias.to(x.dtype)[:, None, None], gain=1)
        return ops.adain(x, *style.to(x.dtype).chunk(2, dim=1))


class Synthesis(nn.Module):
    """Styles → image: two layers a resolution, each under its own style and noise."""

    def __init__(self, w_dim, channels, img_channels=3):
        super().__init__()
        self.w_dim, self.resolutions = w_dim, sorted(channels)
        for r in self.resolutions:
            self.add_module(f"b{r}", nn.Module())
            block = getattr(self, f"b{r}")
            block.conv0 = Layer(channels[r // 2] if r > 4 else None, channels[r], w_dim, r, up=r > 4)
            block.conv1 = Layer(channels[r], channels[r], w_dim, r)
            block.torgb = Equalized(img_channels, channels[r], 1, 1, gain=1)
        self.num_ws, self.reached, self.alpha = 2 * len(self.resolutions), self.resolutions[-1], 1.0

    def style_layers(self):
        """The layers that take a style, as (name, layer, index into ws)."""
        return [(f"b{r}.conv{j}", getattr(getattr(self, f"b{r}"), f"conv{j}"), 2 * i + j)
                for i, r in enumerate(self.resolutions) for j in (0, 1)]

    def styles(self, ws):
        """ws [N, num_ws, w_dim] or w [N, w_dim] → y = (y_s, y_b), one [N, 2C] per layer."""
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.num_ws, -1)
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws has shape {list(ws.shape)}; this generator takes [N, {self.num_ws}, {self.w_dim}] "
                             f"or [N, {self.w_dim}]")
        return [layer.style(ws[:, i].to(layer.affine.weight.dtype)) for _, layer, i in self.style_layers()]

    def forward(self, ws=None, noise="random", styles=None, resolution=None, alpha=None, plain=False, dtype=None):
        """Images [N, 3, R, R] in about [-1, 1], from ws or from styles, up to `resolution` with `alpha` (see pggan).

        noise: "random", "const", "none", or a list with a tensor, one of these words or None for every layer.
        """
        resolution, alpha = pggan.check_growth(self, resolution, alpha)
        styles = self.styles(ws) if styles is None else styles
        noises = [noise] * self.num_ws if isinstance(noise, str) else noise
        words = {n for n in noises if isinstance(n, str)} - {"random", "const", "none"}
        if words or len(noises) != self.num_ws:
            raise ValueError(f'noise is {sorted(words) or f"a list of {len(noises)}"}; choose "random", "const", "none" or a '
                             f"list of {self.num_ws}, one per layer")
        x = torch.zeros(len(styles[0]), 1, 1, 1, device=styles[0].device, dtype=dtype or styles[0].dtype)
        for i, r in enumerate(self.resolutions[:self.resolutions.index(resolution) + 1]):
            before, block = x, getattr(self, f"b{r}")
            for j, layer in enumerate((block.conv0, block.conv1)):
                x = layer(x, styles[2 * i + j], noises[2 * i + j], plain)
        image = block.torgb.rgb(x)
        if resolution > 4 and pggan.fading(alpha):
            image = ops.fade_in(getattr(self, f"b{resolution // 2}").torgb.rgb(before), image, alpha)
        return image


class Generator(nn.Module):
    """z → w → image. `channels` gives the feature maps per resolution; by default those of the paper."""

    def __init__(self, resolution, z_dim=512, w_dim=512, channel_base=16384, channel_max=512, mapping_layers=8,
                 mapping_width=None, img_channels=3, channels=None, reached=None, alpha=1.0):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.w_dim, self.img_channels = resolution, z_dim, w_dim, img_channels
        self.mapping = Mapping(z_dim, w_dim, mapping_layers, mapping_width)
        self.synthesis = Synthesis(w_dim, channels, img_channels)
        self.num_ws = self.synthesis.num_ws
        self.grow(reached or resolution, alpha)

    @property
    def reached(self):
        return self.synthesis.reached

    def grow(self, resolution, alpha=1.0):
        """Note how far training has come."""
        self.synthesis.reached, self.synthesis.alpha = resolution, alpha

    @property
    def w_avg(self):
        return self.mapping.w_avg

    def update_w_avg(self, w, decay=0.995):
        """The moving mean of w [N, w_dim] that truncation pulls towards."""
        self.w_avg.copy_(ops.update_w_avg(self.w_avg, w.detach(), decay))

    def styles(self, ws):
        return self.synthesis.styles(ws)

    def forward(self, z, c=None, psi=1, cutoff=None, **synthesis):
        """z [N, z_dim] → images; psi truncates, in the first `cutoff` layers if that is given (the paper: 0.7, 8)."""
        ws = self.mapping(z, c)[:, None].expand(-1, self.num_ws, -1)
        if psi != 1:
            ws = ops.truncate(ws, self.w_avg, psi, cutoff)
        return self.synthesis(ws, **synthesis)


def discriminator(resolution, **options):
    """PGGAN's, with a blur before the second convolution of every block."""
    return pggan.Discriminator(resolution, blur=True, **options)


def generator_from(tensors, **config):
    """A generator from its state dict; sizes are read off the tensors."""
    channels = channels_of(tensors, r"synthesis\.b(\d+)\.torgb\.weight", 1)
    layers = sum(name.startswith("mapping.fc") for name in tensors) // 2
    width, z_dim = tensors["mapping.fc0.weight"].shape
    return fill(Generator(max(channels), z_dim=z_dim, w_dim=len(tensors["mapping.w_avg"]), mapping_layers=layers,
                          mapping_width=width, channels=channels,
                          img_channels=len(tensors["synthesis.b4.torgb.bias"]), **config), tensors)


def discriminator_from(tensors, **config):
    return pggan.discriminator_from(tensors, blur=True, **config)
