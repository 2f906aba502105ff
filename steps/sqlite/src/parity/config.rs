//! What every step is told that compares both schemas of a mapping: which one, and what is allowed.
//!
//! Owns these fields of a `with`, their documentation and what is made of them; a step that compares adds its own.

use std::collections::BTreeMap;

use cutover_core::{BuildContext, BuildError};

use super::Asked;
use crate::declared::same_name;
use crate::mapping::Mapping;

/// Makes the typed `with` of a step that compares: the fields of all of them, and its own.
macro_rules! comparing {
    ($(#[$of:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$of])*
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// The mapping file, relative to the plan.
            mapping: String,
            $($(#[$of_field])* $field: $type,)*
            /// How many rows may be in quarantine, where nobody sees them who reads the new tables. A contract keeps old
            /// ones aside whole, and they come back with its rollback.
            #[serde(default)]
            quarantined: u64,
            /// By pair of tables, the old columns by which readers ask: of no such group may the new tables show fewer rows
            /// than the old one has. By default the columns that the parent's key takes over as they are.
            #[serde(default)]
            groups: std::collections::BTreeMap<String, Vec<String>>,
        }

        impl $name {
            /// The mapping, and what is asked of it. `quick`: writers wait for the answer.
            fn asked(
                self,
                cx: &cutover_core::BuildContext<'_>,
                quick: bool,
            ) -> Result<($crate::mapping::Mapping, $crate::parity::Asked), cutover_core::BuildError> {
                $crate::parity::config::asked(&self.mapping, self.quarantined, self.groups, cx, quick)
            }
        }
    };
}

pub(crate) use comparing;

/// What is asked, from what a `with` says.
pub(crate) fn asked(
    mapping: &str,
    quarantined: u64,
    groups: BTreeMap<String, Vec<String>>,
    cx: &BuildContext<'_>,
    quick: bool,
) -> Result<(Mapping, Asked), BuildError> {
    let mapping = Mapping::load("mapping", mapping, cx)?;
    for (name, columns) in &groups {
        let field = format!("groups.{name}");
        let Some(pair) = mapping.pair(name) else {
            let known: Vec<&str> = mapping.pairs.iter().map(|p| p.name.as_str()).collect();
            return Err(BuildError::at(field, format!("the mapping has no table `{name}`"))
                .with_help(format!("it has {}", known.join(", "))));
        };
        for (i, column) in columns.iter().enumerate() {
            if !pair.back.iter().any(|back| same_name(&back.name, column)) {
                return Err(BuildError::at(
                    format!("{field}[{i}]"),
                    format!("`{column}` has no way back, so readers of the new tables cannot ask by it"),
                )
                .with_help("name columns of `[table.back]`"));
            }
        }
    }
    Ok((mapping, Asked { quarantined, groups, quick, any_figure: false }))
}
