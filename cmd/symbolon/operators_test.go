package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/internal/secret"
	"github.com/symbolon/symbolon/keys"
)

func TestOperators(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ann.age")
	phrase := func(s string) secret.Bytes { return secret.New([]byte(s)) }
	save := func(pass string) *keys.User {
		u, err := keys.NewUser(rand.Reader, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.SaveUser(path, u, phrase(pass), keys.MinWorkFactor); err != nil {
			t.Fatal(err)
		}
		return u
	}
	o := newOperators()
	if _, err := o.load(path, phrase("right")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
	saved := save("right")
	if _, err := o.load(path, phrase("wrong")); !errors.Is(err, keys.ErrPassphrase) || len(o.unlocked) != 0 {
		t.Errorf("a wrong passphrase: %v", err)
	}
	first, err := o.load(path, phrase("right"))
	if err != nil || !bytes.Equal(first.PublicKey(), saved.PublicKey()) {
		t.Fatalf("got another key: %v", err)
	}
	if again, err := o.load(path, phrase("right")); err != nil || again != first {
		t.Errorf("it was not remembered: %v", err)
	}
	for _, wrong := range []string{"wrong", "", "right "} {
		if _, err := o.load(path, phrase(wrong)); err == nil {
			t.Errorf("%q opens what was unlocked before", wrong)
		}
	}
	// A changed passphrase counts at once, and the old one no more.
	if err := keys.ChangePassphrase(path, phrase("right"), phrase("new"), keys.MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	if _, err := o.load(path, phrase("right")); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	if u, err := o.load(path, phrase("new")); err != nil || !bytes.Equal(u.PublicKey(), saved.PublicKey()) {
		t.Errorf("the new passphrase: %v", err)
	}
	o.drop(path, &unlockedUser{}) // another one's time is over
	if len(o.unlocked) != 1 {
		t.Error("a key was forgotten too early")
	}
	o.close()
	if len(o.unlocked) != 0 {
		t.Error("keys are left")
	}
}
