/** The network in this browser: a folder's base, and its effects as they are asked for. */

import { keyOf, type Choice } from "../runtime/choice.ts";
import { checkEffect, effectInputs, type LoadedEffect } from "../runtime/lora.ts";
import type { Effect, Manifest } from "../runtime/manifest.ts";
import { emptyPixels, type Pixels } from "../runtime/pixels.ts";
import { padded, WHOLE, type Place } from "../runtime/predictor.ts";
import { Problem } from "../runtime/problem.ts";
import { parseSafetensors } from "../runtime/safetensors.ts";
import { fetchEntry } from "./fetching.ts";
import type { Backend, Network } from "./network.ts";
import { bytesOf, findBuild, loadRuntime, Session, type LocalBackend, type Runtime } from "./session.ts";

const TRIAL = 64;
const AGREES = 2; // levels of 255, in the mean, that graphics may differ from the processor

export type OnProgress = (received: number, expected: number, step: string) => void;

export class LocalNetwork implements Network {
  readonly backend: Backend;
  readonly threads: number;
  /** Why it does not run on the graphics, where it should have. */
  readonly fault: string | null;
  private readonly root: string;
  private readonly manifest: Manifest;
  private readonly session: Session;
  private readonly loaded = new Map<string, Promise<LoadedEffect>>();
  private used = "";

  private constructor(root: string, manifest: Manifest, runtime: Runtime, session: Session, fault: string | null) {
    this.root = root;
    this.manifest = manifest;
    this.session = session;
    this.backend = runtime.backend;
    this.threads = runtime.threads;
    this.fault = fault;
  }

  /**
   * page: where onnxruntime's files lie, root: where the manifest's do; addresses with a slash at their ends. Throws a
   * Problem for a folder or a browser that cannot.
   */
  static async load(page: string, root: string, manifest: Manifest, forced: LocalBackend | null, onProgress: OnProgress): Promise<LocalNetwork> {
    const build = await findBuild(forced);
    const expected = manifest.base.bytes + bytesOf(build);
    const received = [0, 0];
    const count = (which: number) => (bytes: number) => {
      received[which] = bytes;
      onProgress(Math.min(expected, received[0] + received[1]), expected, "loading");
    };
    const [runtime, base] = await Promise.all([
      loadRuntime(build, page, count(0)),
      fetchEntry(root, manifest.base, count(1)),
    ]);
    onProgress(expected, expected, "preparing");
    const [session, fault] = await makeSession(runtime, base, manifest);
    return new LocalNetwork(root, manifest, runtime, session, fault);
  }

  private effect(name: string): Effect {
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

  run(photo: Pixels, place: Place): Promise<Pixels> {
    return padded(this.manifest.base.multiple, (part, seen) => this.session.run(part, seen))(photo, place);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** In WebGPU where that gives what the processor gives, else on the processor, and why. */
async function makeSession(runtime: Runtime, base: Uint8Array, manifest: Manifest): Promise<[Session, string | null]> {
  if (runtime.backend === "wasm") return [await Session.make(runtime, base, manifest), null];
  const processor: Runtime = { ...runtime, backend: "wasm" };
  const own = await Session.make(processor, base, manifest);
  let fault: string;
  try {
    const graphics = await Session.make(runtime, base, manifest);
    const [found, wanted] = [await trial(graphics, manifest), await trial(own, manifest)];
    const far = found.data.reduce((sum, value, i) => sum + Math.abs(value - wanted.data[i]), 0) / found.data.length;
    if (far <= AGREES) {
      await own.release();
      return [graphics, null];
    }
    fault = "This device's graphics gave wrong pictures";
  } catch {
    fault = "This device's graphics (WebGPU) could not run the effects";
  }
  runtime.backend = "wasm";
  return [own, fault];
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
