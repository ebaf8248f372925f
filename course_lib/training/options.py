"""The options of course_lib.train: for each its type with its range, its default, and what it means; and which go together."""
import argparse
from pathlib import Path

import torch

from ..commands import default_device, device, number, power_of_two, seed, whole
from . import data, schedule
from .presets import PRESETS

MODELS = "stylegan2", "stylegan", "pggan"           # the trainings that --resume continues
SIZE = whole(1, 65_536)
LAYERS = whole(1, 64)
HELD_OUT = whole(8, 100_000)
WEIGHT = number(0)                                  # of a term of the loss


def stylegan2_options(parser):
    shared_options(parser, "stylegan2")
    add = parser.add_argument
    add("--labels", action="store_true", help="train a class-conditional generator: every first-level folder of --data is a class")
    add("--images", type=whole(), default="2400k", help="real images shown before the run ends; 2400k is 2.4 million")
    add("--init", type=network, default=None,
        help="begin with trained networks of the same sizes: a model of the zoo, a file that holds "
        "G and D, or the folder of another run")
    add("--batch", type=SIZE, default=64, help="images per step, over all processes")
    add("--batch-gpu", type=SIZE, default=None,
        help="images that a GPU takes at a time, where its memory does not hold its whole part of the batch: their "
        "gradients are added up; by default all")
    add("--channel-base", type=whole(4, 2 ** 20), default=4096, help="feature maps times resolution; 32768 is the paper's config F")
    add("--w-dim", type=SIZE, default=256, help="size of w; 512 is the paper's")
    add("--mapping-layers", type=LAYERS, default=8, help="dense layers from z to w")
    add("--conv-clamp", type=number(above=0), default=None, help="clamp activations to ± this value; 256 helps in float16")
    add("--lr", type=WEIGHT, default=0.002, help="Adam's learning rate")
    add("--lr-anneal", type=number(0, 1), default=0.0,
        help="last share of the run, in which the learning rate falls to 0 along a parabola "
        "(not in the paper)")
    add("--r1-gamma", type=WEIGHT, default=10.0, help="weight of R1; raise it when training is unstable; 0 leaves it out")
    add("--r1-gamma-end", type=number(above=0), default=None,
        help="weight of R1 at the end of the run, to which it falls by the same factor "
        "per image; by default it stays (not in the paper)")
    add("--r1-interval", type=whole(), default=16, help="steps between R1 steps")
    add("--pl-weight", type=WEIGHT, default=2.0, help="weight of path-length regularization; 0 leaves it out")
    add("--pl-interval", type=whole(), default=4, help="steps between path-length steps")
    add("--mixing", type=number(0, 1), default=0.9, help="probability that two latents share an image")


def growing_options(parser, model):
    shared_options(parser, model)
    add, pggan = parser.add_argument, model == "pggan"
    add("--start", type=power_of_two(), default=4 if pggan else 8,
        help="first resolution in pixels; the same as --resolution: no growing")
    add("--stable", type=whole(), default="600k", help="images at every resolution after its fade")
    add("--fade", type=whole(0), default="600k", help="images while α goes from 0 to 1; 0 switches it at once")
    add("--images", type=whole(), default=None, help="real images shown before the run ends; by default the whole schedule")
    add("--batch", type=table(SIZE), default="4:128,32:64,64:32,128:16,256:8,512:4", help="images per step, from a resolution on")
    add("--lr", type=table(WEIGHT), default="4:0.001,1024:0.0015" if pggan else "4:0.001,128:0.0015,256:0.002,512:0.003",
        help="Adam's learning rate, from a resolution on")
    add("--schedule-every", type=whole(), default=4, help="steps between two looks at the schedule")
    add("--channel-base", type=whole(4, 2 ** 20), default=4096, help="feature maps times resolution; 16384 is the paper's")
    add("--loss", choices=("wgan-gp", "logistic"), default="wgan-gp" if pggan else "logistic",
        help="logistic is non-saturating, with R1")
    add("--gp-weight", type=WEIGHT, default=10.0, help="WGAN-GP: weight of the gradient penalty")
    add("--drift", type=WEIGHT, default=0.001, help="WGAN-GP: weight of D(x)²")
    add("--r1-gamma", type=WEIGHT, default=10.0, help="logistic: weight of R1")
    add("--group-size", type=SIZE, default=4, help="samples per group of the minibatch statistic; 1 leaves it out")
    add("--no-equalized", dest="equalized", action="store_false", help="He initialisation instead of equalized learning rates")
    if pggan:
        add("--no-pixel-norm", dest="pixel_norm", action="store_false", help="leave pixel norm out")
    else:
        add("--w-dim", type=SIZE, default=256, help="size of w; 512 is the paper's")
        add("--mapping-layers", type=LAYERS, default=8, help="dense layers from z to w")
        add("--mixing", type=number(0, 1), default=0.9, help="probability that two latents share an image")


