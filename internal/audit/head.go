package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxHead bounds a signed head in bytes, MaxProof a consistency proof in
	// hashes: what a peer sends beyond them is refused unread.
	MaxHead  = 8 << 10
	MaxProof = 64
	// maxSize bounds the size that a head may claim. tlog's arithmetic never
	// ends on sizes beyond 2^62, which a peer could sign in a moment.
	maxSize = 1 << 48
)

// Errors about heads. The first two say that a log is not append-only: keep the
// head that was shown, for with the one known before it is evidence.
var (
	// ErrRollback: the log is shorter than a head that was signed.
	ErrRollback = errors.New("log is shorter than it was")
	// ErrFork: the log is no extension of a head that was signed.
	ErrFork = errors.New("log contradicts an earlier head")
	// ErrHead: the head is malformed, for another log, or not signed by whom
	// it should.
	ErrHead = errors.New("head is not acceptable")
)

// Head is the size and root of a log.
type Head struct {
	Size int64
	Root tlog.Hash
}

func origin(agreement, owner string) string { return "symbolon/log/" + agreement + "/" + owner }

// text is the checkpoint that is signed.
func (h Head) text(origin string) string {
	return origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(h.Root[:]) + "\n"
}

// parseHead reads a checkpoint without extension lines. It accepts exactly what
// text makes.
func parseHead(text, origin string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return Head{}, fmt.Errorf("audit: %w: it is not a head of %q", ErrHead, origin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return Head{}, fmt.Errorf("audit: %w: its size is no number", ErrHead)
	}
	if size < 0 || size > maxSize {
		return Head{}, fmt.Errorf("audit: %w: its size is outside [0, 2^48]", ErrHead)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Head{}, fmt.Errorf("audit: %w: its root is not %d bytes in base64", ErrHead, tlog.HashSize)
	}
	h := Head{size, tlog.Hash(root)}
	if h.text(origin) != text || size == 0 && h != emptyHead {
		return Head{}, fmt.Errorf("audit: %w: its encoding is not canonical", ErrHead)
	}
	return h, nil
}

// emptyHead is the head of the empty log.
var emptyHead = func() Head {
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		panic("audit: " + err.Error()) // reads no hash, so can't fail
	}
	return Head{0, root}
}()

// openHead reads a head of the log with this origin that one of the signers has
// signed.
func openHead(signed []byte, origin string, signers []note.Verifier) (Head, *note.Note, error) {
	if len(signed) > MaxHead {
		return Head{}, nil, fmt.Errorf("audit: %w: it has %d bytes, at most %d fit", ErrHead, len(signed), MaxHead)
	}
	n, err := note.Open(signed, note.VerifierList(signers...))
	if err != nil {
		return Head{}, nil, fmt.Errorf("audit: %w: %w", ErrHead, err)
	}
	h, err := parseHead(n.Text, origin)
	return h, n, err
}

// keyOf returns the place in signers, the newest key first, of the newest key
// that has signed the note.
func keyOf(n *note.Note, signers []note.Verifier) int {
	return slices.IndexFunc(signers, func(v note.Verifier) bool {
		return slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
	})
}

// Head returns the log's size and root, from the stored hashes.
func (t Tree) Head(r Reader) (Head, error) {
	size, err := r.LogSize(t.Agreement)
	if err != nil {
		return Head{}, err
	}
	return t.headAt(r, size)
}

func (t Tree) headAt(r Reader, size int64) (Head, error) {
	root, err := tlog.TreeHash(size, t.hashes(r))
	if err != nil {
		return Head{}, fmt.Errorf("audit: root of log %.16s at size %d: %w", t.Agreement, size, err)
	}
	return Head{size, root}, nil
}

// SignHead returns the log's head, signed, and stores it. It refuses to sign a
// log that contradicts a head signed before: ErrRollback or ErrFork then mean
// that this node's own database was changed from outside.
func (t Tree) SignHead(w Writer, signer note.Signer) ([]byte, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	h, err := t.Head(w)
	if err != nil {
		return nil, err
	}
	if err := t.checkOwnHead(w, h.Size); err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: h.text(origin(t.Agreement, t.Own))}, signer)
	if err != nil {
		return nil, fmt.Errorf("audit: signing a head: %w", err)
	}
	return signed, w.PutLogHead(t.Agreement, true, h.Size, h.Root[:], signed, false)
}

