package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// end is what one end of a connection saw.
type end struct {
	state tls.ConnectionState
	err   error
}

// connect lets a client dial a server on loopback and exchange a byte each way.
func connect(t *testing.T, server, client *tls.Config) (s, c end) {
	t.Helper()
	return connectConn(t, server, func(conn net.Conn) (tls.ConnectionState, error) {
		tc := tls.Client(conn, client)
		err := tc.Handshake()
		if err == nil {
			// In TLS 1.3 the client is done before the server has judged it.
			if _, err = tc.Write([]byte{1}); err == nil {
				_, err = io.ReadFull(tc, make([]byte, 1))
			}
		}
		return tc.ConnectionState(), err
	})
}

func connectConn(t *testing.T, server *tls.Config, client func(net.Conn) (tls.ConnectionState, error)) (s, c end) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan end, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- end{err: err}
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		tc := tls.Server(conn, server)
		if err = tc.Handshake(); err == nil {
			if _, err = io.ReadFull(tc, make([]byte, 1)); err == nil {
				_, err = tc.Write([]byte{2})
			}
		}
		done <- end{tc.ConnectionState(), err}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c.state, c.err = client(conn)
	conn.Close()
	return <-done, c
}

// pinned accepts the identities given, by fingerprint.
func pinned(ids ...*Identity) PinFunc {
	return func(p *PublicIdentity) error {
		for _, id := range ids {
			if p.Fingerprint() == id.Public().Fingerprint() {
				return nil
			}
		}
		return errors.New("not pinned")
	}
}

func anyone(*PublicIdentity) error { return nil }

func TestTLS(t *testing.T) {
	t.Parallel()
	for name, rotations := range map[string]int{"fresh": 0, "with full histories": MaxRotations} {
		t.Run(name, func(t *testing.T) {
			north := rotated(t, testIdentity(t, "North"), rotations)
			south := rotated(t, testIdentity(t, "South"), rotations)
			s, c := connect(t, south.ServerTLS(pinned(north)), north.ClientTLS(pinned(south), south.Public().Fingerprint()))
			if s.err != nil || c.err != nil {
				t.Fatalf("server: %v, client: %v", s.err, c.err)
			}
			for _, tt := range []struct {
				at   end
				want *Identity
			}{{s, north}, {c, south}} {
				p, err := PeerIdentity(tt.at.state)
				if err != nil || !bytes.Equal(p.Bytes(), tt.want.Public().Bytes()) {
					t.Errorf("got %v, %v, want %v", p, err, tt.want)
				}
			}
			a, err := s.state.ExportKeyingMaterial("label", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.state.ExportKeyingMaterial("label", nil, 32)
			if err != nil || !bytes.Equal(a, b) {
				t.Errorf("exporters differ: %v", err)
			}
		})
	}
}

func TestTLSPins(t *testing.T) {
	t.Parallel()
	north, south, east := testIdentity(t, "North"), testIdentity(t, "South"), testIdentity(t, "East")
	f := south.Public().Fingerprint()
	for _, tt := range []struct {
		name                   string
		server, client         *tls.Config
		wantServer, wantClient string
	}{
		{"the client is a stranger", south.ServerTLS(pinned(east)), north.ClientTLS(anyone, f),
			`peer "North" (` + north.Public().Fingerprint().String() + "): not pinned", "bad certificate"},
		{"the server is a stranger", south.ServerTLS(anyone), north.ClientTLS(pinned(east), f), "bad certificate", `peer "South"`},
		{"the server is another peer", south.ServerTLS(anyone), north.ClientTLS(anyone, east.Public().Fingerprint()),
			"bad certificate", "want " + east.Public().Fingerprint().String()},
		{"the client is revoked", south.ServerTLS(func(*PublicIdentity) error { return errors.New("revoked") }),
			north.ClientTLS(anyone, f), "revoked", "bad certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := connect(t, tt.server, tt.client)
			wantError(t, s.err, tt.wantServer)
			wantError(t, c.err, tt.wantClient)
			for _, e := range []end{s, c} {
				if e.err != nil && strings.HasPrefix(e.err.Error(), "keys:") && e.state.HandshakeComplete {
					t.Error("a refused handshake is complete")
				}
			}
		})
	}
}

