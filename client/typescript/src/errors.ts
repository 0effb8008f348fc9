/** What a failed call throws: one class per reason, decoded from the status details and never from a message's text. */

import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { type Metadata, status } from "@grpc/grpc-js";
import { type ErrorInfo, ErrorInfoSchema, StatusSchema } from "./gen/lockstitch/v1/error_pb.js";

/** The name of a gRPC status code, such as "ABORTED". */
export type Code = keyof typeof status;

/** Why a call failed: the names of `lockstitch.v1.ErrorReason` without their prefix. */
export type Reason =
  | "INVALID_FIELD"
  | "NOT_JSON"
  | "INVALID_PAGE_TOKEN"
  | "TOO_LARGE"
  | "EXPECTED_LATEST_MISMATCH"
  | "LEASE_LOST"
  | "UNKNOWN_BASE"
  | "BASE_CHANGED"
  | "DELTA_MISMATCH"
  | "SCHEMA_BEHIND"
  | "CHECKPOINT_NOT_FOUND"
  | "STORE_UNAVAILABLE"
  | "OVERLOADED"
  | "DRAINING"
  | "DATA_LOSS"
  | "INTERNAL"
  | "SESSION_NOT_FOUND"
  | "SESSION_DELETED"
  | "SESSION_ALREADY_EXISTS"
  | "LEASE_HELD"
  | "RESUME_TOO_OLD"
  | "CREDENTIALS_MISSING"
  | "CREDENTIALS_INVALID"
  | "RIGHT_MISSING"
  | "TENANT_FORBIDDEN"
  | "RATE_LIMITED"
  | "STORE_FULL"
  | "STORE_READ_ONLY"
  | "SUPERSEDED";

/** What there is to know of a failure beside its message. */
export interface ErrorDetails {
  code: Code;
  reason?: string;
  metadata?: Readonly<Record<string, string>>;
  retryDelayMs?: number | undefined;
  cause?: unknown;
}

/** A call failed. The classes below say how; `code` and `reason` say it to programs. */
export class LockstitchError extends Error {
  /** The gRPC status code. */
  readonly code: Code;
  /** A `Reason`, or another string where the server is newer than this library; "" where none was given. */
  readonly reason: Reason | "" | (string & {});
  /** More about the reason; the keys are named in `error.proto`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long the server asks to wait before the next try, in milliseconds. */
  readonly retryDelayMs: number | undefined;
  /** The message without the reason. */
  readonly detail: string;

  constructor(detail: string, details: ErrorDetails) {
    super(`${details.reason || details.code}: ${detail}`, { cause: details.cause });
    this.name = new.target.name;
    this.detail = detail;
    this.code = details.code;
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.retryDelayMs = details.retryDelayMs;
  }
}

/** The request breaks a rule of the contract: repeating it is in vain. */
export class InvalidArgument extends LockstitchError {
  /** The field that breaks it, such as "checkpoint.session_id". */
  get field(): string {
    return this.metadata.field ?? "";
  }
}

/** A field that must hold JSON text does not. */
export class NotJson extends InvalidArgument {}

/** The page token is not one of this list with these filters. */
export class InvalidPageToken extends InvalidArgument {}

/** More than the server takes. */
export class ResourceExhausted extends LockstitchError {}

/** The request, or the state that it would make, is larger than the server takes. */
export class TooLarge extends ResourceExhausted {}

/** The tenant makes more calls, or has more under way, than it may. Nothing was done: retrying later is safe. */
export class RateLimited extends ResourceExhausted {}

/** Somebody else was faster, or may write where this caller may not. Nothing was written. */
export class Aborted extends LockstitchError {}

/** The latest checkpoint is not the expected one. Load it and decide again. */
export class ExpectedLatestMismatch extends Aborted {
  /** Id of the latest checkpoint; undefined where there is none. */
  get latestCheckpointId(): string | undefined {
    return this.metadata.latest_checkpoint_id;
  }

  /** Step of the latest checkpoint; undefined where there is none. */
  get latestStep(): bigint | undefined {
    const step = this.metadata.latest_step;
    return step === undefined ? undefined : BigInt(step);
  }
}

/** The lease token is not the one that may write now. */
export class LeaseLost extends Aborted {}

/** Another holds the session's lease. */
export class LeaseHeld extends Aborted {
  /** Who holds it, in the holder's own words. */
  get holder(): string {
    return this.metadata.holder ?? "";
  }
}

/** The state of the server does not allow the call. */
export class FailedPrecondition extends LockstitchError {}

