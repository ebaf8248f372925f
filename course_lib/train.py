"""Train a network: python -m course_lib.train MODEL --out FOLDER …

A first run that takes some minutes on a laptop, then the one with which the course's model began (one GPU):

    python -m course_lib.train stylegan2 --resolution 16 --images 2k --data-size 2k --out runs/first
    python -m course_lib.train stylegan2 --preset portraits-64 --out runs/portraits-64

Several GPUs share a batch: torchrun --nproc-per-node 2 -m course_lib.train stylegan2 --batch 128 --out runs/two
Few pictures: python -m course_lib.train stylegan2 --data my_pictures/ --init stylegan2-portraits-64 --augment ada --out runs/few
The first generations grow: python -m course_lib.train pggan --stable 100k --fade 100k --out runs/pggan
Editing with text needs clip and identity first: python -m course_lib.train mapper --prompt "a smiling person"

Nothing that exists is overwritten. Ctrl-C leaves a checkpoint of a generator's run, and the weights so far of the others.
"""
import importlib
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from . import commands, portraits, results
from .files import held
from .training import checkpoint, data, distributed, growing, loop, options, report, scores, stylegan2
from .training.presets import PRESETS
from .training.settings import from_options

# A first layer [w_dim, z_dim] drawn from seed 0 holds the very numbers of the first latents of seed 0, each of which then excites
# one unit beyond anything that training shows. So weights are drawn from seeds that nobody samples with.
WEIGHTS_SEED = 1_000_000_000
TINY = 16                       # px: on a CPU threads only wait for each other there, on a busy machine for a hundred times as long
CLASSIFIERS, IDENTITY_NETWORKS = ("oracle", "judge"), ("identity", "verifier")
GANS = {"stylegan2": "generator and discriminator of StyleGAN2", "stylegan": "StyleGAN: AdaIN and noise, growing from 8 px",
        "pggan": "PGGAN, growing from 4 px"}
TRAINERS = dict.fromkeys(CLASSIFIERS, ".perception.train_classifier") | dict.fromkeys(
    IDENTITY_NETWORKS, ".perception.train_identity") | {
    "clip": ".perception.train_clip", "features": ".perception.train_features",
    "mapper": ".styleclip.mapper_command"}
# Options that do not define a run.
PLACES = "out", "resume", "preset", "metrics", "metric_samples", "tensorboard", "eager", "device", "dry_run"


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = commands.Parser(prog="python -m course_lib.train", description=__doc__)
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    command = lambda name, text: models.add_parser(name, help=text, description=f"Train {text}.")
    for model, text in GANS.items():
        options.gan_options(command(model, text), model)
    for kind in CLASSIFIERS:
        options.classifier_options(command(kind, f"the {kind}, which predicts a portrait's attributes"), kind)
    options.clip_options(command("clip", "a small CLIP: portraits and their captions as vectors of one space"))
    options.identity_options(command("identity", "the network that tells whether two portraits show one person"), "identity")
    options.identity_options(command("verifier", "another such network, which is held out: no edit is optimised or chosen by it"),
                             "verifier")
    options.features_options(command("features", "features that compare sets of images, learnt from procedural images"))
    options.mapper_options(command("mapper", "a StyleCLIP mapper, which learns the edit that one sentence describes"))
    args, command = parser.parse_args(arguments), shlex.join(["python", "-m", "course_lib.train", *arguments])
    typed = options.typed(models.choices[args.model], arguments[1:])
    if getattr(args, "preset", None):
        preset = PRESETS[args.model][args.preset]
        models.choices[args.model].set_defaults(**preset)
        args, typed = parser.parse_args(arguments), typed.union(preset)
    args.command = command
    if args.model in GANS:
        with commands.sentences(parser.prog, interrupted=lambda: what_is_kept(Path(args.out), args.resume)):
            train_gan(args, typed)
    else:
        with commands.sentences(parser.prog, "stopped; nothing is kept, and the same command begins anew"):
            commands.no_mps(args.device, "it shifts and resizes images in ways (grid_sample with a border, antialiasing)")
            commands.show_json(vars(args)) if args.dry_run else train_network(args)


def what_is_kept(out, resumed):
    """What to say of a stopped run, by what is on the disk."""
    last = checkpoint.folders(out)
    if not last:
        return "stopped before the first step; nothing is kept, and the same command begins anew"
    again = "the same command" if resumed else "the same command and --resume"
    return f"stopped; {int(last[-1].name):,} images are kept in {last[-1]}; continue from there with {again}"


def train_gan(args, typed):
    """Make or resume a run and hand it to the loop."""
    loop.prepare(args.device)
    device, first = distributed.start(args.device), distributed.rank() == 0
    out, last = Path(args.out), args.resume and checkpoint.folders(args.out)
    settings = resumed(args, typed, out, last) if args.resume else new(args, out)
    options.check(settings, args.device)
    if args.dry_run:
        return commands.show_json(settings.stored())
    if args.metrics:
        scores.check(args.metrics, args.metric_samples, settings, device)
    if args.tensorboard:
        report.need_tensorboard()
    commands.try_folder(out)
    chosen = data.select(settings.data, settings.data_size, settings.seed)
    settle(settings, chosen, device)
    model = stylegan2 if settings.model == "stylegan2" else growing
    options.check_memory(model.build, settings, device)
    torch.manual_seed(WEIGHTS_SEED + settings.seed)
    if device.type != "cuda" and settings.resolution <= TINY:
        torch.set_num_threads(1)
    run = model.build(settings, device)
    checkpoint.check_space(out, run)
    if settings.init and not last:
        taken = checkpoint.initialise_from(run, settings.init, settings.freeze_d)
        if taken and first:
            print(f"{out}: of {settings.init}, which has another resolution, {taken}")
    if first:
        faster = "" if chosen.packed else ", faster from a set that python -m course_lib.dataset pack makes of them"
        how = f"images are read while it trains{faster}" if settings.streamed else "preparing images …"
        print(f"{out}: {chosen}\n{out}: G {_millions(run.G)}, D {_millions(run.D)} parameters on {device}; {how}", flush=True)
    reals = data.reals(chosen, settings, device)
    with held(out) if first else nullcontext():
        _train(args, settings, run, reals, chosen, out, last, device)
    distributed.stop()


