// The functions that draw the explorers, one for each of the notebooks': a generator that says first how its tiles lie, and then
// gives one after another. tests/test_web.py compares their pixels with the notebooks'.

import {
  Generator, Random, add, bytes, dot, embedTexts, index, joined, normalize, onProgress, prepare, randn, rows, run, safetensors, tensor,
} from "./engine.js";

const stylegan2 = new Generator("stylegan2-portraits-64", 10), stylegan = new Generator("stylegan-portraits-64", 10);

/** Images [3, H, W] in [-1, 1] as pixels of a canvas; Uint8ClampedArray rounds as PyTorch does. */
function pixels(image, width, height = width) {
  const plane = width * height, found = new Uint8ClampedArray(plane * 4).fill(255);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) {
      found[4 * i + channel] = Math.fround(Math.fround(Math.max(-1, Math.min(1, image[channel * plane + i])) + 1) * 127.5);
    }
  }
  return found;
}

const tile = (number, image, width = Math.sqrt(image.length / 3), height = width) =>
  ({ tile: number, width, height, pixels: pixels(image, width, height) });

const memory = new Map();

/** What was computed once for a key. */
async function kept(key, make) {
  if (!memory.has(key)) memory.set(key, await make());
  return memory.get(key);
}

/** The first n latents of a seed, truncated: W+ as one row for each portrait. */
const latents = (G, n, seed, psi) => kept(`${G.name} ${n} ${seed} ${psi}`, async () => {
  const w = await G.mapping(randn(n * G.size, seed));
  return rows(G.everywhere(await G.truncate(w, psi)), G.layers * G.size);
});

/** Styles of the portraits of `latents`. */
const stylesOf = (G, n, seed, psi) => kept(`styles ${G.name} ${n} ${seed} ${psi}`,
  async () => G.styles(joined(await latents(G, n, seed, psi))));

const images = (G, n, seed, psi) => i => kept(`image ${G.name} ${n} ${seed} ${psi} ${i}`,
  async () => G.image((await stylesOf(G, n, seed, psi))[i]));

// Lesson 00

async function* sample({ seed, psi }) {
  yield { columns: 4, count: 8, scale: 2 };
  const w = await stylegan2.mapping(randn(8 * stylegan2.size, seed));
  const styles = await stylegan2.styles(stylegan2.everywhere(await stylegan2.truncate(w, psi)));
  for (const [i, row] of styles.entries()) yield tile(i, await stylegan2.image(row));
}

// Lesson 01

const stages = { 4: "-4", 8: "-8", 16: "-16", 32: "-32", 64: "" };

async function* moments({ resolution, alpha }) {
  const z = rows(randn(8 * 128, 1), 128).slice(0, 5), stage = r => `pggan-portraits-64${stages[r]}`;
  const grown = (graph, files) => async row => (await run(graph, { z: [row, [1, 128]], alpha: [Float32Array.of(alpha), [1]] }, files)).images;
  const networks = { start: grown(`pggan-new-${resolution}`, { stage: stage(resolution / 2), "new.bin": await untrained(resolution) }) };
  if (resolution === 32) networks.middle = grown("pggan-32", { stage: "pggan-portraits-64-fading-32" });
  networks.finished = grown(`pggan-${resolution}`, { stage: stage(resolution) });
  yield { columns: 5, count: 5 * Object.keys(networks).length, scale: 2, labels: Object.keys(networks) };
  let number = 0;
  for (const draw of Object.values(networks)) for (const row of z) yield tile(number++, await draw(row));
}

/** The weights of an untrained last block, as PyTorch draws them with seed 0 after those of the blocks before. */
const untrained = resolution => kept(`block ${resolution}`, async () => {
  const { block } = (await index()).graphs[`pggan-new-${resolution}`];
  const { entries } = await safetensors(`pggan-portraits-64${stages[resolution / 2]}`);
  const size = shape => shape.reduce((a, b) => a * b, 1), random = new Random(0);
  const before = Object.entries(entries).filter(([name]) => name.endsWith(".weight"));
  random.uniform(before.reduce((sum, [, { shape }]) => sum + size(shape), 0));
  const found = new Float32Array(Math.max(...Object.values(block).map(([shape, first]) => first / 4 + size(shape))));
  for (const name of ["conv0", "conv1", "torgb"].map(layer => `b${resolution}.${layer}.weight`)) {
    const [shape, first] = block[name];
    found.set(random.normal(size(shape)), first / 4);
  }
  return new Uint8Array(found.buffer);
});

