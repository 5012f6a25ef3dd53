"use strict";
// One object a candidate; values are detection, flash, RAM, milliseconds. Costs are shown in KB and ms.
const results = JSON.parse(document.getElementById("results").textContent);
const byId = (id) => document.getElementById(id);
const names = Object.keys(results.axes);
const front = new Set(results.front);
const done = results.entries.filter((entry) => entry.values);
const scale = [1, 1 / 1024, 1 / 1024, 1];
const shown = (entry, index) => entry.values[index] * scale[index];
const digits = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3));

const area = { left: 56, right: 740, top: 14, bottom: 320 };
let cost = 1;
let limit = Infinity;

function span(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || 0.01) * 0.06;
  return [low - room, high + room];
}

function axes() {
  const x = span(done.map((entry) => Math.log10(shown(entry, cost) || 0.001)));
  const y = span(done.map((entry) => entry.values[0]));
  return {
    x: (value) => area.left + ((Math.log10(value || 0.001) - x[0]) / (x[1] - x[0])) * (area.right - area.left),
    back: (pixel) => 10 ** (x[0] + ((pixel - area.left) / (area.right - area.left)) * (x[1] - x[0])),
    y: (value) => area.bottom - ((value - y[0]) / (y[1] - y[0])) * (area.bottom - area.top),
    xs: x,
    ys: y,
  };
}

