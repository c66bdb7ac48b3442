package protocol

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi/sealed"
)

// searchState is what a node keeps in memory for sealed searches.
type searchState struct {
	pass chan struct{} // a token: one pass over an index at a time

	mu      sync.Mutex
	indexes map[string]*openIndex // by agreement
	askers  map[string]*openAsker // by agreement
	keys    []*sealed.Keys        // the peers', the last used first
	uploads map[string]int        // by agreement and epoch
	tried   map[string]time.Time  // when the node itself last looked at an index
}

// maxKeys bounds the peers' keys that are kept ready, at 150 MB each.
const maxKeys = 4

func (s *searchState) init() {
	s.pass = make(chan struct{}, 1)
	s.indexes = map[string]*openIndex{}
	s.askers = map[string]*openAsker{}
	s.uploads = map[string]int{}
	s.tried = map[string]time.Time{}
}

// openIndex is an index of ours in use. Whoever holds it releases it; the state
// itself holds the one that answers.
type openIndex struct {
	a *Agreement
	*sealed.Index
	epoch  uint32
	serial uint64      // of the version that answers, guarded by the state's mu
	book   *searchBook // of that version, guarded by the state's mu
	users  int         // guarded by the state's mu

	scanning scanQueue
}

// hold returns the index that answers, opened if need be.
func (n *Node) hold(a *Agreement) (*openIndex, error) {
	row, err := n.Store.CurrentSearchIndex(a.Hex())
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(CodeNotPublished, "there is no index under agreement %.16s", a.Hex())
	}
	if err != nil {
		return nil, err
	}
	s := &n.searches
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[a.Hex()]
	if x == nil || x.epoch != row.Epoch {
		if x, err = n.openIndex(a, row); err != nil {
			return nil, err
		}
		if err := s.install(x); err != nil {
			return nil, err
		}
	}
	x.users++
	return x, nil
}

// openIndex opens an index and its book from disk.
func (n *Node) openIndex(a *Agreement, row store.SearchIndex) (*openIndex, error) {
	seed, err := n.openSeed32(row.Seed, indexSeedName(a, row.Epoch))
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	dir := n.indexDir(a, row.Epoch)
	book, err := n.readBook(dir, bookName(a, row.Epoch))
	if err != nil {
		return nil, err
	}
	x, err := sealed.OpenIndex(filepath.Join(dir, blocksDir), a.Search.Params(), a.scope(row.Epoch), seed)
	if err != nil {
		return nil, fmt.Errorf("the search index: %w", err)
	}
	return &openIndex{a: a, Index: x, epoch: row.Epoch, serial: row.Serial, book: book}, nil
}

// install makes an index the one that answers, in place of the one before. The
// caller holds mu.
func (s *searchState) install(x *openIndex) error {
	old := s.indexes[x.a.Hex()]
	s.indexes[x.a.Hex()] = x
	x.users++
	if old == nil {
		return nil
	}
	return s.release(old)
}

// retire closes an agreement's index once nobody uses it; the next use opens it
// anew.
func (s *searchState) retire(agreement string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[agreement]
	if x == nil {
		return nil
	}
	delete(s.indexes, agreement)
	return s.release(x)
}

// release gives back an index. The caller holds mu.
func (s *searchState) release(x *openIndex) error {
	if x.users--; x.users > 0 {
		return nil
	}
	return x.Index.Close()
}

// done gives back what hold returned.
func (n *Node) done(x *openIndex) {
	n.searches.mu.Lock()
	defer n.searches.mu.Unlock()
	if err := n.searches.release(x); err != nil {
		n.Logger.Warn().Err(err).Msg("closing a search index")
	}
}

// version returns the version of an index that answers, with its book.
func (s *searchState) version(x *openIndex) (uint64, *searchBook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.serial, x.book
}

// close closes every index; nothing may be using one.
func (s *searchState) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id, x := range s.indexes {
		delete(s.indexes, id)
		errs = append(errs, s.release(x))
	}
	clear(s.askers)
	s.keys = nil
	return errors.Join(errs...)
}

// peerKeys returns the peer's keys with an id, from memory or disk. Without them
// it is a CodeKeys refusal.
func (n *Node) peerKeys(a *Agreement, epoch uint32, id [32]byte) (*sealed.Keys, error) {
	s := &n.searches
	s.mu.Lock()
	for i, k := range s.keys {
		if k.ID() == id {
			copy(s.keys[1:i+1], s.keys[:i])
			s.keys[0] = k
			s.mu.Unlock()
			return k, nil
		}
	}
	s.mu.Unlock()
	msg, err := os.ReadFile(n.keysPath(a, epoch, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuseRequest(CodeKeys, "the peer has not sent these keys for epoch %d", epoch)
	}
	if err != nil {
		return nil, err
	}
	k, err := sealed.ReadKeys(a.Search.Params(), a.scope(epoch), msg)
	if err != nil {
		return nil, fmt.Errorf("the peer's stored keys: %w", err)
	}
	n.keepKeys(k)
	return k, nil
}

// keepKeys keeps a peer's keys ready.
func (n *Node) keepKeys(k *sealed.Keys) {
	s := &n.searches
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append([]*sealed.Keys{k}, s.keys...)
	if len(s.keys) > maxKeys {
		clear(s.keys[maxKeys:])
		s.keys = s.keys[:maxKeys]
	}
}

// keysPrefix begins the names of the files with a peer's keys.
const keysPrefix = "keys-"

func (n *Node) keysPath(a *Agreement, epoch uint32, id [32]byte) string {
	return filepath.Join(n.indexDir(a, epoch), keysPrefix+hexOf(id))
}

// countKeys counts a set of keys that is to be checked.
func (s *searchState) countKeys(agreement string, epoch uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("%s/%d", agreement, epoch)
	if s.uploads[name] >= maxKeyUploads {
		return refuseRequest(CodeBudget, "the peer has brought %d sets of keys for epoch %d", s.uploads[name], epoch)
	}
	s.uploads[name]++
	return nil
}

// openAsker is our own secret key for an epoch of a peer's index.
type openAsker struct {
	epoch uint32
	*sealed.Asker
}

// asker returns our keys for an epoch of the peer's index, and draws them the
// first time.
func (n *Node) asker(ctx context.Context, a *Agreement, epoch uint32) (*sealed.Asker, error) {
	unlock, err := n.lookups.lock(ctx, "search-keys/"+a.Hex())
	if err != nil {
		return nil, err
	}
	defer unlock()
	s := &n.searches
	s.mu.Lock()
	have := s.askers[a.Hex()]
	s.mu.Unlock()
	if have != nil && have.epoch == epoch {
		return have.Asker, nil
	}
	k, err := n.deriveAsker(a, epoch)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.askers[a.Hex()] = &openAsker{epoch, k}
	s.mu.Unlock()
	return k, nil
}
