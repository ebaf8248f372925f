"""Several rates at once, the best of several searches, and edits as a command."""
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from course_lib import clip, download, latents, styleclip, train, zoo
from course_lib.networks import pggan
from course_lib.networks.identity import IdentityNetwork
from course_lib.styleclip import __main__ as command
from course_lib.styleclip import common, edit_command, global_directions
from test_styleclip import TINY, colors, generator

PROMPT = "a smiling person with red hair"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    network = clip.pocket(clip.vocabulary(), **TINY).requires_grad_(False)
    for _ in range(20):                                 # its normalisation knows no statistics yet
        network.encode_images(F.interpolate(torch.rand(32, 3, 4, 4) * 2 - 1, [32, 32], mode="bilinear"))
    return network.eval()


@pytest.fixture(scope="module")
def G():
    return generator()


@pytest.fixture(scope="module")
def models(G, network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return ["--generator", str(zoo.save(folder / "G.safetensors", G.state_dict(), "stylegan2-G")), "--clip",
            str(zoo.save(folder / "clip.safetensors", network.model.state_dict(), "clip", config={"words": clip.vocabulary()}))]


def test_images_of_several_learning_rates_move_as_each_alone(G, network):
    ws = G.mapping(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)))
    options = dict(steps=8, views=2, l2=0.001)
    for space in ("w+", "s"):
        found = styleclip.optimize(G, network, PROMPT, ws, space=space, lr=[0.05, 0.1, 0.4], **options)
        for i, rate in enumerate((0.05, 0.1, 0.4)):
            alone = styleclip.optimize(G, network, PROMPT, ws[i:i + 1], space=space, lr=rate, **options)
            assert torch.allclose(alone.images[0], found.images[i], atol=1e-4)
            assert torch.allclose(alone.losses["total"][:, 0], found.losses["total"][:, i], atol=1e-5)
    with pytest.raises(ValueError, match="one or one for each of the 3 images"):
        styleclip.optimize(G, network, PROMPT, ws, lr=[0.1, 0.2])


@pytest.mark.parametrize("identity", [None, colors])
def test_searches_in_one_batch_end_where_one_after_the_other_would(G, network, identity):
    ws = G.mapping(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)))
    before, rates = G.synthesis(ws, noise="const"), (0.05, 0.3, 0.9)
    target = (network.encode_images(before) @ network.encode_texts([PROMPT])[0]) + torch.tensor([-0.1, 0.02, 0.9])
    options = dict(steps=6, views=2)
    sigma = global_directions.style_deviations(G, torch.Generator().manual_seed(0), samples=2000)
    scale = torch.cat([s for s, moves in zip(sigma, common.of_convolutions(G)) if moves]).square().mean().sqrt().item()
    if identity:
        options |= {"identity": identity, "id_weight": 0.05}
    threshold = {"identity_threshold": 0.9} if identity else {}

    def alone(rows, rate):
        return styleclip.optimize(G, network, PROMPT, ws[rows], space="s", lr=rate * scale, l2=1e-4 / scale ** 2,
                                  preserve_weight=0.15, similarity_target=target[rows], **options)

    expected, _, strengths = styleclip.best_edit(network, PROMPT, before, [alone], rates, target, identity=identity, **threshold)
    images, chosen = styleclip.search(G, network, PROMPT, ws, target, rates=rates, l2=1e-4, **options, **threshold)
    assert torch.equal(chosen, strengths) and chosen[0] == 0 and torch.allclose(images, expected, atol=1e-4)


