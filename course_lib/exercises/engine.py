"""Exercises: what one is, and how an answer is judged.

An exercise is one declaration (see `lesson05.py`): what is asked, the inputs that an answer is tried on, wrong answers that
deserve a name, other right ones, and a proof in a trained model. `check` judges from it, and so do the tests.
"""
import dis
import inspect
import re
import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from . import guard, probes
from .blank import Blank, ____
from .explain import difference, not_a_tensor
from .translate import raised


@dataclass(frozen=True)
class Result:
    """status is "right", "wrong", "not attempted" or "error"; `mistake` is the name of a known mistake, or None."""
    status: str
    mistake: str | None
    message: str
    exercise: str = ""
    printed: str = ""
    picture: object = field(default=None, repr=False, compare=False)
    alt: str = ""

    def __repr__(self):
        from . import display
        return display.text(self)

    def _repr_html_(self):
        from . import display
        return display.html(self)


@dataclass(frozen=True)
class Mistake:
    function: object
    message: str
    visible: bool               # whether the picture of the proof shows it

    @property
    def name(self):
        return self.function.__name__


RETURN = {"tensor": "Return one torch.Tensor.", "numbers": "Return Python numbers.", "tensors": "Return tensors.",
          "tensor and state": "Return a tensor, and after it a tensor or a number."}


@dataclass(eq=False)
class Exercise:
    id: str
    stub: str                   # the signature, as in the notebook
    conventions: str
    production: object          # the library's function, which `solution` shows
    probes: list
    proof: object               # a proof.Proof
    hints: tuple
    needs: str | None = None    # a model without which the lesson is not there, beside that of the proof
    reference: object = None    # production with the parameters of the stub, where they differ
    returns: str = "tensor"     # or "numbers", "tensors": one or several; or "tensor and state": only the first has a gradient
    single: bool = False        # float32 is enough, whatever the type of the inputs: the library computes it in that
    tolerance: float = 1e-8     # of values in float64
    forbidden: tuple = ()       # further functions of the library that an answer must not call
    inspect: object = None      # (answer) → (mistake, message) for a right result found in a way that the exercise excludes
    mistakes: list = field(default_factory=list)
    alternatives: list = field(default_factory=list)

    def __post_init__(self):
        self.reference = self.reference or self.production

    def mistake(self, message, visible=True):
        return lambda function: self.mistakes.append(Mistake(function, message, visible)) or function

    def alternative(self, function):
        self.alternatives.append(function)
        return function

    @property
    def name(self):
        return self.id.split(".")[1]

    @property
    def source(self):
        """The stub as it stands in the notebook."""
        return f"def {self.stub}:\n    return ____\n"

    @property
    def hidden(self):
        return (self.production, *self.forbidden)

    @cached_property
    def signature(self):
        names = {"____": ____}
        exec(self.source, names)
        return inspect.signature(names[self.stub.split("(")[0]])

    @cached_property
    def parameters(self):
        """(required, optional) names."""
        parameters = self.signature.parameters.values()
        return [p.name for p in parameters if p.default is p.empty], [p.name for p in parameters if p.default is not p.empty]

    def as_declared(self, answer):
        """An answer that may be called in every way that the stub may."""
        required, optional = self.parameters
        way = probes.binds(answer, required, optional)

        def declared(*args, **kwargs):
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return probes.call(answer, way, bound.arguments, required)
        return declared

    @cached_property
    def _timed(self):
        began = time.monotonic()
        return self.outcomes(self.reference, seconds=600), time.monotonic() - began

    @property
    def expected(self):
        return self._timed[0]

    @property
    def limit(self):
        """The seconds that an answer may take for all probes."""
        return guard.limit(self._timed[1])

    @cached_property
    def mistaken(self):
        return [self.outcomes(mistake.function, seconds=600) for mistake in self.mistakes]

    def outcomes(self, function, way=None, seconds=guard.SECONDS, data=False):
        """What the function makes of every probe, until it takes too long. data: see `probes.run`."""
        required, optional = self.parameters
        way = way or probes.binds(function, required, optional)
        if way == "order":                  # no name says which optional ones a probe omits
            function, way = self.as_declared(function), "names"
        found, end = [], time.monotonic() + seconds
        for probe in self.probes:
            found.append(probes.run(function, way, probe, required, max(end - time.monotonic(), 0.01), self.returns,
                                    self.single, self.tolerance, data))
            if isinstance(found[-1].error, guard.TimeLimit):
                break
        return found


NOT_A_FUNCTION = ("The second call with the same inputs gives something else. Use nothing but the arguments: no randomness, no "
                  "global variable that changes.")


def right(outcomes, expected):
    return len(outcomes) == len(expected) and all(probes.distance(a, b) <= 1 for a, b in zip(outcomes, expected))


