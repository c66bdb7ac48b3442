package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSaveAndLoadIdentity(t *testing.T) {
	t.Parallel()
	dir, pass := t.TempDir(), phrase("right")
	id := testIdentity(t, "North")
	if err := SaveIdentity(dir, id, pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	back, err := LoadIdentity(dir, pass)
	if err != nil || back.Public().Fingerprint() != id.Public().Fingerprint() || !back.Derive("x").Equal(id.Derive("x")) {
		t.Fatalf("got %v, %v", back, err)
	}
	if err := SaveIdentity(dir, testIdentity(t, "South"), pass, MinWorkFactor); !errors.Is(err, fs.ErrExist) {
		t.Errorf("saving over an identity: %v", err)
	}
	if _, err := LoadIdentity(dir, phrase("wrong")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("got %v", err)
	}
	onlyFiles(t, dir, IdentityFile)
}

func TestReplaceIdentity(t *testing.T) {
	t.Parallel()
	dir, pass := t.TempDir(), phrase("right")
	first := testIdentity(t, "North")
	second := rotated(t, first, 1)
	third := rotated(t, first, 2)
	if err := SaveIdentity(dir, first, pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceIdentity(dir, second, phrase("wrong"), MinWorkFactor); !errors.Is(err, ErrPassphrase) {
		t.Errorf("got %v", err)
	}
	wantError(t, ReplaceIdentity(dir, third, pass, MinWorkFactor), "does not replace")
	wantError(t, ReplaceIdentity(dir, testIdentity(t, "South"), pass, MinWorkFactor), "does not replace")
	onlyFiles(t, dir, IdentityFile)

	// A crash between archiving and replacing leaves the old under both names.
	path := filepath.Join(dir, IdentityFile)
	if err := os.Link(path, filepath.Join(dir, archiveFile(first.Public().Fingerprint()))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := ReplaceIdentity(dir, second, pass, MinWorkFactor); err != nil {
			t.Fatal(err)
		}
	}
	now, err := LoadIdentity(dir, pass)
	if err != nil || now.Public().Fingerprint() != second.Public().Fingerprint() {
		t.Fatalf("got %v, %v", now, err)
	}
	f := first.Public().Fingerprint()
	old, err := LoadArchivedIdentity(dir, f, pass)
	if err != nil || old.Public().Fingerprint() != f || !old.Derive("x").Equal(first.Derive("x")) {
		t.Fatalf("got %v, %v", old, err)
	}
	onlyFiles(t, dir, archiveFile(f), IdentityFile)
	// testRand repeats itself, so third replaces second.
	if err := ReplaceIdentity(dir, third, pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	onlyFiles(t, dir, archiveFile(f), archiveFile(second.Public().Fingerprint()), IdentityFile)
}

func TestReplaceIdentityKeepsArchives(t *testing.T) {
	t.Parallel()
	dir, pass := t.TempDir(), phrase("right")
	first := testIdentity(t, "North")
	if err := SaveIdentity(dir, first, pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	name := archiveFile(first.Public().Fingerprint())
	if err := SealFile(filepath.Join(dir, name), phrase("other"), pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	wantError(t, ReplaceIdentity(dir, rotated(t, first, 1), pass, MinWorkFactor), "another file stands at")
	if id, err := LoadIdentity(dir, pass); err != nil || id.Public().Fingerprint() != first.Public().Fingerprint() {
		t.Errorf("got %v, %v", id, err)
	}
	_, err := LoadArchivedIdentity(dir, first.Public().Fingerprint(), pass)
	wantError(t, err, "not an identity file")
}

func TestArchiveHoldsAnotherIdentity(t *testing.T) {
	t.Parallel()
	dir, pass := t.TempDir(), phrase("right")
	if err := SaveIdentity(dir, testIdentity(t, "North"), pass, MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	f := testIdentity(t, "South").Public().Fingerprint()
	if err := os.Rename(filepath.Join(dir, IdentityFile), filepath.Join(dir, archiveFile(f))); err != nil {
		t.Fatal(err)
	}
	id, err := LoadArchivedIdentity(dir, f, pass)
	wantError(t, err, "want "+f.String())
	if id != nil {
		t.Error("an error comes with an identity")
	}
}
