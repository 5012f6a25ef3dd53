"use strict";
const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const products = read("fleet").products.map((product, index) => ({ ...product, pictures: read("thumbnails")[index] }));
const figure = (name) => (product) => product.figures?.[name] ?? null;
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const kilobytes = (value) => (value / 1024).toFixed(0);
const short = (value) => String(Number(value.toPrecision(4)));

// Title, what it is sorted by, and how a number is written.
const columns = [
  ["line", (product) => product.line, String],
  ["product", (product) => product.name],
  ["status", (product) => product.status],
  ["scoring function", figure("scoring_function")],
  ["backbone", figure("backbone")],
  ["input", figure("input")],
  ["images", figure("training_images"), String],
  ["left out", figure("left_out"), String],
  ["threshold", figure("int8_threshold"), short],
  ["false alarms", figure("expected_false_alarms"), percent],
  ["made defects found", figure("made_defects_found"), percent],
  ["length found (px)", figure("a90"), short],
  ["flash (KB)", figure("flash_bytes"), kilobytes],
  ["arena (KB)", figure("arena_bytes"), kilobytes],
  ["why it failed", (product) => product.failure],
];
const sorting = { column: 0, down: false };

// Empty cells come last in both directions.
function compare(a, b) {
  const [x, y] = [a, b].map(columns[sorting.column][1]);
  if (x === null || y === null) return (x === null) - (y === null) || a.line - b.line;
  const order = typeof x === "string" ? x.localeCompare(y) : x - y;
  return (sorting.down ? -order : order) || a.line - b.line;
}

function heading(title, index) {
  const cell = document.createElement("th"), button = document.createElement("button");
  button.type = "button";
  button.textContent = title + (index === sorting.column ? (sorting.down ? " ↓" : " ↑") : "");
  cell.setAttribute("aria-sort", index !== sorting.column ? "none" : sorting.down ? "descending" : "ascending");
  button.addEventListener("click", () => {
    sorting.down = index === sorting.column ? !sorting.down : false;
    sorting.column = index;
    draw();
    byId("table").tHead.rows[0].cells[index].firstChild.focus();
  });
  cell.append(button);
  return cell;
}

function line(product) {
  const row = document.createElement("tr");
  row.className = product.status;
  columns.forEach(([title, value, written]) => {
    const cell = document.createElement("td"), found = value(product);
    cell.className = written ? "number" : title === "why it failed" ? "failure" : title;
    cell.textContent = found === null ? "" : written ? written(found) : found;
    row.append(cell);
  });
  const cell = document.createElement("td");
  for (const picture of product.pictures) {
    const image = document.createElement("img");
    image.src = `data:image/jpeg;base64,${picture}`;
    image.alt = `A training image of ${product.name}`;
    cell.append(image);
  }
  row.append(cell);
  return row;
}

function draw() {
  const head = document.createElement("tr");
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (product) => columns.map(([, value]) => value(product) ?? "").join(" ").toLowerCase();
  const shown = products.filter((product) => words.every((word) => text(product).includes(word)));
  const last = document.createElement("th");
  last.textContent = "training images";
  head.append(...columns.map(([title], index) => heading(title, index)), last);
  byId("table").tHead.replaceChildren(head);
  byId("table").tBodies[0].replaceChildren(...shown.sort(compare).map(line));
}

byId("filter").addEventListener("input", draw);
draw();
