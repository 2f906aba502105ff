//! Failpoints: places where a test kills this process. A build without the feature `failpoints` cannot be killed there; logs
//! at the level `trace` say in every build which of them it passes.
//!
//! `FAILPOINTS='sqlite.commit=3*off->return'` ends the process by SIGKILL when it passes there for the fourth time.
//!
//! Owns the list of all points of this workspace. A step crate from elsewhere names points of its own, each beginning
//! with its kind (`acme.touch:made`), calls [`point`] there and declares them ([`Faults`]).

/// A place where the process may die, by its name.
#[inline]
pub fn point(name: &str) {
    tracing::trace!(point = name, "passed");
    #[cfg(feature = "failpoints")]
    fail::eval(name, |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}

/// Reads `FAILPOINTS` for the life of the process.
pub fn setup() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// The points that a kind passes, in the order in which it first comes to them. A test kills the program at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// While a step is applied; while a target's snapshot is taken.
    pub apply: &'static [&'static str],
    /// While a step is rolled back; while a target is restored.
    pub rollback: &'static [&'static str],
}

impl Faults {
    /// No point at all.
    pub const NONE: Self = Self { apply: &[], rollback: &[] };
}

/// The points of a rehearsal beside those of what it runs, in their order.
pub const REHEARSAL: &[&str] = &[
    REHEARSAL_BEGUN,
    REHEARSAL_TARGET,
    REHEARSAL_COPIED,
    REHEARSAL_APPLIED,
    REHEARSAL_BACK,
    REHEARSAL_AGAIN,
    REHEARSAL_PROVEN,
    REHEARSAL_REMOVING,
];

/// A point of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// What `FAILPOINTS` calls it.
    pub name: &'static str,
    /// What has happened when it is passed, and what has not.
    pub what: &'static str,
}

