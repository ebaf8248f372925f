"""CLIP and the identity network: preprocessing, words, files, training; any model of open_clip through the same interface."""
import json
import math
import re
from random import Random
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import nn

from course_lib import clip, portraits, train, zoo
from course_lib.images import from_uint8
from course_lib.networks import classifiers
from course_lib.networks.identity import IdentityNetwork
from course_lib.perception import common, edit_targets, prompts, train_clip, train_identity
from course_lib.perception.adversarial import AdversarialEdits, attribute_prompt_loss

TINY = dict(image_size=32, width=4, layers=(1, 1, 1, 1), text_width=64, text_layers=1, embed_dim=16, context=48)
PROMPTS = ["a smiling person", "a frowning person", "a person with an open mouth", "a person with glasses", "a person with a beard",
           "a person with red hair", "a person with blonde hair", "a person with long hair", "a person with short hair",
           "a person with curly hair", "a person wearing a hat", "a bald person", "a smiling person with red hair and glasses"]


def random_images(n, size, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def words():
    return clip.vocabulary()


@pytest.fixture(scope="module")
def tiny(words):
    torch.manual_seed(0)
    return clip.pocket(words, **TINY).eval().requires_grad_(False)


class Seen(nn.Module):
    """A model that gives back what it is shown."""

    def encode_image(self, x):
        return x.flatten(1)


# Images

@pytest.mark.parametrize("size", [64, 224, 300])
def test_preprocessing_is_that_of_open_clip_on_8_bit_images(size):
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    pixels = np.random.default_rng(0).integers(60, 200, [3, size, size, 3], dtype=np.uint8)
    pixels[0], pixels[0, :size // 2] = 0, 255                           # an edge, where bicubic resampling overshoots
    theirs = torch.stack([open_clip.image_transform(224, False, mean, std)(Image.fromarray(image)) for image in pixels])
    network = clip.Clip(Seen(), None, "seen", 224, mean, std)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    mine = ((network.resized(images) + 1) / 2 - network.mean) / network.std
    assert (mine - theirs).abs().max() < 2 / 255 / min(std)
    unit = torch.nn.functional.normalize(theirs.flatten(1), dim=1)
    assert torch.allclose(network.encode_images(images), unit, atol=1e-4)


@pytest.mark.parametrize("size", [16, 64, 40])
def test_images_of_any_resolution_become_unit_vectors_and_gradients_reach_every_pixel(tiny, size):
    images = (0.9 * random_images(3, size)).requires_grad_()
    features = tiny.encode_images(images)
    assert features.shape == (3, 16) and torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    (features * torch.randn(16, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert (images.grad.abs().sum(dim=1) > 0).float().mean() > 0.99
    small = images.detach()[:1] * 0 + 0.3
    assert torch.allclose(tiny.encode_images(small), tiny.encode_images(torch.full([1, 3, 96, 96], 0.3)), atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 3, 16, 12)])
def test_other_tensors_are_named(tiny, shape):
    with pytest.raises(ValueError, match=r"pass square ones, \[N, 3, H, H\]"):
        tiny.encode_images(torch.zeros(shape))


def test_views_are_the_same_for_all_images_and_come_from_the_seed():
    images = random_images(2, 32)
    rng = lambda seed: torch.Generator().manual_seed(seed)
    views = clip.random_views(images, 3, rng(0)).unflatten(0, (3, 2))
    assert torch.allclose(clip.random_views(images[1:], 3, rng(0)), views[:, 1], atol=1e-6)
    assert not torch.equal(views[0], views[1]) and not torch.equal(clip.random_views(images, 3, rng(1)), views.flatten(0, 1))
    still = clip.random_views(images, 2, rng(0), crop=0, turn=0, warp=0, noise=0)
    assert torch.allclose(still, images.repeat(2, 1, 1, 1), atol=1e-4)
    own = clip.random_views(images[:1].repeat(2, 1, 1, 1), rng=rng(0))
    assert own.shape == images.shape and not torch.equal(own[0], own[1])
    flat = clip.random_views(torch.full([4, 3, 32, 32], 0.4), rng=rng(0), noise=0)
    assert torch.allclose(flat, torch.full_like(flat, 0.4), atol=1e-5)


# Words

@pytest.mark.parametrize("version", portraits.schema.TABLES)
def test_the_vocabulary_holds_every_word_of_captions_prompts_and_templates(version):
    words = clip.vocabulary(version=version)
    drawn = (portraits.sample_attributes(10_000, 77, correlated, version) for correlated in (True, False))
    seen = {word for attributes in drawn for text in portraits.caption(attributes, 5, version) for word in clip.words_of(text)}
    assert seen <= set(words) and clip.vocabulary(version=version) == words == sorted(set(words))
    for text in [*PROMPTS, *(text for row in prompts.prompts_of(version).values() for text in row)]:
        for template in clip.TEMPLATES:
            assert set(clip.words_of(template.format(text))) <= set(words), text


def test_a_text_is_its_words_in_order_and_an_end_with_the_highest_number(words, tiny):
    tokens = tiny.tokenize(["a bald man", "A man, bald."])
    a, bald, man, end = [words.index(word) + 1 for word in ("a", "bald", "man")] + [len(words) + 1]
    assert tokens[0].tolist() == [a, bald, man, end] + [0] * 44
    assert tokens[1].tolist() == [a, man, bald, end] + [0] * 44
    features = tiny.encode_texts(["a bald man", "a man, bald", "a bald man"])
    assert torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(features[0], features[2]) and not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("text, message", [
    ("a smilling man", '"smilling" .near: smiling, .*is not among the .* words .*open_clip.*takes any word'),
    ("a melancholy gal with a monocle", {
        "1": '"melancholy" .near: unhappy, frowning., "gal" .near: woman, lady., "monocle" .near: glasses, spectacles. are not',
        "2": '"melancholy" .near: sad, unhappy, .* frowning., "gal" .near: woman, lady, girl, female., "monocle" .near: glasses',
    }[portraits.VERSION]),
    ("a man with a mohawk and a tattoo", '"mohawk", "tattoo" are not among .* afro '), (None, "one is of type NoneType"),
    ("...", "'...' holds no words"), ("", "the sentence is empty"), ("   ", "the sentence is empty"),
    ("a " * 48, "48 words; this model reads up to 47")])
def test_a_text_that_cannot_be_read_is_named(tiny, text, message):
    with pytest.raises(ValueError, match=message):
        tiny.encode_texts([text])


class Letters:
    """A tokenizer with the interface of open_clip's, which cut in silence: one token per letter, between `before` and `after`, then
    padding, and at the end of the room `last`."""
    context_length = 10

    def __init__(self, before=(), after=(), pad=0, last=()):
        self.marks = [*before], [*after], pad, [*last]

    def __call__(self, texts, context_length=None):
        (before, after, pad, last), room = self.marks, context_length or self.context_length
        room -= len(last)
        rows = [before + [ord(letter) for letter in text][:room - len(before + after)] + after for text in texts]
        return torch.tensor([row + [pad] * (room - len(row)) + last for row in rows])


@pytest.mark.parametrize("tokenize, most", [
    (Letters([1], [2]), 8), (Letters([1], [2], 2), 8), (Letters((), [1], 1), 9), (Letters(), 10), (Letters([1], [2], 0, [3]), 7)],
    ids=["as OpenAI's", "padded by its end", "as T5's", "without marks", "with a class token at the end"])
def test_no_tokenizer_of_open_clip_cuts_a_text_in_silence(tokenize, most):
    clip._refuse_cut(tokenize, ["a" * most, "b"])
    for given, message in ((["b", "a" * (most + 1)], "reads 10 tokens .* has more; shorten it"), (["b", ""], "holds no words")):
        with pytest.raises(ValueError, match=message):
            clip._refuse_cut(tokenize, given)


def test_a_long_sentence_is_refused_by_the_models_of_open_clip():
    import open_clip
    model = SimpleNamespace(encode_text=lambda tokens: tokens[:, :3].float())
    network = clip.Clip(model, open_clip.get_tokenizer("RN50"), "RN50", 224)
    sentence = "a person with red hair and glasses, "
    assert network.encode_texts([sentence, sentence * 8]).shape == (2, 3)
    for text, message in ((sentence * 12 + "who smiles", "reads 77 tokens"), ("&nbsp;", "holds no words"),
                          (7, "one is of type int")):
        with pytest.raises(ValueError, match=message):
            network.encode_texts([sentence, text])


def test_training_texts_say_only_what_their_captions_say():
    attributes = portraits.sample_attributes(2000, 3, version="1")
    captions = portraits.caption(attributes, 4, "1")
    rng = Random(0)
    for caption in captions:
        said, short = clip.words_of(caption), prompts.shortened(caption, rng)
        assert set(clip.words_of(short)) <= set(said) and len(clip.words_of(short)) <= len(said)
        assert not re.search(r"\b(and|with|wearing|a|an|of)$|,$", short) and " and " not in short
        assert sorted(clip.words_of(prompts.paraphrased(caption))) == sorted(clip.words_of(prompts.OPENING.sub("", caption)))
    paraphrases = [prompts.paraphrased(caption) for caption in captions]
    training = prompts.training_texts(attributes, 4, "1")
    assert training == prompts.training_texts(attributes, 4, "1") != prompts.training_texts(attributes, 5, "1")
    assert not set(training) & {p for p in paraphrases if not p.startswith(("a ", "an "))}
    assert 0.3 < sum("person" in text for text in training) / 2000 < 0.5


# Models

def test_a_file_gives_the_same_model_and_its_sizes_are_read_off_it(tiny, words, tmp_path):
    file = zoo.save(tmp_path / "own.safetensors", tiny.model.state_dict(), "clip", dataset_version=portraits.VERSION,
                    config={"words": words})
    for network in (clip.load(file), zoo.load(file)):
        assert network.image_size == 32
        assert torch.equal(network.encode_images(random_images(2, 32)), tiny.encode_images(random_images(2, 32)))
        assert torch.equal(network.encode_texts(["a bald man"]), tiny.encode_texts(["a bald man"]))
    assert clip.load(file).name == "own"
    zoo.save(file, tiny.model.state_dict(), "clip", replace=True, config={"words": words[1:]})
    with pytest.raises(ValueError, match="own.safetensors cannot be read: token_embedding"):
        clip.load(file)


def test_a_name_that_is_no_clip_model_says_what_to_do(tmp_path):
    torch.manual_seed(0)
    oracle = zoo.save(tmp_path / "oracle.safetensors", classifiers.AttributeClassifier("oracle").state_dict(), "oracle",
                      config={"kind": "oracle"})
    with pytest.raises(ValueError, match="holds a classifier of attributes, not a CLIP model"):
        clip.load(oracle)
    with pytest.raises(FileNotFoundError, match="course_lib.train clip"):
        clip.load("nothing-of-this-name")
    with pytest.raises(ValueError, match='no architecture "ViT-B-33"; near ones are ViT-B-32'):
        clip.load("ViT-B-33/openai")
    with pytest.raises(ValueError, match='no weights "opena"; open_clip knows openai'):
        clip.load("ViT-B-32/opena")


def test_weights_of_the_hub_get_their_own_activation_and_a_failed_download_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    asked = []

    def create_model(*arguments, **options):
        asked.append((arguments, options))
        raise RuntimeError("no route to host\nmore")

    monkeypatch.setattr(open_clip, "create_model", create_model)
    for name, quick, hub in (("ViT-B-32/laion400m_e32", True, "timm/"), ("ViT-B-32/laion2b_s34b_b79k", False, "laion/")):
        message = (f'could not fetch "{name}" from huggingface.co/{hub}.* \\(no route to host\\); run this once with a connection, '
                   f"and it stays in {tmp_path}, or copy")
        with pytest.raises(OSError, match=message) as error:
            clip.load(name)
        assert "\n" not in str(error.value)
        assert asked[-1] == (tuple(name.split("/")), {"force_quick_gelu": quick, "cache_dir": str(tmp_path)})


def test_a_model_of_open_clip_has_the_same_interface():
    torch.manual_seed(0)
    network = clip.open_clip_model("ViT-B-32")
    assert network.image_size == 224 and torch.allclose(network.mean.flatten(), torch.tensor(open_clip.OPENAI_DATASET_MEAN))
    images = random_images(1, 64).requires_grad_()
    features = network.encode_images(images)
    features.sum().backward()
    assert images.grad.abs().sum() > 0
    found = network.encode_texts(["a person with a mohawk", "un visage"])
    assert features.shape == (1, 512) and torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)


# Scores and training

def test_recall_counts_rows_whose_own_column_is_among_the_highest():
    similarity = torch.tensor([[3.0, 1, 2], [5, 4, 0], [9, 8, 7]])
    assert [train_clip.recall_at(similarity, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("version", portraits.schema.TABLES)
def test_zero_shot_accuracy_of_a_network_that_knows_and_of_one_that_does_not(version):
    """Texts are unit vectors of their own; an image's vector is that of its class's prompt."""
    truth, of_classes = portraits.sample_attributes(300, 0, version=version), prompts.prompts_of(version)
    texts = list(dict.fromkeys(text for row in of_classes.values() for text in row))

    class Knows:
        def encode_texts(self, sentences):
            return torch.eye(len(texts))[[texts.index(s) for s in sentences]]

    for spec in portraits.table(version).values():
        if spec.kind == "discrete":
            assert len(of_classes[spec.name]) == len(spec.values)
            features = Knows().encode_texts([of_classes[spec.name][i] for i in truth[spec.name]])
            assert prompts.zero_shot(Knows(), features, truth, ("{}",), version)[spec.name] == 1
    known = prompts.zero_shot(Knows(), torch.ones(300, len(texts)), truth, ("{}",), version)
    assert known["presentation"] == pytest.approx((truth["presentation"] == 0).float().mean().item())


def test_perturbed_images_have_a_higher_loss_and_stay_near(tiny):
    torch.manual_seed(0)
    images, text = random_images(4, 16), tiny.encode_texts(PROMPTS[:4])
    loss = lambda x: -(tiny.encode_images(x) * text).sum()
    moved = train_clip.perturbed(loss, images, 0.02)
    assert loss(moved) > loss(images) and (moved - images).abs().max() <= 0.02 + 1e-6 and not moved.requires_grad


def test_attribute_prompts_are_words_that_clip_knows_and_true_of_some(tiny):
    truth, known = portraits.sample_attributes(3000, 4), prompts.attribute_prompts()
    assert set(PROMPTS[:12]) < set(known) and tiny.tokenize(list(known)).shape[0] == len(known) > 80
    shares = {text: is_true(truth).double().mean().item() for text, is_true in known.items()}
    rarest, commonest = {"1": (0.02, 0.6), "2": (0.003, 0.7)}[portraits.VERSION]    # in version 2 a pink beard, a plain background
    assert all(rarest < share < commonest for share in shares.values())
    one = portraits.attributes(hat="cap", smile=0.8, yaw=-20.0, nose=0.9)
    true = {text for text, is_true in known.items() if is_true(one)}
    assert {"a person wearing a hat", "a person wearing a cap", "a smiling person", "a person, facing left",
            "a person with a big nose"} <= true
    assert not {"a person wearing a beanie", "a frowning person", "a person, facing right", "a person with a small nose"} & true


def test_a_roc_area_is_one_for_what_is_told_and_half_for_what_is_not():
    truth = portraits.sample_attributes(400, 3)
    shown = torch.stack([target.success(truth) for target in edit_targets.EDIT_TARGETS.values()], dim=1).float()
    shown[:, 1] = 0                                                     # frowns, unseen

    class Knows:
        def encode_texts(self, found):
            assert found == list(edit_targets.EDIT_TARGETS)
            return torch.eye(12)

    areas = prompts.roc_areas(Knows(), shown, truth)
    assert areas.pop("a frowning person") == 0.5 and set(areas.values()) == {1.0}
    none = {name: value[:1] for name, value in truth.items()}
    assert prompts.roc_areas(Knows(), shown[:1], none) == {}


@pytest.fixture(scope="module")
def opponents():
    torch.manual_seed(0)
    return clip.load(), AdversarialEdits("stylegan2-portraits-64", 6, 0, torch.device("cpu"))


def test_edits_walk_uphill_by_signed_steps_and_are_replaced(opponents, monkeypatch):
    network, edits = opponents
    monkeypatch.setattr(clip, "random_views", lambda images: images)
    image_features, labels = torch.nn.functional.normalize(torch.randn(5, 192), dim=1), torch.rand(len(edits.prompts), 5) < 0.5
    prompt_features = network.encode_texts(list(edits.prompts))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        edits.loss(network, prompt_features, image_features, labels)
        began, wanted = [style.clone() for style in edits.styles], prompt_features[edits.prompt]
        similarity = lambda: (network.encode_images(edits.G.synthesis(styles=edits.styles, noise="const")) * wanted).sum(dim=1)
        before, left = similarity(), edits.steps_left.clone()
        edits.step_size[:] = 0.001                          # one stands near a summit, and longer steps pass it
        for _ in range(6):
            sizes = edits.step_size
            edits.loss(network, prompt_features, image_features, labels)
        assert torch.equal(edits.steps_left, left - 6) and (similarity() > before).all()
        moved = torch.stack([(now - then).abs().amax(dim=1) for now, then in zip(edits.styles, began)])
        assert ((moved > 0).any(dim=1) == torch.tensor(edits.moves)).all()         # toRGB stays
        moved = moved.amax(dim=0)
        assert (moved <= 6 * sizes + 1e-5).all() and (moved > 2 * sizes).all()
        edits.steps_left[0] = 0
        edits.loss(network, prompt_features, image_features, labels)
        assert 19 <= edits.steps_left[0] <= 79 and edits.momentum[0][0].abs().sum() > 0
    assert all(p.grad is None for p in edits.G.parameters())


def test_the_loss_of_an_edit_is_that_of_a_wrong_answer(opponents, monkeypatch):
    """With prompts that are true to the oracle or not, the loss is the logistic one of the distance from the middle."""
    network, edits = opponents
    image_features = network.encode_images(portraits.render(portraits.sample_attributes(40, 2), 64))
    labels = torch.arange(40).expand(len(edits.prompts), 40) % 2 == 0
    prompt_features, losses = network.encode_texts(list(edits.prompts)), {}
    edits.loss(network, prompt_features, image_features, labels)         # so that all have begun
    for shown in (True, False):
        state = [x.clone() for x in edits.styles], [x.clone() for x in edits.momentum], edits.steps_left.clone()
        monkeypatch.setattr(edits, "prompts", {text: lambda attributes: torch.full([6], shown) for text in edits.prompts})
        torch.manual_seed(2)
        losses[shown] = edits.loss(network, prompt_features, image_features, labels).item()
        edits.styles, edits.momentum, edits.steps_left = state
    # log(1 + exp(-x)) − log(1 + exp(x)) = −x, the mean score
    with torch.no_grad():
        torch.manual_seed(2)
        images = edits.G.synthesis(styles=edits.styles, noise="const")
        features = network.encode_images(clip.random_views(network.resized(images, enlarge=False)))
        cosines = prompt_features @ image_features.T
        middle = (cosines[:, ::2].mean(dim=1) + cosines[:, 1::2].mean(dim=1)) / 2
        score = network.model.logit_scale.exp() * ((features * prompt_features[edits.prompt]).sum(dim=1) - middle[edits.prompt])
    assert losses[True] - losses[False] == pytest.approx(-score.mean().item(), abs=2e-3)


def test_the_loss_of_attribute_prompts_is_that_of_each_pair_by_itself():
    prompt_features, image_features = torch.eye(2), torch.tensor([[0.9, 0.0], [0.1, 0.6], [0.5, 0.0]])
    labels = torch.tensor([[True, False, False], [False, True, False]])
    middles = ((0.9 + 0.3) / 2, (0.6 + 0.0) / 2)
    terms = [math.log1p(math.exp((-1 if labels[p, n] else 1) * 10 * (image_features[n, p].item() - middles[p])))
             for p in range(2) for n in range(3)]
    loss = lambda labels: attribute_prompt_loss(10.0, prompt_features, image_features, labels).item()
    assert loss(labels) == pytest.approx(sum(terms) / 6, rel=1e-5) and loss(~labels) > loss(labels)


def test_edits_need_a_generator(tmp_path):
    with pytest.raises(ValueError, match="stylegan2-ffhq-1024 was not trained on Portraits.* the oracle"):
        train_clip.train(tmp_path, generator="stylegan2-ffhq-1024")
    with pytest.raises(ValueError, match="name one with --generator"):
        train_clip.train(tmp_path, edits=4)


def test_training_brings_portraits_to_their_captions_and_writes_what_it_scored(tmp_path):
    result = train_clip.train(tmp_path, steps=100, batch=24, lr=2e-3, data_size=24, held_out=48, adversarial=0.0,
                                    sizes=TINY | {"image_size": 64, "width": 8}, command="mine")
    assert json.loads((tmp_path / "results" / "clip.json").read_text()) == result
    assert result["world"] == portraits.VERSION and result["command"] == "mine"
    assert set(result["zero_shot"]) == set(prompts.prompts_of())
    assert set(result["recall"]) == set(result["recall_paraphrased"]) == {
        f"{name}@{k}" for name in ("image to text", "text to image") for k in (1, 5)}
    network = clip.load(tmp_path / "clip-portraits.safetensors")
    images, truth = common.draw_portraits(24, 3000, "cpu")                        # those that it was trained on
    captions = portraits.caption(truth, 0)
    similarity = network.encode_images(from_uint8(images)) @ network.encode_texts(captions).T
    assert train_clip.recall_at(similarity, 3) > 2 * 3 / 24             # by chance 3 of 24
    assert network.model.logit_scale.exp() <= 100 + 1e-3


def test_training_goes_on_from_a_clip_of_the_same_words(tmp_path, monkeypatch):
    sizes = TINY | {"image_size": 64, "width": 8}
    torch.manual_seed(3)
    first = clip.pocket(clip.vocabulary(), **sizes)
    file = zoo.save(tmp_path / "first.safetensors", first.model.state_dict(), "clip", dataset_version=portraits.VERSION,
                    config={"words": clip.vocabulary()})
    short = dict(steps=1, batch=8, lr=1e-9, data_size=8, held_out=8, adversarial=0.0, attribute_weight=1.0)
    train_clip.train(tmp_path / "more", init=str(file), **short)
    train_clip.train(tmp_path / "anew", sizes=sizes, **short)
    weights = lambda folder: zoo.load(tmp_path / folder / "clip-portraits.safetensors").model.visual.conv1.weight
    assert torch.allclose(weights("more"), first.model.visual.conv1.weight, atol=1e-3)
    assert not torch.allclose(weights("anew"), first.model.visual.conv1.weight, atol=1e-3)
    monkeypatch.setattr(clip, "vocabulary", lambda: ["hat", "person"])
    with pytest.raises(ValueError, match="does not know the words of the captions"):
        train_clip.train(tmp_path / "other", init=str(file), **short)
    assert not (tmp_path / "other").exists()


def test_generated_images_are_described_by_what_the_oracle_predicts(monkeypatch):
    torch.manual_seed(0)
    oracle, G = classifiers.AttributeClassifier("oracle").eval(), lambda z: z[:, :3, None, None].tanh().expand(-1, -1, 32, 32)
    G.z_dim = 4
    monkeypatch.setattr(zoo, "load", lambda name, device: G if name == "mine" else oracle)
    images, attributes = common.generate_portraits("mine", 10, 0, "cpu", batch=4)
    assert images.shape == (10, 3, 64, 64) and images.dtype == torch.uint8 and portraits.check(attributes) == 10
    assert len(portraits.caption(attributes, 0)) == 10


def test_agreement_on_generated_portraits_is_that_with_the_judge(tiny, monkeypatch):
    judge, G = zoo.load("judge-portraits-64"), lambda z: portraits.render(portraits.sample_attributes(len(z), 3), 64)
    G.z_dim = 4
    monkeypatch.setattr(zoo, "load", lambda name, device: {"mine": G, "judge-portraits-64": judge}[name])
    monkeypatch.setattr(prompts, "zero_shot", lambda network, features, truth: {"predicted": truth, "features": features})
    monkeypatch.setattr(prompts, "paraphrased", lambda text: text)
    found = train_clip.clip_scores(tiny, 60, "mine")["agreement_generated"]
    truth = portraits.sample_attributes(30, 3)
    assert len(found["features"]) == 30 and (found["predicted"]["glasses"] == truth["glasses"]).double().mean() > 0.9


def test_the_command_line_trains_a_clip_model_of_the_shipped_size(tmp_path, capsys):
    train.main(["clip", "--steps", "2", "--batch", "4", "--data-size", "8", "--held-out", "8", "--generator",
                "stylegan2-portraits-64", "--edits", "2", "--attribute-weight", "2", "--device", "cpu", "--out", str(tmp_path)])
    network = clip.load(tmp_path / "clip-portraits.safetensors")
    assert 3e6 < sum(p.numel() for p in network.parameters()) < 4e6
    assert (tmp_path / "clip-portraits.safetensors").stat().st_size < 8e6
    stored = json.loads((tmp_path / "results" / "clip.json").read_text())
    assert stored["command"].startswith("python -m course_lib.train clip --steps 2")


# Identity

def test_people_keep_their_identity_from_view_to_view():
    images, attributes = common.draw_people(6, 2, 1, "cpu", batch=4)
    assert images.shape == (6, 2, 3, 64, 64) and not torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(portraits.identity(attributes), portraits.identity(portraits.same_person(attributes, 5)))


def test_identities_are_unit_vectors_and_an_image_is_the_same_person_as_itself():
    torch.manual_seed(0)
    network = IdentityNetwork().eval().requires_grad_(False)
    images = random_images(3, 32)
    features = network(images)
    assert features.shape == (3, 128) and torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    network.threshold = 0.999
    assert network.same_person(images, images).all()
    assert sum(p.numel() for p in network.parameters()) < 1.4e6


def test_verification_of_a_network_that_knows_and_of_one_that_does_not(monkeypatch):
    """Images whose colour is the person: told apart perfectly. Images all alike: by chance."""
    def people(count, views, seed, device):
        colors = torch.rand(count, 1, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, views, -1, 4, 4)
        return (colors * 255).to(torch.uint8), portraits.sample_attributes(count, seed)

    monkeypatch.setattr(common, "draw_people", people)
    hashed = lambda x: torch.nn.functional.normalize(torch.sin(x[:, :, 0, 0] @ torch.linspace(50, 900, 96).view(3, 32)), dim=1)
    found = train_identity.identity_scores(hashed, 100, "cpu")
    assert found["roc_area"] > 0.999 and found["accuracy"] > 0.98 and 0.3 < found["threshold"] < 1
    alike = train_identity.identity_scores(lambda x: torch.ones(len(x), 1), 100, "cpu")
    assert alike["roc_area"] == 0.5 and alike["accuracy"] == 0.5


def test_a_short_training_tells_people_apart_better_than_chance(tmp_path):
    train.main(["identity", "--steps", "24", "--batch", "16", "--data-size", "48", "--held-out", "200", "--device", "cpu", "--out",
                str(tmp_path)])
    result = json.loads((tmp_path / "results" / "identity.json").read_text())
    assert result["world"] == portraits.VERSION and result["roc_area"] > 0.6
    network = zoo.load(tmp_path / "identity-portraits-64.safetensors")
    assert network.threshold == result["threshold"]
    again = train_identity.identity_scores(network, 200, "cpu")
    assert again["roc_area"] == pytest.approx(result["roc_area"], abs=0.01)


def test_the_verifier_is_another_network_than_the_identity_network_and_its_file_says_so(tmp_path):
    train.main(["verifier", "--steps", "2", "--batch", "4", "--data-size", "8", "--held-out", "8", "--device", "cpu", "--out",
                str(tmp_path)])
    assert json.loads((tmp_path / "results" / "verifier.json").read_text())["held_out"] == 8
    verifier, identity = zoo.load(tmp_path / "verifier-portraits-64.safetensors"), IdentityNetwork()
    kinds = [{type(layer) for layer in network.layers.modules()} for network in (verifier, identity)]
    assert torch.nn.BatchNorm2d in kinds[0] - kinds[1] and torch.nn.GroupNorm in kinds[1] - kinds[0]
    assert verifier(torch.zeros(1, 3, 64, 64)).shape == (1, 192) and identity(torch.zeros(1, 3, 64, 64)).shape == (1, 128)
