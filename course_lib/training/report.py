"""How a run went, in pictures: python -m course_lib.training.report RUN

    python -m course_lib.training.report runs/mine
    python -m course_lib.training.report runs/mine --small training.webp

Writes into the folder of the run curves.png, the numbers of log.jsonl and metrics.jsonl over the images shown, which training
draws, too; and samples.webp, a film of the sample sheets, which show the same latents throughout. Both are drawn anew when it is
called again. --small also writes a film for a web page: 4 × 4 portraits of each sheet.
"""
import importlib.util
import io
import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from .. import commands

DRAW_EVERY = 20         # seconds between two pictures of the curves while a run trains
WIDE = 1024             # pixels of the longer side of a film, at most
COLUMNS, SHEET = 16, 8192      # of a sample sheet: images in a row, and pixels of its width, at most
SMALL, SIDE = 4, 64     # rows and columns of a small film, and pixels of their portraits
QUALITIES = range(90, 30, -10)
PANELS = {"losses": ("G_loss", "D_loss"), "logits of D": ("D_real", "D_fake"),
          "penalties": ("r1_penalty", "path_length_penalty", "penalty"), "augmentation": ("augment_p", "r_t"),
          "growing": ("alpha",), "precision and recall": ("precision", "recall"), "images a second": ("img_per_s",)}
LOGARITHMIC = "penalties"


def main(arguments=None):
    parser = commands.Parser(prog="python -m course_lib.training.report", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=commands.input_folder, help="folder of a run of course_lib.train")
    parser.add_argument("--frame-ms", type=commands.whole(10, 10_000), default=200, help="milliseconds for each sheet of the film")
    parser.add_argument("--small", metavar="FILE", type=Path, help="a small film, .webp; one that exists is not overwritten")
    parser.add_argument("--frames", type=commands.whole(2, 1000), default=60, help="of --small, at most")
    parser.add_argument("--kb", type=commands.whole(1), default=700, help="thousand bytes of --small, at most")
    args = parser.parse_args(arguments)
    with commands.sentences(parser.prog):
        small = {"small": small_film(args.run, args.small, args.frame_ms, args.frames, 1000 * args.kb)} if args.small else {}
        commands.show_json(write(args.run, args.frame_ms) | small)


def forecast(left, total, seconds):
    """A sentence on the time that a run takes, of whose `total` images `left` are to come, at so many seconds for an image."""
    return f"{1 / seconds:,.0f} images a second: {duration(total * seconds)} in all, {duration(left * seconds)} from now on"


def duration(seconds):
    """"about 40 s", "about 12 minutes", "about 3.4 hours", "about 2.1 days"."""
    for unit, size, most in (("s", 1, 90), ("minutes", 60, 90), ("hours", 3600, 48)):
        if seconds < most * size:
            return f"about {seconds / size:.{1 if unit == 'hours' else 0}f} {unit}"
    return f"about {seconds / 86400:.1f} days"


def columns(resolution):
    """How many images a row of a sample sheet has, of a network that makes or grows to this resolution; there are half as many
    rows."""
    return min(COLUMNS, max(SMALL, SHEET // resolution))


def write(run, frame_ms=200):
    """Draw the pictures of a run. Returns {what: path or number}, without what there is nothing to draw of. ValueError for a folder
    that is none of a run."""
    run = Path(run)
    lines = entries(run / "log.jsonl")
    if not lines:
        raise ValueError(f"{run} holds no run, or one without a line of log.jsonl yet; pass the --out of a training")
    found = {"images": lines[-1]["images"], "curves": str(curves(run)), "samples": film(run, frame_ms)}
    with suppress(OSError):
        found["best"] = (run / "best.txt").read_text(encoding="utf-8").strip()
    return {name: value for name, value in found.items() if value is not None}


def entries(path):
    """The lines of a log as dictionaries; those that a kill cut off, or none, are left out."""
    with suppress(FileNotFoundError):
        lines = []
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict) and "images" in line]
    return []


def curves(run):
    """Draw curves.png of a run; its path."""
    path = Path(run) / "curves.png"
    with commands.writing(path, replace=True) as partial:
        figure(run).savefig(partial, format="png", dpi=100)
    return path


def figure(run):
    """The curves of a run as a matplotlib figure: a panel for what belongs together, one for each other metric."""
    from matplotlib.figure import Figure

    from .. import plots
    found = series(run)
    panels = {title: {name: found[name] for name in names if name in found} for title, names in PANELS.items()}
    shown = {name for names in panels.values() for name in names}
    panels = {name: {name: found[name]} for name in found if name not in shown} | {t: p for t, p in panels.items() if p}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    drawing = Figure((4 * columns, 2.6 * rows))
    for i, (title, lines) in enumerate(panels.items()):
        axes = drawing.add_subplot(rows, columns, i + 1, title=title)
        for name, (images, values) in lines.items():
            axes.plot([n / 1000 for n in images], values, label=name, marker="." if len(images) < 20 else None,
                      color=plots.COLORS[len(axes.lines)])
        if title == LOGARITHMIC:
            axes.set_yscale("log", nonpositive="mask")
        if list(lines) != [title]:
            axes.legend()
        if i >= len(panels) - columns:
            axes.set_xlabel("thousand images")
    return drawing


