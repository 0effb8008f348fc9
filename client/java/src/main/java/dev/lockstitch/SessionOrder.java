package dev.lockstitch;

/** The order of a list of sessions. */
public enum SessionOrder {
  /**
   * The last changed session first. A session that changes while the list is read may come twice or
   * not at all.
   */
  UPDATED_AT,
  /** By session id, ascending. */
  SESSION_ID
}
