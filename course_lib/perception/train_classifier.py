"""Training of the attribute classifiers, the oracle and the judge: supervised, on portraits drawn on the device."""
import torch
import torch.nn.functional as F

from .. import commands, portraits, results, zoo
from ..images import from_uint8
from ..networks import classifiers
from ..training import data, outputs
from . import common

LR = 2e-3
CONTINUOUS = [spec for spec in portraits.ATTRIBUTES if spec.kind == "continuous"]
DISCRETE = [spec for spec in portraits.ATTRIBUTES if spec.kind == "discrete"]


def train(kind, out, steps=6000, batch=512, seed=0, device="cpu", data_size=200_000, held_out=20_000, command=""):
    """Train the "oracle" or the "judge" on `data_size` portraits, write `out/<kind>-portraits-64.safetensors`, and score that file
    on `held_out` unseen portraits in `out/results/<kind>.json`, which is returned.

    command: stored in the result. Files that exist are refused with OSError; Ctrl-C keeps the weights so far
    (`outputs.save_trained`).
    """
    if kind not in classifiers.LAYERS:
        raise ValueError(f'there is no classifier "{kind}"; choose from {", ".join(classifiers.LAYERS)}')
    file, result_file = outputs.output_files(out, f"{kind}-portraits-64", kind)
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, classifiers.RESOLUTION, device)
    images, truth = common.draw_portraits(data_size, seed + (1000 if kind == "oracle" else 2000), device)
    numbers = torch.stack([classifiers.scaled(spec, truth[spec.name]) for spec in CONTINUOUS], dim=1)
    classes = torch.stack([truth[spec.name] for spec in DISCRETE], dim=1)
    network = classifiers.AttributeClassifier(kind).to(device, memory_format=torch.channels_last)

    def batch_loss(step):
        rows = torch.randint(len(images), [batch], device=device)
        x = common.augment(from_uint8(images[rows]), kind)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            predicted = network(x.contiguous(memory_format=torch.channels_last))
        return attribute_loss(predicted, numbers[rows], classes[rows])

    trained = common.train(network, batch_loss, name=kind, steps=steps, lr=LR, weight_decay=0.02, cycle_momentum=True)
    outputs.save_trained(file, trained, kind, config={"kind": kind})
    with outputs.scoring(file):
        images, truth = common.draw_portraits(held_out, common.HELD_OUT_SEED, device)
        predicted = classifiers.predict(zoo.load(file, device=device), from_uint8(images))
    result = {**results.header(command, [seed]), "images": steps * batch, "held_out": held_out,
              "scores": classifiers.scores(predicted, {name: value.cpu() for name, value in truth.items()})}
    commands.write_json(result_file, result)
    measure = {"continuous": "R²", "discrete": "accuracy"}
    commands.show_table("\n".join(f"{spec.name:16s} {measure[spec.kind]:9s} {result['scores'][spec.name]:.3f}"
                                  for spec in portraits.ATTRIBUTES))
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
