import { getDocumentSize } from "convex/values";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { insertRaw, openBackend } from "../tests/convex_host/memory";
import {
  allRows,
  ask,
  asRow,
  compareKeys,
  positionSession,
  refused,
  rowArbitrary,
  seed,
  sessionKey,
  sorted,
  type Page,
  type Position,
} from "../tests/convex_host/samples";

describe("the end of a scan and its cursor", () => {
  test("a page stopped by its limit is not done even if nothing is left, and the next one is empty and done", async () => {
    const backend = openBackend();
    await seed(backend, [
      { sessionId: "a", _creationTime: 1 },
      { sessionId: "b", _creationTime: 2 },
    ]);
    const full: Page = await ask(backend, "page", { limit: 2 });
    expect([full.rows.length, full.isDone]).toEqual([2, false]);
    const empty: Page = await ask(backend, "page", { limit: 2, after: full.cursor });
    expect(empty).toEqual({ cursor: full.cursor, isDone: true, rows: [] });
  });

  test("the cursor of an empty scan without a start is null", async () => {
    const backend = openBackend();
    const nothing = { cursor: null, isDone: true };
    expect(await ask(backend, "page", { limit: 1 })).toEqual({ ...nothing, rows: [] });
    expect(await ask(backend, "recent", { limit: 1 })).toEqual({ ...nothing, rows: [] });
    expect(await ask(backend, "count", {})).toEqual({ ...nothing, n: 0 });
    expect(await ask(backend, "sessions", { limit: 1 })).toEqual({ ...nothing, sessions: [] });
    expect(await ask(backend, "bounds", { n: 3 })).toEqual({ bounds: [] });
  });

  test("the cursor of a row without the session field has no session id", async () => {
    const backend = openBackend();
    const [id] = await seed(backend, [{ _creationTime: 1 }]);
    const page: Page = await ask(backend, "page", { limit: 5 });
    expect(page.cursor).toStrictEqual({ creationTime: 1, id });
  });

  test("an empty id as position means from, or before, that very time", async () => {
    const backend = openBackend();
    await seed(
      backend,
      [1, 2, 2, 3].map((time) => ({ sessionId: "s", _creationTime: time })),
    );
    const at = { sessionId: "s", creationTime: 2, id: "" };
    const from: Page = await ask(backend, "page", { sessionId: "s", after: at, limit: 9 });
    expect(from.rows.map((row) => row._creationTime)).toEqual([2, 2, 3]);
    const before: Page = await ask(backend, "page", { sessionId: "s", until: at, limit: 9 });
    expect(before.rows.map((row) => row._creationTime)).toEqual([1]);
  });

  test("a session listed after null starts behind the rows whose session is null", async () => {
    const backend = openBackend();
    await seed(backend, [
      { _creationTime: 1 },
      { sessionId: null, _creationTime: 2 },
      { sessionId: "a", _creationTime: 3 },
    ]);
    const after = async (args: object) => (await ask(backend, "sessions", { ...args, limit: 9 })).sessions;
    expect(await after({})).toEqual([{}, { sessionId: null }, { sessionId: "a" }]);
    expect(await after({ afterMissing: true })).toEqual([{ sessionId: null }, { sessionId: "a" }]);
    expect(await after({ after: null })).toEqual([{ sessionId: "a" }]);
  });
});

