"""Whether a person tells a smile, a frown and an open mouth at 64 px: blind rating sheets, and how often raters are right.

    python experiments/mouth_labels.py sheets --out sheets --key key.json
    python experiments/mouth_labels.py collect --key key.json rater1.json rater2.json rater3.json

`sheets` draws portraits that a caption would call smiling, frowning or neither, with an open or a closed mouth, as many of each,
and writes numbered pictures without a word on them, PROTOCOL.md, and, at another place, the truth. A rater answers with a JSON
file, {"1": {"mouth": "smile", "open": false}, ...}. `collect` writes runs/results/mouth-labels.json, or --out: how often each rater
is right.
"""
import random
import shlex
from itertools import cycle, product
from statistics import mean

import rating
from course_lib import commands, portraits, results
from course_lib.images import to_pil
from course_lib.portraits.schema import TABLES

MAKER = "python experiments/mouth_labels.py"
MOUTHS = {"smile": lambda smile: smile > 0.45, "frown": lambda smile: smile < -0.45, "neither": lambda smile: abs(smile) < 0.12}
OPEN = {True: lambda opened: opened > 0.5, False: lambda opened: opened < 0.15}
PROTOCOL = """Each numbered picture is a portrait of 64 pixels, enlarged four times, so coarse pixels and a slight blur are no \
fault. Look at each for a second, and answer two questions:

- **mouth**: "smile", "frown" or "neither"?
- **open**: true or false: is the mouth open?

Write one JSON file with an entry for every number: {"1": {"mouth": "smile", "open": false}, ...}. Do not look at other files, and \
do not talk to other raters.
"""


def main(arguments=None):
    parser, sheets, _ = rating.parsers(__doc__, "mouth-labels.json", key="the truth")
    sheets.add_argument("--count", type=commands.whole(6, 600), default=50, help="portraits")
    sheets.add_argument("--seed", type=commands.seed, default=22, help="of the portraits and their order")
    sheets.add_argument("--version", choices=TABLES, default="2", help="of the data set")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        if args.task == "sheets":
            draw(args)
            return
        commands.own_json(args.out, MAKER)
        key = rating.read(args.key)
        result = count(key["truth"], [*map(rating.read, args.answers)])
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
    rating.try_places(args.out, args.key)
    attributes, truth = chosen(args.count, args.seed, args.version)
    images = portraits.render(attributes, rating.TILE, portraits.sample_noise(args.count, args.seed), version=args.version)
    commands.write_json(args.key, {"command": MAKER, "seed": args.seed, "version": args.version, "truth": {
        str(i): {"mouth": mouth, "open": is_open} for i, (mouth, is_open) in enumerate(truth, 1)}})
    rating.write_sheets(args.out, PROTOCOL, [(str(i), [to_pil(image)]) for i, image in enumerate(images, 1)], columns=5, rows=2)


def count(truth, answers):
    """How often each rater is right about both questions of a portrait, and the numbers of those that each got wrong.

    Raises ValueError for wrong answers.
    """
    rating.check(answers, len(truth), {"mouth": tuple(MOUTHS), "open": tuple(OPEN)})
    wrong = [[number for number in truth if given[number] != truth[number]] for given in answers]
    right = {question: [round(mean(given[number][question] == truth[number][question] for number in truth), 4) for given in answers]
             for question in ("mouth", "open")}
    right["both"] = [round(1 - len(one) / len(truth), 4) for one in wrong]
    return {"portraits": len(truth), "right": right, "wrong": wrong, "truth": truth, "answers": answers}


if __name__ == "__main__":
    main()
