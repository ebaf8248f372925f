"""Lesson 03: AdaIN and the style that it takes, style mixing, and the mean that truncation needs."""
import copy

import torch
import torch.nn.functional as F

from ... import ops
from ..engine import STYLEGAN, Exercise, ModelCheck, case, draw, four_portraits, latents, wrong

# Exercise 1


def inputs(n, c, h, w):
    seed = 100 * n + 10 * c + h
    return {"x": draw(n, c, h, w, seed=seed), "scale": draw(n, c, seed=seed + 1), "bias": draw(n, c, seed=seed + 2)}


def on_maps(y):
    return y[:, :, None, None]


def centred(x, dim=(2, 3)):
    return x - x.mean(dim=dim, keepdim=True)


def variance(x, dim=(2, 3), unbiased=False):
    return x.var(dim=dim, keepdim=True, unbiased=unbiased)


def deviation(x, unbiased=False):
    """By torch.std, whose gradient at 0 is not that of a root."""
    return x.std(dim=(2, 3), keepdim=True, unbiased=unbiased)


def mean_square(x):
    return x.square().mean(dim=(2, 3), keepdim=True)


def styled(normalised):
    """AdaIN with normalised(x, eps)."""
    return lambda x, scale, bias, eps=1e-8: normalised(x, eps) * on_maps(scale) + on_maps(bias)


def over(dim):
    return styled(lambda x, eps: centred(x, dim) * (variance(x, dim) + eps).rsqrt())


def divided(by):
    """The right mean, and another divisor: by(x, eps)."""
    return styled(lambda x, eps: centred(x) / by(x, eps))


def with_style(style):
    """Normalised as it should be, and then style(normalised, scale, bias)."""
    return lambda x, scale, bias, eps=1e-8: style(centred(x) / (variance(x) + eps).sqrt(), scale, bias)


def by_instance_norm(x, scale, bias, eps=1e-8):
    return torch.addcmul(on_maps(bias), F.instance_norm(x, eps=eps), on_maps(scale))


def by_var_mean(x, scale, bias, eps=1e-8):
    sigma2, mu = torch.var_mean(x, dim=[2, 3], correction=0, keepdim=True)
    return on_maps(scale) * (x - mu) / torch.sqrt(sigma2 + eps) + on_maps(bias)


def on_flat_maps(x, scale, bias, eps=1e-8):
    flat = x.flatten(2)
    factor = scale / (flat.var(dim=2, unbiased=False) + eps) ** 0.5
    return (flat * factor[..., None] + (bias - factor * flat.mean(dim=2))[..., None]).view_as(x)


def sample_by_sample(x, scale, bias, eps=1e-8):
    rows = [[(m - m.mean()) / (((m - m.mean()) ** 2).mean() + eps).sqrt() * s + b for m, s, b in zip(*sample)]
            for sample in zip(x, scale, bias)]
    return torch.stack([torch.stack(maps) for maps in rows])


