/** What the visitor chose: one effect, or a mix of two. */

export interface Part {
  name: string;
  weight: number;
}

/** One part of weight 1, or two whose weights sum to 1. */
export type Choice = Part[];

/** amount: the share of the second effect, 0 to 1. */
export function choiceOf(first: string, second: string | null, amount: number): Choice {
  if (second === null || second === first || amount <= 0) return [{ name: first, weight: 1 }];
  if (amount >= 1) return [{ name: second, weight: 1 }];
  return [
    { name: first, weight: 1 - amount },
    { name: second, weight: amount },
  ];
}

export function keyOf(choice: Choice): string {
  return choice.map(({ name, weight }) => `${name}:${weight.toFixed(4)}`).join("+");
}

/** The effect that says how the edit comes back to the photo's size: the first of the strongest. */
export function strongest<E extends { name: string }>(choice: Choice, effects: readonly E[]): E {
  const most = Math.max(...choice.map(({ weight }) => weight));
  const part = choice.find(({ weight }) => weight === most);
  const effect = effects.find(({ name }) => name === part?.name);
  if (effect === undefined) throw new Error(`no effect of the name ${part?.name}`);
  return effect;
}
