"""Cases: the inputs of a check, what a function makes of them, and how far two functions are apart."""
import copy
import inspect
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch

from . import effects, guard
from .placeholder import Placeholder, ____

# Relative to the largest value expected, and the least value that this may be. An exercise may set that of float64.
TOLERANCE = {torch.float64: (1e-8, 1e-6), torch.float32: (2e-4, 1e-2)}


@dataclass(frozen=True)
class Computed:
    """An input that a network makes of the input `source` and that stays in its graph: images of latents, logits of images."""
    network: torch.nn.Module
    source: str


@dataclass(frozen=True)
class Case:
    """One call: `what` tells a learner about the inputs, `inputs` maps parameters to values; omitted ones take defaults."""
    what: str
    inputs: dict

    def float(self):
        """The same case in float32: its tensors, those in its lists, and its networks."""
        return Case(self.what, {name: in_float32(value) for name, value in self.inputs.items()})

    def tensors(self):
        return tensors_of(self.inputs)

    def networks(self):
        found = {name: value for name, value in self.inputs.items() if isinstance(value, torch.nn.Module)}
        return found | {name: value.network for name, value in self.computed().items()}

    def computed(self):
        return {name: value for name, value in self.inputs.items() if isinstance(value, Computed)}


def case(what, /, **inputs):
    return Case(what, inputs)


def in_float32(value):
    if isinstance(value, Computed):
        return Computed(in_float32(value.network), value.source)
    if isinstance(value, list):
        return [in_float32(x) for x in value]
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).float()
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def tensors_of(inputs):
    """The tensors by the name of the input, and those of a list as "name[0]"."""
    lists = {f"{name}[{i}]": x for name, value in inputs.items() if isinstance(value, list) for i, x in enumerate(value)}
    return {name: value for name, value in (inputs | lists).items() if isinstance(value, torch.Tensor)}


@dataclass
class Outcome:
    """What a function made of one case: a value and gradients by input name, or an exception.

    Several numbers or tensors are one tensor here, and `form` says how they were returned.
    """
    value: object = None
    form: str | None = None
    gradients: dict | None = None
    error: BaseException | None = None
    changed: str | None = None              # the input that it changed
    shared: str | None = None               # the input whose memory it returned
    left: str | None = None                 # a sentence about what it left behind in its inputs
    tolerance: float = TOLERANCE[torch.float64][0]


def draw(*shape, seed=0, dtype=torch.float64, scale=1.0):
    """A tensor of normally distributed numbers, the same ones for a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul(scale).to(dtype)


def binds(function, required, optional):
    """How to call it: "names" (optional ones by keyword), "order", or None if its parameters do not fit."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return "order"
    ways = ("names", required, dict.fromkeys(optional)), ("order", [*required, *optional], {})
    for way, args, kwargs in ways:
        try:
            signature.bind(*args, **kwargs)
            return way
        except TypeError:
            pass


def call(function, way, inputs, required):
    if way == "names":
        return function(*[inputs[name] for name in required],
                        **{name: value for name, value in inputs.items() if name not in required})
    return function(*inputs.values())


@torch.enable_grad()
def run(function, way, case, required, seconds=guard.SECONDS, returns="tensor", single=False, tolerance=1e-8,
        without_gradient=(), data=False):
    """The outcome of one case. Inputs are copies with a gradient, but for those named in without_gradient; the gradient is that of
    a fixed random projection, and reaches the parameters of networks too. single: all is rounded to float32. data: the inputs are
    as a training loop has them, tensors without a gradient and parameters with one, and only what the call leaves behind is of
    interest."""
    networks = {name: copy.deepcopy(value) for name, value in case.networks().items()}
    with_gradient = {value.source for value in case.computed().values()} if data else case.inputs.keys() - {*without_gradient}
    leaves = {name: value.clone().requires_grad_() for name, value in case.tensors().items() if name in with_gradient}
    inputs = {name: leaves[name].clone() if name in leaves else networks.get(name) or copy.deepcopy(value)
              for name, value in case.inputs.items()}
    inputs |= {name: networks[name](inputs[value.source]) for name, value in case.computed().items()}
    for parameter in [p for network in networks.values() for p in network.parameters() if data]:
        parameter.grad = torch.ones_like(parameter)
    given = {name: value for name, value in inputs.items() if isinstance(value, (torch.Tensor, np.ndarray, list))}
    before = {name: snapshot(value) for name, value in given.items()}
    held = effects.held([*tensors_of(inputs).items(), *leaves.items()],
                        {f"the network behind `{name}`" if name in case.computed() else f"`{name}`": network
                         for name, network in networks.items()})
    leaves |= {f"{name}.{part}": p for name, network in networks.items() for part, p in network.named_parameters()}
    storages = {name: value.untyped_storage().data_ptr() for name, value in given.items() if isinstance(value, torch.Tensor)}
    outcome, without = Outcome(tolerance=tolerance), []

    def called():
        value = call(function, way, inputs, required)
        outcome.value, outcome.form = one_tensor(value, returns)
        outcome.changed = next((name for name, value in given.items() if not unchanged(value, before[name])), None)
        outcome.left = effects.left(held)
        if not plain(outcome.value) or data:
            return
        parts = {id(part) for part in leaves_of(value)}
        outcome.shared = next((name for name, x in tensors_of(inputs).items() if id(x) in parts
                               or storages.get(name) == outcome.value.untyped_storage().data_ptr()), None)
        try:
            outcome.gradients = gradients(outcome.value, leaves)
        except Exception as error:
            without.append(error)

    _, error = guard.attempt(called, seconds)           # once for value and gradients: the guard takes longer than most answers
    if error is not None:
        return Outcome(error=error, tolerance=tolerance)
    if plain(outcome.value) and not data:
        outcome.error = next(iter(without), None)
        outcome.value = outcome.value.detach().clone()
        if single and outcome.error is None:
            outcome.value = rounded(outcome.value)
            outcome.gradients = {name: rounded(gradient) for name, gradient in outcome.gradients.items()}
    return outcome


