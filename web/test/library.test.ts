import assert from "node:assert/strict";
import { test } from "node:test";

import { readLibrary } from "../src/runtime/library.ts";
import { Problem } from "../src/runtime/problem.ts";

function told() {
  const effect = { name: "dusk", prompt: "make it dusk", size: 64, detail: "guided" };
  const base = { id: "0f", name: "base", licence: "MIT", size: 64, multiple: 8, browser: "possible", made: null, effects: [effect] };
  return { version: "1", bases: [base], problems: ["dawn: is damaged"] };
}

test("what the server has is read", () => {
  const library = readLibrary(told());
  assert.deepEqual(library.bases[0].effects[0], told().bases[0].effects[0]);
  assert.deepEqual(library.problems, ["dawn: is damaged"]);
});

const wrong: [string, (answer: ReturnType<typeof told>) => unknown][] = [
  ["nothing", () => null],
  ["no bases", (answer) => ({ ...answer, bases: {} })],
  ["a base's id that is a path", (answer) => ((answer.bases[0].id = "../x"), answer)],
  ["a state that is unknown", (answer) => ((answer.bases[0].browser = "soon"), answer)],
  ["a size that is none", (answer) => ((answer.bases[0].size = 0), answer)],
  ["a detail that is unknown", (answer) => ((answer.bases[0].effects[0].detail = "more"), answer)],
];

for (const [what, change] of wrong) {
  test(`${what} is refused`, () => {
    assert.throws(() => readLibrary(change(told())), Problem);
  });
}
