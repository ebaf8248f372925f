"""The site: every lesson can be read by everybody, and its live explorers draw what the notebooks' functions draw.

What needs a browser is left to `make test-web`; `make test` sees whether the graphs fit the weights and one lesson draws.
"""
import base64
import functools
import hashlib
import http.server
import importlib.util
import io
import json
import random
import re
import shutil
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import build
import lesson_slices
from course_lib import clip, styleclip, zoo
from course_lib.clip import draw_views
from course_lib.styleclip.common import embed_views
from test_lessons import CHROMIUM, FLAGS

WEB = build.HERE.parent / "web"
INDEX = json.loads((WEB / "graphs/index.json").read_text())
LESSONS = sorted(build.HERE.glob("*.ipynb"))
LIVE = sorted(json.loads((WEB / "scenes.json").read_text()))
EXPLORERS = [scene for scene in LIVE if scene != "08 editing"]
SENTENCES = "a person with glasses", "a smiling person", "a person with red hair", "a bald person", "a person with a beard"
PICTURE = "e => e.canvas.toDataURL('image/png').split(',')[1]"
web = pytest.mark.web


# The graphs

@pytest.mark.parametrize("graph", sorted(INDEX["graphs"]))
def test_a_graph_fits_the_weights_that_it_reads(graph):
    for files in INDEX["graphs"][graph]["files"].values():
        for name, sha256 in files.items():
            found = hashlib.sha256((zoo.DATA / name).read_bytes()).hexdigest()
            assert found == sha256, f"{name} has changed since {graph}.onnx was made; make it anew: python web/export.py"


def test_mappers_of_one_graph_have_one_layout():
    for graph, entry in INDEX["graphs"].items():
        layouts = [header(zoo.DATA / name) for name in entry["files"].get("mapper", ())]
        assert all(layout == layouts[0] for layout in layouts), graph


def test_graphs_hold_no_weights():
    assert sum(path.stat().st_size for path in (WEB / "graphs").iterdir()) < 2_000_000


def test_templates_are_the_librarys():
    assert tuple(INDEX["templates"]) == clip.TEMPLATES


