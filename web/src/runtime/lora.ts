/** An effect's tensors, and those of a mix of two, as the inputs of the base's graph. */

import type { Effect, GraphInput } from "./manifest.ts";
import { Problem } from "./problem.ts";
import type { Tensor } from "./safetensors.ts";

/** An effect as it is read: LoRA tensors by the input's name, and the prompt's keys and values. */
export interface LoadedEffect {
  effect: Effect;
  tensors: Map<string, Tensor>;
}

/** Throws a Problem where tensors are not those that the base takes: foreign names, other shapes, A without B. */
export function checkEffect(loaded: LoadedEffect, inputs: readonly GraphInput[]): void {
  const { effect, tensors } = loaded;
  const misfit = (why: string) => new Problem(`The effect “${effect.name}” does not fit this site's base: ${why}.`);
  const known = new Map(inputs.map((input) => [input.name, input]));
  for (const [name, { shape }] of tensors) {
    const input = known.get(name);
    if (input === undefined || (input.kind !== "lora" && input.kind !== "prompt")) throw misfit(`it has a tensor ${name}`);
    const wanted = input.kind === "prompt" ? withoutSets(input, shape) : input.shape;
    if (shape.length !== wanted.length || shape.some((side, i) => wanted[i] !== null && wanted[i] !== side)) {
      throw misfit(`${name} is ${shape.join("×")}`);
    }
  }
  for (const input of inputs) {
    if (input.kind === "prompt" && !tensors.has(input.name)) throw misfit(`it has no ${input.name}`);
  }
  for (const [one, other] of branches(inputs)) {
    const [a, b] = [tensors.get(one.name), tensors.get(other.name)];
    if ((a === undefined) !== (b === undefined)) throw misfit(`it has ${one.name} or ${other.name} without the other`);
    if (a && b && a.shape[one.rankAxis] !== b.shape[other.rankAxis]) throw misfit(`the ranks of ${one.name} differ`);
  }
}

/** Pairs of inputs LAYER.A and LAYER.B. */
function branches(inputs: readonly GraphInput[]): [GraphInput, GraphInput][] {
  const byName = new Map(inputs.map((input) => [input.name, input]));
  return inputs
    .filter(({ kind, name }) => kind === "lora" && name.endsWith(".A"))
    .flatMap((input) => {
      const other = byName.get(`${input.name.slice(0, -2)}.B`);
      return other ? [[input, other] as [GraphInput, GraphInput]] : [];
    });
}

/** The input's shape for a file's tensor, which may lack the leading axis of the sets that are mixed, or have it as 1. */
function withoutSets(input: GraphInput, shape: number[]): (number | null)[] {
  return shape.length === input.shape.length ? [1, ...input.shape.slice(1)] : input.shape.slice(1);
}

/**
 * Input name → tensor, for all inputs of the kinds prompt, lora and weights. Effects are concatenated along the rank
 * axis, a B multiplied by its effect's weight; their prompts are stacked.
 */
export function effectInputs(parts: readonly { loaded: LoadedEffect; weight: number }[], inputs: readonly GraphInput[]): Map<string, Tensor> {
  const out = new Map<string, Tensor>();
  for (const input of inputs) {
    if (input.kind === "weights") {
      out.set(input.name, { shape: [parts.length], data: Float32Array.from(parts, ({ weight }) => weight) });
    } else if (input.kind === "prompt") {
      const sets = parts.map(({ loaded }) => loaded.tensors.get(input.name) as Tensor);
      const shape = [1, ...(input.shape.slice(1) as number[])];
      out.set(input.name, concatenate(sets.map(({ data }) => ({ shape, data })), 0));
    } else if (input.kind === "lora") {
      const found = parts.flatMap(({ loaded, weight }) => {
        const tensor = loaded.tensors.get(input.name);
        return tensor ? [input.scaled ? scale(tensor, weight) : tensor] : [];
      });
      out.set(input.name, found.length > 0 ? concatenate(found, input.rankAxis) : zeros(input));
    }
  }
  return out;
}

function zeros(input: GraphInput): Tensor {
  const shape = input.shape.map((side) => side ?? 1);
  return { shape, data: new Float32Array(shape.reduce((product, side) => product * side, 1)) };
}

function scale(tensor: Tensor, weight: number): Tensor {
  return weight === 1 ? tensor : { shape: tensor.shape, data: tensor.data.map((value) => value * weight) };
}

export function concatenate(tensors: readonly Tensor[], axis: number): Tensor {
  if (tensors.length === 1) return tensors[0];
  const shape = [...tensors[0].shape];
  shape[axis] = tensors.reduce((sum, tensor) => sum + tensor.shape[axis], 0);
  const outer = shape.slice(0, axis).reduce((product, side) => product * side, 1);
  const data = new Float32Array(tensors.reduce((sum, tensor) => sum + tensor.data.length, 0));
  let at = 0;
  for (let i = 0; i < outer; i++) {
    for (const tensor of tensors) {
      const run = tensor.data.length / outer;
      data.set(tensor.data.subarray(i * run, (i + 1) * run), at);
      at += run;
    }
  }
  return { shape, data };
}
