"""Pictures, sheets and films of a generator: python -m course_lib.generate MODEL --out FOLDER …

    python -m course_lib.generate stylegan2-portraits-64 --seeds 0-31 --out runs/pictures
    python -m course_lib.generate stylegan2-portraits-64 --seeds 0-31,40 --psi 1 --grid --out runs/pictures
    python -m course_lib.generate stylegan2-portraits-64 --seeds 0-7 --video loop.mp4 --seconds 16 --out runs/pictures
    python -m course_lib.generate stylegan-portraits-64 --mix 0-3 10-15 --layers 0-3 --out runs/pictures

A seed gives one latent, and the same picture every time. Without more, each becomes a file of its own, seed0000.png, …; --grid
puts all on one sheet, grid.png; --video makes a film that goes from each to the next and back to the first; --mix makes a table,
mix.png. MODEL is a name of the zoo, or any file that it reads. Nothing that exists is overwritten.
"""
import argparse
import math
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from . import commands, film, ops, sampling, zoo
from .images import grid as laid_out
from .images import in_colour, to_pil, to_uint8
from .latents import check_generator
from .sampling import device_of

PSI = 0.7
MOST = 100_000              # numbers of one range


# Latents

def drawn(G, seeds, c=None):
    """z [N, z_dim] of seeds, and their labels [N, c_dim], or None of a generator without classes.

    c: labels (`sampling.labels`); without them each seed draws its own class. Raises ValueError for a network that is no generator.
    """
    if not hasattr(G, "z_dim"):
        raise ValueError(f"{zoo.held(G)}, which is no generator, and makes no pictures")
    z, given = zip(*(next(sampling.draws(G, 1, seed, c)) for seed in seeds))
    return torch.cat(z), torch.cat([one["c"] for one in given]) if given[0] else None


@torch.no_grad()
def mapped(G, z, c=None, psi=None):
    """z [N, z_dim] and labels → ws [N, num_ws, w_dim], truncated by psi (None: PSI); for a generator without W z itself. Raises
    ValueError for a psi other than 1 there."""
    if not hasattr(G, "mapping"):
        if psi not in (None, 1):
            raise ValueError(f"this generator has no W, so it is not truncated: psi is {psi:g}, but only 1 is possible")
        return z
    ws = G.mapping(z, **sampling.given(c))[:, None].expand(-1, G.num_ws, -1)
    return ops.truncate(ws, G.w_avg, PSI if psi is None else psi)


def latents(G, seeds, psi=None, c=None):
    """The latents of seeds, which the functions below take: `drawn`, then `mapped`."""
    return mapped(G, *drawn(G, seeds, c), psi)


def read_latents(path, G):
    """Latents from a safetensors file, as `mapped` gives them: its tensor "ws" [N, num_ws, w_dim] or "w" [N, w_dim], and for a
    generator without W "z" [N, z_dim]. Raises ValueError for other tensors, for those of another generator, where the file has the
    fingerprint of its own as "generator", and for a damaged file."""
    drawn(G, [0])
    (tensors, about), style_based = zoo.read(path), hasattr(G, "mapping")
    if "generator" in about:
        check_generator(path, about, G)
    wanted = {"ws": (G.num_ws, len(G.w_avg)), "w": (len(G.w_avg),)} if style_based else {"z": (G.z_dim,)}
    for name, shape in wanted.items():
        if name in tensors and tensors[name].shape[1:] == shape and len(tensors[name]):
            found = tensors[name].to(device_of(G))
            return found[:, None].expand(-1, G.num_ws, -1) if name == "w" else found
    holds = ", ".join(f"{name} {list(value.shape)}" for name, value in sorted(tensors.items())[:4])
    needs = " or ".join(f"{name} [N, {', '.join(map(str, shape))}]" for name, shape in wanted.items())
    raise ValueError(f"{path} holds no latents of this generator: it needs {needs}, and has {holds or 'nothing'}")


def loop(points, frames, path=torch.lerp):
    """A closed path through points [K, …], from each to the next and from the last to the first, `frames` points at equal times.
    path: (a, b, t) → what lies between; in W straight lines, in Z `ops.slerp`. → [frames, …]. ValueError for fewer than two."""
    if len(points) < 2:
        raise ValueError("a film goes from one latent to the next, and needs two or more")
    at = torch.arange(frames, dtype=torch.float64) * len(points) / frames
    before, share = at.long().to(points.device), (at % 1).float().to(points).view(-1, *[1] * (points.ndim - 1))
    return path(points[before], points[(before + 1) % len(points)], share)


def mixed(rows, columns, layers):
    """StyleGAN Fig. 3: ws [R, L, w_dim] and [C, L, w_dim] → [R · C, L, w_dim], row by row: of each pair, the layers in the list
    `layers` from `columns` and all others from `rows`. ValueError for a layer that there is not."""
    count = rows.shape[1]
    if max(layers) >= count:
        raise ValueError(f"there is no layer {max(layers)}; this generator has 0 to {count - 1}")
    table = rows[:, None].repeat(1, len(columns), 1, 1)
    table[:, :, layers] = columns[None, :, layers]
    return table.flatten(0, 1)


