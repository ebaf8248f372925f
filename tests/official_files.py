"""Writes files as the official codes do, from the facts about their structure; source text in them fails when it runs."""
import io
import pickle
import re
import sys
import types

import numpy as np
import torch
from torch import nn

SOURCE = "raise AssertionError('embedded source text was executed')\n"


def refuse(*args, **kwargs):
    raise AssertionError("a function named in a file was called")


class EasyDict(dict):
    pass


class Network:
    """dnnlib.tflib.network.Network and tfutil.Network: pickled by class and state."""
    def __init__(self, **state):
        self.__dict__.update(state)


class Module:
    """A module that pickles as the official ones do: one call with a dict of type, version, source, class and state."""
    source = SOURCE * 2000

    def __init__(self, name, **attributes):
        self.name, self.inner = name, nn.Module()
        self.inner.__dict__.update(attributes, _init_args=(), _init_kwargs=attributes.pop("_init_kwargs", {}))

    def __reduce__(self):
        meta = dict(type="class", version=6, module_src=self.source, class_name=self.name, state=self.inner.__dict__)
        return NAMES["torch_utils.persistence"]["_reconstruct_persistent_obj"], (meta,), None


def stub(module, name, kind=None):
    found = kind or types.FunctionType(refuse.__code__, globals(), name)
    found.__module__, found.__qualname__, found.__name__ = module, name, name
    return found


NAMES = {"torch_utils.persistence": {"_reconstruct_persistent_obj": stub("torch_utils.persistence", "_reconstruct_persistent_obj")},
         "dnnlib.util": {"EasyDict": stub("dnnlib.util", "EasyDict", EasyDict)},
         "dnnlib.tflib.network": {"Network": stub("dnnlib.tflib.network", "Network", Network)},
         "torch_utils": {}, "dnnlib": {}, "dnnlib.tflib": {},
         "tfutil": {"Network": stub("tfutil", "Network", type("Network", (Network,), {}))}}
for _core in ("numpy.core", "numpy._core"):
    NAMES[f"{_core}.multiarray"] = {name: stub(f"{_core}.multiarray", name) for name in ("scalar", "_reconstruct")}


def dump(value, protocol, numpy="numpy._core"):
    """A pickle in which numpy's functions have their old or new names."""
    class Pickler(pickle.Pickler):
        def reducer_override(self, obj):
            if isinstance(obj, np.generic):
                return NAMES[f"{numpy}.multiarray"]["scalar"], (obj.dtype, obj.tobytes())
            if type(obj) is np.ndarray:
                state = 1, obj.shape, obj.dtype, obj.flags.fnc, obj.tobytes("A")
                return NAMES[f"{numpy}.multiarray"]["_reconstruct"], (np.ndarray, (0,), b"b"), state
            return NotImplemented

    before, out = {name: sys.modules.get(name) for name in NAMES}, io.BytesIO()
    try:
        for name, contents in NAMES.items():
            sys.modules[name] = types.SimpleNamespace(**contents)
        Pickler(out, protocol).dump(value)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.__setitem__(name, module)
    return out.getvalue()


def kernel(total=1.0):
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(line, line) / 64 * total


CLASSES = [  # a module's path, its class, its attributes
    (r"synthesis", "SynthesisNetwork", dict(num_fp16_res=0)),
    (r"mapping", "MappingNetwork", dict(num_layers=8, w_avg_beta=0.998)),
    (r"mapping\.fc\d+", "FullyConnectedLayer", dict(activation="lrelu", bias_gain=0.01)),
    (r".*\.(affine|embed|fc|out)", "FullyConnectedLayer", dict(activation="linear", bias_gain=1)),
    (r"synthesis\.b\d+", "SynthesisBlock", dict(architecture="skip", use_fp16=False)),
    (r"synthesis\.b\d+\.conv\d", "SynthesisLayer", dict(activation="lrelu", use_noise=True, act_gain=np.float64(2) ** 0.5)),
    (r"synthesis\.b\d+\.torgb", "ToRGBLayer", dict(weight_gain=np.float64(0.25))),
    (r"b4", "DiscriminatorEpilogue", dict(architecture="resnet")),
    (r"b\d+", "DiscriminatorBlock", dict(architecture="resnet", use_fp16=False)),
    (r"b4\.mbstd", "MinibatchStdLayer", dict(group_size=4, num_channels=1)),
    (r"b\d+\.skip", "Conv2dLayer", dict(activation="linear", weight_gain=np.float64(0.1))),
    (r"b\d+\.(conv\d?|fromrgb)", "Conv2dLayer", dict(activation="lrelu", weight_gain=np.float64(0.1)))]
BUFFERS = "w_avg", "noise_const", "resample_filter"


