"""Files of other repositories: every shape is written here from the facts, read back, and compared with golden tensors."""
import argparse
import json
import os
import pickletools
import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import fuzz_formats as fuzz
import official_files as files
from course_lib import zoo
from course_lib.networks import stylegan2
from course_lib.zoo import __main__, formats
from course_lib.zoo.formats import FormatError
from golden_data import assert_golden, filled, load, rule_input

E = 2e-5
NETWORKS = ["sg2_tiny16", "sg2_mid64", "sg2_clamp8", "sg2_cond8"]
WRITTEN = {"torch_utils.persistence _reconstruct_persistent_obj", "collections OrderedDict", "torch._utils _rebuild_parameter",
           "torch._utils _rebuild_tensor_v2", "torch.storage _load_from_bytes", "numpy dtype", "dnnlib.util EasyDict"}


def states(info):
    return [filled(info[f"state_{part}"], info["fill"][f"{part}_seed"]) for part in "GD"]


def assert_renders_as_golden(path, info, golden):
    G, D, c = zoo.load(path), zoo.load(path, part="D"), golden.get("c")
    with torch.no_grad():
        assert_golden(G.mapping(golden["z"], c)[:, None].expand(-1, G.num_ws, -1), golden["ws"], E)
        assert_golden(G.synthesis(golden["ws_plus"], noise="const"), golden["img_wplus_const"], E)
        assert_golden(G(golden["z"], c, psi=0.7, noise="const"), golden["img_psi07_const"], E)
        images = golden["d_img"] if "d_img" in golden else rule_input(info["rule_inputs"]["d_img"])
        key = max(key for key in golden if key.startswith("d_logits_n"))
        n, labels = len(golden[key]), golden.get("d_c")
        assert_golden(D(images[:n], None if labels is None else labels[:n])[:, None], golden[key], E, absolute=1e-6)


@pytest.fixture(scope="module")
def small():
    """A generator and a discriminator of 8 px that read and write in milliseconds."""
    torch.manual_seed(1)
    G = stylegan2.Generator(8, z_dim=4, w_dim=4, channels={4: 4, 8: 4}, mapping_layers=2)
    G.mapping.w_avg.normal_()
    for _, layer, _ in G.synthesis.style_layers():
        if hasattr(layer, "noise_strength"):
            torch.nn.init.constant_(layer.noise_strength, 0.5)
    return G.state_dict(), stylegan2.Discriminator(8, channels={4: 4, 8: 4}).state_dict()


def equal(mine, theirs):
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# NVIDIA's PyTorch pickles

def globals_of(data):
    """The names in a pickle of protocol 2 or 3, as pickletools sees them."""
    return {argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_snapshot_is_read_at_every_protocol_bit_for_bit(protocol, core, small, tmp_path):
    G, D = small
    data = files.dump(files.snapshot(G, D, {name: t + 1 for name, t in G.items()}), protocol, core)
    extra = {f"{core}.multiarray scalar"} | ({"builtins set"} if protocol == 3 else set())
    extra |= {"__builtin__ set", "_codecs encode"} if protocol == 2 else set()
    assert protocol > 3 or globals_of(data) == WRITTEN | extra
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(data)
    contents = formats.read(path)
    assert list(contents.parts) == ["G_ema", "G", "D"] and f"protocol {protocol}" in contents.format
    assert equal(contents.read("G").tensors, G) and equal(contents.read("D").tensors, D)
    assert equal(contents.read().tensors, {name: t + 1 for name, t in G.items()})
    assert contents.read("G").built_with == {"z_dim": 4, "synthesis_kwargs": {"channel_base": 256}}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_a_snapshot_render_the_golden_images(name, tmp_path):
    info, golden = load(name)
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(files.dump(files.snapshot(*states(info), conv_clamp=info["config"]["conv_clamp"]), 4))
    assert_renders_as_golden(path, info, golden)


def test_a_single_network_and_the_newer_inner_zip_layout_are_read(small, tmp_path, monkeypatch):
    path = tmp_path / "G.pkl"
    path.write_bytes(files.dump(files.official(small[0]), 4))
    assert equal(formats.read(path).read().tensors, small[0])
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda value, file, **_: save(value, file))
    path.write_bytes(files.dump(files.official(small[0]), 4))
    assert path.read_bytes().count(b"data.pkl") >= len(small[0])
    assert equal(formats.read(path).read().tensors, small[0])


