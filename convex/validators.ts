import { v } from "convex/values";

/**
 * The closed alternative to `data: v.any()` in schema.ts: every field that LangChain, from 0.0.175 to
 * 1.x and in Python too, was seen to store in a message.
 *
 * Take it when a stray field should be an error:
 *
 *     message: v.object({ type: v.string(), data: wideMessageData }),
 *
 * The price: the day LangChain adds a field (it did so five times in two years), Convex refuses the row
 * and the model's reply, already paid for, is lost with it.
 */
export const wideMessageData = v.object({
  content: v.union(v.string(), v.array(v.any())),
  role: v.optional(v.string()),
  name: v.optional(v.union(v.string(), v.null())),
  id: v.optional(v.union(v.string(), v.null())),
  additional_kwargs: v.optional(v.any()),
  response_metadata: v.optional(v.any()),
  tool_calls: v.optional(v.any()),
  invalid_tool_calls: v.optional(v.any()),
  tool_call_chunks: v.optional(v.any()),
  usage_metadata: v.optional(v.any()),
  tool_call_id: v.optional(v.string()),
  status: v.optional(v.string()),
  artifact: v.optional(v.any()),
  metadata: v.optional(v.any()),
  example: v.optional(v.boolean()),
  type: v.optional(v.string()),
  content_blocks: v.optional(v.any()),
  chunk_position: v.optional(v.any()),
});
