package main

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"syscall"
	"time"

	badger "github.com/dgraph-io/badger/v2"
)

// A moment that is past for everybody, and one that nobody lives to see: the same bytes in each run.
const (
	past   = 1_000_000_000
	future = 4_000_000_000
)

// produce makes a database: deterministic but for the versions that WriteBatch draws.
func produce(dir string, s settings) {
	db, err := badger.Open(s.options(dir))
	check(err)
	if !s.bulk && !s.extra {
		awkward(db, s)
	}
	plain(db, s)
	if s.extra {
		set(db, badger.NewEntry([]byte("k/00000"), []byte("written later")))
		remove(db, "k/00001")
	}
	if s.gc {
		collect(db)
	}
	if s.unclean {
		// Nothing is flushed, the pid file stays: what lies there is what a crash leaves.
		check(syscall.Kill(syscall.Getpid(), syscall.SIGKILL))
		time.Sleep(time.Minute)
	}
	check(db.Close())
}

// plain writes s.records keys in batches.
func plain(db *badger.DB, s settings) {
	random := rand.New(rand.NewSource(7))
	prefix := "k"
	if s.extra {
		prefix = "later"
	}
	for from := 0; from < s.records; from += s.batch {
		check(db.Update(func(txn *badger.Txn) error {
			for at := from; at < from+s.batch && at < s.records; at++ {
				length := s.valueBytes
				if length == 0 {
					length = 100 + random.Intn(101)
				}
				value := make([]byte, length)
				if s.bulk {
					random.Read(value)
				} else {
					// Text, so that a compression has something to do.
					copy(value, fmt.Sprintf(`{"n":%d,"note":"the same words again and again and again and again"}`, at))
				}
				key := fmt.Sprintf("%s/%05d", prefix, at)
				if s.bulk {
					key = fmt.Sprintf("bulk/%017d", at)
				}
				if err := txn.SetEntry(badger.NewEntry([]byte(key), value).WithMeta(byte(at))); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// awkward writes one of everything that a reader may get wrong.
func awkward(db *badger.DB, s settings) {
	// Keys that prefix one another, with several versions each, and bytes at both ends.
	for round := 0; round < 3; round++ {
		for _, key := range []string{"a", "a\x00", "a\x00\x00", "a\x00\xff", "ab", "a\xff", "\x00", "\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
			set(db, badger.NewEntry([]byte(key), []byte(fmt.Sprintf("round %d", round))).WithMeta(byte(round)))
		}
	}
	// Many versions of one key, across blocks.
	many := 200
	if s.small {
		many = 20
	}
	for at := 0; at < many; at++ {
		set(db, badger.NewEntry([]byte("versions"), []byte(fmt.Sprintf("version %d of many", at))))
	}
	// Tombstones: over one version, over several, written again after, of what never was.
	set(db, badger.NewEntry([]byte("gone"), []byte("soon")))
	remove(db, "gone")
	set(db, badger.NewEntry([]byte("back"), []byte("first")))
	remove(db, "back")
	set(db, badger.NewEntry([]byte("back"), []byte("second")))
	remove(db, "never")
	// Expiry: past, over an older version that must not show, and far away.
	set(db, badger.NewEntry([]byte("expired"), []byte("older, without expiry")))
	expiring(db, "expired", past)
	expiring(db, "expires-late", future)
	// An entry that lets the older ones go, and a merge operator's.
	set(db, badger.NewEntry([]byte("discard"), []byte("old")))
	set(db, badger.NewEntry([]byte("discard"), []byte("new")).WithDiscard())
	merged := db.GetMergeOperator([]byte("merged"), func(was, now []byte) []byte {
		sum := make([]byte, 8)
		binary.BigEndian.PutUint64(sum, binary.BigEndian.Uint64(was)+binary.BigEndian.Uint64(now))
		return sum
	}, time.Hour)
	for at := uint64(1); at <= 3; at++ {
		number := make([]byte, 8)
		binary.BigEndian.PutUint64(number, at)
		check(merged.Add(number))
	}
	// Values: none, not UTF-8, at and around the threshold, far above it, above a block.
	set(db, badger.NewEntry([]byte("empty"), []byte{}))
	set(db, badger.NewEntry([]byte("bytes"), []byte{0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28}).WithMeta(0xff))
	lengths := []int{s.threshold - 1, s.threshold, s.threshold + 1, s.blockSize + 100, 300_000}
	if s.small {
		lengths = lengths[:3]
	}
	for _, length := range lengths {
		value := make([]byte, length)
		rand.New(rand.NewSource(int64(length))).Read(value)
		set(db, badger.NewEntry([]byte(fmt.Sprintf("big/%07d", length)), value).WithMeta(3))
	}
	for round := 0; round < 3; round++ {
		set(db, badger.NewEntry([]byte("big/versions"), append(make([]byte, 2*s.threshold), byte(round))))
	}
	// A long key.
	long := make([]byte, 60_000)
	if s.small {
		long = long[:300]
	}
	for at := range long {
		long[at] = byte('a' + at%26)
	}
	set(db, badger.NewEntry(long, []byte("the value of a long key")))
	// Many keys that share a version.
	batch := db.NewWriteBatch()
	for at := 0; at < 50; at++ {
		check(batch.SetEntry(badger.NewEntry([]byte(fmt.Sprintf("batch/%02d", at)), []byte("together"))))
	}
	check(batch.Flush())
}

// collect makes most of the value log garbage and rewrites it, so that live values move to "!badger!move" keys.
func collect(db *badger.DB) {
	for round := 0; round < 4; round++ {
		for at := 0; at < 60; at++ {
			value := make([]byte, 20_000)
			binary.BigEndian.PutUint32(value, uint32(round))
			key := fmt.Sprintf("gc/%03d", at)
			if round > 0 && at%3 == 0 {
				continue
			}
			set(db, badger.NewEntry([]byte(key), value).WithDiscard())
		}
	}
	check(db.Flatten(2))
	for {
		if db.RunValueLogGC(0.01) != nil {
			return
		}
	}
}

func set(db *badger.DB, entry *badger.Entry) {
	check(db.Update(func(txn *badger.Txn) error { return txn.SetEntry(entry) }))
}

func expiring(db *badger.DB, key string, at uint64) {
	entry := badger.NewEntry([]byte(key), []byte("until then"))
	entry.ExpiresAt = at
	set(db, entry)
}

func remove(db *badger.DB, key string) {
	check(db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) }))
}
