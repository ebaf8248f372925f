"""The exercise engine against answers that misbehave: short messages, no traceback, everything as before."""
import functools
import importlib
import json
import random as random_numbers
import signal
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import torch

from course_lib import exercises, losses, ops
from course_lib.exercises.engine import (
    Computed,
    Exercise,
    ModelCheck,
    case,
    cases,
    curves,
    display,
    draw,
    explain,
    guard,
    model_check,
    progress,
    translate,
    verdict,
    wrong,
)
from course_lib.networks import stylegan2

ID = "05.demodulate"
library = ops.demodulate
right = exercises.EXERCISES[ID].alternatives[1]
calls, scale = [], 1.0
released = threading.Event()                        # a thread that could not be stopped would slow all tests that follow


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(guard, "SECONDS", 4)
    calls.clear()
    released.clear()
    before = threading.enumerate()
    yield
    released.set()
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(5)


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
    while not released.is_set():
        pass


def never_ends_and_swallows(weight, eps=1e-8):
    while not released.is_set():
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
            while not released.is_set():
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
    (raises_the_unprintable, "error", "raises Unprintable in line"), (never_ends, "error", "did not finish in 1 seconds"),
    (never_ends_and_swallows, "error", "did not finish"), (sleeps, "error", "did not finish"),
    (never_ends_backward, "error", "did not finish"), (calls_itself, "error", "calls itself without end"),
    (exits, "error", "leaves Python"), (generates, "error", "yield"), (is_async, "error", "async def"),
    (returns_a_coroutine, "error", "returns a coroutine"), (changes_its_input, "wrong", "changes its input `weight`"),
    (changes_it_behind_autograd, "wrong", "changes its input `weight`"), (reshapes_its_input, "wrong", "changes its input"),
    (deletes_a_function, "error", "replaces torch.rsqrt"), (replaces_a_function, "error", "replaces torch."),
    (replaces_a_method, "error", "replaces Tensor.square"),
    (replaces_the_librarys, "error", "replaces course_lib.ops.demodulate"),
    (changes_on_the_tenth_call, "wrong", "second call"), (random, "wrong", "second call"),
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
    return getattr(value, "__name__", None)


def checked(answer, generator):
    """exercises.check, which gives an answer that never ends one second, whatever else the machine does."""
    with pytest.MonkeyPatch.context() as patch:
        if (name(answer) or "").startswith("never_ends"):
            patch.setattr(guard, "limit", lambda seconds: 1)
        return exercises.check(ID, answer, generator)


@pytest.mark.parametrize("answer, status, says", HOSTILE, ids=name)
def test_a_hostile_answer_gets_a_short_message_and_changes_nothing(answer, status, says, generator):
    before = dict(vars(ops)), torch.get_rng_state(), sys.stdout, signal.getsignal(signal.SIGALRM), torch.Tensor.square
    result = checked(answer, generator)
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


def closes_the_output(weight, eps=1e-8):
    if sys.stdout:
        sys.stdout.close()
    sys.stdout = None
    return right(weight, eps)


@pytest.mark.parametrize("answer", [other_form, closes_the_output, Callable(), functools.partial(right),
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
    (right, "right", "the same portraits"), (never_ends, "error", "did not finish in 1 seconds"),
    (never_ends_and_swallows, "error", "did not finish"), (exits, "error", "leaves Python"),
    (raises, "error", "KeyError"), (calls_itself, "error", "without end")], ids=name)
def test_the_time_limit_works_without_signals(answer, status, says, generator):
    result = in_a_thread(lambda: checked(answer, generator))
    assert result.status == status and says in result.message


def test_what_a_thread_cannot_stop_is_said():
    def work():
        return guard._in_thread(lambda: time.sleep(4), 0.1)
    _, error = in_a_thread(work)
    message = translate.raised(error, right)
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


def then(*effects):
    """A right answer that does something else too."""
    def answer(weight, eps=1e-8):
        result = right(weight, eps)
        for effect in effects:
            effect(weight)
        return result
    return answer


@pytest.mark.parametrize("effect, says", [
    (lambda weight: torch.set_grad_enabled(False), "gradient mode and leaves it so. `with torch.no_grad():`"),
    (lambda weight: torch.set_default_dtype(torch.float64), "default type"),
    (lambda weight: torch.manual_seed(7), "the seed of PyTorch"),
    (lambda weight: np.random.seed(7), "the seed of NumPy"), (lambda weight: random_numbers.seed(7), "the seed of Python"),
    (lambda weight: torch.set_num_threads(2), "number of threads"),
    (lambda weight: torch.autograd.set_detect_anomaly(True), "anomaly"),
    (lambda weight: torch.use_deterministic_algorithms(True), "deterministic"),
    (lambda weight: np.seterr(all="raise"), "np.errstate"),
    (lambda weight: sys.setrecursionlimit(500), "recursion limit")], ids=range(10))
