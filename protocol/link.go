package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// MaxFrame is the largest encoded frame in bytes.
const MaxFrame = 1 << 20

// grpcPrefix is what gRPC adds to each message: a compression flag and a
// length.
const grpcPrefix = 5

// Conn is one stream of frames between two nodes that have authenticated each
// other. Send and Recv may be called concurrently with one another, and return
// soon after the context that the Conn was opened with ends.
type Conn interface {
	Send(*wirepb.Frame) error
	// Recv returns io.EOF when the peer has ended the stream in order.
	Recv() (*wirepb.Frame, error)
	// CloseSend tells the peer that nothing more follows.
	CloseSend() error
	// Peer is the authenticated identity at the other end.
	Peer() *keys.PublicIdentity
	// Binding is a value that only the two ends of this channel know: the TLS
	// exporter (RFC 9266).
	Binding() []byte
}

// Timeouts bound the waiting of a session.
type Timeouts struct {
	Handshake time.Duration // for each message before Start
	Idle      time.Duration // without any frame at all
	Round     time.Duration // for each message from Start on, while the peer says it works
	Session   time.Duration // for an attempt as a whole
	Close     time.Duration // for the last frames of an ending stream
}

// DefaultTimeouts suit sets of up to a hundred million records.
var DefaultTimeouts = Timeouts{
	Handshake: 30 * time.Second,
	Idle:      90 * time.Second,
	Round:     time.Hour,
	Session:   12 * time.Hour,
	Close:     5 * time.Second,
}

// Traffic counts what one direction of a stream carried.
type Traffic struct {
	Bytes  int64 `json:"bytes"`
	Frames int64 `json:"frames"`
}

func (t *Traffic) add(f *wirepb.Frame) int64 {
	n := int64(proto.Size(f) + grpcPrefix)
	t.Bytes += n
	t.Frames++
	return n
}

// link runs a Conn: a reader and a writer goroutine with short queues between
// them and the one goroutine that runs the session. A frame in a queue belongs
// to the queue.
type link struct {
	conn       Conn
	ctx        context.Context
	cancel     context.CancelCauseFunc
	in         chan *wirepb.Frame
	out        chan *wirepb.Frame
	timeouts   Timeouts
	proposer   bool
	transcript *transcript // nil before Start and after Finish
	counting   sync.Mutex  // guards sent and got
	sent, got  Traffic
	carried    atomic.Int64 // bytes in both directions, for whoever watches
	writerDone chan struct{}
	joined     chan struct{} // closed by release
	inEnd      error         // why in was closed
}

// queueLength is how many frames may wait in each direction.
const queueLength = 4

// newLink starts the goroutines. Ending ctx, with a cause, ends the session: it
// must not be the context of conn, so that the peer can still be told.
func newLink(ctx context.Context, conn Conn, proposer bool, t Timeouts) *link {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &link{
		conn: conn, ctx: ctx, cancel: cancel, timeouts: t, proposer: proposer,
		in: make(chan *wirepb.Frame, queueLength), out: make(chan *wirepb.Frame, queueLength),
		writerDone: make(chan struct{}), joined: make(chan struct{}),
	}
	go l.read()
	go l.write()
	return l
}

func (l *link) read() {
	defer close(l.in)
	for {
		f, err := l.conn.Recv()
		if err != nil {
			l.inEnd = err
			return
		}
		select {
		case l.in <- f:
		case <-l.joined:
			l.inEnd = context.Canceled
			return
		}
	}
}

// write sends what is queued, and says Working when nothing has been sent for a
// third of the idle timeout.
func (l *link) write() {
	defer close(l.writerDone)
	every := l.timeouts.Idle / 3
	quiet := time.NewTimer(every)
	defer quiet.Stop()
	for {
		var f *wirepb.Frame
		select {
		case next, ok := <-l.out:
			if !ok {
				_ = l.conn.CloseSend() // a broken stream shows in Recv
				return
			}
			f = next
		case <-quiet.C:
			f = &wirepb.Frame{Body: &wirepb.Frame_Working{Working: &wirepb.Working{}}}
		case <-l.joined:
			return
		}
		quiet.Reset(every)
		if err := l.conn.Send(f); err != nil {
			// The reader knows the reason if the peer gave one.
			if !errors.Is(err, io.EOF) {
				l.cancel(connectionLost(err))
			}
			return
		}
	}
}

func connectionLost(err error) error {
	return &Error{Code: CodeCancelled, Reason: "the connection was cut: " + err.Error(), err: err}
}

// account counts a frame and adds it to the transcript.
func (l *link) account(mine bool, f *wirepb.Frame) {
	l.counting.Lock()
	if mine {
		l.carried.Add(l.sent.add(f))
	} else {
		l.carried.Add(l.got.add(f))
	}
	l.counting.Unlock()
	if l.transcript != nil {
		l.transcript.add(mine == l.proposer, f)
	}
}

// traffic returns what both directions have carried so far.
func (l *link) traffic() (sent, got Traffic) {
	l.counting.Lock()
	defer l.counting.Unlock()
	return l.sent, l.got
}