adain = Exercise(
    "03.adain", "adain(x, scale, bias, eps=1e-8)",
    conventions="x is [N, C, H, W]; scale (y_s) and bias (y_b) are [N, C]. Return y_s (x − μ) / √(σ² + ε) + y_b. μ and σ² are the "
                "mean and the variance of one feature map of one sample. The variance is biased: divide by H·W. Gradients must "
                "pass through it.",
    hints=("First forget the style: every map of every sample gets mean 0 and deviation 1. Over which two dimensions of "
           "[N, C, H, W] do you average, then?",
           "After x = x − x.mean(dim=(2, 3), keepdim=True) the variance is x.square().mean(dim=(2, 3), keepdim=True). Add eps, "
           "take the root, divide. scale[:, :, None, None] fits onto the maps, and so does the bias."),
    production=ops.adain,
    model_check=ModelCheck(four_portraits, model=STYLEGAN),
    cases=[
        case("three samples of five maps, 4×6", **inputs(3, 5, 4, 6)),
        case("as many samples as maps, rows and columns", **inputs(4, 4, 4, 4)),
        case("float32", **inputs(2, 6, 3, 5)).float(),
        case("2×2 maps", **inputs(3, 4, 2, 2)),
        case("maps whose mean is far from 0", **inputs(3, 2, 5, 3) | {"x": 3 * draw(3, 2, 5, 3, seed=325) + 20}),
        case("one sample of one map", **inputs(1, 1, 3, 7)),
        case("maps of about 0.0001, where ε counts", **inputs(3, 5, 6, 4) | {"x": 1e-4 * draw(3, 5, 6, 4, seed=356)}),
        case("ε = 0.01", **inputs(3, 4, 5, 4) | {"x": 0.2 * draw(3, 4, 5, 4, seed=345)}, eps=0.01),
        case("negative scales and biases",
             x=draw(2, 3, 4, 5, seed=234), scale=-1 - draw(2, 3, seed=235).abs(), bias=-1 - draw(2, 3, seed=236).abs()),
        case("scales and biases of 0",
             x=draw(3, 4, 3, 3, seed=343), scale=0 * draw(3, 4, seed=344), bias=0 * draw(3, 4, seed=345)),
        case("maps one of which is constant, 4×4",
             **inputs(2, 3, 4, 4) | {"x": 0.5 + draw(2, 3, 4, 4, seed=234) * torch.tensor([1, 0, 2]).view(3, 1, 1)})],
    wrong=[
        wrong("Subtracting μ is half of it: divide by σ too.", not_divided=divided(lambda x, eps: 1)),
        wrong("The variance is biased: divide by H·W. torch.var and torch.std divide by H·W − 1 unless you pass unbiased=False.",
              unbiased=divided(lambda x, eps: (variance(x, unbiased=True) + eps).sqrt())),
        wrong("ε belongs inside the root: √(σ² + ε). You add it to σ.", visible=False,
              eps_outside=divided(lambda x, eps: variance(x).sqrt() + eps),
              eps_outside_std=divided(lambda x, eps: deviation(x) + eps)),
        wrong("ε belongs inside the root: √(σ² + ε). And the variance is biased, but torch.std divides by H·W − 1.",
              unbiased_and_eps_outside=divided(lambda x, eps: variance(x, unbiased=True).sqrt() + eps),
              unbiased_and_eps_outside_std=divided(lambda x, eps: deviation(x, unbiased=True) + eps)),
        wrong("ε is added to the variance. A lower limit, as clamp sets it, is not a sum.", visible=False,
              eps_as_a_limit=divided(lambda x, eps: variance(x).clamp(min=eps).sqrt())),
        wrong("You leave out ε. A constant map then divides 0 by 0.", visible=False,
              no_eps=divided(lambda x, eps: deviation(x))),
        wrong("You leave out ε, and a constant map divides 0 by 0. And the variance is biased, but torch.std divides by H·W − 1.",
              unbiased_and_no_eps=divided(lambda x, eps: deviation(x, unbiased=True))),
        wrong("σ² is a mean over the pixels of a map. You sum.",
              summed=divided(lambda x, eps: (centred(x).square().sum(dim=(2, 3), keepdim=True) + eps).sqrt())),
        wrong("Use the parameter eps. You write a number in its place.", visible=False,
              eps_fixed=divided(lambda x, eps: (variance(x) + 1e-8).sqrt())),
        wrong("Use the parameter eps. PyTorch's norms add 1e-5 unless you pass eps=eps.", visible=False,
              eps_of_pytorch=divided(lambda x, eps: (variance(x) + 1e-5).sqrt())),
        wrong("ε is added as it is. You square it.", visible=False,
              eps_squared=divided(lambda x, eps: (variance(x) + eps ** 2).sqrt())),
        wrong("Divide by the root of the variance. You divide by the variance itself.",
              no_root=divided(lambda x, eps: variance(x) + eps)),
        wrong("Divide by σ. You multiply by it.", multiplied=divided(lambda x, eps: (variance(x) + eps).rsqrt())),
        wrong("σ is the root of the mean square. You take the mean of the absolute values.",
              absolute_deviation=divided(lambda x, eps: centred(x).abs().mean(dim=(2, 3), keepdim=True) + eps)),
        wrong("Divide x − μ, and not x: the style alone sets the mean of a map.",
              not_centred=styled(lambda x, eps: x / (variance(x) + eps).sqrt())),
        wrong("Subtract μ before you square. You divide x by the root of its mean square.",
              mean_square=styled(lambda x, eps: x / (mean_square(x) + eps).sqrt())),
        wrong("The variance is the mean of (x − μ)². You take that of x².",
              variance_of_x=divided(lambda x, eps: (mean_square(x) + eps).sqrt())),
        wrong("Every sample has a mean and a variance of its own. You average over the batch too, as batch norm does.",
              over_the_batch=over((0, 2, 3))),
        wrong("Every map has a mean and a variance of its own. You average over the maps too, as layer norm does.",
              over_all_maps=over((1, 2, 3))),
        wrong("Every map of every sample has a mean and a variance of its own. You average over everything.",
              over_everything=over((0, 1, 2, 3))),
        wrong("Average over the pixels of a map. You average over the maps at one pixel, as pixel norm does.",
              over_the_channels=over(1), pixel_norm=styled(ops.pixel_norm)),
        wrong("Average over both H and W. You average over H only.", over_the_rows=over(2)),
        wrong("Average over both H and W. You average over W only.", over_the_columns=over(3)),
        wrong("You normalise, and leave out the style: multiply by y_s, add y_b.",
              no_style=with_style(lambda x, scale, bias: x + 0 * on_maps(scale))),
        wrong("You leave out y_s: multiply the normalised maps by it.",
              no_scale=with_style(lambda x, scale, bias: x + on_maps(bias))),
        wrong("You leave out y_b: add it at the end.", no_bias=with_style(lambda x, scale, bias: x * on_maps(scale))),
        wrong("y_s multiplies and y_b is added. You exchange them.",
              exchanged=with_style(lambda x, scale, bias: x * on_maps(bias) + on_maps(scale))),
        wrong("Multiply by y_s, not by 1 + y_s. The 1 is part of y_s already.",
              one_added=with_style(lambda x, scale, bias: x * (1 + on_maps(scale)) + on_maps(bias))),
        wrong("Multiply first, then add y_b. You multiply y_b too.",
              bias_scaled=with_style(lambda x, scale, bias: (x + on_maps(bias)) * on_maps(scale))),
        wrong("Add y_b. You subtract it.",
              bias_subtracted=with_style(lambda x, scale, bias: x * on_maps(scale) - on_maps(bias))),
        wrong("Multiply by y_s. You divide by it.",
              scale_divides=with_style(lambda x, scale, bias: x / on_maps(scale) + on_maps(bias))),
        wrong("Use y_s as it is, sign included.",
              absolute_scale=with_style(lambda x, scale, bias: x * on_maps(scale).abs() + on_maps(bias))),
        wrong("Every sample has a style of its own. You use that of the first for all.",
              first_style_for_all=with_style(lambda x, scale, bias: x * on_maps(scale[:1]) + on_maps(bias[:1]))),
        wrong("Every sample has a style of its own. You average the styles.",
              mean_style=with_style(lambda x, scale, bias: (
                  x * on_maps(scale.mean(dim=0, keepdim=True)) + on_maps(bias.mean(dim=0, keepdim=True))))),
        wrong("A style belongs to a feature map, dimension 1: index with [:, :, None, None]. Yours lies along W.",
              style_on_the_columns=with_style(lambda x, scale, bias: x * scale[:, None, None, :] + bias[:, None, None, :])),
        wrong("A style belongs to a feature map, dimension 1: index with [:, :, None, None]. Without that, N and C fall on H and "
              "W.",
              style_on_the_pixels=with_style(lambda x, scale, bias: x * scale + bias)),
        wrong("You add μ again. After AdaIN only y_b is left of the mean.",
              mean_kept=lambda x, scale, bias, eps=1e-8: (
                  centred(x) / (variance(x) + eps).sqrt() * on_maps(scale) + on_maps(bias) + x.mean(dim=(2, 3), keepdim=True)))],
    alternatives=[by_instance_norm, by_var_mean, on_flat_maps, sample_by_sample])


