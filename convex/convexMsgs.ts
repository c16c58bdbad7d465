// convex-msgs functions, contract 1. Written by `convex-msgs init`; do not edit by hand, `init` replaces this file.
/* eslint-disable */
//
// They let the convex-msgs tool work on chat history in small transactions. All of them are *internal*, so only an
// admin or deploy key can call them: a public one would hand everybody's chats to anyone. Table, index and session
// field are arguments, as in LangChain's own accessors, so that this one file serves any naming; Convex's types know
// neither such names nor the `_id` that ends every index, hence the casts. Nothing newer than convex 1.13 is used.
import { type GenericDatabaseReader, internalQueryGeneric } from "convex/server";
import { ConvexError, type Value, v } from "convex/values";

const MAX_LIMIT = 4096;
const MAX_JUMPS = 1000;
const MAX_BYTES = 8 * 1024 * 1024;
const DEFAULT_BYTES = 4 * 1024 * 1024;

type Db = GenericDatabaseReader<any>;
type Row = Record<string, any> & { _id: string; _creationTime: number };
type Order = "asc" | "desc";
type Position = { sessionId?: any; creationTime: number; id: string };
/** Values of the fields of an index; `undefined` is a missing field, which sorts first. */
type Key = any[];
type Index = { table: string; index: string };
type Names = Index & { sessionField: string };
/** Rows with these values in the first fields and, in the next one, a value strictly between two. */
type Range = { equal?: [string, any][]; field?: string; above?: Key | null; below?: Key | null };
type Scan = Index & { ranges: Range[]; order: Order };
type End = Position | null | undefined;
type Window = { after?: End; until?: End; order?: Order | undefined };

const naming = { table: v.optional(v.string()), index: v.optional(v.string()), sessionField: v.optional(v.string()) };
const timeFields = { creationTime: v.number(), id: v.string() };
const timePosition = v.optional(v.union(v.object(timeFields), v.null()));
const sessionPosition = v.optional(v.union(v.object({ sessionId: v.optional(v.any()), ...timeFields }), v.null()));
const sessionWindow = { sessionId: v.optional(v.any()), after: sessionPosition, until: sessionPosition };
const order = v.optional(v.union(v.literal("asc"), v.literal("desc")));
const maxBytes = v.optional(v.number());

function namesOf(args: Partial<Names>): Names {
  const { table = "messages", index = "bySessionId", sessionField = "sessionId" } = args;
  return { table, index, sessionField };
}

function refusal(code: string, message: string, details: Record<string, Value> = {}) {
  return new ConvexError({ code, message, ...details });
}

function checkLimit(limit: number, max: number) {
  if (Number.isInteger(limit) && limit >= 1 && limit <= max) return limit;
  throw refusal("bad_limit", `The limit must be a whole number from 1 to ${max}.`, { limit });
}

function budgetOf({ limit, maxBytes = DEFAULT_BYTES }: { limit: number; maxBytes?: number | undefined }) {
  checkLimit(limit, MAX_LIMIT);
  if (maxBytes >= 1 && maxBytes <= MAX_BYTES) return { limit, maxBytes };
  throw refusal("bad_max_bytes", `maxBytes must be from 1 to ${MAX_BYTES}.`, { maxBytes });
}

// --- Convex's order and size of values (convex/values exports them, but only since versions after 1.13) ---

/** A value as nested lists that sort as Convex sorts: the rank of its type first, then its parts. */
function sortable(value: any): any[] {
  if (value === undefined) return [0];
  if (value === null) return [1];
  if (typeof value === "bigint") return [2, value];
  if (typeof value === "number") return [3, value];
  if (typeof value === "boolean") return [4, value];
  if (typeof value === "string") return [5, ...Array.from(value, (char) => char.codePointAt(0))]; // as UTF-8 sorts
  if (value instanceof ArrayBuffer) return [6, ...new Uint8Array(value)];
  if (Array.isArray(value)) return [7, ...value.map(sortable)];
  const names = Object.keys(value).sort();
  return [8, ...names.map((name) => [sortable(name), sortable(value[name])])];
}

