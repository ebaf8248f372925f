"""Model cards: what a network is, how it came about and what was measured of it; and folders that hold a network with its card.

Such a folder has three files: `model.safetensors`, `card.json`, which is what `describe` gives, and `README.md`, which is what
`markdown` makes of it. `zoo.load(folder)` compares the sha256 in the card with the file, and loads it.
"""
import hashlib
import json
import math
import shutil
from pathlib import Path

from .. import files, portraits, zoo
from .files import CARD, DATASET_VERSION, MODEL, is_shared, last_of_run, metadata
from .formats import guarded, one_line

FORMAT = "course_lib model card 1"
BY_KIND = "oracle", "judge", "clip", "identity", "verifier", "features"        # whose results are called by their kind
UNKNOWN = "not stated; ask whoever made the file"
# The rows of a card: its keys, and what people read.
ROWS = {"kind": "kind", "sizes": "sizes", "parameters": "numbers", "bytes": "bytes", "data_set": "data set",
        "images": "images seen in training", "base": "base model", "pictures": "tuned to",
        "command": "command", "commit": "at commit", "sha256": "sha256", "licence": "licence"}


def describe(model, part=None):
    """The card of a network: a name of the zoo, a file that it reads, the folder of a run, or one of `write`. → dict that JSON
    holds

    part: as of `zoo.load`. Raises FileNotFoundError for an unknown name, ValueError for a file that is damaged, holds no network or
    is not what its card says.
    """
    name, known = str(model), zoo.cards().get(str(model))
    path = zoo.path_of(name, part)
    if not known and is_shared(model):
        return _read(Path(model) / CARD)
    network = zoo.contents(path).read(None if known else part)
    about = known or (metadata(path) if zoo.is_safetensors(path) else {})
    version = about.get(DATASET_VERSION)
    if not known:
        _check(path, network)
    card = {"format": FORMAT, "name": name if known or name in zoo.FULL else Path(model).stem, "kind": network.kind,
            "sizes": sizes(network.tensors).strip(", "), "parameters": sum(t.numel() for t in network.tensors.values()),
            "bytes": path.stat().st_size, "data_set": f"Portraits, version {version}" if version else None,
            "licence": "MIT" if known else zoo.LICENCE if name in zoo.FULL else UNKNOWN, "sha256": _sha256(path)}
    made = {key: known[key] for key in ("command", "commit", "images") if key in known} if known else _of_run(path) | _tuned(about)
    measured = known and part in (None, "G") and _measured(name, network.kind)
    return card | made | ({"measured": measured} if measured else {})


@guarded
def _check(path, network):
    zoo.check(*network[:3])


def _read(path):
    """A card.json that was made elsewhere. Raises ValueError where it is none."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        markdown(card)
        return card
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no model card, or a damaged one") from None


def _of_run(path):
    """What the folder of a training run says of a checkpoint in it."""
    try:
        run = path.resolve().parents[2]
        about, settings = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("run.json", "settings.json"))
        data = {} if settings["data"] == "portraits" else {"data_set": Path(settings["data"]).name}
        images, planned = int(path.resolve().parent.name), settings.get("images")
        stopped = isinstance(planned, int) and images < planned and last_of_run(run) == path.resolve()
        return ({"command": about["command"], "images": images} | data | ({"planned": planned} if stopped else {})
                | ({"base": settings["init"]} if settings.get("init") else {}))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return {}


def _tuned(about):
    """What the metadata of a generator that was tuned to pictures say of them."""
    try:
        return {key: read(about[key]) for key, read in (("base", str), ("pictures", lambda text: ", ".join(json.loads(text))))
                if key in about}
    except (ValueError, TypeError):
        return {}


def _measured(name, kind):
    """What data/results hold of a model of the course: its numbers, and the command that measured them. None without any."""
    for stem in (name, kind if kind in BY_KIND else name):
        path = zoo.DATA / "results" / f"{stem}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.get(DATASET_VERSION) != portraits.VERSION:
                continue
            numbers = dict(found.get("model") or {key: value for key, value in found.items()
                                                  if isinstance(value, float) and key != "seconds"})
            numbers |= {f"{key}, lowest": min(found[key].values()) for key in ("scores", "zero_shot") if key in found}
            if numbers:
                return {"numbers": numbers, "command": found["command"], "file": f"data/results/{path.name}"}
    return None


def sizes(tensors):
    """Resolution, sizes of z and w, and number of classes of a StyleGAN or PGGAN network, by its tensors, as text."""
    blocks = [int(part[1:]) for name in tensors for part in name.split(".") if part[:1] == "b" and part[1:].isdecimal()]
    text = f"{max(blocks)} px, " if blocks else ""
    embed, first, average = (tensors.get(f"mapping.{name}") for name in ("embed.weight", "fc0.weight", "w_avg"))
    if average is not None and first is not None:
        text += f"z {first.shape[1] - (0 if embed is None else len(average))}, w {len(average)}, "
    return text + (f"{embed.shape[1]} classes, " if embed is not None else "")


def markdown(card, model=None, part=None):
    """A card of `describe` as Markdown; what stands in it is shown in one line each, for it may come from anywhere. model, part: of
    `zoo.load`, as they are to be written there; without them the card's name."""
    shown = lambda value: one_line(f"{value:,}" if isinstance(value, int) else value, 1000).replace("|", "\\|").replace("`", "'")
    stopped = f", stopped after these of {shown(card['planned'])}" if card.get("planned") else ""
    cell = lambda key: f"`{shown(card[key])}`" if key in ("command", "sha256", "commit") else shown(card[key])
    lines = [f"# {shown(card['name'])}", "", "| | |", "|---|---|"]
    lines += [f"| {title} | {cell(key)}{stopped if key == 'images' else ''} |" for key, title in ROWS.items()
              if card.get(key) not in (None, "")]
    if measured := card.get("measured"):
        lines += ["", "## Measured", "", "| metric | value |", "|---|---|"]
        lines += [f"| {shown(name)} | {value:.4g} |" for name, value in measured["numbers"].items() if math.isfinite(value)]
        lines += ["", f"`{shown(measured['command'])}`, in `{shown(measured['file'])}`."]
    use = f'zoo.load("{shown(model or card["name"])}"' + (f', part="{shown(part)}")' if part else ")")
    return "\n".join([*lines, "", "## Use", "", "```python", "from course_lib import zoo", "", f"network = {use}", "```", ""])


def write(model, out, part=None, licence=None):
    """Write the folder `out`: a network as model.safetensors, a safetensors file byte for byte, any other converted; its card; and
    the card as README. licence: under which it may be used. → the card. Raises OSError where `out` exists, or cannot be written;
    nothing stays then."""
    out = Path(out)
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists already and is not overwritten; choose another name, or remove it")
    files.try_folder(out.parent)
    card, path = describe(model, part) | {"name": out.name}, zoo.path_of(model, part)
    out.mkdir(parents=True)
    try:
        if zoo.is_safetensors(path):
            with files.writing(out / MODEL) as partial:
                shutil.copyfile(path, partial)
        else:
            network = zoo.contents(path).read(part)
            zoo.save(out / MODEL, network.tensors, network.kind, config=network.config)
        card |= {"sha256": _sha256(out / MODEL), "bytes": (out / MODEL).stat().st_size} | ({"licence": licence} if licence else {})
        files.write_json(out / CARD, card)
        files.write_text(out / "README.md", markdown(card))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return card


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
