"""Lesson 05, exercise 3: the modulated convolution with weights for each image, and what exercise 4 shares with it."""
import torch
import torch.nn.functional as F

from .. import fast, ops
from .engine import Exercise
from .probes import Probe, normal
from .proof import Proof, portraits


def convolved(what, n, o, i, k, size, dtype=torch.float64, style=None, x=None, **options):
    seed = 1000 * n + 100 * o + 10 * i + k
    x = normal(n, i, *size, seed=seed, dtype=dtype) if x is None else x
    style = normal(n, i, seed=seed + 2, dtype=dtype) if style is None else style
    return Probe(what, {"x": x, "weight": normal(o, i, k, k, seed=seed + 1, dtype=dtype), "style": style, **options})


def silent(n, i):
    """Styles of which the second image's are all zero."""
    style = normal(n, i, seed=77)
    style[1] = 0
    return style


PROBES = [
    convolved("three images, five output and four input maps", 3, 5, 4, 3, (6, 7)),
    convolved("padding = 1", 3, 5, 4, 3, (6, 7), padding=1),
    convolved("demod = False", 3, 5, 4, 3, (6, 7), demod=False, padding=1),
    convolved("demod = False without padding", 3, 5, 4, 3, (6, 7), demod=False),
    convolved("float32", 2, 3, 6, 3, (5, 5), torch.float32, padding=1),
    convolved("demod = False in float32", 2, 3, 6, 3, (5, 5), torch.float32, demod=False, padding=1),
    convolved("as many output as input maps and images", 3, 3, 3, 3, (5, 4), padding=1),
    convolved("2×2 maps", 3, 5, 4, 3, (2, 2), padding=1),
    convolved("a 1×1 weight", 3, 2, 5, 1, (3, 4)),
    convolved("a 1×1 weight and demod = False", 3, 2, 5, 1, (3, 4), demod=False),
    convolved("padding = 2", 2, 3, 2, 3, (4, 5), padding=2),
    convolved("one image", 1, 3, 4, 3, (5, 5), padding=1),
    convolved("constant maps", 3, 5, 4, 3, (4, 4), x=torch.full((3, 4, 4, 4), 2.0, dtype=torch.float64), padding=1),
    convolved("an image with a style of zeros", 3, 5, 4, 3, (4, 5), style=silent(3, 4), padding=1)]


def reference(x, weight, style, demod=True, padding=0):
    return ops.modulated_conv2d(x, weight, style, demod=demod, padding=padding)


def adapt(answer):
    """An answer for up = 1 in the place of `ops.modulated_conv2d`: the up-sampling is done before it is called."""
    def modulated_conv2d(x, weight, style, demod=True, up=1, down=1, padding=0, kernel=None):
        if up > 1:
            pad = ops.resample_padding(kernel, up, down, padding)
            x = ops.upfirdn2d(x, kernel, up=up, padding=pad, gain=up ** 2)
            weight, padding = weight.flip([2, 3]), 0
        return answer(x, weight, style, demod=demod, padding=padding)
    return modulated_conv2d


def convolve(x, weight, padding):
    """Every image with its own weights, [N, O, I, k, k]."""
    return torch.cat([F.conv2d(x[[n]], w, padding=padding) for n, w in enumerate(weight)])


def weights_of(weight, style, demod=True):
    weight = ops.modulate(weight, style)
    return ops.demodulate(weight) if demod else weight


def norms(weight, style):
    return (weights_of(weight, style, demod=False).square().sum(dim=(2, 3, 4)) + 1e-8).sqrt()[:, :, None, None]


modulated_conv2d = Exercise(
    "05.modulated_conv2d", "modulated_conv2d(x, weight, style, demod=True, padding=0)",
    conventions="x is [N, I, H, W], weight [O, I, k, k], style [N, I]. Return [N, O, H', W']: each image convolved with its own "
                "modulated and (if demod) demodulated weights. As in torch, conv2d does not flip the kernel; eps is 1e-8. "
                "Gradients must pass through it.",
    production=ops.modulated_conv2d, reference=reference, forbidden=(fast.modulated_conv2d,),
    probes=PROBES, proof=Proof("modulated_conv2d", portraits, adapt),
    hints=("Get the weights of every image first: ops.modulate, then ops.demodulate if demod is true. They are "
           "[N, O, I, k, k]; a convolution takes [out, in, k, k]. Which two dimensions do you join, and how is x reshaped to match?",
           "x.reshape(1, N * I, H, W), weight.reshape(N * O, I, k, k), F.conv2d(…, padding=padding, groups=N), and reshape "
           "the result to N images."))
