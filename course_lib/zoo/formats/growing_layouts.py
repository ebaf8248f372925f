"""PGGAN and StyleGAN from the variables of the TensorFlow releases, {name: array}.

There a convolution is stored [k, k, in, out] and a dense layer [in, out]. PGGAN's fused upscale is stored
[k, k, out, in] and acts mirrored; StyleGAN's keeps the order, but acts mirrored too where it is fused: from 128 px on.
"""
import re

import torch

from ...networks import pggan, stylegan
from ...networks.layers import count
from .layouts import mapping_layers

STYLEGAN_FUSED_FROM = 128
PGGAN_G = {"Dense": "dense", "Conv": "b{r}.conv1", "Conv0": "b{r}.conv0", "Conv0_up": "b{r}.conv0", "Conv1": "b{r}.conv1",
           "ToRGB": "b{r}.torgb"}
DISCRIMINATOR = {"FromRGB": "b{r}.fromrgb", "Conv0": "b{r}.conv0", "Conv1": "b{r}.conv1", "Conv1_down": "b{r}.conv1",
                 "Conv": "b{r}.conv", "Dense0": "b{r}.dense", "Dense1": "b{r}.out"}
STYLEGAN_G = {"Const": "synthesis.b{r}.conv0", "Conv": "synthesis.b{r}.conv1", "Conv0_up": "synthesis.b{r}.conv0",
              "Conv1": "synthesis.b{r}.conv1", "ToRGB": "synthesis.b{r}.torgb"}


def pggan_generator(variables):
    return pggan.generator_from(_translate(variables, PGGAN_G))


def pggan_discriminator(variables):
    """The names say whether the resampling convolutions are fused."""
    fused = any(name.endswith("Conv1_down/weight") for name in variables)
    return pggan.discriminator_from(_translate(variables, DISCRIMINATOR), fused=fused)


def stylegan_generator(variables):
    tensors = _translate({name.removeprefix("G_synthesis/"): value for name, value in variables.items()
                          if name.startswith("G_synthesis/")}, STYLEGAN_G)
    for name, value in variables.items():
        if match := re.fullmatch(r"G_mapping/Dense(\d+)/(weight|bias)", name):
            tensors[f"mapping.fc{match[1]}.{match[2]}"] = _tensor(value).t()
    mapping_layers(count(tensors, r"mapping\.fc\d+\.weight"))
    return stylegan.generator_from(tensors | {"mapping.w_avg": _tensor(variables["dlatent_avg"])})


def stylegan_discriminator(variables):
    return stylegan.discriminator_from(_translate(variables, DISCRIMINATOR))


def _translate(variables, layers):
    """Variables by the names of our networks, weights as [O, I, ...]."""
    final = max(int(match[1]) for name in variables if (match := re.match(r"(\d+)x\1/", name)))
    tensors = {}
    for name, value in variables.items():
        value = _tensor(value)
        if match := re.fullmatch(r"(ToRGB|FromRGB)_lod(\d+)/(weight|bias)", name):
            layer, r, field = match[1], final >> int(match[2]), match[3]
        elif match := re.fullmatch(r"(\d+)x\1/(\w+)/(.+)", name):
            layer, r, field = match[2], int(match[1]), match[3]
        elif match := re.fullmatch(r"noise(\d\d?)", name):
            i = int(match[1])
            tensors[f"synthesis.b{4 << i // 2}.conv{i % 2}.noise_const"] = value[0, 0]
            continue
        elif name == "lod":
            continue
        else:
            raise ValueError(f'there is no place for the variable "{name}" in PGGAN or StyleGAN')
        if layer not in layers:
            raise ValueError(f'there is no layer "{layer}" for the variable "{name}"; there are {", ".join(layers)}')
        ours, styled = layers[layer].format(r=r), layers is STYLEGAN_G and layer != "ToRGB"
        if field == "const":
            tensors[f"{ours}.const"] = value[0]
        elif field == "Noise/weight":
            tensors[f"{ours}.noise_strength"] = value
        elif field.startswith("StyleMod/"):
            tensors[f"{ours}.affine.{field.split('/')[1]}"] = value.t()
        elif field == "weight" and value.ndim == 4:
            if layer == "Conv0_up" and not styled:
                value = value.transpose(2, 3)
            if layer == "Conv0_up" and (not styled or r >= STYLEGAN_FUSED_FROM):
                value = value.flip([0, 1])
            tensors[f"{ours}.conv.weight" if styled else f"{ours}.weight"] = value.permute(3, 2, 0, 1)
        elif field == "weight":
            tensors[f"{ours}.weight"] = value.t()
        else:
            tensors[f"{ours}.conv.bias" if styled and layer != "Const" else f"{ours}.bias"] = value
    return tensors


def _tensor(value):
    return torch.as_tensor(value).float()
