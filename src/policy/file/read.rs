//! From text to typed values: TOML, JSON or YAML becomes a tree in which no key stands twice, the tree
//! becomes a value, and everything that is wrong with it is said at once.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

use super::layers::{Layers, contradictions};
use super::problem::{PolicyFileError, Problem};
use super::{PolicyFile, StdinPart};

/// Largest file that is read. Policies are written by people.
pub const MAX_FILE_BYTES: u64 = 256 << 10;
/// How many files may extend one another.
const MAX_FILES: usize = 8;
/// Most problems that are said of one file.
const MAX_PROBLEMS: usize = 20;
/// Most values in one file, aliases of YAML counted as often as they are used.
const MAX_VALUES: usize = 50_000;

/// The language that a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// The format that the name of a file says.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// `TOML`, `JSON` or `YAML`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Toml => "TOML",
            Self::Json => "JSON",
            Self::Yaml => "YAML",
        }
    }
}

impl PolicyFile {
    /// Reads the policy in `path` and the files that it extends, merged into one.
    ///
    /// # Errors
    /// A file that cannot be read, extends itself, or says what no policy can.
    pub fn load(path: &Path) -> Result<Self, PolicyFileError> {
        Ok(Self::load_layers(path)?.policy().map_err(|problem| vec![problem])?)
    }

    /// The same, remembering which file said what.
    ///
    /// # Errors
    /// As [`PolicyFile::load`].
    pub fn load_layers(path: &Path) -> Result<Layers, PolicyFileError> {
        let mut files: Vec<(PathBuf, Self)> = Vec::new();
        let mut seen: Vec<(u64, u64)> = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take() {
            let by = files.last().map(|(by, _)| by.clone());
            let unreadable = |error| match by.clone() {
                None => PolicyFileError::Read { path: path.clone(), error },
                Some(by) => PolicyFileError::Base { path: path.clone(), by, error },
            };
            // Whoever starts us may hand over a pipe; what a file names is a file.
            let opened = if by.is_none() { open(&path) } else { open_regular(&path) };
            let (opened, about) = opened.map_err(unreadable)?;
            let identity = (about.dev(), about.ino());
            let chain = || files.iter().map(|(file, _)| file.clone()).chain([path.clone()]).collect();
            if seen.contains(&identity) {
                return Err(PolicyFileError::Cycle(chain()));
            }
            if files.len() == MAX_FILES {
                return Err(PolicyFileError::TooDeep { files: chain(), most: MAX_FILES });
            }
            seen.push(identity);
            let text = read_opened(opened, &about, MAX_FILE_BYTES).map_err(unreadable)?;
            let mut file = Self::from_text(&path.display().to_string(), &text, Format::of(&path))?;
            // A pipe has no folder.
            let folder = path.parent().filter(|_| about.is_file()).unwrap_or(Path::new(""));
            file.rebase(folder);
            next = file.extends.take().map(|base| folder.join(base));
            files.push((path, file));
        }
        let mut layers = Layers::default();
        for (path, file) in files.iter().rev() {
            layers.push(&path.display().to_string(), file).map_err(|problem| vec![problem])?;
        }
        match contradictions(&layers.policy().map_err(|problem| vec![problem])?, &path.display().to_string()) {
            problems if problems.is_empty() => Ok(layers),
            problems => Err(problems.into()),
        }
    }

    /// Reads one policy; what it extends is left as it says. `file` is named in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_text(file: &str, text: &str, format: Option<Format>) -> Result<Self, PolicyFileError> {
        let policy: Self = parse(file, text, format)?;
        match contradictions(&policy, file) {
            problems if problems.is_empty() => Ok(policy),
            problems => Err(problems.into()),
        }
    }

    /// The policy with what it extends beneath it; its paths are relative to `folder`. `place` is named in errors.
    pub(crate) fn whole(mut self, place: &str, folder: &Path) -> Result<Self, PolicyFileError> {
        self.rebase(folder);
        let mut layers = match self.extends.take() {
            Some(base) => Self::load_layers(&folder.join(base))?,
            None => Layers::default(),
        };
        layers.push(place, &self).map_err(|problem| vec![problem])?;
        let whole = layers.policy().map_err(|problem| vec![problem])?;
        match contradictions(&whole, place) {
            problems if problems.is_empty() => Ok(whole),
            problems => Err(problems.into()),
        }
    }

    /// Makes paths that are relative to `folder` relative to the current directory.
    fn rebase(&mut self, folder: &Path) {
        let Some(wasi) = &mut self.wasi else { return };
        for dir in wasi.dirs.iter_mut().flatten() {
            dir.host = dir.host.take().map(|host| folder.join(host));
        }
        if let Some(StdinPart::File(file)) = &mut wasi.stdin {
            *file = folder.join(&*file);
        }
    }
}

