package dev.lockstitch;

import java.time.Instant;
import java.util.Map;

/**
 * One saved state of a thread; {@link StateThread#at} loads it.
 *
 * @param step 1 for the first save, and 1 more for each that follows
 * @param savedAt the server's time of the save
 * @param stateBytes the size of the state
 * @param metadata key to JSON text
 */
public record StateVersion(
    long step, Instant savedAt, long stateBytes, Map<String, String> metadata) {}
