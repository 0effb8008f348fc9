package dev.lockstitch;

import dev.lockstitch.v1.ListSessionsRequest;
import java.time.Instant;

/**
 * Which sessions a list has. Immutable: {@code SessionFilter.ALL.prefix("order-").label("kind",
 * "test")}.
 */
public final class SessionFilter {
  /** All sessions. */
  public static final SessionFilter ALL =
      new SessionFilter(ListSessionsRequest.getDefaultInstance());

  final ListSessionsRequest request;

  private SessionFilter(ListSessionsRequest request) {
    this.request = request;
  }

  /** Sessions whose ids begin with this text. */
  public SessionFilter prefix(String text) {
    return with(builder().setSessionIdPrefix(text));
  }

  /** Sessions that have this label; several labels must all match. */
  public SessionFilter label(String key, String value) {
    return with(builder().putLabels(key, value));
  }

  /** Sessions updated at this time or later. */
  public SessionFilter updatedSince(Instant time) {
    return with(builder().setUpdatedSince(Values.timestamp(time)));
  }

  /** Sessions updated before this time. */
  public SessionFilter updatedBefore(Instant time) {
    return with(builder().setUpdatedBefore(Values.timestamp(time)));
  }

  /** The order of the list. */
  public SessionFilter orderBy(SessionOrder order) {
    return with(
        builder()
            .setOrderBy(
                switch (order) {
                  case UPDATED_AT -> dev.lockstitch.v1.SessionOrder.SESSION_ORDER_UPDATED_AT;
                  case SESSION_ID -> dev.lockstitch.v1.SessionOrder.SESSION_ORDER_SESSION_ID;
                }));
  }

  /** The number of sessions that a call fetches. */
  public SessionFilter pageSize(int sessions) {
    return with(builder().setPageSize(sessions));
  }

  /** Continues a list after the page that had this token. */
  public SessionFilter from(String pageToken) {
    return with(builder().setPageToken(pageToken));
  }

  private ListSessionsRequest.Builder builder() {
    return request.toBuilder();
  }

  private static SessionFilter with(ListSessionsRequest.Builder changed) {
    return new SessionFilter(changed.build());
  }
}
