// One study's result: what was found on the left, where it is seen on the right.

import { addresses, ask, layer, plugin } from "./archive.js";
import { byId, element, fill } from "./dom.js";
import { report } from "./findings.js";
import { Viewport } from "./viewport.js";
import { badge } from "./badge.js";
import { day, STATES, trouble } from "./words.js";

const studyId = /studies\/([0-9a-f-]{44})/.exec(location.pathname)?.[1] ?? "";
const POLL_MS = 3000;
const FINAL = new Set(["done", "no_result", "failed"]);
const LARGE = "sagittal";

const page = { view: null, viewports: [], active: null, heat: new Map(), selected: null, look: { structures: 0.35, heat: 0.6, hidden: new Set() } };

async function start() {
  performance.mark("start");
  try {
    page.view = await ask(`studies/${studyId}`);
  } catch (error) {
    const [title, advice] = trouble(error.code);
    fill(byId("report"), element("div", { className: "banner", role: "alert" }, element("strong", {}, title), element("span", {}, advice)));
    setTimeout(start, POLL_MS);
    return;
  }
  heading();
  fill(byId("report"), ...noResult(), ...report(page.view, studyId, select));
  viewer();
  const first = document.querySelector("#report .pick");
  if (first) first.click();
  else page.viewports.forEach((each) => each.go(each.index));
  await Promise.allSettled(page.viewports.map((each) => each.loadLabels()));
  for (const each of page.viewports) each.series.prefetch();
  if (!FINAL.has(page.view.status?.state)) setTimeout(watch, POLL_MS);
  document.body.dataset.ready = Math.round(performance.now());
}

/** Reload once there is something new to see. */
async function watch() {
  try {
    const { status } = await ask(`studies/${studyId}`);
    if (status && FINAL.has(status.state)) location.reload();
    else if (status) fill(byId("state"), badge(status));
  } catch {
    // the next round asks again
  }
  setTimeout(watch, POLL_MS);
}

function heading() {
  const { study, status } = page.view;
  const title = [study.description || "Knee MRI", day(study.date)].filter(Boolean).join(" · ");
  fill(byId("title"), title);
  fill(byId("state"), badge(status ?? { state: "waiting" }));
  const link = (href, words) => element("a", { href }, words);
  const ohif = element("span");
  fill(
    byId("links"), ohif, link(addresses.explorer(studyId), "Orthanc Explorer"),
    element("button", { type: "button", onclick: () => print() }, "Print / PDF"),
  );
  plugin().then((it) => it.ohif && fill(ohif, link(addresses.ohif(study.uid), "Open in OHIF")), () => {});
}

/** Why there are no findings, and what can be done about it. */
function noResult() {
  const { status, findings } = page.view;
  if (findings.length) return [];
  const state = status?.state ?? "waiting";
  const words = {
    no_result: "This study has no result",
    failed: "The analysis of this study failed",
    done: "The report can't be read",
  }[state] ?? "This study has not been analysed yet";
  return [element(
    "div", { className: "banner" }, element("strong", {}, words),
    element("span", {}, status?.advice || `State: ${STATES[state] ?? state}. This page shows the result as soon as there is one.`),
    status?.code ? element("code", {}, status.code) : null,
  )];
}

function viewer() {
  const { planes } = page.view;
  byId("viewer").hidden = planes.length === 0;
  const events = { chosen: enlarge, focused: (each) => { page.active = each; }, windowed };
  page.viewports = planes.map((plane) => new Viewport(studyId, plane, page.look, events));
  fill(byId("planes"), ...page.viewports.map((each) => each.element));
  byId("planes").dataset.count = planes.length;
  const large = page.viewports.find((each) => each.plane.plane === LARGE) ?? page.viewports[0];
  if (large) enlarge(large);
  tools();
  legend();
}

function tools() {
  const slider = (label, key, value) => element("label", {}, label, element("input", {
    type: "range", min: 0, max: 100, value: 100 * value, id: `opacity-${key}`,
    oninput: (event) => { page.look[key] = event.target.value / 100; redraw(); },
  }));
  const button = (words, title, onclick) => element("button", { type: "button", title, onclick }, words);
  const window_ = (name, change) => element("label", {}, name, element("input", {
    type: "range", min: -100, max: 100, value: 0, "aria-label": name,
    oninput: (event) => { for (const each of page.viewports) if (each.window) applyWindow(each, change, event.target.value); },
  }));
  fill(
    byId("tools"),
    slider("Structures", "structures", page.look.structures), slider("Heat map", "heat", page.look.heat),
    window_("Contrast", "width"), window_("Brightness", "level"),
    button("Reset", "Reset window (R)", reset),
    element("details", { className: "keys" }, element("summary", {}, "Keys"), keys()),
  );
}

