"""The three methods of StyleCLIP on the same portraits and prompts, read by the judge: the tables of lessons 08 to 10.

    python experiments/scoreboard.py --portraits 64

A prompt edits the first portraits of the seed that lack what it asks for. Writes data/results/scoreboard.json a method and a prompt at
a time (what is not measured anew stays), and scoreboard-METHOD.png: for each prompt three portraits, and their edits beside them. The
statistics must lie in data/; mappers are measured for the prompts that have one there. Most of the time is optimization's.
"""
import argparse
import itertools
import json
import shlex
import time
from functools import partial
from pathlib import Path

import torch

from course_lib import clip, judges, ops, styleclip, zoo
from course_lib import portraits as world
from course_lib.metrics import __main__ as command, edits, generators, kernel_distance
from course_lib.train import machine
from course_lib.training import readers

GENERATOR, NEUTRAL, PSI = "stylegan2-portraits-64", "a person", 0.7

# Chosen on portraits of another seed, and the values of the curves, around them.
# share: of the generator's portraits, whose similarity is the goal (None: ever more). A strength or α of "least" is for each portrait
# the first of STRENGTHS or ALPHAS at which it is reached.
SETTINGS = {"optimization": dict(space="s", steps=100, lr=0.2, l2=5e-5, id_weight=0.05, views=4, share=0.025, rest_weight=0.15),
            "mapper": dict(strength="least", share=0.05),
            "global direction": dict(alpha="least", beta=0.2, share=0.1)}
CURVES = {"optimization": dict(lr=(0.2 / 3, 0.2, 0.6), l2=(0.0, 5e-5, 2e-4, 8e-4), id_weight=(0.0, 0.05, 1.0),
                               share=(0.2, 0.1, 0.05, 0.02, None), rest_weight=(0.0, 0.15, 0.6)),
          "mapper": dict(share=(0.2, 0.1, 0.05, 0.02), strength=(0.0, 0.5, 1.0, 1.5, 2.0)),
          "global direction": dict(share=(0.2, 0.1, 0.05, 0.02), alpha=(0.0, 0.5, 1.0, 2.0, 4.0), beta=(0.1, 0.2, 0.3, 0.4, 0.5))}
