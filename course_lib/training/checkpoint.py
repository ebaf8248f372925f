"""Checkpoints: safetensors written beside the old ones and moved into place, so that a kill loses nothing."""
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import commands, zoo
from ..networks.layers import load_strictly
from ..zoo.files import trained_part
from . import distributed
from .settings import from_stored

MADE = "checkpoints", "snapshots", "samples", "stages"          # the folders of a run
NOTES = ("settings.json", "run.json", "log.jsonl", "metrics.jsonl", "best.safetensors", "best.txt", "curves.png",
         "reals.png")                                           # and its files
FIRST_SHEET = f"{0:010d}.png"                                   # of its samples, before the first step


def save(out, run, settings):
    """Write `out/checkpoints/<images>/`: G_ema.safetensors to use, state.safetensors to continue from. Keeps two. Of several
    processes all must call this; the first writes."""
    bad = [name for network in (run.G, run.D, run.ema) for name, p in network.named_parameters()
           if not torch.isfinite(p).all()]
    if bad:
        raise FloatingPointError(f"{bad[0]} holds NaN or infinity")
    distributed.check_consistency(run.G, run.D, run.ema)
    rngs = distributed.all_gather(_rng(run))
    final = Path(out) / "checkpoints" / f"{run.images:010d}"
    if distributed.rank():
        return final
    for old in final.parent.glob("*.partial"):
        shutil.rmtree(old, ignore_errors=True)
    partial = final.with_name(final.name + ".partial")
    try:
        zoo.save(partial / "G_ema.safetensors", trained_part(run.ema.state_dict(), run.config.get("reached")), run.kind + "-G",
                 **about(run, settings))
        with commands.writing(partial / "state.safetensors") as file:
            save_file(_tensors(run, rngs), file, metadata={
                "images": str(run.images), "step": str(run.step), "settings": json.dumps(settings.stored()),
                "config": json.dumps(run.config)})
        shutil.rmtree(final, ignore_errors=True)
        os.rename(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for old in folders(out)[:-2]:
        shutil.rmtree(old)
    return final


def check_space(out, run):
    """OSError where the disk of the folder `out` has too little space for what a run keeps there: two checkpoints, and one more
    while it is written."""
    size = lambda network: sum(t.numel() * t.element_size() for t in network.state_dict().values())
    needed = 3 * (3 * size(run.G) + 3 * size(run.D) + 2 * size(run.ema))            # with Adam's two moments; the average twice
    out = Path(out).absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.exists())).free
    if free < needed:
        raise OSError(f"the checkpoints of this run need {needed / 2 ** 20:,.0f} MiB, and the disk of {out} has "
                      f"{free / 2 ** 20:,.0f} MiB free; make room there, or choose another --out")


def about(run, settings):
    """What a generator's file says beside its tensors; `classes` are the names of its classes."""
    classes = {"classes": settings.classes} if settings.classes else {}
    return {"dataset_version": settings.dataset_version, "config": run.config} | classes


def folders(out):
    """Complete checkpoints, oldest first."""
    return sorted(path for path in (Path(out) / "checkpoints").glob("*") if path.name.isdigit())


