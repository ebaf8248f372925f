"""Files of latents: what `python -m course_lib.project` finds for pictures, and other commands draw and edit.

A file is safetensors with one tensor,

    ws           float32 [N, num_ws, w_dim], a row for each picture, which `G.synthesis(ws, noise="const")` draws,

and metadata, as JSON where it is no text:

    kind         "latents"
    model        the generator, by its name in the zoo or its file
    generator    the fingerprint of its weights (`styleclip.common.fingerprint`); the latents mean nothing to any other generator
    space        "w" (all rows of a picture are alike) or "w+"
    distance     the name of the distance that was made small
    distances    how far each drawn picture still is from the one that was asked for, [N]
    names        of the pictures, [N]
"""
import json
from typing import NamedTuple

import torch

from . import zoo
from .styleclip.common import checked_ws, fingerprint

KIND = "latents"


class Latents(NamedTuple):
    """The latents of N pictures, and what their file says of them."""
    ws: torch.Tensor            # [N, num_ws, w_dim]
    names: list                 # [N]
    distances: list             # [N]
    about: dict                 # model, generator, space, distance and whatever else was stored


def save(path, G, ws, names, distances, replace=False, **about):
    """Write latents ws [N, num_ws, w_dim] of a generator. about: model, space, distance, and more if wanted. Raises OSError for a
    file that exists, unless `replace`."""
    about = {"generator": fingerprint(G), "names": list(names), "distances": [float(x) for x in distances]} | about
    return zoo.save(path, {"ws": checked_ws(G, ws).float()}, KIND, replace=replace, **about)


def load(path, G):
    """The Latents of a file, on the device of the generator. Raises ValueError for a file of another kind, and for latents of
    another generator."""
    tensors, metadata = zoo.read(path)
    if metadata.get("kind") != KIND or "ws" not in tensors:
        raise ValueError(f'{path} holds no latents but "{metadata.get("kind", "something unknown")[:80]}"; python -m '
                         "course_lib.project makes a file of them")
    check_generator(path, metadata, G)
    names, distances = (json.loads(metadata.get(key, "[]")) for key in ("names", "distances"))
    return Latents(checked_ws(G, tensors["ws"]), names, distances,
                   {key: value for key, value in metadata.items() if key not in ("kind", "names", "distances")})


def check_generator(path, metadata, G):
    """Raise ValueError where a file of latents, by its metadata, is not the generator's."""
    if metadata.get("generator") != fingerprint(G):
        raise ValueError(f"{path} holds latents of another generator, {metadata.get('model', 'which it does not name')[:200]}; "
                         "take that one")
