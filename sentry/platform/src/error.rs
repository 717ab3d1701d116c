//! What a platform can fail with.

/// A platform that can't do its work.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The host refused a resource.
    #[error("host refused {what}")]
    Host {
        /// The operation, as an operator would name it.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The address space was killed from outside or its stub broke the protocol.
    #[error("address space is gone: {0}")]
    SpaceLost(&'static str),
}
