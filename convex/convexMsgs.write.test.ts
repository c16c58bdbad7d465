import { makeFunctionReference } from "convex/server";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Backend, insertRaw, openBackend } from "../tests/convex_host/memory";

const change = (backend: Backend, name: string, args: Record<string, any>) =>
  backend.mutation(makeFunctionReference<"mutation">(`convexMsgs:${name}`), args);

const append = (backend: Backend, ...batches: any[]) => change(backend, "append", { batches });

const refused = (code: string, details = {}) =>
  expect.objectContaining({ data: expect.objectContaining({ code, ...details }) });

const documentsOf = (sessionId: string, ...texts: string[]) => texts.map((text) => ({ sessionId, text }));

/** The rows of a session as a reader sees them. */
async function rowsOf(
  backend: Backend,
  sessionId: string,
  table = "messages",
  index = "bySessionId",
  field = "sessionId",
) {
  return (await backend.run((ctx) =>
    ctx.db
      .query(table)
      .withIndex(index as any, (query: any) => query.eq(field, sessionId))
      .collect(),
  )) as any[];
}

const textsOf = async (backend: Backend, sessionId: string) =>
  (await rowsOf(backend, sessionId)).map((row) => row.text);

const FUTURE = Date.now() + 3_600_000;

describe("append", () => {
  test("rows keep the order given, whole, with strictly rising times, and their ids come back in that order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string(), { maxLength: 60 }), async (texts) => {
        const backend = openBackend();
        const documents = texts.map((text, i) => ({ sessionId: "s", text, mine: { n: BigInt(i) } }));
        const { results } = await append(backend, { sessionId: "s", documents });
        const rows = await rowsOf(backend, "s");
        expect(results).toEqual([{ ids: rows.map((row) => row._id) }]);
        expect(rows.map(({ _id, _creationTime, ...own }) => own)).toEqual(documents);
        for (let i = 1; i < rows.length; i++) expect(rows[i]._creationTime).toBeGreaterThan(rows[i - 1]._creationTime);
      }),
      { numRuns: 40 },
    );
  });

  test("several sessions go in one call, each with its own result", async () => {
    const backend = openBackend();
    const { results } = await append(
      backend,
      { sessionId: "a", documents: documentsOf("a", "1", "2") },
      { sessionId: "b", documents: [] },
      { sessionId: "c", documents: documentsOf("c", "3") },
    );
    expect(results.map((result: any) => result.ids.length)).toEqual([2, 0, 1]);
    expect(await textsOf(backend, "a")).toEqual(["1", "2"]);
  });

  test("without expectLastId rows are added to whatever is there", async () => {
    const backend = openBackend();
    await append(backend, { sessionId: "s", documents: documentsOf("s", "1") });
    await append(backend, { sessionId: "s", documents: documentsOf("s", "2") });
    expect(await textsOf(backend, "s")).toEqual(["1", "2"]);
  });

  test("expectLastId null writes into an empty session only", async () => {
    const backend = openBackend();
    const batch = { sessionId: "s", documents: documentsOf("s", "1", "2"), expectLastId: null };
    const [{ ids }] = (await append(backend, batch)).results;
    expect((await append(backend, batch)).results).toEqual([{ moved: ids[1] }]);
    expect(await textsOf(backend, "s")).toEqual(["1", "2"]);
  });

  test("a call repeated with the last id it expects adds nothing the second time", async () => {
    const backend = openBackend();
    const [first] = (await append(backend, { sessionId: "s", documents: documentsOf("s", "1") })).results;
    const batch = { sessionId: "s", documents: documentsOf("s", "2"), expectLastId: first.ids[0] };
    const [second] = (await append(backend, batch)).results;
    expect((await append(backend, batch)).results).toEqual([{ moved: second.ids[0] }]);
    expect(await textsOf(backend, "s")).toEqual(["1", "2"]);
  });

  test("expecting a row in a session that is empty reports null as the last id", async () => {
    const backend = openBackend();
    const batch = { sessionId: "s", documents: documentsOf("s", "1"), expectLastId: "gone" };
    expect((await append(backend, batch)).results).toEqual([{ moved: null }]);
    expect(await textsOf(backend, "s")).toEqual([]);
  });

  test("a batch whose session moved writes nothing while the other batches go on", async () => {
    const backend = openBackend();
    const moved = { sessionId: "a", documents: documentsOf("a", "1"), expectLastId: "other" };
    const fine = { sessionId: "b", documents: documentsOf("b", "2"), expectLastId: null };
    const { results } = await append(backend, moved, fine);
    expect(results).toEqual([{ moved: null }, { ids: [expect.any(String)] }]);
    expect([await textsOf(backend, "a"), await textsOf(backend, "b")]).toEqual([[], ["2"]]);
  });

  test("the last row is the one with the greatest time and, among equals, the greatest id", async () => {
    const backend = openBackend();
    const ids = await insertRaw(
      backend,
      "messages",
      [7, 9, 9, 8].map((time) => ({ sessionId: "s", _creationTime: time })),
    );
    const batch = { sessionId: "s", documents: [], expectLastId: null };
    expect((await append(backend, batch)).results).toEqual([{ moved: ids[2] }]);
  });

  test("a tail dated in the future refuses the whole call, and nothing of it is written", async () => {
    const backend = openBackend();
    const [tail] = await insertRaw(backend, "messages", [{ sessionId: "s", _creationTime: FUTURE }]);
    const call = append(
      backend,
      { sessionId: "fine", documents: documentsOf("fine", "1") },
      { sessionId: "s", documents: documentsOf("s", "2"), expectLastId: tail },
    );
    await expect(call).rejects.toEqual(refused("tail_in_future", { sessionId: "s", lastTime: FUTURE }));
    expect(await textsOf(backend, "fine")).toEqual([]);
    expect(await rowsOf(backend, "s")).toHaveLength(1);
  });

  test("a tail in the future does not matter when there is nothing to add, or to other sessions", async () => {
    const backend = openBackend();
    await insertRaw(backend, "messages", [{ sessionId: "s", _creationTime: FUTURE }]);
    const { results } = await append(
      backend,
      { sessionId: "s", documents: [] },
      { sessionId: "t", documents: documentsOf("t", "1") },
    );
    expect(results).toEqual([{ ids: [] }, { ids: [expect.any(String)] }]);
  });

  test.each([
    ["system_field", [{ sessionId: "s", documents: [{ sessionId: "s", _id: "x" }] }]],
    ["system_field", [{ sessionId: "s", documents: [{ sessionId: "s", _creationTime: 1 }] }]],
    ["wrong_session", [{ sessionId: "s", documents: documentsOf("other", "1") }]],
    ["wrong_session", [{ sessionId: "s", documents: [{ text: "no session" }] }]],
    ["wrong_session", [{ sessionId: "s", documents: [null] }]],
    ["wrong_session", [{ sessionId: "5", documents: [{ sessionId: 5 }] }]],
    [
      "double_session",
      [
        { sessionId: "s", documents: [] },
        { sessionId: "s", documents: [] },
      ],
    ],
  ])("%s refuses the whole call, good batches before it included", async (code, bad) => {
    const backend = openBackend();
    const call = append(backend, { sessionId: "good", documents: documentsOf("good", "1") }, ...bad);
    await expect(call).rejects.toEqual(refused(code));
    expect(await textsOf(backend, "good")).toEqual([]);
  });

  test("a document that Convex itself refuses takes the whole call with it", async () => {
    const backend = openBackend();
    const document = { sessionId: "b", deep: { [`$ref`]: 1 } };
    const call = append(
      backend,
      { sessionId: "a", documents: documentsOf("a", "1") },
      { sessionId: "b", documents: [document] },
    );
    await expect(call).rejects.toThrow();
    expect(await textsOf(backend, "a")).toEqual([]);
  });
});

