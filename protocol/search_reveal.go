package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// handleName is how an operator names a slot that a search has opened.
func handleName(search string, slot uint32) string {
	return fmt.Sprintf("%s-%d", short(search), slot)
}

// HandleNames returns the handles of a search's slots.
func HandleNames(search string, slots []uint32) []string {
	out := make([]string, 0, len(slots))
	for _, slot := range slots {
		out = append(out, handleName(search, slot))
	}
	return out
}

// parseHandle reads a handle.
func parseHandle(handle string) (search string, slot uint32, err error) {
	search, number, ok := strings.Cut(handle, "-")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || len(search) < 4 {
		return "", 0, refuse(CodeInput, "the handle is not one that a search has given: want SEARCH-SLOT")
	}
	return search, uint32(n), nil
}

// HandleSearch returns the search that has given a handle, and the slot.
func (n *Node) HandleSearch(handle string) (store.Search, uint32, error) {
	prefix, slot, err := parseHandle(handle)
	if err != nil {
		return store.Search{}, 0, err
	}
	row, err := n.Store.FindSearch(prefix)
	if err != nil {
		return row, 0, err
	}
	if !row.Local || !slices.Contains(row.Slots, slot) {
		return row, 0, refuse(CodeInput, "search %.16s has opened no slot %d", row.ID, slot)
	}
	return row, slot, nil
}

// Revealed is what the peer says of a record behind a handle.
type Revealed struct {
	Handle    string `json:"handle"`
	Search    string `json:"search"`
	Local     string `json:"id"`
	Reference string `json:"peer_reference"`
	Contact   string `json:"contact,omitempty"`
	Text      string `json:"text,omitempty"`
}

// maxReference bounds each part of what the peer says of a record, in bytes.
const maxReference = 1024

// Reveal asks for the reference behind a handle. By that the peer learns of the
// hit; both sides log it.
func (s *Searches) Reveal(ctx context.Context, handle string) (*Revealed, error) {
	n, a := s.n, s.a
	r, _ := s.current()
	row, slot, err := n.HandleSearch(handle)
	if err != nil {
		return nil, err
	}
	if row.Agreement != a.Hex() {
		return nil, refuse(CodeInput, "search %.16s was under agreement %.16s", row.ID, row.Agreement)
	}
	id, err := hex.DecodeString(row.ID)
	if err != nil {
		return nil, err
	}
	e := auditOf(eventRevealAsked, s.req.User)
	e.Role, e.Mode, e.Purpose, e.Case = string(psi.RoleReceiver), string(psi.ModeSearch), s.req.Purpose, s.req.Case
	e.Session, e.Epoch, e.References, e.Note = row.ID, row.Epoch, []string{row.LocalID}, fmt.Sprintf("slot %d", slot)
	if err := n.Store.Batch(func(tx *store.Tx) error { return n.append(tx, a, e) }); err != nil {
		return nil, err
	}
	out, err := s.askReveal(ctx, r, id, row.Epoch, slot)
	e.Event = eventRevealed
	if err != nil {
		err = r.blame(err)
		code, _ := codeOf(err)
		e.Outcome = string(code)
	}
	stored := n.Store.Batch(func(tx *store.Tx) error {
		if err == nil {
			if _, err := tx.RevealSlot(row.ID, slot, len(row.Slots)); err != nil {
				return err
			}
		}
		return n.append(tx, a, e)
	})
	if err := errors.Join(err, stored); err != nil {
		return nil, err
	}
	return &Revealed{Handle: handleName(row.ID, slot), Search: row.ID, Local: row.LocalID,
		Reference: out.Reference, Contact: out.Contact, Text: out.Text}, nil
}

func (s *Searches) askReveal(ctx context.Context, r *requester, id []byte, epoch, slot uint32) (*wirepb.RevealAnswer, error) {
	f, err := r.call(ctx, r.l.timeouts.Handshake, func(number uint64) *wirepb.Frame {
		m := &wirepb.RevealRequest{Number: number, Epoch: epoch, Search: id, Slot: slot,
			User: s.req.User.Name(), Purpose: s.req.Purpose, Case: s.req.Case}
		m.Signature = r.sign(revealSigned(r.a.ID(), m))
		return &wirepb.Frame{Body: &wirepb.Frame_RevealRequest{RevealRequest: m}}
	})
	if err != nil {
		return nil, err
	}
	m := f.GetRevealAnswer()
	if m == nil {
		return nil, refuse(CodeMessage, "the peer sent %s, want RevealAnswer", frameName(f))
	}
	for _, text := range []string{m.Reference, m.Contact, m.Text} {
		if len(text) > maxReference || !utf8.ValidString(text) {
			return nil, refuse(CodeMessage, "the peer's answer has a text of %d bytes, want at most %d in UTF-8", len(text), maxReference)
		}
	}
	return m, nil
}
