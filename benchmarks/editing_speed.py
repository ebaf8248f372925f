"""Latent optimization with restarts: `styleclip.search` beside the searches of lesson 08, by time and by what the judge sees.

    python benchmarks/editing_speed.py --out runs/editing_speed.json

Lesson 08: up to three searches of 300 steps, one after the other, until one reaches its target with the same person. `search`:
three in one batch, of fewer steps at higher rates. Both edit the same portraits, those of the scoreboard, with the same weights.
Seconds are of one edit of one portrait; those of the CPU are added up over its threads and, unlike the others, depend little on
what else the machine does. Milliseconds are of one more step of one image: of a search, a projection, and the training of a
mapper. A sheet of the first portrait of each prompt, before | lesson 08 | search, lies beside the result.
"""
import shlex
import sys
import time
from pathlib import Path

import torch

from course_lib import clip, commands, images, inversion, ops, results, styleclip, zoo
from course_lib.metrics import edit_scores, oracle_distance
from course_lib.networks import classifiers
from course_lib.perception.edit_targets import EDIT_TARGETS

SETTINGS = dict(space="s", l2=1.2e-4, id_weight=0.05, views=4, preserve_weight=0.15)
RATES, STEPS, TOP_FRACTION, PSI = (0.2, 0.45, 0.9), 300, 0.01, 0.7
SHORT, MORE = 10, {"cpu": 10, "cuda": 300}      # steps; what the further ones take has nothing of what comes before the first


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--prompts", nargs="+", choices=EDIT_TARGETS, default=list(EDIT_TARGETS), help="edit targets")
    add("--portraits", type=commands.whole(0, 1000), default=2, help="for each of them; 0: only time is measured")
    add("--timed", type=commands.whole(0, 100), default=2, help="edits that are timed alone")
    add("--steps", type=commands.whole(1, 10_000), help="of search, other than its own")
    add("--rates", type=commands.number(above=0), nargs="+", help="of search, other than its own")
    add("--forms", nargs="+", choices=("lesson 08", "search"), default=["lesson 08", "search"], help="what is measured")
    add("--threads", type=commands.whole(1, 1024), default=2, help="CPU threads")
    add("--seed", type=commands.seed, default=1, help="of the portraits")
    add("--device", type=commands.device, default="cpu", help="cpu, cuda or cuda:N")
    add("--out", type=Path, required=True, help="JSON file; nothing is overwritten")
    args = parser.parse_args(arguments)
    with commands.sentences("python benchmarks/editing_speed.py"):
        commands.no_mps(args.device, "images are resized for CLIP with antialiasing")
        commands.try_output(args.out)
        torch.set_num_threads(args.threads)
        measure(args, shlex.join(["python", "benchmarks/editing_speed.py", *arguments]))


def measure(args, command):
    load = lambda name: zoo.load(name, device=args.device)
    G, model, identity, judge = (load("stylegan2-portraits-64"), clip.load(device=args.device), load("identity-portraits-64"),
                                 load("judge-portraits-64"))
    samples, sigma, forms = styleclip.embed_samples(G, model), edit_scores.standard_deviations(), {}
    chosen = {name: value for name, value in (("steps", args.steps), ("rates", args.rates)) if value}

    def edited(form, prompts, ws):
        """Images of ws, one prompt each, and how many searches each took."""
        target = styleclip.similarity_target(model, samples, prompts, top_fraction=TOP_FRACTION)
        if form == "search":
            return styleclip.search(G, model, prompts, ws, target, identity=identity, **chosen)[0]
        one = lambda rows, rate: styleclip.optimize(G, model, [prompts[row] for row in rows], ws[rows], lr=rate, steps=STEPS,
                                                    identity=identity, similarity_target=target[rows], **SETTINGS)
        return styleclip.best_edit(model, prompts, G.synthesis(ws, noise="const"), [one], RATES, target, identity=identity)[0]

    with torch.no_grad():
        people = {prompt: lacking(G, judge, prompt, max(args.portraits, 1), args.seed) for prompt in args.prompts}
        prompts = [prompt for prompt in args.prompts for _ in range(args.portraits)]
        ws = torch.cat([people[prompt][:args.portraits] for prompt in args.prompts])
        text = model.encode_texts(prompts) if prompts else None
        shown = [G.synthesis(ws, noise="const").cpu()] if prompts else []
        for form in args.forms:
            row = forms[form] = {}
            if prompts:
                after = edited(form, prompts, ws)
                shown.append(after)
                row |= scores(prompts, shown[0], after, judge, identity, sigma)
                row["similarity"] = (model.encode_images(after.to(text)) * text).sum(dim=1).mean().item()
            times = [timed(lambda: edited(form, [prompt], people[prompt][:1])) for prompt in args.prompts[:args.timed]]
            if times:
                row["seconds"], row["cpu_seconds"] = (sum(values) / len(times) for values in zip(*times))
            print(f"{form}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    each = each_step(G, model, identity, load("oracle-portraits-64"), args) if args.timed else {}
    commands.write_json(args.out, results.rounded({**results.header(command, [args.seed]), "device": results.machine(args.device),
                                                   "portraits": args.portraits, "search": chosen or "defaults", "forms": forms,
                                                   "ms_per_step": each}))
    if prompts:
        rows = torch.stack(shown, dim=1)[::args.portraits].flatten(0, 1)
        images.save_grid(args.out.with_suffix(".png"), rows.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), len(shown))


def each_step(G, model, identity, oracle, args):
    """Milliseconds of one more step of each method, one image a step."""
    z = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(args.seed)).to(args.device)
    ws, prompt, distance = G.mapping(z), args.prompts[0], oracle_distance(oracle)
    target, shared = G.synthesis(ws, noise="const"), dict(identity=identity, id_weight=0.05)
    methods = {"search": lambda steps: styleclip.optimize(G, model, prompt, ws, steps=steps, **shared | SETTINGS),
               "projection": lambda steps: inversion.project(G, target, distance, steps=steps),
               "mapper": lambda steps: styleclip.fit(G, model, prompt, steps=steps, batch=1, **shared)}
    found, more = {}, MORE[torch.device(args.device).type]
    for name, method in methods.items():
        method(SHORT)
        short, long = (min(timed(lambda: method(steps))[0] for _ in range(2)) for steps in (SHORT, SHORT + more))
        found[name] = 1000 * (long - short) / more
        print(f"{name}: {found[name]:.3g} ms for each step", flush=True)
    return found


def lacking(G, judge, prompt, count, seed):
    """The first latents of a seed whose portraits lack what the prompt asks for, as in the scoreboard."""
    z = torch.randn(128, G.z_dim, generator=torch.Generator().manual_seed(seed))[:16 + 4 * count].to(next(G.parameters()).device)
    ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, PSI)
    return ws[~EDIT_TARGETS[prompt].success(classifiers.predict(judge, G.synthesis(ws, noise="const")))][:count]


def scores(prompts, before, after, judge, identity, sigma):
    """Means over all edits of their `edit_scores`."""
    found = [edit_scores.edit_scores(prompt, before[i:i + 1], after[i:i + 1], judge, identity, sigma)
             for i, prompt in enumerate(prompts)]
    return {name: torch.cat([one[name] for one in found]).double().mean().item() for name in found[0]}


def timed(function):
    """Seconds that a call takes, and those of the CPU."""
    began = time.perf_counter(), time.process_time()
    function()                                              # its result lies on the CPU, so all is done
    return time.perf_counter() - began[0], time.process_time() - began[1]


if __name__ == "__main__":
    main()
