"""Train a network: python -m course_lib.train MODEL --out FOLDER …

A first run that takes a minute on a laptop, then the one that made the shipped model (one GPU):

    python -m course_lib.train stylegan2 --resolution 16 --images 2k --data-size 2k --out runs/first
    python -m course_lib.train stylegan2 --resolution 64 --images 2400k --out runs/portraits-64

Several GPUs share a batch: torchrun --nproc-per-node 2 -m course_lib.train stylegan2 --batch 128 --out runs/two
The first generations grow: python -m course_lib.train pggan --stable 100k --fade 100k --out runs/pggan
Editing with text needs clip and identity first: python -m course_lib.train mapper --prompt "a smiling person"

Nothing that exists is overwritten. Ctrl-C leaves a checkpoint of a generator's run, and the weights so far of the others.
"""
import shlex
import sys
import time
from pathlib import Path

import torch

from . import commands, portraits
from .training import checkpoint, data, distributed, growing, loop, options, readers, stylegan2
from .training.options import growing_options, stylegan2_options

# A first layer [w_dim, z_dim] drawn from seed 0 holds the very numbers of the first latents of seed 0, each of which then excites
# one unit beyond anything that training shows. So weights are drawn from seeds that nobody samples with.
WEIGHTS_SEED = 1_000_000_000
TINY = 16                       # px: on a CPU threads only wait for each other there, on a busy machine for a hundred times as long
PLACES = "out", "resume", "eager", "compile", "device", "command"       # what a run is not defined by


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = commands.Parser(prog="python -m course_lib.train", description=__doc__)
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    command = lambda name, text: models.add_parser(name, help=text, description=f"Train {text}.")
    stylegan2_options(command("stylegan2", "generator and discriminator of StyleGAN2"))
    growing_options(command("stylegan", "StyleGAN: AdaIN and noise, growing from 8 px"), "stylegan")
    growing_options(command("pggan", "PGGAN, growing from 4 px"), "pggan")
    for kind in ("oracle", "judge"):
        options.reader_options(command(kind, f"the {kind} that reads attributes from portraits"), kind)
    options.clip_options(command("clip", "a small CLIP: portraits and their captions as vectors of one space"))
    options.identity_options(command("identity", "the network that tells whether two portraits show one person"))
    options.mapper_options(command("mapper", "a StyleCLIP mapper, which learns the edit that one sentence describes"))
    args = parser.parse_args(arguments)
    args.command = shlex.join(["python", "-m", "course_lib.train", *arguments])
    if args.model in options.MODELS:
        typed = options.typed(models.choices[args.model], arguments[1:])
        with commands.sentences(parser.prog, interrupted=lambda: what_is_kept(Path(args.out), args.resume)):
            train_gan(args, typed)
    else:
        train = {"clip": train_pairs, "identity": train_pairs, "mapper": train_mapper}.get(args.model, train_reader)
        with commands.sentences(parser.prog, "stopped; nothing is kept, and the same command begins anew"):
            commands.no_mps(args.device, "it shifts and resizes images in ways (grid_sample with a border, antialiasing)")
            train(args)


def what_is_kept(out, resumed):
    """What to say of a stopped run, by what is on the disk."""
    last = checkpoint.folders(out)
    if not last:
        return "stopped before the first step; nothing is kept, and the same command begins anew"
    again = "the same command" if resumed else "the same command and --resume"
    return f"stopped; {int(last[-1].name):,} images are kept in {last[-1]}; continue from there with {again}"


def train_gan(args, typed):
    """Make or resume a run and hand it to the loop."""
    device, first = distributed.start(args.device), distributed.rank() == 0
    out, last = Path(args.out), args.resume and checkpoint.folders(args.out)
    settings = resumed(args, typed, out, last) if args.resume else new(args, out)
    options.check(settings, args.device, args.compile and args.model != "stylegan2")
    commands.try_folder(out)
    chosen = data.select(settings["data"], settings["data_size"], settings["seed"])
    data.check_size(chosen.used, settings["resolution"], device)
    model = stylegan2 if settings["model"] == "stylegan2" else growing
    options.check_memory(model.build, settings, device)
    torch.manual_seed(WEIGHTS_SEED + settings["seed"])
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    elif settings["resolution"] <= TINY:
        torch.set_num_threads(1)
    run = model.build(settings, device)
    if settings.get("init") and not last:
        checkpoint.begin(run, settings["init"])
    if first:
        print(f"{out}: {chosen}\n{out}: G {_millions(run.G)}, D {_millions(run.D)} parameters on {device}; preparing images …", flush=True)
    reals = data.load(chosen, settings["resolution"], settings["data_size"], settings["seed"], device)
    if last:
        checkpoint.load(last[-1], run)
    if first:
        commands.write_json(out / "settings.json", settings, replace=True)
        if not last:
            about = {"command": args.command, "device": machine(device), "torch": torch.__version__, "images": chosen.record()}
            commands.write_json(out / "run.json", about, replace=True)
    if not last:
        torch.manual_seed(settings["seed"] + 1 + distributed.rank() * 1_000_003)
    if model is stylegan2:
        plan = stylegan2.plan(run, reals, settings, device)
        report = lambda G: {"rgb_shares": stylegan2.rgb_shares(G)}
    else:
        plan, report = growing.plan(run, reals, settings, device, out, args.compile), None
    loop.train(out, run, plan, settings, device, captured=False if args.eager else None, report=report)
    if first:
        print(f"{out}: {run.images:,} images; use zoo.load(\"{checkpoint.folders(out)[-1] / 'G_ema.safetensors'}\")")
    distributed.stop()


