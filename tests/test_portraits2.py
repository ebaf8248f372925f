"""Portraits, version 2: chance that shows, expressions that can be told, and what version 1 promises."""
import importlib
import json
import re
from pathlib import Path
from random import Random

import pytest
import torch
import torch.nn.functional as F

from course_lib import clip, portraits, zoo
from course_lib.clip import words_of
from course_lib.networks import stylegan2
from course_lib.perception import prompts
from course_lib.portraits import body2, captions2, face2, hair2, second, wear2, words
from course_lib.portraits.sheets import sweep

N = 48
TABLE = portraits.table("2")


def person(**values):
    return portraits.attributes("2", **values)


def joined(*batches):
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def some(attributes, *rows):
    return {name: value[list(rows)] for name, value in attributes.items()}


def drawn(attributes, resolution=64, noise=None):
    return portraits.render(attributes, resolution, noise, version="2")


@pytest.fixture(scope="module")
def people():
    return portraits.sample_attributes(N, 5, version="2")


# As in version 1.

def test_versions_are_asked_for_by_name_and_have_a_default():
    assert portraits.sample_attributes(1, 0).keys() == portraits.table().keys() == portraits.table(portraits.VERSION).keys()
    for call in (lambda: portraits.table("3"), lambda: portraits.sample_attributes(2, 0, version="3"),
                 lambda: portraits.render(person(), 64, version="3"), lambda: portraits.attributes("3")):
        with pytest.raises(ValueError, match="no version '3' of Portraits; the versions are '1', '2'"):
            call()
    with pytest.raises(ValueError, match="there is no attribute 'hat_color'"):
        portraits.render(person(), 64, version="1")
    with pytest.raises(ValueError, match="missing attribute 'hat_color'"):
        drawn(portraits.attributes("1"))


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(people):
    """Layers work on some portraits of a batch: on the right ones."""
    noise = portraits.sample_noise(N, 5)
    together = drawn(people, noise=noise)
    for row in range(0, N, 5):
        torch.testing.assert_close(drawn(some(people, row), noise=noise[row:row + 1])[0], together[row], atol=1e-4, rtol=0)


def test_windows_cut_nothing_off(people, monkeypatch):
    """The portraits that reach farthest, drawn with windows and without."""
    large = dict(face_width=1.0, jaw=1.0, smile=1.0, mouth_open=1.0, brow_height=1.0, presentation="man", beard="full",
                 glasses="square", freckles="freckles", clothing="turtleneck", cloth="sequins")
    ends = [person(roll=roll, pitch=pitch, yaw=yaw, hairstyle=style, **large)
            for roll in (-15.0, 15.0) for pitch in (-15.0, 15.0) for yaw in (-30.0, 30.0) for style in ("bald", "crop")]
    batch = joined(people, *ends)
    batch["earrings"] = torch.ones_like(batch["earrings"])
    with_windows = drawn(batch)
    plain = second.layer
    monkeypatch.setattr(second, "layer", lambda s, canvas, draw, window=None, shown=None: plain(s, canvas, draw, None, shown))
    torch.testing.assert_close(with_windows, drawn(batch), atol=1e-5, rtol=0)


