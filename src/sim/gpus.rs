//! The GPUs of the simulated device, by the same scenarios that the fake library of NVML plays for tests: what they do in the
//! second before a look, as evidence. What only a library can do (hang in a call, lack a function, fail in one) is left to that.

use std::time::Duration;

use gpu_scenario::{Gpu as Played, Scenario};

use crate::evidence::{
    DriverState, Ecc, Gpu, GpuDriver, GpuInstance, GpuProcess, GpuState, Owner, Pcie, Pids, RemappedRows, RetiredPages,
    Xid,
};

/// One Tesla T4.
const ONE_T4: &str = include_str!("one-t4.toml");
/// How many samples a driver keeps a second (`gpu.md` §0.5).
const SAMPLES: u32 = 6;

/// GPUs that follow a scenario.
#[derive(Debug, Clone)]
pub(super) struct Gpus(Scenario);

impl Gpus {
    /// Reads a scenario.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        Scenario::read(text).map(Self)
    }

    /// One Tesla T4 that is busy in waves.
    pub(super) fn one() -> Self {
        Self::read(ONE_T4).expect("internal error: the built-in GPU must read")
    }

    /// How many GPUs Kubernetes could give away.
    pub(super) fn count(&self) -> usize {
        self.0.at(0).len()
    }

    /// The driver and the GPUs `elapsed` after the start.
    pub(super) fn at(&self, elapsed: Duration) -> (GpuDriver, Vec<Gpu>) {
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let played = self.0.at(now);
        let state = match self.0.init {
            0 if played.iter().any(|gpu| gpu.hangs) => DriverState::Unresponsive,
            0 => DriverState::Up,
            4 | 17 | 999 => DriverState::NoAccess,
            9 => DriverState::NotLoaded,
            12 => DriverState::NoLibrary,
            18 => DriverState::Mismatch,
            _ => DriverState::Failed,
        };
        if state != DriverState::Up {
            return (GpuDriver { state, ..GpuDriver::default() }, Vec::new());
        }
        let driver = GpuDriver {
            state,
            version: Some(self.0.driver.clone()),
            cuda: Some(format!("{}.{}", self.0.cuda / 1000, self.0.cuda % 1000 / 10)),
            gpus: u32::try_from(played.len()).unwrap_or(u32::MAX),
            pids: if self.0.knows_containers() { Pids::Host } else { Pids::Unasked },
            ..GpuDriver::default()
        };
        (driver, (0..played.len()).map(|index| self.gpu(index, now)).collect())
    }

    fn gpu(&self, index: usize, now: u64) -> Gpu {
        let played = &self.0.at(now)[index];
        let xids = self.0.xids.iter().filter(|(at, gpu, _)| *gpu == index && *at <= now);
        let mut gpu = Gpu {
            uuid: played.uuid.clone(),
            name: played.name.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            state: if played.lost { GpuState::Lost } else { GpuState::Up },
            ..Gpu::default()
        };
        for (at, _, number) in xids {
            let xid = gpu.xids.entry(*number).or_default();
            *xid = Xid { count: xid.count + 1, seconds_ago: (now - at) / 1000, restarts: 0 };
        }
        if played.lost {
            return gpu;
        }
        let samples: Vec<u32> = (0..SAMPLES)
            .filter_map(|back| self.0.at(now.saturating_sub(u64::from(back * 1000 / SAMPLES))).get(index))
            .map(|gpu| gpu.utilization.min(100))
            .collect();
        let share = |percent: u32| f64::from(percent) / 100.0;
        // A driver has no figures of use for a GPU that is cut into parts (`gpu.md` §2.2).
        if played.mig.is_none() {
            gpu.utilization_mean = Some(share(samples.iter().sum::<u32>()) / f64::from(SAMPLES));
            gpu.utilization_max = samples.iter().max().map(|percent| share(*percent));
            gpu.memory_utilization_mean = Some(share(played.memory_utilization));
            let seconds = |ms| Some(Duration::from_millis(ms).as_secs_f64());
            gpu.busy_total_seconds = seconds(self.0.busy_ms(index, now));
            gpu.covered_total_seconds = seconds(now);
        }
        figures(played, &mut gpu);
        let before = now.saturating_sub(1000);
        let used = self.0.energy_mj(index, now).saturating_sub(self.0.energy_mj(index, before));
        if now > before {
            gpu.power_w =
                Some(Duration::from_millis(used).as_secs_f64() / Duration::from_millis(now - before).as_secs_f64());
        }
        gpu.energy_j = Some(Duration::from_millis(self.0.energy_mj(index, now)).as_secs_f64());
        gpu
    }
}

