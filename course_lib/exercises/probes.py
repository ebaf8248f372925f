"""Probes: the inputs of a check, what a function makes of them, and how far two functions are apart."""
import copy
import inspect
from dataclasses import dataclass

import torch

from . import guard

# Relative to the largest value expected, and the least value that this may be.
TOLERANCE = {torch.float64: (1e-8, 1e-6), torch.float32: (2e-4, 1e-2)}


@dataclass(frozen=True)
class Probe:
    """One call: `what` tells a learner about the inputs, `inputs` maps parameters to values; omitted ones take defaults."""
    what: str
    inputs: dict

    def tensors(self):
        return {name: value for name, value in self.inputs.items() if isinstance(value, torch.Tensor)}

    def networks(self):
        return {name: value for name, value in self.inputs.items() if isinstance(value, torch.nn.Module)}


@dataclass
class Outcome:
    """What a function made of one probe: a value and gradients by input name, or an exception."""
    value: object = None
    gradients: dict | None = None
    error: BaseException | None = None
    changed: str | None = None              # the input that it changed
    shared: str | None = None               # the input whose memory it returned


def normal(*shape, seed=0, dtype=torch.float64, scale=1.0):
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
def run(function, way, probe, required, seconds=guard.SECONDS, returns="tensor"):
    """The outcome of one probe. Inputs are copies with a gradient; the gradient is that of a fixed random projection, and
    reaches the parameters of networks too."""
    networks = {name: copy.deepcopy(value) for name, value in probe.networks().items()}
    leaves = {name: value.clone().requires_grad_() for name, value in probe.tensors().items()}
    inputs = {name: leaves[name].clone() if name in leaves else networks.get(name, value)
              for name, value in probe.inputs.items()}
    given = {name: inputs[name] for name in leaves}
    leaves |= {f"{name}.{part}": p for name, network in networks.items() for part, p in network.named_parameters()}
    storages = {name: value.untyped_storage().data_ptr() for name, value in given.items()}
    outcome = Outcome()
    outcome.value, outcome.error = guard.attempt(lambda: call(function, way, inputs, required), seconds)
    for name, value in given.items():
        if value._version or value.shape != leaves[name].shape or not torch.equal(value.detach(), leaves[name].detach()):
            outcome.changed = outcome.changed or name
    outcome.value = one_tensor(outcome.value, returns)
    if type(outcome.value) not in (torch.Tensor, torch.nn.Parameter) or outcome.value.layout != torch.strided:
        return outcome
    value = outcome.value
    if value.device.type == "cpu" and value.is_floating_point():
        outcome.shared = next((n for n, p in storages.items() if value.untyped_storage().data_ptr() == p), None)
        outcome.gradients, error = guard.attempt(lambda: gradients(value, leaves), seconds)
        outcome.error = outcome.error or error
        outcome.value = value.detach().clone()
    return outcome


def one_tensor(value, returns):
    """Numbers, or tensors of one shape, as a tensor if the exercise asks for them; anything else stays as it is."""
    several = value if isinstance(value, (tuple, list)) else (value,)
    if returns == "numbers" and all(isinstance(x, (int, float)) for x in several):
        return torch.tensor([float(x) for x in several], dtype=torch.float64)
    if returns == "tensors" and isinstance(value, (tuple, list)) and value and all(
            isinstance(x, torch.Tensor) and x.shape == value[0].shape for x in value):
        return torch.stack(list(value))
    return value


def gradients(value, leaves):
    if not value.requires_grad or not value.numel():
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    projection = normal(*value.shape, seed=99, dtype=value.dtype)
    found = torch.autograd.grad(value, list(leaves.values()), projection, allow_unused=True)
    return {name: torch.zeros_like(leaf) if g is None else g.detach() for (name, leaf), g in zip(leaves.items(), found)}


def distance(a, b):
    """Between two outcomes, in tolerances; 0 for the same kind of exception, infinite where they cannot be compared."""
    if a.error is not None or b.error is not None:
        return 0.0 if type(a.error) is type(b.error) else float("inf")
    if not (isinstance(a.value, torch.Tensor) and isinstance(b.value, torch.Tensor)):
        return float("inf")
    if a.gradients is None or b.gradients is None or bool(a.changed) != bool(b.changed):
        return float("inf")
    return max(apart(a.value, b.value), *(apart(a.gradients[name], b.gradients[name]) for name in b.gradients))


def apart(a, b):
    """The largest difference of two tensors in tolerances, relative to the largest value of b."""
    if a.shape != b.shape or a.dtype != b.dtype or not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    tolerance, floor = TOLERANCE.get(b.dtype, (1e-2, 1e-2))
    a, b = a.double(), b.double()
    finite = b[b.isfinite()]
    scale = max(finite.abs().max().item(), floor) if finite.numel() else floor
    difference = torch.where((a == b) | b.isnan(), 0.0, (a - b).abs())
    return difference.max().item() / (tolerance * scale) if difference.numel() else 0.0


def close(a, b):
    """Whether two values differ by less than a thousandth of the largest."""
    return a.value.shape == b.value.shape and bool((a.value - b.value).abs().max() < 1e-3 * b.value.abs().max())