// Lesson 03

/** Where the styles of each layer begin among those of all, and how many those are. */
async function starts(G) {
  const { entries } = await safetensors(G.name);
  const found = [0];
  for (const name of layerNames) found.push(found.at(-1) + entries[`synthesis.${name}.affine.bias`].shape[0]);
  return found;
}

const layerNames = [4, 8, 16, 32, 64].flatMap(r => [`b${r}.conv0`, `b${r}.conv1`]);

/** Of a layer's 12 y_b that vary most between portraits, sorted by how far each moves one image; and how far each entry varies. */
const strongest = layer => kept(`strongest ${layer}`, async () => {
  const G = stylegan, places = await starts(G), [first, last] = [places[layer], places[layer + 1]], half = (last - first) / 2;
  const everyone = await kept("everyone", async () => G.styles(G.everywhere(await G.truncate(await G.mapping(randn(500 * G.size, 9)), 1))));
  const spread = Float32Array.from({ length: last - first }, (_, i) => {
    const values = everyone.map(row => row[first + i]), mean = values.reduce((a, b) => a + b) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  });
  const entries = [...spread.keys()].slice(half).sort((a, b) => spread[b] - spread[a]).slice(0, 12);
  const [style] = await stylesOf(G, 8, 10, 0.7), before = await images(G, 8, 10, 0.7)(0), change = new Map();
  for (const entry of entries) {
    const moved = style.slice();
    moved[first + entry] += 3 * spread[entry];
    change.set(entry, (await G.image(moved)).reduce((sum, value, i) => sum + (value - before[i]) ** 2, 0));
    await breath();
  }
  return { entries: entries.sort((a, b) => change.get(b) - change.get(a)), spread, first };
});

async function* one_map({ layer, map, amount }) {
  const G = stylegan;
  yield { columns: 2, count: 6, scale: 2, labels: ["less", "as it is", "more"] };
  for (const i of [0, 1]) yield tile(2 + i, await images(G, 8, 10, 0.7)(i));
  const { entries, spread, first } = await strongest(layerNames.indexOf(layer)), styles = await stylesOf(G, 8, 10, 0.7);
  for (const [row, sign] of [[0, -1], [2, 1]]) {
    for (const i of [0, 1]) {
      const moved = styles[i].slice();
      moved[first + entries[map]] += sign * amount * spread[entries[map]];
      yield tile(2 * row + i, await G.image(moved));
    }
  }
}

async function* mixing({ A, B, begin, end }) {
  const G = stylegan, ws = await latents(G, 8, 10, 0.7), mixed = ws[A].slice();
  if (begin < end) mixed.set(ws[B].subarray(begin * G.size, end * G.size), begin * G.size);
  yield { columns: 3, count: 3, scale: 3, titles: ["A", begin < end ? `layers ${begin} … ${end - 1} from B` : "none from B", "B"] };
  const draw = images(G, 8, 10, 0.7);
  yield tile(0, await draw(A));
  yield tile(1, await G.image((await G.styles(mixed))[0]));
  yield tile(2, await draw(B));
}

// Lesson 04

async function* redrawn({ layers, noise, seed }, controls) {
  const G = stylegan, stored = await G.noise(), all = [...stored.keys()], draw = images(G, 6, 13, 0.7);
  const { options } = controls.find(({ name }) => name === "layers"), own = options.indexOf(layers) - (options.length - all.length);
  const chosen = own >= 0 ? [own] : { all, coarse: all.slice(0, 4), middle: all.slice(4, 8), fine: all.slice(8) }[layers];
  yield { columns: 4, count: 12, scale: 2, labels: ["stored noise", `${layers}: ${noise}`, "difference"] };
  const random = new Random(seed), fresh = stored.map(part => rows(random.normal(4 * part.length), part.length));
  for (const i of [0, 1, 2, 3]) yield tile(i, await draw(i));
  const styles = await stylesOf(G, 6, 13, 0.7);
  for (const i of [0, 1, 2, 3]) {
    const given = stored.map((part, layer) => {
      if (noise === "resampled") return chosen.includes(layer) ? fresh[layer][i] : part;
      return chosen.includes(layer) === (noise === "off") ? new Float32Array(part.length) : part;
    });
    const now = await G.image(styles[i], given), before = await draw(i);
    yield tile(4 + i, now);
    yield tile(8 + i, now.map((value, at) => 1 - 4 * Math.abs(value - before[at])));
  }
}

