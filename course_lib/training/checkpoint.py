"""Checkpoints: safetensors written beside the old ones and moved into place, so that a kill loses nothing."""
import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from .. import zoo
from ..networks.layers import fill
from . import distributed


def save(out, run, settings):
    """Write `out/checkpoints/<images>/`: G_ema.safetensors to use, state.safetensors to continue from. Keeps two. Of several
    processes all must call this; the first writes."""
    bad = [name for network in (run.G, run.D, run.ema) for name, p in network.named_parameters()
           if not torch.isfinite(p).all()]
    if bad:
        raise FloatingPointError(f"{bad[0]} holds NaN or infinity")
    distributed.in_step(run.G, run.D, run.ema)
    rngs = distributed.gathered(_rng(run))
    final = Path(out) / "checkpoints" / f"{run.images:010d}"
    if distributed.rank():
        return final
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    zoo.save(partial / "G_ema.safetensors", grown(run.ema.state_dict(), run.config.get("reached")), run.kind + "-G",
             world=settings["world"], config=run.config)
    save_file(_tensors(run, rngs), partial / "state.safetensors",
              metadata={"images": str(run.images), "step": str(run.step), "settings": json.dumps(settings),
                        "config": json.dumps(run.config)})
    for file in partial.iterdir():
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    for old in folders(out)[:-2]:
        shutil.rmtree(old)
    return final


def grown(state, reached=None):
    """A growing network's state dict without the resolutions that are still untrained."""
    return {key: value for key, value in state.items()
            if reached is None or max(map(int, re.findall(r"\bb(\d+)\.", key)), default=0) <= reached}


def folders(out):
    """Complete checkpoints, oldest first."""
    return sorted(path for path in (Path(out) / "checkpoints").glob("*") if path.name.isdigit())


def settings(folder):
    """The settings that the run of this checkpoint was started with."""
    from safetensors import safe_open
    with safe_open(Path(folder) / "state.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["settings"])


def load(folder, run):
    """Put a checkpoint into a freshly made run: weights, optimizers, buffers, counters, random states."""
    tensors, metadata = zoo.read(Path(folder) / "state.safetensors")
    for name in ("G", "D", "ema"):
        getattr(run, name).load_state_dict(_part(tensors, f"{name}."))
    for name in ("G_opt", "D_opt"):
        optimizer, state = getattr(run, name), {}
        for key, value in _part(tensors, f"{name}.").items():
            index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        for parameter, fields in optimizer.state.items():       # in the memory format of the parameter, as fused Adam demands
            fields |= {field: torch.empty_like(parameter).copy_(value) for field, value in fields.items() if value.ndim}
    for name, value in run.buffers.items():
        value.copy_(tensors[f"buffers.{name}"])
    rank = distributed.rank()
    if f"rng.{rank}.cpu" in tensors:
        torch.set_rng_state(tensors[f"rng.{rank}.cpu"])
    else:                                               # a process more than the run had
        torch.manual_seed(int(metadata["images"]) + rank)
    if f"rng.{rank}.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"rng.{rank}.cuda"])
    run.images, run.step, run.config = int(metadata["images"]), int(metadata["step"]), json.loads(metadata["config"])


def begin(run, source):
    """Give a fresh run trained networks, as transfer learning does; optimizers and counters start anew.

    source: the folder of another run, whose last checkpoint is taken; or G and D of anything that `zoo.load` reads, where the
    averaged generator stands for both.
    """
    if Path(source).is_dir():
        if not folders(source):
            raise FileNotFoundError(f"{source} has no checkpoint to begin with")
        tensors, _ = zoo.read(folders(source)[-1] / "state.safetensors")
        states = {name: _part(tensors, f"{name}.") for name in ("G", "D", "ema")}
        for name, value in run.buffers.items():
            value.copy_(tensors[f"buffers.{name}"])
    else:
        G, D = (_trained(source, part, type(network)) for part, network in ((None, run.G), ("D", run.D)))
        states = {"G": G, "D": D, "ema": G}
    for name, state in states.items():
        try:
            fill(getattr(run, name), state)
        except ValueError as error:
            raise ValueError(f"{source} does not fit this run, whose networks need the sizes of those that it holds; {name}: {error}") from None


def _part(tensors, prefix):
    """The tensors whose names begin so, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _trained(source, part, kind):
    try:
        network = zoo.load(source, part)
    except ValueError as error:
        raise ValueError(f"{source} cannot begin a run, which needs a generator and a discriminator: {error}") from None
    if type(network) is not kind:
        raise ValueError(f"{source} cannot begin this run: as its {'discriminator' if part else 'generator'} it gives a "
                         f"{type(network).__module__}.{type(network).__name__}")
    return network.state_dict()


def _rng(run):
    """The random states of this process."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if next(run.G.parameters()).is_cuda else {}
    return {"cpu": torch.get_rng_state()} | cuda


def _tensors(run, rngs):
    tensors = {f"rng.{rank}.{name}": state for rank, states in enumerate(rngs) for name, state in states.items()}
    for name in ("G", "D", "ema"):
        tensors |= {f"{name}.{k}": v for k, v in getattr(run, name).state_dict().items()}
    for name in ("G_opt", "D_opt"):
        for index, fields in getattr(run, name).state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{k}": v for k, v in fields.items()}
    tensors |= {f"buffers.{k}": v for k, v in run.buffers.items()}
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
