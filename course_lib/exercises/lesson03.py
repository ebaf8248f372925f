"""Lesson 03, exercises 1 and 2: AdaIN, and the style that it takes."""
import torch
import torch.nn.functional as F

from .. import ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import STYLEGAN, Proof, portraits

# Exercise 1


def styled(what, n, c, size, dtype=torch.float64, x=lambda x: x, style=lambda y: y, **eps):
    """x, style: what becomes of normal maps and styles."""
    seed = 100 * n + 10 * c + size[0]
    scale, bias = (style(normal(n, c, seed=seed + i, dtype=dtype)) for i in (1, 2))
    return Probe(what, {"x": x(normal(n, c, *size, seed=seed, dtype=dtype)), "scale": scale, "bias": bias, **eps})


def one_constant(x):
    return 0.5 + x * torch.tensor([1.0, 0, 2]).view(3, 1, 1).to(x.dtype)


adain = Exercise(
    "03.adain", "adain(x, scale, bias, eps=1e-8)",
    conventions="x is [N, C, H, W]; scale (y_s) and bias (y_b) are [N, C]. Return y_s (x − μ) / √(σ² + ε) + y_b. μ and σ² are the "
                "mean and the variance of one feature map of one sample. The variance is biased: divide by H·W. Gradients must "
                "pass through it.",
    production=ops.adain,
    probes=[styled("three samples of five maps, 4×6", 3, 5, (4, 6)),
            styled("as many samples as maps, rows and columns", 4, 4, (4, 4)),
            styled("float32", 2, 6, (3, 5), torch.float32),
            styled("2×2 maps", 3, 4, (2, 2)),
            styled("maps whose mean is far from 0", 3, 2, (5, 3), x=lambda x: 3 * x + 20),
            styled("one sample of one map", 1, 1, (3, 7)),
            styled("maps of about 0.0001, where ε counts", 3, 5, (6, 4), x=lambda x: 1e-4 * x),
            styled("ε = 0.01", 3, 4, (5, 4), x=lambda x: 0.2 * x, eps=0.01),
            styled("negative scales and biases", 2, 3, (4, 5), style=lambda y: -1 - y.abs()),
            styled("scales and biases of 0", 3, 4, (3, 3), style=lambda y: 0 * y),
            styled("maps one of which is constant, 4×4", 2, 3, (4, 4), x=one_constant)],
    proof=Proof("adain", portraits, model=STYLEGAN),
    hints=("First forget the style: every map of every sample gets mean 0 and deviation 1. Over which two dimensions of "
           "[N, C, H, W] do you average, then?",
           "After x = x − x.mean(dim=(2, 3), keepdim=True) the variance is x.square().mean(dim=(2, 3), keepdim=True). Add eps, "
           "take the root, divide. scale[:, :, None, None] fits onto the maps, and so does the bias."))
mistake = adain.mistake


def on_maps(y):
    return y[:, :, None, None]


def centred(x, dims=(2, 3)):
    return x - x.mean(dim=dims, keepdim=True)


def variance(x, dims=(2, 3), unbiased=False):
    return x.var(dim=dims, keepdim=True, unbiased=unbiased)


def deviation(x, unbiased=False):
    """By torch.std, whose gradient at 0 is not that of a root."""
    return x.std(dim=(2, 3), keepdim=True, unbiased=unbiased)


def over(dims):
    """AdaIN with mean and variance over other dimensions."""
    return lambda x, scale, bias, eps=1e-8: (centred(x, dims) * (variance(x, dims) + eps).rsqrt() * on_maps(scale)
                                             + on_maps(bias))


def divided(by):
    """The right mean, and another divisor: by(x, eps)."""
    return lambda x, scale, bias, eps=1e-8: centred(x) / by(x, eps) * on_maps(scale) + on_maps(bias)


def with_style(style):
    """Normalised as it should be, and then style(normalised, scale, bias)."""
    return lambda x, scale, bias, eps=1e-8: style(centred(x) / (variance(x) + eps).sqrt(), scale, bias)


