//! Give a program files that are on no disk, and read what it has written.
//!
//! `cargo run --release --example virtual_files`

use cofferdam::host::wasi::{MemoryDir, Preopen};
use cofferdam::policy::Limits;
use cofferdam::{Sandbox, engines};

/// Opens `out.txt` in its first directory, to be made and written, and writes `made` and a line end.
const WRITER: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00made\n")
  (data (i32.const 32) "out.txt")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 1)
      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 48)))
    (drop (call $write (i32.load (i32.const 48)) (i32.const 0) (i32.const 1) (i32.const 52)))))"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(engines::by_name("auto")?).wasi().limits(Limits::tool()).build()?;
    let files = MemoryDir::new().file("poem.txt", "roses are red\nviolets are blue\n");

    let wordcount = sandbox.load(include_bytes!("guests/wordcount.wasm"))?;
    let output =
        sandbox.command(&wordcount).arg("/in/poem.txt").preopen(Preopen::memory(files.clone(), "/in")).run()?;
    print!("{}", output.text());

    let writer = sandbox.load(WRITER.as_bytes())?;
    let output = sandbox.command(&writer).preopen(Preopen::memory(files, "/work")).run()?;
    let work = output.files("/work").ok_or("it was given that directory")?;
    for (path, size) in work.files() {
        println!("{path}: {size} bytes");
    }
    println!("out.txt says {:?}", String::from_utf8(work.read("out.txt").ok_or("it was to be written")?)?);
    Ok(())
}
