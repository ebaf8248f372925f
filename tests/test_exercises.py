"""Every exercise, from its declaration: right answers, named mistakes, stubs, the check in a generator, help."""
import inspect
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import exercises, ops, plots, zoo
from course_lib.exercises.engine import cases, exercise, guard, model_check, verdict
from course_lib.networks import pggan, stylegan, stylegan2

TASKS = list(exercises.EXERCISES.values())
MISTAKES = [pytest.param(task, mistake, id=f"{task.id}-{mistake.name}") for task in TASKS for mistake in task.mistakes]
# Where the model check calls the function itself, so that no network could leave it out.
EXPERIMENTS = {"01.fade_reals", "01.growing", "02.equalized_scale", "02.minibatch_stddev", "02.gradient_penalty",
               "03.mix_styles", "03.update_w_avg", "04.pixel_deviation",
               "06.path_lengths", "06.path_length_penalty", "06.r1_penalty", "06.lazy_adam", "07.slerp", "07.path_terms",
               "07.conditional_entropy", "08.clip_distance", "08.identity_loss", "08.optimization_loss", "09.split_levels",
               "09.mapper_loss", "10.direction_between", "10.mean_change", "10.thresholded", "10.shifted"}
NUMBERS = {"01.growing", "02.equalized_scale", "06.lazy_adam", "07.conditional_entropy"}            # take and return no tensors
MEASURES = NUMBERS | {"01.fade_reals", "03.update_w_avg", "04.pixel_deviation", "07.slerp", "07.path_terms",
                      "10.direction_between", "10.mean_change", "10.thresholded", "10.shifted"}  # are not asked for a gradient
SINGLE = {"06.path_lengths", "06.path_length_penalty", "06.r1_penalty"}      # the library squares in float32
# What a result without a gradient is called, where that has a cause of its own.
WITHOUT_GRADIENT = {"02.gradient_penalty": "no_create_graph", "06.path_lengths": "no_create_graph",
                    "06.path_length_penalty": "no_gradient_at_all", "06.r1_penalty": "no_create_graph"}

# A plot without axes takes a quarter of the time. Those of the trained generators are drawn as a learner sees them.
SMALL = {"figure.dpi": 30, "figure.constrained_layout.use": False, "legend.loc": "upper right", "axes.grid": False,
         "xtick.bottom": False, "xtick.labelbottom": False, "ytick.left": False, "ytick.labelleft": False}
AS_SHOWN = {key: plots.plt.rcParams[key] for key in SMALL}


def all_but(left_out):
    assert left_out <= {task.id for task in TASKS}
    return pytest.mark.parametrize("task", [task for task in TASKS if task.id not in left_out], ids=lambda task: task.id)


each = all_but(set())
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def own_progress(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROGRESS", str(tmp_path_factory.mktemp("exercises") / "progress.json"))
        yield


@pytest.fixture(scope="module", autouse=True)
def small_figures():
    with plots.plt.rc_context(SMALL):
        yield


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """What the library's function makes in a network, and the picture of the same numbers, are made once."""
    drawn = {}

    def picture(check, shown, draw=model_check.ModelCheck.picture):
        key = id(check), plots.plt.rcParams["figure.dpi"], *(x.numpy().tobytes() for x in (shown.reference, shown.images))
        return drawn[key] if key in drawn else drawn.setdefault(key, draw(check, shown))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "_timed", lru_cache(None)(exercises._timed))
        patch.setattr(model_check.ModelCheck, "picture", picture)
        yield


