"""Pictures and widgets without a browser: what they draw, what they store, and what they say about errors."""
import asyncio
import gc
import time
import weakref

import ipywidgets
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from course_lib import plots, widgets
from course_lib.widgets import display

images = torch.linspace(-1, 1, 4 * 3 * 64 * 64).reshape(4, 3, 64, 64)


def shifted(shift=2, strength=1.0, kind="plain", flip=False, seed=0):
    if shift == 13:
        raise ValueError("<13> brings no luck")
    picture = (images * strength * (0.5 if kind == "dark" else 1)).roll(shift + seed, 3)
    return picture.flip(3) if flip else picture


def make(**options):
    return widgets.explorer(shifted, alt="A ramp.", shift=(0, 13), strength=(0, 1, 0.1), kind=("plain", "dark"), flip=True,
                            seed=widgets.redraw(), **options)


def test_controls_begin_with_the_defaults_of_render():
    assert make().values() == {"shift": 2, "strength": 1.0, "kind": "plain", "flip": False, "seed": 0}


@pytest.mark.parametrize("name, value", [("shift", 5), ("strength", 0.3), ("kind", "dark"), ("flip", True), ("seed", 1)])
def test_moving_a_control_shows_the_picture_of_its_value(name, value):
    explorer = make()
    before = explorer.image.value
    explorer.controls[name].value = value
    assert explorer.image.value == plots.to_png(shifted(**{name: value}), level=1) != before


def test_controls_are_stored_beside_the_picture():
    stored = make().metadata["explorer"]
    assert stored["function"] == "shifted" and [control["name"] for control in stored["controls"]] == [
        "shift", "strength", "kind", "flip", "seed"]
    shift, strength, kind, flip, seed = stored["controls"]
    assert shift == {"name": "shift", "kind": "slider", "label": "shift", "min": 0, "max": 13, "step": 1, "value": 2}
    assert (strength["kind"], strength["step"], strength["value"]) == ("slider", 0.1, 1.0)
    assert (kind["kind"], kind["options"], kind["value"]) == ("menu", ["plain", "dark"], "plain")
    assert (flip["kind"], flip["value"], seed["kind"], seed["label"], seed["value"]) == ("box", False, "button", "Draw again", 0)
    line = widgets.explorer(lambda text="a": images.roll(len(text), 3), alt="A ramp.", text="").metadata["explorer"]["controls"]
    assert line == [{"name": "text", "kind": "line", "label": "text", "value": "a"}]


def test_a_button_counts_its_presses():
    explorer = make()
    explorer.controls["seed"].click()
    explorer.controls["seed"].click()
    assert explorer.values()["seed"] == 2
    assert explorer.image.value == plots.to_png(shifted(seed=2), level=1)


def test_an_error_appears_in_the_widget_and_goes_away():
    explorer = make()
    kept = explorer.image.value
    explorer.controls["shift"].value = 13
    assert "ValueError: &lt;13&gt; brings no luck" in explorer.message.value
    assert explorer.image.value == kept
    explorer.controls["shift"].value = 3
    assert explorer.message.value == ""


def test_a_delayed_explorer_draws_once_for_many_changes():
    drawn = []

    async def drag():
        explorer = widgets.explorer(lambda x=0: drawn.append(x) or images, alt="A ramp.", x=(0, 9), delay=0.05)
        drawn.clear()
        for value in range(1, 10):
            explorer.controls["x"].value = value
        await asyncio.sleep(0.15)

    asyncio.run(drag())
    assert drawn == [9]


def test_four_images_of_64_pixels_are_drawn_within_100_ms():
    explorer = make()
    seconds = []
    for value in (1, 2, 3, 4, 5):
        began = time.process_time()
        explorer.controls["shift"].value = value
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.1


def test_a_live_preview_goes_on_and_stops():
    def frames():
        for step in range(1000):
            yield images.roll(step, 3), f"step {step}"

    async def watch():
        live = widgets.live(frames, alt="A moving ramp.", first=3)
        assert live.message.value == "step 2"
        live.start.click()
        await asyncio.sleep(0.3)
        live.stop.click()
        await asyncio.sleep(0.05)
        reached = live.shown
        assert 3 < reached < 1000 and live.task is None and not live.start.disabled
        await asyncio.sleep(0.1)
        assert live.shown == reached
        live.again.click()
        live.start.click()
        await asyncio.sleep(0.02)
        assert 0 < live.shown < reached
        live.stop.click()
        await asyncio.sleep(0.05)

    asyncio.run(watch())


