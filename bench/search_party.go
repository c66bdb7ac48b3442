package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/protocol"
)

// searchColumns are those of a population that a search goes by: one name, so
// that a record has one slot.
var searchColumns = []string{"id", "primary_name", "date_of_birth", "source_ref"}

// writeData writes the owner's people, and those searched for as the asker
// writes them. A record's reference is its id.
func (r *searchRun) writeData(ctx context.Context) error {
	// As many on either side, of whom the asker picks some: a population of few
	// has their relatives over and over.
	size := max(r.Records, r.Queries)
	p, err := NewPopulation(PopulationConfig{Seed: r.Seed, SizeA: size, SizeB: r.Records, Shared: r.Records / 2})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		side Side
		rows int
	}{{fileOwner, SideB, r.Records}, {fileQueries, SideA, r.Queries}} {
		if err := writeColumns(ctx, r.path(f.name), p.Rows(f.side), f.rows); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	r.truth = map[string]string{}
	for pair := range p.Truth() {
		r.truth[pair.A] = pair.B
	}
	return nil
}

// writeColumns writes the first rows of a register.
func writeColumns(ctx context.Context, path string, rows iter.Seq[[]string], most int) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	_ = w.Write(searchColumns) // an error is the writer's to keep
	id, name, birth := slices.Index(Header, "id"), slices.Index(Header, "primary_name"), slices.Index(Header, "date_of_birth")
	for row := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if most--; most < 0 {
			break
		}
		_ = w.Write([]string{row[id], row[name], row[birth], row[id]})
	}
	w.Flush()
	return w.Error()
}

// inTheClear compares the sketches of all pairs: of each person searched for,
// the references of the owner's records that resemble, in order.
func (r *searchRun) inTheClear() (map[string][]string, error) {
	table := sketch.NewTable(sketch.Params{Groups: r.report.Groups, Symbols: r.report.Symbols, Threshold: r.report.Threshold})
	var references []string
	sketched := func(path string, role sketch.Role, fn func(id string, symbols []uint8)) error {
		s, err := r.agreement.Sketcher(1, role)
		if err != nil {
			return err
		}
		var forms []sketch.Form
		return eachRecord(path, func(rec *records.Record) error {
			if forms = s.Append(forms[:0], rec); len(forms) > 0 {
				fn(rec.ID, forms[0].Symbols)
			}
			return nil
		})
	}
	err := sketched(r.path(fileOwner), sketch.Owner, func(id string, symbols []uint8) {
		table.Add(symbols)
		references = append(references, id)
	})
	if err != nil {
		return nil, err
	}
	want := map[string][]string{}
	err = sketched(r.path(fileQueries), sketch.Query, func(id string, symbols []uint8) {
		hits := []string{}
		for _, slot := range table.AtLeast(nil, symbols, r.report.Threshold) {
			hits = append(hits, references[slot])
		}
		slices.Sort(hits)
		want[id] = hits
	})
	return want, err
}

// index makes the index of a file.
func (n *lookupNode) index(r *lookupReply, c lookupCall) error {
	src, err := records.Open(c.Text, nil)
	if err != nil {
		return err
	}
	x, err := n.node.Index(n.ctx, protocol.IndexRequest{Agreement: n.agreement, User: n.user, Form: c.Form,
		Source: protocol.Source{Compartment: benchCompartment, Records: src}})
	if err != nil {
		return err
	}
	r.Bytes, r.Keys, r.Text = x.Bytes, int64(x.Capacity), x.Form
	return nil
}

// searchingNode is what an asker holds open.
type searchingNode struct {
	stream *protocol.Searches
	people []*records.Record

	mu      sync.Mutex
	results []*protocol.SearchResult // not revealed yet
}

func (s *searchingNode) open(n *lookupNode, path string) (err error) {
	if s.people, err = people(path); err != nil {
		return err
	}
	s.stream, err = n.node.OpenSearches(n.ctx, protocol.SearchRequest{Agreement: n.agreement, User: n.user, Purpose: "measuring", Case: "1"})
	return err
}

func (s *searchingNode) shut() error {
	if s.stream == nil {
		return nil
	}
	err := s.stream.Close()
	s.stream = nil
	return err
}

// search searches for people, so many at a time.
func (s *searchingNode) search(ctx context.Context, r *lookupReply, c lookupCall) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Streams))
	for i := range c.Count {
		g.Go(func() error {
			began := time.Now()
			res, err := s.stream.Search(ctx, protocol.SearchQuery{Record: s.people[i%len(s.people)]})
			if err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.results = append(s.results, res)
			r.Latencies = append(r.Latencies, milliseconds(time.Since(began)))
			return nil
		})
	}
	return g.Wait()
}

// reveal asks for the references of all handles since the last time.
func (s *searchingNode) reveal(ctx context.Context, r *lookupReply) error {
	r.Answers = map[string][]string{}
	for _, res := range s.results {
		hits := []string{}
		for _, h := range res.Handles {
			v, err := s.stream.Reveal(ctx, h)
			if err != nil {
				return err
			}
			hits = append(hits, v.Reference)
		}
		slices.Sort(hits)
		r.Answers[res.Local] = hits
	}
	s.results = nil
	return nil
}
