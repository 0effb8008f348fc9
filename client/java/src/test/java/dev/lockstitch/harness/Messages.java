package dev.lockstitch.harness;

import dev.lockstitch.Lease;
import dev.lockstitch.ListedCheckpoint;
import dev.lockstitch.Retention;
import dev.lockstitch.SessionDetails;
import dev.lockstitch.SessionEvent;
import dev.lockstitch.SessionSummary;
import dev.lockstitch.Values;
import dev.lockstitch.v1.CheckpointDetails;
import dev.lockstitch.v1.CheckpointSaved;
import dev.lockstitch.v1.CheckpointsDeleted;
import dev.lockstitch.v1.GetSessionResponse;
import dev.lockstitch.v1.Heartbeat;
import dev.lockstitch.v1.LeaseChanged;
import dev.lockstitch.v1.RetentionPolicy;
import dev.lockstitch.v1.SessionDeleted;
import dev.lockstitch.v1.WatchSessionResponse;

/** From what callers hold to the contract's messages, which the harness compares. */
final class Messages {
  private Messages() {}

  static dev.lockstitch.v1.SessionSummary of(SessionSummary session) {
    var message =
        dev.lockstitch.v1.SessionSummary.newBuilder()
            .setSessionId(session.sessionId())
            .setLatestCheckpointId(session.latestCheckpointId().orElse(""))
            .setLatestStep(session.latestStep())
            .setCheckpointCount(session.checkpointCount())
            .setStoredBytes(session.storedBytes())
            .setCreatedAt(Values.timestamp(session.createdAt()))
            .setUpdatedAt(Values.timestamp(session.updatedAt()))
            .putAllLabels(session.labels())
            .setLeaseHolder(session.leaseHolder().orElse(""))
            .setRevision(session.revision());
    session.expireAt().map(Values::timestamp).ifPresent(message::setExpireAt);
    session
        .error()
        .ifPresent(error -> message.getErrorBuilder().setCode(15).setMessage(error.detail()));
    return message.build();
  }

  static CheckpointDetails of(ListedCheckpoint listed) {
    var message =
        CheckpointDetails.newBuilder()
            .setRevision(listed.revision())
            .setSavedAt(Values.timestamp(listed.savedAt()))
            .setStateBytes(listed.stateBytes())
            .addAllPendingWrites(listed.pendingWrites())
            .setTraceId(listed.traceId().orElse(""));
    for (var size : listed.channels()) {
      message
          .addChannelsBuilder()
          .setChannel(size.channel())
          .setBytes(size.bytes())
          .setFingerprint(size.fingerprint());
    }
    return message.build();
  }

  static GetSessionResponse of(SessionDetails session) {
    var message = GetSessionResponse.newBuilder().setSession(of(session.summary()));
    session.ttl().map(Values::duration).ifPresent(message::setTtl);
    session.retention().map(Messages::of).ifPresent(message::setRetention);
    session.lease().map(Messages::of).ifPresent(message::setLease);
    return message.build();
  }

  private static RetentionPolicy of(Retention retention) {
    var message = RetentionPolicy.newBuilder().setKeepLast(retention.keepLast());
    retention.maxAge().map(Values::duration).ifPresent(message::setMaxAge);
    return message.build();
  }

  private static dev.lockstitch.v1.Lease of(Lease lease) {
    return dev.lockstitch.v1.Lease.newBuilder()
        .setToken(lease.token())
        .setHolder(lease.holder())
        .setAcquiredAt(Values.timestamp(lease.acquiredAt()))
        .setExpireAt(Values.timestamp(lease.expireAt()))
        .build();
  }

  static WatchSessionResponse of(SessionEvent event) {
    var message =
        WatchSessionResponse.newBuilder()
            .setResumeToken(event.resumeToken())
            .setRevision(event.revision());
    if (event instanceof SessionEvent.CheckpointSaved saved) {
      message.setSaved(
          CheckpointSaved.newBuilder()
              .setNamespace(saved.namespace())
              .setCheckpointId(saved.checkpointId())
              .setParentId(saved.parentId())
              .setStep(saved.step())
              .setSavedAt(Values.timestamp(saved.savedAt())));
    } else if (event instanceof SessionEvent.CheckpointsDeleted) {
      message.setCheckpointsDeleted(CheckpointsDeleted.getDefaultInstance());
    } else if (event instanceof SessionEvent.SessionDeleted) {
      message.setSessionDeleted(SessionDeleted.getDefaultInstance());
    } else if (event instanceof SessionEvent.LeaseChanged changed) {
      var lease = LeaseChanged.newBuilder();
      changed.lease().map(Messages::of).ifPresent(lease::setLease);
      message.setLeaseChanged(lease);
    } else if (event instanceof SessionEvent.Heartbeat) {
      message.setHeartbeat(Heartbeat.getDefaultInstance());
    }
    return message.build();
  }
}
