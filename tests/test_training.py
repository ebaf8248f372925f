"""The loop: resume after a kill, a stop on NaN, wrong use of the command line."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import official_files
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_lib import train, zoo
from course_lib.training import checkpoint, data, loop, schedule, stylegan2

TINY = ["stylegan2", "--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--w-dim", "8",
        "--mapping-layers", "2", "--batch", "8", "--device", "cpu", "--dtype", "float32", "--data-size", "32",
        "--log-every", "80", "--checkpoint-every", "80"]


@pytest.fixture
def folder(tmp_path_factory):
    """Images of mixed modes and shapes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i, (mode, size) in enumerate([("RGB", (20, 20)), ("RGBA", (24, 16)), ("L", (9, 30)), ("P", (16, 16))] * 4):
        channels = {"RGB": 3, "RGBA": 4}.get(mode)
        pixels = rng.integers(0, 256, [*size[::-1], channels] if channels else size[::-1], dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i:02d}.png")
    return folder


def run(out, folder, images, *more):
    train.main([*TINY, "--data", str(folder), "--out", str(out), "--images", str(images), *more])


def state(out):
    return load_file(checkpoint.folders(out)[-1] / "state.safetensors")


def test_a_killed_run_resumes_to_the_same_weights_as_an_uninterrupted_one(tmp_path, folder):
    run(tmp_path / "whole", folder, 800)
    command = [sys.executable, "-m", "course_lib.train", *TINY, "--data", str(folder), "--out", str(tmp_path / "cut"),
               "--images", "800"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(checkpoint.folders(tmp_path / "cut")) < 2 and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed_at = int(checkpoint.folders(tmp_path / "cut")[-1].name)
    assert 0 < killed_at < 800, "the run ended before it could be killed"
    run(tmp_path / "cut", folder, 800, "--resume")
    whole, resumed = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    different = [key for key in whole if not torch.equal(whole[key], resumed[key])]
    assert not different, different[:5]
    logs = [[json.loads(line)["images"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
            for name in ("whole", "cut")]
    assert logs[0] == logs[1] == sorted(set(logs[0]))


def test_annealing_lowers_the_learning_rate_in_the_last_share_of_the_run_and_survives_a_resume(tmp_path, folder):
    assert [schedule.anneal(images, 800, 0.25) for images in (0, 600, 700, 800)] == [1, 1, 0.25, 0]
    s = vars_of(TINY) | {"world": None, "images": 80, "lr_anneal": 0.5}
    built = stylegan2.build(s, "cpu")
    full = built.D_opt.param_groups[0]["lr"]
    plan = stylegan2.plan(built, torch.zeros(8, 3, 8, 8, dtype=torch.uint8), s, "cpu")
    rates = []
    for built.images in (0, 40, 60):
        plan()
        rates.append(built.D_opt.param_groups[0]["lr"] / full)
    assert rates == pytest.approx([1, 1, 0.25])
    run(tmp_path / "whole", folder, 320, "--lr-anneal", "0.5")
    run(tmp_path / "plain", folder, 320)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(checkpoint.folders(tmp_path / "cut")[-1])
    run(tmp_path / "cut", folder, 320, "--resume")
    whole, cut, plain = (state(tmp_path / name)["G.synthesis.b4.const"] for name in ("whole", "cut", "plain"))
    assert torch.equal(whole, cut) and not torch.equal(whole, plain)


def test_the_weight_of_r1_falls_by_the_same_factor_per_image(tmp_path, folder):
    assert [schedule.geometric(images, 800, 4, 0.25) for images in (0, 200, 400, 800)] == [4, 2, 1, 0.25]
    run(tmp_path / "falling", folder, 320, "--r1-gamma", "4", "--r1-gamma-end", "0.25")
    run(tmp_path / "same", folder, 320, "--r1-gamma", "4", "--r1-gamma-end", "4")
    run(tmp_path / "plain", folder, 320, "--r1-gamma", "4")
    falling, same, plain = (state(tmp_path / name)["D.b4.fc.weight"] for name in ("falling", "same", "plain"))
    assert torch.equal(same, plain) and not torch.equal(falling, plain)
    with pytest.raises(ValueError, match="give both, or neither"):
        stylegan2.plan(None, None, vars_of(TINY) | {"r1_gamma": 0.0, "r1_gamma_end": 1.0}, "cpu")


def test_only_a_regularized_network_has_the_constants_of_lazy_regularization():
    s = vars_of(TINY) | {"world": None, "pl_weight": 0.0}
    networks = stylegan2.build(s, "cpu")
    plain, lazy = (optimizer.param_groups[0] for optimizer in (networks.G_opt, networks.D_opt))
    assert (plain["lr"], plain["betas"]) == (s["lr"], (0.0, 0.99))
    assert lazy["lr"] == pytest.approx(s["lr"] * 16 / 17) and lazy["betas"][1] == pytest.approx(0.99 ** (16 / 17))


def test_a_loaded_run_keeps_adams_moments_in_the_memory_format_of_their_weights(tmp_path, folder):
    """Fused Adam on a GPU refuses any other."""
    run(tmp_path, folder, 80)
    networks = stylegan2.build(vars_of(TINY) | {"world": None}, "cpu")
    checkpoint.load(checkpoint.folders(tmp_path)[-1], networks)
    moments = [(parameter, value) for optimizer in (networks.G_opt, networks.D_opt) for parameter, fields in optimizer.state.items()
               for value in fields.values() if value.ndim]
    assert any(not parameter.is_contiguous() for parameter, _ in moments)
    assert all(value.stride() == parameter.stride() for parameter, value in moments)


def test_the_first_layer_is_not_made_of_the_latents_of_its_seed(tmp_path, folder):
    run(tmp_path, folder, 8)
    weight = state(tmp_path)["G.mapping.fc0.weight"]
    latents = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    assert torch.corrcoef(torch.stack([weight.flatten(), latents.flatten()]))[0, 1].abs() < 0.5


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, folder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, folder, 80, "--seed", str(seed))
    a, b, c = (state(tmp_path / name)["ema.synthesis.b4.const"] for name in "abc")
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_a_run_begins_with_the_networks_of_another_or_of_a_file(tmp_path, folder):
    run(tmp_path / "first", folder, 160)
    run(tmp_path / "second", folder, 8, "--init", str(tmp_path / "first"), "--lr", "0")
    before, after = state(tmp_path / "first"), state(tmp_path / "second")
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith(("D.", "G.")) and "w_avg" not in key)
    assert not torch.equal(before["G.synthesis.b8.conv0.weight"], before["ema.synthesis.b8.conv0.weight"])
    own, averaged, begun = (x["synthesis.b8.conv0.weight"] for x in (
        {k.removeprefix("G."): v for k, v in before.items()}, {k.removeprefix("ema."): v for k, v in before.items()},
        {k.removeprefix("ema."): v for k, v in after.items()}))
    assert (begun - averaged).norm() < 0.1 * (own - averaged).norm(), "the average goes on from the old one"
    assert after["buffers.pl_mean"] > 0
    with pytest.raises(SystemExit, match=r"first does not fit this run, .* sizes .*; G: synthesis\.b4\.const has shape \[8, 4, 4\]"):
        run(tmp_path / "third", folder, 8, "--init", str(tmp_path / "first"), "--channel-max", "4")
    with pytest.raises(SystemExit, match="oracle-portraits-64 cannot begin this run: as its generator it gives a .*Reader"):
        run(tmp_path / "third", folder, 8, "--init", "oracle-portraits-64")
    generator = str(zoo.DATA / "stylegan2-portraits-64.safetensors")
    with pytest.raises(SystemExit, match='cannot begin a run, which needs a generator and a discriminator: .*no part "D"'):
        run(tmp_path / "third", folder, 8, "--init", generator)
    with pytest.raises(SystemExit, match="has no checkpoint to begin with"):
        run(tmp_path / "third", folder, 8, "--init", str(folder))
    assert not (tmp_path / "third").exists()


def test_a_run_begins_with_a_model_of_the_course(tmp_path, folder):
    out = tmp_path / "run"
    train.main(["stylegan2", "--init", "stylegan2-portraits-64", "--images", "4", "--batch", "4", "--lr", "0", "--device", "cpu",
                "--dtype", "float32", "--data-size", "4", "--data", str(folder), "--out", str(out)])
    found, shipped = state(out), zoo.load("stylegan2-portraits-64", "D").state_dict()
    assert all(torch.equal(found[f"D.{key}"], value) for key, value in shipped.items())


def test_a_run_begins_with_an_official_file(tmp_path, folder):
    run(tmp_path / "first", folder, 80)
    before = state(tmp_path / "first")
    G, D = ({key.removeprefix(part): value for key, value in before.items() if key.startswith(part)} for part in ("G.", "D."))
    (tmp_path / "network.pkl").write_bytes(official_files.dump(official_files.snapshot(G, D), 4))
    run(tmp_path / "second", folder, 8, "--init", str(tmp_path / "network.pkl"), "--lr", "0")
    after = state(tmp_path / "second")
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith(("D.", "G.")) and "w_avg" not in key)


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, folder):
    run(tmp_path / "run", folder, 320)
    good = {path.name for path in checkpoint.folders(tmp_path / "run")}
    settings = checkpoint.settings(checkpoint.folders(tmp_path / "run")[-1]) | {"images": 640}
    broken = stylegan2.build(settings, "cpu")
    checkpoint.load(checkpoint.folders(tmp_path / "run")[-1], broken)
    broken.G.synthesis.b8.conv0.weight.data[0, 0, 0, 0] = float("nan")
    reals = data.from_folder(folder, 8, 32)
    with pytest.raises(loop.Diverged, match="not finite after .* last good checkpoint is .*0000000320"):
        loop.train(tmp_path / "run", broken, stylegan2.plan(broken, reals, settings, "cpu"), settings, "cpu", progress=False)
    assert {path.name for path in checkpoint.folders(tmp_path / "run")} == good


