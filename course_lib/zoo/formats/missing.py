"""What a file of a generator may lack, because it can be made anew: constant noise and the mean of W."""
import re

import torch
import torch.nn.functional as F

from ... import ops
from ...networks.layers import count
from .layouts import mapping_layers
from .pickle_reader import FormatError

LATENTS = 4096


def completed(network):
    """A `formats.Network` with what its tensors lacked; its `made` says so in words. The same numbers each time."""
    tensors, made, noise = dict(network.tensors), [], []
    if network.kind not in ("stylegan2-G", "stylegan-G"):
        return network
    rng = torch.Generator().manual_seed(0)
    for name in sorted(tensors):
        match = re.fullmatch(r"(synthesis\.b(4|8|16|32|64|128|256|512|1024)\.conv[01])\.noise_strength", name)
        if match and f"{match[1]}.noise_const" not in tensors:
            size = int(match[2])
            noise.append((f"{match[1]}.noise_const", torch.randn(size, size, generator=rng)))
    if noise:
        made.append(f"the constant noise of {len(noise)} layers, drawn from seed 0")
    if "mapping.fc0.weight" in tensors and "mapping.w_avg" not in tensors:
        tensors["mapping.w_avg"] = mean_latent(tensors, network.kind)
        made.append(f"the mean of W, from {LATENTS:,} latents")
    return network._replace(tensors=tensors | dict(noise), made=made)


def mean_latent(tensors, kind):
    """The mean w of LATENTS latents, of random classes if there are any. Scripts of rosinality estimate it in this way too.
    kind: in a "stylegan-G" the gain √2 of a layer is the weight's alone, in a "stylegan2-G" the activation's."""
    layers = mapping_layers(count(tensors, r"mapping\.fc\d+\.weight"))
    weights = [tensors[f"mapping.fc{i}.weight"] for i in range(layers)]
    widest = max(max(weight.shape) for weight in weights)
    if widest > 4096:
        raise FormatError(f"its mapping layers are {widest:,} wide; those of StyleGAN2 are 512, and at most 4,096 are read")
    rng, embed = torch.Generator().manual_seed(0), tensors.get("mapping.embed.weight")
    z_dim = weights[0].shape[1] - (0 if embed is None else len(embed))
    total, chunk = 0, min(LATENTS, 2 ** 22 // widest)
    for start in range(0, LATENTS, chunk):
        w = ops.pixel_norm(torch.randn(min(chunk, LATENTS - start), z_dim, generator=rng))
        if embed is not None:
            c = torch.randint(embed.shape[1], [len(w)], generator=rng)
            w = torch.cat([w, ops.pixel_norm(embed.t()[c] * ops.equalized_scale(embed.shape, 1) + tensors["mapping.embed.bias"])],
                          dim=1)
        for i, weight in enumerate(weights):
            bias = tensors[f"mapping.fc{i}.bias"] * (0.01 / 2 ** 0.5 if kind == "stylegan-G" else 0.01)
            w = ops.leaky_relu(F.linear(w, weight * ops.equalized_scale(weight.shape, 0.01), bias))
        total = total + w.sum(dim=0)
    return total / LATENTS
