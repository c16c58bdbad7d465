import type { Server } from "node:http";
import { makeFunctionReference } from "convex/server";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Backend, documentedSchema, openBackend } from "../tests/convex_host/memory";
import { inPlaceOfOpenAI } from "../tests/convex_host/openai";
import shippedSchema from "./schema";

const ANSWERS = ["Hello Jim! It's nice to meet you.", "You just said your name was Jim."];
const HISTORY = [
  "human: Hi! I'm Jim.",
  `ai: ${ANSWERS[0]}`,
  "human: What did I just say my name was?",
  `ai: ${ANSWERS[1]}`,
];

let model: Server;
beforeAll(async () => void (model = await inPlaceOfOpenAI()));
afterAll(() => void model.close());

const act = (backend: Backend, name: string, sessionId: string) =>
  backend.action(makeFunctionReference<"action">(`ask:${name}`), { sessionId });

const stored = async (backend: Backend, key: string) =>
  (await backend.query(makeFunctionReference<"query">("langchain/db:lookup"), {
    table: "messages",
    index: "bySessionId",
    keyField: "sessionId",
    key,
  })) as any[];

test("the conversation of LangChain's documentation: the model is told the name, and the table holds four rows", async () => {
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  const backend = openBackend(shippedSchema);
  expect(await act(backend, "ask", "jim")).toEqual({ answers: ANSWERS, history: HISTORY });
  expect(print.mock.calls.flat()).toEqual([HISTORY.join("\n")]);
  const rows = await stored(backend, "jim");
  expect(rows.map(({ message }) => `${message.type}: ${message.data.content}`)).toEqual(HISTORY);
  expect(Object.keys(rows[1].message.data).sort()).toEqual([
    "additional_kwargs",
    "content",
    "invalid_tool_calls",
    "response_metadata",
    "tool_calls",
  ]);
  print.mockRestore();
});

test("a second conversation does not know the name of the first, and forgetting takes one of them only", async () => {
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  const backend = openBackend(shippedSchema);
  await act(backend, "ask", "jim");
  await act(backend, "ask", "jim");
  await act(backend, "ask", "other");
  expect(await stored(backend, "jim")).toHaveLength(8);
  await act(backend, "forget", "jim");
  expect(await stored(backend, "jim")).toEqual([]);
  expect(await stored(backend, "other")).toHaveLength(4);
  print.mockRestore();
});

test("under the documentation's schema of four fields the first turn fails and nothing is stored", async () => {
  const backend = openBackend(documentedSchema);
  await expect(act(backend, "ask", "jim")).rejects.toThrow("response_metadata");
  expect(await stored(backend, "jim")).toEqual([]);
});