modulated_conv2d_activations = Exercise(
    "05.modulated_conv2d_activations", "modulated_conv2d_activations(x, weight, style, demod=True, padding=0)",
    conventions="The same function without a weight for each image: scale the maps of x by the style, convolve all images with "
                "the one weight, and (if demod) divide output map j by sqrt(Σ_ik (s_i w_ijk)² + 1e-8), again without the products "
                "s_i w_ijk of an image. Gradients must pass through it.",
    production=fast.modulated_conv2d, reference=reference, forbidden=(ops.modulated_conv2d,),
    probes=PROBES, proof=Proof("modulated_conv2d", portraits, adapt),
    hints=("Three lines: scale x by the style, convolve, divide by σ. What is the shape of σ, if every image and every output "
           "map has one?",
           "Σ_ik (s_i w_ijk)² is Σ_i s_i² · (Σ_k w_ijk²): the squares of the style [N, I] times the squares of the weight, "
           "summed over the kernel and transposed, [I, O]. That product is [N, O]; add 1e-8 before the root."))


def both(message, visible=True):
    def add(function):
        modulated_conv2d.mistake(message, visible)(function)
        return modulated_conv2d_activations.mistake(message, visible)(function)
    return add


@both("You ignore demod=True: nothing is divided by σ.")
def never_demodulated(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style, demod=False), padding)


@both("You ignore demod=False: then nothing is divided. The layers that make RGB need it.")
def always_demodulated(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style), padding)


@both("`demod` has the opposite effect in your function.")
def demod_reversed(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style, demod=not demod), padding)


@both("You ignore `padding`.")
def padding_ignored(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style, demod), 0)


@both("Use `padding` as it is given. You always keep the size.")
def always_same_size(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style, demod), weight.shape[-1] // 2)


@both("σ depends on the style: sum the squares of s_i · w_ijk. You divide by the norm of the weight alone.")
def style_left_out_of_sigma(x, weight, style, demod=True, padding=0):
    weight = ops.demodulate(weight[None])[0] if demod else weight
    return convolve(x, ops.modulate(weight, style), padding)


@both("The style acts only on the division. It must scale the input maps, or their weights, as well.")
def style_only_in_sigma(x, weight, style, demod=True, padding=0):
    y = F.conv2d(x, weight, padding=padding)
    return y / norms(weight, style) if demod else y


@both("You apply the style twice, to the maps and to the weights.")
def style_twice(x, weight, style, demod=True, padding=0):
    return convolve(x * style[:, :, None, None], weights_of(weight, style, demod), padding)


@both("All images get the style of the first. Every image has its own.")
def first_style_for_all_images(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style[:1].expand_as(style), demod), padding)


@both("You never use the style: scale the input maps, or their weights, by s.")
def style_unused(x, weight, style, demod=True, padding=0):
    weight = ops.demodulate(weight[None])[0] if demod else weight
    return F.conv2d(x, weight, padding=padding) + 0 * style.sum()


@both("All images get the mean of the styles. Every image has its own.")
def mean_style_for_all_images(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style.mean(dim=0).expand_as(style), demod), padding)


@both("You flip the kernel. Here, as in torch, the weight is not flipped.")
def flipped(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight.flip([2, 3]), style, demod), padding)


@both("You exchange the rows and columns of the kernel.")
def kernel_transposed(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight.transpose(2, 3), style, demod), padding)


