"""Lesson 01: the fade of the generator's image, that of the reals, and the schedule of both."""
import math
from functools import partial
from numbers import Integral

import torch
import torch.nn.functional as F

from ... import ops, portraits
from ...training import schedule
from ..engine import PGGAN, Exercise, ModelCheck, case, curves, draw, latents, wrong
from ..engine.cases import leaves_of

REPEAT = "Enlarge by repeating every pixel, as PGGAN does. You interpolate between the pixels."
TILED = "Repeat every pixel where it stands (repeat_interleave). You repeat the whole image, side by side (repeat)."
bilinear = partial(F.interpolate, scale_factor=2, mode="bilinear")
corners = partial(F.interpolate, scale_factor=2, mode="bilinear", align_corners=True)
bicubic = partial(F.interpolate, scale_factor=2, mode="bicubic")


def tiled(x):
    return x.repeat(1, 1, 2, 2)


def mixture(low, high, alpha):
    return (1 - alpha) * low + alpha * high


# Exercise 1

@torch.no_grad()
def fading(generator):
    """One portrait at four α."""
    z = latents(generator, 1)
    return torch.cat([generator(z, alpha=alpha, impl="reference") for alpha in (0, 0.3, 0.6, 0.9)])


def inputs(n, channels, h, w):
    seed = 100 * n + 10 * h + w
    return {"low": draw(n, channels, h, w, seed=seed), "high": draw(n, channels, 2 * h, 2 * w, seed=seed + 1)}


def enlarged(mix, by=ops.upscale2d):
    """The fade with mix(low, high, alpha) of images of one size."""
    return lambda low, high, alpha: mix(by(low), high, alpha)


def with_alpha(bend):
    return enlarged(lambda low, high, a: mixture(low, high, bend(a)))


def one_of_four(x):
    return ops.upscale2d(x) * torch.tensor([[1, 0], [0, 0]]).to(x).repeat(*x.shape[2:])


def by_difference(low, high, alpha):
    low = low.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return low + alpha * (high - low)


def square_by_square(low, high, alpha):
    n, c, h, w = low.shape
    squares = high.reshape(n, c, h, 2, w, 2)
    return (alpha * squares + (1 - alpha) * low[:, :, :, None, :, None]).reshape(high.shape)


