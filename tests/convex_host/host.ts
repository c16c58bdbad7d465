/**
 * An HTTP server on 127.0.0.1 that answers like a Convex deployment and runs the shipped functions of convex/ in
 * convex-test, so that the contract suite can be run against them without a deployment.
 *
 *     node --import tsx tests/convex_host/host.ts
 *
 * It takes any free port, prints `ready http://127.0.0.1:PORT` and nothing else, and ends when its standard input
 * is closed, that is with its parent, or on SIGTERM. CONVEX_HOST_KEY sets the admin key, `host|0123` otherwise.
 * DIFFERENCES.md lists its differences from a deployment.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { jsonToConvex, type Value } from "convex/values";
import shippedSchema from "../../convex/schema";
import { call, type Kind, type Outcome, parsePath } from "./functions";
import { inPlaceOfOpenAI } from "./openai";
import { DEFAULT_NAMING, documentedSchema, insertRaw, openBackend } from "./memory";
import { encode, FORMATS, toText } from "./values";

const KEY = process.env.CONVEX_HOST_KEY ?? "host|0123";
const VERSION = "convex-test-0.0.60";
const MAX_BODY_BYTES = 2 ** 24 + 2000;

/** An answer outside of any function: a status and Convex's `{code, message}`. */
class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

let backend = openBackend();
let requests = 0;

let queue: Promise<unknown> = Promise.resolve();

/** One at a time: convex-test has one transaction, and inserting raw rows holds the clock. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = queue.then(work);
  queue = result.catch(() => undefined);
  return result;
}

function isAdmin(request: IncomingMessage): boolean {
  const header = request.headers.authorization;
  if (header === undefined) return false;
  const [, scheme, key] = /^(\w+)\s+(.*)$/.exec(header) ?? [];
  if (scheme?.toLowerCase() !== "convex")
    throw new HttpError(401, "InvalidAuthHeader", "This host knows admin keys only: Authorization: Convex <key>.");
  if (key !== KEY) throw new HttpError(401, "BadAdminKey", "The provided admin key was invalid for this instance");
  return true;
}

function requireAdmin(request: IncomingMessage) {
  if (!isAdmin(request))
    throw new HttpError(403, "BadDeployKey", "The provided deploy key was invalid for this instance.");
}

async function readBody(request: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new HttpError(413, "RequestTooLarge", "The request body is too large.");
  }
  if (!/^application\/(json|.+\+json)\b/.test(request.headers["content-type"] ?? ""))
    throw new HttpError(400, "BadJsonBody", "Expected a JSON content type.");
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new HttpError(400, "BadJsonBody", `The body is not JSON: ${(error as Error).message}`);
  }
}

/** The one object of arguments, or why there is none, which a deployment says as a failure of the function. */
function decodeArgs(path: string, args: unknown): { args: Record<string, Value> } | { error: string } {
  const list = Array.isArray(args) ? args : [args];
  if (list.length !== 1)
    return { error: `Uncaught Error: Expected to receive a single object as the function's argument.` };
  try {
    const decoded = jsonToConvex(list[0]);
    if (decoded !== null && typeof decoded === "object" && !Array.isArray(decoded) && !(decoded instanceof ArrayBuffer))
      return { args: decoded as Record<string, Value> };
  } catch (error) {
    return { error: `Uncaught Error: Invalid arguments for ${path}: ${(error as Error).message}` };
  }
  return { error: "Uncaught Error: Expected to receive an object as the function's argument." };
}

async function callFunction(request: IncomingMessage, expected: Kind | null) {
  const admin = isAdmin(request);
  if (expected === null) requireAdmin(request);
  const body = await readBody(request);
  if (body === null || typeof body !== "object" || !("args" in body))
    throw new HttpError(400, "BadJsonBody", "The body must be an object with path and args.");
  const path = parsePath(body.path);
  if (path === null)
    throw new HttpError(400, "BadConvexFunctionIdentifier", `${body.path} is not a path to a function.`);
  const decoded = decodeArgs(body.path, body.args);
  const outcome: Outcome =
    "error" in decoded
      ? decoded
      : await inTurn(() => call(backend, { ...path, args: decoded.args, isAdmin: admin, expected }));
  // As on a deployment, a format nobody knows is noticed when the function has run already.
  const format = body.format ?? "json";
  if (!FORMATS.includes(format)) throw new HttpError(400, "BadFormat", `${format} is not a format.`);
  if ("value" in outcome) return { status: "success", value: encode(outcome.value, format) };
  const errorMessage = `[Request ID: ${requests.toString(16).padStart(16, "0")}] Server Error\n${outcome.error}`;
  const errorData = outcome.data === undefined ? {} : { errorData: encode(outcome.data, format) };
  return { status: "error", errorMessage, ...errorData };
}

