"""The training loop: phases at their intervals, moving average, log, samples, checkpoints, resume."""
import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable

import torch
from tqdm import tqdm

from .. import commands, sampling, zoo
from ..cuda_graphs import GraphStep
from ..images import from_uint8, save_grid
from ..zoo.files import trained_part
from . import checkpoint, distributed, report, scores
from .settings import GrowingSettings

SETTLED, TIMED = 20, 30         # steps in which kernels are chosen; steps after them that say how long a run will take
ASKED_EVERY = 2000  # images after which several processes ask each other for a stop: torchrun kills them 30 s after its signal


@dataclass
class Run:
    """All that changes while a pair of networks trains."""
    kind: str
    G: torch.nn.Module
    D: torch.nn.Module
    ema: torch.nn.Module
    G_opt: torch.optim.Optimizer
    D_opt: torch.optim.Optimizer
    buffers: dict
    config: dict = field(default_factory=dict)      # what the generator's file says beside its tensors
    images: int = 0
    step: int = 0


@dataclass
class Phase:
    """`step()` runs every `interval` steps and returns scalar tensors to log."""
    name: str
    interval: int
    step: Callable


@dataclass
class Stage:
    """What stays the same for a while: the phases, images per step, the moving average's decay after so many images, and
    `prepare(step)`, which reads the real images of a step."""
    phases: list[Phase]
    batch: int
    decay: Callable
    prepare: Callable


class Diverged(FloatingPointError):
    """Training met NaN or infinity; the last checkpoint is intact."""


def prepare(device):
    """What makes runs on a GPU faster and smaller, to be called before they take memory: cuDNN chooses its kernels by trying them,
    products use TF32, and memory is mapped piece by piece, so that little is lost between tensors of different sizes."""
    if torch.device(device).type == "cuda":
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def train(out, run, plan, settings, device, captured=None, figures=None, score=None, events=None, progress=True):
    """Train until `settings.images`, from wherever `run` stands. Intervals are in images, so a resume repeats them. Ctrl-C
    or SIGTERM ends it with a checkpoint, after the step, and several processes within ASKED_EVERY images; then they raise
    KeyboardInterrupt. So do real images that cannot be read, before the step; they raise OSError.

    out: folder for log.jsonl, samples/ (the first before the first step), checkpoints/, snapshots/, curves.png. plan: () → the
    Stage of the next step; the same object as long as nothing changes. captured: record steps in CUDA graphs (default on CUDA).
    figures: ema → dict of more for the log. score: run → dict of scores of a snapshot (`scores.scorer`). events:
    `report.tensorboard`.
    """
    s, out = settings, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    captured = torch.device(device).type == "cuda" if captured is None else captured
    total, stage, sums = s.images, None, {}
    log_every, checkpoint_every = s.intervals()
    pool, decay = torch.cuda.graph_pool_handle() if captured else None, torch.ones([], device=device)
    record = (lambda step, waiting: GraphStep(step, pool, waiting)) if captured else (lambda step, waiting: step)
    average = record(partial(move_average, run.ema, run.G, decay), set())
    first = distributed.rank() == 0
    if first:
        for name in ("log.jsonl", "metrics.jsonl"):
            _drop_later_lines(out / name, run.images)
    bar = tqdm(total=total, initial=run.images, unit="img", desc="training", disable=not (progress and first), smoothing=0.1)
    started, seen, begun = time.perf_counter(), run.images, run.step
    curves, drawn = out / "curves.png", started
    if first and not run.images:
        plan()
        save_samples(out / "samples" / checkpoint.FIRST_SHEET, run.ema)
    settled, timing = begun + SETTLED, progress and first and not isinstance(s, GrowingSettings)

    with commands.noted_stops(patient=distributed.size() > 1) as stops, bar, _saying_what_is_kept(out, run):
        while run.images < total:
            # Real images.
            before, stage = stage, plan()
            try:
                stage.prepare(run.step)
            except OSError as error:
                if distributed.size() == 1 or run.step == begun:
                    if run.step > begun:
                        checkpoint.save(out, run, s)
                    raise
                stops.append(error)                         # the others hear of it where all ask; until then the last batch stays
                stage.prepare = lambda step: None
                bar.write(f"process {distributed.rank()}: {commands.said(error)}; the run stops soon", sys.stderr)

            # Networks.
            if stage is not before:
                waiting = set()
                steps = [(phase, record(_logged(phase, sums, device), waiting)) for phase in stage.phases]
            for phase, step in steps:
                if run.step % phase.interval == 0:
                    step()
            decay.fill_(stage.decay(run.images))
            average()
            images_before = run.images
            run.images += stage.batch
            run.step += 1
            bar.update(stage.batch)

            # How long it will take.
            if timing and run.step in (settled, settled + TIMED):
                if torch.device(device).type == "cuda":
                    torch.cuda.synchronize()
                if run.step == settled:
                    mark = time.perf_counter()
                else:
                    each = (time.perf_counter() - mark) / (TIMED * stage.batch)
                    bar.write(f"{out}: {report.forecast(total - run.images, total, each)}")

            # Log, and stop on NaN before anything is overwritten.
            due = lambda every: run.images // every > images_before // every or run.images >= total
            saving, sheet = due(checkpoint_every), out / "samples" / f"{run.images:010d}.png"
            logging = due(log_every) or saving
            if logging:
                line = {"images": run.images} | {name: (v[0] / v[1]).item() for name, v in sums.items() if v[1] > 0}
                bad = [name for name, value in line.items() if value != value or abs(value) == float("inf")]
                if bad:
                    raise FloatingPointError(f"{bad[0]} is not finite")
                for value in sums.values():
                    value.zero_()
                if torch.device(device).type == "cuda":
                    torch.cuda.synchronize()
                    line["gib"] = round(torch.cuda.max_memory_allocated() / 2 ** 30, 2)
                now = time.perf_counter()
                line["img_per_s"] = round((run.images - seen) / (now - started), 1)
                started, seen = now, run.images
                scored = {}
                if saving and first:
                    bar.set_description("measuring" if score else "saving")
                    scored = score(run) if score else {}
                    line |= (figures(run.ema) if figures else {}) | scored
                    bar.set_description("training")
                if first:
                    with open(out / "log.jsonl", "a") as log:
                        log.write(json.dumps(line) + "\n")
            asking = distributed.size() > 1 and (logging or due(ASKED_EVERY))
            agreed = stops if distributed.size() == 1 else asking and any(distributed.all_gather(bool(stops)))
            stopping = bool(agreed) and run.images < total
            if saving or stopping:
                checkpoint.save(out, run, s)
                if saving and first:
                    save_samples(sheet, run.ema)
                    save_generator(out / "snapshots" / f"G-{run.images:010d}.safetensors", run, s, torch.float16)
                    if scored:
                        scores.keep(out, run.images, scored)
                    if time.perf_counter() - drawn > report.DRAW_EVERY or run.images >= total and curves.exists():
                        report.curves(out)
                        drawn = time.perf_counter()
                started = time.perf_counter()
                settled = run.step + 1 if settled <= run.step < settled + TIMED else settled
            if logging and first and events:
                events(line, sheet if saving else None)
            if stopping:
                raise stops[0] if stops else KeyboardInterrupt


