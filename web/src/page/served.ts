/** Behind the page of `e2gan app` is a server: what it has, asked for again and again, and which base is chosen. */

import { reason, repeated } from "../engine/server.ts";
import { readLibrary, type Library, type ServedBase } from "../runtime/library.ts";
import { Problem, problemText } from "../runtime/problem.ts";
import { byId } from "./dom.ts";
import { alertOf, clearAlert } from "./messages.ts";
import { titled } from "./effects.ts";

const EVERY = 3000; // milliseconds between two questions, while the page is seen

/** Whether there is one. A static site never asks for it. */
export const isServed = document.documentElement.dataset.served === "app";

export class Served {
  private readonly select = byId<HTMLSelectElement>("base");
  private readonly onBase: (base: ServedBase) => void;
  private bases: ServedBase[] = [];
  private version = "";
  private told = ""; // the base, with all that is on it, that was told last
  private silent = false;

  /** onBase: called with the base that is chosen, and again where what is on it is another. */
  constructor(onBase: (base: ServedBase) => void) {
    this.onBase = onBase;
    this.select.addEventListener("change", () => this.tell());
  }

  /** For ever. */
  async watch(): Promise<never> {
    for (;;) {
      if (!document.hidden) await this.look();
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }

  private async look(): Promise<void> {
    try {
      const response = await repeated(new URL("api/library", new URL("./", location.href)), {});
      if (!response.ok) throw new Problem(await reason(response));
      const library = readLibrary(await response.json());
      if (this.silent) clearAlert();
      this.silent = false;
      if (library.version !== this.version) this.show(library);
    } catch (error) {
      this.silent = true;
      alertOf(problemText(error));
    }
  }

  private show({ version, bases, problems }: Library): void {
    this.version = version;
    this.bases = bases;
    const chosen = this.select.value;
    this.select.replaceChildren(...bases.map(({ id, name, effects }) => new Option(`${titled(name)} (${effects.length})`, id)));
    if (bases.some(({ id }) => id === chosen)) this.select.value = chosen;
    byId("base-row").hidden = bases.length < 2;
    byId("problems").replaceChildren(...problems.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
    if (bases.length === 0) alertOf("There is no effect in the folder yet. One that is put there appears here by itself.");
    this.tell();
  }

  private tell(): void {
    const base = this.bases.find(({ id }) => id === this.select.value);
    const now = JSON.stringify(base);
    if (base === undefined || now === this.told) return;
    this.told = now;
    this.onBase(base);
  }
}
