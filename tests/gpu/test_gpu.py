"""What needs a GPU: parity on CUDA, bfloat16, captured steps against eager ones, resume. Run by `make test-gpu`."""
import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from course_lib import cuda_graphs, dataset, losses, portraits, train, zoo
from course_lib.fused import convolution
from course_lib.networks import pggan, stylegan
from course_lib.training import checkpoint, data, growing, loop, stylegan2
from course_lib.training.settings import MODELS, StyleGAN2Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden_data import assert_golden, filled, load  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(autouse=True)
def exact_kernels():
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    yield


def settings(**changes):
    return StyleGAN2Settings(**dict(resolution=16, channel_max=32, batch=8, z_dim=32, w_dim=32, dtype="float32") | changes)


def start(s):
    torch.manual_seed(0)
    run = stylegan2.build(s, "cuda")
    reals = data.Resident(torch.randint(0, 256, [64, 3, 16, 16], dtype=torch.uint8, device="cuda"))
    torch.manual_seed(1)
    return run, stylegan2.plan(run, reals, s, "cuda")


def trained(out, captured, s):
    run, phases = start(s)
    loop.train(out, run, phases, s, "cuda", captured=captured, progress=False)
    return run


def distance(a, b):
    """Largest difference of any parameter of the moving average, relative to that parameter's largest value."""
    return max(((p - q).abs().max() / q.abs().max().clamp(min=1e-6)).item()
               for p, q in zip(a.ema.parameters(), b.ema.parameters()))


@pytest.mark.parametrize("name", ["sg2_tiny16", "sg2_mid64", "sg2_clamp8"])
def test_cuda_matches_the_golden_images(name):
    info, golden = load(name)
    G = zoo.generator_from_nvidia(filled(info["state_G"], info["fill"]["G_seed"]), info["config"]["conv_clamp"]).cuda()
    for impl in ("reference", "fused"):
        image = G.synthesis(golden["ws_plus"].cuda(), noise="const", impl=impl)
        assert_golden(image.cpu(), golden["img_wplus_const"], 2e-5)


