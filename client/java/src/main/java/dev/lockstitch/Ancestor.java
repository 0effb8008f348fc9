package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import java.util.List;

/**
 * A checkpoint on the way back along {@code parent_id}.
 *
 * @param checkpoint the checkpoint
 * @param pendingWrites its pending writes; empty unless asked for
 * @param revision the session's revision in which its content was written, read as unsigned
 */
public record Ancestor(Checkpoint checkpoint, List<PendingWrite> pendingWrites, long revision) {}
