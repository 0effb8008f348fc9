package dev.lockstitch;

/**
 * A checkpoint of a session.
 *
 * @param sessionId the session
 * @param namespace the namespace; "" is the root namespace
 * @param checkpointId the id
 */
public record CheckpointRef(String sessionId, String namespace, String checkpointId) {
  /** A checkpoint of the root namespace. */
  public CheckpointRef(String sessionId, String checkpointId) {
    this(sessionId, "", checkpointId);
  }

  /** In a request that names the session elsewhere. */
  dev.lockstitch.v1.CheckpointRef message() {
    return dev.lockstitch.v1.CheckpointRef.newBuilder()
        .setNamespace(namespace)
        .setCheckpointId(checkpointId)
        .build();
  }
}
