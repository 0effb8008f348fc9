package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Threads of plain state, at a real server. */
@Timeout(300)
class StateThreadTest extends WithServer {
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static LockstitchClient other;

  @BeforeAll
  static void connect() {
    other = server.client().build();
  }

  @AfterAll
  static void disconnect() {
    other.close();
  }

  @Test
  void aThreadSavesAndResumes() {
    StateThread thread = client.thread(session);
    assertEquals(Optional.empty(), thread.load());
    thread.save(
        Map.of("messages", List.of("hello"), "cart", Map.of("apples", 2L)),
        Map.of("by", "\"java\""),
        SaveOptions.NONE);
    thread.append("messages", "hi", Map.of("role", "user"));
    Map<String, Object> expected =
        Map.of(
            "messages", List.of("hello", "hi", Map.of("role", "user")),
            "cart", Map.of("apples", 2L));
    StateThread resumed = other.thread(session);
    assertEquals(Optional.of(expected), resumed.load());
    assertEquals(2, resumed.step());
    List<StateVersion> versions = resumed.history().toList();
    assertEquals(List.of(2L, 1L), versions.stream().map(StateVersion::step).toList());
    assertEquals(Map.of("by", "\"java\""), versions.get(1).metadata());
  }

  @Test
  void nobodyOverwritesWhatAnotherHasSaved() {
    StateThread one = client.thread(session);
    StateThread two = other.thread(session);
    one.save(Map.of("turn", 1));
    assertThrows(
        ExpectedLatestMismatchException.class, () -> two.save(Map.of("turn", "never loaded")));
    assertThrows(ExpectedLatestMismatchException.class, () -> two.save(Map.of("turn", 1)));
    assertEquals(Optional.of(Map.of("turn", 1L)), two.load());
    two.save(Map.of("turn", 2));
    assertThrows(ExpectedLatestMismatchException.class, () -> one.append("log", "late"));
    assertEquals(Optional.of(Map.of("turn", 2L)), one.load());
  }

  @Test
  void twoThatAppendLoseNothing() {
    List<CompletableFuture<Void>> workers = new ArrayList<>();
    for (LockstitchClient each : List.of(client, other)) {
      String name = each == client ? "a" : "b";
      workers.add(CompletableFuture.runAsync(() -> appendTwenty(each.thread(session), name)));
    }
    workers.forEach(CompletableFuture::join);
    List<?> log = (List<?>) client.thread(session).load().orElseThrow().get("log");
    assertEquals(40, log.size());
    for (String name : List.of("a", "b")) {
      List<Object> numbers = new ArrayList<>();
      for (Object entry : log) {
        if (((List<?>) entry).get(0).equals(name)) {
          numbers.add(((List<?>) entry).get(1));
        }
      }
      assertEquals(LongStream.range(0, 20).boxed().toList(), numbers);
    }
  }

  private static void appendTwenty(StateThread thread, String name) {
    for (int number = 0; number < 20; ) {
      try {
        thread.append("log", List.of(name, number));
        number++;
      } catch (ExpectedLatestMismatchException error) {
        thread.load();
      }
    }
  }

  @Test
  void forksAndRewinds() {
    StateThread thread = client.thread(session);
    for (int turn = 1; turn <= 3; turn++) {
      thread.save(Map.of("turn", turn));
    }
    StateThread fork = thread.fork(session + "-fork", 2);
    fork.save(Map.of("turn", "other"));
    assertEquals(3, thread.fork(session + "-whole").step());
    assertThrows(AlreadyExistsException.class, () -> thread.fork(session + "-fork"));
    assertThrows(NotFoundException.class, () -> thread.at(9));
    assertEquals(Map.of("turn", 2L), thread.at(2));
    assertEquals(Map.of("turn", 1L), thread.rewind(1));
    thread.save(Map.of("turn", "again"));
    assertEquals(2, thread.step());
  }

  @Test
  void aLeaseKeepsOthersOut() {
    StateThread one = client.thread(session);
    StateThread two = other.thread(session);
    CompletableFuture<SessionRunner> next;
    try (SessionRunner lease = one.lease(MINUTE, Duration.ZERO)) {
      one.append("log", 1);
      one.append("log", 2);
      one.rewind(1);
      assertThrows(LeaseLostException.class, () -> two.append("log", "late"));
      assertThrows(LeaseHeldException.class, () -> two.lease(MINUTE, Duration.ZERO));
      next = CompletableFuture.supplyAsync(() -> two.lease(MINUTE, MINUTE));
    }
    next.join();
    two.append("log", "held");
    assertThrows(LeaseLostException.class, () -> one.append("log", "late"));
    assertTrue(next.join().release());
    one.load();
    one.append("log", "without a lease");
  }

  @Test
  void appendingStoresWhatIsAppended() {
    List<StateThread> threads = List.of(client.thread(session), other.thread(session));
    for (int number = 0; number < 60; number++) {
      StateThread thread = threads.get(number % 2);
      thread.load();
      thread.append("log", "x".repeat(200));
    }
    long stored = client.getSession(session).summary().storedBytes();
    assertTrue(stored < 60 * (300 + 400), () -> stored + " bytes");
  }

  @Test
  void aThreadLoadsNoOtherCheckpoints() {
    client.save(at(1));
    assertThrows(InvalidArgumentException.class, () -> client.thread(session).load());
  }
}
