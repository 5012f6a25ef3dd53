// Which made defects are found: a table of kinds, the curve over size of the chosen one, and where they lie.

const KIND_NAMES = {
  all: "all kinds", cut_paste: "foreign pieces", poisson: "dents", texture: "foreign textures", scratch: "scratches",
  stain: "stains", missing: "missing pieces", blur: "blurred spots", colour: "colour changes",
};
const CONTRAST_NAMES = { strong: "strong", faint: "faint", all: "both" };
const FEWEST_SAID = 6;

function detectionSection({ smallest, largest, side, levels, curves, defects }, real) {
  const chosen = { kind: "all", contrast: "strong", size: null };
  const curveOf = (kind) => curves.find((curve) => curve.kind === kind && curve.contrast === chosen.contrast);
  const pixels = (size) => `${short(Number(size.toFixed(1)))} px`;
  const probability = ({ intercept, slope }, size) => 1 / (1 + Math.exp(-(intercept + slope * Math.log(size))));

  /** The size found nine times in ten, in words; sizes beyond those made are extrapolated, so they are not told. */
  function sizeFound(curve) {
    if (curve.made < FEWEST_SAID) return "–";
    if (curve.found === curve.made) return `≤ ${pixels(smallest)}`;
    return curve.a90 !== null && curve.a90 <= largest ? pixels(curve.a90) : `> ${pixels(largest)}`;
  }

  function sizeSure(curve) {
    if (curve.a90 === null || curve.a90 > largest) return "–";
    return curve.a90_95 !== null && curve.a90_95 <= largest ? pixels(curve.a90_95) : `> ${pixels(largest)}`;
  }

  function table() {
    const head = ["made defects", "found", "9 of 10 from", "95 % sure"].map((name) => make("th", { scope: "col" }, name));
    const lines = Object.entries(KIND_NAMES).map(([kind, name]) => {
      const curve = curveOf(kind);
      const button = make("button", { type: "button", "aria-pressed": kind === chosen.kind, "data-kind": kind }, name);
      button.addEventListener("click", () => {
        chosen.kind = kind;
        show();
        document.querySelector(`#detection-kinds [data-kind="${kind}"]`).focus();
      });
      const cells = [`${curve.found} of ${curve.made}`, sizeFound(curve), sizeSure(curve)].map((text) => make("td", {}, text));
      return make("tr", {}, make("th", { scope: "row" }, button), ...cells);
    });
    byId("detection-kinds").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines));
  }

  function plot() {
    const [w, h, left, top, right, bottom] = [420, 280, 38, 14, 420 - 12, 232];
    const longest = real ? Math.max(largest, ...real.size) : largest;
    const x = (size) => left + (Math.log(size / smallest) / Math.log(longest / smallest)) * (right - left);
    const sizeAt = (at) => smallest * (longest / smallest) ** ((at - left) / (right - left));
    const y = (value) => bottom - value * (bottom - top);
    byId("detection-curve").replaceChildren();
    const svg = chart("detection-curve", w, h, "Probability that a defect is found, over its length");
    for (const tick of [0, 0.25, 0.5, 0.75, 0.9, 1]) {
      draw("line", { class: tick === 0.9 ? "chance" : "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }, svg);
      draw("text", { class: "tick", x: left - 6, y: y(tick) + 3.5, "text-anchor": "end" }, svg, tick);
    }
    for (const tick of [1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500].filter((size) => size >= smallest && size <= longest)) {
      draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom }, svg);
      draw("text", { class: "tick", x: x(tick), y: bottom + 26, "text-anchor": "middle" }, svg, tick);
    }
    draw("text", { class: "tick", x: (left + right) / 2, y: h - 4, "text-anchor": "middle" }, svg, "length in pixels of the model's input");
    const line = (curve, name, to = largest) => {
      if (curve.intercept === null) return;
      const points = Array.from({ length: 61 }, (_, step) => smallest * (to / smallest) ** (step / 60));
      draw("path", { class: name, d: points.map((size, i) => `${i ? "L" : "M"}${x(size).toFixed(1)} ${y(probability(curve, size)).toFixed(1)}`).join("") }, svg);
    };
    for (const kind of Object.keys(KIND_NAMES)) if (kind !== chosen.kind) line(curveOf(kind), "other");
    const curve = curveOf(chosen.kind);
    const sure = curve.bound.map((size, i) => [size, levels[i]]).filter(([size]) => size !== null && size <= longest && size >= smallest);
    if (sure.length > 1) draw("path", { class: "bound", d: sure.map(([size, level], i) => `${i ? "L" : "M"}${x(size).toFixed(1)} ${y(level).toFixed(1)}`).join("") }, svg);
    if (real) line(real.curve, "real", longest);
    line(curve, "curve");
    shown().forEach((n) => {
      const [from, to] = defects.found[n] ? [top - 8, top - 2] : [bottom + 4, bottom + 10];
      const at = x(Math.min(longest, Math.max(smallest, defects.size[n])));
      draw("line", { class: defects.found[n] ? "hit" : "miss", x1: at, x2: at, y1: from, y2: to }, svg);
    });
    const here = draw("line", { class: "here", y1: top, y2: bottom, visibility: "hidden" }, svg);
    const tell = (size) => {
      chosen.size = Math.min(longest, Math.max(smallest, size));
      here.setAttribute("visibility", "visible");
      for (const end of ["x1", "x2"]) here.setAttribute(end, x(chosen.size));
      hint(curve);
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      tell(sizeAt(((event.clientX - box.left) / box.width) * w));
    });
    byId("detection-curve").onkeydown = (event) => {
      const turn = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!turn) return;
      event.preventDefault();
      tell((chosen.size ?? Math.sqrt(smallest * largest)) * (longest / smallest) ** (turn / 40));
    };
    if (chosen.size !== null) tell(chosen.size);
    else hint(curve);
  }

  function hint(curve) {
    const name = `${KIND_NAMES[chosen.kind]}, ${CONTRAST_NAMES[chosen.contrast]}`;
    const size = chosen.size ?? curve.a90 ?? largest;
    const chance = curve.intercept === null ? null : probability(curve, size);
    const text = chance === null
      ? `${name}: ${curve.found} of ${curve.made} found, no curve to fit.`
      : `${name}: of ${pixels(size)} (${percent(Number((size / side).toFixed(3)))} of the side), ${percent(Number(chance.toFixed(3)))} are found.`;
    const truth = real?.curve.intercept == null || chosen.size === null ? "" : ` Real ones: ${percent(Number(probability(real.curve, size).toFixed(3)))}.`;
    byId("detection-hint").textContent = `${text}${truth} Dashed: the bound of 95 % confidence.${real ? ` Orange: the ${real.size.length} real defects of the test images.` : ""}`;
    const place = byId("detection-curve");
    place.setAttribute("aria-valuemin", smallest);
    place.setAttribute("aria-valuemax", largest);
    place.setAttribute("aria-valuenow", size);
    place.setAttribute("aria-valuetext", text);
  }

  const shown = () => defects.kind.map((_, n) => n).filter((n) => (chosen.kind === "all" || defects.kind[n] === chosen.kind) && (chosen.contrast === "all" || defects.contrast[n] === chosen.contrast));

  function map() {
    const place = byId("detection-map");
    place.replaceChildren();
    const svg = chart("detection-map", width, height, "Where made defects were found and where they were missed");
    const good = images.findIndex(({ anomalous }) => anomalous === false);
    const background = pictures.jpegs[good < 0 ? 0 : good];
    if (background) draw("image", { href: `data:image/jpeg;base64,${background}`, width, height, preserveAspectRatio: "none", opacity: 0.75 }, svg);
    const drawn = shown();
    for (const n of drawn) {
      const spot = draw("circle", { class: `spot ${defects.found[n] ? "found" : "missed"}`, cx: defects.column[n], cy: defects.row[n], r: Math.max(1.5, defects.size[n] / 2) }, svg);
      draw("title", {}, spot, `${KIND_NAMES[defects.kind[n]]}, ${defects.contrast[n]}, ${pixels(defects.size[n])}: ${defects.found[n] ? "found" : "missed"}`);
    }
    const found = drawn.filter((n) => defects.found[n]).length;
    byId("detection-map-hint").textContent = `Where they lay, as large as they were: ${found} found (green), ${drawn.length - found} missed (red, dashed).`;
  }

  function show() {
    table();
    plot();
    map();
  }

  for (const [value, name] of Object.entries(CONTRAST_NAMES)) {
    const input = make("input", { type: "radio", name: "detection-contrast", value });
    input.checked = value === chosen.contrast;
    byId("detection-contrast").append(make("label", {}, input, make("span", {}, name)));
  }
  byId("detection-contrast").addEventListener("change", (event) => {
    chosen.contrast = event.target.value;
    show();
  });
  show();
}

if (results.detection) detectionSection(results.detection, results.real_defects);
