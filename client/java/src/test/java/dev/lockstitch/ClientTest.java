package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.VersionedState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;

@Timeout(300)
class ClientTest extends WithServer {
  private static final String NOWHERE = "127.0.0.1:1";
  private static final Duration FOREVER = Duration.ofHours(1);

  @Test
  void textThatIsNotUnicodeIsRefusedWithItsField() {
    Map<String, Checkpoint.Builder> all = new HashMap<>();
    all.put("checkpoint.session_id", at(1).toBuilder().setSessionId("\ud83d"));
    all.put("checkpoint.updated_channels[1]", at(1).toBuilder().addUpdatedChannels("🧵"));
    all.get("checkpoint.updated_channels[1]").addUpdatedChannels("\ude00\ud83d");
    all.put("checkpoint.metadata[\"a\"]", at(1).toBuilder().putMetadata("a", "x\ud83d"));
    Checkpoint.Builder said = at(1).toBuilder();
    said.getStateBuilder().getMessagesBuilder().addItems(Values.message("user", "\ud83dx"));
    all.put("checkpoint.state.messages.items[0].content", said);
    all.forEach(
        (field, checkpoint) -> {
          var error =
              assertThrows(
                  InvalidArgumentException.class, () -> client.save(checkpoint.build()), field);
          assertEquals(field, error.field());
        });
    assertTrue(client.loadLatest(session).checkpoint().isEmpty());
  }

  @Test
  void textThatIsNotUnicodeIsRefusedByAllCalls() {
    String half = "\ud83d";
    PendingWrite write = PendingWrite.newBuilder().setTaskId("t").setChannel(half).build();
    Map<String, Executable> calls = new LinkedHashMap<>();
    calls.put(
        "writes[0].channel",
        () -> client.saveWrites(new CheckpointRef(session, "x"), List.of(write)));
    calls.put(
        "expected_latest.checkpoint_id",
        () -> client.save(at(1), SaveOptions.NONE.expectCheckpoint(half)));
    calls.put("session_id", () -> client.loadLatest(half));
    calls.put("holder", () -> client.acquireLease(session, half, Duration.ofSeconds(5)));
    calls.put(
        "set_labels[\"" + "a" + "\"]",
        () -> client.updateSession(session, SessionUpdate.NONE.label("a", half)));
    calls.put("session_ids[0]", () -> client.deleteSessions(List.of(half)));
    calls.put("source_session_id", () -> client.copySession(half, session));
    calls.put(
        "session_id_prefix",
        () -> client.listSessions(SessionFilter.ALL.prefix(half)).iterator().hasNext());
    List<Executable> streams =
        List.of(
            () -> client.watchSession(half),
            () -> client.loadLatestMany(List.of(half)),
            () -> client.thread(half).load());
    calls.forEach(
        (field, call) ->
            assertEquals(field, assertThrows(InvalidArgumentException.class, call, field).field()));
    for (Executable call : streams) {
      assertEquals("session_id", assertThrows(InvalidArgumentException.class, call).field());
    }
  }

  @Test
  void errorsAreClassesByTheirReason() {
    client.save(at(7), SaveOptions.NONE.expectNone());
    var mismatch =
        assertThrows(
            ExpectedLatestMismatchException.class,
            () -> client.save(at(8), SaveOptions.NONE.expectCheckpoint("x")));
    assertEquals(7, mismatch.latestStep().getAsLong());
    Checkpoint noJson = at(9).toBuilder().putMetadata("a", "{").build();
    assertThrows(NotJsonException.class, () -> client.save(noJson));
    var invalid =
        assertThrows(
            InvalidArgumentException.class, () -> client.save(Checkpoint.getDefaultInstance()));
    assertEquals("checkpoint.session_id", invalid.field());
  }

  @Test
  void stepsThatAreNegativeInJavaAreRefusedAndOtherIntegersUseAllBits() {
    Checkpoint extreme = at(Long.MAX_VALUE).toBuilder().setConcurrencyLimit(-1).build();
    client.save(extreme);
    Checkpoint loaded = client.loadLatest(session).checkpoint().orElseThrow();
    assertEquals(Long.MAX_VALUE, loaded.getStep());
    assertEquals("18446744073709551615", Long.toUnsignedString(loaded.getConcurrencyLimit()));
    assertThrows(InvalidArgumentException.class, () -> client.save(at(Long.MIN_VALUE)));
  }

  @Test
  void savesOfASessionThatAreUnderWayTogetherKeepTheirOrder() {
    List<CompletableFuture<Saved>> saves =
        IntStream.range(0, 50)
            .mapToObj(
                step -> {
                  SaveOptions options = SaveOptions.NONE;
                  return client.saveAsync(
                      at(step), step == 0 ? options.expectNone() : options.expectStep(step - 1));
                })
            .toList();
    for (var save : saves) {
      assertEquals(SaveOutcome.CREATED, save.join().outcome());
    }
  }

  @Test
  void theSaveThatIsCalledFirstIsSentFirst() {
    for (int pair = 0; pair < 200; pair++) {
      var first = client.saveAsync(at(2L * pair), SaveOptions.NONE);
      var second = client.saveAsync(at(2L * pair + 1), SaveOptions.NONE.expectStep(2L * pair));
      first.join();
      second.join();
    }
  }

