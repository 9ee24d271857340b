/** What `e2gan app` says that it has: bases, their effects, and what it could not load. */

import type { Detail } from "./manifest.ts";
import { Problem } from "./problem.ts";

/** An effect as the page shows it, and as it edits with it. */
export interface EffectFacts {
  name: string;
  prompt: string;
  size: number;
  detail: Detail;
}

export interface ServedBase {
  id: string;
  name: string;
  licence: string;
  size: number;
  multiple: number;
  browser: "none" | "possible" | "preparing" | "ready"; // whether it has files for browsers that compute themselves
  made: string | null; // another where those files are others
  effects: EffectFacts[];
}

export interface Library {
  version: string; // another where anything is another
  bases: ServedBase[];
  problems: string[];
}

type Fields = Record<string, unknown>;

/** Throws a Problem for what is no such answer: of another version of the program, or of another one. */
export function readLibrary(found: unknown): Library {
  const { version, bases, problems } = fields(found);
  if (typeof version !== "string" || !Array.isArray(bases) || !Array.isArray(problems)) throw wrong();
  return { version, bases: bases.map(readBase), problems: problems.map(String) };
}

function readBase(value: unknown): ServedBase {
  const { id, name, licence, size, multiple, browser, made, effects } = fields(value);
  if (!isText(id) || !/^[0-9a-f]+$/.test(id) || !isText(name) || !isText(licence)) throw wrong();
  if (!isCount(size) || !isCount(multiple) || !Array.isArray(effects)) throw wrong();
  const known = browser === "none" || browser === "possible" || browser === "preparing" || browser === "ready";
  if (!known) throw wrong();
  return { id, name, licence, size, multiple, browser, made: isText(made) ? made : null, effects: effects.map(readEffect) };
}

function readEffect(value: unknown): EffectFacts {
  const { name, prompt, size, detail } = fields(value);
  if (!isText(name) || !isText(prompt) || !isCount(size) || (detail !== "guided" && detail !== "none")) throw wrong();
  return { name, prompt, size, detail };
}

function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null) throw wrong();
  return value as Fields;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function wrong(): Problem {
  return new Problem("The server's answer is not one that this page knows: load the page anew.");
}
