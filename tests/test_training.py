"""The loop: resume after a kill, a stop on NaN, wrong use of the command line."""
import errno
import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

import official_files
from course_lib import files, losses, train, zoo
from course_lib.perception import common
from course_lib.training import checkpoint, data, loop, options, outputs, schedule, settings, stylegan2
from course_lib.training.adam import adam, set_gradient

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


@pytest.mark.parametrize("model", settings.MODELS)
def test_settings_come_back_as_they_were_stored_and_those_of_older_runs_get_the_defaults_of_what_they_lack(model):
    mine = replace(options.as_typed(model, "--lr", "0.5", "--batch", "12", "--mirror"), dataset_version="1", classes=["a", "b"])
    stored = json.loads(json.dumps(mine.stored()))
    assert stored["world"] == "1" and settings.from_stored(stored) == mine
    older = {"model": model, "compile": True, "images": 80, "world": None}
    assert settings.from_stored(older) == settings.MODELS[model](images=80)


RELATIVISTIC = dict(loss="relativistic", r2=True)


def gradients(batch_gpu, names, **changed):
    """What these phases of one step move the weights by, at a rate of 1, in float64: the gradients of a batch of 16."""
    s = replace(options.as_typed(*TINY), batch=16, batch_gpu=batch_gpu, dtype="float64", **changed)
    torch.manual_seed(0)
    built = stylegan2.build(s, "cpu")
    for network in (built.G, built.D):
        network.double()
        for p in network.parameters():
            p.data += 0.1 * torch.randn_like(p) * (p.ndim > 0)      # noise strengths stay 0: every part draws noise of its own
    built.G_opt, built.D_opt = (torch.optim.SGD(network.parameters(), lr=1.0) for network in (built.G, built.D))
    before = [p.detach().clone() for p in (*built.G.parameters(), *built.D.parameters())]
    reals = data.Resident(torch.randint(0, 256, [32, 3, 8, 8], dtype=torch.uint8))
    for phase in stylegan2.phases(built, reals, s, "cpu", 10.0):
        if phase.name in names:
            torch.manual_seed(1)
            phase.step()
    return [b - p.detach() for b, p in zip(before, (*built.G.parameters(), *built.D.parameters())) if p.ndim], built


@pytest.mark.parametrize("batch_gpu", [4, 8])
@pytest.mark.parametrize("loss", [{}, RELATIVISTIC], ids=["logistic", "relativistic"])
@pytest.mark.parametrize("names", [["generator"], ["discriminator", "r1"]], ids=["G", "D and R1"])
def test_gradients_added_up_over_parts_are_those_of_the_undivided_batch(names, loss, batch_gpu):
    whole, parts = gradients(None, names, **loss)[0], gradients(batch_gpu, names, **loss)[0]
    assert any(g.any() for g in whole)
    for a, b in zip(whole, parts):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_relativistic_loss_is_of_the_difference_of_two_logits():
    a, b = torch.randn(2, 8, dtype=torch.float64).unbind()
    assert torch.allclose(losses.relativistic_loss(a, b), -torch.sigmoid(a - b).log())
    assert losses.relativistic_loss(a + 5, a - 5).max() < 1e-4
    for phase, networks in (("generator", "G"), ("discriminator", "D")):
        moved, built = gradients(None, [phase], **RELATIVISTIC)
        names = [name for network in "GD" for name, p in getattr(built, network).named_parameters() if p.ndim]
        by_name = dict(zip(names, moved))
        assert by_name["b4.out.bias"].abs().max() < 1e-12                       # what all logits share changes nothing
        assert any(g.any() for g in moved), networks


def test_r2_adds_the_penalty_of_fakes_to_that_of_reals():
    alone, both = (gradients(None, ["r1"], r2=r2)[0] for r2 in (False, True))
    assert any((a - b).abs().max() > 1e-6 for a, b in zip(alone, both))
    penalties = {}
    for r2 in (False, True):
        _, built = gradients(None, [], r2=r2)
        s = replace(options.as_typed(*TINY), batch=16, dtype="float64", r2=r2)
        reals = data.Resident(torch.zeros(32, 3, 8, 8, dtype=torch.uint8))
        step, = (phase.step for phase in stylegan2.phases(built, reals, s, "cpu", 10.0) if phase.name == "r1")
        penalties[r2] = step()
    assert penalties[False].keys() == {"r1_penalty"} and penalties[True].keys() == {"r1_penalty", "r2_penalty"}
    assert penalties[True]["r1_penalty"] == penalties[False]["r1_penalty"] != penalties[True]["r2_penalty"]


