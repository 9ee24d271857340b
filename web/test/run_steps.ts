/**
 * Runs steps of the runtime on pictures in files, for tests/web/test_runtime.py, which compares them with Python's.
 * `node run_steps.ts FOLDER`: FOLDER/steps.json lists what to do; pictures lie there as raw RGB bytes.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { guided } from "../src/runtime/guided.ts";
import { mix, pad, type Pixels } from "../src/runtime/pixels.ts";
import { editPhoto, padded, workingSize, type Settings } from "../src/runtime/predictor.ts";
import { resize } from "../src/runtime/resize.ts";

interface Picture {
  file: string;
  width: number;
  height: number;
}

interface Step {
  does: string;
  pictures: Picture[];
  numbers: number[];
  settings?: Settings;
  out: string;
}

const folder = process.argv[2];

function read({ file, width, height }: Picture): Pixels {
  return { width, height, data: new Uint8ClampedArray(readFileSync(join(folder, file))) };
}

/** A network for tests that is no network: each colour inverted, and darker to the right of the whole photo. */
async function invert(photo: Pixels, place: readonly number[]): Promise<Pixels> {
  const data = new Uint8ClampedArray(photo.data.length);
  for (let i = 0; i < data.length; i++) {
    const x = (Math.floor(i / 3) % photo.width) / photo.width;
    data[i] = (255 - photo.data[i]) * (1 - 0.5 * (place[0] + (place[2] - place[0]) * x));
  }
  return { ...photo, data };
}

for (const { does, pictures, numbers, settings, out } of JSON.parse(readFileSync(join(folder, "steps.json"), "utf8")) as Step[]) {
  const [first, ...others] = pictures.map(read);
  let result: Pixels;
  if (does === "resize") result = resize(first, numbers[0], numbers[1]);
  else if (does === "guided") result = guided(first, others[0], others[1]);
  else if (does === "pad") result = pad(first, numbers[0], numbers[1]);
  else if (does === "mix") result = mix(first, others[0], numbers[0]);
  else if (does === "edit") result = await editPhoto(first, settings as Settings, padded((settings as Settings).multiple, invert));
  else if (does === "size") {
    writeFileSync(join(folder, out), JSON.stringify(workingSize(numbers[0], numbers[1], settings as Settings)));
    continue;
  } else throw new Error(`no step ${does}`);
  writeFileSync(join(folder, out), result.data);
}
