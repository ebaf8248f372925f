"""Every control of a lesson answers in time, and in a real browser, in JupyterLab, shows the picture that the library draws for its value."""
import base64
import contextlib
import io
import json
import linecache
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from functools import lru_cache
from pathlib import Path

import build
import ipywidgets
import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import lessons, widgets

LESSONS = [p for p in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")) if "explorer(" in p.read_text()]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAMPLE = """import time
import torch
from course_lib import lessons, widgets
image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)


def draw(shift=0):
    if shift == 9:
        raise ValueError("nine is too far")
    return image.roll(shift, 3)
widgets.explorer(draw, shift=(0, 9), delay=0.1, alt="A ramp.")


def frames():
    for step in range(1000):
        time.sleep(0.02)
        yield image.roll(step, 3), f"step {step}"
widgets.live(frames, alt="A moving ramp.")"""
PICTURE = """async img => {
    const bytes = new Uint8Array(await (await fetch(img.src)).arrayBuffer());
    return btoa(bytes.reduce((text, b) => text + String.fromCharCode(b), ''));
}"""


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """A JupyterLab of its own on a free local port, with a token, on a learner's copies of the lessons."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lessons")
    for path in LESSONS:
        lessons.copy(path, folder / path.name)
    sample = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in SAMPLE.split("\n\n\n")],
                                      metadata=build.METADATA)
    nbformat.write(sample, folder / "widgets.ipynb")
    settings = {"config/labconfig/page_config.json": {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}},
                "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"}}
    for name, content in settings.items():
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = os.urandom(16).hex()
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"),
                   "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "IPYTHONDIR": str(home / "ipython")}
    with open(home / "log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
                                   "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
                                   f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"],
                                  env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (home / "log").read_text()[-2000:]
                time.sleep(0.5)
        yield lambda name: f"{url}/lab/tree/{name}?reset&token={token}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed (pip install playwright)")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@lru_cache(None)
def explorers_of(notebook):
    """Run a notebook's cells in this process; returns its explorers, in their order."""
    matplotlib.use("Agg")
    made, names, original = [], {"__name__": "__main__"}, widgets.explorer
    widgets.explorer = lambda *options, **controls: made.append(original(*options, **controls)) or made[-1]
    with torch.random.fork_rng(), torch.enable_grad(), contextlib.redirect_stdout(io.StringIO()):
        grad = torch.is_grad_enabled()
        for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells):
            if cell.cell_type == "code":
                file = f"{notebook.stem} cell {number}"
                linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(keepends=True), file)
                exec(compile(cell.source, file, "exec"), names)
        if not torch.is_grad_enabled():                  # then the lesson draws so, too
            for explorer in made:
                explorer.draw = torch.no_grad()(explorer.draw)
        torch.set_grad_enabled(grad)
    widgets.explorer = original
    return made


