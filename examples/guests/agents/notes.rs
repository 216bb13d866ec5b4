//! An agent that keeps notes, in Rust. A message is a command:
//!
//! | | |
//! |---|---|
//! | `put NAME TEXT` | `ok` |
//! | `get NAME` | the text, or `none` |
//! | `drop NAME` | `ok` or `none` |
//! | `list` | all names, one a line |
//! | `tool NAME JSON` | what the tool says |

use cofferdam_guest as host;

#[no_mangle]
pub extern "C" fn handle_message() -> i32 {
    match answer() {
        Ok(answer) => host::output(&answer).map_or_else(host::Error::code, |()| 0),
        Err(error) => error.code(),
    }
}

fn answer() -> host::Result<Vec<u8>> {
    let message = host::input();
    let text = std::str::from_utf8(&message).map_err(|_| host::Error::Invalid)?;
    let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, body) = rest.split_once(' ').unwrap_or((rest, ""));
    match command {
        "put" => {
            host::kv_set(name.as_bytes(), body.as_bytes())?;
            host::log(host::Level::Info, name)?;
            Ok(b"ok".to_vec())
        }
        "get" => Ok(host::kv_get(name.as_bytes())?.unwrap_or_else(|| b"none".to_vec())),
        "drop" => Ok(if host::kv_delete(name.as_bytes())? { b"ok".to_vec() } else { b"none".to_vec() }),
        "list" => {
            let mut list = String::new();
            for key in host::kv_list(b"")? {
                list.push_str(&String::from_utf8_lossy(&key));
                list.push('\n');
            }
            Ok(list.into_bytes())
        }
        "tool" => match host::call_tool(name, body.as_bytes()) {
            Ok(result) => Ok(result),
            Err(host::Error::Failed) => Ok(host::why().into_bytes()),
            Err(error) => Err(error),
        },
        _ => Err(host::Error::Invalid),
    }
}
