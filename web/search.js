// The search: its index was made with the site, and comes when the field is first used.
import MiniSearch from "./vendor/minisearch.js";

const field = document.querySelector("search input"), list = document.querySelector("search ol"), said = document.querySelector("search p");
let index;

async function find() {
  index ??= fetch("search.json").then(answer => answer.json()).then(({ options, index }) => MiniSearch.loadJS(index, options));
  const found = field.value.trim() ? (await index).search(field.value, { prefix: true, fuzzy: 0.15, boost: { title: 3 } }).slice(0, 8) : [];
  list.replaceChildren(...found.map(({ id, title, lesson }) => {
    const link = Object.assign(document.createElement("a"), { href: id, textContent: title });
    const item = document.createElement("li");
    item.append(link, ` · lesson ${lesson.slice(0, 2)}`);
    return item;
  }));
  said.textContent = field.value.trim() ? (found.length ? `${found.length} places` : "Nothing was found.") : "";
}

field.oninput = find;
field.form.onsubmit = event => { event.preventDefault(); list.querySelector("a")?.click(); };
field.closest("search").hidden = false;
