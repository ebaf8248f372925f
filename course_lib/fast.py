"""Operations of `ops` in faster forms: the same names, arguments and results. Networks take them unless asked for `plain`; dense layers,
activations and convolutions that are not modulated take those of a GPU (`fuses`) even then."""
import os
import shutil
from functools import cache

import torch
import torch.nn.functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from . import convolution, ops, products


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
    """The module of fused kernels, or None where Triton or the C compiler that it starts with is missing."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")):
        return None
    try:
        from . import fused
        return fused
    except ImportError:
        return None


def fuses(x):
    """Whether layers take their forms of `fused`: on the current GPU, where Triton starts its kernels, unless float64 is asked for or
    torch.compile fuses them itself."""
    return (x.is_cuda and x.dtype != torch.float64 and not torch.compiler.is_compiling() and x.device.index == torch.cuda.current_device()
            and _triton() is not None)


def folds(x, weight):
    """Whether a layer may take the CPU's forms of `styled_conv2d` and `to_rgb`."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and x.dtype == weight.dtype


def act(x, bias=None, scale=None, noise=None, strength=None, alpha=1.0, beta=1.0, gain=2 ** 0.5, slope=0.2, clamp=None):
    """gain · lrelu(alpha · scale · x + beta · bias + strength · noise), clamped to ±clamp, as one kernel of a GPU.

    x [N, C] or [N, C, H, W], bias [C], scale [N, C], noise [H, W] or [N, 1, H, W], strength [].
    """
    clamp = float("inf") if clamp is None else torch.tensor(clamp, dtype=x.dtype).item()      # as the result holds it
    return _triton().Act.apply(x, scale, bias, noise, strength, alpha, beta, gain, slope, clamp)


def styled_conv2d(x, weight, style, bias, noise=None, strength=None, up=1, kernel=None, clamp=None):
    """A whole layer of StyleGAN2, from 3×3 convolution to activation. noise [H, W] or [N, 1, H, W], strength []."""
    if not fuses(x):
        return _folded_conv2d(x, weight, style, bias, None if noise is None else noise.to(x) * strength, up, kernel, clamp)
    x = _triton().Scale.apply(x, style, 1.0)
    x = conv2d_resample(x, weight, kernel, up, padding=1, mirror=up > 1)
    return act(x, bias, _triton().Demod.apply(style, weight)[0], noise, None if noise is None else strength, clamp=clamp)


def _folded_conv2d(x, weight, style, bias, noise=None, up=1, kernel=None, clamp=None):
    """`styled_conv2d` where no gradient is asked for on the CPU; the noise comes multiplied by its strength.

    A CPU waits for memory. Where maps are larger than weights, nothing passes over them that can be done to weights: style,
    demodulation and the activation's √2 (it is homogeneous) go into each image's weight, the bias into the last
    convolution. What is left works in place. Weights that need no gradient are convolved as matrix products, in forms that are
    kept, where that is faster still.
    """
    gain = 2 ** 0.5
    form = _form(x, weight, up)
    if form:
        energy, matrices = _cached(weight, form[0])
        y = form[1](x * style[:, :, None, None], matrices)
        if up == 2:
            y = _filtered(y, kernel)
        y.mul_((style.square() @ energy + 1e-8).rsqrt()[:, :, None, None] * gain).add_((bias * gain)[:, None, None])
    elif x.shape[2] * x.shape[3] * up ** 2 > weight[0].numel():
        weights = ops.demodulate(ops.modulate(weight, style)) * gain
        y = _joined([_resampled(x[i:i + 1], weights[i], bias * gain, up, kernel) for i in range(len(x))])
    else:
        y = modulated_conv2d(x, weight, style, up=up, padding=1, kernel=kernel)
        y.mul_(gain).add_((bias * gain)[:, None, None])
    if noise is not None:
        y.add_(noise * gain)
    y = F.leaky_relu_(y, 0.2)
    return y if clamp is None else y.clamp_(-clamp, clamp)


def _form(x, weight, up):
    """The form in which a frozen weight is kept, and its convolution, where this was measured to be faster; None elsewhere."""
    h, w = x.shape[2:]
    if weight.requires_grad or weight.is_inference() or weight.dtype.itemsize < 4 or torch.compiler.is_compiling():
        return None
    if up == 2:
        return (products.col2im, products.col2im_conv2d) if h * w <= 1024 else None
    if h * w <= 64:
        return products.im2col, products.im2col_conv2d
    return (products.winograd, products.winograd_conv2d) if h % 4 == w % 4 == 0 and weight.shape[1] >= 128 else None


_CACHE = WeakTensorKeyDictionary()


def _cached(weight, form):
    """Σ_k w_ijk² [I, O] and form(weight), made anew when the weight has changed and forgotten with it.

    PyTorch counts the edits of a tensor, but not those through `.data`. These show in its product with a vector.
    """
    flat = weight.flatten(1)
    seen = form, weight._version, flat.dtype, (flat @ torch.arange(flat.shape[1]).to(flat).cos()).tolist()
    kept = _CACHE.get(weight)
    if kept is None or kept[0] != seen:
        with torch.inference_mode(False):                                            # may be used outside later
            kept = _CACHE[weight] = seen, (weight.square().sum(dim=(2, 3)).t().contiguous(), form(weight))
    return kept[1]


