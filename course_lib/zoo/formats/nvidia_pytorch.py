"""StyleGAN2 networks in the pickles of NVIDIA's PyTorch releases (ADA and StyleGAN3).

A snapshot is a dict with G, D, G_ema. Every module in it is a call of `_reconstruct_persistent_obj` with one dict: type,
version, module_src (source text, which is never read), class_name and state, the attributes of the module.
"""
import itertools

import torch

from ...ops import resample_kernel
from .pickle_reader import FormatError, LongText, Record
from .tensors import ARRAYS, REBUILD, SCALAR, is_record, number, tensor

MODULE = "torch_utils.persistence _reconstruct_persistent_obj"
NAMES = {MODULE, "torch.storage _load_from_bytes", "collections OrderedDict", "dnnlib.util EasyDict", "builtins set",
         "__builtin__ set", *REBUILD, *ARRAYS}
PARTS = "G_ema", "G", "D"


def parts(value):
    """{part: record} of a snapshot or of a single network; empty if it is neither."""
    if is_record(value, MODULE):
        return {"D" if class_name(value) == "Discriminator" else "G": value}
    return {part: value[part] for part in PARTS if is_record(value.get(part), MODULE)} if type(value) is dict else {}


def convert(record, limits):
    """(kind, tensors with official names, config for the builder, constructor arguments) of one network."""
    kind = {"Generator": "stylegan2-G", "Discriminator": "stylegan2-D"}.get(class_name(record))
    modules = dict(_modules(record, limits))
    if kind is None or ("synthesis.b4" if kind == "stylegan2-G" else "b4") not in modules:
        what = "StyleGAN3 network" if "synthesis.input" in modules else f"network of class {ascii(class_name(record))}"
        raise FormatError(f"a {what} is not supported; StyleGAN2 generators and discriminators are")
    config = {"conv_clamp": _checked(modules, limits)}
    if kind == "stylegan2-D":
        mbstd = modules.get("b4.mbstd", {})
        config["group_size"] = group_size(mbstd.get("group_size", 4))
        if mbstd.get("num_channels", 1) != 1:
            raise FormatError("a discriminator with several channels of minibatch statistics is not supported")
    tensors = {}
    for path, state in modules.items():
        for name, value in itertools.chain(_dict(state, "_parameters").items(), _dict(state, "_buffers").items()):
            limits.step()
            limits.produce(len(path))
            if type(name) is not str or len(name) > 100:
                raise FormatError("a tensor's name is no short string")
            if value is None:
                continue
            found = tensor(value, limits).float()
            if name != "resample_filter":
                tensors[f"{path}.{name}" if path else name] = found * _speed(path, state, limits)
            elif found.shape != (4, 4) or not torch.allclose(found, resample_kernel(), atol=1e-6):
                raise FormatError("a network whose resampling filter is not [1, 3, 3, 1] is not supported")
    return kind, tensors, config, plain(_dict(modules[""], "_init_kwargs"), limits)


def group_size(value):
    if type(value) is not int or not 1 <= value < 2 ** 31:
        raise FormatError("a discriminator whose minibatch statistics have no fixed group size is not supported")
    return value


def class_name(record):
    return _meta(record).get("class_name", "")


def _meta(record):
    meta = record.args[0] if len(record.args) == 1 and type(record.args[0]) is dict else {}
    if meta.get("type") != "class" or type(meta.get("class_name")) is not str or type(meta.get("state")) is not dict:
        raise FormatError("a module in it lacks its type, class name or state")
    return meta


def _dict(state, name):
    value = state.get(name) or {}
    if type(value) is not dict:
        raise FormatError(f"a module's {name} is no dictionary")
    return value


def _modules(record, limits, path="", depth=0):
    """(path, attributes) of a module and all its submodules."""
    limits.step()
    limits.produce(len(path))
    if not is_record(record, MODULE) or depth > 10:
        raise FormatError("a module holds something that is no module, or too many levels of modules")
    state = _meta(record)["state"]
    yield path, state
    for name, child in _dict(state, "_modules").items():
        limits.step()
        if type(name) is not str or len(name) > 100:
            raise FormatError("a module's name is no short string")
        if child is not None:
            yield from _modules(child, limits, f"{path}.{name}" if path else name, depth + 1)


def _checked(modules, limits):
    """The clamp that all convolutions share, once every attribute is known to be the one that our networks have."""
    for path, state in modules.items():
        architecture = "skip" if path.startswith("synthesis.") else "resnet"
        expected = {"activation": ("lrelu", "linear"), "architecture": (architecture,), "use_noise": (True,)}
        for name, values in expected.items():
            if name in state and state[name] not in values:
                raise FormatError(f"{name}={plain(state[name], limits)!r} is not supported; {values[0]!r} is")
    return _same([state["conv_clamp"] for path, state in modules.items()
                  if "conv_clamp" in state and not path.endswith("skip")], "conv_clamp", limits)


def _same(values, what, limits):
    """The one number, or None, that all values are."""
    values = [None if value is None else number(value, limits) for value in values]
    if any(value != values[0] for value in values):
        raise FormatError(f"a network with different values of {what} is not supported")
    return values[0] if values else None


def _speed(path, state, limits):
    """Mapping layers store weights for their own learning-rate multiplier; ours is 0.01, and the product is the same."""
    if not path.startswith("mapping.fc") or "bias_gain" not in state:
        return 1
    speed = number(state["bias_gain"], limits)
    return 1 if speed == 0.01 else speed / 0.01


def plain(value, limits, depth=0):
    """A value as JSON can hold it, for people to read: records become their names, and long texts their lengths."""
    limits.step()
    if is_record(value, *SCALAR):
        return number(value, limits)
    if depth > 6:
        return "…"
    if type(value) is dict:
        return {_counted(str(key)[:100], limits): plain(item, limits, depth + 1)
                for key, item in itertools.islice(value.items(), 50)}
    if type(value) in (list, tuple):
        return [plain(item, limits, depth + 1) for item in value[:50]]
    if type(value) is Record:
        return f"<{value.name}>"
    if type(value) in (LongText, memoryview):
        return f"<{len(value.view if type(value) is LongText else value):,} bytes>"
    if type(value) is str:
        return _counted(value[:200], limits)
    small = type(value) is int and abs(value) < 2 ** 63
    return value if small or type(value) in (float, bool, type(None)) else "?"


def _counted(text, limits):
    """The text, counted among what the file makes."""
    limits.produce(len(text))
    return text
