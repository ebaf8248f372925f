"""Adaptive discriminator augmentation (ADA) for training on few images: Karras et al. 2020, arXiv:2006.06676.

With few images D learns them by heart. So it sees reals and fakes through random transforms, each of which an image meets with
probability p. G still learns the images as they are, as long as those stay the most frequent ones, which the paper finds safe for
p < 0.8 (Sec. 2.2). p follows from how far D overfits (Sec. 2.3).

A batch is augmented with constant shapes and without a question to the host, so that it can be recorded in a CUDA graph. R1
differentiates a gradient that went through it: `GridSample` and its adjoint are differentiable to any order, which PyTorch's
own grid sampling is not.
"""
import math
from functools import cache

import torch
from torch.autograd import Function
from torch.nn.functional import grid_sample

from . import distributed

GEOMETRIC = ("x_flip", "quarter_turn", "rotation", "integer_translation", "isotropic_scaling", "anisotropic_scaling",
             "fractional_translation")
COLOUR = "brightness", "contrast", "luma_flip", "hue", "saturation"

EVERY = 4                   # steps between two looks at the heuristic
RISE = 500_000              # images in which p can go from 0 to 1

# The low-pass filters of the wavelet CDF 9/7 (Cohen, Daubechies and Feauveau 1992; JPEG 2000), from the middle tap outwards: one
# after the other they give a signal back.
REDUCE = 0.602949018236358, 0.266864118442872, -0.078223266528988, -0.016864118442875, 0.026748757410810
ENLARGE = 1.115087052456994, 0.591271763114247, -0.057543526228500, -0.091271763114250


def augment(images, p):
    """App. B: every image under its own random transforms, in place and in colour. [N, 3, R, R] → the same shape.

    p: tensor, the probability of every transform [], or of each of GEOMETRIC and COLOUR [12]. At 0 an image stays as it is, up to
    rounding. Random numbers are those of PyTorch, on the images' device.
    """
    n, resolution, p = len(images), images.shape[-1], p.expand(len(GEOMETRIC) + len(COLOUR))
    moved = warp(images, geometric(n, p[:len(GEOMETRIC)], resolution).to(images.dtype))
    return recolour(moved, colour(n, p[len(GEOMETRIC):]).to(images.dtype)).contiguous(memory_format=torch.channels_last)


def next_p(p, r, images, target=0.6):
    """Sec. 2.3: p after so many more images: up where D overfits, r = E[sign D(real)] above the target, else down; in [0, 1]."""
    return (p + (r - target).sign() * (images / RISE)).clamp(0, 1)


def buffers(settings, device):
    """What a run keeps for the heuristic: p, and the sum and the number of D's signs since p moved last. {} without ADA."""
    if settings.augment == "none":
        return {}
    return {"augment_p": torch.full([], float(settings.augment_p or 0), device=device),
            "augment_signs": torch.zeros(2, device=device)}


def count_signs(buffers, logits):
    """Add those of D's logits of reals [N] to the buffers of a run with ADA, which several processes hold alike."""
    if "augment_signs" in buffers:
        signs, (total, count) = logits.detach().sign().sum(), buffers["augment_signs"].unbind()
        distributed.average([signs])
        total += signs
        count += len(logits)


def adjust(buffers, settings):
    """The step that moves p, unless it is fixed."""
    p, (total, count) = buffers["augment_p"], buffers["augment_signs"].unbind()
    r = total / count
    if settings.augment_p is None:
        p.copy_(next_p(p, r, settings.batch * EVERY, settings.augment_target))
    buffers["augment_signs"].zero_()
    return {"augment_p": p, "r_t": r}


def geometric(n, p, resolution):
    """App. B, Fig. 20, the geometric transforms of n images as one matrix each, [n, 2, 3]: from a pixel of the augmented image to
    the place in the image that it shows, both (x, y, 1) in pixels from the centre.

    p: the probabilities of GEOMETRIC, [7]. Every transform is as likely as its inverse, so the inverses are drawn themselves.
    """
    one_of_two = 1 - (1 - p[2:3]).sqrt()            # two rotations, one of them at least with probability p
    chance = torch.cat([p[:2], one_of_two, one_of_two, p[3:]])
    flip, quarter, pre, post, whole, size, stretch, part = (torch.rand(8, n, device=p.device) < chance[:, None]).unbind()
    uniform, normal = torch.rand(6, n, device=p.device), torch.randn(4, n, device=p.device)

    mirror = torch.where(flip & (uniform[0] < 0.5), -1.0, 1.0)
    quarters = (4 * uniform[1]).floor() * (math.pi / 2) * quarter
    before, between, after = rotations(torch.stack([quarters, *(math.pi * (2 * uniform[2:4] - 1) * torch.stack([pre, post]))]))
    blit = torch.stack([mirror, torch.ones_like(mirror)], dim=1)[:, :, None] * before
    factor, ratio = torch.exp2(0.2 * normal[:2] * torch.stack([size, stretch]))
    linear = blit @ (factor[:, None, None] * between) @ (torch.stack([ratio, 1 / ratio], dim=1)[:, :, None] * after)
    pixels = (0.125 * resolution * (2 * uniform[4:] - 1)).round() * whole
    fraction = 0.125 * resolution * normal[2:] * part
    offset = blit @ pixels.t()[:, :, None] + linear @ fraction.t()[:, :, None]
    return torch.cat([linear, offset], dim=2)


