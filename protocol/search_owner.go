package protocol

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// What a stream's key signs.
const (
	kindSearch     = "symbolon/v1/search-request"
	kindSearchKeys = "symbolon/v1/search-keys"
	kindReveal     = "symbolon/v1/reveal-request"
)

const (
	searchIDSize = 16 // bytes
	// maxSearchAttempts is how often a search that was cut off may be tried
	// again, the first time included; it is charged once.
	maxSearchAttempts = 3
	// maxKeyUploads bounds the sets of keys that an asker brings in an epoch, or
	// since the node started.
	maxKeyUploads = 8
	// searchOverlap is how long an index answers after its epoch's end while
	// nobody makes the next.
	searchOverlap = 72 * time.Hour
)

// searchGranted says what the owner of a stream has to offer.
func (n *Node) searchGranted(a *Agreement) (*wirepb.Granted, error) {
	row, err := n.Store.CurrentSearchIndex(a.Hex())
	if errors.Is(err, store.ErrNotFound) {
		return &wirepb.Granted{}, nil
	}
	return &wirepb.Granted{Epoch: row.Epoch, Serial: row.Serial}, err
}

// searchRequestOf returns the request of mode search that a frame is.
func (s *answerer) searchRequestOf(f *wirepb.Frame) (*request, error) {
	switch {
	case f.GetSearchRequest() != nil:
		return s.searchRequest(f.GetSearchRequest())
	case f.GetSearchKeys() != nil:
		return s.searchKeysRequest(f.GetSearchKeys())
	case f.GetRevealRequest() != nil:
		return s.revealRequest(f.GetRevealRequest())
	case f.GetSearchCancel() != nil:
		m := f.GetSearchCancel()
		return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.cancelSearch(m) }}, nil
	}
	return nil, refuse(CodeMessage, "the peer sent %s, want a request", frameName(f))
}

// searchSigned, searchKeysSigned and revealSigned are what is signed of each
// request.
func searchSigned(agreement [32]byte, m *wirepb.SearchRequest) []byte {
	query := sha256.Sum256(m.Query)
	return signedRequest(kindSearch, agreement, m.Number, beUint32(m.Epoch), m.Search, m.Keys, []byte(m.User), []byte(m.Purpose), []byte(m.Case), query[:])
}

func searchKeysSigned(agreement [32]byte, m *wirepb.SearchKeys) []byte {
	payload := sha256.Sum256(m.Payload)
	return signedRequest(kindSearchKeys, agreement, m.Number, beUint32(m.Epoch), m.Id, beUint64(m.Offset), payload[:])
}

func revealSigned(agreement [32]byte, m *wirepb.RevealRequest) []byte {
	return signedRequest(kindReveal, agreement, m.Number, beUint32(m.Epoch), m.Search, []byte(m.User), []byte(m.Purpose), []byte(m.Case), beUint32(m.Slot))
}

// searchRequest checks the form of a request for a search. What is wrong with
// the query itself is looked at when it has been paid for.
func (s *answerer) searchRequest(m *wirepb.SearchRequest) (*request, error) {
	if len(m.Search) != searchIDSize || len(m.Keys) != sha256.Size {
		return nil, refuse(CodeMessage, "the peer's search and keys have names of %d and %d bytes, want %d and %d", len(m.Search), len(m.Keys), searchIDSize, sha256.Size)
	}
	if err := checkAsker(m.User, m.Purpose, m.Case); err != nil {
		return nil, err
	}
	if err := s.verify(searchSigned(s.a.ID(), m), m.Signature); err != nil {
		return nil, err
	}
	// It can be given up from the moment that it is read.
	ctx, cancel := context.WithCancelCause(s.l.ctx)
	s.mu.Lock()
	if s.searches == nil {
		s.searches = map[uint64]context.CancelCauseFunc{}
	}
	s.searches[m.Number] = cancel
	s.mu.Unlock()
	answer := func() (*wirepb.Frame, error) {
		defer func() {
			s.mu.Lock()
			delete(s.searches, m.Number)
			s.mu.Unlock()
			cancel(nil)
		}()
		return s.search(ctx, m)
	}
	return &request{number: m.Number, answer: answer, mode: psi.ModeSearch, evaluations: s.a.Search.Evaluations}, nil
}

// cancelSearch ends a search that the peer has given up. One that has ended
// needs no more.
func (s *answerer) cancelSearch(m *wirepb.SearchCancel) (*wirepb.Frame, error) {
	s.mu.Lock()
	cancel := s.searches[m.Request]
	s.mu.Unlock()
	if cancel != nil {
		cancel(refuseRequest(CodeCancelled, "the peer gave the search up"))
	}
	return searchAnswer(&wirepb.SearchAnswer{Number: m.Number}), nil
}

