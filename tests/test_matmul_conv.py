"""Convolutions as matrix products, and what the fast forms keep of a weight that stays as it is."""
import copy
import gc
import mmap
import platform
import subprocess
import sys
import weakref

import pytest
import torch
import torch.nn.functional as F

from course_lib import fused, ops
from course_lib.fused import cpu_cache, matmul_conv
from course_lib.networks import stylegan2

NAMES = {matmul_conv.IM2COL: "im2col", matmul_conv.WINOGRAD2: "winograd 2", matmul_conv.WINOGRAD4: "winograd 4",
         matmul_conv.UPSAMPLED: "upsampled"}
OF = {name: form.matrices for form, name in NAMES.items()} | {"channels last": cpu_cache.channels_last}
KERNEL = torch.outer(*torch.tensor([[1, 2, 4, 3]] * 2, dtype=torch.float64)) / 100         # not the same from both sides


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("shape", [(1, 4, 4), (9, 16, 16), (3, 20, 36), (2, 64, 48), (1, 8, 1024)], ids=str)
@pytest.mark.parametrize("form", [matmul_conv.IM2COL, matmul_conv.WINOGRAD2, matmul_conv.WINOGRAD4], ids=NAMES.get)
def test_products_are_convolutions(form, shape, dtype, tolerance, memory_format):
    n, h, w = shape
    x, weight = draw(n, 130, h, w, dtype=dtype), draw(6, 130, 3, 3, seed=1, dtype=dtype)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    out = form.conv2d(x.contiguous(memory_format=memory_format), form.matrices(weight))
    assert out.shape == exact.shape and out.dtype == dtype
    assert (out - exact).abs().max() < tolerance * exact.abs().max()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("shape", [(1, 4, 4), (9, 16, 16), (3, 20, 36), (70, 4, 4), (1, 3, 64)], ids=str)
def test_products_are_convolutions_that_upsample(shape, dtype, tolerance, memory_format):
    n, h, w = shape
    x, weight = draw(n, 130, h, w, dtype=dtype), draw(6, 130, 3, 3, seed=1, dtype=dtype)
    exact = ops.upfirdn2d(F.conv_transpose2d(x.double(), weight.transpose(0, 1).double(), stride=2), KERNEL, padding=1, gain=4)
    form = matmul_conv.UPSAMPLED
    out = form.conv2d(x.contiguous(memory_format=memory_format), form.matrices(weight), kernel=KERNEL.to(dtype))
    assert out.shape == exact.shape == (n, 6, 2 * h, 2 * w) and out.dtype == dtype
    assert (out - exact).abs().max() < tolerance * exact.abs().max()


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (64, 64), (80, 72)], ids=str)
def test_maps_are_upsampled_by_products_and_by_transposed_convolutions(size):
    x = draw(2, 3, *size, dtype=torch.float64)
    exact = ops.upsample2d(x, KERNEL)
    assert torch.allclose(fused.upsample2d(x, KERNEL), exact, atol=1e-13)
    assert torch.allclose(fused.upsample2d(x.float(), KERNEL.float()), exact.float(), atol=1e-5)


# What is kept

def frozen_layer(up=1, resolution=16, dtype=torch.float32):
    torch.manual_seed(0)
    return stylegan2.StyledConv(128, 12, 8, resolution, up=up).to(dtype).requires_grad_(False)


LAYERS = {"im2col": lambda: frozen_layer(resolution=8), "winograd 2": frozen_layer,
          "winograd 4": lambda: frozen_layer(resolution=20),
          "upsampled": lambda: frozen_layer(up=2), "channels last": lambda: frozen_layer(resolution=18)}


def outputs(layer, batch=2):
    """The layer in its reference and its fused form."""
    size = layer.noise_const.shape[0] // layer.up
    x, style = draw(batch, 128, size, size).to(layer.weight.dtype), draw(batch, 128, seed=1).to(layer.weight.dtype)
    return [layer(x, style, layer.noise_const, impl) for impl in ("reference", "fused")]


def agree(expected, other):
    return (expected - other).abs().max() < 1e-5 * expected.abs().max()


def swap_rows(weight):
    weight[[0, 1]] = weight[[1, 0]].clone()


def swap_taps(weight):
    weight[:] = weight.flip(3)


def one_tap(weight):
    weight[3, 5, 1, 2] += 3


def other_data(weight):
    weight.data = 2 + weight.data


def under_inference_mode(weight):
    with torch.inference_mode():
        weight[2, :, 1].mul_(3)


