"""Operations of `ops` in faster forms: the same names, arguments and results. Networks take them unless asked for
impl="reference"; dense layers, activations and convolutions that are not modulated take those of a GPU (`fuses`) even then."""
import os
import shutil
from functools import cache, partial

import torch
import torch.nn.functional as F

from .. import ops
from . import convolution, matmul_conv
from .cpu_cache import LARGE, cached, channels_last, frozen, half_energy, keep_freed_memory, scaled_filter


def modulated_conv2d(x, weight, style, demod=True, up=1, down=1, padding=0, kernel=None):
    """StyleGAN2 App. B read the other way: scale the activations by s_i, convolve once, scale the result.

    A convolution is linear, so Σ_i w_ijk (s_i x_i) needs one weight for the whole batch; demodulation multiplies
    feature map j by 1 / sqrt(Σ_ik (s_i w_ijk)² + ε). Same arguments and result as `ops.modulated_conv2d`.
    """
    x = conv2d_resample(x * style.to(x.dtype)[:, :, None, None], weight, kernel, up, down, padding, mirror=up > 1)
    if demod:
        energy = style.square() @ weight.square().sum(dim=(2, 3)).t()                # [N, O]
        x = x * (energy + 1e-8).rsqrt().to(x.dtype)[:, :, None, None]
    return x


