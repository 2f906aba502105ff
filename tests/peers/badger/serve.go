package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v2"
)

// serve owns the database and writes, as a program that nobody stopped. It answers one line per connection:
//
//	backup SINCE  Badger's backup, then the end of the stream
//	status        {"written":N,"max_version":N}
//	stop          closes the database, then answers "stopped" and ends
func serve(dir string, s settings) {
	db, err := badger.Open(s.options(dir))
	check(err)
	_ = os.Remove(s.socket)
	listener, err := net.Listen("unix", s.socket)
	check(err)
	var written uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go write(db, s.rate, &written, stop, stopped)
	fmt.Println("serving")
	for {
		connection, err := listener.Accept()
		check(err)
		text, err := bufio.NewReader(connection).ReadString('\n')
		words := strings.Fields(text)
		if err != nil || len(words) == 0 {
			connection.Close()
			continue
		}
		switch words[0] {
		case "backup":
			go func() {
				defer connection.Close()
				since, err := strconv.ParseUint(words[1], 10, 64)
				check(err)
				check(backup(db, connection, since))
			}()
		case "status":
			fmt.Fprintf(connection, "{\"written\":%d,\"max_version\":%d}\n", atomic.LoadUint64(&written), maxVersion(db))
			connection.Close()
		case "stop":
			close(stop)
			<-stopped
			check(db.Close())
			fmt.Fprintln(connection, "stopped")
			connection.Close()
			return
		default:
			connection.Close()
		}
	}
}

// write sets "live/N" to N, each in a transaction of its own, and now and then deletes or replaces an older one.
func write(db *badger.DB, rate int, written *uint64, stop, stopped chan struct{}) {
	defer close(stopped)
	start := time.Now()
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := atomic.LoadUint64(written)
		check(db.Update(func(txn *badger.Txn) error {
			if n%50 == 49 {
				if err := txn.Delete([]byte(fmt.Sprintf("live/%09d", n-40))); err != nil {
					return err
				}
			}
			if n%10 == 9 {
				if err := txn.Set([]byte(fmt.Sprintf("live/%09d", n-5)), []byte(fmt.Sprintf("again at %d", n))); err != nil {
					return err
				}
			}
			return txn.SetEntry(badger.NewEntry([]byte(fmt.Sprintf("live/%09d", n)), []byte(fmt.Sprint(n))).WithMeta(byte(n)))
		}))
		atomic.AddUint64(written, 1)
		if rate > 0 {
			if ahead := time.Duration(n)*time.Second/time.Duration(rate) - time.Since(start); ahead > 0 {
				time.Sleep(ahead)
			}
		}
	}
}

// ask says the words to the one that serves and copies the answer to stdout.
func ask(args []string) {
	connection, err := net.Dial("unix", args[0])
	check(err)
	_, err = fmt.Fprintln(connection, strings.Join(args[1:], " "))
	check(err)
	_, err = io.Copy(os.Stdout, connection)
	check(err)
}

func maxVersion(db *badger.DB) uint64 {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	return txn.ReadTs()
}