def test_small_images_are_means_and_large_ones_show_the_same_portrait(people):
    few = some(people, *range(8))
    base = drawn(few)
    for resolution in (4, 32):
        torch.testing.assert_close(drawn(few, resolution), F.avg_pool2d(base, 64 // resolution), atol=1e-5, rtol=0)
    assert (F.avg_pool2d(drawn(few, 256), 4) - base).abs().mean() < 0.025
    assert (F.avg_pool2d(drawn(some(people, 2), 1024), 16) - base[2]).abs().mean() < 0.025


@pytest.mark.parametrize("name", TABLE)
def test_every_attribute_is_visible_at_64_px(name):
    """Each class differs from each other class, and one end from the other, by at least 120 levels (L2)."""
    images = drawn(sweep(name, 2, "2")).flatten(1) * 127.5
    assert (torch.cdist(images, images) + torch.eye(len(images)) * 1e6).min() > 120


def test_samples_are_valid_canonical_and_reach_every_class():
    for correlated in (True, False):
        batch = portraits.sample_attributes(6000, 1, correlated, "2")
        assert portraits.check(batch, "2") == 6000
        again = portraits.canonical(batch, "2")
        for spec in TABLE.values():
            assert torch.equal(batch[spec.name], again[spec.name])
            if spec.kind == "discrete":
                assert len(batch[spec.name].unique()) == len(spec.values), spec.name
            else:
                low, high = torch.quantile(batch[spec.name], torch.tensor([0.02, 0.98]))
                assert high - low > 0.7 * (spec.high - spec.low), spec.name


def test_attributes_are_independent_when_correlations_are_off():
    batch = portraits.sample_attributes(6000, 3, False, "2")
    bound = {"hairstyle", "hat", "hat_color", "hair_texture", "hair_color", "hair_length", "hair_strands", "beard", "beard_color"}
    matrix = torch.corrcoef(torch.stack([batch[name].float() for name in TABLE if name not in bound]))
    assert (matrix - torch.eye(len(matrix))).abs().max() < 5 / 6000**0.5


def test_what_cannot_be_seen_does_not_change_the_image():
    cases = ((dict(hairstyle="bald"), dict(hair_strands=1, hair_texture=2)), (dict(beard="stubble"), dict(beard_color=4)),
             (dict(), dict(hat_color=3, beard_color=4)))
    for shown, hidden in cases:
        one = person(**shown)
        assert torch.equal(drawn(one), drawn(one | {name: torch.tensor([value]) for name, value in hidden.items()})), hidden


def test_the_same_person_keeps_the_identity_and_nothing_else(people):
    again = portraits.same_person(people, 9, version="2")
    assert torch.equal(portraits.identity(people, "2"), portraits.identity(again, "2"))
    assert not [name for name in set(people) - set(portraits.IDENTITY) if torch.equal(people[name], again[name])]


# Chance.

@pytest.fixture
def without_grain(monkeypatch):
    """Portraits whose chance is that of their attributes alone."""
    for layer in body2, face2, hair2, wear2:
        monkeypatch.setattr(layer, "GRAIN", 0.0)


def test_chance_shows_at_64_px():
    """Over portraits of the data set: 0.015 of a range of 2 on average, and 0.10 where it acts, which is above 0.05."""
    found = portraits.noise_std(portraits.sample_attributes(64, 0, version="2"), draws=6, version="2")
    assert found.mean() > 0.015 and found[found > 0.05].mean() > 0.10


def test_the_noise_std_is_that_of_pixels_over_draws():
    batch = joined(person(), person(cloth="flecked"))
    images = torch.stack([drawn(batch, noise=portraits.sample_noise(2, 7 * 1_000_003 + draw)) for draw in range(3)])
    torch.testing.assert_close(portraits.noise_std(batch, 64, 3, 7, version="2"), images.std(0).mean(1), atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="draws is 1"):
        portraits.noise_std(batch, draws=1)


@pytest.mark.parametrize("name, value, top, bottom", [("cloth", "flecked", 48, 64), ("cloth", "knitted", 48, 64),
                                                      ("cloth", "sequins", 48, 64), ("backdrop", "speckled", 0, 8),
                                                      ("backdrop", "confetti", 0, 8), ("hair_strands", "messy", 8, 40)])
def test_how_much_is_left_to_chance_is_an_attribute(name, value, top, bottom, without_grain):
    """Chance moves the rows of an image that the attribute is about, and without it hardly does."""
    with_it = portraits.noise_std(joined(person(**{name: value}), person()), draws=6, version="2")[:, top:bottom]
    assert with_it[0].mean() > 0.03 and with_it[0].mean() > 3 * with_it[1].mean()


def test_chance_moves_no_face_but_its_freckles_and_stubble(without_grain):
    smooth = portraits.noise_std(person(hairstyle="bald"), draws=4, version="2")
    assert smooth.max() < 1e-6
    for marks in (dict(freckles="freckles"), dict(beard="stubble", presentation="man")):
        found = portraits.noise_std(person(hairstyle="bald", **marks), draws=4, version="2")[0]
        assert (found > 0.05).sum() > 20 and found[:16].max() < 1e-6 and found[52:].max() < 1e-6


def test_paper_cloth_and_hair_have_grain_and_skin_hardly():
    """Above 0.025 of a range of 2, where a network's noise is to find something to do, and on average below what acts."""
    people = joined(person(hairstyle="bald"), person(hat="beanie"), person())
    bald, hatted, haired = portraits.noise_std(people, draws=24, version="2")
    paper, cloth, hat, hair = bald[:6], bald[58:, 20:44], hatted[6:12, 26:38], haired[10:14, 28:36]
    assert all(0.025 < found.mean() < 0.05 for found in (paper, cloth, hat)) and hair.mean() > 0.025
    assert 0.005 < bald[28:40, 26:38].mean() and bald[28:40, 26:38].max() < 0.02


# Captions: what a phrase claims, read independently of the grammar.

HAIR = {"black": "jet-black|black|dark", "brown": "brown|chestnut", "red": "red|ginger|orange",
        "blonde": "blonde|blond|golden|yellow", "grey": "grey|gray|silver", "pink": "pink", "blue": "blue"}
COLORS = {"red": "red|scarlet", "yellow": "yellow|mustard", "green": "green", "teal": "teal|turquoise", "blue": "blue|navy",
          "purple": "purple|violet", "pink": "pink", "white": "white", "black": "black"}
BACKGROUNDS = {"cream": "cream|beige|ivory", "peach": "peach|orange|apricot|salmon", "rose": "rose|pink",
               "lavender": "lavender|purple|lilac", "sky": "sky-blue|blue", "mint": "mint|green",
               "slate": "slate-grey|dark|grey-blue"}
HEADWEAR = "beanie|cap|hat|sunhat"
TOPS = "t-shirt|shirt|tee|top|blouse|turtleneck|sweater|jumper|pullover|polo-neck|roll-neck"
HAIRS = "hair|afro|bun|ponytail|curls|ringlets|waves"
CLAIMS = [
    ("woman|lady|female|girl", "presentation", "woman"), ("man|guy|gentleman|fellow|chap|male|boy|lad", "presentation", "man"),
    ("bald|hairless|bald-headed|shaved", "hairstyle", "bald"), ("afro", "hairstyle", "afro"),
    ("bun|topknot|knot", "hairstyle", "bun"),
    ("ponytail|tied back", "hairstyle", "ponytail"), ("bangs|fringe", "hairstyle", "fringe"), ("parting", "hairstyle", "parting"),
    ("cropped|haircut", "hairstyle", "crop parting fringe"), ("loose", "hairstyle", "parting fringe"),
    (HAIRS, "hairstyle", "crop parting fringe afro bun ponytail"),
    ("beanie|woolly|bobble|winter|wool", "hat", "beanie"), ("cap", "hat", "cap"),
    ("brimmed|wide-brimmed|sun hat|sunhat", "hat", "brimmed"),
    (HEADWEAR, "hat", "beanie cap brimmed"), ("beard|bearded", "beard", "full"), ("moustache|mustache", "beard", "moustache"),
    ("stubble|stubbly|unshaven", "beard", "stubble"), ("clean-shaven", "beard", "none"),
    ("glasses|spectacles|eyeglasses|specs", "glasses", "round square sunglasses"),
    ("(?:round|circular) (?:gl|spec)", "glasses", "round"),
    ("(?:square|rectangular) (?:gl|spec)", "glasses", "square"),
    ("sunglasses|dark glasses|shades", "glasses", "sunglasses"),
    ("(?<!dark )glasses|eyeglasses|specs|spectacles", "glasses", "round square"),
    ("earrings|hoops|jewell?e?r?y", "earrings", "hoops"), ("freckles|freckled", "freckles", "freckles"),
    ("t-shirt|tee|top", "clothing", "tee"), ("shirt", "clothing", "tee shirt"),
    ("collared|button-up|open shirt|blouse", "clothing", "shirt"),
    ("turtleneck|sweater|jumper|pullover|polo-neck|roll-neck", "clothing", "turtleneck"),
    (rf"(?:flecked|speckled|spotted|dotted)[^,]* (?:{TOPS})", "cloth", "flecked"),
    ("knitted|knit|woollen", "cloth", "knitted"), ("sequined|sparkling|glittering|glittery|sparkly", "cloth", "sequins"),
    (rf"plain(?: [a-z-]+){{0,3}} (?:{TOPS})", "cloth", "plain"),
    ("confetti|confetti-covered|paper dots", "backdrop", "confetti"),
    ("(?:speckled|spotted|dotted)(?: [a-z-]+){1,2} (?:background|backdrop|wall)", "backdrop", "speckled"),
    ("(?:plain|simple)(?: [a-z-]+){1,2} (?:background|backdrop|wall)", "backdrop", "plain"),
    ("messy|untidy|tousled|unkempt|wild|windswept", "hair_strands", "messy"), ("neat|tidy|combed", "hair_strands", "neat"),
    ("straight", "hair_texture", "straight"), ("wavy|waves", "hair_texture", "wavy"),
    ("curly|curled|frizzy|curls|ringlets", "hair_texture", "curly"),
    ("emerald", "iris_color", "green")]
CLAIMS += [(f"(?:{names}) (?:{HAIRS})", "hair_color", color) for color, names in HAIR.items()]
CLAIMS += [(f"(?:{names}) (?:full |thick |bushy )?(?:beard|moustache|mustache)", "beard_color", color)
           for color, names in HAIR.items()]
CLAIMS += [(f"(?:{names}) (?:woolly |bobble |winter |wool |peaked |brimmed |wide-brimmed |sun )?(?:{HEADWEAR})", "hat_color", color)
           for color, names in COLORS.items()]
CLAIMS += [(f"(?:{names}) (?:collared |button-up |open )?(?:{TOPS})", "clothing_color", color) for color, names in COLORS.items()]
CLAIMS += [(f"(?:{names}) (?:background|backdrop|wall)", "background", color) for color, names in BACKGROUNDS.items()]
CLAIMS += [(f"{color} eyes", "iris_color", color) for color in ("brown", "blue", "green")]

RANGES = [
    ("smiling|grinning|beaming|smile|grin", {"smile": (0.35, 1)}),
    ("frowning|scowling|frown|sad mouth|turned-down", {"smile": (-1, -0.35)}),
    ("happy|cheerful|joyful|glad|merry|pleased", {"smile": (0.35, 1), "brow_angle": (-0.5, 0.5)}),
    ("laughing|delighted", {"smile": (0.35, 1), "mouth_open": (0.45, 1)}),
    ("sad|unhappy|gloomy|upset|sorrowful", {"smile": (-1, -0.35)}),
    ("(?:sad|unhappy|gloomy|upset|sorrowful)(?! mouth)", {"smile": (-1, -0.35), "brow_angle": (-1, -0.25)}),
    ("angry|mad|furious|cross|grumpy|annoyed|stern", {"smile": (-1, 0.2), "brow_angle": (0.45, 1)}),
    ("worried|anxious|nervous|concerned", {"smile": (-1, 0.2), "brow_angle": (-1, -0.45)}),
    ("surprised|shocked|astonished|amazed|startled|gasping", {
        "smile": (-0.35, 0.35), "mouth_open": (0.45, 1), "brow_height": (0.25, 1), "eye_open": (0.65, 1)}),
    ("calm|serious|neutral|expressionless|relaxed", {"smile": (-0.2, 0.2), "mouth_open": (0, 0.2), "brow_angle": (-0.35, 0.35)}),
    ("sleepy|tired|drowsy", {"eye_open": (0, 0.2)}), ("toothy|teeth", {"smile": (0.35, 1), "mouth_open": (0.35, 1)}),
    ("open mouth", {"mouth_open": (0.45, 1)}), ("(?:closed|shut) mouth", {"mouth_open": (0, 0.15)}),
    ("(?:fair|pale|light) skin", {"skin": (0, 0.25)}), ("(?:dark|brown) skin", {"skin": (0.65, 1)}),
    ("black-rimmed", {"skin": (0, 0.55)}), ("gold-rimmed", {"skin": (0.55, 1)}),
    ("(?:narrow|thin|slim) face", {"face_width": (-1, -0.5)}), ("(?:broad|wide) face", {"face_width": (0.5, 1)}),
    ("(?:pointed|narrow) chin", {"jaw": (-1, -0.5)}), ("(?:square|strong) jaw|wide chin", {"jaw": (0.5, 1)}),
    ("(?:small|little|tiny) nose", {"nose": (-1, -0.5)}), ("(?:big|large) nose", {"nose": (0.5, 1)}),
    ("close-set", {"eye_spacing": (-1, -0.5)}), ("wide-set", {"eye_spacing": (0.5, 1)}),
    ("narrowed|half-closed|squinting", {"eye_open": (0, 0.25)}), ("(?:wide-open|wide) eyes", {"eye_open": (0.8, 1)}),
    ("(?:thin|fine) eyebrows", {"brow_thickness": (-1, -0.5)}),
    ("(?:thick|bushy|heavy) (?:eye)?brows", {"brow_thickness": (0.5, 1)}),
    ("(?:lowered|low) (?:eye)?brows", {"brow_height": (-1, -0.5)}), ("(?:raised|lifted) (?:eye)?brows", {"brow_height": (0.5, 1)}),
    ("(?:turned|facing) (?:to the )?left", {"yaw": (-30, -10)}), ("(?:turned|facing) (?:to the )?right", {"yaw": (10, 30)}),
    ("(?:lowered|bowed) head", {"pitch": (-15, -5)}), ("raised (?:head|chin)", {"pitch": (5, 15)}),
    ("(?:tilted|leaning) to the left", {"roll": (-15, -5)}), ("(?:tilted|leaning) to the right", {"roll": (5, 15)}),
    ("glancing (?:to the )?left", {"gaze": (-1, -0.5)}), ("glancing (?:to the )?right", {"gaze": (0.5, 1)}),
    ("(?:lit|light) from the left", {"light": (-1, -0.4)}), ("(?:lit|light) from the right", {"light": (0.4, 1)}),
    ("long", {"hair_length": (0.55, 1)}), ("shoulder-length|medium-length", {"hair_length": (0.2, 0.65)}),
    ("short", {"hair_length": (0, 0.3)}),
]


@pytest.fixture(scope="module")
def captioned():
    batch = portraits.sample_attributes(5000, 4, False, "2")
    return batch, portraits.caption(batch, 0, "2")


def rows_that_say(pattern, captions):
    found = re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])" if not pattern.endswith("spec)") else pattern)
    return [i for i, text in enumerate(captions) if found.search(text)]


