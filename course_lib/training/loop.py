"""The training loop: phases at their intervals, moving average, log, samples, checkpoints, resume."""
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch
from PIL import Image
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from .. import zoo
from . import checkpoint, distributed


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
    """What stays the same for a while: the phases, images per step, the moving average's decay after so many images."""
    phases: list[Phase]
    batch: int
    decay: Callable


class Diverged(FloatingPointError):
    """Training met NaN or infinity; the last checkpoint is intact."""


class Captured:
    """A step that runs eagerly at first, is then recorded in a CUDA graph, and replayed from there on.

    A step at 64 px is bound by the launches of its small kernels; a replay launches them all at once. The eager steps
    are ordinary ones: they let Adam make its state and cuDNN choose its kernels, and count as training.
    """

    def __init__(self, step, warmup=3):
        self.step, self.warmup, self.graph = step, warmup, None

    def __call__(self):
        if self.graph is None and self.warmup:
            self.warmup -= 1
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.step()
            torch.cuda.current_stream().wait_stream(side)
            return
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):     # NCCL's watchdog may ask in another thread
                self.step()
        self.graph.replay()


def train(out, run, plan, settings, device, captured=None, report=None, progress=True):
    """Train until `settings["images"]`, from wherever `run` stands. Intervals are in images, so a resume repeats them.

    out: folder for log.jsonl, samples/, checkpoints/, snapshots/. plan: () → the Stage of the next step; the same object
    as long as nothing changes. captured: record steps in CUDA graphs (default on CUDA). report: ema → dict of further
    figures for the log.
    """
    s, out = settings, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    captured = torch.device(device).type == "cuda" if captured is None else captured
    total, stage, sums = s["images"], None, {}
    averaged, current = list(run.ema.parameters()), list(run.G.parameters())
    first = distributed.rank() == 0
    if first:
        _drop_later_lines(out / "log.jsonl", run.images)
    bar = tqdm(total=total, initial=run.images, unit="img", disable=not (progress and first), smoothing=0.1)
    started, seen = time.perf_counter(), run.images

    while run.images < total:
        # Networks.
        before, stage = stage, plan()
        if stage is not before:
            steps = [(phase, _logged(phase, sums, device)) for phase in stage.phases]
            steps = [(phase, Captured(step)) for phase, step in steps] if captured else steps
        for phase, step in steps:
            if run.step % phase.interval == 0:
                step()
        # Moving average of the generator: parameters are averaged, buffers copied.
        with torch.no_grad():
            get_ema_multi_avg_fn(stage.decay(run.images))(averaged, current, None)
            for mine, theirs in zip(run.ema.buffers(), run.G.buffers()):
                mine.copy_(theirs)
        images_before = run.images
        run.images += stage.batch
        run.step += 1
        bar.update(stage.batch)

        # Log, and stop on NaN before anything is overwritten.
        due = lambda every: run.images // every > images_before // every or run.images >= total
        saving = due(s["checkpoint_every"])
        if due(s["log_every"]) or saving:
            line = {"images": run.images} | {name: (v[0] / v[1]).item() for name, v in sums.items() if v[1] > 0}
            bad = [name for name, value in line.items() if value != value or abs(value) == float("inf")]
            if bad:
                bar.close()
                raise Diverged(_advice(f"{bad[0]} is not finite after {run.images:,} images", out))
            for value in sums.values():
                value.zero_()
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize()
                line["gib"] = round(torch.cuda.max_memory_allocated() / 2 ** 30, 2)
            now = time.perf_counter()
            line["img_per_s"] = round((run.images - seen) / (now - started), 1)
            started, seen = now, run.images
            if report and saving and first:
                line |= report(run.ema)
                started = time.perf_counter()
            if first:
                with open(out / "log.jsonl", "a") as log:
                    log.write(json.dumps(line) + "\n")
        if saving:
            try:
                checkpoint.save(out, run, s)
            except FloatingPointError as error:
                bar.close()
                raise Diverged(_advice(f"{error} after {run.images:,} images", out)) from None
            if first:
                save_samples(out / "samples" / f"{run.images:010d}.png", run.ema)
                save_generator(out / "snapshots" / f"G-{run.images:010d}.safetensors", run, s, torch.float16)
            started = time.perf_counter()
    bar.close()


@torch.no_grad()
def save_samples(path, G, rows=8, columns=16, seed=0):
    """A grid of the first latents of a seed, unselected, with constant noise."""
    z = torch.randn(rows * columns, G.z_dim, generator=torch.Generator().manual_seed(seed))
    z = z.to(next(G.parameters()).device)
    images = torch.cat([G(part, noise="const") for part in z.split(64)])
    size = images.shape[-1]
    grid = images.reshape(rows, columns, 3, size, size).permute(0, 3, 1, 4, 2).reshape(rows * size, columns * size, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(((grid.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()).save(path)


def save_generator(path, run, settings, dtype=None):
    """The moving average of the generator, as far as it has grown."""
    state = checkpoint.grown(run.ema.state_dict(), run.config.get("reached"))
    zoo.save(path, state, run.kind + "-G", dtype=dtype, world=settings["world"], config=run.config)


def _logged(phase, sums, device):
    """The phase's step, adding what it returns to running (sum, count) pairs on the device."""
    def step():
        for name, value in phase.step().items():
            if name not in sums:
                sums[name] = torch.zeros(2, dtype=torch.float64, device=device)
            sums[name] += torch.stack([value.detach().double(), torch.ones_like(value, dtype=torch.float64)])
    return step


def _drop_later_lines(log, images):
    """After a kill the log may be ahead of the checkpoint; what will be trained again is logged again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if _images(line) <= images]
        log.write_text("".join(line + "\n" for line in lines))


def _images(line):
    try:
        return json.loads(line)["images"]
    except (ValueError, KeyError):
        return float("inf")


def _advice(what, out):
    last = checkpoint.folders(out)
    where = f"the last good checkpoint is {last[-1]}" if last else "no checkpoint had been written yet"
    return f"training stopped: {what}; {where}. Try a lower --lr, a larger --r1-gamma, or --dtype float32."
