"""Training of the attribute classifiers, the oracle and the judge: supervised, on portraits drawn on the device. The judge then
learns which pictures are unreadable, on portraits that are damaged: it draws each again from what it sees in it, and compares."""
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from .. import commands, portraits, results, zoo
from ..images import from_uint8, to_uint8
from ..networks import classifiers
from ..training import data, outputs
from . import common, damage

LR = 2e-3
BATCH = 512                     # portraits that are rendered and damaged at once
MILD = 1 / 3                    # of the good portraits that the judge sees, damaged so little that they remain good
HELD_OUT_NETWORK = "course-features-64"             # whose gradients only test the judge
CONTINUOUS = [spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
DISCRETE = [spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete"]


def train(kind, out, steps=6000, batch=512, seed=0, device="cpu", data_size=200_000, held_out=20_000, against=(), command=""):
    """Train the "oracle" or the "judge" on `data_size` portraits, write `out/<kind>-portraits-64.safetensors`, and score that file
    on `held_out` unseen portraits in `out/results/<kind>.json`, which is returned.

    In half as many steps again the judge learns to say that a picture is unreadable: from other portraits, half of them with the
    damage of `damage.TRAINED`, or that the gradients of the networks `against` do, names of the zoo or files. Its result also says
    which share of each kind of damage, trained and held out, it accepts. command: stored in the result. Files that exist are
    refused with OSError; Ctrl-C keeps the weights so far (`outputs.save_trained`).
    """
    if kind not in classifiers.LAYERS:
        raise ValueError(f'there is no classifier "{kind}"; choose from {", ".join(classifiers.LAYERS)}')
    file, result_file = outputs.output_files(out, f"{kind}-portraits-64", kind)
    torch.manual_seed(seed)
    device = torch.device(device)
    judge, kinds = kind == "judge", damage.TRAINED
    data.check_size(data_size, classifiers.RESOLUTION, device, each=4 if judge else 1)
    if judge:
        kinds = kinds | damage.against({Path(name).stem: _adversary(name, device) for name in against})
    images, truth = common.draw_portraits(data_size, seed + (1000 if kind == "oracle" else 2000), device)
    if judge:
        _damage_mildly(kinds, images[:int(MILD * data_size)], seed)
    numbers = torch.stack([classifiers.scaled(spec, truth[spec.name]) for spec in CONTINUOUS], dim=1)
    classes = torch.stack([truth[spec.name] for spec in DISCRETE], dim=1)
    network = classifiers.AttributeClassifier(kind, compares=judge).to(device, memory_format=torch.channels_last)

    def batch_loss(step):
        rows = torch.randint(len(images), [batch], device=device)
        x = common.augment(from_uint8(images[rows]), kind)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            predicted = network(x.contiguous(memory_format=torch.channels_last))
        return attribute_loss(predicted, numbers[rows], classes[rows])

    trained = common.train(network, batch_loss, name=kind, steps=steps, lr=LR, weight_decay=0.02, cycle_momentum=True)
    if judge and not trained.stops:
        trained = _compare(trained, kinds, max(steps // 2, 1), batch, data_size, seed, device)
    outputs.save_trained(file, trained, kind, config={"kind": kind})
    with outputs.scoring(file):
        images, truth = common.draw_portraits(held_out, common.HELD_OUT_SEED, device)
        network = zoo.load(file, device=device)
        predicted = classifiers.predict(network, from_uint8(images))
        readability = {"readability": readability_scores(network, images, kinds, device)} if judge else {}
    result = {**results.header(command, [seed]), "images": steps * batch, "held_out": held_out,
              "scores": classifiers.scores(predicted, {name: value.cpu() for name, value in truth.items()}),
              **readability}
    commands.write_json(result_file, result)
    measure = {"continuous": "R²", "discrete": "accuracy"}
    commands.show_table("\n".join(f"{spec.name:16s} {measure[spec.kind]:9s} {result['scores'][spec.name]:.3f}"
                                  for spec in portraits.ATTRIBUTES))
    if judge:
        commands.show_json(result["readability"])
    return result


def attribute_loss(predicted, numbers, classes):
    """Four times the squared error of each continuous attribute, in [-1, 1], and the cross-entropy of each discrete one, summed
    over attributes; the mean of a batch.

    predicted: of an AttributeClassifier, {name: [N] or logits [N, classes]}; numbers [N, continuous attributes], classes [N,
    discrete attributes] as indices, both in the order of `portraits.ATTRIBUTES`. → []
    """
    guess = torch.stack([predicted[spec.name].float() for spec in CONTINUOUS], dim=1)
    loss = 4 * (guess - numbers).square().mean(dim=0).sum()
    for spec, labels in zip(DISCRETE, classes.unbind(dim=1)):
        loss = loss + F.cross_entropy(predicted[spec.name].float(), labels)
    return loss


def _compare(trained, kinds, steps, batch, data_size, seed, device):
    """Train the comparison of a Trained judge: half of the pictures are good portraits that it has not seen, a part of them mildly
    damaged, half have the damage of kinds {name: Kind}. Returns it as a Trained."""
    judge, half = trained.network, max(data_size // 2, 2)
    each = half / sum(one.weight for one in kinds.values())
    pictures = torch.cat([common.draw_portraits(half, seed + 3000, device)[0],
                          *(_draw_damaged(one, math.ceil(each * one.weight), seed + 8000 + i, device)
                            for i, one in enumerate(kinds.values()))])
    _damage_mildly(kinds, pictures[:int(MILD * half)], seed + 1)
    drawn = torch.cat([to_uint8(classifiers.drawn_again(judge, from_uint8(part))) for part in pictures.split(4096)])
    comparison = judge.comparison.train().requires_grad_()

    def batch_loss(step):
        of_good = torch.randint(half, [batch - batch // 2], device=device)
        rows = torch.cat([of_good, torch.randint(half, len(pictures), [batch // 2], device=device)])
        x, again = from_uint8(pictures[rows]), from_uint8(drawn[rows])
        x = x + 0.06 * (torch.rand(batch, 1, 1, 1, device=device) - 0.5)
        flipped = torch.rand(batch, 1, 1, 1, device=device) < 0.5
        x, again = (torch.where(flipped, one.flip(3), one) for one in (x, again))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = comparison(x, again)
        return F.binary_cross_entropy_with_logits(logits.float(), (rows >= half).float())

    found = common.train(comparison, batch_loss, name="comparison", steps=steps, lr=LR, weight_decay=0.02, cycle_momentum=True)
    judge.comparison = found.network
    return found._replace(network=judge)


def readability_scores(network, images, kinds, device):
    """How often a judge calls good portraits unreadable, and accepts damaged ones: {"portraits_refused", "mild_refused",
    "accepted": {kind: share}, "accepted_held_out": {kind: share}}

    images: unseen portraits, uint8 [N, 3, 64, 64]; of each kind of damage a tenth as many are drawn. kinds: {name: Kind} of those
    trained on.
    """
    refused = lambda images: (classifiers.unreadable(network, from_uint8(images)) > classifiers.UNREADABLE).double().mean().item()
    held_out = damage.HELD_OUT | damage.against({HELD_OUT_NETWORK: zoo.load(HELD_OUT_NETWORK, device=device)})
    count = max(len(images) // 10, 8)

    def accepted(kinds, seed):
        drawn = (_draw_damaged(kind, count, seed + i, device) for i, kind in enumerate(kinds.values()))
        return {name: 1 - refused(images) for name, images in zip(kinds, drawn)}

    result = {"portraits_refused": refused(images), "accepted": accepted(kinds, common.HELD_OUT_SEED + 100),
              "accepted_held_out": accepted(held_out, common.HELD_OUT_SEED + 200)}
    _damage_mildly(kinds, images, common.HELD_OUT_SEED)
    return result | {"mild_refused": refused(images)}


def _adversary(name, device):
    """A network of the zoo or a file. Raises ValueError where it cannot be read and is of another version of Portraits."""
    try:
        return zoo.load(name, device=device)
    except ValueError:
        if zoo.dataset_of(name) == "portraits":
            raise
        raise ValueError(f"{name} was not trained on version {portraits.VERSION} of Portraits; train it anew with python -m "
                         "course_lib.train, and name its file with --against") from None


def _damage_mildly(kinds, images, seed):
    """Damage uint8 images [N, 3, 64, 64] in place, so little that they remain good portraits."""
    rng = torch.Generator().manual_seed(seed)
    for start in range(0, len(images), BATCH):
        part = images[start:start + BATCH]
        part.copy_(to_uint8(damage.mildly_damaged(kinds, from_uint8(part), rng)))


def _draw_damaged(kind, count, seed, device):
    """Portraits with a Kind of damage as uint8 [count, 3, 64, 64] on the device."""
    images, rng = [], torch.Generator().manual_seed(seed)
    for i, start in enumerate(range(0, count, BATCH)):
        n, first = min(BATCH, count - start), seed * 1_000_003 + 2 * i
        attributes, noise = portraits.sample_attributes(n, first), portraits.sample_noise(n, first + 1)
        draw = lambda attributes, noise=noise: portraits.render(attributes, classifiers.RESOLUTION, noise, device)
        x = draw(attributes)
        for _ in range(kind.changes if kind.redrawn else 0):
            attributes = damage.redrawn(attributes, kind.redrawn, rng)
        others = draw(attributes) if kind.redrawn else x.roll(1, dims=0)
        images.append(to_uint8(damage.damaged(kind, x, others, rng)))
    return torch.cat(images)
