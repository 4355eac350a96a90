//! Calls of NVML that its wrapper lacks or makes in a way that drivers of Azure Stack Edge do not have (`gpu.md` §6.4, §6.5).

#![expect(unsafe_code, reason = "a C library is called through pointers that it gave us")]

use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::{Device, Nvml};

use crate::evidence::GpuProcess;

const MIB: u64 = 1024 * 1024;

/// The memory of a GPU, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryUse {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) free: u64,
    /// What the driver keeps for itself, where it is told apart.
    pub(super) reserved: Option<u64>,
}

/// What tells a device from the others, also when it no longer answers.
pub(super) fn number(device: &Device<'_>) -> usize {
    // SAFETY: the handle is only compared.
    unsafe { device.handle() as usize }
}

/// The memory by the function that drivers before R510 have too. What the driver keeps for itself counts as used.
pub(super) fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<MemoryUse, NvmlError> {
    let call = nvml.lib().nvmlDeviceGetMemoryInfo.as_ref().map_err(missing)?;
    // SAFETY: the struct is plain numbers, for which zeros are values; the handle is the device's, and the library writes one struct.
    let info = unsafe {
        let mut info = std::mem::zeroed();
        nvml_try(call(device.handle(), &raw mut info))?;
        info
    };
    Ok(MemoryUse { total: info.total, used: info.used, free: info.free, reserved: None })
}

/// The bits of why the clocks are not higher, all of them: the wrapper knows only some. The new name of the function first.
pub(super) fn clock_events(nvml: &Nvml, device: &Device<'_>) -> Result<u64, NvmlError> {
    let lib = nvml.lib();
    let call = match &lib.nvmlDeviceGetCurrentClocksEventReasons {
        Ok(call) => call,
        Err(_) => lib.nvmlDeviceGetCurrentClocksThrottleReasons.as_ref().map_err(missing)?,
    };
    let mut bits = 0;
    // SAFETY: the handle is the device's, and the library writes one number.
    unsafe { nvml_try(call(device.handle(), &raw mut bits))? };
    Ok(bits)
}

/// Whether the third version of the list of processes can be trusted: R470 lacks it, and an early R535 writes larger structs than
/// everybody else (`gpu.md` §4.1).
pub(super) fn lists_processes(nvml: &Nvml) -> bool {
    let lib = nvml.lib();
    let early = lib.nvmlDeviceGetConfComputeMemSizeInfo.is_ok() && lib.nvmlDeviceGetRunningProcessDetailList.is_err();
    lib.nvmlDeviceGetComputeRunningProcesses_v3.is_ok() && !early
}

/// The lists of processes that a driver keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Those that compute.
    Compute,
    /// Clients of the Multi-Process Service.
    Mps,
    /// Those that draw.
    Graphics,
}

/// The processes of a list, by the second version of its function.
pub(super) fn processes(nvml: &Nvml, device: &Device<'_>, list: List) -> Result<Vec<GpuProcess>, NvmlError> {
    let lib = nvml.lib();
    let call = match list {
        List::Compute => lib.nvmlDeviceGetComputeRunningProcesses_v2.as_ref(),
        List::Mps => lib.nvmlDeviceGetMPSComputeRunningProcesses_v2.as_ref(),
        List::Graphics => lib.nvmlDeviceGetGraphicsRunningProcesses_v2.as_ref(),
    };
    let call = call.map_err(missing)?;
    let mut count = 0;
    // SAFETY: without a list the library only counts.
    match unsafe { nvml_try(call(device.handle(), &raw mut count, std::ptr::null_mut())) } {
        Ok(()) => return Ok(Vec::new()),
        Err(NvmlError::InsufficientSize(_)) => {}
        Err(error) => return Err(error),
    }
    // Some more may have started since.
    count += 8;
    // SAFETY: the structs are plain numbers, for which zeros are values; the library writes as many as `count` says at most.
    let list = unsafe {
        let mut list = vec![std::mem::zeroed(); count as usize];
        nvml_try(call(device.handle(), &raw mut count, list.as_mut_ptr()))?;
        list.truncate(count as usize);
        list
    };
    // All ones: the driver does not know.
    let memory = |bytes: u64| (bytes != u64::MAX).then_some(bytes / MIB);
    let process = |pid, used| GpuProcess { pid, memory_mib: memory(used), ..GpuProcess::default() };
    Ok(list.iter().map(|info| process(info.pid, info.usedGpuMemory)).collect())
}

/// The numbers of a part of a GPU: of the GPU instance, and of the compute instance in it.
pub(super) fn instance(nvml: &Nvml, part: &Device<'_>) -> Result<(u32, u32), NvmlError> {
    let lib = nvml.lib();
    let gpu = lib.nvmlDeviceGetGpuInstanceId.as_ref().map_err(missing)?;
    let compute = lib.nvmlDeviceGetComputeInstanceId.as_ref().map_err(missing)?;
    let mut numbers = (0, 0);
    // SAFETY: the handle is the part's, and each call writes one number.
    unsafe {
        nvml_try(gpu(part.handle(), &raw mut numbers.0))?;
        nvml_try(compute(part.handle(), &raw mut numbers.1))?;
    }
    Ok(numbers)
}

/// How far the temperature is below its limit, °C, on boards that count that way: Ada and newer.
pub(super) fn temperature_margin(nvml: &Nvml, device: &Device<'_>) -> Result<i32, NvmlError> {
    let call = nvml.lib().nvmlDeviceGetMarginTemperature.as_ref().map_err(missing)?;
    // SAFETY: the struct is plain numbers, for which zeros are values.
    let mut margin = unsafe { zeroed_argument(*call) };
    margin.version = u32::try_from(size_of_val(&margin)).unwrap_or(0) | (1 << 24);
    // SAFETY: the handle is the device's, and the library writes one struct of the version that it is told.
    unsafe { nvml_try(call(device.handle(), &raw mut margin))? };
    Ok(margin.marginTemperature)
}

/// Whether so many errors of the memory inside the GPU were not corrected that the driver's limit is exceeded: Ampere and newer.
pub(super) fn sram_exceeded(nvml: &Nvml, device: &Device<'_>) -> Result<bool, NvmlError> {
    let call = nvml.lib().nvmlDeviceGetSramEccErrorStatus.as_ref().map_err(missing)?;
    // SAFETY: the struct is plain numbers, for which zeros are values.
    let mut status = unsafe { zeroed_argument(*call) };
    status.version = u32::try_from(size_of_val(&status)).unwrap_or(0) | (1 << 24);
    // SAFETY: the handle is the device's, and the library writes one struct of the version that it is told.
    unsafe { nvml_try(call(device.handle(), &raw mut status))? };
    Ok(status.bThresholdExceeded != 0)
}

/// What `call` writes, whose type the wrapper does not export.
///
/// # Safety
/// Zeros must be a value of it.
unsafe fn zeroed_argument<D, T>(_: unsafe extern "C" fn(D, *mut T) -> u32) -> T {
    // SAFETY: the caller keeps to it.
    unsafe { std::mem::zeroed() }
}

fn missing(error: &impl ToString) -> NvmlError {
    NvmlError::FailedToLoadSymbol(error.to_string())
}