def test_a_mapping_with_another_learning_rate_gives_the_same_w(small, tmp_path):
    """weight · lr / sqrt(fan_in) is what the network computes with; the file says lr, ours is 0.01."""
    G = dict(small[0])
    G |= {name: t / 10 for name, t in G.items() if name.startswith("mapping.fc")}
    module = files.official(G)
    for layer in module.inner._modules["mapping"].inner._modules.values():
        layer.inner.bias_gain = 0.1
    path = tmp_path / "G.pkl"
    path.write_bytes(files.dump(module, 4))
    z = torch.randn(3, 4)
    expected = zoo.generator_from_nvidia(small[0]).mapping(z)
    torch.testing.assert_close(zoo.load(path).mapping(z), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change,message", [
    (lambda m: m["synthesis.b8.conv1"].__setitem__("activation", "relu"), "activation='relu'"),
    (lambda m: m["synthesis.b8"].__setitem__("architecture", "orig"), "architecture='orig'"),
    (lambda m: m["synthesis.b8.conv1"].__setitem__("use_noise", False), "use_noise=False"),
    (lambda m: m["synthesis.b8.conv1"].__setitem__("conv_clamp", 1), "conv_clamp"),
    (lambda m: m["synthesis.b8.conv1"]["_buffers"]["resample_filter"].mul_(2), "resampling filter"),
    (lambda m: m["synthesis.b8.conv1"]["_parameters"].pop("bias"), "b8.conv1.bias"),
    (lambda m: m["synthesis.b8.conv1"]["_parameters"].update(bias=torch.nn.Parameter(torch.zeros(5))), "b8.conv1.bias has shape")])
def test_a_network_that_computes_something_else_is_refused(change, message, small, tmp_path):
    module = files.official(small[0])

    def collect(module, path):
        found[path] = module.inner.__dict__
        for name, child in module.inner._modules.items():
            collect(child, f"{path}.{name}".strip("."))
    found = {}
    collect(module, "")
    change(found)
    path = tmp_path / "G.pkl"
    path.write_bytes(files.dump(module, 4))
    with pytest.raises(ValueError, match=re.escape(message)):
        zoo.load(path)


def test_a_stylegan3_network_gets_a_clear_refusal(tmp_path):
    G, synthesis = files.Module("Generator"), files.Module("SynthesisNetwork")
    G.inner._modules["synthesis"] = synthesis
    synthesis.inner._modules.update({"input": files.Module("SynthesisInput"), "L0_36_512": files.Module("SynthesisLayer")})
    path = tmp_path / "stylegan3.pkl"
    path.write_bytes(files.dump({"G": G, "D": None, "G_ema": G}, 4))
    with pytest.raises(FormatError, match="StyleGAN3 network is not supported"):
        zoo.load(path)


# TensorFlow-era pickles

def tf_tuple(info, extra=()):
    G, D = states(info)
    shared = {"resolution": info["config"]["img_resolution"], "conv_clamp": info["config"]["conv_clamp"], **dict(extra)}
    variables = files.tf_variables(G) | {"lod": np.float32(0)}
    D = files.tf_network("D", files.tf_variables(D), shared | {"mbstd_group_size": 4, "mapping_lrmul": 0.01})
    return files.tf_network("G", variables, shared), D, files.tf_network("Gs", variables, shared)


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("name", NETWORKS)
def test_stylegan2_of_the_tensorflow_era_renders_the_golden_images(name, core, tmp_path):
    info, golden = load(name)
    path = tmp_path / "stylegan2.pkl"
    path.write_bytes(files.dump(tf_tuple(info), 4, core))
    assert formats.read(path).format == "TensorFlow-era pickle"
    assert_renders_as_golden(path, info, golden)


