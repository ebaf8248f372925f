// <course-explorer>: a picture of a lesson that follows its controls. The stored picture stands first; at the first touch the course's
// own networks come, and draw in a worker. Controls, their ranges and what they begin with are those of the notebook.

const GAP = 2, FONT = "13px 'DejaVu Sans', Verdana, sans-serif";
const explorers = [];
let worker;

/** Send a request of an explorer to the worker, which starts with the first. */
function ask(request) {
  if (!worker) {
    worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => explorers[data.id].hear(data);
    worker.onerror = () => explorers.forEach(one => one.hear({ number: one.number,
      error: "This browser cannot run the models: it has no modules in workers. A current one can." }));
  }
  worker.postMessage(request);
}

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

class CourseExplorer extends HTMLElement {
  connectedCallback() {
    if (this.spec) return;
    this.spec = JSON.parse(this.dataset.spec);
    this.image = this.querySelector("img");
    this.id_ = explorers.push(this) - 1;
    this.number = 0;
    this.values = Object.fromEntries(this.spec.controls.map(({ name, value }) => [name, value]));
    this.status = element("p", { className: "status" });
    this.status.setAttribute("role", "status");
    this.progress = element("progress", { hidden: true });
    this.progress.setAttribute("aria-label", "The model is coming");
    const controls = this.spec.controls.map(control => this.control(control));
    const group = element("div", { className: "controls" }, ...controls, ...this.spec.first ? [this.buttons()] : []);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Controls of the picture");
    this.querySelector(".still").replaceWith(group, this.progress, this.status);
    this.tell(this.dataset.hint);
    this.dataset.state = "still";
  }

  /** A control of the notebook with its label. */
  control({ name, kind, label, min, max, step, options, value }) {
    const id = `explorer-${this.id_}-${name}`;
    const set = now => { this.values[name] = now; if (this.spec.first) this.restart(); else this.draw(); };
    if (kind === "button") return element("button", { type: "button", id, textContent: label, onclick: () => set(this.values[name] + 1) });
    const words = element("label", { htmlFor: id, textContent: label });
    let input, shown = "";
    if (kind === "slider") {
      const digits = Number.isInteger(step) ? 0 : Math.max(2, String(step).split(".")[1]?.length ?? 0);
      shown = element("output", { htmlFor: id, textContent: value.toFixed(digits) });
      input = element("input", { type: "range", id, min, max, step, value });
      input.oninput = () => { shown.textContent = Number(input.value).toFixed(digits); set(Number(input.value)); };
    } else if (kind === "menu") {
      input = element("select", { id }, ...options.map(option => element("option", { textContent: option, selected: option === value })));
      input.onchange = () => set(options[input.selectedIndex]);
    } else if (kind === "box") {
      input = element("input", { type: "checkbox", id, checked: value, onchange: () => set(input.checked) });
    } else {
      input = element("input", { type: "text", id, value, autocomplete: "off", spellcheck: false, onchange: () => set(input.value) });
    }
    return element("div", { className: `control ${kind}` }, words, input, shown);
  }

  /** Of what runs for long: go on, stop, from the start. */
  buttons() {
    const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
    this.go = button("Go on", () => {
      if (this.started) this.request({ goOn: true }); else this.draw();
      this.started = true;
    });
    this.stop = button("Stop", () => { this.request({}); this.settle("stopped"); });
    this.stop.disabled = true;
    return element("div", { className: "buttons" }, this.go, this.stop, button("From the start", () => this.restart()));
  }

  restart() {
    this.request({});
    this.started = false;
    this.settle("still");
    this.tell("Back at the start: press Go on.");
  }

  request(request) {
    this.number += 1;
    ask({ id: this.id_, number: this.number, ...request });
    if (!request.scene && !request.goOn) return;
    this.dataset.state = "busy";
    this.setAttribute("aria-busy", "true");
    if (this.go) [this.go.disabled, this.stop.disabled] = [true, false];
  }

