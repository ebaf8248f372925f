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

from .. import lessons, zoo
from . import (display, engine, guard, lesson00, lesson01, lesson01_growing, lesson02, lesson02_penalty, lesson02_stddev, lesson03,
               lesson03_mixing, lesson04, lesson05, lesson05_activations, lesson05_convolutions, lesson06, lesson06_lazy,
               lesson06_penalty, lesson07, lesson07_entropy, lesson07_measures, lesson08, lesson08_loss, lesson09, lesson09_loss, lesson10,
               lesson10_channels, lesson10_edit, proof as proofs, records)
from .blank import ____
from .engine import Result

__all__ = ["____", "Result", "check", "hint", "lesson", "names", "progress", "solution", "stub"]
MODULES = (lesson00, lesson01, lesson01_growing, lesson02, lesson02_stddev, lesson02_penalty, lesson03, lesson03_mixing, lesson04,
           lesson05, lesson05_convolutions, lesson05_activations, lesson06, lesson06_penalty, lesson06_lazy, lesson07,
           lesson07_measures, lesson07_entropy, lesson08, lesson08_loss, lesson09, lesson09_loss, lesson10, lesson10_channels,
           lesson10_edit)
EXERCISES = {exercise.id: exercise for module in MODULES for exercise in module.EXERCISES}
_hints_seen = {}


def names():
    """The ids of the exercises, in the order of the lessons. One whose models this copy of the course lacks is not offered."""
    known = {None, *zoo.names()}
    return [name for name, task in EXERCISES.items() if {task.proof.model, task.needs} <= known]


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
    status, mistake, message, printed = engine.judge(task, answer)
    picture, alt = None, ""
    if status in ("right", "wrong"):
        status, mistake, message, picture, alt = prove(task, answer, generator, status, mistake, message)
    if status == "right" and engine.variables(answer):
        message += (f" It reads the global variable `{engine.variables(answer)[0]}`: when that changes, so does your function.")
    if own and status == "right":
        message = "This is the library's own function, and it is right. Write yours."
    else:
        records.record(name, status)
    result = Result(status, mistake, message, name, printed, picture, alt)
    if picture is not None and display.in_notebook():
        from .. import plots
        plots.show(picture, alt)
    return result


def prove(task, answer, generator, status, mistake, message):
    """The generator's word on an answer: it can only take back a "right"; of a wrong answer it shows the picture."""
    with guard.room():
        try:
            network = generator or _network(task.proof)
            reference, seconds = _timed(task, generator) if generator else _reference(task)
        except (OSError, ValueError) as problem:
            return status, mistake, f"{message} The generator could not be loaded: {problem}", None, ""
        limit = guard.limit(seconds)
        with guard.without(task.hidden):
            found, error = guard.attempt(lambda: task.proof.images(task.as_declared(answer), network, reference.shape), limit)
        shown = found and proofs.Shown(reference, *found)
        if status == "right" and found and not shown.same:
            shown = replace(shown, rounding=task.proof.rounding(network, reference, map(task.as_declared, task.alternatives)))
    who = task.proof.who[0].lower() + task.proof.who[1:]
    if error is not None:
        if status == "right":
            return "error", None, f"Right on small inputs, but not in {who}. {engine.raised(error, answer, None, who, limit)}", None, ""
        return status, mistake, message, None, ""
    picture, alt = task.proof.picture(shown), task.proof.alt(shown, task.name)
    if status == "right":
        if not shown.calls:
            status, mistake, message = "error", None, f"{task.proof.who} never called your function."
        elif not shown.same:
            status, message = "wrong", (f"Right on small inputs, but {who} gives something else with it: "
                                        f"{task.proof.deviation(shown)}")
        else:
            times = f"{shown.calls} time{'s' * (shown.calls > 1)}"
            message = f"Right. {task.proof.who} called your {task.name} {times} and {task.proof.what}."
    return status, mistake, message, picture, alt


@lru_cache(2)
def _model(name, part):
    return zoo.load(name, part)


def _network(proof):
    return proof.model and _model(proof.model, proof.part)


def _timed(task, network):
    """What the library's function makes in the proof, and how many seconds that took."""
    began = time.monotonic()
    return task.proof.reference(network), time.monotonic() - began


@lru_cache
def _reference(task):
    return _timed(task, _network(task.proof))


def hint(name):
    """The next hint; after the last one they begin again."""
    task = exercise(name)
    seen = _hints_seen.get(name, 0)
    _hints_seen[name] = seen + 1
    return display.Text(f"Hint {seen % len(task.hints) + 1} of {len(task.hints)}: {task.hints[seen % len(task.hints)]}")


def solution(name):
    """The function that the library runs."""
    production = exercise(name).production
    return display.Text(f"`{production.__module__.split('.')[-1]}.{production.__name__}`, as the library runs it:", inspect.getsource(production))


def stub(name):
    """The source of the stub in the notebook."""
    return exercise(name).source


def progress():
    """What you have solved on this computer."""
    known = records.read()
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
    if not found:
        raise ValueError(f'lesson "{number}" has no exercises; these have: '
                         f'{", ".join(sorted({name.split(".")[0] for name in names()}))}')
    if notice := lessons.notice():
        print(notice)
    return SimpleNamespace(**found)
