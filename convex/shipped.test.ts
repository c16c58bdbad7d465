import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { MODULES } from "../tests/convex_host/memory";

const here = dirname(fileURLToPath(import.meta.url));
const source = readFileSync(join(here, "convexMsgs.ts"), "utf8");

const START = "// --- writing functions (left out by --read-only) ---\n";
const END = "// --- end of writing functions ---\n";

/** The file as `convex-msgs init --read-only` writes it. */
function readOnly(text: string) {
  return text.slice(0, text.indexOf(START)) + text.slice(text.indexOf(END) + END.length);
}

/** Messages of tsc about convexMsgs.ts with this text, under the strictest settings, for a version of convex. */
function typeErrors(text: string, version: string) {
  const path = join(here, "convexMsgs.ts");
  const root = dirname(here);
  const config = ts.readConfigFile(join(root, "tsconfig.convex-1.13.json"), ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  if (version === "newest") delete options.paths;
  const host = ts.createCompilerHost(options);
  const readFile = host.readFile;
  host.readFile = (name) => (name === path ? text : readFile(name));
  host.getSourceFile = (name, target) => ts.createSourceFile(name, host.readFile(name) ?? "", target);
  const program = ts.createProgram([path], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

/** Every Convex function that a deployment of convex/ would have, by path. */
async function deployedFunctions() {
  const functions: Record<string, any> = {};
  for (const [path, load] of Object.entries(MODULES))
    for (const [name, value] of Object.entries(await load()))
      if (typeof value === "function") functions[`${path}:${name}`] = value;
  return functions;
}

describe("what is deployed", () => {
  test("every function exported anywhere in convex/ is internal: none can be called without an admin key", async () => {
    const functions = await deployedFunctions();
    for (const [path, value] of Object.entries(functions))
      expect([path, value.isInternal, value.isPublic ?? false]).toEqual([path, true, false]);
    expect(Object.keys(functions).sort()).toEqual([
      ...["ask", "forget"].map((name) => `ask:${name}`),
      ...["append", "bounds", "count", "erase", "info", "page", "recent", "sessions"].map(
        (name) => `convexMsgs:${name}`,
      ),
      ...["deleteMany", "get", "insert", "lookup", "upsert"].map((name) => `langchain/db:${name}`),
    ]);
  });

  test("the list of modules these tests look at is complete", () => {
    const files = ts.sys.readDirectory(here, [".ts", ".js"], [], ["**/*"]);
    const modules = files.map((file) => file.slice(here.length + 1).replace(/\.[jt]s$/, ""));
    const shipped = modules.filter((path) => !path.includes(".") && !path.startsWith("_generated/"));
    expect(shipped.sort()).toEqual(Object.keys(MODULES).sort());
  });
});

describe("convexMsgs.ts as `init` copies it", () => {
  test("its first line names the tool and the version of the contract that info reports", () => {
    expect(source.split("\n")[0]).toMatch(
      /^\/\/ convex-msgs functions, contract 1\. Written by `convex-msgs init`; do not edit/,
    );
  });

  test("it imports from convex itself only, so the one file is all a project needs", () => {
    const imported = [...source.matchAll(/from "([^"]+)"/g)].map((match) => match[1]);
    expect([...new Set(imported)].sort()).toEqual(["convex/server", "convex/values"]);
  });

  test("it reads by index ranges only: no filter that scans, no collect without bounds", () => {
    expect(source).not.toMatch(/\.(filter|collect|fullTableScan|paginate)\(/);
  });

  test.each(["1.13", "newest"])(
    "with convex %s it compiles under the strictest settings, and without its writing functions has nothing unused",
    (version) => {
      const text = readOnly(source);
      expect(text).not.toMatch(/Mutation|\.(insert|patch|replace|delete)\(/);
      expect(text.match(/^export const (\w+)/gm)).toEqual(
        ["info", "page", "recent", "count", "sessions", "bounds"].map((name) => `export const ${name}`),
      );
      expect(typeErrors(source, version)).toEqual([]);
      expect(typeErrors(text, version)).toEqual([]);
    },
    120_000,
  );

  test("the compiler run by these tests does see an import left unused", () => {
    expect(typeErrors(`${source}\nimport { v as left } from "convex/values";\n`, "newest")).not.toEqual([]);
  }, 120_000);
});
