"""Whether a person tells a smile, a frown and an open mouth at 64 px: blind rating sheets, and how often raters are right.

    python experiments/mouth_labels.py sheets --out sheets --key key.json
    python experiments/mouth_labels.py collect --key key.json rater1.json rater2.json rater3.json

`sheets` draws portraits that a caption would call smiling, frowning or neither, with an open or a closed mouth, as many of each,
and writes numbered pictures without a word on them, PROTOCOL.md, and, at another place, the truth. A rater answers with a JSON
file, {"1": {"mouth": "smile", "open": false}, ...}. `collect` writes runs/results/mouth-labels.json, or --out: how often each rater
is right.
"""
import json
import random
import shlex
from itertools import cycle, product
from pathlib import Path
from statistics import mean

from PIL import Image, ImageDraw

from course_lib import commands, plots, portraits, results
from course_lib.images import to_pil
from course_lib.portraits.schema import TABLES

MAKER = "python experiments/mouth_labels.py"
MOUTHS = {"smile": lambda smile: smile > 0.45, "frown": lambda smile: smile < -0.45, "neither": lambda smile: abs(smile) < 0.12}
OPEN = {True: lambda opened: opened > 0.5, False: lambda opened: opened < 0.15}
TILE, SCALE, COLUMNS, ROWS = 64, 4, 5, 2
PROTOCOL = """Each numbered picture is a portrait of 64 pixels, enlarged four times, so coarse pixels and a slight blur are no \
fault. Look at each for a second, and answer two questions:

- **mouth**: "smile", "frown" or "neither"?
- **open**: true or false: is the mouth open?

Write one JSON file with an entry for every number: {"1": {"mouth": "smile", "open": false}, ...}. Do not look at other files, and \
do not talk to other raters.
"""


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    sheets = tasks.add_parser("sheets", help="draw the sheets for the raters")
    sheets.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    sheets.add_argument("--key", type=Path, required=True, help="JSON file for the truth, outside that folder")
    sheets.add_argument("--count", type=commands.whole(6, 600), default=50, help="portraits")
    sheets.add_argument("--seed", type=commands.seed, default=22, help="of the portraits and their order")
    sheets.add_argument("--version", choices=TABLES, default="2", help="of the data set")
    collect = tasks.add_parser("collect", help="count the raters' answers")
    collect.add_argument("answers", type=commands.input_file, nargs="+", help="a JSON file of each rater")
    collect.add_argument("--key", type=commands.input_file, required=True, help="the truth")
    collect.add_argument("--out", type=Path, default=Path("runs/results/mouth-labels.json"), help="JSON file")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        if args.task == "sheets":
            draw(args)
            return
        commands.own_json(args.out, MAKER)
        key = json.loads(args.key.read_text())
        result = count(key["truth"], [json.loads(path.read_text()) for path in args.answers])
        words = f"{MAKER} collect --key {shlex.quote(args.key.name)} {shlex.join(path.name for path in args.answers)}"
        result = results.header(words, [key["seed"]]) | {"world": key["version"], "protocol": PROTOCOL} | result
        commands.write_json(args.out, result, replace=True)
        commands.show_json({name: result[name] for name in ("right", "wrong")})


def chosen(count, seed, version):
    """Portraits of the data set in the raters' order, and their truth: as many of each mouth, open and closed, as can be."""
    attributes = portraits.sample_attributes(max(2000, 40 * count), seed, version=version)
    smiles, opened = attributes["smile"].tolist(), attributes["mouth_open"].tolist()
    kinds = [(mouth, is_open) for mouth, is_open in product(MOUTHS, OPEN)]
    fitting = {(mouth, is_open): [i for i, one in enumerate(smiles) if MOUTHS[mouth](one) and OPEN[is_open](opened[i])]
               for mouth, is_open in kinds}
    rows = [(fitting[kind][i // len(kinds)], kind) for i, kind in zip(range(count), cycle(kinds))]
    random.Random(seed).shuffle(rows)
    return {name: value[[row for row, _ in rows]] for name, value in attributes.items()}, [kind for _, kind in rows]


def draw(args):
    """PROTOCOL.md, sheet-01.png and so on with ten portraits each, and the key."""
    if args.out.resolve() in args.key.resolve().parents:
        raise ValueError(f"{args.key} lies in the folder of the sheets, where raters would see it; choose another place")
    attributes, truth = chosen(args.count, args.seed, args.version)
    images = portraits.render(attributes, TILE, portraits.sample_noise(args.count, args.seed), version=args.version)
    commands.write_json(args.key, {"command": MAKER, "seed": args.seed, "version": args.version, "truth": {
        str(i): {"mouth": mouth, "open": is_open} for i, (mouth, is_open) in enumerate(truth, 1)}})
    commands.write_text(args.out / "PROTOCOL.md", PROTOCOL)
    size, head, gap = TILE * SCALE, 28, 12
    for start in range(0, args.count, COLUMNS * ROWS):
        sheet = Image.new("RGB", (COLUMNS * (size + gap) + gap, ROWS * (size + head)), "white")
        pen = ImageDraw.Draw(sheet)
        for place, image in enumerate(images[start:start + COLUMNS * ROWS]):
            x, y = gap + place % COLUMNS * (size + gap), place // COLUMNS * (size + head)
            pen.text((x, y + head / 2), str(start + place + 1), fill="black", font=plots.font(), anchor="lm")
            sheet.paste(to_pil(image).resize((size, size), Image.LANCZOS), (x, y + head))
        commands.write_image(args.out / f"sheet-{start // (COLUMNS * ROWS) + 1:02d}.png", sheet)


def count(truth, answers):
    """How often each rater is right about both questions of a portrait, and the numbers of those that each got wrong.

    Raises ValueError for missing answers.
    """
    for rater, given in enumerate(answers, 1):
        missing = [number for number in truth if given.get(number, {}).keys() != {"mouth", "open"}]
        if missing:
            raise ValueError(f"rater {rater} has no answer to both questions for the portraits {', '.join(missing)}")
    wrong = [[number for number in truth if given[number] != truth[number]] for given in answers]
    right = {question: [round(mean(given[number][question] == truth[number][question] for number in truth), 4) for given in answers]
             for question in ("mouth", "open")}
    right["both"] = [round(1 - len(one) / len(truth), 4) for one in wrong]
    return {"portraits": len(truth), "right": right, "wrong": wrong, "truth": truth, "answers": answers}


if __name__ == "__main__":
    main()
