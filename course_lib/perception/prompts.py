"""Texts for CLIP: captions varied for training, paraphrases that training never shows, prompts for the attributes."""
import re
from random import Random

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from .. import portraits
from ..clip import TEMPLATES
from ..portraits import captions, captions2
from .edit_targets import EDIT_TARGETS

OPENING = re.compile(r"^(?:an? (?:portrait|drawing|illustration|picture|image|painting|cartoon|avatar) of|(?:this|here|there) is) ")
NOUN = re.compile(r"\b(?:(?:wo)?man|lady|guy|girl|boy|(?:fe)?male|gentleman|fellow|chap|lad|person|someone|character|human)\b")
CLAUSE = re.compile(r",? (?=(?:with|wearing|in front of|against|turned|facing|glancing|looking|lit|"
                    r"who has|who wears|dressed|surrounded|leaning) )")
LEAD = re.compile(r"with |wearing |who has |who wears |dressed in |")

# One prompt per class, in the order of its values; what a caption would not mention is plainly "a person".
PROMPTS = {
    "presentation": ("a woman", "a man"),
    "hairstyle": ("a bald person", "a person with short hair", "a person with long hair", "a person with hair with bangs",
                  "a person with an afro", "a person with hair in a bun", "a person with hair in a ponytail"),
    "hat": ("a person", "a person wearing a beanie", "a person wearing a cap", "a person wearing a brimmed hat"),
    "hair_texture": ("a person with straight hair", "a person with wavy hair", "a person with curly hair"),
    "hair_color": tuple(f"a person with {color} hair" for color in ("black", "brown", "red", "blonde", "grey", "pink", "blue")),
    "iris_color": tuple(f"a person with {color} eyes" for color in ("brown", "blue", "green")),
    "beard": ("a person", "a person with stubble", "a person with a moustache", "a person with a full beard"),
    "glasses": ("a person", "a person with round glasses", "a person with square glasses"),
    "earrings": ("a person", "a person with earrings"),
    "freckles": ("a person", "a person with freckles"),
    "clothing": ("a person wearing a T-shirt", "a person wearing a collared shirt", "a person wearing a turtleneck"),
    "clothing_color": tuple(f"a person wearing a {color} T-shirt" for color in (
        "red", "mustard", "green", "teal", "navy", "purple", "white", "charcoal")),
    "background": tuple(f"a person in front of a {color} background" for color in (
        "cream", "peach", "rose", "lavender", "sky-blue", "mint", "slate-grey")),
}

PROMPTS_2 = PROMPTS | {
    "hat_color": tuple(f"a person wearing a {color} hat" for color in captions2.COLORS),
    "hair_strands": ("a person with neat hair", "a person with messy hair"),
    "beard_color": tuple(f"a person with a {color} beard" for color in captions2.HAIR_COLORS),
    "glasses": (*PROMPTS["glasses"], "a person with sunglasses"),
    "clothing_color": tuple(f"a person wearing a {color} T-shirt" for color in captions2.COLORS),
    "cloth": tuple(f"a person wearing a {cloth} T-shirt" for cloth in ("plain", "flecked", "knitted", "sequined")),
    "backdrop": ("a person in front of a plain background", "a person in front of a speckled background",
                 "a person surrounded by confetti"),
}
# What a portrait must have for a class to be more than a convention: an attribute, and the class above which it has it.
NEEDS = {"hair_color": ("hairstyle", 0), "hair_texture": ("hairstyle", 0), "hair_strands": ("hairstyle", 0),
         "hat_color": ("hat", 0), "beard_color": ("beard", 1)}
PLAIN = "a person"


def prompts_of(version=portraits.VERSION):
    """The prompts of a version of the data set: {attribute: one prompt for each class}."""
    return PROMPTS if version == "1" else PROMPTS_2


