package dev.lockstitch;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A real server for tests, from the repository's virtual environment, on a port that stays the same
 * over restarts.
 */
final class Server implements AutoCloseable {
  static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();
  private static final Duration START = Duration.ofSeconds(60);

  final String target;
  private final Path directory;
  private Process process;

  private Server(boolean socket) throws IOException {
    directory = Files.createTempDirectory("lockstitch-");
    target = socket ? "unix:" + directory.resolve("socket") : "127.0.0.1:" + freePort();
  }

  static Server notStarted() throws IOException {
    return new Server(false);
  }

  static Server started() throws IOException {
    return new Server(false).start();
  }

  static Server onSocket() throws IOException {
    return new Server(true).start();
  }

  Server start() throws IOException {
    String command =
        System.getenv().getOrDefault("LOCKSTITCH", ROOT.resolve(".venv/bin/lockstitch").toString());
    String store = "sqlite:///" + directory.resolve("lockstitch.db");
    ProcessBuilder builder =
        new ProcessBuilder(command, "serve", "--listen", target, "--store", store);
    builder.environment().keySet().removeIf(name -> name.startsWith("LOCKSTITCH"));
    builder.directory(directory.toFile()).redirectErrorStream(true);
    process = builder.redirectOutput(directory.resolve("log").toFile()).start();
    try (LockstitchClient client = client().build()) {
      client.awaitReady(START);
    }
    return this;
  }

  /** A client that waits long enough for a busy machine. */
  ClientBuilder client() {
    return LockstitchClient.builder(target).timeout(START.multipliedBy(2)).connectTimeout(START);
  }

  /** Sends a signal, such as "STOP". */
  void signal(String name) throws IOException, InterruptedException {
    new ProcessBuilder("kill", "-" + name, String.valueOf(process.pid())).start().waitFor();
  }

  void stop() throws InterruptedException {
    process.destroy();
    process.waitFor(30, TimeUnit.SECONDS);
    kill();
  }

  void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  @Override
  public void close() throws IOException, InterruptedException {
    kill();
    try (Stream<Path> files = Files.walk(directory)) {
      files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    } catch (UncheckedIOException error) {
      close(); // a process of the server was still deleting files
    }
  }

  /**
   * A port that nobody listens on, below those that systems give to outgoing connections: none
   * takes it while the server is down.
   */
  private static int freePort() throws IOException {
    while (true) {
      int port = ThreadLocalRandom.current().nextInt(20_000, 32_000);
      try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
        return socket.getLocalPort();
      } catch (BindException taken) {
        continue;
      }
    }
  }
}
