"""PGGAN (Karras et al. 2018, arXiv:1710.10196): a generator and a discriminator that grow from 4×4.

All layers exist from the start; `resolution` says up to which of them an image is computed, and `alpha` how far the
last of these has faded in. `reached` is the resolution that training has come to: beyond it the layers are untrained.
A generator that was saved in the middle of a fade has its α as `alpha`, and draws with it unless told otherwise.
"""
import torch
from torch import nn

from .. import fast, ops
from .layers import Equalized, channels_of, feature_maps, fill


class Generator(nn.Module):
    """z [N, z_dim] → images [N, 3, R, R]. `pixel_norm` and `equalized` can be left out, to see what they do."""

    def __init__(self, resolution, z_dim=512, channel_base=16384, channel_max=512, img_channels=3, channels=None,
                 reached=None, alpha=1.0, pixel_norm=True, equalized=True):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.z_dim, self.img_channels = resolution, z_dim, img_channels
        self.reached, self.alpha = reached or resolution, alpha
        self.resolutions = sorted(channels)
        self.pixel_norm = pixel_norm
        layer = lambda *shape, **options: Equalized(*shape, equalized=equalized, **options)
        self.dense = layer(channels[4] * 16, z_dim, gain=2 ** 0.5 / 4, biases=channels[4])
        for r in self.resolutions:
            self.add_module(f"b{r}", nn.Module())
            block = getattr(self, f"b{r}")
            if r > 4:
                block.conv0 = layer(channels[r], channels[r // 2], 3, 3)
            block.conv1 = layer(channels[r], channels[r], 3, 3)
            block.torgb = layer(img_channels, channels[r], 1, 1, gain=1)

    def grow(self, resolution, alpha=1.0):
        """Note how far training has come."""
        self.reached, self.alpha = resolution, alpha

    def forward(self, z, resolution=None, alpha=None, psi=1, noise=None, plain=False, dtype=None, c=None):
        """resolution: up to `reached`, which is the default. alpha: from 0, the image of half the resolution, to 1.

        psi, noise and c belong to the interface of the later generators: here psi must be 1, and there are no noise and no labels.
        """
        if c is not None:
            raise ValueError("this network takes no labels c")
        if psi != 1:
            raise ValueError(f"PGGAN has no truncation: psi is {psi}, but only 1 is possible")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z has shape {list(z.shape)}; this generator takes [N, {self.z_dim}]")
        resolution, alpha = check_growth(self, resolution, alpha)
        upscale = (ops if plain else fast).upscale2d_conv2d
        normalise = ops.pixel_norm if self.pixel_norm else (lambda x: x)
        activate = lambda x, layer: normalise(layer.activate(x))
        x = self.dense.linear(ops.pixel_norm(z.to(self.dense.weight.dtype)))
        x = activate(x.to(dtype or x.dtype).reshape(len(z), -1, 4, 4), self.dense)
        for r in self.resolutions[:self.resolutions.index(resolution) + 1]:
            block = getattr(self, f"b{r}")
            if r > 4:
                before = x
                x = activate(upscale(x, block.conv0.scaled(x.dtype)), block.conv0)
            x = activate(block.conv1.conv2d(x), block.conv1)
        image = block.torgb.rgb(x)
        if resolution > 4 and fading(alpha):
            image = ops.fade_in(getattr(self, f"b{resolution // 2}").torgb.rgb(before), image, alpha)
        return image


class Discriminator(nn.Module):
    """Images [N, 3, R, R] → logits [N]. `fused`: activate after the average, as the official code does by default,
    not before it. `blur`: StyleGAN's filter before the average."""

    def __init__(self, resolution, channel_base=16384, channel_max=512, img_channels=3, channels=None, group_size=4,
                 reached=None, equalized=True, fused=True, blur=False):
        super().__init__()
        channels = channels or feature_maps(resolution, channel_base, channel_max)
        self.resolution, self.img_channels, self.reached = resolution, img_channels, reached or resolution
        self.resolutions = sorted(channels)
        self.group_size, self.fused = group_size, fused
        self.register_buffer("kernel", ops.resample_kernel((1, 2, 1)) if blur else None, persistent=False)
        layer = lambda *shape, **options: Equalized(*shape, equalized=equalized, **options)
        for r in self.resolutions:
            self.add_module(f"b{r}", nn.Module())
            block = getattr(self, f"b{r}")
            block.fromrgb = layer(channels[r], img_channels, 1, 1)
            if r > 4:
                block.conv0 = layer(channels[r], channels[r], 3, 3)
                block.conv1 = layer(channels[r // 2], channels[r], 3, 3)
            else:
                block.conv = layer(channels[4], channels[4] + 1, 3, 3)
                block.dense = layer(channels[4], channels[4] * 16)
                block.out = layer(1, channels[4], gain=1)

    def grow(self, resolution, alpha=1.0):
        """Note how far training has come."""
        self.reached = resolution

    def forward(self, images, alpha=1.0, plain=False, dtype=None):
        """The resolution is that of the images; alpha as in the generator."""
        resolution = images.shape[-1]
        if images.shape[1:] != (self.img_channels, resolution, resolution):
            raise ValueError(f"images have shape {list(images.shape)}; this discriminator takes square images "
                             f"[N, {self.img_channels}, R, R]")
        check_growth(self, resolution, alpha)
        x = images if dtype is None else images.to(dtype)
        features = lambda r, image: (layer := getattr(self, f"b{r}").fromrgb).activate(layer.conv2d(image))
        h = features(resolution, x)
        for r in reversed(self.resolutions[1:self.resolutions.index(resolution) + 1]):
            h = self.block(getattr(self, f"b{r}"), h, plain)
            if r == resolution and fading(alpha):
                h = torch.lerp(features(r // 2, ops.downscale2d(x)).float(), h.float(), alpha).to(h.dtype)
        return self.judge(self.b4, h.float())

    def block(self, block, x, plain):
        form = ops if plain else fast
        x = block.conv0.activate(block.conv0.conv2d(x))
        if self.kernel is not None:
            x = form.blur2d(x, self.kernel)
        if self.fused:
            return block.conv1.activate(form.conv2d_downscale2d(x, block.conv1.scaled(x.dtype)))
        return ops.downscale2d(block.conv1.activate(block.conv1.conv2d(x)))

    def judge(self, block, x):
        x = block.conv.activate(block.conv.conv2d(ops.minibatch_stddev(x, self.group_size)))
        x = block.dense.activate(block.dense.linear(x.flatten(1)))
        return (block.out.linear(x) + block.out.bias)[:, 0]


def fading(alpha):
    """A tensor may take any value later, in a recorded step."""
    return isinstance(alpha, torch.Tensor) or alpha != 1


def check_growth(network, resolution, alpha):
    """The (resolution, alpha) to compute, by default what training has reached. ValueError for a resolution that it has not,
    or α outside [0, 1]. A tensor on a GPU, or in a step that is compiled, is not looked at: that would wait for the GPU, and
    cannot be recorded."""
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
        return alpha.device.type != "cpu" or torch.compiler.is_compiling() or bool(((alpha >= 0) & (alpha <= 1)).all())
    try:
        return bool(0 <= alpha <= 1)
    except TypeError:
        return False


def generator_from(tensors, **config):
    """A generator from its state dict; sizes are read off the tensors."""
    channels = channels_of(tensors, r"b(\d+)\.torgb\.weight", 1)
    return fill(Generator(max(channels), z_dim=tensors["dense.weight"].shape[1], channels=channels,
                          img_channels=len(tensors["b4.torgb.bias"]), **config), tensors)


def discriminator_from(tensors, **config):
    channels = channels_of(tensors, r"b(\d+)\.fromrgb\.weight", 0)
    return fill(Discriminator(max(channels), channels=channels, img_channels=tensors["b4.fromrgb.weight"].shape[1],
                              **config), tensors)
