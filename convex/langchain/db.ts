/**
 * The five accessors that LangChain's ConvexChatMessageHistory calls, under the names it looks for
 * (`langchain/db:insert` and so on).
 *
 * A project that has @langchain/community installed needs one line here instead:
 *
 *     export * from "@langchain/community/utils/convex";
 *
 * They are written out in this repository because that package brings some hundred others with it, needs
 * an exact set of versions to install at all, and since 1.0 exports an object that is no Convex function.
 * Names, arguments and results are LangChain's own; keep them so.
 *
 * All are internal: whoever can call them can read and delete everybody's chats.
 */
import { internalMutationGeneric, internalQueryGeneric } from "convex/server";
import { type GenericId, v } from "convex/values";

const keyed = {
  table: v.string(),
  index: v.string(),
  keyField: v.string(),
  key: v.string(),
};

type Keyed = { table: string; index: string; keyField: string; key: string };

/** The rows of one key. Table and index are known at run time only, hence the loose types. */
function rowsOf(db: { query(table: string): any }, { table, index, keyField, key }: Keyed) {
  return db.query(table).withIndex(index, (range: any) => range.eq(keyField, key));
}

export const get = internalQueryGeneric({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.db.get(id as GenericId<string>),
});

export const insert = internalMutationGeneric({
  args: { table: v.string(), document: v.any() },
  handler: async (ctx, { table, document }) => {
    await ctx.db.insert(table, document);
  },
});

/** Reads the whole session at once, as LangChain's does: a very long one runs into Convex's read limits. */
export const lookup = internalQueryGeneric({
  args: keyed,
  handler: async (ctx, args) => await rowsOf(ctx.db, args).collect(),
});

export const upsert = internalMutationGeneric({
  args: { ...keyed, document: v.any() },
  handler: async (ctx, { document, ...args }) => {
    const row = await rowsOf(ctx.db, args).unique();
    if (row === null) await ctx.db.insert(args.table, document);
    else await ctx.db.replace(row._id, document);
  },
});

export const deleteMany = internalMutationGeneric({
  args: keyed,
  handler: async (ctx, args) => {
    const rows: { _id: GenericId<string> }[] = await rowsOf(ctx.db, args).collect();
    await Promise.all(rows.map((row) => ctx.db.delete(row._id)));
  },
});
