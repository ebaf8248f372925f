"""Lesson 06, exercise 1: path lengths by one backward pass."""
import torch
import torch.nn.functional as F

from .. import losses
from .engine import Exercise
from .probes import Computed, Probe, normal
from .proof import Proof, lines, way_between

WITHOUT_GRADIENT = ("The values are right, but no gradient flows through them, so nothing can be trained. Pass create_graph=True "
                    "to torch.autograd.grad, and leave out detach(), .data and no_grad().")


class Painter(torch.nn.Module):
    """Images of ws: every layer adds its own, tanh(bend · w A) B / bend. A small bend is nearly linear; `ignored` last layers
    add nothing; B has entries of about `scale`."""

    def __init__(self, layers, dim, size, dtype=torch.float64, bend=1.0, ignored=0, scale=1.0, seed=0):
        super().__init__()
        self.size, self.bend, self.used = size, bend, layers - ignored
        self.a = torch.nn.Parameter(normal(self.used, dim, 6, seed=seed, dtype=dtype, scale=dim ** -0.5))
        self.b = torch.nn.Parameter(normal(self.used, 6, 3 * size[0] * size[1], seed=seed + 1, dtype=dtype, scale=scale))

    def forward(self, ws):
        hidden = torch.einsum("nld,ldk->nlk", ws[:, :self.used], self.a)
        images = torch.einsum("nlk,lkp->np", torch.tanh(self.bend * hidden) / self.bend, self.b)
        return images.reshape(-1, 3, *self.size)


def painted(what, n, layers, dim, size, dtype=torch.float64, fixed=("noise",), options=(), **painter):
    seed = 100 * n + 10 * layers + dim
    return Probe(what, {"images": Computed(Painter(layers, dim, size, dtype, seed=seed, **painter), "ws"),
                        "ws": normal(n, layers, dim, seed=seed + 2, dtype=dtype),
                        "noise": normal(n, 3, *size, seed=seed + 3, dtype=dtype), **dict(options)}, fixed)


@torch.enable_grad()
def lengths_on_the_way(generator):
    """Of six portraits on the way from one latent to another, with the same noise for all."""
    ws = way_between(generator, 6)[1].requires_grad_()
    images = generator.synthesis(ws, noise="const")
    noise = normal(*images.shape[1:], seed=5, dtype=images.dtype).expand_as(images)
    return losses.path_lengths(images, ws, noise).expand(1, len(ws))


path_lengths = Exercise(
    "06.path_lengths", "path_lengths(images, ws, noise)",
    conventions="images [N, 3, H, W] were computed from ws [N, num_ws, w_dim]; noise ~ N(0, 1) is like images. Return ‖Jᵀy‖ [N] "
                "with y = noise / √(HW): the squared length for each layer, averaged over the layers, then the root. The "
                "result is trained on, so it must itself be differentiable.",
    production=losses.path_lengths, single=True,
    probes=[painted("three images of two layers", 3, 2, 5, (4, 6)),
            painted("one layer", 3, 1, 7, (5, 4)),
            painted("one image", 1, 3, 4, (3, 5)),
            painted("float32", 3, 4, 6, (4, 3), torch.float32),
            painted("as many images as layers and entries of w", 4, 4, 4, (4, 2)),
            painted("images of one row", 2, 3, 8, (1, 9)),
            painted("2×2 pixels", 3, 2, 9, (2, 2)),
            painted("a generator that ignores the last of four layers", 3, 4, 5, (3, 4), ignored=1),
            painted("a generator that is nearly linear", 3, 2, 6, (4, 5), bend=1e-3),
            painted("a generator whose images hardly change", 3, 3, 5, (5, 3), scale=0.01),
            painted("eight layers and one image in float32", 1, 8, 3, (4, 8), torch.float32)],
    proof=Proof("path_lengths", lengths_on_the_way, owner=losses, what="finds the same lengths",
                draw=lines([0, 0.2, 0.4, 0.6, 0.8, 1], "from one latent to another", "‖Jᵀy‖")),
    hints=("One backward pass gives Jᵀy: the gradient of the single number Σ images · y with respect to ws. What shape does it "
           "have, and which dimension is w_dim?",
           "torch.autograd.grad((images * y).sum(), ws, create_graph=True) returns a tuple with the gradient "
           "[N, num_ws, w_dim]. Square, sum over dimension 2, mean over dimension 1, root. (After backward() ws.grad is None: ws is "
           "no leaf.)"))