def test_the_path_lengths_mean_moves_with_every_part(monkeypatch):
    means, penalty = [], losses.path_length_penalty

    def recorded(images, ws, noise, mean, decay=0.01):
        means.append([len(images), mean.item(), (found := penalty(images, ws, noise, mean, decay))[1].item()])
        return found
    monkeypatch.setattr(losses, "path_length_penalty", recorded)
    _, built = gradients(8, ["path_length"])
    assert [n for n, _, _ in means] == [4, 4] and means[0][1] == 0
    assert means[1][1] == means[0][2] > 0 and built.buffers["pl_mean"].item() == pytest.approx(means[1][2])


@pytest.mark.parametrize("n, size, parts", [(6, 6, [6]), (12, 6, [6, 6]), (20, 10, [10, 10]), (1, 1, [1]), (16, 4, [4] * 4)])
def test_a_batch_is_divided_into_parts_of_the_size_asked_for(n, size, parts):
    found = stylegan2.parts(torch.arange(n), size)
    assert [len(part) for part in found] == parts and sorted(torch.cat(found).tolist()) == list(range(n))


def test_parts_that_would_split_a_group_of_the_minibatch_statistic_are_refused():
    with pytest.raises(ValueError, match="choose one of 4, 8, 16"):
        stylegan2.check_batch(16, batch_gpu=6)
    with pytest.raises(ValueError, match="choose one of 4, 12"):
        stylegan2.check_batch(12, batch_gpu=8)


@pytest.mark.parametrize("most, said", [
    (8, "16 images at a time need about 17.0 GiB of memory, and cpu has 12.0 GiB; --batch-gpu 8 fits: it takes 9.0 GiB"),
    (4, "need about 20.0 GiB .* --batch-gpu 4 fits: it takes 5.0 GiB"),
    (3, "the memory of cpu, 12.0 GiB, does not suffice .* take a lower --resolution")])
def test_a_run_out_of_memory_says_how_much_it_needs_and_which_part_of_the_batch_fits(most, said, tmp_path, folder, monkeypatch):
    sizes, loss = [0], losses.generator_loss

    def limited(logits):
        sizes.append(len(logits))
        if len(logits) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(logits)
    monkeypatch.setattr(losses, "generator_loss", limited)
    for name, value in (("empty_cache", None), ("reset_peak_memory_stats", None), ("mem_get_info", (0, 12 << 30))):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: (1 + sizes[-1]) << 30)
    with pytest.raises(SystemExit, match=said):
        run(tmp_path / "run", folder, 320, "--batch", "16")


def test_annealing_lowers_the_learning_rate_in_the_last_share_of_the_run_and_survives_a_resume(tmp_path, folder):
    assert [schedule.anneal(images, 800, 0.25) for images in (0, 600, 700, 800)] == [1, 1, 0.25, 0]
    s = replace(options.as_typed(*TINY), images=80, lr_anneal=0.5)
    built = stylegan2.build(s, "cpu")
    full = built.D_opt.param_groups[0]["lr"]
    plan = stylegan2.plan(built, data.Resident(torch.zeros(8, 3, 8, 8, dtype=torch.uint8)), s, "cpu")
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
    with pytest.raises(SystemExit, match="give both, or neither"):
        run(tmp_path / "none", folder, 320, "--r1-gamma", "0", "--r1-gamma-end", "1")
    with pytest.raises(SystemExit, match="--r2 has the weight of R1, and --r1-gamma is 0"):
        run(tmp_path / "none", folder, 320, "--r1-gamma", "0", "--r2")


def test_only_a_regularized_network_has_the_constants_of_lazy_regularization():
    s = replace(options.as_typed(*TINY), pl_weight=0.0)
    networks = stylegan2.build(s, "cpu")
    plain, lazy = (optimizer.param_groups[0] for optimizer in (networks.G_opt, networks.D_opt))
    assert (plain["lr"], plain["betas"]) == (s.lr, (0.0, 0.99))
    assert lazy["lr"] == pytest.approx(s.lr * 16 / 17) and lazy["betas"][1] == pytest.approx(0.99 ** (16 / 17))


