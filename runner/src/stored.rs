//! A step as it is stored when it begins: everything that a rollback needs once the plan has changed or is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_core::blake3_hex;
use cutover_core::journal::{StoredStep, StoredTarget};
use cutover_core::plan::PlanStep;

use crate::session::{Session, real_or_given};

/// Plan files by the BLAKE3 of their content.
pub(crate) type Objects = BTreeMap<String, Arc<[u8]>>;

/// The step of `phase` as it is stored, and its files. `overtaken` are the steps that were applied before it and come
/// after it in the plan.
pub(crate) fn stored(
    session: &Session,
    phase: usize,
    step: &PlanStep,
    overtaken: Vec<String>,
) -> (Arc<StoredStep>, Objects) {
    let mut files = BTreeMap::new();
    let mut objects = BTreeMap::new();
    for (path, bytes) in &step.files {
        let hash = blake3_hex(bytes);
        files.insert(path.clone(), hash.clone());
        objects.insert(hash, Arc::clone(bytes));
    }
    let uses = step.step.uses();
    let targets = uses.iter().filter_map(|u| session.stored_target(&u.target)).collect();
    let stored = StoredStep {
        id: step.id.clone(),
        kind: step.kind.clone(),
        phase: session.plan.phases[phase].name.clone(),
        target: step.target.clone(),
        unit: step.unit.clone(),
        uses,
        targets,
        overtaken,
        config: step.config.clone(),
        vars: session.plan.vars.clone(),
        files,
        reversal: Some(step.step.reversal()),
        digest: step.digest.clone(),
        checksum: step.checksum.clone(),
    };
    (Arc::new(stored), objects)
}

impl Session {
    /// What the plan and the operator say now of a target.
    pub(crate) fn stored_target(&self, name: &str) -> Option<StoredTarget> {
        let bound = self.place.binds.get(name).and_then(|path| std::path::absolute(path).ok());
        let bound = bound.map(|path| real_or_given(&path));
        Some(StoredTarget { spec: self.plan.targets.get(name)?.clone(), bound })
    }
}