describe("erase", () => {
  const seed = (backend: Backend, rows: number, sessionId = "s") =>
    insertRaw(
      backend,
      "messages",
      Array.from({ length: rows }, (_, i) => ({ sessionId, text: String(i), _creationTime: 1 + Math.floor(i / 2) })),
    );

  test("repeated until done it removes exactly the rows up to throughId, oldest first, and no other session's", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30 }),
        fc.nat(29),
        fc.integer({ min: 1, max: 8 }),
        async (n, at, limit) => {
          const backend = openBackend();
          const ids = await seed(backend, n);
          await seed(backend, 3, "other");
          const last = Math.min(at, n - 1);
          for (let isDone = false, erased = 0; !isDone;) {
            const part = await change(backend, "erase", { sessionId: "s", throughId: ids[last], limit });
            erased += part.erased;
            isDone = part.isDone;
            const left = (await rowsOf(backend, "s")).map((row) => row._id);
            expect(left).toEqual(ids.slice(erased));
            expect(isDone).toBe(erased === last + 1);
          }
          expect(await rowsOf(backend, "other")).toHaveLength(3);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("without throughId it empties the session; stopped by its limit it is not done", async () => {
    const backend = openBackend();
    await seed(backend, 5);
    const erase = () => change(backend, "erase", { sessionId: "s", limit: 5 });
    expect(await erase()).toEqual({ erased: 5, isDone: false });
    expect(await erase()).toEqual({ erased: 0, isDone: true });
    expect(await rowsOf(backend, "s")).toEqual([]);
  });

  test("rows added behind throughId in the meantime stay", async () => {
    const backend = openBackend();
    const ids = await seed(backend, 2);
    await append(backend, { sessionId: "s", documents: documentsOf("s", "new") });
    await change(backend, "erase", { sessionId: "s", throughId: ids[1], limit: 99 });
    expect(await textsOf(backend, "s")).toEqual(["new"]);
  });

  test("a throughId that is gone, or never was an id, means that all before it is gone too", async () => {
    const backend = openBackend();
    const ids = await seed(backend, 2);
    const done = { erased: 0, isDone: true };
    await backend.run((ctx) => ctx.db.delete(ids[0] as any));
    for (const throughId of [ids[0], "no id", ""])
      expect(await change(backend, "erase", { sessionId: "s", throughId, limit: 9 })).toEqual(done);
    expect(await rowsOf(backend, "s")).toHaveLength(1);
  });

  test("a throughId of another session or table is refused as wrong_session, and nothing goes", async () => {
    const backend = openBackend();
    await seed(backend, 2);
    const [elsewhere] = await seed(backend, 1, "other");
    const [foreign] = await insertRaw(backend, "notes", [{ sessionId: "s" }]);
    for (const throughId of [elsewhere, foreign])
      await expect(change(backend, "erase", { sessionId: "s", throughId, limit: 9 })).rejects.toEqual(
        refused("wrong_session"),
      );
    expect(await rowsOf(backend, "s")).toHaveLength(2);
  });

  test("maxBytes bounds one call, and at least one row goes", async () => {
    const backend = openBackend();
    await seed(backend, 4);
    expect(await change(backend, "erase", { sessionId: "s", limit: 9, maxBytes: 1 })).toEqual({
      erased: 1,
      isDone: false,
    });
    expect(await change(backend, "erase", { sessionId: "s", limit: 9, maxBytes: 250 })).toMatchObject({ erased: 2 });
  });

  test("the largest call that may be asked for stays within Convex's limits", async () => {
    const backend = openBackend();
    for (let i = 0; i < 10; i++)
      await insertRaw(backend, "messages", [{ sessionId: "s", text: "x".repeat(2 ** 20 - 200) }]);
    const throughId = (await rowsOf(backend, "s"))[9]._id;
    const largest = { limit: 4096, maxBytes: 8 * 2 ** 20 };
    expect(await change(backend, "erase", { sessionId: "s", throughId, ...largest })).toEqual({
      erased: 7,
      isDone: false,
    });
    await insertRaw(
      backend,
      "messages",
      Array.from({ length: 4096 }, () => ({ sessionId: "t" })),
    );
    expect(await change(backend, "erase", { sessionId: "t", ...largest })).toEqual({ erased: 4000, isDone: false });
  });

  test.each([
    ["bad_limit", { limit: 0 }],
    ["bad_limit", { limit: 4097 }],
    ["bad_max_bytes", { limit: 1, maxBytes: 0 }],
  ])("%s refuses a budget out of range", async (code, args) => {
    const backend = openBackend();
    await expect(change(backend, "erase", { sessionId: "s", ...args })).rejects.toEqual(refused(code));
  });
});

test("append and erase work on a table, index and session field of other names", async () => {
  const names = { table: "chats", index: "byUser", sessionField: "userId" };
  const backend = openBackend(names);
  const batches = [
    {
      sessionId: "u",
      documents: [
        { userId: "u", text: "1" },
        { userId: "u", text: "2" },
      ],
    },
  ];
  const { results } = await change(backend, "append", { ...names, batches });
  const throughId = results[0].ids[0];
  await change(backend, "erase", { ...names, sessionId: "u", throughId, limit: 9 });
  expect((await rowsOf(backend, "u", "chats", "byUser", "userId")).map((row) => row.text)).toEqual(["2"]);
});
