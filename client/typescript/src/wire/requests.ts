/** The plain objects that stand for generated messages in requests: see `codec.ts`. */

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

/** What a codec takes for a generated message `M`. */
export type RequestOf<M> = {
  readonly [Name in Exclude<keyof M, `$${string}` | OneofNames<M>>]?: ValueOf<M[Name]> | undefined;
} & All<OneofFields<M[OneofNames<M>]>>;

/** What a codec takes for the message of a schema. */
export type InputOf<S extends DescMessage> = RequestOf<MessageShape<S>>;

type OneofNames<M> = {
  [Name in keyof M]-?: M[Name] extends { case: string | undefined } ? Name : never;
}[keyof M];

type OneofFields<Oneof> = Oneof extends { case: infer Name extends string; value: infer V }
  ? { readonly [Key in Name]?: ValueOf<V> | undefined }
  : never;

/** The intersection of a union's types. */
type All<Union> = (Union extends unknown ? (each: Union) => void : never) extends (each: infer Both) => void
  ? Both
  : never;

type ValueOf<V> = V extends { $typeName: "google.protobuf.Timestamp" }
  ? Date
  : V extends { $typeName: "google.protobuf.Duration" }
    ? number
    : V extends { $typeName: string }
      ? RequestOf<V>
      : V extends string | boolean | Uint8Array | undefined
        ? V
        : V extends bigint
          ? bigint | number
          : V extends number
            ? `${number}` extends `${V}`
              ? number
              : string // the name of an enum's value
            : V extends readonly (infer Item)[]
              ? readonly ValueOf<Item>[]
              : V extends { [key: string]: infer Item }
                ? Readonly<Record<string, ValueOf<Item> | undefined>>
                : never;
