"""Captions of version 2: everyday words with synonyms, in a grammar with paraphrases; every statement is true of the picture.

Left and right are those of the picture. Of several phrases for one thing, the first is the commonest.
"""

import random
import re

import torch

from .schema import check, table

# Which portraits a word for an expression is true of: attributes, numbers or tensors, → bool. Mouth and brows say it together.
MOODS = {
    "happy": lambda a: (a["smile"] > 0.45) & (abs(a["brow_angle"]) < 0.5),
    "laughing": lambda a: (a["smile"] > 0.45) & (a["mouth_open"] > 0.5),
    "sad": lambda a: (a["smile"] < -0.45) & (a["brow_angle"] < -0.3),
    "angry": lambda a: (a["smile"] < 0.15) & (a["brow_angle"] > 0.5),
    "worried": lambda a: (a["smile"] < 0.15) & (a["brow_angle"] < -0.5),
    "surprised": lambda a: (abs(a["smile"]) < 0.3) & (a["mouth_open"] > 0.5) & (a["brow_height"] > 0.3) & (a["eye_open"] > 0.7),
    "calm": lambda a: (abs(a["smile"]) < 0.12) & (a["mouth_open"] < 0.15) & (abs(a["brow_angle"]) < 0.3),
    "sleepy": lambda a: a["eye_open"] < 0.15,
    "smiling": lambda a: a["smile"] > 0.45,
    "frowning": lambda a: a["smile"] < -0.45,
}
MOOD_WORDS = {
    "happy": ("happy", "cheerful", "joyful", "glad", "merry", "pleased"), "laughing": ("laughing", "delighted"),
    "sad": ("sad", "unhappy", "gloomy", "upset", "sorrowful"),
    "angry": ("angry", "mad", "furious", "cross", "grumpy", "annoyed", "stern"),
    "worried": ("worried", "anxious", "nervous", "concerned"),
    "surprised": ("surprised", "shocked", "astonished", "amazed", "startled", "gasping"),
    "calm": ("calm", "serious", "neutral", "expressionless", "relaxed"), "sleepy": ("sleepy", "tired", "drowsy"),
    "smiling": ("smiling", "grinning", "beaming"), "frowning": ("frowning", "scowling"),
}
NOUNS = {"woman": ("woman", "lady", "female"), "man": ("man", "guy", "gentleman", "fellow", "chap", "male")}
YOUNG_NOUNS = {"woman": ("girl", "young woman", "young lady"), "man": ("boy", "young man", "lad")}
LONG = 28                               # words, after which a caption says no more about the background
ANYONE = ("person", "someone", "character", "human")
OLD = ("old", "elderly", "older", "aged")

COLORS = {"red": ("red", "scarlet"), "yellow": ("yellow", "mustard"), "green": ("green",), "teal": ("teal", "turquoise"),
          "blue": ("blue", "navy", "dark blue"), "purple": ("purple", "violet"), "pink": ("pink",), "white": ("white",),
          "black": ("black",)}
HAIR_COLORS = {"black": ("black", "jet-black", "dark"), "brown": ("brown", "chestnut"), "red": ("red", "ginger", "orange"),
               "blonde": ("blonde", "blond", "golden", "yellow"), "grey": ("grey", "gray", "silver"),
               "pink": ("pink", "bright pink"), "blue": ("blue", "bright blue")}
TEXTURES = {"straight": ("straight",), "wavy": ("wavy",), "curly": ("curly", "curled", "frizzy")}
STRANDS = {"neat": ("neat", "tidy", "combed"), "messy": ("messy", "untidy", "tousled", "unkempt", "wild", "windswept")}
SIZES = {"short": ("short", "cropped"), "middle": ("shoulder-length", "medium-length"), "long": ("long",)}
BALD = ("bald", "hairless", "bald-headed")
HATS = {"beanie": ("beanie", "woolly hat", "bobble hat", "winter hat", "wool hat", "hat"),
        "cap": ("cap", "peaked cap", "hat"),
        "brimmed": ("brimmed hat", "wide-brimmed hat", "sun hat", "sunhat", "hat")}
BEARDS = {"stubble": ("stubble", "a stubbly chin", "an unshaven face"), "moustache": ("moustache", "mustache"),
          "full": ("beard", "full beard", "thick beard", "bushy beard")}
GLASSES = {"round": ("round glasses", "glasses", "circular glasses", "round spectacles", "eyeglasses", "specs"),
           "square": ("square glasses", "glasses", "rectangular glasses", "square spectacles", "eyeglasses", "specs"),
           "sunglasses": ("sunglasses", "dark glasses", "shades")}
