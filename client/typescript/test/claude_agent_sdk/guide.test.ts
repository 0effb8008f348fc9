/** The snippet of the page compiles with the SDK's types. It does not run here: it asks Claude. */

import { join } from "node:path";
import { test } from "node:test";
import { PACKAGE, ROOT } from "../server.js";
import { compile, page } from "../snippets.js";

test("the page of the Claude Agent SDK compiles", { timeout: 300_000 }, async () => {
  const [, source] = await page(join(ROOT, "docs/claude-agent-sdk.md"));
  // Inside the directory that has the SDK.
  await compile(join(PACKAGE, "build/test/claude_agent_sdk/guide"), source);
});
