"""Adversarial training of CLIP: edits that follow its gradient while it is trained, and become examples that it must get right."""
import torch
import torch.nn.functional as F

from .. import clip, ops, portraits, zoo
from ..networks import classifiers
from ..styleclip.common import of_convolutions
from . import prompts

STEPS = 20, 80                  # signed steps before an edit is replaced by another, the fewest and the most
STEP_SIZES = 0.01, 0.1          # of a style channel, the smallest and the largest


class AdversarialEdits:
    """`count` edits of a StyleGAN2's styles, each towards a random attribute prompt ("a person wearing a hat").

    At each training step every edit takes one step up the gradient of the CLIP that is being trained. Its image is then an example
    that this CLIP has to get right: does it show the prompt? The oracle decides. So an image that CLIP takes for a hat without
    there being one becomes an example of a portrait without a hat (adversarial training, Madry et al. 2018, with a generator's
    styles in the place of pixels). Steps are signed, with momentum (Dong et al. 2018, Alg. 1, without the normalisation of the
    gradient).
    """

    def __init__(self, generator, count, seed, device):
        self.G, self.oracle = (zoo.load(name, device=device) for name in (generator, "oracle-portraits-64"))
        if not hasattr(self.G, "styles"):
            raise ValueError(f"--edits change styles, which --generator {generator} does not have; name a StyleGAN2")
        self.prompts = prompts.attribute_prompts()
        self.rng = torch.Generator().manual_seed(seed + 6000)
        with torch.no_grad():
            self.styles = self.G.styles(self.G.w_avg.expand(count, -1))
        self.moves = of_convolutions(self.G)
        self.momentum = [torch.zeros_like(style) for style in self.styles]
        self.prompt = torch.zeros(count, dtype=torch.long)          # index of each edit's prompt
        self.step_size, self.steps_left = torch.zeros(count), torch.zeros(count)

    @torch.no_grad()
    def _replace_finished(self):
        """Replace edits without steps left by new ones of other portraits, towards other prompts."""
        finished = self.steps_left <= 0
        n, device = int(finished.sum()), self.G.w_avg.device
        uniform = lambda low, high: low + (high - low) * torch.rand(n, generator=self.rng)
        z = torch.randn(n, self.G.z_dim, generator=self.rng).to(device)
        psi = uniform(0.5, 1).to(device)[:, None, None]
        ws = ops.truncate(self.G.mapping(z)[:, None], self.G.w_avg, psi).expand(-1, self.G.num_ws, -1)
        for style, momentum, new in zip(self.styles, self.momentum, self.G.styles(ws)):
            style[finished.to(device)], momentum[finished.to(device)] = new, 0
        self.prompt[finished] = torch.randint(len(self.prompts), [n], generator=self.rng)
        self.step_size[finished], self.steps_left[finished] = uniform(*STEP_SIZES), uniform(*STEPS).round()

    def loss(self, network, prompt_features, image_features, labels):
        """Take one step with every edit. → the logistic loss of their images before it, a scalar tensor: does each show its prompt,
        as the oracle sees it?

        network: the Clip in training. prompt_features [P, D]: its embeddings of the attribute prompts; image_features [B, D]: of
        portraits, labels [P, B]: which prompts are true of them (`similarity_margins`).
        """
        self._replace_finished()
        device, each = self.G.w_avg.device, torch.arange(len(self.prompt))
        styles = [style.detach().requires_grad_(moves) for style, moves in zip(self.styles, self.moves)]
        images = self.G.synthesis(styles=styles, noise="const")
        pixels = images.detach().requires_grad_()
        attributes = portraits.canonical(classifiers.predict(self.oracle, pixels.detach().clamp(-1, 1)))
        shown = torch.stack([is_true(attributes) for is_true in self.prompts.values()])[self.prompt, each].to(device)

        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features = network.encode_images(clip.random_views(network.resized(pixels, enlarge=False))).float()
        margins = similarity_margins(prompt_features, features, image_features, labels)
        logits = network.model.logit_scale.exp() * margins[self.prompt.to(device), each.to(device)]

        gradient, = torch.autograd.grad(logits.sum(), pixels, retain_graph=True)
        gradients = iter(torch.autograd.grad(images, [style for style in styles if style.requires_grad], gradient))
        with torch.no_grad():
            for style, momentum, moves in zip(self.styles, self.momentum, self.moves):
                if moves:
                    momentum.mul_(0.9).add_(next(gradients))
                    style += self.step_size.to(device)[:, None] * momentum.sign()
            self.steps_left -= 1
        return F.binary_cross_entropy_with_logits(logits, shown.float())


def attribute_prompt_loss(scale, prompt_features, image_features, labels):
    """The logistic loss of every pair of an attribute prompt and a portrait by itself, as in SigLIP (Zhai et al. 2023, Alg. 1),
    their mean.

    scale: of the cosines; prompt_features [P, D], image_features [N, D], labels [P, N]: which prompts are true of which portraits.
    → []
    """
    margins = similarity_margins(prompt_features, image_features, image_features, labels)
    return F.binary_cross_entropy_with_logits(scale * margins, labels.float())


def similarity_margins(prompt_features, features, image_features, labels):
    """Cosines of P prompts with N images, each less a threshold of its prompt: the middle between the mean cosine of portraits of
    which the prompt is true and that of the others.

    prompt_features [P, D] and features [N, D] of the images; image_features [B, D] of the portraits and labels [P, B]: which
    prompts are true of them. All are unit vectors. → [P, N]
    """
    cosines, labels = prompt_features @ image_features.T, labels.float()
    mean = lambda weights: (cosines * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return prompt_features @ features.T - (mean(labels) + mean(1 - labels))[:, None] / 2
