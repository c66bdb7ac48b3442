package psi

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/symbolon/symbolon/internal/oracle"
)

// ItemHasher turns match keys into items of one session: the first 128 bits of
// SHA-256(domain, session id, rule id, canonical key), every part prefixed with
// its length. It is not safe for concurrent use; Clone it.
type ItemHasher struct {
	buf    []byte
	head   int
	shared *oracle.Shared
	batch  *itemBatch
}

// itemBatch holds the messages of one batch beyond the head.
type itemBatch struct {
	tails   [64][64]byte
	lens    [64]uint8
	digests [64][sha256.Size]byte
}

// NewItemHasher returns a hasher for the session.
func NewItemHasher(session [32]byte) *ItemHasher {
	b := AppendPart(nil, []byte("symbolon/v1/item"))
	b = AppendPart(b, session[:])
	// The head is one block of SHA-256, so that batches share its work.
	return &ItemHasher{buf: b, head: len(b), shared: oracle.NewShared([64]byte(b))}
}

// Clone returns an independent hasher for the same session.
func (h *ItemHasher) Clone() *ItemHasher {
	return &ItemHasher{buf: append([]byte(nil), h.buf[:h.head]...), head: h.head, shared: h.shared}
}

// Item returns the item of a rule's canonical key.
func (h *ItemHasher) Item(rule, key string) Item {
	b := h.buf[:h.head]
	b = binary.BigEndian.AppendUint64(b, uint64(len(rule)))
	b = append(b, rule...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(key)))
	b = append(b, key...)
	h.buf = b
	sum := sha256.Sum256(b)
	return Item(sum[:ItemSize])
}

// Items sets dst[i] to the item of the rule's canonical key(i), which need not
// outlive the next call of key. It is Item for many keys, and faster.
func (h *ItemHasher) Items(dst []Item, rule string, key func(i int) []byte) {
	if h.batch == nil {
		h.batch = new(itemBatch)
	}
	b := h.batch
	prefix := binary.BigEndian.AppendUint64(nil, uint64(len(rule)))
	prefix = append(prefix, rule...)
	var blank [64]byte
	at := copy(blank[:], prefix)
	longest := oracle.MaxTail - 8 - len(prefix)
	for done := 0; done < len(dst); {
		n := 0
		for ; n < len(b.tails) && done+n < len(dst); n++ {
			k := key(done + n)
			if len(k) > longest {
				break
			}
			t := &b.tails[n]
			*t = blank
			binary.BigEndian.PutUint64(t[at:], uint64(len(k)))
			b.lens[n] = uint8(at + 8 + copy(t[at+8:], k))
		}
		h.shared.Sum(b.digests[:n], b.tails[:n], b.lens[:n])
		for i := range n {
			dst[done+i] = Item(b.digests[i][:ItemSize])
		}
		done += n
		if n < len(b.tails) && done < len(dst) {
			dst[done] = h.Item(rule, string(key(done)))
			done++
		}
	}
}
