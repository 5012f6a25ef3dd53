// A grid of scores over a picture: drawn on a canvas, read by pointer, touch or arrow keys.

const tooltip = byId("tooltip");

function colourOf(score, threshold) {
  const levels = pictures.palette.length;
  const level = threshold > 0 ? Math.floor((score / (pictures.fullAt * threshold)) * levels) : levels;
  const [red, green, blue, alpha] = pictures.palette[Math.max(0, Math.min(levels - 1, level))];
  return [red, green, blue, score < threshold ? Math.round(alpha * pictures.passedOpacity) : alpha];
}

/** Draw one image's cells. The canvas covers the picture; its edges between cells fall on whole pixels. */
function drawGrid(canvas, row, { threshold, overlay, opacity }) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, w, h);
  if (!overlay) return;
  const cells = cellsOf(row);
  const line = scale * Math.max(1, Math.min(2, canvas.clientWidth / columns / 9));
  const flagged = [];
  for (let index = 0; index < cells.length; index++) {
    const [r, c] = [Math.floor(index / columns), index % columns];
    const tile = tileOf(r, c);
    const box = [Math.round(tile.left * w), Math.round(tile.top * h)];
    box.push(Math.round(tile.right * w) - box[0], Math.round(tile.bottom * h) - box[1]);
    if (isIgnored(index)) {
      hatch(context, box, scale);
      continue;
    }
    const [red, green, blue, alpha] = colourOf(cells[index], threshold);
    context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${Math.min(1, (alpha / 255) * opacity)})`;
    context.fillRect(...box);
    if (cells[index] >= threshold) flagged.push(box);
  }
  for (const [x, y, bw, bh] of flagged) {
    context.lineWidth = line + scale;
    context.strokeStyle = "rgba(0, 0, 0, 0.35)";
    context.strokeRect(x + line / 2, y + line / 2, bw - line, bh - line);
  }
  for (const [x, y, bw, bh] of flagged) {
    context.lineWidth = line;
    context.strokeStyle = "#fff";
    context.strokeRect(x + line / 2, y + line / 2, bw - line, bh - line);
  }
}

/** Dim a cell that does not count, and cross it by lines. */
function hatch(context, [x, y, w, h], scale) {
  context.save();
  context.beginPath();
  context.rect(x, y, w, h);
  context.clip();
  context.fillStyle = "rgba(0, 0, 0, 0.4)";
  context.fillRect(x, y, w, h);
  context.lineWidth = scale;
  context.strokeStyle = "rgba(255, 255, 255, 0.55)";
  context.beginPath();
  for (let at = 0; at < w + h; at += 6 * scale) {
    context.moveTo(x + at, y);
    context.lineTo(x + at - h, y + h);
  }
  context.stroke();
  context.restore();
}

/** Let a frame tell the score of the cell under the pointer, the finger or the arrow keys. */
function readable(frame, row, state) {
  let current = 0;
  const show = (index) => {
    current = index;
    const [r, c] = [Math.floor(index / columns), index % columns];
    const score = cellsOf(row)[index];
    const compared = score >= state.threshold ? "at or above the threshold" : "below the threshold";
    const side = isIgnored(index) ? "ignored" : compared;
    tooltip.replaceChildren(
      make("strong", {}, short(score)), ` ${side}`, make("br"),
      `row ${r + 1} of ${rows}, column ${c + 1} of ${columns}`,
    );
    (frame.closest("dialog") ?? document.body).append(tooltip); // a dialog lies over everything outside of it
    tooltip.hidden = false;
    const box = frame.getBoundingClientRect();
    const tile = tileOf(r, c);
    placeTooltip(box.left + ((tile.left + tile.right) / 2) * box.width, box.top + tile.top * box.height);
    moveCursor(frame, r, c);
    return `Score ${short(score)}, ${side}, row ${r + 1}, column ${c + 1}`;
  };
  const hide = () => {
    tooltip.hidden = true;
    frame.querySelector(".cursor").hidden = true;
  };
  frame.addEventListener("pointermove", (event) => show(cellAt(frame, event)));
  frame.addEventListener("pointerdown", (event) => show(cellAt(frame, event)));
  frame.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch" && document.activeElement !== frame) hide();
  });
  frame.addEventListener("blur", hide);
  frame.addEventListener("focus", () => {
    if (frame.matches(":focus-visible")) announce(show(current));
  });
  frame.addEventListener("keydown", (event) => {
    const [r, c] = [Math.floor(current / columns), current % columns];
    const next = {
      ArrowUp: [Math.max(0, r - 1), c], ArrowDown: [Math.min(rows - 1, r + 1), c],
      ArrowLeft: [r, Math.max(0, c - 1)], ArrowRight: [r, Math.min(columns - 1, c + 1)],
      Home: [r, 0], End: [r, columns - 1],
    }[event.key];
    if (event.key === "Escape") hide();
    if (!next) return;
    event.preventDefault();
    announce(show(next[0] * columns + next[1]));
  });
}

function cellAt(frame, event) {
  const box = frame.getBoundingClientRect();
  return nearestCell((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
}

function moveCursor(frame, r, c) {
  const cursor = frame.querySelector(".cursor");
  cursor.hidden = false;
  const { left, top, right, bottom } = tileOf(r, c);
  cursor.style.left = `${100 * left}%`;
  cursor.style.top = `${100 * top}%`;
  cursor.style.width = `${100 * (right - left)}%`;
  cursor.style.height = `${100 * (bottom - top)}%`;
}

/** Above the point, or below it where there is no room, and never outside the window. */
function placeTooltip(x, y) {
  const box = tooltip.getBoundingClientRect();
  const left = Math.max(4, Math.min(document.documentElement.clientWidth - box.width - 4, x - box.width / 2));
  const above = y - box.height - 6;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${above < 4 ? y + 34 : above}px`;
}

function drawLegend() {
  const canvas = byId("legend");
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    const [red, green, blue, alpha] = colourOf(((x + 0.5) / canvas.width) * pictures.fullAt, 1);
    context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${alpha / 255})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
  context.fillStyle = "#fff";
  context.fillRect(Math.round(canvas.width / pictures.fullAt) - 1, 0, 2, canvas.height);
}
