"""Path lengths and inversion as they are measured, against generators whose Jacobian is known."""

import json

import pytest
import torch

from course_lib import portraits, zoo
from course_lib.metrics import smoothness
from course_lib.networks import stylegan2


class Linear(torch.nn.Module):
    """ws → images, G(w) = J·w with the same J in each of two layers, halved."""

    def __init__(self, J):
        super().__init__()
        self.J = torch.nn.Parameter(J)
        self.z_dim = self.w_dim = J.shape[1]
        self.num_ws, self.resolution = 2, 4
        self.mapping = lambda z: z
        self.synthesis = lambda ws, noise=None: (ws.mean(dim=1) @ self.J.t()).view(-1, 3, 4, 4)


def test_lengths_are_those_of_the_jacobian():
    J = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
    found = smoothness.lengths(Linear(J), samples=5, directions=3, seed=7)
    y = torch.randn(3, 1, 3, 4, 4, generator=torch.Generator().manual_seed(8)).flatten(1) / 4
    expected = ((y @ J) / 2).norm(dim=1)        # each layer has half of the gradient; the mean over layers keeps it
    torch.testing.assert_close(found, expected.expand(5, 3))
    spread = smoothness.spread(found)
    assert spread["across_latents"] == pytest.approx(0, abs=1e-6) and spread["across_projections"] > 0.1
    assert spread["mean"] == pytest.approx(expected.mean().item())


def test_the_spread_over_directions_counts_the_directions_that_matter():
    """CV² of ‖Jᵀy‖ is about Σσ⁴ / (2 (Σσ²)²): 1 / (2 · 12) for twelve equal singular values."""
    J = torch.linalg.qr(torch.randn(48, 12, generator=torch.Generator().manual_seed(0)))[0]
    spread = smoothness.spread(smoothness.lengths(Linear(J), samples=2, directions=4000))
    assert 1 / (2 * spread["across_projections"] ** 2) == pytest.approx(12, rel=0.1)


def test_spread_tells_latents_from_directions():
    assert smoothness.spread(torch.tensor([[1.0, 1, 1], [3, 3, 3]])) == {
        "mean": 2, "all": pytest.approx(1.2 ** 0.5 / 2), "across_latents": pytest.approx(2 ** 0.5 / 2), "across_projections": 0}


def test_a_generators_own_images_come_back_nearer_than_portraits():
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, channel_base=128, channel_max=8, w_dim=8, mapping_layers=2).eval().requires_grad_(False)
    found = smoothness.invert(G, lambda a, b: (a - b).square().mean(dim=(1, 2, 3)), images=3, steps=100)
    assert {name: kind.targets.shape for name, kind in found.items()} == dict.fromkeys(("generated", "portraits"), (3, 3, 16, 16))
    for kind in found.values():
        rmse = (kind.projections - kind.targets).square().mean(dim=(1, 2, 3)).sqrt()
        assert kind.rmse == pytest.approx(rmse.tolist()) and kind.distance == pytest.approx([x ** 2 for x in kind.rmse], rel=1e-3)
    assert max(found["generated"].rmse) < min(found["portraits"].rmse)


def test_the_experiment_measures_a_file_part_by_part_and_keeps_the_rest(tmp_path, monkeypatch, small_zoo_classifiers):
    monkeypatch.syspath_prepend(str(zoo.DATA.parent / "experiments"))
    import smoothness as experiment
    monkeypatch.setattr(experiment, "RATES", (0.1, 0.4))
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, channel_base=128, channel_max=8, w_dim=8, mapping_layers=2)
    file = zoo.save(tmp_path / "small.safetensors", G.state_dict(), "stylegan2-G", dataset_version=portraits.VERSION)
    out = tmp_path / "results" / "smoothness.json"
    options = ["--pairs", "4", "--samples", "300", "--latents", "2", "--images", "2", "--steps", "2", "--starts", "2", "--out",
               str(out), "--only"]
    experiment.main([str(file), *options, "inversion"])
    first = json.loads(out.read_text())["models"]["small"]["inversion"]
    experiment.main([str(file), *options, "ppl", "separability", "lengths"])
    result = json.loads(out.read_text())
    figures = result["models"]["small"]
    assert result["world"] == portraits.VERSION and result["command"].endswith(
        "smoothness.py small --pairs 4 --samples 300 --latents 2 --images 2 --steps 2 --starts 2")
    assert figures["inversion"] == first and len(first["generated"]["distance"]) == 2
    searches = torch.tensor(first["generated"]["searches"])
    assert searches.shape == (2, 2, 2) and searches.amin(dim=(0, 1)).tolist() == pytest.approx(first["generated"]["distance"])
    assert figures["ppl_w_end"]["mean"] > 0 and figures["lengths"]["latents"] == 2 and figures["separability"]["w"] >= 1
    assert out.with_name("smoothness-small.png").exists()
