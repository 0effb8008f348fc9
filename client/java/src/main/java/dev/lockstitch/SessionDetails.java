package dev.lockstitch;

import java.time.Duration;
import java.util.Optional;

/**
 * A session with its settings.
 *
 * @param summary what a list shows of it
 * @param ttl how long it lasts after its last change; empty: for ever
 * @param retention its own retention policy; empty: the server's applies
 * @param lease its live lease, without the token; empty: there is none
 */
public record SessionDetails(
    SessionSummary summary,
    Optional<Duration> ttl,
    Optional<Retention> retention,
    Optional<Lease> lease) {}
