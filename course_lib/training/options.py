"""The options of course_lib.train with their types, ranges and defaults, and which go together. A generator's are its settings."""
import argparse

import torch

from ..commands import Parser, default_device, device, no_mps, number, seed, whole
from . import data, scores
from .presets import PRESETS, shown
from .settings import LAYERS, MODELS, WEIGHT, GrowingSettings, StyleGAN2Settings, from_options, network, options

HELD_OUT = whole(8, 100_000)


def gan_options(parser, model):
    """A generator's training: where it runs, and its settings."""
    run_options(parser, model)
    add = parser.add_argument
    add("--out", required=True, help="folder for the log, samples, checkpoints and snapshots")
    add("--resume", action="store_true",
        help="continue the run in --out exactly where its last checkpoint stands, with its options; "
        "only --images, and --data if the pictures have moved, are taken anew")
    for setting in options(MODELS[model]):
        no = "no_" if setting.metadata.get("action") == "store_false" else ""
        add("--" + (no + setting.name).replace("_", "-"), dest=setting.name,
            **{"default": setting.default} | setting.metadata)
    add("--metrics", type=scores.metrics, default=None,
        help="measure snapshots, such as frechet,kid,precision_recall, or on your own pictures kid,precision_recall: the one whose "
        "first metric is the lowest is kept as best.safetensors; on Portraits also D_gap, by how much D prefers portraits that it "
        "was trained on to others")
    add("--metric-samples", type=whole(2), default="5k", help="generated images, and as many real ones or all, for --metrics")
    add("--tensorboard", action="store_true", help="also write TensorBoard's events, into OUT/tensorboard")
    add("--eager", action="store_true", help="on a GPU, do not record the steps in CUDA graphs")
    add("--device", type=device, default=default_device(), help="cpu, cuda, cuda:N, or mps in float32")


def as_typed(model, *arguments):
    """The settings of a model with these options of course_lib.train, such as "--resolution", "16"."""
    parser = Parser()
    gan_options(parser, model)
    return from_options(model, parser.parse_args(["--out", "", *arguments]))


def run_options(parser, model):
    """What every training has: its presets, and a look at the settings."""
    presets = PRESETS.get(model)
    if presets:
        parser.add_argument("--preset", choices=presets, default=None, help="named options, which those typed beside it override: "
                            + "; ".join(f"{name} is {shown(preset)}" for name, preset in presets.items()))
    parser.add_argument("--dry-run", action="store_true", help="print all settings as JSON and stop, before anything is made")


def classifier_options(parser, name):
    """Of the oracle and the judge."""
    learner_options(parser, name, "6k", 512)
    parser.add_argument("--data-size", type=whole(2, 10 ** 9), default="200k", help="how many portraits to draw from")
    parser.add_argument("--held-out", type=HELD_OUT, default="20k", help="unseen portraits for the scores")
    if name == "judge":
        parser.add_argument("--against", nargs="*", type=network, metavar="NETWORK",
            default=["oracle-portraits-64", "identity-portraits-64", "clip-portraits"],
            help="models of the course or files, whose gradients do a part of the damage from which the judge learns")


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


def identity_options(parser, name):
    """Of the identity network and the verifier."""
    learner_options(parser, name, "4k", 512)
    add = parser.add_argument
    add("--lr", type=number(above=0), default=2e-3, help="AdamW's highest learning rate")
    add("--data-size", type=whole(2, 10 ** 9), default="50k", help="how many people to draw from, each in four portraits")
    add("--held-out", type=HELD_OUT, default="4k", help="unseen people for the scores")


def features_options(parser):
    learner_options(parser, "features", "1k", 128)
    add = parser.add_argument
    add("--lr", type=number(above=0), default=2e-3, help="AdamW's highest learning rate")
    add("--data-size", type=whole(8, 10 ** 9), default="8k", help="how many procedural images and portraits to draw from")
    add("--held-out", type=HELD_OUT, default="1k", help="other images for the score")


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


def typed(parser, arguments):
    """The names of the options that stand in the arguments; the others have their defaults."""
    absent = object()
    names = vars(parser.parse_args(arguments))
    found = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(names, absent)))
    return {name for name in names if getattr(found, name) is not absent}


def check(settings, device):
    """Raise ValueError for options of a GAN that do not go together; `build` checks the batch."""
    s = settings
    if isinstance(s, GrowingSettings) and s.start > s.resolution:
        raise ValueError(f"--start {s.start} is above --resolution {s.resolution}")
    if s.channel_base < s.resolution:
        raise ValueError(f"--channel-base {s.channel_base} leaves no feature map at --resolution {s.resolution}; take at "
                         "least that many")
    if s.r1_gamma_end and not s.r1_gamma:
        raise ValueError("--r1-gamma-end lets the weight of R1 fall from --r1-gamma, which is 0; give both, or neither")
    if s.r1_gamma_end and s.loss == "wgan-gp":
        raise ValueError("--r1-gamma-end is of R1, which --loss wgan-gp does not have; take --loss logistic, or leave it out")
    if isinstance(s, StyleGAN2Settings) and s.r2 and not s.r1_gamma:
        raise ValueError("--r2 has the weight of R1, and --r1-gamma is 0; give both, or neither")
    if isinstance(s, StyleGAN2Settings):
        check_few(s, device)
    if torch.device(device).type == "mps" and s.dtype != "float32":
        raise ValueError("MPS computes in float32 here; take --dtype float32, or another --device")


def check_few(s, device):
    """Raise ValueError for options of training on few images that do not go together."""
    if s.augment == "none" and s.augment_p is not None:
        raise ValueError(f"--augment-p {s.augment_p:g} is the probability of what --augment ada does; give both, or neither")
    if s.augment != "none":
        no_mps(device, "--augment looks images up in ways (grid_sample with reflection)")
    blocks = s.resolution.bit_length() - 3
    if s.freeze_d and not s.init:
        raise ValueError(f"--freeze-d {s.freeze_d} keeps blocks of D as --init gave them; give both, or neither")
    if s.freeze_d > blocks:
        raise ValueError(f"--freeze-d {s.freeze_d} leaves nothing of D to train at --resolution {s.resolution}; take at most "
                         f"{blocks}")


def check_memory(build, settings, device):
    """Raise ValueError, before any of it is taken, for networks that do not fit a device's free memory with what trains them."""
    with torch.device("meta"):
        run = build(settings, torch.device("meta"))
    G, D = (sum(p.numel() for p in network.parameters()) for network in (run.G, run.D))
    size, free = 4 * (5 * G + 4 * D), data.free_memory(device)          # weights, gradients, two moments; of G the average, too
    if free is not None and size > free:
        raise ValueError(f"networks of these sizes take {size / 2 ** 30:,.1f} GiB while they are trained, and {device} has "
                         f"{free / 2 ** 30:,.1f} GiB free; take a smaller --channel-max, --channel-base, --z-dim or --w-dim")
