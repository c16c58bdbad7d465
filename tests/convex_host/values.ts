/** Convex values as a deployment writes them into an answer. */
import { convexToJson, getConvexSize, type Value } from "convex/values";

export const FORMATS = ["convex_encoded_json", "convex_json", "json", "convex_clean_json"];

const MAX_ARRAY = 8192;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;

/** JSON in the form of the backend: keys in order, integral numbers with a dot. */
export function toText(json: any): string {
  if (typeof json === "number") return numberText(json);
  if (json === null || typeof json !== "object") return JSON.stringify(json);
  if (Array.isArray(json)) return `[${json.map(toText).join(",")}]`;
  const names = Object.keys(json).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${toText(json[name])}`).join(",")}}`;
}

/** The shortest digits, as JavaScript finds them too, but with Rust's idea of when to use an exponent. */
function numberText(number: number) {
  const [mantissa, exponent] = number.toExponential().split("e");
  if (number !== 0 && (Number(exponent) < -5 || Number(exponent) > 15)) return `${mantissa}e${Number(exponent)}`;
  const text = Object.is(number, -0) ? "-0" : String(number);
  return Number.isInteger(number) ? `${text}.0` : text;
}

/** The `json` format: readable, and lossy for everything JSON does not have. */
function toPlainJson(value: any): any {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(toPlainJson);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toPlainJson(item)]));
}

export function encode(value: Value, format: string): unknown {
  return format === "convex_encoded_json" || format === "convex_json" ? convexToJson(value) : toPlainJson(value);
}

/** Throws where a deployment refuses a result and convex-test does not. */
export function checkResult(value: Value) {
  checkArrays(value);
  if (getConvexSize(value) > MAX_RESULT_BYTES) throw new Error("Function return value is too large");
}

export function checkArrays(value: any) {
  if (value === null || typeof value !== "object" || value instanceof ArrayBuffer) return;
  if (Array.isArray(value) && value.length > MAX_ARRAY)
    throw new Error(`Array length is too long (${value.length} > maximum length ${MAX_ARRAY})`);
  for (const item of Object.values(value)) checkArrays(item);
}
