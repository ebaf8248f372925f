"""A small network whose features tell sets of images apart, whatever the images show."""
import torch
import torch.nn.functional as F
from torch import nn

from .classifiers import residual_layers, resized

MAPS = 16, 24, 48, 96, 192          # feature maps at 64, 32, 16, 8 and 4 px


class ImageFeatures(nn.Module):
    """Images [N, 3, H, W] in [-1, 1], resized to 64 px → features [N, F].

    A feature is the mean of a feature map after a layer, fine ones at 64 px as well as coarse ones at 4 px, and of the last maps
    the means of the image's four quarters. Each is shifted and scaled to mean 0 and standard deviation 1 over the training images,
    and bounded to ±2 by a tanh, so that single images with large values do not decide a distance. Raises ValueError for images as
    `images.check` does.
    """

    def __init__(self, maps=MAPS):
        super().__init__()
        self.layers = residual_layers(maps)
        size = sum(maps[:-1]) + 4 * maps[-1]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def maps(self, images):
        """The feature maps after the layers of each resolution, from 64 px to 4 px. [N, 3, H, W] → list of [N, C, H', W']"""
        x = self.layers[:3](resized(images, self))
        found = [x]
        for block in self.layers[3:]:
            x = block(x)
            found.append(x)
        return found

    def features(self, images):
        """[N, 3, H, W] → [N, F]"""
        return 2 * torch.tanh((self.pooled(images) - self.mean) / (2 * self.std))

    def pooled(self, images):
        """The means of the maps, not yet shifted, scaled and bounded. [N, 3, H, W] → [N, F]"""
        *fine, last = self.maps(images)
        return torch.cat([x.mean(dim=(2, 3)) for x in fine] + [F.adaptive_avg_pool2d(last, 2).flatten(1)], dim=1)


def from_tensors(tensors):
    """The network from the tensors of its safetensors file."""
    maps = [tensors["layers.0.weight"].shape[0]] + [tensors[f"layers.{i}.conv2.weight"].shape[0] for i in range(3, 7)]
    network = ImageFeatures(maps)
    network.load_state_dict(tensors)
    return network
