// The charts, as SVG drawn in units of pixels of a fixed width that the page stretches.

const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, parent, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function chart(id, chartWidth, chartHeight, label) {
  const svg = draw("svg", { viewBox: `0 0 ${chartWidth} ${chartHeight}`, role: "img", "aria-label": label });
  byId(id).append(svg);
  return svg;
}

/** Round steps for an axis from 0 to `end`, about `count` of them. */
function ticks(end, count) {
  const rough = end / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => index * step);
}

/** How scores from 0 to `end` lie on an axis from 0 to 1, and back. */
const AXES = {
  linear: (end) => ({ to: (score) => score / end, from: (at) => at * end }),
  root: (end) => ({ to: (score) => Math.sqrt(score / end), from: (at) => at * at * end }),
  log: (end) => {
    const near = end / 1000;
    const whole = Math.log1p(end / near);
    return { to: (score) => Math.log1p(score / near) / whole, from: (at) => near * Math.expm1(at * whole) };
  },
};

/** The first axis on which the median score does not lie at the very left. */
function fittingAxis(end) {
  const scores = images.map(({ score }) => score).sort((a, b) => a - b);
  const median = scores[Math.floor(scores.length / 2)];
  return ["linear", "root", "log"].find((name) => AXES[name](end).to(median) >= 0.12) ?? "log";
}

/** Round scores from 0 to the axis' end, with at least the share `apart` of its length between two. */
function axisTicks(axis, end, apart) {
  const kept = [0];
  for (let power = 10 ** Math.floor(Math.log10(end) - 4); power <= end; power *= 10) {
    for (const tick of [power, 2 * power, 5 * power]) {
      if (tick <= end && axis.to(tick) - axis.to(kept.at(-1)) >= apart) kept.push(tick);
    }
  }
  return kept;
}

/** The histogram, drawn again where its width or its axis changes. Returns the function that moves its threshold. */
function histogram(end, choose, axisChoice) {
  const place = byId("histogram");
  let move = () => {};
  let threshold = 0;
  function redraw() {
    const width = place.clientWidth;
    place.replaceChildren();
    move = drawHistogram(width, end, AXES[axisChoice.value](end), axisChoice.value === "linear", choose);
    move(threshold);
  }
  new ResizeObserver(() => {
    if (place.clientWidth >= 100 && place.clientWidth !== place.firstChild?.clientWidth) redraw();
  }).observe(place);
  axisChoice.value = fittingAxis(end);
  axisChoice.addEventListener("input", redraw);
  return (value) => {
    threshold = value;
    move(threshold);
  };
}

/** Mirrored histograms: anomalies up, normal images down, each as a share of its class. */
function drawHistogram(w, end, axis, even, choose) {
  const [h, left, right, middle, half] = [268, 4, 10, 120, 104];
  const bins = Math.round(w / 11);
  const svg = chart("histogram", w, h, "Histogram of the image scores of both classes, with the threshold");
  const x = (score) => left + axis.to(Math.min(score, end)) * (w - left - right);
  const groups = [
    { name: "anomaly", kind: true, sign: -1 },
    { name: "normal", kind: false, sign: 1 },
    { name: "no label", kind: null, sign: 1 },
  ].map((group) => ({ ...group, scores: images.filter((i) => i.anomalous === group.kind).map((i) => i.score) }))
    .filter((group) => group.scores.length && (group.kind !== null || images.every((i) => i.anomalous === null)));

  for (const tick of even ? ticks(end, w / 80) : axisTicks(axis, end, 50 / w)) {
    draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: middle - half, y2: middle + half }, svg);
    draw("text", { class: "tick", x: x(tick), y: h - 24, "text-anchor": tick ? "middle" : "start" }, svg, short(tick));
  }
  const counts = groups.map(({ scores }) => {
    const count = new Array(bins).fill(0);
    for (const score of scores) count[Math.min(bins - 1, Math.floor(axis.to(Math.min(score, end)) * bins))]++;
    return count;
  });
  const highest = Math.max(...counts.map((count, g) => Math.max(...count) / groups[g].scores.length));
  groups.forEach((group, g) => {
    const layer = draw("g", { class: `series series-${group.name.replace(" ", "-")}` }, svg);
    counts[g].forEach((count, bin) => {
      if (!count) return;
      const size = Math.max(1.5, (count / group.scores.length / highest) * half);
      const [low, high] = [axis.from(bin / bins), axis.from((bin + 1) / bins)];
      const from = x(low);
      const bar = draw("rect", {
        x: from + 0.5, width: x(high) - from - 1,
        y: group.sign < 0 ? middle - size : middle, height: size,
      }, layer);
      draw("title", {}, bar, `${count} × ${group.name}, score ${short(low)} to ${short(high)}`);
    });
    draw("text", { class: "series-name", x: w - right, y: group.sign < 0 ? 22 : middle + half - 4, "text-anchor": "end" },
      layer, `${group.name} (${group.scores.length})`);
  });
  draw("line", { class: "axis", x1: left, x2: w - right, y1: middle, y2: middle }, svg);
  draw("text", { class: "tick", x: w / 2, y: h - 4, "text-anchor": "middle" }, svg, "score");

  const line = draw("g", { class: "threshold" }, svg);
  draw("line", { x1: 0, x2: 0, y1: middle - half - 6, y2: middle + half + 6 }, line);
  draw("circle", { cx: 0, cy: middle - half - 6, r: 4 }, line);
  const toScore = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * w;
    return axis.from(Math.max(0, Math.min(1, (at - left) / (w - left - right))));
  };
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    choose(toScore(event));
  });
  svg.addEventListener("pointermove", (event) => {
    if (svg.hasPointerCapture(event.pointerId)) choose(toScore(event));
  });
  return (threshold) => line.setAttribute("transform", `translate(${x(threshold)} 0)`);
}

