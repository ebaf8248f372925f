"""The settings of a generator's training: one dataclass for each model, from whose fields the options of course_lib.train are made.

    settings = StyleGAN2Settings(resolution=64, images=2_400_000)
    settings = StyleGAN2Settings(**PRESETS["stylegan2"]["portraits-64"])        # of presets.py
"""
import argparse
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import ClassVar

import torch

from .. import zoo
from ..commands import number, power_of_two, seed, whole

SIZE = whole(1, 65_536)
LAYERS = whole(1, 64)
WEIGHT = number(0)                                  # of a term of the loss


def pictures(text):
    """The type of --data."""
    if text != "portraits" and not (text and Path(text).exists()):
        raise argparse.ArgumentTypeError(f'"{text}" does not exist; pass a folder or a zip of pictures, a packed set, or '
                                         '"portraits"')
    return text


def network(text):
    """The type of a model by name, a file, or the folder of a run."""
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


def option(default, kind, help):
    """A setting that is an option, too. default: as it is typed, or None; kind: the option's type, or its choices."""
    convert = (lambda text: text) if isinstance(kind, tuple) else kind
    return field(default_factory=lambda: None if default is None else convert(default),
                 metadata={"default": default, "choices" if isinstance(kind, tuple) else "type": kind, "help": help})


def flag(default, help):
    """A setting that is on or off; the option, --name or --no-name, changes it."""
    return field(default=default, metadata={"action": f"store_{str(not default).lower()}", "help": help})


