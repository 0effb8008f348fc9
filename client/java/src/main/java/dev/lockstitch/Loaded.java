package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import java.util.List;
import java.util.Optional;

/**
 * A checkpoint that was loaded.
 *
 * @param checkpoint the checkpoint
 * @param pendingWrites its pending writes, by task path, task id and index
 * @param revision the session's revision, read as unsigned
 * @param checkpointRevision the revision in which the checkpoint's content was written
 * @param traceId the trace of the call that wrote it, 32 hexadecimal digits; empty: not traced
 */
public record Loaded(
    Checkpoint checkpoint,
    List<PendingWrite> pendingWrites,
    long revision,
    long checkpointRevision,
    Optional<String> traceId) {}
