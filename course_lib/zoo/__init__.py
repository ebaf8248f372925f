"""Trained networks by name or file. Weights are safetensors: reading one never executes code.

`load("stylegan2-portraits-64")` looks the name up in the cards of `data/models.json`, compares the file's sha256 and builds the
network; `load(path)` builds it from any file that `save` wrote, and from the official and rosinality's checkpoints, of which
nothing is executed either. `load("stylegan2-ffhq-1024")` and the other names of FULL download NVIDIA's file first, once. The
environment variable COURSE_DATA names another folder than the repository's `data`; a library installed without the repository
needs it. `python -m course_lib.zoo info FILE` says what a file holds; `convert` rewrites it.
"""
import difflib
import importlib
import json
import os
import warnings
from pathlib import Path

import torch

from .. import commands, download, portraits
from ..networks import classifiers, identity, image_features, pggan, stylegan, stylegan2
from . import files, formats
from .files import DATASET_VERSION, MODEL, is_safetensors, is_shared, last_of_run, metadata, read, save, shared_file, verify  # noqa: F401

DATA = Path(os.environ.get("COURSE_DATA", Path(__file__).resolve().parents[2] / "data"))
NVIDIA = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"
LICENCE = ("NVIDIA's network, for research and evaluation, not for commercial use: its licence is the Nvidia Source Code "
           "License-NC, https://nvlabs.github.io/stylegan2/license.html")
FULL = {name: f"{NVIDIA}/{file}.pkl" for name, file in {
    "stylegan2-ffhq-1024": "stylegan2-ffhq-1024x1024", "stylegan2-ffhq-512": "stylegan2-ffhq-512x512",
    "stylegan2-ffhq-256": "stylegan2-ffhq-256x256", "stylegan2-celebahq-256": "stylegan2-celebahq-256x256"}.items()}


def cards():
    """The cards of the course's models, {name: card}; empty where DATA has none.

    A card has "kind" (`BUILDERS`), "files" ({part: {"file", "sha256"}}), "command" (which made it), the version of Portraits under
    DATASET_VERSION, and for most "images", how many were seen in training.
    """
    path = DATA / "models.json"
    return json.loads(path.read_text()) if path.exists() else {}


def names():
    """The names of the course's models, sorted."""
    return sorted(cards())


def no_models():
    """A sentence about a DATA without models, as of a library that is installed without the repository; "" where there are some."""
    return "" if cards() else (f"there are no models of the course in {DATA}: copy the repository, and name its folder data in the "
                               "environment variable COURSE_DATA")


def unknown(name):
    """The message for a name that is neither a file nor a model, with those most like it unless it is a path."""
    path = Path(name)
    if path.is_dir():
        return f'"{name}" is a folder, but holds no run and no model'
    likest = difflib.get_close_matches(name, [*names(), *FULL], 3, cutoff=0)
    said = no_models() or ("" if path.suffix or len(path.parts) > 1 else f"the nearest are {', '.join(likest)}")
    return f'"{name}" is neither a file nor a model of the course{said and "; "}{said}'


def load(name_or_path, part=None, device="cpu"):
    """A network by the name of its card, a name of FULL, a file, or a folder of `model_cards.write` or of a training run, in eval
    mode, float32, without gradients, on the device.

    part: "G", "D", "8", … of those that its card or its file has; without one the generator, in the files of other code the
    averaged one, "G_ema". `network.dataset` is its `dataset_of`, `network.source` the name. Warns where a file lacks constant noise
    or the mean of W, which are then made anew. Raises FileNotFoundError for an unknown name, and ValueError for a part or device
    that is not there, for a damaged file, and for one that is not what its card says.
    """
    name, device = str(name_or_path), commands.checked_device(device)
    path = path_of(name, part)
    found = contents(path).read(None if name in cards() else part)
    if found.made:
        warnings.warn(f"{path.name} lacks {' and '.join(found.made)}: made anew", stacklevel=2)
    network = _build(path, *found[:3]).to(device).eval().requires_grad_(False)
    network.dataset, network.source = dataset_of(name), name
    return network


def path_of(model, part=None):
    """The file of a network: of a name of the zoo (`file`), of one of FULL, which is downloaded first, of a folder with a card
    (`files.shared_file`), of the folder of a training run, whose last checkpoint it is, or of a path, which it is itself. Raises
    FileNotFoundError for anything else."""
    name, path = str(model), Path(model)
    if name in cards():
        return file(name, part)
    if name in FULL:
        return download.fetch(FULL[name], terms=LICENCE)
    if is_shared(path):
        return shared_file(path)
    path = last_of_run(path) or path
    if not path.is_file():
        raise FileNotFoundError(unknown(name))
    return path


def dataset_of(model):
    """The data set that a network was trained on: "portraits" for the present `portraits.VERSION`; None for any other, and where
    neither card nor file says so.

    model: a name of the zoo, a file, or a network from `load`. Oracle, judge, identity network and results of the course are valid
    only for generators for which this is "portraits".
    """
    if isinstance(model, torch.nn.Module):
        return getattr(model, "dataset", None)
    name, path = str(model), Path(model)
    if name in cards():
        version = cards()[name].get(DATASET_VERSION)
    elif is_shared(path):
        version = metadata(path / MODEL).get(DATASET_VERSION)
    else:
        path = last_of_run(path) or path
        version = metadata(path).get(DATASET_VERSION) if name not in FULL and path.is_file() and is_safetensors(path) else None
    return "portraits" if version == portraits.VERSION else None


def held(network):
    """What a network from `load` is, for a message: '"clip-portraits" holds a CLIP model'."""
    name = type(network).__name__
    what = WORDS.get(name) or f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"
    return f'"{network.source}" holds {what}' if hasattr(network, "source") else f"this network is {what}"


