"""What styles and noise of a generator change, measured on portraits, whose attributes the judge predicts. Those that do not show,
such as the colour of the hair of a bald head, have one value (`portraits.canonical`), so that they do not change.

Every function takes a StyleGAN or StyleGAN2 generator of Portraits and returns plain numbers or tensors.
"""
import torch

from .. import ops, portraits, sampling
from ..images import in_colour, quantized, unchecked
from ..networks import classifiers
from .generators import batch_size

LEVELS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}        # StyleGAN §3.1, by resolution


def layers_of(G):
    """The layers of ws that belong to each of LEVELS which the generator has, as a range: {"coarse": (0, 4), …}, the second
    excluded."""
    index = lambda resolution: 2 * resolution.bit_length() - 6
    found = {name: (index(low), min(index(high) + 2, G.num_ws)) for name, (low, high) in LEVELS.items()}
    return {name: (first, last) for name, (first, last) in found.items() if first < last}


def latents(G, n, seed, c=None):
    """The first n latents of a seed, mapped and repeated for every layer. → ws [n, num_ws, w_dim]

    c: labels of a class-conditional generator (`sampling.labels`); without them, all classes.
    """
    (z, given), = sampling.draws(G, n, seed, c)
    return G.mapping(z, **given)[:, None].expand(-1, G.num_ws, -1)


@unchecked()
@torch.no_grad()
def style_levels(G, judge, pairs=1000, seed=0):
    """StyleGAN §3.1, style mixing: the layers of one level come from portrait B, the others from portrait A. How far is each
    attribute transferred from A, how far from B?

    → {"A": {level: {attribute: number}}, "B": the same}: 1 where all of it is transferred from that portrait, 0 where the portrait
    does not matter. Where both are small, the mixture has lost the attribute. Continuous attributes: the two coefficients in a
    linear fit of the mixed portrait on A and B. Discrete ones: of the pairs that differ, the share with B's value less the share
    with the value of an unrelated portrait in B's place, scaled so that B itself has 1; and the same for A.
    """
    a, b = latents(G, pairs, seed), latents(G, pairs, seed + 1)
    predict = lambda ws: portraits.canonical(classifiers.predict(judge, _images(G, ws)))
    of_a, of_b, result = predict(a), predict(b), {"A": {}, "B": {}}
    for level, (first, last) in layers_of(G).items():
        mixed = predict(torch.cat([a[:, :first], b[:, first:last], a[:, last:]], dim=1))
        for source, other, of_source in (("A", of_b, of_a), ("B", of_a, of_b)):
            result[source][level] = {spec.name: _transferred(spec, mixed[spec.name], other[spec.name], of_source[spec.name])
                                     for spec in portraits.ATTRIBUTES}
    return result


def _transferred(spec, mixed, a, b):
    """How far an attribute of the mixed portraits [N] is transferred from b [N], where the rest comes from a [N]. → number"""
    if spec.kind == "continuous":
        mixed, a, b = (x.double() - x.double().mean() for x in (mixed, a, b))
        return (torch.linalg.pinv(torch.stack([a, b], dim=1)) @ mixed)[1].item()
    share = lambda same, wanted: same[wanted != a].double().mean().item()
    others = [b.roll(i) for i in range(1, 9)]
    by_chance, at_most = (sum(share(x == other, other) for other in others) / len(others) for x in (mixed, b))
    return (share(mixed == b, b) - by_chance) / (1 - at_most) if at_most < 1 else float("nan")


@unchecked()
@torch.no_grad()
def noise_effects(G, judge, n=200, seed=0):
    """StyleGAN §3.2, Fig. 4 and 5: what changes when the noise of some layers is resampled and the styles stay.

    → {layers: {"pixels": standard deviation of a pixel between two draws, in [-1, 1], "attributes": {name: change}}} for every
    layer alone ("layer 0", …), for "coarse", "middle", "fine" and "all"; under "none" the first draw against the same portraits
    without noise. A change is the share of portraits whose class changes, or the mean change of a continuous attribute in its
    standard deviations over Portraits.
    """
    ws = latents(G, n, seed)
    shapes = _noise_shapes(G)
    draw = lambda seed: [torch.randn(n, 1, *shape, generator=torch.Generator().manual_seed(1000 * seed + i)).to(ws.device)
                         for i, shape in enumerate(shapes)]
    first, second = draw(seed + 1), draw(seed + 2)
    choices = {f"layer {i}": [i] for i in range(len(shapes))} | {"all": list(range(len(shapes)))}
    choices |= {level: [i for i in range(len(shapes)) if low <= shapes[i][-1] <= high] for level, (low, high) in LEVELS.items()}
    choices["none"] = None
    predict = lambda images: portraits.canonical(classifiers.predict(judge, images))
    before = _images(G, ws, first)
    was, result = predict(before), {}
    for name, chosen in choices.items():
        after = _images(G, ws, "none" if chosen is None else [second[i] if i in chosen else first[i] for i in range(len(shapes))])
        result[name] = {"pixels": pixel_deviation(torch.stack([before, after])).square().mean().sqrt().item(),
                        "attributes": attribute_changes(was, predict(after))}
    return result


