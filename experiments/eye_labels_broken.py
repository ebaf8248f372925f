"""How many portraits look broken: blind sheets of generated, edited and real portraits, the raters' vote, and what a judge says.

    python experiments/eye_labels_broken.py sheets stylegan2-portraits-64 portraits --out sheets --key key.safetensors
    python experiments/eye_labels_broken.py collect rater1.json rater2.json rater3.json --key key.safetensors

`sheets` takes 100 portraits of each source: of a generator the first of a seed at ψ = 1, of the data set ("portraits") those of a
seed, pictures of a folder, and with --edits stored edits. It shuffles all, and writes pictures of twenty numbered portraits,
PROTOCOL.md with three real portraits as examples, and, at another place, the key: the portraits, and the source of each. A rater
answers with a JSON file, {"1": false, "2": true, ...}. `collect` adds to runs/results/eye-labels.json, or --out, as "broken": how
many portraits of each source most raters call broken, with a 95 % interval, and, of generated and edited portraits, how often each
rater agrees with the others; with --judge also how often a judge that calls portraits unreadable agrees with most raters.
"""
import itertools
import json
import random
import shlex
from collections import Counter
from statistics import mean

import torch
from scipy.stats import binomtest

import rating
from course_lib import commands, images, plots, portraits, results, zoo
from course_lib.metrics import sets
from course_lib.networks import classifiers
from course_lib.portraits.schema import TABLES

MAKER, KIND, REALS = "python experiments/eye_labels_broken.py", "rated-portraits", "portraits"
REAL, EXAMPLES = 930_000, 940_000       # added to --seed for real portraits; the examples' seed. No network saw these portraits.
UNREADABLE = 0.5                        # the probability from which on the judge refuses a portrait
PROTOCOL = """The picture examples.png shows three portraits as a program draws them: they are whole. Each numbered picture of the \
sheets is a portrait in this style of 64 pixels, enlarged four times. Some were drawn by the program, some were made otherwise. \
Look at each by itself for a second or two, and answer: **is it broken?**

**true**: a person would say that the drawing failed. One such fault anywhere is enough, in the face, hair, hat, glasses, ear \
rings, clothes or background, if you see it without searching:

- smears, and holes in what should be closed,
- parts that are doubled, half-drawn, or melted into each other: half a pair of glasses, half an ear ring, a bun of which only a
  trace is left, a hat that dissolves into hair,
- torn edges, where an outline breaks off or frays into the background,
- patches of a colour that belongs to nothing: hair, clothes or a background that change their colour without a pattern,
- parts of the face that are missing, misplaced, or of shapes so unlike each other that no turn of the head explains it.

**false**: everything else, even if it is ugly. These are no faults:

- coarse pixels, stairs along edges, and a slight blur,
- a plain or odd look: a bald head, large eyes, a squint, eyes of two colours, a crooked mouth, strong or weak contrast,
- what people seldom wear but could: one ear ring, or a bun and a ponytail,
- grain and flecks that are part of the drawing: freckles, stubble, curls with a ragged outline, patterned cloth and backgrounds,
- hair, hats, glasses and ear rings that cover something, and an eye or ear that is hidden because the head is turned.

Where you hesitate, ask whether you would send this portrait back to the person who drew it; if you still hesitate, answer false.

Write one JSON file with an entry for every number: {"1": false, "2": true, ...}. Do not look at other files, and \
do not talk to other raters.
"""


def main(arguments=None):
    parser, sheets, collect = rating.parsers(__doc__, "eye-labels.json", key="the portraits and their sources, a .safetensors")
    sheets.add_argument("sources", nargs="+", metavar="SOURCE", help='names of the zoo or files of generators, folders of '
                        'pictures, or "portraits"')
    sheets.add_argument("--edits", type=commands.input_file, nargs="+", help="edited portraits: a .safetensors with "
                        '"images" [N, 3, 64, 64], uint8 or in [-1, 1], or a picture as scoreboard.py draws it')
    sheets.add_argument("--count", type=commands.whole(1, 1000), default=100, help="portraits of each source, of edits at most")
    sheets.add_argument("--seed", type=commands.seed, default=31, help="of latents, real portraits, choice and order")
    sheets.add_argument("--version", choices=TABLES, default=portraits.VERSION, help="of the data set")
    collect.add_argument("--judge", metavar="NAME", help="a network that tells unreadable portraits: a name of the zoo, or a file")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        if args.task == "sheets":
            draw(args)
        else:
            earlier = commands.own_json(args.out, rating.EYE_LABELS)
            result = collected(args)
            about = {name: result[name] for name in results.header("", [])}
            commands.write_json(args.out, about | earlier | {"broken": result}, replace=True)
            commands.show_json({name: value for name, value in result.items() if name not in ("protocol", "answers")})


def draw(args):
    """PROTOCOL.md, examples.png, sheet-01.png and so on with twenty portraits each, and the key."""
    rating.try_places(args.out, args.key)
    edits = args.edits or []
    names = [*args.sources, *map(str, edits)]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{twice[0]} is named twice; name each source once")
    shown = {name: of_source(name, args.count, args.seed, args.version) for name in args.sources}
    shown |= {str(path): of_edits(path, args.count, args.seed) for path in edits}
    order = [(name, i) for name, found in shown.items() for i in range(len(found))]
    random.Random(args.seed).shuffle(order)
    pixels = torch.stack([shown[name][i] for name, i in order])
    zoo.save(args.key, {"images": pixels}, KIND, dataset_version=args.version, seed=args.seed, order=order)
    items = [(str(number), [images.to_pil(portrait)]) for number, portrait in enumerate(pixels, 1)]
    rating.write_sheets(args.out, PROTOCOL, items, columns=5, rows=4)
    examples = [("example", [images.to_pil(portrait)]) for portrait in of_source(REALS, 3, EXAMPLES - REAL, args.version)]
    commands.write_image(args.out / "examples.png", rating.sheet(examples, columns=3))


