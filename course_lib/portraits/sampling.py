"""Random attributes and noise. All draws are uniform numbers from a CPU generator, so results are prefix-stable:
the first k of `sample_attributes(n, seed)` are `sample_attributes(k, seed)`."""

import torch

from .schema import IDENTITY, VERSION, canonical, check, index, table

NOISE_SHAPE = (4, 32, 32)

# How much likelier each class is (in the order of its values) than under equal odds, for everyone.
WEIGHTS = {
    "hairstyle": {"woman": (0.25, 0.6, 2.6, 2.0, 0.6, 1.0, 1.2), "man": (1.5, 3.0, 1.2, 0.6, 0.6, 0.25, 0.35)},
    "hat": {"woman": (4.2, 0.8, 0.7, 0.9), "man": (3.6, 0.9, 1.1, 0.7)},
    "beard": {"woman": (1.0, 0.0, 0.0, 0.0), "man": (1.4, 0.9, 0.8, 1.2)},
    "earrings": {"woman": (1.0, 1.1), "man": (1.0, 0.12)},
    "glasses": {"woman": (3.2, 1.0, 0.7), "man": (3.2, 0.7, 1.0)},
    "hair_color": {"woman": (1.2, 1.6, 1.1, 1.4, 0.5, 0.7, 0.5), "man": (1.6, 1.8, 1.0, 1.1, 1.1, 0.15, 0.3)},
}
# The same in version 2, where it differs.
WEIGHTS_2 = WEIGHTS | {
    "glasses": {"woman": (3.2, 0.9, 0.6, 0.7), "man": (3.2, 0.6, 0.9, 0.8)},
    "cloth": {"woman": (2.2, 1.0, 1.0, 0.9), "man": (2.4, 1.2, 1.2, 0.3)},
    "backdrop": {"woman": (5.0, 1.2, 0.2), "man": (5.0, 1.2, 0.2)},
    "hair_strands": {"woman": (1.2, 1.0), "man": (1.2, 1.0)},
}
DEEP_SKIN = {  # the same, multiplied in as the skin gets deeper
    "hair_color": (3.0, 1.0, 0.25, 0.2, 0.8, 0.6, 0.6),
    "iris_color": (3.0, 0.25, 0.4),
    "hairstyle": (1.2, 1.2, 0.8, 0.7, 4.0, 1.1, 1.0),
    "hair_texture": (0.5, 0.9, 2.2),
    "freckles": (1.0, 0.4),
}


def _odds(name, drawn, n, correlated, version):
    """Class weights [n, classes] of the discrete attribute `name`, given those drawn before it."""
    classes = len(table(version)[name].values)
    weights = WEIGHTS if version == "1" else WEIGHTS_2
    odds = torch.ones(n, classes)
    if not correlated:
        return odds
    if name in weights:
        odds = torch.tensor([weights[name]["woman"], weights[name]["man"]])[drawn["presentation"]]
    if name in DEEP_SKIN:
        odds = odds * torch.tensor(DEEP_SKIN[name]) ** (2 * drawn["skin"] - 0.7)[:, None]
    if name == "glasses":
        grey = drawn["hair_color"] == index("hair_color", "grey")
        odds = odds * torch.where(grey[:, None], torch.tensor([0.4, 1.0, 1.0, 1.0][:classes]), torch.ones(classes))
    if name == "beard_color":               # as the hair, or grey, and seldom anything else
        same = torch.nn.functional.one_hot(drawn["hair_color"], classes)
        odds = torch.tensor([0.3, 0.3, 0.3, 0.3, 1.5, 0.05, 0.05]) + 5 * same
    if name == "freckles":
        red = drawn["hair_color"] == index("hair_color", "red")
        odds = odds * torch.where(red[:, None], torch.tensor([0.4, 1.0]), torch.tensor([1.0, 0.3]))
    return odds


