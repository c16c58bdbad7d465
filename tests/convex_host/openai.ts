/**
 * A chat model in the place of OpenAI's: it speaks their protocol, and remembers a name only if the prompt holds it.
 * So what it answers shows what LangChain's memory gave it.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export type Prompt = { role: string; content: string }[];

/** The answer to the last human line of a prompt, whether the lines are messages or, as of a chain, all in one. */
export function reply(prompt: Prompt): string {
  const text = prompt.map(({ content }) => content).join("\n");
  const name = [...text.matchAll(/I'm (\w+)\./g)].at(-1)?.[1];
  const question = text.split("Human: ").at(-1) ?? "";
  if (!/my name/.test(question)) return `Hello ${name ?? "stranger"}! It's nice to meet you.`;
  return name === undefined ? "You have not told me your name." : `You just said your name was ${name}.`;
}

async function bodyOf(request: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

async function completion(request: IncomingMessage) {
  const { model, messages } = await bodyOf(request);
  const message = { role: "assistant", content: reply(messages) };
  const usage = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 };
  const choices = [{ index: 0, message, finish_reason: "stop" }];
  return { id: "chatcmpl-1", object: "chat.completion", created: 0, model, choices, usage };
}

/** Starts it on a free port of this machine, and points OpenAI's client in this process to it. */
export async function inPlaceOfOpenAI(): Promise<Server> {
  const server = createServer(async (request, response) => {
    response.writeHead(200, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify(await completion(request)));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  process.env.OPENAI_BASE_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  process.env.OPENAI_API_KEY = "of-nobody";
  return server;
}
