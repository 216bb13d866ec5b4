//! Answers as tables and lines for people.

use cofferdam::policy::MemoryBytes;
use cofferdam::sandbox::Printable;
use serde_json::Value;

use crate::cli::table::{Paint, coloured, titled};

fn paint() -> Paint {
    Paint(coloured(None))
}

/// The text, number or nothing at `path`.
fn at(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => Printable::whole(text).to_string(),
        Some(other) => other.to_string(),
    }
}

fn size(value: &Value, path: &str) -> String {
    MemoryBytes::new(value.pointer(path).and_then(Value::as_u64).unwrap_or_default()).to_string()
}

fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.into()
}

/// A table of agents.
pub fn list(value: &Value) -> String {
    let header = ["name", "state", "engine", "memory", "fuel", "calls", "in", "out", "queued", "violations"];
    let rows = value.as_array().into_iter().flatten().map(|agent| {
        row([
            at(agent, "/name"),
            at(agent, "/state"),
            at(agent, "/engine"),
            size(agent, "/usage/memory_bytes"),
            at(agent, "/usage/fuel"),
            at(agent, "/usage/calls"),
            at(agent, "/usage/messages_in"),
            at(agent, "/usage/messages_out"),
            at(agent, "/queued"),
            at(agent, "/usage/violations"),
        ])
    });
    let table = titled(paint(), "", &header, rows.collect(), usize::MAX);
    if table.is_empty() { "no agents are deployed\n".to_owned() } else { table }
}

/// All about one agent.
pub fn info(value: &Value) -> String {
    let line = |what: &str, text: String| vec![what.to_owned(), text];
    let mut rows =
        vec![line("name", at(value, "/name")), line("id", at(value, "/id")), line("state", at(value, "/state"))];
    if value.get("failure").is_some_and(|failure| !failure.is_null()) {
        let times = at(value, "/failure/times");
        rows.push(line("failed", format!("{} ({times} in all)", at(value, "/failure/why"))));
    }
    rows.push(line("engine", at(value, "/engine")));
    rows.push(line("deployed", at(value, "/deployed")));
    let usage = vec![
        line(
            "memory",
            format!("{}, at most {}", size(value, "/usage/memory_bytes"), size(value, "/usage/peak_memory_bytes")),
        ),
        line("fuel", at(value, "/usage/fuel")),
        line("calls", format!("{}, {} ms", at(value, "/usage/calls"), milliseconds(value, "/usage/wall_ms"))),
        line(
            "messages in",
            format!(
                "{}, {} bytes, {} queued",
                at(value, "/usage/messages_in"),
                at(value, "/usage/bytes_in"),
                at(value, "/queued")
            ),
        ),
        line("messages out", format!("{}, {} bytes", at(value, "/usage/messages_out"), at(value, "/usage/bytes_out"))),
        line("host calls", at(value, "/usage/host_calls")),
        line("violations", at(value, "/usage/violations")),
        line("cap hits", at(value, "/usage/cap_hits")),
    ];
    let policy = ["level", "fuel_mode"].map(|key| line(key, at(value, &format!("/policy/{key}"))));
    let limits = value.pointer("/policy/limits").and_then(Value::as_object).into_iter().flatten();
    let limits =
        limits.map(|(key, amount)| line(key, amount.as_str().map_or_else(|| amount.to_string(), str::to_owned)));
    let functions = value.pointer("/host_functions").and_then(Value::as_array).into_iter().flatten();
    let functions = functions.filter_map(Value::as_str).map(|name| vec![Printable::new(name).to_string()]);
    titled(paint(), "", &[], rows, usize::MAX)
        + &titled(paint(), "What it has used", &[], usage, usize::MAX)
        + &titled(paint(), "Its policy", &[], policy.into_iter().chain(limits).collect(), usize::MAX)
        + &titled(paint(), "Host functions that it may call", &[], functions.collect(), 60)
}

fn milliseconds(value: &Value, path: &str) -> String {
    format!("{:.1}", value.pointer(path).and_then(Value::as_f64).unwrap_or_default())
}

/// One log line.
pub fn log_line(value: &Value) -> String {
    let cut = match value.get("cut").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(cut) => format!(" … {cut} bytes more"),
    };
    format!("{} {:5} {}{cut}", at(value, "/at"), at(value, "/level"), at(value, "/text"))
}

/// What a call cost.
pub fn receipt(value: &Value) -> String {
    match value.get("receipt") {
        None | Some(Value::Null) => "it cost nothing".to_owned(),
        Some(receipt) => format!(
            "{} fuel ({}), at most {} of memory, {:.3} ms, on {}",
            at(receipt, "/fuel"),
            at(receipt, "/fuel_mode"),
            size(receipt, "/peak_memory_bytes"),
            receipt.get("wall_ns").and_then(Value::as_f64).unwrap_or_default() / 1e6,
            at(receipt, "/engine"),
        ),
    }
}

/// How an agent ended.
pub fn stopped(agent: &str, value: &Value) -> String {
    let messages = format!("{} messages handled, {} dropped", at(value, "/handled"), at(value, "/dropped"));
    let cut_off = value.get("cut_off").and_then(Value::as_u64).unwrap_or_default() > 0;
    match at(value, "/failed") {
        why if why.is_empty() && cut_off => {
            format!("{agent} is stopped, and was cut off in a call when its time to drain was over: {messages}\n")
        }
        why if why.is_empty() => format!("{agent} is stopped: {messages}\n"),
        why => format!("{agent} failed while it drained: {why}; {messages}\n"),
    }
}

/// A table of messages.
pub fn dead_letters(value: &Value) -> String {
    let letters: Vec<_> = value.get("letters").and_then(Value::as_array).into_iter().flatten().collect();
    let total = value.get("total").and_then(Value::as_u64).unwrap_or_default();
    let rows = letters.iter().map(|letter| {
        let from = at(letter, "/from");
        let topic = at(letter, "/topic");
        let to = at(letter, "/to");
        let body = at(letter, "/body");
        row([
            at(letter, "/at"),
            if from.is_empty() { "(host)".to_owned() } else { from },
            if topic.is_empty() { to } else { format!("{to} by #{topic}") },
            at(letter, "/reason"),
            at(letter, "/bytes"),
            body.chars().take(40).collect(),
        ])
    });
    let table = titled(paint(), "", &["at", "from", "to", "why", "bytes", "message"], rows.collect(), usize::MAX);
    let older = total.saturating_sub(letters.len() as u64);
    match (table.is_empty(), older) {
        (true, 0) => "there are no dead letters\n".to_owned(),
        (_, 0) => table,
        (_, older) => format!("{table}{older} older ones are not kept\n"),
    }
}

/// Bytes for a person to look at: text with a line end, in which nothing can change the terminal.
pub fn safe(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| format!("{}\n", Printable::whole(line))).collect()
}
