//! Connections of a backend to its server.

/// Counts of the connections that a metadata backend has to its server, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that stay open.
    pub pool_size: usize,
    /// Connections that are opened beyond them while all are used.
    pub max_overflow: usize,
    /// Connections that are open now.
    pub open: usize,
    /// Connections that calls use now.
    pub in_use: usize,
    /// Connections that wait to be used.
    pub idle: usize,
    /// How many connections were opened so far.
    pub opened: u64,
    /// How many calls have waited for a connection because all were in use.
    pub waits: u64,
}