def test_bfloat16_images_stay_within_its_rounding():
    torch.manual_seed(0)
    G = stylegan2.build(settings(resolution=64, channel_base=4096, channel_max=256), "cuda").G
    ws = G.mapping(torch.randn(16, G.z_dim, device="cuda"))
    with torch.no_grad():
        exact, rounded = (G.synthesis(ws, noise="const", dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert 0 < (exact - rounded).norm() / exact.norm() < 0.02


def test_captured_steps_train_like_eager_ones(tmp_path):
    s = settings(images=64 * 8, log_every=10 ** 6, checkpoint_every=10 ** 6)
    eager, again = trained(tmp_path / "a", False, s), trained(tmp_path / "b", False, s)
    captured = trained(tmp_path / "c", True, s)
    assert distance(captured, eager) <= 10 * distance(again, eager) + 1e-4


@pytest.mark.parametrize("p", [0.5, None], ids=["fixed", "adaptive"])
def test_captured_steps_under_ada_train_like_eager_ones(p, tmp_path):
    """Recorded steps see p move, and their transforms are drawn anew at every replay."""
    s = settings(augment="ada", augment_p=p, augment_target=-1.0, images=64 * 8, log_every=10 ** 6, checkpoint_every=10 ** 6)
    eager, again = trained(tmp_path / "a", False, s), trained(tmp_path / "b", False, s)
    captured = trained(tmp_path / "c", True, s)
    assert distance(captured, eager) <= 10 * distance(again, eager) + 1e-4
    assert captured.buffers["augment_p"].item() == pytest.approx(eager.buffers["augment_p"].item(), rel=0.2)
    assert captured.buffers["augment_p"] > 0


def test_bfloat16_captured_training_keeps_losses_finite_and_uses_every_phase(tmp_path):
    s = settings(dtype="bfloat16", images=64 * 8, log_every=64 * 8, checkpoint_every=10 ** 6)
    trained(tmp_path, True, s)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert {"G_loss", "D_loss", "r1_penalty", "path_length"} <= line.keys()


def test_the_command_trains_on_a_gpu(tmp_path):
    train.main(["stylegan2", "--resolution", "16", "--channel-max", "32", "--batch", "8", "--data-size", "64", "--images", "160",
                "--device", "cuda", "--out", str(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["images"] == 160


def test_fused_networks_and_their_regularizers_are_the_plain_ones():
    """Images, logits, penalties, and the gradients of all of them."""
    run, _ = start(settings(resolution=32))
    G, D = run.G, run.D
    for p in G.parameters():
        p.data += 0.1 * torch.randn_like(p)
    ws = G.mapping(torch.randn(8, G.z_dim, device="cuda"))[:, None].repeat(1, G.num_ws, 1).detach()
    noise, reals = torch.randn(8, 3, 32, 32, device="cuda"), torch.randn(8, 3, 32, 32, device="cuda")
    found = []
    for impl in ("reference", "fused"):
        w, x = ws.clone().requires_grad_(), reals.clone().requires_grad_()
        images = G.synthesis(w, noise="const", impl=impl)
        with convolution.inputs_only():
            penalties = losses.path_length_penalty(images, w, noise, 0.3)[0].mean(), losses.r1_penalty(D(x, impl=impl), x).mean()
        loss = losses.generator_loss(D(images, impl=impl)).mean()
        gradients = [torch.autograd.grad(value, [*G.parameters(), *D.parameters()], allow_unused=True, retain_graph=True)
                     for value in (*penalties, loss)]
        found.append([images, *penalties, loss, *sum(gradients, ())])
    for plain, fused in zip(*found):
        assert (plain is None) == (fused is None)
        assert plain is None or (plain - fused).norm() <= 5e-4 * plain.norm() + 1e-7         # a noise strength's sums cancel


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path):
    s = settings(images=48 * 8, log_every=10 ** 6, checkpoint_every=24 * 8)
    whole = trained(tmp_path / "whole", False, s)
    trained(tmp_path / "half", False, dataclasses.replace(s, images=24 * 8))
    run, phases = start(s)
    torch.manual_seed(99)
    checkpoint.load(checkpoint.folders(tmp_path / "half")[-1], run)
    loop.train(tmp_path / "half", run, phases, s, "cuda", captured=False, progress=False)
    assert run.images == whole.images and distance(run, whole) < 1e-4


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("how", [[], ["--eager"]], ids=["captured", "eager"])
def test_two_gpus_train_one_run_and_stay_in_step(how, tmp_path):
    """Every checkpoint compares the weights of the processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "course_lib.train",
               "stylegan2", "--resolution", "16", "--channel-max", "32", "--batch", "16", "--data-size", "64", "--images", "640",
               "--checkpoint-every", "320", "--out", str(tmp_path / "run"), *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(checkpoint.folders(tmp_path / "run")) == 2


@pytest.mark.parametrize("captured", [False, True], ids=["eager", "captured"])
def test_every_step_takes_the_batch_that_was_read_for_it(captured, tmp_path):
    """Recorded steps look at one place in memory: what is read ahead may reach it only after the step before."""
    (tmp_path / "in").mkdir()
    for i in range(64):
        Image.new("RGB", (8, 8), (i, 2 * i, 3 * i)).save(tmp_path / "in" / f"{i:02d}.png")
    dataset.pack(tmp_path / "in", tmp_path / "set", 256)
    gpu, cpu = (data.Streamed(data.select(tmp_path / "set", 64, 0), 256, device) for device in ("cuda", "cpu"))
    draws, total = [reals.batches(32) for reals in (gpu, cpu)], torch.zeros([], dtype=torch.int64, device="cuda")
    weighted = lambda images: (images[:, 0, 0, 0] * torch.arange(1, 33, device=images.device)).sum()

    def step():
        torch.cuda._sleep(10_000_000)                       # the device falls behind the threads that read
        total.add_(weighted(draws[0]()[0]))

    step, expected = cuda_graphs.GraphStep(step) if captured else step, 0
    for k in range(100):
        gpu.prepare(k)
        step()
        cpu.prepare(k)
        expected += weighted(draws[1]()[0]).item()
    assert total.item() == expected


def grow(out, model, captured, images):
    w = {"w_dim": 32} if model == "stylegan" else {}
    s = MODELS[model](resolution=16, start=4, channel_max=32, batch=[[4, 8]], z_dim=32, dtype="float32", stable=160, fade=160,
                      images=images, log_every=160, checkpoint_every=10 ** 6, **w)
    torch.manual_seed(0)
    run = growing.build(s, "cuda")
    with torch.no_grad():                   # as at the start, StyleGAN would normalise constant maps: one bit decides the run
        for p in (*run.G.parameters(), *run.D.parameters()):
            p += 0.1 * torch.randn_like(p)
    run.ema.load_state_dict(run.G.state_dict())
    reals = data.Resident(torch.randint(0, 256, [64, 3, 16, 16], dtype=torch.uint8, device="cuda"))
    loop.train(out, run, growing.plan(run, reals, s, "cuda", out), s, "cuda", captured=captured, progress=False)
    return run


@pytest.mark.parametrize("model", ["pggan", "stylegan"])
def test_captured_growth_trains_like_eager_growth(model, tmp_path):
    """Through a fade: the recorded step must see α move. Images are compared, for some biases are normalised away: weights moved
    by a bit change them by 1e-5, an α that stays in the fade by 2e-3."""
    z, runs = torch.randn(32, 32, device="cuda"), [grow(tmp_path / how, model, how == "captured", 400)
                                                   for how in ("eager", "again", "captured")]
    eager, again, captured = (run.ema(z, noise="const", resolution=8, alpha=1.0) for run in runs)
    assert (captured - eager).norm() <= 10 * (again - eager).norm() + 2e-4 * eager.norm()
    line = json.loads((tmp_path / "captured" / "log.jsonl").read_text().splitlines()[-1])
    assert line["resolution"] == 8 and line["alpha"] == 1


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("model", ["pggan", "stylegan"])
def test_fused_growing_networks_and_their_penalties_are_those_of_the_reference(model, alpha):
    """Images, logits, penalties, and the gradients of all of them, with maps of one tile and of many."""
    torch.manual_seed(0)
    sizes = dict(channel_base=2048, channel_max=72)
    G, D = ((pggan.Generator(64, 40, **sizes), pggan.Discriminator(64, **sizes)) if model == "pggan" else
            (stylegan.Generator(64, 40, 40, **sizes), stylegan.discriminator(64, **sizes)))
    G, D = (network.to("cuda", memory_format=torch.channels_last) for network in (G, D))
    for p in (*G.parameters(), *D.parameters()):
        p.data += 0.1 * torch.randn_like(p)
    z, reals, found = torch.randn(8, 40, device="cuda"), torch.randn(8, 3, 64, 64, device="cuda"), []
    for impl, dtype in (("reference", torch.float64), ("reference", torch.float32), ("fused", torch.float32)):
        G, D = G.to(dtype), D.to(dtype)
        images, x = G(z.to(dtype), noise="const", impl=impl, alpha=alpha), reals.to(dtype).requires_grad_()
        critic = functools.partial(D, alpha=alpha, impl=impl)
        loss = losses.generator_loss(critic(images)).mean()
        mix = torch.full([8], 0.4, device="cuda", dtype=dtype)
        with convolution.inputs_only():
            r1 = losses.r1_penalty(critic(x), x).mean()
            gp = losses.gradient_penalty(critic, x.detach(), images.detach(), mix=mix).mean()
        gradients = [torch.autograd.grad(value, [*G.parameters(), *D.parameters()], allow_unused=True, retain_graph=True)
                     for value in (r1, gp, loss)]
        found.append([images, r1, gp, loss, *sum(gradients, ())])
    for exact, plain, fused in zip(*found):
        exact, plain, fused = (torch.zeros([], device="cuda") if t is None else t for t in (exact, plain, fused))
        own = (exact - plain).norm()                            # float32's error where large numbers cancel
        assert (exact - fused).norm() <= 1e-3 * exact.norm() + 4 * own + 1e-6


@pytest.mark.parametrize("version", portraits.schema.TABLES)
def test_the_gpu_draws_the_portraits_that_the_cpu_draws(version):
    """Up to rounding: where a threshold decides, single pixels may differ."""
    attributes, noise = portraits.sample_attributes(256, 7, version=version), portraits.sample_noise(256, 7)
    cpu, gpu = (portraits.render(attributes, 64, noise, device, version).cpu() for device in ("cpu", "cuda"))
    assert ((cpu - gpu).abs() > 2 / 255).float().mean() < 1e-3


def test_smoothness_and_projection_on_the_gpu_agree_with_the_cpu():
    from course_lib import inversion, metrics
    from course_lib.networks import classifiers
    from course_lib.networks import stylegan2 as networks
    torch.manual_seed(0)
    G = networks.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8).eval().requires_grad_(False)
    oracle, judge = classifiers.AttributeClassifier("oracle").eval(), classifiers.AttributeClassifier("judge").eval()
    cpu, gpu = (metrics.evaluate(G.to(d), oracle.to(d), ["ppl", "swd", "separability"], samples=64, judge=judge.to(d),
                                 reference="portraits") for d in ("cpu", "cuda"))
    for name in ("ppl_w_full", "ppl_z_end"):
        assert gpu[name]["mean"] == pytest.approx(cpu[name]["mean"], rel=1e-6)
    assert gpu["swd"]["mean"] == pytest.approx(cpu["swd"]["mean"], rel=0.02)
    assert gpu["separability"]["w"] == pytest.approx(cpu["separability"]["w"], rel=0.2)
    targets = G(torch.randn(2, 8, device="cuda"), noise="none")
    found = inversion.project(G, targets, metrics.oracle_distance(oracle), steps=40, frame_every=20, stop_below=0.0)
    assert (found.distances[-1] < found.distances[0]).all() and found.ws.is_cuda and not found.frames[0].is_cuda


def test_recorded_edits_and_projections_at_several_rates_are_the_eager_ones():
    import torch.nn.functional as F

    from course_lib import clip, inversion, styleclip
    from course_lib.networks import stylegan2 as networks
    torch.manual_seed(0)
    G = networks.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8).eval().requires_grad_(False).cuda()
    small = dict(image_size=32, width=4, layers=(1, 1, 1, 1), text_width=64, text_layers=1, embed_dim=16, context=24)
    network = clip.pocket(clip.vocabulary(), **small).requires_grad_(False).cuda()
    for _ in range(20):
        network.encode_images(F.interpolate(torch.rand(32, 3, 4, 4, device="cuda") * 2 - 1, [32, 32], mode="bilinear"))
    network.eval()
    ws, prompt = G.mapping(torch.randn(3, 8, device="cuda")), "a smiling person"
    for space in ("w+", "s"):
        eager, recorded = (styleclip.optimize(G, network, prompt, ws, space=space, lr=[0.05, 0.1, 0.2], steps=12, l2=0.001,
                                              captured=captured) for captured in (False, True))
        assert torch.allclose(eager.images, recorded.images, atol=1e-3)
        assert torch.allclose(eager.losses["total"], recorded.losses["total"], atol=1e-4)
    trained = [styleclip.fit(G, network, prompt, steps=12, batch=2, captured=captured)[1]["total"] for captured in (False, True)]
    assert torch.allclose(*trained, atol=1e-4)
    squares = lambda a, b: (a - b).square().mean(dim=(1, 2, 3))
    targets = G.synthesis(ws, noise="const")
    eager, recorded = (inversion.project(G, targets, squares, steps=20, noise="const", captured=captured)
                       for captured in (False, True))
    assert torch.allclose(eager.distances, recorded.distances, rtol=1e-2, atol=1e-4)
