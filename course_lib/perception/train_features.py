"""Training of the image features: two windows of one image are drawn together, those of different images apart.

The images are procedural ones and portraits, none of them photographs (Baradad et al. 2021, arXiv:2106.05963: features learnt from
such images serve on photographs). An image that is blurred or noisy counts as another image, so that features see both; no window
is resized.
"""
import open_clip
import torch
from torch import nn

from .. import commands, portraits, results
from ..images import from_uint8, to_uint8
from ..metrics.generators import blur
from ..networks import classifiers
from ..networks.image_features import MAPS, ImageFeatures
from ..training import outputs
from . import common, procedural

SCALE = 10.0                    # of the cosines in the contrastive loss, the inverse of its temperature
WINDOW = 48                     # pixels a side of what the network sees of an image in training
SHARES = {"dead leaves": 0.55, "coloured noise": 0.15, "portraits": 0.3}


def train(out, steps=1000, batch=128, lr=2e-3, seed=0, device="cpu", data_size=8000, held_out=1000, command=""):
    """Train the image features on `data_size` images, in shares of SHARES, with the contrastive loss of CLIP over two windows of
    every image in a batch. Write `out/course-features-64.safetensors`, and how often a window of one of `held_out` other images
    finds the other window of its image to `out/results/features.json`, which is returned.

    command: stored in the result. Files that exist are refused with OSError; Ctrl-C keeps the weights so far
    (`outputs.save_trained`).
    """
    file, result_file = outputs.output_files(out, "course-features-64", "features")
    torch.manual_seed(seed)
    device = torch.device(device)
    pool = draw(data_size, seed + 6000, device)
    network = nn.ModuleDict({"images": ImageFeatures(), "head": head()}).to(device)
    contrastive_loss = open_clip.loss.ClipLoss()

    def batch_loss(step):
        x = from_uint8(pool[torch.randint(len(pool), [batch // 2], device=device)])
        x = torch.cat([x, degraded(x)])
        with torch.autocast(device.type, torch.bfloat16):
            vectors = embed(network, torch.cat([window(x), window(x)]))
        return contrastive_loss(*vectors.chunk(2), SCALE)

    trained = common.train(network, batch_loss, name="features", steps=steps, lr=lr, weight_decay=0.05, betas=(0.9, 0.98))
    standardize(trained.network["images"], pool)
    outputs.save_trained(file, trained._replace(network=trained.network["images"]), "features")
    with outputs.scoring(file):
        scores = {"retrieval": retrieval(trained.network, draw(held_out, common.HELD_OUT_SEED, device))}
    result = {**results.header(command, [seed]), "images": steps * batch, "shares": SHARES, **scores}
    commands.write_json(result_file, result)
    commands.show_json(scores)
    return result


def head(size=128):
    """From the mean of the last maps to the vector of the contrastive loss, which only training needs."""
    return nn.Sequential(nn.Linear(MAPS[-1], 256), nn.SiLU(), nn.Linear(256, size))


def draw(count, seed, device, batch=128):
    """Images as uint8 [count, 3, 64, 64] on the device, in SHARES, shuffled by the seed."""
    rng, size = torch.Generator().manual_seed(seed), classifiers.RESOLUTION
    faces = round(count * SHARES["portraits"])
    noise = round(count * SHARES["coloured noise"])
    parts = [to_uint8(images).cpu() for images, _ in portraits.batches(faces, seed, size, device=device)]
    for function, n in ((procedural.coloured_noise, noise), (procedural.dead_leaves, count - faces - noise)):
        parts += [to_uint8(function(min(batch, n - start), size, rng)) for start in range(0, n, batch)]
    return torch.cat(parts)[torch.randperm(count, generator=rng)].to(device)


def degraded(images):
    """Images [N, 3, H, W], half of them blurred by up to 1.5 pixels, the others with noise of up to 32 of 255."""
    blurred, noisy = images.chunk(2)
    amount = (32 / 127.5) * torch.rand(len(noisy), 1, 1, 1, device=images.device)
    return torch.cat([blur(blurred, 0.4 + 1.1 * torch.rand([]).item()), noisy + amount * torch.randn_like(noisy)])


def window(images):
    """A window of WINDOW × WINDOW pixels at a place of its own in each image [N, 3, H, W], half of them mirrored, with other
    brightness and contrast of each colour. → [N, 3, WINDOW, WINDOW]"""
    n, device = len(images), images.device
    corner = torch.randint(images.shape[-1] - WINDOW + 1, [2, n, 1], device=device)
    rows, columns = corner + torch.arange(WINDOW, device=device)
    columns = torch.where(torch.rand(n, 1, device=device) < 0.5, columns, columns.flip(1))
    image, colour = torch.arange(n, device=device)[:, None, None, None], torch.arange(3, device=device)[:, None, None]
    x = images[image, colour, rows[:, None, :, None], columns[:, None, None, :]]
    gain, shift = (torch.rand(n, 3, 1, 1, device=device) - 0.5 for _ in range(2))
    return x * (1 + 0.8 * gain) + 0.6 * shift


def embed(network, images):
    """Images [N, 3, H, W] → unit vectors [N, D] of the contrastive loss."""
    return nn.functional.normalize(network["head"](network["images"].maps(images)[-1].mean(dim=(2, 3))).float(), dim=1)


@torch.no_grad()
def standardize(network, images):
    """Set the shift and the scale of an ImageFeatures, over uint8 images [N, 3, 64, 64]."""
    pooled = torch.cat([network.pooled(from_uint8(part)) for part in images.split(500)])
    network.mean.copy_(pooled.mean(dim=0))
    network.std.copy_(pooled.std(dim=0).clamp(min=1e-4))


@torch.no_grad()
def retrieval(network, images):
    """How often, of uint8 images [N, 3, 64, 64], the nearest to one window is the other window of the same image."""
    first, second = (torch.cat([embed(network, window(from_uint8(part))) for part in images.split(500)]) for _ in range(2))
    return ((first @ second.T).argmax(dim=1) == torch.arange(len(images), device=images.device)).float().mean().item()
