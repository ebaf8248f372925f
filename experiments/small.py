"""Small measurements that lessons 00 and 01 quote, each some minutes of one CPU core.

    python experiments/small.py backgrounds    generated portraits whose background has more than one colour, over ψ
    python experiments/small.py fade           a new block switched on at once or faded in, until α = 1

Each writes runs/results/NAME.json, or --out.
"""
from pathlib import Path

import torch

from course_lib import commands, ops, portraits, results, zoo
from course_lib.metrics import generators
from course_lib.networks import classifiers, pggan
from course_lib.portraits import palette

SEEDS = {"backgrounds": [1], "fade": [0, 1]}            # of the latents, of the new blocks
PSI = (1.0, 0.85, 0.7, 0.5)
FRAME, BOTTOM, SEVERAL = 4, 40, 0.1


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("measurement", choices=("backgrounds", "fade"))
    parser.add_argument("--samples", type=commands.whole(), default=2000, help="portraits for each ψ")
    parser.add_argument("--steps", type=commands.whole(), default=256, help="steps until α = 1")
    parser.add_argument("--out", type=Path, help="JSON file; by default runs/results/NAME.json")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/small.py"):
        measure(args, parser)


def measure(args, parser):
    out = args.out or Path("runs/results") / f"{args.measurement}.json"
    commands.own_json(out, f"python experiments/small.py {args.measurement}")
    torch.set_num_threads(1)
    seeds = SEEDS[args.measurement]
    measured = backgrounds(args.samples, *seeds) if args.measurement == "backgrounds" else fade(args.steps, seeds)
    changed = [f"--{name} {value}" for name, value in vars(args).items()
               if name in ("samples", "steps") and value != parser.get_default(name)]
    result = results.header(" ".join(["python experiments/small.py", args.measurement, *changed]), seeds) | measured
    commands.write_json(out, results.rounded(result), replace=True)


@torch.no_grad()
def backgrounds(samples, seed):
    """The share of portraits whose background has several colours: at least a tenth of the frame in another than the commonest.
    Of version 2 of the data set, which has speckles and confetti too, those count in which the judge sees a plain backdrop."""
    G = zoo.load("stylegan2-portraits-64")
    plain = lambda images: images
    if "backdrop" in portraits.table():
        judge = zoo.load("judge-portraits-64")
        plain = lambda images: images[classifiers.predict(judge, images.clamp(-1, 1))["backdrop"] == 0]
    share = lambda batches: (torch.cat([second_color(plain(images)) for images in batches]) >= SEVERAL).float().mean().item()
    of_psi = {f"{psi}": share(generators.generated(G, samples, seed, psi=psi)) for psi in PSI}
    return {"samples": samples, "portraits": share(generators.rendered(samples, generators.REFERENCE_SEED)),
            "several_colors": of_psi}


def second_color(images):
    """Images [N, 3, 64, 64] → the share of the frame in another background's colour than the commonest, [N].

    The frame is the outer 4 pixels at the top and at both sides, down to row 40, above every shoulder. A pixel belongs to the one
    of the backgrounds of Portraits whose blend from glow to edge comes nearest.
    """
    x = (images.clamp(-1, 1) + 1) / 2
    frame = torch.cat([x[:, :, :BOTTOM, :FRAME].flatten(2), x[:, :, :BOTTOM, -FRAME:].flatten(2),
                       x[:, :, :FRAME, FRAME:-FRAME].flatten(2)], dim=2).transpose(1, 2)[:, :, None]
    glow, edge = palette.BACKGROUND.to(images.device).unbind(1)
    blend = edge - glow
    along = (((frame - glow) * blend).sum(dim=-1, keepdim=True) / blend.square().sum(dim=-1, keepdim=True)).clamp(0, 1)
    nearest = (frame - glow - along * blend).norm(dim=-1).argmin(dim=-1)
    return 1 - torch.nn.functional.one_hot(nearest, len(glow)).float().mean(dim=1).amax(dim=1)


def fade(steps, seeds):
    """Lesson 01's training of a new block for 16 px, until α = 1: before every step and after the last, how far (root mean square)
    the images of eight latents are from the finished stage's."""
    stages = {r: zoo.load("pggan-portraits-64", str(r)) for r in (8, 16)}
    draw = torch.no_grad()(lambda network, z, alpha=None: network(z, alpha=alpha))
    latents = lambda n, seed: torch.randn(n, stages[8].z_dim, generator=torch.Generator().manual_seed(seed))
    z, bank = latents(8, 1), latents(64, 2)
    wanted, target = draw(stages[16], z), draw(stages[16], bank)
    runs = {}
    for name, alpha_at in (("at once", lambda step: 1.0), ("fade", lambda step: min(1.0, step / steps))):
        for seed in seeds:
            network = new_block(stages, seed)
            adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
            errors = runs.setdefault(name, {})[str(seed)] = []
            for step in range(steps + 1):
                alpha, chosen = alpha_at(step), (torch.arange(4) + 4 * step) % len(bank)
                errors.append((draw(network, z, alpha) - wanted).square().mean().sqrt().item())
                loss = (network(bank[chosen], alpha=alpha) - ops.fade_reals(target[chosen], alpha)).square().mean()
                adam.zero_grad()
                loss.backward()
                adam.step()
    return {"steps": steps, "runs": runs}


def new_block(stages, seed):
    """The stage of 8 px with an untrained block for 16 px on top."""
    channels = {r: getattr(stages[16], f"b{r}").conv1.weight.shape[0] for r in stages[16].resolutions}
    torch.manual_seed(seed)
    network = pggan.Generator(16, z_dim=stages[8].z_dim, channels=channels)
    network.load_state_dict(stages[8].state_dict(), strict=False)
    return network.eval()


if __name__ == "__main__":
    main()
