"""Edit targets: the prompts that edits are scored on, and which attributes each of them asks for."""
from typing import Callable, NamedTuple

from .. import portraits


class EditTarget(NamedTuple):
    """What a prompt asks for, in attributes of a portrait."""
    success: Callable           # attributes {name: [N]} → bool [N], whether each portrait has what the prompt asks for
    touched: tuple        # names of the attributes that change with it (`portraits.canonical`); all others should stay as they are


def _is(name, *values):
    """attributes → bool [N]: whether the attribute has one of these values."""
    return lambda attributes: sum(attributes[name] == portraits.index(name, value) for value in values).bool()


def _has(name):
    """attributes → bool [N]: whether the attribute is another than "none"."""
    return lambda attributes: attributes[name] != portraits.index(name, "none")


_has_hair = lambda attributes: ~_is("hairstyle", "bald")(attributes)
_loose = _is("hairstyle", "parting", "fringe")

def _touched(*names):
    """Those of these attributes that this version of the data set has."""
    return tuple(name for name in names if name in portraits.table())


# The limits are those at which a caption of `portraits.caption` says so.
SMILE = {"1": 0.35, "2": 0.45}[portraits.VERSION]
EDIT_TARGETS = {
    "a smiling person": EditTarget(lambda r: r["smile"] > SMILE, ("smile",)),
    "a frowning person": EditTarget(lambda r: r["smile"] < -SMILE, ("smile",)),
    "a person with an open mouth": EditTarget(lambda r: r["mouth_open"] > 0.5, ("mouth_open",)),
    "a person with glasses": EditTarget(_has("glasses"), ("glasses",)),
    "a person with a beard": EditTarget(_is("beard", "full"), _touched("beard", "beard_color")),
    "a person with red hair": EditTarget(lambda r: _is("hair_color", "red")(r) & _has_hair(r), ("hair_color",)),
    "a person with blonde hair": EditTarget(lambda r: _is("hair_color", "blonde")(r) & _has_hair(r), ("hair_color",)),
    "a person with long hair": EditTarget(lambda r: _loose(r) & (r["hair_length"] > 0.6), ("hair_length", "hairstyle", "earrings")),
    "a person with short hair": EditTarget(lambda r: _is("hairstyle", "crop")(r) | _loose(r) & (r["hair_length"] < 0.25),
                                     _touched("hair_length", "hairstyle", "hair_texture", "hair_strands")),
    "a person with curly hair": EditTarget(lambda r: _is("hair_texture", "curly")(r) & _has_hair(r), ("hair_texture",)),
    "a person wearing a hat": EditTarget(_has("hat"), _touched("hat", "hat_color", "hairstyle", "hair_texture", "hair_length",
                                                            "hair_strands")),
    "a bald person": EditTarget(_is("hairstyle", "bald"), _touched("hairstyle", "hair_length", "hair_texture", "hair_color",
                                                                  "hair_strands", "hat", "hat_color")),
}
