package dev.lockstitch;

import com.google.protobuf.CodedOutputStream;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.SaveId;
import dev.lockstitch.v1.SaveRequest;
import io.grpc.Status.Code;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * The ids of the saves of one writer, which order its saves to a checkpoint at the server. A save
 * that was given up can still reach the server: it has a smaller number than the save made in its
 * place, so the server refuses it.
 *
 * <p>A save whose outcome is unknown keeps its id for an equal save of the same checkpoint, which
 * is a retry then: the server finds it UNCHANGED.
 */
final class SaveIds {
  /** How many saves of unknown outcome are remembered; the oldest ones go first. */
  private static final int MOST_UNSETTLED = 1024;

  private static final Set<Code> UNKNOWN_OUTCOME =
      Set.of(Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN);
  private static final SecureRandom RANDOM = new SecureRandom();

  private record Key(String sessionId, String namespace, String checkpointId) {
    static Key of(SaveRequest request) {
      Checkpoint checkpoint = request.getCheckpoint();
      return new Key(
          checkpoint.getSessionId(), checkpoint.getNamespace(), Sessions.idOf(checkpoint));
    }
  }

  private record Unsettled(byte[] digest, SaveId id) {}

  private final long writer;
  private final Map<Key, Unsettled> unsettled = new LinkedHashMap<>();
  private long number;

  SaveIds() {
    long bits = RANDOM.nextLong();
    while (bits == 0) {
      bits = RANDOM.nextLong();
    }
    writer = bits;
  }

  /** The request with the id of the equal save that it retries, or with a new one. */
  SaveRequest identified(SaveRequest request) {
    return request.toBuilder().setSaveId(idFor(request)).build();
  }

  /** Learns how a save ended. {@code identified}: what {@link #identified} returned. */
  void ended(SaveRequest identified, LockstitchException error) {
    boolean unknown = error != null && UNKNOWN_OUTCOME.contains(error.code());
    Key key = Key.of(identified);
    SaveId id = identified.getSaveId();
    if (unknown) {
      byte[] digest = digest(identified.toBuilder().clearSaveId().build());
      remember(key, new Unsettled(digest, id));
    } else {
      forget(key, id);
    }
  }

  private SaveId idFor(SaveRequest request) {
    Key key = Key.of(request);
    Unsettled before;
    SaveId next;
    synchronized (this) {
      before = unsettled.get(key);
      next = SaveId.newBuilder().setWriter(writer).setNumber(++number).build();
    }
    if (before == null) {
      return next;
    }
    if (MessageDigest.isEqual(before.digest(), digest(request))) {
      return before.id();
    }
    forget(key, before.id());
    return next;
  }

  private synchronized void remember(Key key, Unsettled save) {
    Unsettled other = unsettled.get(key);
    if (other != null && other.id().getNumber() > save.id().getNumber()) {
      return; // a later save has taken its place
    }
    unsettled.remove(key);
    unsettled.put(key, save);
    Iterator<Key> oldest = unsettled.keySet().iterator();
    while (unsettled.size() > MOST_UNSETTLED) {
      oldest.next();
      oldest.remove();
    }
  }

  private synchronized void forget(Key key, SaveId id) {
    Unsettled save = unsettled.get(key);
    if (save != null && save.id().equals(id)) {
      unsettled.remove(key);
    }
  }

  private static byte[] digest(SaveRequest request) {
    try {
      var sink =
          new DigestOutputStream(
              OutputStream.nullOutputStream(), MessageDigest.getInstance("SHA-256"));
      CodedOutputStream output = CodedOutputStream.newInstance(sink);
      output.useDeterministicSerialization(); // maps have no order
      request.writeTo(output);
      output.flush();
      return sink.getMessageDigest().digest();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error); // every Java runtime has SHA-256
    }
  }
}