macro_rules! points {
    ($($(#[doc = $what:literal])+ $point:ident = $name:literal;)*) => {
        $($(#[doc = $what])+ pub const $point: &str = $name;)*

        /// Every point of this workspace, in the order of the source.
        pub const ALL: &[Point] = &[$(Point { name: $name, what: concat!($($what),+) }),*];
    };
}

points! {
    /// Records are about to be written to the journal; none of them is in it.
    JOURNAL_APPEND = "journal-append";
    /// Records are durable in the journal; nothing that follows from them has happened.
    JOURNAL_APPENDED = "journal-appended";

    /// The folder of a rehearsal's copy is there with its mark; nothing is copied.
    REHEARSAL_BEGUN = "rehearsal.begun";
    /// A target is copied for a rehearsal; the next one and the rest of the root are not.
    REHEARSAL_TARGET = "rehearsal.target";
    /// All is copied for a rehearsal; nothing has run on the copy.
    REHEARSAL_COPIED = "rehearsal.copied";
    /// The plan is applied on the copy and verified; it is not rolled back.
    REHEARSAL_APPLIED = "rehearsal.applied";
    /// The plan is rolled back on the copy; it is not compared with the original.
    REHEARSAL_BACK = "rehearsal.back";
    /// The plan is applied again on the copy; nothing says yet that the rehearsal passed.
    REHEARSAL_AGAIN = "rehearsal.again";
    /// The proof is written; the copy is there still.
    REHEARSAL_PROVEN = "rehearsal.proven";
    /// A part of the copy is removed.
    REHEARSAL_REMOVING = "rehearsal.removing";

    /// A file is whole and durable under a partial name; it has not got its own.
    DISK_PARTIAL = "disk.partial";

    /// The transaction (or savepoint) of a change is open and its epoch is checked; none of its statements has run.
    SQLITE_CHANGE_BEGUN = "sqlite.change-begun";
    /// The statements of a change have run; its ledger row is not written.
    SQLITE_CHANGE_MADE = "sqlite.change-made";
    /// The ledger row of a change is written; nothing is committed.
    SQLITE_CHANGE_RECORDED = "sqlite.change-recorded";
    /// The transaction of a reversal is open and its epoch is checked; none of its statements has run.
    SQLITE_REVERSE_BEGUN = "sqlite.reverse-begun";
    /// The statements of a reversal have run; the ledger row is there still.
    SQLITE_REVERSE_MADE = "sqlite.reverse-made";
    /// The ledger row is deleted; nothing of the reversal is committed.
    SQLITE_REVERSE_RECORDED = "sqlite.reverse-recorded";
    /// The transaction of a batch is open; none of its statements has run.
    SQLITE_BATCH_BEGUN = "sqlite.batch-begun";
    /// The statements of a batch have run and its cursor is set; nothing of it is committed.
    SQLITE_BATCH_MADE = "sqlite.batch-made";
    /// The rows of a batch are durable in a file, and read back; none of them is deleted.
    SQLITE_ROWS_KEPT = "sqlite.rows-kept";
    /// All of a transaction is written; COMMIT has not begun.
    SQLITE_COMMIT = "sqlite.commit";
    /// A transaction is committed; the journal does not know it.
    SQLITE_COMMITTED = "sqlite.committed";
    /// A copy of the database is whole and durable under a partial name; it has not got its own.
    SQLITE_COPY_MADE = "sqlite.copy-made";
    /// A copy of the database has its name; a snapshot's manifest is not written.
    SQLITE_COPY_NAMED = "sqlite.copy-named";
    /// The manifest of a snapshot is written; the step that took it does not know it.
    SQLITE_COPY_DESCRIBED = "sqlite.copy-described";
    /// The state before a restore is set aside; what others wrote is not looked for, the database is as it was.
    SQLITE_RESTORE_ASIDE = "sqlite.restore-aside";
    /// What others wrote is counted and exported; the database is as it was.
    SQLITE_RESTORE_EXPORTED = "sqlite.restore-exported";
    /// What others wrote is looked at for the last time, and none of them can commit any more; no page is copied.
    SQLITE_RESTORE_LOCKED = "sqlite.restore-locked";
    /// Half of the snapshot's pages are in the database's open transaction.
    SQLITE_RESTORE_HALF = "sqlite.restore-half";
    /// Where the database's pages have another size by now: a copy of the snapshot is there to be written anew.
    SQLITE_RESIZE_COPIED = "sqlite.resize-copied";
    /// The snapshot is written anew in pages of the database's size; the database is as it was.
    SQLITE_RESIZED = "sqlite.resized";
    /// The database is what the snapshot was, its epoch and ledger too.
    SQLITE_RESTORE_COPIED = "sqlite.restore-copied";
    /// The epoch is written back into the restored database; the journal does not know of the restore.
    SQLITE_RESTORED = "sqlite.restored";
    /// The whole export is durable under a partial name; it has not got its own.
    EXPORT_WRITTEN = "sqlite.export:written";
    /// The export has its name; the journal does not know it.
    EXPORT_NAMED = "sqlite.export:named";
    /// On the way back the export has got its other name.
    EXPORT_KEPT = "sqlite.export:kept";
    /// What the settings of a database were is durable; none is changed.
    SETTINGS_INTENDED = "sqlite.settings:intended";
    /// The settings that lock the whole file are changed; those that go in a transaction are not.
    SETTINGS_FILE = "sqlite.settings:file";
    /// On the way back the settings that lock the whole file are as they were; the others are not.
    SETTINGS_FILE_BACK = "sqlite.settings:file-back";
    /// Free pages of a file are given back, where they are to be; nothing says so yet.
    MAINTAIN_VACUUMED = "sqlite.maintain:vacuumed";
    /// All that a check asks for was looked at; nothing says so yet.
    CHECK_LOOKED = "sqlite.check:looked";
    /// Both sides of a mapping are compared; nothing says so yet.
    PARITY_LOOKED = "sqlite.parity:looked";

    /// A file that moves to another device is whole and durable there under a partial name; it has not got its own.
    FILES_COPY_MADE = "files.copy-made";
    /// A file that moves to another device has its name there; it is still where it was, too.
    FILES_COPY_NAMED = "files.copy-named";
    /// A file of a folder's snapshot is copied; the next one and the index are not.
    DIR_SNAPSHOT_FILE = "dir.snapshot-file";
    /// All files and the index of a folder's snapshot are written; the step that took it does not know it.
    DIR_SNAPSHOT_INDEXED = "dir.snapshot-indexed";
    /// A file that appeared since the snapshot is moved aside; nothing is put back.
    DIR_RESTORE_MOVED = "dir.restore-moved";
    /// The present content of a file is kept aside; what the snapshot holds of it is not put back.
    DIR_RESTORE_ASIDE = "dir.restore-aside";
    /// A file is put back; the next one is not.
    DIR_RESTORE_FILE = "dir.restore-file";

    /// The records of a store's snapshot are written; what the store noted of its own is not.
    KV_SNAPSHOT_RECORDS = "kv.snapshot-records";
    /// All of a store's snapshot is written and read again; the step that took it does not know it.
    KV_SNAPSHOT_MADE = "kv.snapshot-made";
    /// What a restore takes back is set aside as a backup; the store is as it was.
    KV_RESTORE_ASIDE = "kv.restore-aside";
    /// Some records of a store are as in the snapshot; the others, and what the store noted, are not.
    KV_RESTORE_BATCH = "kv.restore-batch";
    /// The store is as in the snapshot, and closed; the journal does not know it.
    KV_RESTORED = "kv.restored";
    /// A file of a Badger directory's snapshot is copied; the next one and the index are not.
    BADGER_SNAPSHOT_FILE = "badger.snapshot-file";
    /// All of a Badger directory's snapshot is written and read again; the step that took it does not know it.
    BADGER_SNAPSHOT_MADE = "badger.snapshot-made";
    /// The present directory is copied aside whole; it is as it was.
    BADGER_RESTORE_ASIDE = "badger.restore-aside";
    /// What takes the directory's place is whole beside it; the directory is as it was.
    BADGER_RESTORE_PREPARED = "badger.restore-prepared";
    /// The directory is as in the snapshot; the former one is there still, under a partial name.
    BADGER_RESTORED = "badger.restored";
    /// The intent of a copy is durable; no record is copied.
    KV_COPY_INTENDED = "kv.copy:intended";
    /// A group of records is read; neither it nor what else is in its batch or load is in the store, what came before is, with the
    /// cursor.
    KV_COPY_BATCH = "kv.copy:batch";
    /// All records of a load are read; the store shows none of them, nor the cursor that says so.
    KV_COPY_LOAD = "kv.copy:load";
    /// A load is in the store, all of it; nobody but the store knows.
    KV_COPY_LOADED = "kv.copy:loaded";
    /// Every record is copied and the store is closed; the journal does not know it.
    KV_COPY_DONE = "kv.copy:done";
    /// A living Badger's backup is written and the command has ended; the file has not got its name.
    KV_COPY_ASKED = "kv.copy:asked";
    /// All records of a pass are in the store; the store does not say that the pass is over.
    KV_COPY_PASS = "kv.copy:pass";
    /// That the program which writes is to be ended is durable; its command has not begun.
    KV_COPY_STOPPING = "kv.copy:stopping";
    /// That command has ended well; nothing says so.
    KV_COPY_STOPPED = "kv.copy:stopped";
    /// That the program which uses the store is to be started is durable; its command has not begun.
    KV_COPY_STARTING = "kv.copy:starting";
    /// That command has ended well; nothing says so.
    KV_COPY_STARTED = "kv.copy:started";
    /// On the way back all that is in the store is in a backup; it is in the store too.
    KV_COPY_BACKED = "kv.copy:backed";
    /// On the way back some records of a copy are removed; the others and the cursor are there.
    KV_COPY_BACK = "kv.copy:back";
    /// On the way back all records of a copy and its cursor are removed; a store that was made for it is there still.
    KV_COPY_EMPTIED = "kv.copy:emptied";
    /// The intent of a backup is durable; its file is not there.
    KV_BACKUP_INTENDED = "kv.backup:intended";
    /// The backup has its name and its manifest; the journal does not know it.
    KV_BACKUP_WRITTEN = "kv.backup:written";
    /// On the way back the backup has got its other name.
    KV_BACKUP_KEPT = "kv.backup:kept";
    /// A store and its source are compared; nothing says so yet.
    KV_VERIFY_LOOKED = "kv.verify:looked";
    /// The intent of a transformation is durable; no record is changed.
    KV_TRANSFORM_INTENDED = "kv.transform:intended";
    /// What a batch replaces is durable; the batch is not written.
    KV_TRANSFORM_KEPT = "kv.transform:kept";
    /// A batch is transformed, with the cursor behind it; the next one is not.
    KV_TRANSFORM_BATCH = "kv.transform:batch";
    /// Every record is transformed and the store is closed; the journal does not know it.
    KV_TRANSFORM_DONE = "kv.transform:done";
    /// On the way back some records are as they were; the others and the cursor are there.
    KV_TRANSFORM_BACK = "kv.transform:back";
    /// On the way back all records are as they were and the cursor is gone; what was kept of them is there still.
    KV_TRANSFORM_FORGOTTEN = "kv.transform:forgotten";
    /// The intent of a renaming is durable; no key is changed.
    KV_RENAME_INTENDED = "kv.rename-prefix:intended";
    /// The records that a batch moves are durable; the batch is not written.
    KV_RENAME_KEPT = "kv.rename-prefix:kept";
    /// A batch has its new keys, with the cursor behind it; the next one has not.
    KV_RENAME_BATCH = "kv.rename-prefix:batch";
    /// Every record has its new key and the store is closed; the journal does not know it.
    KV_RENAME_DONE = "kv.rename-prefix:done";
    /// On the way back some records have their old keys; the others and the cursor are there.
    KV_RENAME_BACK = "kv.rename-prefix:back";
    /// On the way back all records have their old keys and the cursor is gone; what was kept of them is there still.
    KV_RENAME_FORGOTTEN = "kv.rename-prefix:forgotten";
    /// The intent to drop records is durable; none is dropped.
    KV_GC_INTENDED = "kv.gc:intended";
    /// The records of some keys are dropped; the next keys are as they were.
    KV_GC_BATCH = "kv.gc:batch";
    /// All is dropped and the store is closed; the journal does not know it.
    KV_GC_DONE = "kv.gc:done";

    /// The survey is done and the intent is durable; the report is not written.
    ASSESS_INTENDED = "target.assess:intended";
    /// The report is written; the journal does not know it.
    ASSESS_WRITTEN = "target.assess:written";
    /// On the way back the report is removed; the folders that were made for it are not.
    ASSESS_REMOVED = "target.assess:removed";
    /// A wait has looked at its figure; nothing says so yet.
    WAIT_LOOKED = "target.wait:looked";
    /// The intent of a set of snapshots is durable; its folder is not made.
    SNAPSHOT_INTENDED = "target.snapshot:intended";
    /// An incomplete set is removed all but the mark that says so.
    SNAPSHOT_EMPTIED = "target.snapshot:emptied";
    /// The set's folder is there with the mark that it is incomplete; it holds no snapshot.
    SNAPSHOT_PLACED = "target.snapshot:placed";
    /// The snapshot of a target is taken; the next one and the set's manifest are not.
    SNAPSHOT_TAKEN = "target.snapshot:taken";
    /// The set's manifest is written; the mark that it is incomplete is there still.
    SNAPSHOT_DESCRIBED = "target.snapshot:described";
    /// The set is complete; the journal does not know it.
    SNAPSHOT_COMPLETE = "target.snapshot:complete";
    /// On the way back the set is marked as rolled back, and kept.
    SNAPSHOT_MARKED = "target.snapshot:marked";
    /// A target that the command may write is copied as it was before; there is no intent.
    COMMAND_COPIED = "command.run:copied";
    /// The intent of a command is durable; that it begins is not.
    COMMAND_INTENDED = "command.run:intended";
    /// That the command begins is durable; it is not started.
    COMMAND_STARTED = "command.run:started";
    /// The command has ended; nothing says so.
    COMMAND_ENDED = "command.run:ended";
    /// What the command wrote is told from the copies, which are there still; nothing says how it ended.
    COMMAND_COMPARED = "command.run:compared";
    /// That the command ended well is durable in the step's folder; the journal does not know it.
    COMMAND_RECORDED = "command.run:recorded";
    /// The command of the way back is about to be started.
    COMMAND_UNDO = "command.run:undo";
    /// The command of the way back has ended; nothing says so.
    COMMAND_UNDO_ENDED = "command.run:undo-ended";
    /// That the command is undone is durable in the step's folder; the journal does not know it.
    COMMAND_UNDO_RECORDED = "command.run:undo-recorded";

    /// A gate has taken a sample; nothing says so yet.
    METRIC_SAMPLED = "gate.metric:sampled";
    /// A gate has taken all of its samples; nothing says what they come to.
    METRIC_JUDGED = "gate.metric:judged";

    /// A baseline has all of its samples; nothing says so yet.
    BASELINE_SAMPLED = "gate.baseline:sampled";
    /// What a window looks at is journalled; no sample is taken.
    SOAK_OPENED = "gate.soak:opened";
    /// The probes of a window are read; the sample is not journalled.
    SOAK_READ = "gate.soak:read";
    /// A sample of a window is journalled; whether a trigger fires is not looked at.
    SOAK_SAMPLED = "gate.soak:sampled";
    /// The answer of a person is read; nothing follows from it yet.
    APPROVAL_READ = "gate.approval:read";

    /// What the configuration file was is kept; there is no intent.
    CONFIG_KEPT = "config.map:kept";
    /// The intent is durable; the configuration file is as it was.
    CONFIG_INTENDED = "config.map:intended";
    /// The configuration file is written; the journal does not know it.
    CONFIG_WRITTEN = "config.map:written";
    /// On the way back the configuration file is as it was; folders made for it are there still.
    CONFIG_PUT_BACK = "config.map:put-back";
    /// The intent is durable; no file is set aside.
    ARCHIVE_INTENDED = "file.archive:intended";
    /// A file is set aside; the next one is not.
    ARCHIVE_MOVED = "file.archive:moved";
    /// On the way back a file is where it was; the next one is not.
    ARCHIVE_RETURNED = "file.archive:returned";
    /// On the way back all files are where they were; the folders that were made are there still.
    ARCHIVE_EMPTIED = "file.archive:emptied";
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    #[test]
    fn each_point_has_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<&str> = ALL.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), ALL.len());
        for point in ALL {
            assert!(point.what.trim().ends_with('.'), "{} has no sentence", point.name);
            assert!(!point.name.contains(['=', ';', '/', ' ']), "`{}` cannot be written in FAILPOINTS", point.name);
        }
    }
}
