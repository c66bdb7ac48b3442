package protocol

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// A full disk ends a session with a clear error, and nothing that was stored is
// lost: with room again, the session goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	// The store closes before the file system goes: cleanups run backwards.
	north, south, agreement := pairIn(t, dir, nil)
	handle, err := north.propose1(agreement, psi.ModeMutual)
	must(t, err)
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
	if _, err := north.Run(t.Context(), handle, RunOptions{Source: north.source()}); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v, want that the disk is full", err)
	}
	noResult(t, north)
	noResult(t, south)
	must(t, os.Remove(filler))
	again, err := NewNode(north.Options)
	must(t, err)
	north.Node = again
	north.connect(south, nil)
	out, err := north.Run(t.Context(), handle, RunOptions{Source: north.source()})
	must(t, err)
	if len(out.Hits) != 20 {
		t.Errorf("%d hits", len(out.Hits))
	}
	verifyLog(t, north)
}
