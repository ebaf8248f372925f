// What the explorers compute with: files of weights, graphs in onnxruntime-web, PyTorch's random numbers, CLIP's words.
// It runs in a worker, so that the page stays free, with one thread: more need headers that not every server sends.

const BASE = new URL("./", import.meta.url);

// Files and graphs

/** What was promised once is not asked for again, unless it failed. */
function once(make) {
  const made = new Map();
  return (key, ...rest) => {
    if (!made.has(key)) made.set(key, make(key, ...rest).catch(error => { made.delete(key); throw error; }));
    return made.get(key);
  };
}

let report = () => {};
/** Call `heard` with (bytes that have come, bytes in all) of what is being fetched. */
export function onProgress(heard) { report = heard; }
const expected = new Map(), arrived = new Map();

/** The bytes of a file of the site. An error says what was cut and when. */
export const bytes = once(async path => {
  const failed = what => new Error(`${path.split("/").pop()} did not come (${what}). Move a control to try again.`);
  let response;
  try { response = await fetch(new URL(path, BASE)); } catch { throw failed("there is no connection"); }
  if (!response.ok) throw failed(`the server answered ${response.status}`);
  const length = response.headers.get("content-encoding") ? 0 : Number(response.headers.get("content-length"));
  const parts = [];
  let size = 0;
  expected.set(path, length);
  try {
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
      arrived.set(path, size);
      const sum = map => [...map.values()].reduce((a, b) => a + b, 0);
      report(sum(arrived), sum(expected));
    }
  } catch { throw failed(`the connection was cut after ${(size / 1e6).toFixed(1)} MB`); }
  if (length && size !== length) throw failed(`only ${(size / 1e6).toFixed(1)} of ${(length / 1e6).toFixed(1)} MB came`);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
});

const json = once(async path => JSON.parse(new TextDecoder().decode(await bytes(path))));

/** A safetensors file: its tensors' bytes, their entries, its metadata. */
export const safetensors = once(async name => {
  const file = await bytes(`models/${name}.safetensors`);
  const size = Number(new DataView(file.buffer).getBigUint64(0, true));
  const { __metadata__: metadata, ...entries } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + size)));
  return { data: file.subarray(8 + size), entries, metadata };
});

/** One tensor of a file as Float32Array. */
export async function tensor(file, name) {
  const { data, entries } = await safetensors(file);
  const { dtype, data_offsets: [first, last] } = entries[name];
  const part = data.slice(first, last).buffer;
  return dtype === "F32" ? new Float32Array(part) : Float32Array.from(new Uint16Array(part), halfToFloat);
}

function halfToFloat(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const runtime = once(async () => {
  const ort = await import(new URL("vendor/ort.mjs", BASE));
  ort.env.wasm.numThreads = 1;
  const packed = new Blob([await bytes("vendor/ort.wasm.packed")]).stream();
  ort.env.wasm.wasmBinary = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return ort;
});

/** Fetch at once what the first picture of an explorer needs. */
export async function prepare(scene) {
  const coming = runtime("runtime");
  const [{ [scene]: { graphs, files } }, known] = await Promise.all([json("scenes.json"), index()]);
  const names = graphs.flatMap(name => name.endsWith("*") ? Object.keys(known.graphs).filter(one => one.startsWith(name.slice(0, -1))) : name);
  return Promise.all([coming, ...names.map(name => bytes(`graphs/${name}.onnx`)), ...files.map(name => safetensors(name))]);
}

/** What web/export.py says of the graphs, and the templates of CLIP's sentences. */
export const index = () => json("graphs/index.json");

const session = once(async (key, graph, files) => {
  const [ort, { graphs }] = await Promise.all([runtime("runtime"), index()]);
  const names = [...Object.keys(graphs[graph].files), ...Object.keys(files).filter(name => files[name] instanceof Uint8Array)];
  const [content, ...data] = await Promise.all([bytes(`graphs/${graph}.onnx`),
    ...names.map(async name => files[name] instanceof Uint8Array ? files[name] : (await safetensors(files[name] ?? name)).data)]);
  return ort.InferenceSession.create(content, {
    executionProviders: ["wasm"], externalData: names.map((path, i) => ({ path, data: data[i] })),
  });
});

/** Run a graph. inputs: {name: [values, shape]}; files: for the names by which the graph calls its files, other names or bytes.
 *  → {name: values} */
export async function run(graph, inputs, files = {}) {
  const key = Object.values(files).filter(file => typeof file === "string").join(" ");
  const [ort, made] = await Promise.all([runtime("runtime"), session(`${graph} ${key}`, graph, files)]);
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, [values, shape]]) => [name, new ort.Tensor(values, shape)]));
  const outputs = await made.run(feeds);
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, value.data]));
}

// PyTorch's random numbers on a CPU

/** torch.Generator().manual_seed(seed): the Mersenne twister. */
export class Random {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ this.state[i - 1] >>> 30;
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = 624;
  }

  bits() {
    const s = this.state;
    if (this.next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = s[i] & 0x80000000 | s[(i + 1) % 624] & 0x7fffffff;
        s[i] = s[(i + 397) % 624] ^ y >>> 1 ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= y << 7 & 0x9d2c5680;
    y ^= y << 15 & 0xefc60000;
    return (y ^ y >>> 18) >>> 0;
  }

  /** torch.rand */
  uniform(n) {
    const made = new Float32Array(n);
    for (let i = 0; i < n; i++) made[i] = (this.bits() & 0xffffff) / 2 ** 24;
    return made;
  }

  /** torch.randn of at least 16 numbers: Box and Muller's, in blocks of 16 */
  normal(n) {
    const made = this.uniform(n);
    const block = at => {
      for (let j = at; j < at + 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - made[j])), angle = 2 * Math.PI * made[j + 8];
        made[j] = radius * Math.cos(angle);
        made[j + 8] = radius * Math.sin(angle);
      }
    };
    for (let i = 0; i + 16 <= n; i += 16) block(i);
    if (n % 16) {
      made.set(this.uniform(16), n - 16);
      block(n - 16);
    }
    return made;
  }
}