mistake = path_lengths.mistake


def gradient(images, ws, noise, **options):
    y = noise / (images.shape[2] * images.shape[3]) ** 0.5
    return torch.autograd.grad((images * y).sum(), ws, **options or {"create_graph": True})[0]


def size(grads):
    return grads.square().sum(dim=2).mean(dim=1).sqrt()


def scaled(factor):
    """The right lengths times a factor that depends on images and ws."""
    return lambda images, ws, noise: size(gradient(images, ws, noise)) * factor(images, ws)


@mistake(WITHOUT_GRADIENT, visible=False)
def no_create_graph(images, ws, noise):
    return size(gradient(images, ws, noise, create_graph=False))


@mistake("Average the squared lengths over the layers. You sum them.")
def layers_summed(images, ws, noise):
    return gradient(images, ws, noise).square().sum(dim=(1, 2)).sqrt()


@mistake("Average over the layers first, then take the root. You average the roots.")
def root_before_the_mean(images, ws, noise):
    return gradient(images, ws, noise).norm(dim=2).mean(dim=1)


@mistake("The mean over the layers belongs inside the root. You divide by their number outside.")
def layers_divided_outside(images, ws, noise):
    return gradient(images, ws, noise).norm(dim=(1, 2)) / ws.shape[1]


@mistake("Average the squared lengths over the layers, then take one root. You add up the roots of the layers.")
def roots_summed(images, ws, noise):
    return gradient(images, ws, noise).norm(dim=2).sum(dim=1)


@mistake("Divide the noise by the root of H·W. You divide by H·W itself.")
def divided_by_the_pixels(images, ws, noise):
    return scaled(lambda images, ws: (images.shape[2] * images.shape[3]) ** -0.5)(images, ws, noise)


@mistake("Divide the noise by √(HW). Without that the lengths grow with the resolution.")
def not_divided(images, ws, noise):
    return scaled(lambda images, ws: (images.shape[2] * images.shape[3]) ** 0.5)(images, ws, noise)


@mistake("Divide the noise by √(HW). You multiply by it.")
def noise_multiplied(images, ws, noise):
    return scaled(lambda images, ws: images.shape[2] * images.shape[3])(images, ws, noise)


@mistake("H·W counts pixels only. You count the three channels too.")
def channels_counted(images, ws, noise):
    return scaled(lambda images, ws: images.shape[1] ** -0.5)(images, ws, noise)


@mistake("H and W are dimensions 2 and 3 of images. You multiply dimensions 1 and 2.")
def channels_for_columns(images, ws, noise):
    return scaled(lambda images, ws: (images.shape[3] / images.shape[1]) ** 0.5)(images, ws, noise)


@mistake("The images need not be square: divide by √(H·W). You use one of the two sizes twice.", visible=False)
def rows_twice(images, ws, noise):
    return scaled(lambda images, ws: (images.shape[3] / images.shape[2]) ** 0.5)(images, ws, noise)


@mistake("The images need not be square: divide by √(H·W). You use one of the two sizes twice.", visible=False)
def columns_twice(images, ws, noise):
    return scaled(lambda images, ws: (images.shape[2] / images.shape[3]) ** 0.5)(images, ws, noise)


@mistake("⟨images, y⟩ is a sum. You differentiate a mean, which divides by the number of values.")
def mean_differentiated(images, ws, noise):
    return scaled(lambda images, ws: 1 / images.numel())(images, ws, noise)


@mistake("⟨images, y⟩ is a sum. You differentiate a mean, which divides by the number of values.")
def mean_of_each_image(images, ws, noise):
    return scaled(lambda images, ws: 1 / images[0].numel())(images, ws, noise)


