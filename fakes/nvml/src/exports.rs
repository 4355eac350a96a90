//! The functions of NVML, as C calls them. Each writes through the pointers that it was given, as its documentation in
//! `nvml.h` says.

#![expect(unsafe_code, reason = "a C library writes through the pointers of its callers")]
#![expect(missing_docs, clippy::missing_safety_doc, reason = "nvml.h documents these functions; callers keep to it")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::time::{Duration, Instant};

use gpu_scenario::{Gpu, Instance, Process};
use nvml_wrapper_sys::bindings::{
    nvmlEccSramErrorStatus_t, nvmlEventData_t, nvmlFieldValue_t, nvmlMarginTemperature_t, nvmlMemory_t,
    nvmlMemory_v2_t, nvmlPciInfo_t, nvmlProcessInfo_v2_t, nvmlProcessUtilizationSample_t, nvmlSample_t,
    nvmlUtilization_t, nvmlValue_t,
};

use crate::state::{self, of_gpu, playing};

/// `nvmlReturn_t`
type Return = u32;
/// A GPU: its index, and one, so that none is null; a part of a GPU has its own place, and one, above that.
type Device = *mut c_void;

const INVALID_ARGUMENT: Return = 2;
const NOT_SUPPORTED: Return = 3;
const NOT_FOUND: Return = 6;
const INSUFFICIENT_SIZE: Return = 7;
const TIMEOUT: Return = 10;
const CORRUPTED_INFOROM: Return = 14;

/// How many links to other GPUs one has that has any.
const LINKS: c_uint = 12;

/// Writes what `answer` comes to into `place`.
unsafe fn give<T>(place: *mut T, answer: Result<T, Return>) -> Return {
    match answer {
        Err(code) => code,
        Ok(_) if place.is_null() => INVALID_ARGUMENT,
        Ok(value) => {
            // SAFETY: the caller owns `place`, which is not null.
            unsafe { place.write(value) };
            0
        }
    }
}

/// Writes a text of C with its end into the `length` bytes at `place`.
unsafe fn give_text(place: *mut c_char, length: c_uint, answer: Result<String, Return>) -> Return {
    match answer {
        Err(code) => code,
        Ok(_) if place.is_null() => INVALID_ARGUMENT,
        Ok(text) if text.len() >= length as usize => INSUFFICIENT_SIZE,
        Ok(text) => {
            // SAFETY: the caller owns `length` bytes at `place`, and the text with its end fits.
            unsafe {
                place.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
                place.add(text.len()).write(0);
            }
            0
        }
    }
}

/// How many bits the index of a GPU has in a [`Device`].
const INDEX_BITS: u32 = 8;

/// The GPU's index; one that no GPU has for a part of a GPU, of which most functions know nothing.
fn index(device: Device) -> usize {
    if part(device).is_some() { usize::MAX } else { gpu_of(device) }
}

fn gpu_of(device: Device) -> usize {
    (device as usize & ((1 << INDEX_BITS) - 1)).wrapping_sub(1)
}

/// The place of a part in its GPU.
fn part(device: Device) -> Option<usize> {
    (device as usize >> INDEX_BITS).checked_sub(1)
}

