"""Lesson 06, exercises 3 and 4, the optional part: R1, and Adam's constants for lazy regularization."""
import torch
import torch.nn.functional as F

from .. import losses, ops
from .engine import Exercise
from .lesson06 import WITHOUT_GRADIENT
from .probes import Computed, Probe, normal
from .proof import Proof, descend, lines

# Exercise 3


class Critic(torch.nn.Module):
    """Images → logits [N]: a convolution, tanh, (the deviation over the batch,) and a weight for every feature and pixel."""

    def __init__(self, size, dtype=torch.float64, stddev=False, bend=1.0, seed=0):
        super().__init__()
        self.stddev, self.bend = stddev, bend
        self.conv = torch.nn.Parameter(normal(4, 3, 3, 3, seed=seed, dtype=dtype, scale=0.3))
        self.out = torch.nn.Parameter(normal(4 + stddev, *size, seed=seed + 1, dtype=dtype))

    def forward(self, images):
        x = torch.tanh(self.bend * F.conv2d(images, self.conv, padding=1)) / self.bend
        x = ops.minibatch_stddev(x) if self.stddev else x
        return (x * self.out).sum(dim=(1, 2, 3))


def judged(what, n, size, dtype=torch.float64, **critic):
    seed = 100 * n + 10 * size[0] + size[1]
    return Probe(what, {"logits": Computed(Critic(size, dtype, seed=seed, **critic), "reals"),
                        "reals": normal(n, 3, *size, seed=seed + 2, dtype=dtype)})


@torch.enable_grad()
def critic_descent(network):
    """Forty steps of a small critic that tells bright images from dark ones: ‖∇D‖ of the reals and the logits' distance."""
    critic, rows = Critic((4, 4), torch.float32, seed=4), []
    noise = normal(2, 16, 3, 4, 4, seed=6, dtype=torch.float32)
    for _ in range(40):
        reals, fakes = (noise + torch.tensor([0.5, -0.5]).view(2, 1, 1, 1, 1)).requires_grad_().unbind()
        logits, others = critic(reals), critic(fakes)
        grads, = torch.autograd.grad(logits.sum(), reals, retain_graph=True)
        rows.append(torch.stack([grads.flatten(1).norm(dim=1).mean(), (logits.mean() - others.mean()).detach()]))
        penalty = losses.r1_penalty(critic(reals), reals)
        descend(critic, losses.discriminator_loss(logits, others).mean() + 0.5 * penalty.mean(), 0.02)
    return torch.stack(rows, dim=1)


r1_penalty = Exercise(
    "06.r1_penalty", "r1_penalty(logits, reals)",
    conventions="logits [N] were computed from reals [N, 3, H, W]. Return ‖∇D(x)‖² for each image, [N], without the factor γ/2: "
                "the gradient of the sum of the logits, squared and summed over an image. It is trained on, so it must itself "
                "be differentiable.",
    production=losses.r1_penalty, single=True,
    probes=[judged("three images", 3, (4, 6)),
            judged("one image", 1, (5, 3)),
            judged("float32", 3, (3, 5), torch.float32),
            judged("a critic whose samples see each other through minibatch_stddev", 4, (3, 4), stddev=True),
            judged("minibatch_stddev in float32", 3, (4, 4), torch.float32, stddev=True),
            judged("as many images as channels and rows", 3, (3, 2)),
            judged("images of one row", 2, (1, 8)),
            judged("a critic that is nearly linear", 3, (5, 4), bend=1e-3)],
    proof=Proof("r1_penalty", critic_descent, owner=losses, model=None, who="A small critic", what="learns as with the library's",
                draw=lines(range(40), "steps", "", ("‖∇D‖", "D(real) − D(fake)"))),
    hints=("torch.autograd.grad differentiates one number. Which number has all images' gradients in it?",
           "torch.autograd.grad(logits.sum(), reals, create_graph=True) returns a tuple with the gradient [N, 3, H, W]. Square "
           "it, and sum over dimensions 1, 2 and 3. (After backward() reals.grad is None: reals is no leaf. And it would fill the "
           "gradients of the critic too.)"))
mistake = r1_penalty.mistake
EACH_LOGIT = ("Differentiate the sum of all logits, once: with minibatch_stddev an image acts on the logits of others too, and "
              "these gradients add up before they are squared.")


def slopes(logits, reals):
    return torch.autograd.grad(logits.sum(), reals, create_graph=True)[0]


def energy(grads):
    return grads.square().sum(dim=(1, 2, 3))


@mistake(WITHOUT_GRADIENT)
def no_create_graph(logits, reals):
    return energy(torch.autograd.grad(logits.sum(), reals)[0])


@mistake("Differentiate the sum of the logits. You differentiate their mean, which divides the gradient by N.")
def mean_of_the_logits(logits, reals):
    return energy(slopes(logits / len(logits), reals))


@mistake("R1 is the squared length. Leave out the root.")
def root_taken(logits, reals):
    return energy(slopes(logits, reals)).sqrt()


