package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy passes connections on to an address and can hold back what returns, so
// that a test has all the time it wants in the middle of an exchange.
type proxy struct {
	addr string // where it listens

	mu      sync.Mutex
	changed *sync.Cond
	to      string
	free    int64 // bytes that may still return; -1: any number
}

func newProxy(t *testing.T) *proxy {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: lis.Addr().String(), free: -1}
	p.changed = sync.NewCond(&p.mu)
	t.Cleanup(func() {
		lis.Close()
		p.release()
	})
	go func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			go p.pass(in)
		}
	}()
	return p
}

// target sets where further connections go.
func (p *proxy) target(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = addr
}

// hold lets so many bytes return from now on, and keeps the rest.
func (p *proxy) hold(bytes int64) { p.set(bytes) }

// release passes on what was kept, and all that follows.
func (p *proxy) release() { p.set(-1) }

func (p *proxy) set(free int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = free
	p.changed.Broadcast()
}

// pass carries one connection. It reads on while it holds back, so that the end
// of either side ends the other.
func (p *proxy) pass(in net.Conn) {
	defer in.Close()
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		io.Copy(out, in)
		out.Close()
	}()
	var kept []byte
	var ended error
	go func() {
		buf := make([]byte, 16<<10)
		for {
			n, err := out.Read(buf)
			p.mu.Lock()
			kept, ended = append(kept, buf[:n]...), err
			p.changed.Broadcast()
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	for {
		p.mu.Lock()
		for ended == nil && (len(kept) == 0 || p.free == 0) {
			p.changed.Wait()
		}
		n := int64(len(kept))
		if p.free >= 0 {
			n = min(n, p.free)
			p.free -= n
		}
		next := kept[:n:n]
		kept = kept[n:]
		over := n == 0 || ended != nil && !errors.Is(ended, io.EOF)
		p.mu.Unlock()
		if over {
			return
		}
		if _, err := in.Write(next); err != nil {
			return
		}
	}
}
