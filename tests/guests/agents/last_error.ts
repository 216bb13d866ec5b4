// Why an answer is missing, as the library for AssemblyScript says it. Each export gives `lastError()`.
import { callTool, kvGet, kvList, kvSet, lastError, why } from "../../../examples/guests/sdk/assemblyscript/cofferdam";

/** Stores, so that there is something. */
export function put(): i32 {
  return kvSet("k", new ArrayBuffer(1000));
}

export function get(): i32 {
  return kvGet("k") === null ? lastError() : 1000 + lastError();
}

export function list(): i32 {
  return kvList("").length * 1000 + lastError();
}

export function tool(): i32 {
  return callTool("t", "{}") === null ? lastError() : 1000;
}

/** Bytes that `why` gives. */
export function said(): i32 {
  return why().length;
}