@mistake("R1 is the squared length: leave out the root. And pass create_graph=True to torch.autograd.grad: R1 is trained on.")
def root_taken_without_a_graph(logits, reals):
    return energy(torch.autograd.grad(logits.sum(), reals)[0]).sqrt()


@mistake("Sum the squares over the image. You average them.")
def pixels_averaged(logits, reals):
    return slopes(logits, reals).square().mean(dim=(1, 2, 3))


@mistake("Average over nothing: the squares are summed over pixels and channels alike.")
def channels_averaged(logits, reals):
    return slopes(logits, reals).square().sum(dim=(2, 3)).mean(dim=1)


@mistake("Return one penalty for each image, [N]. You average over the batch.", visible=False)
def batch_averaged(logits, reals):
    return energy(slopes(logits, reals)).mean()


@mistake("Return one penalty for each image, [N]. You sum over the batch.")
def batch_summed(logits, reals):
    return energy(slopes(logits, reals)).sum()


@mistake("Return one penalty for each image, [N], without the ½. You average over the batch and halve.")
def batch_averaged_and_halved(logits, reals):
    return energy(slopes(logits, reals)).mean() / 2


@mistake("Leave out γ/2: the training loop multiplies by it.")
def halved(logits, reals):
    return energy(slopes(logits, reals)) / 2


@mistake("Leave out γ/2: the training loop multiplies by it.")
def times_five(logits, reals):
    return energy(slopes(logits, reals)) * 5


@mistake("Leave out γ/2: the training loop multiplies by it.")
def times_ten(logits, reals):
    return energy(slopes(logits, reals)) * 10


@mistake("Differentiate the logits themselves. You square them first.")
def logits_squared(logits, reals):
    return energy(slopes(logits.square(), reals))


@mistake("Differentiate the logits themselves. You differentiate a loss of them.")
def loss_differentiated(logits, reals):
    return energy(slopes(F.softplus(-logits), reals))


@mistake("Differentiate the logits themselves. You make probabilities of them first.")
def probabilities_differentiated(logits, reals):
    return energy(slopes(logits.sigmoid(), reals))


@mistake("Square the gradient before you sum it.")
def summed_before_squaring(logits, reals):
    return slopes(logits, reals).sum(dim=(1, 2, 3)).square()


@mistake("Square the gradient. You sum absolute values.")
def absolute_values(logits, reals):
    return slopes(logits, reals).abs().sum(dim=(1, 2, 3))


@mistake("R1 pulls the slope towards 0. The penalty of WGAN-GP pulls it towards 1.")
def towards_one(logits, reals):
    return (energy(slopes(logits, reals)).sqrt() - 1).square()


@mistake(EACH_LOGIT, visible=False)
def each_logit_alone(logits, reals):
    return energy(torch.stack([slopes(logit, reals)[i] for i, logit in enumerate(logits)]))


@mistake(EACH_LOGIT, visible=False)
def squared_for_each_logit(logits, reals):
    return sum(energy(slopes(logit, reals)) for logit in logits)


@r1_penalty.alternative
def by_grad_outputs(logits, reals):
    grads = torch.autograd.grad(logits, reals, torch.ones_like(logits), create_graph=True, retain_graph=True)[0]
    return grads.pow(2).reshape(len(grads), -1).sum(1)


@r1_penalty.alternative
def by_norm(logits, reals):
    grads, = torch.autograd.grad([logits.sum()], [reals], create_graph=True)
    return torch.linalg.vector_norm(grads, dim=(1, 2, 3)) ** 2


@r1_penalty.alternative
def by_einsum(logits, reals):
    grads = slopes(logits, reals)
    return torch.einsum("nchw,nchw->n", grads, grads)


# Exercise 4

def constants(network):
    """lr (relative), β1 and β2 for the intervals 1 to 16."""
    found = [losses.lazy_adam(0.002, (0.5, 0.9), interval) for interval in range(1, 17)]
    return torch.tensor([[float(x) for x in (lr / 0.002, *betas)] for lr, betas in found]).T


lazy_adam = Exercise(
    "06.lazy_adam", "lazy_adam(lr, betas, interval)",
    conventions="A regularizer runs as a step of its own after every `interval` steps, so Adam takes interval + 1 steps where it "
                "took `interval`. With c = interval / (interval + 1), return (lr · c, (β1^c, β2^c)) as Python numbers.",
    production=losses.lazy_adam, returns="numbers", tolerance=1e-6,
    probes=[Probe(f"lr = {lr}, betas = {betas}, interval = {interval}", {"lr": lr, "betas": betas, "interval": interval})
            for lr, betas, interval in ((0.002, (0.0, 0.99), 16), (0.002, (0.0, 0.99), 4), (0.5, (0.9, 0.999), 8),
                                        (0.3, (0.5, 0.9), 2), (0.7, (0.5, 0.8), 1), (1.5, [0.3, 0.6], 3), (2, (0.6, 0.4), 100))],
    proof=Proof("lazy_adam", constants, owner=losses, model=None, who="The plot", what="shows the same curves",
                draw=lines(range(1, 17), "interval", "", ("lr, relative", "β1 of 0.5", "β2 of 0.9"))),
    hints=("Sixteen steps of Adam become seventeen. What must a step multiply its memory by, so that seventeen steps forget as "
           "much as sixteen did?",
           "β^c, taken (interval + 1) times, is β^interval: raise each beta to the power c. The learning rate adds up instead, "
           "so it is multiplied by c."))


