package dev.lockstitch;

/**
 * What pruning has deleted, or would delete.
 *
 * @param checkpoints how many checkpoints
 * @param bytes how much they took in the store, in bytes
 * @param sessions of how many sessions
 */
public record Pruned(long checkpoints, long bytes, long sessions) {}
