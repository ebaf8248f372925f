"""PGGAN (Karras et al. 2018, arXiv:1710.10196): a generator and a discriminator that grow from 4×4.

All layers exist from the start; `resolution` says up to which of them an image is computed, and `alpha` how far the
last of these has faded in. `reached` is the resolution that training has come to: beyond it the layers are untrained.
A generator that was saved in the middle of a fade has its α as `alpha`, and draws with it unless told otherwise.
"""
import torch
from torch import Tensor, nn

from .. import fused, ops
from .layers import Equalized, EqualizedConv2d, EqualizedDense, channels_of, feature_maps, fusing, implementation, load_strictly


class FromLatent(Equalized):
    """z [N, z_dim] → [N, C, 4, 4] without the bias, one number for each of the C maps."""

    def __init__(self, z_dim: int, channels: int, **options):
        super().__init__(channels * 16, z_dim, gain=2 ** 0.5 / 4, biases=channels, **options)

    def forward(self, z: Tensor, impl: str = "fused") -> Tensor:
        x = fused.dense(z, self.weight, None, self.scale) if fusing(impl, z) else z @ (self.weight * self.scale).t()
        return x.reshape(z.shape[0], -1, 4, 4)


class ToRGB(EqualizedConv2d):
    """Features [N, C, R, R] → colours [N, img_channels, R, R], with the bias, in the dtype of the weights."""

    def __init__(self, channels: int, img_channels: int, **options):
        super().__init__(channels, img_channels, 1, gain=1, **options)

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        if fusing(impl, x):
            return fused.equalized_rgb(x, self.weight, self.scale, self.bias)
        return (super().forward(x, impl) + self.bias.to(x.dtype)[:, None, None]).to(self.weight.dtype)


class FromRGB(EqualizedConv2d):
    """Images [N, img_channels, R, R] → features [N, C, R, R], activated."""

    def __init__(self, img_channels: int, channels: int, **options):
        super().__init__(img_channels, channels, 1, **options)

    def forward(self, images: Tensor, impl: str = "fused") -> Tensor:
        return self.activate(super().forward(images, impl), impl)


class SynthesisBlock(nn.Module):
    """One resolution of the generator: (a convolution that doubles the size,) a convolution, and toRGB. At 4×4 the first is the
    generator's own, from z."""

    def __init__(self, in_channels: int | None, out_channels: int, img_channels: int, pixel_norm: bool = True, **options):
        super().__init__()
        if in_channels:
            self.conv0 = EqualizedConv2d(in_channels, out_channels, resample="up", **options)
        self.conv1 = EqualizedConv2d(out_channels, out_channels, **options)
        self.torgb = ToRGB(out_channels, img_channels, **options)
        self.pixel_norm = pixel_norm

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        for name, layer in self.named_children():
            if name != "torgb":
                x = layer.activate(layer(x, impl), impl, self.pixel_norm)
        return x


