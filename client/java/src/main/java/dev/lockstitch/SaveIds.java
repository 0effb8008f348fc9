package dev.lockstitch;

import com.google.protobuf.CodedOutputStream;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.SaveId;
import dev.lockstitch.v1.SaveRequest;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The ids of the saves of one writer, which order its saves to a checkpoint at the server. A save
 * that was given up can still reach the server: it has a smaller number than the save made in its
 * place, so the server refuses it.
 *
 * <p>A save whose outcome is unknown leaves its number to the next save of the same checkpoint, if
 * that is equal. The equal save is a retry then: the server finds it UNCHANGED.
 */
final class SaveIds {
  /** How many saves of unknown outcome are remembered; the oldest ones go first. */
  private static final int MOST_UNSETTLED = 1024;

  private static final SecureRandom RANDOM = new SecureRandom();

  private record Key(String sessionId, String namespace, String checkpointId) {
    static Key of(Checkpoint checkpoint) {
      return new Key(
          checkpoint.getSessionId(), checkpoint.getNamespace(), Sessions.idOf(checkpoint));
    }
  }

  private record Unsettled(byte[] digest, long number) {}

  /** The saves of one checkpoint that have not ended: how many, and which was called last. */
  private record Running(int saves, long last) {
    Running and(Running other) {
      return new Running(saves + other.saves, Math.max(last, other.last));
    }
  }

  /** A save with its id. */
  final class Identified {
    private final Key key;
    private final long call; // the number of a save that is not a retry
    private final SaveRequest request;

    private Identified(Key key, long call, SaveRequest request) {
      this.key = key;
      this.call = call;
      this.request = request;
    }

    /** The request, which has the id. */
    SaveRequest request() {
      return request;
    }

    /** Learns how the save ended; null: it succeeded. */
    void ended(LockstitchException error) {
      boolean unknown = error != null && !isSettled(error);
      byte[] digest = unknown ? digest(request.getCheckpoint()) : null;
      synchronized (SaveIds.this) {
        boolean wasLast = leave(key, call);
        if (unknown && wasLast) {
          remember(key, new Unsettled(digest, request.getSaveId().getNumber()));
        }
      }
    }
  }

  private final long writer;
  private final Map<Key, Unsettled> unsettled = new LinkedHashMap<>();
  private final Map<Key, Running> running = new HashMap<>();
  private long number;

  SaveIds() {
    long bits = RANDOM.nextLong();
    while (bits == 0) {
      bits = RANDOM.nextLong();
    }
    writer = bits;
  }

  /**
   * The save with the id of the equal save that it retries, or with a new one. {@link
   * Identified#ended} must be called once, when the save has ended.
   */
  Identified identified(SaveRequest request) {
    Key key = Key.of(request.getCheckpoint());
    long call;
    Unsettled before;
    synchronized (this) {
      call = ++number;
      before = unsettled.remove(key); // so that two saves never share a number
      running.merge(key, new Running(1, call), Running::and);
    }
    boolean retry =
        before != null && MessageDigest.isEqual(before.digest(), digest(request.getCheckpoint()));
    SaveId.Builder id =
        SaveId.newBuilder().setWriter(writer).setNumber(retry ? before.number() : call);
    return new Identified(key, call, request.toBuilder().setSaveId(id).build());
  }

  /**
   * Whether the server has decided about the save, and not stored it. After all other errors an
   * attempt may have been stored.
   */
  private static boolean isSettled(LockstitchException error) {
    return error instanceof AbortedException
        || error instanceof FailedPreconditionException
        || error instanceof InvalidArgumentException
        || error instanceof TooLargeException;
  }

  /** Whether no save of this checkpoint was called later, as long as this one was under way. */
  private boolean leave(Key key, long call) {
    Running all = running.get(key);
    if (all.saves() == 1) {
      running.remove(key);
    } else {
      running.put(key, new Running(all.saves() - 1, all.last()));
    }
    return all.last() == call;
  }

  private void remember(Key key, Unsettled save) {
    unsettled.put(key, save);
    Iterator<Key> oldest = unsettled.keySet().iterator();
    while (unsettled.size() > MOST_UNSETTLED) {
      oldest.next();
      oldest.remove();
    }
  }

  private static byte[] digest(Checkpoint checkpoint) {
    try {
      var sink =
          new DigestOutputStream(
              OutputStream.nullOutputStream(), MessageDigest.getInstance("SHA-256"));
      CodedOutputStream output = CodedOutputStream.newInstance(sink);
      output.useDeterministicSerialization(); // maps have no order
      checkpoint.writeTo(output);
      output.flush();
      return sink.getMessageDigest().digest();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error); // every Java runtime has SHA-256
    }
  }
}
