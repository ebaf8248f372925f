"""Parity of PGGAN, StyleGAN, WGAN-GP and the growing schedule with the official code (tests/golden)."""
import json

import pytest
import torch

from course_lib import fused, losses, ops
from course_lib.networks import layers
from course_lib.training import schedule
from course_lib.zoo.formats import growing_layouts
from golden_data import FOLDER, assert_golden, filled, load, rule_input

INFO, GOLDEN = load("progan_stylegan1")
CASES = {case["name"]: case for case in INFO["cases"]}
EXACT, E = 1e-9, 2e-5
BUILD = {"progan_fused": (growing_layouts.pggan_generator, growing_layouts.pggan_discriminator),
         "progan_unfused": (growing_layouts.pggan_generator, growing_layouts.pggan_discriminator),
         "stylegan1": (growing_layouts.stylegan_generator, growing_layouts.stylegan_discriminator)}


def networks(name, dtype=torch.float32):
    states = [filled(INFO["networks"][name][part]["state"], INFO["networks"][name][part]["seed"]) for part in "GD"]
    return [build(state).to(dtype) for build, state in zip(BUILD[name], states)]


def case(name):
    """Inputs as float64, and outputs."""
    info = CASES[name]
    return [{key: GOLDEN[f"{name}/{key}"].double() for key in info.get(part, ())} for part in ("inputs", "outputs")]


