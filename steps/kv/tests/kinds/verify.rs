//! The step keeps the contract and names each difference; what came later is none.

use cutover_core::{Applied, Verdict};
use cutover_tests::{Conformance, Fixture};

use super::support::{BACKUPS, backups, plan, put, record};
use cutover_steps_kv::Record;
use cutover_steps_kv::store::{Fjall, Keyed, Sled, VersionedStore};

fn after_a_copy(kind: &str) -> String {
    let copy = plan("kv.copy", kind, BACKUPS);
    format!("{copy}\n[[phase.step]]\nid = \"verify\"\nuse = \"kv.verify\"\nwith = {{ {BACKUPS} }}\n")
}

pub(super) fn contract() -> Conformance {
    Conformance::new(after_a_copy("fjall"))
        .step("verify")
        .root(backups)
        .sabotage(|root| put::<Fjall>(root, Record { value: b"other".to_vec(), ..record(20, 1) }))
}

#[test]
fn each_difference_is_named_and_what_came_later_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    backups(root);
    let bench = Fixture::new(after_a_copy("sled")).open(root);
    bench.apply("copy").unwrap();
    let Applied::Changed(receipt) = bench.apply("verify").unwrap() else { panic!("nothing was compared") };
    assert_eq!(
        receipt.notes,
        [
            "4552 records, versions up to 9, are the same on both sides",
            "1 records delete their key: a backup has nothing that was before them",
        ]
    );
    put::<Sled>(root, record(7, 99));
    assert_eq!(bench.verify("verify").unwrap(), Verdict::Holds);

    put::<Sled>(root, Record { value: b"other".to_vec(), ..record(20, 1) });
    put::<Sled>(root, Record { expires_at: 7, ..record(21, 1) });
    put::<Sled>(root, record(22, 5));
    {
        let store = Keyed::<Sled>::open(&root.join("data/memory")).unwrap();
        let mut batch = cutover_steps_kv::store::Batch::default().durable();
        batch.remove(record(23, 1));
        store.write(batch).unwrap();
    }
    let expected = [
        "1 record is missing: `layer3:key00023` version 1",
        "1 record is in the store alone: `layer2:key00022` version 5",
        "1 record is of another value: `layer0:key00020` version 1",
        "1 record is of another meta or expiry: `layer1:key00021` version 1",
    ];
    assert_eq!(bench.verify("verify").unwrap(), Verdict::Broken(expected.map(str::to_owned).to_vec()));
    assert!(bench.apply("verify").unwrap_err().to_string().contains(expected[0]));
}
