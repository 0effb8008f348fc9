/**
 * Every message of the contract, generated from it, for programs that read or write serialized messages. Needs @bufbuild/protobuf.
 *
 *     const bytes = encode(CheckpointSchema, checkpoint); // a checkpoint of the client
 *     const message = fromBinary(CheckpointSchema, bytes); // the generated message
 */

import type { DescMessage } from "@bufbuild/protobuf";
import { codecOf } from "./wire/codec.js";
import type { InputOf } from "./wire/requests.js";

export { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
export * from "./gen/lockstitch/v1/checkpoint_pb.js";
export * from "./gen/lockstitch/v1/checkpoint_service_pb.js";
export * from "./gen/lockstitch/v1/error_pb.js";
export * from "./gen/lockstitch/v1/session_service_pb.js";

/** Serialize a plain object as a message. Throws InvalidArgument, with the field, for a value that a field cannot hold. */
export function encode<S extends DescMessage>(schema: S, value: InputOf<S>): Uint8Array {
  return codecOf<object, InputOf<S> & object>(schema).encode(value);
}

/** The plain object of a serialized message. `T`: its type, such as `Checkpoint`. Throws Error for what is no such message. */
export function decode<T extends object>(schema: DescMessage, bytes: Uint8Array): T {
  return codecOf<T>(schema).decode(bytes);
}