EXPLORER = """def draw(x=1, made=made(), kind="a"):
    return plots.image_grid(made, scale=1)
shown = widgets.explorer(draw, alt="A ramp.", x=(0, 9), kind=["a", "b"])
shown.controls["x"].value = 3
shown"""
LIVE = """def frames(x=1, flip=True, made=made()):
    for step in range(9):
        yield plots.image_grid(made, scale=1), f"step {step}"
widgets.live(frames, alt="A ramp.", x=(0, 9), flip=True)"""


@pytest.fixture
def quick_collection():
    """What is alive already is not looked through by each `gc.collect()`."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def notebook(monkeypatch, quick_collection):
    """`run(code)` runs a cell as a notebook's kernel does, and returns how many widgets are open. A cell has `made()`, which makes
    a tensor; `run.alive()` says for each whether it still is."""
    made = []

    def tensor():
        found = images.clone()
        made.append(weakref.ref(found))
        return found

    def run(code):
        assert run.shell.run_cell(code, store_history=True).success
        return opened()

    def alive():
        gc.collect()
        return [reference() is not None for reference in made]

    run.alive, run.shell = alive, InteractiveShell(user_ns={"widgets": widgets, "plots": plots, "made": tensor})
    monkeypatch.setattr(display, "get_ipython", lambda: run.shell)
    monkeypatch.setattr(display, "_shown", {})
    return run


def opened():
    return len(ipywidgets.widgets.widget._instances)


@pytest.mark.parametrize("cell", [EXPLORER, LIVE], ids=["explorer", "live"])
def test_running_a_cell_again_keeps_nothing_of_its_earlier_runs(cell, notebook):
    """Not even Out, which holds every result of a cell."""
    counts = [notebook(cell) for _ in range(4)]
    assert len(set(counts)) == 1 and notebook.alive() == [False, False, False, True]
    assert len(notebook.shell.user_ns["Out"]) == 4


def test_an_explorer_lives_while_other_cells_run(notebook):
    notebook("for name in ('a', 'b'): widgets.explorer(lambda x=1, made=made(): plots.image_grid(made, scale=1), alt=name, x=(0, "
             "9));")
    notebook(EXPLORER)
    notebook(EXPLORER)
    assert notebook.alive() == [True, True, False, True]


def test_a_script_keeps_the_explorers_that_it_holds(quick_collection):
    def make():
        made = images.clone()
        return widgets.explorer(lambda x=1: made, alt="A ramp.", x=(0, 9)), weakref.ref(made)

    first, tensor = make()
    second, other = make()
    before = opened()
    del second
    gc.collect()
    assert tensor() is not None and other() is None and opened() == before - 10
    assert first in widgets.explorers
    first.controls["x"].value = 5
    assert first.image.value == first.draw(x=5)


@pytest.mark.parametrize("wrong", [dict(x=(0, 9), y=(5, 1)), dict(x=(0, 9), kind=None), dict(x=(13, 13))])
def test_a_cell_that_fails_leaves_no_widget(wrong, quick_collection):
    before = opened()
    with pytest.raises(ValueError):
        widgets.explorer(lambda x=13, y=1, kind=None: shifted(x), alt="A ramp.", **wrong)
    gc.collect()
    assert opened() == before


def test_a_widget_of_the_callers_own_is_not_closed():
    mine = ipywidgets.IntSlider()
    explorer = widgets.explorer(lambda x: images, alt="A ramp.", x=mine)
    explorer.close()
    explorer.close()
    mine.value = 5
    assert mine.comm is not None and explorer._repr_mimebundle_() == ({"text/plain": "A ramp."}, {})


def test_a_live_preview_stops_when_its_cell_runs_again(notebook):
    async def watch():
        notebook(LIVE.replace("range(9)", "range(10**9)").replace("widgets.live", "preview = widgets.live"))
        preview = notebook.shell.user_ns["preview"]
        preview.run()
        task = preview.task
        await asyncio.sleep(0.05)
        preview.close()
        await asyncio.sleep(0.05)
        assert task.done() and not task.cancelled() and task.exception() is None

    asyncio.run(watch())


def test_a_line_of_text_is_drawn_when_it_is_finished():
    explorer = widgets.explorer(lambda text="a": images.roll(len(text), 3), alt="A ramp.", text="b")
    line = explorer.controls["text"]
    assert isinstance(line, ipywidgets.Text) and line.value == "a" and not line.continuous_update
    line.value = "longer"
    assert explorer.image.value == explorer.draw(text="longer") != explorer.draw(text="a")


def test_a_changed_control_of_a_live_preview_begins_anew():
    def frames(shift=2):
        for step in range(1000):
            yield images.roll(shift * step, 3), f"{shift} times {step}"

    async def watch():
        live = widgets.live(frames, alt="A moving ramp.", first=2, shift=(0, 9))
        assert live.message.value == "2 times 1"
        live.start.click()
        await asyncio.sleep(0.1)
        live.controls["shift"].value = 5
        await asyncio.sleep(0.05)
        assert live.task is None and live.shown == 0 and "Back at the start" in live.message.value
        live.start.click()
        await asyncio.sleep(0.1)
        live.stop.click()
        await asyncio.sleep(0.05)
        assert live.message.value == f"5 times {live.shown - 1}" and live.shown > 0

    asyncio.run(watch())


def test_an_error_in_a_live_preview_appears_in_it():
    def frames():
        yield images, "first"
        raise RuntimeError("the loss is NaN")

    async def watch():
        live = widgets.live(frames, alt="A ramp.")
        live.run()
        await asyncio.sleep(0.05)
        return live

    live = asyncio.run(watch())
    assert "RuntimeError: the loss is NaN" in live.message.value and live.task is None


@pytest.mark.parametrize("says, call", [
    ("at least one control", lambda: widgets.explorer(shifted, alt="A ramp.")),
    ("begins at 2, outside", lambda: widgets.explorer(shifted, alt="A ramp.", shift=(5, 9))),
    ("begins at 2, between two steps of 3 from 0", lambda: widgets.explorer(shifted, alt="A ramp.", shift=(0, 9, 3))),
    ("is no control", lambda: widgets.explorer(shifted, alt="A ramp.", shift=None)),
    ("alt must be a sentence", lambda: widgets.explorer(shifted, alt="", shift=(0, 9))),
    ("alt must be a sentence", lambda: plots.show(images, alt=" ")),
    ("expected a figure", lambda: plots.to_image(torch.zeros(3))),
    (r"pass \[N, 1 or 3, H, W\]", lambda: plots.image_grid(torch.zeros(2, 2, 8, 8))),
    ("labels must hold 2 texts", lambda: plots.image_grid(images, columns=2, labels=["one"])),
    ("there are 1 frames, and the first 3", lambda: widgets.live(lambda: iter([(images, "")]), alt="A ramp.", first=3)),
    ("first must be at least 1", lambda: widgets.live(lambda: iter(()), alt="A ramp.", first=0)),
])
def test_wrong_use_gets_a_sentence(says, call):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_grid_keeps_every_pixel():
    grid = plots.image_grid(images, columns=2, scale=1)
    shown = torch.tensor(list(grid.crop((66, 66, 130, 130)).getdata())).reshape(64, 64, 3).permute(2, 0, 1)
    assert torch.equal(shown, ((images[3] + 1) * 127.5).round().long())


def test_bars_over_images_are_as_high_as_their_values():
    strip = plots.under_bars(images[:3], [0, 1, 2], top=2, height=22)
    assert strip.shape == (3, 22 + 64, 3 * 64) and torch.equal(strip[:, 22:, 64:128], images[1])
    heights = [(strip[0, :22, 64 * i + 32] < 1).sum().item() for i in range(3)]
    assert heights == [0, 10, 20]


def test_a_figure_is_stored_at_twice_its_size_and_shown_at_its_size():
    data, metadata = plots.bundle(plots.curves([0, 1], {"a": [1, 2]}, "x", "y"), "A line.")
    assert metadata["image/png"] == {"alt": "A line.", "width": 700, "height": 300} and data["text/plain"] == "A line."


def test_a_curve_of_several_seeds_has_a_band_from_its_least_to_its_greatest():
    figure = plots.curves([0, 1, 2], {"two seeds": [[1, 2, 3], [3, 2, 7]]}, "x", "y")
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2, 2, 5]
    assert {(2, 3), (2, 7), (0, 1), (0, 3)} <= {tuple(p) for p in band.tolist()}


def test_a_diverging_map_is_white_at_zero_and_clamped():
    colors = plots.diverging(torch.tensor([[-9.0, -1, 0, 1, 9]]), limit=1)
    assert torch.equal(colors[:, 0, 2], torch.ones(3))
    assert torch.equal(colors[:, 0, 0], colors[:, 0, 1]) and torch.equal(colors[:, 0, 3], colors[:, 0, 4])
