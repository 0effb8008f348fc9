package dev.lockstitch;

import com.google.protobuf.Duration;
import dev.lockstitch.v1.AcquireLeaseResponse;
import dev.lockstitch.v1.CheckpointDetails;
import dev.lockstitch.v1.CopySessionResponse;
import dev.lockstitch.v1.DeleteCheckpointsResponse;
import dev.lockstitch.v1.GetSessionResponse;
import dev.lockstitch.v1.ListCheckpointsResponse;
import dev.lockstitch.v1.ListSessionsResponse;
import dev.lockstitch.v1.LoadLatestResponse;
import dev.lockstitch.v1.LoadResponse;
import dev.lockstitch.v1.PruneSessionsResponse;
import dev.lockstitch.v1.RenewLeaseResponse;
import dev.lockstitch.v1.RetentionPolicy;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveWritesResponse;
import dev.lockstitch.v1.WalkAncestorsResponse;
import dev.lockstitch.v1.WatchSessionResponse;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.IntStream;

/** From the contract's answers to what callers hold. */
final class Convert {
  private Convert() {}

  static Saved saved(SaveResponse answer) {
    SaveOutcome outcome =
        switch (answer.getOutcome()) {
          case SAVE_OUTCOME_CREATED -> SaveOutcome.CREATED;
          case SAVE_OUTCOME_REPLACED -> SaveOutcome.REPLACED;
          case SAVE_OUTCOME_UNCHANGED -> SaveOutcome.UNCHANGED;
          case SAVE_OUTCOME_UNSPECIFIED, UNRECOGNIZED -> SaveOutcome.UNKNOWN;
        };
    return new Saved(
        answer.getCheckpointId(),
        answer.getRevision(),
        outcome,
        Values.instant(answer.getSavedAt()));
  }

  static SavedWrites savedWrites(SaveWritesResponse answer) {
    return new SavedWrites(answer.getRevision(), answer.getStored());
  }

  static Latest latest(LoadLatestResponse answer) {
    return new Latest(
        answer.hasCheckpoint() ? Optional.of(answer.getCheckpoint()) : Optional.empty(),
        answer.getPendingWritesList(),
        answer.getRevision(),
        answer.getCheckpointRevision(),
        text(answer.getTraceId()));
  }

  static Loaded loaded(LoadResponse answer) {
    return new Loaded(
        answer.getCheckpoint(),
        answer.getPendingWritesList(),
        answer.getRevision(),
        answer.getCheckpointRevision(),
        text(answer.getTraceId()));
  }

  static Ancestor ancestor(WalkAncestorsResponse answer) {
    return new Ancestor(
        answer.getCheckpoint(), answer.getPendingWritesList(), answer.getRevision());
  }

  static Paged.Page<SessionSummary> sessions(ListSessionsResponse page) {
    List<SessionSummary> items = page.getSessionsList().stream().map(Convert::session).toList();
    return new Paged.Page<>(items, page.getNextPageToken(), OptionalLong.empty(), List.of());
  }

  static Paged.Page<ListedCheckpoint> checkpoints(ListCheckpointsResponse page) {
    List<ListedCheckpoint> items =
        IntStream.range(0, page.getCheckpointsCount())
            .mapToObj(place -> listed(page, page.getDetails(place), place))
            .toList();
    OptionalLong total =
        page.hasTotalSize() ? OptionalLong.of(page.getTotalSize()) : OptionalLong.empty();
    List<DamagedCheckpoint> damaged = page.getDamagedList().stream().map(Convert::damaged).toList();
    return new Paged.Page<>(items, page.getNextPageToken(), total, damaged);
  }

  private static DamagedCheckpoint damaged(dev.lockstitch.v1.DamagedCheckpoint named) {
    return new DamagedCheckpoint(
        new CheckpointRef(named.getSessionId(), named.getNamespace(), named.getCheckpointId()),
        Errors.from(named.getError()));
  }

  private static ListedCheckpoint listed(
      ListCheckpointsResponse page, CheckpointDetails details, int place) {
    return new ListedCheckpoint(
        page.getCheckpoints(place),
        details.getPendingWritesList(),
        details.getRevision(),
        Values.instant(details.getSavedAt()),
        details.getStateBytes(),
        text(details.getTraceId()),
        details.getChannelsList().stream()
            .map(
                one ->
                    new ListedCheckpoint.ChannelSize(
                        one.getChannel(), one.getBytes(), one.getFingerprint()))
            .toList());
  }