def run_options(parser, model):
    """What every training has: its presets, and a look at the settings."""
    presets = PRESETS.get(model)
    if presets:
        parser.add_argument("--preset", choices=presets, default=None, help="named options, which those typed beside it override: "
                            + "; ".join(f"{name} is {options}" for name, options in presets.items()))
    parser.add_argument("--dry-run", action="store_true", help="print all settings as JSON and stop, before anything is made")


def shared_options(parser, model):
    run_options(parser, model)
    add = parser.add_argument
    add("--out", required=True, help="folder for the log, samples, checkpoints and snapshots")
    add("--resume", action="store_true",
        help="continue the run in --out exactly where its last checkpoint stands, with its options; "
        "only --images, and --data if the pictures have moved, are taken anew")
    add("--data", type=pictures, default="portraits",
        help='"portraits"; a folder or a zip of pictures of any size: all in it and in its folders '
        "that are not hidden and that no run wrote; or a packed set that python -m course_lib.dataset made")
    add("--data-size", type=whole(1, 10 ** 9), default="200k",
        help="how many images to train on; of a folder with more they are drawn by --seed")
    add("--data-cache", type=whole(0), default=None,
        help="how many images may lie on the device; of more all are read from disk while the run trains; by default as many as "
        "fit three quarters of its free memory")
    add("--mirror", action="store_true", help="flip training images left to right, each with probability one half")
    add("--resolution", type=power_of_two(), default=64, help="pixels a side")
    add("--channel-max", type=SIZE, default=256, help="most feature maps of a layer; 512 is the paper's")
    add("--z-dim", type=SIZE, default=256, help="size of z; 512 is the paper's")
    add("--ema-kimg", type=number(0), default=10.0, help="half-life of the generator's moving average, thousand images")
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16" if torch.cuda.is_available() else "float32",
        help="what convolutions compute in")
    add("--seed", type=seed, default=0, help="the same seed gives the same run (bit for bit on CPU)")
    add("--log-every", type=whole(), default="16k", help="images between lines of log.jsonl")
    add("--checkpoint-every", type=whole(), default="200k", help="images between checkpoints, samples and snapshots")
    add("--eager", action="store_true", help="on a GPU, do not record the steps in CUDA graphs")
    add("--device", type=device, default=default_device(), help="cpu, cuda, cuda:N, or mps in float32")


def classifier_options(parser, name):
    """Of the oracle and the judge."""
    learner_options(parser, name, "6k", 512)
    parser.add_argument("--data-size", type=whole(2, 10 ** 9), default="200k", help="how many portraits to draw from")
    parser.add_argument("--held-out", type=HELD_OUT, default="20k", help="unseen portraits for the scores")


def learner_options(parser, name, steps, batch, least=2):
    """What all but the generators' runs have."""
    run_options(parser, name)
    add = parser.add_argument
    add("--out", default=f"runs/{name}", help="folder for the weights, and their results in results/")
    add("--steps", type=whole(), default=steps, help="training steps")
    add("--batch", type=whole(least, 65_536), default=batch, help="portraits per step")
    add("--seed", type=seed, default=0, help="seed of initialisation and training portraits")
    add("--device", type=device, default=default_device(), help="cpu, cuda or cuda:N")


def clip_options(parser):
    learner_options(parser, "clip", "8k", 1024)
    add = parser.add_argument
    add("--lr", type=number(above=0), default=1e-3, help="AdamW's highest learning rate")
    add("--data-size", type=whole(2, 10 ** 9), default="200k", help="how many portraits to draw from")
    add("--held-out", type=HELD_OUT, default="4k", help="unseen portraits for the scores")
    add("--adversarial", type=number(0, 2), default=0.02,
        help="how far a pixel, from -1 to 1, may move to confuse the network, against "
        "edits that please it without changing the picture; 0 leaves it out")
    add("--generator", type=network, default="", help="add images of this generator, with the attributes that the oracle predicts")
    add("--edits", type=whole(0, 65_536), default=0,
        help="number of adversarial edits: they move the generator's styles up the gradient of the network, which learns to see "
        "what their images show")
    add("--attribute-weight", "--claims-weight", type=WEIGHT, default=0.0,
        help="weight of a logistic loss over every pair of a portrait and one of some ninety short prompts, each true of it or not")
    add("--init", type=network, default="", help="start from the weights of this CLIP of the course, by name or file")


def identity_options(parser):
    learner_options(parser, "identity", "4k", 512)
    add = parser.add_argument
    add("--lr", type=number(above=0), default=2e-3, help="AdamW's highest learning rate")
    add("--data-size", type=whole(2, 10 ** 9), default="50k", help="how many people to draw from, each in four portraits")
    add("--held-out", type=HELD_OUT, default="4k", help="unseen people for the scores")


