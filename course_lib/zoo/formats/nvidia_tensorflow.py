"""Networks in the pickles of NVIDIA's TensorFlow releases (PGGAN, StyleGAN, StyleGAN2), read and written without it.

A file is a tuple (G, D, Gs) of `Network`s, Gs being the averaged generator. The state of each has version, name,
static_kwargs, components (more networks), build_module_src (source text, never read), build_func_name and variables, a
list of (name, array).
"""
import pickle
import re
import struct

import torch

from ...networks.layers import count
from . import growing_layouts, layouts
from .nvidia_pytorch import group_size, plain
from .pickle_reader import FormatError
from .tensors import ARRAYS, is_record, number, tensor

NETWORK = "dnnlib.tflib.network Network"
NETWORKS = NETWORK, "tfutil Network"                     # PGGAN's is the second
NAMES = {*NETWORKS, *ARRAYS, "collections OrderedDict", "dnnlib.util EasyDict", "builtins set", "__builtin__ set"}
GROWING = {"stylegan-G": growing_layouts.stylegan_generator, "stylegan-D": growing_layouts.stylegan_discriminator,
           "pggan-G": growing_layouts.pggan_generator, "pggan-D": growing_layouts.pggan_discriminator}
FAMILIES = {"synthesis/4x4/Conv/mod_weight": "stylegan2-G", "synthesis/4x4/Const/StyleMod/weight": "stylegan-G",
            "4x4/Dense/weight": "pggan-G", "Output/weight": "stylegan2-D", "4x4/Dense1/weight": "pggan-D"}
SUPPORTED = {"nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "resample_kernel": [1, 3, 3, 1], "use_noise": True,
             "mbstd_num_features": 1}


def parts(value):
    """{part: record} of a tuple (G, D, Gs) or a single network; empty if it is neither."""
    if is_record(value, *NETWORKS):
        return {"D" if "4x4/Dense0/weight" in dict(_own(value)) else "G": value}
    if type(value) in (tuple, list) and len(value) == 3 and all(is_record(network, *NETWORKS) for network in value):
        return dict(zip(("G", "D", "G_ema"), value))
    return {}


def variables(record, limits):
    """{name: tensor} of a network and its components, whose names come before theirs: mapping/Dense0/weight."""
    return {name: torch.tensor(value) if type(value) is float else tensor(value, limits)
            for name, value in _variables(record, limits)}


def _variables(record, limits, prefix="", depth=0):
    limits.step()
    if depth > 3 or not is_record(record, *NETWORKS):
        raise FormatError("a component of a network is no network, or there are too many levels of them")
    for name, value in _own(record):
        limits.step()
        if len(name) > 200:
            raise FormatError("a variable's name is no short string")
        limits.produce(len(prefix) + len(name))
        yield prefix + name, value
    for name, component in _field(record, "components", dict).items():
        if type(name) is not str or len(name) > 100:
            raise FormatError("a component's name is no short string")
        yield from _variables(component, limits, f"{prefix}{name}/", depth + 1)


def _field(record, name, kind):
    value = record.state.get(name) if type(record.state) is dict else None
    if type(value) is kind or value is None and name == "components":
        return value or kind()
    raise FormatError(f"a network's {name} is missing or no {kind.__name__}")


def _own(record):
    pairs = _field(record, "variables", list)
    if any(type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not str for pair in pairs):
        raise FormatError("a network's variables are no list of (name, array)")
    return pairs


def family(record, limits):
    """What the names of a network's variables say it is, as a kind of the zoo."""
    names = {name for name, _ in _variables(record, limits)}
    for name, kind in FAMILIES.items():
        if name in names:
            return kind
    raise FormatError("a network with such variables is neither PGGAN, StyleGAN nor StyleGAN2: "
                      f"{[name[:80] for name in sorted(names)[:3]]}")


