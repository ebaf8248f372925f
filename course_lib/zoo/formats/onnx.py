"""Generators as ONNX graphs, which runtimes other than PyTorch compute, with one copy of the weights.

A graph holds no weights: they are external data, at their offsets inside the safetensors file that the zoo reads, too. The packages
that write graphs are an extra, `pip install "course-lib[onnx]"`, and imported when one is made.
"""
import json
import logging
import struct
import tempfile
from pathlib import Path

import torch
from torch import nn

from ... import ops
from ...networks import pggan
from .pickle_reader import FormatError

WEIGHTS = "weights.safetensors"
INLINE = 2                      # numbers up to which a tensor stays in the graph, and what is computed from it is folded
TOLERANCE = 1e-3                # of images in [-1, 1], between PyTorch and what a graph computes
DTYPES = {"F16": torch.float16, "F32": torch.float32}


class Styles(nn.Module):
    """ws [N, num_ws, w_dim] → the styles of all layers side by side, [N, channels]."""

    def __init__(self, G):
        super().__init__()
        self.synthesis = G.synthesis

    def forward(self, ws):
        return torch.cat(self.synthesis.styles(ws), dim=1)


class Synthesis(nn.Module):
    """Styles [N, channels] and the noise of all layers side by side, [N, pixels] → images [N, C, H, W]."""

    def __init__(self, G):
        super().__init__()
        layers = [layer for _, layer, _ in G.synthesis.style_layers()]
        self.synthesis = G.synthesis
        self.channels = [len(layer.affine.bias) for layer in layers]
        self.sides = [len(layer.noise_const) for layer in layers if hasattr(layer, "noise_const")]

    def forward(self, styles, noise):
        maps = noise.split([side ** 2 for side in self.sides], dim=1)
        return self.synthesis(styles=list(styles.split(self.channels, dim=1)),
                              noise=[part.unflatten(1, (1, side, side)) for part, side in zip(maps, self.sides)])


