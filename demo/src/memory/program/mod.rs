//! The thought engine's memory program on a store of ours: what comes after the one on Badger, and what stands for that one
//! where there is no Badger. It has the words of tests/peers/badger, and does the same.
//!
//! ```text
//! serve DIR --engine E --socket S [--log FILE] [--rate N]   writes until it is told to stop; answers on the socket
//! ask S backup SINCE | status | stop                        asks the one that serves
//! backup DIR --engine E [--since N]                         a Badger backup on standard output
//! load DIR --engine E                                       a Badger backup from standard input
//! contains FILE                                             whether a backup on standard input has all records of FILE
//! bench DIR --engine E [--records N]                        reads and writes one record at a time: how many in a second
//! ```

mod bench;
mod live;
mod serve;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

pub use live::Entry;

/// What went wrong, for a person.
pub type Failure = String;

/// Does what the words say.
pub fn run(words: &[String]) -> Result<(), Failure> {
    let (plain, options) = Options::of(words)?;
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    match plain.as_slice() {
        ["serve", dir] => serve::serve(Path::new(dir), &options),
        ["ask", socket, words @ ..] => serve::ask(Path::new(socket), words),
        ["backup", dir] => store::backup(&*options.open(dir)?, options.number("since", 0)?, std::io::stdout().lock()),
        ["load", dir] => store::load(&*options.open(dir)?, std::io::stdin().lock()),
        ["contains", file] => store::contains(Path::new(file), std::io::stdin().lock()),
        ["bench", dir] => bench::bench(&*options.open(dir)?, options.number("records", 20_000)?),
        _ => Err("serve DIR, ask SOCKET WORD, backup DIR, load DIR or bench DIR".to_owned()),
    }
}

/// `--name value`, as the words had them.
#[derive(Debug, Default)]
struct Options(BTreeMap<String, String>);

impl Options {
    fn of(words: &[String]) -> Result<(Vec<String>, Self), Failure> {
        let (mut plain, mut options) = (Vec::new(), Self::default());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(name) => {
                    let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
                    options.0.insert(name.to_owned(), value.clone());
                }
                None => plain.push(word.clone()),
            }
        }
        Ok((plain, options))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, otherwise: u64) -> Result<u64, Failure> {
        self.text(name).map_or(Ok(otherwise), |text| text.parse().map_err(|_| format!("`{text}` is no number")))
    }

    fn open(&self, dir: &str) -> Result<store::Store, Failure> {
        store::open(self.text("engine").unwrap_or("fjall"), Path::new(dir))
    }
}

fn text(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}
