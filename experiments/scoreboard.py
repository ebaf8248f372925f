"""The three methods of StyleCLIP on the same portraits and prompts, scored by the judge: the tables of lessons 08 to 10.

    python experiments/scoreboard.py --portraits 64

A prompt edits the first portraits of the seed that lack what it asks for and that the judge can read. An edit that the judge cannot
read has failed. Whether it shows the same person, say the identity network, which edits are optimised and chosen by, and the
verifier, which is held out. Writes runs/results/scoreboard.json, or --out, a method
and a prompt at a time (what is not measured anew stays), and scoreboard-METHOD.webp: for each prompt three portraits, and their
edits beside them. The statistics must lie in data/; mappers are measured for the prompts that have one there. Most of the time is
optimization's.

To choose what is to be measured:

    python experiments/scoreboard.py --classifier oracle --seed 2 --portraits 32 --curves --methods mapper --mappers runs/mappers \\
        --out runs/choice.json
"""
import itertools
import json
import shlex
import time
from pathlib import Path

import torch

from course_lib import clip, commands, ops, results, styleclip, zoo
from course_lib.images import from_uint8, save_grid
from course_lib.metrics import edit_scores, generators, kernel_distance
from course_lib.networks import classifiers
from course_lib.perception import common, train_identity
from course_lib.perception.edit_targets import EDIT_TARGETS
from course_lib.results import machine
from course_lib.styleclip.edit_command import ALPHAS, BETAS, STRENGTHS

GENERATOR, NEUTRAL, PSI = "stylegan2-portraits-64", "a person", 0.7
VERIFIER = "verifier-portraits-64"                       # which version 1 of the data set does not have
RESULT, MAKER = Path("runs/results/scoreboard.json"), "python experiments/scoreboard.py"
PEOPLE = 2000                                            # on whom the judge's decision about persons is examined

# Chosen on portraits of another seed, and the values of the curves, around them.
# top_fraction: of `styleclip.similarity_target` (None: no target, ever more). "best": for each portrait one of RATES, STRENGTHS,
# ALPHAS or BETAS, as `styleclip.best_edit` finds it.
SETTINGS = {"optimization": dict(space="s", steps=300, lr="best", l2=1.2e-4, id_weight=0.05, views=4, top_fraction=0.01,
                                preserve_weight=0.15),
            "mapper": dict(strength="best", top_fraction=0.025),
            "global direction": dict(alpha="best", beta="best", top_fraction=0.025)}
CURVES = {"optimization": dict(lr=(0.2, 0.45, 0.9), l2=(0.0, 1.2e-4, 4.8e-4), id_weight=(0.0, 0.05, 1.0),
                               top_fraction=(0.2, 0.05, 0.01, None), preserve_weight=(0.0, 0.15, 0.6)),
          "mapper": dict(top_fraction=(0.2, 0.1, 0.05, 0.025), strength=(0.0, 0.5, 1.0, 1.5, 2.0)),
          "global direction": dict(top_fraction=(0.2, 0.1, 0.05, 0.025), alpha=(0.0, 0.5, 1.0, 2.0, 4.0),
                                   beta=(0.1, 0.2, 0.3, 0.4, 0.5))}
