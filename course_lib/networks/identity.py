"""Networks that tell whether two portraits show the same person: the identity network, which edits are optimised and chosen by, and
the verifier, which is held out and takes no part in training or selecting anything."""
import torch.nn.functional as F
from torch import nn

from .classifiers import pooled_layers, residual_layers, resized

LAYERS = {"identity": residual_layers, "verifier": pooled_layers}


class IdentityNetwork(nn.Module):
    """Portraits [N, 3, H, W] in [-1, 1] → unit vectors [N, size], near each other for one person in any pose, light and hair. kind:
    "identity" or "verifier", which differ in architecture, seed and augmentation.

    Two portraits show the same person if the cosine of their vectors is at least `threshold`. Images of other sizes than 64 px are
    resized. Raises ValueError for images as `images.check` does.
    """

    def __init__(self, size=128, threshold=0.5, kind="identity"):
        super().__init__()
        self.layers = LAYERS[kind]()
        self.dense = nn.Linear(128 * 16, size)
        self.threshold = threshold
        self.kind = kind

    def forward(self, images):
        return F.normalize(self.dense(self.layers(resized(images, self)).flatten(1)), dim=1)

    def same_person(self, images, others):
        """Whether images and others show the same people. [N, 3, H, W], [N, 3, H, W] → bool [N]."""
        return (self(images) * self(others)).sum(dim=1) >= self.threshold


def from_tensors(tensors, threshold, kind="identity"):
    """An identity network from the tensors of its safetensors file."""
    network = IdentityNetwork(len(tensors["dense.bias"]), threshold, kind)
    network.load_state_dict(tensors)
    return network
