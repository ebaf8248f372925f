"""Why a result is not the right one, in words, and the smallest input that shows it."""
from numbers import Real

import numpy as np
import torch

from . import cases


def not_a_tensor(value):
    if value is None:
        return "sometimes returns None: one of its branches lacks a `return`."
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            return "returns a sparse tensor."
        if value.device.type != "cpu":
            return f"returns a tensor on the device {value.device.type}, though its inputs are on the CPU."
        if not value.is_floating_point():
            return f"returns values of type {value.dtype}, which cannot carry a gradient."
        return None if type(value) in (torch.Tensor, torch.nn.Parameter) else f"returns {cases.kind(value)}."
    if type(value).__module__ == "numpy":
        return "returns a NumPy array. Stay in torch: NumPy knows no gradients."
    return f"returns {cases.kind(value)}."


def difference(exercise, found, expected):
    """(mistake, message) for a tensor that is not the right one: the first fact that explains it."""
    wrong = [(case, a, b) for case, a, b in zip(exercise.cases, found, expected) if cases.distance(a, b) > 1]
    shapes = next(((p, a, b) for p, a, b in wrong if a.value.shape != b.value.shape), None)
    if shapes:
        case, a, b = shapes
        return "shape", f"The shape is {list(a.value.shape)}, it should be {list(b.value.shape)}, for: {case.what}."
    types = next(((a, b) for _, a, b in wrong if a.value.dtype != b.value.dtype), None)
    if types:
        return "dtype", f"Inputs of type {types[1].value.dtype} give a result of type {types[0].value.dtype}. Keep the type."
    values = [(p, a, b) for p, a, b in wrong if cases.apart(a.value, b.value, b.tolerance) > 1]
    if not values:
        case, a, b = wrong[0]
        name = next(n for n in b.gradients if cases.apart(a.gradients[n], b.gradients[n], b.tolerance) > 1)
        source = f"`{name}`" if name.split(".")[0] not in case.computed() else f"the network behind `{name.split('.')[0]}`"
        if not a.gradients[name].any():
            return "no gradient", (f"The values are right, but no gradient reaches {source}. Leave out detach(), .data, "
                                   "no_grad() and .item().")
        if a.gradients[name].isnan().any():
            return "gradient", (f"The values are right, but the gradient of {source} is NaN for: {case.what}. The root of 0 has "
                                "no slope: what is added to avoid that belongs inside the root.")
        return "gradient", f"The values are right, but the gradient of {source} is not. Is a part of it detached?"
    case, a, b = next((x for x in values if not cases.close(*x[1:])), values[0])
    where = f"It fails for: {case.what}."
    if a.value.isnan().any() and not b.value.isnan().any():
        return "nan", ("The result contains NaN: a division by zero, the root of a negative number, or the logarithm of 0. "
                       + where)
    if all(cases.close(a, b) for _, a, b in values):
        return "nearly", (f"Nearly right: the values differ by less than a thousandth. {where} Is a small constant another "
                          "one, or in another place, do you round, or do you go through float32?")
    count = len(exercise.cases) - len(wrong)
    right_ones = f"Right for {count} of {len(exercise.cases)} inputs, not for all. " if count else "The values are not right. "
    smallest = min([x for x in values if not cases.close(*x[1:])], key=size)
    return None, f"{right_ones}It fails for: {smallest[0].what}. {example(*smallest)}"


def size(triple):
    """How many numbers a reader of (case, found, expected) would see."""
    case, _, expected = triple
    others = [value for value in case.inputs.values() if isinstance(value, (list, tuple, np.ndarray))]
    return expected.value.numel() + sum(x.numel() for x in case.tensors().values()) + sum(map(len, others))


def example(case, found, expected):
    """The inputs of a case, what was expected and what came, in short numbers."""
    for most in (24, 6, 1):
        inputs = ", ".join(f"{name} = {readable(value, most)}" for name, value in case.inputs.items())
        if len(inputs) <= 180:
            break
    a, b = found.value, expected.value
    if b.numel() <= 6:
        return f"With `{inputs}` it should be `{readable(b)}`, and yours is `{readable(a)}`."
    place = cases.differences(a, b).flatten().argmax().item()
    where = (f"number {place + 1} of the result" if expected.form else
             f"the result at `[{', '.join(str(int(i)) for i in np.unravel_index(place, b.shape))}]`")
    return f"With `{inputs}` {where} should be `{readable(b.flatten()[place])}`, and yours is `{readable(a.flatten()[place])}`."


def readable(value, most=24):
    """A value in short numbers; of an array, or a sequence, with more than `most` only how many: "3×7 numbers"."""
    if isinstance(value, cases.Computed):
        return f"computed from {value.source}"
    if isinstance(value, (list, tuple)):
        if len(value) > most and all(isinstance(x, Real) for x in value):
            return f"{len(value)} numbers"
        return f"[{', '.join(readable(x, most) for x in value)}]"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        few = np.prod(value.shape) <= max(most, 1)
        return readable(value.tolist(), most) if few else f"{'×'.join(map(str, value.shape))} numbers"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return str(value) if isinstance(value, (Real, str)) or value is None else cases.kind(value)