func searchAnswer(m *wirepb.SearchAnswer) *wirepb.Frame {
	return &wirepb.Frame{Body: &wirepb.Frame_SearchAnswer{SearchAnswer: m}}
}

// search answers one search: booked and logged first.
func (s *answerer) search(ctx context.Context, m *wirepb.SearchRequest) (*wirepb.Frame, error) {
	query := sha256.Sum256(m.Query)
	e := s.entry(eventSearch)
	e.Mode, e.User, e.Purpose, e.Case = string(psi.ModeSearch), m.User, m.Purpose, m.Case
	e.Epoch, e.Number, e.Key, e.Signature = m.Epoch, m.Number, s.key, m.Signature
	e.Session, e.PeerCommitment, e.Note = hex.EncodeToString(m.Search), hexOf(query), "keys "+hex.EncodeToString(m.Keys)
	count := s.a.Search.Evaluations
	x, keys, err := s.searchIndex(m)
	if err != nil {
		var no refusal
		if errors.As(err, &no) {
			err = s.refusedBudget(e, count, err)
		}
		return nil, err
	}
	defer s.n.done(x)
	serial, _ := s.n.searches.version(x)
	e.Serial = serial
	if err := s.bookSearch(e, m, x, query); err != nil {
		return nil, err
	}
	blocks, err := s.scanFor(ctx, m, x, keys)
	if err != nil {
		return nil, s.searchFailed(e, err)
	}
	err = s.n.Store.Batch(func(tx *store.Tx) error { return tx.EndSearch(e.Session, store.SearchAnswered, nil, s.n.Now()) })
	if err != nil {
		return nil, err
	}
	return searchAnswer(&wirepb.SearchAnswer{Number: m.Number, Blocks: uint32(blocks), Serial: serial}), nil
}

// searchIndex returns the index that a search is for, held, and the peer's keys.
func (s *answerer) searchIndex(m *wirepb.SearchRequest) (*openIndex, *sealed.Keys, error) {
	x, err := s.currentIndex(m.Epoch)
	if err != nil {
		return nil, nil, err
	}
	keys, err := s.n.peerKeys(s.a, m.Epoch, [32]byte(m.Keys))
	if err != nil {
		s.n.done(x)
		return nil, nil, err
	}
	return x, keys, nil
}

// currentIndex returns the index that answers, held, if it is of the epoch.
func (s *answerer) currentIndex(epoch uint32) (*openIndex, error) {
	row, err := s.n.Store.CurrentSearchIndex(s.a.Hex())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, refuseRequest(CodeNotPublished, "there is no index under agreement %.16s", s.a.Hex())
	case err != nil:
		return nil, err
	case row.Epoch != epoch:
		return nil, refuseRequest(CodeEpoch, "epoch %d is not the one that answers", epoch)
	case s.n.Now().After(row.Ends.Add(searchOverlap)):
		return nil, refuseRequest(CodeEpoch, "epoch %d has ended: the index must be made anew", epoch)
	}
	x, err := s.n.hold(s.a)
	if err == nil && x.epoch != epoch {
		s.n.done(x)
		err = refuseRequest(CodeEpoch, "epoch %d is not the one that answers", epoch)
	}
	return x, err
}

// bookSearch charges and stores a search. One that was cut off is charged once,
// however often it is tried again.
func (s *answerer) bookSearch(e audit.Entry, m *wirepb.SearchRequest, x *openIndex, query [32]byte) error {
	known, err := s.n.Store.Search(e.Session)
	switch {
	case errors.Is(err, store.ErrNotFound):
		now := s.n.Now()
		row := store.Search{ID: e.Session, Agreement: s.a.Hex(), Epoch: m.Epoch, Serial: e.Serial, Query: query[:], Threshold: s.a.Search.Threshold,
			User: m.User, Purpose: m.Purpose, Case: m.Case, Created: now, Expires: now.Add(s.a.Retention())}
		return s.book(e, s.a.Search.Evaluations, func(tx *store.Tx) error {
			err := tx.AddSearch(row)
			if errors.Is(err, store.ErrExists) {
				err = refuseRequest(CodeBusy, "search %.16s is being answered", row.ID)
			}
			return err
		})
	case err != nil:
		return err
	case known.Local || known.Agreement != s.a.Hex() || known.Epoch != m.Epoch || string(known.Query) != string(query[:]):
		return refuseRequest(CodeInput, "search %.16s was another one", e.Session)
	}
	e.Outcome = "again"
	return s.book(e, 0, func(tx *store.Tx) error {
		err := tx.RetrySearch(e.Session, e.Serial, maxSearchAttempts)
		if errors.Is(err, store.ErrState) {
			err = refuseRequest(CodeAttempts, "%w", err)
		}
		return err
	})
}

