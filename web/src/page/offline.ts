/** The service worker: the page works offline, and is isolated, which threads need. */

import { note } from "./messages.ts";

const TRIED = "e2gan: isolation tried";
const PATIENCE = 10_000;

/** Resolves when files that are loaded from now on are kept. May load the page anew, once, to isolate it. */
export async function prepareOffline(onUpdate: () => void): Promise<void> {
  if (!("serviceWorker" in navigator)) {
    note(
      self.isSecureContext
        ? "This browser keeps no pages for use without a connection, so the page needs one each time."
        : "This page came over plain http: it runs on one thread, and without the camera or offline use. Over https it has all three.",
    );
    return;
  }
  try {
    const registration = await navigator.serviceWorker.register("./sw.js");
    if (navigator.serviceWorker.controller === null) {
      const controlled = new Promise<void>((resolve) => {
        navigator.serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
        setTimeout(resolve, PATIENCE);
      });
      registration.active?.postMessage("claim"); // a page that was loaded anew past the worker
      await controlled;
    }
  } catch {
    note("This browser could not keep the page for use without a connection.");
    return;
  }
  if (navigator.serviceWorker.controller === null) return;
  if (!self.crossOriginIsolated && sessionStorage.getItem(TRIED) === null) {
    sessionStorage.setItem(TRIED, "yes");
    location.reload();
    await new Promise(() => {});
  }
  navigator.serviceWorker.addEventListener("controllerchange", onUpdate);
}
