/** Pictures as RGB bytes, row by row. */

export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray<ArrayBuffer>; // height · width · 3; storing a number rounds half to even and clamps
}

export function emptyPixels(width: number, height: number): Pixels {
  return { width, height, data: new Uint8ClampedArray(width * height * 3) };
}

/** Without the fourth byte; what was transparent is over white already. */
export function fromRgba(rgba: Uint8ClampedArray, width: number, height: number): Pixels {
  const out = emptyPixels(width, height);
  copyFromRgba(rgba, out, 0);
  return out;
}

/** Rows of RGBA into `out`, from the row `top` on. */
export function copyFromRgba(rgba: Uint8ClampedArray, out: Pixels, top: number): void {
  const { data } = out;
  for (let from = 0, to = top * out.width * 3; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
}

/** As opaque RGBA: rows from `top` to `bottom`. */
export function toRgba(pixels: Pixels, top = 0, bottom = pixels.height): Uint8ClampedArray<ArrayBuffer> {
  const { data, width } = pixels;
  const out = new Uint8ClampedArray(width * (bottom - top) * 4);
  for (let from = top * width * 3, to = 0; to < out.length; from += 3, to += 4) {
    out[to] = data[from];
    out[to + 1] = data[from + 1];
    out[to + 2] = data[from + 2];
    out[to + 3] = 255;
  }
  return out;
}

/** The part of a picture from (left, top), of a size. */
export function crop(pixels: Pixels, left: number, top: number, width: number, height: number): Pixels {
  const out = emptyPixels(width, height);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * pixels.width + left) * 3;
    out.data.set(pixels.data.subarray(from, from + width * 3), y * width * 3);
  }
  return out;
}

/** photo + strength · (edit - photo). */
export function mix(photo: Pixels, edit: Pixels, strength: number): Pixels {
  if (strength === 1) return edit;
  if (strength === 0) return photo;
  const out = emptyPixels(photo.width, photo.height);
  const [before, after] = [photo.data, edit.data];
  for (let i = 0; i < out.data.length; i++) out.data[i] = before[i] + strength * (after[i] - before[i]);
  return out;
}

/** Mirrored at the right and lower border, or with the last pixel again where there is too little to mirror. */
export function pad(pixels: Pixels, right: number, bottom: number): Pixels {
  if (right === 0 && bottom === 0) return pixels;
  const { width, height, data } = pixels;
  const reflected = bottom < height && right < width;
  const out = emptyPixels(width + right, height + bottom);
  const inside = (at: number, side: number) => (at < side ? at : reflected ? 2 * (side - 1) - at : side - 1);
  for (let y = 0; y < out.height; y++) {
    const from = inside(y, height) * width * 3;
    const to = y * out.width * 3;
    out.data.set(data.subarray(from, from + width * 3), to);
    for (let x = width; x < out.width; x++) {
      const source = from + inside(x, width) * 3;
      for (let c = 0; c < 3; c++) out.data[to + x * 3 + c] = data[source + c];
    }
  }
  return out;
}

/** Whether all pixels are nearly of one colour. */
export function isFlat(pixels: Pixels): boolean {
  const least = [255, 255, 255];
  const most = [0, 0, 0];
  for (let i = 0; i < pixels.data.length; i++) {
    const value = pixels.data[i];
    if (value < least[i % 3]) least[i % 3] = value;
    if (value > most[i % 3]) most[i % 3] = value;
  }
  return most.every((value, c) => value - least[c] <= 2);
}
