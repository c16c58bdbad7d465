"use node";
/**
 * The conversation of LangChain's documentation about memory in Convex, with the import paths of today: the model
 * is told a name, and asked for it. `langchain/memory` and `langchain/chains` are `@langchain/classic` since
 * langchain 1.0. In a project of your own, `internalAction` comes from `./_generated/server`.
 *
 * Internal, as all functions here: whoever may call it spends the project's money at OpenAI.
 */
import { ConversationChain } from "@langchain/classic/chains";
import { BufferMemory } from "@langchain/classic/memory";
import { ConvexChatMessageHistory } from "@langchain/community/stores/message/convex";
import { ChatOpenAI } from "@langchain/openai";
import { type GenericActionCtx, internalActionGeneric } from "convex/server";
import { v } from "convex/values";

function memoryOf(ctx: GenericActionCtx<any>, sessionId: string) {
  return new BufferMemory({ chatHistory: new ConvexChatMessageHistory({ ctx, sessionId }) });
}

/** Talks, and returns both answers and the history as it then stands in the table. */
export const ask = internalActionGeneric({
  args: { sessionId: v.string() },
  handler: async (ctx, { sessionId }) => {
    const memory = memoryOf(ctx, sessionId);
    const model = new ChatOpenAI({ model: "gpt-3.5-turbo", temperature: 0 });
    const chain = new ConversationChain({ llm: model, memory });

    const first = await chain.invoke({ input: "Hi! I'm Jim." });
    const second = await chain.invoke({ input: "What did I just say my name was?" });

    const messages = await memory.chatHistory.getMessages();
    const history = messages.map((message) => `${message.getType()}: ${message.text}`);
    console.log(history.join("\n"));
    return { answers: [first.response as string, second.response as string], history };
  },
});

/** Forgets the session: LangChain's own `clear`, which reads and deletes all of it in one transaction. */
export const forget = internalActionGeneric({
  args: { sessionId: v.string() },
  handler: async (ctx, { sessionId }) => {
    await memoryOf(ctx, sessionId).chatHistory.clear();
  },
});