def test_adam_moves_each_entry_by_its_own_gradient_however_that_lies_in_memory():
    gradient = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).t()
    moved = []
    for strided in (True, False):
        parameter = torch.zeros(3, 4, requires_grad=True)
        set_gradient(parameter, gradient if strided else gradient.contiguous())
        adam([parameter], 0.1, "cpu").step()
        moved.append(parameter.detach())
    assert torch.equal(*moved) and torch.equal(moved[0].sign(), -gradient.sign())


def test_a_loaded_run_keeps_adams_moments_in_the_memory_format_of_their_weights(tmp_path, folder):
    """Fused Adam on a GPU refuses any other."""
    run(tmp_path, folder, 80)
    networks = stylegan2.build(options.as_typed(*TINY), "cpu")
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


def test_a_run_begins_with_the_networks_of_another_or_of_a_file(tmp_path, folder, monkeypatch):
    run(tmp_path / "first", folder, 160)
    run(tmp_path / "second", folder, 8, "--init", str(tmp_path / "first"), "--lr", "0")
    stop_at(monkeypatch, 4000)                         # the half-life is asked for: in the first step
    with pytest.raises(SystemExit):
        run(tmp_path / "long", folder, 4000, "--init", str(tmp_path / "first"), "--lr", "0")
    monkeypatch.undo()
    before, after = state(tmp_path / "first"), state(tmp_path / "second")
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith(("D.", "G.")) and "w_avg" not in key)
    assert not torch.equal(before["G.synthesis.b8.conv0.weight"], before["ema.synthesis.b8.conv0.weight"])
    own, averaged, begun = (x["synthesis.b8.conv0.weight"] for x in (
        {k.removeprefix("G."): v for k, v in before.items()}, {k.removeprefix("ema."): v for k, v in before.items()},
        {k.removeprefix("ema."): v for k, v in state(tmp_path / "long").items()}))
    left = (begun - own).norm() / (averaged - own).norm()
    assert left == pytest.approx(0.5 ** (8 / 200), abs=1e-3), "the average goes on from the old one, with 1/20 of 4,000 images"
    assert after["buffers.pl_mean"] > 0
    with pytest.raises(SystemExit,
                       match=r"first does not fit this run, .* sizes .*; G: synthesis\.b4\.const has shape \[8, 4, 4\]"):
        run(tmp_path / "third", folder, 8, "--init", str(tmp_path / "first"), "--channel-max", "4")
    with pytest.raises(SystemExit, match="oracle-portraits-64 cannot begin this run: "
                                         "as its generator it gives classifiers's AttributeClassifier, and this run needs "
                                         "stylegan2's Generator"):
        run(tmp_path / "third", folder, 8, "--init", "oracle-portraits-64")
    generator = str(zoo.DATA / "stylegan2-portraits-64.safetensors")
    with pytest.raises(SystemExit, match='cannot begin a run, which needs a generator and a discriminator: .*no part "D"'):
        run(tmp_path / "third", folder, 8, "--init", generator)
    with pytest.raises(SystemExit, match="has no checkpoint to begin with"):
        run(tmp_path / "third", folder, 8, "--init", str(folder))
    assert not (tmp_path / "third").exists()


def test_a_run_begins_with_a_model_of_the_course(tmp_path):
    out, folder = tmp_path / "run", tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (20, 20)).save(folder / f"{i}.png")
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
    s = checkpoint.settings(checkpoint.folders(tmp_path / "run")[-1])
    s.images = 640
    broken = stylegan2.build(s, "cpu")
    checkpoint.load(checkpoint.folders(tmp_path / "run")[-1], broken)
    broken.G.synthesis.b8.conv0.weight.data[0, 0, 0, 0] = float("nan")
    reals = data.Resident(data.load(folder, 8, 32, 0, "cpu"))
    with pytest.raises(loop.Diverged, match="not finite after .* last good checkpoint is .*0000000320"):
        loop.train(tmp_path / "run", broken, stylegan2.plan(broken, reals, s, "cpu"), s, "cpu", progress=False)
    assert {path.name for path in checkpoint.folders(tmp_path / "run")} == good


def test_a_run_is_never_overwritten_by_accident(tmp_path, folder):
    run(tmp_path / "run", folder, 80)
    with pytest.raises(SystemExit, match="already holds a run; add --resume"):
        run(tmp_path / "run", folder, 80)
    with pytest.raises(SystemExit, match="no checkpoint to resume from"):
        run(tmp_path / "other", folder, 80, "--resume")
    with pytest.raises(SystemExit, match="was started with --lr 0.002 and goes on with it; leave --lr 0.01 out"):
        run(tmp_path / "run", folder, 160, "--resume", "--lr", "0.01")


