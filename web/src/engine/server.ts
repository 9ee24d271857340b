/** The network on the server that the page came from (`e2gan app`). It waits where the server says so. */

import type { Choice } from "../runtime/choice.ts";
import type { ServedBase } from "../runtime/library.ts";
import { emptyPixels, type Pixels } from "../runtime/pixels.ts";
import type { Place } from "../runtime/predictor.ts";
import { Problem } from "../runtime/problem.ts";
import type { Network } from "./network.ts";

const PATIENCE = 120_000; // milliseconds that one request is repeated for
const SILENT = "The computer that this page came from does not answer: is `e2gan app` still running there?";

/** The server has its hands full, and the picture is not worth waiting for. */
export class Busy extends Error {}

export class ServerNetwork implements Network {
  readonly backend = "server";
  readonly threads = 0;
  /** Whether it waits and repeats where the server is busy; else Busy is thrown. */
  patient = true;
  private readonly page: string;
  private readonly base: ServedBase;
  private choice: Choice = [];

  /** page: its address, with a slash at its end. */
  constructor(page: string, base: ServedBase) {
    this.page = page;
    this.base = base;
  }

  async use(choice: Choice): Promise<void> {
    this.choice = choice;
  }

  async run(photo: Pixels, place: Place): Promise<Pixels> {
    const { width, height } = photo;
    const query = this.query(this.choice, { width: String(width), height: String(height), place: place.join(",") });
    const response = await this.post("api/network", query, new Uint8Array(photo.data));
    const found = new Uint8Array(await response.arrayBuffer().catch(() => new ArrayBuffer(0)));
    if (found.length !== photo.data.length) throw new Problem(SILENT);
    const edit = emptyPixels(width, height);
    edit.data.set(found);
    return edit;
  }

  /** A photo's edit as a file, as the command `edit` writes it: at its own size, in its own colours. */
  async edit(photo: Blob, choice: Choice, strength: number, type: string): Promise<Blob> {
    const response = await this.post("api/edit", this.query(choice, { strength: String(strength), type }), photo);
    try {
      return await response.blob();
    } catch {
      throw new Problem(SILENT);
    }
  }

  async release(): Promise<void> {}

  private query(choice: Choice, more: Record<string, string>): URLSearchParams {
    const query = new URLSearchParams({ base: this.base.id, ...more });
    for (const { name, weight } of choice) {
      query.append("effect", name);
      query.append("weight", String(weight));
    }
    return query;
  }

  private async post(path: string, query: URLSearchParams, body: BodyInit): Promise<Response> {
    const headers = { "Content-Type": "application/octet-stream" };
    const response = await repeated(new URL(`${path}?${query}`, this.page), { method: "POST", body, headers }, this.patient);
    if (!response.ok) throw new Problem(await reason(response));
    return response;
  }
}

/** The answer to a request, which is repeated as long as the server says that it is busy. */
export async function repeated(url: URL, request: RequestInit, patient = true, patience = PATIENCE): Promise<Response> {
  const end = performance.now() + patience;
  for (;;) {
    const response = await fetch(url, { ...request, credentials: "same-origin" }).catch(() => {
      throw new Problem(SILENT);
    });
    if (response.status !== 503) return response;
    await response.body?.cancel();
    if (!patient) throw new Busy();
    if (performance.now() > end) throw new Problem("The computer that edits is busy with others: try again in a while.");
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(10, Math.max(0.2, seconds || 1))));
  }
}

/** Why the server refused, in its own words. */
export async function reason(response: Response): Promise<string> {
  if (response.status === 401) return "This page's token is of an earlier start: open the address that `e2gan app` printed.";
  const told = (await response.json().catch(() => null)) as { error?: unknown } | null;
  const line = typeof told?.error === "string" ? told.error : `the server answered ${response.status}`;
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}.`;
}