@cache
def _triton():
    """The module of what GPU kernels compute, or None where Triton or the C compiler that it starts with is missing."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")):
        return None
    try:
        from . import gpu
        return gpu
    except ImportError:
        return None


def fuses(x):
    """Whether layers take their forms of `fused`: on the current GPU, where Triton starts its kernels, unless float64 is asked for
    or torch.compile fuses them itself."""
    return (x.is_cuda and x.dtype != torch.float64 and not torch.compiler.is_compiling()
            and x.device.index == torch.cuda.current_device()
            and _triton() is not None)


def folds(x, weight):
    """Whether a layer may take the CPU's forms of `styled_conv2d` and `to_rgb`, in which a weight does not learn, and which
    torch.export cannot follow."""
    return (x.device.type == "cpu" and x.dtype == weight.dtype and not (torch.is_grad_enabled() and weight.requires_grad)
            and not torch.compiler.is_compiling())


def act(x, bias=None, scale=None, noise=None, strength=None, alpha=1.0, beta=1.0, gain=2 ** 0.5, slope=0.2, clamp=None):
    """gain · lrelu(alpha · scale · x + beta · bias + strength · noise), clamped to ±clamp, as one kernel of a GPU.

    x [N, C] or [N, C, H, W], bias [C], scale [N, C], noise [H, W] or [N, 1, H, W], strength [].
    """
    clamp = float("inf") if clamp is None else torch.tensor(clamp, dtype=x.dtype).item()      # as the result holds it
    return _triton().Act.apply(x, scale, bias, noise, strength, alpha, beta, gain, slope, clamp)


def dense(x, weight, bias, alpha=1.0, beta=1.0, activate=False, gain=2 ** 0.5):
    """alpha · x Wᵀ + beta · bias, with leaky ReLU · gain where asked for, as one kernel of a GPU.

    x [N, I], weight [O, I], bias [O].
    """
    gain, slope = (gain, 0.2) if activate else (1.0, 1.0)
    if weight.shape[1] > 1024:                          # a sum too long for one program
        return act(x @ weight.t(), bias, alpha=alpha, beta=beta, gain=gain, slope=slope)
    return _triton().Dense.apply(x[None], weight, bias, None, alpha, beta, gain, slope).view(len(x), len(weight))


def affines(x, layers, starts, shift=0.0):
    """These dense layers, of one scale and without activation, each of its own x[i] [N, I], as one kernel of a GPU → [N, C_i] each.
    starts: where its rows begin among those of all, and how many those are. shift: added to their biases, one after another."""
    widths = [len(layer.bias) for layer in layers]
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers]) + shift
    flat = _triton().Dense.apply(x, weight, bias, (starts, max(widths)), layers[0].scale, 1.0, 1.0, 1.0)
    return [part.view(-1, width) for part, width in zip(flat.split([x.shape[1] * width for width in widths]), widths)]


def styled_conv2d(x, weight, style, bias, noise=None, strength=None, up=1, kernel=None, clamp=None):
    """A whole layer of StyleGAN2, from 3×3 convolution to activation. noise [H, W] or [N, 1, H, W], strength []."""
    if not fuses(x):
        return _folded_conv2d(x, weight, style, bias, None if noise is None else noise.to(x) * strength, up, kernel, clamp)
    x = _triton().Scale.apply(x, style, 1.0)
    x = conv2d_resample(x, weight, kernel, up, padding=1, mirror=up > 1)
    return act(x, bias, _triton().Demod.apply(style, weight)[0], noise, None if noise is None else strength, clamp=clamp)


def _folded_conv2d(x, weight, style, bias, noise=None, up=1, kernel=None, clamp=None):
    """`styled_conv2d` on the CPU, of a weight that does not learn; the noise comes multiplied by its strength.

    CPU inference is memory-bound, so style, demodulation and the activation's √2 (it is homogeneous) go into each image's weight
    where the map is larger than the weight, and the bias into the last convolution; but not where a gradient has to find its way
    back to the style. Frozen weights are convolved as matrix products, in forms that are cached, where that is faster still.
    """
    if x.shape[1:].numel() * up ** 2 >= LARGE:
        keep_freed_memory()
    gain = 2 ** 0.5
    of = partial(cached, weight)
    scale = (style * style @ of(half_energy)).add_(0.5e-8).rsqrt_()                 # [N, O], demodulation and √2
    form, learning = _form(x, weight, up), torch.is_grad_enabled() and (x.requires_grad or style.requires_grad)
    if form is None and _larger(x, weight, up) and not learning:
        weights = of(channels_last) * (scale[:, :, None] * style[:, None])[..., None, None]
        y = _joined([_resampled(x[i:i + 1], weights[i], bias * gain, up, kernel) for i in range(len(x))])
    else:
        y = x * style.view(*style.shape, 1, 1)
        if form is None:
            y = _resampled(y, of(channels_last), None, up, kernel)
        elif up == 2:
            y = form.conv2d(y, of(form.matrices), kernel)
        elif learning:
            y = matmul_conv.Products.apply(y, form, of(form.matrices), of(form.adjoint))
        else:
            y = form.conv2d(y, of(form.matrices))
        y = torch.addcmul((bias * gain).view(-1, 1, 1), y, scale.view(*scale.shape, 1, 1))
    if noise is not None:
        y.add_(noise, alpha=gain)
    y = F.leaky_relu_(y, 0.2)
    return y if clamp is None else y.clamp(-clamp, clamp)


def _form(x, weight, up):
    """The form of matrix products for a frozen weight, where one was measured to be faster; None elsewhere."""
    h, w = x.shape[2:]
    if not frozen(weight) or weight.dtype.itemsize < 4:
        return None
    if up == 2:
        return None if _larger(x, weight, up) else matmul_conv.UPSAMPLED
    if h * w <= 64:
        return matmul_conv.IM2COL
    if weight.shape[1] < 128 or h % 4 or w % 4:
        return None
    return matmul_conv.WINOGRAD2 if h * w <= 256 else matmul_conv.WINOGRAD4


def _larger(x, weight, up):
    """Whether a map of the result has more pixels than its part of the weight has entries."""
    return x.shape[2] * x.shape[3] * up ** 2 > weight[0].numel()


def _resampled(x, weight, bias, up, kernel):
    """One image under a 3×3 weight, at its own size or twice that, with the bias. Transposed convolutions are up to three
    times faster with channels last."""
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    if up == 1:
        return F.conv2d(x, weight, bias, padding=1)
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(x, cached(kernel, scaled_filter).expand(x.shape[1], 1, -1, -1), bias, padding=1, groups=x.shape[1])


def to_rgb(x, weight, style, bias):
    """A modulated 1×1 convolution without demodulation, with the style in each image's weight."""
    if fuses(x):
        return _triton().ToRGB.apply(x, weight.flatten(1) * style[:, None], bias)
    return torch.baddbmm(bias[:, None], weight[:, :, 0, 0] * style[:, None], x.flatten(2)).unflatten(2, x.shape[2:])