def test_a_run_is_never_overwritten_by_accident(tmp_path, folder):
    run(tmp_path / "run", folder, 80)
    with pytest.raises(SystemExit, match="already holds a run; add --resume"):
        run(tmp_path / "run", folder, 80)
    with pytest.raises(SystemExit, match="no checkpoint to resume from"):
        run(tmp_path / "other", folder, 80, "--resume")
    with pytest.raises(SystemExit, match="was started with --lr 0.002 and goes on with it; leave --lr 0.01 out"):
        run(tmp_path / "run", folder, 160, "--resume", "--lr", "0.01")


def test_wrong_options_are_named(tmp_path, folder):
    with pytest.raises(SystemExit, match="batch 6 does not divide into the groups of 4 .* choose 4 or 8"):
        run(tmp_path / "run", folder, 80, "--batch", "6")
    with pytest.raises(SystemExit, match="resolution 48 is not a power of two"):
        run(tmp_path / "run", folder, 80, "--resolution", "48")
    with pytest.raises(SystemExit, match="holds no images"):
        run(tmp_path / "run", tmp_path / "nothing", 80)


def test_a_half_written_checkpoint_is_ignored(tmp_path, folder):
    run(tmp_path / "run", folder, 160)
    (tmp_path / "run" / "checkpoints" / "0000000240.partial").mkdir()
    assert [path.name for path in checkpoint.folders(tmp_path / "run")] == ["0000000080", "0000000160"]


