package main

import (
	"bufio"
	"encoding/binary"
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
//	backup SINCE  Badger's backup in chunks: a length (u32, big endian), so many bytes; a length of 0 ends it
//	status        {"written":N,"max_version":N}
//	stop          closes the database, then answers "stopped" and ends
//
// It ends by itself when its directory is gone.
func serve(dir string, s settings) {
	db, err := badger.Open(s.options(dir))
	check(err)
	_ = os.Remove(s.socket)
	listener, err := net.Listen("unix", s.socket)
	check(err)
	var written uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go write(db, s, &written, stop, stopped)
	go func() {
		for {
			time.Sleep(time.Second)
			if _, err := os.Stat(dir); os.IsNotExist(err) {
				os.Exit(0)
			}
		}
	}()
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
				check(backup(db, chunks{connection}, since))
				check(binary.Write(connection, binary.BigEndian, uint32(0)))
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

// chunks writes what it gets with its length, so that whoever reads knows whether he has all.
type chunks struct{ to io.Writer }

func (c chunks) Write(bytes []byte) (int, error) {
	if len(bytes) == 0 {
		return 0, nil
	}
	if err := binary.Write(c.to, binary.BigEndian, uint32(len(bytes))); err != nil {
		return 0, err
	}
	return c.to.Write(bytes)
}

// ask says the words to the one that serves and copies the answer to stdout.
func ask(args []string) {
	connection, err := net.Dial("unix", args[0])
	check(err)
	_, err = fmt.Fprintln(connection, strings.Join(args[1:], " "))
	check(err)
	if len(args) < 2 || args[1] != "backup" {
		_, err = io.Copy(os.Stdout, connection)
		check(err)
		return
	}
	for {
		var length uint32
		check(binary.Read(connection, binary.BigEndian, &length))
		if length == 0 {
			return
		}
		_, err = io.CopyN(os.Stdout, connection, int64(length))
		check(err)
	}
}

func maxVersion(db *badger.DB) uint64 {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	return txn.ReadTs()
}
