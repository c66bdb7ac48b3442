package protocol

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// indexEvery is how often the node itself brings an index up to date.
const indexEvery = 24 * time.Hour

// tendIndex brings an index that an operator has made once up to date, daily and
// at the end of its epoch, and removes it when the agreement has ended.
func (n *Node) tendIndex(ctx context.Context, a *Agreement, state string) error {
	if !a.Allows(psi.ModeSearch) || ctx.Err() != nil {
		return nil
	}
	row, err := n.Store.CurrentSearchIndex(a.Hex())
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, until, err := a.Validity()
	if err != nil {
		return err
	}
	now := n.Now()
	if now.After(until) {
		return n.removeIndex(a, row)
	}
	if state != store.AgreementInForce || n.Source == nil || !n.searches.due(a.Hex(), row, now) {
		return nil
	}
	src, err := n.Source(a.Hex())
	if err != nil {
		n.Logger.Debug().Str("agreement", short(a.Hex())).Msg("no source for the search index: an operator has to bring it up to date")
		return nil
	}
	_, err = n.Index(ctx, IndexRequest{Agreement: a.Hex(), Source: src})
	return err
}

// due reports whether an index is to be looked at, and counts on it.
func (s *searchState) due(agreement string, row store.SearchIndex, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := row.Changed
	if tried := s.tried[agreement]; tried.After(last) {
		last = tried
	}
	ended := !now.Before(row.Ends)
	if now.Sub(last) < indexEvery && !(ended && now.Sub(s.tried[agreement]) > time.Hour) {
		return false
	}
	s.tried[agreement] = now
	return true
}

// removeIndex ends an index for good.
func (n *Node) removeIndex(a *Agreement, row store.SearchIndex) error {
	err := n.Store.Update(func(tx *store.Tx) error { return tx.EndSearchIndexes(a.Hex(), n.Now()) })
	if err != nil {
		return err
	}
	if err := n.searches.retire(a.Hex()); err != nil {
		return err
	}
	if err := os.RemoveAll(n.searchDir(a)); err != nil {
		return fmt.Errorf("removing index %d: %w", row.Epoch, err)
	}
	return nil
}
