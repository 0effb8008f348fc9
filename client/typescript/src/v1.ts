/** Every message of the contract, with its schema. */

export * from "./gen/lockstitch/v1/checkpoint_pb.js";
export * from "./gen/lockstitch/v1/checkpoint_service_pb.js";
export * from "./gen/lockstitch/v1/error_pb.js";
export * from "./gen/lockstitch/v1/session_service_pb.js";