// checkOwnHead compares the log with the last head we signed.
func (t Tree) checkOwnHead(r Reader, size int64) error {
	lastSize, lastRoot, _, err := r.LastLogHead(t.Agreement, true, false)
	if err != nil || lastSize < 0 {
		return err
	}
	if size < lastSize {
		return fmt.Errorf("audit: own %w: it has %d entries, %d were signed", ErrRollback, size, lastSize)
	}
	then, err := t.headAt(r, lastSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(then.Root[:], lastRoot) {
		return fmt.Errorf("audit: own %w: the root at size %d is another than was signed", ErrFork, lastSize)
	}
	return nil
}

// ConsistencyProof proves that the log at size extends the log at old, the size
// that the peer knows. It returns ErrRollback if the peer knows more than there
// is: then this node has lost entries, for instance to an old copy of its
// database.
func (t Tree) ConsistencyProof(r Reader, old, size int64) ([][]byte, error) {
	if old < 0 {
		return nil, fmt.Errorf("audit: %w: peer knows a head of size %d", ErrHead, old)
	}
	if old > size {
		return nil, fmt.Errorf("audit: own %w: it has %d entries, the peer has countersigned %d; "+
			"was the database replaced by an old copy?", ErrRollback, size, old)
	}
	if old == 0 || old == size {
		return nil, nil
	}
	proof, err := tlog.ProveTree(size, old, t.hashes(r))
	if err != nil {
		return nil, fmt.Errorf("audit: proving that log %.16s grew: %w", t.Agreement, err)
	}
	return toBytes(proof), nil
}

// PeerHead returns the last head of the peer's log that we countersigned; the
// empty head if there is none. Its size is what the peer needs to prove that
// its log grew from there.
func (t Tree) PeerHead(r Reader) (Head, error) {
	size, root, _, err := r.LastLogHead(t.Agreement, false, true)
	if err != nil || size < 0 {
		return emptyHead, err
	}
	if len(root) != tlog.HashSize {
		return Head{}, fmt.Errorf("audit: stored root of the peer's log has %d bytes, want %d", len(root), tlog.HashSize)
	}
	return Head{size, tlog.Hash(root)}, nil
}

// CheckPeerHead checks a head of the peer's log that the peer has signed: it
// must extend the last head known, as the proof shows. It returns ErrHead for
// one that is no such head, ErrRollback for a log that shrank and ErrFork for
// one that is another log, or whose proof does not hold.
func (t Tree) CheckPeerHead(signed []byte, peer note.Verifier, last Head, proof [][]byte) (Head, error) {
	h, _, err := t.checkPeerHead(signed, peer, last, proof)
	return h, err
}

func (t Tree) checkPeerHead(signed []byte, peer note.Verifier, last Head, proof [][]byte) (Head, *note.Note, error) {
	if err := t.validate(); err != nil {
		return Head{}, nil, err
	}
	h, n, err := openHead(signed, origin(t.Agreement, t.Peer), []note.Verifier{peer})
	if err != nil {
		return Head{}, nil, err
	}
	return h, n, checkGrowth(h, last, proof)
}

func checkGrowth(h, last Head, proof [][]byte) error {
	if len(proof) > MaxProof {
		return fmt.Errorf("audit: %w: its proof has %d hashes, at most %d fit", ErrHead, len(proof), MaxProof)
	}
	hashes, err := toHashes(proof)
	if err != nil {
		return fmt.Errorf("audit: %w: %w", ErrHead, err)
	}
	switch {
	case h.Size < last.Size:
		return fmt.Errorf("audit: %w: it has %d entries, %d were shown before", ErrRollback, h.Size, last.Size)
	case h.Size == last.Size && h.Root != last.Root:
		return fmt.Errorf("audit: %w: two roots at size %d", ErrFork, h.Size)
	case h.Size == last.Size || last.Size == 0:
		if len(proof) > 0 {
			return fmt.Errorf("audit: %w: its proof proves nothing", ErrHead)
		}
		return nil
	}
	if err := tlog.CheckTree(hashes, h.Size, h.Root, last.Size, last.Root); err != nil {
		return fmt.Errorf("audit: %w: size %d after %d: %w", ErrFork, h.Size, last.Size, err)
	}
	return nil
}

// Countersign checks the peer's signed head against the last one known, as
// CheckPeerHead, adds our signature and stores it. Junk signatures on it are
// dropped: we send back the peer's and ours.
func (t Tree) Countersign(w Writer, signed []byte, proof [][]byte, peer note.Verifier, signer note.Signer) ([]byte, error) {
	last, err := t.PeerHead(w)
	if err != nil {
		return nil, err
	}
	h, n, err := t.checkPeerHead(signed, peer, last, proof)
	if err != nil {
		return nil, err
	}
	both, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs}, signer)
	if err != nil {
		return nil, fmt.Errorf("audit: countersigning a head: %w", err)
	}
	return both, w.PutLogHead(t.Agreement, false, h.Size, h.Root[:], both, true)
}

// AcceptCountersignature stores our own head as the peer gave it back. It
// returns ErrHead unless the head is one of our log, with our signature and the
// peer's.
func (t Tree) AcceptCountersignature(w Writer, signed []byte, own, peer note.Verifier) error {
	if err := t.validate(); err != nil {
		return err
	}
	h, _, err := openBoth(signed, origin(t.Agreement, t.Own), []note.Verifier{own}, []note.Verifier{peer})
	if err != nil {
		return err
	}
	size, err := w.LogSize(t.Agreement)
	if err != nil {
		return err
	}
	if h.Size > size {
		return fmt.Errorf("audit: %w: it counts %d entries of our %d", ErrHead, h.Size, size)
	}
	ours, err := t.headAt(w, h.Size)
	if err != nil {
		return err
	}
	if ours != h {
		return fmt.Errorf("audit: %w: its root at size %d is not ours", ErrHead, h.Size)
	}
	return w.PutLogHead(t.Agreement, true, h.Size, h.Root[:], signed, true)
}

// openBoth reads a head that carries signatures of owner and witness. Each set
// of verifiers opens the note on its own, so that a key hash that a witness made
// to collide with the owner's can't stand for it.
func openBoth(signed []byte, origin string, owner, witness []note.Verifier) (Head, *note.Note, error) {
	h, n, err := openHead(signed, origin, owner)
	if err != nil {
		return Head{}, nil, err
	}
	if _, _, err := openHead(signed, origin, witness); err != nil {
		return Head{}, nil, fmt.Errorf("its countersignature: %w", err)
	}
	return h, n, nil
}
