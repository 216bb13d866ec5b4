// What an agent may call of Cofferdam, version 1 (docs/abi.md). Only what is called is imported, and only what is
// granted may be imported. Build with:
//   asc agent.ts --runtime minimal --use abort= -O --outFile agent.wasm

/** The functions themselves. */
// @ts-ignore: decorators are AssemblyScript's
@external("cofferdam_v1", "input_len") declare function input_len(): i32;
// @ts-ignore
@external("cofferdam_v1", "input_read") declare function input_read(to: usize, len: usize, offset: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "output_write") declare function output_write(from: usize, len: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "result_read") declare function result_read(to: usize, len: usize, offset: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "log") declare function log_(level: i32, text: usize, len: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "get_time") declare function get_time(): i64;
// @ts-ignore
@external("cofferdam_v1", "random") declare function random_(to: usize, len: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "send_message") declare function send_message(to: usize, toLen: usize, body: usize, len: usize): i64;
// @ts-ignore
@external("cofferdam_v1", "request") declare function request_(to: usize, toLen: usize, body: usize, len: usize, timeoutMs: u32): i64;
// @ts-ignore
@external("cofferdam_v1", "receive_message") declare function receive_message(to: usize, cap: usize, timeoutMs: u32): i32;
// @ts-ignore
@external("cofferdam_v1", "message_from") declare function message_from(to: usize, cap: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "message_topic") declare function message_topic(to: usize, cap: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "message_kind") declare function message_kind(): i32;
// @ts-ignore
@external("cofferdam_v1", "message_correlation") declare function message_correlation(): i64;
// @ts-ignore
@external("cofferdam_v1", "reply") declare function reply_(body: usize, len: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "set_timer") declare function set_timer(afterMs: u32, token: i64): i32;
// @ts-ignore
@external("cofferdam_v1", "kv_get") declare function kv_get(key: usize, keyLen: usize, to: usize, cap: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "kv_set") declare function kv_set(key: usize, keyLen: usize, value: usize, len: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "kv_delete") declare function kv_delete(key: usize, keyLen: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "kv_list") declare function kv_list(prefix: usize, prefixLen: usize, to: usize, cap: usize): i32;
// @ts-ignore
@external("cofferdam_v1", "call_tool") declare function call_tool(name: usize, nameLen: usize, json: usize, len: usize, to: usize, cap: usize): i32;

/** What functions answer instead of a result. */
export enum Failure {
  NOT_FOUND = -1,
  DENIED = -2,
  TOO_LARGE = -3,
  FULL = -4,
  TIMED_OUT = -5,
  INVALID = -6,
  GONE = -7,
  NO_REPLY_EXPECTED = -8,
  FAILED = -9,
  NOT_NOW = -10,
}

export enum Level {
  ERROR = 0,
  WARN = 1,
  INFO = 2,
  DEBUG = 3,
  TRACE = 4,
}

export enum Kind {
  MESSAGE = 0,
  REPLY = 1,
  NO_REPLY = 2,
}

function data(buffer: ArrayBuffer): usize {
  return changetype<usize>(buffer);
}

function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

/** What the hook or export was called with, or the message that was received last. */
export function input(): ArrayBuffer {
  const bytes = new ArrayBuffer(input_len());
  input_read(data(bytes), bytes.byteLength, 0);
  return bytes;
}

/** The same as text. */
export function inputText(): string {
  return String.UTF8.decode(input());
}

/** Adds to what the hook or export gives. The length, or a Failure. */
export function output(bytes: ArrayBuffer): i32 {
  return output_write(data(bytes), bytes.byteLength);
}

/** The same for text. */
export function outputText(text: string): i32 {
  return output(utf8(text));
}

export function log(level: Level, text: string): i32 {
  const bytes = utf8(text);
  return log_(level, data(bytes), bytes.byteLength);
}

/** Nanoseconds since 1970. */
export function timeNs(): i64 {
  return get_time();
}

export function random(len: i32): ArrayBuffer {
  const bytes = new ArrayBuffer(len);
  random_(data(bytes), len);
  return bytes;
}

/** How many received it, or a Failure. `to` is an agent's name or id, or `#topic`. */
export function send(to: string, body: ArrayBuffer): i64 {
  const name = utf8(to);
  return send_message(data(name), name.byteLength, data(body), body.byteLength);
}

