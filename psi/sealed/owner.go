package sealed

import (
	"crypto/sha256"
	"fmt"

	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// Keys are an asker's evaluation keys as the owner holds them: about 50 MB of
// memory. They are safe for concurrent use.
type Keys struct {
	p          Params
	scope      Scope
	c          *he.Context
	id         [32]byte
	commitment [32]byte
	keys       *he.Keys
}

// ReadKeys reads a keys message of this scope. It checks the form; whether the
// keys do what they should shows only in answers, and to their asker. Errors
// wrap psi.ErrPeer if the message is at fault.
func ReadKeys(p Params, s Scope, msg []byte) (*Keys, error) {
	c, err := p.context()
	if err != nil {
		return nil, err
	}
	h, body, err := open(msg, kindKeys, p, s, c.KeysSize())
	if err != nil {
		return nil, err
	}
	if h.number != 0 || h.third != [32]byte{} {
		return nil, fmt.Errorf("sealed: keys: reserved bytes are not zero: %w", ErrFormat)
	}
	k := &Keys{p: p, scope: s, c: c, id: sha256.Sum256(msg), commitment: h.first}
	if k.keys, err = c.UnpackKeys(body, h.second); err != nil {
		return nil, rangeError(kindKeys, err)
	}
	return k, nil
}

// ID returns the SHA-256 of the keys message.
func (k *Keys) ID() [32]byte { return k.id }

// Commitment returns the asker's commitment to the seed of its keys and queries.
func (k *Keys) Commitment() [32]byte { return k.commitment }

// EncryptedQuery is a query as the owner holds it.
type EncryptedQuery struct {
	keys   *Keys
	id     [32]byte
	number uint64
	limit  int
	q      *he.Query
}

// ReadQuery reads a query message made under these keys.
func (k *Keys) ReadQuery(msg []byte) (*EncryptedQuery, error) {
	h, body, err := open(msg, kindQuery, k.p, k.scope, k.c.QuerySize())
	if err != nil {
		return nil, err
	}
	if h.second != k.id || h.third != k.commitment {
		return nil, fmt.Errorf("sealed: query: under other keys: %w", ErrScope)
	}
	q, err := k.c.UnpackQuery(body, h.first, h.limit)
	if err != nil {
		return nil, rangeError(kindQuery, err)
	}
	return &EncryptedQuery{keys: k, id: sha256.Sum256(msg), number: h.number, limit: h.limit, q: q}, nil
}

// ID returns the SHA-256 of the query message.
func (q *EncryptedQuery) ID() [32]byte { return q.id }

// Number returns the asker's number of the query.
func (q *EncryptedQuery) Number() uint64 { return q.number }

// Threshold returns the least number of agreeing positions that opens a slot to
// this query: the parameters' or more.
func (q *EncryptedQuery) Threshold() int { return q.limit }
