// One plane on a canvas: grey image, structures and heat over it, slice by slice.

import { layer } from "./archive.js";
import { element, fill } from "./dom.js";
import { HEAT_RGB, rgb } from "./palette.js";
import { Series } from "./series.js";

const NAMES = { sagittal: "Sagittal", coronal: "Coronal", axial: "Axial" };
const PIXELS_A_SLICE = 12; // of dragging
const WHEEL_STEP = 40;

export class Viewport {
  /** `look` is shared by all planes: {structures, heat: opacities, hidden: Set of labels}. */
  constructor(studyId, plane, look, events) {
    Object.assign(this, { studyId, plane, look, events });
    this.index = Math.floor(plane.slices.length / 2);
    this.labels = null;
    this.heat = null;
    this.window = null; // {low, high} of pixel values
    this.colours = new Map(plane.segments.map((each) => [each.number, { label: each.label, rgb: rgb(each.colour) }]));
    this.series = new Series(plane.slices, (index) => this.index === index && this.draw());
    this.build();
  }

  build() {
    const name = NAMES[this.plane.plane];
    this.canvas = element("canvas", { tabIndex: 0, role: "img", "aria-label": `${name} slice` });
    this.caption = element("span", { className: "caption" });
    this.message = element("p", { className: "message", role: "status" });
    this.slider = element("input", {
      type: "range", min: 0, max: this.plane.slices.length - 1, value: this.index, "aria-label": `${name} slice`,
      oninput: () => this.go(Number(this.slider.value)),
    });
    this.element = element(
      "figure", { className: "viewport", "data-plane": this.plane.plane },
      element("figcaption", {}, element("button", {
        type: "button", className: "plane", title: `Make ${name} the large view`, onclick: () => this.events.chosen(this),
      }, name), this.caption),
      element("div", { className: "stage" }, this.canvas, this.message),
      this.slider,
    );
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.drag(event));
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("focus", () => this.events.focused(this));
    new ResizeObserver(() => this.draw()).observe(this.element.querySelector(".stage"));
  }

  /** Show a slice; beyond the ends is the last one. */
  go(index) {
    this.index = Math.min(Math.max(index, 0), this.plane.slices.length - 1);
    this.slider.value = this.index;
    this.series.look(this.index);
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    this.turned = (this.turned ?? 0) + (event.deltaMode ? Math.sign(event.deltaY) * WHEEL_STEP : event.deltaY);
    const steps = Math.trunc(this.turned / WHEEL_STEP);
    this.turned -= steps * WHEEL_STEP;
    if (steps) this.go(this.index + steps);
  }

  /** The first button scrolls, any other one (or Shift) sets the window: across its width, up and down its level. */
  drag(start) {
    if (this.canvas.setPointerCapture) this.canvas.setPointerCapture(start.pointerId);
    const { index, window } = this;
    const windowing = start.button !== 0 || start.shiftKey;
    const move = (event) => {
      const [right, down] = [event.clientX - start.clientX, event.clientY - start.clientY];
      if (!windowing) this.go(index + Math.trunc(down / PIXELS_A_SLICE));
      else if (window) this.events.windowed(this, changedWindow(window, right, down));
    };
    const end = () => {
      this.canvas.removeEventListener("pointermove", move);
      this.canvas.removeEventListener("pointerup", end);
      this.canvas.removeEventListener("pointercancel", end);
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }

  /** Fetch the segmentation of this plane. */
  async loadLabels() {
    if (!this.plane.segmentation) return;
    this.labels = await layer(this.studyId, this.plane.segmentation);
    this.draw();
  }

  /** Lay a heat map over this plane, or none. */
  setHeat(bytes) {
    this.heat = bytes;
    this.draw();
  }

  resetWindow() {
    const shown = this.series.get(this.index);
    if (shown) this.window = autoWindow(shown.pixels);
    this.draw();
  }

  draw() {
    const image = this.series.get(this.index);
    const failed = this.series.failed.get(this.index);
    const number = `${this.index + 1} / ${this.plane.slices.length}`;
    fill(this.caption, `${this.plane.description} · ${number}`);
    this.slider.setAttribute("aria-valuetext", `slice ${number}`);
    this.canvas.setAttribute("aria-label", `${NAMES[this.plane.plane]} slice ${number}`);
    this.element.dataset.slice = this.index;
    this.element.dataset.drawn = image ? this.index : "";
    fill(this.message, failed ? "Orthanc can't decode this image. OHIF may." : image ? "" : "…");
    if (!image) return;
    this.window ??= autoWindow(image.pixels);
    this.paint(image, this.composed(image));
  }

  /** Grey, structures and heat as one ImageData of the image's own size. */
  composed(image) {
    const { rows, columns, pixels } = image;
    const made = new ImageData(columns, rows);
    const out = made.data;
    const { low, high } = this.window;
    const scale = 255 / Math.max(high - low, 1);
    const labels = this.slice(this.labels, rows * columns);
    const heat = this.slice(this.heat, rows * columns);
    const structures = this.visible();
    for (let i = 0, o = 0; i < pixels.length; i++, o += 4) {
      const value = (pixels[i] - low) * scale;
      const grey = value < 0 ? 0 : value > 255 ? 255 : value;
      let r = grey, g = grey, b = grey;
      const colour = labels && structures[labels[i]];
      if (colour) {
        const a = edge(labels, i, columns) ? Math.min(1, 2 * this.look.structures) : this.look.structures;
        r += (colour[0] - r) * a; g += (colour[1] - g) * a; b += (colour[2] - b) * a;
      }
      if (heat && heat[i]) {
        const a = this.look.heat * Math.min(1, heat[i] / 128);
        const h = 3 * heat[i];
        r += (HEAT_RGB[h] - r) * a; g += (HEAT_RGB[h + 1] - g) * a; b += (HEAT_RGB[h + 2] - b) * a;
      }
      out[o] = r; out[o + 1] = g; out[o + 2] = b; out[o + 3] = 255;
    }
    return made;
  }

  /** This slice of a layer; nothing where the layer is of another size. */
  slice(volume, size) {
    if (!volume || volume.length !== size * this.plane.slices.length) return null;
    return volume.subarray(this.index * size, (this.index + 1) * size);
  }

  /** Colours by segment number of what is not hidden. */
  visible() {
    const found = [];
    if (this.look.structures > 0) {
      for (const [number, each] of this.colours) if (!this.look.hidden.has(each.label)) found[number] = each.rgb;
    }
    return found;
  }

  /** Scale to the room there is, true to millimetres. */
  paint(image, made) {
    const stage = this.canvas.parentElement;
    const ratio = globalThis.devicePixelRatio || 1;
    const [down, across] = this.plane.spacing;
    const [width, height] = [image.columns * across, image.rows * down];
    const zoom = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    if (!(zoom > 0)) return;
    this.canvas.width = Math.max(1, Math.round(width * zoom * ratio));
    this.canvas.height = Math.max(1, Math.round(height * zoom * ratio));
    this.canvas.style.width = `${this.canvas.width / ratio}px`;
    this.canvas.style.height = `${this.canvas.height / ratio}px`;
    const buffer = new OffscreenCanvas(image.columns, image.rows);
    buffer.getContext("2d").putImageData(made, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(buffer, 0, 0, this.canvas.width, this.canvas.height);
  }
}

/** Whether a pixel of a structure borders on something else; its outline is drawn stronger. */
function edge(labels, i, columns) {
  const own = labels[i];
  return labels[i - 1] !== own || labels[i + 1] !== own || labels[i - columns] !== own || labels[i + columns] !== own;
}

/** From the 1st to the 99.5th percentile of what is not background. */
export function autoWindow(pixels) {
  const counts = new Uint32Array(65536);
  for (const value of pixels) counts[value]++;
  const total = pixels.length - counts[0] || pixels.length;
  const at = (part) => {
    let seen = 0;
    for (let value = counts[0] === pixels.length ? 0 : 1; value < 65536; value++) {
      seen += counts[value];
      if (seen >= part * total) return value;
    }
    return 65535;
  };
  const [low, high] = [at(0.01), at(0.995)];
  return { low, high: Math.max(high, low + 1) };
}

/** A window after dragging: to the right wider, downwards brighter images. */
export function changedWindow({ low, high }, right, down) {
  const [width, level] = [high - low, (high + low) / 2];
  const wider = Math.max(1, width * Math.exp(right / 200));
  const moved = level + (down / 200) * width;
  return { low: moved - wider / 2, high: moved + wider / 2 };
}
