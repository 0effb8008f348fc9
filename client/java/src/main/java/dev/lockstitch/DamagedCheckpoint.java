package dev.lockstitch;

/**
 * A checkpoint that is damaged in the store.
 *
 * @param checkpoint which one
 * @param error what loading it throws: {@link DataLossException}
 */
public record DamagedCheckpoint(CheckpointRef checkpoint, LockstitchException error) {}