@pytest.mark.parametrize("name", ["progan_fused", "progan_unfused", "stylegan1"])
def test_pggan_and_stylegan_are_read_from_their_tuples(name, tmp_path):
    info, golden = load("progan_stylegan1")
    raw = {part: filled(info["networks"][name][part]["state"], info["networks"][name][part]["seed"]) for part in "GD"}
    variables = {part: {key.removeprefix("G_"): t.numpy() for key, t in raw[part].items()} | {"lod": np.float32(0)}
                 for part in "GD"}
    version, module = (3, "dnnlib.tflib.network") if name == "stylegan1" else (2, "tfutil")
    G, D = (files.tf_network(part, variables[part], {"resolution": 16}, module, version) for part in "GD")
    path = tmp_path / "gan.pkl"
    path.write_bytes(files.dump((G, D, G), 4))
    kind = "stylegan" if name == "stylegan1" else "pggan"
    contents = formats.read(path)
    assert [contents.read(part).kind for part in contents.parts] == [f"{kind}-G", f"{kind}-D", f"{kind}-G"]
    assert contents.read("D").config == ({} if kind == "stylegan" else {"fused": name == "progan_fused"})
    G, D = zoo.load(path), zoo.load(path, part="D")
    args = next(case["args"] for case in info["cases"] if case["name"] == name)
    with torch.no_grad():
        if kind == "stylegan":
            image, wanted = G.synthesis(golden["stylegan1/w_plus"], noise="const"), golden["stylegan1/img_wplus_lod0.0"]
        else:
            image, wanted = G(golden[f"{name}/z"]), golden[f"{name}/img_lod0.0"]
        assert_golden(image, wanted, E)
        assert_golden(D(rule_input(args["d_images"]))[:, None], golden[f"{name}/scores_lod0.0"], E, absolute=1e-6)


def test_tensorflow_networks_that_compute_something_else_are_refused(tmp_path):
    info, _ = load("sg2_cond8")
    for extra, message in [({"nonlinearity": "relu"}, "nonlinearity"), ({"resample_kernel": [1, 2, 1]}, "resample_kernel")]:
        path = tmp_path / "G.pkl"
        path.write_bytes(files.dump(tf_tuple(info, extra), 4))
        with pytest.raises(FormatError, match=message):
            zoo.load(path)


def test_class_conditional_networks_of_the_first_generations_are_refused_at_once(tmp_path):
    info, _ = load("progan_stylegan1")
    for name, extra, variables in (("progan_fused", {"label_size": 10}, {}),
                                   ("stylegan1", {}, {"mapping/LabelConcat/weight": np.ones([10, 12], "f4")})):
        state = info["networks"][name]["G"]
        own = {key.removeprefix("G_"): t.numpy() for key, t in filled(state["state"], state["seed"]).items()}
        (tmp_path / "G.pkl").write_bytes(files.dump(files.tf_network("G", own | variables, extra), 4))
        with pytest.raises(FormatError, match="a class-conditional network of PGGAN or StyleGAN is not supported"):
            zoo.load(tmp_path / "G.pkl")


# rosinality

def rosinality_states(info):
    found = []
    for part in "GD":
        state = filled(info[f"state_{part}"], info["fill"][f"{part}_seed"])
        kept = {entry["name"]: files.kernel(entry["kept_sum"]) for entry in info[f"state_{part}"] if entry.get("kept")}
        found.append(state | kept)
    return found


@pytest.mark.parametrize("name,layout", [("rosinality_32", "legacy"), ("rosinality_64", "zip")])
def test_rosinality_checkpoints_render_the_golden_images(name, layout, tmp_path):
    info, golden = load(name)
    G, D = rosinality_states(info)
    path = tmp_path / "checkpoint.pt"
    extra = {"args": argparse.Namespace(size=32, ckpt=None),
             "d_optim": {"state": {0: {"step": 3}}, "param_groups": [{"betas": (0, 0.99)}]}}
    torch.save({"g_ema": G, "d": D, "latent_avg": golden["truncation_latent"][0]} | extra, path,
               _use_new_zipfile_serialization=layout == "zip")
    G, D = zoo.load(path), zoo.load(path, part="D")
    with torch.no_grad():
        assert_golden(G(golden["z"], noise="const"), golden["img"], E)
        assert_golden(G(golden["z"], noise="const", psi=0.7), golden["img_trunc07"], E)
        assert_golden(G.synthesis(golden["w_plus"], noise="const"), golden["img_wplus"], E)
        assert_golden(D(rule_input(info["rule_inputs"]["d_img"]))[:, None], golden["d_logits"], E, absolute=1e-6)


