//! How a module asks for GPUs: Docker's ways, which Kubernetes does not know, and its resource.

use serde_json::{Value, json};

use super::{GPU, Module};
use crate::text::{At, Path, Span};

/// One of Docker's ways to a GPU.
#[derive(Debug)]
pub(crate) struct GpuRequest {
    /// The bytes of it.
    pub(crate) span: Span,
    /// The path to remove.
    pub(crate) path: Path,
    /// How many it asks for.
    pub(crate) count: GpuCount,
}

/// How many GPUs a [`GpuRequest`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GpuCount {
    /// It names no number.
    Unsaid,
    /// So many.
    Some(i64),
    /// All that there are.
    All,
}

impl Module<'_> {
    /// `Runtime: nvidia`, `DeviceRequests` for GPUs, and devices `/dev/nvidia*`.
    pub(crate) fn docker_gpus(self) -> Vec<GpuRequest> {
        let runtime = self.option(&["HostConfig", "Runtime"]);
        let runtime = runtime.filter(|at| at.as_str().is_some_and(|name| name.eq_ignore_ascii_case("nvidia")));
        let runtime = runtime.map(|at| GpuRequest { span: at.member_span(), path: at.path(), count: GpuCount::Unsaid });
        let requests = self.option(&["HostConfig", "DeviceRequests"]);
        let requests = requests.into_iter().flat_map(At::items).filter(|request| is_for_gpu(*request));
        let requests = requests.map(|at| GpuRequest { span: at.span(), path: at.path(), count: count(at) });
        let devices = self.devices().into_iter().filter(|device| device.name().starts_with("nvidia"));
        let devices = devices.map(|device| GpuRequest {
            span: device.path_span(),
            path: device.at.path(),
            count: GpuCount::Unsaid,
        });
        runtime.into_iter().chain(requests).chain(devices).collect()
    }

    /// Whether it asks for a GPU of its own, as Docker or as Kubernetes has it.
    pub(crate) fn wants_gpu(self) -> bool {
        self.limit(GPU).is_some() || !self.docker_gpus().is_empty()
    }
}

/// An element of `DeviceRequests` that asks Docker for `count` GPUs.
pub(crate) fn docker_gpu_request(count: i64) -> Value {
    json!({ "Count": count, "Capabilities": [["gpu"]] })
}

fn is_for_gpu(request: At<'_>) -> bool {
    let driver = request.get_ignoring_case("Driver").and_then(At::as_str);
    let capabilities = request.get_ignoring_case("Capabilities").into_iter().flat_map(At::items).flat_map(At::items);
    driver == Some("nvidia") || capabilities.filter_map(At::as_str).any(|name| name == "gpu")
}

/// By number or by names; -1 is all of them.
fn count(request: At<'_>) -> GpuCount {
    let named = request.get_ignoring_case("DeviceIDs").map_or(0, |ids| ids.items().len());
    match request.get_ignoring_case("Count").and_then(At::as_i64) {
        _ if named > 0 => GpuCount::Some(i64::try_from(named).unwrap_or(1)),
        Some(n) if n > 0 => GpuCount::Some(n),
        Some(-1) => GpuCount::All,
        _ => GpuCount::Unsaid,
    }
}
