/** An edit made at the working size, brought back with the photo's own detail: a guided filter of colours. */

import { emptyPixels, type Pixels } from "./pixels.ts";

const RADIUS = 2; // pixels of the small picture; `boxMean` is written out for it
const WINDOW = (2 * RADIUS + 1) ** 2;
const RIDGE = 2e-3; // of squared intensity in 0..1: below it a window counts as flat
const TERMS = 12; // of a pixel's function: a matrix of 3 × 3, and what is added

interface Places {
  low: Int32Array;
  high: Int32Array;
  weight: Float32Array; // of the higher one
}

/**
 * The edit of a small photo, carried over to the photo itself. In each window of the small pair the edit is fitted as a
 * linear function of the photo's colours; the functions are enlarged and applied to the large photo. What they do not
 * explain is enlarged as it is and added.
 */
export function guided(photo: Pixels, smallPhoto: Pixels, smallEdit: Pixels): Pixels {
  const terms = coefficients(smallPhoto, smallEdit);
  const columns = places(photo.width, smallPhoto.width);
  const rows = places(photo.height, smallPhoto.height);
  const length = smallPhoto.width * TERMS;
  const row = new Float32Array(length);
  const steps = new Float32Array(length); // to the next column's terms; the last has none
  const out = emptyPixels(photo.width, photo.height);
  for (let y = 0; y < photo.height; y++) {
    const share = rows.weight[y];
    const upper = rows.low[y] * length;
    const lower = rows.high[y] * length;
    for (let i = 0; i < length; i++) row[i] = terms[upper + i] * (1 - share) + terms[lower + i] * share;
    for (let i = 0; i < length - TERMS; i++) steps[i] = row[i + TERMS] - row[i];
    applyRow(row, steps, columns, photo, out, y);
  }
  return out;
}

/** Written out for the three channels: this runs for each pixel of the photo. */
function applyRow(row: Float32Array, steps: Float32Array, columns: Places, photo: Pixels, out: Pixels, y: number): void {
  const { low, weight } = columns;
  const source = photo.data;
  const target = out.data;
  let at = y * photo.width * 3;
  for (let x = 0; x < photo.width; x++, at += 3) {
    const w = weight[x];
    const i = low[x] * TERMS;
    const r = source[at];
    const g = source[at + 1];
    const b = source[at + 2];
    target[at] =
      (row[i] + steps[i] * w) * r +
      (row[i + 1] + steps[i + 1] * w) * g +
      (row[i + 2] + steps[i + 2] * w) * b +
      (row[i + 9] + steps[i + 9] * w) * 255;
    target[at + 1] =
      (row[i + 3] + steps[i + 3] * w) * r +
      (row[i + 4] + steps[i + 4] * w) * g +
      (row[i + 5] + steps[i + 5] * w) * b +
      (row[i + 10] + steps[i + 10] * w) * 255;
    target[at + 2] =
      (row[i + 6] + steps[i + 6] * w) * r +
      (row[i + 7] + steps[i + 7] * w) * g +
      (row[i + 8] + steps[i + 8] * w) * b +
      (row[i + 11] + steps[i + 11] * w) * 255;
  }
}

/** For each of `large` pixel centres: the two of `small` around it, and the second's weight. */
function places(large: number, small: number): Places {
  const found = { low: new Int32Array(large), high: new Int32Array(large), weight: new Float32Array(large) };
  for (let i = 0; i < large; i++) {
    const at = Math.min(Math.max(((i + 0.5) * small) / large - 0.5, 0), small - 1);
    found.low[i] = Math.floor(at);
    found.high[i] = Math.min(found.low[i] + 1, small - 1);
    found.weight[i] = at - found.low[i];
  }
  return found;
}