def official(state, conv_clamp=None, **kwargs):
    """The official module tree of a state dict; filters are added where the official layers have them."""
    tree = {"": Module("Generator" if "synthesis.b4.const" in state else "Discriminator", _init_kwargs=EasyDict(kwargs))}
    state = dict(state)
    for name in [name for name in state if re.fullmatch(r"(.*\.)?(conv0|conv1|skip|fromrgb)\.weight|synthesis\.b4\.const", name)]:
        state[name.rpartition(".")[0] + ".resample_filter"] = kernel()
    names = list(state) + (["b4.mbstd."] if "b4.out.weight" in state else [])
    for name in names:
        *path, leaf = name.split(".")
        for depth in range(1, len(path) + 1):
            here = ".".join(path[:depth])
            if here not in tree:
                kind, attributes = next((kind, attributes) for pattern, kind, attributes in CLASSES if re.fullmatch(pattern, here))
                if kind in ("SynthesisLayer", "ToRGBLayer", "Conv2dLayer"):
                    attributes = attributes | {"conv_clamp": None if kind == "Conv2dLayer" and "skip" in here else conv_clamp}
                tree[here] = Module(kind, **attributes)
                tree[".".join(path[:depth - 1])].inner._modules[path[depth - 1]] = tree[here]
        if leaf:
            value = state[name].clone()
            target = tree[".".join(path)].inner
            kind, value = ("_buffers", value) if leaf in BUFFERS else ("_parameters", nn.Parameter(value))
            target.__dict__[kind][leaf] = value
    return tree[""]


def snapshot(G, D, G_ema=None, conv_clamp=None):
    built = {part: official(state, conv_clamp, z_dim=4, synthesis_kwargs=EasyDict(channel_base=256))
             for part, state in (("G", G), ("D", D), ("G_ema", G_ema or G))}
    return built | {"augment_pipe": Module("AugmentPipe", xflip=1.0), "training_set_kwargs": EasyDict(path="data.zip")}


TF_NAMES = [  # in a generator or a discriminator: an official name, its TensorFlow variable
    ("G", r"mapping\.w_avg", "dlatent_avg"), ("G", r"synthesis\.b4\.const", "synthesis/4x4/Const/const"),
    ("G", r"mapping\.embed\.(weight|bias)", r"mapping/LabelEmbed/\1"), ("D", r"mapping\.embed\.(weight|bias)", r"LabelEmbed/\1"),
    ("G", r"mapping\.fc(\d+)\.(weight|bias)", r"mapping/Dense\1/\2"), ("D", r"mapping\.fc(\d+)\.(weight|bias)", r"Mapping\1/\2"),
    ("G", r"synthesis\.b4\.conv1\.(?:affine\.)?(\w+)", r"synthesis/4x4/Conv/\1"),
    ("G", r"synthesis\.b(\d+)\.conv0\.(?:affine\.)?(\w+)", r"synthesis/\1x\1/Conv0_up/\2"),
    ("G", r"synthesis\.b(\d+)\.conv1\.(?:affine\.)?(\w+)", r"synthesis/\1x\1/Conv1/\2"),
    ("G", r"synthesis\.b(\d+)\.torgb\.(?:affine\.)?(\w+)", r"synthesis/\1x\1/ToRGB/\2"),
    ("D", r"b4\.fc\.(\w+)", r"4x4/Dense0/\1"), ("D", r"b4\.out\.(\w+)", r"Output/\1"), ("D", r"b4\.conv\.(\w+)", r"4x4/Conv/\1"),
    ("D", r"b(\d+)\.fromrgb\.(\w+)", r"\1x\1/FromRGB/\2"), ("D", r"b(\d+)\.conv0\.(\w+)", r"\1x\1/Conv0/\2"),
    ("D", r"b(\d+)\.conv1\.(\w+)", r"\1x\1/Conv1_down/\2"), ("D", r"b(\d+)\.skip\.(\w+)", r"\1x\1/Skip/\2")]


def tf_variables(state):
    """TensorFlow variables of a state dict with official names, as numpy arrays."""
    part, found = "G" if "synthesis.b4.const" in state else "D", {}
    for name, tensor in state.items():
        value = tensor.numpy()
        theirs = next(re.sub(pattern, theirs, name) for net, pattern, theirs in TF_NAMES
                      if net == part and re.fullmatch(pattern, name))
        if name.endswith("noise_const"):
            resolution, layer = map(int, re.findall(r"b(\d+)\.conv(\d)", name)[0])
            theirs, value = f"synthesis/noise{2 * (resolution.bit_length() - 3) - 1 + layer}", value[None, None]
        elif name.endswith("const"):
            value = value[None]
        elif value.ndim == 4:
            value = (value[:, :, ::-1, ::-1] if theirs.endswith("Conv0_up/weight") else value).transpose(2, 3, 1, 0)
        elif "affine" in name:
            folder, _, field = theirs.rpartition("/")
            theirs, value = f"{folder}/mod_{field}", value.T if field == "weight" else value - 1
        found[theirs] = value.T if value.ndim == 2 and "affine" not in name else value
    return found


def tf_network(name, variables, static_kwargs, module="dnnlib.tflib.network", version=4, components=("mapping", "synthesis")):
    """A Network record; variables whose names start with a component's name go into that."""
    def record(name, chosen, kwargs, parts):
        state = dict(version=version, name=name, static_kwargs=kwargs, build_module_src=Module.source, build_func_name="f",
                     variables=[(key, np.asarray(value)) for key, value in chosen.items()])
        return NAMES[module]["Network"](**state, **({"components": parts} if version > 2 else {}))
    parts = {part: record(f"G_{part}",
                          {key[len(part) + 1:]: value for key, value in variables.items() if key.startswith(part + "/")},
                          {}, {}) for part in components if any(key.startswith(part + "/") for key in variables)}
    own = {key: value for key, value in variables.items() if key.partition("/")[0] not in parts}
    return record(name, own, EasyDict(static_kwargs), EasyDict(parts))
