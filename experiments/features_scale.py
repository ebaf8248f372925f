"""What the course's image features see: KID, with its interval, of images that are blurred, noisy or mixed with another set.

    pip install scikit-image
    python experiments/features_scale.py --out data/results/features-scale.json

Two kinds of images, COUNT on either side: portraits, and patches of 64 px of ten photographs that come with scikit-image and
scikit-learn, on which nothing here was trained. The same is measured with the oracle, and with features of random weights.
"""
import shlex
import sys
from pathlib import Path

import torch

from course_lib import commands, metrics, results, zoo
from course_lib.images import from_uint8, to_uint8
from course_lib.metrics import extractors
from course_lib.networks.image_features import ImageFeatures
from course_lib.perception import common, train_features

COUNT, PATCH, PER_PHOTOGRAPH = 280, 64, 60
STEPS = {"blur, σ in px": (0, 0.5, 0.75, 1, 1.5, 2), "noise, σ of 255": (0, 4, 8, 16, 32),
         "share of the other kind": (0, 0.1, 0.25, 0.5, 1)}


def photographs(seed):
    """Patches [2 · COUNT, 3, 64, 64] in [-1, 1] of ten photographs, at most PER_PHOTOGRAPH of each, shuffled."""
    from skimage import data
    from sklearn.datasets import load_sample_images
    names = "astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "retina", "immunohistochemistry", "stereo_motorcycle"
    pictures = [getattr(data, name)() for name in names]
    pictures = [*pictures[:-1], pictures[-1][0], *load_sample_images().images]
    rng, found = torch.Generator().manual_seed(seed), []
    for picture in pictures:
        patches = torch.as_tensor(picture.copy()).permute(2, 0, 1).unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)
        patches = patches.permute(1, 2, 0, 3, 4).flatten(0, 1)
        found.append(patches[torch.randperm(len(patches), generator=rng)[:PER_PHOTOGRAPH]])
    found = torch.cat(found)
    return from_uint8(found[torch.randperm(len(found), generator=rng)[:2 * COUNT]])


def changed(images, others, what, amount, rng):
    """Images [N, 3, H, W] with a step of STEPS."""
    if what.startswith("blur"):
        return metrics.blur(images, amount) if amount else images
    if what.startswith("noise"):
        return images + amount / 127.5 * torch.randn(images.shape, generator=rng)
    taken = round(amount * len(images))
    return torch.cat([others[:taken], images[taken:]])


@torch.no_grad()
def measure(extractor, kinds, seed):
    """{kind: {change: {amount: kid with its interval}}} of one network."""
    see = lambda images: torch.cat([extractor.features(part) for part in to_uint8(images).split(200)])
    found = {}
    for kind, (reals, controls) in kinds.items():
        reference, (other,) = see(reals), [controls for name, (_, controls) in kinds.items() if name != kind]
        found[kind] = {what: {str(amount): metrics.kid_interval(reference, see(changed(
            controls, other, what, amount, torch.Generator().manual_seed(seed)))) for amount in amounts}
            for what, amounts in STEPS.items()}
    return found


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = commands.Parser(description=__doc__)
    parser.add_argument("--features", default=extractors.COURSE, help="image features: a name of the zoo, or a file")
    parser.add_argument("--seed", type=commands.seed, default=1, help="of portraits, patches and noise")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the numbers; an earlier one is replaced")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/features_scale.py"):
        commands.own_json(args.out, "python experiments/features_scale.py")
        faces = from_uint8(common.draw_portraits(2 * COUNT, args.seed, "cpu")[0])
        kinds = {"portraits": faces.chunk(2), "photographs": photographs(args.seed).chunk(2)}
        with torch.random.fork_rng():
            torch.manual_seed(args.seed)
            untrained = ImageFeatures().eval()
        train_features.standardize(untrained, train_features.draw(1000, args.seed, "cpu"))
        networks = {"course": zoo.load(args.features), "random weights": untrained, "oracle": zoo.load("oracle-portraits-64")}
        found = {name: measure(extractors.of_network(network, "course"), kinds, args.seed) for name, network in networks.items()}
    result = {**results.header(shlex.join(["python", "experiments/features_scale.py", *arguments]), [args.seed]),
              "images": COUNT, "networks": results.rounded(found)}
    commands.write_json(args.out, result, replace=True)
    for name, kinds in found.items():
        for kind, changes in kinds.items():
            for what, row in changes.items():
                shown = (f"{amount}: {kid['mean']:.3f} ± {kid['high'] - kid['mean']:.3f}" for amount, kid in row.items())
                print(f"{name:15s} {kind:12s} {what:24s} {'  '.join(shown)}")


if __name__ == "__main__":
    main()
