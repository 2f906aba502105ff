//! What differs between two states of a thing that has named parts: one comparison for all who ask.

use std::collections::BTreeMap;
use std::fmt;

/// How a part differs. Displayed, it is what to say of it: "is gone", "is new", "is another one".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference<'a, V> {
    /// It was there and is not.
    Gone,
    /// It was not there and is.
    New,
    /// It is there still, and not as it was.
    Other {
        /// What it was.
        was: &'a V,
        /// What it is.
        is: &'a V,
    },
}

impl<V> fmt::Display for Difference<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "is gone",
            Self::New => "is new",
            Self::Other { .. } => "is another one",
        })
    }
}

/// The parts that differ: gone and changed ones by name, then new ones by name.
pub fn differences<'a, V: PartialEq>(
    was: &'a BTreeMap<String, V>,
    is: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = (&'a str, Difference<'a, V>)> {
    let gone = was.iter().filter_map(|(name, was)| match is.get(name) {
        None => Some((name.as_str(), Difference::Gone)),
        Some(is) if is != was => Some((name.as_str(), Difference::Other { was, is })),
        Some(_) => None,
    });
    let new = is.keys().filter(|name| !was.contains_key(*name)).map(|name| (name.as_str(), Difference::New));
    gone.chain(new)
}

#[cfg(test)]
mod tests {
    use super::differences;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_gone_what_is_another_one_and_what_is_new_is_told_by_name() {
        let of = |parts: &[(&str, u8)]| parts.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect::<BTreeMap<_, _>>();
        let (was, is) = (of(&[("a", 1), ("b", 1), ("d", 1)]), of(&[("b", 2), ("c", 1), ("d", 1)]));
        let told: Vec<String> = differences(&was, &is).map(|(name, how)| format!("{name} {how}")).collect();
        assert_eq!(told, ["a is gone", "b is another one", "c is new"]);
    }
}