def of_source(name, count, seed, version):
    """Portraits of a seed, of the data set or a generator at ψ = 1, or pictures of a folder. → uint8 [count, 3, 64, 64]"""
    if name == REALS:
        drawn = portraits.batches(count, REAL + seed, rating.TILE, version=version)
        return torch.cat([images.to_uint8(batch) for batch, _ in drawn])
    found = torch.cat([*sets.image_set(sets.open_source(name), seed=seed).batches(count, rating.TILE)])
    if found.shape[-1] != rating.TILE:
        raise ValueError(f"{name} makes portraits of {found.shape[-1]} px; the sheets show those of {rating.TILE} px")
    return found


def of_edits(path, count, seed):
    """At most `count` of the edited portraits in a file, drawn by the seed. → uint8 [N, 3, 64, 64]"""
    if path.suffix == ".safetensors":
        found = zoo.read(path)[0].get("images", torch.zeros(0))
        found = found if found.dtype == torch.uint8 else images.to_uint8(images.check(found, name=f"the images of {path}"))
    else:
        picture = images.read(path)
        columns = picture.width // rating.TILE
        fits = columns % 2 == 0 and picture.width % rating.TILE == picture.height % rating.TILE == 0
        tiles = images.to_uint8(plots.tiles(picture, rating.TILE)).unflatten(0, (-1, columns)) if fits else torch.zeros(0, 2)
        found = tiles[:, columns // 2:].flatten(0, 1)
    if not len(found) or found.shape[1:] != (3, rating.TILE, rating.TILE):
        raise ValueError(f'{path} holds no edited portraits: neither "images" [N, 3, 64, 64] nor rows of before and after')
    return found[sorted(random.Random(seed).sample(range(len(found)), min(count, len(found))))]


def collected(args):
    """The result of the raters' files, and of the judge, if there is one, for the portraits of the key."""
    tensors, about = zoo.read(args.key)
    if about.get("kind") != KIND:
        raise ValueError(f"{args.key} is no key; pass the one that {MAKER} sheets has written")
    order, answers = json.loads(about["order"]), [*map(rating.read, args.answers)]
    rating.check(answers, len(order))
    rows = [[given[str(number)] for number in range(1, len(order) + 1)] for given in answers]
    words = [*(path.name for path in args.answers), "--key", args.key.name, *(["--judge", args.judge] if args.judge else [])]
    result = results.header(f"{MAKER} collect {shlex.join(words)}", [json.loads(about["seed"])])
    result |= {zoo.DATASET_VERSION: about[zoo.DATASET_VERSION], "protocol": PROTOCOL} | count(order, rows)
    if args.judge:
        probabilities = classifiers.unreadable(zoo.load(args.judge), images.from_uint8(tensors["images"]))
        refused = [probability >= UNREADABLE for probability in probabilities.tolist()]
        result["judge"] = {"network": args.judge} | compare(order, refused, rating.majority(rows))
    return result


def by_source(order, values):
    """Values [N] of portraits [source, which of it] in the order of the sheets → {source: [values in its own order]}."""
    found = {}
    for (name, _), value in sorted(zip(order, values)):
        found.setdefault(name, []).append(value)
    return found


def made(order, values):
    """Those of values [N] that belong to generated and edited portraits; all, where there are only real ones."""
    return [value for name, found in by_source(order, values).items() if name != REALS for value in found] or values


def count(order, rows):
    """What raters call broken, rows [raters][N] of booleans: for each source how many portraits the majority calls so, and their
    share with Wilson's interval of 95 %; of generated and edited portraits each rater's agreement with the others, and Cohen's
    kappa of each pair; each rater's answers. Raises ValueError for an even number of raters."""
    def share(votes):
        interval = binomtest(sum(votes), len(votes)).proportion_ci(method="wilson")
        return {"portraits": len(votes), "broken": sum(votes), "share": round(mean(votes), 4),
                "interval": [round(float(end), 4) for end in interval]}

    votes, of_made = by_source(order, rating.majority(rows)), [made(order, row) for row in rows]
    return {"raters": len(rows), "sources": {name: share(found) for name, found in votes.items()},
            "agreement": rating.agreement(of_made),
            "kappa": [rating.kappa(*pair) for pair in itertools.combinations(of_made, 2)],
            "answers": [{name: "".join("01"[one] for one in found) for name, found in by_source(order, row).items()}
                        for row in rows]}


def compare(order, refused, broken):
    """What a judge refuses, [N] booleans, beside the raters' vote: of generated and edited portraits the agreement, and the shares
    that it accepts of the broken and refuses of the others (None where there are none); of each source how many it refuses."""
    pairs = [*zip(made(order, refused), made(order, broken))]
    share = lambda refuses, kind: round(mean(one == refuses for one, vote in pairs if vote == kind), 4) \
        if any(vote == kind for _, vote in pairs) else None
    return {"agreement": round(mean(one == vote for one, vote in pairs), 4), "kappa": rating.kappa(*zip(*pairs)),
            "accepted_of_broken": share(False, True), "refused_of_others": share(True, False),
            "refused": {name: sum(found) for name, found in by_source(order, refused).items()}}


if __name__ == "__main__":
    main()
