package dev.lockstitch;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A session as a list shows it.
 *
 * @param sessionId the session
 * @param latestCheckpointId the id of the latest checkpoint of the root namespace; empty: none
 * @param latestStep the step of that checkpoint
 * @param checkpointCount how many checkpoints it has, in all namespaces
 * @param storedBytes its size in the store, in bytes
 * @param createdAt the server's time of its first save
 * @param updatedAt the server's time of its last change
 * @param expireAt when it ends unless it is saved before; empty: never
 * @param labels its labels
 * @param leaseHolder who holds its lease, in the holder's words; empty: nobody
 * @param revision its revision, read as unsigned
 * @param error set if the stored row is damaged: the other fields cannot be trusted then
 */
public record SessionSummary(
    String sessionId,
    Optional<String> latestCheckpointId,
    long latestStep,
    long checkpointCount,
    long storedBytes,
    Instant createdAt,
    Instant updatedAt,
    Optional<Instant> expireAt,
    Map<String, String> labels,
    Optional<String> leaseHolder,
    long revision,
    Optional<LockstitchException> error) {}
