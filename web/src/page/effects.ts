/** The effects to choose from, each a thumbnail of the visitor's own photo. */

import type { EffectName } from "../engine/protocol.ts";
import { byId } from "./dom.ts";

export class EffectStrip {
  private readonly strip = byId("effects").querySelector(".strip") as HTMLElement;
  private readonly second = byId<HTMLSelectElement>("second");
  private readonly entries = new Map<string, { radio: HTMLInputElement; canvas: HTMLCanvasElement; label: HTMLElement }>();

  /** chosen, mixed: what was chosen before, where it still is there. */
  constructor(effects: readonly EffectName[], onChange: () => void, chosen: string | null = null, mixed = "") {
    this.strip.replaceChildren();
    this.second.replaceChildren(this.second.options[0]);
    for (const { name, prompt } of effects) {
      const label = document.createElement("label");
      label.title = prompt;
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "effect", value: name });
      const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
      canvas.setAttribute("aria-hidden", "true");
      const text = document.createElement("span");
      text.textContent = titled(name);
      label.append(radio, canvas, text);
      radio.addEventListener("change", () => {
        label.scrollIntoView({ block: "nearest", inline: "nearest" });
        onChange();
      });
      this.strip.append(label);
      this.entries.set(name, { radio, canvas, label });
      this.second.append(new Option(titled(name), name));
    }
    const names = effects.map(({ name }) => name);
    this.firstOf(chosen !== null && names.includes(chosen) ? [chosen] : names);
    this.second.value = names.includes(mixed) ? mixed : "";
  }

  private firstOf(names: string[]): void {
    const first = names.map((name) => this.entries.get(name)).find((entry) => entry && !entry.radio.disabled);
    if (first) first.radio.checked = true;
  }

  get chosen(): string | null {
    for (const [name, { radio }] of this.entries) if (radio.checked) return name;
    return null;
  }

  thumbnail(name: string, bitmap: ImageBitmap): void {
    const canvas = this.entries.get(name)?.canvas;
    canvas?.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    canvas?.classList.add("drawn");
    bitmap.close();
  }

  /** One that cannot be used: damaged, or of another base. */
  disable(name: string): void {
    const entry = this.entries.get(name);
    if (entry === undefined || entry.radio.disabled) return;
    entry.radio.disabled = true;
    entry.label.classList.add("broken");
    this.second.querySelector(`option[value="${CSS.escape(name)}"]`)?.remove();
    if (entry.radio.checked) {
      entry.radio.checked = false;
      this.firstOf([...this.entries.keys()]);
    }
  }
}

export function titled(name: string): string {
  const words = name.replace(/[-_]+/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
