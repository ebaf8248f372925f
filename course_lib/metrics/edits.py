"""What an edit by sentence did to a portrait, as the judge and the identity network see it: the score table of lessons 08 to 10."""
from typing import Callable, NamedTuple

import torch

from .. import judges, portraits


class Wish(NamedTuple):
    """What a prompt asks for: `shows` says of a reading which portraits have it, `touched` names the attributes that it is about,
    or that cannot be seen or cannot stay when it is granted (`portraits.canonical`); all others should stay as they are."""
    shows: Callable
    touched: tuple


def _is(name, *values):
    return lambda reading: sum(reading[name] == portraits.index(name, value) for value in values).bool()


def _has(name):
    return lambda reading: reading[name] != portraits.index(name, "none")


_haired = lambda reading: ~_is("hairstyle", "bald")(reading)
_loose = _is("hairstyle", "parting", "fringe")

# The limits are those at which a caption says so.
WISHES = {
    "a smiling person": Wish(lambda r: r["smile"] > 0.35, ("smile",)),
    "a frowning person": Wish(lambda r: r["smile"] < -0.35, ("smile",)),
    "a person with an open mouth": Wish(lambda r: r["mouth_open"] > 0.5, ("mouth_open",)),
    "a person with glasses": Wish(_has("glasses"), ("glasses",)),
    "a person with a beard": Wish(_is("beard", "full"), ("beard",)),
    "a person with red hair": Wish(lambda r: _is("hair_color", "red")(r) & _haired(r), ("hair_color",)),
    "a person with blonde hair": Wish(lambda r: _is("hair_color", "blonde")(r) & _haired(r), ("hair_color",)),
    "a person with long hair": Wish(lambda r: _loose(r) & (r["hair_length"] > 0.6), ("hair_length", "hairstyle", "earrings")),
    "a person with short hair": Wish(lambda r: _is("hairstyle", "crop")(r) | _loose(r) & (r["hair_length"] < 0.25),
                                     ("hair_length", "hairstyle", "hair_texture")),
    "a person with curly hair": Wish(lambda r: _is("hair_texture", "curly")(r) & _haired(r), ("hair_texture",)),
    "a person wearing a hat": Wish(_has("hat"), ("hat", "hairstyle", "hair_texture", "hair_length")),
    "a bald person": Wish(_is("hairstyle", "bald"), ("hairstyle", "hair_length", "hair_texture", "hair_color", "hat")),
}


def deviations(samples=10_000, seed=0):
    """σ of every attribute over the world: σ² is half the mean square of the difference of two portraits, where a class that
    differs counts 1. For a number that is its standard deviation. → {name: number}"""
    truth = portraits.sample_attributes(samples, seed)
    return {spec.name: (_difference(spec, truth[spec.name], truth[spec.name].roll(1)).square().mean() / 2).sqrt().item()
            for spec in portraits.ATTRIBUTES}


def side_effects(prompt, before, after, sigma):
    """How far the attributes change that the prompt does not touch, in deviations: the mean over them for each image. → [N]"""
    others = [spec for spec in portraits.ATTRIBUTES if spec.name not in WISHES[prompt].touched]
    return torch.stack([_difference(spec, after[spec.name], before[spec.name]) / sigma[spec.name] for spec in others]).mean(dim=0)


@torch.no_grad()
def edit_scores(prompt, before, after, judge, identity, sigma):
    """Of N portraits before and after an edit [N, 3, H, W]: {"shows": bool [N], the wish is there; "others": [N], what else changed, in
    deviations; "same": bool [N], the identity network sees the same person; "alike": [N], the cosine between who the judge reads before
    and after (`judges.who`)}."""
    device = next(judge.parameters()).device
    before, after = before.to(device), after.to(device)
    was, now = judges.read(judge, before), judges.read(judge, after)
    return {"shows": WISHES[prompt].shows(now), "others": side_effects(prompt, was, now, sigma),
            "same": identity.same_person(before, after).cpu(), "alike": (judges.who(was) * judges.who(now)).sum(dim=1)}


def _difference(spec, a, b):
    """Absolute, or 1 where classes differ."""
    return (a != b).double() if spec.kind == "discrete" else (a - b).abs().double()
