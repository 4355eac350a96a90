//! Calls of NVML that its wrapper lacks or makes in a way that drivers of Azure Stack Edge do not have (`gpu.md` §6.4, §6.5).

#![expect(unsafe_code, reason = "a C library is called through pointers that it gave us")]

use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::{Device, Nvml};

use crate::evidence::GpuProcess;

const MIB: u64 = 1024 * 1024;

/// What tells a device from the others, also when it no longer answers.
pub(super) fn number(device: &Device<'_>) -> usize {
    // SAFETY: the handle is only compared.
    unsafe { device.handle() as usize }
}

/// Memory in use and in all, MiB, by the function that drivers before R510 have too. What the driver keeps for itself counts
/// as used.
pub(super) fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    let call = nvml.lib().nvmlDeviceGetMemoryInfo.as_ref().map_err(missing)?;
    // SAFETY: the struct is plain numbers, for which zeros are values; the handle is the device's, and the library writes one struct.
    let info = unsafe {
        let mut info = std::mem::zeroed();
        nvml_try(call(device.handle(), &raw mut info))?;
        info
    };
    Ok((info.used / MIB, info.total / MIB))
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

/// Who computes on the device, by the second version of that function.
pub(super) fn processes(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let call = nvml.lib().nvmlDeviceGetComputeRunningProcesses_v2.as_ref().map_err(missing)?;
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
    Ok(list.iter().map(|process| GpuProcess { pid: process.pid, memory_mib: memory(process.usedGpuMemory) }).collect())
}

fn missing(error: &impl ToString) -> NvmlError {
    NvmlError::FailedToLoadSymbol(error.to_string())
}
