//! The scenario that is being played, and since when.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use gpu_scenario::{Gpu, Scenario};

/// The name of the scenario's file.
pub(crate) const SCENARIO: &str = "scenario.toml";

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
}

/// Starts to play, or reads the scenario again; says what `nvmlInit_v2` returns.
pub(crate) fn init() -> u32 {
    let mut played = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if played.is_none() {
        let Some(scenario) = read().and_then(|text| Some((Scenario::read(&text).ok()?, text))) else { return UNKNOWN };
        let (scenario, text) = scenario;
        *played = Some(Played { text, scenario, started: Instant::now(), users: 0, told: 0 });
    }
    let Some(played) = played.as_mut() else { return UNKNOWN };
    played.renew();
    if played.scenario.init == 0 {
        played.users += 1;
    }
    played.scenario.init
}

/// Forgets one initialisation.
pub(crate) fn shutdown() -> u32 {
    let mut played = PLAYED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match played.as_mut().filter(|played| played.users > 0) {
        Some(played) => {
            played.users -= 1;
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
}

fn read() -> Option<String> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    fs::read_to_string(PLACE.get_or_init(folder).as_ref()?.join(SCENARIO)).ok()
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
