// Everything the pages ask: our own answers under articula/api, images from Orthanc itself.

const API = new URL("../api/", import.meta.url);
export const ORTHANC = new URL("../../", import.meta.url);
const OWN = { "X-Articula": "page" };

/** What went wrong, with the code that WORDS explain. */
export class Refused extends Error {
  constructor(code, status) {
    super(code);
    this.code = code;
    this.status = status;
  }
}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused("ORTHANC_DOWN", 0);
  }
  if (response.ok || response.status === 304) return response;
  let code = `HTTP_${response.status}`;
  try {
    code = (await response.json()).code || code;
  } catch {
    // no JSON, so the status says it all
  }
  throw new Refused(code, response.status);
}

/** JSON of one of our routes. */
export async function ask(route) {
  return (await answered(fetch(new URL(route, API)))).json();
}

/** Send JSON to one of our routes. */
export async function send(route, body = {}) {
  const headers = { ...OWN, "Content-Type": "application/json" };
  return (await answered(fetch(new URL(route, API), { method: "POST", headers, body: JSON.stringify(body) }))).json();
}

/** JSON of a route and its name; null while it is what it was. */
export async function changed(route, etag) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const response = await answered(fetch(new URL(route, API), { headers, cache: "no-store" }));
  return response.status === 304 ? null : { value: await response.json(), etag: response.headers.get("ETag") };
}

/** A layer as bytes, (slice, row, column) of uint8. */
export async function layer(studyId, instance) {
  const response = await answered(fetch(new URL(`studies/${studyId}/layers/${instance}`, API)));
  const plain = response.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** One frame of a source image, decoded by Orthanc: {rows, columns, pixels: Uint16Array, colour: boolean}. */
export async function frame(instance, index) {
  const url = new URL(`instances/${instance}/frames/${index}/image-uint16`, ORTHANC);
  const headers = { Accept: "image/x-portable-arbitrarymap" };
  return arbitraryMap(await (await answered(fetch(url, { headers }))).arrayBuffer());
}

/** Netpbm's PAM with 16 bits a sample, the high byte first. */
export function arbitraryMap(buffer) {
  const bytes = new Uint8Array(buffer);
  const head = new TextDecoder("ascii").decode(bytes.subarray(0, 200));
  const end = head.indexOf("ENDHDR\n") + 7;
  const field = (name) => Number(new RegExp(`${name} (\\d+)`).exec(head)?.[1] ?? 0);
  const [columns, rows, depth] = [field("WIDTH"), field("HEIGHT"), field("DEPTH")];
  const samples = new DataView(buffer, end);
  if (end < 7 || depth !== 1 || samples.byteLength < 2 * rows * columns) throw new Refused("NOT_DRAWABLE", 0);
  const pixels = new Uint16Array(rows * columns);
  for (let i = 0; i < pixels.length; i++) pixels[i] = samples.getUint16(2 * i);
  return { rows, columns, pixels };
}

export const addresses = {
  worklist: () => new URL("articula/", ORTHANC).href,
  study: (id) => new URL(`articula/studies/${id}`, ORTHANC).href,
  explorer: (id) => new URL(`app/explorer.html#study?uuid=${id}`, ORTHANC).href,
  ohif: (uid) => new URL(`ohif/viewer?StudyInstanceUIDs=${encodeURIComponent(uid)}`, ORTHANC).href,
  object: (instance) => new URL(`instances/${instance}/file`, ORTHANC).href,
  feedback: () => new URL("feedback.csv", API).href,
};

/** What the plugin says of itself. */
export async function plugin() {
  return (await answered(fetch(new URL("../status", API)))).json();
}
