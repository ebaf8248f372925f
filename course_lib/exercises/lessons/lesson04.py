"""Lesson 04: noise, and what it moves."""
import torch

from ... import ops
from ...metrics import style_analysis
from ..engine import STYLEGAN, Exercise, ModelCheck, case, draw, latents, wrong

# Exercise 1


@torch.no_grad()
def four_noises(generator):
    """One person with the stored noise, [H, W], and three times with noise of its own, [N, 1, H, W]."""
    z = latents(generator, 1)
    torch.manual_seed(0)
    return torch.cat([generator(z.expand(n, -1), psi=0.7, noise=noise, impl="reference")
                      for n, noise in ((1, "const"), (3, "random"))])


def inputs(n, c, h, w, shared=False):
    """noise is [H, W] where it is shared, else [N, 1, H, W]; strength is [C]."""
    seed = 100 * n + 10 * c + h
    noise = (h, w) if shared else (n, 1, h, w)
    return {"x": draw(n, c, h, w, seed=seed), "noise": draw(*noise, seed=seed + 1), "strength": draw(c, seed=seed + 2)}


def on_maps(strength):
    return torch.as_tensor(strength).view(-1, 1, 1)


def with_noise(change):
    """change(x, noise, strength), with strength [C, 1, 1] or [1, 1, 1]."""
    return lambda x, noise, strength: change(x, noise, on_maps(strength).to(x.dtype))


def pixel_mean(noise):
    return noise.mean(dim=(-2, -1), keepdim=True)


def by_a_view(x, noise, strength):
    if isinstance(strength, torch.Tensor) and strength.ndim == 1:
        strength = strength[:, None, None]
    return x + strength * noise


def with_all_dimensions(x, noise, strength):
    if not torch.is_tensor(strength):
        strength = torch.full((x.shape[1],), strength, dtype=x.dtype)
    return torch.addcmul(x, strength.expand(x.shape[1]).reshape(1, -1, 1, 1), noise.detach().expand(len(x), 1, *x.shape[2:]))


def map_by_map(x, noise, strength):
    strengths = strength if getattr(strength, "ndim", 0) else [strength] * x.shape[1]
    noise = noise.squeeze(1) if noise.ndim == 4 else noise
    return torch.stack([features + s * noise for features, s in zip(x.unbind(1), strengths)], dim=1)