def header(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        return {name: entry for name, entry in json.loads(file.read(size)).items() if name != "__metadata__"}


# The site in a browser

class Server(http.server.SimpleHTTPRequestHandler):
    """Serves the site; where `cut` stands in the address, half of the file and then nothing."""
    cut = None

    def log_message(self, *_):
        pass

    def copyfile(self, source, out):
        content = source.read()
        out.write(content[:len(content) // 2] if self.cut and self.cut in self.path else content)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site built now."""
    if not shutil.which("node") or not (WEB / "node_modules/katex").is_dir():
        pytest.skip("node, or its packages, are not installed: npm ci --prefix web --ignore-scripts")
    spec = importlib.util.spec_from_file_location("site_builder", WEB / "build.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    builder.build(folder := tmp_path_factory.mktemp("web") / "site")
    return folder


@pytest.fixture(scope="module")
def address(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")             # its event loop must not outlive this file
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser, address):
    """A new page; at its end nothing was asked of another server, and no script had failed."""
    context, asked, failed = browser.new_context(service_workers="block"), [], []
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.set_default_timeout(60_000)
    yield opened
    context.close()
    assert not failed
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:", "file:"))]


def lesson_of(scene):
    return next(path for path in LESSONS if path.stem.startswith(scene[:2]))


def opened(page, address, scene):
    """The explorer of a scene, on its page."""
    page.goto(f"{address}/{lesson_of(scene).stem}.html")
    return page.locator(f"course-explorer[data-scene='{scene}']")


def settled(explorer, seconds=60):
    """Wait until an explorer has drawn; → its state."""
    until = time.monotonic() + seconds
    while (state := explorer.get_attribute("data-state")) == "busy":
        assert time.monotonic() < until, "the explorer draws for ever"
        time.sleep(0.03)
    return state


def drawn(explorer, values):
    """Let an explorer draw values. → its tiles, or None where it shows an error"""
    explorer.evaluate("(e, values) => { Object.assign(e.values, values); e.draw(); }", values)
    if settled(explorer) == "error":
        return None
    layout = explorer.evaluate("e => e.layout")
    picture = Image.open(io.BytesIO(base64.b64decode(explorer.evaluate(PICTURE)))).convert("RGB")
    return tiles(picture, layout["left"], layout["top"], layout["columns"], layout["cell"])


def tiles(picture, left, top, columns, cell):
    """What a picture shows right of its labels and below its titles, its caption left out."""
    rows = (picture.height - top + 2) // cell[1]
    return np.asarray(picture.crop((left, top, left + columns * cell[0] - 2, top + rows * cell[1] - 2)), dtype=np.int16)


def settings(spec, rng):
    """Random values of an explorer's controls."""
    values = {}
    for control in spec["controls"]:
        if control["kind"] == "slider":
            steps = round((control["max"] - control["min"]) / control["step"])
            values[control["name"]] = round(control["min"] + rng.randint(0, steps) * control["step"], 6)
        else:
            values[control["name"]] = {"menu": lambda c=control: rng.choice(c["options"]), "button": lambda: rng.randint(0, 3),
                                       "line": lambda: rng.choice(SENTENCES)}[control["kind"]]()
    return values


@functools.cache
def notebook(path):
    """The live explorers of a lesson as its notebook makes them, {function: Explorer}."""
    return lesson_slices.explorers(path, lambda name: f"{path.stem[:2]} {name}" in LIVE)


def test_a_lesson_draws_portraits_in_the_browser(page, address):
    explorer = opened(page, address, "00 sample")
    assert explorer.locator("img").is_visible() and not explorer.locator("canvas").count()
    explorer.locator("input").first.press("ArrowRight")
    assert settled(explorer) == "done"
    assert explorer.locator("canvas").is_visible() and not explorer.locator("img").is_visible()


@web
@pytest.mark.parametrize("scene", EXPLORERS)
def test_pixels_are_those_of_the_notebooks_function(page, address, scene):
    explorer, made = opened(page, address, scene), notebook(lesson_of(scene))[scene[3:]]
    rng = random.Random(0)
    for values in [made.first, *(settings(made.metadata["explorer"], rng) for _ in range(5))]:
        found = drawn(explorer, values)
        try:
            expected = Image.open(io.BytesIO(made.draw(**values))).convert("RGB")
        except ValueError:
            assert found is None, values
            continue
        assert found is not None, (values, explorer.locator(".status").inner_text())
        layout = explorer.evaluate("e => e.layout")
        left = expected.width - (layout["columns"] * layout["cell"][0] - 2)
        expected = tiles(expected, left, layout["top"], layout["columns"], layout["cell"])
        assert found.shape == expected.shape, values
        difference = np.abs(found - expected)
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3, (values, difference.max(), (difference > 0).mean())


@web
@pytest.mark.parametrize("options, step", [({}, 8), ({"space": "w", "lr": 0.05, "target": False}, 40)], ids=["s", "w"])
def test_the_search_descends_as_the_librarys_does(page, address, options, step):
    """In S the lesson's rate is chaotic: latents that differ by 1e-6 have L2 terms 6 % apart after 24 steps of the library itself.
    So its first steps are compared, and more steps of a calmer search in W."""
    explorer = opened(page, address, "08 editing")
    values = {control["name"]: control["value"] for control in explorer.evaluate("e => e.spec.controls")} | options
    explorer.evaluate("""(e, values) => {
        const [hear, frames] = [e.hear.bind(e), e.frames = {}];
        e.hear = message => {
            if (message.frame !== undefined) frames[message.frame] = [message.losses, [...message.gradient]];
            hear(message);
        };
        Object.assign(e.values, values);
        e.draw();
    }""", values)
    page.wait_for_function("step => document.querySelector('course-explorer').frames[step]", arg=step)
    explorer.get_by_role("button", name="Stop").click()
    frames = explorer.evaluate("e => e.frames")
    total, target, gradient = searched(values, step)
    clip_term, identity_term, preserved, distance = frames[str(step)][0]
    clip_term = clip_term if target is None else max(0, clip_term - (1 - target))
    found = (clip_term + values["l2"] / 1000 * distance + values["identity_weight"] * identity_term
             + values["preserve"] * preserved)
    assert found == pytest.approx(total, rel=0.02)
    assert torch.cosine_similarity(torch.tensor(frames["0"][1]), gradient, dim=0) >= 0.9999


def searched(values, step):
    """Lesson 08's search in the library. → the total loss after so many steps, the target, and the first gradient of the styles,
    of all terms but L2"""
    G, clip_model, identity = zoo.load("stylegan2-portraits-64"), clip.load("clip-portraits"), zoo.load("identity-portraits-64")
    losses, prompt = styleclip.losses, values["prompt"]
    z = torch.randn(4, G.z_dim, generator=torch.Generator().manual_seed(21))
    w = G.w_avg + 0.7 * (G.mapping(z)[[values["portrait"]]] - G.w_avg)
    samples = styleclip.embed_samples(G, clip_model, samples=200)
    target = styleclip.similarity_target(clip_model, samples, prompt, top_fraction=0.01) if values["target"] else None
    for now in styleclip.optimize_steps(G, clip_model, prompt, w, space=values["space"], lr=values["lr"], l2=values["l2"] / 1000,
                                        identity=identity, id_weight=values["identity_weight"], preserve_weight=values["preserve"],
                                        similarity_target=target):
        if now.step == step:
            break
    styles = [style.requires_grad_() for style in G.styles(w)]
    images, text = G.synthesis(styles=styles, noise="const"), clip_model.encode_texts([prompt])
    seen, features = embed_views(clip_model, images, draw_views(4, 64, torch.Generator().manual_seed(0)), itself=True)
    loss = losses.hinge(losses.clip_distance(seen, text).mean(dim=0), target)
    loss = loss + values["identity_weight"] * losses.identity_loss(identity(images), identity(images).detach())
    loss = loss + values["preserve"] * losses.preservation_loss(features, features.detach(), text)
    gradient = torch.cat(torch.autograd.grad(loss.sum(), styles), dim=1)[0]
    return now.losses["total"].item(), target, gradient


@web
@pytest.mark.parametrize("scene", EXPLORERS)
def test_every_live_control_moves_its_picture(page, address, scene):
    explorer = opened(page, address, scene)
    controls = explorer.evaluate("e => e.spec.controls")
    for control in controls:
        drawn(explorer, {control["name"]: control["value"] for control in controls})
        pictures = {explorer.evaluate(PICTURE)}
        for _ in range(2):
            move(explorer, control)
            assert settled(explorer) in ("done", "error")
            pictures.add(explorer.evaluate(PICTURE))
        assert len(pictures) > 1, f"{control['name']} never changes the picture"


def move(explorer, control):
    """Take one control to another value with the keyboard or the mouse."""
    if control["kind"] == "button":
        return explorer.get_by_role("button", name=control["label"]).click()
    field = explorer.get_by_label(control["label"], exact=True)
    if control["kind"] == "slider":
        up = explorer.evaluate("(e, name) => e.values[name]", control["name"]) < control["max"]
        for _ in range(2):
            field.press("ArrowRight" if up else "ArrowLeft")
    elif control["kind"] == "menu":
        at = field.evaluate("e => e.selectedIndex")
        field.select_option(index=(at + 1) % len(control["options"]))
    else:
        field.fill("a bald person" if field.input_value() != "a bald person" else "a smiling person")
        field.press("Enter")


@web
@pytest.mark.parametrize("scene", LIVE)
def test_two_hundred_events_leave_the_picture_of_the_last_values(page, address, scene):
    explorer = opened(page, address, scene)
    explorer.evaluate("""async e => {
        let seed = 1;
        const random = n => (seed = seed * 16807 % 2147483647) % n, words = ['a bald person', 'a zebra', '', 'a smiling person'];
        const fields = [...e.querySelectorAll('input, select, button')];
        for (let i = 0; i < 200; i++) {
            const field = fields[random(fields.length)];
            if (field.tagName === 'BUTTON') field.click();
            else if (field.type === 'checkbox') field.click();
            else {
                if (field.tagName === 'SELECT') field.selectedIndex = random(field.options.length);
                else if (field.type === 'text') field.value = words[random(4)];
                else field.value = +field.min + random(100) / 99 * (field.max - field.min);
                field.dispatchEvent(new Event('input', { bubbles: true }));
                field.dispatchEvent(new Event('change', { bubbles: true }));
            }
            await new Promise(done => setTimeout(done, random(4) ? 0 : 15));
        }
    }""")
    if scene == "08 editing":
        explorer.get_by_role("button", name="From the start").click()
        explorer.get_by_label("prompt", exact=True).fill("a smiling person")
        explorer.get_by_label("prompt", exact=True).press("Enter")
        explorer.get_by_role("button", name="Go on").click()
        explorer.get_by_text(re.compile("step 8: D_CLIP")).wait_for()
        return
    if settled(explorer) == "error":
        assert re.search("zebra|no word|β|both", explorer.locator(".status").inner_text())
        for field in explorer.locator("input[type=text]").all():
            field.fill("a person" if field.evaluate("e => e.id.endsWith('neutral')") else "a bald person")
            field.press("Enter")
        explorer.get_by_label("beta").press("Home")
    assert settled(explorer) == "done"
    shown = explorer.evaluate(PICTURE)
    explorer.evaluate("e => { e.canvas.width = 1; e.draw(); }")
    assert settled(explorer) == "done" and explorer.evaluate(PICTURE) == shown


@web
def test_an_unknown_word_is_named_with_its_neighbours(page, address):
    explorer = opened(page, address, "10 directed")
    explorer.get_by_label("target", exact=True).fill("a person with glases")
    explorer.get_by_label("target", exact=True).press("Enter")
    assert settled(explorer) == "error"
    assert re.search("“glases” is not among the 128 words .* near ones are glasses", explorer.locator(".status").inner_text())
    explorer.get_by_label("target", exact=True).fill("a person with glasses")
    explorer.get_by_label("target", exact=True).press("Enter")
    assert settled(explorer) == "done"


@web
def test_a_connection_that_is_cut_is_said_and_the_next_touch_tries_again(page, address, monkeypatch):
    explorer = opened(page, address, "06 strip")
    monkeypatch.setattr(Server, "cut", "models/stylegan2")
    explorer.get_by_label("latent").press("ArrowRight")
    assert settled(explorer) == "error"
    said = explorer.locator(".status").inner_text()
    assert said.startswith("stylegan2-portraits-64.safetensors did not come") and "try again" in said
    assert explorer.locator("img").is_visible(), "the stored picture has gone"
    monkeypatch.setattr(Server, "cut", None)
    explorer.get_by_label("latent").press("ArrowRight")
    assert settled(explorer) == "done"


@web
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_can_be_read_by_everybody(page, address, path):
    """Alt texts, landmarks and contrast in both colours, at 390 px nothing beside the page, and little to fetch before a touch."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/{path.stem}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    images = page.locator("img").all()
    stored = [output.metadata["image/png"]["alt"] for cell in build.nbformat.read(path, as_version=4).cells
              for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert [image.get_attribute("alt") for image in images] == stored
    page.set_viewport_size({"width": 1280, "height": 800})
    page.add_script_tag(path=WEB / "node_modules/axe-core/axe.min.js")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        assert not found, [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in found]


@web
def test_a_page_weighs_little_before_a_touch_and_as_much_as_it_says_after(browser, address):
    context, weight = browser.new_context(service_workers="block", viewport={"width": 1280, "height": 800}), {}
    page = context.new_page()
    page.on("response", lambda answer: weight.update({answer.url: len(answer.body())}) if answer.ok else None)
    for scene, most in (("00 sample", 14e6), ("08 editing", 24e6)):
        weight.clear()
        explorer = opened(page, address, scene)
        page.wait_for_timeout(1500)
        assert sum(weight.values()) < 2e6, weight
        hint = float(re.search(r"About (\d+) MB", explorer.locator(".status").inner_text())[1]) * 1e6
        explorer.evaluate("e => e.draw()")
        explorer.locator("canvas").wait_for()
        page.wait_for_timeout(1500)
        fetched = sum(size for url, size in weight.items() if re.search("/(models|vendor|graphs)/", url) and "katex" not in url)
        assert fetched < most and fetched == pytest.approx(hint, rel=0.1)
    context.close()


@web
def test_without_scripts_every_picture_and_a_sentence_that_says_why_nothing_moves(browser, site, address):
    for options, url in (({"java_script_enabled": False}, f"{address}/10_styleclip_global.html"),
                         ({}, (site / "10_styleclip_global.html").as_uri())):
        context = browser.new_context(**options)
        page = context.new_page()
        page.goto(url)
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
            assert image.is_visible()
        assert page.locator("course-explorer .still").inner_text().startswith("This picture does not move here")
        assert not page.locator("course-explorer input").count()
        context.close()


@web
def test_a_lesson_and_its_model_that_were_seen_once_are_there_without_a_connection(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/index.html")
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    explorer = opened(page, address, "00 sample")
    explorer.evaluate("e => e.draw()")
    assert settled(explorer) == "done"
    context.set_offline(True)
    explorer = opened(page, address, "00 sample")
    explorer.evaluate("e => e.draw()")
    assert settled(explorer) == "done"
    page.goto(f"{address}/05_demodulation.html")
    assert page.locator("h1").inner_text().startswith("05")
    context.close()


@web
def test_the_search_finds_a_lesson(page, address):
    page.goto(f"{address}/index.html")
    page.get_by_role("searchbox").fill("demodul")
    page.locator("search a").first.wait_for()
    assert "lesson 05" in page.locator("search li").first.inner_text()
    page.locator("search a").first.click()
    page.wait_for_url(re.compile("05_demodulation"))


def test_the_site_is_ignored_by_git():
    assert "/site/" in (Path(build.HERE).parent / ".gitignore").read_text().split()