  static SessionSummary session(dev.lockstitch.v1.SessionSummary session) {
    return new SessionSummary(
        session.getSessionId(),
        text(session.getLatestCheckpointId()),
        session.getLatestStep(),
        session.getCheckpointCount(),
        session.getStoredBytes(),
        Values.instant(session.getCreatedAt()),
        Values.instant(session.getUpdatedAt()),
        session.hasExpireAt()
            ? Optional.of(Values.instant(session.getExpireAt()))
            : Optional.empty(),
        session.getLabelsMap(),
        text(session.getLeaseHolder()),
        session.getRevision(),
        session.hasError() ? Optional.of(Errors.from(session.getError())) : Optional.empty());
  }

  static SessionDetails details(GetSessionResponse answer) {
    SessionSummary summary = session(answer.getSession());
    return new SessionDetails(
        summary,
        answer.hasTtl() ? Optional.of(Values.duration(answer.getTtl())) : Optional.empty(),
        answer.hasRetention() ? Optional.of(retention(answer.getRetention())) : Optional.empty(),
        answer.hasLease()
            ? Optional.of(lease(summary.sessionId(), answer.getLease(), Optional.empty()))
            : Optional.empty());
  }

  private static Retention retention(RetentionPolicy policy) {
    return new Retention(
        policy.getKeepLast(),
        policy.hasMaxAge() ? Optional.of(Values.duration(policy.getMaxAge())) : Optional.empty());
  }

  static Lease lease(String sessionId, AcquireLeaseResponse answer) {
    return lease(sessionId, answer.getLease(), Optional.of(answer.getTtl()));
  }

  static Lease lease(String sessionId, RenewLeaseResponse answer) {
    return lease(sessionId, answer.getLease(), Optional.of(answer.getTtl()));
  }

  private static Lease lease(
      String sessionId, dev.lockstitch.v1.Lease lease, Optional<Duration> ttl) {
    return new Lease(
        sessionId,
        lease.getToken(),
        lease.getHolder(),
        Values.instant(lease.getAcquiredAt()),
        Values.instant(lease.getExpireAt()),
        ttl.map(Values::duration));
  }

  static DeletedCheckpoints deleted(DeleteCheckpointsResponse answer) {
    return new DeletedCheckpoints(answer.getDeleted(), answer.getRevision());
  }

  static CopiedSession copied(CopySessionResponse answer) {
    return new CopiedSession(answer.getRevision(), answer.getCheckpointCount());
  }

  static Pruned pruned(Pruned before, PruneSessionsResponse page) {
    return new Pruned(
        before.checkpoints() + page.getCheckpoints(),
        before.bytes() + page.getBytes(),
        before.sessions() + page.getSessions());
  }

  static SessionEvent event(String sessionId, WatchSessionResponse answer) {
    String token = answer.getResumeToken();
    long revision = answer.getRevision();
    return switch (answer.getEventCase()) {
      case SAVED -> {
        var saved = answer.getSaved();
        yield new SessionEvent.CheckpointSaved(
            token,
            revision,
            saved.getNamespace(),
            saved.getCheckpointId(),
            saved.getParentId(),
            saved.getStep(),
            Values.instant(saved.getSavedAt()));
      }
      case CHECKPOINTS_DELETED -> new SessionEvent.CheckpointsDeleted(token, revision);
      case SESSION_DELETED -> new SessionEvent.SessionDeleted(token, revision);
      case LEASE_CHANGED -> {
        var changed = answer.getLeaseChanged();
        Optional<Lease> lease =
            changed.hasLease()
                ? Optional.of(lease(sessionId, changed.getLease(), Optional.empty()))
                : Optional.empty();
        yield new SessionEvent.LeaseChanged(token, revision, lease);
      }
      case HEARTBEAT -> new SessionEvent.Heartbeat(token, revision);
      case EVENT_NOT_SET -> new SessionEvent.Unknown(token, revision);
    };
  }

  private static Optional<String> text(String text) {
    return text.isEmpty() ? Optional.empty() : Optional.of(text);
  }
}