add_noise = Exercise(
    "04.add_noise", "add_noise(x, noise, strength)",
    conventions="x is [N, C, H, W]. noise is [H, W], the same for the whole batch, or [N, 1, H, W]. strength is a number, a tensor "
                "without dimensions, or [C]: one for each feature map. Return x + strength · noise, a new tensor. Gradients must "
                "reach x and the strength.",
    hints=("Everything but the strength fits by broadcasting, for dimensions are aligned from the right. Where does the C of [C] "
           "stand in [N, C, H, W]?",
           "strength.view(-1, 1, 1), for [C], is [C, 1, 1], which fits onto [N, C, H, W] next to both noises. A number has no "
           "view: torch.as_tensor(strength) makes it a tensor, and leaves a tensor as it is."),
    production=ops.add_noise, without_gradient=("noise",),
    model_check=ModelCheck(four_noises, titles=("stored", "drawn", "drawn", "drawn"), model=STYLEGAN),
    cases=[
        case("three samples of five maps, each sample with its noise", **inputs(3, 5, 4, 6)),
        case("one noise for the batch", **inputs(3, 4, 5, 3, shared=True)),
        case("a tensor without dimensions as strength", **inputs(2, 5, 3, 4) | {"strength": draw(seed=255)}),
        case("a tensor without dimensions as strength, one noise for the batch",
             **inputs(3, 2, 4, 3, shared=True) | {"strength": draw(seed=326)}),
        case("a strength that is a number, 0.25", **inputs(3, 6, 2, 5) | {"strength": 0.25}),
        case("a strength that is a number, −2, and one noise for the batch", **inputs(2, 3, 6, 4, shared=True) | {"strength": -2}),
        case("float32", **inputs(2, 6, 4, 5)).float(),
        case("as many samples as maps, rows and columns", **inputs(4, 4, 4, 4)),
        case("as many samples as maps, rows and columns, one noise for the batch", **inputs(3, 3, 3, 3, shared=True)),
        case("2×2 maps", **inputs(3, 7, 2, 2)),
        case("one sample of one map", **inputs(1, 1, 3, 8)),
        case("a strength of 0, as it is before training", **inputs(3, 2, 3, 5) | {"strength": 0.0}),
        case("features of 0", **inputs(2, 4, 3, 3) | {"x": 0 * draw(2, 4, 3, 3, seed=243)}),
        case("features of about 0.00001 under one noise for the batch",
             **inputs(3, 5, 2, 6, shared=True) | {"x": 1e-5 * draw(3, 5, 2, 6, seed=352)})],
    wrong=[
        wrong("Multiply the noise by its strength.", no_strength=with_noise(lambda x, noise, s: x + noise + 0 * s)),
        wrong("Noise is added. You multiply the features by 1 + noise.",
              multiplied=with_noise(lambda x, noise, s: x * (1 + s * noise))),
        wrong("Noise is added. You multiply the features by it.", only_multiplied=with_noise(lambda x, noise, s: x * noise * s)),
        wrong("Add the noise. You subtract it.", subtracted=with_noise(lambda x, noise, s: x - s * noise)),
        wrong("Add the noise to x. You return the noise alone.",
              features_forgotten=with_noise(lambda x, noise, s: 0 * x + s * noise)),
        wrong("You return the features as they are. Add strength · noise.",
              never_added=with_noise(lambda x, noise, s: x + 0 * s * noise)),
        wrong("The strength multiplies the noise alone. You multiply the sum.",
              features_scaled=with_noise(lambda x, noise, s: s * (x + noise))),
        wrong("The strength multiplies the noise. You multiply the features.",
              strength_of_the_features=with_noise(lambda x, noise, s: s * x + noise)),
        wrong("x stays as it is. You blend: (1 − strength) · x + strength · noise.",
              blended=with_noise(lambda x, noise, s: (1 - s) * x + s * noise)),
        wrong("Multiply by the strength, not by 1 + strength: at 0 there is no noise.",
              one_added=with_noise(lambda x, noise, s: x + (1 + s) * noise)),
        wrong("Multiply the noise by its strength. You divide by it.",
              strength_divides=with_noise(lambda x, noise, s: x + noise / s)),
        wrong("The strength multiplies once. You square it.",
              strength_squared=with_noise(lambda x, noise, s: x + s.square() * noise)),
        wrong("The strength multiplies as it is. You take its root, which is NaN for a negative one.",
              root_of_the_strength=with_noise(lambda x, noise, s: x + s.sqrt() * noise)),
        wrong("Use the strength as it is, sign included.", absolute_strength=with_noise(lambda x, noise, s: x + s.abs() * noise)),
        wrong("Use the noise as it is. You square it.", noise_squared=with_noise(lambda x, noise, s: x + s * noise.square())),
        wrong("Use the noise as it is, sign included.", absolute_noise=with_noise(lambda x, noise, s: x + s * noise.abs())),
        wrong("Use the noise as it is. You subtract its mean.",
              noise_centred=with_noise(lambda x, noise, s: x + s * (noise - pixel_mean(noise))),
              noise_centred_over_the_batch=with_noise(lambda x, noise, s: x + s * (noise - noise.mean()))),
        wrong("Every pixel has noise of its own. You average it over the pixels.",
              noise_flat=with_noise(lambda x, noise, s: x + s * pixel_mean(noise))),
        wrong("Use the noise as it is. You scale it to mean 0 and deviation 1.",
              noise_normalised=with_noise(lambda x, noise, s: (
                  x + s * (noise - pixel_mean(noise)) / noise.std(dim=(-2, -1), keepdim=True)))),
        wrong("The noise does not depend on x. You multiply it by the deviation of the map.",
              relative=with_noise(lambda x, noise, s: x + s * noise * x.std(dim=(2, 3), keepdim=True))),
        wrong("Every feature map has a strength of its own. You use their mean for all.",
              mean_strength=with_noise(lambda x, noise, s: x + s.mean() * noise)),
        wrong("Every feature map has a strength of its own. You use the first one for all.",
              first_strength=with_noise(lambda x, noise, s: x + s[:1] * noise)),
        wrong("Every feature map has a strength of its own. You add them up.",
              strengths_added=with_noise(lambda x, noise, s: x + s.sum() * noise)),
        wrong("The noise goes into every feature map. You add it to the first one only.",
              first_map_only=with_noise(lambda x, noise, s: torch.cat([(x + s * noise)[:, :1], x[:, 1:]], dim=1))),
        wrong("Every sample has noise of its own. You give all of them that of the first.",
              first_noise_for_all=with_noise(lambda x, noise, s: x + s * (noise[:1] if noise.ndim == 4 else noise))),
        wrong("Every sample has noise of its own. You average it over the batch.",
              mean_noise=with_noise(lambda x, noise, s: x + s * (noise.mean(dim=0) if noise.ndim == 4 else noise))),
        wrong("The strength may be a tensor [C]. Give it the shape [C, 1, 1], so that it belongs to the maps and not to the "
              "columns.",
              strength_by_number=lambda x, noise, strength: x + strength * noise),
        wrong("The strength belongs to a map: [C, 1, 1] fits onto [N, C, H, W]. Yours lies along H.",
              strength_by_rows=lambda x, noise, strength: x + torch.as_tensor(strength).to(x.dtype).view(-1, 1) * noise),
        wrong("The strength belongs to a map: [C, 1, 1] fits onto [N, C, H, W]. Yours lies along N.",
              strength_by_samples=lambda x, noise, strength: x + torch.as_tensor(strength).to(x.dtype).view(-1, 1, 1, 1) * noise),
        wrong("The values are right, but no gradient reaches the strength, so it is never trained. Leave out detach() and .item(), "
              "and use torch.as_tensor: torch.tensor makes a copy.", visible=False,
              strength_not_trained=with_noise(lambda x, noise, s: x + s.detach() * noise))],
    alternatives=[by_a_view, with_all_dimensions, map_by_map])


