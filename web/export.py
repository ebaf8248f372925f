"""Writes web/graphs: what the explorers of the site compute, without weights.

    pip install -r web/requirements.txt
    python web/export.py                every graph
    python web/export.py descents       those of one function below

A graph's weights are external data inside the course's own files in `data/`, where a browser fetches them; offsets count from the
start of a file's tensors. `index.json` says for each graph which files it reads, by the name that the graph calls them, and their
sha256: when one has changed, a test fails until this command has run again.
"""
import hashlib
import json
import struct
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from course_lib import clip, styleclip, zoo
from course_lib.metrics import oracle_distance
from course_lib.networks import pggan
from course_lib.styleclip.losses import clip_distance, hinge, identity_loss, preservation_loss
from course_lib.zoo.formats import onnx

GRAPHS = Path(__file__).parent / "graphs"
VIEWS = 4                                       # of `styleclip.optimize`
STAGES = {8: "8", 16: "16", 32: "32", 64: "G"}
ALONE = "descend", "styles-back"                # graphs of one portrait
NEW = "new.bin"                                 # an untrained block's weights, which the page draws


class Function(nn.Module):
    """A function of one or two tensors as a module; networks: those that it calls, whose weights the graph needs."""

    def __init__(self, function, *networks):
        super().__init__()
        self.function, self.networks = function, nn.ModuleList(networks)

    def forward(self, x, y=None):
        return self.function(x) if y is None else self.function(x, y)


def style_based(name):
    """Mapping, styles and synthesis of a generator."""
    G = zoo.load(name)
    return {f"{name}.{part}": (*found, {name: [zoo.file(name)]}) for part, found in onnx.parts(G).items()}


