//! The corpora of the fuzz targets, and changes of them.

use crate::badger::fuzzed::{read_log, read_manifest, read_table};

#[test]
fn no_input_of_a_corpus_and_no_change_of_one_breaks_a_reader() {
    let rounds = 60;
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut seed = 7u64;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize % below.max(1)
    };
    for (name, read) in
        [("read_table", read_table as fn(&[u8])), ("read_manifest", read_manifest), ("read_log", read_log)]
    {
        let mut files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        for file in files {
            let whole = std::fs::read(&file).unwrap();
            read(&whole);
            for _ in 0..rounds {
                let mut bytes = whole.clone();
                if draw(2) == 0 && whole.len() > 9 {
                    let (at, length) = (1 + draw(whole.len() - 1), draw(600));
                    bytes = [&whole[..1], &whole[at..(at + length).min(whole.len())]].concat();
                }
                for _ in 0..=draw(4) {
                    let at = draw(bytes.len());
                    match draw(5) {
                        _ if bytes.is_empty() => {}
                        0 => bytes[at] ^= 1 << draw(8),
                        1 => bytes[at] = [0, 255, 127, 128, 1, 4, 8][draw(7)],
                        2 => drop(bytes.remove(at)),
                        3 => bytes.insert(at, draw(256) as u8),
                        _ => bytes.truncate(at),
                    }
                }
                read(&bytes);
            }
        }
    }
}
