/** What the page and its worker say to each other. The page draws; all computing is the worker's. */

import type { Choice } from "../runtime/choice.ts";
import type { ServedBase } from "../runtime/library.ts";
import type { Backend } from "./network.ts";

export type Request =
  | { kind: "load"; root: string; backend: Backend | null; base: ServedBase | null } // base: of a server behind the page
  | { kind: "photo"; source: Blob | ImageBitmap; most: number }
  | { kind: "edit"; choice: Choice; strength: number }
  | { kind: "thumbnails" }
  | { kind: "frame"; source: VideoFrame | ImageBitmap; choice: Choice; strength: number; most: number | null; mirrored: boolean }
  | { kind: "still"; source: VideoFrame | ImageBitmap; mirrored: boolean; most: number }
  | { kind: "save"; type: "image/png" | "image/jpeg"; choice: Choice; strength: number };

export interface EffectName {
  name: string;
  prompt: string;
}

export interface Ready {
  kind: "ready";
  effects: EffectName[];
  base: { name: string; licence: string; size: number };
  backend: Backend;
  threads: number;
  notes: string[];
}

export type Reply =
  | { kind: "progress"; received: number; expected: number; step: string }
  | Ready
  | { kind: "photo"; width: number; height: number; shown: ImageBitmap; note: string | null }
  | { kind: "edit"; shown: ImageBitmap; milliseconds: number | null; key: string; note: string | null }
  | { kind: "thumbnail"; name: string; shown: ImageBitmap }
  | { kind: "broken-effect"; name: string; message: string }
  | { kind: "frame"; before: ImageBitmap; after: ImageBitmap; milliseconds: number }
  | { kind: "dropped" } // a frame that the server had no time for
  | { kind: "saved"; blob: Blob; width: number; height: number }
  | { kind: "failed"; during: Request["kind"]; message: string };
