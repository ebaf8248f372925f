"""What the trainings of classifiers, CLIP and identity networks share: the training loop, their images, and augmentation."""
import copy

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from .. import commands, portraits, zoo
from ..images import from_uint8, to_uint8
from ..networks import classifiers
from ..networks.classifiers import RESOLUTION
from ..training.outputs import Trained

HELD_OUT_SEED = 900_000         # of portraits that no network here is trained on


def train(network, batch_loss, *, name, steps, lr, weight_decay, betas=(0.9, 0.999), cycle_momentum=False, after_step=None):
    """Train a network with AdamW; the learning rate rises to `lr` over a tenth of the steps, then falls to 0 along a cosine.

    batch_loss(step) → the loss of one batch, a scalar tensor. cycle_momentum: β₁ moves against the learning rate, between 0.95
    and 0.85 (Smith 2018, as PyTorch's OneCycleLR does it). after_step() is called when the weights have moved. name: for the
    progress bar and errors. Ctrl-C and SIGTERM end it after a step.
    Returns a Trained: the moving average of the network's weights, in eval mode. Raises ValueError for a loss that is NaN or
    infinite.
    """
    average = copy.deepcopy(network)
    averaged, current = ([t for t in net.state_dict().values() if t.is_floating_point()] for net in (average, network))
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=parameters[0].is_cuda)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1, cycle_momentum=cycle_momentum)
    done = 0
    with commands.noted_stops() as stops, tqdm(range(steps), desc=name, unit="step") as bar:
        for step in bar:
            if stops:
                break
            loss = batch_loss(step)
            if step % 100 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
                if not loss.isfinite():
                    raise ValueError(f"the loss of {name} is {loss.item()} in step {step}; a lower learning rate may help")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if after_step:
                after_step()
            get_ema_multi_avg_fn(min(0.998, (1 + step) / (10 + step)))(averaged, current, None)     # short at first
            done = step + 1
        else:
            stops.clear()
    return Trained(average.eval().requires_grad_(False), done, steps, stops)


def draw_portraits(count, seed, device):
    """Portraits as uint8 [count, 3, 64, 64] and their attributes, {name: [count]}, on the device."""
    images = torch.empty(count, 3, RESOLUTION, RESOLUTION, dtype=torch.uint8, device=device)
    parts, done = [], 0
    for batch, attributes in portraits.batches(count, seed, RESOLUTION, device=device, batch_size=1024):
        images[done:done + len(batch)] = to_uint8(batch)
        parts.append(attributes)
        done += len(batch)
    return images, {name: torch.cat([part[name] for part in parts]).to(device) for name in parts[0]}


def draw_people(count, views, seed, device, batch=1024):
    """Each of `count` people in `views` portraits with other pose, expression, light and hair, as uint8 [count, views, 3, 64, 64]
    on the device, and the attributes of the first of them, {name: [count]}."""
    images = torch.empty(count, views, 3, RESOLUTION, RESOLUTION, dtype=torch.uint8, device=device)
    attributes = portraits.sample_attributes(count, seed)
    for view in range(views):
        these = attributes if view == 0 else portraits.same_person(attributes, seed * 1_000_003 + view)
        for start in range(0, count, batch):
            part = {name: value[start:start + batch] for name, value in these.items()}
            noise = portraits.sample_noise(len(part["yaw"]), seed * 1_000_003 + view * count + start)
            images[start:start + batch, view] = to_uint8(portraits.render(part, RESOLUTION, noise, device))
    return images, attributes


@torch.no_grad()
def generate_portraits(generator, count, seed, device, batch=256, classifier="oracle-portraits-64"):
    """Images of a generator as uint8 [count, 3, 64, 64], and the attributes that a classifier predicts in them, {name: [count]}, on
    the device. generator, classifier: names of the zoo or files. Raises ValueError for a network that is no generator."""
    G, network = zoo.load(generator, device=device), zoo.load(classifier, device=device)
    if not hasattr(G, "z_dim"):
        raise ValueError(f"--generator {generator} is no generator; name one such as stylegan2-portraits-64")
    rng = torch.Generator().manual_seed(seed + 5000)
    resize = lambda images: F.interpolate(images, [RESOLUTION] * 2, mode="bilinear", antialias=True)
    images = torch.cat([to_uint8(resize(G(z.to(device)).clamp(-1, 1)))
                        for z in torch.randn(count, G.z_dim, generator=rng).split(batch)])
    parts = [classifiers.predict(network, from_uint8(part)) for part in images.split(4096)]
    predicted = portraits.canonical({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    return images, {name: value.to(device) for name, value in predicted.items()}


def augment(images, kind):
    """Images [N, 3, 64, 64] in [-1, 1], each shifted by up to 2 pixels; then blur, noise and contrast for the "oracle" and the
    "identity" network; or another brightness of each colour for the "judge" and the "verifier", and for that an erased square of 8
    pixels in three of ten images. → [N, 3, 64, 64]"""
    n, device = len(images), images.device
    shift = (torch.rand(n, 2, device=device) - 0.5) * (4 / 32)
    theta = torch.eye(2, 3, device=device).repeat(n, 1, 1)
    theta[:, :, 2] = shift
    x = F.grid_sample(images, F.affine_grid(theta, images.shape, align_corners=False), padding_mode="border", align_corners=False)
    amount = torch.rand(n, 1, 1, 1, device=device)
    if kind in ("oracle", "identity"):
        x = torch.lerp(x, F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="replicate"), 3, 1), (amount - 0.5).clamp(min=0))
        x = x + torch.randn_like(x) * 0.08 * torch.rand(n, 1, 1, 1, device=device)
        return x * (0.95 + 0.1 * torch.rand(n, 1, 1, 1, device=device))
    x = x + 0.06 * (torch.rand(n, 3, 1, 1, device=device) - 0.5)
    if kind == "judge":             # which is to say of a picture with a square erased that it is damaged
        return x
    corner = torch.rand(n, 2, 1, 1, device=device) * 64
    line = torch.arange(64, device=device)
    inside = ((line[:, None] - corner[:, 0]).abs() < 4) & ((line - corner[:, 1]).abs() < 4)
    return torch.where(inside[:, None] & (amount < 0.3), x.mean(dim=(2, 3), keepdim=True), x)
