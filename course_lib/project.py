"""Find the latents of your own pictures: python -m course_lib.project PICTURE … --out FOLDER

    python -m course_lib.project photo.png --out runs/found
    python -m course_lib.project pictures/ --model stylegan2-portraits-64 --space w --pti --video found.mp4 --out runs/found

Pictures of any size and mode are made square and searched for in W or W+ by descent (StyleGAN2 App. D), at several learning rates
and from several seeds, of which each picture keeps the nearest. FOLDER then holds latents.safetensors, which `python -m
course_lib.styleclip edit` takes, a PNG of each picture beside what the generator draws for it, and projection.json with
the distances. Faces are not looked for and not aligned: crop and turn a photograph as the generator's training pictures are
(eyes level, head about as large), or hardly anything like it is found.

--pti then trains the generator until it draws the pictures at their latents (pivotal tuning, Roich et al. 2021), and writes it as
tuned.safetensors, with latents-tuned.safetensors. After Ctrl-C the pictures that are done are kept, and the same command goes on.
"""
import contextlib
import json
import shlex
import sys
from pathlib import Path

import torch

from . import commands, dataset, film, images, inversion, latents, pivotal_tuning, portraits, results, sampling, zoo
from .metrics import generators
from .metrics.perceptual import lpips_distance, name_of, oracle_distance, pyramid_distance
from .styleclip.common import fingerprint

MAKER = "python -m course_lib.project"
ORACLE, FEATURES = "oracle-portraits-64", "course-features-64"          # networks of distances
STEPS = 200                 # of each search
SMALLEST = 16               # pixels of a picture's shorter side
FRAMES, FPS = 40, 10        # of a film
SHOWN = 256                 # pixels of a picture beside its projection, at least


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = parser_of()
    args = parser.parse_args(arguments)
    args.command = shlex.join([*MAKER.split(), *arguments])
    with commands.sentences(MAKER, lambda: what_is_kept(args.out)):
        return project(args)


def parser_of():
    parser = commands.Parser(prog=MAKER, description=__doc__)
    add = parser.add_argument
    add("pictures", metavar="PICTURE", nargs="+", help="files, or folders or zips of pictures")
    add("--model", metavar="NAME", default="stylegan2-portraits-64", help="a generator: a name of the zoo, a file, or "
        "the folder of a run")
    add("--out", metavar="FOLDER", type=Path, required=True, help="where the results go; nothing of another command is overwritten")
    add("--space", choices=("w", "w+"), default="w+", help="w: one latent for all layers, which edits well; w+: one for each "
        "layer, which comes nearer")
    add("--distance", choices=("auto", "oracle", "features", "pyramid", "lpips"), default="auto", help="what is made "
        "small, a number without unit that is 0 where two pictures are alike: oracle, differences in the features of the course's "
        "network for portraits; features, in those of its network for any pictures; pyramid, of pixels, which go from -1 to 1, at "
        "several sizes; lpips, in the features of VGG16; auto: oracle + 2 pyramid for generators of portraits, features "
        "+ 4 pyramid for others")
    add("--lpips", metavar="FILE", nargs="+", help="weights for --distance lpips: vgg.pth and vgg16-397923af.pth, or the word "
        "download, which fetches both once (553 MB)")
    add("--fit", choices=dataset.FITS, default="crop", help="what becomes of pictures that are not square: their centre is "
        "taken, or white is added at the edges")
    add("--steps", metavar="N", type=commands.whole(1, 100_000), default=STEPS, help="steps of each search")
    add("--rates", metavar="X", nargs="+", type=commands.number(above=0, most=100), default=[0.2, 0.4, 0.8],
        help="learning rates: how far one step moves each entry of the latent, in standard deviations of an entry of W, that is in "
        "how much it varies from one random latent to the next")
    add("--seeds", metavar="N", type=commands.whole(1, 100), default=2, help="searches at each rate")
    add("--class", metavar="K", dest="class_", type=commands.whole(0), help="of a class-conditional generator the class at whose "
        "mean the search starts, counted from 0; without it, the mean of all")
    add("--video", metavar="FILE", type=Path, help="a film of the search: .gif, .webp, or, with pip install imageio-ffmpeg, .mp4")
    add("--pti", action="store_true", help="tune the generator to the pictures")
    add("--pti-steps", metavar="N", type=commands.whole(1, 100_000), help="steps of --pti (200 if not given)")
    add("--locality", metavar="X", type=commands.number(0, 1000), help="of --pti: weight of the term that keeps what the generator "
        "draws at neighbouring latents as it was, so that edits still work (0.1 if not given; 0: none)")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    return parser


