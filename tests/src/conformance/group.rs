//! Steps whose apply is one transaction: their ledger row, and their life inside a transaction shared with others.

use cutover_core::{LedgerEntry, Receipt, Reversal, StepContext, StepError, Target};
use pollster::block_on;

use super::scenarios::Run;
use super::scene::Scene;
use super::{Report, Rule, Violation};

/// Checks the ledger's row and the group, if the step is transactional.
pub(super) fn run(run: &Run<'_>, report: &mut Report) -> Result<(), Violation> {
    let scene = run.scene()?;
    if scene.bench().step(&scene.id).step.transactional().is_none() {
        for rule in [Rule::LedgerAgrees, Rule::WorksInGroup] {
            report.skip(rule, "its apply is not one transaction of a target");
        }
        return Ok(());
    }
    agrees(&scene)?;
    report.held(Rule::LedgerAgrees);
    undone(run.scene()?)?;
    committed(run.scene()?)?;
    report.held(Rule::WorksInGroup);
    Ok(())
}

fn agrees(scene: &Scene<'_>) -> Result<(), Violation> {
    let rule = Rule::LedgerAgrees;
    let (receipt, _) = scene.apply(rule)?;
    row_says(scene, rule, &receipt)?;
    if scene.reversal() == Reversal::Inverse {
        scene.undo(Some(&receipt), rule, "rollback")?;
        if let Some(row) = row(scene, rule)? {
            return Err(scene.broken(rule, format!("after the rollback the ledger still has {row:?}")));
        }
    }
    Ok(())
}

/// One step is undone inside an open group, then the whole group is.
fn undone(scene: Scene<'_>) -> Result<(), Violation> {
    let rule = Rule::WorksInGroup;
    in_group(&scene, "begin")?;
    for ending in ["undo", "abort"] {
        in_group(&scene, "savepoint")?;
        scene.apply(rule)?;
        scene.verify(rule, "inside the open transaction")?;
        in_group(&scene, ending)?;
        scene.host().forget(&scene.id);
    }
    let scene = scene.reopen(rule)?;
    scene.as_before(rule, "after its group was undone")?;
    match row(&scene, rule)? {
        Some(row) => Err(scene.broken(rule, format!("after its group was undone the ledger has {row:?}"))),
        None => Ok(()),
    }
}

fn committed(scene: Scene<'_>) -> Result<(), Violation> {
    let rule = Rule::WorksInGroup;
    in_group(&scene, "begin")?;
    in_group(&scene, "savepoint")?;
    let (receipt, _) = scene.apply(rule)?;
    scene.verify(rule, "inside the open transaction")?;
    in_group(&scene, "commit")?;
    let scene = scene.reopen(rule)?;
    scene.verify(rule, "after its group was committed")?;
    row_says(&scene, rule, &receipt)?;
    if scene.reversal() == Reversal::Irreversible {
        return Ok(());
    }
    scene.undo(Some(&receipt), rule, "rollback after its group was committed")?;
    scene.as_before(rule, "after its group was committed and it was rolled back")
}

fn in_group(scene: &Scene<'_>, what: &str) -> Result<(), Violation> {
    on_ledger(scene, Rule::WorksInGroup, what, |target, cx| {
        let ledger = target.ledger().ok_or_else(|| StepError::failed("the target has no ledger"))?;
        match what {
            "begin" => block_on(ledger.begin(cx)),
            "savepoint" => block_on(ledger.savepoint(cx)),
            "undo" => block_on(ledger.undo(cx)),
            "abort" => block_on(ledger.abort(cx)),
            _ => block_on(ledger.commit(cx)),
        }
    })
}

fn row_says(scene: &Scene<'_>, rule: Rule, receipt: &Receipt) -> Result<(), Violation> {
    let Some(row) = row(scene, rule)? else {
        return Err(scene.broken(rule, "after apply the ledger has no row of it"));
    };
    let digest = &scene.bench().step(&scene.id).digest;
    if !row.success || row.digest != *digest || row.receipt.as_ref() != Some(receipt) {
        let detail = format!("apply's receipt is {receipt:?} (digest {digest}); the ledger says {row:?}");
        return Err(scene.broken(rule, detail));
    }
    Ok(())
}

/// The ledger's row of the step under test.
fn row(scene: &Scene<'_>, rule: Rule) -> Result<Option<LedgerEntry>, Violation> {
    on_ledger(scene, rule, "reading the ledger", |target, cx| {
        let ledger = target.ledger().ok_or_else(|| StepError::failed("the target has no ledger"))?;
        let rows = block_on(ledger.entries(cx, &cx.info().plan))?;
        Ok(rows.into_iter().find(|row| row.step == cx.info().id))
    })
}

fn on_ledger<T>(
    scene: &Scene<'_>,
    rule: Rule,
    what: &str,
    work: impl FnOnce(&dyn Target, &StepContext) -> Result<T, StepError>,
) -> Result<T, Violation> {
    let bench = scene.bench();
    let name = bench.step(&scene.id).step.transactional().unwrap_or_default().to_owned();
    let (target, cx) = (bench.target(&name), bench.cx(&scene.id));
    work(target.as_ref(), &cx).map_err(|e| scene.failed(rule, what, &e))
}
