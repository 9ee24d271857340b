/**
 * The service worker. It keeps what the page loaded, so that the page works offline, and sends each answer with the two
 * headers of cross-origin isolation, which threads need and static hosts do not send.
 */

declare const self: ServiceWorkerGlobalScope;
declare const __SHELL__: string[]; // the built page's own files; by vite.config.ts

// Another for each exported site, so that its files replace the former ones all at once: written by `e2gan export`.
const VERSION = "__E2GAN_VERSION__";
const PREFIX = `e2gan ${new URL(self.registration.scope).pathname} `; // other sites of this origin have caches too
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => {
  const files = ["./", "effects.json", ...__SHELL__].map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(files)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

self.addEventListener("message", ({ data }) => {
  if (data === "claim") void self.clients.claim();
});

async function takeOver(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(event));
});

async function answer(event: FetchEvent): Promise<Response> {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const navigated = request.mode === "navigate";
  const key = navigated && isPage(request.url) ? new Request("./") : request;
  const kept = request.cache === "reload" && !navigated ? undefined : await cache.match(key, { ignoreVary: true });
  if (kept !== undefined) return isolated(kept);
  // Asked for anew: what a host lets browsers keep for a while may be of the site before this one.
  const fresh = await fetch(request.url, { cache: "no-cache", credentials: "same-origin", signal: request.signal });
  if (fresh.status === 200 && fresh.type === "basic") {
    event.waitUntil(cache.put(key, fresh.clone()).catch(() => {})); // where there is no room, it works online
  }
  return isolated(fresh);
}

function isPage(url: string): boolean {
  const rest = url.slice(self.registration.scope.length).split(/[?#]/)[0];
  return rest === "" || rest === "index.html";
}

function isolated(response: Response): Response {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  const body = [204, 205, 304].includes(status) ? null : response.body;
  return new Response(body, { status, statusText, headers });
}

export {};
