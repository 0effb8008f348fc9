package dev.lockstitch;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A list whose pages are fetched as one goes. It can be gone through many times, each time anew.
 *
 * @param <T> the items
 */
public final class Paged<T> implements Iterable<T> {
  /**
   * One page; it may be short or empty with more to come.
   *
   * @param items what is on it
   * @param nextPageToken get the next page with this; "" says that the list is at its end
   * @param totalSize how many match in all, if asked for
   * @param damaged the damaged checkpoints of this page, if these are skipped
   * @param <T> the items
   */
  public record Page<T>(
      List<T> items,
      String nextPageToken,
      OptionalLong totalSize,
      List<DamagedCheckpoint> damaged) {}

  private final Function<String, Page<T>> fetch;
  private final String start;

  Paged(Function<String, Page<T>> fetch, String start) {
    this.fetch = fetch;
    this.start = start;
  }

  /** The pages themselves; the token of one is that with which a later list goes on behind it. */
  public Iterable<Page<T>> pages() {
    return Pages::new;
  }

  /** The items as a stream, whose pages are fetched as it is read. */
  public Stream<T> stream() {
    return StreamSupport.stream(spliterator(), false);
  }

  @Override
  public Iterator<T> iterator() {
    Pages pages = new Pages();
    return new Iterator<>() {
      private Iterator<T> items = List.<T>of().iterator();

      @Override
      public boolean hasNext() {
        while (!items.hasNext() && pages.hasNext()) {
          items = pages.next().items().iterator();
        }
        return items.hasNext();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return items.next();
      }
    };
  }

  private final class Pages implements Iterator<Page<T>> {
    private String token = start;
    private boolean ended;

    @Override
    public boolean hasNext() {
      return !ended;
    }

    @Override
    public Page<T> next() {
      if (ended) {
        throw new NoSuchElementException();
      }
      Page<T> page = fetch.apply(token);
      token = page.nextPageToken();
      ended = token.isEmpty();
      return page;
    }
  }
}
