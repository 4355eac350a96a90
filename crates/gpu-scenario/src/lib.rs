//! GPUs by profile, and what becomes of them over time. The fake library of NVML plays these files, and so does the simulated
//! device; this package knows neither.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

/// A scenario as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The version of the driver.
    #[serde(default = "driver")]
    driver: String,
    /// The version of CUDA as NVML counts: 12020 is 12.2.
    #[serde(default = "cuda")]
    cuda: i32,
    /// What `nvmlInit_v2` returns.
    #[serde(default)]
    init: u32,
    /// The GPUs: `profile` and whatever differs from it.
    #[serde(default)]
    gpu: Vec<Table>,
    /// What happens, in the order of time.
    #[serde(default)]
    step: Vec<Step>,
    /// From where on everything happens again when the last step is over, in milliseconds; Xids come once.
    repeat_from_ms: Option<u64>,
}

/// Something that happens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// When, milliseconds after the library was first initialised.
    at_ms: u64,
    /// To which GPU; to all of them without it.
    gpu: Option<usize>,
    /// An Xid that the driver reports.
    xid: Option<u64>,
    /// What is different from now on.
    #[serde(default)]
    set: Table,
}

/// A scenario with every moment made concrete.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The version of the driver.
    pub driver: String,
    /// The version of CUDA as NVML counts.
    pub cuda: i32,
    /// What `nvmlInit_v2` returns.
    pub init: u32,
    /// From when on the GPUs are like this, in milliseconds; the first is 0.
    moments: Vec<(u64, Vec<Gpu>)>,
    /// When which GPU has which Xid.
    pub xids: Vec<(u64, usize, u64)>,
    repeat_from: Option<u64>,
}

/// A GPU at one moment. What is `None` the driver does not support.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of NVML, with the unit in the name")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Gpu {
    pub name: String,
    pub uuid: String,
    #[serde(default)]
    pub pci_domain: u32,
    pub memory_total_mib: u64,
    pub memory_reserved_mib: u64,
    pub memory_used_mib: u64,
    pub utilization: u32,
    pub memory_utilization: u32,
    pub temperature: u32,
    pub memory_temperature: Option<u32>,
    pub shutdown: u32,
    pub slowdown: u32,
    pub max_operating: u32,
    pub power_mw: u32,
    pub power_limit_mw: u32,
    pub sm_mhz: u32,
    pub memory_mhz: u32,
    pub max_sm_mhz: u32,
    pub max_memory_mhz: u32,
    pub pstate: u32,
    /// The bits of why the clocks are not higher.
    #[serde(default)]
    pub clock_events: u64,
    pub pcie_generation: u32,
    pub pcie_width: u32,
    pub pcie_max_generation: u32,
    pub pcie_max_width: u32,
    #[serde(default)]
    pub pcie_replays: u32,
    pub ecc: Option<bool>,
    pub ecc_pending: Option<bool>,
    #[serde(default)]
    pub ecc_corrected: u64,
    #[serde(default)]
    pub ecc_uncorrected: u64,
    pub retired_sbe: Option<u64>,
    pub retired_dbe: Option<u64>,
    pub retirement_pending: Option<bool>,
    /// Correctable, uncorrectable, pending, failed.
    pub remapped: Option<[u32; 4]>,
    pub recovery_action: Option<u32>,
    /// Fields of the batch that are not named above, by their number.
    #[serde(default)]
    pub fields: BTreeMap<String, u64>,
    /// How busy the encoder and the decoder of video are, in percent.
    pub encoder: Option<u32>,
    pub decoder: Option<u32>,
    #[serde(default = "yes")]
    pub persistence: bool,
    #[serde(default)]
    pub compute_mode: u32,
    #[serde(default)]
    pub processes: Vec<Process>,
    /// The parts that it is cut into; without it it is whole and cannot be cut.
    pub mig: Option<Vec<Instance>>,
    /// What the card stores of itself cannot be read.
    #[serde(default)]
    pub inforom_corrupt: bool,
    /// How far below its limit the temperature is, where the board counts that way.
    pub temperature_margin: Option<i32>,
    /// How much of the links to other GPUs failed: CRC errors, replays, recoveries; without it there are none.
    pub nvlink: Option<[u64; 3]>,
    /// How many of its twelve links to other GPUs are active; without it all.
    pub nvlink_active: Option<u32>,
    /// Whether errors of the memory inside the GPU are more than the driver's limit.
    pub sram_exceeded: Option<bool>,
    /// Nanoseconds for which heat held the clocks down.
    pub thermal_violation_ns: Option<u64>,
    /// What a function returns in place of an answer.
    #[serde(default)]
    pub returns: BTreeMap<String, u32>,
    /// The driver never answers for this GPU.
    #[serde(default)]
    pub hangs: bool,
    /// It fell off the bus.
    #[serde(default)]
    pub lost: bool,
    /// The ring of samples is empty, as it is on an idle GPU.
    #[serde(default)]
    pub no_samples: bool,
    /// How many samples the ring has room for.
    #[serde(default = "ring")]
    pub ring: u64,
}