def _number(name, u, drawn, correlated, version):
    """A continuous attribute from uniform numbers u [n] in [0, 1)."""
    spec = table(version)[name]
    if name in ("yaw", "pitch", "roll"):  # centred, but reaching the ends
        u = 0.5 + 0.5 * (2 * u - 1) * (0.55 + 0.45 * (2 * u - 1).abs())
    value = spec.low + (spec.high - spec.low) * u
    if correlated:
        man = drawn["presentation"].float()
        if name in ("jaw", "brow_thickness"):
            value = 0.7 * value + 0.6 * (man - 0.5)
        if name == "hair_length":
            value = 0.75 * value + 0.25 * (1 - man)
        if name == "smile":
            value = 0.85 * value + 0.15
        if name == "mouth_open":
            value = value * (0.35 + 0.65 * drawn["smile"].abs())
        if version == "2":
            value = _expression(name, u, value, drawn)
    return value.clamp(spec.low, spec.high)


def _expression(name, u, value, drawn):
    """The value of a number of the face that goes with the mouth, in version 2: a mouth that neither smiles nor frowns is open in
    one of three faces, which is then surprised; a frown comes with worried or with angry brows."""
    smile = drawn.get("smile")
    if name == "mouth_open":
        return torch.where(smile.abs() < 0.3, torch.where(u > 0.65, 0.4 + 0.6 * u, 0.3 * u), value)
    if name in ("eye_open", "brow_angle", "brow_height"):
        surprised = (smile.abs() < 0.3) & (drawn["mouth_open"] > 0.5)
        if name == "eye_open":
            return torch.where(surprised, 0.75 + 0.25 * u, value)
        if name == "brow_height":
            return torch.where(surprised, 0.4 + 0.6 * u, value)
        frowning = torch.where(u < 0.6, -1 + u, u * 1.75 - 0.75)
        calm = torch.where(smile > 0.2, 0.6, 1.0) * value
        return torch.where(surprised, 0.4 * value, torch.where(smile < -0.2, frowning, calm))
    return value


def _draw(uniform, correlated, fixed, version):
    drawn = {}
    for column, spec in enumerate(table(version).values()):
        u = uniform[:, column]
        if spec.name in fixed:
            drawn[spec.name] = fixed[spec.name]
        elif spec.kind == "continuous":
            drawn[spec.name] = _number(spec.name, u, drawn, correlated, version)
        else:
            odds = _odds(spec.name, drawn, len(u), correlated, version)
            edges = odds.cumsum(1)[:, :-1] / odds.sum(1, keepdim=True)
            drawn[spec.name] = (u[:, None] >= edges).sum(1)
    return canonical(drawn, version)


def _uniform(n, width, seed):
    if n < 0:
        raise ValueError(f"n is {n}: the number of portraits cannot be negative")
    return torch.rand(n, width, generator=torch.Generator().manual_seed(seed))


def sample_attributes(n: int, seed: int, correlated: bool = True, version: str = VERSION) -> dict[str, torch.Tensor]:
    """Attributes of n portraits: name → CPU tensor [n], float32 or (class indices) int64.

    With `correlated=False` every attribute is uniform and independent, but for what `canonical` hides.
    """
    return _draw(_uniform(n, len(table(version)), seed), correlated, {}, version)


def sample_noise(n: int, seed: int) -> torch.Tensor:
    """The stochastic field [n, K, S, S], uniform in [0, 1): where freckles sit and how strands of hair fall."""
    k, s, _ = NOISE_SHAPE
    return _uniform(n, k * s * s, seed).reshape(n, *NOISE_SHAPE)


def same_person(attributes: dict[str, torch.Tensor], seed: int, correlated: bool = True,
                version: str = VERSION) -> dict[str, torch.Tensor]:
    """Other portraits of the same people: IDENTITY is kept, everything else is drawn again."""
    n = check(attributes, version)
    fixed = {name: attributes[name].cpu() for name in IDENTITY}
    return _draw(_uniform(n, len(table(version)), seed), correlated, fixed, version)


def identity(attributes: dict[str, torch.Tensor], version: str = VERSION) -> torch.Tensor:
    """Identity vectors [n, k]: continuous attributes of IDENTITY scaled to [0, 1], discrete ones one-hot."""
    check(attributes, version)
    columns = []
    for name in IDENTITY:
        spec, value = table(version)[name], attributes[name]
        if spec.kind == "continuous":
            columns.append(((value - spec.low) / (spec.high - spec.low))[:, None])
        else:
            columns.append(torch.nn.functional.one_hot(value, len(spec.values)).to(torch.float32))
    return torch.cat(columns, dim=1)
