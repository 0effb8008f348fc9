package dev.lockstitch;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/** A bearer token that may change: its source is asked at every call. */
final class Token extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Supplier<String> source;

  Token(Supplier<String> source) {
    this.source = source;
  }

  /** The value of a call's metadata. Throws IllegalArgumentException, which does not show it. */
  static String bearer(String token) {
    if (token == null || !token.matches("[!-~]+")) {
      throw new IllegalArgumentException(
          "\"authorization\" cannot be sent: a key is printable ASCII"
              + " without spaces, and not empty");
    }
    return "Bearer " + token;
  }

  @Override
  public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
    executor.execute(() -> apply(applier));
  }

  private void apply(MetadataApplier applier) {
    Metadata headers = new Metadata();
    try {
      headers.put(AUTHORIZATION, bearer(source.get()));
    } catch (RuntimeException error) {
      applier.fail(
          Status.UNAUTHENTICATED
              .withDescription("the source of the key failed: " + error.getMessage())
              .withCause(error));
      return;
    }
    applier.apply(headers);
  }
}