@lru_cache(None)
def untrained(model, part):
    """At 16 px: enough for every question but beauty."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = {
            (model_check.STYLEGAN2, "G"): lambda: stylegan2.Generator(16, z_dim=16, w_dim=16, channels={4: 12, 8: 8, 16: 6}),
            (model_check.STYLEGAN, "G"): lambda: stylegan.Generator(16, z_dim=16, w_dim=16, channels={4: 12, 8: 8, 16: 6}),
            (model_check.PGGAN, "G"): lambda: pggan.Generator(16, z_dim=16, channels={4: 12, 8: 8, 16: 6}),
            (model_check.PGGAN, "32"): lambda: pggan.Generator(16, z_dim=16, channels={4: 12, 8: 8, 16: 6}),
            (model_check.PGGAN, "D"): lambda: pggan.Discriminator(16, channels={4: 12, 8: 8, 16: 6}),
        }[model, part]().eval().requires_grad_(False)
        for name, value in network.named_buffers():
            if name.endswith("w_avg"):
                value.normal_()
        for name, value in network.named_parameters():
            if name.endswith("noise_strength") or (part == "32" or model == model_check.STYLEGAN) and name.endswith("bias"):
                value.normal_()
    return network


def network_of(task):
    return task.model_check.model and untrained(task.model_check.model, task.model_check.part)


@lru_cache(None)
def reference_of(task):
    return task.model_check.reference(network_of(task))


def mapped(change, value):
    """change(tensor), in a tuple, a list or a dictionary too."""
    if isinstance(value, dict):
        return {name: mapped(change, part) for name, part in value.items()}
    return type(value)(mapped(change, part) for part in value) if isinstance(value, (tuple, list)) else change(value)


def far_apart(a, b):
    return any(max(cases.distance(x, y), cases.distance(y, x)) >= 100 for x, y in zip(a, b))


@each
def test_the_librarys_function_is_right(task):
    result = exercises.check(task.id, task.production, network_of(task))
    assert (result.status, result.mistake) == ("right", None)
    copy = guard.copy_of(task.production)
    result = exercises.check(task.id, copy, network_of(task))
    assert result.status == "right" and task.model_check.what in result.message


@each
def test_every_alternative_is_right(task):
    assert len(task.alternatives) >= 2
    for function in task.alternatives:
        result = exercises.check(task.id, function, network_of(task))
        assert result.status == "right", (function.__name__, result)


@lru_cache(None)
def diagnosis(task, mistake):
    """What a mistake is told, and what the model check showed of it; None where it could not be drawn."""
    shown = []

    def keep(*args, make=model_check.Shown):
        shown.append(make(*args))
        return shown[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_check, "Shown", keep)
        return exercises.check(task.id, mistake.function, network_of(task)), shown[-1] if shown else None


@lru_cache(None)
def picture_of_the_same(task):
    return task.model_check.picture(model_check.Shown(reference_of(task), reference_of(task), 1)).tobytes()


@pytest.mark.parametrize("task, mistake", MISTAKES)
def test_a_named_mistake_is_diagnosed_as_itself(task, mistake):
    result, _ = diagnosis(task, mistake)
    assert (result.status, result.mistake, result.message) == ("wrong", mistake.name, mistake.message)


@each
def test_every_two_mistakes_are_far_apart_or_share_a_diagnosis(task):
    assert len(task.mistakes) >= 6
    assert len({mistake.name for mistake in task.mistakes}) == len(task.mistakes)
    outcomes = [task.expected, *task.mistaken]
    messages = [None, *(mistake.message for mistake in task.mistakes)]
    for i in range(len(outcomes)):
        for j in range(i):
            assert messages[i] == messages[j] or far_apart(outcomes[i], outcomes[j]), (messages[i], messages[j])


@each
def test_every_mistake_gives_a_value_for_some_case(task):
    for mistake, outcomes in zip(task.mistakes, task.mistaken):
        assert any(o.error is None for o in outcomes), mistake.name


@pytest.mark.parametrize("task, mistake", MISTAKES)
def test_a_wrong_operation_changes_the_picture_and_an_invisible_one_does_not(task, mistake):
    result, shown = diagnosis(task, mistake)
    if shown is None:
        with pytest.raises(Exception):           # noqa: B017 (a wrong operation may raise whatever it will)
            task.model_check.images(task.as_declared(mistake.function), network_of(task), reference_of(task).shape)
        return
    assert shown.calls > 0
    same = picture_of_the_same(task) == result.picture.tobytes()
    if mistake.visible:
        assert not same and not shown.difference <= 0.02            # NaN counts as different
    else:
        assert same or shown.same


@each
def test_at_least_six_mistakes_show_in_the_picture(task):
    results = [diagnosis(task, mistake)[0] for mistake in task.mistakes if mistake.visible]
    with_picture = [result for result in results if result.picture is not None]
    assert len(with_picture) >= 6
    assert all("differ" in result.alt for result in with_picture)


@each
def test_the_model_check_counts_calls_and_puts_the_librarys_function_back(task):
    before = dict(vars(task.model_check.owner))
    images, calls = task.model_check.images(task.as_declared(guard.copy_of(task.production)), network_of(task))
    assert calls > 0 and model_check.Shown(task.model_check.reference(network_of(task)), images, calls).same
    with pytest.raises(ZeroDivisionError):
        task.model_check.images(lambda *args, **kwargs: 1 / 0, network_of(task))
    assert dict(vars(task.model_check.owner)) == before


@all_but(EXPERIMENTS)
def test_an_answer_that_the_generator_never_calls_is_not_accepted(task):
    class Still(torch.nn.Module):
        z_dim, num_ws = network_of(task).z_dim, getattr(network_of(task), "num_ws", 0)

        def forward(self, z, **settings):
            return torch.zeros(len(z), 3, 8, 8)

    result = exercises.check(task.id, task.alternatives[0], Still())
    assert result.status == "error" and "never called" in result.message


@all_but(NUMBERS)
def test_an_answer_that_is_right_only_on_small_inputs_is_wrong(task):
    def changed(value):
        return -value if task.id == "07.slerp" else mapped(lambda x: 2 * x, value)      # G takes only the direction of z

    largest = max(value.numel() for case in task.cases for value in case.tensors().values())

    def only_small(*args, **kwargs):
        value = task.as_declared(task.alternatives[0])(*args, **kwargs)
        small = max((a.numel() for a in args if isinstance(a, torch.Tensor)), default=0) <= largest and torch.is_grad_enabled()
        return value if small else changed(value)

    result = exercises.check(task.id, only_small, network_of(task))
    assert result.status == "wrong" and "gives something else" in result.message
    assert ("differs" if task.model_check.plot is None else "they differ") in result.alt


@each
def test_the_stub_runs_and_is_not_attempted(task):
    names = {"____": exercises.____}
    exec(exercises.stub(task.id), names)
    result = exercises.check(task.id, names[task.name], network_of(task))
    assert (result.status, result.mistake, result.picture) == ("not attempted", None, None)
    assert repr(exercises.____) == "____"


@each
def test_the_stub_has_the_signature_of_the_reference(task):
    assert task.signature == inspect.signature(task.reference)


@each
def test_the_lesson_holds_the_stub_and_its_check(task):
    if task.id not in exercises.names():
        pytest.skip(f"the lesson waits for {task.needs or task.model_check.model}")
    source, = (ROOT / "notebooks/py").glob(f"{task.id[:2]}_*.py")
    text = source.read_text(encoding="utf-8")
    assert exercises.stub(task.id) in text
    assert f"ex.{task.name}.check({task.name})" in text


@each
def test_a_half_written_answer_is_not_attempted(task):
    placeholder = exercises.____

    def half(*args, **kwargs):
        if task.id in MEASURES:
            first, (second, _) = 2 * placeholder, (args[0] * placeholder, placeholder)
            return second - np.log(first)
        return (args[0] * placeholder + args[1].sum()).sqrt()[None] if len(args) > 1 else (2 - args[0] / placeholder).sum(dim=1)

    assert exercises.check(task.id, half, network_of(task)).status == "not attempted"


@each
def test_none_means_a_forgotten_return(task):
    result = exercises.check(task.id, lambda *args, **kwargs: None, network_of(task))
    assert result.status == "wrong" and "forgot `return`" in result.message


@all_but(MEASURES)
def test_a_detached_answer_is_told_that_the_gradient_is_missing(task):
    function = task.as_declared(task.alternatives[0])
    result = exercises.check(task.id, lambda *args, **kwargs: mapped(torch.Tensor.detach, function(*args, **kwargs)),
                             network_of(task))
    assert (result.status, result.mistake) == ("wrong", WITHOUT_GRADIENT.get(task.id, "no gradient"))


@all_but(NUMBERS | SINGLE)
def test_an_answer_in_single_precision_is_told_so(task):
    function = task.as_declared(task.alternatives[0])
    result = exercises.check(task.id, lambda *args, **kwargs: mapped(torch.Tensor.float, function(*args, **kwargs)),
                             network_of(task))
    assert (result.status, result.mistake) == ("wrong", "dtype")


def test_an_answer_that_goes_through_float32_is_nearly_right():
    task = exercises.EXERCISES["03.adain"]          # among its cases are results of 0, to which nothing but 0 is near
    answer = lambda *inputs, eps=1e-8: task.alternatives[0](*(x.float() for x in inputs), eps).to(inputs[0].dtype)
    assert verdict.judge(task, answer)[:2] == ("wrong", "nearly")


@pytest.mark.parametrize("task", [task for task in TASKS if task.id in SINGLE], ids=lambda task: task.id)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_single_precision_is_enough_both_are_right_and_half_is_told_so(task, dtype):
    function = task.as_declared(task.alternatives[0])
    in_type = lambda dtype: lambda *args: mapped(lambda x: x.to(dtype), function(*args))
    assert exercises.check(task.id, in_type(dtype), network_of(task)).status == "right"
    assert verdict.judge(task, in_type(torch.float16))[1] == "dtype"


@each
def test_checking_twice_gives_the_same_result(task):
    for function in (task.alternatives[0], task.mistakes[0].function, lambda *args, **kwargs: exercises.____):
        first, second = (exercises.check(task.id, function, network_of(task)) for _ in range(2))
        assert first == second and repr(first) == repr(second) and first._repr_html_() == second._repr_html_()


@each
def test_gradients_are_checked_where_a_lesson_has_switched_them_off(task):
    with torch.no_grad():
        function = task.as_declared(task.alternatives[0])
        assert exercises.check(task.id, task.alternatives[0], network_of(task)).status == "right"
        if task.id not in MEASURES:
            detached = exercises.check(task.id, lambda *args, **kwargs: mapped(torch.Tensor.detach, function(*args, **kwargs)),
                                       network_of(task))
            assert detached.mistake == WITHOUT_GRADIENT.get(task.id, "no gradient")
        assert not torch.is_grad_enabled()


@each
def test_the_librarys_function_is_switched_off_under_every_name(task, monkeypatch):
    direct, production = task.production, task.production.__name__
    module, images, in_the_model = sys.modules[direct.__module__], model_check.ModelCheck.images, []
    monkeypatch.setattr(model_check.ModelCheck, "images", lambda *args: in_the_model.append(True) or images(*args))

    def by_another_name(*args, **kwargs):
        return direct(*args, **kwargs)

    def by_its_name(*args, **kwargs):
        return getattr(module, production)(*args, **kwargs)

    def only_in_the_model(*args, **kwargs):
        return (getattr(module, production) if in_the_model else task.alternatives[0])(*args, **kwargs)

    for answer in (by_another_name, by_its_name, only_in_the_model):
        in_the_model.clear()
        result = exercises.check(task.id, answer, network_of(task))
        assert result.status == "error" and "the function you are writing" in result.message
    assert torch.isfinite(task.expected[0].value).all() and task.production is getattr(module, production)
    exercise.Exercise.outcomes(task, task.reference)          # runs again


@each
def test_help_comes_in_stages_and_ends_with_the_librarys_source(task, monkeypatch):
    monkeypatch.setattr(exercises, "_hints_seen", {})
    view = exercises.View(task)
    first, second = repr(view.hint()), repr(view.hint())
    assert first.startswith("Hint 1 of 2") and second.startswith("Hint 2 of 2") and first != second
    assert inspect.getsource(task.production).rstrip() in repr(view.solution())
    assert task.conventions in repr(view)


@all_but(NUMBERS)
def test_cases_vary_shape_type_and_content(task):
    tensors = [value for case in task.cases for value in case.tensors().values()]
    assert {torch.float32, torch.float64} == {t.dtype for t in tensors}
    assert any(len(next(iter(case.tensors().values()))) == 3 or case.tensors()["style"].shape[0] == 3
               for case in task.cases)
    assert len({tuple(t.shape) for t in tensors}) >= 6
    for outcome in task.expected:
        assert outcome.error is None and torch.isfinite(outcome.value).all() and not outcome.changed and not outcome.shared
    for name in task.expected[0].gradients:
        assert any(outcome.gradients[name].any() for outcome in task.expected)


CHANGES = {
    "00.truncate": [
        ("w_avg + psi", "w_avg - psi"), ("(ws - w_avg)", "(ws + w_avg)"), ("(ws - w_avg)", "(w_avg - ws)"),
        ("psi * (", "psi ** 2 * ("), ("psi * (", "abs(psi) * ("), ("w_avg + psi", "w_avg.detach() + psi"),
        ("(ws - w_avg)", "(ws - w_avg.detach())"), ("(ws - w_avg)", "(ws.detach() - w_avg)"),
        ("ws[:, cutoff:]", "ws.double()[:, cutoff:]"), ("ws[:, cutoff:]", "ws.detach()[:, cutoff:]"),
        ("cutoff is None", "not cutoff"), ("cutoff is None", "cutoff is None or cutoff > 2"), ("dim=1", "dim=0"),
        ("return truncated", "return ws"), ("= w_avg +", "= w_avg * 1.0000001 +"), ("psi * (", "round(psi, 0) * ("),
        ("w_avg + psi * (ws - w_avg)", "ws.sub_(w_avg).mul_(psi).add_(w_avg)"), ("ws[:, cutoff:]", "truncated[:, cutoff:]"),
        ("cutoff is None", "cutoff is None or psi == 0"), ("psi * (", "min(psi, 1) * (")],
    "01.fade_in": [
        ("low), high", "high), low"), ("upscale2d(low)", "low"), ("upscale2d(low)", "low.repeat(1, 1, 2, 2)"),
        ("upscale2d(low)", "upscale2d(low, 4)"), ("), high, alpha", "), high, 1 - alpha"),
        ("), high, alpha", "), high, alpha ** 2"), ("), high, alpha", "), high, 0.3"),
        ("), high, alpha", "), high, float(alpha > 0)"), ("), high, alpha", "), high.abs(), alpha"),
        ("), high, alpha", "), high.flip(0), alpha"), ("), high, alpha", "), high.detach(), alpha"),
        ("upscale2d(low)", "upscale2d(low.detach())"), ("upscale2d(low)", "upscale2d(low.mT).mT.roll(1, 2)"),
        ("upscale2d(low)", "upscale2d(low.float())"), ("), high, alpha)", "), high, alpha).clamp(-1, 1)"),
        ("), high, alpha", "), high, round(float(alpha), 1)"), ("return ", "return 2 * "),
        ("torch.lerp(upscale2d(low), high, alpha)", "high.lerp_(upscale2d(low), 1 - alpha)"),
        ("), high, alpha", "), high, float(alpha > 0.5) if abs(alpha - 0.5) > 0.45 else alpha")],
    "01.fade_reals": [
        ("downscale2d(x), x", "x, downscale2d(x)"), ("downscale2d(x)", "x[:, :, ::2, ::2]"),
        ("downscale2d(x)", "downscale2d(x, 4)"), ("downscale2d(x)", "F.max_pool2d(x, 2)"),
        ("downscale2d(x)", "-F.max_pool2d(-x, 2)"), ("), x, alpha)", "), x, 1 - alpha)"),
        ("), x, alpha)", "), x, 0.3)"), ("), x, alpha)", "), x, 0)"), ("), x, alpha)", "), x, 1)"),
        ("), x, alpha)", "), x, alpha ** 2)"), ("downscale2d(x)", "downscale2d(x).flip(3)"),
        ("downscale2d(x)", "downscale2d(x).mean(dim=1, keepdim=True)"), ("downscale2d(x)", "downscale2d(x).round(decimals=2)"),
        ("fade_in(downscale2d(x), x, alpha)", "x"),
        ("fade_in(downscale2d(x), x, alpha)", "x.lerp_(upscale2d(downscale2d(x)), 1 - alpha)"), ("return ", "return 2 * ")],
    "01.growing": [
        ("stable + fade)", "stable)"), ("stable + fade)", "2 * stable)"), (">= resolution", "> resolution"),
        (">= resolution", ">= resolution // 2"), ("return resolution, 1.0", "return resolution, 0.0"),
        ("return resolution, 1.0", "return start, 1.0"), ("grown + 1, (", "grown, ("), ("grown + 1, (", "grown + 2, ("),
        ("within - stable) / fade", "within) / fade"), ("/ fade", "/ stable"), ("/ fade", "// fade"),
        ("/ fade", "/ (stable + fade)"), ("/ fade", "/ 600_000"), ("within > stable", "within > fade"),
        ("within > stable", "within < stable"), ("within > stable", "within > 600_000"),
        ("start << grown, 1.0", "start << grown, 0.0"), ("(within - stable) / fade", "1.0"),
        ("start << grown >=", "4 << grown >="), ("return start << grown, 1.0", "return 1.0, start << grown"),
        ("(within - stable) / fade", "max((within - stable) / fade, 0.05)"),
        ("(within - stable) / fade", "min((within - stable) / fade, 0.95)"), ("start << grown, 1.0", "start * 2.0 ** grown, 1.0"),
        ("return resolution, 1.0", "return float(resolution), 1.0")],
    "02.equalized_scale": [
        ("shape[1:]", "shape"), ("shape[1:]", "shape[:1]"), ("shape[1:]", "shape[2:]"), ("shape[1:]", "shape[1:2]"),
        ("shape[1:]", "shape[1:3]"), ("shape[1:]", "shape[:-1]"), ("shape[1:]", "shape[-1:]"), ("math.prod(", "sum("),
        ("math.prod(", "max("), ("gain / math.sqrt", "gain * math.sqrt"), ("gain / math.sqrt", "1 / math.sqrt"),
        ("gain / math.sqrt", "gain // math.sqrt"), ("gain / math.sqrt", "gain ** 2 / math.sqrt"), ("math.sqrt(", "math.log("),
        ("math.sqrt(", "("), ("math.sqrt(", "math.isqrt("), ("math.sqrt(", "math.sqrt(1 + "), ("math.sqrt(", "math.sqrt(0.5 * ")],
    "02.pixel_norm": [
        ("rsqrt", "sqrt"), ("rsqrt", "reciprocal"), ("x.square()", "x.abs()"), ("x.square()", "x.pow(4)"), ("x.square()", "x"),
        (".mean(", ".sum("), (".mean(", ".amax("), (".mean(", ".var("), ("dim=1", "dim=0"), ("dim=1", "dim=-1"),
        (".mean(dim=1, keepdim=True)", ".mean()"), (", keepdim=True", ""), ("+ eps", "- eps"), ("+ eps", "+ 2 * eps"),
        ("+ eps", "+ eps ** 2"), ("+ eps", "+ 1e-8"), ("+ eps", ""), ("x.square()", "x.detach().square()"),
        ("x *", "x.detach() *"), ("x *", "x.abs() *"), ("x *", "(x - x.mean(dim=1, keepdim=True)) *"),
        ("x.square()", "x.square_()"), (".rsqrt()", ".rsqrt().float()"), (".rsqrt()", ".rsqrt().mul(1.0001)"),
        ("dim=1", "dim=1 if len(x) > 1 else None")],
    "02.minibatch_stddev": [
        ("x.reshape(size, n // size", "x.reshape(n // size, size"),
        ("min(group_size, n)", "group_size"), ("min(group_size, n)", "min(4, n)"), ("min(group_size, n)", "min(group_size, 4, n)"),
        ("min(group_size, n)", "n"), ("min(group_size, n)", "n // min(group_size, n)"), ("unbiased=False", "unbiased=True"),
        ("dim=0", "dim=1"), ("+ 1e-8", ""), ("+ 1e-8", "+ 1e-6"),
        ("groups.var(dim=0, unbiased=False)", "groups.square().mean(dim=0)"),
        (".sqrt().mean(dim=(2, 3, 4))", ".mean(dim=(2, 3, 4)).sqrt()"), (".sqrt()", ""),
        (".mean(dim=(2, 3, 4))", ".sum(dim=(2, 3, 4))"), (".mean(dim=(2, 3, 4))", ".amax(dim=(2, 3, 4))"),
        ("[x, std", "[x.detach(), std"), ("std.to(x.dtype)", "std.detach()"),
        ("std.to(x.dtype).repeat(size, 1)", "std.repeat_interleave(size, 0)"), ("[x, std", "[x.relu(), std"),
        ("std.to(x.dtype)", "(1 / std)"), ("std.to(x.dtype)", "std.mean(dim=0, keepdim=True).expand_as(std)")],
    "02.gradient_penalty": [
        ("torch.lerp(reals, fakes,", "torch.lerp(fakes, reals,"), ("torch.lerp(reals, fakes,", "torch.lerp(reals, reals,"),
        ("mix.to(reals.dtype)", "mix.square()"), ("mix.to(reals.dtype)", "mix.flip(0)"), ("mix is None", "True"),
        ("mix.to(reals.dtype)", "mix.round()"), ("[:, None, None, None]", "[None, None, None, :]"),
        (".detach().requires_grad_()", ""), ("critic(mixed).sum()", "critic(mixed).mean()"),
        ("critic(mixed).sum()", "critic(mixed)[0]"), ("critic(mixed).sum()", "critic(mixed).square().sum()"),
        ("critic(mixed).sum()", "critic(reals + 0 * mixed).sum()"), ("create_graph=True", "retain_graph=True"),
        ("grads.square()", "grads.abs()"), ("grads.square()", "grads.detach().square()"),
        (".sum(dim=(1, 2, 3))", ".mean(dim=(1, 2, 3))"), (".sum(dim=(1, 2, 3))", ".sum(dim=(2, 3))"),
        (".sum(dim=(1, 2, 3))", ".sum(dim=(0, 1, 2))"), (".sum(dim=(1, 2, 3))", ".sum()"), (".sqrt()", ""),
        ("(norms - target).square()", "(norms - target).abs()"), ("norms - target", "norms - 1"),
        ("norms - target", "norms + target"), ("norms - target", "(norms - target).relu()"), ("/ target ** 2", ""),
        ("/ target ** 2", "/ target"), ("/ target ** 2", "* target ** 2"), ("target ** 2", "norms ** 2"),
        ("mixed = ", "reals.requires_grad_(); mixed = "),
        ("grads, = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)",
         "critic(mixed).sum().backward(create_graph=True); grads = mixed.grad")],
    "03.adain": [
        ("x - x.mean", "x + x.mean"), ("x.mean(dim=(2, 3)", "x.mean(dim=(1, 2, 3)"), ("x.mean(dim=(2, 3)", "x.mean(dim=2"),
        ("x = x - x.mean(dim=(2, 3), keepdim=True)", "x = x - x.amin(dim=(2, 3), keepdim=True)"),
        ("- x.mean(dim=(2, 3), keepdim=True)", "- x.mean(dim=(2, 3), keepdim=True).detach()"),
        ("square().mean(dim=(2, 3)", "square().mean(dim=(0, 2, 3)"), ("square().mean(dim=(2, 3)", "square().sum(dim=(2, 3)"),
        ("square().mean(dim=(2, 3)", "abs().mean(dim=(2, 3)"), ("square().mean(dim=(2, 3)", "square().amax(dim=(2, 3)"),
        ("rsqrt()", "sqrt()"), ("rsqrt()", "reciprocal()"), ("rsqrt()", "rsqrt().detach()"), ("+ eps", "+ 2 * eps"),
        ("+ eps", "- eps"), ("+ eps", "+ 1e-8"), ("+ eps", ""), ("x * scale[:, :, None, None]", "x / scale[:, :, None, None]"),
        ("x * scale[:, :, None, None]", "x * scale.flip(0)[:, :, None, None]"), ("+ bias[:, :, None, None]", ""),
        ("+ bias[:, :, None, None]", "+ bias.flip(1)[:, :, None, None]"), ("+ bias[", "+ bias.detach()["),
        ("x * scale[", "x * scale.detach()["),
        ("x - x.mean(dim=(2, 3), keepdim=True)", "x.sub_(x.mean(dim=(2, 3), keepdim=True))")],
    "03.split_style": [
        ("dim=1", "dim=0"), ("y_s + 1", "y_s"), ("y_s + 1", "y_s - 1"), ("y_s + 1", "1.0001 + y_s"), ("y_s + 1", "y_s.add_(1)"),
        ("y_s + 1", "2 * y_s + 1"), ("y_s + 1", "y_s.detach() + 1"), ("y_s + 1, y_b", "y_b, y_s + 1"),
        ("y_s + 1, y_b", "y_s + 1, -y_b"), ("y_s + 1, y_b", "y_s + 1, y_b.detach()"), ("y_s + 1, y_b", "y_s + 1, y_b + 1"),
        ("y_s + 1, y_b", "torch.stack([y_s + 1, y_b])"), ("y_s + 1, y_b", "torch.cat([y_s + 1, y_b], dim=1)"),
        ("y_s + 1, y_b", "y_s + 1"), ("y_s, y_b = y", "y_b, y_s = y"),
        ("y_s + 1, y_b", "y_s + 1, y_b, y"), ("y_s + 1", "(y_s + 1).relu()")],
    "03.mix_styles": [
        ("<", "<="), ("<", ">"), ("<", ">="), ("<", "=="), ("layer < cutoff", "layer < cutoff - 1"),
        ("layer < cutoff", "layer < 2"), ("layer < cutoff", "cutoff"), ("ws1, ws2)", "ws2, ws1)"), ("ws1, ws2)", "ws1, ws1)"),
        ("ws1, ws2)", "ws1, 0 * ws2)"), ("ws1, ws2)", "ws1.detach(), ws2)"), ("ws1, ws2)", "ws1, ws2.detach())"),
        ("ws1, ws2)", "ws1, ws2.flip(0))"), ("ws1, ws2)", "ws1, ws2.flip(1))"), ("[None, :, None]", "[None, None, :]"),
        ("[None, :, None]", "[:, None, None]"), ("ws1.shape[1]", "ws1.shape[2]"),
        ("torch.where(layer < cutoff, ws1, ws2)", "ws1.copy_(torch.where(layer < cutoff, ws1, ws2))")],
    "03.update_w_avg": [
        ("dim=0", "dim=1"), ("dim=0", "dim=0, keepdim=True"), ("w.mean(dim=0)", "w.mean()"), ("w.mean(dim=0)", "w"),
        ("w.mean(dim=0)", "w[0]"), ("w.mean(dim=0)", "w.sum(dim=0)"), ("w.mean(dim=0)", "w.abs().mean(dim=0)"),
        ("w_avg, decay)", "w_avg, 1 - decay)"), ("w_avg, decay)", "w_avg, 0.995)"), ("w_avg, decay)", "w_avg, decay ** 2)"),
        ("w_avg, decay)", "0 * w_avg, decay)"),
        ("w_avg, decay)", "w_avg.round(), decay)"), ("w_avg, decay)", "w_avg, min(decay, 0.9))"),
        ("torch.lerp(w.mean(dim=0), w_avg, decay)", "w_avg.lerp_(w.mean(dim=0), 1 - decay)"), ("return ", "return 1.0001 * "),
        ("torch.lerp(w.mean(dim=0), w_avg, decay)", "w_avg")],
    "04.add_noise": [
        ("x + noise", "x - noise"), ("x + noise", "x * noise"), ("x + noise", "x + noise.abs()"),
        ("x + noise", "x.detach() + noise"), ("x + noise", "x + noise.flip(0)"), ("x + noise", "x + noise.mT.reshape(noise.shape)"),
        ("x + noise", "x + torch.randn_like(noise)"), ("x + noise", "x + noise.round(decimals=3)"),
        ("(strength.view", "(strength.detach().view"), ("view(-1, 1, 1)", "view(1, -1, 1)"),
        ("view(-1, 1, 1)", "view(-1)"), ("view(-1, 1, 1)", "view(-1, 1, 1, 1)"), ("view(-1, 1, 1)", "view(-1, 1, 1).flip(0)"),
        ("else strength)", "else 1)"), ("else strength)", "else 2 * strength)"),
        ("dtype=x.dtype)", "dtype=torch.half).to(x.dtype)"),
        ("(strength.view(-1, 1, 1) if strength.ndim else strength)", "strength"),
        ("return x + noise", "return x.add_(1e-9) + noise"), ("return x + noise", "return x + noise[:1]")],
    "04.pixel_deviation": [
        ("var(dim=0)", "var(dim=1)"), ("var(dim=0)", "var(dim=2)"), ("var(dim=0)", "var(dim=0, unbiased=False)"),
        ("var(dim=0)", "std(dim=0)"), ("var(dim=0)", "var(dim=(0, 1))"), ("var(dim=0)", "var(dim=0, correction=2)"),
        ("images.var", "images[:3].var"), ("images.var", "images.abs().var"), ("images.var", "images.round(decimals=3).var"),
        ("images.var(dim=0)", "images.mean(dim=0)"), ("mean(dim=1)", "mean(dim=0)"), ("mean(dim=1)", "sum(dim=1)"),
        ("mean(dim=1)", "amax(dim=1)"), ("mean(dim=1)", "mean()"), ("mean(dim=1)", "mean(dim=1, keepdim=True)"),
        ("mean(dim=1).sqrt()", "sqrt().mean(dim=1)"), (".sqrt()", ""), (".sqrt()", ".add(1e-8).sqrt()"),
        ("images.var(dim=0)", "images.sub_(images[0]).var(dim=0)")],
    "05.modulate": [
        ("weight[None] *", "weight[None].detach() *"), ("* style[", "* style.detach()["), ("* style[", "* style.float()["),
        ("style[:, None, :, None, None]", "style[:, :, None, None, None]"),
        ("style[:, None, :, None, None]", "style[:, None, None, :, None]"),
        ("style[:, None, :, None, None]", "style[:, None, :, None]"), ("weight[None]", "weight.transpose(2, 3)[None]"),
        ("weight[None]", "weight.flip([2, 3])[None]"), ("* style[", "* style.clamp(min=0)["),
        ("* style[", "* style.flip(0)["), ("* style[", "* style.round()["), ("* style[", "/ style["),
        ("* style[", "- style["), ("* style[", "* style.softmax(1)["), ("weight[None]", "weight.abs()[None]"),
        ("weight[None]", "(weight + 1e-8)[None]")],
    "05.demodulate": [
        ("rsqrt", "sqrt"), ("rsqrt", "reciprocal"), ("(2, 3, 4)", "(2, 3)"), ("(2, 3, 4)", "(2, 4)"),
        ("(2, 3, 4)", "(1, 2, 3)"), ("(2, 3, 4)", "(1, 2, 4)"), (".sum(", ".mean("), (".sum(", ".amax("),
        ("square()", "abs()"), ("square()", "pow(4)"), ("+ eps", "- eps"), ("+ eps", "+ 2 * eps"), ("+ eps", "+ eps ** 2"),
        ("+ eps", "+ 1e-7"), ("weight.square()", "weight.detach().square()"), ("weight *", "weight.detach() *"),
        ("weight *", "weight.square() *"), ("weight *", "weight.abs() *"), (", keepdim=True", ""),
        (".rsqrt()", ".rsqrt().float()"), (".rsqrt()", ".float().rsqrt().to(weight.dtype)"),
        (".rsqrt()", ".rsqrt().mul(1.0001)"), ("weight * (", "weight.mul_(("), (".square()", ".square_()"),
        ("(2, 3, 4)", "(2, 3, 4) if len(weight) > 1 else (1, 2, 3, 4)")],
    "05.modulated_conv2d": [
        ("modulate(weight, style)", "modulate(weight, style.detach())"),
        ("modulate(weight, style)", "modulate(weight, style.flip(0))"),
        ("modulate(weight, style)", "modulate(weight.flip([3]), style)"), ("demodulate(weight)", "demodulate(weight, 1e-6)"),
        ("demodulate(weight)", "demodulate(weight).detach()"),
        ("demodulate(weight)", "demodulate(weight.flatten(3)).view_as(weight)"), ("if demod:", "if not demod:"),
        ("if demod:", "if True:"), ("if demod:", "if False:"), ("padding, groups", "1, groups"),
        ("padding, groups", "0, groups"), ("groups=n", "groups=1"),
        ("x.reshape(1, n * i, h, w)", "x.reshape(1, n * i, w, h)"),
        ("x.reshape(1, n * i, h, w)", "x.transpose(0, 1).reshape(1, n * i, h, w)"), ("x.reshape(n, -1,", "x.reshape(-1, n,"),
        ("x.reshape(1, n * i, h, w)", "x.detach().reshape(1, n * i, h, w)"), ("mirror=up > 1", "mirror=True"),
        ("return x.reshape(n, -1, *x.shape[2:])", "return x"), ("return x.reshape", "return x.relu().reshape")],
    "05.modulated_conv2d_activations": [
        ("x * style.to(x.dtype)", "x / style.to(x.dtype)"), ("x * style.to(x.dtype)", "x * style.abs()"),
        ("x * style.to(x.dtype)", "x + style.to(x.dtype)"), ("x * style.to(x.dtype)", "x * style.detach()"),
        ("style.square() @", "style @"), ("style.square() @", "style.detach().square() @"),
        ("weight.square()", "weight.abs()"), ("weight.square()", "weight.detach().square()"),
        (".sum(dim=(2, 3))", ".mean(dim=(2, 3))"), (".sum(dim=(2, 3))", ".amax(dim=(2, 3))"), ("rsqrt()", "sqrt()"),
        ("rsqrt()", "reciprocal()"), ("+ 1e-8", "+ 1e-6"), ("+ 1e-8", ""), ("if demod:", "if True:"),
        ("if demod:", "if not demod:"), (".to(x.dtype)[:, :, None, None]\n    return", "[:, None, None]\n    return"),
        ("up, down, padding, mirror=up > 1", "up, down, 1"),
        ("up, down, padding, mirror=up > 1", "up, down, padding, mirror=True"),
        ("x = x * (energy", "x = x.detach() * (energy"),
        ("style.square() @ weight.square().sum(dim=(2, 3)).t()",
         "(style[:, None, :, None, None] * weight).square().sum(dim=(2, 3, 4))")],
    "06.path_lengths": [
        ("noise /", "noise *"), ("images.shape[2] * images.shape[3]", "images.shape[2]"),
        ("images.shape[2] * images.shape[3]", "images.shape[2] ** 2"), ("** 0.5", "** 0.25"), ("** 0.5", "** 1"),
        ("images * y", "images * y.abs()"), ("images * y", "images.square() * y"), ("images * y", "images * noise"),
        (".sum(), ws", ".mean(), ws"), ("create_graph=True", "retain_graph=True"), (".square()", ".abs()"),
        ("sum(dim=2)", "sum(dim=0)"), ("sum(dim=2)", "amax(dim=2)"), ("sum(dim=2).mean(dim=1)", "sum(dim=1).mean(dim=1)"),
        (".mean(dim=1)", ".amax(dim=1)"), (".mean(dim=1).sqrt()", ".sqrt().mean(dim=1)"), (".sqrt()", ""),
        (".sqrt()", ".add(1e-4).sqrt()"), ("grads.float()", "grads.detach()"), ("(images * y).sum()", "(images * y)[0].sum()"),
        ("(images * y).sum()", "(images * y).mul_(y).sum()"), ("y = noise", "noise.requires_grad_(); y = noise"),
        ("grads, = torch.autograd.grad((images * y).sum(), ws, create_graph=True)",
         "ws.retain_grad(); (images * y).sum().backward(create_graph=True); grads = ws.grad")],
    "06.path_length_penalty": [
        ("(lengths - mean).square()", "(lengths - mean).abs()"), ("(lengths - mean)", "(lengths - mean.detach())"),
        ("(lengths - mean)", "(lengths.detach() - mean)"), ("(lengths - mean)", "(lengths + mean)"),
        (".square(), mean", ".square().mean(), mean"), (".square(), mean", ".square()"), (", mean\n", ", lengths.mean()\n"),
        (", mean\n", ", mean[None]\n"), ("lengths.mean()", "lengths.median()"), ("lengths.mean()", "lengths.mean().detach()"),
        ("lengths.mean()", "lengths.square().mean().sqrt()"), (", decay)\n", ", 1 - decay)\n"), (", decay)\n", ", 0.01)\n"),
        (", decay)\n", ", 2 * decay)\n"), ("(images, ws, noise)\n", "(images, ws, noise.abs())\n"),
        (".square(), mean", ".square().mul(2), mean"), (".square(), mean", ".square(), [mean]"),
        (".square(), mean", ".square(), 2 * mean")],
    "06.r1_penalty": [
        ("logits.sum()", "logits.mean()"), ("logits.sum()", "logits[0]"), ("logits.sum()", "logits.square().sum()"),
        ("logits.sum()", "logits.exp().sum()"), ("create_graph=True", "retain_graph=True"), (".square()", ".abs()"),
        (".square()", ".pow(4)"), (".sum(dim=(1, 2, 3))", ".mean(dim=(1, 2, 3))"), (".sum(dim=(1, 2, 3))", ".sum(dim=(2, 3))"),
        (".sum(dim=(1, 2, 3))", ".sum()"), (".sum(dim=(1, 2, 3))", ".sum(dim=(0, 1, 2))"),
        (".sum(dim=(1, 2, 3))", ".amax(dim=(1, 2, 3))"), ("dim=(1, 2, 3))", "dim=(1, 2, 3)).sqrt()"),
        ("grads.float()", "grads.detach()"), ("grads.float()", "grads[:, :2]"), ("dim=(1, 2, 3))", "dim=(1, 2, 3)) / 2"),
        ("grads, = torch.autograd.grad(logits.sum(), reals, create_graph=True)",
         "reals.retain_grad(); logits.sum().backward(create_graph=True); grads = reals.grad")],
    "06.lazy_adam": [
        ("(interval + 1)", "(interval - 1)"), ("(interval + 1)", "(interval + 2)"), ("(interval + 1)", "interval"),
        ("interval /", "interval //"), ("= interval", "= 1"), ("lr * c", "lr"), ("lr * c", "lr / c"), ("lr * c", "lr ** c"),
        ("lr * c", "lr * c ** 2"), ("beta ** c", "beta * c"), ("beta ** c", "beta"), ("beta ** c", "beta ** (1 / c)"),
        ("beta ** c", "beta ** c ** 2"), ("in betas", "in betas[::-1]"), ("in betas", "in betas[:1]"), ("lr * c, ", ""),
        ("beta ** c", "round(beta ** c, 4)")],
    "07.slerp": [
        ("a = F.normalize(a, dim=-1)", "a = a"), ("b = F.normalize(b, dim=-1)", "b = b"), ("a = F.normalize(a, dim=-1)",
         "a = F.normalize(a, dim=0)"), ("b = F.normalize(b, dim=-1)", "b = F.normalize(b.abs(), dim=-1)"),
        ("t * torch.acos", "torch.acos"), ("t * torch.acos", "t ** 2 * torch.acos"), ("t * torch.acos", "(1 - t) * torch.acos"),
        ("torch.acos", "torch.asin"), (".clamp(-1, 1)", ""), (".clamp(-1, 1)", ".clamp(0, 1)"),
        (".clamp(-1, 1)", ".clamp(-0.9, 0.9)"),
        ("b - a *", "b + a *"), ("F.normalize(b - a * (a * b).sum(dim=-1, keepdim=True), dim=-1)", "F.normalize(b, dim=-1)"),
        ("torch.cos", "torch.sin"), ("torch.sin(angle)", "angle"), ("orthogonal *", "orthogonal.abs() *"),
        ("(a * b).sum(dim=-1", "(a * b).mean(dim=-1"), ("return F.normalize(", "return (lambda x, dim: 2 * x)("),
        ("* torch.acos", "* 180 / torch.pi * torch.acos"), ("t * torch.acos", "abs(t) * torch.acos")],
    "07.path_terms": [
        ("epsilon ** 2", "epsilon"), ("/ epsilon ** 2", ""), ("/ epsilon ** 2", "* epsilon ** 2"),
        ("epsilon ** 2", "epsilon ** 3"),
        ("t + epsilon", "t"), ("t + epsilon", "t - epsilon"), ("t + epsilon", "t + 2 * epsilon"), ("t + epsilon", "epsilon"),
        ("t + epsilon", "t * epsilon"), ("a, b, t)), render", "a, b, 0 * t)), render"),
        ("a, b, t)), render", "a, b, t + epsilon)), render"),
        ("between(a, b, t)", "between(b, a, t)"), ("between(a, b, t)", "a"), ("between(", "torch.lerp("),
        ("return distance(", "return 2 * distance("), ("return distance(", "return -distance("), ("epsilon ** 2", "1e-4 ** 2"),
        ("t + epsilon", "t + 1e-4")],
    "07.conditional_entropy": [
        ("np.log(", "np.log2("), ("np.log(", "np.log1p("), ("-(table", "(table"), ("max(0.0, ", "(lambda x: abs(x) + 0.1)("),
        ("axis=1", "axis=0"), (" / table.sum(axis=1, keepdims=True)", ""), (" / table.sum(axis=1", " * table.sum(axis=1"),
        ("1 / len(x)", "1"), ("1 / len(x)", "1 / len(set(x))"), ("(x, y), 1", "(x, x), 1"),
        ("[table > 0]", ""), ("table > 0", "table > 0.2"),
        (".sum().item()", ".mean().item()"), (".sum().item()", ".sum()[None]"), ("table[table > 0] * np", "given * np"),
        ("for labels in (y, x)", "for labels in (x, y)"), ("x.max() + 1, y.max() + 1", "2, 2"),
        ("np.unique(labels, return_inverse=True)[1]", "np.asarray(labels)")],
    "08.clip_distance": [
        ("1 - (", "("), ("1 - (", "1 + ("), ("1 - (", "2 - ("), ("1 - (", "-("),
        ("F.normalize(image_features, dim=-1)", "image_features"), ("F.normalize(text_features, dim=-1)", "text_features"),
        ("image_features, dim=-1", "image_features, dim=0"), ("text_features, dim=-1", "text_features, dim=0"),
        ("image_features, dim=-1", "image_features, p=1, dim=-1"), (".sum(dim=-1)", ".mean(dim=-1)"),
        (".sum(dim=-1)", ".sum(dim=0)"), (".sum(dim=-1)", ".sum()"), (".sum(dim=-1)", ".amax(dim=-1)"),
        (".sum(dim=-1)", ".sum(dim=-1, keepdim=True)"), (".sum(dim=-1)", ".sum(dim=-1).abs()"),
        ("text_features, dim", "text_features[:1], dim"), ("image_features, dim", "image_features.detach(), dim"),
        ("text_features, dim", "text_features.detach(), dim"), (".sum(dim=-1)", ".sum(dim=-1).mean()"), ("1 - (", "1.001 - (")],
    "08.identity_loss": [
        ("1 - (", "("), ("1 - (", "1 + ("), ("1 - (", "-("), ("F.normalize(features, dim=-1)", "features"),
        ("F.normalize(source_features, dim=-1)", "source_features"), ("(features, dim=-1", "(features, dim=0"),
        ("(source_features, dim=-1", "(source_features, dim=0"), ("(features, dim=-1)", "(features, dim=-1, eps=2)"),
        (".sum(dim=-1)", ".mean(dim=-1)"), (".sum(dim=-1)", ".sum(dim=0)"), (".sum(dim=-1)", ".sum()"),
        (".sum(dim=-1)", ".sum(dim=-1)[:1]"), (".sum(dim=-1)", ".sum(dim=-1).square()"),
        (".sum(dim=-1)", ".sum(dim=-1).clamp(min=0)"), ("source_features, dim", "source_features.flip(0), dim"),
        ("(features, dim", "(features.detach(), dim"), ("(features, dim", "(features.abs(), dim"),
        (".sum(dim=-1)", ".sum(dim=-1).mean()")],
    "08.optimization_loss": [
        ("clip_term +", "clip_term -"), ("clip_term +", "2 * clip_term +"), ("clip_term +", "clip_term.detach() +"),
        ("clip_term +", "clip_term.mean() +"), ("l2 * latent", "latent"), ("l2 * latent", "l2 ** 2 * latent"),
        ("l2 * latent", "0.008 * latent"), ("l2 * latent", "abs(l2 - 0.008) * latent"),
        ("(latents, sources) +", "(latents, sources).sqrt() +"), ("(latents, sources) +", "(latents, 0 * sources) +"),
        ("(latents, sources) +", "(latents[:, 1:], sources[:, 1:]) +"), ("(latents, sources) +", "(latents.detach(), sources) +"),
        ("(latents, sources) +", "(latents, sources).mean() +"),
        ("(latents, sources) +", "(latents, sources) / latents[0].numel() +"), ("id_weight * ", ""), ("id_weight * ", "l2 * "),
        ("+ id_weight", "- id_weight"), ("id_weight * identity_term", "id_weight"), ("id_weight * identity_term", "0")],
    "09.split_levels": [
        ("ws[:, LEVELS", "ws[LEVELS"), ("ws[:, LEVELS", "ws[:, :, LEVELS"),
        ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].mean(dim=1)"), ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].flip(1)"),
        ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].flip(0)"), ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].detach()"),
        ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].float()"), ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]][:, :4]"),
        ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]][:, :-1]"), ("ws[:, LEVELS[level]]", "ws[:, LEVELS[level]].mT"),
        ("ws[:, LEVELS[level]]", "ws.sub_(1)[:, LEVELS[level]] + 1"), ("for level in levels}", "for level in LEVELS}"),
        ("for level in levels}", "for level in levels[:1]}"), ("{level: ws", "{level.title(): ws"),
        ("{level: ws", "{len(level): ws"), ("ws[:, LEVELS[level]]", "ws[:, LEVELS['coarse']]")],
    "09.mapper_loss": [
        ("clip_weight * clip_term", "clip_term"), ("clip_weight * clip_term", "clip_weight"),
        ("clip_weight * clip_term", "clip_weight * clip_term.detach()"), ("l2 * off", "off"), ("l2 * off", "0.8 * off"),
        ("l2 * off", "l2 ** 2 * off"), (".square()", ".abs()"), (".square()", ".pow(4)"),
        (".mean(dim=(1, 2))", ".sum(dim=(1, 2))"), (".mean(dim=(1, 2))", ".mean()"), (".mean(dim=(1, 2))", ".mean(dim=(0, 1))"),
        (".mean(dim=(1, 2))", ".mean(dim=2).amax(dim=1)"), (".mean(dim=(1, 2))", ".mean(dim=(1, 2)).sqrt()"),
        ("offsets.square", "offsets.detach().square"), ("offsets.square", "offsets.relu().square"), ("id_weight * ", ""),
        ("id_weight * ", "0.1 * "), ("+ id_weight", "- id_weight"), ("id_weight * identity_term", "0"), ("+ l2", "- l2")],
    "10.direction_between": [
        ("after - before", "before - after"), ("after - before", "after + before"), ("after - before", "after"),
        ("F.normalize(after - before, dim=0)", "after - before"), ("F.normalize(x, dim=-1).mean", "x.mean"),
        ("F.normalize(x, dim=-1)", "F.normalize(x, dim=0)"), ("F.normalize(x, dim=-1)", "F.normalize(x, p=1, dim=-1)"),
        (".mean(dim=0)", ".mean(dim=1)"), (".mean(dim=0)", ".amax(dim=0)"), (".mean(dim=0)", "[0]"), (".mean(dim=0)", ".mean()"),
        ("F.normalize(F.normalize(x, dim=-1).mean(dim=0), dim=0)", "F.normalize(x, dim=-1).mean(dim=0)"),
        ("(neutral, target))", "(target, neutral))"), ("(neutral, target))", "(neutral, neutral))"),
        ("after - before, dim=0", "after - before, p=1, dim=0"), ("(after - before", "((after - before).abs()"),
        ("(after - before", "((after - before).float()"), ("(neutral, target))", "(neutral.abs(), target))")],
    "10.mean_change": [
        ("after - before", "before - after"), ("after - before", "after + before"), ("after - before", "after"),
        ("after - before", "(after - before).abs()"), ("F.normalize(changes, dim=-1).mean", "changes.mean"),
        ("F.normalize(changes, dim=-1)", "F.normalize(changes, dim=0)"), (".mean(dim=0), dim=-1)", ".mean(dim=1), dim=-1)"),
        (".mean(dim=0), dim=-1)", ".mean(dim=0), dim=0)"), (".mean(dim=0), dim=-1)", "[0], dim=-1)"),
        ("F.normalize(F.normalize(changes, dim=-1).mean(dim=0), dim=-1)", "F.normalize(changes, dim=-1).mean(dim=0)"),
        ("mean * (", "mean + 0 * ("), ("> ROUNDING", "<= ROUNDING"), ("> ROUNDING", "> 10 * ROUNDING"),
        ("> ROUNDING", "> ROUNDING / 10"), ("> ROUNDING", "> 0"), ("norm(dim=-1).mean", "norm(dim=-1).amin"),
        ("norm(dim=-1).mean", "norm(dim=-1).sum"), ("changes.norm(dim=-1).mean(dim=0)", "changes.mean(dim=0).norm(dim=-1)"),
        ("norm(dim=-1)", "norm(dim=0)"), ("[..., None]", "")],
    "10.thresholded": [
        (">= beta", "> beta"), (">= beta", "< beta"), (">= beta", ">= 0.1"), (">= beta", ">= 0"),
        ("relevances.abs() >=", "relevances >="), ("relevances.abs() >=", "relevances.square() >="),
        (">= beta, relevances", ">= beta, relevances.abs()"), (">= beta, relevances, 0)", ">= beta, relevances, beta)"),
        (">= beta, relevances", ">= beta, relevances.sign()"), ("/ largest", ""), ("/ largest", "* largest"), ("* sigma", ""),
        ("* sigma", "/ sigma"), ("* sigma", "* sigma.square()"), ("* sigma", "* sigma.mean()"),
        ("* sigma", "* sigma / sigma.max()"), ("abs().max()", "max()"), ("abs().max()", "abs().mean()"),
        ("abs().max()", "norm()"), ("else largest", "else 1"), ("else largest", "else relevances.abs().max()"),
        ("relevances.abs() >=", "(relevances / largest).abs() >=")],
    "10.shifted": [
        ("s + alpha", "s - alpha"), ("s + alpha", "alpha"), ("s + alpha * d", "s + d"), ("s + alpha * d", "s * alpha + d"),
        ("s + alpha * d", "s * (1 + alpha * d)"), ("alpha * d", "alpha * d.abs()"), ("alpha * d", "alpha ** 2 * d"),
        ("alpha * d", "alpha * d.mean()"), ("alpha * d", "alpha * d.flip(0)"), ("alpha * d", "alpha * (d - s)"),
        ("alpha[:, None]", "alpha"), ("alpha[:, None]", "alpha[None]"), ("alpha[:, None]", "alpha[0]"),
        ("alpha[:, None]", "alpha.flip(0)[:, None]"), (" and alpha.ndim", ""), ("s + alpha * d", "s.add_(alpha * d)"),
        ("[s + alpha * d for", "[s.float() + alpha * d for"), ("(styles, direction, strict=True)", "(styles[:1], direction)"),
        ("(styles, direction, strict=True)", "(styles[::-1], direction[::-1])")],
}


@pytest.mark.parametrize("name, old, new", [pytest.param(name, *change, marks=pytest.mark.slow if i % 4 else ())
                                            for name, changes in CHANGES.items() for i, change in enumerate(changes)])
def test_a_small_change_of_the_librarys_function_is_refused(name, old, new):
    task = exercises.EXERCISES[name]
    source = inspect.getsource(task.production)
    changed = source.replace(old, new)
    assert changed != source
    if new.endswith("mul_(("):
        changed = changed.rstrip() + ")\n"
    status, _, message, _ = verdict.judge(task, defined(task, changed))
    assert status in ("wrong", "error") and len(message) < 420


@each
def test_an_unchanged_copy_of_the_librarys_source_is_right(task):
    assert verdict.judge(task, defined(task, inspect.getsource(task.production)))[0] == "right"


def defined(task, source):
    """A function from its source, with the names of the module that the library's stands in."""
    names = dict(vars(sys.modules[task.production.__module__]))
    exec(source, names)
    return names[task.production.__name__]


