package dev.lockstitch;

/** What a save did. */
public enum SaveOutcome {
  /** The checkpoint is new. */
  CREATED,
  /** A checkpoint with this id had other content, which is gone. */
  REPLACED,
  /** The checkpoint was stored before with this content. */
  UNCHANGED,
  /** Something that this client does not know: the server is newer. */
  UNKNOWN
}
