package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/protocol"
)

// noHit is the sentence that goes with an answer without a hit.
const noHit = "No hit is no proof that a person is unknown there: records differ, and the agreement's rules find most, not all."

// lookupView is what came of one lookup or of a list of them. Results holds
// each person with a hit, and the one person of a single lookup in any case.
type lookupView struct {
	Notice     string `json:"notice"`
	Agreement  string `json:"agreement"`
	Peer       string `json:"peer"`
	Epoch      uint32 `json:"epoch"`
	Serial     uint64 `json:"serial"`
	ValidUntil string `json:"valid_until"`
	// Fetched says that the filter had to be fetched first.
	Fetched bool `json:"fetched"`
	// Complete is false if a list was not asked to its end.
	Complete    bool               `json:"complete"`
	Records     int64              `json:"records"`
	WithHits    int64              `json:"with_hits"`
	NoKeys      int64              `json:"no_keys"`
	Evaluations int64              `json:"evaluations"` // after padding, as the peer counts
	Results     []lookupResultView `json:"results"`
	Sent        protocol.Traffic   `json:"sent"`
	Got         protocol.Traffic   `json:"got"`
	Seconds     float64            `json:"seconds"`
	Out         string             `json:"out,omitempty"`
	Input       *records.Report    `json:"input,omitempty"`
}

// lookupResultView is one person looked up.
type lookupResultView struct {
	ID string `json:"id"`
	// Keys are the match keys asked for; Cut says that the person has more than
	// the rules allow for one record.
	Keys        int             `json:"keys"`
	Cut         bool            `json:"cut,omitempty"`
	Evaluations int             `json:"evaluations"`
	Epoch       uint32          `json:"epoch"`
	Serial      uint64          `json:"serial"`
	Seconds     float64         `json:"seconds"`
	Hits        []lookupHitView `json:"hits"`
}

// lookupHitView is a record of the peer's.
type lookupHitView struct {
	Rules     []string `json:"rules"`
	Reference string   `json:"peer_reference"`
	Contact   string   `json:"contact,omitempty"`
	Text      string   `json:"text,omitempty"`
	Flags     []string `json:"flags,omitempty"`
}

func viewHits(hits []protocol.LookupHit) []lookupHitView {
	out := make([]lookupHitView, 0, len(hits))
	for _, h := range hits {
		out = append(out, lookupHitView{h.Rules, h.Reference, h.Contact, h.Text, h.Flags})
	}
	return out
}

// add counts a result, and keeps it if it has a hit or is wanted anyway.
func (v *lookupView) add(r *protocol.LookupResult, keep bool) {
	v.Records++
	v.Evaluations += int64(r.Evaluations)
	if r.NoKeys {
		v.NoKeys++
	}
	if len(r.Hits) > 0 {
		v.WithHits++
	}
	if len(r.Hits) == 0 && !keep {
		return
	}
	if r.Epoch > 0 { // it may have changed on the way
		v.Epoch, v.Serial = r.Epoch, r.Serial
	}
	v.Results = append(v.Results, lookupResultView{ID: r.ID, Keys: r.Keys, Cut: r.Cut, Evaluations: r.Evaluations,
		Epoch: r.Epoch, Serial: r.Serial, Seconds: r.Seconds, Hits: viewHits(r.Hits)})
}

// writeFile writes the hits to a new file.
func (v *lookupView) writeFile(path, format string, force bool) error {
	var b bytes.Buffer
	if format == formatJSON {
		if err := encodeJSON(&b, v); err != nil {
			return err
		}
	} else if err := v.writeCSV(&b); err != nil {
		return err
	}
	return writeFile(path, b.Bytes(), force)
}

func (v *lookupView) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"id", "rules", "peer_reference", "contact", "text", "flags", "notice"})
	for _, r := range v.Results {
		for _, h := range r.Hits {
			_ = c.Write([]string{r.ID, strings.Join(h.Rules, " "), inert(h.Reference), inert(h.Contact), inert(h.Text),
				strings.Join(h.Flags, " "), noticeCell})
		}
	}
	c.Flush()
	return c.Error()
}

