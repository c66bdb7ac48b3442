package records

import (
	"os"
	"path/filepath"
	"testing"
)

// Contact and note are read where a mapping names them, and only there.
func TestNotes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "people.csv")
	const text = "id,primary_name,phone,contact,note\n" +
		"1,Ada Lovelace,+442079460000,desk@example.org | +44 20,last seen in Ockham\n" +
		"2,Mary Shelley,+442079460001,,\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mapping       string
		contact, note string
	}{
		{"", "", ""},
		{"[columns]\nid = \"id\"\nname = \"primary_name\"\ncontact = \"contact\"\nnote = \"note\"\n", "desk@example.org; +44 20", "last seen in Ockham"},
	} {
		var m *Mapping
		if tt.mapping != "" {
			var err error
			if m, err = ParseMapping([]byte(tt.mapping)); err != nil {
				t.Fatal(err)
			}
		}
		src, err := Open(path, m)
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := BuildIndex(t.Context(), src, mustDerive(t, mustParse(t, "set x\nphone: phone")), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if contact, note := x.Notes(0); contact != tt.contact || note != tt.note {
			t.Errorf("the first record has contact %q and note %q, want %q and %q", contact, note, tt.contact, tt.note)
		}
		if contact, note := x.Notes(1); contact != "" || note != "" {
			t.Errorf("the second record has contact %q and note %q", contact, note)
		}
	}
}
