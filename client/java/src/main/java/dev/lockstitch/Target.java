package dev.lockstitch;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a server is: which addresses are taken, and whether only this machine is there. */
final class Target {
  private static final int DEFAULT_PORT = 50051;
  private static final String UNIX = "unix:";
  private static final Pattern SCHEME =
      Pattern.compile("([a-zA-Z][a-zA-Z0-9+.-]*)://.*", Pattern.DOTALL);
  private static final Pattern ADDRESS = Pattern.compile("(\\[[^\\]]*\\]|[^:\\[\\]]*):([^:]*)");

  private Target() {}

  /**
   * An address as gRPC takes it. {@code http://host:port} and {@code https://host:port} become
   * {@code host:port}.
   *
   * @throws IllegalArgumentException for an address that gRPC would complete by guessing
   */
  static String check(String target) {
    if (target.isEmpty()) {
      throw refused(target, "is empty", "127.0.0.1");
    }
    Matcher scheme = SCHEME.matcher(target);
    if (target.startsWith(UNIX)) {
      return socket(target);
    }
    if (isHttp(target) || isHttps(target)) {
      return fromUrl(target, target.substring(target.indexOf("://") + "://".length()));
    }
    if (scheme.matches() && !target.startsWith("dns:")) {
      throw refused(target, "has an unknown scheme", address(target));
    }
    checkAddress(target, address(target));
    return target;
  }

  /** Whether the target asks for TLS. */
  static boolean isHttps(String target) {
    return target.toLowerCase(Locale.ROOT).startsWith("https://");
  }

  /** Whether the target asks for no TLS. */
  static boolean isHttp(String target) {
    return target.toLowerCase(Locale.ROOT).startsWith("http://");
  }

  private static String fromUrl(String target, String rest) {
    String address = rest.endsWith("/") ? rest.substring(0, rest.length() - 1) : rest;
    if (address.matches(".*[/?#@].*")) {
      String meant = address.replaceFirst("[/?#].*", "").replaceFirst(".*@", "");
      throw refused(target, "has more than a host and a port", meant);
    }
    checkAddress(target, address);
    return address;
  }

  private static String socket(String target) {
    if (target.replaceFirst("^unix:(//)?", "").isEmpty()) {
      throw new IllegalArgumentException(
          "target \"" + target + "\" has no path: write \"unix:/run/lockstitch.sock\"");
    }
    return target;
  }

  private static void checkAddress(String target, String address) {
    if (!address.matches("[!-~]*")) {
      throw refused(target, "has a character that no host name has", "127.0.0.1");
    }
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
    return target.startsWith(UNIX)
        || host.equals("localhost")
        || host.equals("[::1]")
        || host.matches("127(\\.[0-9]{1,3}){3}");
  }

  /** Whether the target is a name that DNS has to tell the addresses of. */
  static boolean isName(String target) {
    boolean ours = !target.contains("://") || target.startsWith("dns:///");
    return ours && !target.startsWith(UNIX) && !host(target).matches("\\[.*\\]|[0-9.]+");
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