def test_each_method_writes_before_and_after_for_every_portrait(G, models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(edit_command, "BETAS", (0.05, 0.0))
    monkeypatch.setattr(download, "cache", lambda: tmp_path / "cache")
    train.main(["mapper", "--prompt", PROMPT, *models, "--identity", "none", "--levels", "coarse", "--steps", "2", "--batch", "2",
                "--device", "cpu", "--out", str(tmp_path / "mapper")])
    ws = G.mapping(torch.randn(1, 8))[:, None].expand(-1, G.num_ws, -1)
    file = latents.save(tmp_path / "l.safetensors", G, ws, ["mine"], [0.1], model="G", space="w", distance="pyramid")
    Image.new("RGBA", [30, 40], (200, 100, 50, 128)).save(tmp_path / "photo.png")
    monkeypatch.setattr("course_lib.project.STEPS", 2)
    whole = styleclip.search
    monkeypatch.setattr(edit_command, "search", lambda *args, **options: whole(*args, steps=3, **options))
    measure = styleclip.channel_statistics
    monkeypatch.setattr(edit_command, "channel_statistics", lambda *args, **options: measure(*args, images=4, **options))
    edit = lambda name, *options: command.main(["edit", PROMPT, *models, "--samples", "50", "--device", "cpu", "--out",
                                                str(tmp_path / f"{name}.png"), *options])
    trained = str(tmp_path / "mapper" / "mapper-a-smiling-person-with-red-hair.safetensors")
    for method, source, columns, names in (
            ("direction", ["--seed", "3", "4"], 2, ["seed 3", "seed 4"]),
            ("optimization", ["--image", str(tmp_path / "photo.png")], 3, ["photo"]),
            ("mapper", ["--latents", str(file), "--mapper", trained], 2, ["mine"])):
        rows, out = edit(method, "--method", method, *source)["portraits"], tmp_path / f"{method}.png"
        assert [row["name"] for row in rows] == names and all(row["after"] >= row["before"] - 1e-4 for row in rows)
        with Image.open(out) as sheet:
            assert sheet.size == (columns * 192, len(names) * 192)
    said = capsys.readouterr().err
    assert "measured once, and kept in" in said
    edit("again", "--method", "direction")
    assert "measured once" not in capsys.readouterr().err and len(list((tmp_path / "cache/statistics").iterdir())) == 1


@pytest.mark.parametrize("options, message", [
    (("--seed", "1", "--image", "x.png"), "take one of them"), (("--out", "x.mp3"), '".mp3" is no format of pictures'),
    (("--out", "there.png"), "exists already"), (("--out", "there.png/x.png"), "is not a folder"),
    (("--method", "mapper"), "there is no mapper for .*; for stylegan2-portraits-64 the course has .*a bald person.* one "
     'with python -m course_lib.train mapper --prompt "a smiling person with red hair" --generator'),
    (("--mapper", "judge-portraits-64", "--method", "mapper"), '"judge-portraits-64" holds a classifier of attributes, not a map'),
    (("a bald person", "--method", "mapper"), 'mapper for "a bald person" belongs to stylegan2-portraits-64, not to .*G.safet'),
    (("--psi", "1", "--image", "x.png"), "--psi needs --seed"), (("--neutral", "a man"), "--neutral needs --method direction"),
    (("--mapper", "mapper-a-bald-person"), "--mapper needs --method mapper"), ((" ",), "the sentence is empty"),
    (("--out", "new"), "new has no ending; name new.png"), (("--generator", "judge-portraits-64"), "which is no generator"),
    (("--clip", "clip-portraits"), "not trained on them.*; name a model of open_clip, such as --clip ViT-B-32/openai"),
    (("--mapper", "mapper-a-bald-person", "--method", "mapper"), "was trained with another generator"),
    (("--generator", "pggan"), "no mapping network"), (("--identity", "judge-portraits-64"), "no identity network"),
    (("--identity", "verifier.safetensors"), "the verifier is held out: .* take identity-portraits-64 instead"),
    (("--latents", "other.safetensors"), "latents of another generator"),
    (("--latents", "there.png"), "not a complete safetensors file"),
    (("--image", "empty"), "holds no pictures"), (("--image", "there.png"), "no picture that can be projected"),
    (("--neutral", PROMPT, "--method", "direction"), "neutral and target text are both"), (("--class", "1"), "knows no classes")])
def test_an_edit_that_cannot_work_is_one_sentence_and_leaves_nothing(options, message, G, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "cache", lambda: tmp_path / "cache")
    nothing = styleclip.Statistics([torch.zeros(2, 16)], [torch.ones(2)], {})
    monkeypatch.setattr(edit_command, "channel_statistics", lambda *args, **options: nothing)
    (tmp_path / "there.png").write_text("mine")
    (tmp_path / "empty").mkdir()
    zoo.save("pggan", pggan.Generator(16, z_dim=8, channel_base=128, channel_max=8).state_dict(), "pggan-G")
    latents.save("other.safetensors", generator(seed=1), torch.zeros(1, 8), ["a"], [0.0])
    zoo.save("verifier.safetensors", IdentityNetwork(8, kind="verifier").state_dict(), "verifier",
             config={"kind": "verifier", "threshold": 0.5})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=message) as end:
        prompt, options = (PROMPT, options) if options[0][:2] == "--" else (options[0], options[1:])
        command.main(["edit", prompt, *models, "--samples", "50", "--device", "cpu", "--out", "new.png", *options])
    assert len(str(end.value.code).strip().splitlines()) == 1 and sorted(tmp_path.rglob("*")) == before
