//! Host threads for host calls that may wait.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex as HostMutex, MutexGuard, PoisonError},
};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of host threads and the jobs that wait for them. An entity waits for its job,
/// so there are no more jobs than entities.
#[derive(Default)]
pub struct Workers {
    /// The host's own lock: workers sleep here. Nobody holds it over a call.
    jobs: HostMutex<VecDeque<Job>>,
    bell: Condvar,
}

impl Workers {
    /// How many threads there are.
    pub(crate) const COUNT: usize = 2;

    /// Lets a worker run `job`. To have the result, see [`crate::Fiber::offload`].
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs().push_back(Box::new(job));
        self.bell.notify_one();
    }

    /// A worker's host thread.
    pub(crate) fn work(&self) -> ! {
        loop {
            let job = self.next();
            job();
        }
    }

    fn next(&self) -> Job {
        let mut jobs = self.jobs();
        loop {
            match jobs.pop_front() {
                Some(job) => return job,
                None => jobs = self.bell.wait(jobs).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("jobs", &self.jobs().len()).finish()
    }
}
