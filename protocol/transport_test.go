package protocol

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
)

// listen serves an agency's node on loopback and tells the other its address.
func (ag *agency) listen(t *testing.T, others ...*agency) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := ag.Server()
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		must(t, <-done)
	})
	for _, other := range others {
		other.dial = other.dialPeer
		must(t, other.Store.Update(func(tx *store.Tx) error {
			return tx.SetPeerAddress(ag.root(t), lis.Addr().String(), epoch)
		}))
	}
	return lis.Addr().String()
}

func TestSessionOverGRPC(t *testing.T) {
	north, south, agreement := pair(t, nil)
	south.listen(t, north)
	for range 2 { // the log heads of the first session are extended by the second
		out, err := north.match(agreement, psi.ModeMutual)
		must(t, err)
		if got, want := ids(out.Hits), wantIDs("n", 20, 40); !slices.Equal(got, want) {
			t.Fatalf("hits %v, want %v", got, want)
		}
	}
	verifyLog(t, north)
	verifyLog(t, south)
}

// A node that answers nobody, or noise, does not hold up others.
func TestStrangersAtTheDoor(t *testing.T) {
	north, south, agreement := pair(t, nil)
	address := south.listen(t, north)
	for name, say := range map[string]string{
		"plain HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/2":     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"noise":      strings.Repeat("\xff\x00", 4096),
	} {
		c, err := net.Dial("tcp", address)
		must(t, err)
		_, err = c.Write([]byte(say))
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		c.Close()
	}
	silent, err := net.Dial("tcp", address)
	must(t, err)
	defer silent.Close()
	stranger, err := keys.NewIdentity(psi.NewStream([]byte("stranger"), "x"), "Stranger", epoch)
	must(t, err)
	anyone := func(*keys.PublicIdentity) error { return nil }
	old := stranger.ClientTLS(anyone, south.Identity.Public().Fingerprint())
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, config := range map[string]*tls.Config{
		"an unknown key": stranger.ClientTLS(anyone, south.Identity.Public().Fingerprint()),
		"TLS 1.2":        old,
	} {
		client, err := Dial(address, config)
		must(t, err)
		c, err := client.Open(t.Context())
		if err == nil {
			_, err = c.Recv()
		}
		if err == nil {
			t.Errorf("%s: let in", name)
		}
		client.Close()
	}
	_, err = north.match(agreement, psi.ModeIntersection)
	must(t, err)
}

// The address of one peer must not lead to another.
func TestWrongPeerAtTheAddress(t *testing.T) {
	north, south, agreement := pair(t, nil)
	impostor, err := keys.NewIdentity(psi.NewStream([]byte("impostor"), "x"), "South Agency", epoch)
	must(t, err)
	other := newAgency(t, impostor, "impostor", header)
	other.pinPeer(north)
	other.listen(t)
	address := other.listen(t)
	must(t, north.Store.Update(func(tx *store.Tx) error { return tx.SetPeerAddress(south.root(t), address, epoch) }))
	north.dial = north.dialPeer
	_, err = north.match(agreement, psi.ModeIntersection)
	if err == nil || !strings.Contains(err.Error(), "cannot reach the peer") {
		t.Fatalf("got %v", err)
	}
}

func TestFrameTooLarge(t *testing.T) {
	north, south, agreement := pair(t, nil)
	address := south.listen(t)
	north.dial = func(ctx context.Context, _ store.Peer) (Conn, func(), error) {
		// A peer whose gRPC does not keep to our limit.
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(
			credentials.NewTLS(north.Identity.ClientTLS(north.pin, south.Identity.Public().Fingerprint()))))
		if err != nil {
			return nil, nil, err
		}
		c, err := (&Client{conn}).Open(ctx)
		if err != nil {
			return nil, nil, err
		}
		large := engineFrame(1, make([]byte, MaxFrame))
		return &tapConn{Conn: c, out: instead(isEngine, large)}, func() { conn.Close() }, nil
	}
	if _, err := north.match(agreement, psi.ModeIntersection); err == nil {
		t.Fatal("a frame over the limit was taken")
	}
	for range 100 { // the server's side ends on its own
		if south.Live() == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	noResult(t, south)
}

// A rotated identity is accepted by the peer that pinned the old one; from then
// on the old is not.
func TestRotation(t *testing.T) {
	north, south, agreement := pair(t, nil)
	south.listen(t, north)
	_, err := north.match(agreement, psi.ModeMutual)
	must(t, err)
	next, err := north.Identity.Rotate(psi.NewStream([]byte("next"), "x"), epoch)
	must(t, err)
	must(t, north.Store.Update(func(tx *store.Tx) error {
		p := next.Public()
		return tx.AddOwnIdentity(store.OwnIdentity{Fingerprint: p.Fingerprint().String(), Identity: p.Bytes(), Added: epoch})
	}))
	old := north.Node
	options := old.Options
	options.Identity = next
	rotated, err := NewNode(options)
	must(t, err)
	north.Node = rotated
	out, err := north.match(agreement, psi.ModeMutual)
	must(t, err)
	if len(out.Hits) != 20 {
		t.Errorf("%d hits after the rotation", len(out.Hits))
	}
	verifyLog(t, north)
	verifyLog(t, south)
	north.Node = old
	if _, err := north.match(agreement, psi.ModeMutual); err == nil {
		t.Error("the old identity was let in after the pin moved")
	}
	peer, err := south.Store.PeerByName("north")
	must(t, err)
	if peer.Fingerprint != next.Public().Fingerprint().String() || peer.Root != old.Identity.Public().Fingerprint().String() {
		t.Error("the pin did not move")
	}
	// The acceptor may have rotated as well.
	north.Node = rotated
	south.connect(north, nil)
	_, err = south.match(agreement, psi.ModeMutual)
	must(t, err)
}
