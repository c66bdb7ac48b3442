package keys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

// sealedFile returns the path of a file that holds "plaintext" under "right".
func sealedFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sealed.age")
	if err := SealFile(path, phrase("plaintext"), phrase("right"), MinWorkFactor); err != nil {
		t.Fatal(err)
	}
	return path
}

// onlyFiles fails unless the directory of path holds exactly the names.
func onlyFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(names)
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("directory holds %q, want %q", got, names)
	}
}

func TestSealFile(t *testing.T) {
	t.Parallel()
	path := sealedFile(t)
	got, err := OpenFile(path, phrase("right"))
	if err != nil || string(got.Expose()) != "plaintext" {
		t.Fatalf("got %q, %v", got.Expose(), err)
	}
	fi, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && fi.Mode() != 0o600 {
		t.Errorf("mode is %v, %v", fi.Mode(), err)
	}
	onlyFiles(t, filepath.Dir(path), "sealed.age")
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("plaintext")) {
		t.Error("the file holds its plaintext")
	}
	// Any age program opens it.
	id, err := age.NewScryptIdentity("right")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(data), id); err != nil {
		t.Error(err)
	}
}

func TestSealFileRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := phrase(strings.Repeat("x", maxSealed))
	for _, tt := range []struct {
		name, path, want string
		err              error
	}{
		{"work factor 9", "a", "work factor 9 is outside [10, 20]", SealFile(filepath.Join(dir, "a"), phrase("p"), phrase("x"), 9)},
		{"work factor 21", "a", "work factor 21 is outside [10, 20]", SealFile(filepath.Join(dir, "a"), phrase("p"), phrase("x"), 21)},
		{"empty passphrase", "a", "passphrase is empty", SealFile(filepath.Join(dir, "a"), phrase("p"), phrase(""), MinWorkFactor)},
		{"no such directory", "no/a", "no such file", SealFile(filepath.Join(dir, "no", "a"), phrase("p"), phrase("x"), MinWorkFactor)},
		{"too big to be opened again", "a", "at most 1048576", SealFile(filepath.Join(dir, "a"), big, phrase("x"), MinWorkFactor)},
	} {
		wantError(t, tt.err, tt.want)
		wantError(t, tt.err, filepath.Join(dir, tt.path))
	}
	onlyFiles(t, dir)
}

func TestSealFileLeavesFilesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"file":      func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"dangling":  func(p string) error { return os.Symlink(filepath.Join(dir, "elsewhere"), p) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		err := SealFile(path, phrase("p"), phrase("x"), MinWorkFactor)
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: got %v", name, err)
		}
		wantError(t, err, "left alone")
	}
	if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "mine" {
		t.Error("the file was changed")
	}
	onlyFiles(t, dir, "dangling", "directory", "file")
}

// TestSealFileFailsCleanly makes the last step fail, as a full or vanishing
// disk would.
func TestSealFileFailsCleanly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := errors.New("disk is gone")
	err := sealTo(filepath.Join(dir, "a"), phrase("p"), phrase("x"), MinWorkFactor,
		func(from, to string) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	onlyFiles(t, dir)
}

func TestOpenFileRefuses(t *testing.T) {
	t.Parallel()
	path := sealedFile(t)
	sealed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.LastIndexByte(bytes.TrimRight(sealed[:bytes.Index(sealed, []byte("\n---"))], "\n"), '\n') + 5
	mac := bytes.Index(sealed, []byte("\n--- ")) + 10
	swap := func(b byte) byte { // another letter of base64
		if b == 'A' {
			return 'B'
		}
		return 'A'
	}
	change := func(i int, to byte) []byte { c := bytes.Clone(sealed); c[i] = to; return c }
	recipient, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var toKey bytes.Buffer
	w, err := age.Encrypt(&toKey, recipient.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		data       []byte
		passphrase string
		want       string
	}{
		{"nothing wrong", sealed, "right", ""},
		{"wrong passphrase", sealed, "wrong", ErrPassphrase.Error()},
		{"no passphrase", sealed, "", "passphrase is empty"},
		{"damaged file key", change(body, swap(sealed[body])), "right", ErrPassphrase.Error()},
		{"damaged header", change(mac, swap(sealed[mac])), "right", "damaged or not a sealed file"},
		{"damaged payload", change(len(sealed)-1, sealed[len(sealed)-1]^1), "right", "damaged"},
		{"cut payload", sealed[:len(sealed)-1], "right", "damaged"},
		{"cut header", sealed[:40], "right", "damaged or not a sealed file"},
		{"more behind", append(bytes.Clone(sealed), 0), "right", "damaged"},
		{"empty", nil, "right", "damaged or not a sealed file"},
		{"text", []byte("seed: 1234\n"), "right", "damaged or not a sealed file"},
		{"sealed to a key", toKey.Bytes(), "right", "sealed to a key, not to a passphrase"},
		{"too dear to open", bytes.Replace(sealed, []byte(" 10\n"), []byte(" 21\n"), 1), "right", "work factor too large"},
		{"too long", make([]byte, maxSealed+1), "right", "more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sealed.age")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			plain, err := OpenFile(path, phrase(tt.passphrase))
			wantError(t, err, tt.want)
			if err != nil && (plain.Len() != 0 || !strings.Contains(err.Error(), path)) {
				t.Errorf("error %q comes with %d bytes or names no file", err, plain.Len())
			}
			if errors.Is(err, ErrPassphrase) != (tt.want == ErrPassphrase.Error()) {
				t.Errorf("ErrPassphrase is misplaced: %v", err)
			}
		})
	}
}

func TestOpenFileRefusesOpenModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps access in lists that the mode does not show")
	}
	path := sealedFile(t)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o660, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(path, phrase("right")); !errors.Is(err, ErrPermissions) {
			t.Errorf("mode %o: got %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFile(path, phrase("right")); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestOpenFileReadsFilesOnly(t *testing.T) {
	t.Parallel()
	_, err := OpenFile(t.TempDir(), phrase("right"))
	wantError(t, err, "not a regular file")
	if _, err := OpenFile(filepath.Join(t.TempDir(), "none"), phrase("right")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestChangePassphrase(t *testing.T) {
	t.Parallel()
	path := sealedFile(t)
	if err := ChangePassphrase(path, phrase("wrong"), phrase("new"), MinWorkFactor); !errors.Is(err, ErrPassphrase) {
		t.Errorf("got %v", err)
	}
	wantError(t, ChangePassphrase(path, phrase("right"), phrase(""), MinWorkFactor), "passphrase is empty")
	if _, err := OpenFile(path, phrase("right")); err != nil {
		t.Errorf("a failed change left %v", err)
	}
	wantError(t, ChangePassphrase(path, phrase("right"), phrase("new"), MinWorkFactor+1), "")
	if _, err := OpenFile(path, phrase("right")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("the old passphrase still opens it: %v", err)
	}
	got, err := OpenFile(path, phrase("new"))
	if err != nil || string(got.Expose()) != "plaintext" {
		t.Errorf("got %q, %v", got.Expose(), err)
	}
	onlyFiles(t, filepath.Dir(path), "sealed.age")
}
