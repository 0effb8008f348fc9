package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TargetTest {
  @ParameterizedTest
  @CsvSource({
    "http://db.example, db.example:50051",
    "https://db.example:8443/path, db.example:8443",
    "https://user@db.example:8443, db.example:8443",
    "grpc://db.example:8443, db.example:8443",
    "xds:///db.example:8443, db.example:8443",
    "dns:///db.example, db.example:50051",
    "unix:, unix:/run/lockstitch.sock",
    "db example:1, 127.0.0.1:50051",
    "db.example, db.example:50051",
    "db.example:, db.example:50051",
    "db.example:99999, db.example:50051",
    ":50051, 127.0.0.1:50051",
    "::1, [::1]:50051",
    "'', 127.0.0.1:50051",
  })
  void addressesThatGrpcWouldCompleteAreRefused(String target, String instead) {
    var error =
        assertThrows(IllegalArgumentException.class, () -> LockstitchClient.builder(target));
    assertTrue(error.getMessage().contains('"' + instead + '"'), error.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "db.example:1",
        "[::1]:50051",
        "dns:///db.example:50051",
        "dns:db.example:50051",
        "unix:/run/lockstitch.sock",
        "unix:///run/lockstitch.sock",
        "http://db.example:1",
        "https://db.example:1/",
        "HTTPS://[::1]:1"
      })
  void addressesAreTaken(String target) {
    LockstitchClient.builder(target);
  }

  @ParameterizedTest
  @CsvSource({
    "127.0.0.1:1, true, false",
    "127.8.9.10:1, true, false",
    "[::1]:1, true, false",
    "LocalHost:1, true, true",
    "unix:/run/lockstitch.sock, true, false",
    "dns:///localhost:1, true, true",
    "db.example:1, false, true",
    "dns:///db.example:1, false, true",
    "dns://10.0.0.1/db.example:1, false, false",
    "127.example:1, false, true",
    "10.0.0.1:1, false, false",
  })
  void addressesAreLocalOrNames(String target, boolean local, boolean name) {
    assertEquals(local, Target.isLocal(target));
    assertEquals(name, Target.isName(target));
  }

  @ParameterizedTest
  @ValueSource(strings = {"db.example:1", "10.0.0.1:1", "dns:///db.example:1"})
  void aKeyDoesNotTravelInClearText(String target) {
    var keyed = LockstitchClient.builder(target).apiKey("secret");
    var error = assertThrows(IllegalArgumentException.class, keyed::build);
    assertTrue(error.getMessage().contains("in clear text"), error.getMessage());
    assertFalse(error.getMessage().contains("secret"), error.getMessage());
    var named = LockstitchClient.builder(target).metadata("Authorization", "Bearer secret");
    assertThrows(IllegalArgumentException.class, named::build);
    LockstitchClient.builder(target).build().close();
    LockstitchClient.builder(target).apiKey("secret").insecure(true).build().close();
    LockstitchClient.builder(target).apiKey("secret").tls(Tls.DEFAULT).build().close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/lockstitch.sock"})
  void aKeyTravelsOnThisMachine(String target) {
    LockstitchClient.builder(target).apiKey("secret").build().close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"secret\n", "secr\u00e9t", "secret\0"})
  void aKeyIsCheckedAndShownNowhere(String key) {
    var builder = LockstitchClient.builder("127.0.0.1:1");
    var error = assertThrows(IllegalArgumentException.class, () -> builder.apiKey(key));
    assertTrue(error.getMessage().contains("\"authorization\" cannot be sent"), error.getMessage());
    assertFalse(error.getMessage().contains("secr"), error.getMessage());
  }

  @Test
  void urlsSayWhetherThereIsTls() {
    var clear = LockstitchClient.builder("http://db.example:1");
    assertThrows(IllegalArgumentException.class, clear.tls(Tls.DEFAULT)::build);
    assertThrows(
        IllegalArgumentException.class,
        LockstitchClient.builder("http://db.example:1").apiKey("secret")::build);
    LockstitchClient.builder("https://db.example:1/").apiKey("secret").build().close();
    assertEquals(Tls.DEFAULT, LockstitchClient.builder("https://db.example:1").tls);
    assertEquals("db.example:1", LockstitchClient.builder("https://db.example:1/").target);
  }

  @Test
  void tlsOnAUnixSocketIsRefused() {
    var builder = LockstitchClient.builder("unix:/run/lockstitch.sock").tls(Tls.DEFAULT);
    var error = assertThrows(IllegalArgumentException.class, builder::build);
    assertTrue(error.getMessage().contains("has no TLS"), error.getMessage());
  }
}
