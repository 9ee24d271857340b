/** Pictures of the browser as RGB bytes, and back. In a worker: nothing here touches the page. */

import { copyFromRgba, emptyPixels, toRgba, type Pixels } from "../runtime/pixels.ts";
import { Problem } from "../runtime/problem.ts";

const BAND = 1 << 22; // pixels that are drawn at once: phones refuse canvases of a whole photo's size

export type Source = ImageBitmap | VideoFrame;

export function sizeOf(source: Source): [number, number] {
  return "displayWidth" in source ? [source.displayWidth, source.displayHeight] : [source.width, source.height];
}

/** Upright, as its EXIF data says. Throws a Problem for what the browser cannot read. */
export async function decode(blob: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    const name = blob instanceof File && blob.name ? blob.name : "That";
    throw new Problem(`${name} is no picture that this browser can read.`);
  }
}

/** At a size, over white. mirrored: left and right exchanged, as in a mirror. */
export function readPixels(source: Source, width: number, height: number, mirrored = false): Pixels {
  const out = emptyPixels(width, height);
  const rows = Math.min(height, Math.max(1, Math.floor(BAND / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = contextOf(canvas);
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, count);
    if (mirrored) context.setTransform(-1, 0, 0, 1, width, 0);
    context.drawImage(source, 0, -top, width, height);
    copyFromRgba(context.getImageData(0, 0, width, count).data, out, top);
  }
  return out;
}

export function toBitmap(pixels: Pixels): Promise<ImageBitmap> {
  return createImageBitmap(new ImageData(toRgba(pixels), pixels.width, pixels.height));
}

/** Throws a Problem where the browser has no canvas of that size. */
export async function encode(pixels: Pixels, type: "image/png" | "image/jpeg"): Promise<Blob> {
  const { width, height } = pixels;
  try {
    const canvas = new OffscreenCanvas(width, height);
    const context = contextOf(canvas);
    const rows = Math.max(1, Math.floor(BAND / width));
    for (let top = 0; top < height; top += rows) {
      const bottom = Math.min(height, top + rows);
      context.putImageData(new ImageData(toRgba(pixels, top, bottom), width, bottom - top), 0, top);
    }
    return await canvas.convertToBlob({ type, quality: 0.95 });
  } catch {
    throw new Problem(`This browser cannot write a picture of ${width} × ${height} pixels.`);
  }
}

function contextOf(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Problem("This browser has no memory left for a picture of this size.");
  context.imageSmoothingQuality = "high";
  return context;
}