def test_captions_claim_only_what_is_drawn_and_claim_everything_somewhere(captioned):
    batch, captions = captioned
    captions, mentioned = [text.lower() for text in captions], set()
    for pattern, name, values in CLAIMS:
        rows = rows_that_say(pattern, captions)
        assert rows, pattern
        mentioned |= {(name, value) for value in values.split()}
        for i in rows:
            assert TABLE[name].values[batch[name][i]] in values.split(), (captions[i], pattern)
    for pattern, ranges in RANGES:
        rows = rows_that_say(pattern, captions)
        assert rows, pattern
        for name, (low, high) in ranges.items():
            wrong = [i for i in rows if not low <= batch[name][i] <= high]
            assert not wrong, (captions[wrong[0]], pattern)
    assert not [(spec.name, value) for spec in TABLE.values() for value in spec.values
                if value != "none" and (spec.name, value) not in mentioned]


def test_old_and_young_are_said_of_grey_hair_and_of_those_without_it(captioned):
    batch, captions = captioned
    grey = (batch["hair_color"] == portraits.index("hair_color", "grey")) & (batch["hairstyle"] > 0)
    grey |= (batch["beard_color"] == portraits.index("beard_color", "grey", "2")) & (batch["beard"] > 1)
    for pattern, truth in (("old|elderly|older|aged", True), ("young|girl|boy|lad", False)):
        rows = rows_that_say(pattern, captions)
        assert rows and all(grey[i] == truth for i in rows)


