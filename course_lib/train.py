"""Train a network: python -m course_lib.train MODEL --out FOLDER …

A first run that takes a minute on a laptop, then the one that made the shipped model (one GPU):

    python -m course_lib.train stylegan2 --resolution 16 --images 2k --data-size 2k --out runs/first
    python -m course_lib.train stylegan2 --resolution 64 --images 2400k --out runs/portraits-64

Several GPUs share a batch: torchrun --nproc-per-node 2 -m course_lib.train stylegan2 --batch 128 --out runs/two
The first generations grow: python -m course_lib.train pggan --stable 100k --fade 100k --out runs/pggan
Editing with text needs clip and identity first: python -m course_lib.train mapper --prompt "a smiling person"
"""
import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import torch

from . import portraits
from .training import checkpoint, data, distributed, growing, loop, readers, stylegan2

# A first layer [w_dim, z_dim] drawn from seed 0 holds the very numbers of the first latents of seed 0, each of which then excites
# one unit beyond anything that training shows. So weights are drawn from seeds that nobody samples with.
WEIGHTS_SEED = 1_000_000_000


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m course_lib.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    command = lambda name, text: models.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    stylegan2_options(command("stylegan2", "generator and discriminator of StyleGAN2"))
    growing_options(command("stylegan", "StyleGAN: AdaIN and noise, growing from 8 px"), "stylegan")
    growing_options(command("pggan", "PGGAN, growing from 4 px"), "pggan")
    for kind in ("oracle", "judge"):
        reader_options(command(kind, f"the {kind} that reads attributes from portraits"))
    clip_options(command("clip", "a small CLIP: portraits and their captions as vectors of one space"))
    identity_options(command("identity", "the network that tells whether two portraits show one person"))
    mapper_options(command("mapper", "a StyleCLIP mapper, which learns the edit that one sentence describes"))
    args = parser.parse_args(arguments)
    args.command = shlex.join(["python", "-m", "course_lib.train", *(sys.argv[1:] if arguments is None else arguments)])
    others = {"oracle": train_reader, "judge": train_reader, "clip": train_pairs, "identity": train_pairs, "mapper": train_mapper}
    try:
        if args.model in others:
            others[args.model](args)
        else:
            train_gan(args, defaults=vars(parser.parse_args([args.model, "--out", args.out])))
    except (ValueError, OSError, loop.Diverged) as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"\n{parser.prog}: stopped; continue from the last checkpoint with the same command and --resume")


