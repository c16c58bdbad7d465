import { makeFunctionReference } from "convex/server";
import { expect, test } from "vitest";
import { type Backend, insertRaw, openBackend } from "../../tests/convex_host/memory";

const KEYED = { table: "messages", index: "bySessionId", keyField: "sessionId", key: "a" };

const read = (backend: Backend, name: string, args: object) =>
  backend.query(makeFunctionReference<"query">(`langchain/db:${name}`), args as any);

const change = (backend: Backend, name: string, args: object) =>
  backend.mutation(makeFunctionReference<"mutation">(`langchain/db:${name}`), args as any);

test("insert stores the document as given and, as LangChain's does, returns null", async () => {
  const backend = openBackend();
  const document = { sessionId: "a", message: { type: "human", data: { content: "hi" } } };
  expect(await change(backend, "insert", { table: "messages", document })).toBeNull();
  expect(await read(backend, "lookup", KEYED)).toEqual([expect.objectContaining(document)]);
});

test("lookup gives the whole rows of one key in the order they were written", async () => {
  const backend = openBackend();
  for (const [sessionId, n] of [
    ["a", 1],
    ["b", 2],
    ["a", 3],
  ] as const)
    await change(backend, "insert", { table: "messages", document: { sessionId, n } });
  expect((await read(backend, "lookup", KEYED)).map((row: any) => row.n)).toEqual([1, 3]);
});

test("get gives one row by id, or null once it is gone", async () => {
  const backend = openBackend();
  const [id] = await insertRaw(backend, "messages", [{ sessionId: "a" }]);
  expect(await read(backend, "get", { id })).toMatchObject({ _id: id, sessionId: "a" });
  await change(backend, "deleteMany", KEYED);
  expect(await read(backend, "get", { id })).toBeNull();
});

test("upsert inserts the first time, replaces the second, and throws when two rows match", async () => {
  const backend = openBackend();
  const upsert = (n: number) => change(backend, "upsert", { ...KEYED, document: { sessionId: "a", n } });
  expect(await upsert(1)).toBeNull();
  expect(await upsert(2)).toBeNull();
  expect((await read(backend, "lookup", KEYED)).map((row: any) => row.n)).toEqual([2]);
  await insertRaw(backend, "messages", [{ sessionId: "a" }]);
  await expect(upsert(3)).rejects.toThrow("unique");
});

test("deleteMany removes the rows of one key and no other", async () => {
  const backend = openBackend();
  await insertRaw(backend, "messages", [{ sessionId: "a" }, { sessionId: "b" }, { sessionId: "a" }]);
  expect(await change(backend, "deleteMany", KEYED)).toBeNull();
  expect(await read(backend, "lookup", KEYED)).toEqual([]);
  expect(await read(backend, "lookup", { ...KEYED, key: "b" })).toHaveLength(1);
});

test("a key that is not a string is refused, as by LangChain's", async () => {
  await expect(read(openBackend(), "lookup", { ...KEYED, key: 5 })).rejects.toThrow("string");
});
