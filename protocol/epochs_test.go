package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
)

// The secrets of epochs lie sealed in a directory of their own.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	_, south, agreement := lookupPair(t, nil)
	id := epochID{agreement, 1}
	e, err := south.loadEpoch(id)
	must(t, err)
	sealed, err := os.ReadFile(south.secretPath(id))
	must(t, err)
	if strings.Contains(string(sealed), string(e.key.Bytes())) || strings.Contains(string(sealed), string(e.secret)) {
		t.Error("the secret lies open")
	}
	info, err := os.Stat(south.secretPath(id))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's mode is %v", info.Mode())
	}
	if _, err := south.open(sealed, epochID{agreement, 2}.String()); err == nil {
		t.Error("the secret opens as another epoch's")
	}
	must(t, filepath.WalkDir(filepath.Join(south.Dir, lookupDir), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(b), string(e.key.Bytes())) || strings.Contains(string(b), "Family25")) {
			t.Errorf("%s holds what it must not", path)
		}
		return err
	}))
}

// An epoch whose secret is lost, as after a restored backup or a rotation of the
// identity, is given up for a new one.
func TestLostSecret(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			must(t, lose(south.secretPath(epochID{agreement, 1})))
			again := south.restart(t)
			north.connect(again, nil)
			l := north.look(t, agreement)
			_, err := l.Lookup(t.Context(), north.the(t, "n-25"))
			codeIs(t, err, CodeEpoch, true)
			must(t, again.TendOnce(t.Context()))
			res, err := l.Lookup(t.Context(), north.the(t, "n-25"))
			must(t, err)
			if res.Epoch != 2 || len(res.Hits) != 1 {
				t.Errorf("then %+v", res)
			}
			must(t, l.Close())
			epochs, err := again.Store.Epochs(agreement)
			must(t, err)
			if len(epochs) != 2 || epochs[1].State != store.EpochEnded {
				t.Errorf("the epochs are %+v", epochs)
			}
		})
	}
}

// A source may say for each record whom to call and what to know.
func TestLabelsOfRecords(t *testing.T) {
	t.Parallel()
	north, south, agreement := pair(t, lookups)
	data := "id,primary_name,date_of_birth,source_ref,desk,remark\n" +
		"s-1,Givenz Family25,1935-08-17,REF-1,unit 7,armed\n" +
		"s-2,Givend Family3,1913-04-13,REF-2,,\n"
	south.setData(t, data)
	mapping := filepath.Join(t.TempDir(), "map.toml")
	must(t, os.WriteFile(mapping, []byte("[columns]\nid = \"id\"\nname = \"primary_name\"\nbirth = \"date_of_birth\"\nsource_ref = \"source_ref\"\ncontact = \"desk\"\nnote = \"remark\"\n"), 0o600))
	m, err := records.LoadMapping(mapping)
	must(t, err)
	_, err = south.publish1(agreement, func(r *PublishRequest) {
		r.Source.Records, err = records.Open(south.data, m)
		must(t, err)
	})
	must(t, err)
	l := north.look(t, agreement)
	for id, want := range map[string][3]string{
		"n-25": {"REF-1", "unit 7", "armed"},
		"n-3":  {"REF-2", "desk@south.example", "handle with care"},
	} {
		res, err := l.Lookup(t.Context(), north.the(t, id))
		must(t, err)
		if len(res.Hits) != 1 || [3]string{res.Hits[0].Reference, res.Hits[0].Contact, res.Hits[0].Text} != want {
			t.Errorf("%s gives %+v, want %v", id, res.Hits, want)
		}
	}
	must(t, l.Close())
}

// What a peer may fetch in an hour is bounded.
func TestFetchesAreBounded(t *testing.T) {
	t.Parallel()
	var s lookupState
	s.init(1)
	now := epoch
	sent := 0
	for ; sent < 1000; sent++ {
		if retry, ok := s.serve("a", now, 1<<20, 10<<20); !ok {
			if !retry.Equal(epoch.Add(time.Hour)) {
				t.Errorf("to be tried again at %v", retry)
			}
			break
		}
	}
	if sent != 8*10+256 {
		t.Errorf("%d MiB were sent", sent)
	}
	if _, ok := s.serve("b", now, 1, 1); !ok {
		t.Error("another agreement is refused")
	}
	if _, ok := s.serve("a", now.Add(time.Hour), 1, 1); !ok {
		t.Error("refused after an hour")
	}
}

// TestFailedPublication: the schedule rests after a failure.
func TestFailedPublication(t *testing.T) {
	t.Parallel()
	_, south, agreement := lookupPair(t, nil)
	south.at(epoch.Add(30 * 24 * time.Hour))
	south.setData(t, "nonsense")
	if south.TendOnce(t.Context()) == nil {
		t.Fatal("nonsense was published")
	}
	must(t, south.TendOnce(t.Context())) // rests
	south.setData(t, people("s", 20, 80))
	must(t, south.TendOnce(t.Context()))
	south.at(south.now().Add(restAfterFailure))
	must(t, south.TendOnce(t.Context()))
	all, err := south.Publications(agreement)
	must(t, err)
	if all[0].Epoch != 2 {
		t.Errorf("published %+v", all[0])
	}
}