def mapper_options(parser):
    learner_options(parser, "mapper", "2k", 8, least=1)
    add = parser.add_argument
    add("--prompt", required=True, help='what the edited portraits should show, such as "a smiling person"')
    add("--generator", type=network, default="stylegan2-portraits-64", help="a model of the course, or a file of a generator")
    add("--clip", default="clip-portraits", help='a model of the course, a file, or one of open_clip such as "ViT-B-32/openai"')
    add("--identity", default="identity-portraits-64", help='the network of the identity loss; "none" leaves it out')
    add("--levels", nargs="+", choices=("coarse", "medium", "fine"), default=None,
        help="layers 0-3, 4-7 and the rest; by default all")
    add("--layers", type=LAYERS, default=4, help="dense layers of each level")
    add("--lr", type=number(above=0), default=0.5,
        help="Adam's highest learning rate; the mapper itself learns a hundred times slower")
    add("--clip-weight", type=WEIGHT, default=1.0, help="weight of the distance to the sentence")
    add("--l2", type=WEIGHT, default=0.8, help="weight of the change of the latent")
    add("--id-weight", type=WEIGHT, default=0.1, help="weight of the identity loss")
    add("--identity-threshold", metavar="COSINE", type=number(-1, 1), default=None,
        help="cosine of the identity network from which on the identity loss asks for no more; by default the nearer "
        "the better, as in the paper")
    add("--preserve-weight", type=WEIGHT, default=0.0,
        help="weight of the preservation loss: what changes in CLIP's embedding other than along the sentence (not in the paper)")
    add("--psi", type=number(0, 2), default=1.0, help="truncation of the portraits that it learns from")
    add("--views", type=whole(1, 1024), default=2, help="random crops of each image that CLIP looks at")
    add("--top-fraction", type=number(above=0, below=1), default=None,
        help="an edit is asked for no more similarity than this fraction of the generator's "
        "own portraits reach (0.05: one in twenty); by default for ever more, as in the paper")


def pictures(text):
    """The type of --data."""
    if text != "portraits" and not (text and Path(text).exists()):
        raise argparse.ArgumentTypeError(f'"{text}" does not exist; pass a folder or a zip of pictures, a packed set, or '
                                         '"portraits"')
    return text


def network(text):
    """The type of a model by name, a file, or the folder of a run."""
    from .. import zoo
    if text and text not in zoo.cards() and text not in zoo.FULL and not Path(text).exists():
        raise argparse.ArgumentTypeError(zoo.unknown(text))
    return text


def table(value):
    """The type of "4:128,32:64" → [[4, 128], [32, 64]]: 128 from 4 px on, 64 from 32 px on. A lone number holds for all."""
    def convert(text):
        pairs = [entry.split(":") for entry in (text if ":" in text else f"4:{text}").split(",")]
        if any(len(pair) != 2 for pair in pairs):
            raise argparse.ArgumentTypeError(f'"{text}" is no table; write one number, or pairs such as 4:128,32:64')
        found = {power_of_two()(resolution): value(of_it) for resolution, of_it in pairs}
        if len(found) < len(pairs):
            raise argparse.ArgumentTypeError(f'"{text}" gives one resolution two values')
        return sorted(map(list, found.items()))

    convert.range = f"{value.range}; one number, or RESOLUTION:NUMBER,…"
    return convert


def typed(parser, arguments):
    """The names of the options that stand in the arguments; the others have their defaults."""
    absent = object()
    names = vars(parser.parse_args(arguments))
    found = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(names, absent)))
    return {name for name in names if getattr(found, name) is not absent}


def check(settings, device):
    """Raise ValueError for options of a GAN that do not go together; `build` checks the batch."""
    s = settings
    if s.get("start", 0) > s["resolution"]:
        raise ValueError(f"--start {s['start']} is above --resolution {s['resolution']}")
    if s["channel_base"] < s["resolution"]:
        raise ValueError(f"--channel-base {s['channel_base']} leaves no feature map at --resolution {s['resolution']}; take at "
                         "least that many")
    if s.get("r1_gamma_end") and not s["r1_gamma"]:
        raise ValueError("--r1-gamma-end lets the weight of R1 fall from --r1-gamma, which is 0; give both, or neither")
    if torch.device(device).type == "mps" and s["dtype"] != "float32":
        raise ValueError("MPS computes in float32 here; take --dtype float32, or another --device")


def check_memory(build, settings, device):
    """Raise ValueError, before any of it is taken, for networks that do not fit a device's free memory with what trains them."""
    with torch.device("meta"):
        run = build(settings, torch.device("meta"))
    G, D = (sum(p.numel() for p in network.parameters()) for network in (run.G, run.D))
    size, free = 4 * (5 * G + 4 * D), data.free_memory(device)          # weights, gradients, two moments; of G the average, too
    if free is not None and size > free:
        raise ValueError(f"networks of these sizes take {size / 2 ** 30:,.1f} GiB while they are trained, and {device} has "
                         f"{free / 2 ** 30:,.1f} GiB free; take a smaller --channel-max, --channel-base, --z-dim or --w-dim")


def batches(settings):
    """The batches that a run meets: one, or those of its resolutions."""
    if settings["model"] == "stylegan2":
        return [settings["batch"]]
    resolutions = [4 << k for k in range(9) if settings["start"] <= 4 << k <= settings["resolution"]]
    return sorted({schedule.at(settings["batch"], resolution) for resolution in resolutions})
