// Colours. The heat grows in brightness with strength, so it reads the same with any colour vision.

// ten points of a perceptually even scale from black over violet and orange to pale yellow (matplotlib's inferno)
const HEAT = [
  [0, 0, 4], [27, 12, 65], [74, 12, 107], [120, 28, 109], [165, 44, 96],
  [207, 68, 70], [237, 105, 37], [251, 155, 6], [247, 209, 61], [252, 255, 164],
];

/** 256 entries of RGB. */
export const HEAT_RGB = new Uint8Array(768);
for (let i = 0; i < 256; i++) {
  const place = (i / 255) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  for (let c = 0; c < 3; c++) {
    HEAT_RGB[3 * i + c] = Math.round(HEAT[low][c] + (place - low) * (HEAT[low + 1][c] - HEAT[low][c]));
  }
}

/** #rrggbb as [r, g, b]. */
export function rgb(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