/** A delta could not be applied. The client sends the full state then, so callers do not meet this. */
export class DeltaRefused extends FailedPrecondition {}

/** The delta's base does not exist. */
export class UnknownBase extends DeltaRefused {}

/** The delta's base has been replaced since. */
export class BaseChanged extends DeltaRefused {}

/** The delta does not fit its base, or the server does not know all of it. */
export class DeltaMismatch extends DeltaRefused {}

/** The database's schema is older than the server needs. */
export class SchemaBehind extends FailedPrecondition {}

/** The session was deleted, and cannot be created again yet. */
export class SessionDeleted extends FailedPrecondition {}

/** No such checkpoint. */
export class NotFound extends LockstitchError {}

/** No such session. */
export class SessionNotFound extends NotFound {}

/** The session to make is there already. */
export class AlreadyExists extends LockstitchError {}

/** What was asked for has gone by. */
export class OutOfRange extends LockstitchError {}

/** What happened since the resume token is no longer known. Load again, and watch without a token. */
export class ResumeTooOld extends OutOfRange {}

/** The server or its database is away, or has reset the call as it stopped. The client has retried; retrying later is safe. */
export class Unavailable extends LockstitchError {}

/** There is no connection to the server: it is not running, is not at this address, or refuses this connection. */
export class NoConnection extends Unavailable {}

/** The checkpoint holds a later save of this client, or another program has replaced this save. Load it. */
export class Superseded extends Aborted {}

/** The server's database cannot be reached, is full (`STORE_FULL`) or takes no writes (`STORE_READ_ONLY`). */
export class StoreUnavailable extends Unavailable {}

/** The server has more work than it takes on. */
export class Overloaded extends Unavailable {}

/** The server is stopping. */
export class Draining extends Unavailable {}

/** No answer in time. A save may have been stored nevertheless; saving the same again is safe. */
export class DeadlineExceeded extends LockstitchError {}

/** The call was cancelled, by its signal or by closing the client. */
export class Cancelled extends LockstitchError {}

/** What is stored fails its checksum or is incomplete. */
export class DataLoss extends LockstitchError {}

/** A fault of the server, whose log tells more. */
export class Internal extends LockstitchError {}

/** Credentials are missing or wrong. */
export class Unauthenticated extends LockstitchError {}

/** The credentials do not allow this. */
export class PermissionDenied extends LockstitchError {}

/** The caller has not the right to this. */
export class RightMissing extends PermissionDenied {}

/** The caller may not act for this tenant, or has to name one of its tenants. */
export class TenantForbidden extends PermissionDenied {}

/** The server is older than this library, or not a Lockstitch server. */
export class Unimplemented extends LockstitchError {}

type ErrorClass = new (detail: string, details: ErrorDetails) => LockstitchError;

const BY_REASON: Readonly<Record<Reason, ErrorClass>> = {
  INVALID_FIELD: InvalidArgument,
  NOT_JSON: NotJson,
  INVALID_PAGE_TOKEN: InvalidPageToken,
  TOO_LARGE: TooLarge,
  EXPECTED_LATEST_MISMATCH: ExpectedLatestMismatch,
  LEASE_LOST: LeaseLost,
  UNKNOWN_BASE: UnknownBase,
  BASE_CHANGED: BaseChanged,
  DELTA_MISMATCH: DeltaMismatch,
  SCHEMA_BEHIND: SchemaBehind,
  CHECKPOINT_NOT_FOUND: NotFound,
  STORE_UNAVAILABLE: StoreUnavailable,
  OVERLOADED: Overloaded,
  DRAINING: Draining,
  DATA_LOSS: DataLoss,
  INTERNAL: Internal,
  SESSION_NOT_FOUND: SessionNotFound,
  SESSION_DELETED: SessionDeleted,
  SESSION_ALREADY_EXISTS: AlreadyExists,
  LEASE_HELD: LeaseHeld,
  RESUME_TOO_OLD: ResumeTooOld,
  CREDENTIALS_MISSING: Unauthenticated,
  CREDENTIALS_INVALID: Unauthenticated,
  RIGHT_MISSING: RightMissing,
  TENANT_FORBIDDEN: TenantForbidden,
  RATE_LIMITED: RateLimited,
  STORE_FULL: StoreUnavailable,
  STORE_READ_ONLY: StoreUnavailable,
  SUPERSEDED: Superseded,
};

