"""The equations of the generators, one function each.

PGGAN is Karras et al. 2018 (arXiv:1710.10196), StyleGAN 2019 (arXiv:1812.04948), StyleGAN2 2020 (arXiv:1912.04958).
Images and feature maps are [N, C, H, W]; convolution weights are [O, I, k, k]; a style is [N, I].
"""
import math

import torch
import torch.nn.functional as F

# Normalisation and activation

def pixel_norm(x, eps=1e-8):
    """PGGAN §4.2: b = a / sqrt(mean_c a² + ε). The mean runs over dimension 1: of a map, the features of one pixel."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def minibatch_stddev(x, group_size=4, channels=1):
    """PGGAN §3: append the standard deviation over a group of samples, averaged over features and pixels.

    x [N, C, H, W] → [N, C + channels, H, W]. Sample i belongs to group i mod (N / group_size), the variance is biased,
    and `channels` splits the features into as many averages. `group_size=None` takes the whole batch.
    """
    n, c, h, w = x.shape
    size = n if group_size is None else min(group_size, n)
    if n % size:
        raise ValueError(f"a batch of {n} does not divide into groups of {size}; choose a multiple of {size}")
    groups = x.reshape(size, n // size, channels, c // channels, h, w)
    std = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))     # [N / size, channels]
    return torch.cat([x, std.to(x.dtype).repeat(size, 1)[:, :, None, None].expand(-1, -1, h, w)], dim=1)


def equalized_scale(shape, gain=1.0):
    """PGGAN §4.1: the factor gain / sqrt(fan_in) applied to a N(0, 1) weight [O, I, ...] at run time."""
    return gain / math.sqrt(math.prod(shape[1:]))


def leaky_relu(x, gain=math.sqrt(2), clamp=None):
    """Leaky ReLU with slope 0.2, times √2 so that the variance is kept; optionally clamped to ±clamp."""
    x = F.leaky_relu(x, 0.2)
    x = x if gain == 1 else x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


# Growing

def upscale2d(x, factor=2):
    """PGGAN App. A: repeat every pixel. [N, C, H, W] → [N, C, factor·H, factor·W]."""
    return x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def downscale2d(x, factor=2):
    """PGGAN App. A: the mean of every factor × factor square."""
    return F.avg_pool2d(x, factor)


def fade_in(low, high, alpha):
    """PGGAN §2, Fig. 2: (1 − α) · upscale2d(low) + α · high. low has half the resolution of high; 0 ≤ α ≤ 1."""
    return torch.lerp(upscale2d(low), high, alpha)


def fade_reals(x, alpha):
    """PGGAN §2: the reals fade as the generator does, from their own 2×2 means (α = 0) to themselves (α = 1)."""
    return fade_in(downscale2d(x), x, alpha)


def upscale2d_conv2d(x, weight):
    """`upscale2d`, then a 3×3 convolution [O, I, 3, 3]. [N, I, H, W] → [N, O, 2H, 2W]."""
    return F.conv2d(upscale2d(x), weight, padding=1)


def conv2d_downscale2d(x, weight):
    """A 3×3 convolution [O, I, 3, 3], then `downscale2d`. [N, I, H, W] → [N, O, H/2, W/2]."""
    return downscale2d(F.conv2d(x, weight, padding=1))


def blur2d(x, kernel):
    """StyleGAN App. C: a low-pass filter after upscaling and before downscaling, `resample_kernel((1, 2, 1))` there;
    zeros beyond the border."""
    return upfirdn2d(x, kernel, padding=kernel.shape[-1] // 2)


# Styles

def adain(x, scale, bias, eps=1e-8):
    """StyleGAN Eq. 1: AdaIN(x, y) = y_s (x − μ(x)) / σ(x) + y_b, mean and deviation per sample and feature map.

    x [N, C, H, W], scale and bias [N, C]. The variance is biased; ε is added to it.
    """
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x * (x.square().mean(dim=(2, 3), keepdim=True) + eps).rsqrt()
    return x * scale[:, :, None, None] + bias[:, :, None, None]


def add_noise(x, noise, strength):
    """StyleGAN §2, Fig. 1b: x + strength · noise. The noise is [H, W] or [N, 1, H, W]; the strength a scalar or [C]."""
    strength = torch.as_tensor(strength, device=x.device, dtype=x.dtype)
    return x + noise.to(x.dtype) * (strength.view(-1, 1, 1) if strength.ndim else strength)


def truncate(ws, w_avg, psi, cutoff=None):
    """StyleGAN App. B: w' = w̄ + ψ (w − w̄) in the first `cutoff` layers (all of them by default).

    ws [N, num_ws, w_dim], w_avg [w_dim].
    """
    truncated = w_avg + psi * (ws - w_avg)
    if cutoff is None:
        return truncated
    return torch.cat([truncated[:, :cutoff], ws[:, cutoff:]], dim=1)


def mix_styles(ws1, ws2, cutoff):
    """StyleGAN §3.1: the layers before `cutoff` from ws1, the others from ws2. Both are [N, num_ws, w_dim]."""
    layer = torch.arange(ws1.shape[1], device=ws1.device)[None, :, None]
    return torch.where(layer < cutoff, ws1, ws2)


def split_style(y):
    """StyleGAN Eq. 1: the output of a layer's affine map A, [N, 2C] → (y_s, y_b), each [N, C].

    The first half is y_s less one, so that a layer whose affine map gives zeros leaves its normalised maps as they are.
    """
    y_s, y_b = y.chunk(2, dim=1)
    return y_s + 1, y_b


def update_w_avg(w_avg, w, decay=0.995):
    """StyleGAN App. B, w̄ = E[f(z)], as the official code estimates it: w̄ ← lerp(batch mean, w̄, decay). [w_dim], [N, w_dim]."""
    return torch.lerp(w.mean(dim=0), w_avg, decay)


def slerp(a, b, t):
    """Shoemake 1985: walk along the great circle from the direction of a to that of b. [..., D] → unit vectors."""
    a = F.normalize(a, dim=-1)
    b = F.normalize(b, dim=-1)
    angle = t * torch.acos((a * b).sum(dim=-1, keepdim=True).clamp(-1, 1))
    orthogonal = F.normalize(b - a * (a * b).sum(dim=-1, keepdim=True), dim=-1)
    return F.normalize(a * torch.cos(angle) + orthogonal * torch.sin(angle), dim=-1)


# Resampling

def resample_kernel(taps=(1, 3, 3, 1)):
    """The separable low-pass filter of StyleGAN2 §5 as a 2-D kernel with sum 1."""
    taps = torch.as_tensor(taps, dtype=torch.float32)
    kernel = taps[:, None] @ taps[None, :]
    return kernel.div_(kernel.sum())


def upfirdn2d(x, kernel, up=1, down=1, padding=0, gain=1, flip=False):
    """Put zeros between pixels, pad, filter, keep every `down`-th pixel.

    The kernel is [k, k], or [k] for a separable filter, or None. The filter is a convolution; `flip=True` makes it a
    correlation. Padding is one number, [x, y] or [x0, x1, y0, y1], in pixels of the enlarged image; negative crops.
    """
    up_x, up_y = _pair(up)
    down_x, down_y = _pair(down)
    x0, x1, y0, y1 = _padding(padding)
    n, c, h, w = x.shape
    if up_x > 1 or up_y > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up_x - 1, 0, 0, 0, up_y - 1]).reshape(n, c, h * up_y, w * up_x)
    x = F.pad(x, [x0, x1, y0, y1])
    if kernel is None:
        x = x * gain
    else:
        kernel = (kernel * gain ** (kernel.ndim / 2)).to(x)
        kernel = kernel if flip else kernel.flip(list(range(kernel.ndim)))
        for k in ([kernel] if kernel.ndim == 2 else [kernel[None, :], kernel[:, None]]):
            x = F.conv2d(x, k.expand(c, 1, *k.shape), groups=c)
    return x[:, :, ::down_y, ::down_x]


def resample_padding(kernel, up=1, down=1, padding=0):
    """Padding [x0, x1, y0, y1] that keeps a resampled image centred, on top of a convolution's own `padding`."""
    x0, x1, y0, y1 = _padding(padding)
    k = 0 if kernel is None else kernel.shape[-1]
    if up > 1:
        x0, x1, y0, y1 = x0 + (k + up - 1) // 2, x1 + (k - up) // 2, y0 + (k + up - 1) // 2, y1 + (k - up) // 2
    if down > 1:
        x0, x1, y0, y1 = (x0 + (k - down + 1) // 2, x1 + (k - down) // 2,
                          y0 + (k - down + 1) // 2, y1 + (k - down) // 2)
    return [x0, x1, y0, y1]


def upsample2d(x, kernel, up=2):
    """Enlarge by an integer with the low-pass filter; a constant image stays constant."""
    return upfirdn2d(x, kernel, up=up, padding=resample_padding(kernel, up=up), gain=up ** 2)


def downsample2d(x, kernel, down=2):
    """Filter, then keep every `down`-th pixel."""
    return upfirdn2d(x, kernel, down=down, padding=resample_padding(kernel, down=down))


def conv2d_resample(x, weight, kernel=None, up=1, down=1, padding=0, groups=1, mirror=False):
    """Upsample, convolve, downsample (StyleGAN2 §5), step by step.

    The convolution is torch's correlation; `mirror=True` mirrors the weight, as StyleGAN2's up-convolutions do.
    """
    pad = resample_padding(kernel, up, down, padding)
    if up > 1:
        x = upfirdn2d(x, kernel, up=up, padding=pad, gain=up ** 2)
    if down > 1:
        x = upfirdn2d(x, kernel, padding=0 if up > 1 else pad)
    if up == down == 1:
        x = F.pad(x, pad)
    weight = weight.flip([2, 3]) if mirror else weight
    return F.conv2d(x, weight.to(x.dtype), stride=down, groups=groups)


# The modulated convolution, plainly

def modulate(weight, style):
    """StyleGAN2 Eq. 1: w'_ijk = s_i · w_ijk. Weight [O, I, k, k], style [N, I] → [N, O, I, k, k]."""
    return weight[None] * style[:, None, :, None, None]


def demodulate(weight, eps=1e-8):
    """StyleGAN2 Eq. 3: w''_ijk = w'_ijk / sqrt(Σ_ik w'_ijk² + ε). [N, O, I, k, k] → the same shape, unit filters."""
    return weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + eps).rsqrt()


def modulated_conv2d(x, weight, style, demod=True, up=1, down=1, padding=0, kernel=None):
    """StyleGAN2 §2.2: convolve each sample with its own modulated, demodulated weights (one grouped convolution).

    x [N, I, H, W], weight [O, I, k, k], style [N, I] → [N, O, H', W']. With `up` the weight acts mirrored.
    """
    n, i, h, w = x.shape
    weight = modulate(weight, style)
    if demod:
        weight = demodulate(weight)
    weight = weight.reshape(-1, *weight.shape[2:])                                   # [N·O, I, k, k]
    x = conv2d_resample(x.reshape(1, n * i, h, w), weight, kernel, up, down, padding, groups=n, mirror=up > 1)
    return x.reshape(n, -1, *x.shape[2:])


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _padding(padding):
    if isinstance(padding, int):
        return [padding] * 4
    if len(padding) == 2:
        return [padding[0], padding[0], padding[1], padding[1]]
    return list(padding)
