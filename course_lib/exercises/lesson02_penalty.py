"""Lesson 02, exercise 4: the gradient penalty of WGAN-GP."""
import torch

from .. import losses
from .engine import Exercise
from .lesson06 import WITHOUT_GRADIENT
from .lesson06_lazy import Critic
from .probes import Probe, normal
from .proof import Proof, descend, lines


def reference(critic, reals, fakes, target, mix):
    return losses.gradient_penalty(critic, reals, fakes, target, mix)


def judged(what, n, size, target=1.0, mix=None, dtype=torch.float64, **critic):
    seed = 100 * n + 10 * size[0] + size[1]
    mix = normal(n, seed=seed + 5).sigmoid().to(dtype) if mix is None else torch.tensor(mix, dtype=dtype)
    return Probe(what, {"critic": Critic(size, dtype, seed=seed, **critic), "reals": normal(n, 3, *size, seed=seed + 2, dtype=dtype),
                        "fakes": 2 * normal(n, 3, *size, seed=seed + 3, dtype=dtype), "target": target, "mix": mix},
                 ("reals", "fakes", "mix"))


@torch.enable_grad()
def held_critic(network):
    """Forty steps of a small critic that tells bright images from dark ones, with λ = 10: its slope between them, and the logits'
    distance."""
    critic, rows = Critic((4, 5), torch.float32, seed=4), []
    noise, mix = normal(2, 16, 3, 4, 5, seed=6, dtype=torch.float32), torch.linspace(0.1, 0.7, 16)
    reals, fakes = noise + torch.tensor([0.5, -0.5]).view(2, 1, 1, 1, 1)
    for _ in range(40):
        between = torch.lerp(reals, fakes, mix.view(-1, 1, 1, 1)).requires_grad_()
        slope, = torch.autograd.grad(critic(between).sum(), between)
        logits, others = critic(reals), critic(fakes)
        rows.append(torch.stack([slope.flatten(1).norm(dim=1).mean(), (logits.mean() - others.mean()).detach()]))
        penalty = losses.gradient_penalty(critic, reals, fakes, 0.8, mix)
        descend(critic, losses.wasserstein_discriminator_loss(logits, others).mean() + 10 * penalty.mean(), 0.003)
    return torch.stack(rows, dim=1)


gradient_penalty = Exercise(
    "02.gradient_penalty", "gradient_penalty(critic, reals, fakes, target, mix)",
    conventions="critic is a function from images [N, 3, H, W] to logits [N]; reals and fakes are images, mix [N] is one number from 0 "
                "to 1 for each pair. x̂ = (1 − mix) · real + mix · fake. Return (‖∇D(x̂)‖ − target)² / target² for each image, [N]: "
                "the gradient of the sum of the logits with respect to x̂, its length over an image. The critic is trained on "
                "it, so it must itself be differentiable. The call leaves no gradient in the critic's parameters, and reals and fakes "
                "as they are.",
    production=losses.gradient_penalty, reference=reference,
    probes=[judged("three pairs, target = 1", 3, (4, 6)),
            judged("target = 2.5", 3, (5, 3), target=2.5),
            judged("target = 0.5 in float32", 3, (3, 5), target=0.5, dtype=torch.float32),
            judged("target = 750", 3, (4, 4), target=750.0),
            judged("mix = 0.3, 0 and 1", 3, (3, 4), mix=(0.3, 0.0, 1.0), target=2.0),
            judged("one pair", 1, (5, 4), target=3.0),
            judged("as many pairs as channels, rows and columns", 3, (3, 3), target=1.5),
            judged("four pairs, rows and columns, mix = 0.01, 0.99, 0.4, 0.7", 4, (4, 4), target=0.75, mix=(0.01, 0.99, 0.4, 0.7)),
            judged("a critic whose samples see each other through minibatch_stddev", 4, (3, 5), target=4.0, stddev=True),
            judged("minibatch_stddev in float32", 4, (4, 3), dtype=torch.float32, stddev=True),
            judged("a critic that is nearly linear", 3, (2, 5), target=2.0, bend=1e-3),
            judged("images of one row", 2, (1, 8))],
    proof=Proof("gradient_penalty", held_critic, owner=losses, model=None, who="A small critic", what="learns as with the library's",
                draw=lines(range(40), "steps", "", ("‖∇D‖", "D(real) − D(fake)"))),
    hints=("Three steps: the mixed images, the gradient of the critic at them, its length. mix[:, None, None, None] is [N, 1, 1, 1].",
           "torch.lerp(reals, fakes, …) ends in .requires_grad_(), for without it there is nothing to differentiate by. Then "
           "torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True) is a tuple with the gradient [N, 3, H, W]; square, sum "
           "over 1, 2, 3, root."))
