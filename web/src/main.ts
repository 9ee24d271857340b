/** The page: what is chosen goes to the worker, what comes back is drawn. Nothing is computed here. */

import "./style.css";

import type { Backend } from "./engine/network.ts";
import type { Ready, Reply, Request } from "./engine/protocol.ts";
import { Camera } from "./page/camera.ts";
import { Compare } from "./page/compare.ts";
import { buttonsFor, byId, download, show } from "./page/dom.ts";
import { EffectStrip, titled } from "./page/effects.ts";
import { choose, onPhoto } from "./page/files.ts";
import { alertOf, clearAlert, clearNotes, note, progress, say } from "./page/messages.ts";
import { prepareOffline } from "./page/offline.ts";
import { Clip } from "./page/recorder.ts";
import { isServed, Served } from "./page/served.ts";
import { choiceOf, type Choice } from "./runtime/choice.ts";
import type { ServedBase } from "./runtime/library.ts";
import { problemText } from "./runtime/problem.ts";

const SHOWN_AT_MOST = 2048; // pixels of a photo's longer side on the screen; it is saved at its own size

const BUSY = 200; // milliseconds until a frame is tried again that the server had no time for

const compare = new Compare();
const camera = new Camera();
const strength = byId<HTMLInputElement>("strength");
const second = byId<HTMLSelectElement>("second");
const share = byId<HTMLInputElement>("share");
const liveSize = byId<HTMLSelectElement>("live-size");

let worker: Worker | null = null;
let ready: Ready | null = null;
let strip: EffectStrip | null = null;
let clip: Clip | null = null;
let mode: "empty" | "photo" | "live" = "empty";
let photoName = "photo";
let saveAs: "image/png" | "image/jpeg" = "image/jpeg";
let waitingForStill: "photo" | "thumbnails" | null = null;
let frameTimes: number[] = [];
const early: [Request, Transferable[]][] = []; // asked for before there is a worker

function ask(request: Request, transfer: Transferable[] = []): void {
  if (worker === null) early.push([request, transfer]);
  else worker.postMessage(request, transfer);
}

function choice(): Choice | null {
  const first = strip?.chosen ?? null;
  return first === null ? null : choiceOf(first, second.value || null, Number(share.value) / 100);
}

function strengthNow(): number {
  return Number(strength.value) / 100;
}

// What the worker answers

function hear({ data }: MessageEvent<Reply>): void {
  switch (data.kind) {
    case "progress":
      return showProgress(data);
    case "ready":
      return begin(data);
    case "photo":
      return showPhoto(data);
    case "edit":
      return showEdit(data);
    case "frame":
      return showFrame(data);
    case "thumbnail":
      return strip?.thumbnail(data.name, data.shown);
    case "broken-effect":
      return refuseEffect(data.name, data.message);
    case "dropped":
      return void setTimeout(nextFrame, BUSY);
    case "saved":
      return saved(data);
    case "failed":
      return failed(data);
  }
}

