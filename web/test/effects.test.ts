import assert from "node:assert/strict";
import { test } from "node:test";

import { choiceOf, strongest } from "../src/runtime/choice.ts";
import { checkEffect, concatenate, effectInputs, type LoadedEffect } from "../src/runtime/lora.ts";
import { parseManifest, type Effect } from "../src/runtime/manifest.ts";
import { Problem } from "../src/runtime/problem.ts";
import type { Tensor } from "../src/runtime/safetensors.ts";

const SHA = "0".repeat(64);

function manifest(change: (told: any) => void = () => {}): string {
  const told = {
    format: "e2gan effects",
    version: 1,
    base: { file: "base.onnx", bytes: 5, sha256: SHA, size: 64, multiple: 16, licence: "MIT", name: "small" },
    inputs: [
      { name: "photo", type: "uint8", shape: [null, null, null, 3], kind: "photo" },
      { name: "weights", type: "float32", shape: [null], kind: "weights" },
      { name: "keys", type: "float32", shape: [null, 1, 2], kind: "prompt" },
      { name: "l.A", type: "float32", shape: [null, 2], kind: "lora", rank_axis: 0 },
      { name: "l.B", type: "float32", shape: [3, null], kind: "lora", rank_axis: 1, scaled: true },
    ],
    effects: ["one", "two"].map((name) => ({
      name, prompt: `make it ${name}`, file: `effects/${name}.safetensors`, bytes: 9, sha256: SHA, size: 64, detail: "guided",
      prompt_file: `prompts/${name}.safetensors`,
    })), // prettier-ignore
  };
  change(told);
  return JSON.stringify(told);
}

const tensor = (shape: number[], ...data: number[]): Tensor => ({ shape, data: Float32Array.from(data) });

function loaded(name: string, tensors: Record<string, Tensor>): LoadedEffect {
  const effect = parseManifest(manifest()).effects.find((one) => one.name === name) as Effect;
  return { effect, tensors: new Map(Object.entries(tensors)) };
}

const ONE = { keys: tensor([1, 1, 2], 1, 2), "l.A": tensor([1, 2], 1, 2), "l.B": tensor([3, 1], 10, 20, 30) };
const TWO = { keys: tensor([1, 1, 2], 3, 4), "l.A": tensor([2, 2], 3, 4, 5, 6), "l.B": tensor([3, 2], 1, 2, 3, 4, 5, 6) };

test("a manifest is read, and what is none is refused in one line", () => {
  const found = parseManifest(manifest());
  assert.equal(found.effects[1].weights.file, "effects/two.safetensors");
  assert.equal(found.inputs[4].scaled, true);
  const bad: ((told: any) => void)[] = [
    (told) => (told.format = "something else"),
    (told) => (told.version = 2),
    (told) => (told.effects = []),
    (told) => (told.effects[1].name = "one"),
    (told) => (told.effects[0].file = "../../secret"),
    (told) => (told.effects[0].file = "https://elsewhere.example/x"),
    (told) => (told.base.file = "/base.onnx"),
    (told) => (told.base.multiple = 0),
    (told) => (told.base.bytes = 1e12),
    (told) => (told.base.sha256 = "abc"),
    (told) => (told.inputs[3].rank_axis = 2),
    (told) => (told.inputs[3].kind = "odd"),
    (told) => (told.effects[0].detail = "sharp"),
    (told) => delete told.inputs,
  ];
  for (const change of bad) {
    assert.throws(() => parseManifest(manifest(change)), (error) => error instanceof Problem && !error.message.includes("\n"), String(change));
  }
});

test("one effect is handed on as it is", () => {
  const { inputs } = parseManifest(manifest());
  const one = loaded("one", ONE);
  checkEffect(one, inputs);
  const found = effectInputs([{ loaded: one, weight: 1 }], inputs);
  assert.deepEqual(found.get("weights"), tensor([1], 1));
  assert.deepEqual(found.get("l.B"), ONE["l.B"]);
});

test("a mix is put together along the rank, each B by its weight, prompts one after the other", () => {
  const { inputs } = parseManifest(manifest());
  const parts = [{ loaded: loaded("one", ONE), weight: 0.5 }, { loaded: loaded("two", TWO), weight: 2 }]; // prettier-ignore
  const found = effectInputs(parts, inputs);
  assert.deepEqual(found.get("weights"), tensor([2], 0.5, 2));
  assert.deepEqual(found.get("keys"), tensor([2, 1, 2], 1, 2, 3, 4));
  assert.deepEqual(found.get("l.A"), tensor([3, 2], 1, 2, 3, 4, 5, 6));
  assert.deepEqual(found.get("l.B"), tensor([3, 3], 5, 2, 4, 10, 6, 8, 15, 10, 12));
});

test("a layer that no effect changes has a rank of one, of zeros", () => {
  const { inputs } = parseManifest(manifest());
  const found = effectInputs([{ loaded: loaded("one", { keys: ONE.keys }), weight: 1 }], inputs);
  assert.deepEqual(found.get("l.A"), tensor([1, 2], 0, 0));
  assert.deepEqual(found.get("l.B"), tensor([3, 1], 0, 0, 0));
});

test("an effect of another base is refused by its name", () => {
  const { inputs } = parseManifest(manifest());
  const bad: Record<string, Tensor>[] = [
    { ...ONE, "other.A": ONE["l.A"] },
    { ...ONE, photo: ONE["l.A"] },
    { ...ONE, "l.A": tensor([1, 3], 1, 2, 3) },
    { ...ONE, "l.A": TWO["l.A"] }, // two ranks against one
    { keys: ONE.keys, "l.A": ONE["l.A"] },
    { "l.A": ONE["l.A"], "l.B": ONE["l.B"] },
    { ...ONE, keys: tensor([1, 1, 3], 1, 2, 3) },
  ];
  for (const tensors of bad) {
    assert.throws(() => checkEffect(loaded("one", tensors), inputs), (error) => error instanceof Problem && error.message.includes("“one”"));
  }
});

test("tensors are joined along any axis", () => {
  const [a, b] = [tensor([2, 1, 2], 1, 2, 3, 4), tensor([2, 2, 2], 5, 6, 7, 8, 9, 10, 11, 12)];
  assert.deepEqual(concatenate([a, b], 1), tensor([2, 3, 2], 1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12));
});

test("a choice is one effect, or two whose weights are one together", () => {
  assert.deepEqual(choiceOf("one", null, 0.5), [{ name: "one", weight: 1 }]);
  assert.deepEqual(choiceOf("one", "one", 0.5), [{ name: "one", weight: 1 }]);
  assert.deepEqual(choiceOf("one", "two", 0), [{ name: "one", weight: 1 }]);
  assert.deepEqual(choiceOf("one", "two", 1), [{ name: "two", weight: 1 }]);
  const mixed = choiceOf("one", "two", 0.25);
  assert.deepEqual(mixed, [{ name: "one", weight: 0.75 }, { name: "two", weight: 0.25 }]); // prettier-ignore
  const { effects } = parseManifest(manifest());
  assert.equal(strongest(mixed, effects).name, "one");
  assert.equal(strongest(choiceOf("one", "two", 0.5), effects).name, "one"); // the first of equals, as in Python
});