@pytest.mark.parametrize("way", [lambda function: function(), in_a_thread], ids=["alarm", "thread"])
def test_a_changed_state_of_python_numpy_or_pytorch_is_wrong_and_undone(effect, says, way):
    def state():
        return [(part or str)(read()) for read, _, part, _ in guard.STATE.values()]

    before = state()
    status, mistake, message, _ = way(lambda: verdict.judge(exercises.EXERCISES[ID], then(effect)))
    assert (status, mistake) == ("wrong", "side effect") and says in message and len(message) < 420
    assert state() == before
    assert way(lambda: verdict.judge(exercises.EXERCISES[ID], right))[0] == "right"


def test_an_answer_may_be_the_first_to_import_pytorchs_compiler(monkeypatch):
    compiler = importlib.import_module("torch._dynamo")
    monkeypatch.delitem(sys.modules, "torch._dynamo")

    def imports(weight):
        if "torch._dynamo" not in sys.modules:              # its import, which an optimizer or a meta tensor asks for, does both
            sys.modules["torch._dynamo"], torch.manual_seed = compiler, functools.partial(torch.manual_seed)
    assert verdict.judge(exercises.EXERCISES[ID], then(imports))[0] == "right"


def penalty(slopes, before=lambda critic, reals, fakes: None, after=lambda critic, reals, fakes: None):
    """A right answer to 02.gradient_penalty, with something done before and after it."""
    def answer(critic, reals, fakes, target, mix):
        before(critic, reals, fakes)
        x = torch.lerp(reals.detach(), fakes.detach(), mix[:, None, None, None]).requires_grad_()
        norms = slopes(critic, x).flatten(1).norm(dim=1)
        after(critic, reals, fakes)
        return (norms - target).square() / target ** 2
    return answer


def by_grad(critic, x):
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]


def by_backward(critic, x):
    critic(x).sum().backward(create_graph=True)
    return x.grad


def by_backward_and_zeros(critic, x):
    gradient = by_backward(critic, x)
    critic.zero_grad()
    return gradient


@pytest.mark.parametrize("answer, says", [
    (penalty(by_backward), "leaves a gradient in the parameters of `critic`: backward()"),
    (penalty(by_backward_and_zeros), "throws away the gradient in the parameters of `critic`"),
    (penalty(by_grad, lambda critic, reals, fakes: reals.requires_grad_()), "leaves requires_grad = True on `reals`"),
    (penalty(by_grad, lambda critic, reals, fakes: fakes.requires_grad_()), "leaves requires_grad = True on `fakes`"),
    (penalty(by_grad, after=lambda critic, reals, fakes: critic.requires_grad_(False)), "requires_grad = False on the parameters"),
    (penalty(by_grad, lambda critic, reals, fakes: critic.eval()), "leaves `critic` in another mode"),
    (penalty(by_grad, after=lambda critic, reals, fakes: [p.data.mul_(2) for p in critic.parameters()]), "changes the parameters")],
    ids=range(7))
def test_what_is_left_in_tensors_and_networks_is_wrong(answer, says):
    status, mistake, message, _ = verdict.judge(exercises.EXERCISES["02.gradient_penalty"], answer)
    assert (status, mistake) == ("wrong", "side effect") and says in message and len(message) < 420, message
    assert verdict.judge(exercises.EXERCISES["02.gradient_penalty"], penalty(by_grad))[0] == "right"


@pytest.mark.parametrize("effect, says", [
    (lambda x: x.requires_grad_(), "leaves requires_grad = True on `weight`"),
    (lambda x: x.retain_grad() if x.requires_grad else None, "leaves retain_grad() on `weight`"),
    (lambda x: right(x).sum().backward() if x.requires_grad else None, "leaves a gradient in `weight`")], ids=range(3))
def test_what_is_left_in_an_input_is_wrong(effect, says):
    assert says in verdict.judge(exercises.EXERCISES[ID], then(effect))[2]


