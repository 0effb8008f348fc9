/** Arbitrary plain states. */

import fc from "fast-check";

const TEXTS = fc.string({ unit: "binary", maxLength: 8 });
const KEYS = fc.oneof(TEXTS, fc.constantFrom("a", "b", "a/b", "~", "~1", "__proto__", "constructor", "1", "0"));
const UNSAFE = 2n ** 53n;
const BIG = fc.bigInt().map((value) => (value < 0n ? value - UNSAFE : value + UNSAFE));
const LEAVES = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  BIG,
  TEXTS,
);

const object = <T>(values: fc.Arbitrary<T>, size: number) =>
  fc.array(fc.tuple(KEYS, values), { maxLength: size }).map((entries) => Object.fromEntries(entries));

export const VALUES: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    LEAVES,
    fc.array(tie("value"), { maxLength: 4 }),
    object(tie("value"), 4),
  ),
})).value;

export const STATES: fc.Arbitrary<Record<string, unknown>> = object(VALUES, 6);