fade_in = Exercise(
    "01.fade_in", "fade_in(low, high, alpha)",
    conventions="low is [N, C, H, W], high is [N, C, 2H, 2W], alpha is a number or a tensor without dimensions, from 0 to 1. "
                "Return (1 − α) · low, enlarged by repeating every pixel, + α · high, as a new tensor [N, C, 2H, 2W]. Gradients "
                "must reach both.",
    hints=("Two images can only be mixed when they have the same size. Which one do you enlarge, and how?",
           "ops.upscale2d(low) repeats every pixel in both directions (so does F.interpolate with scale_factor=2, whose mode is "
           "\"nearest\" unless told otherwise). Then weigh the two with 1 − α and α: torch.lerp(a, b, α) is a + α · (b − a)."),
    production=ops.fade_in, without_gradient=("alpha",),
    model_check=ModelCheck(fading, model=PGGAN, titles=("α = 0", "0.3", "0.6", "0.9")),
    cases=[
        case("three images of three channels, α = 0.3", **inputs(3, 3, 4, 4), alpha=0.3),
        case("images that are wider than high, α = 0.7", **inputs(2, 3, 3, 5), alpha=0.7),
        case("float32, α = 0.3", **inputs(3, 3, 4, 2), alpha=0.3).float(),
        case("α = 0", **inputs(2, 3, 2, 4), alpha=0),
        case("α = 1", **inputs(2, 3, 4, 3), alpha=1),
        case("a single channel", **inputs(3, 1, 4, 6), alpha=0.45),
        case("four channels, α = 0.55", **inputs(1, 4, 3, 3), alpha=0.55),
        case("maps of one pixel and of 2×2", **inputs(3, 3, 1, 1), alpha=0.4),
        case("α as a tensor", **inputs(3, 2, 3, 2), alpha=torch.tensor(0.35, dtype=torch.float64)),
        case("α as a tensor of float32", **inputs(2, 2, 2, 3), alpha=torch.tensor(0.8)).float(),
        case("α = 0.01, near the beginning", **inputs(2, 3, 5, 3), alpha=0.01),
        case("α = 0.99, near the end", **inputs(2, 2, 3, 6), alpha=0.99),
        case("α = 0.3125", **inputs(2, 2, 4, 5), alpha=0.3125),
        case("values far from 0", low=5 + draw(2, 3, 3, 4, seed=234), high=5 + draw(2, 3, 6, 8, seed=235), alpha=0.3),
        case("values of about 0.00001", low=1e-5 * draw(3, 3, 2, 2, seed=322), high=1e-5 * draw(3, 3, 4, 4, seed=323), alpha=0.3)],
    wrong=[
        wrong(REPEAT,
              bilinear_enlarged=enlarged(mixture, bilinear), corners_aligned=enlarged(mixture, corners),
              bicubic_enlarged=enlarged(mixture, bicubic)),
        wrong("The two weights add up to 1: 1 − α for low, α for high.",
              low_stays=enlarged(lambda low, high, a: low + a * high),
              high_at_once=enlarged(lambda low, high, a: (1 - a) * low + high),
              both_at_once=enlarged(lambda low, high, a: low + high + 0 * a),
              both_with_alpha=enlarged(lambda low, high, a: a * low + a * high),
              equal_power=enlarged(lambda low, high, a: math.cos(math.pi / 2 * a) * low + math.sin(math.pi / 2 * a) * high),
              both_with_the_rest=enlarged(lambda low, high, a: (1 - a) * (low + high))),
        wrong("α itself is the weight. You bend it: α grows evenly, and so does the share of the new layers.",
              alpha_squared=with_alpha(lambda a: a ** 2), alpha_rooted=with_alpha(lambda a: a ** 0.5),
              along_a_cosine=with_alpha(lambda a: (1 - math.cos(math.pi * a)) / 2),
              smoothed=with_alpha(lambda a: a * a * (3 - 2 * a))),
        wrong("α = 0 is low alone, α = 1 is high alone. With you it is the other way round.",
              reversed_alpha=enlarged(lambda low, high, a: a * low + (1 - a) * high)),
        wrong("You leave out α: the new layers are there at once, which is what the fade is to avoid.",
              switched_at_once=enlarged(lambda low, high, a: high + 0 * low)),
        wrong("You leave out α: the new layers never appear.",
              never_switched=enlarged(lambda low, high, a: low + 0 * high)),
        wrong("Mix the two by α, evenly. You switch from one to the other.",
              switched_halfway=enlarged(lambda low, high, a: torch.where(torch.as_tensor(a) < 0.5, low, high)),
              switched_when_alpha_moves=enlarged(lambda low, high, a: torch.where(torch.as_tensor(a) == 0, low, high)),
              switched_at_the_end=enlarged(lambda low, high, a: torch.where(torch.as_tensor(a) == 1, high, low))),
        wrong("Use the parameter alpha. You take the mean of both.",
              halves=enlarged(lambda low, high, a: (low + high) / 2)),
        wrong(TILED, tiled_image=enlarged(mixture, tiled)),
        wrong("Every pixel of low fills a square of four. You fill one of the four and leave the others at 0.",
              one_pixel_of_four=enlarged(mixture, one_of_four),
              one_of_four_times_four=enlarged(mixture, lambda x: 4 * one_of_four(x))),
        wrong("The result has the size of high. You bring high down to the size of low.",
              brought_down=lambda low, high, alpha: mixture(low, ops.downscale2d(high), alpha),
              thinned_out=lambda low, high, alpha: mixture(low, high[:, :, ::2, ::2], alpha)),
        wrong("Do not clamp: this is still inside the network, and where you cut off no gradient passes.", visible=False,
              clamped=enlarged(lambda low, high, a: mixture(low, high, a).clamp(-1, 1))),
        wrong("No tanh: PGGAN's RGB is linear.",
              bent_by_tanh=enlarged(lambda low, high, a: mixture(low, high, a).tanh())),
        wrong("A weighted mean is all: do not divide by the root of the squared weights.",
              deviation_kept=enlarged(lambda low, high, a: mixture(low, high, a) / (a ** 2 + (1 - a) ** 2) ** 0.5)),
        wrong("The old layers go on learning during the fade, so the gradient must reach low too. You cut it off.", visible=False,
              low_detached=enlarged(lambda low, high, a: mixture(low.detach(), high, a))),
        wrong("The new layers learn during the fade, so the gradient must reach high too. You cut it off.", visible=False,
              high_detached=enlarged(lambda low, high, a: mixture(low, high.detach(), a)))],
    alternatives=[
        lambda low, high, alpha: torch.lerp(F.interpolate(low, scale_factor=2), high, alpha),
        by_difference,
        lambda low, high, alpha: (1 - alpha) * torch.kron(low, torch.ones(2, 2, dtype=low.dtype)) + alpha * high,
        square_by_square])