/// A process that uses a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number on the host.
    pub pid: u32,
    /// Its memory; without it the driver does not know.
    pub memory_mib: Option<u64>,
    /// Whether it is a client of MPS, which both lists show (`gpu.md` §4.6).
    #[serde(default)]
    pub mps: bool,
    /// Whether it draws, and computes not.
    #[serde(default)]
    pub graphics: bool,
    /// How busy it keeps the GPU, percent; without it the driver has no samples of it.
    pub utilization: Option<u32>,
    /// The part of the GPU that it has, by its place in `mig`.
    pub instance: Option<usize>,
    /// The id of the container that it runs in, on the simulated device; elsewhere the kernel says that.
    pub container: Option<String>,
}

/// A part of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// `MIG-` and a UUID.
    pub uuid: String,
    /// `1g.10gb`
    pub profile: String,
    /// Number of the GPU instance.
    pub gpu_instance: u32,
    /// Number of the compute instance in it.
    #[serde(default)]
    pub compute_instance: u32,
    /// Its memory.
    pub memory_total_mib: u64,
    /// Memory in use.
    #[serde(default)]
    pub memory_used_mib: u64,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The text is no TOML, names no profile that there is, or has a key that no GPU has.
    pub fn read(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut tables = Vec::new();
        for (index, own) in written.gpu.iter().enumerate() {
            let mut own = own.clone();
            let profile = own.remove("profile").and_then(|name| name.as_str().map(str::to_owned));
            let mut table = profile_of(profile.as_deref().unwrap_or("t4"))?;
            table.insert("uuid".to_owned(), format!("GPU-00000000-0000-0000-0000-00000000000{index:x}").into());
            merge(&mut table, &own);
            tables.push(table);
        }
        let mut moments = vec![(0, concrete(&tables)?)];
        let mut xids = Vec::new();
        for step in &written.step {
            for (index, table) in tables.iter_mut().enumerate().filter(|(i, _)| step.gpu.is_none_or(|gpu| gpu == *i)) {
                merge(table, &step.set);
                xids.extend(step.xid.map(|xid| (step.at_ms, index, xid)));
            }
            if moments.last().is_some_and(|(at, _)| *at > step.at_ms) {
                return Err(format!("the step at {} ms comes after a later one", step.at_ms));
            }
            moments.push((step.at_ms, concrete(&tables)?));
        }
        let Written { driver, cuda, init, repeat_from_ms: repeat_from, .. } = written;
        let end = moments.last().map_or(0, |(at, _)| *at);
        if repeat_from.is_some_and(|from| from >= end) {
            return Err(format!("what is repeated ends at {end} ms, where the last step is"));
        }
        Ok(Self { driver, cuda, init, moments, xids, repeat_from })
    }

    /// The GPUs as they are `at` milliseconds after the start.
    pub fn at(&self, at: u64) -> &[Gpu] {
        let (_, at) = self.unrolled(at);
        let moment = self.moments.iter().rev().find(|(from, _)| *from <= at);
        moment.map_or(&[], |(_, gpus)| gpus.as_slice())
    }

    /// Whether it says of any process in which container that runs.
    pub fn knows_containers(&self) -> bool {
        let gpus = self.moments.iter().flat_map(|(_, gpus)| gpus);
        gpus.flat_map(|gpu| &gpu.processes).any(|process| process.container.is_some())
    }

    /// What the GPU `index` has used up to `at` milliseconds after the start, in mJ: power is constant between steps.
    pub fn energy_mj(&self, index: usize, at: u64) -> u64 {
        self.sum(index, at, |gpu| gpu.power_mw)
    }

    /// For how long the GPU `index` was busy up to `at` milliseconds after the start, in ms.
    pub fn busy_ms(&self, index: usize, at: u64) -> u64 {
        self.sum(index, at, |gpu| 10 * gpu.utilization.min(100))
    }

    /// What comes together of `rate`, in thousandths for each millisecond.
    fn sum(&self, index: usize, at: u64, rate: fn(&Gpu) -> u32) -> u64 {
        let (rounds, at) = self.unrolled(at);
        let once = |at| self.sum_once(index, at, rate);
        let round = match self.repeat_from {
            Some(from) if rounds > 0 => once(self.end()) - once(from),
            _ => 0,
        };
        round * rounds + once(at)
    }

    fn sum_once(&self, index: usize, at: u64, rate: fn(&Gpu) -> u32) -> u64 {
        let ends = self.moments.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        let spans = self.moments.iter().zip(ends);
        let sums = spans.map(|((from, gpus), end)| {
            let rate = gpus.get(index).map_or(0, |gpu| u64::from(rate(gpu)));
            rate * end.min(at).saturating_sub(*from) / 1000
        });
        sums.sum()
    }

    /// How often what is repeated is over by then, and the moment in it.
    fn unrolled(&self, at: u64) -> (u64, u64) {
        let (Some(from), end) = (self.repeat_from, self.end()) else { return (0, at) };
        if at < end {
            return (0, at);
        }
        ((at - from) / (end - from), from + (at - from) % (end - from))
    }

    fn end(&self) -> u64 {
        self.moments.last().map_or(0, |(at, _)| *at)
    }
}

