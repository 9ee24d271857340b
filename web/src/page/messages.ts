/** What the page says in words: what happened, what went wrong, and what this browser cannot do. */

import { byId } from "./dom.ts";

/** Read out when there is time. */
export function say(text: string): void {
  byId("status").textContent = text;
}

/** Read out at once; stays until the next thing works. */
export function alertOf(text: string): void {
  const element = byId("alert");
  element.textContent = text;
  element.hidden = false;
}

export function clearAlert(): void {
  byId("alert").hidden = true;
}

export function note(text: string): void {
  const notes = byId("notes");
  if ([...notes.children].some((line) => line.textContent === text)) return;
  const line = document.createElement("li");
  line.textContent = text;
  notes.append(line);
}

export function clearNotes(): void {
  byId("notes").replaceChildren();
}

export function progress(part: number | null, text = ""): void {
  const element = byId("progress");
  element.hidden = part === null;
  if (part === null) return;
  const bar = element.querySelector("progress") as HTMLProgressElement;
  if (Number.isFinite(part)) bar.value = part;
  else bar.removeAttribute("value");
  (element.querySelector("span") as HTMLElement).textContent = text;
}
