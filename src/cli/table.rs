//! Tables and colours for people. Colour is only for a terminal, and never against `NO_COLOR`.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};

use super::config::Colour;

/// Whether standard output is to be coloured.
pub fn coloured(wish: Option<Colour>) -> bool {
    match wish.unwrap_or_default() {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// Paints words, or leaves them alone.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
    /// A heading.
    pub fn title(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }
    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default().bold(), text)
    }
    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }
    /// Something to do.
    pub fn todo(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default().bold(), text)
    }
}

/// A table under a title, at most `most` of `rows`; nothing if there are none.
pub fn titled(paint: Paint, title: &str, header: &[&str], rows: Vec<Vec<String>>, most: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let more = rows.len().saturating_sub(most);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.iter().map(|h| h.to_uppercase()));
    }
    for row in rows.into_iter().take(most) {
        table.add_row(row);
    }
    let body: String = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
    let more = if more > 0 { format!("  … and {more} more (--json has all)\n") } else { String::new() };
    let title = if title.is_empty() { String::new() } else { format!("\n{}\n", paint.title(title)) };
    format!("{title}{body}{more}")
}
