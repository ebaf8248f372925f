"""StyleCLIP §6: global directions, from two sentences to a direction in style space."""
import json
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tqdm import tqdm

from .. import commands, portraits, sampling, zoo
from ..clip import TEMPLATES
from ..images import in_colour, unchecked
from ..training.report import duration
from .common import Edit, check_finite, check_networks, device_of, fingerprint, of_convolutions

SIGMA_SAMPLES = 10_000
TIMED = 5                       # channels after which it is said how long the others take
ROUNDING = 1e-5                 # a smaller mean change of an embedding says nothing about its channel


class Statistics(NamedTuple):
    """What `channel_statistics` measured, one entry per style layer in the official order."""
    changes: list               # Δi_c, unit vectors [channels, D]; None for a layer that was left out
    sigma: list                 # σ_c, the deviation of each channel [channels]
    info: dict                  # generator and clip as fingerprints, clip_name, layers, images, step, seed


class Direction(list):
    """A direction in style space, one [channels] per style layer. `generator`: the fingerprint of the one it was measured with."""

    def __init__(self, layers, generator=None):
        super().__init__(layers)
        self.generator = generator


# The equations

def text_direction(clip, neutral, target, templates=TEMPLATES):
    """StyleCLIP §6.1: Δt, from the neutral text to the target, each put into every template, a unit vector [D]. Raises ValueError
    where the two are the same to this CLIP model."""
    if neutral.strip().lower() == target.strip().lower():
        raise ValueError(f'neutral and target text are both "{target}"; the target must say what should change')
    if not templates or any("{}" not in template for template in templates):
        raise ValueError("templates need at least one text, each with a {} where the description goes")
    for text in (neutral, target):
        clip.encode_texts([text])               # an empty text is an error, though "a portrait of" is none
    before, after = (clip.encode_texts([template.replace("{}", text) for template in templates]) for text in (neutral, target))
    if (after - before).norm(dim=1).max() < ROUNDING:
        raise ValueError(f'"{neutral}" and "{target}" are the same to {clip.name}, so there is no direction between them; say in '
                         "other words what should change")
    return direction_between(before, after)


def direction_between(neutral, target):
    """StyleCLIP §6.1: from the embeddings of a neutral text in several templates to those of the target, a unit vector [D].

    neutral and target [T, D]. Of each, the unit vectors are averaged and the mean brought to length 1; then they are
    subtracted, and the difference is brought to length 1.
    """
    before, after = (F.normalize(F.normalize(x, dim=-1).mean(dim=0), dim=0) for x in (neutral, target))
    return F.normalize(after - before, dim=0)


def mean_change(before, after):
    """StyleCLIP §6.2: Δi_c = E[Δi], the mean over images of how CLIP's embedding changes, as a unit vector.

    before and after [images, ..., D] → [..., D]. Each image's change is brought to length 1, then their mean; where the
    changes are only rounding the result is 0.
    """
    changes = after - before
    mean = F.normalize(F.normalize(changes, dim=-1).mean(dim=0), dim=-1)
    return mean * (changes.norm(dim=-1).mean(dim=0) > ROUNDING)[..., None]


def relevance(changes, direction):
    """StyleCLIP §6, relevance: R_c(Δt) = ⟨Δi_c, Δt⟩. [channels, D], [D] → [channels], from -1 to 1."""
    return changes @ direction


def thresholded(relevances, sigma, beta, largest=None):
    """StyleCLIP §6: Δs_c = σ_c · R_c / max|R| where |R_c| ≥ β, else 0. [channels] twice → [channels].

    The published code divides by the largest |R| and multiplies by σ_c, so that α counts deviations of the most relevant
    channel. largest: that of all layers, where these are the channels of one.
    """
    largest = relevances.abs().max() if largest is None else largest
    return torch.where(relevances.abs() >= beta, relevances, 0) / largest * sigma


def shifted(styles, direction, alpha):
    """StyleCLIP §6: s' = s + α · Δs. Lists of [N, channels] and [channels]; alpha one number, or a tensor [N]."""
    alpha = alpha[:, None] if isinstance(alpha, torch.Tensor) and alpha.ndim else alpha
    return [s + alpha * d for s, d in zip(styles, direction, strict=True)]


# The method