STRENGTHS = 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0
ALPHAS = 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    add("--prompts", nargs="+", choices=edits.WISHES, default=list(edits.WISHES))
    add("--portraits", type=int, default=64, help="portraits for each prompt")
    add("--curves", nargs="*", choices=edits.WISHES, default=["a smiling person", "a person with long hair", "a person with red hair"],
        help="prompts for which the settings are varied, on a quarter of the portraits")
    add("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="settings other than the chosen ones, such as space=w+")
    add("--seed", type=int, default=1, help="seed of the portraits")
    add("--out", type=Path, default=zoo.DATA / "results" / "scoreboard.json", help="JSON file")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    for method, (name, _) in itertools.product(args.methods, args.set):
        if name not in SETTINGS[method]:
            parser.error(f'{method} has no setting "{name}"; it has {", ".join(SETTINGS[method])}')
    tools = Tools(args.device)
    for method in args.methods:
        settings = SETTINGS[method] | dict(args.set)
        known = lambda prompt: method != "mapper" or styleclip.mapper.file_name(prompt) in zoo.names()
        rows, pictures = {}, []
        for prompt in filter(known, args.prompts):
            rows[prompt], before, after = tools.scored(method, prompt, args.portraits, args.seed, **settings)
            pictures.append((before, after))
            _keep(args, method, {"settings": settings}, prompts={prompt: rows[prompt]})
            print(f"{method}, {prompt}: " + ", ".join(f"{name} {value:.2f}" for name, value in rows[prompt].items()), flush=True)
        before, after = (torch.cat(images) for images in zip(*pictures))
        _keep(args, method, {"realism": tools.realism(before, after)}, seconds=tools.seconds(method, settings))
        for prompt in filter(known, args.curves):
            curves = {name: [{name: value} | tools.scored(method, prompt, max(args.portraits // 4, 4), args.seed, **settings | {name: value})[0]
                             for value in values] for name, values in CURVES[method].items()}
            _keep(args, method, {}, curves={prompt: curves})
        rows = [torch.cat([b[:3], a[:3]]) for b, a in pictures]
        command.save_grid(args.out.with_name(f"scoreboard-{method.replace(' ', '-')}.png"), torch.cat(rows), 6)


class Tools:
    """The networks, and the methods as functions of (prompt, ws, settings) → images."""

    def __init__(self, device):
        load = lambda name: zoo.load(name, device=device)
        self.device, self.G, self.clip = device, load(GENERATOR), clip.load(device=device)
        self.identity, self.judge, self.oracle = map(load, ("identity-portraits-64", "judge-portraits-64", "oracle-portraits-64"))
        self.statistics = styleclip.load_statistics(zoo.file("statistics-portraits-64"), self.G, self.clip)
        self.seen, self.sigma = styleclip.seen(self.G, self.clip), edits.deviations()
        self.typical, self.reals = self._typical(), None

    def edited(self, method, prompt, ws, share=None, **settings):
        goal = styleclip.enough(self.clip, self.seen, prompt, share) if share is not None else None
        if method == "optimization":
            return styleclip.optimize(self.G, self.clip, prompt, ws, identity=self.identity, goal=goal, **settings).images
        if method == "mapper":
            mapper = zoo.load(styleclip.mapper.file_name(prompt), device=self.device)
            moved, strength, choice = partial(styleclip.map_latents, self.G, mapper, ws), settings["strength"], STRENGTHS
        else:
            moved, strength, choice = self._along(prompt, ws, settings["beta"]), settings["alpha"], ALPHAS
        if strength == "least":
            strength = styleclip.least_strength(self.clip, prompt, moved, choice, goal)
        return moved(strength).images

    def _along(self, prompt, ws, beta):
        """The global direction as a function of α."""
        styles = self.G.styles(ws)
        try:
            direction = styleclip.global_direction(self.statistics, self.clip, NEUTRAL, prompt, beta)
        except ValueError:                              # no channel reaches β: nothing moves
            direction = [torch.zeros_like(style[0]) for style in styles]
        return partial(styleclip.edit, self.G, styles, direction)

    @torch.no_grad()
    def portraits(self, prompt, count, seed):
        """The first `count` latents of the seed whose portraits lack what the prompt asks for, and these portraits."""
        found, rng = [], torch.Generator().manual_seed(seed)
        while sum(map(len, found)) < count:
            z = torch.randn(2 * count, self.G.z_dim, generator=rng).to(self.device)
            ws = ops.truncate(self.G.mapping(z)[:, None].expand(-1, self.G.num_ws, -1), self.G.w_avg, PSI)
            reading = judges.read(self.judge, self.G.synthesis(ws, noise="const"))
            found.append(ws[~edits.WISHES[prompt].shows(reading)])
        ws = torch.cat(found)[:count]
        return ws, self.G.synthesis(ws, noise="const").cpu()

    def scored(self, method, prompt, count, seed, **settings):
        """The figures of a method, a prompt and settings; and the portraits before and after."""
        ws, before = self.portraits(prompt, count, seed)
        after = self.edited(method, prompt, ws, **settings)
        found = edits.edit_scores(prompt, before, after, self.judge, self.identity, self.sigma)
        similarity = self._similarity(after, prompt)
        reached = similarity >= self.typical[prompt]
        row = {"shows": found["shows"], "others": found["others"], "same": found["same"], "reached": reached}
        row = {name: value.double().mean().item() for name, value in row.items()}
        if reached.any():
            row["shows_where_reached"] = found["shows"][reached].double().mean().item()
        return row, before, after

    def seconds(self, method, settings):
        """Of one edit alone, the second time."""
        prompt = next(iter(edits.WISHES))                # one that has a mapper
        ws, _ = self.portraits(prompt, 1, 0)
        for _ in range(2):
            began = time.perf_counter()
            self.edited(method, prompt, ws, **settings)
            taken = time.perf_counter() - began
        return {machine(self.device): taken}

    def realism(self, before, after):
        """Distances to the world, of the portraits before and after their edits."""
        if self.reals is None:
            self.reals = generators.features(self.oracle, generators.rendered(4000, generators.REFERENCE_SEED, device=self.device))
        result = {}
        for name, images in (("before", before), ("after", after)):
            seen = generators.features(self.oracle, images.split(256))
            result[name] = {"images": len(seen), "kid": kernel_distance(self.reals, seen)}
            if len(seen) > self.reals.shape[1]:
                result[name] |= generators.compare(self.reals, seen, ("frechet",))
        return result

    def _typical(self):
        """For each prompt the median similarity of portraits of the world that have what it asks for."""
        images, truth = readers.draw(2000, generators.CONTROL_SEED, self.device)
        images, truth = images.float() / 127.5 - 1, {name: value.cpu() for name, value in truth.items()}
        return {prompt: self._similarity(images[wish.shows(truth).to(images.device)], prompt).median()
                for prompt, wish in edits.WISHES.items()}

    @torch.no_grad()
    def _similarity(self, images, prompt):
        seen = torch.cat([self.clip.encode_images(part.to(self.device)) for part in images.split(256)])
        return (seen @ self.clip.encode_texts([prompt]).T)[:, 0].cpu()


def setting(text):
    """"lr=0.1" → ("lr", 0.1)"""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _keep(args, method, figures, **nested):
    """Add figures of a method to the file; what stands there already stays."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result = json.loads(args.out.read_text()) if args.out.exists() else {"methods": {}}
    mine = result["methods"].setdefault(method, {})
    mine.update(figures)
    for key, value in nested.items():
        mine.setdefault(key, {}).update(value)
    options = ["--portraits", str(args.portraits), "--curves", *args.curves]
    options += ["--methods", method, "--set", *(f"{name}={value}" for name, value in args.set)] if args.set else []
    result |= {"command": shlex.join(["python", "experiments/scoreboard.py", *options]), "world": world.VERSION,
               "seeds": [args.seed], "portraits": args.portraits, "psi": PSI}
    args.out.write_text(json.dumps(command.rounded(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