UNBIASED = "The variance is biased: divide by H·W. torch.var and torch.std divide by H·W − 1 unless you pass unbiased=False."
INSIDE = "ε belongs inside the root: √(σ² + ε). You add it to σ."
BOTH = "ε belongs inside the root: √(σ² + ε). And the variance is biased, but torch.std divides by H·W − 1."
PIXEL_NORM = "Average over the pixels of a map. You average over the maps at one pixel, as pixel norm does."
AT_MAPS = "A style belongs to a feature map, dimension 1: index with [:, :, None, None]. {}."
ONE_STYLE = "Every sample has a style of its own. You use that of the first for all."
for _name, _message, _visible, _function in (
        ("not_divided", "Subtracting μ is half of it: divide by σ too.", True, divided(lambda x, e: 1)),
        ("unbiased", UNBIASED, True, divided(lambda x, e: (variance(x, unbiased=True) + e).sqrt())),
        ("eps_outside", INSIDE, False, divided(lambda x, e: variance(x).sqrt() + e)),
        ("eps_outside_std", INSIDE, False, divided(lambda x, e: deviation(x) + e)),
        ("unbiased_and_eps_outside", BOTH, True, divided(lambda x, e: variance(x, unbiased=True).sqrt() + e)),
        ("unbiased_and_eps_outside_std", BOTH, True, divided(lambda x, e: deviation(x, unbiased=True) + e)),
        ("eps_as_a_limit", "ε is added to the variance. A lower limit, as clamp sets it, is not a sum.", False,
         divided(lambda x, e: variance(x).clamp(min=e).sqrt())),
        ("no_eps", "You leave out ε. A constant map then divides 0 by 0.", False, divided(lambda x, e: deviation(x))),
        ("unbiased_and_no_eps", "You leave out ε, and a constant map divides 0 by 0. And the variance is biased, but torch.std "
         "divides by H·W − 1.", True, divided(lambda x, e: deviation(x, unbiased=True))),
        ("summed", "σ² is a mean over the pixels of a map. You sum.", True,
         divided(lambda x, e: (centred(x).square().sum(dim=(2, 3), keepdim=True) + e).sqrt())),
        ("eps_fixed", "Use the parameter eps. You write a number in its place.", False,
         divided(lambda x, e: (variance(x) + 1e-8).sqrt())),
        ("eps_of_pytorch", "Use the parameter eps. PyTorch's norms add 1e-5 unless you pass eps=eps.", False,
         divided(lambda x, e: (variance(x) + 1e-5).sqrt())),
        ("eps_squared", "ε is added as it is. You square it.", False, divided(lambda x, e: (variance(x) + e ** 2).sqrt())),
        ("no_root", "Divide by the root of the variance. You divide by the variance itself.", True,
         divided(lambda x, e: variance(x) + e)),
        ("multiplied", "Divide by σ. You multiply by it.", True, divided(lambda x, e: (variance(x) + e).rsqrt())),
        ("absolute_deviation", "σ is the root of the mean square. You take the mean of the absolute values.", True,
         divided(lambda x, e: centred(x).abs().mean(dim=(2, 3), keepdim=True) + e)),
        ("not_centred", "Divide x − μ, and not x: the style alone sets the mean of a map.", True,
         lambda x, scale, bias, eps=1e-8: x / (variance(x) + eps).sqrt() * on_maps(scale) + on_maps(bias)),
        ("mean_square", "Subtract μ before you square. You divide x by the root of its mean square.", True,
         lambda x, scale, bias, eps=1e-8: x / (x.square().mean(dim=(2, 3), keepdim=True) + eps).sqrt() * on_maps(scale)
         + on_maps(bias)),
        ("variance_of_x", "The variance is the mean of (x − μ)². You take that of x².", True,
         divided(lambda x, e: (x.square().mean(dim=(2, 3), keepdim=True) + e).sqrt())),
        ("over_the_batch", "Every sample has a mean and a variance of its own. You average over the batch too, as batch norm does.",
         True, over((0, 2, 3))),
        ("over_all_maps", "Every map has a mean and a variance of its own. You average over the maps too, as layer norm does.",
         True, over((1, 2, 3))),
        ("over_everything", "Every map of every sample has a mean and a variance of its own. You average over everything.", True,
         over((0, 1, 2, 3))),
        ("over_the_channels", PIXEL_NORM, True, over((1,))),
        ("pixel_norm", PIXEL_NORM, True,
         lambda x, scale, bias, eps=1e-8: ops.pixel_norm(x, eps) * on_maps(scale) + on_maps(bias)),
        ("over_the_rows", "Average over both H and W. You average over H only.", True, over((2,))),
        ("over_the_columns", "Average over both H and W. You average over W only.", True, over((3,))),
        ("no_style", "You normalise, and leave out the style: multiply by y_s, add y_b.", True,
         with_style(lambda x, s, b: x + 0 * on_maps(s))),
        ("no_scale", "You leave out y_s: multiply the normalised maps by it.", True, with_style(lambda x, s, b: x + on_maps(b))),
        ("no_bias", "You leave out y_b: add it at the end.", True, with_style(lambda x, s, b: x * on_maps(s))),
        ("exchanged", "y_s multiplies and y_b is added. You exchange them.", True,
         with_style(lambda x, s, b: x * on_maps(b) + on_maps(s))),
        ("one_added", "Multiply by y_s, not by 1 + y_s. The 1 is part of y_s already.", True,
         with_style(lambda x, s, b: x * (1 + on_maps(s)) + on_maps(b))),
        ("bias_scaled", "Multiply first, then add y_b. You multiply y_b too.", True,
         with_style(lambda x, s, b: (x + on_maps(b)) * on_maps(s))),
        ("bias_subtracted", "Add y_b. You subtract it.", True, with_style(lambda x, s, b: x * on_maps(s) - on_maps(b))),
        ("scale_divides", "Multiply by y_s. You divide by it.", True, with_style(lambda x, s, b: x / on_maps(s) + on_maps(b))),
        ("absolute_scale", "Use y_s as it is, sign included.", True,
         with_style(lambda x, s, b: x * on_maps(s).abs() + on_maps(b))),
        ("first_style_for_all", ONE_STYLE, True, with_style(lambda x, s, b: x * on_maps(s[:1]) + on_maps(b[:1]))),
        ("mean_style", "Every sample has a style of its own. You average the styles.", True,
         with_style(lambda x, s, b: x * on_maps(s.mean(dim=0, keepdim=True)) + on_maps(b.mean(dim=0, keepdim=True)))),
        ("style_on_the_columns", AT_MAPS.format("Yours lies along W"), True,
         with_style(lambda x, s, b: x * s[:, None, None, :] + b[:, None, None, :])),
        ("style_on_the_pixels", AT_MAPS.format("Without that, N and C fall on H and W"), True,
         with_style(lambda x, s, b: x * s + b)),
        ("mean_kept", "You add μ again. After AdaIN only y_b is left of the mean.", True,
         lambda x, scale, bias, eps=1e-8: centred(x) / (variance(x) + eps).sqrt() * on_maps(scale) + on_maps(bias)
         + x.mean(dim=(2, 3), keepdim=True))):
    _function.__name__ = _name
    mistake(_message, _visible)(_function)


