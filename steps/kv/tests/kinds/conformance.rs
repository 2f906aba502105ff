//! Every step kind of the crate is held to the contract by the testkit's conformance check, in both engines.

use std::path::Path;

use cutover_steps_kv::store::{Fjall, Keyed, Sled};

use super::support::{BACKUPS, backups, old_store};
use super::{backup, copy, gc, reconfigure, rename, transform, verify};

#[test]
fn kv_backup_keeps_the_contract() {
    backup::contract().check();
}

#[test]
fn kv_backup_named_by_the_moment_keeps_the_contract() {
    backup::contract_by_the_moment().check();
}

#[test]
fn kv_copy_keeps_the_contract_from_backups_into_sled() {
    copy::contract::<Sled>(BACKUPS, backups).check();
}

#[test]
fn kv_copy_keeps_the_contract_from_backups_into_fjall() {
    copy::contract::<Fjall>(BACKUPS, backups).check();
}

#[test]
fn kv_copy_keeps_the_contract_from_a_store_into_an_empty_one() {
    let make = |root: &Path| {
        old_store(root);
        drop(Keyed::<Sled>::open_or_create(&root.join("data/memory")).unwrap());
    };
    copy::contract::<Sled>("from = \"old\", into = \"memory\"", make).check();
}

#[test]
fn kv_gc_keeps_the_contract_in_sled() {
    gc::contract::<Sled>().check();
}

#[test]
fn kv_gc_keeps_the_contract_in_fjall() {
    gc::contract::<Fjall>().check();
}

#[test]
fn kv_reconfigure_keeps_the_contract() {
    reconfigure::contract().check();
}

#[test]
fn kv_rename_prefix_keeps_the_contract_in_sled() {
    rename::contract::<Sled>().check();
}

#[test]
fn kv_rename_prefix_keeps_the_contract_in_fjall() {
    rename::contract::<Fjall>().check();
}

#[test]
fn kv_transform_keeps_the_contract_in_sled() {
    transform::contract::<Sled>("latest").check();
}

#[test]
fn kv_transform_keeps_the_contract_in_fjall() {
    transform::contract::<Fjall>("all").check();
}

#[test]
fn kv_verify_keeps_the_contract() {
    verify::contract().check();
}