def test_names_lists_the_exercises_and_an_unknown_one_is_an_error():
    assert set(exercises.names()) <= {task.id for task in TASKS} and list(exercises.EXERCISES) == [task.id for task in TASKS]
    with pytest.raises(ValueError, match='no exercise "05.x"'):
        exercises.check("05.x", len)
    with pytest.raises(ValueError, match='lesson "99" has no exercises'):
        exercises.lesson("99")


def test_the_second_form_of_the_convolution_may_not_be_the_first():
    task = exercises.EXERCISES["05.modulated_conv2d_activations"]
    for function in exercises.EXERCISES["05.modulated_conv2d"].alternatives[:2]:
        result = exercises.check(task.id, function, network_of(task))
        assert (result.status, result.mistake) == ("wrong", "weights for each image")


def scaled_by(energy):
    """The convolution of scaled maps, with σ² from energy(weight, style), [N, O]."""
    def modulated_conv2d_activations(x, weight, style, demod=True, padding=0):
        x = F.conv2d(x * style[:, :, None, None], weight, padding=padding)
        return x / (energy(weight, style) + 1e-8).sqrt()[:, :, None, None] if demod else x
    return modulated_conv2d_activations


@pytest.mark.parametrize("energy", [
    lambda weight, style: ops.modulate(weight, style).square().sum(dim=(2, 3, 4)),
    lambda weight, style: torch.stack([(weight * s[:, None, None]).square().sum(dim=(1, 2, 3)) for s in style]),
    lambda weight, style: torch.vmap(lambda s: torch.linalg.vector_norm(weight * s[:, None, None], dim=(1, 2, 3)).square())(style),
    lambda weight, style: torch.einsum("ni,oikl,ni,oikl->no", style, weight, style, weight)],
    ids=("all", "one by one", "vmap", "einsum"))