def test_progress_is_kept_and_what_was_right_stays_right(generator):
    count = len(exercises.names())
    assert f"0 of {count}" in repr(exercises.progress())
    exercises.check(ID, lambda weight, eps=1e-8: weight, generator)
    assert progress.read() == {ID: "wrong"}
    exercises.check(ID, right, generator)
    exercises.check(ID, lambda weight, eps=1e-8: weight, generator)
    exercises.check("05.modulate", lambda *args: exercises.____, generator)
    assert progress.read() == {ID: "right"}
    overview = exercises.progress()
    assert f"1 of {count} exercises are right" in repr(overview)
    assert f'aria-label="1 of {count} done"' in overview._repr_html_()
    assert [p.name for p in progress.path().parent.iterdir()] == ["progress.json"]


def test_the_librarys_own_function_is_no_progress(generator):
    assert exercises.check(ID, ops.demodulate, generator).status == "right"
    assert progress.read() == {}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"05.demodulate": 3, "x": ["right"]}', "\xff\x00"])
def test_a_damaged_progress_file_counts_as_empty(text, generator):
    progress.path().write_bytes(text.encode("latin-1"))
    assert progress.read() == {}
    exercises.check(ID, right, generator)
    assert json.loads(progress.path().read_text()) == {ID: "right"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, generator):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert exercises.check(ID, right, generator).status == "right"


@pytest.mark.parametrize("platform, part", [("win32", "stylegan-course"), ("darwin", "Application Support"),
                                            ("linux", "stylegan-course")])