fn profile_of(name: &str) -> Result<Table, String> {
    let text = match name {
        "t4" => include_str!("../profiles/t4.toml"),
        "a2" => include_str!("../profiles/a2.toml"),
        "h100" => include_str!("../profiles/h100.toml"),
        other => return Err(format!("there is no profile `{other}`, there are t4, a2 and h100")),
    };
    text.parse().map_err(|error| format!("profile {name}: {error}"))
}

/// Puts what `own` says over what `table` says; an empty string takes a key away.
fn merge(table: &mut Table, own: &Table) {
    for (key, value) in own {
        if value.as_str() == Some("") {
            table.remove(key);
        } else {
            table.insert(key.clone(), value.clone());
        }
    }
}

fn concrete(tables: &[Table]) -> Result<Vec<Gpu>, String> {
    tables
        .iter()
        .map(|table| Value::Table(table.clone()).try_into().map_err(|error| format!("a GPU: {error}")))
        .collect()
}

fn driver() -> String {
    "535.261.03".to_owned()
}

fn cuda() -> i32 {
    12_020
}

/// `gpu.md` §5.2.
fn ring() -> u64 {
    100
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_change_gpus_and_energy_adds_up() {
        let scenario = Scenario::read(
            "[[gpu]]\nprofile = \"t4\"\n[[gpu]]\nprofile = \"a2\"\n\
             [[step]]\nat_ms = 1000\ngpu = 0\nset = { power_mw = 70000, utilization = 90 }\n\
             [[step]]\nat_ms = 2000\ngpu = 1\nxid = 79\nset = { lost = true }\n",
        )
        .expect("a scenario");
        assert_eq!(scenario.at(999)[0].utilization, 0);
        assert_eq!(scenario.at(1000)[0].utilization, 90);
        assert_eq!(scenario.at(1000)[1].utilization, 0);
        assert_eq!(scenario.energy_mj(0, 3000), 9_800 + 2 * 70_000);
        assert_eq!((scenario.busy_ms(0, 3000), scenario.busy_ms(1, 3000)), (1_800, 0));
        assert!(scenario.at(2000)[1].lost && !scenario.at(2000)[0].lost);
        assert_eq!(scenario.xids, [(2000, 1, 79)]);
    }

    #[test]
    fn what_is_repeated_goes_on_for_ever() {
        let scenario = Scenario::read(
            "repeat_from_ms = 1000\n[[gpu]]\npower_mw = 1000\n[[step]]\nat_ms = 1000\nset = { power_mw = 5000 }\n\
             [[step]]\nat_ms = 2000\nset = { power_mw = 3000 }\n[[step]]\nat_ms = 3000",
        )
        .expect("a scenario");
        let power = |at| scenario.at(at)[0].power_mw;
        assert_eq!([0, 1000, 2500, 3000, 4999, 5000].map(power), [1000, 5000, 3000, 5000, 3000, 5000]);
        assert_eq!(scenario.energy_mj(0, 2500), 1_000 + 5_000 + 1_500);
        // Two rounds of two seconds are over, and half of the third one's first.
        assert_eq!(scenario.energy_mj(0, 5500), 1_000 + 2 * 8_000 + 2_500);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("[[gpu]]\nprofile = \"k80\"", "no profile `k80`"),
            ("[[gpu]]\ntemprature = 3", "unknown field `temprature`"),
            ("[[gpu]]\n[[step]]\nat_ms = 2\n[[step]]\nat_ms = 1", "after a later one"),
            ("repeat_from_ms = 7\n[[gpu]]\n[[step]]\nat_ms = 7", "ends at 7 ms"),
        ] {
            let error = Scenario::read(text).expect_err("a mistake");
            assert!(error.contains(expected), "{error}");
        }
    }
}
