package protocol

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"sync"
	"time"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// A grant is what turns a stream into one of requests that are answered at once:
// the asking agency certifies, with both its signatures and for this channel
// only, an Ed25519 key that then signs each request in 64 bytes. Requests are
// numbered and may overlap; the log heads are exchanged beside them.

const (
	domainGrant = "symbolon/v1/grant"
	// headsEvery is how often log heads are exchanged on a stream of requests,
	// at most, beside its beginning and end.
	headsEvery = time.Minute
	// maxInFlight bounds the requests of one stream that are answered at a time.
	maxInFlight = 16
)

// grantBytes are what an agency signs to certify the key of a stream.
func grantBytes(mode psi.Mode, agreement [32]byte, binding, key []byte) []byte {
	h := psi.HashTuple([]byte(mode), agreement[:], binding, key)
	return h[:]
}

// signedRequest returns what a stream's key signs of a request: its kind, the
// agreement, the request's number, then the given parts.
func signedRequest(kind string, agreement [32]byte, number uint64, parts ...[]byte) []byte {
	head := [][]byte{[]byte(kind), agreement[:], binary.BigEndian.AppendUint64(nil, number)}
	h := psi.HashTuple(append(head, parts...)...)
	return h[:]
}

func beUint32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func beUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// grantStream is either side of a stream under a grant.
type grantStream struct {
	n     *Node
	l     *link
	a     *Agreement
	began time.Time
	// Exchanges of heads in progress, started by the peer and by us.
	shows, sees sync.WaitGroup

	mu      sync.Mutex
	showing *headPort // while the peer sees our head
	seeing  *headPort // while we see the peer's
	shown   int       // how often the peer has asked
}

// headPort is a stream as an exchange of heads sees it.
type headPort struct {
	*link
	in chan *wirepb.Frame
	// cosigned: the peer has said all of its part; done is closed when we have.
	cosigned bool
	done     chan struct{}
}

func newHeadPort(l *link) *headPort {
	return &headPort{link: l, in: make(chan *wirepb.Frame, 1), done: make(chan struct{})}
}

func (p *headPort) recv(limit time.Duration) (*wirepb.Frame, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	select {
	case f := <-p.in:
		return f, nil
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	case <-deadline.C:
		return nil, refuse(CodeTimeout, "the peer did not answer within %s", limit)
	}
}

// routeHeads takes the frames of log heads out of the stream. Every frame
// received must pass through it.
func (g *grantStream) routeHeads(f *wirepb.Frame) (taken bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var to *headPort
	switch {
	case f.GetLogQuery() != nil:
		// One at the end, and one a minute before.
		before := g.showing
		if g.shown++; before != nil && !before.cosigned || time.Duration(g.shown-2)*headsEvery > g.n.Now().Sub(g.began) {
			return true, refuse(CodeMessage, "the peer asks for the log's head again and again")
		}
		to = newHeadPort(g.l)
		g.showing = to
		g.shows.Go(func() {
			defer close(to.done)
			if before != nil {
				<-before.done
			}
			if err := g.n.showHead(to, g.a); err != nil {
				g.l.cancel(err)
			}
		})
	case f.GetLogCosign() != nil:
		if to = g.showing; to != nil && !to.cosigned {
			to.cosigned = true
		} else {
			to = nil
		}
	case f.GetLogHead() != nil:
		to = g.seeing
	default:
		return false, nil
	}
	if to == nil {
		return true, refuse(CodeMessage, "the peer sent %s unasked", frameName(f))
	}
	select {
	case to.in <- f:
		return true, nil
	default:
		return true, refuse(CodeMessage, "the peer sent %s twice", frameName(f))
	}
}

// seeHeads asks for the peer's log head and countersigns it. Another goroutine
// must be routing, and no other must be asking.
func (g *grantStream) seeHeads() error {
	port := newHeadPort(g.l)
	g.mu.Lock()
	g.seeing = port
	g.mu.Unlock()
	return g.see(port)
}

func (g *grantStream) see(port *headPort) error {
	err := g.n.seeHead(port, g.a)
	g.mu.Lock()
	g.seeing = nil
	g.mu.Unlock()
	return err
}

// keepHeads asks for the peer's log head in the background if none was exchanged
// under the agreement for a minute.
func (g *grantStream) keepHeads() {
	if !g.n.lookups.headsDue(g.a.Hex(), g.n.Now()) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seeing != nil {
		return
	}
	port := newHeadPort(g.l)
	g.seeing = port
	g.sees.Go(func() {
		if err := g.see(port); err != nil {
			g.l.cancel(err)
		}
	})
}

// verifyGrant checks what the peer says of the key that will sign its requests.
func verifyGrant(l *link, a *Agreement, m *wirepb.Grant) (ed25519.PublicKey, error) {
	if err := keys.CheckEd25519(m.Key); err != nil {
		return nil, refuse(CodeMessage, "the key of the grant: %w", err)
	}
	signed := grantBytes(psi.Mode(m.Mode), a.ID(), l.conn.Binding(), m.Key)
	if err := l.conn.Peer().Verify(domainGrant, signed, signatureOf(m.Signature)); err != nil {
		return nil, refuse(CodeSignature, "the grant's signature: %w", err)
	}
	return ed25519.PublicKey(m.Key), nil
}
