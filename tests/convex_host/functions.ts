/** Calls a function by its path as a deployment does, who may call it included; convex-test lets anyone. */
import { makeFunctionReference } from "convex/server";
import { ConvexError, type Value } from "convex/values";
import { type Backend, MODULES } from "./memory";
import { checkArrays, checkResult } from "./values";

export type Outcome = { value: Value } | { error: string; data?: Value };
export type Kind = "query" | "mutation" | "action";

const PATH = /^([A-Za-z0-9_.]+(?:\/[A-Za-z0-9_.]+)*)(?::([A-Za-z_][A-Za-z0-9_]*))?$/;

/** `dir/file:name`; null if it is no path. A file without a name means its default export. */
export function parsePath(path: unknown) {
  const match = typeof path === "string" ? PATH.exec(path) : null;
  if (!match) return null;
  const module = match[1].replace(/\.js$/, "");
  if (module.split("/").some((part) => part === ".." || !/[A-Za-z0-9]/.test(part) || part.length > 64)) return null;
  if (/\.[^/]*$/.test(module)) return null; // any extension but .js
  return { module, name: match[2] ?? "default" };
}

async function find(module: string, name: string) {
  const exported: any = Object.hasOwn(MODULES, module) ? (await MODULES[module]())[name] : undefined;
  const kind = typeof exported === "function" ? KINDS.find((kind) => exported[`is${title(kind)}`]) : undefined;
  return kind === undefined ? null : { kind, isInternal: exported.isInternal === true };
}

const KINDS: Kind[] = ["query", "mutation", "action"];

const title = (kind: Kind) => kind[0].toUpperCase() + kind.slice(1);

type Call = { module: string; name: string; args: Record<string, Value>; isAdmin: boolean; expected: Kind | null };

export async function call(backend: Backend, { module, name, args, isAdmin, expected }: Call): Promise<Outcome> {
  const path = `${module}:${name}`;
  const found = await find(module, name);
  if (found === null || (found.isInternal && !isAdmin))
    return { error: `Could not find public function for '${path}'.` };
  if (expected !== null && expected !== found.kind)
    return {
      error: `Trying to execute ${module}.js:${name} as ${title(expected)}, but it is defined as ${title(found.kind)}.`,
    };
  try {
    checkArrays(args);
    return { value: await run(backend, found.kind, path, args) };
  } catch (error) {
    if (error instanceof ConvexError)
      return { error: `Uncaught ConvexError: ${JSON.stringify(error.data)}`, data: error.data };
    return { error: `Uncaught Error: ${error instanceof Error ? error.message : String(error)}` };
  }
}

async function run(backend: Backend, kind: Kind, path: string, args: Record<string, Value>): Promise<Value> {
  const functions: Record<Kind, () => Promise<Value>> = {
    query: () => backend.query(makeFunctionReference<"query">(path), args),
    mutation: () => backend.mutation(makeFunctionReference<"mutation">(path), args),
    action: () => backend.action(makeFunctionReference<"action">(path), args),
  };
  const value = await functions[kind]();
  checkResult(value ?? null);
  return value ?? null;
}
