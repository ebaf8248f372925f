"""Lesson 04: noise, and what it moves."""
import torch

from .. import ops
from ..metrics import claims
from .engine import Exercise
from .probes import Probe, normal
from .proof import STYLEGAN, Proof, latents

# Exercise 1


def noisy(what, n, c, size, noise="own", strength="each", dtype=torch.float64, x=1.0):
    """noise: "own" [N, 1, H, W] or "shared" [H, W]. strength: "each" [C], "one" without dimensions, or a number."""
    seed = 100 * n + 10 * c + size[0]
    shape = (n, 1, *size) if noise == "own" else size
    strength = {"each": (c,), "one": ()}.get(strength, strength)
    if isinstance(strength, tuple):
        strength = normal(*strength, seed=seed + 2, dtype=dtype)
    return Probe(what, {"x": normal(n, c, *size, seed=seed, dtype=dtype, scale=x),
                        "noise": normal(*shape, seed=seed + 1, dtype=dtype), "strength": strength}, ("noise",))


@torch.no_grad()
def four_noises(generator):
    """One person with the stored noise, [H, W], and three times with noise of its own, [N, 1, H, W]."""
    z = latents(generator, 1)
    torch.manual_seed(0)
    return torch.cat([generator(z.expand(n, -1), psi=0.7, noise=noise, plain=True)
                      for n, noise in ((1, "const"), (3, "random"))])


add_noise = Exercise(
    "04.add_noise", "add_noise(x, noise, strength)",
    conventions="x is [N, C, H, W]. noise is [H, W], the same for the whole batch, or [N, 1, H, W]. strength is a number, a tensor "
                "without dimensions, or [C]: one for each feature map. Return x + strength · noise, a new tensor. Gradients must "
                "reach x and the strength.",
    production=ops.add_noise,
    probes=[noisy("three samples of five maps, each sample with its noise", 3, 5, (4, 6)),
            noisy("one noise for the batch", 3, 4, (5, 3), "shared"),
            noisy("a tensor without dimensions as strength", 2, 5, (3, 4), "own", "one"),
            noisy("a tensor without dimensions as strength, one noise for the batch", 3, 2, (4, 3), "shared", "one"),
            noisy("a strength that is a number, 0.25", 3, 6, (2, 5), "own", 0.25),
            noisy("a strength that is a number, −2, and one noise for the batch", 2, 3, (6, 4), "shared", -2),
            noisy("float32", 2, 6, (4, 5), dtype=torch.float32),
            noisy("as many samples as maps, rows and columns", 4, 4, (4, 4)),
            noisy("as many samples as maps, rows and columns, one noise for the batch", 3, 3, (3, 3), "shared"),
            noisy("2×2 maps", 3, 7, (2, 2)),
            noisy("one sample of one map", 1, 1, (3, 8)),
            noisy("a strength of 0, as it is before training", 3, 2, (3, 5), "own", 0.0),
            noisy("features of 0", 2, 4, (3, 3), x=0.0),
            noisy("features of about 0.00001 under one noise for the batch", 3, 5, (2, 6), "shared", x=1e-5)],
    proof=Proof("add_noise", four_noises, titles=("stored", "drawn", "drawn", "drawn"), model=STYLEGAN),
    hints=("Everything but the strength fits by broadcasting, for dimensions are aligned from the right. Where does the C of [C] "
           "stand in [N, C, H, W]?",
           "strength.view(-1, 1, 1), for [C], is [C, 1, 1], which fits onto [N, C, H, W] next to both noises. A number has no "
           "view: torch.as_tensor(strength) makes it a tensor, and leaves a tensor as it is."))
mistake = add_noise.mistake


def on_maps(strength):
    return torch.as_tensor(strength).view(-1, 1, 1)


def with_noise(change):
    """change(x, noise, strength), with strength [C, 1, 1] or [1, 1, 1]."""
    return lambda x, noise, strength: change(x, noise, on_maps(strength).to(x.dtype))


