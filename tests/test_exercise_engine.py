"""The exercise engine against answers that misbehave: short messages, no traceback, everything as before."""
import functools
import json
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch

from course_lib import exercises, ops
from course_lib.exercises import display, guard, records
from course_lib.networks import stylegan2

ID = "05.demodulate"
library = ops.demodulate
right = exercises.EXERCISES[ID].alternatives[1]
calls, scale = [], 1.0


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(guard, "SECONDS", 4)
    calls.clear()


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stylegan2.Generator(8, z_dim=8, w_dim=8, channels={4: 6, 8: 4}).eval().requires_grad_(False)


def raises(weight, eps=1e-8):
    raise KeyError("x" * 5000)


def raises_an_address(weight, eps=1e-8):
    raise ValueError(f"cannot use {object()}")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


def raises_the_unprintable(weight, eps=1e-8):
    raise Unprintable


def never_ends(weight, eps=1e-8):
    while True:
        pass


def never_ends_and_swallows(weight, eps=1e-8):
    while True:
        try:
            sum(range(100))
        except:                                     # noqa: E722
            pass


def sleeps(weight, eps=1e-8):
    time.sleep(60)


def never_ends_backward(weight, eps=1e-8):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return right(x, eps)

        @staticmethod
        def backward(context, gradient):
            while True:
                pass
    return Function.apply(weight)


def calls_itself(weight, eps=1e-8):
    return calls_itself(weight, eps)


def exits(weight, eps=1e-8):
    sys.exit(3)


def generates(weight, eps=1e-8):
    yield right(weight, eps)


async def is_async(weight, eps=1e-8):
    return right(weight, eps)


def returns_a_coroutine(weight, eps=1e-8):
    coroutine = is_async(weight, eps)
    coroutine.close()
    return coroutine


def changes_its_input(weight, eps=1e-8):
    weight *= (weight.square().sum((2, 3, 4), keepdim=True) + eps).rsqrt()
    return weight


def changes_it_behind_autograd(weight, eps=1e-8):
    result = right(weight, eps)
    weight.data.zero_()
    return result


def reshapes_its_input(weight, eps=1e-8):
    result = right(weight, eps)
    weight.unsqueeze_(0)
    return result


def deletes_a_function(weight, eps=1e-8):
    del torch.rsqrt
    return right(weight, eps)


def replaces_a_function(weight, eps=1e-8):
    torch.equal = torch.allclose = lambda *args: True
    return weight


def replaces_a_method(weight, eps=1e-8):
    torch.Tensor.square = lambda self: self
    return weight


def replaces_the_librarys(weight, eps=1e-8):
    ops.demodulate = right
    return right(weight, eps)


def changes_on_the_tenth_call(weight, eps=1e-8):
    calls.append(1)
    return right(weight, eps) * (1 if len(calls) < 10 else 2)


def random(weight, eps=1e-8):
    return right(weight, eps) * torch.rand(1).to(weight)


def sometimes_none(weight, eps=1e-8):
    if weight.shape[1] == 5:
        return right(weight, eps)


def reads_what_does_not_exist(weight, eps=1e-8):
    return right(weight, eps) * nothing                 # noqa: F821


def without_eps(weight):
    return right(weight)


class Callable:
    def __call__(self, weight, eps=1e-8):
        return right(weight, eps)


class Subclass(torch.Tensor):
    pass


