//! The scenario that is being played, and since when.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use gpu_scenario::{Gpu, Scenario};

/// The name of the scenario's file.
pub(crate) const SCENARIO: &str = "scenario.toml";

/// The name of the file that says how often each function was called.
pub(crate) const CALLS: &str = "calls.txt";

/// What `nvmlReturn_t` says.
pub(crate) const UNINITIALIZED: u32 = 1;
pub(crate) const UNKNOWN: u32 = 999;

static PLAYED: Mutex<Option<Played>> = Mutex::new(None);

struct Played {
    text: String,
    scenario: Scenario,
    started: Instant,
    /// How often it was initialised and not shut down.
    users: u32,
    /// How many Xids were told.
    told: usize,
    /// How often each function was called for a GPU, and each field asked for.
    calls: BTreeMap<String, u64>,
}

/// Starts to play, or reads the scenario again; says what `nvmlInit_v2` returns.
pub(crate) fn init() -> u32 {
    let mut played = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if played.is_none() {
        let Some(scenario) = read().and_then(|text| Some((Scenario::read(&text).ok()?, text))) else { return UNKNOWN };
        let (scenario, text) = scenario;
        *played = Some(Played { text, scenario, started: Instant::now(), users: 0, told: 0, calls: BTreeMap::new() });
    }
    let Some(played) = played.as_mut() else { return UNKNOWN };
    played.renew();
    if played.scenario.init == 0 {
        played.users += 1;
    }
    played.scenario.init
}

/// Forgets one initialisation, and writes down what was called so far.
pub(crate) fn shutdown() -> u32 {
    let mut played = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match played.as_mut().filter(|played| played.users > 0) {
        Some(played) => {
            played.users -= 1;
            played.write_calls();
            0
        }
        None => UNINITIALIZED,
    }
}

/// Hands what is played and the time since the start, in ms, to `answer`.
pub(crate) fn playing<T>(answer: impl FnOnce(&Scenario, u64) -> Result<T, u32>) -> Result<T, u32> {
    let mut played = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let played = played.as_mut().filter(|played| played.users > 0).ok_or(UNINITIALIZED)?;
    played.renew();
    // A driver that went away answers nobody.
    if played.scenario.init != 0 {
        return Err(played.scenario.init);
    }
    let elapsed = u64::try_from(played.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer(&played.scenario, elapsed)
}

/// Hands one GPU to `answer`; `function` is the name under which the scenario may have it fail.
pub(crate) fn of_gpu<T>(index: usize, function: &str, answer: impl FnOnce(&Gpu) -> Result<T, u32>) -> Result<T, u32> {
    count(function);
    let gpu = playing(|scenario, at| scenario.at(at).get(index).cloned().ok_or(2))?;
    if gpu.hangs {
        loop {
            std::thread::park();
        }
    }
    if gpu.lost {
        return Err(15);
    }
    match gpu.returns.get(function) {
        Some(code) => Err(*code),
        None => answer(&gpu),
    }
}

/// Counts a call.
pub(crate) fn count(function: &str) {
    if let Some(played) = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut() {
        match played.calls.get_mut(function) {
            Some(calls) => *calls += 1,
            None => drop(played.calls.insert(function.to_owned(), 1)),
        }
    }
}

/// The next Xid that has come and was not told yet: the GPU and the number.
pub(crate) fn next_xid() -> Result<Option<(usize, u64)>, u32> {
    let told =
        PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref().map_or(0, |played| played.told);
    let next = playing(|scenario, at| {
        let due = |xid: &&(u64, usize, u64)| xid.0 <= at;
        Ok(scenario.xids.get(told).filter(due).map(|(_, gpu, xid)| (*gpu, *xid)))
    })?;
    if next.is_some()
        && let Some(played) = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut()
    {
        played.told += 1;
    }
    Ok(next)
}

impl Played {
    /// Reads the scenario again if it changed; one that cannot be read changes nothing.
    fn renew(&mut self) {
        if let Some(text) = read().filter(|text| *text != self.text)
            && let Ok(scenario) = Scenario::read(&text)
        {
            (self.scenario, self.text) = (scenario, text);
        }
    }

    /// Nothing is lost where the folder cannot be written but the numbers.
    fn write_calls(&self) {
        let mut text = String::new();
        for (function, calls) in &self.calls {
            let _ = writeln!(text, "{function} {calls}");
        }
        if let Some(place) = place() {
            let _ = fs::write(place.join(CALLS), text);
        }
    }
}

fn read() -> Option<String> {
    fs::read_to_string(place()?.join(SCENARIO)).ok()
}

fn place() -> Option<&'static PathBuf> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PLACE.get_or_init(folder).as_ref()
}

/// Where this library lies: the file whose code is running.
fn folder() -> Option<PathBuf> {
    let here = folder as *const () as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        range.is_some_and(|(from, to)| (number(from)..number(to)).contains(&here))
    })?;
    let path = line.find('/').map(|at| PathBuf::from(&line[at..]))?;
    path.parent().map(PathBuf::from)
}
