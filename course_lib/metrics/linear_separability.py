"""Linear separability: how well a plane in Z or in W separates the latents of portraits with and without an attribute."""
import numpy as np
import torch
from tqdm import tqdm

from .. import portraits
from ..images import quantized, unchecked
from . import generators

FOLDS = 5


def judge_classifier(judge):
    """An AttributeClassifier in the form that `separability` takes: images → {attribute: (label, confidence)}."""

    def classify(images):
        out = judge(quantized(images))
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


@unchecked()
@torch.no_grad()
def separability(
    G, classifier, *,
    samples=10_000,             # generated images, of which the surer half counts; the paper's are 200,000
    seed=0,                     # of the latents
    psi=1.0,                    # truncation
    c=None,                     # labels of a class-conditional generator (`sampling.labels`); None: all classes
    progress=False,             # show progress bars
):
    """Linear separability (StyleGAN §4.2): exp(Σ_i H(Y_i | X_i)) over attributes i, in Z and in W; 1 is the best.

    classifier: images [N, 3, H, W] → {attribute: (label, confidence)}, both [N]. A confidence of None says that the label is a
    continuous value: it is split at its median, and the confidence is the distance from it. Of each attribute the more confident
    half is kept (100,000 of 200,000 in the paper). Y is the label, X the prediction of a linear SVM that was fitted to other
    latents (the published code tests it on those that it was fitted to, which flatters few samples).
    Returns {"z", "w": score, "entropies": {"z", "w": {attribute: H in nats}}, "classifier", "samples"}. Raises ValueError for too
    few samples and for a classifier without attributes.
    """
    check_samples(G, samples)
    latents, predicted = _sampled(G, classifier, samples, seed, psi, progress, c)
    if not predicted:
        raise ValueError("the classifier names no attribute")
    entropies = {space: {} for space in latents}
    for name, parts in tqdm(predicted.items(), desc="separability", unit="attribute", disable=not progress):
        label, kept = most_confident_half(*zip(*parts), name)
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


def check_samples(G, samples):
    """Raise ValueError for so few that some plane divides what is fitted, whatever its labels, more often than not: fewer points
    than twice the entries of a latent (Cover 1965)."""
    size = max(G.z_dim, getattr(G, "w_dim", 0))
    least = 2 * 2 * size * FOLDS // (FOLDS - 1)
    if samples < least:
        raise ValueError(f"{samples} samples are too few for separability: {samples // 2} are kept, and a plane in {size} "
                         f"dimensions must be fitted to {2 * size} beside those that test it; take at least {least:,}, "
                         "and 10,000 for a steady value")


def linear_prediction(latents, label, seed=0):
    """Labels predicted by linear SVMs, each for one of FOLDS parts and fitted to the others. latents [N, D], label [N] → [N]

    A single class predicts itself.
    """
    from sklearn.svm import LinearSVC  # half a second to import, for one metric
    part, predicted = np.random.RandomState(seed).permutation(len(label)) % FOLDS, label.copy()
    for i in range(FOLDS):
        x, y = latents[part != i], label[part != i]
        alone = len(np.unique(y)) == 1
        predicted[part == i] = y[0] if alone else LinearSVC(random_state=seed, dual="auto").fit(x, y).predict(latents[part == i])
    return predicted


def most_confident_half(labels, confidences, name="an attribute"):
    """Batches of labels and confidences, of which those of `separability` may be None → all labels [N], and the indices [N // 2] of
    the most confident. Raises ValueError for NaN and for labels and confidences of different number."""
    label = torch.cat(labels).cpu().numpy()
    if confidences[0] is None:
        distance = label - np.median(label)
        label, confidence = (distance > 0).astype(int), np.abs(distance)
    else:
        confidence = torch.cat(confidences).cpu().numpy()
    if label.shape != confidence.shape or not np.isfinite(confidence).all():
        raise ValueError(f"what the classifier predicts of {name} is NaN, or labels and confidences differ in number")
    return label, np.argsort(-confidence, kind="stable")[:len(label) // 2]


def _sampled(G, classifier, samples, seed, psi, progress, c):
    """Latents {"z", "w": [N, D]} and predictions {attribute: [(label, confidence) of each batch]}."""
    latents, predicted = {"z": []} | ({"w": []} if hasattr(G, "mapping") else {}), {}
    with tqdm(total=samples, desc="generated", unit="img", disable=not progress) as bar:
        for z, given, images in generators.generated_pairs(G, samples, seed, psi, c):
            latents["z"].append(z.cpu())
            if "w" in latents:
                latents["w"].append(G.mapping(z, **given).cpu())
            for name, prediction in classifier(images).items():
                predicted.setdefault(name, []).append(prediction)
            bar.update(len(z))
    return {space: torch.cat(parts).double().numpy() for space, parts in latents.items()}, predicted