/** A curve in the unit square with a marker; returns the function that moves the marker (null hides it). */
function curve(id, label, xName, yName, points, diagonal) {
  const [w, h, left, top, size] = [300, 262, 38, 8, 216];
  const svg = chart(id, w, h, label);
  const x = (value) => left + value * (w - left - 12);
  const y = (value) => top + (1 - value) * size;
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: y(0), y2: y(1) }, svg);
    draw("line", { class: "grid", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }, svg);
    draw("text", { class: "tick", x: x(tick), y: y(0) + 14, "text-anchor": "middle" }, svg, tick);
    draw("text", { class: "tick", x: left - 6, y: y(tick) + 3.5, "text-anchor": "end" }, svg, tick);
  }
  draw("text", { class: "tick", x: x(0.5), y: h - 5, "text-anchor": "middle" }, svg, xName);
  draw("text", { class: "tick", transform: `translate(10 ${y(0.5)}) rotate(-90)`, "text-anchor": "middle" }, svg, yName);
  if (diagonal) draw("line", { class: "chance", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }, svg);
  draw("path", { class: "curve", d: points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(2)} ${y(b).toFixed(2)}`).join("") }, svg);
  const marker = draw("circle", { class: "marker", r: 5 }, svg);
  return (point) => {
    marker.setAttribute("visibility", point ? "visible" : "hidden");
    if (point) {
      marker.setAttribute("cx", x(point[0]));
      marker.setAttribute("cy", y(point[1]));
    }
  };
}

/** Both curves, or the reason why there is none. Returns the function that shows a threshold's figures. */
function curves() {
  const { curves: known, undefined: reasons } = results;
  let moveRoc = () => {};
  let movePr = () => {};
  if (results.auroc !== null) {
    const points = known.false_positive_rate.map((rate, i) => [rate, known.recall[i]]);
    moveRoc = curve("roc", "ROC curve with the current threshold marked", "false positive rate", "recall", [[0, 0], ...points], true);
    byId("roc-area").textContent = `AUROC ${share(results.auroc)}`;
  } else {
    byId("roc").append(make("p", { class: "reason" }, `No curve: ${reasons.auroc}.`));
  }
  if (results.average_precision !== null) {
    const points = known.recall.map((recall, i) => [recall, known.precision[i]]);
    movePr = curve("pr", "Precision over recall with the current threshold marked", "recall", "precision", points, false);
    byId("pr-area").textContent = `AP ${share(results.average_precision)}`;
  } else {
    byId("pr").append(make("p", { class: "reason" }, `No curve: ${reasons.average_precision}.`));
  }
  return ({ precision, recall, falsePositiveRate }) => {
    moveRoc(recall === null || falsePositiveRate === null ? null : [falsePositiveRate, recall]);
    movePr(recall === null || precision === null ? null : [recall, precision]);
    if (results.auroc !== null) {
      byId("roc-hint").textContent = `Now: recall ${share(recall)} at a false positive rate of ${share(falsePositiveRate)}.`;
    }
    if (results.average_precision !== null) {
      byId("pr-hint").textContent = precision === null ? "Now: nothing is called anomalous." : `Now: precision ${share(precision)} at a recall of ${share(recall)}.`;
    }
  };
}
