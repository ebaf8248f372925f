"""Linear separability on latents whose answer is known; the call and the command for all metrics."""
import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import nn

from course_lib import metrics, portraits, zoo
from course_lib.metrics import __main__ as cli
from course_lib.metrics import inception
from course_lib.metrics.linear_separability import most_confident_half
from course_lib.networks import classifiers, stylegan2


class Latent(nn.Module):
    """The image holds z. W separates what Z does not: its first number is the product of the first two of z."""
    z_dim = resolution = 4

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def mapping(self, z):
        return torch.cat([z[:, :1] * z[:, 1:2], z], dim=1)

    def forward(self, z, psi=1):
        return z[:, None, :, None].expand(-1, 3, 4, 4)


def classifier(**attributes):
    """Attributes as functions of z; how far they lie from 0 is the confidence."""
    def classify(images):
        z = images[:, 0, :, 0]
        return {name: ((f(z) > 0).long(), f(z).abs()) for name, f in attributes.items()}
    return classify


def test_an_attribute_on_two_sides_of_a_plane_scores_one():
    classify = classifier(side=lambda z: z[:, 0] - z[:, 3], always=lambda z: z[:, 0] ** 2 + 1)
    found = metrics.separability(Latent(), classify, samples=2000)
    assert found["z"] == pytest.approx(1, abs=0.03) and found["w"] == pytest.approx(1, abs=0.03)
    assert found["entropies"]["z"]["always"] == 0


def test_what_z_entangles_and_w_does_not_scores_two_in_z_and_one_in_w():
    """The sign of a product is one bit, and no plane says anything about it: exp(ln 2) = 2."""
    found = metrics.separability(Latent(), classifier(product=lambda z: z[:, 0] * z[:, 1]), samples=4000)
    assert found["z"] == pytest.approx(2, abs=0.02) and found["w"] == pytest.approx(1, abs=0.03)
    assert found["entropies"]["z"]["product"] == pytest.approx(math.log(2), abs=0.01)


def test_random_labels_have_the_entropy_of_a_coin_and_entropies_add_up():
    coins = torch.Generator().manual_seed(0)
    toss = lambda z, p: (torch.rand(len(z), generator=coins) < p).long()
    classify = lambda images: {str(p): (toss(images, p), torch.rand(len(images), generator=coins)) for p in (0.5, 0.2)}
    found = metrics.separability(Latent(), classify, samples=8000)
    entropy = lambda p: -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert found["z"] == pytest.approx(math.exp(entropy(0.5) + entropy(0.2)), rel=0.03)
    assert found["z"] == pytest.approx(math.exp(sum(found["entropies"]["z"].values())))


def test_labels_that_nothing_explains_score_no_better_for_few_samples():
    """A plane that is tested on what it was fitted to divides as few points as these almost perfectly: exp(ln 2) = 2 is right."""
    class Wide(nn.Linear):
        z_dim = resolution = 64

        def forward(self, z, psi=1):
            return z[:, None, :4, None].expand(-1, 3, 4, 4)

    coins = torch.Generator().manual_seed(0)
    classify = lambda images: {"coin": (torch.randint(2, [len(images)], generator=coins), torch.rand(len(images), generator=coins))}
    G = Wide(1, 1)
    found = [metrics.separability(G, classify, samples=320, seed=seed)["z"] for seed in range(4)]
    assert min(found) > 1.9
    with pytest.raises(ValueError, match="319 samples are too few for separability.*at least 320"):
        metrics.separability(G, classify, samples=319)


def test_conditional_entropy_is_what_mutual_information_leaves():
    rng = np.random.RandomState(0)
    x = rng.randint(0, 3, 500)
    y = np.where(rng.rand(500) < 0.6, x, rng.randint(0, 4, 500))
    p = np.bincount(y) / len(y)
    assert metrics.conditional_entropy(y, x) == pytest.approx(-(p * np.log(p)).sum() - mutual_info_score(y, x))
    assert metrics.conditional_entropy(x, x) == 0
    assert metrics.conditional_entropy(np.arange(8) % 2, np.zeros(8)) == pytest.approx(math.log(2))