def train_gan(args, defaults):
    """Make or resume a run and hand it to the loop."""
    device, first = distributed.start(args.device), distributed.rank() == 0
    out = Path(args.out)
    last = checkpoint.folders(out)
    if (out / "log.jsonl").exists() and not args.resume:
        raise FileExistsError(f"{out} already holds a run; add --resume to continue it, or choose another --out")
    if args.resume and not last:
        raise FileNotFoundError(f"{out} has no checkpoint to resume from; start without --resume")
    settings = {key: value for key, value in vars(args).items() if key not in ("out", "resume", "eager", "compile", "device", "command")}
    settings["world"] = portraits.VERSION if args.data == "portraits" else None
    if last:
        asked, settings = settings, checkpoint.settings(last[-1]) | {"images": args.images}
        if settings["model"] != args.model:
            raise ValueError(f"{out} holds a run of {settings['model']}, not of {args.model}; choose another --out")
        for key, value in asked.items():
            if value not in (settings.get(key), defaults.get(key)):
                option = "--" + key.replace("_", "-")
                raise ValueError(f"{out} was started with {option} {settings.get(key)} and goes on with it; leave {option} {value} out, or "
                                 "choose another --out")
        if settings["world"] not in (None, portraits.VERSION):
            raise ValueError(f"{out} was trained on world {settings['world']}, this is world {portraits.VERSION}; start anew")
    if settings["model"] != "stylegan2":
        if settings["start"] > settings["resolution"]:
            raise ValueError(f"--start {settings['start']} is above --resolution {settings['resolution']}")
        settings["images"] = settings["images"] or growing.images_in_all(settings)
    model = stylegan2 if settings["model"] == "stylegan2" else growing
    torch.manual_seed(WEIGHTS_SEED + settings["seed"])
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    run = model.build(settings, device)
    if settings.get("init") and not last:
        checkpoint.begin(run, settings["init"])
    if first:
        print(f"{out}: G {_millions(run.G)}, D {_millions(run.D)} parameters on {device}; preparing images …", flush=True)
    reals = data.load(settings["data"], settings["resolution"], settings["data_size"], settings["seed"], device)
    if last:
        checkpoint.load(last[-1], run)
    elif first:
        out.mkdir(parents=True, exist_ok=True)
        (out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
        (out / "run.json").write_text(json.dumps({"command": args.command, "device": machine(device), "torch": torch.__version__}, indent=1) + "\n")
    if not last:
        torch.manual_seed(settings["seed"] + 1 + distributed.rank() * 1_000_003)
    if model is stylegan2:
        plan = stylegan2.plan(run, reals, settings, device, args.compile)
        report = lambda G: {"rgb_shares": stylegan2.rgb_shares(G)}
    else:
        plan, report = growing.plan(run, reals, settings, device, out, args.compile), None
    loop.train(out, run, plan, settings, device, captured=False if args.eager else None, report=report)
    if first:
        print(f"{out}: {run.images:,} images; use zoo.load(\"{checkpoint.folders(out)[-1] / 'G_ema.safetensors'}\")")
    distributed.stop()


def train_reader(args):
    readers.train_reader(args.model, args.out, steps=args.steps, batch=args.batch, seed=args.seed, device=args.device)


def train_pairs(args):
    from .training import contrastive                   # open_clip takes seconds to import
    options = {key: value for key, value in vars(args).items() if key != "model"}
    {"clip": contrastive.train_clip, "identity": contrastive.train_identity}[args.model](**options)


def train_mapper(args):
    """Fit a mapper; write `out/mapper-<prompt>.safetensors`, and its losses to `out/results/`."""
    from . import clip, styleclip, zoo
    name = styleclip.mapper.file_name(args.prompt)
    G, reader = zoo.load(args.generator, device=args.device), clip.load(args.clip, args.device)
    identity = zoo.load(args.identity, device=args.device) if args.id_weight and args.identity != "none" else None
    goal = styleclip.enough(reader, styleclip.seen(G, reader), args.prompt, args.share) if args.share is not None else None
    began = time.perf_counter()
    mapper, losses = styleclip.fit(
        G, reader, args.prompt, progress=True, goal=goal, identity=identity, **{name: getattr(args, name) for name in (
            "levels", "layers", "steps", "batch", "lr", "clip_weight", "l2", "id_weight", "keep", "rest_weight", "views", "psi", "seed")})
    about = {"prompt": args.prompt, "generator": mapper.generator}
    file = zoo.save(Path(args.out) / f"{name}.safetensors", mapper.state_dict(), "mapper", dtype=torch.float16,
                    world=portraits.VERSION, config=about)
    result = {"command": args.command, "world": portraits.VERSION, "seeds": [args.seed], **about, "levels": mapper.levels,
              "seconds": round(time.perf_counter() - began, 1), "device": machine(args.device),
              "losses": {key: value[-min(100, args.steps):].mean().item() for key, value in losses.items()}}
    path = Path(args.out) / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{file}: levels {', '.join(mapper.levels)}; D_CLIP {losses['clip'][0]:.3f} at first, {result['losses']['clip']:.3f} at last")


def stylegan2_options(parser):
    shared_options(parser)
    add = parser.add_argument
    add("--images", type=count, default="2400k", help="real images shown before the run ends; 2400k is 2.4 million")
    add("--init", default=None, help="begin with trained networks of the same sizes: a model of the zoo, a file that holds G and D, or the "
        "folder of another run")
    add("--batch", type=int, default=64, help="images per step")
    add("--channel-base", type=int, default=4096, help="feature maps times resolution; 32768 is the paper's config F")
    add("--w-dim", type=int, default=256, help="size of w; 512 is the paper's")
    add("--mapping-layers", type=int, default=8, help="dense layers from z to w")
    add("--conv-clamp", type=float, default=None, help="clamp activations to ± this value; 256 helps in float16")
    add("--lr", type=float, default=0.002, help="Adam's learning rate")
    add("--lr-anneal", type=float, default=0.0, help="last share of the run, in which the learning rate falls to 0 along a parabola (not in the paper)")
    add("--r1-gamma", type=float, default=10.0, help="weight of R1; raise it when training is unstable")
    add("--r1-gamma-end", type=float, default=None, help="weight of R1 at the end of the run, to which it falls by the same factor "
        "per image; by default it stays (not in the paper)")
    add("--r1-interval", type=int, default=16, help="steps between R1 steps")
    add("--pl-weight", type=float, default=2.0, help="weight of path-length regularization; 0 leaves it out")
    add("--pl-interval", type=int, default=4, help="steps between path-length steps")
    add("--mixing", type=float, default=0.9, help="probability that two latents share an image")


def growing_options(parser, model):
    shared_options(parser)
    add, pggan = parser.add_argument, model == "pggan"
    add("--start", type=int, default=4 if pggan else 8, help="first resolution; the same as --resolution: no growing")
    add("--stable", type=count, default="600k", help="images at every resolution after its fade")
    add("--fade", type=lambda text: count(text, 0), default="600k", help="images while α goes from 0 to 1; 0 switches it at once")
    add("--images", type=count, default=None, help="real images shown before the run ends; by default the whole schedule")
    add("--batch", type=table, default="4:128,32:64,64:32,128:16,256:8,512:4", help="images per step, from a resolution on")
    add("--lr", type=rates, default="4:0.001,1024:0.0015" if pggan else "4:0.001,128:0.0015,256:0.002,512:0.003",
        help="Adam's learning rate, from a resolution on")
    add("--schedule-every", type=int, default=4, help="steps between two looks at the schedule")
    add("--channel-base", type=int, default=4096, help="feature maps times resolution; 16384 is the paper's")
    add("--loss", choices=("wgan-gp", "logistic"), default="wgan-gp" if pggan else "logistic",
        help="logistic is non-saturating, with R1")
    add("--gp-weight", type=float, default=10.0, help="WGAN-GP: weight of the gradient penalty")
    add("--drift", type=float, default=0.001, help="WGAN-GP: weight of D(x)²")
    add("--r1-gamma", type=float, default=10.0, help="logistic: weight of R1")
    add("--group-size", type=int, default=4, help="samples per group of the minibatch statistic; 1 leaves it out")
    add("--no-equalized", dest="equalized", action="store_false", help="He initialisation instead of equalized learning rates")
    if pggan:
        add("--no-pixel-norm", dest="pixel_norm", action="store_false", help="leave pixel norm out")
    else:
        add("--w-dim", type=int, default=256, help="size of w; 512 is the paper's")
        add("--mapping-layers", type=int, default=8, help="dense layers from z to w")
        add("--mixing", type=float, default=0.9, help="probability that two latents share an image")


def shared_options(parser):
    add = parser.add_argument
    add("--out", required=True, help="folder for the log, samples, checkpoints and snapshots")
    add("--resume", action="store_true", help="continue the run in --out exactly where its last checkpoint stands, with its options; "
        "only --images is taken anew")
    add("--data", default="portraits", help='"portraits", or a folder of images of any size')
    add("--data-size", type=count, default="200k", help="how many images to draw from")
    add("--resolution", type=int, default=64, help="a power of two from 4 to 1024")
    add("--channel-max", type=int, default=256, help="most feature maps of a layer; 512 is the paper's")
    add("--z-dim", type=int, default=256, help="size of z; 512 is the paper's")
    add("--ema-kimg", type=float, default=10.0, help="half-life of the generator's moving average, thousand images")
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16" if torch.cuda.is_available() else "float32",
        help="what convolutions compute in")
    add("--seed", type=int, default=0, help="the same seed gives the same run (bit for bit on CPU)")
    add("--log-every", type=count, default="16k", help="images between lines of log.jsonl")
    add("--checkpoint-every", type=count, default="200k", help="images between checkpoints, samples and snapshots")
    add("--compile", action="store_true", help="compile the networks (a minute or two, needs a C compiler) for faster steps; of a growing run "
        "only for the last stage")
    add("--eager", action="store_true", help="on a GPU, do not record the steps in CUDA graphs")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")