def test_captions_use_more_than_300_words_and_each_of_them(captioned):
    used = {word for text in captioned[1] for word in words_of(text)}
    listed = captions2.words()
    assert len(listed) > 300 and used <= set(listed) and listed == sorted(set(listed))
    more = portraits.caption(portraits.sample_attributes(12_000, 6, False, "2"), 1, "2")
    assert used.union(*map(words_of, more)) == set(listed)
    assert {"girl", "boy", "someone", "happy", "sad", "old", "blond", "surprised", "sunglasses"} <= used


def test_captions_are_english_deterministic_and_paraphrase(captioned, people):
    for text in captioned[1]:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  | ,|none|_|\b(\w+) \1\b|(?:,|and|with|wearing)$", text), text
        assert len(re.findall(r"\beyes\b", text)) <= 1, text
    assert portraits.caption(people, 1, "2") == portraits.caption(people, 1, "2")
    assert sum(a != b for a, b in zip(portraits.caption(people, 1, "2"), portraits.caption(people, 2, "2"))) > 0.8 * N


def test_unknown_words_are_answered_with_their_neighbours_in_meaning_all_at_once():
    asked = {"depressed": "sad", "grandma": "old", "screaming": "surprised", "goatee": "beard", "smilling": "smiling",
             "photo": "picture", "fedora": "brimmed", "Joyous": "happy", "hats": "hat", "xylophone": None}
    found = portraits.neighbours(asked)
    assert found.keys() == asked.keys()
    for word, near in asked.items():
        assert near in found[word] if near else not found[word], (word, found[word])
    assert set().union(*found.values()) <= set(captions2.words()) and max(map(len, found.values())) <= 6
    assert portraits.neighbours(["unhappy"], known=["frowning", "smiling"]) == {"unhappy": ["frowning"]}


