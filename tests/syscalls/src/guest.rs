//! Finds and compiles guest programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use harness::{Run, source_root, target_dir};

/// Static, with the warnings that find wrong tests; optimised so little that no call is folded away.
const FLAGS: &[&str] = &["-static", "-O1", "-std=gnu11", "-pthread", "-Wall", "-Wextra", "-Werror"];

/// A guest program.
#[derive(Clone, Debug)]
pub struct Guest {
    source: PathBuf,
    built: Arc<OnceLock<Result<PathBuf, String>>>,
}

/// All guest programs, by name.
///
/// # Errors
///
/// When their folder cannot be read.
pub fn all() -> Result<Vec<Guest>> {
    let folder = source_root().join("tests/guest");
    let mut guests = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let source = entry?.path();
        if source.extension().is_some_and(|extension| extension == "c") {
            guests.push(Guest { source, built: Arc::default() });
        }
    }
    guests.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(guests)
}

impl Guest {
    /// The file's name without its ending.
    #[must_use]
    pub fn name(&self) -> String {
        self.source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The compiled program; compiled once if the source is newer.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub fn program(&self) -> Result<PathBuf> {
        let built = self.built.get_or_init(|| self.compile().map_err(|error| format!("{error:#}")));
        built.clone().map_err(anyhow::Error::msg)
    }

    fn compile(&self) -> Result<PathBuf> {
        let folder = target_dir().join("guest");
        fs::create_dir_all(&folder)?;
        let program = folder.join(self.name());
        let header = self.source.with_file_name("check.h");
        let newest_source = changed(&self.source).max(changed(&header));
        if program.exists() && changed(&program) > newest_source {
            return Ok(program);
        }
        // By rename: a program that runs somewhere cannot be written to.
        let part = folder.join(format!(".{}.{}", self.name(), std::process::id()));
        let gcc = Run::new("gcc").args(FLAGS).arg(&self.source).arg("-o").arg(&part).output()?;
        ensure!(gcc.status.success(), "gcc {}:\n{}", self.source.display(), gcc.stderr);
        fs::rename(&part, &program)?;
        Ok(program)
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
