package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"filippo.io/age"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/secret"
)

// Work factors of scrypt: the cost is 2^factor blocks of 1 KiB, so the default
// takes 256 MiB and about a second, the maximum 1 GiB.
const (
	DefaultWorkFactor = 18
	MinWorkFactor     = 10
	MaxWorkFactor     = 20
)

// maxSealed bounds a sealed file in bytes.
const maxSealed = 1 << 20

// ErrPassphrase says that a sealed file does not open under the passphrase.
// scrypt and AEAD can't tell a wrong passphrase from a changed header.
var ErrPassphrase = errors.New("wrong passphrase, or the file's header is damaged")

// ErrPermissions says that others than the owner can reach a sealed file.
var ErrPermissions = errors.New("file is open to others than its owner, want mode 0600")

// SealFile writes plaintext to a new file at path, encrypted in the age format
// (age-encryption.org/v1) to the passphrase by scrypt. The file has mode 0600
// and appears whole or not at all; an existing one is left alone, with an error
// that wraps fs.ErrExist. It costs 2^workFactor KiB of memory for the duration.
func SealFile(path string, plaintext, passphrase secret.Bytes, workFactor int) error {
	return sealTo(path, plaintext, passphrase, workFactor, os.Link)
}

// replaceSealed is SealFile over an existing file, which is replaced
// atomically.
func replaceSealed(path string, plaintext, passphrase secret.Bytes, workFactor int) error {
	return sealTo(path, plaintext, passphrase, workFactor, os.Rename)
}

func sealTo(path string, plaintext, passphrase secret.Bytes, workFactor int, publish func(from, to string) error) error {
	sealed, err := seal(plaintext, passphrase, workFactor)
	if err == nil {
		err = writeFile(path, sealed, publish)
	}
	if err != nil {
		return fmt.Errorf("keys: sealing %s: %w", path, err)
	}
	return nil
}

func seal(plaintext, passphrase secret.Bytes, workFactor int) ([]byte, error) {
	if workFactor < MinWorkFactor || workFactor > MaxWorkFactor {
		return nil, fmt.Errorf("work factor %d is outside [%d, %d]", workFactor, MinWorkFactor, MaxWorkFactor)
	}
	if passphrase.Len() == 0 {
		return nil, errors.New("passphrase is empty")
	}
	r, err := age.NewScryptRecipient(string(passphrase.Expose()))
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(workFactor)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, r)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plaintext.Expose()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if sealed.Len() > maxSealed {
		return nil, fmt.Errorf("sealed file would have %d bytes, want at most %d", sealed.Len(), maxSealed)
	}
	return sealed.Bytes(), nil
}

// writeFile writes data beside path, makes it durable, and only then publishes
// it there: by os.Link, which never replaces a file, or os.Rename, which always
// does. What a crash leaves is a temporary file of sealed data at worst.
func writeFile(path string, data []byte, publish func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".sealing-*") // exclusive, mode 0600
	if err != nil {
		return err
	}
	temp := f.Name()
	defer os.Remove(temp)
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = publish(temp, path)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("file exists already and is left alone: %w", fs.ErrExist)
	}
	if err == nil {
		err = disk.SyncDir(dir)
	}
	return err
}

// OpenFile decrypts what SealFile wrote. Its error wraps ErrPassphrase for a
// wrong passphrase and ErrPermissions for a file that group or others may
// reach, which is not even read.
func OpenFile(path string, passphrase secret.Bytes) (secret.Bytes, error) {
	sealed, err := readSealed(path)
	if err == nil {
		var plain secret.Bytes
		if plain, err = unseal(sealed, passphrase); err == nil {
			return plain, nil
		}
	}
	return secret.Bytes{}, fmt.Errorf("keys: opening %s: %w", path, err)
}

func readSealed(path string) ([]byte, error) {
	// Before opening, which would wait on a pipe.
	if fi, err := os.Stat(path); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows keeps access in lists that the mode does not show.
	if mode := fi.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%w, got %#o", ErrPermissions, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSealed+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSealed {
		return nil, fmt.Errorf("more than %d bytes", maxSealed)
	}
	return data, nil
}

func unseal(sealed []byte, passphrase secret.Bytes) (secret.Bytes, error) {
	if passphrase.Len() == 0 {
		return secret.Bytes{}, errors.New("passphrase is empty")
	}
	identity, err := age.NewScryptIdentity(string(passphrase.Expose()))
	if err != nil {
		return secret.Bytes{}, err
	}
	identity.SetMaxWorkFactor(MaxWorkFactor)
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if !errors.As(err, &noMatch) {
			return secret.Bytes{}, fmt.Errorf("damaged or not a sealed file: %w", err)
		}
		if !slices.Equal(noMatch.StanzaTypes, []string{"scrypt"}) {
			return secret.Bytes{}, errors.New("sealed to a key, not to a passphrase")
		}
		return secret.Bytes{}, ErrPassphrase
	}
	// The plaintext is shorter than the file, so the buffer never moves and
	// leaves no copy behind.
	plain := bytes.NewBuffer(make([]byte, 0, len(sealed)+bytes.MinRead))
	_, err = plain.ReadFrom(r)
	defer clear(plain.Bytes())
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("damaged: %w", err)
	}
	return secret.New(plain.Bytes()), nil
}

// ChangePassphrase seals the file at path anew, replacing it atomically.
// Copies made before, archived ones too, keep the old passphrase.
func ChangePassphrase(path string, old, new secret.Bytes, workFactor int) error {
	plain, err := OpenFile(path, old)
	if err != nil {
		return err
	}
	defer plain.Clear()
	return replaceSealed(path, plain, new, workFactor)
}