def attribute_changes(was, now):
    """How far attributes {name: [N]} of the same portraits differ: {name: the share of portraits whose class does, or the mean
    difference in standard deviations over Portraits}."""
    truth = portraits.sample_attributes(10_000, 1)
    return {spec.name: (now[spec.name] != was[spec.name]).float().mean().item() if spec.kind == "discrete" else
            ((now[spec.name] - was[spec.name]).abs().mean() / truth[spec.name].std()).item() for spec in portraits.ATTRIBUTES}


def pixel_deviation(images):
    """StyleGAN Fig. 4c: the standard deviation of every pixel over draws of the noise. Images [draws, N, 3, H, W] → [N, H, W]

    The unbiased variance over the draws is averaged over the three colours, and its root taken.
    """
    return images.var(dim=0).mean(dim=1).sqrt()


def _noise_shapes(G):
    """[H, W] of every noise input, in the order in which synthesis takes them."""
    return [layer.noise_const.shape for _, layer, _ in G.synthesis.style_layers() if hasattr(layer, "noise_const")]


@torch.no_grad()
def mixed_images(G, samples, seed=0):
    """StyleGAN Table 2: images with one latent up to a random layer and another from there on. Yields batches [b, 3, H, W]."""
    rng = torch.Generator().manual_seed(seed + 2)
    a, b = latents(G, samples, seed), latents(G, samples, seed + 1)
    cutoffs = torch.randint(1, G.num_ws, [samples], generator=rng).tolist()
    mixed = torch.cat([ops.mix_styles(x[None], y[None], cutoff) for x, y, cutoff in zip(a, b, cutoffs)])
    for part in mixed.split(batch_size(G)):
        yield G.synthesis(part)


@torch.no_grad()
def outliers(G, n=64, seed=0):
    """StyleGAN2 §2, droplets: how far the largest value of a feature map stands out. AdaIN leaves the first two
    numbers as they are.

    → {layer: {"peak": mean over maps of max |x − mean| / standard deviation, "maps": share of the maps with a peak of 20 or more,
    "norm": the largest norm of a pixel's features over the mean norm}}, of every layer's output over n images.
    """
    found, hooks = {}, []
    for name, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_const"):
            hooks.append(layer.register_forward_hook(lambda layer, inputs, out, name=name: found.setdefault(name, []).append(
                _peaks(out.float()))))
    for part in latents(G, n, seed).split(batch_size(G)):
        G.synthesis(part)
    for hook in hooks:
        hook.remove()
    return {name: dict(zip(("peak", "maps", "norm"), torch.cat(parts).mean(dim=0).tolist())) for name, parts in found.items()}


def _peaks(x):
    """Feature maps [N, C, H, W] → the three numbers of `outliers` for each image, [N, 3]."""
    peaks = (x - x.mean(dim=(2, 3), keepdim=True)).abs().amax(dim=(2, 3)) / x.std(dim=(2, 3)).clamp(min=1e-8)
    norms = x.square().sum(dim=1).sqrt().flatten(1)
    return torch.stack([peaks.mean(dim=1), (peaks >= 20).float().mean(dim=1), norms.amax(dim=1) / norms.mean(dim=1)], dim=1)


def _images(G, ws, noise="const"):
    """Images of ws [N, num_ws, w_dim] with noise as `G.synthesis` takes it, `quantized`, on the CPU. → [N, 3, H, W]"""
    size, parts = batch_size(G), []
    for start in range(0, len(ws), size):
        part = slice(start, start + size)
        image = G.synthesis(ws[part], noise=noise if isinstance(noise, str) else [x[part] for x in noise])
        parts.append(quantized(in_colour(image)).cpu())
    return torch.cat(parts)


def entropy(predicted):
    """The entropy of the classes of a discrete attribute over a set of portraits, in bits, averaged over the discrete attributes:
    the higher, the more diverse the portraits. predicted: {name: [N]} of `classifiers.predict`. → number"""
    totals = []
    for spec in portraits.ATTRIBUTES:
        if spec.kind == "discrete":
            shares = torch.bincount(predicted[spec.name], minlength=len(spec.values)) / len(predicted[spec.name])
            totals.append(-(shares * shares.clamp(min=1e-12).log2()).sum().item())
    return sum(totals) / len(totals)
