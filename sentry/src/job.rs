//! Work for the kernel that is asked for by a host thread: it runs on a fiber, since it may block.

use std::sync::Arc;

use host::Parker;
use sched::{Body, Fiber, Leave, Mutex, Sched};

type Work<R> = Box<dyn FnOnce(&Fiber<'_>) -> R + Send>;

struct Job<R> {
    work: Mutex<Option<Work<R>>>,
    result: Mutex<Option<R>>,
    asker: Parker,
}

impl<R: Send + 'static> Body for Job<R> {
    fn run(self: Arc<Self>, fiber: &Fiber<'_>) -> Leave {
        let work = self.work.lock().take();
        if let Some(work) = work {
            let result = work(fiber);
            *self.result.lock() = Some(result);
            self.asker.unpark();
        }
        Leave::Exit
    }
}

/// Runs `work` on a fiber and waits for its end. Only for host threads that are no executors.
pub(crate) fn run<R: Send + 'static>(
    sched: &Arc<Sched>,
    work: impl FnOnce(&Fiber<'_>) -> R + Send + 'static,
) -> R {
    let job = Arc::new(Job {
        work: Mutex::new(Some(Box::new(work) as Work<R>)),
        result: Mutex::new(None),
        asker: Parker::new(),
    });
    let entity = sched.spawn(job.clone());
    sched.start(&entity);
    loop {
        job.asker.park();
        if let Some(result) = job.result.lock().take() {
            return result;
        }
    }
}