/// What holds at the moment of a look.
fn figures(played: &Played, gpu: &mut Gpu) {
    let celsius = |celsius: u32| Some(i64::from(celsius));
    let watts = |milliwatts: u32| Some(f64::from(milliwatts) / 1000.0);
    (gpu.memory_used_mib, gpu.memory_total_mib) = (Some(played.memory_used_mib), Some(played.memory_total_mib));
    gpu.temperature_c = celsius(played.temperature);
    gpu.temperature_max_c = celsius(played.max_operating);
    gpu.temperature_slowdown_c = celsius(played.slowdown);
    gpu.temperature_shutdown_c = celsius(played.shutdown);
    gpu.temperature_margin_c = played.temperature_margin.map(i64::from);
    (gpu.power_w, gpu.power_limit_w) = (watts(played.power_mw), watts(played.power_limit_mw));
    (gpu.sm_mhz, gpu.memory_mhz) = (Some(played.sm_mhz), Some(played.memory_mhz));
    (gpu.sm_max_mhz, gpu.memory_max_mhz) = (Some(played.max_sm_mhz), Some(played.max_memory_mhz));
    gpu.memory_temperature_c = played.memory_temperature.map(i64::from);
    let share = |percent: u32| f64::from(percent.min(100)) / 100.0;
    (gpu.encoder_utilization, gpu.decoder_utilization) = (played.encoder.map(share), played.decoder.map(share));
    gpu.traffic.replays = Some(played.pcie_replays.into());
    gpu.performance_state = u8::try_from(played.pstate).ok();
    gpu.clock_events = Some(played.clock_events);
    gpu.pcie = Some(Pcie {
        generation: played.pcie_generation,
        width: played.pcie_width,
        max_generation: played.pcie_max_generation,
        max_width: played.pcie_max_width,
    });
    gpu.ecc = played.ecc.map(|enabled| Ecc {
        enabled,
        pending: played.ecc_pending.unwrap_or(enabled),
        corrected: if enabled { played.ecc_corrected } else { 0 },
        uncorrected: if enabled { played.ecc_uncorrected } else { 0 },
        sram_exceeded: played.sram_exceeded,
        ..Ecc::default()
    });
    let retired = played.retired_sbe.zip(played.retired_dbe).zip(played.retirement_pending);
    gpu.retired = retired.map(|((corrected, uncorrected), pending)| RetiredPages { corrected, uncorrected, pending });
    gpu.remapped = played.remapped.map(|[corrected, uncorrected, pending, failed]| RemappedRows {
        corrected: corrected.into(),
        uncorrected: uncorrected.into(),
        pending: pending != 0,
        failed: failed != 0,
    });
    gpu.recovery_action = played.recovery_action.map(u64::from);
    gpu.persistence = Some(played.persistence);
    gpu.exclusive = Some(played.compute_mode == 3);
    let part = |place: usize| played.mig.as_ref().and_then(|parts| parts.get(place)).map(|part| part.uuid.clone());
    let process = |process: &gpu_scenario::Process| GpuProcess {
        pid: process.pid,
        memory_mib: process.memory_mib,
        utilization: process.utilization.map(|percent| f64::from(percent.min(100)) / 100.0),
        mps: process.mps,
        instance: process.instance.and_then(part),
        owner: process.container.clone().map(|id| Owner::Container(vec![id])).unwrap_or_default(),
    };
    gpu.processes = Some(played.processes.iter().map(process).collect());
    let instance = |part: &gpu_scenario::Instance| GpuInstance {
        uuid: part.uuid.clone(),
        name: format!("{} MIG {}", played.name, part.profile),
        gpu_instance: part.gpu_instance,
        compute_instance: part.compute_instance,
        memory_used_mib: Some(part.memory_used_mib),
        memory_total_mib: Some(part.memory_total_mib),
    };
    gpu.instances = played.mig.as_ref().map(|parts| parts.iter().map(instance).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_t4_idles_and_then_is_busy_in_waves_for_ever() {
        let gpus = Gpus::one();
        let at = |ms| gpus.at(Duration::from_millis(ms)).1.remove(0);
        assert_eq!((at(1000).utilization_mean, at(1000).memory_used_mib), (Some(0.0), Some(3)));
        let means: Vec<f64> = (10..30).map(|n| at(n * 700).utilization_mean.unwrap()).collect();
        assert!(means.iter().all(|mean| (0.2..0.9).contains(mean)), "{means:?}");
        assert!(means.iter().any(|mean| *mean > 0.7) && means.iter().any(|mean| *mean < 0.4), "{means:?}");
        let power = at(600_000).power_w.unwrap();
        assert!((20.0..60.0).contains(&power), "{power} W");
    }

    #[test]
    fn drivers_fail_and_gpus_are_lost_here_too() {
        let look = |text: &str| Gpus::read(text).unwrap().at(Duration::from_secs(1));
        for (init, state) in [(9, DriverState::NotLoaded), (18, DriverState::Mismatch), (999, DriverState::NoAccess)] {
            assert_eq!(look(&format!("init = {init}")).0.state, state);
        }
        assert_eq!(look("[[gpu]]\nhangs = true").0.state, DriverState::Unresponsive);
        let (_, gpus) = look("[[gpu]]\n[[step]]\nat_ms = 300\nxid = 79\nset = { lost = true }");
        assert_eq!((gpus[0].state, gpus[0].xids[&79].count, gpus[0].temperature_c), (GpuState::Lost, 1, None));
    }
}
