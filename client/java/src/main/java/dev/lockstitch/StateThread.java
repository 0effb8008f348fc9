package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.VersionedState;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A session that holds one plain state, from {@link LockstitchClient#thread}: a map of text to
 * maps, lists, text, numbers, booleans and null.
 *
 * <pre>{@code
 * StateThread thread = client.thread("order-42");
 * Map<String, Object> state = thread.load().orElseGet(HashMap::new);
 * state.put("size", "XL");
 * thread.save(state);
 * }</pre>
 *
 * <p>Every save adds a version. It succeeds only if nobody else has saved since this object loaded
 * or saved last. Lists are stored item by item, and maps key by key, so a save stores what changed.
 * Programs in all languages share threads.
 *
 * <p>Integers are loaded as Long, or as BigInteger beyond 64 bits, and other numbers as Double.
 * Data that would be lost or changed, such as NaN, half of a surrogate pair or a Date, throws
 * {@link InvalidArgumentException}, whose {@code field()} is the path. One thread of the JVM at a
 * time may use an object.
 */
public final class StateThread {
  private final LockstitchClient client;
  private final String sessionId;
  private long step;
  private String latest = "";
  private long revision; // in which the latest checkpoint was written
  private VersionedState state = VersionedState.getDefaultInstance();
  private final SaveIds saveIds = new SaveIds();
  private SessionRunner lease;
  private boolean hasLoaded;

  StateThread(LockstitchClient client, String sessionId) {
    this.client = client;
    this.sessionId = sessionId;
  }

  /** The session. */
  public String sessionId() {
    return sessionId;
  }

  /** Of the state that this object loaded or saved last; 0: none. */
  public long step() {
    return step;
  }

  /** The latest state, which is the caller's to change; empty: there is none. */
  public Optional<Map<String, Object>> load() {
    Latest found = client.loadLatest(sessionId);
    if (found.checkpoint().isEmpty()) {
      step = 0;
      latest = "";
      state = VersionedState.getDefaultInstance();
      hasLoaded = true;
      return Optional.empty();
    }
    Checkpoint checkpoint = found.checkpoint().get();
    Map<String, Object> read = StateLayout.read(checkpoint);
    client.remember(checkpoint, found.checkpointRevision());
    step = checkpoint.getStep();
    revision = found.checkpointRevision();
    latest = checkpoint.getCheckpointId();
    state = checkpoint.getState();
    hasLoaded = true;
    return Optional.of(read);
  }

  /**
   * Store a state as the next version; when this returns, it is durable. After an exception that
   * leaves open whether the state was stored, such as {@link DeadlineExceededException}, save the
   * same state again.
   *
   * @throws ExpectedLatestMismatchException if another has saved meanwhile: load, change that
   *     state, save again
   * @throws InvalidArgumentException for data that would not come back
   * @throws LeaseLostException if another holds the session's lease
   */
  public Saved save(Map<String, ?> next) {
    return save(next, Map.of(), SaveOptions.NONE);
  }

  /**
   * As {@link #save(Map)}.
   *
   * @param metadata key to JSON text, for lists to filter by
   * @param options such as {@link SaveOptions#withTtl}
   */
  public Saved save(Map<String, ?> next, Map<String, String> metadata, SaveOptions options) {
    return put(StateLayout.write(next, state), metadata, options);
  }

  /**
   * Add items to a list of the latest state, and save that as the next version. Loads the state
   * first if this object has not. A key that is not there begins with no items.
   *
   * <pre>{@code thread.append("messages", Map.of("role", "user", "content", "hello"));}</pre>
   *
   * @throws InvalidArgumentException where the key holds no list
   */
  public Saved append(String key, Object... items) {
    if (step == 0 && !hasLoaded) { // once: a repeated append must not find what it has stored
      load();
    }
    return put(StateLayout.append(state, key, Arrays.asList(items)), Map.of(), SaveOptions.NONE);
  }

  /**
   * The state of an earlier step.
   *
   * @throws NotFoundException if there is none
   */
  public Map<String, Object> at(long earlier) {
    return StateLayout.read(client.load(sessionId, earlier).checkpoint());
  }

  /** The versions, newest first, without their states. Pages are fetched as the stream is read. */
  public Stream<StateVersion> history() {
    CheckpointFilter versions = CheckpointFilter.of(sessionId).namespace("").headers();
    return client.listCheckpoints(versions).stream()
        .map(
            listed ->
                new StateVersion(
                    listed.checkpoint().getStep(),
                    listed.savedAt(),
                    listed.stateBytes(),
                    listed.checkpoint().getMetadataMap()));
  }

  /**
   * Copy the thread into a new one, and load that.
   *
   * @throws AlreadyExistsException if there is such a session
   */
  public StateThread fork(String target) {
    return copy(target, CopyOptions.ALL);
  }

  /** As {@link #fork(String)}, up to a step. */
  public StateThread fork(String target, long upTo) {
    return copy(target, CopyOptions.ALL.upTo(idOf(upTo)));
  }

  /**
   * Delete all that came after a step, and load that.
   *
   * @throws NotFoundException if there is no such step
   */
  public Map<String, Object> rewind(long to) {
    client.rewind(new CheckpointRef(sessionId, idOf(to)), isLeased() ? lease.token() : 0);
    return load().orElseThrow();
  }

  /**
   * Acquire the lease of the session: until it is closed, saves of others fail, and this object
   * saves under it. It is renewed in the background.
   *
   * <pre>{@code
   * try (var lease = thread.lease(Duration.ofSeconds(30), Duration.ofSeconds(10))) {
   *   Map<String, Object> state = thread.load().orElseGet(HashMap::new);
   * }
   * }</pre>
   *
   * @param ttl how long the lease outlives this process, 1 second or more
   * @param wait how long to wait while another holds it
   * @throws LeaseHeldException after that
   */
  public SessionRunner lease(Duration ttl, Duration wait) {
    String holder = "process " + ProcessHandle.current().pid();
    lease = client.hold(sessionId, holder, ttl, wait);
    return lease;
  }

  private boolean isLeased() {
    return lease != null && !lease.isReleased();
  }

  private StateThread copy(String target, CopyOptions options) {
    client.copySession(sessionId, target, options);
    StateThread other = new StateThread(client, target);
    other.load();
    return other;
  }

  private Saved put(VersionedState next, Map<String, String> metadata, SaveOptions options) {
    Checkpoint checkpoint =
        Checkpoint.newBuilder()
            .setSessionId(sessionId)
            .setStep(step + 1)
            .setParentId(latest)
            .setState(next)
            .setHeader(StateLayout.HEADER)
            .putAllMetadata(metadata)
            .build();
    SaveOptions expecting =
        step == 0 ? options.expectNone() : options.expectCheckpoint(latest, revision);
    Saved saved =
        isLeased()
            ? lease.save(checkpoint, expecting, saveIds)
            : client.save(checkpoint, expecting, saveIds);
    step++;
    latest = saved.checkpointId();
    revision = saved.revision();
    state = next;
    return saved;
  }

  private static String idOf(long step) {
    return String.format("%020d", step);
  }
}
