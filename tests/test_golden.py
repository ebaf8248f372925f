"""Parity with the official networks, losses and operations (tests/golden)."""
import pytest
import torch
import torch.nn.functional as F

from course_lib import fused, losses, ops, zoo
from course_lib.networks import layers
from course_lib.training import schedule
from golden_data import assert_golden, filled, load, rule_input

NETWORKS = ["sg2_tiny16", "sg2_mid64", "sg2_big128", "sg2_clamp8", "sg2_cond8"]
E = 2e-5


def generator(info):
    return zoo.generator_from_nvidia(filled(info["state_G"], info["fill"]["G_seed"]), info["config"]["conv_clamp"])


def discriminator(info):
    return zoo.discriminator_from_nvidia(filled(info["state_D"], info["fill"]["D_seed"]), info["config"]["conv_clamp"])


def test_the_fill_rule_reproduces_the_stored_weights():
    info, _ = load("sg2_tiny16")
    from safetensors.torch import load_file

    from golden_data import AVX2, FOLDER
    stored = load_file(FOLDER / "sg2_tiny16_state.safetensors")
    for prefix, seed in (("G", "G_seed"), ("D", "D_seed")):
        for name, tensor in filled(info[f"state_{prefix}"], info["fill"][seed]).items():
            assert torch.allclose(tensor, stored[f"{prefix}.{name}"], rtol=0, atol=0 if AVX2 else 3e-4), name


@pytest.mark.parametrize("impl, frozen", [("reference", False), ("fused", False), ("fused", True)],
                         ids=["reference", "fused", "frozen"])
@pytest.mark.parametrize("name", NETWORKS)
def test_generator_matches_the_official_one(name, impl, frozen):
    info, golden = load(name)
    G, c = generator(info).requires_grad_(not frozen), golden.get("c")
    assert G.num_ws == info["config"]["num_ws"] and G.resolution == info["config"]["img_resolution"]
    with torch.no_grad():
        ws = G.mapping(golden["z"], c)[:, None].expand(-1, G.num_ws, -1)
        assert_golden(ws, golden["ws"], E)
        short, cut = ops.truncate(ws, G.w_avg, 0.7), ops.truncate(ws, G.w_avg, 0.7, info["config"]["truncation_cutoff"])
        assert_golden(short, golden["ws_psi07"], E)
        assert_golden(cut, golden["ws_psi07_cut"], E)
        for latents, noise, key in [(golden["ws"], "const", "img_const"), (golden["ws"], "none", "img_none"),
                                    (short, "const", "img_psi07_const"), (cut, "const", "img_psi07_cut_const"),
                                    (golden["ws_plus"], "const", "img_wplus_const"),
                                    (golden["ws_plus"], "none", "img_wplus_none")]:
            if key in golden:
                assert_golden(G.synthesis(latents, noise=noise, impl=impl), golden[key], E, what=key)
        noises = [layer.noise_const for _, layer, _ in G.synthesis.style_layers() if hasattr(layer, "noise_const")]
        assert_golden(G.synthesis(golden["ws_plus"], noise=noises, impl=impl), golden["img_wplus_const"], E)
        whole = G(golden["z"], c, psi=0.7, cutoff=info["config"]["truncation_cutoff"], noise="const", impl=impl)
        assert_golden(whole, golden["img_psi07_cut_const"], E)


@pytest.mark.parametrize("name", NETWORKS)
def test_style_space_has_the_official_order_and_renders_the_same_image(name):
    info, golden = load(name)
    G = generator(info)
    with torch.no_grad():
        styles = G.styles(golden["ws_plus"])
        rows = info["style_layers"]
        assert [row["name"] for row in rows] == [layer for layer, _, _ in G.synthesis.style_layers()]
        assert [row["ws_index"] for row in rows] == [index for _, _, index in G.synthesis.style_layers()]
        for row, style in zip(rows, styles, strict=True):
            assert_golden(style, golden[f"style.{row['name']}"], E, what=row["name"])
        assert_golden(G.synthesis(styles=styles, noise="const"), golden["img_wplus_const"], E)