@adain.alternative
def by_instance_norm(x, scale, bias, eps=1e-8):
    return torch.addcmul(on_maps(bias), F.instance_norm(x, eps=eps), on_maps(scale))


@adain.alternative
def by_var_mean(x, scale, bias, eps=1e-8):
    sigma2, mu = torch.var_mean(x, dim=[2, 3], correction=0, keepdim=True)
    return on_maps(scale) * (x - mu) / torch.sqrt(sigma2 + eps) + on_maps(bias)


@adain.alternative
def on_flat_maps(x, scale, bias, eps=1e-8):
    flat = x.flatten(2)
    factor = scale / (flat.var(dim=2, unbiased=False) + eps) ** 0.5
    return (flat * factor[..., None] + (bias - factor * flat.mean(dim=2))[..., None]).view_as(x)


@adain.alternative
def sample_by_sample(x, scale, bias, eps=1e-8):
    rows = [[(m - m.mean()) / (((m - m.mean()) ** 2).mean() + eps).sqrt() * s + b for m, s, b in zip(*sample)]
            for sample in zip(x, scale, bias)]
    return torch.stack([torch.stack(maps) for maps in rows])


# Exercise 2

def affine(what, n, c, dtype=torch.float64, factor=1.0):
    return Probe(what, {"y": factor * normal(n, 2 * c, seed=10 * n + c, dtype=dtype)})