def reader_options(parser, steps="6k", batch=512):
    add = parser.add_argument
    add("--out", default="data", help="folder for the weights and their results")
    add("--steps", type=count, default=steps, help="training steps")
    add("--batch", type=int, default=batch, help="portraits per step")
    add("--seed", type=int, default=0, help="seed of initialisation and training portraits")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")


def clip_options(parser):
    reader_options(parser, "8k", 1024)
    add = parser.add_argument
    add("--lr", type=float, default=1e-3, help="AdamW's highest learning rate")
    add("--data-size", type=count, default="200k", help="how many portraits to draw from")
    add("--held-out", type=count, default="4k", help="unseen portraits for the scores")
    add("--adversarial", type=float, default=0.02, help="how far a pixel, from -1 to 1, may move to confuse the network, against "
        "edits that please it without changing the picture; 0 leaves it out")
    add("--generator", default="", help="add images of this generator, described as the oracle reads them")
    add("--edits", type=int, default=0, help="so many edits of the generator's styles go on against the network while it is trained")
    add("--claims-weight", type=float, default=0.0, help="weight of a loss that asks of every portrait whether each of some ninety "
        "short sentences is true")
    add("--init", default="", help="go on from this CLIP of the course, by name or file")


def identity_options(parser):
    reader_options(parser, "4k", 512)
    add = parser.add_argument
    add("--lr", type=float, default=2e-3, help="AdamW's highest learning rate")
    add("--data-size", type=count, default="50k", help="how many people to draw from, each in four portraits")
    add("--held-out", type=count, default="4k", help="unseen people for the scores")