def test_intermediate_features_match():
    info, golden = load("sg2_tiny16")
    G, D = generator(info), discriminator(info)
    features = {}
    for r, block in zip(G.synthesis.resolutions, G.synthesis.blocks):
        block.conv1.register_forward_hook(lambda m, a, out, r=r: features.__setitem__(f"tap.b{r}.x", out))
    for r in (16, 8):
        getattr(D, f"b{r}").register_forward_hook(lambda m, a, out, r=r: features.__setitem__(f"d_tap.b{r}.x", out[:2]))
    D.b4.conv.register_forward_pre_hook(lambda m, a: features.__setitem__("d_tap.mbstd_channel", a[0][:, -1:]))
    with torch.no_grad():
        _, rgbs = G.synthesis(golden["ws_plus"], noise="const", return_rgb=True)
        image = features["tap.b4.img"] = rgbs[0]
        for r, rgb in zip((8, 16), rgbs[1:]):
            image = features[f"tap.b{r}.img"] = ops.upsample2d(image, G.synthesis.kernel) + rgb
        D(golden["d_img"])
    for key, value in features.items():
        assert_golden(value.reshape(golden[key].shape), golden[key], E, what=key)
    assert len(features) == 9


def test_w_avg_is_updated_as_in_the_official_mapping():
    info, golden = load("sg2_tiny16")
    G = generator(info)
    G.update_w_avg(G.mapping(golden["z"]), info["config"]["w_avg_beta"])
    assert_golden(G.w_avg, golden["w_avg_after_update"], E)


@pytest.mark.parametrize("impl", ["reference", "fused"])
@pytest.mark.parametrize("name", NETWORKS)
def test_discriminator_matches_the_official_one(name, impl):
    info, golden = load(name)
    D, c = discriminator(info), golden.get("d_c")
    images = golden["d_img"] if "d_img" in golden else rule_input(info["rule_inputs"]["d_img"])
    with torch.no_grad():
        for key in [key for key in golden if key.startswith("d_logits_n")]:
            n = int(key.removeprefix("d_logits_n"))
            logits = D(images[:n], None if c is None else c[:n], impl=impl)
            assert_golden(logits[:, None], golden[key], E, absolute=1e-6, what=key)
        order = info["d_permutation"]
        logits = D(images[order], None if c is None else c[order], impl=impl)
        assert_golden(logits[:, None], golden["d_logits_perm"], E, absolute=1e-6)


@pytest.mark.parametrize("impl", ["reference", "fused"])
@pytest.mark.parametrize("name,networks", [("reg_tiny16", "sg2_tiny16"), ("reg_mid64", "sg2_mid64")])
def test_path_length_matches_with_its_parameter_gradients(name, networks, impl):
    info, golden = load(name)
    G = generator(load(networks)[0]).requires_grad_(True)
    noise = golden.get("pl_noise_raw")
    noise = rule_input(info["rule_inputs"]["pl_noise_raw"]) if noise is None else noise
    for decay, suffix in [(info["pl_decay"], ""), (info["pl_decay2"], "_decay2")]:
        ws = G.mapping(golden["z"])[:, None].repeat(1, G.num_ws, 1)
        images = G.synthesis(ws, noise="const", impl=impl)
        if not suffix and "pl.grads" in golden:
            y = noise / (images.shape[2] * images.shape[3]) ** 0.5
            assert_golden(torch.autograd.grad((images * y).sum(), ws, retain_graph=True)[0], golden["pl.grads"], 1e-4)
            assert_golden(losses.path_lengths(images, ws, noise), golden["pl.lengths"], 1e-4)
        penalty, mean = losses.path_length_penalty(images, ws, noise, info["pl_mean_before"], decay)
        assert_golden(mean, golden[f"pl.mean_after{suffix}"], 1e-4)
        assert_golden(penalty, golden[f"pl.penalty{suffix}"], 1e-4)
        (penalty * info["pl_weight"]).mean().backward()
        assert_parameter_gradients(G, golden, f"pl.param_grad{suffix}.")
        G.zero_grad()