// errPeerEnded: the peer has ended the stream, in order but unasked.
var errPeerEnded = refuse(CodeCancelled, "the peer ended the stream early")

// ended returns why the stream is over.
func (l *link) ended() error {
	for f := range l.in { // what the peer said last tells more than a broken pipe
		if a := f.GetAbort(); a != nil {
			return abortError(a)
		}
	}
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	if l.inEnd == io.EOF {
		return errPeerEnded
	}
	return connectionLost(l.inEnd)
}

// abortError reads the peer's Abort. Its code is the peer's to choose, so an
// unknown one is not repeated.
func abortError(a *wirepb.Abort) *Error {
	e := &Error{Code: Code(a.Code), ByPeer: true}
	if !knownCodes[e.Code] {
		e.Code = CodeInternal
	}
	if a.RetryAfterUnixSeconds > 0 {
		e.RetryAfter = time.Unix(a.RetryAfterUnixSeconds, 0)
	}
	return e
}

// send queues a frame. It may run beside recv and, outside a session, whose
// transcript has an order, beside send.
func (l *link) send(f *wirepb.Frame) error {
	// The writer only reads the frame, and so may account.
	l.account(true, f)
	deadline := time.NewTimer(l.timeouts.Round)
	defer deadline.Stop()
	select {
	case l.out <- f:
		return nil
	case <-l.writerDone:
		return l.ended()
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	case <-deadline.C:
		return refuse(CodeTimeout, "the peer took nothing for %s", l.timeouts.Round)
	}
}

// recv returns the next frame that is neither Working nor Abort. It may run
// beside send.
func (l *link) recv(limit time.Duration) (*wirepb.Frame, error) {
	deadline, idle := time.NewTimer(limit), time.NewTimer(l.timeouts.Idle)
	defer deadline.Stop()
	defer idle.Stop()
	for {
		select {
		case f, ok := <-l.in:
			switch {
			case !ok:
				return nil, l.ended()
			case f.GetAbort() != nil:
				return nil, abortError(f.GetAbort())
			case f.GetWorking() != nil:
				idle.Reset(l.timeouts.Idle)
				continue
			}
			l.account(false, f)
			return f, nil
		case <-l.ctx.Done():
			return nil, context.Cause(l.ctx)
		case <-idle.C:
			return nil, refuse(CodeTimeout, "the peer sent nothing for %s", l.timeouts.Idle)
		case <-deadline.C:
			return nil, refuse(CodeTimeout, "the peer did not answer within %s", limit)
		}
	}
}

// engineConn carries an engine's messages as frames.
type engineConn struct{ *link }

func (c engineConn) Send(_ context.Context, m psi.Message) error {
	return c.send(&wirepb.Frame{Body: &wirepb.Frame_Engine{Engine: &wirepb.Engine{Kind: uint32(m.Kind), Payload: m.Payload}}})
}

func (c engineConn) Recv(context.Context) (psi.Message, error) {
	f, err := c.recv(c.timeouts.Round)
	if err != nil {
		return psi.Message{}, err
	}
	e := f.GetEngine()
	if e == nil || e.Kind == 0 || e.Kind > 255 {
		return psi.Message{}, refuse(CodeMessage, "the peer sent %s, want a message of the engine", frameName(f))
	}
	return psi.Message{Kind: uint8(e.Kind), Payload: e.Payload}, nil
}

// cause returns why the session was ended from our own side, if it was, rather
// than what that broke.
func (l *link) cause(err error) error {
	if cause := context.Cause(l.ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// frameName names a frame in a message for our operator.
func frameName(f *wirepb.Frame) string {
	if f.Body == nil {
		return "an empty frame"
	}
	return fmt.Sprintf("%T", f.Body)[len("*wirepb.Frame_"):]
}

// close ends the stream: in order when err is nil, with an Abort otherwise. It
// gives what is queued a moment to leave and, on the proposer's side, the peer a
// moment to end the stream too. The goroutines end when the context of the Conn
// does and release has been called.
func (l *link) close(err error) {
	patience := time.NewTimer(l.timeouts.Close)
	defer patience.Stop()
	var e *Error
	if err != nil && !(errors.As(err, &e) && e.ByPeer) {
		code, retry := codeOf(err)
		a := &wirepb.Abort{Code: string(code)}
		if !retry.IsZero() {
			a.RetryAfterUnixSeconds = retry.Unix()
		}
		select {
		case l.out <- &wirepb.Frame{Body: &wirepb.Frame_Abort{Abort: a}}:
		case <-l.writerDone:
		case <-patience.C:
			return
		}
	}
	close(l.out)
	select {
	case <-l.writerDone:
	case <-patience.C:
		return
	}
	for l.proposer {
		select {
		case _, ok := <-l.in:
			if !ok {
				return
			}
		case <-patience.C:
			return
		}
	}
}

// release lets the goroutines end.
func (l *link) release() {
	l.cancel(context.Canceled)
	close(l.joined)
}

// join waits for both goroutines, after release and the end of the Conn's
// context. A server's handler can't: its stream ends when it returns.
func (l *link) join() {
	<-l.writerDone
	for range l.in {
	}
}