@images.unchecked()             # pictures from files have the right scale, however bright they are
def project(args):
    """The command. → the contents of projection.json"""
    commands.refuse_idle(("--pti-steps", args.pti_steps, args.pti, "--pti"), ("--locality", args.locality, args.pti, "--pti"))
    commands.no_mps(args.device, "measuring distances resizes images with antialiasing")
    if args.video:
        commands.try_output(args.video)
        film.check(args.video)
    G = zoo.load(args.model, device=args.device)
    if not (hasattr(G, "mapping") and hasattr(G, "synthesis")):
        raise ValueError(f"{args.model} holds no generator with a mapping network, so there is no W to project into; take a "
                         "StyleGAN or StyleGAN2")
    if args.class_ is not None:
        sampling.labels(G, 1, args.class_)
    distance = chosen_distance(args, G)
    commands.try_folder(args.out)
    names, targets, skipped = read(args.pictures, G, args.fit)
    settings = {"model": args.model, "generator": fingerprint(G), "space": args.space, "distance": name_of(distance),
                "steps": args.steps, "rates": args.rates, "seeds": args.seeds, "class": args.class_, "fit": args.fit}
    found = begun(args.out, settings, names, G)
    if found["names"]:
        print(f"{args.out}: {len(found['names'])} of {len(names)} pictures are done already", file=sys.stderr)
    frames, size = [], max(1, generators.batch_size(G) // 64)
    for start in range(len(found["names"]), len(names), size):
        part = slice(start, start + size)
        last = min(start + size, len(names))
        which = f"picture {last} of {len(names)}" if last == start + 1 else f"pictures {start + 1} to {last} of {len(names)}"
        best = inversion.project_best(
            G, targets[part].to(args.device), distance, rates=args.rates, seeds=range(args.seeds), space=args.space, noise="const",
            steps=args.steps, c=args.class_, frame_every=max(1, args.steps // FRAMES) if args.video else 0, progress=which)
        pairs = (torch.stack([targets[part], now], dim=1).flatten(0, 1) for now in best.frames)
        frames.append([images.in_colour(images.to_uint8(x)) for x in pairs])
        keep(args.out, G, settings, found, names[part], best)
        for name, target, ws in zip(names[part], targets[part], best.ws):
            show(args.out / f"{name}.png", [target, drawn(G, ws)])
    if args.video and frames:
        sheets = [images.grid(torch.cat(now), 2, gap=2) for now in zip(*frames)]
        film.write(args.video, sheets, len(sheets), fps=FPS)
    result = {**results.header(args.command, list(range(args.seeds))), **settings, "skipped": skipped, "pictures": [
        {"name": name, "distance": d, "rate": rate, "seed": seed} for name, d, rate, seed in
        zip(found["names"], found["distances"], found["found_at"], found["found_from"])]}
    if args.pti:
        result["tuned"] = tune(args, G, distance, settings, found, targets)
    result = results.rounded(result)
    commands.write_json(args.out / "projection.json", result, replace=True)
    commands.show_table(table(result, args.out))
    return result


def chosen_distance(args, G):
    """The distance that the options name, as a function of images a, b → [N]."""
    if (args.distance == "lpips") != bool(args.lpips):
        raise ValueError("--distance lpips and --lpips FILES go together: LPIPS needs its weights")
    if args.lpips and len(args.lpips) != 2 and args.lpips != ["download"]:
        raise ValueError("--lpips takes two files, vgg.pth and vgg16-397923af.pth, or the word download")
    if args.lpips:
        return lpips_distance(*args.lpips)
    if args.distance == "oracle":
        if zoo.dataset_of(G) != "portraits":
            raise ValueError(f"--distance oracle knows only portraits, and {args.model} was not trained on them; take features")
        return oracle_distance(zoo.load(ORACLE, device=args.device))
    if args.distance == "features":
        return oracle_distance(zoo.load(FEATURES, device=args.device))
    return pyramid_distance if args.distance == "pyramid" else default_distance(G, args.device)


def default_distance(G, device):
    """What --distance auto makes small: differences of pixels, and in the features of a network of the course, for portraits the
    oracle. Only those of pixels where a library is installed without the course's models."""
    network, weight = (ORACLE, 2) if zoo.dataset_of(G) == "portraits" else (FEATURES, 4)
    if network not in zoo.cards():
        return pyramid_distance
    of_features = oracle_distance(zoo.load(network, device=device))

    def both(a, b):
        return of_features(a, b) + weight * pyramid_distance(a, b)

    both.name = f"{of_features.name} + {weight} pyramid"
    return both


def read(paths, G, fit):
    """The pictures of files and folders as the generator's images. → (names, each once, images [N, C, R, R], skipped
    {reason: files})

    Pictures that cannot be read are left out and named. Raises ValueError where there is none left.
    """
    several = lambda path: path.is_dir() or path.suffix.lower() == ".zip"
    files = [file for path in map(Path, paths) for file in (dataset.find(path).files if several(path) else [path])]
    names, found, skipped = [], [], {}
    for file in files:
        try:
            if isinstance(file, Path) and not file.exists():
                raise ValueError("there is no such file")
            picture = images.read(file)
            if min(picture.size) < SMALLEST:
                raise ValueError(f"{picture.width} × {picture.height} px, of which the square has fewer than {SMALLEST} a side")
        except ValueError as error:
            skipped.setdefault(str(error).removeprefix(f"{file} cannot be read: "), []).append(str(file))
            continue
        square = dataset.square(picture, G.resolution, fit).convert("RGB" if G.img_channels == 3 else "L")
        found.append(torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(G.resolution, G.resolution, -1))
        name = Path(file.name).stem
        names.append(name if name not in names else f"{name}-{len(names)}")
    if skipped:
        print(f"left out: {dataset.described(skipped)}", file=sys.stderr)
    if not found:
        raise ValueError("there is no picture that can be projected" + (f": {dataset.described(skipped)}" if skipped else ""))
    return names, images.from_uint8(torch.stack(found).permute(0, 3, 1, 2)), skipped


def begun(out, settings, names, G):
    """What an earlier call with the same settings and pictures has found, {"names", "ws", "distances", "found_at", "found_from"}.
    Raises FileExistsError for a folder that anything else has made."""
    file, nothing = out / "latents.safetensors", {"names": [], "ws": [], "distances": [], "found_at": [], "found_from": []}
    if not out.exists() or not any(out.iterdir()):
        return nothing
    if file.is_file():
        kept = latents.load(file, G)
        if json.loads(kept.about.get("settings", "null")) == settings and kept.names == names[:len(kept.names)]:
            return {"names": kept.names, "ws": list(kept.ws), "distances": kept.distances,
                    **{key: json.loads(kept.about[key]) for key in ("found_at", "found_from")}}
    raise FileExistsError(f"{out} holds something else, or the results of other pictures or settings; choose another --out, or "
                          "remove it")


def keep(out, G, settings, found, names, best):
    """Add the projections of some pictures to those that are found, and write latents.safetensors anew."""
    for key, values in {"names": names, "ws": best.ws, "distances": best.distances.tolist(), "found_at": best.rates.tolist(),
                        "found_from": best.seeds.tolist()}.items():
        found[key] += list(values)
    latents.save(out / "latents.safetensors", G, torch.stack(found["ws"]), found["names"], found["distances"], replace=True,
                 settings=settings, **{key: settings[key] for key in ("model", "space", "distance")},
                 **{key: found[key] for key in ("found_at", "found_from")})


@torch.no_grad()
def drawn(G, ws):
    """The image [3, R, R] of one picture's latents, on the CPU."""
    return images.in_colour(G.synthesis(ws[None], noise="const"))[0].cpu()


def show(path, pictures, replace=True):
    """Write images [C, R, R] side by side, each pixel enlarged where they are small."""
    row = images.in_colour(torch.stack([images.in_colour(x[None])[0].cpu() for x in pictures]))
    scale = max(1, SHOWN // row.shape[-1])
    row = row.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    commands.write_image(path, images.to_pil(images.grid(row, len(row), gap=8)), replace=replace)


def tune(args, G, distance, settings, found, targets):
    """Pivotal tuning, its files and pictures. → distances of the pictures, as the tuned generator draws them"""
    ws = torch.stack(found["ws"])
    options = {key: value for key, value in (("steps", args.pti_steps), ("locality", args.locality)) if value is not None}
    tuned, _ = pivotal_tuning.tune(G, ws, targets, distance, progress=True, **options)
    now = torch.stack([drawn(tuned, one) for one in ws])
    with torch.no_grad():
        distances = torch.cat([distance(a.to(args.device), images.in_colour(b).to(args.device))
                               for a, b in zip(now.split(4), targets.split(4))])
    save_like(args.out / "tuned.safetensors", tuned, args.model, found["names"])
    latents.save(args.out / "latents-tuned.safetensors", tuned, ws, found["names"], distances.tolist(), replace=True,
                 model=str(args.out / "tuned.safetensors"), space=settings["space"], distance=settings["distance"])
    for name, target, one, after in zip(found["names"], targets, ws, now):
        show(args.out / f"{name}.png", [target, drawn(G, one), after])
    return distances.tolist()


def save_like(path, G, model, names):
    """Write a generator as the same kind of file as `model`, of whose tensors it has others, since it was tuned to pictures."""
    kind, _, config, about, *_ = zoo.contents(zoo.path_of(model)).read()
    version = portraits.VERSION if zoo.dataset_of(model) == "portraits" else None
    zoo.save(path, G.state_dict(), kind, replace=True, config=config, dataset_version=version, base=str(model),
             pictures=names, **{key: about[key] for key in ("classes",) if key in about})


def table(result, out):
    """The distances of all pictures, for people."""
    tuned = result.get("tuned")
    lines = [f"{'':24s}{'distance':>10s}{'rate':>8s}{'seed':>6s}" + (f"{'tuned':>10s}" if tuned else "")]
    for i, row in enumerate(result["pictures"]):
        lines.append(f"{row['name'][:23]:24s}{row['distance']:10.4f}{row['rate']:8g}{row['seed']:6d}"
                     + (f"{tuned[i]:10.4f}" if tuned else ""))
    lines.append(f"{out}: latents.safetensors, projection.json, and a picture of each beside its projection; distance: "
                 f"{result['distance']}, 0 where both are alike{'; tuned: the same after --pti' if tuned else ''}")
    if tuned:
        generator, found = (shlex.quote(str(out / name)) for name in ("tuned.safetensors", "latents-tuned.safetensors"))
        lines.append(f"use them with python -m course_lib.generate {generator} --latents {found} --out FOLDER")
    return "\n".join(lines)


def what_is_kept(out):
    """What to say after Ctrl-C."""
    file = out / "latents.safetensors"
    done = 0
    with contextlib.suppress(OSError, ValueError):      # none yet, or something else's
        done = len(json.loads(zoo.metadata(file).get("names", "[]")))
    return f"stopped; {done} pictures are kept in {file}, and the same command goes on" if done else "stopped; nothing is kept"


if __name__ == "__main__":
    main()
