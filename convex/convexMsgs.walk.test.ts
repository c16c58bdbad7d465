import { compareValues } from "convex/values";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openBackend } from "../tests/convex_host/memory";
import {
  allRows,
  ask,
  asRow,
  endArbitrary,
  endAt,
  inWindow,
  positionSession,
  rowArbitrary,
  seed,
  SESSIONS,
  sessionKey,
  sorted,
  timeKey,
  walkAll,
} from "../tests/convex_host/samples";

describe("walking by key equals a full scan", () => {
  const windowArbitrary = {
    rows: fc.array(rowArbitrary, { maxLength: 40 }),
    after: endArbitrary,
    until: endArbitrary,
    order: fc.constantFrom("asc", "desc"),
    limit: fc.integer({ min: 1, max: 7 }),
  };
  const oneSession = { ...windowArbitrary, session: fc.integer({ min: 1, max: SESSIONS.length - 1 }) };

  test("page gives every row of any window once and in order, with ties and session ids of every type", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(windowArbitrary), async ({ rows, limit, order, ...ends }) => {
        const backend = openBackend();
        await seed(backend, rows.map(asRow));
        const stored = await allRows(backend);
        const [after, until] = [endAt(stored, ends.after), endAt(stored, ends.until)];
        const walked = await walkAll(backend, "page", { after, until, order, limit });
        expect(walked).toEqual(inWindow(stored, sessionKey, after, until, order));
      }),
      { numRuns: 150 },
    );
  });

  test("page over one session gives that session's part of the window only", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(oneSession), async ({ session, rows, limit, order, ...ends }) => {
        const backend = openBackend();
        const pool = rows.map((row) => ({ ...row, session: row.session % 2 === 0 ? 17 : session }));
        await seed(backend, pool.map(asRow));
        const sessionId = SESSIONS[session] as any;
        const stored = (await allRows(backend)).filter((row) => compareValues(row.sessionId, sessionId) === 0);
        const [after, until] = [endAt(stored, ends.after), endAt(stored, ends.until)];
        const walked = await walkAll(backend, "page", { sessionId, after, until, order, limit });
        expect(walked).toEqual(inWindow(stored, sessionKey, after, until, order));
      }),
      { numRuns: 60 },
    );
  });

  test("recent gives every row of any window once, in time order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(windowArbitrary), async ({ rows, limit, order, ...ends }) => {
        const backend = openBackend();
        await seed(backend, rows.map(asRow));
        const stored = await allRows(backend);
        const [after, until] = [ends.after, ends.until].map((end) => {
          const position = endAt(stored, end);
          return position && { creationTime: position.creationTime, id: position.id };
        });
        const walked = await walkAll(backend, "recent", { after, until, order, limit });
        expect(walked).toEqual(inWindow(stored, timeKey, after, until, order));
      }),
      { numRuns: 60 },
    );
  });

  test("count adds up to the number of rows in any window", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(windowArbitrary), async ({ rows, limit, ...ends }) => {
        const backend = openBackend();
        await seed(backend, rows.map(asRow));
        const stored = await allRows(backend);
        const until = endAt(stored, ends.until);
        let [after, total] = [endAt(stored, ends.after), 0];
        const expected = inWindow(stored, sessionKey, after, until, "asc").length;
        for (let isDone = false; !isDone;) {
          const part = await ask(backend, "count", { after, until, limit });
          expect(part.n).toBeLessThanOrEqual(limit);
          total += part.n;
          ({ isDone, cursor: after } = part);
        }
        expect(total).toBe(expected);
      }),
      { numRuns: 60 },
    );
  });

  test("sessions gives every distinct session id once and in order, with the times of its first and last row", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(rowArbitrary, { maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        async (rows, limit) => {
          const backend = openBackend();
          await seed(backend, rows.map(asRow));
          const expected = new Map<string, any>();
          for (const row of sorted(await allRows(backend), sessionKey)) {
            const name = String(SESSIONS.findIndex((session) => compareValues(session as any, row.sessionId) === 0));
            const entry = expected.get(name) ?? { ...positionSession(row), first: row._creationTime };
            expected.set(name, { ...entry, last: row._creationTime });
          }
          const found: any[] = [];
          for (let next = {}, isDone = false; !isDone;) {
            const part = await ask(backend, "sessions", { ...next, limit, times: true });
            found.push(...part.sessions);
            isDone = part.isDone;
            if (part.cursor === null) expect(isDone).toBe(true);
            else next = "sessionId" in part.cursor ? { after: part.cursor.sessionId } : { afterMissing: true };
          }
          expect(found).toEqual([...expected.values()]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