# Exercise 2

@torch.no_grad()
def portraits_fading(network):
    """One portrait of the dataset at five α."""
    x = portraits.render(portraits.sample_attributes(1, seed=5), 32)
    return torch.cat([ops.fade_reals(x, alpha) for alpha in (0, 0.25, 0.5, 0.75, 1)])


def means(x):
    """Every square of 2×2 pixels holds its mean."""
    return ops.upscale2d(ops.downscale2d(x))


def from_coarse(coarse):
    """The fade from coarse(x), of the size of x, to x."""
    return lambda x, alpha: mixture(coarse(x), x, alpha)


def from_small(down, up=ops.upscale2d):
    return from_coarse(lambda x: up(down(x)))


def blurred(x):
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def squares_of_four(x):
    return F.adaptive_avg_pool2d(x, 1) if min(x.shape[2:]) < 4 else F.interpolate(F.avg_pool2d(x, 4), size=x.shape[2:])


def by_resizing(x, alpha):
    coarse = F.interpolate(F.interpolate(x, scale_factor=0.5, mode="bilinear"), scale_factor=2, mode="nearest")
    return torch.lerp(coarse, x, alpha)


def by_squares(x, alpha):
    n, c, h, w = x.shape
    squares = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return (squares.mean(dim=(3, 5), keepdim=True) * (1 - alpha) + squares * alpha).reshape(n, c, h, w)


def by_detail(x, alpha):
    coarse = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
    coarse = torch.stack([coarse, coarse], dim=-1).flatten(-2).repeat_interleave(2, dim=-2)
    return coarse + alpha * (x - coarse)