// Lesson 06

async function* walk({ latent, direction, h }) {
  const G = stylegan2;
  const w = rows(await kept("w 06", () => G.mapping(randn(8 * G.size, 1))), G.size)[latent];
  const way = normalize(rows(randn(16 * G.size, 2), G.size)[direction]), titles = ["start", ..."······"];
  const layout = { columns: 7, count: 7, scale: 1, titles };
  yield layout;
  let before;
  for (let i = 0; i < 7; i++) {
    const [styles] = await G.styles(G.everywhere(add(w, way, h * i)));
    const now = await G.image(styles);
    if (before) {
      titles[i] = (Math.sqrt(now.reduce((sum, value, at) => sum + (value - before[at]) ** 2, 0)) / h).toFixed(1);
      yield { ...layout, titles: [...titles] };
    }
    yield tile(i, now);
    before = now;
  }
}

// Lesson 07

async function* path({ first, second }) {
  const G = stylegan2, z = rows(randn(20 * G.size, 1), G.size), [a, b] = [first, second].map(i => normalize(z[i]));
  yield { columns: 1, count: 2, scale: 3, labels: ["in Z", "in W"], tile: [192, 88] };
  const cosine = Math.max(-1, Math.min(1, dot(a, b))), angle = Math.acos(cosine) / 2, across = normalize(add(b, a, -cosine));
  const half = normalize(a.map((value, i) => value * Math.cos(angle) + across[i] * Math.sin(angle)));
  const [start, through, end] = rows(await G.mapping(joined([a, half, b])), G.size);
  const middle = start.map((value, i) => value + 0.5 * (end[i] - value));
  const drawn = Array(4).fill(new Float32Array(3 * 64 * 64).fill(1)), of = () => [[0, 1, 2], [0, 3, 2]].map(row => row.map(i => drawn[i]));
  for (const [i, styles] of (await G.styles(G.everywhere(joined([start, through, end, middle])))).entries()) {
    drawn[i] = await G.image(styles);
    for (const [row, strip] of of().entries()) yield tile(row, underBars(strip, [0, 0, 0], 1), 192, 88);
  }
  const strips = of();
  const shape = [2, 3, 64, 64];
  const speeds = await Promise.all(strips.map(async ([x, y, z]) => {
    const { distance } = await run("oracle-distance", { a: [joined([y, z]), shape], b: [joined([x, y]), shape] });
    return [0, ...[...distance].map(d => 2 * Math.sqrt(Math.max(d, 0)))];
  }));
  const top = Math.max(...speeds.flat(), 1e-9);
  for (const [row, strip] of strips.entries()) yield tile(row, underBars(strip, speeds[row], top), 192, 88);
}

/** Images side by side with a bar over each, as `plots.under_bars` draws them. */
function underBars(strip, values, top, height = 24) {
  const width = 64, all = width * strip.length, found = new Float32Array(3 * (height + width) * all).fill(1);
  for (let channel = 0; channel < 3; channel++) {
    const plane = channel * (height + width) * all;
    strip.forEach((image, i) => {
      const bar = halfEven((height - 2) * Math.min(values[i] / top, 1));
      for (let y = height - bar; y < height; y++) found.fill(0.2, plane + y * all + i * width + 8, plane + y * all + (i + 1) * width - 8);
      for (let y = 0; y < width; y++) {
        found.set(image.subarray((channel * width + y) * width, (channel * width + y + 1) * width), plane + (height + y) * all + i * width);
      }
    });
  }
  return found;
}

const halfEven = value => new Uint8ClampedArray([value])[0];

// Lesson 08

