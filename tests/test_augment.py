"""Adaptive discriminator augmentation: its transforms, their probabilities, gradients of gradients, and that nothing leaks."""
import json
import math
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import train
from course_lib.training import augment, checkpoint, data, options, stylegan2

NAMES = augment.GEOMETRIC + augment.COLOUR
GREY = np.ones(3) / math.sqrt(3)
TINY = ["stylegan2", "--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--w-dim", "8",
        "--mapping-layers", "2", "--batch", "8", "--device", "cpu", "--dtype", "float32", "--data-size", "32"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def only(*names, p=1.0):
    """The probabilities of all transforms, p for these and 0 for the others."""
    return torch.tensor([p if name in names else 0.0 for name in NAMES])


def places(n, *names, p=1.0):
    return augment.geometric(n, only(*names, p=p)[:7], 64).double()


def colours(n, *names, p=1.0):
    return augment.colour(n, only(*names, p=p)[7:]).double()


def test_at_p_zero_every_image_stays_as_it_is():
    images = 2 * torch.rand(4, 3, 16, 16) - 1
    assert torch.allclose(augment.augment(images, torch.zeros([])), images, atol=1e-5)


def test_the_filters_give_a_signal_back_and_keep_polynomials_of_degree_three():
    reduce, enlarge = (np.array([*taps[:0:-1], *taps]) for taps in (augment.REDUCE, augment.ENLARGE))
    product = np.convolve(reduce, enlarge)[1::2]                        # of a single one: every second sample
    assert product == pytest.approx([0, 0, 0, 1, 0, 0, 0], abs=1e-12)
    for taps, total in ((reduce, 1), (enlarge, 2)):
        k = np.arange(len(taps)) - len(taps) // 2
        assert taps.sum() == pytest.approx(total)
        assert [(-1.0) ** k * k.astype(float) ** j @ taps for j in range(4)] == pytest.approx([0] * 4, abs=1e-10)


def test_a_warped_image_is_scipys_affine_transform_of_it():
    y, x = np.mgrid[:64, :64] / 31.5 - 1
    image = np.exp(-6 * (x - 0.2) ** 2 - 9 * (y + 0.1) ** 2) + 0.5 * np.sin(3 * x + 2 * y)
    linear, offset = np.array([[1.0, -0.4], [0.3, 0.9]]), np.array([2.3, -17.2])
    rows = linear[::-1, ::-1]                                           # scipy takes (y, x), from the corner
    expected = ndimage.affine_transform(image, rows, 31.5 - rows @ [31.5, 31.5] + offset[::-1], order=3, mode="mirror")
    found = augment.warp(torch.tensor(image)[None, None], torch.tensor(np.c_[linear, offset])[None])[0, 0].numpy()
    assert np.abs(found - expected).max() < 0.01 and np.abs(found - expected).mean() < 1e-3


def test_a_ramp_stays_an_exact_ramp_under_every_affine_map():
    c = torch.arange(32, dtype=torch.float64) - 15.5
    ramps = torch.stack([c.expand(32, 32), c[:, None].expand(32, 32), torch.ones(32, 32, dtype=torch.float64)])
    matrix = torch.tensor([[0.9, -0.3, 1.3], [0.2, 1.1, -0.7]], dtype=torch.float64)
    found = augment.warp(ramps[None], matrix[None])[0]
    assert torch.allclose(found[:2, 10:22, 10:22], torch.einsum("ij,jhw->ihw", matrix, ramps)[:, 10:22, 10:22], atol=1e-9)
    assert torch.allclose(found[2], ramps[2])


def test_the_gradient_of_a_gradient_is_right_and_goes_through_every_transform():
    images = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def augmented(images):
        torch.manual_seed(3)
        return augment.augment(images, torch.tensor(0.9)) ** 2
    assert torch.autograd.gradcheck(augmented, images)
    assert torch.autograd.gradgradcheck(augmented, images, fast_mode=True)


class Recording(TorchDispatchMode):
    """Counts the operations that are called within."""
    def __init__(self):
        super().__init__()
        self.called = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.called[function.overloadpacket.__name__] += 1
        return function(*arguments, **options or {})

    def unrecordable(self):
        """Those that a CUDA graph cannot hold: they ask for a value, give a shape that depends on one, or copy Python numbers."""
        return {name: self.called[name] for name in ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "index")}