def stop_at(monkeypatch, images, number=signal.SIGINT):
    """Send this process a signal in the step that begins after so many images."""
    decay = schedule.ema_decay

    def watched(at, *args, **options):
        if at == images:
            os.kill(os.getpid(), number)
        return decay(at, *args, **options)

    monkeypatch.setattr(schedule, "ema_decay", watched)


def stopped(out, folder, images, *more):
    """The exit code of a run that does not come to its end."""
    with pytest.raises(SystemExit) as end:
        run(out, folder, images, *more)
    return end.value.code


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_keeps_a_checkpoint_and_goes_on_to_the_same_weights(number, code, tmp_path, folder, monkeypatch, capsys):
    rare = ["--checkpoint-every", "1m", "--log-every", "16"]
    run(tmp_path / "whole", folder, 80, *rare)
    with monkeypatch.context() as patched:
        stop_at(patched, 24, number)
        assert stopped(tmp_path / "cut", folder, 80, *rare) == code
    assert "32 images are kept in" in (said := capsys.readouterr().err) and "with the same command and --resume" in said
    assert [path.name for path in checkpoint.folders(tmp_path / "cut")] == ["0000000032"]
    run(tmp_path / "cut", folder, 80, *rare, "--resume")
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert not [key for key in whole if not torch.equal(whole[key], cut[key])]


def test_a_folder_that_a_run_is_writing_into_is_left_to_it(tmp_path, folder):
    run(tmp_path / "run", folder, 80)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != ".held"}
    with files.held(tmp_path / "run"), files.held(tmp_path / "new"):
        for out, more in (("run", ["--resume"]), ("new", [])):
            assert "another process is writing into" in stopped(tmp_path / out, folder, 160, *more)
    assert {path: path.read_bytes() for path in before} == before and [p.name for p in (tmp_path / "new").iterdir()] == [".held"]
    run(tmp_path / "run", folder, 160, "--resume")
    run(tmp_path / "new", folder, 80)