HOSTILE = [
    (raises, "error", "raises KeyError"), (raises_an_address, "error", "0x…"),
    (raises_the_unprintable, "error", "raises Unprintable in line"), (never_ends, "error", "did not finish in 4 seconds"),
    (never_ends_and_swallows, "error", "did not finish"), (sleeps, "error", "did not finish"),
    (never_ends_backward, "error", "did not finish"), (calls_itself, "error", "calls itself without end"),
    (exits, "error", "leaves Python"), (generates, "error", "yield"), (is_async, "error", "async def"),
    (returns_a_coroutine, "error", "returns a coroutine"), (changes_its_input, "wrong", "changes its input `weight`"),
    (changes_it_behind_autograd, "wrong", "changes its input `weight`"), (reshapes_its_input, "wrong", "changes its input"),
    (deletes_a_function, "error", "replaces torch.rsqrt"), (replaces_a_function, "error", "replaces torch."),
    (replaces_a_method, "error", "replaces Tensor.square"),
    (replaces_the_librarys, "error", "replaces course_lib.ops.demodulate"),
    (changes_on_the_tenth_call, "wrong", "second call"), (random, "wrong", "not right"),
    (sometimes_none, "error", "lacks a `return`"), (reads_what_does_not_exist, "error", "NameError"),
    (without_eps, "error", "Write it as demodulate(weight, eps=1e-8)"), (lambda: 1, "error", "other parameters"),
    (len, "error", "other parameters"), (Callable, "error", "You pass a class"),
    (lambda weight, eps=1e-8: weight * float("nan"), "wrong", "NaN"),
    (lambda weight, eps=1e-8: right(weight, eps).detach().numpy(), "error", "NumPy"),
    (lambda weight, eps=1e-8: np.sqrt(weight), "error", "raises RuntimeError"),
    (lambda weight, eps=1e-8: (right(weight, eps),), "error", "returns a tuple"),
    (lambda weight, eps=1e-8: 1.0, "error", "returns a float"),
    (lambda weight, eps=1e-8: weight, "wrong", "not right"),
    (lambda weight, eps=1e-8: weight[..., :1], "wrong", "The shape is [3, 5, 4, 3, 1], it should be [3, 5, 4, 3, 3]"),
    (lambda weight, eps=1e-8: weight.sum(), "wrong", "The shape is []"),
    (lambda weight, eps=1e-8: right(weight, eps).long(), "error", "cannot carry a gradient"),
    (lambda weight, eps=1e-8: right(weight, eps).to_sparse(), "error", "sparse"),
    (lambda weight, eps=1e-8: weight.to("meta"), "error", "device meta"),
    (lambda weight, eps=1e-8: right(weight, eps).as_subclass(Subclass), "error", "returns a Subclass"),
    (lambda weight, eps=1e-8: right(weight.float(), eps).to(weight.dtype), "wrong", "Nearly right"),
    (lambda weight, eps=1e-8: torch.zeros(10 ** 13), "error", "RuntimeError"),
    (lambda weight, eps=1e-8: library(weight, eps), "error", "the function you are writing"),
    (None, "error", "Pass the function itself"), ("demodulate", "error", "Pass the function itself"),
    (torch.ones(2), "error", "Pass the function itself"),
]


