package dev.lockstitch.harness;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.LockstitchException;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.propagation.ContextPropagators;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.Callable;

/**
 * The executor of this client for the harness of all languages, whose README says what each
 * operation does.
 */
public final class Executor {
  private static final Gson GSON =
      new GsonBuilder().disableHtmlEscaping().serializeNulls().create();

  private Executor() {}

  public static void main(String[] arguments) throws IOException {
    var propagators = ContextPropagators.create(W3CTraceContextPropagator.getInstance());
    GlobalOpenTelemetry.set(OpenTelemetry.propagating(propagators));
    warmUp();
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    try (Operations operations = new Operations()) {
      for (String line = input.readLine(); line != null; line = input.readLine()) {
        JsonObject request = JsonParser.parseString(line).getAsJsonObject();
        JsonObject answer = answer(operations, request);
        answer.add("id", request.get("id"));
        output.println(GSON.toJson(answer));
      }
    }
    System.exit(0);
  }

  /**
   * Loads the classes of gRPC. On a busy machine that takes longer than the time to connect, which
   * limits the first call of each client.
   */
  private static void warmUp() throws IOException {
    var address = new InetSocketAddress("127.0.0.1", 0);
    Server server =
        NettyServerBuilder.forAddress(address, InsecureServerCredentials.create()).build().start();
    try (var client = LockstitchClient.connect("127.0.0.1:" + server.getPort())) {
      client.awaitReady(Duration.ofMinutes(1));
    } finally {
      server.shutdownNow();
    }
  }

  private static JsonObject answer(Operations operations, JsonObject request) {
    try {
      String name = request.get("op").getAsString();
      JsonElement given = request.get("args");
      Arguments arguments =
          new Arguments(given == null ? new JsonObject() : given.getAsJsonObject());
      return result(() -> operations.run(name, arguments));
    } catch (Exception error) {
      error.printStackTrace();
      JsonObject answer = new JsonObject();
      answer.addProperty("fault", error.toString());
      return answer;
    }
  }

  /** {@code ok} or {@code error}. */
  static JsonObject result(Callable<JsonObject> work) throws Exception {
    JsonObject answer = new JsonObject();
    try {
      answer.add("ok", work.call());
    } catch (LockstitchException error) {
      answer.add("error", failure(error));
    }
    return answer;
  }

  private static JsonObject failure(LockstitchException error) {
    JsonObject told = new JsonObject();
    told.addProperty("code", error.code().name());
    told.addProperty("reason", error.reason());
    told.add("metadata", GSON.toJsonTree(error.metadata()));
    told.addProperty("message", error.detail());
    return told;
  }
}