def enlarged(images, resolution):
    return ops.upscale2d(images, resolution // images.shape[-1])


def growth(lod, resolution=16):
    """The official level of detail as (resolution, alpha): lod 1.6 is 8 px, 40 % faded in."""
    whole = int(lod)
    return resolution >> whole, 1 - (lod - whole)


@pytest.mark.parametrize("impl", ["reference", "fused"])
@pytest.mark.parametrize("name", ["progan_fused", "progan_unfused"])
def test_pggan_matches_at_every_level_of_growth(name, impl):
    G, D = networks(name)
    reals = rule_input(CASES[name]["args"]["d_images"])
    for lod in CASES[name]["args"]["lods"]:
        resolution, alpha = growth(lod)
        with torch.no_grad():
            images = G(GOLDEN[f"{name}/z"], resolution=resolution, alpha=alpha, impl=impl)
            assert_golden(enlarged(images, 16), GOLDEN[f"{name}/img_lod{lod}"], E, what=lod)
            logits = D(ops.downscale2d(reals, 16 // resolution), alpha=alpha, impl=impl)
            assert_golden(logits[:, None], GOLDEN[f"{name}/scores_lod{lod}"], E, absolute=1e-6, what=lod)


@pytest.mark.parametrize("impl", ["reference", "fused"])
def test_stylegan_matches_at_every_level_of_growth(impl):
    G, D = networks("stylegan1")
    args = CASES["stylegan1"]["args"]
    reals = rule_input(args["d_images"])
    with torch.no_grad():
        w = G.mapping(GOLDEN["stylegan1/z"])
        assert_golden(w, GOLDEN["stylegan1/w"], E)
        ws = ops.truncate(w[:, None].expand(-1, G.num_ws, -1), G.w_avg, args["truncation_psi"], args["truncation_cutoff"])
        assert_golden(ws, GOLDEN["stylegan1/dlatents_truncated"], E)
        images = G(GOLDEN["stylegan1/z"], psi=args["truncation_psi"], cutoff=args["truncation_cutoff"], noise="const",
                   impl=impl)
        assert_golden(images, GOLDEN["stylegan1/img_truncated_lod0.0"], E)
        for lod in args["lods"]:
            resolution, alpha = growth(lod)
            images = G.synthesis(GOLDEN["stylegan1/w_plus"], noise="const", resolution=resolution, alpha=alpha, impl=impl)
            assert_golden(enlarged(images, 16), GOLDEN[f"stylegan1/img_wplus_lod{lod}"], E, what=lod)
            logits = D(ops.downscale2d(reals, 16 // resolution), alpha=alpha, impl=impl)
            assert_golden(logits[:, None], GOLDEN[f"stylegan1/scores_lod{lod}"], E, absolute=1e-6, what=lod)


@pytest.mark.parametrize("impl", ["reference", "fused"])
def test_every_layer_of_stylegan_matches(impl):
    G, _ = networks("stylegan1")
    names = {"b4.conv0": "4x4/Const", "b4.conv1": "4x4/Conv", "b8.conv0": "8x8/Conv0_up", "b8.conv1": "8x8/Conv1",
             "b16.conv0": "16x16/Conv0_up", "b16.conv1": "16x16/Conv1"}
    seen = {}
    for name, layer, _ in G.synthesis.style_layers():
        layer.register_forward_hook(lambda module, inputs, out, name=name: seen.__setitem__(name, out))
    with torch.no_grad():
        G.synthesis(GOLDEN["stylegan1/w_plus"], noise="const", impl=impl)
        images = G.synthesis(styles=G.styles(GOLDEN["stylegan1/w_plus"]), noise="const", impl=impl)
    for name, official in names.items():
        assert_golden(seen[name][:1], GOLDEN[f"stylegan1/tap_wplus/{official}"], E, what=name)
    assert_golden(images, GOLDEN["stylegan1/img_wplus_lod0.0"], E)


@pytest.mark.parametrize("name", ["pixel_norm", "pixel_norm_tiny"])
def test_pixel_norm_matches(name):
    x, out = case(name)
    assert_golden(ops.pixel_norm(x["x"]), out["out"], EXACT)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("mbstd")])
def test_minibatch_stddev_matches(name):
    x, out = case(name)
    args = CASES[name]["args"]
    appended = ops.minibatch_stddev(x["x"], args["group_size"], args["num_new_features"])[:, x["x"].shape[1]:]
    assert_golden(appended, out["appended"], EXACT)


def test_equalized_scales_match():
    for row in INFO["equalized_lr"]:
        shape = row["weight_shape"]
        fused = row["fan_in_override"] is not None                 # stored [k, k, out, in]
        official = [shape[2], *shape[:2], shape[3]] if fused else [shape[-1], *shape[:-1]]
        assert ops.equalized_scale(official, row["gain"]) == pytest.approx(row["he_std"], rel=1e-12)
        layer = (layers.EqualizedDense(*official[::-1], gain=row["gain"], lr_mult=row["lrmul"]) if len(official) == 2 else
                 layers.Equalized(*official, gain=row["gain"]))
        assert layer.scale == pytest.approx(row["runtime_coefficient"], rel=1e-12)
        if layer.weight.numel() > 10_000:
            assert layer.weight.std().item() == pytest.approx(row["init_std"], rel=0.02)


def test_equalized_layers_match():
    for name, gain in [("conv_equalized", 2 ** 0.5), ("dense_equalized", 1.0), ("dense_lrmul", 2 ** 0.5)]:
        x, out = case(name)
        weight = x["w"].permute(3, 2, 0, 1) if x["w"].ndim == 4 else x["w"].t()
        o, i = weight.shape[:2]
        layer = (layers.EqualizedConv2d(i, o, gain=gain) if weight.ndim == 4 else
                 layers.EqualizedDense(i, o, gain=gain, lr_mult=CASES[name]["args"].get("lrmul", 1))).double()
        layer.weight.data.copy_(weight)
        assert_golden(layer(x["x"] if weight.ndim == 4 else x["x"].flatten(1)), out["out"], EXACT, what=name)


def test_resampling_matches():
    x, out = case("upscale_nearest")
    assert_golden(ops.upscale2d(x["x"]), out["out2"], EXACT)
    assert_golden(ops.upscale2d(x["x"], 4), out["out4"], EXACT)
    x, out = case("downscale_average")
    assert_golden(ops.downscale2d(x["x"]), out["out2"], EXACT)
    assert_golden(ops.downscale2d(x["x"], 4), out["out4"], EXACT)
    x, out = case("blur_121")
    assert_golden(ops.blur2d(x["x"], ops.resample_kernel((1, 2, 1))), out["out"], EXACT)


@pytest.mark.parametrize("form", [ops, fused], ids=["reference", "fused"])
def test_resampling_convolutions_match(form):
    up, down = form.upscale2d_conv2d, form.conv2d_downscale2d
    x, out = case("progan_fused_upscale_conv")
    assert_golden(up(x["x"], scaled(x["w"].transpose(2, 3).flip([0, 1]))), out["out"], EXACT)
    x, out = case("stylegan1_fused_upscale_conv")
    assert_golden(up(x["x"], scaled(x["w"])), out["unfused"], EXACT)
    assert_golden(up(x["x"], scaled(x["w"].flip([0, 1]))), out["fused"], EXACT)
    x, out = case("fused_conv_downscale")
    assert_golden(down(x["x"], scaled(x["w"])), out["out"], EXACT)


def scaled(weight):
    """From [k, k, in, out] to [out, in, k, k], with the scale of an equalized layer."""
    weight = weight.permute(3, 2, 0, 1)
    return weight * ops.equalized_scale(weight.shape, 2 ** 0.5)


@pytest.mark.parametrize("i", range(4))
def test_fading_matches(i):
    x, out = case(f"fade_rgb_{i}")
    assert_golden(ops.fade_in(x["low"], x["high"], CASES[f"fade_rgb_{i}"]["args"]["alpha_new_layer"]), out["out"], EXACT)
    x, out = case(f"fade_reals_{i}")
    lod = CASES[f"fade_reals_{i}"]["args"]["lod"]
    faded = ops.fade_reals(x["x"], 1 - (lod - int(lod)))
    assert_golden(enlarged(faded, out["out"].shape[-1]), out["out"], EXACT)


def test_adain_and_noise_match():
    x, out = case("adain")
    y = x["w_latent"] @ x["style_weight"] * ops.equalized_scale(x["style_weight"].t().shape) + x["style_bias"]
    y_s, y_b = y.chunk(2, dim=1)
    assert_golden(ops.adain(x["x"], y_s + 1, y_b), out["out"], EXACT)
    for name in ("noise_shared", "noise_per_sample"):
        x, out = case(name)
        noise = x["noise"] if len(x["noise"]) > 1 else x["noise"][0, 0]
        assert_golden(ops.add_noise(x["x"], noise, x["weight"]), out["out"], EXACT)


def test_truncation_mixing_and_w_avg_match():
    x, out = case("truncation")
    assert_golden(ops.truncate(x["dlatents"], x["dlatent_avg"], 0.7, 4), out["cutoff"], EXACT)
    assert_golden(ops.truncate(x["dlatents"], x["dlatent_avg"], 0.7), out["all"], EXACT)
    x, out = case("style_mixing")
    assert_golden(ops.mix_styles(x["first"], x["second"], 3), out["out"], EXACT)
    x, out = case("dlatent_avg_update")
    G = networks("stylegan1", torch.float64)[0]
    G.mapping.w_avg = x["dlatent_avg"].clone()
    G.update_w_avg(x["batch"])
    assert_golden(G.w_avg, out["out"], EXACT)


@pytest.mark.parametrize("name", ["wgan_gp", "wgan_gp_target"])
def test_wgan_gp_matches_with_its_parameter_gradients(name):
    x, out = case(name)
    args = CASES[name]["args"]
    A, b, v = (x[key].requires_grad_() for key in "Abv")
    critic = lambda images: torch.tanh(images.flatten(1) @ A.t() + b) @ v
    real, fake = critic(x["real"]), critic(x["fake"])
    assert_golden(real, out["real_scores"], EXACT)
    assert_golden(losses.wasserstein_generator_loss(fake), out["g_loss"], EXACT)
    penalty = losses.gradient_penalty(critic, x["real"], x["fake"], args["wgan_target"], x["mix"])
    assert_golden(penalty * args["wgan_target"] ** 2, out["gradient_penalty"], EXACT)
    loss = losses.wasserstein_discriminator_loss(real, fake, args["wgan_epsilon"]) + args["wgan_lambda"] * penalty
    assert_golden(loss, out["d_loss"], EXACT)
    for key, grad in zip("Abv", torch.autograd.grad(loss.mean(), [A, b, v])):
        assert_golden(grad, out[f"grad_{key}"], EXACT)


SCHEDULES = json.loads((FOLDER / "schedule.json").read_text())["schedules"]


@pytest.mark.parametrize("official", SCHEDULES, ids=[s["name"] for s in SCHEDULES])
def test_the_growing_schedule_matches(official):
    options = official["options"]
    batches, rates = options.get("minibatch_dict", {}), options.get("G_lrate_dict", {})
    batches = [[int(r), batch] for r, batch in batches.items()] + [[4 if not batches else 1024,
                                                                    options.get("minibatch_base", 16)]]
    rates = [[4, 0.001], *([int(r), rate] for r, rate in rates.items())]
    assert official["rows"]
    for row in official["rows"]:
        resolution, alpha = schedule.growing(row["nimg"], official["final_resolution"], options["lod_initial_resolution"],
                                             options["lod_training_kimg"] * 1000, options["lod_transition_kimg"] * 1000)
        assert resolution == row["resolution"] and alpha == pytest.approx(row["alpha"], abs=1e-9), row
        assert schedule.at(batches, resolution) == row["minibatch"], row
        assert schedule.at(rates, resolution) == row["lrate"], row
