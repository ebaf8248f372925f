"""Networks in the file formats of other repositories, read without executing anything that a file holds.

`read(path)` says what a file is and gives its parts; `export` writes networks for other code.
"""
import functools
import mmap
import struct
from pathlib import Path
from typing import NamedTuple

import torch

from ... import commands
from . import nvidia_pytorch, nvidia_tensorflow, rosinality, tensors
from .missing import completed
from .pickle_reader import FormatError, Limits, parse

TARGETS = "safetensors", "rosinality", "tensorflow"
DAMAGE = (KeyError, IndexError, EOFError, TypeError, AttributeError, RuntimeError, OverflowError, RecursionError, MemoryError,
          struct.error)


class Network(NamedTuple):
    """One network: a kind of the zoo, tensors with the zoo's names, config for its builder, how its maker built it, and what the
    file lacked and was made anew, in words."""
    kind: str
    tensors: dict
    config: dict
    built_with: dict
    made: list = ()


class Contents(NamedTuple):
    """What a file holds: the name of its format, and one function per part that reads it."""
    format: str
    parts: dict

    def read(self, part=None):
        """A part as a Network; without a name, the averaged generator if there is one, else the first part."""
        part = part or next(name for name in ("G_ema", "G", "D") if name in self.parts)
        if part not in self.parts:
            raise FormatError(f'it has no part "{part}"; it has {", ".join(self.parts)}')
        return self.parts[part]()


def guarded(function, done="read", damage="it is damaged, or not a file of networks"):
    """Turn whatever a damaged file makes of `function(path, …)` into one FormatError that names the file."""
    @functools.wraps(function)
    def call(path, *args, **options):
        try:
            return function(path, *args, **options)
        except ValueError as error:
            raise FormatError(f"{Path(path).name} cannot be {done}: {one_line(error)}") from None
        except DAMAGE as error:
            raise FormatError(f"{Path(path).name} cannot be {done}: {damage} "
                              f"({type(error).__name__}: {one_line(error, 80)})") from None
    return call


def one_line(text, most=300):
    """A message in one line of printable characters: what it quotes may come from the file."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:most])


@guarded
def read(path):
    """The Contents of a .pkl or .pt file, recognised by what is in it."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    limits = Limits(size)
    if data[:4] == b"PK\3\4" or data[:14] == tensors.MAGIC_START:
        stream = tensors.zip_stream if data[:1] == b"P" else tensors.legacy_stream
        value, storages = stream(data, tensors.OBJECTS, limits)
        found = {part: functools.partial(rosinality.convert, state, storages=storages, latent_avg=value.get("latent_avg"))
                 for part, state in rosinality.parts(value).items()}
        return _contents(path, size, "rosinality checkpoint (.pt)", found, "g_ema, g or d")
    if data[:1] != b"\x80":
        raise FormatError("it starts neither like safetensors, a pickle nor a PyTorch file")
    value, _ = parse(data, nvidia_pytorch.NAMES | nvidia_tensorflow.NAMES, limits)
    if records := nvidia_tensorflow.parts(value):
        generator = nvidia_tensorflow.family(records["G"], limits) if len(records) == 3 else None
        found = {part: functools.partial(nvidia_tensorflow.convert, record, generator=generator)
                 for part, record in records.items()}
        return _contents(path, size, "TensorFlow-era pickle", found, "")
    found = {part: functools.partial(nvidia_pytorch.convert, record) for part, record in nvidia_pytorch.parts(value).items()}
    return _contents(path, size, f"NVIDIA PyTorch pickle (protocol {data[1]})", found, "G_ema, G or D")


def _contents(path, size, name, parts, expected):
    if not parts:
        raise FormatError(f"it is a {name}, but holds no network under the names {expected}")
    return Contents(name, {part: functools.partial(_network, path, size, function) for part, function in parts.items()})


@guarded
def _network(path, size, function):
    return completed(Network(*function(limits=Limits(size))))


@functools.partial(guarded, done="written", damage="its networks are damaged")
def export(path, networks, target, drop_clamp=False):
    """Write {"G_ema", "G", "D": Network} to a new file: "rosinality" for a .pt, "tensorflow" for a tuple (G, D, Gs)."""
    path = Path(path)
    networks = {part: network[:3] for part, network in networks.items()}
    if target == "tensorflow":
        content = nvidia_tensorflow.write(networks)
    elif target == "rosinality":
        content = rosinality.checkpoint(networks, drop_clamp)
    else:
        raise FormatError(f'"{target}" is no format; choose one of {", ".join(TARGETS)}')
    with commands.writing(path) as partial:
        partial.write_bytes(content) if target == "tensorflow" else torch.save(content, partial)
    return path
