// What the page was given, and the figures that follow from a threshold.
"use strict";

const byId = (id) => document.getElementById(id);
let announcing = 0;

/** Tell a screen reader this, after so many milliseconds; what was still to be told is dropped for it. */
function announce(text, delay = 0) {
  clearTimeout(announcing);
  const tell = () => (byId("announcement").textContent = text);
  if (delay) announcing = setTimeout(tell, delay);
  else tell();
}

/** Read and drop an embedded script element, so that its text does not stay in memory. */
function take(id) {
  const element = byId(id);
  const text = element.textContent;
  element.remove();
  return text;
}

function floats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

const results = JSON.parse(take("results"));
const pictures = JSON.parse(take("pictures"));
const grids = floats(take("grids"));
const images = results.images;
const { rows, columns, cells: geometry } = results.model.grid;
const { height, width } = results.model.photo ?? results.model.input;

/** Where a cell is drawn, in shares of the picture: half way to its neighbours, and within the picture. */
function tileOf(r, c) {
  const along = ({ origin, stride }, index, size) =>
    [index - 0.5, index + 0.5].map((at) => Math.max(0, Math.min(1, (origin + at * stride) / size)));
  const [[top, bottom], [left, right]] = [along(geometry.vertical, r, height), along(geometry.horizontal, c, width)];
  return { left, top, right, bottom };
}

/** The cell nearest to a point of the picture, both in shares of it. */
function nearestCell(x, y) {
  const nearest = ({ count, origin, stride }, at) => Math.max(0, Math.min(count - 1, Math.round((at - origin) / stride)));
  return nearest(geometry.vertical, y * height) * columns + nearest(geometry.horizontal, x * width);
}

/** Whether a cell does not count. */
const isIgnored = (index) => results.model.grid.ignored?.[Math.floor(index / columns)]?.[index % columns] === "#";

const cellsOf = (row) => grids.subarray(row * rows * columns, (row + 1) * rows * columns);

/** hit, miss, alarm or pass; flagged or unflagged where there is no label. */
function kindOf(image, threshold) {
  const flagged = image.score >= threshold;
  if (image.anomalous === null) return flagged ? "flagged" : "unflagged";
  if (image.anomalous) return flagged ? "hit" : "miss";
  return flagged ? "alarm" : "pass";
}

const KINDS = {
  hit: { mark: "✓", name: "found", wrong: false },
  pass: { mark: "✓", name: "passed", wrong: false },
  miss: { mark: "✕", name: "miss", wrong: true },
  alarm: { mark: "!", name: "false alarm", wrong: true },
  flagged: { mark: "•", name: "called anomaly", wrong: false },
  unflagged: { mark: "•", name: "called normal", wrong: false },
};

function countKinds(threshold) {
  const counts = { hit: 0, miss: 0, alarm: 0, pass: 0, flagged: 0, unflagged: 0 };
  for (const image of images) counts[kindOf(image, threshold)]++;
  return counts;
}

/** Precision, recall, F1 and false positive rate of counts; null where a figure has no meaning. */
function figuresOf({ hit, miss, alarm, pass }) {
  const ratio = (part, whole) => (whole ? part / whole : null);
  return {
    precision: ratio(hit, hit + alarm),
    recall: ratio(hit, hit + miss),
    f1: hit + miss ? ratio(2 * hit, 2 * hit + alarm + miss) : null,
    falsePositiveRate: ratio(alarm, alarm + pass),
  };
}

const short = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(4))));
const round = (value) => Number(value.toPrecision(2));
const share = (value) => (value === null ? "–" : value.toFixed(3));
const percent = (value) => `${short(100 * value)} %`;

/** Make an element: attributes by name, text as text, never as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
