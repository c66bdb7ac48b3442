package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/secret"
	"github.com/symbolon/symbolon/keys"
)

// operatorMemory is how long a running node remembers an operator's key after it
// was unlocked.
const operatorMemory = 10 * time.Minute

// operators are the operators' keys that a running node has unlocked. Unlocking
// takes about a second, on purpose; a lookup takes milliseconds. The passphrase
// is asked for each time all the same: a right one is recognised by a keyed hash
// that only this process can compute, and a wrong one costs as much as ever.
type operators struct {
	key [32]byte
	mu  sync.Mutex
	// unlocked, by the path of the key's file.
	unlocked map[string]*unlockedUser
}

type unlockedUser struct {
	user   *keys.User
	proof  []byte      // of the passphrase
	file   os.FileInfo // of the key, which a change of the passphrase replaces
	forget *time.Timer
}

func newOperators() *operators {
	o := &operators{unlocked: map[string]*unlockedUser{}}
	_, _ = rand.Read(o.key[:]) // never fails
	return o
}

// load is keys.LoadUser.
func (o *operators) load(path string, passphrase secret.Bytes) (*keys.User, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, o.key[:])
	mac.Write(passphrase.Expose())
	proof := mac.Sum(nil)
	o.mu.Lock()
	known := o.unlocked[path]
	o.mu.Unlock()
	if known != nil && hmac.Equal(known.proof, proof) && os.SameFile(known.file, file) && known.file.ModTime().Equal(file.ModTime()) {
		return known.user, nil
	}
	u, err := keys.LoadUser(path, passphrase)
	if err != nil {
		return nil, err
	}
	now := &unlockedUser{user: u, proof: proof, file: file}
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.unlocked[path]; old != nil {
		old.forget.Stop()
	}
	now.forget = time.AfterFunc(operatorMemory, func() { o.drop(path, now) })
	o.unlocked[path] = now
	return u, nil
}

// drop forgets a key, unless another has taken its place.
func (o *operators) drop(path string, u *unlockedUser) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unlocked[path] == u {
		delete(o.unlocked, path)
	}
}

// close forgets all keys.
func (o *operators) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, u := range o.unlocked {
		u.forget.Stop()
		delete(o.unlocked, path)
	}
}