def convert(record, limits, generator=None):
    """(kind, tensors with our names, config for the builder, static_kwargs) of one network.

    generator: the kind of the file's generators, for the discriminators of PGGAN and StyleGAN have the same variables.
    """
    kind, kwargs = family(record, limits), _field(record, "static_kwargs", dict)
    if kind == "pggan-D" and generator == "stylegan-G":
        kind = "stylegan-D"
    theirs = {name: t for name, t in variables(record, limits).items() if name.rpartition("/")[2] != "lod"}
    if kind in GROWING:
        if number(kwargs.get("label_size", 0), limits) or "mapping/LabelConcat/weight" in theirs:
            raise FormatError("a class-conditional network of PGGAN or StyleGAN is not supported; those of StyleGAN2 are")
        return kind, *_growing(kind, theirs), plain(kwargs, limits)
    for name, value in SUPPORTED.items():
        if plain(kwargs.get(name, value), limits) != value:
            raise FormatError(f"{name}={plain(kwargs[name], limits)!r} is not supported; {value!r} is")
    config = {"conv_clamp": None if kwargs.get("conv_clamp") is None else number(kwargs["conv_clamp"], limits)}
    if kind == "stylegan2-G":
        pairs = layouts.tensorflow_generator(
            layouts.resolutions(theirs, r"synthesis/(\d+)x\1/Conv"),
            count(theirs, r"mapping/Dense\d+/weight"),
            "mapping/LabelEmbed/weight" in theirs)
        speed = number(kwargs.get("mapping_lrmul", 0.01), limits)
    else:
        pairs = layouts.tensorflow_discriminator(
            layouts.resolutions(theirs, r"(\d+)x\1/Conv"), count(theirs, r"Mapping\d+/weight"),
            "LabelEmbed/weight" in theirs)
        speed = number(kwargs.get("mapping_lrmul", 0.1), limits)
        config["group_size"] = group_size(kwargs.get("mbstd_group_size", 4))
    tensors = layouts.read(theirs, pairs)
    if speed != 0.01:       # the product of weights and multiplier is what counts; ours is 0.01
        tensors = {name: t * (speed / 0.01) if name.startswith("mapping.fc") else t for name, t in tensors.items()}
    return kind, tensors, config, plain(kwargs, limits)


def _growing(kind, theirs):
    """Tensors and config of PGGAN and StyleGAN; a network without memory shows first whether the shapes agree."""
    lacking = []
    if kind == "stylegan-G":
        theirs = {re.sub("^(mapping|synthesis)/", r"G_\1/", name): t for name, t in theirs.items()}
        blanks = _blanks(theirs)
        lacking = [ours for theirs_name, (ours, _) in blanks.items() if theirs_name not in theirs]
        theirs = {name: blank for name, (_, blank) in blanks.items()} | theirs
    with torch.device("meta"):
        GROWING[kind]({name: t.to("meta") for name, t in theirs.items()})
    network = GROWING[kind](theirs)
    tensors = {name: t for name, t in network.state_dict().items() if name not in lacking}
    return tensors, {"fused": network.fused} if kind == "pggan-D" else {}


