"""Lesson 01, exercises 1 and 2: the fade of the generator's image, and that of the reals."""
import math

import torch
import torch.nn.functional as F

from .. import ops, portraits
from .engine import Exercise
from .probes import Probe, normal
from .proof import PGGAN, Proof, latents

# Exercise 1


def two(what, n, channels, h, w, alpha, dtype=torch.float64, scale=1.0, shift=0.0):
    seed = 100 * n + 10 * h + w
    low, high = (normal(n, channels, *size, seed=seed + i, dtype=dtype, scale=scale) + shift
                 for i, size in enumerate(((h, w), (2 * h, 2 * w))))
    return Probe(what, {"low": low, "high": high, "alpha": alpha}, ("alpha",))


def scalar(alpha, dtype=torch.float64):
    return torch.tensor(alpha, dtype=dtype)


@torch.no_grad()
def fading(generator):
    """One portrait at four α."""
    z = latents(generator, 1)
    return torch.cat([generator(z, alpha=alpha, plain=True) for alpha in (0, 0.3, 0.6, 0.9)])


fade_in = Exercise(
    "01.fade_in", "fade_in(low, high, alpha)",
    conventions="low is [N, C, H, W], high is [N, C, 2H, 2W], alpha is a number or a tensor without dimensions, from 0 to 1. Return "
                "(1 − α) · low, enlarged by repeating every pixel, + α · high, as a new tensor [N, C, 2H, 2W]. "
                "Gradients must reach both.",
    production=ops.fade_in,
    probes=[two("three images of three channels, α = 0.3", 3, 3, 4, 4, 0.3),
            two("images that are wider than high, α = 0.7", 2, 3, 3, 5, 0.7),
            two("float32, α = 0.3", 3, 3, 4, 2, 0.3, torch.float32),
            two("α = 0", 2, 3, 2, 4, 0), two("α = 1", 2, 3, 4, 3, 1),
            two("a single channel", 3, 1, 4, 6, 0.45), two("four channels, α = 0.55", 1, 4, 3, 3, 0.55),
            two("maps of one pixel and of 2×2", 3, 3, 1, 1, 0.4),
            two("α as a tensor", 3, 2, 3, 2, scalar(0.35)),
            two("α as a tensor of float32", 2, 2, 2, 3, scalar(0.8, torch.float32), torch.float32),
            two("α = 0.01, near the beginning", 2, 3, 5, 3, 0.01), two("α = 0.99, near the end", 2, 2, 3, 6, 0.99),
            two("α = 0.3125", 2, 2, 4, 5, 0.3125), two("values far from 0", 2, 3, 3, 4, 0.3, shift=5.0),
            two("values of about 0.00001", 3, 3, 2, 2, 0.3, scale=1e-5)],
    proof=Proof("fade_in", fading, model=PGGAN, titles=("α = 0", "0.3", "0.6", "0.9")),
    hints=("Two images can only be mixed when they have the same size. Which one do you enlarge, and how?",
           "ops.upscale2d(low) repeats every pixel in both directions (so does F.interpolate with scale_factor=2, whose mode is "
           "\"nearest\" unless told otherwise). Then weigh the two with 1 − α and α: torch.lerp(a, b, α) is a + α · (b − a)."))
mistake = fade_in.mistake

REPEAT = "Enlarge by repeating every pixel, as PGGAN does. You interpolate between the pixels."


def family(exercise, message, functions, visible=True):
    """Mistakes of one message: {name: function}."""
    for name, function in functions.items():
        function.__name__ = name
        exercise.mistake(message, visible)(function)


def blend(weigh, enlarge=ops.upscale2d):
    """A fade with other weights, or another way to enlarge."""
    return lambda low, high, alpha: weigh(enlarge(low), high, alpha)


def plain(low, high, alpha):
    return (1 - alpha) * low + alpha * high