SHARED_BY_MAPS = "Every feature map has a strength of its own. You {}."
CENTRED = "Use the noise as it is. You subtract its mean."
OWN = "Every sample has noise of its own. You {}."
for _name, _message, _function in (
        ("no_strength", "Multiply the noise by its strength.", with_noise(lambda x, n, s: x + n + 0 * s)),
        ("multiplied", "Noise is added. You multiply the features by 1 + noise.", with_noise(lambda x, n, s: x * (1 + s * n))),
        ("only_multiplied", "Noise is added. You multiply the features by it.", with_noise(lambda x, n, s: x * n * s)),
        ("subtracted", "Add the noise. You subtract it.", with_noise(lambda x, n, s: x - s * n)),
        ("features_forgotten", "Add the noise to x. You return the noise alone.", with_noise(lambda x, n, s: 0 * x + s * n)),
        ("never_added", "You return the features as they are. Add strength · noise.", with_noise(lambda x, n, s: x + 0 * s * n)),
        ("features_scaled", "The strength multiplies the noise alone. You multiply the sum.",
         with_noise(lambda x, n, s: s * (x + n))),
        ("strength_of_the_features", "The strength multiplies the noise. You multiply the features.",
         with_noise(lambda x, n, s: s * x + n)),
        ("blended", "x stays as it is. You blend: (1 − strength) · x + strength · noise.",
         with_noise(lambda x, n, s: (1 - s) * x + s * n)),
        ("one_added", "Multiply by the strength, not by 1 + strength: at 0 there is no noise.",
         with_noise(lambda x, n, s: x + (1 + s) * n)),
        ("strength_divides", "Multiply the noise by its strength. You divide by it.", with_noise(lambda x, n, s: x + n / s)),
        ("strength_squared", "The strength multiplies once. You square it.", with_noise(lambda x, n, s: x + s.square() * n)),
        ("root_of_the_strength", "The strength multiplies as it is. You take its root, which is NaN for a negative one.",
         with_noise(lambda x, n, s: x + s.sqrt() * n)),
        ("absolute_strength", "Use the strength as it is, sign included.", with_noise(lambda x, n, s: x + s.abs() * n)),
        ("noise_squared", "Use the noise as it is. You square it.", with_noise(lambda x, n, s: x + s * n.square())),
        ("absolute_noise", "Use the noise as it is, sign included.", with_noise(lambda x, n, s: x + s * n.abs())),
        ("noise_centred", CENTRED, with_noise(lambda x, n, s: x + s * (n - n.mean(dim=(-2, -1), keepdim=True)))),
        ("noise_centred_over_the_batch", CENTRED, with_noise(lambda x, n, s: x + s * (n - n.mean()))),
        ("noise_flat", "Every pixel has noise of its own. You average it over the pixels.",
         with_noise(lambda x, n, s: x + s * n.mean(dim=(-2, -1), keepdim=True))),
        ("noise_normalised", "Use the noise as it is. You scale it to mean 0 and deviation 1.",
         with_noise(lambda x, n, s: x + s * (n - n.mean(dim=(-2, -1), keepdim=True)) / n.std(dim=(-2, -1), keepdim=True))),
        ("relative", "The noise does not depend on x. You multiply it by the deviation of the map.",
         with_noise(lambda x, n, s: x + s * n * x.std(dim=(2, 3), keepdim=True))),
        ("mean_strength", SHARED_BY_MAPS.format("use their mean for all"), with_noise(lambda x, n, s: x + s.mean() * n)),
        ("first_strength", SHARED_BY_MAPS.format("use the first one for all"), with_noise(lambda x, n, s: x + s[:1] * n)),
        ("strengths_added", SHARED_BY_MAPS.format("add them up"), with_noise(lambda x, n, s: x + s.sum() * n)),
        ("first_map_only", "The noise goes into every feature map. You add it to the first one only.",
         with_noise(lambda x, n, s: torch.cat([(x + s * n)[:, :1], x[:, 1:]], dim=1))),
        ("first_noise_for_all", OWN.format("give all of them that of the first"),
         with_noise(lambda x, n, s: x + s * (n[:1] if n.ndim == 4 else n))),
        ("mean_noise", OWN.format("average it over the batch"),
         with_noise(lambda x, n, s: x + s * (n.mean(dim=0) if n.ndim == 4 else n))),
        ("strength_by_number", "The strength may be a tensor [C]. Give it the shape [C, 1, 1], so that it belongs to the maps and "
         "not to the columns.", lambda x, noise, strength: x + strength * noise),
        ("strength_by_rows", "The strength belongs to a map: [C, 1, 1] fits onto [N, C, H, W]. Yours lies along H.",
         lambda x, noise, strength: x + torch.as_tensor(strength).to(x.dtype).view(-1, 1) * noise),
        ("strength_by_samples", "The strength belongs to a map: [C, 1, 1] fits onto [N, C, H, W]. Yours lies along N.",
         lambda x, noise, strength: x + torch.as_tensor(strength).to(x.dtype).view(-1, 1, 1, 1) * noise)):
    _function.__name__ = _name
    mistake(_message)(_function)


