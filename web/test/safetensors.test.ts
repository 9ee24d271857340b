import assert from "node:assert/strict";
import { test } from "node:test";

import { halfToFloat } from "../src/runtime/half.ts";
import { Problem } from "../src/runtime/problem.ts";
import { parseSafetensors } from "../src/runtime/safetensors.ts";

function file(header: unknown, bytes: Uint8Array): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + bytes.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(bytes, 8 + text.length);
  return out.buffer;
}

const bytesOf = (array: Uint16Array | Float32Array) => new Uint8Array(array.buffer);

test("halves are the numbers that they stand for", () => {
  const bits = Uint16Array.of(0x0000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x3555, 0x8400);
  const wanted = [0, 1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, 0.333251953125, -(2 ** -14)];
  assert.deepEqual([...halfToFloat(bits)], wanted);
  assert.equal(halfToFloat(Uint16Array.of(0x7c00))[0], Infinity);
  assert.ok(Number.isNaN(halfToFloat(Uint16Array.of(0x7e00))[0]));
  if ("Float16Array" in globalThis) {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const own = new (globalThis as unknown as { Float16Array: new (b: ArrayBuffer) => ArrayLike<number> }).Float16Array(all.buffer);
    assert.ok(halfToFloat(all).every((value, i) => Object.is(value, own[i])));
  }
});

test("tensors of both types are read, wherever they lie", () => {
  const half = bytesOf(Uint16Array.of(0x3c00, 0xc000, 0));
  const full = bytesOf(Float32Array.of(0.5, -3));
  const header = {
    __metadata__: { format: "pt" },
    late: { dtype: "F32", shape: [2, 1], data_offsets: [6, 14] },
    early: { dtype: "F16", shape: [3], data_offsets: [0, 6] },
  };
  const found = parseSafetensors(file(header, Uint8Array.from([...half, ...full])), "a");
  assert.deepEqual(found.get("early"), { shape: [3], data: Float32Array.of(1, -2, 0) });
  assert.deepEqual(found.get("late"), { shape: [2, 1], data: Float32Array.of(0.5, -3) });
  assert.equal(found.size, 2);
});

test("files that are damaged or of another kind are refused in one line", () => {
  const entry = (change: object) => ({ x: { dtype: "F16", shape: [2], data_offsets: [0, 4], ...change } });
  const four = new Uint8Array(4);
  const bad: [string, ArrayBuffer][] = [
    ["nothing", new ArrayBuffer(0)],
    ["no header", new TextEncoder().encode("GIF89a and more of it").buffer as ArrayBuffer],
    ["header without end", new Uint8Array([255, 0, 0, 0, 0, 0, 0, 0, 123]).buffer],
    ["a list", file([1, 2], four)],
    ["integers", file(entry({ dtype: "I32", shape: [1] }), four)],
    ["too few bytes", file(entry({ shape: [3], data_offsets: [0, 6] }), four)],
    ["another shape", file(entry({ shape: [3] }), four)],
    ["negative sides", file(entry({ shape: [-2] }), four)],
    ["bytes of nobody", file(entry({}), new Uint8Array(6))],
    ["not a number", file(entry({}), bytesOf(Uint16Array.of(0x7e00, 0)))],
    ["infinite", file(entry({ dtype: "F32", shape: [1] }), bytesOf(Float32Array.of(Infinity)))],
  ];
  for (const [what, buffer] of bad) {
    assert.throws(() => parseSafetensors(buffer, "effects/x"), (error) => error instanceof Problem && /^effects\/x is damaged or is no effect: [^\n]*\.$/.test(error.message), what);
  }
});
