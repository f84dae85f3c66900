// The words of both pages, in one place.

export const STATES = {
  waiting: "Waiting",
  running: "Running",
  retrying: "Will be tried again",
  done: "Done",
  no_result: "No result",
  failed: "Failed",
};

export const STAGES = ["send", "receive", "select", "assemble", "transform", "infer", "write", "store"];
export const STAGE_WORDS = {
  send: "sending images",
  receive: "receiving images",
  select: "choosing series",
  assemble: "building volumes",
  transform: "preparing volumes",
  infer: "running models",
  write: "writing results",
  store: "storing results",
};

export const TROUBLE = {
  FORWARDER_DOWN: ["The forwarder does not answer", "It starts again by itself within half a minute. New studies wait and none is lost."],
  PAGES_BUSY: ["Too many pages are asking at once", "This one tries again in a moment."],
  UNAVAILABLE: ["Orthanc does not answer in time", "The archive may be busy. This page tries again."],
  ORTHANC_DOWN: ["Orthanc can't be reached", "Check the network, or ask whoever runs the archive. This page tries again."],
  NOT_FOUND: ["There is no such study", "It may have been deleted from the archive."],
  HTTP_404: ["There is no such study", "It may have been deleted from the archive."],
};

/** Title and advice for a code, also one that is not known. */
export function trouble(code) {
  return TROUBLE[code] ?? ["Something went wrong", `The code is ${code}.`];
}

const CATEGORY_ODDS = 2;
const odds = (p) => Math.min(Math.max(p, 1e-6), 1 - 1e-6) / (1 - Math.min(Math.max(p, 1e-6), 1 - 1e-6));

/** How far a finding is beyond its threshold, as a ratio of odds: comparable between findings. */
export const concern = (finding) => odds(finding.probability) / odds(finding.threshold);

/** likely, equivocal or unlikely: the report's own word, else by the rule that the report uses. */
export function category(finding) {
  if (finding.category) return finding.category;
  const ratio = concern(finding);
  if (ratio > 1 / CATEGORY_ODDS && ratio < CATEGORY_ODDS) return "equivocal";
  return ratio >= 1 ? "likely" : "unlikely";
}

/** One sentence a person can repeat. */
export function sentence(finding) {
  const percent = Math.round(100 * finding.probability);
  const limit = Math.round(100 * finding.threshold);
  const place = { likely: "above", unlikely: "below" }[category(finding)] ?? "close to";
  return `${percent} %, ${place} the threshold of ${limit} %`;
}

/** YYYYMMDD as YYYY-MM-DD; anything else as it is. */
export const day = (text) => (/^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text);

/** A span of seconds in the largest unit that fits. */
export function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}