fade_reals = Exercise(
    "01.fade_reals", "fade_reals(x, alpha)",
    conventions="x is [N, C, H, W] with even H and W, alpha is a number or a tensor without dimensions, from 0 to 1. At α = 0 "
                "every square of 2×2 pixels holds its mean, at α = 1 the image is x, and in between the two are mixed evenly. "
                "Return a new tensor of the shape of x. No gradient is asked for: reals are data.",
    hints=("What does the critic of half the resolution know of a real? That, at full size, is where the fade begins.",
           "ops.downscale2d(x) gives the means of all 2×2 squares at half the size. Your fade_in takes it from there: what is low, "
           "and what is high?"),
    production=ops.fade_reals, without_gradient=("x", "alpha"),
    model_check=ModelCheck(portraits_fading, model=None, who="The experiment", what="shows the same portraits",
                           titles=("α = 0", "0.25", "0.5", "0.75", "1")),
    cases=[
        case("three images of three channels, α = 0.3", x=draw(3, 3, 8, 8, seed=388), alpha=0.3),
        case("images that are wider than high, α = 0.7", x=draw(2, 3, 6, 10, seed=270), alpha=0.7),
        case("float32, α = 0.3", x=draw(3, 3, 8, 4, seed=384), alpha=0.3).float(),
        case("α = 0", x=draw(2, 3, 4, 8, seed=248), alpha=0),
        case("α = 1", x=draw(2, 3, 8, 6, seed=286), alpha=1),
        case("a single channel", x=draw(3, 1, 8, 12, seed=392), alpha=0.45),
        case("four channels, α = 0.55", x=draw(1, 4, 6, 6, seed=166), alpha=0.55),
        case("α = 0.01, near the beginning", x=draw(2, 3, 6, 8, seed=268), alpha=0.01),
        case("α = 0.99, near the end", x=draw(2, 2, 4, 10, seed=250), alpha=0.99),
        case("α = 0.3125", x=draw(2, 2, 8, 4, seed=284), alpha=0.3125),
        case("images of 2×2", x=draw(3, 3, 2, 2, seed=322), alpha=0.4),
        case("α as a tensor", x=draw(3, 2, 6, 4, seed=364), alpha=torch.tensor(0.35, dtype=torch.float64)),
        case("α as a tensor of float32", x=draw(2, 2, 4, 6, seed=246), alpha=torch.tensor(0.8)).float(),
        case("images of one colour", x=draw(2, 3, 1, 1, seed=4).repeat(1, 1, 4, 4), alpha=0.3),
        case("values of about 0.00001", x=1e-5 * draw(3, 3, 4, 4, seed=344), alpha=0.3)],
    wrong=[
        wrong("α = 0 is the coarse image, α = 1 is x. With you it is the other way round.",
              reals_reversed=lambda x, alpha: mixture(x, means(x), alpha)),
        wrong("Every square holds the mean of its four pixels. You take something else of them.",
              every_second_pixel=from_small(lambda x: x[:, :, ::2, ::2]),
              the_other_pixels=from_small(lambda x: x[:, :, 1::2, 1::2]),
              largest_of_four=from_small(lambda x: F.max_pool2d(x, 2)),
              sum_of_four=from_small(lambda x: 4 * ops.downscale2d(x)),
              median_of_four=from_small(lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2).median(dim=-1).values),
              shrunk_with_a_filter=from_small(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)),
              bicubic_shrunk=from_small(lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic"))),
        wrong(REPEAT,
              means_interpolated=from_small(ops.downscale2d, bilinear),
              means_interpolated_to_the_corners=from_small(ops.downscale2d, corners),
              means_bicubic=from_small(ops.downscale2d, bicubic)),
        wrong("Use the means of 2×2 squares. You blur: the means of the places around every pixel.",
              blurred=from_coarse(blurred),
              blurred_with_zeros=from_coarse(lambda x: F.avg_pool2d(x, 3, stride=1, padding=1))),
        wrong("The coarse image is one step below: 2×2 squares, whatever the resolution. Yours is coarser.",
              one_colour_for_all=from_coarse(lambda x: x.mean(dim=(2, 3), keepdim=True)), fours=from_coarse(squares_of_four)),
        wrong("Fade from the coarse image to x. You fade from grey.", from_grey=lambda x, alpha: alpha * x),
        wrong("You leave out α: the reals are sharp from the start.", sharp=lambda x, alpha: x + 0 * alpha),
        wrong("You leave out α: the reals stay coarse.", coarse=lambda x, alpha: means(x)),
        wrong("Use the parameter alpha. You take the mean of both.", reals_halved=lambda x, alpha: mixture(means(x), x, 0.5)),
        wrong("The two weights add up to 1: 1 − α for the coarse image, α for x.",
              coarse_stays=lambda x, alpha: means(x) + alpha * x,
              sharp_at_once=lambda x, alpha: (1 - alpha) * means(x) + x),
        wrong("α multiplies what x has beyond the coarse image, and that is added to the *coarse* image. You add it to x.",
              detail_added_to_x=lambda x, alpha: x + alpha * (x - means(x))),
        wrong("α multiplies what x has beyond the coarse image. You return that part alone.",
              detail_alone=lambda x, alpha: alpha * (x - means(x))),
        wrong(TILED, means_tiled=from_small(ops.downscale2d, tiled)),
        wrong("The result has the size of x. Enlarge the coarse image before you mix.",
              half_the_size=lambda x, alpha: mixture(ops.downscale2d(x), x[:, :, ::2, ::2], alpha),
              means_only=lambda x, alpha: ops.downscale2d(x) + 0 * alpha),
        wrong("α itself is the weight, as in the generator's fade. You bend it.",
              reals_alpha_squared=lambda x, alpha: mixture(means(x), x, alpha ** 2),
              reals_alpha_rooted=lambda x, alpha: mixture(means(x), x, alpha ** 0.5))],
    alternatives=[lambda x, alpha: ops.fade_in(F.avg_pool2d(x, 2), x, alpha), by_resizing, by_squares, by_detail])


