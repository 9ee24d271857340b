// Models in onnxruntime-web's WASM, for wasm.py: node wasm.mjs MODULES THREADS PHOTO SIDE
//
// MODULES is a folder with onnxruntime-web, PHOTO a file of SIDE × SIDE × 3 bytes. Takes a JSON object a line, and
// answers with one: {"load": FILE} → {}; {"time": FILE, "seconds": S} → {"ms": …}; {"edit": FILE, "to": FILE} → {};
// {"error": …} where it fails. "feed": a safetensors file of inputs beside the photo, of a model that has any.

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
const feeds = new Map([[null, {}]]);

function feedOf(file) {
  if (!feeds.has(file)) {
    const { buffer } = new Uint8Array(readFileSync(file));
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    const tensor = ({ shape, data_offsets: ends }) =>
      new ort.Tensor("float32", new Float32Array(buffer.slice(...ends.map((end) => 8 + length + end))), shape);
    feeds.set(file, Object.fromEntries(Object.entries(header).map(([name, entry]) => [name, tensor(entry)])));
  }
  return feeds.get(file);
}

async function edit(file, feed) {
  return (await sessions.get(file).run({ photo, ...feedOf(feed ?? null) })).edit.data;
}

// One thread's own time does not depend on what else the machine does.
function milliseconds() {
  if (Number(threads) > 1) return performance.now();
  const used = process.cpuUsage();
  return (used.user + used.system) / 1000;
}

async function time(file, seconds, feed) {
  const start = milliseconds();
  let frames = 0;
  do {
    await edit(file, feed);
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
  if (request.time) return time(request.time, request.seconds, request.feed);
  writeFileSync(request.to, await edit(request.edit, request.feed));
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
