// The frames of one plane: fetched when they are looked at, then outwards from there, and let go when memory is short.

import { frame } from "./archive.js";

const AT_ONCE = 4;
const AHEAD = 24; // slices to either side
const MEMORY = 192 * 1024 * 1024; // bytes of decoded frames a plane

export class Series {
  /** `slices` as the study's JSON gives them; `arrived(index)` is called for each frame. */
  constructor(slices, arrived) {
    this.slices = slices;
    this.arrived = arrived;
    this.frames = new Map();
    this.waiting = new Set();
    this.failed = new Map();
    this.centre = 0;
    this.background = false; // fetch nothing but what is looked at until the page stands
  }

  get(index) {
    return this.frames.get(index);
  }

  /** Look at a slice: it comes first, its neighbours follow. */
  look(index) {
    this.centre = index;
    this.next();
  }

  /** Fetch the rest too. */
  prefetch() {
    this.background = true;
    this.next();
  }

  next() {
    while (this.waiting.size < AT_ONCE) {
      const index = this.nearestMissing();
      if (index === null) return;
      this.fetch(index);
    }
  }

  nearestMissing() {
    const reach = this.background ? AHEAD : 0;
    for (let distance = 0; distance <= reach; distance++) {
      for (const index of [this.centre + distance, this.centre - distance]) {
        const there = this.frames.has(index) || this.waiting.has(index) || this.failed.has(index);
        if (index >= 0 && index < this.slices.length && !there) return index;
      }
    }
    return null;
  }

  async fetch(index) {
    this.waiting.add(index);
    const { instance, frame: number } = this.slices[index];
    try {
      this.frames.set(index, await frame(instance, number));
      this.release();
    } catch (error) {
      this.failed.set(index, error);
    }
    this.waiting.delete(index);
    this.arrived(index);
    this.next();
  }

  release() {
    const size = (each) => 2 * each.pixels.length;
    let total = [...this.frames.values()].reduce((sum, each) => sum + size(each), 0);
    const farthest = [...this.frames.keys()].sort((a, b) => Math.abs(b - this.centre) - Math.abs(a - this.centre));
    for (const index of farthest) {
      if (total <= MEMORY || Math.abs(index - this.centre) <= AHEAD) return;
      total -= size(this.frames.get(index));
      this.frames.delete(index);
    }
  }
}