// scanFor runs a search and sends the answer of each block as it comes.
func (s *answerer) scanFor(ctx context.Context, m *wirepb.SearchRequest, x *openIndex, keys *sealed.Keys) (int, error) {
	q, err := keys.ReadQuery(m.Query)
	if err != nil {
		return 0, refuseRequest(CodeMessage, "the peer's query: %w", err)
	}
	blocks := 0
	err = s.n.scan(ctx, x, q, func(msg []byte) error {
		blocks++
		return s.l.send(&wirepb.Frame{Body: &wirepb.Frame_SearchBlock{SearchBlock: &wirepb.SearchBlock{Number: m.Number, Answer: msg}}})
	})
	return blocks, err
}

// searchFailed stores and logs how a search that was charged has ended.
func (s *answerer) searchFailed(e audit.Entry, cause error) error {
	code, _ := codeOf(cause)
	now := s.n.Now()
	count := s.a.Search.Evaluations
	e.Event, e.Outcome, e.PeerItems = eventSearchFailed, string(code), &count
	err := s.n.Store.Batch(func(tx *store.Tx) error {
		if err := tx.EndSearch(e.Session, store.SearchFailed, nil, now); err != nil {
			return err
		}
		return s.n.append(tx, s.a, e)
	})
	s.n.Logger.Warn().Str("search", short(e.Session)).Str("code", string(code)).Str("reason", cause.Error()).Msg("search not answered")
	if err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// searchKeysRequest checks the form of a piece of keys.
func (s *answerer) searchKeysRequest(m *wirepb.SearchKeys) (*request, error) {
	size, err := s.a.Search.Params().KeysSize()
	if err != nil {
		return nil, err
	}
	if len(m.Id) != sha256.Size || m.Offset > uint64(size) || uint64(len(m.Payload)) > uint64(size)-m.Offset {
		return nil, refuse(CodeMessage, "the peer sends %d bytes of keys from %d on under a name of %d bytes; keys have %d bytes", len(m.Payload), m.Offset, len(m.Id), size)
	}
	if err := s.verify(searchKeysSigned(s.a.ID(), m), m.Signature); err != nil {
		return nil, err
	}
	return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.searchKeys(m, size) }}, nil
}

// searchKeys takes a piece of the peer's keys. Pieces come in order, and go on
// where an earlier stream was cut off.
func (s *answerer) searchKeys(m *wirepb.SearchKeys, size int) (*wirepb.Frame, error) {
	x, err := s.currentIndex(m.Epoch)
	if err != nil {
		return nil, err
	}
	defer s.n.done(x)
	unlock, err := s.n.lookups.lock(s.l.ctx, "asker-keys "+s.a.Hex())
	if err != nil {
		return nil, s.l.cause(err)
	}
	defer unlock()
	a := &wirepb.SearchKeysAnswer{Number: m.Number}
	path := s.n.keysPath(s.a, m.Epoch, [32]byte(m.Id))
	if _, err := os.Stat(path); err == nil {
		a.Received, a.Complete = uint64(size), true
	} else if a.Received, err = appendPart(path+partSuffix, m.Offset, m.Payload); err != nil {
		return nil, err
	} else if a.Received == uint64(size) {
		if err := s.takeKeys(m, path); err != nil {
			return nil, err
		}
		a.Complete = true
	}
	return &wirepb.Frame{Body: &wirepb.Frame_SearchKeysAnswer{SearchKeysAnswer: a}}, nil
}

const partSuffix = ".part"

// appendPart adds a piece to a file if it is the next one, and returns the
// file's size.
func appendPart(path string, offset uint64, piece []byte) (uint64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if size := uint64(info.Size()); size != offset || len(piece) == 0 {
		return size, nil
	}
	if _, err := f.WriteAt(piece, int64(offset)); err != nil {
		return 0, err
	}
	return offset + uint64(len(piece)), f.Close()
}

