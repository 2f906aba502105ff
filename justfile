# What is run often. Everything here works without just: the lines are the commands.

# This list.
default:
    @just --list --unsorted

# Every test, doc tests included.
test:
    cargo test --workspace

# Formatting and clippy, warnings denied.
lint:
    .ci/run fmt lint

# All that CI runs, in its order.
ci:
    .ci/run

# Migrate a CORTEX 1.0 brain and roll it back again.
demo:
    cargo run --release -- demo cortex-2.0

# Move a living application to its new schema, and another one there and back; its programs read and write all the time.
demo-living:
    cargo run --release -- demo consensus-read-path
    cargo run --release -- demo thought-engine-v2 --to storage

# Write the snapshots anew; read the diff before you commit it.
snapshots:
    INSTA_UPDATE=always cargo test --workspace
    git diff --stat -- '*.snap'

# The API documentation, warnings denied.
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# Renew plans/plan.schema.json and docs/steps.md from the registry.
generated:
    .ci/generated write

# Licences, bans and sources of all dependencies.
deny:
    .ci/deny

# The fault matrix: a sample that a seed draws, and its table. `just faults SEED=7` draws it again, `just faults
# FAULT=NAME` meets one combination, or all below a name.
faults *settings:
    .ci/faults {{ settings }}

# Every combination of the matrix, of two kills in two commands three times the sample: hours. `just faults-all
# KIND=sqlite.expand,sqlite.backfill`: for these kinds alone. (`.ci/faults KILLS=pairs` meets every pair of kills: weeks.)
faults-all *settings:
    .ci/faults KILLS=all {{ settings }}

# That many kills at random times: `just faults-random 10000`.
faults-random kills:
    .ci/faults RANDOM_KILLS={{ kills }}

# Random writes on both sides of an expanded schema, with backfills and stage moves between; 20,000 of them are in every
# `just test`. What fails prints its seed and episode.
model-expand ops="1000000":
    CUTOVER_MODEL_OPS={{ ops }} cargo test -p cutover-steps-sqlite --lib random_writes -- --nocapture

# Feed a fuzz target (`just fuzz compile_plan -max_total_time=300`): needs a nightly toolchain and cargo-fuzz.
fuzz target *options:
    cargo +nightly fuzz run {{ target }} -- {{ options }}

# Each reader of Badger's files, that many minutes each: `just fuzz-kv 10`. What a run finds lies in fuzz/artifacts/.
fuzz-kv minutes="10":
    fuzz/kv {{ minutes }}

# Cutover beside sqitch, refinery, dbmate, diesel, Alembic and yoyo: one table.
bench-peers *options:
    tests/bench/run {{ options }}

# A week of samples of 20 probes, the clock 1000 times as fast: memory and CPU of `watch`, the journal, a report of it.
bench-week days="7":
    tests/bench/week {{ days }}

# Fingerprint, snapshot and rehearsal of a 1 GB database, beside a plain read and cp + fsync + b3sum.
bench-rehearse *options:
    cargo run --release --manifest-path tests/bench/Cargo.toml -p rehearsal -- {{ options }}

# What a dual schema costs: writes, reads, WAL beside DELETE, the backfill; the seed's figures beside them.
bench-dual *options:
    cargo run --release --manifest-path tests/bench/Cargo.toml -p dual -- {{ options }}

# Key-value storage beside Debian's `badger restore` and `badger backup`: 1,000,000 keys, one run.
bench-kv *options:
    cargo run --release --manifest-path tests/bench/Cargo.toml -p kv -- {{ options }}