FRAMES = ("black-rimmed glasses", "gold-rimmed glasses")                # on lighter, on darker skin
EARRINGS = ("earrings", "hoop earrings", "gold earrings", "golden hoops", "jewellery", "jewelry")
FRECKLES = ("freckles", "a freckled face", "freckled cheeks")
IRISES = {"brown": ("brown",), "blue": ("blue",), "green": ("green", "emerald")}
CLOTHES = {"tee": ("T-shirt", "shirt", "tee", "top"), "shirt": ("shirt", "collared shirt", "button-up shirt", "open shirt"),
           "turtleneck": ("turtleneck", "turtleneck sweater", "sweater", "jumper", "pullover", "polo-neck", "roll-neck")}
CLOTHS = {"plain": ("plain",), "flecked": ("flecked", "speckled", "spotted", "dotted"), "knitted": ("knitted", "knit", "woollen"),
          "sequins": ("sequined", "sparkling", "glittering", "glittery", "sparkly")}
BACKGROUNDS = {"cream": ("cream", "beige", "ivory"), "peach": ("peach", "orange", "apricot", "salmon"), "rose": ("rose", "pink"),
               "lavender": ("lavender", "purple", "lilac"), "sky": ("sky-blue", "light blue", "blue"),
               "mint": ("mint", "green", "light green"), "slate": ("slate-grey", "dark", "grey-blue")}
BACKDROPS = {"plain": ("plain", "simple"), "speckled": ("speckled", "spotted", "dotted"), "confetti": ("confetti-covered",)}
WALLS = ("background", "backdrop", "wall")
CONFETTI = ("surrounded by confetti", "surrounded by paper dots", "with confetti all around")

# Numbers that a caption may mention, as in version 1: (below, phrases), (above, phrases).
FEATURES = {
    "skin": ((0.2, ("fair skin", "pale skin", "light skin")), (0.7, ("dark skin", "brown skin", "deep brown skin"))),
    "face_width": ((-0.6, ("a narrow face", "a thin face", "a slim face")), (0.6, ("a broad face", "a wide face"))),
    "jaw": ((-0.6, ("a pointed chin", "a narrow chin")), (0.6, ("a square jaw", "a strong jaw", "a wide chin"))),
    "nose": ((-0.6, ("a small nose", "a little nose", "a tiny nose")), (0.6, ("a big nose", "a large nose"))),
    "eye_spacing": ((-0.7, ("close-set eyes",)), (0.7, ("wide-set eyes",))),
    "eye_open": ((0.2, ("narrowed eyes", "half-closed eyes", "squinting eyes")), (0.85, ("wide-open eyes", "wide eyes"))),
    "brow_thickness": ((-0.6, ("thin eyebrows", "fine eyebrows")), (0.6, ("thick eyebrows", "bushy eyebrows", "heavy brows"))),
    "brow_height": ((-0.7, ("lowered eyebrows", "low brows")), (0.7, ("raised eyebrows", "lifted brows"))),
    "mouth_open": ((0.1, ("a closed mouth", "a shut mouth")), (0.5, ("an open mouth",))),
    "smile": ((-0.45, ("a frown", "a sad mouth", "a turned-down mouth")), (0.45, ("a smile", "a grin", "a broad smile"))),
}
MANNERS = {
    "yaw": ((-15.0, ("turned to the left", "facing left", "facing to the left")),
            (15.0, ("turned to the right", "facing right", "facing to the right"))),
    "pitch": ((-8.0, ("with a lowered head", "with a bowed head")), (8.0, ("with a raised head", "with a raised chin"))),
    "roll": ((-8.0, ("with a head tilted to the left", "leaning to the left")),
             (8.0, ("with a head tilted to the right", "leaning to the right"))),
    "gaze": ((-0.6, ("glancing left", "glancing to the left", "looking sideways")),
             (0.6, ("glancing right", "glancing to the right", "looking sideways"))),
    "light": ((-0.5, ("lit from the left", "with light from the left")),
              (0.5, ("lit from the right", "with light from the right"))),
}
OPENINGS = ("a portrait of ", "a picture of ", "a drawing of ", "an illustration of ", "an image of ", "a painting of ",
            "a cartoon of ", "an avatar of ", "this is ", "here is ", "there is ")
GLUE = """a an and with who has wears wearing dressed in front of against tied back pulled up into bun knot ponytail topknot afro
    fringe bangs hair curls ringlets waves eyes bearded clean-shaven shaved head of short haircut full loose large round side
    parting to the toothy smile white teeth blouse""".split()


def article(words):
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _list(phrases):
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else "".join(phrases)


def _pick(rng, phrases):
    """The first phrase in half of the cases, else any."""
    return phrases[0] if rng.random() < 0.5 else rng.choice(phrases)


def _say(rng, value, choices):
    """A phrase for a clearly low or high value, or None."""
    (low, below), (high, above) = choices
    phrases = below if value < low else above if value > high else ()
    return _pick(rng, phrases) if phrases else None


