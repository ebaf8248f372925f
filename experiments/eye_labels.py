"""What is seen by eye in the stored edits of the scoreboard: blind rating sheets, and the vote of the raters.

    python experiments/eye_labels.py sheets --out sheets
    python experiments/eye_labels.py collect rater1.json rater2.json rater3.json

`sheets` cuts the pairs before | after out of data/results/scoreboard-METHOD.webp, adds one unedited portrait for each sentence as a
control (after is before), shuffles all, and writes pictures of eight numbered pairs with their sentences, and PROTOCOL.md. They do
not say which method made a pair. A rater answers with a JSON file, {"1": {"shows": true, "clean": false, "same": true}, ...}.
`collect` writes runs/results/eye-labels.json, or --out: the vote of the majority, and how often each rater agrees with the others.
"""
import itertools
import random
import shlex
from statistics import mean

from PIL import Image

import rating
from course_lib import commands, results, zoo
from course_lib.perception.edit_targets import EDIT_TARGETS

METHODS, PROMPTS, PORTRAITS = ("optimization", "mapper", "global direction"), tuple(EDIT_TARGETS), 3
MAKER, SEED = "python experiments/eye_labels.py", 11
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
    parser, _, _ = rating.parsers(__doc__, "eye-labels.json")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        if args.task == "sheets":
            rating.try_places(args.out)
            items = [(f"{number}   {pair[1]}", pictures(*pair)) for number, pair in enumerate(order(), 1)]
            rating.write_sheets(args.out, PROTOCOL, items, columns=2, rows=4)
        else:
            earlier = commands.own_json(args.out, rating.EYE_LABELS)
            result = count([*map(rating.read, args.answers)])
            words = f"{MAKER} collect {shlex.join(path.name for path in args.answers)}"
            commands.write_json(args.out, earlier | result | results.header(words, [SEED]), replace=True)


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
    row = PROMPTS.index(prompt) * rating.TILE
    cut = lambda column: sheet.crop((column * rating.TILE, row, column * rating.TILE + rating.TILE, row + rating.TILE))
    return cut(portrait), cut(portrait + (0 if method == "unedited" else PORTRAITS))


def count(answers):
    """The result of the raters' answers, {"1": {"shows": ..., "clean": ..., "same": ...}, ...} of each.

    For every method and prompt the votes on its portraits, for every method the shares; for every question the share of pairs in
    which a rater agrees with each of the others. Raises ValueError for wrong answers and for an even number of raters.
    """
    pairs = order()
    rating.check(answers, len(pairs), dict.fromkeys(QUESTIONS, (True, False)))
    numbers = [str(number) for number in range(1, len(pairs) + 1)]
    given = {score: [[rater[number][question] for number in numbers] for rater in answers] for question, score in SCORES.items()}
    votes = {score: rating.majority(rows) for score, rows in given.items()}
    methods = {method: {"prompts": {}} for method in (*METHODS, "unedited")}
    for number, (method, prompt, _) in sorted(enumerate(pairs), key=lambda item: item[1][2]):
        row = methods[method]["prompts"].setdefault(prompt, {score: [] for score in votes})
        for score in votes:
            row[score].append(votes[score][number])
    for found in methods.values():
        rows = found["prompts"].values()
        found |= {score: round(mean(vote for row in rows for vote in row[score]), 4) for score in votes}
        found["all three"] = round(mean(all(three) for row in rows for three in zip(*row.values())), 4)
    return {"protocol": PROTOCOL, "raters": len(answers), "methods": methods,
            "agreement": {score: rating.agreement(rows) for score, rows in given.items()},
            "answers": {score: ["".join("01"[one] for one in row) for row in rows] for score, rows in given.items()}}


if __name__ == "__main__":
    main()
