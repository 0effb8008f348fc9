package dev.lockstitch;

import java.time.Instant;

/**
 * The result of a save. The checkpoint is durable.
 *
 * @param checkpointId the id under which the checkpoint is stored
 * @param revision the session's revision in which this content was written; it grows with every
 *     change of the session, and is read as unsigned
 * @param outcome whether the checkpoint is new, replaced another, or was stored before
 * @param savedAt the server's time of the save that wrote this content
 */
public record Saved(String checkpointId, long revision, SaveOutcome outcome, Instant savedAt) {}
