"""`render`: from attributes to images, layer by layer, as a painter would."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from . import accessories, body, face, hair, palette, second
from .sampling import NOISE_SHAPE, sample_noise
from .schema import VERSION, check, table

PIXELS_AT_ONCE = {"cpu": 2**17, "cuda": 2**24}


def render(attributes: dict[str, torch.Tensor], resolution: int, noise: torch.Tensor | None = None,
           device=None, version: str = VERSION) -> torch.Tensor:
    """Images [n, 3, resolution, resolution], float32 in [-1, 1], of n portraits.

    resolution: a power of two from 4 to 1024; up to 32 px the image is the mean of the one at 64 px.
    noise: [n, 4, 32, 32] from `sample_noise`; None: one fixed field for all.
    version: of the data set, which the attributes belong to.
    Raises ValueError naming a wrong attribute, resolution, noise or version.
    """
    n = check(attributes, version)
    layers = {"1": paint, "2": second.paint}[version]
    if not isinstance(resolution, int) or resolution not in [2**k for k in range(2, 11)]:
        raise ValueError(f"resolution {resolution} is not a power of two from 4 to 1024")
    if noise is None:
        noise = sample_noise(1, 0).expand(n, -1, -1, -1)
    if noise.shape != (n, *NOISE_SHAPE):
        raise ValueError(f"noise has the shape {list(noise.shape)}; sample_noise({n}, seed) gives "
                         f"{[n, *NOISE_SHAPE]}")
    device = torch.device("cpu" if device is None else device)
    drawn = max(resolution, 64)
    size = max(1, PIXELS_AT_ONCE.get(device.type, 2**22) // drawn**2)
    images = torch.empty(n, 3, resolution, resolution, device=device)
    with torch.no_grad():
        for start in range(0, n, size):
            part = slice(start, start + size)
            rows = {name: attributes[name][part].cpu() for name in table(version)}
            image = layers(arrange(rows, noise[part], drawn, device, version))
            if resolution < drawn:
                image = F.avg_pool2d(image, drawn // resolution)
            images[part] = image.clamp_(0, 1).mul_(2).sub_(1)
    return images


def noise_std(attributes: dict[str, torch.Tensor], resolution: int = 64, draws: int = 16, seed: int = 0, device=None,
              version: str = VERSION) -> torch.Tensor:
    """What chance does to each portrait: the standard deviation of every pixel over noise, with its attributes fixed.

    draws: independent noise fields, from the seed on, at least 2. Returns [n, resolution, resolution], the mean of the three
    channels' standard deviations, for images in [-1, 1]: the ground truth for a generator's.
    """
    if draws < 2:
        raise ValueError(f"draws is {draws}: a standard deviation needs at least 2")
    n = check(attributes, version)
    total = square = 0.0
    for draw in range(draws):
        images = render(attributes, resolution, sample_noise(n, seed * 1_000_003 + draw), device, version).double()
        total, square = total + images, square + images * images
    return ((square - total * total / draws) / (draws - 1)).clamp(min=0).sqrt().mean(1).float()


def paint(scene: SimpleNamespace) -> torch.Tensor:
    """Version 1: the painter's list of layers, from back to front. Returns [n, 3, h, w] in [0, 1]."""
    canvas = body.background(scene)
    canvas = hair.back(scene, canvas)
    canvas = body.neck(scene, canvas)
    canvas = body.clothes(scene, canvas)
    canvas = face.ears(scene, canvas)
    canvas = face.skin(scene, canvas)
    canvas = face.freckles(scene, canvas)
    canvas = face.nose(scene, canvas)
    canvas = face.beard(scene, canvas)
    canvas = face.mouth(scene, canvas)
    canvas = face.eyes(scene, canvas)
    canvas = hair.front(scene, canvas)
    canvas = face.brows(scene, canvas)
    canvas = accessories.earrings(scene, canvas)
    canvas = accessories.hat(scene, canvas)
    canvas = accessories.glasses(scene, canvas)
    return canvas


def arrange(rows, noise, resolution, device, version=VERSION) -> SimpleNamespace:
    """Everything the layers share: numbers [n, 1, 1, 1] by attribute name, class indicators `is_`, colours,
    the pixel grid, and the pose. Small tensors are made on the CPU, then moved once."""
    s = SimpleNamespace(pixel=2 / resolution, rows=rows)
    numbers = {name: value.float() for name, value in rows.items()}
    for name, spec in table(version).items():
        for i, value in enumerate(spec.values):
            numbers[f"{name}:{value}"] = (rows[name] == i).float()
    for name in ("yaw", "pitch", "roll"):
        angle = numbers[name] * (torch.pi / 180)
        numbers[f"sin {name}"], numbers[f"cos {name}"] = angle.sin(), angle.cos()
    numbers.update(hair.measures(rows))
    stacked = torch.stack(list(numbers.values())).to(device)[:, :, None, None, None]
    s.numbers, s.a = stacked, dict(zip(numbers, stacked.unbind(0)))

    colors = {"skin": palette.ramp(palette.SKIN, rows["skin"]), "hair": palette.pick(palette.HAIR, rows["hair_color"]),
              "iris": palette.pick(palette.IRIS, rows["iris_color"]),
              "clothing": palette.pick(palette.CLOTHING if version == "1" else palette.CLOTHING_2, rows["clothing_color"]),
              "background": palette.pick(palette.BACKGROUND, rows["background"])}
    if version == "2":
        colors |= {"hat": palette.pick(palette.CLOTHING_2, rows["hat_color"]),
                   "beard": palette.pick(palette.HAIR, rows["beard_color"])}
    counts = [len(group) for group in colors.values()]
    flat = torch.stack([color for group in colors.values() for color in group]).to(device).unbind(0)
    for name, count in zip(colors, counts):
        setattr(s, f"{name}_colors", flat[:count])
        flat = flat[count:]

    fixed = torch.tensor(list(palette.FIXED.values())).to(device)[:, None, :, None, None]
    for name, color in zip(palette.FIXED, fixed.unbind(0)):
        setattr(s, name, color)

    s.noise = noise.to(device)
    line = (torch.arange(resolution, device=device, dtype=torch.float32) + 0.5) * s.pixel - 1
    s.x, s.y = line[None, None, None, :], line[None, None, :, None]
    face.pose(s)
    return s
