package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every snippet of the guide and of the README compiles and runs, and prints what its comments say.
 */
@Timeout(300)
class GuideTest {
  private static final Pattern SNIPPET =
      Pattern.compile("^```java\n(.*?)^```$", Pattern.MULTILINE | Pattern.DOTALL);
  private static final Pattern EXPECTED =
      Pattern.compile("^ *System.out.println\\(.*\\); // (.*)$", Pattern.MULTILINE);

  @TempDir Path directory;

  @Test
  void theGuideRuns() throws Exception {
    String text = Files.readString(Server.ROOT.resolve("docs/clients/java.md"));
    List<String> printed = run(text);
    for (MatchResult expected : EXPECTED.matcher(text).results().toList()) {
      assertTrue(printed.contains(expected.group(1)), expected.group(1) + "\n" + printed);
    }
  }

  @Test
  void theReadmeRuns() throws Exception {
    run(Files.readString(Path.of("README.md")));
  }

  /** The lines that the snippets print, put together as one program. */
  private List<String> run(String text) throws IOException, InterruptedException {
    String all =
        SNIPPET
            .matcher(text)
            .results()
            .map(found -> found.group(1))
            .collect(Collectors.joining("\n"));
    String imports =
        all.lines().filter(line -> line.startsWith("import ")).collect(Collectors.joining("\n"));
    String body =
        all.lines().filter(line -> !line.startsWith("import ")).collect(Collectors.joining("\n"));
    try (Server server = Server.started()) {
      String program =
          imports
              + "\nclass Guide { public static void main(String[] args) throws Exception {\n"
              + body
              + "\n} }\n";
      Path source = directory.resolve("Guide.java");
      String patient =
          "LockstitchClient.builder(\"127.0.0.1:50051\")"
              + ".connectTimeout(java.time.Duration.ofMinutes(1)).build()"; // the machine may be
      // busy
      program = program.replace("LockstitchClient.connect(\"127.0.0.1:50051\")", patient);
      Files.writeString(source, program.replace("127.0.0.1:50051", server.target));
      String path = System.getProperty("java.class.path");
      var compiler = ToolProvider.getSystemJavaCompiler();
      assertEquals(
          0,
          compiler.run(
              null, null, null, "-cp", path, "-d", directory.toString(), source.toString()));
      Path java = Path.of(System.getProperty("java.home"), "bin", "java");
      var command = List.of(java.toString(), "-cp", path + ":" + directory, "Guide");
      Path output = directory.resolve("output");
      var process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(output.toFile())
              .start();
      int status = process.waitFor();
      assertEquals(0, status, Files.readString(output));
      return Files.readAllLines(output);
    }
  }
}
