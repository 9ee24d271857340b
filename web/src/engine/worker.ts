/** The page's worker: takes requests, computes, and answers with pictures that are ready to be drawn. */

import { keyOf, type Choice } from "../runtime/choice.ts";
import { mix, type Pixels } from "../runtime/pixels.ts";
import { enlarge, type Working } from "../runtime/predictor.ts";
import { Problem, problemText } from "../runtime/problem.ts";
import { resize } from "../runtime/resize.ts";
import { Engine, refuseFlat } from "./engine.ts";
import { decode, encode, readPixels, sizeOf, toBitmap, type Source } from "./pictures.ts";
import type { Reply, Request } from "./protocol.ts";

const MOST_PIXELS = 40e6;
const LIVE_SIDE = 720; // the longer side of a frame of the camera as it is shown
type Waiting = Exclude<Request, { kind: "load" }>;

/** What waits, in this order; of each kind only the latest. */
const ORDER: Waiting["kind"][] = ["photo", "still", "save", "edit", "frame", "thumbnails"];

interface Photo {
  pixels: Pixels;
  shown: Pixels;
}

interface Edit extends Working {
  key: string;
  shown: Pixels;
}

const waiting = new Map<Waiting["kind"], Waiting>();
let busy = false;
let engine: Engine | null = null;
let photo: Photo | null = null;
let edit: Edit | null = null;
let thumbnailsLeft: string[] = [];

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.kind === "load") return void load(data).catch((error) => fail("load", error)); // photos open meanwhile
  const replaced = waiting.get(data.kind);
  if (replaced !== undefined && "source" in replaced && !(replaced.source instanceof Blob)) replaced.source.close();
  waiting.set(data.kind, data);
  void pump();
});

async function pump(): Promise<void> {
  if (busy) return;
  busy = true;
  for (let next = take(); next !== undefined; next = take()) {
    try {
      await answer(next);
    } catch (error) {
      fail(next.kind, error);
    }
    await new Promise((resolve) => setTimeout(resolve)); // what has come in meanwhile goes first
  }
  busy = false;
}

function fail(during: Request["kind"], error: unknown): void {
  if (!(error instanceof Problem)) console.error(error);
  reply({ kind: "failed", during, message: problemText(error) });
}

function take(): Waiting | undefined {
  const kind = ORDER.find((one) => waiting.has(one));
  if (kind === undefined) return undefined;
  const request = waiting.get(kind);
  waiting.delete(kind);
  return request;
}

function reply(message: Reply, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

async function answer(request: Waiting): Promise<void> {
  switch (request.kind) {
    case "photo":
      return openPhoto(request.source, request.most);
    case "still":
      return openPhoto(request.source, request.most, request.mirrored);
    case "edit":
      return showEdit(request.choice, request.strength);
    case "frame":
      return showFrame(request);
    case "save":
      return save(request);
    case "thumbnails":
      return showThumbnails();
  }
}

async function load({ root, backend }: Extract<Request, { kind: "load" }>): Promise<void> {
  let last = 0;
  engine = await Engine.load(root, backend, (received, expected, step) => {
    if (performance.now() - last < 100 && step === "loading") return;
    last = performance.now();
    reply({ kind: "progress", received, expected, step });
  });
  const { manifest, runtime, notes } = engine;
  const { name, licence, size } = manifest.base;
  const effects = manifest.effects.map(({ name, prompt }) => ({ name, prompt }));
  reply({ kind: "ready", effects, base: { name, licence, size }, ...{ backend: runtime.backend, threads: runtime.threads, notes } });
}

async function openPhoto(given: Blob | Source, most: number, mirrored = false): Promise<void> {
  const source = given instanceof Blob ? await decode(given) : given;
  try {
    const [ownWidth, ownHeight] = sizeOf(source);
    const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (ownWidth * ownHeight)));
    const [width, height] = [Math.round(ownWidth * scale), Math.round(ownHeight * scale)];
    const pixels = readPixels(source, width, height, mirrored);
    const factor = Math.min(1, most / Math.max(width, height));
    const shown = resize(pixels, Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor)));
    photo = { pixels, shown };
    edit = null;
    thumbnailsLeft = [];
    const note = scale < 1 ? `This photo is very large: it is edited at ${width} × ${height} pixels.` : null;
    const bitmap = await toBitmap(shown);
    reply({ kind: "photo", width, height, shown: bitmap, note }, [bitmap]);
  } finally {
    source.close();
  }
}