def name(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("answer, status, says", HOSTILE, ids=name)
def test_a_hostile_answer_gets_a_short_message_and_changes_nothing(answer, status, says, generator):
    before = dict(vars(ops)), torch.get_rng_state(), sys.stdout, signal.getsignal(signal.SIGALRM), torch.Tensor.square
    result = exercises.check(ID, answer, generator)
    assert result.status == status and says in result.message, result
    assert len(result.message) < 420 and "Traceback" not in result.message
    after = dict(vars(ops)), torch.get_rng_state(), sys.stdout, signal.getsignal(signal.SIGALRM), torch.Tensor.square
    assert before[0] == after[0] and torch.equal(before[1], after[1]) and before[2:] == after[2:]
    assert ops.demodulate is library and torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert exercises.check(ID, right, generator).status == "right"


def other_form(weight, eps=1e-8):
    print("x" * 1_000_000)
    sys.stderr.write("a warning")
    return right(weight, eps)


def careless(weight, eps=1e-8):
    result = right(weight, eps)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.manual_seed(7)
    sys.setrecursionlimit(500)
    return result


def closes_the_output(weight, eps=1e-8):
    if sys.stdout:
        sys.stdout.close()
    sys.stdout = None
    return right(weight, eps)


@pytest.mark.parametrize("answer", [other_form, careless, closes_the_output, Callable(), functools.partial(right),
                                    functools.partial(right, eps=1e-8), lambda w, e=1e-8: right(w, e),
                                    lambda *args, **kwargs: right(*args, **kwargs)], ids=name)
def test_a_right_answer_in_an_odd_dress_is_right(answer, generator):
    state = torch.get_rng_state()
    result = exercises.check(ID, answer, generator)
    assert result.status == "right", result
    assert len(repr(result)) < 900 and torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_prints_are_cut_and_counted(generator):
    result = exercises.check(ID, other_form, generator)
    assert len(result.printed) < 400 and "characters in all" in result.printed


def test_the_stop_button_passes_through(generator):
    def interrupted(weight, eps=1e-8):
        raise KeyboardInterrupt
    out = sys.stdout
    with pytest.raises(KeyboardInterrupt):
        exercises.check(ID, interrupted, generator)
    assert sys.stdout is out and exercises.check(ID, right, generator).status == "right"


def reads_a_global(weight, eps=1e-8):
    return right(weight, eps) * scale


def test_a_global_variable_is_pointed_out(generator):
    result = exercises.check(ID, reads_a_global, generator)
    assert result.status == "right" and "global variable `scale`" in result.message


def test_a_result_that_is_the_input_is_refused(generator):
    def shortcut(ws, w_avg, psi, cutoff=None):
        return ws if psi == 1 else exercises.EXERCISES["00.truncate"].alternatives[2](ws, w_avg, psi, cutoff)
    result = exercises.check("00.truncate", shortcut, generator)
    assert result.mistake == "returns its input" and "Return a new tensor" in result.message


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("answer, status, says", [
    (right, "right", "the same portraits"), (never_ends, "error", "did not finish in 4 seconds"),
    (never_ends_and_swallows, "error", "did not finish"), (exits, "error", "leaves Python"),
    (raises, "error", "KeyError"), (calls_itself, "error", "without end")], ids=name)
def test_the_time_limit_works_without_signals(answer, status, says, generator):
    result = in_a_thread(lambda: exercises.check(ID, answer, generator))
    assert result.status == status and says in result.message


def test_what_a_thread_cannot_stop_is_said():
    def work():
        return guard._in_thread(lambda: time.sleep(4), 0.1)
    _, error = in_a_thread(work)
    message = exercises.engine.raised(error, right)
    assert isinstance(error, guard.TimeLimit) and "runs in the background" in message


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
def test_an_alarm_that_was_set_before_still_rings():
    rang = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        guard.attempt(lambda: time.sleep(5), 0.1)
        assert not rang
        time.sleep(0.5)
        assert rang
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_progress_is_kept_and_what_was_right_stays_right(generator):
    assert "0 of 5" in repr(exercises.progress())
    exercises.check(ID, lambda weight, eps=1e-8: weight, generator)
    assert records.read() == {ID: "wrong"}
    exercises.check(ID, right, generator)
    exercises.check(ID, lambda weight, eps=1e-8: weight, generator)
    exercises.check("05.modulate", lambda *args: exercises.____, generator)
    assert records.read() == {ID: "right"}
    overview = exercises.progress()
    assert "1 of 5 exercises are right" in repr(overview) and 'aria-label="1 of 5 done"' in overview._repr_html_()
    assert [p.name for p in records.path().parent.iterdir()] == ["progress.json"]


def test_the_librarys_own_function_is_no_progress(generator):
    assert exercises.check(ID, ops.demodulate, generator).status == "right"
    assert records.read() == {}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"05.demodulate": 3, "x": ["right"]}', "\xff\x00"])
def test_a_damaged_progress_file_counts_as_empty(text, generator):
    records.path().write_bytes(text.encode("latin-1"))
    assert records.read() == {}
    exercises.check(ID, right, generator)
    assert json.loads(records.path().read_text()) == {ID: "right"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, generator):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert exercises.check(ID, right, generator).status == "right"


@pytest.mark.parametrize("platform, part", [("win32", "stylegan-course"), ("darwin", "Application Support"),
                                            ("linux", "stylegan-course")])
def test_progress_has_a_place_of_its_own_on_every_platform(platform, part, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setattr(sys, "platform", platform)
    assert part in str(records.path()) and records.path().name == "progress.json"


def test_no_result_depends_on_the_progress(generator):
    def attempt():
        return exercises.check(ID, lambda weight, eps=1e-8: exercises.____, generator)
    first = attempt()
    records.record(ID, "right")
    assert attempt() == first


def test_text_of_an_answer_is_escaped_in_html():
    result = exercises.Result("error", None, "raises <b>", "05.demodulate", printed="<script>")
    assert "<script>" not in result._repr_html_() and "&lt;b&gt;" in result._repr_html_()
    assert repr(result).startswith("! 05.demodulate · error\nraises <b>")


def test_in_a_notebook_the_picture_is_shown_with_its_alt_text(monkeypatch, generator):
    from course_lib import plots
    shown = []
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr(plots, "show", lambda picture, alt: shown.append((picture, alt)))
    result = exercises.check(ID, right, generator)
    assert shown == [(result.picture, result.alt)] and "both rows are the same" in result.alt
    exercises.check(ID, lambda weight, eps=1e-8: exercises.____, generator)
    assert len(shown) == 1