def test_the_most_confident_half_is_kept_and_continuous_values_are_split_at_the_median():
    label, kept = most_confident_half([torch.tensor([0, 1]), torch.tensor([1, 0])],
                                      [torch.tensor([0.9, 0.6]), torch.tensor([0.7, 0.5])])
    assert label.tolist() == [0, 1, 1, 0] and kept.tolist() == [0, 2]
    label, kept = most_confident_half([torch.tensor([10.0, 11, 12, 13, 30, 2])], [None])
    assert label.tolist() == [0, 0, 1, 1, 1, 0] and sorted(kept) == [0, 4, 5]
    unsure = metrics.separability(Latent(), lambda images: {"sum": (images[:, 0, :, 0].sum(dim=1), None)}, samples=1000)
    assert unsure["w"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("options, message", [
    ({"samples": 0}, "0 samples are too few"), ({"classifier": lambda images: {}}, "names no attribute"),
    ({"classifier": lambda images: {"x": (torch.full([len(images)], float("nan")), None)}}, "predicts of x is NaN")])
def test_wrong_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.separability(Latent(), **{"classifier": classifier(a=lambda z: z[:, 0]), "samples": 20, **options})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An untrained generator of 16 px, oracle and judge, as files."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
    zoo.save(folder / "G.safetensors", G.state_dict(), "stylegan2-G", dataset_version=portraits.VERSION)
    for kind in ("oracle", "judge"):
        zoo.save(folder / f"{kind}.safetensors", classifiers.AttributeClassifier(kind).state_dict(), kind, config={"kind": kind})
    return folder


def command(files, *words):
    judge = ("--judge", files / "judge.safetensors") if "separability" in words else ()
    return cli.main([str(word) for word in (files / "G.safetensors", *words, "--oracle", files / "oracle.safetensors", *judge,
                                            "--device", "cpu")])


def test_the_command_measures_smoothness_in_a_table_and_json_and_repeats_itself(files, tmp_path, capsys):
    words = ("swd", "ppl", "--samples", 16)
    first = command(files, *words, "--out", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text()) == first
    out, err = capsys.readouterr()
    assert "ppl_z_end" in err and "oracle" in err and "swd_16" in err and "pair" in err
    assert not out
    assert first["ppl_w_full"]["low"] < first["ppl_w_full"]["mean"] < first["ppl_w_full"]["high"]
    alone = command(files, "ppl_w_full", "swd", "--samples", 16)
    assert alone["ppl_w_full"] == first["ppl_w_full"] == json.loads(capsys.readouterr().out)["ppl_w_full"]
    assert alone["swd"] == first["swd"] != command(files, "swd", "--samples", 16, "--seed", 1)["swd"]
    capsys.readouterr()
    found = command(files, "separability", "--samples", 40)["separability"]
    out, err = capsys.readouterr()
    assert found["z"] >= 1 and found["classifier"] == "judge" and "separability_w" in err
    assert json.loads(out)["separability"] == found


def test_what_a_metric_lacks_is_named(files):
    G = zoo.load(files / "G.safetensors")
    for metric, message in (("separability", "needs a judge"), ("ppl_w_end", "needs an oracle"), ("kid", "needs an oracle"),
                            ("fdi", 'no metric "fdi"; choose from frechet')):
        with pytest.raises(ValueError, match=message):
            metrics.evaluate(G, metrics=[metric], samples=4)
    with pytest.raises(SystemExit, match="inception-2015-12-05.pt: fetch https"):
        command(files, "fid", "--samples", 4)


class Pixels(nn.Module):
    def forward(self, images, return_features: bool = False):
        return images.float().mean(dim=(2, 3))


@pytest.mark.filterwarnings("ignore")
def test_fid_is_the_frechet_distance_of_the_given_network_on_8_bit_images(files, tmp_path):
    torch.jit.script(Pixels()).save(tmp_path / "inception.pt")
    G = zoo.load(files / "G.safetensors")
    value = metrics.evaluate(G, metrics=["fid"], samples=32, inception=tmp_path / "inception.pt", resize="legacy")["fid"]
    eight = lambda batches: torch.cat([((x.clamp(-1, 1) + 1) * 127.5).round().mean(dim=(2, 3)) for x in batches])
    moments = [metrics.moments(eight(images), unbiased=True)
               for images in (metrics.rendered(32, 910_000, 16), metrics.generated(G, 32))]
    assert value == pytest.approx(metrics.frechet_distance(*moments), rel=1e-6)
    (tmp_path / "text.pt").write_text("no network")
    torch.jit.script(nn.Linear(3, 3)).save(tmp_path / "other.pt")
    for name, message in (("text", "text.pt is no TorchScript network"), ("other", "this is not the Inception network")):
        with pytest.raises(ValueError, match=message):
            inception.size_of(inception.load_inception(tmp_path / f"{name}.pt"))