def snapshot(value):
    if isinstance(value, list):
        return [snapshot(x) for x in value]
    return (value._version, value.detach().clone()) if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def unchanged(value, before):
    if isinstance(value, torch.Tensor):
        version, before = before
        return value._version == version and value.shape == before.shape and torch.equal(value.detach(), before)
    if isinstance(value, list):
        return len(value) == len(before) and all(map(unchanged, value, before))
    return np.array_equal(value, before)


def rounded(value):
    return value.float() if value.dtype == torch.float64 else value


def plain(value):
    return (type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided
            and value.device.type == "cpu" and value.is_floating_point())


def one_tensor(value, returns):
    """(value, form): numbers, or tensors, as one tensor if the exercise asks for several; anything else stays as it is.
    A state may be a number too."""
    if returns == "tensor and state" and isinstance(value, (tuple, list)) and len(value) == 2:
        first, state = value
        value = (first, first.new_tensor(float(state))) if isinstance(state, Real) and plain(first) else value
    parts = list(leaves_of(value))
    if any(isinstance(x, Placeholder) for x in parts):
        return ____, None
    if returns == "tensor":
        return value, None
    if returns == "numbers" and parts and all(isinstance(x, Real) for x in parts):
        return torch.tensor([float(x) for x in parts], dtype=torch.float64), form(value)
    if returns != "numbers" and parts and all(map(plain, parts)):
        if returns == "tensor and state":
            parts[1:] = [x.detach() for x in parts[1:]]
        return torch.cat([x.flatten() for x in parts]), form(value)
    return value, form(value)


def leaves_of(value):
    if isinstance(value, (tuple, list, dict)):
        for part in value if not isinstance(value, dict) else [value[key] for key in sorted(value, key=str)]:
            yield from leaves_of(part)
    else:
        yield value


def form(value):
    """What somebody returned, in words: "(a tensor [3], a number)"."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {form(value[key])}' for key in sorted(value, key=str))}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(form, value))})"
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}" + ("" if plain(value) else f" of type {value.dtype}")
    return "a number" if isinstance(value, Real) else kind(value)


def kind(value):
    """The type of a value with its article."""
    if value is None:
        return "None"
    name = "array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def gradients(value, leaves):
    if not leaves or not value.requires_grad or not value.numel():
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    projection = draw(*value.shape, seed=99, dtype=value.dtype)
    found = torch.autograd.grad(value, list(leaves.values()), projection, allow_unused=True)
    return {name: torch.zeros_like(leaf) if g is None else g.detach() for (name, leaf), g in zip(leaves.items(), found)}


def distance(a, b):
    """Between two outcomes, in tolerances; 0 for the same kind of exception, infinite where they cannot be compared."""
    if a.error is not None or b.error is not None:
        return 0.0 if type(a.error) is type(b.error) else float("inf")
    if not (isinstance(a.value, torch.Tensor) and isinstance(b.value, torch.Tensor)) or a.form != b.form:
        return float("inf")
    if a.gradients is None or b.gradients is None or bool(a.changed) != bool(b.changed):
        return float("inf")
    return max([apart(a.value, b.value, b.tolerance),
                *(apart(a.gradients[name], b.gradients[name], b.tolerance) for name in b.gradients)])


def apart(a, b, double):
    """The largest difference of two tensors in tolerances, relative to the largest value of b. double: that of float64."""
    if a.shape != b.shape or a.dtype != b.dtype or not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    tolerance, floor = TOLERANCE.get(b.dtype, (1e-2, 1e-2))
    tolerance = double if b.dtype == torch.float64 else tolerance
    finite = b[b.isfinite()].double()
    scale = max(finite.abs().max().item(), floor) if finite.numel() else floor
    difference = differences(a, b)
    return difference.max().item() / (tolerance * scale) if difference.numel() else 0.0


def differences(a, b):
    """|a − b|, entry by entry, and 0 where both are infinite or b is NaN."""
    a, b = a.double(), b.double()
    return torch.where((a == b) | b.isnan(), 0.0, (a - b).abs())


def close(a, b):
    """Whether two values differ by less than a thousandth of the largest."""
    return a.value.shape == b.value.shape and bool((a.value - b.value).abs().max() < 1e-3 * b.value.abs().max())
