import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { expect, test } from "vitest";
import { insertRaw, openBackend } from "../tests/convex_host/memory";
import schema from "./schema";
import { wideMessageData } from "./validators";

const closed = defineSchema({
  messages: defineTable({
    sessionId: v.string(),
    message: v.object({ type: v.string(), data: wideMessageData }),
  }).index("bySessionId", ["sessionId"]),
});

const store = (table: typeof schema | typeof closed, type: string, data: unknown) =>
  insertRaw(openBackend(table), "messages", [{ sessionId: "s", message: { type, data } }]);

/** Rows as LangChain's versions were seen to write them. */
const WRITTEN: [string, string, object][] = [
  ["core 0.1.45", "human", { content: "Hi! I'm Jim.", additional_kwargs: {} }],
  [
    "core 0.1.56",
    "ai",
    { content: "Hello", tool_calls: [], invalid_tool_calls: [], additional_kwargs: {}, response_metadata: {} },
  ],
  [
    "core 0.3.80, a tool call",
    "ai",
    {
      id: "chatcmpl-1",
      content: "",
      additional_kwargs: { tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }] },
      tool_calls: [{ id: "call_1", name: "f", args: {}, type: "tool_call" }],
      invalid_tool_calls: [],
      response_metadata: { tokenUsage: { promptTokens: 10 } },
      usage_metadata: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
    },
  ],
  ["core 0.3.80, its result", "tool", { content: "-3C", tool_call_id: "call_1", name: "f", status: "success" }],
  ["a streamed reply", "ai", { content: "x", tool_call_chunks: [], id: "run-1" }],
  ["blocks", "human", { content: [{ type: "text", text: "x" }, "y"] }],
  ["Python", "ai", { content: "x", type: "ai", name: null, id: null, example: false, usage_metadata: null }],
  ["core 1.4.0", "ai", { content: [], content_blocks: [{ type: "text", text: "x" }], type: "ai" }],
  ["a chat message", "generic", { content: "x", role: "critic", additional_kwargs: {} }],
];

test.each(WRITTEN)("both schemas take what LangChain writes: %s", async (_, type, data) => {
  expect(await store(schema, type, data)).toHaveLength(1);
  expect(await store(closed, type, data)).toHaveLength(1);
});

test("the shipped schema takes a field that LangChain may add tomorrow; the closed one refuses it", async () => {
  const data = { content: "x", invented_tomorrow: 1 };
  expect(await store(schema, "ai", data)).toHaveLength(1);
  await expect(store(closed, "ai", data)).rejects.toThrow("invented_tomorrow");
});

test.each([
  ["content missing", {}],
  ["content null", { content: null }],
  ["role not a string", { content: "x", role: 1 }],
])("the closed schema refuses a message with its %s", async (_, data) => {
  await expect(store(closed, "ai", data)).rejects.toThrow();
});

test("the shipped schema still wants a session id and a type", async () => {
  const insert = (row: object) => insertRaw(openBackend(schema), "messages", [row]);
  await expect(insert({ message: { type: "ai", data: {} } })).rejects.toThrow("sessionId");
  await expect(insert({ sessionId: "s", message: { data: {} } })).rejects.toThrow("type");
});
