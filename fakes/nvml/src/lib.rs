//! A `libnvidia-ml.so` that plays scenarios, so that what reads GPUs can be tested where there are none. The library reads
//! `scenario.toml` beside itself, again whenever that changes; [`install`] puts both somewhere, with the functions that a
//! driver of some age has.

mod exports;
mod state;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use exports::*;
pub use gpu_scenario::{Gpu, Process, Scenario};

/// Which functions the library has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// R470: no memory with its reserve, no processes of the third version, no clock *event* reasons (`gpu.md` §0.2).
    R470,
    /// R535 before 535.104, whose processes are larger than everywhere else (`gpu.md` §4.1).
    EarlyR535,
    /// All that are played.
    Current,
}

impl Symbols {
    /// The functions that are missing.
    fn missing(self) -> &'static [&'static str] {
        match self {
            Symbols::R470 => &[
                "nvmlDeviceGetMemoryInfo_v2",
                "nvmlDeviceGetComputeRunningProcesses_v3",
                "nvmlDeviceGetMPSComputeRunningProcesses_v3",
                "nvmlDeviceGetGraphicsRunningProcesses_v3",
                "nvmlDeviceGetMarginTemperature",
                "nvmlDeviceGetSramEccErrorStatus",
                "nvmlDeviceGetCurrentClocksEventReasons",
                "nvmlDeviceGetConfComputeMemSizeInfo",
                "nvmlDeviceGetRunningProcessDetailList",
            ],
            Symbols::EarlyR535 => &["nvmlDeviceGetRunningProcessDetailList"],
            Symbols::Current => &[],
        }
    }
}

/// Puts the library into `folder` as `libnvidia-ml.so.1`, with `scenario` beside it, and says where. Each folder is a driver of
/// its own, also within one process.
///
/// # Errors
/// The library was not built (it is where the tests of a package are that depends on this one), or `folder` can't be written.
pub fn install(folder: &Path, scenario: &str, symbols: Symbols) -> io::Result<PathBuf> {
    let built = std::env::current_exe()?.with_file_name("libfake_nvml.so");
    let mut bytes = fs::read(&built).map_err(|error| io::Error::other(format!("{}: {error}", built.display())))?;
    for symbol in symbols.missing() {
        hide(&mut bytes, symbol);
    }
    fs::create_dir_all(folder)?;
    let library = folder.join("libnvidia-ml.so.1");
    fs::write(folder.join(state::SCENARIO), scenario)?;
    fs::write(&library, bytes)?;
    Ok(library)
}

/// How often each function was called for the GPUs of the library in `folder`, and each field of a batch asked for (`field 230`),
/// up to when it was last shut down.
///
/// # Errors
/// It was not shut down yet.
pub fn calls(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(folder.join(state::CALLS))?;
    let counted = |line: &str| {
        let (function, calls) = line.rsplit_once(' ')?;
        Some((function.to_owned(), calls.parse().ok()?))
    };
    Ok(text.lines().filter_map(counted).collect())
}

/// Renames `symbol` in the table of names, so that nobody finds it.
fn hide(library: &mut [u8], symbol: &str) {
    let name = [b"\0", symbol.as_bytes(), b"\0"].concat();
    let ends = library.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
    let places: Vec<usize> = ends.filter(|at| library[*at..].starts_with(&name)).map(|at| at + 1).collect();
    for at in places {
        library[at] = b'x';
    }
}
