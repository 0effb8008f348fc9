package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.PendingWrite;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * A client, which any number of threads may share. The connection is opened by the first call,
 * which throws {@link NoConnectionException} where there is no server. From the first connection
 * on, a server that is away or restarting is waited for. Every failed call throws a {@link
 * LockstitchException}.
 *
 * <p>Integers of 64 bits are Java's signed {@code long}. Steps go up to 2^63-1, so they are never
 * negative. Revisions, concurrency limits, lease tokens and the versions that a node has seen may
 * use all 64 bits: print them by {@link Long#toUnsignedString(long)} and compare them by {@link
 * Long#compareUnsigned}.
 */
public final class LockstitchClient implements AutoCloseable {
  /** The address where a server listens by default. */
  public static final String DEFAULT_TARGET = "127.0.0.1:50051";

  private final Transport transport;
  private final Caller caller;
  private final Saver saver;
  private final AsyncCalls async;

  LockstitchClient(ClientBuilder settings) {
    transport = new Transport(settings);
    caller = new Caller(transport, settings.retry, settings.timeout);
    Memory memory = settings.delta == null ? null : new Memory(settings.delta);
    saver = new Saver(caller, memory, settings.flow, settings.stream);
    transport.onReplaced(saver::restartStreams);
    async = new AsyncCalls(caller, saver, settings.timeout);
  }

  private LockstitchClient(LockstitchClient other, Duration timeout) {
    transport = other.transport;
    caller = new Caller(transport, other.caller.retry, timeout);
    saver = other.saver;
    async = new AsyncCalls(caller, saver, timeout);
  }

  /**
   * A client with the defaults. Makes no call: the first call connects. The connection is
   * unencrypted, unless the target begins with {@code https://}.
   *
   * @throws IllegalArgumentException for a target that {@link #builder} refuses
   */
  public static LockstitchClient connect(String target) {
    return builder(target).build();
  }

  /**
   * A client to be set up.
   *
   * @param target where the server is: "127.0.0.1:50051", "dns:///lockstitch:50051",
   *     "unix:/run/lockstitch.sock", "http://lockstitch:50051", or "https://lockstitch:50051" for
   *     TLS; a name with many addresses spreads the calls over all of them
   * @throws IllegalArgumentException for an address without a host or a port, another scheme, or a
   *     URL with a path
   */
  public static ClientBuilder builder(String target) {
    return new ClientBuilder(target);
  }

  /** The same client, whose calls other than saves may take so long; closing one closes both. */
  public LockstitchClient withTimeout(Duration other) {
    return new LockstitchClient(this, other);
  }

  /** As {@link #awaitReady(Duration)}, with the client's timeout. */
  public void awaitReady() {
    Caller.await(async.awaitReady());
  }

  /**
   * Wait until the server says that it is ready to work. The time to connect does not limit this
   * call, so it also waits for a server that has not started yet, and for a virtual machine that
   * has just started and loads the classes of gRPC.
   *
   * <pre>{@code client.awaitReady(Duration.ofMinutes(1));}</pre>
   *
   * @throws NoConnectionException if there is no server after this time
   * @throws DeadlineExceededException if there is one that does not get ready
   */
  public void awaitReady(Duration timeout) {
    Caller.await(async.awaitReady(timeout));
  }

  /** The calls as futures. */
  public AsyncCalls async() {
    return async;
  }

  /** The plain state of a session, be there one or not. Makes no call. */
  public StateThread thread(String sessionId) {
    return new StateThread(this, sessionId);
  }

  /** Store a checkpoint; see {@link #save(Checkpoint, SaveOptions)}. */
  public Saved save(Checkpoint checkpoint) {
    return save(checkpoint, SaveOptions.NONE);
  }

  /**
   * Store a checkpoint; when this returns, it is durable. Where the client remembers the session's
   * last save, only what changed since is sent. Saving the same content again changes nothing. An
   * empty checkpoint_id becomes the step as 20 digits.
   *
   * @throws ExpectedLatestMismatchException if the latest checkpoint is not the expected one
   * @throws LeaseLostException if somebody else holds the session's lease
   * @throws InvalidArgumentException if the checkpoint breaks a rule of the contract
   */
  public Saved save(Checkpoint checkpoint, SaveOptions options) {
    return Caller.await(async.save(checkpoint, options));
  }

  /** As {@link #save(Checkpoint, SaveOptions)}, of another writer than the client. */
  Saved save(Checkpoint checkpoint, SaveOptions options, SaveIds ids) {
    return Caller.await(saver.save(checkpoint, options, ids));
  }

  /**
   * As {@link #save(Checkpoint, SaveOptions)}, without waiting; it fails with a {@link
   * LockstitchException}.
   */
  public CompletableFuture<Saved> saveAsync(Checkpoint checkpoint, SaveOptions options) {
    return async.save(checkpoint, options);
  }

  /**
   * Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet.
   *
   * <pre>{@code
   * client.saveWrites(new CheckpointRef("order-42", checkpointId), List.of(write));
   * }</pre>
   */
  public SavedWrites saveWrites(CheckpointRef checkpoint, List<PendingWrite> writes) {
    return Caller.await(async.saveWrites(checkpoint, writes));
  }

  /** As {@link #saveWrites(CheckpointRef, List)}, with the fencing token of a lease. */
  public SavedWrites saveWrites(
      CheckpointRef checkpoint, List<PendingWrite> writes, long leaseToken) {
    return Caller.await(async.saveWrites(checkpoint, writes, leaseToken));
  }

  /** The latest checkpoint of the root namespace, the one with the greatest id. */
  public Latest loadLatest(String sessionId) {
    return loadLatest(sessionId, LoadOptions.ALL);
  }

  /** As {@link #loadLatest(String)}, of another namespace or without the state, for example. */
  public Latest loadLatest(String sessionId, LoadOptions options) {
    return Caller.await(async.loadLatest(sessionId, options));
  }

  /**
   * The checkpoint of a step in the root namespace, and its pending writes.
   *
   * @throws NotFoundException if there is none
   */
  public Loaded load(String sessionId, long step) {
    return load(sessionId, step, LoadOptions.ALL);
  }

  /** As {@link #load(String, long)}, of another namespace or without the state, for example. */
  public Loaded load(String sessionId, long step, LoadOptions options) {
    return Caller.await(async.load(sessionId, step, options));
  }

  /**
   * A checkpoint of the root namespace, and its pending writes.
   *
   * @throws NotFoundException if there is none
   */
  public Loaded load(String sessionId, String checkpointId) {
    return load(sessionId, checkpointId, LoadOptions.ALL);
  }

  /** As {@link #load(String, String)}, of another namespace or without the state, for example. */
  public Loaded load(String sessionId, String checkpointId, LoadOptions options) {
    return Caller.await(async.load(sessionId, checkpointId, options));
  }

  /** The latest checkpoints of many sessions, in any order: for a fleet that restarts. */
  public Resumed<LatestOf> loadLatestMany(Collection<String> sessionIds) {
    return loadLatestOf(sessionIds.stream().map(SessionRef::new).toList(), LoadOptions.ALL);
  }

  /** As {@link #loadLatestMany}, of any namespaces; that of the options does not count. */
  public Resumed<LatestOf> loadLatestOf(Collection<SessionRef> sessions, LoadOptions options) {
    Map<Integer, LoadLatestRequest> waiting = new LinkedHashMap<>();
    for (SessionRef session : sessions) {
      var request = options.namespace(session.namespace()).latest(session.sessionId());
      Texts.check(request);
      waiting.put(waiting.size(), request);
    }
    return Streams.loadLatestMany(caller, waiting);
  }

  /** Back along parent_id, nearest ancestor first, without the checkpoint itself. */
  public Resumed<Ancestor> walkAncestors(AncestorQuery query) {
    Texts.check(query.request);
    return Streams.walkAncestors(caller, query.request);
  }

  /**
   * Sessions that have at least one checkpoint and match the filter. Pages are fetched as the list
   * is read.
   *
   * <pre>{@code
   * for (SessionSummary session : client.listSessions(SessionFilter.ALL.prefix("order-"))) {
   *   System.out.println(session.sessionId());
   * }
   * }</pre>
   */
  public Paged<SessionSummary> listSessions(SessionFilter filter) {
    return new Paged<>(
        token -> Caller.await(async.listSessions(filter.from(token))),
        filter.request.getPageToken());
  }

  /**
   * Checkpoints that match the filter, newest first. Pages are fetched as the list is read.
   *
   * <pre>{@code
   * for (ListedCheckpoint listed : client.listCheckpoints(CheckpointFilter.of("order-42"))) {
   *   System.out.println(listed.checkpoint().getStep() + " of " + listed.savedAt());
   * }
   * }</pre>
   */
  public Paged<ListedCheckpoint> listCheckpoints(CheckpointFilter filter) {
    return new Paged<>(
        token -> Caller.await(async.listCheckpoints(filter.from(token))),
        filter.request.getPageToken());
  }

  /**
   * One session with its settings.
   *
   * @throws SessionNotFoundException if there is none
   */
  public SessionDetails getSession(String sessionId) {
    return Caller.await(async.getSession(sessionId));
  }

  /**
   * Change labels, expiry or retention of a session.
   *
   * <pre>{@code client.updateSession("order-42", SessionUpdate.NONE.label("kind", "test"));}</pre>
   *
   * @throws SessionNotFoundException if there is none
   */
  public SessionDetails updateSession(String sessionId, SessionUpdate update) {
    return Caller.await(async.updateSession(sessionId, update));
  }

  /** Delete sessions, and keep late saves from bringing them back. How many existed. */
  public int deleteSessions(Collection<String> sessionIds) {
    return Caller.await(async.deleteSessions(sessionIds));
  }

  /**
   * As {@link #deleteSessions(Collection)}.
   *
   * @param tombstone how long these sessions cannot be created again; zero: no time
   */
  public int deleteSessions(Collection<String> sessionIds, Duration tombstone) {
    return Caller.await(async.deleteSessions(sessionIds, tombstone));
  }

  /**
   * Delete the checkpoints that have this metadata.
   *
   * @param sessionId the session; "" is all sessions
   * @param metadata key to JSON text; all entries must match
   */
  public DeletedCheckpoints deleteCheckpoints(String sessionId, Map<String, String> metadata) {
    return Caller.await(async.deleteCheckpoints(sessionId, metadata));
  }

  /** As {@link #deleteCheckpoints(String, Map)}, with the fencing token of a lease. */
  public DeletedCheckpoints deleteCheckpoints(
      String sessionId, Map<String, String> metadata, long leaseToken) {
    return Caller.await(async.deleteCheckpoints(sessionId, metadata, leaseToken));
  }

  /**
   * Delete all that came after a checkpoint of the root namespace: greater ids, and later saves in
   * other namespaces.
   *
   * <pre>{@code client.rewind("order-42", "00000000000000000003");}</pre>
   *
   * @throws NotFoundException if there is no such checkpoint
   * @throws LeaseLostException if somebody else holds the session's lease
   */
  public DeletedCheckpoints rewind(String sessionId, String checkpointId) {
    return Caller.await(async.rewind(sessionId, checkpointId));
  }

  /**
   * As {@link #rewind(String, String)}, to a checkpoint of any namespace.
   *
   * @param leaseToken the fencing token of a lease; 0: none
   */
  public DeletedCheckpoints rewind(CheckpointRef to, long leaseToken) {
    return Caller.await(async.rewind(to, leaseToken));
  }

  /**
   * Copy a session into a new one.
   *
   * @throws AlreadyExistsException if there is such a session, and it is another
   */
  public CopiedSession copySession(String source, String target) {
    return copySession(source, target, CopyOptions.ALL);
  }

  /** As {@link #copySession(String, String)}, its beginning or with labels, for example. */
  public CopiedSession copySession(String source, String target, CopyOptions options) {
    return Caller.await(async.copySession(source, target, options));
  }

  /** Delete old checkpoints of these sessions, by the policy of each session or the server's. */
  public Pruned pruneSessions(Collection<String> sessionIds) {
    return pruneSessions(sessionIds, PruneOptions.NONE);
  }

  /** As {@link #pruneSessions(Collection)}, by another policy, or only to count. */
  public Pruned pruneSessions(Collection<String> sessionIds, PruneOptions options) {
    return Caller.await(async.pruneSessions(sessionIds, options));
  }

  /** Follow a session from now on, heartbeats included. */
  public Resumed<SessionEvent> watchSession(String sessionId) {
    return watchSession(sessionId, WatchOptions.NONE);
  }

  /**
   * Follow a session, heartbeats included, until closed. A call that breaks off or falls silent is
   * continued after the last event.
   *
   * <pre>{@code
   * try (var events = client.watchSession("order-42", WatchOptions.NONE.after(token))) {
   *   events.forEach(event -> System.out.println(event));
   * }
   * }</pre>
   */
  public Resumed<SessionEvent> watchSession(String sessionId, WatchOptions options) {
    var request = options.request.toBuilder().setSessionId(sessionId).build();
    Texts.check(request);
    return Streams.watch(caller, request);
  }

  /** As {@link #acquireLease(String, String, Duration)}, for as long as the server's default. */
  public Lease acquireLease(String sessionId, String holder) {
    return Caller.await(async.acquireLease(sessionId, holder));
  }

  /**
   * Take the lease of a session.
   *
   * @param holder a readable name, which others are shown; it need not be unique
   * @throws LeaseHeldException while the lease of another call lasts, even of one with the same
   *     holder
   */
  public Lease acquireLease(String sessionId, String holder, Duration ttl) {
    return Caller.await(async.acquireLease(sessionId, holder, ttl));
  }

  /**
   * As {@link #acquireLease(String, String, Duration)}, for a caller that may repeat the call.
   *
   * @param acquisitionId a random text; the same one returns the lease that it has acquired
   */
  public Lease acquireLease(String sessionId, String holder, Duration ttl, String acquisitionId) {
    return Caller.await(async.acquireLease(sessionId, holder, ttl, acquisitionId));
  }

  /** As {@link #renewLease(String, long, Duration)}, for as long as the server's default. */
  public Lease renewLease(String sessionId, long token) {
    return Caller.await(async.renewLease(sessionId, token));
  }

  /**
   * Prolong a lease that is live.
   *
   * @throws LeaseLostException if it is not
   */
  public Lease renewLease(String sessionId, long token, Duration ttl) {
    return Caller.await(async.renewLease(sessionId, token, ttl));
  }

  /** Give a lease back. Whether it was held under this token. */
  public boolean releaseLease(String sessionId, long token) {
    return Caller.await(async.releaseLease(sessionId, token));
  }

  /**
   * End the live lease of a session, whoever holds it, such as a holder that hangs. Needs the right
   * {@code admin}. Returns whether there was one.
   */
  public boolean breakLease(String sessionId) {
    return Caller.await(async.breakLease(sessionId));
  }

  /** As {@link #breakLease(String)}, only if the lease was acquired at this time. */
  public boolean breakLease(String sessionId, Instant acquiredAt) {
    return Caller.await(async.breakLease(sessionId, acquiredAt));
  }

  /**
   * Take the lease of a session, load its latest checkpoint, and keep the lease until closed.
   *
   * @param holder a readable name, such as host and process; it need not be unique
   * @param ttl how long the lease lasts when this process has died, 1 second or more
   * @throws LeaseHeldException if another holds it
   */
  public SessionRunner run(String sessionId, String holder, Duration ttl) {
    return run(sessionId, holder, ttl, Duration.ZERO);
  }

  /**
   * As {@link #run(String, String, Duration)}, but waits while another holds the lease.
   *
   * @param wait how long; the lease is asked for every half second
   * @throws LeaseHeldException if another holds it after that
   */
  public SessionRunner run(String sessionId, String holder, Duration ttl, Duration wait) {
    SessionRunner runner = hold(sessionId, holder, ttl, wait);
    try {
      runner.loaded(loadLatest(sessionId));
      return runner;
    } catch (LockstitchException error) {
      try {
        runner.close();
      } catch (LockstitchException other) {
        error.addSuppressed(other); // it will run out
      }
      throw error;
    }
  }

  /** As {@link #run}, without loading anything. */
  SessionRunner hold(String sessionId, String holder, Duration ttl, Duration wait) {
    long[] begun = new long[1];
    var lease =
        Leases.await(
            () -> {
              begun[0] = System.nanoTime();
              return acquireLease(sessionId, holder, ttl);
            },
            wait);
    return new SessionRunner(caller, saver, lease, begun[0]);
  }

  Caller caller() {
    return caller;
  }

  /** Have the next save of a session send what changed since a checkpoint that was loaded. */
  void remember(Checkpoint loaded, long revision) {
    saver.remember(loaded, revision);
  }

  /**
   * End running calls, which fail with {@link CancelledException}, and the connection. May be
   * repeated.
   */
  @Override
  public void close() {
    transport.close();
    saver.close();
  }
}