# Exercise 3

THOUSANDS = [10 * i + 5 for i in range(125)]


def plan(network):
    """The resolution by the last one, and α, from 8 to 64 px: 200 thousand images stable, 100 thousand of fade."""
    found = [schedule.growing(1000 * images, 64, 8, 200_000, 100_000) for images in THOUSANDS]
    return torch.tensor([[float(resolution) / 64, float(alpha)] for resolution, alpha in found], dtype=torch.float64).T


def after(images, resolution=1024, **options):
    said = "".join(f", {name} = {value:,}" for name, value in options.items())
    return case(f"{images:,} images, resolution = {resolution}{said}", images=images, resolution=resolution, **options)


def float_resolution(answer):
    """Whether a resolution is no integer; all else about the answer is right."""
    for example in growing.cases:
        resolution, _ = leaves_of(growing.as_declared(answer)(**example.inputs))
        if not isinstance(resolution, Integral):
            return "float resolution", (f"Right but for a type: the resolution is {resolution!r}, for: {example.what}. Pixels are "
                                        "counted in integers, and `start * 2 ** n` is one if n comes from // or divmod.")


def by_rule(length=lambda stable, fade: stable + fade, size=lambda start, grown: start * 2 ** grown,
            share=lambda within, stable, fade: (within - stable) / fade, during=1, calm=1.0, last=True, ahead=0):
    """growing with another length of a pair, resolution, or α: `during` how many doublings ahead a fade shows, `calm` the α of
    stable phases, `last` whether growth ends, `ahead` how many doublings early."""
    def rule(images, resolution, start=4, stable=600_000, fade=600_000):
        grown, within = divmod(images, length(stable, fade))
        if last and size(start, grown + ahead) >= resolution:
            return resolution, 1.0
        if within > stable:
            return size(start, grown + during), share(within, stable, fade)
        return size(start, grown), calm
    return rule


right = by_rule()


def with_share(bend):
    return by_rule(share=lambda within, stable, fade: bend((within - stable) / fade))


def then(change, rule=right):
    """What change(resolution, α, last resolution, start) makes of the two numbers."""
    def changed(images, resolution, start=4, stable=600_000, fade=600_000):
        return change(*rule(images, resolution, start, stable, fade), resolution, start)
    return changed


def fade_first(images, resolution, start=4, stable=600_000, fade=600_000):
    size, alpha = always_fading(images, 2 * resolution, start, stable, fade)
    return (size, alpha) if size <= resolution else (resolution, 1.0)


