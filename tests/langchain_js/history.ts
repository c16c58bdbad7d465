/**
 * LangChain's own ConvexChatMessageHistory against any deployment: for tests of what Python reads and writes.
 *
 *     node --import tsx tests/langchain_js/history.ts < request.json
 *
 * Reads `{ url, key, session, add }` from standard input, adds the stored messages of `add` one by one, as LangChain
 * does, and prints all messages of the session as LangChain read them back. Inside Convex, `ctx` is an action's; here
 * its two methods call the deployment, where the five accessors must be deployed as `langchain/db`.
 */
import { readFileSync } from "node:fs";
import { ConvexChatMessageHistory } from "@langchain/community/stores/message/convex";
import { mapChatMessagesToStoredMessages, mapStoredMessagesToChatMessages } from "@langchain/core/messages";
import { ConvexHttpClient } from "convex/browser";

const { url, key, session, add } = JSON.parse(readFileSync(0, "utf8"));
const client: any = new ConvexHttpClient(url, { skipConvexDeploymentUrlCheck: true, logger: false });
client.setAdminAuth(key);

const ctx: any = {
  runQuery: async (reference: any, args: any) => await client.query(reference, args),
  runMutation: async (reference: any, args: any) => await client.mutation(reference, args),
};
const history = new ConvexChatMessageHistory({ ctx, sessionId: session });
for (const message of mapStoredMessagesToChatMessages(add)) await history.addMessage(message);
console.log(JSON.stringify(mapChatMessagesToStoredMessages(await history.getMessages())));
