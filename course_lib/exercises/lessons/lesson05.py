"""Lesson 05: modulation and demodulation, and the modulated convolution in two forms."""
import torch
import torch.nn.functional as F

from ... import fused, ops
from ..engine import Exercise, ModelCheck, case, draw, four_portraits, inspection, wrong

# Exercise 1


def product(weight, style):
    return weight[None] * style[:, None, :, None, None]


modulate = Exercise(
    "05.modulate", "modulate(weight, style)",
    conventions="weight is [O, I, k, k], style is [N, I]. Return w' [N, O, I, k, k] with w'_ijk = s_i · w_ijk. Gradients must "
                "pass through it.",
    hints=("The result has five dimensions, [N, O, I, k, k]. Which of them does weight lack, and which does style lack?",
           "Index with None: weight[None] is [1, O, I, k, k], and style[:, None, :, None, None] is [N, 1, I, 1, 1]. "
           "Broadcasting does the rest."),
    production=ops.modulate,
    model_check=ModelCheck(four_portraits),
    cases=[
        case("three images, five output and four input maps", weight=draw(5, 4, 3, 3, seed=43), style=draw(3, 4, seed=44)),
        case("as many output as input maps", weight=draw(4, 4, 3, 3, seed=43), style=draw(3, 4, seed=44)),
        case("a batch as large as the number of input maps", weight=draw(3, 4, 3, 3, seed=44), style=draw(4, 4, seed=45)),
        case("float32", weight=draw(3, 6, 3, 3, seed=62), style=draw(2, 6, seed=63)).float(),
        case("a 1×1 weight", weight=draw(2, 5, 1, 1, seed=53), style=draw(3, 5, seed=54)),
        case("a single image", weight=draw(4, 3, 3, 3, seed=31), style=draw(1, 3, seed=32)),
        case("one input map", weight=draw(2, 1, 3, 3, seed=13), style=draw(3, 1, seed=14)),
        case("a style of zeros", weight=draw(4, 3, 3, 3, seed=32), style=torch.zeros(2, 3, dtype=torch.float64)),
        case("weights of about 0.000001", weight=1e-6 * draw(5, 4, 3, 3, seed=43), style=draw(3, 4, seed=44)),
        case("negative styles", weight=draw(5, 4, 3, 3, seed=43), style=-1 - draw(3, 4, seed=3).abs())],
    wrong=[
        wrong("A style belongs to an *input* map, so it stands at dimension 2 of [N, O, I, k, k]. Yours scales the outputs.",
              scales_the_outputs=lambda weight, style: weight[None] * style[:, :, None, None, None]),
        wrong("Multiply by s, not by 1 + s. The layer that makes the style starts it at 1.",
              one_added=lambda weight, style: product(weight, 1 + style)),
        wrong("Multiply by the style. You add it.",
              added=lambda weight, style: weight[None] + style[:, None, :, None, None]),
        wrong("Multiply by the style. You divide by it.",
              divided=lambda weight, style: weight[None] / style[:, None, :, None, None]),
        wrong("Every image has weights of its own. You give all images the style of the first.",
              first_style_for_all=lambda weight, style: product(weight, style[:1].expand_as(style))),
        wrong("Every image has weights of its own. You average the styles.",
              mean_style=lambda weight, style: product(weight, style.mean(dim=0).expand_as(style))),
        wrong("You normalise too. Here the style only multiplies; demodulation is the next exercise.",
              demodulated_too=lambda weight, style: ops.demodulate(product(weight, style))),
        wrong("Leave out 1 / sqrt(fan-in). The network takes care of the scale of its weights.",
              equalized=lambda weight, style: product(weight, style) * ops.equalized_scale(weight.shape)),
        wrong("The order is [N, O, I, k, k]. You return [N, I, O, k, k].",
              maps_exchanged=lambda weight, style: product(weight, style).transpose(1, 2)),
        wrong("Keep N and O apart: return [N, O, I, k, k]. Joining them is part of the grouped convolution.",
              images_joined=lambda weight, style: product(weight, style).flatten(0, 1)),
        wrong("Use the style as it is, sign included.",
              absolute=lambda weight, style: product(weight, style.abs())),
        wrong("The style multiplies once. You square it.",
              squared=lambda weight, style: product(weight, style.square()))],
    alternatives=[
        lambda weight, style: torch.einsum("oikl,ni->noikl", weight, style),
        lambda weight, style: torch.stack([weight * s.view(1, -1, 1, 1) for s in style])])