@dataclass(kw_only=True)
class Settings:
    """What all three models have. The fields without a help text are no options: the images decide them."""
    data: str = option("portraits", pictures,
                       '"portraits"; a folder or a zip of pictures of any size: all in it and in its folders that are not hidden '
                       "and that no run wrote; or a packed set that python -m course_lib.dataset made")
    data_size: int = option("200k", whole(1, 10 ** 9), "how many images to train on; of a folder with more they are drawn by "
                            "--seed")
    data_cache: int | None = option(None, whole(0),
                                    "how many images may lie on the device; of more all are read from disk while the run trains; "
                                    "by default as many as fit three quarters of its free memory")
    mirror: bool = flag(False, "flip training images left to right, each with probability one half")
    resolution: int = option(64, power_of_two(), "pixels a side")
    channel_base: int = option(4096, whole(4, 2 ** 20), "feature maps times resolution; 16384 is that of PGGAN and StyleGAN, "
                               "32768 that of StyleGAN2's config F")
    channel_max: int = option(256, SIZE, "most feature maps of a layer; 512 is the paper's")
    z_dim: int = option(256, SIZE, "size of z; 512 is the paper's")
    ema_kimg: float = option(10.0, number(0), "half-life of the generator's moving average, thousand images")
    lr_anneal: float = option(0.0, number(0, 1), "last share of the run, in which the learning rate falls to 0 along a parabola "
                              "(not in the paper)")
    r1_gamma_end: float | None = option(None, number(above=0), "weight of R1 at the end of the run, to which it falls by the same "
                                        "factor per image; by default it stays (not in the paper)")
    dtype: str = option("bfloat16" if torch.cuda.is_available() else "float32", ("float32", "bfloat16"),
                        "what convolutions compute in")
    seed: int = option(0, seed, "the same seed gives the same run (bit for bit on CPU)")
    log_every: int | None = option(None, whole(), "images between lines of log.jsonl; by default 16k, or a twentieth of a shorter "
                                   "run")
    checkpoint_every: int | None = option(None, whole(), "images between checkpoints, samples and snapshots; by default 200k, or a "
                                          "fifth of a shorter run")
    dataset_version: str | None = None          # of Portraits; None: of other images
    streamed: bool = False                      # read from disk while the run trains
    classes: list = field(default_factory=list)

    def intervals(self):
        """Images between lines of the log, and between checkpoints."""
        return (self.log_every or max(1, min(16_000, self.images // 20)),
                self.checkpoint_every or max(1, min(200_000, self.images // 5)))

    def stored(self):
        """As a dictionary that a run's files hold, with the model."""
        found = asdict(self)
        return {"model": self.model, zoo.DATASET_VERSION: found.pop("dataset_version")} | found


@dataclass(kw_only=True)
class StyleGAN2Settings(Settings):
    model = "stylegan2"
    labels: bool = flag(False, "train a class-conditional generator: every first-level folder of --data is a class")
    images: int = option("2400k", whole(), "real images shown before the run ends; 2400k is 2.4 million")
    init: str | None = option(None, network, "begin with trained networks of the same sizes, or at another resolution with the "
                              "layers that fit: a model of the zoo, a file that holds G and D, or the folder of another run")
    freeze_d: int = option(0, whole(0, 8), "how many blocks of D, from the highest resolution on, stay as --init gave them")
    augment: str = option("none", ("none", "ada"), "for few images: ada shows D all images under random transforms, with a "
                          "probability that follows from how far D overfits")
    augment_target: float = option(0.6, number(-1, 1), "ada: mean sign of D's logits of reals above which the probability rises")
    augment_p: float | None = option(None, number(0, 1), "ada: a probability that stays, instead; above 0.8 the transforms show in "
                                     "generated images")
    batch: int = option(64, SIZE, "images per step, over all processes")
    batch_gpu: int | None = option(None, SIZE, "images that a GPU takes at a time, where its memory does not hold its whole part "
                                   "of the batch: their gradients are added up; by default all")
    w_dim: int = option(256, SIZE, "size of w; 512 is the paper's")
    mapping_layers: int = option(8, LAYERS, "dense layers from z to w")
    conv_clamp: float | None = option(None, number(above=0), "clamp activations to ± this value; 256 helps in float16")
    lr: float = option(0.002, WEIGHT, "Adam's learning rate")
    loss: str = option("logistic", ("logistic", "relativistic"), "logistic is non-saturating, relativistic that of R3GAN (not in "
                       "the paper)")
    r1_gamma: float = option(10.0, WEIGHT, "weight of R1; raise it when training is unstable; 0 leaves it out")
    r2: bool = flag(False, "R1's penalty on generated images too, as in R3GAN (not in the paper)")
    r1_interval: int = option(16, whole(), "steps between R1 steps")
    pl_weight: float = option(2.0, WEIGHT, "weight of path-length regularization; 0 leaves it out")
    pl_interval: int = option(4, whole(), "steps between path-length steps")
    mixing: float = option(0.9, number(0, 1), "probability that two latents share an image")


@dataclass(kw_only=True)
class GrowingSettings(Settings):
    """What PGGAN and StyleGAN share."""
    init: ClassVar = None
    labels: ClassVar = False
    start: int = option(4, power_of_two(), "first resolution in pixels; the same as --resolution: no growing")
    stable: int = option("600k", whole(), "images at every resolution after its fade")
    fade: int = option("600k", whole(0), "images while α goes from 0 to 1; 0 switches it at once")
    images: int | None = option(None, whole(), "real images shown before the run ends; by default the whole schedule")
    batch: list = option("4:128,32:64,64:32,128:16,256:8,512:4", table(SIZE), "images per step, from a resolution on")
    lr: list = option("4:0.001,1024:0.0015", table(WEIGHT), "Adam's learning rate, from a resolution on")
    schedule_every: int = option(4, whole(), "steps between two looks at the schedule")
    loss: str = option("wgan-gp", ("wgan-gp", "logistic"), "logistic is non-saturating, with R1")
    gp_weight: float = option(10.0, WEIGHT, "WGAN-GP: weight of the gradient penalty")
    drift: float = option(0.001, WEIGHT, "WGAN-GP: weight of D(x)²")
    r1_gamma: float = option(10.0, WEIGHT, "logistic: weight of R1")
    group_size: int = option(4, SIZE, "samples per group of the minibatch statistic; 1 leaves it out")
    equalized: bool = flag(True, "He initialisation instead of equalized learning rates")

    def whole_schedule(self):
        """The schedule's length in images: stable and fade for every resolution, and stable for the last."""
        doublings = self.resolution.bit_length() - self.start.bit_length()
        return doublings * (self.stable + self.fade) + self.stable


@dataclass(kw_only=True)
class PGGANSettings(GrowingSettings):
    model = "pggan"
    pixel_norm: bool = flag(True, "leave pixel norm out")


@dataclass(kw_only=True)
class StyleGANSettings(GrowingSettings):
    model = "stylegan"
    start: int = option(8, power_of_two(), "first resolution in pixels; the same as --resolution: no growing")
    lr: list = option("4:0.001,128:0.0015,256:0.002,512:0.003", table(WEIGHT), "Adam's learning rate, from a resolution on")
    loss: str = option("logistic", ("wgan-gp", "logistic"), "logistic is non-saturating, with R1")
    w_dim: int = option(256, SIZE, "size of w; 512 is the paper's")
    mapping_layers: int = option(8, LAYERS, "dense layers from z to w")
    mixing: float = option(0.9, number(0, 1), "probability that two latents share an image")


MODELS = {kind.model: kind for kind in (StyleGAN2Settings, StyleGANSettings, PGGANSettings)}


def from_stored(found):
    """Settings from what `stored` gave, now or in an earlier version of the library, whose other entries are left out. KeyError for
    another model, TypeError for what is no dictionary."""
    found = found | {"dataset_version": found.get(zoo.DATASET_VERSION)}
    kind = MODELS[found["model"]]
    return kind(**{f.name: found[f.name] for f in fields(kind) if f.name in found})


def options(kind):
    """The fields of a model's settings that are options."""
    return [f for f in fields(kind) if f.metadata]


def from_options(model, args):
    """The settings that parsed options give."""
    return MODELS[model](**{f.name: getattr(args, f.name) for f in options(MODELS[model])})
