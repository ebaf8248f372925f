"""Questions to people about pictures of 64 px: blind sheets, whole answers, and agreement. What the scripts of labels share."""
import json
from operator import eq
from pathlib import Path
from statistics import mean

from PIL import Image, ImageDraw
from sklearn.metrics import cohen_kappa_score

from course_lib import commands, plots

TILE, SCALE, HEAD, GAP, BETWEEN = 64, 4, 32, 16, 4
LISTED = 12         # numbers that an error names
EYE_LABELS = "python experiments/eye_labels"        # how commands begin that write eye-labels.json: this and eye_labels_broken


def parsers(description, out, key=None):
    """A parser with the tasks `sheets` and `collect`, and these two. key: what the file of --key holds, or None without one."""
    parser = commands.Parser(description=description)
    tasks = parser.add_subparsers(dest="task", required=True)
    sheets = tasks.add_parser("sheets", help="draw the sheets for the raters")
    sheets.add_argument("--out", type=Path, required=True, help="folder of the sheets, which does not exist yet")
    collect = tasks.add_parser("collect", help="count the raters' answers")
    collect.add_argument("answers", type=commands.input_file, nargs="+", help="a JSON file of each rater")
    collect.add_argument("--out", type=Path, default=Path("runs/results") / out, help="JSON file")
    if key:
        sheets.add_argument("--key", type=Path, required=True, help=f"file for {key}, outside that folder")
        collect.add_argument("--key", type=commands.input_file, required=True, help=key)
    return parser, sheets, collect


def try_places(folder, key=None):
    """Raise, before work begins, ValueError for a key within the folder of the sheets, and OSError where one of them exists."""
    if key and folder.resolve() in key.resolve().parents:
        raise ValueError(f"{key} lies in the folder of the sheets, where raters would see it; choose another place")
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; name a new folder for the sheets")
    for path in filter(None, (folder / "PROTOCOL.md", key)):
        commands.try_output(path)


def sheet(items, columns):
    """Items (caption, PIL images of 64 px side by side), `columns` in a row, four times as large, as one picture."""
    size = TILE * SCALE
    width = len(items[0][1]) * (size + BETWEEN) - BETWEEN
    drawn = Image.new("RGB", (columns * (width + GAP) + GAP, -(-len(items) // columns) * (size + HEAD) + GAP), "white")
    pen = ImageDraw.Draw(drawn)
    for place, (caption, pictures) in enumerate(items):
        x, y = GAP + place % columns * (width + GAP), place // columns * (size + HEAD)
        pen.text((x, y + HEAD / 2), caption, fill="black", font=plots.font(), anchor="lm")
        for i, picture in enumerate(pictures):
            drawn.paste(picture.resize((size, size), Image.LANCZOS), (x + i * (size + BETWEEN), y + HEAD))
    return drawn


def write_sheets(folder, protocol, items, columns, rows):
    """PROTOCOL.md, and sheet-01.png and so on with `columns` × `rows` items each (`sheet`)."""
    commands.write_text(folder / "PROTOCOL.md", protocol)
    each = columns * rows
    for start in range(0, len(items), each):
        commands.write_image(folder / f"sheet-{start // each + 1:02d}.png", sheet(items[start:start + each], columns))


def read(path):
    """What a JSON file holds. Raises ValueError, with its name, for one that holds none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error})") from None


def check(answers, count, questions=None):
    """Raise ValueError unless each rater's answers are {"1": …, "2": …, …}, for all numbers up to `count` and no other.

    An answer is {question: one of its values} of questions {question: values}; without questions it is true or false.
    """
    numbers = [str(number) for number in range(1, count + 1)]
    one_of = lambda answer, values: repr(answer) in map(repr, values)       # 1 is not true

    def valid(answer):
        if questions is None:
            return one_of(answer, (True, False))
        return isinstance(answer, dict) and answer.keys() == questions.keys() and all(
            one_of(answer[name], values) for name, values in questions.items())

    for rater, given in enumerate(answers, 1):
        if not isinstance(given, dict):
            raise ValueError(f'rater {rater} gives no object {{"1": …, "2": …}} of answers')
        wrong = [number for number in numbers if not valid(given.get(number))]
        if wrong:
            kind = "true or false" if questions is None else f"valid answer ({', '.join(questions)})"
            raise ValueError(f"rater {rater} gives no {kind} for {_listed(wrong)}")
        if len(given) > count:
            unknown = [number for number in given if number not in numbers]
            raise ValueError(f"rater {rater} answers for {_listed(unknown)}, but the numbers go from 1 to {count}")


def _listed(numbers):
    return ", ".join(numbers[:LISTED]) + f" and {len(numbers) - LISTED} more" * (len(numbers) > LISTED)


def majority(rows):
    """The vote of an odd number of raters, whose answers rows [raters][N] are booleans. → [N]. ValueError for an even number."""
    if len(rows) % 2 == 0:
        raise ValueError(f"{len(rows)} raters can be of two minds; ask an odd number")
    return [sum(one) * 2 > len(rows) for one in zip(*rows)]


def agreement(rows):
    """For each rater the share of N answers in which another says the same, as the mean over the others; 1 of a single rater."""
    if len(rows) == 1:
        return [1.0]
    return [round(mean(mean(map(eq, mine, other)) for j, other in enumerate(rows) if j != i), 4) for i, mine in enumerate(rows)]


def kappa(mine, other):
    """Cohen's kappa of two lists of answers: agreement beyond that of chance; None where both say one and the same of all."""
    return round(float(cohen_kappa_score(mine, other)), 4) if len({*mine, *other}) > 1 else None