@torch.no_grad()
def global_direction(
    statistics, clip, neutral, target, *,
    beta=0.1,                   # relevance below which a channel stays as it is; the higher, the less else changes
    templates=TEMPLATES,        # into which both texts are put
):
    """A Direction in style space for `edit`, from the neutral text to the target.

    Raises ValueError for equal or empty texts, a negative β and one that no channel reaches, statistics of another CLIP.
    """
    if not beta >= 0:
        raise ValueError(f"β is {beta}; it is a relevance from 0 (every channel moves) to 1")
    direction = text_direction(clip, neutral, target, templates).cpu()
    known = [changes for changes in statistics.changes if changes is not None]
    if known[0].shape[1] != len(direction):
        raise ValueError(f"the statistics have embeddings of size {known[0].shape[1]}, {clip.name} has {len(direction)}; they "
                         f"were made with {statistics.info.get('clip_name')}")
    if isinstance(clip, torch.nn.Module) and statistics.info.get("clip") not in (None, fingerprint(clip)):
        raise ValueError(f"the statistics were made with {statistics.info.get('clip_name')} or other weights of {clip.name}; make "
                         "them anew for this CLIP model with python -m course_lib.styleclip statistics")
    relevances = [None if changes is None else relevance(changes, direction) for changes in statistics.changes]
    largest = max(r.abs().max() for r in relevances if r is not None)
    if largest < beta or largest == 0:
        raise ValueError(f'no channel reaches β = {beta:g} for "{target}"; the most relevant has {largest:.3f}')
    return Direction([torch.zeros_like(sigma) if r is None else thresholded(r, sigma, beta, largest)
                      for r, sigma in zip(relevances, statistics.sigma)], statistics.info.get("generator"))


@torch.no_grad()
def edit(G, styles, direction, alpha, noise="const"):
    """Move styles (of `G.styles(ws)`) along a direction by α, a number or one for each image → Edit."""
    check_networks(G)
    device = device_of(G)
    sizes = [style.shape[1] for style in styles]
    if [len(d) for d in direction] != sizes:
        raise ValueError(f"the direction has {sum(map(len, direction))} channels and the styles {sum(sizes)}; they belong to "
                         "different generators")
    if getattr(direction, "generator", None) not in (None, fingerprint(G)):
        raise ValueError("the direction was measured with another generator; take statistics of this one")
    alpha = torch.as_tensor(alpha, dtype=torch.float32, device=device)
    if not alpha.isfinite().all() or alpha.ndim and alpha.shape != (len(styles[0]),):
        raise ValueError(f"α must be a number, or one for each of the {len(styles[0])} images; it is {alpha.tolist()}")
    for style in styles:
        check_finite(style, "styles")
    styles = shifted([style.to(device) for style in styles], [d.to(device) for d in direction], alpha)
    return Edit(styles, in_colour(G.synthesis(styles=styles, noise=noise)).cpu(), [], {})


# The measurement