/** `styleclip.optimize_steps` for one portrait: a frame every eight steps. */
async function* editing({ prompt, portrait, space, lr, l2, identity_weight, preserve, target }, controls, steps = 300) {
  const G = stylegan2, rate = l2 / 1000, layout = { columns: 2, count: 2, scale: 3 };
  const [text] = await embedTexts([prompt], "clip-portraits");
  yield layout;
  const source = (await latents(G, 4, 21, 0.7))[portrait], styles = (await stylesOf(G, 4, 21, 0.7))[portrait];
  for (const i of [0, 1]) yield tile(i, await images(G, 4, 21, 0.7)(portrait));
  const goal = target ? await similarityTarget(text) : 2;
  const noise = joined(await G.noise()), random = new Random(0), convolutions = await ofConvolutions();
  const step = (now, views, features, vector) => run("descend", {
    styles: [now, [1, now.length]], noise: [noise, [1, noise.length]], text: [text, [1, text.length]],
    source: [features, [1, features.length]], person: [vector, [1, vector.length]], corners: [views.corners, [4, 4096, 4]],
    shares: [views.shares, [4, 4096, 4]], grain: [views.grain, [4, 3, 64, 64]], target: [Float32Array.of(goal), [1]],
    weights: [Float32Array.of(identity_weight, preserve), [2]],
  });
  const still = { corners: new BigInt64Array(4 * 4096 * 4), shares: new Float32Array(4 * 4096 * 4), grain: new Float32Array(4 * 3 * 4096) };
  const { features, vector } = await step(styles, still, new Float32Array(text.length), new Float32Array(128));
  const { threshold } = JSON.parse((await safetensors("identity-portraits-64")).metadata.config);
  const size = { w: G.size, "w+": source.length, s: styles.length }[space];
  const offsets = new Float32Array(size), mean = new Float32Array(size), square = new Float32Array(size);
  for (let k = 0; k <= steps; k++) {
    const now = space === "s" ? add(styles, offsets)
      : (await G.styles(add(source, space === "w" ? G.everywhere(offsets) : offsets)))[0];
    const found = await step(now, drawViews(random), features, vector);
    const distance = offsets.reduce((sum, value) => sum + value * value, 0);
    if (k % 8 === 0) {
      const same = dot(found.vector, vector) >= threshold ? "the same person" : "another person";
      yield tile(1, found.images);
      yield { frame: k, message: `step ${k}: D_CLIP ${found.terms[0].toFixed(2)}, L2 ${distance.toFixed(1)}, the identity network sees ${same}`,
              losses: [...found.terms, distance], gradient: found.gradient };
    }
    let gradient = found.gradient;
    if (space === "s") gradient = gradient.map((value, i) => convolutions[i] ? value : 0);
    else {
      ({ ws: gradient } = await run("styles-back", { gradient: [gradient, [1, gradient.length]] }));
      if (space === "w") gradient = rows(gradient, G.size).reduce((sum, row) => add(sum, row));
    }
    adam(offsets, gradient.map((value, i) => value + 2 * rate * offsets[i]), mean, square, k + 1, lr * ramp(k / steps));
    await breath();
  }
}

/** Adam with PyTorch's defaults. */
function adam(parameters, gradient, mean, square, step, lr) {
  for (let i = 0; i < parameters.length; i++) {
    mean[i] += 0.1 * (gradient[i] - mean[i]);
    square[i] = 0.999 * square[i] + 0.001 * gradient[i] ** 2;
    parameters[i] -= lr / (1 - 0.9 ** step) * mean[i] / (Math.sqrt(square[i]) / Math.sqrt(1 - 0.999 ** step) + 1e-8);
  }
}

/** `schedule.learning_rate_ramp` */
const ramp = t => Math.min(1, t / 0.05) * (0.5 - 0.5 * Math.cos(Math.PI * Math.min(1, (1 - t) / 0.25)));

/** The cosine that the most similar hundredth of 200 portraits reach. */
async function similarityTarget(text) {
  const samples = new Float32Array((await bytes("graphs/samples.bin")).slice().buffer);
  const found = rows(samples, text.length).map(row => dot(row, text)).sort((a, b) => a - b);
  const place = 0.99 * (found.length - 1), below = Math.floor(place);
  return found[below] + (place - below) * (found[below + 1] - found[below]);
}

/** For each style channel of StyleGAN2 whether a convolution reads it, not toRGB. */
const ofConvolutions = () => kept("convolutions", async () => {
  const { entries } = await safetensors(stylegan2.name);
  const layers = [4, 8, 16, 32, 64].flatMap(r => ["conv0", "conv1", "torgb"].map(layer => `b${r}.${layer}`))
    .filter(name => `synthesis.${name}.affine.bias` in entries);
  return layers.flatMap(name => Array(entries[`synthesis.${name}.affine.bias`].shape[0]).fill(!name.endsWith("torgb")));
});

