/** IEEE 754 half precision → single precision, all 65,536 values in a table. */

let table: Float32Array | undefined;

/** The float32 of each half. bits: uint16, as they lie in a little-endian file. */
export function halfToFloat(bits: Uint16Array): Float32Array {
  table ??= makeTable();
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]];
  return out;
}

function makeTable(): Float32Array {
  const values = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let value: number;
    if (exponent === 0) value = fraction * 2 ** -24; // subnormal
    else if (exponent === 31) value = fraction ? NaN : Infinity;
    else value = (1024 + fraction) * 2 ** (exponent - 25);
    values[bits] = bits & 0x8000 ? -value : value;
  }
  return values;
}
