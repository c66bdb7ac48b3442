package lookup

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// verified opens what is published and checks every byte of it.
func verified(t *testing.T, dir string) *Publication {
	t.Helper()
	p, err := OpenPublication(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if n, err := verifyBlob(context.Background(), p.filter, &p.Manifest.Filter); err != nil || n != p.Manifest.Filter.chunks() {
		t.Fatalf("serial %d: %d of %d chunks are right, error %v", p.Manifest.Serial, n, p.Manifest.Filter.chunks(), err)
	}
	for i, f := range p.deltas {
		if n, err := verifyBlob(context.Background(), f, &p.Manifest.Deltas[i].Blob); err != nil || n != p.Manifest.Deltas[i].chunks() {
			t.Fatalf("serial %d, delta %d: %d chunks are right, error %v", p.Manifest.Serial, i, n, err)
		}
	}
	return p
}

// A publisher that dies at any step leaves the published serial, and another one
// goes on from there without evaluating anything again.
func TestPublisherDies(t *testing.T) {
	for _, step := range []string{"walk", "cache", "sort", "labels", "diff", "compact", "delta", "filter", "book", "commit", "clean"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, testParams())
			for range 200 {
				m.person(3)
			}
			die := func() {
				t.Helper()
				p := m.open()
				defer p.Close()
				p.fail = func(at string) error {
					if at == step {
						return errTest
					}
					return nil
				}
				s, err := p.Stage(context.Background(), m.input(), m.evaluate, testTerms())
				if err == nil {
					err = s.Commit(nil)
				}
				if !errors.Is(err, errTest) {
					t.Fatalf("got error %v", err)
				}
			}
			die()
			committed := step == "clean"
			if _, err := OpenPublication(m.dir, 0); committed != (err == nil) || !committed && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("got error %v", err)
			}
			if !committed {
				m.publish()
			}
			to := m.mirror()
			m.check(m.fetch(to).Filter)
			before := verified(t, m.dir)
			m.change(10)
			die()
			after := verified(t, m.dir)
			if got := after.Manifest.Serial; got != map[bool]uint64{false: 1, true: 2}[committed] {
				t.Fatalf("serial %d is published", got)
			}
			if !committed {
				if !bytes.Equal(after.Signed.Manifest, before.Signed.Manifest) {
					t.Fatal("another manifest is published")
				}
				m.publish()
			}
			m.check(m.fetch(to).Filter)
			verified(t, m.dir)
			if step != "cache" && int(m.evaluated.Load()) > m.nextKey {
				t.Errorf("%d items were evaluated of %d", m.evaluated.Load(), m.nextKey)
			}
			m.change(2)
			m.publish()
			for _, f := range names(t, m.dir) {
				if filepath.Ext(f) == tempSuffix {
					t.Errorf("%s is left", f)
				}
			}
		})
	}
}

// What was staged is no more than files until it is committed, once.
func TestCommitOnce(t *testing.T) {
	m := newModel(t, testParams())
	m.person(2)
	p := m.open()
	defer p.Close()
	stage := func() *Staged {
		t.Helper()
		s, err := p.Stage(context.Background(), m.input(), m.evaluate, testTerms())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := stage()
	second := stage()
	if err := first.Commit(nil); err == nil {
		t.Error("what another Stage replaced is committed")
	}
	if err := second.Discard(); err != nil {
		t.Fatal(err)
	}
	if left := names(t, m.dir); len(left) != 0 {
		t.Errorf("discarding leaves %v", left)
	}
	if err := second.Commit(nil); err == nil {
		t.Error("what was discarded is committed")
	}
	third := stage()
	if err := third.Commit(make([]byte, MaxSignature+1)); err == nil {
		t.Error("a long signature is committed")
	}
	if err := third.Commit(make([]byte, MaxSignature)); err != nil {
		t.Fatal(err)
	}
	if err := third.Commit(nil); err == nil {
		t.Error("a serial is committed twice")
	}
	if err := third.Discard(); err != nil {
		t.Fatal(err)
	}
	verified(t, m.dir)
}

const (
	childRole = "SYMBOLON_LOOKUP_CHILD"
	childDirs = "SYMBOLON_LOOKUP_DIRS"
	childSeed = "SYMBOLON_LOOKUP_SEED"
)

// crowd is data that differs from step to step.
func crowd(t testing.TB, dir string, step int) *model {
	m := newModel(t, bigParams())
	m.dir = dir
	for range 200 {
		m.person(4)
	}
	for range step {
		m.change(6)
	}
	return m
}

// TestChild is no test, but the process that TestKilled kills: an owner who
// publishes change after change, or an asker who fetches what is there.
func TestChild(t *testing.T) {
	dirs := filepath.SplitList(os.Getenv(childDirs))
	switch os.Getenv(childRole) {
	case "owner":
		step, err := strconv.Atoi(os.Getenv(childSeed))
		if err != nil {
			t.Fatal(err)
		}
		for ; ; step++ {
			crowd(t, dirs[0], step).publish()
		}
	case "asker":
		for {
			to, err := OpenMirror(dirs[1], bigParams())
			if err != nil {
				t.Fatal(err)
			}
			p, err := OpenPublication(dirs[0], 0)
			if err != nil {
				t.Fatal(err)
			}
			f, err := to.Begin(p.Signed)
			if errors.Is(err, ErrCurrent) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			feed(t, f, p)
			u, err := f.Finish(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			u.Close()
		}
	default:
		t.Skip("runs as a child of TestKilled only")
	}
}

// killed runs a child and kills it after a while, if it is still there.
func killed(t *testing.T, after time.Duration, role string, seed int, dirs ...string) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestChild$")
	c.Env = append(os.Environ(), childRole+"="+role, childSeed+"="+strconv.Itoa(seed),
		childDirs+"="+dirs[0]+string(filepath.ListSeparator)+dirs[1])
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%s: %v\n%s", role, err, &out)
		}
	case <-time.After(after):
		c.Process.Kill()
		<-done
	}
}

// Owner and asker are killed at random moments, again and again: what is
// published and what is installed is always whole, and the asker catches up.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	owner, asker := t.TempDir(), t.TempDir()
	crowd(t, owner, 0).publish()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	last := uint64(1) // the step that follows, too
	for range 8 {
		killed(t, 50*time.Millisecond+time.Duration(rng.IntN(150))*time.Millisecond, "owner", int(last), owner, asker)
		p := verified(t, owner)
		if p.Manifest.Serial < last {
			t.Fatalf("serial %d after %d", p.Manifest.Serial, last)
		}
		last = p.Manifest.Serial
		killed(t, 15*time.Millisecond+time.Duration(rng.IntN(60))*time.Millisecond, "asker", 0, owner, asker)
		to, err := OpenMirror(asker, bigParams())
		if err != nil {
			t.Fatal(err)
		}
		if f, err := to.Open(); err == nil {
			_, have, _ := to.Current()
			if n, err := verifyBlob(context.Background(), f.file, &have.Filter); err != nil || n != have.Filter.chunks() {
				t.Fatalf("installed serial %d: %d chunks are right, error %v", have.Serial, n, err)
			}
			f.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	m := crowd(t, owner, int(last))
	m.publish()
	to, err := OpenMirror(asker, bigParams())
	if err != nil {
		t.Fatal(err)
	}
	m.check(m.fetch(to).Filter)
	t.Logf("serial %d was reached", verified(t, owner).Manifest.Serial)
}
