package dev.lockstitch;

/**
 * The result of a copy.
 *
 * @param revision the new session's revision, read as unsigned
 * @param checkpointCount how many checkpoints it has
 */
public record CopiedSession(long revision, long checkpointCount) {}
