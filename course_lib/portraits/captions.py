"""Captions: a small grammar with paraphrases. A caption mentions some of what is seen, and nothing that is not.

Left and right are those of the picture.
"""

import random

import torch

from . import captions2
from .schema import VERSION, check, table

NOUNS = {"woman": ("woman", "lady", "woman"), "man": ("man", "guy", "man")}
HATS = {"beanie": ("a beanie", "a woolly beanie", "a hat"), "cap": ("a cap", "a peaked cap", "a hat"),
        "brimmed": ("a brimmed hat", "a wide-brimmed hat", "a hat")}
BEARDS = {"stubble": ("stubble", "a stubbly chin"), "moustache": ("a moustache",), "full": ("a beard", "a full beard")}
GLASSES = {"round": ("round glasses", "glasses", "round spectacles"),
           "square": ("square glasses", "glasses", "square spectacles")}
BACKGROUNDS = {"sky": "sky-blue", "slate": "slate-grey"}
CLOTHES = {"tee": ("T-shirt", "tee"), "shirt": ("collared shirt",), "turtleneck": ("turtleneck", "turtleneck sweater")}

# Continuous attributes that a caption may mention: (below, phrases) and (above, phrases).
FEATURES = {
    "skin": ((0.2, ("fair skin", "pale skin")), (0.75, ("dark skin", "deep brown skin"))),
    "face_width": ((-0.6, ("a narrow face",)), (0.6, ("a broad face",))),
    "jaw": ((-0.6, ("a pointed chin",)), (0.6, ("a square jaw",))),
    "nose": ((-0.6, ("a small nose",)), (0.6, ("a large nose", "a big nose"))),
    "eye_open": ((0.2, ("narrowed eyes", "half-closed eyes")), (0.85, ("wide-open eyes",))),
    "brow_thickness": ((-0.6, ("thin eyebrows",)), (0.6, ("thick eyebrows", "bushy eyebrows"))),
    "brow_height": ((-0.7, ("lowered eyebrows",)), (0.7, ("raised eyebrows",))),
    "mouth_open": ((-1.0, ()), (0.5, ("an open mouth", "a wide-open mouth"))),
}
MANNERS = {
    "yaw": ((-15.0, ("turned to the left", "facing left")), (15.0, ("turned to the right", "facing right"))),
    "pitch": ((-8.0, ("with a lowered head",)), (8.0, ("with a raised head",))),
    "gaze": ((-0.6, ("glancing left",)), (0.6, ("glancing right",))),
    "brow_angle": ((-0.6, ("looking worried",)), (0.6, ("looking angry", "looking stern"))),
    "light": ((-0.5, ("lit from the left",)), (0.5, ("lit from the right",))),
}
SMILES = ((-0.35, ("frowning", "unhappy")), (0.35, ("smiling", "happy")))
OPENINGS = ("", "", "", "a portrait of ", "a drawing of ", "an illustration of ")


def _article(words):
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _list(phrases):
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else "".join(phrases)


def _say(rng, value, choices):
    """A phrase for a clearly low or high value, or None."""
    (low, below), (high, above) = choices
    phrases = below if value < low else above if value > high else ()
    return rng.choice(phrases) if phrases else None


def _hair(rng, seen):
    """A noun phrase for the hair with some of its length, texture and colour; None for bald heads."""
    style, length = seen["hairstyle"], seen["hair_length"]
    color = seen["hair_color"] if rng.random() < 0.8 else ""
    texture = seen["hair_texture"] if rng.random() < 0.75 else ""
    if style == "bald":
        return None
    if style == "afro":
        return _article(f"{color} afro".strip())
    if style in ("bun", "ponytail"):
        texture = texture if style == "ponytail" else ""
        hair = " ".join(word for word in (texture, color) if word)
        return rng.choice((f"{hair} hair in a {style}".strip(), _article(f"{hair} {style}".strip())))
    size = "short" if style == "crop" or length < 0.25 else "long" if length > 0.6 else "shoulder-length"
    size = size if rng.random() < 0.75 else ""
    hair = " ".join(word for word in (size, texture, color, "hair") if word)
    if style == "fringe" and rng.random() < 0.6:
        hair += rng.choice((" with bangs", " with a fringe"))
    return "" if hair == "hair" else hair


def _caption(rng, seen):
    keep = lambda chance: rng.random() < chance  # noqa: E731
    smile = _say(rng, seen["smile"], SMILES)
    adjectives = [smile] if smile and keep(0.7) else []
    if seen["hairstyle"] == "bald" and keep(0.85):
        adjectives.append("bald")
    bearded = seen["beard"] == "full" and keep(0.3)
    if bearded:
        adjectives.append("bearded")
    subject = _article(" ".join([*adjectives, rng.choice(NOUNS[seen["presentation"]])]))

    features = []
    hair = _hair(rng, seen)
    if hair and keep(0.85):
        features.append(hair)
    if seen["glasses"] != "none" and keep(0.75):
        features.append(rng.choice(GLASSES[seen["glasses"]]))
    if seen["beard"] != "none" and not bearded and keep(0.75):
        features.append(rng.choice(BEARDS[seen["beard"]]))
    if seen["earrings"] != "none" and keep(0.5):
        features.append(rng.choice(("hoop earrings", "earrings")))
    if seen["freckles"] != "none" and keep(0.5):
        features.append(rng.choice(("freckles", "a freckled face")))
    if keep(0.25):
        features.append(f"{seen['iris_color']} eyes")
    for name, choices in FEATURES.items():
        phrase = _say(rng, seen[name], choices)
        # Two phrases about eyes would not read well.
        clash = phrase and phrase.endswith("eyes") and any(f.endswith(" eyes") for f in features)
        if phrase and not clash and keep(0.6 if name == "mouth_open" else 0.2):
            features.append(phrase)
    if len(features) > 4:
        features = [features[i] for i in sorted(rng.sample(range(len(features)), 4))]

    worn = []
    if seen["hat"] != "none" and keep(0.8):
        worn.append(rng.choice(HATS[seen["hat"]]))
    if keep(0.3):
        worn.append(_article(f"{seen['clothing_color']} {rng.choice(CLOTHES[seen['clothing']])}"))
    manners = [phrase for name, choices in MANNERS.items() if (phrase := _say(rng, seen[name], choices)) and keep(0.2)]

    text = rng.choice(OPENINGS) + subject
    if features:
        text += " with " + _list(features)
    if worn:
        text += (", wearing " if features else " wearing ") + _list(worn)
    if manners:
        text += ", " + rng.choice(manners)
    if keep(0.2):
        place = BACKGROUNDS.get(seen["background"], seen["background"])
        text += "," if features or worn or manners else ""
        text += rng.choice((" against ", " in front of ")) + _article(f"{place} background")
    return text


def caption(attributes: dict[str, torch.Tensor], seed: int, version: str = VERSION) -> list[str]:
    """n captions, the same for the same attributes and seed; another seed paraphrases."""
    n = check(attributes, version)
    if version == "2":
        return captions2.caption(attributes, seed)
    specs = table(version)
    columns = {name: attributes[name].tolist() for name in specs}
    captions = []
    for i in range(n):
        seen = {name: spec.values[columns[name][i]] if spec.values else columns[name][i]
                for name, spec in specs.items()}
        captions.append(_caption(random.Random(seed * 1_000_003 + i), seen))
    return captions