def is_old(seen):
    """Whether hair or a beard is grey, in which case captions may say old."""
    return seen["hairstyle"] != "bald" and seen["hair_color"] == "grey" or seen["beard"] in ("moustache", "full") and (
        seen["beard_color"] == "grey")


def _hair(rng, seen):
    """A noun phrase for the hair with some of its size, state, texture and colour, or nothing."""
    style, length = seen["hairstyle"], seen["hair_length"]
    maybe = lambda chance, words: _pick(rng, words) if rng.random() < chance else ""  # noqa: E731
    joined = lambda *words: " ".join(word for word in words if word)  # noqa: E731
    color = maybe(0.75, HAIR_COLORS[seen["hair_color"]])
    strands = maybe(0.6 if seen["hair_strands"] == "messy" else 0.1, STRANDS[seen["hair_strands"]])
    texture = maybe(0.6, TEXTURES[seen["hair_texture"]])
    if style == "afro":
        return article(joined(rng.choice(("", "", "large", "round")), strands, color, "afro"))
    if style == "bun":
        hair = joined(strands, color)
        return rng.choice((joined(hair, "hair in a bun"), article(joined(hair, "bun")), joined(hair, "hair tied up into a bun"),
                           joined(hair, "hair in a topknot"), joined(hair, "hair in a knot")))
    if style == "ponytail":
        hair = joined(strands, texture, color)
        return rng.choice((joined(hair, "hair in a ponytail"), article(joined(hair, "ponytail")), joined(hair, "hair tied back"),
                           joined(hair, "hair pulled back into a ponytail")))
    size = "short" if style == "crop" or length < 0.25 else "long" if length > 0.6 else "middle"
    size = maybe(0.7, SIZES[size])
    if seen["hair_texture"] != "straight" and rng.random() < 0.2:
        return joined(size, strands, color, rng.choice(("curls", "ringlets") if seen["hair_texture"] == "curly" else ("waves",)))
    hair = joined(size, strands, texture, color, "hair")
    if style == "fringe" and rng.random() < 0.6:
        hair += rng.choice((" with bangs", " with a fringe"))
    if style == "parting" and rng.random() < 0.15:
        hair += " with a side parting"
    if style == "crop" and rng.random() < 0.1:
        hair = "a short haircut"
    if hair == "hair":
        hair = rng.choice(("", "a full head of hair", "loose hair" if style in ("parting", "fringe") else ""))
    return hair


def _beard(rng, seen):
    if seen["beard"] == "stubble":
        return _pick(rng, BEARDS["stubble"])
    color = _pick(rng, HAIR_COLORS[seen["beard_color"]]) if rng.random() < 0.6 else ""
    return article(f"{color} {_pick(rng, BEARDS[seen['beard']])}".strip())


def _subject(rng, seen):
    """An article, up to three adjectives and a noun."""
    keep = lambda chance: rng.random() < chance  # noqa: E731
    old, bald = is_old(seen), seen["hairstyle"] == "bald"
    dark = seen["glasses"] == "sunglasses"
    moods = [mood for mood, is_true in MOODS.items() if is_true(seen) and not (dark and mood == "sleepy")]
    adjectives = [_pick(rng, MOOD_WORDS[rng.choice(moods)])] if moods and keep(0.6) else []
    if old and keep(0.4):
        adjectives.insert(0, _pick(rng, OLD))
    if bald and keep(0.8):
        adjectives.append(_pick(rng, BALD))
    if seen["beard"] == "full" and keep(0.25):
        adjectives.append("bearded")
    if seen["beard"] == "none" and seen["presentation"] == "man" and keep(0.1):
        adjectives.append("clean-shaven")
    nouns = NOUNS[seen["presentation"]]
    if not (old or bald) and seen["beard"] == "none" and keep(0.3):
        nouns = YOUNG_NOUNS[seen["presentation"]]
    noun = rng.choice(ANYONE) if keep(0.25) else _pick(rng, nouns)
    return noun if noun == "someone" else article(" ".join([*adjectives, noun]))