def test_sigma_may_not_come_from_weights_of_each_image(energy):
    status, mistake, message, _ = verdict.judge(exercises.EXERCISES["05.modulated_conv2d_activations"], scaled_by(energy))
    assert (status, mistake) == ("wrong", "weights for each image") and "Σ_i s_i² · Σ_k w_ijk²" in message


@pytest.mark.parametrize("energy", [
    lambda weight, style: F.linear(style ** 2, (weight ** 2).sum(dim=(2, 3))),
    lambda weight, style: torch.einsum("ni,oikl->no", style.square(), weight.square()),
    lambda weight, style: (style.square()[:, None] * weight.flatten(2).norm(dim=2).square()).sum(dim=2),
    lambda weight, style: F.conv2d(style.square()[..., None, None].expand(-1, -1, *weight.shape[2:]), weight.square())[:, :, 0, 0]],
    ids=("linear", "einsum", "broadcast", "convolution"))
def test_sigma_may_come_from_the_shared_weight_in_any_way(energy):
    assert verdict.judge(exercises.EXERCISES["05.modulated_conv2d_activations"], scaled_by(energy))[0] == "right"


def test_without_the_model_the_check_says_that_the_model_check_did_not_run(monkeypatch):
    monkeypatch.setattr(zoo, "cards", dict)
    exercises._model.cache_clear(), exercises._reference.cache_clear()
    task = TASKS[0]
    result = exercises.check(task.id, task.alternatives[0])
    assert result.status == "right" and "could not be loaded" in result.message and result.picture is None
    assert exercises.names() == [name for name, task in exercises.EXERCISES.items() if task.model_check.model is task.needs is None]


@pytest.mark.parametrize("task", [task for task in TASKS if task.id in exercises.names()], ids=lambda task: task.id)
@plots.plt.rc_context(AS_SHOWN)
def test_the_trained_generator_draws_the_same_with_a_right_answer_and_something_else_with_a_wrong_one(task):
    right = exercises.check(task.id, task.alternatives[0])
    assert right.status == "right" and task.model_check.what in right.message
    wrong = exercises.check(task.id, next(m.function for m in task.mistakes if m.visible and m.name != "scales_the_outputs"))
    assert wrong.status == "wrong" and "differ" in wrong.alt
    assert wrong.picture.tobytes() != right.picture.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task.id in exercises.names()], ids=lambda task: task.id)
def test_in_the_trained_generator_right_answers_differ_by_a_tenth_of_what_is_allowed_at_most(task):
    network, (reference, _) = exercises._network(task.model_check), exercises._reference(task)
    for function in task.alternatives[1:]:                  # the first is checked above
        images, calls = task.model_check.images(task.as_declared(function), network, reference.shape)
        assert calls and model_check.Shown(reference, images, calls).difference < model_check.SAME / 10, function.__name__