def test_the_written_checkpoint_has_the_names_and_shapes_that_rosinality_loads(tmp_path):
    info, _ = load("rosinality_32")
    G, D = rosinality_states(info)
    torch.save({"g_ema": G, "d": D, "latent_avg": torch.ones(32)}, tmp_path / "in.pt")
    contents = formats.read(tmp_path / "in.pt")
    formats.export(tmp_path / "out.pt", {part: contents.read(part) for part in contents.parts}, "rosinality")
    written = torch.load(tmp_path / "out.pt", weights_only=True)
    assert equal(written["g_ema"], G) and equal(written["d"], D) and torch.equal(written["latent_avg"], torch.ones(32))


def test_a_missing_mean_latent_is_estimated(tmp_path):
    info, _ = load("rosinality_32")
    G, _ = rosinality_states(info)
    torch.save({"g_ema": G}, tmp_path / "a.pt")
    with pytest.warns(UserWarning, match="a.pt lacks the mean of W, from 4,096 latents: made anew"):
        network = zoo.load(tmp_path / "a.pt")
    w = network.mapping(torch.randn(20000, 32, generator=torch.Generator().manual_seed(5)))
    assert (network.w_avg - w.mean(dim=0)).abs().max() < 5 * (w.std(dim=0) * (1 / 4096 + 1 / 20000) ** 0.5).max()
    assert w.std(dim=0).max() > 0.01


@pytest.mark.parametrize("layout", ["safetensors", "rosinality", "nvidia", "tensorflow"])
def test_constant_noise_and_the_mean_of_w_are_made_anew_where_a_file_lacks_them_and_this_is_said(layout, small, tmp_path, capsys):
    """Early files of rosinality hold no noise; networks of NVIDIA's code without w_avg_beta hold no mean."""
    whole, path = small[0], tmp_path / "G"
    G = {name: t for name, t in whole.items() if not name.endswith(("noise_const", "w_avg"))}
    if layout == "safetensors":
        zoo.save(path, G, "stylegan2-G")
    elif layout == "rosinality":
        pairs = formats.layouts.rosinality_generator([4, 8], 2)
        theirs = formats.layouts.write(whole, pairs)
        torch.save({"g_ema": {name: t for name, t in theirs.items() if not name.startswith("noises.")}}, path)
    else:
        network = files.official(G) if layout == "nvidia" else files.tf_network("G", files.tf_variables(G), {})
        path.write_bytes(files.dump(network, 4))
    with pytest.warns(UserWarning, match="G lacks the constant noise of 3 layers, drawn from seed 0 and the mean of W.*made anew"):
        network = zoo.load(path)
    state, again = network.state_dict(), formats.completed(zoo.contents(path).read()).tensors
    assert all(torch.equal(state[name], t) for name, t in G.items()) and equal(state, again)
    assert [state[f"synthesis.b{r}.noise_const"].shape[0] for r in ("4.conv1", "8.conv0", "8.conv1")] == [4, 8, 8]
    w = network.mapping(torch.randn(20000, 4, generator=torch.Generator().manual_seed(5)))
    assert (network.w_avg - w.mean(dim=0)).abs().max() < 5 * (w.std(dim=0) * (1 / 4096 + 1 / 20000) ** 0.5).max()
    __main__.main(["info", str(path)])
    assert "made anew, for the file lacks it: the constant noise of 3 layers" in capsys.readouterr().out


def test_a_conditional_mean_is_taken_over_random_classes(tmp_path):
    torch.manual_seed(0)
    G = stylegan2.Generator(4, z_dim=3, w_dim=4, c_dim=5, channels={4: 4}, mapping_layers=1)
    zoo.save(tmp_path / "G.safetensors", {k: t for k, t in G.state_dict().items() if k != "mapping.w_avg"}, "stylegan2-G")
    with pytest.warns(UserWarning, match="the mean of W"):
        mean = zoo.load(tmp_path / "G.safetensors").w_avg
    w = G.mapping(torch.randn(20000, 3), torch.eye(5).repeat(4000, 1))
    assert (mean - w.mean(dim=0)).abs().max() < 5 * (w.std(dim=0) * (1 / 4096 + 1 / 20000) ** 0.5).max()