def refuse_others(out, settings):
    """Raise FileExistsError if a new run in `out` would write over what it did not make. What a run with the same settings left
    before its first checkpoint is its own: it begins anew there."""
    out = Path(out)
    if folders(out):
        raise FileExistsError(f"{out} already holds a run; add --resume to continue it, or choose another --out")
    content = {name: {path.name for path in (out / name).glob("*") if path.suffix != ".partial"} for name in MADE}
    there = [name for name in MADE if content[name]] + [name for name in NOTES if (out / name).exists()]
    if not there:
        return
    try:
        begun = from_stored(json.loads((out / "settings.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(f"{out} holds {', '.join(there)} of something other than a run; choose another "
                              "--out") from None
    same = replace(settings, streamed=begun.streamed, classes=begun.classes) == begun           # which its images decide
    made = [name for name in MADE if content[name] - {FIRST_SHEET}]
    if made and (made != ["stages"] or not same):
        raise FileExistsError(f"{out} holds {', '.join(made)} of another run, and no checkpoint; remove them, or choose another "
                              "--out")


def settings(folder):
    """The settings that the run of this checkpoint was started with."""
    try:
        with safe_open(Path(folder) / "state.safetensors", framework="pt") as file:
            found = json.loads(file.metadata()["settings"])
            found["images"]
            return from_stored(found)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None


def load(folder, run):
    """Put a checkpoint into a freshly made run: weights, optimizers, buffers, counters, random states. ValueError for one that is
    cut off, or another run's."""
    try:
        _load(Path(folder), run)
    except torch.OutOfMemoryError:
        raise
    except (ValueError, KeyError, IndexError, RuntimeError) as error:
        raise _damaged(folder, error) from None


def _damaged(folder, error):
    return ValueError(f"the checkpoint {folder} is damaged or another run's ({commands.said(error)[:200]}); remove this folder, "
                      "and --resume goes on from the checkpoint before it, if there is one")


def _load(folder, run):
    tensors, metadata = zoo.read(folder / "state.safetensors")
    if int(metadata["images"]) != int(folder.name):
        raise ValueError(f"it is that of {metadata['images']} images")
    for name in ("G", "D", "ema"):
        getattr(run, name).load_state_dict(_part(tensors, f"{name}."))
    for name in ("G_opt", "D_opt"):
        optimizer, state = getattr(run, name), {}
        for key, value in _part(tensors, f"{name}.").items():
            index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
        if any(value.ndim and value.shape != optimizer.param_groups[0]["params"][index].shape for index, fields in state.items()
               for value in fields.values()):
            raise ValueError(f"the moments of {name} have other shapes than its weights")
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
    for kind, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if f"rng.{rank}.{kind}" in tensors and there:
            getattr(torch, kind).set_rng_state(tensors[f"rng.{rank}.{kind}"])
    run.images, run.step, run.config = int(metadata["images"]), int(metadata["step"]), json.loads(metadata["config"])


def initialise_from(run, source, freeze_d=0):
    """Give a fresh run trained networks, as transfer learning does; optimizers, counters and augmentation start anew.

    source: the folder of another run, whose last checkpoint is taken; or G and D of anything that `zoo.load` reads, where the
    averaged generator stands for both. Of networks of another resolution the layers are taken whose names and sizes fit; returned
    is then a sentence that names them and those that are new, as the first block of D always is: with `freeze_d` ValueError.
    """
    if Path(source).is_dir():
        if not folders(source):
            raise FileNotFoundError(f"{source} has no checkpoint to begin with")
        last = folders(source)[-1]
        if settings(last).model != run.kind:
            raise ValueError(f"{source} holds a run of {settings(last).model}, not of {run.kind}, and cannot begin this one")
        tensors, _ = zoo.read(last / "state.safetensors")
        states = {name: _part(tensors, f"{name}.") for name in ("G", "D", "ema")}
        run.buffers["pl_mean"].copy_(tensors["buffers.pl_mean"])
    else:
        G, D = (_trained(source, part, type(network)) for part, network in ((None, run.G), ("D", run.D)))
        states = {"G": G, "D": D, "ema": G}
    said = []
    for name, state in states.items():
        network = getattr(run, name)
        own = network.state_dict()
        if _resolution(own) != _resolution(state):
            if freeze_d:
                raise ValueError(f"--freeze-d keeps blocks of D as they come, and of {source}, which has another resolution, the "
                                 "first does not fit; leave it out")
            new = {_layer(key) for key, value in own.items() if key not in state or state[key].shape != value.shape}
            state = {key: value for key, value in state.items() if key in own and _layer(key) not in new}
            said += [f"{name} takes {_blocks(state, own)}; new: {_blocks(own.keys() - state, own)}"] * (name != "ema")
            state = own | state if state else {}
        try:
            load_strictly(network, state)
        except ValueError as error:
            raise ValueError(f"{source} does not fit this run, whose networks need the sizes of those that it holds; {name}: "
                             f"{error}") from None
    return ". ".join(said)


def _resolution(names):
    """That of a network whose tensors have these names."""
    return max((int(r) for name in names for r in re.findall(r"\bb(\d+)\.", name)), default=0)


def _layer(name):
    """The layer of a tensor, from its block on: "b8.conv0" of "synthesis.b8.conv0.weight"."""
    return re.sub(r"^synthesis\.|\.(weight|bias|noise_const|noise_strength)$", "", name)


def _blocks(names, everything):
    """The layers of tensors in words; a block of which they are all by its name alone."""
    blocks, names = {}, set(names)
    for name in everything:
        blocks.setdefault(_layer(name).partition(".")[0], set()).add(name)
    found = [[block] if inside <= names else sorted({_layer(name) for name in inside & names}) for block, inside in blocks.items()]
    return ", ".join(layer for layers in found for layer in layers) or "none"


def _part(tensors, prefix):
    """The tensors whose names begin so, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _trained(source, part, kind):
    try:
        network = zoo.load(source, part)
    except ValueError as error:
        raise ValueError(f"{source} cannot begin a run, which needs a generator and a discriminator: {error}") from None
    if type(network) is not kind:
        model = lambda kind: f"{kind.__module__.rpartition('.')[2]}'s {kind.__name__}"
        raise ValueError(f"{source} cannot begin this run: as its {'discriminator' if part else 'generator'} it gives "
                         f"{model(type(network))}, and this run needs {model(kind)}")
    return network.state_dict()


def _rng(run):
    """The random states of this process."""
    kind = next(run.G.parameters()).device.type
    return {"cpu": torch.get_rng_state()} | ({kind: getattr(torch, kind).get_rng_state()} if kind in ("cuda", "mps") else {})


def _tensors(run, rngs):
    tensors = {f"rng.{rank}.{name}": state for rank, states in enumerate(rngs) for name, state in states.items()}
    for name in ("G", "D", "ema"):
        tensors |= {f"{name}.{k}": v for k, v in getattr(run, name).state_dict().items()}
    for name in ("G_opt", "D_opt"):
        for index, fields in getattr(run, name).state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{k}": v for k, v in fields.items()}
    tensors |= {f"buffers.{k}": v for k, v in run.buffers.items()}
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