def mapper_options(parser):
    reader_options(parser, "2k", 8)
    add = parser.add_argument
    add("--prompt", required=True, help='what the edited portraits should show, such as "a smiling person"')
    add("--generator", default="stylegan2-portraits-64", help="a model of the course, or a file of a generator")
    add("--clip", default="clip-portraits", help='a model of the course, a file, or one of open_clip such as "ViT-B-32/openai"')
    add("--identity", default="identity-portraits-64", help='the network of the identity loss; "none" leaves it out')
    add("--levels", nargs="+", choices=("coarse", "medium", "fine"), default=None, help="layers 0-3, 4-7 and the rest; by default all")
    add("--layers", type=int, default=4, help="dense layers of each level")
    add("--lr", type=float, default=0.5, help="Adam's highest learning rate; the mapper itself learns a hundred times slower")
    add("--clip-weight", type=float, default=1.0, help="weight of the distance to the sentence")
    add("--l2", type=float, default=0.8, help="weight of the change of the latent")
    add("--id-weight", type=float, default=0.1, help="weight of the identity loss")
    add("--keep", type=float, default=None, help="who is as near as this cosine of the identity network counts as kept; by default the nearer "
        "the better, as in the paper")
    add("--rest-weight", type=float, default=0.0, help="weight of what changes in CLIP's embedding beside the sentence (not in the paper)")
    add("--psi", type=float, default=1.0, help="truncation of the portraits that it learns from")
    add("--views", type=int, default=2, help="random crops of each image that CLIP looks at")
    add("--share", type=float, default=None, help="an edit is asked for no more similarity than this share of the generator's own portraits "
        "have (0.05: one in twenty); by default for ever more, as in the paper")


def machine(device):
    """What a result names as the device of its seconds."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def count(text, least=1):
    """"2400k" → 2400000."""
    text = str(text).lower()
    scale = {"k": 1000, "m": 1000000}.get(text[-1:], 1)
    try:
        value = int(float(text.rstrip("km")) * scale)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number; write 2000, 2k or 2.4m') from None
    if value < least:
        raise argparse.ArgumentTypeError(f'"{text}" must be at least {least}')
    return value


def table(text, number=int):
    """"4:128,32:64" → [[4, 128], [32, 64]]: 128 from 4 px on, 64 from 32 px on. A lone number holds for all."""
    pairs = [entry.split(":") for entry in (text if ":" in text else f"4:{text}").split(",")]
    try:
        return sorted([int(resolution), number(value)] for resolution, value in pairs)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is no table; write one number, or pairs such as 4:128,32:64') from None


def rates(text):
    return table(text, float)


def _millions(network):
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


if __name__ == "__main__":
    main()
