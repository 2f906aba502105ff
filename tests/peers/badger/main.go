// Command badger is the tests' Badger program: it makes databases with all that Badger can hold, serves one while others ask
// for backups, and says what Badger itself sees in a directory.
//
//	badger make DIR [flags]              a database
//	badger dump DIR [flags]              each version of each key, a line of JSON each
//	badger backup DIR --since N [flags]  Badger's own backup on stdout; "max-version N" on stderr
//	badger load DIR [flags]              Badger's own load, from stdin
//	badger serve DIR --socket S [flags]  writes until it is told to stop; answers on the socket
//	badger bench DIR [flags]             reads and writes one record at a time: how many in a second
//	badger ask S WORD [N]                asks the one that serves: "backup SINCE", "status", "stop"
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"

	badger "github.com/dgraph-io/badger/v2"
	"github.com/dgraph-io/badger/v2/options"
)

type settings struct {
	compression string
	key         string
	threshold   int
	blockSize   int
	tableSize   int64
	vlogSize    int64
	keep        int
	compact     bool
	records     int
	valueBytes  int
	batch       int
	bulk        bool
	gc          bool
	unclean     bool
	extra       bool
	small       bool
	since       uint64
	socket      string
	rate        int
	log         string
}

func flags(name string, args []string) (settings, string) {
	var s settings
	f := flag.NewFlagSet(name, flag.ExitOnError)
	f.StringVar(&s.compression, "compression", "none", "none, snappy or zstd")
	f.StringVar(&s.key, "key", "", "master key, hexadecimal: 16, 24 or 32 bytes")
	f.IntVar(&s.threshold, "threshold", 256, "values of this many bytes go into the value log")
	f.IntVar(&s.blockSize, "block-size", 4096, "bytes of a block")
	f.Int64Var(&s.tableSize, "table-size", 64<<20, "bytes of a table")
	f.Int64Var(&s.vlogSize, "vlog-size", 1<<30-1, "bytes of a value log file")
	f.IntVar(&s.keep, "keep", math.MaxInt32, "versions to keep")
	f.BoolVar(&s.compact, "compact", false, "compact, in the background and when closing")
	f.IntVar(&s.records, "records", 1000, "make: plain records beside the awkward ones; bench: how many")
	f.IntVar(&s.valueBytes, "value-bytes", 0, "make: bytes of a plain value; 0: 100 to 200")
	f.IntVar(&s.batch, "batch", 100, "make: records of a transaction")
	f.BoolVar(&s.bulk, "bulk", false, "make: the plain records alone")
	f.BoolVar(&s.gc, "gc", false, "make: collect garbage of the value log, so that values move")
	f.BoolVar(&s.unclean, "unclean", false, "make: die without closing")
	f.BoolVar(&s.extra, "extra", false, "make: more writes on a database that is there")
	f.BoolVar(&s.small, "small", false, "make: nothing awkward that is large")
	f.Uint64Var(&s.since, "since", 0, "backup: from this version on")
	f.StringVar(&s.socket, "socket", "", "serve: where to answer")
	f.IntVar(&s.rate, "rate", 500, "serve: writes a second; 0: as fast as it goes")
	f.StringVar(&s.log, "log", "", "serve: where each committed transaction is written down, and gone on from")
	if len(args) == 0 {
		fail(fmt.Errorf("%s needs a directory", name))
	}
	check(f.Parse(args[1:]))
	return s, args[0]
}

func (s settings) options(dir string) badger.Options {
	key, err := hex.DecodeString(s.key)
	check(err)
	o := badger.DefaultOptions(dir).
		WithLogger(nil).
		WithSyncWrites(false).
		WithTruncate(true).
		WithNumVersionsToKeep(s.keep).
		WithValueThreshold(s.threshold).
		WithBlockSize(s.blockSize).
		WithMaxTableSize(s.tableSize).
		WithValueLogFileSize(s.vlogSize).
		WithCompactL0OnClose(s.compact).
		WithEncryptionKey(key)
	switch s.compression {
	case "none":
		o = o.WithCompression(options.None)
	case "snappy":
		o = o.WithCompression(options.Snappy)
	case "zstd":
		o = o.WithCompression(options.ZSTD)
	default:
		fail(fmt.Errorf("no compression is called %q", s.compression))
	}
	if s.compression != "none" || len(key) > 0 {
		// Badger wants a cache with either.
		o = o.WithBlockCacheSize(16 << 20).WithIndexCacheSize(16 << 20)
	}
	if !s.compact {
		o = o.WithNumCompactors(0).WithNumLevelZeroTablesStall(1 << 20).WithNumLevelZeroTables(1 << 19)
	}
	return o
}

type line struct {
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
	UserMeta  byte   `json:"user_meta"`
	Meta      byte   `json:"meta"`
	Version   uint64 `json:"version"`
	ExpiresAt uint64 `json:"expires_at"`
}

// dump opens without compacting, so that it sees what lies there. Badger writes into a directory that it opens: dump a copy.
func dump(dir string, s settings) {
	db, err := badger.Open(s.options(dir))
	check(err)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	lines := json.NewEncoder(out)
	check(db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.AllVersions = true
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			value, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			if value == nil {
				value = []byte{}
			}
			// Badger tells nobody the bits.
			meta := byte(reflect.ValueOf(item).Elem().FieldByName("meta").Uint())
			if err := lines.Encode(line{item.KeyCopy(nil), value, item.UserMeta(), meta, item.Version(), item.ExpiresAt()}); err != nil {
				return err
			}
		}
		return nil
	}))
	check(out.Flush())
	check(db.Close())
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("badger make|dump|backup|load|serve|bench DIR, or badger ask SOCKET WORD"))
	}
	word, rest := os.Args[1], os.Args[2:]
	if word == "ask" {
		ask(rest)
		return
	}
	s, dir := flags(word, rest)
	switch word {
	case "make":
		produce(dir, s)
	case "dump":
		dump(dir, s)
	case "backup":
		db, err := badger.Open(s.options(dir))
		check(err)
		check(backup(db, os.Stdout, s.since))
		check(db.Close())
	case "load":
		db, err := badger.Open(s.options(dir))
		check(err)
		check(db.Load(bufio.NewReaderSize(os.Stdin, 1<<20), 256))
		check(db.Close())
	case "serve":
		serve(dir, s)
	case "bench":
		bench(dir, s)
	default:
		fail(fmt.Errorf("no command is called %q", word))
	}
}

func backup(db *badger.DB, to io.Writer, since uint64) error {
	out := bufio.NewWriterSize(to, 1<<20)
	max, err := db.Backup(out, since)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "max-version %d\n", max)
	return out.Flush()
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "badger:", err)
	os.Exit(1)
}