# Exercise 2

def of_halves(change):
    return lambda y: change(*y.chunk(2, dim=1))


def by_slices(y):
    c = y.shape[1] // 2
    return 1 + y[:, :c], y[:, c:]


def as_a_list(y):
    scale, bias = torch.tensor_split(y.clone(), 2, dim=-1)
    return [scale + torch.ones_like(scale), bias.clone()]


split_style = Exercise(
    "03.split_style", "split_style(y)",
    conventions="y is [N, 2C], the output of a layer's affine map A. Return the tuple (y_s, y_b), each [N, C]: the first half "
                "plus 1, and the second half as it is. Gradients must pass through it.",
    hints=("The maps lie in dimension 1. Where does the first half end, if y has 2C columns?",
           "y.chunk(2, dim=1) gives both halves; so do y[:, :C] and y[:, C:] with C = y.shape[1] // 2. Add 1 to the first, "
           "without changing y, and return both: `return y_s, y_b`."),
    production=ops.split_style, returns="tensors",
    model_check=ModelCheck(four_portraits, model=STYLEGAN),
    cases=[
        case("three samples, five maps", y=draw(3, 10, seed=35)),
        case("four samples, two maps", y=draw(4, 4, seed=42)),
        case("float32", y=draw(2, 14, seed=27)).float(),
        case("one map", y=draw(3, 2, seed=31)),
        case("one sample", y=draw(1, 8, seed=14)),
        case("as many samples as maps", y=draw(4, 8, seed=44)),
        case("zeros, as an untrained A gives them", y=0 * draw(3, 6, seed=33)),
        case("outputs of about 0.000001", y=1e-6 * draw(2, 6, seed=23)),
        case("outputs of about 50", y=50 * draw(2, 12, seed=26))],
    wrong=[
        wrong("Add 1 to the first half: where A gives 0, the maps should stay as they are, and not vanish.",
              no_one=of_halves(lambda a, b: (a, b))),
        wrong("The 1 belongs to y_s, which multiplies. You add it to y_b.",
              one_added_to_the_bias=of_halves(lambda a, b: (a, b + 1))),
        wrong("The 1 belongs to y_s alone. You add it to both halves.", one_added_to_both=of_halves(lambda a, b: (a + 1, b + 1))),
        wrong("Add 1. You subtract it.", one_subtracted=of_halves(lambda a, b: (a - 1, b))),
        wrong("y_s is 1 plus the first half. You take 1 minus it.", one_minus=of_halves(lambda a, b: (1 - a, b))),
        wrong("y_s is the first half and y_b the second. You take y_s from the second.",
              scale_second=of_halves(lambda a, b: (b + 1, a))),
        wrong("y_s is the first half plus 1, y_b the second. You exchange the halves and leave out the 1.",
              scale_second_and_no_one=of_halves(lambda a, b: (b, a))),
        wrong("Return y_s first, then y_b. You return them the other way round.",
              returned_bias_first=of_halves(lambda a, b: (b, a + 1))),
        wrong("Cut y into two halves. You take every other column.", interleaved=lambda y: (y[:, ::2] + 1, y[:, 1::2])),
        wrong("C stays beside N: y[:, :C] is the first half. Your reshape mixes the samples.",
              reshaped=lambda y: (y.reshape(2, len(y), -1)[0] + 1, y.reshape(2, len(y), -1)[1])),
        wrong("The halves lie in dimension 1, the maps. You cut the batch, dimension 0.",
              samples_split=lambda y: (y[:len(y) // 2] + 1, y[len(y) // 2:])),
        wrong("y_b is the second half. You take the first for both.", first_half_twice=of_halves(lambda a, b: (a + 1, a))),
        wrong("Cut y: y_s and y_b have C columns each. You return all of y, twice.", not_cut=lambda y: (y + 1, y)),
        wrong("y_s is the first half plus 1. You take its exponential.", exponential=of_halves(lambda a, b: (a.exp(), b))),
        wrong("y_s may be negative. Leave out the absolute value.", absolute=of_halves(lambda a, b: ((a + 1).abs(), b))),
        wrong("y_s may be negative. Leave out relu and clamp.", rectified=of_halves(lambda a, b: ((a + 1).relu(), b)))],
    alternatives=[
        by_slices,
        lambda y: (y.unflatten(1, (2, -1)) + torch.tensor([[1], [0]], dtype=y.dtype)).unbind(dim=1),
        as_a_list])


# Exercise 3

@torch.no_grad()
def four_mixtures(generator):
    """Two people: all layers from the second, from layer 2 on, the later half, and none."""
    w = generator.mapping(latents(generator, 2))
    one, other = ops.truncate(w[:, None].repeat(1, generator.num_ws, 1), generator.w_avg, 0.7).split(1)
    cutoffs = 0, 2, generator.num_ws // 2, generator.num_ws
    mixed = torch.cat([ops.mix_styles(one, other, cutoff) for cutoff in cutoffs])
    return generator.synthesis(mixed, noise="const", impl="reference")


def pair(n, layers, dim):
    seed = 100 * n + 10 * layers + dim
    return {"ws1": draw(n, layers, dim, seed=seed), "ws2": draw(n, layers, dim, seed=seed + 1)}


def joined(first, second):
    return torch.cat([first, second], dim=1)


def layers_where(chosen):
    """ws1 in the layers that chosen(index, cutoff, number) names."""
    def function(ws1, ws2, cutoff):
        from_ws1 = [chosen(i, cutoff, ws1.shape[1]) for i in range(ws1.shape[1])]
        return torch.where(torch.tensor(from_ws1)[:, None], ws1, ws2)
    return function


def into_a_copy(ws1, ws2, cutoff):
    mixed = ws2.clone()
    mixed[:, :cutoff] = ws1[:, :cutoff]
    return mixed


def by_a_mask(ws1, ws2, cutoff):
    mask = (torch.arange(ws1.shape[1]) < cutoff).to(ws1.dtype).view(1, -1, 1)
    return mask * ws1 + (1 - mask) * ws2


mix_styles = Exercise(
    "03.mix_styles", "mix_styles(ws1, ws2, cutoff)",
    conventions="ws1 and ws2 are [N, num_ws, w_dim]: a latent for every layer. cutoff is an integer from 0 to num_ws. Return "
                "[N, num_ws, w_dim], a new tensor: the layers 0 … cutoff − 1 of ws1, the others of ws2. Gradients must pass "
                "through it.",
    hints=("Which dimension of [N, num_ws, w_dim] are the layers? `cutoff` of them come from ws1.",
           "ws1[:, :cutoff] are the first layers of ws1 and ws2[:, cutoff:] the later ones of ws2: join them with "
           "torch.cat(…, dim=1)."),
    production=ops.mix_styles,
    model_check=ModelCheck(four_mixtures, titles=("cutoff 0", "2", "half", "all"), model=STYLEGAN),
    cases=[
        case("three latents of six layers, cutoff = 2", **pair(3, 6, 5), cutoff=2),
        case("cutoff = 1", **pair(2, 5, 7), cutoff=1),
        case("float32 and cutoff = 4", **pair(3, 5, 4), cutoff=4).float(),
        case("as many latents, layers and entries, cutoff = 3", **pair(4, 4, 4), cutoff=3),
        case("cutoff = 0: all layers of ws2", **pair(3, 5, 6), cutoff=0),
        case("a cutoff equal to the number of layers: all of ws1", **pair(3, 4, 6), cutoff=4),
        case("one latent", **pair(1, 8, 3), cutoff=5),
        case("a single layer, cutoff = 1", **pair(3, 1, 5), cutoff=1),
        case("a single layer, cutoff = 0", **pair(2, 1, 4), cutoff=0),
        case("latents of about 0.00001", ws1=1e-5 * draw(2, 6, 3, seed=263), ws2=1e-5 * draw(2, 6, 3, seed=264), cutoff=3),
        case("the same latent in every layer",
             ws1=draw(3, 1, 4, seed=5).repeat(1, 6, 1), ws2=draw(3, 1, 4, seed=6).repeat(1, 6, 1), cutoff=4)],
    wrong=[
        wrong("The layers before `cutoff` come from ws1. With you they come from ws2.",
              exchanged=layers_where(lambda i, cutoff, n: i >= cutoff)),
        wrong("You take one layer too many of ws1: layer `cutoff` itself comes from ws2.",
              one_too_many=layers_where(lambda i, cutoff, n: i <= cutoff)),
        wrong("You take one layer too few of ws1: its layers 0 to cutoff − 1 count.",
              one_too_few=layers_where(lambda i, cutoff, n: i < cutoff - 1),
              one_too_few_or_all_but_one=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff - 1], ws2[:, cutoff - 1:])),
        wrong("All layers before `cutoff` come from ws1. With you it is layer `cutoff` alone.",
              one_layer=layers_where(lambda i, cutoff, n: i == cutoff)),
        wrong("All layers from `cutoff` on come from ws2. With you it is layer `cutoff` alone.",
              one_layer_of_ws2=layers_where(lambda i, cutoff, n: i != cutoff)),
        wrong("`cutoff` counts from the first layer. You take the last `cutoff` layers of ws2.",
              last_of_ws2=layers_where(lambda i, cutoff, n: i < n - cutoff),
              last_of_ws2_or_all=lambda ws1, ws2, cutoff: joined(ws1[:, :-cutoff], ws2[:, -cutoff:])),
        wrong("`cutoff` counts from the first layer. You take the last `cutoff` layers of ws1.",
              last_of_ws1=layers_where(lambda i, cutoff, n: i >= n - cutoff),
              last_of_ws1_or_all=lambda ws1, ws2, cutoff: joined(ws2[:, :-cutoff], ws1[:, -cutoff:])),
        wrong("The first `cutoff` layers come from ws1, in one piece. You alternate.",
              alternating=layers_where(lambda i, cutoff, n: i % 2 == 0)),
        wrong("Use `cutoff`. You always change over in the middle.",
              always_the_half=layers_where(lambda i, cutoff, n: i < n // 2)),
        wrong("You return ws1. From layer `cutoff` on, take ws2.", all_of_ws1=lambda ws1, ws2, cutoff: ws1.clone()),
        wrong("You return ws2. Before layer `cutoff`, take ws1.", all_of_ws2=lambda ws1, ws2, cutoff: ws2.clone()),
        wrong("`if cutoff` is false for 0 as well; then no layer comes from ws1.",
              zero_cutoff_ignored=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff or None], ws2[:, cutoff or ws1.shape[1]:])),
        wrong("`cutoff` counts layers, dimension 1. You cut the batch, dimension 0.",
              batch_cut=lambda ws1, ws2, cutoff: torch.cat([ws1[:cutoff], ws2[cutoff:]])),
        wrong("`cutoff` counts layers, dimension 1. You cut w itself, dimension 2.",
              features_cut=lambda ws1, ws2, cutoff: torch.cat([ws1[..., :cutoff], ws2[..., cutoff:]], dim=2)),
        wrong("Join the layers along dimension 1. You join along dimension 2.",
              features_joined=lambda ws1, ws2, cutoff: torch.cat([ws1[:, :cutoff], ws2[:, cutoff:]], dim=2)),
        wrong("Join the layers along dimension 1. torch.cat joins along dimension 0 unless you pass dim=1.",
              batches_joined=lambda ws1, ws2, cutoff: torch.cat([ws1[:, :cutoff], ws2[:, cutoff:]])),
        wrong("Take of ws2 only the layers from `cutoff` on. You append all of them.",
              all_of_ws2_after=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], ws2)),
        wrong("You drop the layers from `cutoff` on. Take them from ws2.",
              layers_dropped=lambda ws1, ws2, cutoff: ws1[:, :cutoff].clone()),
        wrong("Layer i of the result is layer i of ws1 or ws2. After `cutoff` you begin with layer 0 of ws2 again.", visible=False,
              begins_anew=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], ws2[:, :ws2.shape[1] - cutoff])),
        wrong("Layer i of the result is layer i of ws1 or ws2. You repeat layer 0 of each.", visible=False,
              first_layer_repeated=lambda ws1, ws2, cutoff: torch.where(
                  torch.arange(ws1.shape[1])[:, None] < cutoff, ws1[:, :1], ws2[:, :1])),
        wrong("Every layer comes from one of the two. You average them in all layers.",
              averaged=lambda ws1, ws2, cutoff: (ws1 + ws2) / 2),
        wrong("Every layer comes from one of the two. You average them in all layers, with weights.",
              share=lambda ws1, ws2, cutoff: ws2 + cutoff / ws1.shape[1] * (ws1 - ws2)),
        wrong("Every layer comes from one of the two. You average them in the layers from `cutoff` on.",
              averaged_after=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], (ws1 + ws2)[:, cutoff:] / 2)),
        wrong("From `cutoff` on you return zeros. Take those layers from ws2.",
              zeros_after=lambda ws1, ws2, cutoff: joined(ws1[:, :cutoff], 0 * ws2[:, cutoff:]))],
    alternatives=[
        lambda ws1, ws2, cutoff: torch.cat((ws1[:, :cutoff], ws2[:, cutoff:]), dim=-2),
        into_a_copy,
        lambda ws1, ws2, cutoff: torch.stack([ws1[:, i] if i < cutoff else ws2[:, i] for i in range(ws1.size(1))], dim=1),
        by_a_mask])


