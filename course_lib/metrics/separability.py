"""Linear separability: whether attributes lie on two sides of a plane in Z and in W."""
import numpy as np
import torch
from tqdm import tqdm

from .. import judges, portraits
from . import generators


def judge_classifier(judge):
    """The attributes of a portrait as a judge reads them, in the form that `separability` takes."""

    def classify(images):
        out = judge(generators.eight_bit(images))
        found = {}
        for spec in portraits.ATTRIBUTES:
            if spec.kind == "discrete":
                confidence, label = out[spec.name].softmax(dim=1).max(dim=1)
                found[spec.name] = label, confidence
            else:
                found[spec.name] = out[spec.name], None
        return found

    classify.name = "judge"
    return classify


@torch.no_grad()
def separability(G, classifier, samples=10_000, seed=0, psi=1.0, progress=False):
    """Linear separability (StyleGAN §4.2): exp(Σ_i H(Y_i | X_i)) over attributes i, in Z and in W; 1 is the best.

    classifier: images [N, 3, H, W] → {attribute: (label, confidence)}, both [N]; a confidence of None says that the
    label is a continuous reading, which is halved at its median and the surer the further from it. Of each attribute
    the surer half is kept (100,000 of 200,000 in the paper). Y is the label, X what a linear SVM on the same latents
    predicts. Returns {"z", "w": score, "entropies": {"z", "w": {attribute: H in nats}}, "classifier", "samples"}.
    """
    if samples < 4:
        raise ValueError(f"{samples} samples are too few for a classifier; take at least 4, and 10,000 for a steady value")
    latents, readings = _read(G, classifier, samples, seed, psi, progress)
    if not readings:
        raise ValueError("the classifier names no attribute")
    entropies = {space: {} for space in latents}
    for name, parts in tqdm(readings.items(), desc="separability", unit="attribute", disable=not progress):
        label, kept = surer_half(*zip(*parts), name)
        for space, x in latents.items():
            entropies[space][name] = conditional_entropy(label[kept], linear_prediction(x[kept], label[kept], seed))
    scores = {space: float(np.exp(sum(found.values()))) for space, found in entropies.items()}
    return {**scores, "entropies": entropies, "classifier": getattr(classifier, "name", "classifier"), "samples": samples}


def conditional_entropy(y, x):
    """H(Y|X) = −Σ p(x, y) ln(p(x, y) / p(x)) of two sequences of labels [N], in nats."""
    y, x = (np.unique(labels, return_inverse=True)[1] for labels in (y, x))
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1 / len(x))
    given = (table / table.sum(axis=1, keepdims=True))[table > 0]
    return max(0.0, -(table[table > 0] * np.log(given)).sum().item())


def linear_prediction(latents, label, seed=0):
    """What a linear SVM that was fitted to latents [N, D] and labels [N] says of the same. One class predicts itself."""
    if len(np.unique(label)) == 1:
        return label
    from sklearn.svm import LinearSVC           # half a second to import, for one metric
    return LinearSVC(random_state=seed, dual="auto").fit(latents, label).predict(latents)


def surer_half(labels, confidences, name="an attribute"):
    """Batches of labels and confidences → all labels [N] and the indices [N // 2] of the surest."""
    label = torch.cat(labels).cpu().numpy()
    if confidences[0] is None:
        distance = label - np.median(label)
        label, confidence = (distance > 0).astype(int), np.abs(distance)
    else:
        confidence = torch.cat(confidences).cpu().numpy()
    if label.shape != confidence.shape or not np.isfinite(confidence).all():
        raise ValueError(f"the classifier's reading of {name} is NaN, or labels and confidences differ in number")
    return label, np.argsort(-confidence, kind="stable")[:len(label) // 2]


def _read(G, classifier, samples, seed, psi, progress):
    """Latents {"z", "w": [N, D]} and readings {attribute: [(label, confidence) of each batch]}."""
    latents, readings = {"z": []} | ({"w": []} if hasattr(G, "mapping") else {}), {}
    with tqdm(total=samples, desc="generated", unit="img", disable=not progress) as bar:
        for z, images in generators.generated_pairs(G, samples, seed, psi):
            latents["z"].append(z.cpu())
            if "w" in latents:
                latents["w"].append(G.mapping(z).cpu())
            for name, reading in classifier(images).items():
                readings.setdefault(name, []).append(reading)
            bar.update(len(z))
    return {space: torch.cat(parts).double().numpy() for space, parts in latents.items()}, readings
