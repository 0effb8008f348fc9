package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import java.util.List;
import java.util.Optional;

/**
 * The latest checkpoint of a session.
 *
 * <pre>{@code
 * long next = client.loadLatest("order-42").checkpoint().map(one -> one.getStep() + 1).orElse(0L);
 * }</pre>
 *
 * @param checkpoint the checkpoint with the greatest id; empty: the session has none
 * @param pendingWrites its pending writes, by task path, task id and index
 * @param revision the session's revision, read as unsigned; 0: there is no session
 * @param checkpointRevision the revision in which the checkpoint's content was written; 0: there is
 *     no checkpoint
 * @param traceId the trace of the call that wrote it, 32 hexadecimal digits; empty: not traced
 */
public record Latest(
    Optional<Checkpoint> checkpoint,
    List<PendingWrite> pendingWrites,
    long revision,
    long checkpointRevision,
    Optional<String> traceId) {}