/** The number that the reply will have, or a Failure. */
export function request(to: string, body: ArrayBuffer, timeoutMs: u32): i64 {
  const name = utf8(to);
  return request_(data(name), name.byteLength, data(body), body.byteLength, timeoutMs);
}

/** Waits for the next message, which becomes the current one: its length, or a Failure. Read it with `input`. */
export function receive(timeoutMs: u32): i32 {
  return receive_message(0, 0, timeoutMs);
}

export function reply(body: ArrayBuffer): i32 {
  return reply_(data(body), body.byteLength);
}

export function messageKind(): i32 {
  return message_kind();
}

export function messageCorrelation(): i64 {
  return message_correlation();
}

/** Who sent the current message; empty if it was the host. */
export function messageFrom(): string {
  const name = new ArrayBuffer(64);
  const len = message_from(data(name), 64);
  return len > 0 ? String.UTF8.decodeUnsafe(data(name), len) : "";
}

/** The topic that the current message was sent to; empty if it was none. */
export function messageTopic(): string {
  const name = new ArrayBuffer(64);
  const len = message_topic(data(name), 64);
  return len > 0 ? String.UTF8.decodeUnsafe(data(name), len) : "";
}

export function setTimer(afterMs: u32, token: i64): i32 {
  return set_timer(afterMs, token);
}

let failure: i32 = 0;

/**
 * Why the last call of `kvGet`, `kvList` or `callTool` gave nothing: a Failure, or 0 if it did not fail. Storage that
 * fails (`Failure.FAILED`) has not lost what is in it: whoever takes null for "nothing is there" and begins anew,
 * overwrites it. Only `Failure.NOT_FOUND` says that nothing is there.
 */
export function lastError(): i32 {
  return failure;
}

/** What an answer with `len` bytes is, of which `room` were there for it; null for a Failure. */
function answer(room: ArrayBuffer, len: i32): ArrayBuffer | null {
  failure = len < 0 ? len : 0;
  if (len < 0) return null;
  if (len <= room.byteLength) return room.slice(0, len);
  const all = new ArrayBuffer(len);
  result_read(data(all), len, 0);
  return all;
}

/** What is stored under `key`, or null: if `lastError()` is `Failure.NOT_FOUND`, there is nothing. */
export function kvGet(key: string): ArrayBuffer | null {
  const name = utf8(key);
  const room = new ArrayBuffer(256);
  return answer(room, kv_get(data(name), name.byteLength, data(room), room.byteLength));
}

export function kvSet(key: string, value: ArrayBuffer): i32 {
  const name = utf8(key);
  return kv_set(data(name), name.byteLength, data(value), value.byteLength);
}

export function kvDelete(key: string): i32 {
  const name = utf8(key);
  return kv_delete(data(name), name.byteLength);
}

/** The keys that begin with `prefix`, in order; none, if `lastError()` is not 0. */
export function kvList(prefix: string): string[] {
  const name = utf8(prefix);
  const room = new ArrayBuffer(256);
  const list = answer(room, kv_list(data(name), name.byteLength, data(room), room.byteLength));
  const keys: string[] = [];
  if (list === null) return keys;
  let at = data(list);
  const end = at + list.byteLength;
  while (at + 4 <= end) {
    const len = load<u32>(at);
    keys.push(String.UTF8.decodeUnsafe(at + 4, len));
    at += 4 + len;
  }
  return keys;
}

/** What the tool says, or null: `lastError` is why, and if that is `Failure.FAILED`, `why` is what the tool says. */
export function callTool(name: string, json: string): string | null {
  const tool = utf8(name);
  const body = utf8(json);
  const room = new ArrayBuffer(256);
  const result = answer(room, call_tool(data(tool), tool.byteLength, data(body), body.byteLength, data(room), 256));
  return result === null ? null : String.UTF8.decode(result);
}

/** What the tool said, if the last call of one ended with `Failure.FAILED`. */
export function why(): string {
  if (failure != Failure.FAILED) return "";
  const text = new ArrayBuffer(4096);
  return String.UTF8.decodeUnsafe(data(text), result_read(data(text), 4096, 0));
}
