/** The page's own elements by their ids. */
export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** The buttons that do one thing; some stand in two places. */
export function buttonsFor(does: string): HTMLButtonElement[] {
  return [...document.querySelectorAll<HTMLButtonElement>(`button[data-does="${does}"]`)];
}

export function show(does: string, shown: boolean): void {
  for (const button of buttonsFor(does)) button.hidden = !shown;
}

/** A file for the visitor to keep. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
