// The thresholds to choose from: as buttons, in words, and as a table.

/** The thresholds to choose from: name, value (null: none can be given), and why. */
function presets() {
  const trained = results.trained_threshold;
  const given = results.threshold_source === "command line";
  const list = [];
  if (given) list.push({ name: "Given", value: results.threshold, why: "the threshold given on the command line" });
  if (trained) list.push({ name: "Suggested", value: trained.suggested, why: suggestionOf(trained) });
  if (trained && trained.recommended !== null) {
    list.push({ name: "Recommended", value: trained.recommended, why: recommendationOf(trained) });
  }
  if (results.best_f1) list.push({ name: "Best F1 in hindsight", value: results.best_f1.threshold, why: hindsightOf(results.best_f1) });
  for (const choice of trained?.choices ?? []) {
    const { rule, false_positive_rate: rate, threshold: value, samples_needed: needed } = choice;
    if (rule === "max") continue;
    const why = value === null ? `needs at least ${needed} training samples` : promiseOf(choice);
    list.push({ name: `≤ ${percent(rate)} false alarms`, value, why });
  }
  return list;
}

/** What a threshold is expected to do to images of new good parts, and to made defects where they are known. */
function promiseOf({ expected_false_alarms: expected, false_alarms_interval: interval, made_defects_found: found }) {
  const range = interval ? ` (95 % of such trainings: ${percent(round(interval.low))} to ${percent(round(interval.high))})` : "";
  const defects = found === null ? "" : `; it finds ${percent(round(found))} of the made defects`;
  return `expected to flag ${percent(round(expected))} of new good images${range}${defects}`;
}

function recommendationOf({ recommended, choices }) {
  const choice = choices.find(({ threshold }) => threshold === recommended);
  return choice ? `Recommended value is ${short(recommended)}, ${promiseOf(choice)}.` : "";
}

function hindsightOf({ f1, cross_validated: honest, cross_validated_interval: interval }) {
  const now = `F1 ${share(f1)} on these very images, which is hindsight`;
  if (honest === null) return now;
  const range = interval ? ` (${share(interval.low)} to ${share(interval.high)})` : "";
  return `${now}: chosen so on some of them, thresholds reach ${share(honest)}${range} on the others`;
}

function suggestionOf({ suggested, method, choices, calibration }) {
  if (method === "max") return `Suggested value is ${short(suggested)}, based on the top anomaly scores in the training dataset.`;
  if (method === "calibrated") {
    const { objective, good, defects, cross_validated: honest } = calibration;
    return `Suggested value is ${short(suggested)}, calibrated for ${objective} on ${good} good images and ${defects} with defects; `
      + `by cross-validation it finds ${percent(round(honest.recall))} of new defects and flags ${percent(round(honest.false_positive_rate))} of new good images.`;
  }
  const rate = choices.find(({ threshold }) => threshold === suggested)?.false_positive_rate;
  const promise = rate === undefined ? "" : ` so that at most ${percent(rate)} of new normal images are flagged`;
  return `Suggested value is ${short(suggested)}, based on scores of training images the model was not fitted on${promise}.`;
}

function introduction() {
  const trained = results.trained_threshold;
  const given = results.threshold_source === "command line" ? `Testing began with ${short(results.threshold)}, given on the command line. ` : "";
  if (!trained) return `${given}The model's metadata suggest no threshold.`;
  const other = trained.recommended !== null && trained.recommended !== trained.suggested ? recommendationOf(trained) : "";
  return [given + suggestionOf(trained), other, trained.warning ?? ""].filter(Boolean).join(" ");
}

/** The training's thresholds with what each is expected to do, and what it does to these images. */
function fillThresholds() {
  const trained = results.trained_threshold;
  byId("thresholds").hidden = !trained?.choices.length;
  for (const choice of trained?.choices ?? []) {
    const { rule, false_positive_rate: rate, threshold: value, samples_needed: needed, made_defects_found: found } = choice;
    const marks = ["suggested", "recommended"].filter((name) => value !== null && trained[name] === value);
    const name = make("th", { scope: "row" }, rule === "max" ? "max" : `≤ ${percent(rate)} false alarms`, marks.length ? ` (${marks.join(", ")})` : "");
    if (value === null) {
      byId("threshold-rows").append(make("tr", {}, name, make("td", { colspan: 6 }, `needs at least ${needed} training samples`)));
      continue;
    }
    const { low, high } = choice.false_alarms_interval;
    const here = figuresOf(countKinds(value));
    const cells = [
      short(value), percent(round(choice.expected_false_alarms)), `${percent(round(low))} to ${percent(round(high))}`,
      found === null ? "not known" : percent(round(found)), share(here.falsePositiveRate), share(here.recall),
    ];
    byId("threshold-rows").append(make("tr", {}, name, ...cells.map((text) => make("td", {}, text))));
  }
}

/** Recall and false alarms at the threshold of the results, with their 95 % intervals. */
function fillIntervals() {
  const { low, high } = results.intervals.auroc ?? {};
  byId("auroc-interval").textContent = low === undefined ? "" : `AUROC ${share(low)} to ${share(high)}`;
  const parts = [["recall", "recall"], ["false_positive_rate", "false alarms"]]
    .filter(([key]) => results.intervals[key])
    .map(([key, name]) => `${name} ${share(results[key])} (${share(results.intervals[key].low)} to ${share(results.intervals[key].high)})`);
  byId("intervals").textContent = parts.length ? `At ${short(results.threshold)}: ${parts.join(", ")}; 95 % intervals.` : "";
}