/** For errors without a known reason: those of proxies, of gRPC itself and of newer servers. */
const BY_CODE: Readonly<Partial<Record<Code, ErrorClass>>> = {
  INVALID_ARGUMENT: InvalidArgument,
  RESOURCE_EXHAUSTED: ResourceExhausted,
  ABORTED: Aborted,
  FAILED_PRECONDITION: FailedPrecondition,
  NOT_FOUND: NotFound,
  ALREADY_EXISTS: AlreadyExists,
  OUT_OF_RANGE: OutOfRange,
  UNAVAILABLE: Unavailable,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  CANCELLED: Cancelled,
  DATA_LOSS: DataLoss,
  INTERNAL: Internal,
  UNAUTHENTICATED: Unauthenticated,
  PERMISSION_DENIED: PermissionDenied,
  UNIMPLEMENTED: Unimplemented,
};

const DOMAIN = "lockstitch.dev";
const ERROR_INFO_URL = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO_URL = "type.googleapis.com/google.rpc.RetryInfo";

/** A google.rpc.Status inside a response. */
export interface StatusMessage {
  code: number;
  message: string;
  details: { typeUrl: string; value: Uint8Array }[];
}

/** What a call says as it fails. */
export interface FailedCall {
  code: status;
  details: string;
  metadata: Metadata;
}

/** The same error for another caller: each has a stack of its own. */
export function copyOf(error: LockstitchError): LockstitchError {
  const { code, reason, metadata, retryDelayMs, cause } = error;
  const kind = error.constructor as ErrorClass;
  return new kind(error.detail, { code, reason, metadata, retryDelayMs, cause });
}

/**
 * The error with the stack of those that wait for a call, in place of the stack of where its answer was read.
 *
 * below: the function of this library that they have called.
 */
export function forCaller<T>(error: T, below: (...given: never[]) => unknown): T {
  if (error instanceof LockstitchError) {
    Error.captureStackTrace(error, below);
  }
  return error;
}

/** Whether something was thrown by gRPC. */
export function isFailedCall(error: unknown): error is Error & FailedCall {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}

/** The error for a call that gRPC says has failed. */
export function fromFailedCall(call: FailedCall): LockstitchError {
  const [data] = call.metadata.get("grpc-status-details-bin");
  return make(
    call.code,
    call.details,
    data instanceof Uint8Array ? readable(() => fromBinary(StatusSchema, data)) : undefined,
    call,
  );
}

/** A call's error where nobody here has cancelled it: a server that stops resets what it has not begun. */
export function asTheServers(error: LockstitchError): LockstitchError {
  if (!(error instanceof Cancelled) || error.reason) {
    return error;
  }
  return new Unavailable(`cancelled by the server: ${error.detail}`, { code: "UNAVAILABLE", cause: error });
}

/** The error for a failure inside an answer. */
export function fromStatus(told: StatusMessage): LockstitchError {
  return make(told.code, told.message, told);
}

function make(number: number, message: string, told: StatusMessage | undefined, cause?: unknown): LockstitchError {
  const code = (status[number] ?? "UNKNOWN") as Code;
  const details = told?.details ?? [];
  const { reason = "", metadata = {} } = errorInfo(details) ?? {};
  const kind = classOf(reason, code);
  return new kind(message, { code, reason, metadata, retryDelayMs: retryDelay(details), cause });
}

function classOf(reason: string, code: Code): ErrorClass {
  if (Object.hasOwn(BY_REASON, reason)) {
    return BY_REASON[reason as Reason];
  }
  return BY_CODE[code] ?? LockstitchError;
}

/** What is read; undefined: it cannot be read, so it is not ours. A proxy may write what it likes. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function errorInfo(details: StatusMessage["details"]): ErrorInfo | undefined {
  for (const detail of details.filter((one) => one.typeUrl === ERROR_INFO_URL)) {
    const info = readable(() => fromBinary(ErrorInfoSchema, detail.value));
    if (info?.domain === DOMAIN) {
      return info;
    }
  }
  return undefined;
}

/** Milliseconds. */
function retryDelay(details: StatusMessage["details"]): number | undefined {
  const detail = details.find((one) => one.typeUrl === RETRY_INFO_URL);
  return detail && readable(() => delayOf(detail.value));
}

/** A google.rpc.RetryInfo has one field, a Duration of number 1. */
function delayOf(retryInfo: Uint8Array): number | undefined {
  const reader = new BinaryReader(retryInfo);
  const [field, wire] = reader.tag();
  if (field !== 1 || wire !== WireType.LengthDelimited) {
    return undefined;
  }
  const delay = fromBinary(DurationSchema, reader.bytes());
  return Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}