@both("Divide by the root of the sum. You divide by the sum itself.")
def divided_by_the_sum(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return y / norms(weight, style).square() if demod else y


@both("Without eps an image whose styles are all zero divides 0 by 0. Add 1e-8 to the sum, inside the root.", visible=False)
def without_eps(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return y / weights_of(weight, style, demod=False).square().sum(dim=(2, 3, 4))[:, :, None, None].sqrt() if demod else y


@both("eps belongs inside the root: sqrt(sum + 1e-8). With you it is added to the root, or a limit.", visible=False)
def eps_outside_the_root(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return y / (weights_of(weight, style, demod=False).flatten(2).norm(dim=2)[:, :, None, None] + 1e-8) if demod else y


@both("eps belongs inside the root: sqrt(sum + 1e-8). With you it is added to the root, or a limit.", visible=False)
def eps_after_the_root(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    sigma = weights_of(weight, style, demod=False).square().sum(dim=(2, 3, 4))[:, :, None, None].sqrt()
    return y / (sigma + 1e-8) if demod else y


@both("eps belongs inside the root: sqrt(sum + 1e-8). With you it is added to the root, or a limit.", visible=False)
def eps_as_a_limit_of_sigma(x, weight, style, demod=True, padding=0):
    weight = weights_of(weight, style, demod=False)
    weight = F.normalize(weight.flatten(2), dim=2, eps=1e-8).view_as(weight) if demod else weight
    return convolve(x, weight, padding)


@both("You normalise by what you measure in the maps, as instance normalisation does. Divide by the σ of Eq. 2, which knows "
      "only weights and styles.")
def instance_normalised(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return y * (y.square().mean(dim=(2, 3), keepdim=True) + 1e-8).rsqrt() if demod else y


@both("You normalise by what you measure in the maps, as instance normalisation does. Divide by the σ of Eq. 2, which knows "
      "only weights and styles.")
def instance_normalised_with_mean(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return ops.adain(y, torch.ones_like(y[..., 0, 0]), torch.zeros_like(y[..., 0, 0])) if demod else y


@both("You divide by the deviation that you measure in the maps, as instance normalisation does. Divide by the σ of Eq. 2, "
      "which knows only weights and styles.")
def measured_deviation(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod=False), padding)
    return y / y.std(dim=(2, 3), keepdim=True) if demod else y


@modulated_conv2d.mistake("The weights of the images are mixed up: join [N, O, I, k, k] in this order to "
                          "[N·O, I, k, k], not O before N.")
def weights_interleaved(x, weight, style, demod=True, padding=0):
    n, i, h, w = x.shape
    weight = weights_of(weight, style, demod).transpose(0, 1).reshape(-1, i, *weight.shape[2:])
    x = F.conv2d(x.reshape(1, n * i, h, w), weight, padding=padding, groups=n)
    return x.reshape(n, -1, *x.shape[2:])


@modulated_conv2d.mistake("The maps come out image by image, N·O of them: reshape them to [N, O, H', W'], not to [O, N, H', W'].")
def maps_read_in_the_wrong_order(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod), padding)
    return y.reshape(y.shape[1], y.shape[0], *y.shape[2:]).transpose(0, 1)


@modulated_conv2d.mistake("All images get the mean of the weights. Every image has its own.")
def mean_weights_for_all_images(x, weight, style, demod=True, padding=0):
    return F.conv2d(x, weights_of(weight, style, demod).mean(dim=0), padding=padding)


@modulated_conv2d.mistake("The images stay side by side: reshape [1, N·O, H', W'] to [N, O, H', W'] at the end.")
def images_left_joined(x, weight, style, demod=True, padding=0):
    y = convolve(x, weights_of(weight, style, demod), padding)
    return y.reshape(1, -1, *y.shape[2:])


def each_by_conv2d(x, weight, style, demod=True, padding=0):
    return convolve(x, weights_of(weight, style, demod), padding)


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


def scaled_by_einsum(x, weight, style, demod=True, padding=0):
    y = F.conv2d(torch.einsum("nihw,ni->nihw", x, style), weight, padding=padding)
    if not demod:
        return y
    return y / (torch.einsum("ni,oikl->no", style ** 2, weight ** 2) + 1e-8).sqrt()[:, :, None, None]


for _function in (each_by_conv2d, grouped, by_unfolding, scaled_by_einsum):
    modulated_conv2d.alternative(_function)

EXERCISES = (modulated_conv2d,)
