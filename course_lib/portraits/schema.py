"""The attributes of a portrait: their table in each version of the data set, what is valid, and who stays who."""

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


VERSION = "1"           # of the data set, where no other is asked for

# Version 1. Also the order of drawing: an attribute's distribution may depend on those above it.
_FIRST = (
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


def _second():
    """The attributes of version 2. The mouth comes before eyes and brows, which follow it; how much is left to chance, though not
    where it lies, is the group "stochastic"."""
    first = {spec.name: spec for spec in _FIRST}
    colors = ("red", "yellow", "green", "teal", "blue", "purple", "pink", "white", "black")
    changed = {spec.name: spec for spec in (
        _discrete("hat_color", "fine", *colors),
        _discrete("hair_strands", "stochastic", "neat", "messy"),
        _discrete("beard_color", "fine", *first["hair_color"].values, default="brown"),
        _discrete("glasses", "middle", "none", "round", "square", "sunglasses"),
        _discrete("clothing_color", "fine", *colors, default="teal"),
        _discrete("cloth", "stochastic", "plain", "flecked", "knitted", "sequins"),
        _discrete("backdrop", "stochastic", "plain", "speckled", "confetti"),
    )}
    order = """presentation yaw pitch roll face_width jaw skin hairstyle hair_length hat hat_color hair_texture hair_color
        hair_strands iris_color eye_spacing smile mouth_open eye_open gaze brow_thickness brow_angle brow_height nose beard
        beard_color glasses earrings freckles clothing clothing_color cloth background backdrop light"""
    return [(first | changed)[name] for name in order.split()]


TABLES = {version: {spec.name: spec for spec in specs} for version, specs in (("1", _FIRST), ("2", _second()))}
BY_NAME = TABLES[VERSION]
ATTRIBUTES = tuple(BY_NAME.values())


def table(version: str = VERSION) -> dict[str, Attribute]:
    """The attributes of a version of the data set by name, in the order in which they are drawn."""
    if version not in TABLES:
        raise ValueError(f"there is no version {version!r} of Portraits; the versions are {', '.join(map(repr, TABLES))}")
    return TABLES[version]


# What stays when expression, pose, light, hair and accessories change.
IDENTITY = ("presentation", "face_width", "jaw", "skin", "iris_color", "eye_spacing", "brow_thickness", "nose",
            "freckles")


def _known(name, version):
    if name not in table(version):
        raise ValueError(f"there is no attribute {name!r}; the attributes are {', '.join(table(version))}")


def index(name: str, value: str, version: str = VERSION) -> int:
    """The class index of `value` in the discrete attribute `name`."""
    _known(name, version)
    values = table(version)[name].values
    if value not in values:
        raise ValueError(f"{name} has no class {value!r}; it is one of {', '.join(values) or 'a range of numbers'}")
    return values.index(value)


def check(attributes: dict[str, torch.Tensor], version: str = VERSION) -> int:
    """The batch size of complete, valid attributes. Raises ValueError naming the first thing that is wrong."""
    for name in attributes:
        _known(name, version)
    missing = [name for name in table(version) if name not in attributes]
    if missing:
        raise ValueError(f"missing attribute {missing[0]!r}; portraits.attributes(...) fills in defaults")
    n = None
    for name, spec in table(version).items():
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


def attributes(version: str = VERSION, **values) -> dict[str, torch.Tensor]:
    """A batch of one from defaults and the given numbers or class names: attributes(smile=0.8, hair_color="red")."""
    for name in values:
        _known(name, version)
    batch = {}
    for name, spec in table(version).items():
        value = values.get(name, spec.default)
        if spec.kind == "discrete":
            value = index(name, value, version) if isinstance(value, str) else int(value)
            batch[name] = torch.tensor([value], dtype=torch.int64)
        elif isinstance(value, str):
            raise ValueError(f"attribute {name!r} is a number from {spec.low:g} to {spec.high:g}, not {value!r}")
        else:
            batch[name] = torch.tensor([float(value)])
    check(batch, version)
    return canonical(batch, version)


def canonical(batch: dict[str, torch.Tensor], version: str = VERSION) -> dict[str, torch.Tensor]:
    """Set what cannot be seen to a fixed value, so that an image determines its attributes.

    bald: no hat, straight, brown, length 0 (the brows are then always brown) · hair that does not hang loose:
    length 0 · afro: curly · bun: straight · crop: straight or curly · a hat on a fringe, an afro or a bun is taken
    off · a crop under a hat: straight. In version 2 also: no hat: a red one · no hair, or a crop under a hat: neat ·
    no beard, or stubble: a brown one.
    """
    table(version)
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
    if version == "2":
        out["hat_color"] = out["hat_color"].masked_fill(out["hat"] == 0, 0)
        out["hair_strands"] = out["hair_strands"].masked_fill(bald | crop & (out["hat"] > 0), 0)
        unseen = out["beard"] <= index("beard", "stubble")
        out["beard_color"] = out["beard_color"].masked_fill(unseen, index("beard_color", "brown", version))
    return out
