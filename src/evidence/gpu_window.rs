//! What many looks at a GPU come to: a window. What a GPU counts by itself is a difference, so that no look between two
//! reports is lost; of the rest the mean and the most are kept.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Gpu;

/// One GPU over the time between two reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuWindow {
    /// The last look.
    pub last: Gpu,
    /// From when, which is the last look of the window before.
    pub since: Timestamp,
    /// Until when, which is the last look.
    pub until: Timestamp,
    /// How many looks it is made of.
    pub looks: u32,
    /// Mean share of time that the GPU was busy, 0 to 1.
    pub utilization_mean: Option<f64>,
    /// Its busiest sample, 0 to 1.
    pub utilization_max: Option<f64>,
    /// Seconds in which it was busy, where the driver keeps samples.
    pub busy_seconds: Option<f64>,
    /// Mean share of time that memory was read or written, 0 to 1.
    pub memory_utilization_mean: Option<f64>,
    /// Most memory in use at a look, MiB.
    pub memory_used_max_mib: Option<u64>,
    /// Highest temperature at a look, °C.
    pub temperature_max_c: Option<i64>,
    /// Energy that was used, J, where it is counted.
    pub energy_j: Option<f64>,
    /// Mean power, W: by the energy that was used, where that is counted.
    pub power_mean_w: Option<f64>,
    /// Highest power at a look, W, each the mean since the look before.
    pub power_max_w: Option<f64>,
}

/// The windows of all GPUs, look by look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuWindows(BTreeMap<String, Gathered>);

/// What came together of one GPU since the last report.
#[derive(Debug, Clone, Default, PartialEq)]
struct Gathered {
    last: Gpu,
    looks: u32,
    /// What it had counted when the window began.
    before: Counts,
    /// When that was.
    since: Timestamp,
    /// From when on energy is counted, of which the first look does not say what came before it.
    counted_since: Timestamp,
    at: Timestamp,
    utilization: Mean,
    utilization_max: Option<f64>,
    memory_utilization: Mean,
    memory_used_max_mib: Option<u64>,
    temperature_max_c: Option<i64>,
    power: Mean,
    power_max_w: Option<f64>,
}

/// What only grows, until the driver is loaded again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    busy: Option<f64>,
    covered: Option<f64>,
    energy: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    count: u32,
}

impl GpuWindows {
    /// Takes in what was seen of all GPUs `at` that time. One that is no longer seen is forgotten.
    pub fn add(&mut self, gpus: &[Gpu], at: Timestamp) {
        self.0.retain(|uuid, _| gpus.iter().any(|gpu| gpu.uuid == *uuid));
        for gpu in gpus {
            let gathered = self.0.entry(gpu.uuid.clone()).or_insert_with(|| Gathered::before(gpu, at));
            gathered.add(gpu, at);
        }
    }

    /// The windows up to now, in the order of the driver; new ones begin.
    pub fn take(&mut self) -> Vec<GpuWindow> {
        let mut windows: Vec<GpuWindow> = self.0.values().map(Gathered::window).collect();
        windows.sort_by_key(|window| window.last.index);
        for gathered in self.0.values_mut() {
            let before = Counts::of(&gathered.last);
            *gathered = Gathered {
                last: gathered.last.clone(),
                before,
                since: gathered.at,
                counted_since: gathered.at,
                at: gathered.at,
                ..Gathered::default()
            };
        }
        windows
    }
}

impl Gathered {
    /// Before the first look, of which the driver's samples tell.
    fn before(gpu: &Gpu, at: Timestamp) -> Self {
        let minus = |total: Option<f64>, own: Option<f64>| total.map(|total| total - own.unwrap_or(0.0));
        let before = Counts {
            busy: minus(gpu.busy_total_seconds, gpu.busy_seconds),
            covered: minus(gpu.covered_total_seconds, gpu.window_seconds),
            energy: gpu.energy_j,
        };
        let earlier = gpu.window_seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
        let since = earlier.and_then(|earlier| at.checked_sub(earlier).ok()).unwrap_or(at);
        Self { before, since, counted_since: at, at, ..Self::default() }
    }

    fn add(&mut self, gpu: &Gpu, at: Timestamp) {
        self.looks += 1;
        self.utilization.add(gpu.utilization_mean);
        self.utilization_max = most(self.utilization_max, gpu.utilization_max);
        self.memory_utilization.add(gpu.memory_utilization_mean);
        self.memory_used_max_mib = self.memory_used_max_mib.max(gpu.memory_used_mib);
        self.temperature_max_c = self.temperature_max_c.max(gpu.temperature_c);
        self.power.add(gpu.power_w);
        self.power_max_w = most(self.power_max_w, gpu.power_w);
        self.at = at;
        self.last = gpu.clone();
    }

