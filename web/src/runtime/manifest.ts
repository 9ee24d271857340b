/** effects.json: what the folder holds. Checked before anything that it names is fetched. */

import { Problem } from "./problem.ts";

export type InputKind = "photo" | "place" | "strength" | "weights" | "prompt" | "lora";

export interface GraphInput {
  name: string;
  kind: InputKind;
  shape: (number | null)[];
  rankAxis: number; // of a lora input
  scaled: boolean; // whether a mix multiplies it by the effect's weight
}

export interface FileEntry {
  file: string;
  bytes: number;
  sha256: string | null;
}

export type Detail = "guided" | "none";

export interface Effect {
  name: string;
  prompt: string;
  weights: FileEntry;
  promptFile: FileEntry | null;
  size: number;
  detail: Detail;
}

export interface Base extends FileEntry {
  name: string;
  size: number;
  multiple: number;
  licence: string;
}

export interface Manifest {
  base: Base;
  inputs: GraphInput[];
  effects: Effect[];
}

export const MANIFEST = "effects.json";
const FORMAT = "e2gan effects";
const KINDS: string[] = ["photo", "place", "strength", "weights", "prompt", "lora"];
const MOST_BASE = 512 << 20;
const MOST_EFFECT = 16 << 20;

type Fields = Record<string, unknown>;

/** Throws a Problem for a text that is no such manifest, is of a later version, or names files outside its folder. */
export function parseManifest(text: string): Manifest {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw wrong("it is not JSON");
  }
  const top = fields(found, "it");
  if (top.format !== FORMAT) throw wrong("it is of another kind");
  if (top.version !== 1) throw wrong(`it is of version ${String(top.version)}, and this page reads version 1`);
  const base = fields(top.base, "base");
  const inputs = list(top.inputs, "inputs").map(readInput);
  if (!inputs.some(({ kind }) => kind === "photo")) throw wrong("its base takes no photo");
  const effects = list(top.effects, "effects").map(readEffect);
  if (effects.length === 0) throw wrong("it lists no effect");
  if (new Set(effects.map(({ name }) => name)).size < effects.length) throw wrong("two effects have the same name");
  return {
    base: {
      name: words(base.name, "base.name"),
      licence: words(base.licence, "base.licence"),
      size: whole(base.size, "base.size", 16, 4096),
      multiple: whole(base.multiple, "base.multiple", 1, 256),
      ...entry(base, "file", "base", MOST_BASE),
    },
    inputs,
    effects,
  };
}

function readInput(value: unknown): GraphInput {
  const input = fields(value, "an input");
  const name = words(input.name, "an input's name");
  if (typeof input.kind !== "string" || !KINDS.includes(input.kind)) throw wrong(`its input ${name} is of no known kind`);
  const shape = list(input.shape, `the shape of ${name}`).map((side) =>
    side === null ? null : whole(side, `the shape of ${name}`, 1, 1 << 20),
  );
  const lora = input.kind === "lora";
  const rankAxis = lora ? whole(input.rank_axis, `the rank axis of ${name}`, 0, shape.length - 1) : -1;
  return { name, kind: input.kind as InputKind, shape, rankAxis, scaled: input.scaled === true };
}

function readEffect(value: unknown): Effect {
  const effect = fields(value, "an effect");
  const name = words(effect.name, "an effect's name");
  const detail = effect.detail;
  if (detail !== "guided" && detail !== "none") throw wrong(`the detail of ${name} is neither guided nor none`);
  return {
    name,
    prompt: typeof effect.prompt === "string" ? effect.prompt : "",
    weights: entry(effect, "file", name, MOST_EFFECT),
    promptFile: effect.prompt_file == null ? null : promptEntry(effect, name),
    size: whole(effect.size, `the size of ${name}`, 16, 4096),
    detail,
  };
}

function promptEntry(effect: Fields, name: string): FileEntry {
  const file = path(effect.prompt_file, `${name}.prompt_file`);
  const bytes = effect.prompt_bytes;
  return {
    file,
    bytes: bytes === undefined ? 0 : whole(bytes, `${name}.prompt_bytes`, 1, MOST_EFFECT),
    sha256: hash(effect.prompt_sha256, name),
  };
}

function entry(from: Fields, key: string, what: string, most: number): FileEntry {
  return {
    file: path(from[key], `${what}.${key}`),
    bytes: whole(from.bytes, `the bytes of ${what}`, 1, most),
    sha256: hash(from.sha256, what),
  };
}

function hash(value: unknown, what: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) throw wrong(`the SHA-256 of ${what} is none`);
  return value;
}

/** A path inside the folder: the page fetches nothing else, whatever a manifest says. */
function path(value: unknown, what: string): string {
  const text = words(value, what);
  const parts = text.split("/");
  if (/[\\:?#%]/.test(text) || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw wrong(`${what} is no file of its folder`);
  }
  return text;
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(`${what} has no fields`);
  return value as Fields;
}

function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > 4096) throw wrong(`${what} is no list`);
  return value;
}

function words(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "" || value.length > 100_000) throw wrong(`${what} is no text`);
  return value;
}

function whole(value: unknown, what: string, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw wrong(`${what} is no whole number from ${least} to ${most}`);
  }
  return value as number;
}

function wrong(why: string): Problem {
  return new Problem(`${MANIFEST} does not describe effects: ${why}.`);
}
