//! Xids: a thread that waits for them, with a session of NVML of its own, for as long as anybody asks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use tokio::time::Instant;

use super::raw;
use crate::evidence::Xid;

/// How long one call waits, in ms: after that it is seen whether anybody still asks.
const WAIT: u32 = 1_000;
/// How long a driver that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The Xids of each GPU by UUID and number: how often, and when last.
type Seen = Mutex<BTreeMap<String, BTreeMap<u64, (u64, Instant)>>>;

/// What was reported since the start.
#[derive(Debug)]
pub(super) struct Events {
    seen: Arc<Seen>,
}

impl Events {
    /// Starts to wait.
    pub(super) fn start(library: Option<PathBuf>) -> io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let asked = Arc::downgrade(&seen);
        std::thread::Builder::new().name("gpu-events".to_owned()).spawn(move || {
            while asked.strong_count() > 0 {
                // A driver that is not there, or went away: it may come back.
                let _ = wait(library.as_deref().map(std::path::Path::as_os_str), &asked);
                std::thread::park_timeout(PAUSE);
            }
        })?;
        Ok(Self { seen })
    }

    /// The Xids of one GPU.
    pub(super) fn of(&self, uuid: &str) -> BTreeMap<u64, Xid> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let xids = seen.get(uuid).into_iter().flatten();
        let xid = |(count, last): (u64, Instant)| Xid { count, seconds_ago: last.elapsed().as_secs(), restarts: 0 };
        xids.map(|(number, seen)| (*number, xid(*seen))).collect()
    }

    /// Forgets the Xids of one GPU, which was reset.
    pub(super) fn forget(&self, uuid: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(uuid);
    }
}

/// Waits until nobody asks any more, or the driver fails.
fn wait(library: Option<&OsStr>, asked: &Weak<Seen>) -> Result<(), NvmlError> {
    let nvml = match library {
        Some(library) => Nvml::builder().lib_path(library).init()?,
        None => Nvml::init()?,
    };
    let mut set = nvml.create_event_set()?;
    // A GPU that fell off the bus no longer says who it is.
    let mut uuids = BTreeMap::new();
    for index in 0..nvml.device_count()? {
        // A GPU that knows no Xids, or is lost, is left out.
        let Ok(device) = nvml.device_by_index(index) else { continue };
        uuids.insert(raw::number(&device), device.uuid()?);
        set = match device.register_events(EventTypes::CRITICAL_XID_ERROR, set) {
            Ok(set) => set,
            Err(error) => return Err(error.error),
        };
    }
    loop {
        let event = match set.wait(WAIT) {
            Ok(event) => event,
            Err(NvmlError::Timeout) if asked.strong_count() > 0 => continue,
            Err(NvmlError::Timeout) => return Ok(()),
            Err(error) => return Err(error),
        };
        let uuid = uuids.get(&raw::number(&event.device));
        let (Some(XidError::Value(number)), Some(uuid)) = (event.event_data, uuid) else { continue };
        let Some(seen) = asked.upgrade() else { return Ok(()) };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let xid = seen.entry(uuid.clone()).or_default().entry(number).or_insert((0, Instant::now()));
        *xid = (xid.0 + 1, Instant::now());
    }
}