ALPHA_CURVE = dict(beta=0.2)                             # in the curve of α, one β for all
SEARCH_CURVES = dict(lr=0.45)                            # in those of the search, one rate for all
RATES = 0.2, 0.45, 0.9


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="what is measured")
    add("--prompts", nargs="+", choices=EDIT_TARGETS, default=list(EDIT_TARGETS), help="with which edit targets")
    add("--portraits", type=commands.whole(1, 10_000), default=64, help="portraits for each prompt")
    add("--curves", nargs="*", choices=EDIT_TARGETS,
        default=["a smiling person", "a person with long hair", "a person with red hair"],
        help="prompts for which the settings are varied, on a quarter of the portraits")
    add("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE",
        help="settings other than the chosen ones, such as space=w+")
    add("--statistics", type=commands.input_file, help="file of other statistics for the global direction than those in data/")
    add("--mappers", type=commands.input_folder, help="folder of other mappers than those in data/")
    add("--classifier", choices=("judge", "oracle"), default="judge",
        help="the network that predicts attributes. Settings, mappers and "
        "statistics are chosen by what the oracle predicts, with another seed, and then scored by the judge")
    add("--seed", type=commands.seed, default=1, help="seed of the portraits")
    add("--out", type=Path, default=RESULT, help="JSON file; what an earlier call measured and this one does not stays in it")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    args = parser.parse_args(arguments)
    for method, (name, _) in itertools.product(args.methods, args.set):
        if name not in SETTINGS[method]:
            parser.error(f'{method} has no setting "{name}"; it has {", ".join(SETTINGS[method])}')
    if args.out == RESULT and (args.mappers or args.statistics or args.classifier != "judge"):
        parser.error("another classifier, mappers or statistics than the course's; say with --out where the scores belong")
    with commands.sentences(MAKER, "stopped; what was measured is kept"):
        commands.no_mps(args.device, "measurements compute in float64")
        commands.own_json(args.out, MAKER)
        measure(args, parser)