def test_a_run_that_left_no_checkpoint_begins_anew_with_the_same_command(tmp_path, folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(data, "load", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert stopped(tmp_path / "run", folder, 80) == 130 and "the same command begins anew" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", full)
        said = stopped(tmp_path / "run", folder, 80, "--log-every", "8")
        assert "No space left on device; no checkpoint had been written yet" in said
    assert (tmp_path / "run" / "log.jsonl").exists() and not list((tmp_path / "run" / "checkpoints").iterdir())
    assert "no checkpoint to resume from; start without --resume" in stopped(tmp_path / "run", folder, 80, "--resume")
    run(tmp_path / "run", folder, 80)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1


def test_a_run_begins_with_a_sheet_of_its_pictures_and_one_of_the_networks_before_the_first_step(tmp_path, folder):
    run(tmp_path / "first", folder, 80)
    run(tmp_path / "streamed", folder, 80, "--data-cache", "0", "--init", str(tmp_path / "first"))
    names = {path.name for path in (tmp_path / "first" / "samples").iterdir()}
    assert names == {"0000000000.png", "0000000080.png"}
    pixels = lambda *path: np.asarray(Image.open(tmp_path.joinpath(*path)))
    assert np.array_equal(pixels("first", "samples", "0000000080.png"), pixels("streamed", "samples", "0000000000.png"))
    shown = pixels("first", "reals.png")
    assert shown.shape == (8, 16 * 8, 3) and np.array_equal(shown, pixels("streamed", "reals.png"))
    all_of_them = data.load(folder, 8, 99, 0, "cpu").permute(2, 0, 3, 1).flatten(1, 2)                # side by side
    assert np.array_equal(shown, all_of_them.numpy())
    assert data.evenly(4, 10).tolist() == [0, 3, 6, 9] and data.evenly(9, 3).tolist() == [0, 1, 2]


def test_a_full_disk_leaves_earlier_checkpoints_whole(tmp_path, folder, monkeypatch):
    write = checkpoint.save_file

    def full(tensors, *args, **options):
        if int(options["metadata"]["images"]) > 80:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        write(tensors, *args, **options)

    monkeypatch.setattr(checkpoint, "save_file", full)
    said = stopped(tmp_path / "run", folder, 240)
    assert "state.safetensors could not be written: No space left on device; the last good checkpoint is" in said
    assert "\n" not in said
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["0000000080"]
    monkeypatch.undo()
    run(tmp_path / "run", folder, 160, "--resume")


def test_a_resumed_run_has_its_own_options_and_its_pictures_may_have_moved(tmp_path, folder, capsys):
    run(tmp_path / "run", folder, 80)
    resume = lambda *more: train.main(["stylegan2", "--out", str(tmp_path / "run"), "--device", "cpu", "--resume", *more])
    resume()
    resume("--images", "160")
    shutil.copytree(folder, tmp_path / "moved")
    resume("--data", str(tmp_path / "moved"), "--images", "240")
    assert f"its pictures are now those in {tmp_path / 'moved'}, until here those in {folder}" in capsys.readouterr().out
    assert checkpoint.settings(checkpoint.folders(tmp_path / "run")[-1]).data == str(tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved")
    with pytest.raises(SystemExit, match=r"the pictures of this run, in .*moved, are not there; say with --data"):
        resume()
    with pytest.raises(SystemExit, match=r"was started with --data .*moved and goes on with it"):
        resume("--data", "portraits")
    with pytest.raises(SystemExit, match="was started with --batch 8 and goes on with it; leave --batch 64 out"):
        resume("--batch", "64", "--data", str(folder))
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["images"]["used"] == 16 and "--images 80" in about["command"]


def test_damaged_and_swapped_checkpoints_are_named_and_the_one_before_is_left(tmp_path, folder):
    run(tmp_path / "run", folder, 160)
    run(tmp_path / "other", folder, 160, "--z-dim", "4")
    last = checkpoint.folders(tmp_path / "run")[-1]
    file, whole = last / "state.safetensors", (last / "state.safetensors").read_bytes()
    others = (checkpoint.folders(tmp_path / "other")[-1] / "state.safetensors").read_bytes()
    for content in (whole[:1000], whole[:-1], b"", b"not safetensors", (last / "G_ema.safetensors").read_bytes(),
                    (checkpoint.folders(tmp_path / "run")[0] / "state.safetensors").read_bytes()):
        file.write_bytes(content)
        said = stopped(tmp_path / "run", folder, 240, "--resume")
        assert f"the checkpoint {last} is damaged or another run's" in said and "\n" not in said
    file.write_bytes(others)
    assert "was started with --z-dim 4" in stopped(tmp_path / "run", folder, 240, "--resume")
    shutil.rmtree(last)
    run(tmp_path / "run", folder, 160, "--resume")


def test_nothing_that_a_run_did_not_make_is_written_over(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(stylegan2, "build", None)               # nothing may get so far
    for name, content in (("settings.json", '{"editor.fontSize": 12}'), ("run.json", "{}"), ("log.jsonl", ""),
                          ("samples/mine.png", "mine")):
        out = tmp_path / name.replace("/", "-")
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text(content)
        assert "of something other than a run; choose another --out" in stopped(out, folder, 80)
        assert (out / name).read_text() == content
    (out / "settings.json").write_text('{"model": "stylegan2"}')
    assert "holds samples of another run, and no checkpoint" in stopped(out, folder, 80)
    assert "settings.json is not a folder" in stopped(out / "settings.json" / "below", folder, 80)


def test_images_and_networks_that_do_not_fit_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "free_memory", lambda device: 2 ** 30)
    monkeypatch.setattr(data.portraits, "batches", None)
    with pytest.raises(SystemExit,
                       match="200,000 images of 256 px take 36.6 GiB, and cpu has 1.0 GiB free, .* --data-size 4k fits"):
        train.main(["stylegan2", "--resolution", "256", "--device", "cpu", "--out", str(tmp_path / "run")])
    for model, size in (("oracle", "65k"), ("clip", "65k"), ("identity", "16k")):
        with pytest.raises(SystemExit, match=f"GiB free, .*; --data-size {size} fits"):
            train.main([model, "--data-size", "100k", "--device", "cpu", "--out", str(tmp_path / "run")])
    for model in ("stylegan2", "stylegan"):
        with pytest.raises(SystemExit, match=r"networks of these sizes take [\d,.]+ GiB while they are trained, "
                                             r"and cpu has 1.0 GiB"):
            train.main([model, "--z-dim", "60k", "--w-dim", "60k", "--data-size", "8", "--device", "cpu", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model, files", [("identity", ("identity-portraits-64", "identity")),
                                          ("oracle", ("oracle-portraits-64", "oracle"))])
def test_a_stopped_training_keeps_what_it_has_learnt_under_a_name_that_says_so(model, files, tmp_path, monkeypatch, capsys):
    options = [model, "--steps", "5", "--batch", "4", "--data-size", "8", "--held-out", "16", "--device", "cpu",
               "--out", str(tmp_path)]
    augment, calls = common.augment, []

    def watched(*args):
        calls.append(os.kill(os.getpid(), signal.SIGINT) if len(calls) == 1 else None)
        return augment(*args)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(common, "augment", watched)
        train.main(options)
    said, kept = capsys.readouterr().err, tmp_path / f"{files[0]}-after-2-steps.safetensors"
    assert end.value.code == 130 and "--resume" not in said
    assert f"stopped after 2 of 5 steps; the weights so far are kept in {kept}" in said
    assert [path.name for path in tmp_path.iterdir()] == [kept.name] and zoo.load(kept) is not None
    train.main(options)
    with pytest.raises(SystemExit, match="safetensors exists already and is not overwritten"):
        train.main(options)
    (tmp_path / f"{files[0]}.safetensors").unlink()
    with pytest.raises(SystemExit, match=f"{files[1]}.json exists already and is not overwritten"):
        train.main(options)
    monkeypatch.setattr(outputs, "output_files", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        train.main(options)
    assert end.value.code == 143 and "nothing is kept, and the same command begins anew" in capsys.readouterr().err


def test_wrong_options_are_named(tmp_path, folder):
    with pytest.raises(SystemExit, match="--batch 6 does not divide into the groups of 4 .* choose 4 or 8"):
        run(tmp_path / "run", folder, 80, "--batch", "6")
    with pytest.raises(SystemExit, match="--batch 3 .* choose 4$"):
        run(tmp_path / "run", folder, 80, "--batch", "3")
    with pytest.raises(SystemExit, match="--channel-base 4 leaves no feature map at --resolution 8"):
        run(tmp_path / "run", folder, 80, "--channel-base", "4")
    assert not (tmp_path / "run").exists()


def test_a_half_written_checkpoint_is_ignored(tmp_path, folder):
    run(tmp_path / "run", folder, 160)
    (tmp_path / "run" / "checkpoints" / "0000000240.partial").mkdir()
    assert [path.name for path in checkpoint.folders(tmp_path / "run")] == ["0000000080", "0000000160"]


def test_the_checkpoint_loads_as_a_generator_by_its_path(tmp_path, folder):
    run(tmp_path / "run", folder, 80)
    G = zoo.load(checkpoint.folders(tmp_path / "run")[-1] / "G_ema.safetensors")
    assert G(torch.randn(3, 8)).shape == (3, 3, 8, 8) and not G.training
    run(tmp_path / "run", folder, 160, "--resume")
    last = zoo.load(tmp_path / "run")                                       # as the run's folder does: its last checkpoint
    assert torch.equal(last.w_avg, state(tmp_path / "run")["ema.mapping.w_avg"])
    assert not torch.equal(last.w_avg, G.w_avg) and zoo.dataset_of(tmp_path / "run") is None


def test_folders_without_images_and_broken_images_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        data.load(tmp_path, 8, 4, 0, "cpu")
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    (tmp_path / "worse.jpg").write_bytes(b"nor this")
    with pytest.raises(ValueError, match="2 of 2 pictures cannot be read.*bad.png, .*worse.jpg"):
        data.load(tmp_path, 8, 4, 0, "cpu")


def test_one_pass_over_reals_and_fakes_equals_two():
    s = options.as_typed(*TINY)
    D = stylegan2.build(s, "cpu").D
    reals, fakes = torch.randn(2, 8, 3, 8, 8).unbind()
    both = stylegan2.judge_both(D, reals, fakes)
    assert torch.allclose(both[0], D(reals), atol=1e-5) and torch.allclose(both[1], D(fakes), atol=1e-5)


def test_the_shares_of_the_resolutions_sum_to_one():
    shares = stylegan2.rgb_shares(stylegan2.build(options.as_typed(*TINY), "cpu").G)
    assert list(shares) == ["4", "8"] and sum(shares.values()) == pytest.approx(1)
