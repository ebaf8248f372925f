"""StyleCLIP: the terms of the loss, the three methods on small random networks, and statistics against their closed form."""
import contextlib
import functools
import json
import os
import re
import signal
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import clip, portraits, styleclip, train, zoo
from course_lib.networks import classifiers, pggan, stylegan, stylegan2
from course_lib.networks.identity import IdentityNetwork
from course_lib.styleclip import __main__ as commands
from course_lib.styleclip import common, global_directions
from course_lib.styleclip.common import fingerprint

TINY = dict(image_size=32, width=4, layers=(1, 1, 1, 1), text_width=64, text_layers=1, embed_dim=16, context=24)
PROMPT = "a smiling person"


@functools.cache
def vocabulary():
    """That of version 1, whichever is the default: the random weights of the small network below follow the number of words."""
    return clip.vocabulary(version="1")


def generator(seed=0, w_dim=8):
    torch.manual_seed(seed)
    G = stylegan2.Generator(16, z_dim=8, w_dim=w_dim, channel_base=128, channel_max=8, mapping_layers=2)
    return G.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def G():
    return generator()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    network = clip.pocket(vocabulary(), **TINY).requires_grad_(False)
    for name, weight in network.named_parameters():
        if name.endswith("bn3.weight"):                 # the blocks of an untrained ResNet add nothing
            weight.fill_(1)
    images = F.interpolate(torch.rand(32, 3, 4, 4) * 2 - 1, [32, 32], mode="bilinear")
    for _ in range(30):                                 # and its normalisation knows no statistics yet
        network.encode_images(images)
    return network.eval()


@pytest.fixture(scope="module")
def ws(G):
    return G.mapping(torch.randn(3, 8, generator=torch.Generator().manual_seed(4)))


def colors(images):
    """A stand-in for the identity network: mean colours, as unit vectors."""
    return F.normalize(images.mean(dim=(2, 3)) + 0.1, dim=1)


class Red:
    """A CLIP model that sees mean colours, and for which every sentence asks for red."""
    resized = staticmethod(lambda images: images)
    encode_images = staticmethod(colors)
    encode_texts = staticmethod(lambda texts: torch.tensor([[1.0, 0, 0]]))


# The terms of the loss

def test_clip_distance_is_one_less_the_cosine_whatever_the_lengths():
    a = torch.tensor([[2.0, 0], [0, 3], [-1, 0], [1, 1]])
    assert torch.allclose(styleclip.clip_distance(a, torch.tensor([[5.0, 0]])), torch.tensor([0, 1, 2, 1 - 0.5 ** 0.5]), atol=1e-6)
    assert torch.allclose(styleclip.identity_loss(a, 7 * a), torch.zeros(4), atol=1e-6)


def test_the_latent_distance_is_the_squared_sum_of_a_latent_or_of_all_styles():
    a, b = torch.zeros(2, 3, 4), torch.ones(2, 3, 4) * torch.tensor([1.0, 2]).view(2, 1, 1)
    assert styleclip.latent_distance(a, b).tolist() == [12, 48]
    assert styleclip.latent_distance([a, a[:, 0]], [b, b[:, 0]]).tolist() == [16, 64]


def test_the_optimization_loss_weighs_its_terms_for_latents_and_for_styles():
    a, b, clip_term = torch.zeros(2, 3, 4), torch.ones(2, 3, 4) * torch.tensor([1.0, 2]).view(2, 1, 1), torch.tensor([0.5, 1.5])
    assert styleclip.optimization_loss(clip_term, a, b).tolist() == pytest.approx([0.5 + 0.008 * 12, 1.5 + 0.008 * 48])
    loss = styleclip.optimization_loss(clip_term, [a, a[:, 0]], [b, b[:, 0]], torch.tensor([0.2, 0.4]), 0.5, 3.0)
    assert loss.tolist() == pytest.approx([0.5 + 8 + 0.6, 1.5 + 32 + 1.2])


def test_the_mapper_loss_weighs_its_terms():
    offsets = torch.stack([torch.full([5, 4], 2.0), torch.zeros(5, 4)])
    loss = styleclip.mapper_loss(torch.tensor([1.0, 0.5]), offsets, torch.tensor([0.2, 0.4]), 2.0, 0.5, 0.1)
    assert loss.tolist() == pytest.approx([2 + 0.5 * 4 + 0.02, 1.04])


def test_beyond_the_target_d_clip_asks_for_nothing():
    terms = torch.tensor([0.9, 0.7, 0.5], requires_grad=True)
    assert styleclip.hinge(terms) is terms
    assert styleclip.hinge(terms, 0.4).tolist() == pytest.approx([0.3, 0.1, 0])
    assert styleclip.hinge(terms, torch.tensor([0.0, 0.2, 0.6])).tolist() == pytest.approx([0, 0, 0.1])
    styleclip.hinge(terms, 0.4).sum().backward()
    assert terms.grad.tolist() == [1, 1, 0]


def test_the_preservation_loss_leaves_out_what_lies_along_the_sentence():
    source, text = torch.tensor([[0.6, 0.8, 0.0]]), torch.tensor([[2.0, 0, 0]])
    along, beside = torch.tensor([[0.6, 0, 0.8]]), torch.tensor([[0.0, 0.8, 0.6]])
    assert styleclip.preservation_loss(source, 3 * source, text).item() == pytest.approx(0, abs=1e-12)
    assert styleclip.preservation_loss(along, source, text).item() == pytest.approx(0.64 + 0.64)
    assert styleclip.preservation_loss(5 * beside, source, text).item() == pytest.approx(0.36)
    both = torch.cat([along, beside])
    assert styleclip.preservation_loss(both, source.expand(2, 3), text).tolist() == pytest.approx([1.28, 0.36])


# Optimization

@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_optimization_brings_images_nearer_to_the_prompt(G, network, ws, space):
    found = styleclip.optimize(G, network, PROMPT, ws, space=space, steps=30, views=1, l2=0.0, frame_every=10)
    text = network.encode_texts([PROMPT])
    start, end = (styleclip.clip_distance(network.encode_images(images), text)
                  for images in (G.synthesis(ws, noise="const"), found.images))
    assert torch.allclose(found.losses["clip"][0], start, atol=1e-5) and (end < start - 0.005).all()
    assert found.losses["total"].shape == (31, 3) and len(found.frames) == 4 and torch.equal(found.frames[-1], found.images)
    if space == "s":
        before, names = G.styles(ws), [name for name, _, _ in G.synthesis.style_layers()]
        moved = {name: not torch.equal(a, b) for name, a, b in zip(names, before, found.latents)}
        assert moved == {name: not name.endswith("torgb") for name in names}
        images = G.synthesis(styles=found.latents, noise="const")
    else:
        offsets = found.latents - ws[:, None]
        alike = (offsets - offsets[:, :1]).abs().max()
        assert found.latents.shape == (3, 6, 8) and (alike < 1e-5 if space == "w" else alike > 0.01)
        images = G.synthesis(found.latents, noise="const")
    assert torch.allclose(images, found.images, atol=1e-5)


