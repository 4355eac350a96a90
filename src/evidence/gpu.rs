//! What is known of the GPUs and of their driver. What a GPU or an old driver does not support is `None`, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Owner;

/// The driver of the GPUs, as this container meets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuDriver {
    /// Whether it answers.
    pub state: DriverState,
    /// Its version: `535.261.03`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of CUDA up to which it goes: `12.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// What it said in place of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How many GPUs this container sees.
    pub gpus: u32,
    /// Whose processes it shows us.
    #[serde(skip_serializing_if = "Pids::is_unasked")]
    pub pids: Pids,
    /// How long EdgeShift has been looking at processes, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_secs: Option<u64>,
    /// The containers that used a GPU in that time, by id, and how long ago each did last, s.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_used_secs: BTreeMap<String, u64>,
}

/// Whose processes the driver shows, which depends on the process namespace of who asks (`gpu.md` §4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pids {
    /// Nobody looked.
    #[default]
    Unasked,
    /// Those of the host: each can be found.
    Host,
    /// Only those of a namespace of our own, or numbers of the host that mean nothing here.
    Own,
}

impl Pids {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_unasked(&self) -> bool {
        *self == Pids::Unasked
    }
}

/// Whether the driver answers, and if not, why (`gpu.md` §3.2, §6.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverState {
    /// It answers.
    #[default]
    Up,
    /// There is no `libnvidia-ml.so.1` in this container.
    NoLibrary,
    /// The library is there, the driver is not.
    NotLoaded,
    /// The library belongs to another version of the driver.
    Mismatch,
    /// The container may not use the device: most often its cgroup lost it.
    NoAccess,
    /// It does not come back from a call.
    Unresponsive,
    /// It answers with an error.
    Failed,
}