/// The text of `path`, which has at most `most` bytes. It may be a pipe that somebody writes to.
///
/// # Errors
/// It cannot be read, is larger, or is no UTF-8; it is a pipe and nobody wrote anything.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let (file, about) = open(path)?;
    read_opened(file, &about, most)
}

/// The text of the regular file `path`, which has at most `most` bytes; `None` if nothing has this name. A link
/// that leads nowhere is something.
///
/// # Errors
/// As [`read_text`], and what has the name is no regular file.
pub fn read_beside(path: &Path, most: u64) -> io::Result<Option<String>> {
    match path.symlink_metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
        Ok(_) => {
            let (file, about) = open_regular(path)?;
            read_opened(file, &about, most).map(Some)
        }
    }
}

/// Opens `path` without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking.bits().cast_signed()).open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - nonblocking)?;
    Ok((file, about))
}

fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let (file, about) = open(path)?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, about))
}

fn read_opened(file: File, about: &Metadata, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.is_empty() && about.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is a pipe to which nobody wrote"));
    }
    if bytes.len() as u64 > most {
        let why = format!("it has more than {} KiB, the most that is read", most >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Reads a value of any strict type from `text`. Without a format it is found out. `file` is named in
/// errors. Everything that is wrong is said at once.
///
/// # Errors
/// What is wrong, one entry per thing.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str, format: Option<Format>) -> Result<T, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = tree(text, format).map_err(|message| vec![Problem::new(file, "", &message)])?;
    let tree = match tree {
        // What an empty YAML document is.
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => tree,
        other => {
            let message = format!("found {} where a table of keys belongs", kind(&other));
            return Err(vec![Problem::new(file, "", &message)]);
        }
    };
    typed(file, tree)
}

/// Reads a value of any strict type from one `key` with its value as text, such as `limits.memory` with
/// `10MiB`. `source` is named in errors.
///
/// # Errors
/// What is wrong with it.
pub fn parse_key<T: DeserializeOwned>(source: &str, key: &str, value: &str) -> Result<T, Vec<Problem>> {
    let tree =
        key.rsplit('.').fold(Value::from(value), |tree, step| Value::Object(Map::from_iter([(step.to_owned(), tree)])));
    typed(source, tree)
}

fn tree(text: &str, format: Option<Format>) -> Result<Value, String> {
    let read = |format| read_tree(text, format).map_err(|why| format!("not valid {}: {why}", Format::name(format)));
    match format {
        Some(format) => read(format),
        None if text.trim_start().starts_with('{') => read(Format::Json),
        None => read(Format::Toml).or_else(|toml| match read(Format::Yaml) {
            // Any line of text is a string to YAML.
            Ok(tree @ (Value::Object(_) | Value::Null)) => Ok(tree),
            Ok(_) => Err(format!("{toml} (give the file a name that ends in .toml, .json or .yaml)")),
            Err(yaml) => Err(format!("{toml}; {yaml} (give the file a name that ends in .toml, .json or .yaml)")),
        }),
    }
}

fn read_tree(text: &str, format: Format) -> Result<Value, String> {
    match format {
        Format::Toml => toml::from_str::<Tree>(text).map(|t| t.0).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let place = before.map_or_else(String::new, |before| {
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
                format!("line {}, column {column}: ", before.matches('\n').count() + 1)
            });
            format!("{place}{}", error.message())
        }),
        Format::Json => serde_json::from_str::<Tree>(text).map(|t| t.0).map_err(|error| error.to_string()),
        Format::Yaml => {
            let options = serde_saphyr::options! { with_snippet: false };
            serde_saphyr::from_str_with_options::<Tree>(text, options).map(|t| t.0).map_err(|error| {
                // The library puts advice to whoever calls it before the place.
                let said = error.to_string();
                match (said.find(", set "), said.rfind(" at line")) {
                    (Some(from), Some(to)) if from < to && said.contains("Options") => {
                        format!("{}{}", said.get(..from).unwrap_or_default(), said.get(to..).unwrap_or_default())
                    }
                    _ => said,
                }
            })
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// Reads `tree` as a `T`. What is wrong is noted and taken out of the tree, and the rest is read again.
fn typed<T: DeserializeOwned>(file: &str, mut tree: Value) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&tree) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        let message = alone(&tree, &path, &error.inner().to_string());
        let message = message.unwrap_or_else(|| reword(&error.inner().to_string()));
        problems.push(Problem::new(file, key_path(&path, &removed), &message));
        if problems.len() == MAX_PROBLEMS || !remove(&mut tree, &path, &mut removed) {
            return Err(problems);
        }
    }
}