// writeOne tells a person what is known of one person.
func (v *lookupView) writeOne(w io.Writer) {
	r := v.Results[0]
	switch n := len(r.Hits); n {
	case 0:
		fmt.Fprintf(w, "No hit: %s holds none of this person's %s.\n", v.Peer, plural(r.Keys, "match key"))
	default:
		fmt.Fprintf(w, "Hit: %s has %s that agrees with this person.\n\n", v.Peer, plural(n, "record"))
		hitTable(w, nil, v.Results)
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Asked in %.0f ms, %s charged; filter %d of epoch %d.\n", 1e3*r.Seconds, plural(r.Evaluations, "evaluation"), v.Serial, v.Epoch)
	if r.Cut {
		fmt.Fprintln(w, "This person has more match keys than the agreement allows for one; not all were asked for.")
	}
	v.writeEnd(w, len(r.Hits) == 0)
}

// writeAll tells a person what came of a list.
func (v *lookupView) writeAll(w io.Writer) {
	fmt.Fprintf(w, "%s looked up with %s; %s known there. Filter %d of epoch %d\n", plural(int(v.Records), "person", "people"), v.Peer,
		plural(int(v.WithHits), "is", "are"), v.Serial, v.Epoch)
	if v.Input != nil {
		fmt.Fprintf(w, "Read: %s\n", v.Input)
	}
	if v.NoKeys > 0 {
		fmt.Fprintf(w, "%s not asked for: no rule can use what is known of them\n", plural(int(v.NoKeys), "was", "were"))
	}
	fmt.Fprintf(w, "Charged: %s. Wire: %d bytes sent, %d received, %.1f s\n", plural(int(v.Evaluations), "evaluation"), v.Sent.Bytes, v.Got.Bytes, v.Seconds)
	if !v.Complete {
		fmt.Fprintln(w, "The list was not finished: these are the answers that came.")
	}
	switch {
	case v.Out != "":
		fmt.Fprintf(w, "Wrote %s\n", v.Out)
	case v.WithHits > 0:
		fmt.Fprintln(w)
		hitTable(w, []string{"ID"}, v.Results)
		fmt.Fprintln(w)
	}
	v.writeEnd(w, v.WithHits == 0)
}

func (v *lookupView) writeEnd(w io.Writer, none bool) {
	if none {
		fmt.Fprintln(w, noHit)
		return
	}
	fmt.Fprintln(w, notice)
}

// hitTable shows hits, with the ids of our records if the header starts so.
func hitTable(w io.Writer, header []string, results []lookupResultView) {
	var rows [][]string
	for _, r := range results {
		for _, h := range r.Hits {
			cells := []string{strings.Join(h.Rules, " "), clean(h.Reference), clean(h.Contact), clean(h.Text), strings.Join(h.Flags, " ")}
			if len(header) > 0 {
				cells = append([]string{clean(r.ID)}, cells...)
			}
			rows = append(rows, cells)
		}
	}
	compact(w, append(header, "RULES", "PEER REFERENCE", "CONTACT", "TEXT", "FLAGS"), rows)
}

// compact is table without the columns that are empty.
func compact(w io.Writer, header []string, rows [][]string) {
	var kept []int
	for i := range header {
		for _, r := range rows {
			if r[i] != "" {
				kept = append(kept, i)
				break
			}
		}
	}
	pick := func(cells []string) []string {
		var out []string
		for _, i := range kept {
			out = append(out, cells[i])
		}
		return out
	}
	short := make([][]string, len(rows))
	for i, r := range rows {
		short[i] = pick(r)
	}
	table(w, pick(header), short)
}

// plural counts something: 1 hit, 2 hits; 1 is, 2 are.
func plural(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}
