package protocol

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// requester is the asker's side of a stream under a grant. Its calls may overlap.
type requester struct {
	grantStream
	peer store.Peer
	key  ed25519.PrivateKey
	// granted is what the owner said of its newest filter.
	granted *wirepb.Granted

	sending sync.Mutex // requests leave in the order of their numbers
	number  uint64
	waiting map[uint64]chan *wirepb.Frame // guarded by mu of grantStream
	blocks  map[uint64]chan []byte        // likewise: searches under way
	ended   chan struct{}                 // closed when the reader has ended
	endErr  error                         // why, nil for the end that we asked for
	closing bool                          // guarded by mu

	release func()
	once    sync.Once
}

// openRequests opens a stream for requests of a mode. Close it.
func (n *Node) openRequests(ctx context.Context, agreement string, mode psi.Mode) (_ *requester, err error) {
	a, peer, err := n.inForce(agreement)
	if err != nil {
		return nil, err
	}
	own, ok := a.PartyOf(n.Identity.Public())
	switch {
	case !ok:
		return nil, refuse(CodeAgreement, "this node is no party to agreement %.16s", agreement)
	case !a.Allows(mode):
		return nil, refuse(CodeNotPermitted, "mode %q is not in the agreement, which allows %v", mode, a.Modes)
	case !a.MayAsk(own):
		return nil, refuse(CodeNotPermitted, "by the agreement, %s learns, not this agency", a.Other(own).Name)
	}
	connCtx, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	// Cancelling ends the stream first, so that the peer can be told.
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(2*n.Timeouts.Close, hangUp) })
	conn, closeConn, err := n.dial(connCtx, peer)
	if err != nil {
		stop()
		hangUp()
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	live, err := n.enter(cancel, peer.Root, false)
	if err != nil {
		cancel(nil)
		stop()
		hangUp()
		closeConn()
		return nil, err
	}
	l := newLink(ctx, conn, true, n.Timeouts)
	r := &requester{peer: peer, waiting: map[uint64]chan *wirepb.Frame{}, ended: make(chan struct{})}
	r.grantStream = grantStream{n: n, l: l, a: a, began: n.Now()}
	r.release = func() {
		l.release()
		hangUp()
		l.join()
		closeConn()
		stop()
		cancel(nil)
		n.leave(live)
	}
	if err := r.open(live, mode); err != nil {
		l.close(err)
		r.release()
		return nil, err
	}
	go r.read()
	return r, nil
}

// open runs the opening up to Granted.
func (r *requester) open(live *liveSession, mode psi.Mode) error {
	n, l := r.n, r.l
	if err := n.claim(live, r.a.Hex(), ""); err != nil {
		return err
	}
	// A suspension between the first look and the line above missed us.
	if _, _, err := n.inForce(r.a.Hex()); err != nil {
		return err
	}
	if err := n.hello(l, r.a, l.conn.Peer()); err != nil {
		return err
	}
	n.lookups.headsSeen(r.a.Hex(), n.Now())
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(n.Rand, seed); err != nil {
		return fmt.Errorf("drawing the stream's key: %w", err)
	}
	r.key = ed25519.NewKeyFromSeed(seed)
	public := r.key.Public().(ed25519.PublicKey)
	sig, err := n.Identity.Sign(domainGrant, grantBytes(mode, r.a.ID(), l.conn.Binding(), public))
	if err != nil {
		return err
	}
	err = l.send(&wirepb.Frame{Body: &wirepb.Frame_Grant{Grant: &wirepb.Grant{Mode: string(mode), Key: public, Signature: wireSignature(sig)}}})
	if err != nil {
		return err
	}
	f, err := l.recv(l.timeouts.Handshake)
	if err != nil {
		return err
	}
	if r.granted = f.GetGranted(); r.granted == nil {
		return refuse(CodeMessage, "the peer sent %s, want Granted", frameName(f))
	}
	return nil
}

// read hands answers to those who wait for them, until the stream ends.
func (r *requester) read() {
	err := r.readAll()
	r.mu.Lock()
	if r.closing && errors.Is(err, errPeerEnded) {
		err = nil
	}
	r.endErr = err
	r.mu.Unlock()
	close(r.ended)
	if err != nil {
		r.l.cancel(err) // nobody routes any more
	}
}