/** Any value Convex can store. */
const valueArbitrary: fc.Arbitrary<any> = fc.letrec((self) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: "binary" }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array().map((bytes) => bytes.slice().buffer),
    fc.array(self("value"), { maxLength: 4 }),
    fc.dictionary(fc.stringMatching(/^[a-z_]{1,9}$/), self("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

describe("the budget", () => {
  test("a page holds as many rows as fit by Convex's own document size, and at least one", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(valueArbitrary, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 1500 }),
        async (contents, maxBytes) => {
          const backend = openBackend();
          await seed(
            backend,
            contents.map((content, i) => ({ sessionId: "s", message: { content }, _creationTime: i + 1 })),
          );
          const stored = sorted(await allRows(backend), sessionKey);
          let [fit, bytes] = [0, 0];
          for (const row of stored) {
            bytes += getDocumentSize(row);
            if (fit > 0 && bytes > maxBytes) break;
            fit += 1;
          }
          const page: Page = await ask(backend, "page", { limit: 4096, maxBytes });
          expect([page.rows.length, page.isDone]).toEqual([fit, fit === stored.length]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("without maxBytes a page stops at 4 MiB and a count at 8 MiB", async () => {
    const backend = openBackend();
    const row = { sessionId: "s", text: "x".repeat(2 ** 20 - 200) };
    for (let i = 0; i < 10; i++) await seed(backend, [row]);
    const page: Page = await ask(backend, "page", { limit: 100 });
    expect([page.rows.length, page.isDone]).toEqual([4, false]);
    expect(await ask(backend, "count", {})).toMatchObject({ n: 8, isDone: false });
    const large: Page = await ask(backend, "page", { limit: 100, maxBytes: 8 * 2 ** 20 });
    expect([large.rows.length, large.isDone]).toEqual([8, false]);
  });

  test("a first row larger than maxBytes is given all the same, alone", async () => {
    const backend = openBackend();
    await seed(
      backend,
      [1, 2].map((time) => ({ sessionId: "s", text: "x".repeat(5000), _creationTime: time })),
    );
    const page: Page = await ask(backend, "page", { limit: 9, maxBytes: 1 });
    expect([page.rows.length, page.isDone]).toEqual([1, false]);
  });

  test("listing sessions, and probing, stop in time to stay within Convex's read limit when rows are large", async () => {
    const backend = openBackend();
    for (let i = 0; i < 20; i++) await seed(backend, [{ sessionId: `s${i}`, text: "x".repeat(2 ** 20 - 200) }]);
    const part = await ask(backend, "sessions", { limit: 1000, times: true });
    expect(part.isDone).toBe(false);
    expect(part.sessions.length).toBeGreaterThan(0);
    expect((await ask(backend, "bounds", { n: 1000 })).bounds.length).toBeGreaterThan(0);
  });

  test("1,000 sessions with times, and 1,000 probes, are within Convex's limit of index ranges", async () => {
    const backend = openBackend();
    await seed(
      backend,
      Array.from({ length: 1001 }, (_, i) => ({ sessionId: `s${i}` })),
    );
    const part = await ask(backend, "sessions", { limit: 1000, times: true });
    expect([part.sessions.length, part.isDone]).toEqual([1000, false]);
    expect((await ask(backend, "bounds", { n: 1000 })).bounds.length).toBeLessThanOrEqual(1000);
  }, 120_000);
});

describe("bounds", () => {
  test("bounds are positions of stored rows, distinct, in session order, at most n", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(rowArbitrary, { maxLength: 40 }), fc.integer({ min: 1, max: 60 }), async (rows, n) => {
        const backend = openBackend();
        await seed(backend, rows.map(asRow));
        const stored = (await allRows(backend)).map((row) => ({
          ...positionSession(row),
          creationTime: row._creationTime,
          id: row._id,
        }));
        const { bounds } = await ask(backend, "bounds", { n });
        expect(bounds.length).toBeLessThanOrEqual(n);
        if (rows.length > 0) expect(bounds.length).toBeGreaterThan(0);
        for (const bound of bounds) expect(stored).toContainEqual(bound);
        for (let i = 1; i < bounds.length; i++)
          expect(compareKeys(sessionKey(bounds[i - 1]), sessionKey(bounds[i]))).toBeLessThan(0);
      }),
      { numRuns: 60 },
    );
  });

  test("bounds come from all over the table", async () => {
    const backend = openBackend();
    await seed(
      backend,
      Array.from({ length: 200 }, (_, i) => ({ sessionId: "s", _creationTime: i + 1 })),
    );
    const { bounds } = await ask(backend, "bounds", { n: 100 });
    const quarters = new Set(bounds.map((bound: Position) => Math.floor((bound.creationTime - 1) / 50)));
    expect(quarters.size).toBe(4);
  });
});

describe("refusals", () => {
  const limited = ["page", "recent", "count"];

  test.each([0, -1, 1.5, 4097, NaN])("a limit of %s is refused as bad_limit", async (limit) => {
    const backend = openBackend();
    for (const name of limited) await expect(ask(backend, name, { limit })).rejects.toEqual(refused("bad_limit"));
  });

  test.each([0, 1001, 2.5])("%s sessions or probes are refused as bad_limit", async (limit) => {
    const backend = openBackend();
    await expect(ask(backend, "sessions", { limit })).rejects.toEqual(refused("bad_limit"));
    await expect(ask(backend, "bounds", { n: limit })).rejects.toEqual(refused("bad_limit"));
  });

  test.each([0, -5, 8 * 2 ** 20 + 1, NaN])("a maxBytes of %s is refused as bad_max_bytes", async (maxBytes) => {
    const backend = openBackend();
    for (const name of limited)
      await expect(ask(backend, name, { limit: 1, maxBytes })).rejects.toEqual(refused("bad_max_bytes"));
  });

  test.each(["after", "until"])("a position of another session in %s is refused as bad_position", async (end) => {
    const backend = openBackend();
    const position = { creationTime: 1, id: "" };
    for (const name of ["page", "count"])
      for (const sessionId of ["b", undefined, null])
        await expect(
          ask(backend, name, { sessionId: "a", limit: 1, [end]: { sessionId, ...position } }),
        ).rejects.toEqual(refused("bad_position"));
  });
});

test("every reading function works on a table, index and session field of other names", async () => {
  const names = { table: "chats", index: "byUser", sessionField: "userId" };
  const backend = openBackend(names);
  const times = [1, 2, 3];
  await insertRaw(
    backend,
    "chats",
    times.map((time) => ({ userId: time === 3 ? "b" : "a", _creationTime: time })),
  );
  const asked = (name: string, args: object) => ask(backend, name, { ...names, ...args });
  const timesOf = (page: Page) => page.rows.map((row) => row._creationTime);
  const page: Page = await asked("page", { limit: 2 });
  expect(timesOf(page)).toEqual([1, 2]);
  expect(page.cursor.sessionId).toBe("a");
  expect(timesOf(await asked("page", { limit: 2, after: page.cursor }))).toEqual([3]);
  expect(timesOf(await asked("page", { limit: 9, sessionId: "b" }))).toEqual([3]);
  expect(timesOf(await asked("recent", { limit: 9, order: "desc" }))).toEqual([3, 2, 1]);
  expect((await asked("count", {})).n).toBe(3);
  expect((await asked("sessions", { limit: 9 })).sessions).toEqual([{ sessionId: "a" }, { sessionId: "b" }]);
  expect((await asked("bounds", { n: 50 })).bounds.map((bound: Position) => bound.sessionId)).toContain("a");
});

test("info names the tool and the version of the contract", async () => {
  expect(await ask(openBackend(), "info", {})).toEqual({ name: "convex-msgs", version: 1 });
});
