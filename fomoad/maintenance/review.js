"use strict";
(() => {
  const token = document.body.dataset.token;
  const element = (id) => document.getElementById(id);
  let photos = [];
  let at = 0;
  let queue = Promise.resolve();
  const moved = [];

  const show = async (counts) => {
    element("counts").textContent =
      `${counts["to-review"]} to review, ${counts.good} good, ${counts.defects} defects`;
    const photo = photos[at];
    element("figure").hidden = !photo;
    element("done").hidden = photos.length > 0;
    for (const id of ["good", "defect", "next"]) element(id).disabled = !photo;
    element("undo").disabled = moved.length === 0;
    if (!photo) return;
    element("photo").src = `/photo?token=${encodeURIComponent(token)}&name=${encodeURIComponent(photo.name)}`;
    const score = photo.score === null ? "" : `, score ${photo.score} (threshold ${photo.threshold})`;
    element("caption").textContent = `${photo.file ?? photo.name}: ${photo.verdict ?? "not scored"}${score}`;
    await element("photo").decode().catch(() => {}); // no verdict before the photo is there
  };

  const load = async () => {
    const answer = await (await fetch(`/waiting?token=${encodeURIComponent(token)}`)).json();
    photos = answer.photos;
    at = Math.min(at, Math.max(0, photos.length - 1));
    await show(answer.counts);
  };

  const move = async (name, source, target) => {
    const answer = await fetch("/move", {
      method: "POST",
      headers: { "X-Review-Token": token, "Content-Type": "application/json" },
      body: JSON.stringify({ name, source, target }),
    });
    element("message").textContent = answer.ok ? "" : await answer.text();
    return answer.ok;
  };

  const inTurn = (work) => () => {
    queue = queue.then(work).catch(() => {
      element("message").textContent = "fomoad review does not answer: is it still running?";
    });
  };

  const judge = (target) =>
    inTurn(async () => {
      const photo = photos[at];
      if (!photo) return;
      if (await move(photo.name, "to-review", target)) moved.push([photo.name, target]);
      await load();
    });

  const next = inTurn(async () => {
    at = photos.length ? (at + 1) % photos.length : 0;
    await load();
  });

  const undo = inTurn(async () => {
    const last = moved.pop();
    if (!last) return;
    await move(last[0], last[1], "to-review");
    await load();
    at = Math.max(0, photos.findIndex((photo) => photo.name === last[0]));
    await load();
  });

  const keys = { g: judge("good"), d: judge("defects"), n: next, arrowright: next, u: undo };
  element("good").addEventListener("click", keys.g);
  element("defect").addEventListener("click", keys.d);
  element("next").addEventListener("click", next);
  element("undo").addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    const key = keys[event.key.toLowerCase()];
    if (!key || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    event.preventDefault();
    key();
  });
  inTurn(load)();
})();
