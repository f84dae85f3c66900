// The worklist: every study with where it stands, live.

import { addresses, changed, ORTHANC, plugin, Refused, send } from "./archive.js";
import { badge } from "./badge.js";
import { byId, element, fill } from "./dom.js";
import { age, day, trouble } from "./words.js";

const POLL_MS = 2000;
const TOP_FINDINGS = 3;
const FILTERS = ["all", "running", "done", "no_result", "failed"];
const FILTER_WORDS = { all: "All", running: "In work", done: "Done", no_result: "No result", failed: "Failed" };
const IN_WORK = new Set(["waiting", "running", "retrying"]);

const shown = { etag: "", list: null, filter: "all", words: "", asked: new Set() };

async function look() {
  try {
    const news = await changed("worklist", shown.etag);
    if (news) {
      Object.assign(shown, { etag: news.etag, list: news.value });
      shown.asked.clear();
    }
    await complain(null);
    draw();
  } catch (error) {
    shown.etag = "";
    await complain(error instanceof Refused ? error.code : "ORTHANC_DOWN");
  }
}

/** The banner above the list: what is down and what that means. */
async function complain(code) {
  const box = byId("trouble");
  if (code === null && shown.list?.analysis_works === false) {
    return fill(box, banner("The analysis service does not answer", "Studies wait in Orthanc and are analysed as soon as it does."));
  }
  if (code === null) return fill(box);
  const [title, advice] = trouble(code);
  let reason = "";
  if (code === "FORWARDER_DOWN") {
    try {
      reason = (await plugin()).error;
    } catch {
      // the banner says enough
    }
  }
  fill(box, banner(title, [advice, reason].filter(Boolean).join(" ")));
  byId("count").textContent = shown.list ? "Last known state" : "";
}

const banner = (title, advice) => element("div", { className: "banner" }, element("strong", {}, title), element("span", {}, advice));

function draw() {
  if (!shown.list) return;
  const { studies, total } = shown.list;
  const found = studies.filter(matches);
  byId("count").textContent = total === 1 ? "1 study" : `${total} studies`;
  for (const button of byId("states").children) {
    const number = studies.filter((each) => inFilter(each, button.dataset.filter)).length;
    fill(button, `${FILTER_WORDS[button.dataset.filter]} ${number}`);
    button.setAttribute("aria-pressed", button.dataset.filter === shown.filter);
  }
  const focused = document.activeElement?.dataset?.key;
  fill(byId("studies"), ...found.map(row));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  document.querySelector("table").hidden = found.length === 0;
  byId("empty").hidden = found.length > 0;
  if (found.length === 0) fill(byId("empty"), ...nothing(total));
}

function nothing(total) {
  if (total > 0) return [element("h2", {}, "No study matches"), element("p", {}, "Choose another state or change the words.")];
  return [
    element("h2", {}, "No studies yet"),
    element("p", {}, "Send a knee MR study to this Orthanc. It appears here by itself and is analysed as soon as it is complete."),
  ];
}

const inFilter = (study, filter) =>
  filter === "all" || study.status.state === filter || (filter === "running" && IN_WORK.has(study.status.state));

function matches(study) {
  const text = [study.description, study.date, day(study.date), study.status.code, ...positive(study).map((each) => each.label)];
  return inFilter(study, shown.filter) && text.join(" ").toLowerCase().includes(shown.words);
}

const positive = (study) => study.findings.filter((each) => each.positive);

function row(study) {
  const { state } = study.status;
  const open = element("a", { href: addresses.study(study.id), "data-key": `open-${study.id}` }, study.description || "Study without description");
  return element(
    "tr", { "data-study": study.id, "data-state": state },
    element("td", {}, badge(study.status)),
    element("td", {}, open, element("div", { className: "quiet" }, day(study.date) || "no date")),
    element("td", {}, findings(study)),
    element("td", {}, study.priority),
    element("td", { title: new Date(1000 * study.seen_at).toLocaleString() }, age(Date.now() / 1000 - study.seen_at)),
    element("td", {}, actions(study)),
  );
}

function findings(study) {
  const { status } = study;
  if (status.state !== "done") return element("span", { className: "quiet" }, status.advice || "");
  const top = positive(study);
  if (!study.findings.length) return element("span", { className: "quiet" }, "see the result");
  if (!top.length) return element("span", {}, "Nothing above threshold");
  const more = top.length - TOP_FINDINGS;
  return element(
    "ul", { className: "chips" },
    ...top.slice(0, TOP_FINDINGS).map((each) => element("li", {}, `${each.label} ${Math.round(100 * each.probability)} %`)),
    more > 0 ? element("li", { className: "quiet" }, `and ${more} more`) : null,
  );
}

function actions(study) {
  const explorer = element("a", { href: addresses.explorer(study.id) }, "Explorer");
  if (!["no_result", "failed"].includes(study.status.state)) return explorer;
  const asked = shown.asked.has(study.id);
  const retry = element("button", {
    type: "button", disabled: asked, "data-key": `retry-${study.id}`, onclick: () => again(study.id),
  }, asked ? "Asked" : "Retry");
  return element("div", { className: "actions" }, retry, explorer);
}

async function again(id) {
  shown.asked.add(id);
  draw();
  try {
    await send(`studies/${id}/retry`);
  } catch (error) {
    shown.asked.delete(id);
    await complain(error.code ?? "ORTHANC_DOWN");
  }
}

function start() {
  fill(byId("states"), ...FILTERS.map((filter) => element("button", {
    type: "button", "data-filter": filter, "aria-pressed": filter === "all",
    onclick: () => { shown.filter = filter; draw(); },
  }, FILTER_WORDS[filter])));
  byId("words").addEventListener("input", (event) => { shown.words = event.target.value.trim().toLowerCase(); draw(); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  fill(byId("links"), element("a", { href: addresses.feedback() }, "Feedback (CSV)"), element("a", { href: new URL("app/explorer.html", ORTHANC).href }, "Orthanc Explorer"));
  const round = async () => {
    if (!document.hidden) await look();
    setTimeout(round, POLL_MS);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  round();
}

start();