  draw() {
    this.began = performance.now();
    this.request({ scene: this.dataset.scene, values: { ...this.values }, controls: this.spec.controls });
  }

  settle(state) {
    this.dataset.state = state;
    this.removeAttribute("aria-busy");
    this.progress.hidden = true;
    if (this.go) [this.go.disabled, this.stop.disabled] = [false, true];
  }

  tell(message, isError = false) {
    this.status.textContent = message;
    this.status.classList.toggle("error", isError);
  }

  /** A message of the worker; those of earlier requests are not for this picture. */
  hear(message) {
    if (message.number !== this.number) return;
    if (message.came !== undefined) {
      this.progress.hidden = message.came >= message.all;
      this.progress.max = message.all || 1;
      this.progress.value = message.came;
      const mega = bytes => (bytes / 1e6).toFixed(1);
      this.tell(message.came < message.all ? `The model is coming: ${mega(message.came)} of ${mega(message.all)} MB`
        : "The model has come and is made ready.");
    }
    if (message.columns) this.lay(message);
    if (message.pixels) this.paint(message);
    if (message.message) this.tell(message.message);
    if (message.frame !== undefined) this.frame = message;
    if (message.error) {
      this.tell(message.error, true);
      this.settle("error");
      this.started = false;
    }
    if (message.done) {
      if (!this.spec.first) this.tell("");
      this.settle("done");
      this.started = false;
    }
  }

  /** Where tiles, labels and titles lie, as `plots.image_grid` lays them; what is drawn stays until its tile comes. */
  lay({ columns, count, scale, labels, titles, caption, tile: [width, height] = [64, 64] }) {
    const context = (this.canvas ??= this.openCanvas()).getContext("2d");
    context.font = FONT;
    const cell = [width * scale + GAP, height * scale + GAP], rows = count / columns;
    const left = labels ? 12 + Math.ceil(Math.max(...labels.map(text => context.measureText(text).width))) : 0, top = titles ? 22 : 0;
    const size = [left + columns * cell[0] - GAP, top + rows * cell[1] - GAP + (caption ? 24 : 0)];
    this.layout = { columns, scale, left, top, cell };
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      context.fillStyle = "#fff";
      context.fillRect(0, 0, ...size);
    }
    const write = (text, x, y, box) => {
      context.fillStyle = "#fff";
      context.fillRect(...box);
      context.fillStyle = "#000";
      context.fillText(text, x, y);
    };
    [context.font, context.textBaseline, context.imageSmoothingEnabled] = [FONT, "middle", false];
    context.textAlign = "right";
    labels?.forEach((text, row) => write(text, left - 6, top + (row + 0.5) * cell[1], [0, top + row * cell[1], left, cell[1] - GAP]));
    context.textAlign = "center";
    titles?.forEach((text, column) => write(text, left + (column + 0.5) * cell[0], 10, [left + column * cell[0], 0, cell[0], top]));
    context.textAlign = "left";
    if (caption) write(caption, 4, size[1] - 11, [0, size[1] - 24, size[0], 24]);
    this.canvas.setAttribute("aria-label", [this.image.alt, caption ?? "", titles?.join(", ") ?? ""].filter(Boolean).join(" "));
  }

  openCanvas() {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    this.image.after(canvas);
    this.image.hidden = true;
    return canvas;
  }

  paint({ tile, width, height, pixels }) {
    const { columns, scale, left, top, cell } = this.layout, context = this.canvas.getContext("2d");
    const part = new OffscreenCanvas(width, height);
    part.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(part, left + tile % columns * cell[0], top + Math.floor(tile / columns) * cell[1], cell[0] - GAP, cell[1] - GAP);
    if (this.painted !== this.number) {
      this.painted = this.number;
      performance.measure("first tile", { start: this.began });
    }
  }
}

customElements.define("course-explorer", CourseExplorer);
if (location.protocol.startsWith("http")) navigator.serviceWorker?.register("offline.js").catch(() => {});      // a page works without