@mistake("The values are right, but no gradient reaches the strength, so it is never trained. Leave out detach() and .item(), and "
         "use torch.as_tensor: torch.tensor makes a copy.", visible=False)
def strength_not_trained(x, noise, strength):
    return x + on_maps(strength).detach().to(x.dtype) * noise


@add_noise.alternative
def by_a_view(x, noise, strength):
    if isinstance(strength, torch.Tensor) and strength.ndim == 1:
        strength = strength[:, None, None]
    return x + strength * noise


@add_noise.alternative
def with_all_dimensions(x, noise, strength):
    if not torch.is_tensor(strength):
        strength = torch.full((x.shape[1],), strength, dtype=x.dtype)
    return torch.addcmul(x, strength.expand(x.shape[1]).reshape(1, -1, 1, 1), noise.detach().expand(len(x), 1, *x.shape[2:]))


@add_noise.alternative
def map_by_map(x, noise, strength):
    strengths = strength if getattr(strength, "ndim", 0) else [strength] * x.shape[1]
    noise = noise.squeeze(1) if noise.ndim == 4 else noise
    return torch.stack([features + s * noise for features, s in zip(x.unbind(1), strengths)], dim=1)


# Exercise 2

def draws(what, r, n, size, dtype=torch.float64, moved=lambda moves, images: images + moves):
    """r draws of n images: moved(what differs between draws, what does not)."""
    seed = 100 * r + 10 * n + size[0]
    return Probe(what, {"images": moved(normal(r, n, 3, *size, seed=seed, dtype=dtype, scale=0.3),
                                        normal(1, n, 3, *size, seed=seed + 1, dtype=dtype))}, ("images",))


