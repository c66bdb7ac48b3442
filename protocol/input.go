package protocol

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/parallel"
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

// readIndex reads the keys of a source by rules of the agreement, on the node's
// workers.
func (n *Node) readIndex(ctx context.Context, src Source, a *Agreement, rules *records.RuleSet) (*records.Index, error) {
	if src.Compartment != a.Compartment {
		return nil, refuse(CodeRefused, "source %s is of compartment %q, the agreement of %q", src.Records.Name(), src.Compartment, a.Compartment)
	}
	deriver, err := records.NewDeriver(rules, a.Normalisation)
	if err != nil {
		return nil, refuse(CodeRules, "%w", err)
	}
	read := src.Read
	read.Workers = cmp.Or(read.Workers, n.Workers)
	index, report, err := records.BuildIndex(ctx, src.Records, deriver, read)
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
func (n *Node) loadInput(ctx context.Context, src Source, a *Agreement, mode psi.Mode) (*input, error) {
	index, err := n.readIndex(ctx, src, a, a.rulesOf(mode))
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

// hashBatch is the number of keys or items that a worker hashes at a time.
const hashBatch = 4096

// itemize hashes the keys for the session and pads them. Padding items are
// random, so they match nothing, and come from the seed, so that every attempt
// runs over the same items.
func (in *input) itemize(ctx context.Context, workers int, session [32]byte, seed []byte) ([]psi.Item, error) {
	items := make([]psi.Item, in.items)
	hasher := psi.NewItemHasher(session)
	err := parallel.Ranges(ctx, workers, in.index.Len(), hashBatch, func(lo, hi int) error {
		h := hasher.Clone()
		for i := lo; i < hi; i++ {
			key := in.index.Key(i)
			items[i] = h.Item(key.Rule, key.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
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
func commitment(ctx context.Context, workers int, seed []byte, items []psi.Item) (root [32]byte, err error) {
	var k [32]byte
	if _, err := io.ReadFull(psi.NewStream(seed, streamCommit), k[:]); err != nil {
		return root, err
	}
	// Whole subtrees are the leaves of the tree above them.
	subtrees := make([][32]byte, (len(items)+hashBatch-1)/hashBatch)
	err = parallel.Ranges(ctx, workers, len(items), hashBatch, func(lo, hi int) error {
		subtrees[lo/hashBatch] = Commit(k[:], items[lo:hi])
		return nil
	})
	return merkleRoot(len(subtrees), func(i int) [32]byte { return subtrees[i] }), err
}
