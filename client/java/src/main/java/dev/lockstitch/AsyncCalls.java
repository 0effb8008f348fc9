package dev.lockstitch;

import com.google.protobuf.Message;
import dev.lockstitch.v1.AcquireLeaseRequest;
import dev.lockstitch.v1.AcquireLeaseResponse;
import dev.lockstitch.v1.BreakLeaseRequest;
import dev.lockstitch.v1.BreakLeaseResponse;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointRef;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.CopySessionRequest;
import dev.lockstitch.v1.CopySessionResponse;
import dev.lockstitch.v1.DeleteCheckpointsRequest;
import dev.lockstitch.v1.DeleteCheckpointsResponse;
import dev.lockstitch.v1.DeleteSessionsRequest;
import dev.lockstitch.v1.DeleteSessionsResponse;
import dev.lockstitch.v1.GetSessionRequest;
import dev.lockstitch.v1.GetSessionResponse;
import dev.lockstitch.v1.ListCheckpointsRequest;
import dev.lockstitch.v1.ListCheckpointsResponse;
import dev.lockstitch.v1.ListSessionsRequest;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestResponse;
import dev.lockstitch.v1.LoadRequest;
import dev.lockstitch.v1.LoadResponse;
import dev.lockstitch.v1.PruneSessionsRequest;
import dev.lockstitch.v1.PruneSessionsResponse;
import dev.lockstitch.v1.ReleaseLeaseRequest;
import dev.lockstitch.v1.ReleaseLeaseResponse;
import dev.lockstitch.v1.RenewLeaseRequest;
import dev.lockstitch.v1.RenewLeaseResponse;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveWritesRequest;
import dev.lockstitch.v1.SaveWritesResponse;
import dev.lockstitch.v1.SessionServiceGrpc;
import dev.lockstitch.v1.SessionSummary;
import dev.lockstitch.v1.UpdateSessionRequest;
import dev.lockstitch.v1.UpdateSessionResponse;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;

