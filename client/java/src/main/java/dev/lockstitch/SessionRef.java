package dev.lockstitch;

/**
 * A session, and one of its namespaces.
 *
 * @param sessionId the session
 * @param namespace the namespace; "" is the root namespace
 */
public record SessionRef(String sessionId, String namespace) {
  /** The root namespace of a session. */
  public SessionRef(String sessionId) {
    this(sessionId, "");
  }
}
