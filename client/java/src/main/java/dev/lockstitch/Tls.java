package dev.lockstitch;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;

/**
 * TLS. Files are PEM.
 *
 * @param ca the certificates to trust; null: those of the Java runtime
 * @param certificate the client's certificate, where the server asks for one; else null
 * @param key its key
 * @param serverName the name that the server's certificate must have; null: the target's host
 */
public record Tls(Path ca, Path certificate, Path key, String serverName) {
  /** The usual kind: certificates that the Java runtime trusts. */
  public static final Tls DEFAULT = new Tls(null, null, null, null);

  public Tls {
    if ((certificate == null) != (key == null)) {
      throw new IllegalArgumentException("a certificate and its key go together");
    }
  }

  /** Trusts these certificates. */
  public static Tls trusting(Path ca) {
    return new Tls(ca, null, null, null);
  }

  ChannelCredentials credentials() {
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (ca != null) {
        builder.trustManager(ca.toFile());
      }
      if (certificate != null) {
        builder.keyManager(certificate.toFile(), key.toFile());
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return builder.build();
  }
}