async function showEdit(choice: Choice, strength: number): Promise<void> {
  if (engine === null || photo === null) return;
  const start = performance.now();
  const key = keyOf(choice);
  const anew = edit?.key !== key;
  const now = await editOf(engine, photo, choice);
  const shown = await toBitmap(mix(photo.shown, now.shown, strength));
  const milliseconds = anew ? performance.now() - start : null;
  reply({ kind: "edit", shown, milliseconds, key, note: null }, [shown]);
}

/** Made once for each choice; its strength is mixed in afterwards. */
async function editOf(from: Engine, { pixels, shown }: Photo, choice: Choice): Promise<Edit> {
  const key = keyOf(choice);
  if (edit?.key === key) return edit;
  const { small, edited } = await from.working(pixels, choice);
  refuseFlat(small, edited, choice[0].name);
  edit = { key, small, edited, shown: enlargeShown(shown, small, edited, from.settings(choice).detail) };
  return edit;
}

function enlargeShown(shown: Pixels, small: Pixels, edited: Pixels, detail: "guided" | "none"): Pixels {
  // A picture that the network saw larger than it is shown is only made smaller.
  if (small.width >= shown.width) return resize(edited, shown.width, shown.height);
  return enlarge(shown, small, edited, detail);
}

async function showFrame(request: Extract<Request, { kind: "frame" }>): Promise<void> {
  const { source, choice, strength, most, mirrored } = request;
  try {
    if (engine === null) return;
    const start = performance.now();
    const [ownWidth, ownHeight] = sizeOf(source);
    const scale = Math.min(1, LIVE_SIDE / Math.max(ownWidth, ownHeight));
    const frame = readPixels(source, Math.round(ownWidth * scale), Math.round(ownHeight * scale), mirrored);
    const { small, edited } = await engine.working(frame, choice, most);
    const full = enlarge(frame, small, edited, engine.settings(choice).detail);
    const [before, after] = await Promise.all([toBitmap(frame), toBitmap(mix(frame, full, strength))]);
    reply({ kind: "frame", before, after, milliseconds: performance.now() - start }, [before, after]);
  } finally {
    source.close();
  }
}

async function save({ type, choice, strength }: Extract<Request, { kind: "save" }>): Promise<void> {
  if (engine === null || photo === null) return;
  const { small, edited } = await editOf(engine, photo, choice);
  const full = enlarge(photo.pixels, small, edited, engine.settings(choice).detail);
  const blob = await encode(mix(photo.pixels, full, strength), type);
  reply({ kind: "saved", blob, width: photo.pixels.width, height: photo.pixels.height });
}

/** One at a time: whatever else is asked for goes between. */
async function showThumbnails(): Promise<void> {
  if (engine === null || photo === null) return;
  if (thumbnailsLeft.length === 0) thumbnailsLeft = engine.manifest.effects.map(({ name }) => name);
  const name = thumbnailsLeft.shift() as string;
  try {
    const small = await engine.thumbnail(photo.shown, name);
    const shown = await toBitmap(small);
    reply({ kind: "thumbnail", name, shown }, [shown]);
  } catch (error) {
    reply({ kind: "broken-effect", name, message: problemText(error) });
  }
  if (thumbnailsLeft.length > 0 && !waiting.has("thumbnails")) waiting.set("thumbnails", { kind: "thumbnails" });
}