# Exercise 4

@torch.no_grad()
def average_portraits(generator):
    """The portrait of w̄ before, and after 2, 10 and 40 updates, where w̄ begins at one person's w."""
    generator, found = copy.deepcopy(generator), []
    w = generator.mapping(latents(generator, 8 * 40)).split(8)
    generator.w_avg.copy_(w[-1][0])
    for i in range(41):
        if i in (0, 2, 10, 40):
            found.append(generator.w_avg.clone())
        generator.update_w_avg(w[i % 40], decay=0.9)
    return generator.synthesis(torch.stack(found), noise="const", impl="reference")


def of_batch(average):
    """The update with average(w) in the place of the mean."""
    return lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * average(w)


def of_mean(change):
    return lambda w_avg, w, decay=0.995: change(w_avg, w.mean(dim=0), decay)


def latent_by_latent(w_avg, w, decay=0.995):
    for row in w:
        w_avg = decay * w_avg + (1 - decay) * row
    return w_avg


def a_step_without_gradient(w_avg, w, decay=0.995):
    with torch.no_grad():
        return w_avg + (1 - decay) * (w.mean(0) - w_avg)


update_w_avg = Exercise(
    "03.update_w_avg", "update_w_avg(w_avg, w, decay=0.995)",
    conventions="w_avg is w̄ [w_dim], w is a batch of mapped latents [N, w_dim]. Return the new w̄ [w_dim], as a new tensor: the "
                "share `decay` of the old one, and the rest of the mean of the batch. w̄ is stored, not trained: no gradient is "
                "asked for.",
    hints=("Two steps: one mean over the batch, [N, w_dim] → [w_dim]; then a weighted mean of the old w̄ and that. Which of the "
           "two weights is nearly 1?",
           "decay * w_avg + (1 − decay) * w.mean(dim=0). Do not write +=: it changes w_avg itself."),
    production=ops.update_w_avg, without_gradient=("w", "w_avg"),
    model_check=ModelCheck(average_portraits, titles=("start", "2 updates", "10", "40"), model=STYLEGAN),
    cases=[
        case("three latents of five entries", w=draw(3, 5, seed=36), w_avg=draw(5, seed=35), decay=0.9),
        case("four latents of three entries, the default decay", w=draw(4, 3, seed=44), w_avg=draw(3, seed=43)),
        case("as many latents as entries", w=draw(4, 4, seed=45), w_avg=draw(4, seed=44), decay=0.7),
        case("float32", w=draw(5, 6, seed=57), w_avg=draw(6, seed=56), decay=0.8).float(),
        case("one latent", w=draw(1, 7, seed=18), w_avg=draw(7, seed=17), decay=0.95),
        case("decay = 0.5", w=draw(2, 5, seed=26), w_avg=draw(5, seed=25), decay=0.5),
        case("decay = 0, which leaves only the batch", w=draw(3, 8, seed=39), w_avg=draw(8, seed=38), decay=0),
        case("decay = 1, which changes nothing", w=draw(3, 4, seed=35), w_avg=draw(4, seed=34), decay=1),
        case("latents that are all the same", w=draw(6, 5, seed=66)[:1].repeat(6, 1), w_avg=draw(5, seed=65), decay=0.6),
        case("latents of about 0.00001", w=1e-5 * draw(3, 9, seed=40), w_avg=draw(9, seed=39), decay=0.25)],
    wrong=[
        wrong("`decay` is the share of the old w̄. You give it to the batch.",
              decay_exchanged=of_mean(lambda old, mean, decay: (1 - decay) * old + decay * mean)),
        wrong("You return the mean of the batch and forget the old w̄.", batch_only=of_mean(lambda old, mean, decay: mean)),
        wrong("You return the old w̄. Move it towards the mean of the batch.",
              never_updated=lambda w_avg, w, decay=0.995: w_avg.clone()),
        wrong("The two shares add up to 1: multiply the old w̄ by decay. You add to all of it.",
              not_decayed=of_mean(lambda old, mean, decay: old + (1 - decay) * mean)),
        wrong("The two shares add up to 1: multiply the mean of the batch by 1 − decay.",
              batch_not_weighted=of_mean(lambda old, mean, decay: decay * old + mean)),
        wrong("Move towards the mean of the batch. You move away from it.",
              wrong_direction=of_mean(lambda old, mean, decay: old - (1 - decay) * (mean - old))),
        wrong("Add the share of the batch. You subtract it.",
              subtracted=of_mean(lambda old, mean, decay: decay * old - (1 - decay) * mean)),
        wrong("Use the parameter decay. You write a number in its place.",
              decay_fixed=of_mean(lambda old, mean, decay: 0.995 * old + 0.005 * mean)),
        wrong("`decay` is the share of the old w̄. You apply it twice.",
              decay_squared=of_mean(lambda old, mean, decay: decay ** 2 * old + (1 - decay ** 2) * mean)),
        wrong("Use `decay`. You average w̄ and the batch with equal shares.",
              plain_mean=of_mean(lambda old, mean, decay: (old + mean) / 2)),
        wrong("Average over the batch. You sum.", summed=of_batch(lambda w: w.sum(dim=0))),
        wrong("Average over the batch. You take its first latent only.", first_latent=of_batch(lambda w: w[0])),
        wrong("Average over the batch. You take its last latent only.", last_latent=of_batch(lambda w: w[-1])),
        wrong("Every entry of w has a mean of its own: average over dimension 0. You average over everything.",
              one_number=of_batch(lambda w: w.mean())),
        wrong("Average over the batch, dimension 0. You average over the entries of w.",
              entries_averaged=of_batch(lambda w: w.mean(dim=1))),
        wrong("w̄ is one vector, [w_dim]. Average over the batch first.", not_averaged=of_batch(lambda w: w)),
        wrong("Return [w_dim]. keepdim=True makes it [1, w_dim].", visible=False,
              one_row=of_batch(lambda w: w.mean(dim=0, keepdim=True))),
        wrong("Take the mean of the batch. You take its median.", median=of_batch(lambda w: w.median(dim=0).values)),
        wrong("Update once, with the mean of the batch. You update for every latent, so the old w̄ fades N times as fast.",
              latent_by_latent),
        wrong("The old w̄ has the share `decay`. You average it with the batch as if it were one latent more.",
              one_latent_more=lambda w_avg, w, decay=0.995: torch.cat([w_avg[None], w]).mean(dim=0))],
    alternatives=[
        lambda w_avg, w, decay=0.995: decay * w_avg + (1 - decay) * w.mean(dim=0),
        a_step_without_gradient,
        lambda w_avg, w, decay=0.995: w_avg.lerp(w.detach().sum(dim=0) / len(w), 1 - float(decay))])

EXERCISES = (adain, split_style, mix_styles, update_w_avg)