  @Test
  void oneOfManySavesFailsAlone() {
    List<CompletableFuture<Saved>> saves = new ArrayList<>();
    for (int number = 0; number < 20; number++) {
      String id = number == 7 ? "" : UUID.randomUUID().toString();
      saves.add(
          client.saveAsync(Checkpoint.newBuilder().setSessionId(id).build(), SaveOptions.NONE));
    }
    for (int number = 0; number < 20; number++) {
      if (number == 7) {
        var error = assertThrows(CompletionException.class, saves.get(number)::join);
        assertInstanceOf(InvalidArgumentException.class, error.getCause());
      } else {
        saves.get(number).join();
      }
    }
  }

  @Test
  void withoutAServerCallsEndInTimeAndAtOnceWhenToldSo() {
    for (RetryPolicy retry : new RetryPolicy[] {RetryPolicy.DEFAULT, null}) {
      Duration patience = retry == null ? Duration.ofSeconds(60) : Duration.ofMillis(800);
      var builder = LockstitchClient.builder(NOWHERE).timeout(patience).retry(retry);
      try (LockstitchClient away = builder.build()) {
        var failed = assertThrows(UnavailableException.class, () -> away.loadLatest(session));
        assertTrue(failed.getMessage().contains("Connection refused"), failed.getMessage());
        var saves =
            List.of(
                away.saveAsync(at(1), SaveOptions.NONE), away.saveAsync(at(2), SaveOptions.NONE));
        for (var save : saves) {
          var error = assertThrows(CompletionException.class, save::join);
          assertInstanceOf(UnavailableException.class, error.getCause());
        }
      }
    }
  }

  @Test
  void theFirstCallSaysThatThereIsNoServer() {
    try (LockstitchClient away = LockstitchClient.builder(NOWHERE).timeout(FOREVER).build()) {
      for (Executable call :
          List.<Executable>of(
              () -> away.save(at(1)),
              () -> away.loadLatest(session),
              () -> away.loadLatestMany(List.of(session)).iterator().next())) {
        var failed = assertThrows(NoConnectionException.class, call);
        assertTrue(failed.getMessage().contains("Connection refused"), failed.getMessage());
      }
      Executable wait = () -> away.awaitReady(Duration.ofSeconds(1));
      var failed = assertThrows(NoConnectionException.class, wait);
      assertTrue(failed.getMessage().contains("Connection refused"), failed.getMessage());
    }
  }

  @Test
  void aServerThatStartsLaterIsWaitedFor() throws Exception {
    try (Server later = Server.notStarted();
        LockstitchClient waiting = later.client().connectTimeout(Duration.ofMillis(1)).build()) {
      var ready = waiting.async().awaitReady();
      later.start();
      ready.get();
      assertEquals(SaveOutcome.CREATED, waiting.save(at(0)).outcome());
    }
  }

  @Test
  void closingEndsWhatIsUnderWay() {
    LockstitchClient closing = LockstitchClient.connect(NOWHERE);
    var saves =
        List.of(
            closing.saveAsync(at(1), SaveOptions.NONE), closing.saveAsync(at(2), SaveOptions.NONE));
    closing.close();
    for (var save : saves) {
      assertThrows(CompletionException.class, save::join);
    }
    assertThrows(CancelledException.class, () -> closing.loadLatest(session));
    closing.close();
  }

  @Test
  void aClosedClientLeavesNoThreadBehind() throws InterruptedException {
    Set<Thread> before = threads(); // some of which may be those of clients that others have closed
    Set<Thread> made;
    try (LockstitchClient closing = server.client().build()) {
      closing.save(at(0));
      made = threads();
      made.removeAll(before);
      assertFalse(made.isEmpty());
    }
    for (Thread thread : made) {
      thread.join(60_000);
      assertFalse(thread.isAlive());
    }
  }

  private static Set<Thread> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().equals("lockstitch"))
        .collect(Collectors.toCollection(HashSet::new));
  }

  @Test
  void aUnixSocketWillDo() throws Exception {
    try (Server local = Server.onSocket();
        LockstitchClient near = local.client().build()) {
      assertEquals(SaveOutcome.CREATED, near.save(at(0)).outcome());
    }
  }

  @Test
  void whatMakesNoSenseIsRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> new RetryPolicy(Duration.ZERO, Duration.ZERO, 1));
    assertThrows(IllegalArgumentException.class, () -> new DeltaPolicy(0, 1));
    assertThrows(
        IllegalArgumentException.class,
        () -> LockstitchClient.builder(NOWHERE).timeout(Duration.ZERO));
    var error = assertThrows(IllegalArgumentException.class, () -> Sessions.restore(at(1)));
    assertTrue(error.getMessage().contains("or it was saved without a state"), error.getMessage());
  }

  @Test
  void everyReasonHasAClass() {
    for (var reason : dev.lockstitch.v1.ErrorReason.values()) {
      String name = reason.name().replace("ERROR_REASON_", "");
      boolean named = !name.equals("UNSPECIFIED") && !name.equals("UNRECOGNIZED");
      assertEquals(named, Errors.BY_REASON.containsKey(name), name);
    }
  }

  @Test
  void aConversationThatGrowsIsSentAsWhatIsNew() {
    VersionedState.Builder state = VersionedState.newBuilder();
    for (int number = 0; number < 50; number++) {
      state.getMessagesBuilder().addItems(Values.message("user", "x".repeat(99)));
    }
    VersionedState before = state.build();
    state.getMessagesBuilder().setVersion(7).addItems(Values.message("user", "new"));
    var delta = Delta.between(before, state.build()).orElseThrow();
    assertEquals(1, delta.getMessages().getAppendCount());
    assertTrue(delta.getSerializedSize() < 50);
    assertTrue(Delta.between(state.build(), before).isEmpty());
    assertTrue(Delta.between(before, VersionedState.getDefaultInstance()).isEmpty());
  }
}