    fn window(&self) -> GpuWindow {
        let now = Counts::of(&self.last);
        let busy = grown(self.before.busy, now.busy);
        let covered = grown(self.before.covered, now.covered).filter(|seconds| *seconds > 0.0);
        let seconds = self.at.duration_since(self.counted_since).as_secs_f64();
        let energy = self.before.energy.zip(now.energy).map(|(before, now)| now - before);
        let energy = energy.filter(|joules| *joules >= 0.0 && seconds > 0.0);
        let power = energy.map(|joules| joules / seconds);
        GpuWindow {
            last: self.last.clone(),
            since: self.since,
            until: self.at,
            looks: self.looks,
            utilization_mean: busy.zip(covered).map(|(busy, covered)| busy / covered).or(self.utilization.value()),
            utilization_max: self.utilization_max,
            busy_seconds: covered.and(busy),
            memory_utilization_mean: self.memory_utilization.value(),
            memory_used_max_mib: self.memory_used_max_mib,
            temperature_max_c: self.temperature_max_c,
            energy_j: energy,
            power_mean_w: power.or(self.power.value()),
            power_max_w: self.power_max_w,
        }
    }
}

impl Counts {
    fn of(gpu: &Gpu) -> Self {
        Self { busy: gpu.busy_total_seconds, covered: gpu.covered_total_seconds, energy: gpu.energy_j }
    }
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// How much a count has grown. One that began anew has grown by all that it says.
fn grown(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    let (before, now) = (before.unwrap_or(0.0), now?);
    Some(if now >= before { now - before } else { now })
}

fn most(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn gpu(busy: (f64, f64), joules: f64, max: f64) -> Gpu {
        Gpu {
            uuid: "GPU-1".to_owned(),
            busy_total_seconds: Some(busy.0),
            covered_total_seconds: Some(busy.1),
            energy_j: Some(joules),
            utilization_mean: Some(1.0),
            utilization_max: Some(max),
            temperature_c: Some(if max > 0.5 { 80 } else { 40 }),
            ..Gpu::default()
        }
    }

    #[test]
    fn a_window_is_what_was_counted_between_two_reports() {
        let mut windows = GpuWindows::default();
        // The first look brings what the driver had in store: two seconds of four.
        let first = Gpu { busy_seconds: Some(2.0), window_seconds: Some(4.0), ..gpu((2.0, 4.0), 100.0, 0.9) };
        windows.add(&[first], at(0));
        windows.add(&[gpu((3.0, 14.0), 700.0, 0.2)], at(10));
        let window = windows.take().remove(0);
        assert_eq!((window.looks, window.busy_seconds), (2, Some(3.0)));
        assert!((window.utilization_mean.unwrap() - 3.0 / 14.0).abs() < 1e-9, "{window:?}");
        assert_eq!((window.utilization_max, window.temperature_max_c), (Some(0.9), Some(80)));
        assert_eq!((window.power_mean_w, window.energy_j), (Some(60.0), Some(600.0)));
        // With what the driver had in store, which has no energy.
        assert_eq!((window.since, window.until), (at(-4), at(10)));
        // Looks that nobody took in are in the next window all the same, except for what was the most.
        windows.add(&[gpu((53.0, 114.0), 7_700.0, 0.4)], at(110));
        let window = windows.take().remove(0);
        assert_eq!((window.looks, window.busy_seconds, window.utilization_mean), (1, Some(50.0), Some(0.5)));
        assert_eq!((window.utilization_max, window.power_mean_w), (Some(0.4), Some(70.0)));
        assert_eq!((window.since, window.until), (at(10), at(110)));
        // Another driver counts from the beginning.
        windows.add(&[gpu((1.0, 4.0), 10.0, 0.4)], at(120));
        let window = windows.take().remove(0);
        assert_eq!((window.busy_seconds, window.utilization_mean), (Some(1.0), Some(0.25)));
        assert_eq!((window.energy_j, window.since), (None, at(110)));
    }

    #[test]
    fn points_are_averaged_where_nothing_is_counted() {
        let mut windows = GpuWindows::default();
        let point = |share, watts| Gpu {
            uuid: "GPU-1".to_owned(),
            utilization_mean: Some(share),
            utilization_max: Some(share),
            power_w: Some(watts),
            ..Gpu::default()
        };
        windows.add(&[point(0.2, 10.0)], at(0));
        windows.add(&[point(0.4, 30.0)], at(10));
        let window = windows.take().remove(0);
        assert!((window.utilization_mean.unwrap() - 0.3).abs() < 1e-9, "{window:?}");
        assert_eq!((window.utilization_max, window.busy_seconds), (Some(0.4), None));
        assert_eq!((window.power_mean_w, window.power_max_w), (Some(20.0), Some(30.0)));
        windows.add(&[], at(20));
        assert_eq!(windows.take(), []);
    }
}
