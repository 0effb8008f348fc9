/** A reporter of Node's test runner: the files whose tests failed, one a line. */

import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";

export default async function* failedFiles(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void, undefined> {
  const files = new Set<string>();
  for await (const { type, data } of events) {
    if (type === "test:fail") {
      files.add(relative(".", data.file ?? data.name)); // a file that ends before its time is a test of its own
    }
  }
  for (const file of files) {
    yield `${file}\n`;
  }
}