let model: Promise<unknown> | null = null;

/** An action; those that talk with OpenAI get a model that stands in for it. */
async function act(request: IncomingMessage) {
  model ??= inPlaceOfOpenAI();
  await model;
  return await callFunction(request, "action");
}

/** An empty database; rows of any shape go in unless `validate` asks for the shipped or the documented schema. */
async function reset(request: IncomingMessage) {
  requireAdmin(request);
  const { schema = {}, validate = false } = await readBody(request);
  const closed = validate === "documented" ? documentedSchema : shippedSchema;
  backend = openBackend(validate ? closed : { ...DEFAULT_NAMING, ...schema });
  return { status: "success", value: null };
}

/** Which of some rows are taken: each in a transaction of its own, and for each null or what was said against it. */
async function tryRows(request: IncomingMessage) {
  requireAdmin(request);
  const { table = DEFAULT_NAMING.table, rows } = await readBody(request);
  const errors: (string | null)[] = [];
  for (const row of rows) {
    try {
      await inTurn(() => insertRaw(backend, table, [jsonToConvex(row) as any]));
      errors.push(null);
    } catch (error) {
      errors.push(String(error));
    }
  }
  return { status: "success", value: { errors } };
}

/** Rows as they are, `_creationTime` included, as an import would put them there. */
async function insert(request: IncomingMessage) {
  requireAdmin(request);
  const { table = DEFAULT_NAMING.table, rows } = await readBody(request);
  const ids = await inTurn(() => insertRaw(backend, table, jsonToConvex(rows) as any[]));
  return { status: "success", value: { ids } };
}

function now() {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n);
  return { ts: bytes.toString("base64") };
}

function checkKey(request: IncomingMessage) {
  requireAdmin(request);
  return { success: true, allowedOps: ["RunInternalQueries", "RunInternalMutations"], isReadOnly: false };
}

const ROUTES: Record<string, (request: IncomingMessage) => unknown> = {
  "GET /version": () => VERSION,
  "GET /instance_name": () => "convex-test",
  "GET /api/check_admin_key": checkKey,
  "POST /api/query_ts": now,
  "POST /api/query": (request) => callFunction(request, "query"),
  "POST /api/mutation": (request) => callFunction(request, "mutation"),
  "POST /api/action": act,
  "POST /api/function": (request) => callFunction(request, null),
  "POST /host/reset": reset,
  "POST /host/insert": insert,
  "POST /host/try": tryRows,
};

function send(response: ServerResponse, status: number, body: unknown) {
  const isText = typeof body === "string";
  response.writeHead(status, { "content-type": isText ? "text/plain; charset=utf-8" : "application/json" });
  response.end(isText ? body : toText(body));
}

async function answer(request: IncomingMessage, response: ServerResponse) {
  requests += 1;
  const { pathname } = new URL(request.url ?? "/", "http://127.0.0.1");
  try {
    const route = ROUTES[`${request.method} ${pathname}`];
    if (route === undefined) throw new HttpError(404, "NotFound", `Nothing at ${request.method} ${pathname}`);
    send(response, 200, await route(request));
  } catch (error) {
    if (!(error instanceof HttpError)) console.error(error);
    const known = error instanceof HttpError ? error : new HttpError(500, "InternalServerError", String(error));
    send(response, known.status, { code: known.code, message: known.message });
  }
}

const server = createServer((request, response) => void answer(request, response));

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`ready http://127.0.0.1:${port}\n`);
});

process.stdin.resume();
for (const event of ["end", "close", "error"]) process.stdin.on(event, () => process.exit(0));
process.on("SIGTERM", () => process.exit(0));
