package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointDetails;

/**
 * A checkpoint as a list shows it.
 *
 * @param checkpoint the checkpoint
 * @param details its revision, time, size and, if asked for, pending writes
 */
public record ListedCheckpoint(Checkpoint checkpoint, CheckpointDetails details) {}
