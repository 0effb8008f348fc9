"""The Java client as a Maven project outside the repository gets it: from its jars, with each supported protobuf."""

import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.polyglot.conftest import BY_NAME
from tests.polyglot.languages import Executables, run_command
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

CLIENT = ROOT / "client" / "java"
VERSION = re.findall("<version>(.*)</version>", (CLIENT / "pom.xml").read_text())[0]
PROTOBUFS = ("4.33.0", "4.36.2")
"""The oldest version of protobuf-java that the client supports, and the newest one."""

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>example</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency>
      <groupId>dev.lockstitch</groupId>
      <artifactId>lockstitch-client</artifactId>
      <version>{version}</version>
    </dependency>
    <dependency>
      <groupId>com.google.protobuf</groupId>
      <artifactId>protobuf-java</artifactId>
      <version>{protobuf}</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-compiler-plugin</artifactId>
        <version>3.14.1</version>
      </plugin>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-resources-plugin</artifactId>
        <version>3.3.1</version>
      </plugin>
    </plugins>
  </build>
</project>
"""
MAIN = """\
import com.google.protobuf.RuntimeVersion;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.StateThread;
import java.time.Duration;
import java.util.Map;

class Main {
  public static void main(String[] arguments) {
    try (LockstitchClient client = LockstitchClient.connect(arguments[0])) {
      client.awaitReady(Duration.ofMinutes(1)); // a JVM loads many classes first, and the machine may be busy
      StateThread thread = client.thread("packaged");
      thread.load();
      thread.save(Map.of("size", "XL"));
      System.out.println(client.thread("packaged").load().orElseThrow());
      System.out.println(RuntimeVersion.MAJOR + "." + RuntimeVersion.MINOR + "." + RuntimeVersion.PATCH);
    }
  }
}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(executables: Executables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A local Maven repository of its own with the client, installed from a copy of its sources."""
    executables.command(BY_NAME["java"])  # has downloaded most already; nothing else may while they are copied
    directory = tmp_path_factory.mktemp("java-package")
    repository = directory / "repository"
    known = Path.home() / ".m2" / "repository"
    if known.is_dir():  # downloads nothing again
        shutil.copytree(known, repository, symlinks=True, copy_function=_link)
    shutil.copytree(ROOT / "proto", directory / "copy" / "proto")
    shutil.copytree(CLIENT, directory / "copy" / "client" / "java", ignore=shutil.ignore_patterns("target"))
    shutil.copy(ROOT / "LICENSE", directory / "copy" / "LICENSE")
    _maven(repository, directory / "copy" / "client" / "java", "-DskipTests", "install")
    yield repository
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as server:
        yield server


def test_the_newest_supported_protobuf_is_the_one_that_the_client_asks_for() -> None:
    assert f"<protobuf.version>{PROTOBUFS[-1]}</protobuf.version>" in (CLIENT / "pom.xml").read_text()


@pytest.mark.parametrize("protobuf", PROTOBUFS)
def test_a_project_outside_runs_with_its_own_protobuf(
    repository: Path, server: LockstitchServer, tmp_path: Path, protobuf: str
) -> None:
    (tmp_path / "pom.xml").write_text(POM.format(version=VERSION, protobuf=protobuf))
    source = tmp_path / "src" / "main" / "java" / "Main.java"
    source.parent.mkdir(parents=True)
    source.write_text(MAIN)
    _maven(repository, tmp_path, "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
    classpath = os.pathsep.join(("target/classes", (tmp_path / "classpath").read_text().strip()))
    printed = run_command(("java", "-cp", classpath, "Main", server.target), tmp_path).splitlines()
    assert printed == ["{size=XL}", protobuf]


def test_the_jars_have_what_maven_central_asks_for(repository: Path) -> None:
    installed = repository / "dev" / "lockstitch" / "lockstitch-client" / VERSION
    expected = {
        "": "dev/lockstitch/LockstitchClient.class",
        "-sources": "dev/lockstitch/LockstitchClient.java",
        "-javadoc": "dev/lockstitch/LockstitchClient.html",
    }
    for kind, entry in expected.items():
        with zipfile.ZipFile(installed / f"lockstitch-client-{VERSION}{kind}.jar") as jar:
            assert entry in jar.namelist()
            if kind != "-javadoc":
                assert jar.read("META-INF/LICENSE") == (ROOT / "LICENSE").read_bytes()
    text = (installed / f"lockstitch-client-{VERSION}.pom").read_text()
    project = ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", text, count=1))
    for path in ("name", "description", "url", "licenses/license/url", "developers/developer/name", "scm/url"):
        assert project.findtext(path), path


def _maven(repository: Path, directory: Path, *goals: str) -> None:
    command = ("mvn", "--batch-mode", "--quiet", f"-Dmaven.repo.local={repository}", "-Dspotless.check.skip", *goals)
    run_command(command, directory)


def _link(source: str, target: str) -> str:
    """Link a file, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
