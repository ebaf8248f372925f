"""Exercises: write one of the library's functions, have it checked, and see a trained generator run on it.

    ex = exercises.lesson("05")
    ex.demodulate.check(demodulate)      # also .hint() and .solution()

`exercises.check("05.demodulate", function)` is the same; `names()` lists them, `progress()` shows what you have solved.
"""
import inspect
import time
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

from .. import notebook_copies as copies
from .. import zoo
from .engine import display, guard, model_check, verdict
from .engine import progress as progress_file
from .engine.placeholder import ____
from .engine.translate import raised
from .engine.verdict import Result
from .lessons import EXERCISES

__all__ = ["____", "Result", "check", "hint", "lesson", "names", "progress", "solution", "stub"]
_hints_seen = {}


def names():
    """The ids of the exercises, in the order of the lessons. One whose models this copy of the course lacks is not offered."""
    known = {None, *zoo.names()}
    return [name for name, task in EXERCISES.items() if {task.model_check.model, task.needs} <= known]


def exercise(name):
    if name not in EXERCISES:
        raise ValueError(f'there is no exercise "{name}"; there are {", ".join(names())}')
    return EXERCISES[name]


def check(name, answer, generator=None):
    """Judge an answer: first on small inputs, then inside a generator (the course's own, unless you pass one).

    Returns a Result; its `picture` shows the generator with the library's function and with the answer.
    """
    task = exercise(name)
    own = any(answer is function for function in task.hidden)
    answer = guard.copy_of(answer) if own else answer
    status, mistake, message, printed = verdict.judge(task, answer)
    picture, alt = None, ""
    if status in ("right", "wrong"):
        status, mistake, message, picture, alt = in_the_model(task, answer, generator, status, mistake, message)
    if status == "right" and verdict.variables(answer):
        message += (f" It reads the global variable `{verdict.variables(answer)[0]}`: when that changes, so does your function.")
    if own and status == "right":
        message = "This is the library's own function, and it is right. Write yours."
    else:
        progress_file.record(name, status)
    result = Result(status, mistake, message, name, printed, picture, alt)
    if picture is not None and display.in_notebook():
        from .. import plots
        plots.show(picture, alt)
    return result


def in_the_model(task, answer, generator, status, mistake, message):
    """The generator's word on an answer: it can only take back a "right"; of a wrong answer it shows the picture."""
    with guard.sandbox():
        try:
            network = generator or _network(task.model_check)
            reference, seconds = _timed(task, generator) if generator else _reference(task)
        except (OSError, ValueError) as problem:
            return status, mistake, f"{message} The generator could not be loaded: {problem}", None, ""
        limit = guard.limit(seconds)
        with guard.without(task.hidden):
            found, error = guard.attempt(lambda: task.model_check.images(task.as_declared(answer), network, reference.shape), limit)
        shown = found and model_check.Shown(reference, *found)
        if status == "right" and found and not shown.same:
            shown = replace(shown, rounding=task.model_check.rounding(network, reference, map(task.as_declared, task.alternatives)))
    who = task.model_check.who[0].lower() + task.model_check.who[1:]
    if error is not None:
        if status == "right":
            return "error", None, f"Right on small inputs, but not in {who}. {raised(error, answer, None, who, limit)}", None, ""
        return status, mistake, message, None, ""
    picture, alt = task.model_check.picture(shown), task.model_check.alt(shown, task.name)
    if status == "right":
        if not shown.calls:
            status, mistake, message = "error", None, f"{task.model_check.who} never called your function."
        elif not shown.same:
            status, message = "wrong", (f"Right on small inputs, but {who} gives something else with it: "
                                        f"{task.model_check.in_words(shown)}")
        else:
            times = f"{shown.calls} time{'s' * (shown.calls > 1)}"
            message = f"Right. {task.model_check.who} called your {task.name} {times} and {task.model_check.what}."
    return status, mistake, message, picture, alt


@lru_cache(2)
def _model(name, part):
    return zoo.load(name, part)


def _network(check):
    return check.model and _model(check.model, check.part)


def _timed(task, network):
    """What the library's function makes in the model check, and how many seconds that took."""
    began = time.monotonic()
    return task.model_check.reference(network), time.monotonic() - began


@lru_cache
def _reference(task):
    return _timed(task, _network(task.model_check))


def hint(name):
    """The next hint; after the last one they begin again."""
    task = exercise(name)
    seen = _hints_seen.get(name, 0)
    _hints_seen[name] = seen + 1
    return display.Text(f"Hint {seen % len(task.hints) + 1} of {len(task.hints)}: {task.hints[seen % len(task.hints)]}")


def solution(name):
    """The function that the library runs."""
    production = exercise(name).production
    name = f"{production.__module__.split('.')[-1]}.{production.__name__}"
    return display.Text(f"`{name}`, as the library runs it:", inspect.getsource(production))


def stub(name):
    """The source of the stub in the notebook."""
    return exercise(name).source


def progress():
    """What you have solved on this computer."""
    known = progress_file.read()
    return display.Overview({name: known.get(name, "not attempted") for name in names()})


class View:
    """One exercise in a notebook."""

    def __init__(self, task):
        self.id, self._task = task.id, task

    def check(self, answer):
        return check(self.id, answer)

    def hint(self):
        return hint(self.id)

    def solution(self):
        return solution(self.id)

    def __repr__(self):
        return f"{self._task.stub}\n{self._task.conventions}"


def lesson(number):
    """The exercises of a lesson by name: lesson("05").demodulate. In a copy that is older than its lesson, it says so."""
    found = {EXERCISES[name].name: View(EXERCISES[name]) for name in names() if name.startswith(f"{number}.")}
    missing = [name for name in EXERCISES if name.startswith(f"{number}.") and name not in names()]
    if missing:
        left_out = f"left out, {', '.join(missing)}: {zoo.no_models() or 'their models are missing'}"
        if not found:
            raise FileNotFoundError(left_out)
        print(left_out)
    elif not found:
        raise ValueError(f'lesson "{number}" has no exercises; these have: '
                         f'{", ".join(sorted({name.split(".")[0] for name in names()}))}')
    if notice := copies.notice():
        print(notice)
    return SimpleNamespace(**found)