def test_every_word_of_meaning_has_neighbours():
    assert all(len(set(group)) == len(group) > 1 for group in words.GROUPS)
    alone = [word for word in captions2.words() if not portraits.neighbours([word])[word]]
    assert set(alone) <= set("""a against all an and around back by close-set deep dots from front full has head heavy here in into
        is loose of paper pointed pulled strong surrounded the there this to who with""".split())


def test_texts_for_clip_say_only_what_captions_say(captioned, people):
    batch, captions = captioned
    rng = Random(0)
    for caption in captions[:2000]:
        short, turned = prompts.shortened(caption, rng), prompts.paraphrased(caption)
        assert set(words_of(short)) <= set(words_of(caption)) and " and " not in short
        assert not re.search(r"\b(and|with|wearing|who|has|wears|dressed|a|an|of|in)$|,$|^who", short), short
        assert set(words_of(turned)) <= {*words_of(caption), "with", "wearing"}
    assert max(len(words_of(text)) for text in captions) <= 40          # CLIP reads 47 words, and a template may have six
    training = prompts.training_texts(people, 4, "2")
    assert training == prompts.training_texts(people, 4, "2")
    known = set(clip.vocabulary(version="2"))
    assert {word for text in [*training, *prompts.attribute_prompts("2")] for word in words_of(text)} <= known