def _blanks(theirs):
    """{variable: (our name, zeros)} for the constant noise and the mean of W of StyleGAN, which a file may lack."""
    sizes = layouts.resolutions(theirs, r"G_synthesis/(\d+)x\1/")
    if len(sizes) > 9:
        raise FormatError(f"it has {len(sizes)} resolutions; StyleGAN networks have 9 at most")
    found = {f"G_synthesis/noise{i}": (f"synthesis.b{r}.conv{i % 2}.noise_const", torch.zeros(1, 1, r, r))
             for i, r in ((i, sizes[i // 2]) for i in range(2 * len(sizes)))}
    last = theirs[f"G_mapping/Dense{count(theirs, r'G_mapping/Dense[0-9]+/bias') - 1}/bias"]
    return found | {"dlatent_avg": ("mapping.w_avg", torch.zeros(len(last)))}


def write(networks):
    """The bytes of a tuple (G, D, Gs) that the official PyTorch code's legacy loader converts.

    networks: {"G", "D", "G_ema": (kind, tensors, config)}; a missing G is replaced by G_ema, and the other way round.
    """
    networks = {"G": networks.get("G_ema"), "G_ema": networks.get("G"), **networks}
    missing = [part for part in ("G", "D", "G_ema") if networks.get(part) is None]
    if missing or any(not kind.startswith("stylegan2-") for kind, *_ in networks.values()):
        raise FormatError("the TensorFlow-era tuple holds a StyleGAN2 generator and its discriminator; "
                          + (f"this has no {missing[0]}: name a second file that does" if missing else "this is another network"))
    return b"\x80\x03" + _dump(tuple(_network(part, *networks[part]) for part in ("G", "D", "G_ema"))) + b"."


class _Network(dict):
    """The state of a network that is to be written."""


def _network(part, kind, tensors, config):
    top, base, widest = _widths(tensors, kind)
    prefix = "synthesis." if kind == "stylegan2-G" else ""
    sizes = layouts.resolutions(tensors, (prefix + "b").replace(".", r"\.") + r"(\d+)\.")
    layers, embed = count(tensors, r"mapping\.fc\d+\.weight"), tensors.get("mapping.embed.weight")
    shared = {"resolution": top, "label_size": 0 if embed is None else embed.shape[1], "fmap_base": base // 2,
              "fmap_max": widest, "conv_clamp": config.get("conv_clamp"), "mapping_lrmul": 0.01, "mapping_layers": layers}
    if kind == "stylegan2-G":
        w_dim, first = tensors["mapping.fc0.weight"].shape
        kwargs = shared | {"num_channels": len(tensors["synthesis.b4.torgb.bias"]), "dlatent_size": w_dim,
                           "latent_size": first - (0 if embed is None else w_dim), "architecture": "skip"}
        theirs = layouts.write(tensors, layouts.tensorflow_generator(sizes, layers, embed is not None))
    else:
        kwargs = shared | {"num_channels": tensors[f"b{top}.fromrgb.weight"].shape[1], "architecture": "resnet",
                           "mbstd_group_size": group_size(config.get("group_size", 4)), "mbstd_num_features": 1}
        theirs = layouts.write(tensors, layouts.tensorflow_discriminator(sizes, layers, embed is not None))
    components = {name: _state(f"G_{name}", {}, {key.removeprefix(f"{name}/"): t for key, t in theirs.items()
                                                if key.startswith(f"{name}/")})
                  for name in ("synthesis", "mapping") if kind == "stylegan2-G"}
    own = {key: t for key, t in theirs.items() if key.partition("/")[0] not in components}
    return _state({"G_ema": "Gs"}.get(part, part), kwargs, own, components)


def _state(name, kwargs, variables, components=()):
    return _Network(version=4, name=name, static_kwargs=kwargs, components=dict(components), build_module_src="",
                    build_func_name="", variables=[(key, t.numpy()) for key, t in variables.items()])


def _widths(tensors, kind):
    """(resolution, channel_base, channel_max) with which min(channel_base / resolution, channel_max) gives all widths."""
    pattern = r"synthesis\.b(\d+)\.conv1\.weight" if kind == "stylegan2-G" else r"b(\d+)\.conv0\.weight"
    widths = {int(match[1]): len(t) for name, t in tensors.items() if (match := re.fullmatch(pattern, name))}
    widths.setdefault(4, len(tensors.get("b4.conv.weight", ())))
    top, most = max(widths), max(widths.values())
    base = widths[top] * top
    if any(width != min(base // r, most) for r, width in widths.items()):
        raise FormatError(f"the TensorFlow-era tuple has no way to say these widths: {widths}")
    return top, base, most


def _dump(value):
    """A value as pickle opcodes of protocol 3, without memo."""
    if isinstance(value, _Network):
        module, name = NETWORK.split()
        return pickle.GLOBAL + f"{module}\n{name}\n".encode() + b")\x81" + _dump(dict(value)) + pickle.BUILD
    if type(value) in (dict, list, tuple):
        items = [part for pair in value.items() for part in pair] if type(value) is dict else value
        start, end = {dict: (b"}(", b"u"), list: (b"](", b"e"), tuple: (b"(", b"t")}[type(value)]
        return start + b"".join(map(_dump, items)) + end
    if value is None or type(value) is bool:
        return {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value]
    if type(value) in (int, float):
        return pickle.BININT + struct.pack("<i", value) if type(value) is int else pickle.BINFLOAT + struct.pack(">d", value)
    if type(value) in (str, bytes):
        data = value.encode() if type(value) is str else value
        return (pickle.BINUNICODE if type(value) is str else pickle.BINBYTES) + struct.pack("<I", len(data)) + data
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    kind = b"cnumpy\ndtype\n" + _dump(("f4", False, True)) + b"R" + _dump((3, "<", None, None, None, -1, -1, 0)) + b"b"
    return empty + b"(K\x01" + _dump(value.shape) + kind + pickle.NEWFALSE + _dump(value.astype("<f4").tobytes()) + b"tb"