function keys() {
  const all = [
    ["wheel, ↑ ↓", "slice"], ["Page ↑ ↓", "five slices"], ["1 2 3", "plane"], ["J K", "next, previous finding"],
    ["S H", "structures, heat map on or off"], ["right drag", "contrast and brightness"], ["R", "reset window"],
  ];
  return element("dl", {}, ...all.flatMap(([key, words]) => [element("dt", {}, key), element("dd", {}, words)]));
}

/** Contrast and brightness relative to the automatic window, so that the middle of a slider is always that. */
function applyWindow(viewport, change, value) {
  viewport.base ??= { ...viewport.window };
  viewport.turn = { width: 0, level: 0, ...viewport.turn, [change]: value / 100 };
  const { low, high } = viewport.base;
  const width = (high - low) * 4 ** -viewport.turn.width;
  const level = (high + low) / 2 - viewport.turn.level * (high - low);
  viewport.window = { low: level - width / 2, high: level + width / 2 };
  viewport.draw();
}

function legend() {
  const segments = new Map(page.view.planes.flatMap((plane) => plane.segments.map((each) => [each.label, each.colour])));
  byId("structures").hidden = segments.size === 0;
  fill(byId("legend"), ...[...segments].map(([label, colour]) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = colour;
    return element("label", {}, element("input", {
      type: "checkbox", checked: true,
      onchange: (event) => { page.look.hidden[event.target.checked ? "delete" : "add"](label); redraw(); },
    }), swatch, label);
  }));
}

const redraw = () => page.viewports.forEach((each) => each.draw());

function reset() {
  for (const each of page.viewports) { each.base = null; each.turn = null; each.resetWindow(); }
  for (const slider of byId("tools").querySelectorAll('[min="-100"]')) slider.value = 0;
}

function windowed(viewport, window) {
  Object.assign(viewport, { window, base: null, turn: null });
  viewport.draw();
}

function enlarge(viewport) {
  page.active = viewport;
  for (const each of page.viewports) each.element.classList.toggle("large", each === viewport);
}

/** Show where a finding or a measurement was seen: its plane large, its slice, its heat. */
async function select(what) {
  if (what.label) {
    page.selected = what.label;
    for (const each of document.querySelectorAll(".pick")) each.setAttribute("aria-pressed", each.dataset.label === what.label);
    document.querySelector('.pick[aria-pressed="true"]')?.scrollIntoView({ block: "nearest" });
  }
  const viewport = page.viewports.find((each) => each.plane.plane === what.place?.plane);
  if (viewport) enlarge(viewport);
  for (const each of page.viewports) {
    const place = what.places?.find((one) => one.plane === each.plane.plane);
    each.go(each === viewport ? what.place.slice : place ? place.slice : each.index);
    if (what.label) each.setHeat(null);
  }
  if (!what.label || !viewport || !what.map) return;
  if (!page.heat.has(what.map)) page.heat.set(what.map, layer(studyId, what.map));
  try {
    const bytes = await page.heat.get(what.map);
    if (page.selected === what.label) viewport.setHeat(bytes);
  } catch {
    page.heat.delete(what.map);
  }
  document.body.dataset.heat = page.selected;
}

function step(by) {
  const all = [...document.querySelectorAll(".pick")];
  const at = all.findIndex((each) => each.getAttribute("aria-pressed") === "true");
  all[Math.min(Math.max(at + by, 0), all.length - 1)]?.click();
}

function toggle(key, usual) {
  const slider = byId(`opacity-${key}`);
  slider.value = Number(slider.value) > 0 ? 0 : 100 * usual;
  slider.dispatchEvent(new Event("input"));
}

const KEYS = {
  ArrowDown: () => page.active?.go(page.active.index + 1),
  ArrowUp: () => page.active?.go(page.active.index - 1),
  PageDown: () => page.active?.go(page.active.index + 5),
  PageUp: () => page.active?.go(page.active.index - 5),
  Home: () => page.active?.go(0),
  End: () => page.active?.go(page.active.plane.slices.length - 1),
  1: () => page.viewports[0] && enlarge(page.viewports[0]),
  2: () => page.viewports[1] && enlarge(page.viewports[1]),
  3: () => page.viewports[2] && enlarge(page.viewports[2]),
  j: () => step(1),
  k: () => step(-1),
  s: () => toggle("structures", 0.35),
  h: () => toggle("heat", 0.6),
  r: reset,
};

document.addEventListener("keydown", (event) => {
  const letter = event.key.length === 1;
  const writing = event.target.matches(letter ? "input[type=text]" : "input:not([type=checkbox])"); // sliders keep arrows
  const action = KEYS[letter ? event.key.toLowerCase() : event.key];
  if (writing || !action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});

start();