def test_progress_has_a_place_of_its_own_on_every_platform(platform, part, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setattr(sys, "platform", platform)
    assert part in str(progress.path()) and progress.path().name == "progress.json"


def test_no_result_depends_on_the_progress(generator):
    def attempt():
        return exercises.check(ID, lambda weight, eps=1e-8: exercises.____, generator)
    first = attempt()
    progress.record(ID, "right")
    assert attempt() == first


def test_a_wrong_answer_that_changes_its_inputs_does_not_spoil_the_next_check():
    """In the generator too an answer gets its inputs, and they are the weights of the network."""
    def spoils(weight, style):
        weight *= 2 * style[0][None, :, None, None]
        return weight[None]

    network = stylegan2.Generator(16, z_dim=16, w_dim=16, channels={4: 12, 8: 8, 16: 6}).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert exercises.check("05.modulate", spoils, network).status == "wrong"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert exercises.check("05.modulate", exercises.EXERCISES["05.modulate"].alternatives[0], network).status == "right"


def test_code_and_emphasis_in_a_message_are_set_as_such():
    assert display.marked("Use `a * b` < 3, an *input* map, 2 * 3 * 4.") == (
        "Use <code>a * b</code> &lt; 3, an <em>input</em> map, 2 * 3 * 4.")


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


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

    def forward(self, x):
        return x.square() * self.slope


def slope(y, x):
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


LINE = case("a line", y=Computed(Line(), "x"), x=torch.tensor([[1.0, 5.0]], dtype=torch.float64))


def small(stub, production, *cases, **options):
    """An exercise without a model check."""
    return Exercise(f"99.{stub.split('(')[0]}", stub, conventions="", hints=(), production=production, cases=cases,
                    **{"model_check": None} | options)


def test_a_case_in_float32_is_the_same_in_its_tensors_lists_and_networks():
    given = case("all", y=Computed(Line(), "x"), x=torch.ones(2).double(), xs=[torch.ones(3).double()], k=2, i=torch.arange(3))
    single = given.float().inputs
    assert [single["x"].dtype, single["xs"][0].dtype, single["y"].network.slope.dtype] == [torch.float32] * 3
    assert (single["k"], single["i"].dtype, single["y"].source) == (2, torch.int64, "x")
    assert given.inputs["y"].network.slope.dtype == torch.float64


def test_wrong_answers_of_one_message_are_functions_and_names():
    task = small("double(x)", lambda x: 2 * x, wrong=[wrong("Twice.", logistic, once=len), wrong("No.", visible=False, never=max)])
    assert [(m.name, m.message, m.function, m.visible) for m in task.mistakes] == [
        ("logistic", "Twice.", logistic, True), ("once", "Twice.", len, True), ("never", "No.", max, False)]


def test_a_computed_input_is_differentiable_and_its_network_is_reached():
    outcome = cases.run(slope, "names", LINE, ["y", "x"])
    assert torch.equal(outcome.value, torch.tensor([[4.0, 30.0]], dtype=torch.float64)) and outcome.changed is None
    weights = draw(1, 2, seed=99)[0]
    assert torch.allclose(outcome.gradients["x"], 2 * LINE.inputs["y"].network.slope.detach() * weights)
    assert torch.allclose(outcome.gradients["y.slope"], 2 * LINE.inputs["x"] * weights)
    assert LINE.inputs["y"].network.slope.grad is None
    assert cases.run(lambda y, x: slope(y, x) + 0 * y.mul_(2), "names", LINE, ["y", "x"]).changed == "y"


def test_a_gradient_that_misses_the_network_is_told_in_words():
    task = small("slope(y, x)", slope, LINE)
    half = lambda y, x: torch.autograd.grad(y.sum(), x)[0] / x.detach() * x
    assert verdict.judge(task, half)[1:3] == (
        "no gradient", "The values are right, but no gradient reaches the network behind `y`. Leave out detach(), .data, "
        "no_grad() and .item().")


def test_a_tensor_without_gradient_must_not_change_either():
    noisy = case("noise", x=torch.ones(3), noise=torch.ones(3))
    outcome = cases.run(lambda x, noise: x * noise, "names", noisy, ["x", "noise"], without_gradient=("noise",))
    assert outcome.gradients.keys() == {"x"}
    changed = cases.run(lambda x, noise: x * noise.add_(1), "names", noisy, ["x", "noise"], without_gradient=("noise",))
    assert changed.changed == "noise"


@pytest.mark.parametrize("value", [[3, 1, 2], np.array([3, 1, 2])], ids=["list", "array"])
def test_a_changed_list_or_array_is_seen_and_the_case_stays_as_it_is(value):
    outcome = cases.run(lambda x: x.sort() or 1.0, "names", case("labels", x=value), ["x"], returns="numbers")
    assert outcome.changed == "x" and list(value) == [3, 1, 2]


@pytest.mark.parametrize("returns, value, numbers, form", [
    ("numbers", 1.5, [1.5], "a number"), ("numbers", np.float32(1), [1], "a number"),
    ("numbers", (1, [2, 3]), [1, 2, 3], "(a number, (a number, a number))"),
    ("tensors", [torch.ones(2), torch.zeros(())], [1, 1, 0], "(a tensor [2], a tensor [])"),
    ("numbers", (1, torch.ones(2)), None, "(a number, a tensor [2])"), ("numbers", (), None, "()"),
    ("tensors", (torch.ones(2), None), None, "(a tensor [2], None)"),
    ("tensors", (torch.ones(2).long(),), None, "(a tensor [2] of type torch.int64)")], ids=str)
def test_several_values_are_one_tensor_and_their_form_is_known(returns, value, numbers, form):
    found, named = cases.one_tensor(value, returns)
    assert named == form
    assert found is value if numbers is None else torch.equal(found, torch.tensor(numbers, dtype=found.dtype))


def test_what_an_exercise_takes_as_numbers_or_as_state_is_told_by_its_form():
    lazy, penalty = exercises.EXERCISES["06.lazy_adam"], exercises.EXERCISES["06.path_length_penalty"]
    assert verdict.judge(lazy, lambda lr, betas, interval: (lr, betas[0]))[1:3] == (
        "form", "Your function returns (a number, a number) instead of (a number, (a number, a number)), for: lr = 0.002, "
        "betas = (0.0, 0.99), interval = 16.")
    right = penalty.alternatives[0]
    status, name, message, _ = verdict.judge(penalty, lambda *args, **kwargs: (right(*args, **kwargs)[0], None))
    assert (status, name) == ("wrong", "form") and "(a tensor [3], None) instead of (a tensor [3], a tensor [])" in message
    number = verdict.judge(lazy, lambda lr, betas, interval: (lr, np.array(betas)))[2]
    assert "(a number, an array)" in number and "`.item()` gives the number" in number


def test_the_state_of_a_loss_may_be_detached_but_the_loss_may_not():
    task = exercises.EXERCISES["06.path_length_penalty"]
    right = task.alternatives[0]

    def detached(*which):
        return lambda *args, **kwargs: tuple(x.detach() if i in which else x for i, x in enumerate(right(*args, **kwargs)))

    assert [verdict.judge(task, detached(*which))[0] for which in ((), (1,), (0,), (0, 1))] == ["right", "right", "wrong", "wrong"]


def test_the_state_of_a_loss_may_be_a_number():
    task = exercises.EXERCISES["06.path_length_penalty"]

    def with_state(state):
        return lambda *args, **kwargs: (lambda penalty, a: (penalty, state(a)))(*task.alternatives[0](*args, **kwargs))

    assert exercises.check(task.id, with_state(float)).status == "right"
    assert verdict.judge(task, with_state(lambda a: np.float32(a.item())))[0] == "right"
    assert verdict.judge(task, with_state(lambda a: 2 * a.item()))[0] == "wrong"


def contains_itself(lr, betas, interval):
    found = [lr]
    found.append(found)
    return found


def doubles_forty_times(lr, betas, interval):
    found = [lr]
    for _ in range(40):
        found = [found, found]
    return found


@pytest.mark.parametrize("answer, says", [
    (contains_itself, "a list that contains itself"), (doubles_forty_times, "did not finish"),
    (lambda lr, betas, interval: (lr, (10 ** 400, 10 ** 400)), "OverflowError"),
    (lambda lr, betas, interval: type("", (), {})(), "returns an")], ids=name)
def test_a_result_that_cannot_be_read_is_an_ordinary_result(answer, says):
    result = exercises.check("06.lazy_adam", answer)
    assert result.status in ("error", "wrong") and says in result.message and len(result.message) < 420


@pytest.mark.parametrize("id", ["07.slerp", "07.path_terms"])
def test_where_no_gradient_is_asked_for_an_answer_may_switch_it_on_or_off(id):
    task = exercises.EXERCISES[id]

    def switched_on(*args, **kwargs):
        args = [x.detach().requires_grad_() if isinstance(x, torch.Tensor) else x for x in args]
        return task.alternatives[0](*args, **kwargs)

    for answer in (switched_on, torch.no_grad()(task.alternatives[0])):
        assert verdict.judge(task, answer)[0] == "right"


def test_a_tensor_in_place_of_a_number_is_told_how_to_get_one():
    task = exercises.EXERCISES["07.conditional_entropy"]
    answer = lambda y, x: torch.tensor(float(task.alternatives[0](y, x)), requires_grad=True)
    assert verdict.judge(task, answer)[1:3] == (
        "form", "Your function returns a tensor [] instead of a number, for: two hundred samples of two classes. `.item()` "
        "gives the number in a tensor or an array, `.tolist()` several.")


@pytest.mark.parametrize("module, function", [(losses, "lazy_adam"), (guard.path_length, "trimmed_mean"),
                                              (guard.linear_separability, "linear_prediction")], ids=str)
def test_a_replaced_function_of_the_course_is_put_back(module, function):
    before = getattr(module, function)

    def answer(y, x):
        setattr(module, function, None)
        return 0.0

    result = exercises.check("07.conditional_entropy", answer)
    assert result.status == "error" and f"replaces {module.__name__}.{function}" in result.message
    assert getattr(module, function) is before


def test_a_tolerance_of_an_exercise_holds_for_float64():
    loose, strict = (small("double(x)", lambda x: 2 * x, case("numbers", x=torch.ones(3).double()), tolerance=tolerance)
                     for tolerance in (1e-3, 1e-8))
    assert [verdict.judge(task, lambda x: 2.001 * x)[0] for task in (loose, strict)] == ["right", "wrong"]
    assert verdict.judge(loose, lambda x: 2.01 * x)[0] == "wrong"


def test_the_first_case_that_is_not_merely_close_is_reported():
    task = small("double(x)", lambda x: 2 * x, case("ones", x=torch.ones(3).double()),
                 case("tens", x=torch.full((3,), 10.0).double()))
    _, mistake, message, _ = verdict.judge(task, lambda x: 2.0001 * x.clamp(max=9))
    assert mistake is None and "It fails for: tens." in message
    assert "do you round" in verdict.judge(task, lambda x: 2.0001 * x)[2]


def test_a_wrong_answer_that_is_random_is_told_so_and_one_that_is_not_is_not():
    for id, answer in (("06.path_lengths", lambda images, ws, noise: ws.sum(dim=(1, 2)) * torch.rand(())),
                       ("07.path_terms", lambda render, distance, between, a, b, t, epsilon=1e-4: distance(
                           render(between(a, b, torch.rand_like(t))), render(a)))):
        assert verdict.judge(exercises.EXERCISES[id], answer)[:2] == ("wrong", "not a function")
    assert verdict.judge(exercises.EXERCISES["06.path_lengths"], lambda images, ws, noise: ws.sum(dim=(1, 2)))[1] is None


def test_work_on_a_copy_is_the_advice_for_lists_and_arrays():
    def changes(y, x):
        y[0] += 1
        return 0.0
    message = verdict.judge(exercises.EXERCISES["07.conditional_entropy"], changes)[2]
    assert message == "Your function changes its input `y`. Work on a copy."


@pytest.mark.parametrize("value, words", [(None, "None"), (np.ones(2), "an array"), (KeyError(), "a KeyError"),
                                          (OSError(), "an OSError")], ids=str)
def test_a_type_has_the_right_article(value, words):
    assert cases.kind(value) == words


def test_a_result_that_only_the_model_check_cannot_use_is_told_in_words():
    right = exercises.EXERCISES["07.conditional_entropy"].alternatives[0]
    result = exercises.check("07.conditional_entropy", lambda y, x: right(y, x) if len(y) < 1000 else "0.5")
    assert result.message == "Right on small inputs, but not in the experiment. It returned a str."
    assert exercises.check("07.conditional_entropy", lambda y, x: Fraction(float(right(y, x)))).status == "right"


def test_backward_is_told_that_the_inputs_are_no_leaves():
    def answer(logits, reals):
        logits.sum().backward(create_graph=True)
        return reals.grad.square().sum(dim=(1, 2, 3))
    assert "so their .grad is None: use torch.autograd.grad" in verdict.judge(exercises.EXERCISES["06.r1_penalty"], answer)[2]


def test_a_distance_says_that_it_compares_images():
    answer = lambda render, distance, between, a, b, t, epsilon=1e-4: distance(between(a, b, t), between(a, b, t + epsilon))
    message = verdict.judge(exercises.EXERCISES["07.path_terms"], answer)[2]
    assert "ValueError: distance compares images [N, 3, H, W]; it got [3, 5]" in message


def test_parameters_of_other_names_get_the_defaults_that_a_case_omits():
    task = exercises.EXERCISES["05.modulated_conv2d"]
    renamed = lambda maps, kernel, s, normalise=True, border=0: task.alternatives[0](maps, kernel, s, normalise, border)
    assert verdict.judge(task, renamed)[0] == "right"


def test_a_blank_can_be_unpacked_and_used_in_numpy():
    a, (b, c) = exercises.____
    first, = exercises.____
    assert {type(x) for x in (a, b, c, first, np.log(a), np.ones(3) * b, np.float64(2) / c)} == {type(exercises.____)}
    assert list(exercises.____) == []
    task = exercises.EXERCISES["06.path_length_penalty"]
    assert verdict.judge(task, lambda images, ws, noise, mean, decay=0.01: (images, exercises.____))[0] == "not attempted"


def test_a_result_that_cannot_be_drawn_is_no_traceback():
    result = exercises.check("06.lazy_adam", lambda lr, betas, interval: (lr, tuple(betas) * 2))
    assert result.status == "wrong" and result.picture is None


def logistic(x):
    return 4 * x * (1 - x)


def logistic_in_another_order(x):
    return 4 * x - 4 * x * x


def logistic_as_a_square(x):
    return 1 - (1 - 2 * x) ** 2


def chaos(steps):
    """An exercise whose model check iterates a map that doubles every error."""
    def orbit(network):
        x = torch.linspace(0.1, 0.4, 4)
        for _ in range(steps):
            x = logistic(x)
        return x[None]

    return small("logistic(x)", logistic, case("numbers", x=torch.linspace(0, 1, 5).double()),
                 alternatives=[logistic_in_another_order],
                 model_check=ModelCheck(orbit, model=None, who="An Orbit", plot=curves(range(4), "start", "x")))


def test_a_model_check_that_magnifies_rounding_allows_what_right_answers_differ_by(monkeypatch):
    task = chaos(steps=15)
    monkeypatch.setitem(exercises.EXERCISES, task.id, task)
    images, calls = task.model_check.images(logistic_as_a_square, None)
    shown = model_check.Shown(task.model_check.reference(None), images, calls)
    assert not shown.same
    assert exercises.check(task.id, logistic_as_a_square).status == "right"
    wrong = exercises.check(task.id, lambda x: 4 * x * (1 - x) * (1 - 1e-3 * (x.dtype == torch.float32)))
    assert wrong.status == "wrong"
    assert "but an Orbit gives something else with it: the curve “x” differs first at start = " in wrong.message


@pytest.mark.parametrize("id, change, says", [
    ("00.truncate", lambda x: x + 0.5 * (x.shape[-1] == 256), "of 4 pictures differ, most of all number "),
    ("10.thresholded", lambda x: x * (1 + (len(x) == 12 and not torch.is_grad_enabled())),
     "“β = 0” differs first at “0”, 0.188 instead of 0.0938, and the largest difference is ")], ids=["pictures", "bars"])
def test_what_the_model_check_shows_is_said(id, change, says):
    task = exercises.EXERCISES[id]
    result = exercises.check(id, lambda *args, **kwargs: change(task.as_declared(task.alternatives[0])(*args, **kwargs)))
    assert result.status == "wrong" and says in result.message and len(result.message) < 420, result.message


def test_a_slow_machine_gives_an_answer_more_time(monkeypatch):
    task = small("slow(x)", lambda x: time.sleep(0.3) or 2 * x, case("ones", x=torch.ones(2).double()))
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    slower = lambda x: time.sleep(0.5) or 2 * x
    assert verdict.judge(task, slower)[0] == "right" and task.limit >= 20 * 0.3
    monkeypatch.setattr(guard, "TIMES", 1)
    assert "did not finish in 0 seconds" in verdict.judge(task, slower)[2]


def test_in_the_model_check_too_the_time_is_relative_to_the_librarys(monkeypatch):
    task = chaos(steps=2)
    monkeypatch.setitem(exercises.EXERCISES, task.id, task)
    monkeypatch.setattr(exercises, "_reference", lambda task: (task.model_check.reference(None), 0.05))
    slow_in_float32 = lambda x: time.sleep(0.15 * (x.dtype == torch.float32)) or logistic_as_a_square(x)
    monkeypatch.setattr(guard, "SECONDS", 0.1)
    assert exercises.check(task.id, slow_in_float32).status == "right"
    monkeypatch.setattr(guard, "TIMES", 1)
    late = exercises.check(task.id, slow_in_float32)
    assert "Right on small inputs, but not in an Orbit. Your function did not finish" in late.message


def test_a_wrong_value_comes_with_the_smallest_input_and_both_results():
    task = small("double(x, by=2)", lambda x, by=2: by * x, case("many", x=torch.arange(40.0).double()),
                 case("two", x=torch.tensor([0.12345, 3.0]).double(), by=2.5))
    assert verdict.judge(task, lambda x, by=2: x + by)[2] == (
        "The values are not right. It fails for: two. With `x = [0.123, 3], by = 2.5` it should be `[0.309, 7.5]`, and yours is "
        "`[2.62, 5.5]`.")
    assert "With `x = 40 numbers` the result at `[39]` should be `78`, and yours is `3`." in verdict.judge(
        task, lambda x, by=2: by * x.clamp(max=1.5) if len(x) > 2 else by * x)[2]


@pytest.mark.parametrize("value, words", [
    (torch.tensor([[1.0, -0.25], [3.14159, 2e-9]]), "[[1, -0.25], [3.14, 2e-09]]"), (torch.ones(5, 6), "5×6 numbers"),
    (torch.tensor(0.5), "0.5"), ([torch.ones(2), torch.ones(5, 6)], "[[1, 1], 5×6 numbers]"), (list(range(30)), "30 numbers"),
    (("coarse", "fine"), "[coarse, fine]"), (np.arange(3), "[0, 1, 2]"), (None, "None"), (len, "a builtin_function_or_method"),
    (1024, "1024"), (float("nan"), "nan"), (Computed(None, "reals"), "computed from reals")], ids=str)
def test_a_value_is_shown_in_short_numbers(value, words):
    assert explain.readable(value) == words


three, five, half = torch.ones(3, requires_grad=True), torch.ones(2, 5), 0.5


def changed_view():
    x = torch.ones(2, 3, requires_grad=True)
    x.unbind()[0].add_(1)


def changed_leaf():
    torch.ones(2, requires_grad=True).add_(1)


def changed_and_differentiated():
    y = three.exp()
    z = y.square()
    y += 1
    torch.autograd.grad(z.sum(), three)


def differentiated_twice():
    y = three.exp().sum()
    torch.autograd.grad(y, three)
    torch.autograd.grad(y, three)


RAW = [
    (lambda: torch.ones(2, 3) + torch.ones(2, 4),
     "dimension 1 has 3 entries in one and 4 in the other. Give that dimension size 1"),
    (lambda: torch.ones(2, 3).expand(2, 4), "`expand` cannot make 4 entries of 3 in dimension 1"),
    (lambda: np.ones((2, 3)) + np.ones(2), "The shapes (2,3) and (2,) do not fit"),
    (lambda: torch.ones(2, 3).reshape(2, 4), "There are 6 numbers, which do not fill the shape [2, 4]"),
    (lambda: torch.ones(2, 3).view(4, 2), "There are 6 numbers, which do not fill"),
    (lambda: np.ones(6).reshape(2, 4), "There are 6 numbers, which do not fill the shape (2,4)"),
    (lambda: torch.ones(2, 3).T.view(6), "Write `reshape`"),
    (changed_view, "Change no tensor in place"), (changed_leaf, "Change no tensor in place"),
    (changed_and_differentiated, "Change no tensor in place"),
    (lambda: torch.ones(1).expand(3).add_(1), "Change no tensor in place"),
    (lambda: torch.autograd.grad(five.sum(), five), "`.requires_grad_()`"),
    (lambda: torch.autograd.grad(three.sum(), five), "`.requires_grad_()`"),
    (lambda: torch.autograd.grad(three.sum(), three.clone()), "computed from this very x"),
    (differentiated_twice, "`create_graph=True` keeps it"),
    (lambda: torch.autograd.grad(three.exp(), three), "Sum over the batch first"),
    (lambda: half.sqrt(), "`sqrt` belongs to tensors, and here comes a Python float"), (lambda: (2).ndim, "Python int"),
    (lambda: torch.sqrt(2.0), "torch.sqrt takes a tensor, and this is of type float. Use math.sqrt"),
    (lambda: half[0], "Here comes a Python float, which has no entries"), (lambda: five.shape(0), "no round brackets"),
    (lambda: five(2), "called like a function"), (lambda: five.max(dim=1).square(), "Take `.values`"),
    (lambda: torch.autograd.grad(three.sum(), three).square(), "Take its first entry: `[0]`"),
    (lambda: torch.sqrt(torch.autograd.grad(three.sum(), three)), "Take its first entry"),
    (lambda: None + five, "in this line is None"),
    (lambda: five @ torch.ones(5).double(), "`dtype=x.dtype`"), (lambda: torch.nn.functional.conv2d(
        torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3).double()), "different types"),
    (lambda: torch.arange(3).add_(0.5), "different types"),
    (lambda: 1 if five > 0 else 2, "need one truth value"), (lambda: 1 if np.ones(2) > 0 else 2, "need one truth value"),
    (lambda: max(five, five), "need one truth value"), (lambda: three.numpy(), "NumPy knows no gradients"),
    (lambda: five.sum(dim=2), "There is no dimension 2 here: the dimensions of this tensor go from 0 to 1 (or from -2 to -1)"),
    (lambda: np.ones(2).sum(axis=1), "There is no axis 1: this array has 1 dimensions"),
    (lambda: five[0, 0, 0], "more indices than dimensions"),
    (lambda: five[5], "There is no index 5 in dimension 0: it has 2 entries"), (lambda: five[:, 7], "no index 7 in dimension 1"),
    (lambda: five @ five, "`a @ b.T`"), (lambda: torch.dot(five, five), "`(a * b).sum(dim=-1)`"),
    (lambda: five @ torch.ones(3), "A matrix"),
    (lambda: torch.bmm(five[None], five[None]), "A matrix product"), (lambda: five + [1], "`torch.tensor(…)` makes one of a list"),
    (lambda: torch.einsum("nd,nd->n", five, five[0]), "each dimension has a letter"),
    (lambda: exec("a, b = 1, 2, 3"), "names before `=`"),
    (lambda: float(five), "take one number"), (lambda: five.item(), "take one number"),
    (lambda: torch.cat([five, torch.ones(2, 3, 4)]), "torch.cat and torch.stack join"),
    (lambda: torch.cat([five, torch.ones(2, 4)]), "torch.cat and torch.stack join"),
    (lambda: torch.stack([five, torch.ones(2, 4)]), "torch.stack join tensors"), (lambda: torch.nn.functional.conv2d(
        torch.ones(1, 2, 3, 3), torch.ones(1, 3, 3, 3)), "expects maps of 3 channels and gets 2"),
    (lambda: torch.nn.functional.conv2d(torch.ones(2, 3), torch.ones(1, 3, 3, 3)), "conv2d takes maps [N, C, H, W]"),
    (lambda: torch.arange(3).mean(), "here are integers"), (lambda: nothing, "`nothing` is not defined"),          # noqa: F821
    (lambda: 1 / 0, "divided by 0")]


@pytest.mark.parametrize("mistake, says", RAW, ids=range(len(RAW)))
def test_a_usual_error_says_what_to_do(mistake, says):
    with pytest.raises(Exception) as raised:
        mistake()
    message = translate.raised(raised.value, mistake)
    assert says in message and type(raised.value).__name__ in message and len(message) < 420, message


def test_an_error_of_the_course_is_left_in_its_own_words():
    assert translate.translated(ValueError("distance compares images [N, 3, H, W]; it got [3, 5]")) is None