# Exercise 2

def energy(weight, dim=(2, 3, 4)):
    return weight.square().sum(dim=dim, keepdim=True)


def normalised_over(dim):
    return lambda weight, eps=1e-8: weight / (energy(weight, dim) + eps).sqrt()


def mean_subtracted(weight, eps=1e-8):
    centred = weight - weight.mean(dim=(2, 3, 4), keepdim=True)
    return centred / (energy(centred) + eps).sqrt()


def by_flat_filters(weight, eps=1e-8):
    flat = weight.flatten(2)
    return (flat * torch.rsqrt((flat ** 2).sum(-1, keepdim=True) + eps)).reshape(weight.shape)


def by_vector_norm(weight, eps=1e-8):
    extra = torch.full_like(weight[:, :, :1, 0, 0], eps ** 0.5)
    return weight / torch.linalg.vector_norm(torch.cat([weight.flatten(2), extra], 2), dim=2)[:, :, None, None, None]


demodulate = Exercise(
    "05.demodulate", "demodulate(weight, eps=1e-8)",
    conventions="weight is [N, O, I, k, k], already modulated. Return the same shape: each filter of each image divided by "
                "the root of its own sum of squares; eps is added to the sum, inside the root. Gradients must pass through it.",
    hints=("Say it in words: one number for every image and every output map. Over which three dimensions of [N, O, I, k, k] "
           "do you sum, then?",
           "weight.square().sum(dim=(2, 3, 4), keepdim=True) is [N, O, 1, 1, 1]. Add eps, take the root, divide: "
           "x.rsqrt() is 1 / x.sqrt()."),
    production=ops.demodulate,
    model_check=ModelCheck(four_portraits),
    cases=[
        case("three images, five output and four input maps", weight=draw(3, 5, 4, 3, 3, seed=354)),
        case("as many output as input maps", weight=draw(2, 4, 4, 3, 3, seed=244)),
        case("float32", weight=draw(2, 3, 6, 3, 3, seed=236)).float(),
        case("weights whose mean is far from 0", weight=2 + draw(3, 5, 4, 3, 3, seed=354)),
        case("a 1×1 weight", weight=draw(3, 2, 5, 1, 1, seed=325)),
        case("one input map", weight=draw(2, 3, 1, 3, 3, seed=231)),
        case("one image", weight=draw(1, 3, 2, 3, 3, seed=132)),
        case("one image and one output map", weight=draw(1, 1, 4, 3, 3, seed=114)),
        case("weights of about 0.00001, where eps counts", weight=1e-5 * draw(3, 5, 4, 3, 3, seed=354)),
        case("eps = 0.01", weight=0.05 * draw(3, 5, 4, 3, 3, seed=354), eps=1e-2),
        case("one filter that is all zeros", weight=draw(2, 3, 4, 3, 3, seed=8) * torch.tensor([1, 0, 2]).view(1, 3, 1, 1, 1))],
    wrong=[
        wrong("eps belongs inside the root: sqrt(sum + eps). With you it is added to the root.", visible=False,
              eps_outside=lambda weight, eps=1e-8: weight / (energy(weight).sqrt() + eps)),
        wrong("eps belongs inside the root: sqrt(sum + eps). A lower limit, as F.normalize and clamp set it, is not a sum.",
              visible=False,
              eps_as_a_limit=lambda weight, eps=1e-8: F.normalize(weight.flatten(2), dim=2, eps=eps).view_as(weight),
              eps_as_a_limit_inside=lambda weight, eps=1e-8: weight / energy(weight).clamp(min=eps).sqrt()),
        wrong("You leave out eps. A filter of zeros then divides 0 by 0.", visible=False,
              no_eps=lambda weight, eps=1e-8: weight / energy(weight).sqrt()),
        wrong("Use the parameter eps. You write a number in its place.", visible=False,
              eps_fixed=lambda weight, eps=1e-8: weight / (energy(weight) + 1e-8).sqrt()),
        wrong("eps is added once to the sum. You add it to every square.", visible=False,
              eps_in_every_term=lambda weight, eps=1e-8: weight / (weight.square() + eps).sum(dim=(2, 3, 4), keepdim=True).sqrt()),
        wrong("eps is added as it is. You square it.", visible=False,
              eps_squared=lambda weight, eps=1e-8: weight / (energy(weight) + eps ** 2).sqrt()),
        wrong("Divide by the root of the sum. You divide by the sum itself.",
              no_root=lambda weight, eps=1e-8: weight / (energy(weight) + eps)),
        wrong("Divide by the root. You multiply by it.",
              multiplied=lambda weight, eps=1e-8: weight * (energy(weight) + eps).sqrt()),
        wrong("Take the sum of the squares. You take their mean.",
              mean_of_squares=lambda weight, eps=1e-8: weight / (weight.square().mean(dim=(2, 3, 4), keepdim=True) + eps).sqrt()),
        wrong("Sum over the pixels of the kernel too, not only over the input maps.", input_maps_only=normalised_over(2)),
        wrong("Sum over the input maps too, not only over the pixels of the kernel.", pixels_only=normalised_over((3, 4))),
        wrong("Every output map has a sum of its own. You sum over the output maps too.",
              output_maps_too=normalised_over((1, 2, 3, 4))),
        wrong("Sum over the input maps, dimension 2. You sum over the output maps, dimension 1.",
              output_maps_instead=normalised_over((1, 3, 4))),
        wrong("Every image has a sum of its own. You sum over the batch too.", batch_too=normalised_over((0, 2, 3, 4))),
        wrong("Do not subtract the mean: Eq. 3 takes the plain sum of squares, not a variance.", mean_subtracted,
              deviation=lambda weight, eps=1e-8: weight / (weight.var(dim=(2, 3, 4), keepdim=True, unbiased=False) + eps).sqrt()),
        wrong("Divide by the root of the sum of squares. torch.std subtracts the mean, and divides the sum by the count less one.",
              by_torch_std=lambda weight, eps=1e-8: weight / weight.std(dim=(2, 3, 4), keepdim=True)),
        wrong("Square the weights before you sum them. You sum their absolute values.",
              absolute_values=lambda weight, eps=1e-8: weight / (weight.abs().sum(dim=(2, 3, 4), keepdim=True) + eps)),
        wrong("Square first, then sum. You sum first.",
              sum_squared=lambda weight, eps=1e-8: weight / (weight.sum(dim=(2, 3, 4), keepdim=True).square() + eps).sqrt()),
        wrong("The sum is part of the function, gradient included. You detach it.", visible=False,
              sum_detached=lambda weight, eps=1e-8: weight / (energy(weight.detach()) + eps).sqrt())],
    alternatives=[
        lambda weight, eps=1e-8: weight / (torch.einsum("noikl,noikl->no", weight, weight)[:, :, None, None, None] + eps) ** 0.5,
        by_flat_filters,
        by_vector_norm])