def test_the_checkpoint_loads_as_a_generator_by_its_path(tmp_path, folder):
    run(tmp_path / "run", folder, 80)
    G = zoo.load(checkpoint.folders(tmp_path / "run")[-1] / "G_ema.safetensors")
    assert G(torch.randn(3, 8)).shape == (3, 3, 8, 8) and not G.training


def test_folders_without_images_and_broken_images_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        data.from_folder(tmp_path, 8, 4)
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="bad.png is not an image"):
        data.from_folder(tmp_path, 8, 4)


def test_one_pass_over_reals_and_fakes_equals_two():
    s = vars_of(TINY) | {"world": None}
    D = stylegan2.build(s, "cpu").D
    reals, fakes = torch.randn(2, 8, 3, 8, 8).unbind()
    both = stylegan2.judge_both(D, reals, fakes)
    assert torch.allclose(both[0], D(reals), atol=1e-5) and torch.allclose(both[1], D(fakes), atol=1e-5)


def test_the_shares_of_the_resolutions_sum_to_one():
    shares = stylegan2.rgb_shares(stylegan2.build(vars_of(TINY), "cpu").G)
    assert list(shares) == ["4", "8"] and sum(shares.values()) == pytest.approx(1)


def vars_of(arguments):
    import argparse
    parser = argparse.ArgumentParser()
    train.stylegan2_options(parser)
    return vars(parser.parse_args([*arguments[1:], "--out", "unused"]))