// takeKeys checks keys that are complete and puts them in the place of those
// before.
func (s *answerer) takeKeys(m *wirepb.SearchKeys, path string) error {
	e := s.entry(eventSearchKeys)
	e.Mode, e.Epoch, e.Number, e.Key, e.Signature = string(psi.ModeSearch), m.Epoch, m.Number, s.key, m.Signature
	payload := sha256.Sum256(m.Payload)
	e.Transcript, e.Note = hexOf(payload), fmt.Sprintf("keys %x, signed from byte %d on", m.Id, m.Offset)
	if err := s.n.searches.countKeys(s.a.Hex(), m.Epoch); err != nil {
		return s.refusedBudget(e, 0, errors.Join(err, os.Remove(path+partSuffix)))
	}
	msg, err := os.ReadFile(path + partSuffix)
	if err != nil {
		return err
	}
	k, err := sealed.ReadKeys(s.a.Search.Params(), s.a.scope(m.Epoch), msg)
	if err == nil && k.ID() != [32]byte(m.Id) {
		err = fmt.Errorf("%w: they are not those that were announced", sealed.ErrFormat)
	}
	if err != nil {
		no := refuseRequest(CodeMessage, "the peer's keys: %w", err)
		if err := os.Remove(path + partSuffix); err != nil {
			return err
		}
		return s.refusedBudget(e, 0, no)
	}
	if err := writePrivate(path, msg); err != nil {
		return err
	}
	if err := removeOtherKeys(path); err != nil {
		return err
	}
	commitment := k.Commitment()
	e.PeerCommitment = hexOf(commitment)
	if err := s.n.Store.Batch(func(tx *store.Tx) error { return s.n.append(tx, s.a, e) }); err != nil {
		return err
	}
	s.n.keepKeys(k)
	return nil
}

// removeOtherKeys leaves one set of keys in its directory.
func removeOtherKeys(path string) error {
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), keysPrefix) && f.Name() != filepath.Base(path) {
			if err := os.Remove(filepath.Join(filepath.Dir(path), f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// revealRequest checks the form of a request for a reference.
func (s *answerer) revealRequest(m *wirepb.RevealRequest) (*request, error) {
	if len(m.Search) != searchIDSize {
		return nil, refuse(CodeMessage, "the peer's search has a name of %d bytes, want %d", len(m.Search), searchIDSize)
	}
	if err := checkAsker(m.User, m.Purpose, m.Case); err != nil {
		return nil, err
	}
	if err := s.verify(revealSigned(s.a.ID(), m), m.Signature); err != nil {
		return nil, err
	}
	return &request{number: m.Number, answer: func() (*wirepb.Frame, error) { return s.reveal(m) }}, nil
}

// reveal gives the reference behind a handle. The owner can't know which slots
// have opened, so what bounds the asking is the number for a search; and the
// log, which names the record.
func (s *answerer) reveal(m *wirepb.RevealRequest) (*wirepb.Frame, error) {
	e := s.entry(eventReveal)
	e.Mode, e.User, e.Purpose, e.Case = string(psi.ModeSearch), m.User, m.Purpose, m.Case
	e.Epoch, e.Number, e.Key, e.Signature = m.Epoch, m.Number, s.key, m.Signature
	e.Session, e.Note = hex.EncodeToString(m.Search), fmt.Sprintf("slot %d", m.Slot)
	x, err := s.currentIndex(m.Epoch)
	if err != nil {
		var no refusal
		if errors.As(err, &no) {
			err = s.refusedBudget(e, 0, err)
		}
		return nil, err
	}
	defer s.n.done(x)
	serial, book := s.n.searches.version(x)
	row, err := s.n.Store.Search(e.Session)
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.Local || row.Agreement != s.a.Hex() || row.State != store.SearchAnswered || row.Epoch != m.Epoch) {
		return nil, s.refusedBudget(e, 0, refuseRequest(CodeUnknownSession, "no search %.16s was answered in epoch %d", e.Session, m.Epoch))
	}
	if err != nil {
		return nil, err
	}
	entry, known := bookEntry{}, false
	if i, ok := x.Ordinal(m.Slot); ok && i < len(book.Entries) {
		entry = book.Entries[i]
		// A slot that has changed hands since is not what the search saw; what a
		// version removes that was cut off is still there.
		known = entry.ID != "" && (entry.Gone == 0 || entry.Gone > serial) && entry.Since <= row.Serial
	}
	if known {
		e.References = []string{entry.ID}
	} else {
		e.Outcome = string(CodeNotThere)
	}
	err = s.n.Store.Batch(func(tx *store.Tx) error {
		if _, err := tx.RevealSlot(row.ID, m.Slot, s.a.Search.Reveals); err != nil {
			return err
		}
		return s.n.append(tx, s.a, e)
	})
	if errors.Is(err, store.ErrState) {
		e.References = nil
		return nil, s.refusedBudget(e, 0, refuseRequest(CodeReveals, "%w", err))
	}
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, refuseRequest(CodeNotThere, "slot %d holds no record that was there at the search", m.Slot)
	}
	return &wirepb.Frame{Body: &wirepb.Frame_RevealAnswer{RevealAnswer: &wirepb.RevealAnswer{Number: m.Number,
		Reference: entry.Label.Reference, Contact: cmp.Or(entry.Label.Contact, book.Contact), Text: cmp.Or(entry.Label.Text, book.Text)}}}, nil
}
