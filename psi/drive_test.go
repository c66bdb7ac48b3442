package psi

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a party that sends some messages and wants some, with no order
// between the two.
type counter struct {
	send, want int
	got        []Message
	fail       error
}

func (c *counter) Next(context.Context) (*Message, error) {
	if c.send == 0 {
		return nil, nil
	}
	c.send--
	return &Message{Kind: uint8(c.send)}, nil
}
func (c *counter) Wants() bool { return c.want > 0 }
func (c *counter) Handle(_ context.Context, m Message) error {
	c.want--
	c.got = append(c.got, m)
	return c.fail
}
func (c *counter) Done() bool { return c.send == 0 && c.want == 0 }

func TestDrive(t *testing.T) {
	for _, n := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {20, 20}, {30, 3}} {
		a, b := Pipe(1)
		x, y := &counter{send: n[0], want: n[1]}, &counter{send: n[1], want: n[0]}
		errs := make(chan error)
		go func() { errs <- Drive(context.Background(), x, a) }()
		if err := errors.Join(Drive(context.Background(), y, b), <-errs); err != nil {
			t.Fatal(err)
		}
		if len(x.got) != n[1] || len(y.got) != n[0] {
			t.Fatalf("parties got %d and %d messages, want %d and %d", len(x.got), len(y.got), n[1], n[0])
		}
		// Whatever follows the run is still there.
		if err := a.Send(context.Background(), Message{Kind: 99}); err != nil {
			t.Fatal(err)
		}
		if m, err := b.Recv(context.Background()); err != nil || m.Kind != 99 {
			t.Fatalf("after the run: got kind %d, error %v", m.Kind, err)
		}
	}
}

type brokenConn struct {
	Conn
	sendErr, recvErr error
}

func (c brokenConn) Send(ctx context.Context, m Message) error {
	if c.sendErr != nil {
		return c.sendErr
	}
	return c.Conn.Send(ctx, m)
}

func (c brokenConn) Recv(ctx context.Context) (Message, error) {
	if c.recvErr != nil {
		return Message{}, c.recvErr
	}
	return c.Conn.Recv(ctx)
}

func TestDriveFails(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		party *counter
		conn  brokenConn
	}{
		{"send", &counter{send: 1}, brokenConn{sendErr: broken}},
		{"receive", &counter{want: 1}, brokenConn{recvErr: broken}},
		{"both", &counter{want: 3, send: 3}, brokenConn{sendErr: broken, recvErr: broken}},
		{"handle", &counter{want: 2, send: 5, fail: broken}, brokenConn{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := Pipe(3)
			tt.conn.Conn = a
			if err := b.Send(context.Background(), Message{}); err != nil {
				t.Fatal(err)
			}
			if err := Drive(context.Background(), tt.party, tt.conn); !errors.Is(err, broken) {
				t.Fatalf("got error %v", err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		a, _ := Pipe(0)
		errs := make(chan error)
		go func() { errs <- Drive(ctx, &counter{want: 1, send: 1}, a) }()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v", err)
		}
	})
	t.Run("stuck party", func(t *testing.T) {
		a, _ := Pipe(0)
		if err := Drive(context.Background(), stuck{}, a); err == nil {
			t.Fatal("a party that does nothing is driven for ever")
		}
	})
}

type stuck struct{}

func (stuck) Next(context.Context) (*Message, error) { return nil, nil }
func (stuck) Wants() bool                            { return false }
func (stuck) Handle(context.Context, Message) error  { return nil }
func (stuck) Done() bool                             { return false }
