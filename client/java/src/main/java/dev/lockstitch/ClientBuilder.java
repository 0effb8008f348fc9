package dev.lockstitch;

import io.grpc.ClientInterceptor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;

/**
 * How a client is set up.
 *
 * <pre>{@code
 * LockstitchClient client =
 *     LockstitchClient.builder("https://lockstitch.example:50051").apiKey("my-key").build();
 * }</pre>
 */
public final class ClientBuilder {
  final String target;
  private final boolean clear; // the target says so
  private static final String AUTHORIZATION = "authorization";

  final Map<String, String> metadata = new LinkedHashMap<>();
  Tls tls;
  Duration timeout = Duration.ofSeconds(30);
  Duration connectTimeout = Duration.ofMillis(1500);
  RetryPolicy retry = RetryPolicy.DEFAULT;
  DeltaPolicy delta = DeltaPolicy.DEFAULT;
  FlowLimits flow = FlowLimits.DEFAULT;
  boolean stream = true;
  final List<ClientInterceptor> interceptors = new ArrayList<>();
  Token token;
  private boolean insecure;

  ClientBuilder(String target) {
    this.target = Target.check(target);
    clear = Target.isHttp(target);
    tls = Target.isHttps(target) ? Tls.DEFAULT : null;
  }

  /**
   * TLS; without it the connection is unencrypted, unless the target begins with {@code https://}.
   * Not for Unix sockets.
   */
  public ClientBuilder tls(Tls settings) {
    tls = settings;
    return this;
  }

  /**
   * Sent as {@code authorization: Bearer ...} with every call. Without TLS the key would travel in
   * clear text: {@link #build} refuses that, except for Unix sockets and the loopback interface.
   *
   * @throws IllegalArgumentException if the key has other characters than printable ASCII
   */
  public ClientBuilder apiKey(String key) {
    return metadata(AUTHORIZATION, Token.bearer(key));
  }

  /**
   * As {@link #apiKey(String)}, for a key that changes. The source is asked at every call, on a
   * thread of gRPC, so it should be quick. If it throws, the call fails with {@link
   * UnauthenticatedException}.
   *
   * <pre>{@code builder.apiKey(() -> vault.currentToken())}</pre>
   */
  public ClientBuilder apiKey(Supplier<String> source) {
    token = new Token(source);
    return this;
  }

  /**
   * Sees every call of the client, for metrics or logs for example. Interceptors run in the order
   * in which they are added.
   *
   * <pre>{@code
   * builder.intercept(GrpcTelemetry.create(openTelemetry).newClientInterceptor())
   * }</pre>
   */
  public ClientBuilder intercept(ClientInterceptor interceptor) {
    interceptors.add(0, interceptor); // gRPC runs the last one first
    return this;
  }

  /**
   * Sent with every call.
   *
   * @throws IllegalArgumentException if the name has other characters than {@code a-z 0-9 - _ .},
   *     or the value has other characters than printable ASCII
   */
  public ClientBuilder metadata(String key, String value) {
    String name = key.toLowerCase(Locale.ROOT);
    if (!name.matches("[a-z0-9_.-]+") || !value.matches("[ -~]*")) {
      // The value may be a secret: no error shows it.
      throw new IllegalArgumentException(
          "metadata \""
              + key
              + "\" cannot be sent: values are printable ASCII, and names are a-z,"
              + " 0-9, -, _ and .");
    }
    metadata.put(name, value);
    return this;
  }

  /**
   * Whether a key may be sent to another machine without TLS, as where a mesh encrypts the
   * connection.
   */
  public ClientBuilder insecure(boolean allow) {
    insecure = allow;
    return this;
  }

  /**
   * How long a call may take, retries included; 30 seconds by default. {@link
   * SaveOptions#withTimeout} changes this for one save, and {@link LockstitchClient#withTimeout}
   * for other calls.
   */
  public ClientBuilder timeout(Duration most) {
    timeout = Budget.checked(most);
    return this;
  }

  /**
   * How long calls wait for the client's first connection, before they throw {@link
   * NoConnectionException}; 1.5 seconds by default. Once the client has been connected, calls wait
   * for an unavailable server until their timeout. {@link LockstitchClient#awaitReady} waits for a
   * server that has not started yet.
   */
  public ClientBuilder connectTimeout(Duration most) {
    connectTimeout = Budget.checked(most);
    return this;
  }

  /** How calls are repeated; null: each is made once, and only if there is a connection. */
  public ClientBuilder retry(RetryPolicy policy) {
    retry = policy;
    return this;
  }

  /** How much to remember so that only what changed is sent; null: always send full states. */
  public ClientBuilder delta(DeltaPolicy policy) {
    delta = policy;
    return this;
  }

  /** How many saves may be in flight at once; 1024 of 32 MiB together by default. */
  public ClientBuilder flow(FlowLimits limits) {
    flow = limits;
    return this;
  }

  /**
   * Whether saves that are under way at the same time share streams, which takes a fraction of the
   * work.
   */
  public ClientBuilder stream(boolean share) {
    stream = share;
    return this;
  }

  /**
   * The client. It connects when it is used.
   *
   * @throws IllegalArgumentException if a key would be sent in clear text, and for TLS on a Unix
   *     socket
   */
  public LockstitchClient build() {
    boolean local = Target.isLocal(target);
    if (tls != null && clear) {
      throw new IllegalArgumentException(
          "target \"http://" + target + "\" has no TLS: write https://, or leave out tls()");
    }
    if (tls != null && target.startsWith("unix:")) {
      throw new IllegalArgumentException(
          "target \"" + target + "\" is a Unix socket, which has no TLS: leave out tls()");
    }
    if ((token != null || metadata.containsKey(AUTHORIZATION))
        && tls == null
        && !insecure
        && !local) {
      throw new IllegalArgumentException(
          "the key would be sent to \""
              + target
              + "\" in clear text: use tls(), or insecure(true)"
              + " if the network encrypts the connection");
    }
    return new LockstitchClient(this);
  }
}