fn handle(index: usize) -> Device {
    (index + 1) as Device
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> Return {
    state::init()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_: c_uint) -> Return {
    state::init()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> Return {
    state::shutdown()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: Return) -> *const c_char {
    let text = match code {
        0 => c"Success",
        1 => c"Uninitialized",
        2 => c"Invalid Argument",
        3 => c"Not Supported",
        6 => c"Not Found",
        7 => c"Insufficient Size",
        9 => c"Driver Not Loaded",
        15 => c"GPU is lost",
        18 => c"Driver/library version mismatch",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(text: *mut c_char, length: c_uint) -> Return {
    unsafe { give_text(text, length, playing(|scenario, _| Ok(scenario.driver.clone()))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(text: *mut c_char, length: c_uint) -> Return {
    unsafe { give_text(text, length, playing(|scenario, _| Ok(format!("12.{}", scenario.driver)))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) -> Return {
    unsafe { give(version, playing(|scenario, _| Ok(scenario.cuda))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> Return {
    unsafe { give(version, playing(|scenario, _| Ok(scenario.cuda))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Return {
    unsafe { give(count, playing(|scenario, at| c_uint::try_from(scenario.at(at).len()).map_err(|_| state::UNKNOWN))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(number: c_uint, device: *mut Device) -> Return {
    let index = number as usize;
    unsafe { give(device, of_gpu(index, "nvmlDeviceGetHandleByIndex_v2", |_| Ok(handle(index)))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut Device) -> Return {
    if uuid.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller hands over a text of C.
    let uuid = unsafe { CStr::from_ptr(uuid) }.to_string_lossy().into_owned();
    let found = playing(|scenario, at| scenario.at(at).iter().position(|gpu| gpu.uuid == uuid).ok_or(NOT_FOUND));
    unsafe { give(device, found.map(handle)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetIndex(device: Device, number: *mut c_uint) -> Return {
    let answer = of_gpu(index(device), "nvmlDeviceGetIndex", |_| Ok(c_uint::try_from(index(device)).unwrap_or(0)));
    unsafe { give(number, answer) }
}

/// Functions that write a text.
macro_rules! texts {
    ($($name:ident($gpu:ident) => $value:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, text: *mut c_char, length: c_uint) -> Return {
            unsafe { give_text(text, length, of_gpu(index(device), stringify!($name), |$gpu: &Gpu| $value)) }
        }
    )*};
}

/// Functions that write a text, also of a part of a GPU.
macro_rules! texts_of_parts {
    ($($name:ident($gpu:ident, $part:ident) => $whole:expr, $of_part:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, text: *mut c_char, length: c_uint) -> Return {
            let answer = of_part(device, stringify!($name), |$gpu, part| match part {
                None => $whole,
                Some($part) => $of_part,
            });
            unsafe { give_text(text, length, answer) }
        }
    )*};
}

texts_of_parts! {
    nvmlDeviceGetName(gpu, part) => gpu.name.clone(), format!("{} MIG {}", gpu.name, part.profile);
    nvmlDeviceGetUUID(gpu, part) => gpu.uuid.clone(), part.uuid.clone();
}

texts! {
    nvmlDeviceGetSerial(gpu) => Ok(gpu.uuid[4..12].to_owned());
    nvmlDeviceGetVbiosVersion(_gpu) => Ok("90.04.38.00.03".to_owned());
}

/// Functions that write one value.
macro_rules! values {
    ($($name:ident($gpu:ident $(, $argument:ident)?) -> $type:ty $value:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, $($argument: c_uint,)? value: *mut $type) -> Return {
            unsafe { give(value, of_gpu(index(device), stringify!($name), |$gpu: &Gpu| $value)) }
        }
    )*};
}

values! {
    nvmlDeviceGetMinorNumber(gpu) -> c_uint { Ok(gpu.pci_domain & 0xf) }
    nvmlDeviceGetPciInfo_v3(gpu) -> nvmlPciInfo_t { Ok(pci_info(gpu)) }
    nvmlDeviceGetUtilizationRates(gpu) -> nvmlUtilization_t {
        unless_cut(gpu)?;
        Ok(nvmlUtilization_t { gpu: gpu.utilization, memory: gpu.memory_utilization })
    }
    nvmlDeviceGetTemperature(gpu, _sensor) -> c_uint { Ok(gpu.temperature) }
    nvmlDeviceGetTemperatureThreshold(gpu, kind) -> c_uint {
        match kind {
            0 => Ok(gpu.shutdown),
            1 => Ok(gpu.slowdown),
            3 => Ok(gpu.max_operating),
            _ => Err(NOT_SUPPORTED),
        }
    }
    nvmlDeviceGetPowerUsage(gpu) -> c_uint { Ok(gpu.power_mw) }
    nvmlDeviceGetEnforcedPowerLimit(gpu) -> c_uint { Ok(gpu.power_limit_mw) }
    nvmlDeviceGetClockInfo(gpu, clock) -> c_uint { Ok(if clock == 2 { gpu.memory_mhz } else { gpu.sm_mhz }) }
    nvmlDeviceGetMaxClockInfo(gpu, clock) -> c_uint { Ok(if clock == 2 { gpu.max_memory_mhz } else { gpu.max_sm_mhz }) }
    nvmlDeviceGetPerformanceState(gpu) -> c_uint { Ok(gpu.pstate) }
    nvmlDeviceGetCurrentClocksThrottleReasons(gpu) -> c_ulonglong { Ok(gpu.clock_events) }
    nvmlDeviceGetCurrentClocksEventReasons(gpu) -> c_ulonglong { Ok(gpu.clock_events) }
    nvmlDeviceGetCurrPcieLinkGeneration(gpu) -> c_uint { Ok(gpu.pcie_generation) }
    nvmlDeviceGetCurrPcieLinkWidth(gpu) -> c_uint { Ok(gpu.pcie_width) }
    nvmlDeviceGetMaxPcieLinkGeneration(gpu) -> c_uint { Ok(gpu.pcie_max_generation) }
    nvmlDeviceGetMaxPcieLinkWidth(gpu) -> c_uint { Ok(gpu.pcie_max_width) }
    nvmlDeviceGetPcieReplayCounter(gpu) -> c_uint { Ok(gpu.pcie_replays) }
    nvmlDeviceGetPersistenceMode(gpu) -> c_uint { Ok(gpu.persistence.into()) }
    nvmlDeviceGetComputeMode(gpu) -> c_uint { Ok(gpu.compute_mode) }
    nvmlDeviceGetMaxMigDeviceCount(gpu) -> c_uint { gpu.mig.as_ref().map(|_| 7).ok_or(NOT_SUPPORTED) }
    nvmlDeviceGetSupportedEventTypes(_gpu) -> c_ulonglong { Ok(0x18) }
}

/// Functions that write how busy an engine is, in percent, and over how many µs.
macro_rules! engines {
    ($($name:ident($gpu:ident) $value:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, busy: *mut c_uint, period: *mut c_uint) -> Return {
            let answer = of_gpu(index(device), stringify!($name), |$gpu: &Gpu| $value.ok_or(NOT_SUPPORTED));
            // SAFETY: the caller owns both places.
            unsafe { give(busy, answer).max(give(period, answer.map(|_| 167_000))) }
        }
    )*};
}

engines! {
    nvmlDeviceGetEncoderUtilization(gpu) gpu.encoder;
    nvmlDeviceGetDecoderUtilization(gpu) gpu.decoder;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: Device, energy: *mut c_ulonglong) -> Return {
    let here = index(device);
    let answer = of_gpu(here, "nvmlDeviceGetTotalEnergyConsumption", |_| Ok(()))
        .and_then(|()| playing(|scenario, at| Ok(scenario.energy_mj(here, at))));
    unsafe { give(energy, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, info: *mut nvmlMemory_t) -> Return {
    let answer = of_part(device, "nvmlDeviceGetMemoryInfo", |gpu, part| {
        let [total, reserved, used, free] = memory(gpu, part);
        // The old function counts what is reserved as used (`gpu.md` §2.2).
        nvmlMemory_t { total, free, used: used + reserved }
    });
    unsafe { give(info, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, info: *mut nvmlMemory_v2_t) -> Return {
    let answer = of_part(device, "nvmlDeviceGetMemoryInfo_v2", |gpu, part| {
        let [total, reserved, used, free] = memory(gpu, part);
        let version = u32::try_from(size_of::<nvmlMemory_v2_t>()).unwrap_or(0) | (2 << 24);
        nvmlMemory_v2_t { version, total, reserved, free, used }
    });
    unsafe { give(info, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(device: Device, current: *mut c_uint, pending: *mut c_uint) -> Return {
    match of_gpu(index(device), "nvmlDeviceGetMigMode", |gpu| gpu.mig.as_ref().map(|_| 1).ok_or(NOT_SUPPORTED)) {
        Err(code) => code,
        Ok(on) => unsafe { give(current, Ok(on)).max(give(pending, Ok(on))) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    gpu: Device,
    number: c_uint,
    device: *mut Device,
) -> Return {
    let answer = of_gpu(index(gpu), "nvmlDeviceGetMigDeviceHandleByIndex", |gpu| {
        gpu.mig.as_ref().ok_or(NOT_SUPPORTED)?.get(number as usize).map(|_| ()).ok_or(NOT_FOUND)
    });
    let handle = |()| (gpu as usize | ((number as usize + 1) << INDEX_BITS)) as Device;
    unsafe { give(device, answer.map(handle)) }
}

/// Functions that write a number of a part of a GPU.
macro_rules! numbers_of_parts {
    ($($name:ident($part:ident) => $value:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, number: *mut c_uint) -> Return {
            let answer = of_part(device, stringify!($name), |_, part| part.map(|$part| $value).ok_or(NOT_SUPPORTED));
            unsafe { give(number, answer.and_then(|answer| answer)) }
        }
    )*};
}

numbers_of_parts! {
    nvmlDeviceGetGpuInstanceId(part) => part.gpu_instance;
    nvmlDeviceGetComputeInstanceId(part) => part.compute_instance;
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceValidateInforom(device: Device) -> Return {
    let corrupt = |gpu: &Gpu| if gpu.inforom_corrupt { Err(CORRUPTED_INFOROM) } else { Ok(()) };
    of_gpu(index(device), "nvmlDeviceValidateInforom", corrupt).err().unwrap_or(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMarginTemperature(
    device: Device,
    margin: *mut nvmlMarginTemperature_t,
) -> Return {
    let answer = of_gpu(index(device), "nvmlDeviceGetMarginTemperature", |gpu| {
        let celsius = gpu.temperature_margin.ok_or(NOT_SUPPORTED)?;
        let version = u32::try_from(size_of::<nvmlMarginTemperature_t>()).unwrap_or(0) | (1 << 24);
        Ok(nvmlMarginTemperature_t { version, marginTemperature: celsius })
    });
    unsafe { give(margin, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSramEccErrorStatus(
    device: Device,
    status: *mut nvmlEccSramErrorStatus_t,
) -> Return {
    let exceeded =
        of_gpu(index(device), "nvmlDeviceGetSramEccErrorStatus", |gpu| gpu.sram_exceeded.ok_or(NOT_SUPPORTED));
    let exceeded = match exceeded {
        Ok(exceeded) => exceeded,
        Err(code) => return code,
    };
    if status.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller owns one struct of the version that it names.
    unsafe { (*status).bThresholdExceeded = exceeded.into() };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkState(device: Device, link: c_uint, state: *mut c_uint) -> Return {
    let answer = of_gpu(index(device), "nvmlDeviceGetNvLinkState", |gpu| {
        gpu.nvlink.ok_or(NOT_SUPPORTED)?;
        let is_active = link < gpu.nvlink_active.unwrap_or(LINKS);
        if link < LINKS { Ok(is_active.into()) } else { Err(INVALID_ARGUMENT) }
    });
    unsafe { give(state, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: Device,
    list: *mut nvmlProcessUtilizationSample_t,
    count: *mut c_uint,
    last_seen: c_ulonglong,
) -> Return {
    let here = index(device);
    let answer = of_gpu(here, "nvmlDeviceGetProcessUtilization", unless_cut)
        .and_then(|()| playing(|scenario, at| Ok(process_samples(|at| scenario.at(at).get(here), at, last_seen))))
        .and_then(|samples| if samples.is_empty() { Err(NOT_FOUND) } else { Ok(samples) });
    unsafe { give_list(count, list, INSUFFICIENT_SIZE, answer) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEccMode(device: Device, current: *mut c_uint, pending: *mut c_uint) -> Return {
    let modes = of_gpu(index(device), "nvmlDeviceGetEccMode", |gpu| {
        let current = gpu.ecc.ok_or(NOT_SUPPORTED)?;
        Ok((current, gpu.ecc_pending.unwrap_or(current)))
    });
    match modes {
        Err(code) => code,
        Ok((now, later)) => unsafe { give(current, Ok(now.into())).max(give(pending, Ok(later.into()))) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: Device,
    kind: c_uint,
    _counter: c_uint,
    count: *mut c_ulonglong,
) -> Return {
    let answer = of_gpu(index(device), "nvmlDeviceGetTotalEccErrors", |gpu| {
        gpu.ecc.filter(|on| *on).ok_or(NOT_SUPPORTED)?;
        Ok(if kind == 0 { gpu.ecc_corrected } else { gpu.ecc_uncorrected })
    });
    unsafe { give(count, answer) }
}

/// Functions that list processes: those that compute, the clients of MPS, or those that draw.
macro_rules! processes {
    ($($name:ident: $listed:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, count: *mut c_uint, list: *mut nvmlProcessInfo_v2_t) -> Return {
            let answer = of_part(device, stringify!($name), |gpu, _| processes(gpu, part(device), $listed));
            unsafe { give_list(count, list, INSUFFICIENT_SIZE, answer) }
        }
    )*};
}

processes! {
    nvmlDeviceGetComputeRunningProcesses_v2: |process| !process.graphics;
    nvmlDeviceGetComputeRunningProcesses_v3: |process| !process.graphics;
    nvmlDeviceGetMPSComputeRunningProcesses_v2: |process| process.mps;
    nvmlDeviceGetMPSComputeRunningProcesses_v3: |process| process.mps;
    nvmlDeviceGetGraphicsRunningProcesses_v2: |process| process.graphics;
    nvmlDeviceGetGraphicsRunningProcesses_v3: |process| process.graphics;
}

/// Its presence tells an R535 from an R470 (`gpu.md` §4.1).
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetConfComputeMemSizeInfo(_: Device, _: *mut c_void) -> Return {
    NOT_SUPPORTED
}

/// Its absence tells an early R535 (`gpu.md` §4.1).
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetRunningProcessDetailList(_: Device, _: *mut c_void) -> Return {
    NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSamples(
    device: Device,
    kind: c_uint,
    last_seen: c_ulonglong,
    value_type: *mut c_uint,
    count: *mut c_uint,
    list: *mut nvmlSample_t,
) -> Return {
    let here = index(device);
    let answer = of_gpu(here, "nvmlDeviceGetSamples", unless_cut)
        .and_then(|()| of_gpu(here, "", |gpu| if gpu.no_samples { Err(NOT_FOUND) } else { Ok(()) }))
        .and_then(|()| playing(|scenario, at| Ok(samples(|at| scenario.at(at).get(here), kind, at, last_seen))))
        .and_then(|samples| if samples.is_empty() { Err(NOT_FOUND) } else { Ok(samples) });
    // Unsigned integers.
    match unsafe { give(value_type, Ok(1)) } {
        0 => unsafe { give_list(count, list, 0, answer) },
        code => code,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(device: Device, count: c_int, list: *mut nvmlFieldValue_t) -> Return {
    let gpu = match of_gpu(index(device), "nvmlDeviceGetFieldValues", |gpu| Ok(gpu.clone())) {
        Ok(gpu) => gpu,
        Err(code) => return code,
    };
    if list.is_null() {
        return INVALID_ARGUMENT;
    }
    for i in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller owns `count` values at `list`.
        let value = unsafe { &mut *list.add(i) };
        (value.timestamp, value.latencyUsec) = (0, 5);
        state::count(&format!("field {}", value.fieldId));
        match field(&gpu, value.fieldId) {
            Some(number) => {
                // An unsigned long long.
                (value.nvmlReturn, value.valueType, value.value) = (0, 3, nvmlValue_t { ullVal: number });
            }
            None => value.nvmlReturn = NOT_SUPPORTED,
        }
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut Device) -> Return {
    unsafe { give(set, Ok(handle(0))) }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(device: Device, _: c_ulonglong, _: Device) -> Return {
    of_gpu(index(device), "nvmlDeviceRegisterEvents", |_| Ok(())).err().unwrap_or(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(_: Device, data: *mut nvmlEventData_t, timeout_ms: c_uint) -> Return {
    let end = Instant::now() + Duration::from_millis(timeout_ms.into());
    loop {
        match state::next_xid() {
            Err(code) => return code,
            Ok(Some((gpu, xid))) => {
                let unset = c_uint::MAX;
                let event = nvmlEventData_t {
                    device: handle(gpu).cast(),
                    eventType: 8,
                    eventData: xid,
                    gpuInstanceId: unset,
                    computeInstanceId: unset,
                };
                return unsafe { give(data, Ok(event)) };
            }
            Ok(None) if Instant::now() >= end => return TIMEOUT,
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(_: Device) -> Return {
    0
}

/// Writes `answer` into the `count` places at `list`; without enough of them only how many are needed. Without a list at all
/// some functions call that a success, others do not: `unlisted`.
unsafe fn give_list<T>(count: *mut c_uint, list: *mut T, unlisted: Return, answer: Result<Vec<T>, Return>) -> Return {
    let things = match answer {
        Ok(things) if !count.is_null() => things,
        Ok(_) => return INVALID_ARGUMENT,
        Err(code) => return code,
    };
    let needed = c_uint::try_from(things.len()).unwrap_or(c_uint::MAX);
    // SAFETY: the caller owns `count`, which is not null, and that many places at `list`.
    unsafe {
        let room = count.replace(needed);
        if needed == 0 {
            return 0;
        }
        if list.is_null() {
            return unlisted;
        }
        if room < needed {
            return INSUFFICIENT_SIZE;
        }
        list.copy_from_nonoverlapping(things.as_ptr(), things.len());
    }
    0
}

fn pci_info(gpu: &Gpu) -> nvmlPciInfo_t {
    let text = |text: String, place: &mut [c_char]| {
        for (place, byte) in place.iter_mut().zip(text.bytes()) {
            *place = byte.cast_signed();
        }
    };
    let (mut legacy, mut long) = ([0; 16], [0; 32]);
    text(format!("{:04X}:00:00.0", gpu.pci_domain & 0xffff), &mut legacy);
    text(format!("{:08X}:00:00.0", gpu.pci_domain), &mut long);
    nvmlPciInfo_t {
        busIdLegacy: legacy,
        domain: gpu.pci_domain,
        bus: 0,
        device: 0,
        pciDeviceId: 0x1eb8_10de,
        pciSubSystemId: 0x12a2_10de,
        busId: long,
    }
}

/// Hands a GPU to `answer`, with its part where `device` is one.
fn of_part<T>(device: Device, function: &str, answer: impl FnOnce(&Gpu, Option<&Instance>) -> T) -> Result<T, Return> {
    of_gpu(gpu_of(device), function, |gpu| match part(device) {
        None => Ok(answer(gpu, None)),
        Some(part) => gpu
            .mig
            .as_ref()
            .and_then(|parts| parts.get(part))
            .map(|part| answer(gpu, Some(part)))
            .ok_or(INVALID_ARGUMENT),
    })
}

/// What NVML does not do for a GPU that is cut into parts (`gpu.md` §2.2).
fn unless_cut(gpu: &Gpu) -> Result<(), Return> {
    if gpu.mig.is_some() { Err(NOT_SUPPORTED) } else { Ok(()) }
}

/// Total, reserved, used and free memory in bytes.
fn memory(gpu: &Gpu, part: Option<&Instance>) -> [u64; 4] {
    let mib = |mib: u64| mib * 1024 * 1024;
    if let Some(part) = part {
        let free = part.memory_total_mib.saturating_sub(part.memory_used_mib);
        return [mib(part.memory_total_mib), 0, mib(part.memory_used_mib), mib(free)];
    }
    let free = gpu.memory_total_mib.saturating_sub(gpu.memory_reserved_mib + gpu.memory_used_mib);
    [mib(gpu.memory_total_mib), mib(gpu.memory_reserved_mib), mib(gpu.memory_used_mib), mib(free)]
}

fn processes(gpu: &Gpu, part: Option<usize>, is_listed: impl Fn(&Process) -> bool) -> Vec<nvmlProcessInfo_v2_t> {
    let listed = gpu.processes.iter().filter(|process| is_listed(process));
    let listed = listed.filter(|process| part.is_none() || process.instance == part);
    let info = |process: &Process| {
        let part = gpu.mig.as_ref().zip(process.instance).and_then(|(parts, place)| parts.get(place));
        nvmlProcessInfo_v2_t {
            pid: process.pid,
            usedGpuMemory: process.memory_mib.map_or(u64::MAX, |mib| mib.saturating_mul(1024 * 1024)),
            gpuInstanceId: part.map_or(c_uint::MAX, |part| part.gpu_instance),
            computeInstanceId: part.map_or(c_uint::MAX, |part| part.compute_instance),
        }
    };
    listed.map(info).collect()
}

/// A sample a second of each process that keeps the GPU busy, for the last ten.
fn process_samples<'a>(
    gpu: impl Fn(u64) -> Option<&'a Gpu>,
    now_ms: u64,
    last_seen: c_ulonglong,
) -> Vec<nvmlProcessUtilizationSample_t> {
    let ticks = (now_ms / 1000).saturating_sub(9)..=now_ms / 1000;
    let of = |tick: u64| {
        let stamp = (tick + 1) * 1_000_000;
        let processes = gpu(tick * 1000).into_iter().flat_map(|gpu| &gpu.processes);
        let busy =
            processes.filter_map(move |process| Some((process.pid, process.utilization.filter(|busy| *busy > 0)?)));
        busy.map(move |(pid, busy)| nvmlProcessUtilizationSample_t {
            pid,
            timeStamp: stamp,
            smUtil: busy,
            memUtil: busy / 2,
            encUtil: 0,
            decUtil: 0,
        })
    };
    ticks.flat_map(of).filter(|sample| sample.timeStamp > last_seen).collect()
}

/// Six samples a second, as many as the ring has (`gpu.md` §5.2), of what `kind` asks for; only those later than `last_seen`, in µs.
fn samples<'a>(
    gpu: impl Fn(u64) -> Option<&'a Gpu>,
    kind: c_uint,
    now_ms: u64,
    last_seen: c_ulonglong,
) -> Vec<nvmlSample_t> {
    let tick = now_ms * 6 / 1000;
    let ring = gpu(now_ms).map_or(0, |gpu| gpu.ring);
    let ticks = (tick + 1).saturating_sub(ring)..=tick;
    let sample = |tick: u64| {
        let at = tick * 1000 / 6;
        let value = match (kind, gpu(at)?) {
            (0, gpu) => gpu.power_mw,
            (1, gpu) => gpu.utilization,
            (2, gpu) => gpu.memory_utilization,
            _ => return None,
        };
        // A second more, so that no sample is at 0, which means "all".
        Some(nvmlSample_t { timeStamp: (at + 1000) * 1000, sampleValue: nvmlValue_t { uiVal: value } })
    };
    ticks.filter_map(sample).filter(|sample| sample.timeStamp > last_seen).collect()
}

/// The fields of `NVML_FI_DEV_…` that are played.
fn field(gpu: &Gpu, id: c_uint) -> Option<u64> {
    let row = |at: usize| gpu.remapped.filter(|_| gpu.mig.is_none()).map(|rows| u64::from(rows[at]));
    let link = |at: usize| gpu.nvlink.map(|errors| errors[at]);
    match id {
        29 => gpu.retired_sbe,
        30 => gpu.retired_dbe,
        31 => gpu.retirement_pending.map(u64::from),
        38 => link(0),
        52 => link(1),
        59 => link(2),
        75 => gpu.thermal_violation_ns,
        82 => gpu.memory_temperature.map(u64::from),
        94 => Some(gpu.pcie_replays.into()),
        142 => row(0),
        143 => row(1),
        144 => row(2),
        145 => row(3),
        230 => gpu.recovery_action.map(u64::from),
        id => gpu.fields.get(&id.to_string()).copied(),
    }
}