/// One GPU over one collection window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gpu {
    /// The stable name; PCI addresses change on this device (`gpu.md` §0).
    pub uuid: String,
    /// `Tesla T4` and the like.
    pub name: String,
    /// Its place in the driver's list, which is no stable name.
    pub index: u32,
    /// Whether it can be used.
    pub state: GpuState,
    /// Mean share of time that the GPU was busy in the window, 0 to 1.
    pub utilization_mean: Option<f64>,
    /// Largest sample of the window, 0 to 1.
    pub utilization_max: Option<f64>,
    /// Seconds of the window in which it was busy.
    pub busy_seconds: Option<f64>,
    /// Seconds that the samples cover.
    pub window_seconds: Option<f64>,
    /// Seconds in which it was busy since this module looks at it: only grows.
    pub busy_total_seconds: Option<f64>,
    /// Seconds that are known of since this module looks at it.
    pub covered_total_seconds: Option<f64>,
    /// Mean share of time that its memory was read or written, 0 to 1.
    pub memory_utilization_mean: Option<f64>,
    /// Share of time that it encoded video, 0 to 1, over a period that the driver chooses.
    pub encoder_utilization: Option<f64>,
    /// Share of time that it decoded video, 0 to 1, over a period that the driver chooses.
    pub decoder_utilization: Option<f64>,
    /// Memory in use, MiB.
    pub memory_used_mib: Option<u64>,
    /// Memory in all, MiB.
    pub memory_total_mib: Option<u64>,
    /// Memory that nobody uses, MiB.
    pub memory_free_mib: Option<u64>,
    /// Memory that the driver keeps for itself, MiB; drivers before R510 count it as used.
    pub memory_reserved_mib: Option<u64>,
    /// Core temperature, °C.
    pub temperature_c: Option<i64>,
    /// Temperature up to which the board is to run, °C.
    pub temperature_max_c: Option<i64>,
    /// Temperature at which the board slows itself down, °C.
    pub temperature_slowdown_c: Option<i64>,
    /// Temperature at which the board switches itself off, °C.
    pub temperature_shutdown_c: Option<i64>,
    /// Temperature of the memory, °C.
    pub memory_temperature_c: Option<i64>,
    /// How far the temperature is below the board's limit, °C, on boards that count that way (Ada and newer).
    pub temperature_margin_c: Option<i64>,
    /// Board power, W: the mean of the window where the driver counts energy.
    pub power_w: Option<f64>,
    /// What it may draw, W.
    pub power_limit_w: Option<f64>,
    /// Energy since the driver was loaded, J.
    pub energy_j: Option<f64>,
    /// Clock of the multiprocessors, MHz.
    pub sm_mhz: Option<u32>,
    /// Clock of the memory, MHz.
    pub memory_mhz: Option<u32>,
    /// The highest clock of the multiprocessors, MHz.
    pub sm_max_mhz: Option<u32>,
    /// The highest clock of the memory, MHz.
    pub memory_max_mhz: Option<u32>,
    /// Performance state, 0 (fastest) to 15.
    pub performance_state: Option<u8>,
    /// Why the clocks are not higher right now: the bits of `gpu.md` §3.3.
    pub clock_events: Option<u64>,
    /// In how many of the last ten minutes each reason was seen.
    pub clock_event_minutes: BTreeMap<ClockEvent, u8>,
    /// For how many seconds clocks were lower since the driver was loaded, by what held them down.
    pub clock_limit_seconds: BTreeMap<ClockLimit, f64>,
    /// For how many seconds each reason has been there at every look.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slowed_secs: BTreeMap<ClockEvent, u64>,
    /// For how long heat held the clocks down in the last ten minutes, ms, where the driver counts that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heat_limit_ms: Option<u64>,
    /// For how many seconds it has been as hot as it may be, or hotter, at every look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hot_secs: Option<u64>,
    /// Generation and width of the link to the processor.
    pub pcie: Option<Pcie>,
    /// What went over that link, and what had to go again.
    pub traffic: Traffic,
    /// Where it is on the bus, in this container: `00002C74:00:00.0`. Changes between boots (`gpu.md` §0.3).
    pub bus_id: Option<String>,
    /// The number of its device file: 0 is `/dev/nvidia0`.
    pub minor: Option<u32>,
    /// The best that was seen of that link under load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie_baseline: Option<PcieBaseline>,
    /// How many packets a minute went over that link again, in the last ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replays_per_minute: Option<f64>,
    /// The links to other GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvlink: Option<NvLink>,
    /// Errors of the memory.
    pub ecc: Option<Ecc>,
    /// Errors of the memory that were corrected lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Corrected>,
    /// Memory pages taken out of use; Turing and older.
    pub retired: Option<RetiredPages>,
    /// How many were retired in the last seven days for errors that could not be corrected, once a day of that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_last_week: Option<u64>,
    /// Memory rows replaced; Ampere and newer.
    pub remapped: Option<RemappedRows>,
    /// What the driver wants done: field 230 (`gpu.md` §0.6).
    pub recovery_action: Option<u64>,
    /// Whether the GPU stays initialised while nobody uses it.
    pub persistence: Option<bool>,
    /// Whether only one process may use it, as MPS has it.
    pub exclusive: Option<bool>,
    /// What is seen of the Multi-Process Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mps: Option<Mps>,
    /// Whether what the card stores of itself can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inforom_is_well: Option<bool>,
    /// What failed at this look that the GPU does support, by what was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, CallError>,
    /// Who computes on it, each process once; `None` where that cannot be asked.
    pub processes: Option<Vec<GpuProcess>>,
    /// The parts that it is cut into (MIG); `None` where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<GpuInstance>>,
    /// Faults that the driver reported since the device was started, as far as this module looked, by their number.
    pub xids: BTreeMap<u64, Xid>,
}

/// Whether a GPU can be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuState {
    /// It answers.
    #[default]
    Up,
    /// It is gone from the bus.
    Lost,
    /// It waits for a reset.
    ResetRequired,
}

/// Why the clocks of a GPU are lower than they could be, where that is a fault (`gpu.md` §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockEvent {
    /// The board slowed itself down, for heat or power.
    HardwareSlowdown,
    /// The driver keeps the temperature down.
    SoftwareThermal,
    /// The board keeps the temperature down.
    HardwareThermal,
    /// A signal from outside, of a power supply or a baseboard.
    PowerBrake,
}

impl ClockEvent {
    /// All of them.
    pub const ALL: [ClockEvent; 4] =
        [Self::HardwareSlowdown, Self::SoftwareThermal, Self::HardwareThermal, Self::PowerBrake];

    /// Its bit (`gpu.md` §3.3).
    pub fn bit(self) -> u64 {
        match self {
            ClockEvent::HardwareSlowdown => 0x8,
            ClockEvent::SoftwareThermal => 0x20,
            ClockEvent::HardwareThermal => 0x40,
            ClockEvent::PowerBrake => 0x80,
        }
    }
}

/// The link between GPU and processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pcie {
    /// Generation right now; idle GPUs lower it.
    pub generation: u32,
    /// Lanes right now.
    pub width: u32,
    /// Generation at most.
    pub max_generation: u32,
    /// Lanes at most.
    pub max_width: u32,
}

