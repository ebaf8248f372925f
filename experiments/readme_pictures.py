"""The pictures of README.md that show networks: generated.png, mapper.png and, with a browser, lab.png.

    python experiments/readme_pictures.py                    # portraits of the course's StyleGAN2, and edits by its mappers
    python experiments/readme_pictures.py --lab chromium     # JupyterLab on lesson 00, in the browser of that name

Nothing is selected: latents are the first of their seed, and mappers have their trained strength. No file is overwritten.
"""
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import torch
from PIL import Image

from course_lib import commands, files, notebook_copies, ops, plots, styleclip, zoo

GENERATOR, SEED = "stylegan2-portraits-64", 1
SENTENCES = ("a smiling person", "a person with glasses", "a person with curly hair")
SETTINGS = {"labconfig/page_config.json": '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}',
            "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}'}
EXPLORER = ".explorer:has-text('psi')"                    # lesson 00's sliders for seed and truncation


@torch.no_grad()
def generated(count=32):
    """The first portraits of the seed, not truncated."""
    G = zoo.load(GENERATOR)
    z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(SEED))
    return plots.image_grid(G(z, noise="const"), columns=8, scale=2)


@torch.no_grad()
def mapped(count=8, psi=0.7):
    """The first portraits of the seed, truncated as the mappers were trained, and each sentence's mapper at strength 1 below."""
    G = zoo.load(GENERATOR)
    z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(SEED))
    ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, psi)
    rows = {"before": G.synthesis(ws, noise="const")}
    for sentence in SENTENCES:
        mapper = zoo.load("mapper-" + sentence.replace(" ", "-"))
        rows[sentence] = styleclip.map_latents(G, mapper, ws, 1.0).images
    return plots.image_grid(torch.cat([*rows.values()]), columns=count, scale=2, labels=list(rows))


def lab(browser):
    """JupyterLab on a copy of lesson 00 after all its cells ran, with the trained generator's sliders in view."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "learn").mkdir()
        notebook_copies.copy(notebook_copies.NOTEBOOKS / "00_start_here.ipynb", Path(home) / "learn" / "00_start_here.ipynb")
        for name, content in SETTINGS.items():
            (Path(home) / name).parent.mkdir(parents=True)
            (Path(home) / name).write_text(content)
        folders = {f"JUPYTER_{name}_DIR": home for name in ("CONFIG", "DATA", "RUNTIME")}
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
                                   "--ip=127.0.0.1",
                                   f"--port={url.rsplit(':')[-1]}", "--IdentityProvider.token=",
                                   f"--ServerApp.root_dir={home}/learn"],
                                  env={**os.environ, **folders, "JUPYTERLAB_WORKSPACES_DIR": home,
                                       "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings", "COURSE_PROGRESS": f"{home}/progress.json"})
        try:
            wait_for(f"{url}/api/status")
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(executable_path=shutil.which(browser), args=["--no-sandbox", "--disable-gpu"])
                page = chromium.new_page(viewport={"width": 1400, "height": 860})
                page.set_default_timeout(300_000)
                page.goto(f"{url}/lab/tree/00_start_here.ipynb?reset")
                page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
                page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
                page.locator(EXPLORER).last.wait_for()
                page.wait_for_timeout(2000)                           # until pictures above it have their sizes
                page.locator(EXPLORER).last.evaluate("view => view.scrollIntoView({block: 'center'})")
                page.wait_for_timeout(1000)
                picture = Image.open(io.BytesIO(page.screenshot()))
                chromium.close()
                return picture
        finally:
            server.terminate()
            server.wait(20)


def wait_for(address, seconds=60):
    until = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def main(arguments=None):
    parser = commands.Parser(prog="python experiments/readme_pictures.py", description=__doc__)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("runs/readme"),
                        help="folder for the PNG files; made if missing")
    parser.add_argument("--lab", metavar="BROWSER", help="the name or path of Chromium: take lab.png instead")
    args = parser.parse_args(arguments)
    pictures = {"lab.png": lambda: lab(args.lab)} if args.lab else {"generated.png": generated, "mapper.png": mapped}
    with commands.sentences(parser.prog):
        if args.lab and not shutil.which(args.lab):
            raise FileNotFoundError(f'there is no browser "{args.lab}"; name Chromium, or its path')
        for name in pictures:
            files.try_output(args.out / name)
        for name, draw in pictures.items():
            files.write_image(args.out / name, draw())
            print(args.out / name)


if __name__ == "__main__":
    main()