def test_a_first_generation_file_may_lack_noise_and_mean_too(tmp_path):
    info, _ = load("progan_stylegan1")
    state = info["networks"]["stylegan1"]["G"]
    whole = {key.removeprefix("G_"): t.numpy() for key, t in filled(state["state"], state["seed"]).items()}
    some = {name: value for name, value in whole.items() if "noise" not in name and name != "dlatent_avg"}
    made = []
    for name, variables in (("whole", whole), ("some", some)):
        (tmp_path / name).write_bytes(files.dump(files.tf_network("G", variables, {}), 4))
        made.append(zoo.contents(tmp_path / name).read())
    assert not made[0].made
    assert made[1].made == ["the constant noise of 6 layers, drawn from seed 0", "the mean of W, from 4,096 latents"]
    assert made[0].tensors.keys() == made[1].tensors.keys()
    assert all(t.abs().sum() > 0 for name, t in made[1].tensors.items() if name.endswith(("noise_const", "w_avg")))
    with pytest.warns(UserWarning, match="made anew"):
        network = zoo.load(tmp_path / "some")
    w = network.mapping(torch.randn(20_000, network.z_dim, generator=torch.Generator().manual_seed(1)))
    assert (network.w_avg - w.mean(dim=0)).abs().max() < 5 * (w.std(dim=0) * (1 / 4096 + 1 / 20000) ** 0.5).max()


# Export and round trips

@pytest.mark.parametrize("target", ["tensorflow", "rosinality", "safetensors"])
def test_round_trips_keep_every_bit_and_the_config(target, small, tmp_path, capsys):
    G, D = small
    # style biases travel as "bias − 1", so only numbers for which that is exact come back bit for bit
    G = {name: torch.round(t * 64) / 64 if name.endswith("affine.bias") else t for name, t in G.items()}
    clamp = None if target == "rosinality" else 256
    source = tmp_path / "in.pkl"
    source.write_bytes(files.dump(files.snapshot(G, D, {name: t / 2 for name, t in G.items()}, clamp), 4))
    before = formats.read(source)
    outs = {part: tmp_path / f"{part}.out" for part in ("G_ema", "G", "D")} if target == "safetensors" else {
        part: tmp_path / "all.out" for part in ("G_ema", "G", "D")}
    for part, out in outs.items():
        if not out.exists():
            __main__.main(["convert", str(source), str(out), "--to", target, *["--part", part] * (target == "safetensors")])
        contents = zoo.contents(out)
        mine, theirs = before.read(part), contents.read(part if part in contents.parts else "G")
        tensors = dict(theirs.tensors)
        if part == "G" and target == "rosinality":
            tensors["mapping.w_avg"] = mine.tensors["mapping.w_avg"]        # the layout has one, that of g_ema
        assert equal(mine.tensors, tensors) and mine.kind == theirs.kind
        assert theirs.config.get("conv_clamp") == mine.config["conv_clamp"]
        with pytest.raises(SystemExit, match="exists already"):
            __main__.main(["convert", str(source), str(out), "--to", target])
        assert zoo.load(out, part=None if part == "G_ema" else part if part in contents.parts else None)


