package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// GRPC returns a transport over loopback as nodes use it: gRPC, TLS 1.3 with
// both identities, frames. The sender listens. It counts the bytes on the
// socket, TLS records and all; rtt is added as in Memory.
func GRPC(rtt time.Duration) Transport { return &grpcTransport{rtt: rtt} }

type grpcTransport struct {
	rtt                  time.Duration
	toSender, toReceiver atomic.Int64

	server *grpc.Server
	served chan error
	client *protocol.Client
	cancel context.CancelFunc
	ends   []func()
	ended  sync.Once
	done   chan struct{} // closed to let the server's handler return
}

func (g *grpcTransport) String() string {
	if g.rtt == 0 {
		return "grpc"
	}
	return fmt.Sprintf("grpc, rtt %v", g.rtt)
}

func (g *grpcTransport) Bytes() (toSender, toReceiver int64) {
	return g.toSender.Load(), g.toReceiver.Load()
}

func (g *grpcTransport) Connect(ctx context.Context) (sender, receiver psi.Conn, err error) {
	defer func() {
		if err != nil {
			_ = g.Close()
		}
	}()
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.done = make(chan struct{})
	var ids [2]*keys.Identity
	for i := range ids {
		if ids[i], err = keys.NewIdentity(rand.Reader, fmt.Sprintf("bench %d", i), time.Now()); err != nil {
			return nil, nil, err
		}
	}
	only := func(want *keys.Identity) keys.PinFunc {
		return func(p *keys.PublicIdentity) error {
			if p.Fingerprint() != want.Public().Fingerprint() {
				return fmt.Errorf("bench: a stranger connected")
			}
			return nil
		}
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	accepted := make(chan protocol.Conn, 1)
	g.server = protocol.NewServer(ids[0].ServerTLS(only(ids[1])), func(_ context.Context, c protocol.Conn) {
		accepted <- c
		<-g.done
	})
	g.served = make(chan error, 1)
	go func() { g.served <- g.server.Serve(countingListener{lis, g}) }()
	if g.client, err = protocol.Dial(lis.Addr().String(), ids[1].ClientTLS(only(ids[0]), ids[0].Public().Fingerprint())); err != nil {
		return nil, nil, err
	}
	c, err := g.client.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	receiver, end := protocol.OpenEngineConn(ctx, c, true)
	g.ends = append(g.ends, end)
	sender, end = protocol.OpenEngineConn(ctx, <-accepted, false)
	g.ends = append(g.ends, end)
	if g.rtt > 0 {
		sender, receiver = delay(ctx, sender, g.rtt/2), delay(ctx, receiver, g.rtt/2)
	}
	return sender, receiver, nil
}

// Close ends the stream, then client and server. It may be called again.
func (g *grpcTransport) Close() error {
	var err error
	g.ended.Do(func() {
		if g.done != nil {
			close(g.done)
		}
		for i := len(g.ends) - 1; i >= 0; i-- {
			g.ends[i]()
		}
		if g.cancel != nil {
			g.cancel()
		}
		if g.client != nil {
			err = g.client.Close()
		}
		if g.server != nil {
			g.server.Stop()
			<-g.served
		}
	})
	return err
}

// countingListener counts what the server's connections carry.
type countingListener struct {
	net.Listener
	g *grpcTransport
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, l.g}, nil
}

type countingConn struct {
	net.Conn
	g *grpcTransport
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.g.toSender.Add(int64(n))
	return n, err
}

func (c countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.g.toReceiver.Add(int64(n))
	return n, err
}

// delay returns c with every message held back for a while after it has
// arrived, in a queue as long as Memory's.
func delay(ctx context.Context, c psi.Conn, by time.Duration) psi.Conn {
	d := &delayedConn{Conn: c, by: by, queue: make(chan delayed, inFlightSlow), failed: make(chan error, 1)}
	go d.pump(ctx)
	return d
}

type delayedConn struct {
	psi.Conn
	by     time.Duration
	queue  chan delayed
	failed chan error
}

func (d *delayedConn) pump(ctx context.Context) {
	for {
		m, err := d.Conn.Recv(ctx)
		if err != nil {
			d.failed <- err
			return
		}
		select {
		case d.queue <- delayed{m, time.Now().Add(d.by)}:
		case <-ctx.Done():
			return
		}
	}
}

func (d *delayedConn) Recv(ctx context.Context) (psi.Message, error) {
	var m delayed
	select {
	case m = <-d.queue:
	case err := <-d.failed:
		return psi.Message{}, err
	case <-ctx.Done():
		return psi.Message{}, ctx.Err()
	}
	return m.Message, sleepUntil(ctx, m.at)
}
