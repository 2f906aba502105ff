//! Failpoints: places where a test kills this process. Absent from every build without the feature `failpoints`.
//!
//! `FAILPOINTS='journal-appended=3*off->return'` ends the process by SIGKILL at the fourth passage. All names are here.

/// Just before records are written to the journal.
pub(crate) const BEFORE_APPEND: &str = "journal-append";
/// Just after records became durable in the journal.
pub(crate) const APPENDED: &str = "journal-appended";

/// A place where the process may die.
pub(crate) fn point(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::eval(name, |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Reads `FAILPOINTS` for the life of the process.
pub(crate) fn setup() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}
