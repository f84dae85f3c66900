// The left column: conclusion, findings, measurements, what was unsure, and who made it.

import { addresses, send } from "./archive.js";
import { element, fill } from "./dom.js";
import { category, concern, sentence } from "./words.js";

const SHORT_DIGEST = 12;

/** All parts of the report in the order in which they are read. */
export function report(view, studyId, select) {
  const ordered = [...view.findings].sort((a, b) => concern(b) - concern(a));
  return [
    ordered.length ? element("h2", {}, "Findings, the most concerning first") : null,
    element("ol", { className: "findings" }, ...ordered.map((each) => finding(each, view, studyId, select))),
    ...conclusion(view.conclusion),
    ...measurements(view.measurements, select),
    ...notes(view.notes),
    ...origin(view),
  ];
}

/** The words for dictation, with a way to take them along. */
function conclusion(text) {
  if (!text) return [];
  const done = element("span", { className: "quiet", role: "status" });
  const copy = element("button", {
    type: "button", onclick: () => navigator.clipboard.writeText(text).then(() => fill(done, "Copied."), () => fill(done, "The browser does not allow it.")),
  }, "Copy");
  return [element("h2", {}, "Conclusion"), element("p", { className: "conclusion" }, text), element("p", { className: "copy" }, copy, done)];
}

function finding(each, view, studyId, select) {
  const word = category(each);
  const percent = (value) => Math.round(100 * value);
  const bar = element("span", { className: "bar", "aria-hidden": "true" }, ...barParts(each));
  const button = element(
    "button", {
      type: "button", className: "pick", "aria-pressed": "false", "data-label": each.label,
      onclick: () => select({ label: each.label, map: each.map, place: each.places[0], places: each.places }),
    },
    element("span", { className: "name" }, each.meaning),
    element("span", { className: `word ${word}` }, word),
    element("span", { className: "percent" }, `${percent(each.probability)} %`),
    bar,
    element("span", { className: "plain" }, sentence(each), element("span", { className: "where" }, where(each))),
  );
  return element("li", { className: word, "data-finding": each.label }, button, opinions(each, view, studyId));
}

/** Probability as a bar, the threshold as a mark on it. Widths go in as properties: the policy allows no inline style. */
function barParts(each) {
  const fillPart = element("span", { className: each.positive ? "fill above" : "fill" });
  fillPart.style.width = `${100 * each.probability}%`;
  const mark = element("span", { className: "mark", title: "threshold" });
  mark.style.left = `${100 * each.threshold}%`;
  return [fillPart, mark];
}

function where(each) {
  const [place] = each.places;
  if (!place) return "";
  return ` · ${place.plane} slice ${place.slice + 1}${each.map ? "" : " · no heat map"}`;
}

function opinions(each, view, studyId) {
  const said = element("ul", { className: "said", "aria-label": "Opinions" });
  const comment = element("input", { type: "text", maxLength: 2000, "aria-label": `Comment on ${each.meaning}`, placeholder: "Comment, without names" });
  const trouble = element("span", { className: "quiet", role: "status" });
  const show = (all) => fill(said, ...latest(all.filter((one) => one.label === each.label)).map((one) => element(
    "li", {}, `${one.observer}: ${one.verdict === "comment" ? "" : one.verdict} ${one.comment}`.trim(), element("time", { dateTime: one.said_at }, ` ${one.said_at.slice(0, 10)}`),
  )));
  const say = async (verdict) => {
    try {
      show(await send(`studies/${studyId}/feedback`, { label: each.label, verdict, comment: comment.value }));
      comment.value = "";
      fill(trouble, "Kept.");
    } catch {
      fill(trouble, verdict === "comment" ? "Not kept: write a comment first, or try again." : "Not kept. Try again.");
    }
  };
  const press = (verdict, words) => element("button", { type: "button", "data-verdict": verdict, onclick: () => say(verdict) }, words);
  show(view.feedback);
  return element(
    "div", { className: "opinion" },
    press("agree", "Agree"), press("disagree", "Disagree"), trouble, comment, press("comment", "Comment"), said,
  );
}