/**
 * The calls of a client as futures, from {@link LockstitchClient#async}. Each method does what the
 * client's method of the same name does. A future fails with a {@link LockstitchException};
 * cancelling it stops the call. Continuations run on gRPC's threads and must not block.
 *
 * <pre>{@code
 * client.async().loadLatest("order-42").thenAccept(latest -> resume(latest.getCheckpoint()));
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

  public CompletableFuture<SaveResponse> save(Checkpoint checkpoint) {
    return save(checkpoint, SaveOptions.NONE);
  }

  public CompletableFuture<SaveResponse> save(Checkpoint checkpoint, SaveOptions options) {
    return saver.save(checkpoint, options);
  }

  public CompletableFuture<SaveWritesResponse> saveWrites(SaveWritesRequest request) {
    return send(CheckpointServiceGrpc.getSaveWritesMethod(), request);
  }

  public CompletableFuture<LoadLatestResponse> loadLatest(String sessionId) {
    return loadLatest(sessionId, "", CheckpointView.CHECKPOINT_VIEW_FULL);
  }

  public CompletableFuture<LoadLatestResponse> loadLatest(
      String sessionId, String namespace, CheckpointView view) {
    return send(
        CheckpointServiceGrpc.getLoadLatestMethod(), latestRequest(sessionId, namespace, view));
  }

  public CompletableFuture<LoadResponse> load(String sessionId, long step) {
    return load(LoadRequest.newBuilder().setSessionId(sessionId).setStep(step).build());
  }

  public CompletableFuture<LoadResponse> load(LoadRequest request) {
    return send(CheckpointServiceGrpc.getLoadMethod(), request);
  }

  /** One page of a list of sessions. */
  public CompletableFuture<Paged.Page<SessionSummary>> listSessions(ListSessionsRequest request) {
    return Futures.map(
        send(CheckpointServiceGrpc.getListSessionsMethod(), request),
        page ->
            new Paged.Page<>(
                page.getSessionsList(), page.getNextPageToken(), OptionalLong.empty()));
  }

  /** One page of a list of checkpoints. */
  public CompletableFuture<Paged.Page<ListedCheckpoint>> listCheckpoints(
      ListCheckpointsRequest request) {
    return Futures.map(
        send(CheckpointServiceGrpc.getListCheckpointsMethod(), request), AsyncCalls::listed);
  }

  public CompletableFuture<GetSessionResponse> getSession(String sessionId) {
    return send(
        SessionServiceGrpc.getGetSessionMethod(),
        GetSessionRequest.newBuilder().setSessionId(sessionId).build());
  }

  public CompletableFuture<GetSessionResponse> updateSession(UpdateSessionRequest request) {
    return Futures.map(
        send(SessionServiceGrpc.getUpdateSessionMethod(), request),
        UpdateSessionResponse::getSession);
  }

  public CompletableFuture<Integer> deleteSessions(DeleteSessionsRequest request) {
    return Futures.map(
        send(SessionServiceGrpc.getDeleteSessionsMethod(), request),
        DeleteSessionsResponse::getDeleted);
  }

  public CompletableFuture<DeleteCheckpointsResponse> deleteCheckpoints(
      DeleteCheckpointsRequest request) {
    return send(SessionServiceGrpc.getDeleteCheckpointsMethod(), request);
  }

  public CompletableFuture<Long> rewind(String sessionId, String checkpointId) {
    CheckpointRef after = CheckpointRef.newBuilder().setCheckpointId(checkpointId).build();
    var request = DeleteCheckpointsRequest.newBuilder().setSessionId(sessionId).setAfter(after);
    return Futures.map(deleteCheckpoints(request.build()), DeleteCheckpointsResponse::getDeleted);
  }

  public CompletableFuture<CopySessionResponse> copySession(CopySessionRequest request) {
    return send(SessionServiceGrpc.getCopySessionMethod(), request);
  }

  public CompletableFuture<PruneSessionsResponse> pruneSessions(PruneSessionsRequest request) {
    CompletableFuture<PruneSessionsResponse> sum = new CompletableFuture<>();
    prune(request, PruneSessionsResponse.newBuilder(), sum);
    return sum;
  }

  public CompletableFuture<AcquireLeaseResponse> acquireLease(
      String sessionId, String holder, Duration ttl) {
    var request = AcquireLeaseRequest.newBuilder().setSessionId(sessionId).setHolder(holder);
    return acquireLease(request.setTtl(Values.duration(ttl)).build());
  }

  public CompletableFuture<AcquireLeaseResponse> acquireLease(AcquireLeaseRequest request) {
    boolean named = !request.getAcquisitionId().isEmpty();
    String id = named ? request.getAcquisitionId() : UUID.randomUUID().toString();
    return send(
        SessionServiceGrpc.getAcquireLeaseMethod(),
        request.toBuilder().setAcquisitionId(id).build());
  }

  public CompletableFuture<RenewLeaseResponse> renewLease(RenewLeaseRequest request) {
    return send(SessionServiceGrpc.getRenewLeaseMethod(), request);
  }

  public CompletableFuture<Boolean> releaseLease(String sessionId, long token) {
    var request = ReleaseLeaseRequest.newBuilder().setSessionId(sessionId).setLeaseToken(token);
    return Futures.map(
        send(SessionServiceGrpc.getReleaseLeaseMethod(), request.build()),
        ReleaseLeaseResponse::getReleased);
  }

  public CompletableFuture<Boolean> breakLease(BreakLeaseRequest request) {
    return Futures.map(
        send(SessionServiceGrpc.getBreakLeaseMethod(), request), BreakLeaseResponse::getBroken);
  }

  static LoadLatestRequest latestRequest(String sessionId, String namespace, CheckpointView view) {
    return LoadLatestRequest.newBuilder()
        .setSessionId(sessionId)
        .setNamespace(namespace)
        .setView(view)
        .build();
  }

  private <Q extends Message, A> CompletableFuture<A> send(
      MethodDescriptor<Q, A> method, Q request) {
    return caller.send(method, request, caller.budget(timeout));
  }

  private void prune(
      PruneSessionsRequest request,
      PruneSessionsResponse.Builder sum,
      CompletableFuture<PruneSessionsResponse> answer) {
    var call = send(SessionServiceGrpc.getPruneSessionsMethod(), request);
    Futures.endWith(call, answer);
    call.whenComplete(
        (page, error) -> {
          if (error != null) {
            Futures.settle(answer, null, error);
            return;
          }
          sum.setCheckpoints(sum.getCheckpoints() + page.getCheckpoints())
              .setBytes(sum.getBytes() + page.getBytes())
              .setSessions(sum.getSessions() + page.getSessions());
          String token = page.getNextPageToken();
          if (token.isEmpty()) {
            answer.complete(sum.build());
          } else {
            prune(request.toBuilder().setPageToken(token).build(), sum, answer);
          }
        });
  }

  private static Paged.Page<ListedCheckpoint> listed(ListCheckpointsResponse page) {
    List<ListedCheckpoint> items =
        IntStream.range(0, page.getCheckpointsCount())
            .mapToObj(
                place -> new ListedCheckpoint(page.getCheckpoints(place), page.getDetails(place)))
            .toList();
    OptionalLong total =
        page.hasTotalSize() ? OptionalLong.of(page.getTotalSize()) : OptionalLong.empty();
    return new Paged.Page<>(items, page.getNextPageToken(), total);
  }
}