mistake = gradient_penalty.mistake


def mixed(reals, fakes, mix):
    return torch.lerp(reals, fakes, mix[:, None, None, None]).requires_grad_()


def slopes(critic, x, of=torch.sum, **options):
    """The gradient at x, [N, 3, H, W]."""
    return torch.autograd.grad(of(critic(x)), x, **options or {"create_graph": True})[0]


def norms(critic, reals, fakes, mix, **options):
    return slopes(critic, mixed(reals, fakes, mix), **options).square().sum(dim=(1, 2, 3)).sqrt()


def penalty(length, target):
    return (length - target).square() / target ** 2


@mistake(WITHOUT_GRADIENT)
def no_create_graph(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix, create_graph=False), target)


@mistake("mix is the share of the fake: x̂ = (1 − mix) · real + mix · fake. With you it is that of the real.")
def mix_reversed(critic, reals, fakes, target, mix):
    return penalty(norms(critic, fakes, reals, mix), target)


@mistake("Use the number that `mix` gives for each pair. You take the middle.")
def mix_fixed(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, torch.full_like(mix, 0.5)), target)


@mistake("Every pair has a number of its own. You use the first for all.")
def mix_of_the_first(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix[:1].expand_as(mix)), target)


@mistake("Every pair has a number of its own. You use their mean.")
def mix_averaged(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix.mean().expand_as(mix)), target)


@mistake("mix holds one number for each pair, so it needs the shape [N, 1, 1, 1]. Yours acts along the columns.")
def mix_along_the_columns(critic, reals, fakes, target, mix):
    x = torch.lerp(reals, fakes, mix).requires_grad_()
    return penalty(slopes(critic, x).square().sum(dim=(1, 2, 3)).sqrt(), target)


@mistake("Take the gradient between the two: at (1 − mix) · real + mix · fake. You take it at the reals.")
def at_the_reals(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, reals, mix), target)


@mistake("Take the gradient between the two: at (1 − mix) · real + mix · fake. You take it at the fakes.")
def at_the_fakes(critic, reals, fakes, target, mix):
    return penalty(norms(critic, fakes, fakes, mix), target)


@mistake("You mix the logits of both. Mix the images, and ask the critic about the mixed one.")
def logits_mixed(critic, reals, fakes, target, mix):
    x, y = reals.clone().requires_grad_(), fakes.clone().requires_grad_()
    of_both = torch.autograd.grad(torch.lerp(critic(x), critic(y), mix).sum(), (x, y), create_graph=True)
    return penalty(sum(of_both).square().sum(dim=(1, 2, 3)).sqrt(), target)


@mistake("x̂ = (1 − mix) · real + mix · fake. Your two shares do not add up to 1.")
def share_not_taken_away(critic, reals, fakes, target, mix):
    x = (reals + mix[:, None, None, None] * fakes).requires_grad_()
    return penalty(slopes(critic, x).square().sum(dim=(1, 2, 3)).sqrt(), target)


@mistake("Differentiate the sum of the logits. You differentiate their mean, which divides the gradient by N.")
def mean_of_the_logits(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix, of=torch.mean, create_graph=True), target)


@mistake("Differentiate the sum of all logits, once: with minibatch_stddev an image acts on the logits of others too.", visible=False)
def each_logit_apart(critic, reals, fakes, target, mix):
    x = mixed(reals, fakes, mix)
    grads = torch.stack([torch.autograd.grad(logit, x, create_graph=True)[0][i] for i, logit in enumerate(critic(x))])
    return penalty(grads.square().sum(dim=(1, 2, 3)).sqrt(), target)


@mistake("The penalty compares the length with the target. Take the root of the sum of squares first.")
def no_root(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix).square(), target)


@mistake("Subtract the target from the length, then square. You subtract its square from the square of the length.")
def difference_of_squares(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix).square() - target ** 2) / target ** 2


