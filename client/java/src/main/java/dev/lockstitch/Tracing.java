package dev.lockstitch;

import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.context.Context;
import java.util.HashMap;
import java.util.Map;

/** OpenTelemetry's current context, passed on where the application has OpenTelemetry. */
final class Tracing {
  private static final boolean PRESENT = isPresent();

  private Tracing() {}

  /** The current context, as a propagator writes it down. */
  static Map<String, String> current() {
    return PRESENT ? Api.current() : Map.of();
  }

  private static boolean isPresent() {
    try {
      Class.forName("io.opentelemetry.api.GlobalOpenTelemetry");
      return true;
    } catch (ClassNotFoundException | LinkageError error) {
      return false;
    }
  }

  /** Loaded only where the classes are there. */
  private static final class Api {
    static Map<String, String> current() {
      Map<String, String> carrier = new HashMap<>();
      GlobalOpenTelemetry.getPropagators()
          .getTextMapPropagator()
          .inject(Context.current(), carrier, Map::put);
      return carrier;
    }
  }
}
