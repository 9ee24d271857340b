/** The safetensors format: an 8-byte length, a header in JSON, then the tensors' bytes, little-endian. */

import { halfToFloat } from "./half.ts";
import { Problem } from "./problem.ts";

export interface Tensor {
  shape: number[];
  data: Float32Array;
}

const MOST_HEADER = 1 << 20;
const MOST_TENSORS = 4096;
const BYTES: Record<string, number> = { F16: 2, F32: 4 };

/**
 * Name → tensor, as float32. Throws a Problem for what is no such file, has tensors of another type than F16 and F32,
 * bytes that no tensor has, or values that are not finite. file: its name, for the Problem.
 */
export function parseSafetensors(buffer: ArrayBuffer, file: string): Map<string, Tensor> {
  const damaged = (why: string) => new Problem(`${file} is damaged or is no effect: ${why}.`);
  if (buffer.byteLength < 8) throw damaged("it is too short");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (length > MOST_HEADER || 8 + length > buffer.byteLength) throw damaged("its header does not fit");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw damaged("its header is not readable");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw damaged("its header lists nothing");
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  if (entries.length > MOST_TENSORS) throw damaged("it lists too many tensors");
  const start = 8 + length;
  const tensors = new Map<string, Tensor>();
  let used = 0;
  for (const [name, entry] of entries) {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    const width = typeof dtype === "string" ? BYTES[dtype] : undefined;
    if (width === undefined) throw damaged(`${name} is ${String(dtype)}, not F16 or F32`);
    if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) throw damaged(`${name} has no shape`);
    const [from, to] = offsets;
    const count = shape.reduce((product, side) => product * side, 1);
    if (to - from !== count * width || start + to > buffer.byteLength) {
      throw damaged(`${name} does not have the bytes that its shape asks for`);
    }
    used += to - from;
    const bytes = buffer.slice(start + from, start + to); // aligned anew
    const data = width === 2 ? halfToFloat(new Uint16Array(bytes)) : new Float32Array(bytes);
    if (!data.every(Number.isFinite)) throw damaged(`${name} has values that are not finite`);
    tensors.set(name, { shape, data });
  }
  if (start + used !== buffer.byteLength) throw damaged("it has bytes that belong to no tensor");
  return tensors;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((side) => Number.isSafeInteger(side) && side >= 0);
}
