/** Antialiased Lanczos resizing, as Pillow does it: fixed-point weights of 22 bits, rounded to bytes after each axis. */

import { emptyPixels, type Pixels } from "./pixels.ts";

const LOBES = 3;
const BITS = 22;
const HALF = 1 << (BITS - 1);

interface Taps {
  starts: Int32Array; // of each output pixel: its first input pixel
  counts: Int32Array;
  weights: Int32Array; // `width` for each output pixel
  width: number;
}

const remembered = new Map<string, Taps>();
const MOST_REMEMBERED = 16;

/** To width × height. The picture itself where that is its size. */
export function resize(pixels: Pixels, width: number, height: number): Pixels {
  const wide = width === pixels.width ? pixels : horizontally(pixels, width);
  return height === pixels.height ? wide : vertically(wide, height);
}

function horizontally(pixels: Pixels, width: number): Pixels {
  const { starts, counts, weights, width: taps } = tapsOf(pixels.width, width);
  const out = emptyPixels(width, pixels.height);
  const source = pixels.data;
  const target = out.data;
  for (let y = 0; y < pixels.height; y++) {
    const row = y * pixels.width * 3;
    let to = y * width * 3;
    for (let x = 0; x < width; x++, to += 3) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let from = row + starts[x] * 3;
      const first = x * taps;
      for (let k = first; k < first + counts[x]; k++, from += 3) {
        const weight = weights[k];
        red = (red + source[from] * weight) | 0;
        green = (green + source[from + 1] * weight) | 0;
        blue = (blue + source[from + 2] * weight) | 0;
      }
      target[to] = red >> BITS;
      target[to + 1] = green >> BITS;
      target[to + 2] = blue >> BITS;
    }
  }
  return out;
}

function vertically(pixels: Pixels, height: number): Pixels {
  const { starts, counts, weights, width: taps } = tapsOf(pixels.height, height);
  const out = emptyPixels(pixels.width, height);
  const length = pixels.width * 3;
  const source = pixels.data;
  const sums = new Int32Array(length);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let k = 0; k < counts[y]; k++) {
      const weight = weights[y * taps + k];
      const row = (starts[y] + k) * length;
      for (let i = 0; i < length; i++) sums[i] = (sums[i] + source[row + i] * weight) | 0;
    }
    const to = y * length;
    for (let i = 0; i < length; i++) out.data[to + i] = sums[i] >> BITS;
  }
  return out;
}

function tapsOf(from: number, to: number): Taps {
  const key = `${from}:${to}`;
  let taps = remembered.get(key);
  if (taps === undefined) {
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    taps = makeTaps(from, to);
    remembered.set(key, taps);
  }
  return taps;
}

function makeTaps(from: number, to: number): Taps {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = LOBES * stretch;
  const width = Math.ceil(support) * 2 + 1;
  const taps = { starts: new Int32Array(to), counts: new Int32Array(to), weights: new Int32Array(to * width), width };
  const exact = new Float64Array(width);
  for (let x = 0; x < to; x++) {
    const centre = (x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      exact[k] = lanczos((start + k - centre + 0.5) / stretch);
      sum += exact[k];
    }
    for (let k = 0; k < count; k++) {
      const weight = (exact[k] / sum) * 2 ** BITS;
      taps.weights[x * width + k] = Math.trunc(weight + (weight < 0 ? -0.5 : 0.5));
    }
    taps.starts[x] = start;
    taps.counts[x] = count;
  }
  return taps;
}

function lanczos(x: number): number {
  return x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
