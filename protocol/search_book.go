package protocol

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// searchBook says whose the slots of an index are, by ordinal: the number that
// stands for a slot before the epoch's secret order. It lies beside the index,
// sealed under a key of the identity.
type searchBook struct {
	Serial uint64
	// Contact and Text go with a reference whose record has none of its own.
	Contact, Text string
	Entries       []bookEntry
}

// bookEntry is one name form of a record.
type bookEntry struct {
	ID    string // the record's; "" where the ordinal was never used
	Form  int    // the record's form, from 0
	Label bookLabel
	Sum   [8]byte // of the sketch
	// Since is the version that the form came in with, Gone the one it left with,
	// 0 while it is there.
	Since, Gone uint64
}

// bookLabel is what the peer is told of a record when it asks.
type bookLabel struct{ Reference, Contact, Text string }

// bookKey is what makes a form the same one in the next version.
type bookKey struct {
	id   string
	form int
}

// places returns where the forms that are there stand, and the ordinals that
// are free, the ones to take first at the end: those never used, then those that
// were left before the last version.
func (b *searchBook) places(capacity int) (at map[bookKey]int, free []int) {
	at = make(map[bookKey]int, len(b.Entries))
	for i := capacity - 1; i >= len(b.Entries); i-- {
		free = append(free, i)
	}
	var used []int
	for i := range b.Entries {
		switch e := &b.Entries[i]; {
		case e.ID == "":
			free = append(free, i)
		case e.Gone == 0:
			at[bookKey{e.ID, e.Form}] = i
		case e.Gone < b.Serial:
			used = append(used, i)
		}
	}
	return at, append(used, free...)
}

const bookFile = "book"

// writeBook replaces the book of an index.
func (n *Node) writeBook(dir, what string, b *searchBook) error {
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(b); err != nil {
		return fmt.Errorf("the index's book: %w", err)
	}
	sealed, err := n.seal(plain.Bytes(), what)
	clear(plain.Bytes())
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(dir, bookFile), sealed)
}

// readBook reads the book of an index; one that was never written is empty.
func (n *Node) readBook(dir, what string) (*searchBook, error) {
	sealed, err := os.ReadFile(filepath.Join(dir, bookFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &searchBook{}, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := n.open(sealed, what)
	if err != nil {
		return nil, fmt.Errorf("the index's book: %w", err)
	}
	defer clear(plain)
	var b searchBook
	if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&b); err != nil {
		return nil, fmt.Errorf("the index's book: %w", err)
	}
	return &b, nil
}