@pytest.mark.parametrize("impl", ["reference", "fused"])
@pytest.mark.parametrize("name,networks", [("reg_tiny16", "sg2_tiny16"), ("reg_mid64", "sg2_mid64")])
def test_r1_and_logistic_losses_match_with_their_parameter_gradients(name, networks, impl):
    info, golden = load(name)
    G = generator(load(networks)[0]).requires_grad_(True)
    D = discriminator(load(networks)[0]).requires_grad_(True)
    reals = golden["real"] if "real" in golden else rule_input(info["rule_inputs"]["real"])

    images = reals.clone().requires_grad_()
    logits = D(images, impl=impl)
    assert_golden(logits[:, None], golden["r1.logits"].reshape(-1, 1), 1e-4, absolute=1e-6)
    penalty = losses.r1_penalty(logits, images)
    assert_golden(penalty, golden["r1.penalty"], 1e-4)
    loss = info["r1_gamma"] / 2 * penalty
    assert_golden(loss, golden["r1.loss_per_sample"].reshape(-1), 1e-4)
    loss.mean().backward()
    assert_parameter_gradients(D, golden, "r1.param_grad.")
    D.zero_grad()

    fakes = G(golden["z"], noise="const", impl=impl)
    logits = D(fakes, impl=impl)
    assert_golden(logits[:, None], golden["gmain.fake_logits"].reshape(-1, 1), 1e-4, absolute=1e-6)
    loss = losses.generator_loss(logits)
    assert_golden(loss, golden["gmain.loss_per_sample"].reshape(-1), 1e-4)
    loss.mean().backward()
    assert_parameter_gradients(G, golden, "gmain.param_grad.")
    D.zero_grad()

    n = info["n_dmain"]
    real_logits, fake_logits = D(reals[:n], impl=impl), D(fakes.detach(), impl=impl)
    stored = golden["dmain.loss_per_sample"].reshape(-1)
    if len(fake_logits) == n:
        loss = losses.discriminator_loss(real_logits, fake_logits)
    else:
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits)
    if loss.shape == stored.shape and len(fake_logits) == n:
        assert_golden(loss, stored, 1e-4)
    loss.mean().backward()
    assert_parameter_gradients(D, golden, "dmain.param_grad.")


def assert_parameter_gradients(network, golden, prefix):
    parameters = dict(network.named_parameters())
    keys = [key for key in golden if key.startswith(prefix)]
    assert keys
    for key in keys:
        assert_golden(parameters[key.removeprefix(prefix)].grad, golden[key], 1e-4, what=key)


CASES = {case["name"]: case for case in load("ops")[0]["cases"]}
OPS = load("ops")[1]


def inputs(case):
    return {key: OPS[f"{case['name']}/{key}"] for key in case["inputs"]}


def names(prefix):
    return [name for name in CASES if name.startswith(prefix)]