PARENTHESES = "A division comes before a sum, and a power before both: write interval / (interval + 1), with both parentheses."
OWN_STEPS = "c = interval / (interval + 1) is close to 1. You have the share of the regularizer's own steps."


def by_rule(share=lambda k: k / (k + 1), rate=lambda lr, c, k: lr * c, beta=lambda b, c, k: b ** c):
    """lazy_adam with another c, another learning rate, or other betas."""
    def rule(lr, betas, interval):
        c = share(interval)
        return rate(lr, c, interval), tuple(beta(b, c, interval) for b in betas)
    return rule


for _name, _message, _rule in (
        ("c_reversed", "c = interval / (interval + 1) is below 1. You have (interval + 1) / interval.",
         by_rule(lambda k: (k + 1) / k)),
        ("one_less_below", "Adam takes one step more, not one less: c = interval / (interval + 1).",
         by_rule(lambda k: k / (k - 1))),
        ("one_less_above", "Adam takes one step more: c = interval / (interval + 1), not (interval − 1) / interval.",
         by_rule(lambda k: (k - 1) / k)),
        ("one_by_the_interval", OWN_STEPS,
         by_rule(lambda k: 1 / k)),
        ("share_of_the_regularizer", OWN_STEPS,
         by_rule(lambda k: 1 / (k + 1))),
        ("without_c", "c is not used at all: neither lr nor the betas change.", by_rule(lambda k: 1)),
        ("betas_multiplied", "Raise the betas to the power c. You multiply them by c.", by_rule(beta=lambda b, c, k: b * c)),
        ("betas_unchanged", "The betas change too: β^c.", by_rule(beta=lambda b, c, k: b)),
        ("betas_by_the_interval", "The power of the betas is c. You take the interval.", by_rule(beta=lambda b, c, k: b ** k)),
        ("betas_by_the_inverse", "The power of the betas is c. You take 1 / c.", by_rule(beta=lambda b, c, k: b ** (1 / c))),
        ("memory_scaled", "Raise the betas to the power c. You scale 1 − β, which is nearly the same only for β near 1.",
         by_rule(beta=lambda b, c, k: 1 - (1 - b) * c)),
        ("lr_unchanged", "The learning rate changes too: lr · c.", by_rule(rate=lambda lr, c, k: lr)),
        ("lr_to_a_power", "Multiply the learning rate by c. You raise it to the power c.",
         by_rule(rate=lambda lr, c, k: lr ** c)),
        ("lr_by_the_inverse", "Multiply the learning rate by c. You divide by it.", by_rule(rate=lambda lr, c, k: lr / c)),
        ("lr_times_the_interval", "Multiply the learning rate by c. What is multiplied by the interval is the regularizer.",
         by_rule(rate=lambda lr, c, k: lr * k)),
        ("penalty_in_the_rate", "Multiply the learning rate by c alone. What is multiplied by the interval is the regularizer.",
         by_rule(rate=lambda lr, c, k: lr * c * k)),
        ("sum_after_the_division", PARENTHESES, by_rule(lambda k: k / k + 1)),
        ("one_added", PARENTHESES, by_rule(rate=lambda lr, c, k: lr * k / k + 1, beta=lambda b, c, k: b ** (k / k + 1))),
        ("power_before_the_division", PARENTHESES, by_rule(beta=lambda b, c, k: b ** k / (k + 1))),
        ("without_parentheses", PARENTHESES,
         by_rule(rate=lambda lr, c, k: lr * k / k + 1, beta=lambda b, c, k: b ** k / k + 1)),
        ("lr_by_the_root", "Multiply the learning rate by c. You take its root.", by_rule(rate=lambda lr, c, k: lr * c ** 0.5))):
    _rule.__name__ = _name
    lazy_adam.mistake(_message)(_rule)


@lazy_adam.mistake("β1 changes too: both betas are raised to the power c.")
def only_beta2(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[0], betas[1] ** c)


@lazy_adam.mistake("β2 changes too: both betas are raised to the power c.")
def only_beta1(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1])


@lazy_adam.mistake("Return β1 before β2, as they are given. You exchange them.")
def betas_exchanged(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, (betas[1] ** c, betas[0] ** c)


@lazy_adam.mistake("Return (lr, (β1, β2)): the betas are a tuple of their own, as Adam takes them.")
def three_numbers(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, betas[0] ** c, betas[1] ** c


@lazy_adam.alternative
def by_names(lr, betas, interval):
    beta1, beta2 = betas
    c = 1 - 1 / (interval + 1)
    return c * lr, [beta1 ** c, beta2 ** c]


@lazy_adam.alternative
def by_torch(lr, betas, interval):
    c = interval / (interval + 1)
    return lr * c, tuple((torch.tensor(betas) ** c).tolist())


EXERCISES = (r1_penalty, lazy_adam)
