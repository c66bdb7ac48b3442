package keys

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

const head = "symbolon/log/00/11\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

func TestNotes(t *testing.T) {
	north, south := testIdentity(t, "North"), testIdentity(t, "South")
	signed, err := note.Sign(&note.Note{Text: head}, north.NoteSigner(), south.NoteSigner())
	if err != nil {
		t.Fatal(err)
	}
	both := note.VerifierList(north.Public().NoteVerifier(), south.Public().NoteVerifier())
	n, err := note.Open(signed, both)
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 || n.Text != head {
		t.Fatalf("got %+v, %v", n, err)
	}
	if want := NoteName(north.Public().Fingerprint()); n.Sigs[0].Name != want {
		t.Errorf("signed as %q, want %q", n.Sigs[0].Name, want)
	}
	if _, err := note.Open([]byte(strings.Replace(string(signed), "\n7\n", "\n6\n", 1)), both); err == nil {
		t.Error("an altered head verifies")
	}
	var unknown *note.UnverifiedNoteError
	if _, err := note.Open(signed, note.VerifierList(testIdentity(t, "East").Public().NoteVerifier())); !errors.As(err, &unknown) {
		t.Errorf("a stranger's verifier says %v", err)
	}
}

func TestNotesAfterRotation(t *testing.T) {
	old := testIdentity(t, "North")
	now := rotated(t, old, 2)
	signed, err := note.Sign(&note.Note{Text: head}, old.NoteSigner())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(now.Public().NoteVerifier())); err == nil {
		t.Error("the new identity alone verifies the old one's head")
	}
	all := now.Public().NoteVerifiers()
	if len(all) != 3 || all[0].Name() != now.Public().NoteVerifier().Name() || all[2].Name() != old.Public().NoteVerifier().Name() {
		t.Errorf("got %d verifiers in another order", len(all))
	}
	if _, err := note.Open(signed, note.VerifierList(all...)); err != nil {
		t.Error(err)
	}
}

// TestNoteIsNoSignature: the Ed25519 key signs notes bare and everything else
// in a tuple; one must not pass for the other.
func TestNoteIsNoSignature(t *testing.T) {
	id := testIdentity(t, "North")
	sig, err := id.Sign("d", []byte(head))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := id.NoteSigner().Sign([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	if id.Public().NoteVerifier().Verify([]byte(head), sig.Ed25519) {
		t.Error("a signature passes for a note's")
	}
	if id.Public().Verify("d", []byte(head), Signature{bare, sig.MLDSA65}) == nil {
		t.Error("a note's signature passes for another")
	}
	for name, text := range map[string]string{
		"a tuple":       string(message("d", id.Public().Fingerprint(), []byte(head))),
		"not UTF-8":     "a\xff\n",
		"a tabulator":   "a\tb\n",
		"no last break": "a",
		"nothing":       "",
	} {
		if _, err := id.NoteSigner().Sign([]byte(text)); err == nil {
			t.Errorf("%s passes for a note's text", name)
		}
	}
}
