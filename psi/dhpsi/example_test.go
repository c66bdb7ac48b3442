package dhpsi_test

import (
	"context"
	"crypto/rand"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/dhpsi"
)

// intersect is the README's example, word for word.
func intersect(ctx context.Context, params psi.Params, ours, theirs []psi.Item) error {
	sender, err := dhpsi.NewSender(params, theirs, psi.Options{Rand: rand.Reader})
	if err != nil {
		return err
	}
	receiver, err := dhpsi.NewReceiver(params, ours, psi.Options{Rand: rand.Reader})
	if err != nil {
		return err
	}
	a, b := psi.Pipe(2)
	var g errgroup.Group
	g.Go(func() error { return psi.Drive(ctx, sender, a) })
	g.Go(func() error { return psi.Drive(ctx, receiver, b) })
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Println("shared items:", receiver.Result().Count)
	return nil
}

func Example() {
	ours, theirs := []psi.Item{{1}, {2}, {3}}, []psi.Item{{3}, {4}}
	params := psi.Params{Mode: psi.ModeIntersection, Security: psi.SemiHonest,
		SenderItems: len(theirs), ReceiverItems: len(ours), Session: [32]byte{1}}
	if err := intersect(context.Background(), params, ours, theirs); err != nil {
		fmt.Println(err)
	}
	// Output: shared items: 1
}
