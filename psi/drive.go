package psi

import (
	"context"
	"errors"
	"sync"
)

// Conn carries the messages of one run to the peer and back, in order. One
// goroutine sends while another receives. Both methods return soon after ctx is
// done.
type Conn interface {
	// Send hands over a message and its payload. It blocks while the peer
	// falls behind.
	Send(ctx context.Context, m Message) error
	// Recv returns the next message, whose payload belongs to the caller.
	Recv(ctx context.Context) (Message, error)
}

// Drive runs a party over a connection until it is Done. It receives nothing
// beyond the party's last message, so the connection can go on to carry what
// follows. It uses two goroutines, which end before it returns. After an error
// the connection is in an unknown state.
func Drive(ctx context.Context, p Party, c Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	d := &drive{
		party: p, conn: c,
		want: make(chan struct{}, 1), in: make(chan Message),
		out: make(chan Message), sent: make(chan struct{}),
		failed: make(chan error, 2),
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.receive(ctx) })
	wg.Go(func() { d.send(ctx) })
	err := d.run(ctx)
	// The last message leaves before the goroutines are told to stop.
	close(d.out)
	if err == nil {
		select {
		case <-d.sent:
		case err = <-d.failed:
		}
	}
	cancel()
	wg.Wait()
	return err
}

type drive struct {
	party Party
	conn  Conn
	// want asks the receiving goroutine for one message.
	want chan struct{}
	in   chan Message
	out  chan Message
	// sent is closed once the sending goroutine has sent everything.
	sent   chan struct{}
	failed chan error
}

// run feeds the party. A message that is ready to leave and one that has come
// go whichever way is free first.
func (d *drive) run(ctx context.Context) error {
	var m *Message
	asked := false
	for {
		var err error
		if m == nil {
			if m, err = d.party.Next(ctx); err != nil {
				return err
			}
		}
		if !asked && d.party.Wants() {
			d.want <- struct{}{}
			asked = true
		}
		var out chan Message
		var next Message
		switch {
		case m != nil:
			out, next = d.out, *m
		case d.party.Done():
			return nil
		case !asked:
			return errors.New("psi: party neither sends nor wants a message and is not done")
		}
		select {
		case out <- next:
			m = nil
		case in := <-d.in:
			asked = false
			if err := d.party.Handle(ctx, in); err != nil {
				return err
			}
		case err := <-d.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *drive) receive(ctx context.Context) {
	for {
		select {
		case <-d.want:
		case <-ctx.Done():
			return
		}
		m, err := d.conn.Recv(ctx)
		if err != nil {
			d.failed <- err
			return
		}
		select {
		case d.in <- m:
		case <-ctx.Done():
			return
		}
	}
}

func (d *drive) send(ctx context.Context) {
	for m := range d.out {
		if err := d.conn.Send(ctx, m); err != nil {
			d.failed <- err
			return
		}
	}
	close(d.sent)
}

// Pipe returns the two ends of a connection in memory that holds up to queue
// messages each way.
func Pipe(queue int) (a, b Conn) {
	x, y := make(chan Message, queue), make(chan Message, queue)
	return pipeEnd{x, y}, pipeEnd{y, x}
}

type pipeEnd struct {
	out chan<- Message
	in  <-chan Message
}

func (p pipeEnd) Send(ctx context.Context, m Message) error {
	select {
	case p.out <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p pipeEnd) Recv(ctx context.Context) (Message, error) {
	select {
	case m := <-p.in:
		return m, nil
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}