def test_the_weights_hold_latents_and_identity_back(G, network, ws):
    run = lambda **options: styleclip.optimize(G, network, PROMPT, ws, steps=25, views=1, **options)
    free, near, fixed = (run(l2=l2) for l2 in (0.0, 0.01, 100.0))
    distances = [styleclip.latent_distance(x.latents, ws[:, None].expand(-1, 6, -1)) for x in (free, near, fixed)]
    assert (distances[0] > distances[1]).all() and (distances[1] > distances[2]).all() and (distances[2] < 0.1).all()
    assert torch.allclose(near.losses["total"], near.losses["clip"] + 0.01 * near.losses["l2"])
    kept = run(l2=0.0, identity=colors, id_weight=5.0)
    loss = lambda found: styleclip.identity_loss(colors(found.images), colors(G.synthesis(ws, noise="const"))).mean()
    assert loss(kept) < loss(free) and kept.losses["identity"][0].abs().max() < 1e-5


def test_a_portrait_that_has_reached_its_target_stays(G, network, ws):
    text = network.encode_texts([PROMPT])
    at_first = (network.encode_images(G.synthesis(ws, noise="const")) @ text.T)[:, 0]
    target = at_first + torch.tensor([-0.1, 0.01, 1.0])
    run = lambda **options: styleclip.optimize(G, network, PROMPT, ws, steps=40, lr=0.03, views=1, l2=0.0, **options)
    found, free = run(similarity_target=target), run()
    reached = (network.encode_images(found.images) @ text.T)[:, 0]
    assert torch.equal(found.latents[0], ws[0].expand(6, -1))                   # it reached its target before it began
    assert target[1] - 1e-3 < reached[1] < (network.encode_images(free.images) @ text.T)[1, 0]
    assert torch.allclose(found.latents[2], free.latents[2], atol=1e-4)         # it never has
    assert torch.allclose(found.losses["total"], (found.losses["clip"] - (1 - target)).clamp(min=0))


def test_the_preserve_weight_keeps_what_the_sentence_does_not_ask_for(G, network, ws):
    text, before = network.encode_texts([PROMPT]), network.encode_images(G.synthesis(ws, noise="const"))
    run = lambda weight: styleclip.optimize(G, network, PROMPT, ws, steps=25, views=1, l2=0.0, preserve_weight=weight)
    free, kept = run(0.0), run(5.0)
    change = lambda found: styleclip.preservation_loss(network.encode_images(found.images), before, text)
    assert "preserve" not in free.losses and kept.losses["preserve"][0].abs().max() < 1e-8
    assert (change(kept) < 0.5 * change(free)).all()
    assert torch.allclose(kept.losses["total"], kept.losses["clip"] + 5 * kept.losses["preserve"])


def test_an_image_has_the_same_edit_alone_and_in_a_batch_and_the_seed_decides(G, network, ws):
    run = lambda rows, seed=0: styleclip.optimize(G, network, PROMPT, ws[rows], steps=8, views=2, seed=seed).latents
    whole = run(slice(None))
    assert torch.allclose(run([1])[0], whole[1], atol=1e-4)
    assert torch.equal(run(slice(None)), whole) and not torch.allclose(run(slice(None), seed=1), whole, atol=1e-4)


def test_each_image_can_have_its_own_prompt(G, network, ws):
    prompts = [PROMPT, "a bald man", "a person with glasses"]
    whole = styleclip.optimize(G, network, prompts, ws, steps=5, views=1)
    for i, prompt in enumerate(prompts):
        assert torch.allclose(styleclip.optimize(G, network, prompt, ws[i:i + 1], steps=5, views=1).latents[0], whole.latents[i],
                              atol=1e-4)


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_every_step_of_an_edit_holds_its_latents_their_images_and_their_losses(G, network, ws, space):
    text, options = network.encode_texts([PROMPT]), dict(space=space, steps=6, views=1)
    with torch.no_grad():
        whole = styleclip.optimize(G, network, PROMPT, ws, frame_every=4, **options)
        steps = list(styleclip.optimize_steps(G, network, PROMPT, ws, **options))
    assert [now.step for now in steps] == list(range(7)) and len(whole.losses["clip"]) == 7
    for now in steps:
        again = G.synthesis(styles=now.latents, noise="const") if space == "s" else G.synthesis(now.latents, noise="const")
        assert torch.allclose(again, now.images, atol=1e-5) and not now.images.requires_grad
        assert torch.allclose(styleclip.clip_distance(network.encode_images(again), text), now.losses["clip"], atol=1e-5)
        assert torch.equal(now.losses["clip"], whole.losses["clip"][now.step])
    assert torch.equal(steps[-1].images, whole.images) and all(map(torch.equal, whole.frames, [steps[i].images for i in (0, 4, 6)]))
    assert torch.allclose(steps[0].images, G.synthesis(ws, noise="const"), atol=1e-5)
    assert not torch.equal(steps[3].images, steps[6].images)


def test_an_edit_can_be_left_at_any_step(G, network, ws):
    whole = [now.images for now in styleclip.optimize_steps(G, network, PROMPT, ws, steps=6, views=1)]
    for now in styleclip.optimize_steps(G, network, PROMPT, ws, steps=6, views=1):
        if now.step == 3:
            break
    assert torch.equal(now.images, whole[3])


def test_a_stylegan_is_edited_too(network):
    torch.manual_seed(0)
    G = stylegan.Generator(16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, mapping_layers=2).eval().requires_grad_(False)
    for space in ("w+", "s"):
        found = styleclip.optimize(G, network, PROMPT, G.mapping(torch.randn(1, 8)), space=space, steps=10, views=1, l2=0.0)
        assert found.losses["clip"][-1] < found.losses["clip"][0]


@pytest.mark.parametrize("options, message", [
    ({"space": "z"}, 'space is "z"; choose "w", "w\\+" or "s"'), ({"steps": 0}, "0 steps"), ({"views": 0}, "0 views"),
    ({"lr": 0}, "learning rate is 0"), ({"l2": -1.0}, "must not be negative"), ({"id_weight": 0.1}, "no identity network"),
    ({"preserve_weight": -1.0}, "preserve_weight = -1.0 must not be negative"),
    ({"similarity_target": torch.zeros(3, 1)}, "one for each of the 3 images"),
    ({"similarity_target": float("nan")}, "the target must be one similarity"),
    ({"prompt": ""}, "the sentence is empty"), ({"prompt": ["a man"] * 2}, "2 prompts for 3 images"),
    ({"prompt": "a smilin man"}, '"smilin"'),
    ({"ws": torch.zeros(3, 5)}, r"\[3, 5\]; this generator takes \[N, 6, 8\] or \[N, 8\]"),
    ({"ws": torch.full([2, 8], float("nan"))}, r"NaN or infinity in rows \[0, 1\]"),
    ({"identity": lambda x: colors(x) * float("nan"), "id_weight": 0.1}, "NaN or infinite in step 0")])
def test_wrong_options_are_named(G, network, ws, options, message):
    with pytest.raises(ValueError, match=message):
        styleclip.optimize(G, network, **{"prompt": PROMPT, "ws": ws, "steps": 2, "views": 1, **options})


