"""Each lesson runs once, in JupyterLab in a real browser where there is one: it prints what its notebook stores, and every control
answers in time and shows the picture that the library draws for its value."""
import ast
import base64
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import numpy as np
import pytest
from jupyter_client import BlockingKernelClient
from PIL import Image

import build
from course_lib import notebook_copies

try:
    from playwright.sync_api import Error, sync_playwright
except ImportError:
    sync_playwright = None

LESSONS = sorted(build.HERE.glob("*.ipynb"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
PANEL = "window.jupyterapp.shell.currentWidget"
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"
SECONDS = 120                       # that a cell may take
SAMPLE = """import time
import torch
from course_lib import widgets
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
    const reader = new FileReader(), blob = await (await fetch(img.src)).blob();
    return new Promise(done => { reader.onload = () => done(reader.result.split(',')[1]); reader.readAsDataURL(blob); });
}"""


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """A JupyterLab of its own on a free local port, with a token, on a learner's copies of the lessons."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lessons")
    for path in LESSONS:
        notebook_copies.copy(path, folder / path.name)
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
        yield SimpleNamespace(url=f"{url}/lab?reset&token={token}", runtime=home / "runtime")
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def pages(request):
    """A function that gives JupyterLab in a browser: the same page while that answers, then a fresh one. It gives None where there
    is no browser."""
    if None in (sync_playwright, CHROMIUM):
        yield lambda: None
        return
    with sync_playwright() as playwright:
        opened = []

        def page():
            if not opened or not answers(opened[-1]):
                opened.append(fresh_page(playwright, request.getfixturevalue("jupyter").url))
            return opened[-1]

        yield page
        for page in opened:
            page.context.browser.close()


def answers(page):
    """Whether a page is there, has not crashed, and is not busy for ever."""
    try:
        page.wait_for_function("true", timeout=20_000)
        return True
    except Error:
        return False


def fresh_page(playwright, url):
    """JupyterLab in a browser of its own."""
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(url)
    page.set_default_timeout(90_000)
    page.wait_for_function("window.jupyterapp")
    page.evaluate("window.jupyterapp.restored.then(() => null)")
    return page


def needs_browser(page):
    if page is None:
        pytest.skip("no browser here: pip install playwright, apt install chromium")


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def lesson(request, pages, tmp_path_factory):
    """A lesson that has run: its notebook as `stored` and as it `ran`, `ask(expression)` of its kernel, and its page, if any."""
    path, page = request.param, pages()
    if page:
        run = in_jupyterlab(page, path.name, request.getfixturevalue("jupyter").runtime)
    else:
        run = without_browser(path, tmp_path_factory.mktemp("lesson"))
    with run as (ran, connection_file), asking(connection_file) as ask:
        yield SimpleNamespace(path=path, stored=nbformat.read(path, as_version=4), ran=build.clean(ran), ask=ask, page=page)


@contextlib.contextmanager
def in_jupyterlab(page, name, runtime):
    with opened(page, name):
        kernel = page.evaluate(f"{PANEL}.sessionContext.session.kernel.id")
        yield nbformat.from_dict(page.evaluate(f"{PANEL}.context.model.toJSON()")), runtime / f"kernel-{kernel}.json"


@contextlib.contextmanager
def without_browser(path, folder):
    notebook_copies.copy(path, folder / path.name)
    notebook = nbformat.read(folder / path.name, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3",
                                     resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        yield notebook, client.km.connection_file


@contextlib.contextmanager
def asking(connection_file):
    """`ask(expression)`: its value in this kernel, where `kernel` is the module lesson_kernel."""
    client = BlockingKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels()

    def ask(expression, code=""):
        reply = client.execute(code, silent=True, user_expressions={"value": expression}, reply=True, timeout=SECONDS)
        value = reply["content"]["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return ast.literal_eval(value["data"]["text/plain"])

    ask("0", f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import lesson_kernel as kernel")
    yield ask
    client.stop_channels()


def said(output):
    """An output without what differs from one machine to another: pixels, and how many there are."""
    data = {kind: value for kind, value in output.get("data", {}).items() if kind != "image/png"}
    return {**output, "data": data, "metadata": {}}


def test_a_lesson_says_what_its_notebook_stores(lesson):
    """Every text, the alt texts of the pictures among them."""
    code = lambda notebook: [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, (ran, stored) in enumerate(zip(code(lesson.ran), code(lesson.stored), strict=True), 1):
        assert ran.execution_count == stored.execution_count == number
        assert [*map(said, ran.outputs)] == [*map(said, stored.outputs)], f"code cell {number}"


def test_every_control_answers_within_300_ms(lesson):
    for by_control in lesson.ask("kernel.seconds(0.3)"):
        assert max(by_control.values()) < 0.3, by_control


def test_every_control_of_a_lesson_shows_the_librarys_picture(lesson):
    needs_browser(lesson.page)
    explorers, views = lesson.ask("kernel.controls()"), lesson.page.locator(f"{SHOWN} .explorer")
    assert bool(explorers) == any("explorer(" in cell.source for cell in lesson.stored.cells)
    if explorers:
        views.last.wait_for()
    assert views.count() == len(explorers)
    for number, (view, controls) in enumerate(zip(views.all(), explorers)):
        values = {name: control["value"] for name, control in controls.items()}
        showing = lambda: assert_shows(view, base64.b64decode(lesson.ask(f"kernel.draw({number}, {values})")), values)
        showing()
        for name, control in controls.items():
            move(view, name, SimpleNamespace(**control), lambda value: values.update({name: value}) or showing())
    screenshots = os.environ.get("SCREENSHOTS")
    if screenshots:
        for number, view in enumerate(views.all()):
            view.screenshot(path=f"{screenshots}/{lesson.path.stem}-{number}.png")


def test_errors_appear_in_the_widget_and_a_preview_can_be_stopped(pages):
    page = pages()
    needs_browser(page)
    with opened(page, "widgets.ipynb"):
        explorer, live = page.locator(f"{SHOWN} .explorer"), page.locator(f"{SHOWN} .live")
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


@contextlib.contextmanager
def opened(page, name):
    """A notebook in JupyterLab, all its cells run without an error; its kernel ends with the block."""
    try:
        page.set_default_timeout(90_000)
        page.evaluate(f"window.jupyterapp.commands.execute('docmanager:open', {{path: '{name}'}}).then(() => null)")
        page.wait_for_function(f"(w => w?.context?.isReady && w.context.path == '{name}')({PANEL})")
        page.wait_for_function(f"{PANEL}.sessionContext.session?.kernel?.status === 'idle'")
        page.set_default_timeout(240_000)
        page.evaluate(RUN_ALL)
        page.set_default_timeout(20_000)
        cells = page.evaluate(f"""{PANEL}.context.model.toJSON().cells
            .filter(c => c.cell_type === 'code').map(c => [c.execution_count, c.outputs.map(o => o.output_type)])""")
        assert [count for count, _ in cells] == list(range(1, len(cells) + 1)), "a cell did not run"
        assert not [number for number, (_, outputs) in enumerate(cells) if "error" in outputs], "a cell raised"
    except BaseException:
        page.close()                        # whatever it shows now, the next notebook gets a fresh one
        raise
    try:
        yield
    finally:
        with contextlib.suppress(Error):    # of a page that crashed: this ends in the setup of the next lesson
            page.evaluate(f"(async panel => {{ await panel?.sessionContext.shutdown(); panel?.dispose(); }})({PANEL})")


def move(view, name, control, showing):
    """Take one control through several values in the browser; `showing(value)` its picture, and the pictures differ."""
    label, pictures = control.description.replace("_", " "), set()
    if control.kind in ("IntSlider", "FloatSlider"):
        row = view.locator(".widget-slider").filter(has=view.page.get_by_text(label, exact=True))
        for key, value in (("Home", control.min), ("ArrowRight", control.min + control.step), ("End", control.max)):
            row.locator(".noUi-handle").press(key)
            pictures.add(showing(value))
            shown = float(row.locator(".widget-readout").inner_text().replace("−", "-").replace(",", ""))
            assert abs(shown - value) < 0.006, f"{name} reads {shown}, not {value}"
    elif control.kind == "Text":
        line = view.locator(".widget-text").filter(has=view.page.get_by_text(label, exact=True)).locator("input")
        for text in ("a bald person", control.value):
            line.fill(text)
            line.press("Enter")
            pictures.add(showing(text))
    elif control.kind == "Dropdown":
        menu = view.locator(".widget-dropdown").filter(has=view.page.get_by_text(label, exact=True)).locator("select")
        for option in reversed(control.options):
            menu.select_option(str(option))
            pictures.add(showing(option))
    elif control.kind == "Checkbox":
        for checked in (not control.value, control.value):
            view.locator(".widget-checkbox").filter(has_text=label).locator("input").click()
            pictures.add(showing(checked))
    else:
        for presses in (1, 2):
            view.get_by_role("button", name=label).click()
            pictures.add(showing(control.value + presses))
    assert len(pictures) > 1, f"{name} never changes the picture"


def assert_shows(view, expected, values, seconds=15):
    """The browser shows, soon, the picture (PNG bytes) that is expected for these values; returns it."""
    wanted, source = pixels(expected), None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before, source = source, view.locator("img").get_attribute("src")
        if source != before:                # each picture has an address of its own
            shown = pixels(base64.b64decode(view.locator("img").evaluate(PICTURE)))
            if shown.shape == wanted.shape and np.abs(shown - wanted).max() <= 2:
                return expected
        time.sleep(0.02)
    error = "another size" if shown.shape != wanted.shape else f"{np.abs(shown - wanted).max():.0f} of 255 levels off"
    pytest.fail(f"for {values} the browser shows another picture than the library: {error}")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float32)
