// Models in onnxruntime-web's WASM, for small.py: node wasm.mjs MODULES THREADS PHOTO SIDE
//
// MODULES is a folder with onnxruntime-web, PHOTO a file of SIDE × SIDE × 3 bytes. Takes a JSON object a line, and
// answers with one: {"load": FILE} → {}; {"time": FILE, "seconds": S} → {"ms": …}; {"edit": FILE, "to": FILE} → {};
// {"error": …} where it fails.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const [modules, threads, photoFile, side] = process.argv.slice(2);
const ort = createRequire(join(resolve(modules), "here.js"))("onnxruntime-web");
ort.env.wasm.numThreads = Number(threads);
const bytes = new Uint8Array(readFileSync(photoFile));
const photo = new ort.Tensor("uint8", bytes, [1, Number(side), Number(side), 3]);
const sessions = new Map();

async function edit(file) {
  return (await sessions.get(file).run({ photo })).edit.data;
}

// One thread's own time does not depend on what else the machine does.
function milliseconds() {
  if (Number(threads) > 1) return performance.now();
  const used = process.cpuUsage();
  return (used.user + used.system) / 1000;
}

async function time(file, seconds) {
  const start = milliseconds();
  let frames = 0;
  do {
    await edit(file);
    frames += 1;
  } while (milliseconds() - start < 1000 * seconds);
  return { ms: (milliseconds() - start) / frames };
}

async function answer(request) {
  if (request.load) {
    const model = new Uint8Array(readFileSync(request.load));
    sessions.set(request.load, await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
    return {};
  }
  if (request.time) return time(request.time, request.seconds);
  writeFileSync(request.to, await edit(request.edit));
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = await answer(JSON.parse(line));
  } catch (error) {
    reply = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit(0); // its threads would keep it alive
