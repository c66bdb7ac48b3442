package protocol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
)

// exporterLabel names the value that binds a session to its TLS channel
// (RFC 8446, Section 7.5).
const exporterLabel = "EXPORTER-symbolon-session-v1"

// Limits of a node's listener.
const (
	maxStreamsPerConnection = 16
	handshakeTimeout        = 10 * time.Second
	window                  = 4 << 20 // bytes in flight, for long round trips
)

// NewServer returns a gRPC server that passes every stream of an authenticated
// peer to handle. The stream ends when handle returns.
func NewServer(config *tls.Config, handle func(context.Context, Conn)) *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.MaxRecvMsgSize(MaxFrame),
		grpc.MaxSendMsgSize(MaxFrame),
		grpc.MaxConcurrentStreams(maxStreamsPerConnection),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second}),
		grpc.WaitForHandlers(true),
	)
	wirepb.RegisterPeerServer(s, &peerService{handle: handle})
	return s
}

type peerService struct {
	wirepb.UnimplementedPeerServer
	handle func(context.Context, Conn)
}

func (s *peerService) Session(stream wirepb.Peer_SessionServer) error {
	c, err := newGRPCConn(stream)
	if err != nil {
		return status.Error(codes.Unauthenticated, "not authenticated")
	}
	s.handle(stream.Context(), c)
	return nil
}

// Client is a connection to one peer.
type Client struct{ conn *grpc.ClientConn }

// Dial prepares a connection to the peer at address, host:port. Nothing is sent
// before Open.
func Dial(address string, config *tls.Config) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxFrame), grpc.MaxCallSendMsgSize(MaxFrame)),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: handshakeTimeout}
			return d.DialContext(ctx, "tcp", addr)
		}),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WithDisableRetry(),
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	return &Client{conn}, nil
}

// Open starts a stream, which lives until ctx ends.
func (c *Client) Open(ctx context.Context) (Conn, error) {
	stream, err := wirepb.NewPeerClient(c.conn).Session(ctx)
	if err != nil {
		return nil, connectError(err)
	}
	return newGRPCConn(stream)
}

// Close closes the connection and every stream on it.
func (c *Client) Close() error { return c.conn.Close() }

// ErrUnreachable says that no connection to the peer came about.
var ErrUnreachable = errors.New("cannot reach the peer")

func connectError(err error) error {
	return fmt.Errorf("%w: %s", ErrUnreachable, status.Convert(err).Message())
}

// frameStream is what both ends of a gRPC stream have in common.
type frameStream interface {
	Send(*wirepb.Frame) error
	Recv() (*wirepb.Frame, error)
	Context() context.Context
}

type grpcConn struct {
	frameStream
	peer    *keys.PublicIdentity
	binding []byte
}

func newGRPCConn(stream frameStream) (*grpcConn, error) {
	p, ok := peer.FromContext(stream.Context())
	if !ok {
		return nil, fmt.Errorf("protocol: stream without a peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, fmt.Errorf("protocol: stream without TLS")
	}
	id, err := keys.PeerIdentity(info.State)
	if err != nil {
		return nil, err
	}
	binding, err := info.State.ExportKeyingMaterial(exporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("protocol: TLS exporter: %w", err)
	}
	return &grpcConn{stream, id, binding}, nil
}

func (c *grpcConn) Peer() *keys.PublicIdentity { return c.peer }
func (c *grpcConn) Binding() []byte            { return c.binding }

func (c *grpcConn) CloseSend() error {
	if s, ok := c.frameStream.(interface{ CloseSend() error }); ok {
		return s.CloseSend()
	}
	return nil // a server ends its stream by returning
}

func (c *grpcConn) Recv() (*wirepb.Frame, error) {
	f, err := c.frameStream.Recv()
	if status.Code(err) == codes.ResourceExhausted {
		return nil, refuse(CodeMessage, "the peer sent a frame of more than %d bytes", MaxFrame)
	}
	return f, err
}
