package dev.lockstitch;

/**
 * The result of saving pending writes.
 *
 * @param revision the session's revision after the call, read as unsigned
 * @param stored how many writes were stored or replaced; the others were stored before
 */
public record SavedWrites(long revision, int stored) {}