function compareLists(a: any[], b: any[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = Array.isArray(a[i]) ? compareLists(a[i], b[i]) : compareScalars(a[i], b[i]);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function compareScalars(a: any, b: any) {
  if (Object.is(a, b)) return 0;
  return a < b || Number.isNaN(b) || (a === b && Object.is(a, -0)) ? -1 : 1;
}

/** Below zero if `a` sorts before `b` in an index, zero if they are the same value. */
const compare = (a: any, b: any) => compareLists(sortable(a), sortable(b));

/** Bytes as Convex counts them towards its limits, so that a budget here means the same there. */
function sizeOf(value: any): number {
  if (value === null || typeof value === "boolean") return 1;
  if (typeof value === "number" || typeof value === "bigint") return 9;
  if (typeof value === "string") return 2 + utf8Length(value);
  if (value instanceof ArrayBuffer) return 2 + value.byteLength;
  let size = 2;
  if (Array.isArray(value)) for (const item of value) size += sizeOf(item);
  else for (const name of Object.keys(value)) size += utf8Length(name) + 1 + sizeOf(value[name]);
  return size;
}

function utf8Length(text: string) {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const isHalfOfPair = unit >= 0xd800 && unit <= 0xdfff; // two units, four bytes
    if (unit >= 0x80) length += unit < 0x800 || isHalfOfPair ? 1 : 2;
  }
  return length;
}

// --- Reading between two keys ---

/**
 * The ranges that hold the rows strictly between two keys, in index order. Convex takes equalities on the first
 * fields and bounds on one more, so a key of three fields needs up to three ranges on each side.
 */
function between(fields: string[], low: Key | null, high: Key | null, equal: [string, any][]): Range[] {
  if (low && high && compare(low, high) >= 0) return [];
  const [field, ...rest] = fields as [string, ...string[]];
  const middle = { equal, field, above: low, below: high };
  if (rest.length === 0 || (!low && !high)) return [middle];
  const inside = (first: any, from: Key | null, to: Key | null) =>
    between(rest, from && from.slice(1), to && to.slice(1), [...equal, [field, first]]);
  if (low && high && compare(low[0], high[0]) === 0) return inside(low[0], low, high);
  return [...(low ? inside(low[0], low, null) : []), middle, ...(high ? inside(high[0], null, high) : [])];
}

function rowsIn(db: Db, { table, index }: Index, range: Range, order: Order): AsyncIterable<Row> {
  const bounds = (query: any) => {
    for (const [field, value] of range.equal ?? []) query = query.eq(field, value);
    if (range.above) query = query.gt(range.field, range.above[0]);
    return range.below ? query.lt(range.field, range.below[0]) : query;
  };
  const query = db.query(table).withIndex(index, bounds as any);
  return query.order(order);
}

async function firstIn(db: Db, index: Index, range: Range, order: Order = "asc") {
  for await (const row of rowsIn(db, index, range, order)) return row;
  return null;
}

async function tailOf(db: Db, names: Names, sessionId: any) {
  return await firstIn(db, names, { equal: [[names.sessionField, sessionId]] }, "desc");
}

/**
 * Visits rows within a budget, always at least one. True if none is left: the scan ran off its end, or `visit` said
 * so by returning true. Convex counts as read only what is taken from the iterator, so the break is a true limit.
 */
async function walk(db: Db, scan: Scan, budget: ReturnType<typeof budgetOf>, visit: (row: Row) => unknown) {
  let [count, bytes] = [0, 0];
  for (const range of scan.ranges) {
    for await (const row of rowsIn(db, scan, range, scan.order)) {
      bytes += sizeOf(row);
      if (count > 0 && bytes > budget.maxBytes) return false;
      if (visit(row) === true) return true;
      count += 1;
      if (count === budget.limit) return false;
    }
  }
  return true;
}

const timeKey = ({ creationTime, id }: Position): Key => [creationTime, id];
const sessionKey = (position: Position): Key => [position.sessionId, ...timeKey(position)];

/** `after` and `until` lie in reading direction: going down, `after` is the upper one. */
function rangesOf(window: Window, fields: string[], keyOf: (position: Position) => Key, equal: [string, any][] = []) {
  const key = (end: End) => (end ? keyOf(end) : null);
  const [after, until] = [key(window.after), key(window.until)];
  if (window.order === "desc") return between(fields, until, after, equal).reverse();
  return between(fields, after, until, equal);
}

function sessionScan(names: Names, args: Window & { sessionId?: any }): Scan {
  const { sessionId, order = "asc" } = args;
  const fields = [names.sessionField, "_creationTime", "_id"];
  if (sessionId === undefined) return { ...names, order, ranges: rangesOf(args, fields, sessionKey) };
  for (const position of [args.after, args.until])
    if (position && compare(position.sessionId, sessionId) !== 0)
      throw refusal("bad_position", "The position belongs to another session than the one asked for.");
  const ranges = rangesOf(args, fields.slice(1), timeKey, [[names.sessionField, sessionId]]);
  return { ...names, order, ranges };
}

/** Position of a row: in session order if the session field is named, else in time order. */
function positionOf(row: Row, sessionField?: string): Position {
  const position = { creationTime: row._creationTime, id: row._id };
  return sessionField === undefined ? position : { sessionId: row[sessionField], ...position };
}

type PageArgs = Window & { limit: number; maxBytes?: number | undefined };

async function readPage(db: Db, scan: Scan, args: PageArgs, sessionField?: string) {
  const rows: Row[] = [];
  const isDone = await walk(db, scan, budgetOf(args), (row) => void rows.push(row));
  const last = rows[rows.length - 1];
  const cursor = last ? positionOf(last, sessionField) : (args.after ?? null);
  return { cursor, isDone, rows };
}

// --- The reading functions ---

export const info = internalQueryGeneric({
  args: {},
  handler: async () => ({ name: "convex-msgs", version: 1 }),
});

/** One page in session order: by session, then creation time, then id. */
export const page = internalQueryGeneric({
  args: { ...naming, ...sessionWindow, order, limit: v.number(), maxBytes },
  handler: async (ctx, args) => {
    const names = namesOf(args);
    return await readPage(ctx.db, sessionScan(names, args), args, names.sessionField);
  },
});

/** One page in time order: by creation time, then id, all sessions together. */
export const recent = internalQueryGeneric({
  args: { ...naming, after: timePosition, until: timePosition, order, limit: v.number(), maxBytes },
  handler: async (ctx, args) => {
    const ranges = rangesOf(args, ["_creationTime", "_id"], timeKey);
    const scan: Scan = { ...namesOf(args), index: "by_creation_time", ranges, order: args.order ?? "asc" };
    return await readPage(ctx.db, scan, args);
  },
});

export const count = internalQueryGeneric({
  args: { ...naming, ...sessionWindow, limit: v.optional(v.number()), maxBytes },
  handler: async (ctx, args) => {
    const names = namesOf(args);
    const pageArgs = { ...args, limit: args.limit ?? MAX_LIMIT, maxBytes: args.maxBytes ?? MAX_BYTES };
    const page = await readPage(ctx.db, sessionScan(names, args), pageArgs, names.sessionField);
    return { cursor: page.cursor, isDone: page.isDone, n: page.rows.length };
  },
});

/**
 * Distinct session ids, jumping along the index: a session costs one row to read, with `times` two. Rows can be
 * large, so the list may be shorter than asked for; only `isDone` tells the end.
 */
export const sessions = internalQueryGeneric({
  args: {
    ...naming,
    after: v.optional(v.any()),
    afterMissing: v.optional(v.boolean()),
    limit: v.number(),
    times: v.optional(v.boolean()),
  },
  handler: async (ctx, { after, afterMissing, limit, times, ...args }) => {
    const names = namesOf(args);
    const sessions: { sessionId?: any; first?: number; last?: number }[] = [];
    let previous: Key | null = after !== undefined || afterMissing ? [after] : null;
    let bytes = 0;
    const result = (isDone: boolean) => ({ cursor: previous && { sessionId: previous[0] }, isDone, sessions });
    checkLimit(limit, MAX_JUMPS);
    while (sessions.length < limit && bytes < DEFAULT_BYTES) {
      const row = await firstIn(ctx.db, names, { field: names.sessionField, above: previous });
      if (row === null) return result(true);
      const sessionId = row[names.sessionField];
      const tail = times ? await tailOf(ctx.db, names, sessionId) : null;
      sessions.push(tail ? { sessionId, first: row._creationTime, last: tail._creationTime } : { sessionId });
      bytes += sizeOf(row) + (tail ? sizeOf(tail) : 0);
      previous = [sessionId];
    }
    return result(false);
  },
});

/**
 * A random text between two ids. Convex compares `_id` as text, which need not decode to an id; the ids of a table
 * share their first characters and are random behind, so such texts hit all its rows with about equal chance.
 */
function textBetween(low: string, high: string) {
  let shared = 0;
  while (shared < low.length && low[shared] === high[shared]) shared += 1;
  const numberOf = (id: string) => parseInt(id.slice(shared, shared + 8).padEnd(8, "0"), 36) || 0;
  const number = Math.floor(numberOf(low) + Math.random() * (numberOf(high) - numberOf(low)));
  return low.slice(0, shared) + number.toString(36).padStart(8, "0");
}

/**
 * Positions of random rows: they split the table into parts of about equal row count, giant sessions included.
 * Convex may answer a repeated call from its cache, with the same positions; they are as good as new ones.
 */
export const bounds = internalQueryGeneric({
  args: { ...naming, n: v.number() },
  handler: async (ctx, { n, ...args }) => {
    const names = namesOf(args);
    const byId = { ...names, index: "by_id" };
    checkLimit(n, MAX_JUMPS);
    const [first, last] = [await firstIn(ctx.db, byId, {}), await firstIn(ctx.db, byId, {}, "desc")];
    const hits = new Map<string, Position>();
    for (let [probe, bytes] = [0, 0]; first && last && probe < n && bytes < MAX_BYTES; probe++) {
      const above = [textBetween(first._id, last._id)];
      const row = (await firstIn(ctx.db, byId, { field: "_id", above })) ?? last;
      hits.set(row._id, positionOf(row, names.sessionField));
      bytes += sizeOf(row);
    }
    return { bounds: [...hits.values()].sort((a, b) => compare(sessionKey(a), sessionKey(b))) };
  },
});

// --- writing functions (left out by --read-only) ---
import { type GenericDatabaseWriter, internalMutationGeneric } from "convex/server"; // here, so that it goes with them

type Batch = { sessionId: string; documents: any[]; expectLastId?: string | null | undefined };

function checkBatches(batches: Batch[], sessionField: string) {
  const seen = new Set<string>();
  for (const { sessionId, documents } of batches) {
    if (seen.has(sessionId)) throw refusal("double_session", "A session comes twice in one call.", { sessionId });
    seen.add(sessionId);
    for (const document of documents) {
      if (document?._id !== undefined || document?._creationTime !== undefined)
        throw refusal("system_field", "A document carries _id or _creationTime: Convex sets them.", { sessionId });
      if (document?.[sessionField] !== sessionId)
        throw refusal("wrong_session", `The ${sessionField} of a document is not that of its batch.`, { sessionId });
    }
  }
}

/**
 * Reading the tail makes a racing insert into the session a conflict, upon which Convex runs this again and the check
 * sees the new tail: so a call repeated after a lost answer never writes twice. For the same reason the new rows must
 * become the tail, which they do not if the old one is dated in the future (imports keep any date).
 */
async function appendBatch(db: GenericDatabaseWriter<any>, names: Names, batch: Batch) {
  const { sessionId, documents, expectLastId } = batch;
  const tail = await tailOf(db, names, sessionId);
  const lastId = tail === null ? null : tail._id;
  if (expectLastId !== undefined && expectLastId !== lastId) return { moved: lastId };
  const ids: string[] = [];
  for (const document of documents) ids.push(await db.insert(names.table, document)); // in turn: it sets their order
  if (tail === null || ids.length === 0) return { ids };
  // Reading the first row by its id would count every insert as an index range.
  const { ranges } = sessionScan(names, { sessionId, after: positionOf(tail, names.sessionField) });
  for (const range of ranges) {
    const next = await firstIn(db, names, range);
    if (next !== null && next._id === ids[0]) return { ids };
    if (next !== null) break;
  }
  const details = { sessionId, lastTime: tail._creationTime };
  throw refusal("tail_in_future", "The last row is dated later than now: new rows would sort before it.", details);
}

export const append = internalMutationGeneric({
  args: {
    ...naming,
    batches: v.array(
      v.object({
        sessionId: v.string(),
        documents: v.array(v.any()),
        expectLastId: v.optional(v.union(v.string(), v.null())),
      }),
    ),
  },
  handler: async (ctx, { batches, ...args }) => {
    const names = namesOf(args);
    checkBatches(batches, names.sessionField);
    const results: ({ ids: string[] } | { moved: string | null })[] = [];
    for (const batch of batches) results.push(await appendBatch(ctx.db, names, batch));
    return { results };
  },
});

// A delete reads its row again and counts as one index range of at most 4,096. Staying below keeps the largest call
// within Convex's limits: twice 7 MiB, the row that did not fit and the last one, 1 MiB each, make 16 MiB.
const MAX_ERASED = 4000;
const MAX_ERASED_BYTES = 7 * 1024 * 1024;

/** The row that ends an erase; null if it is gone. */
async function findThrough(db: Db, names: Names, sessionId: string, throughId: string) {
  const row: Row | null = await db.get(throughId as any).catch(() => null); // throws if the text is no id at all
  if (row !== null && (db.normalizeId(names.table, row._id) === null || row[names.sessionField] !== sessionId))
    throw refusal("wrong_session", "throughId names a row of another session or table.", { sessionId, throughId });
  return row;
}

/** Oldest first and never past `throughId`: once that row is gone, so is all before it. */
export const erase = internalMutationGeneric({
  args: { ...naming, sessionId: v.string(), throughId: v.optional(v.string()), limit: v.number(), maxBytes },
  handler: async (ctx, args) => {
    const names = namesOf(args);
    const { limit, maxBytes } = budgetOf(args);
    const { sessionId, throughId } = args;
    const through = throughId === undefined ? undefined : await findThrough(ctx.db, names, sessionId, throughId);
    if (through === null) return { erased: 0, isDone: true };
    const budget = { limit: Math.min(limit, MAX_ERASED), maxBytes: Math.min(maxBytes, MAX_ERASED_BYTES) };
    const ids: string[] = [];
    const isDone = await walk(ctx.db, sessionScan(names, { sessionId }), budget, (row) => {
      ids.push(row._id);
      return row._id === through?._id;
    });
    for (const id of ids) await ctx.db.delete(id as any);
    return { erased: ids.length, isDone };
  },
});
// --- end of writing functions ---