class Generator(nn.Module):
    """z [N, z_dim] → images [N, img_channels, R, R]. `pixel_norm` and `equalized` can be left out, to see what they do."""

    def __init__(self, resolution: int, z_dim: int = 512, channel_base: int = 16384, channel_max: int = 512, img_channels: int = 3,
                 channels: dict[int, int] | None = None, reached: int | None = None, alpha: float = 1.0, pixel_norm: bool = True,
                 equalized: bool = True):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.img_channels = resolution, z_dim, img_channels
        self.reached, self.alpha = reached or resolution, alpha
        self.resolutions = sorted(channels)
        self.pixel_norm = pixel_norm
        self.dense = FromLatent(z_dim, channels[4], equalized=equalized)
        for r in self.resolutions:
            block = SynthesisBlock(channels.get(r // 2), channels[r], img_channels, pixel_norm, equalized=equalized)
            self.add_module(f"b{r}", block)

    def __getattr__(self, name):
        if name in ("mapping", "synthesis", "styles", "w_avg", "w_dim", "num_ws"):
            raise AttributeError(f"PGGAN has no {name}: it makes images from z itself; choose a StyleGAN or StyleGAN2 for what "
                                 "needs a W")
        return super().__getattr__(name)

    def grow(self, resolution: int, alpha: float = 1.0) -> None:
        """Note how far training has come."""
        self.reached, self.alpha = resolution, alpha

    def forward(self, z: Tensor, resolution: int | None = None, alpha: float | Tensor | None = None, psi: float = 1, noise=None,
                impl: str = "fused", dtype: torch.dtype | None = None, c=None) -> Tensor:
        """z [N, z_dim] → images [N, img_channels, R, R] in about [-1, 1].

        resolution: up to `reached`, which is the default. alpha: from 0, the image of half the resolution, to 1.
        impl: "fused", or "reference" for the equations of `ops` one by one. dtype: what the convolutions compute in.
        psi, noise and c belong to the interface of the later generators: here psi must be 1, and there are no noise and no labels.
        ValueError for all that this network does not take.
        """
        if c is not None:
            raise ValueError("this network takes no labels c")
        if psi != 1:
            raise ValueError(f"PGGAN has no truncation: psi is {psi}, but only 1 is possible")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z has shape {list(z.shape)}; this generator takes [N, {self.z_dim}]")
        resolution, alpha = check_growth(self, resolution, alpha)
        z = z.to(self.dense.weight.dtype)
        x = self.dense(fused.pixel_norm(z) if fusing(impl, z) else ops.pixel_norm(z), impl)
        x = self.dense.activate(x.to(dtype or x.dtype), impl, self.pixel_norm)
        for block in blocks(self, resolution):
            before, x = x, block(x, impl)
        return rgb(self, resolution, before, x, alpha, impl)


class DiscriminatorBlock(nn.Module):
    """One resolution of the discriminator: fromRGB, a convolution, (a blur,) and a convolution that halves the size."""

    def __init__(self, in_channels: int, out_channels: int, img_channels: int, fused: bool = True, blur: bool = False, **options):
        super().__init__()
        self.fromrgb = FromRGB(img_channels, in_channels, **options)
        self.conv0 = EqualizedConv2d(in_channels, in_channels, **options)
        self.conv1 = EqualizedConv2d(in_channels, out_channels, resample="down" if fused else None, **options)
        self.register_buffer("kernel", ops.resample_kernel((1, 2, 1)) if blur else None, persistent=False)
        self.fused = fused

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        x = self.conv0.activate(self.conv0(x, impl), impl)
        if self.kernel is not None:
            x = implementation(impl).blur2d(x, self.kernel)
        x = self.conv1.activate(self.conv1(x, impl), impl)
        return x if self.fused else ops.downscale2d(x)


class DiscriminatorEpilogue(nn.Module):
    """Features [N, C, 4, 4] → minibatch standard deviation → a convolution and two dense layers → logits [N]."""

    def __init__(self, channels: int, img_channels: int, group_size: int | None = 4, **options):
        super().__init__()
        self.fromrgb = FromRGB(img_channels, channels, **options)
        self.conv = EqualizedConv2d(channels + 1, channels, **options)
        self.dense = EqualizedDense(channels * 16, channels, activate=True, **options)
        self.out = EqualizedDense(channels, 1, gain=1, **options)
        self.group_size = group_size

    def forward(self, x: Tensor, impl: str = "fused") -> Tensor:
        x = self.conv(implementation(impl).minibatch_stddev(x, self.group_size), impl)
        x = self.conv.activate(x, impl).flatten(1).to(self.dense.weight.dtype)
        return self.out(self.dense(x, impl), impl)[:, 0]


class Discriminator(nn.Module):
    """Images [N, img_channels, R, R] → logits [N]. `fused`: activate after the average, as the official code does by default,
    not before it. `blur`: StyleGAN's filter before the average."""

    def __init__(self, resolution: int, channel_base: int = 16384, channel_max: int = 512, img_channels: int = 3,
                 channels: dict[int, int] | None = None, group_size: int | None = 4, reached: int | None = None,
                 equalized: bool = True, fused: bool = True, blur: bool = False):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.img_channels, self.reached = resolution, img_channels, reached or resolution
        self.resolutions = sorted(channels)
        self.fused = fused
        self.b4 = DiscriminatorEpilogue(channels[4], img_channels, group_size, equalized=equalized)
        for r in self.resolutions[1:]:
            block = DiscriminatorBlock(channels[r], channels[r // 2], img_channels, fused, blur, equalized=equalized)
            self.add_module(f"b{r}", block)

    def grow(self, resolution: int, alpha: float = 1.0) -> None:
        """Note how far training has come."""
        self.reached = resolution

    def forward(self, images: Tensor, alpha: float | Tensor = 1.0, impl: str = "fused", dtype: torch.dtype | None = None) -> Tensor:
        """The resolution is that of the images; alpha, impl and dtype as in the generator. The dense layers compute in the
        dtype of the weights. ValueError for images that are not square or of a resolution that training has not reached."""
        resolution = images.shape[-1]
        if images.shape[1:] != (self.img_channels, resolution, resolution):
            raise ValueError(f"images have shape {list(images.shape)}; this discriminator takes square images "
                             f"[N, {self.img_channels}, R, R]")
        check_growth(self, resolution, alpha)
        last, *others = reversed(blocks(self, resolution))
        exact, images = self.b4.conv.weight.dtype, images if dtype is None else images.to(dtype)
        x = last.fromrgb(images, impl)
        if others:                                      # or 4×4 is the last
            x = last(x, impl)
            if fading(alpha):
                low = others[0].fromrgb(ops.downscale2d(images), impl)
                x = torch.lerp(low.to(exact), x.to(exact), alpha).to(x.dtype)
        for block in others[:-1]:
            x = block(x, impl)
        return self.b4(x, impl)


def blocks(network: nn.Module, resolution: int) -> list[nn.Module]:
    """The blocks b4, b8, … of a network up to a resolution."""
    return [getattr(network, f"b{r}") for r in network.resolutions if r <= resolution]


def rgb(network: nn.Module, resolution: int, before: Tensor, x: Tensor, alpha: float | Tensor, impl: str) -> Tensor:
    """The image of features x, faded in over that of the features before the last block."""
    image = getattr(network, f"b{resolution}").torgb(x, impl)
    if resolution == 4 or not fading(alpha):
        return image
    return ops.fade_in(getattr(network, f"b{resolution // 2}").torgb(before, impl), image, alpha)


def fading(alpha: float | Tensor) -> bool:
    """A tensor may take any value later, in a recorded step."""
    return isinstance(alpha, torch.Tensor) or alpha != 1


def check_growth(network: nn.Module, resolution: int | None, alpha: float | Tensor | None) -> tuple[int, float | Tensor]:
    """The (resolution, alpha) to compute, by default what training has reached. ValueError for a resolution that it has not,
    or α outside [0, 1]. A tensor on a GPU is not looked at: that would wait for the GPU, and cannot be recorded."""
    resolution = network.reached if resolution is None else resolution
    if alpha is None:
        alpha = network.alpha if resolution == network.reached else 1.0
    if resolution not in network.resolutions:
        raise ValueError(f"resolution {resolution} is not one of this network's: "
                         f"{', '.join(map(str, network.resolutions))}")
    if resolution > network.reached:
        raise ValueError(f"this network has grown to {network.reached} px; {resolution} px belongs to a later stage")
    if not _is_share(alpha):
        raise ValueError(f"alpha is {alpha!r}; it goes from 0, the lower resolution alone, to 1, the higher alone")
    return resolution, alpha


def _is_share(alpha):
    """Whether α is a number in [0, 1], as far as that can be seen without waiting."""
    if isinstance(alpha, torch.Tensor):
        return alpha.device.type != "cpu" or bool(((alpha >= 0) & (alpha <= 1)).all())
    try:
        return bool(0 <= alpha <= 1)
    except TypeError:
        return False


def generator_from(tensors: dict[str, Tensor], **config) -> Generator:
    """A generator from its state dict; sizes are read off the tensors."""
    channels = channels_of(tensors, r"b(\d+)\.torgb\.weight", 1)
    return load_strictly(Generator(max(channels), z_dim=tensors["dense.weight"].shape[1], channels=channels,
                          img_channels=len(tensors["b4.torgb.bias"]), **config), tensors)


def discriminator_from(tensors: dict[str, Tensor], **config) -> Discriminator:
    """A discriminator from its state dict."""
    channels = channels_of(tensors, r"b(\d+)\.fromrgb\.weight", 0)
    return load_strictly(Discriminator(max(channels), channels=channels, img_channels=tensors["b4.fromrgb.weight"].shape[1],
                              **config), tensors)