/// What held clocks down, where the driver counts for how long: fields 74 to 79 (`gpu.md` §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockLimit {
    /// What the board may draw.
    Power,
    /// Heat.
    Thermal,
    /// GPUs that are to run at the same clock.
    SyncBoost,
    /// A limit of the board.
    BoardLimit,
    /// There is too little to do.
    LowUtilization,
    /// The voltage at which it is reliable.
    Reliability,
}

/// What went over the link to the processor, since the driver was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Bytes that the GPU sent.
    pub sent_bytes: Option<u64>,
    /// Bytes that the GPU received.
    pub received_bytes: Option<u64>,
    /// Packets that were sent again.
    pub replays: Option<u64>,
}

/// The best that was seen of the link under load (`gpu.md` §3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcieBaseline {
    /// Generation.
    pub generation: u32,
    /// Lanes.
    pub width: u32,
    /// How many looks under load in a row saw less.
    pub looks_below: u32,
    /// Whether this is kept across restarts.
    pub is_kept: bool,
}

/// The links to other GPUs, since the driver was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvLink {
    /// Packets that arrived spoilt.
    pub crc_errors: u64,
    /// How fast those become more.
    pub crc_per_minute: Option<f64>,
    /// Packets that were sent again.
    pub replays: u64,
    /// Links that had to start again.
    pub recoveries: u64,
    /// How many of them are active.
    pub active: Option<u32>,
    /// How many ever were, as far as was seen.
    pub most_active: Option<u32>,
}

/// What is seen of the Multi-Process Service on a GPU (`gpu.md` §4.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mps {
    /// Whether the GPU was ever exclusive to one process, as the service has it.
    pub was_exclusive: bool,
    /// Whether its server runs; none where that cannot be seen.
    pub server: Option<bool>,
    /// How many processes compute through it.
    pub clients: u32,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallError {
    /// A power cable is not connected (NVML 8).
    Power,
    /// Interrupts do not arrive (NVML 11).
    Interrupt,
    /// Something else.
    Other,
}

/// Errors of the memory that were corrected in the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Corrected {
    /// How many.
    pub last_hour: u64,
    /// In how many different minutes.
    pub minutes: u8,
}

/// Errors of the memory, and whether they are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ecc {
    /// Whether errors are corrected.
    pub enabled: bool,
    /// Whether they will be after the next restart.
    pub pending: bool,
    /// Corrected since the driver was loaded.
    pub corrected: u64,
    /// Not corrected since the driver was loaded.
    pub uncorrected: u64,
    /// Corrected in the life of the board.
    pub corrected_ever: Option<u64>,
    /// Not corrected in the life of the board.
    pub uncorrected_ever: Option<u64>,
    /// Whether errors of the memory inside the GPU, which cannot be replaced, are more than the driver's limit.
    pub sram_exceeded: Option<bool>,
}

/// Memory pages taken out of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetiredPages {
    /// For several corrected errors.
    pub corrected: u64,
    /// For an error that could not be corrected.
    pub uncorrected: u64,
    /// Whether more are taken out of use at the next restart.
    pub pending: bool,
}

/// Memory rows replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemappedRows {
    /// For corrected errors.
    pub corrected: u64,
    /// For errors that could not be corrected.
    pub uncorrected: u64,
    /// Whether a replacement waits for a reset.
    pub pending: bool,
    /// Whether one failed.
    pub failed: bool,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuProcess {
    /// Its number, of the host's or of our own namespace (`gpu.md` §4.1).
    pub pid: u32,
    /// Its memory, MiB, where the driver knows.
    pub memory_mib: Option<u64>,
    /// Mean share of time since the last look that it kept the GPU busy, 0 to 1, where the driver knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Whether it computes through the Multi-Process Service (`gpu.md` §4.6).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mps: bool,
    /// The part of the GPU that it has, where the GPU is cut into some: its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// To whom it belongs.
    #[serde(skip_serializing_if = "Owner::is_unknown")]
    pub owner: Owner,
}

/// A part of a GPU that is cut into some (MIG).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuInstance {
    /// `MIG-` and a UUID.
    pub uuid: String,
    /// The driver's name: `NVIDIA H100 PCIe MIG 1g.10gb`.
    pub name: String,
    /// Number of the GPU instance.
    pub gpu_instance: u32,
    /// Number of the compute instance in it.
    pub compute_instance: u32,
    /// Memory in use, MiB.
    pub memory_used_mib: Option<u64>,
    /// Memory in all, MiB.
    pub memory_total_mib: Option<u64>,
}

/// A fault that the driver reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xid {
    /// How often since this module looks; 0 where it was before that, since the device was started or the GPU was reset.
    pub count: u64,
    /// Seconds since the last one.
    pub seconds_ago: u64,
    /// After how many restarts of the device, or resets of the GPU, it is back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
