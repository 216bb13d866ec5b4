//! Talk to a program while it runs: its input comes from a stream and its output goes into one.
//!
//! `cargo run --release --example stream`

use std::time::Duration;

use cofferdam::host::wasi::{Output, Stdin};
use cofferdam::policy::Limits;
use cofferdam::{Sandbox, engines};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, duplex};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(engines::by_name("auto")?).wasi().limits(Limits::tool()).build()?;
    let module = sandbox.load_async(include_bytes!("guests/wordcount.wasm")).await?;

    // Pipes of 64 bytes: whoever is faster waits for the other one.
    let (mut input, stdin) = duplex(64);
    let (stdout, output) = duplex(64);
    let command = sandbox.command(&module).configure(|wasi| {
        wasi.stdin = Stdin::stream(stdin);
        wasi.stdout = Output::stream(stdout);
    });
    let feed = async {
        for line in ["one line\n", "another line\n", "and the last one\n"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
            input.write_all(line.as_bytes()).await?;
        }
        input.shutdown().await
    };
    let read = async {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            println!("it says {line:?}");
        }
        Ok(())
    };
    let (ended, fed, read) = tokio::join!(command.run_async(), feed, read);
    fed.and(read)?;
    println!("exit code {}", ended?.exit_code);
    Ok(())
}
