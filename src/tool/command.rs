//! WASI commands as tools: the arguments on standard input, the answer on standard output, standard error for
//! the log, and an exit code other than 0 for failure.

use serde_json::Value;

use super::builder::{Answer, Given};
use super::error::{FailureKind, ToolError};
use super::json::{JsonError, parse};
use super::{MAX_STDERR, ToolOutput};
use crate::host::wasi::Stdin;
use crate::sandbox::{CallOptions, CallRefusal, CommandError, Module, Receipt, Sandbox, is_hidden};

/// One call.
pub(super) fn call(
    sandbox: &Sandbox,
    module: &Module,
    name: &str,
    given: &Given,
    arguments: &Value,
    options: &CallOptions,
) -> Result<ToolOutput, ToolError> {
    let limits = given.limits(options);
    let (text, cap) = (arguments.to_string().into_bytes(), limits.message);
    if text.len() as u64 > cap.get() {
        return Err(ToolError::Arguments(CallRefusal::MessageTooLong { len: text.len() as u64, cap }.to_string()));
    }
    let wasi = given.wasi(name, Stdin::Bytes(text), &limits);
    let mut command = sandbox.command(module).name(name).limits(limits).configure(|config| {
        let args = std::mem::take(&mut config.args);
        *config = wasi;
        config.args = args;
    });
    command = command.args(given.args.iter().cloned());
    if let Some(cancel) = &options.cancel {
        command = command.cancel(cancel);
    }
    match command.run() {
        Ok(output) => {
            let stderr = logged(name, &output.stderr);
            if output.exit_code != 0 {
                let why = FailureKind::Exit(output.exit_code);
                return Err(ToolError::tool(why, stderr, Some(output.receipt)));
            }
            // Work like a guest's.
            let _turn = sandbox.resources().permit();
            answer(&output.stdout, given.answer, stderr, output.receipt)
        }
        Err(CommandError::Ended { error, stderr, .. }) => Err(ToolError::call(error, logged(name, &stderr))),
        Err(CommandError::Wasi(error)) => Err(error.into()),
        Err(CommandError::Guest(error)) => Err(error.into()),
        Err(CommandError::NotRun(error)) => Err(error.into()),
        Err(error @ CommandError::NotCommand) => Err(ToolError::failed(error)),
    }
}

fn answer(stdout: &[u8], answer: Answer, stderr: String, receipt: Receipt) -> Result<ToolOutput, ToolError> {
    let text = || match std::str::from_utf8(stdout) {
        Ok(text) => Ok(Value::String(text.to_owned())),
        Err(_) => Err(FailureKind::NotText),
    };
    let value = match answer {
        Answer::Text => text(),
        Answer::Json => parse(stdout).map_err(FailureKind::Json),
        Answer::Auto if stdout.trim_ascii().is_empty() => Ok(Value::Null),
        Answer::Auto => match parse(stdout) {
            Ok(value) => Ok(value),
            // It may be JSON: as text it would be something else than what the tool says.
            Err(JsonError::TooMany) if matches!(stdout.trim_ascii_start().first(), Some(b'[' | b'{')) => {
                Err(FailureKind::Json(JsonError::TooMany))
            }
            Err(_) => text(),
        },
    };
    match value {
        Ok(value) => Ok(ToolOutput { value, receipt: Some(receipt), stderr }),
        Err(why) => Err(ToolError::tool(why, stderr, Some(receipt))),
    }
}

/// What a tool wrote to standard error, cut and escaped; and into the log of this process.
pub(super) fn logged(tool: &str, stderr: &[u8]) -> String {
    if stderr.is_empty() {
        return String::new();
    }
    let text = escaped(stderr);
    tracing::info!(tool, stderr = %text.escape_debug(), "a tool wrote to its standard error");
    text
}

/// The first of `bytes` as text in which only line ends and tabs are control characters.
fn escaped(bytes: &[u8]) -> String {
    let cut = bytes.get(..MAX_STDERR).unwrap_or(bytes);
    let mut text = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        if text.len() >= MAX_STDERR {
            break;
        }
        if is_hidden(c) && !matches!(c, '\n' | '\t') {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_cut_and_escaped() {
        assert_eq!(escaped(b"a\tb\nc\x1b[2J\r\xff"), "a\tb\nc\\u{1b}[2J\\r\u{fffd}");
        let text = escaped(&[0x1b; 1 << 20]);
        assert!(text.len() < MAX_STDERR + 16 && text.ends_with('…'), "{}", text.len());
    }
}
