"""How an answer is judged: what it made of the cases, compared with the right answer and with the named mistakes."""
import dis
import inspect
import re
from dataclasses import dataclass, field

import numpy as np
import torch

from . import cases, display, guard
from .explain import difference, not_a_tensor
from .placeholder import Placeholder
from .translate import raised

RETURN = {"tensor": "Return one torch.Tensor.", "numbers": "Return Python numbers.", "tensors": "Return tensors.",
          "tensor and state": "Return a tensor, and after it a tensor or a number."}


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
        return display.text(self)

    def _repr_html_(self):
        return display.html(self)


NOT_A_FUNCTION = ("The second call with the same inputs gives something else. Use nothing but the arguments: no randomness, no "
                  "global variable that changes.")


def right(outcomes, expected):
    return len(outcomes) == len(expected) and all(cases.distance(a, b) <= 1 for a, b in zip(outcomes, expected))


def judge(exercise, answer):
    """(status, mistake, message, printed) from the cases alone."""
    problem = unusable(exercise, answer)
    if problem:
        return "error", None, problem, ""
    required, optional = exercise.parameters
    way = cases.binds(answer, required, optional)
    if way is None:
        return "error", None, f"Your function takes other parameters. Write it as {exercise.stub}.", ""
    with guard.sandbox() as printed:
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
    outcome, case = next((o, p) for o, p in zip(found, exercise.cases) if o.left or o.error)
    if outcome.error is None:
        return "wrong", "side effect", outcome.left
    return "error", None, raised(outcome.error, answer, case, seconds=exercise.limit)


def unusable(exercise, answer):
    name = exercise.name
    if isinstance(answer, (torch.Tensor, Placeholder)) or not callable(answer):
        return f"Pass the function itself, without calling it: check({name})."
    if isinstance(answer, type):
        return f"You pass a class. Pass a function: check({name})."
    if inspect.iscoroutinefunction(answer) or inspect.isasyncgenfunction(answer):
        return "Your function is declared `async def`. Write `def`."
    if inspect.isgeneratorfunction(answer):
        return "Your function contains `yield`, so it returns a generator. Use `return`."


def verdict(exercise, answer, found):
    """(status, mistake, message) from what the answer made of the cases."""
    expected = exercise.expected
    if any(isinstance(o.value, Placeholder) for o in found):
        return "not attempted", None, "Replace ____ with your code, and run the cell again."
    if all(o.error is None and o.value is None for o in found):
        return "wrong", "no return", "Your function returns None. You forgot `return`."
    for mistake, outcomes in zip(exercise.mistakes, exercise.mistaken):
        if right(found, outcomes):
            return "wrong", mistake.name, mistake.message
    for outcome, case in zip(found, exercise.cases):
        if isinstance(outcome.value, torch.Tensor) and outcome.changed:
            work = ("Work on a copy." if isinstance(case.inputs[outcome.changed], (list, np.ndarray)) else
                    "Work on a new tensor: no +=, *=, and no method whose name ends in _.")
            return "wrong", "changes its input", f"Your function changes its input `{outcome.changed}`. {work}"
        if isinstance(outcome.value, torch.Tensor) and outcome.left:
            return "wrong", "side effect", outcome.left
    for outcome, wanted, case in zip(found, expected, exercise.cases):
        if isinstance(outcome.error, guard.LeftBehind):
            return "wrong", "side effect", raised(outcome.error, answer)
        if outcome.error is not None:
            return "error", None, raised(outcome.error, answer, case, seconds=exercise.limit)
        if outcome.form != wanted.form and outcome.value is not None:
            number = (" `.item()` gives the number in a tensor or an array, `.tolist()` several."
                      if exercise.returns == "numbers" and re.search("a tensor|an array", outcome.form) else "")
            returned = outcome.form if len(outcome.form) < 160 else f"{outcome.form[:160]}…"
            return "wrong", "form", f"Your function returns {returned} instead of {wanted.form}, for: {case.what}.{number}"
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
