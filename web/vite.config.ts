import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

import type { FileEntry } from "./src/runtime/manifest.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const OUT = join(HERE, "../src/e2gan/assets/web");
const ORT = join(HERE, "node_modules/onnxruntime-web/dist");
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 } };
// WASM alone; WebGPU with JSPI, and without, whose larger binary is packed more tightly.
const BUILDS = { "": "gz", ".jspi": "gz", ".asyncify": "br" };

/** By build: its script and its binary, as they are and packed; what the page knows them by (src/engine/session.ts). */
const RUNTIMES = Object.fromEntries(
  Object.entries(BUILDS).map(([build, packing]) => {
    const [script, binary] = ["mjs", "wasm"].map((kind) => readFileSync(join(ORT, `ort-wasm-simd-threaded${build}.${kind}`)));
    const packed = packing === "gz" ? gzipSync(binary, { level: 9 }) : brotliCompressSync(binary, BROTLI);
    return [build, { script, binary, packed, packing }];
  }),
);

function entries(): Record<string, { script: FileEntry; binary: FileEntry; packed: number }> {
  const entry = (file: string, data: Buffer) => {
    return { file, bytes: data.length, sha256: createHash("sha256").update(data).digest("hex") };
  };
  return Object.fromEntries(
    Object.entries(RUNTIMES).map(([build, { script, binary, packed, packing }]) => {
      const stem = `ort/ort-wasm-simd-threaded${build}`;
      const found = { script: entry(`${stem}.mjs`, script), binary: entry(`${stem}.wasm.${packing}`, binary) };
      return [build, { ...found, packed: packed.length }];
    }),
  );
}

/**
 * onnxruntime's own files beside the page, their binaries packed: static hosts need not compress them. Only the one that a
 * browser runs is ever fetched.
 */
function runtimeFiles(): Plugin {
  return {
    name: "runtime-files",
    generateBundle() {
      for (const [build, { script, packed, packing }] of Object.entries(RUNTIMES)) {
        const stem = `ort/ort-wasm-simd-threaded${build}`;
        this.emitFile({ type: "asset", fileName: `${stem}.wasm.${packing}`, source: packed });
        this.emitFile({ type: "asset", fileName: `${stem}.mjs`, source: script });
      }
    },
  };
}

const RUNTIME = /^(ort\/|assets\/(ort|decompress)|licences)/; // kept once a browser has asked for its own

/** The service worker is told the page's own files, all but onnxruntime's. */
function shell(): Plugin {
  return {
    name: "shell",
    closeBundle() {
      const worker = join(OUT, "sw.js");
      const files = (readdirSync(OUT, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(OUT.length + 1).replaceAll("\\", "/"))
        .filter((file) => file !== "sw.js" && file !== "index.html" && !RUNTIME.test(file))
        .sort();
      const hash = createHash("sha256");
      for (const file of ["index.html", ...files]) hash.update(readFileSync(join(OUT, file)));
      const text = readFileSync(worker, "utf8")
        .replace("__SHELL__", JSON.stringify(files))
        .replace("__E2GAN_VERSION__", `${hash.digest("hex").slice(0, 16)} __E2GAN_VERSION__`);
      writeFileSync(worker, text);
    },
  };
}

/** Vite would put a second copy of each binary among the assets: the code names where one lies by default. */
function noCopies(): Plugin {
  return {
    name: "no-copies",
    enforce: "post",
    generateBundle(_, bundle) {
      for (const name of Object.keys(bundle)) {
        if (name.endsWith(".wasm")) delete bundle[name];
      }
    },
  };
}

rmSync(OUT, { recursive: true, force: true });

export default defineConfig({
  base: "./",
  define: { __ORT__: JSON.stringify(entries()) },
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production", "import", "default"] },
  worker: { format: "es", plugins: () => [noCopies()] },
  build: {
    target: "es2022",
    outDir: OUT,
    emptyOutDir: true,
    chunkSizeWarningLimit: 900,
    rollupOptions: {
      input: { index: join(HERE, "index.html"), sw: join(HERE, "src/sw.ts") },
      output: { entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  plugins: [runtimeFiles(), noCopies(), shell()],
});
