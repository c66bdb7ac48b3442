package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/symbolon/symbolon/protocol"
)

// hostileReferences are texts by which a peer might attack a reader, and what
// CSV shows instead.
var hostileReferences = map[string]string{
	"=HYPERLINK(\"x\")":  "'=HYPERLINK(\"x\")",
	"+1":                 "'+1",
	"-1":                 "'-1",
	"@SUM":               "'@SUM",
	"\t=1":               "\ufffd=1",
	"a\x1b[2Jb":          "a\ufffd[2Jb",
	"line\nbreak":        "line\ufffdbreak",
	"\xff\xfe":           "\ufffd",
	"a \u202e b":         "a \ufffd b",
	"\u009b2J\U000e0041": "\ufffd2J\ufffd",
	"plain, \"quoted\"":  "plain, \"quoted\"",
	"":                   "",
}

func TestResultsCSV(t *testing.T) {
	t.Parallel()
	for sent, want := range hostileReferences {
		v := resultsView{Hits: []protocol.Hit{{ID: "1", Rules: []string{"a", "b"}, Reference: sent, Flags: []string{"f"}, Bits: 7.5}}}
		var b bytes.Buffer
		if err := v.writeCSV(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%q: %d rows, %v", sent, len(rows), err)
		}
		if got := strings.Join(rows[1], "|"); got != "1|a b|"+want+"|f|7.5|"+noticeCell {
			t.Errorf("%q is shown as %q", sent, got)
		}
		b.Reset()
		v.writeText(&b)
		if strings.ContainsAny(b.String(), "\x1b\t") || !strings.Contains(b.String(), notice) {
			t.Errorf("%q is shown on a terminal as %q", sent, b.String())
		}
	}
}

func TestResultsJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := resultsView{Notice: notice, Hits: []protocol.Hit{{ID: "1", Rules: []string{"a"}, Reference: "=<x>"}}}
	if err := v.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back resultsView
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Notice != notice || back.Hits[0].Reference != "=<x>" {
		t.Errorf("got %+v, %v", back, err)
	}
}

// What a peer writes into a label does nothing to a reader of a lookup, in any
// form.
func TestLookupOutput(t *testing.T) {
	t.Parallel()
	for sent, want := range hostileReferences {
		hit := protocol.LookupHit{Rules: []string{"a"}, Reference: sent, Contact: sent, Text: sent}
		v := &lookupView{Complete: true}
		v.add(&protocol.LookupResult{ID: "1", Hits: []protocol.LookupHit{hit}}, true)
		var b bytes.Buffer
		if err := v.writeCSV(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 || strings.Join(rows[1], "|") != "1|a|"+want+"|"+want+"|"+want+"||"+noticeCell {
			t.Errorf("%q is shown as %q, %v", sent, rows, err)
		}
		for name, write := range map[string]func(io.Writer){
			"one": v.writeOne, "all": v.writeAll,
			"standing": func(w io.Writer) {
				writeStandingHits(w, viewStandingHits([]protocol.StandingHit{{ID: "1", LookupHit: hit}}))
			},
			"json": func(w io.Writer) { _ = (&App{json: true, stdout: w}).print(v, nil) },
		} {
			b.Reset()
			write(&b)
			for _, r := range b.String() {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%s: %q is shown on a terminal as %q", name, sent, b.String())
				}
			}
		}
		var back lookupView // of the JSON
		b.Reset()
		if err := encodeJSON(&b, v); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Results[0].Hits[0].Text != strings.ToValidUTF8(sent, "\ufffd\ufffd") {
			t.Errorf("%q comes back from JSON as %+v, %v", sent, back.Results, err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := writeNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := writeNew(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of the name: %v", err)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "one" {
		t.Errorf("the file holds %q", raw)
	}
	if err := writeFile(path, []byte("three"), true); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path+".link", []byte("four"), true); err == nil {
		t.Error("a link was replaced")
	}
	if err := writeNew(filepath.Join(dir, "no", "out"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("%d files are left, want 2", len(entries))
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		done, total int
		spent       time.Duration
		want        string
	}{
		{0, 0, 0, "s"},
		{5, 0, 0, "s: 5 items"},
		{5, 10, 0, "s: 5 of 10 items, 50 %"},
		{5, 10, 4 * time.Second, "s: 5 of 10 items, 50 %, 4s left"},
		{10, 10, 4 * time.Second, "s: 10 of 10 items, 100 %"},
	} {
		if got := progressLine("s", row.done, row.total, row.spent); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
	var b bytes.Buffer
	p := (&App{stderr: &b}).newProgress()
	p.update("s", 1, 2)
	p.done()
	if b.Len() > 0 {
		t.Errorf("without a terminal it wrote %q", b.String())
	}
	p = (&App{stderr: &b, terminal: true}).newProgress()
	p.update("s", 1, 2)
	p.update("s", 1, 2) // too soon
	p.session(protocol.Progress{Stage: "s", Done: 2, Total: 2, Bytes: 2_500_000})
	p.done()
	p.done()
	if n := strings.Count(b.String(), "\r"); n != 3 || !strings.Contains(b.String(), "2.5 MB on the wire") || !strings.HasSuffix(b.String(), "\r\x1b[K") {
		t.Errorf("on a terminal it wrote %q", b.String())
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]string{
		"word": "word", "word\n": "word", "word\r\n": "word", " two words \n\n": " two words \n",
		"": "", "\n": "", strings.Repeat("x", maxPassphrase+1): "",
	} {
		path := filepath.Join(dir, "pass")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := (&App{}).passphrase(passphraseSource{what: "passphrase", file: path})
		if want == "" {
			if exitCode(err) != exitUsage || strings.Contains(err.Error(), "xx") {
				t.Errorf("%.20q: %v", text, err)
			}
		} else if err != nil || string(got.Expose()) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestResultsOneToOne(t *testing.T) {
	t.Parallel()
	hit := func(id, reference string, bits float64) protocol.Hit {
		return protocol.Hit{ID: id, Reference: reference, Bits: bits}
	}
	hits := []protocol.Hit{hit("a", "X", 10), hit("a", "Y", 30), hit("b", "X", 20), hit("b", "Y", 40), hit("c", "X", 20), hit("d", "", 5), hit("d", "", 3), hit("e", "", 1)}
	v := resultsView{Hits: slices.Clone(hits)}
	v.arrange(false)
	if len(v.Hits) != len(hits) || v.LeftOut != 0 || v.Hits[0].Bits != 40 || v.Hits[7].Bits != 1 {
		t.Errorf("arranged as %v", v.Hits)
	}
	v = resultsView{Hits: slices.Clone(hits)}
	v.arrange(true)
	var got []string
	for _, h := range v.Hits {
		got = append(got, h.ID+h.Reference)
	}
	// b takes Y, so a is left with X, which c has for more.
	if g := strings.Join(got, " "); g != "bY cX d e" || v.LeftOut != 4 {
		t.Errorf("one-to-one keeps %q and leaves out %d", g, v.LeftOut)
	}
	if !strings.Contains(v.count(), "4 hits, one for each record; 4 others") {
		t.Errorf("counted as %q", v.count())
	}
}