def test_nothing_goes_between_host_and_device():
    images, p = torch.rand(4, 3, 16, 16, requires_grad=True), torch.tensor(0.5)
    augment.augment(images, p)                              # the first time makes the filters
    with Recording() as recording:
        slope, = torch.autograd.grad(augment.augment(images, p).square().sum(), images, create_graph=True)
        slope.square().sum().backward()
    assert recording.called["grid_sampler_2d_backward"] and not any(recording.unrecordable().values())


@pytest.mark.parametrize("name, candidates", [
    ("x_flip", lambda x: [x, x[..., ::-1]]), ("quarter_turn", lambda x: [np.rot90(x, k, (1, 2)) for k in range(4)]),
    ("integer_translation", lambda x: [np.pad(x, [(0, 0), (2, 2), (2, 2)], "reflect")[:, i:i + 16, j:j + 16]
                                       for i in range(5) for j in range(5)])])
def test_flips_turns_and_shifts_move_whole_pixels_and_all_of_them_come(name, candidates):
    image = torch.rand(3, 16, 16)
    expected = torch.stack([torch.tensor(c.copy()) for c in candidates(image.numpy())])
    found = augment.augment(image.expand(256, -1, -1, -1), only(name))
    distances = (found[:, None] - expected).abs().amax(dim=(2, 3, 4))
    assert distances.min(dim=1).values.max() < 1e-4
    assert set(distances.argmin(dim=1).tolist()) == set(range(len(expected)))


def test_scalings_and_rotations_have_the_paper_s_distributions():
    n = 20_000
    size = places(n, "isotropic_scaling")[:, :, :2]
    assert torch.allclose(size, size[:, :1, :1] * torch.eye(2, dtype=torch.float64))
    assert size[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.03) and abs(size[:, 0, 0].log2().mean()) < 0.01
    stretch = places(n, "anisotropic_scaling")[:, :, :2]
    assert torch.allclose(stretch.det(), torch.ones(n, dtype=torch.float64)) and not stretch[:, 0, 1].any()
    assert stretch[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.03)
    turned = places(n, "rotation")[:, :, :2]
    assert torch.allclose(turned @ turned.mT, torch.eye(2, dtype=torch.float64), atol=1e-6) and (turned.det() > 0).all()
    angles = torch.atan2(turned[:, 1, 0], turned[:, 0, 0])
    assert torch.allclose(angles.histc(8, -math.pi, math.pi) / n, torch.full([8], 0.125, dtype=torch.float64), atol=0.012)
    shift = places(n, "fractional_translation")[:, :, 2]
    assert (shift / 64).std(dim=0).tolist() == pytest.approx([0.125] * 2, rel=0.03)


