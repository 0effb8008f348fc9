package dev.lockstitch;

import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a server is: which addresses are taken, and whether only this machine is there. */
final class Target {
  private static final int DEFAULT_PORT = 50051;
  private static final Set<String> URLS =
      Set.of("http", "https", "grpc", "grpcs", "tcp", "ssl", "tls");
  private static final Pattern SCHEME = Pattern.compile("([a-zA-Z]+)://([^/]*).*");
  private static final Pattern ADDRESS = Pattern.compile("(\\[[^\\]]*\\]|[^:\\[\\]]*):([^:]*)");

  private Target() {}

  /** Throws IllegalArgumentException for an address that gRPC would complete by guessing. */
  static void check(String target) {
    if (target.isEmpty()) {
      throw refused(target, "is empty", "127.0.0.1");
    }
    Matcher scheme = SCHEME.matcher(target);
    if (scheme.matches() && URLS.contains(scheme.group(1).toLowerCase(Locale.ROOT))) {
      throw refused(target, "is a URL", scheme.group(2));
    }
    if (target.startsWith("unix:") || (scheme.matches() && !target.startsWith("dns:"))) {
      return;
    }
    String address = address(target);
    Matcher parts = ADDRESS.matcher(address);
    if (!parts.matches()) {
      throw refused(target, "has no port", address);
    }
    if (!parts.group(2).matches("[0-9]{1,5}")
        || Integer.parseInt(parts.group(2)) < 1
        || Integer.parseInt(parts.group(2)) > 65535) {
      throw refused(target, "has a port that is not a number from 1 to 65535", parts.group(1));
    }
    if (parts.group(1).isEmpty()) {
      throw refused(target, "has no host", "127.0.0.1" + address);
    }
  }

  static boolean isLocal(String target) {
    String host = host(target).toLowerCase(Locale.ROOT);
    return target.startsWith("unix:")
        || host.equals("localhost")
        || host.equals("[::1]")
        || host.matches("127(\\.[0-9]{1,3}){3}");
  }

  /** Whether the target is a name that DNS has to tell the addresses of. */
  static boolean isName(String target) {
    boolean ours = !target.contains("://") || target.startsWith("dns:///");
    return ours && !target.startsWith("unix:") && !host(target).matches("\\[.*\\]|[0-9.]+");
  }

  static String host(String target) {
    Matcher parts = ADDRESS.matcher(address(target));
    return parts.matches() ? parts.group(1) : "";
  }

  static int port(String target) {
    Matcher parts = ADDRESS.matcher(address(target));
    return parts.matches() ? Integer.parseInt(parts.group(2)) : 0;
  }

  private static String address(String target) {
    String address = target.substring(target.lastIndexOf('/') + 1);
    return address.startsWith("dns:") ? address.substring("dns:".length()) : address;
  }

  private static IllegalArgumentException refused(String target, String what, String meant) {
    boolean whole = ADDRESS.matcher(meant).matches();
    String host =
        meant.chars().filter(c -> c == ':').count() > 1 && !meant.startsWith("[")
            ? "[" + meant + "]"
            : meant;
    String example = whole ? meant : host + ":" + DEFAULT_PORT;
    return new IllegalArgumentException(
        "target \"" + target + "\" " + what + ": write host:port, such as \"" + example + "\"");
  }
}
