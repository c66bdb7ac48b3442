package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestBatchUndoesOnlyWhatFailed(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := s.Batch(func(tx *Tx) error {
				must(t, tx.AddUser(User{Name: fmt.Sprintf("u%d", i), PublicKey: []byte(fmt.Sprint(i)), Added: t0}))
				switch i % 4 {
				case 1:
					return boom
				case 2: // the database refuses; swallowing the error doesn't help
					_, _ = tx.exec("nonsense", "INSERT INTO users (name) VALUES ('x')")
				}
				return nil
			})
			if (i%4 == 0 || i%4 == 3) != (err == nil) || i%4 == 1 && !errors.Is(err, boom) {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	users, err := s.Users()
	must(t, err)
	if len(users) != 2+100 {
		t.Errorf("%d users were stored, want 102", len(users))
	}
}

func TestBatchSeesItsPredecessors(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	const tree = "ab"
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			must(t, s.Batch(func(tx *Tx) error {
				n, err := tx.LogSize(tree)
				if err != nil {
					return err
				}
				return tx.AppendLogLeaf(tree, n, []byte{1}, nil, nil, t0, n, nil)
			}))
		})
	}
	wg.Wait()
	n, err := s.LogSize(tree)
	must(t, err)
	if n != 100 {
		t.Errorf("the log has %d leaves, want 100", n)
	}
}

func TestBatchPanicsInItsOwnCaller(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			defer func() {
				if p := recover(); (p != nil) != (i%2 == 0) {
					t.Errorf("change %d: recovered %v", i, p)
				}
			}()
			must(t, s.Batch(func(tx *Tx) error {
				if i%2 == 0 {
					panic("own fault")
				}
				return tx.AddUser(User{Name: fmt.Sprintf("p%d", i), PublicKey: []byte(fmt.Sprint("p", i)), Added: t0})
			}))
		})
	}
	wg.Wait()
	users, err := s.Users()
	must(t, err)
	if len(users) != 2+10 {
		t.Errorf("%d users were stored, want 12", len(users))
	}
}

func TestBatchBesideUpdate(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	var wg sync.WaitGroup
	for i := range 40 {
		run := s.Batch
		if i%3 == 0 {
			run = s.Update
		}
		wg.Go(func() {
			must(t, run(func(tx *Tx) error {
				return tx.AddUser(User{Name: fmt.Sprintf("b%d", i), PublicKey: []byte(fmt.Sprint("b", i)), Added: t0})
			}))
		})
	}
	wg.Wait()
	must(t, s.Close())
	wantErr(t, s.Batch(func(*Tx) error { return nil }), ErrClosed)
}

func BenchmarkBatch(b *testing.B) {
	s, err := Open(b.TempDir())
	must(b, err)
	defer s.Close()
	seed(b, s)
	l := EvaluationLimits{NoLimit, NoLimit, NoLimit}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			must(b, book(s, agrA, t0, 8, 0, l))
		}
	})
}
