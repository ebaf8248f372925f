"""Builds site/ from the committed notebooks: every lesson to read, with the explorers of web/worker.js alive.

    make site             npm's packages and the site
    python web/build.py   the site; node's packages are in web/node_modules
"""
import base64
import gzip
import hashlib
import html
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from string import Template

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

HERE = Path(__file__).resolve().parent
ROOT, SITE, NODE = HERE.parent, HERE.parent / "site", HERE / "node_modules"
TITLE = "From PGGAN to StyleCLIP"
SEARCH = {"fields": ["title", "text"], "storeFields": ["title", "lesson"], "idField": "id"}
VENDOR = {"ort.mjs": "onnxruntime-web/dist/ort.wasm.bundle.min.mjs", "katex.min.css": "katex/dist/katex.min.css",
          "minisearch.js": "minisearch/dist/es/index.js"}
WASM = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"
TEXT_TOWER = re.compile(r"transformer\.|token_embedding|positional_embedding$|ln_final|text_projection")
FRAME = (HERE / "frame.html").read_text(encoding="utf-8")
STILL = ("This picture does not move here: its controls need scripts, which are off, or which browsers refuse to pages opened as "
         "files. A server helps, such as <code>make site-serve</code>.")
COMMANDS = '<a href="index.html#python">two commands</a> open this lesson on your computer.'


# Notebooks as HTML

class Page:
    """One lesson: its HTML, its headings [(level, id, text)], sections for the search [[id, title, text]], and pictures {file name:
    bytes}. formulas: takes what is to be set, (TeX, whether it stands alone); a comment holds the place of each. live: the
    explorers that the browser can draw, and the MB that come for each."""

    def __init__(self, path, formulas, live):
        self.name, self.formulas, self.live, self.headings, self.sections, self.pictures = path.stem, formulas, live, [], [], {}
        self.parser = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin, renderer=self.formula)
        cells = nbformat.read(path, as_version=4).cells
        self.body = "\n".join(self.markdown(cell) if cell.cell_type == "markdown" else self.code(cell, number)
                              for number, cell in enumerate(cells))
        self.title = self.headings[0][2]

    def formula(self, tex, options):
        self.formulas.append((tex.strip(), options["display_mode"]))
        return f"<!--formula {len(self.formulas) - 1}-->"

    def code(self, cell, number):
        source = highlight(cell.source, PythonLexer(), HtmlFormatter(nowrap=True))
        outputs = "".join(self.output(output, number) for output in cell.outputs)
        exercise = "____" in cell.source and ".check(" in cell.source
        needs = f'<p class="python">To try your answer you need Python: {COMMANDS}</p>' if exercise else ""
        return f'<pre class="code" tabindex="0"><code>{source}</code></pre>{outputs}{needs}'

    def markdown(self, cell):
        tokens = self.parser.parse(re.sub(r"\((\d\d_\w+)\.ipynb\)", r"(\1.html)", cell.source))
        for opening, inline in zip(tokens, tokens[1:]):
            if opening.type == "heading_open":
                text = plain(inline.content)
                name = re.sub(r"\W+", "-", text.lower()).strip("-")
                while name in {known for _, known, _ in self.headings}:
                    name += "-"
                opening.attrSet("id", name)
                self.headings.append((int(opening.tag[1]), name, text))
                self.sections.append([name, text, ""])
            elif inline.type == "inline" and self.sections:
                self.sections[-1][2] += " " + plain(inline.content)
        found = self.parser.renderer.render(tokens, self.parser.options, {})
        # An empty cell heads no column, and what scrolls can be reached by keyboard.
        return found.replace("<th></th>", "<td></td>").replace('<div class="math block">', '<div class="math block" tabindex="0">')

    def output(self, output, number):
        data = output.get("data", {})
        if output.output_type == "stream":
            return f'<pre class="output" tabindex="0">{html.escape(output.text)}</pre>'
        if "image/png" in data:
            return self.picture(output, number)
        if "text/html" in data:
            return f'<div class="output">{data["text/html"]}</div>'
        if "text/markdown" in data:
            return f'<div class="output">{self.parser.render(data["text/markdown"])}</div>'
        return f'<pre class="output" tabindex="0">{html.escape(data["text/plain"])}</pre>'

    def picture(self, output, number):
        content, about = base64.b64decode(output.data["image/png"]), output.metadata["image/png"]
        width, height = struct.unpack(">II", content[16:24])
        name = f"img/{self.name}-{number:02d}-{len(self.pictures)}.png"
        self.pictures[name] = content
        size = f'width="{about.get("width", width)}" height="{about.get("height", height)}"'
        image = f'<img src="{name}" alt="{html.escape(about["alt"])}" {size} loading="lazy">'
        spec = output.metadata.get("explorer")
        if spec is None:
            return f"<figure>{image}</figure>"
        scene = f"{self.name[:2]} {spec['function']}"
        if scene not in self.live:
            needs = f"The controls of this picture need Python: {COMMANDS}"
            return f'<figure>{image}<figcaption class="python">{needs}</figcaption></figure>'
        doing = "Press Go on" if "first" in spec else "Move a control"
        hint = f"{doing}: the course’s own network draws in your browser. About {self.live[scene]:.0f} MB come, once."
        return (f'<course-explorer id="{spec["function"]}" data-scene="{scene}" data-hint="{hint}" '
                f'data-spec="{html.escape(json.dumps(spec))}">{image}'
                f'<p class="still">{STILL}</p></course-explorer>')


