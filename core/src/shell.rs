//! Words as a shell reads them, for commands that people are shown and may copy.

/// `word` as a POSIX shell reads it: as it is where nothing in it means something to a shell, else in single quotes.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it_otherwise() {
        let words = ["a-b/c.d", "", "two words", "it's", "$HOME", "ä", "*"];
        let quoted = ["a-b/c.d", "''", "'two words'", r"'it'\''s'", "'$HOME'", "ä", "'*'"];
        assert_eq!(words.map(shell_word), quoted);
    }
}