# Exercises 3 and 4: the same function by weights for each image, and by scaled maps

def inputs(n, o, i, k, h, w):
    """n images of i maps h × w, and a k × k weight for o maps."""
    seed = 1000 * n + 100 * o + 10 * i + k
    return {"x": draw(n, i, h, w, seed=seed), "weight": draw(o, i, k, k, seed=seed + 1), "style": draw(n, i, seed=seed + 2)}


CONVOLUTIONS = [
    case("three images, five output and four input maps", **inputs(3, 5, 4, 3, 6, 7)),
    case("padding = 1", **inputs(3, 5, 4, 3, 6, 7), padding=1),
    case("demod = False", **inputs(3, 5, 4, 3, 6, 7), demod=False, padding=1),
    case("demod = False without padding", **inputs(3, 5, 4, 3, 6, 7), demod=False),
    case("float32", **inputs(2, 3, 6, 3, 5, 5), padding=1).float(),
    case("demod = False in float32", **inputs(2, 3, 6, 3, 5, 5), demod=False, padding=1).float(),
    case("as many output as input maps and images", **inputs(3, 3, 3, 3, 5, 4), padding=1),
    case("2×2 maps", **inputs(3, 5, 4, 3, 2, 2), padding=1),
    case("a 1×1 weight", **inputs(3, 2, 5, 1, 3, 4)),
    case("a 1×1 weight and demod = False", **inputs(3, 2, 5, 1, 3, 4), demod=False),
    case("padding = 2", **inputs(2, 3, 2, 3, 4, 5), padding=2),
    case("one image", **inputs(1, 3, 4, 3, 5, 5), padding=1),
    case("constant maps", **inputs(3, 5, 4, 3, 4, 4) | {"x": torch.full((3, 4, 4, 4), 2.0, dtype=torch.float64)}, padding=1),
    case("an image with a style of zeros",
         **inputs(3, 5, 4, 3, 4, 5) | {"style": draw(3, 4, seed=77).index_fill(0, torch.tensor(1), 0)}, padding=1)]