def test_the_tuple_is_what_the_official_legacy_loader_takes(small, tmp_path):
    """It is unpickled by pickle itself with only numpy's names and a Network that keeps its state, as that loader does."""
    import pickle

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            asked.add(f"{module} {name}")
            return files.EasyDict if name == "Network" else super().find_class(module, name)
    asked = set()
    zoo.save(tmp_path / "G.safetensors", small[0], "stylegan2-G", config={"conv_clamp": 256})
    zoo.save(tmp_path / "D.safetensors", small[1], "stylegan2-D", config={"group_size": 8})
    __main__.main(["convert", *(str(tmp_path / f"{part}.safetensors") for part in "GD"), str(tmp_path / "out.pkl"), "--to",
                   "tensorflow"])
    with open(tmp_path / "out.pkl", "rb") as file:
        G, D, Gs = Unpickler(file).load()
    assert asked == {"dnnlib.tflib.network Network", "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
    # The options that the legacy loader of stylegan2-ada-pytorch knows; it refuses all others.
    shared = {"label_size", "resolution", "num_channels", "mapping_layers", "mapping_lrmul", "fmap_base", "fmap_max", "conv_clamp",
              "architecture"}
    for network in (G, D, Gs):
        own = {"mbstd_group_size", "mbstd_num_features"} if network is D else {"latent_size", "dlatent_size"}
        assert network.version == 4 and network.static_kwargs.keys() == shared | own and network.build_module_src == ""
        assert network.static_kwargs["conv_clamp"] == (256 if network is not D else None)
        base, most = network.static_kwargs["fmap_base"] * 2, network.static_kwargs["fmap_max"]
        assert [min(base // r, most) for r in (4, 8)] == [4, 4]
    assert D.static_kwargs["mbstd_group_size"] == 8 and G.static_kwargs["latent_size"] == 4
    expected = files.tf_variables(small[0])
    found = dict(Gs.variables) | {f"{name}/{key}": value for name, part in Gs.components.items() for key, value in part.variables}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32 and np.array_equal(found[name], value), name
    assert {name: value.shape for name, value in D.variables} == {name: value.shape
                                                                  for name, value in files.tf_variables(small[1]).items()}


def test_what_a_format_cannot_hold_is_not_written(small, tmp_path):
    G = formats.Network("stylegan2-G", small[0], {"conv_clamp": 256}, {})
    grey = stylegan2.Generator(8, 4, 4, channels={4: 4, 8: 4}, mapping_layers=2, img_channels=1)
    grey = formats.Network("stylegan2-G", grey.state_dict(), {}, {})
    for networks, target, message in [({"G_ema": G}, "tensorflow", "has no D"), ({"G_ema": G}, "rosinality", "conv_clamp=256"),
                                      ({"G_ema": G}, "onnx", "is no format"),
                                      ({"G_ema": grey}, "rosinality", "3 channels; this network's have 1")]:
        with pytest.raises(FormatError, match=message):
            formats.export(tmp_path / "out", networks, target)
        assert not (tmp_path / "out").exists()
    formats.export(tmp_path / "out", {"G_ema": G}, "rosinality", drop_clamp=True)
    before = (tmp_path / "out").read_bytes()
    with pytest.raises(FileExistsError):
        formats.export(tmp_path / "out", {"G_ema": G}, "rosinality", drop_clamp=True)
    assert (tmp_path / "out").read_bytes() == before


# The command line

def test_info_says_what_a_file_holds(tmp_path, capsys):
    info, _ = load("sg2_cond8")
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(files.dump(files.snapshot(*states(info)), 4))
    __main__.main(["info", str(path)])
    text = capsys.readouterr().out
    assert "snapshot.pkl: NVIDIA PyTorch pickle (protocol 4)" in text
    assert re.search(r"G_ema: stylegan2-G, 8 px, z 10, w 12, 5 classes, [\d,]+ numbers in 46 tensors", text)
    assert re.search(r"D: stylegan2-D, 8 px, 5 classes", text) and '"channel_base": 256' in text


def test_the_command_line_answers_a_bad_file_in_one_line(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.")
    command = [sys.executable, "-m", "course_lib.zoo", "info", str(tmp_path / "bad.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -m course_lib.zoo: bad.pkl cannot be read: it asks for 'os system'")


def test_info_prints_no_control_characters_of_a_file(small, tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    tensors = {"mapping.fc0.weight": torch.zeros(4), "mapping.w_avg": torch.zeros([])}
    zoo.save(path, tensors, "evil\x1b[31m\nG: trusted", config={"\x1b": 1})
    __main__.main(["info", str(path)])
    text = capsys.readouterr().out
    assert text.count("\n") == 3 and text.replace("\n", "").isprintable() and "  G: evil [31m G: trusted, 5 numbers" in text
    with pytest.raises(SystemExit, match="holds a network of kind") as caught:
        __main__.main(["convert", str(path), str(tmp_path / "out"), "--to", "safetensors"])
    assert str(caught.value).isprintable() and not (tmp_path / "out").exists()
    zoo.save(path, small[0], "stylegan2-G", replace=True, config={"a\x1b\n": 1})
    with pytest.raises(SystemExit, match="unexpected keyword argument 'a  '") as caught:
        __main__.main(["info", str(path)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name,value,message", [
    ("mapping.fc0.weight", torch.zeros(4), "mapping.fc0.weight has shape [4]; it needs 2 or more dimensions"),
    ("mapping.w_avg", torch.zeros([]), "mapping.w_avg has shape []; it needs 1 or more dimensions"),
    ("synthesis.b8.conv1.weight", torch.zeros(4), "synthesis.b8.conv1.weight has shape [4]; it needs 2 or more dimensions"),
    ("synthesis.b8.conv1.bias", None, "missing ['synthesis.b8.conv1.bias']"),
    ("synthesis.b4.torgb.weight", None, "its tensor 'synthesis.b4.torgb.weight' is missing"),
    ("synthesis.b4.conv1.weight", None, "its tensor 'synthesis.b4.conv1.weight' is missing"),
    ("synthesis.b8.conv1.affine.bias", torch.zeros(3), "synthesis.b8.conv1.affine.bias has shape [3]; its network needs [4]"),
    ("synthesis.b9.conv1.weight", torch.zeros(4, 4, 3, 3), "it has layers at 9 px")])
def test_a_missing_or_misshapen_tensor_is_one_error_and_nothing_is_written(name, value, message, small, tmp_path, capsys):
    G, path = dict(small[0]), tmp_path / "G.safetensors"
    G.pop(name, None)
    zoo.save(path, G if value is None else G | {name: value}, "stylegan2-G")
    zoo.save(tmp_path / "D.safetensors", small[1], "stylegan2-D")
    sources = path, tmp_path / "D.safetensors"
    commands = [["info", path]] + [["convert", *sources, tmp_path / "out", "--to", to] for to in formats.TARGETS]
    for command in commands:
        with pytest.raises(SystemExit, match="^python -m course_lib.zoo: G.safetensors cannot be read: .*" + re.escape(message)):
            __main__.main(list(map(str, command)))
        assert capsys.readouterr().out == "" and {file.name for file in tmp_path.iterdir()} == {"G.safetensors", "D.safetensors"}


@pytest.mark.parametrize("config,message", [
    ({"conv_clamp": "a"}, "read: its conv_clamp is 'a'; it should be a number"),
    ({"conv_clamp": 10 ** 12}, "written: its networks are damaged"), ([], "read: it is damaged")])
def test_options_that_a_format_cannot_hold_are_one_error_too(config, message, small, tmp_path):
    sources = [zoo.save(tmp_path / f"{part}.safetensors", state, f"stylegan2-{part}", config=config)
               for part, state in zip("GD", small)]
    with pytest.raises(SystemExit, match=f"^python -m course_lib.zoo: [a-zA-Z.]* cannot be {message}"):
        __main__.main(["convert", *map(str, sources), str(tmp_path / "out"), "--to", "tensorflow"])
    assert not (tmp_path / "out").exists()


# Hostile files

def test_a_small_file_that_promises_a_wide_layer_is_refused_before_memory_is_taken(small, tmp_path):
    """conv1 of 9,000 feature maps from 4 would make a network of 2.9 GB."""
    G = small[0] | {"synthesis.b4.conv1.weight": torch.zeros(9000, 4, 3, 3)}
    (tmp_path / "G.pkl").write_bytes(files.dump(files.official(G), 4))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FormatError, match=r"has shape \["):
        zoo.load(tmp_path / "G.pkl")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize("value", [fuzz.deep(), fuzz.laughs()], ids=["deep", "wide"])
def test_a_dtype_named_by_tuples_in_tuples_is_refused(value, tmp_path):
    """Their hash would take a deeper stack or more time than there is, so in a process of its own."""
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04" + fuzz.weight(fuzz.array([1], value, bytes(4))) + b".")
    done = subprocess.run([sys.executable, "-m", "course_lib.zoo", "info", str(path)], capture_output=True, text=True,
                          cwd=Path(__file__).parents[1], timeout=60)
    assert done.returncode == 1 and "an array's dtype is none of little-endian numbers" in done.stderr


def test_names_and_texts_longer_than_the_file_are_not_made(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + fuzz.long_names(20_000) + b".")
    with pytest.raises(FormatError, match="a tensor's name is no short string"):
        zoo.load(tmp_path / "a.pkl")
    with pytest.raises(FormatError, match="several times its own size"):
        formats.nvidia_pytorch.plain([[["x" * 200] * 50] * 50] * 50, formats.Limits(1000))
    assert formats.nvidia_pytorch.plain([2 ** 64, 5], formats.Limits(1000)) == ["?", 5]


def test_a_noise_image_of_an_absurd_number_is_refused_before_its_resolution_is_computed():
    with pytest.raises(ValueError, match='no place for the variable "noise4000000000"'):
        formats.growing_layouts.stylegan_discriminator({"4x4/Conv/bias": torch.zeros(1),
                                                        "noise4000000000": torch.zeros(1, 1, 2, 2)})


def test_values_that_share_a_hash_are_compared_in_little_time():
    """Integers a multiple of 2⁶¹ − 1 apart do; a set of 20,000 of them takes seconds."""
    from time import process_time
    before = process_time()
    with pytest.raises(FormatError, match="different values of conv_clamp"):
        formats.nvidia_pytorch._same([1 + i * (2 ** 61 - 1) for i in range(20_000)], "conv_clamp", formats.Limits(1))
    assert process_time() - before < 1


@pytest.mark.parametrize("layout", ["rosinality", "nvidia", "tensorflow", "safetensors"])
def test_a_mapping_of_thousands_of_layers_is_refused(layout, small, tmp_path, monkeypatch):
    G, path = dict(small[0]), tmp_path / "G"
    G |= {f"mapping.fc{i}.{field}": G[f"mapping.fc1.{field}"].clone() for i in range(2, 65) for field in ("weight", "bias")}
    monkeypatch.setattr(formats.missing, "mean_latent", lambda *_: pytest.fail("mapped latents through all layers"))
    if layout == "rosinality":
        path.write_bytes(fuzz.layers(66))
    elif layout == "safetensors":
        zoo.save(path, G, "stylegan2-G")
    else:
        network = files.official(G) if layout == "nvidia" else files.tf_network("G", files.tf_variables(G), {})
        path.write_bytes(files.dump(network, 4))
    with pytest.raises(FormatError, match="it has 65 mapping layers; networks of StyleGAN have 8, and at most 64 are read"):
        zoo.load(path)


def test_a_mapping_layer_of_a_million_features_is_refused():
    tensors = {"mapping.fc0.weight": torch.zeros(1).expand(10 ** 6, 1), "mapping.fc0.bias": torch.zeros(1).expand(10 ** 6)}
    with pytest.raises(FormatError, match="mapping layers are 1,000,000 wide"):
        formats.missing.mean_latent(tensors, "stylegan2-G")


def test_a_zip_file_with_a_huge_directory_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_bytes(fuzz.crowded(30_000))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("parsed the directory"))
    with pytest.raises(FormatError, match="its zip directory has 1,410,000 bytes; that of a PyTorch file has at most 1,048,576"):
        zoo.load(path)
    for damaged in (path.read_bytes() + b"!", path.read_bytes().replace(b"PK\6\6", b"PK\6\5")):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="it is no complete zip file"):
            zoo.load(path)


@pytest.mark.parametrize("count", [80, pytest.param(400, marks=pytest.mark.slow)])
def test_hostile_files_run_nothing_and_cost_little(count):
    """In a process of its own, under a limit of memory and a clock for every file. FORMAT_FUZZ=2400 sets how many."""
    count = os.environ.get("FORMAT_FUZZ", str(count))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("fuzz_formats.py")), "--files", count],
                          capture_output=True, text=True, env=environment, timeout=800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["files"] >= int(count) and result["unexpected"] == 0, done.stderr[-3000:]
    assert result["refused"] > 0.5 * result["files"] and result["valid"] > 0
    assert result["slowest_s"] < 10 and result["most_memory_mb"] < 1000
