package volepsi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

var update = flag.Bool("update", false, "rewrite golden files")

// vectorMessage stands for one message of a transcript.
type vectorMessage struct {
	From   psi.Role `json:"from"`
	Kind   uint8    `json:"kind"`
	Length int      `json:"length"`
	SHA256 string   `json:"sha256"`
}

// TestTranscriptVector compares the messages of two runs with those on file, on
// every machine and with every kernel: two programs that differ in one bit of
// the code or the store would find no hits.
func TestTranscriptVector(t *testing.T) {
	t.Parallel()
	got := map[psi.Security][]vectorMessage{}
	for _, security := range []psi.Security{psi.Malicious, psi.SemiHonest} {
		ys, xs := numbered(1, 0, 700), numbered(2, 200, 800)
		s, r := newPair(t, params(security, len(ys), len(xs)), ys, xs, psi.Options{})
		w := mustRun(t, s, r)
		check(t, ys, xs, s, r)
		for _, role := range []psi.Role{psi.RoleSender, psi.RoleReceiver} {
			for _, m := range w.log[role] {
				sum := sha256.Sum256(m.Payload)
				got[security] = append(got[security], vectorMessage{role, m.Kind, len(m.Payload), hex.EncodeToString(sum[:])})
			}
		}
		slices.SortStableFunc(got[security], func(a, b vectorMessage) int { return int(a.Kind) - int(b.Kind) })
	}
	path := filepath.Join("testdata", "transcript.json")
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want map[psi.Security][]vectorMessage
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for security := range want {
		if !slices.Equal(got[security], want[security]) {
			t.Errorf("%s: messages\n%+v\nwant\n%+v", security, got[security], want[security])
		}
	}
	if len(want) != 2 || len(want[psi.Malicious]) != 9 || len(want[psi.SemiHonest]) != 5 {
		t.Errorf("the file holds %d runs", len(want))
	}
}
