"""Training of the oracle and the judge: supervised, on portraits drawn on the device."""
import copy
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from .. import commands, judges, portraits, zoo
from . import data

HELD_OUT_SEED = 900_000
CONTINUOUS = [spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
DISCRETE = [spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete"]


def train_reader(kind, out, steps=6000, batch=512, seed=0, device="cpu", data_size=200_000, held_out=20_000, command=""):
    """Train, write `out/<kind>-portraits-64.safetensors`, and score that file on unseen portraits in
    `out/results/<kind>.json`. Existing files are refused; Ctrl-C keeps the weights so far (`save_trained`)."""
    if kind not in judges.LAYERS:
        raise ValueError(f'there is no reader "{kind}"; choose from {", ".join(judges.LAYERS)}')
    file, scores = result_files(out, f"{kind}-portraits-64", kind)
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, judges.RESOLUTION, device)
    images, truth = draw(data_size, seed + (1000 if kind == "oracle" else 2000), device)
    numbers = torch.stack([judges.scaled(spec, truth[spec.name]) for spec in CONTINUOUS], dim=1)
    classes = torch.stack([truth[spec.name] for spec in DISCRETE], dim=1)
    network = judges.Reader(kind).to(device, memory_format=torch.channels_last)
    averaged = copy.deepcopy(network)
    slow, fast = ([t for t in net.state_dict().values() if t.is_floating_point()] for net in (averaged, network))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02, fused=device.type == "cuda")
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    done = 0
    with commands.noted_stops() as stops, tqdm(range(steps), desc=kind, unit="step") as bar:
        for step in bar:
            if stops:
                break
            # One step: cross-entropy for classes, squared error for numbers.
            rows = torch.randint(len(images), [batch], device=device)
            x = augment(images[rows].float() / 127.5 - 1, kind)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = network(x.contiguous(memory_format=torch.channels_last))
            guess = torch.stack([outputs[spec.name].float() for spec in CONTINUOUS], dim=1)
            loss = 4 * (guess - numbers[rows]).square().mean(dim=0).sum()
            for spec, labels in zip(DISCRETE, classes[rows].unbind(dim=1)):
                loss = loss + F.cross_entropy(outputs[spec.name].float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            # Moving average, short at first.
            get_ema_multi_avg_fn(min(0.998, (1 + step) / (10 + step)))(slow, fast, None)
            if step % 100 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
            done = step + 1
        else:
            stops.clear()
    save_trained(file, averaged, kind, done, steps, stops, config={"kind": kind})
    with scoring(file):
        images, truth = draw(held_out, HELD_OUT_SEED, device)
        reading = judges.read(zoo.load(file, device=device), images.float() / 127.5 - 1)
    result = {"command": command, "world": portraits.VERSION, "seeds": [seed], "images": steps * batch, "held_out": held_out,
              "scores": judges.scores(reading, {name: value.cpu() for name, value in truth.items()})}
    commands.write_json(scores, result)
    measure = {"continuous": "R²", "discrete": "accuracy"}
    commands.show_table("\n".join(f"{spec.name:16s} {measure[spec.kind]:9s} {result['scores'][spec.name]:.3f}"
                                  for spec in portraits.ATTRIBUTES))
    return result


def result_files(out, name, result):
    """The files of a training's weights and of its scores, once it is known that both can be written and neither is there."""
    files = Path(out) / f"{name}.safetensors", Path(out) / "results" / f"{result}.json"
    for file in files:
        commands.try_output(file)
    return files


def save_trained(file, network, kind, done, steps, stops, **metadata):
    """Write a trained network. After a stop (of `commands.noted_stops`) write what it has learnt in `done` steps under a name that
    says so, and raise the stop with a sentence about it."""
    if stops and not done:
        raise type(stops[0])("stopped before the first step; nothing is kept, and the same command begins anew")
    if not all(t.isfinite().all() for t in network.state_dict().values() if t.is_floating_point()):
        raise FloatingPointError(f"the weights hold NaN or infinity after {done:,} steps, and nothing is kept; take a lower --lr or fewer --steps")
    if stops:
        file = file.with_name(f"{file.stem}-after-{done}-steps.safetensors")
    zoo.save(file, network.state_dict(), kind, dtype=torch.float16, replace=bool(stops), world=portraits.VERSION, **metadata)
    if stops:
        raise type(stops[0])(f"stopped after {done:,} of {steps:,} steps; the weights so far are kept in {file}, without scores. "
                             "The same command begins anew")


@contextmanager
def scoring(file):
    """A stop while a trained network is scored says that it is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(f"stopped while the scores were counted; the trained network is kept in {file}") from None


def draw(count, seed, device):
    """Portraits as uint8 [count, 3, 64, 64], and their attributes, on the device."""
    images = torch.empty(count, 3, 64, 64, dtype=torch.uint8, device=device)
    parts, done = [], 0
    for batch, attributes in portraits.batches(count, seed, judges.RESOLUTION, device=device, batch_size=1024):
        images[done:done + len(batch)] = ((batch + 1) * 127.5).round().to(torch.uint8)
        parts.append(attributes)
        done += len(batch)
    return images, {name: torch.cat([part[name] for part in parts]).to(device) for name in parts[0]}


def augment(x, kind):
    """Small shifts; then noise, blur and contrast for the oracle, or erased squares and brightness for the judge."""
    n, device = len(x), x.device
    shift = (torch.rand(n, 2, device=device) - 0.5) * (4 / 32)
    theta = torch.eye(2, 3, device=device).repeat(n, 1, 1)
    theta[:, :, 2] = shift
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="border", align_corners=False)
    amount = torch.rand(n, 1, 1, 1, device=device)
    if kind == "oracle":
        x = torch.lerp(x, F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="replicate"), 3, 1), (amount - 0.5).clamp(min=0))
        x = x + torch.randn_like(x) * 0.08 * torch.rand(n, 1, 1, 1, device=device)
        return x * (0.95 + 0.1 * torch.rand(n, 1, 1, 1, device=device))
    corner = torch.rand(n, 2, 1, 1, device=device) * 64
    line = torch.arange(64, device=device)
    inside = ((line[:, None] - corner[:, 0]).abs() < 4) & ((line - corner[:, 1]).abs() < 4)
    x = torch.where(inside[:, None] & (amount < 0.3), x.mean(dim=(2, 3), keepdim=True), x)
    return x + 0.06 * (torch.rand(n, 3, 1, 1, device=device) - 0.5)
