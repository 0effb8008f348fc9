package dev.lockstitch;

import dev.lockstitch.v1.AcquireLeaseRequest;
import dev.lockstitch.v1.AcquireLeaseResponse;
import dev.lockstitch.v1.BreakLeaseRequest;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.CopySessionRequest;
import dev.lockstitch.v1.CopySessionResponse;
import dev.lockstitch.v1.DeleteCheckpointsRequest;
import dev.lockstitch.v1.DeleteCheckpointsResponse;
import dev.lockstitch.v1.DeleteSessionsRequest;
import dev.lockstitch.v1.GetSessionResponse;
import dev.lockstitch.v1.ListCheckpointsRequest;
import dev.lockstitch.v1.ListSessionsRequest;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestResponse;
import dev.lockstitch.v1.LoadRequest;
import dev.lockstitch.v1.LoadResponse;
import dev.lockstitch.v1.PruneSessionsRequest;
import dev.lockstitch.v1.PruneSessionsResponse;
import dev.lockstitch.v1.RenewLeaseRequest;
import dev.lockstitch.v1.RenewLeaseResponse;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveWritesRequest;
import dev.lockstitch.v1.SaveWritesResponse;
import dev.lockstitch.v1.SessionSummary;
import dev.lockstitch.v1.UpdateSessionRequest;
import dev.lockstitch.v1.WalkAncestorsRequest;
import dev.lockstitch.v1.WalkAncestorsResponse;
import dev.lockstitch.v1.WatchSessionRequest;
import dev.lockstitch.v1.WatchSessionResponse;
import java.time.Duration;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;

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
  public SaveResponse save(Checkpoint checkpoint) {
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
  public SaveResponse save(Checkpoint checkpoint, SaveOptions options) {
    return Caller.await(async.save(checkpoint, options));
  }

  /** As {@link #save(Checkpoint, SaveOptions)}, of another writer than the client. */
  SaveResponse save(Checkpoint checkpoint, SaveOptions options, SaveIds ids) {
    return Caller.await(saver.save(checkpoint, options, ids));
  }

  /**
   * As {@link #save(Checkpoint, SaveOptions)}, without waiting; it fails with a {@link
   * LockstitchException}.
   */
  public CompletableFuture<SaveResponse> saveAsync(Checkpoint checkpoint, SaveOptions options) {
    return async.save(checkpoint, options);
  }

  /**
   * Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet.
   */
  public SaveWritesResponse saveWrites(SaveWritesRequest request) {
    return Caller.await(async.saveWrites(request));
  }

  /**
   * The latest checkpoint of the root namespace. No such session: {@code hasCheckpoint()} is false.
   */
  public LoadLatestResponse loadLatest(String sessionId) {
    return loadLatest(sessionId, "", CheckpointView.CHECKPOINT_VIEW_FULL);
  }

  /** The latest checkpoint, the one with the greatest id, and its pending writes. */
  public LoadLatestResponse loadLatest(String sessionId, String namespace, CheckpointView view) {
    return Caller.await(async.loadLatest(sessionId, namespace, view));
  }

  /**
   * The checkpoint of a step in the root namespace, and its pending writes.
   *
   * @throws NotFoundException if there is none
   */
  public LoadResponse load(String sessionId, long step) {
    return load(LoadRequest.newBuilder().setSessionId(sessionId).setStep(step).build());
  }

  /**
   * One checkpoint, by id or by step, and its pending writes.
   *
   * @throws NotFoundException if there is none
   */
  public LoadResponse load(LoadRequest request) {
    return Caller.await(async.load(request));
  }

  /** The latest checkpoints of many sessions, in any order: for a fleet that restarts. */
  public Resumed<LatestOf> loadLatestMany(Collection<String> sessionIds) {
    return loadLatestOf(
        sessionIds.stream()
            .map(id -> AsyncCalls.latestRequest(id, "", CheckpointView.CHECKPOINT_VIEW_FULL))
            .toList());
  }

  /** As {@link #loadLatestMany}, by requests. */
  public Resumed<LatestOf> loadLatestOf(List<LoadLatestRequest> requests) {
    requests.forEach(Texts::check);
    Map<Integer, LoadLatestRequest> waiting = new LinkedHashMap<>();
    IntStream.range(0, requests.size()).forEach(place -> waiting.put(place, requests.get(place)));
    return Streams.loadLatestMany(caller, waiting);
  }

  /** Back along parent_id, nearest ancestor first, without the checkpoint itself. */
  public Resumed<WalkAncestorsResponse> walkAncestors(WalkAncestorsRequest request) {
    Texts.check(request);
    return Streams.walkAncestors(caller, request);
  }

  /**
   * Sessions that have at least one checkpoint, filtered as the request says; the client fetches
   * the pages.
   */
  public Paged<SessionSummary> listSessions(ListSessionsRequest request) {
    return new Paged<>(
        token -> Caller.await(async.listSessions(request.toBuilder().setPageToken(token).build())),
        request.getPageToken());
  }

  /**
   * Sessions that have at least one checkpoint and match the filter.
   *
   * <pre>{@code
   * for (SessionSummary session : client.listSessions(SessionFilter.ALL.prefix("order-"))) {
   *   System.out.println(session.getSessionId());
   * }
   * }</pre>
   */
  public Paged<SessionSummary> listSessions(SessionFilter filter) {
    return listSessions(filter.request);
  }

  /** Checkpoints, newest first, filtered as the request says; the client fetches the pages. */
  public Paged<ListedCheckpoint> listCheckpoints(ListCheckpointsRequest request) {
    return new Paged<>(
        token ->
            Caller.await(async.listCheckpoints(request.toBuilder().setPageToken(token).build())),
        request.getPageToken());
  }

  /** Checkpoints that match the filter, newest first. */
  public Paged<ListedCheckpoint> listCheckpoints(CheckpointFilter filter) {
    return listCheckpoints(filter.request);
  }

  /**
   * One session with its settings.
   *
   * @throws SessionNotFoundException if there is none
   */
  public GetSessionResponse getSession(String sessionId) {
    return Caller.await(async.getSession(sessionId));
  }

  /** Change labels, expiry or retention of a session. */
  public GetSessionResponse updateSession(UpdateSessionRequest request) {
    return Caller.await(async.updateSession(request));
  }

  /** Delete sessions, and keep late saves from bringing them back. How many existed. */
  public int deleteSessions(DeleteSessionsRequest request) {
    return Caller.await(async.deleteSessions(request));
  }

  /** Delete some checkpoints: those after one (a rewind), or those with given metadata. */
  public DeleteCheckpointsResponse deleteCheckpoints(DeleteCheckpointsRequest request) {
    return Caller.await(async.deleteCheckpoints(request));
  }

  /**
   * Delete all that came after a checkpoint of the root namespace: greater ids, and later saves in
   * other namespaces. Returns the number of deleted checkpoints.
   *
   * <pre>{@code client.rewind("order-42", "00000000000000000003");}</pre>
   *
   * @throws NotFoundException if there is no such checkpoint
   * @throws LeaseLostException if somebody else holds the session's lease
   */
  public long rewind(String sessionId, String checkpointId) {
    return Caller.await(async.rewind(sessionId, checkpointId));
  }

  /** Copy a session, or its beginning, into a new one. */
  public CopySessionResponse copySession(CopySessionRequest request) {
    return Caller.await(async.copySession(request));
  }

  /** Delete old checkpoints, over all pages. The sum of what is gone, or would be. */
  public PruneSessionsResponse pruneSessions(PruneSessionsRequest request) {
    return Caller.await(async.pruneSessions(request));
  }

  /** Follow a session from now on, heartbeats included. */
  public Resumed<WatchSessionResponse> watchSession(String sessionId) {
    return watchSession(WatchSessionRequest.newBuilder().setSessionId(sessionId).build());
  }

  /**
   * Follow a session, heartbeats included, until closed. A call that breaks off or falls silent is
   * continued with the last token.
   */
  public Resumed<WatchSessionResponse> watchSession(WatchSessionRequest request) {
    Texts.check(request);
    return Streams.watch(caller, request);
  }

  /**
   * Take the lease of a session.
   *
   * @param holder a readable name, which others are shown; it need not be unique
   * @throws LeaseHeldException while the lease of another call lasts, even of one with the same
   *     holder
   */
  public AcquireLeaseResponse acquireLease(String sessionId, String holder, Duration ttl) {
    return Caller.await(async.acquireLease(sessionId, holder, ttl));
  }

  /**
   * As {@link #acquireLease(String, String, Duration)}, by a request. One without an acquisition_id
   * gets a random one.
   */
  public AcquireLeaseResponse acquireLease(AcquireLeaseRequest request) {
    return Caller.await(async.acquireLease(request));
  }

  /**
   * Prolong a lease that is live.
   *
   * @throws LeaseLostException if it is not
   */
  public RenewLeaseResponse renewLease(RenewLeaseRequest request) {
    return Caller.await(async.renewLease(request));
  }

  /** Give a lease back. Whether it was held under this token. */
  public boolean releaseLease(String sessionId, long token) {
    return Caller.await(async.releaseLease(sessionId, token));
  }

  /**
   * End the live lease of a session, whoever holds it, such as a holder that hangs. Needs the right
   * {@code admin}. Returns whether there was one.
   */
  public boolean breakLease(BreakLeaseRequest request) {
    return Caller.await(async.breakLease(request));
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
    return new SessionRunner(caller, saver, sessionId, lease, begun[0]);
  }

  Caller caller() {
    return caller;
  }

  /** Have the next save of a session send what changed since a checkpoint that was loaded. */
  void remember(LoadLatestResponse loaded) {
    saver.remember(loaded.getCheckpoint(), loaded.getCheckpointRevision());
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
