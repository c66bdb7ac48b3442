package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/secret"
)

// IdentityFile is the name of a node's sealed identity in its directory.
const IdentityFile = "identity.age"

// archiveFile is the name that an identity's file takes once it is replaced.
func archiveFile(f Fingerprint) string { return "identity-" + f.String()[:16] + ".age" }

// SaveIdentity seals the identity in a new IdentityFile of the directory, as
// SealFile does.
func SaveIdentity(dir string, id *Identity, passphrase secret.Bytes, workFactor int) error {
	plain := id.marshal()
	defer plain.Clear()
	return SealFile(filepath.Join(dir, IdentityFile), plain, passphrase, workFactor)
}

// LoadIdentity opens the directory's IdentityFile.
func LoadIdentity(dir string, passphrase secret.Bytes) (*Identity, error) {
	return loadIdentity(filepath.Join(dir, IdentityFile), passphrase)
}

// LoadArchivedIdentity opens the file of an identity that ReplaceIdentity put
// aside. It keeps the passphrase it had then.
func LoadArchivedIdentity(dir string, f Fingerprint, passphrase secret.Bytes) (*Identity, error) {
	path := filepath.Join(dir, archiveFile(f))
	id, err := loadIdentity(path, passphrase)
	if err == nil && id.public.Fingerprint() != f {
		return nil, fmt.Errorf("keys: %s holds identity %s, want %s", path, id.public.Fingerprint(), f)
	}
	return id, err
}

func loadIdentity(path string, passphrase secret.Bytes) (*Identity, error) {
	plain, err := OpenFile(path, passphrase)
	if err != nil {
		return nil, err
	}
	defer plain.Clear()
	id, err := unmarshalIdentity(plain)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	return id, nil
}

// ReplaceIdentity makes next, which Rotate made from the directory's identity,
// the directory's identity, under the same passphrase. The old file stays as
// an archive; IdentityFile is replaced atomically. After an error or a crash
// the directory holds one or the other, and the call can be repeated. Callers
// hold the node's lock: of two rotations at once the later would win.
func ReplaceIdentity(dir string, next *Identity, passphrase secret.Bytes, workFactor int) error {
	current, err := LoadIdentity(dir, passphrase)
	if err != nil {
		return err
	}
	have := current.public.Fingerprint()
	if have == next.public.Fingerprint() {
		return nil
	}
	chain := next.public.chain
	if len(chain) == 0 || chain[len(chain)-1].Fingerprint != have {
		return fmt.Errorf("keys: identity %s does not replace %s", next.public.Fingerprint(), have)
	}
	path := filepath.Join(dir, IdentityFile)
	if err := archive(path, filepath.Join(dir, archiveFile(have))); err != nil {
		return fmt.Errorf("keys: archiving identity %s: %w", have, err)
	}
	// The second name lasts before the first is given away.
	if err := disk.SyncDir(dir); err != nil {
		return fmt.Errorf("keys: archiving identity %s: %w", have, err)
	}
	plain := next.marshal()
	defer plain.Clear()
	return replaceSealed(path, plain, passphrase, workFactor)
}

// archive gives the file a second name. It may have it from an attempt before.
func archive(path, as string) error {
	err := os.Link(path, as)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	a, err := os.Stat(path)
	if err != nil {
		return err
	}
	b, err := os.Stat(as)
	if err != nil {
		return err
	}
	if !os.SameFile(a, b) {
		return fmt.Errorf("another file stands at %s", as)
	}
	return nil
}
