// One image as large as the window allows, in the photo's own proportions where they are known.

/** Show an image and its grid in a dialog, which Escape, its button or a click beside it closes. */
function enlarge(image, state) {
  const dialog = byId("enlarged");
  const { frame, canvas, name } = framed(image, state);
  const proportions = pictures.proportions[image.row] ?? width / height;
  frame.style.aspectRatio = String(proportions);
  frame.style.width = `min(92vw, ${(78 * proportions).toFixed(2)}vh)`;
  frame.querySelector("svg")?.setAttribute("preserveAspectRatio", "none");
  byId("enlarged-name").textContent = `${name}: ${KINDS[kindOf(image, state.threshold)].name}, score ${short(image.score)}`;
  byId("enlarged-frame").replaceChildren(frame);
  dialog.showModal();
  drawGrid(canvas, image.row, state);
}

byId("enlarged").addEventListener("click", (event) => {
  if (event.target === byId("enlarged")) byId("enlarged").close();
});
byId("enlarged-close").addEventListener("click", () => byId("enlarged").close());
byId("enlarged").addEventListener("close", () => {
  tooltip.hidden = true;
  document.body.append(tooltip);
});