/** `clip.draw_views(4, 64)`: for each pixel of a view the four of the image that it lies between, and their shares; and its noise. */
function drawViews(random, count = 4, size = 64, { crop, turn, warp, noise } = { crop: 0.15, turn: 0.1, warp: 0.03, noise: 0.08 }) {
  const draw = n => random.uniform(n).map(value => value * 2 - 1);
  const angle = draw(count).map(v => turn * v), zoom = draw(count).map(v => 1 + crop * v), shift = draw(2 * count).map(v => crop * v);
  const bend = draw(2 * count * 16).map(v => 2 * warp * v), spread = bicubic(4, size);
  const corners = new BigInt64Array(count * size * size * 4), shares = new Float32Array(corners.length);
  for (let n = 0, at = 0; n < count; n++) {
    const cos = zoom[n] * Math.cos(angle[n]), sin = zoom[n] * Math.sin(angle[n]);
    const warped = [0, 1].map(axis => resized(bend.subarray((2 * n + axis) * 16, (2 * n + axis + 1) * 16), spread));
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const u = (2 * x + 1) / size - 1, v = (2 * y + 1) / size - 1, place = y * size + x;
        const [px, py] = [cos * u - sin * v + shift[2 * n] + warped[0][place], sin * u + cos * v + shift[2 * n + 1] + warped[1][place]]
          .map(value => Math.min(size - 1, Math.max(0, ((value + 1) * size - 1) / 2)));
        const left = Math.floor(px), up = Math.floor(py), fx = px - left, fy = py - up;
        for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
          corners[at] = BigInt(Math.min(up + dy, size - 1) * size + Math.min(left + dx, size - 1));
          shares[at++] = (dx ? fx : 1 - fx) * (dy ? fy : 1 - fy);
        }
      }
    }
  }
  const strength = draw(count).map(value => noise * Math.abs(value)), plane = 3 * size * size;
  return { corners, shares, grain: random.normal(count * plane).map((value, i) => value * strength[Math.floor(i / plane)]) };
}

/** The shares of four points in each of `size` places, bicubic with aligned corners. */
function bicubic(points, size, a = -0.75) {
  const near = t => ((a + 2) * t - (a + 3)) * t * t + 1, far = t => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return Array.from({ length: size }, (_, i) => {
    const place = i * (points - 1) / (size - 1), first = Math.floor(place), t = place - first, row = new Float64Array(points);
    [far(t + 1), near(t), near(1 - t), far(2 - t)].forEach((share, j) => {
      row[Math.min(points - 1, Math.max(0, first - 1 + j))] += share;
    });
    return row;
  });
}

/** A map [4, 4] at the places of `bicubic`, [size, size]. */
function resized(map, spread) {
  const wide = [0, 1, 2, 3].map(y => spread.map(row => row.reduce((sum, share, x) => sum + share * map[4 * y + x], 0)));
  return spread.flatMap(row => spread.map((_, x) => row.reduce((sum, share, y) => sum + share * wide[y][x], 0)));
}

// Lesson 09

const spans = { coarse: [0, 4], medium: [4, 8], fine: [8, 10] };

async function* mapped({ prompt, strength, levels }) {
  const G = stylegan2, file = `mapper-${prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}`;
  yield { columns: 4, count: 8, scale: 2, labels: ["before", "after"] };
  for (const i of [0, 1, 2, 3]) yield tile(i, await images(G, 4, 7, 0.7)(i));
  const { entries } = await safetensors(file), own = Object.keys(spans).filter(level => `${level}.0.weight` in entries);
  const ws = await latents(G, 4, 7, 0.7);
  const { offsets } = await run(`mapper-${own.join("-")}`, { ws: [joined(ws), [4, G.layers, G.size]] }, { mapper: file });
  const moves = Array.from({ length: G.layers }, (_, layer) =>
    own.some(level => ["all", level].includes(levels) && layer >= spans[level][0] && layer < spans[level][1]));
  const after = joined(ws).map((value, i) => moves[Math.floor(i / G.size) % G.layers] ? value + Math.fround(strength * offsets[i]) : value);
  for (const [i, styles] of (await G.styles(after)).entries()) yield tile(4 + i, await G.image(styles));
}

