"""Trained networks by name or file. Weights are safetensors: reading one never executes code.

`load("stylegan2-portraits-64")` looks the name up in `data/models.json`, compares the file's sha256 and builds the
network; `load(path)` builds it from any file that `save` wrote, and from the official and rosinality's checkpoints, of
which nothing is executed either. `load("stylegan2-ffhq-1024")` and the other names of FULL download NVIDIA's file first,
once. `python -m course_lib.zoo info FILE` says what a file holds; `convert` rewrites it.
"""
import contextlib
import hashlib
import importlib
import json
import os
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import commands, download, judges, portraits, zoo_formats
from .networks import pggan, stylegan, stylegan2
from .networks.layers import channels_of, fill

DATA = Path(os.environ.get("COURSE_DATA", Path(__file__).resolve().parent.parent / "data"))
NVIDIA = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"
LICENCE = ("NVIDIA's network, for research and evaluation, not for commercial use: its licence is the Nvidia Source Code License-NC, "
           "https://nvlabs.github.io/stylegan2/license.html")
FULL = {name: f"{NVIDIA}/{file}.pkl" for name, file in {
    "stylegan2-ffhq-1024": "stylegan2-ffhq-1024x1024", "stylegan2-ffhq-512": "stylegan2-ffhq-512x512",
    "stylegan2-ffhq-256": "stylegan2-ffhq-256x256", "stylegan2-celebahq-256": "stylegan2-celebahq-256x256"}.items()}


def cards():
    """The models that ship with the course: name → {file, sha256, kind, world, …}."""
    path = DATA / "models.json"
    return json.loads(path.read_text()) if path.exists() else {}


def names():
    return sorted(cards())


def load(name_or_path, part=None, device="cpu"):
    """A network in eval mode, in float32. part: "G", "D", "8", … of those that its card or its file has; without one the
    generator, in the files of other code the averaged one, "G_ema". ValueError with their names for a part that is not there, and
    for a device that is not; a warning where a file lacks constant noise or the mean of W, which are then made anew."""
    name, device = str(name_or_path), commands.checked_device(device)
    if name in cards():
        path, part = file(name, part), None
    elif name in FULL:
        path = download.fetch(FULL[name], terms=LICENCE)
    else:
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f'"{name}" is neither a file nor a model of the course; these are: '
                                    f'{", ".join([*names(), *FULL])}')
    found = contents(path).read(part)
    if found.made:
        warnings.warn(f"{path.name} lacks {' and '.join(found.made)}: made anew", stacklevel=2)
    network = _build(path, *found[:3]).to(device).eval().requires_grad_(False)
    network.dataset = dataset_of(name)
    return network


def dataset_of(model):
    """The data set that a network was trained on: "portraits", or None where it is another one or nobody says.

    model: a name of the zoo or a file, or a network that `load` gave. Results, judge and identity network of the course belong
    to a generator for which this is "portraits", in its present version: other versions count as other data sets.
    """
    if isinstance(model, torch.nn.Module):
        return getattr(model, "dataset", None)
    name, path = str(model), Path(model)
    if name in cards():
        version = cards()[name].get("world")
    elif name not in FULL and path.is_file() and is_safetensors(path):
        version = metadata(path).get("world")
    else:
        version = None
    return "portraits" if version == portraits.VERSION else None


def check_belongs(network, G, option):
    """Raise ValueError where a network, named by an option of a command, knows only portraits, and a generator was not trained on
    them."""
    if dataset_of(network) == "portraits" and dataset_of(G) != "portraits":
        raise ValueError(f"the network of {option} knows only portraits, and the generator was not trained on them, or its file does not "
                         f"say so; name another {option}, or none where it can be left out")


def file(name, part=None):
    """The file of a model of the course, compared with its card; without a part the generator's, or the only one."""
    files = cards()[name]["files"]
    part = part or ("G" if "G" in files else next(iter(files)))
    if part not in files:
        raise ValueError(f'"{name}" has no part "{part}"; it has {", ".join(sorted(files))}')
    card = files[part]
    verify(DATA / card["file"], card["sha256"])
    return DATA / card["file"]


def contents(path):
    """The zoo_formats.Contents of any file that can be read; a safetensors file has one part."""
    if not is_safetensors(path):
        return zoo_formats.read(path)
    network = _safetensors(path)
    return zoo_formats.Contents("safetensors", {"D" if network.kind.endswith("-D") else "G": lambda: network})


