"""Convolutions as matrix products, and what the fast forms keep of a weight that stays as it is."""
import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F

from course_lib import fast, products
from course_lib.networks import stylegan2

FORMS = {(products.im2col, products.im2col_conv2d): lambda x, weight: F.conv2d(x, weight, padding=1),
         (products.winograd, products.winograd_conv2d): lambda x, weight: F.conv2d(x, weight, padding=1),
         (products.col2im, products.col2im_conv2d): lambda x, weight: F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)}


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("shape", [(1, 4, 4), (9, 16, 16), (3, 20, 36), (2, 64, 48), (1, 8, 1024)], ids=str)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[0].__name__)
def test_products_are_convolutions(form, shape, dtype, tolerance, memory_format):
    (n, h, w), (to_matrices, convolve) = shape, form
    x, weight = draw(n, 130, h, w, dtype=dtype), draw(6, 130, 3, 3, seed=1, dtype=dtype)
    exact = FORMS[form](x.double(), weight.double())
    out = convolve(x.contiguous(memory_format=memory_format), to_matrices(weight))
    assert out.shape == exact.shape and out.dtype == dtype
    assert (out - exact).abs().max() < tolerance * exact.abs().max()


# What is kept

def frozen_layer(up=1, resolution=16, dtype=torch.float32):
    torch.manual_seed(0)
    return stylegan2.StyledConv(128, 12, 8, resolution, up=up).to(dtype).requires_grad_(False)


LAYERS = {"im2col": lambda: frozen_layer(resolution=8), "winograd": frozen_layer, "col2im": lambda: frozen_layer(up=2)}


def outputs(layer, batch=2):
    """The layer in its plain and its fast form."""
    size = layer.noise_const.shape[0] // layer.up
    x, style = draw(batch, 128, size, size).to(layer.weight.dtype), draw(batch, 128, seed=1).to(layer.weight.dtype)
    return [layer(x, style, "const", plain) for plain in (True, False)]


def agree(plain, other):
    return (plain - other).abs().max() < 1e-5 * plain.abs().max()


def swap_rows(weight):
    weight.data[[0, 1]] = weight.data[[1, 0]].clone()


def swap_taps(weight):
    weight.data[:] = weight.data.flip(3)


def one_tap(weight):
    weight.data[3, 5, 1, 2] += 3


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
         "one tap": lambda layer: one_tap(layer.weight), "data": lambda layer: layer.weight.data.add_(1),
         "other data": lambda layer: other_data(layer.weight), "double": lambda layer: layer.double(),
         "inference": lambda layer: under_inference_mode(layer.weight), "optimizer": steps}


@torch.no_grad()
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", LAYERS)
def test_an_edited_weight_is_not_taken_from_memory(name, edit):
    layer = LAYERS[name]()
    before = outputs(layer)
    kept = fast._CACHE[layer.weight]
    assert agree(*before) and kept[0][0].__name__ == name
    assert agree(*outputs(layer)) and fast._CACHE[layer.weight] is kept               # nothing is made twice
    EDITS[edit](layer)
    after = outputs(layer)
    assert agree(*after)
    if edit != "double":
        assert not agree(before[0], after[0])


@torch.no_grad()
def test_an_edit_that_rounding_hides_counts_where_pytorch_counts_it():
    layer = frozen_layer()
    outputs(layer)
    kept = fast._CACHE[layer.weight]
    layer.weight[3, 5, 1, 2] *= 1 + 2 ** -23
    outputs(layer)
    assert fast._CACHE[layer.weight] is not kept and torch.equal(fast._CACHE[layer.weight][1][1], products.winograd(layer.weight))


@torch.no_grad()
def test_half_precision_in_between_is_noticed():
    layer = frozen_layer()
    outputs(layer)
    kept = fast._CACHE[layer.weight][1][1]
    layer.half().float()
    outputs(layer)
    assert not torch.equal(kept, fast._CACHE[layer.weight][1][1])
    assert torch.equal(fast._CACHE[layer.weight][1][1], products.winograd(layer.weight))


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
def test_what_is_kept_is_freed_with_the_weight():
    layer = frozen_layer()
    outputs(layer)
    kept = [weakref.ref(tensor) for tensor in fast._CACHE[layer.weight][1]]
    assert all(reference() is not None for reference in kept)
    del layer
    gc.collect()
    assert all(reference() is None for reference in kept)


def test_what_inference_mode_kept_serves_outside():
    layer = frozen_layer()
    with torch.inference_mode():
        inside = outputs(layer)[1]
    kept = fast._CACHE[layer.weight]
    assert not any(tensor.is_inference() for tensor in kept[1])
    with torch.no_grad():
        assert torch.equal(outputs(layer)[1], inside) and fast._CACHE[layer.weight] is kept
    plain, other = outputs(layer)                                                    # with gradients the other way
    assert agree(plain, inside) and agree(plain, other)


@torch.no_grad()
def test_only_frozen_weights_are_kept():
    layer = frozen_layer().requires_grad_()
    assert agree(*outputs(layer)) and layer.weight not in fast._CACHE
    with torch.inference_mode():
        layer = frozen_layer()
        assert agree(*outputs(layer)) and layer.weight not in fast._CACHE
    layer = frozen_layer(dtype=torch.bfloat16)
    outputs(layer)
    assert layer.weight not in fast._CACHE
    layer = frozen_layer()
    outputs(layer)
    assert layer.weight in fast._CACHE


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
def test_generators_draw_the_same_images_with_kept_forms(noise, batch, clamp):
    G, z, images = generator(clamp), draw(batch, 16, seed=5), []
    if noise == "list":
        noise = [draw(batch, 1, r, r, seed=r + i) for r in (4, 8, 16, 32, 64) for i in range(1 if r == 4 else 2)]
    for plain in (True, False, False):
        torch.manual_seed(6)
        images.append(G(z, noise=noise, plain=plain))
    weights = [layer.weight for _, layer, _ in G.synthesis.style_layers() if hasattr(layer, "noise_strength")]
    assert {fast._CACHE[weight][0][0] for weight in weights} == {products.im2col, products.col2im, products.winograd}
    assert (images[0] - images[1]).abs().max() < 1e-5 * images[0].abs().max() and torch.equal(images[1], images[2])


@torch.no_grad()
def test_a_network_that_learns_takes_the_other_path(monkeypatch):
    G, z = generator(None), draw(2, 16)
    kept = G(z, noise="const")
    monkeypatch.setattr(fast, "_cached", None)
    with pytest.raises(TypeError):
        G(z, noise="const")
    images = G.requires_grad_()(z, noise="const")
    assert (images - kept).abs().max() < 1e-5 * kept.abs().max()
