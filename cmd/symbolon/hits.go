package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol"
)

// notice stands in everything that shows hits.
const notice = "A hit is a lead, not an identification: check it against the records of both agencies."

// noticeCell is its short form. It is a column of its own in CSV, because a
// comment line breaks readers, and a row that is copied elsewhere keeps it.
const noticeCell = "lead, not an identification"

// The formats of results.
const (
	formatCSV  = "csv"
	formatJSON = "json"
)

// resultFormat decides by flag, then by the file's extension.
func resultFormat(flag, path string) (string, error) {
	switch {
	case flag == formatCSV || flag == formatJSON:
		return flag, nil
	case flag != "":
		return "", usagef("format %q is unknown, want csv or json", flag)
	case strings.EqualFold(filepath.Ext(path), ".json"):
		return formatJSON, nil
	}
	return formatCSV, nil
}

// resultsView is a session's hits.
type resultsView struct {
	Notice    string         `json:"notice"`
	Session   string         `json:"session"`
	Agreement string         `json:"agreement"`
	Peer      string         `json:"peer"`
	Mode      string         `json:"mode"`
	Count     int64          `json:"shared_keys"`
	Hits      []protocol.Hit `json:"hits"`
	// LeftOut counts the hits that one-to-one has taken away.
	LeftOut int `json:"left_out,omitempty"`
}

// results reads the stored hits of a finished session.
func (a *App) results(row store.Session) (*resultsView, error) {
	hits, err := a.store.Results(row.ID)
	if err != nil {
		return nil, err
	}
	peer, err := a.store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return nil, err
	}
	v := &resultsView{Notice: notice, Session: row.ID, Agreement: row.Agreement, Peer: peer.Name, Mode: row.Mode, Count: row.Count, Hits: []protocol.Hit{}}
	for _, h := range hits {
		v.Hits = append(v.Hits, protocol.Hit{ID: h.LocalID, Rules: h.Rules, Reference: string(h.PeerReference), Flags: h.Flags, Bits: h.Bits})
	}
	return v, nil
}

// writeFile writes the results to a new file.
func (v *resultsView) writeFile(path, format string, force bool) error {
	var b bytes.Buffer
	var err error
	if format == formatJSON {
		err = v.writeJSON(&b)
	} else {
		err = v.writeCSV(&b)
	}
	if err != nil {
		return err
	}
	return writeFile(path, b.Bytes(), force)
}

func (v *resultsView) writeJSON(w io.Writer) error {
	return encodeJSON(w, v)
}

func (v *resultsView) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"id", "rules", "peer_reference", "flags", "bits", "notice"})
	for _, h := range v.Hits {
		_ = c.Write([]string{h.ID, strings.Join(h.Rules, " "), inert(h.Reference), strings.Join(h.Flags, " "), bitsOf(h), noticeCell})
	}
	c.Flush()
	return c.Error()
}

// arrange puts first what says most, so that it is reviewed first; equal hits
// stay in the order of ids. One-to-one then keeps of each record, ours by its id
// and the peer's by its reference, only the first hit: of two that say equally
// much, that of the lower id. The store keeps all.
func (v *resultsView) arrange(oneToOne bool) {
	slices.SortStableFunc(v.Hits, func(x, y protocol.Hit) int { return cmp.Compare(y.Bits, x.Bits) })
	if !oneToOne {
		return
	}
	ours, theirs := map[string]bool{}, map[string]bool{}
	kept := make([]protocol.Hit, 0, len(v.Hits))
	for _, h := range v.Hits {
		if ours[h.ID] || h.Reference != "" && theirs[h.Reference] {
			continue
		}
		ours[h.ID], theirs[h.Reference] = true, true
		kept = append(kept, h)
	}
	v.LeftOut = len(v.Hits) - len(kept)
	v.Hits = kept
}

// count says how many hits there are.
func (v *resultsView) count() string {
	if v.LeftOut == 0 {
		return fmt.Sprintf("%d hits", len(v.Hits))
	}
	return fmt.Sprintf("%d hits, one for each record; %d others are stored", len(v.Hits), v.LeftOut)
}

// bitsOf formats the agreement weight of a hit.
func bitsOf(h protocol.Hit) string { return strconv.FormatFloat(h.Bits, 'f', 1, 64) }

// inert makes a text that the peer chose harmless: what does not print is
// replaced, and a leading character by which a spreadsheet would take it for a
// formula gets an apostrophe before it. The JSON form holds it as it came.
func inert(s string) string {
	s = clean(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// writeText shows the hits to a person.
func (v *resultsView) writeText(w io.Writer) {
	if len(v.Hits) > 0 {
		var rows [][]string
		for _, h := range v.Hits {
			rows = append(rows, []string{clean(h.ID), strings.Join(h.Rules, " "), clean(h.Reference), strings.Join(h.Flags, " "), bitsOf(h)})
		}
		table(w, []string{"ID", "RULES", "PEER REFERENCE", "FLAGS", "BITS"}, rows)
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, notice)
}