def is_safetensors(path):
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{" or Path(path).suffix == ".safetensors"


@zoo_formats.guarded
def _safetensors(path):
    tensors, metadata = read(path)
    config = json.loads(metadata.get("config", "{}"))
    return zoo_formats.completed(zoo_formats.Network(metadata.get("kind", "unknown"), tensors, config, {}))


@zoo_formats.guarded
def _build(path, kind, tensors, config):
    check(kind, tensors, config)
    return BUILDERS[kind](tensors, **config)


def check(kind, tensors, config):
    """Build a network without memory: an error says which tensor is missing or misshapen, and no file can ask for more
    than its tensors fill."""
    if kind not in BUILDERS:
        raise ValueError(f'it holds a network of kind "{kind[:80]}"; this version knows {", ".join(BUILDERS)}')
    if kind in GANS:
        zoo_formats.layouts.check(tensors, config, GANS[kind])
    try:
        with torch.device("meta"):
            BUILDERS[kind]({key: t.to("meta") for key, t in tensors.items()}, **config)
    except KeyError as error:
        raise ValueError(f"its tensor {error} is missing") from None


def verify(path, sha256):
    """Compare a shipped file with its card; the message says how to mend it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; restore it with: git checkout -- {path}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name} is not the file that the course ships (sha256 {found[:12]}…, expected "
                         f"{sha256[:12]}…); restore it with git checkout, or load it by its path if it is your own")


def read(path):
    """Tensors (floats as float32) and metadata of a safetensors file."""
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata() or {}
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}, metadata


def metadata(path):
    """The metadata of a safetensors file, whose tensors are not read."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path):
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error})") from None


def save(path, tensors, kind, dtype=None, replace=False, **metadata):
    """Write tensors (a state dict) whole or not at all, with kind and metadata; floats in `dtype`. An existing file is refused
    unless `replace`."""
    path = Path(path)
    tensors = {key: (t.to(dtype) if dtype and t.is_floating_point() else t).detach().cpu().contiguous()
               for key, t in tensors.items()}
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    with commands.writing(path, replace) as partial:
        save_file(tensors, partial, metadata={"kind": kind, **metadata})
    return path


def generator_from_nvidia(state_dict, conv_clamp=None):
    """A StyleGAN2 generator from tensors with the official names; every size is read off them."""
    state = {key: value for key, value in state_dict.items() if not key.endswith("resample_filter")}
    w_dim, first = state["mapping.fc0.weight"].shape
    c_dim = state["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in state else 0
    channels = channels_of(state, r"synthesis\.b(\d+)\.conv1\.weight", 0)
    network = stylegan2.Generator(
        max(channels), z_dim=first - (w_dim if c_dim else 0), w_dim=w_dim, c_dim=c_dim, channels=channels,
        mapping_layers=zoo_formats.layouts.count(state, r"mapping\.fc(\d+)\.weight"),
        img_channels=state["synthesis.b4.torgb.weight"].shape[0], conv_clamp=conv_clamp)
    return fill(network, state)


def discriminator_from_nvidia(state_dict, conv_clamp=None, group_size=4):
    """A StyleGAN2 residual discriminator from tensors with the official names."""
    state = {key: value for key, value in state_dict.items() if not key.endswith("resample_filter")}
    channels = channels_of(state, r"b(\d+)\.conv0\.weight", 0)
    channels[4] = state["b4.conv.weight"].shape[0]
    conditional = "mapping.embed.weight" in state
    network = stylegan2.Discriminator(
        max(channels), c_dim=state["mapping.embed.weight"].shape[1] if conditional else 0, channels=channels,
        mapping_layers=zoo_formats.layouts.count(state, r"mapping\.fc(\d+)\.weight"),
        img_channels=state[f"b{max(channels)}.fromrgb.weight"].shape[1], conv_clamp=conv_clamp, group_size=group_size)
    return fill(network, state)


def _from(module):
    """The `from_tensors` of a module that is imported when a file needs it: open_clip alone takes seconds."""
    def build(tensors, **config):
        with torch.device("cpu"):               # not "meta", for what a module keeps
            imported = importlib.import_module(module, __package__)
        return imported.from_tensors(tensors, **config)
    return build


BUILDERS = {"stylegan2-G": generator_from_nvidia, "stylegan2-D": discriminator_from_nvidia,
            "stylegan-G": stylegan.generator_from, "stylegan-D": stylegan.discriminator_from,
            "pggan-G": pggan.generator_from, "pggan-D": pggan.discriminator_from,
            "oracle": judges.from_tensors, "judge": judges.from_tensors, "identity": judges.identity_from,
            "clip": _from(".clip"), "mapper": _from(".styleclip.mapper")}

# The kinds of generators and discriminators, and a tensor that each has.
GANS = {"stylegan2-G": "synthesis.b4.conv1.weight", "stylegan2-D": "b4.conv.weight", "stylegan-G": "synthesis.b4.torgb.weight",
        "stylegan-D": "b4.fromrgb.weight", "pggan-G": "b4.torgb.weight", "pggan-D": "b4.fromrgb.weight"}

if __name__ == "__main__":
    from .zoo_formats.cli import main
    main()
