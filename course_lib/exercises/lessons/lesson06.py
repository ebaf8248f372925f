"""Lesson 06: path lengths by one backward pass, their penalty, R1, and Adam of a regularizer that comes every few steps."""
import torch
import torch.nn.functional as F

from ... import losses
from ..engine import Case, Computed, Exercise, ModelCheck, curves, descend, draw, way_between, wrong
from .shared import WITHOUT_GRADIENT, Critic


class Painter(torch.nn.Module):
    """Images of ws: every layer adds its own, tanh(bend · w A) B / bend. A small bend is nearly linear; `ignored` last layers
    add nothing; B has entries of about `scale`."""

    def __init__(self, layers, dim, size, dtype=torch.float64, bend=1.0, ignored=0, scale=1.0, seed=0):
        super().__init__()
        self.size, self.bend, self.used = size, bend, layers - ignored
        self.a = torch.nn.Parameter(draw(self.used, dim, 6, seed=seed, dtype=dtype, scale=dim ** -0.5))
        self.b = torch.nn.Parameter(draw(self.used, 6, 3 * size[0] * size[1], seed=seed + 1, dtype=dtype, scale=scale))

    def forward(self, ws):
        hidden = torch.einsum("nld,ldk->nlk", ws[:, :self.used], self.a)
        images = torch.einsum("nlk,lkp->np", torch.tanh(self.bend * hidden) / self.bend, self.b)
        return images.reshape(-1, 3, *self.size)


def painted(what, n, layers, dim, size, dtype=torch.float64, options=(), **painter):
    seed = 100 * n + 10 * layers + dim
    return Case(what, {"images": Computed(Painter(layers, dim, size, dtype, seed=seed, **painter), "ws"),
                        "ws": draw(n, layers, dim, seed=seed + 2, dtype=dtype),
                        "noise": draw(n, 3, *size, seed=seed + 3, dtype=dtype), **dict(options)})


@torch.enable_grad()
def lengths_on_the_way(generator):
    """Of six portraits on the way from one latent to another, with the same noise for all."""
    ws = way_between(generator, 6)[1].requires_grad_()
    images = generator.synthesis(ws, noise="const")
    noise = draw(*images.shape[1:], seed=5, dtype=images.dtype).expand_as(images)
    return losses.path_lengths(images, ws, noise).expand(1, len(ws))


def gradient(images, ws, noise, **options):
    y = noise / (images.shape[2] * images.shape[3]) ** 0.5
    return torch.autograd.grad((images * y).sum(), ws, **options or {"create_graph": True})[0]


def size(grads):
    return grads.square().sum(dim=2).mean(dim=1).sqrt()


def scaled(factor):
    """The right lengths times a factor that depends on images and ws."""
    return lambda images, ws, noise: size(gradient(images, ws, noise)) * factor(images, ws)


def noise_normalised(images, ws, noise):
    y = F.normalize(noise.flatten(1), dim=1).view_as(noise)
    return size(torch.autograd.grad((images * y).sum(), ws, create_graph=True)[0])


def by_grad_outputs(images, ws, noise):
    h, w = images.shape[-2:]
    grads = torch.autograd.grad(images, ws, noise / (h * w) ** 0.5, create_graph=True)[0]
    return torch.sqrt(torch.mean(torch.sum(grads ** 2, dim=-1), dim=-1))


def divided_at_the_end(images, ws, noise):
    grads, = torch.autograd.grad([(images * noise.detach()).sum()], [ws], create_graph=True, retain_graph=True)
    return (grads.flatten(1).square().sum(1) / (ws.shape[1] * images[0, 0].numel())) ** 0.5


def image_by_image(images, ws, noise):
    y = noise / images[0, 0].numel() ** 0.5
    grads = [torch.autograd.grad((x * v).sum(), ws, create_graph=True)[0][i] for i, (x, v) in enumerate(zip(images, y))]
    return torch.stack([g.norm(dim=1).square().mean().sqrt() for g in grads])


