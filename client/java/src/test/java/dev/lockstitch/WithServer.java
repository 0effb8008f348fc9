package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import java.io.IOException;
import java.util.UUID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** One real server and one client for all tests of a class, and a session for each test. */
abstract class WithServer {
  static Server server;
  static LockstitchClient client;
  final String session = UUID.randomUUID().toString();

  @BeforeAll
  static void start() throws IOException {
    server = Server.started();
    client = server.client().build();
  }

  @AfterAll
  static void stop() throws IOException, InterruptedException {
    client.close();
    server.close();
  }

  /** An empty checkpoint of the session. */
  Checkpoint at(long step) {
    return Checkpoint.newBuilder().setSessionId(session).setStep(step).build();
  }
}
