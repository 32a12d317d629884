//! Places at which a test kills the process. Without the feature `failpoints`, which no release has, they are nothing.
//!
//! The environment says where: `CACHENESS_FAILPOINT=put/committed:3` is the third time that place is reached.

/// All places, in the order in which a put passes them; then those of other operations.
pub const POINTS: &[&str] = &[
    "blob/created",
    "blob/half",
    "blob/written",
    "blob/placed",
    "put/blob",
    "transaction/begun",
    "put/row",
    "transaction/commit",
    "transaction/committed",
    "put/committed",
    "put/done",
    "delete/committed",
    "update/committed",
    "evict/committed",
    "clear/committed",
    "blob/deleted",
    "garbage/deleted",
    "migrate/step",
    "json/locked",
    "json/written",
    "json/placed",
];

#[cfg(feature = "failpoints")]
mod plan {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        point: String,
        left: AtomicU64,
    }

    /// # Panics
    /// If the environment variable is malformed: a test that kills nowhere would prove nothing.
    fn plan() -> Option<&'static Plan> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        let read = || {
            let text = std::env::var("CACHENESS_FAILPOINT").ok()?;
            let (point, count) = text.rsplit_once(':').expect("CACHENESS_FAILPOINT is place:count");
            assert!(super::POINTS.contains(&point), "{point} is no failpoint");
            let left = count.parse().expect("CACHENESS_FAILPOINT is place:count");
            Some(Plan { point: point.to_owned(), left: AtomicU64::new(left) })
        };
        PLAN.get_or_init(read).as_ref()
    }

    pub(super) fn reached(point: &str) {
        debug_assert!(super::POINTS.contains(&point), "{point} is not listed");
        let Some(plan) = plan() else { return };
        if plan.point == point && plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // As the kernel would do it: nothing is flushed, no destructor runs.
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            unreachable!("a process outlived its SIGKILL: {killed:?}");
        }
    }
}

/// The process is at `point`.
#[inline]
pub fn reached(point: &str) {
    #[cfg(feature = "failpoints")]
    plan::reached(point);
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}