def _joined(parts):
    """One batch; of one part without the copy that torch.cat makes."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def conv2d_resample(x, weight, kernel=None, up=1, down=1, padding=0, mirror=False):
    """`ops.conv2d_resample` for the four resamplings of StyleGAN2: a 3×3 weight up or down by two, 1×1 down, none.

    The zeros are never multiplied: a transposed convolution goes up, and what goes down is filtered only where a pixel stays.
    """
    form = weight.shape[-1], up, down, padding, mirror, 0 if kernel is None else kernel.shape[-1]
    if up == down == 1 and not mirror:
        return conv2d(x, weight.to(x.dtype), padding=padding)
    if form == (3, 2, 1, 1, True, 4):
        weight = weight.transpose(0, 1).to(x.dtype, memory_format=torch.channels_last if x.is_cuda else torch.preserve_format)
        return upfirdn2d(conv_transpose2d(x, weight, stride=2), kernel, padding=1, gain=4)
    if form == (3, 1, 2, 1, False, 4):
        return conv2d(upfirdn2d(x, kernel, padding=2), weight.to(x.dtype), stride=2)
    if form == (1, 1, 2, 0, False, 4):
        return conv2d(upfirdn2d(x, kernel, down=2, padding=1), weight.to(x.dtype))
    return ops.conv2d_resample(x, weight, kernel, up, down, padding, mirror=mirror)


def conv2d(x, weight, stride=1, padding=0):
    """`F.conv2d`; on a GPU in the form whose gradient is cheap to differentiate, with channels filled up to a multiple of eight."""
    if fuses(x):
        if of_colours(weight) and (stride, padding) == (1, 0):
            return _triton().FromRGB.apply(x, weight.flatten(1).t().float().expand(len(x), -1, -1), x.dtype)
        missing = -x.shape[1] % 8 if x.shape[1] > 8 else 0
        if missing:
            x, weight = (F.pad(t, [0, 0, 0, 0, 0, missing]) for t in (x, weight))
        return convolution.conv2d(x, weight, stride, padding)
    return F.conv2d(x, weight, stride=stride, padding=padding)


def of_colours(weight):
    """Whether a convolution makes feature maps of colours, pixel by pixel: cuDNN is slow there."""
    return weight.shape[1] <= 4 and weight.shape[2:] == (1, 1)


def conv_transpose2d(x, weight, stride=1, padding=0):
    """`F.conv_transpose2d`, likewise."""
    if fuses(x):
        return convolution.conv_transpose2d(x, weight, stride, padding)
    return F.conv_transpose2d(x, weight, stride=stride, padding=padding)


def upfirdn2d(x, kernel, up=1, down=1, padding=0, gain=1):
    """`ops.upfirdn2d` for a kernel [k, k] and equal padding on all sides, as one kernel of a GPU."""
    if fuses(x):
        size = [(side * up + 2 * padding - len(kernel)) // down + 1 for side in x.shape[2:]]
        return _triton().Upfirdn.apply(x, kernel, up, down, padding, size, float(gain), False)
    return ops.upfirdn2d(x, kernel, up, down, padding, gain)


def upsample2d(x, kernel):
    """`ops.upsample2d` by two for four separable taps. On a CPU products of matrices, or of large maps a
    transposed convolution of each;
    elsewhere the taps are split by parity into four 3×3 kernels."""
    n, c, h, w = x.shape
    if fuses(x):
        return _triton().Upfirdn.apply(x, kernel, 2, 1, 2, [2 * h, 2 * w], 4.0, False)
    if x.device.type == "cpu" and h * w <= 4096 and not torch.compiler.is_compiling():
        return matmul_conv.upsample2d(x, kernel)
    if x.device.type == "cpu":
        maps = F.conv_transpose2d(x.reshape(n * c, 1, h, w), kernel.to(x)[None, None] * 4, stride=2, padding=1)
        return maps.view(n, c, 2 * h, 2 * w)
    phases = F.pad(kernel.to(x) * 4, [1, 1, 1, 1]).view(3, 2, 3, 2).permute(1, 3, 0, 2).reshape(4, 1, 3, 3).flip([2, 3])
    return F.pixel_shuffle(F.conv2d(x.reshape(n * c, 1, h, w), phases, padding=1), 2).reshape(n, c, 2 * h, 2 * w)


def upscale2d_conv2d(x, weight, scale=1.0):
    """`ops.upscale2d_conv2d` under scale · weight as one transposed convolution: each of its 4×4 taps is the sum of the 3×3 taps
    that meet the same pixel of x, so 16 multiplications do the work of 36."""
    if fuses(x):
        weight = _triton().Resampled.apply(weight, scale, x.dtype, True)
    else:
        weight = _spread(weight.flip([2, 3]) * scale).to(x.dtype).transpose(0, 1)
    return conv_transpose2d(x, weight, stride=2, padding=1)


def conv2d_downscale2d(x, weight, scale=1.0):
    """`ops.conv2d_downscale2d` under scale · weight as one convolution with 4×4 taps and stride 2."""
    if fuses(x):
        weight = _triton().Resampled.apply(weight, scale / 4, x.dtype, False)
    else:
        weight = _spread(weight * (scale / 4)).to(x.dtype)
    return conv2d(x, weight, stride=2, padding=1)


def blur2d(x, kernel):
    """`ops.blur2d`."""
    return upfirdn2d(x, kernel, padding=kernel.shape[-1] // 2)


def _spread(weight):
    """The sum of a 3×3 kernel at its four places in 4×4."""
    return 4 * F.avg_pool2d(weight, 2, stride=1, padding=1)


# Layers of PGGAN and StyleGAN

def equalized_conv2d(x, weight, scale, resample=None):
    """The convolution of an equalized layer, under scale · weight [O, I, k, k] in x's dtype. resample: None, "up" or "down". On a
    GPU x may have more channels, which are zeros."""
    if resample == "up":
        return upscale2d_conv2d(x, weight, scale)
    if resample == "down":
        return conv2d_downscale2d(x, weight, scale)
    if not fuses(x):
        weight = (weight * scale).to(x.dtype)
    elif of_colours(weight):
        weight = weight * scale
    else:
        weight = _triton().Scaled.apply(weight, scale, x.dtype, x.shape[1])
    return conv2d(x, weight, padding=weight.shape[-1] // 2)


def equalized_rgb(x, weight, scale, bias):
    """Colours [N, K, H, W] in float32 from maps [N, C, H, W], under scale · weight [K, C, 1, 1]; on a GPU alone."""
    return _triton().ToRGB.apply(x, (weight.flatten(1) * scale).expand(len(x), -1, -1), bias)


def minibatch_stddev(x, group_size=4):
    """`ops.minibatch_stddev`; on a GPU as one kernel, with channels of zeros behind, up to a multiple of eight."""
    size = len(x) if group_size is None else min(group_size, len(x))
    if fuses(x) and len(x) % size == 0 and size <= 8:
        return _triton().MinibatchStddev.apply(x, size, x.shape[1] // 8 * 8 + 8)
    return ops.minibatch_stddev(x, group_size)


def pixel_norm(x, bias=None, slope=1.0, eps=1e-8):
    """`ops.pixel_norm` of lrelu(x + bias) without gain, as one kernel of a GPU. x [N, C] or [N, C, H, W], bias [C]; slope 1: no
    activation."""
    return _triton().PixelNorm.apply(x, bias, slope, eps)


def styled_activation(x, bias, noise, strength, style, eps=1e-8):
    """`ops.adain` of lrelu(x + strength · noise + bias) without gain, as one kernel of a GPU. x [N, C, H, W], bias and strength
    [C], noise [H, W], [N, 1, H, W] or None, style (y_s, y_b) [N, 2C]."""
    return _triton().AdaIN.apply(x, bias, noise, strength, style, eps)
