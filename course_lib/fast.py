"""Operations of `ops` in faster forms: the same names, arguments and results. Networks take them unless asked for `plain`."""
import torch
import torch.nn.functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from . import ops, products


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


def folds(x, weight):
    """Whether a layer may take the forms of `styled_conv2d` and `to_rgb`."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and x.dtype == weight.dtype


def styled_conv2d(x, weight, style, bias, noise=None, up=1, kernel=None, clamp=None):
    """A whole layer of StyleGAN2, from 3×3 convolution to activation, where no gradient is asked for on the CPU.

    A CPU waits for memory. Where maps are larger than weights, nothing passes over them that can be done to weights: style,
    demodulation and the activation's √2 (it is homogeneous) go into each image's weight, the bias into the last
    convolution. What is left works in place. Weights that need no gradient are convolved as matrix products, in forms that are
    kept, where that is faster still. noise [H, W] or [N, 1, H, W] comes multiplied by its strength.
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
    """A modulated 1×1 convolution without demodulation, the style in each image's weight."""
    return _joined([F.conv2d(x[i:i + 1], weight * style[i][:, None, None], bias) for i in range(len(x))])


def _joined(parts):
    """One batch; of one part without the copy that torch.cat makes."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def conv2d_resample(x, weight, kernel=None, up=1, down=1, padding=0, mirror=False):
    """`ops.conv2d_resample` for the four resamplings of StyleGAN2: a 3×3 weight up or down by two, 1×1 down, none.

    On the CPU the zeros are never multiplied: a transposed convolution goes up, and what goes down is filtered only
    where a pixel stays. On a GPU, which waits for memory and launches, the filter is folded into the weight: 3×3 and
    four taps make 6×6, and those taps split by parity are an ordinary 3×3 convolution between pixels at the low
    resolution and 2×2 blocks of pixels at the high one. That is four times the multiplications and no filtered map.
    """
    size, taps = weight.shape[-1], 0 if kernel is None else kernel.shape[-1]
    if up == down == 1 and not mirror:
        return F.conv2d(x, weight.to(x.dtype), padding=padding)
    if (size, up, down, padding, mirror, taps) == (3, 2, 1, 1, True, 4):
        if x.is_cuda:
            return _space(F.conv2d(x, _phases(weight, kernel * 4).flip([3, 4]).flatten(0, 1).to(x.dtype), padding=1))
        x = F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2)
        return ops.upfirdn2d(x, kernel, padding=1, gain=4)
    if (size, up, down, padding, mirror, taps) == (3, 1, 2, 1, False, 4):
        if x.is_cuda:
            phases = _phases(weight, kernel.flip([0, 1])).transpose(0, 1).flatten(1, 2)
            return F.conv2d(_depth(x), phases.to(x.dtype), padding=1)
        return F.conv2d(ops.upfirdn2d(x, kernel, padding=2), weight.to(x.dtype), stride=2)
    if (size, up, down, padding, mirror, taps) == (1, 1, 2, 0, False, 4):
        if x.is_cuda:
            return F.conv2d(x, _fold(weight, kernel.flip([0, 1])).to(x.dtype), stride=2, padding=1)
        return F.conv2d(ops.upfirdn2d(x, kernel, down=2, padding=1), weight.to(x.dtype))
    return ops.conv2d_resample(x, weight, kernel, up, down, padding, mirror=mirror)


def upsample2d(x, kernel):
    """`ops.upsample2d` by two for four taps, which are split by parity into four 3×3 kernels: one convolution per feature map."""
    n, c, h, w = x.shape
    phases = F.pad(kernel.to(x) * 4, [1, 1, 1, 1]).view(3, 2, 3, 2).permute(1, 3, 0, 2).reshape(4, 1, 3, 3).flip([2, 3])
    return F.pixel_shuffle(F.conv2d(x.reshape(n * c, 1, h, w), phases, padding=1), 2).reshape(n, c, 2 * h, 2 * w)


def _fold(weight, kernel):
    """Every k×k filter convolved with the low-pass kernel: [O, I, k, k] → [O, I, k+3, k+3]."""
    o, i, k, _ = weight.shape
    pad = kernel.shape[-1] - 1
    folded = F.conv2d(weight.reshape(o * i, 1, k, k), kernel.flip([0, 1]).to(weight)[None, None], padding=pad)
    return folded.reshape(o, i, k + pad, k + pad)


def _phases(weight, kernel):
    """The 6×6 taps of a folded 3×3 weight split by parity: [O, I, 3, 3] → [4, O, I, 3, 3]."""
    o, i = weight.shape[:2]
    return _fold(weight, kernel).reshape(o, i, 3, 2, 3, 2).permute(3, 5, 0, 1, 2, 4).reshape(4, o, i, 3, 3)


def _space(x):
    """[N, 4·C, H, W], phases first → [N, C, 2H, 2W]; in memory the channels stay last."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, c // 4).transpose(2, 3)
    return x.reshape(n, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def _depth(x):
    """The inverse of `_space`."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c).transpose(2, 3)
    return x.reshape(n, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)


def upscale2d_conv2d(x, weight):
    """`ops.upscale2d_conv2d` as one transposed convolution: each of its 4×4 taps is the sum of the 3×3 taps that meet the
    same pixel of x, so 16 multiplications do the work of 36."""
    return F.conv_transpose2d(x, _spread(weight.flip([2, 3])).transpose(0, 1), stride=2, padding=1)


def conv2d_downscale2d(x, weight):
    """`ops.conv2d_downscale2d` as one convolution with 4×4 taps and stride 2."""
    return F.conv2d(x, _spread(weight) / 4, stride=2, padding=1)


def blur2d(x, kernel):
    """`ops.blur2d` for StyleGAN's filter (1, 2, 1). On a GPU without its convolution, which has one group per map."""
    if not x.is_cuda:
        return ops.blur2d(x, kernel)
    return _shifted_sums(x) if torch.compiler.is_compiling() else Blur.apply(x)


class Blur(torch.autograd.Function):
    """The filter (1, 2, 1) along both axes, zeros beyond the border, as sums of shifted maps. It is its own adjoint, so that
    its gradient is the same few sums, to any order."""

    @staticmethod
    def forward(x):
        return _shifted_sums(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return Blur.apply(gradient)


def _shifted_sums(x):
    """What `Blur` computes; autograd takes it apart into several times as many operations."""
    x = F.pad(x, [1, 1, 1, 1])
    x = (x[..., :-2] + x[..., 2:]).add_(x[..., 1:-1], alpha=2)
    return (x[..., :-2, :] + x[..., 2:, :]).add_(x[..., 1:-1, :], alpha=2).mul_(1 / 16)


def _spread(weight):
    """The sum of a 3×3 kernel at its four places in 4×4."""
    return sum(F.pad(weight, [x, 1 - x, y, 1 - y]) for x in (0, 1) for y in (0, 1))


# Regularizers in the form that torch.compile can differentiate twice

def path_length_penalty(synthesis, ws, noise, mean, decay=0.01):
    """`losses.path_length_penalty` of synthesis(ws): the product Jᵀy is taken by `torch.func`, not by `torch.autograd`."""
    images, pull_back = torch.func.vjp(synthesis, ws)
    grads, = pull_back(noise / (images.shape[2] * images.shape[3]) ** 0.5)
    lengths = grads.float().square().sum(dim=2).mean(dim=1).sqrt()
    mean = torch.lerp(mean.to(lengths), lengths.mean(), decay)
    return (lengths - mean).square(), mean


def r1_penalty(critic, reals):
    """`losses.r1_penalty` of critic(reals)."""
    grads = torch.func.grad(lambda images: critic(images).sum())(reals)
    return grads.float().square().sum(dim=(1, 2, 3))


def gradient_penalty(critic, reals, fakes, target=1.0, mix=None):
    """`losses.gradient_penalty`."""
    mix = torch.rand(len(reals), device=reals.device) if mix is None else mix
    mixed = torch.lerp(reals, fakes, mix.to(reals.dtype)[:, None, None, None])
    return (r1_penalty(critic, mixed).sqrt() - target).square() / target ** 2