def series(run):
    """{name: ([images], [value])} of the scores in metrics.jsonl and of the names of PANELS in log.jsonl."""
    logged = {name for names in PANELS.values() for name in names}
    scored = _columns(Path(run) / "metrics.jsonl")
    return scored | {name: found for name, found in _columns(Path(run) / "log.jsonl").items() if name in logged - scored.keys()}


def _columns(path):
    """{name: ([images], [value])} of the numbers in a log."""
    found = {}
    for line in entries(path):
        for name, value in line.items():
            if name != "images" and isinstance(value, (int, float)):
                images, values = found.setdefault(name, ([], []))
                images.append(line["images"])
                values.append(value)
    return found


def film(run, frame_ms=200):
    """Put the sample sheets of a run one after the other into samples.webp, the last for ten times as long; its path, or None
    without sheets. All have the size of the last: those of a run that grows are enlarged by repeating pixels."""
    sheets, path = sample_sheets(run), Path(run) / "samples.webp"
    if not sheets:
        return None
    with Image.open(sheets[-1]) as last:
        size = tuple(side // -(-max(last.size) // WIDE) for side in last.size)
    with commands.writing(path, replace=True) as partial:
        save_frames(partial, (frame(sheet, size) for sheet in sheets), len(sheets), frame_ms)
    return str(path)


def small_film(run, path, frame_ms=200, frames=60, most=700_000):
    """Write the first SMALL × SMALL portraits of a run's sample sheets, SIDE pixels each, as an animated .webp of at most `most`
    bytes, in the highest of QUALITIES that fits; its path. Of more sheets than `frames` it takes the first, the last, and those at
    equal distances between. Raises ValueError for a run without sheets and a film that does not fit, OSError for a file at `path`.
    """
    commands.try_output(path)
    sheets, path = sample_sheets(run), Path(path)
    if not sheets or path.suffix.lower() != ".webp":
        raise ValueError(f"{path}: name a .webp" if sheets else f"{run} has no sample sheets yet, of which a film could be made")
    if len(sheets) > frames:
        sheets = [sheets[round(i * (len(sheets) - 1) / (frames - 1))] for i in range(frames)]
    resolution = json.loads((Path(run) / "settings.json").read_text(encoding="utf-8"))["resolution"]
    shown = [frame(sheet, (SMALL * SIDE, SMALL * SIDE), SMALL / columns(resolution)) for sheet in sheets]
    for quality in QUALITIES:
        save_frames(written := io.BytesIO(), iter(shown), len(shown), frame_ms, quality, method=6)
        if written.tell() <= most:
            with commands.writing(path) as partial:
                partial.write_bytes(written.getvalue())
            return str(path)
    raise ValueError(f"a film of {len(shown)} frames has {written.tell() / 1000:,.0f} kB at quality {quality}; take fewer frames, "
                     "or allow more bytes")


def sample_sheets(run):
    """The paths of a run's sample sheets, oldest first."""
    return sorted((Path(run) / "samples").glob("[0-9]*.png"))


def frame(path, size, share=None):
    """A sample sheet, or the square at its top left that takes this share of its width, as an RGB image of a size: pixels are
    repeated or averaged."""
    with Image.open(path) as sheet:
        image = sheet.convert("RGB")
    if share:
        image = image.crop((0, 0, *[round(share * image.width)] * 2))
    return image.resize(size, Image.Resampling.NEAREST if image.width < size[0] else Image.Resampling.BOX)


def save_frames(file, frames, count, frame_ms, quality=90, **options):
    """Write `count` frames, an iterator of PIL images, as a .webp that loops and shows the last ten times as long."""
    next(frames).save(file, format="webp", save_all=True, append_images=frames, quality=quality, loop=0,
                      duration=[frame_ms] * (count - 1) + [10 * frame_ms], **options)


def need_tensorboard():
    """Raise ValueError where TensorBoard's package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard needs a package of its own: pip install tensorboard")


def tensorboard(out, images):
    """A function (line of the log, sample sheet or None) that writes TensorBoard's events into `out/tensorboard`; what an earlier
    part of the run left there after so many images is not shown."""
    from torch.utils.tensorboard import SummaryWriter
    writer = SummaryWriter(Path(out) / "tensorboard", purge_step=images + 1)

    def write(line, sheet=None):
        for name, value in line.items():
            for key, number in value.items() if isinstance(value, dict) else [("", value)]:
                writer.add_scalar(f"{name}/{key}" if key else name, number, line["images"])
        if sheet:
            with Image.open(sheet) as picture:
                writer.add_image("samples", np.asarray(picture.convert("RGB")), line["images"], dataformats="HWC")
        writer.flush()
    return write


if __name__ == "__main__":
    sys.exit(main())
