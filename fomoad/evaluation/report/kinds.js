// How each kind of defect is found: follows the threshold, and a kind filters the images.

function kindsSection(kinds) {
  const scoresOf = (label) => images.filter((image) => image.anomalous && image.label === label).map(({ score }) => score);
  const scored = kinds.map(({ label, auroc }) => ({ label, auroc, scores: scoresOf(label) }));
  const head = ["kind", "found", "recall", "AUROC"].map((name) => make("th", { scope: "col" }, name));
  const body = make("tbody");
  byId("kinds-table").append(make("thead", {}, make("tr", {}, ...head)), body);

  function choose(label) {
    const select = byId("label");
    select.value = select.value === label ? "" : label;
    select.dispatchEvent(new Event("input", { bubbles: true }));
    show();
    byId("images").scrollIntoView({ block: "start" });
  }

  function show() {
    const lines = scored.map(({ label, auroc, scores }) => {
      const found = scores.filter((score) => score >= state.threshold).length;
      return { label, auroc, found, all: scores.length, recall: found / scores.length };
    }).sort((a, b) => a.recall - b.recall || a.auroc - b.auroc);
    const focused = document.activeElement?.dataset?.defect;
    body.replaceChildren(...lines.map(({ label, auroc, found, all, recall }) => {
      const button = make("button", { type: "button", "data-defect": label, "aria-pressed": byId("label").value === label }, label);
      button.addEventListener("click", () => choose(label));
      const cells = [`${found} of ${all}`, share(recall), share(auroc)].map((text) => make("td", {}, text));
      return make("tr", {}, make("th", { scope: "row" }, button), ...cells);
    }));
    if (focused !== undefined) [...body.querySelectorAll("button")].find((button) => button.dataset.defect === focused)?.focus();
  }

  new MutationObserver(show).observe(byId("live-wrong"), { childList: true, characterData: true, subtree: true });
  byId("label").addEventListener("input", show);
  show();
}

if (byId("kinds")) kindsSection(results.kinds);