def steps(layer):
    layer.weight.requires_grad_()
    layer.weight.grad = draw(*layer.weight.shape, seed=4)
    torch.optim.SGD([layer.weight], lr=0.5).step()
    layer.weight.requires_grad_(False)


EDITS = {"in place": lambda layer: layer.weight[1].neg_(),
         "copy": lambda layer: layer.weight.copy_(draw(*layer.weight.shape, seed=3)),
         "load": lambda layer: layer.load_state_dict({name: value.flip(0) for name, value in layer.state_dict().items()}),
         "rows": lambda layer: swap_rows(layer.weight), "taps": lambda layer: swap_taps(layer.weight),
         "one tap": lambda layer: one_tap(layer.weight), "other data": lambda layer: other_data(layer.weight),
         "double": lambda layer: layer.double(), "inference": lambda layer: under_inference_mode(layer.weight), "optimizer": steps}


@torch.no_grad()
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", LAYERS)
def test_an_edited_weight_is_not_taken_from_memory(name, edit):
    layer = LAYERS[name]()
    before = outputs(layer)
    cached = cpu_cache.CACHE[layer.weight]
    assert agree(*before) and OF[name] in cached[1]
    assert agree(*outputs(layer)) and cpu_cache.CACHE[layer.weight] is cached             # nothing is made twice
    EDITS[edit](layer)
    after = outputs(layer)
    assert agree(*after)
    if edit != "double":
        assert not agree(before[0], after[0])


@torch.no_grad()
def test_an_edit_that_rounding_hides_counts_where_pytorch_counts_it():
    layer = frozen_layer()
    outputs(layer)
    cached = cpu_cache.CACHE[layer.weight]
    layer.weight[3, 5, 1, 2] *= 1 + 2 ** -23
    outputs(layer)
    assert cpu_cache.CACHE[layer.weight] is not cached
    assert torch.equal(cpu_cache.CACHE[layer.weight][1][OF["winograd 2"]], matmul_conv.winograd(layer.weight, 2))


@torch.no_grad()
def test_half_precision_in_between_is_noticed():
    layer = frozen_layer()
    outputs(layer)
    matrices = cpu_cache.CACHE[layer.weight][1][OF["winograd 2"]]
    layer.half().float()
    outputs(layer)
    assert not torch.equal(matrices, cpu_cache.CACHE[layer.weight][1][OF["winograd 2"]])
    assert torch.equal(cpu_cache.CACHE[layer.weight][1][OF["winograd 2"]], matmul_conv.winograd(layer.weight, 2))


@torch.no_grad()
def test_a_copy_keeps_its_own():
    layer = frozen_layer()
    before = outputs(layer)
    other = copy.deepcopy(layer)
    other.weight.data.mul_(torch.linspace(1, 2, 128)[:, None, None])
    edited = outputs(other)
    assert agree(*edited) and not agree(before[0], edited[0])
    assert torch.equal(outputs(layer)[1], before[1])


@torch.no_grad()
def test_what_is_cached_is_freed_with_the_weight():
    layer = frozen_layer()
    outputs(layer)
    cached = [weakref.ref(tensor) for tensor in cpu_cache.CACHE[layer.weight][1].values()]
    assert len(cached) == 2 and all(reference() is not None for reference in cached)
    del layer
    gc.collect()
    assert all(reference() is None for reference in cached)


def test_what_inference_mode_cached_serves_outside():
    layer = frozen_layer()
    with torch.inference_mode():
        inside = outputs(layer)[1]
    cached = cpu_cache.CACHE[layer.weight]
    assert not any(tensor.is_inference() for tensor in cached[1].values())
    with torch.no_grad():
        assert torch.equal(outputs(layer)[1], inside) and cpu_cache.CACHE[layer.weight] is cached
    plain, other = outputs(layer)
    assert agree(plain, inside) and agree(plain, other)


@torch.no_grad()
def test_only_frozen_weights_are_cached():
    layer = frozen_layer().requires_grad_()
    assert agree(*outputs(layer)) and layer.weight not in cpu_cache.CACHE
    with torch.inference_mode():
        layer = frozen_layer()
        assert agree(*outputs(layer)) and layer.weight not in cpu_cache.CACHE
    layer = frozen_layer(dtype=torch.bfloat16)
    outputs(layer)
    assert OF["winograd 2"] not in cpu_cache.CACHE[layer.weight][1]
    layer = frozen_layer()
    outputs(layer)
    assert layer.weight in cpu_cache.CACHE