/** The newest verdict of each person, and all comments. */
function latest(all) {
  const verdicts = new Map();
  for (const one of all) if (one.verdict !== "comment") verdicts.set(one.observer, one);
  return all.filter((one) => one.verdict === "comment" || one.comment || verdicts.get(one.observer) === one);
}

function measurements(all, select) {
  if (!all.length) return [];
  const rows = all.map((each) => {
    const outside = (each.low !== null && each.value < each.low) || (each.high !== null && each.value > each.high);
    const name = each.places?.[0]
      ? element("button", { type: "button", className: "link", onclick: () => select({ place: each.places[0], places: each.places }) }, each.structure)
      : each.structure;
    return element(
      "tr", { className: outside ? "outside" : "" },
      element("th", { scope: "row" }, name, element("div", { className: "quiet" }, each.name)),
      element("td", {}, `${number(each.value)} ${unit(each.unit)}`, each.uncertainty === null ? null : element("span", { className: "quiet" }, ` ± ${number(each.uncertainty)}`)),
      element("td", {}, range(each), outside ? element("div", { className: "flag" }, "outside range") : null),
    );
  });
  const sources = [...new Set(all.map((each) => each.source).filter(Boolean))];
  return [
    element("h2", {}, "Measurements"),
    element("table", { className: "measurements" },
      element("thead", {}, element("tr", {}, ...["Structure", "Value", "Reference"].map((each) => element("th", { scope: "col" }, each)))),
      element("tbody", {}, ...rows)),
    sources.length ? element("details", { open: false }, element("summary", {}, "Sources of the reference ranges"), element("ul", {}, ...sources.map((each) => element("li", {}, each)))) : null,
  ];
}

const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1));
const UNITS = { cm3: "ml", "mm3": "mm³", mm: "mm", ml: "ml" };
const unit = (code) => UNITS[code] ?? code;

function range(each) {
  if (each.high === null && each.low === null) return "no range known";
  const text = each.low === null ? `up to ${number(each.high)}` : each.high === null ? `from ${number(each.low)}` : `${number(each.low)} to ${number(each.high)}`;
  return element("span", { title: [each.range_text, each.source].filter(Boolean).join(". ") }, `${text} ${unit(each.unit)}`);
}

function notes(all) {
  if (!all.length) return [];
  const isRead = (each) => each.startsWith("read:") || /: read as \w+$/.test(each);
  const unsure = all.filter((each) => !isRead(each));
  const read = all.filter(isRead);
  return [
    element("h2", {}, "Missing or unsure"),
    unsure.length ? element("ul", { className: "notes" }, ...unsure.map((each) => element("li", {}, each))) : element("p", { className: "quiet" }, "Nothing was missing."),
    read.length ? element("details", {}, element("summary", {}, "What was read"), element("ul", {}, ...read.map((each) => element("li", {}, each)))) : null,
  ];
}

function origin(view) {
  if (!view.made_by.length && !view.objects.length) return [];
  return [
    element("h2", {}, "Made by"),
    element("p", {}, `Articula ${view.software}`),
    element("ul", { className: "origin" }, ...view.made_by.map((each) => element("li", { title: each }, shortened(each)))),
    element("details", {}, element("summary", {}, `Stored objects (${view.objects.length})`), element("ul", {}, ...view.objects.map((each) => element(
      "li", {}, element("a", { href: addresses.object(each.instance), download: "" }, `${each.modality} · ${each.description}`),
    )))),
  ];
}

/** A digest is told from another by its first letters; the whole one is in the title. */
const shortened = (text) => text.replace(/[0-9a-f]{64}/g, (digest) => `${digest.slice(0, SHORT_DIGEST)}…`);
