package protocol

import (
	"context"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/psi"
)

// Source is where a node's records for an agreement come from.
type Source struct {
	// Compartment must be the agreement's.
	Compartment string
	// ReferenceID labels a record with its id instead of its source reference.
	ReferenceID bool
	// Contact and Text stand in the label of a lookup, beside the reference, where
	// the record has none of its own.
	Contact, Text string
	Records       *records.Source
	Read          records.ReadOptions
	// Report, if set, hears what reading found.
	Report func(*records.Report)
}

// input is one side's records for a session: the distinct match keys, what they
// belong to, and their sizes after padding.
type input struct {
	index         *records.Index
	referenceID   bool
	items, labels int64 // padded
}

// label returns what the peer sees of a record for a hit.
func (in *input) label(record uint32) string {
	if ref := in.index.SourceRef(record); ref != "" && !in.referenceID {
		return ref
	}
	return in.index.ID(record)
}

// readIndex reads the keys of a source by rules of the agreement.
func readIndex(ctx context.Context, src Source, a *Agreement, rules *records.RuleSet) (*records.Index, error) {
	if src.Compartment != a.Compartment {
		return nil, refuse(CodeRefused, "source %s is of compartment %q, the agreement of %q", src.Records.Name(), src.Compartment, a.Compartment)
	}
	deriver, err := records.NewDeriver(rules, a.Normalisation)
	if err != nil {
		return nil, refuse(CodeRules, "%w", err)
	}
	index, report, err := records.BuildIndex(ctx, src.Records, deriver, src.Read)
	if err != nil {
		return nil, refuse(CodeRefused, "%w", err)
	}
	if src.Report != nil {
		src.Report(report)
	}
	if index.Records() < a.Caps.MinRecords {
		return nil, refuse(CodeRefused, "source %s has %d records, the agreement wants at least %d", src.Records.Name(), index.Records(), a.Caps.MinRecords)
	}
	return index, nil
}

// loadInput reads the source and checks it against the agreement.
func loadInput(ctx context.Context, src Source, a *Agreement, mode psi.Mode) (*input, error) {
	index, err := readIndex(ctx, src, a, a.rulesOf(mode))
	if err != nil {
		return nil, err
	}
	in := &input{index: index, referenceID: src.ReferenceID}
	if in.items, err = a.Padding.Size(int64(index.Len()), a.Caps.ItemsPerSession); err != nil {
		return nil, refuse(CodeBudget, "source %s: %w", src.Records.Name(), err)
	}
	if a.Labels != nil && mode != psi.ModeCardinality {
		if in.labels, err = a.Padding.Size(int64(index.Records()), a.Caps.ItemsPerSession); err != nil {
			return nil, refuse(CodeBudget, "source %s: its records: %w", src.Records.Name(), err)
		}
	}
	return in, nil
}

// Domains of the streams that a session draws from its seed.
const (
	streamCommit  = "symbolon/v1/commit"
	streamPadding = "symbolon/v1/padding"
	streamEngine  = "symbolon/v1/engine"
	streamLabels  = "symbolon/v1/labels"
	streamTable   = "symbolon/v1/label-table"
	streamRows    = "symbolon/v1/label-rows"
)

// seedSize is the length of a session's seed in bytes.
const seedSize = 32

// newSeed draws a session's seed.
func newSeed(r io.Reader) ([]byte, error) {
	seed := make([]byte, seedSize)
	if _, err := io.ReadFull(r, seed); err != nil {
		return nil, fmt.Errorf("drawing the session's seed: %w", err)
	}
	return seed, nil
}

// itemize hashes the keys for the session and pads them. Padding items are
// random, so they match nothing, and come from the seed, so that every attempt
// runs over the same items.
func (in *input) itemize(session [32]byte, seed []byte) ([]psi.Item, error) {
	items := make([]psi.Item, in.items)
	h := psi.NewItemHasher(session)
	for i := range in.index.Len() {
		key := in.index.Key(i)
		items[i] = h.Item(key.Rule, key.Value)
	}
	r := psi.NewStream(seed, streamPadding)
	for i := in.index.Len(); i < len(items); i++ {
		if _, err := io.ReadFull(r, items[i][:]); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// commitment returns the commitment to items under the seed's key.
func commitment(seed []byte, items []psi.Item) ([32]byte, error) {
	var k [32]byte
	if _, err := io.ReadFull(psi.NewStream(seed, streamCommit), k[:]); err != nil {
		return k, err
	}
	return Commit(k[:], items), nil
}
