import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  messages: defineTable({
    sessionId: v.string(),
    // `data` is open on purpose: LangChain decides what is in it and keeps adding fields, and a closed
    // validator would refuse the model's answer after it was paid for. `convex-msgs validate` checks rows
    // strictly instead. The closed alternative is `wideMessageData` in validators.ts.
    message: v.object({ type: v.string(), data: v.any() }),
  }).index("bySessionId", ["sessionId"]),
});
