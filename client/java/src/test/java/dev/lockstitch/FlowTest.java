package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.lockstitch.v1.Checkpoint;
import io.grpc.Status.Code;
import io.grpc.netty.shaded.io.netty.util.internal.PlatformDependent;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** How many saves a client has in flight, and what becomes of the others. */
@Timeout(300)
class FlowTest {
  private static final Duration SHORT = Duration.ofSeconds(1);

  /** UNAVAILABLE where the connection was replaced just before the timeout. */
  private static final Set<Code> GIVEN_UP = Set.of(Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE);

  private static Checkpoint at(String session, long step) {
    return Checkpoint.newBuilder().setSessionId(session).setStep(step).build();
  }

  @Test
  void savesThatWaitForRoomKeepTheirOrder() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = server.client().flow(new FlowLimits(3, 1 << 20)).build()) {
      List<CompletableFuture<Saved>> saves =
          IntStream.range(0, 200)
              .mapToObj(
                  step -> {
                    SaveOptions options = SaveOptions.NONE;
                    return client.saveAsync(
                        at("s", step),
                        step == 0 ? options.expectNone() : options.expectStep(step - 1));
                  })
              .toList();
      for (var save : saves) {
        assertEquals(SaveOutcome.CREATED, save.join().outcome());
      }
    }
  }

  @Test
  void savesWithoutRoomFailInTimeAndLeaveRoomWhenTheyAreCancelled() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = server.client().flow(new FlowLimits(2, 1 << 20)).build()) {
      client.save(at("warm", 0));
      server.signal("STOP");
      SaveOptions hasty = SaveOptions.NONE.withTimeout(SHORT);
      var running =
          List.of(
              client.saveAsync(at("a", 0), SaveOptions.NONE),
              client.saveAsync(at("b", 0), SaveOptions.NONE));
      var error =
          assertThrows(DeadlineExceededException.class, () -> client.save(at("c", 0), hasty));
      assertTrue(error.getMessage().contains("too many other saves"), error.getMessage());
      var waiting = client.saveAsync(at("d", 0), SaveOptions.NONE);
      running.forEach(save -> save.cancel(false));
      server.signal("CONT");
      assertEquals(SaveOutcome.CREATED, waiting.get().outcome());
    }
  }

  @Test
  void closingFailsSavesThatWaitForRoom() throws Exception {
    try (Scripted server = new Scripted(CancelledTest.Way.WATCH.method);
        LockstitchClient client =
            LockstitchClient.builder(server.target()).flow(new FlowLimits(1, 1)).build()) {
      client.saveAsync(at(Scripted.STUCK, 0), SaveOptions.NONE);
      var waiting = client.saveAsync(at("s", 0), SaveOptions.NONE);
      client.close();
      assertInstanceOf(CancelledException.class, waiting.handle((saved, failed) -> failed).get());
    }
  }

  @Test
  void memoryStaysBoundedWhileTheServerHangs() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = server.client().build()) {
      client.save(at("warm", 0));
      server.signal("STOP");
      long before = usedBytes();
      for (int round = 0; round < 8; round++) { // 100 MB
        var saves =
            IntStream.range(0, 64)
                .mapToObj(number -> client.saveAsync(large(number), timeout()))
                .toList();
        for (var save : saves) {
          Throwable failed = save.handle((saved, error) -> error).get();
          Code code = assertInstanceOf(LockstitchException.class, failed).code();
          assertTrue(GIVEN_UP.contains(code), failed::toString);
        }
      }
      long grown = usedBytes() - before;
      assertTrue(grown < FlowLimits.DEFAULT.bytes(), grown + " bytes more are in use");
      server.signal("CONT");
      client.save(at("warm", 1));
    }
  }

  private static SaveOptions timeout() {
    return SaveOptions.NONE.withTimeout(SHORT);
  }

  private static Checkpoint large(int number) {
    return Checkpoint.newBuilder()
        .setSessionId("large-" + number)
        .putMetadata("text", '"' + "x".repeat(200_000) + '"')
        .build();
  }

  /** What is in use on the heap and in gRPC's buffers. */
  private static long usedBytes() {
    System.gc();
    long heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    return heap + PlatformDependent.usedDirectMemory();
  }
}
