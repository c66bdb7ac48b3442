package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// nextProtocol is the only application protocol (ALPN): gRPC's HTTP/2.
const nextProtocol = "h2"

// bindingOID marks the certificate extension that binds the TLS key to the
// identity. 2.25 is the arc of UUIDs, open to everyone (ITU-T X.667); our
// number is the first 31 bits of SHA-256("symbolon"), since crypto/x509 knows
// no longer ones.
var bindingOID = asn1.ObjectIdentifier{2, 25, 933518719}

// binding is the DER content of the extension: the identity document in
// canonical JSON, and the identity's Signature in binary over the certificate's
// SubjectPublicKeyInfo in domain "symbolon/v1/tls".
type binding struct {
	Document  []byte
	Signature []byte
}

// PinFunc decides whether a node may talk to the identity presented: nil if so,
// and then, if it replaced a pinned one, the pin has moved to it.
//
// It judges the whole history: an identity that descends from a revoked one is
// in the hands of whoever held that.
//
// It is called during handshakes, several at once, when document, binding and expectation
// have been checked but the peer has not yet proved to hold the TLS key: anyone
// who has seen a certificate gets this far with it. A moved pin is safe, since
// the document's signatures alone justify it. "The peer was here" is not yet
// known; PeerIdentity tells after the handshake.
type PinFunc func(presented *PublicIdentity) error

// ServerTLS returns the configuration of a node's listener: TLS 1.3 only, key
// agreement by X25519MLKEM768 only, both sides with certificates, no
// resumption. Names, dates and authorities mean nothing in it: the certificate
// carries the identity, and pins decides. Every caller who negotiates so far
// sees the node's identity document, for in TLS a server shows itself first.
// Close idle and half-open connections by deadlines: it sets none.
//
// The TLS key is Ed25519: derived from the seed like the other keys, with no
// nonce to get wrong, and it needs to withstand forgers only at the time of a
// connection.
func (id *Identity) ServerTLS(pins PinFunc) *tls.Config {
	return id.tlsConfig(pins, nil)
}

// ClientTLS returns the configuration to dial the identity with fingerprint
// expect, or one that has replaced it. It is otherwise like ServerTLS.
func (id *Identity) ClientTLS(pins PinFunc, expect Fingerprint) *tls.Config {
	return id.tlsConfig(pins, &expect)
}

func (id *Identity) tlsConfig(pins PinFunc, expect *Fingerprint) *tls.Config {
	if pins == nil {
		panic("keys: TLS without pins")
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{*id.keys().cert},
		MinVersion:             tls.VersionTLS13,
		MaxVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		NextProtos:             []string{nextProtocol},
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequireAnyClientCert,
		// There is no authority or host name to verify by; VerifyConnection
		// runs in every handshake of either side.
		InsecureSkipVerify: true,
		VerifyConnection:   func(cs tls.ConnectionState) error { return checkPeer(cs, pins, expect) },
	}
}

// makeCertificate makes the self-signed certificate, the same every time.
func makeCertificate(id *PublicIdentity, k *privateKeys) (*tls.Certificate, error) {
	public := k.tls.Public().(ed25519.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("keys: encoding the TLS key: %w", err)
	}
	sig, err := k.sign(domainTLS, spki)
	if err != nil {
		return nil, err
	}
	ext, err := asn1.Marshal(binding{Document: id.document, Signature: sig.Bytes()})
	if err != nil {
		return nil, fmt.Errorf("keys: encoding the TLS binding: %w", err)
	}
	f := id.Fingerprint()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, f[:15]...)),
		Subject:      pkix.Name{CommonName: f.String()},
		NotBefore:    id.created,
		// RFC 5280, Section 4.1.2.5: no well-defined expiration date.
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: bindingOID, Critical: true, Value: ext}},
	}
	// Ed25519 signs without randomness.
	der, err := x509.CreateCertificate(nil, template, template, public, k.tls)
	if err != nil {
		return nil, fmt.Errorf("keys: making the TLS certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.tls}, nil
}

// checkPeer is the verdict on a handshake.
func checkPeer(cs tls.ConnectionState, pins PinFunc, expect *Fingerprint) error {
	p, err := connectionIdentity(cs)
	if err != nil {
		return err
	}
	if expect != nil && !p.DescendsFrom(*expect) {
		return fmt.Errorf("keys: peer is %s, want %s or one that replaced it", p, *expect)
	}
	if err := pins(p); err != nil {
		return fmt.Errorf("keys: peer %s: %w", p, err)
	}
	return nil
}

// PeerIdentity returns the identity at the other end of an established
// connection that a configuration of ServerTLS or ClientTLS made. It checks
// version, key agreement and binding again, so that no other configuration can
// pass for one of these.
func PeerIdentity(cs tls.ConnectionState) (*PublicIdentity, error) {
	if !cs.HandshakeComplete {
		return nil, errors.New("keys: TLS handshake is not complete")
	}
	return connectionIdentity(cs)
}

func connectionIdentity(cs tls.ConnectionState) (*PublicIdentity, error) {
	switch {
	case cs.Version != tls.VersionTLS13:
		return nil, fmt.Errorf("keys: peer speaks %s, want TLS 1.3", tls.VersionName(cs.Version))
	case cs.CurveID != tls.X25519MLKEM768:
		return nil, fmt.Errorf("keys: key agreement is %s, want X25519MLKEM768", cs.CurveID)
	case cs.NegotiatedProtocol != nextProtocol:
		return nil, fmt.Errorf("keys: peer's application protocol is %q, want %q", cs.NegotiatedProtocol, nextProtocol)
	case cs.DidResume:
		return nil, errors.New("keys: TLS session was resumed")
	case len(cs.PeerCertificates) != 1:
		return nil, fmt.Errorf("keys: peer sent %d certificates, want 1", len(cs.PeerCertificates))
	}
	p, err := certificateIdentity(cs.PeerCertificates[0])
	if err != nil {
		return nil, fmt.Errorf("keys: peer's certificate: %w", err)
	}
	return p, nil
}

// certificateIdentity returns the identity whose binding the certificate
// carries, and refuses any other certificate.
func certificateIdentity(cert *x509.Certificate) (*PublicIdentity, error) {
	if _, ok := cert.PublicKey.(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("TLS key is %s, want Ed25519", cert.PublicKeyAlgorithm)
	}
	// crypto/x509 refuses an extension that stands there twice.
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(bindingOID) {
			return parseBinding(ext.Value, cert.RawSubjectPublicKeyInfo)
		}
	}
	return nil, errors.New("there is no identity in it")
}

func parseBinding(der, spki []byte) (*PublicIdentity, error) {
	var b binding
	rest, err := asn1.Unmarshal(der, &b)
	if err != nil || len(rest) != 0 {
		return nil, errors.New("identity extension is not a sequence of two octet strings")
	}
	p, err := parsePublic(b.Document)
	if err != nil {
		return nil, fmt.Errorf("identity document: %w", err)
	}
	if !bytes.Equal(p.document, b.Document) {
		return nil, errors.New("identity document is not canonical JSON")
	}
	sig, err := ParseSignature(b.Signature)
	if err != nil {
		return nil, fmt.Errorf("binding: %w", err)
	}
	if p.Verify(domainTLS, spki, sig) != nil {
		return nil, fmt.Errorf("TLS key is not bound to identity %s", p)
	}
	return p, nil
}
