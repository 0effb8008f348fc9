package dev.lockstitch;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * The right to change a session, for a time.
 *
 * @param sessionId the session
 * @param token the fencing token, for {@link SaveOptions#withLease}, read as unsigned; 0: the lease
 *     is another's
 * @param holder who holds it, in the holder's words
 * @param acquiredAt the server's time when it was acquired
 * @param expireAt the server's time when it ends unless it is renewed
 * @param ttl how long it lasted when the server answered; empty for the lease of another
 */
public record Lease(
    String sessionId,
    long token,
    String holder,
    Instant acquiredAt,
    Instant expireAt,
    Optional<Duration> ttl) {}
