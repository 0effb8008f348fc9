package dev.lockstitch;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.lockstitch.v1.ErrorInfo;
import dev.lockstitch.v1.Status;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** From failed calls to exceptions, by the status details and never by a message's text. */
final class Errors {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final String DOMAIN = "lockstitch.dev";
  private static final String ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo";
  private static final String RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo";

  static final Map<String, Function<ErrorDetails, LockstitchException>> BY_REASON =
      Map.ofEntries(
          entry("INVALID_FIELD", InvalidArgumentException::new),
          entry("NOT_JSON", NotJsonException::new),
          entry("INVALID_PAGE_TOKEN", InvalidPageTokenException::new),
          entry("TOO_LARGE", TooLargeException::new),
          entry("EXPECTED_LATEST_MISMATCH", ExpectedLatestMismatchException::new),
          entry("LEASE_LOST", LeaseLostException::new),
          entry("UNKNOWN_BASE", UnknownBaseException::new),
          entry("BASE_CHANGED", BaseChangedException::new),
          entry("DELTA_MISMATCH", DeltaMismatchException::new),
          entry("SCHEMA_BEHIND", SchemaBehindException::new),
          entry("CHECKPOINT_NOT_FOUND", NotFoundException::new),
          entry("STORE_UNAVAILABLE", StoreUnavailableException::new),
          entry("OVERLOADED", OverloadedException::new),
          entry("DRAINING", DrainingException::new),
          entry("DATA_LOSS", DataLossException::new),
          entry("INTERNAL", InternalException::new),
          entry("SESSION_NOT_FOUND", SessionNotFoundException::new),
          entry("SESSION_DELETED", SessionDeletedException::new),
          entry("SESSION_ALREADY_EXISTS", AlreadyExistsException::new),
          entry("LEASE_HELD", LeaseHeldException::new),
          entry("RESUME_TOO_OLD", ResumeTooOldException::new),
          entry("CREDENTIALS_MISSING", UnauthenticatedException::new),
          entry("CREDENTIALS_INVALID", UnauthenticatedException::new),
          entry("RIGHT_MISSING", RightMissingException::new),
          entry("TENANT_FORBIDDEN", TenantForbiddenException::new),
          entry("RATE_LIMITED", RateLimitedException::new),
          entry("STORE_FULL", StoreUnavailableException::new),
          entry("STORE_READ_ONLY", StoreUnavailableException::new),
          entry("SUPERSEDED", SupersededException::new));

  /** For errors without a known reason: those of proxies, of gRPC itself and of newer servers. */
  private static final Map<Code, Function<ErrorDetails, LockstitchException>> BY_CODE =
      Map.ofEntries(
          entry(Code.INVALID_ARGUMENT, InvalidArgumentException::new),
          entry(Code.RESOURCE_EXHAUSTED, ResourceExhaustedException::new),
          entry(Code.ABORTED, AbortedException::new),
          entry(Code.FAILED_PRECONDITION, FailedPreconditionException::new),
          entry(Code.NOT_FOUND, NotFoundException::new),
          entry(Code.ALREADY_EXISTS, AlreadyExistsException::new),
          entry(Code.OUT_OF_RANGE, OutOfRangeException::new),
          entry(Code.UNAVAILABLE, UnavailableException::new),
          entry(Code.DEADLINE_EXCEEDED, DeadlineExceededException::new),
          entry(Code.CANCELLED, CancelledException::new),
          entry(Code.DATA_LOSS, DataLossException::new),
          entry(Code.INTERNAL, InternalException::new),
          entry(Code.UNAUTHENTICATED, UnauthenticatedException::new),
          entry(Code.PERMISSION_DENIED, PermissionDeniedException::new),
          entry(Code.UNIMPLEMENTED, UnimplementedException::new));

  private Errors() {}

  /** The exception for a call that gRPC says has failed; what is none of gRPC's is INTERNAL. */
  static LockstitchException from(Throwable error) {
    if (error instanceof LockstitchException known) {
      return known;
    }
    Metadata trailers = io.grpc.Status.trailersFromThrowable(error);
    byte[] data = trailers == null ? null : trailers.get(DETAILS);
    io.grpc.Status status = statusOf(error);
    String text = data == null ? describe(status) : status.getDescription();
    return make(status.getCode(), text, parsed(data), error);
  }

  /** The exception for a failure inside an answer. */
  static LockstitchException from(Status told) {
    Code code = io.grpc.Status.fromCodeValue(told.getCode()).getCode();
    return make(code, told.getMessage(), told, null);
  }