// TestTLSRotation is a node's pin following a rotation, and the old key refused
// from then on.
func TestTLSRotation(t *testing.T) {
	t.Parallel()
	north, old := testIdentity(t, "North"), testIdentity(t, "South")
	current := rotated(t, old, 2)
	pin := old.Public().Fingerprint()
	follow := func(p *PublicIdentity) error {
		if !p.DescendsFrom(pin) {
			return errors.New("not pinned")
		}
		pin = p.Fingerprint()
		return nil
	}
	dial := func(server *Identity) error {
		_, c := connect(t, server.ServerTLS(anyone), north.ClientTLS(follow, pin))
		return c.err
	}
	wantError(t, dial(old), "")
	wantError(t, dial(current), "")
	if pin != current.Public().Fingerprint() {
		t.Fatal("the pin has not moved")
	}
	wantError(t, dial(old), "want "+pin.String())
	s, _ := connect(t, north.ServerTLS(follow), old.ClientTLS(anyone, north.Public().Fingerprint()))
	wantError(t, s.err, "not pinned")
	// The thief of the old key makes a successor of his own.
	fork, err := old.Rotate(testRand("thief"), then.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, dial(fork), "want "+pin.String())
}

// TestTLSPeersOfOtherSorts connects what is no node.
func TestTLSPeersOfOtherSorts(t *testing.T) {
	t.Parallel()
	north, south := testIdentity(t, "North"), testIdentity(t, "South")
	f := south.Public().Fingerprint()
	client := func(change func(*tls.Config)) *tls.Config {
		c := north.ClientTLS(anyone, f)
		change(c)
		return c
	}
	for _, tt := range []struct {
		name   string
		client *tls.Config
		want   string
	}{
		{"TLS 1.2", client(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			c.CurvePreferences = nil
		}), "unsupported versions"},
		{"no hybrid key agreement", client(func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
		}), "no key exchanges supported by both"},
		{"another hybrid", client(func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.SecP256r1MLKEM768}
		}), "no key exchanges supported by both"},
		{"no certificate", client(func(c *tls.Config) { c.Certificates = nil }), "didn't provide a certificate"},
		{"another application protocol", client(func(c *tls.Config) { c.NextProtos = []string{"h3"} }), "unsupported application protocols"},
		{"HTTP/1.1, which crypto/tls lets pass", client(func(c *tls.Config) {
			c.NextProtos, c.VerifyConnection = []string{"http/1.1"}, nil
		}), `application protocol is "", want "h2"`},
		{"no application protocol", client(func(c *tls.Config) {
			c.NextProtos, c.VerifyConnection = nil, nil
		}), `application protocol is "", want "h2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := connect(t, south.ServerTLS(anyone), tt.client)
			wantError(t, s.err, tt.want)
			if c.err == nil {
				t.Error("the client noticed nothing")
			}
		})
	}
	t.Run("a plain socket", func(t *testing.T) {
		s, _ := connectConn(t, south.ServerTLS(anyone), func(conn net.Conn) (tls.ConnectionState, error) {
			_, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			if err == nil {
				_, err = io.ReadAll(conn)
			}
			return tls.ConnectionState{}, err
		})
		wantError(t, s.err, "first record does not look like a TLS handshake")
	})
	t.Run("a server that speaks TLS 1.2", func(t *testing.T) {
		old := south.ServerTLS(anyone)
		old.MinVersion, old.MaxVersion, old.CurvePreferences = tls.VersionTLS12, tls.VersionTLS12, nil
		_, c := connect(t, old, north.ClientTLS(anyone, f))
		wantError(t, c.err, "protocol version")
	})
	t.Run("a server without the hybrid", func(t *testing.T) {
		classic := south.ServerTLS(anyone)
		classic.CurvePreferences = []tls.CurveID{tls.X25519}
		_, c := connect(t, classic, north.ClientTLS(anyone, f))
		wantError(t, c.err, "handshake failure")
	})
}

// certify makes a certificate for the public key, signed by key, with the
// extension content, if any.
func certify(t *testing.T, public crypto.PublicKey, key crypto.Signer, extensions ...[]byte) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: then, NotAfter: then.AddDate(1, 0, 0)}
	for _, e := range extensions {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: bindingOID, Critical: true, Value: e})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// bind returns an extension with the document and a signature of signer over
// the SubjectPublicKeyInfo of the key.
func bind(t *testing.T, document []byte, signer *Identity, domain string, public crypto.PublicKey) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(domain, spki)
	if err != nil {
		t.Fatal(err)
	}
	ext, err := asn1.Marshal(binding{document, sig.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	return ext
}

// TestTLSForgedCertificates: Mallory, who has seen South's certificate, wants
// to be South.
func TestTLSForgedCertificates(t *testing.T) {
	t.Parallel()
	north, south, mallory := testIdentity(t, "North"), testIdentity(t, "South"), testIdentity(t, "Mallory")
	f := south.Public().Fingerprint()
	key := mallory.keys().tls
	public := key.Public()
	doc := south.Public().Bytes()
	genuine := south.keys().cert.Certificate[0]
	parsed, err := x509.ParseCertificate(genuine)
	if err != nil {
		t.Fatal(err)
	}
	var genuineExt []byte
	for _, e := range parsed.Extensions {
		if e.Id.Equal(bindingOID) {
			genuineExt = e.Value
		}
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := bind(t, mallory.Public().Bytes(), mallory, domainTLS, public)
	bits, err := asn1.Marshal(binding{doc, make([]byte, 100)})
	if err != nil {
		t.Fatal(err)
	}
	own := func(exts ...[]byte) *tls.Certificate { return certify(t, public, key, exts...) }
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		want string
	}{
		{"his own, as he may", own(good), "want " + f.String()},
		{"South's certificate without its key", &tls.Certificate{Certificate: [][]byte{genuine}, PrivateKey: key}, "invalid signature by the server certificate"},
		{"South's extension on his key", own(genuineExt), "TLS key is not bound to identity"},
		{"South's document, bound by himself", own(bind(t, doc, mallory, domainTLS, public)), "TLS key is not bound to identity"},
		{"a signature from elsewhere", own(bind(t, mallory.Public().Bytes(), mallory, "symbolon/v1/agreement", public)), "TLS key is not bound to identity"},
		{"an altered document", own(bind(t, bytes.Replace(mallory.Public().Bytes(), []byte("Mallory"), []byte("Mallorz"), 1), mallory, domainTLS, public)), "signature does not hold"},
		{"a document with spaces", own(bind(t, append([]byte(" "), mallory.Public().Bytes()...), mallory, domainTLS, public)), "not canonical JSON"},
		{"no extension", own(), "no identity in it"},
		{"an empty extension", own([]byte{}), "not a sequence"},
		{"a truncated extension", own(good[:len(good)-1]), "not a sequence"},
		{"more behind the extension", own(append(bytes.Clone(good), 0)), "not a sequence"},
		{"a short signature", own(bits), "100 bytes, want 3373"},
		{"two certificates", &tls.Certificate{Certificate: append(own(good).Certificate, genuine), PrivateKey: key}, "2 certificates, want 1"},
		{"an ECDSA key", certify(t, p256.Public(), p256, bind(t, mallory.Public().Bytes(), mallory, domainTLS, p256.Public())), "TLS key is ECDSA, want Ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := mallory.ServerTLS(anyone)
			server.Certificates = []tls.Certificate{*tt.cert}
			s, c := connect(t, server, north.ClientTLS(anyone, f))
			wantError(t, c.err, tt.want)
			if s.err == nil {
				t.Error("the server noticed nothing")
			}
			client := mallory.ClientTLS(anyone, f)
			client.Certificates = server.Certificates
			want := strings.Replace(tt.want, "by the server", "by the client", 1)
			if tt.name == "his own, as he may" {
				want = "not pinned"
			}
			s, _ = connect(t, south.ServerTLS(pinned(south)), client)
			wantError(t, s.err, want)
		})
	}
	t.Run("two extensions", func(t *testing.T) {
		server := mallory.ServerTLS(anyone)
		server.Certificates = []tls.Certificate{*own(good, good)}
		_, c := connect(t, server, north.ClientTLS(anyone, f))
		wantError(t, c.err, "duplicate extension")
	})
}

func TestPeerIdentityChecksTheConnection(t *testing.T) {
	t.Parallel()
	cert, err := x509.ParseCertificate(testIdentity(t, "North").keys().cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	good := tls.ConnectionState{
		HandshakeComplete: true, Version: tls.VersionTLS13, CurveID: tls.X25519MLKEM768,
		NegotiatedProtocol: "h2", PeerCertificates: []*x509.Certificate{cert},
	}
	for _, tt := range []struct {
		name   string
		change func(*tls.ConnectionState)
		want   string
	}{
		{"good", func(*tls.ConnectionState) {}, ""},
		{"zero", func(cs *tls.ConnectionState) { *cs = tls.ConnectionState{} }, "not complete"},
		{"unfinished", func(cs *tls.ConnectionState) { cs.HandshakeComplete = false }, "not complete"},
		{"TLS 1.2", func(cs *tls.ConnectionState) { cs.Version = tls.VersionTLS12 }, "peer speaks TLS 1.2"},
		{"classical", func(cs *tls.ConnectionState) { cs.CurveID = tls.X25519 }, "key agreement is X25519,"},
		{"another protocol", func(cs *tls.ConnectionState) { cs.NegotiatedProtocol = "h3" }, `"h3"`},
		{"resumed", func(cs *tls.ConnectionState) { cs.DidResume = true }, "resumed"},
		{"no certificate", func(cs *tls.ConnectionState) { cs.PeerCertificates = nil }, "0 certificates"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs := good
			tt.change(&cs)
			_, err := PeerIdentity(cs)
			wantError(t, err, tt.want)
		})
	}
}

func TestTLSKeepsNoTickets(t *testing.T) {
	t.Parallel()
	north, south := testIdentity(t, "North"), testIdentity(t, "South")
	server := south.ServerTLS(anyone)
	client := north.ClientTLS(anyone, south.Public().Fingerprint())
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	client.ServerName = "south"
	for i := range 2 {
		s, c := connect(t, server, client)
		if s.err != nil || c.err != nil || s.state.DidResume || c.state.DidResume {
			t.Errorf("connection %d: %v, %v, resumed %v", i, s.err, c.err, c.state.DidResume)
		}
	}
}

func TestCertificate(t *testing.T) {
	id := testIdentity(t, "North")
	der := id.keys().cert.Certificate[0]
	again := testIdentity(t, "North").keys().cert.Certificate[0]
	cert, err := x509.ParseCertificate(der)
	if err != nil || !bytes.Equal(der, again) {
		t.Fatalf("the certificate changes: %v", err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
	if id.keys().ed.Equal(id.keys().tls) || bytes.Equal(cert.PublicKey.(ed25519.PublicKey), id.public.keys.ed) {
		t.Error("the TLS key is the identity's")
	}
	if got, want := cert.Subject.CommonName, id.Public().Fingerprint().String(); got != want {
		t.Errorf("the subject is %q, want %q", got, want)
	}
}

func BenchmarkHandshake(b *testing.B) {
	for _, rotations := range []int{0, MaxRotations} {
		b.Run(fmt.Sprintf("rotations=%d", rotations), func(b *testing.B) {
			id := rotated(b, testIdentity(b, "North"), rotations)
			server, client := id.ServerTLS(anyone), id.ClientTLS(anyone, id.Public().Fingerprint())
			for b.Loop() {
				x, y := net.Pipe()
				done := make(chan error, 1)
				go func() { done <- tls.Server(x, server).Handshake() }()
				if err := tls.Client(y, client).Handshake(); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
