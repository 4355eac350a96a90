"""Asks the NVML library beside this process for everything that is played, and prints it as JSON."""

import json
import time

import pynvml as nv


def samples(device):
    kind, found = nv.nvmlDeviceGetSamples(device, nv.NVML_GPU_UTILIZATION_SAMPLES, 0)
    assert kind == nv.NVML_VALUE_TYPE_UNSIGNED_INT, kind
    return [sample.sampleValue.uiVal for sample in found]


def fields(device, ids):
    found = nv.nvmlDeviceGetFieldValues(device, ids)
    return [value.value.ullVal if value.nvmlReturn == 0 else None for value in found]


def processes(list_of, device):
    return [[process.pid, process.usedGpuMemory] for process in list_of(device)]


nv.nvmlInit()
events = nv.nvmlEventSetCreate()
gpus = []
for index in range(nv.nvmlDeviceGetCount()):
    device = nv.nvmlDeviceGetHandleByIndex(index)
    nv.nvmlDeviceRegisterEvents(device, nv.nvmlEventTypeXidCriticalError, events)
    memory = nv.nvmlDeviceGetMemoryInfo(device, nv.nvmlMemory_v2)
    before = nv.nvmlDeviceGetTotalEnergyConsumption(device), time.monotonic()
    time.sleep(0.5)
    after = nv.nvmlDeviceGetTotalEnergyConsumption(device), time.monotonic()
    gpus.append({
        "name": nv.nvmlDeviceGetName(device),
        "uuid": nv.nvmlDeviceGetUUID(device),
        "bus": nv.nvmlDeviceGetPciInfo(device).busId,
        "memory": [memory.total, memory.reserved, memory.used],
        "old_used": nv.nvmlDeviceGetMemoryInfo(device).used,
        "busy": nv.nvmlDeviceGetUtilizationRates(device).gpu,
        "samples": sorted(set(samples(device))),
        "temperature": nv.nvmlDeviceGetTemperature(device, nv.NVML_TEMPERATURE_GPU),
        "slowdown": nv.nvmlDeviceGetTemperatureThreshold(device, nv.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
        "power": nv.nvmlDeviceGetPowerUsage(device),
        "watts": (after[0] - before[0]) / 1000 / (after[1] - before[1]),
        "sm": nv.nvmlDeviceGetClockInfo(device, nv.NVML_CLOCK_SM),
        "ecc": nv.nvmlDeviceGetEccMode(device),
        "uncorrected": nv.nvmlDeviceGetTotalEccErrors(
            device, nv.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nv.NVML_VOLATILE_ECC),
        "retired": fields(device, [29, 30, 31]),
        "remapped": fields(device, [142, 143, 144, 145]),
        "processes": processes(nv.nvmlDeviceGetComputeRunningProcesses, device),
        "mps": processes(nv.nvmlDeviceGetMPSComputeRunningProcesses, device),
    })
event = nv.nvmlEventSetWait_v2(events, 3000)
xid = [nv.nvmlDeviceGetUUID(nv.nvmlDeviceGetHandleByIndex(0)), event.eventData]
try:
    nv.nvmlDeviceGetTemperature(nv.nvmlDeviceGetHandleByIndex(1), nv.NVML_TEMPERATURE_GPU)
    lost = None
except nv.NVMLError as error:
    lost = error.value
driver = nv.nvmlSystemGetDriverVersion(), nv.nvmlSystemGetCudaDriverVersion()
nv.nvmlShutdown()
print(json.dumps({"driver": driver, "gpus": gpus, "xid": xid, "lost": lost}))