def growing():
    """The stages of PGGAN, and each with an untrained last block, whose weights lie in NEW."""
    found, parts = {}, zoo.cards()["pggan-portraits-64"]["files"]
    for r, part in STAGES.items():
        G, before = (zoo.load("pggan-portraits-64", p) for p in (part, str(r // 2)))
        z, alpha = torch.randn(2, G.z_dim), torch.ones(1)
        found[f"pggan-{r}"] = onnx.Growing(G), {"z": z, "alpha": alpha}, ["images"], {
            "stage": [zoo.file("pggan-portraits-64", p) for p in (part, f"fading-{r}") if p in parts]}
        torch.manual_seed(r)                                            # any values that are nowhere else
        new = pggan.Generator(r, z_dim=G.z_dim, channels={s: getattr(G, f"b{s}").conv1.weight.shape[0] for s in G.resolutions})
        new.load_state_dict(before.state_dict(), strict=False)
        block = Path(tempfile.gettempdir()) / f"block-{r}.safetensors"
        zoo.save(block, {name: p for name, p in new.state_dict().items() if name.startswith(f"b{r}.")}, "block", replace=True)
        found[f"pggan-new-{r}"] = onnx.Growing(new.eval()), {"z": z, "alpha": alpha}, ["images"], {
            "stage": [zoo.file("pggan-portraits-64", str(r // 2))], NEW: [block]}
    return found


def texts():
    """CLIP's text tower: token numbers [N, context] → unit vectors [N, D]."""
    network = clip.load("clip-portraits")
    encode = Function(lambda tokens: F.normalize(network.model.encode_text(tokens), dim=-1), network.model)
    tokens = network.tokenize(["a person", "a person with glasses"])
    return {"clip-text": (encode, {"tokens": tokens}, ["features"], {"clip-portraits": [zoo.file("clip-portraits")]})}


def mappers():
    """A mapper's offsets for each set of levels: ws [N, num_ws, w_dim] → [N, num_ws, w_dim]. The files of a set have one layout."""
    found = {}
    ws = torch.randn(2, 10, 256)
    for name in zoo.names():
        if name.startswith("mapper-"):
            mapper = zoo.load(name)
            graph = "mapper-" + "-".join(mapper.levels)
            if graph not in found:
                found[graph] = Function(mapper.offsets, mapper), {"ws": ws}, ["offsets"], {"mapper": []}
            found[graph][3]["mapper"].append(zoo.file(name))
    return found


def distances():
    """The oracle's distance between images a and b, [N, 3, 64, 64] → [N]."""
    oracle = zoo.load("oracle-portraits-64")
    images = {name: torch.rand(2, 3, 64, 64) * 2 - 1 for name in "ab"}
    return {"oracle-distance": (Function(oracle_distance(oracle), oracle), images, ["distance"],
                                {"oracle-portraits-64": [zoo.file("oracle-portraits-64")]})}


def descents():
    """A step of latent optimization: the image of one portrait's styles, its losses, and the gradient of their sum but for L2. And
    the way of a gradient from the styles back to ws."""
    names = "stylegan2-portraits-64", "clip-portraits", "identity-portraits-64"
    G, clip_model, identity = zoo.load(names[0]), clip.load(names[1]), zoo.load(names[2])
    synthesis = onnx.Synthesis(G)
    side, channels, pixels = G.resolution, sum(synthesis.channels), sum(s * s for s in synthesis.sides)

    def descend(styles, noise, text, source, person, corners, shares, grain, target, weights):
        """styles [1, channels], noise [1, pixels]; text, source [1, D] of CLIP and person [1, D] of the identity network are unit
        vectors. A view: for each of its pixels the four of the image that it lies between, [views, pixels, 4], and their shares,
        and grain, its noise. target [1]: the similarity at which D_CLIP ends. weights: λ_ID and `preserve_weight`."""
        moved = styles.detach().requires_grad_()
        with torch.enable_grad():
            images = synthesis(moved, noise)
            seen = images.clamp(-1, 1)
            between = seen.flatten(2)[0].gather(1, corners.flatten()[None].expand(3, -1)).view(3, len(grain), -1, 4)
            views = (between * shares).sum(dim=-1).transpose(0, 1).unflatten(2, (side, side)) + grain
            features, vector = clip_model.encode_images(torch.cat([views, seen])), identity(images)
            terms = [clip_distance(features[:-1], text).mean(dim=0, keepdim=True), identity_loss(vector, person),
                     preservation_loss(features[-1:], source, text)]
            total = hinge(terms[0], target) + weights[0] * terms[1] + weights[1] * terms[2]
            gradient, = torch.autograd.grad(total.sum(), moved)
        return [t.detach() for t in (images, torch.cat(terms), gradient, features[-1:], vector)]

    unit = lambda size: F.normalize(torch.randn(1, size), dim=1)
    inputs = {"styles": torch.randn(1, channels), "noise": torch.randn(1, pixels), "text": unit(192), "source": unit(192),
              "person": unit(128), "corners": torch.randint(side ** 2, (VIEWS, side ** 2, 4)),
              "shares": torch.rand(VIEWS, side ** 2, 4), "grain": torch.randn(VIEWS, 3, side, side), "target": torch.ones(1),
              "weights": torch.ones(2)}
    clip_model.train().model.eval()                     # so that neither network looks at the values of its images
    identity.train()
    for network in identity.layers, identity.dense:
        network.eval()
    with mock.patch.object(torch.compiler, "is_compiling", lambda: True), sdpa_kernel(SDPBackend.MATH):
        traced = make_fx(descend, decomposition_table=dict(core_aten_decompositions()) | BACKWARDS)(*inputs.values())

    def back(gradient):
        """The gradient of the styles [1, channels] → that of ws [1, num_ws, w_dim]: the transposed affine layers."""
        found = [0] * G.num_ws
        for part, (_, layer, index) in zip(gradient.split(synthesis.channels, dim=1), G.synthesis.style_layers()):
            found[index] = found[index] + part @ (layer.affine.weight * layer.affine.scale)
        return torch.stack(found, dim=1)

    outputs = ["images", "terms", "gradient", "features", "vector"]
    return {"descend": (traced, inputs, outputs, {name: [zoo.file(name)] for name in names}),
            "styles-back": (Function(back, G), {"gradient": torch.randn(1, channels)}, ["ws"], {names[0]: [zoo.file(names[0])]})}


def convolution_backward(grad, x, weight, biases, stride, padding, dilation, transposed, output_padding, groups, mask):
    """The gradient of a convolution's input, as a convolution: that of its weights is not asked for."""
    if mask[1] or mask[2]:
        raise ValueError("the weights of a descent do not learn")
    missing = [0, 0] if transposed else [
        size - (out - 1) * step + 2 * pad - (kernel - 1) * spread - 1 for size, out, step, pad, kernel, spread in
        zip(x.shape[2:], grad.shape[2:], stride, padding, weight.shape[2:], dilation)]
    return torch.ops.aten.convolution(grad, weight, None, stride, padding, dilation, not transposed, missing, groups), None, None


def avg_pool2d_backward(grad, x, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    """The gradient of the means of squares that do not overlap."""
    if list(stride or kernel) != list(kernel) or any(padding):
        raise ValueError("the squares overlap")
    return grad.repeat_interleave(kernel[0], 2).repeat_interleave(kernel[1], 3) / (kernel[0] * kernel[1])


BACKWARDS = {torch.ops.aten.convolution_backward.default: convolution_backward,
             torch.ops.aten.avg_pool2d_backward.default: avg_pool2d_backward}
PARTS = {"generators": lambda: style_based("stylegan2-portraits-64") | style_based("stylegan-portraits-64"), "growing": growing,
         "texts": texts, "mappers": mappers, "distances": distances, "descents": descents}


def samples():
    """CLIP's embeddings of 200 portraits of the generator, from which lesson 08 takes its similarity target."""
    G, clip_model = zoo.load("stylegan2-portraits-64"), clip.load("clip-portraits")
    return styleclip.embed_samples(G, clip_model, samples=200).numpy().tobytes()


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def layout(path):
    """Where each tensor of a safetensors file lies, from the start of its tensors: {name: [shape, first byte]}."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    return {name: [entry["shape"], entry["data_offsets"][0]] for name, entry in header.items() if name != "__metadata__"}


def written(name, module, inputs, outputs, files):
    """Write a graph. → its entry of the index: its files by the name that it calls them; those of one name have one layout."""
    places = [(paths[0], location) for location, paths in files.items()]
    model = onnx.graph(module, inputs, outputs, places, of_file=False, batch=name not in ALONE)
    (GRAPHS / f"{name}.onnx").write_bytes(model.SerializeToString())
    print(f"{name}: {model.ByteSize():,} bytes", flush=True)
    read = {location: paths for location, paths in files.items() if location != NEW}
    entry = {"files": {location: {path.name: sha256(path) for path in paths} for location, paths in read.items()}}
    return entry | ({"block": layout(files[NEW][0])} if NEW in files else {})


def main(chosen):
    GRAPHS.mkdir(exist_ok=True)
    path = GRAPHS / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {"graphs": {}}
    for part in chosen or PARTS:
        for name, found in PARTS[part]().items():
            index["graphs"][name] = written(name, *found)
    if not chosen or "descents" in chosen:
        (GRAPHS / "samples.bin").write_bytes(samples())
    index["templates"] = clip.TEMPLATES
    path.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
