"""Edits of pictures as a command: from a sentence and portraits to before | after."""
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from .. import clip as clips
from .. import commands, download, files, images, inversion, latents, ops, project, results, sampling, zoo
from ..metrics.generators import batch_size
from .common import check_networks, fingerprint, of_convolutions, refuse_verifier
from .global_directions import channel_statistics, edit, global_direction, load_statistics
from .mapper import LatentMapper, file_name, map_latents
from .selection import best_edit, embed_samples, search, similarity_target

COURSE = "stylegan2-portraits-64"
NEUTRAL = "a person"
METHODS = "direction", "mapper", "optimization"
# As chosen on portraits by experiments/scoreboard.py: the top fraction of the target, and the strengths to choose from.
TOP_FRACTION = {"direction": 0.025, "mapper": 0.025, "optimization": 0.01}
STRENGTHS = 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0
ALPHAS = 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0
BETAS = 0.4, 0.3, 0.25, 0.2, 0.15, 0.1
SHOWN = 192                 # pixels of a picture on the sheet, at least


class Portraits(NamedTuple):
    """What is to be edited: names, latents [N, num_ws, w_dim], None until they are found, and the pictures [N, C, R, R] that they
    are found for, None for other portraits."""
    names: list
    ws: torch.Tensor | None
    pictures: torch.Tensor | None = None


def options(add):
    """The options of the command."""
    add("prompt", metavar="SENTENCE", help='what should be seen, such as "a smiling person with red hair"')
    add("--method", choices=METHODS, default="optimization", help="optimization: a search for each portrait; direction: "
        "global directions, at once, once their statistics are measured; mapper: one trained for the sentence, at once")
    add("--out", metavar="FILE", type=Path, required=True, help="the picture to write; nothing is overwritten")
    add("--seed", metavar="N", type=commands.seed, nargs="+", help="portraits of the generator, by their seeds (3 if nothing "
        "else is given)")
    add("--image", metavar="PICTURE", nargs="+", help="your own pictures, which are projected first; not aligned: crop and "
        "turn them as the generator's training pictures are")
    add("--latents", metavar="FILE", type=commands.input_file, nargs="+", help="files of python -m course_lib.project")
    add("--generator", metavar="NAME", default=COURSE, help="a name of the zoo, a file, or the folder of a run")
    add("--clip", metavar="NAME", default="clip-portraits", help='a model of the course, a file, or one of open_clip such as '
        '"ViT-B-32/openai"')
    add("--identity", metavar="NAME", help="the network that says whether it is still the same person: a model of the course, "
        "a file, or none (default: identity-portraits-64 for generators of portraits, else none)")
    add("--neutral", metavar="SENTENCE", help="of --method direction: what the portraits show before "
        f'("{NEUTRAL}" if not given)')
    add("--statistics", metavar="FILE", type=commands.input_file, help="of --method direction: a file of python -m "
        "course_lib.styleclip statistics; without it, those of the course or measured once and kept")
    add("--mapper", metavar="FILE", help="of --method mapper: a model of the course or a file (default: the course's for the "
        "sentence)")
    add("--psi", metavar="X", type=commands.number(0, 2), help="truncation of --seed: 1 leaves latents as they are, 0 takes "
        "their mean (0.7 if not given)")
    add("--class", metavar="K", dest="class_", type=commands.whole(0), help="of a class-conditional generator: the class of --seed "
        "and of the samples for target and statistics, counted from 0")
    add("--samples", metavar="N", type=commands.whole(50, 100_000), default=400, help="unedited images that say which "
        "similarity to the sentence is high")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")


