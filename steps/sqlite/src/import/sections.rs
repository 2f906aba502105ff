//! One file with marks, cut into what goes forward and what goes back.

use cutover_core::StepError;

/// Whose marks a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// `-- migrate:up`.
    Dbmate,
    /// `-- +goose Up`.
    Goose,
}

/// What a line with a mark says.
enum Mark {
    Up,
    Down,
    /// The tool would put values of the environment into the text.
    Environment,
}

impl Marks {
    /// The marks that `text` has.
    pub(super) fn of(text: &str) -> Option<Self> {
        text.lines().find_map(|line| match line.trim() {
            line if line.starts_with("-- migrate:up") => Some(Self::Dbmate),
            line if is_goose(line, "up") => Some(Self::Goose),
            _ => None,
        })
    }

    /// The mark in `text` that asks for no transaction.
    pub(super) fn untied(self, text: &str) -> Option<&'static str> {
        let asks = |line: &str| match self {
            Self::Dbmate => {
                self.mark(line).is_some() && line.split_whitespace().any(|word| word == "transaction:false")
            }
            Self::Goose => is_goose(line, "no transaction"),
        };
        text.lines().any(asks).then_some(match self {
            Self::Dbmate => "transaction:false",
            Self::Goose => "-- +goose NO TRANSACTION",
        })
    }

    fn mark(self, line: &str) -> Option<Mark> {
        let line = line.trim();
        match self {
            Self::Dbmate if line.starts_with("-- migrate:up") => Some(Mark::Up),
            Self::Dbmate if line.starts_with("-- migrate:down") => Some(Mark::Down),
            Self::Goose if is_goose(line, "up") => Some(Mark::Up),
            Self::Goose if is_goose(line, "down") => Some(Mark::Down),
            Self::Goose if is_goose(line, "envsub on") => Some(Mark::Environment),
            _ => None,
        }
    }
}

fn is_goose(line: &str, said: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
    words.strip_prefix(["--".to_owned(), "+goose".to_owned()].as_slice()).is_some_and(|rest| rest.join(" ") == said)
}

/// The two parts; the second where there is a mark for it.
pub(super) fn cut(file: &str, text: &str, marks: Marks) -> Result<(String, Option<String>), StepError> {
    let (mut up, mut down): (Option<String>, Option<String>) = (None, None);
    let mut forward = None;
    for line in text.lines() {
        match marks.mark(line) {
            Some(Mark::Up) => forward = Some(true),
            Some(Mark::Down) => forward = Some(false),
            Some(Mark::Environment) => {
                return Err(StepError::failed(format!("`{file}` takes values of the environment (`ENVSUB ON`)"))
                    .with_help(
                        "write the values out, or bind them as `:name` from the plan's variables after the import",
                    ));
            }
            None => {}
        }
        for (part, mine) in [(&mut up, forward == Some(true)), (&mut down, forward == Some(false))] {
            if mine {
                let part = part.get_or_insert_default();
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    let missing = || {
        StepError::failed(format!("`{file}` has no mark of what goes forward"))
            .with_help("begin it with `-- migrate:up` (dbmate) or `-- +goose Up` (goose), or take it out of the folder")
    };
    Ok((up.ok_or_else(missing)?, down))
}
