package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.lockstitch.v1.BlobList;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CustomChannel;
import dev.lockstitch.v1.TypedBlob;
import dev.lockstitch.v1.VersionedState;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Plain states as channels, and back. */
class StateTest {
  private static final VersionedState NOTHING = VersionedState.getDefaultInstance();

  private static VersionedState written(Map<?, ?> state) {
    return StateLayout.write(state, NOTHING);
  }

  private static Checkpoint checkpoint(VersionedState state) {
    return Checkpoint.newBuilder().setHeader(StateLayout.HEADER).setState(state).build();
  }

  /** A checkpoint with blobs: names and texts, in turn. */
  private static Checkpoint stored(String... channels) {
    VersionedState.Builder state = VersionedState.newBuilder();
    for (int place = 0; place < channels.length; place += 2) {
      TypedBlob blob = blob(ByteString.copyFromUtf8(channels[place + 1]));
      state.putCustom(channels[place], CustomChannel.newBuilder().setBlob(blob).build());
    }
    return checkpoint(state.build());
  }

  private static TypedBlob blob(ByteString data) {
    return TypedBlob.newBuilder().setType("json").setData(data).build();
  }

  private static void assertRefused(String problem, Executable work) {
    var error = assertThrows(InvalidArgumentException.class, work);
    assertTrue(error.detail().contains(problem), error.detail() + "\n does not say " + problem);
    assertTrue(error.detail().startsWith(error.field()), error.detail());
  }

  @Test
  void whereValuesStand() {
    Map<String, Object> many = new HashMap<>();
    for (int number = 0; number <= 100; number++) {
      many.put(String.valueOf(number), number);
    }
    VersionedState state =
        written(
            Map.of(
                "messages", List.of(Map.of("role", "<é>\u2028"), 1),
                "cart", Map.of("a/b", 1.5, "items", List.of(1), "deep", Map.of("x", List.of())),
                "x~y", "text",
                "none", Map.of(),
                "nothing", List.of(),
                "many", many,
                "long", Map.of("k".repeat(512), 1, "b", 2)));
    assertEquals(
        "[cart/a~1b, cart/deep, cart/items, long, many, messages, none, nothing, x~0y]",
        new TreeSet<>(state.getCustomMap().keySet()).toString());
    assertEquals(
        "{\"role\":\"<é>\u2028\"}",
        state.getCustomOrThrow("messages").getList().getItems(0).getData().toStringUtf8());
    assertTrue(state.getCustomOrThrow("nothing").hasList());
    assertEquals("{}", state.getCustomOrThrow("none").getBlob().getData().toStringUtf8());
  }

  @Test
  void anyStateComesBack() {
    for (int seed = 0; seed < 300; seed++) {
      Random random = new Random(seed);
      Map<String, Object> state = new LinkedHashMap<>();
      for (int count = random.nextInt(6); count > 0; count--) {
        state.put(anyText(random), anyValue(random, 3));
      }
      Checkpoint saved = checkpoint(written(state));
      assertEquals(state, StateLayout.read(saved), "seed " + seed);
      assertEquals(saved.getState(), StateLayout.write(state, saved.getState()));
    }
  }

  private static String anyText(Random random) {
    String[] pool = {"a", "b", "/", "~", "é", "🧵", "\0", "\"", "\\", "\u2028", "<", "\n"};
    StringBuilder text = new StringBuilder();
    for (int count = random.nextInt(4); count > 0; count--) {
      text.append(pool[random.nextInt(pool.length)]);
    }
    return text.toString();
  }

  private static Object anyValue(Random random, int depth) {
    switch (random.nextInt(depth > 0 ? 9 : 6)) {
      case 0:
        return null;
      case 1:
        return random.nextBoolean();
      case 2:
        return anyText(random);
      case 3:
        return random.nextLong();
      case 4:
        return new BigInteger(100, random)
            .setBit(101)
            .multiply(BigInteger.valueOf(1 - 2 * random.nextInt(2)));
      case 5:
        double number = Double.longBitsToDouble(random.nextLong());
        return Double.isFinite(number) ? number : -0.0;
      case 6:
        Map<String, Object> map = new LinkedHashMap<>();
        for (int count = random.nextInt(4); count > 0; count--) {
          map.put(anyText(random), anyValue(random, depth - 1));
        }
        return map;
      default:
        List<Object> list = new ArrayList<>();
        for (int count = random.nextInt(4); count > 0; count--) {
          list.add(anyValue(random, depth - 1));
        }
        return list;
    }
  }

  @Test
  void whatWouldBeLostIsRefusedWithItsPath() {
    Map<String, Object> circle = new HashMap<>();
    circle.put("a", circle);
    Map<String, Map<?, ?>> states = new LinkedHashMap<>();
    states.put(
        "state[\"a\"][\"b\"][1][\"c\"] is NaN",
        Map.of("a", Map.of("b", List.of(1, Map.of("c", Double.NaN)))));
    states.put("state[\"a\"] is -Infinity", Map.of("a", Float.NEGATIVE_INFINITY));
    states.put("state[\"a\"][0] holds half of a", Map.of("a", List.of("x\ud83d")));
    states.put(
        "state[\"a\"][0][\"b\"] has a key that is of",
        Map.of("a", List.of(Map.of("b", Map.of(1, 2)))));
    states.put("state[\"b\"] has a key that is of type", Map.of("b", Map.of(1, 2)));
    states.put("state has a key that is of type java.lang.Integer", Map.of(1, 2));
    states.put("state[\"a\"] is of type java.util.Date", Map.of("a", new Date()));
    states.put("state[\"a\"] is of type java.math.BigDecimal", Map.of("a", BigDecimal.ONE));
    states.put("state[\"a\"] is of type [B", Map.of("a", new byte[1]));
    states.put("has keys of 513 bytes together; the limit is 512", Map.of("k".repeat(513), 1));
    states.put("is nested more than 500 deep", circle);
    states.forEach((problem, state) -> assertRefused(problem, () -> written(state)));
    assertRefused("has a key that is null", () -> written(Collections.singletonMap(null, 1)));
  }

