package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.VersionedState;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Servers that die or hang, while the application goes on as if nothing had happened. */
@Timeout(400)
class ResilienceTest {
  private static final int STEPS = 20;

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void workersKnowNothingOfRestarts(boolean killed) throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = patient(server)) {
      List<String> sessions = Stream.generate(() -> UUID.randomUUID().toString()).limit(6).toList();
      var work =
          sessions.stream().map(id -> CompletableFuture.runAsync(() -> run(client, id))).toList();
      Thread.sleep(300);
      if (killed) {
        server.kill();
      } else {
        server.stop();
      }
      server.start();
      work.forEach(CompletableFuture::join);
      for (String id : sessions) {
        Checkpoint latest = client.loadLatest(id).checkpoint().orElseThrow();
        assertEquals(STEPS - 1, latest.getStep());
        assertEquals(STEPS, latest.getState().getMessages().getItemsCount());
      }
    }
  }

  @org.junit.jupiter.api.Test
  void aServerThatHangsHoldsNobodyForLong() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = patient(server)) {
      client.save(Checkpoint.newBuilder().setSessionId("warm").build());
      server.signal("STOP");
      SaveOptions hasty = SaveOptions.NONE.withTimeout(Duration.ofMillis(1500));
      Checkpoint checkpoint = Checkpoint.newBuilder().setSessionId("a").build();
      assertThrows(DeadlineExceededException.class, () -> client.save(checkpoint, hasty));
      server.signal("CONT");
      client.save(checkpoint);
    }
  }

  private static LockstitchClient patient(Server server) {
    return server.client().timeout(Duration.ofSeconds(150)).build();
  }

  private static void run(LockstitchClient client, String id) {
    VersionedState.Builder state = VersionedState.newBuilder();
    for (int step = 0; step < STEPS; step++) {
      state.getMessagesBuilder().setVersion(step).addItems(Values.message("user", "step " + step));
      client.save(Checkpoint.newBuilder().setSessionId(id).setStep(step).setState(state).build());
    }
  }
}