def half_still(moves, images):
    """The left half of the columns differs in nothing, the right half by much."""
    return images + 8 * moves * (torch.arange(moves.shape[-1]) >= moves.shape[-1] // 2)


@torch.no_grad()
def maps_of_deviation(generator):
    """Where noise moves four people, black where it moves nothing; six draws. One brightness for all."""
    z = latents(generator, 4)
    torch.manual_seed(0)
    images = torch.stack([generator(z, psi=0.7, noise="random", plain=True) for _ in range(6)]).double()
    brightest = images.std(dim=0).quantile(0.99).clamp(min=0.01)
    return (2 * claims.pixel_deviation(images) / brightest - 1)[:, None].expand(-1, 3, -1, -1).float()


pixel_deviation = Exercise(
    "04.pixel_deviation", "pixel_deviation(images)",
    conventions="images is [draws, N, 3, H, W]: N portraits, each with two or more draws of noise. Return [N, H, W], how far "
                "noise moves every pixel: take the variance over the draws (unbiased: divide by draws − 1), average it over the three "
                "colours, and take the root. It is a measurement, so no gradient is asked for.",
    production=claims.pixel_deviation,
    probes=[draws("three draws of two portraits", 3, 2, (4, 5)),
            draws("five draws of three portraits", 5, 3, (3, 4)),
            draws("two draws", 2, 3, (4, 2)),
            draws("float32", 4, 2, (5, 4), torch.float32),
            draws("one portrait", 6, 1, (4, 7)),
            draws("as many draws, portraits, colours, rows and columns", 3, 3, (3, 3)),
            draws("2×2 pixels", 8, 2, (2, 2)),
            draws("draws that do not differ", 4, 3, (2, 5), moved=lambda moves, images: (images > 0).double() / 2 + 0 * moves),
            draws("draws that hardly differ", 4, 2, (3, 5), moved=lambda moves, images: 1e-3 * moves + (images > 0) / 2),
            draws("float32, where half of the pixels stand still", 3, 2, (9, 8), torch.float32, half_still),
            draws("only the green differs", 3, 4, (3, 6),
                  moved=lambda moves, images: images + moves * torch.eye(3)[1].view(3, 1, 1))],
    proof=Proof("pixel_deviation", maps_of_deviation, owner=claims, model=STYLEGAN, who="The experiment",
                what="finds noise at work in the same places"),
    hints=("Two dimensions disappear, one after the other: first the draws, then the colours. Which comes first, the root or the "
           "mean over the colours?",
           "images.var(dim=0) is the unbiased variance over the draws, [N, 3, H, W]. Average over dimension 1, then take the "
           "root."))
mistake = pixel_deviation.mistake


def of_variance(change):
    return lambda images: change(images.var(dim=0))


def cancelling(images):
    return images.square().mean(dim=0) - images.mean(dim=0).square()


ORDER = "Average the variances of the colours and take the root at the end. You {}."
COLOURS = "Average over the three colours. You {}."
for _name, _message, _function in (
        ("biased", "With few draws the biased variance is too small: divide by draws − 1, as torch.var does.",
         lambda images: images.var(dim=0, unbiased=False).mean(dim=1).sqrt()),
        ("no_root", "You return a variance. Take its root at the end.", of_variance(lambda v: v.mean(dim=1))),
        ("colours_deviations_averaged", ORDER.format("average their deviations"), of_variance(lambda v: v.sqrt().mean(dim=1))),
        ("biased_deviations_averaged", ORDER.format("average their deviations, and biased ones: divide by draws − 1"),
         lambda images: images.std(dim=0, unbiased=False).mean(dim=1)),
        ("colours_summed", COLOURS.format("sum"), of_variance(lambda v: v.sum(dim=1).sqrt())),
        ("largest_colour", COLOURS.format("take the largest"), of_variance(lambda v: v.amax(dim=1).sqrt())),
        ("first_colour", COLOURS.format("take the red alone"), of_variance(lambda v: v[:, 0].sqrt())),
        ("colours_kept", COLOURS.format("keep them apart, so the result is [N, 3, H, W]"), of_variance(lambda v: v.sqrt())),
        ("grey", "Average over the colours last. You make the images grey first, and colours that move against each other cancel.",
         lambda images: images.mean(dim=2).std(dim=0)),
        ("colours_as_draws", "Red and green differ without any noise. Take the variance over the draws, and average over colours.",
         lambda images: images.std(dim=(0, 2))),
        ("over_the_portraits", "The draws are dimension 0. You take the variance over the portraits, dimension 1.",
         lambda images: images.var(dim=1).mean(dim=1).sqrt()),
        ("over_the_colours", "Take the variance over the draws. You take it over the colours and average over the draws.",
         lambda images: images.var(dim=2).mean(dim=0).sqrt()),
        ("portraits_averaged", "Every portrait has a map of its own, [N, H, W]. You average over the portraits too.",
         of_variance(lambda v: v.mean(dim=(0, 1)).sqrt())),
        ("portraits_as_draws", "Portraits differ by their style. Take the variance over the draws of each portrait on its own.",
         lambda images: images.var(dim=(0, 1)).mean(dim=0).sqrt()),
        ("pixels_averaged", "Every pixel has a value of its own, [N, H, W]. You average over the pixels.",
         of_variance(lambda v: v.mean(dim=(1, 2, 3)).sqrt())),
        ("everything_averaged", "Return a map for each portrait, [N, H, W]. You return one number.",
         of_variance(lambda v: v.mean().sqrt())),
        ("absolute_deviation", "A standard deviation is the root of the mean square. You take the mean of the absolute values.",
         lambda images: (images - images.mean(dim=0)).abs().mean(dim=(0, 2))),
        ("range", "Take the standard deviation over the draws. You take the range from the smallest to the largest value.",
         lambda images: (images.amax(dim=0) - images.amin(dim=0)).mean(dim=1)),
        ("not_centred", "Subtract the mean over the draws before you square.",
         lambda images: (images.square().sum(dim=0) / (len(images) - 1)).mean(dim=1).sqrt()),
        ("mean_square", "Subtract the mean over the draws before you square, and divide the sum by draws − 1.",
         lambda images: images.square().mean(dim=(0, 2)).sqrt()),
        ("first_draw_as_mean", "Subtract the mean over the draws. You subtract the first draw.",
         lambda images: ((images - images[0]).square().sum(dim=0) / (len(images) - 1)).mean(dim=1).sqrt()),
        ("standard_error", "That is how well the mean is known. Leave out the division by the root of the number of draws.",
         lambda images: (images.var(dim=0).mean(dim=1) / len(images)).sqrt()),
        ("eps_added", "Leave out ε: where nothing moves, the deviation is 0.",
         of_variance(lambda v: (v.mean(dim=1) + 1e-8).sqrt())),
        ("relative", "Leave out the division by the mean: a dark pixel moves as far as a bright one.",
         lambda images: (images.std(dim=0) / images.mean(dim=0).abs()).mean(dim=1)),
        ("mean_over_draws", "You average the draws, which shows the portrait. How far are they from that mean?",
         lambda images: images.mean(dim=(0, 2))),
        ("two_draws_only", "Use all draws. You compare the first two.", lambda images: images[:2].var(dim=0).mean(dim=1).sqrt()),
        ("cancelling", "Where a pixel stands still, the mean square less the squared mean can round to less than 0, and its root "
         "is NaN. Subtract the mean before you square.",
         lambda images: (cancelling(images) * (len(images) / (len(images) - 1))).mean(dim=1).sqrt()),
        ("cancelling_and_biased", "Where a pixel stands still, the mean square less the squared mean can round to less than 0. Subtract "
         "the mean before you square, and divide the sum by draws − 1.", lambda images: cancelling(images).mean(dim=1).sqrt())):
    _function.__name__ = _name
    mistake(_message, visible=_name not in ("cancelling", "eps_added"))(_function)


@pixel_deviation.alternative
def in_steps(images):
    away = images - images.mean(dim=0, keepdim=True)
    return (away.square().sum(dim=0) / (images.shape[0] - 1)).mean(dim=1) ** 0.5


@pixel_deviation.alternative
def of_squared_deviations(images):
    with torch.no_grad():
        return images.std(dim=0).square().mean(dim=-3).sqrt()


@pixel_deviation.alternative
def in_numpy(images):
    return torch.from_numpy((images.numpy().var(axis=0, ddof=1).mean(axis=1)) ** 0.5)


@pixel_deviation.alternative
def pair_by_pair(images):
    """The variance is half the mean square difference of two draws."""
    r = len(images)
    squares = sum((a - b).square() for a in images for b in images)
    return (squares / (2 * r * (r - 1))).mean(dim=1).sqrt()


EXERCISES = (add_noise, pixel_deviation)
