"""Do the steps of a mapper agree? The table of lesson 09.

    python experiments/mapper_steps.py

For each of the course's mappers: the mean cosine between its steps for two portraits, and the success of two edits at strength 1,
each portrait's own step and one step for everybody, the mean over other portraits. Portraits lack what the sentence asks for; the
judge decides. Writes runs/results/steps-of-mappers.json, or --out; on two CPU cores it takes about two minutes.
"""
from pathlib import Path

import torch

from course_lib import commands, ops, results, styleclip, zoo
from course_lib.networks import classifiers
from course_lib.perception.edit_targets import EDIT_TARGETS

GENERATOR, PSI, MAKER = "stylegan2-portraits-64", 0.7, "python experiments/mapper_steps.py"


@torch.no_grad()
def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--portraits", type=commands.whole(2, 10_000), default=64, help="portraits that are edited, for each sentence")
    add("--others", type=commands.whole(1, 10_000), default=256, help="portraits over which the step for everybody is averaged")
    add("--seed", type=commands.seed, default=1, help="seed of the edited portraits; the others have the next one")
    add("--out", type=Path, default=Path("runs/results/steps-of-mappers.json"), help="JSON file")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    args = parser.parse_args(arguments)
    with commands.sentences(MAKER):
        commands.no_mps(args.device, "measurements compute in float64")
        commands.own_json(args.out, MAKER)
        options = [f" --{name} {value}" for name, value in vars(args).items()
                   if name not in ("out", "device") and value != parser.get_default(name)]
        result = results.header(MAKER + "".join(options), [args.seed]) | measure(args)
        commands.write_json(args.out, results.rounded(result), replace=True)


def measure(args):
    """Cosine and success of every prompt."""
    G, judge = (zoo.load(name, device=args.device) for name in (GENERATOR, "judge-portraits-64"))
    pool = {seed: drawn(G, judge, 4 * count, seed) for seed, count in ((args.seed, args.portraits), (args.seed + 1, args.others))}
    result = {"portraits": args.portraits, "psi": PSI, "prompts": {}}
    for prompt, target in EDIT_TARGETS.items():
        mapper = zoo.load(styleclip.mapper.file_name(prompt), device=args.device)
        lacking = {seed: ws[~target.success(predicted)] for seed, (ws, predicted) in pool.items()}
        ws, others = lacking[args.seed][:args.portraits], lacking[args.seed + 1][:args.others]
        steps = mapper.offsets(ws)
        moved = {"own": ws + steps, "mean": ws + mapper.offsets(others).mean(dim=0)}
        success = {name: target.success(predict(G, judge, latents)).double().mean().item() for name, latents in moved.items()}
        result["prompts"][prompt] = {"cosine": cosine_of_pairs(steps.flatten(1))} | success
        print(f"{prompt}: " + ", ".join(f"{name} {value:.2f}" for name, value in result["prompts"][prompt].items()), flush=True)
    return result


def drawn(G, judge, count, seed):
    """`count` latents of W+ and the attributes that the judge predicts in their portraits."""
    z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(seed)).to(next(G.parameters()).device)
    ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, PSI)
    return ws, predict(G, judge, ws)


def predict(G, judge, ws):
    """The attributes that the judge predicts in the portraits of ws."""
    return classifiers.predict(judge, torch.cat([G.synthesis(part, noise="const") for part in ws.split(64)]))


def cosine_of_pairs(vectors):
    """Mean cosine of every two of N vectors [N, D]."""
    units = torch.nn.functional.normalize(vectors, dim=1)
    n = len(units)
    return ((units.sum(dim=0).square().sum() - n) / (n * (n - 1))).item()


if __name__ == "__main__":
    main()
