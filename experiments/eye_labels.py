"""What is seen by eye in the stored edits of the scoreboard: blind rating sheets, and the vote of the raters.

    python experiments/eye_labels.py sheets --out sheets
    python experiments/eye_labels.py collect rater1.json rater2.json rater3.json

`sheets` cuts the pairs before | after out of data/results/scoreboard-METHOD.webp, adds one unedited portrait for each sentence as a
control (after is before), shuffles all, and writes pictures of eight numbered pairs with their sentences, and PROTOCOL.md. They do
not say which method made a pair. A rater answers with a JSON file, {"1": {"shows": true, "clean": false, "same": true}, ...}.
`collect` writes runs/results/eye-labels.json, or --out: the vote of the majority, and how often each rater agrees with the others.
"""
import itertools
import json
import random
import shlex
from pathlib import Path
from statistics import mean

from PIL import Image, ImageDraw

from course_lib import commands, plots, results, zoo
from course_lib.perception.edit_targets import EDIT_TARGETS

METHODS, PROMPTS, PORTRAITS = ("optimization", "mapper", "global direction"), tuple(EDIT_TARGETS), 3
MAKER, SEED, PAIRS_A_SHEET = "python experiments/eye_labels.py", 11, 8
TILE, SCALE = 64, 4
QUESTIONS = {
    "shows": "Does the right picture show what the sentence says? A trace does not count: a person must be able to name it without "
             "the sentence.",
    "clean": "Is the right picture clean: a portrait of this style that nobody would call broken? Smears, holes, patches of colour "
             "that belong to nothing, half-drawn or doubled parts, and torn edges make it unclean. Being plain, odd-looking or "
             "bald does not.",
    "same": "Is the right picture the same person as the left one? Leave out what the sentence asks for, pose, expression, light, "
            "clothes, background and accessories; look at the face, skin, and hair (unless the sentence is about hair).",
}
SCORES = {"shows": "success", "clean": "clean", "same": "identity_preserved"}           # the questions' names in the result
PROTOCOL = """Each numbered pair shows a portrait on the left, the same portrait after an edit on the right, and above them the \
sentence that the edit should make true. The pictures are 64 pixels wide, enlarged four times, so coarse pixels and a slight blur \
are no fault. Several pairs begin with the same portrait. Look at every pair by itself, decide quickly, and answer three questions \
with true or false:

{questions}

Write one JSON file with an entry for every number: {{"1": {{"shows": true, "clean": false, "same": true}}, ...}}. Do not look at \
other files, and do not talk to other raters.
""".format(questions="\n".join(f"- **{name}**: {text}" for name, text in QUESTIONS.items()))


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    sheets = tasks.add_parser("sheets", help="draw the sheets for the raters")
    sheets.add_argument("--out", type=Path, required=True, help="folder of the sheets, which does not exist yet")
    collect = tasks.add_parser("collect", help="count the raters' answers")
    collect.add_argument("answers", type=commands.input_file, nargs="+", help="a JSON file of each rater")
    collect.add_argument("--out", type=Path, default=Path("runs/results/eye-labels.json"), help="JSON file")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        if args.task == "sheets":
            draw(args.out)
        else:
            commands.own_json(args.out, MAKER)
            result = count([json.loads(path.read_text()) for path in args.answers])
            words = f"{MAKER} collect {shlex.join(path.name for path in args.answers)}"
            result |= results.header(words, [SEED])
            commands.write_json(args.out, result, replace=True)


def order():
    """The pairs as raters see them, from number 1 on: (method or "unedited", prompt, which of its portraits)."""
    pairs = list(itertools.product(METHODS, PROMPTS, range(PORTRAITS)))
    pairs += [("unedited", prompt, i % PORTRAITS) for i, prompt in enumerate(PROMPTS)]
    random.Random(SEED).shuffle(pairs)
    return pairs


