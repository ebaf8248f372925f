"""Training of the identity network and the verifier: portraits of one person are drawn together, those of others apart."""
import math

import open_clip
import torch
from sklearn.metrics import roc_auc_score

from .. import commands, portraits, results
from ..images import from_uint8
from ..networks import classifiers
from ..networks.identity import LAYERS, IdentityNetwork
from ..training import data, outputs
from . import common

SCALE = 15.0                    # of the cosines in the contrastive loss, the inverse of its temperature
VIEWS = 4                       # portraits of each person
SIZES = {"identity": 128, "verifier": 192}          # of the vectors


def train(kind, out, steps=4000, batch=512, lr=2e-3, seed=0, device="cpu", data_size=50_000, held_out=4000, command=""):
    """Train the "identity" network or the "verifier" on `data_size` people, each in VIEWS portraits, with the contrastive loss of
    CLIP over two portraits of every person in a batch. Write `out/<kind>-portraits-64.safetensors`, and its scores on `held_out`
    unseen people to `out/results/<kind>.json`, which is returned.

    command: stored in the result. Files that exist are refused with OSError; Ctrl-C keeps the weights so far
    (`outputs.save_trained`).
    """
    if kind not in LAYERS:
        raise ValueError(f'there is no identity network "{kind}"; choose from {", ".join(LAYERS)}')
    file, result_file = outputs.output_files(out, f"{kind}-portraits-64", kind)
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, classifiers.RESOLUTION, device, each=VIEWS)
    images = common.draw_people(data_size, VIEWS, seed + (4000 if kind == "identity" else 7000), device)[0]
    network = IdentityNetwork(SIZES[kind], kind=kind).to(device)
    contrastive_loss = open_clip.loss.ClipLoss()

    def batch_loss(step):
        rows = torch.randint(len(images), [batch], device=device)
        first, other = torch.rand(batch, VIEWS, device=device).topk(2).indices.unbind(dim=1)
        x = from_uint8(torch.cat([images[rows, first], images[rows, other]]))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features = network(common.augment(x, kind))
        return contrastive_loss(*features.float().chunk(2), SCALE)

    trained = common.train(network, batch_loss, name=kind, steps=steps, lr=lr, weight_decay=0.05, betas=(0.9, 0.98))
    network = trained.network
    with commands.noted_stops(patient=True) as late:        # the file holds the threshold, which the scores are counted for
        scores = {"threshold": network.threshold} if trained.stops else identity_scores(network, held_out, device)
    outputs.save_trained(file, trained, kind, config={"kind": kind, "threshold": scores["threshold"]})
    if late:
        raise type(late[0])(f"stopped while the scores were counted; the trained network is kept in {file}")
    result = {**results.header(command, [seed]), "images": steps * batch * 2, "held_out": held_out, **scores}
    commands.write_json(result_file, result)
    commands.show_json(scores)
    return result


@torch.no_grad()
def identity_scores(network, held_out, device):
    """Verification of `held_out` unseen people: accuracy and area under the ROC curve, against other people, and against the one
    who is most like each ("lookalikes").

    network: images [N, 3, 64, 64] in [-1, 1] → unit vectors [N, D]. The threshold, a cosine, is chosen on the first half of the
    people, and the accuracy counted on the second. → {"threshold", "accuracy", "roc_area", "accuracy_lookalikes",
    "roc_area_lookalikes"}
    """
    images, attributes = common.draw_people(held_out, 2, common.HELD_OUT_SEED, device)
    a, b = (torch.cat([network(from_uint8(part)).cpu() for part in images[:, view].split(500)]) for view in (0, 1))
    vectors = portraits.identity(attributes)
    lookalike = torch.cdist(vectors, vectors).fill_diagonal_(math.inf).argmin(dim=1)
    same_person, others, lookalikes = ((a * x).sum(dim=1) for x in (b, b.roll(1, dims=0), b[lookalike]))
    half = held_out // 2

    def accuracy(different, part, threshold):
        return ((same_person[part] >= threshold).float().mean() + (different[part] < threshold).float().mean()).item() / 2

    def roc_area(different):
        truth = [1] * len(same_person) + [0] * len(different)
        return float(roc_auc_score(truth, torch.cat([same_person, different])))

    first, second = slice(0, half), slice(half, None)
    threshold = max(torch.linspace(-1, 1, 401).tolist(), key=lambda threshold: accuracy(others, first, threshold))
    return {"threshold": threshold, "accuracy": accuracy(others, second, threshold), "roc_area": roc_area(others),
            "accuracy_lookalikes": accuracy(lookalikes, second, threshold), "roc_area_lookalikes": roc_area(lookalikes)}