def reference(x, weight, style, demod=True, padding=0):
    return ops.modulated_conv2d(x, weight, style, demod=demod, padding=padding)


def with_upsampling(answer):
    """An answer for up = 1 in the place of `ops.modulated_conv2d`: the up-sampling is done before it is called."""
    def modulated_conv2d(x, weight, style, demod=True, up=1, down=1, padding=0, kernel=None):
        if up > 1:
            pad = ops.resample_padding(kernel, up, down, padding)
            x = ops.upfirdn2d(x, kernel, up=up, padding=pad, gain=up ** 2)
            weight, padding = weight.flip([2, 3]), 0
        return answer(x, weight, style, demod=demod, padding=padding)
    return modulated_conv2d


IN_THE_GENERATOR = ModelCheck(four_portraits, function=ops.modulated_conv2d, adapt=with_upsampling)


def weights_of(weight, style, demod=True):
    weight = ops.modulate(weight, style)
    return ops.demodulate(weight) if demod else weight


def convolve(x, weight, padding=0):
    """Every image with its own weights, [N, O, I, k, k]."""
    return torch.cat([F.conv2d(x[[n]], w, padding=padding) for n, w in enumerate(weight)])


def scale(x, style):
    return x * style[:, :, None, None]


def sigma(weight, eps=1e-8):
    """[N, O, 1, 1] of modulated weights [N, O, I, k, k]."""
    return (energy(weight) + eps).sqrt()[..., 0]


def with_weights(weights):
    """The convolution with weights(weight, style, demod), [N, O, I, k, k]."""
    return lambda x, weight, style, demod=True, padding=0: convolve(x, weights(weight, style, demod), padding)


def with_division(divide):
    """The convolution with modulated weights w [N, O, I, k, k], and then (if demod) divide(y, w)."""
    def modulated_conv2d(x, weight, style, demod=True, padding=0):
        weight = ops.modulate(weight, style)
        y = convolve(x, weight, padding)
        return divide(y, weight) if demod else y
    return modulated_conv2d