@mistake("Subtract the target: the slope should be `target`, not 0. Without it this is R1 at x̂.")
def towards_zero(critic, reals, fakes, target, mix):
    return norms(critic, reals, fakes, mix).square() / target ** 2


@mistake("The slope may not be too small either: square the whole difference. You cut off what is below the target.", visible=False)
def one_sided(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix) - target).clamp(min=0).square() / target ** 2


@mistake("Square the difference. You take its absolute value.")
def absolute_difference(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix) - target).abs() / target


@mistake("Square the difference. Without that a slope below the target is rewarded.")
def not_squared(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix) - target) / target


@mistake("Divide by target², so that the penalty does not depend on the unit of the slope.")
def not_divided(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix) - target).square()


@mistake("Divide by target². You divide by target.")
def divided_once(critic, reals, fakes, target, mix):
    return (norms(critic, reals, fakes, mix) - target).square() / target


@mistake("Use the parameter target. You write 1 in its place.")
def target_fixed(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix), 1)


@mistake("Leave out λ: it is multiplied where the loss is put together.")
def weight_included(critic, reals, fakes, target, mix):
    return 10 * penalty(norms(critic, reals, fakes, mix), target)


@mistake("Leave out the ½: this penalty has none.")
def halved(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix), target) / 2


@mistake("The length is over channels and pixels together. You average the squares instead of adding them.")
def pixels_averaged(critic, reals, fakes, target, mix):
    return penalty(slopes(critic, mixed(reals, fakes, mix)).square().mean(dim=(1, 2, 3)).sqrt(), target)


@mistake("An image has one length, over channels and pixels together. You compare every pixel with the target.")
def pixel_by_pixel(critic, reals, fakes, target, mix):
    return penalty(slopes(critic, mixed(reals, fakes, mix)).square().sum(dim=1).sqrt(), target).mean(dim=(1, 2))


@mistake("An image has one length, over channels and pixels together. You compare every pixel with the target, and return a map.")
def a_map(critic, reals, fakes, target, mix):
    return penalty(slopes(critic, mixed(reals, fakes, mix)).norm(dim=1), target)


@mistake("The length is the root of the sum of squares. You add absolute values.")
def absolute_values(critic, reals, fakes, target, mix):
    return penalty(slopes(critic, mixed(reals, fakes, mix)).abs().sum(dim=(1, 2, 3)), target)


@mistake("Every image has a length of its own. You take one over the whole batch.")
def whole_batch(critic, reals, fakes, target, mix):
    return penalty(slopes(critic, mixed(reals, fakes, mix)).square().sum().sqrt().expand(len(reals)), target)


@mistake("Return one penalty for each image, [N]. You average over the batch; the training loop does that.", visible=False)
def averaged(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix), target).mean()


@mistake("Square each difference, then average. You average the lengths first.")
def lengths_averaged_first(critic, reals, fakes, target, mix):
    return penalty(norms(critic, reals, fakes, mix).mean(), target).expand(len(reals))


@gradient_penalty.alternative
def by_vector_norm(critic, reals, fakes, target, mix):
    share = mix.reshape(-1, 1, 1, 1)
    x = ((1 - share) * reals + share * fakes).detach().requires_grad_(True)
    logits = critic(x)
    grads = torch.autograd.grad(logits, x, torch.ones_like(logits), create_graph=True, retain_graph=True)[0]
    return (torch.linalg.vector_norm(grads.flatten(1), dim=1) / target - 1) ** 2


@gradient_penalty.alternative
def with_a_small_constant(critic, reals, fakes, target, mix):
    x = torch.autograd.Variable(reals + mix[:, None, None, None] * (fakes - reals), requires_grad=True)
    grads, = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return ((grads.pow(2).sum([1, 2, 3]) + 1e-12).sqrt() - target).pow(2) / target ** 2


@gradient_penalty.alternative
def from_the_functional_side(critic, reals, fakes, target, mix):
    x = torch.lerp(reals, fakes, mix[:, None, None, None])
    grads = torch.func.grad(lambda images: critic(images).sum())(x)
    return (grads.flatten(1).norm(dim=1) - target) ** 2 / target ** 2


EXERCISES = (gradient_penalty,)
