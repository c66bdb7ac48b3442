package protocol

import (
	"context"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
)

// Pipe returns the two ends of a stream in memory, for tests and measurements:
// a knows b as its peer and the other way round. Both ends live until ctx ends.
// Frames are handed over as they are: their payload belongs to the receiver.
func Pipe(ctx context.Context, a, b *keys.PublicIdentity, binding []byte) (Conn, Conn) {
	ab, ba := newHalf(ctx), newHalf(ctx)
	return &memoryConn{ba, ab, b, binding}, &memoryConn{ab, ba, a, binding}
}

type half struct {
	ctx    context.Context
	frames chan *wirepb.Frame
	closed sync.Once
}

func newHalf(ctx context.Context) *half {
	return &half{ctx: ctx, frames: make(chan *wirepb.Frame, queueLength)}
}

type memoryConn struct {
	in, out *half
	peer    *keys.PublicIdentity
	binding []byte
}

func (c *memoryConn) Send(f *wirepb.Frame) error {
	if proto.Size(f) > MaxFrame {
		return refuse(CodeInternal, "frame of %d bytes, at most %d allowed", proto.Size(f), MaxFrame)
	}
	select {
	case c.out.frames <- f:
		return nil
	case <-c.out.ctx.Done():
		return c.out.ctx.Err()
	}
}

func (c *memoryConn) Recv() (*wirepb.Frame, error) {
	select {
	case f, ok := <-c.in.frames:
		if !ok {
			return nil, io.EOF
		}
		return f, nil
	case <-c.in.ctx.Done():
		return nil, c.in.ctx.Err()
	}
}

func (c *memoryConn) CloseSend() error {
	c.out.closed.Do(func() { close(c.out.frames) })
	return nil
}

func (c *memoryConn) Peer() *keys.PublicIdentity { return c.peer }
func (c *memoryConn) Binding() []byte            { return c.binding }