function node(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function describe(entry) {
  const lines = [`number ${entry.number}`];
  for (const name of names) lines.push(`${name.replaceAll("_", " ")}: ${entry.parameters[name]}`);
  if (entry.values) {
    lines.push(`${results.metric}: ${entry.values[0].toFixed(4)}`);
    lines.push(`flash ${digits(shown(entry, 1))} KB, RAM ${digits(shown(entry, 2))} KB, ${digits(shown(entry, 3))} ms`);
  } else lines.push(entry.failure);
  return lines.join("\n");
}

function tip(target, entry) {
  const box = byId("tip");
  const show = () => {
    const place = target.getBoundingClientRect();
    box.textContent = describe(entry);
    box.hidden = false;
    box.style.left = `${Math.min(place.right + 8, window.innerWidth - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.max(8, Math.min(place.top, window.innerHeight - box.offsetHeight - 8))}px`;
  };
  target.addEventListener("pointerenter", show);
  target.addEventListener("focus", show);
  for (const name of ["pointerleave", "blur"]) target.addEventListener(name, () => (box.hidden = true));
}

// The candidates within the limit that no cheaper one reaches, cheapest first: what the line joins.
function steps() {
  let reached = -Infinity;
  const ordered = done.slice().sort((a, b) => a.values[cost] - b.values[cost] || b.values[0] - a.values[0]);
  return ordered.filter((entry) => {
    const better = entry.values[0] > reached;
    reached = Math.max(reached, entry.values[0]);
    return better;
  });
}

function draw() {
  const svg = byId("scatter"), at = axes();
  svg.replaceChildren();
  svg.append(node("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }));
  for (let tick = 0; tick <= 4; tick++) {
    const value = at.ys[0] + ((at.ys[1] - at.ys[0]) * tick) / 4;
    svg.append(node("line", { class: "axis", x1: area.left, x2: area.right, y1: at.y(value), y2: at.y(value) }));
    svg.append(node("text", { x: area.left - 8, y: at.y(value) + 4, "text-anchor": "end" }, value.toFixed(3)));
    const costAt = 10 ** (at.xs[0] + ((at.xs[1] - at.xs[0]) * tick) / 4);
    svg.append(node("text", { x: at.x(costAt), y: area.bottom + 18, "text-anchor": "middle" }, digits(costAt)));
  }
  const points = steps().map((entry) => `${at.x(shown(entry, cost))},${at.y(entry.values[0])}`);
  svg.append(node("polyline", { class: "front", points: points.join(" ") }));
  for (const entry of done) {
    const kinds = ["point"];
    if (front.has(entry.number)) kinds.push("on-front");
    if (shown(entry, cost) > limit) kinds.push("over");
    const point = node("circle", {
      class: kinds.join(" "), r: entry.number === results.choice.best ? 8 : 5, tabindex: 0, "data-number": entry.number,
      cx: at.x(shown(entry, cost)), cy: at.y(entry.values[0]), "aria-label": describe(entry),
    });
    tip(point, entry);
    svg.append(point);
  }
  if (Number.isFinite(limit)) {
    const x = at.x(limit);
    svg.append(node("line", { class: "limit", x1: x, x2: x, y1: area.top, y2: area.bottom }));
    const grip = node("line", { class: "grip", x1: x, x2: x, y1: area.top, y2: area.bottom });
    grip.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      const move = (moved) => {
        const box = svg.getBoundingClientRect();
        setLimit(axes().back(((moved.clientX - box.left) / box.width) * 760));
      };
      const stop = () => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", stop);
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", stop);
    });
    svg.append(grip);
  }
  const best = choose(done.filter((entry) => shown(entry, cost) <= limit));
  byId("limit-text").textContent = Number.isFinite(limit) ? `at most ${digits(limit)} ${cost === 3 ? "ms" : "KB"}` : "no limit";
  byId("limit-best").textContent = best ? `best within it: number ${best.number}, ${best.values[0].toFixed(4)}` : "nothing within it";
}

// As fomoad/search/choice.py: the one that finds most, where it leads the most promising one clearly, else that one.
function choose(entries) {
  const rank = new Map(results.order.map((number, place) => [number, place]));
  const known = entries.slice().sort((a, b) => rank.get(a.number) - rank.get(b.number));
  if (!known.length) return null;
  const figure = (entry) => entry.details.selection[results.metric] ?? 0;
  const most = known.reduce((a, b) => (figure(b) > figure(a) ? b : a)), first = known[0];
  const differences = most.details.without.selection.map((each, group) => each - first.details.without.selection[group]);
  const count = differences.length, mean = differences.reduce((a, b) => a + b) / count;
  const spread = differences.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  const needed = results.least + results.sure * Math.sqrt(((count - 1) / count) * spread);
  return figure(most) - figure(first) > needed ? most : first;
}

function setLimit(value) {
  const at = axes();
  const share = (Math.log10(value) - at.xs[0]) / (at.xs[1] - at.xs[0]);
  byId("limit").value = String(Math.round(Math.min(1, Math.max(0, share)) * 1000));
  limit = share >= 1 ? Infinity : value;
  draw();
}

function budgetLimit() {
  if (cost === 1 && results.budget.flash) return results.budget.flash / 1024;
  if (cost === 2 && results.budget.ram) return results.budget.ram / 1024;
  if (cost === 3 && results.budget.latency.length) return results.budget.latency[0][1];
  return Infinity;
}

function effects() {
  for (const name of names) {
    const box = document.createElement("div"), title = document.createElement("h3");
    title.textContent = name.replaceAll("_", " ");
    box.append(title);
    for (const value of results.axes[name]) {
      const found = done.filter((entry) => entry.parameters[name] === value).map((entry) => entry.values[0]);
      if (!found.length) continue;
      const row = document.createElement("div"), meter = document.createElement("meter");
      const label = document.createElement("span"), text = document.createElement("span");
      row.className = "effect";
      label.textContent = String(value);
      meter.min = Math.min(...done.map((entry) => entry.values[0]));
      meter.max = Math.max(...done.map((entry) => entry.values[0]));
      meter.value = Math.max(...found);
      text.textContent = Math.max(...found).toFixed(4);
      row.title = `best ${Math.max(...found).toFixed(4)}, mean ${(found.reduce((a, b) => a + b) / found.length).toFixed(4)}`;
      row.append(label, meter, text);
      box.append(row);
    }
    byId("effects").append(box);
  }
}

const columns = [
  ["number", (entry) => entry.number],
  ...names.map((name) => [name.replaceAll("_", " "), (entry) => entry.parameters[name]]),
  [results.metric, (entry) => (entry.values ? entry.values[0] : -1)],
  ["flash KB", (entry) => (entry.values ? shown(entry, 1) : Infinity)],
  ["RAM KB", (entry) => (entry.values ? shown(entry, 2) : Infinity)],
  ["ms", (entry) => (entry.values ? shown(entry, 3) : Infinity)],
];
const sorting = { column: names.length + 1, down: true };

function table() {
  const [head, body] = [byId("table").tHead, byId("table").tBodies[0]];
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const read = columns[sorting.column][1];
  const compare = (a, b) => {
    const [x, y] = [read(a), read(b)];
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (sorting.down ? -order : order) || a.number - b.number;
  };
  head.replaceChildren(document.createElement("tr"));
  columns.forEach(([title], index) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    button.textContent = title + (index === sorting.column ? (sorting.down ? " ↓" : " ↑") : "");
    button.type = "button";
    cell.setAttribute("aria-sort", index !== sorting.column ? "none" : sorting.down ? "descending" : "ascending");
    button.addEventListener("click", () => {
      sorting.down = index === sorting.column ? !sorting.down : false;
      sorting.column = index;
      table();
      byId("table").tHead.rows[0].cells[index].firstChild.focus();
    });
    cell.append(button);
    head.rows[0].append(cell);
  });
  const fits = (entry) => words.every((word) => Object.values(entry.parameters).join(" ").toLowerCase().includes(word));
  body.replaceChildren(
    ...results.entries.filter(fits).sort(compare).map((entry) => {
      const row = document.createElement("tr");
      row.className = front.has(entry.number) ? "on-front" : entry.values ? "" : "failed";
      for (const [title, value] of columns) {
        const cell = document.createElement("td"), found = value(entry);
        const plain = typeof found !== "number" || names.includes(title.replaceAll(" ", "_")) || title === "number";
        cell.textContent = plain ? String(found) : !entry.values ? "" : title === results.metric ? found.toFixed(4) : digits(found);
        row.append(cell);
      }
      if (entry.failure) row.title = entry.failure;
      return row;
    }),
  );
}

byId("cost").addEventListener("change", () => {
  cost = Number(byId("cost").value);
  setLimit(budgetLimit());
});
byId("limit").addEventListener("input", () => {
  const at = axes(), share = Number(byId("limit").value) / 1000;
  limit = share >= 1 ? Infinity : 10 ** (at.xs[0] + share * (at.xs[1] - at.xs[0]));
  draw();
});
byId("filter").addEventListener("input", table);
effects();
table();
setLimit(budgetLimit());