split_style = Exercise(
    "03.split_style", "split_style(y)",
    conventions="y is [N, 2C], the output of a layer's affine map A. Return the tuple (y_s, y_b), each [N, C]: the first half "
                "plus 1, and the second half as it is. Gradients must pass through it.",
    production=ops.split_style, returns="tensors",
    probes=[affine("three samples, five maps", 3, 5),
            affine("four samples, two maps", 4, 2),
            affine("float32", 2, 7, torch.float32),
            affine("one map", 3, 1),
            affine("one sample", 1, 4),
            affine("as many samples as maps", 4, 4),
            affine("zeros, as an untrained A gives them", 3, 3, factor=0.0),
            affine("outputs of about 0.000001", 2, 3, factor=1e-6),
            affine("outputs of about 50", 2, 6, factor=50.0)],
    proof=Proof("split_style", portraits, model=STYLEGAN),
    hints=("The maps lie in dimension 1. Where does the first half end, if y has 2C columns?",
           "y.chunk(2, dim=1) gives both halves; so do y[:, :C] and y[:, C:] with C = y.shape[1] // 2. Add 1 to the first, "
           "without changing y, and return both: `return y_s, y_b`."))
mistake = split_style.mistake


def of_halves(change):
    return lambda y: change(*y.chunk(2, dim=1))


for _name, _message, _function in (
        ("no_one", "Add 1 to the first half: where A gives 0, the maps should stay as they are, and not vanish.",
         of_halves(lambda a, b: (a, b))),
        ("one_added_to_the_bias", "The 1 belongs to y_s, which multiplies. You add it to y_b.",
         of_halves(lambda a, b: (a, b + 1))),
        ("one_added_to_both", "The 1 belongs to y_s alone. You add it to both halves.", of_halves(lambda a, b: (a + 1, b + 1))),
        ("one_subtracted", "Add 1. You subtract it.", of_halves(lambda a, b: (a - 1, b))),
        ("one_minus", "y_s is 1 plus the first half. You take 1 minus it.", of_halves(lambda a, b: (1 - a, b))),
        ("scale_second", "y_s is the first half and y_b the second. You take y_s from the second.",
         of_halves(lambda a, b: (b + 1, a))),
        ("scale_second_and_no_one", "y_s is the first half plus 1, y_b the second. You exchange the halves and leave out the 1.",
         of_halves(lambda a, b: (b, a))),
        ("returned_bias_first", "Return y_s first, then y_b. You return them the other way round.",
         of_halves(lambda a, b: (b, a + 1))),
        ("interleaved", "Cut y into two halves. You take every other column.", lambda y: (y[:, ::2] + 1, y[:, 1::2])),
        ("reshaped", "C stays beside N: y[:, :C] is the first half. Your reshape mixes the samples.",
         lambda y: (y.reshape(2, len(y), -1)[0] + 1, y.reshape(2, len(y), -1)[1])),
        ("samples_split", "The halves lie in dimension 1, the maps. You cut the batch, dimension 0.",
         lambda y: (y[:len(y) // 2] + 1, y[len(y) // 2:])),
        ("first_half_twice", "y_b is the second half. You take the first for both.", of_halves(lambda a, b: (a + 1, a))),
        ("not_cut", "Cut y: y_s and y_b have C columns each. You return all of y, twice.", lambda y: (y + 1, y)),
        ("exponential", "y_s is the first half plus 1. You take its exponential.", of_halves(lambda a, b: (a.exp(), b))),
        ("absolute", "y_s may be negative. Leave out the absolute value.", of_halves(lambda a, b: ((a + 1).abs(), b))),
        ("rectified", "y_s may be negative. Leave out relu and clamp.", of_halves(lambda a, b: ((a + 1).relu(), b)))):
    _function.__name__ = _name
    mistake(_message)(_function)


@split_style.alternative
def by_slices(y):
    c = y.shape[1] // 2
    return 1 + y[:, :c], y[:, c:]


@split_style.alternative
def by_unflatten(y):
    return (y.unflatten(1, (2, -1)) + torch.tensor([[1], [0]], dtype=y.dtype)).unbind(dim=1)


@split_style.alternative
def as_a_list(y):
    scale, bias = torch.tensor_split(y.clone(), 2, dim=-1)
    return [scale + torch.ones_like(scale), bias.clone()]


EXERCISES = (adain, split_style)