def test_a_rotation_before_and_one_after_the_stretch_come_independently():
    """So that at least one of them comes with probability p."""
    turned = places(20_000, "rotation", "anisotropic_scaling", p=0.5)[:, :, :2]
    gram = turned.mT @ turned                               # diagonal unless a rotation followed the stretch, in the inverse
    stretched = (gram - torch.eye(2, dtype=torch.float64)).abs().amax(dim=(1, 2)) > 1e-6
    after = (gram[:, 0, 1].abs() > 1e-6)[stretched].double().mean().item()
    assert after == pytest.approx(1 - math.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize("name, moved", [
    ("x_flip", 1 / 2), ("quarter_turn", 3 / 4), ("rotation", 1), ("integer_translation", 1 - 1 / 16 ** 2), ("isotropic_scaling", 1),
    ("anisotropic_scaling", 1), ("fractional_translation", 1), ("brightness", 1), ("contrast", 1), ("luma_flip", 1 / 2),
    ("hue", 1), ("saturation", 1)])
def test_every_transform_comes_with_its_probability(name, moved):
    """And is the identity itself among what comes only as often as it is drawn."""
    n = 20_000
    matrices = (places if name in augment.GEOMETRIC else colours)(n, name, p=0.3)
    share = ((matrices - torch.eye(*matrices.shape[1:], dtype=torch.float64)).abs().amax(dim=(1, 2)) > 1e-6).double().mean().item()
    assert share == pytest.approx(0.3 * moved, abs=4 * math.sqrt(0.25 / n))


def test_colour_transforms_are_the_product_of_the_papers_matrices():
    """Brightness, contrast, Householder's reflection, scipy's rotation about the grey axis, and saturation, in this order; their
    numbers, read off the product, are distributed as the paper says."""
    matrices = colours(4000, *augment.COLOUR).numpy()
    linear, offset = matrices[:, :, :3], matrices[:, :, 3]
    along = np.einsum("i,nij,j->n", GREY, linear, GREY)
    f, c = np.sign(along), np.abs(along)
    b = offset[:, 0] / along
    u, v = np.array([1, -1, 0]) / math.sqrt(2), np.array([1, 1, -2]) / math.sqrt(6)
    rest, across = np.einsum("i,nij,j->n", u, linear, u), np.einsum("i,nij,j->n", v, linear, u)
    s, angle = np.hypot(rest, across) / c, np.arctan2(across, rest) * np.sign(np.cross(u, v) @ GREY)
    project = np.outer(GREY, GREY)
    for i in range(50):
        x = np.random.default_rng(i).normal(size=3)
        y = c[i] * (x + b[i])
        y = y - 2 * (f[i] < 0) * project @ y
        y = Rotation.from_rotvec(angle[i] * GREY).apply(y)
        y = project @ y + s[i] * (y - project @ y)
        assert linear[i] @ x + offset[i] == pytest.approx(y, abs=1e-5)
    assert [b.std(), np.log2(c).std(), np.log2(s).std()] == pytest.approx([0.2, 0.5, 1.0], rel=0.05)
    assert np.mean(f > 0) == pytest.approx(0.5, abs=0.04) and angle.std() == pytest.approx(math.pi / math.sqrt(3), rel=0.05)


def modes(p, n=40_000, bins=24):
    """How often an image's upright stands at each of `bins` angles, and its hue, for lightness kept and inverted: what comes of one
    true orientation and colour."""
    geometric, colour = augment.geometric(n, torch.full([7], p), 64), augment.colour(n, torch.full([5], p))
    up = geometric[:, :, 1]
    red = colour[:, :, :3] @ torch.tensor([2.0, -1.0, -1.0])
    hue = torch.atan2(red @ torch.tensor([0.0, 1.0, -1.0]) * math.sqrt(3), red @ torch.tensor([2.0, -1.0, -1.0]))
    angle = torch.atan2(up[:, 0], up[:, 1])
    upright, hue = (((a / (2 * math.pi) * bins).round().long() % bins) for a in (angle, hue))
    inverted = colour[:, :, :3].sum(dim=(1, 2)) < 0
    return torch.bincount(upright, minlength=bins) / n, torch.bincount(hue + bins * inverted, minlength=2 * bins) / n


@pytest.mark.parametrize("p", [0.2, 0.5, 0.79])
def test_below_p_of_08_the_true_orientation_and_colour_stay_the_most_frequent(p):
    for shares in modes(p):
        noise = math.sqrt(shares[0].item() / 40_000)
        assert shares[0] > shares[1:].max() + 6 * noise, "so a generator that matches the augmented images has found the true ones"


def test_at_p_of_one_no_orientation_and_no_colour_is_more_frequent_than_another():
    for shares in modes(1.0):
        assert (shares - 1 / len(shares)).abs().max() < 5 * math.sqrt(1 / len(shares) / 40_000)


def test_p_rises_from_0_to_1_in_500_thousand_images_and_falls_back_as_fast():
    p, batch = torch.zeros([]), 64 * augment.EVERY
    for _ in range(500_000 // batch // 2):
        p = augment.next_p(p, torch.tensor(0.9), batch)
    assert p.item() == pytest.approx(0.5, abs=1e-3)
    assert augment.next_p(p, torch.tensor(0.3), batch) < p
    assert augment.next_p(torch.ones([]), torch.tensor(0.9), batch) == 1
    assert augment.next_p(torch.zeros([]), torch.tensor(0.3), batch) == 0


# In training

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of noise."""
    folder = tmp_path_factory.mktemp("images")
    for name, level in (("dark", 60), ("light", 200)):
        (folder / name).mkdir()
        for i in range(16):
            pixels = np.random.default_rng(i).integers(level - 50, level + 50, [8, 8, 3], dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.png")
    return folder


def run(out, folder, images, *more):
    train.main([*TINY, "--data", str(folder), "--out", str(out), "--images", str(images), *more])


def state(out):
    return load_file(checkpoint.folders(out)[-1] / "state.safetensors")


def gradients(phases, **settings):
    """The gradients, in float64, that one step of each of these phases leaves, {(phase, parameter): gradient}."""
    s = replace(options.as_typed(*TINY), dtype="float64", pl_weight=0.0, **settings)
    torch.manual_seed(0)
    built = stylegan2.build(s, "cpu")
    for network in (built.G, built.D):
        network.double()
        for p in network.parameters():
            p.data += 0.1 * torch.randn_like(p)
    reals = data.Resident(torch.randint(0, 256, [32, 3, 8, 8], dtype=torch.uint8))
    found = {}
    for phase in stylegan2.phases(built, reals, s, "cpu", 10.0):
        torch.manual_seed(1)
        if phase.name in phases:
            phase.step()
            network = built.G if phase.name == "generator" else built.D
            found |= {(phase.name, name): p.grad for name, p in network.named_parameters() if p.grad is not None}
    return found


def test_every_step_with_ada_can_be_recorded_as_well_as_without():
    found = []
    for how in ("none", "ada"):
        s = options.as_typed(*TINY, "--augment", how)
        torch.manual_seed(0)
        run, reals = stylegan2.build(s, "cpu"), data.Resident(torch.zeros(32, 3, 8, 8, dtype=torch.uint8))
        phases = stylegan2.phases(run, reals, s, "cpu", torch.tensor(10.0))
        for phase in phases:
            phase.step()
        with Recording() as recording:
            for phase in phases:
                phase.step()
        found.append(recording)
    assert found[0].unrecordable() == found[1].unrecordable()
    assert found[1].called["grid_sampler_2d"] == 4, "one in G, one in D; in R1 one forward, one as second derivative"


def changes(**settings):
    """By how much the gradients of G, D and R1 change with these settings, relative to their norms, {phase: the most}."""
    phases = "generator", "discriminator", "r1"
    before, after = gradients(phases), gradients(phases, **settings)
    assert before.keys() == after.keys() and {phase for phase, _ in before} == set(phases)
    return [max(((g - after[key]).norm() / g.norm()).item() for key, g in before.items() if key[0] == phase and g.any())
            for phase in phases]


def test_at_p_zero_training_takes_the_steps_that_it_takes_without_ada():
    assert max(changes(augment="ada", augment_p=0.0)) < 1e-4


def test_g_d_and_r1_all_see_augmented_images():
    assert min(changes(augment="ada", augment_p=1.0)) > 0.1


@pytest.mark.parametrize("logits, r, moved", [([2.0, 0.1, 3.0, -1.0], 0.5, -1), ([2.0, 0.1, 3.0, 1.0], 1.0, 1)])
def test_p_follows_the_mean_sign_of_ds_logits_of_reals_since_its_last_move(logits, r, moved):
    s = replace(options.as_typed(*TINY), augment="ada")
    buffers = augment.buffers(s, "cpu")
    buffers["augment_p"].fill_(0.5)
    for _ in range(3):
        augment.count_signs(buffers, torch.tensor(logits))
    found = augment.adjust(buffers, s)
    assert found["r_t"] == r and found["augment_p"].item() == pytest.approx(0.5 + moved * 8 * augment.EVERY / 500_000)
    augment.count_signs(buffers, -torch.ones(8))
    assert augment.adjust(buffers, s)["r_t"] == -1, "what was counted before is forgotten"


def test_a_fixed_p_stays_and_stands_in_the_log_with_r_t(tmp_path, folder):
    run(tmp_path, folder, 64, "--augment", "ada", "--augment-p", "0.3", "--log-every", "64", "--checkpoint-every", "64")
    line, = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert line["augment_p"] == pytest.approx(0.3) and -1 <= line["r_t"] <= 1
    assert state(tmp_path)["buffers.augment_p"].item() == pytest.approx(0.3)


def test_a_resumed_run_with_ada_ends_where_the_uninterrupted_one_does_whatever_else_it_uses(tmp_path, folder):
    """Parts of a batch, labels, mirrored and streamed images."""
    more = ["--augment", "ada", "--augment-target", "-1", "--batch-gpu", "4", "--labels", "--mirror", "--data-cache", "0",
            "--checkpoint-every", "80"]
    run(tmp_path / "whole", folder, 240, *more)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(checkpoint.folders(tmp_path / "cut")[-1])
    run(tmp_path / "cut", folder, 240, "--resume")
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert whole["buffers.augment_p"] > 0
    assert not [key for key in whole if not torch.equal(whole[key], cut[key])]


def test_frozen_blocks_of_d_stay_as_they_came_and_all_others_learn(tmp_path, folder):
    run(tmp_path / "first", folder, 8)
    run(tmp_path / "second", folder, 64, "--init", str(tmp_path / "first"), "--freeze-d", "1", "--augment", "ada")
    before, after = (state(tmp_path / name) for name in ("first", "second"))
    weights = {key: torch.equal(value, after[key]) for key, value in before.items() if key.startswith("D.")}
    assert weights == {key: key.startswith("D.b8.") for key in weights} and any(weights.values())
    assert not torch.equal(before["G.synthesis.b8.conv0.weight"], after["G.synthesis.b8.conv0.weight"])


def test_networks_of_another_resolution_give_the_layers_that_fit(tmp_path, folder, capsys):
    run(tmp_path / "first", folder, 8)
    for name, resolution, said in (
            ("larger", "16", "G takes mapping, b4, b8; new: b16. D takes b8, b4; new: b16"),
            ("smaller", "4", "G takes mapping, b4; new: none. D takes b4.conv, b4.fc, b4.out; new: b4.fromrgb")):
        capsys.readouterr()
        run(tmp_path / name, folder, 8, "--init", str(tmp_path / "first"), "--resolution", resolution, "--lr", "0")
        assert f"of {tmp_path / 'first'}, which has another resolution, {said}" in " ".join(capsys.readouterr().out.split())
        before, after = state(tmp_path / "first"), state(tmp_path / name)
        for key in ("G.synthesis.b4.const", "G.mapping.fc0.weight", "ema.synthesis.b4.conv1.weight", "D.b4.fc.weight"):
            assert torch.equal(before[key], after[key])
    assert torch.equal(state(tmp_path / "larger")["D.b8.conv0.weight"], before["D.b8.conv0.weight"])


@pytest.mark.parametrize("wrong, said", [
    (["--augment-p", "0.2"], "--augment-p 0.2 is the probability of what --augment ada does; give both, or neither"),
    (["--freeze-d", "1"], "--freeze-d 1 keeps blocks of D as --init gave them; give both, or neither"),
    (["--freeze-d", "2", "--init", "stylegan2-portraits-64"], "leaves nothing of D to train at --resolution 8; take at most 1"),
    (["--freeze-d", "1", "--init", "stylegan2-portraits-64"], "which has another resolution, the first does not fit; leave it out"),
    (["--init", "stylegan2-portraits-64", "--channel-max", "4", "--channel-base", "16"], "does not fit this run")])
def test_options_that_do_not_go_together_are_refused_in_a_sentence(wrong, said, tmp_path, folder):
    with pytest.raises(SystemExit, match=said):
        run(tmp_path / "run", folder, 8, *wrong)
    assert not (tmp_path / "run").exists()
