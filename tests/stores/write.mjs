// Writes a conversation with LangChain's own classes behind what is there, and prints what they were given and what
// they read back, as LangChain stores it; "load" prints what LangChain makes of stored messages on standard input.
//   node tests/stores/write.mjs STORE '{"…": "where"}'
import { readFileSync } from "node:fs";
import {
  AIMessage,
  ChatMessage,
  HumanMessage,
  mapChatMessagesToStoredMessages,
  mapStoredMessagesToChatMessages,
  SystemMessage,
  ToolMessage,
} from "@langchain/core/messages";

const [, , store, settings] = process.argv;
const where = JSON.parse(settings);

const conversation = [
  new SystemMessage("Be brief."),
  new HumanMessage({ content: "Hi! I'm Jim. 🙂 Zażółć", name: "jim", id: "m-1" }),
  new AIMessage({
    content: "",
    tool_calls: [{ name: "get_weather", args: { city: "Oslo", days: 3 }, id: "call_1", type: "tool_call" }],
    additional_kwargs: { refusal: null, nested: { a: [1, 0.5, true, "x"] } },
  }),
  new ToolMessage({ content: "rain", tool_call_id: "call_1", status: "error" }),
  new ChatMessage("noted", "critic"),
  new AIMessage("Jim."),
].filter((message) => message.getType() !== where.without);
const sessions = { "cust-1": conversation, "Cust-1": conversation.slice(0, 2), "team a/chat 1 é": conversation };

if (store === "load") {
  const given = Object.entries(JSON.parse(readFileSync(0, "utf8")));
  const loaded = (stored) => mapChatMessagesToStoredMessages(mapStoredMessagesToChatMessages(stored));
  console.log(JSON.stringify(Object.fromEntries(given.map(([session, stored]) => [session, loaded(stored)]))));
  process.exit(0);
}

// A collection that does what the two calls of LangChain's class ask for, since no server can be had.
class Collection {
  documents = where.documents ?? [];
  db = { client: { appendMetadata: () => undefined } };
  async updateOne(filter, update, options) {
    const [[key, { $eq }]] = Object.entries(filter);
    let document = this.documents.find((found) => found[key] === $eq);
    if (!document && options.upsert) this.documents.push((document = { [key]: $eq }));
    const [[field, { $each }]] = Object.entries(update.$push);
    document[field] = [...(document[field] ?? []), ...$each];
  }
  async findOne(filter) {
    const [[key, { $eq }]] = Object.entries(filter);
    return this.documents.find((found) => found[key] === $eq);
  }
}

const writers = {
  async file() {
    const { FileSystemChatMessageHistory } = await import("@langchain/community/stores/message/file_system");
    return (sessionId) => new FileSystemChatMessageHistory({ sessionId, userId: where.user, filePath: where.path });
  },
  async ioredis() {
    const { RedisChatMessageHistory } = await import("@langchain/community/stores/message/ioredis");
    const { Redis } = await import("ioredis");
    const client = new Redis({ path: where.socket, db: where.db });
    const make = (sessionId) => new RedisChatMessageHistory({ sessionId, client });
    return Object.assign(make, { end: () => client.quit() });
  },
  async redis() {
    const { RedisChatMessageHistory } = await import("@langchain/redis");
    const { createClient } = await import("redis");
    const client = createClient({ socket: { path: where.socket }, database: where.db });
    const make = (sessionId) => new RedisChatMessageHistory({ sessionId, client });
    return Object.assign(make, { end: () => client.quit() });
  },
  async postgres() {
    const { PostgresChatMessageHistory } = await import("@langchain/community/stores/message/postgres");
    const { default: pg } = await import("pg");
    const pool = new pg.Pool({ host: where.host, user: "postgres", database: where.database });
    const make = (sessionId) => new PostgresChatMessageHistory({ sessionId, pool });
    return Object.assign(make, { end: () => pool.end() });
  },
  async mongodb() {
    const { MongoDBChatMessageHistory } = await import("@langchain/mongodb");
    const collection = new Collection();
    const make = (sessionId) => new MongoDBChatMessageHistory({ sessionId, collection });
    return Object.assign(make, { documents: () => collection.documents });
  },
  async dynamodb() {
    const { DynamoDBChatMessageHistory } = await import("@langchain/community/stores/message/dynamodb");
    const credentials = { accessKeyId: "testing", secretAccessKey: "testing" };
    const config = { region: "eu-central-1", endpoint: where.endpoint, credentials };
    return (sessionId) => new DynamoDBChatMessageHistory({ tableName: where.table, sessionId, config });
  },
};

const history = await writers[store]();
const written = {};
const read = {};
for (const [session, messages] of Object.entries(sessions)) {
  for (const message of messages) await history(session).addMessage(message);
  written[session] = mapChatMessagesToStoredMessages(messages);
  const found = await history(session)
    .getMessages()
    .catch((error) => error);
  read[session] = found instanceof Error ? String(found) : mapChatMessagesToStoredMessages(found);
}
await history.end?.();
console.log(JSON.stringify({ written, read, documents: history.documents?.() }));
process.exit(0);
