/** A photo that is chosen, dropped or pasted. */

import { byId } from "./dom.ts";

export function onPhoto(open: (file: Blob) => void, none: () => void): void {
  const input = byId<HTMLInputElement>("file");
  input.addEventListener("change", () => {
    if (input.files?.[0]) open(input.files[0]);
    input.value = ""; // the same file again is a choice too
  });
  const drop = byId("drop");
  let inside = 0;
  document.addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files")) drop.hidden = ++inside === 0;
  });
  document.addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    drop.hidden = inside === 0;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    drop.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (file) open(file);
    else none();
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) open(file);
    else if (event.clipboardData?.types.length) none();
  });
}

export function choose(): void {
  byId<HTMLInputElement>("file").click();
}