@unchecked()
@torch.no_grad()
def channel_statistics(
    G, clip, out, *,
    images=100,                 # over which a channel's effect is averaged
    step=5.0,                   # how far a channel is moved to each side, in its standard deviations
    rgb=False,                  # measure the channels of toRGB too
    seed=0,                     # of the images
    c=None,                     # their labels, one row or a class for all (`sampling.labels`); None: all classes
    chunk=None,                 # channels in each part of an unfinished measurement (default 32, and 1 on the slow CPU)
    batch=256,                  # images per pass through G and CLIP
    progress=False,             # show a progress bar
):
    """How CLIP's embedding answers to every style channel, written to `out`: Δi_c under s_c ± step · σ_c. → Statistics

    Each channel is changed alone (in the published code those before it stay at their mean). Parts are kept beside `out` until
    it is whole, so that a stopped run goes on where it was; nothing that exists is overwritten.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; choose another file, or remove it")
    chunk = chunk or (1 if device_of(G).type == "cpu" else 32)
    if images < 1 or batch < 1 or chunk < 1 or not step > 0:
        raise ValueError(f"images {images}, batch {batch} and chunk {chunk} must be at least 1, and step {step} above 0")
    check_networks(G, clip)
    names = [name for name, _, _ in G.synthesis.style_layers()]
    info = {"generator": fingerprint(G), "clip": fingerprint(clip), "clip_name": clip.name, "layers": names,
            "images": images, "step": step, "seed": seed, "rgb": rgb}
    info |= {} if c is None else {"c": sampling.labels(G, images, c).tolist()}
    folder = out.with_name(out.name + ".parts")
    _claim(folder, info | {"chunk": chunk, "batch": batch})
    rng = torch.Generator().manual_seed(seed)
    sigma = style_deviations(G, rng, c=c)
    (z, given), = sampling.draws(G, images, rng, c)
    styles = G.styles(G.mapping(z, **given))
    chosen = [i for i, moves in enumerate(of_convolutions(G)) if rgb or moves]
    parts = {folder / f"{i:03d}-{start:05d}.safetensors": [(i, c) for c in range(start, min(start + chunk, len(sigma[i])))]
             for i in chosen for start in range(0, len(sigma[i]), chunk)}
    missing = {part: channels for part, channels in parts.items() if not part.exists()}
    total, left = (sum(map(len, some.values())) for some in (parts, missing))
    began = time.perf_counter()
    with tqdm(total=total, initial=total - left, desc="style channels", unit="channel", disable=not progress) as bar:
        for part, channels in missing.items():
            changes = []
            for i, channel in channels:
                changes.append(_change(G, clip, styles, i, channel, step * sigma[i][channel], batch))
                bar.update()
                if progress and bar.n - bar.initial == TIMED < left:
                    seconds = (time.perf_counter() - began) / TIMED * (left - TIMED)
                    bar.write(f"{left - TIMED:,} channels are left: {duration(seconds)}", file=sys.stderr)
            zoo.save(part, {"changes": torch.stack(changes)}, "part")
    tensors = {f"sigma.{name}": s for name, s in zip(names, sigma)}
    for i in chosen:
        tensors[f"changes.{names[i]}"] = torch.cat([zoo.read(part)[0]["changes"] for part in parts if parts[part][0][0] == i])
    version = portraits.VERSION if zoo.dataset_of(G) == "portraits" else None
    zoo.save(out, tensors, "statistics", info=info, dataset_version=version)
    shutil.rmtree(folder)
    return load_statistics(out)


def style_deviations(G, rng, samples=SIGMA_SAMPLES, c=None):
    """σ_c of every style channel over W, one [channels] per layer."""
    w = torch.cat([G.mapping(z, **given) for z, given in sampling.draws(G, samples, rng, c, 1000)])
    parts = [G.styles(part) for part in w.split(1000)]
    return [torch.cat(layer).std(dim=0, unbiased=False) for layer in zip(*parts)]


def _change(G, clip, styles, layer, channel, amount, batch):
    """Δi_c of one channel: CLIP's embeddings of all images with it lowered and raised by `amount`."""
    sides = []
    for sign in (-1, 1):
        changed = list(styles)
        changed[layer] = styles[layer].clone()
        changed[layer][:, channel] += sign * amount
        rows = range(0, len(styles[0]), batch)
        images = (in_colour(G.synthesis(styles=[s[i:i + batch] for s in changed], noise="const")) for i in rows)
        sides.append(torch.cat([clip.encode_images(part) for part in images]))
    return mean_change(*sides)


def _claim(folder, settings):
    """Make the folder of parts, or make sure that those in it are of the same measurement."""
    note = folder / "settings.json"
    if note.exists() and json.loads(note.read_text()) != settings:
        raise ValueError(f"{folder} holds parts of another measurement; remove it, or choose another file")
    if not note.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} exists and was not made by this measurement; remove it, or choose another file")
        commands.write_json(note, settings)


def load_statistics(path, G=None, clip=None):
    """Statistics from a file, compared with the generator and the CLIP model that they are to be used with."""
    tensors, metadata = zoo.read(path)
    if metadata.get("kind") != "statistics":
        raise ValueError(f'{Path(path).name} holds a network of kind "{metadata.get("kind")}", not statistics of style channels')
    info = json.loads(metadata["info"])
    for network, name in ((G, "generator"), (clip, "clip")):
        if network is not None and fingerprint(network) != info[name]:
            raise ValueError(f"{Path(path).name} was made for another {'generator' if name == 'generator' else 'CLIP model'}; "
                             "make one with python -m course_lib.styleclip statistics")
    return Statistics([tensors.get(f"changes.{name}") for name in info["layers"]],
                      [tensors[f"sigma.{name}"] for name in info["layers"]], info)