def test_prompts_name_every_class_and_are_true_of_some(captioned):
    batch, _ = captioned
    for name, row in prompts.prompts_of("2").items():
        assert len(row) == len(TABLE[name].values) and len(set(row)) == len(row)
    assert set(prompts.prompts_of("2")) == {spec.name for spec in TABLE.values() if spec.values}
    for text, is_true in prompts.attribute_prompts("2").items():
        assert 0 < is_true(batch).sum() < len(batch["yaw"]), text
    assert not prompts.attribute_prompts("2")["a person wearing a red hat"](person()).any()


# Scripts.

@pytest.fixture
def script(monkeypatch):
    """name → the module of a script."""
    for folder in ("experiments", "benchmarks"):
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / folder))
    return importlib.import_module


def test_the_chance_script_prints_the_same_as_the_library(script, capsys):
    script("portraits_chance").main(["--portraits", "6", "--draws", "3", "--seed", "4"])
    result = json.loads(capsys.readouterr().out)
    found = portraits.noise_std(portraits.sample_attributes(6, 4, version="2"), 64, 3, 4, version="2")
    assert result["all"]["mean"] == pytest.approx(found.mean().item(), rel=1e-4) and result["world"] == "2"
    assert {"cloth", "backdrop", "hair_strands", "freckles"} <= result.keys()


