/** Effects at work: what they are, the network that edits, and what becomes of pictures of any size. */

import { strongest, type Choice } from "../runtime/choice.ts";
import type { EffectFacts, ServedBase } from "../runtime/library.ts";
import { MANIFEST, parseManifest } from "../runtime/manifest.ts";
import { crop, isFlat, type Pixels } from "../runtime/pixels.ts";
import { editSmall, WHOLE, type Place, type Settings, type Working } from "../runtime/predictor.ts";
import { Problem } from "../runtime/problem.ts";
import { resize } from "../runtime/resize.ts";
import { fetchBytes } from "./fetching.ts";
import { LocalNetwork, type OnProgress } from "./local.ts";
import type { Backend, Network } from "./network.ts";
import { reason, repeated, ServerNetwork } from "./server.ts";
import { hasAdapter, type LocalBackend } from "./session.ts";

const THUMBNAIL = 128;
const EXPORT = 600_000; // milliseconds that a server may take to write a base for browsers

interface BaseFacts {
  name: string;
  licence: string;
  size: number;
  multiple: number;
}

export class Engine {
  readonly base: BaseFacts;
  readonly effects: readonly EffectFacts[];
  readonly network: Network;
  readonly notes: readonly string[];

  private constructor(base: BaseFacts, effects: readonly EffectFacts[], network: Network, notes: readonly string[]) {
    this.base = base;
    this.effects = effects;
    this.network = network;
    this.notes = notes;
  }

  /** page: its address, with a slash at its end; a static site's folder. Throws a Problem for a folder or a browser that cannot. */
  static async load(page: string, forced: Backend | null, onProgress: OnProgress): Promise<Engine> {
    if (forced === "server") throw new Problem("This is a static site: no server is behind it that could edit.");
    const engine = await Engine.inBrowser(page, page, forced, onProgress);
    const { fault } = engine.network as LocalNetwork;
    return fault === null ? engine : engine.with([`${fault}, so the effects run on the processor, more slowly.`]);
  }

  /** Of `e2gan app`: in this browser where that has WebGPU, else on the server; and there until the base is ready here. */
  static async loadServed(page: string, base: ServedBase, forced: Backend | null, onProgress: OnProgress): Promise<Engine> {
    if (typeof OffscreenCanvas === "undefined") {
      throw new Problem("This browser is too old for this page; its present version is not.");
    }
    const onServer = (...notes: string[]) => new Engine(base, base.effects, new ServerNetwork(page, base), notes);
    const wanted = forced === null ? await hasAdapter() : forced !== "server";
    if (!wanted) return onServer();
    if (base.browser === "none") {
      return onServer("This base's effects cannot be made ready for browsers there, so the computer that this page came from edits.");
    }
    const root = new URL(`bases/${base.id}/`, page).href;
    if (forced === null && base.browser !== "ready") {
      void fetch(new URL(MANIFEST, root), { credentials: "same-origin" }).catch(() => {}); // it begins to make them
      return onServer("The effects are being made ready for this browser; until then the computer that this page came from edits.");
    }
    const engine = await Engine.inBrowser(page, root, forced as LocalBackend | null, onProgress);
    const { fault } = engine.network as LocalNetwork;
    if (fault === null) return engine;
    if (forced !== null) return engine.with([`${fault}, so the effects run on the processor, more slowly.`]);
    await engine.network.release();
    return onServer(`${fault}, so the computer that this page came from edits.`);
  }

  private static async inBrowser(page: string, root: string, forced: LocalBackend | null, onProgress: OnProgress): Promise<Engine> {
    const url = new URL(MANIFEST, root);
    const text = page === root ? await fetchBytes(url.href) : await manifestOf(url, onProgress);
    const manifest = parseManifest(new TextDecoder().decode(text));
    const network = await LocalNetwork.load(page, root, manifest, forced, onProgress);
    return new Engine(manifest.base, manifest.effects, network, []);
  }

  private with(notes: readonly string[]): Engine {
    return new Engine(this.base, this.effects, this.network, notes);
  }

  settings(choice: Choice, most?: number | null): Settings {
    const { size, detail } = strongest(choice, this.effects);
    return { size, detail, multiple: this.base.multiple, most: most ?? undefined };
  }

  private readonly run = (photo: Pixels, place: Place) => this.network.run(photo, place);

  /** patient: whether a server that is busy is waited for; else Busy is thrown. */
  async working(photo: Pixels, choice: Choice, most?: number | null, patient = true): Promise<Working> {
    if (this.network instanceof ServerNetwork) this.network.patient = patient;
    await this.network.use(choice);
    return editSmall(photo, this.settings(choice, most), this.run);
  }

  /** The middle of a photo, small, under one effect. */
  async thumbnail(photo: Pixels, name: string): Promise<Pixels> {
    if (this.network instanceof ServerNetwork) this.network.patient = true;
    await this.network.use([{ name, weight: 1 }]);
    return this.run(middle(photo), WHOLE);
  }
}

/** A base's files, which the server may first have to write. */
async function manifestOf(url: URL, onProgress: OnProgress): Promise<ArrayBuffer> {
  onProgress(1, 1, "preparing");
  const response = await repeated(url, {}, true, EXPORT);
  if (!response.ok) throw new Problem(await reason(response));
  return response.arrayBuffer();
}

function middle(photo: Pixels): Pixels {
  const side = Math.min(photo.width, photo.height);
  const [left, top] = [Math.floor((photo.width - side) / 2), Math.floor((photo.height - side) / 2)];
  return resize(crop(photo, left, top, side, side), THUMBNAIL, THUMBNAIL);
}

/** Throws a Problem for an edit of one colour, which a picture with anything on it never has. */
export function refuseFlat(photo: Pixels, edit: Pixels, name: string): void {
  if (isFlat(edit) && !isFlat(photo)) throw new Problem(`The effect “${name}” gives a picture of one colour: it is damaged.`);
}
