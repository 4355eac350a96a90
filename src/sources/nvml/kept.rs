//! What was learnt of GPUs and is kept across restarts: how wide a link was, whether the Multi-Process Service was on, when
//! memory pages were retired, and which faults came in which start of the device. A file in a folder of the module, written anew as a whole; without a folder it lives as long as
//! the process.

#![expect(clippy::disallowed_methods, reason = "what is kept is kept in a file, by the day")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::evidence::Xid;

/// The file in the folder.
const FILE: &str = "gpus.json";
/// The most that is read of it, bytes: sixteen GPUs have a few KiB, and with all the faults that are remembered some 150 KiB.
const MAX_FILE: u64 = 256 * 1024;
/// How many days pages are remembered (`gpu.md` §3.2: seven).
const DAYS: u64 = 7;
/// How long faults are remembered, s; the thirty days are ours.
const FAULTS: u64 = 30 * 86_400;
/// How many starts of the device with a fault are remembered, and how many different faults.
const MAX_STARTS: usize = 8;
const MAX_FAULTS: usize = 16;
/// How far apart two faults are of which both are written down, s.
const APART: u64 = 60;

/// What was learnt, of every GPU by its UUID: addresses on the bus change on this device (`gpu.md` §0.3).
#[derive(Debug)]
pub(super) struct Kept {
    file: Option<PathBuf>,
    /// What tells this start of the device from all others; none where the kernel does not say.
    boot: Option<String>,
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
    /// How many links to other GPUs were active, the most that was seen.
    active_links: u32,
    /// Pages retired for errors that could not be corrected, by the day since 1970 on which there were as many first.
    pages: Vec<(u64, u64)>,
    /// Faults by number: the starts of the device in which each came, the oldest first, and when it did last, s since 1970. A
    /// start that a reset of the GPU ended has another name from then on.
    xids: BTreeMap<u64, Vec<(String, u64)>>,
}

impl Kept {
    /// What is kept in `folder`, if there is one; without it nothing is. What cannot be read is learnt anew. `proc` is where the
    /// kernel says which start of the device this is.
    pub(super) fn new(folder: Option<&Path>, proc: &Path) -> Self {
        let boot = fs::read_to_string(proc.join("sys/kernel/random/boot_id")).ok();
        let boot = boot.map(|boot| boot.trim().to_owned()).filter(|boot| !boot.is_empty());
        Self { boot, ..folder.map_or_else(Self::in_memory, Self::in_folder) }
    }

