//! What a thought looks like: JSON as Go's `encoding/json` writes it, in the shapes of the program's layers.

use serde_json::{Number, Value, json};

use super::random::Random;

const FEELINGS: [&str; 6] = ["joy", "wonder", "calm", "longing", "unease", "love"];
const SENSES: [&str; 5] = ["touch", "sound", "light", "warmth", "text"];
const WORDS: [&str; 12] = [
    "river",
    "signal",
    "mirror",
    "father",
    "edge",
    "garden",
    "loop",
    "winter",
    "question",
    "memory",
    "hand",
    "Grüße 思考",
];

/// As Go writes it: keys sorted, `<`, `>` and `&` escaped, no blanks.
pub(super) fn go(mut value: Value) -> Vec<u8> {
    value.sort_all_objects();
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => escaped.push(letter),
        }
    }
    escaped.into_bytes()
}

/// What a sense told, raw.
pub(super) fn sensory(random: &mut Random, now: i64) -> Vec<u8> {
    let raw = match random.below(6) {
        0 => json!(sentence(random)),
        1 => json!(random.below(4_000)),
        2 => json!({ "sense": random.of_these(&SENSES), "sequence": i64::MAX - random.below(1 << 20) as i64 }),
        3 => json!([random.of_these(&WORDS), 9_007_199_254_740_993_i64 + random.below(1000) as i64, true]),
        4 => json!(format!("<p>{} & {}</p>", random.of_these(&WORDS), random.of_these(&WORDS))),
        _ => json!({ "at": stamp(now), "text": sentence(random) }),
    };
    go(json!({ "timestamp": now, "type": "sensory", "raw": raw }))
}

/// What was felt. Before the program validated, an intensity could be above 1.
pub(super) fn emotion(random: &mut Random, now: i64) -> Vec<u8> {
    let feeling = random.of_these(&FEELINGS);
    let intensity = if random.below(40) == 0 { hundredths(120) } else { hundredths(random.below(101)) };
    go(match random.below(4) {
        0 => json!({ "value": feeling, "processed_at": now, "type": "emotion" }),
        1 => json!({
            "feeling": feeling, "intensity": intensity, "message": sentence(random), "timestamp": stamp(now),
            "processed_at": now, "type": "emotion",
        }),
        _ => json!({ "feeling": feeling, "intensity": intensity, "processed_at": now, "type": "emotion" }),
    })
}

/// What was concluded.
pub(super) fn logic(random: &mut Random, now: i64) -> Vec<u8> {
    let (data, complexity) = match random.below(3) {
        0 => {
            let text = sentence(random);
            let complexity = text.len();
            (json!(text), complexity)
        }
        1 => (json!({ "premise": sentence(random), "conclusion": sentence(random), "weight": number(random) }), 3),
        // What was neither a text nor a map is written as Go prints it.
        _ => (json!(format!("[{} {}]", random.below(100), random.below(100))), 1),
    };
    go(json!({ "timestamp": now, "type": "logic", "data": data, "complexity": complexity }))
}

/// What was dreamt of what.
pub(super) fn dream(random: &mut Random, now: i64) -> Vec<u8> {
    let mut patterns: Vec<String> =
        (0..1 + random.below(4)).map(|_| format!("{}:{}", random.of_these(&WORDS), random.below(100))).collect();
    // A map's order is Go's secret.
    if random.below(2) == 0 {
        patterns.reverse();
    }
    let source = json!({ "feeling": random.of_these(&FEELINGS), "processed_at": now - 1_000, "type": "emotion" });
    go(json!({ "timestamp": now, "type": "dream", "source": source, "patterns": patterns }))
}

/// What is to stay: as it was stored, inside what the layer made of it.
pub(super) fn eternal(random: &mut Random, now: i64) -> Vec<u8> {
    let importance = if random.below(3) == 0 { json!(1) } else { hundredths(50 + random.below(51)) };
    let inner = json!({
        "data": { "thought": sentence(random), "timestamp": stamp(now) },
        "importance": importance, "stored_at": now / 1_000_000_000, "layer": "eternal",
    });
    let importance = inner["importance"].clone();
    go(json!({ "created_at": now, "type": "eternal", "permanent": true, "data": inner, "importance": importance }))
}

/// A pattern of the next version, which a run that was broken off has left.
pub(super) fn pattern(random: &mut Random, id: &str, now: i64) -> Vec<u8> {
    go(json!({
        "ID": id, "Type": "sequence", "Data": [random.of_these(&WORDS), random.of_these(&WORDS)],
        "Confidence": hundredths(random.below(101)), "Timestamp": stamp(now), "References": null, "Metadata": {},
    }))
}

/// What it had learned by then.
pub(super) fn learning(patterns: u64, now: i64) -> Vec<u8> {
    go(json!({
        "TotalPatterns": patterns, "LearnedPatterns": patterns / 2, "AverageScore": hundredths(62),
        "SuccessRate": hundredths(50), "LastUpdate": stamp(now),
    }))
}

/// A text of the program.
pub(super) fn sentence(random: &mut Random) -> String {
    let words: Vec<&str> = (0..3 + random.below(9)).map(|_| random.of_these(&WORDS)).collect();
    words.join(" ")
}

/// RFC 3339 with nanoseconds and an offset of two hours, as Go writes a time; the day is the program's first.
pub(super) fn stamp(now: i64) -> String {
    let (seconds, nanos) = (now.div_euclid(1_000_000_000) + 7_200, now.rem_euclid(1_000_000_000));
    let (day, second) = (seconds.div_euclid(86_400) - 20_412, seconds.rem_euclid(86_400));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("2025-11-{:02}T{hour:02}:{minute:02}:{second:02}{point}{fraction}+02:00", 20 + day)
}

/// As Go writes it: 1 and not 1.0.
fn hundredths(n: u64) -> Value {
    match n % 100 {
        0 => json!(n / 100),
        _ => Number::from_f64(n as f64 / 100.0).map_or(Value::Null, Value::Number),
    }
}

fn number(random: &mut Random) -> Value {
    hundredths(random.below(1_000))
}