def rotations(angles):
    """Angles [...] → matrices [..., 2, 2]."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def colour(n, p):
    """App. B, Fig. 20, the colour transforms of n images as one matrix each, [n, 3, 4], for (r, g, b, 1) in [-1, 1].

    All of them act on the part of a colour along the grey axis, v vᵀ, or on the rest, I − v vᵀ: brightness b, then contrast c, luma
    flip f = ±1, hue θ and saturation s are c (f v vᵀ + s R(v, θ) (I − v vᵀ)) (x + b). p: the probabilities of COLOUR, [5].
    """
    bright, contrast, flip, hue, saturation = (torch.rand(5, n, device=p.device) < p[:, None]).unbind()
    uniform, normal = torch.rand(2, n, device=p.device), torch.randn(3, n, device=p.device)
    b = 0.2 * normal[0] * bright
    c, s = torch.exp2(0.5 * normal[1] * contrast), torch.exp2(normal[2] * saturation)
    f = torch.where(flip & (uniform[0] < 0.5), -1.0, 1.0)
    angle = math.pi * (2 * uniform[1] - 1) * hue

    eye = torch.eye(3, device=p.device)
    grey, turned = torch.full_like(eye, 1 / 3), (eye.roll(1, 0) - eye.roll(-1, 0)) / math.sqrt(3)       # v vᵀ, v ×
    along, rest, across = (x[:, None, None] for x in (c * f, c * s * angle.cos(), c * s * angle.sin()))
    linear = along * grey + rest * (eye - grey) + across * turned
    return torch.cat([linear, (along * b[:, None, None]).expand(-1, 3, 1)], dim=2)


def recolour(images, matrix):
    """Every pixel (r, g, b, 1) of images [N, 3, H, W] times its image's matrix [N, 3, 4]."""
    return torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], images.flatten(2)).view(images.shape)


def warp(images, matrix):
    """Images [N, 3, R, R], each looked up at matrix [N, 2, 3] times the pixels of the result, as `geometric` gives it.

    As in App. B the image is enlarged twice, looked up bilinearly, and reduced again, with the filters of a wavelet, so that the
    identity gives the image itself; beyond its border it goes on by reflection. The wavelet is a symmetric one instead of the
    paper's sym6: flips, quarter turns and shifts by whole pixels are exact, too. Nor is the reflection cut off anywhere.
    """
    reduce, enlarge, place = resampling(images.shape[-1], images.device, images.dtype)
    x, y, one = (matrix[:, None, None] * (2 / (images.shape[-1] - 1))).unbind(-1)
    grid = x * place[:, None] + y * place[:, None, None] + one          # not as a matrix product, which a GPU would round
    return reduce @ GridSample.apply(enlarge @ images @ enlarge.t(), grid) @ reduce.t()


@cache
def resampling(resolution, device, dtype):
    """Two samples for each of R pixels in a row: the filter from 2R + 7 samples to pixels [R, 2R + 7], that from pixels, reflected
    at both ends, to the 2R − 1 samples within them [2R − 1, R], and where the 2R + 7 samples lie, in pixels from the centre."""
    last, margin = 2 * (resolution - 1), len(REDUCE) - 1
    reduce = torch.zeros(resolution, last + 2 * margin + 1, dtype=torch.float64)
    enlarge = torch.zeros(last + 1, resolution, dtype=torch.float64)
    for i in range(resolution):
        for k in range(-margin, margin + 1):
            reduce[i, 2 * i + margin + k] = REDUCE[abs(k)]
    for sample in range(last + 1):
        for k in range(1 - len(ENLARGE), len(ENLARGE)):
            if (sample + k) % 2 == 0:
                pixel = (sample + k) // 2 % last
                enlarge[sample, min(pixel, last - pixel)] += ENLARGE[abs(k)]
    place = (torch.arange(-margin, last + margin + 1) - last / 2) / 2
    return [t.to(device, dtype) for t in (reduce, enlarge, place)]


class GridSample(Function):
    """Bilinear lookup of images [N, C, H, W] at a grid [N, H', W', 2] from −1 to 1, the centres of the outermost pixels, where
    they are reflected. Linear in the images; the grid gets no gradient."""

    @staticmethod
    def forward(images, grid):
        return grid_sample(images, grid, padding_mode="reflection", align_corners=True)

    @staticmethod
    def setup_context(ctx, inputs, output):
        images, grid = inputs
        ctx.shape = images.shape
        ctx.save_for_backward(grid)

    @staticmethod
    def backward(ctx, gradient):
        return GridSampleAdjoint.apply(gradient, *ctx.saved_tensors, ctx.shape), None


class GridSampleAdjoint(Function):
    """The gradient of `GridSample` for its images, of this shape: linear in the incoming gradient, and so its own is the lookup
    again."""

    @staticmethod
    def forward(gradient, grid, shape):
        images = gradient.new_empty(1).expand(shape)
        return torch.ops.aten.grid_sampler_2d_backward(gradient, images, grid, 0, 2, True, [True, False])[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):
        return GridSample.apply(gradient, *ctx.saved_tensors), None, None