def _resampled(x, weight, bias, up, kernel):
    """One image under a 3×3 weight, at its own size or twice that, with the bias. Transposed convolutions are up to three
    times faster with channels last."""
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    if up == 1:
        return F.conv2d(x, weight, bias, padding=1)
    return _filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), kernel, bias)


def _filtered(x, kernel, bias=None):
    """`ops.upfirdn2d(x, kernel, padding=1, gain=4)` and a bias, padded within the convolution."""
    return F.conv2d(x, (kernel.flip([0, 1]) * 4).expand(x.shape[1], 1, *kernel.shape), bias, padding=1, groups=x.shape[1])


def to_rgb(x, weight, style, bias):
    """A modulated 1×1 convolution without demodulation, with the style in each image's weight."""
    if fuses(x):
        return _triton().ToRGB.apply(x, weight[None, :, :, 0, 0] * style[:, None], bias)
    return _joined([F.conv2d(x[i:i + 1], weight * style[i][:, None, None], bias) for i in range(len(x))])


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
        missing = -x.shape[1] % 8 if x.shape[1] > 8 else 0
        if missing:
            x, weight = (F.pad(t, [0, 0, 0, 0, 0, missing]) for t in (x, weight))
        return convolution.conv2d(x, weight, stride, padding)
    return F.conv2d(x, weight, stride=stride, padding=padding)


def conv_transpose2d(x, weight, stride=1, padding=0):
    """`F.conv_transpose2d`, likewise."""
    if fuses(x):
        return convolution.conv_transpose2d(x, weight, stride, padding)
    return F.conv_transpose2d(x, weight, stride=stride, padding=padding)


def upfirdn2d(x, kernel, up=1, down=1, padding=0, gain=1):
    """`ops.upfirdn2d` for a kernel [k, k] and equal padding on all sides; one kernel of a GPU, sums of shifted maps where
    torch.compile fuses those."""
    if fuses(x):
        size = [(side * up + 2 * padding - len(kernel)) // down + 1 for side in x.shape[2:]]
        return _triton().Upfirdn.apply(x, kernel, up, down, padding, size, gain, False)
    if x.is_cuda and up == 1 and torch.compiler.is_compiling():
        x, k, kernel = F.pad(x, [padding] * 4), len(kernel), (kernel * gain).flip([0, 1]).to(x.dtype)
        vertical, horizontal = kernel.sum(dim=1), kernel.sum(dim=0) / kernel.sum()
        x = sum(vertical[i] * x[:, :, i:x.shape[2] - k + 1 + i] for i in range(k))
        return sum(horizontal[i] * x[:, :, :, i:x.shape[3] - k + 1 + i] for i in range(k))[:, :, ::down, ::down]
    return ops.upfirdn2d(x, kernel, up, down, padding, gain)


def upsample2d(x, kernel):
    """`ops.upsample2d` by two for four taps, which are split by parity into four 3×3 kernels: one convolution per feature map."""
    n, c, h, w = x.shape
    if fuses(x):
        return _triton().Upfirdn.apply(x, kernel, 2, 1, 2, [2 * h, 2 * w], 4.0, False)
    phases = F.pad(kernel.to(x) * 4, [1, 1, 1, 1]).view(3, 2, 3, 2).permute(1, 3, 0, 2).reshape(4, 1, 3, 3).flip([2, 3])
    return F.pixel_shuffle(F.conv2d(x.reshape(n * c, 1, h, w), phases, padding=1), 2).reshape(n, c, 2 * h, 2 * w)


def upscale2d_conv2d(x, weight):
    """`ops.upscale2d_conv2d` as one transposed convolution: each of its 4×4 taps is the sum of the 3×3 taps that meet the
    same pixel of x, so 16 multiplications do the work of 36."""
    return conv_transpose2d(x, _spread(weight.flip([2, 3])).transpose(0, 1), stride=2, padding=1)


def conv2d_downscale2d(x, weight):
    """`ops.conv2d_downscale2d` as one convolution with 4×4 taps and stride 2."""
    return conv2d(x, _spread(weight) / 4, stride=2, padding=1)


def blur2d(x, kernel):
    """`ops.blur2d`."""
    return upfirdn2d(x, kernel, padding=kernel.shape[-1] // 2)


def _spread(weight):
    """The sum of a 3×3 kernel at its four places in 4×4."""
    return sum(F.pad(weight, [x, 1 - x, y, 1 - y]) for x in (0, 1) for y in (0, 1))


# Regularizers in the form that torch.compile can differentiate twice

def r1_penalty(critic, reals):
    """`losses.r1_penalty` of critic(reals)."""
    grads = torch.func.grad(lambda images: critic(images).sum())(reals)
    return grads.float().square().sum(dim=(1, 2, 3))


def gradient_penalty(critic, reals, fakes, target=1.0, mix=None):
    """`losses.gradient_penalty`."""
    mix = torch.rand(len(reals), device=reals.device) if mix is None else mix
    mixed = torch.lerp(reals, fakes, mix.to(reals.dtype)[:, None, None, None])
    return (r1_penalty(critic, mixed).sqrt() - target).square() / target ** 2
