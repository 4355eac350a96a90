//! The GPUs, asked through NVML. Everything that may block runs on threads of its own: a driver that hangs is reported as
//! such and never holds up the module. Knows no rules.

mod asking;
mod busy;
mod events;
mod history;
mod kept;
mod processes;
mod raw;
mod sampler;
mod schedule;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

pub use self::schedule::Schedule;

use self::events::Events;
use self::kept::Kept;
use self::sampler::Sampler;
use super::{Look, Question, Sight, Source};
use crate::evidence::{DriverState, Gpu, GpuDriver};

/// How long the driver may take for one look. The slowest call known takes 1.5 s (`gpu.md` §5.1).
const DEADLINE: Duration = Duration::from_secs(4);

/// The GPUs of this machine.
#[derive(Debug)]
pub struct Nvml {
    requests: SyncSender<Request>,
    deadline: Duration,
}

/// The moment of a look, and whom to tell.
type Request = (Instant, oneshot::Sender<(GpuDriver, Vec<Gpu>)>);

impl Nvml {
    /// Starts to look at the GPUs, through the library at `library` or through the one that the system finds.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(library: Option<PathBuf>) -> io::Result<Self> {
        Self::scheduled(library, Schedule::default())
    }

    /// The same, with how often what is asked.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn scheduled(library: Option<PathBuf>, schedule: Schedule) -> io::Result<Self> {
        Self::with(library, DEADLINE, PathBuf::from("/proc"), schedule, None)
    }

    /// The same, and keeps what is learnt of the GPUs in `folder`, if there is one.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn keeping(library: Option<PathBuf>, folder: Option<&Path>) -> io::Result<Self> {
        Self::with(library, DEADLINE, PathBuf::from("/proc"), Schedule::default(), folder)
    }

    /// The same, with another time that the driver may take, and everything asked at each look.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn with_deadline(library: Option<PathBuf>, deadline: Duration) -> io::Result<Self> {
        Self::with_processes(library, deadline, PathBuf::from("/proc"), None)
    }

    /// The same, with the folder where the kernel shows the processes of the host, and one in which what is learnt of the GPUs is
    /// kept; without it that is learnt anew at each start.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn with_processes(
        library: Option<PathBuf>,
        deadline: Duration,
        proc: PathBuf,
        folder: Option<&Path>,
    ) -> io::Result<Self> {
        Self::with(library, deadline, proc, Schedule::EACH_LOOK, folder)
    }

    fn with(
        library: Option<PathBuf>,
        deadline: Duration,
        proc: PathBuf,
        schedule: Schedule,
        folder: Option<&Path>,
    ) -> io::Result<Self> {
        // One look may run and one may wait; more only pile up behind a driver that hangs.
        let (requests, asked) = sync_channel::<Request>(1);
        let events = Events::start(library.clone())?;
        let kept = Kept::new(folder, &proc);
        let mut sampler = Sampler::new(library, proc, schedule, kept);
        std::thread::Builder::new().name("gpu".to_owned()).spawn(move || {
            loop {
                match asked.recv_timeout(sampler.rest()) {
                    // Nobody waits any more where the deadline has passed.
                    Ok((now, answer)) => drop(answer.send(sampler.look(&events, now))),
                    Err(RecvTimeoutError::Timeout) => sampler.drain(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { requests, deadline })
    }

    /// Looks once, within the deadline.
    pub async fn gpus(&self) -> Result<(GpuDriver, Vec<Gpu>), String> {
        let (answer, seen) = oneshot::channel();
        match self.requests.try_send((Instant::now(), answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Ok((unresponsive(self.deadline), Vec::new())),
            Err(TrySendError::Disconnected(_)) => return Err("the thread that looks at the GPUs has died".to_owned()),
        }
        match tokio::time::timeout(self.deadline, seen).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(_)) => Err("the thread that looks at the GPUs has died".to_owned()),
            Err(_) => Ok((unresponsive(self.deadline), Vec::new())),
        }
    }
}

impl Source for Nvml {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn question(&self) -> Question {
        Question::Gpus
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async { self.gpus().await.map(|(driver, gpus)| Some(Sight::Gpus(driver, gpus))) })
    }
}

fn unresponsive(deadline: Duration) -> GpuDriver {
    let detail = Some(format!("no answer within {} s", deadline.as_secs_f64()));
    GpuDriver { state: DriverState::Unresponsive, detail, ..GpuDriver::default() }
}
