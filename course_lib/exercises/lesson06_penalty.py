"""Lesson 06, exercise 2: the penalty on path lengths."""
import torch
import torch.nn.functional as F

from .. import losses
from .engine import Exercise
from .lesson06 import WITHOUT_GRADIENT, Painter, by_grad_outputs, painted
from .probes import normal
from .proof import Proof, descend, lines


def penalised(what, *sizes, mean=1.0, decay=None, **options):
    given = {"mean": mean} | ({} if decay is None else {"decay": decay})
    return painted(what, *sizes, fixed=("noise", "mean"), options=given, **options)


@torch.enable_grad()
def toy_descent(network):
    """Forty steps of a small generator down the penalty: the mean of its lengths, a, and the spread of its lengths."""
    painter, mean, rows = Painter(2, 4, (4, 4), torch.float32, seed=9), 0.0, []
    noise = normal(24, 3, 4, 4, seed=2, dtype=torch.float32)
    for _ in range(40):
        ws = normal(24, 2, 4, seed=1, dtype=torch.float32).requires_grad_()
        images = painter(ws)
        lengths = losses.path_lengths(images, ws, noise)
        penalty, mean = losses.path_length_penalty(images, ws, noise, mean, decay=0.4)
        mean = torch.as_tensor(mean).detach().mean()
        rows.append(torch.stack([lengths.mean(), mean, lengths.std() / lengths.mean()]).detach())
        descend(painter, penalty.mean(), 0.03)
    return torch.stack(rows, dim=1)


path_length_penalty = Exercise(
    "06.path_length_penalty", "path_length_penalty(images, ws, noise, mean, decay=0.01)",
    conventions="Return (penalty [N], a []): a is the moving mean of the lengths, moved from `mean` (a number or a 0-d tensor) by "
                "the share `decay` towards the mean of this batch, and the penalty is (‖Jᵀy‖ − a)² with this new a. a is not "
                "detached inside the penalty. `losses.path_lengths` gives the lengths.",
    production=losses.path_length_penalty, returns="tensor and state", single=True,
    probes=[penalised("three images, mean = 1, the default decay", 3, 2, 5, (4, 6)),
            penalised("decay = 0.5 and mean = 0", 3, 3, 4, (3, 5), mean=0.0, decay=0.5),
            penalised("decay = 0.3 and a mean above all lengths", 4, 2, 6, (4, 4), mean=30.0, decay=0.3),
            penalised("a mean that is a 0-d tensor, in float32", 2, 4, 3, (3, 4), torch.float32, decay=0.2,
                      mean=normal(seed=2, dtype=torch.float32).abs()),
            penalised("a mean that is a 0-d tensor of zero", 3, 2, 7, (5, 3), torch.float32, mean=torch.zeros(())),
            penalised("one image and one layer", 1, 1, 5, (4, 4), mean=0.5, decay=0.25),
            penalised("decay = 0, so that the mean stays", 3, 2, 4, (2, 6), mean=2.0, decay=0.0),
            penalised("decay = 1 in float32", 3, 2, 6, (6, 3), torch.float32, mean=4.0, decay=1),
            penalised("a generator that is nearly linear", 3, 2, 8, (3, 3), decay=0.1, bend=1e-3)],
    proof=Proof("path_length_penalty", toy_descent, owner=losses, model=None, who="A small generator",
                what="learns as with the library's",
                draw=lines(range(40), "steps", "", ("mean length", "a", "spread / mean"))),
    hints=("In which order? Lengths, their mean over this batch, the new moving mean, and only then the penalty.",
           "a is mean + decay · (batch mean − mean), and torch.lerp(start, end, decay) computes that, if both are tensors: "
           "torch.as_tensor(mean, dtype=lengths.dtype)."))
mistake = path_length_penalty.mistake


def moved(mean, lengths, decay):
    return mean + decay * (lengths.mean() - mean)


@mistake("The penalty uses the new a. You move the mean, but subtract the old one.")
def old_mean(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - mean).square(), moved(mean, lengths, decay)


@mistake("Return the new a. You return the mean that was given to you.")
def old_mean_returned(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - moved(mean, lengths, decay)).square(), mean


@mistake("Neither the penalty nor what you return uses the new a: move the mean by the share `decay` first.")
def mean_never_moved(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - mean).square(), mean


@mistake("`decay` is the share of this batch, and the old mean keeps 1 − decay. With you it is the other way round.")
def decay_reversed(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, 1 - decay)
    return (lengths - mean).square(), mean