export const randn = (n, seed) => new Random(seed).normal(n);

// Generators

/** A StyleGAN or StyleGAN2 of the course: mapping, styles, synthesis. */
export class Generator {
  constructor(name, layers) {
    Object.assign(this, { name, layers, size: 256, side: 64 });
  }

  /** z [N, 256] → w [N, 256] */
  async mapping(z) {
    return (await run(`${this.name}.mapping`, { z: [z, [z.length / this.size, this.size]] })).w;
  }

  /** w [N, 256] → w̄ + ψ (w − w̄) */
  async truncate(w, psi) {
    const mean = await tensor(this.name, "mapping.w_avg");
    return w.map((value, i) => Math.fround(mean[i % this.size] + Math.fround(psi * Math.fround(value - mean[i % this.size]))));
  }

  /** w [N, 256] → W+ [N, layers, 256], the same in every layer */
  everywhere(w) {
    return joined(rows(w, this.size).flatMap(row => Array(this.layers).fill(row)));
  }

  /** W+ [N, layers, 256] → N styles, side by side over the layers */
  async styles(ws) {
    const n = ws.length / this.layers / this.size;
    const { styles } = await run(`${this.name}.styles`, { ws: [ws, [n, this.layers, this.size]] });
    return rows(styles, styles.length / n);
  }

  /** The stored noise of all layers, side by side, as an array for each layer. */
  async noise() {
    const { entries } = await safetensors(this.name);
    const places = Object.keys(entries).filter(name => name.endsWith("noise_const"))
      .map(name => [Number(name.match(/b(\d+)\./)[1]), name]).sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1));
    return Promise.all(places.map(([, name]) => tensor(this.name, name)));
  }

  /** One image [3, 64, 64] of one row of styles. noise: of all layers, by default the stored one. */
  async image(styles, noise) {
    const given = joined(noise ?? await this.noise());
    const { images } = await run(`${this.name}.synthesis`, { styles: [styles, [1, styles.length]], noise: [given, [1, given.length]] });
    return images;
  }
}

/** An array cut into rows of a size, which share its memory. */
export const rows = (values, size) => Array.from({ length: values.length / size }, (_, i) => values.subarray(i * size, (i + 1) * size));

/** Several arrays as one. */
export function joined(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { all.set(part, at); return at + part.length; }, 0);
  return all;
}

// CLIP's words

/** A sentence as token numbers. An unknown word is named with its neighbours. */
async function tokens(text, file) {
  const { metadata } = await safetensors(file);
  const { words } = JSON.parse(metadata.config), context = 48;
  const found = text.toLowerCase().match(/[^\s,.;:!?"()]+/g) ?? [];
  if (!found.length) throw new Error("There is no word in the sentence; say what should be seen.");
  const unknown = [...new Set(found)].filter(word => !words.includes(word));
  if (unknown.length) {
    const near = [...new Set(unknown.flatMap(word => neighbours(word, words)))];
    throw new Error(`${unknown.map(word => `“${word}”`).join(", ")} ${unknown.length > 1 ? "are" : "is"} not among the ` +
      `${words.length} words that this small model has seen; ${near.length ? `near ones are ${near.join(", ")}` :
        `some are ${words.filter((_, i) => i % 20 === 5).join(", ")}`}.`);
  }
  if (found.length >= context) throw new Error(`The sentence has ${found.length} words; this model reads up to ${context - 1}.`);
  const numbers = [...found.map(word => words.indexOf(word) + 1), words.length + 1];
  return BigInt64Array.from({ length: context }, (_, i) => BigInt(numbers[i] ?? 0));
}

/** The three words most like a word, by the pairs of letters that they share. */
function neighbours(word, words) {
  const pairs = text => new Set([...text].map((letter, i) => letter + (text[i + 1] ?? "")));
  const mine = pairs(word);
  const likeness = other => {
    const theirs = pairs(other);
    return 2 * [...mine].filter(pair => theirs.has(pair)).length / (mine.size + theirs.size);
  };
  return words.map(other => [likeness(other), other]).filter(([like]) => like > 0.3)
    .sort(([a], [b]) => b - a).slice(0, 3).map(([, other]) => other);
}

/** Sentences as unit vectors. file: of CLIP, or the part of it that the text tower reads. */
export async function embedTexts(texts, file = "clip-portraits-text") {
  const all = await Promise.all(texts.map(text => tokens(text, file)));
  const flat = new BigInt64Array(all.length * all[0].length);
  all.forEach((row, i) => flat.set(row, i * row.length));
  const { features } = await run("clip-text", { tokens: [flat, [all.length, all[0].length]] },
    { "clip-portraits": file });
  return rows(features, features.length / all.length);
}

// Vectors

export const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
export const normalize = a => { const norm = Math.sqrt(dot(a, a)) || 1; return a.map(value => value / norm); };
export const add = (a, b, scale = 1) => a.map((value, i) => value + scale * b[i]);
