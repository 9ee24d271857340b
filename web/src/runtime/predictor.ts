/** The edit of a photo of any size, step by step as the Python `Predictor.edit` makes it. */

import { guided } from "./guided.ts";
import type { Detail } from "./manifest.ts";
import { crop, emptyPixels, pad, type Pixels } from "./pixels.ts";
import { resize } from "./resize.ts";

/** Left, top, right and bottom of what is seen, in parts of the whole photo. */
export type Place = readonly [number, number, number, number];

/** A picture through the network, to the same size; `padded` makes one of any size of one that takes multiples alone. */
export type Run = (photo: Pixels, place: Place) => Promise<Pixels>;

export const WHOLE: Place = [0, 0, 1, 1];
const LEAST = 32;
const AT_ONCE = 2 ** 22; // pixels that are edited as one
const TILE = 1024;

export interface Settings {
  size: number; // that the effect was trained at
  detail: Detail;
  multiple: number;
  most?: number; // of the shorter side that the network sees, where that is to be less than the default
}

/** The photo at the size that the network sees, and its edit there. */
export interface Working {
  small: Pixels;
  edited: Pixels;
}

/** The edit at the photo's own size and at full strength. */
export async function editPhoto(photo: Pixels, settings: Settings, run: Run): Promise<Pixels> {
  const { small, edited } = await editSmall(photo, settings, run);
  return enlarge(photo, small, edited, settings.detail);
}

export async function editSmall(photo: Pixels, settings: Settings, run: Run): Promise<Working> {
  const [width, height] = workingSize(photo.width, photo.height, settings);
  const small = resize(photo, width, height);
  const edited =
    width * height > AT_ONCE
      ? await editInTiles(small, settings.multiple, run)
      : await run(small, WHOLE);
  return { small, edited };
}

/** An edit made at the working size, at the photo's own. */
export function enlarge(photo: Pixels, small: Pixels, edited: Pixels, detail: Detail): Pixels {
  if (small.width === photo.width && small.height === photo.height) return edited;
  return detail === "guided" ? guided(photo, small, edited) : resize(edited, photo.width, photo.height);
}

/** Width and height that the network sees: the size trained at for light; for paint, midway to the photo's own. */
export function workingSize(width: number, height: number, { size, detail, most }: Settings): [number, number] {
  const shorter = Math.min(width, height);
  const usual = detail === "guided" ? size : roundEven(Math.sqrt(size * Math.max(size, shorter)));
  const scale = Math.min(1, Math.min(usual, most ?? usual) / shorter);
  return [Math.max(1, roundEven(width * scale)), Math.max(1, roundEven(height * scale))];
}

/** Halves to the even number, as Python's round. */
function roundEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

/** run: of sides that are multiples of `multiple`. */
export function padded(multiple: number, run: Run): Run {
  return (photo, place) => editPadded(photo, multiple, run, place);
}

async function editPadded(photo: Pixels, multiple: number, run: Run, place: Place): Promise<Pixels> {
  const { width, height } = photo;
  const beyond = (side: number) => Math.ceil(Math.max(side, LEAST) / multiple) * multiple - side;
  const [right, bottom] = [beyond(width), beyond(height)];
  // The padding lies beyond what is seen, so that each true pixel keeps its own place.
  const seen: Place = [
    place[0],
    place[1],
    place[2] + ((place[2] - place[0]) * right) / width,
    place[3] + ((place[3] - place[1]) * bottom) / height,
  ];
  const edited = await run(pad(photo, right, bottom), seen);
  return right === 0 && bottom === 0 ? edited : crop(edited, 0, 0, width, height);
}

interface Span {
  start: number;
  stop: number;
  share: Float32Array; // of each of its pixels: at every place they add up to 1
}

/** In tiles that overlap by a quarter and fade into each other: bounds what the network needs for long panoramas. */
async function editInTiles(photo: Pixels, multiple: number, run: Run): Promise<Pixels> {
  const { width, height } = photo;
  const sums = new Float32Array(width * height * 3);
  for (const rows of spans(height, multiple)) {
    for (const columns of spans(width, multiple)) {
      const [w, h] = [columns.stop - columns.start, rows.stop - rows.start];
      const place: Place = [columns.start / width, rows.start / height, columns.stop / width, rows.stop / height];
      const edited = await run(crop(photo, columns.start, rows.start, w, h), place);
      for (let y = 0; y < h; y++) {
        let to = ((rows.start + y) * width + columns.start) * 3;
        for (let x = 0, from = y * w * 3; x < w; x++) {
          const share = rows.share[y] * columns.share[x];
          for (let c = 0; c < 3; c++, from++, to++) sums[to] += edited.data[from] * share;
        }
      }
    }
  }
  const out = emptyPixels(width, height);
  out.data.set(sums);
  return out;
}

function spans(length: number, multiple: number): Span[] {
  const found = tileStarts(length, multiple).map((start) => ({ start, stop: Math.min(start + TILE, length) }));
  const total = new Float64Array(length);
  for (const { start, stop } of found) {
    const weights = fade(stop - start);
    for (let i = start; i < stop; i++) total[i] += weights[i - start];
  }
  return found.map((span) => ({ ...span, share: fade(span.stop - span.start).map((w, i) => w / total[span.start + i]) }));
}

function tileStarts(length: number, multiple: number): number[] {
  if (length <= TILE) return [0];
  const step = Math.floor((TILE * 3) / 4 / multiple) * multiple;
  const count = Math.ceil((length - TILE) / step) + 1;
  return Array.from({ length: count }, (_, i) => Math.ceil((i * (length - TILE)) / (count - 1) / multiple) * multiple);
}

/** Rises over a quarter, and is next to nothing in the outermost sixteenth, where the tile's own padding shows. */
function fade(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const distance = Math.min(i, length - 1 - i) + 1;
    return Math.min(Math.max((distance - length / 16) / ((length * 3) / 16), 1e-3), 1);
  });
}