@pytest.fixture
def one_thread():
    """The time of a process counts what every thread of it spends, waiting for others included."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("lesson", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] * (p.stem[:2] not in ("00", "08"))) for p in LESSONS])
def test_every_control_answers_within_300_ms(lesson, one_thread):
    """Of one core's time, at best of six: how long a busy machine makes a process wait is not the lesson's."""
    for explorer in explorers_of(lesson):
        best = {}
        for name, control in explorer.controls.items():
            start = control.value
            for value in (getattr(control, "max", start), getattr(control, "min", start), start) * 2:
                began = time.process_time()
                explorer.draw(**{name: value})
                best[name] = min(best.get(name, 9), time.process_time() - began)
        assert max(best.values()) < 0.3, best


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_every_control_of_a_lesson_shows_the_librarys_picture(lesson, jupyter, browser):
    explorers = explorers_of(lesson)
    page = run_all(lesson.name, jupyter, browser)
    views = page.locator(".explorer")
    views.last.wait_for(timeout=20_000)
    assert views.count() == len(explorers) > 0
    for view, explorer in zip(views.all(), explorers):
        assert_shows(view, explorer, explorer.values())
        for name in explorer.controls:
            move(view, explorer, name)
    screenshots = os.environ.get("SCREENSHOTS")
    if screenshots:
        for number, view in enumerate(views.all()):
            view.screenshot(path=f"{screenshots}/{lesson.stem}-{number}.png")
    page.close()


def test_errors_appear_in_the_widget_and_a_preview_can_be_stopped(jupyter, browser):
    page = run_all("widgets.ipynb", jupyter, browser)
    explorer, live = page.locator(".explorer"), page.locator(".live")
    explorer.locator(".noUi-handle").press("End")
    explorer.get_by_text("ValueError: nine is too far").wait_for()
    explorer.locator(".noUi-handle").press("Home")
    explorer.get_by_text("ValueError").wait_for(state="detached")
    live.get_by_role("button", name="Go on").click()
    page.wait_for_function("Number(document.querySelector('.live').innerText.match(/step (\\d+)/)[1]) >= 5")
    live.get_by_role("button", name="Stop").click()
    live.locator("button:not([disabled])", has_text="Go on").wait_for()
    reached = live.get_by_text("step ").inner_text()
    page.wait_for_timeout(500)
    assert live.get_by_text("step ").inner_text() == reached != "step 999"
    page.close()


def run_all(name, jupyter, browser):
    """The page of a notebook in JupyterLab after all its cells ran without an error."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(jupyter(name))
    page.wait_for_function(f"(w => w?.context?.isReady && w.context.path == '{name}')(window.jupyterapp?.shell.currentWidget)",
                           timeout=90_000)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
                           timeout=90_000)
    page.set_default_timeout(240_000)
    page.evaluate(RUN_ALL)
    page.set_default_timeout(20_000)
    cells = page.evaluate("""window.jupyterapp.shell.currentWidget.context.model.toJSON().cells
        .filter(c => c.cell_type === 'code').map(c => [c.execution_count, c.outputs.map(o => o.output_type)])""")
    assert [count for count, _ in cells] == list(range(1, len(cells) + 1)), "a cell did not run"
    assert not [number for number, (_, outputs) in enumerate(cells) if "error" in outputs], "a cell raised"
    return page


def move(view, explorer, name):
    """Take one control through several values in the browser; each shows its picture, and the pictures differ."""
    control, pictures = explorer.controls[name], set()
    label = control.description.replace("_", " ")
    if isinstance(control, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        row = view.locator(".widget-slider").filter(has=view.page.get_by_text(label, exact=True))
        for key, value in (("Home", control.min), ("ArrowRight", control.min + control.step), ("End", control.max)):
            row.locator(".noUi-handle").press(key)
            control.value = value
            pictures.add(assert_shows(view, explorer, explorer.values()))
            shown = float(row.locator(".widget-readout").inner_text().replace("−", "-").replace(",", ""))
            assert abs(shown - control.value) < 0.006, f"{name} reads {shown}, not {control.value}"
    elif isinstance(control, ipywidgets.Text):
        line = view.locator(".widget-text").filter(has=view.page.get_by_text(label, exact=True)).locator("input")
        for text in ("a bald person", control.value):
            line.fill(text)
            line.press("Enter")
            control.value = text
            pictures.add(assert_shows(view, explorer, explorer.values()))
    elif isinstance(control, ipywidgets.Dropdown):
        menu = view.locator(".widget-dropdown").filter(has=view.page.get_by_text(label, exact=True)).locator("select")
        for option in reversed(control.options):
            menu.select_option(str(option))
            control.value = option
            pictures.add(assert_shows(view, explorer, explorer.values()))
    elif isinstance(control, ipywidgets.Checkbox):
        for _ in range(2):
            view.locator(".widget-checkbox").filter(has_text=label).locator("input").click()
            control.value = not control.value
            pictures.add(assert_shows(view, explorer, explorer.values()))
    else:
        for _ in range(2):
            view.get_by_role("button", name=label).click()
            control.value += 1
            pictures.add(assert_shows(view, explorer, explorer.values()))
    assert len(pictures) > 1, f"{name} never changes the picture"


def assert_shows(view, explorer, values, seconds=15):
    """The browser shows, soon, the library's picture for these values; returns its bytes."""
    expected = explorer.draw(**values)
    wanted = pixels(expected)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        shown = pixels(base64.b64decode(view.locator("img").evaluate(PICTURE)))
        if shown.shape == wanted.shape and np.abs(shown - wanted).max() <= 2:
            return expected
        time.sleep(0.02)
    error = "another size" if shown.shape != wanted.shape else f"{np.abs(shown - wanted).max():.0f} of 255 levels off"
    pytest.fail(f"for {values} the browser shows another picture than the library: {error}")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float32)