@pytest.mark.parametrize("name", names("norm2"))
def test_pixel_norm_matches(name):
    assert_golden(ops.pixel_norm(inputs(CASES[name])["x"]), OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("name", names("mbstd"))
def test_minibatch_stddev_matches(name):
    args = CASES[name]["args"]
    out = ops.minibatch_stddev(inputs(CASES[name])["x"], args["group_size"], args["num_channels"])
    assert_golden(out[:, -args["num_channels"]:], OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("convolve", [ops.modulated_conv2d, fused.modulated_conv2d], ids=["reference", "fused"])
@pytest.mark.parametrize("name", names("modconv"))
def test_modulated_convolution_matches(name, convolve):
    case, tensors = CASES[name], inputs(CASES[name])
    args = case["args"]
    weight = tensors["weight"]
    if "grad_x" in case["outputs"]:
        tensors = {key: t.requires_grad_(key in ("x", "weight", "styles")) for key, t in tensors.items()}
    mirrored = args["flip_weight"] == (args["up"] > 1)
    out = convolve(tensors["x"], weight.flip([2, 3]) if mirrored else weight, tensors["styles"], args["demodulate"],
                   args["up"], args["down"], args["padding"], tensors.get("filter"))
    if "noise" in tensors:
        out = ops.add_noise(out, tensors["noise"], 1)
    if "cot" in tensors:
        grads = torch.autograd.grad((tensors["cot"] * out).sum(), [tensors[k] for k in ("x", "weight", "styles")])
        for key, grad in zip(("grad_x", "grad_weight", "grad_styles"), grads):
            assert_golden(grad, OPS[f"{name}/{key}"], 1e-5)
    else:
        assert_golden(out, OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("name", [n for n in names("upfirdn") if CASES[n]["op"] == "upfirdn2d"])
def test_upfirdn2d_matches(name):
    args = dict(CASES[name]["args"])
    args["flip"] = args.pop("flip_filter", False)
    tensors = inputs(CASES[name])
    assert_golden(ops.upfirdn2d(tensors["x"], tensors.get("filter"), **args), OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("function", [ops.upsample2d, fused.upsample2d], ids=["reference", "fused"])
def test_upsample2d_matches(function):
    tensors = inputs(CASES["upfirdn/upsample2d"])
    assert_golden(function(tensors["x"], tensors["filter"]), OPS["upfirdn/upsample2d/out"], 1e-5)


def test_downsample2d_matches():
    tensors = inputs(CASES["upfirdn/downsample2d"])
    assert_golden(ops.downsample2d(tensors["x"], tensors["filter"]), OPS["upfirdn/downsample2d/out"], 1e-5)
    tensors = inputs(CASES["upfirdn/downsample2d_3"])
    assert_golden(ops.downsample2d(tensors["x"], tensors["filter"], 3), OPS["upfirdn/downsample2d_3/out"], 1e-5)


@pytest.mark.parametrize("name", names("resample"))
def test_resampling_convolution_matches(name):
    tensors, args = inputs(CASES[name]), CASES[name]["args"]
    kernel = tensors["filter"].flip([0, 1]) if args.get("flip_filter") else tensors["filter"]
    mirror = not args.get("flip_weight", True)
    shared = dict(up=args.get("up", 1), down=args.get("down", 1), padding=args.get("padding", 0))
    out = ops.conv2d_resample(tensors["x"], tensors["w"], kernel, **shared, groups=args["groups"], mirror=mirror)
    assert_golden(out, OPS[f"{name}/out"], 1e-5)
    if args["groups"] == 1 and isinstance(shared["padding"], int):
        out = fused.conv2d_resample(tensors["x"], tensors["w"], kernel, **shared, mirror=mirror)
        assert_golden(out, OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("name", names("fc/"))
def test_dense_layer_matches(name):
    tensors, args = inputs(CASES[name]), CASES[name]["args"]
    layer = layers.Dense(args["in_features"], args["out_features"], lr_mult=args.get("lr_multiplier", 1),
                         activate=args.get("activation") == "lrelu")
    layer.load_state_dict({"weight": tensors["weight"], "bias": tensors["bias"]})
    assert_golden(layer(tensors["x"]), OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("impl", ["reference", "fused"])
@pytest.mark.parametrize("name", [n for n in names("conv/") if "up" not in CASES[n]["args"]])
def test_convolution_layer_matches(name, impl):
    tensors, args = inputs(CASES[name]), CASES[name]["args"]
    layer = layers.Conv2d(args["in_channels"], args["out_channels"], args["kernel_size"], down=args.get("down", 1),
                          bias=args["bias"], activate=args.get("activation") == "lrelu", clamp=args.get("conv_clamp"))
    layer.load_state_dict({key: tensors[key] for key in ("weight", "bias") if key in tensors})
    assert_golden(layer(tensors["x"], gain=args["call_gain"], impl=impl), OPS[f"{name}/out"], 1e-5)


@pytest.mark.parametrize("name", [n for n in names("bias_act") if CASES[n]["args"].get("act") == "lrelu"
                                  and not {"dim", "alpha"} & set(CASES[n]["args"])])
def test_bias_and_activation_match(name):
    tensors, args = inputs(CASES[name]), CASES[name]["args"]
    x = tensors["x"]
    if "b" in tensors:
        x = x + tensors["b"].reshape(-1, *[1] * (x.ndim - 2))
    assert_golden(ops.leaky_relu(x, args.get("gain", 2 ** 0.5), args.get("clamp")), OPS[f"{name}/out"], 1e-5)


def test_logistic_losses_match():
    logits = OPS["loss/logistic/logits"]
    assert_golden(losses.generator_loss(logits), OPS["loss/logistic/g_loss"], 1e-5)
    both = OPS["loss/logistic/d_fake"] + OPS["loss/logistic/d_real"]
    assert_golden(losses.discriminator_loss(logits, logits), both, 1e-5)


def test_lazy_adam_constants_match():
    import json

    from golden_data import FOLDER
    for row in json.loads((FOLDER / "schedule.json").read_text())["stylegan2_lazy_regularisation"]["rows"]:
        lr, betas = losses.lazy_adam(row["lr"], row["betas"], row["interval"])
        assert lr == pytest.approx(row["lr_used"], rel=1e-9) and betas == pytest.approx(row["betas_used"], rel=1e-9)


def test_ema_decay_matches():
    import json

    from golden_data import FOLDER
    for row in json.loads((FOLDER / "schedule.json").read_text())["stylegan2_ema_beta"]["rows"]:
        beta = schedule.ema_decay(row["cur_nimg"], row["batch"], row["ema_kimg"], row["rampup"])
        assert beta == pytest.approx(row["beta"], rel=1e-9, abs=1e-12)
