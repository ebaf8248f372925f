"""What the exercises of several lessons share."""
import torch
import torch.nn.functional as F

from ... import ops
from ..engine import draw

CLIP = "clip-portraits"
# Short, and slow enough that what an answer rounds otherwise stays 1e-5 of the image. (Ten steps with rate 2 make 1e-2 of it.)
LR, STEPS = 1.0, 4
WITHOUT_GRADIENT = ("The values are right, but no gradient flows through them, so nothing can be trained. Pass create_graph=True "
                    "to torch.autograd.grad, and leave out detach(), .data and no_grad().")


def unit(x, dim=-1):
    return F.normalize(x, dim=dim)


class Critic(torch.nn.Module):
    """Images → logits [N]: a convolution, tanh, (the deviation over the batch,) and a weight for every feature and pixel."""

    def __init__(self, size, dtype=torch.float64, stddev=False, bend=1.0, seed=0):
        super().__init__()
        self.stddev, self.bend = stddev, bend
        self.conv = torch.nn.Parameter(draw(4, 3, 3, 3, seed=seed, dtype=dtype, scale=0.3))
        self.out = torch.nn.Parameter(draw(4 + stddev, *size, seed=seed + 1, dtype=dtype))

    def forward(self, images):
        x = torch.tanh(self.bend * F.conv2d(images, self.conv, padding=1)) / self.bend
        x = ops.minibatch_stddev(x) if self.stddev else x
        return (x * self.out).sum(dim=(1, 2, 3))


def embedded(images):
    """What stands in for CLIP, so that a check takes seconds: the mean colours of 8×8 places, [N, 192]."""
    return F.adaptive_avg_pool2d(images, 8).flatten(1)


@torch.enable_grad()
def moved(generator, w, loss):
    """w after some steps down the sum of loss(embeddings, w)."""
    for _ in range(STEPS):
        w = w.detach().requires_grad_()
        value = loss(embedded(generator.synthesis(w, noise="const")), w)
        if value.requires_grad:
            w = w - LR * torch.autograd.grad(value.sum(), w)[0]
    return w.detach()
