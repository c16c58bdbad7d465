/** The shipped functions in convex-test's in-memory backend, with any table, index and session field. */
import { convexTest } from "convex-test";
import { defineSchema, defineTable } from "convex/server";
import { type GenericId, getConvexSize, v } from "convex/values";

export type Naming = { table: string; index: string; sessionField: string };
export type Backend = ReturnType<typeof openBackend>;

export const DEFAULT_NAMING: Naming = { table: "messages", index: "bySessionId", sessionField: "sessionId" };

/** Everything that would be deployed, by module path. */
export const MODULES: Record<string, () => Promise<Record<string, unknown>>> = {
  ask: () => import("../../convex/ask"),
  convexMsgs: () => import("../../convex/convexMsgs"),
  "langchain/db": () => import("../../convex/langchain/db"),
  schema: () => import("../../convex/schema"),
  validators: () => import("../../convex/validators"),
};

/** A schema that takes any document, as a deployment with `schemaValidation: false` does. */
function openSchema({ table, index, sessionField }: Naming) {
  return defineSchema({ [table]: defineTable(v.any()).index(index, [sessionField]) });
}

/** The closed schema of LangChain's documentation: four fields and no more. */
export const documentedSchema = defineSchema({
  messages: defineTable({
    sessionId: v.string(),
    message: v.object({
      type: v.string(),
      data: v.object({
        content: v.string(),
        role: v.optional(v.string()),
        name: v.optional(v.string()),
        additional_kwargs: v.optional(v.any()),
      }),
    }),
  }).index("bySessionId", ["sessionId"]),
});

/** An empty backend; with the open schema of a naming, or with a schema of one's own. */
export function openBackend(schema: Naming | ReturnType<typeof defineSchema> = DEFAULT_NAMING) {
  // convex-test finds the root of the modules by a path that has "_generated" in it; nothing reads that file.
  const files = { "./_generated/api.js": async () => ({}) };
  const modules = Object.entries(MODULES).map(([path, load]) => [`./${path}.ts`, load]);
  return convexTest({
    schema: "tables" in schema ? schema : openSchema(schema),
    modules: { ...files, ...Object.fromEntries(modules) },
    transactionLimits: true,
  });
}

export type RawRow = Record<string, any>;

const CHUNK_ROWS = 2000;
const CHUNK_BYTES = 8 * 1024 * 1024;

/** Parts small enough for one transaction each. */
function* chunksOf(rows: RawRow[]) {
  let [chunk, bytes]: [RawRow[], number] = [[], 0];
  for (const row of rows) {
    const size = getConvexSize(row);
    if (chunk.length === CHUNK_ROWS || (chunk.length > 0 && bytes + size > CHUNK_BYTES)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(row);
    bytes += size;
  }
  yield chunk;
}

/** Runs with the clock standing still. */
async function atTime<T>(time: number, work: () => Promise<T>): Promise<T> {
  const realNow = Date.now;
  Date.now = () => time;
  try {
    return await work();
  } finally {
    Date.now = realNow;
  }
}

/**
 * Inserts rows as an import does: a `_creationTime` given is kept, equal and future ones included.
 *
 * convex-test stamps rows with Date.now() but never goes back behind the row before. A row stamped NaN, in another
 * table, makes it forget that one; so one precedes each row, and one at the end leaves no trace for later rows.
 */
export async function insertRaw(backend: Backend, table: string, rows: RawRow[]): Promise<string[]> {
  const ids: string[] = [];
  for (const chunk of chunksOf(rows)) {
    await backend.run(async (ctx) => {
      const insert = async (where: string, fields: RawRow) => await ctx.db.insert(where, fields as never);
      const forgetLastTime = async () => {
        const id = await atTime(NaN, () => insert("forgottenTimes", {}));
        await ctx.db.delete(id as GenericId<string>);
      };
      for (const { _creationTime: time, ...fields } of chunk) {
        if (time !== undefined) await forgetLastTime();
        ids.push(await (time === undefined ? insert(table, fields) : atTime(time, () => insert(table, fields))));
      }
      if (chunk.some((row) => row._creationTime !== undefined)) await forgetLastTime();
    });
  }
  return ids;
}
