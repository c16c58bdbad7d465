import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

const KEY = "test|key";
const HOST = fileURLToPath(new URL("host.ts", import.meta.url));

function start(): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", HOST], {
    env: { ...process.env, CONVEX_HOST_KEY: KEY },
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** Everything the host prints up to the end of its first line. */
async function firstLine(host: ChildProcess) {
  let printed = "";
  while (!printed.includes("\n")) printed += String((await once(host.stdout!, "data"))[0]);
  return printed;
}

let host: ChildProcess;
let url: string;

beforeAll(async () => {
  host = start();
  const line = await firstLine(host);
  expect(line).toMatch(/^ready http:\/\/127\.0\.0\.1:\d+\n$/);
  url = line.slice("ready ".length).trim();
});

afterAll(() => host.kill());

async function post(path: string, body: unknown, key: string | null = KEY) {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (key !== null) headers.authorization = `Convex ${key}`;
  const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, text: await response.text() };
}

async function value(path: string, body: unknown) {
  const { text } = await post(path, body);
  const answer = JSON.parse(text);
  expect(answer.status, text).toBe("success");
  return answer.value;
}

const ask = (name: string, args: object, format = "convex_encoded_json") =>
  value("/api/query", { path: `convexMsgs:${name}`, args, format });

beforeEach(() => value("/host/reset", {}));

const row = { sessionId: "s", n: { $integer: "BQAAAAAAAAA=" }, b: { $bytes: "AQI=" }, _creationTime: 7.5 };

test("what is appended over HTTP is read back over HTTP", async () => {
  const batches = [{ sessionId: "s", documents: [{ sessionId: "s", text: "hi" }], expectLastId: null }];
  const { results } = await value("/api/mutation", { path: "convexMsgs:append", args: { batches } });
  expect((await ask("page", { limit: 5 })).rows).toMatchObject([{ _id: results[0].ids[0], text: "hi" }]);
});

test("args go as an object or as an array of one, and .js in the path makes no difference", async () => {
  for (const args of [{}, [{}]])
    for (const path of ["convexMsgs:info", "convexMsgs.js:info"])
      expect(await value("/api/query", { path, args })).toEqual({ name: "convex-msgs", version: 1 });
  expect(await value("/api/function", { path: "convexMsgs:info", args: {} })).toMatchObject({ version: 1 });
});

test("values come in the format asked for, keys in order", async () => {
  const { ids } = await value("/host/insert", { table: "messages", rows: [row] });
  const encoded = await ask("page", { limit: 1 });
  expect(encoded.rows).toEqual([{ ...row, _id: ids[0] }]);
  expect(Object.keys(encoded.rows[0])).toEqual(["_creationTime", "_id", "b", "n", "sessionId"]);
  expect((await ask("page", { limit: 1 }, "json")).rows[0]).toMatchObject({ n: "5", b: "AQI=" });
});

test("numbers have the form of Convex, with a dot when integral", async () => {
  const written = ["5.0", "-1e16", "1e-6", "0.00001", "123456789012345.0", "1.2345678901234568e17", "0.1", "1e300"];
  await value("/host/insert", { table: "messages", rows: [{ sessionId: "s", numbers: written.map(Number) }] });
  const { text } = await post("/api/query", { path: "convexMsgs:page", args: { limit: 1 } });
  expect(text).toContain(`"numbers":[${written.join(",")}]`);
});

test("without a key internal functions do not exist, nor do functions that are not there at all", async () => {
  const body = { path: "convexMsgs:page", args: { limit: 1 } };
  const { status, text } = await post("/api/query", body, null);
  expect([status, JSON.parse(text).errorMessage]).toEqual([
    200,
    expect.stringMatching(/^\[Request ID: \w+\] Server Error\nCould not find public function for 'convexMsgs:page'\.$/),
  ]);
  for (const path of ["convexMsgs:nope", "nope:page", "_system/cli/modules:apiSpec", "schema:default"])
    expect((await post("/api/query", { path, args: {} })).text).toContain(
      `Could not find public function for '${path}'`,
    );
});

test("a wrong key is a 401, and admin endpoints without one a 403", async () => {
  const wrong = await post("/api/query", { path: "convexMsgs:info", args: {} }, "other");
  expect([wrong.status, JSON.parse(wrong.text).code]).toEqual([401, "BadAdminKey"]);
  for (const path of ["/api/function", "/host/reset", "/host/insert"])
    expect((await post(path, {}, null)).status).toBe(403);
});

