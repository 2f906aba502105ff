//! A toy step with a transactional target: it sets one row. Each `flaw` is a mistake that a real kind could make.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, LedgerEntry, MigrationStep, Receipt, Reversal, Standing,
    StepContext, StepError, StepKind, TargetKind, Use, Verdict, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::Store;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutConfig {
    key: String,
    value: String,
    #[serde(default)]
    flaw: String,
    #[serde(default)]
    undo: String,
}

#[derive(Debug)]
pub(super) struct Put {
    target: String,
    config: PutConfig,
}

impl StepKind for Put {
    const KIND: &'static str = "toy.put";
    const SUMMARY: &'static str = "Sets one row";
    const EXAMPLE: &'static str =
        "id = \"a\"\nuse = \"toy.put\"\ntarget = \"store\"\nwith = { key = \"a\", value = \"b\" }";
    type Config = PutConfig;

    fn build(config: PutConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        Ok(Self { target: cx.target_of(Store::KIND)?, config })
    }
}

#[async_trait]
impl MigrationStep for Put {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Create, format!("row {}", self.config.key))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn reversal(&self) -> Reversal {
        match self.config.undo.as_str() {
            "restore" => Reversal::Restore(self.target.clone()),
            "never" => Reversal::Irreversible,
            _ => Reversal::Inverse,
        }
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let doc = cx.target::<Store>(&self.target)?.read();
        let there = doc.rows.get(&self.config.key) == Some(&self.config.value);
        Ok(if there { Standing::Applied } else { Standing::Pending })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let store = cx.target::<Store>(&self.target)?;
        let mut doc = store.read();
        if let Some(row) = doc.ledger.iter().find(|row| row.success && row.step == cx.info().id) {
            let receipt = row.receipt.clone().unwrap_or_default();
            if self.config.flaw == "second-apply-rewrites" {
                doc.ledger.push(doc.ledger[0].clone());
                store.write(doc);
            }
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let receipt = Receipt::of(&doc.rows.insert(self.config.key.clone(), self.config.value.clone()))?;
        let info = cx.info();
        if self.config.flaw != "no-ledger-row" {
            doc.ledger.push(LedgerEntry {
                unreadable: None,
                plan: info.plan.clone(),
                step: info.id.clone(),
                run: info.run.clone(),
                epoch: info.epoch,
                digest: if self.config.flaw == "other-digest" { "?".to_owned() } else { info.digest.clone() },
                checksum: info.checksum.clone(),
                success: true,
                error_message: None,
                receipt: Some(receipt.clone()),
                applied_at: cx.now().to_string(),
            });
        }
        if self.config.flaw == "outside-the-transaction" {
            store.to_disk(&doc);
        }
        store.write(doc);
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(match self.inspect(cx).await? {
            Standing::Applied => Verdict::Holds,
            _ => Verdict::Broken(vec![format!("row {} is not as declared", self.config.key)]),
        })
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let store = cx.target::<Store>(&self.target)?;
        let mut doc = store.read();
        let Some(receipt) = receipt else { return Ok(()) };
        match receipt.read::<Option<String>>()? {
            Some(was) => doc.rows.insert(self.config.key.clone(), was),
            None => doc.rows.remove(&self.config.key),
        };
        match self.config.flaw.as_str() {
            "ledger-row-stays" => {}
            "ledger-row-is-marked" => doc.ledger.iter_mut().for_each(|row| row.success = false),
            _ => doc.ledger.retain(|row| row.step != cx.info().id),
        }
        store.write(doc);
        Ok(())
    }
}
