"""What the training of one network leaves behind: its weights, and its scores beside them.

Classifiers, CLIP, identity networks and mappers; the runs of generators, which can be resumed, are written by `checkpoint`.
"""
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from .. import commands, portraits, zoo


class Trained(NamedTuple):
    """A network and how far its training came: `done` of `steps`; `stops` holds the Ctrl-C or SIGTERM that ended it before."""
    network: torch.nn.Module
    done: int
    steps: int
    stops: list


def output_files(out, name, result):
    """The paths `out/<name>.safetensors` of the weights and `out/results/<result>.json` of the scores. Raises OSError before the
    work begins if one of them is there or cannot be written."""
    files = Path(out) / f"{name}.safetensors", Path(out) / "results" / f"{result}.json"
    for file in files:
        commands.try_output(file)
    return files


def save_trained(file, trained, kind, **metadata):
    """Write a Trained network in float16, with its kind, the version of Portraits and further metadata.

    After a stop the weights so far go into a file whose name says how many steps they had, and the stop is raised again with a
    sentence about it. Raises FloatingPointError for weights that are NaN or infinite.
    """
    network, done, steps, stops = trained
    if stops and not done:
        raise type(stops[0])("stopped before the first step; nothing is kept, and the same command begins anew")
    if not all(t.isfinite().all() for t in network.state_dict().values() if t.is_floating_point()):
        raise FloatingPointError(f"the weights hold NaN or infinity after {done:,} steps, and nothing is kept; take a lower --lr "
                                 "or fewer --steps")
    if stops:
        file = file.with_name(f"{file.stem}-after-{done}-steps.safetensors")
    zoo.save(file, network.state_dict(), kind, dtype=torch.float16, replace=bool(stops), dataset_version=portraits.VERSION,
             **metadata)
    if stops:
        raise type(stops[0])(f"stopped after {done:,} of {steps:,} steps; the weights so far are kept in {file}, without scores. "
                             "The same command begins anew")


@contextmanager
def scoring(file):
    """Around the scoring of a trained network: a stop is raised again with a sentence that names the file where it is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(f"stopped while the scores were counted; the trained network is kept in {file}") from None
