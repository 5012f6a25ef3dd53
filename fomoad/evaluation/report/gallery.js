// The images: which of them, in what order, a page at a time.

const FILTERS = [
  { value: "all", name: "All", has: () => true },
  { value: "wrong", name: "Wrong", has: (kind) => KINDS[kind].wrong },
  { value: "alarm", name: "False alarms", has: (kind) => kind === "alarm" },
  { value: "miss", name: "Misses", has: (kind) => kind === "miss" },
  { value: "hit", name: "Found", has: (kind) => kind === "hit" },
  { value: "pass", name: "Passed", has: (kind) => kind === "pass" },
  { value: "flagged", name: "Called anomaly", has: (kind) => kind === "flagged" },
  { value: "unflagged", name: "Called normal", has: (kind) => kind === "unflagged" },
];
const NO_LABEL = "\u0000";

const ORDERS = {
  row: () => (a, b) => a.row - b.row,
  high: () => (a, b) => b.score - a.score || a.row - b.row,
  low: () => (a, b) => a.score - b.score || a.row - b.row,
  near: (threshold) => (a, b) => Math.abs(a.score - threshold) - Math.abs(b.score - threshold) || a.row - b.row,
};

/** The images that the filter, the label and the order leave, all pages of them. */
function chosenImages(state) {
  const filter = FILTERS.find(({ value }) => value === state.filter);
  return images
    .filter((image) => filter.has(kindOf(image, state.threshold)))
    .filter((image) => state.label === "" || (image.label ?? NO_LABEL) === state.label)
    .sort(ORDERS[state.order](state.threshold));
}

/** One image with its grid and outline. */
function framed(image, state) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const picture = make("img", { src: `data:image/jpeg;base64,${pictures.jpegs[image.row]}`, alt: "", draggable: "false" });
  const cursor = make("span", { class: "cursor", hidden: "" });
  const name = image.file_name ?? `row ${image.row}`;
  const frame = make("div", {
    class: "frame", tabindex: "0", role: "application", "aria-describedby": "tooltip",
    "aria-label": `Score grid of ${name}: arrow keys move over ${rows} rows and ${columns} columns`,
  }, picture, canvas);
  frame.style.aspectRatio = `${width} / ${height}`;
  if (pictures.outlines[image.row]) {
    const svg = draw("svg", { class: "outline", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, frame);
    draw("path", { class: "outline-back", d: pictures.outlines[image.row] }, svg);
    draw("path", { class: "outline-front", d: pictures.outlines[image.row] }, svg);
  }
  frame.append(cursor);
  readable(frame, image.row, state);
  return { frame, canvas, name };
}

/** One image with its grid, outline and facts. */
function card(image, state) {
  const { frame, canvas, name } = framed(image, state);
  const larger = make("button", { type: "button", class: "larger", "aria-label": `Enlarge ${name}` }, "Enlarge");
  larger.addEventListener("click", () => enlarge(image, state));
  frame.addEventListener("click", (event) => {
    if (event.pointerType === "mouse") enlarge(image, state);
  });
  frame.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // else the same key presses the dialog's first button
    enlarge(image, state);
  });
  const verdict = make("span", { class: "verdict" });
  const element = make("li", { class: "card", "data-row": image.row }, frame,
    make("div", { class: "line" }, verdict, make("span", { class: "score" }, short(image.score))),
    make("div", { class: "line" }, make("span", { class: "label" }, image.label ?? "no label"),
      make("span", { class: "id" }, `id ${image.id}`)),
    make("div", { class: "line" },
      make("span", { class: "name", title: `${name}, row ${image.row} of the test split` }, name), larger));
  return {
    element,
    update() {
      const kind = kindOf(image, state.threshold);
      element.dataset.kind = kind;
      verdict.replaceChildren(make("span", { class: "mark", "aria-hidden": "true" }, KINDS[kind].mark), KINDS[kind].name);
      drawGrid(canvas, image.row, state);
    },
  };
}

/** Returns the function that brings the shown page up to date with the state. */
function gallery(state) {
  let shown = new Map();
  const list = byId("cards");
  const update = () => {
    const chosen = chosenImages(state);
    const pages = Math.max(1, Math.ceil(chosen.length / state.perPage));
    state.page = Math.max(0, Math.min(pages - 1, state.page));
    const page = chosen.slice(state.page * state.perPage, (state.page + 1) * state.perPage);
    const kept = new Map(page.map((image) => [image.row, shown.get(image.row) ?? card(image, state)]));
    if (page.map((image) => image.row).join() !== [...shown.keys()].join()) {
      list.replaceChildren(...[...kept.values()].map(({ element }) => element));
    }
    shown = kept;
    for (const { update: refresh } of shown.values()) refresh();
    byId("empty").hidden = chosen.length > 0;
    byId("page").textContent = `Page ${state.page + 1} of ${pages}, ${chosen.length} image${chosen.length === 1 ? "" : "s"}`;
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = state.page === pages - 1;
  };
  new ResizeObserver(() => shown.forEach(({ update: refresh }) => refresh())).observe(list);
  return update;
}
