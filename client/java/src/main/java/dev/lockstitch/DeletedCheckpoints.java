package dev.lockstitch;

/**
 * The result of a deletion of checkpoints.
 *
 * @param deleted how many are gone
 * @param revision the session's revision after the call, read as unsigned; 0 for all sessions
 *     together, and where there is no session
 */
public record DeletedCheckpoints(long deleted, long revision) {}