@images.unchecked()             # pictures from files have the right scale, however bright they are
def run(args):
    """Edit the portraits, write them before | after, and print how far each came. → the result"""
    if sum(map(bool, (args.seed, args.image, args.latents))) > 1:
        raise ValueError("--seed, --image and --latents each say what to edit; take one of them")
    commands.refuse_idle(*((f"--{name}", getattr(args, name), args.method == method, f"--method {method}") for name, method in (
        ("neutral", "direction"), ("statistics", "direction"), ("mapper", "mapper"))))
    commands.refuse_idle(("--psi", args.psi, not (args.image or args.latents), "--seed"))
    args.neutral, args.psi = NEUTRAL if args.neutral is None else args.neutral, 0.7 if args.psi is None else args.psi
    commands.no_mps(args.device, "images are resized for CLIP with antialiasing")
    commands.try_output(args.out)
    files.check_image(args.out)
    G, clip = zoo.load(args.generator, device=args.device), clips.load(args.clip, args.device)
    check_networks(G, clip)
    zoo.check_belongs(clip, G, "--clip")
    for text in (args.prompt, args.neutral):
        clip.encode_texts([text])
    identity = _identity(args, G)
    portraits = _portraits(args, G)
    candidates = {"direction": _directions, "mapper": _mapped}.get(args.method, lambda *_: None)(args, G, clip)
    size = max(1, batch_size(G) // 16)                  # portraits at a time
    ws = (portraits.ws.split(size) if portraits.ws is not None else
          [_projected(args, G, pictures) for pictures in portraits.pictures.split(size)])
    samples = embed_samples(G, clip, samples=args.samples, c=args.class_, progress=True)
    target = similarity_target(clip, samples, args.prompt, top_fraction=TOP_FRACTION[args.method])
    parts = [_edited(args.prompt, G, clip, part, target, candidates, identity) for part in ws]
    before, after, strengths, *near = map(torch.cat, zip(*parts))
    columns = [images.in_colour(x) for x in (portraits.pictures, before, after) if x is not None]
    images.save_grid(args.out, _enlarged(torch.stack(columns, dim=1).flatten(0, 1)), len(columns))
    rows = [{"name": name, "before": a, "after": b, "reached": b >= target.item() - 1e-4, "strength": s}
            for name, a, b, s in zip(portraits.names, *(x.tolist() for x in (*near, strengths)))]
    result = results.rounded({"prompt": args.prompt, "method": args.method, "target": target.item(), "portraits": rows})
    commands.show_table(_table(result, args))
    commands.show_json(result)
    return result


@torch.no_grad()
def _edited(prompt, G, clip, ws, target, candidates, identity):
    """Some portraits before and after the edit, the strength of each, and their similarities to the prompt, on the CPU."""
    before = images.in_colour(G.synthesis(ws, noise="const"))
    if candidates is None:
        space = "w+" if all(of_convolutions(G)) else "s"
        after, strengths = search(G, clip, prompt, ws, target, space=space, identity=identity, progress=True)
    else:
        functions, sizes = candidates
        after, _, strengths = best_edit(clip, prompt, before, [f(ws) for f in functions], sizes, target, identity=identity)
    text = clip.encode_texts([prompt])[0]
    return before.cpu(), after, strengths, *((clip.encode_images(x.to(text)) @ text).cpu() for x in (before, after))


def _projected(args, G, pictures):
    """Latents in W+ for some pictures."""
    return inversion.project_best(G, pictures.to(args.device), project.default_distance(G, args.device), space="w+", seeds=[0],
                                  steps=project.STEPS, noise="const", c=args.class_, progress=True).ws


def _portraits(args, G):
    """What the options say is to be edited, before any picture is projected."""
    if args.latents:
        found = [latents.load(path, G) for path in args.latents]
        return Portraits([name for one in found for name in one.names], torch.cat([one.ws for one in found]))
    if args.image:
        names, pictures, _ = project.read(args.image, G, "crop")
        return Portraits(names, None, pictures)
    seeds = args.seed or [3]
    with torch.no_grad():
        w = torch.cat([G.mapping(z, **given) for seed in seeds for z, given in sampling.draws(G, 1, seed, args.class_)])
        return Portraits([f"seed {seed}" for seed in seeds], ops.truncate(w[:, None].expand(-1, G.num_ws, -1), G.w_avg, args.psi))


def _identity(args, G):
    """The identity network of --identity, or what suits the generator; None for none."""
    name = args.identity or ("identity-portraits-64" if zoo.dataset_of(G) == "portraits" else "none")
    if name == "none":
        return None
    network = zoo.load(name, device=args.device)
    if not hasattr(network, "threshold"):
        raise ValueError(f"--identity {name} is no identity network; name one such as identity-portraits-64")
    refuse_verifier(network)
    zoo.check_belongs(network, G, "--identity")
    return network


def _mapped(args, G, clip):
    """The mapper as a function ws → (rows, strength) → Edit, and its strengths."""
    name = args.mapper or file_name(args.prompt)
    train = (f'python -m course_lib.train mapper --prompt "{args.prompt}" --generator {args.generator} --clip {args.clip} --out '
             "runs/mappers")
    if not args.mapper and (name not in zoo.cards() or args.generator != COURSE):
        trained = [card[7:].replace("-", " ") for card in zoo.names() if card.startswith("mapper-")]
        found = f'there is no mapper for "{args.prompt}"; for {COURSE} the course has {", ".join(trained)}'
        if name in zoo.cards():
            found = f'the course\'s mapper for "{args.prompt}" belongs to {COURSE}, not to {args.generator}'
        raise ValueError(f"{found}. "
                         f"Train one with {train} (minutes on a GPU, an hour on a CPU), and name its file with --mapper; or take "
                         "--method direction or optimization, which need none")
    mapper = zoo.load(name, device=args.device)
    if not isinstance(mapper, LatentMapper):
        raise ValueError(f"{zoo.held(mapper)}, not a mapper; train one with {train}")
    if mapper.generator not in (None, fingerprint(G)):
        raise ValueError(f"{name} was trained with another generator; train one for this one with {train}")
    if mapper.prompt != args.prompt:
        print(f'{name} was trained for "{mapper.prompt}"', file=sys.stderr)
    return [lambda ws: lambda rows, strength: map_latents(G, mapper, ws[rows], strength)], STRENGTHS


def _directions(args, G, clip):
    """The global directions of each β that any channel reaches, as functions ws → (rows, α) → Edit, and the values of α."""
    statistics, directions, refused = _statistics(args, G, clip), [], None
    for beta in BETAS:
        try:
            directions.append(global_direction(statistics, clip, args.neutral, args.prompt, beta=beta))
        except ValueError as error:
            refused = error
    if not directions:
        raise refused

    def along(direction):
        return lambda ws: lambda rows, alpha: edit(G, [style[rows] for style in G.styles(ws)], direction, alpha)

    return [along(direction) for direction in directions], ALPHAS


def _statistics(args, G, clip):
    """Those of --statistics, of the course, or of an earlier call; measured now if there are none."""
    if args.statistics:
        return load_statistics(args.statistics, G, clip)
    if args.class_ is None and (args.generator, args.clip) == (COURSE, "clip-portraits"):
        return load_statistics(zoo.file("statistics-portraits-64"), G, clip)
    of_class = "" if args.class_ is None else f"-class-{args.class_}"
    path = download.cache() / "statistics" / f"{fingerprint(G)}-{fingerprint(clip)}{of_class}.safetensors"
    if path.exists():
        return load_statistics(path, G, clip)
    print(f"global directions need statistics of {args.generator} with {args.clip}; they are measured once, and kept in {path}; "
          "after Ctrl-C the same command goes on, and --method optimization needs none", file=sys.stderr)
    return channel_statistics(G, clip, path, c=args.class_, progress=True)


def _enlarged(pictures):
    scale = max(1, SHOWN // pictures.shape[-1])
    return pictures.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


def _table(result, args):
    lines = [f"{'':24s}{'before':>8s}{'after':>8s}{'target':>8s}{'strength':>10s}"]
    for row in result["portraits"]:
        lines.append(f"{row['name'][:23]:24s}{row['before']:8.3f}{row['after']:8.3f}{result['target']:8.3f}{row['strength']:10g}   "
                     + _verdict(row))
    return "\n".join([
        *lines, f"{args.out}: {'picture | ' if args.image else ''}before | after, a row for each portrait",
        f'before, after: how similar {args.clip} finds the portrait and "{args.prompt}", at most 1; target: what the edit was to '
        "reach, which few unedited portraits do; strength: how far it was taken, 0 is not at all"])


def _verdict(row):
    """What happened to a portrait, in words."""
    if row["strength"]:
        return "reached" if row["reached"] else "not reached: the nearest edit that kept the person"
    return "as it was: CLIP sees this in it already" if row["reached"] else "as it was: no edit came nearer and kept the person"