test("a refusal carries its data, and any other error a message only", async () => {
  const refused = JSON.parse((await post("/api/query", { path: "convexMsgs:page", args: { limit: 0 } })).text);
  expect(refused).toMatchObject({ status: "error", errorData: { code: "bad_limit", limit: 0 } });
  const invalid = JSON.parse((await post("/api/query", { path: "convexMsgs:page", args: { limit: "x" } })).text);
  expect([invalid.status, "errorData" in invalid]).toEqual(["error", false]);
  const wrongKind = JSON.parse((await post("/api/query", { path: "convexMsgs:append", args: { batches: [] } })).text);
  expect(wrongKind.errorMessage).toContain("convexMsgs.js:append as Query, but it is defined as Mutation");
});

test("requests that are no call at all are answered with 400 and Convex's code", async () => {
  const codeOf = async (body: object) => {
    const { status, text } = await post("/api/query", body);
    return [status, JSON.parse(text).code];
  };
  expect(await codeOf({ path: "a b", args: {} })).toEqual([400, "BadConvexFunctionIdentifier"]);
  expect(await codeOf({ path: "convexMsgs:info", args: {}, format: "xml" })).toEqual([400, "BadFormat"]);
  for (const path of ["../convexMsgs:info", "convexMsgs.ts:info", "_:info"])
    expect(await codeOf({ path, args: {} })).toEqual([400, "BadConvexFunctionIdentifier"]);
  expect(await codeOf({ path: "convexMsgs:info" })).toEqual([400, "BadJsonBody"]);
});

test("arguments that are not one object are a failure of the function", async () => {
  for (const args of [[], [{}, {}], null, "text", { a: { $what: 1 } }]) {
    const { status, text } = await post("/api/query", { path: "convexMsgs:info", args });
    expect([status, JSON.parse(text).status]).toEqual([200, "error"]);
  }
});

test("a result with an array of more than 8,192 items is refused, as on a deployment", async () => {
  await value("/host/insert", { table: "messages", rows: Array(8193).fill({ sessionId: "s" }) });
  const key = { table: "messages", index: "bySessionId", keyField: "sessionId", key: "s" };
  expect((await post("/api/query", { path: "langchain/db:lookup", args: key })).text).toContain(
    "Array length is too long",
  );
});

test("reset gives an empty database, with other names if asked", async () => {
  await value("/host/insert", { table: "messages", rows: [row] });
  const schema = { table: "chats", index: "byUser", sessionField: "userId" };
  await value("/host/reset", { schema });
  expect((await ask("count", schema)).n).toBe(0);
  await value("/host/insert", { table: "chats", rows: [{ userId: "u" }] });
  expect((await ask("sessions", { ...schema, limit: 5 })).sessions).toEqual([{ sessionId: "u" }]);
});

test("reset with validate makes the shipped schema refuse what does not fit it", async () => {
  await value("/host/reset", { validate: true });
  const batches = [{ sessionId: "s", documents: [{ sessionId: "s", text: "no message" }] }];
  const { text } = await post("/api/mutation", { path: "convexMsgs:append", args: { batches } });
  expect(text).toContain("message");
});

test("many requests at once are answered one after the other, each with its own rows", async () => {
  const sessions = Array.from({ length: 20 }, (_, i) => `s${i}`);
  const append = (sessionId: string) =>
    value("/api/mutation", {
      path: "convexMsgs:append",
      args: { batches: [{ sessionId, documents: [{ sessionId }], expectLastId: null }] },
    });
  const answers = await Promise.all(sessions.map(append));
  expect(new Set(answers.map(({ results }) => results[0].ids[0])).size).toBe(20);
});

test("the endpoints that describe a deployment are there", async () => {
  const get = async (path: string, headers = {}) => await fetch(url + path, { headers });
  expect(await (await get("/instance_name")).text()).toBe("convex-test");
  expect((await get("/version")).status).toBe(200);
  expect((await get("/api/check_admin_key")).status).toBe(403);
  const checked = await get("/api/check_admin_key", { authorization: `Convex ${KEY}` });
  expect(await checked.json()).toMatchObject({ success: true });
  expect(JSON.parse((await post("/api/query_ts", {}, null)).text).ts).toMatch(/^[A-Za-z0-9+/]{11}=$/);
  expect((await get("/nothing")).status).toBe(404);
});

test("the host ends when its standard input is closed", async () => {
  const child = start();
  await firstLine(child);
  child.stdin!.end();
  expect((await once(child, "exit"))[0]).toBe(0);
});

test("the host ends on SIGTERM", async () => {
  const child = start();
  await firstLine(child);
  child.kill("SIGTERM");
  expect((await once(child, "exit"))[0]).toBe(0);
});
