//! Paths to texts: files, folders and stdin, with limits and with errors that name the path.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::manifest::{Manifest, ManifestError};
use crate::output::{Reason, Rejected};
use crate::settings::Settings;
use crate::text::{MAX_BYTES, Source};

/// What the paths name, in the order of the arguments. Nothing is read before [`Inputs::read`].
#[derive(Debug)]
pub(super) struct Inputs {
    arguments: Vec<Argument>,
}

#[derive(Debug)]
enum Argument {
    Stdin,
    File(PathBuf),
    /// The files are sorted by name.
    Folder {
        path: PathBuf,
        files: Vec<PathBuf>,
        problems: Vec<Rejected>,
    },
}

/// What came of one input.
#[derive(Debug)]
pub(super) enum Answer {
    /// A manifest and its name.
    Manifest(String, Manifest),
    /// A file that could not be read as one.
    Rejected(Rejected),
    /// JSON in a folder that is no deployment: it was not asked for by name.
    NoDeployment,
    /// A folder that could not be searched, or with nothing in it.
    Problem(Rejected),
}

impl Inputs {
    /// Finds what `paths` name.
    pub(super) fn find(paths: &[PathBuf]) -> Self {
        let argument = |path: &PathBuf| {
            if path.as_os_str() == "-" {
                Argument::Stdin
            } else if path.is_dir() {
                let (mut files, mut problems) = (Vec::new(), Vec::new());
                walk(path, &mut files, &mut problems);
                files.sort();
                Argument::Folder { path: path.clone(), files, problems }
            } else {
                Argument::File(path.clone())
            }
        };
        Self { arguments: paths.iter().map(argument).collect() }
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        let files = |argument: &Argument| match argument {
            Argument::Stdin | Argument::File(_) => 1,
            Argument::Folder { files, .. } => files.len(),
        };
        self.arguments.iter().map(files).sum()
    }

    /// Reads one file after the other and hands over what came of it.
    pub(super) fn read(self, mut then: impl FnMut(Answer)) {
        for argument in self.arguments {
            match argument {
                Argument::Stdin => then(answer(STDIN, read(std::io::stdin().lock(), STDIN), false)),
                Argument::File(path) => then(answer_of(&path, false)),
                Argument::Folder { path, files, problems } => {
                    let mut found = !problems.is_empty();
                    for problem in problems {
                        then(Answer::Problem(problem));
                    }
                    for path in files {
                        let answer = answer_of(&path, true);
                        found |= !matches!(answer, Answer::NoDeployment);
                        then(answer);
                    }
                    if !found {
                        let name = path.display().to_string();
                        let message = format!(
                            "{name}: there is no deployment in this folder (looked for *.json in it and below)"
                        );
                        then(Answer::Problem(Rejected::unreadable(name, message)));
                    }
                }
            }
        }
    }
}

/// What stdin is called in messages.
const STDIN: &str = "<stdin>";

/// The name under which settings are looked for in the current folder.
const SETTINGS: &str = ".edgeshift.toml";

/// The file in which settings are looked for.
pub(super) fn settings_name(path: Option<&Path>) -> &Path {
    path.unwrap_or_else(|| Path::new(SETTINGS))
}

/// The settings in `path`, or in `.edgeshift.toml` where no path is given; the defaults where that does not exist.
///
/// # Errors
/// The file cannot be read or has something that is no setting.
pub(super) fn settings(path: Option<&Path>) -> anyhow::Result<Settings> {
    let name = settings_name(path);
    if path.is_none() && !name.exists() {
        return Ok(Settings::default());
    }
    let shown = name.display().to_string();
    let text = open(name, &shown).map_err(anyhow::Error::msg)?;
    Settings::from_toml(&text).with_context(|| format!("cannot use {shown}"))
}

/// Reads the one manifest at `path`; `-` is stdin.
///
/// # Errors
/// It cannot be read or is none; the message says where.
pub(super) fn one(path: &Path) -> Result<Manifest, String> {
    let (name, text) = match path {
        path if path.as_os_str() == "-" => (STDIN.to_owned(), read(std::io::stdin().lock(), STDIN)?),
        path => (path.display().to_string(), open(path, &path.display().to_string())?),
    };
    Manifest::read(&Source::new(name.as_str(), text)).map_err(|error| match &error {
        ManifestError::Syntax { document, error } => {
            let place = error.at.first().map_or(String::new(), |range| format!(":{}", document.position(range.start)));
            format!("{name}{place}: {error}")
        }
        ManifestError::NotADeployment { .. } => error.to_string(),
    })
}

fn answer_of(path: &Path, in_folder: bool) -> Answer {
    let name = path.display().to_string();
    let text = open(path, &name);
    answer(&name, text, in_folder)
}

fn answer(name: &str, text: Result<String, String>, in_folder: bool) -> Answer {
    match text.map(|text| Manifest::read(&Source::new(name, text))) {
        Ok(Ok(manifest)) => Answer::Manifest(name.to_owned(), manifest),
        Ok(Err(ManifestError::NotADeployment { .. })) if in_folder => Answer::NoDeployment,
        Ok(Err(error)) => Answer::Rejected(Rejected { name: name.to_owned(), reason: Reason::Manifest(error) }),
        Err(message) => Answer::Rejected(Rejected::unreadable(name.to_owned(), message)),
    }
}

/// Collects `*.json` below `folder`. Links to folders are not followed, so a loop cannot trap us; hidden folders
/// and what package managers fill are not entered.
fn walk(folder: &Path, files: &mut Vec<PathBuf>, problems: &mut Vec<Rejected>) {
    let name = folder.display().to_string();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Rejected::unreadable(name.clone(), format!("cannot list {name}: {error}")));
            return;
        }
    };
    for entry in entries.filter_map(Result::ok) {
        let (path, file_name) = (entry.path(), entry.file_name());
        let file_name = file_name.to_string_lossy();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !file_name.starts_with('.') && file_name != "node_modules" && file_name != "target" {
            walk(&path, files, problems);
        } else if !is_folder && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            files.push(path);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where files are read, with the limit that the others want")]
pub(super) fn open(path: &Path, name: &str) -> Result<String, String> {
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
