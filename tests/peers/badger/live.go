package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v2"
)

// entry is what a transaction wrote: a line of the log, after the commit.
type entry struct {
	N      uint64      `json:"n"`
	Put    [][2]string `json:"put"`
	Delete []string    `json:"delete"`
}

var layers = []string{"sensory", "emotion", "logic", "dream", "eternal"}

func liveKey(n uint64) string {
	return fmt.Sprintf("%s:live_%09d", layers[n%5], n)
}

func liveValue(n, at uint64) string {
	return fmt.Sprintf(`{"raw":%d,"timestamp":%d,"type":"%s"}`, at, time.Now().UnixNano(), layers[n%5])
}

// write puts a thought in each transaction, layer by layer, and now and then replaces or deletes an older one. What was
// committed goes into the log, from whose end it goes on.
func write(db *badger.DB, s settings, written *uint64, stop, stopped chan struct{}) {
	defer close(stopped)
	first, log := uint64(0), (*os.File)(nil)
	if s.log != "" {
		var err error
		log, err = os.OpenFile(s.log, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		check(err)
		defer log.Close()
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			var last entry
			check(json.Unmarshal(lines.Bytes(), &last))
			first = last.N + 1
		}
	}
	start := time.Now()
	for n := first; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		e := entry{n, [][2]string{{liveKey(n), liveValue(n, n)}}, []string{}}
		if n%10 == 9 {
			e.Put = append(e.Put, [2]string{liveKey(n - 5), liveValue(n-5, n)})
		}
		if n%50 == 49 {
			e.Delete = append(e.Delete, liveKey(n-40))
		}
		check(db.Update(func(txn *badger.Txn) error {
			for _, key := range e.Delete {
				if err := txn.Delete([]byte(key)); err != nil {
					return err
				}
			}
			for _, put := range e.Put {
				if err := txn.Set([]byte(put[0]), []byte(put[1])); err != nil {
					return err
				}
			}
			return nil
		}))
		if log != nil {
			line, err := json.Marshal(e)
			check(err)
			_, err = log.Write(append(line, '\n'))
			check(err)
		}
		atomic.AddUint64(written, 1)
		if s.rate > 0 {
			if ahead := time.Duration(n-first)*time.Second/time.Duration(s.rate) - time.Since(start); ahead > 0 {
				time.Sleep(ahead)
			}
		}
	}
}

// bench writes and reads one thought at a time, as the program does, and says how many of each it did in a second.
func bench(dir string, s settings) {
	db, err := badger.Open(s.options(dir))
	check(err)
	var keys [][]byte
	check(db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			keys = append(keys, it.Item().KeyCopy(nil))
		}
		return nil
	}))
	random := rand.New(rand.NewSource(7))
	began := time.Now()
	for n := 0; n < s.records; n++ {
		key := keys[random.Intn(len(keys))]
		check(db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(key)
			if err != nil {
				return err
			}
			_, err = item.ValueCopy(nil)
			return err
		}))
	}
	reads := float64(s.records) / time.Since(began).Seconds()
	began = time.Now()
	for n := uint64(0); n < uint64(s.records); n++ {
		check(db.Update(func(txn *badger.Txn) error {
			return txn.Set([]byte("bench:"+liveKey(n)), []byte(liveValue(n, n)))
		}))
	}
	writes := float64(s.records) / time.Since(began).Seconds()
	fmt.Printf("{\"reads\":%.0f,\"writes\":%.0f}\n", reads, writes)
	check(db.Close())
}
