package dev.lockstitch;

import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveStreamRequest;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A save that waits for its answer. */
final class SaveItem {
  final long number;
  final SaveRequest request;
  final Budget budget;
  final CompletableFuture<SaveResponse> answer = new CompletableFuture<>();
  boolean sent; // on the stream that is open now
  int refusals;

  SaveItem(long number, SaveRequest request, Budget budget) {
    this.number = number;
    this.request = request;
    this.budget = budget;
  }

  String session() {
    return request.getCheckpoint().getSessionId();
  }

  SaveStreamRequest message() {
    SaveStreamRequest.Builder message =
        SaveStreamRequest.newBuilder().setRequestId(number).setSave(request);
    if (!budget.trace.isEmpty()) {
      message.putAllTraceContext(budget.trace);
    }
    return message.build();
  }

  /** One message with these saves, one or more. */
  static SaveStreamRequest message(List<SaveItem> items) {
    if (items.size() == 1) {
      return items.get(0).message();
    }
    SaveStreamRequest.Builder batch = SaveStreamRequest.newBuilder();
    items.forEach(item -> batch.addBatch(item.message()));
    return batch.build();
  }
}
