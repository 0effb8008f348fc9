package dev.lockstitch;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.StringReader;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON texts and exactly what they say: maps, lists, text, booleans, null, Long or BigInteger for
 * integers, and Double. What would be lost or changed is refused with its path.
 */
final class StateJson {
  /** How deep values may be nested: all clients can read that. */
  private static final int MAX_DEPTH = 500;

  /** Digits of a decimal number, as programs write floats, that is read as the nearest float. */
  private static final int EXACT_DIGITS = 17;

  private static final BigInteger LEAST = BigInteger.valueOf(Long.MIN_VALUE);
  private static final BigInteger GREATEST = BigInteger.valueOf(Long.MAX_VALUE);

  private StateJson() {}

  /** A value as JSON text in UTF-8. */
  static ByteString write(Object value, StatePath at) {
    StringBuilder text = new StringBuilder();
    write(text, value, at);
    return ByteString.copyFromUtf8(text.toString());
  }

  private static void write(StringBuilder text, Object value, StatePath at) {
    if (value instanceof Map<?, ?> || value instanceof List<?>) {
      if (at.depth() > MAX_DEPTH) {
        throw StatePath.ROOT.refuse("is nested more than " + MAX_DEPTH + " deep, or holds itself");
      }
    }
    if (value == null || value instanceof Boolean) {
      text.append(value);
    } else if (value instanceof String string) {
      text.append(quoted(checked(string, at)));
    } else if (value instanceof Double || value instanceof Float) {
      text.append(finite(((Number) value).doubleValue(), at));
    } else if (isInteger(value)) {
      text.append(value);
    } else if (value instanceof List<?> list) {
      text.append('[');
      int index = 0;
      for (Object item : list) {
        text.append(index == 0 ? "" : ",");
        write(text, item, at.in(index++));
      }
      text.append(']');
    } else if (value instanceof Map<?, ?> map) {
      writeMap(text, map, at);
    } else {
      throw at.refuse(
          "is of type "
              + value.getClass().getName()
              + ", which JSON does not have: use maps, lists, text, numbers, booleans and null");
    }
  }

  private static void writeMap(StringBuilder text, Map<?, ?> map, StatePath at) {
    text.append('{');
    int begin = text.length();
    map.forEach(
        (key, item) -> {
          text.append(text.length() == begin ? "" : ",").append(quoted(key(key, at))).append(':');
          write(text, item, at.in(key));
        });
    text.append('}');
  }

  private static boolean isInteger(Object value) {
    return value instanceof Long
        || value instanceof Integer
        || value instanceof Short
        || value instanceof Byte
        || value instanceof BigInteger;
  }

  private static double finite(double value, StatePath at) {
    if (!Double.isFinite(value)) {
      throw at.refuse("is " + value + ", which JSON does not have");
    }
    return value;
  }

  /** A key of a map, which must be text. */
  static String key(Object key, StatePath at) {
    if (key instanceof String text) {
      return checked(text, at);
    }
    String type = key == null ? "null" : "of type " + key.getClass().getName();
    throw at.refuse("has a key that is " + type + ": keys are text");
  }

  /** Text that is Unicode. */
  private static String checked(String text, StatePath at) {
    if (!Texts.isText(text)) {
      throw at.refuse("holds half of a surrogate pair, which is not text");
    }
    return text;
  }

  /** Escapes what JSON requires. */
  static String quoted(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (int index = 0; index < text.length(); index++) {
      char letter = text.charAt(index);
      switch (letter) {
        case '"', '\\' -> quoted.append('\\').append(letter);
        case '\n' -> quoted.append("\\n");
        case '\r' -> quoted.append("\\r");
        case '\t' -> quoted.append("\\t");
        case '\b' -> quoted.append("\\b");
        case '\f' -> quoted.append("\\f");
        default -> quoted.append(letter < ' ' ? String.format("\\u%04x", (int) letter) : letter);
      }
    }
    return quoted.append('"').toString();
  }

  /** The value of a JSON text. */
  static Object read(ByteString data, StatePath at) {
    String text;
    try {
      text = StandardCharsets.UTF_8.newDecoder().decode(data.asReadOnlyByteBuffer()).toString();
    } catch (CharacterCodingException error) {
      throw at.refuse("is stored as text that is not UTF-8");
    }
    try {
      JsonReader reader = new JsonReader(new StringReader(text));
      reader.setStrictness(Strictness.STRICT);
      reader.setNestingLimit(MAX_DEPTH + 2);
      Object value = read(reader, at);
      if (reader.peek() != JsonToken.END_DOCUMENT) {
        throw at.refuse("is stored as text that is not JSON");
      }
      return value;
    } catch (IOException | IllegalStateException error) {
      throw at.refuse("is stored as text that is not JSON");
    }
  }

  private static Object read(JsonReader reader, StatePath at) throws IOException {
    JsonToken token = reader.peek();
    if (at.depth() > MAX_DEPTH
        && (token == JsonToken.BEGIN_ARRAY || token == JsonToken.BEGIN_OBJECT)) {
      throw StatePath.ROOT.refuse("is nested more than " + MAX_DEPTH + " deep");
    }
    switch (token) {
      case NULL -> {
        reader.nextNull();
        return null;
      }
      case BOOLEAN -> {
        return reader.nextBoolean();
      }
      case STRING -> {
        return checked(reader.nextString(), at);
      }
      case NUMBER -> {
        return number(reader.nextString(), at);
      }
      case BEGIN_ARRAY -> {
        List<Object> list = new ArrayList<>();
        reader.beginArray();
        while (reader.hasNext()) {
          list.add(read(reader, at.in(list.size())));
        }
        reader.endArray();
        return list;
      }
      case BEGIN_OBJECT -> {
        return readMap(reader, at);
      }
      default -> throw at.refuse("is stored as text that is not JSON: " + token);
    }
  }

  private static Map<String, Object> readMap(JsonReader reader, StatePath at) throws IOException {
    Map<String, Object> map = new LinkedHashMap<>();
    reader.beginObject();
    while (reader.hasNext()) {
      String key = checked(reader.nextName(), at);
      if (map.containsKey(key)) {
        throw at.in(key).refuse("stands twice in its object");
      }
      map.put(key, read(reader, at.in(key)));
    }
    reader.endObject();
    return map;
  }

  private static Number number(String text, StatePath at) {
    if (text.matches("-?[0-9]+")) {
      BigInteger integer = new BigInteger(text);
      boolean fits = integer.compareTo(LEAST) >= 0 && integer.compareTo(GREATEST) <= 0;
      return fits ? (Number) integer.longValue() : integer;
    }
    double value = Double.parseDouble(text);
    if (Double.isInfinite(value)) {
      throw at.refuse("is stored as " + brief(text) + ", which is beyond the range of a double");
    }
    int digits =
        text.replaceAll("[eE].*", "").replaceAll("[^0-9]", "").replaceAll("^0+", "").length();
    boolean exact = digits <= EXACT_DIGITS && (value != 0 || digits == 0);
    if (!exact && !isExactly(value, text)) {
      throw at.refuse("is stored as " + brief(text) + ", which has more digits than a double");
    }
    return value;
  }

  /** Whether a number is what Java prints for a double. */
  private static boolean isExactly(double value, String text) {
    try {
      return new BigDecimal(text).compareTo(new BigDecimal(Double.toString(value))) == 0;
    } catch (ArithmeticException | NumberFormatException error) {
      return false; // an exponent beyond all bounds
    }
  }

  private static String brief(String text) {
    return text.length() <= 40 ? text : text.substring(0, 40) + "...";
  }
}