class Growing(nn.Module):
    """PGGAN: z [N, z_dim], α [1] → images [N, C, R, R] at the resolution R that training has reached."""

    def __init__(self, G):
        super().__init__()
        self.G = G

    def forward(self, z, alpha):
        high = self.G(z, alpha=1.0)
        return high if self.G.reached == 4 else ops.fade_in(self.G(z, self.G.reached // 2, alpha=1.0), high, alpha)


def parts(G):
    """The graphs of a generator: {name: (module, example inputs by name, names of its outputs)}. Every input is a batch but PGGAN's
    alpha [1]."""
    if isinstance(G, pggan.Generator):
        return {"generator": (Growing(G), {"z": torch.randn(2, G.z_dim), "alpha": torch.ones(1)}, ["images"])}
    labels = {"c": torch.eye(G.c_dim)[:1].repeat(2, 1)} if getattr(G, "c_dim", 0) else {}
    synthesis = Synthesis(G)
    of_synthesis = {"styles": torch.randn(2, sum(synthesis.channels)), "noise": torch.randn(2, sum(s * s for s in synthesis.sides))}
    return {"mapping": (G.mapping, {"z": torch.randn(2, G.z_dim)} | labels, ["w"]),
            "styles": (Styles(G), {"ws": torch.randn(2, G.num_ws, G.w_dim)}, ["styles"]),
            "synthesis": (synthesis, of_synthesis, ["images"])}


def write(folder, G, kind, config):
    """Write a generator as `weights.safetensors`, which `zoo.load` reads, and the graphs of `parts` beside it, each compared with
    PyTorch. → {file name: the largest difference}

    Raises OSError for a folder that exists, and ValueError where the extra is missing or a graph computes something else.
    """
    from ..files import save  # which imports this package
    packages()
    folder, differences = Path(folder), {}
    if folder.exists():
        raise FileExistsError(f"{folder} exists already and is not overwritten; choose another name, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as partial:
        made = Path(partial) / folder.name
        weights = save(made / WEIGHTS, G.state_dict(), kind, config=config)
        for name, (module, inputs, outputs) in parts(G).items():
            path = made / f"{name}.onnx"
            path.write_bytes(graph(module, inputs, outputs, [(weights, WEIGHTS)]).SerializeToString())
            differences[path.name] = difference(path, module, inputs)
        made.rename(folder)
    return differences


def packages():
    """The modules onnx and onnxruntime. Raises ValueError where the extra is not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401, which PyTorch's exporter imports
        return onnx, onnxruntime
    except ImportError as error:
        raise FormatError(f'{error.name} is not installed; ONNX graphs need pip install "course-lib[onnx]"') from None


def graph(module, inputs, outputs, weights=(), of_file=True, batch=True):
    """An onnx.ModelProto of module(*inputs).

    inputs: examples by name. weights: pairs (safetensors file, the name by which the graph calls it); a tensor is found there by
    its values. of_file: offsets count from the start of the file, else from that of its tensors. batch: the first dimension of
    every input but alpha may have any size.
    """
    onnx, _ = packages()
    shapes = tuple({} if name == "alpha" or not batch else {0: torch.export.Dim.DYNAMIC} for name in inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.enable_grad():                   # whatever the caller's mode: the form of training is the one that exports
        program = torch.onnx.export(module.eval(), tuple(inputs.values()), dynamo=True, input_names=[*inputs], output_names=outputs,
                                    dynamic_shapes=shapes, verbose=False, optimize=False)
    import onnxscript.optimizer
    onnxscript.optimizer.optimize_ir(program.model, input_size_limit=INLINE, output_size_limit=INLINE)
    model = program.model_proto
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    places = {}
    for file, location in weights:
        places = places_of(file, location, of_file) | places
    nodes = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == "float32" and values.size > INLINE:
            for turned in (False, True)[:values.ndim]:
                if place := places.get((values.T if turned else values).tobytes()):
                    nodes += _point(onnx, tensor, turned, *place)
                    break
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def places_of(file, location, of_file=True):
    """Where the float tensors of a safetensors file lie, {their values as float32: (dtype, location, offset, bytes)}."""
    content = Path(file).read_bytes()
    size, = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in DTYPES:
            first, last = (8 + size + at for at in entry["data_offsets"])
            values = torch.frombuffer(bytearray(content[first:last]), dtype=DTYPES[entry["dtype"]]).float()
            found[values.numpy().tobytes()] = entry["dtype"], location, first - (0 if of_file else 8 + size), last - first
    return found


def _point(onnx, tensor, turned, dtype, location, offset, length):
    """Let an initializer point to a place in a file, where it lies as it is or `turned`, transposed. → the nodes that make of what
    lies there what the graph reads."""
    name, nodes = tensor.name, []
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    if dtype == "F16":
        tensor.name, tensor.data_type = f"{name}.half", onnx.TensorProto.FLOAT16
        result = f"{name}.turned" if turned else name
        nodes.append(onnx.helper.make_node("Cast", [tensor.name], [result], to=onnx.TensorProto.FLOAT))
    if turned:
        tensor.dims[:] = tensor.dims[::-1]
        tensor.name = tensor.name if nodes else f"{name}.turned"
        nodes.append(onnx.helper.make_node("Transpose", [f"{name}.turned"], [name]))
    return nodes


@torch.no_grad()
def difference(path, module, inputs):
    """The largest difference between a graph, computed by onnxruntime, and its module, in batches of one and three. Raises
    ValueError where it exceeds TOLERANCE."""
    _, onnxruntime = packages()
    session, largest = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), 0.0
    rng = torch.Generator().manual_seed(0)
    for n in (1, 3):
        given = {name: torch.rand(1, generator=rng) if name == "alpha" else
                 torch.randn(n, *example.shape[1:], generator=rng) if name != "c" else example[:1].repeat(n, 1)
                 for name, example in inputs.items()}
        expected = module(*given.values())
        found, = session.run(None, {name: value.numpy() for name, value in given.items()})
        largest = max(largest, (torch.from_numpy(found) - expected).abs().max().item())
    if not largest <= TOLERANCE:
        raise FormatError(f"{Path(path).name} computes something else than PyTorch: {largest:.1e} apart")
    return largest