def always_fading(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = divmod(images, stable + fade)
    return min(start * 2 ** grown, resolution), min(within / fade, 1.0) if fade else 1.0


def ends_late(images, resolution, start=4, stable=600_000, fade=600_000):
    size, alpha = right(images, 2 * resolution, start, stable, fade)
    return (size, alpha) if start * 2 ** (images // (stable + fade)) <= resolution else (resolution, 1.0)


def fade_of_nothing(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = divmod(images, stable + fade)
    alpha = min(max((within - stable) / fade, 0.0), 1.0)
    if start << grown >= resolution:
        return resolution, 1.0
    return (start << grown + 1, alpha) if within > stable else (start << grown, 1.0)


def phase_by_phase(images, resolution, start=4, stable=600_000, fade=600_000):
    while start < resolution:
        if images < stable:
            return start, 1.0
        images -= stable
        start *= 2
        if images < fade:
            return start, images / fade
        images -= fade
    return resolution, 1.0


def by_level(images, resolution, start=4, stable=600_000, fade=600_000):
    """The official code: one number, lod, for both."""
    grown = images // (stable + fade)
    level = grown + (max(images - grown * (stable + fade) - stable, 0) / fade if fade else 0)
    lod = max(resolution.bit_length() - start.bit_length() - level, 0.0)
    return resolution // 2 ** int(lod), 1 - lod % 1


def in_a_list(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = images // (stable + fade), images % (stable + fade)
    if start * 2 ** grown >= resolution:
        return [resolution, 1]
    return [start * 2 ** grown, 1] if within <= stable else [start * 2 ** (grown + 1), (within - stable) / fade]


growing = Exercise(
    "01.growing", "growing(images, resolution, start=4, stable=600_000, fade=600_000)",
    conventions="Return (resolution, α) after `images` images, as Python numbers, the resolution an integer. Every resolution, "
                "from `start` up, trains for `stable` images at α = 1; then the doubled one fades in over `fade` images, with α "
                "from 0 to 1 in a straight line, and trains for `stable` images. The last is `resolution`: there α stays 1. While "
                "the new resolution fades in, it is the one to return. At the very image where a fade begins, the old resolution "
                "with α = 1 and the new with α = 0 are the same, and both are right. `fade` may be 0: then the next resolution is "
                "switched on at once.",
    hints=("A stable phase and the fade after it belong together. How many of these pairs are behind you, and how many images into "
           "the present pair are you?",
           "grown, within = divmod(images, stable + fade). The resolution was doubled `grown` times: start * 2 ** grown. If that "
           "is `resolution` or more, you are at the end. Otherwise, within > stable says that the next one is fading in, and "
           "(within - stable) / fade is its α."),
    production=schedule.growing, returns="numbers", inspect=float_resolution,
    model_check=ModelCheck(plan, model=None, who="The plot", what="shows the same curves",
                           plot=curves(THOUSANDS, "thousand images", "", ("resolution / 64", "α"))),
    cases=[
        *(after(images) for images in (0, 300_000, 750_000, 900_000, 1_130_000, 1_200_000, 1_500_000, 603_000, 1_197_000,
                                       2_175_000, 4_300_000, 8_700_000, 9_450_000, 20_000_000)),
        *(after(images, 64, stable=40_000, fade=20_000) for images in (55_000, 275_000, 290_000)),
        *(after(images, 64, stable=20_000, fade=50_000) for images in (165_000, 190_000)),
        *(after(images, 256, start=32, stable=100, fade=80) for images in (101, 230, 500, 539, 650)),
        *(after(images, 16, start=16, stable=50, fade=40) for images in (300, 75)),
        *(after(images, 32, stable=80, fade=0) for images in (79, 81, 200, 900))],
    wrong=[
        wrong("While the new resolution fades in, return the new one: its layers already run.",
              old_resolution_in_the_fade=by_rule(during=0)),
        wrong("After `stable` images the next resolution fades in, with α between 0 and 1. Yours never does.",
              never_fades=by_rule(share=lambda *_: 1.0, during=0)),
        wrong("α goes from 0 to 1: it is the weight of the new resolution. Yours falls.", alpha_falls=with_share(lambda a: 1 - a)),
        wrong("α is the share of the fade that is over: (images since the fade began) / fade.",
              stable_not_subtracted=by_rule(share=lambda within, stable, fade: within / fade),
              stable_not_subtracted_but_cut=by_rule(share=lambda within, stable, fade: min(within / fade, 1.0)),
              share_of_the_pair=by_rule(share=lambda within, stable, fade: within / (stable + fade)),
              share_of_the_pair_after_stable=by_rule(share=lambda within, stable, fade: (within - stable) / (stable + fade)),
              divided_by_stable=by_rule(share=lambda within, stable, fade: (within - stable) / stable),
              images_of_the_fade=by_rule(share=lambda within, stable, fade: within - stable)),
        wrong("α goes from 0 to 1. Yours is in percent.", in_percent=with_share(lambda a: 100 * a)),
        wrong("Divide with /. // drops the fraction, and α stays 0.",
              whole_numbers=by_rule(share=lambda within, stable, fade: (within - stable) // fade)),
        wrong("Between 0 and 1 α grows in a straight line. Yours is 1 at once.", switched=by_rule(share=lambda *_: 1.0)),
        wrong("α grows in a straight line. You bend it.",
              smoothed=with_share(lambda a: a * a * (3 - 2 * a)), squared=with_share(lambda a: a ** 2)),
        wrong("In a stable phase the newest layers count in full: α is 1 there.", calm_alpha_zero=by_rule(calm=0.0)),
        wrong("A resolution first fades in, except the first: there is nothing to fade in from. `start` trains for `stable` "
              "images at α = 1.", fade_first, always_fading),
        wrong("Growth ends at `resolution`, and α stays 1 there.",
              ends_late,
              grows_for_ever=by_rule(last=False),
              last_fades_for_ever=then(lambda size, alpha, last, start: (min(size, last), alpha), by_rule(last=False))),
        wrong("images, stable and fade all count single images. You divide one of them by 1,000.",
              in_thousands=lambda images, resolution, start=4, stable=600_000, fade=600_000: right(
                  images / 1000, resolution, start, stable, fade)),
        wrong("The next fade begins after stable + fade images: each fade lies between two stable phases.",
              pairs_of_stable=by_rule(length=lambda stable, fade: stable),
              pairs_of_two_stables=by_rule(length=lambda stable, fade: 2 * stable + fade)),
        wrong("The last resolution fades in like the others. Yours is there a stage early, without a fade.",
              last_without_fade=by_rule(ahead=1)),
        wrong("Every step doubles the resolution. You add.", added=by_rule(size=lambda start, grown: start + start * grown)),
        wrong("Every step doubles the resolution. You multiply by `start`.",
              to_the_power=by_rule(size=lambda start, grown: start ** (grown + 1))),
        wrong("Use the parameters stable and fade. You write numbers in their place.",
              constants=lambda images, resolution, start=4, stable=600_000, fade=600_000: right(images, resolution, start)),
        wrong("Use the parameter start. You begin at 4.",
              fixed_start=lambda images, resolution, start=4, stable=600_000, fade=600_000: right(
                  images, resolution, stable=stable, fade=fade)),
        wrong("Return (resolution, α), in this order.", exchanged=then(lambda size, alpha, last, start: (alpha, size))),
        wrong("Return both numbers: (resolution, α).",
              alpha_only=then(lambda size, alpha, last, start: alpha),
              resolution_only=then(lambda size, alpha, last, start: size)),
        wrong("Return the resolution in pixels. You return how often it was doubled.",
              stages_and_alpha=then(lambda size, alpha, last, start: (size.bit_length() - start.bit_length(), alpha))),
        wrong("Return the resolution in pixels. You return its exponent.",
              exponent_and_alpha=then(lambda size, alpha, last, start: (size.bit_length() - 1, alpha))),
        wrong("α grows from 0 to 1, all the way. You keep it away from the ends.", visible=False,
              limited=with_share(lambda a: min(max(a, 0.05), 0.95))),
        wrong("With fade = 0 the next resolution is switched on at once. You divide by 0 there.", fade_of_nothing, visible=False)],
    alternatives=[phase_by_phase, by_level, in_a_list])

EXERCISES = (fade_in, fade_reals, growing)