@torch.no_grad()
def move_average(ema, G, decay):
    """PGGAN App. A: every parameter of the averaged generator becomes decay · itself + (1 − decay) · G's; buffers are copied.
    decay: a tensor [], which a recorded step reads anew."""
    mine, theirs = list(ema.parameters()), list(G.parameters())
    steps = torch._foreach_sub(theirs, mine)
    torch._foreach_mul_(steps, 1 - decay)
    torch._foreach_add_(mine, steps)
    for buffer, value in zip(ema.buffers(), G.buffers()):
        buffer.copy_(value)


@torch.no_grad()
def save_samples(path, G, rows=None, columns=None, seed=0, c=None):
    """A grid of the first latents of a seed, unselected, with constant noise. c: `sampling.labels`, by default a class a row."""
    columns = columns or report.columns(G.resolution)
    rows = rows or max(columns // 2, min(16, getattr(G, "c_dim", 0)))
    if c is None and getattr(G, "c_dim", 0):
        c = torch.eye(G.c_dim)[torch.arange(rows) % G.c_dim].repeat_interleave(columns, dim=0)
    draws = sampling.draws(G, rows * columns, seed, c, batch=64)
    save_grid(path, torch.cat([G(z, noise="const", **given) for z, given in draws]), columns, replace=True)


def save_reals(path, reals):
    """A grid of the real images of a run, evenly from the first to the last."""
    columns = report.columns(reals.resolution)
    save_grid(path, from_uint8(reals.some(columns * columns // 2)), columns, replace=True)


def save_generator(path, run, settings, dtype=None):
    """The moving average of the generator, as far as it has grown."""
    state = trained_part(run.ema.state_dict(), run.config.get("reached"))
    zoo.save(path, state, run.kind + "-G", dtype=dtype, replace=True, **checkpoint.about(run, settings))


def _logged(phase, sums, device):
    """The phase's step, adding what it returns to running (sum, count) pairs on the device."""
    dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64             # which MPS lacks

    mine = None                 # the pairs of this phase, which `sums` has by name

    def step():
        nonlocal mine
        found = phase.step()
        if mine is None:
            mine = torch.stack([sums.get(name, torch.zeros(2, dtype=dtype, device=device)) for name in found])
            sums.update(zip(found, mine))
        mine[:, 0] += torch.stack(list(found.values())).detach().to(dtype)
        mine[:, 1] += 1
    return step


def _drop_later_lines(log, images):
    """After a kill the log may be ahead of the checkpoint; what will be trained again is logged again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if _images(line) <= images]
        commands.write_text(log, "".join(line + "\n" for line in lines), replace=True)


def _images(line):
    try:
        return json.loads(line)["images"]
    except (ValueError, KeyError):
        return float("inf")


@contextmanager
def _saying_what_is_kept(out, run):
    """Divergence, and files that cannot be written, end with a sentence that names the last checkpoint."""
    try:
        yield
    except (FloatingPointError, OSError) as error:
        last = checkpoint.folders(out)
        kept = f"the last good checkpoint is {last[-1]}" if last else "no checkpoint had been written yet"
        if isinstance(error, OSError):
            raise OSError(f"{commands.said(error)}; {kept}") from error
        raise Diverged(f"training stopped: {error} after {run.images:,} images; {kept}. Try a lower --lr, a larger --r1-gamma, or "
                       "--dtype float32.") from None