// Lesson 10

async function* directed({ neutral, target, alpha, beta }) {
  const G = stylegan2;
  if (neutral.trim().toLowerCase() === target.trim().toLowerCase()) {
    throw new Error(`Neutral and target are both “${target}”; the target must say what should change.`);
  }
  const layout = { columns: 4, count: 8, scale: 2, labels: ["before", "after"], caption: " " };
  const direction = await directionOf(neutral, target, beta);
  yield { ...layout, caption: `${direction.filter(Boolean).length.toLocaleString("en")} channels move` };
  for (const i of [0, 1, 2, 3]) yield tile(i, await images(G, 4, 7, 0.7)(i));
  for (const [i, row] of (await stylesOf(G, 4, 7, 0.7)).entries()) yield tile(4 + i, await G.image(add(row, direction, alpha)));
}

/** Δs of `styleclip.global_direction`, side by side over the layers. */
async function directionOf(neutral, target, beta) {
  const { templates } = await index();
  const put = text => templates.map(template => template.replaceAll("{}", text));
  const found = await kept(`texts ${neutral} → ${target}`, () => embedTexts([...put(neutral), ...put(target)]));
  const mean = vectors => normalize(vectors.map(normalize).reduce((sum, vector) => add(sum, vector)).map(value => value / templates.length));
  const way = normalize(add(mean(found.slice(templates.length)), mean(found.slice(0, templates.length)), -1));
  const file = "statistics-portraits-64", { metadata, entries } = await safetensors(file);
  const layers = await Promise.all(JSON.parse(metadata.info).layers.map(async layer => {
    const sigma = await tensor(file, `sigma.${layer}`), changes = `changes.${layer}`;
    return [sigma, changes in entries ? Float32Array.from(rows(await tensor(file, changes), way.length), row => dot(row, way)) : null];
  }));
  const largest = Math.max(...layers.map(([, relevance]) => relevance ? Math.max(...relevance.map(Math.abs)) : 0));
  if (largest < beta || !largest) {
    throw new Error(`No channel reaches β = ${beta} for “${target}”; the most relevant has ${largest.toFixed(3)}.`);
  }
  return joined(layers.map(([sigma, relevance]) => sigma.map((value, i) =>
    relevance && Math.abs(relevance[i]) >= beta ? relevance[i] / largest * value : 0)));
}

// Messages

/** The function of each live explorer, by lesson and name; scenes.json says which graphs and files its first picture needs. */
const scenes = {
  "00 sample": sample, "01 moments": moments, "03 one_map": one_map, "03 mixing": mixing, "04 redrawn": redrawn, "06 strip": walk,
  "07 strip": path, "08 editing": editing, "09 mapped": mapped, "10 directed": directed,
};

/** Lets messages in: a newer request of the same explorer ends this one. */
const channel = new MessageChannel(), waiting = [];
channel.port1.onmessage = () => waiting.shift()();
const breath = () => new Promise(resolve => { waiting.push(resolve); channel.port2.postMessage(0); });

const newest = new Map(), drawing = new Map();
let turn = Promise.resolve();

/** A request of explorer `id`, counted by `number`: draw `values` in a scene, or without one stop, or go on with what was stopped.
 *  Answers: what the scene's function yields, and at the end {done} or {error}. */
onmessage = ({ data: { id, number, scene, values, controls, goOn } }) => {
  newest.set(id, number);
  if (scene || goOn) turn = turn.then(() => answer(id, number, scene, values, controls));
};

async function answer(id, number, scene, values, controls) {
  const send = (message, moved) => postMessage({ id, number, ...message }, moved);
  if (newest.get(id) !== number) return;
  try {
    if (scene) {
      onProgress((came, all) => send({ came, all }));
      await prepare(scene);
      drawing.set(id, scenes[scene](values, controls));
    }
    for (;;) {
      await breath();
      if (newest.get(id) !== number) return;
      const { value, done } = await drawing.get(id).next();
      if (newest.get(id) !== number && !value?.frame) return;
      send(done ? { done } : value, value?.pixels ? [value.pixels.buffer] : []);
      if (done) return;
    }
  } catch (error) {
    send({ error: error.message });
  }
}
