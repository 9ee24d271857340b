/** onnxruntime-web: which of its builds this browser can run, and the base's graph in it. */

import type * as Ort from "onnxruntime-web";

import type { FileEntry, GraphInput, Manifest } from "../runtime/manifest.ts";
import { emptyPixels, type Pixels } from "../runtime/pixels.ts";
import type { Place } from "../runtime/predictor.ts";
import { Problem } from "../runtime/problem.ts";
import type { Tensor } from "../runtime/safetensors.ts";
import { fetchEntry, unpackBinary, type OnBytes } from "./fetching.ts";
import type { Backend } from "./network.ts";

export type LocalBackend = Exclude<Backend, "server">;
type Build = "jspi" | "asyncify" | "plain";

export interface Runtime {
  ort: typeof Ort;
  backend: LocalBackend;
  threads: number;
}

const MOST_THREADS = 4; // more are no faster for pictures of this size
/** Each build's files, beside the page: the binary as it is once it is unpacked, and how many bytes it has packed. */
interface Files {
  script: FileEntry;
  binary: FileEntry;
  packed: number;
}
declare const __ORT__: Record<string, Files>; // by vite.config.ts
const INFIX: Record<Build, string> = { jspi: ".jspi", asyncify: ".asyncify", plain: "" };

function filesOf(build: Build): Files {
  return __ORT__[INFIX[build]];
}

/** Of a build's packed binary, for the progress that is shown. */
export function bytesOf(build: Build): number {
  return filesOf(build).packed;
}

/** Whether a WebGPU adapter can be had, and which build then runs. JSPI's is smaller, and not everywhere. */
export async function findBuild(forced: LocalBackend | null): Promise<Build> {
  if (forced === "wasm" || !(await hasAdapter())) return "plain";
  return "Suspending" in WebAssembly ? "jspi" : "asyncify";
}

export async function hasAdapter(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  if (gpu === undefined) return false;
  return gpu.requestAdapter().then((adapter) => adapter !== null, () => false);
}

/** root: where the folder lies. Throws a Problem where the browser cannot run it at all, and for damaged files. */
export async function loadRuntime(build: Build, root: string, onBytes: OnBytes): Promise<Runtime> {
  if (typeof WebAssembly === "undefined") throw new Problem("This browser has no WebAssembly, which the effects run on.");
  if (typeof OffscreenCanvas === "undefined" || typeof DecompressionStream === "undefined") {
    throw new Problem("This browser is too old for this page; its present version is not.");
  }
  const ort = await importBuild(build);
  const { script, binary } = filesOf(build);
  const threads = self.crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1)) : 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: new URL(script.file, root).href };
  const [unpacked] = await Promise.all([fetchEntry(root, binary, onBytes, unpackBinary), fetchEntry(root, script)]);
  ort.env.wasm.wasmBinary = unpacked.buffer;
  return { ort, backend: build === "plain" ? "wasm" : "webgpu", threads };
}

async function importBuild(build: Build): Promise<typeof Ort> {
  if (build === "jspi") return import("onnxruntime-web/jspi");
  return build === "asyncify" ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm");
}

/** The base's graph, ready to run with any effect's tensors. */
export class Session {
  private readonly runtime: Runtime;
  private readonly session: Ort.InferenceSession;
  private readonly inputs: readonly GraphInput[];
  private feeds = new Map<string, Ort.Tensor>();

  private constructor(runtime: Runtime, session: Ort.InferenceSession, inputs: readonly GraphInput[]) {
    this.runtime = runtime;
    this.session = session;
    this.inputs = inputs;
  }

  /** Throws a Problem where the file is no graph, or has not the inputs that the manifest lists. */
  static async make(runtime: Runtime, base: Uint8Array, manifest: Manifest): Promise<Session> {
    const { ort, backend } = runtime;
    let session: Ort.InferenceSession;
    try {
      session = await ort.InferenceSession.create(base, {
        executionProviders: backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
        graphOptimizationLevel: "all",
        logSeverityLevel: 3, // errors only: that some nodes stay on the processor is as it should be
      });
    } catch (error) {
      throw new Problem(`${manifest.base.file} could not be loaded as a model: ${shortly(error)}`);
    }
    const listed = manifest.inputs.map(({ name }) => name).sort();
    if ([...session.inputNames].sort().join("\n") !== listed.join("\n")) {
      throw new Problem(`${manifest.base.file} does not have the inputs that effects.json lists.`);
    }
    return new Session(runtime, session, manifest.inputs);
  }

  /** The effect, or the mix, that the next runs apply. */
  use(tensors: Map<string, Tensor>): void {
    for (const tensor of this.feeds.values()) tensor.dispose();
    this.feeds = new Map([...tensors].map(([name, { shape, data }]) => [name, this.tensor(data, shape)]));
  }

  private tensor(data: Float32Array, shape: readonly number[]): Ort.Tensor {
    return new this.runtime.ort.Tensor("float32", data, shape);
  }

  /** The edit at full strength. photo: of sides that are multiples of the base's own. */
  async run(photo: Pixels, place: Place): Promise<Pixels> {
    const { ort } = this.runtime;
    const shape = [1, photo.height, photo.width, 3];
    const feeds: Record<string, Ort.Tensor> = Object.fromEntries(this.feeds);
    for (const { name, kind } of this.inputs) {
      if (kind === "photo") feeds[name] = new ort.Tensor("uint8", new Uint8Array(photo.data.buffer), shape);
      if (kind === "place") feeds[name] = this.tensor(Float32Array.from(place), [1, 4]);
      if (kind === "strength") feeds[name] = this.tensor(Float32Array.of(1), []);
    }
    const output = (await this.session.run(feeds))[this.session.outputNames[0]];
    const data = (await output.getData()) as Uint8Array;
    if (data.length !== photo.data.length) throw new Problem("The model gave a picture of another size.");
    const edit = emptyPixels(photo.width, photo.height);
    edit.data.set(data);
    output.dispose();
    return edit;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

function shortly(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, " ").slice(0, 200);
}