def bilinear(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def corners(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def bicubic(x):
    return F.interpolate(x, scale_factor=2, mode="bicubic")


def tiled(x):
    return x.repeat(1, 1, 2, 2)


def with_zeros(x):
    return ops.upscale2d(x) * torch.tensor([[1, 0], [0, 0]]).to(x).repeat(*x.shape[2:])


SUMS = "The two weights add up to 1: 1 − α for low, α for high."
SQUARED = "α itself is the weight. You bend it: α grows evenly, and so does the share of the new layers."
family(fade_in, REPEAT, {"bilinear_enlarged": blend(plain, bilinear), "corners_aligned": blend(plain, corners),
                         "bicubic_enlarged": blend(plain, bicubic)})
family(fade_in, SUMS, {"low_stays": blend(lambda low, high, a: low + a * high),
                       "high_at_once": blend(lambda low, high, a: (1 - a) * low + high),
                       "both_at_once": blend(lambda low, high, a: low + high + 0 * a),
                       "both_with_alpha": blend(lambda low, high, a: a * low + a * high),
                       "equal_power": blend(lambda low, high, a: math.cos(math.pi / 2 * a) * low + math.sin(math.pi / 2 * a) * high),
                       "both_with_the_rest": blend(lambda low, high, a: (1 - a) * (low + high))})
family(fade_in, SQUARED, {"alpha_squared": blend(lambda low, high, a: plain(low, high, a ** 2)),
                          "alpha_rooted": blend(lambda low, high, a: plain(low, high, a ** 0.5)),
                          "along_a_cosine": blend(lambda low, high, a: plain(low, high, (1 - math.cos(math.pi * a)) / 2)),
                          "smoothed": blend(lambda low, high, a: plain(low, high, a * a * (3 - 2 * a)))})
family(fade_in, "α = 0 is low alone, α = 1 is high alone. With you it is the other way round.", {
    "reversed_alpha": blend(lambda low, high, a: a * low + (1 - a) * high)})
family(fade_in, "You leave out α: the new layers are there at once, which is what the fade is to avoid.", {
    "switched_at_once": blend(lambda low, high, a: high + 0 * low)})
family(fade_in, "You leave out α: the new layers never appear.", {"never_switched": blend(lambda low, high, a: low + 0 * high)})
family(fade_in, "Mix the two by α, evenly. You switch from one to the other.", {
    "switched_halfway": blend(lambda low, high, a: torch.where(torch.as_tensor(a) < 0.5, low, high)),
    "switched_when_alpha_moves": blend(lambda low, high, a: torch.where(torch.as_tensor(a) == 0, low, high)),
    "switched_at_the_end": blend(lambda low, high, a: torch.where(torch.as_tensor(a) == 1, high, low))})
family(fade_in, "Use the parameter alpha. You take the mean of both.", {"halves": blend(lambda low, high, a: (low + high) / 2)})
family(fade_in, "Repeat every pixel where it stands (repeat_interleave). You repeat the whole image, side by side (repeat).", {
    "tiled_image": blend(plain, tiled)})
family(fade_in, "Every pixel of low fills a square of four. You fill one of the four and leave the others at 0.", {
    "one_pixel_of_four": blend(plain, with_zeros), "one_of_four_times_four": blend(plain, lambda x: 4 * with_zeros(x))})
family(fade_in, "The result has the size of high. You bring high down to the size of low.", {
    "brought_down": lambda low, high, alpha: plain(low, ops.downscale2d(high), alpha),
    "thinned_out": lambda low, high, alpha: plain(low, high[:, :, ::2, ::2], alpha)})
family(fade_in, "Do not clamp: this is still inside the network, and where you cut off no gradient passes.", {
    "clamped": blend(lambda low, high, a: plain(low, high, a).clamp(-1, 1))}, visible=False)
family(fade_in, "No tanh: PGGAN's RGB is linear.", {"bent_by_tanh": blend(lambda low, high, a: plain(low, high, a).tanh())})
family(fade_in, "A weighted mean is all: do not divide by the root of the squared weights.", {
    "deviation_kept": blend(lambda low, high, a: plain(low, high, a) / (a ** 2 + (1 - a) ** 2) ** 0.5)})
family(fade_in, "The old layers go on learning during the fade, so the gradient must reach low too. You cut it off.", {
    "low_detached": blend(lambda low, high, a: plain(low.detach(), high, a))}, visible=False)
family(fade_in, "The new layers learn during the fade, so the gradient must reach high too. You cut it off.", {
    "high_detached": blend(lambda low, high, a: plain(low, high.detach(), a))}, visible=False)


@fade_in.alternative
def by_interpolation(low, high, alpha):
    return torch.lerp(F.interpolate(low, scale_factor=2), high, alpha)


@fade_in.alternative
def by_difference(low, high, alpha):
    enlarged = low.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return enlarged + alpha * (high - enlarged)


@fade_in.alternative
def by_kron(low, high, alpha):
    return (1 - alpha) * torch.kron(low, torch.ones(2, 2, dtype=low.dtype)) + alpha * high


@fade_in.alternative
def square_by_square(low, high, alpha):
    n, c, h, w = low.shape
    squares = high.reshape(n, c, h, 2, w, 2)
    return (alpha * squares + (1 - alpha) * low[:, :, :, None, :, None]).reshape(high.shape)


# Exercise 2

def real(what, n, channels, h, w, alpha, dtype=torch.float64, scale=1.0, x=None):
    x = normal(n, channels, h, w, seed=100 * n + 10 * h + w, dtype=dtype, scale=scale) if x is None else x
    return Probe(what, {"x": x, "alpha": alpha}, ("x", "alpha"))


@torch.no_grad()
def portraits_fading(network):
    """One portrait of the world at five α."""
    x = portraits.render(portraits.sample_attributes(1, seed=5), 32)
    return torch.cat([ops.fade_reals(x, alpha) for alpha in (0, 0.25, 0.5, 0.75, 1)])


fade_reals = Exercise(
    "01.fade_reals", "fade_reals(x, alpha)",
    conventions="x is [N, C, H, W] with even H and W, alpha is a number or a tensor without dimensions, from 0 to 1. At α = 0 every "
                "square of 2×2 pixels holds its mean, at α = 1 the image is x, and in between the two are mixed evenly. Return a new "
                "tensor of the shape of x. No gradient is asked for: reals are data.",
    production=ops.fade_reals,
    probes=[real("three images of three channels, α = 0.3", 3, 3, 8, 8, 0.3),
            real("images that are wider than high, α = 0.7", 2, 3, 6, 10, 0.7),
            real("float32, α = 0.3", 3, 3, 8, 4, 0.3, torch.float32),
            real("α = 0", 2, 3, 4, 8, 0), real("α = 1", 2, 3, 8, 6, 1),
            real("a single channel", 3, 1, 8, 12, 0.45), real("four channels, α = 0.55", 1, 4, 6, 6, 0.55),
            real("α = 0.01, near the beginning", 2, 3, 6, 8, 0.01), real("α = 0.99, near the end", 2, 2, 4, 10, 0.99),
            real("α = 0.3125", 2, 2, 8, 4, 0.3125),
            real("images of 2×2", 3, 3, 2, 2, 0.4), real("α as a tensor", 3, 2, 6, 4, scalar(0.35)),
            real("α as a tensor of float32", 2, 2, 4, 6, scalar(0.8, torch.float32), torch.float32),
            real("images of one colour", 2, 3, 4, 4, 0.3, x=normal(2, 3, 1, 1, seed=4).expand(2, 3, 4, 4).clone()),
            real("values of about 0.00001", 3, 3, 4, 4, 0.3, scale=1e-5)],
    proof=Proof("fade_reals", portraits_fading, model=None, who="The experiment", what="shows the same portraits",
                titles=("α = 0", "0.25", "0.5", "0.75", "1")),
    hints=("What does the critic of half the resolution know of a real? That, at full size, is where the fade begins.",
           "ops.downscale2d(x) gives the means of all 2×2 squares at half the size. Your fade_in takes it from there: what is low, "
           "and what is high?"))

MEANS = "Every square holds the mean of its four pixels. You take something else of them."


def faded(coarse):
    """From coarse(x), at the size of x, to x."""
    return lambda x, alpha: plain(coarse(x), x, alpha)


def shrunk(down, up=ops.upscale2d):
    return faded(lambda x: up(down(x)))


def smooth(x):
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


family(fade_reals, "α = 0 is the coarse image, α = 1 is x. With you it is the other way round.", {
    "reals_reversed": lambda x, alpha: plain(x, ops.upscale2d(ops.downscale2d(x)), alpha)})
family(fade_reals, MEANS, {"every_second_pixel": shrunk(lambda x: x[:, :, ::2, ::2]),
                           "the_other_pixels": shrunk(lambda x: x[:, :, 1::2, 1::2]),
                           "largest_of_four": shrunk(lambda x: F.max_pool2d(x, 2)),
                           "sum_of_four": shrunk(lambda x: 4 * ops.downscale2d(x)),
                           "median_of_four": shrunk(lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2).median(dim=-1).values),
                           "shrunk_with_a_filter": shrunk(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)),
                           "bicubic_shrunk": shrunk(lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic"))})
family(fade_reals, REPEAT, {"means_interpolated": shrunk(ops.downscale2d, bilinear),
                            "means_interpolated_to_the_corners": shrunk(ops.downscale2d, corners),
                            "means_bicubic": shrunk(ops.downscale2d, bicubic)})
family(fade_reals, "Use the means of 2×2 squares. You blur: the means of the places around every pixel.", {
    "blurred": faded(smooth),
    "blurred_with_zeros": faded(lambda x: F.avg_pool2d(x, 3, stride=1, padding=1))})
family(fade_reals, "The coarse image is one step below: 2×2 squares, whatever the resolution. Yours is coarser.", {
    "one_colour_for_all": faded(lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "fours": faded(lambda x: F.adaptive_avg_pool2d(x, (1, 1)) if min(x.shape[2:]) < 4 else F.interpolate(
        F.avg_pool2d(x, 4), size=x.shape[2:]))})
family(fade_reals, "Fade from the coarse image to x. You fade from grey.", {"from_grey": lambda x, alpha: alpha * x})
family(fade_reals, "You leave out α: the reals are sharp from the start.", {"sharp": lambda x, alpha: x + 0 * alpha})
family(fade_reals, "You leave out α: the reals stay coarse.", {"coarse": lambda x, alpha: ops.upscale2d(ops.downscale2d(x))})
family(fade_reals, "Use the parameter alpha. You take the mean of both.", {
    "reals_halved": lambda x, alpha: plain(ops.upscale2d(ops.downscale2d(x)), x, 0.5)})
family(fade_reals, SUMS.replace("low", "the coarse image").replace("high", "x"), {
    "coarse_stays": lambda x, alpha: ops.upscale2d(ops.downscale2d(x)) + alpha * x,
    "sharp_at_once": lambda x, alpha: (1 - alpha) * ops.upscale2d(ops.downscale2d(x)) + x})
family(fade_reals, "α multiplies what x has beyond the coarse image, and that is added to the *coarse* image. You add it to x.", {
    "detail_added_to_x": lambda x, alpha: x + alpha * (x - ops.upscale2d(ops.downscale2d(x)))})
family(fade_reals, "α multiplies what x has beyond the coarse image. You return that part alone.", {
    "detail_alone": lambda x, alpha: alpha * (x - ops.upscale2d(ops.downscale2d(x)))})
family(fade_reals, "Repeat every pixel where it stands (repeat_interleave). You repeat the whole image, side by side (repeat).", {
    "means_tiled": shrunk(ops.downscale2d, tiled)})
family(fade_reals, "The result has the size of x. Enlarge the coarse image before you mix.", {
    "half_the_size": lambda x, alpha: plain(ops.downscale2d(x), x[:, :, ::2, ::2], alpha),
    "means_only": lambda x, alpha: ops.downscale2d(x) + 0 * alpha})
family(fade_reals, "α itself is the weight, as in the generator's fade. You bend it.", {
    "reals_alpha_squared": lambda x, alpha: plain(ops.upscale2d(ops.downscale2d(x)), x, alpha ** 2),
    "reals_alpha_rooted": lambda x, alpha: plain(ops.upscale2d(ops.downscale2d(x)), x, alpha ** 0.5)})


@fade_reals.alternative
def by_fading_in(x, alpha):
    return ops.fade_in(F.avg_pool2d(x, 2), x, alpha)


@fade_reals.alternative
def by_resizing(x, alpha):
    coarse = F.interpolate(F.interpolate(x, scale_factor=0.5, mode="bilinear"), scale_factor=2, mode="nearest")
    return torch.lerp(coarse, x, alpha)


@fade_reals.alternative
def by_squares(x, alpha):
    n, c, h, w = x.shape
    squares = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return (squares.mean(dim=(3, 5), keepdim=True) * (1 - alpha) + squares * alpha).reshape(n, c, h, w)


@fade_reals.alternative
def by_detail(x, alpha):
    coarse = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
    coarse = torch.stack([coarse, coarse], dim=-1).flatten(-2).repeat_interleave(2, dim=-2)
    return coarse + alpha * (x - coarse)


EXERCISES = (fade_in, fade_reals)