def _features(rng, seen):
    """What a portrait has, as noun phrases: four at most."""
    keep = lambda chance: rng.random() < chance  # noqa: E731
    found = []
    if seen["hairstyle"] != "bald" and keep(0.8) and (hair := _hair(rng, seen)):
        found.append(hair)
    elif seen["hairstyle"] == "bald" and keep(0.1):
        found.append("a shaved head")
    if seen["glasses"] != "none" and keep(0.75):
        frames = seen["glasses"] != "sunglasses" and keep(0.15)
        found.append(FRAMES[seen["skin"] > 0.55] if frames else _pick(rng, GLASSES[seen["glasses"]]))
    if seen["beard"] != "none" and keep(0.7):
        found.append(_beard(rng, seen))
    if seen["earrings"] != "none" and keep(0.5):
        found.append(_pick(rng, EARRINGS))
    if seen["freckles"] != "none" and keep(0.5):
        found.append(_pick(rng, FRECKLES))
    if seen["glasses"] != "sunglasses" and keep(0.25):
        found.append(f"{_pick(rng, IRISES[seen['iris_color']])} eyes")
    if seen["smile"] > 0.45 and seen["mouth_open"] > 0.4 and keep(0.3):
        found.append(rng.choice(("a toothy smile", "white teeth")))
    for name, choices in FEATURES.items():
        phrase = None if name == "eye_open" and seen["glasses"] == "sunglasses" else _say(rng, seen[name], choices)
        clash = phrase and phrase.endswith("eyes") and any(one.endswith(" eyes") for one in found)
        if phrase and not clash and keep(0.4 if name == "mouth_open" and seen[name] > 0.5 else 0.15):
            found.append(phrase)
    return [found[i] for i in sorted(rng.sample(range(len(found)), min(4, len(found))))]


def _caption(rng, seen):
    keep = lambda chance: rng.random() < chance  # noqa: E731
    text = (rng.choice(OPENINGS) if keep(0.5) else "") + _subject(rng, seen)
    features = _features(rng, seen)
    if features:
        text += (" who has " if keep(0.2) else " with ") + _list(features)
    worn = []
    if seen["hat"] != "none" and keep(0.8):
        color = _pick(rng, COLORS[seen["hat_color"]]) if keep(0.7) else ""
        worn.append(article(f"{color} {_pick(rng, HATS[seen['hat']])}".strip()))
    if keep(0.4):
        color = _pick(rng, COLORS[seen["clothing_color"]]) if keep(0.75) else ""
        cloth = _pick(rng, CLOTHS[seen["cloth"]]) if keep(0.1 if seen["cloth"] == "plain" else 0.6) else ""
        piece = "blouse" if seen["clothing"] == "shirt" and seen["presentation"] == "woman" and keep(0.2) else _pick(
            rng, CLOTHES[seen["clothing"]])
        worn.append(article(" ".join(word for word in (cloth, color, piece) if word)))
    if worn:
        lead = rng.choice(("wearing", "wearing", "wearing", "dressed in", "who wears"))
        text += (", " if features else " ") + f"{lead} {_list(worn)}"
    hidden = ("gaze",) if seen["glasses"] == "sunglasses" else ()
    manners = [phrase for name, choices in MANNERS.items()
               if name not in hidden and (phrase := _say(rng, seen[name], choices)) and keep(0.15)]
    if seen["backdrop"] == "confetti" and keep(0.3):
        manners.append(rng.choice(CONFETTI))
    if manners:
        text += ", " + rng.choice(manners)
    if keep(0.25) and len(text.split()) < LONG:
        backdrop = _pick(rng, BACKDROPS[seen["backdrop"]]) if keep(0.1 if seen["backdrop"] == "plain" else 0.6) else ""
        place = _pick(rng, BACKGROUNDS[seen["background"]])
        text += "," if features or worn or manners else ""
        text += rng.choice((" against ", " in front of ")) + article(f"{backdrop} {place} {_pick(rng, WALLS)}".strip())
    return text


def caption(attributes: dict[str, torch.Tensor], seed: int) -> list[str]:
    """n captions of portraits of version 2, the same for the same attributes and seed; another seed paraphrases."""
    n = check(attributes, "2")
    specs = table("2")
    columns = {name: attributes[name].tolist() for name in specs}
    rows = [{name: spec.values[columns[name][i]] if spec.values else columns[name][i] for name, spec in specs.items()}
            for i in range(n)]
    return [_caption(random.Random(seed * 1_000_003 + i), row) for i, row in enumerate(rows)]


def words() -> list[str]:
    """Every word that these captions use, lower-case and sorted."""
    def texts(value):
        """The texts in a nest of dicts and tuples."""
        if isinstance(value, (str, float)):
            return [value] if isinstance(value, str) else []
        return [text for one in (value.values() if isinstance(value, dict) else value) for text in texts(one)]

    tables = (MOOD_WORDS, NOUNS, YOUNG_NOUNS, ANYONE, OLD, COLORS, HAIR_COLORS, TEXTURES, STRANDS, SIZES, BALD, HATS, BEARDS,
              GLASSES, FRAMES, EARRINGS, FRECKLES, IRISES, CLOTHES, CLOTHS, BACKGROUNDS, BACKDROPS, WALLS, CONFETTI, FEATURES,
              MANNERS, OPENINGS, GLUE)
    return sorted({word for text in texts(tables) for word in re.findall(r"[^\s,]+", text.lower())})
