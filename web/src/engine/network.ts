/** What edits a picture at the size that the network sees: in this browser, or on the server that the page came from. */

import type { Choice } from "../runtime/choice.ts";
import type { Pixels } from "../runtime/pixels.ts";
import type { Place } from "../runtime/predictor.ts";

export type Backend = "webgpu" | "wasm" | "server";

export interface Network {
  readonly backend: Backend;
  readonly threads: number;
  /** What the next runs apply. Throws a Problem for an effect that cannot be loaded. */
  use(choice: Choice): Promise<void>;
  /** The edit at full strength, of a picture of any size that is edited as one. */
  run(photo: Pixels, place: Place): Promise<Pixels>;
  release(): Promise<void>;
}