/// What to say of a word that lacks its value, or that has one and takes none.
fn alone(tree: &Value, path: &[Segment], message: &str) -> Option<String> {
    let at = path.iter().try_fold(tree, |at, step| match step {
        Segment::Seq { index } => at.get(*index),
        Segment::Map { key } => at.get(key.as_str()),
        Segment::Enum { .. } | Segment::Unknown => Some(at),
    });
    match (message, at?) {
        (message, Value::String(word)) if message.contains("unit variant, expected newtype variant") => {
            let value = match word.as_str() {
                "block" => "\"1s\"",
                "restart" => "3",
                _ => "…",
            };
            Some(format!("found `{word}` without its value; write `{{ {word} = {value} }}`"))
        }
        (message, Value::Object(map)) if message.ends_with(", expected unit") => {
            let word = map.keys().next()?;
            Some(format!("found a value for `{word}`, which has none; write `\"{word}\"`"))
        }
        _ => None,
    }
}

/// `limits.memory`, `wasi.dirs[2].host`. An index is of the list as it was before `removed` was taken out.
fn key_path(path: &[Segment], removed: &[String]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let before = removed.iter().filter(|list| **list == text).count();
                text = format!("{text}[{}]", index + before);
            }
            Segment::Map { key } => {
                let dot = if text.is_empty() { "" } else { "." };
                text = format!("{text}{dot}{key}");
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

/// Takes what stands at `path` out of `tree`; false if nothing does.
fn remove(tree: &mut Value, path: &[Segment], removed: &mut Vec<String>) -> bool {
    let mut steps: Vec<&Segment> =
        path.iter().take_while(|s| matches!(s, Segment::Seq { .. } | Segment::Map { .. })).collect();
    let Some(last) = steps.pop() else { return false };
    let mut at = tree;
    for step in &steps {
        let below = match step {
            Segment::Seq { index } => at.get_mut(*index),
            Segment::Map { key } => at.get_mut(key.as_str()),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        match below {
            Some(below) => at = below,
            None => return false,
        }
    }
    match (last, at) {
        (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
            list.remove(*index);
            let steps: Vec<Segment> = steps.into_iter().cloned().collect();
            removed.push(key_path(&steps, removed));
            true
        }
        (Segment::Map { key }, Value::Object(map)) => map.remove(key).is_some(),
        _ => false,
    }
}

/// What the deserialiser says, in our words and with a suggestion.
fn reword(message: &str) -> String {
    let Some((start, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let unknown = ["field", "variant", "proposal", "fuel mode"]
        .into_iter()
        .find_map(|what| Some((what, start.strip_prefix("unknown ")?.strip_prefix(what)?.trim())));
    let Some((what, found)) = unknown else {
        let start = start.replace("invalid type: ", "found ").replace("invalid value: ", "found ");
        let start = start.replace("found map", "found a table").replace("found sequence", "found a list");
        return format!("{start} where {} belongs", in_our_words(expected));
    };
    let found = found.trim_matches('`');
    let allowed: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let what = match what {
        "field" => "key",
        "variant" => "word",
        other => other,
    };
    let hint = suggestion(found, &allowed).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let found: String = found.chars().take(64).collect();
    format!("unknown {what} `{found}`{hint} (allowed: {})", allowed.join(", "))
}

/// What belongs in a place, said for people who do not know the types of this program.
fn in_our_words(expected: &str) -> &str {
    match expected {
        "string or map" => "a word in quotes (without them YAML takes `off` for `false`) or a table of one key",
        "enum Level" => "`strict`, `standard`, `relaxed` or `development`",
        "struct DirPart" | "struct WantedDir" => "a table with `guest` and `access`",
        "a map" => "a table",
        "a sequence" => "a list",
        "a string" => "text",
        "a boolean" => "`true` or `false`",
        other if other.starts_with("struct ") => "a table of keys",
        other if other.starts_with("enum ") => "a word",
        other => other,
    }
}

/// The word of `allowed` that `found` was probably meant to be.
pub(crate) fn suggestion<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    if found.len() > 64 {
        return None;
    }
    let plain = found.to_ascii_lowercase().replace('-', "_");
    let near = |word: &str| strsim::jaro_winkler(&plain, &word.replace('-', "_"));
    let best = allowed.iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(best) > 0.8).then_some(*best)
}

/// Any tree of values in which no key stands twice.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut left = MAX_VALUES;
        de::DeserializeSeed::deserialize(Node { left: &mut left }, d).map(Tree)
    }
}

/// One value of a tree, while there are `left` values that it may have.
struct Node<'a> {
    left: &'a mut usize,
}

impl<'de> de::DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        *self.left =
            self.left.checked_sub(1).ok_or_else(|| de::Error::custom(format!("more than {MAX_VALUES} values")))?;
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom(format!("{v} is no number here")))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Node { left: &mut *self.left })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "$__toml_private_datetime" {
                return Err(de::Error::custom("a date stands where none is allowed"));
            }
            let value = map.next_value_seed(Node { left: &mut *self.left })?;
            if table.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(de::Error::custom(format!("duplicate key `{key}`")));
            }
            table.insert(key, value);
        }
        Ok(Value::Object(table))
    }
}