def test_the_verifier_optimises_and_chooses_nothing(G, network, ws):
    verifier, before = IdentityNetwork(8, kind="verifier").eval(), torch.zeros(3, 3, 16, 16)
    for edits in (lambda: styleclip.optimize(G, network, PROMPT, ws, steps=1, identity=verifier, id_weight=0.1),
                  lambda: styleclip.search(G, network, PROMPT, ws, 0.5, steps=1, identity=verifier),
                  lambda: styleclip.best_edit(network, PROMPT, before, [None], [1.0], 0.5, identity=verifier),
                  lambda: styleclip.fit(G, network, PROMPT, steps=1, identity=verifier)):
        with pytest.raises(ValueError, match="the verifier is held out: it measures edits, and none is optimised or chosen by it"):
            edits()


def test_a_generator_without_w_is_named(network):
    with pytest.raises(ValueError, match="there is no W to edit in"):
        styleclip.optimize(pggan.Generator(16, z_dim=8, channel_base=128, channel_max=8), network, PROMPT, torch.zeros(1, 8))


# Mapper

def test_levels_are_the_layers_0_to_3_then_4_to_7_then_the_rest():
    for num_ws, sizes in ((10, (4, 4, 2)), (18, (4, 4, 10))):
        ws = torch.arange(num_ws).view(1, num_ws, 1) * torch.ones(2, 1, 3)
        parts = styleclip.split_levels(ws)
        assert tuple(part.shape[1] for part in parts.values()) == sizes and torch.equal(torch.cat([*parts.values()], dim=1), ws)
    with pytest.raises(ValueError, match='8 layers have no level "fine", which starts at layer 8'):
        styleclip.split_levels(torch.zeros(1, 8, 3))
    assert list(styleclip.split_levels(torch.zeros(1, 8, 3), ["coarse", "medium"])) == ["coarse", "medium"]


@pytest.mark.parametrize("levels", [("coarse",), ("medium", "fine"), ("coarse", "medium", "fine")])
def test_a_mapper_changes_only_the_layers_of_its_levels(levels):
    mapper = styleclip.LatentMapper(8, levels)
    ws = torch.randn(2, 10, 8)
    moved = (mapper(ws) != ws).any(dim=2).all(dim=0)
    expected = torch.cat([torch.full([n], level in levels) for level, n in (("coarse", 4), ("medium", 4), ("fine", 2))])
    assert torch.equal(moved, expected)
    assert torch.equal(mapper(ws, strength=0.0), ws)
    assert torch.allclose(mapper(ws, strength=2.0) - ws, 2 * mapper.offsets(ws), atol=1e-5)
    some = mapper.offsets(ws, [levels[-1]])
    assert torch.equal(some[:, -1], mapper.offsets(ws)[:, -1]) and (len(levels) == 1 or (some[:, 0] == 0).all())


def test_a_mapper_sees_the_direction_of_each_w_and_not_its_length_or_its_neighbours():
    mapper = styleclip.LatentMapper(8, ("coarse",))
    ws = torch.randn(2, 10, 8)
    offsets = mapper.offsets(ws)
    assert torch.allclose(mapper.offsets(5 * ws), offsets, atol=1e-5)
    swapped = mapper.offsets(ws[:, [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]])
    assert torch.allclose(swapped[:, :2], offsets[:, [1, 0]], atol=1e-6)
    assert 0.02 < offsets[:, :4].square().mean().sqrt() < 0.2                # 0.1 times outputs of a size near 1


def test_a_mapper_learns_its_prompt_for_latents_that_it_has_not_seen(G, network, ws):
    mapper, losses = styleclip.fit(G, Red, PROMPT, steps=80, batch=2, views=1, l2=0.0, seed=1)
    assert losses["clip"].shape == (80,) and "identity" not in losses and mapper.levels == ("coarse", "medium")
    before, after = (styleclip.clip_distance(colors(images), Red.encode_texts([PROMPT]))
                     for images in (G.synthesis(ws, noise="const"), styleclip.map_latents(G, mapper, ws).images))
    assert (after < before).all() and after.mean() < before.mean() - 0.1
    again, _ = styleclip.fit(G, Red, PROMPT, steps=80, batch=2, views=1, l2=0.0, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), mapper.parameters()))
    asked = []
    _, short = styleclip.fit(G, network, PROMPT, steps=9, batch=2, identity=colors, stop=lambda: asked.append(1) or len(asked) == 5)
    assert len(short["clip"]) == 5 and (short["identity"] > 0).any()


def test_the_training_of_a_mapper_can_be_watched_and_left_at_any_step(G, network, ws):
    options = dict(steps=6, batch=2, views=1, levels=["coarse"])
    _, losses = styleclip.fit(G, network, PROMPT, **options)
    latents = []
    for now in styleclip.fit_steps(G, network, PROMPT, **options):
        assert now.losses["clip"] == losses["clip"][now.step]
        latents.append(styleclip.map_latents(G, now.mapper, ws).latents)
        if now.step == 3:
            break
    assert len(latents) == 4 and not torch.equal(latents[0], latents[3])


def test_the_mapper_loss_holds_the_offsets_back(G, network):
    free, held = (styleclip.fit(G, network, PROMPT, steps=40, batch=4, views=1, l2=l2, levels=["coarse"])[1]["l2"][-1]
                  for l2 in (0.0, 50.0))
    assert held < 0.5 * free


def test_a_mapper_of_the_command_line_is_loaded_with_only_its_levels(G, network, ws, tmp_path, capsys):
    files = [zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G"),
             zoo.save(tmp_path / "clip.safetensors", network.model.state_dict(), "clip", config={"words": vocabulary()})]
    train.main(["mapper", "--prompt", "A smiling person!", "--generator", str(files[0]), "--clip", str(files[1]),
                "--identity", "none", "--levels", "coarse", "--steps", "3", "--batch", "2", "--top-fraction", "0.1",
                "--preserve-weight", "0.1", "--device", "cpu", "--out", str(tmp_path / "out")])
    file = tmp_path / "out" / "mapper-a-smiling-person.safetensors"
    mapper, (tensors, metadata) = zoo.load(file), zoo.read(file)
    assert {key.split(".")[0] for key in tensors} == {"coarse"} and metadata["world"] == portraits.VERSION
    assert mapper.prompt == "A smiling person!" and len(mapper.coarse) == 4
    edited = styleclip.map_latents(G, mapper, ws, strength=0.5)
    assert torch.allclose(edited.latents[:, 4:], ws[:, None].expand(-1, 2, -1)) and edited.images.shape == (3, 3, 16, 16)
    result = json.loads((tmp_path / "out" / "results" / "mapper-a-smiling-person.json").read_text())
    assert result["world"] == portraits.VERSION and "--levels coarse" in result["command"]
    assert result["losses"]["clip"] > 0 and result["losses"]["preserve"] > 0
    with pytest.raises(SystemExit, match="the sentence is empty"):
        train.main(["mapper", "--prompt", " ", "--generator", str(files[0]), "--clip", str(files[1]), "--identity", "none", "--out",
                    str(tmp_path / "out"), "--device", "cpu"])