  /**
   * A call's exception where nobody here has cancelled it: a server that stops resets what it has
   * not begun.
   */
  static LockstitchException asTheServers(LockstitchException error) {
    boolean reset = error instanceof CancelledException && error.reason().isEmpty();
    String told = "cancelled by the server: " + error.detail();
    return reset ? of(Code.UNAVAILABLE, told, error) : error;
  }

  static LockstitchException noConnection(String target, String cause) {
    String text = "no connection to " + target + ": " + cause;
    return ours(Code.UNAVAILABLE, text, "", Map.of(), null, NoConnectionException::new);
  }

  /** The reason why a call found no connection. */
  static String cause(Throwable error) {
    io.grpc.Status status = statusOf(error);
    return status.getCode() == Code.UNAVAILABLE ? describe(status) : "nothing answers there";
  }

  /**
   * The description of a status, and of an UNAVAILABLE one its cause: gRPC describes every failure
   * of a connection as "io exception", and only the cause says "Connection refused".
   */
  private static String describe(io.grpc.Status status) {
    String text = status.getDescription() == null ? "" : status.getDescription();
    Throwable cause = status.getCause();
    if (status.getCode() != Code.UNAVAILABLE || cause == null) {
      return text;
    }
    String why = cause.getMessage() == null ? cause.toString() : cause.getMessage();
    return text.isEmpty() ? why : text + ": " + why;
  }

  static LockstitchException of(Code code, String message, Throwable cause) {
    return make(code, message, Status.getDefaultInstance(), cause);
  }

  /** A part of a state or of a checkpoint that cannot be saved or loaded without loss. */
  static LockstitchException refused(String path, String problem) {
    String text = path + " " + problem;
    var metadata = Map.of("field", path);
    return ours(
        Code.INVALID_ARGUMENT,
        text,
        "INVALID_FIELD",
        metadata,
        null,
        InvalidArgumentException::new);
  }

  static LockstitchException leaseLost(String message, Throwable cause) {
    return ours(Code.ABORTED, message, "LEASE_LOST", Map.of(), cause, LeaseLostException::new);
  }

  /** A failure that this client has found, and no server. */
  private static LockstitchException ours(
      Code code,
      String message,
      String reason,
      Map<String, String> metadata,
      Throwable cause,
      Function<ErrorDetails, LockstitchException> kind) {
    var delay = java.time.Duration.ZERO;
    return new ErrorDetails(code, message, reason, metadata, delay, cause, kind).exception();
  }

  private static io.grpc.Status statusOf(Throwable error) {
    boolean known = error instanceof StatusRuntimeException || error instanceof StatusException;
    return known
        ? io.grpc.Status.fromThrowable(error)
        : io.grpc.Status.INTERNAL.withDescription(error.toString());
  }

  private static LockstitchException make(Code code, String message, Status told, Throwable cause) {
    ErrorInfo info = info(told.getDetailsList());
    String text = message == null ? "" : message;
    Map<String, String> metadata = Map.copyOf(info.getMetadataMap());
    var byCode = BY_CODE.getOrDefault(code, LockstitchException::new);
    var kind = BY_REASON.getOrDefault(info.getReason(), byCode);
    var delay = retryDelay(told.getDetailsList());
    return new ErrorDetails(code, text, info.getReason(), metadata, delay, cause, kind).exception();
  }

  /** Without details: not ours; a proxy may write what it likes. */
  private static Status parsed(byte[] data) {
    try {
      return data == null ? Status.getDefaultInstance() : Status.parseFrom(data);
    } catch (InvalidProtocolBufferException error) {
      return Status.getDefaultInstance();
    }
  }

  private static ErrorInfo info(List<Any> details) {
    for (Any detail : details) {
      try {
        if (detail.getTypeUrl().equals(ERROR_INFO)) {
          ErrorInfo info = ErrorInfo.parseFrom(detail.getValue());
          return info.getDomain().equals(DOMAIN) ? info : ErrorInfo.getDefaultInstance();
        }
      } catch (InvalidProtocolBufferException error) {
        return ErrorInfo.getDefaultInstance();
      }
    }
    return ErrorInfo.getDefaultInstance();
  }

  /** A google.rpc.RetryInfo has one field, a Duration of number 1. */
  private static java.time.Duration retryDelay(List<Any> details) {
    for (Any detail : details) {
      try {
        CodedInputStream input = detail.getValue().newCodedInput();
        if (detail.getTypeUrl().equals(RETRY_INFO) && input.readTag() == 10) {
          Duration delay = Duration.parseFrom(input.readByteArray());
          return java.time.Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        }
      } catch (IOException | ArithmeticException error) {
        return java.time.Duration.ZERO;
      }
    }
    return java.time.Duration.ZERO;
  }
}
