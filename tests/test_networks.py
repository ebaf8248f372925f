"""What the three generations of networks share: every layer can be watched, noise is resolved alike, wrong uses end in a
sentence."""
import pytest
import torch
import torch.nn.functional as F

from course_lib import ops
from course_lib.networks import layers, pggan, stylegan, stylegan2

SIZES = dict(channel_base=64, channel_max=8)
NETWORKS = {"pggan-G": lambda: pggan.Generator(16, 8, **SIZES), "pggan-D": lambda: pggan.Discriminator(16, **SIZES),
            "stylegan-G": lambda: stylegan.Generator(16, 8, 8, mapping_layers=2, **SIZES),
            "stylegan-D": lambda: stylegan.discriminator(16, **SIZES),
            "stylegan2-G": lambda: stylegan2.Generator(16, 8, 8, mapping_layers=2, **SIZES),
            "stylegan2-D": lambda: stylegan2.Discriminator(16, **SIZES)}
impls = pytest.mark.parametrize("impl", ["reference", "fused"])


def run(name, network, impl):
    """Whatever a network can draw or classify, so that each of its layers takes part."""
    with torch.no_grad():
        for options in [{}] if "2" in name else [dict(alpha=0.5, resolution=r) for r in (4, 8, 16)]:
            if name.endswith("G"):
                network(torch.randn(4, 8), impl=impl, **options)
            else:
                r = options.pop("resolution", 16)
                network(torch.randn(4, 3, r, r), impl=impl, **options)


@impls
@pytest.mark.parametrize("name", NETWORKS)
def test_a_hook_on_any_layer_fires_and_sees_what_the_layer_makes(name, impl):
    network, seen = NETWORKS[name](), {}
    with_weights = [(path, module) for path, module in network.named_modules()
                    if hasattr(module, "weight") or hasattr(module, "bias")]
    for path, module in with_weights:
        module.register_forward_hook(lambda module, inputs, out, path=path: seen.__setitem__(path, (inputs[0], out)))
    run(name, network, impl)
    assert [path for path, _ in with_weights if path not in seen] == []
    for path, module in with_weights:
        if type(module) is layers.EqualizedConv2d and module.resample is None:
            x, out = seen[path]
            exact = F.conv2d(x, module.weight * module.scale, padding=module.weight.shape[-1] // 2)
            assert torch.allclose(out, exact, atol=1e-5), path


@impls
@pytest.mark.parametrize("name", ["stylegan-G", "stylegan2-G"])
def test_noise_may_be_a_word_a_tensor_or_none_for_each_layer(name, impl):
    G = NETWORKS[name]()
    with torch.no_grad():
        for parameter in G.synthesis.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        ws = torch.randn(2, G.num_ws, 8)
        consts = [layer.noise_const for _, layer, _ in G.synthesis.style_layers() if hasattr(layer, "noise_const")]
        draw = lambda noise: G.synthesis(ws, noise=noise, impl=impl)
        assert torch.equal(draw(consts), draw("const")) and torch.equal(draw(["const"] * len(consts)), draw("const"))
        assert torch.equal(draw([const.expand(2, 1, -1, -1) for const in consts]), draw("const"))
        assert torch.equal(draw([None] * len(consts)), draw("none"))
        assert torch.equal(draw([0 * const for const in consts]), draw("none"))
        assert not torch.allclose(draw("const"), draw("none"))
        torch.manual_seed(0)
        images = draw("random")
        torch.manual_seed(0)
        assert torch.equal(draw([torch.randn(2, 1, *const.shape) for const in consts]), images)
        assert not torch.allclose(images[0], draw("random")[0])


@pytest.mark.parametrize("name", ["stylegan-G", "stylegan2-G"])
def test_noise_that_does_not_fit_is_named(name):
    G, w = NETWORKS[name](), torch.randn(1, 8)
    count = sum(hasattr(layer, "noise_const") for _, layer, _ in G.synthesis.style_layers())
    with pytest.raises(ValueError, match="noise is .*loud"):
        G.synthesis(w, noise="loud")
    with pytest.raises(ValueError, match=f"a list of 2.*; choose .* a list of {count}"):
        G.synthesis(w, noise=["none", "none"])
    with pytest.raises(ValueError, match=r"noise has shape \[3, 4\] where \[4, 4\] or \[N, 1, 4, 4\] is needed"):
        G.synthesis(w, noise=[torch.zeros(3, 4)] + ["none"] * (count - 1))


def test_the_rgb_of_every_resolution_sums_to_the_image():
    G, z = NETWORKS["stylegan2-G"](), torch.randn(2, 8)
    image, rgbs = G(z, noise="const", return_rgb=True)
    assert [rgb.shape[-1] for rgb in rgbs] == [4, 8, 16] and torch.equal(image, G(z, noise="const"))
    summed = rgbs[0]
    for rgb in rgbs[1:]:
        summed = ops.upsample2d(summed, G.synthesis.kernel) + rgb
    assert torch.allclose(summed, image, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_implementation_that_does_not_exist_is_named(name):
    with pytest.raises(ValueError, match='impl is \'plain\'; choose "fused" or "reference"'):
        run(name, NETWORKS[name](), "plain")


def test_pggan_says_that_it_has_no_mapping_network():
    G = NETWORKS["pggan-G"]()
    for name in ("mapping", "synthesis", "w_avg"):
        assert not hasattr(G, name)
        with pytest.raises(AttributeError, match=f"PGGAN has no {name}: it makes images from z itself; "
                                                 "choose a StyleGAN or StyleGAN2"):
            getattr(G, name)
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = G.colour
