package dev.lockstitch;

import com.google.protobuf.Message;
import dev.lockstitch.v1.AcquireLeaseRequest;
import dev.lockstitch.v1.BreakLeaseRequest;
import dev.lockstitch.v1.BreakLeaseResponse;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.DeleteCheckpointsRequest;
import dev.lockstitch.v1.DeleteSessionsRequest;
import dev.lockstitch.v1.DeleteSessionsResponse;
import dev.lockstitch.v1.GetSessionRequest;
import dev.lockstitch.v1.MetadataFilter;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.PruneSessionsRequest;
import dev.lockstitch.v1.ReleaseLeaseRequest;
import dev.lockstitch.v1.ReleaseLeaseResponse;
import dev.lockstitch.v1.RenewLeaseRequest;
import dev.lockstitch.v1.SaveWritesRequest;
import dev.lockstitch.v1.SessionServiceGrpc;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * The calls of a client as futures, from {@link LockstitchClient#async}. Each method does what the
 * client's method of the same name does. A future fails with a {@link LockstitchException};
 * cancelling it stops the call. Continuations run on gRPC's threads and must not block.
 *
 * <pre>{@code
 * client.async().loadLatest("order-42").thenAccept(latest -> resume(latest.checkpoint()));
 * }</pre>
 */
public final class AsyncCalls {
  private final Caller caller;
  private final Saver saver;
  private final Duration timeout;

  AsyncCalls(Caller caller, Saver saver, Duration timeout) {
    this.caller = caller;
    this.saver = saver;
    this.timeout = timeout;
  }

  public CompletableFuture<Void> awaitReady() {
    return awaitReady(timeout);
  }

  public CompletableFuture<Void> awaitReady(Duration timeout) {
    return Readiness.await(caller.transport, caller.budget(timeout));
  }

  public CompletableFuture<Saved> save(Checkpoint checkpoint) {
    return save(checkpoint, SaveOptions.NONE);
  }

  public CompletableFuture<Saved> save(Checkpoint checkpoint, SaveOptions options) {
    return saver.save(checkpoint, options);
  }

  public CompletableFuture<SavedWrites> saveWrites(
      CheckpointRef checkpoint, List<PendingWrite> writes) {
    return saveWrites(checkpoint, writes, 0);
  }

  public CompletableFuture<SavedWrites> saveWrites(
      CheckpointRef checkpoint, List<PendingWrite> writes, long leaseToken) {
    var request =
        SaveWritesRequest.newBuilder()
            .setSessionId(checkpoint.sessionId())
            .setNamespace(checkpoint.namespace())
            .setCheckpointId(checkpoint.checkpointId())
            .addAllWrites(writes)
            .setLeaseToken(leaseToken);
    return send(CheckpointServiceGrpc.getSaveWritesMethod(), request.build(), Convert::savedWrites);
  }

  public CompletableFuture<Latest> loadLatest(String sessionId) {
    return loadLatest(sessionId, LoadOptions.ALL);
  }

  public CompletableFuture<Latest> loadLatest(String sessionId, LoadOptions options) {
    return send(
        CheckpointServiceGrpc.getLoadLatestMethod(), options.latest(sessionId), Convert::latest);
  }

  public CompletableFuture<Loaded> load(String sessionId, long step) {
    return load(sessionId, step, LoadOptions.ALL);
  }

  public CompletableFuture<Loaded> load(String sessionId, long step, LoadOptions options) {
    var request = options.one(sessionId).setStep(step).build();
    return send(CheckpointServiceGrpc.getLoadMethod(), request, Convert::loaded);
  }

  public CompletableFuture<Loaded> load(String sessionId, String checkpointId) {
    return load(sessionId, checkpointId, LoadOptions.ALL);
  }

  public CompletableFuture<Loaded> load(
      String sessionId, String checkpointId, LoadOptions options) {
    var request = options.one(sessionId).setCheckpointId(checkpointId).build();
    return send(CheckpointServiceGrpc.getLoadMethod(), request, Convert::loaded);
  }

  /** One page of a list of sessions. */
  public CompletableFuture<Paged.Page<SessionSummary>> listSessions(SessionFilter filter) {
    return send(CheckpointServiceGrpc.getListSessionsMethod(), filter.request, Convert::sessions);
  }

  /** One page of a list of checkpoints. */
  public CompletableFuture<Paged.Page<ListedCheckpoint>> listCheckpoints(CheckpointFilter filter) {
    return send(
        CheckpointServiceGrpc.getListCheckpointsMethod(), filter.request, Convert::checkpoints);
  }

  public CompletableFuture<SessionDetails> getSession(String sessionId) {
    var request = GetSessionRequest.newBuilder().setSessionId(sessionId).build();
    return send(SessionServiceGrpc.getGetSessionMethod(), request, Convert::details);
  }

  public CompletableFuture<SessionDetails> updateSession(String sessionId, SessionUpdate update) {
    var request = update.request.toBuilder().setSessionId(sessionId).build();
    return send(
        SessionServiceGrpc.getUpdateSessionMethod(),
        request,
        answer -> Convert.details(answer.getSession()));
  }

  public CompletableFuture<Integer> deleteSessions(Collection<String> sessionIds) {
    return deleteSessions(DeleteSessionsRequest.newBuilder().addAllSessionIds(sessionIds));
  }

  public CompletableFuture<Integer> deleteSessions(
      Collection<String> sessionIds, Duration tombstone) {
    return deleteSessions(
        DeleteSessionsRequest.newBuilder()
            .addAllSessionIds(sessionIds)
            .setTombstone(Values.duration(tombstone)));
  }

  private CompletableFuture<Integer> deleteSessions(DeleteSessionsRequest.Builder request) {
    return send(
        SessionServiceGrpc.getDeleteSessionsMethod(),
        request.build(),
        DeleteSessionsResponse::getDeleted);
  }

  public CompletableFuture<DeletedCheckpoints> deleteCheckpoints(
      String sessionId, Map<String, String> metadata) {
    return deleteCheckpoints(sessionId, metadata, 0);
  }

  public CompletableFuture<DeletedCheckpoints> deleteCheckpoints(
      String sessionId, Map<String, String> metadata, long leaseToken) {
    return deleteCheckpoints(
        DeleteCheckpointsRequest.newBuilder()
            .setSessionId(sessionId)
            .setMetadata(MetadataFilter.newBuilder().putAllEntries(metadata))
            .setLeaseToken(leaseToken));
  }

  public CompletableFuture<DeletedCheckpoints> rewind(String sessionId, String checkpointId) {
    return rewind(new CheckpointRef(sessionId, checkpointId), 0);
  }

  public CompletableFuture<DeletedCheckpoints> rewind(CheckpointRef to, long leaseToken) {
    return deleteCheckpoints(
        DeleteCheckpointsRequest.newBuilder()
            .setSessionId(to.sessionId())
            .setAfter(to.message())
            .setLeaseToken(leaseToken));
  }

  private CompletableFuture<DeletedCheckpoints> deleteCheckpoints(
      DeleteCheckpointsRequest.Builder request) {
    return send(SessionServiceGrpc.getDeleteCheckpointsMethod(), request.build(), Convert::deleted);
  }

  public CompletableFuture<CopiedSession> copySession(String source, String target) {
    return copySession(source, target, CopyOptions.ALL);
  }

  public CompletableFuture<CopiedSession> copySession(
      String source, String target, CopyOptions options) {
    var request =
        options.request.toBuilder().setSourceSessionId(source).setTargetSessionId(target).build();
    return send(SessionServiceGrpc.getCopySessionMethod(), request, Convert::copied);
  }

  public CompletableFuture<Pruned> pruneSessions(Collection<String> sessionIds) {
    return pruneSessions(sessionIds, PruneOptions.NONE);
  }

  public CompletableFuture<Pruned> pruneSessions(
      Collection<String> sessionIds, PruneOptions options) {
    CompletableFuture<Pruned> sum = new CompletableFuture<>();
    prune(
        options.request.toBuilder().addAllSessionIds(sessionIds).build(), new Pruned(0, 0, 0), sum);
    return sum;
  }

  public CompletableFuture<Lease> acquireLease(String sessionId, String holder) {
    return acquireLease(lease(sessionId, holder, UUID.randomUUID().toString()));
  }

  public CompletableFuture<Lease> acquireLease(String sessionId, String holder, Duration ttl) {
    return acquireLease(sessionId, holder, ttl, UUID.randomUUID().toString());
  }

  public CompletableFuture<Lease> acquireLease(
      String sessionId, String holder, Duration ttl, String acquisitionId) {
    return acquireLease(lease(sessionId, holder, acquisitionId).setTtl(Values.duration(ttl)));
  }

  private static AcquireLeaseRequest.Builder lease(
      String sessionId, String holder, String acquisitionId) {
    return AcquireLeaseRequest.newBuilder()
        .setSessionId(sessionId)
        .setHolder(holder)
        .setAcquisitionId(acquisitionId);
  }

  private CompletableFuture<Lease> acquireLease(AcquireLeaseRequest.Builder request) {
    String sessionId = request.getSessionId();
    return send(
        SessionServiceGrpc.getAcquireLeaseMethod(),
        request.build(),
        answer -> Convert.lease(sessionId, answer));
  }

  public CompletableFuture<Lease> renewLease(String sessionId, long token) {
    return renewLease(RenewLeaseRequest.newBuilder().setSessionId(sessionId).setLeaseToken(token));
  }

  public CompletableFuture<Lease> renewLease(String sessionId, long token, Duration ttl) {
    return renewLease(
        RenewLeaseRequest.newBuilder()
            .setSessionId(sessionId)
            .setLeaseToken(token)
            .setTtl(Values.duration(ttl)));
  }

  private CompletableFuture<Lease> renewLease(RenewLeaseRequest.Builder request) {
    String sessionId = request.getSessionId();
    return send(
        SessionServiceGrpc.getRenewLeaseMethod(),
        request.build(),
        answer -> Convert.lease(sessionId, answer));
  }

  public CompletableFuture<Boolean> releaseLease(String sessionId, long token) {
    var request = ReleaseLeaseRequest.newBuilder().setSessionId(sessionId).setLeaseToken(token);
    return send(
        SessionServiceGrpc.getReleaseLeaseMethod(),
        request.build(),
        ReleaseLeaseResponse::getReleased);
  }

  public CompletableFuture<Boolean> breakLease(String sessionId) {
    return breakLease(BreakLeaseRequest.newBuilder().setSessionId(sessionId));
  }

  public CompletableFuture<Boolean> breakLease(String sessionId, Instant acquiredAt) {
    return breakLease(
        BreakLeaseRequest.newBuilder()
            .setSessionId(sessionId)
            .setAcquiredAt(Values.timestamp(acquiredAt)));
  }

  private CompletableFuture<Boolean> breakLease(BreakLeaseRequest.Builder request) {
    return send(
        SessionServiceGrpc.getBreakLeaseMethod(), request.build(), BreakLeaseResponse::getBroken);
  }

  private <Q extends Message, A, B> CompletableFuture<B> send(
      MethodDescriptor<Q, A> method, Q request, Function<A, B> convert) {
    return Futures.map(caller.send(method, request, caller.budget(timeout)), convert);
  }

  private void prune(
      PruneSessionsRequest request, Pruned before, CompletableFuture<Pruned> answer) {
    var method = SessionServiceGrpc.getPruneSessionsMethod();
    var call = caller.send(method, request, caller.budget(timeout));
    Futures.endWith(call, answer);
    call.whenComplete(
        (page, error) -> {
          if (error != null) {
            Futures.settle(answer, null, error);
            return;
          }
          Pruned sum = Convert.pruned(before, page);
          String token = page.getNextPageToken();
          if (token.isEmpty()) {
            answer.complete(sum);
          } else {
            prune(request.toBuilder().setPageToken(token).build(), sum, answer);
          }
        });
  }
}
