package audit

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrTampered: the log is not what was written, or not all of it.
var ErrTampered = errors.New("log has been tampered with")

// maxFaults bounds what VerifyLog reports.
const maxFaults = 20

// Report is what VerifyLog found.
type Report struct {
	Head
	// Entries are present, Erased are gone at the end of their retention.
	Entries, Erased int64
	// Signed and Countersigned are the sizes of the largest heads that we
	// signed and that the peer signed too; -1 if there is none. Entries after
	// Countersigned rest on our word alone.
	Signed, Countersigned int64
	// PeerSize is the size of the peer's last head that we countersigned.
	PeerSize int64
}

// faults collects what is wrong, up to maxFaults.
type faults []error

func (f *faults) add(format string, args ...any) {
	if len(*f) < maxFaults {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// VerifyLog recomputes the log from its entries: every leaf whose entry is
// present, every stored hash, and the root under every head that we or the peer
// signed. An entry may be missing only if its retention ended before now. The
// verifiers are those of both agencies' present and former keys, the newest
// first: a key signs no head after its successor has. On faults the
// error wraps ErrTampered and names up to 20 of them.
//
// Two things it can't see. Whoever changes the database and removes all heads
// that tell of it remains to be found by the peer, which keeps them too. And
// whoever sets an entry's end of retention to the past and erases it, before
// anyone verifies, leaves a leaf like any other that has expired. Pass one snapshot. Memory is 64
// bytes an entry.
func (t Tree) VerifyLog(r Reader, now time.Time, own, peer []note.Verifier) (Report, error) {
	if err := t.validate(); err != nil {
		return Report{}, err
	}
	rep := Report{Signed: -1, Countersigned: -1}
	var found faults
	tree, err := t.verifyLeaves(r, now, &rep, &found)
	if err != nil {
		return rep, err
	}
	if err := t.verifyHashes(r, tree, &found); err != nil {
		return rep, err
	}
	rep.Size = tree.size
	if rep.Root, err = tlog.TreeHash(tree.size, tree); err != nil {
		return rep, fmt.Errorf("audit: computing the root: %w", err)
	}
	if err := t.verifyOwnHeads(r, tree, own, peer, &rep, &found); err != nil {
		return rep, err
	}
	if err := t.verifyPeerHeads(r, own, peer, &rep, &found); err != nil {
		return rep, err
	}
	if len(found) > 0 {
		return rep, fmt.Errorf("audit: %w: %w", ErrTampered, errors.Join(found...))
	}
	return rep, nil
}

// recomputed is the tree as its leaves make it, its hashes in storage order.
type recomputed struct {
	size   int64
	stored []tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (c *recomputed) ReadHashes(numbers []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(numbers))
	for i, n := range numbers {
		if n < 0 || n >= int64(len(c.stored)) {
			return nil, fmt.Errorf("audit: no hash %d", n)
		}
		out[i] = c.stored[n]
	}
	return out, nil
}

// verifyLeaves checks each leaf against its entry and builds the tree.
func (t Tree) verifyLeaves(r Reader, now time.Time, rep *Report, found *faults) (*recomputed, error) {
	tree := &recomputed{}
	size, err := r.LogSize(t.Agreement)
	if err != nil {
		return nil, err
	}
	err = r.ScanLog(t.Agreement, 0, size, func(n int64, leaf, salt, entry []byte, expires time.Time) error {
		if n != tree.size {
			found.add("entry %d is missing", tree.size)
			return errStop // every later hash would differ
		}
		switch {
		case entry != nil:
			rep.Entries++
			if sum := leafOf(salt, entry); len(salt) != SaltSize || !bytes.Equal(sum[:], leaf) {
				found.add("entry %d is not what was logged", n)
			} else if e, err := ParseEntry(entry); err != nil {
				found.add("entry %d: %w", n, err)
			} else if !e.Expires.Equal(expires) {
				found.add("entry %d has another end of retention than was logged", n)
			}
		case salt != nil:
			found.add("entry %d is gone, but its salt is not", n)
		case expires.IsZero() || expires.After(now):
			found.add("entry %d is gone before the end of its retention", n)
		default:
			rep.Erased++
		}
		hashes, err := tlog.StoredHashes(n, leaf, tree)
		if err != nil {
			return err
		}
		tree.stored = append(tree.stored, hashes...)
		tree.size++
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return tree, err
}

var errStop = errors.New("stop")

// verifyHashes compares the stored hashes with the recomputed ones.
func (t Tree) verifyHashes(r Reader, tree *recomputed, found *faults) error {
	var next int64
	err := r.ScanLogHashes(t.Agreement, func(n int64, hash []byte) error {
		if n >= int64(len(tree.stored)) {
			found.add("stored hash %d belongs to no entry: entries were removed", n)
			return errStop
		}
		for ; next < n; next++ {
			found.add("stored hash %d is missing", next)
		}
		if !bytes.Equal(hash, tree.stored[n][:]) {
			found.add("stored hash %d does not follow from the entries", n)
		}
		next = n + 1
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	for ; err == nil && next < int64(len(tree.stored)); next++ {
		found.add("stored hash %d is missing", next)
	}
	return err
}

func (t Tree) verifyOwnHeads(r Reader, tree *recomputed, own, peer []note.Verifier, rep *Report, found *faults) error {
	key := len(own)
	return r.ScanLogHeads(t.Agreement, true, func(size int64, root, signed []byte, countersigned bool) error {
		h, err := openStored(signed, origin(t.Agreement, t.Own), own, peer, countersigned, &key)
		switch {
		case err != nil:
			found.add("head %d: %w", size, err)
			return nil
		case h.Size != size || !bytes.Equal(h.Root[:], root):
			found.add("head %d is not the head that its note says", size)
			return nil
		case h.Size > tree.size:
			found.add("head %d counts entries that are missing, the log has %d", size, tree.size)
			return nil
		}
		then, err := tlog.TreeHash(h.Size, tree)
		if err != nil {
			return err
		}
		if then != h.Root {
			found.add("head %d does not follow from the entries", size)
			return nil
		}
		rep.Signed = max(rep.Signed, size)
		if countersigned {
			rep.Countersigned = max(rep.Countersigned, size)
		}
		return nil
	})
}

func (t Tree) verifyPeerHeads(r Reader, own, peer []note.Verifier, rep *Report, found *faults) error {
	key := len(peer)
	return r.ScanLogHeads(t.Agreement, false, func(size int64, root, signed []byte, countersigned bool) error {
		h, err := openStored(signed, origin(t.Agreement, t.Peer), peer, own, countersigned, &key)
		switch {
		case err != nil:
			found.add("the peer's head %d: %w", size, err)
		case h.Size != size || !bytes.Equal(h.Root[:], root):
			found.add("the peer's head %d is not the head that its note says", size)
		default:
			rep.PeerSize = max(rep.PeerSize, size)
		}
		return nil
	})
}

// openStored reads a head of the database, with both signatures if it is said
// to have them. The newest key seen so far is *key; an older one can't have
// signed a later head.
func openStored(signed []byte, origin string, owner, witness []note.Verifier, countersigned bool, key *int) (h Head, err error) {
	var n *note.Note
	if countersigned {
		h, n, err = openBoth(signed, origin, owner, witness)
	} else {
		h, n, err = openHead(signed, origin, owner)
	}
	if err != nil {
		return Head{}, err
	}
	k := keyOf(n, owner)
	if k > *key {
		return Head{}, fmt.Errorf("audit: %w: %w", ErrHead, errReplaced)
	}
	*key = k
	return h, nil
}

var errReplaced = errors.New("it is signed by a key that was replaced before")