def test_a_stopped_mapper_is_kept_and_a_trained_one_is_not_overwritten(G, network, tmp_path, monkeypatch, capsys):
    files = [zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G"),
             zoo.save(tmp_path / "clip.safetensors", network.model.state_dict(), "clip", config={"words": vocabulary()})]
    out, loss, calls = tmp_path / "out", styleclip.mapper.mapper_loss, []
    options = ["mapper", "--prompt", "a hat", "--generator", str(files[0]), "--clip", str(files[1]), "--identity", "none",
               "--levels", "coarse", "--steps", "4", "--batch", "1", "--views", "1", "--device", "cpu", "--out", str(out)]

    def watched(*args):
        calls.append(os.kill(os.getpid(), signal.SIGINT) if len(calls) == 1 else None)
        return loss(*args)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(styleclip.mapper, "mapper_loss", watched)
        train.main(options)
    said = capsys.readouterr().err
    assert end.value.code == 130 and "stopped after 2 of 4 steps" in said and "--resume" not in said
    assert [path.name for path in out.iterdir()] == ["mapper-a-hat-after-2-steps.safetensors"]
    assert zoo.load(next(out.iterdir())).prompt == "a hat"
    train.main(options)
    monkeypatch.setattr(styleclip, "fit", None)                 # no training may begin
    for place, says in ((out, "mapper-a-hat.safetensors exists already and is not overwritten"),
                        (files[0] / "below", "is not a folder")):
        with pytest.raises(SystemExit, match=says):
            train.main([*options, "--out", str(place)])
    with pytest.raises(SystemExit, match="--identity oracle-portraits-64 is no identity network"):
        train.main([*options, "--out", str(tmp_path / "new"), "--identity", "oracle-portraits-64"])
    verifier = zoo.save(tmp_path / "verifier.safetensors", IdentityNetwork(8, kind="verifier").state_dict(), "verifier",
                        config={"kind": "verifier", "threshold": 0.5})
    with pytest.raises(SystemExit, match="the verifier is held out"):
        train.main([*options, "--out", str(tmp_path / "new"), "--identity", str(verifier)])
    with pytest.raises(SystemExit, match="no generator, so there is no W"):
        train.main([*options, "--out", str(tmp_path / "new"), "--generator", "oracle-portraits-64"])
    assert not (tmp_path / "new").exists()


def test_each_portrait_can_have_its_own_strength(G, ws):
    torch.manual_seed(2)
    mapper = styleclip.LatentMapper(8, ["coarse"], generator=fingerprint(G))
    whole = styleclip.map_latents(G, mapper, ws, strength=torch.tensor([0.0, 1.0, 2.5]))
    for i, strength in enumerate((0.0, 1.0, 2.5)):
        assert torch.allclose(styleclip.map_latents(G, mapper, ws, strength).latents[i], whole.latents[i], atol=1e-6)
    for wrong in (torch.ones(2), float("nan")):
        with pytest.raises(ValueError, match="one for each of the 3 images"):
            styleclip.map_latents(G, mapper, ws, wrong)