def judge(exercise, answer):
    """(status, mistake, message, printed) from the probes alone."""
    problem = unusable(exercise, answer)
    if problem:
        return "error", None, problem, ""
    required, optional = exercise.parameters
    way = probes.binds(answer, required, optional)
    if way is None:
        return "error", None, f"Your function takes other parameters. Write it as {exercise.stub}.", ""
    with guard.room() as printed:
        expected, limit = exercise.expected, exercise.limit
        with guard.without(exercise.hidden):
            found = exercise.outcomes(answer, way, limit)
        status, mistake, message = verdict(exercise, answer, found)
        if status in ("right", "wrong") and mistake is None:
            with guard.without(exercise.hidden):
                repeated = exercise.outcomes(answer, way, limit)
                used = exercise.outcomes(answer, way, limit, data=True) if status == "right" else ()
                other_way = status == "right" and exercise.inspect and exercise.inspect(answer)
            if not right(repeated, expected if status == "right" else found):
                status, mistake, message = "wrong", "not a function", NOT_A_FUNCTION
            elif any(outcome.left or outcome.error for outcome in used):
                status, mistake, message = in_use(exercise, answer, used)
            elif other_way:
                status, mistake, message = "wrong", *other_way
        return status, mistake, message, str(printed)


def in_use(exercise, answer, found):
    """(status, mistake, message) where the inputs are as a training loop has them."""
    outcome, probe = next((o, p) for o, p in zip(found, exercise.probes) if o.left or o.error)
    if outcome.error is None:
        return "wrong", "side effect", outcome.left
    return "error", None, raised(outcome.error, answer, probe, seconds=exercise.limit)


def unusable(exercise, answer):
    name = exercise.name
    if isinstance(answer, (torch.Tensor, Blank)) or not callable(answer):
        return f"Pass the function itself, without calling it: check({name})."
    if isinstance(answer, type):
        return f"You pass a class. Pass a function: check({name})."
    if inspect.iscoroutinefunction(answer) or inspect.isasyncgenfunction(answer):
        return "Your function is declared `async def`. Write `def`."
    if inspect.isgeneratorfunction(answer):
        return "Your function contains `yield`, so it returns a generator. Use `return`."


def verdict(exercise, answer, found):
    """(status, mistake, message) from what the answer made of the probes."""
    expected = exercise.expected
    if any(isinstance(o.value, Blank) for o in found):
        return "not attempted", None, "Replace ____ with your code, and run the cell again."
    if all(o.error is None and o.value is None for o in found):
        return "wrong", "no return", "Your function returns None. You forgot `return`."
    for mistake, outcomes in zip(exercise.mistakes, exercise.mistaken):
        if right(found, outcomes):
            return "wrong", mistake.name, mistake.message
    for outcome, probe in zip(found, exercise.probes):
        if isinstance(outcome.value, torch.Tensor) and outcome.changed:
            work = ("Work on a copy." if isinstance(probe.inputs[outcome.changed], (list, np.ndarray)) else
                    "Work on a new tensor: no +=, *=, and no method whose name ends in _.")
            return "wrong", "changes its input", f"Your function changes its input `{outcome.changed}`. {work}"
        if isinstance(outcome.value, torch.Tensor) and outcome.left:
            return "wrong", "side effect", outcome.left
    for outcome, wanted, probe in zip(found, expected, exercise.probes):
        if isinstance(outcome.error, guard.LeftBehind):
            return "wrong", "side effect", raised(outcome.error, answer)
        if outcome.error is not None:
            return "error", None, raised(outcome.error, answer, probe, seconds=exercise.limit)
        if outcome.form != wanted.form and outcome.value is not None:
            number = (" `.item()` gives the number in a tensor or an array, `.tolist()` several."
                      if exercise.returns == "numbers" and re.search("a tensor|an array", outcome.form) else "")
            returned = outcome.form if len(outcome.form) < 160 else f"{outcome.form[:160]}…"
            return "wrong", "form", f"Your function returns {returned} instead of {wanted.form}, for: {probe.what}.{number}"
        if not_a_tensor(outcome.value):
            return "error", None, f"Your function {not_a_tensor(outcome.value)} {RETURN[exercise.returns]}"
    if right(found, expected):
        shared = next((o.shared for o in found if o.shared), None)
        if shared:
            return "wrong", "returns its input", (f"Your function returns the memory of its input `{shared}`, so whoever "
                                                  "changes the result changes the input too. Return a new tensor.")
        return "right", None, "Right."
    return "wrong", *difference(exercise, found, expected)


def variables(answer):
    """The global variables that a function reads: what may change after the check."""
    code = getattr(answer, "__code__", None)
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"} if code else ()
    data = (bool, int, float, str, list, tuple, dict, set, torch.Tensor)
    return sorted(name for name in names if isinstance(answer.__globals__.get(name), data))