def pictures(method, prompt, portrait):
    """Before and after, cut out of the scoreboard's picture of the method: a row for each prompt, three before and three after."""
    name = "mapper" if method == "unedited" else method.replace(" ", "-")
    sheet = Image.open(zoo.DATA / "results" / f"scoreboard-{name}.webp").convert("RGB")
    row = PROMPTS.index(prompt) * TILE
    cut = lambda column: sheet.crop((column * TILE, row, column * TILE + TILE, row + TILE))
    return cut(portrait), cut(portrait + (0 if method == "unedited" else PORTRAITS))


def draw(folder):
    """PROTOCOL.md, and sheet-01.png and so on with eight pairs each, four times as large."""
    commands.write_text(folder / "PROTOCOL.md", PROTOCOL)
    size, head, gap = TILE * SCALE, 40, 24
    pairs = list(enumerate(order(), 1))
    for start in range(0, len(pairs), PAIRS_A_SHEET):
        sheet = Image.new("RGB", (2 * (2 * size + gap) + gap, PAIRS_A_SHEET // 2 * (size + head) + gap), "white")
        pen = ImageDraw.Draw(sheet)
        for place, (number, pair) in enumerate(pairs[start:start + PAIRS_A_SHEET]):
            x, y = gap + place % 2 * (2 * size + gap), gap // 2 + place // 2 * (size + head)
            pen.text((x, y + head / 2), f"{number}   {pair[1]}", fill="black", font=plots.font(), anchor="lm")
            for i, picture in enumerate(pictures(*pair)):
                sheet.paste(picture.resize((size, size), Image.LANCZOS), (x + i * (size + 4), y + head))
        commands.write_image(folder / f"sheet-{start // PAIRS_A_SHEET + 1:02d}.png", sheet)


def count(answers):
    """The result of the raters' answers, {"1": {"shows": ..., "clean": ..., "same": ...}, ...} of each.

    For every method and prompt the votes on its portraits, for every method the shares; for every question the share of pairs in
    which a rater agrees with each of the others. Raises ValueError for missing answers and for an even number of raters.
    """
    if len(answers) % 2 == 0:
        raise ValueError(f"{len(answers)} raters can be of two minds; ask an odd number")
    pairs = order()
    for rater, given in enumerate(answers, 1):
        wrong = [number for number in range(1, len(pairs) + 1)
                 if any(type(given.get(str(number), {}).get(question)) is not bool for question in QUESTIONS)]
        if wrong:
            raise ValueError(f"rater {rater} has no true or false to every question for the pairs {wrong}")
    numbers = [str(number) for number in range(1, len(pairs) + 1)]
    given = {score: [[rater[number][question] for number in numbers] for rater in answers] for question, score in SCORES.items()}
    votes = {score: [sum(one) * 2 > len(answers) for one in zip(*rows)] for score, rows in given.items()}
    methods = {method: {"prompts": {}} for method in (*METHODS, "unedited")}
    for number, (method, prompt, _) in sorted(enumerate(pairs), key=lambda item: item[1][2]):
        row = methods[method]["prompts"].setdefault(prompt, {score: [] for score in votes})
        for score in votes:
            row[score].append(votes[score][number])
    for found in methods.values():
        rows = found["prompts"].values()
        found |= {score: round(mean(vote for row in rows for vote in row[score]), 4) for score in votes}
        found["all three"] = round(mean(all(three) for row in rows for three in zip(*row.values())), 4)
    same = lambda a, b: mean(x == y for x, y in zip(a, b))
    agreement = {score: [round(mean(same(mine, other) for j, other in enumerate(rows) if j != i), 4) if len(rows) > 1 else 1.0
                         for i, mine in enumerate(rows)] for score, rows in given.items()}
    return {"protocol": PROTOCOL, "raters": len(answers), "methods": methods, "agreement": agreement,
            "answers": {score: ["".join("01"[one] for one in row) for row in rows] for score, rows in given.items()}}


if __name__ == "__main__":
    main()