func (r *requester) readAll() error {
	for {
		f, err := r.l.recv(r.l.timeouts.Session)
		if err != nil {
			return err
		}
		if taken, err := r.routeHeads(f); taken || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if b := f.GetSearchBlock(); b != nil {
			if err := r.routeBlock(b); err != nil {
				return err
			}
			continue
		}
		number, ok := answerNumber(f)
		if !ok {
			return refuse(CodeMessage, "the peer sent %s, want an answer", frameName(f))
		}
		r.mu.Lock()
		to := r.waiting[number]
		delete(r.waiting, number)
		r.mu.Unlock()
		if to == nil {
			return refuse(CodeMessage, "the peer answers a request that was not made")
		}
		to <- f // has room for one
	}
}

// answerNumber returns the number of the request that a frame answers.
func answerNumber(f *wirepb.Frame) (uint64, bool) {
	switch b := f.Body.(type) {
	case *wirepb.Frame_LookupAnswer:
		return b.LookupAnswer.Number, true
	case *wirepb.Frame_Manifest:
		return b.Manifest.Number, true
	case *wirepb.Frame_FileChunk:
		return b.FileChunk.Number, true
	case *wirepb.Frame_SearchKeysAnswer:
		return b.SearchKeysAnswer.Number, true
	case *wirepb.Frame_SearchAnswer:
		return b.SearchAnswer.Number, true
	case *wirepb.Frame_RevealAnswer:
		return b.RevealAnswer.Number, true
	case *wirepb.Frame_Refusal:
		return b.Refusal.Number, true
	}
	return 0, false
}

// ask sends the request that build makes of its number. The answer comes on the
// channel.
func (r *requester) ask(build func(number uint64) *wirepb.Frame) (uint64, <-chan *wirepb.Frame, error) {
	answer := make(chan *wirepb.Frame, 1)
	r.sending.Lock()
	defer r.sending.Unlock()
	r.number++
	number := r.number
	r.mu.Lock()
	r.waiting[number] = answer
	r.mu.Unlock()
	return number, answer, r.l.send(build(number))
}

// sign signs a request with the stream's key.
func (r *requester) sign(signed []byte) []byte { return ed25519.Sign(r.key, signed) }

// call sends the request that build makes of its number and waits for the
// answer. A refusal is an *Error that leaves the stream usable; after any other
// error it is not.
func (r *requester) call(ctx context.Context, limit time.Duration, build func(number uint64) *wirepb.Frame) (*wirepb.Frame, error) {
	_, answer, err := r.ask(build)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	select {
	case f := <-answer:
		if m := f.GetRefusal(); m != nil {
			return nil, refusalError(m)
		}
		return f, nil
	case <-r.ended:
		return nil, r.failure()
	case <-ctx.Done(): // the answer will find nobody
		err := context.Cause(ctx)
		r.l.cancel(err)
		return nil, err
	case <-deadline.C:
		err := refuse(CodeTimeout, "the peer did not answer within %s", limit)
		r.l.cancel(err)
		return nil, err
	}
}

// failure returns why the stream has ended.
func (r *requester) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endErr != nil {
		return r.endErr
	}
	return refuse(CodeCancelled, "the stream has been closed")
}

// fail ends the stream because of what the peer said.
func (r *requester) fail(err error) error {
	r.l.cancel(err)
	return err
}

// refusalError reads the peer's refusal of one request.
func refusalError(m *wirepb.Refusal) error {
	e := abortError(&wirepb.Abort{Code: m.Code, RetryAfterUnixSeconds: m.RetryAfterUnixSeconds})
	e.request = true
	return e
}

// close ends the stream: the log heads are exchanged and the owner ends it. All
// calls must have returned. It returns what went wrong on the way.
func (r *requester) close() (err error) {
	r.once.Do(func() {
		select {
		case <-r.ended:
			err = r.failure()
		default:
			err = r.finish()
		}
		r.l.cancel(err) // the reader ends, and what waits for heads
		<-r.ended
		r.sees.Wait()
		r.shows.Wait()
		r.l.close(err)
		r.release()
	})
	return err
}

// finish says that no request follows and waits for the end.
func (r *requester) finish() error {
	r.sees.Wait() // an exchange that is under way
	if err := r.seeHeads(); err != nil {
		return err
	}
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	if err := r.l.send(&wirepb.Frame{Body: &wirepb.Frame_Done{Done: &wirepb.Done{}}}); err != nil {
		return err
	}
	deadline := time.NewTimer(r.l.timeouts.Handshake)
	defer deadline.Stop()
	select {
	case <-r.ended:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.endErr
	case <-deadline.C:
		return refuse(CodeTimeout, "the peer did not end the stream within %s", r.l.timeouts.Handshake)
	}
}
