// What web/build.py asks of node, as JSON on stdin and stdout: formulas as HTML with MathML, and the index of the search.
import { readFileSync } from "node:fs";
import katex from "katex";
import MiniSearch from "minisearch";

const { formulas, sections, search } = JSON.parse(readFileSync(0, "utf8"));
const index = new MiniSearch(search);
index.addAll(sections);
process.stdout.write(JSON.stringify({
  formulas: formulas.map(([tex, displayMode]) => katex.renderToString(tex, { displayMode, strict: "ignore" })),
  index,
}));
