package dev.lockstitch;

import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import java.util.concurrent.TimeUnit;

/** Makes the channels of a client. Channels share no connection. */
final class Channels {
  private static final String UNIX = "unix:";

  /** How long one attempt to connect may take. */
  private static final int ATTEMPT_MS = 3000;

  private final ClientBuilder settings;
  private EventLoopGroup group; // of a Unix socket; gRPC has its own for others

  Channels(ClientBuilder settings) {
    this.settings = settings;
  }

  /** A channel, which connects when a call is made. */
  synchronized ManagedChannel open() {
    NettyChannelBuilder builder = settings.target.startsWith(UNIX) ? overSocket() : overNetwork();
    if (settings.tls != null && settings.tls.serverName() != null) {
      builder.overrideAuthority(settings.tls.serverName());
    }
    return builder
        // What the server has accepted can be read back, whatever its limit.
        .maxInboundMessageSize(Integer.MAX_VALUE)
        // The client repeats calls by itself: it knows what the server asks for, and for how long.
        .disableRetry()
        // Servers end connections that ping more often than every five minutes.
        .keepAliveTime(360, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .intercept(settings.interceptors)
        .build();
  }

  /** To be called when all channels are closed. */
  synchronized void close() {
    if (group != null) {
      group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
  }

  /**
   * A name with many addresses is many replicas: spread the calls, leave out those that cannot be
   * reached.
   */
  private NettyChannelBuilder overNetwork() {
    var credentials =
        settings.tls == null ? InsecureChannelCredentials.create() : settings.tls.credentials();
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget(settings.target, credentials)
            .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, ATTEMPT_MS)
            .defaultLoadBalancingPolicy("round_robin");
    if (Target.isLocal(settings.target)) {
      builder.proxyDetector(address -> null); // none reaches what is on this machine only
    }
    return Target.isName(settings.target) ? fresh(builder) : builder;
  }

  @SuppressWarnings("deprecation") // what replaces it is for all channels of the JVM
  private NettyChannelBuilder fresh(NettyChannelBuilder builder) {
    return builder.nameResolverFactory(new FreshNames(settings.target));
  }

  @SuppressWarnings("deprecation") // what replaces the group is not in older versions of Netty
  private NettyChannelBuilder overSocket() {
    String path = settings.target.substring(UNIX.length()).replaceFirst("^//", "");
    if (group == null) {
      group = new EpollEventLoopGroup(1, Transport::daemon);
    }
    return NettyChannelBuilder.forAddress(
            new DomainSocketAddress(path), InsecureChannelCredentials.create())
        .channelType(EpollDomainSocketChannel.class)
        .eventLoopGroup(group)
        .overrideAuthority("localhost");
  }
}
