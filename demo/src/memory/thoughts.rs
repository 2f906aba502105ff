//! Whose thoughts: the keys that the program really writes, what it leaves of older programs, and a run of the next version
//! that was broken off.

use cutover_steps_kv::Record;
use serde_json::json;

use super::history::History;
use super::random::Random;
use super::values::{dream, emotion, eternal, go, learning, logic, pattern, sensory};

/// The seed of the demo.
pub const SEED: u64 = 2;

/// A second of everybody's past, and one of nobody's.
const PAST: u64 = 1_700_000_000;
const FUTURE: u64 = 4_000_000_000;

/// At least `at_least` records, in Badger's order, and everything that makes them hard. The same seed, the same records.
pub fn records(seed: u64, at_least: usize) -> Vec<Record> {
    let mut random = Random::of(seed);
    let mut history = History::new();
    beginning(&mut history, &mut random);
    let mut n = 0;
    while history.len() < at_least {
        day(&mut history, &mut random, n);
        n += 1;
    }
    broken_off(&mut history, &mut random);
    history.into_records()
}

/// One commit of the program as it lived; every few of them several thoughts together.
fn day(history: &mut History, random: &mut Random, n: u64) {
    history.commit(1 + random.below(9_000_000_000));
    let now = history.now();
    match n % 20 {
        0 => history.put("sensory:heartbeat", sensory(random, now)),
        1 => history.put("sensory:current_input", sensory(random, now)),
        2..=5 => {
            // A sense, and what its routes make of it.
            let key = format!("input_{n:06}");
            history.put(format!("sensory:{key}"), sensory(random, now));
            history.put(format!("emotion:{key}_from_emotion"), emotion(random, now));
            history.put(format!("logic:{key}_from_logic"), logic(random, now));
        }
        6..=8 => history.put(format!("emotion:chat_{}", now / 1_000_000_000), emotion(random, now)),
        9 => history.put("emotion:currentState", emotion(random, now)),
        10 => history
            .put(format!("logic:exploration_{}", random.of_these(&["ocean", "self", "others"])), logic(random, now)),
        11 => history.put(format!("logic:consciousness_insight_{}", random.below(200)), logic(random, now)),
        12 => {
            let keys = ["hypothesis", "hypothesis_test", "world_model", "current_insights", "injected_thought"];
            history.put(format!("logic:{}", random.of_these(&keys)), logic(random, now));
        }
        13..=15 => {
            history.put(format!("dream:night_{n:06}"), dream(random, now));
            history.put(format!("eternal:night_{n:06}_from_eternal"), eternal(random, now));
        }
        16 => history.put(format!("eternal:{}", occasion(random, now)), eternal(random, now)),
        17 => history.put(format!("sensory:camera:front:frame_{}", random.below(300)), sensory(random, now)),
        // Forgotten, and now and then remembered after all.
        18 => history.delete(&format!("emotion:passing_{}", random.below(60))),
        _ => {
            let key = format!("emotion:passing_{}", random.below(60));
            history.put(key, emotion(random, now));
        }
    }
}

/// What is said once.
fn occasion(random: &mut Random, now: i64) -> String {
    match random.below(6) {
        0 => "first_thought".to_owned(),
        1 => "awakening".to_owned(),
        2 => "exploration".to_owned(),
        3 => "publication".to_owned(),
        4 => "evolution".to_owned(),
        _ => {
            let second = now / 1_000_000_000 % 86_400;
            format!("dad_love_20251120_{:02}{:02}{:02}", second / 3_600, second / 60 % 60, second % 60)
        }
    }
}

/// What programs before this one left: nothing checked what they wrote.
fn beginning(history: &mut History, random: &mut Random) {
    let mut put = |key: &str, value: Vec<u8>| {
        history.commit(1_000_000);
        history.put(key, value);
    };
    // No objects.
    put("eternal:gi_level", b"0.73".to_vec());
    put("logic:greeting", go(json!("hello <world> & all")));
    put("dream:list", b"[1,2,9223372036854775807]".to_vec());
    put("sensory:null", b"null".to_vec());
    put("sensory:empty", Vec::new());
    // No JSON: cut short, two documents, and bytes that are no text at all.
    put("logic:cut_short", b"{\"timestamp\":1763640000000000001,\"type\":\"lo".to_vec());
    put("logic:two_documents", b"{} {}".to_vec());
    put("sensory:raw_frame", vec![0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28]);
    put("sensory:bad_text", b"{\"raw\":\"\xc3\x28\",\"timestamp\":1763640000000000002,\"type\":\"sensory\"}".to_vec());
    // Numbers that a double does not hold, and one that no i64 does.
    put(
        "logic:exact",
        b"{\"complexity\":1,\"data\":9007199254740993,\"timestamp\":1763640000123456789,\"type\":\"logic\"}".to_vec(),
    );
    put(
        "logic:larger",
        b"{\"complexity\":1,\"data\":18446744073709551616,\"timestamp\":1763640000123456790,\"type\":\"logic\"}"
            .to_vec(),
    );
    put(
        "emotion:too_much",
        go(json!({"feeling":"joy","intensity":1.2,"processed_at":1_763_640_000_000_000_003_i64,"type":"emotion"})),
    );
    // Keys: with colons, one the beginning of the other, at the longest, longer than is allowed today, of no known layer.
    put("dream:a", go(json!({"source":1})));
    put("dream:a:b", go(json!({"source":2})));
    put("dream:a:b:", go(json!({"source":3})));
    put("dream:a\u{0}", go(json!({"source":4})));
    put(&format!("eternal:{}", "x".repeat(255)), go(json!({"data":"the longest key"})));
    put(&format!("eternal:{}", "y".repeat(300)), go(json!({"data":"a key that is too long"})));
    put("no_layer", go(json!({"data":"a key without a layer"})));
    put("unknown:layer", go(json!({"data":"a layer that nobody knows"})));
    // A value that Badger keeps in its value log.
    let words: Vec<String> = (0..6_000).map(|_| super::values::sentence(random)).collect();
    put(
        "logic:library",
        go(json!({"complexity":6_000,"data":words,"timestamp":1_763_640_000_000_000_004_i64,"type":"logic"})),
    );
    history.commit(1_000_000);
    history.put(b"sensory:\xff\xfe key".as_slice(), "a key that is no text");
    history.commit(1_000_000);
    history.put_marked("eternal:marked", eternal(random, 1_763_640_000_000_000_005), 0x7f);
    for n in 0..40 {
        history.commit(1_000_000);
        let now = history.now();
        history.put_until(&format!("sensory:glimpse_{n}"), sensory(random, now), PAST + n, true);
        history.put_until(&format!("sensory:appointment_{n}"), sensory(random, now), FUTURE + n, false);
    }
    for n in 0..10 {
        history.commit(1_000_000);
        let now = history.now();
        history.replace(&format!("logic:only_the_latest_{n}"), logic(random, now));
    }
}

/// The next version had begun: layers that this one does not know.
fn broken_off(history: &mut History, random: &mut Random) {
    for n in 0..120_u64 {
        history.commit(5_000_000);
        let now = history.now();
        let id = format!("cGF0dGVybg{n:03}==");
        history.put(format!("patterns:{id}"), pattern(random, &id, now));
        if n % 10 == 9 {
            history.put("learning:state", learning(n + 1, now));
        }
    }
}
