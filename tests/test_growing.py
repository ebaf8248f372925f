"""Training that grows: the schedule in the loop, resume in a fade, stages, and clear errors."""
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_lib import ops, train, zoo
from course_lib.networks import layers, pggan, stylegan
from course_lib.training import checkpoint, data, growing, options, schedule

TINY = ["--resolution", "16", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--batch", "8", "--device", "cpu",
        "--dtype", "float32", "--data-size", "32", "--stable", "80", "--fade", "80", "--log-every", "8",
        "--checkpoint-every", "1m"]
MODELS = {"pggan": [], "stylegan": ["--w-dim", "8", "--mapping-layers", "2", "--start", "4"]}
models = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(32):
        Image.fromarray(rng.integers(0, 256, [16, 16, 3], dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def run(model, out, folder, *more):
    train.main([model, *TINY, *MODELS[model], "--data", str(folder), "--out", str(out), *more])


def state(out):
    return load_file(checkpoint.folders(out)[-1] / "state.safetensors")


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@models
def test_a_run_stopped_anywhere_continues_bit_exactly(model, tmp_path, folder):
    run(model, tmp_path / "whole", folder)
    for stop in (120, 160, 264):      # in a fade between two looks at the schedule, where a fade ends, in the second fade
        run(model, tmp_path / f"{stop}", folder, "--images", str(stop))
        run(model, tmp_path / f"{stop}", folder, "--resume", "--images", "400")
        whole, resumed = state(tmp_path / "whole"), state(tmp_path / f"{stop}")
        assert whole.keys() == resumed.keys()
        different = [key for key in whole if not torch.equal(whole[key], resumed[key])]
        assert not different, (stop, different[:5])
        for path in (tmp_path / "whole" / "stages").iterdir():
            mine, theirs = zoo.read(path), zoo.read(tmp_path / f"{stop}" / "stages" / path.name)
            assert mine[1] == theirs[1] and mine[0].keys() == theirs[0].keys()
            assert all(torch.equal(mine[0][key], theirs[0][key]) for key in mine[0])
    assert whole["buffers.stage"].tolist() == [16, 0]


@models
def test_resolution_and_alpha_follow_the_schedule(model, tmp_path, folder):
    run(model, tmp_path, folder)
    lines = log(tmp_path)
    assert [line["images"] for line in lines] == list(range(8, 408, 8))
    for line in lines:
        looked = (line["images"] - 8) // 32 * 32
        assert (line["resolution"], line["alpha"]) == pytest.approx(schedule.growing(looked, 16, 4, 80, 80))
    assert {line["resolution"] for line in lines} == {4, 8, 16}
    assert sorted({round(line["alpha"], 6) for line in lines}) == [0.2, 0.6, 1.0]


def test_a_new_stage_forgets_adams_moments_and_a_switch_needs_no_fade(tmp_path, folder):
    run("pggan", tmp_path / "fade", folder)
    steps = [int(value) for key, value in state(tmp_path / "fade").items() if key.startswith("G_opt.") and key.endswith("step")]
    assert steps and max(steps) <= 80 // 8 and len(steps) < len(list(pggan.Generator(16).parameters()))
    run("pggan", tmp_path / "switch", folder, "--fade", "0")
    assert {line["alpha"] for line in log(tmp_path / "switch")} == {1.0}
    assert [line["resolution"] for line in log(tmp_path / "switch")][-1] == 16


@models
def test_every_stage_leaves_a_generator_that_knows_how_far_it_has_grown(model, tmp_path, folder):
    run(model, tmp_path, folder)
    files = sorted(path.name for path in (tmp_path / "stages").iterdir())
    assert files == ["G-0004.safetensors", "G-0008-fade.safetensors", "G-0008.safetensors", "G-0016-fade.safetensors"]
    G = zoo.load(tmp_path / "stages" / "G-0008-fade.safetensors")
    z = torch.randn(3, 8)
    assert G.resolution == G.reached == 8 and G(z, noise="none").shape == (3, 3, 8, 8)
    low, high = G(z, resolution=4, noise="none"), G(z, noise="none")
    assert torch.allclose(G(z, alpha=0.0, noise="none"), ops.upscale2d(G(z, alpha=0.0, noise="none")[:, :, ::2, ::2]))
    assert not torch.allclose(low, high[:, :, ::2, ::2])
    stable = zoo.load(tmp_path / "stages" / "G-0008.safetensors")
    assert (stable.reached, stable.resolution) == (8, 8)
    assert torch.equal(stable(z, noise="none"), stable(z, noise="none", alpha=1.0))
    run(model, tmp_path / "half", folder, "--images", "128")
    half = zoo.load(checkpoint.folders(tmp_path / "half")[-1] / "G_ema.safetensors")
    assert torch.equal(half(z, noise="none"), half(z, noise="none", alpha=0.2))
    final = zoo.load(checkpoint.folders(tmp_path)[-1] / "G_ema.safetensors")
    assert final.reached == 16


def test_rates_anneal_from_the_table_and_the_weight_of_r1_falls(tmp_path, folder):
    given = ["--lr", "4:0.001,16:0.004", "--lr-anneal", "0.5", "--loss", "logistic", "--r1-gamma-end", "0.1"]
    s = replace(options.as_typed("pggan", *TINY, *given), images=400)
    built, reals = growing.build(s, "cpu"), data.Resident(torch.zeros(8, 3, 16, 16, dtype=torch.uint8))
    plan, rates = growing.plan(built, reals, s, "cpu", tmp_path), []
    for built.images in (0, 200, 300, 400):
        plan()
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in (built.G_opt, built.D_opt)])
    assert rates == [pytest.approx([lr, lr]) for lr in (0.001, 0.001, 0.001, 0)]
    run("pggan", tmp_path / "whole", folder, *given, "--checkpoint-every", "200")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(checkpoint.folders(tmp_path / "cut")[-1])
    run("pggan", tmp_path / "cut", folder, "--resume", "--checkpoint-every", "200")
    run("pggan", tmp_path / "plain", folder, *given[:6])
    whole, cut, plain = (state(tmp_path / name) for name in ("whole", "cut", "plain"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert not torch.equal(whole["D.b4.out.weight"], plain["D.b4.out.weight"])
    with pytest.raises(SystemExit, match="--r1-gamma-end is of R1, which --loss wgan-gp does not have"):
        run("pggan", tmp_path / "none", folder, "--r1-gamma-end", "1")


def test_without_growing_the_first_resolution_is_the_last(tmp_path, folder):
    run("pggan", tmp_path, folder, "--start", "16")
    assert {line["resolution"] for line in log(tmp_path)} == {16} and log(tmp_path)[-1]["images"] == 80


@pytest.mark.parametrize("options", [["--no-equalized"], ["--no-pixel-norm"], ["--group-size", "1"], ["--loss", "logistic"]])
def test_every_ingredient_can_be_left_out(options, tmp_path, folder):
    run("pggan", tmp_path, folder, *options, "--images", "96")
    run("pggan", tmp_path, folder, "--resume", "--images", "160")
    G = zoo.load(checkpoint.folders(tmp_path)[-1] / "G_ema.safetensors")
    assert torch.isfinite(G(torch.randn(2, 8))).all()
    assert (G.dense.scale == 1) == ("--no-equalized" in options)
    assert G.pixel_norm == ("--no-pixel-norm" not in options)


@models
def test_wrong_uses_are_named(model, tmp_path, folder):
    run(model, tmp_path / "run", folder, "--images", "120")
    G = zoo.load(checkpoint.folders(tmp_path / "run")[-1] / "G_ema.safetensors")
    with pytest.raises(ValueError, match="resolution 16 is not one of this network's: 4, 8"):
        G(torch.randn(1, 8), resolution=16)
    with pytest.raises(ValueError, match="alpha is 1.5; it goes from 0"):
        G(torch.randn(1, 8), alpha=1.5)
    other = {"pggan": "stylegan", "stylegan": "pggan"}[model]
    with pytest.raises(SystemExit, match=f"holds a run of {model}, not of {other}"):
        run(other, tmp_path / "run", folder, "--resume")
    with pytest.raises(SystemExit, match="was started without --no-equalized and goes on so; leave it out"):
        run(model, tmp_path / "run", folder, "--resume", "--no-equalized")
    with pytest.raises(SystemExit, match="--start 32 is above --resolution 16"):
        run(model, tmp_path / "a", folder, "--start", "32")
    with pytest.raises(SystemExit, match="--batch 6 does not divide"):
        run(model, tmp_path / "b", folder, "--batch", "4:8,16:6")
    with pytest.raises(SystemExit):
        run(model, tmp_path / "c", folder, "--batch", "many")


def test_a_later_stage_is_not_reached_yet_and_another_stages_weights_do_not_fit():
    G = pggan.Generator(16, 8, 64, 8, reached=8)
    with pytest.raises(ValueError, match="has grown to 8 px; 16 px belongs to a later stage"):
        G(torch.randn(1, 8), resolution=16)
    D = pggan.Discriminator(16, 64, 8, reached=8)
    with pytest.raises(ValueError, match="has grown to 8 px; 16 px belongs to a later stage"):
        D(torch.randn(4, 3, 16, 16))
    smaller = stylegan.Generator(8, 8, 8, 64, 8)
    with pytest.raises(ValueError, match=r"of a network grown to 8 px; this one goes to 16 px"):
        layers.load_strictly(stylegan.Generator(16, 8, 8, 64, 8), smaller.state_dict())
    with pytest.raises(ValueError, match="has no truncation"):
        G(torch.randn(1, 8), psi=0.7)
    with pytest.raises(ValueError, match="noise is .*loud"):
        smaller.synthesis(torch.randn(1, 8), noise="loud")
    with pytest.raises(ValueError, match="a list of 2"):
        smaller.synthesis(torch.randn(1, 8), noise=["none", "none"])


@models
def test_a_network_survives_its_file(model, tmp_path):
    torch.manual_seed(0)
    G, D, config = ((pggan.Generator(16, 8, 64, 8, pixel_norm=False, equalized=False), pggan.Discriminator(16, 64, 8),
                     {"pixel_norm": False, "equalized": False}) if model == "pggan" else
                    (stylegan.Generator(16, 8, 8, 64, 8, mapping_layers=3, mapping_width=5),
                     stylegan.discriminator(16, channel_base=64, channel_max=8), {}))
    zoo.save(tmp_path / "G.safetensors", G.state_dict(), f"{model}-G", config=config)
    zoo.save(tmp_path / "D.safetensors", D.state_dict(), f"{model}-D")
    z = torch.randn(4, 8)
    images = G(z, noise="none", alpha=0.3)
    assert torch.equal(zoo.load(tmp_path / "G.safetensors")(z, noise="none", alpha=0.3), images)
    assert torch.equal(zoo.load(tmp_path / "D.safetensors")(images, alpha=0.3), D(images, alpha=0.3))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_may_be_a_tensor_as_in_a_recorded_step(alpha):
    torch.manual_seed(0)
    G, D = stylegan.Generator(16, 8, 8, 64, 8), stylegan.discriminator(16, channel_base=64, channel_max=8)
    ws = torch.randn(4, G.num_ws, 8)
    images = G.synthesis(ws, noise="none", alpha=alpha)
    assert torch.allclose(G.synthesis(ws, noise="none", alpha=torch.tensor(alpha)), images, atol=1e-6)
    assert torch.allclose(D(images, alpha=torch.tensor(alpha)), D(images, alpha=alpha), atol=1e-6)


@pytest.mark.parametrize("alpha", [1.5, -0.1, float("nan"), "0.5", [0.5], torch.tensor(1.5), torch.tensor([0.2, -0.1])])
def test_an_alpha_that_is_no_share_is_named(alpha):
    G, D = stylegan.Generator(8, 8, 8, 64, 8), pggan.Discriminator(8, 64, 8)
    for use in (lambda: G(torch.randn(2, 8), alpha=alpha), lambda: D(torch.randn(2, 3, 8, 8), alpha=alpha),
                lambda: pggan.Generator(8, 8, 64, 8)(torch.randn(2, 8), alpha=alpha)):
        with pytest.raises(ValueError, match="alpha is .*; it goes from 0"):
            use()


def test_alpha_is_not_looked_at_where_that_would_wait():
    G = pggan.Generator(8, 8, 64, 8).to("meta")
    assert G(torch.randn(2, 8, device="meta"), alpha=torch.tensor(0.5, device="meta")).shape == (2, 3, 8, 8)


def test_reals_are_averaged_to_the_resolution():
    reals = torch.randint(0, 256, [5, 3, 16, 16], dtype=torch.uint8)
    small = data.downscaled(reals, 4, chunk=2)
    assert small.dtype == torch.uint8 and small.shape == (5, 3, 4, 4)
    assert small[4, 1, 2, 3].item() == round(reals[4, 1, 8:12, 12:16].float().mean().item())


def test_the_fused_forms_have_the_gradients_of_the_reference():
    torch.manual_seed(0)
    G, D = (network.double()
            for network in (stylegan.Generator(16, 8, 8, 64, 8), stylegan.discriminator(16, channel_base=64, channel_max=8)))
    reals = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    grads = []
    for impl in ("reference", "fused"):
        images = G.synthesis(torch.ones(4, G.num_ws, 8, dtype=torch.float64), noise="none", impl=impl)
        x = (images + reals).requires_grad_()
        penalty = torch.autograd.grad(D(x, impl=impl).sum(), x, create_graph=True)[0].square().sum()
        grads.append(torch.autograd.grad(penalty, [*D.parameters(), *G.synthesis.parameters()], allow_unused=True))
    assert any(g is not None and g.abs().max() > 0 for g in grads[0])
    for exact, fused in zip(*grads):
        assert (exact is None) == (fused is None) and (exact is None or torch.allclose(exact, fused, rtol=1e-9, atol=1e-12))
