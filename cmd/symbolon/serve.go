package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/symbolon/symbolon/protocol"
)

// Files in the node's directory that tell where a running node listens.
const (
	listenAddrFile = "listen.addr"
	opsAddrFile    = "ops.addr"
)

// sweepEvery is how often what has expired is erased.
const sweepEvery = time.Hour

type serveCmd struct {
	Listen      string        `env:"SYMBOLON_LISTEN" placeholder:"HOST:PORT" help:"Where peers connect (${env})."`
	OpsListen   *string       `env:"SYMBOLON_OPS_LISTEN" placeholder:"HOST:PORT" help:"Where health and metrics are; empty for nowhere (${env})."`
	OpsPublic   bool          `help:"Allow an address for health and metrics that other machines can reach."`
	MaxSessions int           `env:"SYMBOLON_MAX_SESSIONS" placeholder:"N" help:"Streams answered at once (${env})."`
	LogLevel    string        `env:"SYMBOLON_LOG_LEVEL" placeholder:"LEVEL" help:"trace, debug, info, warn or error (${env})."`
	Grace       time.Duration `placeholder:"TIME" help:"How long a stop waits for running sessions."`
}

func (c *serveCmd) needs(*App) need { return needStore | needPassphrase | needAlone }

// Run serves until the context ends, then finishes or aborts what runs.
func (c *serveCmd) Run(app *App) error {
	cfg, err := c.configure(app)
	if err != nil {
		return err
	}
	level, _ := zerolog.ParseLevel(cfg.LogLevel)
	log := zerolog.New(app.stderr).Level(level).With().Timestamp().Logger()
	m := newMetrics()
	err = app.openNode(func(o *protocol.Options) {
		o.Logger, o.MaxSessions, o.Workers, o.Observe = log, cfg.MaxSessions, cfg.Workers, m.observe
		o.OnStanding = func(protocol.StandingHit) { m.standing.Inc() }
	})
	if err != nil {
		return err
	}
	m.watch(app.node)
	lis, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return &usageError{err}
	}
	defer lis.Close()
	s := &service{app: app, cfg: cfg, log: log, lis: lis, grpc: app.node.Server()}
	if cfg.OpsListen != "" {
		if s.opsLis, err = net.Listen("tcp", cfg.OpsListen); err != nil {
			return &usageError{err}
		}
		defer s.opsLis.Close()
		s.ops = m.server(s)
	}
	if s.socket, err = app.listen(); err != nil {
		return err
	}
	return s.run(app.ctx)
}

// configure reads the configuration and lets the flags override it.
func (c *serveCmd) configure(app *App) (*config, error) {
	cfg, err := loadConfig(app.dir)
	if err != nil {
		return nil, err
	}
	if c.Listen != "" {
		cfg.Listen = c.Listen
	}
	if c.OpsListen != nil {
		cfg.OpsListen = *c.OpsListen
	}
	if c.MaxSessions > 0 {
		cfg.MaxSessions = c.MaxSessions
	}
	if c.LogLevel != "" {
		cfg.LogLevel = c.LogLevel
		if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
			return nil, usagef("--log-level %q is unknown", c.LogLevel)
		}
	}
	if c.Grace > 0 {
		cfg.Grace.Duration = c.Grace
	}
	if cfg.Listen == "" {
		return nil, usagef("listen is empty: say where peers connect")
	}
	if cfg.OpsListen != "" && !cfg.OpsPublic && !c.OpsPublic {
		return cfg, checkLoopback(cfg.OpsListen)
	}
	return cfg, nil
}

// service is a running node.
type service struct {
	app    *App
	cfg    *config
	log    zerolog.Logger
	lis    net.Listener
	grpc   *grpc.Server
	opsLis net.Listener
	ops    *http.Server
	socket *socketServer
	ready  atomic.Bool
}

// run serves until ctx ends or a listener fails, and joins what it started.
func (s *service) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.grpc.Serve(s.lis); err != nil {
			return fmt.Errorf("answering peers: %w", err)
		}
		return nil
	})
	if s.ops != nil {
		g.Go(func() error {
			if err := s.ops.Serve(s.opsLis); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving health and metrics: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error { s.sweep(ctx); return nil })
	g.Go(func() error { return s.tend(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		s.stop()
		return nil
	})
	if err := s.announce(); err != nil {
		g.Go(func() error { return err })
	}
	err := g.Wait()
	os.Remove(filepath.Join(s.app.dir, listenAddrFile))
	os.Remove(filepath.Join(s.app.dir, opsAddrFile))
	s.log.Info().Msg("stopped")
	return err
}

// announce tells where the node listens, in the log and in files.
func (s *service) announce() error {
	e := s.log.Info().Str("listen", s.lis.Addr().String())
	if s.opsLis != nil {
		e = e.Str("ops_listen", s.opsLis.Addr().String())
		if err := writeFile(filepath.Join(s.app.dir, opsAddrFile), []byte(s.opsLis.Addr().String()+"\n"), true); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(s.app.dir, listenAddrFile), []byte(s.lis.Addr().String()+"\n"), true); err != nil {
		return err
	}
	s.ready.Store(true)
	e.Str("version", buildVersion().Version).Str("fingerprint", s.app.node.Identity.Public().Fingerprint().String()).Msg("serving")
	return nil
}

// stop refuses what is new, lets sessions finish until the grace ends, then
// aborts them, and closes every listener.
func (s *service) stop() {
	s.ready.Store(false)
	s.log.Info().Int("sessions", s.app.node.Live()).Msg("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Grace.Duration)
	defer cancel()
	if err := s.app.node.Close(ctx); err != nil {
		s.log.Warn().Msg("sessions were aborted at the end of the grace")
	}
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		s.grpc.Stop()
		<-stopped
	}
	// Commands that still run have lost the node's peers; they end by themselves
	// or when their context does.
	cancel()
	s.socket.stop(ctx)
	if s.ops != nil {
		s.ops.Close()
	}
}

// tend keeps what was published and what is looked up by itself current.
func (s *service) tend(ctx context.Context) error {
	if err := s.app.node.Tend(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("tending filters: %w", err)
	}
	return nil
}

// sweep erases what has expired, at once and every hour.
func (s *service) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, job := range []struct {
			name string
			do   func(time.Time) (int64, error)
		}{
			{"results", s.app.store.ExpireResults},
			{"log entries", s.app.store.EraseLogEntries},
			{"sessions", s.app.store.ExpireSessions},
			{"searches", s.app.store.ExpireSearches},
		} {
			n, err := job.do(time.Now())
			switch {
			case err != nil:
				s.log.Error().Err(err).Str("what", job.name).Msg("erasing what has expired failed")
			case n > 0:
				s.log.Info().Int64("count", n).Str("what", job.name).Msg("erased at the end of retention")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