def plain(text):
    """Markdown without its marks, for headings and the search."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>|\]\([^)]*\)|[*`$\[\]\\{}]", "", text)).strip()

# The site

def build(site=SITE):
    """Write the site anew, whole or not at all."""
    if not NODE.is_dir():
        sys.exit("web/node_modules is missing; run: npm ci --prefix web")
    scenes, index = json.loads((HERE / "scenes.json").read_text()), json.loads((HERE / "graphs/index.json").read_text())
    models = {name for graph in index["graphs"].values() for files in graph["files"].values() for name in files}
    models |= {f"{name}.safetensors" for scene in scenes.values() for name in scene["files"]}
    parts = {name: (ROOT / "data" / name).read_bytes() for name in sorted(models) if (ROOT / "data" / name).exists()}
    parts["clip-portraits-text.safetensors"] = text_tower(parts["clip-portraits.safetensors"])
    runtime = gzip.compress((NODE / WASM).read_bytes(), 9, mtime=0)
    live = {scene: (len(runtime) + sum(len(parts[f"{name}.safetensors"]) for name in entry["files"])) / 1e6
            for scene, entry in scenes.items()}
    formulas = []
    pages = [Page(path, formulas, live) for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    made = node(formulas, pages)
    files = {f"{page.name}.html": page_html(page, pages) for page in pages} | {"index.html": front_html(pages)}
    place = re.compile(r"<!--formula (\d+)-->")
    files = {name: place.sub(lambda match: made["formulas"][int(match[1])], text) for name, text in files.items()}
    files["search.json"] = json.dumps({"options": SEARCH, "index": made["index"]})
    files |= {name: (HERE / name).read_text(encoding="utf-8") for name in ("style.css", "explorers.js", "worker.js", "engine.js",
                                                                          "search.js", "scenes.json")}
    contents = {name: text.encode() for name, text in files.items()}
    contents |= {name: content for page in pages for name, content in page.pictures.items()}
    contents |= {f"models/{name}": content for name, content in parts.items()}
    contents |= {f"graphs/{path.name}": path.read_bytes() for path in (HERE / "graphs").iterdir()}
    contents |= {f"vendor/{name}": (NODE / path).read_bytes() for name, path in VENDOR.items()}
    contents |= {f"vendor/fonts/{path.name}": path.read_bytes() for path in (NODE / "katex/dist/fonts").glob("*.woff2")}
    contents["vendor/ort.wasm.packed"] = runtime
    version = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents.values())).hexdigest()[:12]
    offline = (HERE / "offline.js").read_text(encoding="utf-8").replace("VERSION", version)
    contents["offline.js"] = offline.replace("[]", json.dumps([*files, "vendor/katex.min.css", "vendor/minisearch.js"])).encode()
    write(site, contents)
    print(f"{site}: {len(pages)} lessons, {len(formulas)} formulas, {sum(map(len, contents.values())) / 1e6:.0f} MB")


def write(site, contents):
    """Write files into a new folder, which then takes the place of an older site."""
    partial = site.with_name(f"{site.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name, content in contents.items():
        path = partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if site.exists() and not (site / "offline.js").exists():
        sys.exit(f"{site} exists and is no site of the course; it is not overwritten")
    shutil.rmtree(site, ignore_errors=True)
    partial.rename(site)


def node(formulas, pages):
    """Formulas as HTML, and the index of the search, by the libraries of node."""
    sections = [{"id": f"{page.name}.html#{name}", "title": title, "text": text, "lesson": page.title}
                for page in pages for name, title, text in page.sections]
    asked = json.dumps({"formulas": formulas, "sections": sections, "search": SEARCH})
    done = subprocess.run(["node", HERE / "node.mjs"], input=asked, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"node could not set the formulas:\n{done.stderr}")
    return json.loads(done.stdout)


def text_tower(content):
    """The first part of CLIP's file, up to the last tensor that its text tower reads."""
    size, = struct.unpack("<Q", content[:8])
    entries = json.loads(content[8:8 + size])
    return content[:8 + size + max(entry["data_offsets"][1] for name, entry in entries.items() if TEXT_TOWER.match(name))]


def framed(title, body, pages, contents="", around="", description="", current=None):
    lessons = "".join(f'<a href="{page.name}.html" title="{html.escape(page.title)}"'
                      f'{" aria-current=page" if page is current else ""}>{page.name[:2]}</a>' for page in pages)
    return Template(FRAME).substitute(title=html.escape(title), body=body, course=TITLE, lessons=lessons, contents=contents,
                                      around=around, description=html.escape(description))


def page_html(page, pages):
    items = "".join(f'<li><a href="#{name}">{html.escape(text)}</a></li>' for level, name, text in page.headings if level == 2)
    contents = ('<nav class="toc" aria-label="On this page"><details open><summary>On this page</summary>'
                f"<ol>{items}</ol></details></nav>")
    place, link = pages.index(page), lambda other, text, rel: f'<a href="{other.name}.html" rel="{rel}">{html.escape(text)}</a>'
    before = link(pages[place - 1], f"← {pages[place - 1].title}", "prev") if place else "<span></span>"
    after = link(pages[place + 1], f"{pages[place + 1].title} →", "next") if page is not pages[-1] else ""
    return framed(f"{page.title} · {TITLE}", page.body, pages, contents, f'<p class="around">{before}{after}</p>',
                  f"{page.title}: a lesson of the course {TITLE}.", page)


def front_html(pages):
    lessons = "".join(
        f'<li><a href="{page.name}.html">{html.escape(page.title)}</a><br><span class="python">'
        + " · ".join(html.escape(text) for level, _, text in page.headings if level == 2) + "</span></li>" for page in pages)
    body = Template((HERE / "front.html").read_text(encoding="utf-8")).substitute(lessons=lessons)
    return framed(TITLE, body, pages, description="A course on generators of portraits, from PGGAN to StyleCLIP, in your browser.")


if __name__ == "__main__":
    build()
