// One state, one function that shows it, and the controls that change it.

const state = {
  threshold: results.threshold, filter: "all", label: "", order: "row", page: 0, perPage: 48, overlay: true, opacity: 1,
};
const highest = images.reduce((most, image) => Math.max(most, image.score), 0);
const sliderEnd = Math.max(1.05 * highest, 1.25 * state.threshold) || 1;

const TILES = [
  ["AUROC", results.auroc, results.undefined.auroc],
  ["Average precision", results.average_precision, results.undefined.average_precision],
  ["Pixel AUROC", results.pixel?.auroc ?? null, results.undefined.pixel],
  ["AUPRO", results.pixel?.aupro ?? null, results.undefined.pixel],
];

function fillFixedParts(choose) {
  for (const [name, value, reason] of TILES) {
    const tile = make("div", value === null ? { class: "absent" } : {}, make("dt", {}, name), make("dd", {}, share(value)));
    if (value === null) tile.append(make("dd", { class: "reason" }, reason));
    byId("tiles").append(tile);
  }
  for (const { name, value, why } of presets()) {
    const button = make("button", { type: "button", title: why }, `${name} `, make("span", { class: "value" }, value === null ? "too few samples" : short(value)));
    button.disabled = value === null;
    if (value !== null) button.dataset.value = value;
    button.addEventListener("click", () => choose(value));
    byId("presets").append(button);
  }
  byId("suggestion").textContent = introduction();
  fillThresholds();
  fillIntervals();
  const labels = [...new Set(images.map(({ label }) => label ?? NO_LABEL))].sort();
  byId("label").append(make("option", { value: "" }, "any"));
  for (const label of labels) byId("label").append(new Option(label === NO_LABEL ? "no label" : label, label));
  const masks = pictures.outlines.some(Boolean);
  byId("outline-switch").hidden = !masks;
  byId("legend-mask").hidden = !masks;
  drawLegend();
}

/** The kinds of verdict that these images can get: others would only be empty choices. */
function fillFilters() {
  const labelled = images.some(({ anomalous }) => anomalous !== null);
  const unlabelled = images.some(({ anomalous }) => anomalous === null);
  for (const { value, name } of FILTERS) {
    if (["flagged", "unflagged"].includes(value) ? !unlabelled : value !== "all" && !labelled) continue;
    const input = make("input", { type: "radio", name: "filter", value });
    input.checked = value === state.filter;
    byId("filters").append(make("label", {}, input, make("span", {}, `${name} `, make("b", { "data-count": value }))));
  }
  byId("matrix").hidden = !labelled;
  if (!labelled) byId("matrix-hint").textContent = `No verdict can be checked: ${results.undefined.auroc}.`;
}

fillFilters();
fillFixedParts((value) => setThreshold(value));
const moveLine = histogram(sliderEnd, (value) => setThreshold(value), byId("axis"));
const showOnCurves = curves();
const showImages = gallery(state);
let waiting = false;

function showThreshold() {
  const counts = countKinds(state.threshold);
  const figures = figuresOf(counts);
  const { hit, miss, alarm, pass } = counts;
  byId("slider").value = state.threshold;
  byId("slider").setAttribute("aria-valuetext", short(state.threshold));
  if (document.activeElement !== byId("number")) byId("number").value = short(state.threshold);
  for (const name of ["precision", "recall", "f1"]) byId(`live-${name}`).textContent = share(figures[name]);
  byId("live-wrong").textContent = hit + miss + alarm + pass ? `${miss + alarm} of ${hit + miss + alarm + pass}` : "–";
  for (const button of document.querySelectorAll("#matrix button")) {
    const { kind } = button.dataset;
    const whole = kind === "hit" || kind === "miss" ? hit + miss : alarm + pass;
    const of = whole ? percent(Number((counts[kind] / whole).toFixed(3))) : "–";
    button.replaceChildren(make("b", {}, String(counts[kind])), make("span", {}, `${KINDS[kind].mark} ${KINDS[kind].name}`), make("i", {}, of));
    button.setAttribute("aria-pressed", state.filter === kind);
  }
  for (const { value, has } of FILTERS) {
    const number = Object.entries(counts).reduce((sum, [kind, count]) => sum + (has(kind) ? count : 0), 0);
    const place = document.querySelector(`[data-count="${value}"]`);
    if (place) place.textContent = number;
  }
  for (const button of document.querySelectorAll("#presets button")) {
    button.setAttribute("aria-pressed", Number(button.dataset.value) === state.threshold);
  }
  moveLine(state.threshold);
  showOnCurves(figures);
  announce(`Threshold ${short(state.threshold)}: ${alarm} false alarms, ${miss} misses`, 500);
}

/** Show the state with the next frame: a dragged slider asks more often than the screen is drawn. */
function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    showThreshold();
    showImages();
  });
}

function setThreshold(value) {
  if (!Number.isFinite(value) || value < 0) return;
  state.threshold = value;
  show();
}

function setFilter(value) {
  state.filter = value;
  state.page = 0;
  document.querySelector(`input[name="filter"][value="${value}"]`).checked = true;
  show();
}

function turnPage(step) {
  state.page += step;
  show();
  byId("images").scrollIntoView({ block: "start" });
}

byId("slider").max = sliderEnd;
byId("slider").step = sliderEnd / 2000;
byId("slider").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
byId("number").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
byId("number").addEventListener("blur", () => (byId("number").value = short(state.threshold)));
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("change", (event) => setFilter(event.target.value));
for (const button of document.querySelectorAll("#matrix button")) {
  button.addEventListener("click", () => {
    setFilter(state.filter === button.dataset.kind ? "all" : button.dataset.kind);
    byId("images").scrollIntoView({ block: "start" });
  });
}
for (const [id, read] of [["label", "value"], ["order", "value"], ["overlay", "checked"], ["opacity", "valueAsNumber"]]) {
  byId(id).addEventListener("input", (event) => {
    state[id] = event.target[read];
    if (id === "label" || id === "order") state.page = 0;
    show();
  });
}
byId("outline").addEventListener("input", (event) => byId("cards").classList.toggle("no-outline", !event.target.checked));
byId("size").addEventListener("input", (event) => byId("cards").style.setProperty("--card", `${event.target.value}px`));
byId("per-page").addEventListener("input", (event) => {
  state.perPage = Number(event.target.value);
  state.page = 0;
  show();
});
byId("previous").addEventListener("click", () => turnPage(-1));
byId("next").addEventListener("click", () => turnPage(1));
show();
