package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.VersionedState;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/** The last acknowledged state of each session, within bounds. Threads may share it. */
final class Memory {
  /** A session and a namespace. */
  record Key(String sessionId, String namespace) {
    static Key of(Checkpoint checkpoint) {
      return new Key(checkpoint.getSessionId(), checkpoint.getNamespace());
    }
  }

  /** A state that the server has acknowledged, under this id, in this revision. */
  record Base(String checkpointId, long revision, VersionedState state) {}

  private final DeltaPolicy policy;
  private final Map<Key, Base> bases = new LinkedHashMap<>();
  private long bytes;

  Memory(DeltaPolicy policy) {
    this.policy = policy;
  }

  /** The state to start from; null: none is known. */
  synchronized Base get(Key key) {
    return bases.get(key);
  }

  /** Remember a state in place of the one before; forget the oldest where there is no room. */
  synchronized void put(Key key, Base base) {
    drop(bases.remove(key));
    long size = base.state().getSerializedSize();
    if (size > policy.maxBytes()) {
      return;
    }
    bases.put(key, base);
    bytes += size;
    Iterator<Base> oldest = bases.values().iterator();
    while (bytes > policy.maxBytes() || bases.size() > policy.maxEntries()) {
      drop(oldest.next());
      oldest.remove();
    }
  }

  private void drop(Base base) {
    bytes -= base == null ? 0 : base.state().getSerializedSize();
  }
}
