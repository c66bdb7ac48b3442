package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/symbolon/symbolon/psi"
)

// Transport carries one run between both parties of this process.
type Transport interface {
	// String names the transport in reports.
	String() string
	// Connect returns both parties' ends. It is called once.
	Connect(ctx context.Context) (sender, receiver psi.Conn, err error)
	// Bytes returns what has been carried to each party, with whatever the
	// transport adds.
	Bytes() (toSender, toReceiver int64)
	// Close ends the connection and all goroutines behind it.
	Close() error
}

// Memory returns a transport within the process that delivers each message half
// of rtt after it was sent, and keeps order. It counts payloads alone.
func Memory(rtt time.Duration) Transport { return &memory{rtt: rtt} }

type memory struct {
	rtt                  time.Duration
	toSender, toReceiver atomic.Int64
}

// inFlight is the number of messages on the way before a sender has to wait: a
// window of up to 16 MiB where there is delay, next to nothing where there is
// none.
const (
	inFlight     = 2
	inFlightSlow = 16
)

func (m *memory) String() string {
	if m.rtt == 0 {
		return "memory"
	}
	return fmt.Sprintf("memory, rtt %v", m.rtt)
}

func (m *memory) Connect(context.Context) (sender, receiver psi.Conn, err error) {
	queue := inFlight
	if m.rtt > 0 {
		queue = inFlightSlow
	}
	toSender, toReceiver := make(chan delayed, queue), make(chan delayed, queue)
	sender = &memoryConn{m.rtt / 2, toReceiver, toSender, &m.toReceiver}
	receiver = &memoryConn{m.rtt / 2, toSender, toReceiver, &m.toSender}
	return sender, receiver, nil
}

func (m *memory) Bytes() (toSender, toReceiver int64) {
	return m.toSender.Load(), m.toReceiver.Load()
}

func (m *memory) Close() error { return nil }

// delayed is a message and when it arrives.
type delayed struct {
	psi.Message
	at time.Time
}

type memoryConn struct {
	delay time.Duration
	out   chan<- delayed
	in    <-chan delayed
	sent  *atomic.Int64
}

func (c *memoryConn) Send(ctx context.Context, m psi.Message) error {
	d := delayed{Message: m}
	if c.delay > 0 {
		d.at = time.Now().Add(c.delay)
	}
	select {
	case c.out <- d:
		c.sent.Add(int64(len(m.Payload)))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *memoryConn) Recv(ctx context.Context) (psi.Message, error) {
	var d delayed
	select {
	case d = <-c.in:
	case <-ctx.Done():
		return psi.Message{}, ctx.Err()
	}
	return d.Message, sleepUntil(ctx, d.at)
}

// sleepUntil waits for a time; the zero time has passed.
func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
