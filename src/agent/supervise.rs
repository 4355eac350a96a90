//! Tasks that are started again when they die, which is a fault of ours and shows in the next report.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::link::Backoff;

/// The first pause before a task is started again, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often each task died.
pub(super) type Restarts = watch::Sender<BTreeMap<&'static str, u64>>;

/// Runs `task` until it ends by itself; after a panic it starts again, until `stop` says that nothing is to start any
/// more.
pub(super) async fn keep<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    restarts: Restarts,
    mut stop: watch::Receiver<bool>,
    mut task: impl FnMut() -> F,
) {
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    while let Err(death) = tokio::spawn(task()).await {
        if death.is_cancelled() {
            return;
        }
        restarts.send_modify(|restarts| *restarts.entry(name).or_default() += 1);
        let pause = backoff.failed();
        tracing::error!(task = name, pause_s = pause.as_secs_f64(), "A task died, a fault of ours; it starts again.");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // An error means that nobody can say "stop" any more, which says it.
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_starts_again_and_is_counted() {
        let runs = Arc::new(AtomicU32::new(0));
        let restarts = Restarts::new(BTreeMap::new());
        let (_stop, stopped) = watch::channel(false);
        let task = || {
            let runs = Arc::clone(&runs);
            async move { assert!(runs.fetch_add(1, Ordering::Relaxed) >= 2, "as planned") }
        };
        keep("test", restarts.clone(), stopped, task).await;
        assert_eq!(restarts.borrow()["test"], 2);
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_again_after_the_end() {
        let restarts = Restarts::new(BTreeMap::new());
        let (stop, stopped) = watch::channel(false);
        stop.send_replace(true);
        keep("test", restarts.clone(), stopped, || async { panic!("as planned") }).await;
        assert_eq!(restarts.borrow()["test"], 1);
    }
}
