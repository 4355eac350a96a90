//! Paths to texts: files, folders and stdin, with limits and with errors that name the path.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::manifest::{Manifest, ManifestError};
use crate::output::{Reason, Rejected};
use crate::text::{MAX_BYTES, Source};

/// What the paths came to.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Name and manifest, in the order of the arguments, folders sorted by name.
    pub(super) manifests: Vec<(String, Manifest)>,
    /// What could not be read.
    pub(super) rejected: Vec<Rejected>,
    /// JSON files found in folders that are no deployments.
    pub(super) skipped: usize,
}

/// Reads everything that `paths` name.
pub(super) fn gather(paths: &[PathBuf]) -> Gathered {
    let mut gathered = Gathered::default();
    for path in paths {
        if path.as_os_str() == "-" {
            gathered.add("<stdin>", read(std::io::stdin().lock(), "<stdin>"), false);
        } else if path.is_dir() {
            gathered.add_folder(path);
        } else {
            let name = path.display().to_string();
            let text = open(path, &name);
            gathered.add(&name, text, false);
        }
    }
    gathered
}

/// Reads the one manifest at `path`.
///
/// # Errors
/// It cannot be read or is none; the message says where.
pub(super) fn one(path: &Path) -> Result<Manifest, String> {
    let name = path.display().to_string();
    let text = open(path, &name)?;
    Manifest::read(&Source::new(name.as_str(), text)).map_err(|error| match &error {
        ManifestError::Syntax { document, error } => {
            let place = error.at.first().map_or(String::new(), |range| format!(":{}", document.position(range.start)));
            format!("{name}{place}: {error}")
        }
        ManifestError::NotADeployment { .. } => error.to_string(),
    })
}

impl Gathered {
    /// Takes one text. Inside of folders JSON that is no deployment is passed over: it was not asked for by name.
    fn add(&mut self, name: &str, text: Result<String, String>, in_folder: bool) {
        match text.map(|text| Manifest::read(&Source::new(name, text))) {
            Ok(Ok(manifest)) => self.manifests.push((name.to_owned(), manifest)),
            Ok(Err(ManifestError::NotADeployment { .. })) if in_folder => self.skipped += 1,
            Ok(Err(error)) => self.rejected.push(Rejected { name: name.to_owned(), reason: Reason::Manifest(error) }),
            Err(message) => self.rejected.push(Rejected::unreadable(name.to_owned(), message)),
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        let before = (self.manifests.len(), self.rejected.len());
        let mut files = Vec::new();
        self.walk(folder, &mut files);
        files.sort();
        for path in files {
            let name = path.display().to_string();
            let text = open(&path, &name);
            self.add(&name, text, true);
        }
        if before == (self.manifests.len(), self.rejected.len()) {
            let name = folder.display().to_string();
            let message = format!("{name}: there is no deployment in this folder (looked for *.json in it and below)");
            self.rejected.push(Rejected::unreadable(name, message));
        }
    }

    /// Collects `*.json` below `folder`. Links to folders are not followed, so a loop cannot trap us; hidden folders
    /// and what package managers fill are not entered.
    fn walk(&mut self, folder: &Path, files: &mut Vec<PathBuf>) {
        let name = folder.display().to_string();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.rejected.push(Rejected::unreadable(name.clone(), format!("cannot list {name}: {error}")));
                return;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            let (path, file_name) = (entry.path(), entry.file_name());
            let file_name = file_name.to_string_lossy();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !file_name.starts_with('.') && file_name != "node_modules" && file_name != "target" {
                self.walk(&path, files);
            } else if !is_folder && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
                files.push(path);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where files are read, with the limit that the others want")]
fn open(path: &Path, name: &str) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("cannot open {name}: {error}"))?;
    read(file, name)
}

fn read(from: impl Read, name: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    from.take(limit).read_to_end(&mut bytes).map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() > MAX_BYTES {
        let mib = MAX_BYTES / (1024 * 1024);
        return Err(format!(
            "{name} is longer than {mib} MiB and no deployment is: IoT Hub takes 32 KB per twin section"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..at].split(|byte| *byte == b'\n').count();
        let hint = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "; it looks like UTF-16, save it as UTF-8",
            _ => "; save it as UTF-8",
        };
        format!("{name} is not UTF-8: byte {at}, in line {line}, cannot be read{hint}")
    })
}
