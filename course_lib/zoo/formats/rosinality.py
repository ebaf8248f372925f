"""StyleGAN2 in the layout of rosinality/stylegan2-pytorch: a .pt file with g_ema, g, d and latent_avg. Early ones hold no constant
noise.

The file is read by `tensors`, so that options and optimizers in it stay inert; what is written, `torch.load` reads with
weights_only=True.
"""
import torch

from ... import ops
from ...networks.layers import count
from . import layouts
from .pickle_reader import FormatError
from .tensors import tensor

PARTS = {"G_ema": "g_ema", "G": "g", "D": "d"}


def parts(value):
    """{part: state dict}; empty if there is none."""
    if type(value) is not dict:
        return {}
    return {part: value[name] for part, name in PARTS.items() if type(value.get(name)) is dict}


def convert(state, limits, storages, latent_avg=None):
    """(kind, tensors with our names, config for the builder, {}) of one state dict."""
    if any(type(name) is not str or len(name) > 200 for name in state):
        raise FormatError("a tensor's name is no short string")
    theirs = {name: tensor(value, limits, storages).float() for name, value in state.items()}
    kernels = {name: theirs.pop(name) for name in list(theirs) if name.endswith(".kernel")}
    for kernel in kernels.values():
        if kernel.shape != (4, 4) or not torch.allclose(kernel / kernel.sum(), ops.resample_kernel(), atol=1e-6):
            raise FormatError("a network whose blur kernel is not [1, 3, 3, 1] is not supported")
    if "final_conv.0.weight" in theirs:
        blocks = count(theirs, r"convs\.\d+\.skip\.1\.weight")
        return "stylegan2-D", layouts.read(theirs, layouts.rosinality_discriminator(sizes(blocks))), {}, {}
    blocks = count(theirs, r"to_rgbs\.\d+\.bias")
    layers = layouts.mapping_layers(count(theirs, r"style\.\d+\.weight"))
    tensors = layouts.read(theirs, layouts.rosinality_generator(sizes(blocks), layers))
    if latent_avg is not None:
        tensors["mapping.w_avg"] = tensor(latent_avg, limits, storages).float().reshape(-1)
    return "stylegan2-G", tensors, {}, {}


def sizes(blocks):
    if blocks > 8:
        raise FormatError(f"it has {blocks + 1} resolutions; StyleGAN2 networks have 9 at most")
    return [4 << i for i in range(blocks + 1)]


def checkpoint(networks, drop_clamp=False):
    """The dict to give to torch.save. networks: {"G", "D", "G_ema": (kind, tensors, config)}."""
    found = {}
    for part, (kind, tensors, config) in networks.items():
        if not kind.startswith("stylegan2-") or "mapping.embed.weight" in tensors or config.get("group_size", 4) != 4:
            raise FormatError("rosinality's layout holds StyleGAN2 networks without labels, with minibatch groups of 4")
        if config.get("conv_clamp") is not None and not drop_clamp:
            raise FormatError(f"rosinality's layout has no place for conv_clamp={config['conv_clamp']:g}; images change where "
                              "features exceed it. Drop it knowingly with --drop-clamp (drop_clamp=True)")
        layers = count(tensors, r"mapping\.fc\d+\.weight")
        if kind == "stylegan2-G":
            size, colors = layouts.resolutions(tensors, r"synthesis\.b(\d+)\."), len(tensors["synthesis.b4.torgb.bias"])
            pairs, kernels = layouts.rosinality_generator(size, layers), layouts.rosinality_kernels(size)[0]
        else:
            size = layouts.resolutions(tensors, r"b(\d+)\.")
            colors = tensors[f"b{size[-1]}.fromrgb.weight"].shape[1]
            pairs, kernels = layouts.rosinality_discriminator(size), layouts.rosinality_kernels(size)[1]
        if colors != 3:
            raise FormatError(f"rosinality's code knows images of 3 channels; this network's have {colors}")
        found[PARTS[part]] = layouts.write(tensors, pairs) | kernels
        if kind == "stylegan2-G" and "latent_avg" not in found or part == "G_ema":
            found["latent_avg"] = tensors["mapping.w_avg"].float().clone()
    return found
