"""Files of weights: safetensors with their kind and metadata, read without executing anything and written whole."""
import contextlib
import hashlib
import json
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import files

MODEL, CARD = "model.safetensors", "card.json"       # in a folder that `model_cards.write` made
AVERAGED, STATE = "G_ema.safetensors", "state.safetensors"      # in the checkpoint of a run
DATASET_VERSION = "world"       # the name that the version of Portraits has in metadata, cards and results


def trained_part(state, reached=None):
    """A growing network's state dict without the resolutions that are still untrained."""
    return {key: value for key, value in state.items()
            if reached is None or max(map(int, re.findall(r"\bb(\d+)\.", key)), default=0) <= reached}


def is_safetensors(path):
    """Whether a file is safetensors, by its first bytes or its suffix."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{" or Path(path).suffix == ".safetensors"


def verify(path, sha256):
    """Raise FileNotFoundError or ValueError, which say how to restore it, unless the file at `path` has the sha256 of its card."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; restore it with: git checkout -- {path}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name} is not the file that the course publishes (sha256 {found[:12]}…, expected "
                         f"{sha256[:12]}…); restore it with git checkout, or load it by its path if it is your own")


def is_shared(folder):
    """Whether a path is a folder with a network and its card."""
    return all((Path(folder) / name).is_file() for name in (MODEL, CARD))


def shared_file(folder):
    """The network in a folder of `model_cards.write`, once its sha256 is that of the card beside it; ValueError where it is not."""
    card, path = Path(folder) / CARD, Path(folder) / MODEL
    try:
        sha256 = json.loads(card.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{card} is no model card, or a damaged one") from None
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that {CARD} describes: its sha256 is another; get the folder anew, or load "
                         "the file by its own path if you trust it")
    return path


def last_of_run(folder):
    """The generator of a training run's last checkpoint, or None where the folder holds none."""
    made = [path for path in Path(folder).glob(f"checkpoints/*/{AVERAGED}") if path.parent.name.isdigit()]
    return max(made, key=lambda path: int(path.parent.name), default=None)


def read(path):
    """The tensors {name: tensor}, floats as float32, and the metadata {str: str} of a safetensors file. Raises ValueError for a
    damaged one."""
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata() or {}
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}, metadata


def metadata(path):
    """The metadata {str: str} of a safetensors file, whose tensors are not read. Raises ValueError for a damaged one."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path):
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error})") from None


def save(path, tensors, kind, dtype=None, replace=False, dataset_version=None, **metadata):
    """Write tensors (a state dict) as safetensors, whole or not at all. → the path

    kind: which network it is, such as "stylegan2-G" (`zoo.BUILDERS`). dtype: of the floats, by default as they are.
    dataset_version: the `portraits.VERSION` that the network was trained on; leave it out for other images. metadata: stored as
    JSON, unless it is text. Raises OSError for a file that exists, unless `replace`, and where nothing can be written.
    """
    path = Path(path)
    metadata = ({} if dataset_version is None else {DATASET_VERSION: dataset_version}) | metadata
    tensors = {key: (t.to(dtype) if dtype and t.is_floating_point() else t).detach().cpu().contiguous()
               for key, t in tensors.items()}
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    with files.writing(path, replace) as partial:
        save_file(tensors, partial, metadata={"kind": kind, **metadata})
    return path
