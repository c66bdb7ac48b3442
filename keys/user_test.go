package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUserNames(t *testing.T) {
	for _, name := range []string{"anna", "a", "0", "anna.b-c_d9", strings.Repeat("x", 64)} {
		if err := CheckUserName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "Anna", "anna b", "../anna", ".anna", "-anna", "anna/", "änna", "anna\n", strings.Repeat("x", 65)} {
		if CheckUserName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
		if _, err := NewUser(testRand("u"), name); err == nil {
			t.Errorf("a user is named %q", name)
		}
	}
}

func TestUserSignatures(t *testing.T) {
	anna, err := NewUser(testRand("anna"), "anna")
	if err != nil {
		t.Fatal(err)
	}
	ben, err := NewUser(testRand("ben"), "ben")
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("session 7")
	sig := anna.Sign("approval", msg)
	wantError(t, VerifyUser(anna.PublicKey(), "approval", msg, sig), "")
	for name, err := range map[string]error{
		"another user":      VerifyUser(ben.PublicKey(), "approval", msg, sig),
		"another domain":    VerifyUser(anna.PublicKey(), "proposal", msg, sig),
		"another message":   VerifyUser(anna.PublicKey(), "approval", msg[1:], sig),
		"another signature": VerifyUser(anna.PublicKey(), "approval", msg, ben.Sign("approval", msg)),
		"no signature":      VerifyUser(anna.PublicKey(), "approval", msg, nil),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	wantError(t, VerifyUser(nil, "approval", msg, sig), "0 bytes, want 32")
	_, err = NewUser(strings.NewReader("short"), "anna")
	wantError(t, err, "random bytes")
}

func TestUserFile(t *testing.T) {
	t.Parallel()
	u, err := NewUser(testRand("anna"), "anna")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "anna.age")
	if err := SaveUser(path, u, phrase("own"), MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	back, err := LoadUser(path, phrase("own"))
	if err != nil || back.Name() != "anna" || VerifyUser(u.PublicKey(), "d", nil, back.Sign("d", nil)) != nil {
		t.Errorf("got %v, %v", back, err)
	}
	if _, err := LoadUser(path, phrase("another")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("got %v", err)
	}
	if _, err := loadIdentity(path, phrase("own")); err == nil {
		t.Error("a user passes for an identity")
	}
	if got := fmt.Sprint(back); got != "user anna" {
		t.Errorf("prints %q", got)
	}
}

func TestUserFileContent(t *testing.T) {
	const good = `{"kind":"symbolon user","name":"anna","seed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","version":1}`
	for _, tt := range []struct{ name, data, want string }{
		{"good", good, ""},
		{"another kind", strings.Replace(good, "user", "identity", 1), "not a user's key file"},
		{"another version", strings.Replace(good, ":1}", ":2}", 1), "another version"},
		{"a path for a name", strings.Replace(good, "anna", "../a", 1), "user's name is malformed"},
		{"short seed", strings.Replace(good, "AAAA", "", 1), "seed has 29 bytes, want 32"},
		{"nothing", "", "not a user's key file"},
		{"too long", good + strings.Repeat(" ", 1024), "not a user's key file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := unmarshalUser(phrase(tt.data))
			wantError(t, err, tt.want)
		})
	}
}

func TestLoadUserNamesTheFile(t *testing.T) {
	_, err := LoadUser(filepath.Join(t.TempDir(), "nobody.age"), phrase("x"))
	wantError(t, err, "nobody.age")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
