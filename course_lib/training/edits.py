"""Edits in progress: what CLIP learns not to be fooled by, while it is trained."""
import torch
import torch.nn.functional as F

from .. import clip, judges, ops, portraits, zoo
from . import texts
from ..styleclip.edits import of_convolutions

LIFE = 20, 80                   # signed steps before an edit begins anew
RATES = 0.01, 0.1               # lengths of a step, per style channel


class Edits:
    """Styles of a generator that move, each towards its own claim ("a person wearing a hat"), wherever the network in training
    sees more of it; and what the oracle sees in their images, which the network then has to learn.

    The edits of StyleCLIP descend on the same network. An image that it takes for a hat without there being one is found by them,
    and here becomes an example of a portrait without a hat, at every step anew (adversarial training, Madry et al. 2018, with
    a generator's styles in the place of pixels). The steps are signed, with momentum (Dong et al. 2018, Alg. 1, without the
    normalisation of the gradient).
    """

    def __init__(self, generator, count, seed, device):
        self.G, self.oracle = (zoo.load(name, device=device) for name in (generator, "oracle-portraits-64"))
        if not hasattr(self.G, "styles"):
            raise ValueError(f"--edits change styles, which --generator {generator} does not have; name a StyleGAN2")
        self.claims = texts.claims()
        self.rng = torch.Generator().manual_seed(seed + 6000)
        with torch.no_grad():
            self.styles = self.G.styles(self.G.w_avg.expand(count, -1))
        self.moves = of_convolutions(self.G)
        self.momentum = [torch.zeros_like(style) for style in self.styles]
        self.claim, self.rate, self.left = torch.zeros(count, dtype=torch.long), torch.zeros(count), torch.zeros(count)

    @torch.no_grad()
    def _begin(self):
        """Edits that are over begin anew, from other portraits, with other claims."""
        over = self.left <= 0
        draw = lambda low, high: low + (high - low) * torch.rand(int(over.sum()), generator=self.rng)
        device = self.G.w_avg.device
        z = torch.randn(int(over.sum()), self.G.z_dim, generator=self.rng).to(device)
        psi = draw(0.5, 1).to(device)[:, None, None]
        ws = ops.truncate(self.G.mapping(z)[:, None], self.G.w_avg, psi).expand(-1, self.G.num_ws, -1)
        for style, momentum, begun in zip(self.styles, self.momentum, self.G.styles(ws)):
            style[over.to(device)], momentum[over.to(device)] = begun, 0
        self.claim[over] = torch.randint(len(self.claims), [len(z)], generator=self.rng)
        self.rate[over], self.left[over] = draw(*RATES), draw(*LIFE).round()

    def loss(self, network, said, reals, true):
        """One step of every edit, and the loss of their images: are they nearer to portraits of which the claim is true, or to others?

        said [C, D]: what the network gives for the claims, reals [B, D] for other portraits; true [C, B]: which claims are true of them.
        """
        self._begin()
        device, each = self.G.w_avg.device, torch.arange(len(self.left))
        styles = [style.detach().requires_grad_(moves) for style, moves in zip(self.styles, self.moves)]
        images = self.G.synthesis(styles=styles, noise="const")
        seen = images.detach().requires_grad_()
        reading = portraits.canonical(judges.read(self.oracle, seen.detach().clamp(-1, 1)))
        granted = torch.stack([shows(reading) for shows in self.claims.values()])[self.claim, each].to(device)

        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            found = network.encode_images(clip.random_views(network.resized(seen, enlarge=False))).float()
        score = network.model.logit_scale.exp() * margins(said, found, reals, true)[self.claim.to(device), each.to(device)]

        uphill, = torch.autograd.grad(score.sum(), seen, retain_graph=True)
        uphill = iter(torch.autograd.grad(images, [style for style in styles if style.requires_grad], uphill))
        with torch.no_grad():
            for style, momentum, moves in zip(self.styles, self.momentum, self.moves):
                if moves:
                    momentum.mul_(0.9).add_(next(uphill))
                    style += self.rate.to(device)[:, None] * momentum.sign()
            self.left -= 1
        return F.binary_cross_entropy_with_logits(score, granted.float())


def claims_loss(scale, said, found, true):
    """Is each claim true of each portrait, or not? A logistic loss of every pair by itself, as in SigLIP (Zhai et al. 2023, Alg. 1).
    scale: of the cosines; the others as in `margins`."""
    return F.binary_cross_entropy_with_logits(scale * margins(said, found, found, true), true.float())


def margins(said, found, reals, true):
    """Cosines of claims said [C, D] and portraits found [N, D], each less the middle between those of reals [B, D] of which the claim is
    true and those of the others. true: [C, B]. → [C, N]"""
    cosines, true = said @ reals.T, true.float()
    mean = lambda rows: (cosines * rows).sum(dim=1) / rows.sum(dim=1).clamp(min=1)
    return said @ found.T - (mean(true) + mean(1 - true))[:, None] / 2
