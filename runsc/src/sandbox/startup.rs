//! The conversation between `create` and a process that it starts.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use control::{Report, Startup};

use crate::channel::Channel;

/// A start takes milliseconds; this is for a host that swaps.
const PATIENCE: Duration = Duration::from_secs(120);

/// The new process's end.
#[derive(Debug)]
pub(crate) struct Starter {
    channel: Channel,
}

impl Starter {
    /// Over the channel that was inherited.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Says how the preparations went.
    pub(crate) fn tell(&self, result: Result<(), Report>) -> Result<()> {
        let message = result.map_or_else(Startup::Failed, |()| Startup::Ready);
        self.channel.send(&message, &[])
    }

    /// Waits until `create` has recorded the container. It must not live on if `create` died before.
    pub(crate) fn wait_for_adoption(self) -> Result<()> {
        match self.channel.receive()? {
            Some((Startup::Adopt, _)) => Ok(()),
            _ => bail!("runsc create ended before the container was recorded"),
        }
    }
}

/// The report in `error`: the original one if there is one, else its text.
pub(crate) fn report(step: &str, error: &anyhow::Error) -> Report {
    let errno = error.chain().find_map(errno);
    match error.downcast_ref::<Report>() {
        Some(report) => report.clone(),
        None => Report { errno, ..Report::new(step, format!("{error:#}")) },
    }
}

fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    error
        .downcast_ref::<rustix::io::Errno>()
        .map(|errno| errno.raw_os_error())
        .or_else(|| error.downcast_ref::<std::io::Error>()?.raw_os_error())
}

/// `create`'s end: waits until the process at the other end is ready. `who` names it in errors.
pub(crate) fn wait_until_ready(channel: &Channel, who: &str) -> Result<()> {
    if !channel.wait(PATIENCE)? {
        bail!("the {who} was not ready within {PATIENCE:?}");
    }
    let message = channel.receive().with_context(|| format!("hear from the {who}"))?;
    match message {
        Some((Startup::Ready, _)) => Ok(()),
        Some((Startup::Failed(report), _)) => Err(report.into()),
        Some((Startup::Adopt, _)) => bail!("the {who} sent the wrong message"),
        None => bail!("the {who} died before it was ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_reaches_the_command_with_its_errno() {
        let (one, other) = Channel::pair().unwrap();
        let error = anyhow::Error::from(rustix::io::Errno::NOENT).context("open /dev/x");
        Starter::new(one).tell(Err(report("make devices", &error))).unwrap();
        let error = wait_until_ready(&other, "Sentry").unwrap_err();
        let report = error.downcast_ref::<Report>().unwrap();
        assert_eq!((report.step.as_str(), report.errno), ("make devices", Some(2)));
        assert!(report.message.contains("open /dev/x"));
    }

    #[test]
    fn a_process_that_dies_early_is_an_error() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        let error = wait_until_ready(&other, "Gofer").unwrap_err();
        assert_eq!(error.to_string(), "the Gofer died before it was ready");
    }

    #[test]
    fn a_process_whose_starter_dies_is_not_adopted() {
        let (one, other) = Channel::pair().unwrap();
        drop(other);
        assert!(Starter::new(one).wait_for_adoption().is_err());
    }
}