def test_a_mapper_whose_target_is_reached_learns_nothing(G, network):
    with torch.no_grad():
        options = dict(steps=4, batch=2, views=1, l2=0.0, id_weight=0.0)
        first, far = (styleclip.fit(G, network, PROMPT, similarity_target=target, **options) for target in (-1.0, 1.0))
    assert first[1]["total"].tolist() == [0] * 4 and (far[1]["total"] - far[1]["clip"]).abs().max() < 1e-6
    with torch.random.fork_rng():
        torch.manual_seed(0)
        begun = styleclip.LatentMapper(8, first[0].levels)
    assert all(torch.equal(a, b) for a, b in zip(begun.parameters(), first[0].parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(begun.parameters(), far[0].parameters()))
    kept = styleclip.fit(G, network, PROMPT, preserve_weight=2.0, **options)[1]
    assert torch.allclose(kept["total"], kept["clip"] + 2 * kept["preserve"], atol=1e-6)


# How far to go

def test_the_similarity_target_is_what_the_top_fraction_of_the_samples_reach(G, network):
    samples = styleclip.embed_samples(G, network, samples=40, batch=16)
    assert samples.shape == (40, 16) and torch.equal(samples, styleclip.embed_samples(G, network, samples=40, batch=16))
    targets = styleclip.similarity_target(network, samples, [PROMPT, "a bald man"], top_fraction=0.25)
    for prompt, target in zip((PROMPT, "a bald man"), targets):
        reached = (samples @ network.encode_texts([prompt]).T)[:, 0] >= target
        assert reached.sum() == 10
        assert torch.allclose(styleclip.similarity_target(network, samples, prompt, top_fraction=0.25), target)
    with pytest.raises(ValueError, match="show nothing"):
        styleclip.embed_samples(G, network, samples=0)
    for wrong in (0, 1, -0.1):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            styleclip.similarity_target(network, samples, PROMPT, top_fraction=wrong)


def _grown(rows, strength):
    """Portraits that grow red at once, late, or only up to a point, as one Edit."""
    red = torch.tensor([strength, strength / 4, 1 - abs(strength - 2) / 4])
    images = torch.stack([red, torch.ones(3), torch.zeros(3)], dim=1)[:, :, None, None].expand(-1, -1, 2, 2)
    return styleclip.Edit(None, images[rows], [], {})


PALE = torch.tensor([0.0, 1, 0]).view(1, 3, 1, 1).expand(3, -1, 2, 2)


def test_the_best_edit_is_the_first_that_reaches_the_target_or_the_nearest_to_it():
    target = colors(_grown([0], 2.0).images)[0, 0]                # the first reaches it at 2, the second at 8, the third never
    images, candidate, strength = styleclip.best_edit(Red, PROMPT, PALE, [_grown], (8.0, 1.0, 2.0, 3.0), target)
    assert candidate.tolist() == [0, 0, 0] and strength.tolist() == [2, 8, 2]
    assert torch.equal(images, torch.cat([_grown([i], size).images for i, size in enumerate((2.0, 8.0, 2.0))]))
    images, candidate, strength = styleclip.best_edit(Red, PROMPT, PALE, [_grown], (1.0, 2.0), torch.tensor([2.0, -1.0, -1.0]))
    assert strength.tolist() == [2, 0, 0] and candidate.tolist() == [0, -1, -1] and torch.equal(images[1:], PALE[1:])


def test_strengths_grow_until_the_target_is_reached_by_the_same_person_and_the_best_candidate_is_taken():
    """A person that is another from 3 on, one that is another up to 1 and himself again from 2 on, and one that stays."""
    cosines, tried = {1.0: (0.9, 0.4, 0.7), 2.0: (0.8, 0.9, 0.9), 3.0: (0.4, 0.9, 0.9)}, []

    def candidate(rows, strength):
        tried.append((rows.tolist(), strength))
        return _grown(rows, strength)

    def identity(images):
        cosine = torch.ones(3) if torch.equal(images, PALE) else torch.tensor([cosines[tried[-1][1]][row] for row in tried[-1][0]])
        return torch.stack([cosine, (1 - cosine ** 2).sqrt()], dim=1)

    identity.threshold = 0.5
    best = lambda candidates=(candidate,), target=2.0, **options: styleclip.best_edit(
        Red, PROMPT, PALE, candidates, (1.0, 2.0, 3.0), target, identity=identity, **options)
    assert best()[2].tolist() == [2, 3, 2] and best(identity_threshold=0.3)[2].tolist() == [3, 3, 2]
    less = lambda rows, strength: candidate(rows, strength)._replace(images=_grown(rows, strength / 2).images)
    assert best([less, candidate])[1].tolist() == [1, 1, 1] and best([candidate, less])[1].tolist() == [0, 0, 0]
    tried.clear()
    assert best(target=torch.tensor([-1.0, 2.0, -1.0]))[2].tolist() == [0, 3, 0]
    assert tried == [([1], 1.0), ([1], 2.0), ([1], 3.0)]
    nobody = lambda images: identity(images) * (1 if torch.equal(images, PALE) else -1)
    nobody.threshold = 0.5
    assert styleclip.best_edit(Red, PROMPT, PALE, [candidate], (1.0, 2.0), 2.0, identity=nobody)[1].tolist() == [-1, -1, -1]


def test_of_candidates_that_reach_the_target_the_one_that_preserves_the_person_best_is_taken():
    """Pictures whose three colours are their cosine with the sentence, their row, and their cosine with the person; sentences and
    persons differ from row to row."""
    colours = lambda rows, found, person: torch.tensor([[found, row, person[row]] for row in rows])
    picture = lambda *of: colours(*of)[:, :, None, None].expand(-1, 3, 2, 2)
    at_angle = lambda angle: torch.stack([angle.cos(), angle.sin()], dim=1)
    seer = SimpleNamespace(encode_images=lambda images: at_angle(images[:, 1, 0, 0] + images[:, 0, 0, 0].acos()),
                           encode_texts=lambda texts: at_angle(torch.tensor([float(text) for text in texts])))
    identity = lambda images: at_angle(2 * images[:, 1, 0, 0] + images[:, 2, 0, 0].acos())
    identity.threshold = 0.5
    candidate = lambda *person: lambda rows, strength: styleclip.Edit(None, picture(rows.tolist(), strength, person), [], {})
    best = lambda *candidates, **options: styleclip.best_edit(
        seer, ["0", "1"], picture([0, 1], 0.0, (1.0, 1.0)), candidates, (0.8,), 0.5, **options)[1].tolist()
    a, b = candidate(0.9, 0.6), candidate(0.7, 0.8)
    assert best(a, b, identity=identity) == [0, 1] and best(b, a, identity=identity) == [1, 0]
    assert best(a, b) == [0, 0]
    assert best(candidate(0.4, 0.9), b, identity=identity) == [1, 0] and best(candidate(0.4, 0.4), identity=identity) == [-1, -1]
    assert best(candidate(0.4, 0.4), identity=identity, identity_threshold=0.3) == [0, 0]


def test_a_best_edit_asks_for_candidates_strengths_and_a_target():
    for candidates, strengths, target in (([_grown], (1.0,), None), ([], (1.0,), 1.0), ([_grown], (), 1.0),
                                          ([_grown], (0.0, 1.0), 1.0)):
        with pytest.raises(ValueError, match="needs candidate edits, strengths above 0, and a target"):
            styleclip.best_edit(Red, PROMPT, PALE, candidates, strengths, target)
    for options in (dict(identity=colors), dict(identity_threshold=0.5)):
        with pytest.raises(ValueError, match="an identity network go together"):
            styleclip.best_edit(Red, PROMPT, PALE, [_grown], (1.0,), 1.0, **options)


def test_a_mapper_is_asked_for_no_more_identity_than_the_threshold(G, network):
    """If everybody is near enough, L_ID teaches nothing; by default it does. It is recorded as it is in both cases."""
    losses = lambda **options: styleclip.fit(G, network, PROMPT, steps=6, batch=2, views=1, l2=0.0, identity=colors, **options)[1]
    free, kept, held = losses(id_weight=0.0), losses(id_weight=1.0, identity_threshold=-1.0), losses(id_weight=1.0)
    assert torch.equal(free["clip"], kept["clip"]) and not torch.equal(free["clip"], held["clip"])
    assert kept["identity"][-1] > held["identity"][-1] > 0
    for options in (dict(), dict(identity=colors, id_weight=0.0)):
        with pytest.raises(ValueError, match="identity_threshold is 0.7, a cosine of the identity network"):
            styleclip.fit(G, network, PROMPT, steps=1, identity_threshold=0.7, **options)


def test_a_fingerprint_is_computed_again_only_when_a_weight_was_written(monkeypatch):
    G, computed = generator(), []
    monkeypatch.setattr(common, "_digest", lambda tensors, digest=common._digest: computed.append(1) or digest(tensors))
    first = fingerprint(G)
    assert fingerprint(G) == first and len(computed) == 1
    G.w_avg[0] += 1
    assert fingerprint(G) != first
    G.w_avg[0] -= 1
    assert fingerprint(G) == fingerprint(generator()) == first
    G.load_state_dict(generator(1).state_dict(), assign=True)
    assert fingerprint(G) == fingerprint(generator(1)) != first
    with torch.inference_mode():
        G.load_state_dict({name: tensor.clone() for name, tensor in generator().state_dict().items()}, assign=True)
        assert fingerprint(G) == first
        G.w_avg[0] += 1
        assert fingerprint(G) != first


def test_a_mapper_of_another_generator_is_refused(G, ws):
    with pytest.raises(ValueError, match="size 4, and this generator has w of size 8"):
        styleclip.map_latents(G, styleclip.LatentMapper(4, ("coarse",)), ws)
    with pytest.raises(ValueError, match="trained with another generator"):
        styleclip.map_latents(G, styleclip.LatentMapper(8, ("coarse",), generator=fingerprint(generator(1))), ws)
    with pytest.raises(ValueError, match='no level "fine", which starts'):
        styleclip.map_latents(G, styleclip.LatentMapper(8), ws)
    with pytest.raises(ValueError, match="choose from coarse, medium, fine"):
        styleclip.LatentMapper(8, ("middle",))
    with pytest.raises(ValueError, match='no level "fine"; it has coarse'):
        styleclip.map_latents(G, styleclip.LatentMapper(8, ("coarse",)), ws, levels=["fine"])


# Global directions: equations

def test_models_that_do_not_fit_are_refused_in_a_sentence(G, network, ws):
    """What is no CLIP model, identity network, mapper or generator, and an identity network of another size or output."""
    usual = {"clip": network, "prompt": PROMPT, "ws": ws, "steps": 1, "views": 1}
    edit = lambda **options: styleclip.optimize(G, **usual | options)
    train_one = lambda **options: styleclip.fit(G, **{"clip": network, "prompt": PROMPT, "steps": 1, "batch": 1} | options)
    judge, sized = classifiers.AttributeClassifier("judge").eval(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    for run in (edit, train_one):
        for identity, message in ((judge, "gives a dict for . images; it must give vectors"),
                                  (lambda x: x, r"gives \[., 3, 16, 16\]"),
                                  (sized, r"does not take images of shape \[., 3, 16, 16\].*face_recognition.from_torchscript"),
                                  (network, "does not take images")):
            with pytest.raises(ValueError, match=message):
                run(identity=identity, id_weight=0.1)
        with pytest.raises(ValueError, match="a classifier of attributes, which is no CLIP model"):
            run(clip=judge)
    for call, message in (
            (lambda: styleclip.embed_samples(G, judge), "a classifier of attributes, which is no CLIP model"),
            (lambda: styleclip.channel_statistics(G, judge, "none"), "no CLIP model"),
            (lambda: styleclip.optimize(judge, network, PROMPT, ws), "which is no generator"),
            (lambda: styleclip.fit(pggan.Generator(16, z_dim=8, channel_max=8), network, PROMPT), "no mapping network"),
            (lambda: styleclip.channel_statistics(pggan.Generator(16, z_dim=8, channel_max=8), network, "none"),
             "no mapping network"),
            (lambda: styleclip.map_latents(G, judge, ws), "which is no mapper"),
            (lambda: styleclip.similarity_target(network, torch.zeros(5, 7), PROMPT), r"shape \[5, 7\], and .* have 16 entries")):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_embeddings_of_portraits_can_show_their_progress(G, network, capsys):
    quiet = styleclip.embed_samples(G, network, samples=4, batch=2)
    assert not capsys.readouterr().err
    assert torch.equal(styleclip.embed_samples(G, network, samples=4, batch=2, progress=True), quiet)
    assert "embedded by CLIP" in capsys.readouterr().err


class Words:
    """A CLIP model of texts alone: each word has a direction, a text the sum of its words'."""
    name, axes = "words", ("a", "photo", "of", "man", "smiling")

    def encode_texts(self, texts):
        if not all(text.strip() for text in texts):
            raise ValueError("the sentence is empty")
        return F.normalize(torch.tensor([[float(word in text.split()) for word in self.axes] for text in texts]), dim=1)


def test_the_text_direction_is_the_difference_of_mean_unit_vectors():
    templates = ("{}", "a photo of {}")
    target = F.normalize((torch.tensor([0, 0, 0, 1.0, 1]) / 2 ** 0.5 + torch.ones(5) / 5 ** 0.5) / 2, dim=0)
    neutral = F.normalize((torch.tensor([0, 0, 0, 1.0, 0]) + torch.tensor([1.0, 1, 1, 1, 0]) / 2) / 2, dim=0)
    found = styleclip.text_direction(Words(), "man", "smiling man", templates)
    assert torch.allclose(found, F.normalize(target - neutral, dim=0), atol=1e-6)
    assert torch.allclose(styleclip.text_direction(Words(), "smiling man", "man", templates), -found, atol=1e-6)
    for arguments, message in ((("man", "Man "), "are both"), (("man", ""), "the sentence is empty"),
                               (("man", "a man", ("photo",)), "where the description"),
                               (("man", "man with glasses"), '"man" and "man with glasses" are the same to words')):
        with pytest.raises(ValueError, match=message):
            styleclip.text_direction(Words(), *arguments)


def test_a_direction_between_embeddings_counts_every_template_alike_whatever_its_length():
    neutral, target = torch.tensor([[2.0, 0, 0], [0, 5.0, 0]]), torch.tensor([[0, 0, 3.0]])
    expected = torch.tensor([-0.5, -0.5, 0.5 ** 0.5])
    assert torch.allclose(styleclip.direction_between(neutral, target), expected, atol=1e-6)
    assert torch.allclose(styleclip.direction_between(target, neutral), -expected, atol=1e-6)


def test_a_channel_below_the_threshold_stays_and_the_others_keep_their_sign():
    relevances, sigma = torch.tensor([0.5, -0.2, 0.09, -0.1]), torch.tensor([1.0, 2, 3, 4])
    assert torch.allclose(styleclip.thresholded(relevances, sigma, 0.1), torch.tensor([1.0, -0.8, 0, -0.8]))
    assert torch.allclose(styleclip.thresholded(relevances, sigma, 0.0, largest=1.0), relevances * sigma)


def test_the_mean_change_counts_every_image_alike_and_ignores_rounding():
    before = torch.zeros(2, 1, 2)
    after = torch.tensor([[[8.0, 0]], [[0, 1.0]]])
    assert torch.allclose(global_directions.mean_change(before, after), torch.tensor([[1.0, 1]]) / 2 ** 0.5)
    assert global_directions.mean_change(before, before + 1e-9).abs().max() < 1e-3


# Global directions: statistics

class LinearGenerator(nn.Module):
    """Images that are linear in three layers of styles, the last of them toRGB; w = z."""
    z_dim = w_dim = 5
    num_ws, sizes = 2, (4, 3, 2)

    def __init__(self, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.affine = nn.ParameterList([torch.randn(5, n, generator=rng) for n in self.sizes])
        self.paint = nn.ParameterList([0.01 * torch.randn(n, 3 * 16, generator=rng) for n in self.sizes])
        self.requires_grad_(False)

    def mapping(self, z):
        return z

    def styles(self, w):
        return [w @ affine for affine in self.affine]

    def style_layers(self):
        return [("b4.conv1", None, 0), ("b8.conv0", None, 1), ("b8.torgb", None, 1)]

    @property
    def synthesis(self):
        render = lambda styles, noise: sum(s @ p for s, p in zip(styles, self.paint)).view(-1, 3, 4, 4)
        render.style_layers = self.style_layers
        return render


class LinearClip(nn.Module):
    """Embeddings that are linear in the image, and no unit vectors."""
    name = "linear"

    def __init__(self, size=6, seed=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, size, generator=torch.Generator().manual_seed(seed)), requires_grad=False)

    def encode_images(self, images):
        return images.flatten(1) @ self.weight

    def encode_texts(self, texts):
        of = lambda text: torch.randn(self.weight.shape[1], generator=torch.Generator().manual_seed(sum(text.encode())))
        return F.normalize(torch.stack([of(text) for text in texts]), dim=1)


@pytest.mark.parametrize("rgb", [False, True])
def test_statistics_of_a_linear_world_are_its_closed_form(tmp_path, rgb):
    """Moving channel c changes every embedding along the row c of paint @ weight; σ_c is the length of its affine column."""
    G, network = LinearGenerator(), LinearClip()
    found = styleclip.channel_statistics(G, network, tmp_path / "s.safetensors", images=7, rgb=rgb, chunk=3, batch=4)
    for i, (affine, paint) in enumerate(zip(G.affine, G.paint)):
        assert torch.allclose(found.sigma[i], affine.norm(dim=0), rtol=0.04)
        if i == 2 and not rgb:
            assert found.changes[i] is None
        else:
            assert torch.allclose(found.changes[i], F.normalize(paint @ network.weight, dim=1), atol=1e-3)
    loaded = styleclip.load_statistics(tmp_path / "s.safetensors", G, network)
    assert all(torch.equal(a, b) for a, b in zip(loaded.sigma, found.sigma))
    assert loaded.info["images"] == 7
    assert not (tmp_path / "s.safetensors.parts").exists()


def test_every_channel_is_changed_alone(G, network, tmp_path, monkeypatch):
    seen = []
    real = G.synthesis.forward
    monkeypatch.setattr(G.synthesis, "forward",
                        lambda styles, noise: seen.append([s.clone() for s in styles]) or real(styles=styles, noise=noise))
    found = styleclip.channel_statistics(G, network, tmp_path / "s.safetensors", images=3, step=2.0)
    channels = [(i, c) for i, changes in enumerate(found.changes) if changes is not None for c in range(len(changes))]
    assert len(seen) == 2 * len(channels) == 2 * sum(len(found.sigma[i])
                                                     for i, (name, _, _) in enumerate(G.synthesis.style_layers())
                                                     if "torgb" not in name)
    middle = [(a + b) / 2 for a, b in zip(seen[0], seen[1])]
    for (layer, channel), low, high in zip(channels, seen[::2], seen[1::2]):
        for i, (a, b, m) in enumerate(zip(low, high, middle)):
            change = torch.zeros_like(a)
            if i == layer:
                change[:, channel] = 2 * found.sigma[i][channel]
            assert torch.allclose(b, m + change, atol=1e-5) and torch.allclose(a, m - change, atol=1e-5)


def test_a_stopped_measurement_goes_on_and_gives_the_same_file(G, network, tmp_path, monkeypatch):
    whole = tmp_path / "whole.safetensors"
    styleclip.channel_statistics(G, network, whole, images=4, chunk=5)
    real, calls = G.synthesis.forward, []

    def stops(styles, noise):
        calls.append(1)
        if len(calls) == 41:
            raise KeyboardInterrupt
        return real(styles=styles, noise=noise)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(G.synthesis, "forward", stops)
        styleclip.channel_statistics(G, network, tmp_path / "cut.safetensors", images=4, chunk=5)
    parts = tmp_path / "cut.safetensors.parts"
    assert not (tmp_path / "cut.safetensors").exists() and len(list(parts.glob("*.safetensors"))) == 4
    with pytest.raises(ValueError, match="parts of another measurement"):
        styleclip.channel_statistics(G, network, tmp_path / "cut.safetensors", images=5, chunk=5)
    calls = [None] * 100
    monkeypatch.setattr(G.synthesis, "forward", stops)
    styleclip.channel_statistics(G, network, tmp_path / "cut.safetensors", images=4, chunk=5)
    channels = sum(layer.affine.weight.shape[0] for name, layer, _ in G.synthesis.style_layers() if not name.endswith("torgb"))
    assert len(calls) - 100 == 2 * (channels - 16)      # four parts were done: 5 and 3 of the 8 channels of two layers
    (cut, about_cut), (expected, about) = (zoo.read(file) for file in (tmp_path / "cut.safetensors", whole))
    assert cut.keys() == expected.keys() and all(torch.equal(cut[key], expected[key]) for key in cut)
    assert about_cut == about and not parts.exists()


def test_on_a_cpu_a_stopped_measurement_keeps_every_channel_and_says_how_long_the_others_take(G, network, tmp_path, monkeypatch,
                                                                                              capsys):
    whole = tmp_path / "whole.safetensors"
    styleclip.channel_statistics(G, network, whole, images=4, progress=True)
    channels = sum(layer.affine.weight.shape[0] for name, layer, _ in G.synthesis.style_layers() if not name.endswith("torgb"))
    assert re.search(rf"\b{channels - 5} channels are left: about \d+ s\n", capsys.readouterr().err)
    real, calls = global_directions._change, []

    def stops(*args):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(global_directions, "_change", stops)
    for done in (7, channels):
        with contextlib.suppress(KeyboardInterrupt):
            styleclip.channel_statistics(G, network, tmp_path / "cut.safetensors", images=4, progress=True)
        assert f"{done}/{channels}" in capsys.readouterr().err
    assert len(calls) == channels + 1
    (cut, about_cut), (expected, about) = (zoo.read(file) for file in (tmp_path / "cut.safetensors", whole))
    assert about_cut == about and all(torch.equal(cut[key], expected[key]) for key in expected)


def test_the_command_line_measures_and_overwrites_nothing(G, network, tmp_path, capsys):
    files = [zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G"),
             zoo.save(tmp_path / "clip.safetensors", network.model.state_dict(), "clip", config={"words": vocabulary()})]
    command = ["statistics", "--generator", str(files[0]), "--clip", str(files[1]), "--images", "2", "--device", "cpu", "--out",
               str(tmp_path / "s.safetensors")]
    commands.main(command)
    assert "style channels of clip" in capsys.readouterr().out
    styleclip.load_statistics(tmp_path / "s.safetensors", zoo.load(files[0]), clip.load(files[1]))
    with pytest.raises(SystemExit, match="exists already and is not overwritten"):
        commands.main(command)


@pytest.mark.parametrize("words, message", [
    (("--images", "0"), "at least 1"), (("--step", "0"), "above 0"), (("--step", "inf"), "not a number"),
    (("--batch", "x"), "not a whole"),
    (("--device", "tpu"), "is no device"), (("--seed", "-1"), "at least 0"), (("--clip", "pggan-portraits-64"), "not a CLIP model"),
    (("--generator", "judge-portraits-64"), "\"judge-portraits-64\" holds a classifier of attributes, which is no"),
    (("--generator", "pggan-portraits-64"), "no mapping network"),
    (("--class", "0"), "knows no classes"), (("--out", "."), "is a folder")])
def test_an_option_of_the_command_line_that_cannot_work_is_one_sentence(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        commands.main(["statistics", "--device", "cpu", "--images", "1", "--out", str(tmp_path / "s.safetensors"), *words])
    said = capsys.readouterr().err if end.value.code == 2 else end.value.code
    assert message in said and len(said.strip().splitlines()) == 1 and not (tmp_path / "s.safetensors").exists()


def test_networks_that_know_only_portraits_are_not_used_with_a_generator_of_other_pictures(G, network, tmp_path):
    files = [zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G", dataset_version=None),
             zoo.save(tmp_path / "clip.safetensors", network.model.state_dict(), "clip", config={"words": vocabulary()})]
    options = ["--generator", str(files[0]), "--device", "cpu", "--out", str(tmp_path / "new")]
    for run, words, option in ((train.main, ["mapper", "--prompt", PROMPT, "--clip", str(files[1])], "--identity"),
                               (train.main, ["mapper", "--prompt", PROMPT, "--identity", "none"], "--clip"),
                               (commands.main, ["statistics"], "--clip")):
        with pytest.raises(SystemExit, match=f"the network of {option} knows only portraits, "
                                             "and the generator was not trained on them"):
            run([*words, *options])
    assert not (tmp_path / "new").exists()


def test_a_folder_that_the_measurement_did_not_make_is_left_alone(G, network, tmp_path):
    mine = tmp_path / "s.safetensors.parts" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="was not made by this measurement"):
        styleclip.channel_statistics(G, network, tmp_path / "s.safetensors", images=1)
    assert mine.read_text() == "mine"


def test_statistics_of_another_network_or_kind_are_refused(network, tmp_path):
    file = tmp_path / "s.safetensors"
    G, toy = LinearGenerator(), LinearClip()
    styleclip.channel_statistics(G, toy, file, images=2)
    with pytest.raises(ValueError, match="another generator"):
        styleclip.load_statistics(file, generator())
    with pytest.raises(ValueError, match="another CLIP model"):
        styleclip.load_statistics(file, G, network)
    with pytest.raises(ValueError, match="embeddings of size 6, linear has 7"):
        styleclip.global_direction(styleclip.load_statistics(file), LinearClip(7), "man", "woman")
    with pytest.raises(ValueError, match="made with linear or other weights of linear"):
        styleclip.global_direction(styleclip.load_statistics(file), LinearClip(seed=2), "man", "woman")
    direction = styleclip.global_direction(styleclip.load_statistics(file), toy, "man", "woman")
    with pytest.raises(ValueError, match="measured with another generator"):
        styleclip.edit(LinearGenerator(seed=1), G.styles(torch.randn(2, 5)), direction, 1.0)
    with pytest.raises(ValueError, match='kind "mapper", not statistics'):
        styleclip.load_statistics(zoo.save(tmp_path / "m.safetensors", styleclip.LatentMapper(4, ("coarse",)).state_dict(),
                                           "mapper"))


def test_statistics_name_the_version_of_portraits_only_of_a_generator_of_portraits(tmp_path):
    G, versions = LinearGenerator(), []
    for G.dataset in (None, "portraits"):
        styleclip.channel_statistics(G, LinearClip(), tmp_path / f"{G.dataset}.safetensors", images=2)
        versions.append(zoo.read(tmp_path / f"{G.dataset}.safetensors")[1].get(zoo.DATASET_VERSION))
    assert versions == [None, portraits.VERSION]


# Global directions: edits

@pytest.fixture(scope="module")
def statistics(G, network, tmp_path_factory):
    return styleclip.channel_statistics(G, network, tmp_path_factory.mktemp("statistics") / "s.safetensors", images=4)


def test_a_direction_moves_the_relevant_channels_in_their_deviations_and_not_torgb(G, network, statistics):
    wanted = styleclip.text_direction(network, "a person", PROMPT)
    whole = styleclip.global_direction(statistics, network, "a person", PROMPT, beta=0.0)
    few = styleclip.global_direction(statistics, network, "a person", PROMPT, beta=0.2)
    relevances = [None if c is None else c @ wanted for c in statistics.changes]
    largest = max(r.abs().max() for r in relevances if r is not None)
    for r, sigma, a, b in zip(relevances, statistics.sigma, whole, few):
        if r is None:
            assert not a.any() and not b.any() and len(a) == len(sigma)
        else:
            assert torch.allclose(a, r / largest * sigma, atol=1e-5)
            assert torch.equal(b != 0, r.abs() >= 0.2) and torch.equal(b[b != 0], a[b != 0])
    assert 0 < sum((b != 0).sum() for b in few) < sum((a != 0).sum() for a in whole)


def test_an_edit_of_strength_zero_is_the_identity(G, network, statistics, ws):
    direction = styleclip.global_direction(statistics, network, "a person", PROMPT, beta=0.05)
    styles, original = G.styles(ws), G.synthesis(ws, noise="const")
    none = styleclip.edit(G, styles, direction, 0.0)
    assert torch.allclose(none.images, original, atol=1e-5) and all(torch.equal(a, b) for a, b in zip(none.latents, styles))
    strip = styleclip.edit(G, styles, direction, torch.tensor([2.0, 0.0, -2.0]))
    assert torch.allclose(strip.images[1], original[1], atol=1e-5)
    for row, alpha in ((0, 2), (2, -2.0)):
        assert torch.allclose(strip.images[row], styleclip.edit(G, styles, direction, alpha).images[row], atol=1e-5)


def test_in_a_linear_world_an_edit_moves_every_embedding_towards_the_text_by_its_strength(tmp_path):
    """⟨α Σ_c Δs_c · row_c, Δt⟩ = α Σ_c R_c² · σ_c · |row_c| / max|R|, which is positive."""
    G, network = LinearGenerator(), LinearClip()
    statistics = styleclip.channel_statistics(G, network, tmp_path / "s.safetensors", images=4)
    direction = styleclip.global_direction(statistics, network, "man", "woman", beta=0.1)
    wanted, styles = styleclip.text_direction(network, "man", "woman"), G.styles(torch.randn(3, 5))
    moves = [network.encode_images(styleclip.edit(G, styles, direction, alpha).images) @ wanted for alpha in (-1.5, 0.0, 1.5)]
    relevances = [changes @ wanted for changes in statistics.changes[:2]]
    largest = max(r.abs().max() for r in relevances)
    expected = sum((r.square() * (r.abs() >= 0.1) * sigma * (paint @ network.weight).norm(dim=1)).sum() / largest
                   for r, sigma, paint in zip(relevances, statistics.sigma, G.paint))
    assert expected > 0
    assert torch.allclose(moves[2] - moves[1], 1.5 * expected.expand(3), rtol=1e-2)
    assert torch.allclose(moves[0] - moves[1], -1.5 * expected.expand(3), rtol=1e-2)


def test_directions_and_strengths_that_make_no_sense_are_named(G, network, statistics, ws):
    direction = styleclip.global_direction(statistics, network, "a person", PROMPT, beta=0.05)
    for beta, message in ((-0.1, "β is -0.1"), (float("nan"), "β is nan"),
                          (0.999, "no channel reaches β = 0.999 .* the most relevant has 0")):
        with pytest.raises(ValueError, match=message):
            styleclip.global_direction(statistics, network, "a person", PROMPT, beta=beta)
    styles = G.styles(ws)
    for arguments, message in (((styles, direction[:-1], 1.0), "different generators"),
                               ((styles, direction, float("nan")), "α must be"),
                               ((styles, direction, torch.ones(2)), "one for each of the 3 images"),
                               (([s * float("nan") for s in styles], direction, 1.0),
                                r"styles hold NaN or infinity in rows \[0, 1, 2\]")):
        with pytest.raises(ValueError, match=message):
            styleclip.edit(G, *arguments)


# Full size

def test_all_three_methods_run_on_a_generator_of_1024_px_and_a_clip_of_the_size_of_openais():
    """A generator as deep as the official one, with a quarter of its channels from 64 px on, where nearly all the time goes."""
    torch.manual_seed(0)
    G = stylegan2.Generator(1024, channel_base=8192).eval().requires_grad_(False)
    network = clip.open_clip_model("ViT-B-32").requires_grad_(False)
    w = G.mapping(torch.randn(1, 512))
    found = styleclip.optimize(G, network, "a person with a mohawk", w, steps=2, views=1, identity=colors, id_weight=0.1)
    assert found.latents.shape == (1, 18, 512) and found.images.shape == (1, 3, 1024, 1024)
    assert (found.latents - w[:, None]).abs().amax() > 0
    mapper, _ = styleclip.fit(G, network, "a person with a mohawk", steps=1, batch=1, views=1)
    assert mapper.levels == ("coarse", "medium", "fine") and mapper.generator == fingerprint(G)
    assert styleclip.map_latents(G, mapper, w).images.isfinite().all()
    reference, fused = (G.synthesis(w, noise="const", impl=impl) for impl in ("reference", "fused"))
    assert (reference - fused).abs().max() < 1e-5 * reference.abs().max()
    styles = G.styles(w)
    changes = [F.normalize(torch.randn(s.shape[1], 512), dim=1) if moves else None
               for s, moves in zip(styles, common.of_convolutions(G))]
    statistics = styleclip.Statistics(changes, [torch.ones(s.shape[1]) for s in styles], {"clip_name": network.name})
    direction = styleclip.global_direction(statistics, network, "a person", "a person with a mohawk", beta=0.1)
    assert 0 < sum(int((d != 0).sum()) for d in direction) < sum(len(c) for c in changes if c is not None)
    assert styleclip.edit(G, styles, direction, 3.0).images.isfinite().all()


def test_the_channels_of_the_official_generator_of_1024_px_are_counted_as_in_the_paper():
    G = stylegan2.Generator(1024).eval().requires_grad_(False)
    sizes = [style.shape[1] for style in G.styles(torch.zeros(1, 512))]
    assert sum(sizes) == 9088 and sum(size for size, moves in zip(sizes, common.of_convolutions(G)) if moves) == 6048
