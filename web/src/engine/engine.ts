/** A loaded folder at work: its base, its effects as they are asked for, and what they make of pictures. */

import { keyOf, strongest, type Choice } from "../runtime/choice.ts";
import { checkEffect, effectInputs, type LoadedEffect } from "../runtime/lora.ts";
import { MANIFEST, parseManifest, type Effect, type Manifest } from "../runtime/manifest.ts";
import { crop, emptyPixels, isFlat, type Pixels } from "../runtime/pixels.ts";
import { editPadded, editSmall, WHOLE, type Place, type Settings, type Working } from "../runtime/predictor.ts";
import { Problem } from "../runtime/problem.ts";
import { resize } from "../runtime/resize.ts";
import { parseSafetensors } from "../runtime/safetensors.ts";
import { fetchBytes, fetchEntry } from "./fetching.ts";
import { bytesOf, findBuild, loadRuntime, Session, type Backend, type Runtime } from "./session.ts";

const THUMBNAIL = 128;
const TRIAL = 64;
const AGREES = 2; // levels of 255, in the mean, that graphics may differ from the processor

export type OnProgress = (received: number, expected: number, step: string) => void;

export class Engine {
  readonly manifest: Manifest;
  readonly runtime: Runtime;
  readonly notes: string[];
  private readonly root: string;
  private readonly session: Session;
  private readonly loaded = new Map<string, Promise<LoadedEffect>>();
  private used = "";

  private constructor(root: string, manifest: Manifest, runtime: Runtime, session: Session, notes: string[]) {
    this.root = root;
    this.manifest = manifest;
    this.runtime = runtime;
    this.session = session;
    this.notes = notes;
  }

  /** root: the folder's address, with a slash at its end. Throws a Problem for a folder or a browser that cannot. */
  static async load(root: string, forced: Backend | null, onProgress: OnProgress): Promise<Engine> {
    const text = new TextDecoder().decode(await fetchBytes(new URL(MANIFEST, root).href));
    const manifest = parseManifest(text);
    const build = await findBuild(forced);
    const expected = manifest.base.bytes + bytesOf(build);
    const received = [0, 0];
    const count = (which: number) => (bytes: number) => {
      received[which] = bytes;
      onProgress(Math.min(expected, received[0] + received[1]), expected, "loading");
    };
    const [runtime, base] = await Promise.all([
      loadRuntime(build, root, count(0)),
      fetchEntry(root, manifest.base, count(1)),
    ]);
    onProgress(expected, expected, "preparing");
    const notes: string[] = [];
    const session = await makeSession(runtime, base, manifest, notes);
    return new Engine(root, manifest, runtime, session, notes);
  }

  effect(name: string): Effect {
    const effect = this.manifest.effects.find((one) => one.name === name);
    if (effect === undefined) throw new Problem(`This site has no effect “${name}”.`);
    return effect;
  }

  /** Fetched the first time. Throws a Problem for a damaged file, or one of another base. */
  private load(name: string): Promise<LoadedEffect> {
    let loading = this.loaded.get(name);
    if (loading === undefined) {
      loading = this.fetchEffect(this.effect(name));
      this.loaded.set(name, loading);
      loading.catch(() => this.loaded.delete(name));
    }
    return loading;
  }

  private async fetchEffect(effect: Effect): Promise<LoadedEffect> {
    const entries = [effect.weights, ...(effect.promptFile ? [effect.promptFile] : [])];
    const files = await Promise.all(entries.map((entry) => fetchEntry(this.root, entry)));
    const tensors = new Map(files.flatMap((file, i) => [...parseSafetensors(file.buffer, entries[i].file)]));
    const loaded = { effect, tensors };
    checkEffect(loaded, this.manifest.inputs);
    return loaded;
  }

  async use(choice: Choice): Promise<void> {
    const key = keyOf(choice);
    if (key === this.used) return;
    const parts = await Promise.all(choice.map(async ({ name, weight }) => ({ loaded: await this.load(name), weight })));
    this.session.use(effectInputs(parts, this.manifest.inputs));
    this.used = key;
  }

  settings(choice: Choice, most?: number | null): Settings {
    const { size, detail } = strongest(choice, this.manifest.effects);
    return { size, detail, multiple: this.manifest.base.multiple, most: most ?? undefined };
  }

  private readonly run = (photo: Pixels, place: Place) => this.session.run(photo, place);

  async working(photo: Pixels, choice: Choice, most?: number | null): Promise<Working> {
    await this.use(choice);
    return editSmall(photo, this.settings(choice, most), this.run);
  }

  /** The middle of a photo, small, under one effect. */
  async thumbnail(photo: Pixels, name: string): Promise<Pixels> {
    await this.use([{ name, weight: 1 }]);
    return editPadded(middle(photo), this.manifest.base.multiple, this.run, WHOLE);
  }
}

function middle(photo: Pixels): Pixels {
  const side = Math.min(photo.width, photo.height);
  const [left, top] = [Math.floor((photo.width - side) / 2), Math.floor((photo.height - side) / 2)];
  return resize(crop(photo, left, top, side, side), THUMBNAIL, THUMBNAIL);
}

/** In WebGPU where that gives what the processor gives, else on the processor, and a note that says so. */
async function makeSession(runtime: Runtime, base: Uint8Array, manifest: Manifest, notes: string[]): Promise<Session> {
  if (runtime.backend === "wasm") return Session.make(runtime, base, manifest);
  const processor: Runtime = { ...runtime, backend: "wasm" };
  const own = await Session.make(processor, base, manifest);
  try {
    const graphics = await Session.make(runtime, base, manifest);
    const [found, wanted] = [await trial(graphics, manifest), await trial(own, manifest)];
    const far = found.data.reduce((sum, value, i) => sum + Math.abs(value - wanted.data[i]), 0) / found.data.length;
    if (far <= AGREES) {
      await own.release();
      return graphics;
    }
    notes.push("This device's graphics gave wrong pictures, so the effects run on the processor, more slowly.");
  } catch {
    notes.push("This device's graphics (WebGPU) could not run the effects, so the processor does, more slowly.");
  }
  runtime.backend = "wasm";
  return own;
}

/** A picture of slopes through the base, with no effect on it. */
async function trial(session: Session, manifest: Manifest): Promise<Pixels> {
  const side = Math.max(1, Math.round(TRIAL / manifest.base.multiple)) * manifest.base.multiple;
  const photo = emptyPixels(side, side);
  for (let i = 0; i < photo.data.length; i++) {
    const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
    photo.data[i] = [x * 4, y * 4, 255 - x * 2 - y * 2][i % 3];
  }
  const tensors = new Map(
    manifest.inputs
      .filter(({ kind }) => kind === "lora" || kind === "prompt" || kind === "weights")
      .map(({ name, kind, shape }) => {
        const sides = shape.map((one) => one ?? 1);
        const data = new Float32Array(sides.reduce((product, one) => product * one, 1));
        if (kind === "weights") data.fill(1);
        return [name, { shape: sides, data }];
      }),
  );
  session.use(tensors);
  return session.run(photo, WHOLE);
}

/** Throws a Problem for an edit of one colour, which a picture with anything on it never has. */
export function refuseFlat(photo: Pixels, edit: Pixels, name: string): void {
  if (isFlat(edit) && !isFlat(photo)) throw new Problem(`The effect “${name}” gives a picture of one colour: it is damaged.`);
}