WRONG_CONVOLUTIONS = [
    wrong("You ignore demod=True: nothing is divided by σ.",
          never_demodulated=with_weights(lambda weight, style, demod: weights_of(weight, style, demod=False))),
    wrong("You ignore demod=False: then nothing is divided. The layers that make RGB need it.",
          always_demodulated=with_weights(lambda weight, style, demod: weights_of(weight, style))),
    wrong("`demod` has the opposite effect in your function.",
          demod_reversed=with_weights(lambda weight, style, demod: weights_of(weight, style, not demod))),
    wrong("You ignore `padding`.",
          padding_ignored=lambda x, weight, style, demod=True, padding=0: convolve(x, weights_of(weight, style, demod))),
    wrong("Use `padding` as it is given. You always keep the size.",
          always_same_size=lambda x, weight, style, demod=True, padding=0: convolve(
              x, weights_of(weight, style, demod), weight.shape[-1] // 2)),
    wrong("σ depends on the style: sum the squares of s_i · w_ijk. You divide by the norm of the weight alone.",
          style_left_out_of_sigma=with_weights(
              lambda weight, style, demod: ops.modulate(ops.demodulate(weight[None])[0] if demod else weight, style))),
    wrong("The style acts only on the division. It must scale the input maps, or their weights, as well.",
          style_only_in_sigma=lambda x, weight, style, demod=True, padding=0: (
              F.conv2d(x, weight, padding=padding) / (sigma(ops.modulate(weight, style)) if demod else 1))),
    wrong("You apply the style twice, to the maps and to the weights.",
          style_twice=lambda x, weight, style, demod=True, padding=0: convolve(
              scale(x, style), weights_of(weight, style, demod), padding)),
    wrong("All images get the style of the first. Every image has its own.",
          first_style_for_all_images=with_weights(
              lambda weight, style, demod: weights_of(weight, style[:1].expand_as(style), demod))),
    wrong("You never use the style: scale the input maps, or their weights, by s.",
          style_unused=with_weights(lambda weight, style, demod: weights_of(weight, 1 + 0 * style, demod))),
    wrong("All images get the mean of the styles. Every image has its own.",
          mean_style_for_all_images=with_weights(
              lambda weight, style, demod: weights_of(weight, style.mean(dim=0).expand_as(style), demod))),
    wrong("You flip the kernel. Here, as in torch, the weight is not flipped.",
          flipped=with_weights(lambda weight, style, demod: weights_of(weight.flip([2, 3]), style, demod))),
    wrong("You exchange the rows and columns of the kernel.",
          kernel_transposed=with_weights(lambda weight, style, demod: weights_of(weight.mT, style, demod))),
    wrong("Divide by the root of the sum. You divide by the sum itself.",
          divided_by_the_sum=with_division(lambda y, weight: y / sigma(weight).square())),
    wrong("Without eps an image whose styles are all zero divides 0 by 0. Add 1e-8 to the sum, inside the root.", visible=False,
          without_eps=with_division(lambda y, weight: y / sigma(weight, eps=0))),
    wrong("eps belongs inside the root: sqrt(sum + 1e-8). With you it is added to the root, or a limit.", visible=False,
          eps_outside_the_root=with_division(lambda y, weight: y / (weight.flatten(2).norm(dim=2)[:, :, None, None] + 1e-8)),
          eps_after_the_root=with_division(lambda y, weight: y / (sigma(weight, eps=0) + 1e-8)),
          eps_as_a_limit_of_sigma=with_division(
              lambda y, weight: y / weight.flatten(2).norm(dim=2)[:, :, None, None].clamp(min=1e-8))),
    wrong("You normalise by what you measure in the maps, as instance normalisation does. Divide by the σ of Eq. 2, which knows "
          "only weights and styles.",
          instance_normalised=with_division(
              lambda y, weight: y / (y.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()),
          instance_normalised_with_mean=with_division(
              lambda y, weight: ops.adain(y, torch.ones_like(y[..., 0, 0]), torch.zeros_like(y[..., 0, 0])))),
    wrong("You divide by the deviation that you measure in the maps, as instance normalisation does. Divide by the σ of Eq. 2, "
          "which knows only weights and styles.",
          measured_deviation=with_division(lambda y, weight: y / y.std(dim=(2, 3), keepdim=True)))]


def weights_interleaved(x, weight, style, demod=True, padding=0):
    n, i, h, w = x.shape
    weight = weights_of(weight, style, demod).transpose(0, 1).reshape(-1, i, *weight.shape[2:])
    x = F.conv2d(x.reshape(1, n * i, h, w), weight, padding=padding, groups=n)
    return x.reshape(n, -1, *x.shape[2:])


def maps_read_in_the_wrong_order(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod), padding)
    return y.reshape(y.shape[1], y.shape[0], *y.shape[2:]).transpose(0, 1)


def grouped(x, weight, style, demod=True, padding=0):
    n, i, h, w = x.shape
    weight = weights_of(weight, style, demod)
    y = F.conv2d(x.reshape(1, -1, h, w), weight.flatten(0, 1), padding=padding, groups=n)
    return y.view(n, -1, y.shape[2], y.shape[3])


def by_unfolding(x, weight, style, demod=True, padding=0):
    n, i, h, w = x.shape
    k = weight.shape[-1]
    columns = F.unfold(x, k, padding=padding)
    y = weights_of(weight, style, demod).flatten(2) @ columns
    return y.reshape(n, -1, h + 2 * padding - k + 1, w + 2 * padding - k + 1)


def with_sigma_from(squares):
    """The convolution of scaled maps, divided (if demod) by the root of squares(weight, style) [N, O] + 1e-8."""
    def modulated_conv2d(x, weight, style, demod=True, padding=0):
        y = F.conv2d(scale(x, style), weight, padding=padding)
        return y / (squares(weight, style) + 1e-8).sqrt()[:, :, None, None] if demod else y
    return modulated_conv2d


def scaled_by_einsum(x, weight, style, demod=True, padding=0):
    y = F.conv2d(torch.einsum("nihw,ni->nihw", x, style), weight, padding=padding)
    if not demod:
        return y
    return y / (torch.einsum("ni,oikl->no", style ** 2, weight ** 2) + 1e-8).sqrt()[:, :, None, None]


modulated_conv2d = Exercise(
    "05.modulated_conv2d", "modulated_conv2d(x, weight, style, demod=True, padding=0)",
    conventions="x is [N, I, H, W], weight [O, I, k, k], style [N, I]. Return [N, O, H', W']: each image convolved with its own "
                "modulated and (if demod) demodulated weights. As in torch, conv2d does not flip the kernel; eps is 1e-8. "
                "Gradients must pass through it.",
    hints=("Get the weights of every image first: ops.modulate, then ops.demodulate if demod is true. They are [N, O, I, k, k]; a "
           "convolution takes [out, in, k, k]. Which two dimensions do you join, and how is x reshaped to match?",
           "x.reshape(1, N * I, H, W), weight.reshape(N * O, I, k, k), F.conv2d(…, padding=padding, groups=N), and reshape "
           "the result to N images."),
    production=ops.modulated_conv2d, reference=reference, forbidden=(fused.modulated_conv2d,),
    model_check=IN_THE_GENERATOR,
    cases=CONVOLUTIONS,
    wrong=[
        *WRONG_CONVOLUTIONS,
        wrong("The weights of the images are mixed up: join [N, O, I, k, k] in this order to [N·O, I, k, k], not O before N.",
              weights_interleaved),
        wrong("The maps come out image by image, N·O of them: reshape them to [N, O, H', W'], not to [O, N, H', W'].",
              maps_read_in_the_wrong_order),
        wrong("All images get the mean of the weights. Every image has its own.",
              mean_weights_for_all_images=lambda x, weight, style, demod=True, padding=0: F.conv2d(
                  x, weights_of(weight, style, demod).mean(dim=0), padding=padding)),
        wrong("The images stay side by side: reshape [1, N·O, H', W'] to [N, O, H', W'] at the end.",
              images_left_joined=lambda x, weight, style, demod=True, padding=0: convolve(
                  x, weights_of(weight, style, demod), padding).flatten(0, 1)[None])],
    alternatives=[with_weights(weights_of), grouped, by_unfolding, scaled_by_einsum])

modulated_conv2d_activations = Exercise(
    "05.modulated_conv2d_activations", "modulated_conv2d_activations(x, weight, style, demod=True, padding=0)",
    conventions="The same function without a weight for each image: scale the maps of x by the style, convolve all images with "
                "the one weight, and (if demod) divide output map j by sqrt(Σ_ik (s_i w_ijk)² + 1e-8), again without the products "
                "s_i w_ijk of an image. Gradients must pass through it.",
    hints=("Three lines: scale x by the style, convolve, divide by σ. What is the shape of σ, if every image and every output "
           "map has one?",
           "Σ_ik (s_i w_ijk)² is Σ_i s_i² · (Σ_k w_ijk²): the squares of the style [N, I] times the squares of the weight, "
           "summed over the kernel and transposed, [I, O]. That product is [N, O]; add 1e-8 before the root."),
    production=fused.modulated_conv2d, reference=reference, forbidden=(ops.modulated_conv2d,), inspect=inspection.weights_per_image,
    model_check=IN_THE_GENERATOR,
    cases=CONVOLUTIONS,
    wrong=[
        *WRONG_CONVOLUTIONS,
        wrong("σ sums squares: use style², not style.",
              style_not_squared=with_sigma_from(lambda weight, style: style @ weight.square().sum(dim=(2, 3)).T)),
        wrong("σ sums squares: square the weights before you sum over the kernel.",
              weights_summed_before_squaring=with_sigma_from(
                  lambda weight, style: style.square() @ weight.sum(dim=(2, 3)).square().T)),
        wrong("σ sums the squares of s_i · w_ijk. You square the sum over the input maps.",
              sum_over_maps_squared=with_sigma_from(
                  lambda weight, style: torch.einsum("ni,oikl->nokl", style, weight).square().sum(dim=(2, 3)))),
        wrong("σ sums the squares of s_i · w_ijk. You sum everything first, and square the sum.",
              everything_summed_before_squaring=with_sigma_from(lambda weight, style: (style @ weight.sum(dim=(2, 3)).T).square())),
        wrong("σ sums over the input maps and the pixels of the kernel. You take a mean.",
              sigma_from_a_mean=with_sigma_from(lambda weight, style: style.square() @ weight.square().mean(dim=(2, 3)).T)),
        wrong("You multiply by σ. Divide by it.",
              multiplied_by_sigma=lambda x, weight, style, demod=True, padding=0: (
                  F.conv2d(scale(x, style), weight, padding=padding) * (sigma(ops.modulate(weight, style)) if demod else 1)))],
    alternatives=[
        scaled_by_einsum,
        with_sigma_from(lambda weight, style: torch.stack([(s.square() * weight.square().sum(dim=(2, 3))).sum(1) for s in style])),
        # σ² is a convolution too, of the squared styles as maps of one pixel.
        with_sigma_from(lambda weight, style: F.conv2d(
            style.square()[:, :, None, None], weight.square().sum(dim=(2, 3), keepdim=True))[:, :, 0, 0])])

EXERCISES = (modulate, demodulate, modulated_conv2d, modulated_conv2d_activations)
