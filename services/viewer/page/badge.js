// The state of a study as both pages show it.

import { element } from "./dom.js";
import { STAGE_WORDS, STAGES, STATES } from "./words.js";

/** State, with stage and progress, or with the code of the reason. */
export function badge(status) {
  const made = element("div", { className: "badge" }, element("span", { className: `state ${status.state}` }, STATES[status.state] ?? status.state));
  if (status.state === "running" && status.stage) {
    made.append(
      element("progress", { max: STAGES.length + 1, value: STAGES.indexOf(status.stage) + 1, "aria-label": "Progress" }),
      element("span", { className: "quiet" }, STAGE_WORDS[status.stage] ?? status.stage),
    );
  }
  if (status.code) made.append(element("span", { className: "quiet code" }, status.code));
  return made;
}
