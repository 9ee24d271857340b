/** The page's worker: takes requests, computes, and answers with pictures that are ready to be drawn. */

import { keyOf, type Choice } from "../runtime/choice.ts";
import { mix, type Pixels } from "../runtime/pixels.ts";
import { enlarge, type Working } from "../runtime/predictor.ts";
import { Problem, problemText } from "../runtime/problem.ts";
import { resize } from "../runtime/resize.ts";
import { Engine, refuseFlat } from "./engine.ts";
import type { OnProgress } from "./local.ts";
import { decode, encode, readPixels, sizeOf, toBitmap, type Source } from "./pictures.ts";
import type { Reply, Request } from "./protocol.ts";
import { Busy, ServerNetwork } from "./server.ts";

const MOST_PIXELS = 40e6;
const LIVE_SIDE = 720; // the longer side of a frame of the camera as it is shown
type Waiting = Exclude<Request, { kind: "load" }>;

/** What waits, in this order; of each kind only the latest. */
const ORDER: Waiting["kind"][] = ["photo", "still", "save", "edit", "frame", "thumbnails"];

/** source: the file, where it was one. own: its size, where pixels are fewer. */
interface Photo {
  source: Blob | null;
  own: [number, number];
  pixels: Pixels;
  shown: Pixels;
}

interface Edit extends Working {
  key: string;
  shown: Pixels;
}

const waiting = new Map<Waiting["kind"], Waiting>();
let busy = false;
let loads = 0;
let exchange: (() => Promise<void>) | null = null;
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
  for (;;) {
    const [exchanged, next] = [exchange, exchange === null ? take() : undefined];
    exchange = null;
    if (exchanged === null && next === undefined) break;
    try {
      await (exchanged?.() ?? answer(next as Waiting));
    } catch (error) {
      fail(next?.kind ?? "load", error);
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

/** Again where another base is chosen, or what the server has is another; only the last request counts. */
async function load({ root, backend, base }: Extract<Request, { kind: "load" }>): Promise<void> {
  const mine = ++loads;
  let last = 0;
  const onProgress: OnProgress = (received, expected, step) => {
    if (mine !== loads || (performance.now() - last < 100 && step === "loading")) return;
    last = performance.now();
    reply({ kind: "progress", received, expected, step });
  };
  const loaded = await (base === null ? Engine.load(root, backend, onProgress) : Engine.loadServed(root, base, backend, onProgress));
  if (mine !== loads) return loaded.network.release();
  exchange = () => begin(loaded); // not while the former one is at work
  return pump();
}

async function begin(loaded: Engine): Promise<void> {
  const former = engine;
  [engine, edit, thumbnailsLeft] = [loaded, null, []];
  await former?.network.release();
  const { name, licence, size } = loaded.base;
  const effects = loaded.effects.map(({ name, prompt }) => ({ name, prompt }));
  const { backend: found, threads } = loaded.network;
  reply({ kind: "ready", effects, base: { name, licence, size }, backend: found, threads, notes: [...loaded.notes] });
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
    photo = { source: given instanceof Blob ? given : null, own: [ownWidth, ownHeight], pixels, shown };
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
    const { small, edited } = await engine.working(frame, choice, most, false);
    const full = enlarge(frame, small, edited, engine.settings(choice).detail);
    const [before, after] = await Promise.all([toBitmap(frame), toBitmap(mix(frame, full, strength))]);
    reply({ kind: "frame", before, after, milliseconds: performance.now() - start }, [before, after]);
  } catch (error) {
    if (!(error instanceof Busy)) throw error;
    reply({ kind: "dropped" });
  } finally {
    source.close();
  }
}

async function save({ type, choice, strength }: Extract<Request, { kind: "save" }>): Promise<void> {
  if (engine === null || photo === null) return;
  if (engine.network instanceof ServerNetwork) return saveOnServer(engine.network, photo, type, choice, strength);
  const { small, edited } = await editOf(engine, photo, choice);
  const full = enlarge(photo.pixels, small, edited, engine.settings(choice).detail);
  const blob = await encode(mix(photo.pixels, full, strength), type);
  reply({ kind: "saved", blob, width: photo.pixels.width, height: photo.pixels.height });
}

/** The file itself is sent, and comes back as `e2gan edit` has it; a picture of the camera as it was taken. */
async function saveOnServer(network: ServerNetwork, from: Photo, type: string, choice: Choice, strength: number): Promise<void> {
  network.patient = true;
  const source = from.source ?? (await encode(from.pixels, "image/png"));
  const [width, height] = from.source === null ? [from.pixels.width, from.pixels.height] : from.own;
  reply({ kind: "saved", blob: await network.edit(source, choice, strength, type), width, height });
}

/** One at a time: whatever else is asked for goes between. */
async function showThumbnails(): Promise<void> {
  if (engine === null || photo === null) return;
  if (thumbnailsLeft.length === 0) thumbnailsLeft = engine.effects.map(({ name }) => name);
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
