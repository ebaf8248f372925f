"""The attributes of a portrait: their table, how they are drawn at random, and who stays who."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Attribute:
    """One attribute: continuous in [low, high], or discrete with the class names `values`."""

    name: str
    group: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    default: float | str = 0.0


def _continuous(name, group, low, high, default):
    return Attribute(name, group, "continuous", low, high, (), default)


def _discrete(name, group, *values, default=None):
    return Attribute(name, group, "discrete", 0.0, float(len(values) - 1), values, default or values[0])


# Also the order of drawing: an attribute's distribution may depend on those above it.
ATTRIBUTES = (
    _discrete("presentation", "coarse", "woman", "man"),
    _continuous("yaw", "coarse", -30.0, 30.0, 0.0),             # degrees, positive: towards the right edge
    _continuous("pitch", "coarse", -15.0, 15.0, 0.0),           # degrees, positive: up
    _continuous("roll", "coarse", -15.0, 15.0, 0.0),            # degrees, positive: clockwise
    _continuous("face_width", "coarse", -1.0, 1.0, 0.0),
    _continuous("jaw", "coarse", -1.0, 1.0, 0.0),               # narrow to square
    _continuous("skin", "fine", 0.0, 1.0, 0.25),                # light to deep
    _discrete("hairstyle", "coarse", "bald", "crop", "parting", "fringe", "afro", "bun", "ponytail",
              default="parting"),
    _continuous("hair_length", "coarse", 0.0, 1.0, 0.5),        # jaw to below the shoulders
    _discrete("hat", "coarse", "none", "beanie", "cap", "brimmed"),
    _discrete("hair_texture", "middle", "straight", "wavy", "curly"),
    _discrete("hair_color", "fine", "black", "brown", "red", "blonde", "grey", "pink", "blue", default="brown"),
    _discrete("iris_color", "fine", "brown", "blue", "green"),
    _continuous("eye_spacing", "middle", -1.0, 1.0, 0.0),
    _continuous("eye_open", "middle", 0.0, 1.0, 0.7),           # 0: nearly closed, the iris still shows
    _continuous("gaze", "middle", -1.0, 1.0, 0.0),              # positive: towards the right edge
    _continuous("brow_thickness", "middle", -1.0, 1.0, 0.0),
    _continuous("brow_angle", "middle", -1.0, 1.0, 0.0),        # worried to angry
    _continuous("brow_height", "middle", -1.0, 1.0, 0.0),
    _continuous("nose", "middle", -1.0, 1.0, 0.0),              # small to large
    _continuous("smile", "middle", -1.0, 1.0, 0.4),             # frown to smile
    _continuous("mouth_open", "middle", 0.0, 1.0, 0.0),
    _discrete("beard", "middle", "none", "stubble", "moustache", "full"),
    _discrete("glasses", "middle", "none", "round", "square"),
    _discrete("earrings", "middle", "none", "hoops"),
    _discrete("freckles", "middle", "none", "freckles"),
    _discrete("clothing", "middle", "tee", "shirt", "turtleneck"),
    _discrete("clothing_color", "fine", "red", "mustard", "green", "teal", "navy", "purple", "white", "charcoal",
              default="teal"),
    _discrete("background", "fine", "cream", "peach", "rose", "lavender", "sky", "mint", "slate"),
    _continuous("light", "fine", -1.0, 1.0, -0.6),              # the key light: from the left to from the right
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}

# What stays when expression, pose, light, hair and accessories change.
IDENTITY = ("presentation", "face_width", "jaw", "skin", "iris_color", "eye_spacing", "brow_thickness", "nose",
            "freckles")


def index(name: str, value: str) -> int:
    """The class index of `value` in the discrete attribute `name`."""
    if name not in BY_NAME:
        raise ValueError(f"there is no attribute {name!r}; the attributes are {', '.join(BY_NAME)}")
    values = BY_NAME[name].values
    if value not in values:
        raise ValueError(f"{name} has no class {value!r}; it is one of {', '.join(values) or 'a range of numbers'}")
    return values.index(value)


def check(attributes: dict[str, torch.Tensor]) -> int:
    """The batch size of complete, valid attributes. Raises ValueError naming the first thing that is wrong."""
    for name in attributes:
        if name not in BY_NAME:
            raise ValueError(f"there is no attribute {name!r}; the attributes are {', '.join(BY_NAME)}")
    missing = [name for name in BY_NAME if name not in attributes]
    if missing:
        raise ValueError(f"missing attribute {missing[0]!r}; portraits.attributes(...) fills in defaults")
    n = None
    for name, spec in BY_NAME.items():
        value = attributes[name]
        if not isinstance(value, torch.Tensor) or value.ndim != 1:
            raise ValueError(f"attribute {name!r} must be a tensor of shape [n]")
        n = len(value) if n is None else n
        if len(value) != n:
            raise ValueError(f"attribute {name!r} has {len(value)} entries where the others have {n}")
        if spec.kind == "discrete" and value.is_floating_point():
            raise ValueError(f"attribute {name!r} holds class indices: make it an integer tensor")
        if n and not bool(((value >= spec.low - 1e-6) & (value <= spec.high + 1e-6)).all()):
            worst = value[~((value >= spec.low - 1e-6) & (value <= spec.high + 1e-6))][0].item()
            raise ValueError(f"attribute {name!r} is {worst:g}, outside {spec.low:g} to {spec.high:g}")
    return n


def attributes(**values) -> dict[str, torch.Tensor]:
    """A batch of one from defaults and the given numbers or class names: attributes(smile=0.8, hair_color="red")."""
    for name in values:
        if name not in BY_NAME:
            raise ValueError(f"there is no attribute {name!r}; the attributes are {', '.join(BY_NAME)}")
    batch = {}
    for name, spec in BY_NAME.items():
        value = values.get(name, spec.default)
        if spec.kind == "discrete":
            value = index(name, value) if isinstance(value, str) else int(value)
            batch[name] = torch.tensor([value], dtype=torch.int64)
        elif isinstance(value, str):
            raise ValueError(f"attribute {name!r} is a number from {spec.low:g} to {spec.high:g}, not {value!r}")
        else:
            batch[name] = torch.tensor([float(value)])
    check(batch)
    return canonical(batch)


def canonical(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Set what cannot be seen to a fixed value, so that an image determines its attributes.

    bald: no hat, straight, brown, length 0 (the brows are then always brown) · hair that does not hang loose:
    length 0 · afro: curly · bun: straight · crop: straight or curly · a hat on a fringe, an afro or a bun is taken
    off · a crop under a hat: straight.
    """
    out = dict(batch)
    style, texture = out["hairstyle"], out["hair_texture"]

    def of(*names):
        return sum(style == index("hairstyle", name) for name in names).bool()

    bald, crop = of("bald"), of("crop")
    straight, curly = index("hair_texture", "straight"), index("hair_texture", "curly")
    out["hat"] = out["hat"].masked_fill(of("bald", "fringe", "afro", "bun"), 0)
    out["hair_length"] = out["hair_length"].masked_fill(~of("parting", "fringe"), 0.0)
    texture = texture.masked_fill(crop & (texture == index("hair_texture", "wavy")), straight)
    texture = texture.masked_fill(bald | of("bun") | crop & (out["hat"] > 0), straight)
    out["hair_texture"] = texture.masked_fill(of("afro"), curly)
    out["hair_color"] = out["hair_color"].masked_fill(bald, index("hair_color", "brown"))
    return out