# Exercise 2

@torch.no_grad()
def maps_of_deviation(generator):
    """Where noise moves four people, black where it moves nothing; six draws. One brightness for all."""
    z = latents(generator, 4)
    torch.manual_seed(0)
    images = torch.stack([generator(z, psi=0.7, noise="random", impl="reference") for _ in range(6)]).double()
    brightest = images.std(dim=0).quantile(0.99).clamp(min=0.01)
    return (2 * style_analysis.pixel_deviation(images) / brightest - 1)[:, None].expand(-1, 3, -1, -1).float()


def moving(r, n, h, w, moved=lambda moves, still: still + moves, dtype=torch.float64):
    """r draws of n images: moved(what differs between draws, what does not)."""
    seed = 100 * r + 10 * n + h
    return moved(draw(r, n, 3, h, w, seed=seed, dtype=dtype, scale=0.3), draw(1, n, 3, h, w, seed=seed + 1, dtype=dtype))


def right_half(moves, still):
    """The left half of the columns differs in nothing, the right half by much."""
    return still + 8 * moves * (torch.arange(moves.shape[-1]) >= moves.shape[-1] // 2)


def of_variance(change):
    return lambda images: change(images.var(dim=0))


def unbiased(squares):
    """Of squares for each draw, their sum divided by draws − 1."""
    return squares.sum(dim=0) / (len(squares) - 1)


def cancelling(images):
    return images.square().mean(dim=0) - images.mean(dim=0).square()


def of_squared_deviations(images):
    with torch.no_grad():
        return images.std(dim=0).square().mean(dim=-3).sqrt()


def pair_by_pair(images):
    """The variance is half the mean square difference of two draws."""
    r = len(images)
    squares = sum((a - b).square() for a in images for b in images)
    return (squares / (2 * r * (r - 1))).mean(dim=1).sqrt()


pixel_deviation = Exercise(
    "04.pixel_deviation", "pixel_deviation(images)",
    conventions="images is [draws, N, 3, H, W]: N portraits, each with two or more draws of noise. Return [N, H, W], how far noise "
                "moves every pixel: take the variance over the draws (unbiased: divide by draws − 1), average it over the three "
                "colours, and take the root. It is a measurement, so no gradient is asked for.",
    hints=("Two dimensions disappear, one after the other: first the draws, then the colours. Which comes first, the root or the "
           "mean over the colours?",
           "images.var(dim=0) is the unbiased variance over the draws, [N, 3, H, W]. Average over dimension 1, then take the "
           "root."),
    production=style_analysis.pixel_deviation, without_gradient=("images",),
    model_check=ModelCheck(maps_of_deviation, model=STYLEGAN, who="The experiment", what="finds noise at work in the same places"),
    cases=[
        case("three draws of two portraits", images=moving(3, 2, 4, 5)),
        case("five draws of three portraits", images=moving(5, 3, 3, 4)),
        case("two draws", images=moving(2, 3, 4, 2)),
        case("float32", images=moving(4, 2, 5, 4, dtype=torch.float32)),
        case("one portrait", images=moving(6, 1, 4, 7)),
        case("as many draws, portraits, colours, rows and columns", images=moving(3, 3, 3, 3)),
        case("2×2 pixels", images=moving(8, 2, 2, 2)),
        case("draws that do not differ", images=moving(4, 3, 2, 5, lambda moves, still: (still > 0) / 2 + 0 * moves)),
        case("draws that hardly differ", images=moving(4, 2, 3, 5, lambda moves, still: 1e-3 * moves + (still > 0) / 2)),
        case("float32, where half of the pixels stand still", images=moving(3, 2, 9, 8, right_half, torch.float32)),
        case("only the green differs",
             images=moving(3, 4, 3, 6, lambda moves, still: still + moves * torch.eye(3)[1].view(3, 1, 1)))],
    wrong=[
        wrong("With few draws the biased variance is too small: divide by draws − 1, as torch.var does.",
              biased=lambda images: images.var(dim=0, unbiased=False).mean(dim=1).sqrt()),
        wrong("You return a variance. Take its root at the end.", no_root=of_variance(lambda v: v.mean(dim=1))),
        wrong("Average the variances of the colours and take the root at the end. You average their deviations.",
              colours_deviations_averaged=of_variance(lambda v: v.sqrt().mean(dim=1))),
        wrong("Average the variances of the colours and take the root at the end. You average their deviations, and biased ones: "
              "divide by draws − 1.", biased_deviations_averaged=lambda images: images.std(dim=0, unbiased=False).mean(dim=1)),
        wrong("Average over the three colours. You sum.", colours_summed=of_variance(lambda v: v.sum(dim=1).sqrt())),
        wrong("Average over the three colours. You take the largest.",
              largest_colour=of_variance(lambda v: v.amax(dim=1).sqrt())),
        wrong("Average over the three colours. You take the red alone.", first_colour=of_variance(lambda v: v[:, 0].sqrt())),
        wrong("Average over the three colours. You keep them apart, so the result is [N, 3, H, W].",
              colours_kept=of_variance(lambda v: v.sqrt())),
        wrong("Average over the colours last. You make the images grey first, and colours that move against each other cancel.",
              grey=lambda images: images.mean(dim=2).std(dim=0)),
        wrong("Red and green differ without any noise. Take the variance over the draws, and average over colours.",
              colours_as_draws=lambda images: images.std(dim=(0, 2))),
        wrong("The draws are dimension 0. You take the variance over the portraits, dimension 1.",
              over_the_portraits=lambda images: images.var(dim=1).mean(dim=1).sqrt()),
        wrong("Take the variance over the draws. You take it over the colours and average over the draws.",
              over_the_colours=lambda images: images.var(dim=2).mean(dim=0).sqrt()),
        wrong("Every portrait has a map of its own, [N, H, W]. You average over the portraits too.",
              portraits_averaged=of_variance(lambda v: v.mean(dim=(0, 1)).sqrt())),
        wrong("Portraits differ by their style. Take the variance over the draws of each portrait on its own.",
              portraits_as_draws=lambda images: images.var(dim=(0, 1)).mean(dim=0).sqrt()),
        wrong("Every pixel has a value of its own, [N, H, W]. You average over the pixels.",
              pixels_averaged=of_variance(lambda v: v.mean(dim=(1, 2, 3)).sqrt())),
        wrong("Return a map for each portrait, [N, H, W]. You return one number.",
              everything_averaged=of_variance(lambda v: v.mean().sqrt())),
        wrong("A standard deviation is the root of the mean square. You take the mean of the absolute values.",
              absolute_deviation=lambda images: (images - images.mean(dim=0)).abs().mean(dim=(0, 2))),
        wrong("Take the standard deviation over the draws. You take the range from the smallest to the largest value.",
              range=lambda images: (images.amax(dim=0) - images.amin(dim=0)).mean(dim=1)),
        wrong("Subtract the mean over the draws before you square.",
              not_centred=lambda images: unbiased(images.square()).mean(dim=1).sqrt()),
        wrong("Subtract the mean over the draws before you square, and divide the sum by draws − 1.",
              mean_square=lambda images: images.square().mean(dim=(0, 2)).sqrt()),
        wrong("Subtract the mean over the draws. You subtract the first draw.",
              first_draw_as_mean=lambda images: unbiased((images - images[0]).square()).mean(dim=1).sqrt()),
        wrong("That is how well the mean is known. Leave out the division by the root of the number of draws.",
              standard_error=lambda images: (images.var(dim=0).mean(dim=1) / len(images)).sqrt()),
        wrong("Leave out ε: where nothing moves, the deviation is 0.", visible=False,
              eps_added=of_variance(lambda v: (v.mean(dim=1) + 1e-8).sqrt())),
        wrong("Leave out the division by the mean: a dark pixel moves as far as a bright one.",
              relative=lambda images: (images.std(dim=0) / images.mean(dim=0).abs()).mean(dim=1)),
        wrong("You average the draws, which shows the portrait. How far are they from that mean?",
              mean_over_draws=lambda images: images.mean(dim=(0, 2))),
        wrong("Use all draws. You compare the first two.",
              two_draws_only=lambda images: images[:2].var(dim=0).mean(dim=1).sqrt()),
        wrong("Where a pixel stands still, the mean square less the squared mean can round to less than 0, and its root is NaN. "
              "Subtract the mean before you square.", visible=False,
              cancelling=lambda images: (cancelling(images) * (len(images) / (len(images) - 1))).mean(dim=1).sqrt()),
        wrong("Where a pixel stands still, the mean square less the squared mean can round to less than 0. Subtract the mean "
              "before you square, and divide the sum by draws − 1.",
              cancelling_and_biased=lambda images: cancelling(images).mean(dim=1).sqrt())],
    alternatives=[
        lambda images: unbiased((images - images.mean(dim=0, keepdim=True)).square()).mean(dim=1) ** 0.5,
        of_squared_deviations,
        lambda images: torch.from_numpy((images.numpy().var(axis=0, ddof=1).mean(axis=1)) ** 0.5),
        pair_by_pair])

EXERCISES = (add_noise, pixel_deviation)