@mistake("⟨images, y⟩ is a sum, and y = noise / √(HW). You differentiate a mean, and do not divide the noise.")
def mean_without_division(images, ws, noise):
    return size(torch.autograd.grad((images * noise).mean(), ws, create_graph=True)[0])


@mistake("Multiply the images by y before you sum. You differentiate the plain sum of the images.")
def noise_forgotten(images, ws, noise):
    return size(torch.autograd.grad(images.sum(), ws, create_graph=True)[0])


@mistake("Multiply the images by y before you sum. You differentiate the plain sum of the images.")
def noise_forgotten_but_divided(images, ws, noise):
    return size(gradient(images, ws, torch.ones_like(noise)))


@mistake("Leave y as long as it falls out. You scale every y to length 1.")
def noise_normalised(images, ws, noise):
    y = F.normalize(noise.flatten(1), dim=1).view_as(noise)
    return size(torch.autograd.grad((images * y).sum(), ws, create_graph=True)[0])


@mistake("You return the squared length. Take the root at the end.")
def no_root(images, ws, noise):
    return size(gradient(images, ws, noise)).square()


@mistake("Divide the noise by √(HW), and take the root at the end. You return squared lengths that grow with the resolution.")
def no_root_and_not_divided(images, ws, noise):
    return size(torch.autograd.grad((images * noise).sum(), ws, create_graph=True)[0]).square()


@mistake("Over w_dim the squares are summed; that is what a length is. You average them.")
def mean_over_w(images, ws, noise):
    return gradient(images, ws, noise).square().mean(dim=(1, 2)).sqrt()


@mistake("Sum over w_dim and average over the layers. You do it the other way round.")
def sum_and_mean_exchanged(images, ws, noise):
    return gradient(images, ws, noise).square().mean(dim=2).sum(dim=1).sqrt()


@mistake("Square the gradient before you sum it. You sum absolute values.")
def absolute_values(images, ws, noise):
    return gradient(images, ws, noise).abs().sum(dim=2).mean(dim=1)


@mistake("Square the gradient before you average over the layers.")
def layers_averaged_before_squaring(images, ws, noise):
    return gradient(images, ws, noise).mean(dim=1).norm(dim=1)


@mistake("Every layer has a length of its own; average their squares. You add up the gradients of the layers.")
def layers_added_before_squaring(images, ws, noise):
    return gradient(images, ws, noise).sum(dim=1).norm(dim=1)


@mistake("Use all layers. You take the first one only.")
def first_layer(images, ws, noise):
    return gradient(images, ws, noise)[:, 0].norm(dim=1)


@mistake("Return one length for each image. You return one for each layer of each image: average the squares over the layers.")
def one_for_each_layer(images, ws, noise):
    return gradient(images, ws, noise).norm(dim=2)


@mistake("Return one length for each image, [N]. You average over the batch.")
def batch_averaged(images, ws, noise):
    return size(gradient(images, ws, noise)).mean()


@mistake("Return one length for each image, [N]. You mix the images of the batch into one length.")
def batch_mixed(images, ws, noise):
    return gradient(images, ws, noise).square().sum(dim=2).mean().sqrt()


@path_lengths.alternative
def by_grad_outputs(images, ws, noise):
    h, w = images.shape[-2:]
    grads = torch.autograd.grad(images, ws, noise / (h * w) ** 0.5, create_graph=True)[0]
    return torch.sqrt(torch.mean(torch.sum(grads ** 2, dim=-1), dim=-1))


@path_lengths.alternative
def divided_at_the_end(images, ws, noise):
    grads, = torch.autograd.grad([(images * noise.detach()).sum()], [ws], create_graph=True, retain_graph=True)
    return (grads.flatten(1).square().sum(1) / (ws.shape[1] * images[0, 0].numel())) ** 0.5


@path_lengths.alternative
def image_by_image(images, ws, noise):
    y = noise / images[0, 0].numel() ** 0.5
    grads = [torch.autograd.grad((x * v).sum(), ws, create_graph=True)[0][i] for i, (x, v) in enumerate(zip(images, y))]
    return torch.stack([g.norm(dim=1).square().mean().sqrt() for g in grads])


EXERCISES = (path_lengths,)
