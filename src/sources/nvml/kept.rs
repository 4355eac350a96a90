//! What was learnt of GPUs and is kept across restarts: how wide a link was, whether the Multi-Process Service was on, and when
//! memory pages were retired. A file in a folder of the module, written anew as a whole; without a folder it lives as long as
//! the process.

#![expect(clippy::disallowed_methods, reason = "what is kept is kept in a file, by the day")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// The file in the folder.
const FILE: &str = "gpus.json";
/// The most that is read of it, bytes: sixteen GPUs have a few KiB.
const MAX_FILE: u64 = 256 * 1024;
/// How many days pages are remembered (`gpu.md` §3.2: seven).
const DAYS: u64 = 7;

/// What was learnt, of every GPU by its UUID: addresses on the bus change on this device (`gpu.md` §0.3).
#[derive(Debug)]
pub(super) struct Kept {
    file: Option<PathBuf>,
    gpus: BTreeMap<String, Learnt>,
    /// Whether there is something that the file lacks.
    is_new: bool,
    /// Whether the file could be written last.
    could_write: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Learnt {
    /// Generation and width of the link under load, the most that was seen.
    link: Option<(u32, u32)>,
    /// Whether it was exclusive to one process, as the Multi-Process Service has it.
    exclusive: bool,
    /// Pages retired for errors that could not be corrected, by the day since 1970 on which there were as many first.
    pages: Vec<(u64, u64)>,
}

impl Kept {
    /// What is kept in `folder`. What cannot be read is learnt anew.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let file = folder.join(FILE);
        let mut text = String::new();
        let opened = fs::File::open(&file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        let gpus = opened.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { file: Some(file), gpus, is_new: true, could_write: false }
    }

    /// Nothing is kept.
    pub(super) fn in_memory() -> Self {
        Self { file: None, gpus: BTreeMap::new(), is_new: false, could_write: false }
    }

    /// Whether what is learnt outlives the process.
    pub(super) fn is_kept(&self) -> bool {
        self.could_write
    }

    /// The link under load of a GPU, the most of what was seen and is seen now.
    pub(super) fn link(&mut self, uuid: &str, now: (u32, u32)) -> (u32, u32) {
        self.learn(uuid, |gpu| {
            let before = gpu.link.unwrap_or(now);
            let link = (before.0.max(now.0), before.1.max(now.1));
            gpu.link = Some(link);
            link
        })
    }

    /// The link under load of a GPU as far as it was seen.
    pub(super) fn known_link(&self, uuid: &str) -> Option<(u32, u32)> {
        self.gpus.get(uuid)?.link
    }

    /// Whether a GPU was ever exclusive to one process, up to now.
    pub(super) fn was_exclusive(&mut self, uuid: &str, now: bool) -> bool {
        self.learn(uuid, |gpu| {
            gpu.exclusive |= now;
            gpu.exclusive
        })
    }

    /// How many pages were retired in the last seven days; none before the first day is over.
    pub(super) fn pages(&mut self, uuid: &str, now: u64) -> Option<u64> {
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs() / 86_400;
        self.learn(uuid, |gpu| {
            if gpu.pages.last().is_none_or(|(_, pages)| *pages != now) {
                gpu.pages.push((today, now));
            }
            while gpu.pages.get(1).is_some_and(|(day, _)| day + DAYS < today) {
                gpu.pages.remove(0);
            }
            let (first, before) = gpu.pages.first().copied()?;
            (first < today).then(|| now.saturating_sub(before))
        })
    }

    /// Writes what is new. A folder that cannot be written keeps nothing, and [`Kept::is_kept`] says so.
    pub(super) fn save(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.is_new) else { return };
        let written =
            serde_json::to_string(&self.gpus).map_err(std::io::Error::from).and_then(|text| write(file, &text));
        self.could_write = written.is_ok();
        self.is_new = written.is_err();
    }

    fn learn<T>(&mut self, uuid: &str, learn: impl FnOnce(&mut Learnt) -> T) -> T {
        let gpu = self.gpus.entry(uuid.to_owned()).or_default();
        let before = gpu.clone();
        let learnt = learn(gpu);
        self.is_new |= *gpu != before;
        learnt
    }
}

/// Writes a file that is there as a whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("edgeshift-kept-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_is_learnt_is_there_after_a_restart() {
        let folder = folder("restart");
        let mut kept = Kept::in_folder(&folder);
        assert_eq!(kept.link("GPU-1", (3, 16)), (3, 16));
        assert!(kept.was_exclusive("GPU-1", true));
        kept.save();
        assert!(kept.is_kept());
        let mut kept = Kept::in_folder(&folder);
        assert_eq!(kept.link("GPU-1", (3, 8)), (3, 16));
        assert!(kept.was_exclusive("GPU-1", false) && !kept.was_exclusive("GPU-2", false));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_spoilt_or_away_is_no_failure() {
        let folder = folder("spoilt");
        fs::write(folder.join(FILE), "no JSON").unwrap();
        let mut kept = Kept::in_folder(&folder);
        assert_eq!(kept.known_link("GPU-1"), None);
        kept.save();
        assert!(kept.is_kept());
        fs::remove_dir_all(&folder).unwrap();
        kept.link("GPU-1", (3, 16));
        kept.save();
        assert!(!kept.is_kept());
        assert_eq!(kept.known_link("GPU-1"), Some((3, 16)));
    }

    #[test]
    fn pages_of_the_last_week_are_counted_by_days() {
        let folder = folder("pages");
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
        let text = format!(r#"{{"GPU-1":{{"pages":[[{},2],[{},14],[{},15]]}}}}"#, today - 40, today - 20, today - 3);
        fs::write(folder.join(FILE), text).unwrap();
        let mut kept = Kept::in_folder(&folder);
        // Fourteen were there a week ago.
        assert_eq!(kept.pages("GPU-1", 17), Some(3));
        assert_eq!(kept.pages("GPU-2", 5), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