def attribute_prompts(version=portraits.VERSION):
    """Short descriptions of a person, and of which portraits each is true: {text: function, attributes {name: [N]} → bool [N]}.

    The edit targets, each prompt for a class, and both ends of each attribute that captions mention; in version 2, each word for
    an expression too.
    """
    said = captions if version == "1" else captions2
    found = {text: target.success for text, target in EDIT_TARGETS.items()}
    for name, prompts in prompts_of(version).items():
        for value, text in enumerate(prompts):
            if text != PLAIN:                           # some are edit targets already
                found.setdefault(text, lambda attributes, name=name, value=value: (attributes[name] == value) & (
                    version == "1" or _has_what_it_needs(name, attributes)))
    if version == "2":
        for mood, is_true in captions2.MOODS.items():
            found |= {captions2.article(f"{word} person"): is_true for word in captions2.MOOD_WORDS[mood]}
    for name, ((low, below), (high, above)) in (said.FEATURES | said.MANNERS).items():
        lead = f"{PLAIN} with " if name in said.FEATURES else f"{PLAIN}, "
        for phrases, is_true in ((below, lambda attributes, name=name, limit=low: attributes[name] < limit),
                                 (above, lambda attributes, name=name, limit=high: attributes[name] > limit)):
            found |= {lead + phrase: is_true for phrase in phrases}
    return found


def _has_what_it_needs(name, attributes):
    needed, above = NEEDS.get(name, (name, -1))
    return attributes[needed] > above


def training_texts(attributes, seed, version=portraits.VERSION):
    """One text per portrait: its caption, or part of it, in two of five about "a person", half of them in one of TEMPLATES.

    attributes: {name: [N]} on the CPU. → list of N str
    """
    texts = portraits.caption(attributes, seed, version)
    return [_augmented(text, Random(seed * 1_000_003 + i)) for i, text in enumerate(texts)]


def _augmented(text, rng):
    text = OPENING.sub("", text)
    if rng.random() < 0.5:
        text = shortened(text, rng)
    if rng.random() < 0.4:
        text = NOUN.sub(lambda noun: PLAIN if noun[0] == "someone" else "person", text, count=1)
    return rng.choice(TEMPLATES).format(text) if rng.random() < 0.5 else text


def shortened(text, rng):
    """A caption cut down to its subject and, four times of five, one of the things that it says about it."""
    subject, *clauses = CLAUSE.split(text)
    if not clauses or rng.random() < 0.2:
        return subject
    clause = rng.choice(clauses)
    lead = LEAD.match(clause)[0]
    return f"{subject} {lead}{rng.choice(re.split(r', | and ', clause.removeprefix(lead)))}"


def paraphrased(text):
    """A caption's words in an order that training never shows: first what the portrait has, then who it is."""
    text = OPENING.sub("", text)
    end = NOUN.search(text).end()
    rest = re.sub("^who has ", "with ", re.sub("^who wears ", "wearing ", text[end:].strip(", ")))
    return f"{rest}, {text[:end]}" if rest else text


@torch.no_grad()
def zero_shot(network, image_features, truth, templates=TEMPLATES, version=portraits.VERSION):
    """CLIP §3.1.4: accuracy per attribute when the class is that of the nearest prompt, its vectors averaged over templates.

    network: a Clip; image_features [N, D] and truth {name: [N]} on the CPU. Heads without hair do not count for its colour and
    texture, nor do other portraits that lack what a prompt is about. → {name: accuracy} for the attributes of `prompts_of`
    """
    scores = {}
    for name, prompts in prompts_of(version).items():
        classes = torch.stack([network.encode_texts([t.format(prompt) for t in templates]).mean(dim=0).cpu() for prompt in prompts])
        right = (image_features @ F.normalize(classes, dim=1).T).argmax(dim=1) == truth[name]
        if name in NEEDS:
            right = right[_has_what_it_needs(name, truth)]
        scores[name] = right.float().mean().item()
    return scores


@torch.no_grad()
def roc_areas(network, image_features, truth):
    """For each edit target, how well the similarity to its prompt separates the portraits that show it from the others: the area
    under the ROC curve, 1 where each of them is nearer than every other, 0.5 where the similarity says nothing.

    network: a Clip; image_features [N, D] and truth {name: [N]} on the CPU. → {prompt: area}, without prompts that none or all show
    """
    similarity = (image_features @ network.encode_texts(list(EDIT_TARGETS)).cpu().T).T.double()
    shown = [target.success(truth) for target in EDIT_TARGETS.values()]
    return {text: float(roc_auc_score(true, row))
            for text, true, row in zip(EDIT_TARGETS, shown, similarity) if 0 < true.sum() < len(true)}