# Pictures

@torch.no_grad()
def images(
    G, latents, *,
    noise="const",              # "const", "random" or "none"; PGGAN has none
    dtype=None,                 # what convolutions compute in, by default that of the weights
    batch=None,                 # latents at a time, by default as many as have the pixels of 256 images of 64 px
    scale=1,                    # a pixel becomes scale × scale pixels
    progress=False,             # show a progress bar
):
    """Yield the image of each latent, uint8 [3, scale · R, scale · R] on the CPU. ValueError where it is NaN or infinite."""
    with tqdm(total=len(latents), unit="img", disable=not progress) as bar:
        for part in latents.split(batch or sampling.batch_size(G)):
            found = G.synthesis(part, noise=noise, dtype=dtype) if hasattr(G, "mapping") else G(part, dtype=dtype)
            if not found.isfinite().all():
                raise ValueError("the generator gives NaN or infinity" + (f" in {dtype}; take float32" if dtype else ""))
            for image in to_uint8(in_colour(found)).cpu():
                yield image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
                bar.update()


def pictures(G, paths, latents, **options):
    """Write the image of each latent to the path of the same place. options: of `images`. Raises OSError, before anything is drawn,
    where a file lies at one of them."""
    for path in paths:
        commands.try_output(path)
    for path, image in zip(paths, images(G, latents, **options)):
        commands.write_image(path, to_pil(image))


def grid(G, path, latents, columns=None, **options):
    """Write the images of all latents as one sheet, `columns` in a row (None: twice as wide as high). options: of `images`. → the
    path"""
    commands.try_output(path)
    sheet = torch.stack(list(images(G, latents, **options)))
    commands.write_image(path, to_pil(laid_out(sheet, min(len(sheet), columns or math.ceil(math.sqrt(2 * len(sheet)))))))
    return Path(path)


def mix(G, path, rows, columns, layers, **options):
    """Write a table of two lists of latents (`mixed`): the images of `columns` above it, those of `rows` at its left. options: of
    `images`. → the path. ValueError for a generator without W."""
    if not hasattr(G, "mapping"):
        raise ValueError("this generator has no W, so there are no layers to mix; StyleGAN and StyleGAN2 have")
    commands.try_output(path)
    cells = iter(images(G, torch.cat([columns, rows, mixed(rows, columns, layers)]), **options))
    top, left = list(islice(cells, len(columns))), list(islice(cells, len(rows)))
    sheet = [torch.full_like(top[0], 255), *top]
    for first in left:
        sheet += [first, *islice(cells, len(columns))]
    commands.write_image(path, to_pil(laid_out(torch.stack(sheet), len(columns) + 1)))
    return Path(path)


def video(G, path, latents, fps=30.0, **options):
    """Write the images of latents, one frame each (`loop`), as a film (`film.write`). options: of `images`. → the path"""
    commands.try_output(path)
    return film.write(path, images(G, latents, **options), len(latents), fps)


# Command