def test_the_chance_script_measures_what_a_generators_noise_does(script, tmp_path, capsys, small_zoo_classifiers):
    torch.manual_seed(0)
    G = stylegan2.Generator(64, z_dim=8, w_dim=8, channel_base=128, channel_max=4).eval()
    with torch.no_grad():
        for name, strength in G.named_parameters():
            if name.endswith("noise_strength"):
                strength.fill_(0.3)
    zoo.save(tmp_path / "G.safetensors", G.state_dict(), "stylegan2-G")
    found = []
    for seed in "4", "5":
        script("portraits_chance").main(["--version", portraits.schema.VERSION, "--portraits", "4", "--draws", "3", "--seed", seed,
                                         "--generator", str(tmp_path / "G.safetensors")])
        found.append(json.loads(capsys.readouterr().out))
    for result in found:
        assert result["generator"]["ratio"] == pytest.approx(result["generator"]["mean"] / result["all"]["mean"], rel=1e-3)
        assert 0 < result["generator"]["attributes_data_set"] < 0.5
        assert result["generator"]["mean"] > 0.01 and set(result["generator"]["changes"]) == set(portraits.table())
    assert found[0]["generator"]["mean"] == pytest.approx(found[1]["generator"]["mean"], rel=0.3)
    other = next(version for version in portraits.schema.TABLES if version != portraits.VERSION)
    with pytest.raises(SystemExit, match=f"the classifier knows version {portraits.VERSION} alone"):
        script("portraits_chance").main(["--version", other, "--generator", str(tmp_path / "G.safetensors")])


def test_mouth_sheets_hide_the_truth_and_raters_are_counted(script, tmp_path):
    mouth_labels = script("mouth_labels")
    with pytest.raises(SystemExit, match="lies in the folder of the sheets"):
        mouth_labels.main(["sheets", "--out", str(tmp_path / "sheets"), "--key", str(tmp_path / "sheets" / "key.json")])
    mouth_labels.main(["sheets", "--out", str(tmp_path / "sheets"), "--key", str(tmp_path / "key.json"), "--count", "12"])
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["PROTOCOL.md", "sheet-01.png", "sheet-02.png"]
    truth = json.loads((tmp_path / "key.json").read_text())["truth"]
    kinds = [tuple(answer.values()) for answer in truth.values()]
    assert len(truth) == 12 and {kinds.count(kind) for kind in kinds} == {2} and len(set(kinds)) == 6
    attributes, _ = mouth_labels.chosen(12, 22, "2")
    said = {"smile": attributes["smile"] > 0.4, "frown": attributes["smile"] < -0.4, "neither": attributes["smile"].abs() < 0.2}
    assert all(said[answer["mouth"]][i] and answer["open"] == (attributes["mouth_open"][i] > 0.3)
               for i, answer in enumerate(truth.values()))
    wrong = truth | {"3": {"mouth": "smile", "open": not truth["3"]["open"]}}
    for name, answers in (("right", truth), ("wrong", wrong)):
        (tmp_path / f"{name}.json").write_text(json.dumps(answers))
    mouth_labels.main(["collect", str(tmp_path / "right.json"), str(tmp_path / "wrong.json"), "--key", str(tmp_path / "key.json"),
                       "--out", str(tmp_path / "labels.json")])
    result = json.loads((tmp_path / "labels.json").read_text())
    assert result["right"]["both"] == [1, 0.9167] and result["wrong"] == [[], ["3"]]
    del wrong["5"]
    with pytest.raises(ValueError, match=r"rater 1 gives no valid answer \(mouth, open\) for 5"):
        mouth_labels.count(truth, [wrong])


def test_the_rendering_benchmark_compares_both_versions(script, capsys):
    script("render_speed").main(["--batch", "2", "--resolution", "4", "--repeats", "1"])
    result = json.loads(capsys.readouterr().out)
    assert result["milliseconds_per_image"]["4"].keys() == {"1", "2"} and "world" not in result