# Whole generators

def generator(clamp):
    torch.manual_seed(0)
    G = stylegan2.Generator(64, z_dim=16, w_dim=16, mapping_layers=1, conv_clamp=clamp,
                            channels={4: 160, 8: 160, 16: 144, 32: 128, 64: 128}).requires_grad_(False)
    for _, layer, _ in G.synthesis.style_layers():
        layer.bias.normal_()
        if hasattr(layer, "noise_strength"):
            layer.noise_strength.fill_(0.3)
    return G


@torch.no_grad()
@pytest.mark.parametrize("clamp", [None, 0.9])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("noise", ["random", "const", "none", "list"])
def test_generators_draw_the_same_images_with_cached_forms(noise, batch, clamp):
    G, z, images = generator(clamp), draw(batch, 16, seed=5), []
    if noise == "list":
        noise = [draw(batch, 1, r, r, seed=r + i) for r in (4, 8, 16, 32, 64) for i in range(1 if r == 4 else 2)]
    for impl in ("reference", "fused", "fused"):
        torch.manual_seed(6)
        images.append(G(z, noise=noise, impl=impl))
    weights = [layer.weight for _, layer, _ in G.synthesis.style_layers() if hasattr(layer, "noise_strength")]
    assert set().union(*(cpu_cache.CACHE[weight][1] for weight in weights)) == {cpu_cache.half_energy, *OF.values()}
    assert (images[0] - images[1]).abs().max() < 1e-5 * images[0].abs().max() and torch.equal(images[1], images[2])


@torch.no_grad()
def test_of_a_network_that_learns_nothing_is_cached():
    G, z = generator(None), draw(2, 16)
    frozen = G(z, noise="const")
    learning = copy.deepcopy(G).requires_grad_()
    images = learning(z, noise="const")
    weights = [layer.weight for _, layer, _ in learning.synthesis.style_layers()]
    assert not any(weight in cpu_cache.CACHE for weight in weights) and (images - frozen).abs().max() < 1e-5 * frozen.abs().max()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_large_maps_take_memory_from_the_system_once():
    """In a process of its own, for it is asked once: the pages that are new to an image, the median of nine. Now and then
    the allocator still asks for one block more, as it pleases; without the limits every image takes all of its blocks anew."""
    code = """if True:
        import resource, statistics, torch
        from course_lib.networks import stylegan2
        layer = stylegan2.StyledConv(32, 32, 8, 512).requires_grad_(False)
        x, style, pages = torch.randn(1, 32, 512, 512), torch.randn(1, 32), [0]
        with torch.no_grad():
            for _ in range(11):
                layer(x, style, layer.noise_const)
                pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        print(statistics.median(b - a for a, b in zip(pages[2:], pages[3:], strict=False)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pages = 32 * 512 ** 2 * 4 // mmap.PAGESIZE
    assert float(done.stdout) < pages / 10


@pytest.mark.parametrize("clamp", [None, 0.9])
@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_of_frozen_generators_are_those_of_the_plain_path_and_so_are_the_gradients_of_these(batch, clamp):
    G, found = generator(clamp).double(), []
    ws = draw(batch, G.num_ws, 16, dtype=torch.float64)
    noise = [draw(batch, 1, r, r, dtype=torch.float64) for r in (4, 8, 8, 16, 16, 32, 32, 64, 64)]
    y = draw(batch, 3, 64, 64, seed=7, dtype=torch.float64)
    for impl in ("reference", "fused"):
        inputs = [x.clone().requires_grad_() for x in (ws, *noise)]
        images = G.synthesis(inputs[0], noise=inputs[1:], impl=impl)
        first = torch.autograd.grad((images * y).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        found.append([images, *first, *second])
    for exact, other in zip(*found, strict=True):
        assert (exact - other).abs().max() <= 1e-11 * exact.abs().max()


def test_a_gradient_reaches_latents_through_every_cached_form():
    G = generator(None)
    ws = draw(1, G.num_ws, 16).requires_grad_()
    G.synthesis(ws, noise="const").sum().backward()
    forms = set().union(*(cpu_cache.CACHE[layer.weight][1] for _, layer, _ in G.synthesis.style_layers()
                          if hasattr(layer, "noise_strength")))
    assert forms == {cpu_cache.half_energy, *OF.values(), *(form.adjoint for form in NAMES if form.adjoint)}
    assert ws.grad.abs().amin() > 0
