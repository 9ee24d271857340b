/** Files of the site's own folder: read once, counted as they come, checked against what the manifest says of them. */

import type { FileEntry } from "../runtime/manifest.ts";
import { Problem } from "../runtime/problem.ts";

export type OnBytes = (received: number) => void;

/** A file's bytes. url: absolute. Throws a Problem where it is not there. */
export async function fetchBytes(url: string, onBytes: OnBytes = () => {}, cache: RequestCache = "default"): Promise<Uint8Array<ArrayBuffer>> {
  const name = decodeURIComponent(url.slice(url.lastIndexOf("/") + 1));
  let response: Response;
  try {
    response = await fetch(url, { cache, credentials: "same-origin" });
  } catch {
    throw new Problem(`${name} could not be loaded: is there a connection to this site?`);
  }
  if (!response.ok) throw new Problem(`${name} is missing on this site (${response.status}).`);
  const reader = response.body?.getReader();
  if (reader === undefined) return new Uint8Array(await response.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Problem(`${name} broke off while it was loaded: is there a connection to this site?`);
    });
    if (done) break;
    chunks.push(value);
    length += value.length;
    onBytes(length);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

type Unpack = (bytes: Uint8Array<ArrayBuffer>, file: string) => Promise<Uint8Array<ArrayBuffer>>;

/**
 * A file that the manifest names, or the page. unpack: what makes of its bytes those that the entry tells of. Throws a
 * Problem where it is another one than it was when the site was made.
 */
export async function fetchEntry(root: string, entry: FileEntry, onBytes?: OnBytes, unpack?: Unpack): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(entry.file, root).href;
  // An older one, of before the site was made anew, may lie in the browser's cache: then it is asked for again.
  for (const cache of ["default", "reload"] as const) {
    const bytes = await fetchBytes(url, onBytes, cache);
    const unpacked = unpack === undefined ? bytes : await unpack(bytes, entry.file).catch(unlessProblem);
    if (unpacked !== null && (await agrees(unpacked, entry))) return unpacked;
  }
  throw new Problem(`${entry.file} is damaged, or is not the file that this site was made with.`);
}

function unlessProblem(error: unknown): null {
  if (error instanceof Problem) throw error;
  return null;
}

async function agrees(bytes: Uint8Array<ArrayBuffer>, { bytes: wanted, sha256 }: FileEntry): Promise<boolean> {
  if (wanted > 0 && bytes.length !== wanted) return false;
  if (sha256 === null || crypto.subtle === undefined) return true; // over plain http a browser has no hashes
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

/** A WebAssembly binary, packed by gzip or Brotli; or as it is, from a server that unpacks such files itself. */
export async function unpackBinary(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d) return bytes; // "\0asm"
  if (file.endsWith(".gz")) return unpack(bytes, new DecompressionStream("gzip"));
  let brotli: DecompressionStream;
  try {
    brotli = new DecompressionStream("brotli" as CompressionFormat); // not in each browser
  } catch {
    const { default: decompress } = await import("brotli/decompress").catch(() => {
      throw new Problem("A part of this page could not be loaded: is there a connection to this site?");
    });
    return decompress(bytes);
  }
  return unpack(bytes, brotli);
}

async function unpack(bytes: Uint8Array<ArrayBuffer>, by: DecompressionStream): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(by)).arrayBuffer());
}
