"""Scores of edits by sentence: success, attribute leakage and identity, as lessons 08 to 10 tabulate them."""
import torch

from .. import portraits
from ..networks import classifiers
from ..perception.edit_targets import EDIT_TARGETS


def standard_deviations(samples=10_000, seed=0):
    """The standard deviation of every attribute over Portraits, the unit of leakage: {name: number}.

    Its square is half the mean square of the difference of two portraits, where classes that differ count 1; for a number that is
    the usual variance.
    """
    truth = portraits.sample_attributes(samples, seed)
    return {spec.name: (_difference(spec, truth[spec.name], truth[spec.name].roll(1)).square().mean() / 2).sqrt().item()
            for spec in portraits.ATTRIBUTES}


def leakage(prompt, before, after, sigma):
    """Attribute leakage: how far the attributes change that the prompt does not touch, in standard deviations, their mean. → [N]

    prompt: one of EDIT_TARGETS; before, after: attributes {name: [N]}, of which those that do not show, such as the colour of the
    hair of a bald head, do not count (`portraits.canonical`); sigma: of `standard_deviations`.
    """
    before, after = portraits.canonical(before), portraits.canonical(after)
    untouched = [spec for spec in portraits.ATTRIBUTES if spec.name not in EDIT_TARGETS[prompt].touched]
    changes = [_difference(spec, after[spec.name], before[spec.name]) / sigma[spec.name] for spec in untouched]
    return torch.stack(changes).mean(dim=0)


@torch.no_grad()
def edit_scores(prompt, before, after, judge, identity, sigma):
    """Scores of N edits towards a prompt of EDIT_TARGETS, as tensors [N] on the CPU:

    "success": bool, the judge predicts what the prompt asks for, of a picture that it can read; "readable": bool, that it can
    (`classifiers.readable`); "leakage": of `leakage`; "identity_preserved": bool, the identity
    network sees the same person; "identity_similarity": the cosine of the two `classifiers.identity_vector`s that the judge
    predicts. before, after: images [N, 3, H, W] in [-1, 1]; sigma: of `standard_deviations`.
    """
    device = next(judge.parameters()).device
    before, after = before.to(device), after.to(device)
    was, now = classifiers.predict(judge, before), classifiers.predict(judge, after)
    readable = classifiers.readable(judge, after)
    return {"success": EDIT_TARGETS[prompt].success(now) & readable, "readable": readable,
            "leakage": leakage(prompt, was, now, sigma), "identity_preserved": identity.same_person(before, after).cpu(),
            "identity_similarity": (classifiers.identity_vector(was) * classifiers.identity_vector(now)).sum(dim=1)}


def _difference(spec, a, b):
    """|a − b|, or 1 where classes differ."""
    return (a != b).double() if spec.kind == "discrete" else (a - b).abs().double()