path_lengths = Exercise(
    "06.path_lengths", "path_lengths(images, ws, noise)",
    conventions="images [N, 3, H, W] were computed from ws [N, num_ws, w_dim]; noise ~ N(0, 1) is like images. Return ‖Jᵀy‖ [N] "
                "with y = noise / √(HW): the squared length for each layer, averaged over the layers, then the root. The result is "
                "trained on, so it must itself be differentiable.",
    hints=("One backward pass gives Jᵀy: the gradient of the single number Σ images · y with respect to ws. What shape does it "
           "have, and which dimension is w_dim?",
           "torch.autograd.grad((images * y).sum(), ws, create_graph=True) returns a tuple with the gradient [N, num_ws, w_dim]. "
           "Square, sum over dimension 2, mean over dimension 1, root. (After backward() ws.grad is None: ws is no leaf.)"),
    without_gradient=("noise",), production=losses.path_lengths, single=True,
    model_check=ModelCheck(lengths_on_the_way, what="finds the same lengths",
                           plot=curves([0, 0.2, 0.4, 0.6, 0.8, 1], "from one latent to another", "‖Jᵀy‖")),
    cases=[
        painted("three images of two layers", 3, 2, 5, (4, 6)),
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
    wrong=[
        wrong(WITHOUT_GRADIENT, visible=False,
              no_create_graph=lambda images, ws, noise: size(gradient(images, ws, noise, create_graph=False))),
        wrong("Average the squared lengths over the layers. You sum them.",
              layers_summed=lambda images, ws, noise: gradient(images, ws, noise).square().sum(dim=(1, 2)).sqrt()),
        wrong("Average over the layers first, then take the root. You average the roots.",
              root_before_the_mean=lambda images, ws, noise: gradient(images, ws, noise).norm(dim=2).mean(dim=1)),
        wrong("The mean over the layers belongs inside the root. You divide by their number outside.",
              layers_divided_outside=lambda images, ws, noise: gradient(images, ws, noise).norm(dim=(1, 2)) / ws.shape[1]),
        wrong("Average the squared lengths over the layers, then take one root. You add up the roots of the layers.",
              roots_summed=lambda images, ws, noise: gradient(images, ws, noise).norm(dim=2).sum(dim=1)),
        wrong("Divide the noise by the root of H·W. You divide by H·W itself.",
              divided_by_the_pixels=lambda images, ws, noise: (
                  scaled(lambda images, ws: (images.shape[2] * images.shape[3]) ** -0.5)(images, ws, noise))),
        wrong("Divide the noise by √(HW). Without that the lengths grow with the resolution.",
              not_divided=lambda images, ws, noise: (
                  scaled(lambda images, ws: (images.shape[2] * images.shape[3]) ** 0.5)(images, ws, noise))),
        wrong("Divide the noise by √(HW). You multiply by it.",
              noise_multiplied=lambda images, ws, noise: (
                  scaled(lambda images, ws: images.shape[2] * images.shape[3])(images, ws, noise))),
        wrong("H·W counts pixels only. You count the three channels too.",
              channels_counted=lambda images, ws, noise: scaled(lambda images, ws: images.shape[1] ** -0.5)(images, ws, noise)),
        wrong("H and W are dimensions 2 and 3 of images. You multiply dimensions 1 and 2.",
              channels_for_columns=lambda images, ws, noise: (
                  scaled(lambda images, ws: (images.shape[3] / images.shape[1]) ** 0.5)(images, ws, noise))),
        wrong("The images need not be square: divide by √(H·W). You use one of the two sizes twice.", visible=False,
              rows_twice=lambda images, ws, noise: (
                  scaled(lambda images, ws: (images.shape[3] / images.shape[2]) ** 0.5)(images, ws, noise)),
              columns_twice=lambda images, ws, noise: (
                  scaled(lambda images, ws: (images.shape[2] / images.shape[3]) ** 0.5)(images, ws, noise))),
        wrong("⟨images, y⟩ is a sum. You differentiate a mean, which divides by the number of values.",
              mean_differentiated=lambda images, ws, noise: scaled(lambda images, ws: 1 / images.numel())(images, ws, noise),
              mean_of_each_image=lambda images, ws, noise: scaled(lambda images, ws: 1 / images[0].numel())(images, ws, noise)),
        wrong("⟨images, y⟩ is a sum, and y = noise / √(HW). You differentiate a mean, and do not divide the noise.",
              mean_without_division=lambda images, ws, noise: (
                  size(torch.autograd.grad((images * noise).mean(), ws, create_graph=True)[0]))),
        wrong("Multiply the images by y before you sum. You differentiate the plain sum of the images.",
              noise_forgotten=lambda images, ws, noise: size(torch.autograd.grad(images.sum(), ws, create_graph=True)[0]),
              noise_forgotten_but_divided=lambda images, ws, noise: size(gradient(images, ws, torch.ones_like(noise)))),
        wrong("Leave y as long as it falls out. You scale every y to length 1.", noise_normalised),
        wrong("You return the squared length. Take the root at the end.",
              no_root=lambda images, ws, noise: size(gradient(images, ws, noise)).square()),
        wrong("Divide the noise by √(HW), and take the root at the end. You return squared lengths that grow with the resolution.",
              no_root_and_not_divided=lambda images, ws, noise: (
                  size(torch.autograd.grad((images * noise).sum(), ws, create_graph=True)[0]).square())),
        wrong("Over w_dim the squares are summed; that is what a length is. You average them.",
              mean_over_w=lambda images, ws, noise: gradient(images, ws, noise).square().mean(dim=(1, 2)).sqrt()),
        wrong("Sum over w_dim and average over the layers. You do it the other way round.",
              sum_and_mean_exchanged=lambda images, ws, noise: gradient(images, ws, noise).square().mean(dim=2).sum(dim=1).sqrt()),
        wrong("Square the gradient before you sum it. You sum absolute values.",
              absolute_values=lambda images, ws, noise: gradient(images, ws, noise).abs().sum(dim=2).mean(dim=1)),
        wrong("Square the gradient before you average over the layers.",
              layers_averaged_before_squaring=lambda images, ws, noise: gradient(images, ws, noise).mean(dim=1).norm(dim=1)),
        wrong("Every layer has a length of its own; average their squares. You add up the gradients of the layers.",
              layers_added_before_squaring=lambda images, ws, noise: gradient(images, ws, noise).sum(dim=1).norm(dim=1)),
        wrong("Use all layers. You take the first one only.",
              first_layer=lambda images, ws, noise: gradient(images, ws, noise)[:, 0].norm(dim=1)),
        wrong("Return one length for each image. You return one for each layer of each image: average the squares over the layers.",
              one_for_each_layer=lambda images, ws, noise: gradient(images, ws, noise).norm(dim=2)),
        wrong("Return one length for each image, [N]. You average over the batch.",
              batch_averaged=lambda images, ws, noise: size(gradient(images, ws, noise)).mean()),
        wrong("Return one length for each image, [N]. You mix the images of the batch into one length.",
              batch_mixed=lambda images, ws, noise: gradient(images, ws, noise).square().sum(dim=2).mean().sqrt())],
    alternatives=[by_grad_outputs, divided_at_the_end, image_by_image])


def penalised(what, *sizes, mean=1.0, decay=None, **options):
    given = {"mean": mean} | ({} if decay is None else {"decay": decay})
    return painted(what, *sizes, options=given, **options)


@torch.enable_grad()
def toy_descent(network):
    """Forty steps of a small generator down the penalty: the mean of its lengths, a, and the spread of its lengths."""
    painter, mean, rows = Painter(2, 4, (4, 4), torch.float32, seed=9), 0.0, []
    noise = draw(24, 3, 4, 4, seed=2, dtype=torch.float32)
    for _ in range(40):
        ws = draw(24, 2, 4, seed=1, dtype=torch.float32).requires_grad_()
        images = painter(ws)
        lengths = losses.path_lengths(images, ws, noise)
        penalty, mean = losses.path_length_penalty(images, ws, noise, mean, decay=0.4)
        mean = torch.as_tensor(mean).detach().mean()
        rows.append(torch.stack([lengths.mean(), mean, lengths.std() / lengths.mean()]).detach())
        descend(painter, penalty.mean(), 0.03)
    return torch.stack(rows, dim=1)


def moved(mean, lengths, decay):
    return mean + decay * (lengths.mean() - mean)


def from_lengths(rule):
    """The function that returns rule(lengths, mean, decay)."""
    return lambda images, ws, noise, mean, decay=0.01: rule(losses.path_lengths(images, ws, noise), mean, decay)


def with_a(rule):
    """The function that returns rule(lengths, a), with the moving mean a as it is after this batch."""
    return from_lengths(lambda lengths, mean, decay: rule(lengths, moved(mean, lengths, decay)))


def with_another_a(change):
    """The right penalty, but with change(lengths, mean, decay) for a."""
    def rule(lengths, mean, decay):
        a = change(lengths, mean, decay)
        return (lengths - a).square(), a
    return from_lengths(rule)


def moved_image_by_image(images, ws, noise, mean, decay=0.01):
    penalties = []
    for length in losses.path_lengths(images, ws, noise):
        mean = mean + decay * (length - mean)
        penalties.append((length - mean).square())
    return torch.stack(penalties), mean


def by_shares(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    a = (1 - decay) * mean + decay * lengths.mean()
    return (lengths - a) ** 2, a


def stored_mean_detached(images, ws, noise, mean, decay=0.01):
    lengths = by_grad_outputs(images, ws, noise)
    a = torch.lerp(torch.tensor(float(mean), dtype=lengths.dtype), lengths.mean(), decay)
    return F.mse_loss(lengths, a.expand_as(lengths), reduction="none"), a.detach()


def mean_as_a_number(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    a = torch.lerp(torch.as_tensor(mean), lengths.mean(), decay)
    return (lengths - a).square(), a.item()


path_length_penalty = Exercise(
    "06.path_length_penalty", "path_length_penalty(images, ws, noise, mean, decay=0.01)",
    conventions="Return (penalty [N], a []): a is the moving mean of the lengths, moved from `mean` (a number or a 0-d tensor) by "
                "the share `decay` towards the mean of this batch, and the penalty is (‖Jᵀy‖ − a)² with this new a. a is not "
                "detached inside the penalty. `losses.path_lengths` gives the lengths.",
    hints=("In which order? Lengths, their mean over this batch, the new moving mean, and only then the penalty.",
           "a is mean + decay · (batch mean − mean), and torch.lerp(start, end, decay) computes that, if both are tensors: "
           "torch.as_tensor(mean, dtype=lengths.dtype)."),
    without_gradient=("noise", "mean"), production=losses.path_length_penalty, returns="tensor and state", single=True,
    model_check=ModelCheck(toy_descent, model=None, who="A small generator", what="learns as with the library's",
                           plot=curves(range(40), "steps", "", ("mean length", "a", "spread / mean"))),
    cases=[
        penalised("three images, mean = 1, the default decay", 3, 2, 5, (4, 6)),
        penalised("decay = 0.5 and mean = 0", 3, 3, 4, (3, 5), mean=0.0, decay=0.5),
        penalised("decay = 0.3 and a mean above all lengths", 4, 2, 6, (4, 4), mean=30.0, decay=0.3),
        penalised("a mean that is a 0-d tensor, in float32", 2, 4, 3, (3, 4), torch.float32, decay=0.2,
                  mean=draw(seed=2, dtype=torch.float32).abs()),
        penalised("a mean that is a 0-d tensor of zero", 3, 2, 7, (5, 3), torch.float32, mean=torch.zeros(())),
        penalised("one image and one layer", 1, 1, 5, (4, 4), mean=0.5, decay=0.25),
        penalised("decay = 0, so that the mean stays", 3, 2, 4, (2, 6), mean=2.0, decay=0.0),
        penalised("decay = 1 in float32", 3, 2, 6, (6, 3), torch.float32, mean=4.0, decay=1),
        penalised("a generator that is nearly linear", 3, 2, 8, (3, 3), decay=0.1, bend=1e-3)],
    wrong=[
        wrong("The penalty uses the new a. You move the mean, but subtract the old one.",
              old_mean=from_lengths(lambda lengths, mean, decay: ((lengths - mean).square(), moved(mean, lengths, decay)))),
        wrong("Return the new a. You return the mean that was given to you.",
              old_mean_returned=from_lengths(
                  lambda lengths, mean, decay: ((lengths - moved(mean, lengths, decay)).square(), mean))),
        wrong("Neither the penalty nor what you return uses the new a: move the mean by the share `decay` first.",
              mean_never_moved=from_lengths(lambda lengths, mean, decay: ((lengths - mean).square(), mean))),
        wrong("`decay` is the share of this batch, and the old mean keeps 1 − decay. With you it is the other way round.",
              decay_reversed=with_another_a(lambda lengths, mean, decay: moved(mean, lengths, 1 - decay))),
        wrong("Use the parameter decay. You write a number in its place.",
              decay_fixed=with_another_a(lambda lengths, mean, decay: moved(mean, lengths, 0.01))),
        wrong("The old mean keeps the share 1 − decay. With you it keeps all of it, and only grows.",
              share_not_taken_away=with_another_a(lambda lengths, mean, decay: mean + decay * lengths.mean())),
        wrong("a moves slowly, from `mean` by the share `decay`. You take the mean of this batch.",
              mean_of_the_batch=with_another_a(lambda lengths, mean, decay: lengths.mean())),
        wrong("a moves slowly, from `mean` by the share `decay`. Your penalty subtracts the mean of this batch.",
              mean_of_the_batch_in_the_penalty=with_a(lambda lengths, a: ((lengths - lengths.mean()).square(), a))),
        wrong("Return the new a. You return the mean of this batch.",
              batch_mean_returned=with_a(lambda lengths, a: ((lengths - a).square(), lengths.mean()))),
        wrong("a moves towards the mean of this batch. You take the sum.",
              sum_of_the_batch=with_another_a(lambda lengths, mean, decay: moved(mean, lengths * len(lengths), decay))),
        wrong("a is one number for all images, moved towards the mean of the batch. You move it towards each length apart.",
              moved_for_each_image=from_lengths(lambda lengths, mean, decay: (
                  (lengths - (mean + decay * (lengths - mean))).square(), moved(mean, lengths, decay)))),
        wrong("a moves once, towards the mean of the whole batch. You move it again for every image.", moved_image_by_image),
        wrong("Here, as in the official code, a is not detached inside the penalty: part of the gradient flows through it. Detach "
              "it only to store it.",
              mean_detached=with_another_a(lambda lengths, mean, decay: moved(mean, lengths, decay).detach())),
        wrong(WITHOUT_GRADIENT,
              no_gradient_at_all=from_lengths(lambda lengths, mean, decay: (
                  (lengths.detach() - moved(mean, lengths.detach(), decay)).square(), moved(mean, lengths.detach(), decay)))),
        wrong("Return one penalty for each image, [N]. You average over the batch.", visible=False,
              penalty_averaged=with_a(lambda lengths, a: ((lengths - a).square().mean(), a))),
        wrong("The difference to a is squared for each image. You average the lengths first.",
              lengths_averaged_first=with_a(lambda lengths, a: ((lengths.mean() - a).square(), a))),
        wrong("Square the difference. You take its absolute value.",
              absolute_difference=with_a(lambda lengths, a: ((lengths - a).abs(), a))),
        wrong("Square the difference. Without that, lengths below a are rewarded.",
              not_squared=with_a(lambda lengths, a: (lengths - a, a))),
        wrong("Subtract a from the lengths. You pull them all towards 0.",
              towards_zero=with_a(lambda lengths, a: (lengths.square(), a))),
        wrong("Leave out the ½: Eq. 4 has none.", halved=with_a(lambda lengths, a: ((lengths - a).square() / 2, a))),
        wrong("a is a moving mean of the lengths. You average their squares.",
              mean_of_squares=with_another_a(lambda lengths, mean, decay: moved(mean, lengths.square(), decay))),
        wrong("The penalty and a compare lengths. You square the lengths first.",
              squares_for_lengths=from_lengths(lambda lengths, mean, decay: (
                  (lengths.square() - moved(mean, lengths.square(), decay)).square(), moved(mean, lengths.square(), decay)))),
        wrong("Subtract first, then square. You subtract the squares.",
              difference_of_squares=with_a(lambda lengths, a: (lengths.square() - a.square(), a))),
        wrong("Return (penalty, a), in this order. You return a first.",
              exchanged=with_a(lambda lengths, a: (a, (lengths - a).square()))),
        wrong("Return two things, the penalty and the new a: the next step needs it.",
              mean_not_returned=with_a(lambda lengths, a: (lengths - a).square()))],
    alternatives=[by_shares, stored_mean_detached, mean_as_a_number])


def judged(what, n, size, dtype=torch.float64, **critic):
    seed = 100 * n + 10 * size[0] + size[1]
    return Case(what, {"logits": Computed(Critic(size, dtype, seed=seed, **critic), "reals"),
                        "reals": draw(n, 3, *size, seed=seed + 2, dtype=dtype)})


@torch.enable_grad()
def critic_descent(network):
    """Forty steps of a small critic that tells bright images from dark ones: ‖∇D‖ of the reals and the logits' distance."""
    critic, rows = Critic((4, 4), torch.float32, seed=4), []
    noise = draw(2, 16, 3, 4, 4, seed=6, dtype=torch.float32)
    for _ in range(40):
        reals, fakes = (noise + torch.tensor([0.5, -0.5]).view(2, 1, 1, 1, 1)).requires_grad_().unbind()
        logits, others = critic(reals), critic(fakes)
        grads, = torch.autograd.grad(logits.sum(), reals, retain_graph=True)
        rows.append(torch.stack([grads.flatten(1).norm(dim=1).mean(), (logits.mean() - others.mean()).detach()]))
        penalty = losses.r1_penalty(critic(reals), reals)
        descend(critic, losses.discriminator_loss(logits, others).mean() + 0.5 * penalty.mean(), 0.02)
    return torch.stack(rows, dim=1)


EACH_LOGIT = ("Differentiate the sum of all logits, once: with minibatch_stddev an image acts on the logits of others too, and "
              "these gradients add up before they are squared.")


def slopes(logits, reals):
    return torch.autograd.grad(logits.sum(), reals, create_graph=True)[0]


def energy(grads):
    return grads.square().sum(dim=(1, 2, 3))


def r1_by_grad_outputs(logits, reals):
    grads = torch.autograd.grad(logits, reals, torch.ones_like(logits), create_graph=True, retain_graph=True)[0]
    return grads.pow(2).reshape(len(grads), -1).sum(1)


def by_norm(logits, reals):
    grads, = torch.autograd.grad([logits.sum()], [reals], create_graph=True)
    return torch.linalg.vector_norm(grads, dim=(1, 2, 3)) ** 2


def by_einsum(logits, reals):
    grads = slopes(logits, reals)
    return torch.einsum("nchw,nchw->n", grads, grads)


r1_penalty = Exercise(
    "06.r1_penalty", "r1_penalty(logits, reals)",
    conventions="logits [N] were computed from reals [N, 3, H, W]. Return ‖∇D(x)‖² for each image, [N], without the factor γ/2: "
                "the gradient of the sum of the logits, squared and summed over an image. It is trained on, so it must itself be "
                "differentiable.",
    hints=("torch.autograd.grad differentiates one number. Which number has all images' gradients in it?",
           "torch.autograd.grad(logits.sum(), reals, create_graph=True) returns a tuple with the gradient [N, 3, H, W]. Square it, "
           "and sum over dimensions 1, 2 and 3. (After backward() reals.grad is None: reals is no leaf. And it would fill the "
           "gradients of the critic too.)"),
    production=losses.r1_penalty, single=True,
    model_check=ModelCheck(critic_descent, model=None, who="A small critic", what="learns as with the library's",
                           plot=curves(range(40), "steps", "", ("‖∇D‖", "D(real) − D(fake)"))),
    cases=[
        judged("three images", 3, (4, 6)),
        judged("one image", 1, (5, 3)),
        judged("float32", 3, (3, 5), torch.float32),
        judged("a critic whose samples see each other through minibatch_stddev", 4, (3, 4), stddev=True),
        judged("minibatch_stddev in float32", 3, (4, 4), torch.float32, stddev=True),
        judged("as many images as channels and rows", 3, (3, 2)),
        judged("images of one row", 2, (1, 8)),
        judged("a critic that is nearly linear", 3, (5, 4), bend=1e-3)],
    wrong=[
        wrong(WITHOUT_GRADIENT,
              no_create_graph=lambda logits, reals: energy(torch.autograd.grad(logits.sum(), reals)[0])),
        wrong("Differentiate the sum of the logits. You differentiate their mean, which divides the gradient by N.",
              mean_of_the_logits=lambda logits, reals: energy(slopes(logits / len(logits), reals))),
        wrong("R1 is the squared length. Leave out the root.",
              root_taken=lambda logits, reals: energy(slopes(logits, reals)).sqrt()),
        wrong("R1 is the squared length: leave out the root. And pass create_graph=True to torch.autograd.grad: R1 is trained on.",
              root_taken_without_a_graph=lambda logits, reals: energy(torch.autograd.grad(logits.sum(), reals)[0]).sqrt()),
        wrong("Sum the squares over the image. You average them.",
              pixels_averaged=lambda logits, reals: slopes(logits, reals).square().mean(dim=(1, 2, 3))),
        wrong("Average over nothing: the squares are summed over pixels and channels alike.",
              channels_averaged=lambda logits, reals: slopes(logits, reals).square().sum(dim=(2, 3)).mean(dim=1)),
        wrong("Return one penalty for each image, [N]. You average over the batch.", visible=False,
              batch_averaged=lambda logits, reals: energy(slopes(logits, reals)).mean()),
        wrong("Return one penalty for each image, [N]. You sum over the batch.",
              batch_summed=lambda logits, reals: energy(slopes(logits, reals)).sum()),
        wrong("Return one penalty for each image, [N], without the ½. You average over the batch and halve.",
              batch_averaged_and_halved=lambda logits, reals: energy(slopes(logits, reals)).mean() / 2),
        wrong("Leave out γ/2: the training loop multiplies by it.",
              halved=lambda logits, reals: energy(slopes(logits, reals)) / 2,
              times_five=lambda logits, reals: energy(slopes(logits, reals)) * 5,
              times_ten=lambda logits, reals: energy(slopes(logits, reals)) * 10),
        wrong("Differentiate the logits themselves. You square them first.",
              logits_squared=lambda logits, reals: energy(slopes(logits.square(), reals))),
        wrong("Differentiate the logits themselves. You differentiate a loss of them.",
              loss_differentiated=lambda logits, reals: energy(slopes(F.softplus(-logits), reals))),
        wrong("Differentiate the logits themselves. You make probabilities of them first.",
              probabilities_differentiated=lambda logits, reals: energy(slopes(logits.sigmoid(), reals))),
        wrong("Square the gradient before you sum it.",
              summed_before_squaring=lambda logits, reals: slopes(logits, reals).sum(dim=(1, 2, 3)).square()),
        wrong("Square the gradient. You sum absolute values.",
              absolute_values=lambda logits, reals: slopes(logits, reals).abs().sum(dim=(1, 2, 3))),
        wrong("R1 pulls the slope towards 0. The penalty of WGAN-GP pulls it towards 1.",
              towards_one=lambda logits, reals: (energy(slopes(logits, reals)).sqrt() - 1).square()),
        wrong(EACH_LOGIT, visible=False,
              each_logit_alone=lambda logits, reals: (
                  energy(torch.stack([slopes(logit, reals)[i] for i, logit in enumerate(logits)]))),
              squared_for_each_logit=lambda logits, reals: sum(energy(slopes(logit, reals)) for logit in logits))],
    alternatives=[r1_by_grad_outputs, by_norm, by_einsum])


def constants(network):
    """lr (relative), β1 and β2 for the intervals 1 to 16."""
    found = [losses.lazy_adam(0.002, (0.5, 0.9), interval) for interval in range(1, 17)]
    return torch.tensor([[float(x) for x in (lr / 0.002, *betas)] for lr, betas in found]).T


PARENTHESES = "A division comes before a sum, and a power before both: write interval / (interval + 1), with both parentheses."
OWN_STEPS = "c = interval / (interval + 1) is close to 1. You have the share of the regularizer's own steps."


def by_rule(share=lambda k: k / (k + 1), rate=lambda lr, c, k: lr * c, beta=lambda b, c, k: b ** c):
    """lazy_adam with another c, another learning rate, or other betas."""
    def rule(lr, betas, interval):
        c = share(interval)
        return rate(lr, c, interval), tuple(beta(b, c, interval) for b in betas)
    return rule


def only_beta2(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[0], betas[1] ** c)


def only_beta1(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1])


def betas_exchanged(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[1] ** c, betas[0] ** c)


def three_numbers(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, betas[0] ** c, betas[1] ** c


def by_names(lr, betas, interval):
    beta1, beta2 = betas
    c = 1 - 1 / (interval + 1)
    return c * lr, [beta1 ** c, beta2 ** c]


def by_torch(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, tuple((torch.tensor(betas) ** c).tolist())


lazy_adam = Exercise(
    "06.lazy_adam", "lazy_adam(lr, betas, interval)",
    conventions="A regularizer runs as a step of its own after every `interval` steps, so Adam takes interval + 1 steps where it "
                "took `interval`. With c = interval / (interval + 1), return (lr · c, (β1^c, β2^c)) as Python numbers.",
    hints=("Sixteen steps of Adam become seventeen. What must a step multiply its memory by, so that seventeen steps forget as "
           "much as sixteen did?",
           "β^c, taken (interval + 1) times, is β^interval: raise each beta to the power c. The learning rate adds up instead, so "
           "it is multiplied by c."),
    production=losses.lazy_adam, returns="numbers", tolerance=1e-6,
    model_check=ModelCheck(constants, model=None, who="The plot", what="shows the same curves",
                           plot=curves(range(1, 17), "interval", "", ("lr, relative", "β1 of 0.5", "β2 of 0.9"))),
    cases=[Case(f"lr = {lr}, betas = {betas}, interval = {interval}", {"lr": lr, "betas": betas, "interval": interval})
            for lr, betas, interval in ((0.002, (0.0, 0.99), 16), (0.002, (0.0, 0.99), 4), (0.5, (0.9, 0.999), 8),
                                        (0.3, (0.5, 0.9), 2), (0.7, (0.5, 0.8), 1), (1.5, [0.3, 0.6], 3), (2, (0.6, 0.4), 100))],
    wrong=[
        wrong("c = interval / (interval + 1) is below 1. You have (interval + 1) / interval.",
              c_reversed=by_rule(lambda k: (k + 1) / k)),
        wrong("Adam takes one step more, not one less: c = interval / (interval + 1).",
              one_less_below=by_rule(lambda k: k / (k - 1))),
        wrong("Adam takes one step more: c = interval / (interval + 1), not (interval − 1) / interval.",
              one_less_above=by_rule(lambda k: (k - 1) / k)),
        wrong(OWN_STEPS,
              one_by_the_interval=by_rule(lambda k: 1 / k),
              share_of_the_regularizer=by_rule(lambda k: 1 / (k + 1))),
        wrong("c is not used at all: neither lr nor the betas change.",
              without_c=by_rule(lambda k: 1)),
        wrong("Raise the betas to the power c. You multiply them by c.",
              betas_multiplied=by_rule(beta=lambda b, c, k: b * c)),
        wrong("The betas change too: β^c.",
              betas_unchanged=by_rule(beta=lambda b, c, k: b)),
        wrong("The power of the betas is c. You take the interval.",
              betas_by_the_interval=by_rule(beta=lambda b, c, k: b ** k)),
        wrong("The power of the betas is c. You take 1 / c.",
              betas_by_the_inverse=by_rule(beta=lambda b, c, k: b ** (1 / c))),
        wrong("Raise the betas to the power c. You scale 1 − β, which is nearly the same only for β near 1.",
              memory_scaled=by_rule(beta=lambda b, c, k: 1 - (1 - b) * c)),
        wrong("The learning rate changes too: lr · c.",
              lr_unchanged=by_rule(rate=lambda lr, c, k: lr)),
        wrong("Multiply the learning rate by c. You raise it to the power c.",
              lr_to_a_power=by_rule(rate=lambda lr, c, k: lr ** c)),
        wrong("Multiply the learning rate by c. You divide by it.",
              lr_by_the_inverse=by_rule(rate=lambda lr, c, k: lr / c)),
        wrong("Multiply the learning rate by c. What is multiplied by the interval is the regularizer.",
              lr_times_the_interval=by_rule(rate=lambda lr, c, k: lr * k)),
        wrong("Multiply the learning rate by c alone. What is multiplied by the interval is the regularizer.",
              penalty_in_the_rate=by_rule(rate=lambda lr, c, k: lr * c * k)),
        wrong(PARENTHESES,
              sum_after_the_division=by_rule(lambda k: k / k + 1),
              one_added=by_rule(rate=lambda lr, c, k: lr * k / k + 1, beta=lambda b, c, k: b ** (k / k + 1)),
              power_before_the_division=by_rule(beta=lambda b, c, k: b ** k / (k + 1)),
              without_parentheses=by_rule(rate=lambda lr, c, k: lr * k / k + 1, beta=lambda b, c, k: b ** k / k + 1)),
        wrong("Multiply the learning rate by c. You take its root.",
              lr_by_the_root=by_rule(rate=lambda lr, c, k: lr * c ** 0.5)),
        wrong("β1 changes too: both betas are raised to the power c.", only_beta2),
        wrong("β2 changes too: both betas are raised to the power c.", only_beta1),
        wrong("Return β1 before β2, as they are given. You exchange them.", betas_exchanged),
        wrong("Return (lr, (β1, β2)): the betas are a tuple of their own, as Adam takes them.", three_numbers)],
    alternatives=[by_names, by_torch])


EXERCISES = (path_lengths, path_length_penalty, r1_penalty, lazy_adam)