def check_belongs(network, G, option):
    """Raise ValueError where a network was trained on Portraits, and knows nothing else, and the generator G was not. option: of a
    command, such as "--clip", that names the network."""
    if dataset_of(network) == "portraits" and dataset_of(G) != "portraits":
        raise ValueError(f"the network of {option} knows only portraits, and the generator was not trained on them, or its file "
                         f"does not say so; {OTHERS.get(option, f'name another {option}')}")


def file(name, part=None):
    """The path of a course model's file, once its sha256 is that of its card. part: one of the card's "files"; without it the
    generator's, or the first. Raises FileNotFoundError for an unknown name or a missing file, ValueError for an unknown part or
    other contents."""
    if name not in cards():
        raise FileNotFoundError(unknown(name))
    files = cards()[name]["files"]
    part = part or ("G" if "G" in files else next(iter(files)))
    if part not in files:
        raise ValueError(f'"{name}" has no part "{part}"; it has {", ".join(sorted(files))}')
    card = files[part]
    verify(DATA / card["file"], card["sha256"])
    return DATA / card["file"]


def contents(path):
    """The `formats.Contents` of a file: its format, its parts, and how to read each. A safetensors file has one part, "G" or "D";
    with the generator of a run's checkpoint comes the D that lies in `state.safetensors` beside it. Raises ValueError for a format
    that is not known."""
    if not is_safetensors(path):
        return formats.read(path)
    network, state = _safetensors(path), Path(path).with_name(files.STATE)
    found = {"D" if network.kind.endswith("-D") else "G": lambda: network}
    if Path(path).name == files.AVERAGED and state.is_file():
        found["D"] = lambda: _discriminator(state, network)
    return formats.Contents("safetensors", found)


@formats.guarded
def _safetensors(path):
    tensors, metadata = read(path)
    if "kind" not in metadata:
        run = Path(path).parents[2] if Path(path).name == files.STATE and "settings" in metadata else None
        raise ValueError(f"it is the state of a run; pass the run's folder, {run}" if run else
                         "its metadata name no kind of network, so it is no file of this library")
    config = json.loads(metadata.get("config", "{}"))
    classes = {"classes": json.loads(metadata["classes"])} if "classes" in metadata else {}
    return formats.completed(formats.Network(metadata["kind"], tensors, config, classes))


@formats.guarded
def _discriminator(path, G):
    """The D in the state of a run whose averaged generator is the Network G, as far as that has grown."""
    tensors = {key.removeprefix("D."): value for key, value in read(path)[0].items() if key.startswith("D.")}
    tensors = files.trained_part(tensors, G.config.get("reached"))
    config = {key: value for key, value in G.config.items() if key == "conv_clamp"}
    return formats.completed(formats.Network(f"{G.kind.removesuffix('G')}D", tensors, config, G.built_with))


@formats.guarded
def _build(path, kind, tensors, config):
    check(kind, tensors, config)
    return BUILDERS[kind](tensors, **config)


def check(kind, tensors, config):
    """Build a network on the meta device, which takes no memory, so that no file can ask for more than its tensors fill. Raises
    ValueError for an unknown kind, and for a tensor that is missing or has another shape, which it names.

    The networks scale their first weights in place: on that device `a * b` would import PyTorch's compiler, which takes a second.
    """
    if kind not in BUILDERS:
        raise ValueError(f'it holds a network of kind "{kind[:80]}"; this version knows {", ".join(BUILDERS)}')
    if kind in GANS:
        formats.layouts.check(tensors, config, GANS[kind])
    try:
        with torch.device("meta"):
            BUILDERS[kind]({key: t.to("meta") for key, t in tensors.items()}, **config)
    except KeyError as error:
        raise ValueError(f"its tensor {error} is missing") from None


def _imported(module):
    """The `from_tensors` of a module that is imported when a file needs it: open_clip alone takes seconds."""
    def build(tensors, **config):
        with torch.device("cpu"):               # not "meta", for what a module keeps
            imported = importlib.import_module(module)
        return imported.from_tensors(tensors, **config)
    return build


generator_from_nvidia, discriminator_from_nvidia = stylegan2.generator_from, stylegan2.discriminator_from

# What each kind of file is built with: tensors, **config → network.
BUILDERS = {"stylegan2-G": stylegan2.generator_from, "stylegan2-D": stylegan2.discriminator_from,
            "stylegan-G": stylegan.generator_from, "stylegan-D": stylegan.discriminator_from,
            "pggan-G": pggan.generator_from, "pggan-D": pggan.discriminator_from,
            "oracle": classifiers.from_tensors, "judge": classifiers.from_tensors, "identity": identity.from_tensors,
            "verifier": identity.from_tensors, "features": image_features.from_tensors, "clip": _imported("course_lib.clip"),
            "mapper": _imported("course_lib.styleclip.mapper")}

# The types of networks in words, and what suits a generator that was not trained on Portraits, by the option that names it.
WORDS = {"Clip": "a CLIP model", "AttributeClassifier": "a classifier of attributes", "IdentityNetwork": "an identity network",
         "ImageFeatures": "a network of image features", "LatentMapper": "a latent mapper"}
OTHERS = {"--clip": "name a model of open_clip, such as --clip ViT-B-32/openai (a download)",
          "--identity": "leave it out with --identity none, or name another file"}

# The kinds of generators and discriminators, and a tensor that each has in its smallest block.
GANS = {"stylegan2-G": "synthesis.b4.conv1.weight", "stylegan2-D": "b4.conv.weight", "stylegan-G": "synthesis.b4.torgb.weight",
        "stylegan-D": "b4.fromrgb.weight", "pggan-G": "b4.torgb.weight", "pggan-D": "b4.fromrgb.weight"}
