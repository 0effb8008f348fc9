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
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

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

  /** A save whose outcome is unknown. */
  private record OpenSave(byte[] digest, long number) {}

  /** Saves of one checkpoint: those under way, and the last one of unknown outcome. */
  private static final class CheckpointSaves {
    int underWay;

    /** Of those under way, and of those that have ended meanwhile and are stored, or may be. */
    final List<Long> numbers = new ArrayList<>();

    OpenSave open;

    /**
     * Whether the open save, made again, is a retry. Where a later one may be stored, it comes
     * after that one: a retry would replace it.
     */
    boolean canRetry() {
      return open != null && numbers.stream().allMatch(other -> other <= open.number());
    }
  }

  /** A save with its id. */
  final class Identified {
    private final Key key;
    private final SaveRequest request;

    private Identified(Key key, SaveRequest request) {
      this.key = key;
      this.request = request;
    }

    /** The request, which has the id. */
    SaveRequest request() {
      return request;
    }

    /** Learns how the save ended; null: it succeeded. */
    void ended(LockstitchException error) {
      long own = request.getSaveId().getNumber();
      if (error == null) {
        end(key, saves -> {});
      } else if (isSettled(error)) {
        end(key, saves -> saves.numbers.remove(Long.valueOf(own)));
      } else {
        OpenSave open = new OpenSave(digest(request.getCheckpoint()), own);
        end(key, saves -> saves.open = laterOf(saves.open, open));
      }
    }
  }

  private final long writer;
  private final Map<Key, CheckpointSaves> underWay = new HashMap<>();

  /** Of checkpoints with an open save, and none under way; the oldest first. */
  private final Map<Key, CheckpointSaves> unsettled = new LinkedHashMap<>();

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
    SaveId.Builder id = SaveId.newBuilder().setWriter(writer).setNumber(begin(key, request));
    return new Identified(key, request.toBuilder().setSaveId(id).build());
  }

  private synchronized long begin(Key key, SaveRequest request) {
    long own = ++number;
    CheckpointSaves saves = underWay.get(key);
    if (saves == null) {
      CheckpointSaves before = unsettled.remove(key);
      saves = before == null ? new CheckpointSaves() : before;
      underWay.put(key, saves);
    }
    if (saves.canRetry()
        && MessageDigest.isEqual(saves.open.digest(), digest(request.getCheckpoint()))) {
      own = saves.open.number();
      saves.open = null; // of two equal ones, only one is the retry
    }
    saves.underWay++;
    saves.numbers.add(own);
    return own;
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

  private synchronized void end(Key key, Consumer<CheckpointSaves> outcome) {
    CheckpointSaves saves = underWay.get(key);
    outcome.accept(saves);
    saves.underWay--;
    if (saves.underWay > 0) {
      return;
    }
    underWay.remove(key);
    if (saves.canRetry()) {
      remember(key, saves);
    }
  }

  private void remember(Key key, CheckpointSaves saves) {
    saves.numbers.clear();
    unsettled.put(key, saves);
    Iterator<Key> oldest = unsettled.keySet().iterator();
    while (unsettled.size() > MOST_UNSETTLED) {
      oldest.next();
      oldest.remove();
    }
  }

  private static OpenSave laterOf(OpenSave one, OpenSave other) {
    return one == null || one.number() < other.number() ? other : one;
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
