"""What chance does to portraits: the standard deviation of a pixel over noise, its attributes fixed, over the data set.

    python experiments/portraits_chance.py --version 2

With --generator also what a generator of this data set makes of its noise: the same standard deviation over its noise inputs, with
its latents fixed, its ratio to the data set's, and how much that changes the attributes which a classifier predicts (the mean over
attributes of the share of portraits whose class changes, or of the mean change in standard deviations), beside the same of the data
set's own chance: what a generator that draws it as the data set does would change.
"""
from pathlib import Path
from statistics import mean

import torch

from course_lib import commands, portraits, results, zoo
from course_lib.metrics import style_analysis
from course_lib.networks import classifiers
from course_lib.portraits.schema import TABLES

ACTS = 0.05         # where a pixel's standard deviation is above this, chance acts


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    add = parser.add_argument
    add("--version", choices=TABLES, default="2", help="of the data set")
    add("--portraits", type=commands.whole(1, 100_000), default=256, help="portraits to draw")
    add("--draws", type=commands.whole(2, 1000), default=12, help="noise fields for each")
    add("--resolution", type=commands.power_of_two(), default=64, help="pixels a side")
    add("--seed", type=commands.seed, default=0, help="of attributes and noise")
    add("--generator", help="also what this generator's noise does")
    add("--classifier", default="oracle-portraits-64", help="which predicts the attributes of its images")
    add("--out", type=Path, help="JSON file; without it, the result is printed alone")
    add("--device", type=commands.device, default="cpu", help="cpu, cuda or cuda:N")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/portraits_chance.py"):
        if args.out:
            commands.try_output(args.out)
        if args.generator and args.version != portraits.VERSION:
            raise ValueError(f"the classifier knows version {portraits.VERSION} alone; with --generator give --version "
                             f"{portraits.VERSION}")
        attributes = portraits.sample_attributes(args.portraits, args.seed, version=args.version)
        found = portraits.noise_std(attributes, args.resolution, args.draws, args.seed, args.device, args.version)
        options = " ".join(f"--{name} {value}" for name, value in vars(args).items() if name not in ("out", "device") and value)
        result = results.header(f"python experiments/portraits_chance.py {options}", [args.seed]) | {"world": args.version}
        result |= {"acts_above": ACTS, "all": summary(found)}
        for name, spec in portraits.table(args.version).items():
            if spec.group == "stochastic" or name in ("beard", "freckles"):
                result[name] = {value: summary(found[attributes[name] == i]) for i, value in enumerate(spec.values)}
        if args.generator:
            result["generator"] = of_generator(args, result["all"]["mean"])
        result = results.rounded(result)
        if args.out:
            commands.write_json(args.out, result)
        commands.show_json(result)


@torch.no_grad()
def of_generator(args, data_set):
    """What the noise of --generator does, beside the data set's standard deviation."""
    G, classifier = (zoo.load(name, device=args.device) for name in (args.generator, args.classifier))
    ws = style_analysis.latents(G, args.portraits, args.seed)
    torch.manual_seed(args.seed)
    images = torch.stack([torch.cat([G.synthesis(part, noise="random").cpu() for part in ws.split(64)]) for _ in range(args.draws)])
    found = summary(images.clamp(-1, 1).std(dim=0).mean(dim=1))
    changes = style_analysis.noise_effects(G, classifier, args.portraits, args.seed)["all"]["attributes"]
    drawn = portraits.sample_attributes(args.portraits, args.seed)
    of_data = style_analysis.attribute_changes(*(portraits.canonical(classifiers.predict(classifier, portraits.render(
        drawn, args.resolution, portraits.sample_noise(args.portraits, args.seed + i), args.device))) for i in range(2)))
    return found | {"ratio": found["mean"] / data_set, "attributes": mean(changes.values()),
                    "attributes_data_set": mean(of_data.values()), "changes": changes}


def summary(found):
    """Of standard deviations [n, H, W]: their mean, the share of pixels where chance acts, and the mean there."""
    acting = found[found > ACTS]
    return {"portraits": len(found), "mean": found.mean().item(), "acting_share": len(acting) / max(1, found.numel()),
            "mean_where_acting": acting.mean().item() if len(acting) else None}


if __name__ == "__main__":
    main()