  @Test
  void whatIsNoPlainStateIsRefused() {
    Map<String, Checkpoint> all = new LinkedHashMap<>();
    all.put("has the channel \"b/c/d\"", stored("b/c/d", "1"));
    all.put("has the channel \"b~2\"", stored("b~2", "1"));
    all.put("state[\"b\"] is stored as one value, and by its keys", stored("b", "{}", "b/c", "1"));
    all.put("state[\"b\"][\"c\"] stands twice", stored("b", "{\"c\":1,\"c\":2}"));
    all.put("state[\"g\"] is stored as text that is not JSON", stored("g", "1 2"));
    all.put("state[\"b\"] is stored as text that is not JSON", stored("b", ""));
    all.put("state[\"c\"] is stored as text that is not JSON", stored("c", "[NaN]"));
    all.put("state[\"d\"] is stored as text that is not JSON", stored("d", "'x'"));
    all.put("state[\"e\"] is stored as text that is not JSON", stored("e", "[01]"));
    all.put("state[\"f\"] is stored as text that is not JSON", stored("f", "[1,]"));
    all.put("state[\"b\"][0] holds half of a", stored("b", "[\"\\ud83d\"]"));
    all.put("state[\"b\"] is stored as 1e400, which is beyond", stored("b", "1e400"));
    all.put("which has more digits", stored("b", "0.1000000000000000055511151231257827"));
    all.put("which has more digits than", stored("b", "1e-400"));
    all.put("is nested more than 500 deep", stored("b", "[".repeat(502) + "]".repeat(502)));
    all.put(
        "that is not UTF-8",
        checkpoint(
            VersionedState.newBuilder()
                .putCustom(
                    "b",
                    CustomChannel.newBuilder()
                        .setBlob(blob(ByteString.copyFrom(new byte[] {'"', -1, '"'})))
                        .build())
                .build()));
    Checkpoint.Builder newer = stored("b", "1").toBuilder();
    newer.getHeaderBuilder().setData(ByteString.copyFromUtf8("2"));
    all.put("has layout \"2\", and this client reads layout \"1\"", newer.build());
    all.put("is not a plain state", stored("b", "1").toBuilder().clearHeader().build());
    Checkpoint.Builder messages = stored("b", "1").toBuilder();
    messages.getStateBuilder().getMessagesBuilder();
    all.put("has messages, extra or errors", messages.build());
    all.forEach((problem, each) -> assertRefused(problem, () -> StateLayout.read(each)));
  }

  @Test
  void numbersKeepTheirValue() {
    Map<String, Object> expected = new HashMap<>();
    expected.put("a", 9007199254740993L);
    expected.put("b", new BigInteger("18446744073709551617"));
    expected.put("c", 0.1);
    expected.put("d", 1e16);
    expected.put("e", Long.MIN_VALUE);
    expected.put("f", -0.0);
    Checkpoint saved =
        stored(
            "a",
            "9007199254740993",
            "b",
            "18446744073709551617",
            "c",
            "0.10000000000000001",
            "d",
            "1e+16",
            "e",
            "-9223372036854775808",
            "f",
            "-0.0");
    assertEquals(expected, StateLayout.read(saved));
    assertEquals("[1,2.5,0.5]", Values.jsonText(List.of((byte) 1, 2.5f, 0.5)));
  }

  @Test
  void equalValuesKeepTheirBytes() {
    Map<String, Object> entry = new LinkedHashMap<>();
    entry.put("y", "é");
    entry.put("z", 1);
    VersionedState.Builder before = stored("a", "[1]", "b", "\"\\u00e9\"").getState().toBuilder();
    before.putCustom(
        "log",
        CustomChannel.newBuilder()
            .setList(
                BlobList.newBuilder()
                    .addItems(blob(ByteString.copyFromUtf8("{\"z\": 1, \"y\": \"é\"}"))))
            .build());
    VersionedState after =
        StateLayout.write(Map.of("b", "é", "log", List.of(entry, 2), "c", 1), before.build());
    assertEquals(before.getCustomOrThrow("b"), after.getCustomOrThrow("b"));
    assertEquals(
        before.getCustomOrThrow("log").getList().getItems(0),
        after.getCustomOrThrow("log").getList().getItems(0));
    assertEquals(3, after.getCustomCount());
  }

  @Test
  void appendingIsWritingTheLongerList() {
    Map<String, Object> state = new HashMap<>();
    state.put("log", List.of(1));
    state.put("cart", Map.of("a", 1));
    state.put("text", "x");
    state.put("null", null);
    VersionedState before = written(state);
    VersionedState grown = StateLayout.append(before, "log", Arrays.asList("two", null));
    state.put("log", Arrays.asList(1, "two", null));
    assertEquals(written(state), grown);
    for (String key : List.of("cart", "text", "null")) {
      assertRefused(
          "state[\"" + key + "\"] is ", () -> StateLayout.append(before, key, List.of(1)));
    }
    assertRefused(
        "state[\"log\"][1][0] is NaN",
        () -> StateLayout.append(before, "log", List.of(List.of(Double.NaN))));
  }
}
