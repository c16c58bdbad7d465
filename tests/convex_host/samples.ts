/** Rows, windows and what a full scan finds in them: the yardstick for the functions that read. */
import { makeFunctionReference } from "convex/server";
import { compareValues } from "convex/values";
import fc from "fast-check";
import { expect } from "vitest";
import { type Backend, insertRaw, type RawRow } from "./memory";

export type Position = { sessionId?: any; creationTime: number; id: string };
export type Page = { cursor: any; isDone: boolean; rows: any[] };

export const ask = (backend: Backend, name: string, args: Record<string, any>) =>
  backend.query(makeFunctionReference<"query">(`convexMsgs:${name}`), args);

export const refused = (code: string) => expect.objectContaining({ data: expect.objectContaining({ code }) });

export const positionOf = (row: any): Position => ({
  sessionId: row.sessionId,
  creationTime: row._creationTime,
  id: row._id,
});
export const sessionKey = (position: Position) => [position.sessionId, position.creationTime, position.id];
export const timeKey = (position: Position) => [position.creationTime, position.id];

export type KeyOf = (position: Position) => any[];

/** Convex's own comparison, field by field. */
export function compareKeys(a: any[], b: any[]) {
  return a.map((value, i) => compareValues(value, b[i])).find((difference) => difference !== 0) ?? 0;
}

export function sorted(rows: any[], keyOf: KeyOf) {
  return [...rows].sort((a, b) => compareKeys(keyOf(positionOf(a)), keyOf(positionOf(b))));
}

export async function allRows(backend: Backend): Promise<any[]> {
  return await backend.run((ctx) => ctx.db.query("messages").collect());
}

export async function walkAll(backend: Backend, name: string, args: Record<string, any>) {
  const rows: any[] = [];
  for (let after = args.after ?? null; ;) {
    const page: Page = await ask(backend, name, { ...args, after });
    rows.push(...page.rows);
    if (page.isDone) return rows;
    after = page.cursor;
  }
}

export const SESSIONS = [
  undefined,
  null,
  -3n,
  5n,
  -0,
  0,
  1.5,
  NaN,
  -Infinity,
  false,
  true,
  "",
  "a",
  "ab",
  "é",
  "\u{ffff}",
  "\u{10000}",
  "\u{1f600}",
  "\u{1f600}x",
  new Uint8Array([1, 255]).buffer,
  ["a", null],
  [],
  { b: 1, a: "x" },
  { a: "x" },
];

export const rowArbitrary = fc.record({ session: fc.nat(SESSIONS.length - 1), time: fc.integer({ min: 1, max: 4 }) });

export const asRow = ({ session, time }: { session: number; time: number }): RawRow => ({
  ...(SESSIONS[session] === undefined ? {} : { sessionId: SESSIONS[session] }),
  _creationTime: time,
});

/** Ends of a window: at a row, before all ids of a row's time, or none. */
export const endArbitrary = fc.option(fc.record({ row: fc.nat(1000), id: fc.constantFrom("own", "") }));

export function endAt(rows: any[], end: { row: number; id: string } | null): Position | null {
  if (end === null || rows.length === 0) return null;
  const position = positionOf(rows[end.row % rows.length]);
  return end.id === "" ? { ...position, id: "" } : position;
}

export function inWindow(rows: any[], keyOf: KeyOf, after: Position | null, until: Position | null, order: string) {
  const [low, high] = order === "desc" ? [until, after] : [after, until];
  const inside = sorted(rows, keyOf).filter(
    (row) =>
      (low === null || compareKeys(keyOf(positionOf(row)), keyOf(low)) > 0) &&
      (high === null || compareKeys(keyOf(positionOf(row)), keyOf(high)) < 0),
  );
  return order === "desc" ? inside.reverse() : inside;
}

export const positionSession = (row: any) => ("sessionId" in row ? { sessionId: row.sessionId } : {});
export const seed = (backend: Backend, rows: RawRow[]) => insertRaw(backend, "messages", rows);