    fn in_folder(folder: &Path) -> Self {
        let file = folder.join(FILE);
        let mut text = String::new();
        let opened = fs::File::open(&file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        let gpus = opened.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { file: Some(file), boot: None, gpus, is_new: true, could_write: false }
    }

    /// Nothing is kept.
    pub(super) fn in_memory() -> Self {
        Self { file: None, boot: None, gpus: BTreeMap::new(), is_new: false, could_write: false }
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

    /// How many links to other GPUs were active at most, up to now.
    pub(super) fn active_links(&mut self, uuid: &str, now: u32) -> u32 {
        self.learn(uuid, |gpu| {
            gpu.active_links = gpu.active_links.max(now);
            gpu.active_links
        })
    }

    /// The faults of a GPU: to those that were `seen` since this module looks come those of earlier since the device was
    /// started, and each says after how many restarts it is back (`gpu.md` §3.1).
    pub(super) fn xids(&mut self, uuid: &str, mut seen: BTreeMap<u64, Xid>) -> BTreeMap<u64, Xid> {
        let is_known = |gpus: &BTreeMap<String, Learnt>| gpus.get(uuid).is_some_and(|gpu| !gpu.xids.is_empty());
        let (Some(boot), Some(now)) = (self.boot.clone(), seconds()) else { return seen };
        if seen.is_empty() && !is_known(&self.gpus) {
            return seen;
        }
        self.learn(uuid, |gpu| {
            for (number, xid) in &seen {
                if gpu.xids.len() >= MAX_FAULTS && !gpu.xids.contains_key(number) {
                    continue;
                }
                let (at, starts) = (now.saturating_sub(xid.seconds_ago), gpu.xids.entry(*number).or_default());
                match starts.last_mut().filter(|(start, _)| *start == boot) {
                    Some((_, last)) if last.saturating_add(APART) > at => {}
                    Some((_, last)) => *last = at,
                    None => starts.push((boot.clone(), at)),
                }
                starts.drain(..starts.len().saturating_sub(MAX_STARTS));
            }
            gpu.xids.retain(|_, starts| {
                starts.retain(|(_, at)| at.saturating_add(FAULTS) > now);
                !starts.is_empty()
            });
            for (number, starts) in &gpu.xids {
                let earlier = starts.iter().filter(|(start, _)| *start != boot).count();
                let last = starts.last().filter(|(start, _)| *start == boot);
                if let Some((_, at)) = last {
                    let before = || Xid { seconds_ago: now.saturating_sub(*at), ..Xid::default() };
                    let xid = seen.entry(*number).or_insert_with(before);
                    xid.restarts = u32::try_from(earlier).unwrap_or(u32::MAX);
                }
            }
        });
        seen
    }

    /// Notes that a GPU was reset, which is as good as a restart of the device.
    pub(super) fn was_reset(&mut self, uuid: &str) {
        let Some(boot) = self.boot.clone() else { return };
        self.learn(uuid, |gpu| {
            let starts = gpu.xids.values_mut().flatten().map(|(start, _)| start);
            starts.filter(|start| **start == boot).for_each(|start| start.push('+'));
        });
    }

    /// How many pages were retired in the last seven days; none before the first day is over.
    pub(super) fn pages(&mut self, uuid: &str, now: u64) -> Option<u64> {
        let today = seconds()? / 86_400;
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

/// Since 1970.
fn seconds() -> Option<u64> {
    Some(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
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
    fn a_fault_that_is_back_after_restarts_says_after_how_many() {
        let folder = folder("faults");
        let start = |number: u32| {
            let boot = Some(format!("start-{number}"));
            Kept { boot, ..Kept::in_folder(&folder) }
        };
        let fault = |count, seconds_ago| BTreeMap::from([(79, Xid { count, seconds_ago, restarts: 0 })]);
        for number in 0..3 {
            let mut kept = start(number);
            // A start without it changes nothing.
            assert_eq!(kept.xids("GPU-1", BTreeMap::new()), BTreeMap::new());
            assert_eq!(kept.xids("GPU-1", fault(2, 30))[&79], Xid { count: 2, seconds_ago: 30, restarts: number });
            assert_eq!(kept.xids("GPU-2", BTreeMap::new()), BTreeMap::new());
            kept.save();
            // Another process in the same start of the device knows of it.
            let mut kept = start(number);
            let again = kept.xids("GPU-1", BTreeMap::new())[&79];
            assert_eq!((again.count, again.restarts), (0, number));
            assert!((30..40).contains(&again.seconds_ago), "{again:?}");
            assert_eq!(kept.xids("GPU-1", fault(1, 0))[&79].restarts, number);
            // A GPU that was reset is rid of it.
            if number == 2 {
                kept.was_reset("GPU-1");
                assert_eq!(kept.xids("GPU-1", BTreeMap::new()), BTreeMap::new());
                assert_eq!(kept.xids("GPU-1", fault(1, 0))[&79].restarts, 3);
            }
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_kept_of_faults_is_bounded() {
        let mut kept = Kept { boot: Some("now".to_owned()), ..Kept::in_memory() };
        let old = vec![("then".to_owned(), seconds().unwrap() - FAULTS - 1)];
        let many = (0..20).map(|number| (format!("start-{number}"), seconds().unwrap())).collect();
        kept.gpus.insert("GPU-1".to_owned(), Learnt { xids: [(48, old), (79, many)].into(), ..Learnt::default() });
        let seen = (0..100).map(|number| (number, Xid { count: 1, ..Xid::default() })).collect();
        let seen = kept.xids("GPU-1", seen);
        assert_eq!((seen[&48].restarts, seen[&79].restarts, seen.len()), (0, 7, 100));
        assert_eq!(kept.gpus["GPU-1"].xids.len(), MAX_FAULTS);
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