@mistake("Use the parameter decay. You write a number in its place.")
def decay_fixed(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, 0.01)
    return (lengths - mean).square(), mean


@mistake("The old mean keeps the share 1 − decay. With you it keeps all of it, and only grows.")
def share_not_taken_away(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = mean + decay * lengths.mean()
    return (lengths - mean).square(), mean


@mistake("a moves slowly, from `mean` by the share `decay`. You take the mean of this batch.")
def mean_of_the_batch(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - lengths.mean()).square(), lengths.mean()


@mistake("a moves slowly, from `mean` by the share `decay`. Your penalty subtracts the mean of this batch.")
def mean_of_the_batch_in_the_penalty(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - lengths.mean()).square(), moved(mean, lengths, decay)


@mistake("Return the new a. You return the mean of this batch.")
def batch_mean_returned(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - moved(mean, lengths, decay)).square(), lengths.mean()


@mistake("a moves towards the mean of this batch. You take the sum.")
def sum_of_the_batch(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths * len(lengths), decay)
    return (lengths - mean).square(), mean


@mistake("a is one number for all images, moved towards the mean of the batch. You move it towards each length apart.")
def moved_for_each_image(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - (mean + decay * (lengths - mean))).square(), moved(mean, lengths, decay)


@mistake("a moves once, towards the mean of the whole batch. You move it again for every image.")
def moved_image_by_image(images, ws, noise, mean, decay=0.01):
    penalties = []
    for length in losses.path_lengths(images, ws, noise):
        mean = mean + decay * (length - mean)
        penalties.append((length - mean).square())
    return torch.stack(penalties), mean


@mistake("Here, as in the official code, a is not detached inside the penalty: part of the gradient flows through it. Detach it "
         "only to store it.")
def mean_detached(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay).detach()
    return (lengths - mean).square(), mean


@mistake(WITHOUT_GRADIENT)
def no_gradient_at_all(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise).detach()
    mean = moved(mean, lengths, decay)
    return (lengths - mean).square(), mean


@mistake("Return one penalty for each image, [N]. You average over the batch.", visible=False)
def penalty_averaged(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return (lengths - mean).square().mean(), mean


@mistake("The difference to a is squared for each image. You average the lengths first.")
def lengths_averaged_first(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return (lengths.mean() - mean).square(), mean


@mistake("Square the difference. You take its absolute value.")
def absolute_difference(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return (lengths - mean).abs(), mean


@mistake("Square the difference. Without that, lengths below a are rewarded.")
def not_squared(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return lengths - mean, mean


@mistake("Subtract a from the lengths. You pull them all towards 0.")
def towards_zero(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return lengths.square(), moved(mean, lengths, decay)


@mistake("Leave out the ½: Eq. 4 has none.")
def halved(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return (lengths - mean).square() / 2, mean


@mistake("a is a moving mean of the lengths. You average their squares.")
def mean_of_squares(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths.square(), decay)
    return (lengths - mean).square(), mean


@mistake("The penalty and a compare lengths. You square the lengths first.")
def squares_for_lengths(images, ws, noise, mean, decay=0.01):
    squares = losses.path_lengths(images, ws, noise).square()
    mean = moved(mean, squares, decay)
    return (squares - mean).square(), mean


@mistake("Subtract first, then square. You subtract the squares.")
def difference_of_squares(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return lengths.square() - mean.square(), mean


@mistake("Return (penalty, a), in this order. You return a first.")
def exchanged(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    mean = moved(mean, lengths, decay)
    return mean, (lengths - mean).square()


@mistake("Return two things, the penalty and the new a: the next step needs it.")
def mean_not_returned(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    return (lengths - moved(mean, lengths, decay)).square()


@path_length_penalty.alternative
def by_shares(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    a = (1 - decay) * mean + decay * lengths.mean()
    return (lengths - a) ** 2, a


@path_length_penalty.alternative
def stored_mean_detached(images, ws, noise, mean, decay=0.01):
    lengths = by_grad_outputs(images, ws, noise)
    a = torch.lerp(torch.tensor(float(mean), dtype=lengths.dtype), lengths.mean(), decay)
    return F.mse_loss(lengths, a.expand_as(lengths), reduction="none"), a.detach()


@path_length_penalty.alternative
def mean_as_a_number(images, ws, noise, mean, decay=0.01):
    lengths = losses.path_lengths(images, ws, noise)
    a = torch.lerp(torch.as_tensor(mean), lengths.mean(), decay)
    return (lengths - a).square(), a.item()


EXERCISES = (path_length_penalty,)