/** Once what it loads is kept for offline use. base: of the server behind the page. */
function startWorker(base: ServedBase | null): void {
  worker = new Worker(new URL("./engine/worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", hear);
  worker.addEventListener("error", (event) => {
    progress(null);
    alertOf(`The effects could not be started in this browser: ${event.message || "its worker did not load"}.`);
  });
  load(base);
  for (const [request, transfer] of early.splice(0)) ask(request, transfer);
}

function load(base: ServedBase | null): void {
  ask({ kind: "load", root: new URL("./", location.href).href, backend: asked(), base });
}

function showProgress({ received, expected, step }: Extract<Reply, { kind: "progress" }>): void {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  if (step === "loading") progress(received / expected, `Loading: ${megabytes(received)} of ${megabytes(expected)} MB`);
  else progress(NaN, "Getting ready");
}

/** Again where another base is chosen, or what a server has is another. */
function begin(now: Ready): void {
  const first = ready === null;
  ready = now;
  progress(null);
  strip = new EffectStrip(now.effects, changed, strip?.chosen ?? null, second.value);
  byId("second").closest("label")!.hidden = now.effects.length < 2;
  if (first) liveSize.value = now.backend === "webgpu" ? "" : "128";
  fillAbout(now);
  tellWhere(now);
  document.documentElement.dataset.ready = now.backend;
  document.documentElement.dataset.loads = String(Number(document.documentElement.dataset.loads ?? 0) + 1);
  if (first) say(mode === "empty" ? "Ready." : "");
  if (mode === "photo") changed();
  if (mode !== "empty") ask({ kind: "thumbnails" });
  if (mode === "live" && first) nextFrame();
}

/** Where it edits, and what that browser cannot have. */
function tellWhere({ backend, notes }: Ready): void {
  if (isServed) clearNotes();
  for (const element of document.querySelectorAll<HTMLElement>("[data-where]")) {
    element.hidden = element.dataset.where !== (backend === "server" ? "server" : "device");
  }
  for (const line of notes) note(line);
  if (backend === "wasm" && notes.length === 0 && asked() !== "wasm") {
    note("This browser has no WebGPU, so the effects run on the processor: more slowly, with the same pictures.");
  }
  if (backend === "wasm" && !crossOriginIsolated) {
    note("This page is not isolated from other sites, so the browser gives it one thread: more slowly, with the same pictures.");
  }
}

function showPhoto({ width, height, shown, note: remark }: Extract<Reply, { kind: "photo" }>): void {
  const wanted = waitingForStill;
  waitingForStill = null;
  if (mode === "live" && wanted !== "photo") {
    shown.close(); // the camera's first picture, for the thumbnails only
    return ask({ kind: "thumbnails" });
  }
  if (mode === "live") stopCamera();
  enter("photo");
  compare.drawBoth(shown);
  compare.set(50);
  badge(`${width} × ${height}`);
  clearAlert();
  say(remark ?? `Photo of ${width} by ${height} pixels.`);
  changed();
  ask({ kind: "thumbnails" });
}

function showEdit({ shown, milliseconds }: Extract<Reply, { kind: "edit" }>): void {
  if (mode !== "photo") return shown.close();
  compare.drawAfter(shown);
  document.documentElement.dataset.edited = String(Number(document.documentElement.dataset.edited ?? 0) + 1);
  byId("stage").removeAttribute("aria-busy");
  for (const button of buttonsFor("save")) button.disabled = false;
  if (milliseconds !== null) say(`${title()} in ${(milliseconds / 1000).toFixed(2)} seconds.`);
}

function showFrame({ before, after }: Extract<Reply, { kind: "frame" }>): void {
  if (mode !== "live") {
    before.close();
    return after.close();
  }
  compare.drawBefore(before);
  compare.drawAfter(after);
  const now = performance.now();
  frameTimes = [...frameTimes.filter((time) => now - time < 2000), now];
  const seconds = (now - frameTimes[0]) / 1000;
  const rate = seconds > 0 ? (frameTimes.length - 1) / seconds : 0;
  badge(`${rate.toFixed(rate < 10 ? 1 : 0)} frames per second`);
  document.documentElement.dataset.frames = String(Number(document.documentElement.dataset.frames ?? 0) + 1);
  if (clip) showRecording();
  nextFrame();
}

function refuseEffect(name: string, message: string): void {
  const before = strip?.chosen;
  strip?.disable(name);
  alertOf(message);
  if (strip?.chosen !== before) changed();
}

function saved({ blob, width, height }: Extract<Reply, { kind: "saved" }>): void {
  const extension = blob.type === "image/png" ? "png" : "jpg";
  download(blob, `${photoName}-${strip?.chosen ?? "edit"}.${extension}`);
  say(`Saved: ${width} by ${height} pixels.`);
}

function failed({ during, message }: Extract<Reply, { kind: "failed" }>): void {
  progress(null);
  byId("stage").removeAttribute("aria-busy");
  say(""); // what was being done
  alertOf(message);
  if (during === "frame" && mode === "live") closeCamera();
  if (during === "still") waitingForStill = null;
}

// What the visitor does

function changed(): void {
  for (const [input, shown] of [[strength, "strength-shown"], [share, "share-shown"]] as const) {
    byId(shown).textContent = `${input.value} %`;
    input.setAttribute("aria-valuetext", `${input.value} %`);
  }
  byId("share-row").hidden = second.value === "";
  const wanted = choice();
  if (wanted === null || mode !== "photo") return;
  byId("stage").setAttribute("aria-busy", "true");
  ask({ kind: "edit", choice: wanted, strength: strengthNow() });
}

function openPhoto(file: Blob): void {
  if (mode === "live") closeCamera();
  photoName = file instanceof File ? file.name.replace(/\.[^.]*$/, "") || "photo" : "photo";
  saveAs = file.type === "image/png" ? "image/png" : "image/jpeg";
  clearAlert();
  say("Opening the photo.");
  ask({ kind: "photo", source: file, most: SHOWN_AT_MOST });
}

async function startCamera(): Promise<void> {
  try {
    await camera.start(() => {
      closeCamera();
      alertOf("The camera was switched off.");
    });
  } catch (error) {
    if (mode === "live") enter("empty");
    return alertOf(problemText(error));
  }
  clearAlert();
  enter("live");
  compare.set(0);
  frameTimes = [];
  badge("");
  say("The camera is on.");
  show("flip", await camera.hasTwo());
  await still("thumbnails");
  nextFrame();
}

async function still(purpose: "photo" | "thumbnails"): Promise<void> {
  const source = await camera.grab();
  if (source === null) {
    if (purpose === "thumbnails") camera.onFrame(() => void still(purpose));
    return;
  }
  waitingForStill = purpose;
  ask({ kind: "still", source, mirrored: camera.mirrored, most: SHOWN_AT_MOST }, [source]);
}

/** One frame is with the worker at a time: what it cannot keep up with is left out. */
function nextFrame(): void {
  if (mode !== "live") return;
  camera.onFrame(async () => {
    const wanted = choice();
    const source = mode === "live" && ready !== null ? await camera.grab() : null;
    if (source === null || wanted === null) {
      source?.close();
      if (ready !== null) nextFrame();
      return;
    }
    const most = liveSize.value === "" ? null : Number(liveSize.value);
    const settings = { choice: wanted, strength: strengthNow(), most, mirrored: camera.mirrored };
    ask({ kind: "frame", source, ...settings }, [source]);
  });
}

function stopCamera(): void {
  if (clip) void toggleRecording();
  camera.stop();
}

function closeCamera(): void {
  stopCamera();
  compare.hide();
  enter("empty");
  say("The camera is off.");
}

async function toggleRecording(): Promise<void> {
  if (clip === null) {
    try {
      clip = new Clip(compare.after);
    } catch (error) {
      return alertOf(problemText(error));
    }
    return showRecording();
  }
  const { blob, extension } = await finish(clip);
  download(blob, `clip-${strip?.chosen ?? "edit"}.${extension}`);
  say(`The clip is saved: ${(blob.size / 1e6).toFixed(1)} MB, without sound.`);
}

function finish(running: Clip): Promise<{ blob: Blob; extension: string }> {
  clip = null;
  showRecording();
  return running.stop();
}

function showRecording(): void {
  for (const button of buttonsFor("record")) {
    button.setAttribute("aria-pressed", String(clip !== null));
    const seconds = clip === null ? 0 : Math.floor((performance.now() - clip.started) / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    const text = clip === null ? "Record" : `Stop ${clock}`;
    const span = button.querySelector("span")!;
    if (span.textContent !== text) span.textContent = text;
  }
}

function save(): void {
  const wanted = choice();
  if (wanted === null || mode !== "photo") return;
  say("Saving.");
  ask({ kind: "save", type: saveAs, choice: wanted, strength: strengthNow() });
}

const DOES: Record<string, () => void> = {
  choose,
  camera: () => void startCamera(),
  stop: closeCamera,
  flip: () => {
    camera.facing = camera.facing === "user" ? "environment" : "user";
    void startCamera();
  },
  take: () => {
    photoName = "camera";
    saveAs = "image/png";
    void still("photo");
  },
  record: () => void toggleRecording(),
  save,
};

function enter(next: typeof mode): void {
  mode = next;
  document.documentElement.dataset.mode = next;
  byId("empty").hidden = next !== "empty";
  byId("live-size-row").hidden = next !== "live";
  for (const does of ["stop", "take", "record"]) show(does, next === "live");
  if (next !== "live") show("flip", false);
  for (const button of document.querySelectorAll<HTMLButtonElement>(".actions button[data-does=camera]")) button.hidden = next === "live";
  for (const button of buttonsFor("save")) {
    button.hidden = next === "live";
    button.disabled = true;
  }
  if (next === "empty") badge("");
}

function badge(text: string): void {
  const element = byId("badge");
  element.hidden = text === "";
  element.textContent = text;
}

function title(): string {
  return (choice() ?? []).map(({ name }) => titled(name)).join(" and ");
}

function fillAbout({ effects, base, backend, threads }: Ready): void {
  const list = byId("about-dialog").querySelector("dl")!;
  list.replaceChildren();
  const runs = {
    webgpu: "on the graphics (WebGPU)",
    wasm: `on the processor, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    server: "on the computer that this page came from",
  }[backend];
  const rows: [string, string][] = [["Runs", runs], ["Base", base.name]];
  for (const [term, text] of [...rows, ...effects.map(({ name, prompt }): [string, string] => [titled(name), prompt])]) {
    if (text === "") continue;
    list.append(Object.assign(document.createElement("dt"), { textContent: term }));
    list.append(Object.assign(document.createElement("dd"), { textContent: text }));
  }
  byId("licence").textContent = base.licence;
}

function asked(): Backend | null {
  const value = new URLSearchParams(location.search).get("backend");
  return value === "wasm" || value === "webgpu" || value === "server" ? value : null;
}

interface InstallEvent extends Event {
  prompt(): Promise<unknown>;
}

function offerInstalling(): void {
  const button = byId<HTMLButtonElement>("install");
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    button.hidden = false;
    button.onclick = async () => {
      await (event as InstallEvent).prompt();
      button.hidden = true;
    };
  });
  addEventListener("appinstalled", () => (button.hidden = true));
}

for (const [does, action] of Object.entries(DOES)) {
  for (const button of buttonsFor(does)) button.addEventListener("click", action);
}
for (const input of [strength, second, share]) input.addEventListener("input", changed);
byId("about").addEventListener("click", () => byId<HTMLDialogElement>("about-dialog").showModal());
onPhoto(openPhoto, () => alertOf("There is no picture in that."));
offerInstalling();
enter("empty");
progress(NaN, "Getting ready");
if (isServed) {
  // No service worker: what a server has changes, and without it there is nothing.
  for (const element of document.querySelectorAll<HTMLElement>("[data-where]")) element.hidden = true;
  void new Served((base) => (worker === null ? startWorker(base) : load(base))).watch();
} else {
  await prepareOffline(() => note("There is a newer version of this page: load it anew to use it."));
  startWorker(null);
}