def measure(args, parser):
    """Score each method on each prompt, and draw its curves and its picture."""
    tools = Tools(args.device, args.statistics, args.mappers, args.classifier)
    if "mapper" in args.methods and not any(map(tools.has_mapper, args.prompts)):
        parser.error(f"there is no mapper for any of these prompts in {args.mappers or zoo.DATA}")
    for method in args.methods:
        settings = SETTINGS[method] | dict(args.set)
        if settings.get("beta") == "best" != settings["alpha"]:
            parser.error(f"α is {settings['alpha']} for all portraits, and β is to be chosen for each; set β as well, or neither")
        if settings.get("top_fraction") is None and "best" in settings.values():
            parser.error(f"without a top_fraction {method} has no target by which to choose the best; set what is \"best\", too")
        known = lambda prompt: method != "mapper" or tools.has_mapper(prompt)
        prompts, pictures = [prompt for prompt in args.prompts if known(prompt)], []
        for prompt, row, before, after in tools.scored(method, prompts, args.portraits, args.seed, **settings):
            pictures.append((before, after))
            _store(args, method, {"settings": settings, "judge_verification": tools.judge_verification}, prompts={prompt: row})
            print(f"{method}, {prompt}: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
        before, after = (torch.cat(images) for images in zip(*pictures))
        _store(args, method, {"realism": tools.realism(before, after)}, seconds=tools.seconds(method, prompts[0], settings))
        curves = {prompt: {name: [] for name in CURVES[method]} for prompt in args.curves if known(prompt)}
        for name, value in [(name, value) for name, values in CURVES[method].items() for value in values]:
            one = ALPHA_CURVE if name == "alpha" else SEARCH_CURVES if method == "optimization" else {}
            varied = settings | {key: fixed for key, fixed in one.items() if settings[key] == "best"} | {name: value}
            for prompt, row, *_ in tools.scored(method, list(curves), max(args.portraits // 4, 4), args.seed, **varied):
                curves[prompt][name].append({name: value} | row)
        _store(args, method, {}, curves=curves)
        rows = [torch.cat([b[:3], a[:3]]) for b, a in pictures]
        save_grid(args.out.with_name(f"scoreboard-{method.replace(' ', '-')}.webp"), torch.cat(rows), 6, replace=True)


class Tools:
    """The networks, and the methods as functions of (prompt, ws, settings) → images."""

    def __init__(self, device, statistics=None, mappers=None, classifier="judge"):
        load = lambda name: zoo.load(name, device=device)
        self.device, self.G, self.clip = device, load(GENERATOR), clip.load(device=device)
        self.identity, self.judge, self.oracle = map(load,
                                                     ("identity-portraits-64", f"{classifier}-portraits-64", "oracle-portraits-64"))
        self.verifier = load(VERIFIER) if VERIFIER in zoo.names() else None
        self.mappers = mappers
        self.statistics = styleclip.load_statistics(statistics or zoo.file("statistics-portraits-64"), self.G, self.clip)
        self.samples, self.sigma = styleclip.embed_samples(self.G, self.clip), edit_scores.standard_deviations()
        self.typical, self.reals = self._typical(), None
        identity_of = lambda images: classifiers.identity_vector(classifiers.predict(self.judge, images))
        self.judge_verification = train_identity.identity_scores(identity_of, PEOPLE, device)

    def edited(self, method, prompt, ws, *, top_fraction=None, **settings):
        target = None
        if top_fraction is not None:
            target = styleclip.similarity_target(self.clip, self.samples, prompt, top_fraction=top_fraction)
        if method == "optimization":
            strength, strengths = settings.pop("lr"), RATES
            candidates = self._searched(prompt, ws, target, settings)
        elif method == "mapper":
            candidates, strength, strengths = self._mapped(prompt, ws), settings["strength"], STRENGTHS
        else:
            betas = BETAS if settings["beta"] == "best" else [settings["beta"]]
            candidates, strength, strengths = self._along(prompt, ws, betas), settings["alpha"], ALPHAS
        if strength != "best":
            return candidates[0](torch.arange(len(ws)), strength).images
        before = self.G.synthesis(ws, noise="const")
        return styleclip.best_edit(self.clip, prompt, before, candidates, strengths, target, identity=self.identity)[0]

    def _searched(self, prompt, ws, target, settings):
        """The search as a function of (rows, rate), the only candidate. `best_edit` calls it again, at a higher rate, for rows
        that did not reach their target."""
        prompts = [prompt] * len(ws) if isinstance(prompt, str) else prompt
        targets = lambda rows: None if target is None else target.expand(len(ws))[rows]
        return [lambda rows, rate: styleclip.optimize(self.G, self.clip, [prompts[row] for row in rows], ws[rows], lr=rate,
                                                      identity=self.identity, similarity_target=targets(rows), **settings)]

    def has_mapper(self, prompt):
        file = self._mapper(prompt)
        return file.exists() if self.mappers else file in zoo.names()

    def _mapper(self, prompt):
        """The file of a prompt's mapper, or the name of the course's own."""
        name = styleclip.mapper.file_name(prompt)
        return self.mappers / f"{name}.safetensors" if self.mappers else name

    def _mapped(self, prompt, ws):
        """The mapper as a function of (rows, strength), the only candidate."""
        mapper = zoo.load(self._mapper(prompt), device=self.device)
        return [lambda rows, strength: styleclip.map_latents(self.G, mapper, ws[rows], strength)]

    def _along(self, prompt, ws, betas):
        """The global directions of each β that any channel reaches, as functions of (rows, α); of none, one that moves nothing."""
        styles, directions = self.G.styles(ws), []
        for beta in betas:
            try:
                directions.append(styleclip.global_direction(self.statistics, self.clip, NEUTRAL, prompt, beta=beta))
            except ValueError:
                pass
        along = lambda direction: lambda rows, alpha: styleclip.edit(self.G, [style[rows] for style in styles], direction, alpha)
        return [along(direction) for direction in directions or [[torch.zeros_like(style[0]) for style in styles]]]

    @torch.no_grad()
    def portraits(self, prompt, count, seed):
        """The first `count` latents of the seed whose portraits can be read and lack what the prompt asks for, and these
        portraits."""
        found, rng = [], torch.Generator().manual_seed(seed)
        while sum(map(len, found)) < count:
            z = torch.randn(2 * count, self.G.z_dim, generator=rng).to(self.device)
            ws = ops.truncate(self.G.mapping(z)[:, None].expand(-1, self.G.num_ws, -1), self.G.w_avg, PSI)
            images = self.G.synthesis(ws, noise="const")
            attributes = classifiers.predict(self.judge, images)
            found.append(ws[~EDIT_TARGETS[prompt].success(attributes) & classifiers.readable(self.judge, images)])
        ws = torch.cat(found)[:count]
        return ws, self.G.synthesis(ws, noise="const").cpu()

    def scored(self, method, prompts, count, seed, **settings):
        """Yields every prompt, the scores of a method with settings, and the portraits before and after. Searches, which do not
        influence each other, go on for several prompts at once."""
        at_once = max(1, (64 if self.device == "cpu" else 384) // count) if method == "optimization" else 1
        for group in (prompts[i:i + at_once] for i in range(0, len(prompts), at_once)):
            ws, befores = zip(*(self.portraits(prompt, count, seed) for prompt in group))
            wanted = group[0] if len(group) == 1 else [prompt for prompt in group for _ in range(count)]
            afters = self.edited(method, wanted, torch.cat(ws), **settings).split(count)
            for prompt, before, after in zip(group, befores, afters):
                yield prompt, self._scores(prompt, before, after), before, after

    def _scores(self, prompt, before, after):
        found = edit_scores.edit_scores(prompt, before, after, self.judge, self.identity, self.sigma)
        reached = self._similarity(after, prompt) >= self.typical[prompt]
        row = {name: found[name] for name in ("success", "readable", "leakage", "identity_preserved")}
        if self.verifier:
            row["identity_preserved_verifier"] = self.verifier.same_person(before.to(self.device), after.to(self.device))
        row |= {"identity_preserved_judge": found["identity_similarity"] >= self.judge_verification["threshold"],
                "reached": reached}
        row = {name: value.double().mean().item() for name, value in row.items()}
        if reached.any():
            row["success_where_reached"] = found["success"][reached].double().mean().item()
        return row

    def seconds(self, method, prompt, settings):
        """Of one edit alone, the second time."""
        ws, _ = self.portraits(prompt, 1, 0)
        for _ in range(2):
            began = time.perf_counter()
            self.edited(method, prompt, ws, **settings)
            taken = time.perf_counter() - began
        return {machine(self.device): taken}

    def realism(self, before, after):
        """Distances to Portraits, of the generated portraits before and after their edits."""
        if self.reals is None:
            self.reals = generators.features(self.oracle, generators.rendered(4000, generators.REFERENCE_SEED, device=self.device))
        result = {}
        for name, images in (("before", before), ("after", after)):
            fakes = generators.features(self.oracle, images.split(256))
            result[name] = {"images": len(fakes), "kid": kernel_distance(self.reals, fakes)}
            if len(fakes) > self.reals.shape[1]:
                result[name] |= generators.compare(self.reals, fakes, ("frechet",))
        return result

    def _typical(self):
        """For each prompt the median similarity of rendered portraits that have what it asks for."""
        images, truth = common.draw_portraits(2000, generators.CONTROL_SEED, self.device)
        images, truth = from_uint8(images), {name: value.cpu() for name, value in truth.items()}
        return {prompt: self._similarity(images[target.success(truth).to(images.device)], prompt).median()
                for prompt, target in EDIT_TARGETS.items()}

    @torch.no_grad()
    def _similarity(self, images, prompt):
        features = torch.cat([self.clip.encode_images(part.to(self.device)) for part in images.split(256)])
        return (features @ self.clip.encode_texts([prompt]).T)[:, 0].cpu()


def setting(text):
    """"lr=0.1" → ("lr", 0.1)"""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _store(args, method, scores, **nested):
    """Add scores of a method to the file; what stands there already stays."""
    result = commands.own_json(args.out, MAKER) or {"methods": {}}
    mine = result["methods"].setdefault(method, {})
    mine.update(scores)
    for key, value in nested.items():
        mine.setdefault(key, {}).update(value)
    options = ["--portraits", str(args.portraits), "--curves", *args.curves]
    options += ["--seed", str(args.seed)] if args.seed != 1 else []
    options += ["--classifier", args.classifier] if args.classifier != "judge" else []
    options += ["--statistics", str(args.statistics)] if args.statistics else []
    options += ["--mappers", str(args.mappers)] if args.mappers else []
    options += ["--methods", method] if args.set or args.mappers else []
    options += ["--set", *(f"{name}={value}" for name, value in args.set)] if args.set else []
    command = shlex.join(["python", "experiments/scoreboard.py", *options])
    result |= {**results.header(command, [args.seed]), "portraits": args.portraits, "psi": PSI}
    commands.write_json(args.out, results.rounded(result), replace=True)


if __name__ == "__main__":
    main()
