package dev.lockstitch;

import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.ProxyDetector;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.security.Security;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * Looks up a name each time gRPC asks for its addresses. gRPC asks when a connection is lost or
 * cannot be made. gRPC's own resolver and the JVM keep addresses for 30 seconds, which is as long
 * as calls wait by default, so they would find a server that has moved too late.
 *
 * <p>Each lookup spells the name with other capitals, because the cache of the JVM tells upper from
 * lower case and DNS does not. The settings of that cache are for the whole JVM, so they belong to
 * the application. A DNS client of our own would pass over /etc/hosts and the system's other
 * sources of names.
 */
final class FreshNames extends NameResolver.Factory {
  private static final AtomicLong LOOKUPS = new AtomicLong(); // of this JVM, whose cache is shared

  private final String host;
  private final int port;

  FreshNames(String target) {
    host = Target.host(target);
    port = Target.port(target);
  }

  @Override
  public String getDefaultScheme() {
    return "dns";
  }

  @Override
  public NameResolver newNameResolver(URI target, NameResolver.Args args) {
    return new Name(host, port, args);
  }

  /** The {@code number}th spelling of a host; the first, 0, is in lower case. */
  static String spelling(String host, long number) {
    StringBuilder spelled = new StringBuilder();
    long bits = number;
    for (char letter : host.toCharArray()) {
      if (isLetter(letter)) {
        boolean upper = (bits & 1) == 1;
        spelled.append(upper ? Character.toUpperCase(letter) : Character.toLowerCase(letter));
        bits >>>= 1;
      } else {
        spelled.append(letter);
      }
    }
    return spelled.toString();
  }

  /**
   * The shortest time between two lookups: half a second, and more for names of fewer than six
   * letters, so that a spelling is used again only after the JVM has dropped it.
   */
  static long intervalMillis(String host) {
    long letters = host.chars().filter(FreshNames::isLetter).count();
    return Math.max(500, 30_000 >> Math.min(letters, 16));
  }

  private static boolean isLetter(int c) {
    return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z';
  }

  private static InetAddress[] lookUp(String host) throws UnknownHostException {
    String ttl = Security.getProperty("networkaddress.cache.ttl");
    if (ttl != null && ttl.startsWith("-")) { // the application wants names kept for ever
      return InetAddress.getAllByName(host);
    }
    try {
      return InetAddress.getAllByName(spelling(host, LOOKUPS.getAndIncrement()));
    } catch (UnknownHostException error) {
      return InetAddress.getAllByName(host); // musl tells the case of names in /etc/hosts
    }
  }

  private static final class Name extends NameResolver {
    private final String host;
    private final int port;
    private final long intervalNanos;
    private final ProxyDetector proxies;
    private final Executor executor;
    private Listener2 listener;
    private long lookedUp;
    private boolean looking;
    private volatile boolean ended;

    Name(String host, int port, Args args) {
      this.host = host;
      this.port = port;
      intervalNanos = TimeUnit.MILLISECONDS.toNanos(intervalMillis(host));
      proxies = args.getProxyDetector();
      executor = args.getOffloadExecutor();
    }

    @Override
    public String getServiceAuthority() {
      return host + ":" + port;
    }

    @Override
    public void start(Listener2 given) {
      listener = given;
      begin();
    }

    @Override
    public void refresh() {
      if (System.nanoTime() - lookedUp >= intervalNanos) {
        begin();
      }
    }

    @Override
    public void shutdown() {
      ended = true;
    }

    private synchronized void begin() {
      if (looking || ended) {
        return;
      }
      looking = true;
      lookedUp = System.nanoTime();
      if (executor != null) {
        executor.execute(this::report);
      } else {
        new Thread(this::report, "lockstitch-dns").start();
      }
    }

    private void report() {
      StatusOr<List<EquivalentAddressGroup>> found = addresses();
      synchronized (this) {
        looking = false;
      }
      if (!ended) {
        listener.onResult(ResolutionResult.newBuilder().setAddressesOrError(found).build());
      }
    }

    private StatusOr<List<EquivalentAddressGroup>> addresses() {
      try {
        SocketAddress proxied = proxies.proxyFor(InetSocketAddress.createUnresolved(host, port));
        if (proxied != null) { // the proxy looks the name up
          return StatusOr.fromValue(List.of(new EquivalentAddressGroup(proxied)));
        }
        Stream<InetAddress> all = Stream.of(lookUp(host));
        return StatusOr.fromValue(
            all.map(one -> new EquivalentAddressGroup(new InetSocketAddress(one, port))).toList());
      } catch (IOException error) {
        return StatusOr.fromStatus(
            Status.UNAVAILABLE.withDescription("name lookup failed").withCause(error));
      }
    }
  }
}