/** 12 numbers a pixel: the function of each pixel of the small pair, as a matrix, row by row, and what is added. */
function coefficients(smallPhoto: Pixels, smallEdit: Pixels): Float32Array {
  const { width, height } = smallPhoto;
  const count = width * height;
  const photo = planes(smallPhoto);
  const edit = planes(smallEdit);
  const mean = (plane: Float32Array) => boxMean(plane, width, height);
  const product = (a: Float32Array, b: Float32Array) => mean(multiply(a, b));
  const meanPhoto = photo.map(mean);
  const meanEdit = edit.map(mean);
  const pairs = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]; // prettier-ignore
  const squares = pairs.map(([i, j]) => product(photo[i], photo[j]));
  const crosses = edit.flatMap((plane) => photo.map((other) => product(plane, other)));
  const fitted = Array.from({ length: TERMS }, () => new Float32Array(count));
  const inverse = new Float64Array(6);
  for (let p = 0; p < count; p++) {
    const r = meanPhoto[0][p];
    const g = meanPhoto[1][p];
    const b = meanPhoto[2][p];
    invertSymmetric(
      squares[0][p] - r * r + RIDGE, squares[1][p] - r * g, squares[2][p] - r * b,
      squares[3][p] - g * g + RIDGE, squares[4][p] - g * b, squares[5][p] - b * b + RIDGE,
      inverse,
    ); // prettier-ignore
    for (let c = 0; c < 3; c++) {
      const own = meanEdit[c][p];
      const x = crosses[3 * c][p] - own * r;
      const y = crosses[3 * c + 1][p] - own * g;
      const z = crosses[3 * c + 2][p] - own * b;
      const first = x * inverse[0] + y * inverse[1] + z * inverse[2];
      const second = x * inverse[1] + y * inverse[3] + z * inverse[4];
      const third = x * inverse[2] + y * inverse[4] + z * inverse[5];
      fitted[3 * c][p] = first;
      fitted[3 * c + 1][p] = second;
      fitted[3 * c + 2][p] = third;
      fitted[9 + c][p] = own - (first * r + second * g + third * b);
    }
  }
  const averaged = fitted.map(mean);
  const out = new Float32Array(count * TERMS);
  for (let p = 0; p < count; p++) {
    for (let i = 0; i < 9; i++) out[p * TERMS + i] = averaged[i][p];
    for (let c = 0; c < 3; c++) {
      // What the matrix leaves of the edit, in place of the mean of b: at the small size the result is the edit itself.
      const seen =
        averaged[3 * c][p] * photo[0][p] + averaged[3 * c + 1][p] * photo[1][p] + averaged[3 * c + 2][p] * photo[2][p];
      out[p * TERMS + 9 + c] = edit[c][p] - seen;
    }
  }
  return out;
}

function multiply(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] * b[i];
  return out;
}

/** Three planes of 0..1. */
function planes(pixels: Pixels): Float32Array[] {
  const count = pixels.width * pixels.height;
  return [0, 1, 2].map((c) => {
    const plane = new Float32Array(count);
    for (let p = 0; p < count; p++) plane[p] = pixels.data[3 * p + c] / 255;
    return plane;
  });
}

/** The mean of a window of 5 × 5, beyond the border the nearest pixel again. */
function boxMean(plane: Float32Array, width: number, height: number): Float32Array {
  const padded = new Float32Array(width + 2 * RADIUS);
  const out = new Float32Array(plane.length);
  const inside = (y: number) => Math.min(Math.max(y, 0), height - 1) * width;
  for (let y = 0; y < height; y++) {
    const [a, b, c, d, e] = [-2, -1, 0, 1, 2].map((by) => inside(y + by));
    for (let x = 0; x < width; x++) {
      padded[x + RADIUS] = plane[a + x] + plane[b + x] + plane[c + x] + plane[d + x] + plane[e + x];
    }
    padded.fill(padded[RADIUS], 0, RADIUS);
    padded.fill(padded[width + RADIUS - 1], width + RADIUS);
    const at = y * width;
    for (let x = 0; x < width; x++) {
      out[at + x] = (padded[x] + padded[x + 1] + padded[x + 2] + padded[x + 3] + padded[x + 4]) / WINDOW;
    }
  }
  return out;
}

/** The inverse of [[a, b, c], [b, d, e], [c, e, f]], its upper triangle, into `out`. */
function invertSymmetric(a: number, b: number, c: number, d: number, e: number, f: number, out: Float64Array): void {
  const first = d * f - e * e;
  const second = c * e - b * f;
  const third = b * e - c * d;
  const scale = 1 / (a * first + b * second + c * third);
  out[0] = first * scale;
  out[1] = second * scale;
  out[2] = third * scale;
  out[3] = (a * f - c * c) * scale;
  out[4] = (b * c - a * e) * scale;
  out[5] = (a * d - b * b) * scale;
}