def numbers(text):
    """The type of "0-31,40" → [0, 1, …, 31, 40]."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdecimal()) or dash and not (last.isascii() and last.isdecimal()):
            raise argparse.ArgumentTypeError(f'"{text}" is no list of numbers; write 0-31, 7 or 0-31,40')
        first, last = commands.seed(first), commands.seed(last or first)
        if last < first:
            raise argparse.ArgumentTypeError(f'"{part}" ends before it begins; write {last}-{first}')
        if len(found) + last - first >= MOST:
            raise argparse.ArgumentTypeError(f'"{text}" names more than {MOST:,} numbers')
        found += range(first, last + 1)
    return found


def parser_of():
    parser = commands.Parser(prog="python -m course_lib.generate", description=__doc__)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name of the zoo, a file, or the folder of a run")
    add("--seeds", metavar="RANGE", type=numbers, help="seeds of the latents, such as 0-31 or 0-31,40 (0-31 if not given)")
    add("--latents", metavar="FILE", type=commands.input_file,
        help="latents of a .safetensors file instead, not truncated: ws [N, layers, w_dim], w [N, w_dim] or, for PGGAN, z")
    add("--psi", metavar="X", type=commands.number(0, 2),
        help=f"truncation: 1 leaves latents as they are, 0 takes their mean; {PSI} if not given, which makes "
        "better and more similar pictures (metrics measures all that a generator makes, at 1), and 1 for PGGAN")
    add("--class", metavar="K", dest="class_", type=commands.whole(0), help="of a class-conditional generator this class, "
        "counted from 0; without it each seed draws its own")
    kind = parser.add_mutually_exclusive_group().add_argument
    kind("--grid", action="store_true", help="one sheet, grid.png, instead of files")
    kind("--video", metavar="NAME", help="a film that comes back to its beginning: NAME.webp, NAME.gif or, with "
         "pip install imageio-ffmpeg, NAME.mp4")
    kind("--mix", metavar="SEEDS", nargs=2, type=numbers, help="a table, mix.png, of seeds for its rows and seeds for its columns, "
         "such as --mix 0-3 10-15: columns give the layers of --layers, rows all others")
    add("--columns", metavar="N", type=commands.whole(1, 1000), help="pictures in a row of --grid; by default it is about twice "
        "as wide as high")
    add("--layers", metavar="RANGE", type=numbers, help="of --mix, counted from 0, the coarsest (0-3 if not given)")
    add("--space", choices=("w", "z"), help="of --video: z goes along great circles in Z, the space of the random numbers that "
        "a picture begins with; w along straight lines in W, which the mapping network makes of Z, and where pictures change more "
        "evenly; w if not given, and z for PGGAN")
    add("--seconds", metavar="S", type=commands.number(above=0, most=3600), help="length of --video; a second for each seed if not "
        "given")
    add("--fps", metavar="X", type=commands.number(1, 100), help="frames of --video a second (30 if not given)")
    add("--scale", metavar="N", type=commands.whole(1, 64), default=1, help="make each pixel N × N pixels")
    add("--noise", choices=("const", "random", "none"), default="const", help="const: the generator's own, "
        "the same in every picture; random: another in every picture and run")
    add("--batch", metavar="N", type=commands.whole(1), help="images at a time; fewer need less memory (by default as many as have "
        "the pixels of 256 images of 64 px)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="what convolutions compute in")
    add("--out", metavar="FOLDER", type=Path, required=True, help="folder for the files; those that exist are not overwritten")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda, cuda:N, or mps")
    return parser


def main(arguments=None):
    args, paths = parser_of().parse_args(arguments), []
    with commands.sentences("python -m course_lib.generate", interrupted=lambda: what_is_kept(args, paths)):
        check(args)
        commands.try_folder(args.out)
        G = zoo.load(args.model, device=args.device)
        options = dict(noise=args.noise, dtype=None if args.dtype == "float32" else torch.bfloat16, batch=args.batch,
                       scale=args.scale, progress=True)
        of = lambda seeds: latents(G, seeds, args.psi, args.class_)
        if args.mix:
            rows, columns = map(of, args.mix)
            path = mix(G, args.out / "mix.png", rows, columns, args.layers, **options)
            print(f"{path}: {len(rows)} rows, {len(columns)} columns")
        elif args.video:
            found = film_latents(G, args)
            print(f"{video(G, args.out / args.video, found, args.fps, **options)}: {len(found):,} frames, "
                  f"{len(found) / args.fps:.4g} s")
        else:
            found = read_latents(args.latents, G) if args.latents else of(args.seeds)
            if args.grid:
                return print(f"{grid(G, args.out / 'grid.png', found, args.columns, **options)}: "
                             f"{commands.counted(len(found), 'picture')}")
            paths += [args.out / f"{name}.png" for name in names(args, len(found))]
            pictures(G, paths, found, **options)
            named = paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"
            print(f"{args.out}: {commands.counted(len(paths), 'picture')}, {named}")


def check(args):
    """Raise ValueError for options that do not go together, and set those that depend on others."""
    if args.latents and (args.seeds or args.mix or args.psi is not None or args.class_ is not None):
        raise ValueError("--latents takes latents as they are in the file; leave --seeds, --psi, --class and --mix out")
    commands.refuse_idle(("--columns", args.columns, args.grid, "--grid"), ("--layers", args.layers, args.mix, "--mix"),
                         *((f"--{name}", getattr(args, name), args.video, "--video") for name in ("space", "seconds", "fps")))
    if args.mix and args.seeds:
        raise ValueError("--mix names its seeds itself; leave --seeds out")
    if args.video:
        film.check(args.video)
    args.layers, args.fps = args.layers or [0, 1, 2, 3], args.fps or 30.0
    args.seeds = list(dict.fromkeys(args.seeds)) if args.seeds else list(range(32))


def film_latents(G, args):
    """The latent of every frame of --video."""
    style_based = hasattr(G, "mapping")
    space = args.space or ("w" if style_based else "z")
    if space == "w" and hasattr(G, "z_dim") and not style_based:
        raise ValueError("this generator has no W; take --space z")
    if space == "z" and style_based and args.latents:
        raise ValueError(f"{args.latents} gives latents in W, so the film goes through W; leave --space out")
    z, c = (read_latents(args.latents, G), None) if args.latents else drawn(G, args.seeds, args.class_)
    frames = max(1, round(args.fps * (args.seconds or len(z))))
    if space == "w":
        return loop(z if args.latents else mapped(G, z, c, args.psi), frames)
    return mapped(G, loop(z, frames, ops.slerp), None if c is None else loop(c, frames), args.psi)


def names(args, count):
    """The names of single pictures, without suffix."""
    return [f"latent{i:04d}" for i in range(count)] if args.latents else [f"seed{seed:04d}" for seed in args.seeds]


def what_is_kept(args, paths):
    """What to say of a stopped command, by what is on the disk."""
    done = sum(path.exists() for path in paths)
    if not done:
        return "stopped; nothing is kept, and the same command begins anew"
    rest = "" if args.latents or done == len(paths) else f"; go on from seed {args.seeds[done]} with --seeds"
    return f"stopped; {done:,} of {len(paths):,} pictures are kept in {args.out}{rest}"


if __name__ == "__main__":
    main()