def _train(args, settings, run, reals, chosen, out, last, device):
    """Let the loop train from the checkpoint `last`, or from the beginning."""
    first, model = distributed.rank() == 0, stylegan2 if settings.model == "stylegan2" else growing
    if last:
        checkpoint.load(last[-1], run)
        if run.images >= settings.images and first:
            print(f"{out}: {run.images:,} images are done already, and --images {settings.images} asks for no more")
    if first:
        if not last:
            checkpoint.refuse_others(out, settings)             # another run may have come and gone since `new`
        commands.write_json(out / "settings.json", settings.stored(), replace=True)
        if not last:
            loop.save_reals(out / "reals.png", reals)
            about = {"command": args.command, "device": results.machine(device), "torch": torch.__version__,
                     "images": chosen.record()}
            commands.write_json(out / "run.json", about, replace=True)
    if not last:
        torch.manual_seed(settings.seed + 1 + distributed.rank() * 1_000_003)
    if model is stylegan2:
        plan = stylegan2.plan(run, reals, settings, device)
        figures = lambda G: {"rgb_shares": stylegan2.rgb_shares(G)}
    else:
        plan, figures = growing.plan(run, reals, settings, device, out), None
    score = scores.scorer(args.metrics, args.metric_samples, settings, reals, device) if args.metrics and first else None
    events = report.tensorboard(out, run.images) if args.tensorboard and first else None
    out_of_memory = False
    try:
        loop.train(out, run, plan, settings, device, captured=False if args.eager else None, figures=figures,
                   score=score, events=events)
    except torch.OutOfMemoryError:
        if model is growing or distributed.size() > 1:
            raise
        out_of_memory = True                    # only behind this block is the memory of the failed step free
    if out_of_memory:
        raise ValueError(stylegan2.what_fits(run, reals, settings, device))
    if first:
        print(f"{out}: {run.images:,} images; use zoo.load(\"{checkpoint.folders(out)[-1] / 'G_ema.safetensors'}\")")


def settle(settings, chosen, device):
    """Add to the settings what the images decide: whether they are streamed, and the names of their classes."""
    s = settings
    must = data.streams(chosen, s.resolution, s.data_cache, device)
    s.streamed = s.streamed or any(distributed.all_gather(must))
    if s.labels:
        found = data.classes(chosen)
        s.classes = s.classes or found
        if s.classes != found:
            raise ValueError(f"this run was trained on the classes {', '.join(s.classes)}, and those in {chosen.source} are "
                             f"{', '.join(found)}")


def new(args, out):
    """The settings of a new run."""
    settings = from_options(args.model, args)
    settings.dataset_version = portraits.VERSION if args.data == "portraits" else None
    settings.data = _place(args.data)
    settings.images = settings.images or settings.whole_schedule()
    checkpoint.refuse_others(out, settings)
    return settings


def resumed(args, typed, out, last):
    """The settings with which the run in `out` goes on: its own, but for how far it goes and where its pictures lie."""
    if not last:
        raise FileNotFoundError(f"{out} has no checkpoint to resume from; start without --resume")
    settings = checkpoint.settings(last[-1])
    if settings.model != args.model:
        raise ValueError(f"{out} holds a run of {settings.model}, not of {args.model}; choose another --out")
    for key in sorted(typed.difference(PLACES, ["images", "data"])):
        asked = getattr(args, key)
        if asked != getattr(settings, key):
            option = "--" + key.replace("_", "-")
            if isinstance(asked, bool):                     # of a flag such as --mirror or --no-equalized
                option = option if asked else f"--no{option[1:]}"
                raise ValueError(f"{out} was started without {option} and goes on so; leave it out, or choose another --out")
            raise _conflict(out, option, getattr(settings, key), asked)
    if settings.dataset_version not in (None, portraits.VERSION):
        raise ValueError(f"{out} was trained on version {settings.dataset_version} of Portraits, this is version "
                         f"{portraits.VERSION}; start anew")
    if "images" in typed and args.images:
        settings.images = args.images
    before, now = _place(settings.data), _place(args.data)
    if "data" in typed and now != before:
        if "portraits" in (before, now):
            raise _conflict(out, "--data", before, args.data)
        if not distributed.rank():
            print(f"{out}: its pictures are now those in {now}, until here those in {before}", flush=True)
        settings.data = now
    if settings.data != "portraits" and not Path(settings.data).exists():
        raise FileNotFoundError(f'the pictures of this run, in {settings.data}, are not there; say with --data where '
                                'they are now')
    return settings


def _conflict(out, option, before, asked):
    return ValueError(f"{out} was started with {option} {before} and goes on with it; leave {option} {asked} out, "
                      "or choose another --out")


def _place(data):
    return data if data == "portraits" else str(Path(data).absolute())


def train_network(args):
    """Train anything but a generator, by the module of its own, which is imported now: open_clip alone takes seconds."""
    options = {name: value for name, value in vars(args).items() if name not in ("model", "preset", "dry_run")}
    module = importlib.import_module(TRAINERS[args.model], __package__)
    module.train(**options | ({"kind": args.model} if args.model in CLASSIFIERS + IDENTITY_NETWORKS else {}))


def _millions(network):
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


if __name__ == "__main__":
    main()