def new(args, out):
    """The settings of a new run."""
    settings = {key: value for key, value in vars(args).items() if key not in PLACES}
    settings |= {"world": portraits.VERSION if args.data == "portraits" else None, "data": _place(args.data)}
    if args.model != "stylegan2":
        settings["images"] = settings["images"] or growing.images_in_all(settings)
    checkpoint.refuse_others(out, settings)
    return settings


def resumed(args, typed, out, last):
    """The settings with which the run in `out` goes on: its own, but for how far it goes and where its pictures lie."""
    if not last:
        raise FileNotFoundError(f"{out} has no checkpoint to resume from; start without --resume")
    settings = checkpoint.settings(last[-1])
    if settings["model"] != args.model:
        raise ValueError(f"{out} holds a run of {settings['model']}, not of {args.model}; choose another --out")
    for key in sorted(typed.difference(PLACES, ["images", "data"])):
        asked = getattr(args, key)
        if asked != settings.get(key):
            option = "--" + key.replace("_", "-")
            if isinstance(asked, bool):                     # of a flag such as --no-equalized
                raise ValueError(f"{out} was started without --no{option[1:]} and goes on so; leave it out, or choose another "
                                 "--out")
            raise _conflict(out, option, settings.get(key), asked)
    if settings["world"] not in (None, portraits.VERSION):
        raise ValueError(f"{out} was trained on world {settings['world']}, this is world {portraits.VERSION}; start anew")
    if "images" in typed and args.images:
        settings["images"] = args.images
    before, now = _place(settings["data"]), _place(args.data)
    if "data" in typed and now != before:
        if "portraits" in (before, now):
            raise _conflict(out, "--data", before, args.data)
        if not distributed.rank():
            print(f"{out}: its pictures are now those in {now}, until here those in {before}", flush=True)
        settings["data"] = now
    if settings["data"] != "portraits" and not Path(settings["data"]).exists():
        raise FileNotFoundError(f'the pictures of this run, in {settings["data"]}, are not there; say with --data where '
                                'they are now')
    return settings


def _conflict(out, option, before, asked):
    return ValueError(f"{out} was started with {option} {before} and goes on with it; leave {option} {asked} out, or choose another --out")


def _place(data):
    return data if data == "portraits" else str(Path(data).absolute())


def train_reader(args):
    options = {key: value for key, value in vars(args).items() if key != "model"}
    readers.train_reader(args.model, **options)


def train_pairs(args):
    from .training import contrastive                   # open_clip takes seconds to import
    options = {key: value for key, value in vars(args).items() if key != "model"}
    {"clip": contrastive.train_clip, "identity": contrastive.train_identity}[args.model](**options)


def train_mapper(args):
    """Fit a mapper; write `out/mapper-<prompt>.safetensors`, and its losses to `out/results/`."""
    from . import clip, judges, styleclip, zoo
    name = styleclip.mapper.file_name(args.prompt)
    file, results = readers.result_files(args.out, name, name)
    G, reader = zoo.load(args.generator, device=args.device), clip.load(args.clip, args.device)
    identity = zoo.load(args.identity, device=args.device) if args.id_weight and args.identity != "none" else None
    styleclip.edits.check_networks(G, reader, identity)
    if not isinstance(identity, judges.Identity | None):
        raise ValueError(f"--identity {args.identity} is no identity network; name one such as identity-portraits-64")
    for option, network in (("--clip", reader), ("--identity", identity)):
        if network is not None:
            zoo.check_belongs(network, G, option)
    reader.encode_texts([args.prompt])                  # what it does not know is said before the work begins
    goal = None
    if args.share is not None:
        goal = styleclip.enough(reader, styleclip.seen(G, reader, progress=True), args.prompt, args.share)
    began = time.perf_counter()
    with commands.noted_stops() as stops:
        mapper, losses = styleclip.fit(
            G, reader, args.prompt, progress=True, callback=lambda step, losses: bool(stops), goal=goal, identity=identity,
            **{name: getattr(args, name) for name in ("levels", "layers", "steps", "batch", "lr", "clip_weight", "l2", "id_weight",
                                                      "keep", "rest_weight", "views", "psi", "seed")})
    about, done = {"prompt": args.prompt, "generator": mapper.generator}, len(losses["total"])
    readers.save_trained(file, mapper, "mapper", done, args.steps, stops if done < args.steps else [], config=about)
    result = {"command": args.command, "world": portraits.VERSION, "seeds": [args.seed], **about, "levels": mapper.levels,
              "seconds": round(time.perf_counter() - began, 1), "device": machine(args.device),
              "losses": {key: value[-min(100, args.steps):].mean().item() for key, value in losses.items()}}
    commands.write_json(results, result)
    print(f"{file}: levels {', '.join(mapper.levels)}; D_CLIP {losses['clip'][0]:.3f} at first, {result['losses']['clip']:.3f} at last")


def machine(device):
    """What a result names as the device of its seconds."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"{torch.get_num_threads()} CPU threads"


def _millions(network):
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


if __name__ == "__main__":
    main()
