package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.lockstitch.v1.Checkpoint;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.URI;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class FreshNamesTest {
  private static final String NAME = "lockstitch.invalid";

  @Test
  void everyLookupHasASpellingOfItsOwn() {
    assertEquals("db-1.example", FreshNames.spelling("DB-1.example", 0));
    assertEquals("Db-1.example", FreshNames.spelling("db-1.example", 1));
    assertEquals("DB-1.Example", FreshNames.spelling("db-1.example", 7));
    var spellings =
        LongStream.range(0, 512)
            .mapToObj(number -> FreshNames.spelling("db-1.example", number))
            .collect(Collectors.toSet());
    assertEquals(512, spellings.size());
  }

  @ParameterizedTest
  @CsvSource({
    "a, 15000",
    "db, 7500",
    "db-4, 7500",
    "cache, 937",
    "server, 500",
    "a.very.long.name.of.a.server, 500"
  })
  void spellingsLastAsLongAsTheCacheOfTheJvm(String host, long millis) {
    assertEquals(millis, FreshNames.intervalMillis(host));
  }

  @Test
  void aNameThatIsNotThereIsNamed() {
    try (LockstitchClient client = LockstitchClient.connect(NAME + ":50051")) {
      var error = assertThrows(NoConnectionException.class, () -> client.loadLatest("s"));
      assertTrue(error.getMessage().contains("name lookup failed: " + NAME), error.getMessage());
    }
  }

  @Test
  void proxiesOfTheJvmAreUsedForNames() throws IOException {
    ProxySelector before = ProxySelector.getDefault();
    try (ServerSocket proxy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      ProxySelector.setDefault(always(proxy.getLocalSocketAddress()));
      try (LockstitchClient client = LockstitchClient.connect(NAME + ":50051")) {
        client.saveAsync(Checkpoint.newBuilder().setSessionId("s").build(), SaveOptions.NONE);
        try (Socket caller = proxy.accept()) {
          var lines = new BufferedReader(new InputStreamReader(caller.getInputStream()));
          assertEquals("CONNECT " + NAME + ":50051 HTTP/1.1", lines.readLine());
        }
      }
    } finally {
      ProxySelector.setDefault(before);
    }
  }

  private static ProxySelector always(SocketAddress proxy) {
    return new ProxySelector() {
      @Override
      public List<Proxy> select(URI uri) {
        return List.of(new Proxy(Proxy.Type.HTTP, (InetSocketAddress) proxy));
      }

      @Override
      public void connectFailed(URI uri, SocketAddress address, IOException error) {}
    };
  }
}
